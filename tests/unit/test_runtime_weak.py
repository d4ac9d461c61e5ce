"""Callbacks that do not keep their object alive."""

from __future__ import annotations

import gc

from pybal.runtime.weak import weakly


class Receiver:
    """An object that keeps its own callback."""

    def __init__(self, received: list[int]) -> None:
        self.received = received
        self.callback = weakly(self.receive)

    def receive(self, number: int) -> None:
        self.received.append(number)


def test_weak_callback_calls_the_method_while_its_object_exists() -> None:
    received: list[int] = []
    receiver = Receiver(received)
    callback = receiver.callback
    callback(1)
    del receiver
    callback(2)
    assert received == [1]


def test_weak_callback_of_its_owner_makes_no_cycle() -> None:
    gc.collect()
    Receiver([])
    assert gc.collect() == 0

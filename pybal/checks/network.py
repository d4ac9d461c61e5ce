"""The calls that connect checks to the network: those of the kernel, or of a simulation."""

from __future__ import annotations

import select
from collections.abc import Callable
from socket import SocketType
from typing import NamedTuple


class Network(NamedTuple):
    """``socket`` opens a socket of a family and type, ``epoll`` an object that polls such sockets."""

    socket: Callable[[int, int], SocketType] = SocketType
    epoll: Callable[[], select.epoll] = select.epoll

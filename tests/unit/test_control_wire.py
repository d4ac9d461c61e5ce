"""Requests and replies on the control socket."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pybal.control.wire import (
    CommandReply,
    Request,
    RequestError,
    read_reply,
    read_request,
    write_reply,
    write_request,
)
from pybal.core.steps import finish
from pybal.status.json_pieces import Elements


def refusal(line: bytes) -> str:
    with pytest.raises(RequestError) as refused:
        read_request(line)
    return str(refused.value)


def test_request_is_one_line_of_json() -> None:
    request = Request("freeze", {"duration": 600.0}, "new switch")
    line = write_request(request)
    assert line == (b'{"version": 1, "command": "freeze", "arguments": {"duration": 600.0}, "reason": "new switch"}\n')
    assert read_request(line) == request


def test_arguments_and_reason_may_be_absent() -> None:
    assert read_request(b'{"version": 1, "command": "status"}') == Request("status")


def test_invalid_request_is_refused_with_a_reason() -> None:
    assert refusal(b"status") == "not a JSON object in UTF-8 on one line"
    assert refusal(b"\xff") == "not a JSON object in UTF-8 on one line"
    assert refusal(b"[" * 100_000) == "not a JSON object in UTF-8 on one line"
    assert refusal(b'{"version": NaN, "command": "status"}') == "not a JSON object in UTF-8 on one line"
    assert refusal(b"[1]") == "not a JSON object"
    assert refusal(b'{"version": 2, "command": "status"}') == "unsupported version 2 (use 1)"
    assert refusal(b'{"version": 1}') == "command is missing"
    assert refusal(b'{"version": 1, "command": "thaw", "arguments": []}') == "arguments is not an object"
    assert (
        refusal(b'{"version": 1, "command": "thaw", "why": 1}')
        == "unknown key 'why' (use version, command, arguments and reason)"
    )


@pytest.mark.parametrize("reason", [b'"a\\nb"', b'"\\u001b[31m"', b'"\\ud800"', b"7", b'"' + b"x" * 501 + b'"'])
def test_reason_must_be_one_line_that_is_safe_to_log(reason: bytes) -> None:
    text = refusal(b'{"version": 1, "command": "thaw", "reason": %b}' % reason)
    assert text.endswith(" (use one line of at most 500 characters)")
    assert len(text) < 200


@pytest.mark.parametrize("value", [0, -1, 14400.5, "600", True, None, [600], 1e400])
def test_duration_must_be_a_number_of_seconds_within_bounds(value: object) -> None:
    with pytest.raises(RequestError, match=r"invalid duration .* \(use more than 0 and at most 14400 seconds\)"):
        Request("freeze", {"duration": value}).seconds("duration", 600.0, 14400.0)


def test_absent_arguments_have_their_defaults() -> None:
    request = Request("freeze")
    assert request.seconds("duration", 600.0, 14400.0) == 600.0
    assert request.text("target", "all") == "all"
    assert request.flag("keep") is False


def test_text_and_flag_arguments_of_another_type_are_refused() -> None:
    request = Request("drain", {"target": 7, "keep": "yes"})
    with pytest.raises(RequestError, match=r"invalid target 7 \(use a text\)"):
        request.text("target")
    with pytest.raises(RequestError, match=r"invalid keep 'yes' \(use true or false\)"):
        request.flag("keep")


def test_reply_is_one_line_for_any_text() -> None:
    reply = CommandReply(2, "a\nb \ud800 \u2028", {"services": []})
    line = finish(write_reply(reply))
    assert line.count(b"\n") == 1
    assert read_reply(line) == replace(reply, text="a\nb \ud800 \\u2028")


def test_reply_escapes_control_characters_and_joins_long_texts() -> None:
    document = Elements({"host": f"h{n}"} for n in range(100))
    reply = read_reply(finish(write_reply(CommandReply(0, iter(["a\x1b]0;owned\x07\n", "b\n"]), document))))
    assert reply.text == "a\\x1b]0;owned\\x07\nb\n"
    assert reply.document[99] == {"host": "h99"}


@pytest.mark.parametrize("line", [b"{}", b'{"version": 1}', b'{"version": 1, "exit": "0", "text": ""}', b"garbage"])
def test_invalid_reply_is_refused(line: bytes) -> None:
    with pytest.raises(RequestError):
        read_reply(line)

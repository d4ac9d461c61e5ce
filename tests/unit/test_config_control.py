"""The options of the control socket."""

from __future__ import annotations

import pytest

from pybal.config.errors import ConfigError
from pybal.config.parse import parse
from pybal.control.place import control_socket
from pybal.monitors.kinds import KINDS

WEB = "[web]\nprotocol = tcp\nip = 192.0.2.1\nport = 80\nscheduler = wrr\nconfig = file:///pools/web\n"


def test_control_socket_and_group_are_read_bare_or_quoted() -> None:
    options = 'control-socket = "/run/pybal/other.sock"\ncontrol-group = adm\n'
    found = parse(f"[global]\n{options}{WEB}", "f", KINDS).settings
    assert (found.control_socket, found.control_group) == ("/run/pybal/other.sock", "adm")
    found = parse(WEB, "f", KINDS).settings
    assert (found.control_socket, found.control_group) == ("", "")


@pytest.mark.parametrize("path", ["control.sock", "/" + "x" * 107])
def test_control_socket_refuses_an_invalid_path(path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(f"[global]\ncontrol-socket = {path}\n{WEB}", "f", KINDS)
    (problem,) = refused.value.problems
    assert problem.wanted == "an absolute path of at most 107 bytes"


def test_control_socket_is_read_from_a_file_with_other_problems() -> None:
    assert control_socket("[global]\ncontrol-socket = /run/c\nbgp = maybe\nno sense\n[web]\n", "f") == "/run/c"
    assert control_socket("[web]\n", "f") == ""

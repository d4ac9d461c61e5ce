"""The command line: exit statuses of usage errors, durations, help."""

from __future__ import annotations

import pytest

from pybal.client.arguments import COMMANDS, read_arguments


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--bogus"], 2),
        (["satus"], 2),
        (["status", "--bogus"], 1),
        (["-c", "f", "freeze"], 1),
        (["freeze", "--reason", "x", "--for", "5h"], 1),
        (["status", "--check", "--bogus"], 3),
        (["--bogus", "status", "--check"], 3),
        (["status", "--check", "--url"], 3),
        (["satus", "--check"], 3),
    ],
)
def test_usage_error_exits_with_the_status_of_the_command(
    arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read_arguments(arguments)
    assert ended.value.code == status
    shown = capsys.readouterr()
    if status == 3:
        assert shown.out.startswith("UNKNOWN - invalid command line: ")
        assert shown.out.count("\n") == 1
    else:
        assert shown.out == ""
        assert shown.err.endswith("--help)\n")


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2min", 120), ("4h", 14400)])
def test_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert read_arguments(["freeze", "--reason", "x", "--for", text]).duration == seconds


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_help_of_a_command_shows_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read_arguments([name, "--help"])
    assert ended.value.code == 0
    assert f"\nexamples:\n  pybal {name}" in capsys.readouterr().out


def test_daemon_has_no_command_and_the_default_file() -> None:
    options = read_arguments(["-n", "-d"])
    assert (options.command, options.config, options.named, options.dryrun, options.debug) == (
        "",
        "/etc/pybal/pybal.conf",
        False,
        True,
        True,
    )

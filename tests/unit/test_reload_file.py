"""The configuration file and the detection of its changes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pybal.config.errors import ConfigError, Problem
from pybal.monitors.kinds import KINDS
from pybal.reload.file import ConfigurationFile

SERVICE = "[web]\nprotocol = tcp\nip = 192.0.2.1\nport = 80\nscheduler = wrr\nconfig = file:///pools/web\n"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pybal.conf"


def test_loaded_settings_have_the_digest_and_the_adjustments(path: Path) -> None:
    path.write_text(SERVICE)
    file = ConfigurationFile(str(path), KINDS, lambda settings: replace(settings, dry_run=True))
    loaded = file.read()
    assert loaded.settings.dry_run
    assert loaded.digest == file.digest()
    path.write_text(SERVICE + "scheduler = rr\n")
    assert file.digest() != loaded.digest
    assert file.read().digest == file.digest()


def test_digest_is_available_for_an_invalid_file(path: Path) -> None:
    file = ConfigurationFile(str(path), KINDS)
    path.write_text("")
    assert file.digest() == EMPTY
    path.write_text("[web\n")
    assert len(file.digest()) == 64
    with pytest.raises(ConfigError):
        file.read()


def test_digest_changes_when_a_file_of_equal_size_and_time_replaces_it(path: Path, tmp_path: Path) -> None:
    file = ConfigurationFile(str(path), KINDS)
    path.write_text("a")
    before = file.digest()
    status = path.stat()
    (tmp_path / "new").write_text("b")
    os.utime(tmp_path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "new").rename(path)
    assert file.digest() != before


def test_digest_is_empty_while_the_file_is_missing(path: Path) -> None:
    file = ConfigurationFile(str(path), KINDS)
    path.write_text("")
    assert file.digest() == EMPTY
    path.unlink()
    assert file.digest() == ""
    path.write_text("")
    assert file.digest() == EMPTY


def test_loaded_settings_have_the_unsupported_ones(path: Path) -> None:
    path.write_text(SERVICE)
    problem = Problem("pybal.conf", 0, "web", "config", "x", "y")
    file = ConfigurationFile(
        str(path), KINDS, unsupported=lambda settings, file: [problem] if settings.services else []
    )
    assert file.read().unsupported == (problem,)

"""The configuration file, and whether it is still the one that is loaded."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pybal.config.errors import ConfigError
from pybal.config.kinds import KINDS
from pybal.reload.file import ConfigurationFile, unsupported

SERVICE = "[web]\nprotocol = tcp\nip = 192.0.2.1\nport = 80\nscheduler = wrr\nconfig = file:///pools/web\n"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pybal.conf"


def test_what_is_read_has_the_digest_of_the_file_and_the_adjustments(path: Path) -> None:
    path.write_text(SERVICE)
    file = ConfigurationFile(str(path), KINDS, lambda settings: replace(settings, dry_run=True))
    loaded = file.read()
    assert loaded.settings.dry_run
    assert loaded.digest == file.digest()
    path.write_text(SERVICE + "scheduler = rr\n")
    assert file.digest() != loaded.digest
    assert file.read().digest == file.digest()


def test_the_digest_is_that_of_the_bytes_and_needs_no_sense_in_them(path: Path) -> None:
    file = ConfigurationFile(str(path), KINDS)
    path.write_text("")
    assert file.digest() == EMPTY
    path.write_text("[web\n")
    assert len(file.digest()) == 64
    with pytest.raises(ConfigError):
        file.read()


def test_a_file_of_the_same_size_and_time_in_its_place_is_another(path: Path, tmp_path: Path) -> None:
    file = ConfigurationFile(str(path), KINDS)
    path.write_text("a")
    before = file.digest()
    status = path.stat()
    (tmp_path / "new").write_text("b")
    os.utime(tmp_path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "new").rename(path)
    assert file.digest() != before


def test_a_file_that_is_gone_has_no_digest_until_it_is_back(path: Path) -> None:
    file = ConfigurationFile(str(path), KINDS)
    path.write_text("")
    assert file.digest() == EMPTY
    path.unlink()
    assert file.digest() == ""
    path.write_text("")
    assert file.digest() == EMPTY


def test_what_only_this_machine_lacks_is_told_without_a_line(path: Path) -> None:
    path.write_text("[global]\ncontrol-group = no-such-group\n" + SERVICE)
    (problem,) = unsupported(ConfigurationFile(str(path), KINDS).read().settings, "pybal.conf")
    wanted = "pybal.conf: [global] control-group: found 'no-such-group', wanted a group of this machine"
    assert str(problem) == wanted

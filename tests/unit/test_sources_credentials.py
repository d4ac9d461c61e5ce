"""Credentials for the servers of pool sources; no error shows a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pybal.config.settings import AccessSettings, SourceSettings
from pybal.http.errors import Fault
from pybal.http.trust import UnusableFile
from pybal.runtime.file_values import PATIENCE, FileValues, inline
from pybal.sources.credentials import Authorization, SecretFile, refusal, secret
from pybal.sources.kinds import refusals
from tests.harness.fake_workers import FakeWorkers

URL = "http://conf.example/pool"


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def authorized(url: str = URL, access: AccessSettings | None = None) -> list[str]:
    found: list[dict[str, str]] = []
    waiting = Authorization(url, access or AccessSettings(), inline(Clock())).fields()
    Deferred.fromCoroutine(waiting).addCallback(found.append)
    return list(found[0].values())


def test_authorization_is_empty_without_credentials() -> None:
    assert authorized() == []


def test_password_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    file = written(tmp_path / "password", b"open sesame\r\nmore\n")
    access = AccessSettings(user="Aladdin", password_file=file)
    assert authorized(access=access) == ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]  # RFC 7617 §2


def test_user_and_password_of_the_url_are_unquoted() -> None:
    assert authorized("http://Aladdin:open%20sesame@conf.example/pool") == ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]
    assert authorized("http://Aladdin@conf.example/pool") == ["Basic QWxhZGRpbjo="]


def test_non_ascii_credentials_are_sent_as_utf_8() -> None:
    assert authorized("http://t%C3%A9st:123%C2%A3@conf.example/pool") == ["Basic dMOpc3Q6MTIzwqM="]


def test_token_file_is_read_each_time_and_precedes_the_url(tmp_path: Path) -> None:
    file = written(tmp_path / "token", b"abc.def\n")
    access = AccessSettings(token_file=file)
    assert authorized("http://a:b@conf.example/pool", access) == ["Bearer abc.def"]
    written(tmp_path / "token", b"ghi")
    assert authorized(access=access) == ["Bearer ghi"]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "no secret in the first line of {}, wanted printable characters"),
        (b"\nsecret\n", "no secret in the first line of {}, wanted printable characters"),
        (b"sec\0ret\n", "no secret in the first line of {}, wanted printable characters"),
        (b"secret\rX-Evil: yes\n", "no secret in the first line of {}, wanted printable characters"),
        (b"s\xe9cret\n", "{} (not UTF-8), wanted a UTF-8 text file"),
    ],
)
def test_invalid_secret_is_refused_and_not_shown(tmp_path: Path, data: bytes, found: str) -> None:
    file = written(tmp_path / "password", data)
    with pytest.raises(UnusableFile) as raised:
        secret("password-file", file)
    assert str(raised.value) == f"password-file: {found.format(file)}"
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_changed_secret_is_read_from_its_file_again(tmp_path: Path) -> None:
    file = written(tmp_path / "token", b"one")
    token = SecretFile("token-file", file, inline(Clock()))
    found: list[str] = []
    for text in (b"one", b"second"):
        written(tmp_path / "token", text)
        Deferred.fromCoroutine(token.read()).addCallback(found.append)
    assert found == ["one", "second"]


def test_secret_on_a_hung_file_system_is_reported(tmp_path: Path) -> None:
    clock, threads = Clock(), FakeWorkers()
    threads.hold = True
    file = written(tmp_path / "token", b"abc")
    failures: list[str] = []
    reading = Deferred.fromCoroutine(SecretFile("token-file", file, FileValues(threads, clock)).read())
    reading.addErrback(lambda failure: failures.append(str(failure.value)))
    clock.advance(PATIENCE)
    silence = "no response from the file system for 2 s"
    assert failures == [f"token-file: {file} ({silence}), wanted a file that can be read"]


@pytest.mark.parametrize("data", [b"a token\n", "tök\n".encode()])
def test_token_must_be_one_ascii_word(tmp_path: Path, data: bytes) -> None:
    file = written(tmp_path / "token", data)
    with pytest.raises(UnusableFile, match=r"no token in the first line of .*, wanted one ASCII word"):
        secret("token-file", file)


def test_missing_secret_file_is_reported(tmp_path: Path) -> None:
    unusable = refusal(AccessSettings(token_file=f"{tmp_path}/none"))
    assert unusable is not None
    assert str(unusable) == f"token-file: {tmp_path}/none (No such file or directory), wanted a file that can be read"
    assert unusable.fault is Fault.UNREACHABLE


def test_usable_secret_files_are_accepted(tmp_path: Path) -> None:
    file = written(tmp_path / "secret", b"secret")
    assert refusal(AccessSettings()) is None
    assert refusal(AccessSettings(user="u", password_file=file)) is None


def test_unusable_section_is_reported_once_for_all_its_sources(tmp_path: Path) -> None:
    bad = AccessSettings(token_file=f"{tmp_path}/none")
    ca = AccessSettings(ca=f"{tmp_path}/ca")
    sources = [
        SourceSettings("https://conf.example/a", access=bad),
        SourceSettings("http://u:p@Conf.example/b", access=bad),
        SourceSettings("etcd://e:2379/c", access=ca),
        SourceSettings("file:///pools/web"),
    ]
    assert [tuple(refused)[:2] for refused in refusals(sources)] == [
        ("http conf.example", "token-file"),
        ("etcd e:2379", "ca"),
    ]

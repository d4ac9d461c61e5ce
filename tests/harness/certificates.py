"""Test certificates, issued by openssl."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path


class Authority:
    """A certificate authority with files in a directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self.directory = directory
        self.name = name
        _openssl(
            directory, f"req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -days 30 -subj /CN={name}"
        )
        self.file = directory / f"{name}.pem"

    def issue(self, name: str, *, days: float = 90, host: str = "a.example") -> Path:
        """Return a PEM file with a certificate and its key; expired if ``days`` is negative."""
        now = datetime.now(UTC)
        _openssl(self.directory, f"req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={host}")
        (self.directory / "extensions").write_text(f"subjectAltName=DNS:{host}\n")
        (self.directory / "index").write_text("")
        (self.directory / "index.attr").write_text("unique_subject = no\n")
        (self.directory / "serial").write_text(f"{int(now.timestamp() * 1e6):016x}")
        (self.directory / "config").write_text(_CONFIG.format(directory=self.directory))
        _openssl(
            self.directory,
            f"ca -batch -notext -config config -cert {self.name}.pem -keyfile {self.name}.key -in {name}.csr -out {name}.crt "
            f"-extfile extensions -startdate {now - timedelta(days=100):%Y%m%d%H%M%SZ} "
            f"-enddate {now + timedelta(days=days):%Y%m%d%H%M%SZ}",
        )
        file = self.directory / f"{name}.both"
        file.write_text((self.directory / f"{name}.crt").read_text() + (self.directory / f"{name}.key").read_text())
        return file


def self_signed(directory: Path, host: str = "a.example") -> Path:
    """Return a PEM file with a self-signed certificate and its key."""
    _openssl(
        directory,
        f"req -x509 -newkey rsa:2048 -nodes -keyout own.key -out own.crt -days 90 -subj /CN={host} "
        f"-addext subjectAltName=DNS:{host}",
    )
    file = directory / "own.both"
    file.write_text((directory / "own.crt").read_text() + (directory / "own.key").read_text())
    return file


def _openssl(directory: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=directory, check=True, capture_output=True)


_CONFIG = """
[ca]
default_ca = own
[own]
new_certs_dir = {directory}
database = {directory}/index
serial = {directory}/serial
default_md = sha256
policy = any
[any]
commonName = supplied
"""

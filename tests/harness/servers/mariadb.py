"""MariaDB: a database server with an account without a password and one with a password."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.harness.servers.process import LOOPBACK, Server, accepts, program

PASSWORDLESS, PROTECTED = "check", "secret"

TABLES = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
BOOTSTRAP = "create database mysql;\nuse mysql;\nset @auth_root_socket=NULL;\nset @skip_auth_anonymous=1;\n"
ACCOUNTS = f"""\
CREATE USER IF NOT EXISTS '{PASSWORDLESS}'@'%';
CREATE USER IF NOT EXISTS '{PROTECTED}'@'%' IDENTIFIED BY 'x';
"""


def mariadb(directory: Path, port: int) -> Server:
    """Return a MariaDB at both addresses, with new tables and two accounts."""
    path = program("mariadbd", "mariadb-server-core")
    data, accounts = directory / "data", directory / "accounts.sql"
    data.mkdir()
    accounts.write_text(ACCOUNTS)
    # Without asynchronous I/O, of which the kernel limits the sum: several servers start at the same time.
    innodb = ("--innodb-buffer-pool-size=8M", "--innodb-use-native-aio=OFF")
    common = (path, "--no-defaults", "--user=root", f"--datadir={data}", *innodb)
    tables = BOOTSTRAP + "".join(Path("/usr/share/mysql", name).read_text() for name in TABLES)
    subprocess.run([*common, "--bootstrap"], input=tables.encode(), check=True, capture_output=True)
    listening = (f"--port={port}", f"--bind-address={','.join(LOOPBACK)}", f"--socket={data}/socket")
    command = (*common, *listening, "--skip-name-resolve", f"--init-file={accounts}")
    return Server(command, directory, lambda: all(accepts(port, host) for host in LOOPBACK))

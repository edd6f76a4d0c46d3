"""Throw-away servers: a real Postgres and a real Redis, for tests and benchmarks alike."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from functools import cached_property
from pathlib import Path

_PG_CANDIDATES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _postgres_bin() -> Path:
    found = shutil.which("initdb")
    folder = Path(found).parent if found else next(iter(_PG_CANDIDATES), None)
    if folder is None:
        raise RuntimeError(
            "Postgres is not installed: `make test` installs it, or: apt-get install postgresql"
        )
    return folder


def _as_postgres(command: list[str]) -> list[str]:
    """Postgres refuses to run as root."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command


_JOURNAL = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")  # as in production


class PostgresServer:
    """A throw-away Postgres cluster."""

    def __init__(self) -> None:
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="heliowatch-pg-"))
        if os.geteuid() == 0:
            shutil.chown(self.home, "postgres")
        self._bin = _postgres_bin()
        data = str(self.home / "data")
        self._run("initdb", "-D", data, "-A", "trust", "-U", "heliowatch", "--encoding", "UTF8", "--no-sync")
        options = f"-p {self.port} -k {self.home} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-D", data, "-o", options, "-l", str(self.home / "log"), "-w", "start")

    def _run(self, program: str, *arguments: str) -> None:
        command = _as_postgres([str(self._bin / program), *arguments])
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.home / "data"), "-m", "immediate", "stop")
        shutil.rmtree(self.home, ignore_errors=True)

    def new_database(self, like: str = "template1") -> str:
        import psycopg

        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {like}")  # type: ignore[arg-type]
        return self.url(name)

    @cached_property
    def _migrated(self) -> str:
        import migrations

        url = self.new_database()
        migrations.upgrade(url)
        return url.rpartition("/")[2]

    def migrated_database(self) -> str:
        """URL of a new database with the newest schema: a copy, at a tenth of a migration's price."""
        return self.new_database(like=self._migrated)

    def url(self, name: str) -> str:
        return f"postgresql://heliowatch@127.0.0.1:{self.port}/{name}"


class RedisServer:
    """A throw-away Redis with its append-only file, as in production."""

    def __init__(self) -> None:
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="heliowatch-redis-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError(
                "Redis is not installed: `make test` installs it, or: apt-get install redis-server"
            )
        self._process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.home), *_JOURNAL],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError("Redis did not start")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

"""A real PostgreSQL for the tests that need one: Debian's package, a free port, its data in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import psycopg

from streams.local.processes import HOST, free_port, last_lines, spawn
from tests.support.site import ROOT

WANTED = "needs PostgreSQL: install it with `apt-get install postgresql`, then run `make test` again"
USER = "postgres"
"""The role that owns all databases; also the system user that runs the server where the tests run as root."""
INITDB_OPTIONS = ("-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
START_SECONDS = 30.0


def find_postgres() -> Path | None:
    """Return the folder with `initdb` and `postgres`: Debian keeps them out of the PATH.

    None also for root without `setpriv`: PostgreSQL refuses to run as root.
    """
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        return None
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in found if (folder / "postgres").exists()), None)


class Postgres:
    """One server. Durability is off: its data live as long as the tests."""

    def __init__(self, programs: Path) -> None:
        self.port = free_port()
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="eventstreams-postgres-"))
        self._log = self._folder / "postgres.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._migrated = ""

    def start(self) -> None:
        """Make the data folder unless it is there, start the server and wait until it answers."""
        data = self._folder / "data"
        if not data.exists():
            data.mkdir(mode=0o700)
            if os.getuid() == 0:
                self._folder.chmod(0o755)
                shutil.chown(data, USER, USER)
            made = subprocess.run(
                [*self._as_user(), str(self._programs / "initdb"), "-D", str(data), "-U", USER, *INITDB_OPTIONS],
                cwd="/",
                capture_output=True,
                text=True,
                timeout=120,
            )
            if made.returncode:
                raise AssertionError(f"initdb failed:\n{made.stdout}{made.stderr}")
        settings = {
            "port": self.port,
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 60,
            "shared_buffers": "16MB",
        }
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        command = [*self._as_user(), str(self._programs / "postgres"), "-D", str(data), *options]
        self._process = spawn(command, self._log, cwd=Path("/"))
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._connect("postgres").close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.close()
                    raise AssertionError(f"PostgreSQL did not start:\n{last_lines(self._log)}") from None
                time.sleep(0.05)
            else:
                return

    def close(self) -> None:
        """End the server at once and remove its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End the server at once, as `pg_ctl stop -m immediate` does; `start` starts it again on its data."""
        if self._process is not None:
            self.resume()
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Freeze the server with all of its backends (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server continue after `pause`."""
        self._signal(signal.SIGCONT)

    def create_database(self, *, migrated: bool = True, port: int | None = None) -> str:
        """Create a database and return its URL, as DATABASE_URL takes it; `port` is that of a proxy in between.

        A `migrated` one has the tables as `manage.py migrate` makes them.
        """
        if migrated and not self._migrated:
            template = self.create_database(migrated=False)
            self._migrate(template)
            self._migrated = template.rpartition("/")[2]
        name = f"test_{uuid.uuid4().hex}"
        template = f' TEMPLATE "{self._migrated}"' if migrated else ""
        self.execute(f'CREATE DATABASE "{name}"{template}', "postgres")
        return f"postgres://{USER}@{HOST}:{port or self.port}/{name}"

    def execute(self, statement: str, database: str) -> list[tuple[object, ...]]:
        """Run SQL in `database` (a name or a URL) and return its rows."""
        with self._connect(database.rpartition("/")[2]) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def dump(self, url: str) -> bytes:
        """Return a backup of a database, as `pg_dump` makes it."""
        return self._run("pg_dump", "--format=custom", url)

    def restore(self, url: str, dump: bytes, *options: str) -> None:
        """Put a backup in the place of what the database holds, as `pg_restore` does it on a running one."""
        self._run("pg_restore", "--clean", "--if-exists", "--no-owner", *options, f"--dbname={url}", given=dump)

    def connections(self, database: str) -> int:
        """Return how many sessions `database` (a name or a URL) has now."""
        name = database.rpartition("/")[2]
        rows = self.execute(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'", "postgres")
        count = rows[0][0]
        assert isinstance(count, int)
        return count

    def _connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=HOST, port=self.port, user=USER, dbname=database, autocommit=True, connect_timeout=10
        )

    def _run(self, program: str, *arguments: str, given: bytes = b"") -> bytes:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def _migrate(self, url: str) -> None:
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "DJANGO_DEBUG": "",
            "DJANGO_SECRET_KEY": "for-tests-only",
            "DJANGO_SETTINGS_MODULE": "eventstreams_site.settings",
        }
        command = [sys.executable, "manage.py", "migrate", "--noinput", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)

    def _signal(self, number: signal.Signals) -> None:
        """To the server and its backends, each of which is its own session."""
        if self._process is None or self._process.poll() is not None:
            return
        pid = self._process.pid
        if number is signal.SIGSTOP:
            os.kill(pid, number)  # first, or it would start others meanwhile
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), number)
        if number is not signal.SIGSTOP:
            os.kill(pid, number)

    @staticmethod
    def _as_user() -> list[str]:
        """PostgreSQL refuses to run as root. A change of user also forgets who is to be killed with whom."""
        if os.getuid():
            return []
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--pdeathsig=KILL"]

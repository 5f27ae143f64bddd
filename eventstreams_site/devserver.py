"""`make run`: Kafka, demo events and the server, started together and stopped together.

Kafka is the one that the configuration names, if it answers, else a local one with its data in .local/kafka. Where
neither works, as on a machine that has only Python, the server keeps the demo's events in memory. All children
die with this process, however it ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, NoReturn

import yaml

from eventstreams_site.config.config import FILE_VARIABLE, Config, ConfigError, load_config
from streams.engine.kafka.options import IN_MEMORY, kafka_options
from streams.http.about import VERSION
from streams.local.kafka import LocalKafka, LocalKafkaError, answers
from streams.local.kafka_jars import NoLocalKafkaError
from streams.local.processes import HOST, free_port, last_lines, port_is_free, spawn, terminate
from streams.mirror.upstream import Unavailable, Upstream, UpstreamError

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".local"
LOGS = STATE / "log"

KAFKA_PORT = 9092
PORT = 8092
MAX_PORT = 65_535
READY_SECONDS = 60
CONTACT_VARIABLE = "MIRROR_CONTACT"
STOP_SECONDS = 10
UPSTREAM_SECONDS = 20
"""Maximum seconds for the service that is to be mirrored to open a stream."""

_DEMO = ("demo_events", "--rate", "10", "--backfill", "1h")
_LOCAL_HOSTS = {"localhost", "127.0.0.1", "[::1]"}


class DevServerError(Exception):
    """Something could not be started, or ended unexpectedly; the text says what, and what to do."""


class Child(NamedTuple):
    """A child process by the name that messages give it."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Check that it runs. Raises DevServerError if it has ended."""
        code = self.process.poll()
        if code is not None:
            raise DevServerError(f"{self.name} ended (exit {code}); {self.log} ends with:\n{last_lines(self.log)}")


def main() -> int:
    """Run until Ctrl-C, SIGTERM or SIGHUP (0), or until something fails (1)."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        signal.signal(number, _interrupt)
    stack = ExitStack()
    try:
        _run(dict(os.environ), stack)
    except KeyboardInterrupt:
        _say("\nStopping ...")
        return 0
    except (ConfigError, DevServerError, LocalKafkaError) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)  # stopping takes seconds, and must not be interrupted
        stack.close()


def _run(environ: dict[str, str], stack: ExitStack) -> NoReturn:
    port = _port(environ)
    LOGS.mkdir(parents=True, exist_ok=True)
    environ.setdefault(FILE_VARIABLE, str(ROOT / "config" / "development.yaml"))
    environ.setdefault("DJANGO_DEBUG", "1")
    environ["PYTHONUNBUFFERED"] = "1"
    config = load_config(environ)

    migrate = _manage("The migration", "migrate", environ=environ, stack=stack)
    kafka, brokers = _kafka(config, environ, stack)
    if migrate.process.wait() != 0:
        migrate.check()
    admin = None
    if _is_debug(environ):
        admin = _manage("The development admin", "development_admin", environ=environ, stack=stack)
    children = []
    demo = None
    upstream = mirror_arguments(environ, brokers)
    if upstream:
        _say(f"The events are those of {upstream[1]}: it is mirrored into the Kafka at {brokers}.")
        children.append(_manage("The mirror", *upstream, environ=environ, stack=stack))
    elif brokers == IN_MEMORY:
        pass  # the server writes the demo's events itself
    elif all(broker.rpartition(":")[0] in _LOCAL_HOSTS for broker in brokers.split(",")):
        demo = _manage("The demo producer", *_DEMO, environ=environ, stack=stack)
        children.append(demo)
    else:
        _say(f"The demo writes no events, since {brokers} is not on this machine.")
    arguments = ("serve", "--host", HOST, "--port", str(port))
    children.append(_manage("The server", *arguments, environ=environ, stack=stack))
    _wait_until_ready(port, children)
    _welcome(port, config, _login(admin), demo)
    while True:
        for child in children:
            child.check()
        if kafka is not None and not kafka.running:
            kafka.wait_ready()  # raises, with the end of its log
        time.sleep(0.2)


def _port(environ: Mapping[str, str]) -> int:
    text = environ.get("PORT") or str(PORT)
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= MAX_PORT:
        raise DevServerError(f"PORT is {text!r}; expected a number from 1 to 65535")
    if not port_is_free(int(text)):
        raise DevServerError(f"Port {text} on {HOST} is in use: stop what listens there, or try PORT=8093 make run")
    return int(text)


def _kafka(config: Config, environ: dict[str, str], stack: ExitStack) -> tuple[LocalKafka | None, str]:
    """Return the local Kafka (None if the configured one answers) and the brokers; `environ` then names them."""
    options = kafka_options(config.kafka)
    client = options.client
    configured = str(client["bootstrap_servers"])
    if options.is_memory:
        return None, IN_MEMORY
    # A Kafka with TLS or a password was configured on purpose: the server finds out whether it answers.
    if client["security_protocol"] != "PLAINTEXT" or answers(configured):
        _say(f"Using Kafka at {configured}.")
        return None, configured
    kafka = LocalKafka(STATE / "kafka", port=KAFKA_PORT if port_is_free(KAFKA_PORT) else free_port())
    stack.callback(kafka.stop)
    _say(f"Starting Kafka at {kafka.bootstrap}, with its data in {kafka.folder} ...")
    brokers = kafka.bootstrap
    try:
        kafka.start()
    except NoLocalKafkaError as error:
        _say(
            f"No Kafka can be started here. {error}.\n"
            "So the demo runs without one: the server keeps its events in memory, with history and exact resume, "
            "until it ends."
        )
        brokers = IN_MEMORY
    given = [name for name in ("metadata.broker.list", "bootstrap.servers") if name in config.kafka]
    override = yaml.safe_load(environ.get("EVENTSTREAMS_KAFKA") or "{}")
    override |= dict.fromkeys(given or ["metadata.broker.list"], brokers)
    environ["EVENTSTREAMS_KAFKA"] = yaml.safe_dump(override, default_flow_style=True)
    return (kafka if brokers != IN_MEMORY else None), brokers


def mirror_arguments(environ: Mapping[str, str], brokers: str) -> tuple[str, ...]:
    """Return the arguments of `manage.py mirror` where UPSTREAM names a service; empty where the demo is to be shown.

    Raises DevServerError if UPSTREAM is set and nobody says whom its operators can reach.
    """
    url = environ.get("UPSTREAM", "").strip()
    if not url:
        return ()
    contact = environ.get(CONTACT_VARIABLE, "").strip()
    if not contact or not contact.isascii() or not contact.isprintable():
        raise DevServerError(
            f"{CONTACT_VARIABLE} is {repr(contact) if contact else 'not set'}: a mail address or a page, in ASCII, by "
            f"which the operators of {url} can reach you"
        )
    if brokers == IN_MEMORY:
        _say(f"{url} cannot be mirrored without a Kafka to write to; the events are invented ones.")
        return ()
    names = environ.get("UPSTREAM_STREAMS", "").strip() or "recentchange,mediawiki.page_change.v1"
    upstream = Upstream(url, [name.strip() for name in names.split(",")], contact, VERSION)
    try:
        asyncio.run(asyncio.wait_for(upstream.check(), UPSTREAM_SECONDS))
    except (Unavailable, UpstreamError, TimeoutError) as error:
        said = str(error) or f"{url} does not answer within {UPSTREAM_SECONDS} s"
        _say(f"{url} cannot be mirrored: {said.rstrip('.')}. The events are invented ones.")
        return ()
    return ("mirror", url, "--stream", names)


def _manage(name: str, *arguments: str, environ: Mapping[str, str], stack: ExitStack) -> Child:
    log = LOGS / f"{arguments[0]}.log"
    process = spawn([sys.executable, str(ROOT / "manage.py"), *arguments], log, env=environ, cwd=ROOT)
    stack.callback(terminate, process, STOP_SECONDS)
    return Child(name, process, log)


def _wait_until_ready(port: int, children: list[Child]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    said = "nothing"
    while time.monotonic() < deadline:
        for child in children:
            child.check()
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/readyz", timeout=5):
                return
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(2000).decode(errors="replace")
        except OSError:
            pass
        time.sleep(0.1)
    log = children[-1].log
    raise DevServerError(
        f"The server is not ready after {READY_SECONDS} s; /readyz said: {said}; {log} ends with:\n{last_lines(log)}"
    )


def _is_debug(environ: Mapping[str, str]) -> bool:
    return environ["DJANGO_DEBUG"].strip().lower() not in {"", "0", "false", "no", "off"}


def _login(admin: Child | None) -> str:
    """Return how to log in to the admin."""
    if admin is None:
        return "needs `.venv/bin/python manage.py createsuperuser`"
    if admin.process.wait() != 0:
        admin.check()
    return admin.log.read_text(encoding="utf-8").strip()


def _welcome(port: int, config: Config, login: str, demo: Child | None) -> None:
    site = f"http://{HOST}:{port}{config.url_prefix}"
    pages = [f"{site}/?doc  (the API)", f"{site}/admin/  ({login})"]
    if config.stream_ui_enabled:
        pages.insert(0, f"{site}/v2/ui  (streams in the browser)")
    _say(
        "\n".join(
            (
                "",
                "EventStreams is up. Open",
                *(f"    {page}" for page in pages),
                "or watch the events:",
                f"    curl -N {site}/v2/stream/recentchange",
                *([f"The demo writes an hour of history, then live events: see {demo.log}."] if demo else []),
                f"Logs are in {LOGS}. Ctrl-C stops everything.",
            )
        )
    )


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())

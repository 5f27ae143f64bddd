"""nginx, HAProxy and Varnish from Debian's packages, with the examples of deploy/, in front of a server."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streams.local.processes import HOST, free_port, last_lines, spawn, terminate
from tests.support.around.certificates import self_signed
from tests.support.around.chromium import skip
from tests.support.site import ROOT

START_SECONDS = 20.0
PROGRAMS = {"nginx": "nginx", "haproxy": "haproxy", "varnish": "varnishd"}


@dataclass(frozen=True)
class Proxy:
    """A proxy that listens on `port`; `tls` is what its clients need, None for plain HTTP."""

    name: str
    port: int
    tls: ssl.SSLContext | None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}"


@contextmanager
def proxy(
    name: str, folder: Path, upstream: int, changes: Mapping[str, str] | None = None, *, tls: bool = True
) -> Iterator[Proxy]:
    """A proxy in front of the port `upstream`, for the time of a block; `changes` are made in its example.

    HAProxy can do without `tls`, as it does behind another proxy.
    """
    program = shutil.which(PROGRAMS[name], path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        skip(f"needs {name}: install it with `apt-get install {name}`, then run `make test` again")
    port = free_port()
    command = {"nginx": _nginx, "haproxy": _haproxy, "varnish": _varnish}[name](program, folder, port, upstream)
    if not tls:
        changes = {f" ssl crt {folder}/pem alpn h2,http/1.1": "", **(changes or {})}
    for example in (*folder.glob("eventstreams.*"), *folder.glob("haproxy.cfg")):
        example.write_text(_changed(example.name, example.read_text(), changes or {}))
    log = folder / f"{name}.log"
    process = spawn(command, log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{name} does not listen:\n{last_lines(log)}")
            time.sleep(0.05)
        context = None
        if tls and name != "varnish":
            context = ssl.create_default_context(cafile=str(folder / "cert"))
            context.check_hostname = False
        yield Proxy(name, port, context)
    finally:
        terminate(process, 3)


def _nginx(program: str, folder: Path, port: int, upstream: int) -> list[str]:
    _make_certificate(folder)
    text = _example(
        "nginx/eventstreams.conf",
        {
            "server 127.0.0.1:8092;": f"server {HOST}:{upstream};",
            "listen 443 ssl": f"listen {HOST}:{port} ssl",
            "/etc/ssl/eventstreams.crt": str(folder / "cert"),
            "/etc/ssl/eventstreams.key": str(folder / "key"),
        },
    )
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"""
        user root; worker_processes 1; daemon off; pid {folder}/pid; error_log stderr;
        events {{ worker_connections 512; }}
        http {{ access_log off; {temporary} include {folder}/eventstreams.conf; }}"""
    if os.geteuid() != 0:
        main = main.replace("user root;", "")
    (folder / "eventstreams.conf").write_text(text)
    (folder / "nginx.conf").write_text(main)
    return [program, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def _haproxy(program: str, folder: Path, port: int, upstream: int) -> list[str]:
    _make_certificate(folder)
    text = _example(
        "haproxy/haproxy.cfg",
        {
            "maxconn 20000": "maxconn 200",
            "bind :443 ssl crt /etc/ssl/eventstreams.pem": f"bind {HOST}:{port} ssl crt {folder}/pem",
            "server one 127.0.0.1:8092": f"server one {HOST}:{upstream}",
        },
    )
    (folder / "haproxy.cfg").write_text(text)
    return [program, "-db", "-f", str(folder / "haproxy.cfg")]


def _varnish(program: str, folder: Path, port: int, upstream: int) -> list[str]:
    text = _example("varnish/eventstreams.vcl", {'.port = "8092"': f'.port = "{upstream}"'})
    (line,) = (line for line in text.splitlines() if line.startswith("#   -p "))
    (folder / "eventstreams.vcl").write_text(text)
    command = [program, "-F", "-n", str(folder / "varnish"), "-f", str(folder / "eventstreams.vcl"), "-s", "malloc,32m"]
    return [*command, "-a", f"{HOST}:{port}", "-T", "none", "-j", "none", *line.removeprefix("#").split()]


def _example(path: str, changes: dict[str, str]) -> str:
    """The text of an example, with ports and paths of the test."""
    return _changed(path, (ROOT / "deploy" / path).read_text(), changes)


def _changed(path: str, text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert text.count(old) == 1, f"{path} does not have {old!r} once"
        text = text.replace(old, new)
    return text


def _make_certificate(folder: Path) -> None:
    made = self_signed(HOST)
    for name, text in {"cert": made.certificate, "key": made.key, "pem": made.certificate + made.key}.items():
        (folder / name).write_text(text)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
        return True
    return False

"""Runs Kafka on this machine without Docker: Maven fetches the jars, Java runs them.

For development (`make run`), tests and benchmarks. Source: Kafka's documentation, "KRaft" and "Broker Configs".
"""

from __future__ import annotations

import base64
import shutil
import signal
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from streams.local.kafka_jars import JARS, KAFKA_VERSION, LocalKafkaError, find_java, install_jars
from streams.local.processes import HOST, free_port, last_lines, port_is_free, spawn, terminate

__all__ = ["LocalKafka", "LocalKafkaError", "answers"]

_LOG4J = """\
rootLogger.level = WARN
rootLogger.appenderRef.stdout.ref = STDOUT
appender.stdout.type = Console
appender.stdout.name = STDOUT
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
"""


def answers(bootstrap: str, timeout: float = 2.0) -> bool:
    """Return whether one of `host:port,host:port` speaks Kafka (without TLS) and knows a live broker.

    Sends Metadata v1 for no topics: a broker that is not registered yet lists none.
    """
    body = struct.pack(">hhihi", 3, 1, 1, -1, 0)  # Metadata, version 1, correlation id 1, no client id, no topics
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout) as connection:
                connection.settimeout(timeout)
                connection.sendall(struct.pack(">i", len(body)) + body)
                head = b""
                while len(head) < 12:  # size, correlation id, number of brokers
                    received = connection.recv(12 - len(head))
                    if not received:
                        break
                    head += received
        except (OSError, ValueError):
            continue
        if len(head) == 12:
            _, correlation_id, brokers = struct.unpack(">iii", head)
            if correlation_id == 1 and brokers >= 1:
                return True
    return False


# A broker of demos and tests has little to do: optimising compilation and parallel garbage collection cost more CPU
# than its work, and delay its start.
JVM_OPTIONS = ("-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


class LocalKafka:
    """One Kafka node, broker and controller at once, with its data, configuration and log in `folder`.

    Every method may be called from any thread, blocks, and may raise LocalKafkaError.

    Args:
        folder: Where data, configuration and log are kept.
        port: The broker's port; None: a free one.
        properties: Entries of server.properties that replace ours.
        listeners: More listeners, name to port; `properties` has their protocols.
        cluster_id: The same for all nodes of a cluster, which name their controller by `controller.quorum.voters`.
        jars: Where Kafka's jars are kept.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        properties: Mapping[str, str] = MappingProxyType({}),
        listeners: Mapping[str, int] = MappingProxyType({}),
        cluster_id: str = "",
        jars: Path = JARS,
    ) -> None:
        self.folder = folder.absolute()
        self.port = free_port() if port is None else port
        self.log = self.folder / "kafka.log"
        self._controller_port = free_port()
        self._properties = dict(properties)
        self._listeners = dict(listeners)
        # "x": with a leading dash, the id would be read as an option.
        self._cluster_id = cluster_id or "x" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        self._jars = jars.absolute() / KAFKA_VERSION
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """host:port of the broker, for clients."""
        return f"{HOST}:{self.port}"

    @property
    def controller(self) -> str:
        """host:port of the controller, for the other nodes of a cluster."""
        return f"{HOST}:{self._controller_port}"

    @property
    def running(self) -> bool:
        """Whether its process exists (even if paused)."""
        return self._process is not None and self._process.poll() is None

    def install(self) -> None:
        """Fetch Kafka's jars through Maven (some 45 MB) into the shared folder, unless they are there."""
        install_jars(self._jars)

    def start(self, timeout: float = 60.0) -> None:
        """Start it with the data in `folder`, and wait until it answers."""
        if self.running:
            return
        java = find_java()
        self.install()
        if not port_is_free(self.port):
            raise LocalKafkaError(
                f"Port {self.port} on {HOST} is in use: stop what listens there, or choose another port for Kafka"
            )
        if not port_is_free(self._controller_port):
            self._controller_port = free_port()
        try:
            self._write_configuration()
        except OSError as error:
            raise LocalKafkaError(f"Cannot write to the folder {self.folder}: {error.strerror}") from None
        # Native libraries are unpacked into java.io.tmpdir, and a killed process leaves them there.
        command = [java, *JVM_OPTIONS, "-cp", f"{self._jars}/*", f"-Djava.io.tmpdir={self.folder / 'tmp'}"]
        command.append(f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}")
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(command)
        self._process = spawn([*command, "-Xms128m", "-Xmx512m", "kafka.Kafka", str(self._configuration)], self.log)
        try:
            self.wait_ready(timeout)
        except BaseException:
            self.kill()
            raise

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until it answers clients, after a start or `resume`."""
        deadline = time.monotonic() + timeout
        while not answers(self.bootstrap):
            if self._process is None or self._process.poll() is not None:
                code = None if self._process is None else self._process.returncode
                self._process = None
                raise LocalKafkaError(f"Kafka exited with {code}; {self.log} ends with:\n{last_lines(self.log)}")
            if time.monotonic() > deadline:
                raise LocalKafkaError(
                    f"Kafka at {self.bootstrap} does not answer after {timeout:g} s; "
                    f"{self.log} ends with:\n{last_lines(self.log)}"
                )
            time.sleep(0.05)

    def stop(self, timeout: float = 20.0) -> None:
        """Shut it down cleanly, or kill it after `timeout` seconds; do nothing if it does not run."""
        self._signal(signal.SIGCONT)  # a paused process does not see other signals
        if self._process is not None:
            terminate(self._process, timeout)
            self._process = None

    def kill(self) -> None:
        """Kill it at once, as a crash would (SIGKILL)."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue it after `pause`."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop it cleanly and start it again, with the same port and data."""
        self.stop()
        self.start()

    @property
    def _configuration(self) -> Path:
        return self.folder / "server.properties"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _write_configuration(self) -> None:
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)  # left by a killed process
        (self.folder / "tmp").mkdir(parents=True)
        (self.folder / "log4j2.properties").write_text(_LOG4J)
        plain, controller = f"PLAINTEXT://{self.bootstrap}", self.controller
        brokers = ",".join([plain, *(f"{name}://{HOST}:{port}" for name, port in self._listeners.items())])
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            # A static quorum: a dynamic one stores the ports of the first start in the data.
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{brokers},CONTROLLER://{controller}",
            "advertised.listeners": brokers,
            "log.dirs": str(self.folder / "data"),
            # After a crash, a node can only join again when its old session has expired (9 s by default).
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "5",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "5",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # The default of Kafka: the service must neither rely on it nor trip over it.
            "auto.create.topics.enable": "true",
            # 128 MiB by default, a quarter of the heap.
            "log.cleaner.dedupe.buffer.size": "16777216",
            **self._properties,
        }
        if settings["process.roles"] == "broker":
            settings["listeners"] = brokers
        self._configuration.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def _format(self, command: Sequence[str]) -> None:
        arguments = ["format", "--ignore-formatted", "-t", self._cluster_id, "-c", str(self._configuration)]
        process = spawn([*command, "kafka.tools.StorageTool", *arguments], self.log)
        if process.wait() != 0:
            raise LocalKafkaError(f"Kafka's storage could not be formatted:\n{last_lines(self.log)}")

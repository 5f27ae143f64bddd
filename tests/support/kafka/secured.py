"""A Kafka with a listener for each way in: plain, TLS, SASL, and one that it advertises where nobody listens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from streams.local.kafka import LocalKafka
from streams.local.processes import HOST, free_port
from tests.support.around.certificates import self_signed

USER, PASSWORD = "alice", "48151623"

_TOPIC, _LITERAL, _ANY_HOST = 2, 3, "*"
_READ, _DESCRIBE, _ALL = 3, 8, 2
_DENY, _ALLOW = 2, 3


class Secured:
    """`address` of "plain", "tls", "sasl" or "far"; `ca` is the file that the TLS listener is trusted by."""

    def __init__(self, folder: Path) -> None:
        self.ca = folder / "ca.pem"
        ports = {name: free_port() for name in ("TLS", "SASL", "FAR")}
        plain, nobody = free_port(), free_port()
        certificate, key, _ = self_signed("localhost")
        self.ca.write_text(certificate)
        advertised = f"PLAINTEXT://{HOST}:{plain},TLS://{HOST}:{ports['TLS']},SASL://{HOST}:{ports['SASL']}"
        self.nobody = f"{HOST}:{nobody}"
        self.kafka = LocalKafka(
            folder / "kafka",
            port=plain,
            listeners=ports,
            properties={
                "advertised.listeners": f"{advertised},FAR://{self.nobody}",
                "listener.security.protocol.map": (
                    "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,FAR:PLAINTEXT,TLS:SSL,SASL:SASL_PLAINTEXT"
                ),
                "sasl.enabled.mechanisms": "PLAIN",
                "listener.name.sasl.plain.sasl.jaas.config": (
                    f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
                ),
                "listener.name.tls.ssl.keystore.type": "PEM",
                "listener.name.tls.ssl.keystore.certificate.chain": certificate.replace("\n", "\\n"),
                "listener.name.tls.ssl.keystore.key": key.replace("\n", "\\n"),
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",
                "allow.everyone.if.no.acl.found": "true",
            },
        )
        self._addresses = {"plain": self.kafka.bootstrap}
        self._addresses |= {name.lower(): f"{HOST}:{port}" for name, port in ports.items()}

    def address(self, listener: str) -> str:
        return self._addresses[listener]

    def settings(self, listener: str, **more: str) -> dict[str, object]:
        """librdkafka's settings for a listener; those of `more` have underscores for dots."""
        return {
            "metadata.broker.list": self.address(listener),
            **{name.replace("_", "."): value for name, value in more.items()},
        }

    def as_user(self, password: str = PASSWORD) -> dict[str, object]:
        """The settings of the SASL listener."""
        return self.settings(
            "sasl",
            security_protocol="sasl_plaintext",
            sasl_mechanism="PLAIN",
            sasl_username=USER,
            sasl_password=password,
        )

    async def deny(self, topic: str, *, sees: bool) -> None:
        """Let the user no longer read a topic; whether it still `sees` it in the metadata."""
        rules = [(_READ, _DENY), (_DESCRIBE, _ALLOW)] if sees else [(_ALL, _DENY)]
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        try:
            for operation, permission in rules:
                rule = (_TOPIC, topic, _LITERAL, f"User:{USER}", _ANY_HOST, operation, permission)
                node = admin._client.get_random_node()
                answer: Any = await admin._client.send(node, CreateAclsRequest(*rule))
                assert [code for code, _ in answer.creation_responses] == [0]
        finally:
            await admin.close()


@contextmanager
def secured_kafka(folder: Path) -> Iterator[Secured]:
    made = Secured(folder)
    try:
        made.kafka.start()
        yield made
    finally:
        made.kafka.kill()

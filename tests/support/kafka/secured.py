"""A Kafka with a listener for each way in: plain, TLS, SASL, and one that it advertises where nobody listens."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from streams.local.kafka import LocalKafka
from streams.local.processes import HOST, free_port

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
        certificate, key = _self_signed()
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


def _self_signed() -> tuple[str, str]:
    """Certificate and key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's broker")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    address = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36_500))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem).decode(), private.decode()

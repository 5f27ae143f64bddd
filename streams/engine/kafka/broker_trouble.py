"""Why a broker does not do what it is asked: sentences that say what to look at; no password, no text of a broker's."""

from __future__ import annotations

import logging
import ssl

from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    LeaderNotAvailableError,
    NotLeaderForPartitionError,
    OffsetOutOfRangeError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)

from streams.core.positions import TopicPartition
from streams.engine.outage import Outage
from streams.engine.source import (
    NotAuthorizedError,
    OutOfRangeError,
    SourceError,
    SourceUnavailableError,
    UnknownPartitionError,
)

log = logging.getLogger(__name__)

_MOVED = (NotLeaderForPartitionError, LeaderNotAvailableError)
_CHECK = "check security.protocol, which is {protocol}"
_CLOSED_AT_ONCE = f"it closed the connection at once; {_CHECK}"
_REASONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (ConnectionRefusedError, "connection refused: nothing listens there"),
    ((TimeoutError, RequestTimedOutError), "no answer in time"),
    ((SaslAuthenticationFailed, AuthenticationFailedError), "it rejects sasl.username and sasl.password"),
    (UnsupportedSaslMechanismError, "it does not support the configured sasl.mechanism"),
    (IllegalSaslStateError, f"it expects no SASL; {_CHECK}"),
    ((KafkaConnectionError, ConnectionError, EOFError), _CLOSED_AT_ONCE),
)
"""Sentences by the kind of error; the first that fits counts."""


def reason_of(error: BaseException, protocol: str, has_answered: bool) -> str:
    """Return why a connection or a request failed; `protocol` is `security.protocol` in capitals.

    `has_answered`: the broker has answered a request before, so that the settings are right.
    """
    cause = error.__cause__
    if isinstance(error, KafkaConnectionError) and isinstance(cause, OSError):
        return reason_of(cause, protocol, has_answered)
    if isinstance(error, ssl.SSLError):
        return _tls_reason(error, protocol)
    sentence = next((sentence for kind, sentence in _REASONS if isinstance(error, kind)), None)
    if sentence is None:
        return _other_reason(error)
    if sentence is _CLOSED_AT_ONCE and has_answered:
        return "it closed the connection"
    return sentence.format(protocol=protocol.lower())


def _tls_reason(error: ssl.SSLError, protocol: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its TLS certificate is not accepted ({error.verify_message.rstrip('.')}); check ssl.ca.location, and "
            "that the host's name is the one in the certificate"
        )
    what = error.reason or "no reason given"
    return f"TLS fails ({what}); check security.protocol, which is {protocol.lower()}, and the ssl.* settings"


def _other_reason(error: BaseException) -> str:
    if type(error).__name__ == "gaierror":  # of the module `socket`, which this layer has no other use for
        return "its host name is unknown"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, KafkaError):
        return type(error).__name__
    return f"what listens there does not speak Kafka's protocol ({type(error).__name__})"


def failure(error: type[KafkaError], tp: TopicPartition, offset: int | None = None) -> SourceError:
    """Return what a broker's error for one partition is to us."""
    where = f"{tp.topic} partition {tp.partition}"
    if error is UnknownTopicOrPartitionError:
        return UnknownPartitionError(f"{where} does not exist")
    if error is OffsetOutOfRangeError:
        return OutOfRangeError(f"{where} does not have offset {offset}")
    if error is TopicAuthorizationFailedError:
        return not_authorized(tp.topic)
    if error in _MOVED:
        return SourceUnavailableError(f"the leader of {where} has moved or is not there yet")
    return SourceUnavailableError(f"{where} cannot be served at the moment: {error.__name__}")


def not_authorized(topic: str) -> NotAuthorizedError:
    """Return the error for a topic that the service may not read."""
    return NotAuthorizedError(f"Kafka does not authorise this service to read the topic {topic}")


class BrokerOutages:
    """Logs the outages of single brokers: each has its own lines."""

    def __init__(self) -> None:
        self._outages: dict[int, Outage] = {}

    def fails(self, node: int, why: str) -> None:
        """Note that a broker does not answer, and why."""
        if node not in self._outages:
            what = f"Kafka broker {node} does not answer, retrying"
            self._outages[node] = Outage(log, what, level=logging.WARNING)
        self._outages[node].continues(why)

    def works(self, node: int) -> None:
        """Note that a broker answers."""
        if node in self._outages:
            self._outages[node].is_over(f"Kafka broker {node} answers again")

"""Why a broker does not do what it is asked: sentences that say what to look at; no password, no text of a broker's."""

from __future__ import annotations

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
from streams.engine.source import (
    NotAuthorizedError,
    OutOfRangeError,
    SourceError,
    SourceUnavailableError,
    UnknownPartitionError,
)

_MOVED = (NotLeaderForPartitionError, LeaderNotAvailableError)


def reason_of(error: BaseException, protocol: str, has_answered: bool) -> str:
    """Return why a connection or a request failed; `protocol` is `security.protocol` in capitals.

    `has_answered`: the broker has answered a request before, so that the settings are right.
    """
    cause = error.__cause__
    if isinstance(error, KafkaConnectionError) and isinstance(cause, OSError):
        return reason_of(cause, protocol, has_answered)
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its TLS certificate is not accepted ({error.verify_message.rstrip('.')}); check ssl.ca.location, and "
            "that the host's name is the one in the certificate"
        )
    if isinstance(error, ssl.SSLError):
        what = error.reason or "no reason given"
        return f"TLS fails ({what}); check security.protocol, which is {protocol.lower()}, and the ssl.* settings"
    if type(error).__name__ == "gaierror":  # of the module `socket`, which this layer has no other use for
        return "its host name is unknown"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    if isinstance(error, TimeoutError | RequestTimedOutError):
        return "no answer in time"
    if isinstance(error, SaslAuthenticationFailed | AuthenticationFailedError):
        return "it rejects sasl.username and sasl.password"
    if isinstance(error, UnsupportedSaslMechanismError):
        return "it does not support the configured sasl.mechanism"
    if isinstance(error, IllegalSaslStateError):
        return f"it expects no SASL; check security.protocol, which is {protocol.lower()}"
    if isinstance(error, KafkaConnectionError | ConnectionError | EOFError):
        if has_answered:
            return "it closed the connection"
        return f"it closed the connection at once; check security.protocol, which is {protocol.lower()}"
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
    return SourceUnavailableError(f"{where} cannot be served just now: {error.__name__}")


def not_authorized(topic: str) -> NotAuthorizedError:
    return NotAuthorizedError(f"Kafka does not authorise this service to read the topic {topic}")

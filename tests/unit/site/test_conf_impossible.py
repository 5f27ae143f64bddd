"""Values of the right type that can never work: refused when the configuration is read, not found out later."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.site.configuration import load, refusal


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("keepalive_seconds", "0.000001"),
        ("stream_config_ttl", "0.000001"),
        ("stall_seconds", "0.0001"),
        ("max_connection_seconds", "0.5"),
        ("max_worker_seconds", "0.001"),
        ("gather_seconds", "100000"),
        ("drain_seconds", "1000000000"),
        ("ring_bytes", "1" + 30 * "0"),
        ("max_connections", "1" + 30 * "0"),
        ("stream_config_uri", "'http://h:port/x'"),
        ("stream_config_uri", "http://h:99999/x"),
        ("stream_config_uri", "'http://[::1/x'"),
        ("stream_config_uri", "http:///x"),
        ("stream_config_uri", '"a\\0b"'),
        ("schema_base_uris", "['https://h:99999']"),
        ("redis_url", "redis://h:99999/0"),
        ("redis_url", "'redis://[::1'"),
        ("redis_url", "redis://h/name"),
        ("sentry_dsn", "https://k@h:port/1"),
        ("sentry_dsn", "http://k@:80/1"),
        ("otlp_endpoint", "http://h:99999"),
        ("otlp_endpoint", "http://:4318"),
        ("cors", "https://exämple.org"),
        ("cors", '"https://a\\x01b.org"'),
        ("cors", "https://a.org?b"),
        ("cors", "'https://a.org#b'"),
        ("cors", "https://me@a.org"),
        ("cors", "https://a.org:99999"),
    ],
)
def test_a_value_that_can_never_work_is_refused(tmp_path: Path, key: str, text: str) -> None:
    message = refusal(tmp_path, f"{key}: {text}")
    assert message.startswith(key)
    assert "is not accepted; expected" in message


def test_an_origin_is_taken_as_browsers_send_it(tmp_path: Path) -> None:
    assert load(tmp_path, "cors: HTTPS://Example.org:8443").cors == "https://example.org:8443"


@pytest.mark.parametrize("text", ["max_streams: " + 5000 * "9", "stream_config_ttl: 2026-13-45"])
def test_a_number_or_a_date_that_cannot_be_read_is_said_to_be_one(tmp_path: Path, text: str) -> None:
    assert "has a number or a date that cannot be read; quote it if it is text" in refusal(tmp_path, text)

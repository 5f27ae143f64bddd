"""The configuration file, the variables over it, and what is reported of mistakes."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from eventstreams_site.config.config import ConfigError, load_config
from eventstreams_site.config.settings import SETTINGS
from tests.support.site.configuration import load, refusal, warnings_of

ROOT = Path(__file__).resolve().parents[3]
PRODUCTION = Path(__file__).resolve().parents[2] / "data" / "config.production.yaml"


# The table and its defaults


def test_every_default_follows_the_rule_of_its_setting() -> None:
    for setting in SETTINGS:
        if setting.default is not None and setting.name != "trusted_proxies":
            given = list(setting.default) if isinstance(setting.default, tuple) else setting.default
            assert setting.parse(given, Path("/")) == setting.default, setting.name


def test_without_file_and_variables_the_defaults_hold() -> None:
    config = load_config({})
    assert {setting.name: getattr(config, setting.name) for setting in SETTINGS} == {
        setting.name: setting.default for setting in SETTINGS
    }
    assert (config.cors, config.keepalive_seconds, config.max_streams) == ("*", 15.0, 50)
    assert (config.client_ip_connection_limit, config.max_connections, config.drain_seconds) == (0, 10_000, 5.0)
    assert (config.ring_bytes, config.history_cache_bytes, config.history_readers) == (8 << 20, 8 << 20, 8)
    assert config.allowed_streams is None
    assert not config.stream_ui_enabled


@pytest.mark.parametrize(
    ("peer", "believed"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("172.31.0.1", True),
        ("172.32.0.1", False),
        ("192.168.7.7", True),
        ("fd00::1", True),
        ("fe80::1", True),
        ("8.8.8.8", False),
        ("2001:db8::1", False),
    ],
)
def test_by_default_proxies_on_loopback_and_private_networks_are_believed(peer: str, believed: bool) -> None:
    address = ipaddress.ip_address(peer)
    assert any(address in network for network in load_config({}).trusted_proxies) is believed


# Values


def test_the_production_file_is_read_without_a_word_about_keys_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    config = load_config({"EVENTSTREAMS_CONFIG": str(PRODUCTION)})
    assert config.stream_config_uri == str(PRODUCTION.parent / "streamconfigs.json")
    assert config.schema_base_uris == (str(PRODUCTION.parent / "schemas"),)
    assert config.client_ip_connection_limit == 2
    assert config.stream_ui_enabled
    assert len(config.allowed_streams or ()) == 21
    assert "TUT.BY" in config.mediawiki_redacted_pages["ru.wikipedia.org"]
    assert [warning.split()[1] for warning in warnings_of(caplog)] == [
        "queued.max.messages.kbytes",
        "queued.min.messages",
        "statistics.interval.ms",
    ]


def test_the_development_file_that_ships_is_read_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    config = load_config({"EVENTSTREAMS_CONFIG": str(ROOT / "config" / "development.yaml")})
    assert config.stream_config_uri == str(ROOT / "config" / "streams.yaml")
    assert warnings_of(caplog) == []


def test_every_key_of_the_contract_is_accepted_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = load(
        tmp_path,
        """
        stream_config_uri: https://meta.example.org/w/api.php?action=streamconfigs
        stream_config_uri_options: {headers: {Host: meta.example.org}}
        stream_config_object_path: streams
        stream_config_ttl: 60
        stream_config_defaults: {a: {description: A}}
        stream_config_overrides: {b: {topics: [b]}, c:}
        allowed_streams: [a, b]
        schema_base_uris: [https://schema.example.org/primary, file:///srv/schemas, /srv/more, ./schemas]
        schema_uri_options: {headers: {Accept: application/json}}
        schema_latest_version: latest
        admin_uri_hosts: [Schema.example.org., "2001:db8:0::1", "h.example:8443", "[::1]:80"]
        client_ip_connection_limit: 2
        mediawiki_redacted_pages: {example.org: [A page]}
        cors: https://example.org
        stream_ui_enabled: true
        kafka: {metadata.broker.list: "kafka:9092"}
        keepalive_seconds: 0.5
        max_streams: 3
        client_ip_header: X-Real-IP
        trusted_proxies:
        - ::1
        - 10.0.0.0/8
        - 192.0.2.7
        redis_url: redis://redis:6379/0
        """,
    )
    assert warnings_of(caplog) == []
    assert config.stream_config_uri == "https://meta.example.org/w/api.php?action=streamconfigs"
    assert config.schema_base_uris[1:] == ("file:///srv/schemas", "/srv/more", str(tmp_path / "schemas"))
    assert config.admin_uri_hosts == ("schema.example.org", "2001:db8::1", "h.example:8443", "[::1]:80")
    assert config.stream_config_overrides == {"b": {"topics": ["b"]}, "c": {}}
    assert config.keepalive_seconds == 0.5
    assert [str(network) for network in config.trusted_proxies] == ["::1/128", "10.0.0.0/8", "192.0.2.7/32"]


def test_relative_paths_start_from_the_current_directory_where_there_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config({"EVENTSTREAMS_STREAM_CONFIG_URI": "./s.yaml"}).stream_config_uri == str(tmp_path / "s.yaml")


def test_a_relative_path_in_a_variable_starts_from_the_folder_of_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, stream_config_uri="other/s.yaml").stream_config_uri == str(tmp_path / "other" / "s.yaml")


@pytest.mark.parametrize("text", ["cors: false", "cors: ''", "cors:"])
def test_cors_that_is_false_or_empty_is_off(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).cors == ""


@pytest.mark.parametrize("text", ["false", "", '""'])
def test_cors_is_switched_off_by_a_variable_too(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, "cors: '*'", cors=text).cors == ""


def test_a_null_gives_the_default(tmp_path: Path) -> None:
    config = load(tmp_path, "max_streams:\nkafka: ~\nredis_url: null\nmediawiki_redacted_pages:\n")
    assert (config.max_streams, config.kafka, config.redis_url, config.mediawiki_redacted_pages) == (50, {}, None, {})


def test_an_allowed_streams_that_is_empty_counts_as_set(tmp_path: Path) -> None:
    assert load(tmp_path, "allowed_streams: []").allowed_streams == ()


# Variables over the file


def test_a_variable_replaces_the_value_of_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, "max_streams: 3\nallowed_streams: [a, b]", max_streams="7", allowed_streams="[c]")
    assert (config.max_streams, config.allowed_streams) == (7, ("c",))


def test_a_mapping_in_a_variable_is_merged_into_that_of_the_file_at_every_depth(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "kafka: {client.id: one, fetch.min.bytes: 2}\nstream_config_overrides: {a: {description: A, topics: [x, y]}}",
        kafka="{metadata.broker.list: 'b:9', fetch.min.bytes: 3}",
        stream_config_overrides='{"a": {"topics": ["z"]}, "b": {"topics": ["b"]}}',
    )
    assert config.kafka == {"client.id": "one", "fetch.min.bytes": 3, "metadata.broker.list": "b:9"}
    assert config.stream_config_overrides == {
        "a": {"description": "A", "topics": ["z"]},
        "b": {"topics": ["b"]},
    }


def test_an_empty_variable_leaves_the_list_of_redacted_pages_as_it_is(tmp_path: Path) -> None:
    config = load(tmp_path, "mediawiki_redacted_pages: {x.org: [A]}", mediawiki_redacted_pages=" ")
    assert config.mediawiki_redacted_pages == {"x.org": ("A",)}


# Mistakes


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("max_streams", "0"),
        ("max_streams", "many"),
        ("max_streams", "true"),
        ("max_streams", "1.5"),
        ("max_connections", "-1"),
        ("client_ip_connection_limit", "-2"),
        ("client_ip_connection_limit", "false"),
        ("history_readers", "0"),
        ("ring_bytes", "0"),
        ("history_cache_bytes", "-1"),
        ("url_prefix", "events"),
        ("url_prefix", "/a b"),
        ("url_prefix", "//host"),
        ("url_prefix", "/../x"),
        ("url_prefix", "/events?x"),
        ("url_prefix", "https://example.org/events"),
        ("url_prefix", "/v2"),
        ("url_prefix", "/admin/events"),
        ("url_prefix", "5"),
        ("keepalive_seconds", "-1"),
        ("keepalive_seconds", ".nan"),
        ("keepalive_seconds", ".inf"),
        ("keepalive_seconds", "1.0e+300"),
        ("stream_config_ttl", "100000000000000"),
        ("drain_seconds", "true"),
        ("stream_config_ttl", "1 minute"),
        ("stream_ui_enabled", "1"),
        ("stream_ui_enabled", "'true'"),
        ("allowed_streams", "a,b"),
        ("allowed_streams", "[a, 5]"),
        ("schema_base_uris", "./schemas"),
        ("schema_base_uris", "['s3://bucket']"),
        ("stream_config_uri", "5"),
        ("stream_config_uri", "ftp://example.org/x"),
        ("stream_config_uri", "file:relative.yaml"),
        ("stream_config_object_path", "[streams]"),
        ("stream_config_defaults", "[a]"),
        ("stream_config_overrides", "{a: b}"),
        ("stream_config_overrides", "{1: {}}"),
        ("schema_latest_version", "1.0"),
        ("admin_uri_hosts", "schema.example.org"),
        ("admin_uri_hosts", "['https://schema.example.org']"),
        ("admin_uri_hosts", "['schema.example.org:']"),
        ("admin_uri_hosts", "['schema.example.org:65536']"),
        ("admin_uri_hosts", "['me@schema.example.org']"),
        ("admin_uri_hosts", "['schema.example.org/x']"),
        ("admin_uri_hosts", "['2001:db8::g']"),
        ("mediawiki_redacted_pages", "[a]"),
        ("mediawiki_redacted_pages", "{a.org: Title}"),
        ("mediawiki_redacted_pages", "{a.org: }"),
        ("cors", "true"),
        ("cors", "'https://a.org, https://b.org'"),
        ("cors", '"https://a.org\\r\\nX: y"'),
        ("client_ip_header", "X Client IP"),
        ("trusted_proxies", "[10.0.0.1/8]"),
        ("trusted_proxies", "[localhost]"),
        ("trusted_proxies", "10.0.0.0/8"),
    ],
)
def test_a_wrong_value_is_refused_by_key_value_expectation_and_origin(tmp_path: Path, key: str, text: str) -> None:
    from_file = refusal(tmp_path, f"{key}: {text}")
    from_variable = refusal(tmp_path, "", **{key: text})
    assert from_file.startswith(key)
    assert from_variable.startswith(key)
    assert "expected" in from_file
    assert str(tmp_path / "config.yaml") in from_file
    assert f"EVENTSTREAMS_{key.upper()}" in from_variable


def test_the_message_names_the_place_inside_a_list_and_the_value(tmp_path: Path) -> None:
    message = refusal(tmp_path, "trusted_proxies: [10.0.0.0/8, 10.0.0.1/8]")
    assert message.startswith("trusted_proxies[1]: '10.0.0.1/8' is not accepted; expected an address or a network")


def test_a_wrong_mapping_of_file_and_variable_names_both(tmp_path: Path) -> None:
    message = refusal(tmp_path, "kafka: {fetch.min.bytes: x}", kafka="{client.id: a}")
    assert "fetch.min.bytes: 'x'" in message
    assert str(tmp_path / "config.yaml") in message
    assert "EVENTSTREAMS_KAFKA" in message


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("kafka", "{security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: u, sasl.password: 48151}"),
        ("kafka", "{sasl.password: 48151, sasl.password: 48151}"),
        ("kafka", "{sasl.password: *x48151}"),
        ("kafka", "{sasl.password: !x48151}"),
        ("kafka", "'sasl.password=48151'"),
        ("redis_url", "http://:48151@redis"),
        ("stream_config_uri_options", "{headers: {Authorization: 48151}}"),
        ("schema_uri_options", "{headers: [Bearer 48151]}"),
    ],
)
def test_a_secret_never_appears_in_a_message(tmp_path: Path, key: str, text: str) -> None:
    for message in (refusal(tmp_path, f"{key}: {text}"), refusal(tmp_path, "", **{key: text})):
        assert "48151" not in message


def test_a_secret_never_appears_in_the_repr_of_the_config(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "kafka: {security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: u, sasl.password: s3cr3t}\n"
        "redis_url: redis://:s3cr3t@redis\nstream_config_uri_options: {headers: {Authorization: s3cr3t}}",
    )
    assert "s3cr3t" not in repr(config)


@pytest.mark.parametrize(
    "text", ["- a\n- b\n", "just text", "a: [", "a: b: c", "max_streams: 1\nmax_streams: 2\n", "\x00"]
)
def test_a_file_that_is_no_mapping_of_settings_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    assert str(tmp_path / "config.yaml") in refusal(tmp_path, text)


def test_a_file_that_is_absent_or_not_utf8_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    with pytest.raises(ConfigError, match=r"EVENTSTREAMS_CONFIG: .*x\.yaml cannot be read: No such file"):
        load_config({"EVENTSTREAMS_CONFIG": str(path)})
    path.write_bytes(b"cors: \xff")
    with pytest.raises(ConfigError, match=r"x\.yaml is not UTF-8"):
        load_config({"EVENTSTREAMS_CONFIG": str(path)})


def test_an_unquoted_asterisk_in_a_variable_is_refused_with_the_advice_to_quote_it(tmp_path: Path) -> None:
    message = refusal(tmp_path, cors="*")
    assert "EVENTSTREAMS_CORS" in message
    assert "quote" in message


# Warnings


def test_an_unknown_key_is_named_in_a_warning_with_what_was_perhaps_meant(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(tmp_path, "kafka: {metadata.broker.list: a}\nmax_stream: 5\nzzz: 1\n3: 4")
    first, second, third = warnings_of(caplog)
    assert "max_stream " in first
    assert "did you mean max_streams?" in first
    assert "zzz" in second
    assert "did you mean" not in second
    assert "key 3 " in third


def test_an_unknown_variable_is_named_in_a_warning_but_not_those_of_others(caplog: pytest.LogCaptureFixture) -> None:
    load_config({"EVENTSTREAMS_KAFKA": "{metadata.broker.list: a}", "EVENTSTREAMS_MAX_STREAM": "5", "HOME": "/"})
    (warning,) = warnings_of(caplog)
    assert "EVENTSTREAMS_MAX_STREAM " in warning
    assert "did you mean EVENTSTREAMS_MAX_STREAMS?" in warning


def test_a_kafka_setting_without_effect_is_named_in_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(tmp_path, "kafka: {metadata.broker.list: a, group.id: g}")
    (warning,) = warnings_of(caplog)
    assert warning.startswith("kafka: group.id has no effect")


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("max_streams: 1\nmax_streams: 2\n", "max_streams", 2),
        ("stream_config_overrides:\n  a: {topics: [t]}\n  b: {}\n  a: {topics: [u]}\n", "a", 4),
        ("stream_config_overrides:\n  a:\n    topics: [t]\n    topics: [u]\n", "topics", 4),
        ("stream_config_defaults:\n  a: {x: [{y: 1, z: 2, y: 3}]}\n", "y", 2),
        ("kafka:\n  1: a\n  '1': b\n", "1", 3),
        ('{"cors": "*", "max_streams": 3, "cors": "https://example.org"}', "cors", 1),
    ],
)
def test_a_key_that_stands_twice_is_refused_at_any_depth(tmp_path: Path, text: str, key: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}: duplicate key at line {line} of the file .*; keep one of them$"):
        load(tmp_path, text)


def test_a_key_that_stands_twice_in_a_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="duplicate key at line 1 of the variable EVENTSTREAMS_KAFKA; keep one of them"
    ):
        load(tmp_path, "", kafka="{a: 1, a: 2}")

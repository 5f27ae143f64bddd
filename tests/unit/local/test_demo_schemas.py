"""The schemas that ship: the development configuration leads to them, and the demo's events keep to them."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from eventstreams_site.config.config import Config, load_config
from redaction.check.verdict import find_user_keys
from redaction.redactor import Redactor
from streams.core.catalogue import Catalogue, Layers, compile_catalogue
from streams.core.events import Record, encode
from streams.local.demo.samples import LISTED_PAGE, LISTED_WIKI
from streams.local.demo.streams import STREAMS, TOPICS
from tests.support.events.demo import changes

ROOT = Path(__file__).resolve().parents[3]
WIKIMEDIA = Path(__file__).resolve().parents[2] / "data" / "schemas"
OF_EACH_STREAM = 700
"""Events that are validated at most: some streams have thousands."""


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config({"EVENTSTREAMS_CONFIG": str(ROOT / "config" / "development.yaml")})


@pytest.fixture(scope="module")
def catalogue(config: Config) -> Catalogue:
    fetched = yaml.safe_load(Path(config.stream_config_uri or "").read_text(encoding="utf-8"))
    return compile_catalogue(Layers(fetched[config.stream_config_object_path]), 1)


def find(config: Config, name: str) -> Any:
    """What the contract's look-up finds of a schema."""
    paths = [Path(base + name) for base in config.schema_base_uris]
    return yaml.safe_load(next(path for path in paths if path.is_file()).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def schemas(config: Config, catalogue: Catalogue) -> dict[str, Any]:
    """By stream."""
    return {stream.name: find(config, stream.schema_uri or "") for stream in catalogue.streams.values()}


@pytest.fixture(scope="module")
def validators(schemas: dict[str, Any]) -> dict[str, Draft7Validator]:
    return {stream: validator(schema) for stream, schema in schemas.items()}


def validator(schema: Any) -> Draft7Validator:
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)


def errors(validator: Draft7Validator, event: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(event)]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """As Kafka has them: canaries and whatever is rare, and the beginning of the rest."""
    left = dict.fromkeys(STREAMS, OF_EACH_STREAM)
    found = []
    for change in changes():
        for record in change:
            stream = record.topic.partition(".")[2]
            canary = b'"domain":"canary"' in record.value
            if canary or left[stream] > 0:
                left[stream] -= not canary
                found.append(Record(record.topic, 0, len(found), record.timestamp_ms, record.key, record.value))
    assert len(found) > 3000
    return found


def events(records: list[Record], redactor: Redactor | None = None) -> Iterator[dict[str, Any]]:
    """As clients get them."""
    for record in records:
        yield json.loads(encode(record, redactor or Redactor({})).json)


# The configuration


def test_the_development_configuration_has_the_demo_s_streams_and_topics(catalogue: Catalogue) -> None:
    assert set(catalogue.streams) == set(STREAMS)
    assert {topic for stream in catalogue.streams.values() for topic in stream.topics} == set(TOPICS)
    assert (catalogue.skipped, catalogue.problems) == ((), ())
    assert all(stream.canary_events_enabled and stream.description for stream in catalogue.streams.values())


def test_every_stream_leads_to_a_schema_that_says_its_own_name(catalogue: Catalogue, schemas: dict[str, Any]) -> None:
    for stream in catalogue.streams.values():
        schema = schemas[stream.name]
        assert schema["$id"] == stream.schema_uri
        assert schema["title"] == stream.schema_title
        assert stream.schema_uri == f"/{stream.schema_title}/{stream.schema_uri.rpartition('/')[2]}"


def test_every_schema_that_ships_is_of_a_stream(config: Config, schemas: dict[str, Any]) -> None:
    (base,) = config.schema_base_uris
    shipped = {"/" + path.relative_to(base).as_posix() for path in Path(base).rglob("*") if path.is_file()}
    assert shipped == {schema["$id"] for schema in schemas.values()}


def test_the_page_that_the_demo_edits_now_and_then_is_the_one_that_the_configuration_lists(config: Config) -> None:
    assert config.mediawiki_redacted_pages == {LISTED_WIKI.domain: (LISTED_PAGE,)}


# What the schemas admit


@pytest.mark.slow
def test_every_event_keeps_to_its_schema(
    records: list[Record], catalogue: Catalogue, validators: dict[str, Draft7Validator]
) -> None:
    for record in records:
        event = json.loads(record.value)
        stream = event["meta"]["stream"]
        assert event["$schema"] == catalogue.streams[stream].schema_uri
        assert errors(validators[stream], event) == []


def test_every_event_keeps_to_its_schema_as_clients_get_it(
    records: list[Record], validators: dict[str, Draft7Validator]
) -> None:
    for event in events(records):
        assert {"topic", "partition", "offset"} <= event["meta"].keys()
        assert errors(validators[event["meta"]["stream"]], event) == []


def test_an_event_of_the_listed_page_names_nobody_and_keeps_to_its_schema(
    config: Config, records: list[Record], validators: dict[str, Draft7Validator]
) -> None:
    redactor = Redactor(config.mediawiki_redacted_pages)
    of_it = [record for record in records if LISTED_PAGE.replace(" ", "_") in record.value.decode().replace(" ", "_")]
    names = [person.name for person in LISTED_WIKI.people]
    assert len({record.topic.partition(".")[2] for record in of_it}) == 5
    for record in of_it:
        assert any(name in record.value.decode() for name in names)
        served = encode(record, redactor).json
        assert [name for name in names if name in served.decode()] == []
        assert find_user_keys(served) == []
        event = json.loads(served)
        assert errors(validators[event["meta"]["stream"]], event) == []


@pytest.mark.slow
def test_an_event_of_any_page_would_keep_to_its_schema_if_the_page_were_listed(
    records: list[Record], validators: dict[str, Draft7Validator]
) -> None:
    pages: dict[str, set[str]] = {}
    for event in events(records):
        title = event.get("title") or event.get("page_title") or event.get("page", {}).get("page_title")
        pages.setdefault(event["meta"]["domain"], set()).update([title] if title else [])
    redacted = 0
    for before, event in zip(events(records), events(records, Redactor(pages)), strict=True):
        redacted += before != event
        assert errors(validators[event["meta"]["stream"]], event) == []
    assert redacted > 3000


# What the schemas say


def test_the_first_example_of_a_schema_is_an_event_of_a_wiki_that_keeps_to_it(
    schemas: dict[str, Any], validators: dict[str, Draft7Validator]
) -> None:
    for stream, schema in schemas.items():
        example = schema["examples"][0]
        assert errors(validators[stream], example) == []
        assert example["$schema"] == schema["$id"]
        assert example["meta"]["domain"].endswith(".wikipedia.org")
        assert uuid.UUID(example["meta"]["id"]).version == 4
        assert len(example) >= 10


def test_every_field_of_an_event_is_in_its_schema(records: list[Record], schemas: dict[str, Any]) -> None:
    for event in events(records):
        stream = event["meta"]["stream"]
        assert list(unknown(event, schemas[stream], schemas[stream])) == [], stream


def unknown(value: Any, schema: Any, root: Any, path: str = "$") -> Iterator[str]:
    """The fields that are not described, but for what may be anything."""
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].removeprefix("#/definitions/")]
    if isinstance(value, list):
        for item in value:
            yield from unknown(item, schema.get("items", {}), root, f"{path}[]")
    elif isinstance(value, dict) and "properties" in schema:
        for name, member in value.items():
            if name in schema["properties"]:
                yield from unknown(member, schema["properties"][name], root, f"{path}.{name}")
            else:
                yield f"{path}.{name}"


def test_a_field_of_another_type_is_refused(records: list[Record], validators: dict[str, Draft7Validator]) -> None:
    """So that an event that keeps to its schema means something."""
    seen = set()
    for event in events(records):
        stream = event["meta"]["stream"]
        if stream in seen or len(event) < 3:
            continue
        seen.add(stream)
        for name in event:
            wrong = copy.deepcopy(event)
            wrong[name] = [None] if isinstance(event[name], dict) else {"wrong": None}
            if name != "log_params":
                assert errors(validators[stream], wrong), (stream, name)
        for name in ("$schema", "meta"):
            assert errors(validators[stream], {key: value for key, value in event.items() if key != name})
    assert seen == set(STREAMS)


def test_a_row_of_recent_changes_without_what_its_type_has_is_refused(
    records: list[Record], validators: dict[str, Draft7Validator]
) -> None:
    needed = {"edit": {"revision", "length"}, "new": {"revision", "length"}, "log": {"log_type", "log_id"}}
    seen = set()
    for event in events(records):
        kind = event.get("type")
        for name in needed.get(kind, ()):
            assert errors(validators["mediawiki.recentchange"], {k: v for k, v in event.items() if k != name})
            seen.add((kind, name))
    assert len(seen) == 6


@pytest.mark.slow
def test_every_event_and_every_example_keeps_to_wikimedia_s_schema_too(
    records: list[Record], schemas: dict[str, Any]
) -> None:
    known = {
        name: validator(yaml.safe_load((WIKIMEDIA / f"{name.lstrip('/')}.yaml").read_text(encoding="utf-8")))
        for name in {schema["$id"] for schema in schemas.values()}
    }
    examples = [schema["examples"][0] for schema in schemas.values()]
    for event in [*(json.loads(record.value) for record in records[:2000]), *examples]:
        assert errors(known[event["$schema"]], event) == []

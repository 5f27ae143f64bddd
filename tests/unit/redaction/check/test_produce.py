"""The test edit: it is what MediaWiki would have produced, and it never leaves this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from redaction.check.page_filter import is_of
from redaction.check.produced_edit import SHAPES, Edit, ProduceError, events_of, produce
from redaction.check.verdict import find_leaks, find_user_keys
from redaction.redactor import Redactor
from streams.core.catalogue import Stream
from streams.core.events import Record, encode

SCHEMAS = Path(__file__).resolve().parents[3] / "data" / "schemas"
DOMAIN = "ru.wikipedia.org"
TITLE = "Участник:HTriedman_(WMF)/redacted page test"
AT = 1_790_000_000_123


def streams(*more: tuple[str, str]) -> list[Stream]:
    """One of each kind, and further ones by name and schema."""
    kinds = [(title.replace("/", "."), title) for title in SHAPES]
    return [
        Stream(
            name=name,
            topics=(f"eqiad.{name}",),
            topics_allowed=(),
            aliases=(),
            description="",
            schema_title=title,
            schema_uri=None,
            canary_events_enabled=False,
            settings={},
        )
        for name, title in [*kinds, *more]
    ]


def events() -> dict[str, Any]:
    return {stream.schema_title or "": event for stream, event in events_of(Edit.of(DOMAIN, TITLE, AT), streams())}


@pytest.mark.parametrize("title", SHAPES)
def test_each_event_keeps_to_its_schema(title: str) -> None:
    event = events()[title]
    assert event["$schema"].startswith(f"/{title}/")
    schema = yaml.safe_load((SCHEMAS / f"{event['$schema'].lstrip('/')}.yaml").read_text())
    validator = Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)
    assert [error.message for error in validator.iter_errors(event)] == []


@pytest.mark.parametrize("title", SHAPES)
def test_each_event_is_of_the_page_and_of_the_revision_and_names_who_acted(title: str) -> None:
    edit = Edit.of(DOMAIN, TITLE, AT)
    [(stream, event)] = [pair for pair in events_of(edit, streams()) if pair[0].schema_title == title]
    value = json.dumps(event).encode()
    assert is_of(value, DOMAIN, TITLE, edit.rev_id)
    assert event["meta"]["stream"] == stream.name
    assert edit.by.name in value.decode()
    assert find_leaks(value, value)
    redactor = Redactor({DOMAIN: [TITLE]})
    served = encode(Record("t", 0, 0, AT, None, value), redactor).json
    assert (find_leaks(value, served), find_user_keys(served)) == ([], [])


def test_an_edit_is_by_somebody_new_each_time() -> None:
    edits = [Edit.of(DOMAIN, TITLE, AT) for _ in range(50)]
    assert len({edit.by.name for edit in edits} | {edit.before.name for edit in edits}) == 100
    assert len({edit.by.id for edit in edits}) > 45


def test_an_edit_has_the_revision_asked_for() -> None:
    assert Edit.of(DOMAIN, TITLE, AT, 4217).rev_id == 4217
    assert Edit.of(DOMAIN, TITLE, AT).rev_id < 2**53  # what JavaScript can count


def test_only_streams_that_carry_an_edit_get_one() -> None:
    others = (("mediawiki.page-create", "mediawiki/revision/create"), ("test.event", "test/event"))
    written = [stream.name for stream, _ in events_of(Edit.of(DOMAIN, TITLE, AT), streams(*others))]
    assert len(written) == len(SHAPES)
    assert not {"mediawiki.page-create", "test.event"} & set(written)


@pytest.mark.parametrize(
    "brokers",
    ["kafka.example.org:9092", "127.0.0.1:9092,kafka.example.org:9092", "10.0.0.1:9092", "[2001:db8::1]:9092", ""],
)
async def test_nothing_is_written_to_a_kafka_that_is_elsewhere(brokers: str) -> None:
    with pytest.raises(ProduceError, match="not on this machine"):
        await produce({"bootstrap_servers": brokers}, Edit.of(DOMAIN, TITLE, AT), streams())


@pytest.mark.parametrize("brokers", ["localhost", "127.0.0.1:9092", "[::1]:9092, localhost:9092"])
async def test_the_kafka_on_this_machine_is_written_to(brokers: str) -> None:
    with pytest.raises(ProduceError, match="None of the streams has edits"):
        await produce({"bootstrap_servers": brokers}, Edit.of(DOMAIN, TITLE, AT), [])

"""One stream on its page: its settings and their sources, its topics in Kafka, and the preview of an edit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from asgiref.sync import async_to_sync
from django.http import HttpRequest
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from streams.admin.forms import pretty
from streams.admin.overview import Overview, State
from streams.admin.process import clients_of
from streams.admin.texts import moment_of, span
from streams.admin.topic_facts import Facts, TopicFacts, missing_topics, topic_facts
from streams.catalogue.affected import AffectedStreams, affected_streams
from streams.catalogue.edits import Wanted, dotted
from streams.catalogue.explain import Explanation, explain
from streams.catalogue.json_text import json_text
from streams.core.catalogue import Catalogue, Layers, compile_catalogue
from streams.core.quoted import is_topic
from streams.models import ConfiguredStream

DEMO_PAGE = "v2/ui/"
"""Below the path that a proxy puts before all others."""
MAY_TEST = "redaction.view_redactedpage"
"""The permission that the page \"Test a redaction\" requires."""


class Line(NamedTuple):
    """An effective value: its path, its JSON, and the layer that it comes from."""

    path: str
    value: str
    origin: str


class Difference(NamedTuple):
    """A value that an edit changes; `kind` is added, removed or changed. `before` and `after` are JSON, or empty."""

    path: str
    kind: str
    before: str
    after: str


class TopicLine(NamedTuple):
    """A topic in the table of topics: texts, empty if unknown."""

    topic: str
    number: int
    offsets: str
    since: str
    until: str
    age: str
    partitions: tuple[str, ...]


class Effect(NamedTuple):
    """What edits of one or more streams would change."""

    after: Catalogue
    affected: AffectedStreams


def effect_of(overview: Overview, wanted: Mapping[str, Wanted]) -> Effect:
    """Return what writing `wanted` would change."""
    layers = overview.layers
    edits = {**layers.edits, **{name: each.edit for name, each in wanted.items()}}
    after = compile_catalogue(layers._replace(edits=edits), 0)
    return Effect(after, affected_streams(overview.catalogue.streams.values(), after))


def demo_address(name: str, overview: Overview) -> str:
    """Return where the demo page shows the events at once; "" if the stream is not exposed or the page disabled."""
    if overview.process is None or not overview.process.settings.ui_enabled or name not in overview.catalogue.streams:
        return ""
    return f"{get_script_prefix()}{DEMO_PAGE}#/?{urlencode({'streams': name, 'run': '1'})}"


def redaction_test_address(name: str, overview: Overview, request: HttpRequest) -> str:
    """Return where the user can test redaction in the stream's events; "" if it is not exposed, or they may not."""
    if name not in overview.catalogue.streams or not request.user.has_perm(MAY_TEST):
        return ""
    try:
        return f"{reverse('admin:redaction_test')}?{urlencode({'streams': name})}"
    except NoReverseMatch:  # the admin of redaction, which knows this one, is not installed
        return ""


def state_line(explanation: Explanation) -> SafeString:
    """Return whether the stream is exposed, and if not, why."""
    if not explanation.reason:
        return format_html('<span class="streams-state streams-{}">{}</span>', State.EXPOSED, State.EXPOSED)
    return format_html('<span class="streams-state streams-hidden">not exposed</span> {}', explanation.reason)


def state_change(before: str, after: str, *, is_new: bool) -> str:
    """Return what becomes of a stream, after its name: `will be exposed`. Reasons are those why it is not exposed."""
    if is_new:
        return f"is new. It will not be exposed: {after}" if after else "is new. It will be exposed"
    if before == after:
        return f"stays unexposed: {after}" if after else "stays exposed"
    if not after:
        return f"will be exposed. Now it is not: {before}"
    return f"will {'still not' if before else 'no longer'} be exposed ({after})"


def lines_of(explanation: Explanation) -> list[Line]:
    """Return the effective settings, a line for each value."""
    return [Line(dotted(path), json_text(value), origin.value) for path, value, origin in explanation.values]


def differences(before: Explanation, after: Explanation) -> Iterator[Difference]:
    """Yield the effective values that are not the same before and after an edit."""
    old = {value.path: json_text(value.value) for value in before.values}
    new = {value.path: json_text(value.value) for value in after.values}
    for path in dict.fromkeys([*old, *new]):
        was, now = old.get(path, ""), new.get(path, "")
        if was != now:
            yield Difference(dotted(path), "changed" if was and now else "added" if now else "removed", was, now)


def page_of(row: ConfiguredStream, overview: Overview, request: HttpRequest) -> dict[str, Any]:
    """Return the context of a stream's page."""
    explanation = explain(row.name, overview.layers)
    in_file = _mapping(overview.config.stream_config_overrides.get(row.name))
    default = _mapping(overview.config.stream_config_defaults.get(row.name))
    stream = overview.catalogue.streams.get(row.name)
    facts = _facts(row.name, overview)
    now_ms = time.time() * 1000
    return {
        "schema": schema_line(row.name, overview),
        "state": state_line(explanation),
        "stream": stream,
        "test": redaction_test_address(row.name, overview, request),
        "demo": demo_address(row.name, overview),
        "problems": explanation.problems,
        "clients": clients_of(overview.process, [row.name]) if stream is not None else 0,
        "lines": lines_of(explanation),
        "fetched": None if row.fetched is None else pretty(row.fetched),
        "in_file": pretty(in_file) if in_file else "",
        "default": pretty(default) if default else "",
        "is_service": overview.process is not None,
        "facts": facts,
        "missing": [topic.topic for topic in facts.topics if topic.topic in (overview.absent_topics or ())],
        "topic_lines": [topic_line(topic, now_ms) for topic in facts.topics],
        "is_removable": is_removable(row, overview),
    }


def preview_of(name: str, wanted: Wanted, overview: Overview, effect: Effect) -> dict[str, Any]:
    """Return the context of the page that asks for confirmation of an edit."""
    layers: Layers = overview.layers
    before, after = explain(name, layers), explain(name, layers.with_edit(name, wanted.edit))
    missing, unknown = missing_of(wanted, overview)
    return {
        "state_change": state_change(before.reason, after.reason, is_new=name not in overview.rows),
        "differences": list(differences(before, after)),
        "problems": after.problems,
        "missing": missing,
        "unknown": unknown,
        "affected": effect.affected,
        "clients": clients_of(overview.process, effect.affected.names),
    }


def missing_of(wanted: Wanted, overview: Overview) -> tuple[list[str], str]:
    """Return the topics of an override that Kafka does not have, and why that is unknown."""
    topics = [
        topic
        for key in ("topics", "topics_allowed")
        if isinstance(found := wanted.override.get(key), list)
        for topic in found
        if isinstance(topic, str) and is_topic(topic)
    ]
    found_missing: tuple[list[str], str] = async_to_sync(missing_topics)(overview.process, topics)
    return found_missing if topics else ([], "")


def is_removable(row: ConfiguredStream, overview: Overview) -> bool:
    """Return whether only this row defines the stream; otherwise the next synchronisation would re-create it."""
    return row.fetched is None and row.name not in overview.layers.in_file()


def schema_line(name: str, overview: Overview) -> str:
    """Return where this process found the schema of the stream, or why it did not."""
    process, stream = overview.process, overview.catalogue.streams.get(name)
    if process is None:
        return "Unknown: this page is not served by the service."
    if stream is None:
        return "Schemas are only looked up for exposed streams."
    schema, problem = process.schemas.of(name), process.schemas.problems.get(name)
    if schema is not None:
        return f"Found at {schema.uri}" + (f", but not refreshed: {problem}." if problem else ".")
    if problem:
        return f"No usable schema, so the stream is documented without one: {problem}."
    if stream.schema_uri or stream.schema_title:
        return "Not looked up yet, or schema_base_uris is empty."
    return "None configured."


def _facts(name: str, overview: Overview) -> Facts:
    stream = overview.catalogue.streams.get(name)
    if overview.process is None:
        return Facts((), "Unknown: this page is not served by the service.")
    if stream is None:
        return Facts((), "Kafka is only asked for the topics of exposed streams.")
    found: Facts = async_to_sync(topic_facts)(overview.process, (*stream.topics, *stream.topics_allowed))
    return found


def topic_line(facts: TopicFacts, now_ms: float) -> TopicLine:
    """Return the line of a topic; `now_ms` is the time in milliseconds since the epoch."""
    newest = facts.newest
    return TopicLine(
        facts.topic,
        facts.count,
        f"{facts.offsets:,}" if facts.partitions else "",
        moment_of(facts.oldest),
        moment_of(newest),
        f"{span((now_ms - newest) / 1000)} ago" if newest is not None else "",
        tuple(
            f"{each.partition}: {each.begin} to {each.end - 1}" for each in facts.partitions if each.end > each.begin
        ),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

"""The query parameters that choose events, as the OpenAPI document describes them.

Source: wire contract, "Choosing events".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from streams.engine.compress.codings import NAMES
from streams.http.requests import CHECKPOINT_SECONDS, COMPRESSIONS, LIMITS

MAX_FIELDS = 150
"""Maximum number of fields of a stream that the description of `where` lists."""
MAX_DEPTH = 6
"""Maximum number of names in the path of such a field."""
ADDED = ("meta.topic", "meta.partition", "meta.offset", "meta.key")
"""The fields that the service adds to every event."""

_NAME = re.compile(r"[\w$@-]+")
_EXCLUDES = (
    "`!` before a value excludes the events that match it. Before a value that itself begins with `!` or `=`, put `=`."
)
_MANY = "Separate several values with commas, or repeat the parameter; an event must match one of them."
_REPEATED = "Repeat the parameter for several values; an event must match one of them."


def _list(name: str, text: str, pattern: str, *examples: list[str]) -> OpenApiParameter:
    items = {"type": "string", "pattern": pattern}
    schema = {"type": "array", "items": items, "examples": list(examples)}
    return OpenApiParameter(name, schema, style="form", explode=False, description=f"{text} {_MANY} {_EXCLUDES}")


def _repeated(name: str, text: str, *examples: list[str]) -> OpenApiParameter:
    schema = {"type": "array", "items": {"type": "string", "minLength": 1}, "examples": list(examples)}
    return OpenApiParameter(name, schema, style="form", explode=True, description=text)


def _flag(name: str, text: str) -> OpenApiParameter:
    schema = {"type": "string", "enum": ["true", "false", "!true", "!false"], "examples": ["false"]}
    text += " `!true` and `!false` exclude such events; events without the field are not excluded."
    return OpenApiParameter(name, schema, description=text)


_UNTIL = OpenApiParameter(
    "until",
    str,
    description="End before the first event at or after this time, in the same forms as `since`. A time in the future "
    "ends the stream when the clock has passed it. A client of Server-Sent Events then gets `event: end`; one that "
    "reconnects with the id of its end gets status 204.",
    examples=[
        OpenApiExample("None", summary="None: without end", value=""),
        OpenApiExample("Date", summary="A date-time", value="2026-01-31T13:00:00Z"),
        OpenApiExample("Milliseconds", summary="Milliseconds since the epoch", value=1769864400000),
    ],
)
_LIMIT = OpenApiParameter(
    "limit",
    {"type": "integer", "minimum": LIMITS[0], "maximum": LIMITS[1], "examples": [100]},
    description="End after this number of events. To get the next ones, send the id of the end.",
)
_CHECKPOINT = OpenApiParameter(
    "checkpoint",
    {"type": "integer", "minimum": CHECKPOINT_SECONDS[0], "maximum": CHECKPOINT_SECONDS[1], "examples": [60]},
    description="After this number of seconds without an event, the client gets its position, if that has moved: in "
    "Server-Sent Events an `event: checkpoint` with an id, in JSON an object with `last_event_id`. Its `meta.domain` "
    "is `canary`, so clients that skip canary events skip it too.",
)
_COMPRESS = OpenApiParameter(
    "compress",
    {"type": "string", "enum": list(COMPRESSIONS), "examples": ["auto"]},
    description="Compress the stream, to about a sixth of its bytes. `auto` chooses the best compression that "
    "`Accept-Encoding` allows, or none. If `Accept-Encoding` excludes `zstd` or `gzip`, asking for it is the error "
    "`invalid_compression`. `Content-Encoding` names the compression in use. A client can decode each event as soon as "
    "it arrives.",
    examples=[
        OpenApiExample("None", summary="None: uncompressed", value=""),
        OpenApiExample("Auto", summary="What the client can decode", value="auto"),
        OpenApiExample("Gzip", summary="gzip", value="gzip"),
    ],
)
_CANARY = OpenApiParameter(
    "canary",
    {"type": "string", "enum": ["true", "false", "only"], "examples": ["false"]},
    description="`false`: no canary (test) events, whose `meta.domain` is `canary`; `only`: only those; `true`, the "
    "default: all events.",
)
WHERE = OpenApiParameter(
    "where",
    {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "maxItems": 16,
        "examples": [["length.new>10000"], ["!bot", "meta.dt>=2026-01-31T12:00:00Z"]],
    },
    style="form",
    explode=True,
    description="A condition on any field, such as `where=length.new>10000`. Repeat the parameter for several "
    "conditions, which must all hold. A condition is a path (names joined by dots; of an array, any element counts), "
    "one of `=` `!=` `<` `<=` `>` `>=` `^=` (begins with) `*=` (contains), and a value. The value is a JSON number, "
    "`true`, `false` or `null`, else text; in double quotes it is always text. A path alone means that the field is "
    "present, `!path` that it is not.",
)

CHOICES = (
    _UNTIL,
    _LIMIT,
    _CHECKPOINT,
    _COMPRESS,
    _list(
        "wiki",
        "Database names of wikis (`wiki`, `wiki_id`, `database`), such as `enwiki,dewiki` or `!commonswiki`.",
        r"^!?[^\s,]+$",
        ["enwiki", "dewiki"],
        ["!commonswiki"],
    ),
    _list(
        "domain",
        "Host names (`meta.domain`, `server_name`), such as `en.wikipedia.org` or, for all hosts below it, "
        "`*.wikipedia.org`.",
        r"^!?(\*\.)?[\w.-]+$",
        ["*.wikipedia.org"],
    ),
    _list("type", "Types (`type`, `page_change_kind`), such as `edit,new`.", r"^!?[^\s,]+$", ["edit", "new"]),
    _list(
        "namespace",
        "Numbers of namespaces (`namespace`, `page.namespace_id`, `page_namespace`), such as `0,14`.",
        r"^!?-?[0-9]{1,18}$",
        ["0", "14"],
    ),
    _repeated(
        "title",
        f"A page's title in any spelling (`title`, `page.page_title`, `page_title`). `Foo/*` means all pages below "
        "Foo. "
        f"{_REPEATED} {_EXCLUDES}",
        ["Main Page"],
        ["Wikipedia:Village pump/*"],
    ),
    _repeated(
        "user",
        f"A user's name in any spelling (`user`, `performer.user_text`). {_REPEATED} {_EXCLUDES}",
        ["Example"],
        ["!Example"],
    ),
    _flag("bot", "Whether a bot acted (`bot`, `performer.is_bot`, `performer.user_is_bot`)."),
    _flag("minor", "Whether the edit is minor (`minor`, `revision.is_minor_edit`, `rev_minor_edit`)."),
    _flag("patrolled", "Whether the edit is patrolled (`patrolled`)."),
    _CANARY,
    WHERE,
)
"""All parameters that choose events, and how they are sent, in the order of the document."""
ENCODING_HEADER = OpenApiParameter(
    "Content-Encoding",
    {"type": "string", "enum": list(NAMES)},
    OpenApiParameter.HEADER,
    response=[200],
    description="Present if the stream is compressed, which it is only if `compress` asks for it.",
)
FILTER_HEADER = OpenApiParameter(
    "EventStreams-Filter",
    {"type": "string", "examples": ["namespace=0&wiki=dewiki,enwiki"]},
    OpenApiParameter.HEADER,
    response=[200],
    description="Present if the service filters the events: the filter in force, as a query string. If it is too "
    "long, its last parts, or the end of a value (which then ends with an ellipsis), are missing here; in Server-Sent "
    "Events, the comment `:filter` has them all.",
)


def fields_of(schema: Mapping[str, Any]) -> list[str]:
    """Return the paths of the fields of a stream's events, by its schema, sorted; `where` can name each of them."""
    return sorted({*_paths(schema, schema, (), ()), *ADDED})


def _paths(schema: Any, whole: Mapping[str, Any], path: tuple[str, ...], followed: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(schema, Mapping) or len(path) > MAX_DEPTH:
        return
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/") and reference not in followed:
        target: Any = whole
        for step in reference.split("/")[1:]:
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        yield from _paths(target, whole, path, (*followed, reference))
    for key in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(key) or ():
            yield from _paths(part, whole, path, followed)
    yield from _paths(schema.get("items"), whole, path, followed)
    properties = schema.get("properties")
    for name, inner in properties.items() if isinstance(properties, Mapping) else ():
        if _NAME.fullmatch(name):
            below = list(_paths(inner, whole, (*path, name), followed))
            yield from below or [".".join((*path, name))]

"""The OpenAPI document over HTTP, the page that shows it, and the service compared with the document."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from streams.engine.kafka.create_topics import create_topics
from tests.integration.conftest import Connect
from tests.integration.kit import KEEP, Broker, Rec
from tests.support.site import Site

TOPIC = f"test.{uuid.uuid4().hex}"
SCHEMA = {
    "$schema": "https://json-schema.org/draft-07/schema#",
    "$id": "/change/1.0.0",
    "type": "object",
    "required": ["n"],
    "properties": {"n": {"type": "integer"}, "meta": {"$ref": "/fragment/meta/1.0.0#"}},
    "examples": [{"n": 7, "meta": {"domain": "example.org"}}, {"n": 8}],
}
STREAMS: dict[str, dict[str, Any]] = {
    "change": {"topics": [TOPIC], "stream_aliases": ["changes"], "description": "Changes.", "$schema": "/change/1.0.0"},
    "broken": {"topics": [TOPIC], "$schema": "/broken/1.0.0"},
    "plain": {"topics": [TOPIC]},
}


@pytest.fixture(scope="module")
def documented(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service with three streams of one topic that has ten events; `change` has a schema, `broken` a broken one."""
    folder = tmp_path_factory.mktemp("openapi")
    asyncio.run(create_topics(kafka.bootstrap, {TOPIC: 1}, KEEP))
    asyncio.run(Broker(kafka.bootstrap).send(TOPIC, *(Rec({"n": n, "meta": {"domain": "a"}}) for n in range(10))))
    documents = {
        "change/1.0.0": SCHEMA,
        "broken/1.0.0": {"$ref": "/nowhere/1.0.0"},
        "fragment/meta/1.0.0": {"type": "object", "properties": {"domain": {"type": "string"}}},
    }
    for path, document in documents.items():
        file = folder / "schemas" / path
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(document))
    site = Site(folder, kafka.bootstrap, STREAMS, schema_base_uris=[str(folder / "schemas")])
    try:
        yield site.start()
    finally:
        site.close()
        if kafka.lasting:
            asyncio.run(Broker(kafka.bootstrap).drop([TOPIC]))


@pytest.fixture(scope="module")
def document(documented: Site) -> dict[str, Any]:
    """As soon as the schemas are in it."""
    for _ in range(200):
        found: dict[str, Any] = documented.json("/?spec")
        if "change.1.0.0" in found["components"]["schemas"]:
            return found
        time.sleep(0.05)
    raise AssertionError(documented.log.read_text())


# The document.


def test_the_document_is_valid_and_has_what_the_streams_are_now(document: dict[str, Any], documented: Site) -> None:
    OpenAPIV31SpecValidator(document).validate()
    names = document["paths"]["/v2/stream/{streams}"]["get"]["parameters"][0]["schema"]["items"]["enum"]
    assert names == ["broken", "change", "plain", "changes"]
    content = document["paths"]["/v2/stream/change"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    meta = {"domain": "example.org", "topic": TOPIC, "partition": 0, "offset": 91}
    assert content["example"] == {"n": 7, "meta": meta}, "as the service sends it"
    component = document["components"]["schemas"]["change.1.0.0"]
    reference = component["properties"]["meta"]["$ref"].removeprefix("#/components/schemas/")
    assert reference.startswith("change.1.0.0.")
    assert reference in document["components"]["schemas"]


def test_a_stream_whose_schema_is_broken_is_documented_without_and_named_in_the_log(
    document: dict[str, Any], documented: Site
) -> None:
    content = document["paths"]["/v2/stream/broken"]["get"]["responses"]["200"]["content"]
    assert content["text/event-stream"]["schema"] == {"type": "object"}
    assert "its $ref '/nowhere/1.0.0' cannot be resolved" in documented.log.read_text()


@pytest.mark.parametrize("path", ["/?spec", "/schema/", "/?spec=1&x=y"])
def test_it_is_json_for_every_origin_and_asked_for_again_it_is_not_sent_again(
    documented: Site, document: dict[str, Any], path: str
) -> None:
    status, headers, body = documented.get(path)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == document
    assert headers["access-control-allow-origin"] == "*"
    assert {"Accept", "Accept-Encoding"} <= set(headers["vary"].split(", "))
    status, again, body = documented.get(path, {"If-None-Match": f'"x", {headers["etag"]}'})
    assert (status, body) == (304, b"")
    assert again["etag"] == headers["etag"]
    assert documented.get(path, {"If-None-Match": '"x"'})[0] == 200


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/?spec&format=yaml", "application/json"),
        ("/schema/?format=YAML", "*/*"),
        ("/schema/", "application/yaml"),
        ("/?spec", "text/yaml, */*;q=0.1"),
        ("/?spec", "application/vnd.oai.openapi"),
    ],
)
def test_it_is_yaml_for_who_wants_that(documented: Site, document: dict[str, Any], path: str, accept: str) -> None:
    status, headers, body = documented.get(path, {"Accept": accept})
    assert (status, headers["content-type"]) == (200, "application/yaml")
    assert yaml.load(body, yaml.CSafeLoader) == document
    assert documented.get(path, {"Accept": accept, "If-None-Match": headers["etag"]})[0] == 304


@pytest.mark.parametrize(
    ("path", "accept"),
    [("/?spec&format=json", "application/yaml"), ("/?spec", "image/png"), ("/?spec&format=x", "*/*"), ("/?spec", "")],
)
def test_it_is_json_for_everybody_else(documented: Site, path: str, accept: str) -> None:
    status, headers, body = documented.get(path, {"Accept": accept})
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body)["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, br", "gzip"), ("br;q=1.0, gzip;q=0.8", "gzip"), ("gzip;q=0", None), ("br", None), ("xgzip", None)],
)
def test_it_is_compressed_for_who_can_read_that(documented: Site, accepted: str, encoding: str | None) -> None:
    _, headers, body = documented.get("/?spec", {"Accept-Encoding": accepted})
    assert headers.get("content-encoding") == encoding
    assert json.loads(gzip.decompress(body) if encoding else body)["paths"]


@pytest.mark.parametrize("path", ["/?spec", "/schema/", "/?doc", "/?spec&format=yaml"])
async def test_they_are_read_only(documented: Site, connect: Connect, path: str) -> None:
    status, headers, _ = documented.get(path)
    head = await connect(documented, path, {"Connection": "close"}, method="HEAD")
    assert (head.status, head.headers["content-type"]) == (status, headers["content-type"])
    assert head.headers.get("etag") == headers.get("etag")
    post = await connect(documented, path, method="POST")
    assert (post.status, post.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert post.headers["content-type"] == "application/problem+json"
    options = await connect(documented, path, method="OPTIONS")
    assert (options.status, options.headers["access-control-allow-methods"]) == (204, "GET, HEAD, OPTIONS")


def test_without_a_stream_configuration_the_document_says_so_and_the_page_is_there(bare_site: Site) -> None:
    status, headers, body = bare_site.get("/?spec")
    assert (status, json.loads(body)["type"]) == (503, "no_stream_configuration")
    assert int(headers["retry-after"]) > 0
    assert bare_site.get("/?doc")[0] == 200


# The page.


def test_the_page_and_all_that_it_loads_come_from_the_service_itself(documented: Site) -> None:
    status, headers, body = documented.get("/?doc")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    page = body.decode()
    assert not re.search(r"<script(?![^>]* src=)", page), "no script in the page itself"
    assert " style=" not in page
    todo = [urljoin("/", url) for url in re.findall(r'(?:src|href)="(/static/[^"]*)"', page)]
    seen = set()
    while todo:
        url = todo.pop()
        if url not in seen:
            seen.add(url)
            status, headers, body = documented.get(url)
            assert status == 200, url
            # Modules of two versions do not fit together.
            assert "/eventstreams/doc/" not in url or headers["cache-control"] == "no-cache"
            if "/eventstreams/" in url:
                todo += [urljoin(url, found) for found in re.findall(r'from "(\./[^"]*)"', body.decode())]
    assert {"swagger-ui-bundle.js", "swagger-ui.css", "doc.js", "doc.css", "beginning.js"} <= {
        Path(url).name for url in seen
    }


def test_the_page_lists_the_streams_for_who_has_no_scripts(documented: Site) -> None:
    page = documented.get("/?doc")[2].decode()
    without = page.partition("<noscript>")[2].partition("</noscript>")[0]
    for name in STREAMS:
        assert f'href="/v2/stream/{name}"' in without
    assert "(also changes)" in without


def test_the_demo_page_is_linked_where_there_is_one(site: Site, strict_site: Site) -> None:
    assert 'href="/v2/ui"' not in site.get("/?doc")[2].decode()
    assert 'href="/v2/ui"' in strict_site.get("/?doc")[2].decode()
    assert 'href="/?doc"' in strict_site.get("/v2/ui")[2].decode()


# The service, compared with the document.


def beginning(response: requests.Response) -> requests.Response:
    """The answer with its whole body, or, since a stream has no end, with the first chunk, which comes at once."""
    if "Content-Length" not in response.headers:
        response._content = next(response.iter_content(None))
    assert response.content
    return response


@pytest.mark.parametrize("path", ["/v2/stream/{streams}", "/v2/stream/change", "/v2/stream/plain"])
def test_what_the_service_answers_is_what_the_document_says(
    path: str, documented: Site, document: dict[str, Any]
) -> None:
    """Schemathesis makes the requests and judges the answers."""
    described = schemathesis.openapi.from_dict(document)
    statuses = set()

    @settings(
        max_examples=25,
        phases=[Phase.generate],  # a request that fails is small enough as it is
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described[path]["GET"].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def ask(case: schemathesis.Case) -> None:
        with requests.request(**case.as_transport_kwargs(base_url=documented.url), stream=True, timeout=20) as response:
            statuses.add(response.status_code)
            # Not every text is a date or an id, which no schema could say: those get the 400 that is documented.
            case.validate_response(beginning(response), excluded_checks=[positive_data_acceptance])

    ask()
    assert {200, 400} <= statuses <= {200, 400, 404}

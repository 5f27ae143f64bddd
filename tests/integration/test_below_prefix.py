"""The service below a path (`url_prefix`): every address that it gives is below it, and both kinds of proxies work."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.integration.conftest import Connect, Supply
from tests.support.site import Site

PREFIX = "/wiki/events"
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def below(kafka: Any, supply: Supply, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(
        tmp_path_factory.mktemp("site"), kafka.bootstrap, supply.catalogue, url_prefix=PREFIX, stream_ui_enabled=True
    )
    try:
        yield site.start()
    finally:
        site.close()


@pytest.fixture(params=[PREFIX, ""], ids=["passed on", "stripped"])
def at(request: pytest.FixtureRequest) -> str:
    """What the proxy leaves of the prefix."""
    return str(request.param)


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [
        ("/", 303, "/v2/ui"),
        ("/rc", 301, "/?doc"),
        ("/admin", 302, "/admin/"),
        ("/admin/", 302, "/admin/login/?next=" + urllib.parse.quote(f"{PREFIX}/admin/")),
        ("/admin/streams/syncrun/", 302, "/admin/login/?next="),
    ],
)
def test_redirects_lead_below_it(below: Site, at: str, path: str, status: int, location: str) -> None:
    answered, headers, _ = below.get(at + path)
    assert answered == status
    assert headers["location"].startswith(PREFIX + location)


def test_the_prefix_itself_is_the_root_and_one_that_only_begins_like_it_is_not(below: Site) -> None:
    assert below.get(f"{PREFIX}?doc")[0] == 200
    assert below.get(f"{PREFIX}x/healthz")[0] == 404
    assert below.get(f"{PREFIX}{PREFIX}/healthz")[0] == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [("/?doc", 200), ("/v2/ui", 200), ("/v2/nothing", 404), ("/admin/login/", 200), ("/admin/nothing/", 302)],
)
def test_every_address_in_a_page_is_below_it(below: Site, at: str, path: str, status: int) -> None:
    answered, headers, body = below.get(at + path, HTML)
    assert answered == status
    found = re.findall(r'(?:href|src|action)="(/[^"]*)"', body.decode()) + re.findall(
        r"<code>(/[^<]*)<|http://[^/ ]*(/v2/[^<\n]*)", body.decode()
    )
    addresses = [address for each in found for address in ([each] if isinstance(each, str) else each) if address]
    assert addresses or status == 302
    assert [each for each in addresses if not each.startswith(f"{PREFIX}/")] == []
    for address in {each for each in addresses if "/static/" in each}:
        assert below.get(address)[0] == 200
    assert all(cookie.endswith(f"Path={PREFIX}/") or f"Path={PREFIX}/;" in cookie for cookie in cookies(headers))
    assert cookies(headers) or path != "/admin/login/"


def cookies(headers: dict[str, str]) -> list[str]:
    return [headers["set-cookie"]] if "set-cookie" in headers else []


def test_an_error_names_what_the_client_sees(below: Site, at: str) -> None:
    for path in ("/v2/stream/nope", "/v2/nothing", "/static/nothing", "/admin/x%00y"):
        status, _, body = below.get(at + path, {"Accept": "application/json"})
        assert status in (302, 404), path
        if status == 404:
            problem = json.loads(body)
            assert problem["uri"] == PREFIX + path
            assert not re.search(r"(?<!/wiki/events)/v2/stream", problem["detail"])


def test_what_is_private_stays_private(below: Site, at: str) -> None:
    assert "access-control-allow-origin" not in below.get(f"{at}/admin/login/")[1]
    assert below.get(f"{at}/_info")[1]["access-control-allow-origin"] == "*"


def test_the_document_names_the_prefix_as_its_server_and_keeps_the_contracts_paths(below: Site, at: str) -> None:
    document = below.json(f"{at}/?spec")
    validate(document)
    assert document["servers"] == [{"url": PREFIX}]
    assert "one0" in document["paths"]["/v2/stream/{streams}"]["get"]["parameters"][0]["schema"]["items"]["enum"]


def test_small_answers_and_probes_are_the_same_with_and_without_it(below: Site, at: str) -> None:
    assert below.json(f"{at}/_info")["name"] == below.json(f"{at}/_info/name")["name"] == "eventstreams"
    for path in ("/healthz", "/readyz", "/metrics", "/robots.txt", "/v2/ui/streams.json"):
        assert below.get(at + path)[0] == 200


async def test_a_stream_is_opened_below_it(below: Site, at: str, connect: Connect) -> None:
    client = await connect(below, f"{at}/v2/stream/one0,three0?since=0")
    assert client.status == 200
    assert "eventstreams-since" in client.headers

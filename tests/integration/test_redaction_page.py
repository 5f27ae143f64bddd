"""What the staff page "Test a redaction" calls: who may, what they see, how it ends."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.integration.conftest import Connect
from tests.integration.kit import Broker, Rec
from tests.support.client import StreamClient
from tests.support.client.reading import SSE
from tests.support.events.streams_of_edits import (
    BROKEN,
    DOMAIN,
    NOT_OF_EDITS,
    STREAMS_OF_EDITS,
    TITLE,
    UNLISTED,
    EditSite,
    edit_site,
)
from tests.support.site import Site

PAGE = "/admin/redaction/redactedpage/test/"
RUN = f"{PAGE}run/"
PASSWORD = "correct-horse-battery-1906"
VIEWER = ("view_redactedpage",)
SEER = ("view_redactedpage", "view_raw")

USERS = """
from django.contrib.auth.models import Permission, User
for name, codes in {users!r}.items():
    user = User.objects.create_user(name, password={password!r}, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))
"""


class Staff:
    """Somebody logged in. Cookies are kept by hand: they are for https, and the tests have none."""

    def __init__(self, connect: Connect, site: Site, name: str) -> None:
        self._connect = connect
        self._site = site
        self._name = name
        self._cookies: dict[str, str] = {}

    async def log_in(self) -> Staff:
        await self.get("/admin/login/")
        answer = await self.post("/admin/login/", username=self._name, password=PASSWORD)
        assert answer.status == 302, await answer.body()
        return self

    async def get(self, path: str) -> StreamClient:
        return await self._ask(path, {})

    async def post(self, path: str, *, with_token: bool = True, host: str = "", **fields: str) -> StreamClient:
        if with_token:
            fields["csrfmiddlewaretoken"] = self._cookies["csrftoken"]
        return await self._ask(path, {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(fields), host)

    async def _ask(self, path: str, headers: dict[str, str], body: str = "", host: str = "") -> StreamClient:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        method = "POST" if body else "GET"
        answer = await self._connect(self._site, path, headers, method=method, body=body.encode(), host=host)
        # Several of one name come joined.
        for name, value in re.findall(r"(csrftoken|sessionid)=([^;,]+)", answer.headers.get("set-cookie", "")):
            self._cookies[name] = value
        return answer


def create_users(site: Site, **users: tuple[str, ...]) -> None:
    """Staff with permissions, by name."""
    done = site.manage("shell", "-c", USERS.format(users=users, password=PASSWORD))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def site(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EditSite]:
    with edit_site(kafka, tmp_path_factory.mktemp("site")) as site:
        create_users(site, viewer=VIEWER, seer=SEER, nobody=("view_user",))
        yield site.start()


@pytest.fixture(scope="module")
def edited(site: EditSite) -> EditSite:
    """The service, after a test edit and a real one of the listed page and of another."""
    for title in (TITLE, UNLISTED):
        produce(site, title)
        site.write_real_edit(title)
    return site


def produce(site: Site, title: str) -> str:
    """A test edit, checked by the command: its verdict."""
    arguments = ("--domain", DOMAIN, "--title", title, "--url", site.url, "--produce", "--json")
    verdict: str = json.loads(site.manage("check_redaction", *arguments).stdout.splitlines()[-1])["result"]["verdict"]
    return verdict


def question(title: str = TITLE, **more: str) -> dict[str, str]:
    return {"domain": DOMAIN, "title": title, "rev_id": "", "streams": "", "since": "1h", **more}


async def lines_of(answer: StreamClient) -> list[dict[str, Any]]:
    assert answer.status == 200, await answer.body()
    return [json.loads(line) for line in (await answer.body(40)).splitlines()]


def of_kind(kind: str, lines: list[dict[str, Any]]) -> list[Any]:
    return [line[kind] for line in lines if kind in line]


@pytest.mark.slow
async def test_the_page_and_the_command_agree(edited: Site, connect: Connect) -> None:
    staff = await Staff(connect, edited, "viewer").log_in()
    for title, expected in ((TITLE, "clean"), (UNLISTED, "leak"), ("Nobody's page", "not found")):
        lines = await lines_of(await staff.post(RUN, **question(title)))
        command = ("check_redaction", "--domain", DOMAIN, "--title", title, "--url", edited.url, "--json")
        said = [json.loads(line) for line in (await asyncio.to_thread(edited.manage, *command)).stdout.splitlines()]
        assert of_kind("result", lines)[0]["verdict"] == of_kind("result", said)[0]["verdict"] == expected
        events = [line for line in said if "result" not in line]
        assert sorted(of_kind("event", lines), key=str) == sorted(events, key=str)
        assert len(events) == (0 if expected == "not found" else 2 * len(STREAMS_OF_EDITS))


@pytest.mark.slow
async def test_with_a_broken_redactor_the_page_and_the_command_say_leak(
    kafka: Any, tmp_path_factory: pytest.TempPathFactory, connect: Connect
) -> None:
    with edit_site(kafka, tmp_path_factory.mktemp("site"), command=BROKEN) as site:
        create_users(site, viewer=VIEWER)
        await asyncio.to_thread(site.start)
        assert await asyncio.to_thread(produce, site, TITLE) == "leak"
        staff = await Staff(connect, site, "viewer").log_in()
        lines = await lines_of(await staff.post(RUN, **question()))
    assert of_kind("result", lines)[0]["verdict"] == "leak"
    leaks = {event["stream"]: [leak["path"] for leak in event["leaks"]] for event in of_kind("event", lines)}
    assert leaks["mediawiki.recentchange"] == ["user"]
    assert leaks["mediawiki.revision-create"] == []


@pytest.mark.parametrize("title", [TITLE, UNLISTED])
async def test_values_are_shown_only_to_those_with_the_permission_for_them(
    edited: Site, title: str, connect: Connect
) -> None:
    viewer, seer = await Staff(connect, edited, "viewer").log_in(), await Staff(connect, edited, "seer").log_in()
    seen = of_kind("event", await lines_of(await seer.post(RUN, **question(title))))
    for event in seen:
        assert "Redaction Tester" in event["raw"]
        assert ("Redaction Tester" in event["served"]) == (title == UNLISTED)
        assert json.loads(event["served"])["meta"]["offset"] == event["offset"]
    viewed = of_kind("event", await lines_of(await viewer.post(RUN, **question(title))))
    assert viewed == [{key: event[key] for key in event if key not in ("raw", "served")} for event in seen]
    assert "Tester" not in json.dumps(viewed)
    assert "Tester" not in edited.log.read_text()


@pytest.mark.parametrize(
    ("domain", "title"),
    [
        ("ru.m.wikipedia.org", TITLE.replace(" ", "%20")),
        ("", f"https://ru.m.wikipedia.org/wiki/{quote(TITLE.replace(' ', '_'))}?action=history"),
        (DOMAIN, TITLE.replace(":", ": ").upper()),
    ],
)
async def test_the_page_is_understood_as_when_it_is_added_and_its_entry_is_named(
    edited: Site, domain: str, title: str, connect: Connect
) -> None:
    staff = await Staff(connect, edited, "viewer").log_in()
    lines = await lines_of(await staff.post(RUN, **question(title, domain=domain, streams="mediawiki.recentchange")))
    (listed,) = of_kind("listed", lines)
    assert listed["is_listed"] is True
    assert f"in the configuration file, as “{TITLE}”" in listed["sentence"]
    assert of_kind("result", lines)[0]["verdict"] == "clean"


async def test_a_page_that_is_not_listed_is_said_to_be_none(edited: Site, connect: Connect) -> None:
    staff = await Staff(connect, edited, "viewer").log_in()
    lines = await lines_of(await staff.post(RUN, **question("Nobody's page", streams="mediawiki.recentchange")))
    assert of_kind("listed", lines)[0]["is_listed"] is False
    result = of_kind("result", lines)[0]
    assert "this proves nothing" in result["sentences"][0]
    assert any("Kafka holds these streams only from" in sentence for sentence in result["sentences"])


async def test_nothing_of_it_is_to_be_kept(edited: Site, connect: Connect) -> None:
    staff = await Staff(connect, edited, "seer").log_in()
    answer = await staff.post(RUN, **question())
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/x-ndjson; charset=utf-8"
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    await answer.body(40)
    for refused in (await staff.get(PAGE), await staff.post(RUN, **question(since="x")), await staff.get(RUN)):
        assert "no-store" in refused.headers["cache-control"]


async def test_only_staff_who_may_see_the_list_can_test_it(site: Site, connect: Connect) -> None:
    stranger, nobody = Staff(connect, site, ""), await Staff(connect, site, "nobody").log_in()
    assert (await stranger.get(PAGE)).status == 302
    assert (await nobody.get(PAGE)).status == 403
    await stranger.get("/admin/login/")
    for who in (stranger, nobody):
        answer = await who.post(RUN, **question())
        assert answer.status == 403
        assert "permission to test" in json.loads(await answer.body())["error"]


async def test_another_site_cannot_make_a_browser_run_a_test(site: Site, connect: Connect) -> None:
    staff = await Staff(connect, site, "viewer").log_in()
    assert (await staff.post(RUN, with_token=False, **question())).status == 403
    assert (await staff.get(RUN)).status == 405


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({"domain": ""}, "domain", "The domain is missing"),
        ({"domain": "ruwiki"}, "domain", "is not a wiki's host name"),
        ({"title": "Special:Log"}, "title", "no event has such a title"),
        ({"title": "Ð¤Ñ…"}, "title", "wrong encoding"),
        ({"title": "wiki/X"}, "title", "a part of an address"),
        ({"title": "A[b"}, "title", "No title can contain ["),
        ({"title": "https://de.wikipedia.org/wiki/A"}, "title", "an address of de.wikipedia.org"),
        ({"title": ""}, "title", "Give the title"),
        ({"rev_id": "many"}, "rev_id", "whole number"),
        ({"rev_id": "0"}, "rev_id", "greater than or equal to 1"),
        ({"since": "tomorrow"}, "since", "is not a valid time window"),
        ({"since": "2999-01-01"}, "since", "not in the past"),
        ({"streams": "mediawiki.recentchange, nope"}, "streams", "No such streams: nope"),
    ],
)
async def test_what_was_asked_wrongly_is_said_beside_its_field(
    site: Site, wrong: dict[str, str], field: str, said: str, connect: Connect
) -> None:
    staff = await Staff(connect, site, "viewer").log_in()
    answer = await staff.post(RUN, **question(**wrong))
    assert answer.status == 400
    errors = json.loads(await answer.body())["errors"]
    assert list(errors) == [field]
    assert said in errors[field][0]


async def test_the_host_that_a_client_names_is_never_asked(edited: Site, connect: Connect) -> None:
    staff = await Staff(connect, edited, "viewer").log_in()
    lines = await lines_of(await staff.post(RUN, host="192.0.2.1:1", **question()))
    assert of_kind("result", lines)[0]["verdict"] == "clean"


@asynccontextmanager
async def endless(site: Site, kafka: Any, staff: Staff, title: str) -> AsyncIterator[StreamClient]:
    """A test that continues for a while: what it waits for is withheld."""
    verdict = await asyncio.to_thread(produce, site, title)
    staff_question = question(title, streams="mediawiki.recentchange")
    answer = await staff.post(RUN, **staff_question)
    topic = of_kind("event", await lines_of(answer))[-1]["topic"]
    assert verdict == "leak"
    await Broker(kafka.bootstrap).send(topic, Rec({"meta": {"domain": DOMAIN}, "title": title, "page": "withheld"}))
    answer = await staff.post(RUN, **staff_question)
    assert answer.status == 200
    assert b'"event"' in await until(answer, b'"event"')
    yield answer
    answer.abort()


async def until(answer: StreamClient, wanted: bytes) -> bytes:
    seen = b""
    async with asyncio.timeout(20):
        async for chunk in answer.chunks():
            seen += chunk
            if wanted in seen:
                return seen
    raise AssertionError(seen)


@pytest.mark.slow
async def test_a_user_has_one_test_at_a_time_and_leaving_ends_it(site: Site, kafka: Any, connect: Connect) -> None:
    staff = await Staff(connect, site, "viewer").log_in()
    quick = question(streams=NOT_OF_EDITS)
    async with endless(site, kafka, staff, "A page to wait for"):
        assert site.metric("eventstreams_connected_clients") == 1
        second = await lines_of(await staff.post(RUN, **quick))
        assert "already running" in second[-1]["error"]
        other = await Staff(connect, site, "seer").log_in()
        assert of_kind("result", await lines_of(await other.post(RUN, **quick)))
    async with asyncio.timeout(8):  # less than it would wait for without that
        while site.metric("eventstreams_connected_clients"):
            await asyncio.sleep(0.1)
        while "already running" in str(await lines_of(await staff.post(RUN, **quick))):
            await asyncio.sleep(0.1)
    assert "Traceback" not in site.log.read_text()


@pytest.mark.slow
async def test_at_the_connection_limit_it_says_so(
    kafka: Any, connect: Connect, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with edit_site(kafka, tmp_path_factory.mktemp("site"), client_ip_connection_limit=1) as site:
        create_users(site, viewer=VIEWER)
        await asyncio.to_thread(site.start)
        staff = await Staff(connect, site, "viewer").log_in()
        client = await connect(site, "/v2/stream/mediawiki.recentchange", SSE)
        assert client.status == 200
        lines = await lines_of(await staff.post(RUN, **question()))
        assert "answered 429" in lines[-1]["error"]
        assert "close another one from this address" in lines[-1]["error"]

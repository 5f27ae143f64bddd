"""The list of redacted pages is changed past the admin, loses pages, is restored: two processes on one PostgreSQL.

What is in force is what a client reads; beside it, what `/readyz`, the metrics and the admin say.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from redaction.listed.matches import WRITE_SECONDS
from streams.core.positions import TopicPartition
from tests.support import SLACK_SECONDS
from tests.support.around.postgres import Postgres
from tests.support.client import StreamClient
from tests.support.client.reading import NDJSON
from tests.support.kafka.writing import writer
from tests.support.site import Site
from tests.support.site.serving import PATH, serving

DOMAIN = "ru.wikipedia.org"
TITLES = ("A", "B", "C", "D", "E", "F")
"""Kafka has one event of each page, by somebody."""
SOON, SQL_SOON, EVER = 3.0, 12.0, 30.0
"""Seconds: the contract's for Django and for SQL; and patience where it names none."""
HELD = "eventstreams_redaction_held_pages"
MATCHED = """SELECT domain, key, events, last_at > now() - interval '2 minutes' FROM redaction_pagematch
    WHERE key = 'd'"""
HELD_PAGE = "/admin/redaction/hold/"


class Service:
    """Two server processes on one database."""

    def __init__(self, sites: Sequence[Site], postgres: Postgres, url: str) -> None:
        self.sites = list(sites)
        self.url = url
        self._postgres = postgres

    def sql(self, statement: str) -> None:
        self._postgres.execute(statement, self.url)

    def shell(self, code: str) -> str:
        done = self.sites[0].manage("shell", "--verbosity", "0", "-c", f"from redaction.models import *\n{code}")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    async def list(self, *titles: str) -> None:
        """By the models, and in force."""
        rows = "".join(f"RedactedPage.objects.create(domain={DOMAIN!r}, title={title!r})\n" for title in titles)
        await asyncio.to_thread(self.shell, rows)
        await self.redact(titles, EVER)

    async def redact(self, titles: Sequence[str], seconds: float, *, exactly: bool = False) -> None:
        """Wait until every process redacts these pages (and, `exactly`, no others)."""
        began = time.monotonic()
        for site in self.sites:
            while True:
                now = await redacted(site)
                if now == set(titles) if exactly else now >= set(titles):
                    break
                took = time.monotonic() - began
                # A reading of Kafka takes its time too on a busy machine.
                assert took < seconds + SLACK_SECONDS, f"{site.url} redacts {sorted(now)}, not {sorted(titles)}"

    async def say(self, status: str, text: str, held: int, *, ready: int = 200) -> None:
        """Wait until `/readyz` of every process says this, and the metric counts as many held pages."""
        for site in self.sites:
            async with asyncio.timeout(EVER):
                while True:
                    code, _, body = await asyncio.to_thread(site.get, "/readyz")
                    told = json.loads(body)
                    is_said = (code, told["status"]) == (ready, status) and text in body.decode()
                    if is_said and await asyncio.to_thread(site.metric, HELD) == held:
                        break
                    await asyncio.sleep(0.1)

    def admin(self, decision: str) -> str:
        """What the front page says, before an admin decides about all that is held."""
        session = self.shell(
            "from django.contrib.auth.models import User\nfrom django.test import Client\nclient = Client()\n"
            "client.force_login(User.objects.get_or_create("
            "username='ada', is_staff=True, is_superuser=True)[0])\nprint(client.cookies['sessionid'].value)"
        )
        site = self.sites[-1]
        cookie = f"sessionid={session}"
        front = site.get("/admin/", {"Cookie": cookie})[2].decode()
        _, headers, body = site.get(HELD_PAGE, {"Cookie": cookie})
        found = re.search(r"csrftoken=(\w+)", headers["set-cookie"])
        assert found is not None
        fields = dict(re.findall(r'name="(csrfmiddlewaretoken|holds)" value="([^"]+)"', body.decode()))
        data = urllib.parse.urlencode({**fields, "reason": "a test decides", decision: "1"}).encode()
        request = urllib.request.Request(site.url + HELD_PAGE, data, {"Cookie": f"{cookie}; csrftoken={found[1]}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
        return front


async def redacted(site: Site) -> set[str]:
    """The titles whose events say nothing of who acted."""
    client = await StreamClient.connect(site.port, f"{PATH}?since=0", NDJSON)
    assert client.status == 200, client.status
    found: dict[str, bool] = {}
    try:
        async with asyncio.timeout(EVER):
            async for chunk in client.chunks():
                # A chunk holds whole events.
                for event in map(json.loads, filter(None, chunk.split(b"\n"))):
                    found[event["title"]] = "user" not in event
                if len(found) == len(TITLES):
                    break
    finally:
        await client.close()
    return {title for title, is_redacted in found.items() if is_redacted}


@asynccontextmanager
async def service(postgres: Postgres, folder: Path, bootstrap: str, topic: str) -> AsyncIterator[Service]:
    async with writer(bootstrap) as to:
        for title in TITLES:
            to.members = b',"meta":{"domain":"%s"},"title":"%s","user":"by %s"' % (
                DOMAIN.encode(),
                title.encode(),
                title.encode(),
            )
            await to.write(TopicPartition(topic, 0), [None])
    url = postgres.create_database()
    async with (
        serving(folder, bootstrap, [topic], database=url) as one,
        serving(folder, bootstrap, [topic], database=url) as other,
    ):
        yield Service([one, other], postgres, url)


def insert(title: str) -> str:
    return (
        "INSERT INTO redaction_redactedpage (domain, title, key, reason, added_at) "
        f"VALUES ('{DOMAIN}', '{title}', '{title.lower()}', '', now())"
    )


@pytest.mark.slow
async def test_rows_that_come_by_a_shell_a_fixture_or_sql_are_in_force(
    postgres: Postgres, kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with service(postgres, tmp_path, kafka.bootstrap, topic) as it:
        await asyncio.to_thread(it.shell, f"RedactedPage.objects.create(domain={DOMAIN!r}, title='A')")
        await it.redact("A", SOON, exactly=True)
        fixture = tmp_path / "pages.json"
        row = {"model": "redaction.redactedpage", "fields": {"domain": DOMAIN, "title": "B", "reason": "T1"}}
        fixture.write_text(json.dumps([row]))
        done = await asyncio.to_thread(it.sites[0].manage, "loaddata", str(fixture))
        assert done.returncode == 0, done.stderr
        await it.redact("AB", SOON, exactly=True)
        await asyncio.to_thread(it.sql, insert("C"))
        await it.redact("ABC", SQL_SOON, exactly=True)
        await asyncio.to_thread(it.shell, "RedactedPage.objects.filter(title='A').update(title='D')")
        await it.redact("BCD", SOON, exactly=True)
        await asyncio.to_thread(it.shell, "RedactedPage.objects.filter(title__in='BC').delete()")
        await it.redact("D", SOON, exactly=True)
        await it.say("ready", "", 0)
        # What was matched is written down half a minute later, at most.
        async with asyncio.timeout(WRITE_SECONDS + 15):
            while not (rows := await asyncio.to_thread(postgres.execute, MATCHED, it.url)):
                await asyncio.sleep(0.5)
        assert [(domain, key) for domain, key, _, is_new in rows if is_new] == [(DOMAIN, "d")]
        assert all(events >= 1 for _, _, events, _ in rows)


@pytest.mark.slow
async def test_what_sql_takes_away_stays_in_force_and_is_said_until_an_admin_decides(
    postgres: Postgres, kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with service(postgres, tmp_path, kafka.bootstrap, topic) as it:
        await it.list("A", "B", "C")
        await asyncio.to_thread(it.sql, "DELETE FROM redaction_redactedpage WHERE title = 'A'")
        await it.say("degraded", "without a removal", 1)
        await asyncio.to_thread(it.sql, "UPDATE redaction_redactedpage SET title = 'E', key = 'e' WHERE title = 'B'")
        await it.say("degraded", "without a removal", 2)
        await asyncio.to_thread(it.sql, "TRUNCATE redaction_redactedpage")
        await it.say("degraded", "without a removal", 4)
        await it.list("F")
        await it.redact("ABCEF", SOON, exactly=True)
        async with serving(tmp_path, kafka.bootstrap, [topic], database=it.url) as late:
            assert await redacted(late) == set("ABCEF"), "a process that starts now respects what the others hold"
        front = await asyncio.to_thread(it.admin, "apply")
        assert all(f"</span> {title}</li>" in front for title in "ABCE")
        assert "without a removal" in front
        await it.redact("F", SOON, exactly=True)
        await it.say("ready", "", 0)
        lines = await asyncio.to_thread(
            it.shell, "print(PageChange.objects.filter(reason='a test decides', by='ada').count())"
        )
        assert int(lines) >= 4


def with_version(postgres: Postgres, dump: bytes, number: str) -> bytes:
    """Return the dump of a database that differs in the version of the list alone."""
    other = postgres.create_database(migrated=False)
    postgres.restore(other, dump)
    postgres.execute(f"UPDATE streams_version SET number = {number} WHERE name = 'redacted pages'", other)
    return postgres.dump(other)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--single-transaction",)], ids=["step by step", "at once"])
async def test_a_restored_dump_of_a_lower_or_of_the_same_version_takes_nothing_out_of_force(
    options: tuple[str, ...], postgres: Postgres, kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with service(postgres, tmp_path, kafka.bootstrap, topic) as it:
        await it.list("A")
        older = await asyncio.to_thread(postgres.dump, it.url)
        await it.list("B", "C")
        await asyncio.to_thread(postgres.restore, it.url, older, *options)
        await it.say("degraded", "was in force (is it a restored database, or another one?)", 2)
        await it.redact("ABC", SOON, exactly=True)
        front = await asyncio.to_thread(it.admin, "put_back")
        assert "version" in front
        await it.say("ready", "", 0)
        await it.redact("ABC", SOON, exactly=True)

        # The same version number with other rows.
        number = await asyncio.to_thread(
            it.shell, "from streams.models import Version\nprint(Version.of(Version.REDACTED_PAGES))"
        )
        same = await asyncio.to_thread(with_version, postgres, older, number)
        await asyncio.to_thread(postgres.restore, it.url, same, *options)
        await it.say("degraded", "and stay redacted", 2)
        await it.redact("ABC", SOON, exactly=True)
        await asyncio.to_thread(it.admin, "apply")
        await it.redact("A", SOON, exactly=True)
        await it.say("ready", "", 0)


@pytest.mark.slow
async def test_a_database_that_stops_leaves_the_list_in_force_and_is_said(
    postgres: Postgres, kafka: Any, topic: str, tmp_path: Path
) -> None:
    async with service(postgres, tmp_path, kafka.bootstrap, topic) as it:
        await it.list("A", "B")
        postgres.pause()
        try:
            await it.say("degraded", "the database is slow or does not answer", 0)
            await it.redact("AB", SOON, exactly=True)
        finally:
            postgres.resume()
        await asyncio.to_thread(it.sql, "DELETE FROM redaction_redactedpage WHERE title = 'A'")
        await it.list("C")
        await it.say("degraded", "without a removal", 1)
        await it.redact("ABC", SOON, exactly=True)


async def test_a_server_whose_database_has_too_few_pages_is_not_ready_and_opens_no_stream(
    postgres: Postgres, kafka: Any, topic: str, tmp_path: Path
) -> None:
    url = postgres.create_database()
    async with serving(tmp_path, kafka.bootstrap, [topic], database=url, ready=False, redacted_pages_min=2) as site:
        it = Service([site], postgres, url)
        few = "fewer than redacted_pages_min (2)"

        async def refuses() -> None:
            await it.say("unready", few, 0, ready=503)
            status, _, body = await asyncio.to_thread(site.get, PATH, NDJSON)
            assert (status, json.loads(body)["type"]) == (503, "no_redaction_list")
            assert await asyncio.to_thread(site.metric, "eventstreams_redaction_missing_pages") > 0

        await asyncio.to_thread(site.wait_for, 503)
        await refuses()
        assert few in site.log.read_text()
        code = "RedactedPage.objects.bulk_create([RedactedPage(domain='x.org', title=title) for title in 'AB'])"
        await asyncio.to_thread(it.shell, code)
        await asyncio.to_thread(site.wait_for, 200, seconds=SOON + 5)
        await it.say("ready", "", 0)
        open_stream = await StreamClient.connect(site.port, PATH)
        # What is lost without a removal is held: it stays in force, and so nobody is refused.
        await asyncio.to_thread(it.sql, "DELETE FROM redaction_redactedpage WHERE title = 'A'")
        await it.say("degraded", "without a removal", 1)
        await (await StreamClient.connect(site.port, PATH)).close()
        await asyncio.to_thread(it.admin, "apply")
        await refuses()
        async with writer(kafka.bootstrap) as to:
            await to.write(TopicPartition(topic, 0), [None])
        async with asyncio.timeout(EVER):
            async for event in open_stream.events():
                assert event.event == "message"
                break
        await open_stream.close()
        await asyncio.to_thread(it.shell, "RedactedPage.objects.create(domain='x.org', title='C')")
        await it.say("ready", "", 0)

"""Guesses of passwords, and everything else that occupies Django, hold up nobody but those who do it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventstreams_site.gate.address_throttle import FAILURES
from tests.support.client.flood import Request
from tests.support.client.many import many
from tests.support.client.probing import probed
from tests.support.site import Site
from tests.support.site.serving import PATH, serving

alone = pytest.mark.slow
"""Answers are timed: nothing else may run on the machine, as nothing does beside slow tests of faults."""

LOGIN = "/admin/login/"
TRIES = 150
GUESSES = ("one-address", "one-network", "many-addresses")
AT_ONCE = 20
GROWTH_MB = 60.0


def guesses(site: Site, address_of: Callable[[int], str]) -> list[Request]:
    """One try for each of many names, as the login's form sends it."""
    _, headers, body = site.get(LOGIN)
    cookie = headers["set-cookie"].partition(";")[0]
    found = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', body)
    assert found is not None
    form = f"csrfmiddlewaretoken={found[1].decode()}&password=wrong&username="
    kind = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    return [
        Request("POST", LOGIN, {**kind, "X-Client-IP": address_of(number)}, f"{form}name{number}")
        for number in range(TRIES)
    ]


ATTACKS: dict[str, Callable[[Site], list[Request]]] = {
    "one-address": lambda site: guesses(site, lambda _: "203.0.113.9"),
    "one-network": lambda site: guesses(site, lambda number: f"2001:db8:1:2::{number + 1:x}"),
    "many-addresses": lambda site: guesses(site, lambda number: f"198.51.100.{number + 1}"),
    "login-pages": lambda _: [Request("GET", LOGIN, {"X-Client-IP": f"198.51.100.{n % 250}"}) for n in range(2000)],
    "made-up-sessions": lambda _: [
        Request("GET", "/admin/", {"X-Client-IP": f"198.51.100.{n % 250}", "Cookie": f"sessionid=made-up-{n}"})
        for n in range(2000)
    ],
    "long-queries": lambda _: [Request("GET", f"{LOGIN}?{'a=b&' * 10_000}") for _ in range(300)],
    "large-forms": lambda _: [Request("POST", LOGIN, body="a=b&", times=500_000) for _ in range(100)],
}


@alone
@pytest.mark.parametrize("attack", ATTACKS)
async def test_probes_and_streams_go_on(attack: str, kafka: Any, topic: str, tmp_path: Path) -> None:
    async with serving(tmp_path, kafka.bootstrap, [topic]) as site:
        requests = await asyncio.to_thread(ATTACKS[attack], site)
        before = site.rss_mb()
        async with many(site.port, PATH, 1) as client:
            answers = await probed(site, requests, TRIES if attack in GUESSES else AT_ONCE)
            assert await client.stayed()
        assert sum(answers.values()) == len(requests)
        assert not {status for status in answers if status.startswith("5")} - {"503"}, answers
        # What was refused is counted, and a person finds a line on it, not one for each.
        refused = answers["429"] + answers["503"]
        assert site.metric("eventstreams_admin_requests_refused_total") == refused
        assert site.rss_mb() - before < GROWTH_MB
        log = site.log.read_text()
        assert " ERROR " not in log
        assert len(log.splitlines()) < 60
        if attack == "large-forms":
            assert answers == {"413": len(requests)}
        if attack in ("one-address", "one-network"):
            assert answers["200"] <= FAILURES
            assert answers["429"] + answers["503"] >= TRIES - FAILURES
            assert (await asyncio.to_thread(site.get, LOGIN))[0] == 200


@alone
async def test_a_guess_whose_client_leaves_is_not_worked_off_and_counts(kafka: Any, topic: str, tmp_path: Path) -> None:
    async with serving(tmp_path, kafka.bootstrap, [topic]) as site:
        requests = await asyncio.to_thread(guesses, site, lambda number: f"198.51.100.{number + 1}")
        await probed(site, requests, TRIES, abort=True)
        async with asyncio.timeout(5):  # each that is worked off takes a third of a second
            while site.metric("eventstreams_admin_requests"):
                await asyncio.sleep(0.05)
        status, _, _ = await asyncio.to_thread(site.get, LOGIN)
        assert status == 200

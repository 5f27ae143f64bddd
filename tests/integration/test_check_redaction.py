"""`manage.py check_redaction` against a running service and a Kafka: its verdicts, and its exit statuses."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.kit import Broker, Rec
from tests.support.events.streams_of_edits import BROKEN, DOMAIN, STREAMS_OF_EDITS, TITLE, UNLISTED, EditSite, edit_site
from tests.support.site import Site, free_port

CLEAN, LEAK, NOT_FOUND, FAILED = range(4)


NEVER_EDITED = "User:Nobody"


@pytest.fixture(scope="module")
def site(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EditSite]:
    """With a listed page that was edited, and one that no real event is of: it should be Участник:Nobody."""
    with edit_site(kafka, tmp_path_factory.mktemp("site"), listed=[TITLE.upper(), NEVER_EDITED]) as site:
        site.start()
        site.write_real_edit(TITLE)
        yield site


@pytest.fixture(scope="module")
def broken_site(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same, where the redactor forgets some keys."""
    with edit_site(kafka, tmp_path_factory.mktemp("site"), command=BROKEN) as site:
        yield site.start()


class Answer:
    """What the command said with --json."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.status = done.returncode
        self.stderr = done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.events = [line for line in lines if "result" not in line]
        self.result = next((line["result"] for line in lines if "result" in line), None)

    def verdicts(self) -> dict[str, str]:
        return {event["stream"]: event["verdict"] for event in self.events}

    def leaks(self, stream: str) -> list[str]:
        return [leak["path"] for event in self.events if event["stream"] == stream for leak in event["leaks"]]


def ask(site: Site, *arguments: str, title: str = TITLE) -> Answer:
    named = ("--title", title) if title else ()
    return Answer(site.manage("check_redaction", "--domain", DOMAIN, *named, "--url", site.url, "--json", *arguments))


def test_an_edit_of_a_listed_page_is_clean_in_every_stream_that_carries_it(site: Site) -> None:
    answer = ask(site, "--produce")
    assert (answer.status, answer.verdicts()) == (CLEAN, dict.fromkeys(STREAMS_OF_EDITS, "clean"))
    assert answer.result["clean"] == len(STREAMS_OF_EDITS)
    removed = {event["stream"]: set(event["removed"]) for event in answer.events}
    assert removed["mediawiki.recentchange"] == {"user", "comment", "parsedcomment"}
    assert removed["mediawiki.page_change.v1"] == {
        "performer",
        "comment",
        "revision.comment",
        "revision.editor",
        "revision.is_editor_visible",
        "prior_state.revision.comment",
        "prior_state.revision.editor",
        "prior_state.revision.is_editor_visible",
    }


def test_a_test_edit_of_a_page_that_no_real_event_has_is_no_proof(site: Site) -> None:
    answer = ask(site, "--produce", title=NEVER_EDITED)
    assert (answer.status, answer.result["verdict"]) == (NOT_FOUND, "not found")
    assert answer.verdicts() == dict.fromkeys(STREAMS_OF_EDITS, "clean")
    assert "this proves only that the list works" in answer.result["sentences"][0]
    assert "no real event with this title has been seen" in answer.result["sentences"][0]
    assert answer.result["doubts"]
    done = site.manage("check_redaction", "--domain", DOMAIN, "--title", NEVER_EDITED, "--url", site.url)
    assert done.returncode == NOT_FOUND
    assert f"“{NEVER_EDITED}” on {DOMAIN} is listed in the configuration file" in done.stdout


def test_the_page_can_be_given_by_its_address_and_what_no_page_has_is_refused(site: Site) -> None:
    address = "https://ru.m.wikipedia.org/wiki/" + quote(TITLE.replace(" ", "_"))
    done = site.manage("check_redaction", "--title", address, "--url", site.url)
    assert done.returncode == CLEAN, done.stderr
    assert any(line.startswith("Clean: ") for line in done.stdout.splitlines())
    done = site.manage("check_redaction", "--domain", DOMAIN, "--title", "Special:Log", "--url", site.url)
    assert done.returncode == FAILED
    assert "no event has such a title" in done.stderr


def test_an_edit_of_another_page_leaks_and_each_place_is_named(site: Site) -> None:
    answer = ask(site, "--produce", title=UNLISTED)
    assert (answer.status, answer.verdicts()) == (LEAK, dict.fromkeys(STREAMS_OF_EDITS, "leak"))
    assert set(answer.leaks("mediawiki.recentchange")) == {"user", "comment", "parsedcomment"}
    assert "prior_state.revision.editor.user_text" in answer.leaks("mediawiki.page_change.v1")
    assert "performer.user_id" in answer.leaks("mediawiki.revision-create")
    assert all(event["removed"] == [] for event in answer.events)


def test_with_a_broken_redactor_the_same_page_leaks(broken_site: Site) -> None:
    answer = ask(broken_site, "--produce")
    assert answer.status == LEAK
    assert answer.leaks("mediawiki.recentchange") == ["user"]
    assert set(answer.leaks("mediawiki.page_change.v1")) == {"revision.editor", "prior_state.revision.editor"}
    assert answer.verdicts()["mediawiki.revision-create"] == "clean"


@pytest.mark.slow
def test_by_shape_alone_the_verdicts_are_the_same(site: Site, broken_site: Site) -> None:
    streams = ("--no-raw", "--streams", ",".join(STREAMS_OF_EDITS), "--title", TITLE)
    for running_site in (site, broken_site):
        ask(running_site, "--produce", "--rev-id", "4217", title=TITLE)
    with ThreadPoolExecutor() as threads:  # each waits until nothing more comes
        kept, broken = threads.map(lambda site: ask(site, "--rev-id", "4217", *streams), (site, broken_site))
    assert (kept.status, kept.result["by_shape"]) == (CLEAN, True)
    assert set(kept.verdicts()) == set(STREAMS_OF_EDITS)
    assert (broken.status, broken.result["by_shape"]) == (LEAK, True)
    assert broken.leaks("mediawiki.recentchange") == ["user"]


@pytest.mark.slow
def test_only_the_revision_asked_for_is_looked_at(site: EditSite) -> None:
    first, second = ask(site, "--produce", "--rev-id", "4217001"), ask(site, "--produce", "--rev-id", "4217009")
    assert (first.status, second.status) == (CLEAN, CLEAN)
    again = ask(site, "--rev-id", "4217001", title="")
    assert again.status == NOT_FOUND  # it is a test edit, and of which title it is nobody has said
    assert [event["offset"] for event in again.events] == [event["offset"] for event in first.events]
    site.write_real_edit(TITLE, 4217017)
    assert ask(site, "--rev-id", "4217017", title="").status == CLEAN
    assert ask(site, "--rev-id", "4217005", title="").status == NOT_FOUND


def test_a_page_without_events_in_the_window_is_not_found(site: Site) -> None:
    answer = ask(site, title="Nobody's page")
    assert (answer.status, answer.events, answer.result["verdict"]) == (NOT_FOUND, [], "not found")


@pytest.mark.slow
async def test_an_event_that_is_withheld_is_said_not_to_be_served(site: Site, kafka: Any) -> None:
    stream = "mediawiki.page-links-change"
    title = "Nothing but withheld"
    [produced] = (await asyncio.to_thread(ask, site, "--streams", stream, "--produce")).events
    unreadable = {"meta": {"domain": DOMAIN}, "title": title, "page": "not an object"}
    [offset] = await Broker(kafka.bootstrap).send(produced["topic"], Rec(unreadable))
    answer = await asyncio.to_thread(ask, site, "--streams", stream, title=title)
    assert answer.status == NOT_FOUND
    [event] = answer.events
    assert (event["offset"], event["verdict"]) == (offset, "not found")
    assert "withheld" in event["note"]


def test_no_answer_holds_a_name(site: Site) -> None:
    done = site.manage("check_redaction", "--domain", DOMAIN, "--title", UNLISTED, "--url", site.url, "--produce")
    assert done.returncode == LEAK
    assert "LEAK at user: the performer's name" in done.stdout
    assert "Tester" not in done.stdout + done.stderr
    assert "Tester" not in site.log.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give --title"),
        pytest.param(("--title", "x", "--since", "tomorrow"), "is not a valid time window", marks=pytest.mark.slow),
        pytest.param(("--title", "x", "--since", "2999-01-01"), "not in the past", marks=pytest.mark.slow),
        pytest.param(
            ("--title", "x", "--streams", "nope"), "No such streams are configured: nope", marks=pytest.mark.slow
        ),
        pytest.param(("--title", "x", "--url", "ftp://x"), "is not the address of a service", marks=pytest.mark.slow),
        pytest.param(("--title", "x", "--url", "https://stream.example.org"), "give --streams", marks=pytest.mark.slow),
        pytest.param(
            ("--title", "x", "--url", "https://stream.example.org", "--produce"),
            "--produce writes to the Kafka on this",
            marks=pytest.mark.slow,
        ),
        pytest.param(("--rev-id", "many"), "invalid int value", marks=pytest.mark.slow),
        pytest.param(("--title", "x", "--sinc", "1h"), "unrecognized arguments", marks=pytest.mark.slow),
    ],
)
def test_a_check_that_cannot_be_made_is_no_verdict(site: Site, arguments: tuple[str, ...], said: str) -> None:
    done = site.manage("check_redaction", "--domain", DOMAIN, "--url", site.url, *arguments)
    assert done.returncode == FAILED
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_without_a_server_there_is_no_verdict(site: Site) -> None:
    done = site.manage(
        "check_redaction", "--domain", DOMAIN, "--title", "x", "--url", f"http://127.0.0.1:{free_port()}"
    )
    assert done.returncode == FAILED
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_without_kafka_there_is_no_verdict(site: Site) -> None:
    away = f'{{metadata.broker.list: "127.0.0.1:{free_port()}"}}'
    arguments = ("check_redaction", "--domain", DOMAIN, "--title", "x", "--url", site.url)
    done = site.manage(*arguments, EVENTSTREAMS_KAFKA=away)
    assert done.returncode == FAILED
    assert "Kafka" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_written_to_a_kafka_that_is_elsewhere(site: Site) -> None:
    arguments = ("check_redaction", "--domain", DOMAIN, "--title", "x", "--url", site.url, "--produce")
    done = site.manage(*arguments, EVENTSTREAMS_KAFKA='{metadata.broker.list: "127.0.0.1:9092,kafka.example.org:9092"}')
    assert done.returncode == FAILED
    assert "is not on this machine" in done.stderr

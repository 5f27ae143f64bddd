"""Replicas whose source documents differ: one of them stores its own, the others say so and serve what is stored."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from streams.catalogue import lease as module
from streams.catalogue.lease import Replica
from streams.catalogue.synchronise import SyncResult, keep_lease, synchronise
from streams.models import SourceLease, SyncRun
from tests.support.around.stream_source import Written, rows, runs, some

pytestmark = pytest.mark.django_db


class Server:
    """A replica with its own document."""

    def __init__(self, folder: Path, name: str, *streams: str) -> None:
        self.source = Written(folder / f"{name}.json", **some(*streams))
        self.replica = Replica(ttl=1.0)

    def sync(self, by: str = "") -> SyncResult:
        return self.source.sync(replica=self.replica, by=by)

    def stays(self) -> None:
        """Let the document have differed for long enough."""
        assert self.replica._differs is not None
        fingerprint, since = self.replica._differs
        self.replica._differs = fingerprint, since - module.STAYS_SECONDS


def passes(seconds: float) -> None:
    """Let the lease be older."""
    lease = SourceLease.objects.get()
    lease.until -= timedelta(seconds=seconds)
    lease.save()


def test_of_two_documents_the_newer_servers_is_stored_once_and_nobody_flips_it(tmp_path: Path) -> None:
    old, new = Server(tmp_path, "old", *"ab"), Server(tmp_path, "new", *"abc")
    assert old.sync().outcome == "changed"
    for _ in range(5):
        said = new.sync()
        assert said.outcome == "differs"
        assert not said.is_good
        assert said.wait is not None
        assert 0 < said.wait <= module.STAYS_SECONDS
        assert "new.json differs from the stored configuration, of " in said.error
        assert old.sync().outcome == "unchanged"
    assert list(rows()) == ["a", "b"], "what is stored is in force"
    new.stays()
    assert new.sync().outcome == "changed"
    for _ in range(5):
        said = old.sync()
        assert (said.outcome, said.wait) == ("differs", None)
        assert "another server started later" in said.error
        assert new.sync().outcome == "unchanged"
    old.stays()
    assert old.sync().outcome == "differs"
    assert list(rows()) == ["a", "b", "c"]
    assert [outcome for outcome, _ in runs()] == ["changed", "changed"]


def test_a_document_that_changes_is_stored_by_its_holder_at_once_and_by_others_only_if_it_stays(tmp_path: Path) -> None:
    """One source, which answers old and new in turn while it changes: an answer that is late sets nothing back."""
    holder, other = Server(tmp_path, "one", *"ab"), Server(tmp_path, "two", *"ab")
    other.source.config = holder.source.config
    holder.sync()
    assert other.sync().outcome == "unchanged"
    for names in ("abc", "ab", "abc", "ab"):
        holder.source.say(**some(*names))
        assert other.sync().outcome in {"differs", "unchanged"}
    assert len(runs()) == 1
    holder.source.say(**some(*"abc"))
    assert holder.sync().outcome == "changed"
    assert other.sync().outcome == "unchanged"


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_an_older_server_gets_the_lease_back_when_no_newer_one_keeps_it(end: str, tmp_path: Path) -> None:
    old, new = Server(tmp_path, "old", *"ab"), Server(tmp_path, "new", *"abc")
    old.sync()
    new.sync()
    new.stays()
    new.sync()
    if end == "stopped":
        new.replica.release()
    assert old.sync().outcome == "differs", "another one with the newer document may take it"
    passes(module.LEASE_SECONDS)
    assert old.sync().outcome == "changed"
    assert list(rows()) == ["a", "b"]


def test_a_server_with_the_same_document_takes_over_what_its_holder_leaves(tmp_path: Path) -> None:
    old, new, third = (Server(tmp_path, name, *of) for name, of in (("old", "ab"), ("new", "abc"), ("third", "abc")))
    new.sync()
    third.sync()
    new.replica.release()
    assert old.sync().outcome == "differs"
    assert third.sync().outcome == "unchanged"
    assert SourceLease.objects.get().holder == third.replica._id
    passes(module.LEASE_SECONDS * 0.8)
    new.sync()
    assert SourceLease.objects.get().holder == new.replica._id, "it is not renewed any longer"
    assert old.sync().outcome == "differs"


def test_a_restart_with_another_document_stores_it_at_once(tmp_path: Path) -> None:
    before = Server(tmp_path, "before", *"ab")
    before.sync()
    before.replica.release()
    assert Server(tmp_path, "after", *"abc").sync().outcome == "changed"


def test_only_the_holder_tells_the_history_that_its_source_fails_and_a_failure_blocks_nobody(tmp_path: Path) -> None:
    holder, other = Server(tmp_path, "one", *"ab"), Server(tmp_path, "two", *"ab")
    other.source.path.write_text("nothing")
    assert other.sync().outcome == "failed"
    assert holder.sync().outcome == "changed"
    for _ in range(3):
        assert other.sync().outcome == "failed"
        assert holder.sync().outcome == "unchanged"
    assert [outcome for outcome, _ in runs()] == ["failed", "changed"]
    holder.source.path.write_text("nothing")
    other.source.say(**some(*"ab"))
    for _ in range(3):
        assert holder.sync().outcome == "failed"
        assert other.sync().outcome == "unchanged"
    assert [outcome for outcome, _ in runs()] == ["failed", "changed", "failed"]


def test_what_is_held_waits_whatever_older_servers_have(tmp_path: Path) -> None:
    names = "abcdefgh"
    old, new = Server(tmp_path, "old", *names), Server(tmp_path, "new", "a")
    old.sync()
    new.sync()
    new.stays()
    for _ in range(3):
        assert new.sync().outcome == "held"
        assert old.sync().outcome == "unchanged"
    assert [outcome for outcome, _ in runs()] == ["changed", "held"]
    assert SyncRun.objects.filter(pending__isnull=False).exists()


def test_a_persons_word_counts_from_then_on(tmp_path: Path) -> None:
    old, new = Server(tmp_path, "old", *"ab"), Server(tmp_path, "new", *"abc")
    old.sync()
    new.sync()
    new.stays()
    new.sync()
    assert old.sync(by="ada").outcome == "changed"
    assert new.sync().outcome == "differs"
    new.stays()
    assert new.sync().wait is None
    assert list(rows()) == ["a", "b"]


def test_a_command_stores_at_once_and_servers_that_agree_keep_it(tmp_path: Path) -> None:
    server = Server(tmp_path, "server", *"ab")
    server.sync()
    command = Written(tmp_path / "other.json", **some(*"abc"))
    done = synchronise(command.config, replica=Replica(1.0, is_brief=True), by="sync_streams")
    assert done.outcome == "changed"
    assert server.sync().outcome == "differs"
    server.source.say(**some(*"abc"))
    assert server.sync().outcome == "unchanged"
    assert SourceLease.objects.get().holder == server.replica._id


def test_streams_of_the_configuration_file_belong_to_the_document(tmp_path: Path) -> None:
    old, new = Server(tmp_path, "old", "a"), Server(tmp_path, "new", "a")
    old.source.config.stream_config_overrides = some("x")
    old.sync()
    for _ in range(3):
        assert new.sync().outcome == "differs"
        assert old.sync().outcome == "unchanged"
    assert len(runs()) == 1


def test_the_lease_is_renewed_rarely(tmp_path: Path) -> None:
    server = Server(tmp_path, "one", *"ab")
    server.sync()
    before = SourceLease.objects.get().until
    server.sync()
    assert SourceLease.objects.get().until == before
    passes(module.LEASE_SECONDS * 0.3)
    server.sync()
    assert SourceLease.objects.get().until > timezone.now() + timedelta(seconds=module.LEASE_SECONDS * 0.9)


def test_a_server_that_fetches_once_keeps_its_lease_and_another_one_inherits_it(tmp_path: Path) -> None:
    """Else a server with another document would store that as soon as the lease has ended."""
    once, same, other = (Server(tmp_path, name, *of) for name, of in (("a", "ab"), ("b", "ab"), ("c", "abc")))
    known = {each.replica._id: each.sync().document for each in (once, same)}

    def keeps(server: Server) -> None:
        document = known[server.replica._id]
        assert document is not None
        keep_lease(server.source.config, document, server.replica)

    keeps(once)
    before = SourceLease.objects.get().until
    keeps(once)
    assert SourceLease.objects.get().until == before, "rarely"
    for _ in range(5):
        passes(module.LEASE_SECONDS * 0.3)
        keeps(same)
        keeps(once)
    assert SourceLease.objects.get().holder == once.replica._id
    assert other.sync().outcome == "differs"
    once.replica.release()
    keeps(same)
    assert SourceLease.objects.get().holder == same.replica._id
    other.stays()
    assert other.sync().outcome == "changed", "it has started later"
    passes(module.LEASE_SECONDS)
    stored = rows()
    keeps(same)
    assert SourceLease.objects.get().holder == other.replica._id, "its document is no longer the stored one"
    assert rows() == stored


def test_replicas_with_the_same_document_look_in_time_for_a_lease_whose_holder_crashed() -> None:
    """Else a server with an older document would store it first, and clients would be disconnected twice."""
    ttl = 60.0
    replica, now = Replica(ttl), timezone.now()
    until = now + replica._lease
    lease = SourceLease(name=SourceLease.STREAMS, holder="crashed", wanted_since=now, until=until)
    for phase in range(0, 66, 3):
        looks = [now + timedelta(seconds=phase + 1.1 * ttl * n) for n in range(10)]
        assert any(replica.is_due(lease, at) for at in looks if at < until), phase


def test_a_server_whose_clock_is_wrong_keeps_no_newer_one_from_storing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clock is a day ahead. By its own times, all others would have started before it until tomorrow."""
    true_now, day = timezone.now, timedelta(days=1)
    with monkeypatch.context() as patch:
        patch.setattr(timezone, "now", lambda: true_now() + day)
        patch.setattr(module, "database_is_ahead", lambda: -day)
        wrong = Server(tmp_path, "wrong", *"ab")
        assert wrong.sync().outcome == "changed"
    lease = SourceLease.objects.get()
    assert lease.wanted_since <= true_now()
    assert lease.until <= true_now() + timedelta(seconds=module.LEASE_SECONDS)
    new = Server(tmp_path, "new", *"abc")
    assert new.sync().wait is not None
    new.stays()
    assert new.sync().outcome == "changed"

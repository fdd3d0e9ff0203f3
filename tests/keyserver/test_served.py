"""A member's keys over time: what it was told becomes a ring, lies on disk, and carries frames from key to key."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from agent.goose import frame
from agent.goose.dataset import status_data_set
from agent.goose.endpoint import Endpoint
from agent.goose.publisher import Publisher
from agent.goose.subscriber import Accepted, Subscriber
from agent.keyserver import client
from agent.keyserver.authority import Authority, GroupPolicy
from agent.keyserver.client import Heard
from agent.keyserver.payloads import Keys, Refused, Tek
from agent.security.frames import Algorithm, parse_extension
from agent.security.keys import KeyRing, document_of, load
from agent.station import durable, keyset, served
from agent.station.alarms import Alarms
from agent.station.eventlog import EventLog
from agent.station.keeper import Keeper, KeySource
from agent.station.served import Served, ServerOptions, ring_of, same
from tests.goose.lab import STATUS, Ether, stream
from tests.keyserver.test_server import configured, folder, free_port, identity, serving

__all__ = ["folder"]
NOW = 1_800_000_000_000_000
S = 1_000_000


def tek(number: int, delay: int, remaining: int) -> Tek:
    return Tek(number, Algorithm.HMAC_SHA256_128, bytes([number]) * 32, delay, remaining)


def options(folder: Path, port: int, hold: int = 3600, name: str = "F1") -> ServerOptions:
    return ServerOptions((("127.0.0.1", port),), identity(folder, name), hold)


def times(ring: KeyRing) -> dict[int, tuple[int | None, int | None]]:
    return {key.identifier: (key.valid_from_us, key.valid_until_us) for key in ring}


def test_what_is_told_again_changes_nothing() -> None:
    """Pulled every five minutes, in whole seconds, some milliseconds on the way: no other times, nothing to write."""
    first = ring_of(Keys("flisr", 1, (tek(1, 0, 500), tek(3, 500, 1500))), 60, NOW)
    assert times(first) == {1: (None, NOW + 500 * S), 3: (NOW + 500 * S, NOW + 1560 * S)}
    later = NOW + 300 * S + 700_000
    again = ring_of(Keys("flisr", 1, (tek(1, 0, 199), tek(3, 200, 1199))), 60, later, first)
    assert same(again, first)
    past = NOW + 600 * S
    over = ring_of(Keys("flisr", 1, (tek(1, 0, 1), tek(3, 0, 900))), 60, past, again)
    assert same(over, first)
    assert over.signing("flisr", past).identifier == 3
    other = ring_of(Keys("flisr", 2, (tek(1, 0, 1), tek(3, 0, 300))), 60, past, again)
    assert times(other)[3] == (NOW + 500 * S, past + 360 * S), "the server has another mind"


def test_who_hears_of_a_chain_late_signs_with_the_current_key() -> None:
    told = Keys("flisr", 1, (tek(1, 0, 1), tek(3, 0, 900), tek(5, 900, 1800)))
    ring = ring_of(told, 0, NOW)
    assert ring.signing("flisr", NOW).identifier == 3
    assert [ring.schedule("flisr").find(n, NOW + 100 * S).identifier for n in (1, 3, 5)] == [1, 3, 5]


def test_a_server_that_has_lost_its_keys_cuts_nobody_off() -> None:
    """It begins anew. Who has heard of that and who has not yet understand each other; a minute later the old keys
    are those before the present one, and after the grace they are gone."""
    before = ring_of(Keys("flisr", 9, (tek(1, 0, 500), tek(3, 500, 1500))), 60, NOW)
    anew = Keys("flisr", 1, (tek(5, 120, 1620),))
    ring = ring_of(anew, 60, NOW + 10 * S, before)
    assert [key.identifier for key in ring] == [1, 5], "the next one of yesterday was never used"
    assert ring.signing("flisr", NOW + 20 * S).identifier == 1
    assert before.schedule("flisr").find(1, NOW + 20 * S)
    assert same(ring_of(anew._replace(keys=(tek(5, 100, 1600),)), 60, NOW + 30 * S, ring), ring)
    assert ring.signing("flisr", NOW + 130 * S).identifier == 5
    late = NOW + 400 * S
    assert ring.schedule("flisr").find(1, late)
    told = anew._replace(keys=(tek(5, 0, 1230),))
    assert [key.identifier for key in ring_of(told, 60, late, ring)] == [1, 5]
    gone = NOW + 431 * S
    assert [key.identifier for key in ring_of(anew._replace(keys=(tek(5, 0, 1199),)), 60, gone, ring)] == [5]


def test_of_keys_that_are_not_told_any_more_there_is_room_for_a_few(tmp_path: Path) -> None:
    """The receiver of samples has room for four; and what is kept is a key file that can be read."""
    before = ring_of(Keys("flisr", 9, tuple(tek(n, 0, 10 * n) for n in (1, 2, 3, 4))), 60, NOW)
    ring = ring_of(Keys("flisr", 1, (tek(5, 0, 900), tek(6, 900, 1800))), 60, NOW + 5 * S, before)
    assert [key.identifier for key in ring] == [3, 4, 5, 6]
    assert ring.signing("flisr", NOW + 6 * S).identifier == 5
    path = tmp_path / "keys"
    path.write_text(document_of(ring))
    path.chmod(0o600)
    assert same(load(path), ring)
    assert [k.identifier for k in ring_of(Keys("flisr", 1, tuple(tek(n, 0, 9) for n in range(10, 14))), 0, NOW + 6 * S,
                                          ring)] == [10, 11, 12, 13]  # fmt: skip


def test_a_group_of_which_nothing_is_told_keeps_its_keys_and_their_times() -> None:
    frames, samples = Keys("flisr", 1, (tek(1, 0, 500),)), Keys("flisr-sv", 1, (tek(2, 0, 500), tek(4, 500, 900)))
    before = ring_of(samples, 60, NOW, ring_of(frames, 60, NOW))
    later = ring_of(frames._replace(keys=(tek(1, 0, 200),)), 60, NOW + 300 * S, before)
    assert same(later, before)


def test_an_agent_starts_from_its_copy_while_no_server_answers(folder: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(configured(folder, tmp_path, port=port)):
        first = Served(options(folder, port), tmp_path)
        assert first.first() == ""
    threads = threading.active_count()
    again = Served(options(folder, port), tmp_path)
    assert again.first() == ""
    assert threading.active_count() == threads, "the caller forks"
    assert same(load(again.path), load(first.path))
    assert again.path.stat().st_mode & 0o777 == 0o600


def test_an_agent_waits_for_the_keys_of_its_samples_as_well(folder: Path, tmp_path: Path) -> None:
    """Those of the frames alone will not do where merging units have others."""
    file = configured(folder, tmp_path)
    file.write_text(
        file.read_text().replace("hmac-sha256-128", "aes-gmac-128")
        + "  flisr-sv: {algorithm: hmac-sha256-128, members: [F1]}\n"
    )
    with serving(file) as running:
        first = Served(options(folder, running.server.address[1]), tmp_path)
        assert first.first() == ""
        ring = load(first.path)
        assert sorted(ring.groups) == ["flisr", "flisr-sv"]
        assert keyset.choose(ring, False, True, time.time_ns() // 1000).samples[0].group == "flisr-sv"
        other = Served(options(folder, running.server.address[1], name="R11"), tmp_path / "other")
        other.path.parent.mkdir()
        assert other.first() == "", "who is no member of the samples' group has none"
        assert load(other.path).groups == ("flisr",)


@pytest.mark.parametrize("damage", ["old", "damaged"])
def test_a_copy_that_is_of_no_use_gives_way_to_a_server(folder: Path, tmp_path: Path, damage: str) -> None:
    """An agent that was off for longer than its keys live; and one whose disk has lost a block."""
    served_keys = tmp_path / served.NAME
    if damage == "old":
        server = Authority([GroupPolicy("flisr", Algorithm.HMAC_SHA256_128, frozenset({"F1"}))], 1, os.urandom, 0)
        server.advance(NOW)
        server.announce()
        told = server.answer("F1", "flisr", NOW)
        assert isinstance(told, Keys)
        served_keys.write_text(document_of(ring_of(told, 0, 1_000_000_000 * S)))
    else:
        served_keys.write_bytes(b"\0" * 512)
    served_keys.chmod(0o600)
    port = free_port()
    with serving(configured(folder, tmp_path, port=port)):
        assert Served(options(folder, port), tmp_path).first() == ""
    until_us = load(served_keys).signing("flisr").valid_until_us
    assert until_us is not None
    assert until_us > time.time_ns() // 1000


def test_no_copy_and_no_server_is_said(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "FIRST_PULL_S", 1.0)
    why = Served(options(folder, free_port()), tmp_path).first()
    assert "no key server gave keys in 1 s: 127.0.0.1:" in why
    assert "Connection refused, and there is no copy" in why
    with serving(configured(folder, tmp_path)) as running:
        why = Served(options(folder, running.server.address[1], name="stranger"), tmp_path).first()
    assert "stranger is no member of such a group" in why


class Bench:
    """A keeper between a member's end that says what the test wants and a protection process that notes it."""

    def __init__(self, folder: Path, directory: Path, monkeypatch: pytest.MonkeyPatch, hold: int = 3600) -> None:
        monkeypatch.setattr(client.KeyClient, "start", lambda _client: None)
        self.messages: list[dict[str, object]] = []
        self.log = EventLog(directory, "F1")
        self.alarms = Alarms(self.log, lambda _text: None)
        self.served = Served(options(folder, 1, hold), directory)
        self.keeper = Keeper(KeySource(self.served, True, True, None), self._told, self.log, self.alarms)
        self.served.client.heard = self._heard  # type: ignore[method-assign]
        self.pending: list[Heard] = []

    def _told(self, message: dict[str, object]) -> bool:
        self.messages.append(message)
        return True

    def _heard(self) -> list[Heard]:
        found, self.pending = self.pending, []
        return found

    def hears(self, message: Keys | Refused | None, why: str = "") -> None:
        self.pending.append(Heard("server1:8852", message, why))
        self.keeper.hear()

    def events(self) -> list[str]:
        return [json.loads(line)["name"] for line in self.log.path.read_text().splitlines()]


def test_only_what_is_new_is_told_to_the_protection_process(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(folder, tmp_path, monkeypatch)
    for _ in range(3):
        bench.hears(Keys("flisr", 1, (tek(1, 0, 500),)))
    assert len(bench.messages) == 1
    bench.hears(Keys("flisr", 2, (tek(1, 0, 500), tek(3, 500, 1000))))
    assert len(bench.messages) == 2
    assert [key["identifier"] for key in bench.messages[-1]["keys"]] == [1, 3]  # type: ignore[attr-defined]


def test_servers_that_are_silent_or_wrong_are_told_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(folder, tmp_path, monkeypatch)
    bench.hears(None, "Connection refused")
    assert bench.alarms.show() == {"key-server": "Connection refused"}
    for _ in range(2):
        bench.hears(Refused("flisr", "F1 is no member of such a group"))
    assert bench.alarms.show() == {"keys": "F1 is no member of such a group"}
    bench.hears(Keys("flisr", 1, (tek(1, 0, 500),)))
    bench.hears(Keys("flisr-sv", 1, (tek(1, 0, 500),)))
    assert "key id 1 is used twice" in bench.alarms.show()["keys"]
    assert bench.events() == ["key_server_silent", "keys_refused", "keys_loaded", "keys_refused"]


def test_a_full_disk_does_not_keep_an_agent_from_the_next_key(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(folder, tmp_path, monkeypatch)
    whole = durable.replace

    def full(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "replace", full)
    bench.hears(Keys("flisr", 1, (tek(1, 0, 500),)))
    assert len(bench.messages) == 1
    assert bench.alarms.show() == {"keys-disk": "No space left on device"}
    monkeypatch.setattr(durable, "replace", whole)
    bench.hears(Keys("flisr", 1, (tek(1, 0, 500),)))
    assert bench.alarms.show() == {}
    assert [key.identifier for key in load(bench.served.path)] == [1]
    assert len(bench.messages) == 1, "it has these keys"


def test_keys_that_come_to_an_end_ask_for_a_person(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last key's own time is over: from here on the hold runs."""
    bench = Bench(folder, tmp_path, monkeypatch, hold=1000)
    bench.hears(Keys("flisr", 1, (tek(1, 0, 500),)))
    bench.keeper.tick()
    assert bench.alarms.show() == {}
    at = time.time_ns() // 1000
    monkeypatch.setattr("agent.station.keeper.now_us", lambda: at + 501 * S)
    for _ in range(2):
        bench.keeper.tick()
    assert "no key is good beyond" in bench.alarms.show()["keys-end"]
    assert bench.events().count("keys_run_out") == 1
    bench.hears(Keys("flisr", 2, (tek(1, 0, 500), tek(3, 500, 5000))))
    bench.keeper.tick()
    assert bench.alarms.show() == {}


def test_an_agent_without_a_merging_unit_needs_no_keys_for_samples() -> None:
    key = Tek(1, Algorithm.AES_128_GCM, bytes(16), 0, 500)
    ring = ring_of(Keys("flisr", 1, (key,)), 0, NOW)
    assert keyset.choose(ring, True, False, NOW).samples == ()
    with pytest.raises(keyset.KeySetError, match="samples are signed, not encrypted"):
        keyset.choose(ring, True, True, NOW)
    with pytest.raises(keyset.KeySetError, match="Ethernet frames are not encrypted"):
        keyset.choose(ring, False, False, NOW)


def test_the_first_group_that_is_over_counts() -> None:
    assert keyset.end_of([5, 9], [7]) == 7
    assert keyset.end_of([5, None], [7]) == 7
    assert keyset.end_of([None], [None, 3]) is None


def test_no_frame_is_lost_while_keys_roll_over(folder: Path, tmp_path: Path) -> None:
    """A publisher and a subscriber, each a member of its own, over a server whose keys live for four seconds."""
    data_set = status_data_set()
    told = stream(data_set)
    with serving(configured(folder, tmp_path, life=4)) as running:
        members = []
        for name in ("F1", "R11"):
            place = tmp_path / name
            place.mkdir()
            members.append(Served(options(folder, running.server.address[1], name=name), place))
            assert members[-1].first() == ""
            members[-1].client.start()
        first = load(members[0].path).schedule("flisr")
        publisher = Publisher(told, data_set, first)
        ends = (
            Endpoint(Ether(), (publisher,)),
            Endpoint(Ether(), (), [Subscriber(told, data_set, load(members[1].path).schedule("flisr"))]),
        )
        sent, used, end = 0, set[int](), time.monotonic() + 14.0
        try:
            while time.monotonic() < end:
                for member, side in zip(members, ends, strict=True):
                    for heard in member.client.heard():
                        ring = member.take(heard)
                        if ring is not None:
                            side.rekey(ring.schedule("flisr"))
                now = time.time_ns() // 1000
                payload = publisher.publish(STATUS._replace(operations=sent), now)
                _, result = ends[1].take(payload, now)
                assert isinstance(result, Accepted), (sent, result)
                used.add(parse_extension(frame.parse(payload).extension).key)
                sent += 1
                time.sleep(0.002)
        finally:
            for member in members:
                member.client.close()
    assert len(used) >= 3
    assert sent > 500

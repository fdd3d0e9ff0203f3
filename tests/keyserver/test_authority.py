"""The chains of keys: roll-over, two servers, and who may have what."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.keyserver import store
from agent.keyserver.authority import Authority, GroupPolicy
from agent.keyserver.payloads import Keys, Refused
from agent.security.frames import Algorithm
from agent.security.ring import KeyGroup
from agent.station.served import ring_of

NOW = 1_800_000_000_000_000
S = 1_000_000
POLICY = GroupPolicy("flisr", Algorithm.HMAC_SHA256_128, frozenset({"F1", "R11"}), life_s=100, ahead_s=20, kept_s=30)


def counting(seed: str) -> Callable[[int], bytes]:
    """Octets that differ from call to call, and from server to server."""
    state = [0]

    def draw(size: int) -> bytes:
        state[0] += 1
        return hashlib.sha512(f"{seed} {state[0]}".encode()).digest()[:size]

    return draw


def authority(number: int = 1, peer: str = "", started: int = NOW) -> Authority:
    return Authority([POLICY], number, counting(f"server {number}"), started, peer=peer, takeover_s=30)


def turn(server: Authority, now: int) -> list[str]:
    """What is due is made, and told; the groups of which there was something to tell."""
    server.advance(now)
    changed = server.unannounced()
    server.announce()
    return changed


def told(server: Authority, now: int, member: str = "F1") -> Keys:
    answer = server.answer(member, "flisr", now)
    assert isinstance(answer, Keys)
    return answer


def test_a_chain_of_keys_rolls_over_without_a_gap() -> None:
    """A member that hears every push verifies what any other signs, even one that hears it 15 s later."""
    server = authority()
    rings: list[KeyGroup] = []
    signed = set()
    for second in range(0, 500, 5):
        now = NOW + second * S
        changed = turn(server, now)
        fresh = ring_of(told(server, now), 0, now).schedule("flisr")
        rings.append(fresh if changed else rings[-1])
        late = rings[max(0, len(rings) - 4)]
        for signing in (rings[-1].signing(now), late.signing(now)):
            assert signing.valid_until_us is None or signing.valid_until_us > now
            signed.add(signing.identifier)
            for ring in (rings[-1], late):
                assert ring.find(signing.identifier, now).secret == signing.secret
    assert len(signed) == 5


def test_the_next_key_is_told_ahead_and_the_last_one_for_a_while() -> None:
    server = authority()
    turn(server, NOW)
    assert [(key.delay_s, key.remaining_s) for key in told(server, NOW).keys] == [(20, 120)]
    assert turn(server, NOW + 99 * S) == []
    assert turn(server, NOW + 100 * S) == ["flisr"]
    assert [(key.delay_s, key.remaining_s) for key in told(server, NOW + 100 * S).keys] == [(0, 20), (20, 120)]
    assert turn(server, NOW + 149 * S) == []
    assert [key.remaining_s for key in told(server, NOW + 149 * S).keys] == [1, 71]
    assert turn(server, NOW + 150 * S) == ["flisr"]
    assert len(told(server, NOW + 150 * S).keys) == 1


def test_what_is_not_on_disk_is_not_told() -> None:
    server = authority()
    server.advance(NOW)
    assert told(server, NOW).keys == ()
    turn(server, NOW)
    server.advance(NOW + 100 * S)
    assert server.unannounced() == ["flisr"]
    assert len(told(server, NOW + 100 * S).keys) == 1
    server.announce()
    assert len(told(server, NOW + 100 * S).keys) == 2


def test_a_server_that_was_away_lets_members_go_on_until_all_can_have_heard() -> None:
    """The last key is over, all hold it: the next one is current only when the last of them has asked again."""
    server = authority()
    turn(server, NOW)
    hold = POLICY.hold_s
    first = ring_of(told(server, NOW), hold, NOW)
    back = NOW + 10_000 * S
    turn(server, back)
    assert [(key.delay_s, key.remaining_s) for key in told(server, back).keys] == [(0, 1), (20, 120)]
    quick = ring_of(told(server, back), hold, back, first)
    late = ring_of(told(server, back + 15 * S), hold, back + 15 * S, first)
    fresh = ring_of(told(server, back), hold, back)
    for second in range(0, 60, 5):
        now = back + second * S
        everyone = [ring.schedule("flisr") for ring in (quick, first if second < 15 else late, fresh)]
        for publisher in everyone:
            for hearer in everyone:
                assert hearer.find(publisher.signing(now).identifier, now)
    assert quick.signing("flisr", back + 25 * S).identifier != first.signing("flisr", back).identifier


def test_a_key_that_nobody_holds_any_more_is_not_told_again() -> None:
    server = authority()
    turn(server, NOW)
    late = NOW + (121 + POLICY.hold_s) * S
    turn(server, late)
    assert [(key.delay_s, key.remaining_s) for key in told(server, late).keys] == [(20, 120)]


def test_two_servers_do_not_remind_each_other_of_a_key_for_ever() -> None:
    """The second has forgotten it a moment earlier, and hears of it once more."""
    first, second = authority(1, "server2"), authority(2, "server1")
    turn(first, NOW + 5 * S)
    second.merge(told(first, NOW + 5 * S, "server2"), NOW + 5 * S)
    turn(first, NOW + 105 * S)
    second.merge(told(first, NOW + 105 * S, "server2"), NOW + 105 * S)
    old = told(first, NOW + 105 * S).keys[0].identifier
    second.chains["flisr"].keys = [key for key in second.chains["flisr"].keys if key.identifier != old]
    late = NOW + 154 * S
    assert old in {key.identifier for key in told(first, late).keys}
    assert not second.merge(told(first, late, "server2"), late)


def test_only_members_get_keys_and_nobody_learns_what_groups_there_are() -> None:
    server = authority(peer="server2")
    turn(server, NOW + 10 * S)
    for member, group in (("X", "flisr"), ("", "flisr"), ("F1", "other")):
        answer = server.answer(member, group, NOW)
        assert isinstance(answer, Refused)
        assert answer.why == f"{member or 'nobody'} is no member of such a group"
    assert isinstance(server.answer("server2", "flisr", NOW), Keys)


def test_the_second_server_takes_over_and_both_are_one_again() -> None:
    first, second = authority(1, "server2"), authority(2, "server1")
    assert turn(first, NOW) == [], "the other one may have keys already"
    assert turn(second, NOW + 20 * S) == []
    assert turn(first, NOW + 5 * S) == ["flisr"]
    assert second.merge(told(first, NOW + 6 * S, "server2"), NOW + 6 * S)
    assert not second.merge(told(first, NOW + 7 * S, "server2"), NOW + 7 * S), "nothing new"
    assert turn(second, NOW + 7 * S) == ["flisr"], "its members hear of it"
    # The first one is gone; the second makes the next key, and continues the chain.
    assert turn(second, NOW + 30 * S) == []
    assert turn(second, NOW + 105 * S) == ["flisr"]
    both = told(second, NOW + 105 * S).keys
    assert [key.identifier % 2 for key in both] == [1, 0]
    assert abs(both[1].delay_s - both[0].remaining_s) <= 1
    # It comes back, without knowing of that.
    assert first.merge(told(second, NOW + 111 * S, "server1"), NOW + 111 * S)
    assert turn(first, NOW + 112 * S) == ["flisr"]
    assert {k.identifier for k in told(first, NOW + 112 * S).keys} == {k.identifier for k in both}


def test_a_member_goes_on_with_the_last_key_while_no_server_answers() -> None:
    server = authority()
    turn(server, NOW)
    ring = ring_of(told(server, NOW), 1000, NOW).schedule("flisr")
    late = NOW + 1050 * S
    assert ring.find(ring.signing(late).identifier, late)


def test_the_store_keeps_what_was_told(tmp_path: Path) -> None:
    path, server = tmp_path / "keys.store", authority()
    turn(server, NOW)
    store.save(path, server)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = authority()
    assert store.load(path, again)
    assert again.chains == server.chains
    assert turn(again, NOW + 1 * S) == []
    assert not store.load(tmp_path / "none", again)


@pytest.mark.parametrize("octets", [b"", b"{}", b'{"version": 1, "record": {}, "crc32": 1}', b"\xff\xfe"])
def test_a_damaged_store_is_refused(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "keys.store"
    path.write_bytes(octets)
    path.chmod(0o600)
    with pytest.raises(store.StoreError, match="damaged"):
        store.load(path, authority())
    path.chmod(0o644)
    with pytest.raises(store.StoreError, match="0644"):
        store.load(path, authority())

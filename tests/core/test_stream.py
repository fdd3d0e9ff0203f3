"""Supervision of a stream and authentication of its frames: what is counted, dropped, bridged, blind."""

from __future__ import annotations

import cmath
import hashlib
import hmac
import itertools
import math
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core import (
    Key,
    Layer2,
    Layout,
    Multicast,
    ProtectionConfig,
    ProtectionCore,
    Segment,
    SvSource,
    SvSourceConfig,
    Wave,
)
from agent.core.native import ffi, lib
from agent.goose import session
from agent.logic.messages import Level
from agent.security import frames

SECOND = 1_700_000_000
KEY = Key(7, b"laboratory key of 32 octets long")
DELAY_US = 1000
PHASE_V = 10_000 / math.sqrt(3)


def load(start_us: int = 0, amperes: float = 100.0) -> Segment:
    current = [Wave(cmath.rect(amperes, math.radians(-120 * k))) for k in range(3)]
    voltage = [Wave(cmath.rect(PHASE_V, math.radians(-120 * k))) for k in range(3)]
    return Segment(start_us, (*current, Wave(), *voltage, Wave()))


def source(key: Key | None = KEY, layout: Layout = Layout.LE80_50, **more: object) -> SvSource:
    made = SvSource(SvSourceConfig("MU1", 0x4001, layout=layout, key=key, **more))  # type: ignore[arg-type]
    made.set_segment(load())
    return made


def receiver(keys: tuple[Key, ...] = (KEY,), layout: Layout = Layout.LE80_50, **more: object) -> ProtectionCore:
    return ProtectionCore(ProtectionConfig("MU1", 0x4001, layout=layout, keys=keys, **more))  # type: ignore[arg-type]


def at(sample: int, rate: int = 4000) -> int:
    return SECOND * 1_000_000 + sample * 1_000_000 // rate + DELAY_US


def counted(core: ProtectionCore) -> dict[str, int]:
    return {name: n for name, n in core.counters().items() if n and name not in ("frames", "bytes", "samples")}


def feed(core: ProtectionCore, made: SvSource, samples: range) -> None:
    for n in samples:
        core.frame(made.frame(SECOND, n), at(n))


@pytest.mark.parametrize(
    ("key", "data", "mac"),
    [  # RFC 4231, cases 1, 2, 3, 4, 6, 7
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (
            bytes(range(1, 26)),
            b"\xcd" * 50,
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            b"\xaa" * 131,
            b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be "
            b"hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ],
)
def test_hmac_vectors(key: bytes, data: bytes, mac: str) -> None:
    out = ffi.new("uint8_t[32]")
    lib.core_hmac(key, len(key), data, len(data), out)
    assert bytes(out).hex() == mac


@given(st.binary(max_size=100), st.binary(max_size=300))
@settings(max_examples=200)
def test_hmac_of_any_length(key: bytes, data: bytes) -> None:
    out = ffi.new("uint8_t[32]")
    lib.core_hmac(key, len(key), data, len(data), out)
    assert bytes(out) == hmac.digest(key, data, hashlib.sha256)


@pytest.mark.parametrize("algorithm", frames.HMACS)
def test_the_extension_is_the_one_of_the_python_side(algorithm: frames.Algorithm) -> None:
    theirs = frames.Key(7, algorithm, KEY.secret, time_of_current_s=11, time_to_next_min=12)
    frame = source(Key(7, KEY.secret, algorithm.size), key_time_s=11, key_next_min=12).frame(SECOND, 5)
    size = frames.extension_size(theirs)
    domain, extension = frame[12:-size], frame[-size:]
    assert extension == frames.extension_head(theirs) + theirs.mac(domain)
    assert struct.unpack(">H", frame[16:18])[0] == len(frame) - 14


@pytest.mark.parametrize("algorithm", frames.HMACS)
def test_the_session_is_the_one_of_the_python_side(algorithm: frames.Algorithm) -> None:
    theirs = frames.Key(7, algorithm, KEY.secret, time_of_current_s=11, time_to_next_min=12)
    link = Multicast("239.1.1.1")
    key = Key(7, KEY.secret, algorithm.size)
    datagram = source(key, link=link, key_time_s=11, key_next_min=12).frame(SECOND, 5)
    parsed = session.parse(datagram, session.SV)
    assert theirs.verifies(parsed.domain, parsed.mac)
    envelope = session.SessionEnvelope(0x4001, session.SV, key=theirs, number=parsed.number - 1)
    assert envelope.seal(parsed.apdu) == datagram
    for profile in (session.TR_90_5, session.SISCO):
        core = receiver((key,))
        other = session.SessionEnvelope(0x4001, session.SV, key=theirs, profile=profile)
        assert core.frame(other.seal(parsed.apdu), at(5)), profile.name


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("vlan", [None, (5, 4)])
@pytest.mark.parametrize("reference_time", [False, True])
def test_every_layout_comes_back_as_it_was_sent(
    layout: Layout, vlan: tuple[int, int] | None, reference_time: bool
) -> None:
    link = Layer2("lo", "01-0C-CD-04-00-01", vlan) if vlan else None
    made = source(layout=layout, link=link, reference_time=reference_time)
    core = receiver(layout=layout)
    for n in range(0, 2 * layout.asdus, layout.asdus):
        assert core.frame(made.frame(SECOND, n), at(n, layout.rate))
    back = core.samples()
    assert len(back.values) == 2 * layout.asdus
    for time_us, row in zip(back.times_us, back.values, strict=True):
        assert row == pytest.approx(made.wave(time_us), abs=20_000 if layout.rate == 4800 else 0)
    assert counted(core) == {}


def test_only_an_authentic_frame_is_taken() -> None:
    good = source().frame(SECOND, 0)
    cases = {
        "bad_mac": source(Key(7, b"another key, of at least 16")).frame(SECOND, 0),
        "unauthenticated": source(None).frame(SECOND, 0),
    }
    for cause, frame in cases.items():
        core = receiver()
        assert not core.frame(frame, at(0))
        assert counted(core) == {cause: 1}
    core = receiver((Key(8, KEY.secret),))
    assert not core.frame(good, at(0))
    assert counted(core) == {"unauthenticated": 1}
    core = receiver((Key(8, b"the next key of the group, 32 o."), KEY))
    assert core.frame(good, at(0))


def test_keys_are_exchanged_while_frames_come_in() -> None:
    """The next key is known before it is used, the former one is refused once it is taken away."""
    new = Key(8, b"the next key of the group, 32 o.")
    core = receiver()
    feed(core, source(), range(10))
    assert core.rekey((KEY, new))
    feed(core, source(), range(10, 20))
    feed(core, source(new), range(20, 30))
    assert counted(core) == {}
    assert core.rekey((new,))
    assert not core.frame(source().frame(SECOND, 30), at(30))
    assert core.frame(source(new).frame(SECOND, 30), at(30))
    assert counted(core) == {"unauthenticated": 1}
    for keys in ((), (KEY,) * 5):
        with pytest.raises(ValueError, match=r"key|authentication"):
            core.rekey(keys)
    with pytest.raises(ValueError, match="authentication"):
        receiver(()).rekey((new,))


def test_any_changed_octet_is_noticed() -> None:
    """But for the key's times, which lie behind the MAC's domain and which nobody uses."""
    good = source().frame(SECOND, 0)
    times = range(len(good) - 26, len(good) - 20)
    for position in set(range(12, len(good))) - set(times):
        core = receiver()
        assert not core.frame(good[:position] + bytes((good[position] ^ 0x40,)) + good[position + 1 :], at(0)), position
        assert sum(counted(core).values()) == 1


def test_foreign_simulated_and_other_configuration_are_counted() -> None:
    causes = {
        "foreign": SvSource(SvSourceConfig("MU2", 0x4001, key=KEY)),
        "simulated": source(simulation=True),
        "conf_rev": source(conf_rev=2),
    }
    for cause, made in causes.items():
        core = receiver(conf_rev=1)
        assert not core.frame(made.frame(SECOND, 0), at(0))
        assert counted(core) == {cause: 1}
    assert receiver(accept_simulated=True).frame(source(simulation=True).frame(SECOND, 0), at(0))


def test_one_lost_sample_is_interpolated() -> None:
    core, made = receiver(), source()
    feed(core, made, range(100))
    feed(core, made, range(101, 120))
    assert counted(core) == {"interpolated": 1}
    assert core.measurement().level is Level.QUIET
    back = core.samples()
    assert len(back.values) == 120
    assert back.values[100] == tuple(
        (a + b) >> 1 for a, b in zip(made.wave(at(99) - DELAY_US), made.wave(at(101) - DELAY_US), strict=True)
    )
    assert back.times_us[100] == at(100) - DELAY_US


def test_two_lost_samples_blind_one_window() -> None:
    core, made = receiver(), source()
    feed(core, made, range(100))
    assert core.measurement().level is Level.QUIET
    feed(core, made, range(102, 180))
    assert core.measurement().level is Level.BLIND
    assert not core.measurement().current_zero
    feed(core, made, range(180, 190))
    assert core.measurement().level is Level.QUIET
    assert counted(core) == {"gaps": 1}


def test_duplicates_and_the_past_are_dropped() -> None:
    core, made = receiver(), source()
    feed(core, made, range(100))
    feed(core, made, range(97, 100))
    feed(core, made, range(100, 110))
    assert counted(core) == {"late": 3}
    assert core.samples().next == 110


def test_a_frame_from_another_time_is_stale() -> None:
    core, made = receiver(), source()
    frame = made.frame(SECOND, 400)
    for wrong in (300_000, -10_000, 700_000):
        assert core.frame(frame, at(400) - DELAY_US + wrong)
    assert counted(core)["stale"] == 3
    assert core.samples().next == 0


def test_a_frame_of_a_whole_second_ago_is_stale_by_its_reference_time() -> None:
    core, made = receiver(), source(reference_time=True)
    core.frame(made.frame(SECOND, 10), at(10) + 1_000_000)
    assert counted(core) == {"stale": 1}


def test_a_session_number_is_taken_once() -> None:
    core, made = receiver(), source(link=Multicast("239.1.1.1"))
    feed(core, made, range(10))
    assert not core.frame(made.frame(SECOND, 5), at(10))
    assert counted(core) == {"replayed": 1}


def test_silence_is_blind_and_ends() -> None:
    core, made = receiver(), source()
    feed(core, made, range(200))
    core.drain()
    core.silence(at(200) + 10_000)
    assert core.measurement().level is Level.QUIET
    core.silence(at(200) + 25_000)
    assert core.measurement().level is Level.BLIND
    feed(core, made, range(400, 485))
    assert core.measurement().level is Level.QUIET
    assert counted(core) == {"silences": 1}


def test_the_second_rolls_over() -> None:
    core, made = receiver(), source()
    feed(core, made, range(3900, 4000))
    for n in range(100):
        core.frame(made.frame(SECOND + 1, n), at(n) + 1_000_000)
    times = core.samples().times_us
    assert all(b - a == 250 for a, b in itertools.pairwise(times))
    assert counted(core) == {}


def test_an_unsynchronised_stream_keeps_its_own_count() -> None:
    core, made = receiver(), source()
    made.set_synch(0)
    dice = random.Random(1)
    for n in range(200):
        core.frame(made.frame(SECOND, n), at(n) + 400_000 + dice.randrange(300))
    times = core.samples(last=100).times_us
    assert all(abs(b - a - 250) <= 20 for a, b in itertools.pairwise(times))
    assert counted(core) == {"unsynchronised": 200}


@pytest.mark.parametrize("quality", [1, 3, 0x800])
def test_bad_quality_of_a_current_is_blind(quality: int) -> None:
    core, made = receiver(), source()
    feed(core, made, range(100))
    made.set_quality(quality, [1])
    feed(core, made, range(100, 101))
    assert core.measurement().level is Level.BLIND
    assert counted(core) == {"invalid": 1}
    made.set_quality(0)
    made.set_quality(1, [4])
    feed(core, made, range(101, 200))
    assert core.measurement().level is Level.QUIET
    assert core.measurement().live_a.name == "UNKNOWN"


@given(st.binary(max_size=400))
@settings(max_examples=500)
def test_random_octets_are_counted(octets: bytes) -> None:
    core = receiver(())
    assert not core.frame(octets, at(0))
    assert sum(counted(core).values()) == 1


@given(
    st.integers(0, 3999),
    st.lists(st.tuples(st.integers(0, 160), st.integers(0, 255)), max_size=6),
    st.integers(0, 170),
    st.booleans(),
)
@settings(max_examples=500)
def test_mutilated_frames_never_harm(sample: int, changes: list[tuple[int, int]], cut: int, datagram: bool) -> None:
    made = source(None, link=Multicast("239.1.1.1") if datagram else None)
    octets = bytearray(made.frame(SECOND, sample))
    for position, value in changes:
        octets[position % len(octets)] = value
    core = receiver(())
    core.frame(bytes(octets[:cut]) if cut < 150 else bytes(octets), at(sample))
    assert core.counters()["frames"] == 1


def test_configuration_that_cannot_work_is_refused() -> None:
    with pytest.raises(OSError, match="pick-up"):
        receiver(phase_pickup_a=0.0)
    with pytest.raises(OSError, match="1 ms"):
        receiver(blind_after_ms=0.5)
    with pytest.raises(ValueError, match="16 to 64"):
        receiver((Key(1, b"short"),))
    with pytest.raises(ValueError, match="none of HMAC"):
        receiver((Key(1, KEY.secret, 12),))
    with pytest.raises(OSError, match="memory"):
        receiver().start()

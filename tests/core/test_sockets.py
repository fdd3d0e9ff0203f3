"""Source and receiver over real sockets: a veth pair (layer 2) and loopback multicast (R-SV)."""

from __future__ import annotations

import cmath
import contextlib
import math
import os
import select
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

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
from agent.logic.messages import Direction, Level, Live

KEY = Key(3, b"laboratory key of 32 octets long")
OTHER = Key(3, b"not that laboratory key, another")
MAC = "01-0C-CD-04-00-11"
PHASE_V = 10_000 / math.sqrt(3)


def segment(
    start_us: int, amperes: float, angle_deg: float = -20.0, share: float = 1.0, before: complex = 0j
) -> Segment:
    """Balanced; with ``before`` (phase A) the currents go on from there without a jump."""
    turn = cmath.exp(2j * math.pi * 50 * (start_us % 1_000_000) / 1e6)
    current = []
    for k in range(3):
        now = cmath.rect(amperes, math.radians(angle_deg - 120 * k))
        was = before * cmath.rect(1.0, math.radians(-120 * k))
        current.append(Wave(now, math.sqrt(2) * ((was - now) * turn).real if before else 0.0))
    voltage = [Wave(cmath.rect(share * PHASE_V, math.radians(-120 * k))) for k in range(3)]
    return Segment(start_us, (*current, Wave(), *voltage, Wave()))


def now_us() -> int:
    return time.time_ns() // 1000


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture(scope="module")
def veth() -> Iterator[tuple[str, str]]:
    if shutil.which("ip") is None:
        pytest.skip("ip is not installed (apt-get install iproute2)")
    left, right = f"c{os.getpid() % 100000}l", f"c{os.getpid() % 100000}r"
    made = subprocess.run(
        ["ip", "link", "add", left, "type", "veth", "peer", "name", right], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no veth pair without the right to configure a network: {made.stderr.strip()}")
    try:
        for name in (left, right):
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield left, right
    finally:
        subprocess.run(["ip", "link", "del", left], check=False)


Links = tuple[Layer2 | Multicast, Layer2 | Multicast]


@pytest.fixture(params=["layer 2", "layer 2 with VLAN", "UDP"])
def links(request: pytest.FixtureRequest) -> Links:
    if request.param == "UDP":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            both = Multicast("239.192.7.1", probe.getsockname()[1])
        return both, both
    left, right = request.getfixturevalue("veth")
    return Layer2(left, MAC, (5, 4) if "VLAN" in request.param else None), Layer2(right, MAC)


@contextlib.contextmanager
def running(
    links: Links, signing: Key | None, verifying: tuple[Key, ...], layout: Layout = Layout.LE80_50
) -> Iterator[tuple[SvSource, ProtectionCore]]:
    source = SvSource(SvSourceConfig("MU1", 0x4011, link=links[0], layout=layout, key=signing))
    core = ProtectionCore(ProtectionConfig("MU1", 0x4011, link=links[1], layout=layout, keys=verifying))
    source.set_segment(segment(0, 100.0))
    core.start()
    source.start()
    try:
        yield source, core
    finally:
        source.stop()
        core.stop()


@pytest.mark.namespaces
@pytest.mark.parametrize("authenticated", [True, False])
def test_a_fault_is_seen_and_the_fault_record_is_there(links: Links, authenticated: bool) -> None:
    key = KEY if authenticated else None
    with running(links, key, (KEY,) if authenticated else ()) as (source, core):
        assert until(lambda: core.measurement().level is Level.QUIET)
        assert core.measurement().live_a is Live.LIVE
        assert until(lambda: core.measurement().p_kw > 1000)
        core.drain()
        before = core.samples(last=1).next
        inception = now_us() + 20_000
        source.set_segment(segment(inception, 3000.0, -70.0, 0.5, before=cmath.rect(100.0, math.radians(-20))))
        while core.measurement().level is not Level.PICKUP:
            readable, _, _ = select.select([core.fileno()], [], [], 2.0)
            assert readable, "no event"
            core.drain()
        seen = core.measurement()
        assert 0 <= seen.pickup_us - inception <= 10_000
        assert until(lambda: core.measurement().direction is Direction.INTO_B)
        record = core.samples(since=before)
        assert record.times_us[0] < inception <= record.times_us[-1]
        gaps = {b - a for a, b in zip(record.times_us, record.times_us[1:], strict=False)}
        assert gaps == {250}
        assert core.counters()["dropped_by_kernel"] == 0
        assert core.counters()["malformed"] == 0


@pytest.mark.namespaces
def test_a_wrong_key_is_dropped_and_counted(links: Links) -> None:
    with running(links, OTHER, (KEY,)) as (_, core):
        assert until(lambda: core.counters()["bad_mac"] > 100)
        assert core.counters()["samples"] == 0
        assert core.measurement().level is Level.BLIND


@pytest.mark.namespaces
def test_the_stream_stops_and_comes_back(links: Links) -> None:
    with running(links, KEY, (KEY,), Layout.F4800_50) as (source, core):
        assert until(lambda: core.measurement().level is Level.QUIET)
        source.pause()
        assert until(lambda: core.measurement().level is Level.BLIND)
        assert core.counters()["silences"] >= 1
        source.pause(False)
        assert until(lambda: core.measurement().level is Level.QUIET)
        source.stop()
        core.stop()
        assert core.measurement().level is Level.BLIND
        core.start()
        source.start()
        assert until(lambda: core.measurement().level is Level.QUIET)


@pytest.mark.namespaces
def test_foreign_frames_stay_in_the_kernel(veth: tuple[str, str]) -> None:
    left, right = veth
    with running((Layer2(left, MAC), Layer2(right, MAC)), KEY, (KEY,)) as (_, core):
        neighbour = SvSource(SvSourceConfig("MU2", 0x4012, link=Layer2(left, "01-0C-CD-04-00-12"), key=KEY))
        neighbour.start()
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as noise:
            noise.bind((left, 0))
            head = bytes.fromhex("010ccd0400110200000000aa88ba4011")
            for size in range(10, 1400, 7):
                noise.send(head + bytes(size))
        assert until(lambda: neighbour.counters()["frames"] > 400)
        neighbour.stop()
        counters = core.counters()
        assert counters["foreign"] == 0
        assert counters["malformed"] == len(range(10, 1400, 7))
        assert counters["samples"] > 100
        assert core.measurement().level is not Level.PICKUP


def test_an_interface_that_is_not_there_is_refused() -> None:
    with pytest.raises(OSError, match=r"No such device|no interface"):
        ProtectionCore(ProtectionConfig("MU1", 1, link=Layer2("nothere0", MAC)))

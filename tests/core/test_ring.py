"""Many streams in one thread: every frame finds its stream, and each stream is as if it were alone."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import time
from collections.abc import Iterator

import pytest

from agent.core import Key, Layer2, Layout, ProtectionConfig, ProtectionCore, SvSource, SvSourceConfig
from agent.core.ring import Ring
from agent.logic.messages import Level
from tests.core.test_sockets import KEY, OTHER, segment, until, veth

__all__ = ["veth"]

pytestmark = pytest.mark.namespaces


def mac(number: int) -> str:
    return f"01-0C-CD-04-{number >> 8:02X}-{number & 0xFF:02X}"


def appid(number: int) -> int:
    """Some streams share one: the destination tells them apart."""
    return 0x4000 + number // 3


def core(interface: str, number: int, key: Key | None = None, layout: Layout = Layout.LE80_50) -> ProtectionCore:
    keys = (key,) if key else ()
    link = Layer2(interface, mac(number))
    return ProtectionCore(ProtectionConfig(f"MU{number}", appid(number), link, layout=layout, keys=keys))


def source(interface: str, number: int, key: Key | None = None, layout: Layout = Layout.LE80_50) -> SvSource:
    made = SvSource(SvSourceConfig(f"MU{number}", appid(number), Layer2(interface, mac(number)), layout, key=key))
    made.set_segment(segment(0, 100.0 + number))
    return made


@contextlib.contextmanager
def sending(sources: list[SvSource]) -> Iterator[None]:
    for one in sources:
        one.start()
    try:
        yield
    finally:
        for one in sources:
            one.stop()


@pytest.mark.parametrize("streams", [3, 70], ids=["told apart in the kernel", "told apart by the ring"])
def test_every_stream_is_evaluated_as_its_own(veth: tuple[str, str], streams: int) -> None:
    """Of 70 streams four are on the wire: the number decides who filters, not what is heard."""
    left, right = veth
    heard = list(range(streams))
    alive = [0, 1, 2, streams - 1] if streams > 3 else heard
    cores = [core(right, number) for number in heard]
    with Ring(right, cores) as ring:
        ring.start()
        with sending([source(left, number) for number in alive]):
            assert until(lambda: all(cores[n].measurement().level is Level.QUIET for n in alive))
            for number in alive:
                assert until(lambda n=number: abs(abs(cores[n].phasors().current[0]) - 100.0 - n) < 0.1)
        time.sleep(0.05)
        for number in heard:
            counters = cores[number].counters()
            assert (counters["samples"] > 0) == (number in alive)
            assert counters["foreign"] + counters["malformed"] + counters["gaps"] == 0
        assert ring.counters()["dropped_by_kernel"] == 0
        assert ring.counters()["foreign"] == 0
        assert ring.counters()["frames"] == sum(cores[number].counters()["frames"] for number in heard)
        assert until(lambda: all(c.measurement().level is Level.BLIND for c in cores)), (
            "silence makes each of them blind"
        )


def test_layouts_and_keys_side_by_side(veth: tuple[str, str]) -> None:
    left, right = veth
    cores = [core(right, 0, KEY), core(right, 1, KEY), core(right, 2, layout=Layout.F4800_50)]
    sources = [source(left, 0, KEY), source(left, 1, OTHER), source(left, 2, layout=Layout.F4800_50)]
    with Ring(right, cores, tick_us=0) as ring, sending(sources):
        ring.start()
        assert until(lambda: cores[0].measurement().level is Level.QUIET)
        assert until(lambda: cores[2].measurement().level is Level.QUIET)
        assert until(lambda: cores[1].counters()["bad_mac"] > 50)
        assert cores[1].counters()["samples"] == 0
        assert cores[1].measurement().level is Level.BLIND


def test_frames_to_nobody_here_are_counted_or_kept_out(veth: tuple[str, str]) -> None:
    left, right = veth
    few, many = [core(right, 0)], [core(right, number) for number in range(70)]
    for cores, seen in ((few, False), (many, True)):
        with Ring(right, cores) as ring, sending([source(left, 0), source(left, 200)]):
            ring.start()
            assert until(lambda r=ring: r.counters()["frames"] > 200)
            assert (ring.counters()["foreign"] > 0) == seen
            ring.stop()


def test_what_does_not_fit_is_said(veth: tuple[str, str]) -> None:
    left, right = veth
    same = [core(right, 0), core(right, 0)]
    with pytest.raises(ValueError, match=r"MU0.*same destination and APPID"):
        Ring(right, same)
    with pytest.raises(ValueError, match="not on this interface"):
        Ring(left, [core(right, 0)])
    with pytest.raises(OSError, match="1 to 256 MB"):
        Ring(right, [core(right, 0)], megabytes=0)
    one = core(right, 0)
    with Ring(right, [one]):
        with pytest.raises(OSError, match="ring"):
            one.start()
        with pytest.raises(ValueError, match="started"):
            Ring(right, [one])
    one.start()
    one.stop()
    empty = Ring(right, [])
    with pytest.raises(OSError, match="without streams"):
        empty.start()
    with pytest.raises(OSError):  # noqa: PT011  (the system's own words)
        Ring("no-such-if", [])


@pytest.mark.parametrize("alone", [True, False], ids=["a core by itself", "in a ring"])
def test_an_interface_that_goes_down_ends_nothing_and_burns_nothing(veth: tuple[str, str], alone: bool) -> None:
    """The kernel tells it with every poll: a real-time thread that does not take note takes the core for itself."""
    left, right = veth
    one = core(right, 0)
    runner = one if alone else Ring(right, [one])
    with sending([source(left, 0)]):
        runner.start()
        assert until(lambda: one.measurement().level is Level.QUIET)
        subprocess.run(["ip", "link", "set", right, "down"], check=True)
        assert until(lambda: one.measurement().level is Level.BLIND)
        spent = processor_s()
        time.sleep(1.0)
        assert processor_s() - spent < 0.5
        subprocess.run(["ip", "link", "set", right, "up"], check=True)
        assert until(lambda: one.measurement().level is Level.QUIET)
    runner.stop()


def processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

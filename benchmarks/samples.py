"""Sampled Values at the compiled core: what a frame costs from memory, and 160 streams over a virtual cable.

From memory: one stream's frames of a whole second, evaluated again and again (order, age, authentication, both
filters, all elements at every sample). Over the cable: a C program sends the frames of all streams in time, one thread
takes them from a packet ring; its processor time is the process's (the kernel's part of receiving runs on the sender's
core here).
"""

from __future__ import annotations

import cmath
import contextlib
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.core.config import Key, Layer2, Layout, ProtectionConfig, SvSourceConfig
from agent.core.protection import ProtectionCore
from agent.core.ring import Ring
from agent.core.source import Segment, SvSource, Wave
from benchmarks.row import Row
from simulator import lan

STREAMS = 160
RATE = Layout.LE80_50.rate
SECOND_US = 1_000_000
KEY = Key(1, bytes(range(32)), 16)
PRIORITY = 50
MEGABYTES = 32
WARM_S = 2.5
SENDERS = 2
"""One reaches some 490,000 frames a second here; 640,000 are wanted."""


def rows(quick: bool) -> Iterator[Row]:
    """Nanoseconds a frame, then processor share and loss of 160 streams."""
    for secured, goal in ((False, 100.0), (True, 500.0)):
        case = "sv frame from memory" + (" hmac" if secured else "")
        yield Row(case, "a frame", "ns", _from_memory(secured, 2.0 if quick else 8.0), goal)
    if lan.permitted() or _compiler() is None:
        return  # a cable needs a network namespace, its sender a C compiler
    for secured in (False, True):
        told = _in_process(secured, 3.0 if quick else 10.0)
        case = f"sv {STREAMS} streams" + (" hmac" if secured else "")
        yield Row(case, "processor", "% of a core", told["processor"], None if secured else 20.0)
        yield Row(case, "lost", "frames", told["lost"], 0.0)
        yield Row(case, "sent too late", "frames", told["late"], None)
        yield Row(case, "taken", "frames/s", told["rate"], 0.995 * STREAMS * RATE, False)


def _compiler() -> str | None:
    return shutil.which("gcc") or shutil.which("cc")


def _source(number: int, secured: bool, interface: str = "") -> SvSource:
    """A stream of load current; not started, its frames are asked for."""
    link = Layer2(interface, _mac(number)) if interface else None
    source = SvSource(SvSourceConfig(f"MU{number:04d}", 0x4000 + number, link, key=KEY if secured else None))
    turns = [Wave(cmath.rect(100.0 + number, -k * 2 * math.pi / 3)) for k in range(3)]
    volts = [Wave(cmath.rect(5773.5, -k * 2 * math.pi / 3)) for k in range(3)]
    source.set_segment(Segment(0, (*turns, Wave(), *volts, Wave())))
    return source


def _mac(number: int) -> str:
    return f"01-0C-CD-04-{number >> 8:02X}-{number & 0xFF:02X}"


def _core(number: int, secured: bool, interface: str = "") -> ProtectionCore:
    link = Layer2(interface, _mac(number)) if interface else None
    keys = (KEY,) if secured else ()
    return ProtectionCore(ProtectionConfig(f"MU{number:04d}", 0x4000 + number, link, keys=keys))


def _from_memory(secured: bool, seconds: float) -> float:
    """Processor nanoseconds a frame."""
    second = 1_800_000_000
    source = _source(0, secured)
    frames = [source.frame(second, sample) for sample in range(RATE)]
    block, length = b"".join(frames), len(frames[0])
    core = _core(0, secured)
    spent, count = 0, 0
    while spent < seconds * 1e9:
        began = time.thread_time_ns()
        taken = core.frames(block, length, second * SECOND_US + 1000, SECOND_US // RATE)
        spent += time.thread_time_ns() - began
        if taken != RATE:
            raise RuntimeError(f"{RATE - taken} frames of our own were dropped: {core.counters()}")
        count += taken
        second += 1
    return spent / count


def _in_process(secured: bool, seconds: float) -> dict[str, float]:
    """In a process of its own: entering a namespace has no way back."""
    request = json.dumps({"secured": secured, "seconds": seconds})
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.samples", request], stdout=subprocess.PIPE, check=True, text=True,
        timeout=120 + 5 * seconds, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _over_the_cable(secured: bool, seconds: float, folder: Path) -> dict[str, float]:
    network = lan.Lan.open()
    near, far = network.host("near"), network.host("far")
    network.join(near, far)
    compiler = _compiler()
    assert compiler is not None
    program, second = str(folder / "flood"), str(folder / "second")
    subprocess.run([compiler, "-O2", "-o", program, str(Path(__file__).with_name("flood.c"))], check=True)
    cores = sorted(os.sched_getaffinity(0))
    share = STREAMS // SENDERS
    children = [
        _sender(near, program, Path(second), secured, (number * share, share), cores[number % len(cores)])
        for number in range(SENDERS)
    ]
    try:
        far.enter()
        return _listen(secured, seconds, Path(second))
    finally:
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)


def _sender(host: lan.Host, program: str, second: Path, secured: bool, part: tuple[int, int], core: int) -> int:
    """A process that sends some of the streams; the first one writes the file for all. Returns its number."""
    child = os.fork()
    if child:
        return child
    host.enter()
    if part[0] == 0:
        _write_second(second, secured)
    while not second.exists():
        time.sleep(0.05)
    os.sched_setaffinity(0, {core})
    length = second.stat().st_size // (STREAMS * RATE)
    numbers = (length, STREAMS, RATE, *part)
    os.execv(program, [program, "process", str(second), *map(str, numbers)])


def _write_second(path: Path, secured: bool) -> None:
    """All frames of a second, sample by sample. (Every second has the same: no refrTm in 9-2LE.)"""
    sources = [_source(number, secured, "process") for number in range(STREAMS)]
    with path.with_suffix(".new").open("wb") as file:
        for sample in range(RATE):
            file.write(b"".join(source.frame(1_800_000_000, sample) for source in sources))
    path.with_suffix(".new").rename(path)


def _listen(secured: bool, seconds: float, ready: Path) -> dict[str, float]:
    cores = [_core(number, secured, "process") for number in range(STREAMS)]
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    with Ring("process", cores, MEGABYTES) as ring:
        ring.start(PRIORITY)
        while not ready.exists():
            time.sleep(0.1)
        time.sleep(WARM_S)
        before, began, spent = _sum(cores, ring), time.monotonic(), _processor_s()
        time.sleep(seconds)
        after, took, used = _sum(cores, ring), time.monotonic() - began, _processor_s() - spent
    return {
        "processor": 100.0 * used / took,
        "lost": float(sum(after[word] - before[word] for word in ("dropped", "gaps"))),
        "late": float(after["stale"] - before["stale"]),
        "rate": (after["samples"] - before["samples"]) / took,
    }


def _sum(cores: list[ProtectionCore], ring: Ring) -> dict[str, int]:
    counted = [core.counters() for core in cores]
    return {
        "samples": sum(one["samples"] for one in counted),
        "gaps": sum(one["gaps"] + one["interpolated"] for one in counted),
        "dropped": ring.counters()["dropped_by_kernel"],
        "stale": sum(one["stale"] for one in counted),
    }


def _processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _main(request: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        print(json.dumps(_over_the_cable(bool(request["secured"]), float(request["seconds"]), Path(folder))))


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))

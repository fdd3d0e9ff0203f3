"""What a bystander can tell of Sampled Values streams from their frames alone: pure, for sniffers, scopes and tests.

A stream is an svID with an APPID. Of each, the words of the table are counted, and the last cycles are kept:

============  ==========================================================================================================
gap           smpCnt further ahead than one: so many samples lost
duplicate     smpCnt as before (redundant paths)
backward      smpCnt behind, and no roll-over at a full second
confRev       the configuration revision is another one
synch         smpSynch is another one
length        the data set has another length
late          the pause before this frame was longer than two and a half frames and 3 ms
============  ==========================================================================================================
"""

from __future__ import annotations

import cmath
import math
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import pairwise

from agent.sv.codec import Asdu, Mode, Quality

RATES = (4000, 4800, 12_800, 14_400, 15_360, 96_000, 2_400, 2_000, 1_000, 800, 1_200, 500, 600, 400, 480)
"""Samples a second in use, for streams that do not say theirs: 9-2LE, IEC 61869-9, test sets."""
WINDOW_S = 0.2
"""So much of a waveform is kept, unless told otherwise."""
ROLL_SHARE = 2
LATE_US = 3_000
"""Publishers send in bursts of some frames, and receivers take them in so."""
BURST_US = 20
"""Frames closer together than this came in one burst of the publisher or of the receiver."""


@dataclass(slots=True)
class Stream:
    """One stream so far."""

    sv_id: str
    appid: int
    routed: bool
    first_us: int
    t_us: int
    last: Asdu
    frequency: float = 50.0
    window_s: float = WINDOW_S
    frames: int = 0
    samples: int = 0
    lost: int = 0
    asdus: int = 1
    counters: Counter[str] = field(default_factory=Counter)
    synch: Counter[int] = field(default_factory=Counter)
    quality: Counter[str] = field(default_factory=Counter)
    """Samples with at least one channel that is not good, by reason."""
    pauses_us: deque[int] = field(default_factory=lambda: deque(maxlen=20_000))
    wave: deque[tuple[int, tuple[int, ...]]] = field(default_factory=deque)
    """(smpCnt, counts by channel), the newest last."""
    highest: int = 0

    @property
    def rate(self) -> float:
        """Samples a second: as the stream says (smpRate, smpMod), as its roll-over shows, or as counted."""
        asdu = self.last
        if asdu.smp_rate:
            if asdu.smp_mod in (None, Mode.PER_PERIOD):
                return asdu.smp_rate * self.frequency
            return float(asdu.smp_rate) if asdu.smp_mod == Mode.PER_SECOND else 1.0 / asdu.smp_rate
        if self.counters["roll-over"] and self.highest + 1 in RATES:
            return float(self.highest + 1)
        seconds = (self.t_us - self.first_us) / 1e6
        if seconds <= 0.0 or self.frames < 2:
            return 0.0
        counted = (self.samples + self.lost - self.asdus) / seconds
        nearest = min(RATES, key=lambda rate: abs(rate - counted))
        return float(nearest) if abs(nearest - counted) < 0.1 * nearest else counted

    @property
    def jitter_us(self) -> tuple[float, float, float]:
        """Pauses between frames: mean, standard deviation, longest of the last ones, µs."""
        pauses = [pause for pause in self.pauses_us if pause > BURST_US]
        if not pauses:
            return 0.0, 0.0, 0.0
        mean = sum(pauses) / len(pauses)
        return mean, math.sqrt(sum((pause - mean) ** 2 for pause in pauses) / len(pauses)), float(max(pauses))


class Watch:
    """All streams that are heard."""

    def __init__(self, frequency: float = 50.0, window_s: float = WINDOW_S) -> None:
        """``frequency``: nominal, for streams whose rate counts from it. ``window_s``: of waveform to keep."""
        self.streams: dict[tuple[str, int], Stream] = {}
        self.frequency = frequency
        self.window_s = window_s

    def take(self, asdus: tuple[Asdu, ...], appid: int, t_us: int, routed: bool = False) -> None:
        """One decoded frame, heard at ``t_us``."""
        first = asdus[0]
        stream = self.streams.get((first.sv_id, appid))
        if stream is None:
            stream = Stream(first.sv_id, appid, routed, t_us, t_us, first, self.frequency, self.window_s)
            self.streams[first.sv_id, appid] = stream
            previous = None
        else:
            previous = stream.last
            pause = t_us - stream.t_us
            rate = stream.rate
            if rate and pause > LATE_US + 2.5e6 * len(asdus) / rate:
                stream.counters["late"] += 1
            stream.pauses_us.append(pause)
        stream.t_us = t_us
        stream.frames += 1
        stream.asdus = len(asdus)
        for asdu in asdus:
            if previous is not None:
                _compare(stream, previous, asdu)
            _keep(stream, asdu)
            previous = asdu


def _compare(stream: Stream, old: Asdu, new: Asdu) -> None:
    ahead = new.smp_cnt - old.smp_cnt
    if ahead == 0:
        stream.counters["duplicate"] += 1
    elif ahead < 0:
        highest = max(stream.highest, old.smp_cnt)
        if new.smp_cnt < highest // ROLL_SHARE <= old.smp_cnt:
            missing = _rollover(highest) - old.smp_cnt - 1 + new.smp_cnt
            stream.counters["roll-over"] += 1
            if missing > 0:
                stream.counters["gap"] += 1
                stream.lost += missing
        else:
            stream.counters["backward"] += 1
    elif ahead > 1:
        stream.counters["gap"] += 1
        stream.lost += ahead - 1
    for word, before, now in (
        ("confRev", old.conf_rev, new.conf_rev), ("synch", old.smp_synch, new.smp_synch),
        ("length", len(old.data), len(new.data)),
    ):  # fmt: skip
        stream.counters[word] += before != now


def _rollover(highest: int) -> int:
    """The number of samples a second that fits the highest count seen."""
    return min((rate for rate in RATES if rate > highest), default=highest + 1)


def _keep(stream: Stream, asdu: Asdu) -> None:
    stream.last = asdu
    stream.samples += 1
    stream.highest = max(stream.highest, asdu.smp_cnt)
    stream.synch[asdu.smp_synch] += 1
    if len(asdu.data) % 8:
        stream.quality["not channels of value and quality"] += 1
        return
    channels = asdu.channels
    flags = 0
    for _, quality in channels:
        flags |= quality
    if flags:
        stream.quality[quality_text(flags)] += 1
    stream.wave.append((asdu.smp_cnt, tuple(value for value, _ in channels)))
    while len(stream.wave) > max(400, int(stream.window_s * stream.rate)):
        stream.wave.popleft()


def quality_text(flags: int) -> str:
    """Quality as words; ``good`` for 0."""
    words = [("", "invalid", "reserved", "questionable")[flags & 3]] if flags & 3 else []
    words += [
        str(flag.name).lower().replace("_", "-") for flag in Quality
        if flag.value > 3 and flags & flag.value
    ]  # fmt: skip
    return " ".join(words) or "good"


@dataclass(frozen=True, slots=True)
class Phasor:
    """One channel over its last cycle, in the stream's counts times ``scale``."""

    rms: float
    """Of the fundamental."""
    degrees: float
    """Against the first voltage's, or, where that is none, the first channel's."""
    peak: float
    dc: float
    thd: float
    """All that is not the fundamental or the mean, as a share of the fundamental."""


def phasors(stream: Stream, scales: tuple[float, ...]) -> tuple[Phasor, ...]:
    """Of the last full cycle; empty before there is one, or where samples of it are missing."""
    cycle = round(stream.rate / stream.frequency) if stream.rate else 0
    if cycle < 4 or len(stream.wave) < cycle:
        return ()
    rows = list(stream.wave)[-cycle:]
    if any((b[0] - a[0]) % max(1, round(stream.rate)) != 1 for a, b in pairwise(rows)):
        return ()
    if len({len(row[1]) for row in rows}) != 1:
        return ()
    turns = [cmath.exp(-2j * math.pi * count / cycle) for count, _ in rows]
    found = []
    for channel in range(len(rows[0][1])):
        scale = scales[channel] if channel < len(scales) else 1.0
        found.append(_phasor([row[1][channel] * scale for row in rows], turns))
    first_voltage = len(found) == 8 and found[4][0] != 0
    reference = cmath.phase(found[4 if first_voltage else 0][0]) if found else 0.0
    return tuple(
        Phasor(abs(x), (math.degrees(cmath.phase(x) - reference) + 180.0) % 360.0 - 180.0 if x else 0.0, peak, dc, thd)
        for x, peak, dc, thd in found
    )


def _phasor(values: list[float], turns: list[complex]) -> tuple[complex, float, float, float]:
    """Of one cycle: fundamental, peak, mean, and the share of the rest."""
    cycle = len(values)
    phasor = sum((v * turn for v, turn in zip(values, turns, strict=True)), 0j) * math.sqrt(2) / cycle
    mean = sum(values) / cycle
    rest = max(0.0, sum(v * v for v in values) / cycle - mean * mean - abs(phasor) ** 2)
    return phasor, max(map(abs, values)), mean, math.sqrt(rest) / abs(phasor) if phasor else 0.0

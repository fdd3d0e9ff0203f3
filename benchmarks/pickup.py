"""Fault in the waveform to pick-up: point on wave, multiple, X/R and kind of fault; overreach; saturated transformers.

Straight into the compiled core, faster than real time; without the merging unit's delay. First every inception angle
with every X/R, multiple of the phase pick-up and kind of fault; 100 A of load before; the residual element is off, so
that a multiple means the same in every phase. Then how far below the pick-up a current still picks up for a moment,
load steps, random inrush of loaded Dyn transformers, and faults behind 5P20 current transformers.
``python -m benchmarks.pickup`` prints the tables of docs/explanation/protection.md.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.logic.messages import Direction
from benchmarks import inrush, waves
from benchmarks.device import BEFORE, PICKUP_A, Seen, pickup_ms, watch
from benchmarks.row import Row
from benchmarks.transformer import Transformer

KINDS = ("ag", "bc", "bcg", "abc")
MULTIPLES = (1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
RATIOS = (1.0, 5.0, 10.0, 20.0, 30.0)
ANGLES = tuple(range(0, 360, 15))
REMANENCES = (0.0, 0.4, 0.8)
BURDENS = (0.25, 1.0)
SATURATING = (1.5, 3.0, 5.0, 10.0, 20.0)
AFTER = 160
"""Samples after inception: 40 ms."""
AFTER_SATURATED = 400
FINE = 10
"""Steps of the current transformer a sample."""
MEDIAN_MS, LONGEST_MS, OVERREACH_PERCENT = 5.0, 30.0, 5.0


@dataclass(frozen=True, slots=True)
class Case:
    """One fault: kind, multiple of the pick-up, X/R, angle of voltage A at inception."""

    kind: str
    multiple: float
    ratio: float
    angle: int
    forward: bool = True

    def __str__(self) -> str:
        way = "" if self.forward else ", reverse"
        return f"{self.kind}, {self.angle}°, X/R {self.ratio:g}{way}"

    def scene(self) -> waves.Scene:
        """Forward: 0.3 of the impedance behind the device; reverse: close in, the voltage collapsed."""
        share = 0.3 if self.forward else 0.0
        return waves.fault(self.kind, self.multiple * PICKUP_A, self.ratio, self.forward, source_share=share)


def grid(multiples: Iterable[float] = MULTIPLES, angles: Sequence[int] = ANGLES) -> Iterator[Case]:
    """Every combination."""
    for kind, multiple, ratio, angle in itertools.product(KINDS, multiples, RATIOS, angles):
        yield Case(kind, multiple, ratio, angle)


def time_of(case: Case) -> float:
    """Pick-up in ms, behind an ideal current transformer."""
    return pickup_ms(waves.counts(waves.instantaneous(case.scene(), BEFORE, AFTER, case.angle)))


def measured(cases: Iterable[Case]) -> dict[Case, float]:
    return {case: time_of(case) for case in cases}


def overreach_percent(angles: Sequence[int] = ANGLES) -> tuple[float, Case]:
    """How far below the pick-up a steady current may lie and still pick up for a moment; the case that does."""
    cases = [*grid((1.0,), angles)]
    reached = 0.0
    worst = cases[0]
    for case in cases:
        while (
            pickup_ms(
                waves.counts(
                    waves.instantaneous(
                        replace(case, multiple=1 - reached / 100 - 0.0025).scene(), BEFORE, 200, case.angle
                    )
                )
            )
            < math.inf
        ):
            reached += 0.25
            worst = case
    return reached, worst


def load_steps(angles: Sequence[int] = ANGLES) -> tuple[int, int]:
    """False pick-ups among steps of load to 0.8 of the pick-up, with and without offset."""
    shares = (0.0, 0.15, 0.4, 0.8)
    nominal = waves.phases(0j, waves.PHASE_V, 0j)
    false = played = 0
    for (before, after), sign, lag, angle, offset in itertools.product(
        itertools.permutations(shares, 2), (1, -1), (0.0, -0.4), angles, (True, False)
    ):
        turn = complex(math.cos(lag), math.sin(lag)) * PICKUP_A
        was, now = waves.phases(0j, before * turn, 0j), waves.phases(0j, sign * after * turn, 0j)
        rows = waves.instantaneous(waves.Scene(was, nominal, now, nominal, 0.01), BEFORE, 120, angle, offset=offset)
        played += 1
        false += pickup_ms(waves.counts(rows)) < math.inf
    return false, played


def inrushes(count: int) -> tuple[int, int]:
    """False pick-ups among random inrush of loaded Dyn transformers, 2 to 8 times their rated current."""
    rows = inrush.closings(inrush.Iron(), count, np.random.default_rng(20))
    return sum(pickup_ms(one) < math.inf for one in rows), count


# --- saturated current transformers -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Saturated:
    """One fault seen by an ideal and by a real current transformer."""

    case: Case
    ideal: Seen
    real: Seen

    @property
    def late_ms(self) -> float:
        return self.real.pickup_ms - self.ideal.pickup_ms

    @property
    def short_percent(self) -> float:
        """By how much the largest magnitude is too low; below 0: too high."""
        return 100 * (1 - self.real.peak_a / self.ideal.peak_a)

    @property
    def wrong(self) -> bool:
        """Whether the direction was ever decided the wrong way."""
        return (Direction.INTO_A if self.case.forward else Direction.INTO_B) in self.real.directions


def saturated(
    cases: Sequence[Case], transformer: Transformer, ideal: dict[Case, Seen], batch: int = 120
) -> list[Saturated]:
    """``ideal`` fills with what an ideal transformer lets the core see."""
    found = []
    for at in range(0, len(cases), batch):
        some = cases[at : at + batch]
        primary = np.stack(
            [
                waves.instantaneous(c.scene(), BEFORE * FINE, AFTER_SATURATED * FINE, c.angle, rate=4000 * FINE)
                for c in some
            ],
            axis=1,
        )
        secondary = primary[::FINE].copy()
        quiet = (BEFORE - 80) * FINE
        secondary[quiet // FINE :, :, :3] = transformer.secondary(primary[quiet:, :, :3], 1 / 4000 / FINE)[::FINE]
        for k, case in enumerate(some):
            if case not in ideal:
                ideal[case] = watch(waves.counts(primary[::FINE, k]))
            found.append(Saturated(case, ideal[case], watch(waves.counts(secondary[:, k]))))
    return found


def saturating(angles: Sequence[int]) -> list[Case]:
    """Both directions."""
    return [Case(*some) for some in itertools.product(("ag", "bc", "abc"), SATURATING, RATIOS, angles, (True, False))]


# --- rows -------------------------------------------------------------------------------------------------------------


def quantile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def _worst(found: dict[Case, float]) -> Case:
    return max(found, key=lambda case: found[case])


def _times(name: str, found: dict[Case, float], multiple: float) -> Iterator[Row]:
    high = multiple >= 3.0
    never = sum(x == math.inf for x in found.values())
    yield Row(name, "pick-up, p50", "ms", _shown(quantile(found.values(), 0.5)), MEDIAN_MS if high else LONGEST_MS)
    yield Row(name, "pick-up, p99", "ms", _shown(quantile(found.values(), 0.99)), None if high else LONGEST_MS)
    yield Row(name, "pick-up, longest", "ms", _shown(max(found.values())), LONGEST_MS)
    yield Row(name, f"of {len(found)}: no pick-up", "faults", float(never), 0.0)


def _shown(value: float) -> float | None:
    return None if value == math.inf else value


def run(quick: bool) -> Iterator[Row]:
    """Faults by multiple, by kind and by X/R; overreach, load steps, inrush; current transformers."""
    found = measured(grid())
    for multiple in MULTIPLES:
        here = {case: ms for case, ms in found.items() if case.multiple == multiple}
        yield from _times(f"{multiple:g} x pick-up", here, multiple)
        worst = _worst(here)
        yield Row(f"{multiple:g} x pick-up, worst: {worst}", "pick-up", "ms", _shown(here[worst]), None)
    if not quick:
        yield from _split(found)
    angles = ANGLES[:: 3 if quick else 1]
    reach, where = overreach_percent(angles)
    yield Row(f"transient overreach, worst: {where}", "below the pick-up", "%", reach, OVERREACH_PERCENT)
    for name, (false, played) in {
        "load steps to 0.8 of the pick-up": load_steps(angles),
        "inrush, Dyn, loaded, 2 to 8 pu": inrushes(200 if quick else 2000),
    }.items():
        yield Row(f"{name} ({played})", "false pick-ups", "cases", float(false), 0.0)
    ideal: dict[Case, Seen] = {}
    for burden, remanence in itertools.product(BURDENS, REMANENCES):
        cases = saturating(range(0, 360, 120 if quick else 30))
        yield from _saturation(burden, remanence, cases, ideal)


def _split(found: dict[Case, float]) -> Iterator[Row]:
    axes: dict[str, Callable[[Case], str]] = {
        "kind": lambda case: case.kind,
        "X/R": lambda case: f"X/R {case.ratio:g}",
        "angle": lambda case: f"{case.angle}°",
    }
    for multiple, axis in itertools.product(MULTIPLES, axes.values()):
        groups: dict[str, list[float]] = {}
        for case, ms in found.items():
            if case.multiple == multiple:
                groups.setdefault(axis(case), []).append(ms)
        for name, values in groups.items():
            case_name = f"{multiple:g} x pick-up, {name}"
            goal = MEDIAN_MS if multiple >= 3.0 else LONGEST_MS
            yield Row(case_name, "pick-up, p50", "ms", _shown(quantile(values, 0.5)), goal)
            yield Row(case_name, "pick-up, longest", "ms", _shown(max(values)), LONGEST_MS)


def _saturation(burden: float, remanence: float, cases: list[Case], ideal: dict[Case, Seen]) -> Iterator[Row]:
    found = saturated(cases, Transformer(burden=burden, remanence=remanence), ideal)
    name = f"5P20, {100 * burden:g} % burden, remanence {100 * remanence:g} %"
    seen = [one for one in found if one.real.pickup_ms < math.inf and one.ideal.pickup_ms < math.inf]
    lost = [one for one in found if one.real.pickup_ms == math.inf and one.ideal.pickup_ms < math.inf]
    latest = max(seen, key=lambda one: one.late_ms)
    tallest = min(found, key=lambda one: one.short_percent)
    shortest = max(found, key=lambda one: one.short_percent)
    yield Row(name, "pick-up later, p50", "ms", statistics.median(one.late_ms for one in seen), None)
    yield Row(name, "pick-up later, p99", "ms", quantile((one.late_ms for one in seen), 0.99), None)
    yield Row(f"{name}, worst: {latest.case.multiple:g} x, {latest.case}", "pick-up later", "ms", latest.late_ms, None)
    yield Row(name, f"of {len(found)}: no pick-up any more", "faults", float(len(lost)), 0.0)
    yield Row(name, "peak_a too low, p50", "%", statistics.median(one.short_percent for one in found), None)
    yield Row(
        f"{name}, worst: {shortest.case.multiple:g} x, {shortest.case}",
        "peak_a too low",
        "%",
        shortest.short_percent,
        None,
    )
    yield Row(
        f"{name}, worst: {tallest.case.multiple:g} x, {tallest.case}",
        "peak_a too high",
        "%",
        -tallest.short_percent,
        None,
    )
    yield Row(name, "direction wrong at any time", "faults", float(sum(one.wrong for one in found)), 0.0)
    undecided = sum(not one.real.directions for one in found)
    yield Row(name, "direction never decided", "faults", float(undecided), 0.0)


def _tables() -> None:
    """Markdown for the document."""
    found = measured(grid())
    axes: list[tuple[str, Callable[[Case], str], Sequence[str]]] = [
        ("fault", lambda case: case.kind, KINDS),
        ("X/R", lambda case: f"{case.ratio:g}", [f"{r:g}" for r in RATIOS]),
        ("angle", lambda case: f"{case.angle}°", [f"{a}°" for a in ANGLES]),
    ]
    for title, axis, names in axes:
        print(f"| {title} | " + " | ".join(f"{m:g} x" for m in MULTIPLES) + " |")
        print("| --- |" + " --- |" * len(MULTIPLES))
        for name in [*names, "all"]:
            cells = []
            for multiple in MULTIPLES:
                values = [ms for c, ms in found.items() if c.multiple == multiple and name in (axis(c), "all")]
                figures = (quantile(values, 0.5), quantile(values, 0.99), max(values))
                cells.append(" · ".join(f"{x:.1f}" for x in figures))
            print(f"| {name} | " + " | ".join(cells) + " |")
        print()


if __name__ == "__main__":
    _tables()

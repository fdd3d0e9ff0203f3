"""From fault inception to the last trip on the wire, and where the time goes, at several multiples of pick-up.

Real processes: each play starts 37 anew and takes 16 to 20 s, the full run half an hour. Percentiles are by nearest
rank: with ten plays p99 is the longest. A fault that no agent located has no times: ``fault located`` says how many
were. What ``--quick`` had no time for on a busy machine is a row ``plays`` of 0.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import yaml

from benchmarks.row import Row
from simulator.demo.scenario import TABLE

PLAYS = 10
QUICK_S = 57.0
PLAY_S = 20.0
"""A play's expected time, until one has been measured."""
LIMIT_S = 180.0
GOAL_TRIP_MS = 10.0
GOAL_OURS_MS = 2.0
GOAL_SWITCH_MS = 5.0
GOAL_RESTORED_MS = 150.0
OPENING_MS = 45.0
"""Of the breakers that are tripped; the lock-out is to be announced within the trip's time and this."""


@dataclass(frozen=True, slots=True)
class Case:
    """A fault to play again and again; ``judged``: at least three times the pick-up, so the goal for the trip holds."""

    name: str
    scenario: dict[str, Any]
    judged: bool = True
    quick: bool = False


def named(name: str) -> dict[str, Any]:
    """An entry of the demonstration's own table."""
    table: list[dict[str, Any]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))["scenarios"]
    return next(entry for entry in table if entry["name"] == name)


def _through(kind: str, rf_ohm: float) -> dict[str, Any]:
    """The fault of ``no-generation`` (section between breakers), of another kind and through a resistance."""
    entry = named("no-generation")
    step = entry["steps"][0]
    plant = {**step["plant"], "kind": kind, "rf_ohm": rf_ohm}
    return {**entry, "steps": [{**step, "plant": plant}]}


def cases() -> tuple[Case, ...]:
    """Three phases unless said otherwise; resistances give these multiples of F1's pick-up of 800 A, load included."""
    return (
        Case("demo default, bolted, 12 x", named("between-breakers"), quick=True),
        Case("no generation, bolted, 12 x", named("no-generation")),
        Case("no generation, 5 x", _through("abc", 1.17)),
        Case("no generation, 3 x", _through("abc", 2.15), quick=True),
        Case("no generation, between two phases, 3 x", _through("bc", 3.75)),
        Case("no generation, 2 x", _through("abc", 3.5), judged=False),
        Case("no generation, 1.3 x", _through("abc", 5.9), judged=False),
        Case("load-break switches, no generation, 8 x", _between_switches(), quick=True),
    )


def _between_switches() -> dict[str, Any]:
    return {**named("between-switches"), "feeder": named("no-generation")["feeder"]}


@dataclass(slots=True)
class Plays:
    """What became of plays."""

    done: list[dict[str, Any]] = field(default_factory=list)
    broken_off: int = 0


def run(quick: bool) -> Iterator[Row]:
    """All cases, seeds 1 to ``PLAYS``; quick: one play each of three cases."""
    begun, longest = time.monotonic(), PLAY_S
    with tempfile.TemporaryDirectory(prefix="flisr-bench-") as folder:
        for number, case in enumerate(case for case in cases() if case.quick or not quick):
            plays = Plays()
            for seed in range(1, (1 if quick else PLAYS) + 1):
                start = time.monotonic()
                if quick and start - begun + longest > QUICK_S:
                    click.echo(f"{case.name}: not played, the minute is over", err=True)
                    break
                play(Path(folder) / f"{number}-{seed}", case, seed, plays)
                longest = max(longest if quick else 0.0, time.monotonic() - start)
            yield from rows(case, plays.done, plays.broken_off)


def rows(case: Case, plays: Sequence[dict[str, Any]], broken_off: int = 0) -> Iterator[Row]:
    """What a case's verdicts (``flisr demo --json``) come to."""
    count = len(plays) + broken_off
    if not count:
        yield Row(case.name, "plays", "of 1", 0, 1, smaller_is_better=False)
        return
    located = sum(_located(play) for play in plays)
    passed = sum(play["verdict"] == "pass" for play in plays)
    yield Row(case.name, "fault located", f"of {count}", located, count, smaller_is_better=False)
    yield Row(case.name, "runs that passed", f"of {count}", passed, count, smaller_is_better=False)
    multiples = sorted(play["multiple"] for play in plays if play["multiple"] is not None)
    yield Row(case.name, "multiple of pick-up", "x", rank(multiples, 0.5), None)
    lasts = [play["split"][-1] for play in plays if play["split"]]
    ours = GOAL_OURS_MS if case.judged else None
    trips = [play["ms"]["trip_goose"] for play in plays if play["ms"]["trip_goose"] is not None]
    yield from _figures(case, "trip", trips, GOAL_TRIP_MS if case.judged else None)
    yield from _figures(case, "filter", _known(lasts, "filter_ms"))
    yield from _figures(case, "of it merging unit", _known(lasts, "merging_unit_ms"))
    yield from _figures(case, "answers", _known(lasts, "wait_ms"))
    yield from _figures(case, "of it spread", _known(lasts, "spread_ms"))
    yield from _figures(case, "of it neighbour", _known(lasts, "answer_ms"))
    yield from _figures(case, "of it transfer", _known(lasts, "transfer_ms"))
    yield from _figures(case, "decision and wire", _known(lasts, "decision_and_wire_ms"), ours, ours)
    lockouts = [play["ms"]["lockout"] for play in plays if play["ms"]["lockout"] is not None]
    lockout_goal = GOAL_TRIP_MS + OPENING_MS if case.judged else None
    yield from _figures(case, "lock-out announced", lockouts, lockout_goal)
    switched = [entry["zero_to_order_ms"] for play in plays for entry in play["switches"]]
    yield from _figures(case, "switch: confirmed zero current to order", switched, GOAL_SWITCH_MS, GOAL_SWITCH_MS)
    back = [play["restoration"] for play in plays if play["restoration"]]
    goal = None if any(entry["generation"] for entry in back) else GOAL_RESTORED_MS
    yield from _figures(case, "restored, without mechanisms", _known(back, "without_mechanisms_ms"), goal, goal)


def _located(play: dict[str, Any]) -> bool:
    """The devices that the scenario expects have locked out, and no others."""
    return any(check["name"] == "locked out" and check["held"] for check in play["checks"])


def _known(entries: Sequence[dict[str, Any]], key: str) -> list[float]:
    return [entry[key] for entry in entries if entry[key] is not None]


def _figures(
    case: Case, what: str, values: list[float], goal: float | None = None, worst: float | None = None
) -> Iterator[Row]:
    """Median, p99 and longest; ``goal`` is for the median, ``worst`` for the other two."""
    values = sorted(values)
    if values:
        yield Row(case.name, f"{what} p50", "ms", rank(values, 0.5), goal)
        yield Row(case.name, f"{what} p99", "ms", rank(values, 0.99), worst)
        yield Row(case.name, f"{what} max", "ms", values[-1], worst)


def rank(values: Sequence[float], share: float) -> float | None:
    """Nearest rank of sorted values; None if there are none."""
    return round(values[math.ceil(share * len(values)) - 1], 3) if values else None


def play(out: Path, case: Case, seed: int, plays: Plays) -> None:
    """One run of the demonstration in a process of its own (it moves into a namespace).

    The first play that cannot begin ends the benchmark; one that breaks off later is counted.
    """
    command = [sys.executable, "-m", "benchmarks.play", json.dumps(case.scenario), str(seed), str(out)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        why = f"not over after {LIMIT_S:.0f} s"
    else:
        why = done.stderr.strip()[-400:] or f"exit status {done.returncode}"
        if not done.returncode:
            verdict: dict[str, Any] = json.loads(done.stdout)
            if not verdict["problem"]:
                plays.done.append(verdict)
                return
            why = verdict["problem"]
    if not plays.done and not plays.broken_off:
        raise click.ClickException(f"the demonstration cannot be played here: {why}")
    click.echo(f"{case.name}, seed {seed}: broke off: {why}", err=True)
    plays.broken_off += 1

"""From fault inception to the last trip on the wire, at several multiples of pick-up: real processes, real frames."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.row import Row

PLAYS, QUICK_PLAYS = 10, 1
CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("bolted, 12 x pick-up", {"kind": "abc", "rf_ohm": 0.0}),
    ("through 2.2 ohm, 3 x pick-up", {"kind": "abc", "rf_ohm": 2.17}),
    ("through 3.4 ohm, 2 x pick-up", {"kind": "abc", "rf_ohm": 3.4}),
    ("through 5.3 ohm, 1.3 x pick-up", {"kind": "abc", "rf_ohm": 5.3}),
)
"""The same section (Z11, between breakers), three phases, ever more resistance; no generation anywhere."""
QUICK = CASES[:2]
SWITCH = ("fault between two load-break switches", "Z13_S1")
GOAL_TRIP_MS = 10.0
GOAL_OURS_MS = 2.0
GOAL_SWITCH_MS = 5.0
GOAL_RESTORED_MS = 150.0


def run(quick: bool) -> Iterator[Row]:
    """Each play starts 37 processes anew and takes about 16 s; the full run takes half an hour."""
    with tempfile.TemporaryDirectory(prefix="flisr-bench-") as folder:
        for case, fault in QUICK if quick else CASES:
            plays = [
                _play(Path(folder), "Z11_S2", fault, seed) for seed in range(1, (QUICK_PLAYS if quick else PLAYS) + 1)
            ]
            yield from _rows(case, plays)
        case, section = SWITCH
        count = QUICK_PLAYS if quick else PLAYS
        plays = [_play(Path(folder), section, {"kind": "bc"}, seed) for seed in range(1, count + 1)]
        found = [entry["zero_to_order_ms"] for play in plays for entry in play.get("switches", ())]
        yield Row(case, "confirmed zero current to order, median", "ms", _median(found), GOAL_SWITCH_MS)


def _rows(case: str, plays: list[dict[str, Any]]) -> Iterator[Row]:
    trips = [play["ms"]["trip_goose"] for play in plays if play["ms"].get("trip_goose") is not None]
    # The goal is for three times the pick-up and above; lower multiples are told, not judged.
    high = min((play["multiple"] or 0.0 for play in plays), default=0.0) >= 2.9
    goal = GOAL_TRIP_MS if high else None
    yield Row(
        case, "runs that passed", "of " + str(len(plays)), sum(p["verdict"] == "pass" for p in plays), len(plays), False
    )
    yield Row(case, "multiple of pick-up", "x", _median([p["multiple"] for p in plays if p["multiple"]]), None)
    yield Row(case, "inception to last trip, median", "ms", _median(trips), goal)
    yield Row(case, "inception to last trip, max", "ms", max(trips, default=None), None)
    splits = [play["split_ms"] for play in plays if play["split_ms"]]
    for name in ("merging_unit_and_filter", "answers", "neighbours_trip"):
        yield Row(case, name.replace("_", " ") + ", median", "ms", _median([s[name] for s in splits]), None)
    ours = [s["pickup_to_wire"] + s["decision_to_wire"] for s in splits]
    yield Row(case, "wire and decision, median", "ms", _median(ours), GOAL_OURS_MS if high else None)
    back = [p["restoration"]["without_mechanisms_ms"] for p in plays if p["restoration"]]
    yield Row(case, "restored, without the mechanisms' times, median", "ms", _median(back), GOAL_RESTORED_MS)


def _median(values: list[float]) -> float | None:
    return round(median(values), 3) if values else None


def _play(folder: Path, section: str, fault: dict[str, Any], seed: int) -> dict[str, Any]:
    """One run of the demonstration in a process of its own (it moves into a namespace); what it printed."""
    entry = {
        "name": "bench-trip",
        "feeder": {"zones": {"Z12": {"ders": {}}, "Z21": {"ders": {}}}},
        "steps": [{"at_ms": 0, "plant": {"event": "fault", "name": "f1", "at": section, "fraction": 0.4, **fault}}],
    }
    out = folder / f"{section}-{fault.get('rf_ohm', 0)}-{seed}"
    command = [sys.executable, "-m", "benchmarks.play", json.dumps(entry), str(seed), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        raise click.ClickException(f"the demonstration cannot be played here: {done.stderr.strip()[-400:]}")
    verdict: dict[str, Any] = json.loads(done.stdout)
    if verdict["problem"]:
        raise click.ClickException(f"the demonstration broke off: {verdict['problem']}")
    return verdict

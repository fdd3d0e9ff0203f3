"""The verdict of a run: moments, customers and power, the nine invariants, the end state against table and oracle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulator.demo import split
from simulator.demo.course import Course
from simulator.demo.heard import Heard
from simulator.demo.judge import Held, Judge
from simulator.demo.scenario import Scenario

LATE_MS = 30.0
"""Waves that begin later than this are not what the feeder would have done."""


@dataclass(slots=True)
class Verdict:
    """Everything the demonstration says of a run; :meth:`plain` is what contract.md asks for."""

    scenario: str
    description: str
    transport: str
    seed: int
    run_dir: str
    passed: bool = False
    invariants: list[Held] = field(default_factory=list)
    checks: list[Held] = field(default_factory=list)
    ms: dict[str, float | None] = field(default_factory=dict)
    split_ms: dict[str, float] = field(default_factory=dict)
    split: list[dict[str, Any]] = field(default_factory=list)
    """Parts of each breaker's trip; the last one's are those of ``trip_goose``."""
    answer_wait: dict[str, float] = field(default_factory=dict)
    multiple: float | None = None
    """Fault current at the device that found the fault, of its phase pick-up."""
    switches: list[dict[str, Any]] = field(default_factory=list)
    restoration: dict[str, Any] = field(default_factory=dict)
    trips: list[dict[str, Any]] = field(default_factory=list)
    kw: dict[str, float] = field(default_factory=dict)
    customers: dict[str, int] = field(default_factory=dict)
    zones: list[dict[str, str]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    problem: str = ""

    def plain(self) -> dict[str, Any]:
        """One JSON object."""
        return {
            "scenario": self.scenario,
            "description": self.description,
            "transport": self.transport,
            "seed": self.seed,
            "verdict": "pass" if self.passed else "fail",
            "invariants": [{"name": h.name, "held": h.held, "why": h.why} for h in self.invariants],
            "checks": [{"name": h.name, "held": h.held, "why": h.why} for h in self.checks],
            "ms": self.ms,
            "split_ms": self.split_ms,
            "split": self.split,
            "answer_wait": self.answer_wait,
            "multiple": self.multiple,
            "switches": self.switches,
            "restoration": self.restoration,
            "trips": self.trips,
            "kw": self.kw,
            "customers": self.customers,
            "zones": self.zones,
            "answers": self.answers,
            "figures": self.figures,
            "problem": self.problem,
            "run_dir": self.run_dir,
        }


def judge(
    verdict: Verdict,
    course: Course,
    scenario: Scenario,
    answers: list[dict[str, Any]],
    timed_out: bool,
    heard: Heard | None = None,
) -> Verdict:
    """Fill in a verdict from what happened; ``heard``: on the buses, if they were captured."""
    judging = Judge(course, scenario)
    verdict.invariants = judging.invariants()
    verdict.checks = judging.expectation() + judging.refusals(answers, scenario.expect)
    verdict.checks.append(
        Held("came to rest", not timed_out, "" if not timed_out else "still moving at the time limit")
    )
    late_ms = max(
        (x.details["by_us"] / 1000 for x in course.lines if x.source == "plant" and x.name == "late"), default=0.0
    )
    verdict.figures["plant_late_ms"] = round(late_ms, 1)
    told = f"the machine was too busy: the plant's waves came up to {late_ms:.0f} ms late"
    verdict.checks.append(Held("plant kept time", late_ms <= LATE_MS, "" if late_ms <= LATE_MS else told))
    verdict.answers = answers
    breakers = course.breaker_trips()
    last = max((t.t_us for t in breakers or course.trips), default=None)
    if last is None:
        last = max((x.t_us for x in course.agents("trip_sent")), default=None)
    verdict.ms = {
        "pickup": course.ms(course.pickup_us()),
        "trip_goose": course.ms(last),
        "isolated": course.ms(course.isolated_us()),
        "lockout": course.ms(course.lockout_us()),
        "restored": course.ms(course.restored_us()),
    }
    _where_the_time_went(verdict, course, heard or Heard())
    verdict.trips = [{"device": t.device, "ms": course.ms(t.t_us)} for t in course.trips]
    lost = course.lost_zones()
    dark = course.dark()
    blown_kw = sum(x.p_kw for x in course.feeder.loads if x.name in course.blown)
    blown_customers = sum(x.customers for x in course.feeder.loads if x.name in course.blown)
    lost_kw, lost_customers = course.load(lost)
    dark_kw, dark_customers = course.load(dark)
    back_kw, back_customers = course.load(lost - dark)
    verdict.kw = {
        "lost": round(lost_kw + blown_kw, 1),
        "restored": round(back_kw, 1),
        "dark": round(dark_kw + blown_kw, 1),
    }
    verdict.customers = {
        "lost": lost_customers + blown_customers,
        "restored": back_customers,
        "dark": dark_customers + blown_customers,
    }
    if judging.oracle_kw is not None:
        verdict.kw["restorable"] = round(judging.oracle_kw, 1)
    verdict.zones = [{"name": z.name, "state": _state(z.name, course, lost, dark)} for z in course.feeder.zones]
    verdict.passed = all(h.held for h in [*verdict.invariants, *verdict.checks])
    return verdict


def _where_the_time_went(verdict: Verdict, course: Course, heard: Heard) -> None:
    """The parts of the moments."""
    verdict.split_ms = split.trip_split(course)
    verdict.split = split.breakers(course, heard)
    verdict.answer_wait = split.answer_wait(heard, verdict.split)
    verdict.multiple = split.multiple(course)
    verdict.switches = split.switches(course)
    verdict.restoration = split.restoration(course, heard)


def _state(zone: str, course: Course, lost: frozenset[str], dark: frozenset[str]) -> str:
    if zone in course.faulted:
        return "faulted"
    if zone in dark:
        return "dark"
    return "restored" if zone in lost else "fed"

"""The nine invariants and the oracle, judged on the plant's truth of a demonstration run.

The simulation judges its own plant after every step (:mod:`simulator.invariants`); here the same nine questions are put
to what the plant process has written, and the end state is compared with the brute force of :mod:`simulator.oracle`.
Nothing of the brain is used. Agents' own words count for two things only: who has locked out (3), stated reasons (5).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator import oracle
from simulator.demo.course import Course
from simulator.demo.follow import Line
from simulator.demo.scenario import Expectation, Scenario
from simulator.invariants import NAMES
from simulator.virtual.plant import Layout, Plant

ORDER_US = 1_000_000
"""An order of an agent's explains a movement that begins at most so much later."""
STARTUP_US = 400_000
HANDS_US = 100_000


@dataclass(frozen=True, slots=True)
class Held:
    """One invariant's answer."""

    name: str
    held: bool
    why: str = ""


@dataclass(slots=True)
class Judge:
    """Goes through the record once for each invariant."""

    course: Course
    scenario: Scenario
    notes: list[str] = field(default_factory=list)
    oracle_kw: float | None = None

    def invariants(self) -> list[Held]:
        """All nine, in order."""
        checks = (
            self._never_again, self._nothing_paralleled, self._locked_stays_open, self._exactly_the_boundaries,
            self._all_fed, self._ratings, self._no_stranger, self._restart, self._breaking,
        )  # fmt: skip
        answers = []
        for number, check in enumerate(checks, 1):
            why = check()
            answers.append(Held(f"{number} {NAMES[number]}", not why, why))
        return answers

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _truth(self, *kinds: str) -> list[Line]:
        return [x for x in self.course.lines if x.source == "plant" and x.name in kinds]

    def _after(self, line: Line) -> str:
        return f"{self.course.ms(line.t_us):.1f} ms"

    def _words(self, *names: str) -> list[Line]:
        return [x for x in self.course.lines if x.source == "agent" and x.name in names]

    # --- the nine ----------------------------------------------------------------------------------------------------

    def _never_again(self) -> str:
        """1: counted by fault; reclose shots and faults nobody could see are the exceptions."""
        fed: dict[str, bool] = {}
        present: dict[str, set[str]] = {}
        dead_once: set[str] = set()
        allowed = dict.fromkeys(self.scenario.unseen, 1)
        shots = sum(len(d.reclose_dead_times_ms) for d in self.course.feeder.devices)
        for line in self._truth("zone", "fault"):
            details = line.details
            zone = str(details.get("zone", ""))
            if line.name == "fault":
                if details["on"]:
                    present.setdefault(zone, set()).add(details["fault"])
                    if not fed.get(zone, True):
                        dead_once.add(details["fault"])
                        allowed.setdefault(details["fault"], 1)
                else:
                    for names in present.values():
                        names.discard(details["fault"])
                continue
            was, now = fed.get(zone, False), bool(details["sources"])
            fed[zone] = now
            for name in present.get(zone, ()):
                if was and not now:
                    dead_once.add(name)
                elif now and not was and name in dead_once:
                    if allowed.get(name, 0) > 0:
                        allowed[name] -= 1
                    elif shots > 0:
                        shots -= 1
                    else:
                        return f"{zone} was energised with {name} on it, {self._after(line)}"
        return ""

    def _nothing_paralleled(self) -> str:
        may = any(d.allow_parallel for d in self.course.feeder.devices)
        for line in self._truth("parallel", "loop"):
            if line.t_us > self._beginning() and not may:
                return f"{line.name}: {line.details}, {self._after(line)}"
        return ""

    def _beginning(self) -> int:
        return min((x.t_us for x in self.course.lines if x.source == "plant"), default=0)

    def _locked_stays_open(self) -> str:
        locked: set[str] = set()
        for line in self.course.lines:
            if line.source == "agent" and line.name == "lockout":
                locked.add(line.device)
            elif line.source == "agent" and line.name in ("released", "claim_withdrawn"):
                locked.discard(line.device)
            elif line.source == "plant" and line.name == "order" and line.details["close"] and line.details["moves"]:
                name = line.details["device"]
                if name in locked:
                    return f"{name} closes while locked out, {self._after(line)}"
        return ""

    def _exactly_the_boundaries(self) -> str:
        if not self.scenario.calm:
            return ""
        course = self.course
        faulted = course.faulted
        fed = course.history[-1].fed if course.history else frozenset()
        planned = {x.device for x in self._words("opens_for_plan", "opens_for_return")}
        for device in course.feeder.devices:
            zones = {course.feeder.zones[device.zone_a].name, course.feeder.zones[device.zone_b].name}
            closed = device.name not in course.open_now
            if closed and len(zones & faulted) == 1:
                return f"{device.name} bounds a faulted zone and is closed"
            if closed or device.normally_open or zones & faulted or device.name in planned:
                continue
            if not zones <= fed or self._two_sources(device.name):
                continue  # keeps a dark zone dark (5 asks why), or two live parts apart
            return f"{device.name} is open and bounds no faulted zone"
        return ""

    def _two_sources(self, name: str) -> bool:
        """Both sides live: closing would join two parts (or close a loop)."""
        device = self.course.feeder.device(name)
        fed = self.course.history[-1].fed
        return {self.course.feeder.zones[device.zone_a].name, self.course.feeder.zones[device.zone_b].name} <= fed

    def _virtual(self) -> tuple[Plant, int, set[int]]:
        """The oracle's plant: normal state, lost sources off, generators gone, locked devices open."""
        feeder = self.course.feeder
        plant = Plant(Layout(feeder))
        before = list(plant.net)
        plant.der_on = [False] * len(feeder.ders)
        for index, source in enumerate(feeder.sources):
            name = feeder.zones[source.zone].name
            plant.source_on[index] = name in self.course.history[-1].fed
        faulted = sum(1 << z.index for z in feeder.zones if z.name in self.course.faulted)
        locked = {feeder.device_index[name] for name in self.course.locked}
        for index, device in enumerate(feeder.devices):
            sides = 1 << device.zone_a | 1 << device.zone_b
            lost = any(not plant.source_on[s] and sides >> z & 1 for s, z in enumerate(plant.layout.source_zones))
            if index in locked or sides & faulted or lost:
                plant.closed[index] = False
        plant.solve()
        plant.net = before
        return plant, faulted, locked

    def _all_fed(self) -> str:
        """5: kW by priority against brute force; who is not calm must at least say why it is dark."""
        course = self.course
        feeder = course.feeder
        if not course.history:
            return ""
        dark = course.dark() - course.faulted
        plant, faulted, locked = self._virtual()
        demand = []
        for zone in feeder.zones:
            p = sum(feeder.loads[i].p_kw for i in zone.loads)
            q = sum(feeder.loads[i].q_kvar for i in zone.loads)
            demand.append((p * feeder.cold_load_factor, q * feeder.cold_load_factor))
        lost = sum(1 << z.index for z in feeder.zones if plant.root[z.index] < 0 and not faulted >> z.index & 1)
        best = oracle.best(plant, lost, faulted, locked, demand)
        ours = oracle.value_of(plant.layout, lost & sum(1 << z.index for z in feeder.zones if z.name not in dark))
        self.oracle_kw = sum(best.value)
        # Priority 1 counts first, then 2, then 3.
        difference = next((a - b for a, b in zip(ours, best.value, strict=True) if abs(a - b) > 0.5), 0.0)
        short = best.exact and difference < 0
        if short and self.scenario.calm:
            names = ", ".join(z.name for z in feeder.zones if best.zones >> z.index & 1 and z.name in dark)
            return f"brute force restores {_kw(best.value)} by priority, here {_kw(ours)} kW ({names or 'other zones'})"
        stated = self._stated()
        for zone in feeder.zones:
            if zone.name not in dark or not zone.loads or not best.zones >> zone.index & 1 or zone.name in stated:
                continue
            if not self._explained(zone.index):
                return f"{zone.name} is dark and nobody has said why"
        return ""

    def _stated(self) -> set[str]:
        stated: set[str] = set()
        for line in self._words("dark"):
            stated.update(line.details)
        for line in self._words("claim"):
            stated.update(str(line.details.get("zones", "")).split(","))
        for line in self._words("request_given_up"):
            device = self.course.feeder.device(line.device)
            stated.update(self.course.feeder.zones[z].name for z in (device.zone_a, device.zone_b))
        return stated

    def _explained(self, zone: int) -> bool:
        """A silent, locked or cut-off agent beside it."""
        silent = {x.details.get("peer", "") for x in self._words("peer_lost")}
        killed = {x.device for x in self.course.lines if x.source == "demo" and x.name.startswith("kill")}
        beside = {self.course.feeder.devices[i].name for i in self.course.feeder.zones[zone].devices}
        return bool(beside & (silent | killed | self.course.locked))

    def _ratings(self) -> str:
        first = self.course.inception_us
        before = {x.details["element"] for x in self._truth("over_rating") if x.t_us < first}
        for line in self._truth("over_rating"):
            if line.t_us >= first and line.details["element"] not in before:
                details = line.details
                return f"{details['element']} carries {details['a']} A of {details['rating_a']} A, {self._after(line)}"
        return ""

    def _no_stranger(self) -> str:
        """7: every movement has an order of the device's own agent, or a hand at the mechanism, before it."""
        orders: dict[tuple[str, bool], list[int]] = {}
        for line in self._words(
            "trip_sent", "trip", "close_sent", "close", "opens_for_plan", "opens_for_return", "command"
        ):
            if line.name != "command":
                orders.setdefault((line.device, line.name.startswith("close")), []).append(line.t_us)
        hands = {
            (str(x.details["what"].get("device")), x.details["what"]["event"] == "close")
            for x in self.course.lines
            if x.source == "demo" and x.name == "plant" and x.details["what"].get("event") in ("open", "close")
        }
        for line in self._truth("order"):
            key = (line.details["device"], line.details["close"])
            if not line.details["moves"] or key in hands:
                continue
            if not any(t - HANDS_US <= line.t_us <= t + ORDER_US for t in orders.get(key, ())):
                return f"{key[0]} {'closes' if key[1] else 'opens'} without an order, {self._after(line)}"
        return ""

    def _restart(self) -> str:
        """8: within the start-up silence of an agent that starts again nothing is ordered."""
        starts: dict[str, list[int]] = {}
        for line in self._words("started"):
            starts.setdefault(line.device, []).append(line.t_us)
        tripped = {x.device: x.t_us for x in self._words("pickup", "claim")}
        for line in self._truth("order"):
            name = line.details["device"]
            for begun in starts.get(name, [])[1:]:
                fresh = tripped.get(name, 0) >= begun
                if line.details["moves"] and begun <= line.t_us <= begun + STARTUP_US and not fresh:
                    return f"{name} moves {(line.t_us - begun) / 1000:.0f} ms after its agent's restart"
        return ""

    def _breaking(self) -> str:
        for line in self._truth("violation"):
            details = line.details
            return f"{details['device']} parts {details['a']} A and may break {details['breaking_a']} A"
        return ""

    # --- the scenario's own expectation ------------------------------------------------------------------------------

    def expectation(self) -> list[Held]:
        """The end state against the scenario's table."""
        expect = self.scenario.expect
        if expect is None:
            return []
        course = self.course
        return [
            _equal("faulted zones", expect.faulted, course.faulted),
            _equal("locked out", expect.locked, course.locked),
            _equal("dark zones", expect.dark, course.dark()),
        ]

    def refusals(self, answers: list[dict[str, object]], expect: Expectation | None) -> list[Held]:
        """Closes that must have been refused."""
        wanted = expect.refused if expect is not None else ()
        found = []
        for name in wanted:
            mine = [a for a in answers if a["what"] == "mms" and a["device"] == name]
            refused = bool(mine) and not any(a.get("accepted") for a in mine)
            found.append(Held(f"close of {name} by an MMS client refused", refused, "" if refused else str(mine)))
        return found


def _equal(what: str, wanted: tuple[str, ...], found: frozenset[str]) -> Held:
    same = set(wanted) == set(found)
    names = ", ".join(sorted(found)) or "none"
    return Held(what, same, names if same else f"{names}; expected {', '.join(wanted) or 'none'}")


def _kw(value: tuple[float, float, float]) -> str:
    return "/".join(f"{x:.0f}" for x in value)

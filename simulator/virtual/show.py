"""Print a run's feeder, story and trace: ``python -m simulator.virtual.show SEED|FILE [SWITCHES] [CHAOS] [-a]``."""

from __future__ import annotations

import sys
from pathlib import Path

from scl.topology import Feeder
from simulator.virtual.chance import random_scenario
from simulator.virtual.scenario import Scenario, load
from simulator.virtual.world import START, Noted, World


def feeder_lines(feeder: Feeder) -> list[str]:
    """The feeder, one element a line."""
    lines = [f"{feeder.name}, cold-load factor {feeder.cold_load_factor}"]
    lines += [f"  source {s.name} at {feeder.zones[s.zone].name}, {s.rated_kva} kVA" for s in feeder.sources]
    for d in feeder.devices:
        kind = "CB " if d.kind.value == "breaker" else "LBS"
        extra = " normally open" if d.normally_open else ""
        extra += f" shots {d.reclose_dead_times_ms}" if d.reclose_dead_times_ms else ""
        extra += "" if d.merging_unit else " conventional"
        lines.append(f"  {d.name} {kind} {feeder.zones[d.zone_a].name}-{feeder.zones[d.zone_b].name}{extra}")
    for z in feeder.zones:
        loads = ", ".join(
            f"{feeder.loads[i].p_kw:g} kW prio {feeder.loads[i].priority}{' fused' if feeder.loads[i].fused else ''}"
            for i in z.loads
        )
        ders = ", ".join(
            f"{feeder.ders[i].kind.value} {feeder.ders[i].p_kw:g} of {feeder.ders[i].rated_kva:g} kVA" for i in z.ders
        )
        lines.append(f"  {z.name}: {loads} {ders} rating {feeder.zone_rating_a(z.index):g} A")
    return lines


def trace_lines(trace: list[Noted], since_ms: float = 0.0) -> list[str]:
    """The trace, times in ms from the start of the run."""
    lines = []
    for n in trace:
        at = (n.now_us - START) / 1000
        if at >= since_ms:
            details = " ".join(f"{k}={v}" for k, v in n.details)
            lines.append(f"{at:10.2f}  {n.device:5} {n.name:22} {details}")
    return lines


def story(scenario: Scenario, since_ms: float = 1_000.0) -> str:
    """Everything about one run."""
    lines = [scenario.name, *feeder_lines(scenario.feeder), f"{scenario.lan}"]
    lines += [f"  {name}: {faulty}" for name, faulty in scenario.faulty.items()]
    lines += [f"  {h}" for h in scenario.happenings]
    outcome = World(scenario).run()
    lines += trace_lines(outcome.trace, since_ms)
    lines.append(f"broken: {outcome.broken}")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """See the module; a file name in place of the seed is replayed."""
    plain = [a for a in arguments if not a.startswith("-")]
    if Path(plain[0]).exists():
        scenario = load(Path(plain[0]))
    else:
        switches = int(plain[1]) if len(plain) > 1 else 10
        scenario = random_scenario(int(plain[0]), switches, plain[2] if len(plain) > 2 else "mixed")
    print(story(scenario, 0.0 if "-a" in arguments else 1_000.0))


if __name__ == "__main__":
    main(sys.argv[1:])

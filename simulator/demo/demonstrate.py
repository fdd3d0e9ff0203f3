"""One demonstration from beginning to end: laboratory, play, record, verdict, run folder."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from agent.goose.tap import Packet
from agent.security.frames import Algorithm
from scl.problem import SclError
from scl.topology import Feeder
from simulator.demo import comtrade, report
from simulator.demo.course import Course, trips
from simulator.demo.follow import Line
from simulator.demo.heard import listen
from simulator.demo.lab import Lab, LabError
from simulator.demo.play import Player
from simulator.demo.scenario import Scenario, ScenarioError
from simulator.demo.verdict import Verdict, judge
from simulator.lan import permitted

RECORD_WAIT_S = 4.0
"""A fault record is written a little more than a second after its last trigger."""


class Watcher(Protocol):
    """The live view, or nothing."""

    def phase(self, text: str, done: int, of: int) -> None: ...
    def lines(self, new: list[Line]) -> None: ...


def choose_transport(wanted: str, scenario: Scenario) -> str:
    """``l2`` where namespaces are allowed; ScenarioError if the scenario or the user asks for what is not."""
    why = "" if wanted == "udp" else permitted()
    transport = "udp" if wanted == "udp" or (wanted == "auto" and why) else "l2"
    if transport == "l2" and why:
        raise ScenarioError(f"network namespaces are forbidden here: {why}")
    if transport == "udp" and scenario.needs_l2:
        reason = f" ({why})" if why else ""
        raise ScenarioError(f"{scenario.name} needs a bridge of its own (transport l2){reason}")
    return transport


def run_folder(out: Path | None, scenario: str) -> Path:
    """A folder that does not exist yet."""
    if out is not None:
        return out.resolve()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    base = Path("runs") / f"{stamp}-{scenario}"
    folder, number = base, 1
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder.resolve()


def demonstrate(
    scenario: Scenario,
    seed: int | None,
    transport: str,
    folder: Path,
    view: Callable[[Feeder], AbstractContextManager[Watcher]],
    algorithm: Algorithm = Algorithm.HMAC_SHA256_128,
) -> Verdict:
    """Play one scenario in this process (which moves into a namespace of its own) and write its folder."""
    chosen = random.SystemRandom().randrange(1, 1_000_000) if seed is None else seed
    lab = Lab(scenario, folder, transport, chosen, algorithm)
    verdict = Verdict(scenario.name, scenario.description, transport, chosen, str(folder))
    player: Player | None = None
    try:
        lab.build()
        lab.open_network()
        with view(lab.feeder) as watcher:
            player = Player(lab, watcher.lines, watcher.phase)
            player.run()
            _wait_for_records(lab)
        verdict.figures.update(lab.figures())
    except (LabError, SclError, OSError) as error:
        verdict.problem = str(error)
    finally:
        # Second Ctrl-C or not: everything that was started ends.
        lab.close()
    if player is not None and hasattr(player, "follower"):
        player.follower.poll()
        _write(lab, player, verdict)
    (folder / "verdict.json").write_text(json.dumps(verdict.plain(), indent=1) + "\n", encoding="utf-8")
    return verdict


def _wait_for_records(lab: Lab) -> None:
    """Until every agent that began a record has written it, at most a few seconds."""
    end = time.monotonic() + RECORD_WAIT_S
    before = -1
    while time.monotonic() < end:
        count = len(list(lab.records()))
        if count and count == before:
            return
        before = count
        time.sleep(0.4)


def _write(lab: Lab, player: Player, verdict: Verdict) -> None:
    folder = lab.directory
    course = Course(lab.feeder, player.follower.ordered())
    packets: list[Packet] = lab.capture.seen()
    course.trips = trips(packets, {d.agent: d.name for d in lab.feeder.devices})
    lab.capture.write(folder / "frames.pcap")
    if not verdict.problem:
        heard = listen(packets, lab.feeder, course.inception_us)
        judge(verdict, course, lab.scenario, player.answers, player.timed_out, heard)
    zero = course.inception_us or player.zero_us
    with (folder / "events.jsonl").open("w", encoding="utf-8") as file:
        for line in course.lines:
            file.write(json.dumps(line.plain(zero), default=str) + "\n")
    report.write(folder / "report.html", verdict, course, _records(lab, course))


def _records(lab: Lab, course: Course) -> list[comtrade.Record]:
    """Copies of the agents' records in ``records/``, those of devices that tripped first."""
    target = lab.directory / "records"
    found: list[comtrade.Record] = []
    for _device, path in lab.records():
        target.mkdir(exist_ok=True)
        for part in (path, path.with_suffix(".dat")):
            shutil.copy(part, target / part.name)
        try:
            found.append(comtrade.read(path))
        except (comtrade.RecordError, OSError):
            continue
    order = {trip.device: i for i, trip in enumerate(reversed(course.trips))}
    found.sort(key=lambda record: (-order.get(record.device, -1), record.times_us[:1]))
    return found


def plain_listing(scenarios: tuple[Scenario, ...]) -> dict[str, Any]:
    """``flisr demo --list --json``."""
    return {"scenarios": [{"name": s.name, "description": s.description} for s in scenarios]}

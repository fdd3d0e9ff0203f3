"""The laboratory of one run: files out of the drawing, hosts and cables, and every IED as a process of its own.

With transport ``l2`` each IED has a network namespace: agents and breakers' IEDs on the station bus, each merging unit
on a cable to its agent. With ``udp`` all of them share the loopback and speak R-GOOSE and R-SV.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from agent.goose.tap import LINKTYPE_ETHERNET, LINKTYPE_RAW, udp_socket
from agent.logic.grid import Grid, bits
from agent.security import keys
from agent.security.frames import HMACS, Algorithm
from agent.station import keyset, plain
from scl import derive, describe, generate
from scl.flisr_dataset import AGENT_LD
from scl.scheme import Scheme
from scl.topology import Feeder
from simulator.demo.capture import Capture
from simulator.demo.scenario import Scenario
from simulator.ieds.link import PlantLink
from simulator.lan import Lan, Namespace, Processes, descendants

UDP_PORT = 10_102
MMS_PORT = 102
MMS_LOOPBACK = 20_100
READY_S = 180.0
"""Forty interpreters start here; 13 s on two idle cores, six times that on a slow machine that has other work."""
UNIT_PRIORITY = 60
UNIT_TICK_US = 1000
"""Bursts of four samples: a dozen streams at 2 kHz each would spend a core on waking up."""
PRIORITIES = {"plant": 55, "merging unit": 53, "breaker": 52}
"""SCHED_FIFO of main threads, where allowed; the agents' own processes take 50, a merging unit's sender 60."""
CLIENT = "client"
STRANGER = "stranger"


class LabError(RuntimeError):
    """The laboratory did not come up; the text says which process and its last words."""


@dataclass(slots=True)
class Running:
    """One process of the laboratory."""

    role: str
    device: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        """The end of what it printed."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip()
        return text.splitlines()[-1][-300:] if text else "it said nothing"


@dataclass(slots=True)
class Lab:
    """See the module. ``build`` and ``open_network`` come first, then ``start``."""

    scenario: Scenario
    directory: Path
    transport: str
    seed: int
    algorithm: Algorithm = Algorithm.HMAC_SHA256_128
    """What GOOSE is signed with."""
    feeder: Feeder = field(init=False)
    scheme: Scheme = field(init=False)
    """What the agents will read in the SCD."""
    _cores: dict[str, int] = field(init=False)
    processes: Processes = field(init=False)
    running: dict[tuple[str, str], Running] = field(default_factory=dict)
    lan: Lan | None = None
    capture: Capture = field(init=False)
    _wire: Path = field(init=False)
    _control: PlantLink | None = None
    cpu_s: dict[str, float] = field(default_factory=dict)

    # --- files -------------------------------------------------------------------------------------------------------

    @property
    def scd(self) -> Path:
        """The SCD file of the run."""
        return self.directory / "feeder.scd"

    @property
    def ratings(self) -> Path:
        """Its ratings."""
        return self.directory / "feeder.ratings.yaml"

    @property
    def keys(self) -> Path:
        """The laboratory keys of the run."""
        return self.directory / "keys.yaml"

    @property
    def truth(self) -> Path:
        """What really happened, by the plant."""
        return self.directory / "truth.jsonl"

    def state_dir(self, device: str) -> Path:
        """State of a device's agent."""
        return self.directory / "agents" / device

    def build(self) -> None:
        """Drawing, SCD, ratings and keys into the run folder; SclError if the drawing makes no sense."""
        self.directory.mkdir(parents=True, exist_ok=True)
        described: describe.Drawing | Feeder
        if self.scenario.given is not None:
            described = self.feeder = self.scenario.given
        else:
            drawing = self.directory / "feeder.yaml"
            drawing.write_text(yaml.safe_dump(self.scenario.drawn(), sort_keys=False), encoding="utf-8")
            described = describe.load(drawing)
            self.feeder = described.feeder
        self._cores = cores(self.feeder)
        routed = self.transport == "udp"
        generate.generate(described, routed=routed, port=UDP_PORT if routed else 102).write(self.scd)
        self.scheme = derive.read(self.scd, self.ratings)
        # Simulated merging units sign by HMAC: where GOOSE has something else, samples have their own group.
        apart = {keyset.SAMPLES_GROUP: Algorithm.HMAC_SHA256_128} if self.algorithm not in HMACS else {}
        keys.write_laboratory_keys(self.keys, [keyset.GROUP], self.algorithm, apart)
        (self.directory / "agents").mkdir(mode=0o700)
        (self.directory / "logs").mkdir()

    # --- network -----------------------------------------------------------------------------------------------------

    def open_network(self) -> None:
        """Namespaces, bridge and cables (``l2``), or nothing (``udp``); and the capture of the station bus."""
        self.processes = Processes()
        self.capture = Capture(LINKTYPE_ETHERNET if self.transport == "l2" else LINKTYPE_RAW)
        if self.transport == "udp":
            for group in self._goose_groups():
                self.capture.group(group, UDP_PORT, "127.0.0.1")
            return
        lan = self.lan = Lan.open()
        for number, device in enumerate(self.feeder.devices, 1):
            agent = lan.host(device.agent)
            lan.attach(agent, address=f"10.61.1.{number}/16")
            lan.attach(lan.host(device.breaker_ied), address=f"10.61.2.{number}/16")
            if device.merging_unit is not None:
                lan.join(lan.host(device.merging_unit), agent)
        if self._serves_mms:
            lan.attach(lan.host(CLIENT), address="10.61.9.1/16")
        if self._does("forge"):
            lan.attach(lan.host(STRANGER), address="10.61.9.2/16")
        self.capture.bus("station")

    def _does(self, what: str) -> bool:
        return any(step.do == what for step in self.scenario.steps)

    @property
    def _serves_mms(self) -> bool:
        return self._does("mms") or self.scenario.mms_readers is not None

    def _goose_groups(self) -> list[str]:
        return [c.ip for ied in self.scheme.ieds.values() for c in ied.goose_out if c.ip]

    def mms_address(self, device: str) -> tuple[str, int]:
        """Where a device's agent serves MMS (if the scenario wants that)."""
        number = self.feeder.device_index[device] + 1
        return (f"10.61.1.{number}", MMS_PORT) if self.lan is not None else ("127.0.0.1", MMS_LOOPBACK + number)

    def host(self, name: str | None) -> Namespace | None:
        """The namespace of an IED; None in transport ``udp``."""
        return None if self.lan is None or name is None else self.lan.hosts[name]

    def hosts_of(self, devices: list[str]) -> list[str]:
        """The hosts on the station bus that belong to devices."""
        chosen = [self.feeder.device(name) for name in devices]
        return [name for device in chosen for name in (device.agent, device.breaker_ied)]

    # --- processes ---------------------------------------------------------------------------------------------------

    def _spawn(self, role: str, device: str, argv: list[str], ied: str | None) -> Running:
        log = self.directory / "logs" / f"{ied or role}.log"
        with log.open("ab") as output:
            process = self.processes.spawn(
                [sys.executable, *argv], self.host(ied), output, {"PYTHONUNBUFFERED": "1", "OPENBLAS_NUM_THREADS": "1"}
            )
        running = self.running[role, device] = Running(role, device, process, log)
        return running

    def start(self, progress: Callable[[str, int, int], None]) -> None:
        """Start everything and wait until every agent is ready; ``progress(text, done, of)``."""
        # Unix sockets have short names; a run folder may lie deep.
        self._wire = Path(tempfile.mkdtemp(prefix="flisr-"))
        plant = self._wire / "plant"
        compiled = self._wire / "scheme.json"
        compiled.write_text(json.dumps(plain.dump(self.scheme)), encoding="utf-8")
        story = self.directory / "story.json"
        story.write_text(json.dumps({"seed": self.seed, "events": []}), encoding="utf-8")
        self._spawn(
            "plant", "",
            ["-m", "simulator.ieds.plant_process", "--feeder", str(self.scd), "--ratings", str(self.ratings),
             "--plant", str(plant), "--truth", str(self.truth), "--scenario", str(story)],
            None,
        )  # fmt: skip
        common = ["--scd", str(self.scd), "--ratings", str(self.ratings), "--keys", str(self.keys)]
        common += ["--plant", str(plant), "--compiled", str(compiled)]
        for device in self.feeder.devices:
            self.start_agent(device.name)
        for device in self.feeder.devices:
            self._spawn(
                "breaker", device.name,
                ["-m", "simulator.ieds.breaker", *common, "--ied", device.breaker_ied, *self._bus("station"),
                 "--state-dir", str(self._retained(device.name))],
                device.breaker_ied,
            )  # fmt: skip
        # Last, for their senders have real-time priority: those who still start would have to wait for them.
        for device in self.feeder.devices:
            if device.merging_unit is not None:
                self._spawn(
                    "merging unit", device.name,
                    ["-m", "simulator.ieds.merging_unit", *common, "--ied", device.merging_unit, *self._bus("process"),
                     "--priority", str(UNIT_PRIORITY), "--tick-us", str(UNIT_TICK_US)],
                    device.merging_unit,
                )  # fmt: skip
        self._wait(progress)
        if self.scenario.mms_readers:
            self._load_mms(self.scenario.mms_readers)

    def _load_mms(self, readers: int) -> None:
        """Clients at every agent, all in one process."""
        servers = [
            ":".join((*map(str, self.mms_address(device.name)), f"{device.agent}{AGENT_LD}"))
            for device in self.feeder.devices
        ]
        tally = str(self.directory / "mms-load.json")
        self._spawn("MMS load", "", ["-m", "simulator.demo.mms_load", tally, str(readers), *servers], CLIENT)

    def _retained(self, device: str) -> Path:
        path = self.directory / "breakers" / device
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _bus(self, interface: str) -> list[str]:
        if self.transport == "udp":
            return ["--udp", "--udp-port", str(UDP_PORT)]
        return ["--interface", interface]

    def start_agent(self, device: str) -> None:
        """Start (or start again) the agent of a device."""
        agent = self.feeder.device(device).agent
        bus = ["--station-bus", "station", "--process-bus", "process"]
        if self.feeder.device(device).merging_unit is None:
            bus = bus[:2]
        if self.transport == "udp":
            bus = ["--udp", "--udp-port", str(UDP_PORT)]
        if self._serves_mms:
            address, port = self.mms_address(device)
            bus += ["--mms-plain", f"{address}:{port}"]
        argv = ["-m", "agent.cli", "agent", "run", "--scd", str(self.scd), "--ratings", str(self.ratings)]
        argv += ["--keys", str(self.keys), "--ied", agent, "--state-dir", str(self.state_dir(device))]
        self._spawn("agent", device, [*argv, "--time-source", "trusted", *bus], agent)
        # Each agent is a computer of its own: one core. (The kernel would push a real-time thread that was interrupted
        # to the end of the other core's queue, behind agents that have nothing to decide.)
        with contextlib.suppress(OSError):
            os.sched_setaffinity(self.running["agent", device].process.pid, {self._cores[device]})

    def _wait(self, progress: Callable[[str, int, int], None]) -> None:
        end = time.monotonic() + READY_S
        waiting = {key for key in self.running if key[0] in ("agent", "breaker", "merging unit")}
        total = len(waiting)
        while waiting:
            for key in list(waiting):
                running = self.running[key]
                if self._is_ready(running):
                    waiting.discard(key)
                elif running.process.poll() is not None:
                    raise LabError(f"the {running.role} of {running.device} ended: {running.last_words()}")
            if self.running["plant", ""].process.poll() is not None:
                raise LabError(f"the plant ended: {self.running['plant', ''].last_words()}")
            progress("starting", total - len(waiting), total)
            if waiting and time.monotonic() > end:
                names = ", ".join(f"{role} of {device}" for role, device in sorted(waiting)[:4])
                raise LabError(f"not ready after {READY_S:.0f} s: {names}")
            time.sleep(0.05)
        self._control = PlantLink(self._wire / "plant", "demo")
        # What stands for copper and for other firmware must not wait for the agents' real-time threads.
        for (role, _), running in self.running.items():
            if role in PRIORITIES:
                _promote(running.process.pid, PRIORITIES[role])

    def _is_ready(self, running: Running) -> bool:
        if running.role != "agent":
            return "ready" in running.log.read_text(encoding="utf-8", errors="replace")
        with contextlib.suppress(OSError):
            text = (self.state_dir(running.device) / "events.jsonl").read_text(encoding="utf-8", errors="replace")
            return '"name":"ready"' in text
        return False

    def pids(self, device: str) -> dict[str, int]:
        """Process ids of a device's agent: ``station`` and ``protection``."""
        found: dict[str, int] = json.loads((self.state_dir(device) / "pids.json").read_text(encoding="utf-8"))
        return found

    def kill_agent(self, device: str, only_protection: bool = False) -> None:
        """SIGKILL, as a power supply would."""
        pids = self.pids(device)
        mine = set(descendants(os.getpid()))
        names = ("protection",) if only_protection else ("station", "protection")
        for name in names:
            if pids[name] in mine:
                os.kill(pids[name], signal.SIGKILL)

    def plant_ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """A question or order to the plant; LabError if it refuses."""
        assert self._control is not None
        try:
            answer = self._control.ask(message)
        except OSError as error:
            raise LabError(f"the plant does not answer: {error}") from error
        if answer.get("answer") == "error":
            raise LabError(f"the plant refuses: {answer.get('error')}")
        return answer

    # --- capture of Sampled Values -----------------------------------------------------------------------------------

    def open_windows(self) -> None:
        """From now on the kernel keeps the Sampled Values of every bay, as much as its buffers hold."""
        if self.lan is None:
            for ied in self.scheme.ieds.values():
                for control in ied.sv_out:
                    if control.ip:
                        group = control.ip
                        self.capture.window(
                            lambda group=group: udp_socket(group, UDP_PORT, "127.0.0.1"),  # type: ignore[misc]
                            (group, UDP_PORT),
                        )
            return
        for device in self.feeder.devices:
            if device.merging_unit is not None:
                host = self.lan.hosts[device.agent]
                self.capture.window(lambda host=host: host.run(Capture.process_bus))  # type: ignore[misc]

    def overheard(self, agent: str, most: int = 40) -> list[bytes]:
        """Orders of an agent as they went over the station bus, the oldest first."""
        from agent.goose import frame as ethernet
        from agent.goose.codec import CodecError, decode
        from scl.flisr_dataset import OPER_CONTROL

        found = []
        for packet in self.capture.seen():
            try:
                reference = decode(ethernet.parse(packet.frame).apdu).gocb_ref
            except CodecError:
                continue
            if reference.startswith(agent) and reference.endswith(OPER_CONTROL):
                found.append(packet.frame)
        return found[:most]

    # --- figures and end ---------------------------------------------------------------------------------------------

    def figures(self) -> dict[str, Any]:
        """Memory of the largest agent (both processes, proportional share) and CPU time used so far, by role."""
        memory: dict[str, float] = {}
        for device in self.feeder.devices:
            with contextlib.suppress(OSError, ValueError, KeyError):
                memory[device.name] = sum(_pss_mb(pid) for pid in self.pids(device.name).values())
        cpu: dict[str, float] = {}
        for key, running in self.running.items():
            pids = [running.process.pid]
            if key[0] == "agent":
                with contextlib.suppress(OSError, ValueError):
                    pids = list(self.pids(key[1]).values())
            for name, pid in zip(("", " (protection)"), pids, strict=False):
                with contextlib.suppress(OSError):
                    cpu[key[0] + name] = cpu.get(key[0] + name, 0.0) + _cpu_s(pid)
        return {
            "agent_memory_mb": round(max(memory.values(), default=0.0), 1),
            "cpu_s": {name: round(value, 2) for name, value in sorted(cpu.items())},
        }

    def close(self) -> None:
        """End all processes and let the network go; safe at any moment."""
        if hasattr(self, "capture"):
            self.capture.stop()
        if self._control is not None:
            self._control.close()
            self._control = None
        if hasattr(self, "processes"):
            self.processes.stop()
        if self.lan is not None:
            self.lan.close()
        if hasattr(self, "_wire"):
            shutil.rmtree(self._wire, ignore_errors=True)

    def records(self) -> Iterator[tuple[str, Path]]:
        """(device, .cfg file) of every fault record that the agents have written."""
        for device in self.feeder.devices:
            for path in sorted((self.state_dir(device.name) / "records").glob("*.cfg")):
                yield device.name, path


def cores(feeder: Feeder) -> dict[str, int]:
    """A core of this machine for each device's agent: neighbours, who work at the same time, on different ones."""
    usable = sorted(os.sched_getaffinity(0))
    near = [bits(mask) for mask in Grid.of(feeder).near]
    placed: dict[str, int] = {}
    order = list(range(len(near)))
    while order:  # along the feeder, so that the next one has as few neighbours as can be
        device = max(order, key=lambda i: sum(feeder.devices[n].name in placed for n in near[i]))
        order.remove(device)
        beside = [placed.get(feeder.devices[n].name) for n in near[device]]
        everyone = list(placed.values())
        placed[feeder.devices[device].name] = min(usable, key=lambda core: (beside.count(core), everyone.count(core)))
    return placed


def _promote(pid: int, priority: int) -> None:
    """Real-time priority for the main thread of a process; nothing happens without the right to do so."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(priority))


def _pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

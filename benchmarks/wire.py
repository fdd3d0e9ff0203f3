"""GOOSE there and back between two processes, authenticated, on a virtual cable; Sampled Values, 160 streams.

One process publishes a report with a new state, the other accepts it (form, MAC, sequence, age, values) and publishes
its own; the first accepts that. Beside it, where there is a C compiler, the same cable with a bare C echo at the far
end: what remains is the price of the machine and of the first process. And with libiec61850's subscriber and publisher
there, called from Python, without authentication (it has none); what comes back from either is not looked at. "A brain
decides": the far end is an agent's own, and its answer the brain's decision. All are asked in turn. Without the right
to a network namespace it runs over loopback multicast (R-GOOSE), alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks import samples
from benchmarks.ends import BRAIN, ECHO, OURS, PEER, UNREAD
from benchmarks.row import Row
from simulator import lan

IDLE, LOADED, STATIONS = "idle", "two CPU hogs", "two station processes: event log and MMS"
FOREIGN = "others' 10,000 GOOSE and 100,000 SV frames/s"
ECHO_NAME = "bare C echo"
PEER_NAME = "libiec61850, no authentication"
NEW = (OURS, BRAIN)
"""Far ends that are judged against a goal."""
ROOT = Path(__file__).parents[1]
LONGEST_US = 500.0
ECHO_FACTOR, LOAD_FACTOR, FOREIGN_FACTOR = 1.3, 1.5, 1.1
Figures = dict[str, dict[str, float]]


def run(quick: bool) -> list[Row]:
    """Round trips: idle, with processes that burn the processor, log and serve, with others' frames on the cable."""
    count = 1_000 if quick else 20_000
    routed = bool(lan.permitted())
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = _Bench(count, routed, Path(folder))
        rows = list(bench.rows())
    return [*rows, *samples.rows(quick)]


class _Bench:
    """All loads, all far ends that there are here."""

    def __init__(self, count: int, routed: bool, folder: Path) -> None:
        self._count, self._routed, self._folder = count, routed, folder
        self._echo = "" if routed else _build("echo", folder)
        self._flood = "" if routed else _build("flood", folder)
        self._kinds = list(NEW)
        if self._echo:
            self._kinds.append(ECHO)
        if not routed and importlib.util.find_spec("pyiec61850") is not None:
            self._kinds.append(PEER)
        self._wire = "r-goose round trip hmac" if routed else "goose round trip hmac"

    def rows(self) -> Iterator[Row]:
        """What was measured, by load."""
        idle = self._measure(IDLE, self._kinds)
        echo = idle[ECHO]["p50"] * ECHO_FACTOR if ECHO in idle else None
        yield from self._of(IDLE, idle, dict.fromkeys(NEW, echo))
        loaded = {kind: idle[kind]["p50"] * LOAD_FACTOR for kind in NEW}
        yield from self._of(LOADED, self._measure(LOADED, self._kinds), loaded)
        if PEER in self._kinds:  # its library is the MMS server's, too
            yield from self._of(STATIONS, self._measure(STATIONS, list(NEW)), loaded)
        if self._flood:
            flooded = {kind: idle[kind]["p50"] * FOREIGN_FACTOR for kind in NEW}
            yield from self._of(FOREIGN, self._measure(FOREIGN, [*NEW, ECHO]), flooded)

    def _of(self, load: str, measured: Figures, goals: Mapping[str, float | None]) -> Iterator[Row]:
        case = f"{self._wire} {load}"
        echo = measured.get(ECHO)
        for kind, told in zip(NEW, (case, f"{case}, a brain decides"), strict=True):
            for metric in ("p50", "p99", "p99.9"):
                peer, name = (None, None) if echo is None else (echo[metric], ECHO_NAME)
                wanted = goals[kind] if metric == "p50" else LONGEST_US
                yield Row(told, metric, "µs", measured[kind][metric], wanted, peer=peer, peer_name=name)
            yield Row(told, "lost", "events", measured[kind]["lost"], 0.0)
        if PEER in measured:
            for metric in ("p50", "p99.9"):
                wanted = measured[PEER][metric]
                ours = measured[UNREAD][metric]
                yield Row(f"{case}, against another", metric, "µs", ours, wanted, peer=wanted, peer_name=PEER_NAME)

    def _measure(self, load: str, kinds: list[str]) -> Figures:
        """In a process of its own: entering a namespace has no way back."""
        request = {
            "kinds": kinds, "count": self._count, "routed": self._routed, "echo": self._echo,
            "flood": self._flood if load == FOREIGN else "", "folder": str(self._folder),
        }  # fmt: skip
        with self._load(load):
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.ends", json.dumps(request)],
                stdout=subprocess.PIPE,
                check=True,
                text=True,
                timeout=60 + self._count * len(kinds) * 0.02,
                cwd=ROOT,
            )
        figures: Figures = json.loads(done.stdout)
        return figures

    @contextlib.contextmanager
    def _load(self, load: str) -> Iterator[None]:
        """Two processes beside the measurement, where the load is one of processes."""
        program = {
            LOADED: ["-c", "while True: pass"],
            STATIONS: ["-m", "benchmarks.siblings", str(self._folder)],
        }.get(load, [])
        beside: list[subprocess.Popen[bytes]] = []
        try:
            beside.extend(subprocess.Popen([sys.executable, *program], cwd=ROOT) for _ in range(2 if program else 0))
            yield
        finally:
            for process in beside:
                process.terminate()
                process.wait()


def _build(name: str, folder: Path) -> str:
    """The program; empty where there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return ""
    program = str(folder / name)
    subprocess.run([compiler, "-O2", "-o", program, str(Path(__file__).with_name(f"{name}.c"))], check=True)
    return program

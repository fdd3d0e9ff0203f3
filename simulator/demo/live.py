"""The live view: progress, the one-line diagram in colour, the newest events. Silent without a terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scl.draw import draw_text
from scl.topology import Feeder
from simulator.demo.follow import Line
from simulator.demo.report import TOLD
from simulator.demo.verdict import Verdict

EVENTS = 14
REFRESH_S = 0.1
COLOURS = {
    "fault": "bold red", "pickup": "yellow", "claim": "bold yellow", "trip": "bold magenta", "lockout": "red",
    "close": "bold cyan", "closed": "bold green", "onto_fault": "bold red", "breaker_failure": "bold red",
}  # fmt: skip
PHASES = {
    "starting": "Starting every IED as a process of its own",
    "calm": "Listening to the calm feeder",
    "playing": "Playing the scenario",
    "over": "Nothing moves any more",
}


class View:
    """Told of phases and lines while a run goes on; a context manager."""

    def __init__(self, feeder: Feeder, title: str, console: Console, enabled: bool) -> None:
        self._feeder = feeder
        self._title = title
        self._positions = {d.name: "open" if d.normally_open else "closed" for d in feeder.devices}
        self._zones: dict[str, str] = {}
        self._was_dark: set[str] = set()
        self._events: list[Line] = []
        self._phase = ("starting", 0, 1)
        self._zero_us = 0
        self._shown = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True) if enabled else None

    def __enter__(self) -> View:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def phase(self, text: str, done: int, of: int) -> None:
        """What is going on."""
        self._phase = (text, done, of)
        self._show(force=text != "starting")

    def lines(self, new: list[Line]) -> None:
        """What was reported."""
        for line in new:
            self._take(line)
        self._show()

    def _take(self, line: Line) -> None:
        details = line.details
        if line.source == "plant":
            match line.name:
                case "contact":
                    self._positions[details["device"]] = details["position"]
                case "zone":
                    self._zone(details)
                case "fault" | "source" if not self._zero_us:
                    self._zero_us = line.t_us
        if line.name in TOLD and (line.source != "plant" or line.name in ("fault", "source", "fuse", "der")):
            self._events = [*self._events[-(EVENTS - 1) :], line]

    def _zone(self, details: dict[str, object]) -> None:
        name = str(details["zone"])
        if details["faulted"]:
            state = "faulted"
        elif not details["sources"]:
            state = "dead"
            self._was_dark.add(name)
        else:
            state = "restored" if name in self._was_dark else "live"
        self._zones[name] = state

    def _show(self, force: bool = False) -> None:
        now = time.monotonic()
        if self._live is None or (not force and now - self._shown < REFRESH_S):
            return
        self._shown = now
        self._live.update(self.picture(), refresh=True)

    def picture(self) -> Group:
        """The whole view."""
        text, done, of = self._phase
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(PHASES.get(text, text), style="bold"), ProgressBar(total=max(of, 1), completed=done, width=30)
        )
        events = Table.grid(padding=(0, 2))
        for line in self._events:
            ms = f"{(line.t_us - self._zero_us) / 1000:9.1f} ms" if self._zero_us else ""
            style = COLOURS.get(line.name, "")
            told = ", ".join(f"{k} {v}" for k, v in line.details.items() if not k.endswith("_us") and k != "device")
            events.add_row(ms, Text(line.device or line.source, style="bold"), Text(line.name, style=style), told[:70])
        return Group(
            head,
            Panel(draw_text(self._feeder, self._positions, self._zones), title=self._title, expand=False),
            events,
        )


def verdict_table(verdict: Verdict) -> Group:
    """What is printed at the end."""
    word = Text(
        " PASS " if verdict.passed else " FAIL ", style="bold white on " + ("green" if verdict.passed else "red")
    )
    head = Text.assemble(word, "  ", (verdict.scenario, "bold"), f"  ({verdict.transport}, seed {verdict.seed})")
    moments = Table(show_header=False, box=None, padding=(0, 2))
    labels = (
        ("pickup", "fault seen"), ("trip_goose", "trip sent"), ("isolated", "isolated"), ("lockout", "locked out"),
        ("restored", "restored"),
    )  # fmt: skip
    power = (
        ("lost", f"{verdict.kw.get('lost', 0):.0f} kW, {verdict.customers.get('lost', 0)} customers"),
        ("restored", f"{verdict.kw.get('restored', 0):.0f} kW, {verdict.customers.get('restored', 0)} customers"),
        ("dark", f"{verdict.kw.get('dark', 0):.0f} kW, {verdict.customers.get('dark', 0)} customers"),
    )
    for row, (key, label) in enumerate(labels):
        value = verdict.ms.get(key)
        extra = power[row] if row < len(power) else ("", "")
        moments.add_row(label, "–" if value is None else f"{value:9.1f} ms", extra[0], extra[1])
    went = _where_it_went(verdict)
    checks = Table(show_header=False, box=None, padding=(0, 2))
    for held in [*verdict.invariants, *verdict.checks]:
        mark = Text("held" if held.held else "BROKEN", style="green" if held.held else "bold red")
        checks.add_row(held.name, mark, Text(held.why, overflow="fold"))
    parts: list[Text | Table] = [head, moments, *([Text(went)] if went else []), checks]
    if verdict.problem:
        parts.append(Text(verdict.problem, style="red"))
    parts.append(Text(f"run folder: {verdict.run_dir}"))
    return Group(*parts)


def _where_it_went(verdict: Verdict) -> str:
    """One line: the parts of the last breaker's trip, and for which fault."""
    if not verdict.split:
        return ""
    last = verdict.split[-1]
    parts = (("filter", "filter_ms"), ("answers", "wait_ms"), ("decision and wire", "decision_and_wire_ms"))
    told = ", ".join(f"{name} {last[key]:.1f} ms" for name, key in parts)
    times = "" if verdict.multiple is None else f"; {verdict.multiple:.1f} x pick-up"
    return f"  trip of {last['device']}: {told}{times}"

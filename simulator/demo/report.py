"""The report of a run: one page that needs nothing else. Verdict, diagram before and after, waveforms, timeline."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from scl.draw import draw_svg
from scl.topology import Feeder
from simulator.demo.comtrade import Record
from simulator.demo.course import Course
from simulator.demo.follow import Line
from simulator.demo.verdict import Verdict

BEFORE_US, AFTER_US = 60_000, 240_000
"""What the waveforms show, from the first happening."""
RECORDS_MAX = 4
WIDTH, PANEL, LEFT = 920, 120, 62
PHASE_COLOURS = ("#cf222e", "#9a6700", "#0969da")
STATES = {"fed": "live", "dark": "shed"}
TOLD = frozenset(
    {
        "fault", "source", "fuse", "der", "position", "pickup", "claim", "trip", "trip_sent", "opened", "lockout",
        "latched", "request", "close", "closed", "dark", "onto_fault", "breaker_failure", "backup_trip", "blind",
        "released", "claim_withdrawn", "request_given_up", "cleared_by_fuse", "kill", "kill_protection", "restart",
        "cut", "heal", "order", "mms", "forge", "mms_answered", "forge_answered", "violation", "over_rating",
        "opens_for_plan", "opens_for_return",
    }
)  # fmt: skip
STYLE = """
:root{color-scheme:light dark;--fg:#1f2328;--bg:#fff;--line:#d0d7de;--soft:#f6f8fa;--ok:#1a7f37;--bad:#cf222e}
@media(prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--line:#30363d;--soft:#161b22;--ok:#3fb950;--bad:#f85149}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:980px;
margin:2em auto;padding:0 1em}
h1{font-size:1.5em;margin:0}h2{font-size:1.15em;margin:2em 0 .4em;border-bottom:1px solid var(--line)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2em .6em;border-bottom:1px solid var(--line);
vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.ok{color:var(--ok)}.bad{color:var(--bad)}.card{background:#fff;border:1px solid var(--line);border-radius:6px;
padding:8px;overflow-x:auto}.small{font-size:.85em;opacity:.8}.verdict{font-size:1.3em;font-weight:700}
details{margin:.5em 0}summary{cursor:pointer}svg text{font-family:system-ui,sans-serif}
""".replace("\n", "")


def _moment(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"


def _held(held: bool) -> str:
    return '<td class="ok">✓ held</td>' if held else '<td class="bad">✗ broken</td>'


def _polyline(times: Sequence[float], values: Sequence[float], top: float, peak: float, colour: str) -> str:
    """Times 0..1 across, values ±peak over a panel."""
    middle, half = top + PANEL / 2, PANEL / 2 - 6
    points = " ".join(
        f"{LEFT + t * (WIDTH - LEFT):.1f},{middle - half * v / peak:.1f}" for t, v in zip(times, values, strict=True)
    )
    return f'<polyline fill="none" stroke="{colour}" stroke-width="1" points="{points}"/>'


def waveform(record: Record, zero_us: int) -> str:
    """Currents and voltages of a record around ``zero_us``, and the digital channels below, as SVG."""
    first, last = zero_us - BEFORE_US, zero_us + AFTER_US
    chosen = [i for i, t in enumerate(record.times_us) if first <= t <= last]
    if len(chosen) < 2:
        return ""
    span = last - first
    times = [(record.times_us[i] - first) / span for i in chosen]
    parts = []
    for panel, (unit, scale, name) in enumerate((("A", 1e3, "kA"), ("V", 1e3, "kV"))):
        channels = [k for k, u in enumerate(record.units) if u == unit][:3]
        columns = [[record.values[k][i] / scale for i in chosen] for k in channels]
        peak = max((abs(v) for column in columns for v in column), default=1.0) or 1.0
        top = panel * (PANEL + 14)
        middle = top + PANEL / 2
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{middle}" y2="{middle}" stroke="#d0d7de"/>')
        parts.append(f'<text x="4" y="{top + 14}" font-size="11" fill="#57606a">±{peak:.3g} {name}</text>')
        parts += [
            _polyline(times, column, top, peak, PHASE_COLOURS[k % 3]) for k, column in enumerate(columns)
        ]  # fmt: skip
        for k, channel in enumerate(channels):
            parts.append(
                f'<text x="4" y="{top + 34 + 14 * k}" font-size="11" fill="{PHASE_COLOURS[k]}">'
                f"{escape(record.names[channel])}</text>"
            )
    top = 2 * (PANEL + 14) + 6
    for k, name in enumerate(record.digital_names):
        parts.append(f'<text x="4" y="{top + 14 * k + 9}" font-size="10" fill="#57606a">{escape(name)}</text>')
        begin: float | None = None
        for t, i in zip([*times, 1.0], [*chosen, None], strict=True):
            on = i is not None and bool(record.digitals[i] >> k & 1)
            if on and begin is None:
                begin = t
            elif not on and begin is not None:
                x = LEFT + begin * (WIDTH - LEFT)
                width = max(1.0, (t - begin) * (WIDTH - LEFT))
                parts.append(f'<rect x="{x:.1f}" y="{top + 14 * k}" width="{width:.1f}" height="9" fill="#8250df"/>')
                begin = None
    bottom = top + 14 * len(record.digital_names)
    for ms in range(-BEFORE_US // 1000, AFTER_US // 1000 + 1, 20):
        x = LEFT + (ms * 1000 + BEFORE_US) / span * (WIDTH - LEFT)
        colour = "#57606a" if ms else "#cf222e"
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{bottom}" stroke="{colour}" stroke-opacity=".18"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 12}" font-size="10" text-anchor="middle" fill="{colour}">{ms}</text>'
        )
    return (
        f'<svg viewBox="0 0 {WIDTH + 8} {bottom + 18}" width="100%" role="img" '
        f'aria-label="waveforms of {escape(record.device)}">{"".join(parts)}</svg>'
    )


def _diagrams(feeder: Feeder, course: Course, verdict: Verdict) -> str:
    after = {d.name: "open" if d.name in course.open_now else "closed" for d in feeder.devices}
    states = {entry["name"]: STATES.get(entry["state"], entry["state"]) for entry in verdict.zones}
    return (
        f"<h2>Before</h2><div class=card>{draw_svg(feeder)}</div>"
        f"<h2>After</h2><div class=card>{draw_svg(feeder, after, states)}</div>"
    )


def _told(line: Line) -> str:
    pairs = ((k, v) for k, v in line.details.items() if k not in ("device", "ied") and not k.endswith("_us"))
    return ", ".join(f"{k} {v}" for k, v in pairs)[:160]


def _timeline(course: Course) -> str:
    rows = []
    for line in course.lines:
        if line.name not in TOLD or line.t_us < course.inception_us - BEFORE_US:
            continue
        if line.source == "plant" and line.name == "order" and not line.details.get("moves"):
            continue
        rows.append(
            f"<tr><td class=n>{course.ms(line.t_us):.2f}</td><td>{line.source}</td><td>{escape(line.device)}</td>"
            f"<td>{line.name}</td><td>{escape(_told(line))}</td></tr>"
        )
    head = "<tr><th>ms</th><th>from</th><th>device</th><th>what</th><th></th></tr>"
    return f"<h2>Timeline</h2><table>{head}{''.join(rows)}</table>"


SPLIT = (
    ("filter_ms", "filter"), ("merging_unit_ms", "of it merging unit"), ("wait_ms", "answers"),
    ("spread_ms", "of it spread"), ("answer_ms", "neighbour"), ("transfer_ms", "transfer"),
    ("decision_and_wire_ms", "decision and wire"), ("claim_transfer_ms", "of it the claim's way"),
)  # fmt: skip
"""Columns of the table of trips."""


def _split(verdict: Verdict) -> str:
    """Each breaker's trip, what that says of the wait for answers, the switches, the restoration."""
    heads = "".join(f"<th>{text}</th>" for _, text in SPLIT)
    trips = "".join(
        f"<tr><td>{escape(row['device'])}</td><td>{escape(row['found_by'])}</td>"
        f"<td class=n>{_moment(row['trip_ms'])}</td>"
        + "".join(f"<td class=n>{_moment(row[key])}</td>" for key, _ in SPLIT)
        + "</tr>"
        for row in verdict.split
    )
    table = f"<table><tr><th>trip of</th><th>found by</th><th>on the wire</th>{heads}</tr>{trips}</table>"
    rows: list[tuple[str, float | None]] = [
        (f"{entry['device']}: confirmed zero current to order", entry["zero_to_order_ms"]) for entry in verdict.switches
    ]
    device = verdict.restoration.get("device")
    rows += [
        (f"restored by {device}: {key.removesuffix('_ms').replace('_', ' ')}", value)
        for key, value in verdict.restoration.items()
        if key.endswith("_ms")
    ]
    cells = "".join(f"<tr><td>{escape(name)}</td><td class=n>{_moment(value)}</td></tr>" for name, value in rows)
    return f"{table if trips else ''}{_told_of_wait(verdict)}<table>{cells}</table>"


def _told_of_wait(verdict: Verdict) -> str:
    """Two sentences: for which fault these figures are, and which wait for answers they ask for."""
    told = []
    if verdict.multiple is not None:
        told.append(f"Fault current: {verdict.multiple:.1f} × the phase pick-up of the device that found the fault.")
    wait = verdict.answer_wait
    if wait:
        told.append(
            f"Longest wait for an answer that these figures ask for: spread {wait['spread_ms']:.1f}, two transfers of "
            f"{wait['transfer_ms']:.1f} (the longest measured), one retransmission {wait['retransmission_ms']:.1f}: "
            f"{wait['derived_ms']:.1f} ms; set {wait['set_ms']:.1f} ms."
        )
    return f'<p class="small">{" ".join(told)}</p>' if told else ""


def page(verdict: Verdict, course: Course, records: Sequence[Record]) -> str:
    """The whole page."""
    labels = {
        "pickup": "fault seen", "trip_goose": "last breaker's trip on the wire", "isolated": "isolated",
        "lockout": "locked out", "restored": "restored",
    }  # fmt: skip
    moments = "".join(f"<tr><td>{labels[k]}</td><td class=n>{_moment(v)}</td></tr>" for k, v in verdict.ms.items())
    split = _split(verdict)
    power = "".join(
        f"<tr><td>{k}</td><td class=n>{verdict.kw[k]:.0f} kW</td><td class=n>{verdict.customers.get(k, 0)}</td></tr>"
        for k in ("lost", "restored", "dark")
        if k in verdict.kw
    )
    checks = "".join(
        f"<tr><td>{escape(h.name)}</td>{_held(h.held)}<td>{escape(h.why)}</td></tr>"
        for h in [*verdict.invariants, *verdict.checks]
    )
    zones = ", ".join(f"{escape(z['name'])} {z['state']}" for z in verdict.zones)
    waves = []
    for record in records[:RECORDS_MAX]:
        drawn = waveform(record, course.inception_us)
        if drawn:
            waves.append(f"<h3>{escape(record.device)}</h3><div class=card>{drawn}</div>")
    mark = "ok" if verdict.passed else "bad"
    word = "PASS" if verdict.passed else "FAIL"
    problem = f'<p class="bad">{escape(verdict.problem)}</p>' if verdict.problem else ""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{escape(verdict.scenario)} – flisr demo</title>
<style>{STYLE}</style></head><body>
<h1>{escape(verdict.scenario)}</h1><p>{escape(verdict.description)}</p>
<p class="verdict {mark}">{word}</p>{problem}
<p class="small">Transport {verdict.transport}, seed {verdict.seed}. Times are from the first happening.</p>
<table>{moments}</table>
<details><summary>Where the milliseconds went</summary>{split}</details>
<h2>Power and customers</h2><table>{power}</table><p class="small">{zones}</p>
<h2>Invariants and end state</h2><table>{checks}</table>
{_diagrams(course.feeder, course, verdict)}
<h2>Waveforms</h2><p class="small">From the agents' fault records; milliseconds from the first happening.</p>
{"".join(waves) or "<p>No fault record: no agent picked up.</p>"}
{_timeline(course)}
<p class="small">Beside this page: events.jsonl, frames.pcap, records/ (COMTRADE), verdict.json, feeder.scd.</p>
</body></html>
"""


def write(path: Path, verdict: Verdict, course: Course, records: Sequence[Record]) -> None:
    """Write the page."""
    path.write_text(page(verdict, course, records), encoding="utf-8")

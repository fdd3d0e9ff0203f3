"""Streams, phasors and waveforms as tables and pictures; counts become A and V by the 9-2LE scale unless told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.sv.watch import Stream, phasors
from scl.names import Names

CHANNELS = ("IA", "IB", "IC", "IN", "UA", "UB", "UC", "UN")
SCALES = (0.001, 0.001, 0.001, 0.001, 0.01, 0.01, 0.01, 0.01)
BLOCKS = " ▁▂▃▄▅▆▇█"
SYNCH = {0: "none", 1: "local", 2: "global"}
SHOWN_CYCLES = 4


def plain(stream: Stream, names: Names, scales: Sequence[float]) -> dict[str, Any]:
    """What a stream came to, for JSON."""
    control = names.samples.get(stream.sv_id)
    mean, deviation, longest = stream.jitter_us
    found = phasors(stream, tuple(scales))
    return {
        "sv_id": stream.sv_id, "appid": stream.appid, "ied": control.ied if control else None, "routed": stream.routed,
        "frames": stream.frames, "samples": stream.samples, "lost": stream.lost, "asdus": stream.asdus,
        "rate_per_s": stream.rate, "conf_rev": stream.last.conf_rev,
        "conf_rev_expected": control.conf_rev if control else None,
        "smp_synch": {SYNCH.get(value, str(value)): n for value, n in stream.synch.items()},
        "pause_us": {"mean": mean, "deviation": deviation, "longest": longest},
        "counters": {word: n for word, n in stream.counters.items() if n}, "quality": dict(stream.quality),
        "phasors": [
            {"channel": name, "rms": p.rms, "angle_deg": p.degrees, "peak": p.peak, "dc": p.dc, "thd": p.thd}
            for name, p in zip(channel_names(len(found)), found, strict=True)
        ],
    }  # fmt: skip


def channel_names(count: int) -> tuple[str, ...]:
    """IA to UN where there are eight, else numbers."""
    return CHANNELS if count == len(CHANNELS) else tuple(str(number) for number in range(1, count + 1))


def streams_table(streams: Sequence[Stream], names: Names) -> Any:
    """All streams: who, how fast, how evenly, what was wrong."""
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for title in ("svID", "IED", "APPID", "samples/s", "ASDUs", "frames", "lost", "synch", "pause µs", "remarks"):
        table.add_column(title, justify="left" if title in ("svID", "IED", "synch", "remarks") else "right")
    for stream in streams:
        row = plain(stream, names, SCALES)
        pause = row["pause_us"]
        remarks = [f"{n} {word}" for word, n in row["counters"].items() if word not in ("roll-over", "gap")]
        remarks += [f"{n} {word}" for word, n in row["quality"].items()]
        if row["conf_rev_expected"] not in (None, row["conf_rev"]):
            remarks.append(f"confRev {row['conf_rev']}, SCL says {row['conf_rev_expected']}")
        table.add_row(
            stream.sv_id, row["ied"] or "", f"{stream.appid:04X}", f"{stream.rate:.0f}", str(stream.asdus),
            str(stream.frames), str(stream.lost), ", ".join(row["smp_synch"]),
            f"{pause['mean']:.0f} ± {pause['deviation']:.0f}, max {pause['longest']:.0f}", ", ".join(remarks),
        )  # fmt: skip
    return table


def scope_table(stream: Stream, scales: Sequence[float]) -> Any:
    """One stream: phasors of the last cycle and the waveform as blocks."""
    from rich.table import Table

    title = f"{stream.sv_id}   {stream.rate:.0f} samples/s   lost {stream.lost}"
    table = Table(title=title, box=None, header_style="bold", title_justify="left")
    for column in ("channel", "r.m.s.", "angle °", "peak", "mean", "not sine %", f"last {SHOWN_CYCLES} cycles"):
        table.add_column(column, justify="left" if column.startswith(("channel", "last")) else "right")
    found = phasors(stream, tuple(scales))
    for number, (name, phasor) in enumerate(zip(channel_names(len(found)), found, strict=True)):
        table.add_row(
            name, f"{phasor.rms:.2f}", f"{phasor.degrees:.1f}", f"{phasor.peak:.2f}", f"{phasor.dc:.2f}",
            f"{100 * phasor.thd:.1f}", blocks(_recent(stream, number), 60),
        )  # fmt: skip
    return table


def _recent(stream: Stream, channel: int) -> list[int]:
    cycle = round(stream.rate / stream.frequency) if stream.rate else 0
    rows = list(stream.wave)[-SHOWN_CYCLES * cycle :] if cycle else []
    return [values[channel] for _, values in rows if channel < len(values)]


def blocks(values: Sequence[float], width: int) -> str:
    """A waveform as one line of block characters."""
    if not values:
        return ""
    step = max(1, len(values) // width)
    chosen = values[::step][:width]
    top = max(abs(value) for value in values) or 1
    return "".join(BLOCKS[round((value / top + 1) / 2 * (len(BLOCKS) - 1))] for value in chosen)


def draw(stream: Stream, scales: Sequence[float], path: Path) -> None:
    """Currents and voltages of what is kept, as PNG or SVG (by the file's name)."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = list(stream.wave)
    count = min((len(values) for _, values in rows), default=0)
    times = [1000 * k / (stream.rate or 1.0) for k in range(len(rows))]
    figure, axes = plt.subplots(2, 1, sharex=True, figsize=(10, 6), layout="constrained")
    names = channel_names(count)
    for channel in range(count):
        scale = scales[channel] if channel < len(scales) else 1.0
        axes[int(channel >= 4)].plot(times, [values[channel] * scale for _, values in rows], label=names[channel], lw=1)
    for axis, label in zip(axes, ("A", "V"), strict=True):
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(loc="upper right", ncols=4)
    axes[1].set_xlabel("ms")
    axes[0].set_title(f"{stream.sv_id}, {stream.rate:.0f} samples/s")
    figure.savefig(path, dpi=120)
    plt.close(figure)

"""Random drawings: radial feeders with ties, laterals inside zones, every kind of equipment."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import strategies as st

LINE_TYPES = {
    "oh": {"r1_ohm_per_km": 0.2, "x1_ohm_per_km": 0.35, "rating_a": 300},
    "cab": {"r1_ohm_per_km": 0.08, "x1_ohm_per_km": 0.1, "r0_ohm_per_km": 0.4, "c1_uf_per_km": 0.4},
}


@st.composite
def drawings(draw: st.DrawFn, zones_max: int = 9) -> dict[str, Any]:
    """The content of a drawing that is right."""
    stations = draw(st.integers(1, 3))
    zones: dict[str, Any] = {}
    devices: dict[str, Any] = {}
    last: dict[str, int] = {}

    def device(a: str, b: str, **more: Any) -> None:
        entry: dict[str, Any] = {
            "kind": draw(st.sampled_from(["breaker", "load_break_switch"])),
            "a": f"{a}.{draw(st.integers(0, last[a]))}",
            "b": f"{b}.{draw(st.integers(0, last[b]))}",
            "phase_pickup_a": draw(st.floats(10, 2000, allow_nan=False)),
            **more,
        }
        if draw(st.booleans()):
            entry["merging_unit"] = "none"
        if draw(st.booleans()):
            entry |= {"phase_pickup_range_a": [5, 3000], "setting_groups": [{"phase_pickup_a": 77.5}, {}]}
            entry["feed_groups"] = [1, draw(st.integers(1, 3))]
        if draw(st.booleans()):
            entry["reclose_dead_times_ms"] = [300, 5000]
        devices[f"D{len(devices)}"] = entry

    for s in range(stations):
        source = {"rated_kva": 15000, "short_circuit_mva": draw(st.floats(20, 500)), "x_to_r": 8}
        if draw(st.booleans()):
            zones[f"SRC{s}"] = {"substation": f"S{s}", "sources": {f"T{s}": source}}
            zones[f"BB{s}"] = {"substation": f"S{s}", "busbar": True}
            last[f"SRC{s}"] = last[f"BB{s}"] = 0
            device(f"SRC{s}", f"BB{s}")
        else:
            zones[f"BB{s}"] = {"substation": f"S{s}", "busbar": True, "sources": {f"T{s}": source}}
            last[f"BB{s}"] = 0
    for z in range(draw(st.integers(stations, zones_max))):
        name = f"Z{z}"
        count = draw(st.integers(1, 4))
        sections = []
        for k in range(count):
            section: dict[str, Any] = {
                "type": draw(st.sampled_from(sorted(LINE_TYPES))),
                "km": draw(st.floats(0.05, 9)),
            }
            if k and draw(st.booleans()):
                section |= {"from": draw(st.integers(0, k)), "to": k + 1}
            sections.append(section)
        zone: dict[str, Any] = {"sections": sections}
        zones[name] = zone
        last[name] = count
        if draw(st.booleans()):
            load = {"at": draw(st.integers(0, count)), "p_kw": draw(st.floats(0, 900)), "pf": 0.95, "priority": 2}
            zone["loads"] = {f"L{z}": {**load, "customers": 7, "fused": draw(st.booleans())}}
        if draw(st.booleans()):
            kind = draw(st.sampled_from(["machine", "inverter"]))
            zone["ders"] = {f"G{z}": {"at": draw(st.integers(0, count)), "kind": kind, "rated_kva": 400, "p_kw": 90.5}}
        parents = [f"BB{z}"] if z < stations else [other for other in zones if other != name and other[0] != "S"]
        device(draw(st.sampled_from(parents)), name)
    names = [name for name in zones if name.startswith("Z")]
    for _ in range(draw(st.integers(0, 3))):
        a, b = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        if a != b:
            device(a, b, normally_open=True)
    neutral = draw(st.sampled_from(["solid", "isolated", "compensated", "resistance"]))
    return {
        "name": "random",
        "nominal_kv": draw(st.sampled_from([10, 20.5, 33])),
        "frequency_hz": draw(st.sampled_from([50, 60])),
        "neutral": neutral,
        "neutral_resistance_ohm": 12.5 if neutral == "resistance" else 0,
        "line_types": LINE_TYPES,
        "zones": zones,
        "devices": devices,
    }


def text_of(drawing: dict[str, Any]) -> str:
    """The drawing as YAML."""
    return yaml.safe_dump(drawing, sort_keys=False)

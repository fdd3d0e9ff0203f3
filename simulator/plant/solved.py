"""The phasor network's answer as plain numbers, for people and programs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from scl.topology import Feeder
from simulator.plant.events import StrikeFault
from simulator.plant.fault import Fault
from simulator.plant.plant import Plant, PlantOptions


def solved(feeder: Feeder, faults: list[Fault], opened: set[str], closed: set[str]) -> dict[str, Any]:
    """Device and fault currents (A, V r.m.s.) with these devices not in normal position. ValueError if unknown."""
    unknown = (opened | closed) - feeder.device_index.keys()
    if unknown:
        raise ValueError(f"no device is called {', '.join(sorted(unknown))}")
    devices = tuple(
        replace(d, normally_open=d.name in opened or (d.normally_open and d.name not in closed))
        for d in feeder.devices
    )  # fmt: skip
    plant = Plant(replace(feeder, devices=devices), 0, PlantOptions(scatter_us=0))
    plant.advance(0)
    for fault in faults:
        plant.step(StrikeFault(fault), 1)
    rows = []
    for device in devices:
        reading = plant.measure(device.name)
        rows.append(
            {
                "name": device.name,
                "closed": not device.normally_open,
                "i_a": [round(float(x), 3) for x in np.abs(reading.current_a)],
                "i_deg": [round(float(x), 2) for x in np.degrees(np.angle(reading.current_a))],
                "residual_a": round(float(abs(reading.current_a.sum())), 3),
                "v_v": [round(float(x), 2) for x in np.abs(reading.voltage_a)],
                "v_deg": [round(float(x), 2) for x in np.degrees(np.angle(reading.voltage_a))],
                "p_kw": round(reading.p_kw, 3),
                "q_kvar": round(reading.q_kvar, 3),
            }
        )
    struck = zip(plant.faults.values(), plant.solution.fault_a, strict=True)
    return {
        "devices": rows,
        "faults": [
            {"name": f.name, "at": f.at, "kind": f.kind, "i_a": [round(float(x), 3) for x in np.abs(amps)]}
            for f, amps in struck
        ],
    }

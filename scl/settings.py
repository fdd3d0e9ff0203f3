"""The settings of an agent's overcurrent elements as its SCD gives them: setting groups, and what a client may set.

PTOC1 is the phase element, PTOC2 the earth element. The value is ``StrVal.setMag.f``, by setting group where it
says so; ``StrVal.minVal.f`` and ``StrVal.maxVal.f`` are what it may be set to. The control block is LLN0's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from scl.model import Equipment, LogicalNode, Model
from scl.primary_graph import links, logical_node
from scl.problem import Problem, Severity
from scl.topology import Device, Pickups, Range

VALUE, LEAST, GREATEST = "StrVal.setMag.f", "StrVal.minVal.f", "StrVal.maxVal.f"
PHASE, EARTH = "1", "2"
"""Instances of PTOC."""
GROUPS_MAX = 16
E = Severity.ERROR


def with_settings(model: Model, part: Equipment, device: Device) -> Device:
    """The device with what its agent's PTOC1 and PTOC2 are set to; defaults where the file says nothing."""
    phase, earth = _linked(model, part, PHASE), _linked(model, part, EARTH)
    number, active = _groups(model, part)
    groups = [
        Pickups(_value(phase, group, device.phase_pickup_a), _value(earth, group, device.earth_pickup_a))
        for group in range(1, number + 1)
    ]
    return replace(
        device,
        phase_pickup_a=groups[0].phase_a,
        earth_pickup_a=groups[0].earth_a,
        more_groups=tuple(groups[1:]),
        active_group=active,
        phase_pickup_range_a=_range(phase),
        earth_pickup_range_a=_range(earth),
    )


def check_settings(model: Model) -> Iterator[Problem]:
    """Setting groups that are not there, and values outside what may be set."""
    for ied in model.ieds.values():
        for ld in ied.devices.values():
            line, number, active = next(
                (ln.setting_groups for ln in ld.nodes.values() if ln.setting_groups[1]), (0, 1, 1)
            )
            where = f"IED {ied.name}, {ld.inst}"
            if not 1 <= number <= GROUPS_MAX:
                yield Problem(
                    line, E, "setting-group", f"{where}: {number} setting groups; 1 to {GROUPS_MAX} are possible"
                )
            elif not 1 <= active <= number:
                yield Problem(
                    line, E, "setting-group", f"{where}: setting group {active} is active, there are {number}"
                )
            for node in ld.nodes.values():
                yield from _node(node, f"{where}/{''.join(node.key)}", number)


def _node(node: LogicalNode, where: str, number: int) -> Iterator[Problem]:
    for path, values in node.grouped.items():
        for group, (line, _) in values.items():
            if not 1 <= group <= number:
                text = f"{where}: {path} has a value for setting group {group}, there are {number}"
                yield Problem(line, E, "setting-group", text)
        missing = [str(group) for group in range(1, number + 1) if group not in values]
        if missing and number <= GROUPS_MAX:
            line = min(line for line, _ in values.values())
            yield Problem(
                line, E, "setting-group", f"{where}: {path} has no value for setting group {', '.join(missing)}"
            )
    if node.key[1] != "PTOC":
        return
    stated = [path for path in (LEAST, GREATEST) if path in node.values]
    limits = _range(node)
    if stated and limits is None:
        line = node.values[stated[0]][0]
        yield Problem(line, E, "setting-range", f"{where}: {LEAST} and {GREATEST} are no range of positive numbers")
    if limits is None:
        return
    for line, text in [*node.grouped.get(VALUE, {}).values()] or [node.values[VALUE]] if VALUE in node.values else []:
        value = _positive(text)
        if value is None or not limits[0] <= value <= limits[1]:
            yield Problem(
                line, E, "setting-range", f"{where}: {VALUE} is {text}, outside {limits[0]:g} to {limits[1]:g}"
            )


def _linked(model: Model, part: Equipment, inst: str) -> list[LogicalNode]:
    return [
        node for link in links(part, "PTOC") if link.ln_inst == inst and (node := logical_node(model, link)) is not None
    ]


def _groups(model: Model, part: Equipment) -> tuple[int, int]:
    """How many, and the active one."""
    for link in links(part, "PTOC"):
        ied = model.ieds.get(link.ied)
        holder = None if ied is None else ied.devices.get(link.ld_inst)
        for node in () if holder is None else holder.nodes.values():
            _, number, active = node.setting_groups
            if 1 <= active <= number <= GROUPS_MAX:
                return number, active
    return 1, 1


def _value(nodes: list[LogicalNode], group: int, default: float) -> float:
    for node in nodes:
        found = node.grouped.get(VALUE, {}).get(group) or node.values.get(VALUE)
        value = None if found is None else _positive(found[1])
        if value is not None:
            return value
    return default


def _range(nodes: list[LogicalNode] | LogicalNode) -> Range | None:
    for node in nodes if isinstance(nodes, list) else [nodes]:
        least, greatest = (_positive(node.values.get(path, (0, ""))[1]) for path in (LEAST, GREATEST))
        if least is not None and greatest is not None and least <= greatest:
            return least, greatest
    return None


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0.0 else None

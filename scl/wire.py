"""Roles, control blocks with addresses, and who subscribes to what, from a model that ``scl.check`` has passed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

from scl.model import Address, ControlBlock, ExtRef, Fcda, Ied, LogicalNode, Model
from scl.scheme import UDP_PORT, GooseControl, IedWire, Role, SvControl
from scl.topology import Feeder

MIN_TIME_MS, MAX_TIME_MS = 4, 1000
"""Where the SCD names none: usual values."""


def ied_wires(model: Model, feeder: Feeder) -> dict[str, IedWire]:
    """Every IED of the file, by name."""
    roles: dict[str, tuple[Role, str]] = {}
    for device in feeder.devices:
        if device.merging_unit:
            roles.setdefault(device.merging_unit, (Role.MERGING_UNIT, device.name))
    for device in feeder.devices:
        roles[device.breaker_ied] = (Role.BREAKER, device.name)
    for device in feeder.devices:
        roles[device.agent] = (Role.AGENT, device.name)
    ips = {point.ied: point.p["IP"] for point in reversed(model.connected) if "IP" in point.p}
    goose, samples = controls(model)
    wires = {}
    for ied in model.ieds.values():
        role, served = roles.get(ied.name, (Role.OTHER, None))
        heard = sorted(set(subscriptions(model, ied)))
        wires[ied.name] = IedWire(
            name=ied.name,
            role=role,
            device=served,
            goose_out=tuple(control for place, control in goose.items() if place[0] == ied.name),
            goose_in=tuple((place[0], goose[place]) for place in heard if place in goose),
            sv_out=tuple(control for place, control in samples.items() if place[0] == ied.name),
            sv_in=tuple((place[0], samples[place]) for place in heard if place in samples),
            ip=ips.get(ied.name),
            logical_devices=tuple(ied.devices),
        )
    return wires


def controls(
    model: Model,
) -> tuple[dict[tuple[str, str, str], GooseControl], dict[tuple[str, str, str], SvControl]]:
    """All control blocks of the file with their addresses, by (IED, LD, name): GOOSE, and Sampled Values."""
    addresses = {(a.ied, a.ld_inst, a.cb_name): a for a in model.addresses}
    goose: dict[tuple[str, str, str], GooseControl] = {}
    samples: dict[tuple[str, str, str], SvControl] = {}
    for ied in model.ieds.values():
        for node, control in ied.controls():
            place = (ied.name, control.ld_inst, control.name)
            if control.kind == "GSEControl":
                goose[place] = _goose(ied, node, control, addresses.get(place))
            else:
                samples[place] = _samples(ied, node, control, addresses.get(place))
    return goose, samples


def subscriptions(model: Model, ied: Ied) -> Iterator[tuple[str, str, str]]:
    """(publisher, LD, control block) of everything the IED hears, by ExtRef or by an IEDName that names it."""
    for ref in ied.ext_refs():
        place = source_of(model, ied, ref)
        if place is not None:
            yield place
    for other in model.ieds.values():
        if other is not ied:
            for _, control in other.controls():
                if any(name == ied.name for _, name in control.receivers):
                    yield other.name, control.ld_inst, control.name


def source_of(model: Model, ied: Ied, ref: ExtRef) -> tuple[str, str, str] | None:
    """The control block an ExtRef takes its value from: as named (Ed. 2), else by whose data set has it (Ed. 1)."""
    name = ref.get("iedName")
    publisher = ied if name == "@" else model.ieds.get(name)
    if publisher is None or publisher is ied:
        return None
    if ref.get("srcCBName"):
        return publisher.name, ref.get("srcLDInst") or ref.get("ldInst"), ref.get("srcCBName")
    for node, control in publisher.controls():
        data_set = node.data_sets.get(control.attributes.get("datSet", ""))
        if data_set is not None and any(carries(member, ref) for member in data_set.members):
            return publisher.name, control.ld_inst, control.name
    return None


def carries(member: Fcda, ref: ExtRef) -> bool:
    """True if a data set's member is, or contains, what the ExtRef wants."""
    same = (
        member.ld_inst == ref.get("ldInst")
        and member.prefix == ref.get("prefix")
        and member.ln_class == ref.get("lnClass")
        and member.ln_inst == ref.get("lnInst")
    )
    if not same or member.do_name != ref.get("doName"):
        return False
    wanted = ref.get("daName")
    return not wanted or not member.da_name or member.da_name == wanted or wanted.startswith(member.da_name + ".")


class _Common(TypedDict):
    """What GOOSE and Sampled Values control blocks have alike."""

    ied: str
    cb_ref: str
    dat_set: str
    appid: int
    mac: str
    vlan_id: int
    vlan_priority: int
    conf_rev: int
    ip: str | None
    port: int
    routed: bool
    members: tuple[str, ...]


def _common(ied: Ied, node: LogicalNode, control: ControlBlock, address: Address | None, constraint: str) -> _Common:
    """``constraint``: the functional constraint in the reference, GO or MS."""
    device = ied.devices[control.ld_inst]
    name = f"{device.ld_name or f'{ied.name}{device.inst}'}/{''.join(node.key)}"
    set_name = control.attributes.get("datSet", "")
    data_set = node.data_sets.get(set_name)
    p = address.p if address else {}
    return _Common(
        ied=ied.name,
        cb_ref=f"{name}${constraint}${control.name}",
        dat_set=f"{name}${set_name}",
        appid=number(p.get("APPID"), 16),
        mac=p.get("MAC-Address", "").upper(),
        vlan_id=number(p.get("VLAN-ID"), 16),
        vlan_priority=number(p.get("VLAN-PRIORITY"), 10, 4),
        conf_rev=number(control.attributes.get("confRev"), 10),
        ip=p.get("IP"),
        port=number(p.get("IP-UDP-PORT"), 10, UDP_PORT),
        routed=control.routed,
        members=tuple(member.reference for member in data_set.members) if data_set else (),
    )


def _goose(ied: Ied, node: LogicalNode, control: ControlBlock, address: Address | None) -> GooseControl:
    return GooseControl(
        **_common(ied, node, control, address, "GO"),
        go_id=control.attributes.get("appID", ""),
        min_time_ms=_milliseconds(address.min_time if address else "", MIN_TIME_MS),
        max_time_ms=_milliseconds(address.max_time if address else "", MAX_TIME_MS),
    )


def _samples(ied: Ied, node: LogicalNode, control: ControlBlock, address: Address | None) -> SvControl:
    return SvControl(
        **_common(ied, node, control, address, "MS"),
        sv_id=control.attributes.get("smvID", ""),
        smp_rate=number(control.attributes.get("smpRate"), 10),
        smp_mod=control.attributes.get("smpMod", "SmpPerPeriod"),
        no_asdu=number(control.attributes.get("nofASDU"), 10, 1),
    )


def number(text: str | None, base: int, default: int = 0) -> int:
    """A whole number of SCL text; the default where there is none (``scl.check`` reports what is malformed)."""
    try:
        return int(text or "", base)
    except ValueError:
        return default


def _milliseconds(text: str, default: int) -> int:
    try:
        return max(1, round(float(text)))
    except (ValueError, OverflowError):
        return default

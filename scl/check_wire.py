"""What the schema cannot see in the Communication part: addresses that clash, are missing, or are nobody's."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from scl.model import Address, ControlBlock, Ied, Model
from scl.problem import Problem, Severity
from scl.wire import subscriptions

E, W = Severity.ERROR, Severity.WARNING
MAC = re.compile(r"[0-9A-Fa-f]{2}(-[0-9A-Fa-f]{2}){5}")
APPID = re.compile(r"[0-9A-Fa-f]{4}")
VLAN = re.compile(r"[0-9A-Fa-f]{1,3}")
MULTICAST = {"GSE": "01-0C-CD-01-", "SMV": "01-0C-CD-04-"}
"""IEC 61850-8-1 and 9-2 annex B: recommended multicast addresses by their first octets."""
APPID_RANGES = {"GSE": ((0x0000, 0x3FFF), (0x8000, 0xBFFF)), "SMV": ((0x4000, 0x7FFF),)}


def check_wire(model: Model) -> Iterator[Problem]:
    """Every finding about addresses and identifiers."""
    controls = {
        (ied.name, control.ld_inst, control.name): (ied, control)
        for ied in model.ieds.values()
        for _, control in ied.controls()
    }
    heard = {place for ied in model.ieds.values() for place in subscriptions(model, ied)}
    yield from _connected(model)
    addressed: dict[tuple[str, str, str], Address] = {}
    for address in model.addresses:
        place = (address.ied, address.ld_inst, address.cb_name)
        if place in addressed and addressed[place].subnetwork == address.subnetwork:
            text = f"{_name(address)} has two addresses, the first in line {addressed[place].line}"
            yield Problem(address.line, E, "duplicate-address", text)
        addressed.setdefault(place, address)
        if address.ied in model.ieds and place not in controls:
            yield Problem(address.line, E, "address-of-nothing", f"{_name(address)}: there is no such control block")
        yield from _address(address)
    if model.addresses or model.connected or heard:
        for place, (ied, control) in controls.items():
            if place not in addressed:
                yield _unaddressed(ied, control, place in heard)
    yield from _clashes(model.addresses, "MAC-Address", "duplicate-mac", "MAC address")
    yield from _clashes(model.addresses, "APPID", "duplicate-appid", "APPID")
    yield from _identifiers(controls)


def _name(address: Address) -> str:
    return f"{address.kind} {address.ied}{address.ld_inst}/{address.cb_name}"


def _connected(model: Model) -> Iterator[Problem]:
    ips: dict[tuple[str, str], tuple[int, str]] = {}
    for point in model.connected:
        ied = model.ieds.get(point.ied)
        if ied is None:
            text = f"subnetwork {point.subnetwork} connects IED {point.ied}, not in this file"
            yield Problem(point.line, E, "no-such-ied", text)
        elif point.access_point not in ied.access_points:
            text = f"IED {point.ied} has no access point {point.access_point}"
            yield Problem(point.line, E, "no-such-access-point", text)
        ip = point.p.get("IP", "")
        if ip and ip != "0.0.0.0":
            line, other = ips.setdefault((point.subnetwork, ip), (point.line, point.ied))
            if other != point.ied:
                text = f"IP address {ip} of {point.ied} belongs to {other}, too (line {line})"
                yield Problem(point.line, E, "duplicate-ip", text)


def _address(address: Address) -> Iterator[Problem]:
    name, p = _name(address), address.p
    mac, appid = p.get("MAC-Address"), p.get("APPID")
    if mac is None:
        yield Problem(address.line, W if "IP" in p else E, "missing-mac", f"{name} has no MAC-Address")
    elif not MAC.fullmatch(mac):
        yield Problem(address.line, E, "bad-address", f"{name}: '{mac}' is not a MAC address")
    elif not int(mac[:2], 16) & 1:
        yield Problem(address.line, E, "bad-address", f"{name}: {mac} is not a multicast address")
    elif not mac.upper().startswith(MULTICAST[address.kind]):
        text = f"{name}: {mac} is outside the recommended {MULTICAST[address.kind]}xx-xx"
        yield Problem(address.line, W, "mac-range", text)
    if appid is None:
        yield Problem(address.line, E, "missing-appid", f"{name} has no APPID")
    elif not APPID.fullmatch(appid):
        yield Problem(address.line, E, "bad-address", f"{name}: APPID '{appid}' is not four hexadecimal digits")
    elif not any(low <= int(appid, 16) <= high for low, high in APPID_RANGES[address.kind]):
        yield Problem(address.line, W, "appid-range", f"{name}: APPID {appid} is outside the range of its service")
    vlan, priority = p.get("VLAN-ID"), p.get("VLAN-PRIORITY")
    if vlan is not None and not VLAN.fullmatch(vlan):
        yield Problem(address.line, E, "bad-address", f"{name}: VLAN-ID '{vlan}' is not three hexadecimal digits")
    if priority is not None and priority not in set("01234567"):
        yield Problem(address.line, E, "bad-address", f"{name}: VLAN-PRIORITY '{priority}' is not 0 to 7")
    yield from _times(address, name)


def _times(address: Address, name: str) -> Iterator[Problem]:
    values = []
    for text in (address.min_time, address.max_time):
        try:
            values.append(float(text) if text else None)
        except ValueError:
            yield Problem(address.line, E, "bad-time", f"{name}: '{text}' is not a time in milliseconds")
            return
    low, high = values
    if (low is not None and low <= 0.0) or (low is not None and high is not None and low > high):
        yield Problem(address.line, E, "bad-time", f"{name}: MinTime {low:g} ms, MaxTime {high or 0:g} ms")


def _unaddressed(ied: Ied, control: ControlBlock, is_heard: bool) -> Problem:
    text = f"{control.kind} {ied.name}{control.ld_inst}/{control.name} has no address in Communication"
    if is_heard:
        return Problem(control.line, E, "missing-address", f"{text}, and others subscribe to it")
    return Problem(control.line, W, "missing-address", text)


def _clashes(addresses: list[Address], key: str, code: str, what: str) -> Iterator[Problem]:
    """Within one subnetwork an error; across subnetworks, which may be one LAN after all, a warning."""
    users: dict[tuple[str, str], list[Address]] = defaultdict(list)
    for address in addresses:
        value = address.p.get(key, "").upper()
        if value:
            users[address.kind, value].append(address)
    for (_, value), same in users.items():
        first = same[0]
        for other in same[1:]:
            place = (other.ied, other.ld_inst, other.cb_name)
            if place == (first.ied, first.ld_inst, first.cb_name):
                continue
            severity = E if other.subnetwork == first.subnetwork else W
            text = f"{_name(other)} has the {what} {value} of {_name(first)} (line {first.line})"
            yield Problem(other.line, severity, code, text)


def _identifiers(controls: dict[tuple[str, str, str], tuple[Ied, ControlBlock]]) -> Iterator[Problem]:
    seen: dict[tuple[str, str], tuple[int, str]] = {}
    for ied, control in controls.values():
        goose = control.kind == "GSEControl"
        text = control.attributes.get("appID" if goose else "smvID", "")
        if not text:
            continue
        line, other = seen.setdefault((control.kind, text), (control.line, f"{ied.name}/{control.name}"))
        if line != control.line:
            code, name = ("duplicate-goose-id", "appID") if goose else ("duplicate-sv-id", "smvID")
            message = f"{control.kind} {ied.name}/{control.name} has the {name} '{text}' of {other} (line {line})"
            # A GOOSE subscriber tells streams apart by gocbRef; an SV subscriber has the svID only.
            yield Problem(control.line, W if goose else E, code, message)

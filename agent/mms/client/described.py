"""Servers as an SCL file describes them: addresses, logical devices, data sets and report control blocks by name.

For a client that knows its servers by SCL and need not discover them. Lenient: of any vendor's file, what is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lxml import etree
from open61850.mms.pdu import ObjectName

from agent.mms.client.reports import block_reference
from scl.elements import tag
from scl.model import children


class BlockDescription(NamedTuple):
    """A report control block, all its instances."""

    base: str
    """``LD/LN.name`` without the number of an instance."""
    instances: tuple[ObjectName, ...]
    buffered: bool
    data_set: ObjectName
    conf_rev: int
    members: tuple[ObjectName, ...]


class ServerDescription(NamedTuple):
    """One IED that has a server."""

    ied: str
    address: str
    """IP; empty if the file has none."""
    port: int | None
    """Where the file has one."""
    domains: tuple[str, ...]
    blocks: tuple[BlockDescription, ...]

    def block(self, base: str) -> BlockDescription | None:
        """By the name of the block or of one of its instances."""
        for block in self.blocks:
            if base == block.base or base in (block_reference(instance) for instance in block.instances):
                return block
        return None


def servers(root: etree._Element) -> list[ServerDescription]:
    """All IEDs with a server, in the order of the file."""
    addresses: dict[str, tuple[str, int | None]] = {}
    for point in root.iter(tag("ConnectedAP")):
        p = {
            entry.get("type", ""): (entry.text or "").strip() for entry in point.findall(f"{tag('Address')}/{tag('P')}")
        }
        if p.get("IP"):
            port = p.get("MMS-Port", "")
            addresses.setdefault(point.get("iedName", ""), (p["IP"], int(port) if port.isdigit() else None))
    found = []
    for ied in children(root, "IED"):
        name = ied.get("name", "")
        devices = [
            device
            for point in children(ied, "AccessPoint")
            for server in children(point, "Server")
            for device in children(server, "LDevice")
        ]
        if devices:
            domains = {device.get("inst", ""): _domain(name, device) for device in devices}
            blocks = tuple(block for device in devices for block in _blocks(device, domains))
            address = addresses.get(name, ("", None))
            found.append(ServerDescription(name, *address, tuple(domains.values()), blocks))
    return found


def _domain(ied: str, device: etree._Element) -> str:
    return device.get("ldName") or f"{ied}{device.get('inst', '')}"


def _blocks(device: etree._Element, domains: dict[str, str]) -> Iterator[BlockDescription]:
    domain = domains[device.get("inst", "")]
    for node in children(device, "LN0", "LN"):
        name = f"{node.get('prefix', '')}{node.get('lnClass', 'LLN0')}{node.get('inst', '')}"
        sets = {part.get("name", ""): part for part in children(node, "DataSet")}
        for control in children(node, "ReportControl"):
            described = sets.get(control.get("datSet", ""))
            if described is None:
                continue
            buffered = control.get("buffered") in ("true", "1")
            control_name = control.get("name", "")
            yield BlockDescription(
                f"{domain}/{name}.{control_name}",
                tuple(
                    ObjectName(f"{name}${'BR' if buffered else 'RP'}${instance}", domain)
                    for instance in _instances(control, control_name)
                ),
                buffered,
                ObjectName(f"{name}${control.get('datSet', '')}", domain),
                int(control.get("confRev") or 0),
                tuple(_member(fcda, domains, domain) for fcda in children(described, "FCDA")),
            )


def _instances(control: etree._Element, name: str) -> list[str]:
    if control.get("indexed", "true") not in ("true", "1"):
        return [name]
    enabled = control.find(tag("RptEnabled"))
    most = 1 if enabled is None else int(enabled.get("max") or 1)
    return [f"{name}{number:02d}" for number in range(1, most + 1)]


def _member(fcda: etree._Element, domains: dict[str, str], own: str) -> ObjectName:
    node = "".join(fcda.get(part, "") for part in ("prefix", "lnClass", "lnInst"))
    rest = [part for key in ("doName", "daName") if (part := fcda.get(key, ""))]
    item = "$".join([node, fcda.get("fc", ""), *rest]).replace(".", "$")
    return ObjectName(item, domains.get(fcda.get("ldInst", ""), own))

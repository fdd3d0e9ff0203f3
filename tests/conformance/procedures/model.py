"""Server, logical devices, logical nodes and data."""

from __future__ import annotations

import asyncio
from typing import Any

from iec61850 import Iec61850Client, Iec61850ClientConfig
from open61850.data import BoolData, FloatData, IntData, StructureData, UIntData, VisibleStringData
from open61850.mms.errors import DataAccessError
from open61850.mms.model import compare, discover
from open61850.mms.pdu import ObjectName
from open61850.scl import load_model

from agent.mms.tree import leaves
from tests.conformance.asking import (
    DENIED,
    DOMAIN,
    INCONSISTENT,
    MISSING,
    VARIABLE,
    name,
    refused,
)
from tests.conformance.device import IED, Device

MANY = 200


def lists_logical_devices(device: Device) -> None:
    with device.client() as client:
        expected = [device.offered.tree.domain(one) for one in device.offered.tree.devices]
        assert client.get_name_list(DOMAIN) == expected


def lists_logical_nodes(device: Device) -> None:
    """Over as many pages as it takes."""
    with device.client() as client:
        found = {item for item in client.get_name_list(VARIABLE, device.domain) if "$" not in item}
    assert found == {node.name for node in device.offered.tree.devices[0].nodes}


def lists_data_as_the_scl_says(device: Device) -> None:
    with device.client() as client:
        found = compare(load_model(str(device.scd), IED), discover(client))
    # FC SE comes with FC SG (IEC 61850-8-1); SCL does not name it.
    assert [text for text in found if not (text.startswith("extra") and text.endswith("[SE]"))] == []


def reads_and_defines_all_data(device: Device) -> None:
    """Every attribute that can be read is read, and its type asked for."""
    with device.client() as client:
        wanted = [
            name(device, "$".join([node.name, fc, *path.split(".")]))
            for node in device.offered.tree.devices[0].nodes
            for path, fc, _ in leaves(node)
            if fc != "CO"
        ]
        for start in range(0, len(wanted), 50):
            values = client.read_many(wanted[start : start + 50])
            wrong = [
                str(asked)
                for asked, value in zip(wanted[start:], values, strict=False)
                if isinstance(value, DataAccessError)
            ]
            assert wrong == []
        for asked in wanted[::20]:
            assert client.get_type(asked) is not None


def reads_many_at_once(device: Device) -> None:
    """In one request; what does not exist among it has its own error."""
    with device.client() as client:
        asked = [name(device, "XCBR1$ST$Pos$stVal")] * MANY + [name(device, "XCBR1$ST$Pos$none")]
        values = client.read_many(asked)
        assert len({repr(value) for value in values[:MANY]}) == 1
        assert isinstance(values[-1], DataAccessError)
        assert values[-1].code == MISSING


def reads_all_of_a_constraint(device: Device) -> None:
    """GetAllDataValues of every functional constraint of every node."""
    with device.client() as client:
        nodes = [item for item in client.get_name_list(VARIABLE, device.domain) if item.count("$") == 1]
        for item in nodes:
            if item.split("$")[1] in ("ST", "MX", "SP", "CF", "DC", "SG"):
                assert isinstance(client.read(name(device, item)), StructureData), item


def another_client_reads_the_same(device: Device) -> None:
    async def other() -> tuple[list[str], Any]:
        config = Iec61850ClientConfig(address="127.0.0.1", port=device.port)
        async with Iec61850Client(config) as client:
            model = await client.connection.get_device_model()
            listed = [variable for one in model["logical_devices"] for variable in one["variables"]]
            return listed, await client.connection.read(f"{device.domain}/XCBR1.Pos.stVal", "ST")

    listed, value = asyncio.run(other())
    with device.client() as client:
        assert sorted(listed) == sorted(client.get_name_list(VARIABLE, device.domain))
        assert bytes(value) == client.read(name(device, "XCBR1$ST$Pos$stVal")).value


def writes_a_value(device: Device) -> None:
    """A description, where a client may write one."""
    with device.client() as client:
        item = name(device, "LLN0$DC$NamPlt$d")
        before = client.read(item)
        client.write(item, VisibleStringData("conformance"))
        assert client.read(item).value == "conformance"
        client.write(item, before)


def refuses_unknown_objects(device: Device) -> None:
    """Unknown device, node, data, attribute, and names whose case is another."""
    with device.client() as client:
        for item in (
            "XCBR9$ST$Pos",
            "XCBR1$ST$Pox",
            "XCBR1$ST$Pos$stVax",
            "XCBR1$ST$pos",
            "xcbr1$ST$Pos",
            "XCBR1$XX$Pos",
        ):
            assert refused(lambda item=item: client.read(name(device, item))) == ("access", MISSING), item
            assert refused(lambda item=item: client.get_type(name(device, item)))[0] == "service", item
        assert refused(lambda: client.read(ObjectName("XCBR1$ST$Pos", "NONE"))) == ("access", MISSING)
        assert refused(lambda: client.write(name(device, "LLN0$RP$none$RptEna"), BoolData(True)))[0] == "access"
        assert client.read(name(device, "XCBR1$ST$Pos"))


def refuses_the_directory_of_an_unknown_device(device: Device) -> None:
    """An error, not an empty list."""
    with device.client() as client:
        assert refused(lambda: client.get_name_list(VARIABLE, "NONE")) == ("service", 2)


def refuses_wrong_types(device: Device) -> None:
    """Attributes that a client may write, written as something else."""
    with device.client() as client:
        base = "LLN0$RP$urcbStatus01"
        for attribute, value in (
            ("IntgPd", BoolData(True)),
            ("BufTm", FloatData(1.0)),
            ("RptEna", IntData(1)),
            ("RptID", UIntData(7)),
            ("TrgOps", StructureData([BoolData(True)])),
        ):
            told = refused(lambda a=attribute, v=value: client.write(name(device, f"{base}${a}"), v))
            assert told[0] == "access"
            assert told[1] in (INCONSISTENT, 11), attribute


def refuses_to_write_what_is_read_only(device: Device) -> None:
    """Status, measured values, and what the SCL settles."""
    with device.client() as client:
        for item, value in (
            ("XCBR1$ST$Pos$stVal", BoolData(True)),
            ("MMXU1$MX$TotW$mag$f", FloatData(1.0)),
            ("CSWI1$CF$Pos$ctlModel", IntData(1)),
            ("LLN0$ST$Health$stVal", IntData(1)),
        ):
            assert refused(lambda i=item, v=value: client.write(name(device, i), v)) == ("access", DENIED), item


def refuses_unknown_services(device: Device) -> None:
    """A confirmed service that no server of this mapping has, and one with no content; the association stands."""
    with device.client() as client:
        for service in (bytes.fromhex("bf6000"), bytes.fromhex("a700")):
            assert refused(lambda s=service: client.request(s))[0] in ("service", "reject")
        assert client.get_name_list(DOMAIN) == [device.domain]

"""Data sets."""

from __future__ import annotations

from open61850 import ber
from open61850.mms import pdu
from open61850.mms.client import MmsClient
from open61850.mms.errors import ServiceError
from open61850.mms.pdu import ObjectName

from tests.conformance.asking import DATA_SET, name, refused
from tests.conformance.device import Device

DEFINE, DELETE = 0xAB, 0xAD
MADE = "LLN0$dsConformance"


def lists_data_sets_as_the_scl_says(device: Device) -> None:
    """Names and members, in order."""
    with device.client() as client:
        described = {
            f"{node.name}${data_set.name}": [f"{device.domain}/{member}" for member in data_set.members]
            for node in device.offered.tree.devices[0].nodes
            for data_set in node.data_sets
        }
        assert sorted(client.get_name_list(DATA_SET, device.domain)) == sorted(described)
        for item, members in described.items():
            assert [str(member) for member in client.get_data_set_members(name(device, item))] == members


def reads_a_data_set(device: Device) -> None:
    """One value for each member, equal to the member's own."""
    with device.client() as client:
        members = client.get_data_set_members(name(device, "LLN0$dsFlisr"))
        content = ber.encode_tlv(0xA1, ber.encode_tlv(0xA1, pdu.encode_object_name(name(device, "LLN0$dsFlisr"))))
        answer = client.request(ber.encode_tlv(0xA4, content))
        assert len(pdu.read_response(answer.content)) == len(members)


def _define(client: MmsClient, device: Device, item: str, members: list[str], domain: str = "") -> None:
    listed = pdu._variable_list([name(device, member) for member in members])
    whole = pdu.encode_object_name(ObjectName(item, domain or device.domain)) + listed
    client.request(ber.encode_tlv(DEFINE, whole))


def _delete(client: MmsClient, device: Device, item: str) -> tuple[int, int]:
    """How many matched, how many are gone."""
    names = ber.encode_tlv(0xA1, pdu.encode_object_name(name(device, item)))
    answer = client.request(ber.encode_tlv(DELETE, ber.encode_tlv(0x80, b"\x00") + names))
    matched, gone = [ber.decode_unsigned(part.value) for part in ber.iter_tlvs(answer.content)]
    return matched, gone


def makes_and_deletes_a_data_set(device: Device) -> None:
    """Twice, the second time with other members; gone at the end."""
    with device.client() as client:
        for members in (["LLN0$ST$Beh", "LLN0$ST$Health"], ["LLN0$ST$Health"]):
            _define(client, device, MADE, members)
            found = [str(member) for member in client.get_data_set_members(name(device, MADE))]
            assert found == [f"{device.domain}/{member}" for member in members]
            assert _delete(client, device, MADE) == (1, 1)
        assert MADE not in client.get_name_list(DATA_SET, device.domain)


def refuses_a_data_set_of_a_name_that_is_taken(device: Device) -> None:
    with device.client() as client:
        _define(client, device, MADE, ["LLN0$ST$Beh"])
        assert refused(lambda: _define(client, device, MADE, ["LLN0$ST$Beh"]))[0] == "service"
        assert _delete(client, device, MADE) == (1, 1)


def refuses_a_data_set_of_unknown_members(device: Device) -> None:
    with device.client() as client:
        assert refused(lambda: _define(client, device, MADE, ["LLN0$ST$None"]))[0] == "service"
        assert MADE not in client.get_name_list(DATA_SET, device.domain)


def refuses_more_than_the_scl_says(device: Device) -> None:
    """One data set more, one member more."""
    limits = device.offered.declared["DynDataSet"]
    sets, members = int(limits["max"]), int(limits["maxAttributes"])
    made = [f"{MADE}{number}" for number in range(sets)]
    with device.client() as client:
        try:
            for item in made:
                _define(client, device, item, ["LLN0$ST$Beh"])
            assert refused(lambda: _define(client, device, MADE, ["LLN0$ST$Beh"]))[0] == "service"
        finally:
            for item in made:
                _delete(client, device, item)
        _define(client, device, MADE, ["LLN0$ST$Beh"] * members)
        assert _delete(client, device, MADE) == (1, 1)
        assert refused(lambda: _define(client, device, MADE, ["LLN0$ST$Beh"] * (members + 1)))[0] == "service"


def keeps_data_sets_of_the_scl(device: Device) -> None:
    """They cannot be deleted, whether by a client's right or by the server."""
    with device.client() as client:
        try:
            _, gone = _delete(client, device, "LLN0$dsStatus")
        except ServiceError:
            gone = 0
        assert gone == 0
        assert "LLN0$dsStatus" in client.get_name_list(DATA_SET, device.domain)


def refuses_unknown_data_sets(device: Device) -> None:
    with device.client() as client:
        for item in ("LLN0$dsNone", "LLN0$dsstatus", "XCBR1$dsStatus"):
            asked = name(device, item)
            assert refused(lambda a=asked: client.get_data_set_members(a)) == ("service", 2)

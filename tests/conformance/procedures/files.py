"""File transfer, with requests put together here: none of the clients at hand has files."""

from __future__ import annotations

from open61850 import ber
from open61850.mms.client import MmsClient

from tests.conformance.asking import refused
from tests.conformance.device import Device

DIRECTORY, OPEN, READ, CLOSE, DELETE = 77, 72, 73, 74, 76


def _tag(number: int, constructed: bool) -> int:
    return ber.make_tag(number, constructed=constructed)


def _listed(client: MmsClient) -> list[str]:
    """All file names."""
    answer = client.request(ber.encode_tlv(_tag(DIRECTORY, True), b""))
    found: list[str] = []

    def walk(octets: bytes) -> None:
        for part in ber.iter_tlvs(octets):
            if part.tag == 0x19:
                found.append(part.value.decode("ascii"))
            elif part.tag & 0x20:
                walk(part.value)

    walk(answer.content)
    return found


def _open(client: MmsClient, file: str) -> int:
    content = ber.encode_tlv(0xA0, ber.encode_tlv(0x19, file.encode())) + ber.encode_tlv(0x81, b"\x00")
    answer = client.request(ber.encode_tlv(_tag(OPEN, True), content))
    return ber.decode_integer(next(iter(ber.iter_tlvs(answer.content))).value)


def lists_files(device: Device) -> None:
    with device.client() as client:
        assert all("\x00" not in file for file in _listed(client))


def fetches_files(device: Device) -> None:
    """The first file, whole."""
    with device.client() as client:
        file = next(entry for entry in _listed(client) if not entry.endswith("/"))
        number = _open(client, file)
        more, size = True, 0
        while more:
            answer = client.request(ber.encode_tlv(_tag(READ, False), ber.encode_unsigned(number)))
            parts = {part.tag: part.value for part in ber.iter_tlvs(answer.content)}
            size += len(parts[0x80])
            more = ber.decode_boolean(parts[0x81]) if 0x81 in parts else True
        client.request(ber.encode_tlv(_tag(CLOSE, False), ber.encode_unsigned(number)))
        assert size > 0


def refuses_what_is_no_file_of_its(device: Device) -> None:
    """Unknown names, and names that lead out of the folder."""
    with device.client() as client:
        for file in ("none", "../keys.yaml", "/etc/passwd", "..\\..\\etc\\passwd", "records/../../keys.yaml"):
            assert refused(lambda f=file: _open(client, f))[0] == "service"


def keeps_its_files(device: Device) -> None:
    """None can be deleted from outside."""
    with device.client() as client:
        content = ber.encode_tlv(0x19, b"events.jsonl")
        assert refused(lambda: client.request(ber.encode_tlv(_tag(DELETE, True), content)))[0] in ("service", "reject")

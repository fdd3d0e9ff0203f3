"""The codec of PTP management messages: what ptp4l answered is read as pmc printed it, and rubbish is only refused."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.time import management
from agent.time.datasets import (
    ClockDescription,
    ClockQuality,
    CurrentDataSet,
    DefaultDataSet,
    ParentDataSet,
    PortDataSet,
    PortDataSetNp,
    PortIdentity,
    PortProperties,
    PortState,
    PowerProfile,
    Properties,
    Stamping,
    TimeProperties,
    TimeStatus,
    identity_text,
)
from agent.time.management import Id, ManagementError, Refusal, decode, encode_get
from tests.time.recorded import ANSWERS, DOMAIN, INGRESS_NS

SLAVE = bytes.fromhex("fe6221fffe91041d")
MASTER = bytes.fromhex("c2e355fffec1d059")
ALL = (
    Properties.UTC_OFFSET_VALID | Properties.PTP_TIMESCALE | Properties.TIME_TRACEABLE | Properties.FREQUENCY_TRACEABLE
)
PORT = PortIdentity(SLAVE, 1)
EXPECTED = {
    Id.DEFAULT_DATA_SET: DefaultDataSet(True, True, 1, 128, ClockQuality(255, 0xFE, 0xFFFF), 128, SLAVE, 93),
    Id.CURRENT_DATA_SET: CurrentDataSet(1, -238.0, 0.0),
    Id.PARENT_DATA_SET: ParentDataSet(
        PortIdentity(MASTER, 1), False, 0xFFFF, 0x7FFFFFFF, 10, ClockQuality(6, 0x21, 0x4E5D), 128, MASTER
    ),
    Id.TIME_PROPERTIES_DATA_SET: TimeProperties(0, ALL, 0x20),
    Id.TIME_STATUS_NP: TimeStatus(-238, INGRESS_NS, True, MASTER),
    Id.PORT_DATA_SET: PortDataSet(PORT, PortState.SLAVE, 0, 508.0, 1, 3, 0, 2, 0, 2),
    Id.PORT_PROPERTIES_NP: PortProperties(PORT, PortState.SLAVE, Stamping.SOFTWARE, "e0"),
    Id.CLOCK_DESCRIPTION: ClockDescription(3, bytes.fromhex("001b19000200")),
    Id.POWER_PROFILE_SETTINGS_NP: Refusal(2),
}


def response(asked: Id, data: bytes, kind: int = 1) -> bytes:
    """A recorded header around another data field."""
    tlv = struct.pack(">HHH", kind, 2 + len(data), asked) + data
    head = bytearray(ANSWERS[Id.DEFAULT_DATA_SET][:48])
    head[2:4] = struct.pack(">H", 48 + len(tlv))
    return bytes(head) + tlv


@pytest.mark.parametrize("asked", ANSWERS, ids=lambda asked: asked.name)
def test_what_ptp4l_answered_is_what_pmc_prints(asked: Id) -> None:
    answer = decode(ANSWERS[asked])
    assert (answer.domain, answer.id) == (DOMAIN, asked)
    assert answer.source.clock == SLAVE
    assert answer.data == EXPECTED[asked]


def test_a_question_is_a_get_to_every_port_that_no_boundary_clock_passes_on() -> None:
    assert encode_get(Id.PORT_DATA_SET, 93, 0x1234).hex(" ") == (
        "0d 02 00 36 5d 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 12 34 04 7f "
        "ff ff ff ff ff ff ff ff ff ff 00 00 00 00 00 01 00 02 20 04"
    )
    with pytest.raises(ManagementError, match="not a response"):
        decode(encode_get(Id.PORT_DATA_SET, 93, 1))


def test_what_3_1_1_could_not_answer() -> None:
    power = decode(response(Id.POWER_PROFILE_SETTINGS_NP, struct.pack(">HHIII", 2, 7, 0, 0, 850))).data
    assert power == PowerProfile(2, 7, 0, 0, 850)
    assert decode(response(Id.PORT_DATA_SET_NP, struct.pack(">Ii", 20_000_000, 1))).data == PortDataSetNp(
        20_000_000, True
    )


def test_identities_are_written_as_linuxptp_writes_them() -> None:
    assert identity_text(SLAVE) == "fe6221.fffe.91041d"
    assert str(PORT) == "fe6221.fffe.91041d-1"


@pytest.mark.parametrize("asked", ANSWERS, ids=lambda asked: asked.name)
def test_every_cut_is_refused(asked: Id) -> None:
    octets = ANSWERS[asked]
    for size in range(len(octets)):
        with pytest.raises(ManagementError):
            decode(octets[:size])


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (response(Id.CURRENT_DATA_SET, bytes(16)), "16 octets, not 18"),
        (response(Id.CURRENT_DATA_SET, bytes(20)), "20 octets, not 18"),
        (response(Id.PORT_PROPERTIES_NP, bytes(10) + b"\x09\x00\x08abc"), "ends after"),
        (response(Id.PORT_PROPERTIES_NP, bytes(10) + b"\x0b\x00\x00"), "PortState 0xb is unknown"),
        (response(Id.PORT_PROPERTIES_NP, bytes(10) + b"\x09\x0b\x00"), "Stamping 0xb is unknown"),
        (response(Id.CURRENT_DATA_SET, bytes(18), kind=3), "tlvType 0x0003"),
        (response(Id.CURRENT_DATA_SET, bytes(4), kind=2), "error status of 6 octets"),
        (b"\x00" + ANSWERS[Id.CURRENT_DATA_SET][1:], "not a management message"),
        (ANSWERS[Id.CURRENT_DATA_SET][:1] + b"\x01" + ANSWERS[Id.CURRENT_DATA_SET][2:], "not a management message"),
    ],
)
def test_what_is_wrong_is_said(octets: bytes, why: str) -> None:
    with pytest.raises(ManagementError, match=why):
        decode(octets)


@given(st.integers(0, 0xFFFF), st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_time_intervals_are_scaled_by_two_to_the_sixteenth(steps: int, offset: int, delay: int) -> None:
    data = decode(response(Id.CURRENT_DATA_SET, struct.pack(">Hqq", steps, offset, delay))).data
    assert data == CurrentDataSet(steps, offset / 65536, delay / 65536)


@given(st.binary(max_size=200))
@example(b"")
def test_no_octets_raise_anything_else(octets: bytes) -> None:
    with pytest.raises(ManagementError):
        decode(octets)


@given(st.sampled_from(sorted(ANSWERS)), st.data())
def test_no_damage_raises_anything_else(asked: Id, data: st.DataObject) -> None:
    octets = bytearray(ANSWERS[asked])
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(octets)))
    for damaged in (octets, octets[:cut], octets + octets[cut:]):
        with contextlib.suppress(ManagementError):
            assert decode(bytes(damaged)).id in Id


@given(st.sampled_from(sorted(Id)), st.binary(max_size=80))
def test_any_data_field_is_read_or_refused(asked: Id, field: bytes) -> None:
    try:
        answer = decode(response(asked, field))
    except ManagementError:
        return
    assert answer.id is asked
    assert not isinstance(answer.data, Refusal)


def test_linuxptp_pads_to_an_even_number_and_more_tlvs_may_follow() -> None:
    assert decode(ANSWERS[Id.PORT_PROPERTIES_NP] + b"\x00\x03\x00\x00").data == EXPECTED[Id.PORT_PROPERTIES_NP]
    assert management.Action.RESPONSE == 2

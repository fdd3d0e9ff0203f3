"""The scheme's data sets and the precompiled layout."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.goose.codec import CodecError, Data, Kind, Pdu, UtcTime, decode, encode
from agent.goose.dataset import FLOAT_MAX, command_data_set, report_data_set, status_data_set
from agent.goose.layout import FORMS, Head, Layout, head_of
from agent.logic.messages import (
    BreakerCommand,
    BreakerStatus,
    Direction,
    Level,
    Live,
    Position,
    Report,
    Request,
    RequestKind,
)
from scl import flisr_dataset
from tests.goose.lab import REPORT, STATUS, stream

FLOAT = st.floats(-FLOAT_MAX, FLOAT_MAX, width=32)
TIME = st.integers(0, 1 << 62)
COUNT = st.integers(0, (1 << 31) - 1)
HEAD = Head(2500, 1_800_000_000_000_123, 10, 3, 4, False, 5, False)


def reports(zones: int, devices: int) -> st.SearchStrategy[Report]:
    zone_mask, device_mask = st.integers(0, (1 << zones) - 1), st.integers(0, (1 << devices) - 1)
    request = st.builds(Request, COUNT, st.sampled_from(RequestKind), zone_mask, FLOAT, FLOAT, device_mask)
    grants = st.lists(st.tuples(st.integers(0, devices - 1), COUNT), max_size=4).map(tuple)
    flag = st.booleans()
    return st.builds(
        Report,
        *(st.sampled_from(kind) for kind in (Position, Level, Direction)),
        *(TIME, TIME, TIME, FLOAT, st.sampled_from(Live), st.sampled_from(Live), FLOAT, FLOAT, COUNT, zone_mask, TIME),
        *(flag, flag, flag, flag, flag, flag, flag, flag, request, grants),
    )


@pytest.mark.parametrize(("zones", "devices"), [(12, 12), (63, 64), (200, 130)])
def test_every_report_survives_the_wire(zones: int, devices: int) -> None:
    data_set = report_data_set(zones, devices)
    layout = Layout("A/LLN0$GO$g", "A/LLN0$d", "g", data_set.b_types)

    @given(reports(zones, devices))
    def survives(report: Report) -> None:
        apdu = layout.encode(HEAD, data_set.to_values(report))
        decoded = layout.decode(apdu)
        assert decoded is not None
        assert decoded[0] == HEAD
        again = data_set.from_values(decoded[1])
        assert again == report
        assert all(type(a) is type(b) for a, b in zip(again, report, strict=True))
        # The generic codec sees the same, and writes the same octets.
        pdu = decode(apdu)
        assert head_of(pdu) == HEAD
        assert layout.values_of(pdu.data) == decoded[1]
        assert encode(pdu) == apdu

    survives()


@given(
    st.builds(BreakerCommand, st.booleans(), COUNT, TIME, st.booleans()),
    st.builds(
        BreakerStatus,
        st.sampled_from(Position),
        st.sampled_from(Live),
        st.sampled_from(Live),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        COUNT,
        st.sampled_from(Level),
        st.sampled_from(Direction),
    ),
)
def test_every_order_and_position_survives_the_wire(order: BreakerCommand, status: BreakerStatus) -> None:
    for data_set, message in ((command_data_set(), order), (status_data_set("XSWI"), status)):
        layout = Layout("A/LLN0$GO$g", "A/LLN0$d", "g", data_set.b_types)  # type: ignore[attr-defined]
        decoded = layout.decode(layout.encode(HEAD, data_set.to_values(message)))  # type: ignore[attr-defined]
        assert decoded is not None
        again = data_set.from_values(decoded[1])  # type: ignore[attr-defined]
        assert again == message
        assert all(type(a) is type(b) for a, b in zip(again, message, strict=True))


@pytest.mark.parametrize(("index", "value"), [(0, 4), (1, 4), (2, -1), (7, 3), (6, float("nan")), (9, float("inf"))])
def test_a_value_that_makes_no_sense_is_refused(index: int, value: float) -> None:
    data_set = report_data_set(12, 12)
    values = list(data_set.to_values(REPORT))
    values[index] = value
    with pytest.raises(CodecError) as caught:
        data_set.from_values(values)
    assert caught.value.cause == "bad-value"


@given(st.integers(0, 39), st.integers(-(1 << 63), (1 << 63) - 1))
def test_hostile_integers_give_a_report_or_the_codecs_own_error(index: int, value: int) -> None:
    data_set = report_data_set(12, 12)
    values = list(data_set.to_values(REPORT))
    values[index % len(values)] = value
    with contextlib.suppress(CodecError):
        data_set.from_values(values)


def test_a_measured_value_never_stops_a_report() -> None:
    data_set = report_data_set(12, 12)
    layout = Layout("A/LLN0$GO$g", "A/LLN0$d", "g", data_set.b_types)
    for value in (1e300, -1e300, float("inf"), float("nan")):
        decoded = layout.decode(layout.encode(HEAD, data_set.to_values(REPORT._replace(peak_a=value))))
        assert decoded is not None
        data_set.from_values(decoded[1])


def test_what_a_report_cannot_hold_is_refused() -> None:
    data_set = report_data_set(12, 12)
    with pytest.raises(CodecError, match="mask"):
        data_set.to_values(REPORT._replace(claim_zones=1 << 63))
    with pytest.raises(CodecError, match="grants"):
        data_set.to_values(REPORT._replace(grants=((1, 1),) * 5))


def test_the_layout_and_scl_list_the_same_order() -> None:
    for data_set in (report_data_set(70, 70), command_data_set(), status_data_set()):
        assert len(data_set.b_types) == len(data_set.references) == len(set(data_set.references))
    assert report_data_set(1, 1).references[0] == "FLISR/CSWI1.Pos.stVal[ST]"
    assert flisr_dataset.GRANTS == 4


def test_all_basic_types_survive() -> None:
    layout = Layout("A/LLN0$GO$g", "A/LLN0$d", "g", tuple(FORMS))
    samples = {
        "BOOLEAN": True, "INT8": -128, "INT16": -32768, "INT32": -(1 << 31), "INT64": -(1 << 63), "Enum": -1,
        "INT8U": 255, "INT16U": 65535, "INT32U": 0xFFFFFFFF, "FLOAT32": -1.5, "FLOAT64": 1e300, "Dbpos": 2,
        "Quality": 0x1ABC, "Timestamp": 0x0102030405060708,
    }  # fmt: skip
    values = tuple(samples[name] for name in FORMS)
    apdu = layout.encode(HEAD, values)
    assert layout.decode(apdu) == (HEAD, values)
    pdu = decode(apdu)
    assert layout.values_of(pdu.data) == values
    assert pdu.data[list(FORMS).index("Timestamp")].value == UtcTime(0x01020304, 0x050607, 8)
    assert encode(pdu) == apdu


def test_an_unknown_basic_type_is_refused() -> None:
    with pytest.raises(CodecError, match="VisString255"):
        Layout("A/LLN0$GO$g", "A/LLN0$d", "g", ("VisString255",))


def test_other_widths_of_the_same_data_set_are_read() -> None:
    data_set = status_data_set()
    layout = Layout("A/LLN0$GO$g", "A/LLN0$d", "g", data_set.b_types)
    apdu = layout.encode(HEAD, data_set.to_values(STATUS))
    pdu = decode(apdu)
    narrow = tuple(Data(item.kind, item.value, 1) if item.kind is Kind.INTEGER else item for item in pdu.data)
    other = encode(pdu._replace(data=narrow))
    assert layout.decode(other) is None
    assert data_set.from_values(layout.values_of(decode(other).data)) == STATUS


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: (*data, data[-1]),
        lambda data: (Data(Kind.BOOLEAN, True), *data[1:]),
        lambda data: (Data(Kind.BIT_STRING, 0, 3), *data[1:]),
        lambda data: (data[0], Data(Kind.INTEGER, 1000, 2), *data[2:]),
        lambda data: (Data(Kind.STRUCTURE, (data[0],)), *data[1:]),
    ],
)
def test_another_data_set_is_refused(change: object) -> None:
    data_set = status_data_set()
    layout = Layout("A/LLN0$GO$g", "A/LLN0$d", "g", data_set.b_types)
    pdu = decode(layout.encode(HEAD, data_set.to_values(STATUS)))
    changed: Pdu = pdu._replace(data=change(pdu.data))  # type: ignore[operator]
    with pytest.raises(CodecError) as caught:
        layout.values_of(changed.data)
    assert caught.value.cause == "data-set"


def test_the_stream_of_the_lab_is_complete() -> None:
    assert stream(command_data_set()).destination == bytes.fromhex("010ccd010011")

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.logic.messages import LockRecord, Position, Report, Request, RequestKind
from agent.station import plain
from scl.topology import Device, DeviceKind, Feeder, NeutralMode, Zone

REPORT = Report(
    Position.OPEN, request=Request(7, RequestKind.RESTORE, 5, 1.5, 0.5, 2), grants=((1, 2), (3, 4)), peak_a=1.25
)


def device(name: str) -> Device:
    return Device(
        name,
        DeviceKind.BREAKER,
        "a",
        "b",
        0,
        1,
        False,
        f"{name}_AG",
        f"{name}_BR",
        None,
        reclose_dead_times_ms=(500.0,),
    )


def test_a_feeder_survives_the_trip_through_json() -> None:
    zone = Zone(0, "Z1", ("a",), (0,))
    feeder = Feeder("f", 50.0, 10.0, NeutralMode.SOLID, (device("Q1"), device("Q2")), (zone,))
    again = plain.load(Feeder, json.loads(json.dumps(plain.dump(feeder))))
    assert again == feeder
    assert again.device("Q2").agent == "Q2_AG"


def test_a_named_tuple_comes_back_from_an_object_and_from_an_array() -> None:
    assert plain.load(Report, json.loads(json.dumps(plain.dump(REPORT)))) == REPORT
    assert plain.load(Report, json.loads(json.dumps(REPORT))) == REPORT


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"locked_a": 1},
        {"nobody": 1},
        {**plain.dump(LockRecord(True, False, False, 1, 2, 3)), "claim_number": "1"},
        {**plain.dump(LockRecord(True, False, False, 1, 2, 3)), "claims_seen": [[1]]},
    ],
)
def test_what_does_not_fit_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match="LockRecord"):
        plain.load(LockRecord, data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_any_json_either_loads_or_is_a_value_error(data: object) -> None:
    with contextlib.suppress(ValueError):
        plain.load(LockRecord, data)

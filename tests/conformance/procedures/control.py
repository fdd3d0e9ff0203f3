"""Controls. The device is a breaker: an order goes through the gate of the protection process and to its mechanism."""

from __future__ import annotations

import time

from open61850.data import BoolData, FloatData, StructureData
from open61850.mms.control import OR_CAT_STATION_CONTROL, Origin, cancel_value, oper_value
from open61850.mms.errors import DataAccessError

from agent.logic.messages import Position
from agent.mms.statements.offered import SELECT_ENHANCED, STATUS_ONLY
from tests.conformance.asking import AUTOMATION, DENIED, POSITION, name, operate, refused
from tests.conformance.device import NAME, Device

NOT_SELECTED, POSITION_REACHED, BLOCKED_BY_MODE, SYNCHROCHECK = 18, 5, 8, 11
HIERARCHY, INCONSISTENT_PARAMETERS = 2, 26
ORIGIN = Origin(OR_CAT_STATION_CONTROL, b"tester")


def models_are_as_the_scl_says(device: Device) -> None:
    """ctlModel of every controllable object; one that is for status only has nothing to operate."""
    with device.client() as client:
        for control in device.offered.controls:
            node, _, item = control.reference.partition("/")[2].partition(".")
            model = client.read(name(device, f"{node}$CF${item}$ctlModel")).value
            assert model == control.model
            parts = dict(client.get_type(name(device, f"{node}$CO${item}")).components)
            assert ("Oper" in parts) == (model != STATUS_ONLY)
            assert ("SBOw" in parts) == (model == SELECT_ENHANCED)


def selects_operates_terminates(device: Device) -> None:
    """Select with value, operate, the switch moves, a positive termination."""
    with device.client() as client:
        done = operate(client, device, POSITION, False, origin=ORIGIN)
        assert done.terminated
    device.until(lambda: device.bench.bays[NAME].position is Position.OPEN)
    assert any("orCat 2" in event["origin"] for event in device.events("command"))


def selects_and_cancels(device: Device) -> None:
    """After a cancel there is no selection: operate is refused."""
    with device.client() as client:
        client.write(name(device, f"{POSITION}$SBOw"), oper_value(False, origin=ORIGIN, ctl_num=1))
        client.write(name(device, f"{POSITION}$Cancel"), cancel_value(False, origin=ORIGIN, ctl_num=1))
        assert refused(lambda: operate(client, device, POSITION, False, ctl_model=1)) == ("operate", NOT_SELECTED)
    assert device.bench.bays[NAME].position is Position.CLOSED


def refuses_to_operate_unselected(device: Device) -> None:
    with device.client() as client:
        assert refused(lambda: operate(client, device, POSITION, False, ctl_model=1)) == ("operate", NOT_SELECTED)
    assert device.bench.bays[NAME].position is Position.CLOSED


def refuses_another_value_than_selected(device: Device) -> None:
    """Selected to open, told to close; and an other origin than the one that selected."""
    with device.client() as client:
        for wrong in (
            oper_value(True, origin=ORIGIN, ctl_num=1),
            oper_value(False, origin=Origin(OR_CAT_STATION_CONTROL, b"somebody"), ctl_num=1),
        ):
            client.write(name(device, f"{POSITION}$SBOw"), oper_value(False, origin=ORIGIN, ctl_num=1))
            assert refused(lambda w=wrong: client.write(name(device, f"{POSITION}$Oper"), w)) == ("access", DENIED)
            client.write(name(device, f"{POSITION}$Cancel"), cancel_value(False, origin=ORIGIN, ctl_num=1))
    assert device.bench.bays[NAME].position is Position.CLOSED


def refuses_a_second_selection(device: Device) -> None:
    """What one client has selected another neither selects, operates nor cancels; a client that leaves lets go."""
    with device.client() as other:
        with device.client() as first:
            first.write(name(device, f"{POSITION}$SBOw"), oper_value(False, origin=ORIGIN, ctl_num=1))
            for part in ("SBOw", "Oper"):
                value = oper_value(False, origin=ORIGIN, ctl_num=1)
                assert refused(lambda p=part, v=value: other.write(name(device, f"{POSITION}${p}"), v))[0] == "access"
        device.until(lambda: _selects(device, other))
        other.write(name(device, f"{POSITION}$Cancel"), cancel_value(False, origin=ORIGIN, ctl_num=2))
    assert device.bench.bays[NAME].position is Position.CLOSED


def _selects(device: Device, client: object) -> bool:
    try:
        client.write(name(device, f"{POSITION}$SBOw"), oper_value(False, origin=ORIGIN, ctl_num=2))  # type: ignore[attr-defined]
    except DataAccessError:
        return False
    return True


def refuses_where_it_is(device: Device) -> None:
    """A closed switch is not closed; the cause is said at select already."""
    device.put(Position.CLOSED)
    with device.client() as client:
        assert refused(lambda: operate(client, device, POSITION, True)) == ("select", POSITION_REACHED)


def terminates_negatively(device: Device) -> None:
    """Selected, but the gate of the protection process refuses: a negative termination with its cause."""
    device.put(Position.OPEN)
    device.until(lambda: device.bench.status(NAME)["position"] == "open")
    time.sleep(0.3)
    with device.client() as client:
        told = refused(lambda: operate(client, device, POSITION, True, synchro_check=False))
        assert told == ("termination", SYNCHROCHECK)
        assert refused(lambda: operate(client, device, POSITION, True)) == ("select", SYNCHROCHECK)
    assert device.bench.bays[NAME].position is Position.OPEN


def refuses_who_is_not_at_the_bay(device: Device) -> None:
    """Origin category bay control, over the network; and one that there is not."""
    with device.client() as client:
        for category, cause in ((1, HIERARCHY), (4, HIERARCHY), (8, INCONSISTENT_PARAMETERS)):
            origin = Origin(category, b"tester")
            assert refused(lambda o=origin: operate(client, device, POSITION, False, origin=o)) == ("select", cause)
    assert device.bench.bays[NAME].position is Position.CLOSED


def operates_directly(device: Device) -> None:
    """Without selection, both ways; the status follows."""
    with device.client() as client:
        for value in (False, True):
            operate(client, device, AUTOMATION, value)
            device.until(lambda v=value: client.read(name(device, "GGIO1$ST$SPCSO1$stVal")).value == v)


def refuses_malformed_orders(device: Device) -> None:
    """Another structure, another type: an error, and nothing moves."""
    with device.client() as client:
        whole = oper_value(False, origin=ORIGIN)
        for wrong in (
            BoolData(False),
            StructureData(whole.members[:3]),
            StructureData([FloatData(1.0), *whole.members[1:]]),
            StructureData([*whole.members, BoolData(True)]),
        ):
            for part in ("SBOw", "Oper"):
                told = refused(lambda p=part, v=wrong: client.write(name(device, f"{POSITION}${p}"), v))
                assert told[0] == "access"
    assert device.bench.bays[NAME].position is Position.CLOSED


def refuses_status_only(device: Device) -> None:
    """An object that is for status only."""
    with device.client() as client:
        value = oper_value(True, origin=ORIGIN)
        assert refused(lambda: client.write(name(device, "XCBR1$CO$Pos$Oper"), value))[0] == "access"
        assert refused(lambda: client.write(name(device, "LLN0$CO$Beh$Oper"), value))[0] == "access"


def refuses_a_test(device: Device) -> None:
    """Operate with Test set while Beh is on moves nothing."""
    with device.client() as client:
        assert refused(lambda: operate(client, device, POSITION, False, test=True))[1] == BLOCKED_BY_MODE
    assert device.bench.bays[NAME].position is Position.CLOSED


def selects_normally(device: Device) -> None:
    """Models with Select of normal security: by reading SBO, then operate."""
    item = next(control for control in device.offered.controls if control.model == 2)
    node, _, path = item.reference.partition("/")[2].partition(".")
    with device.client() as client:
        assert client.read(name(device, f"{node}$CO${path}$SBO")).value


def selection_ends(device: Device) -> None:
    """After sboTimeout an operate is refused. Played where that is at most 5 s."""
    item = next(c for c in device.offered.controls if c.model == SELECT_ENHANCED and (c.select_s or 99) <= 5)
    node, _, path = item.reference.partition("/")[2].partition(".")
    assert item.select_s is not None
    with device.client() as client:
        client.write(name(device, f"{node}$CO${path}$SBOw"), oper_value(False, origin=ORIGIN, ctl_num=1))
        time.sleep(item.select_s + 0.5)
        value = oper_value(False, origin=ORIGIN, ctl_num=1)
        assert refused(lambda: client.write(name(device, f"{node}$CO${path}$Oper"), value)) == ("access", DENIED)

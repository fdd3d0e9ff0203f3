"""Every way in which an order is refused, as a client of others hears it: the AddCause, and that nothing is ordered."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from open61850.data import BoolData, StructureData
from open61850.mms.control import Origin, cancel_value, oper_value
from open61850.mms.errors import MmsError
from open61850.mms.pdu import ObjectName

from agent.logic.messages import CommandKind, Live, Position, Refusal
from agent.mms import controls
from agent.mms.build import ModelError
from agent.mms.model import ADD_CAUSE, AddCause
from agent.mms.server import MmsServer
from agent.mms.services import NO_SERVICES
from agent.mms.tree import Tree
from tests.mms.desk import DOMAIN, OPEN, POS, REMOTE, Desk, Operator, desk, modelled, order, until
from tests.mms.lab import in_memory

CANCEL = cancel_value(True, origin=Origin(3, b"desk"), ctl_num=1)


@pytest.mark.parametrize("refusal", [refusal for refusal in Refusal if refusal])
def test_each_refusal_of_the_gate_is_told_with_its_cause(tree: Tree, refusal: Refusal) -> None:
    with desk(tree) as (there, (operator,)):
        there.refusal = refusal
        assert operator.write("SBOw", order())
        operator.write("Oper", order())
        busy = refusal is Refusal.POSITION  # it is open, and still may not be closed: something is under way
        assert operator.cause() == (AddCause.COMMAND_ALREADY_IN_EXECUTION if busy else ADD_CAUSE[refusal])
        assert len(there.told) == 1


def test_a_position_that_is_none_is_told_as_such(tree: Tree) -> None:
    with desk(tree) as (there, (operator,)):
        there.state = OPEN._replace(breaker=OPEN.breaker._replace(position=Position.INTERMEDIATE))
        there.refusal = Refusal.POSITION
        assert operator.write("SBOw", order())
        operator.write("Oper", order())
        assert operator.cause() == AddCause.INVALID_POSITION


def test_an_agent_that_is_not_there_or_does_not_answer(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    with desk(tree) as (there, (operator,)):
        there.reached = False
        assert operator.write("SBOw", order())
        operator.write("Oper", order())
        assert operator.cause() == AddCause.BLOCKED_BY_HEALTH
        there.reached, there.refusal = True, None
        monkeypatch.setattr(controls, "EXECUTION_LIMIT_S", 0.2)
        assert operator.write("SBOw", order(2))
        operator.write("Oper", order(2))
        assert operator.cause() == AddCause.TIME_LIMIT_OVER


def _selected(_desk: Desk, operator: Operator, _other: Operator) -> None:
    assert operator.write("SBOw", order())


def _by_the_other(_desk: Desk, _operator: Operator, other: Operator) -> None:
    assert other.write("SBOw", order())


def _operated(there: Desk, operator: Operator, _other: Operator) -> None:
    there.refusal = None
    assert operator.write("SBOw", order())
    assert operator.write("Oper", order())
    until(lambda: len(there.told) == 1)


def _nothing(_desk: Desk, _operator: Operator, _other: Operator) -> None:
    pass


@pytest.mark.parametrize(
    ("before", "part", "value", "cause"),
    [
        (_selected, "SBOw", order(), AddCause.OBJECT_ALREADY_SELECTED),
        (_by_the_other, "SBOw", order(), AddCause.OBJECT_ALREADY_SELECTED),
        (_by_the_other, "Oper", order(), AddCause.LOCKED_BY_OTHER_CLIENT),
        (_by_the_other, "Cancel", CANCEL, AddCause.LOCKED_BY_OTHER_CLIENT),
        (_nothing, "Oper", order(), AddCause.OBJECT_NOT_SELECTED),
        (_selected, "Oper", order(2), AddCause.INCONSISTENT_PARAMETERS),
        (_selected, "Oper", order(value=False), AddCause.INCONSISTENT_PARAMETERS),
        (_selected, "Oper", order(origin=Origin(3, b"else")), AddCause.INCONSISTENT_PARAMETERS),
        (_selected, "Oper", order(origin=Origin(9, b"")), AddCause.INCONSISTENT_PARAMETERS),
        (_selected, "Oper", order(test=True), AddCause.INCONSISTENT_PARAMETERS),
        (_nothing, "SBOw", order(origin=Origin(9, b"")), AddCause.SELECT_FAILED),
        (_nothing, "SBOw", order(origin=Origin(3, b"x" * 65)), AddCause.SELECT_FAILED),
        (_nothing, "SBOw", order(origin=Origin(8, b"")), AddCause.INCONSISTENT_PARAMETERS),
        (_nothing, "SBOw", order(origin=Origin(1, b"")), AddCause.BLOCKED_BY_SWITCHING_HIERARCHY),
        (_nothing, "SBOw", order(test=True), AddCause.BLOCKED_BY_MODE),
        (_operated, "Oper", order(), AddCause.COMMAND_ALREADY_IN_EXECUTION),
        (_operated, "SBOw", order(2), AddCause.COMMAND_ALREADY_IN_EXECUTION),
        (_operated, "Cancel", CANCEL, AddCause.COMMAND_ALREADY_IN_EXECUTION),
    ],
)
def test_what_the_control_model_refuses(
    tree: Tree, before: Callable[[Desk, Operator, Operator], None], part: str, value: StructureData, cause: int
) -> None:
    with desk(tree, clients=2) as (there, (operator, other)):
        before(there, operator, other)
        orders = len(there.told)
        assert not operator.write(part, value)
        assert operator.cause() == cause
        assert len(there.told) == orders


def test_a_selection_ends_by_its_time_by_cancel_and_with_its_client(scd: bytes) -> None:
    with desk(modelled(scd, "sbo-with-enhanced-security", sboTimeout="300"), clients=2) as (there, (operator, other)):
        assert operator.write("SBOw", order())
        assert not other.write("SBOw", order())
        time.sleep(0.5)
        assert not operator.write("Oper", order())
        assert operator.cause() == AddCause.OBJECT_NOT_SELECTED
        assert operator.write("SBOw", order())
        assert operator.write("Cancel", CANCEL)
        assert other.write("SBOw", order())
        other.client.close()
        until(lambda: operator.write("SBOw", order()))
        assert there.told == []


def test_operate_many_keeps_the_selection_and_operate_once_does_not(scd: bytes) -> None:
    for kind, again in (("operate-many", True), ("operate-once", False)):
        with desk(modelled(scd, "sbo-with-enhanced-security", sboClass=kind), clients=2) as (there, (operator, other)):
            assert operator.write("SBOw", order())
            assert operator.write("Oper", order())
            until(lambda there=there: len(there.told) == 1)
            time.sleep(0.05)
            assert operator.write("Oper", order()) is again
            assert other.write("SBOw", order()) is not again


def test_a_refused_order_leaves_nothing_behind_for_the_next_selection(scd: bytes) -> None:
    """A selection without a value has no origin; that of the order before is not its own."""
    with desk(modelled(scd, "sbo-with-normal-security")) as (there, (operator,)):
        select = ObjectName(f"{POS}$SBO", DOMAIN)
        assert operator.client.read(select).value
        assert not operator.write("Oper", order(origin=Origin(1, b"")))
        assert operator.cause() == AddCause.BLOCKED_BY_SWITCHING_HIERARCHY
        assert operator.client.read(select).value
        assert operator.write("Oper", order(2))
        until(lambda: len(there.told) == 1)


def test_the_order_of_a_client_that_has_gone_is_nobody_elses(tree: Tree) -> None:
    with desk(tree, clients=2) as (there, (operator, other)):
        _operated(there, operator, other)
        operator.client.close()
        until(lambda: not other.write("SBOw", order(5)) and other.causes[-1] == AddCause.COMMAND_ALREADY_IN_EXECUTION)
        other.causes.clear()
        there.refusal = Refusal.NONE
        until(lambda: other.write("SBOw", order(6)))
        assert other.write("Oper", order(6))
        until(lambda: len(there.told) == 2)


def test_who_ordered_is_on_record_and_shown(tree: Tree) -> None:
    with desk(tree) as (there, (operator,)):
        operator.write("SBOw", order(9))
        operator.write("Oper", order(9))
        until(lambda: there.told == [(CommandKind.CLOSE, "MMS orCat 3 orIdent 'desk'")])
        shown = operator.client.read(ObjectName("CSWI1$ST$Pos$origin", DOMAIN))
        assert [part.value for part in shown.members] == [3, b"desk"]
        assert operator.client.read(ObjectName("CSWI1$ST$Pos$ctlNum", DOMAIN)).value == 9


@pytest.mark.parametrize("checked", [True, False])
def test_two_live_sides_are_refused_with_the_check_and_without_it(tree: Tree, checked: bool) -> None:
    """Asked for, the check fails at once; not asked for, the order goes on to the gate, which refuses it."""
    with desk(tree) as (there, (operator,)):
        there.state = OPEN._replace(report=OPEN.report._replace(live_b=Live.LIVE))
        there.refusal = Refusal.BOTH_SIDES_LIVE
        time.sleep(0.05)
        value = oper_value(True, origin=REMOTE, ctl_num=1, synchro_check=checked)
        assert operator.write("SBOw", value) is not checked
        if not checked:
            operator.write("Oper", value)
        assert operator.cause() == AddCause.BLOCKED_BY_SYNCHROCHECK
        assert len(there.told) == (0 if checked else 1)


@pytest.mark.parametrize(
    ("model", "configured", "why"),
    [
        ("status-only", {}, "ctlModel 0"),
        ("sbo-with-enhanced-security", {"sboTimeout": "0"}, "never end"),
    ],
)
def test_a_control_that_cannot_be_worked_with_stops_the_server_by_name(
    scd: bytes, model: str, configured: dict[str, str], why: str
) -> None:
    tree = modelled(scd, model, **configured)
    with pytest.raises(ModelError, match=why) as refused:
        MmsServer(tree, lambda _kind, _origin: 1, lambda _identifier: None, services=in_memory(NO_SERVICES))
    assert "FLISR/CSWI1.Pos" in str(refused.value)


def test_a_second_control_of_the_same_switch_is_refused(tree: Tree) -> None:
    """Two of them could be selected by two clients at once (IEC 61850-7-2: 1-of-n control)."""
    (device,) = tree.devices
    twin = next(node for node in device.nodes if node.ln_class == "CSWI")._replace(inst="2")
    doubled = tree._replace(devices=(device._replace(nodes=(*device.nodes, twin)),))
    with pytest.raises(ModelError, match=r"CSWI2\.Pos: a second control"):
        MmsServer(doubled, lambda _kind, _origin: 1, lambda _identifier: None, services=in_memory(NO_SERVICES))


def test_no_object_of_the_model_releases(tree: Tree) -> None:
    """Whatever is written with "true": the brain hears of nothing but the three orders that there are."""
    with desk(tree) as (there, (operator,)):
        there.state = OPEN._replace(report=OPEN.report._replace(locked_b=True))
        time.sleep(0.05)
        for name in operator.client.get_name_list(0, DOMAIN):
            if name.count("$") >= 2 and not name.endswith("$SBO"):
                try:
                    operator.client.write(ObjectName(name, DOMAIN), BoolData(True))
                except MmsError:
                    continue
        for value in (True, False):
            for part in ("SBOw", "Oper"):
                operator.write(part, order(value=value))
        kinds = {kind for kind, _ in there.told}
        assert kinds <= {CommandKind.AUTOMATION_ON, CommandKind.AUTOMATION_OFF}

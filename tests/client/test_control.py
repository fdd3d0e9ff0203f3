"""Commands without a server: what is sent follows the server's type, and only what is about our command counts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from open61850.data import (
    BitStringData,
    BoolData,
    IECData,
    IntData,
    OctetStringData,
    StructureData,
    TimestampData,
    UIntData,
    VisibleStringData,
)
from open61850.mms.errors import DataAccessError
from open61850.mms.pdu import InformationReport, ObjectName
from open61850.mms.types import PrimitiveType, StructureType

from agent.mms.client.control import Controllable, Hearing, Model, Order, parameters
from agent.mms.client.errors import ReferenceNotFoundError

NAMES = ("ctlVal", "origin", "ctlNum", "T", "Test", "Check")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NUMBER = 7


def oper(*names: str) -> StructureType:
    return StructureType([(name, PrimitiveType("boolean")) for name in names])


TARGET = Controllable(ObjectName("CSWI1$CO$Pos", "LD"), Model.SELECT_ENHANCED, oper(*NAMES))


def sent(number: int = NUMBER) -> StructureData:
    return parameters(TARGET.oper, BoolData(True), Order(), number, NOW)


def last_error(reference: str = "LD/CSWI1$CO$Pos$Oper", number: int = NUMBER, cause: int = 10) -> StructureData:
    origin = StructureData([IntData(3), OctetStringData(b"flisr")])
    return StructureData([VisibleStringData(reference), IntData(1), origin, UIntData(number), IntData(cause)])


def report(**values: IECData | DataAccessError) -> InformationReport:
    names = {"error": ObjectName("LastApplError"), "oper": TARGET.part("Oper"),
             "other": ObjectName("CSWI2$CO$Pos$Oper", "LD")}  # fmt: skip
    return InformationReport(None, [names[key] for key in values], list(values.values()))


def test_what_is_sent_has_the_parts_of_the_servers_type_in_their_order() -> None:
    order = Order(origin="me", category=2, test=True, interlock_check=False, synchro_check=True)
    timed = parameters(oper("ctlVal", "operTm", *NAMES[1:]), BoolData(True), order, 9, NOW)
    assert timed.members[0] == BoolData(True)
    assert isinstance(timed.members[1], TimestampData)
    assert timed.members[1].value.year == 1970
    assert timed.members[2:] == [
        StructureData([IntData(2), OctetStringData(b"me")]), UIntData(9), TimestampData(NOW, 0x3F), BoolData(True),
        BitStringData(b"\x80", 6),
    ]  # fmt: skip
    assert len(parameters(oper(*NAMES[:-1]), BoolData(True), order, 9, NOW).members) == 5
    with pytest.raises(ReferenceNotFoundError, match="ctlSecret"):
        parameters(oper("ctlVal", "ctlSecret"), BoolData(True), order, 9, NOW)


@pytest.mark.parametrize(
    ("told", "ended", "cause"),
    [
        ([report(oper=sent())], True, None),
        ([report(error=last_error(), oper=sent())], True, 10),
        ([report(oper=sent(NUMBER + 1))], False, None),
        ([report(other=sent())], False, None),
        ([report(error=last_error(number=NUMBER + 1), oper=sent())], False, None),
        ([report(error=last_error("LD/CSWI2$CO$Pos$Oper"), oper=sent())], False, None),
        ([report(error=last_error("LD/CSWI1.Pos"), oper=sent())], True, 10),
        ([report(error=DataAccessError(3), oper=DataAccessError(3))], False, None),
        ([report(error=BoolData(True), oper=sent())], False, None),
        ([report(error=StructureData([BoolData(True)] * 5), oper=sent())], False, None),
    ],
)  # fmt: skip
def test_only_the_end_of_this_command_counts(told: list[InformationReport], ended: bool, cause: int | None) -> None:
    async def story() -> None:
        hearing = Hearing(TARGET, NUMBER)
        for one in told:
            hearing(one)
        assert hearing.termination.done() == ended
        if ended:
            error = hearing.termination.result()
            assert (error and error.add_cause) == cause

    asyncio.run(story())


def test_a_refusal_is_kept_for_the_answer_that_follows() -> None:
    async def story() -> None:
        hearing = Hearing(TARGET, NUMBER)
        hearing(report(error=last_error(cause=20)))
        assert hearing.told.is_set()
        assert hearing.error is not None
        assert hearing.error.add_cause_name == "no-access-authority"
        assert not hearing.termination.done()

    asyncio.run(story())

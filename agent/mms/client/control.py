"""Commands after IEC 61850-7-2 clause 20, in the order that the object's ctlModel wants.

    status only              refused here
    direct, normal           Oper
    select, normal           read SBO, Oper
    direct, enhanced         Oper, CommandTermination
    select, enhanced         SBOw, Oper, CommandTermination

What is sent is built from the type that the server tells (operTm or not, integer or boolean value). A selection that is
not used is given back. A command whose end was not heard is never sent again: :class:`OutcomeUnknownError`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final

from open61850.data import (
    BitStringData,
    BoolData,
    IECData,
    IntData,
    StructureData,
    TimestampData,
    UIntData,
    VisibleStringData,
)
from open61850.mms.control import ADD_CAUSES, CTL_MODELS, LAST_APPL_ERROR, LastApplError, Origin
from open61850.mms.errors import DataAccessError
from open61850.mms.pdu import InformationReport, ObjectName
from open61850.mms.types import MmsType, StructureType

from agent.mms.client.connection import Connection
from agent.mms.client.endpoint import MALFORMED
from agent.mms.client.errors import (
    ControlRefusedError,
    LostError,
    MmsError,
    OutcomeUnknownError,
    ReferenceNotFoundError,
    RefusedError,
    SilentError,
)

REMOTE_CONTROL: Final = 3
"""Originator category of a control centre."""
ERROR_GRACE_S: Final = 0.2
"""LastApplError comes before the refusal; so long it may come after it."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TIME_UNKNOWN: Final = 0x3F
"""TimeQuality: not synchronized, accuracy not known. The client does not know how good its machine's clock is."""


class Model(IntEnum):
    """ctlModel."""

    STATUS_ONLY = 0
    DIRECT = 1
    SELECT = 2
    DIRECT_ENHANCED = 3
    SELECT_ENHANCED = 4

    @property
    def words(self) -> str:
        """As IEC 61850-7-3 writes it."""
        return str(CTL_MODELS[int(self)])


@dataclass(frozen=True, slots=True)
class Order:
    """How a command is given; what it asks for is apart."""

    origin: str = "flisr"
    category: int = REMOTE_CONTROL
    test: bool = False
    interlock_check: bool = True
    synchro_check: bool = True
    termination_s: float = 30.0
    """So long an end of the command is waited for, where the model promises one."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that the server carried out, as far as its model tells."""

    reference: str
    model: Model
    number: int
    terminated: bool
    """A positive CommandTermination came: the end of the movement, not only the beginning."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Controllable:
    """A controllable object, as the server describes it."""

    name: ObjectName
    """``LN$CO$DO``."""
    model: Model
    oper: StructureType

    @property
    def reference(self) -> str:
        """``LD/LN.DO``."""
        return f"{self.name.domain}/{self.name.item.replace('$CO$', '.').replace('$', '.')}"

    @property
    def value_type(self) -> MmsType | None:
        """Of ctlVal."""
        return self.oper.component("ctlVal")

    def part(self, name: str) -> ObjectName:
        """``Oper``, ``SBOw``, ``SBO`` or ``Cancel`` of it."""
        return ObjectName(f"{self.name.item}${name}", self.name.domain)


async def describe(connection: Connection, domain: str, node: str, path: tuple[str, ...]) -> Controllable:
    """What stands behind a data object; ReferenceNotFoundError if it cannot be operated."""
    reference = f"{domain}/{'.'.join((node, *path))}"
    name = ObjectName("$".join((node, "CO", *path)), domain)
    try:
        told = await connection.read(ObjectName("$".join((node, "CF", *path, "ctlModel")), domain))
        model = Model(int(getattr(told, "value", -1)))
    except RefusedError as error:
        raise ReferenceNotFoundError(f"{reference}: no controllable object (ctlModel: {error.reason})") from None
    except (ValueError, TypeError):
        raise ReferenceNotFoundError(f"{reference}: its ctlModel is none of IEC 61850-7-3") from None
    if model is Model.STATUS_ONLY:
        raise ControlRefusedError(reference, "check", "ctlModel is status-only", None, None)
    try:
        oper = await connection.type_of(ObjectName(f"{name.item}$Oper", domain))
    except RefusedError as error:
        raise ReferenceNotFoundError(f"{reference}: cannot be operated (Oper: {error.reason})") from None
    if not isinstance(oper, StructureType) or oper.component("ctlVal") is None:
        raise ReferenceNotFoundError(f"{reference}: its Oper has no ctlVal")
    return Controllable(name, model, oper)


def parameters(oper: StructureType, value: IECData, order: Order, number: int, now: datetime) -> StructureData:
    """Oper or SBOw with the parts that the server's type names. Pure."""
    check = (0x80 if order.synchro_check else 0) | (0x40 if order.interlock_check else 0)
    parts: dict[str, Callable[[], IECData]] = {
        "ctlVal": lambda: value,
        "operTm": lambda: TimestampData(EPOCH),
        "origin": lambda: Origin(order.category, order.origin.encode()[:64]).to_data(),
        "ctlNum": lambda: UIntData(number),
        "T": lambda: TimestampData(now, TIME_UNKNOWN),
        "Test": lambda: BoolData(order.test),
        "Check": lambda: BitStringData(bytes([check]), 6),
    }
    unknown = [name for name, _ in oper.components if name not in parts]
    if unknown:
        raise ReferenceNotFoundError(f"Oper has a part that IEC 61850 does not know: {', '.join(unknown)}")
    return StructureData([parts[name]() for name, _ in oper.components])


class Hearing:
    """What the server tells unasked about one command: why it refuses, and how the command ended."""

    def __init__(self, target: Controllable, number: int) -> None:
        self._target = target
        self._number = number
        self.error: LastApplError | None = None
        self.told = asyncio.Event()
        self.termination: asyncio.Future[LastApplError | None] = asyncio.get_running_loop().create_future()
        """None: positive."""

    def __call__(self, report: InformationReport) -> None:
        if report.list_name is not None:
            return
        error: LastApplError | None = None
        ended = False
        for name, value in zip(report.variables, report.results, strict=False):
            if isinstance(value, DataAccessError):
                continue
            if name == LAST_APPL_ERROR:
                error = self._ours(value)
                if error is None:
                    return
            elif name == self._target.part("Oper"):
                ended = self._same_number(value)
        if ended and not self.termination.done():
            self.termination.set_result(error)
        elif error is not None:
            self.error = error
            self.told.set()

    def _ours(self, value: IECData) -> LastApplError | None:
        try:
            error = LastApplError.from_data(value)
        except MALFORMED:
            return None
        spelled = error.control_object.replace("/", "$").replace(".", "$")
        whole = f"{self._target.name.domain}${self._target.name.item}"
        plain = self._target.reference.replace("/", "$").replace(".", "$")
        about_us = spelled in (whole, plain) or spelled.startswith((f"{whole}$", f"{plain}$"))
        return error if about_us and error.ctl_num == self._number else None

    def _same_number(self, value: IECData) -> bool:
        """Whether an Oper that is told to have ended is the one that we sent."""
        names = [name for name, _ in self._target.oper.components]
        if not isinstance(value, StructureData) or len(value.members) != len(names) or "ctlNum" not in names:
            return True
        number = value.members[names.index("ctlNum")]
        return not isinstance(number, IntData | UIntData) or number.value & 0xFF == self._number


_numbers = itertools.count(1)


async def operate(connection: Connection, target: Controllable, value: IECData, order: Order = Order()) -> Done:
    """Give one command and wait for its end. ControlRefusedError, OutcomeUnknownError, LostError, SilentError."""
    loop = asyncio.get_running_loop()
    began, number = loop.time(), next(_numbers) & 0xFF
    hearing = Hearing(target, number)
    connection.listen(hearing)
    try:
        await _select(connection, target, value, order, number, hearing)
        await _operate(connection, target, value, order, number, hearing)
        enhanced = target.model in (Model.DIRECT_ENHANCED, Model.SELECT_ENHANCED)
        if enhanced:
            await _end(connection, target, order, hearing)
        return Done(target.reference, target.model, number, enhanced, loop.time() - began)
    finally:
        connection.unlisten(hearing)


async def _select(
    connection: Connection, target: Controllable, value: IECData, order: Order, number: int, hearing: Hearing
) -> None:
    if target.model is Model.SELECT:
        try:
            selected = await connection.read(target.part("SBO"), urgent=True)
        except RefusedError as error:
            raise await _refused(target, "select", error.reason, hearing) from None
        if not isinstance(selected, VisibleStringData) or not selected.value:
            raise await _refused(target, "select", "not selected", hearing)
    elif target.model is Model.SELECT_ENHANCED:
        chosen = parameters(target.oper, value, order, number, datetime.now(UTC))
        try:
            await connection.write(target.part("SBOw"), chosen, urgent=True)
        except RefusedError as error:
            raise await _refused(target, "select", error.reason, hearing) from None
        except SilentError:
            await _give_back(connection, target, value, order, number)
            raise


async def _operate(
    connection: Connection, target: Controllable, value: IECData, order: Order, number: int, hearing: Hearing
) -> None:
    wanted = parameters(target.oper, value, order, number, datetime.now(UTC))
    try:
        await connection.write(target.part("Oper"), wanted, urgent=True)
    except RefusedError as error:
        refused = await _refused(target, "operate", error.reason, hearing)
        await _give_back(connection, target, value, order, number)
        raise refused from None
    except (SilentError, LostError) as error:
        raise OutcomeUnknownError(f"{target.reference}: not known whether it was carried out: {error}") from None


async def _end(connection: Connection, target: Controllable, order: Order, hearing: Hearing) -> None:
    """Wait for CommandTermination, or for the end of the connection."""
    waiting: set[asyncio.Future[LastApplError | None] | asyncio.Future[str]] = {hearing.termination, connection.ended}
    await asyncio.wait(waiting, timeout=order.termination_s, return_when=asyncio.FIRST_COMPLETED)
    if hearing.termination.done():
        error = hearing.termination.result()
        if error is not None:
            raise ControlRefusedError(target.reference, "termination", "negative", _cause(error), error.add_cause)
        return
    why = f"connection lost: {connection.ended.result()}" if connection.ended.done() else (
        f"no CommandTermination within {order.termination_s:g} s"
    )  # fmt: skip
    raise OutcomeUnknownError(f"{target.reference}: accepted, but its end is not known: {why}")


async def _give_back(connection: Connection, target: Controllable, value: IECData, order: Order, number: int) -> None:
    """Cancel a selection; a server that does not let it go does so by its sboTimeout."""
    if target.model not in (Model.SELECT, Model.SELECT_ENHANCED):
        return
    parts = [(name, of) for name, of in target.oper.components if name != "Check"]
    cancel = parameters(StructureType(parts), value, order, number, datetime.now(UTC))
    with contextlib.suppress(MmsError):
        await connection.write(target.part("Cancel"), cancel, urgent=True)


async def _refused(target: Controllable, stage: str, reason: str, hearing: Hearing) -> ControlRefusedError:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ERROR_GRACE_S):
            await hearing.told.wait()
    error = hearing.error
    if error is None:
        return ControlRefusedError(target.reference, stage, reason, None, None)
    return ControlRefusedError(target.reference, stage, reason, _cause(error), error.add_cause)


def _cause(error: LastApplError) -> str:
    return str(ADD_CAUSES.get(error.add_cause, error.add_cause))

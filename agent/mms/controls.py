"""Orders of MMS clients: what is refused at once, and why (AddCause), and what goes to the brain.

The library keeps the control model of each object as its SCL has it (ctlModel, sboTimeout, sboClass): who has selected
what, ctlNum and origin the same as selected, cancellation, termination. It asks here before it selects or operates
(:func:`judge`), and when it operates; it asks again at each poll until the brain has answered. Whatever passes here
meets the brain's gate all the same: nothing of this module can close anything.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from agent.logic.messages import CommandKind, CommandResult, Position, Refusal
from agent.mms.build import ModelError
from agent.mms.callers import Callers
from agent.mms.library import library
from agent.mms.model import ADD_CAUSE, AddCause, IedState, pre_check, synchronism_released
from agent.mms.tree import DataObject, Tree

EXECUTION_LIMIT_S = 5.0
"""An order that the brain has not answered by then is reported as failed (time limit over)."""

Submit = Callable[[CommandKind, str], int]
"""Hand an order (with its origin) to the protection process; returns its identifier, 0 if it cannot be reached."""
Answer = Callable[[int], CommandResult | None]
"""The answer to an identifier; None while there is none."""

BAY_CONTROL, AUTOMATIC_BAY, MAINTENANCE = 1, 4, 7
"""orCat (IEC 61850-7-3, table of orCategory)."""
AT_THE_BAY: Final = frozenset({BAY_CONTROL, AUTOMATIC_BAY})
"""Nobody at the device gives orders by MMS: who says so is not where he says."""


AT_ONCE: Final = {
    "orCat is not one of 0 to 7": AddCause.INCONSISTENT_PARAMETERS,
    "orCat says that the order is given at the bay": AddCause.BLOCKED_BY_SWITCHING_HIERARCHY,
    "Test is set while Beh is on": AddCause.BLOCKED_BY_MODE,
    "the last order to the object is under way": AddCause.COMMAND_ALREADY_IN_EXECUTION,
    "synchrocheck is asked for, and RSYN.Rel is false": AddCause.BLOCKED_BY_SYNCHROCHECK,
    "the device is between its positions, or says both": AddCause.INVALID_POSITION,
    "a close or a trip of the device's agent is under way": AddCause.COMMAND_ALREADY_IN_EXECUTION,
    "the brain does not answer in time": AddCause.TIME_LIMIT_OVER,
}
"""What is refused here beside the gate's refusals (:data:`agent.mms.model.ADD_CAUSE`)."""

BY_THE_LIBRARY: Final = {
    "select: this client or another has selected the object": AddCause.OBJECT_ALREADY_SELECTED,
    "operate: the object is not selected, or no longer": AddCause.OBJECT_NOT_SELECTED,
    "operate, cancel: another client has selected the object": AddCause.LOCKED_BY_OTHER_CLIENT,
    "operate: ctlVal, origin, ctlNum, Test or Check is not as selected": AddCause.INCONSISTENT_PARAMETERS,
    "operate: orCat above 8, or orIdent longer than 64 octets": AddCause.INCONSISTENT_PARAMETERS,
    "select: orCat above 8, or orIdent longer than 64 octets": AddCause.SELECT_FAILED,
    "select, operate, cancel: the object is being operated": AddCause.COMMAND_ALREADY_IN_EXECUTION,
}
"""What libiec61850 refuses before it asks here."""


class Way(NamedTuple):
    """To the brain and back."""

    submit: Submit
    answer: Answer


class Order(NamedTuple):
    """What a client wants, at select or at operate."""

    value: bool | None
    """None: selected without a value (SBO with normal security)."""
    or_cat: int = 3
    test: bool = False
    synchro_check: bool = False
    """Check bit of the order. The other one (interlock check) changes nothing: what CILO says holds for every order."""
    may_control: bool = True
    """By the client's role."""
    under_way: bool = False
    """The object's last order has not ended."""


def judge(order: Order, state: IedState | None, switches: bool) -> int | None:
    """Why it is refused (AddCause), most lasting reason first; None: it goes on to the brain. ``switches``: the object
    is the device's position; else the automation switch, which is always at hand."""
    if not order.may_control:
        return AddCause.NO_ACCESS_AUTHORITY
    if order.value is not None:  # a selection without a value has no origin: the library shows that of the order before
        if not 0 <= order.or_cat <= MAINTENANCE:
            return AddCause.INCONSISTENT_PARAMETERS
        if order.or_cat in AT_THE_BAY:
            return AddCause.BLOCKED_BY_SWITCHING_HIERARCHY
    if order.test:
        return AddCause.BLOCKED_BY_MODE  # Beh is on: a test would move the switch like any other order
    if order.under_way:
        return AddCause.COMMAND_ALREADY_IN_EXECUTION
    if not switches:
        return None
    wanted = (False, True) if order.value is None else (order.value,)
    refusals = [Refusal.UNHEALTHY if state is None else pre_check(state, value) for value in wanted]
    if Refusal.NONE not in refusals:
        return ADD_CAUSE[refusals[-1]]
    if order.value and order.synchro_check and state is not None and not synchronism_released(state):
        return AddCause.BLOCKED_BY_SYNCHROCHECK
    return None


def cause_of(refusal: Refusal, state: IedState | None, close: bool) -> int:
    """AddCause of what the brain answers. Its one word for the position has three causes."""
    if refusal is Refusal.POSITION and state is not None:
        position = state.breaker.position
        if position not in (Position.OPEN, Position.CLOSED):
            return AddCause.INVALID_POSITION
        if (position is Position.CLOSED) is not close:
            return AddCause.COMMAND_ALREADY_IN_EXECUTION
    return ADD_CAUSE.get(refusal, AddCause.UNKNOWN)


def unsound(data: DataObject) -> str:
    """Why this control, as the SCL has it, could not be worked with; empty: it can."""
    parts = {attribute.name: attribute.value for attribute in data.attributes if attribute.fc in ("CO", "CF")}
    model = parts.get("ctlModel", "")
    needs = {"1": ("Oper",), "2": ("SBO", "Oper"), "3": ("Oper",), "4": ("SBOw", "Oper", "Cancel")}.get(model)
    if needs is None:
        return f"a control of ctlModel {model or '(none)'}"
    missing = [name for name in needs if name not in parts]
    if missing:
        return f"ctlModel {model} without {', '.join(missing)}"
    if model in ("2", "4") and parts.get("sboTimeout") == "0":
        return "sboTimeout 0: a selection would never end"
    return ""


class Controls:
    """All controllable objects of one server. Its callbacks run in the thread that polls the server."""

    def __init__(self, iec: Any, server: Any, callers: Callers, way: Way, failed: Callable[[str], None]) -> None:
        self._iec = iec
        self._server = server
        self._callers = callers
        self._way = way
        self._failed = failed
        self._kept: list[Any] = []
        self._subscribers: list[Any] = []
        self.state: IedState | None = None
        """As shown to clients."""

    def install(self, tree: Tree, objects: dict[str, Any]) -> None:
        """ModelError: a control that no order stands behind."""
        known: dict[tuple[str, str], tuple[bool, CommandKind, CommandKind]] = {
            ("CSWI", "Pos"): (True, CommandKind.CLOSE, CommandKind.OPEN),
            ("GGIO", "SPCSO1"): (False, CommandKind.AUTOMATION_ON, CommandKind.AUTOMATION_OFF),
        }
        problems = []
        found: dict[str, tuple[bool, CommandKind, CommandKind]] = {}
        for device, node in tree.nodes():
            for data in filter(lambda each: each.controllable, node.objects):
                reference = f"{device.inst}/{node.name}.{data.name}"
                order = known.get((node.ln_class, data.name)) if not node.prefix else None
                if order is None:
                    problems.append(f"{reference}: no order stands behind this control")
                elif order in found.values():
                    problems.append(f"{reference}: a second control of the same thing, which no selection locks")
                elif why := unsound(data):
                    problems.append(f"{reference}: {why}")
                else:
                    found[reference] = order
        if problems:
            raise ModelError(problems)
        for reference, order in found.items():
            self._control(reference, objects[reference], *order)

    def close(self) -> None:
        """After the server: their destructors take them off the binding's process-wide register of references."""
        self._subscribers.clear()

    def _control(self, reference: str, control: Any, switches: bool, on: CommandKind, off: CommandKind) -> None:
        """Install check and control callbacks for one controllable object."""
        iec, controls = self._iec, self

        class Check(iec.CheckHandlerForPython):  # type: ignore[misc, name-defined]
            def trigger(self) -> None:
                try:
                    action = self._libiec61850_control_action
                    value = self._libiec61850_mms_value
                    order = Order(
                        None, may_control=controls._callers.of_action(iec, action).may_control,
                        under_way=execution.under_way,
                    )  # fmt: skip
                    if value is not None:  # else what the action tells is of the order before
                        order = order._replace(
                            value=bool(iec.MmsValue_getBoolean(value)),
                            or_cat=int(iec.ControlAction_getOrCat(action)),
                            test=bool(self._libiec61850_test),
                            synchro_check=bool(iec.ControlAction_getSynchroCheck(action)),
                        )
                    cause = judge(order, controls.state, switches)
                    if cause is None:
                        if not iec.ControlAction_isSelect(action):
                            execution.begin()
                        self._libiec61850_check_handler_result = iec.CONTROL_ACCEPTED
                    else:
                        iec.ControlAction_setAddCause(action, cause)
                        self._libiec61850_check_handler_result = iec.CONTROL_OBJECT_ACCESS_DENIED
                except Exception as error:
                    controls._failed(f"{reference} check: {type(error).__name__}: {error}")
                    self._libiec61850_check_handler_result = iec.CONTROL_TEMPORARILY_UNAVAILABLE

        class Wait(iec.WaitForExecutionHandlerForPython):  # type: ignore[misc, name-defined]
            def trigger(self) -> None:
                self._libiec61850_control_handler_result = iec.CONTROL_RESULT_OK

        class Control(iec.ControlHandlerForPython):  # type: ignore[misc, name-defined]
            def trigger(self) -> None:
                try:
                    value = bool(iec.MmsValue_getBoolean(self._libiec61850_mms_value))
                    caller = controls._callers.of_action(iec, self._libiec61850_control_action)
                    kind = on if value else off
                    state = controls.state if switches else None
                    result = execution.advance(kind, self._libiec61850_control_action, caller.name, state)
                    self._libiec61850_control_handler_result = result
                except Exception as error:
                    controls._failed(f"{reference} operate: {type(error).__name__}: {error}")
                    execution.identifier = None
                    self._libiec61850_control_handler_result = iec.CONTROL_RESULT_FAILED

        execution = _Execution(iec, self._way)
        subscriber = iec.ControlSubscriberForPython()
        subscriber.setIedServer(self._server)
        subscriber.setControlObject(control)
        for handler, install in (
            (Check(), subscriber.setCheckHandler),
            (Wait(), subscriber.setWaitHandler),
            (Control(), subscriber.setControlHandler),
        ):
            handler.thisown = 0
            install(handler)
            self._kept.append(handler)
        self._kept.append(execution)
        self._subscribers.append(subscriber)
        if not subscriber.subscribe():
            raise RuntimeError(f"MMS: no control handler for {reference}")


class _Execution:
    """An operate under way: libiec61850 asks again at each poll until the brain has answered."""

    def __init__(self, iec: Any, way: Way) -> None:
        self._iec = iec
        self._way = way
        self.identifier: int | None = None
        self._since = 0.0

    @property
    def under_way(self) -> bool:
        """Given, and not answered yet; asked before the next order, when the client of this one has gone."""
        if self.identifier is not None and self._way.answer(self.identifier) is not None:
            self.identifier = None
        return self.identifier is not None and time.monotonic() - self._since <= EXECUTION_LIMIT_S

    def begin(self) -> None:
        """A new order: what was left of one whose client has gone is nobody's answer."""
        self.identifier = None

    def advance(self, kind: CommandKind, action: Any, who: str, state: IedState | None) -> int:
        """The control handler's result now. ``who``: whose order it is, by the client's certificate."""
        iec = self._iec
        if self.identifier is None:
            self.identifier = self._way.submit(kind, origin_of(iec, action, who))
            self._since = time.monotonic()
            if self.identifier == 0:
                return self._refused(action, AddCause.BLOCKED_BY_HEALTH)
        answer = self._way.answer(self.identifier)
        if answer is None:
            if time.monotonic() - self._since > EXECUTION_LIMIT_S:
                return self._refused(action, AddCause.TIME_LIMIT_OVER)
            return int(iec.CONTROL_RESULT_WAITING)
        if answer.accepted:
            self.identifier = None
            return int(iec.CONTROL_RESULT_OK)
        return self._refused(action, cause_of(answer.refusal, state, kind is CommandKind.CLOSE))

    def _refused(self, action: Any, add_cause: int) -> int:
        self.identifier = None
        self._iec.ControlAction_setAddCause(action, add_cause)
        return int(self._iec.CONTROL_RESULT_FAILED)


def origin_of(iec: Any, action: Any, who: str) -> str:
    """For the record: who it is by the certificate, then what the client says of itself. The binding does not hand out
    orIdent."""
    function = library().ControlAction_getOrIdent
    function.restype, function.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))
    size = ctypes.c_int(0)
    at = function(int(action), ctypes.byref(size))
    ident = ctypes.string_at(at, size.value).decode("utf-8", "backslashreplace") if at and size.value > 0 else ""
    words = ["MMS", who, f"orCat {int(iec.ControlAction_getOrCat(action))}", f"orIdent {ident!r}" if ident else ""]
    return " ".join(word for word in words if word)

"""Orders of MMS clients: what is refused at once, and why (AddCause), and what goes to the brain.

The library keeps the control model of each object as its SCL has it (ctlModel, sboTimeout, sboClass): who has selected
what, ctlNum and origin the same as selected, cancellation, termination. It asks here before it selects or operates
(:func:`judge`), and when it operates; it asks again at each poll until the brain has answered. Whatever passes here
meets the brain's gate all the same: nothing of this module can close anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from agent.logic.messages import CommandKind, CommandResult, Refusal
from agent.mms.build import ModelError
from agent.mms.callers import Callers
from agent.mms.model import ADD_CAUSE, AddCause, IedState, pre_check, synchronism_released
from agent.mms.tree import Tree

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
    "the brain does not answer in time": AddCause.TIME_LIMIT_OVER,
}
"""What is refused here beside the gate's refusals (:data:`agent.mms.model.ADD_CAUSE`)."""


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
        for device, node in tree.nodes():
            for data in filter(lambda each: each.controllable, node.objects):
                reference = f"{device.inst}/{node.name}.{data.name}"
                order = known.get((node.ln_class, data.name)) if not node.prefix else None
                if order is None:
                    problems.append(f"{reference}: no order stands behind this control")
                else:
                    self._control(reference, objects[reference], *order)
        if problems:
            raise ModelError(problems)

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
                        None if value is None else bool(iec.MmsValue_getBoolean(value)),
                        int(iec.ControlAction_getOrCat(action)),
                        bool(self._libiec61850_test),
                        bool(iec.ControlAction_getSynchroCheck(action)),
                        controls._callers.of_action(iec, action).may_control,
                        execution.under_way,
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
                    result = execution.advance(on if value else off, self._libiec61850_control_action, caller.name)
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
        """Given, and not answered yet."""
        return self.identifier is not None and time.monotonic() - self._since <= EXECUTION_LIMIT_S

    def begin(self) -> None:
        """A new order: what was left of one whose client has gone is nobody's answer."""
        self.identifier = None

    def advance(self, kind: CommandKind, action: Any, who: str = "") -> int:
        """The control handler's result now. ``who``: whose order it is, by the client's certificate."""
        iec = self._iec
        if self.identifier is None:
            origin = f"MMS {who} orCat {int(iec.ControlAction_getOrCat(action))}".replace("  ", " ")
            self.identifier = self._way.submit(kind, origin)
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
        return self._refused(action, ADD_CAUSE.get(answer.refusal, AddCause.UNKNOWN))

    def _refused(self, action: Any, add_cause: int) -> int:
        self.identifier = None
        self._iec.ControlAction_setAddCause(action, add_cause)
        return int(self._iec.CONTROL_RESULT_FAILED)

"""The IED's MMS server: libiec61850 through pyiec61850-ng, wrapped here once.

Pitfalls of the binding, and what this file does about each:

- An exception that leaves a callback aborts the process: every callback body is one ``try``.
- A handler that Python collects, or destroys a second time, crashes: handlers are kept in a list for the life of the
  process and disowned (``thisown = 0``); the server is destroyed once.
- libiec61850's own server thread holds its model lock while it waits for the GIL in a callback, and an update that
  holds the GIL waits for that lock: so there is no server thread. The station process calls :meth:`MmsServer.poll`.
- ``MmsValue`` made here must be deleted: values are updated through the typed functions, which make none.
- The binding prints a line on standard error at each callback: see :func:`quiet_library`.

The library's own TLS waits in the handshake with the whole process: TLS, roles and audit are at the door before it
(:mod:`agent.mms.porter`). ``callers`` tells who speaks on a connection; without it anybody may do anything.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from agent.logic.messages import CommandKind, CommandResult, Refusal
from agent.mms.callers import ANYBODY, Callers, show_out_strangers
from agent.mms.model import ADD_CAUSE, GGIO, AddCause, IedState, pre_check, values

VENDOR = "FLISR engineers"
EXECUTION_LIMIT_S = 5.0
"""An order that the brain has not answered by then is reported as failed (time limit over)."""

Submit = Callable[[CommandKind, str], int]
"""Hand an order (with its origin) to the protection process; returns its identifier, 0 if it cannot be reached."""
Answer = Callable[[int], CommandResult | None]
"""The answer to an identifier; None while there is none."""


class MmsServer:
    """One IED's server. Not for threads: every method, and every callback, runs in the caller's thread."""

    def __init__(
        self,
        ied: str,
        logical_device: str,
        switch: str,
        submit: Submit,
        answer: Answer,
        callers: Callers = ANYBODY,
    ) -> None:
        # Imported here: the binding costs 10 MB and is of no use to an agent without an MMS listener.
        import pyiec61850.pyiec61850 as iec

        self._iec: Any = iec
        self._submit = submit
        self._answer = answer
        self._callers = callers
        self._switch = switch
        self._state: IedState | None = None
        self._attributes: dict[str, tuple[Any, ...]] = {}
        self._shown: dict[str, int | bool | float] = {}
        self._kept: list[Any] = []
        self._subscribers: list[Any] = []
        self.failures: list[str] = []
        """Exceptions caught in callbacks: a defect of ours, told to the event log."""
        self._model = iec.IedModel_create(ied)
        device = iec.LogicalDevice_create(logical_device, self._model)
        self._controls: dict[str, Any] = {}
        self._build(device)
        self._server = iec.IedServer_create(self._model)
        iec.IedServer_setServerIdentity(self._server, VENDOR, "flisr agent", "1")
        self._control("CSWI1.Pos", self._position_kind, self._position_check)
        self._control("GGIO1.SPCSO1", self._automation_kind, self._no_check)
        self._kept.append(show_out_strangers(iec, self._server, callers))
        self._listening = False

    # --- life --------------------------------------------------------------------------------------------------------

    def listen(self, address: str, port: int) -> None:
        """Listen on plain TCP, in an agent on loopback behind its door; OSError if the address cannot be used."""
        self._iec.IedServer_setLocalIpAddress(self._server, address)
        self._iec.IedServer_startThreadless(self._server, port)
        if not self._iec.IedServer_isRunning(self._server):
            raise OSError(f"MMS: cannot listen on {address}:{port}")
        self._listening = True

    def poll(self) -> None:
        """Serve what has arrived; takes about a millisecond when idle. Call every 10 to 50 ms."""
        self._iec.IedServer_processIncomingData(self._server)
        self._iec.IedServer_performPeriodicTasks(self._server)

    @property
    def connections(self) -> int:
        """Clients connected now."""
        return int(self._iec.IedServer_getNumberOfOpenConnections(self._server))

    def close(self) -> None:
        """Stop listening and destroy the server, once."""
        if self._server is not None:
            if self._listening:
                self._iec.IedServer_stopThreadless(self._server)
            self._iec.IedServer_destroy(self._server)
            self._server = None
            # Their destructors take them off the binding's process-wide register of references.
            self._subscribers.clear()

    # --- model -------------------------------------------------------------------------------------------------------

    def _build(self, device: Any) -> None:
        iec = self._iec
        lln0 = self._node(device, "LLN0")
        for name in ("Beh", "Health", "Mod"):
            self._object("LLN0", name, iec.CDC_ENS_create(name, lln0, 0), "int")
        switch = self._node(device, self._switch)
        self._object(self._switch, "Pos", iec.CDC_DPC_create("Pos", switch, 0, 0), "dbpos")
        for name in ("BlkOpn", "BlkCls"):
            self._object(self._switch, name, iec.CDC_SPC_create(name, switch, 0, 0), "bool")
        self._object(self._switch, "Loc", iec.CDC_SPS_create("Loc", switch, 0), "bool")
        self._object(self._switch, "OpCnt", iec.CDC_INS_create("OpCnt", switch, 0), "int")
        interlocking = self._node(device, "CILO1")
        for name in ("EnaOpn", "EnaCls"):
            self._object("CILO1", name, iec.CDC_SPS_create(name, interlocking, 0), "bool")
        control = self._node(device, "CSWI1")
        options = iec.CDC_CTL_OPTION_ORIGIN | iec.CDC_CTL_OPTION_CTL_NUM
        sbo = iec.CDC_CTL_MODEL_SBO_ENHANCED | iec.CDC_CTL_MODEL_HAS_CANCEL | options
        self._object("CSWI1", "Pos", iec.CDC_DPC_create("Pos", control, 0, sbo), "dbpos")
        self._object("CSWI1", "Loc", iec.CDC_SPS_create("Loc", control, 0), "bool")
        generic = self._node(device, "GGIO1")
        for name in GGIO:
            self._object("GGIO1", name, iec.CDC_SPS_create(name, generic, 0), "bool")
        direct = iec.CDC_CTL_MODEL_DIRECT_NORMAL | options
        self._object("GGIO1", "SPCSO1", iec.CDC_SPC_create("SPCSO1", generic, 0, direct), "bool")
        metering = self._node(device, "MMXU1")
        for name in ("TotW", "TotVAr"):
            self._object("MMXU1", name, iec.CDC_MV_create(name, metering, 0, False), "float")
        self._reports(device)

    def _node(self, device: Any, name: str) -> Any:
        node = self._iec.LogicalNode_create(name, device)
        self._kept.append(node)
        if name == "LLN0":
            self._lln0 = node
        return self._iec.toModelNode(node)

    def _object(self, node: str, name: str, data_object: Any, kind: str) -> None:
        iec = self._iec
        model_node = iec.toModelNode(data_object)
        children = [
            iec.ModelNode_getChild(model_node, child) for child in ("mag.f" if kind == "float" else "stVal", "q", "t")
        ]
        self._kept += [data_object, model_node, *children]
        attributes = tuple(iec.toDataAttribute(child) for child in children)
        self._attributes[f"{node}.{name}"] = (kind, *attributes)
        self._controls[f"{node}.{name}"] = data_object

    def _reports(self, device: Any) -> None:
        """One data set with every status value, and a buffered report control block over it."""
        iec = self._iec
        data_set = iec.DataSet_create("dsStatus", self._lln0)
        self._kept.append(data_set)
        for reference in self._attributes:
            constraint = "MX" if self._attributes[reference][0] == "float" else "ST"
            variable = reference.replace(".", f"${constraint}$")
            self._kept.append(iec.DataSetEntry_create(data_set, variable, -1, None))
        triggers = iec.TRG_OPT_DATA_CHANGED | iec.TRG_OPT_QUALITY_CHANGED | iec.TRG_OPT_INTEGRITY | iec.TRG_OPT_GI
        fields = iec.RPT_OPT_SEQ_NUM | iec.RPT_OPT_TIME_STAMP | iec.RPT_OPT_REASON_FOR_INCLUSION | iec.RPT_OPT_ENTRY_ID
        block = iec.ReportControlBlock_create(
            "brcbStatus01", self._lln0, "brcbStatus", True, "dsStatus", 1, triggers, fields, 50, 0
        )
        self._kept.append(block)

    # --- state to clients --------------------------------------------------------------------------------------------

    def update(self, state: IedState, now_us: int) -> None:
        """Show the state; only what changed is written, with quality good or questionable and the time of change."""
        self._state = state
        iec = self._iec
        wanted = values(state, self._switch)
        changed = {reference: value for reference, value in wanted.items() if self._shown.get(reference) != value}
        if not changed:
            return
        iec.IedServer_lockDataModel(self._server)
        try:
            for reference, value in changed.items():
                kind, status, quality, stamp = self._attributes[reference]
                iec.IedServer_updateUTCTimeAttributeValue(self._server, stamp, now_us // 1000)
                doubtful = not state.protection_alive or (kind == "dbpos" and not state.breaker_fresh)
                iec.IedServer_updateQuality(
                    self._server, quality, iec.QUALITY_VALIDITY_QUESTIONABLE if doubtful else iec.QUALITY_VALIDITY_GOOD
                )
                if kind == "dbpos":
                    iec.IedServer_updateDbposValue(self._server, status, int(value))
                elif kind == "float":
                    iec.IedServer_updateFloatAttributeValue(self._server, status, float(value))
                elif kind == "int":
                    iec.IedServer_updateInt32AttributeValue(self._server, status, int(value))
                else:
                    iec.IedServer_updateBooleanAttributeValue(self._server, status, bool(value))
        finally:
            iec.IedServer_unlockDataModel(self._server)
        self._shown = wanted

    # --- orders from clients -----------------------------------------------------------------------------------------

    def _position_kind(self, value: bool) -> CommandKind:
        return CommandKind.CLOSE if value else CommandKind.OPEN

    def _automation_kind(self, value: bool) -> CommandKind:
        return CommandKind.AUTOMATION_ON if value else CommandKind.AUTOMATION_OFF

    def _position_check(self, value: bool) -> Refusal:
        return Refusal.UNHEALTHY if self._state is None else pre_check(self._state, value)

    def _no_check(self, value: bool) -> Refusal:
        return Refusal.NONE

    def _control(
        self, reference: str, kind_of: Callable[[bool], CommandKind], check_of: Callable[[bool], Refusal]
    ) -> None:
        """Install check and control callbacks for one controllable object."""
        iec, server = self._iec, self

        class Check(iec.CheckHandlerForPython):  # type: ignore[misc, name-defined]
            def trigger(self) -> None:
                try:
                    value = bool(iec.MmsValue_getBoolean(self._libiec61850_mms_value))
                    caller = server._callers.of_action(iec, self._libiec61850_control_action)
                    refusal = check_of(value) if caller.may_control else Refusal.NOT_AUTHORISED
                    if refusal is Refusal.NONE:
                        self._libiec61850_check_handler_result = iec.CONTROL_ACCEPTED
                    else:
                        iec.ControlAction_setAddCause(self._libiec61850_control_action, ADD_CAUSE[refusal])
                        self._libiec61850_check_handler_result = iec.CONTROL_OBJECT_ACCESS_DENIED
                except Exception as error:
                    server.failures.append(f"{reference} check: {type(error).__name__}: {error}")
                    self._libiec61850_check_handler_result = iec.CONTROL_TEMPORARILY_UNAVAILABLE

        class Wait(iec.WaitForExecutionHandlerForPython):  # type: ignore[misc, name-defined]
            def trigger(self) -> None:
                self._libiec61850_control_handler_result = iec.CONTROL_RESULT_OK

        class Control(iec.ControlHandlerForPython):  # type: ignore[misc, name-defined]
            def trigger(self) -> None:
                try:
                    value = bool(iec.MmsValue_getBoolean(self._libiec61850_mms_value))
                    caller = server._callers.of_action(iec, self._libiec61850_control_action)
                    result = execution.advance(kind_of(value), self._libiec61850_control_action, caller.name)
                    self._libiec61850_control_handler_result = result
                except Exception as error:
                    server.failures.append(f"{reference} operate: {type(error).__name__}: {error}")
                    execution.identifier = None
                    self._libiec61850_control_handler_result = iec.CONTROL_RESULT_FAILED

        execution = _Execution(iec, self._submit, self._answer)
        subscriber = iec.ControlSubscriberForPython()
        subscriber.setIedServer(self._server)
        subscriber.setControlObject(self._controls[reference])
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

    def __init__(self, iec: Any, submit: Submit, answer: Answer) -> None:
        self._iec = iec
        self._submit = submit
        self._answer = answer
        self.identifier: int | None = None
        self._since = 0.0

    def advance(self, kind: CommandKind, action: Any, who: str = "") -> int:
        """The control handler's result now. ``who``: whose order it is, by the client's certificate."""
        iec = self._iec
        if self.identifier is None:
            origin = f"MMS {who} orCat {int(iec.ControlAction_getOrCat(action))}".replace("  ", " ")
            self.identifier = self._submit(kind, origin)
            self._since = time.monotonic()
            if self.identifier == 0:
                return self._failed(action, AddCause.BLOCKED_BY_HEALTH)
        answer = self._answer(self.identifier)
        if answer is None:
            if time.monotonic() - self._since > EXECUTION_LIMIT_S:
                return self._failed(action, AddCause.TIME_LIMIT_OVER)
            return int(iec.CONTROL_RESULT_WAITING)
        if answer.accepted:
            self.identifier = None
            return int(iec.CONTROL_RESULT_OK)
        return self._failed(action, ADD_CAUSE.get(answer.refusal, AddCause.UNKNOWN))

    def _failed(self, action: Any, add_cause: int) -> int:
        self.identifier = None
        self._iec.ControlAction_setAddCause(action, add_cause)
        return int(self._iec.CONTROL_RESULT_FAILED)


def quiet_library() -> None:
    """The MMS binding prints a line on descriptor 2 at each control callback: give it a descriptor of its own.

    Python's ``sys.stderr`` keeps the real one under another number.
    """
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    sys.stderr = os.fdopen(kept, "w", buffering=1)
    faulthandler.enable(sys.stderr)

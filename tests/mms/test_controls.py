"""Orders of clients: every refusal has its cause, and no sequence of requests closes what must stay open."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from iec61850 import ControlModel, IedConnection, IedError, OriginValue
from lxml import etree
from open61850.data import IECData
from open61850.mms import control
from open61850.mms.client import MmsClient
from open61850.mms.control import ControlError, Origin, cancel_value, oper_value
from open61850.mms.errors import DataAccessError, MmsError
from open61850.mms.pdu import ObjectName

from agent.logic.messages import (
    BreakerStatus,
    Command,
    CommandKind,
    CommandResult,
    Level,
    Live,
    Position,
    Refusal,
    Report,
)
from agent.mms.controls import Order, judge
from agent.mms.described import read_tree
from agent.mms.model import AddCause, IedState
from agent.mms.server import MmsServer
from agent.mms.services import NO_SERVICES
from agent.mms.tree import Tree
from tests.logic.lab import MS, Lab, feeder
from tests.mms import desk
from tests.mms.lab import free_port, in_memory

READY = IedState(
    Report(ready=True, level=Level.QUIET, live_a=Live.LIVE, live_b=Live.DEAD), BreakerStatus(position=Position.OPEN),
    True, True, True,
)  # fmt: skip
LOCKED = READY._replace(report=READY.report._replace(locked_b=True))
BOTH_LIVE = READY._replace(report=READY.report._replace(live_b=Live.LIVE))
CLOSE = Order(True)
CLOSING = 2
"""What the lab calls a mechanism that is on its way in."""


@pytest.mark.parametrize(
    ("order", "state", "cause"),
    [
        (CLOSE, READY, None),
        (CLOSE._replace(may_control=False), READY, AddCause.NO_ACCESS_AUTHORITY),
        (CLOSE._replace(or_cat=9), READY, AddCause.INCONSISTENT_PARAMETERS),
        (CLOSE._replace(or_cat=1), READY, AddCause.BLOCKED_BY_SWITCHING_HIERARCHY),
        (CLOSE._replace(or_cat=4), READY, AddCause.BLOCKED_BY_SWITCHING_HIERARCHY),
        (CLOSE._replace(test=True), READY, AddCause.BLOCKED_BY_MODE),
        (CLOSE._replace(under_way=True), READY, AddCause.COMMAND_ALREADY_IN_EXECUTION),
        (CLOSE, None, AddCause.BLOCKED_BY_HEALTH),
        (CLOSE, READY._replace(protection_alive=False), AddCause.BLOCKED_BY_HEALTH),
        (CLOSE, READY._replace(breaker_fresh=False), AddCause.BLOCKED_BY_PROCESS),
        (CLOSE, READY._replace(breaker=READY.breaker._replace(local=True)), AddCause.BLOCKED_BY_SWITCHING_HIERARCHY),
        (CLOSE, LOCKED, AddCause.BLOCKED_BY_INTERLOCKING),
        (CLOSE, READY._replace(breaker=READY.breaker._replace(blocked=True)), AddCause.BLOCKED_BY_INTERLOCKING),
        (CLOSE, READY._replace(report=READY.report._replace(tagged=True)), AddCause.BLOCKED_BY_INTERLOCKING),
        (Order(False), READY, AddCause.POSITION_REACHED),
        (CLOSE._replace(synchro_check=True), BOTH_LIVE, AddCause.BLOCKED_BY_SYNCHROCHECK),
        (CLOSE, BOTH_LIVE, None),
        (Order(None), READY, None),
        (Order(None, or_cat=1), READY, None),
        (Order(None), LOCKED, AddCause.BLOCKED_BY_INTERLOCKING),
        (Order(None), LOCKED._replace(breaker=BreakerStatus(position=Position.CLOSED)), None),
    ],
)
def test_what_is_refused_at_once(order: Order, state: IedState | None, cause: int | None) -> None:
    """Both sides live without the check asked for is the gate's to refuse: it knows whether paralleling is allowed."""
    assert judge(order, state, switches=True) == cause


def test_the_automation_switch_is_at_hand_whatever_the_breaker_does() -> None:
    assert judge(CLOSE, LOCKED, switches=False) is None
    assert judge(CLOSE._replace(may_control=False), LOCKED, switches=False) == AddCause.NO_ACCESS_AUTHORITY


# --- a server, and brains of a feeder behind it ----------------------------------------------------------------------


class World:
    """The agent of F, which feeds Z: its server is polled, and its brain lives, in a thread of their own."""

    def __init__(self, tree: Tree) -> None:
        self.lock = threading.Lock()
        self.lab = Lab(feeder({"F": ("BB", "Z", "cb")}, ("BB",), {"Z": 500.0}))
        self.port = free_port()
        self.wrong = ""
        self.failures: list[str] = []
        self.local = False
        """The switch at the device, local or remote."""
        self.away = False
        """The protection process is."""
        self.polls = 0
        self._results: dict[int, CommandResult] = {}
        self._orders = 0
        self._was = (0, False)
        self._tree = tree
        tell = self.lab.tell
        self.lab.tell = lambda i, status: tell(i, status._replace(local=self.local))  # type: ignore[method-assign]
        self._up, self._down = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._up.wait(20)

    @property
    def brain(self) -> Any:
        return self.lab.brains[0]

    @property
    def blocked(self) -> bool:
        state = self.brain.state
        return bool(state.locked_a or state.locked_b or state.tagged) or self.local

    def turn(self, local: bool | None = None, away: bool | None = None) -> None:
        """Local or remote; away or back. Both the brain and the server know it at the end."""
        with self.lock:
            self.local = self.local if local is None else local
            self.away = self.away if away is None else away
            self.lab.tell(0, self.lab.statuses[0] or BreakerStatus())
            known = self.polls + 2
        _until(lambda: self.polls >= known)

    def _submit(self, kind: CommandKind, origin: str) -> int:
        if self.away:
            return 0
        self._orders += 1
        self.lab.act(0, self.brain.command(Command(kind, self._orders, origin, False), self.lab.now))
        return self._orders

    def _answer(self, identifier: int) -> CommandResult | None:
        for _, _, told in self.lab.log:
            if isinstance(told, CommandResult) and told.identifier == identifier:
                return told
        return None

    def _state(self) -> IedState:
        breaker = (self.lab.statuses[0] or BreakerStatus())._replace(local=self.local)
        return IedState(self.brain.last_report or Report(), breaker, True, True, not self.away)

    def _run(self) -> None:
        server = MmsServer(self._tree, self._submit, self._answer, services=in_memory(NO_SERVICES))
        server.listen("127.0.0.1", self.port)
        self._up.set()
        while not self._down.is_set():
            with self.lock:
                server.poll()
                self.run(5)
                server.update(self._state(), time.time_ns() // 1000)
                self.polls += 1
            time.sleep(0.001)
        server.close()
        self.failures = server.failures

    def run(self, milliseconds: int) -> None:
        """Virtual time; that a mechanism begins to close that was blocked before and after is what must never be."""
        for _ in range(max(1, milliseconds // 5)):
            self.lab.run(5 * MS)
            moving, blocked = self.lab.moving[0], self.blocked
            if moving == CLOSING != self._was[0] and blocked and self._was[1]:
                self.wrong = "it began to close while locked out, tagged or local"
            self._was = moving, blocked

    def close(self) -> None:
        self._down.set()
        self._thread.join(10)
        assert self.failures == []


POS = "CSWI1$CO$Pos"
DOMAIN = "F_AGFLISR"


def item(part: str) -> ObjectName:
    return ObjectName(f"{POS}${part}", DOMAIN)


def write(client: MmsClient, part: str, value: IECData) -> bool:
    """Whether it is taken."""
    try:
        client.write(item(part), value)
    except DataAccessError:
        return False
    return True


@contextmanager
def world(tree: Tree) -> Iterator[World]:
    made = World(tree)
    try:
        yield made
    finally:
        made.close()


SELECTED_S = 0.5
"""sboTimeout of the server below."""


class Plain:
    """A client that sends what it is told to, in any order (open61850)."""

    def __init__(self, port: int) -> None:
        self._client = MmsClient.connect("127.0.0.1", port, timeout=20.0)
        self._number = 0

    def _value(self, value: bool, test: bool, wrong_number: bool) -> IECData:
        number = self._number + (7 if wrong_number else 0)
        return oper_value(value, origin=Origin(3, b"plain"), ctl_num=number, test=test, synchro_check=False)

    def select(self, value: bool) -> bool:
        self._number += 1
        return write(self._client, "SBOw", self._value(value, False, False))

    def operate(self, value: bool, test: bool, wrong_number: bool) -> bool:
        return write(self._client, "Oper", self._value(value, test, wrong_number))

    def cancel(self) -> bool:
        value = cancel_value(True, origin=Origin(3, b"plain"), ctl_num=self._number)
        return write(self._client, "Cancel", value)

    def close(self) -> None:
        self._client.close()


class Whole:
    """A client that has the control model itself, and waits for the end of an operation (iec61850, in Rust)."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.Runner()
        self._connection = self._loop.run(
            IedConnection.connect(f"127.0.0.1:{port}", timeout_ms=20_000, request_timeout_ms=1_000)
        )
        self._object = self._connection.create_control_object(f"{DOMAIN}/CSWI1.Pos", ControlModel.SBO_ENHANCED)
        self._object.set_origin(OriginValue(3, b"whole"))
        self._object.set_synchro_check(False)

    def _done(self, what: Any) -> bool:
        try:
            return bool(self._loop.run(what).success)
        except IedError:
            return False

    def select(self, value: bool) -> bool:
        self._object.set_test(False)
        return self._done(self._object.select_with_value(value))

    def operate(self, value: bool, test: bool, wrong_number: bool) -> bool:
        self._object.set_test(test)
        if wrong_number:
            self._object.set_ctl_num(77)
        return self._done(self._object.operate(value))

    def cancel(self) -> bool:
        return self._done(self._object.cancel(True))

    def close(self) -> None:
        self._loop.run(self._connection.disconnect())
        self._loop.close()


KINDS = (Plain, Whole, Plain)


def machine(tree: Tree) -> type[RuleBasedStateMachine]:
    """Three clients of two kinds, and what else happens to a breaker."""

    class Clients(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.world = World(tree)
            self.clients = [kind(self.world.port) for kind in KINDS]
            self._let_go()

        def _let_go(self) -> None:
            self.holder, self.until = -1, 0.0

        def _holds(self, who: int) -> bool:
            """It may: a selection whose time is nearly over is nobody's business here."""
            return self.holder == who or (self.holder >= 0 and time.monotonic() > self.until)

        @rule(who=st.integers(0, 2), value=st.booleans())
        def select(self, who: int, value: bool) -> None:
            if self.clients[who].select(value):
                assert self.holder == -1 or self._holds(who), "two clients hold the selection"
                assert not self.world.away, "selected without a protection process"
                self.holder, self.until = who, time.monotonic() + SELECTED_S * 0.6

        @rule(who=st.integers(0, 2), value=st.booleans(), test=st.booleans(), wrong=st.booleans())
        def operate(self, who: int, value: bool, test: bool, wrong: bool) -> None:
            if self.clients[who].operate(value, test, wrong):
                assert self._holds(who), "operated without a selection of its own"
                assert not self.world.away, "operated without a protection process"
                assert not (value and self.world.local), "closed from afar while local"
            if who == self.holder:
                self._let_go()

        @rule(who=st.integers(0, 2))
        def cancel(self, who: int) -> None:
            if self.clients[who].cancel() and who == self.holder:
                self._let_go()

        @rule(who=st.integers(0, 2))
        def leave(self, who: int) -> None:
            self.clients[who].close()
            if who == self.holder:
                self._let_go()
            time.sleep(0.05)
            self.clients[who] = KINDS[who](self.world.port)

        @rule()
        def outlive_the_selection(self) -> None:
            time.sleep(SELECTED_S * 1.2)
            self._let_go()

        @rule(kind=st.sampled_from([CommandKind.TAG, CommandKind.UNTAG, CommandKind.RELEASE]))
        def at_the_device(self, kind: CommandKind) -> None:
            with self.world.lock:
                self.world.lab.command("F", kind)

        @rule(local=st.booleans())
        def turn_the_switch(self, local: bool) -> None:
            self.world.turn(local=local)

        @rule(away=st.booleans())
        def lose_the_protection_process(self, away: bool) -> None:
            self.world.turn(away=away)

        @rule()
        def fault(self) -> None:
            with self.world.lock:
                self.world.lab.fault("Z")
                self.world.run(1_000)
                self.world.lab.heal("Z")

        @rule(milliseconds=st.sampled_from([5, 50, 300]))
        def wait(self, milliseconds: int) -> None:
            with self.world.lock:
                self.world.run(milliseconds)

        @invariant()
        def stays_open(self) -> None:
            if hasattr(self, "world"):
                assert not self.world.wrong

        def teardown(self) -> None:
            if hasattr(self, "world"):
                for client in self.clients:
                    client.close()
                self.world.close()

    return Clients


def test_no_sequence_of_requests_closes_what_must_stay_open(scd: bytes) -> None:
    tree = desk.modelled(scd, "sbo-with-enhanced-security", sboTimeout=str(int(SELECTED_S * 1000)))
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine(tree),
        settings=settings(
            max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_both_kinds_of_clients_operate_and_are_refused(scd: bytes) -> None:
    """Else the machine above would prove nothing of them; and local, and away, hold each of them off."""
    tree = desk.modelled(scd, "sbo-with-enhanced-security", sboTimeout=str(int(SELECTED_S * 1000)))
    with world(tree) as there:
        for kind in (Plain, Whole):
            client = kind(there.port)
            for value in (False, True):
                assert client.select(value)
                assert client.operate(value, False, False)
                _until(lambda v=value: there.lab.closed[0] is v)  # type: ignore[misc]
                time.sleep(0.1)
            for off in ({"local": True}, {"away": True}):
                there.turn(**off)
                assert not client.select(False)
                there.turn(**dict.fromkeys(off, False))
            assert client.select(False)
            time.sleep(SELECTED_S * 1.2)
            assert not client.operate(False, False, False)
            assert there.lab.closed[0]
            client.close()


def test_a_close_past_the_gate_would_be_noticed(tree: Tree) -> None:
    with world(tree) as there, there.lock:
        there.lab.fault("Z")
        there.run(1_000)
        assert there.blocked
        assert not there.wrong
        there.lab.moving[0] = CLOSING
        there.run(10)
        assert there.wrong


def test_the_way_that_is_open_is_open(tree: Tree) -> None:
    """That nothing ever closes would be no proof: opened by order and closed again, and not while it is locked out."""
    with world(tree) as there, MmsClient.connect("127.0.0.1", there.port, timeout=20.0) as client:
        for value in (False, True):
            done = control.operate(client, ObjectName(POS, DOMAIN), value, origin=Origin(3, b"x"), synchro_check=False)
            assert done.terminated
            _until(lambda v=value: there.lab.closed[0] is v)
        with there.lock:
            there.lab.fault("Z")
            there.run(1_000)
            there.lab.heal("Z")
            assert there.blocked
        time.sleep(0.1)
        with pytest.raises(ControlError) as refused:
            control.operate(client, ObjectName(POS, DOMAIN), True, origin=Origin(3, b"x"), synchro_check=False)
        assert refused.value.last_appl_error is not None
        assert refused.value.last_appl_error.add_cause == AddCause.BLOCKED_BY_INTERLOCKING
        assert not there.lab.closed[0]


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- the four control models -----------------------------------------------------------------------------------------

NORMAL = {"direct-with-normal-security": 1, "sbo-with-normal-security": 2}
MODELS = {**NORMAL, "direct-with-enhanced-security": 3, "sbo-with-enhanced-security": 4}


def modelled(scd: bytes, model: str) -> Tree:
    """The agent whose SCD gives the position this ctlModel."""
    root = etree.fromstring(scd)
    name = {"scl": "http://www.iec.ch/61850/2003/SCL"}
    kind = root.xpath("//scl:DOType[scl:DA[@name='SBOw']]", namespaces=name)[0]
    value = kind.xpath("scl:DA[@name='ctlModel']/scl:Val", namespaces=name)[0]
    value.text = model
    select = kind.xpath("scl:DA[@name='SBOw']", namespaces=name)[0]
    if model == "sbo-with-normal-security":
        select.set("name", "SBO")
        select.set("bType", "ObjRef")
        del select.attrib["type"]
    elif model.startswith("direct"):
        kind.remove(select)
    return read_tree(root, "F_AG")


@pytest.mark.parametrize("model", MODELS)
def test_each_control_model_of_the_scl_operates_and_refuses_in_its_way(scd: bytes, model: str) -> None:
    with world(modelled(scd, model)) as there, MmsClient.connect("127.0.0.1", there.port, timeout=20.0) as client:
        reference, origin = ObjectName(POS, DOMAIN), Origin(3, b"x")
        done = control.operate(client, reference, False, origin=origin, synchro_check=False)
        assert done.terminated == (MODELS[model] >= 3)
        _until(lambda: not there.lab.closed[0])
        time.sleep(0.1)
        with there.lock:
            there.lab.command("F", CommandKind.TAG)
            there.run(50)
        time.sleep(0.1)
        with pytest.raises((ControlError, MmsError, DataAccessError)):
            control.operate(client, reference, True, origin=origin, synchro_check=False)
        with there.lock:
            there.run(500)
        assert not there.lab.closed[0]


def test_refusals_are_all_known() -> None:
    from agent.mms.model import ADD_CAUSE

    assert set(ADD_CAUSE) == set(Refusal) - {Refusal.NONE}

"""Orders of clients: every refusal has its cause, and no sequence of requests closes what must stay open."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
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
        self._results: dict[int, CommandResult] = {}
        self._orders = 0
        self._was = (0, False)
        self._tree = tree
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
        return bool(state.locked_a or state.locked_b or state.tagged)

    def _submit(self, kind: CommandKind, origin: str) -> int:
        self._orders += 1
        self.lab.act(0, self.brain.command(Command(kind, self._orders, origin, False), self.lab.now))
        return self._orders

    def _answer(self, identifier: int) -> CommandResult | None:
        for _, _, told in self.lab.log:
            if isinstance(told, CommandResult) and told.identifier == identifier:
                return told
        return None

    def _state(self) -> IedState:
        return IedState(self.brain.last_report or Report(), self.lab.statuses[0] or BreakerStatus(), True, True, True)

    def _run(self) -> None:
        server = MmsServer(self._tree, self._submit, self._answer, services=in_memory(NO_SERVICES))
        server.listen("127.0.0.1", self.port)
        self._up.set()
        while not self._down.is_set():
            with self.lock:
                server.poll()
                self.run(5)
                server.update(self._state(), time.time_ns() // 1000)
            time.sleep(0.001)
        server.close()
        self.failures = server.failures

    def run(self, milliseconds: int) -> None:
        """Virtual time; that a mechanism begins to close that was blocked before and after is what must never be."""
        for _ in range(max(1, milliseconds // 5)):
            self.lab.run(5 * MS)
            moving, blocked = self.lab.moving[0], self.blocked
            if moving == CLOSING != self._was[0] and blocked and self._was[1]:
                self.wrong = "it began to close while locked out or tagged"
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


def machine(tree: Tree) -> type[RuleBasedStateMachine]:
    """Two clients, and what else happens to a breaker."""

    class Clients(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.world = World(tree)
            self.clients = [self._client(), self._client()]
            self.holder = -1
            self.numbers = [0, 0]

        def _client(self) -> MmsClient:
            return MmsClient.connect("127.0.0.1", self.world.port, timeout=20.0)

        def _value(self, who: int, value: bool, test: bool = False, wrong_number: bool = False) -> IECData:
            number = self.numbers[who] + (7 if wrong_number else 0)
            origin = Origin(3, b"client%d" % who)
            return oper_value(value, origin=origin, ctl_num=number, test=test, synchro_check=False)

        @rule(who=st.integers(0, 1), value=st.booleans())
        def select(self, who: int, value: bool) -> None:
            self.numbers[who] += 1
            if write(self.clients[who], "SBOw", self._value(who, value)):
                assert self.holder in (-1, who), "two clients hold the selection"
                self.holder = who

        @rule(who=st.integers(0, 1), value=st.booleans(), test=st.booleans(), wrong=st.booleans())
        def operate(self, who: int, value: bool, test: bool, wrong: bool) -> None:
            taken = write(self.clients[who], "Oper", self._value(who, value, test, wrong))
            assert not (taken and self.holder != who), "operated without a selection of its own"
            if who == self.holder:
                self.holder = -1

        @rule(who=st.integers(0, 1))
        def cancel(self, who: int) -> None:
            value = cancel_value(True, origin=Origin(3, b"client%d" % who), ctl_num=self.numbers[who])
            if write(self.clients[who], "Cancel", value) and who == self.holder:
                self.holder = -1

        @rule(who=st.integers(0, 1))
        def leave(self, who: int) -> None:
            self.clients[who].close()
            if who == self.holder:
                self.holder = -1
            time.sleep(0.05)
            self.clients[who] = self._client()

        @rule(kind=st.sampled_from([CommandKind.TAG, CommandKind.UNTAG, CommandKind.RELEASE]))
        def at_the_device(self, kind: CommandKind) -> None:
            with self.world.lock:
                self.world.lab.command("F", kind)

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


def test_no_sequence_of_requests_closes_what_must_stay_open(tree: Tree) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine(tree),
        settings=settings(
            max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


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

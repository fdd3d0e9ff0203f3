"""The MMS server against libiec61850's own client in another process (a peer that we did not write)."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from agent.logic.messages import BreakerStatus, CommandKind, CommandResult, Level, Position, Refusal, Report
from agent.mms.model import ADD_CAUSE, IedState, pre_check
from agent.mms.server import MmsServer
from agent.mms.services import NO_SERVICES
from agent.mms.tree import Tree
from agent.mms.wiring import ROWS, Place
from tests.mms.lab import free_port, in_memory

pytestmark = pytest.mark.peer

CLIENT = """
import json, sys
import pyiec61850.pyiec61850 as iec
port, order = int(sys.argv[1]), sys.argv[2]
con = iec.IedConnection_create()
_, error = iec.IedConnection_connect(con, "127.0.0.1", port)
out = {"connect": error}
def read(ref, fc=iec.IEC61850_FC_ST):
    value, err = iec.IedConnection_readObject(con, "F_AGFLISR/" + ref, fc)
    return iec.MmsValue_getTypeString(value), value
_, value = read("XCBR1.Pos.stVal"); out["pos"] = iec.Dbpos_fromMmsValue(value)
_, value = read("XCBR1.BlkCls.stVal"); out["blkcls"] = iec.MmsValue_getBoolean(value)
_, value = read("CILO1.EnaCls.stVal"); out["enacls"] = iec.MmsValue_getBoolean(value)
_, value = read("MMXU1.TotW.mag.f", iec.IEC61850_FC_MX); out["p"] = iec.MmsValue_toFloat(value)
_, value = read("LLN0.Health.stVal"); out["health"] = iec.MmsValue_toInt32(value)
control = iec.ControlObjectClient_create("F_AGFLISR/CSWI1.Pos", con)
out["model"] = iec.ControlObjectClient_getControlModel(control)
iec.ControlObjectClient_setOrigin(control, "tester", 3)
term = {}
class Handler(iec.CommandTermHandler):
    def trigger(self):
        term["cause"] = iec.ControlObjectClient_getLastApplError(control).addCause
handler = Handler(); handler.thisown = 0
sub = iec.CommandTermSubscriber()
sub.setLibiec61850ControlObjectClient(control); sub.setEventHandler(handler); sub.subscribe()
wanted = iec.MmsValue_newBoolean(order == "close")
out["select"] = bool(iec.ControlObjectClient_selectWithValue(control, wanted))
out["cause"] = iec.ControlObjectClient_getLastApplError(control).addCause
if out["select"]:
    out["operate"] = bool(iec.ControlObjectClient_operate(control, wanted, 0))
    import time
    end = time.time() + 3
    while "cause" not in term and time.time() < end:
        time.sleep(0.02)
    out["termination"] = term.get("cause")
print(json.dumps(out), flush=True)
import os; os._exit(0)
"""

FREE = IedState(
    Report(ready=True, level=Level.QUIET, p_kw=812.3), BreakerStatus(position=Position.OPEN), True, True, True
)


class FakeBrain:
    """Answers an order after a few polls."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self.orders: list[tuple[CommandKind, str]] = []
        self.asked = 0

    def submit(self, kind: CommandKind, origin: str) -> int:
        self.orders.append((kind, origin))
        return len(self.orders)

    def answer(self, identifier: int) -> CommandResult | None:
        self.asked += 1
        return None if self.asked < 5 else CommandResult(identifier, self.refusal is Refusal.NONE, self.refusal)


def exchange(tree: Tree, state: IedState, brain: FakeBrain, order: str) -> dict[str, object]:
    server = MmsServer(tree, brain.submit, brain.answer, services=in_memory(NO_SERVICES))
    port = free_port()
    server.listen("127.0.0.1", port)
    server.update(state, 1_700_000_000_000_000)
    client = subprocess.Popen([sys.executable, "-c", CLIENT, str(port), order], stdout=subprocess.PIPE)
    try:
        end = time.monotonic() + 30
        while client.poll() is None and time.monotonic() < end:
            server.poll()
            server.update(state, 1_700_000_000_000_000)
            time.sleep(0.005)
        out, _ = client.communicate(timeout=1)
    finally:
        if client.poll() is None:
            client.kill()
        server.close()
    assert server.failures == []
    result: dict[str, object] = json.loads(out)
    return result


def test_locked_out_close_is_refused_at_select_with_blocked_by_interlocking(tree: Tree) -> None:
    brain = FakeBrain(Refusal.NONE)
    locked = FREE._replace(report=FREE.report._replace(locked_b=True, latched=True))
    result = exchange(tree, locked, brain, "close")
    assert result["connect"] == 0
    assert result["model"] == 4  # sbo-with-enhanced-security
    assert (result["pos"], result["blkcls"], result["enacls"]) == (1, True, False)
    assert (result["select"], result["cause"]) == (False, 10)
    assert brain.orders == []


def test_operate_waits_for_the_brain_and_reports_its_refusal_in_the_termination(tree: Tree) -> None:
    brain = FakeBrain(Refusal.CAPACITY)
    result = exchange(tree, FREE, brain, "close")
    assert (result["select"], result["operate"]) == (True, True)
    assert result["termination"] == ADD_CAUSE[Refusal.CAPACITY]
    assert brain.orders == [(CommandKind.CLOSE, "MMS orCat 3")]


def test_operate_that_the_brain_accepts_terminates_positively(tree: Tree) -> None:
    brain = FakeBrain(Refusal.NONE)
    closed = FREE._replace(breaker=BreakerStatus(position=Position.CLOSED))
    result = exchange(tree, closed, brain, "open")
    assert (result["select"], result["operate"], result["termination"]) == (True, True, 0)
    assert result["health"] == 1
    assert result["p"] == 812.0
    assert brain.orders == [(CommandKind.OPEN, "MMS orCat 3")]


def test_every_refusal_has_an_add_cause() -> None:
    assert set(ADD_CAUSE) == set(Refusal) - {Refusal.NONE}


def test_pre_check_never_lets_a_lock_tag_or_local_key_pass() -> None:
    assert pre_check(FREE, True) is Refusal.NONE
    for state in (
        FREE._replace(report=FREE.report._replace(locked_a=True)),
        FREE._replace(report=FREE.report._replace(tagged=True)),
        FREE._replace(breaker=FREE.breaker._replace(blocked=True)),
        FREE._replace(breaker=FREE.breaker._replace(local=True)),
        FREE._replace(breaker_fresh=False),
        FREE._replace(protection_alive=False),
    ):
        assert pre_check(state, True) is not Refusal.NONE
        assert ROWS["CILO"]["EnaCls"].read(state, Place("", "CILO", "1")) is False

"""A server whose brain is a test: what it is told is written down, what it answers is the test's to say."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lxml import etree
from open61850.data import IECData
from open61850.mms.client import MmsClient
from open61850.mms.control import LAST_APPL_ERROR, LastApplError, Origin, oper_value
from open61850.mms.errors import DataAccessError
from open61850.mms.pdu import InformationReport, ObjectName

from agent.logic.messages import BreakerStatus, CommandKind, CommandResult, Level, Live, Position, Refusal, Report
from agent.mms.described import read_tree
from agent.mms.model import IedState
from agent.mms.server import MmsServer
from agent.mms.services import NO_SERVICES
from agent.mms.tree import Tree
from tests.mms.lab import free_port, in_memory

DOMAIN, POS = "F_AGFLISR", "CSWI1$CO$Pos"
SCL = {"scl": "http://www.iec.ch/61850/2003/SCL"}
REMOTE = Origin(3, b"desk")
OPEN = IedState(
    Report(ready=True, level=Level.QUIET, live_a=Live.LIVE, live_b=Live.DEAD), BreakerStatus(position=Position.OPEN),
    True, True, True,
)  # fmt: skip
"""Nothing speaks against closing it."""
PATIENCE_S = 20.0


class Desk:
    """Served in a thread of its own."""

    def __init__(self, tree: Tree) -> None:
        self.state = OPEN
        self.told: list[tuple[CommandKind, str]] = []
        self.refusal: Refusal | None = Refusal.NONE
        """What the brain answers; None: nothing yet."""
        self.reached = True
        """The protection process is there to be told."""
        self.port = free_port()
        self._up, self._down = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(tree,), daemon=True)
        self._thread.start()
        assert self._up.wait(PATIENCE_S)

    def _submit(self, kind: CommandKind, origin: str) -> int:
        self.told.append((kind, origin))
        return len(self.told) if self.reached else 0

    def _answer(self, identifier: int) -> CommandResult | None:
        refusal = self.refusal
        return None if refusal is None else CommandResult(identifier, refusal is Refusal.NONE, refusal)

    def _run(self, tree: Tree) -> None:
        server = MmsServer(tree, self._submit, self._answer, services=in_memory(NO_SERVICES))
        server.listen("127.0.0.1", self.port)
        server.update(self.state, 1)
        self._up.set()
        while not self._down.is_set():
            server.poll()
            server.update(self.state, time.time_ns() // 1000)
            time.sleep(0.002)
        self.failures = list(server.failures)
        server.close()

    def close(self) -> None:
        self._down.set()
        self._thread.join(PATIENCE_S)
        assert self.failures == []


class Operator:
    """A client (open61850) that keeps the AddCauses it is told."""

    def __init__(self, port: int) -> None:
        self.client = MmsClient.connect("127.0.0.1", port, timeout=PATIENCE_S)
        self.causes: list[int] = []
        self.client.add_report_listener(self._hear)

    def _hear(self, message: InformationReport) -> None:
        if message.list_name is None:
            for name, value in zip(message.variables, message.results, strict=False):
                if name == LAST_APPL_ERROR and not isinstance(value, DataAccessError):
                    self.causes.append(LastApplError.from_data(value).add_cause)

    def write(self, part: str, value: IECData) -> bool:
        """Whether it is taken."""
        try:
            self.client.write(ObjectName(f"{POS}${part}", DOMAIN), value)
        except DataAccessError:
            return False
        return True

    def cause(self) -> int:
        """Of the refusal that has just come, or comes now; and forgets it."""
        until(lambda: bool(self.causes))
        (cause,) = self.causes
        self.causes.clear()
        return cause


def order(number: int = 1, value: bool = True, origin: Origin = REMOTE, test: bool = False) -> IECData:
    """A SBOw or Oper."""
    return oper_value(value, origin=origin, ctl_num=number, test=test, synchro_check=False)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@contextmanager
def desk(tree: Tree, clients: int = 1) -> Iterator[tuple[Desk, list[Operator]]]:
    """A server and its clients."""
    there = Desk(tree)
    operators = [Operator(there.port) for _ in range(clients)]
    try:
        yield there, operators
    finally:
        for operator in operators:
            operator.client.close()
        there.close()


def modelled(scd: bytes, model: str, **configured: str) -> Tree:
    """The agent whose SCD gives the position this ctlModel, and these values (sboTimeout, sboClass)."""
    root = etree.fromstring(scd)
    (kind,) = root.xpath("//scl:DOType[scl:DA[@name='SBOw']]", namespaces=SCL)
    parts = {part.get("name"): part for part in kind.iterchildren("{*}DA")}
    parts["ctlModel"][0].text = model
    if model == "sbo-with-normal-security":
        parts["SBOw"].set("name", "SBO")
        parts["SBOw"].set("bType", "ObjRef")
        del parts["SBOw"].attrib["type"]
    elif model.startswith("direct"):
        kind.remove(parts["SBOw"])
    if "sboClass" in configured:
        made = etree.fromstring(etree.tostring(parts["sboTimeout"]))
        made.set("name", "sboClass")
        made.set("bType", "Enum")
        made.set("type", "SboClassKind")
        kind.insert(kind.index(parts["sboTimeout"]), made)
        parts["sboClass"] = made
        (templates,) = root.xpath("//scl:DataTypeTemplates", namespaces=SCL)
        kinds = etree.SubElement(templates, f"{{{SCL['scl']}}}EnumType", id="SboClassKind")
        for number, name in enumerate(("operate-once", "operate-many")):
            etree.SubElement(kinds, f"{{{SCL['scl']}}}EnumVal", ord=str(number)).text = name
    for name, value in configured.items():
        parts[name][0].text = value
    return read_tree(root, "F_AG")

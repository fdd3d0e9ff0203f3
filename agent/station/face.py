"""The agent's MMS server and its door as the station process runs them: they listen only where an address was named."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from agent.mms.audit import Audit
from agent.mms.callers import Callers
from agent.mms.files import Files
from agent.mms.journal import Journal
from agent.mms.logs import references
from agent.mms.model import IedState
from agent.mms.porter import LOOPBACK, Doorway, Porter
from agent.mms.ports import ports_for
from agent.mms.server import MmsServer, quiet_library
from agent.mms.services import NO_SERVICES, Services
from agent.mms.settings import Store
from agent.mms.tls import IdentityError
from agent.mms.tree import Tree
from agent.mms.wiring import unfilled
from agent.station.alarms import Alarms
from agent.station.eventlog import EventLog
from agent.station.orders import Orders
from agent.time.clock import now_us

IDLE_S = 0.05
BUSY_S = 0.01
INNER_TRIES = 5
ENDS_SOON_S = 7 * 86_400
"""So long before its certificate or the authority's list is over a person is asked for."""


def services_of(tree: Tree, log: EventLog, alarms: Alarms, store: Store | None) -> Services:
    """What a client may set, fetch and look up; all of it lies beside the event log. OSError if that cannot be had."""
    directory = log.path.parent
    logs = (log.path, log.path.with_name(f"{log.path.name}.1"))
    journal = Journal(directory / "logs.sqlite") if any(references(tree)) else None
    if journal is not None and journal.lost:
        alarms.event("mms_log_lost", "mms_log", journal.lost, "MMS log begins anew")
    return Services(store, Files(directory / "files", directory / "records", logs), journal)


class Face:
    """One server. Without a client it is served less often."""

    def __init__(
        self,
        tree: Tree,
        orders: Orders,
        log: EventLog,
        say: Callable[[str], None],
        services: Services = NO_SERVICES,
    ) -> None:
        """ModelError if no server can be made of the model; what it cannot fill is told to the log."""
        self._log = log
        self._say = say
        self.due = 0.0
        """When to call :meth:`serve`, s monotonic."""
        quiet_library()
        self._services = services
        self._callers = Callers()
        self._server = MmsServer(
            tree, lambda kind, origin: orders.submit(kind, origin, False), orders.take, self._callers, services
        )
        self._porter: Porter | None = None
        self._alarms: Alarms | None = None
        for reference in unfilled(node for _, node in tree.nodes()):
            self._log.append("mms_unfilled", now_us(), {"reference": reference})

    def listen(self, doorway: Doorway, alarms: Alarms) -> bool:
        """False, with an alarm, if the address is not to be had: the server is closed then."""
        self._alarms = alarms
        try:
            port, *more = self._listen_inside(ports_for(doorway.limits.clients))
            self._porter = Porter(doorway, port, Audit(self._log, now_us), more)
        except (OSError, IdentityError) as error:
            why = str(error) if isinstance(error, IdentityError) else f"{error.strerror or error}"
            alarms.event("mms_failed", "mms", f"{doorway.address}:{doorway.port}: {why}", "MMS")
            self.close()
            return False
        self._callers.door = self._porter
        address, port = self._porter.address
        secured = doorway.identity is not None
        self._log.append("mms_listening", now_us(), {"address": address, "port": port, "secured": secured})
        how = "over TLS" if secured else "without authentication: for laboratories only"
        self._say(f"MMS on {address}:{port} {how}")
        return True

    def _listen_inside(self, count: int) -> list[int]:
        """The server's ports on loopback, where only the door is let in. The library does not choose them itself."""
        for left in reversed(range(INNER_TRIES)):
            with contextlib.ExitStack() as probes:
                ports = [_free(probes.enter_context(socket.socket())) for _ in range(count)]
            try:
                self._server.listen(LOOPBACK, ports[0], ports[1:])
            except OSError:
                if not left:
                    raise
            else:
                break
        return ports

    def fileno(self) -> int:
        """Readable when a client has something for :meth:`hear`."""
        assert self._porter is not None
        return self._porter.fileno()

    @property
    def connections(self) -> int:
        """Clients now."""
        return 0 if self._porter is None else self._porter.connections

    def hear(self) -> None:
        """Clients have come, gone or said something."""
        if self._porter is not None and self._porter.turn():
            self._server.poll()

    def serve(self, state: IedState, now: float) -> None:
        """Show this, and answer who asks."""
        self._server.update(state, now_us())
        self._server.poll()
        while self._server.failures:
            self._log.append("mms_error", now_us(), {"error": self._server.failures.pop()})
        if self._porter is not None and self._alarms is not None:
            self._porter.tick()
            self._certificate(self._porter, self._alarms)
        self.due = now + (BUSY_S if self.connections else IDLE_S)

    def _certificate(self, porter: Porter, alarms: Alarms) -> None:
        why = porter.problem
        for what, end in () if why else porter.ends.items():
            if end - time.time() < ENDS_SOON_S:
                why = f"{what} is over on {time.strftime('%Y-%m-%d', time.gmtime(end))}"
        if not why:
            alarms.end("mms_certificate")
        elif alarms.show().get("mms_certificate") != why:
            alarms.event("mms_certificate", "mms_certificate", why, "MMS")

    def close(self) -> None:
        """End all connections."""
        if self._porter is not None:
            self._porter.close()
        self._server.close()
        self._services.close()


def _free(probe: socket.socket) -> int:
    probe.bind((LOOPBACK, 0))
    return int(probe.getsockname()[1])

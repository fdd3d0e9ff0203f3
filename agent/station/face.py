"""The agent's MMS server as the station process runs it: it listens only where an address was named."""

from __future__ import annotations

from collections.abc import Callable

from agent.mms.model import IedState
from agent.mms.server import MmsServer, quiet_library
from agent.mms.tree import Tree
from agent.mms.wiring import unfilled
from agent.station.alarms import Alarms
from agent.station.eventlog import EventLog
from agent.station.orders import Orders
from agent.time.clock import now_us

IDLE_S = 0.05
BUSY_S = 0.01


class Face:
    """One server. Without a client it is served less often."""

    def __init__(self, tree: Tree, orders: Orders, log: EventLog, say: Callable[[str], None]) -> None:
        """ModelError if no server can be made of the model; what it cannot fill is told to the log."""
        self._log = log
        self._say = say
        self.due = 0.0
        """When to call :meth:`serve`, s monotonic."""
        quiet_library()
        self._server = MmsServer(tree, lambda kind, origin: orders.submit(kind, origin, False), orders.take)
        for reference in unfilled(node for device in tree.devices for node in device.nodes):
            self._log.append("mms_unfilled", now_us(), {"reference": reference})

    def listen(self, where: tuple[str, int], alarms: Alarms) -> bool:
        """False, with an alarm, if the address is not to be had: the server is closed then."""
        address, port = where
        try:
            self._server.listen(address, port)
        except OSError as error:
            alarms.event("mms_failed", "mms", str(error))
            self.close()
            return False
        self._log.append("mms_listening", now_us(), {"address": address, "port": port, "secured": False})
        self._say(f"MMS on {address}:{port} without authentication: for laboratories only")
        return True

    @property
    def connections(self) -> int:
        """Clients now."""
        return self._server.connections

    def serve(self, state: IedState, now: float) -> None:
        """Show this, and answer who asks."""
        self._server.update(state, now_us())
        self._server.poll()
        while self._server.failures:
            self._log.append("mms_error", now_us(), {"error": self._server.failures.pop()})
        self.due = now + (BUSY_S if self._server.connections else IDLE_S)

    def close(self) -> None:
        """End all connections."""
        self._server.close()

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
from collections.abc import Sequence
from typing import Any

from agent.mms import control_blocks
from agent.mms.build import ModelError, build
from agent.mms.callers import ANYBODY, Callers, show_out_strangers
from agent.mms.controls import Answer, Controls, Submit, Way
from agent.mms.episodes import Episodes
from agent.mms.files import serve
from agent.mms.logs import keep, log_ena_only, references
from agent.mms.model import IedState
from agent.mms.ports import AS_ADDED, add_port
from agent.mms.services import NO_SERVICES, Services
from agent.mms.settings import SettingGroups, unfollowed
from agent.mms.tree import Tree
from agent.mms.values import Writer

VENDOR = "FLISR"
SETTINGS = ("SP", "SV", "SG", "SE", "CF", "DC")
"""Functional constraints that no client writes, but for what :class:`SettingGroups` follows."""


class MmsServer:
    """One IED's server. Not for threads: every method, and every callback, runs in the caller's thread."""

    def __init__(
        self,
        tree: Tree,
        submit: Submit,
        answer: Answer,
        callers: Callers = ANYBODY,
        services: Services = NO_SERVICES,
    ) -> None:
        """ModelError: the data model has what this server cannot serve."""
        # Imported here: the binding costs 10 MB and is of no use to an agent without an MMS listener.
        import pyiec61850.pyiec61850 as iec

        self._iec: Any = iec
        self._state: IedState | None = None
        self._episodes = Episodes()
        self._kept: list[Any] = []
        self.failures: list[str] = []
        """Exceptions caught in callbacks: a defect of ours, told to the event log."""
        built = build(iec, tree)
        self._kept.append(built)
        self._server = iec.IedServer_create(built.model)
        iec.IedServer_setServerIdentity(self._server, VENDOR, "flisr agent", "1")
        self._kept.append(serve(iec, self._server, services.files, self.failures.append))
        self._goose = control_blocks.GooseBlocks(iec, self._server)
        problems = unfollowed(tree, built)
        if problems:
            raise ModelError(problems)
        self._settings: SettingGroups | None = None
        rules: dict[int, control_blocks.Allowed] = {
            int(iec.ACSI_CLASS_GoCB): control_blocks.read_only,
            int(iec.ACSI_CLASS_SGCB): control_blocks.read_only,
        }
        if services.settings is not None and built.group_blocks:
            self._settings = SettingGroups(
                iec, self._server, tree, built, callers, services.settings, self.failures.append
            )
            rules[int(iec.ACSI_CLASS_SGCB)] = self._settings.allowed
        rules[int(iec.ACSI_CLASS_LCB)] = log_ena_only
        if services.journal is not None:
            self._kept.append(keep(self._server, tree, services.journal, self.failures.append))
        elif any(references(tree)):
            raise ModelError([f"{reference}: nothing to keep this log in" for reference in references(tree)])
        self._kept.append(control_blocks.guard(iec, self._server, rules, self.failures.append))
        self._kept.append(show_out_strangers(self._server, callers))
        for constraint in SETTINGS:
            # A setting that nobody follows would be a lie: they change with the SCL only.
            code = getattr(iec, f"IEC61850_FC_{constraint}")
            iec.IedServer_setWriteAccessPolicy(self._server, code, iec.ACCESS_POLICY_DENY)
        self._values = Writer(iec, self._server, tree, built)
        self._controls = Controls(iec, self._server, callers, Way(submit, answer), self.failures.append)
        self._controls.install(tree, built.objects)
        self._listening = False

    # --- life --------------------------------------------------------------------------------------------------------

    def listen(self, address: str, port: int, more: Sequence[int] = ()) -> None:
        """Listen on plain TCP, in an agent on loopback behind its door; OSError if the address cannot be used.

        ``more``: further ports (:mod:`agent.mms.ports`).
        """
        for each in (port, *more):
            add_port(self._server, address, each)
        self._iec.IedServer_startThreadless(self._server, AS_ADDED)
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
            self._controls.close()

    # --- state to clients --------------------------------------------------------------------------------------------

    def update(self, state: IedState, now_us: int) -> None:
        """Show the state; only what changed is written, with quality and the time of change."""
        if self._settings is not None:
            self._settings.show()
        if state == self._state:
            return
        self._state = self._controls.state = state
        self._iec.IedServer_lockDataModel(self._server)
        try:
            for step in self._episodes.steps(state):
                self._values.write(step, now_us)
            self._goose.show(state.protection_alive)
        finally:
            self._iec.IedServer_unlockDataModel(self._server)


def quiet_library() -> None:
    """The MMS binding prints a line on descriptor 2 at each control callback: give it a descriptor of its own.

    Python's ``sys.stderr`` keeps the real one under another number.
    """
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    sys.stderr = os.fdopen(kept, "w", buffering=1)
    faulthandler.enable(sys.stderr)

"""Who may touch which control block: reading is free, writing is refused but where something follows it.

GOOSE control blocks are shown, not served: frames leave the protection process, never this library. Its own publisher
is given an interface that no system can have, so that a block that is enabled here sends nothing; GoEna is shown as it
truly is by :class:`GooseBlocks`, true while the protection process is there, which publishes from its start to its end.
Nobody writes it: neighbours that do not hear an agent widen what they isolate and restore nothing, and its breaker
hears no order to open. An agent is taken out of the scheme by its automation switch.

The binding has no face for the handler; it is installed through ctypes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

from agent.mms.library import library

READ: Final = 0
NOWHERE: Final = "no/interface"
"""Linux takes no slash in an interface's name. (The binding cannot turn the publisher off: it takes no configuration
without TLS.)"""

Allowed = Callable[[int, bytes, bytes | None, bool], bool]
"""(connection, block's name, its attribute, read only) to whether that may be done."""

_HANDLER = ctypes.CFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p,
    ctypes.c_char_p, ctypes.c_int,
)  # fmt: skip


def guard(iec: Any, server: Any, rules: dict[int, Allowed], failed: Callable[[str], None]) -> Any:
    """Install; ``rules`` by ACSI class, and a class without one is free. What is returned must live as long as the
    server."""

    def allowed(
        _parameter: Any, connection: int | None, acsi_class: int, _device: Any, _node: Any, name: bytes,
        part: bytes | None, access: int,
    ) -> bool:  # fmt: skip
        try:
            rule = rules.get(acsi_class)
            return rule is None or rule(connection or 0, name, part, access == READ)
        except Exception as error:
            failed(f"control block: {type(error).__name__}: {error}")
            return False

    handler = _HANDLER(allowed)
    install = library().IedServer_setControlBlockAccessHandler
    install.argtypes = (ctypes.c_void_p, _HANDLER, ctypes.c_void_p)
    install.restype = None
    install(int(server), handler, None)
    return handler


def read_only(_connection: int, _name: bytes, _part: bytes | None, reads: bool) -> bool:
    """The rule of a block that nobody writes."""
    return reads


class GooseBlocks:
    """GoEna of all GOOSE control blocks. NdsCom stays false: without a data set there is no agent."""

    def __init__(self, iec: Any, server: Any) -> None:
        self._iec = iec
        self._server = server
        self._sent = False
        iec.IedServer_setGooseInterfaceId(server, NOWHERE)

    def show(self, sent: bool) -> None:
        """Frames leave, or do not."""
        if sent != self._sent:
            self._sent = sent
            word = "enable" if sent else "disable"
            getattr(self._iec, f"IedServer_{word}GoosePublishing")(self._server)

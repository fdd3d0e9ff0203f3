"""Setting groups of the MMS server: select, edit, confirm. What may be set, and where it goes, is :class:`Store`'s.

The library keeps the control block: which group is edited by which client, for at most five minutes and while its
connection lasts. It asks here before ActSG and EditSG change, before each value of FC SE is written, and when an edit
is confirmed. That last question has no answer, so what can fail is done one step before it, where the access to CnfEdit
is allowed or refused; the library may still refuse a confirmation after that (nothing is edited, CnfEdit is not true),
and then nothing has changed.

The binding takes these handlers as C functions only, hence ctypes. Nothing raises into the library.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from agent.mms.build import Built
from agent.mms.callers import Callers
from agent.mms.library import library
from agent.mms.tree import Node, Tree
from scl.topology import Pickups

PHASE, EARTH = 0, 1
EDITED: Final = {("PTOC", "1", "StrVal"): PHASE, ("PTOC", "2", "StrVal"): EARTH}
"""Logical node class, instance and data object to the pick-up value that it sets."""
SHOWN: Final = EDITED | {("PSDE", "1", "GndStr"): EARTH}
"""The alarm of an isolated or compensated network follows the earth element's value."""
VALUE: Final = "setMag.f"

SUCCESS, UNAVAILABLE, DENIED, INVALID = -1, 2, 3, 11
"""DataAccessError."""

_SELECTED = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint8, ctypes.c_void_p)
_CONFIRMED = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint8)
_WRITTEN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Store(Protocol):
    """Where settings are kept: :class:`agent.station.settings.Settings`. A reason is empty if there is none."""

    active: int
    groups: tuple[Pickups, ...]

    def closed(self) -> str:
        """Why nothing can be set at all."""

    def refuses(self, group: int, wanted: Pickups) -> str:
        """Why a group may not hold these values."""

    def select(self, group: int, who: str) -> str:
        """Make a group the active one; why not."""

    def stage(self, group: int, wanted: Pickups, who: str) -> str:
        """Everything about a confirmation that can fail; why it does."""

    def confirm(self, group: int, who: str) -> bool:
        """What was staged counts."""

    def told_off(self, what: str, why: str, who: str) -> None:
        """On record: somebody was refused."""


class SettingGroups:
    """Of one server. It is asked within :meth:`agent.mms.server.MmsServer.poll`."""

    def __init__(
        self, iec: Any, server: Any, tree: Tree, built: Built, callers: Callers, store: Store,
        failed: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._iec = iec
        self._server = server
        self._callers = callers
        self._store = store
        self._failed = failed
        self._library = library()
        self._library.ClientConnection_getPeerAddress.restype = ctypes.c_char_p
        self._library.ClientConnection_getPeerAddress.argtypes = (ctypes.c_void_p,)
        self._library.MmsValue_toFloat.restype = ctypes.c_float
        self._library.MmsValue_toFloat.argtypes = (ctypes.c_void_p,)
        self._kept: list[Any] = []
        self._places = list(_places(tree, built, SHOWN))
        self._block = next(iter(built.group_blocks.values()))
        self._shown: tuple[int, tuple[Pickups, ...]] | None = None
        self._editor = 0
        """The connection that edits, as the library numbers it; 0: none has begun."""
        self._group = 0
        self._draft = Pickups(0.0, 0.0)
        self._selected_by("setActiveSettingGroupChangedHandler", self._activate)
        self._selected_by("setEditSettingGroupChangedHandler", self._edit)
        self._install("setEditSettingGroupConfirmationHandler", _CONFIRMED(self._confirmed))
        for place, handles in _places(tree, built, EDITED):
            self._watch(place, handles.edited)

    def show(self) -> None:
        """Active group and its values, as they are kept."""
        store = self._store
        if (store.active, store.groups) == self._shown:
            return
        if self._shown is None or self._shown[0] != store.active:
            self._iec.IedServer_changeActiveSettingGroup(self._server, self._block, store.active)
        self._shown = (store.active, store.groups)
        self._put(store.groups[store.active - 1], "active")

    def allowed(self, connection: int, _name: bytes, part: bytes | None, reads: bool) -> bool:
        """The rule of the control block. A confirmation is made ready here, where it can still be refused."""
        if reads or part != b"CnfEdit":
            return True
        if not self._group or connection != self._editor:
            return True  # the library refuses it, with the right error
        return not self._store.stage(self._group, self._draft, self._who(connection))

    # --- what the library asks ---------------------------------------------------------------------------------------

    def _activate(self, group: int, connection: int) -> bool:
        if self._store.select(group, self._who(connection)):
            return False
        # The library writes ActSG itself when this is answered.
        self._shown = (self._store.active, self._store.groups)
        self._put(self._store.groups[group - 1], "active")
        return True

    def _edit(self, group: int, connection: int) -> bool:
        why = self._store.closed()
        if why:
            self._store.told_off(f"edit group {group}", why, self._who(connection))
            return False
        self._editor, self._group, self._draft = connection, group, self._store.groups[group - 1]
        self._put(self._draft, "edited")
        return True

    def _write(self, place: int, value: float, connection: int) -> int:
        if connection != self._editor:
            return UNAVAILABLE
        values = list(self._draft)
        values[place] = value
        wanted = Pickups(*values)
        why = self._store.refuses(self._group, wanted)
        if why:
            self._store.told_off(f"edit group {self._group}", why, self._who(connection))
            return INVALID
        self._draft = wanted
        return SUCCESS

    def _confirmed(self, _parameter: Any, _block: Any, group: int) -> None:
        try:
            self._store.confirm(group, self._who(self._editor))
            self._editor = self._group = 0
            self.show()
        except Exception as error:
            self._failed(f"settings: {type(error).__name__}: {error}")

    # --- the library -------------------------------------------------------------------------------------------------

    def _selected_by(self, name: str, ask: Callable[[int, int], bool]) -> None:
        def handler(_parameter: Any, _block: Any, group: int, connection: int | None) -> bool:
            try:
                return ask(group, connection or 0)
            except Exception as error:
                self._failed(f"settings: {type(error).__name__}: {error}")
                return False

        self._install(name, _SELECTED(handler))

    def _watch(self, place: int, handle: Any) -> None:
        def handler(_attribute: Any, value: int, connection: int | None, _parameter: Any) -> int:
            try:
                written = float(self._library.MmsValue_toFloat(value))
                return self._write(place, _shortest(written), connection or 0)
            except Exception as error:
                self._failed(f"settings: {type(error).__name__}: {error}")
                return DENIED

        made = _WRITTEN(handler)
        install = self._library.IedServer_handleWriteAccess
        install.argtypes, install.restype = (ctypes.c_void_p, ctypes.c_void_p, _WRITTEN, ctypes.c_void_p), None
        install(int(self._server), _address(handle), made, None)
        self._kept.append(made)

    def _install(self, name: str, handler: Any) -> None:
        install = getattr(self._library, f"IedServer_{name}")
        install.argtypes = (ctypes.c_void_p, ctypes.c_void_p, type(handler), ctypes.c_void_p)
        install.restype = None
        install(int(self._server), _address(self._block), handler, None)
        self._kept.append(handler)

    def _put(self, values: Sequence[float], which: str) -> None:
        for place, handles in self._places:
            self._iec.IedServer_updateFloatAttributeValue(self._server, getattr(handles, which), values[place])

    def _who(self, connection: int) -> str:
        if not connection:
            return "MMS"
        address = self._library.ClientConnection_getPeerAddress(connection) or b""
        return f"MMS {self._callers.of(address.decode('ascii', 'replace')).name}".rstrip()


def _places(tree: Tree, built: Built, wanted: dict[tuple[str, str, str], int]) -> Any:
    """(pick-up value, handles) of the data objects that the model has."""
    for device, node in tree.nodes():
        if device.inst not in built.group_blocks:
            continue
        for (ln_class, inst, name), place in wanted.items():
            handles = built.settings.get(f"{device.inst}/{node.name}.{name}.{VALUE}")
            if handles is not None and _is(node, ln_class, inst):
                yield place, handles


def unfollowed(tree: Tree, built: Built) -> list[str]:
    """Settings that would show the value of one group whichever is active: nothing here follows them."""
    found = []
    for device in tree.devices:
        if any(node.groups is not None and node.groups.groups > 1 for node in device.nodes):
            followed = {id(handles) for _, handles in _places(tree, built, SHOWN)}
            found += [
                f"{where}: a value of setting groups that nothing follows"
                for where, handles in built.settings.items()
                if where.startswith(f"{device.inst}/") and id(handles) not in followed
            ]
    return found


def _is(node: Node, ln_class: str, inst: str) -> bool:
    return (node.prefix, node.ln_class, node.inst) == ("", ln_class, inst)


def _address(proxy: Any) -> int:
    """Of what the binding has wrapped."""
    return int(getattr(proxy, "this", proxy))


def _shortest(value: float) -> float:
    """What was meant by a number of 32 bits: 550.1, not 550.0999755859375."""
    if struct.pack("f", value) != struct.pack("f", round(value, 3)):
        return value
    return round(value, 3)

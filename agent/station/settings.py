"""The agent's settings: which group is active and what each group holds, on disk and in the protection process.

What was selected or confirmed is on disk before anybody is told so; the protection process is told at once, and its
snapshot says what the elements are compared with. A file that cannot be trusted leaves the values of the SCD, with an
alarm; a file made for another SCD is passed over, because what the neighbours count on has changed.

Where the SCD's ratings say so (``feed_groups``) the active group follows the side that the device is fed from: the
agent selects it itself, when it has been fed from there for a while and has nothing to decide. Nobody else does then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.logic.thresholds import refused
from agent.station import durable, plain
from agent.station.alarms import Alarms
from agent.station.config import Setting
from agent.station.eventlog import EventLog
from agent.station.snapshot import Snapshot
from agent.time.clock import now_us
from scl.topology import Feeder, Pickups

NAME: Final = "settings.json"
VERSION: Final = 1
FOLLOW_S: Final = 2.0
"""A reversed feed has lasted so long before the group follows it."""
LATE_S: Final = 3.0
"""The elements are compared with something else for so long: somebody must look."""
AGAIN_S: Final = 1.0
ITSELF: Final = "the agent"
ALARM, LATE = "settings", "settings_late"


class Stored(NamedTuple):
    """What is on disk."""

    engineered: str
    """Digest of what the SCD gave when it was written."""
    active: int
    groups: tuple[Pickups, ...]


class Engineered(NamedTuple):
    """What the SCD gives one agent."""

    feeder: Feeder
    device: int
    samples: bool
    """The agent's own elements decide; without samples they are a relay's, which nobody sets here."""

    @property
    def digest(self) -> str:
        """Of everything that a setting is judged by."""
        marked = [
            (d.name, d.zone_a, d.zone_b, d.groups, d.phase_pickup_range_a, d.earth_pickup_range_a)
            for d in self.feeder.devices
        ]
        return hashlib.sha256(json.dumps([self.device, marked]).encode()).hexdigest()


class Settings:
    """See the module. ``tell`` hands a message to the protection process and says whether that was possible."""

    def __init__(
        self,
        directory: Path,
        engineered: Engineered,
        log: EventLog,
        alarms: Alarms,
        tell: Callable[[dict[str, Any]], bool],
    ) -> None:
        self._path = directory / NAME
        self._engineered = engineered
        self._log = log
        self._alarms = alarms
        self._tell = tell
        self._device = engineered.feeder.devices[engineered.device]
        self._digest = engineered.digest
        self.active = self._device.active_group
        self.groups = self._device.groups
        self._staged: Stored | None = None
        self._automatic = False
        self._fed_since: tuple[int, float] = (0, 0.0)
        self._late_since = self._told_at = 0.0
        self._read()

    # --- what is set -------------------------------------------------------------------------------------------------

    @property
    def setting(self) -> Setting:
        """What the elements are to be compared with."""
        return Setting(self.active, self.groups[self.active - 1])

    def closed(self) -> str:
        """Why nothing at all can be set; empty: it can."""
        return "" if self._engineered.samples else "this agent has no samples: its relay has settings of its own"

    def refuses(self, group: int, wanted: Pickups) -> str:
        """Why a group may not hold these values; empty: it may."""
        return self.closed() or refused(self._engineered.feeder, self._engineered.device, group, wanted)

    # --- changes -----------------------------------------------------------------------------------------------------

    def select(self, group: int, who: str) -> str:
        """Make a group the active one; why not, or empty when it is on disk and the protection process is told."""
        why = self.closed()
        if not why and self._device.feed_groups is not None and who != ITSELF:
            why = "the active group follows the side that the device is fed from"
        if not why and not 1 <= group <= len(self.groups):
            why = f"there are {len(self.groups)} setting groups"
        if not why:
            why = self._write(Stored(self._digest, group, self.groups))
        if why:
            self.told_off(f"select group {group}", why, who)
            return why
        self.active = group
        self._automatic = who == ITSELF
        self._log.append("setting_group", now_us(), {"group": group, "who": who})
        self._hand_over()
        return ""

    def stage(self, group: int, wanted: Pickups, who: str) -> str:
        """The first half of a confirmation: everything that can fail, the write included. Why it does, or empty."""
        self._staged = None
        why = self.refuses(group, wanted)
        if not why:
            groups = (*self.groups[: group - 1], wanted, *self.groups[group:])
            staged = Stored(self._digest, self.active, groups)
            try:
                durable.stage(self._path, encode(staged))
                self._staged = staged
            except OSError as error:
                why = self._unwritten(error)
        if why:
            self.told_off(f"confirm group {group}", why, who)
        return why

    def confirm(self, group: int, who: str) -> bool:
        """The second half. False, with an alarm: what was staged is not in force, the former values stay."""
        staged, self._staged = self._staged, None
        if staged is None:
            return False
        try:
            durable.settle(self._path)
        except OSError as error:
            self.told_off(f"confirm group {group}", self._unwritten(error), who)
            return False
        self._alarms.end(ALARM)
        self.groups = staged.groups
        phase_a, earth_a = self.groups[group - 1]
        self._log.append(
            "settings_confirmed", now_us(), {"group": group, "phase_a": phase_a, "earth_a": earth_a, "who": who}
        )
        if group == self.active:
            self._automatic = False
            self._hand_over()
        return True

    def told_off(self, what: str, why: str, who: str) -> None:
        """On record: somebody wanted something and was refused."""
        self._log.append("settings_refused", now_us(), {"what": what, "why": why, "who": who})

    # --- the protection process --------------------------------------------------------------------------------------

    def attached(self) -> None:
        """A protection process is there, perhaps one that has run on without us."""
        self._hand_over()

    def follow(self, snap: Snapshot, now: float) -> None:
        """Look at a snapshot (``now``: s, monotonic): is it so, and does the feed say otherwise?"""
        if self._engineered.samples:
            self._look(snap, now)
            self._follow_feed(snap, now)

    def _look(self, snap: Snapshot, now: float) -> None:
        setting = self.setting
        meters = snap.meters
        so = meters is None or (meters.phase_pickup_a, meters.earth_pickup_a) == tuple(setting.pickups)
        if so and snap.group == setting.group:
            self._late_since = 0.0
            self._alarms.end(LATE)
        elif not self._late_since or (self._automatic and not snap.idle):
            self._late_since = now
        elif now - self._late_since > LATE_S and LATE not in self._alarms:
            self._alarms.event("settings_late", LATE, f"setting group {setting.group} is not what the elements follow")
        if self._late_since and now - self._told_at > AGAIN_S:
            self._told_at = now
            self._hand_over()

    def _follow_feed(self, snap: Snapshot, now: float) -> None:
        rule = self._device.feed_groups
        if rule is None:
            return
        if snap.fed_from != self._fed_since[0] or not snap.idle:
            self._fed_since = (snap.fed_from, now)
            return
        if snap.fed_from in (1, 2) and now - self._fed_since[1] >= FOLLOW_S:
            group = rule[snap.fed_from - 1]
            if group != self.active and self.select(group, ITSELF):
                self._fed_since = (snap.fed_from, now)  # refused: not again at once

    def _hand_over(self) -> None:
        if self._engineered.samples:
            self._tell({"t": "setting", "setting": plain.dump(self.setting), "automatic": self._automatic})

    # --- the file ----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            stored = decode(self._path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self._distrust(str(error))
            return
        if stored.engineered != self._digest:
            self._log.append(
                "settings_passed_over", now_us(), {"why": "they were made for another SCD; its values are in force"}
            )
            return
        why = self._wrong(stored)
        if why:
            self._distrust(why)
        else:
            self.active, self.groups = stored.active, stored.groups

    def _wrong(self, stored: Stored) -> str:
        if len(stored.groups) != len(self.groups) or not 1 <= stored.active <= len(self.groups):
            return "other setting groups than the SCD has"
        found = [self.refuses(number, wanted) for number, wanted in enumerate(stored.groups, 1)]
        return next((why for why in found if why), "")

    def _distrust(self, why: str) -> None:
        words = "settings cannot be trusted, the SCD's values are in force"
        self._alarms.event("settings_unreadable", ALARM, f"{self._path}: {why}", words)

    def _write(self, stored: Stored) -> str:
        try:
            durable.replace(self._path, encode(stored))
        except OSError as error:
            return self._unwritten(error)
        self._alarms.end(ALARM)
        return ""

    def _unwritten(self, error: OSError) -> str:
        why = f"{self._path}: {error.strerror or error}"
        self._alarms.event("settings_failed", ALARM, why, "settings are not on disk")
        return why


def encode(stored: Stored) -> bytes:
    """The file's content."""
    return durable.seal(VERSION, plain.dump(stored))


def decode(data: bytes) -> Stored:
    """What is in a file; ValueError says what is wrong with it."""
    return plain.load(Stored, durable.unseal(VERSION, data))

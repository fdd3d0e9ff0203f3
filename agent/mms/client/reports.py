"""One report control block as its reports come: their order, segments, duplicates and losses. Sans I/O.

A report of a buffered block is known by its EntryID. After an interruption the block is asked to go on behind the last
one that was taken; what comes again all the same is dropped, what is missing is told as :class:`Loss`:

    BufOvfl is set                         the server's buffer was too small (says nothing before the first report)
    the server does not know the EntryID   (told by :mod:`agent.mms.client.blocks`)
    SqNum jumps                            within one period of being enabled
    a segment is missing, the number of members or ConfRev is not that of the data set
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from open61850.data import IECData
from open61850.mms.errors import DataAccessError
from open61850.mms.pdu import ObjectName
from open61850.mms.report import ReasonCode
from open61850.mms.report import Report as Decoded

RECENT: Final = 64
"""EntryIDs remembered for duplicates: a server that goes on behind the right one repeats a few at the most."""
SEGMENTS_MAX: Final = 1000
NOTHING: Final = bytes(8)
"""The EntryID that stands before all."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A member of the data set in a report."""

    name: ObjectName
    value: IECData | DataAccessError
    reason: str

    @property
    def reference(self) -> str:
        """``LD/LN.DO.DA[FC]``."""
        return reference_of(self.name)


@dataclass(frozen=True, slots=True)
class Report:
    """One report, all its segments together."""

    block: str
    """``LD/LN.name`` of the control block."""
    entries: tuple[Entry, ...]
    number: int | None
    """SqNum."""
    time: datetime | None
    """TimeOfEntry."""
    entry_id: bytes | None
    """None: the block is not buffered."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Reports of this block are missing before what comes next."""

    block: str
    why: str


@dataclass(frozen=True, slots=True)
class Block:
    """A control block as it was when it was enabled."""

    name: ObjectName
    """``LN$BR$name``."""
    report_id: str
    data_set: ObjectName
    conf_rev: int | None
    members: tuple[ObjectName, ...]

    @property
    def buffered(self) -> bool:
        """BRCB or URCB."""
        return "$BR$" in self.name.item

    @property
    def reference(self) -> str:
        """``LD/LN.name``."""
        return block_reference(self.name)


def reference_of(name: ObjectName) -> str:
    """``LD/LN.DO.DA[FC]`` of ``LN$FC$DO$DA``."""
    node, _, rest = name.item.partition("$")
    fc, _, path = rest.partition("$")
    return f"{name.domain}/{'.'.join((node, *path.split('$'))) if path else node}" + (f"[{fc}]" if fc else "")


def block_reference(name: ObjectName) -> str:
    """``LD/LN.name`` of ``LN$BR$name``."""
    node, _, rest = name.item.partition("$")
    return f"{name.domain}/{node}.{rest.partition('$')[2]}"


def _reason(code: ReasonCode | None) -> str:
    if code is None:
        return ""
    words = {
        "data change": code.data_change, "quality change": code.quality_change, "data update": code.data_update,
        "integrity": code.integrity, "general interrogation": code.general_interrogation,
        "application": code.application_trigger,
    }  # fmt: skip
    return ", ".join(word for word, true in words.items() if true)


@dataclass
class Follower:
    """See the module. :meth:`enabled` when the block was enabled, :meth:`take` for each report that came since."""

    position: bytes | None = None
    """EntryID of the last report that was taken; None: none yet."""
    block: Block | None = None
    duplicates: int = 0
    stale: bool = False
    """The block is another than when it was enabled: enable it again."""
    _number: int | None = None
    _parts: list[Decoded] = field(default_factory=list)
    _recent: OrderedDict[tuple[bytes, datetime | None], None] = field(default_factory=OrderedDict)

    def enabled(self, block: Block, known: bool = True) -> None:
        """Reports from now on are of this block. ``known``: the server goes on behind :attr:`position`."""
        self.block = block
        self.stale = False
        self._number = None
        self._parts.clear()
        if not known:
            # Another buffer, which may give the same EntryIDs to other reports.
            self._recent.clear()

    def take(self, told: Decoded) -> list[Report | Loss]:
        """What a report (or a segment of one) amounts to."""
        block = self.block
        if block is None:
            return []
        lost = self._order(told, block)
        if told.buf_ovfl and self.position is not None:
            lost.append(Loss(block.reference, "the server's buffer overflowed"))
        if block.conf_rev is not None and told.conf_rev is not None and told.conf_rev != block.conf_rev:
            self.stale = True
            return [*lost, Loss(block.reference, f"ConfRev is {told.conf_rev}, not {block.conf_rev}: changed")]
        if len(told.inclusion) != len(block.members):
            self.stale = True
            return [*lost, Loss(block.reference, f"{len(told.inclusion)} members, not {len(block.members)}: changed")]
        self._parts.append(told)
        if told.more_segments_follow and len(self._parts) < SEGMENTS_MAX:
            return list(lost)
        parts, self._parts = self._parts, []
        if self._again(told):
            self.duplicates += 1
            return list(lost)
        if told.entry_id is not None:
            self.position = told.entry_id
        return [*lost, self._whole(block, parts)]

    def _order(self, told: Decoded, block: Block) -> list[Loss]:
        """Compare SqNum and SubSeqNum with what should come."""
        lost: list[Loss] = []
        begun = bool(self._parts)
        goes_on = begun and told.seq_num == self._parts[-1].seq_num and (told.sub_seq_num or 0) == len(self._parts)
        if begun and not goes_on:
            self._parts.clear()
            lost.append(Loss(block.reference, "the rest of a report in segments did not come"))
        if not begun and told.sub_seq_num:
            lost.append(Loss(block.reference, "the beginning of a report in segments did not come"))
        if told.seq_num is None or goes_on:
            return lost
        size = 65_536 if block.buffered else 256
        if self._number is not None and told.seq_num != (self._number + 1) % size:
            missing = (told.seq_num - self._number - 1) % size
            lost.append(Loss(block.reference, f"SqNum {told.seq_num} after {self._number}: {missing} missing"))
        self._number = told.seq_num
        return lost

    def _again(self, told: Decoded) -> bool:
        """Whether it came before."""
        if told.entry_id is None:
            return False
        key = (told.entry_id, told.time_of_entry)
        if key in self._recent:
            return True
        self._recent[key] = None
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return False

    def _whole(self, block: Block, parts: list[Decoded]) -> Report:
        last = parts[-1]
        entries = tuple(
            Entry(block.members[entry.index], entry.value, _reason(entry.reason))
            for part in parts
            for entry in part.entries
        )
        return Report(block.reference, entries, last.seq_num, last.time_of_entry, last.entry_id)

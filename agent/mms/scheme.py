"""The rows of the scheme's own data objects (``flsGGIO``): field by field what the GOOSE data sets carry.

``scl.flisr_dataset`` says which field of which tuple a data object shows; nothing is listed here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from agent.mms.model import IedState
from scl.flisr_dataset import MASK_BITS, Member, command_members, report_members

WORDS_MAX: Final = 32
"""Mask words that a data object may have: two thousand zones or devices."""
_UNUSED_GRANT: Final = (-1, 0)

Read = Callable[[IedState], bool | int | float]


def _field(message: Any, member: Member) -> bool | int | float:
    value = message
    for part in member.field.split("."):
        if not part.isdigit():
            value = getattr(value, part)
        elif isinstance(value, tuple) and len(value) <= int(part):
            value = _UNUSED_GRANT
        else:
            value = value[int(part)]
    if member.word >= 0:
        return int(value) >> (MASK_BITS * member.word) & ((1 << MASK_BITS) - 1)
    return float(value) if member.b_type == "FLOAT32" else bool(value) if member.b_type == "BOOLEAN" else int(value)


def _of_report(member: Member) -> Read:
    return lambda state: _field(state.report, member)


def _of_order(member: Member) -> Read:
    return lambda state: _field(state.order, member)


def scheme_reads() -> dict[str, Read]:
    """By ``prefix class inst . data object``: ``flsGGIO2.LokA``."""
    places = MASK_BITS * WORDS_MAX
    found: dict[str, Read] = {}
    for members, make in ((report_members(places, places), _of_report), (command_members(), _of_order)):
        for member in members:
            if member.prefix:
                found[f"{member.prefix}{member.ln_class}{member.ln_inst}.{member.do_name}"] = make(member)
    return found

"""The data sets follow the tuples of the brain: every field, in order, once."""

from __future__ import annotations

import pytest

from agent.logic import messages
from scl import flisr_dataset as ds


def _flat(kind: type, prefix: str = "") -> list[str]:
    names: list[str] = []
    for name in kind._fields:  # type: ignore[attr-defined]
        if name == "request":
            names += _flat(messages.Request, "request.")
        elif name == "grants":
            names += [f"grants.{i}.{k}" for i in range(messages.GRANTS_MAX) for k in (0, 1)]
        else:
            names.append(prefix + name)
    return names


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        (ds.report_members(12, 12), messages.Report),
        (ds.command_members(), messages.BreakerCommand),
        (ds.status_members(), messages.BreakerStatus),
    ],
)
def test_fields_in_order(members: tuple[ds.Member, ...], kind: type) -> None:
    assert [member.field for member in members] == _flat(kind)


def test_masks_grow_by_words() -> None:
    members = ds.report_members(64, 127)
    assert [m.word for m in members if m.field == "claim_zones"] == [0, 1]
    assert [m.word for m in members if m.field == "request.opens"] == [0, 1, 2]
    assert [ds.words(n) for n in (0, 1, 63, 64, 126, 127)] == [1, 1, 1, 2, 2, 3]


def test_references_are_unique_and_do_names_legal() -> None:
    members = ds.report_members(200, 200) + ds.command_members() + ds.status_members("XSWI")
    assert len({member.reference for member in members}) == len(members)
    assert all(len(member.do_name) <= 12 and member.do_name[0].isupper() for member in members)


def test_enumerations_have_the_ordinals_of_the_brain() -> None:
    for name, kind in (
        ("FlisrLevel", messages.Level),
        ("FlisrLive", messages.Live),
        ("FlisrRequest", messages.RequestKind),
        ("FaultDirectionKind", messages.Direction),
    ):
        assert [ordinal for ordinal, _ in ds.ENUMS[name]] == [int(value) for value in kind]

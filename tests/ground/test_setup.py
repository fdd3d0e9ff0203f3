"""What ``make setup`` installs is what was tested: every package that it can bring in is pinned."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().split()
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def closure(name: str, extras: frozenset[str], found: dict[str, set[str]]) -> None:
    """Everything that ``name[extras]`` requires here, with the extras asked of each."""
    key = canonicalize_name(name)
    new = {"", *extras} - found.get(key, set())
    if not new:
        return
    found.setdefault(key, set()).update(new)
    for text in importlib.metadata.requires(name) or ():
        requirement = Requirement(text)
        if any(requirement.marker is None or requirement.marker.evaluate({"extra": extra}) for extra in new):
            closure(requirement.name, frozenset(requirement.extras), found)


def test_every_package_that_set_up_installs_is_pinned_to_what_is_installed() -> None:
    found: dict[str, set[str]] = {}
    closure("flisr", frozenset({"test"}), found)
    assert len(found) > 20
    pinned = pins()
    wrong = {
        name: (pinned.get(name), importlib.metadata.version(name))
        for name in found
        if name != "flisr" and pinned.get(name) != importlib.metadata.version(name)
    }
    assert not wrong, "name: (pinned, installed)"


def test_an_agent_alone_installs_nothing_numerical() -> None:
    found: dict[str, set[str]] = {}
    closure("flisr", frozenset(), found)
    assert not {"numpy", "scipy", "numba", "pandas"} & set(found)


def test_no_pin_is_left_over() -> None:
    found: dict[str, set[str]] = {}
    closure("flisr", frozenset({"test"}), found)
    assert set(pins()) <= set(found)


def test_sources_have_no_unfinished_marks() -> None:
    mark = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    for room in ("agent", "scl", "simulator", "benchmarks", "tests"):
        for file in (ROOT / room).rglob("*.py"):
            assert not mark.search(file.read_text()), file

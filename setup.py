"""What is compiled: the C core, by cffi; by mypyc the Python that decides, its way to the wire, and what a
simulated scenario runs through.

``FLISR_INTERPRETED=1`` leaves the Python as it is, for those who edit it: the same results, at 40 % of the speed.
"""

import os
import sys
from pathlib import Path

from setuptools import setup

ROOMS = {
    "agent.goose": [f"agent/goose/{name}.py" for name in
                    ("layout", "dataset", "subscriber", "publisher", "opener", "sealer", "endpoint", "inbox")],
    "agent.logic": ["agent/logic/*.py"],
    "simulator.virtual": ["simulator/virtual/*.py", "simulator/invariants.py", "simulator/oracle.py",
                          "simulator/aftermath.py"],
}  # fmt: skip
"""Per compiled library, its files."""
LEFT = {
    "__init__.py",
    "many.py",
    "show.py",
    "shrink.py",
    "brains.py",
    "acceptance.py",
    "messages.py",
    "config.py",
    "scenario.py",
}
"""Where nothing would be won; what tests replace; what is read by its type hints, of which mypyc keeps less."""


def compiled_rooms() -> list[tuple[list[str], str]]:
    """Files and name of each library."""
    here = Path(__file__).parent
    return [
        (sorted(str(p.relative_to(here)) for form in forms for p in here.glob(form) if p.name not in LEFT), name)
        for name, forms in ROOMS.items()
    ]


def extensions() -> list[object]:
    """For setuptools; none if the Python is to stay as it is, or if only metadata are asked for, as pip does first."""
    if os.environ.get("FLISR_INTERPRETED", "") not in ("", "0") or {"egg_info", "dist_info"} & set(sys.argv):
        return []
    from mypyc.build import mypycify

    rooms = compiled_rooms()
    options = ["--ignore-missing-imports", "--follow-imports=silent", "--no-warn-unused-ignores"]
    files = [path for paths, _ in rooms for path in paths]
    return list(mypycify([*options, *files], opt_level="2", debug_level="0", separate=rooms))


setup(
    cffi_modules=["agent/core/build.py:builder", "agent/goose/inbox_build.py:builder"],
    ext_modules=extensions(),
    options={"build": {"parallel": 2}},
)

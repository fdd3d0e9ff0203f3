"""Builds ``agent.goose._inbox`` (cffi, API mode). The parts' headers are both the C headers and what cffi reads."""

from __future__ import annotations

from pathlib import Path

import cffi

_HERE = Path(__file__).resolve().parent
_FOLDER, _CORE = "agent/goose", "agent/core"
_PARTS = ("opener", "inbox", "intake", "sealer")
_INCLUDED = ("masked.h", "stamp.h")

builder = cffi.FFI()
for part in _PARTS:
    builder.cdef((_HERE / f"{part}.h").read_text().replace("#pragma once\n", ""))
builder.set_source(
    "agent.goose._inbox",
    "#include <stdint.h>\n" + "".join(f'#include "{part}.h"\n' for part in _PARTS),
    sources=[*(f"{_FOLDER}/{part}.c" for part in _PARTS), f"{_CORE}/sha256.c"],
    depends=[
        *(f"{_FOLDER}/{part}.h" for part in _PARTS),
        *(f"{_FOLDER}/{name}" for name in _INCLUDED),
        f"{_CORE}/sha256.h",
    ],
    include_dirs=[_FOLDER, _CORE],
    extra_compile_args=["-O3", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-fvisibility=hidden"],
)

if __name__ == "__main__":
    builder.compile(tmpdir=str(_HERE.parent.parent), verbose=True)

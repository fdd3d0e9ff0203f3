"""Builds ``agent.goose._inbox`` (cffi, API mode). ``inbox.h`` is both the C header and what cffi reads."""

from __future__ import annotations

from pathlib import Path

import cffi

_HERE = Path(__file__).resolve().parent
_FOLDER = "agent/goose"

builder = cffi.FFI()
builder.cdef((_HERE / "inbox.h").read_text().replace("#pragma once\n", ""))
builder.set_source(
    "agent.goose._inbox",
    '#include <stdint.h>\n#include "inbox.h"\n',
    sources=[f"{_FOLDER}/inbox.c"],
    depends=[f"{_FOLDER}/inbox.h"],
    include_dirs=[_FOLDER],
    extra_compile_args=["-O3", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-fvisibility=hidden"],
    libraries=["pthread"],
)

if __name__ == "__main__":
    builder.compile(tmpdir=str(_HERE.parent.parent), verbose=True)

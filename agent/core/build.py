"""Builds ``agent.core._core`` (cffi, API mode). ``api.h`` is both the C header and what cffi reads."""

from __future__ import annotations

from pathlib import Path

import cffi

_HERE = Path(__file__).resolve().parent
_FOLDER = "agent/core"
_SOURCES = [
    "thread.c",
    "sha256.c",
    "gmac.c",
    "frame.c",
    "keys.c",
    "adjust.c",
    "onset.c",
    "frequency.c",
    "filters.c",
    "strike.c",
    "direction.c",
    "detector.c",
    "publish.c",
    "supervision.c",
    "sockets.c",
    "receiver.c",
    "ring.c",
    "waveform.c",
    "source.c",
]
_HEADERS = [
    "api.h",
    "system.h",
    "thread.h",
    "sha256.h",
    "gmac.h",
    "frame.h",
    "keys.h",
    "phasor.h",
    "adjust.h",
    "onset.h",
    "strike.h",
    "frequency.h",
    "detector.h",
    "receiver.h",
    "waveform.h",
]

builder = cffi.FFI()
builder.cdef((_HERE / "api.h").read_text().replace("#pragma once\n", ""))
builder.set_source(
    "agent.core._core",
    '#include <stdint.h>\n#include "api.h"\n',
    sources=[f"{_FOLDER}/{name}" for name in _SOURCES],
    depends=[f"{_FOLDER}/{name}" for name in _HEADERS],
    include_dirs=[_FOLDER],
    extra_compile_args=["-O3", "-std=gnu11", "-Wall", "-Wextra", "-fno-math-errno", "-fvisibility=hidden"],
    libraries=["m", "pthread"],
)

if __name__ == "__main__":
    builder.compile(tmpdir=str(_HERE.parent.parent), verbose=True)

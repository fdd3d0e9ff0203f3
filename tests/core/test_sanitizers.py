"""The C sources under the address and undefined-behaviour sanitizers, fed with mutilated frames."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

CORE = Path(__file__).parents[2] / "agent" / "core"
SOURCES = sorted(path for path in CORE.glob("*.c") if path.name != "_core.c")


def test_mutilated_frames_under_the_sanitizers(tmp_path: Path) -> None:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    program = tmp_path / "fuzz"
    subprocess.run(
        [
            compiler,
            *("-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-I", str(CORE)),
            *("-o", str(program), str(Path(__file__).with_name("fuzz.c")), *map(str, SOURCES)),
            *("-lm", "-lpthread"),
        ],
        check=True,
        timeout=120,
    )
    run = subprocess.run([program, "10000"], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr

"""The C sources under the address and undefined-behaviour sanitizers, fed with mutilated frames."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

CORE = Path(__file__).parents[2] / "agent" / "core"
SOURCES = sorted(path for path in CORE.glob("*.c") if path.name != "_core.c")


def built(program: Path, *options: str) -> Path:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    subprocess.run(
        [
            compiler,
            *("-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-I", str(CORE)),
            *(*options, "-o", str(program), str(Path(__file__).with_name("fuzz.c")), *map(str, SOURCES)),
            *("-lm", "-lpthread"),
        ],
        check=True,
        timeout=120,
    )
    return program


def test_mutilated_frames_under_the_sanitizers(tmp_path: Path) -> None:
    """Open, with HMAC and with AES-GMAC, while another thread exchanges the keys."""
    run = subprocess.run([built(tmp_path / "fuzz"), "7000"], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_without_openssl_a_gmac_stream_is_refused_by_name(tmp_path: Path) -> None:
    program = built(tmp_path / "without", '-DGMAC_LIBRARIES="libnone.so.1"')
    run = subprocess.run([program, "0"], capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 3, run.stdout + run.stderr
    assert run.stdout.startswith("AES-GMAC needs OpenSSL")

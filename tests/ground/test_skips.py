"""CI does not take a skipped test for a passed one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


@pytest.mark.parametrize(
    ("ci", "workers", "reason", "code"),
    [
        ("true", "0", "no peer here", 1),
        ("true", "1", "no peer here", 1),
        ("", "0", "no peer here", 0),
        ("1", "0", "no peer here", 1),
        ("false", "0", "no peer here", 0),
        ("true", "0", "namespaces are forbidden here: no peer here", int(os.geteuid() == 0)),
    ],
)
def test_a_skip_is_an_error_in_ci_only(tmp_path: Path, ci: str, workers: str, reason: str, code: int) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "test_it.py").write_text(
        f"import pytest\ndef test_one(): pass\n@pytest.mark.skip(reason={reason!r})\ndef test_two(): pass\n"
        "@pytest.mark.xfail(reason='known')\ndef test_three(): assert 0\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"CI": ci, "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert run.returncode == code, run.stdout
    assert ("which --no-skips" in run.stdout) == bool(code)
    assert "no peer here" in run.stdout or ci in ("", "false")
    assert "test_three" not in run.stdout.partition("which --no-skips")[2]

"""CI does not take a skipped test for a passed one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


@pytest.mark.parametrize(("ci", "workers", "code"), [("true", "0", 1), ("true", "1", 1), ("", "0", 0)])
def test_a_skip_is_an_error_in_ci_only(tmp_path: Path, ci: str, workers: str, code: int) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_one(): pass\n@pytest.mark.skip(reason='no peer here')\ndef test_two(): pass\n"
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
    assert "no peer here" in run.stdout or not code
    assert "test_three" not in run.stdout.partition("which --no-skips")[2]

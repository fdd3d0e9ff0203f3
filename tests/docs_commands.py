"""Run the commands that the documents show: each ``$ `` line of a fenced ``console`` block, in the order of the file.

A file's commands run in one scratch folder that mirrors the clone (symbolic links to its top level), so relative paths
work as they would for a reader and what the commands write stays there. A comment on the line above the fence changes
how its block is taken:

    <!-- run: no, REASON -->     not run
    <!-- run: long -->           run only with --long
    <!-- run: exits 1 -->        every command of the block must exit with 1 instead of 0
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"(?:<!-- run: (?P<how>[^>]*?) -->\n)?^ *```console\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
LIMIT_S = 300
TRIES_OF_LONG = 2
"""A play of the demonstration shares two cores with fifty processes: it may be played once more, and that is said."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One command as a document shows it."""

    file: Path
    line: int
    command: str
    runs: bool = True
    long: bool = False
    exits: int = 0


def documents(root: Path = ROOT) -> list[Path]:
    """The files whose commands must work."""
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").rglob("*.md"))]


def shown(file: Path) -> list[Shown]:
    """The commands of a file; a line that ends in a backslash goes on in the next."""
    text = file.read_text(encoding="utf-8")
    commands = []
    for block in FENCE.finditer(text):
        how = block["how"] or ""
        exits = re.fullmatch(r"exits (\d+)", how)
        if how and not exits and how != "long" and not re.fullmatch(r"no, \S.*", how):
            raise ValueError(f"{file}: unknown instruction '<!-- run: {how} -->'")
        line = text.count("\n", 0, block.start("body")) + 1
        for number, entry in enumerate(block["body"].replace("\\\n", "\\\0").split("\n")):
            entry = entry.lstrip(" ")
            if entry.startswith("$ "):
                commands.append(
                    Shown(
                        file=file,
                        line=line + number,
                        command=entry[2:].replace("\\\0", ""),
                        runs=not how.startswith("no,"),
                        long=how == "long",
                        exits=int(exits[1]) if exits else 0,
                    )
                )
    return commands


def attempt(command: str, scratch: Path, environment: dict[str, str]) -> tuple[int | None, str]:
    """Run one command; its exit status (None: it did not end) and what it printed."""
    try:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"still running after {LIMIT_S} s"
    return done.returncode, done.stdout


def run(commands: list[Shown], with_long: bool) -> list[str]:
    """Run one file's commands in a scratch folder; what went wrong, a line each."""
    wrong: list[str] = []
    environment = {**os.environ, "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}", "COLUMNS": "120"}
    with tempfile.TemporaryDirectory(prefix="docs-") as name:
        scratch = Path(name)
        for entry in ROOT.iterdir():
            if entry.name not in (".git", "runs", "build"):
                (scratch / entry.name).symlink_to(entry)
        for item in commands:
            if not item.runs or (item.long and not with_long):
                continue
            began = time.monotonic()
            where = f"{item.file.relative_to(ROOT)}:{item.line}"
            result, output = attempt(item.command, scratch, environment)
            for _ in range(TRIES_OF_LONG - 1):
                if not item.long or result == item.exits:
                    break
                print(f"WARNING: again, exit {result}: {where}  {item.command}", flush=True)
                result, output = attempt(item.command, scratch, environment)
            ok = result == item.exits
            print(f"{'ok ' if ok else 'BAD'} {time.monotonic() - began:6.1f} s  {where}  {item.command}", flush=True)
            if not ok:
                tail = "\n".join(output.splitlines()[-25:])
                wrong.append(f"{where}: {item.command}\n  exit {result}, not {item.exits}\n{tail}")
    return wrong


def main() -> int:
    """0 if every command did what its document says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="only these documents")
    parser.add_argument("--long", action="store_true", help="the blocks marked long as well")
    options = parser.parse_args()
    files = [file.resolve() for file in options.files] or documents()
    wrong = [line for file in files for line in run(shown(file), options.long)]
    for line in wrong:
        print(f"\n{line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""What is wrong with a file: one record per finding, and the exception that carries the whole list."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Severity(StrEnum):
    """An ERROR stops the start; a WARNING is reported; INFO explains a choice of ours."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Problem(NamedTuple):
    """One finding. ``line`` counts from 1; 0 where no line is to blame (a missing file)."""

    line: int
    severity: Severity
    code: str
    """Stable name in kebab case; ``docs/reference/scl.md`` lists them."""
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.severity}: {self.message} [{self.code}]"


class SclError(Exception):
    """A file cannot be used. ``problems`` holds everything that was found, errors and warnings."""

    def __init__(self, file: str | Path, problems: Iterable[Problem]) -> None:
        self.file = str(file)
        self.problems = tuple(problems)
        errors = [problem for problem in self.problems if problem.severity is Severity.ERROR]
        super().__init__("\n".join(f"{self.file}:{p.line}: {p.message}" for p in errors or self.problems))


def has_errors(problems: Iterable[Problem]) -> bool:
    """True if at least one finding is an ERROR."""
    return any(problem.severity is Severity.ERROR for problem in problems)

"""One demonstration run for a benchmark: scenario (JSON), seed, folder as arguments; the verdict on standard output."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scl.topology import Feeder
from simulator.demo.demonstrate import choose_transport, demonstrate
from simulator.demo.scenario import parse


class _Nobody:
    """No live view."""

    def phase(self, text: str, done: int, of: int) -> None: ...
    def lines(self, new: list[Any]) -> None: ...


@contextlib.contextmanager
def _unseen(_feeder: Feeder) -> Iterator[_Nobody]:
    yield _Nobody()


def main() -> int:
    scenario = parse(json.loads(sys.argv[1]))
    transport = choose_transport("auto", scenario)
    verdict = demonstrate(scenario, int(sys.argv[2]), transport, Path(sys.argv[3]), _unseen)
    print(json.dumps(verdict.plain()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

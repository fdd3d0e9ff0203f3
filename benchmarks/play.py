"""One demonstration run for a benchmark: scenario (JSON), seed, folder as arguments; the verdict on standard output."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console

from simulator.demo.demonstrate import choose_transport, demonstrate
from simulator.demo.live import View
from simulator.demo.scenario import parse


def main() -> int:
    scenario = parse(json.loads(sys.argv[1]))
    transport = choose_transport("auto", scenario)
    verdict = demonstrate(
        scenario, int(sys.argv[2]), transport, Path(sys.argv[3]),
        lambda feeder: View(feeder, scenario.name, Console(stderr=True), False),
    )  # fmt: skip
    print(json.dumps(verdict.plain()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Who does not belong to the scheme: an MMS client that wants to close, a stranger on the bus; own processes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from simulator.demo.lab import CLIENT, STRANGER, Lab

CLIENT_S = 20.0
STRANGER_S = 10.0


def _run(lab: Lab, argv: list[str], host: str, timeout_s: float) -> dict[str, Any]:
    """Run a module on a host; its last line of output is the answer."""
    process = lab.processes.spawn([sys.executable, *argv], lab.host(host), subprocess.PIPE, {"PYTHONUNBUFFERED": "1"})
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return {"error": f"no answer within {timeout_s:.0f} s"}
    lines = output.decode(errors="replace").strip().splitlines()
    try:
        answer: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        return {"error": lines[-1][:300] if lines else "no answer"}
    return answer


def mms_close(lab: Lab, device: str) -> dict[str, Any]:
    """Select and operate CSWI1.Pos to close, with an MMS client that we did not write."""
    address, port = lab.mms_address(device)
    reference = f"{lab.feeder.device(device).agent}FLISR/CSWI1.Pos"
    argv = ["-m", "simulator.demo.mms_client", address, str(port), reference]
    return _run(lab, argv, CLIENT, CLIENT_S)


def forge(lab: Lab, device: str) -> dict[str, Any]:
    """Replay captured orders to a breaker's IED, and send a trip and a close without the key."""
    frames = lab.directory / "logs" / "overheard.bin"
    agent = lab.feeder.device(device).agent
    overheard = lab.overheard(agent)
    frames.write_bytes(b"".join(len(f).to_bytes(2, "big") + f for f in overheard))
    argv = ["-m", "simulator.demo.stranger", str(frames)]
    return _run(lab, argv, STRANGER, STRANGER_S)

"""Namespaces, bridge and cables: frames pass where they should and nowhere else; nothing stays behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simulator import lan as lan_module
from simulator.lan import descendants, permitted

ROOT = Path(__file__).resolve().parents[2]
WHY = permitted()
namespaces = pytest.mark.skipif(bool(WHY), reason=f"network namespaces are forbidden here: {WHY}")

# Runs in a process of its own: Lan.open moves the whole process into a namespace.
STORY = """
import json, socket, sys
from simulator.lan import Lan, Processes, descendants
import os

GOOSE = 0x88B8
lan = Lan.open()
hosts = [lan.host(f"h{i}") for i in range(12)]
for host in hosts:
    lan.attach(host)
unit = lan.host("unit")
lan.join(unit, hosts[0])

def packet(interface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(GOOSE))
    s.bind((interface, GOOSE))
    s.settimeout(0.3)
    return s

ends = [h.run(lambda: packet("station")) for h in hosts]
bay, far = hosts[0].run(lambda: packet("process")), unit.run(lambda: packet("process"))

def heard(sender, receivers, mark):
    frame = bytes.fromhex("010ccd010001 020000000001 88b8") + mark + bytes(46)
    sender.send(frame)
    got = []
    for number, s in receivers:
        try:
            while True:
                if s.recv(2000)[14:16] == mark:
                    got.append(number)
                    break
        except TimeoutError:
            pass
    return got

numbered = list(enumerate(ends))
answer = {"bus": heard(ends[0], numbered[1:], b"aa"), "cable": heard(far, [(0, bay)], b"bb")}
answer["leak"] = heard(far, numbered[1:3], b"cc")
lan.cut(["h0", "h1", "h2"])
answer["cut"] = heard(ends[0], numbered[1:5], b"dd")
lan.heal()
answer["healed"] = heard(ends[0], numbered[1:5], b"ee")
lan.unplug("h3")
answer["unplugged"] = heard(ends[0], numbered[2:5], b"ff")

processes = Processes()
code = "import socket,time; print([n for _, n in socket.if_nameindex()], flush=True); time.sleep(60)"
child = processes.spawn([sys.executable, "-c", code], hosts[0], output=-1)
answer["interfaces"] = child.stdout.readline().decode().strip()
nested = "import os,time; print(os.fork() or os.setsid() or 0, flush=True); time.sleep(60)"
second = processes.spawn([sys.executable, "-c", nested], hosts[1], output=-1)
second.stdout.readline()
answer["before"] = len(descendants(os.getpid()))
processes.stop()
answer["after"] = len(descendants(os.getpid()))
lan.close()
print(json.dumps(answer))
"""


def check(answer: dict[str, object]) -> None:
    assert answer["bus"] == list(range(1, 12))
    assert answer["cable"] == [0]
    assert answer["leak"] == []
    assert answer["cut"] == [1, 2]
    assert answer["healed"] == [1, 2, 3, 4]
    assert answer["unplugged"] == [2, 4]
    assert "station" in str(answer["interfaces"])
    assert "process" in str(answer["interfaces"])
    assert answer["before"] == 3
    assert answer["after"] == 0


def play(argv: list[str]) -> dict[str, object]:
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


@namespaces
@pytest.mark.namespaces
def test_frames_stay_where_they_belong() -> None:
    check(play([sys.executable, "-c", STORY]))


@pytest.mark.namespaces
def test_the_same_as_an_ordinary_user() -> None:
    prefix: list[str] = []
    python = sys.executable
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("setpriv (util-linux) is needed to become an ordinary user")
        prefix = [setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set=-all"]
        # An interpreter in root's home is out of his reach; the system's, with the same packages, is not.
        system = f"/usr/bin/python3.{sys.version_info.minor}"
        paths = [ROOT, *(path for path in sys.path if path.endswith("site-packages"))]
        if subprocess.run([*prefix, "env", python, "-c", ""], capture_output=True, check=False).returncode != 0:
            python = system
        prefix += ["env", "PYTHONPATH=" + ":".join(map(str, paths))]
    probe = [*prefix, python, "-c", "from simulator.lan import permitted; print(permitted())"]
    done = subprocess.run(probe, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0 or done.stdout.strip():
        pytest.skip(f"an ordinary user may not have namespaces here: {done.stdout}{done.stderr[-200:]}")
    check(play([*prefix, python, "-c", STORY]))


def test_children_end_when_their_parent_is_killed() -> None:
    code = (
        "import sys,time; from simulator.lan import Processes; p = Processes();"
        "c = p.spawn([sys.executable, '-c', 'import time; time.sleep(60)']); print(c.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert pid in descendants(parent.pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or _state(pid) == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the child lives on")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_reason_is_given_where_it_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise lan_module.LanError(1, "unshare(CLONE_NEWNET): Operation not permitted")

    monkeypatch.setattr(lan_module, "_unshare_all", refuse)
    assert "not permitted" in permitted()

"""``flisr mms`` as a technician uses it, against our agent."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.logic.messages import CommandKind
from agent.mms.tree import Tree
from tests.client.lab import PATIENCE_S, agent
from tests.mms.secured import SecuredLab, make_pki


class Technician:
    def __init__(self, lab: SecuredLab, folder: Path, name: str = "operator") -> None:
        self._server = f"127.0.0.1:{lab.port}"
        pki = folder / "pki"
        self.identity = [
            "--certificate", str(pki / f"{name}.pem"), "--private-key", str(pki / f"{name}.key"),
            "--ca", str(pki / "ca.pem"), "--server-name", "F_AG",
        ]  # fmt: skip
        self._environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}

    async def types(self, command: str, *arguments: str, typed: str = "") -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        return await self.run(["mms", command, self._server, *arguments, *self.identity], typed)

    async def asks(self, command: str, *arguments: str) -> Any:
        """The JSON of a command that succeeds."""
        status, out, error = await self.types(command, *arguments, "--json")
        assert (status, error) == (0, "")
        return json.loads(out)

    async def presses_tab(self, *words: str) -> list[str]:
        line = ["flisr", "mms", *words]
        told = {"COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(line) - 1), "_FLISR_COMPLETE": "bash_complete"}
        _, out, _ = await self.run([], environment=told)
        return [item.partition(",")[2] for item in out.splitlines()]

    async def run(
        self, words: list[str], typed: str = "", environment: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        program = str(Path(sys.executable).with_name("flisr"))
        process = await asyncio.create_subprocess_exec(
            program, *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=self._environment | (environment or {}),
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE_S):
            out, error = await process.communicate(typed.encode())
        assert process.returncode is not None
        return process.returncode, out.decode(), error.decode()

    @property
    def server(self) -> str:
        return self._server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_pki(tmp_path / "pki")
    return tmp_path


def test_looking_around(tree: Tree, folder: Path) -> None:
    async def story() -> None:
        async with agent(tree, folder / "pki") as lab:
            technician = Technician(lab, folder)
            status, out, _ = await technician.types("browse", "F_AGFLISR/XCBR1.Pos", "--types")
            assert status == 0
            assert "stVal  ST  bit-string(2)" in out
            model = await technician.asks("browse")
            (device,) = model["devices"]
            assert device["name"] == "F_AGFLISR"
            assert await technician.presses_tab("read", technician.server, "F_AGFLISR/XCBR1.P") == [
                "F_AGFLISR/XCBR1.Pos", "F_AGFLISR/XCBR1.Pos.ctlModel", "F_AGFLISR/XCBR1.Pos.q",
                "F_AGFLISR/XCBR1.Pos.stVal", "F_AGFLISR/XCBR1.Pos.t",
            ]  # fmt: skip
            assert await technician.presses_tab("read", "127") == [technician.server]
            (value,) = (await technician.asks("read", "F_AGFLISR/XCBR1.Pos[ST]"))["values"]
            assert value["value"]["stVal"] == "on"
            status, out, _ = await technician.types("read", "F_AGFLISR/XCBR1.Poss", "F_AGFLISR/XCBR1.OpCnt.stVal")
            assert status == 1
            assert "not there; XCBR1 has Beh" in out
            assert "F_AGFLISR/XCBR1.OpCnt.stVal  ST  7" in out
            status, _, error = await technician.types("files")
            assert status == 1
            assert error.count("\n") == 1

    asyncio.run(story())


def test_watching_ends_when_told_and_the_next_run_does_not_repeat(tree: Tree, folder: Path) -> None:
    async def story() -> None:
        async with agent(tree, folder / "pki") as lab:
            technician = Technician(lab, folder)
            block, marks = "F_AGFLISR/LLN0.brcbStatus", str(folder / "marks")
            status, out, _ = await technician.types(
                "watch", block, "--json", "--count", "2", "--seconds", "20", "--marks", marks
            )
            lines = [json.loads(line) for line in out.splitlines()]
            assert status == 0
            assert lines[0]["event"] == "up"
            reports = [line for line in lines if line["event"] == "report"]
            assert len(reports) == 2
            assert reports[-1]["entries"][0]["value"]["q"] == "good"
            taken = json.loads(Path(marks).read_text())["taken"][technician.server]
            assert list(taken) == [f"{block}01"]
            status, out, _ = await technician.types("watch", block, "--seconds", "1", "--marks", marks)
            assert status == 1, "nothing new, and that is told by the status"
            assert "connected, 0 reports" in out

    asyncio.run(story())


def test_an_ied_by_its_name_in_the_scd(tree: Tree, scd: bytes, folder: Path) -> None:
    async def story() -> None:
        async with agent(tree, folder / "pki") as lab:
            address = f'<P type="IP">127.0.0.1</P><P type="MMS-Port">{lab.port}</P>'.encode()
            path = folder / "here.scd"
            path.write_bytes(re.sub(rb'<P type="IP">[0-9.]+</P>', address, scd))
            technician = Technician(lab, folder)
            identity = technician.identity[:-2]
            words = ["mms", "watch", "F_AG", "--scd", str(path), *identity, "--json", "--count", "2", "--seconds", "20"]
            status, out, error = await technician.run(words)
            assert (status, error) == (0, "")
            blocks = {json.loads(line).get("block") for line in out.splitlines()} - {None}
            assert blocks <= {"F_AGFLISR/LLN0.brcbStatus01", "F_AGFLISR/LLN0.brcbSuperv01"}
            status, _, error = await technician.run(["mms", "read", "X_AG", "a/b.c", "--scd", str(path), *identity])
            assert status == 1
            assert "here.scd has no server X_AG; it has " in error

    asyncio.run(story())


def test_operating(tree: Tree, folder: Path) -> None:
    async def story() -> None:
        async with agent(tree, folder / "pki") as lab:
            technician = Technician(lab, folder)
            told = await technician.asks("operate", "F_AGFLISR/CSWI1.Pos", "off", "--yes")
            assert told["done"] is True
            assert told["model"] == "sbo-with-enhanced-security"
            assert lab.orders == [(CommandKind.OPEN, "MMS operator orCat 3 orIdent 'flisr'")]
            status, out, error = await technician.types("operate", "F_AGFLISR/CSWI1.Pos", "on", "--yes", "--json")
            assert (status, error) == (1, "")
            refused = json.loads(out)
            assert (refused["done"], refused["stage"], refused["add_cause"]) == (False, "select", "position-reached")
            for words, why in (
                (("F_AGFLISR/CSWI1.Pos", "on", "--yes"), "select refused: position-reached"),
                (("F_AGFLISR/CSWI1.Pos", "7", "--yes"), "'7' is no boolean"),
                (("F_AGFLISR/XCBR1.Pos", "on", "--yes"), "status-only"),
                (("F_AGFLISR/XCBR1.Poss", "on", "--yes"), "no controllable object"),
            ):
                status, out, error = await technician.types("operate", *words)
                assert (status, out) == (1, "")
                assert why in error
                assert error.count("\n") == 1
            status, _, error = await technician.types("operate", "F_AGFLISR/CSWI1.Pos", "off", typed="n\n")
            assert status == 1
            assert "(now on) to off, sbo-with-enhanced-security? [y/N]" in error
            status, _, error = await technician.types("operate", "F_AGFLISR/CSWI1.Pos", "off")
            assert status == 1, "nobody is there to say yes"
            assert len(lab.orders) == 1
            viewer = Technician(lab, folder, "viewer")
            status, _, error = await viewer.types("operate", "F_AGFLISR/CSWI1.Pos", "off", "--yes")
            assert status == 1
            assert "no-access-authority" in error
            assert len(lab.orders) == 1

    asyncio.run(story())


def test_what_cannot_be_reached_is_one_line(tree: Tree, folder: Path) -> None:
    async def story() -> None:
        async with agent(tree, folder / "pki") as lab:
            technician = Technician(lab, folder)
            for words, status, why in (
                (["read", "127.0.0.1:1", "a/b.c", "--plain"], 1, "127.0.0.1:1: Connection refused"),
                (["read", technician.server, "a/b.c", "--plain", "--time-out", "2"], 1, technician.server),
                (["read", technician.server, "a/b.c"], 2, "--certificate, --private-key and --ca together, or --plain"),
                (["read", "host.invalid", "a/b.c", "--plain"], 1, "host.invalid:102: no such host"),
                (["watch", technician.server, "--marks", "/proc/version", "--plain"], 1, "no file of marks"),
                (["operate", technician.server, "a/b.c", "on", "--plain", "--json"], 2, "--json needs --yes"),
            ):
                code, out, error = await technician.run(["mms", *words])
                assert (code, out) == (status, "")
                assert why in error
                assert "Traceback" not in error

    asyncio.run(story())


def test_the_program_in_the_document_runs(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[2] / "docs/how-to/use-mms.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)

    async def story() -> None:
        async with agent(tree) as lab:
            names: dict[str, Any] = {}
            exec(program.replace("10102", str(lab.port)).replace("CB2_AG", "F_AG"), names)
            following = asyncio.create_task(names["follow"]())
            async with asyncio.timeout(PATIENCE_S):
                while "F_AGFLISR/XCBR1.Pos[ST]" not in capsys.readouterr().out:
                    await asyncio.sleep(0.05)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    asyncio.run(story())

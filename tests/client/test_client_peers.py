"""The client against servers that we did not write, and against our own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from open61850.mms.pdu import ObjectName

from agent.keyserver.tls import Identity
from agent.logic.messages import CommandKind, Live, Position
from agent.mms.client import control, directory, plain
from agent.mms.client.blocks import Wanted
from agent.mms.client.connection import Connection
from agent.mms.client.control import Model, Order
from agent.mms.client.errors import (
    ControlRefusedError,
    OutcomeUnknownError,
    ReferenceNotFoundError,
    RefusedError,
    UnreachableError,
    WrongTypeError,
)
from agent.mms.client.link import Credentials, Server
from agent.mms.client.reports import Report
from agent.mms.client.session import Session
from agent.mms.client.stream import Stream
from agent.mms.tree import Tree
from tests.client.lab import PATIENCE_S, agent, credentials, peer
from tests.mms.lab import START_US, STATE
from tests.mms.secured import make_pki

COUNTER = ObjectName("GGIO1$ST$Cnt$stVal", "PEERLD0")


async def first_report(stream: Stream) -> Report:
    async with asyncio.timeout(PATIENCE_S):
        async for item in stream:
            if isinstance(item, Report):
                return item
    raise AssertionError


async def order(connection: Connection, name: str, value: str, how: Order = Order()) -> control.Done:  # noqa: B008
    domain, _, rest = name.partition("/")
    node, *path = rest.split(".")
    aim = await control.describe(connection, domain, node, tuple(path))
    return await control.operate(connection, aim, plain.from_text(value, aim.value_type, name), how)


@pytest.mark.peer
def test_libiec61850_with_its_own_tls_is_discovered_read_followed_operated(tmp_path: Path) -> None:
    make_pki(tmp_path / "pki")
    (tmp_path / "files").mkdir()

    async def story() -> None:
        async with peer("peer_libiec61850.py", f"{tmp_path}/files/", str(tmp_path / "pki"), "F_AG") as there:
            server = Server("127.0.0.1", there.port, credentials(tmp_path / "pki", "operator"), "F_AG")
            async with await Connection.open(server) as connection:
                model, _ = await directory.discover(connection)
                assert list(model.logical_devices) == ["PEERLD0"]
                assert await there.ask("count 3") == "3"
                assert plain.plain(await connection.read(COUNTER)) == 3
                done = await order(connection, "PEERLD0/GGIO1.SPCSO4", "on")
                assert (done.model, done.terminated) == (Model.SELECT_ENHANCED, True)
                position = await connection.read(ObjectName("GGIO1$ST$SPCSO4$stVal", "PEERLD0"))
                assert plain.plain(position) is True
            async with Session(server) as session:
                stream = session.subscribe(Wanted("PEERLD0/LLN0.brcb"))
                report = await first_report(stream)
                assert [entry.reference for entry in report.entries] == ["PEERLD0/GGIO1.Cnt[ST]"]
                assert report.entry_id is not None

    asyncio.run(story())


@pytest.mark.peer
def test_every_control_model_of_libiec61850_and_its_refusals(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            peer("peer_libiec61850.py", str(tmp_path)) as there,
            await Connection.open(there.server) as connection,
        ):
            for number, model in enumerate(
                (Model.DIRECT, Model.SELECT, Model.DIRECT_ENHANCED, Model.SELECT_ENHANCED), 1
            ):
                done = await order(connection, f"PEERLD0/GGIO1.SPCSO{number}", "true")
                assert done.model is model
                assert done.terminated == (number > 2)
            await there.ask("refuse")
            for number in (3, 4):
                with pytest.raises(ControlRefusedError, match="termination refused: blocked-by-process") as refused:
                    await order(connection, f"PEERLD0/GGIO1.SPCSO{number}", "false")
                assert refused.value.add_cause_code == 9
            with pytest.raises(WrongTypeError, match="'7' is no boolean"):
                await order(connection, "PEERLD0/GGIO1.SPCSO4", "7")
            with pytest.raises(ReferenceNotFoundError, match="no controllable object"):
                await order(connection, "PEERLD0/GGIO1.Cnt", "1")

    asyncio.run(story())


@pytest.mark.peer
def test_a_selection_of_somebody_else_is_told_by_its_cause(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            peer("peer_libiec61850.py", str(tmp_path)) as there,
            await Connection.open(there.server) as one,
            await Connection.open(there.server) as other,
        ):
            aim = await control.describe(one, "PEERLD0", "GGIO1", ("SPCSO2",))
            assert plain.plain(await one.read(aim.part("SBO"))) != ""
            with pytest.raises(ControlRefusedError, match="select refused") as refused:
                await order(other, "PEERLD0/GGIO1.SPCSO2", "on")
            assert refused.value.stage == "select"

    asyncio.run(story())


@pytest.mark.peer
def test_files_of_libiec61850_are_listed_and_fetched(tmp_path: Path) -> None:
    record = bytes(range(256)) * 1000
    (tmp_path / "COMTRADE").mkdir()
    (tmp_path / "COMTRADE" / "fault1.dat").write_bytes(record)
    (tmp_path / "COMTRADE" / "empty.hdr").write_bytes(b"")

    async def story() -> None:
        async with (
            peer("peer_libiec61850.py", f"{tmp_path}/") as there,
            await Connection.open(there.server) as connection,
        ):
            found = {entry.name.rpartition("/")[2]: entry for entry in await connection.files("COMTRADE")}
            assert found["fault1.dat"].size == len(record)
            assert found["fault1.dat"].modified is not None
            kept = bytearray()
            assert await connection.fetch("COMTRADE/fault1.dat", kept.extend) == len(record)
            assert bytes(kept) == record
            assert await connection.fetch("COMTRADE/empty.hdr", kept.extend) == 0
            with pytest.raises(RefusedError, match="file non-existent"):
                await connection.fetch("COMTRADE/fault2.dat", kept.extend)

    asyncio.run(story())


@pytest.mark.peer
def test_open61850s_server_is_discovered_read_followed_operated(scd: bytes, tmp_path: Path) -> None:
    path = tmp_path / "small.scd"
    path.write_bytes(scd)

    async def story() -> None:
        async with peer("peer_open61850_server.py", str(path), "F_AG") as there:
            async with await Connection.open(there.server) as connection:
                model, _ = await directory.discover(connection)
                assert "XCBR1" in model.logical_devices["F_AGFLISR"].logical_nodes
                await there.ask("F_AGFLISR/XCBR1.Pos.stVal[ST] on")
                (status, _) = await directory.resolve(connection, "F_AGFLISR/XCBR1.Pos")
                types = directory.Types(connection)
                value = plain.plain(await connection.read(status.object_name), await types.of(status.object_name))
                assert value["stVal"] == "on"
                done = await order(connection, "F_AGFLISR/CSWI1.Pos", "on")
                assert (done.model, done.terminated) == (Model.SELECT_ENHANCED, True)
            async with Session(there.server) as session:
                stream = session.subscribe(Wanted("F_AGFLISR/LLN0.brcbStatus"))
                report = await first_report(stream)
                assert "F_AGFLISR/XCBR1.Pos[ST]" in [entry.reference for entry in report.entries]
                while report.entries[0].reason != "data change" or len(report.entries) > 1:
                    there.order("F_AGFLISR/XCBR1.OpCnt.stVal[ST] 12")
                    report = await first_report(stream)
                assert report.entries[0].reference == "F_AGFLISR/XCBR1.OpCnt[ST]"

    asyncio.run(story())


@pytest.mark.peer
def test_iec61850s_server_over_its_own_mutual_tls_is_read_and_operated(scd: bytes, tmp_path: Path) -> None:
    make_pki(tmp_path / "pki")
    path = tmp_path / "small.scd"
    path.write_bytes(scd)

    async def story() -> None:
        async with peer("peer_iec61850_server.py", str(path), "F_AG", str(tmp_path / "pki"), "F_AG") as there:
            server = Server("127.0.0.1", there.port, credentials(tmp_path / "pki", "operator"), "F_AG")
            async with await Connection.open(server) as connection:
                model, _ = await directory.discover(connection)
                assert "XCBR1" in model.logical_devices["F_AGFLISR"].logical_nodes
                (reference,) = await directory.resolve(connection, "F_AGFLISR/XCBR1.OpCnt.stVal")
                assert plain.plain(await connection.read(reference.object_name)) == 0
                done = await order(connection, "F_AGFLISR/CSWI1.Pos", "on")
                assert (done.model, done.terminated) == (Model.SELECT_ENHANCED, True)

    asyncio.run(story())


def test_our_agent_over_mutual_tls(tree: Tree, tmp_path: Path) -> None:
    make_pki(tmp_path)

    async def story() -> None:
        async with agent(tree, tmp_path) as lab:
            server = Server("127.0.0.1", lab.port, credentials(tmp_path, "operator"), "F_AG")
            async with Session(server) as session:
                stream = session.subscribe(Wanted("F_AGFLISR/LLN0.brcbStatus"))
                await first_report(stream)
                opened = STATE._replace(
                    report=STATE.report._replace(live_a=Live.LIVE, live_b=Live.DEAD),
                    breaker=STATE.breaker._replace(position=Position.OPEN, operations=8),
                )
                lab.server.update(opened, START_US + 1_000_000)
                told: dict[str, object] = {}
                while "F_AGFLISR/XCBR1.OpCnt[ST]" not in told or len(told) > 10:
                    report = await first_report(stream)
                    told = {entry.reference: entry.value for entry in report.entries}
                connection = await session.connected(1.0)
                done = await order(connection, "F_AGFLISR/CSWI1.Pos", "on", Order(origin="centre"))
                assert (done.model, done.terminated) == (Model.SELECT_ENHANCED, True)
                assert lab.orders == [(CommandKind.CLOSE, "MMS operator orCat 3 orIdent 'centre'")]
                with pytest.raises(ControlRefusedError, match="select refused: position-reached"):
                    await order(connection, "F_AGFLISR/CSWI1.Pos", "off")
            viewer = Server("127.0.0.1", lab.port, credentials(tmp_path, "viewer"), "F_AG")
            async with await Connection.open(viewer) as connection:
                with pytest.raises(ControlRefusedError, match="no-access-authority"):
                    await order(connection, "F_AGFLISR/CSWI1.Pos", "on")
            assert len(lab.orders) == 1

    asyncio.run(story())


def test_the_wrong_server_and_the_wrong_certificate_are_named(tree: Tree, tmp_path: Path) -> None:
    make_pki(tmp_path / "ours")
    make_pki(tmp_path / "theirs")
    ca = tmp_path / "ours" / "ca.pem"

    async def story() -> None:
        async with agent(tree, tmp_path / "ours") as lab:
            ours = credentials(tmp_path / "ours", "operator")
            foreign = Credentials(Identity(*credentials(tmp_path / "theirs", "operator").identity[:2], ca))
            for server, why in (
                (Server("127.0.0.1", lab.port, ours, "R_AG"), "the certificate is that of F_AG, not of R_AG"),
                (Server("127.0.0.1", lab.port, ours), "the certificate is that of F_AG, not of 127.0.0.1"),
                (Server("127.0.0.1", lab.port, credentials(tmp_path / "theirs", "operator"), "F_AG"), "certificate"),
                (
                    Server("127.0.0.1", lab.port, foreign, "F_AG"),
                    "refuses our certificate or TLS: unknown ca",
                ),
                (Server("127.0.0.1", lab.port), "closed the connection|no TPKT|Connection reset"),
                (Server("127.0.0.1", 1), "Connection refused"),
            ):
                with pytest.raises(UnreachableError, match=why):
                    await Connection.open(server)

    asyncio.run(story())


@pytest.mark.peer
def test_a_command_whose_end_is_not_heard_is_told_as_such(tmp_path: Path) -> None:
    """The server is killed between the answer and the termination."""

    async def story() -> None:
        async with peer("peer_libiec61850.py", str(tmp_path)) as there:
            connection = await Connection.open(there.server)
            aim = await control.describe(connection, "PEERLD0", "GGIO1", ("SPCSO3",))

            async def kill(*_: object, **__: object) -> None:
                await there.kill()

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(connection, "write", kill)
                with pytest.raises(OutcomeUnknownError, match="its end is not known: connection lost"):
                    await control.operate(connection, aim, plain.from_text("on", aim.value_type, ""))

    asyncio.run(story())

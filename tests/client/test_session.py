"""Reports over interruptions: once each, in order, and a loss is said. One bad server holds nobody up."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from open61850.mms.pdu import ObjectName

from agent.mms.client import blocks
from agent.mms.client.blocks import Wanted
from agent.mms.client.connection import Connection
from agent.mms.client.errors import LostError, SilentError
from agent.mms.client.link import Limits, Server
from agent.mms.client.marks import Marks, MarksError
from agent.mms.client.reports import Loss, Report
from agent.mms.client.session import Patience, Session
from agent.mms.client.stream import State, Stream
from agent.mms.tree import Tree
from tests.client.lab import PATIENCE_S, Cable, agent, peer
from tests.client.test_client_peers import COUNTER, order
from tests.mms.lab import free_port

pytestmark = pytest.mark.peer
BLOCK = Wanted("PEERLD0/LLN0.brcb")
QUICK = Limits(2.0, 2.0)


def counts(report: Report) -> list[int]:
    """The counter in a report that tells a change."""
    return [
        entry.value.members[0].value
        for entry in report.entries
        if "data change" in entry.reason  # type: ignore[union-attr]
    ]


async def until(stream: Stream, last: int, heard: list[int], losses: list[Loss], pause_s: float = 0.0) -> None:
    """Take until the counter has come to ``last``."""
    async with asyncio.timeout(PATIENCE_S):
        async for item in stream:
            if isinstance(item, Loss):
                losses.append(item)
            if isinstance(item, Report):
                heard += counts(item)
                await asyncio.sleep(pause_s)
                if last in heard:
                    return


def test_a_cable_that_is_cut_again_and_again_loses_and_repeats_no_report(tmp_path: Path) -> None:
    async def story() -> None:
        heard: list[int] = []
        losses: list[Loss] = []
        async with (
            peer("peer_libiec61850.py", str(tmp_path)) as there,
            Cable(there.port) as cable,
            Session(cable.server, QUICK) as session,
        ):
            stream = session.subscribe(BLOCK)
            taking = asyncio.create_task(until(stream, 1200, heard, losses))
            await session.connected(5.0)
            for _ in range(6):
                there.order("count 200")
                await asyncio.sleep(0.08)
                # In the middle of it: what the server has sent is lost on the way.
                cable.cut()
                await there.told()
                await session.connected(10.0)
            await taking
            assert session.connects >= 6
        assert heard == list(range(heard[0], 1201))
        assert heard[0] <= 1
        assert losses == []

    asyncio.run(story())


async def lost(session: Session) -> None:
    """Until it has been noticed."""
    for _ in range(50):
        try:
            await session.connected(0.1)
        except LostError:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("still connected")


def test_a_server_that_starts_anew_does_not_know_what_it_sent_and_that_is_said(tmp_path: Path) -> None:
    async def story() -> None:
        heard: list[int] = []
        losses: list[Loss] = []
        port = free_port()
        async with peer("peer_libiec61850.py", str(tmp_path), port=port) as first:
            session = Session(first.server, QUICK)
            session.start()
            stream = session.subscribe(BLOCK)
            await session.connected(5.0)
            await first.ask("count 5")
            await until(stream, 5, heard, losses)
            await first.kill()
        await lost(session)
        async with peer("peer_libiec61850.py", str(tmp_path), port=port) as second:
            await session.connected(10.0)
            await second.ask("count 7")
            await until(stream, 7, heard, losses)
            await session.close()
        assert heard[-7:] == list(range(1, 8))
        assert any("does not know EntryID" in loss.why for loss in losses)

    asyncio.run(story())


def test_the_next_run_goes_on_behind_what_this_one_took(tmp_path: Path) -> None:
    async def story() -> None:
        first: list[int] = []
        second: list[int] = []
        losses: list[Loss] = []
        async with peer("peer_libiec61850.py", str(tmp_path)) as there:
            for heard, to in ((first, 50), (second, 120)):
                marks = Marks(tmp_path / "marks.json")
                session = Session(there.server, QUICK, marks=marks)
                stream = session.subscribe(BLOCK)
                session.start()
                if heard is first:
                    await session.connected(5.0)
                    await there.ask(f"count {to}")
                await until(stream, to, heard, losses)
                # Asking for more says that the last one was dealt with.
                asking = asyncio.create_task(anext(stream))
                await asyncio.sleep(0.05)
                asking.cancel()
                await session.close()
                await marks.close()
                if heard is first:
                    await there.ask("count 70")
        assert first == list(range(first[0], 51))
        assert second == list(range(51, 121))
        assert losses == []

    asyncio.run(story())


def test_a_slow_consumer_gets_everything_and_the_server_keeps_it_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.mms.client.stream.WAITING_MAX", 20)

    async def story() -> None:
        heard: list[int] = []
        losses: list[Loss] = []
        async with peer("peer_libiec61850.py", str(tmp_path)) as there, Session(there.server, QUICK) as session:
            stream = session.subscribe(BLOCK)
            await session.connected(5.0)
            await asyncio.sleep(0.1)
            there.order("count 300")
            await until(stream, 300, heard, losses, pause_s=0.003)
        assert heard == list(range(heard[0], 301))
        assert losses == []

    asyncio.run(story())


def test_a_silent_server_is_given_up_in_time_and_delays_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        async with peer("peer_libiec61850.py", str(tmp_path)) as there, Cable(there.port) as cable:
            bad = Session(cable.server, Limits(1.0, 0.5), Patience(idle_s=0.5))
            good = Session(there.server, QUICK)
            states: list[State] = []
            bad.on_state = states.append
            async with bad, good:
                connection = await bad.connected(5.0)
                await good.connected(5.0)
                cable.flowing.clear()
                hanging = asyncio.create_task(connection.read(COUNTER))
                longest = 0.0
                for _ in range(50):
                    began = time.monotonic()
                    await good.read(COUNTER)
                    longest = max(longest, time.monotonic() - began)
                    await asyncio.sleep(0.02)
                assert longest < 1.0
                with pytest.raises((SilentError, LostError)):
                    await hanging
                async with asyncio.timeout(PATIENCE_S):
                    while not any("silent" in state.why for state in states):
                        await asyncio.sleep(0.05)
                cable.flowing.set()
                cable.cut()
                await bad.connected(10.0)

    asyncio.run(story())


def test_commands_pass_through_a_storm_of_reports(tmp_path: Path) -> None:
    async def story() -> None:
        async with peer("peer_libiec61850.py", str(tmp_path)) as there, Session(there.server, QUICK) as session:
            stream = session.subscribe(BLOCK)
            seen = 0

            def count(item: object) -> None:
                nonlocal seen
                seen += isinstance(item, Report)

            stream.on_item = count
            connection = await session.connected(5.0)
            there.order("count 1000")
            for number in range(20):
                done = await order(connection, "PEERLD0/GGIO1.SPCSO4", "on" if number % 2 else "off")
                assert done.terminated
                assert done.seconds < 2.0
            await there.told()
            assert seen > 100

    asyncio.run(story())


def test_a_block_of_another_client_is_left_alone_until_it_is_free(tmp_path: Path) -> None:
    async def story() -> None:
        async with peer("peer_libiec61850.py", str(tmp_path)) as there:
            one, other = Session(there.server, QUICK), Session(there.server, QUICK)
            async with other:
                async with one:
                    mine = one.subscribe(BLOCK)
                    async with asyncio.timeout(PATIENCE_S):
                        assert await anext(mine) == State(True)
                    waiting = other.subscribe(BLOCK)
                    async with asyncio.timeout(PATIENCE_S):
                        told = await anext(waiting)
                    assert isinstance(told, State)
                    assert "brcb01" in told.why
                async with asyncio.timeout(PATIENCE_S):
                    while told != State(True):
                        told = await anext(waiting)

    asyncio.run(story())


def test_an_unbuffered_block_has_no_entry_ids_and_begins_with_all_values(tmp_path: Path) -> None:
    async def story() -> None:
        async with peer("peer_libiec61850.py", str(tmp_path)) as there, Session(there.server, QUICK) as session:
            stream = session.subscribe(Wanted("PEERLD0/LLN0.urcb01"))
            async with asyncio.timeout(PATIENCE_S):
                async for item in stream:
                    if isinstance(item, Report):
                        assert item.entry_id is None
                        assert item.entries[0].reason == "general interrogation"
                        break

    asyncio.run(story())


def test_two_subscriptions_of_one_server_are_kept_apart(tmp_path: Path) -> None:
    async def story() -> None:
        async with peer("peer_libiec61850.py", str(tmp_path)) as there, Session(there.server, QUICK) as session:
            buffered, plain = session.subscribe(BLOCK), session.subscribe(Wanted("PEERLD0/LLN0.urcb"))
            for stream, block in ((buffered, "PEERLD0/LLN0.brcb01"), (plain, "PEERLD0/LLN0.urcb01")):
                async with asyncio.timeout(PATIENCE_S):
                    async for item in stream:
                        if isinstance(item, Report):
                            assert item.block == block
                            break
            twice = session.subscribe(Wanted("PEERLD0/LLN0.brcb"))
            async with asyncio.timeout(PATIENCE_S):
                told = await anext(twice)
            assert isinstance(told, State)
            assert not told.up

    asyncio.run(story())


def test_requests_are_refused_in_time_by_nobody_there() -> None:
    async def story() -> None:
        listener = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        began = time.monotonic()
        with pytest.raises(Exception, match=r"no association within 0\.3 s"):
            await Connection.open(Server("127.0.0.1", port), Limits(connect_s=0.3))
        assert time.monotonic() - began < 5.0
        listener.close()

    asyncio.run(story())


def test_a_file_that_is_none_of_marks_is_refused(tmp_path: Path) -> None:
    for content in ("", "[]", '{"version": 9, "taken": {}}', '{"version": 1, "taken": {"a": {"b": "xy"}}}'):
        (tmp_path / "marks").write_text(content)
        with pytest.raises(MarksError, match="marks"):
            Marks(tmp_path / "marks")


def test_an_instance_that_stays_taken_is_left_for_another_one_and_that_is_a_loss(tree: Tree) -> None:
    """Our agent has four instances of each block."""
    wanted = Wanted("F_AGFLISR/LLN0.brcbStatus", reserve_s=1)

    async def story() -> None:
        async with agent(tree) as lab, Cable(lab.port) as cable:
            session = Session(cable.server, QUICK)
            async with session:
                stream = session.subscribe(wanted)
                async with asyncio.timeout(PATIENCE_S):
                    while not isinstance(await anext(stream), Report):
                        pass
                cable.flowing.clear()
                cable.cut()
                await asyncio.sleep(1.5)
                thief = await Connection.open(Server("127.0.0.1", lab.port), QUICK)
                await blocks.enable(
                    thief, ObjectName("LLN0$BR$brcbStatus01", "F_AGFLISR"), Wanted(""), None, lambda *_: None
                )
                cable.flowing.set()
                told = []
                async with asyncio.timeout(PATIENCE_S):
                    async for item in stream:
                        told.append(item)
                        if isinstance(item, Report) and item.block.endswith("02"):
                            break
                (lost,) = [item for item in told if isinstance(item, Loss)]
                assert "another instance was taken" in lost.why
                thief.abort("enough")

    asyncio.run(story())

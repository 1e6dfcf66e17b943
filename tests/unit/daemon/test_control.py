"""The control socket: private, bounded, and not to be stopped by a rude client."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ike.daemon.control import MAX_REQUEST, ControlServer, RequestError
from ike.daemon.monitor import Feed


async def handler(request: dict) -> dict:
    if request["command"] == "refuse":
        raise RequestError("not today")
    return {"echo": request["command"]}


def converse(path: str, *lines: bytes) -> list[bytes]:
    """Send lines over one connection; the answers until the server hangs up or falls silent."""

    async def run() -> list[bytes]:
        server = ControlServer(path, handler)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(path)
        answers = []
        try:
            for line in lines:
                writer.write(line)
                answers.append(await asyncio.wait_for(reader.readline(), 5))
        except ConnectionError:
            answers.append(b"")
        writer.close()
        server.close()
        await asyncio.sleep(0)
        return answers

    return asyncio.run(run())


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "run" / "control.sock")


def test_each_line_gets_an_answer(path):
    answers = converse(path, b'{"command": "status"}\n', b'{"command": "refuse"}\n')
    assert [json.loads(answer) for answer in answers] == [
        {"ok": True, "echo": "status"},
        {"ok": False, "error": "not today"},
    ]


@pytest.mark.parametrize(
    "line", [b"\n", b"nonsense\n", b"[]\n", b'{"command": 1}\n', b"\xff\xfe\n", b"[" * 50000 + b"\n"]
)
def test_what_is_no_request_is_refused(path, line):
    (answer,) = converse(path, line)
    assert json.loads(answer)["ok"] is False


def test_a_line_without_end_costs_its_client_the_connection(path):
    assert converse(path, b"x" * (MAX_REQUEST * 2) + b"\n") == [b""]


def test_the_socket_is_its_owners_alone(path):
    async def run() -> int:
        server = ControlServer(path, handler)
        await server.start()
        mode = stat.S_IMODE(Path(path).stat().st_mode)
        server.close()
        return mode

    assert asyncio.run(run()) == 0o600


def test_a_socket_that_an_earlier_run_left_is_replaced(path):
    assert converse(path, b'{"command": "status"}\n')
    assert converse(path, b'{"command": "status"}\n')


@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_leave_the_server_answering(tmp_path_factory, data):
    path = str(tmp_path_factory.mktemp("control") / "s")
    answers = converse(path, data.replace(b"\n", b"") + b"\n", b'{"command": "status"}\n')
    assert json.loads(answers[-1]) == {"ok": True, "echo": "status"}


async def watch(path: str, feeds: list[Feed]):
    """A server whose every request opens a feed, and a client that has asked for one."""

    async def opening(request: dict) -> Feed:
        feeds.append(Feed(feeds.remove))
        return feeds[-1]

    server = ControlServer(path, opening)
    await server.start()
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 24)
    writer.write(b'{"command": "monitor"}\n')
    assert json.loads(await reader.readline()) == {"ok": True}
    return server, reader, writer


def test_a_watcher_gets_events_as_they_happen_and_is_forgotten_when_it_goes(path):
    async def run() -> None:
        feeds: list[Feed] = []
        server, reader, writer = await watch(path, feeds)
        feeds[0].put({"event": "child_up"})
        assert json.loads(await asyncio.wait_for(reader.readline(), 5))["event"] == "child_up"
        writer.close()
        end = time.monotonic() + 20
        while feeds and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert not feeds
        server.close()

    asyncio.run(run())


def test_a_watcher_that_does_not_read_blocks_nobody_and_is_cut_off_with_a_count(path):
    async def run() -> None:
        feeds: list[Feed] = []
        server, reader, writer = await watch(path, feeds)
        feed = feeds[0]
        for number in range(5000):
            feed.put({"event": "child_up", "number": number, "padding": "x" * 200})
        events = [json.loads(line) for line in (await asyncio.wait_for(reader.read(), 20)).splitlines()]
        assert [event["number"] for event in events[:-1]] == list(range(len(events) - 1))
        assert (events[-1]["event"], events[-1]["lost"]) == ("cut_off", 5000 - len(events) + 1)
        assert feed.lost == events[-1]["lost"] > 0
        assert not feeds
        writer.close()
        server.close()

    asyncio.run(run())


def test_events_that_are_lost_while_the_watcher_is_waited_for_are_counted_too(path):
    async def run() -> None:
        feeds: list[Feed] = []
        server, reader, writer = await watch(path, feeds)
        writer.transport.pause_reading()
        for _round in range(30):
            for _event in range(100):
                feeds[0].put({"event": "child_up", "padding": "x" * 5000})
            await asyncio.sleep(0.001)
        writer.transport.resume_reading()
        events = [json.loads(line) for line in (await asyncio.wait_for(reader.read(), 20)).splitlines()]
        assert events[-1] == {"time": events[-1]["time"], "event": "cut_off", "lost": 3000 - len(events) + 1}
        writer.close()
        server.close()

    asyncio.run(run())

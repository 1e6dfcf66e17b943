"""The control socket: private, bounded, and not to be stopped by a rude client."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ike.daemon.control import MAX_REQUEST, ControlServer, RequestError


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

# Copyright (c) 2026, the tanuki.ipsec founders
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket: one JSON object a line each way, on a UNIX socket that only its owner may use.

{"command": "up", "name": "osaka_out", "wait": 40}      {"ok": true}
{"command": "status"}                                   {"ok": true, "status": {…}}
{"command": "nonsense"}                                 {"ok": false, "error": "…"}
{"command": "monitor"}                                  {"ok": true}, then a line for each event
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Callable, Union

from .monitor import CUT_OFF, Feed

MAX_REQUEST = 65536  # bytes of one line
_MAX_CLIENTS = 32
_SLOW_SECONDS = 30.0  # that a client may take to send its request, or to read an answer

Handler = Callable[[dict], Awaitable[Union[dict, Feed]]]


class RequestError(Exception):
    """A request that can't be carried out. The text is for the operator."""


class ControlServer:
    """Serves requests by awaiting ``handler``; a slow or rude client hurts nobody else.

    Where that answers with a feed, the connection carries its events from then on.
    """

    def __init__(self, path: str, handler: Handler) -> None:
        self._path = Path(path)
        self._handler = handler
        self._server: asyncio.AbstractServer | None = None
        self._clients = 0

    async def start(self) -> None:
        """Listen, in place of a socket that an earlier run left. Raises OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        previous = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=MAX_REQUEST)
        finally:
            os.umask(previous)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._clients >= _MAX_CLIENTS:
            writer.close()
            return
        self._clients += 1
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.TimeoutError, ValueError):
            pass  # gone, too slow, or a line without end: this client's connection is all that ends
        finally:
            self._clients -= 1
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line = await asyncio.wait_for(reader.readline(), _SLOW_SECONDS)
        if not line:
            return False
        answer = await self._answer(line)
        if isinstance(answer, Feed):
            await self._stream(answer, reader, writer)
            return False
        await self._write(writer, [answer])
        return True

    async def _write(self, writer: asyncio.StreamWriter, documents: list[dict[str, Any]]) -> None:
        writer.write(b"".join(json.dumps(one).encode() + b"\n" for one in documents))
        await asyncio.wait_for(writer.drain(), _SLOW_SECONDS)

    async def _stream(self, feed: Feed, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Write events until the client goes, says something, or is cut off."""
        gone = asyncio.ensure_future(reader.read(1))
        taking = asyncio.ensure_future(feed.take())
        try:
            await self._write(writer, [{"ok": True}])
            while not gone.done():
                await asyncio.wait({gone, taking}, return_when=asyncio.FIRST_COMPLETED)
                if taking.done():
                    events = taking.result()
                    await self._write(writer, events)
                    if events[-1]["event"] == CUT_OFF:
                        return
                    taking = asyncio.ensure_future(feed.take())
        finally:
            gone.cancel()
            taking.cancel()
            await asyncio.gather(gone, taking, return_exceptions=True)
            feed.close()

    async def _answer(self, line: bytes) -> dict[str, Any] | Feed:
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("command"), str):
                raise RequestError("a request is a JSON object with a command")
            answer = await self._handler(request)
            return answer if isinstance(answer, Feed) else {"ok": True, **answer}
        except (ValueError, RecursionError):
            return {"ok": False, "error": "not JSON"}
        except RequestError as error:
            return {"ok": False, "error": str(error)}

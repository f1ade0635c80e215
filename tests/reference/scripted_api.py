"""Scripted API server: lists return `items`, each watch returns the next of `watches`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

import certifi


class ScriptedApi:
    """HTTP server on loopback for one resource."""

    def __init__(self, account: Path, items: list[str], watches: list[bytes], *, closes: bool = False) -> None:
        """Return `items` (objects as JSON) for every list; a watch after the last of `watches` sends nothing.

        With `closes`, the server ends each of `watches` after its content.
        """
        self._closes = closes
        self.account, self.items, self._watches = account, items, watches
        self.lists = 0
        self.watched: list[str] = []
        """Resource version of each watch."""
        self._open: list[asyncio.StreamWriter] = []
        account.mkdir(exist_ok=True)
        (account / "token").write_text("token")
        (account / "ca.crt").write_bytes(Path(certifi.where()).read_bytes())  # read, but not used over plain HTTP

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._answer, host="127.0.0.1", port=0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening and close open connections."""
        self._server.close()
        for writer in self._open:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._open), return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.append(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # the client ended before it asked
            writer.close()
            return
        asked = parse_qs(urlsplit(head.split(b" ", 2)[1].decode()).query)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
        if "watch" in asked:
            self.watched.append(asked["resourceVersion"][0])
            if len(self.watched) <= len(self._watches):
                writer.write(self._watches[len(self.watched) - 1])
            await writer.drain()
            if not self._closes or len(self.watched) > len(self._watches):
                await reader.read()  # until the client disconnects
        else:
            self.lists += 1
            text = f'{{"metadata":{{"resourceVersion":"{100 + self.lists}"}},"items":[{",".join(self.items)}]}}'
            writer.write(text.encode())
        writer.close()

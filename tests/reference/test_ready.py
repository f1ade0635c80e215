"""The readiness endpoint answers the kubelet's probe, however many connections are open."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.reference.idle_server import port_of

from lbproof_reference import readiness
from lbproof_reference.readiness import serve_ready

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Server that may open 512 files, and its port."""
    command = [sys.executable, str(Path(__file__).with_name("idle_server.py")), "512"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def test_idle_connections_do_not_keep_the_kubelet_out(server: tuple[subprocess.Popen[str], int]) -> None:
    """Each probe is answered although there are more idle connections than available file descriptors."""
    process, port = server
    with contextlib.ExitStack() as idle:
        for _ in range(8):
            for _ in range(75):
                idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            answer = httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False, timeout=10)
            assert answer.status_code == 200
            assert process.poll() is None


def test_who_does_not_ask_in_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a complete request is closed after a timeout."""
    monkeypatch.setattr(readiness, "_REQUEST_SECONDS", 0.1)

    async def ask() -> None:
        async with await serve_ready("127.0.0.1", 0, lambda: True) as server:
            port = port_of(server)
            for said in (b"", b"GET / HTTP/1.1\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(said)
                async with asyncio.timeout(20):
                    assert await reader.read() == b""
                writer.close()

    asyncio.run(ask())

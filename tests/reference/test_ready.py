"""The readiness endpoint answers the kubelet's probe, however many connections are open."""

from __future__ import annotations

import asyncio
import contextlib
import gc
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


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_burst_of_connections_does_not_keep_the_kubelet_out() -> None:
    """A request that arrived before a burst of connections is answered, also if all are accepted at once."""

    async def ask() -> None:
        async with await serve_ready("127.0.0.1", 0, lambda: True) as server:
            with contextlib.ExitStack() as burst:
                place = ("127.0.0.1", port_of(server))
                probe = burst.enter_context(socket.create_connection(place, timeout=20))
                probe.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")
                for _ in range(90):  # the event loop does not run meanwhile
                    burst.enter_context(socket.create_connection(place, timeout=20))
                answer = await asyncio.to_thread(probe.recv, 100)
        assert answer.startswith(b"HTTP/1.1 200 OK")

    asyncio.run(ask())
    gc.collect()  # what is open at the end is not reported in another test


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_an_open_connection_is_no_error_at_the_end() -> None:
    """The event loop ends without an error while a connection is open."""
    errors: list[object] = []

    async def end() -> socket.socket:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with await serve_ready("127.0.0.1", 0, lambda: True) as server:
            client = socket.create_connection(("127.0.0.1", port_of(server)), timeout=20)
            with socket.create_connection(("127.0.0.1", port_of(server)), timeout=20) as later:
                later.sendall(b"GET / HTTP/1.1\r\n\r\n")
                await asyncio.to_thread(later.recv, 100)  # so the one before is accepted
        return client

    asyncio.run(end()).close()
    gc.collect()  # as above
    assert errors == []


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n", b"x" * 10_000])
def test_a_request_may_come_in_parts_but_not_be_long(said: bytes) -> None:
    """A request in two parts is answered; one of more than 8 KiB is not."""

    async def ask() -> bytes:
        async with await serve_ready("127.0.0.1", 0, lambda: False) as server, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            answer = b""
            with contextlib.suppress(ConnectionError):
                for part in (said, b"\r\n"):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
                answer = await reader.read()
            writer.close()
            return answer

    assert asyncio.run(ask()).startswith(b"HTTP/1.1 503") == (len(said) < 8192)


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

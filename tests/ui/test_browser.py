"""The demo in a browser: simulated people only, this machine only, our own page only."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tmux import free_ports

aiohttp = pytest.importorskip("aiohttp", reason="needs the extra browser")
pytest.importorskip("textual_serve", reason="needs the extra browser")

if sys.platform == "win32":
    pytest.skip("ends by a signal", allow_module_level=True)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that is up."""
    found = free_ports()[0]
    server = subprocess.Popen(
        [sys.executable, "-m", "meshchat", "demo", "--browser", str(found)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    assert f"http://127.0.0.1:{found}".encode() in line
    for _ in range(200):  # it listens a moment after it has said so
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", found)) == 0:
                break
        time.sleep(0.05)
    yield found
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=20)
    assert server.returncode == 0


async def test_a_visitor_sees_the_town(port: int) -> None:
    """The page comes, and over its socket the first screen."""
    base = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        async with session.get(base) as page:
            assert page.status == 200 and "meshchat" in await page.text()
            assert "default-src 'self'" in page.headers["Content-Security-Policy"]
        seen = b""
        async with session.ws_connect(f"{base}/ws?width=80&height=24", origin=base) as stream:
            async with asyncio.timeout(60):
                while b"Timur" not in seen:
                    message = await stream.receive()
                    seen += message.data if isinstance(message.data, bytes) else b""


async def test_other_pages_are_refused(port: int) -> None:
    """Neither a foreign page in this browser nor a name that was pointed at us gets in."""
    base = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        for headers in ({"Origin": "http://evil.example"}, {"Host": f"evil.example:{port}"}):
            async with session.get(f"{base}/ws", headers=headers) as answer:
                assert answer.status == 403

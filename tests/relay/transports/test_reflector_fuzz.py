"""Bytes that nobody meant well: server and client go on as if nothing had been."""

from __future__ import annotations

import asyncio
import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autosync.relay.reflector.server import ReflectorServer
from tests.relay.reflector.clients import plain
from tests.support.wait import DEADLINE, eventually

from .reflectors import COMMIT, ID, running, transport

# Words of the protocol among noise find more than noise alone.
_WORDS = [b"subscribe ", b"announce ", b"ping\n", b"info\n", b"all", b"autosync 1\n", b"!", b" ", b"\n", ID.encode()]
_WORDS += [
    b"debug!connected...\n",
    b"debug!busy",
    b"1\n",
    ID.encode() + b"!1 pushed " + COMMIT.encode(),
    b" refs/heads/",
]
_CHUNKS = st.lists(
    st.lists(st.one_of(st.sampled_from(_WORDS), st.binary(max_size=40)), max_size=30).map(b"".join), max_size=6
)
_SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_SETTINGS
@given(_CHUNKS, st.booleans())
def test_a_server_that_gets_noise(chunks, half_closed):
    async def body():
        async with ReflectorServer(port=0) as server, plain(server.port) as good:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            with contextlib.suppress(ConnectionError):
                for chunk in chunks:
                    writer.write(chunk)
                    await writer.drain()
                if half_closed:
                    writer.write_eof()
                    async with asyncio.timeout(DEADLINE):
                        await reader.read()
            writer.transport.abort()
            await eventually(lambda: server.connections == 1, "the noisy one is gone")
            assert server.hub.subscriptions == 1
            good.send("subscribe good", "announce good x")
            while await good.line() != "good!x":
                pass

    asyncio.run(body())


@_SETTINGS
@given(_CHUNKS)
def test_a_client_that_gets_noise(chunks):
    async def body():
        noisy = True

        async def serve(reader, writer):
            with contextlib.suppress(ConnectionError):
                writer.write(b"debug!connected...\n")
                while await reader.readline() not in (b"ping\n", b""):
                    pass
                if noisy:
                    for chunk in chunks:
                        writer.write(chunk)
                        await writer.drain()
                else:
                    writer.write(f"1\n{ID}!1 pushed {COMMIT} 00000000 refs/heads/main after\n".encode())
                    await reader.read()
            writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        made = transport(server.sockets[0].getsockname()[1])
        async with server, running(made, online=False) as recorder:
            await eventually(lambda: made.health.error, "the noise is over")
            noisy = False
            await eventually(lambda: made.peers() and made.peers()[-1].name == "after", "the next server is heard")
            assert all(heard.repository == ID for heard in recorder.announcements)
            assert set(recorder.looks) <= {ID}

    asyncio.run(body())

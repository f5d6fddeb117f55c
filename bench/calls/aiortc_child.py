"""The stack people use today, for comparison: aiortc behind aiohttp, playing every call's audio back to it.

Lives here: its usual echo, as its own examples have it: the received track is the sent one. Frames are decoded and
encoded again, because that is what its tracks are. Must not live here: anything of ours but the ready line.

python -m bench.calls.aiortc_child [HTTP-PORT]
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys

import aioice.ice
from aiohttp import web
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from bench.load.relay_child import end_with_parent

ADDRESS = "127.0.0.1"


class Echo:
    """All peer connections of the process."""

    def __init__(self) -> None:
        self._open: set[RTCPeerConnection] = set()

    async def answer(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._open.add(connection)

        @connection.on("track")
        def play_back(track: MediaStreamTrack) -> None:
            connection.addTrack(track)

        @connection.on("connectionstatechange")
        async def forget() -> None:
            if connection.connectionState in ("failed", "closed"):
                self._open.discard(connection)
                await connection.close()

        await connection.setRemoteDescription(RTCSessionDescription(wanted["sdp"], "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        return web.Response(status=201, text=connection.localDescription.sdp, content_type="application/sdp")

    async def close(self, _application: web.Application) -> None:
        await asyncio.gather(*(connection.close() for connection in self._open))


async def serve() -> None:
    echo = Echo()
    application = web.Application()
    application.router.add_post("/v1/realtime/calls", echo.answer)
    application.on_shutdown.append(echo.close)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, ADDRESS, int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    await site.start()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    sys.stdout.write(json.dumps({"ready": True, "port": runner.addresses[0][1]}) + "\n")
    sys.stdout.flush()
    await stopping.wait()
    await runner.cleanup()


def main() -> None:
    end_with_parent()
    logging.disable(logging.CRITICAL)
    # aioice leaves loopback out, and the benchmark must not depend on this machine's network
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [ADDRESS]
    asyncio.run(serve())


if __name__ == "__main__":
    main()

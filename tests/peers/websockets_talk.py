"""A WebSocket client of another make: talks to an echo behind the gateway and says `fine`."""
import asyncio
import sys

from websockets.asyncio.client import connect


async def main(url):
    async with connect(url, subprotocols=["chat"], max_size=None) as socket:
        assert socket.subprotocol == "chat"
        for message in ["", "text", "ä" * 1000, b"\x00\xff", b"m" * (1 << 20)]:
            await socket.send(message)
            assert await socket.recv() == message
        # A message in pieces, and pings between them.
        await socket.send(iter(["one ", "two ", "three"]))
        await (await socket.ping())
        assert await socket.recv() == "one two three"
    assert socket.close_code == 1000, socket.close_code
    # Many at once, each with its own messages.
    async def one(number):
        async with connect(url, subprotocols=["chat"], compression=None if number % 2 else "deflate") as socket:
            for round in range(20):
                await socket.send(f"{number} {round}")
                assert await socket.recv() == f"{number} {round}"
    await asyncio.gather(*map(one, range(50)))
    print("fine")


asyncio.run(main(sys.argv[1]))

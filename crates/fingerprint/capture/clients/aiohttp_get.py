"""One GET through aiohttp, for the capture of its first flight."""

import asyncio
import sys

import aiohttp


async def main() -> None:
    async with aiohttp.ClientSession() as session, session.get(sys.argv[1]) as answer:
        await answer.text()


asyncio.run(main())

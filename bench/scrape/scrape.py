# SPDX-License-Identifier: MIT
"""64 tasks get and decode one JSON resource with aiohttp on uvloop. Usage: scrape.py URL N WARM"""
import asyncio
import sys

import aiohttp
import uvloop


async def run(session, url, n):
    left, total = n, 0

    async def worker():
        nonlocal left, total
        while left > 0:
            left -= 1
            async with session.get(url, raise_for_status=True) as response:
                total += (await response.json())["id"]

    await asyncio.gather(*[worker() for _ in range(64)])
    return total


async def main():
    url, n, warm = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
        await run(session, url, warm)
        print("begin", flush=True)
        total = await run(session, url, n)
        print("end", flush=True)
        assert total == 20413186 * n


uvloop.install()
asyncio.run(main())

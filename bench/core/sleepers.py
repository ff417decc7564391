# SPDX-License-Identifier: MIT
"""N tasks under uvloop, all started at once, each sleeps a second. Usage: sleepers.py N"""
import asyncio
import sys

import uvloop


async def sleeper():
    await asyncio.sleep(1)


async def main():
    await asyncio.gather(*[asyncio.create_task(sleeper()) for _ in range(int(sys.argv[1]))])


uvloop.install()
asyncio.run(main())

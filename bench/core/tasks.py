# SPDX-License-Identifier: MIT
"""Spawn, yield, await under uvloop: N tasks in a row, each suspends once. Usage: tasks.py N WARM"""
import asyncio
import sys

import uvloop


async def child():
    await asyncio.sleep(0)


async def run(n):
    for _ in range(n):
        t = asyncio.create_task(child())
        await t


async def main():
    await run(int(sys.argv[2]))
    print("begin", flush=True)
    await run(int(sys.argv[1]))
    print("end", flush=True)


uvloop.install()
asyncio.run(main())

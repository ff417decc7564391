# SPDX-License-Identifier: MIT
"""Run /bin/true N times, 16 at a time, and collect what it prints. Usage: spawn N WARM"""
import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE


async def run(n):
    left = iter(range(n))

    async def worker():
        for _ in left:
            child = await asyncio.create_subprocess_exec("/bin/true", stdin=DEVNULL,
                                                         stdout=PIPE, stderr=PIPE)
            await child.communicate()
            if child.returncode != 0:
                raise RuntimeError(child.returncode)

    await asyncio.gather(*(worker() for _ in range(16)))


async def main():
    await run(int(sys.argv[2]))
    print("begin", flush=True)
    await run(int(sys.argv[1]))
    print("end", flush=True)


asyncio.run(main())

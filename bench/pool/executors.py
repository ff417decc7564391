# SPDX-License-Identifier: MIT
"""As pool.lua, with Python's executors. Usage: executors.py threads|processes MODE N WARM [WORKERS]

`map` and `cpu` use the executor's own map, with chunks of 1,000 and of 4 calls for processes (those
of a thread are always of one)."""
import collections
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor


def nothing():
    pass


def echo(value):
    return value


def increment(x):
    return x + 1


def compute(seed):
    x = seed
    for _ in range(100_000):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
    return x


def trip(pool, n):
    for _ in range(n):
        pool.submit(nothing).result()


def flight(pool, n):
    under_way = collections.deque()
    for _ in range(n):
        if len(under_way) == 1000:
            under_way.popleft().result()
        under_way.append(pool.submit(nothing))
    for f in under_way:
        f.result()


def back_and_forth(make):
    def run(pool, n):
        value = make()
        for _ in range(n):
            if len(pool.submit(echo, value).result()) != len(value):
                raise ValueError
    return run


def mapper(fn, chunk):
    def run(pool, n):
        for _ in pool.map(fn, range(n), chunksize=chunk):
            pass
    return run


MODES = {"trip": trip, "flight": flight, "map": mapper(increment, 1000), "cpu": mapper(compute, 4),
         "string": back_and_forth(lambda: "0123456789" * 500_000),
         "table": back_and_forth(lambda: list(range(1, 100_001)))}


def main():
    kind, mode, n, warm, *workers = sys.argv[1:]
    make = {"threads": ThreadPoolExecutor, "processes": ProcessPoolExecutor}[kind]
    with make(int(workers[0]) if workers else 2) as pool:
        MODES[mode](pool, int(warm))
        print("begin", flush=True)
        MODES[mode](pool, int(n))
        print("end", flush=True)


if __name__ == "__main__":
    main()

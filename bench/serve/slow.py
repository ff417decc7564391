# SPDX-License-Identifier: MIT
"""Clients that never come to the end of a request: each opens a connection, sends the first lines of
a request, and then one more header each second; one that is closed is opened again.

Usage: slow.py PORT COUNT. Prints "ready" when all are there."""
import contextlib
import resource
import socket
import sys
import time

STEPS = 20  # in a second; in each of them a share of the clients sends


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), 30)
    s.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    s.setblocking(False)
    return s


def send(clients, i, port):
    try:
        if clients[i].send(b"X-More: b\r\n"):
            return
    except BlockingIOError:
        return
    except OSError:
        clients[i].close()
    with contextlib.suppress(OSError):  # at the next turn, then
        clients[i] = connect(port)


def main():
    port, count = map(int, sys.argv[1:])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = [connect(port) for _ in range(count)]
    print("ready", flush=True)
    start = time.monotonic()
    step = 0
    while True:
        for i in range(step % STEPS, count, STEPS):
            send(clients, i, port)
        step += 1
        time.sleep(max(0, start + step / STEPS - time.monotonic()))


main()

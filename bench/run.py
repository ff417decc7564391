# SPDX-License-Identifier: MIT
"""The benchmark harness: runs corun and its peers in turn on one core and prints what each used.

See README.md beside this file for what is measured and how the peers were chosen.
"""
import argparse
import contextlib
import json
import os
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import peers
import report
import servers
from servers import Failed, free_port

GROUPS = {"core": ["tasks", "sleepers", "startup", "json548", "json5m"],
          "echo": ["echo64", "echo64k", "idle"],
          "tls-echo": ["tls64", "tls64k", "tlsidle"],
          "http": ["scrape", "scrape-tls", "scrape-hosts", "inflight", "download"],
          "ws": ["ws125", "wsidle"],
          "serve": ["serve-json", "serve-pipelined"],
          "server": ["serve-static", "serve-threads", "http-idle", "slowloris"],
          "process": ["spawn-process"],
          "files": ["files_read", "files_write"],
          "pool": ["pool-trip", "pool-flight", "pool-map", "pool-cpu", "pool-string", "pool-table",
                   "pool-worker"],
          "ext": ["ext-trip", "ext-flight", "ext-wake", "ext-sqlite", "sftp"]}
BENCHES = [b for group in GROUPS.values() for b in group]


class Machine:
    """Two cores (one for the measured process, one for its counterpart) and the launcher."""

    def __init__(self, programs):
        cores = sorted(os.sched_getaffinity(0))
        self.measured, self.other = cores[-1], cores[0]
        self.launcher = programs.c("measure.c")
        self.variables = {}  # of the environment of what is measured, beside the usual ones
        if self.measured == self.other:
            print("note: one core only: client and server share it")
        self.all = cores
        load = os.getloadavg()[0]
        if load > 0.3:
            print(f"note: load average {load:.2f}: a busy machine, do not keep these figures")
        os.sched_setaffinity(0, {self.other})

    def run(self, argv, runs=1, everywhere=False):
        """Runs a program on the measured core, or on all; returns one tuple for each run:
        wall s, cpu s, peak bytes, wall s and cpu s between its marks."""
        core = "all" if everywhere else str(self.measured)
        command = [self.launcher, "-n", str(runs), "-t", "300", core, *argv]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                              env=dict(peers.environment(), **self.variables),
                              preexec_fn=self.unpin if everywhere else None)
        figures = []
        for line in done.stdout.splitlines():
            status, wall, cpu, peak, mark_wall, mark_cpu = map(int, line.split())
            if status != 0:
                raise Failed(f"exit status {status}")
            figures.append((wall / 1e9, cpu / 1e9, peak * 1024,
                            mark_wall / 1e9, mark_cpu / 1e9))
        if len(figures) != runs:
            raise Failed("not run")
        return figures

    def unpin(self):
        os.sched_setaffinity(0, self.all)

    def marked(self, argv, everywhere=False):
        """Runs once a program that marks the part that counts: wall s, cpu s, peak bytes."""
        _, _, peak, wall, cpu = self.run(argv, everywhere=everywhere)[0]
        if wall <= 0:
            raise Failed("it printed no marks")
        return wall, cpu, peak

    def server(self, argv, everywhere=False):
        """Runs a server on the measured core, or on all, until the block ends; yields it when it is
        ready."""
        pin = set(self.all) if everywhere else {self.measured}
        return servers.server(argv, preexec_fn=lambda: os.sched_setaffinity(0, pin))


def memory_of(pid, what):
    """A figure of /proc/PID/status, in bytes."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(what + ":"))


def peak_of(pid):
    return memory_of(pid, "VmHWM")


def bench_tasks(machine, who, quick):
    n = int((200_000 if quick else 2_000_000) * who.scale)
    wall, cpu, peak = machine.marked(who.argv + [str(n), str(n // 5)])
    return {"ns": wall / n * 1e9, "cpu": cpu / n * 1e9, "peak": peak}


def bench_sleepers(machine, who, quick):
    n = 100_000 if quick else 1_000_000
    empty = machine.run(who.argv + ["0"])[0][2]
    wall, cpu, peak = machine.run(who.argv + [str(n)])[0][:3]
    return {"wall": wall, "cpu": cpu, "peak": peak, "task": (peak - empty) / n}


def bench_startup(machine, who, quick):
    runs = max(3, int((40 if quick else 200) * who.scale))
    figures = machine.run(who.argv, runs)
    wall, cpu, peak = (statistics.median(f[i] for f in figures) for i in range(3))
    return {"wall": wall * 1e3, "cpu": cpu * 1e3, "peak": peak}


def write_documents(folder):
    """Writes the two JSON documents: one record of 548 B, and an array of such records, 5.4 MB."""
    with open(peers.script("scrape/item.json"), encoding="utf-8") as f:
        item = json.load(f)
    records = []
    for i in range(9_900):
        records.append(dict(item, id=item["id"] * 1000 + i, sku=f"BK-{i:05}", price=i / 100 + 0.49,
                            in_stock=i % 3 == 0, rating=None if i % 5 == 0 else i % 50 / 10))
    for name, value in (("json548", item), ("json5m", records)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=False, separators=(",", ":"))


def bench_json(path, n):
    size = os.path.getsize(path)

    def bench(machine, who, quick):
        count = n // 10 if quick else n
        wall, cpu, peak = machine.marked(who.argv + [path, str(count), str(max(1, count // 5))])
        return {"rate": size * count / wall / 1e6, "cpu": cpu / count * 1e6, "peak": peak}
    return bench


def bench_echo(conns, size, more=()):
    def bench(machine, who, quick):
        port = free_port()
        with machine.server(who.argv + [str(port), *more]) as server:
            warm, seconds = (0.2, 0.5) if quick else (1, 3)
            load = [machine.load, port, conns, size, warm, seconds, server.pid]
            done = subprocess.run(list(map(str, load)), stdout=subprocess.PIPE, text=True)
            if done.returncode != 0:
                raise Failed("the load generator gave up")
            peak = peak_of(server.pid)
        echoes, seconds, cpu, own = map(float, done.stdout.split())
        return {"rate": echoes / seconds, "cpu": cpu / echoes / 1e3, "peak": peak,
                "busy": cpu / seconds / 1e7, "load": own / seconds / 1e7}
    return bench


@contextlib.contextmanager
def many_files():
    """Lets this process, and those that it starts, have as many files open as is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def ask(sock, question, end):
    """Sends `question` and reads until `end` has come."""
    sock.sendall(question)
    answer = b""
    while not answer.endswith(end):
        piece = sock.recv(4096)
        if not piece:
            raise Failed("a connection was closed before it was answered")
        answer += piece


def bench_idle(question, end):
    """Memory of a server with 10,000 connections of which each had one answer, which ends with
    `end`, and is silent now."""
    def bench(machine, who, quick):
        n, port = 1_000 if quick else 10_000, free_port()
        with many_files(), machine.server(who.argv + [str(port)]) as server, \
                contextlib.ExitStack() as held:
            empty, resident = peak_of(server.pid), memory_of(server.pid, "VmRSS")
            closed = select.poll()
            for _ in range(n):
                s = held.enter_context(socket.create_connection(("127.0.0.1", port), 30))
                ask(s, question, end)
                closed.register(s, select.POLLIN)
            peak, grown = peak_of(server.pid), memory_of(server.pid, "VmRSS") - resident
            if closed.poll(0):
                raise Failed("a connection was closed, or had more than its answer")
        return {"peak": peak, "each": (peak - empty) / n, "grown": grown}
    return bench


def bench_idle_with(*args):
    """A program that opens idle connections to itself, and prints names with figures."""
    def bench(machine, who, quick):
        command = who.argv + [*args, "1000" if quick else "10000"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=peers.environment())
        words = done.stdout.split()
        if done.returncode != 0 or not words:
            raise Failed(f"exit status {done.returncode}")
        return {name: float(figure) for name, figure in zip(words[::2], words[1::2])}
    return bench


def bench_scrape(machine, who, quick):
    n = int((20_000 if quick else 200_000) * who.scale)
    wall, cpu, peak = machine.marked(who.argv + [machine.url, str(n), str(n // 5)])
    return {"rate": n / wall, "cpu": cpu / n * 1e6, "peak": peak, "busy": cpu / wall * 100}


def bench_hosts(machine, who, quick):
    """One request to each host, which nobody knows yet, then five: `first` and `rate`."""
    hosts, times, runs = 2_000, 5, 1 if quick else 5

    def each(times):
        figures = machine.run(who.argv + [str(machine.port), str(hosts), str(times)], runs)
        return [statistics.median(f[i] for f in figures) for i in (3, 4, 2)]
    first = each(1)[0]
    wall, cpu, peak = each(times)
    n = hosts * times
    return {"first": hosts / first, "rate": n / wall, "cpu": cpu / n * 1e6, "peak": peak,
            "busy": cpu / wall * 100}


def bench_inflight(machine, who, quick):
    n = 1_000 if quick else 10_000
    wall, cpu, peak = machine.run(who.argv + [machine.url, str(n)])[0][:3]
    with urllib.request.urlopen(machine.url + "most") as answer:
        most = int(answer.read())
    return {"wall": wall, "cpu": cpu, "peak": peak, "most": most}


def seconds_of(text):
    """What wrk calls a time: 812.00us, 1.04ms, 2.1s."""
    units = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}
    number = text.rstrip("umsh")
    return float(number) * units[text[len(number):]]


def wrk(machine, port, path, seconds, *more):
    """Puts load on a server with wrk: requests a second, median and 99th percentile in seconds. wrk
    knows of no percentile when all that was pipelined together was hardly ever answered together:
    then that is 0."""
    command = [machine.load, "-t1", "-c64", f"-d{seconds}", "--latency", *more,
               f"http://127.0.0.1:{port}/{path}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0 or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise Failed("not all requests were answered with 200")
    found = {words[0]: words[1] for words in map(str.split, done.stdout.splitlines())
             if len(words) == 2}
    figures = float(found["Requests/sec:"]), seconds_of(found["50%"]), seconds_of(found["99%"])
    if not figures[0]:
        raise Failed("no request was answered")
    return figures


def under_load(machine, server, port, path, quick, *more):
    """Warms a server up, and measures what both sides do then."""
    wrk(machine, port, path, 1, *more)
    clock = ~server.pid << 3 | 2  # of the CPU time of that process
    own, cpu = sum(os.times()[2:4]), time.clock_gettime(clock)
    seconds = 1 if quick else 3
    rate, median, p99 = wrk(machine, port, path, seconds, *more)
    cpu, own = time.clock_gettime(clock) - cpu, sum(os.times()[2:4]) - own
    figures = {"rate": rate, "cpu": cpu / (rate * seconds) * 1e6, "p50": median, "p99": p99,
               "peak": peak_of(server.pid), "busy": cpu / seconds * 100,
               "load": own / seconds * 100}
    return {metric: value for metric, value in figures.items() if value}


def bench_serve_static(machine, who, quick):
    """64 connections, one file of 100 KB."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="corun-bench-") as folder:
        os.makedirs(os.path.join(folder, "www"))
        with open(os.path.join(folder, "www", "file.bin"), "wb") as f:
            f.write(os.urandom(100_000))
        with machine.server(who.argv + [str(port), folder]) as server:
            return under_load(machine, server, port, "file.bin", quick)


def check_answer(port):
    """That what is served is what all of them are asked for."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        kind, value = answer.headers.get_content_type(), json.load(answer)
    if kind != "application/json" or value != {"id": 1, "message": "Hello, World!", "ok": True}:
        raise Failed(f"it answered {kind}: {value}")


def bench_serve(*more):
    """64 connections, a small JSON text that is encoded for each request."""
    def bench(machine, who, quick):
        port = free_port()
        with machine.server(who.argv + [str(port)]) as server:
            check_answer(port)
            return under_load(machine, server, port, "", quick, *more)
    return bench


def together(machine, argv, count):
    """The seconds that each of so many programs tells, which run at once on all cores: their mean."""
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True,
                                env=peers.environment(), preexec_fn=machine.unpin)
               for _ in range(count)]
    told = [program.communicate()[0] for program in running]
    if any(program.returncode for program in running):
        raise Failed("the arithmetic failed")
    return statistics.mean(map(float, told))


def bench_serve_threads(machine, who, quick):
    """Requests of about a millisecond each, with one thread and with two, on all cores: the client
    has so little to do that it leaves them free. Both servers are there all the time and have the
    load in turn, as have two programs that do the same arithmetic and nothing else: the pace of a
    virtual machine's cores changes from second to second, and when both have work."""
    rounds, n = (2, 200) if quick else (5, 1000)
    arithmetic = [who.argv[0], peers.script("serve/arithmetic.lua"), str(n)]
    figures = {metric: [] for metric in ("one", "two", "cores", "busy", "load")}
    ports = {threads: free_port() for threads in (1, 2)}
    with machine.server(who.argv + [str(ports[1]), "1"], everywhere=True) as one, \
            machine.server(who.argv + [str(ports[2]), "2"], everywhere=True) as two:
        for _ in range(rounds):
            alone = under_load(machine, one, ports[1], "", True)
            both = under_load(machine, two, ports[2], "", True)
            figures["one"].append(alone["rate"])
            figures["two"].append(both["rate"])
            figures["busy"].append(both["busy"])
            figures["load"].append(both["load"])
            figures["cores"].append(2 * together(machine, arithmetic, 1) /
                                    together(machine, arithmetic, 2))
    speedup = statistics.median(two / one for one, two in zip(figures["one"], figures["two"]))
    figures = {metric: statistics.median(values) for metric, values in figures.items()}
    return dict(figures, speedup=speedup, share=speedup / figures["cores"])


def bench_slowloris(machine, who, quick):
    """The same beside 1,500 clients that never end their requests, and without them: `share`."""
    port = free_port()
    slow = [sys.executable, peers.script("serve/slow.py"), str(port), "1500"]
    with many_files(), machine.server(who.argv + [str(port)]) as server:
        calm = under_load(machine, server, port, "", quick)
        with servers.server(slow):
            figures = under_load(machine, server, port, "", quick)
    return dict(figures, calm=calm["rate"], share=figures["rate"] / calm["rate"])


def bench_download(machine, who, quick):
    with tempfile.TemporaryDirectory(prefix="corun-bench-") as folder:
        path = os.path.join(folder, "out")
        wall, cpu, peak = machine.run(who.argv + [path, machine.url])[0][:3]
        size = os.path.getsize(path)
    if size != machine.size:
        raise Failed(f"{size} bytes instead of {machine.size}")
    return {"rate": size / wall / 1e6, "cpu": cpu / size * 1e12, "peak": peak}


def bench_spawn_process(machine, who, quick):
    n = 100 if quick else 1_000
    wall, cpu, peak = machine.marked(who.argv + [str(n), str(n // 5)])
    return {"rate": n / wall, "cpu": cpu / n * 1e6, "peak": peak}


def bench_files(what):
    """100 files at once beside a ticker, on all cores: files are moved by threads."""
    def bench(machine, who, quick):
        size = (1 if quick else 8) << 20
        environment = dict(peers.environment(), GOMAXPROCS=str(len(machine.all)))
        with tempfile.TemporaryDirectory(prefix="corun-bench-") as folder:
            done = subprocess.run(who.argv + [what, folder, "100", str(size)],
                                  stdout=subprocess.PIPE, text=True, env=environment,
                                  preexec_fn=machine.unpin)
        line = next((x for x in done.stdout.splitlines() if x.startswith("late ")), None)
        if done.returncode != 0 or not line:
            raise Failed(f"exit status {done.returncode}")
        _, median, p99, most, _, rate = line.split()
        return {"late": float(median), "p99": float(p99), "most": float(most), "rate": float(rate)}
    return bench


def bench_pool(mode, n):
    """N jobs in two workers, or N operations, on all cores."""
    def bench(machine, who, quick):
        count = max(1000 if mode == "flight" else 2, int(n * who.scale / (10 if quick else 1)))
        argv = who.argv + [mode, str(count), str(max(1, count // 5))]
        wall, cpu, peak = machine.marked(argv, everywhere=True)
        return {"us": wall / count * 1e6, "rate": count / wall, "cpu": cpu / count * 1e6,
                "peak": peak}
    return bench


def bench_pool_cpu(machine, who, quick):
    """The same calls of about a millisecond with one worker and with two."""
    n = int((200 if quick else 2_000) * who.scale)

    def run(workers):
        argv = who.argv + ["cpu", str(n), str(n // 5), str(workers)]
        return machine.marked(argv, everywhere=True)[0]
    one, two = run(1), run(2)
    return {"one": one, "two": two, "speedup": one / two}


def bench_pool_worker(machine, who, quick):
    n = max(2, int((10 if quick else 50) * who.scale))
    done = subprocess.run(who.argv + ["start", str(n), "0"], stdout=subprocess.PIPE, text=True,
                          env=peers.environment(), preexec_fn=machine.unpin)
    words = done.stdout.split()
    if done.returncode != 0 or len(words) != 4:
        raise Failed(f"exit status {done.returncode}")
    return {"start": float(words[2]), "memory": float(words[3])}


def bench_sftp(machine, who, quick):
    """200 files of 100 KB over SFTP to files, from the start of the program and once connected."""
    with tempfile.TemporaryDirectory(prefix="corun-bench-") as to:
        figures = machine.run(who.argv + [str(machine.port), machine.folder, to],
                              everywhere=True)[0]
        sizes = [os.path.getsize(os.path.join(to, name)) for name in os.listdir(to)]
    if sizes != [100_000] * machine.count:
        raise Failed(f"{len(sizes)} files came, or not all of their bytes")
    wall, cpu, peak, moving, _ = figures
    return {"rate": machine.count / wall, "moved": machine.count / moving,
            "cpu": cpu / machine.count * 1e6, "peak": peak}


POOL = {"pool-trip": bench_pool("trip", 20_000), "pool-flight": bench_pool("flight", 500_000),
        "pool-map": bench_pool("map", 200_000), "pool-cpu": bench_pool_cpu,
        "pool-string": bench_pool("string", 100), "pool-table": bench_pool("table", 100),
        "pool-worker": bench_pool_worker, "ext-trip": bench_pool("trip", 20_000),
        "ext-flight": bench_pool("flight", 500_000), "ext-wake": bench_pool("wake", 2_000_000),
        "ext-sqlite": bench_pool("sqlite", 100_000)}


SERVERS = {"serve-json": bench_serve(), "serve-static": bench_serve_static,
           "serve-threads": bench_serve_threads,
           "serve-pipelined": bench_serve("-s", peers.script("serve/pipeline.lua")),
           "slowloris": bench_slowloris}


def alternate(name, bench, who, rounds, machine, quick):
    """Runs all contenders in turn, each round in the opposite order.

    Returns {name: {metric: [value of each round]}} and whether all of them did their work."""
    results, failed = {w.name: {} for w in who}, {}
    for i in range(rounds):
        for w in who if i % 2 == 0 else reversed(who):
            if w.name in failed:
                continue
            try:
                figures = bench(machine, w, quick)
            except Failed as e:
                failed[w.name] = str(e)
                continue
            for metric, value in figures.items():
                results[w.name].setdefault(metric, []).append(value)
    for w, why in failed.items():
        print(f"failed {name} {w}: {why}")
        del results[w]
    return results, not failed


def choose(name, programs, options):
    """The contenders that take part; says who does not."""
    everyone = peers.contenders(name, programs)
    if options.stand_in:
        stand_in = next((w for w in everyone if w.name == options.stand_in), None)
        if stand_in and stand_in.argv:
            everyone[0] = peers.Contender("corun", stand_in.argv, stand_in.scale, stand_in.slow)
    missing = [w.name for w in everyone if not w.argv]
    if missing:
        print(f"missing {name}: {', '.join(missing)}")
    slow = [w.name for w in everyone if w.slow and w.argv and not options.all]
    if slow:
        print(f"left out {name}: {', '.join(slow)} (slow; --all runs them)")
    only = options.only and options.only.split(",")
    return [w for w in everyone if w.argv and (options.all or not w.slow) and
            (not only or w.name == "corun" or w.name in only)]


HTTP = {"scrape": bench_scrape, "scrape-tls": bench_scrape, "scrape-hosts": bench_hosts,
        "inflight": bench_inflight, "download": bench_download}
ADDRESSES = 16  # on which the hosts of scrape-hosts are


def write_large(path, size):
    """Writes a file of `size` bytes that no file system stores as a hole."""
    block = os.urandom(1_000_000)
    with open(path, "wb") as f:
        for _ in range(size // len(block)):
            f.write(block)


@contextlib.contextmanager
def served_files(programs, machine, quick):
    """Runs an SFTP server beside a folder of files, and tells `machine` where they are."""
    with servers.sshd(programs.sshd) as (machine.port, machine.folder):
        machine.count = 20 if quick else 200
        os.makedirs(os.path.join(machine.folder, "files"))
        for i in range(machine.count):
            with open(os.path.join(machine.folder, "files", str(i)), "wb") as f:
                f.write(os.urandom(100_000))
        yield


@contextlib.contextmanager
def served(name, programs, machine, quick):
    """Runs the servers of a benchmark of HTTP clients, and tells `machine` where they are."""
    with contextlib.ExitStack() as stack:
        start = stack.enter_context
        machine.port = free_port()
        if name == "inflight":
            start(servers.server([programs.go_program("inflight/slow.go"), str(machine.port)]))
            # Bun would send 256 requests at a time
            machine.variables = {"BUN_CONFIG_MAX_HTTP_REQUESTS": "20000"}
            machine.url = f"http://127.0.0.1:{machine.port}/"
        elif name == "scrape-hosts":
            dns = str(free_port())
            start(servers.server([programs.c("hosts/dns.c"), dns, str(ADDRESSES)]))
            machine.variables = {"CORUN_DNS": "127.0.0.1:" + dns}
            machine.port = start(servers.nginx(programs, addresses=ADDRESSES))
        elif name == "download":
            machine.size = 100_000_000 if quick else 1_000_000_000
            folder = start(tempfile.TemporaryDirectory(prefix="corun-bench-"))
            write_large(os.path.join(folder, "large"), machine.size)
            machine.port = start(servers.nginx(programs, root=folder))
            machine.url = f"http://127.0.0.1:{machine.port}/large"
        else:
            pair = start(servers.certificate()) if name == "scrape-tls" else None
            machine.port = start(servers.nginx(programs, pair))
            if pair:
                machine.variables = {"SSL_CERT_FILE": pair[0], "NODE_EXTRA_CA_CERTS": pair[0]}
            scheme = "https" if pair else "http"
            machine.url = f"{scheme}://127.0.0.1:{machine.port}/item.json"
        yield
    machine.variables = {}


def lacking(name, programs):
    """The other side that a benchmark needs and this machine has not; None when all is there."""
    if name.startswith(("scrape", "download")) and not programs.nginx:
        return "nginx"
    if name == "inflight" and not programs.go:
        return "go"
    if name in SERVERS and not programs.wrk:
        return "wrk"
    if name == "sftp" and not programs.sshd:
        return "sshd"
    return None


def run_bench(name, programs, machine, options):
    """Runs one benchmark and prints its figures; returns False if a contender failed."""
    rounds = options.rounds or (2 if options.quick else 5)
    who = choose(name, programs, options)
    lacks = lacking(name, programs)
    if lacks:
        print(f"missing {name}: {lacks}, the other side: nothing is measured")
        return False
    if name in HTTP:
        try:
            with served(name, programs, machine, options.quick):
                results, good = alternate(name, HTTP[name], who, rounds, machine, options.quick)
        except Failed as e:
            print(f"failed {name}: {e}")
            return False
    elif name.startswith("json"):
        with tempfile.TemporaryDirectory(prefix="corun-bench-") as folder:
            write_documents(folder)
            count = 500_000 if name == "json548" else 60
            bench = bench_json(os.path.join(folder, name), count)
            results, good = alternate(name, bench, who, rounds, machine, options.quick)
    elif name == "wsidle":
        results, good = alternate(name, bench_idle_with(), who, rounds, machine, options.quick)
    elif name == "http-idle":
        bench = bench_idle(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"}")
        results, good = alternate(name, bench, who, rounds, machine, options.quick)
    elif name == "ws125":
        machine.load = programs.load("ws")
        results, good = alternate(name, bench_echo(64, 125), who, rounds, machine, options.quick)
    elif name in SERVERS:
        machine.load = programs.wrk
        results, good = alternate(name, SERVERS[name], who, rounds, machine, options.quick)
    elif name.startswith("tls"):
        machine.load = programs.load("tls", "-lssl", "-lcrypto")
        with servers.certificate() as pair:
            bench = {"tls64": bench_echo(64, 64, pair), "tls64k": bench_echo(8, 65536, pair),
                     "tlsidle": bench_idle_with(*pair)}[name]
            results, good = alternate(name, bench, who, rounds, machine, options.quick)
    elif name == "sftp":
        with served_files(programs, machine, options.quick):
            results, good = alternate(name, bench_sftp, who, rounds, machine, options.quick)
    elif name in POOL:
        results, good = alternate(name, POOL[name], who, rounds, machine, options.quick)
    else:
        machine.load = programs.load("echo")
        bench = {"tasks": bench_tasks, "sleepers": bench_sleepers, "startup": bench_startup,
                 "spawn-process": bench_spawn_process,
                 "idle": bench_idle(b"hello", b"hello"), "echo64": bench_echo(64, 64),
                 "echo64k": bench_echo(8, 65536), "files_read": bench_files("read"),
                 "files_write": bench_files("write")}[name]
        results, good = alternate(name, bench, who, rounds, machine, options.quick)
    report.show(name, results, rounds)
    return good


def main():
    parser = argparse.ArgumentParser(prog="tools/bench",
                                     description="Measures corun beside its peers.")
    add = parser.add_argument
    add("name", nargs="+", choices=[*GROUPS, *BENCHES, "all"], metavar="NAME",
        help=f"a group ({', '.join(GROUPS)}, all) or a benchmark ({', '.join(BENCHES)})")
    add("--quick", action="store_true", help="a tenth of the work: does everything run?")
    add("--rounds", type=int, metavar="N", help="rounds of all contenders (5; quick: 2)")
    add("--only", metavar="PEER,...", help="only these peers")
    add("--all", action="store_true", help="the slow contenders too")
    add("--stand-in", metavar="PEER",
        help="run PEER in corun's place too: how far from 1 are equals?")
    add("--out", metavar="DIR", default=os.path.join(peers.ROOT, "build", "bench"),
        help="where the C and Go programs are compiled to (build/bench)")
    options = parser.parse_args()
    names = [b for b in BENCHES for n in options.name if n in ("all", b) or b in GROUPS.get(n, ())]
    programs = peers.Programs(options.out)
    if not programs.corun and not options.stand_in:
        sys.exit("tools/bench: no build/corun: build it or name another one in CORUN")
    sys.stdout.reconfigure(line_buffering=True)
    machine = Machine(programs)
    report.machine(programs, machine)
    good = [run_bench(name, programs, machine, options) for name in dict.fromkeys(names)]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""What the harness prints: a table with the noise, then one line for each ratio and each target."""
import os
import platform
import statistics

# A metric: its column, format, factor from the harness's unit, and whether it has ratio lines.
PEAK = ("peak MB", "{:.1f}", 1e-6, True)
TIMES = {"wall": ("wall ms", "{:.2f}", 1, True), "cpu": ("CPU ms", "{:.2f}", 1, True), "peak": PEAK}
JSON = {"rate": ("MB/s", "{:.0f}", 1, True),
        "cpu": ("CPU us each", "{:.2f}", 1, True), "peak": PEAK}
ECHO = {"rate": ("echoes/s", "{:,.0f}", 1, True),
        "cpu": ("server CPU us", "{:.2f}", 1, True), "peak": PEAK,
        "busy": ("server %", "{:.0f}", 1, False), "load": ("load %", "{:.0f}", 1, False)}
IDLE = {"peak": PEAK, "each": ("B a connection", "{:,.0f}", 1, True)}
TASKS = {"ns": ("ns each", "{:.0f}", 1, True), "cpu": ("CPU ns", "{:.0f}", 1, True), "peak": PEAK}
SLEEPERS = {"wall": ("wall s", "{:.2f}", 1, True), "cpu": ("CPU s", "{:.2f}", 1, True),
            "peak": PEAK, "task": ("B a task", "{:.0f}", 1, True)}
TLS_IDLE = {"server": ("server B each", "{:.0f}", 1, True),
            "client": ("client B each", "{:.0f}", 1, True)}
WS_IDLE = {**TLS_IDLE, "cast": ("broadcast ns each", "{:.0f}", 1, True)}
SCRAPE = {"rate": ("requests/s", "{:,.0f}", 1, True),
          "cpu": ("client CPU us", "{:.2f}", 1, True), "peak": PEAK,
          "busy": ("client %", "{:.0f}", 1, False)}
HOSTS = {"first": ("first/s", "{:,.0f}", 1, True), **SCRAPE}
INFLIGHT = {"wall": ("wall s", "{:.2f}", 1, True), "cpu": ("CPU s", "{:.2f}", 1, True),
            "peak": PEAK, "most": ("at once", "{:,.0f}", 1, False)}
SERVE = {"rate": ("requests/s", "{:,.0f}", 1, True),
         "cpu": ("server CPU us", "{:.2f}", 1, True), "p50": ("p50 ms", "{:.3f}", 1e3, False),
         "p99": ("p99 ms", "{:.3f}", 1e3, True), "peak": PEAK,
         "busy": ("server %", "{:.0f}", 1, False), "load": ("load %", "{:.0f}", 1, False)}
SLOW = {"calm": ("calm/s", "{:,.0f}", 1, False), "share": ("share of calm", "{:.3f}", 1, False),
        **SERVE}
HTTP_IDLE = {**IDLE, "grown": ("resident MB more", "{:.1f}", 1e-6, True)}
DOWNLOAD = {"rate": ("MB/s", "{:,.0f}", 1, True),
            "cpu": ("CPU us a MB", "{:.0f}", 1, True), "peak": PEAK}
PROCESSES = {"rate": ("processes/s", "{:,.0f}", 1, True),
             "cpu": ("own CPU us each", "{:.1f}", 1, True), "peak": PEAK}
FILES = {"late": ("late ms", "{:.2f}", 1, False), "p99": ("p99 ms", "{:.2f}", 1, True),
         "most": ("most ms", "{:.2f}", 1, False), "rate": ("MB/s", "{:,.0f}", 1, True)}
JOBS = {"us": ("us each", "{:.2f}", 1, True), "cpu": ("CPU us each", "{:.2f}", 1, True),
        "peak": PEAK}
TRIPS = {"rate": ("a second", "{:.1f}", 1, True), "cpu": ("CPU us each", "{:,.0f}", 1, True),
         "peak": PEAK}
CORES = {"one": ("1 worker s", "{:.2f}", 1, True), "two": ("2 workers s", "{:.2f}", 1, True),
         "speedup": ("times faster", "{:.3f}", 1, False)}
SFTP = {"rate": ("files/s", "{:.0f}", 1, True),
        "moved": ("connected files/s", "{:.0f}", 1, True),
        "cpu": ("CPU us each", "{:,.0f}", 1, True), "peak": PEAK}
THREADS = {"one": ("1 thread /s", "{:,.0f}", 1, True), "two": ("2 threads /s", "{:,.0f}", 1, True),
           "speedup": ("times faster", "{:.3f}", 1, False), "cores": ("cores", "{:.3f}", 1, False),
           "share": ("share", "{:.3f}", 1, False), "busy": ("server %", "{:.0f}", 1, False),
           "load": ("load %", "{:.0f}", 1, False)}
WORKERS = {"start": ("start ms", "{:.2f}", 1, True), "memory": ("KB each", "{:,.0f}", 1e-3, True)}
TABLES = {
    "tasks": ("spawn, yield, await, one after another", TASKS),
    "sleepers": ("1,000,000 tasks sleeping 1 s (--quick: 100,000)", SLEEPERS),
    "startup": ("an empty script, from fork to the end", TIMES),
    "json548": ("decode a JSON record of 548 B", JSON),
    "json5m": ("decode a JSON document of 5.4 MB", JSON),
    "echo64": ("TCP echo, 64 connections x 64 B", ECHO),
    "echo64k": ("TCP echo, 8 connections x 64 KiB", ECHO),
    "idle": ("10,000 idle TCP connections (--quick: 1,000)", IDLE),
    "tls64": ("TLS 1.3 echo, 64 connections x 64 B", ECHO),
    "tls64k": ("TLS 1.3 echo, 8 connections x 64 KiB", ECHO),
    "tlsidle": ("10,000 idle TLS connections, each with its task (--quick: 1,000)", TLS_IDLE),
    "ws125": ("WebSocket echo, 64 clients x 125 B", ECHO),
    "wsidle": ("10,000 idle WebSockets, each with its task (--quick: 1,000)", WS_IDLE),
    "scrape": ("64 connections, GET 548 B of JSON from nginx, decode", SCRAPE),
    "scrape-tls": ("the same over TLS 1.3", SCRAPE),
    "scrape-hosts": ("2,000 hosts by name, 100 at once: a request to each, then five", HOSTS),
    "inflight": ("10,000 requests in flight, each answered after 1 s (--quick: 1,000)", INFLIGHT),
    "serve-json": ("64 connections, GET a small JSON text that is encoded for each", SERVE),
    "serve-pipelined": ("the same, 16 requests at a time on each connection", SERVE),
    "serve-threads": ("64 connections, requests of about a millisecond, with one thread and two",
                      THREADS),
    "http-idle": ("10,000 idle connections that had an answer (--quick: 1,000)", HTTP_IDLE),
    "slowloris": ("serve-json beside 1,500 clients that never end their requests", SLOW),
    "serve-static": ("64 connections, GET a file of 100 KB", SERVE),
    "download": ("1 GB from nginx to a file (--quick: 100 MB)", DOWNLOAD),
    "spawn-process": ("run /bin/true 1,000 times, 16 at a time (--quick: 100)", PROCESSES),
    "files_read": ("100 files of 8 MiB read at once: how late a ticker of 1 ms is", FILES),
    "files_write": ("100 files of 8 MiB written at once: how late a ticker of 1 ms is", FILES),
    "pool-trip": ("a no-op in a worker, one after another", JOBS),
    "pool-flight": ("no-ops in two workers, 1,000 in flight", JOBS),
    "pool-map": ("a map of 200,000 trivial calls over two workers (--quick: 20,000)", JOBS),
    "pool-cpu": ("calls of about a millisecond, in one worker and in two", CORES),
    "pool-string": ("a string of 5 MB to a worker and back", TRIPS),
    "pool-table": ("a list of 100,000 integers to a worker and back", TRIPS),
    "pool-worker": ("one more worker: its first job done, and what it takes when it idles", WORKERS),
    "ext-trip": ("a no-op of an extension on a thread, one after another", JOBS),
    "ext-flight": ("no-ops of an extension on threads, 1,000 in flight", JOBS),
    "ext-wake": ("two tasks that wake each other through corun.h: one suspension", JOBS),
    "sftp": ("200 files of 100 KB over SFTP, 8 connections (--quick: 20)", SFTP),
    "ext-sqlite": ("selects of one row each, by 8 tasks on one connection of SQLite", JOBS),
}

# benchmark, metric, peer (None: corun's own figure), comparison, bound
TARGETS = [
    ("tasks", "ns", None, "<=", 330),
    ("sleepers", "wall", None, "<=", 3.0),
    ("sleepers", "task", None, "<=", 1300),
    ("startup", "wall", "lua5.4", "<=", 2.0),
    ("json548", "rate", "cjson", ">=", 1.9),
    ("json5m", "rate", "cjson", ">=", 1.9),
    ("echo64", "rate", "libuv", ">=", 0.9),
    ("echo64", "rate", "bun", ">=", 1.0),
    ("echo64", "rate", "go", ">=", 1.0),
    ("echo64k", "rate", "libuv", ">=", 0.9),
    ("echo64k", "rate", "bun", ">=", 1.0),
    ("echo64k", "rate", "go", ">=", 1.0),
    ("idle", "peak", None, "<=", 48e6),
    ("tls64", "rate", "go", ">=", 1.0),
    ("tls64", "rate", "node", ">=", 1.0),
    ("tls64k", "rate", "go", ">=", 1.0),
    ("tls64k", "rate", "node", ">=", 1.0),
    ("tlsidle", "server", None, "<=", 25600),
    ("tlsidle", "client", None, "<=", 25600),
    ("ws125", "rate", "ws", ">=", 1.5),
    ("ws125", "rate", "bun", ">=", 1.0),
    ("wsidle", "server", None, "<=", 8192),
    ("scrape", "cpu", "bun", "<=", 0.8),
    ("scrape", "rate", "bun", ">=", 1.0),
    *[("scrape", "rate", peer, ">=", 1.0) for peer in ("go", "undici", "aiohttp", "lua-http")],
    ("scrape", "peak", None, "<=", 15e6),
    ("scrape-tls", "cpu", "bun", "<=", 0.9),
    ("scrape-hosts", "first", "go", ">=", 1.0),
    ("scrape-hosts", "rate", "go", ">=", 1.0),
    ("inflight", "peak", None, "<=", 150e6),
    ("serve-json", "rate", "bun", ">=", 1.05),
    ("serve-json", "rate", "go", ">=", 1.5),
    ("serve-json", "rate", "node", ">=", 1.5),
    ("serve-json", "p99", "bun", "<=", 1.0),
    *[("serve-pipelined", "rate", peer, ">=", 1.0) for peer in ("bun", "go", "node")],
    ("http-idle", "grown", None, "<=", 48e6),
    ("slowloris", "share", None, ">=", 0.7),
    ("serve-static", "rate", "nginx", ">=", 0.7),
    ("serve-threads", "speedup", None, ">=", 1.7),
    ("download", "rate", "curl", ">=", 0.8),
    ("download", "peak", None, "<=", 20e6),
    ("spawn-process", "rate", "node", ">=", 1.0),
    ("spawn-process", "rate", "go", ">=", 1.0),
    ("files_read", "p99", None, "<=", 5),
    ("files_write", "p99", None, "<=", 5),
    ("pool-trip", "us", "libuv", "<=", 1.15),
    *[("pool-trip", "us", peer, "<=", 1.0) for peer in ("piscina", "bun", "threads", "processes")],
    ("pool-flight", "us", None, "<=", 2.0),
    *[("pool-flight", "us", peer, "<=", 1.0) for peer in ("piscina", "bun", "threads", "processes")],
    ("pool-map", "us", None, "<=", 0.3),
    ("pool-cpu", "speedup", None, ">=", 1.9),
    ("pool-string", "rate", "piscina", ">=", 3.0),
    ("pool-table", "rate", "piscina", ">=", 3.0),
    ("pool-worker", "memory", None, "<=", 400e3),
    ("pool-worker", "start", None, "<=", 2.0),
    ("ext-trip", "us", "libuv", "<=", 1.1),
    ("ext-flight", "us", None, "<=", 0.6),
    ("ext-wake", "us", None, "<=", 0.25),
    ("sftp", "rate", "sftp", ">=", 1.0),
    ("ext-sqlite", "rate", "sqlite", ">=", 0.7),
]


def machine(programs, m):
    """Prints what the figures stand on: processor, kernel, cores used, versions."""
    model = platform.processor() or "unknown"
    with open("/proc/cpuinfo") as f:
        names = (line.split(":")[1].strip() for line in f if line.startswith("model name"))
        model = next(names, model)
    print(f"machine: {model}, {os.cpu_count()} cores, Linux {platform.release()}; "
          f"measured on core {m.measured}, counterpart on core {m.other}")
    print("versions: " + "; ".join(f"{name} {text}" for name, text in programs.versions()))


def show(name, results, rounds):
    """Prints the table of one benchmark, its ratio lines and its target lines."""
    title, metrics = TABLES[name]
    rows = [["", *(column for column, _, _, _ in metrics.values())]]
    for who, figures in results.items():
        row = [who]
        for metric, (_, form, factor, _) in metrics.items():
            values = [v * factor for v in figures.get(metric, ())]
            if not values:
                row.append("unknown")
                continue
            noise = f" ({form.format(min(values))}..{form.format(max(values))})"
            row.append(form.format(statistics.median(values)) + noise)
        rows.append(row)
    print(f"\n{name}: {title}; median (min..max) of {rounds} rounds")
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip())
    medians = {who: {metric: statistics.median(values) for metric, values in figures.items()}
               for who, figures in results.items()}
    ratios(name, medians, metrics)


def ratios(name, medians, metrics):
    ours = medians.get("corun")
    if not ours:
        return
    for metric, (_, _, _, wanted) in metrics.items():
        for who in medians:
            if metric not in ours or not medians[who].get(metric):
                continue
            if wanted and who != "corun":
                value = ours[metric] / medians[who][metric]
                print(f"ratio {name} {metric} corun/{who} {value:.3f}")
    for bench, metric, peer, sign, bound in TARGETS:
        if bench != name or (peer and peer not in medians):
            continue
        if metric not in ours or (peer and not medians[peer].get(metric)):
            print(f"target {name} {metric}: unknown")
            continue
        value = ours[metric] / medians[peer][metric] if peer else ours[metric]
        verdict = "met" if (value <= bound if sign == "<=" else value >= bound) else "MISSED"
        against = f"corun/{peer}" if peer else "corun"
        form, factor = ("{:.3f}", 1) if peer else metrics[metric][1:3]
        value, bound = (form.format(v * factor) for v in (value, bound))
        print(f"target {name} {metric} {against} {sign} {bound}: {value} {verdict}")

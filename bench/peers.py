# SPDX-License-Identifier: MIT
"""Who takes part in the benchmarks: where each program is, and how each benchmark starts it."""
import os
import shutil
import subprocess

BENCH = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(BENCH)
CACHE = os.environ.get("CORUN_CACHE") or os.path.expanduser("~/.cache/corun")  # set by tools/
NPM = os.path.join(CACHE, "npm", "node_modules")
NODEJS = "/usr/share/nodejs"  # where Debian's modules are
COMPILE = ["cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-o"]

# Debian installs lua-http for Lua 5.1 to 5.3 only. It is Lua alone and runs in 5.4, with the C modules
# that it stands on, which are there: so no Lua is faster than corun's because it is another one.
LUA_HTTP = """package.path = package.path .. ";" .. ("DIR/5.3/?.lua;DIR/5.3/?/init.lua;" ..
  "DIR/5.1/?.lua;DIR/5.1/?/init.lua"):gsub("DIR", "/usr/share/lua")"""


class Contender:
    """One program in one benchmark. `scale` lowers the amount of work of a slow one."""

    def __init__(self, name, argv, scale=1.0, slow=False):
        self.name, self.argv, self.scale, self.slow = name, argv, scale, slow


def which(*names):
    for name in names:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/sbin")
        if path:
            return path
    return None


def works(*argv):
    """True if the command ends with status 0: a program is installed with the module it needs."""
    try:
        return subprocess.run(argv, capture_output=True).returncode == 0
    except OSError:
        return False


class Programs:
    """The programs at hand (None where one is missing), and the compiled ones, in folder `out`."""

    def __init__(self, out):
        self.out = out
        self.corun = os.environ.get("CORUN") or os.path.join(ROOT, "build", "corun")
        if not os.access(self.corun, os.X_OK):
            self.corun = None
        bun = os.path.join(NPM, ".bin", "bun")
        self.bun = bun if works(bun, "--version") else which("bun")
        self.node = which("node", "nodejs")
        self.undici = self.node if os.path.isdir(os.path.join(NPM, "undici")) else None
        has_ws = any(os.path.isdir(os.path.join(path, "ws")) for path in (NPM, NODEJS))
        self.ws = self.node if has_ws else None
        self.piscina = self.node if os.path.isdir(os.path.join(NPM, "piscina")) else None
        self.go = which("go")
        self.nginx = which("nginx")
        self.wrk = which("wrk")
        self.sftp = which("sftp")
        self.sshd = which("sshd")
        self.curl = which("curl")
        self.wget = which("wget")
        self.lua = which("lua5.4")
        self.cjson = self.lua if self.lua and works(self.lua, "-lcjson", "-e", "") else None
        self.cqueues = self.lua if self.lua and works(self.lua, "-lcqueues", "-e", "") else None
        self.lua_http = self.lua if works(self.lua, "-e", LUA_HTTP, "-lhttp.client") else None
        # Debian's own first: it is the one that Debian's aiohttp and uvloop are for.
        python = which("/usr/bin/python3", "python3")
        self.python = python
        self.uvloop = python if works(python, "-c", "import uvloop") else None
        self.aiohttp = python if works(python, "-c", "import aiohttp, uvloop") else None

    def versions(self):
        """Yields one line for each program that is installed."""
        asks = [("corun", [self.corun, "-v"]), ("bun", [self.bun, "--version"]),
                ("node", [self.node, "-v"]), ("go", [self.go, "version"]),
                ("lua", [self.lua, "-v"]), ("nginx", [self.nginx, "-v"]),
                ("curl", [self.curl, "-V"]), ("wget", [self.wget, "-V"]),
                ("uvloop", [self.uvloop, "-c", "import uvloop; print(uvloop.__version__)"]),
                ("aiohttp", [self.aiohttp, "-c", "import aiohttp; print(aiohttp.__version__)"]),
                ("lua-http", [self.lua_http, "-e", LUA_HTTP, "-e",
                              "print(require('http.version').version)"]),
                ("ws", [self.ws, "-p", "require('ws/package.json').version"]),
                ("undici", [self.undici, "-p", "require('undici/package.json').version"]),
                ("piscina", [self.piscina, "-p", "require('piscina').version"])]
        for name, argv in asks:
            if argv[0]:
                done = subprocess.run(argv, capture_output=True, text=True, env=environment())
                yield name, (done.stdout + done.stderr).strip().split("\n")[0]

    def c(self, source, *libraries):
        """Compiles a C program of bench/ if it is older than its source; returns its path."""
        return self._build(source, COMPILE, list(libraries))

    def load(self, kind, *libraries):
        """Compiles a load generator in closed loop; returns its path."""
        return self._build(kind + "/load.c", COMPILE, list(libraries), ["closed_loop.c"])

    def module(self, name):
        """The module corun.NAME of ext/, built with the program; None if it was not."""
        path = os.path.join(os.path.dirname(self.corun or ""), "ext", "corun", name + ".so")
        return path if os.path.exists(path) else None

    def extension(self, source):
        """Compiles a module for corun; returns its path."""
        headers = subprocess.run(["pkg-config", "--cflags", "lua5.4"], check=True, text=True,
                                 stdout=subprocess.PIPE).stdout.split()
        command = ["cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC",
                   "-I" + os.path.join(os.path.dirname(BENCH), "include"), *headers, "-o"]
        return self._build(source, command, [])

    def go_program(self, source):
        return self._build(source, [self.go, "build", "-o"], []) if self.go else None

    def _build(self, source, command, libraries, more=()):
        os.makedirs(self.out, exist_ok=True)
        paths = [os.path.join(BENCH, path) for path in (source, *more)]
        target = os.path.join(self.out, source.replace("/", "_").replace(".", "_"))
        headers = [path[:-1] + "h" for path in paths if os.path.exists(path[:-1] + "h")]
        newest = max(os.path.getmtime(path) for path in paths + headers)
        if not os.path.exists(target) or os.path.getmtime(target) < newest:
            subprocess.run(command + [target, *paths] + libraries, check=True)
        return target


def environment():
    """The environment of every contender: bare, so that no setting of the shell slows one of them
    (NODE_EXTRA_CA_CERTS more than doubles Node's start); one processor for Go, npm for Node."""
    env = {k: os.environ[k] for k in ("PATH", "HOME", "LANG", "TMPDIR") if k in os.environ}
    env.update(GOMAXPROCS="1", NODE_PATH=f"{NPM}:{NODEJS}")
    return env


def script(path):
    return os.path.join(BENCH, path)


def contenders(bench, programs):
    """The list of contenders of a benchmark, corun first, those that are missing with argv None."""
    p = programs

    def entry(name, program, *args, **more):
        return Contender(name, [program, *args] if program else None, **more)

    if bench == "tasks":
        return [entry("corun", p.corun, script("core/tasks.lua")),
                entry("bun", p.bun, script("core/tasks.js")),
                entry("node", p.node, script("core/tasks.js")),
                entry("go", p.go_program("core/tasks.go")),
                entry("uvloop", p.uvloop, script("core/tasks.py"), scale=0.1),
                entry("cqueues", p.cqueues, script("core/tasks_cqueues.lua"), scale=0.2)]
    if bench == "sleepers":
        return [entry("corun", p.corun, script("core/sleepers.lua")),
                entry("bun", p.bun, script("core/sleepers.js")),
                entry("node", p.node, script("core/sleepers.js")),
                entry("go", p.go_program("core/sleepers.go")),
                entry("uvloop", p.uvloop, script("core/sleepers.py"), slow=True),
                entry("cqueues", p.cqueues, script("core/sleepers_cqueues.lua"), slow=True)]
    if bench == "startup":
        return [entry("corun", p.corun, script("core/empty.lua")),
                entry("lua5.4", p.lua, "-e", ""),
                entry("bun", p.bun, script("core/empty.js"), scale=0.2),
                entry("node", p.node, script("core/empty.js"), scale=0.05),
                entry("python", p.python, "-c", "", scale=0.1)]
    if bench in ("json548", "json5m"):
        return [entry("corun", p.corun, script("core/decode.lua"), "corun.json"),
                entry("cjson", p.corun, script("core/decode.lua"), "cjson"),
                entry("lua5.4", p.cjson, script("core/decode.lua"), "cjson"),
                entry("bun", p.bun, script("core/decode.js")),
                entry("node", p.node, script("core/decode.js"))]
    if bench in ("echo64", "echo64k", "idle"):
        return [entry("corun", p.corun, script("echo/echo.lua")),
                entry("libuv", p.c("echo/echo_uv.c", "-luv")),
                entry("bun", p.bun, script("echo/echo_bun.js")),
                entry("go", p.go_program("echo/echo.go")),
                entry("node", p.node, script("echo/echo_node.js")),
                entry("uvloop", p.uvloop, script("echo/echo.py")),
                entry("cqueues", p.cqueues, script("echo/echo_cqueues.lua"))]
    if bench in ("tls64", "tls64k"):
        return [entry("corun", p.corun, script("tls/echo.lua")),
                entry("bun", p.bun, script("tls/echo_bun.js")),
                entry("go", p.go_program("tls/echo.go")),
                entry("node", p.node, script("tls/echo_node.js"))]
    if bench == "tlsidle":
        return [entry("corun", p.corun, script("tls/idle.lua"))]
    if bench == "ws125":
        return [entry("corun", p.corun, script("ws/echo.lua")),
                entry("bun", p.bun, script("ws/echo_bun.js")),
                entry("ws", p.ws, script("ws/echo_ws.js"))]
    if bench == "wsidle":
        return [entry("corun", p.corun, script("ws/idle.lua"))]
    if bench in ("scrape", "scrape-tls"):
        return [entry("corun", p.corun, script("scrape/scrape.lua")),
                entry("bun", p.bun, script("scrape/fetch.js")),
                entry("go", p.go_program("scrape/scrape.go")),
                entry("undici", p.undici, script("scrape/undici.js"), scale=0.5),
                entry("aiohttp", p.aiohttp, script("scrape/scrape.py"), scale=0.2),
                entry("lua-http", p.lua_http, "-e", LUA_HTTP, script("scrape/lua_http.lua"),
                      scale=0.1),
                entry("node", p.node, script("scrape/fetch.js"), scale=0.2)]
    if bench == "scrape-hosts":
        return [entry("corun", p.corun, script("hosts/hosts.lua")),
                entry("go", p.go_program("hosts/hosts.go"))]
    if bench == "inflight":
        return [entry("corun", p.corun, script("inflight/inflight.lua")),
                entry("go", p.go_program("inflight/inflight.go")),
                entry("bun", p.bun, script("inflight/inflight.js")),
                entry("node", p.node, script("inflight/inflight.js"))]
    if bench in ("serve-json", "serve-pipelined", "http-idle", "slowloris"):
        return [entry("corun", p.corun, script("serve/json.lua")),
                entry("bun", p.bun, script("serve/json_bun.js")),
                entry("go", p.go_program("serve/json.go")),
                entry("node", p.node, script("serve/json_node.js"))]
    if bench == "serve-threads":
        return [entry("corun", p.corun, script("serve/threads.lua"))]
    if bench == "serve-static":
        return [entry("corun", p.corun, script("serve/static.lua")),
                Contender("nginx", p.nginx and [script("serve/nginx.sh"), p.nginx])]
    if bench == "download":
        return [entry("corun", p.corun, script("download/download.lua")),
                entry("curl", p.curl, "-s", "-f", "-o"),
                entry("corun-sync", p.corun, script("download/synced.lua")),
                entry("curl-sync", p.curl and script("download/synced.sh")),
                entry("wget", p.wget, "-q", "-O"),
                entry("go", p.go_program("download/download.go")),
                entry("bun", p.bun, script("download/download.js"))]
    if bench == "spawn-process":
        return [entry("corun", p.corun, script("process/spawn.lua")),
                entry("go", p.go_program("process/spawn.go")),
                entry("node", p.node, script("process/spawn.js")),
                entry("bun", p.bun, script("process/spawn.js")),
                entry("python", p.python, script("process/spawn.py"))]
    if bench in ("files_read", "files_write"):
        return [entry("corun", p.corun, script("fs/files.lua")),
                entry("node", p.node, script("fs/files.mjs")),
                entry("go", p.go_program("fs/files.go"))]
    if bench.startswith("pool-"):
        return pool_contenders(bench, p, entry)
    if bench == "sftp":
        return [entry("corun", p.module("sftp") and p.corun, script("ext/sftp.lua")),
                entry("sftp", p.sftp and script("ext/sftp.sh"), p.sftp)]
    if bench == "ext-sqlite":
        return [entry("corun", p.module("sqlite") and p.corun, script("ext/sqlite.lua")),
                entry("sqlite", p.c("ext/sqlite.c", "-lsqlite3"))]
    if bench.startswith("ext-"):
        found = [entry("corun", p.corun, script("ext/ext.lua"), p.extension("ext/noop.c"))]
        if bench != "ext-wake":
            found.append(entry("libuv", p.c("pool/queue_work.c", "-luv")))
        return found
    raise KeyError(bench)


def pool_contenders(bench, p, entry):
    slow = {"pool-map": 0.1}.get(bench, 0.2)  # one message for each call
    found = [entry("corun", p.corun, script("pool/pool.lua")),
             entry("piscina", p.piscina, script("pool/piscina.mjs"), scale=slow),
             entry("bun", p.bun, script("pool/bun.mjs"))]
    if bench in ("pool-trip", "pool-flight"):
        found.insert(1, entry("libuv", p.c("pool/queue_work.c", "-luv")))
    if bench != "pool-worker":
        executors = script("pool/executors.py")
        found += [entry("corun-proc", p.corun, script("pool/pool.lua"), "processes", scale=0.3),
                  entry("threads", p.python, executors, "threads", scale=0.2),
                  entry("processes", p.python, executors, "processes", scale=0.05)]
    return found

-- SPDX-License-Identifier: MIT
-- The scripts of scripts/: each runs and prints what it should. All in children.

local corun = require "corun"
local fs = require "corun.fs"
local net = require "corun.net"
local process = require "corun.process"
local program = dofile("tests/fixtures/cli/program.lua")

-- The lines that a script prints; it must end well and say nothing else.
local function lines_of(name, ...)
  local r = program.run{"--timeout=60", "scripts/" .. name .. ".lua", ...}
  assert.equal("", r.err)
  assert.equal(0, r.status)
  local lines = {}
  for line in r.out:gmatch("[^\n]+") do lines[#lines + 1] = line end
  return lines
end

describe("scripts/count.lua", function()
  it("counts three things at once, in a second", function()
    local lines = lines_of("count")
    assert.equal(13, #lines)
    local seen = {}
    for i = 1, 12 do
      local time, what = lines[i]:match("^(%d+%.%d%d) s  (%a+ %d)$")
      assert(time, lines[i])
      seen[what] = true
      assert(tonumber(time) >= (tonumber(what:sub(-1)) - 1) * 0.25 - 0.01, lines[i])
    end
    for _, name in ipairs{"apples", "pears", "plums"} do
      for n = 1, 4 do assert(seen[("%s %d"):format(name, n)]) end
    end
    local total = tonumber(lines[13]:match("^(%d+%.%d%d) s  done$"))
    assert(total >= 0.99 and total < 2.5, lines[13]) -- one after the other would take 3 s
  end)
end)

describe("scripts/chess.lua #heavy", function()
  it("plays 24 boards in far less time than one after the other takes", function()
    local lines = lines_of("chess", "--moves=6")
    assert.equal(3, #lines)
    local times = {}
    for i, how in ipairs{"one board", "24, one by one", "24, at once"} do
      local got, time = lines[i]:match("^(.-) +(%d+%.%d) s here, +%d+%.%d h of chess$")
      assert.equal(how, got)
      times[i] = tonumber(time)
    end
    assert(times[1] >= 0.3 and times[2] >= 8 and times[3] >= 0.7, table.concat(lines, "\n"))
    assert(times[3] < times[2] / 3, table.concat(lines, "\n"))
  end)
end)

describe("scripts/pipeline.lua", function()
  local text = ("the quick brown fox jumps over the lazy dog\n"):rep(300) .. "the end of the fox\n"

  it("counts words, whatever the number of workers", function()
    local path = os.tmpname()
    local f = assert(io.open(path, "w"))
    f:write(text)
    f:close()
    for _, workers in ipairs{1, 7} do
      assert.same({"  602  the", "  301  fox", "  300  brown"},
        lines_of("pipeline", "--top=3", "--workers=" .. workers, path))
    end
    os.remove(path)
  end)

  it("counts its own words without a file", function()
    assert.matches("^ +%d+  end$", lines_of("pipeline")[1])
  end)
end)

describe("scripts/ticker.lua", function()
  it("keeps time, skips what was missed, works beside", function()
    local lines = lines_of("ticker")
    local ticks = {}
    for _, line in ipairs(lines) do
      local time, tick = line:match("^(%d+%.%d) s  tick (%d+)$")
      if tick then
        ticks[#ticks + 1] = tonumber(tick)
        assert(tonumber(time) >= (tonumber(tick) - 1) * 0.2 - 0.06, line)
      end
    end
    assert.equal(1, ticks[1])
    assert(ticks[#ticks] >= 8)
    local set = {}
    for i, tick in ipairs(ticks) do
      assert(i == 1 or tick > ticks[i - 1])
      set[tick] = true
    end
    assert.is_nil(set[5])
    local all = table.concat(lines, "\n")
    assert(all:find("the other task is done", 1, true) and all:find("that took long", 1, true), all)
  end)
end)

describe("scripts/tail.lua", function()
  local path = os.tmpname()
  teardown(function() os.remove(path) end)

  local function put(text)
    local f = assert(io.open(path, "w"))
    f:write(text)
    f:close()
  end

  it("prints the last lines, as tail does", function()
    local long = {}
    for i = 1, 30000 do long[i] = "line " .. i end
    long = table.concat(long, "\n")
    for _, text in ipairs{"", "\n", "one", "1\n2\n3\n", "1\n2\n3", "\n\n\n", long} do
      put(text)
      for _, n in ipairs{0, 1, 2, 10, 20000} do
        local r = program.run{"scripts/tail.lua", "-n", tostring(n), path}
        assert.equal("", r.err)
        assert.equal(program.sh(("tail -n %d %s"):format(n, path)).out, r.out)
      end
    end
  end)

  it("follows what is added, a new file of the name, and one that was cut", function()
    put("old\n")
    local r = program.sh(([[
      f=%s; out=$f.out
      wait_for() {
        i=0; until grep -q "$1" $out || [ $i -gt 500 ]; do sleep 0.02; i=$((i+1)); done
      }
      "$CORUN" --timeout=60 scripts/tail.lua -f $f >$out & pid=$!
      wait_for old; echo added >>$f
      wait_for added; echo last >>$f; mv $f $f.1; echo rotated >$f
      wait_for rotated; echo more >>$f
      wait_for more; : >$f; echo cut >>$f
      wait_for cut; kill -INT $pid; wait $pid
      cat $out; rm -f $out $f.1]]):format(path))
    assert.equal("old\nadded\nlast\nrotated\nmore\ncut\n", r.out)
  end)

  it("says what is wrong", function()
    local r = program.run{"scripts/tail.lua", path .. ".none"}
    assert.equal(1, r.status)
    assert.equal("tail.lua: open " .. path .. ".none: no such file or directory (ENOENT)\n", r.err)
    r = program.run{"scripts/tail.lua", "/dev/null"}
    assert.equal(1, r.status)
    assert.matches("^tail.lua: seek /dev/null: [^\n]*%(ESPIPE%)\n$", r.err)
  end)
end)

describe("scripts/scrape.lua #heavy", function()
  local function scrape(...)
    return program.run{"--timeout=60", "scripts/scrape.lua", ...}
  end

  it("fetches what can be had, and says of each page that failed why", function()
    local r = scrape("--limit=32")
    local report = r.out:gsub("\n(page %d+): [^\n]+(%(%u+%))", "\n%1 %2")
    assert.equal([[
kind     items     mean
cocoa       54    32.98
coffee      54    22.98
tea         54    12.98
page 7 (EHTTP)
page 11 (EJSON)
page 23 (ETIMEDOUT)
page 32 (EHTTP)
page 41 (EJSON)
page 57 (EHTTP)
]], report)
    assert.matches("^pages: 60/60 %(100%%%), %d+.*/s, 0:%d%d\n$", r.err)
    assert.equal(0, r.status)
  end)

  it("ends with what it has when the deadline has passed", function()
    local r = scrape("--limit=1", "--deadline=0.4")
    assert.matches("^kind     items     mean\ncocoa        %d ", r.out)
    assert.matches("\ntimeout: 0%.4 s passed %(ETIMEDOUT%); %d+ pages not fetched\n$", r.out)
    assert.equal(0, r.status)
  end)

  it("scrapes the API that it is given, and fails when nothing came", function()
    local r = scrape("--pages=2", "http://127.0.0.1:1/items")
    assert.matches("^kind +items +mean\npage 1: [^\n]+%(ECONNREFUSED%)\npage 2: [^\n]+\n$", r.out)
    assert.equal(1, r.status)
  end)

  it("refuses an option that it does not know", function()
    local r = scrape("--page=3")
    assert.equal("", r.out)
    assert.matches('^scrape.lua: unknown option "%-%-page=3" %(did you mean "%-%-pages"', r.err)
    assert.equal(2, r.status)
  end)
end)

describe("scripts/watch_run.lua", function()
  it("runs its command again when a file changes, and stops the one that still runs", function()
    local dir = os.tmpname()
    os.remove(dir)
    assert(process.run({"mkdir", dir}, {check = true}))
    local _ <close> = corun.defer(function() process.run{"rm", "-r", dir} end)
    local p <close> = assert(process.spawn({program.path, "scripts/watch_run.lua", "--dir=" .. dir,
      "--pattern=%.txt$", "--runs=2", "--", "sh", "-c",
      "test -e $0/b.txt && echo again && exit 3; echo $$; exec sleep 1000", dir},
      {stdin = "null", stderr = "stdout"}))
    local first = math.tointeger(p.stdout:read("n"))
    assert.equal("", p.stdout:read())
    assert(process.run({"touch", dir .. "/a.lua", dir .. "/b.txt"}, {check = true}))
    assert.equal("watch_run: " .. dir .. "/b.txt", p.stdout:read())
    assert.is_nil(io.open(("/proc/%d/stat"):format(first)))
    assert.equal("again", p.stdout:read())
    assert.matches("^watch_run: exit status 3 after %d", p.stdout:read())
    assert.is_nil(p.stdout:read())
    assert.is_true(p:wait().ok)
  end)
end)

describe("scripts/watch_run.lua", function()
  it("refuses what is no pattern before it runs anything", function()
    local r = program.run{"scripts/watch_run.lua", "--pattern=[", "--", "echo", "x"}
    assert.equal("", r.out)
    assert.matches("^watch_run.lua: %-%-pattern=%[: malformed pattern", r.err)
    assert.equal(2, r.status)
  end)

  it("refuses a directory that is not there before it runs anything", function()
    local r = program.run{"scripts/watch_run.lua", "--dir=/nonexistent", "--", "echo", "x"}
    assert.equal("", r.out)
    assert.equal("watch_run.lua: watch /nonexistent: no such file or directory (ENOENT)\n", r.err)
    assert.equal(1, r.status)
  end)
end)

describe("scripts/tcp_chat.lua", function()
  it("says where there is no room", function()
    local r = program.run{"scripts/tcp_chat.lua", "--join=127.0.0.1:1"}
    assert.equal("tcp_chat.lua: connect 127.0.0.1:1: connection refused (ECONNREFUSED)\n", r.err)
    assert.equal(1, r.status)
  end)

  it("lets people talk in one process", function()
    assert.same({"* ann is here", "* bob is here", "bob: hello from bob",
      "* bob has left", "* cid is here", "cid: hello from cid", "* cid has left"},
      lines_of("tcp_chat"))
  end)

  it("is a room that others join, and tells when they leave", function()
    local room <close> = assert(process.spawn{program.path, "scripts/tcp_chat.lua",
      "--listen=127.0.0.1:0"})
    local address = room.stdout:read("l"):match("^the room is at (.+)$")
    local people = {}
    for i, name in ipairs{"eve", "fay"} do
      people[i] = assert(process.spawn{program.path, "scripts/tcp_chat.lua", "--join=" .. address,
        name, stdin = "pipe"})
      assert.equal(("* %s is here"):format(name), people[i].stdout:read("l"))
    end
    assert.equal("* fay is here", people[1].stdout:read("l"))
    people[2].stdin:write("good evening\n")
    for _, p in ipairs(people) do assert.equal("fay: good evening", p.stdout:read("l")) end
    people[2]:close()
    assert.equal("* fay has left", people[1].stdout:read("l"))
    people[1]:close()
  end)
end)

describe("scripts/port_scan.lua", function()
  it("finds the ports that answer, and what they say", function()
    local r = program.run{"--timeout=60", "scripts/port_scan.lua", "--timeout=3"}
    assert.equal(0, r.status)
    assert.matches("%d+ open  220 mail is here\n", r.out)
    assert.matches("%d+ open  SSH%-2%.0%-none\n", r.out)
    assert.matches("\n%d+ open, %d+ refused, %d+ without an answer, in %d+%.%d%d s\n$", r.out)
    assert.matches("^ports: ", r.err)
  end)

  it("scans the range that it is given", function()
    local r = program.run{"scripts/port_scan.lua", "--host=127.0.0.1", "1-3"}
    assert.matches("^0 open, 3 refused, 0 without an answer, in", r.out)
  end)

  it("takes no port that it could not try for a silent one", function()
    local r = program.run{"scripts/port_scan.lua", "--host=nosuch.invalid", "80-81"}
    assert.matches("^0 open, 0 refused, 0 without an answer, in", r.out)
    assert.matches("\nport_scan.lua: 2 could not be tried: connect nosuch.invalid:8[01]: [^\n]+\n$",
      r.err)
    assert.equal(1, r.status)
  end)

  it("refuses what are no ports, and to guess those of another machine", function()
    for _, words in ipairs{{"http"}, {"80,443"}, {"0"}, {"2-1"}, {"1-65536"}, {"--host=::1"}} do
      local r = program.run{"scripts/port_scan.lua", table.unpack(words)}
      assert.equal("", r.out)
      assert.matches("^port_scan.lua: [^\n]*%(%-%-help tells more%)\n$", r.err)
      assert.equal(2, r.status)
    end
  end)
end)

describe("scripts/load.lua", function()
  -- Runs it against a server of ours; `handler` is asked for each request.
  local function load(handler, ...)
    local server <close> = assert(corun.http.serve("127.0.0.1:0", handler))
    local argv = {program.path, "--timeout=60", "scripts/load.lua", ...}
    argv[#argv + 1] = ("http://%s/x"):format(server:address())
    return assert(process.run(argv))
  end

  -- The seconds of a latency in the summary.
  local function latency(out, name)
    local n, unit = out:match("%f[%w]" .. name .. " ([%d.]+) (%a+)")
    return tonumber(n) * ({s = 1, ms = 1e-3, us = 1e-6})[unit]
  end

  it("sends so many requests, and counts what came back", function()
    local got = {}
    local r = load(function(req)
      got[#got + 1] = {req.method, req.headers["x-a"], req.body}
      return {status = #got % 4 == 0 and 503 or 200, body = "12345"}
    end, "-n", "40", "-c", "3", "-m", "PUT", "-H", "X-A: b: c", "--body=text")
    assert.equal("", r.stderr)
    assert.equal(0, r.code)
    assert.equal(40, #got)
    for _, request in ipairs(got) do assert.same({"PUT", "b: c", "text"}, request) end
    assert.matches("^PUT http://127%.0%.0%.1:%d+/x, 3 connections\n", r.stdout)
    assert.matches("\nrequests   40 answered in [%d.]+ m?s, [%d,]+/s\n", r.stdout)
    assert.matches("\nreceived   %d[%d.]* K?B, ", r.stdout)
    assert.matches("\nstatuses   200: 30, 503: 10\nlatency    p50 ", r.stdout)
    local drawn = 0
    for n, bar in r.stdout:gmatch("\n +[%d.]+ %a?s +(%d+)  (#+)%f[\n]") do
      drawn = drawn + tonumber(n)
      assert(#bar <= 50, bar)
    end
    assert.equal(40, drawn)
    assert(latency(r.stdout, "p50") <= latency(r.stdout, "max"))
  end)

  it("sends a body from a file by POST", function()
    local path = os.tmpname()
    local f = assert(io.open(path, "w"))
    f:write("of a file")
    f:close()
    local got
    local r = load(function(req)
      got = req.method .. " " .. req.body
      return ""
    end, "-n1", "--body=@" .. path)
    os.remove(path)
    assert.equal(0, r.code)
    assert.equal("POST of a file", got)
  end)

  it("keeps a rate, and ends after its time", function()
    local count, start = 0, corun.now()
    local r = load(function()
      count = count + 1
      return ""
    end, "-d", "0.5", "--rate=100", "-c", "4")
    assert.equal(0, r.code)
    assert(corun.now() - start >= 0.49)
    assert.matches("\nlatency .* max [%d.]+ %a+, from when they were due\n", r.stdout)
    assert.equal(50, count + tonumber(r.stdout:match("\nunsent +(%d+) that were due") or 0))
  end)

  it("counts the wait of those that were due while the server stalled", function()
    local is_first = true
    local r = load(function()
      if is_first then
        is_first = false
        corun.sleep(1)
      end
      return ""
    end, "-n", "50", "--rate=100", "-c", "1")
    assert.matches("\nrequests   50 answered in ", r.stdout)
    assert(latency(r.stdout, "p50") >= 0.5, r.stdout) -- that of the stalled one alone: p50 is short
    assert(latency(r.stdout, "max") >= 0.99, r.stdout)
  end)

  it("tells errors by their kind, and fails", function()
    local n = 0
    local r = load(function()
      n = n + 1
      if n % 2 == 0 then corun.sleep(10) end
      return ""
    end, "-n", "4", "-c", "1", "--timeout=0.8")
    assert.equal(1, r.code)
    assert.matches("\nstatuses   200: 2\nerrors     ETIMEDOUT %(read%): 2\n", r.stdout)
    r = assert(process.run{program.path, "scripts/load.lua", "-n3", "http://127.0.0.1:1/"})
    assert.equal(1, r.code)
    assert.matches("\nrequests   0 answered in [^\n]*\nreceived   0.00 B, 0.00 B/s\n" ..
      "errors     ECONNREFUSED %(connect%): 3\n$", r.stdout)
  end)

  it("keeps nothing of what it gets, and hears when an answer is cut #heavy", function()
    local size = 64 << 20
    local server <close> = assert(net.serve("127.0.0.1:0", function(s)
      local head = s:read_until("\r\n\r\n")
      if not head then return end
      s:write(("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"):format(size))
      local piece = ("x"):rep(1 << 20)
      for _ = 1, (head:find("/cut", 1, true) and size // 2 or size) >> 20 do s:write(piece) end
    end))
    local url = "http://" .. server:address()
    -- Linux counts the most memory that this program had as its child's too; of a grandchild not.
    local r = assert(process.run{"/usr/bin/python3", "-c", [[import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(code)]], program.path, "--timeout=60", "scripts/load.lua", "-c3", "-n3", url .. "/all"})
    assert.equal(0, r.code, r.stderr)
    assert.matches("\nrequests   3 answered in ", r.stdout)
    assert.matches("\nreceived   20[12] MB, ", r.stdout)
    assert.is_true(tonumber(r.stdout:match("\npeak (%d+)\n$")) < 2 * size, r.stdout)
    r = assert(process.run{program.path, "--timeout=60", "scripts/load.lua", "-c3", "-n3",
      url .. "/cut"})
    assert.equal(1, r.code)
    assert.matches("\nerrors     EOF %(read%): 3\n", r.stdout)
  end)

  it("says what is wrong before it sends anything", function()
    for _, case in ipairs{
      {"ftp://x/", "the scheme is not http or https"},
      {"-H", "X", "http://127.0.0.1:1/", "--header must be 'Name: value', got 'X'"},
      {"-H", "Host : a", "http://127.0.0.1:1/", "--header must be"},
      {"-H", "Content-Length: 3", "http://127.0.0.1:1/", "is set by corun itself"},
      {"--method=A B", "http://127.0.0.1:1/", "the method must be a token"},
      {"--body=@/nowhere", "http://127.0.0.1:1/", "ENOENT"},
      {"-c0", "http://127.0.0.1:1/", "at least 1"}, {"missing argument URL"},
    } do
      local message = table.remove(case)
      local r = program.run{"--timeout=60", "scripts/load.lua", table.unpack(case)}
      assert.equal("", r.out)
      assert.matches("^load.lua: ", r.err)
      assert(r.err:find(message, 1, true), r.err)
      assert.equal(2, r.status)
    end
  end)

  it("prints what there is on Ctrl-C", function()
    local seen = corun.event()
    local server <close> = assert(corun.http.serve("127.0.0.1:0", function(req)
      if req.path == "/" then return "" end
      seen:set()
      corun.sleep(60)
    end))
    local p <close> = assert(process.spawn{program.path, "scripts/load.lua", "-c2", "-d60",
      ("http://%s/slow"):format(server:address())})
    seen:wait()
    p:kill("INT")
    local out = p.stdout:read("a")
    assert.matches("\nrequests   0 answered in [^\n]*\nreceived [^\n]*\nunder way  [12] when it " ..
      "was interrupted\n$", out)
    assert.equal("SIGINT", p:wait().signal)
  end)
end)

describe("scripts/download.lua", function()
  local support = require("tests.spec.support.http")
  local text = ("0123456789abcdef"):rep(200000)

  local function answer(head, o)
    local path, range = head:match("^GET (%S+)"), head:match("range: bytes=(%S+)")
    if path == "/a/x.txt" then return support.ok("hello") end
    if path ~= "/a/file.bin" then
      return "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    end
    local first, last = (range or "0-"):match("(%d+)%-(%d*)")
    first, last = tonumber(first), tonumber(last) or #text - 1
    o.has_cut = first > 0
    local body = text:sub(first + 1, last + 1)
    o.sent = (o.sent or 0) + #body
    return ("HTTP/1.1 %d X\r\netag: \"%d\"\r\ncontent-range: bytes %d-%d/%d\r\n"
      .. "content-length: %d\r\n\r\n%s"):format(range and 206 or 200, o.version or 1, first, last,
      #text, #body, o.is_cut and first > 0 and body:sub(1, -2) or body)
  end

  -- A server that gives ranges of /a/file.bin; without the last byte while `o.is_cut`.
  local function serve(o)
    return support.raw(function(stream)
      repeat
        local head = support.read_request(stream)
      until not head or not stream:write(answer(head, o)) or o.is_cut and o.has_cut
    end)
  end

  -- Run the script in `folder`; what it gave.
  local function run(folder, ...)
    return assert(process.run({program.path, "--timeout=60", fs.realpath("scripts/download.lua"),
      ...}, {cwd = folder:path()}))
  end

  it("saves files by their names or where it is told, and verifies them", function()
    local server <close>, url = serve({})
    local folder <close> = assert(fs.temp{dir = true})
    url = url .. "/a/"
    local digest = require("corun.codec").hash("sha256"):update(text):hex()
    local r = run(folder, url .. "file.bin", url .. "x.txt")
    assert.equal(0, r.code, r.stderr)
    assert.matches("file.bin: 3.2 MB in %d+%.%d s, %d+%.%d MB/s\n", r.stdout)
    assert.matches("file.bin", r.stderr, 1, true) -- its bar
    assert.is_true(fs.read(folder:path() .. "/file.bin") == text)
    assert.equal("hello", fs.read(folder:path() .. "/x.txt"))
    r = run(folder, "-o", "deep/er/", "-q", "--fsync", url .. "x.txt")
    assert.equal(0, r.code, r.stderr)
    assert.equal("", r.stderr)
    assert.equal("hello", fs.read(folder:path() .. "/deep/er/x.txt"))
    r = run(folder, "-o", "other", "--sha256", digest, url .. "file.bin")
    assert.equal(0, r.code, r.stderr)
    assert.matches("^other: .*, SHA%-256 as it should be\n$", r.stdout)
    r = run(folder, "-o", "x.txt", "--sha256", ("0"):rep(64), url .. "file.bin")
    assert.equal(1, r.code)
    assert.matches("download: http://.*: the SHA%-256 is " .. digest .. ", not 0+", r.stderr)
    assert.equal("hello", fs.read(folder:path() .. "/x.txt"))
    assert.same({"deep", "file.bin", "other", "x.txt"}, fs.list(folder:path()))
    server:close()
  end)

  it("goes on where it was cut", function()
    local o = {is_cut = true}
    local server <close>, url = serve(o)
    local folder <close> = assert(fs.temp{dir = true})
    url = url .. "/a/file.bin"
    local r = run(folder, "--retries=0", "-q", url)
    assert.equal(1, r.code)
    assert.equal("", r.stdout)
    assert.same({"file.bin.part", "file.bin.part.json"}, fs.list(folder:path()))
    o.is_cut, o.sent = false, 0
    r = run(folder, "--retries=0", url)
    assert.equal(0, r.code, r.stderr)
    assert.is_true(o.sent < #text) -- what was there did not come again
    assert.matches("^file.bin: 3.2 MB %(%d%.%d MB were missing%) in ", r.stdout)
    assert.is_true(fs.read(folder:path() .. "/file.bin") == text)
    o.is_cut = true
    assert.equal(1, run(folder, "--retries=0", "-q", url).code)
    o.is_cut, o.version = false, 2 -- all of it comes again
    r = run(folder, "--retries=0", "-q", url)
    assert.equal(0, r.code, r.stderr)
    assert.matches("^file.bin: 3.2 MB in ", r.stdout)
    server:close()
  end)

  it("says what went wrong, and saves the others", function()
    local server <close>, url = serve({})
    local folder <close> = assert(fs.temp{dir = true})
    url = url .. "/a/"
    local r = run(folder, "-q", (url:gsub("//", "//bob:secret@")) .. "none", url .. "x.txt")
    assert.equal(1, r.code)
    assert.matches("^x.txt: ", r.stdout)
    assert.equal(("download: %snone: the server answered 404 (EHTTP)\n"):format(url),
      r.stderr)
    r = run(folder, "-q", "-o", "x.txt/y", url .. "x.txt")
    assert.equal(1, r.code)
    assert.matches(("^download: %sx.txt: .*x.txt/y.*%%(E%%u+%%)\n$"):format(url), r.stderr)
    assert.same({"x.txt"}, fs.list(folder:path()))
    for message, words in pairs{
      ["--sha256 is for one file"] = {"--sha256=" .. ("0"):rep(64), url .. "a", url .. "b"},
      ["--sha256 must be 64 hexadecimal digits"] = {"--sha256=12", url .. "a"},
      ["would both be a"] = {url .. "a", url .. "b/a"},
      ["x.txt is no folder for several files"] = {"-o", "x.txt", url .. "a", url .. "b"},
      ["http"] = {"http://["},
      ["URL"] = {},
    } do
      r = run(folder, table.unpack(words))
      assert.equal(2, r.code, message)
      assert.matches(message, r.stderr, 1, true)
      assert.equal("", r.stdout)
    end
    r = run(folder, "--help")
    assert.equal(0, r.code)
    assert.matches("^usage: .*%-%-parts", r.stdout)
    server:close()
  end)
end)

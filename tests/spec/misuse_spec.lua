-- SPDX-License-Identifier: MIT
-- Wrong arguments of methods: the message has the line of the script, the method's name however it
-- was called, and the number that the caller counts, without self.
local corun = require "corun"
local codec = require "corun.codec"
local fs = require "corun.fs"
local net = require "corun.net"
local process = require "corun.process"

-- Call fn(...) through pcall, and as a tail call of a function.
local function assert_misuse(message, fn, ...)
  local function tail(...) return fn(...) end
  for _, call in ipairs{fn, tail} do
    local ok, err = pcall(call, ...)
    assert.is_false(ok)
    assert.equal("string", type(err))
    assert.equal(message, (err:gsub("^tests/spec/misuse_spec%.lua:%d+: ", "", 1)))
    assert.matches("^tests/spec/misuse_spec%.lua:%d+: ", err)
  end
end

-- Each method with arguments (n: how many) and what is wrong with them.
local function assert_all(object, cases)
  for _, case in ipairs(cases) do
    local name, args, position, why = case[1], case[2], case[3], case[4]
    assert_misuse(("bad argument #%d to '%s' (%s)"):format(position, name, why),
      object[name], object, table.unpack(args, 1, args.n or #args))
  end
end

local FRACTION = "number has no integer representation"
local READERS = {
  {"read", {1.5}, 1, FRACTION},
  {"read", {-1}, 1, "0 or more expected, got -1"},
  {"read", {print}, 1, "string expected, got function"},
  {"recv", {1.5}, 1, FRACTION},
  {"recv", {0}, 1, "a positive integer expected, got 0"},
  {"read_exactly", {}, 1, "number expected, got no value"},
  {"read_exactly", {"x"}, 1, "number expected, got string"},
  {"read_exactly", {-1}, 1, "0 or more expected, got -1"},
  {"read_until", {}, 1, "string expected, got no value"},
  {"lines", {1.5}, 1, FRACTION},
}
local WRITERS = {
  {"write", {nil, n = 1}, 1, "string expected, got nil"},
  {"write", {"x", 1, print, "y"}, 3, "string expected, got function"},
}

describe("wrong arguments name the method and their place", function()
  it("of streams", function()
    local server <close> = assert(net.serve("127.0.0.1:0", function(s) s:recv() end))
    local s <close> = assert(net.connect(server:address()))
    assert_all(s, READERS)
    assert_all(s, WRITERS)
    assert_all(s, {{"configure", {5}, 1, "table expected, got number"}})
    assert_all(corun.stdin, READERS)
    local p <close> = assert(process.spawn{"cat"})
    assert_all(p.stdout, READERS)
    assert_all(p.stdin, WRITERS)
  end)

  it("of files", function()
    local f <close> = assert(fs.temp())
    assert_all(f, READERS)
    assert_all(f, WRITERS)
    assert_all(f, {
      {"read", {"l", "x"}, 2, 'unknown format "x"'},
      {"read", {"l", 1.5, "n"}, 2, "unknown format 1.5"},
      {"lines", {"l", "L", "x"}, 3, 'unknown format "x"'},
      {"lines", {"n", "a"}, 2, 'unknown format "a"'},
      {"read", {"l", nil, "l"}, 2, "unknown format nil"},
      {"seek", {"SET"}, 1, "invalid option 'SET'"},
      {"seek", {"set", 1.5}, 2, FRACTION},
      {"setvbuf", {}, 1, "string expected, got no value"},
      {"setvbuf", {"full", -1}, 2, "0 or more expected, got -1"},
      {"truncate", {-1}, 1, "0 or more expected, got -1"},
    })
  end)

  it("of udp sockets", function()
    local u <close> = assert(net.udp())
    assert_all(u, {
      {"send", {{}}, 1, "string expected, got table"},
      {"recv", {1.5}, 1, FRACTION},
      {"recv", {0}, 1, "a positive integer expected, got 0"},
      {"join", {}, 1, "string expected, got no value"},
      {"join", {"239.1.2.3", {}}, 2, "string expected, got table"},
      {"leave", {print}, 1, "string expected, got function"},
    })
  end)

  it("of hashes and codecs, scopes and channels", function()
    assert_all(codec.hash("md5"), {{"update", {5}, 1, "string expected, got number"}})
    assert_all(codec.gzip.encoder(), {{"update", {}, 1, "string expected, got no value"}})
    assert_all(codec.zstd.decoder(), {{"update", {{}}, 1, "string expected, got table"}})
    corun.scope(function(s)
      assert_all(s, {{"spawn", {5}, 1, "function expected, got number"}})
    end)
  end)

  it("of functions", function()
    assert_misuse("bad argument #1 to 'sleep' (number expected, got string)", corun.sleep, "x")
    assert_misuse("bad argument #1 to 'await' (task expected, got nil)", corun.await, nil)
    assert_misuse("bad argument #1 to 'resolve' (string expected, got table)", net.resolve, {})
    assert_misuse("walk takes a path, got number", fs.walk, 5)
    assert_misuse("glob takes a pattern, got nil", fs.glob)
    assert_misuse("a pattern must not contain a zero byte", fs.glob, "a\0b")
    assert_misuse('bad mode "a" for open: "r", "w" or "a", then "+" and "b", then "x" after "w"',
      fs.open, "x", "a\0b")
    assert_misuse("the arguments of run must be a list without holes", process.run,
      {"echo", "a", [5] = "lost"})
    assert_misuse("the arguments of spawn must be a list without holes", process.spawn,
      {"echo", [0] = "lost"})
    local closed = assert(io.tmpfile())
    closed:close()
    assert_misuse('option "stdin" for run is a closed file', process.run, {"cat", stdin = closed})
    assert_misuse("run needs a program to run", process.run, {})
    assert_misuse('item 2 of "input" for run must be a string, got table', process.run, {"cat"},
      {input = {"a", {}, "b"}})
    assert_misuse('item 1 of "input" for run must be a string, got nil', process.run, {"cat"},
      {input = {n = 1}})
    assert_misuse('the "n" of "input" for run must be an integer', process.run, {"cat"},
      {input = {n = "x"}})
    assert_misuse("run takes a list, a function or a channel as source, got boolean", process.run,
      {"cat"}, {input = true})
    assert_misuse("bad argument #1 to 'exists' (string expected, got nil)", fs.exists)
    assert_misuse("bad argument #1 to 'watch' (string expected, got table)", fs.watch, {})
    assert_misuse('bad mode "wz" for open: "r", "w" or "a", then "+" and "b", then "x" after "w"',
      fs.open, "/", "wz")
    assert_misuse("bad argument #2 to 'hmac' (string expected, got no value)", codec.hmac, "md5")
  end)
end)

describe("wrong numbers", function()
  it("are shown as what they are", function()
    local DURATION, COUNT = "a number of seconds (0 or more)", "a positive integer"
    for _, case in ipairs{
      {corun.scope, "scope", "timeout", DURATION, print},
      {corun.scope, "scope", "limit", COUNT, print},
      {corun.map, "map", "limit", COUNT, {}, print},
      {corun.select, "select", "timeout", DURATION, {}},
      {net.connect, "connect", "timeout", DURATION, "127.0.0.1:1"},
      {net.serve, "serve", "limit", COUNT, "127.0.0.1:0", print},
      {fs.read, "read", "max", COUNT, "/etc/hosts"},
      {process.run, "run", "timeout", DURATION, {"true"}},
      {corun.backoff, "backoff", "tries", COUNT},
    } do
      local fn, op, name, want = table.unpack(case, 1, 4)
      for shown, value in pairs{NaN = 0 / 0, ["-1"] = -1, ["-inf"] = -math.huge} do
        local args = table.pack(table.unpack(case, 5))
        args[args.n + 1] = {[name] = value}
        assert_misuse(('option "%s" for %s must be %s, got %s'):format(name, op, want, shown),
          fn, table.unpack(args, 1, args.n + 1))
      end
    end
    local nan = math.abs(0 / 0) -- NaN with the other sign
    for _, value in ipairs{nan, -nan} do
      assert_misuse("every takes a finite number of seconds above 0, got NaN", corun.every, value)
      assert_misuse("the number of limiter must be a finite number above 0, got NaN", corun.limiter,
        value, 1)
      assert_misuse('option "total" for progress must be a number (0 or more), got NaN',
        corun.progress, {1}, {total = value})
      assert_misuse('mode for chmod must be octal digits such as "644" or an integer up to 4095, '
        .. "got NaN", fs.chmod, "/no/such", value)
      assert_misuse('option "mode" for listen must be permissions such as "660", got NaN',
        net.listen, "unix:/no/such", {mode = value})
      assert_misuse("bad argument #2 to 'utime' (the time is out of range)", fs.utime, "/no/such",
        value)
    end
    assert_misuse('option "mode" for listen must be permissions such as "660", got 1.5',
      net.listen, "unix:/no/such", {mode = 1.5})
    assert_misuse('option "timeout" for connect must be a number of seconds (0 or more), got "5"',
      net.connect, "127.0.0.1:1", {timeout = "5"})
  end)
end)

describe("a method without its object", function()
  it("says which, and what it needs", function()
    local server <close> = assert(net.serve("127.0.0.1:0", print))
    local listener <close> = assert(net.listen("127.0.0.1:0"))
    local s <close> = assert(net.connect(listener:address()))
    local u <close> = assert(net.udp())
    local f <close> = assert(fs.temp())
    local p <close> = assert(process.spawn{"cat"})
    local folder <close> = assert(fs.temp{dir = true})
    local watch <close> = assert(fs.watch(folder:path()))
    for _, case in ipairs{
      {s, "stream", "read", "recv", "read_exactly", "read_until", "lines", "write", "configure",
        "close", "shutdown", "peer", "address", "starttls", "tls"},
      {f, "file", "path", "close"},
      {f, "stream", "write", "seek", "setvbuf", "truncate", "sync", "flush", "stat", "recv"},
      {listener, "listener", "accept", "address", "close"},
      {u, "udp socket", "send", "recv", "connect", "join", "leave", "address", "peer", "close"},
      {server, "server", "address", "close", "wait", "set_tls"},
      {p, "process", "wait", "kill", "resize", "close"},
      {codec.hash("md5"), "hash", "update", "hex", "bytes"},
      {corun.channel(), "channel", "send", "recv", "try_send", "try_recv", "close"},
      {corun.mutex(), "mutex", "acquire", "try_acquire"},
      {corun.event(), "event", "set", "clear", "is_set", "wait"},
      {corun.async(print), "task", "cancel", "done", "status"},
      {corun.limiter(1, 1), "limiter", "wait"},
      {corun.every(1), "corun.every", "close"},
      {corun.backoff(), "corun.backoff", "reset"},
      {watch, "watch", "recv", "close"},
      {folder, "temporary directory", "path", "close"},
      {corun.progress.bar{quiet = true}, "progress bar", "add", "set", "close"},
    } do
      local object, what = case[1], case[2]
      for i = 3, #case do
        assert_misuse(("calling '%s' on bad self (%s expected, got table)"):format(case[i], what),
          object[case[i]], {})
      end
    end
    assert_misuse("calling 'path' on bad self (file expected, got channel)", f.path,
      corun.channel())
    assert_misuse("calling 'close' on bad self (file expected, got hash)", f.close,
      codec.hash("md5"))
    assert_misuse("calling 'recv' on bad self (stream expected, got no value)", s.recv)
    assert_misuse("calling 'accept' on bad self (listener expected, got no value)", listener.accept)
  end)
end)

-- SPDX-License-Identifier: MIT
-- corun.signal, and what S27 and S38 say of it. What would end the program happens in children.

local corun = require("corun")
local debug_ = require("corun.debug")
local program = dofile("tests/fixtures/cli/program.lua")

-- Send ourselves signals; they have been received by the loop after its next turns.
local function kill(...)
  for _, name in ipairs{...} do
    io.popen(("kill -%s $PPID"):format(name:sub(4))):close()
  end
end

local function blocked(fn, ...)
  local t = corun.async(fn, ...)
  repeat corun.yield() until t:status() ~= "ready"
  assert.equal("waiting", t:status())
  return t
end

-- Wait until so many signals have arrived.
local function arrived(s, n)
  local left <const> = corun.now() + 5
  while #s < n and corun.now() < left do corun.sleep(0.001) end
  assert.equal(n, #s)
end

describe("corun.signal", function()
  it("gives the name to a task that waits", function()
    local s <close> = corun.signal("SIGUSR1", "SIGUSR2")
    local t = blocked(s.recv, s)
    kill("SIGUSR2")
    assert.equal("SIGUSR2", t:await())
    assert.equal(0, #s)
  end)

  it("keeps what arrives while nobody waits, in order, each signal once", function()
    local s <close> = corun.signal("SIGUSR1", "SIGUSR2", "SIGHUP")
    assert.equal("EEMPTY", select(2, s:try_recv()).code)
    kill("SIGHUP")
    arrived(s, 1)
    kill("SIGUSR1")
    arrived(s, 2)
    kill("SIGHUP", "SIGUSR2")
    arrived(s, 3)
    assert.same({"SIGHUP", "SIGUSR1", "SIGUSR2"}, {s:recv(), s:try_recv(), s:recv()})
    assert.equal("EEMPTY", select(2, s:try_recv()).code)
  end)

  it("is the iterator of a generic for, until it is closed", function()
    local s = corun.signal("SIGUSR1")
    local names = {}
    local t = corun.async(function()
      for name in s do
        names[#names + 1] = name
        if #names == 3 then s:close() end
      end
    end)
    for i = 1, 3 do
      kill("SIGUSR1")
      while #names < i do corun.sleep(0.001) end
    end
    t:await()
    assert.same({"SIGUSR1", "SIGUSR1", "SIGUSR1"}, names)
  end)

  it("is a case of select", function()
    local s <close>, c = corun.signal("SIGUSR1"), corun.channel()
    local t = blocked(corun.select, {c = c, s = s})
    kill("SIGUSR1")
    assert.same({"s", "SIGUSR1"}, {t:await()})
    assert.is_false(c:try_send(1))
    t = blocked(corun.select, {c = c, s = s})
    c:send("item")
    assert.same({"c", "item"}, {t:await()})
    kill("SIGUSR1")
    arrived(s, 1)
    assert.same({"s", "SIGUSR1"}, {corun.select{s = s, c = c}})
  end)

  it("serves first come, first served; a cancelled task takes nothing (S15)", function()
    local s <close> = corun.signal("SIGUSR1")
    local got, tasks = {}, {}
    for i = 1, 4 do
      tasks[i] = blocked(function()
        s:recv()
        got[#got + 1] = i
      end)
    end
    tasks[2]:cancel()
    for i = 1, 3 do
      kill("SIGUSR1")
      while #got < i do corun.sleep(0.001) end
    end
    for i = 1, 4 do tasks[i]:await() end
    assert.same({1, 3, 4}, got)
  end)

  it("close wakes who waits with nil, and is idempotent", function()
    local s = corun.signal("SIGUSR1")
    local t = blocked(function() return select("#", s:recv()), s:recv() end)
    s:close()
    s:close()
    assert.same({1}, {t:await()})
    assert.is_nil(s:recv())
    assert.equal(1, select("#", s:try_recv()))
  end)

  it("gives after close what had arrived before", function()
    local s = corun.signal("SIGUSR1")
    kill("SIGUSR1")
    arrived(s, 1)
    s:close()
    assert.equal("SIGUSR1", s:recv())
    assert.is_nil(s:recv())
  end)

  it("gives each name as the script calls it: HUP or SIGHUP", function()
    local s <close> = corun.signal("HUP", "SIGUSR1", "USR2", "SIGUSR2")
    local t = blocked(s.recv, s)
    kill("SIGHUP")
    assert.equal("HUP", t:await())
    kill("SIGUSR1")
    arrived(s, 1)
    kill("SIGUSR2")
    arrived(s, 2)
    assert.same({"SIGUSR1", "USR2"}, {s:recv(), s:recv()})
    assert.matches("^signals 0x%x+ %(HUP, SIGUSR1, USR2%)$", tostring(s))
  end)

  it("reaches every channel that is open for it", function()
    local a <close>, b = corun.signal("SIGUSR1"), corun.signal("SIGUSR1", "SIGUSR1")
    kill("SIGUSR1")
    assert.equal("SIGUSR1", a:recv())
    assert.equal("SIGUSR1", b:recv())
    b:close()
    kill("SIGUSR1")
    assert.equal("SIGUSR1", a:recv())
  end)

  it("closes its handles when it is collected", function()
    local before = debug_.stats().handles
    do
      local _ = corun.signal("SIGUSR1", "SIGUSR2")
    end
    assert.equal(before + 2, debug_.stats().handles)
    collectgarbage()
    collectgarbage()
    for _ = 1, 3 do corun.sleep(0) end
    assert.equal(before, debug_.stats().handles)
  end)

  it("S13 recv checks for a cancellation first, try_recv does not #heavy", function()
    local s <close> = corun.signal("SIGUSR1")
    kill("SIGUSR1")
    arrived(s, 1)
    local ok, name
    corun.scope(function(scope)
      scope:cancel()
      ok = pcall(s.recv, s)
      name = s:try_recv()
    end)
    assert.is_false(ok)
    assert.equal("SIGUSR1", name)
  end)

  it("shows its address and signals, and is named in the task tree", function()
    local s = corun.signal("SIGUSR1", "SIGHUP")
    assert.matches("^signals 0x%x+ %(SIGUSR1, SIGHUP%)$", tostring(s))
    local t = blocked(s.recv, s)
    assert.matches("waiting for recv signals " .. tostring(s):match("0x%x+"),
      table.concat(debug_.tasks(), "\n"))
    s:close()
    assert.matches("^signals 0x%x+ %(closed%)$", tostring(s))
    t:await()
  end)

  it("refuses misuse, with nothing left open", function()
    local before = debug_.stats().handles
    local function refused(pattern, ...)
      local args = table.pack(...)
      assert.error_matches(function() corun.signal(table.unpack(args, 1, args.n)) end, pattern)
    end
    refused("^unknown signal \"SIGHOP\"", "SIGUSR1", "SIGHOP")
    refused("^unknown signal \"hup\"", "hup")
    refused("a program cannot listen to KILL", "KILL")
    refused("a program cannot listen to SIGKILL", "SIGKILL")
    refused("a program cannot listen to SIGSEGV", "SIGSEGV")
    refused("a program cannot listen to SIGURG", "SIGURG")
    refused("name of a signal expected")
    refused("string expected, got table", {})
    local s <close> = corun.signal("SIGUSR1")
    assert.error_matches(function() s:recv{timeout = 1} end, "corun%.timeout or corun%.select")
    assert.error_matches(function() corun.select{{s, send = 1}} end, "only gives values")
    assert.equal(before + 1, debug_.stats().handles)
  end)
end)

describe("S27 corun.signal", function()
  it("S27 replaces what INT and TERM do while it is open", function()
    for _, name in ipairs{"INT", "TERM"} do
      local r = program.code(([[
        local corun = require "corun"
        local s <close> = corun.signal("SIG%s")
        io.stdout:write("go\n"):flush()
        print(s:recv())
        io.stdout:flush()
        print(s:recv())
      ]]):format(name), {signals = {{after = "go", signal = name},
        {after = "SIG" .. name, signal = name}}})
      assert.same({out = ("go\nSIG%s\nSIG%s\n"):format(name, name), err = "", status = 0}, r)
    end
  end)

  it("S27 gives INT back: afterwards it cancels all, and the program ends by it", function()
    local r = program.code([[
      local corun = require "corun"
      local a, b = corun.signal("SIGINT"), corun.signal("SIGINT")
      a:close()
      io.stdout:write("one\n"):flush()
      print(b:recv())
      b:close()
      corun.yield()
      local _ <close> = corun.defer(function() print("clean") end)
      io.stdout:write("two\n"):flush()
      corun.sleep(20)
    ]], {signals = {{after = "one", signal = "INT"}, {after = "two", signal = "INT"}}})
    assert.same({out = "one\nSIGINT\ntwo\nclean\n", err = "", signal = 2}, r)
  end)

  it("S27 reaches a program in which something is always ready", function()
    local r = program.code([[
      local corun = require "corun"
      io.stdout:write("go\n"):flush()
      while true do corun.yield() end
    ]], {signals = {{after = "go", signal = "INT"}}})
    assert.same({out = "go\n", err = "", signal = 2}, r)
  end)

  it("S27 gives other signals back: afterwards they do what they did by default", function()
    local r = program.code([[
      local corun = require "corun"
      do
        local s <close> = corun.signal("SIGUSR1")
        io.stdout:write("one\n"):flush()
        print(s:recv())
      end
      io.stdout:write("two\n"):flush()
      corun.sleep(20)
    ]], {signals = {{after = "one", signal = "USR1"}, {after = "two", signal = "USR1"}}})
    assert.same({out = "one\nSIGUSR1\ntwo\n", err = "", signal = 10}, r)
  end)

  it("S27 replaces the task tree of QUIT while it is open", function()
    local r = program.code([[
      local corun = require "corun"
      local s = corun.signal("SIGQUIT")
      io.stdout:write("one\n"):flush()
      print(s:recv())
      s:close()
      io.stdout:write("two\n"):flush()
      corun.sleep(0.5)
    ]], {signals = {{after = "one", signal = "QUIT"}, {after = "two", signal = "QUIT"}}})
    assert.equal("one\nSIGQUIT\ntwo\n", r.out)
    assert.matches("^corun: 1 task\n", r.err)
    assert.equal(0, r.status)
  end)

  it("may be open at the end of the program", function()
    local r = program.code([[
      local corun = require "corun"
      kept = corun.signal("SIGINT", "SIGUSR1", "SIGCHLD")
      print(#kept)
    ]])
    assert.same({out = "0\n", err = "", status = 0}, r)
  end)
end)

describe("S38 corun.signal", function()
  it("S38 a task that waits for a signal waits for the world", function()
    local r = program.code([[
      local corun = require "corun"
      local s <close> = corun.signal("SIGUSR1")
      io.stdout:write("go\n"):flush()
      corun.scope(function(scope)
        scope:daemon(function() corun.channel():recv() end)
        print(s:recv())
      end)
    ]], {signals = {{after = "go", signal = "USR1"}}})
    assert.same({out = "go\nSIGUSR1\n", err = "", status = 0}, r)
  end)

  it("S38 an open channel for signals on which no task waits hides no deadlock", function()
    local r = program.code([[
      local corun = require "corun"
      local s = corun.signal("SIGUSR1")
      print(corun.select({s = s}, {timeout = 0.01}))
      corun.channel():recv()
    ]])
    assert.equal(13, r.status)
    assert.matches("deadlock", r.err)
    assert.matches("waiting for recv channel 0x%x+", r.err)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Error objects, tracebacks, errors that nobody can catch (S32), out of memory.
local corun = require "corun"
local program = dofile("tests/fixtures/cli/program.lua")
local tasks = dofile("tests/spec/support/tasks.lua")

local error_of = tasks.error_of

describe("corun.err", function()
  it("takes no code and no message among the fields", function()
    for _, fields in ipairs{{code = "EY"}, {message = "other"}} do
      local ok, err = pcall(function() corun.err("EX", "text", fields) end)
      assert.is_false(ok)
      assert.matches("error_spec.lua:%d+: the code and the message of an error are no fields", err)
    end
  end)

  it("makes an object with code, message and fields", function()
    local cause = {}
    local e = corun.err("EQUOTA", "no calls left", {cause = cause, retryable = true, left = 0})
    assert.equal("EQUOTA", e.code)
    assert.equal("no calls left", e.message)
    assert.equal(cause, e.cause)
    assert.is_true(e.retryable)
    assert.equal(0, e.left)
    assert.equal("no calls left (EQUOTA)", tostring(e))
  end)

  it("is one full sentence: operation, target, message, code", function()
    local e = corun.err("ECONNREFUSED", "it is refused", {op = "connect", target = "10.0.0.1:443"})
    assert.equal("connect 10.0.0.1:443: it is refused (ECONNREFUSED)", tostring(e))
    assert.equal("connect: x (EX)", tostring(corun.err("EX", "x", {op = "connect"})))
    assert.is_true(e.retryable)
  end)

  it("survives error and pcall as the same object", function()
    local e = corun.err("EX", "x")
    assert.equal(e, error_of(error, e))
    assert.equal(e, error_of(function() error(e) end))
    assert.equal(e, error_of(coroutine.wrap(function() error(e) end)))
    local t = corun.async(error, e)
    assert.equal(e, error_of(t.await, t))
  end)

  it("may have fields of any kind", function()
    assert.matches("table: ", tostring(corun.err("EX", "x", {target = {}})))
    assert.equal("5: x (EX)", tostring(corun.err("EX", "x", {op = 5})))
    local e = corun.err("EX", "x")
    e.message, e.code = nil, nil
    assert.equal("string", type(tostring(e)))
  end)

  it("needs a code and a message", function()
    assert.error_matches(function() corun.err() end, "string expected")
    assert.error_matches(function() corun.err("EX") end, "string expected")
    assert.error_matches(function() corun.err("EX", "x", 5) end, "table expected")
  end)
end)

describe("S32 errors", function()
  it("show zero bytes, and nothing is cut at them", function()
    local net, process = require "corun.net", require "corun.process"
    local function said(fn, ...)
      local _, message = pcall(fn, ...)
      return tostring(message)
    end
    assert.matches("got a\\0b:80$", said(net.connect, "a\0b:80"))
    assert.matches('unknown option "timeout\\0x" for connect',
      said(net.connect, "a:1", {["timeout\0x"] = 1}))
    assert.matches('got "4\\0"$', said(net.resolve, "a", {family = "4\0"}))
    assert.matches('seconds %(0 or more%), got "a\\0b"$',
      said(net.connect, "a:1", {timeout = "a\0b"}))
    local p <close> = assert(process.spawn{"true"})
    assert.matches('got "KILL\\0x"$', said(p.kill, p, "KILL\0x"))
    local err = corun.err("EX", "a\0b", {op = "x\0y"})
    assert.equal("a\0b", err.message)
    assert.equal("x\\0y: a\\0b (EX)", tostring(err))
  end)

  it("S32 have __concat and __name", function()
    local e = corun.err("EX", "x")
    assert.equal("failed: x (EX)", "failed: " .. e)
    assert.equal("x (EX)!", e .. "!")
    assert.equal("x (EX)x (EX)", e .. e)
    assert.equal("corun error", getmetatable(e).__name)
    assert.matches("corun error", error_of(string.rep, e))
    local _, cancelled = corun.scope(function(s)
      s:cancel()
      return select(2, pcall(corun.sleep, 1))
    end), nil
    assert.is_nil(cancelled)
  end)

  it("S32 in __gc are one line on stderr, on by default", function()
    local r = program.code([[
      setmetatable({}, {__gc = function() error("lost\nin two lines", 0) end})
      collectgarbage()
      print "goes on"]])
    assert.equal("goes on\n", r.out)
    assert.equal(0, r.status)
    assert.matches("^Lua warning: error in __gc %(lost.in two lines%)\n$", r.err)
  end)

  it("S32 can be turned off", function()
    local r = program.code([[
      warn "@off"
      setmetatable({}, {__gc = function() error("lost", 0) end})
      collectgarbage()
      warn "@on"
      warn("seen ", "again")]])
    assert.equal("Lua warning: seen again\n", r.err)
  end)

  it("S32 in a finaliser at the end of the program too", function()
    local r = program.code([[kept = setmetatable({}, {__gc = function() error("late", 0) end})]])
    assert.equal("Lua warning: error in __gc (late)\n", r.err)
    assert.equal(0, r.status)
  end)
end)

describe("tracebacks", function()
  it("are shown for each of several failures, and where a returned one was spawned", function()
    local r = program.run({"-"}, {stdin = [[
local corun = require "corun"
corun.async(function() error("one") end)
corun.async(function() error("two") end)
corun.async(function() return nil, corun.err("EX", "three") end)
]], env = "CORUN_SEED=0"})
    assert.equal(1, r.status)
    assert.matches("\ncaused by: stdin:2: one\nstack traceback:\n.-\nspawned at stdin:2 ", r.err)
    assert.matches("\nalso: stdin:3: two\nstack traceback:\n.-\nspawned at stdin:3 ", r.err)
    assert.matches("\nalso: three %(EX%)\nspawned at stdin:4 ", r.err)
    r = program.run({"-"}, {stdin = [[
local corun = require "corun"
corun.spawn(function() corun.sleep(0) return nil, "plain" end)]]})
    assert.matches("^corun: plain\nspawned at stdin:2 %(task %d+%)\n$", r.err)
  end)

  it("name functions as scripts know them", function()
    local r = program.run({"-"}, {stdin = [[
local corun = require "corun"
corun.try(corun.channel, 1)
print(select(2, corun.try(corun.net.connect, 1)))
corun.sleep("x")]]})
    assert.matches("function 'corun.sleep'\n", r.err)
    assert.is_nil((r.out .. r.err):find("corun%.%l+%.%l+"))
    assert.is_nil(package.loaded["corun.task"])
  end)

  it("are stitched from the task up to the root", function()
    local r = program.run({"-"}, {stdin = [[
local corun = require "corun"
local function level3() corun.sleep(0.001) error("deep") end
local function level2() corun.async(level3):await() end
local function level1() corun.spawn(level2) end
corun.spawn(level1)
]]})
    assert.equal(1, r.status)
    assert.matches("^corun: stdin:2: deep\n", r.err)
    assert.matches("spawned at stdin:3 %(task %d+%)\nspawned at stdin:4 %(task %d+%)\n"
      .. "spawned at stdin:5 %(task %d+%)", r.err)
  end)

  it("are of the place where the error was raised, also for the first of several", function()
    local r = program.run({"-"}, {stdin = [[
local corun = require "corun"
corun.debug.virtual(true)
local function bad() error(corun.err("EFIRST", "first")) end
corun.scope(function()
  corun.spawn(function()
    local _ <close> = setmetatable({}, {__close = function() error("second") end})
    corun.sleep(100)
  end)
  corun.spawn(function() corun.sleep(1) bad() end)
end)
]]})
    assert.equal(1, r.status)
    assert.matches("^corun: first %(EFIRST%)\n", r.err)
    assert.matches("stdin:3: in [^\n]*bad", r.err)
    assert.matches("also: stdin:6: second\n", r.err)
  end)
end)

describe("out of memory #faults", function()
  local SCRIPT = "tests/spec/support/memory.lua"

  it("is an error, wherever it happens, and never a crash or a hang", function()
    local all = program.run {SCRIPT}
    assert.equal("", all.err)
    assert.equal(0, all.status)
    local failed = 0
    for n = 1, 2600, 41 do
      local r = program.run({"--timeout=20", SCRIPT}, {env = "CORUN_FAIL_ALLOC=" .. n})
      local text = ("allocation %d: status %s\n%s"):format(n, r.status or r.signal, r.err)
      if r.status == 1 then
        failed = failed + 1
        local says_so = r.err:find("not enough memory", 1, true)
          or r.err:find("stack overflow", 1, true) -- what Lua says when the stack cannot grow
        assert(says_so, text)
      elseif r.status == 70 then
        failed = failed + 1
        assert.equal("corun: cannot start: out of memory or descriptors\n", r.err, text)
      else
        assert.equal(0, r.status, text)
      end
    end
    assert.is_true(failed > 20)
  end)

  it("lets clean-up run", function()
    local r = program.code([[
      local corun = require "corun"
      local _ <close> = corun.defer(function() corun.sleep(0.001) print "main cleaned" end)
      corun.spawn(function()
        local _ <close> = corun.defer(function() corun.sleep(0.001) print "child cleaned" end)
        corun.sleep(100)
      end)
      corun.sleep(0.02)
      local list = {}
      for i = 1, 1e6 do list[i] = {} end]], {env = "CORUN_FAIL_ALLOC=20000"})
    assert.equal(1, r.status)
    assert.matches("not enough memory", r.err)
    assert.equal("main cleaned\nchild cleaned\n", r.out)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Interrupts: what reaches Lua code that does not suspend (S21 to S28). In real time: where a test
-- would fail on a machine that is busy with other things, it may be tried again.
local corun = require "corun"
local debug_ = require "corun.debug"
local program = dofile("tests/fixtures/cli/program.lua")
local tasks = dofile("tests/spec/support/tasks.lua")

local error_of = tasks.error_of

local function spin() while true do end end

-- Keep the processor for s seconds.
local function work(s)
  local stop = os.clock() + s
  while os.clock() < stop do end
end

-- What fn answers is true, if not each time: the process may have had to wait for a processor.
local function allowing_for_load(fn)
  for _ = 1, 20 do
    if fn() then return end
  end
  error("never true in 20 tries", 2)
end

local function timed_out(value, err)
  assert.is_nil(value)
  assert.equal("ETIMEDOUT", err.code)
end

describe("S21 an interrupt", function()
  it("S21 ends a spin after its deadline: 0.2 s within 0.3 s", function()
    allowing_for_load(function()
      local before = corun.now()
      timed_out(corun.timeout(0.2, spin))
      local took = corun.now() - before
      assert.is_true(took >= 0.2)
      return took < 0.3
    end)
  end)

  it("S21 reaches a spin in each place of Lua code", function()
    local object = setmetatable({}, {
      __index = spin, __newindex = spin, __call = spin, __eq = spin, __lt = spin, __len = spin,
      __concat = spin, __add = spin, __tostring = spin, __close = spin,
    })
    for name, fn in pairs {
      call = spin,
      coroutine = function() coroutine.wrap(spin)() end,
      resume = function() error(select(2, coroutine.resume(coroutine.create(spin))), 0) end,
      nested = function()
        coroutine.wrap(function() coroutine.wrap(function() coroutine.wrap(spin)() end)() end)()
      end,
      index = function() return object.x end,
      newindex = function() object.x = 1 end,
      object = function() object() end,
      lt = function() return object < object end,
      len = function() return #object end,
      concat = function() return object .. "x" end,
      add = function() return object + 1 end,
      tostring = function() return tostring(object) end,
      close = function() local _ <close> = object end,
      iterator = function() for _ in spin do end end,
      sort = function() table.sort({3, 2, 1}, spin) end,
      gsub = function() return (("x"):gsub("x", spin)) end,
      load = function() error(select(2, load(spin)), 0) end,
      recursion = function()
        local function f(n) return n == 0 and 0 or f(n - 1) + 1 end
        while true do f(100) end
      end,
      strings = function()
        local s = ""
        while true do s = (s .. "x"):sub(-100) end
      end,
      tables = function() while true do local _ = {{}, {}} end end,
      short_coroutines = function() while true do coroutine.wrap(function() end)() end end,
      generator = function()
        local g = coroutine.wrap(function() while true do coroutine.yield() end end)
        while true do g() end
      end,
      after_a_wait = function()
        corun.sleep(0.001)
        spin()
      end,
      in_a_child = function() corun.await(corun.spawn(spin)) end,
    } do
      local value, err = corun.timeout(0.01, fn)
      assert.is_nil(value, name)
      assert.is_table(err, name)
      assert.equal("ETIMEDOUT", err.code, name)
    end
  end)

  it("S21 reaches loops of pcall, xpcall and try", function()
    timed_out(corun.timeout(0.01, function() while true do pcall(spin) end end))
    timed_out(corun.timeout(0.01, function()
      while true do pcall(function() while true do end end) end
    end))
    timed_out(corun.timeout(0.01, function()
      while true do xpcall(spin, function(e) return e end) end
    end))
    timed_out(corun.timeout(0.01, function() while true do corun.try(spin) end end))
    timed_out(corun.timeout(0.01, function()
      while true do coroutine.resume(coroutine.create(function() pcall(spin) spin() end)) end
    end))
  end)

  it("S21 by another task's cancellation there is none: it has the loop for itself", function()
    local done
    corun.scope(function(s)
      corun.spawn(function()
        work(0.1)
        done = true
        corun.sleep(1)
      end)
      corun.daemon(function() s:cancel() end)
    end)
    assert.is_true(done == true or done == nil)
  end)

  it("S21 a scope that the spinning task itself has cancelled", function()
    local value, err = corun.scope(function(s)
      s:cancel("enough")
      spin()
    end)
    assert.is_nil(value)
    assert.equal("enough", err.reason)
  end)

  it("S21 a child that spins is interrupted at the deadline of a scope around it", function()
    local cleaned
    timed_out(corun.timeout(0.02, function()
      corun.scope(function()
        corun.spawn(function()
          local _ <close> = corun.defer(function()
            corun.sleep(0.001)
            cleaned = true
          end)
          spin()
        end)
        corun.sleep(100)
      end)
    end))
    assert.is_true(cleaned)
  end)

  it("S21 several tasks that spin in turn", function()
    timed_out(corun.timeout(0.02, function()
      for _ = 1, 5 do corun.spawn(spin) end
      spin()
    end))
  end)
end)

describe("S22 the right target", function()
  it("S22 a script's hook is kept and restored", function()
    local calls = 0
    local function hook() calls = calls + 1 end
    debug.sethook(hook, "", 1000)
    timed_out(corun.timeout(0.02, spin))
    local kept, mask, count = debug.gethook()
    local seen = calls
    work(0.001)
    debug.sethook()
    assert.equal(hook, kept)
    assert.equal("", mask)
    assert.equal(1000, count)
    assert.is_true(calls > seen)
    timed_out(corun.timeout(0.02, spin))
    assert.is_nil((debug.gethook()))
  end)

  it("S22 also that of a coroutine", function()
    local co = coroutine.create(function()
      pcall(corun.timeout, 0.02, spin)
      coroutine.yield()
    end)
    local function hook() end
    debug.sethook(co, hook, "l")
    coroutine.resume(co)
    assert.equal(hook, (debug.gethook(co)))
  end)

  it("S22 a coroutine made while an interrupt is pending is no target later", function()
    local made = {}
    timed_out(corun.timeout(0.02, function()
      while true do
        local co = coroutine.create(function(n)
          for _ = 1, n do end
          return "ran"
        end)
        made[#made % 1000 + 1] = co
      end
    end))
    for _, co in ipairs(made) do
      assert.is_nil((debug.gethook(co)))
      assert.same({true, "ran"}, {coroutine.resume(co, 1000)})
    end
  end)

  it("S22 nor is a task started then", function()
    local started = {}
    timed_out(corun.timeout(0.02, function()
      corun.shield(function()
        for i = 1, 20 do
          started[i] = corun.async(function()
            local n = 0
            for _ = 1, 10000 do n = n + 1 end
            return n
          end)
        end
        for i = 1, 20 do assert.equal(10000, started[i]:await()) end
      end)
      spin()
    end))
  end)

  it("S22 a nested coroutine that ends while one is pending hands it on", function()
    for _ = 1, 5 do
      timed_out(corun.timeout(0.005, function()
        local quick = coroutine.wrap(function()
          while true do
            for _ = 1, 50 do end
            coroutine.yield()
          end
        end)
        while true do quick() end
      end))
    end
  end)

  it("S22 insisting on one task spares the clean-up of another", function()
    allowing_for_load(function()
      local other
      timed_out(corun.timeout(0.02, function()
        corun.spawn(function()
          local _ <close> = tasks.closing(function()
            work(0.002)
            other = "cleaned"
          end)
          corun.sleep(100)
        end)
        corun.sleep(0.001)
        local _ <close> = corun.defer(corun.sleep, 0.01)
        while true do pcall(spin) end
      end))
      return other == "cleaned"
    end)
  end)
end)

describe("S23 two phases", function()
  it("S23 clean-up has its time", function()
    allowing_for_load(function()
      local cleaned
      timed_out(corun.timeout(0.01, function()
        local _ <close> = tasks.closing(function()
          work(0.01)
          cleaned = true
        end)
        spin()
      end))
      return cleaned
    end)
  end)

  it("S23 clean-up that spins is ended too", function()
    local rounds = 0
    timed_out(corun.timeout(0.01, function()
      local _ <close> = tasks.closing(function()
        rounds = rounds + 1
        spin()
      end)
      spin()
    end))
    assert.equal(1, rounds)
  end)

  it("S23 a shield is not interrupted, however long it takes", function()
    local finished
    timed_out(corun.timeout(0.01, function()
      local _ <close> = corun.defer(function()
        work(0.07)
        finished = true
      end)
      spin()
    end))
    assert.is_true(finished)
    assert.equal("whole", corun.timeout(0.01, corun.shield, function()
      work(0.07)
      return "whole"
    end))
  end)

  it("S23 while true do pcall(corun.sleep, 1) end in a cancelled scope comes to an end", function()
    timed_out(corun.timeout(0.01, function() while true do pcall(corun.sleep, 1) end end))
    local value, err = corun.scope(function(s)
      s:cancel()
      while true do pcall(corun.sleep, 1) end
    end)
    assert.is_nil(value)
    assert.equal("ECANCELED", err.code)
  end)

  it("S23 so does a loop that enters shields all the time", function()
    timed_out(corun.timeout(0.01, function()
      while true do pcall(corun.shield, function() end) end
    end))
  end)

  it("S23 nothing else is ever raised: a step may be long", function()
    work(0.05)
    corun.timeout(100, work, 0.05)
    corun.async(work, 0.05):await()
    assert.equal("value", corun.scope(function()
      corun.daemon(corun.sleep, 100)
      work(0.05)
      return "value"
    end))
  end)

  it("S23 a step that suspends in time is not interrupted though its clean-up is long", function()
    allowing_for_load(function()
      local parts = 0
      timed_out(corun.timeout(0.01, function()
        local _ <close> = tasks.closing(function()
          for _ = 1, 10 do
            corun.shield(corun.yield)
            work(0.004)
            parts = parts + 1
          end
        end)
        corun.sleep(100)
      end))
      return parts == 10
    end)
  end)

  it("S23 once the cancelled scope is left the task runs freely", function()
    for _ = 1, 3 do
      timed_out(corun.timeout(0.01, function() while true do pcall(spin) end end))
      work(0.05)
    end
  end)

  it("S23 a scope inside a spinning loop is left properly", function()
    local scopes = 0
    timed_out(corun.timeout(0.03, function()
      while true do
        pcall(corun.scope, function(s)
          scopes = scopes + 1
          s:spawn(function() spin() end)
          corun.yield()
        end)
      end
    end))
    assert.is_true(scopes >= 1)
  end)
end)

describe("S24 after an interrupt", function()
  it("S24 the next task on the same thread can be interrupted again", function()
    for _ = 1, 10 do
      local t = corun.async(function() timed_out(corun.timeout(0.002, spin)) end)
      t:await()
    end
  end)

  it("S24 so can the same task and the same coroutine", function()
    local co = coroutine.wrap(function()
      for i = 1, 4 do
        timed_out(corun.timeout(0.002, spin))
        coroutine.yield(i)
      end
    end)
    for i = 1, 4 do assert.equal(i, co()) end
  end)

  it("S24 a coroutine ended by one can be closed, another runs", function()
    for _ = 1, 4 do
      local co
      timed_out(corun.timeout(0.002, function()
        co = coroutine.create(spin)
        error(select(2, coroutine.resume(co)), 0)
      end))
      assert.equal("dead", coroutine.status(co))
      coroutine.close(co)
    end
  end)

  it("S24 clean-up closed by the unwinding may wait", function()
    local waited
    timed_out(corun.timeout(0.01, function()
      coroutine.wrap(function()
        local _ <close> = corun.defer(function()
          corun.sleep(0.001)
          waited = true
        end)
        spin()
      end)()
    end))
    assert.is_true(waited)
  end)
end)

describe("S25 no torn guard", function()
  local function free(m)
    local guard = corun.timeout(1, m.acquire, m)
    assert.is_truthy(guard, "the mutex was left locked")
    guard:close()
  end

  it("S25 a guard taken in a loop is never left behind", function()
    for _ = 1, 15 do
      local m = corun.mutex()
      timed_out(corun.timeout(0.001, function()
        while true do
          local _ <close> = m:acquire()
        end
      end))
      free(m)
    end
  end)

  it("S25 nor when the interrupt insists", function()
    for _ = 1, 4 do
      local m = corun.mutex()
      timed_out(corun.timeout(0.001, function()
        while true do
          pcall(function()
            while true do
              local _ <close> = m:acquire()
            end
          end)
        end
      end))
      free(m)
    end
  end)

  it("S25 each deferred call runs", function()
    local opened, closed = 0, 0
    for _ = 1, 10 do
      timed_out(corun.timeout(0.001, function()
        while true do
          local _ <close> = corun.defer(function() closed = closed + 1 end)
          opened = opened + 1
        end
      end))
    end
    -- One may have been opened whose counting was interrupted.
    assert.is_true(closed >= opened and closed <= opened + 10)
  end)

  it("S25 corun's own Lua code is not interrupted", function()
    for _ = 1, 5 do
      local quiet = {argv = {"--x"}, exit = function() end, err = {write = function() end}}
      timed_out(corun.timeout(0.005, function()
        while true do
          pcall(corun.args, {}, quiet)
          pcall(corun.map, {}, print)
        end
      end))
      assert.same({n = 1, 1}, corun.map({1}, function(i) return i end))
    end
  end)
end)

describe("S26 reach", function()
  it("S26 in a C function it acts at the first instruction after it", function()
    local subject, pattern = ("a"):rep(18), ("a?"):rep(18) .. ("a"):rep(18) .. "b"
    allowing_for_load(function()
      local cleaned, finds = false, 0
      timed_out(corun.timeout(0.001, function()
        local _ <close> = tasks.closing(function()
          work(0.005)
          cleaned = true
        end)
        while true do
          subject:find(pattern)
          finds = finds + 1
        end
      end))
      return cleaned and finds <= 1
    end)
  end)

  it("S26 in a finaliser it waits for its end", function()
    local finished
    timed_out(corun.timeout(0.001, function()
      setmetatable({}, {__gc = function()
        work(0.1)
        finished = true
      end})
      collectgarbage()
      spin()
    end))
    assert.is_true(finished)
  end)

  it("S26 a message handler may spin a while", function()
    local ended
    timed_out(corun.timeout(0.001, function()
      xpcall(spin, function(e)
        work(0.02)
        ended = true
        return e
      end)
      spin()
    end))
    assert.is_true(ended)
  end)
end)

describe("S27 signals", function()
  local SPIN = [[
    local corun = require "corun"
    io.stdout:setvbuf "no"
  ]]

  local function signalled(code, signals, args)
    local list = args or {}
    list[#list + 1] = "-e"
    list[#list + 1] = SPIN .. code
    return program.run(list, {signals = signals})
  end

  local WAITS = [[
    local _ <close> = corun.defer(function() corun.sleep(0.01) print "cleaned" end)
    print "ready"
    corun.sleep(100)]]

  it("S27 the first INT, TERM or HUP cancels the root scope; the process ends by the signal",
    function()
    for name, number in pairs {INT = 2, TERM = 15, HUP = 1} do
      local r = signalled(WAITS, {{after = "ready", signal = name}})
      assert.equal("ready\ncleaned\n", r.out)
      assert.equal("", r.err)
      assert.is_true(r.signal == number or r.status == 128 + number)
    end
  end)

  it("HUP stays ignored where it was so before: under nohup", function()
    local r = assert(corun.process.run{
      shell = [[trap '' HUP; exec "$1" -e 'os.execute("kill -HUP $PPID") print "here"']],
      program.path, check = true})
    assert.equal("here\n", r.stdout)
  end)

  it("S27 it ends a spinning script", function()
    local r = signalled([[
      local _ <close> = corun.defer(print, "cleaned")
      print "ready"
      while true do pcall(function() while true do end end) end]],
      {{after = "ready", signal = "INT"}})
    assert.equal("ready\ncleaned\n", r.out)
    assert.is_true(r.signal == 2 or r.status == 130)
  end)

  it("S27 all tasks are cancelled, and waited for", function()
    local r = signalled([[
      for i = 1, 3 do
        corun.spawn(function()
          local _ <close> = corun.defer(function() corun.sleep(0.01) print "child cleaned" end)
          corun.sleep(100)
        end)
      end
      corun.sleep(0.05)
      print "ready"]], {{after = "ready", signal = "TERM"}})
    assert.equal("ready\n" .. ("child cleaned\n"):rep(3), r.out)
    assert.is_true(r.signal == 15 or r.status == 143)
  end)

  it("S27 the second one ends the program at once with 128 + its number", function()
    local r = signalled([[
      corun.spawn(function()
        local _ <close> = corun.defer(print, "first seen")
        corun.sleep(100)
      end)
      corun.spawn(function()
        local _ <close> = corun.defer(print, "not printed")
        corun.shield(corun.sleep, 100)
      end)
      corun.sleep(0.02)
      print "ready"
      corun.shield(corun.sleep, 100)]],
      {{after = "ready", signal = "INT"}, {after = "first seen", signal = "INT"}})
    assert.equal("ready\nfirst seen\n", r.out)
    assert.equal(130, r.status)
  end)

  it("S14 S27 a spin in a shield or in clean-up ends when the grace is over", function()
    for _, code in ipairs{
      "print 'ready' corun.shield(function() while true do end end)",
      "local _ <close> = corun.defer(load 'while true do end') print 'ready' corun.sleep(9)",
      "print 'ready' corun.shield(load 'while true do pcall(load [=[repeat until nil]=]) end')",
      "corun.spawn(corun.shield, function() print 'ready' while true do end end)",
    } do
      local int = {{after = "ready", signal = "INT"}}
      local r = signalled(code, int, {"--grace=0.1", "--timeout=20"})
      assert.is_true(r.signal == 2 or r.status == 130, code)
      r = signalled(code, nil, {"--grace=0.1", "--timeout=0.1"})
      assert.equal(124, r.status, code)
    end
  end)

  it("S27 a failure in the clean-up is reported", function()
    local r = signalled([[
      local _ <close> = corun.defer(error, "clean-up failed")
      print "ready"
      corun.sleep(100)]], {{after = "ready", signal = "INT"}})
    assert.matches("clean%-up failed", r.err)
  end)

  it("S27 QUIT prints the task tree and the program goes on, waiting or spinning", function()
    local r = signalled([[
      local t = corun.spawn(function() corun.channel():recv() end)
      corun.sleep(0.02)
      print "ready"
      corun.sleep(0.2)
      print "more"
      local stop = corun.now() + 0.3
      while corun.now() < stop do end
      print "end"
      t:cancel()]], {{after = "ready", signal = "QUIT"}, {after = "more", signal = "QUIT"}})
    assert.equal("ready\nmore\nend\n", r.out)
    assert.equal(0, r.status)
    local tree = "corun: 2 tasks\n  main %(task 1%): %a+[^\n]*\n"
      .. "    task %d+: waiting for recv channel 0x%x+, spawned at %(command line%):%d+\n"
    assert.matches("^" .. tree .. tree .. "stack traceback:\n.*%(command line%):%d+: in main chunk",
      r.err)
  end)

  it("S27 --timeout ends a spin too, with 124", function()
    local code = "while true do pcall(load 'repeat until nil') end"
    local r = program.run {"--timeout=0.05", "-e", code}
    assert.equal("corun: timeout: 0.05 s passed\n", r.err)
    assert.equal(124, r.status)
  end)
end)

describe("S28 idle cost", function()
  it("S28 a program that waits costs nothing", function()
    corun.sleep(0.15)
    local before = os.clock()
    corun.sleep(0.4)
    assert.is_true(os.clock() - before < 0.03)
  end)

  it("S28 the first step after a rest is watched again", function()
    corun.sleep(0.15)
    timed_out(corun.timeout(0.02, spin))
  end)

  it("S28 steps leave no interrupt behind", function()
    for _ = 1, 2000 do corun.yield() end
    assert.is_nil((debug.gethook()))
    assert.is_number(debug_.stats().steps)
  end)
end)

describe("--dev", function()
  it("S23 warns of the line that keeps the loop for more than 100 ms while it is there", function()
    local r = program.run({"--dev", "-"}, {stdin = [[
local function busy()
  local stop = os.clock() + 0.4
  while os.clock() < stop do end
end
busy()
io.stderr:write "after\n"
]]})
    assert.equal(0, r.status)
    assert.matches("^corun: warning: task 1 has kept the loop for more than 100 ms\n"
      .. "stack traceback:\n", r.err)
    assert.matches("stdin:%d: in [^\n]*busy", r.err)
    assert.matches("\nafter\n$", r.err)
    assert.is_nil(r.err:find("warning.*warning"))
  end)

  it("S26 names the C function that has kept it", function()
    local r = program.run({"--dev", "-"}, {stdin = "os.execute('sleep 0.4')\n"})
    assert.matches("has kept the loop", r.err)
    assert.matches("in function 'os.execute'\n\tstdin:1: in main chunk", r.err)
    r = program.run({"--dev", "-"}, {stdin = "local f = io.popen('sleep 0.4') f:read('a')\n"})
    assert.matches("in method 'read'", r.err)
  end)

  it("S23 without it nothing is said", function()
    local r = program.run({"-"}, {stdin = "os.execute('sleep 0.3')\n"})
    assert.equal("", r.err)
  end)

  it("S23 a program that waits is not warned of", function()
    local r = program.run({"--dev", "-e", "require'corun'.sleep(0.3)"})
    assert.equal("", r.err)
  end)
end)

describe("misuse in a spin", function()
  it("S21 an error of its own ends it as usual", function()
    assert.equal("own", error_of(corun.timeout, 5, function()
      work(0.05)
      error("own", 0)
    end))
  end)
end)

describe("coroutines that take turns", function()
  it("S23 give the hook no new respite at each switch", function()
    local start = corun.now()
    local turn = coroutine.wrap(function() while true do pcall(coroutine.yield, 1) end end)
    local ok, err = corun.timeout(0.1, function() while true do pcall(turn) end end)
    assert.is_nil(ok)
    assert.equal("ETIMEDOUT", err.code)
    assert.is_true(corun.now() - start < 1)
  end)
end)

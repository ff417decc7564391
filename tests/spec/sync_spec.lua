-- SPDX-License-Identifier: MIT
-- Semaphores, mutexes and events: what S13 to S16, S25, S30 and S36 say of them.

local corun = require("corun")
local debug_ = require("corun.debug")
local program = dofile("tests/fixtures/cli/program.lua")

local function blocked(fn, ...)
  local t = corun.async(fn, ...)
  repeat corun.yield() until t:status() ~= "ready"
  assert.equal("waiting", t:status())
  return t
end

local function await_all(tasks)
  for i = 1, #tasks do tasks[i]:await() end
end

describe("semaphore", function()
  local function count(sem)
    return math.tointeger(tostring(sem):match("%((%d+) of %d+ left%)"))
  end

  it("lets n tasks in at once", function()
    local sem, inside, most, done = corun.semaphore(3), 0, 0, 0
    corun.scope(function(s)
      for _ = 1, 20 do
        s:spawn(function()
          local permit <close> = sem:acquire()
          inside = inside + 1
          most = math.max(most, inside)
          corun.yield()
          corun.yield()
          inside = inside - 1
          done = done + 1
          return permit ~= nil
        end)
      end
    end)
    assert.same({3, 20, 3}, {most, done, count(sem)})
  end)

  it("gives a permit back when its guard is closed, once", function()
    local sem = corun.semaphore(2)
    local a, b = sem:acquire(), sem:acquire()
    assert.equal(0, count(sem))
    a:close()
    a:close()
    a:release()
    assert.equal(1, count(sem))
    b:release()
    assert.equal(2, count(sem))
  end)

  it("gives a permit back when the block ends by return, break or error", function()
    local sem = corun.semaphore(1)
    pcall(function()
      local _ <close> = sem:acquire()
      error("inside")
    end)
    for i = 1, 2 do
      local _ <close> = sem:acquire()
      if i == 1 then break end
    end
    assert.equal(1, count(sem));
    (function()
      local _ <close> = sem:acquire()
      return "returned"
    end)()
    assert.equal(1, count(sem))
  end)

  it("try_acquire gives a guard or nil and never waits", function()
    local sem = corun.semaphore(1)
    local guard = sem:try_acquire()
    assert.truthy(guard)
    assert.equal(1, select("#", sem:try_acquire()))
    assert.is_nil(sem:try_acquire())
    guard:close()
    do
      local again <close> = sem:try_acquire()
      assert.truthy(again)
      local none <close> = sem:try_acquire()
      assert.is_nil(none)
    end
    assert.equal(1, count(sem))
  end)

  it("serves first come, first served; a permit never passes those who wait", function()
    local sem, order, tasks = corun.semaphore(1), {}, {}
    local mine = sem:acquire()
    for i = 1, 10 do
      tasks[i] = blocked(function()
        local _ <close> = sem:acquire()
        order[#order + 1] = i
      end)
    end
    mine:close()
    assert.is_nil(sem:try_acquire()) -- it belongs to the first that waits
    await_all(tasks)
    assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, order)
    assert.equal(1, count(sem))
  end)

  it("S15 a waiter given a permit and then cancelled has it, and gives it back", function()
    local sem, held, reached = corun.semaphore(1), false, false
    local mine = sem:acquire()
    local first = blocked(function()
      local _ <close> = sem:acquire()
      held = true
      corun.yield()
      reached = true
    end)
    local second = blocked(function()
      local _ <close> = sem:acquire()
      return "second"
    end)
    mine:close()
    first:cancel()
    assert.equal("second", second:await())
    first:await()
    assert.is_true(held)
    assert.is_false(reached)
    assert.equal(1, count(sem))
  end)

  it("S15 waiters cancelled first take nothing, from either end and the middle", function()
    local sem, got, tasks = corun.semaphore(1), {}, {}
    local mine = sem:acquire()
    for i = 1, 7 do
      tasks[i] = blocked(function()
        local _ <close> = sem:acquire()
        got[#got + 1] = i
      end)
    end
    for _, i in ipairs{1, 4, 7} do tasks[i]:cancel() end
    mine:close()
    await_all(tasks)
    assert.same({2, 3, 5, 6}, got)
    assert.equal(1, count(sem))
  end)

  it("S15 keeps its permits when time limits pass in the tick in which they come back", function()
    debug_.virtual(true)
    local sem, got, missed = corun.semaphore(1), 0, 0
    corun.scope(function(s)
      for _ = 1, 20 do
        s:spawn(function()
          for _ = 1, 20 do
            local ok = corun.timeout(0.01, function()
              local _ <close> = sem:acquire()
              corun.sleep(0.01)
              return true
            end)
            if ok then got = got + 1 else missed = missed + 1 end
          end
        end)
      end
    end)
    assert.equal(400, got + missed)
    assert.equal(1, count(sem))
  end)

  it("may have 10,000 waiters, half of them cancelled #heavy", function()
    local sem, tasks, got = corun.semaphore(1), {}, 0
    local mine = sem:acquire()
    for i = 1, 10000 do
      tasks[i] = corun.async(function()
        local _ <close> = sem:acquire()
        got = got + 1
      end)
    end
    for i = 1, 10000 do
      while tasks[i]:status() ~= "waiting" do corun.yield() end
    end
    for i = 1, 10000, 2 do tasks[i]:cancel() end
    mine:close()
    await_all(tasks)
    assert.equal(5000, got)
    assert.equal(1, count(sem))
  end)

  it("S13 acquire checks for a cancellation first, try_acquire does not #heavy", function()
    local sem, ok, guard = corun.semaphore(1), nil, nil
    corun.scope(function(s)
      s:cancel()
      ok = pcall(sem.acquire, sem)
      guard = sem:try_acquire()
    end)
    assert.is_false(ok)
    assert.equal(0, count(sem))
    guard:close()
  end)

  it("S14 guards are released in a cancelled scope", function()
    local sem = corun.semaphore(1)
    local t = blocked(function()
      local _ <close> = sem:acquire()
      corun.sleep(3600)
    end)
    t:cancel()
    t:await()
    assert.equal(1, count(sem))
  end)

  it("S25 guards are released by the collector", function()
    local sem = corun.semaphore(2)
    local held = {sem:acquire(), sem:acquire()}
    assert.equal(0, count(sem))
    for i in ipairs(held) do held[i] = nil end
    collectgarbage()
    collectgarbage()
    assert.equal(2, count(sem))
  end)

  it("S25 a guard released by the collector goes to the first that waits", function()
    local sem = corun.semaphore(1)
    local t
    do
      local _ = sem:acquire()
      t = blocked(function()
        local _ <close> = sem:acquire()
        return "got it"
      end)
    end
    collectgarbage()
    collectgarbage()
    assert.equal("got it", t:await())
  end)

  it("S25 --dev tells where a guard was acquired that was left to the collector", function()
    local script = [[
      local corun = require "corun"
      local m = corun.mutex()
      do
        local _ = m:acquire()
      end
      collectgarbage()
      m:acquire():close()
      local kept = m:acquire() -- until the end: no warning
    ]]
    local r = program.run({"--dev", "-e", script})
    assert.matches("^corun: warning: a guard of mutex 0x%x+ was left to the garbage collector; " ..
      "task 1 acquired it at %(command line%):4: keep it in a <close> variable\n$", r.err)
    assert.same({out = "", err = "", status = 0}, program.run({"-e", script}))
  end)

  it("S25 no permit is lost to interrupts", function()
    local sem = corun.semaphore(1)
    for _ = 1, 4 do
      local _, err = corun.timeout(0.01, function()
        while true do
          local _ <close> = sem:acquire()
        end
      end)
      assert.equal("ETIMEDOUT", err.code)
      collectgarbage("stop")
      local n = count(sem)
      collectgarbage("restart")
      assert.equal(1, n)
    end
  end)

  it("is kept by its guard", function()
    local guard = corun.semaphore(1):acquire()
    collectgarbage()
    assert.matches("^guard 0x%x+ %(semaphore 0x%x+, held%)$", tostring(guard))
    guard:close()
    assert.matches("^guard 0x%x+ %(semaphore 0x%x+, released%)$", tostring(guard))
  end)

  it("shows its address and state, and is named in the task tree", function()
    local sem = corun.semaphore(2)
    assert.matches("^semaphore 0x%x+ %(2 of 2 left%)$", tostring(sem))
    local a, b = sem:acquire(), sem:acquire()
    local t = blocked(sem.acquire, sem)
    assert.matches("waiting for acquire semaphore " .. tostring(sem):match("0x%x+"),
      table.concat(debug_.tasks(), "\n"))
    a:close()
    b:close()
    t:await():close()
  end)

  it("refuses misuse", function()
    assert.error_matches(function() corun.semaphore(0) end, "at least one permit")
    assert.error_matches(function() corun.semaphore() end, "number expected")
    local sem = corun.semaphore(1)
    assert.error_matches(function() sem:acquire(2) end, "acquire takes no arguments")
    assert.error_matches(function() sem.acquire(corun.event()) end,
      "semaphore expected, got event")
    assert.equal(1, count(sem))
  end)

  it("S30 a wait where none is possible names the function and queues nobody", function()
    local sem = corun.semaphore(1)
    local mine = sem:acquire()
    assert.error_matches(function()
      table.sort({1, 2}, function() sem:acquire() end)
    end, "table%.sort")
    mine:close()
    assert.equal(1, count(sem))
  end)
end)

describe("mutex", function()
  it("lets one task in at once, in the order of asking", function()
    local m, inside, order, tasks = corun.mutex(), 0, {}, {}
    local mine = m:acquire()
    for i = 1, 10 do
      tasks[i] = blocked(function()
        local _ <close> = m:acquire()
        inside = inside + 1
        corun.yield()
        assert.equal(1, inside)
        inside = inside - 1
        order[#order + 1] = i
      end)
    end
    mine:close()
    await_all(tasks)
    assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, order)
  end)

  it("raises when its holder acquires it again", function()
    local m = corun.mutex()
    local mine = m:acquire()
    local ok, err = pcall(function() m:acquire() end)
    assert.is_false(ok)
    assert.matches("sync_spec%.lua:%d+: task %d+ holds this mutex", err)
    mine:close()
    m:acquire():close()
  end)

  it("raises too when it was handed to its holder by another task", function()
    local m = corun.mutex()
    local mine = m:acquire()
    local t = blocked(function()
      local _ <close> = m:acquire()
      return pcall(m.acquire, m)
    end)
    mine:close()
    assert.is_false((t:await()))
  end)

  it("names its holder", function()
    local m = corun.mutex()
    assert.matches("^mutex 0x%x+ %(free%)$", tostring(m))
    local mine <close> = m:acquire()
    local id = corun.current().id
    assert.matches("^mutex 0x%x+ %(held by task " .. id .. "%)$", tostring(m))
    assert.matches("^guard 0x%x+ %(mutex 0x%x+, held%)$", tostring(mine))
    local t = blocked(m.acquire, m)
    assert.matches("waiting for acquire mutex 0x%x+ held by task " .. id,
      table.concat(debug_.tasks(), "\n"))
    t:cancel()
    t:await()
  end)

  it("S15 is released by a waiter that was cancelled just after it was given it", function()
    local m = corun.mutex()
    local mine = m:acquire()
    local t = blocked(function()
      local _ <close> = m:acquire()
      corun.sleep(3600)
    end)
    mine:close()
    t:cancel()
    t:await()
    assert.matches("free", tostring(m))
  end)
end)

describe("event", function()
  it("S36 set carries its values to every wait, before and after", function()
    local e, tasks = corun.event(), {}
    for i = 1, 5 do tasks[i] = blocked(function() return table.pack(e:wait()) end) end
    e:set(1, nil, "three", nil)
    for i = 1, 5 do assert.same({1, nil, "three", nil, n = 4}, tasks[i]:await()) end
    assert.same({1, nil, "three", nil, n = 4}, table.pack(e:wait()))
    assert.is_true(e:is_set())
  end)

  it("carries no values when it was set without", function()
    local e = corun.event()
    local t = blocked(function() return select("#", e:wait()) end)
    e:set()
    assert.equal(0, t:await())
    assert.equal(0, select("#", e:wait()))
  end)

  it("S15 gives the values of the set that woke, whatever came later", function()
    local e = corun.event()
    local t = blocked(function() return e:wait() end)
    local chosen = blocked(function() return select(2, corun.select{e}) end)
    e:set("first")
    e:set("second")
    e:clear()
    assert.equal("first", t:await())
    assert.equal("first", chosen:await())
  end)

  it("keeps the values of the last set", function()
    local e = corun.event()
    e:set("first")
    e:set("second")
    assert.equal("second", e:wait())
  end)

  it("makes wait wait again once it is cleared", function()
    local e = corun.event()
    e:set(1)
    e:clear()
    e:clear()
    assert.is_false(e:is_set())
    local t = blocked(function() return e:wait() end)
    e:set(2)
    assert.equal(2, t:await())
  end)

  it("S13 wait checks for a cancellation first, set, clear and is_set do not #heavy", function()
    local e, ok, is_set = corun.event(), nil, nil
    e:set(1)
    corun.scope(function(s)
      s:cancel()
      ok = pcall(e.wait, e)
      e:clear()
      e:set(2)
      is_set = e:is_set()
    end)
    assert.is_false(ok)
    assert.is_true(is_set)
    assert.equal(2, e:wait())
  end)

  it("S15 a waiter woken and then cancelled has the values", function()
    local e, got, reached = corun.event(), nil, false
    local t = blocked(function()
      got = e:wait()
      corun.yield()
      reached = true
    end)
    e:set("value")
    t:cancel()
    t:await()
    assert.equal("value", got)
    assert.is_false(reached)
  end)

  it("may have 10,000 waiters, half of them cancelled #heavy", function()
    local e, tasks, sum = corun.event(), {}, 0
    for i = 1, 10000 do
      tasks[i] = corun.async(function()
        local v = e:wait()
        sum = sum + v
      end)
    end
    for i = 1, 10000 do
      while tasks[i]:status() ~= "waiting" do corun.yield() end
    end
    for i = 1, 10000, 2 do tasks[i]:cancel() end
    e:set(2)
    await_all(tasks)
    assert.equal(10000, sum)
  end)

  it("works in a coroutine of the script, with many values", function()
    local e = corun.event()
    local setter = corun.async(function() e:set(table.unpack({}, 1, 200)) end)
    local wait = coroutine.wrap(function()
      coroutine.yield(select("#", e:wait()))
    end)
    assert.equal(200, wait())
    setter:await()
  end)

  it("keeps no value once it was cleared", function()
    local e, weak = corun.event(), setmetatable({}, {__mode = "v"})
    weak[1] = {}
    e:set(weak[1])
    e:clear()
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)

  it("shows its address and state, and is named in the task tree", function()
    local e = corun.event()
    assert.matches("^event 0x%x+ %(not set%)$", tostring(e))
    local t = blocked(e.wait, e)
    assert.matches("waiting for wait event " .. tostring(e):match("0x%x+"),
      table.concat(debug_.tasks(), "\n"))
    e:set()
    assert.matches("^event 0x%x+ %(set%)$", tostring(e))
    t:await()
    e = corun.event("a free " .. "seat")
    t = blocked(e.wait, e)
    collectgarbage()
    assert.matches("waiting for word of a free seat", table.concat(debug_.tasks(), "\n"), 1, true)
    e:set()
    t:await()
    assert.error_matches(function() corun.event({}) end, "string expected, got table")
  end)

  it("refuses misuse", function()
    local e = corun.event()
    assert.error_matches(function() e:wait(1) end, "wait takes no arguments")
    assert.error_matches(function() e.set({}) end, "event expected, got table")
    assert.error_matches(function()
      string.gsub("x", "x", function() e:wait() end)
    end, "string%.gsub")
  end)
end)

-- SPDX-License-Identifier: MIT
-- Time limits (S17) and, for try, S18.
local corun = require "corun"
local tasks = dofile("tests/spec/support/tasks.lua")

local settle, started, error_of = tasks.settle, tasks.started, tasks.error_of

-- The global one is busted's.
local function lua_assert(value, ...)
  if not value then error((...), 0) end
  return value, ...
end

local function timed_out(value, err)
  assert.is_nil(value)
  assert.equal("ETIMEDOUT", err.code)
  return err
end

describe("S17 timeout", function()
  before_each(tasks.virtual)

  it("S17 gives nil and ETIMEDOUT when the time was up", function()
    local before = corun.now()
    local err = timed_out(corun.timeout(2, corun.sleep, 100))
    assert.equal("timeout: 2.0 s passed (ETIMEDOUT)", tostring(err))
    assert.is_true(err.retryable)
    assert.is_true(math.abs(corun.now() - before - 2) < 1e-3)
  end)

  it("S17 passes arguments and results, and true where there are none", function()
    local function same(...) return ... end
    assert.same({n = 3, 1, nil, 3}, table.pack(corun.timeout(1, same, 1, nil, 3)))
    assert.same({n = 1, true}, table.pack(corun.timeout(1, function() end)))
    assert.same({n = 1}, table.pack(corun.timeout(1, function() return nil end)))
    assert.same({n = 1, false}, table.pack(corun.timeout(1, function() return false end)))
  end)

  it("S17 values that fn ends with are the outcome, also after the deadline", function()
    assert.equal("late", corun.timeout(1, function()
      pcall(corun.sleep, 100)
      return "late"
    end))
    assert.equal("late", corun.timeout(1, function()
      corun.shield(corun.sleep, 5)
      return "late"
    end))
  end)

  it("S17 so is another error", function()
    assert.equal("other", error_of(corun.timeout, 1, function()
      pcall(corun.sleep, 100)
      error("other", 0)
    end))
    assert.equal("clean-up", error_of(corun.timeout, 1, function()
      local _ <close> = tasks.closing(function() error("clean-up", 0) end)
      corun.sleep(100)
    end))
    assert.equal("early", error_of(corun.timeout, 1, error, "early", 0))
  end)

  it("S17 an error made of the cancellation is another error", function()
    local err = error_of(corun.timeout, 1, function()
      local e = error_of(corun.sleep, 100)
      error("wrapped: " .. e.message, 0)
    end)
    assert.equal("wrapped: cancelled: 1.0 s passed", err)
  end)

  it("S17 children cut short by the deadline make a timeout of it", function()
    timed_out(corun.timeout(1, function()
      corun.spawn(corun.sleep, 100)
      return "the function had returned"
    end))
  end)

  it("S17 a child that outlasts the deadline in a shield is waited for", function()
    local ended
    assert.equal("value", corun.timeout(1, function()
      corun.spawn(corun.shield, function()
        corun.sleep(5)
        ended = true
      end)
      return "value"
    end))
    assert.is_true(ended)
  end)

  it("S17 of two timeouts that expire in one instant the outer one wins", function()
    local inner = "not returned"
    local err = timed_out(corun.timeout(1, function()
      inner = corun.timeout(1, corun.sleep, 100)
    end))
    assert.equal("timeout: 1.0 s passed (ETIMEDOUT)", tostring(err))
    assert.equal("not returned", inner)
  end)

  it("S17 also when both have passed while another task kept the loop", function()
    require("corun.debug").virtual(false)
    local inner = "not returned"
    corun.spawn(function()
      local stop = corun.now() + 0.06
      while corun.now() < stop do end
    end)
    timed_out(corun.timeout(0.02, function()
      inner = corun.timeout(0.01, corun.sleep, 100)
    end))
    assert.equal("not returned", inner)
  end)

  it("S17 of nested timeouts the shorter one wins, wherever it stands", function()
    local after
    assert.equal("outer goes on", corun.timeout(5, function()
      timed_out(corun.timeout(1, corun.sleep, 100))
      after = corun.now()
      corun.sleep(1)
      return "outer goes on"
    end))
    assert.is_number(after)
    local reached = false
    timed_out(corun.timeout(1, function()
      corun.timeout(5, corun.sleep, 100)
      reached = true
    end))
    assert.is_false(reached)
  end)

  it("S17 a timeout in the clean-up of a timeout", function()
    local inner
    timed_out(corun.timeout(1, function()
      local _ <close> = corun.defer(function()
        inner = table.pack(corun.timeout(1, corun.sleep, 100))
      end)
      corun.sleep(100)
    end))
    timed_out(inner[1], inner[2])
  end)

  it("S17 a timeout around a task that is cancelled from outside lets that pass", function()
    local returned = false
    local t = started(function()
      corun.timeout(10, corun.sleep, 100)
      returned = true
    end)
    t:cancel()
    local _, err = t:await()
    assert.equal("ECANCELED", err.code)
    assert.is_false(returned)
  end)

  it("S17 is no failure of the scope around it", function()
    local child
    assert.equal("fine", corun.scope(function()
      child = corun.spawn(corun.sleep, 5)
      corun.timeout(1, corun.sleep, 100)
      corun.sleep(1)
      return "fine"
    end))
    assert.equal("done", child:status())
  end)

  it("S17 with s <= 0 fn runs and its first checkpoint raises", function()
    for _, s in ipairs {0, -1, -math.huge} do
      local reached, passed = false, false
      timed_out(corun.timeout(s, function()
        reached = true
        corun.sleep(0)
        passed = true
      end))
      assert.is_true(reached)
      assert.is_false(passed)
      assert.equal("no checkpoint", corun.timeout(s, function() return "no checkpoint" end))
    end
  end)

  it("S17 NaN raises, math.huge is no deadline", function()
    local called = false
    assert.error_matches(function()
      corun.timeout(0 / 0, function() called = true end)
    end, "NaN")
    assert.is_false(called)
    assert.is_nil(corun.timeout(math.huge, corun.deadline))
    assert.is_nil(corun.timeout(1e300, corun.deadline))
    assert.equal(1, corun.timeout(math.huge, function()
      corun.sleep(1e6)
      return 1
    end))
  end)

  it("S17 refuses what is no number or cannot be called", function()
    assert.error_matches(function() corun.timeout("soon", print) end, "number expected")
    assert.error_matches(function() corun.timeout(1) end, "function expected")
    assert.error_matches(function() corun.timeout(1, {}) end, "function expected")
  end)

  it("S17 a deadline that has been left is forgotten", function()
    assert.equal(1, corun.timeout(1, function() return 1 end))
    assert.is_nil(corun.deadline())
    corun.sleep(10)
    for _ = 1, 100 do corun.timeout(1, corun.yield) end
    corun.sleep(10)
  end)

  it("S17 many timeouts at once end each at its own time", function()
    local late = 0
    corun.scope(function()
      for i = 1, 200 do
        corun.spawn(function()
          local before = corun.now()
          timed_out(corun.timeout(i % 17 + 1, corun.sleep, 1e6))
          if math.abs(corun.now() - before - (i % 17 + 1)) > 1e-3 then late = late + 1 end
        end)
      end
    end)
    assert.equal(0, late)
  end)

  it("S17 in a generator: the suspension and the timeout pass through", function()
    local slow = coroutine.wrap(function()
      for i = 1, math.huge do
        corun.sleep(0.4)
        coroutine.yield(i)
      end
    end)
    local seen = {}
    timed_out(corun.timeout(1, function()
      while true do seen[#seen + 1] = slow() end
    end))
    assert.same({1, 2}, seen)
  end)

  it("S17 in real time", function()
    require("corun.debug").virtual(false)
    local before = corun.now()
    timed_out(corun.timeout(0.02, corun.sleep, 100))
    local took = corun.now() - before
    assert.is_true(took >= 0.0199)
  end)
end)

describe("S18 try", function()
  before_each(tasks.virtual)

  it("S18 gives what fn raised as nil, err", function()
    local e = {}
    local value, err = corun.try(error, e)
    assert.is_nil(value)
    assert.equal(e, err)
    assert.same({n = 2, nil, "text"}, table.pack(corun.try(error, "text", 0)))
    assert.same({n = 2}, table.pack(corun.try(error)))
  end)

  it("S18 is the inverse of assert", function()
    local e = corun.err("EX", "x")
    local _, err = corun.try(function() return lua_assert(nil, e) end)
    assert.equal(e, err)
    assert.equal(e, error_of(function() return lua_assert(corun.try(error, e)) end))
    assert.same({n = 3, 1, nil, 2},
      table.pack(lua_assert(corun.try(function() return 1, nil, 2 end))))
  end)

  it("S18 gives true where fn returned nothing, and what it returned", function()
    assert.same({n = 1, true}, table.pack(corun.try(function() end)))
    assert.same({n = 1}, table.pack(corun.try(function() return nil end)))
    assert.same({n = 3, 1, 2, 3}, table.pack(corun.try(function(...) return ... end, 1, 2, 3)))
  end)

  it("S18 cancellation passes through", function()
    local caught = false
    local t = started(function()
      corun.try(corun.sleep, 100)
      caught = true
    end)
    t:cancel()
    t:await()
    assert.is_false(caught)
    timed_out(corun.timeout(1, corun.try, corun.try, corun.sleep, 100))
  end)

  it("S18 may suspend, also in a generator", function()
    local g = coroutine.wrap(function()
      local value, err = corun.try(function()
        corun.sleep(1)
        coroutine.yield("in the middle")
        error("end", 0)
      end)
      return value, err
    end)
    assert.equal("in the middle", g())
    assert.same({n = 2, nil, "end"}, table.pack(g()))
  end)

  it("S18 needs a function", function()
    assert.error_matches(function() corun.try() end, "function expected")
    assert.error_matches(function() corun.try("text") end, "function expected")
    settle()
  end)
end)

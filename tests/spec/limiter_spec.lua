-- SPDX-License-Identifier: MIT
-- corun.limiter and corun.every, on the virtual clock (S36, S37).

local corun = require("corun")
local debug_ = require("corun.debug")

local function near(expected, actual)
  local text = ("expected %.9f, got %.9f"):format(expected, actual)
  assert.is_true(math.abs(expected - actual) < 1e-6, text)
end

local function blocked(fn, ...)
  local t = corun.async(fn, ...)
  repeat corun.yield() until t:status() ~= "ready"
  assert.equal("waiting", t:status())
  return t
end

describe("limiter", function()
  local start

  local function begin()
    debug_.virtual(true)
    start = corun.now()
  end

  local function elapsed()
    return corun.now() - start
  end

  it("lets a burst of n through at once, then n in each period", function()
    begin()
    local l = corun.limiter(10, 1)
    for _ = 1, 10 do l:wait() end
    near(0, elapsed())
    for i = 1, 30 do
      l:wait()
      near(i / 10, elapsed())
    end
  end)

  it("spaces evenly with a burst of 1", function()
    begin()
    local l = corun.limiter(4, 2, {burst = 1})
    for i = 0, 20 do
      l:wait()
      near(i / 2, elapsed())
    end
  end)

  it("saves up to the burst in a pause, and no more", function()
    begin()
    local l = corun.limiter(10, 1, {burst = 3})
    for _ = 1, 3 do l:wait() end
    corun.sleep(100)
    for _ = 1, 3 do l:wait() end
    near(100, elapsed())
    l:wait()
    near(100.1, elapsed())
  end)

  it("takes k at once, also fractions and 0", function()
    begin()
    local l = corun.limiter(10, 1)
    l:wait(10)
    l:wait(0)
    near(0, elapsed())
    l:wait(5)
    near(0.5, elapsed())
    l:wait(2.5)
    near(0.75, elapsed())
  end)

  it("may allow less than one in a period", function()
    begin()
    local l = corun.limiter(1, 60)
    for _ = 1, 3 do l:wait() end
    near(120, elapsed())
    l = corun.limiter(0.5, 1)
    l:wait()
    l:wait()
    near(122, elapsed())
  end)

  it("keeps its rate over 10,000 waits, whatever the clock rounds #heavy", function()
    begin()
    local l = corun.limiter(3, 1, {burst = 1})
    for _ = 1, 10001 do l:wait() end
    near(10000 / 3, elapsed())
  end)

  it("makes up for a late wake-up", function()
    begin()
    local l = corun.limiter(10, 1, {burst = 2})
    for i = 1, 40 do
      l:wait()
      if i % 4 == 0 then corun.sleep(0.15) end -- work of more than one period, less than the burst
    end
    near(3.95, elapsed())
  end)

  it("serves first come, first served: a small request does not pass a large one", function()
    begin()
    local l, order = corun.limiter(1, 1, {burst = 5}), {}
    l:wait(5)
    local tasks = {}
    for i, k in ipairs{5, 1, 2, 1} do
      tasks[i] = blocked(function()
        l:wait(k)
        order[#order + 1] = {i, math.floor(elapsed() + 0.5)}
      end)
    end
    for i = 1, 4 do tasks[i]:await() end
    assert.same({{1, 5}, {2, 6}, {3, 8}, {4, 9}}, order)
  end)

  it("S15 loses nothing to cancelled waiters: the first of the line, or in it", function()
    begin()
    local l, times = corun.limiter(1, 1), {}
    l:wait()
    local tasks = {}
    for i = 1, 5 do
      tasks[i] = blocked(function()
        l:wait()
        times[i] = elapsed()
      end)
    end
    corun.sleep(0.5)
    tasks[1]:cancel()
    tasks[3]:cancel()
    for i = 1, 5 do tasks[i]:await() end
    assert.is_nil(times[1] or times[3])
    near(1, times[2])
    near(2, times[4])
    near(3, times[5])
  end)

  it("S13 checks for a cancellation also when it has not to wait", function()
    local l, ok = corun.limiter(2, 1), nil
    corun.scope(function(s)
      s:cancel()
      ok = pcall(l.wait, l)
    end)
    assert.is_false(ok)
    l:wait(2)
  end)

  it("shows its limit and what is free", function()
    debug_.virtual(true)
    local l = corun.limiter(10, 1)
    l:wait(4)
    assert.matches("^limiter 0x%x+ %(10 in 1 s, 6 of 10 free%)$", tostring(l))
  end)

  it("refuses misuse at the caller's line", function()
    local l = corun.limiter(5, 1)
    local function refused(pattern, fn, ...)
      local ok, err = pcall(function(...) return (fn(...)) end, ...)
      assert.is_false(ok)
      assert.matches("limiter_spec%.lua:%d+: ", err)
      assert.matches(pattern, err)
    end
    refused("wait%(6%) would never end: at most 5", l.wait, l, 6)
    refused("wait takes a number of 0 or more, got %-1", l.wait, l, -1)
    refused("wait takes a number of 0 or more, got NaN", l.wait, l, math.abs(0 / 0))
    refused('wait takes a number of 0 or more, got "x"', l.wait, l, "x")
    refused("the number of limiter must be a finite number above 0, got 0", corun.limiter, 0, 1)
    refused("the number of limiter", corun.limiter)
    refused("the period of limiter must be", corun.limiter, 1, 0)
    refused("the period of limiter must be", corun.limiter, 1, math.huge)
    refused("the burst of limiter must be", corun.limiter, 1, 1, {burst = -1})
    refused('unknown option "brust" for limiter %(did you mean "burst"%?%)', corun.limiter, 1, 1,
      {brust = 1})
  end)
end)

describe("S36 every", function()
  -- The numbers of n ticks and when they came; body runs after each.
  local function ticks(period, n, body)
    debug_.virtual(true)
    local start, seen = corun.now(), {}
    for i in corun.every(period) do
      seen[#seen + 1] = {i, math.floor((corun.now() - start) * 1000 + 0.5) / 1000}
      if #seen == n then return seen end
      if body then body(i) end
    end
  end

  it("S36 ticks at once, then counts 1, 2, 3 ... once a period", function()
    assert.same({{1, 0}, {2, 0.5}, {3, 1}, {4, 1.5}}, ticks(0.5, 4))
  end)

  it("S36 does not drift, however long the body takes within a period", function()
    local seen = ticks(1, 100, function(i) corun.sleep(i % 10 * 0.09) end)
    for i = 1, 100 do assert.same({i, i - 1}, seen[i]) end
  end)

  it("S36 counts the ticks that were skipped, and is late once", function()
    local seen = ticks(1, 5, function(i)
      if i == 2 then corun.sleep(3.5) end
    end)
    assert.same({{1, 0}, {2, 1}, {5, 4.5}, {6, 5}, {7, 6}}, seen)
  end)

  it("S36 keeps to whole periods with periods that are no exact numbers", function()
    local seen = ticks(0.1, 301)
    for i = 1, 301 do assert.equal(i, seen[i][1]) end
    near(30, seen[301][2])
  end)

  it("lets other tasks run and can be cancelled, even when it is always late", function()
    local n = 0
    local _, err = corun.timeout(0.05, function()
      for i in corun.every(1e-7) do n = i end
    end)
    assert.equal("ETIMEDOUT", err.code)
    assert.is_true(n > 10)
  end)

  it("S13 checks for a cancellation before the first tick", function()
    local ok, n
    corun.scope(function(s)
      s:cancel()
      ok = pcall(function()
        for i in corun.every(1) do n = i end
      end)
    end)
    assert.is_false(ok)
    assert.is_nil(n)
  end)

  it("ends for a task that waits when another closes it, and stays ended", function()
    debug_.virtual(true)
    local beat = corun.every(3600)
    local t = corun.async(function()
      local n
      for i in beat do n = i end
      return n
    end)
    corun.sleep(1)
    beat:close()
    assert.equal(1, t:await())
    beat:close()
    assert.is_nil(beat())
    assert.matches("^every 0x%x+ %(3600 s, closed%)$", tostring(beat))
  end)

  it("is closed by break", function()
    debug_.virtual(true)
    local kept
    for i in (function(...)
      kept = ...
      return ...
    end)(corun.every(1)) do
      if i == 2 then break end
    end
    assert.is_nil(kept())
  end)

  it("is a source for map", function()
    debug_.virtual(true)
    local beat = corun.every(1)
    local out = corun.map(beat, function(i)
      if i == 3 then beat:close() end
      return i * i
    end)
    assert.same({1, 4, 9, n = 3}, out)
  end)

  it("refuses misuse at the caller's line", function()
    for _, s in ipairs{0, -1, math.huge, 0 / 0, "1"} do
      local ok, err = pcall(function() return (corun.every(s)) end)
      assert.is_false(ok)
      assert.matches("limiter_spec%.lua:%d+: every takes a finite number of seconds above 0", err)
    end
  end)
end)

-- SPDX-License-Identifier: MIT
-- gather, map, each, race, any (S9, and what S2, S3, S11 and S13 say of them).
local corun = require "corun"
local tasks = dofile("tests/spec/support/tasks.lua")

local settle, started, error_of, slow_to_end = tasks.settle, tasks.started, tasks.error_of,
  tasks.slow_to_end

local function fail(value) error(value, 0) end

local function after(s, ...)
  local values = table.pack(...)
  return function()
    corun.sleep(s)
    return table.unpack(values, 1, values.n)
  end
end

local function fail_after(s, value)
  return function()
    corun.sleep(s)
    fail(value)
  end
end

local function elapsed(fn, ...)
  local before = corun.now()
  fn(...)
  return math.floor((corun.now() - before) * 1000 + 0.5) / 1000
end

describe("S9 gather", function()
  before_each(tasks.virtual)

  it("S9 runs functions at once and returns their first results in order", function()
    assert.equal(3, elapsed(function()
      assert.same({n = 3, "a", "b", nil},
        table.pack(corun.gather(after(3, "a", "more"), after(1, "b"), after(2, nil))))
    end))
  end)

  it("S9 with a table returns one with the same keys, and n", function()
    assert.same({x = 1, y = 2, 3, n = 3},
      corun.gather {x = after(2, 1), y = after(1, 2), after(0, 3)})
    assert.same({n = 0}, corun.gather {})
    assert.same({n = 0}, table.pack(corun.gather()))
    assert.same({n = 2, 1, 2}, corun.gather(table.pack(after(0, 1), after(0, 2))))
  end)

  it("S9 takes tasks like functions", function()
    local t = corun.async(after(2, "task"))
    assert.same({n = 2, "task", "function"}, table.pack(corun.gather(t, after(1, "function"))))
    assert.equal("task", corun.gather(t))
    assert.equal("task", t:await())
  end)

  it("S9 the first failure cancels the rest, which it waits for, and is raised", function()
    local ended = {}
    assert.equal("failed", error_of(corun.gather, slow_to_end(ended, "a", 2),
      fail_after(1, "failed"), slow_to_end(ended, "b", 1)))
    assert.same({"b", "a"}, ended)
  end)

  it("S9 tasks handed over are cancelled and waited for when it fails", function()
    local ended = {}
    local t = corun.async(slow_to_end(ended, "task", 5))
    assert.equal("failed", error_of(corun.gather, t, fail_after(1, "failed")))
    assert.same({"task"}, ended)
    assert.equal("cancelled", t:status())
  end)

  it("S9 also when it fails before it could look at them", function()
    for _ = 1, 5 do
      local ended = {}
      local t, u = started(slow_to_end(ended, "t", 1)), corun.async(slow_to_end(ended, "u", 1))
      assert.equal("at once", error_of(corun.gather, function() fail("at once") end, t, u))
      assert.is_true(t:done() and u:done())
      assert.equal("cancelled", t:status())
    end
  end)

  it("S9 and when it is cancelled", function()
    local ended = {}
    local handed = started(slow_to_end(ended, "task", 1))
    local t = started(corun.gather, handed, slow_to_end(ended, "function", 2))
    t:cancel()
    local value, err = t:await()
    assert.is_nil(value)
    assert.equal("ECANCELED", err.code)
    table.sort(ended)
    assert.same({"function", "task"}, ended)
    assert.equal("cancelled", handed:status())
  end)

  it("S9 and when it is called in a cancelled scope", function()
    local handed = started(corun.sleep, 100)
    local t = started(function()
      corun.current():cancel()
      corun.gather(handed)
    end)
    t:await()
    assert.equal("cancelled", handed:status())
  end)

  it("S9 what a task handed over raises is raised, and delivered", function()
    corun.scope(function()
      local t = corun.async(fail_after(1, "from the task"))
      assert.equal("from the task", error_of(corun.gather, t, after(5)))
      t = started(fail_after(0, "failed before"))
      assert.equal("failed before", error_of(corun.gather, t))
    end)
  end)

  it("S9 the failure of one during its clean-up is not lost", function()
    local t = started(function()
      local _ <close> = tasks.closing(function() fail("clean-up") end)
      corun.sleep(100)
    end)
    local err = error_of(corun.gather, fail_after(1, corun.err("EFIRST", "first")), t)
    assert.equal("EFIRST", err.code)
    assert.same({"clean-up"}, err.others)
  end)

  it("S9 a cancelled task handed over is a failure with ECANCELED", function()
    local t = started(corun.sleep, 100)
    t:cancel()
    assert.equal("ECANCELED", error_of(corun.gather, t).code)
  end)

  it("S9 refuses what is neither function nor task, with its place", function()
    assert.error_matches(function() corun.gather(print, 5) end,
      "gather needs functions or tasks, got number for 2")
    assert.error_matches(function() corun.gather {x = "text"} end, "got string for x")
    assert.error_matches(function() corun.gather {n = print} end, "number of results as n")
    assert.matches("combine_spec%.lua:%d+: gather needs", error_of(function() corun.gather(5) end))
  end)

  it("S9 refuses a task that it runs in, which goes on", function()
    local t = corun.async(function()
      local me = corun.current()
      local own = error_of(corun.gather, fail, me)
      local outer = corun.async(function() return error_of(corun.gather, me) end):await()
      corun.sleep(1)
      return own, outer
    end)
    local own, outer = t:await()
    assert.matches("gather cannot wait for task %d+ %(running%), which it runs in", own)
    assert.matches("which it runs in", outer)
  end)
end)

describe("a list with a hole", function()
  it("is refused where it has one, not cut short", function()
    for _, name in ipairs{"map", "each"} do
      local ok, err = pcall(function()
        local r = corun[name]({1, nil, 3, n = 3}, function(x) return x end)
        if name == "each" then for _ in r do end end
      end)
      assert.is_false(ok)
      assert.matches("item 2 of the list for " .. name .. " is nil, of 3", tostring(err), 1, true)
    end
  end)
end)

describe("any without anything", function()
  it("is answered in the caller's line", function()
    local ok, err = pcall(function() corun.any() end)
    assert.is_false(ok)
    assert.matches("^tests/spec/combine_spec.lua:%d+: any needs a list of functions, or a source "
      .. "and a function, got nil$", err)
  end)
end)

describe("map", function()
  before_each(tasks.virtual)

  it("returns results in order, whoever ends first", function()
    assert.same({n = 4, 40, 30, 20, 10}, corun.map({4, 3, 2, 1}, function(i)
      corun.sleep(i)
      return i * 10
    end))
  end)

  it("keeps to the limit, 16 by default", function()
    for _, limit in ipairs {1, 3, false} do
      local running, most = 0, 0
      local items = {}
      for i = 1, 40 do items[i] = i end
      local out = corun.map(items, function(i)
        running = running + 1
        most = math.max(most, running)
        corun.sleep(i % 5 + 1)
        running = running - 1
        return i
      end, limit and {limit = limit} or nil)
      assert.equal(limit or 16, most)
      assert.same(items, table.move(out, 1, 40, 1, {}))
      assert.equal(40, out.n)
    end
  end)

  it("gives fn the item alone, and takes nil results", function()
    local counts = corun.map({"a", "b"}, function(...) return select("#", ...) end)
    assert.same({n = 2, 1, 1}, counts)
    assert.same({n = 3}, corun.map({1, 2, 3}, function() end))
    assert.same({n = 0}, corun.map({}, print))
  end)

  it("takes a function, a callable object, which it closes, and a channel", function()
    local function counter(n)
      local i = 0
      return function()
        i = i + 1
        if i <= n then return i end
      end
    end
    local function double(i) return 2 * i end
    assert.same({n = 3, 2, 4, 6}, corun.map(counter(3), double))
    local closed = 0
    local object = setmetatable({}, {
      __call = counter(3),
      __close = function() closed = closed + 1 end,
    })
    assert.same({n = 3, 2, 4, 6}, corun.map(object, double))
    assert.equal(1, closed)
    local c = corun.channel()
    corun.spawn(function()
      for i = 1, 3 do c:send(i) end
      c:close()
    end)
    assert.same({n = 3, 2, 4, 6}, corun.map(c, double))
  end)

  it("takes a generator that waits", function()
    local g = coroutine.wrap(function()
      for i = 1, 3 do
        corun.sleep(1)
        coroutine.yield(i)
      end
    end)
    assert.same({n = 3, 1, 2, 3}, corun.map(g, function(i) return i end))
  end)

  it("raises the first failure, with the rest cancelled and the source closed", function()
    local ended, closed = {}, false
    local i = 0
    local source = setmetatable({}, {
      __call = function()
        i = i + 1
        return i
      end,
      __close = function() closed = true end,
    })
    assert.equal("third", error_of(corun.map, source, function(n)
      if n < 3 then return slow_to_end(ended, n)() end
      corun.sleep(1)
      fail("third")
    end, {limit = 3}))
    table.sort(ended)
    assert.same({1, 2}, ended)
    assert.is_true(closed)
    assert.is_true(i <= 4)
  end)

  it("a failure of the source cancels the calls", function()
    local ended, i = {}, 0
    assert.equal("source", error_of(corun.map, function()
      i = i + 1
      if i == 3 then
        corun.sleep(1)
        fail("source")
      end
      return i
    end, function(n) return slow_to_end(ended, n)() end))
    assert.equal(2, #ended)
  end)

  it("refuses what it cannot use", function()
    assert.error_matches(function() corun.map({}, 5) end, "map needs a function")
    assert.error_matches(function() corun.map(5, print) end,
      "map takes a list, a function or a channel")
    assert.error_matches(function() corun.map({}, print, {limits = 1}) end, "unknown option")
    assert.error_matches(function() corun.map({}, print, {limit = 0}) end, "limit")
    assert.matches("combine_spec%.lua:%d+:", error_of(function() corun.map({}, 5) end))
  end)
end)

describe("each", function()
  before_each(tasks.virtual)

  it("gives item and results as they come", function()
    local seen = {}
    for item, a, b in corun.each({3, 1, 2}, function(i)
      corun.sleep(i)
      return i * 10, "second"
    end) do seen[#seen + 1] = {item, a, b} end
    assert.same({{1, 10, "second"}, {2, 20, "second"}, {3, 30, "second"}}, seen)
  end)

  it("S11 break cancels the rest and waits for it", function()
    local ended = {}
    assert.equal(3, elapsed(function()
      for item in corun.each({1, 2, 3}, function(i)
        if i == 1 then return corun.sleep(1) end
        return slow_to_end(ended, i, 2)()
      end) do
        if item == 1 then break end
      end
    end))
    assert.equal(2, #ended)
  end)

  it("S11 so do return, goto, an error and a cancellation in the loop", function()
    local ended = {}
    local function loop(leave)
      for _ in corun.each({1, 2}, function(i)
        if i == 1 then return corun.sleep(1) end
        return slow_to_end(ended, i)()
      end) do leave() end
    end
    assert.equal("left", error_of(loop, function() fail("left") end))
    assert.equal(1, #ended)
    local t = started(loop, function() corun.sleep(100) end)
    corun.sleep(2)
    t:cancel()
    t:await()
    assert.equal(2, #ended)
    local function leave_at_once()
      for item in corun.each({1, 2}, slow_to_end(ended, 3)) do
        if item then return item end
      end
    end
    t = started(leave_at_once)
    t:cancel()
    t:await()
    assert.equal(4, #ended)
  end)

  it("raises what a call raised, after the results that were there before", function()
    local seen, ended = {}, {}
    assert.equal("second", error_of(function()
      for item in corun.each({1, 2, 3}, function(i)
        if i == 3 then return slow_to_end(ended, i)() end
        corun.sleep(i)
        if i == 2 then fail("second") end
      end) do seen[#seen + 1] = item end
    end))
    assert.same({1}, seen)
    assert.same({3}, ended)
  end)

  it("a failure of the calls that break has cancelled is not lost", function()
    assert.equal("clean-up", error_of(function()
      for item in corun.each({1, 2}, function(i)
        if i == 1 then return end
        local _ <close> = tasks.closing(function() fail("clean-up") end)
        corun.sleep(100)
      end) do
        settle()
        if item == 1 then break end
      end
    end))
    local err = error_of(function()
      for item in corun.each({1, 2}, function(i)
        if i == 1 then return end
        local _ <close> = tasks.closing(function() fail("clean-up") end)
        corun.sleep(100)
      end) do
        settle()
        if item == 1 then fail(corun.err("ELOOP", "loop")) end
      end
    end)
    assert.equal("ELOOP", err.code)
    assert.same({"clean-up"}, err.others)
  end)

  it("keeps to the limit and to a slow reader", function()
    local started_calls = 0
    local items = {}
    for i = 1, 50 do items[i] = i end
    local n = 0
    for _ in corun.each(items, function() started_calls = started_calls + 1 end, {limit = 4}) do
      n = n + 1
      corun.sleep(1)
      assert.is_true(started_calls <= n + 2 * 4 + 1)
    end
    assert.equal(50, n)
  end)

  it("takes every kind of source and none", function()
    for _ in corun.each({}, print) do error("not reached") end
    local c = corun.channel(2)
    c:send(1)
    c:send(2)
    c:close()
    local sum = 0
    for item in corun.each(c, corun.yield) do sum = sum + item end
    assert.equal(3, sum)
  end)

  it("can be used without a loop, and closed twice", function()
    local it = corun.each({1, 2, 3}, function(i)
      corun.sleep(i)
      return -i
    end)
    assert.equal("each iterator (open)", tostring(it))
    assert.same({1, -1}, {it()})
    it:close()
    it:close()
    assert.equal("each iterator (closed)", tostring(it))
    assert.is_nil(it())
  end)

  it("left alone it ends with its scope", function()
    local ended = {}
    corun.scope(function()
      corun.each({1}, slow_to_end(ended, 1))
      settle()
    end)
    assert.same({1}, ended)
  end)

  it("may be nested", function()
    local seen = {}
    for i in corun.each({1, 2}, corun.yield) do
      for j in corun.each({10, 20}, corun.yield) do seen[#seen + 1] = i + j end
    end
    table.sort(seen)
    assert.same({11, 12, 21, 22}, seen)
  end)

  it("refuses what it cannot use", function()
    assert.error_matches(function() corun.each({}, 5) end, "each needs a function")
    assert.error_matches(function() corun.each(5, print) end, "each takes a list")
    assert.error_matches(function() corun.each({}, print, {limt = 1}) end, "did you mean")
  end)
end)

describe("S9 race", function()
  before_each(tasks.virtual)

  it("S9 ends with the first to finish; the losers are cancelled and waited for", function()
    local ended = {}
    assert.equal(3, elapsed(function()
      assert.same({n = 3, "fast", 1, 2},
        table.pack(corun.race {slow = slow_to_end(ended, "slow", 2), fast = after(1, 1, 2)}))
    end))
    assert.same({"slow"}, ended)
  end)

  it("S9 failure included", function()
    assert.equal("first", error_of(corun.race, {fail_after(1, "first"), after(2, "second")}))
    assert.same({n = 3, 1, nil, "soft"}, table.pack(corun.race {after(1, nil, "soft"), after(2)}))
  end)

  it("S9 takes tasks: the lost one is cancelled", function()
    local ended = {}
    local winner, loser = corun.async(after(1, "won")), corun.async(slow_to_end(ended, "lost", 1))
    assert.same({n = 2, "a", "won"}, table.pack(corun.race {a = winner, b = loser}))
    assert.equal("cancelled", loser:status())
    assert.same({"lost"}, ended)
    winner = started(function() return 1 end)
    assert.equal("a", (corun.race {a = winner, b = after(5)}))
  end)

  it("S9 a lost task whose failure nobody has read is not forgotten", function()
    local loser = started(function()
      local _ <close> = tasks.closing(function() fail("clean-up") end)
      corun.sleep(100)
    end)
    assert.equal("clean-up", error_of(corun.race, {after(1), loser}))
  end)

  it("S9 of two that finish in one instant one wins", function()
    for _ = 1, 20 do
      local key, value = corun.race {a = after(1, "A"), b = after(1, "B")}
      assert.equal(key:upper(), value)
    end
  end)

  it("S9 of a task that was cancelled gives nil and ECANCELED", function()
    local t = started(corun.sleep, 100)
    t:cancel()
    local key, value, err = corun.race {t = t}
    assert.equal("t", key)
    assert.is_nil(value)
    assert.equal("ECANCELED", err.code)
  end)

  it("S9 in which all cancel themselves raises ECANCELED", function()
    local function give_up()
      corun.current():cancel()
      corun.sleep(0)
    end
    assert.equal("ECANCELED", error_of(corun.race, {give_up, give_up}).code)
  end)

  it("S9 a cancelled race cancels all and waits", function()
    local ended = {}
    local t = started(corun.race, {slow_to_end(ended, 1, 1), slow_to_end(ended, 2, 2)})
    t:cancel()
    local value, err = t:await()
    assert.is_nil(value)
    assert.equal("ECANCELED", err.code)
    assert.same({1, 2}, ended)
  end)

  it("S9 refuses an empty table and other values", function()
    assert.error_matches(function() corun.race {} end, "race needs a table of functions or tasks")
    assert.error_matches(function() corun.race(print) end, "race needs a table")
    assert.error_matches(function() corun.race {1} end, "got number for 1")
  end)
end)

describe("S9 any", function()
  before_each(tasks.virtual)

  it("S9 ends with the first success", function()
    local ended = {}
    assert.same({n = 2, "won", "more"}, table.pack(corun.any {
      fail_after(1, "first"), after(1, nil, "soft"), after(2, "won", "more"),
      slow_to_end(ended, "slow", 1)}))
    assert.same({"slow"}, ended)
  end)

  it("S9 of items with fn", function()
    assert.equal(20, (corun.any({1, 2, 3}, function(i)
      if i ~= 2 then return nil, "no " .. i end
      return i * 10
    end)))
  end)

  it("S9 all failed: the first error, the rest in others", function()
    local a, b, c = corun.err("EA", "a"), corun.err("EB", "b"), "c"
    local value, err = corun.any {fail_after(1, a), after(2, nil, b), fail_after(3, c)}
    assert.is_nil(value)
    assert.equal("EA", err.code)
    assert.same({b, c}, err.others)
    value, err = corun.any {fail_after(1, a)}
    assert.is_nil(value)
    assert.equal(a, err)
  end)

  it("S9 of nothing fails", function()
    local value, err = corun.any {}
    assert.is_nil(value)
    assert.equal("EINVAL", err.code)
  end)

  it("S9 stagger starts the next when one has failed or has taken that long", function()
    local starts = {}
    local function attempt(i)
      return function()
        starts[i] = corun.now()
        if i == 1 then
          corun.sleep(1)
          return nil, "failed"
        end
        if i == 4 then return "won" end
        corun.sleep(100)
      end
    end
    local before = corun.now()
    assert.equal("won",
      (corun.any({attempt(1), attempt(2), attempt(3), attempt(4)}, nil, {stagger = 10})))
    for i, s in ipairs {0, 1, 11, 21} do
      assert.is_true(math.abs(starts[i] - before - s) < 1e-3)
    end
  end)

  it("S9 with stagger those not started are never called", function()
    local called = false
    assert.equal(1, (corun.any({after(1, 1), function() called = true end}, nil, {stagger = 5})))
    assert.is_false(called)
  end)

  it("S9 takes tasks; the losers are cancelled and waited for", function()
    local ended = {}
    local loser = corun.async(slow_to_end(ended, "lost", 2))
    local failing = corun.async(fail_after(1, "failed"))
    assert.equal("won", (corun.any {loser, failing, after(2, "won")}))
    assert.equal("cancelled", loser:status())
    assert.same({"lost"}, ended)
  end)

  it("S9 cancellation is no failed attempt", function()
    local t = started(corun.any, {after(100)})
    t:cancel()
    local value, err = t:await()
    assert.is_nil(value)
    assert.equal("ECANCELED", err.code)
  end)

  it("S9 refuses what it cannot use", function()
    assert.error_matches(function() corun.any({}, 5) end, "any needs a function")
    assert.error_matches(function() corun.any {5} end, "any needs functions or tasks")
    assert.error_matches(function() corun.any({print}, nil, {stager = 1}) end, "did you mean")
  end)
end)

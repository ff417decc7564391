-- SPDX-License-Identifier: MIT
-- What is a failure, and what several make (S2, S5).
local corun = require "corun"
local tasks = dofile("tests/spec/support/tasks.lua")

local settle, started, error_of = tasks.settle, tasks.started, tasks.error_of

local function fail(value) error(value, 0) end

local function soft(err) return nil, err end

-- Fail with each value in a child of its own, all in the same instant.
local function fail_at_once(values)
  for i = 1, #values do
    corun.spawn(function()
      corun.sleep(1)
      error(values[i], 0)
    end)
  end
end

describe("S2 failure", function()
  before_each(tasks.virtual)

  it("S2 a task that returns nil and an error has failed", function()
    for _, err in ipairs {corun.err("EX", "x"), "text", false, 0} do
      local t = started(soft, err)
      assert.equal("failed", t:status())
      assert.same({n = 2, nil, err}, table.pack(t:await()))
    end
    local successes = {{n = 0}, {n = 1}, {n = 2}, {n = 3, nil, nil, "x"}, {n = 2, false, "x"}}
    for _, values in ipairs(successes) do
      local t = started(table.unpack, values, 1, values.n)
      assert.equal("done", t:status())
      assert.equal(values.n, select("#", t:await()))
    end
  end)

  it("S2 spawn and daemon treat it like a raise", function()
    local e = corun.err("EQUOTA", "no calls left")
    for _, start in ipairs {"spawn", "daemon"} do
      local sibling
      assert.equal(e, error_of(corun.scope, function()
        sibling = corun.spawn(corun.sleep, 100)
        corun[start](soft, e)
        corun.sleep(100)
      end))
      assert.equal("cancelled", sibling:status())
    end
  end)

  it("S2 so does an async task that is never awaited", function()
    local e = corun.err("EQUOTA", "no calls left")
    assert.equal(e, error_of(corun.scope, function() corun.async(soft, e) end))
    corun.scope(function()
      local value, err = corun.async(soft, e):await()
      assert.is_nil(value)
      assert.equal(e, err)
    end)
  end)

  it("S2 gather and map too, with the siblings cancelled", function()
    local e = corun.err("EQUOTA", "no calls left")
    local ended = {}
    assert.equal(e, error_of(corun.gather, tasks.slow_to_end(ended, "a"), function()
      corun.sleep(1)
      return nil, e
    end))
    assert.same({"a"}, ended)
    assert.equal(e, error_of(corun.map, {1, 2, 3}, function(i)
      if i == 2 then
        corun.sleep(1)
        return nil, e
      end
      return tasks.slow_to_end(ended, i)()
    end))
    assert.equal(3, #ended)
  end)

  it("S2 await, race, scope, timeout, shield and try pass the returns on", function()
    local e = corun.err("EX", "x")
    local function three() return nil, e, "more" end
    local want = {n = 3, nil, e, "more"}
    assert.same(want, table.pack(corun.async(three):await()))
    assert.same(want, table.pack(corun.scope(three)))
    assert.same(want, table.pack(corun.timeout(1, three)))
    assert.same(want, table.pack(corun.shield(three)))
    assert.same(want, table.pack(corun.try(three)))
    assert.same({n = 4, "k", nil, e, "more"}, table.pack(corun.race {k = three}))
  end)

  it("S2 each hands nil, err to the loop and raises what was raised", function()
    local seen = {}
    for item, value, err in corun.each({1, 2, 3}, function(i)
      if i == 2 then return nil, "soft" end
      return i * 10
    end) do seen[item] = value or err end
    assert.same({10, "soft", 30}, seen)
    local count = 0
    assert.equal("hard", error_of(function()
      for _ in corun.each({1, 2, 3}, function(i)
        corun.sleep(i)
        if i == 2 then fail("hard") end
        return i
      end) do count = count + 1 end
    end))
    assert.equal(1, count)
  end)

  it("S2 any skips both", function()
    assert.equal("third", (corun.any({
      function() fail("first") end,
      function() return nil, "second" end,
      function() return "third" end,
    })))
  end)

  it("S2 nil, err of a task with children fails it once they have ended", function()
    local ended = {}
    local e = corun.err("EX", "x")
    local t = corun.async(function()
      corun.spawn(tasks.slow_to_end(ended, "child", 1))
      settle()
      return nil, e, "third"
    end)
    local value, err, third = t:await()
    assert.is_nil(value)
    assert.equal(e, err)
    assert.equal("third", third)
    assert.same({"child"}, ended)
    assert.equal("failed", t:status())
  end)

  it("S2 together with a child's failure it is one of several", function()
    local e = corun.err("EBODY", "body")
    local t = corun.async(function()
      corun.spawn(function()
        local _ <close> = tasks.closing(function() fail("child") end)
        corun.sleep(100)
      end)
      settle()
      return nil, e
    end)
    local err = error_of(corun.await, t)
    assert.equal("EBODY", err.code)
    assert.same({"child"}, err.others)
  end)

  it("S2 the main chunk is no exception", function()
    local program = dofile("tests/fixtures/cli/program.lua")
    local r = program.code("return nil, 'soft failure'")
    assert.equal(1, r.status)
    assert.matches("soft failure", r.err)
    assert.equal(0, program.code("return nil").status)
    assert.equal(0, program.code("return 1, 2").status)
  end)
end)

describe("S5 several failures", function()
  before_each(tasks.virtual)

  it("S5 one is its own value, untouched", function()
    local e = corun.err("EX", "x", {others = nil})
    assert.equal(e, error_of(corun.scope, function() corun.spawn(fail, e) end))
    assert.is_nil(e.others)
  end)

  it("S5 the first is raised on a copy with the rest in others", function()
    local a, b, c = corun.err("EA", "a", {target = "t"}), corun.err("EB", "b"), "c"
    local values = {a, b, c}
    local err = error_of(corun.scope, function()
      fail_at_once(values)
    end)
    assert.is_nil(a.others)
    assert.is_nil(b.others)
    if err.code == "EGROUP" then
      assert.equal("c", err.cause)
    else
      local original = err.code == "EA" and a or b
      assert.is_true(err ~= original)
      assert.equal(original.message, err.message)
      assert.equal(original.target, err.target)
      assert.equal(tostring(original), tostring(err))
    end
    assert.equal(2, #err.others)
    local found = {[err.cause or (err.code == "EA" and a or b)] = true}
    for _, e in ipairs(err.others) do found[e] = true end
    for _, e in ipairs(values) do assert.is_true(found[e]) end
  end)

  it("S5 if the first is no corun error: EGROUP with it as the cause", function()
    local first = {"any value"}
    local err = error_of(corun.scope, function()
      corun.spawn(function()
        local _ <close> = tasks.closing(function() fail("second") end)
        corun.sleep(100)
      end)
      settle()
      fail(first)
    end)
    assert.equal("EGROUP", err.code)
    assert.equal(first, err.cause)
    assert.same({"second"}, err.others)
    assert.is_true(#tostring(err) > 0)
  end)

  it("S5 what nobody awaits comes after what ended the scope, though it failed before", function()
    local body, unawaited = corun.err("EBODY", "body"), corun.err("EASYNC", "unawaited")
    local err = error_of(corun.scope, function()
      local t = started(fail, unawaited)
      assert.equal("failed", t:status())
      fail(body)
    end)
    assert.equal("EBODY", err.code)
    assert.same({unawaited}, err.others)
    err = error_of(corun.scope, function()
      local gate = corun.event()
      corun.async(function()
        gate:wait()
        fail(unawaited)
      end)
      local _ <close> = tasks.closing(function()
        gate:set()
        settle()
      end)
      fail(body)
    end)
    assert.equal("EBODY", err.code)
    assert.same({unawaited}, err.others)
  end)

  it("S5 the text of EGROUP has the number and the first failure", function()
    local err = error_of(corun.scope, function()
      corun.spawn(function()
        local _ <close> = tasks.closing(function() fail("second") end)
        corun.sleep(100)
      end)
      settle()
      fail("first")
    end)
    assert.equal("2 tasks failed; the first: first (EGROUP)", tostring(err))
  end)

  it("S5 the same value met twice is listed once", function()
    local e = corun.err("EX", "x")
    assert.equal(e, error_of(corun.scope, function() fail_at_once({e, e, e}) end))
    assert.equal("text", error_of(corun.scope, function() fail_at_once({"text", "text"}) end))
    local err = error_of(corun.scope, function()
      local t = corun.async(function()
        corun.sleep(1)
        fail(e)
      end)
      corun.spawn(corun.await, t)
      corun.await(t)
    end)
    assert.equal(e, err)
  end)

  it("S5 cancellations are never listed", function()
    assert.equal("only", error_of(corun.scope, function()
      for _ = 1, 5 do corun.spawn(corun.sleep, 100) end
      corun.spawn(function()
        corun.sleep(1)
        fail("only")
      end)
      corun.sleep(100)
    end))
  end)

  it("S5 of more than 100 the first 100 are kept and the rest counted", function()
    local values = {}
    for i = 1, 250 do values[i] = corun.err("E" .. i, "no " .. i) end
    local err = error_of(corun.scope, function() fail_at_once(values) end)
    assert.equal(99, #err.others)
    assert.equal(150, err.omitted)
  end)

  it("S5 more than 100 that nobody awaits leave the others their places", function()
    for _, n in ipairs{99, 100, 101, 250} do
      local err = error_of(corun.scope, function()
        for i = 1, n do started(fail, corun.err("E" .. i, "no " .. i)) end
        corun.spawn(function()
          local _ <close> = tasks.closing(function() fail("clean-up") end)
          corun.sleep(100)
        end)
        settle()
        fail(corun.err("EBODY", "body"))
      end)
      assert.equal("EBODY", err.code)
      assert.equal("clean-up", err.others[1])
      assert.equal("E1", err.others[2].code)
      assert.equal(math.min(99, n + 1), #err.others)
      assert.equal(n + 2 > 100 and n - 98 or nil, err.omitted)
    end
  end)

  it("S5 of those that nobody awaits, also beyond 100, an await takes its failure away", function()
    local err = error_of(corun.scope, function()
      local all = {}
      for i = 1, 250 do all[i] = started(fail, corun.err("E" .. i, "no " .. i)) end
      for i = 1, 248 do pcall(corun.await, all[i]) end
      fail("body")
    end)
    assert.equal("EGROUP", err.code)
    assert.equal("body", err.cause)
    local codes = {err.others[1].code, err.others[2].code}
    table.sort(codes)
    assert.same({"E249", "E250"}, codes)
    assert.equal(2, #err.others)
    assert.is_nil(err.omitted)
  end)

  it("S5 failures of nested scopes travel up whole", function()
    local function group(a, b)
      return error_of(corun.scope, function()
        corun.spawn(function()
          local _ <close> = tasks.closing(function() fail(b) end)
          corun.sleep(100)
        end)
        settle()
        fail(a)
      end)
    end
    local a, b, c = corun.err("EA", "a"), corun.err("EB", "b"), corun.err("EC", "c")
    local inner = group(a, b)
    assert.equal("EA", inner.code)
    assert.same({b}, inner.others)
    local outer = group(inner, c)
    assert.equal("EA", outer.code)
    assert.same({b, c}, outer.others)
    assert.same({b}, inner.others)
  end)

  it("S5 a failure in an outer scope and one in the clean-up of an inner scope", function()
    local err = error_of(corun.scope, function()
      corun.spawn(function()
        corun.sleep(1)
        fail("outer")
      end)
      corun.scope(function()
        corun.spawn(function()
          local _ <close> = tasks.closing(function() fail("inner") end)
          corun.sleep(100)
        end)
        corun.sleep(100)
      end)
    end)
    assert.equal("EGROUP", err.code)
    assert.equal("outer", err.cause)
    assert.same({"inner"}, err.others)
  end)

  it("S5 the program reports each of them", function()
    local program = dofile("tests/fixtures/cli/program.lua")
    local r = program.code([[
      local corun = require "corun"
      corun.debug.virtual(true)
      corun.spawn(function()
        local _ <close> = setmetatable({}, {__close = function() error("second", 0) end})
        corun.sleep(100)
      end)
      corun.sleep(1)
      error(corun.err("EFIRST", "first"))]])
    assert.equal(1, r.status)
    assert.matches("^corun: first %(EFIRST%)\n", r.err)
    assert.matches("\nalso: second\n", r.err)
  end)
end)

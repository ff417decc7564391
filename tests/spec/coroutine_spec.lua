-- SPDX-License-Identifier: MIT
-- Coroutines of the script: suspensions pass through them (S24, S29, S30). What they share with
-- stock Lua is in tests/language.
local corun = require "corun"
local tasks = dofile("tests/spec/support/tasks.lua")

local settle, started, error_of = tasks.settle, tasks.started, tasks.error_of

local function fail(value) error(value, 0) end

-- A generator of 1 .. n that sleeps before each.
local function slow_numbers(n, s)
  return coroutine.wrap(function()
    for i = 1, n do
      corun.sleep(s or 1)
      coroutine.yield(i)
    end
  end)
end

local function collect(iterator)
  local list = {}
  for v in iterator do list[#list + 1] = v end
  return list
end

describe("S29 a suspension in a coroutine", function()
  before_each(tasks.virtual)

  it("S29 passes through to the scheduler and back into the generator", function()
    local before, ticks = corun.now(), 0
    corun.scope(function(s)
      corun.daemon(function()
        while true do
          corun.sleep(0.1)
          ticks = ticks + 1
        end
      end)
      s:spawn(function() assert.same({1, 2, 3}, collect(slow_numbers(3))) end)
    end)
    assert.is_true(math.abs(corun.now() - before - 3) < 1e-3)
    assert.is_true(ticks >= 29)
  end)

  it("S29 nested three deep", function()
    local function squares()
      return coroutine.wrap(function()
        for i in slow_numbers(3) do
          corun.sleep(1)
          coroutine.yield(i * i)
        end
      end)
    end
    local function labels()
      return coroutine.wrap(function()
        for i in squares() do
          corun.yield()
          coroutine.yield("n" .. i)
          corun.sleep(1)
        end
      end)
    end
    assert.same({"n1", "n4", "n9"}, collect(labels()))
  end)

  it("S29 nested as deep as coroutines go", function()
    local function nest(n)
      if n == 0 then
        corun.sleep(1)
        coroutine.yield("yielded at the bottom")
        corun.sleep(1)
        return "returned from the bottom"
      end
      local inner = coroutine.create(nest)
      local values = {}
      repeat
        local _, value = coroutine.resume(inner, n - 1)
        values[#values + 1] = value
        if coroutine.status(inner) == "suspended" then coroutine.yield(value) end
      until coroutine.status(inner) == "dead"
      return values[#values]
    end
    local co = coroutine.create(nest)
    assert.same({true, "yielded at the bottom"}, {coroutine.resume(co, 60)})
    assert.same({true, "returned from the bottom"}, {coroutine.resume(co)})
  end)

  it("S29 results of what was waited for arrive inside", function()
    local c = corun.channel()
    corun.spawn(function()
      for i = 1, 3 do
        corun.sleep(1)
        c:send(i)
      end
      c:close()
    end)
    assert.same({10, 20, 30}, collect(coroutine.wrap(function()
      for v in c do coroutine.yield(v * 10) end
    end)))
    local inside = coroutine.wrap(function()
      return corun.async(function()
        corun.sleep(1)
        return 1, nil, 3
      end):await()
    end)
    assert.same({n = 3, 1, nil, 3}, table.pack(inside()))
  end)

  it("S29 resume arguments and yielded values are not mixed up with it", function()
    local co = coroutine.create(function(a)
      corun.sleep(1)
      local b = coroutine.yield(a + 1)
      corun.sleep(1)
      local c, d = coroutine.yield(b + 1, nil)
      corun.sleep(1)
      return c, d, nil
    end)
    assert.same({n = 2, true, 2}, table.pack(coroutine.resume(co, 1)))
    assert.same({n = 3, true, 3, nil}, table.pack(coroutine.resume(co, 2)))
    assert.same({n = 4, true, "c", "d", nil}, table.pack(coroutine.resume(co, "c", "d")))
    assert.equal("dead", coroutine.status(co))
  end)

  it("S29 an error raised after it reaches the resumer", function()
    local co = coroutine.create(function()
      corun.sleep(1)
      fail("after the sleep")
    end)
    assert.same({false, "after the sleep"}, {coroutine.resume(co)})
    assert.equal("dead", coroutine.status(co))
    local value = {}
    assert.equal(value, error_of(coroutine.wrap(function()
      corun.sleep(1)
      error(value)
    end)))
    local err = error_of(coroutine.wrap(function()
      corun.sleep(1)
      error("text")
    end))
    assert.matches("coroutine_spec%.lua:%d+: text$", err)
  end)

  it("S29 a generator closed half-way runs its clean-up", function()
    local closed
    local co = coroutine.create(function()
      local _ <close> = tasks.closing(function() closed = true end)
      for i in slow_numbers(10) do coroutine.yield(i) end
    end)
    assert.same({true, 1}, {coroutine.resume(co)})
    assert.same({true, 2}, {coroutine.resume(co)})
    assert.is_true(coroutine.close(co))
    assert.is_true(closed)
    assert.equal("dead", coroutine.status(co))
    assert.same({false, "cannot resume dead coroutine"}, {coroutine.resume(co)})
  end)

  it("S29 one that is dropped half-way harms nobody", function()
    for _ = 1, 50 do
      local g = slow_numbers(10)
      g()
    end
    collectgarbage()
    collectgarbage()
    assert.same({1}, collect(slow_numbers(1)))
  end)

  it("S29 pcall and close variables work around it inside", function()
    local order = {}
    local co = coroutine.wrap(function()
      local _ <close> = corun.defer(function()
        corun.sleep(1)
        order[#order + 1] = "deferred"
      end)
      local ok, err = pcall(function()
        corun.sleep(1)
        fail("caught")
      end)
      coroutine.yield(ok, err)
      order[#order + 1] = "end"
    end)
    assert.same({false, "caught"}, {co()})
    co()
    assert.same({"end", "deferred"}, order)
  end)

  it("S29 a metamethod, an iterator of a for loop and pcall may wait inside", function()
    local lazy = setmetatable({}, {__index = function(_, k)
      corun.sleep(1)
      return k .. "!"
    end, __call = function(_, x)
      corun.sleep(1)
      return x
    end, __add = function()
      corun.sleep(1)
      return "sum"
    end, __lt = function()
      corun.sleep(1)
      return true
    end, __concat = function()
      corun.sleep(1)
      return "joined"
    end})
    local function check()
      assert.equal("key!", lazy.key)
      assert.equal(5, lazy(5))
      assert.equal("sum", lazy + 1)
      assert.is_true(lazy < lazy)
      assert.equal("joined", lazy .. "x")
      for word in ("a b"):gmatch("%a") do
        corun.sleep(1)
        assert.equal(1, #word)
      end
      assert.is_false(select(1, xpcall(function()
        corun.sleep(1)
        fail("x")
      end, function(e) return e end)))
      return true
    end
    assert.is_true(check())
    assert.is_true(coroutine.wrap(check)())
  end)

  it("S29 cancellation reaches the wait and unwinds through all of them", function()
    local order = {}
    local function closing(name)
      return tasks.closing(function(err)
        order[#order + 1] = corun.is_cancelled(err) and name or tostring(err)
      end)
    end
    local t = started(function()
      local _ <close> = closing("task")
      coroutine.wrap(function()
        local _ <close> = closing("outer")
        coroutine.wrap(function()
          local _ <close> = closing("inner")
          corun.sleep(100)
        end)()
      end)()
    end)
    t:cancel()
    t:await()
    assert.same({"inner", "outer", "task"}, order)
  end)

  it("S29 two tasks may take turns with one generator", function()
    local g = slow_numbers(6, 0.1)
    local c = corun.mutex()
    local got = {}
    corun.scope(function()
      for _ = 1, 2 do
        corun.spawn(function()
          for _ = 1, 3 do
            local _ <close> = c:acquire()
            got[#got + 1] = g()
          end
        end)
      end
    end)
    assert.same({1, 2, 3, 4, 5, 6}, got)
  end)

  it("S29 10,000 times through one generator", function()
    local g = coroutine.wrap(function()
      for i = 1, 10000 do
        corun.yield()
        coroutine.yield(i)
      end
    end)
    local sum = 0
    for _ = 1, 10000 do sum = sum + g() end
    assert.equal(50005000, sum)
  end)
end)

describe("S29 a coroutine in a host suspension", function()
  before_each(tasks.virtual)

  local function suspended_in_host()
    local co = coroutine.create(function()
      corun.sleep(10)
      return "done"
    end)
    return co, started(coroutine.resume, co)
  end

  it("S29 has status normal", function()
    local co, t = suspended_in_host()
    assert.equal("normal", coroutine.status(co))
    t:await()
    assert.equal("dead", coroutine.status(co))
  end)

  it("S29 can be neither resumed nor closed by others", function()
    local co, t = suspended_in_host()
    assert.same({false, "cannot resume non-suspended coroutine"}, {coroutine.resume(co)})
    assert.error_matches(function() coroutine.close(co) end, "cannot close a normal coroutine")
    local ok, value = t:await()
    assert.is_true(ok)
    assert.equal("done", value)
    local g = coroutine.wrap(function() corun.sleep(10) end)
    local waiting = started(g)
    assert.error_matches(g, "cannot resume non%-suspended coroutine")
    waiting:await()
  end)

  it("S29 nor an outer one, which waits in it", function()
    local outer
    local t = started(function()
      outer = coroutine.create(function() slow_numbers(1)() end)
      coroutine.resume(outer)
    end)
    assert.equal("normal", coroutine.status(outer))
    assert.same({false, "cannot resume non-suspended coroutine"}, {coroutine.resume(outer)})
    t:await()
  end)

  it("S29 can be looked at with debug.traceback", function()
    local co, t = suspended_in_host()
    assert.matches("in function 'corun%.[%w_.]*sleep'", (debug.traceback(co):gsub("%.task", "")))
    t:await()
  end)
end)

describe("S29 outside any coroutine of the script", function()
  before_each(tasks.virtual)

  it("S29 isyieldable is false, yield raises, running gives the thread and true", function()
    corun.async(function()
      assert.is_false(coroutine.isyieldable())
      assert.equal("attempt to yield from outside a coroutine", error_of(coroutine.yield, 1))
      local thread, is_main = coroutine.running()
      assert.equal("thread", type(thread))
      assert.is_true(is_main)
      assert.equal("running", coroutine.status(thread))
      assert.is_false(coroutine.isyieldable(thread))
    end):await()
  end)

  it("S29 inside one they say what stock Lua says", function()
    local co
    co = coroutine.create(function()
      assert.is_true(coroutine.isyieldable())
      local thread, is_main = coroutine.running()
      assert.equal(co, thread)
      assert.is_false(is_main)
      corun.sleep(1)
      assert.equal(co, (coroutine.running()))
      return "reached"
    end)
    assert.same({true, "reached"}, {coroutine.resume(co)})
  end)

  it("S29 the thread of a waiting task can be neither resumed nor closed", function()
    local thread
    local t = started(function()
      thread = coroutine.running()
      corun.sleep(1)
      return "unharmed"
    end)
    assert.equal("normal", coroutine.status(thread))
    assert.same({false, "cannot resume non-suspended coroutine"}, {coroutine.resume(thread)})
    assert.error_matches(function() coroutine.close(thread) end, "cannot close a normal coroutine")
    assert.equal("unharmed", t:await())
    assert.equal("dead", coroutine.status(thread))
  end)

  it("S29 the thread so obtained is never another task's", function()
    local threads = {}
    for i = 1, 20 do threads[i] = corun.async(coroutine.running):await() end
    for i = 1, 20 do
      for j = 1, i - 1 do assert.is_true(threads[i] ~= threads[j]) end
      assert.equal("dead", coroutine.status(threads[i]))
      assert.is_false((coroutine.resume(threads[i])))
    end
    local t = started(corun.sleep, 1)
    for i = 1, 20 do assert.equal("dead", coroutine.status(threads[i])) end
    t:await()
  end)
end)

describe("S24 base frames", function()
  before_each(tasks.virtual)

  it("S24 what is closed while a coroutine unwinds may wait", function()
    local closed
    local co = coroutine.create(function()
      local _ <close> = tasks.closing(function()
        corun.sleep(2)
        closed = true
      end)
      fail("unwinding")
    end)
    assert.same({false, "unwinding"}, {coroutine.resume(co)})
    assert.is_true(closed)
  end)

  it("S24 a coroutine that failed is done with: close gives its error once", function()
    local co = coroutine.create(fail)
    assert.same({false, "x"}, {coroutine.resume(co, "x")})
    assert.same({false, "x"}, {coroutine.close(co)})
    assert.same({true}, {coroutine.close(co)})
  end)

  it("S24 threads of finished tasks are used again, of failed ones too, clean", function()
    for i = 1, 500 do
      local t = corun.async(function(...)
        assert.equal(2, select("#", ...))
        local _ <close> = tasks.closing(function() end)
        if i % 3 == 0 then fail("x") end
        if i % 3 == 1 then corun.yield() end
        return ...
      end, i, nil)
      local ok, a = pcall(corun.await, t)
      assert.equal(i % 3 ~= 0, ok)
      assert.equal(ok and i or "x", a)
    end
  end)

  it("S24 a stack overflow ends the task that made it #heavy", function()
    local function recurse() return 1 + recurse() end
    collectgarbage("stop") -- else a finaliser of others may be what overflows
    local _ <close> = tasks.closing(function() collectgarbage("restart") end)
    local t = started(recurse)
    assert.equal("failed", t:status())
    assert.matches("stack overflow", error_of(corun.await, t))
    assert.is_false((coroutine.resume(coroutine.create(recurse))))
  end)
end)

describe("S30 where nothing can suspend", function()
  before_each(tasks.virtual)

  local function refused(name, fn)
    local ok, err = pcall(fn, function() corun.sleep(1) end)
    assert.is_false(ok)
    assert.matches("cannot suspend inside " .. name, err)
  end

  it("S30 a suspension raises and names the function", function()
    refused("table%.sort", function(wait) table.sort({3, 2, 1}, wait) end)
    refused("string%.gsub", function(wait) return (("abc"):gsub(".", wait)) end)
    refused("tostring", function(wait)
      return tostring(setmetatable({}, {__tostring = wait}))
    end)
    refused("load", function(wait) assert.is_nil(load(wait)) error(select(2, load(wait)), 0) end)
    refused("coroutine%.close", function(wait)
      local co = coroutine.create(function()
        local _ <close> = tasks.closing(wait)
        coroutine.yield()
      end)
      coroutine.resume(co)
      error(select(2, coroutine.close(co)), 0)
    end)
  end)

  it("S30 in a coroutine of the script too", function()
    refused("table%.sort", function(wait)
      coroutine.wrap(function() table.sort({3, 2, 1}, wait) end)()
    end)
    refused("table%.sort", function(wait)
      table.sort({3, 2, 1}, function() coroutine.wrap(wait)() end)
    end)
    refused("table%.sort", function(wait) table.sort({3, 2, 1}, coroutine.wrap(wait)) end)
    refused("string%.gsub", function(wait)
      return (("abc"):gsub(".", function()
        local ok, err = coroutine.resume(coroutine.create(function()
          return coroutine.wrap(wait)()
        end))
        assert.is_false(ok)
        error(err, 0)
      end))
    end)
    corun.sleep(1)
  end)

  it("S30 what lies between, and lets a suspension pass, is not blamed", function()
    local reason
    table.sort({2, 1}, function()
      pcall(function() reason = select(3, pcall(corun.try, corun.scope, corun.yield)) end)
    end)
    assert.matches("cannot suspend inside table%.sort", tostring(reason))
    local a = setmetatable({}, {__index = function() pcall(corun.sleep, 1) corun.sleep(1) end})
    local err = error_of(table.concat, a, "", 1, 1)
    assert.matches("cannot suspend inside table%.concat$", err)
  end)

  it("S30 before any effect", function()
    local c, m, effects = corun.channel(1), corun.mutex(), 0
    local function in_sort(fn)
      return error_of(table.sort, {2, 1}, function() fn() end)
    end
    local holder = started(function()
      local _ <close> = m:acquire()
      corun.sleep(100)
    end)
    for _, fn in ipairs {
      function() c:recv() end,
      function() m:acquire() end,
      function() corun.scope(function() effects = effects + 1 end) end,
      function() corun.timeout(1, function() effects = effects + 1 end) end,
      function() corun.shield(function() effects = effects + 1 end) end,
      function() corun.yield() end,
    } do
      assert.matches("cannot suspend inside table%.sort", in_sort(fn))
    end
    holder:cancel()
    holder:await()
    assert.equal(0, effects)
    assert.is_true(c:try_send(1))
    local _ <close> = m:acquire()
  end)

  it("S30 what need not wait works there", function()
    local c = corun.channel(10)
    local done = corun.async(function() return "result" end)
    settle()
    local t
    table.sort({2, 1}, function(a, b)
      c:send(a)
      assert.equal(a, c:recv())
      assert.equal("result", done:await())
      t = corun.spawn(corun.yield)
      return a < b
    end)
    t:await()
  end)

  it("S30 the task goes on afterwards", function()
    for _ = 1, 3 do
      pcall(table.sort, {2, 1}, function() corun.sleep(1) end)
      corun.sleep(1)
    end
  end)

  it("S30 in a finaliser it is said on stderr", function()
    local program = dofile("tests/fixtures/cli/program.lua")
    local r = program.code([[
      local corun = require "corun"
      setmetatable({}, {__gc = function() corun.sleep(1) end})
      collectgarbage()
      print "goes on"]])
    assert.equal("goes on\n", r.out)
    assert.equal(0, r.status)
    local text = "cannot suspend inside a __gc finaliser"
    assert.matches("^Lua warning: error in __gc %(.*" .. text .. "%)\n$", r.err)
  end)

  it("S30 a message handler cannot wait either", function()
    local reason
    assert.is_false((xpcall(fail, function()
      local _, err = pcall(corun.sleep, 1)
      reason = reason or err
    end, "x")))
    assert.matches("cannot suspend inside a message handler", reason)
  end)
end)

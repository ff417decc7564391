-- SPDX-License-Identifier: MIT
-- Cancellation: checkpoints, levels, races between a wake and a cancellation, waits that do not
-- stop (S13 to S16). Many cases are those of the suites of Trio and asyncio.
local corun = require "corun"
local tasks = dofile("tests/spec/support/tasks.lua")

local settle, started, error_of = tasks.settle, tasks.started, tasks.error_of

-- Run fn in a scope that is cancelled already.
local function cancelled(fn)
  return corun.scope(function(s)
    s:cancel()
    return fn(s)
  end)
end

local function raises_cancellation(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(corun.is_cancelled(err), tostring(err))
end

describe("S13 checkpoints", function()
  before_each(tasks.virtual)

  it("S13 every function that suspends checks first, though it would not have slept", function()
    local done = corun.async(function() return 1 end)
    settle()
    local c, e, m, sem = corun.channel(5), corun.event(), corun.mutex(), corun.semaphore(5)
    c:send("item")
    e:set()
    cancelled(function(s)
      raises_cancellation(corun.sleep, 0)
      raises_cancellation(corun.sleep, -1)
      raises_cancellation(corun.yield)
      raises_cancellation(corun.await, done)
      raises_cancellation(done.await, done)
      raises_cancellation(corun.scope, function() end)
      raises_cancellation(corun.timeout, 1, function() end)
      raises_cancellation(corun.timeout, 1, error, "not called")
      raises_cancellation(corun.gather, function() end)
      raises_cancellation(corun.map, {}, function() end)
      raises_cancellation(corun.race, {function() end})
      raises_cancellation(corun.any, {function() end})
      raises_cancellation(c.send, c, 1)
      raises_cancellation(c.recv, c)
      raises_cancellation(e.wait, e)
      raises_cancellation(m.acquire, m)
      raises_cancellation(sem.acquire, sem)
      raises_cancellation(corun.select, {a = c})
      assert.equal(0, s:count())
    end)
    assert.equal(1, #c)
    assert.equal("item", c:recv())
  end)

  it("S13 what is made of them checks too", function()
    local http = corun.http
    local limiter, beat, pauses = corun.limiter(9, 1), corun.every(1), corun.backoff{tries = 9}
    local session <close> = http.session()
    cancelled(function()
      raises_cancellation(limiter.wait, limiter)
      raises_cancellation(function() for _ in beat do end end)
      raises_cancellation(function() pauses() pauses() end)
      raises_cancellation(function()
        for _ in corun.each({1}, function() return 1 end) do end
      end)
      for _, method in ipairs{"get", "getjson", "post"} do
        raises_cancellation(session[method], session, "http://127.0.0.1:1/")
        raises_cancellation(session[method], session, "no url")
      end
      raises_cancellation(http.request, "GET", "http://127.0.0.1:1/")
    end)
    beat:close()
  end)

  it("S13 before any effect", function()
    local effects = 0
    local function effect() effects = effects + 1 end
    local limited
    corun.scope(function()
      corun.spawn(corun.scope, function(s)
        limited = s
        corun.sleep(5)
      end, {limit = 3})
      settle()
      cancelled(function()
        raises_cancellation(corun.scope, effect)
        raises_cancellation(corun.timeout, 1, effect)
        raises_cancellation(corun.gather, effect, effect)
        raises_cancellation(corun.map, {1, 2}, effect)
        raises_cancellation(corun.race, {effect})
        raises_cancellation(corun.any, {effect})
        raises_cancellation(limited.spawn, limited, effect)
        assert.equal(0, limited:count())
      end)
    end)
    assert.equal(0, effects)
  end)

  it("S13 pure tests do not", function()
    local done = corun.async(function() end)
    settle()
    local c = corun.channel(1)
    cancelled(function(s)
      assert.is_true(done:done())
      assert.equal("done", done:status())
      assert.is_true(c:try_send(1))
      assert.equal(1, c:try_recv())
      assert.equal(0, #c)
      assert.is_number(corun.now())
      assert.is_nil(corun.deadline())
      assert.equal("running", corun.current():status())
      assert.is_table(corun.locals())
      assert.equal(0, s:count())
      assert.is_false(corun.is_cancelled("text"))
    end)
  end)

  it("S13 spawn in a cancelled scope starts nothing and raises nothing", function()
    local t
    cancelled(function() t = corun.spawn(error, "not called") end)
    assert.equal("cancelled", t:status())
  end)
end)

describe("S14 level-triggered", function()
  before_each(tasks.virtual)

  it("S14 each further checkpoint raises again until the scope has ended", function()
    cancelled(function()
      for _ = 1, 5 do raises_cancellation(corun.sleep, 1) end
    end)
    corun.sleep(1)
  end)

  it("S14 a scope that was cancelled but never noticed is left in silence", function()
    assert.equal("fine", cancelled(function() return "fine" end))
    corun.sleep(1)
  end)

  it("S14 a cancellation reaches the innermost wait", function()
    local reached
    local t = started(function()
      corun.scope(function()
        corun.timeout(100, function()
          local _ <close> = tasks.closing(function(err) reached = err end)
          corun.await(corun.spawn(corun.sleep, math.huge))
        end)
      end)
    end)
    t:cancel()
    t:await()
    assert.is_true(corun.is_cancelled(reached))
  end)

  it("S14 it reaches all tasks below, whatever they wait for", function()
    local seen = {}
    local c, e, m = corun.channel(), corun.event(), corun.mutex()
    local function leaf(name, fn, ...)
      local args = table.pack(...)
      corun.spawn(function()
        local _ <close> = tasks.closing(function(err)
          seen[#seen + 1] = corun.is_cancelled(err) and name or tostring(err)
        end)
        fn(table.unpack(args, 1, args.n))
      end)
    end
    local held <close> = m:acquire()
    corun.scope(function(s)
      corun.spawn(function()
        leaf("sleep", corun.sleep, 1e9)
        corun.scope(function()
          leaf("recv", c.recv, c)
          leaf("wait", e.wait, e)
        end)
      end)
      leaf("acquire", m.acquire, m)
      leaf("select", corun.select, {c, e})
      settle()
      s:cancel()
    end)
    table.sort(seen)
    assert.same({"acquire", "recv", "select", "sleep", "wait"}, seen)
    assert(held)
  end)

  it("S14 cancelling twice is cancelling once", function()
    local raised = 0
    local t = started(function()
      local ok, err = pcall(corun.sleep, 100)
      assert(not ok)
      raised = raised + 1
      corun.shield(corun.sleep, 1)
      error(err, 0)
    end)
    t:cancel("first")
    t:cancel("second")
    settle()
    t:cancel("third")
    local _, err = t:await()
    assert.equal(1, raised)
    assert.equal("ECANCELED", err.code)
    t:cancel("after its end")
    assert.equal("cancelled", t:status())
  end)

  it("S14 a task that cancels itself goes on to its next checkpoint", function()
    local reached, passed = false, false
    local t = corun.async(function()
      corun.current():cancel("enough")
      reached = true
      corun.sleep(0)
      passed = true
    end)
    local value, err = t:await()
    assert.is_nil(value)
    assert.equal("ECANCELED", err.code)
    assert.is_true(reached)
    assert.is_false(passed)
  end)

  it("S14 of nested cancelled scopes the outer one that is left names the outcome", function()
    local codes = {}
    local value, err = corun.scope(function(s1)
      local r, e = corun.scope(function(s2)
        corun.scope(function(s3)
          s3:cancel("third")
          s2:cancel("second")
          corun.sleep(math.huge)
        end)
        codes[#codes + 1] = "not reached"
      end)
      codes[#codes + 1] = r == nil and e.reason
      assert.equal("scope", tostring(s1):match("^scope"))
      return "went on"
    end)
    assert.equal("went on", value)
    assert.is_nil(err)
    assert.same({"second"}, codes)
  end)

  it("S14 both nested scopes cancelled, the inner one first: the outer lets it pass", function()
    local inner_returned = false
    local value, err = corun.scope(function(outer)
      corun.scope(function(inner)
        inner:cancel("inner")
        outer:cancel("outer")
        corun.sleep(1)
      end)
      inner_returned = true
    end)
    assert.is_nil(value)
    assert.equal("outer", err.reason)
    assert.is_false(inner_returned)
  end)

  it("S14 an outer cancellation during the inner one's clean-up", function()
    local raised_in_cleanup, after
    local value, err = corun.scope(function(outer)
      corun.scope(function(inner)
        local _ <close> = tasks.closing(function()
          outer:cancel("outer")
          raised_in_cleanup = error_of(corun.sleep, 1)
        end)
        inner:cancel("inner")
        corun.sleep(1)
      end)
      after = error_of(corun.sleep, 1)
      error(after, 0)
    end)
    assert.is_nil(value)
    assert.equal("outer", err.reason)
    assert.equal("outer", raised_in_cleanup.reason)
    assert.equal("outer", after.reason)
  end)

  it("S14 a cancellation that is swallowed is raised again at once", function()
    local rounds = 0
    local value, err = corun.scope(function(s)
      corun.spawn(function()
        while rounds < 10 do
          pcall(corun.sleep, 1)
          rounds = rounds + 1
        end
        corun.sleep(1)
      end)
      corun.sleep(3.5)
      s:cancel()
    end)
    assert.is_nil(value)
    assert.equal("ECANCELED", err.code)
    assert.equal(10, rounds)
  end)

  it("S14 tasks that keep spawning others in a cancelled scope come to an end", function()
    local heads = 0
    local function hydra(s)
      heads = heads + 1
      corun.sleep(0.01)
      s:spawn(hydra, s)
      s:spawn(hydra, s)
    end
    assert.equal("slain", error_of(corun.scope, function(s)
      s:spawn(hydra, s)
      s:spawn(function()
        while heads < 10 do corun.sleep(0.015) end
        error("slain", 0)
      end)
    end))
    assert.is_true(heads >= 10)
  end)

  it("S14 a scope opened in a cancelled one by its clean-up is cancelled too", function()
    local inside
    cancelled(function()
      corun.shield(function()
        corun.scope(function() corun.sleep(1) end)
        inside = "shielded"
      end)
      raises_cancellation(corun.scope, function() end)
    end)
    assert.equal("shielded", inside)
  end)

  it("S14 a cancelled generator cannot hide the cancellation from its loop", function()
    local function numbers()
      return coroutine.wrap(function()
        for i = 1, math.huge do
          pcall(corun.sleep, 1)
          coroutine.yield(i)
        end
      end)
    end
    local last = 0
    local t = started(function()
      for i in numbers() do
        last = i
        corun.yield()
      end
    end)
    corun.sleep(2.5)
    t:cancel()
    t:await()
    assert.equal("cancelled", t:status())
    assert.equal(3, last)
  end)

  it("S14 main's own scope: a cancelled root raises in main too", function()
    local t = corun.async(function()
      local me = corun.current()
      corun.spawn(function() me:cancel("by a child") end)
      corun.sleep(100)
    end)
    local _, err = t:await()
    assert.equal("ECANCELED", err.code)
  end)
end)

describe("S15 wake against cancel", function()
  before_each(tasks.virtual)

  it("S15 a task woken with a result gets it and sees the cancellation at the next checkpoint",
    function()
      local got, after
      local c = corun.channel()
      local t = started(function()
        got = c:recv()
        after = error_of(corun.sleep, 0)
        error(after, 0)
      end)
      assert.is_true(c:try_send("item"))
      t:cancel()
      t:await()
      assert.equal("item", got)
      assert.is_true(corun.is_cancelled(after))
    end)

  it("S15 a getter cancelled first gets nothing, and the item stays", function()
    local c = corun.channel()
    local t = started(function() return c:recv() end)
    t:cancel()
    assert.is_false(c:try_send("item"))
    t:await()
    corun.spawn(c.send, c, "item")
    assert.equal("item", c:recv())
  end)

  it("S15 no item is lost between a cancelled and a living getter", function()
    for order = 1, 2 do
      local c, got = corun.channel(), {}
      local function get()
        local item = c:recv()
        got[#got + 1] = item
      end
      local first, second = started(get), started(get)
      if order == 1 then
        first:cancel()
        assert.is_true(c:try_send("item"))
      else
        assert.is_true(c:try_send("item"))
        first:cancel()
        assert.is_true(c:try_send("other"))
      end
      settle()
      table.sort(got)
      assert.equal(order == 1 and "item" or "item,other", table.concat(got, ","))
      second:await()
      first:await()
    end
  end)

  it("S15 a lock handed to a task that is then cancelled is released by it", function()
    local m = corun.mutex()
    local t
    do
      local _ <close> = m:acquire()
      t = started(function()
        local _ <close> = m:acquire()
        corun.sleep(1)
      end)
    end
    t:cancel()
    t:await()
    local _ <close> = m:acquire()
  end)

  it("S15 a result in hand is not dropped by a timeout of the same instant", function()
    local got
    corun.scope(function()
      local c = corun.channel()
      corun.spawn(function()
        corun.sleep(1)
        c:try_send("just in time")
      end)
      got = table.pack(corun.timeout(1, function() return c:recv() end))
    end)
    if got[1] == nil then
      assert.equal("ETIMEDOUT", got[2].code)
    else
      assert.equal("just in time", got[1])
    end
  end)

  it("S15 of an await and a cancellation in one instant the first decides", function()
    local t = corun.async(function()
      corun.sleep(1)
      return "result"
    end)
    local waiter = started(function()
      local r = t:await()
      corun.sleep(0)
      return r
    end)
    while not t:done() do corun.sleep(0.1) end
    waiter:cancel()
    local value, err = waiter:await()
    if value == nil then assert.equal("ECANCELED", err.code) else assert.equal("result", value) end
  end)
end)

describe("S16 answers to cancel", function()
  before_each(tasks.virtual)

  it("S16 a wait that cannot stop goes on until its end, and its result is kept", function()
    local before = corun.now()
    local t = started(function()
      return corun.scope(function()
        corun.spawn(corun.shield, corun.sleep, 5)
        return "kept"
      end)
    end)
    t:cancel()
    settle()
    assert.equal("waiting", t:status())
    assert.equal("kept", t:await())
    assert.equal("done", t:status())
    assert.is_true(corun.now() - before > 4.999)
  end)

  it("S16 the next checkpoint then raises", function()
    local reached, passed
    local t = started(function()
      corun.scope(function() corun.spawn(corun.shield, corun.sleep, 5) end)
      reached = true
      corun.sleep(0)
      passed = true
    end)
    t:cancel()
    t:await()
    assert.is_true(reached)
    assert.is_nil(passed)
  end)

  it("S16 it is asked once, however often the scopes around it are cancelled", function()
    local t = started(function()
      corun.scope(function(outer)
        corun.scope(function(inner)
          corun.spawn(corun.shield, function()
            corun.sleep(1)
            inner:cancel()
            corun.sleep(1)
            outer:cancel()
            corun.sleep(1)
          end)
        end)
      end)
      return "through"
    end)
    assert.equal("through", t:await())
  end)
end)

describe("cancellation values", function()
  before_each(tasks.virtual)

  it("are errors of a kind of their own, one for all tasks of the scope", function()
    local seen = {}
    corun.scope(function(s)
      for i = 1, 3 do
        corun.spawn(function()
          local err = error_of(corun.sleep, 1)
          seen[i] = err
          error(err, 0)
        end)
      end
      settle()
      s:cancel("why")
    end)
    assert.equal(seen[1], seen[2])
    assert.equal(seen[2], seen[3])
    assert.is_true(corun.is_cancelled(seen[1]))
    assert.equal("ECANCELED", seen[1].code)
    assert.equal("cancelled: why (ECANCELED)", tostring(seen[1]))
  end)

  it("say what cancelled", function()
    local function text(fn)
      local t
      pcall(fn, function() t = tostring(error_of(corun.sleep, 100)) end)
      return t
    end
    assert.matches("^cancelled: 2%.0 s passed", text(function(fn)
      corun.scope(fn, {timeout = 2})
    end))
    assert.matches("because its scope failed", text(function(fn)
      corun.scope(function()
        corun.spawn(error, "x")
        fn()
      end)
    end))
    assert.matches("all else in the scope has ended", text(function(fn)
      corun.scope(function()
        corun.daemon(fn)
        settle()
      end)
    end))
  end)

  it("are told by is_cancelled, which wants a value", function()
    assert.is_false(corun.is_cancelled(nil))
    assert.is_false(corun.is_cancelled(corun.err("ECANCELED", "looks like one")))
    assert.is_false(corun.is_cancelled({code = "ECANCELED"}))
    assert.error_matches(function() corun.is_cancelled() end, "value expected")
  end)

  it("are not reported when they end a task", function()
    local program = dofile("tests/fixtures/cli/program.lua")
    local r = program.code([[
      local corun = require "corun"
      corun.debug.virtual(true)
      local t = corun.spawn(corun.sleep, 1000)
      corun.sleep(1)
      t:cancel()
      corun.async(corun.sleep, 1000):cancel()
      corun.timeout(1, corun.sleep, 1000)]])
    assert.equal("", r.err)
    assert.equal(0, r.status)
  end)
end)

describe("S10 deep nests", function()
  it("S10 are cancelled in linear time", function()
    local corun_ = require "corun"
    local function nest(n)
      if n == 0 then corun_.sleep(100) end
      return corun_.async(nest, n - 1):await()
    end
    local ok, err = corun_.timeout(0.05, nest, 20000)
    assert.is_nil(ok)
    assert.equal("ETIMEDOUT", err.code)
  end)
end)

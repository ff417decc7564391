-- SPDX-License-Identifier: MIT
-- Scopes: body and children, limits, results, handles (S4, S10, S11).
local corun = require "corun"
local tasks = dofile("tests/spec/support/tasks.lua")

local settle, started, error_of = tasks.settle, tasks.started, tasks.error_of

local function fail(value) error(value, 0) end

describe("S4 body and children", function()
  before_each(tasks.virtual)

  it("S4 the body counts as a child: if it fails, the children are cancelled", function()
    local child
    assert.equal("body", error_of(corun.scope, function()
      child = corun.spawn(corun.sleep, 100)
      settle()
      fail("body")
    end))
    assert.equal("cancelled", child:status())
  end)

  it("S4 if a child fails, the body is cancelled", function()
    local in_body
    assert.equal("child", error_of(corun.scope, function()
      corun.spawn(fail, "child")
      in_body = error_of(corun.sleep, 100)
      error(in_body, 0)
    end))
    assert.is_true(corun.is_cancelled(in_body))
  end)

  it("S4 and so are the other children, which are waited for", function()
    local ended = {}
    assert.equal("child", error_of(corun.scope, function()
      corun.spawn(tasks.slow_to_end(ended, "a", 3))
      corun.spawn(tasks.slow_to_end(ended, "b", 2))
      corun.spawn(function()
        corun.sleep(1)
        fail("child")
      end)
    end))
    assert.same({"b", "a"}, ended)
  end)

  it("S4 an error raised during the clean-up of a cancelled task is a failure", function()
    local err = error_of(corun.scope, function()
      corun.spawn(function()
        local _ <close> = tasks.closing(function() fail("clean-up") end)
        corun.sleep(100)
      end)
      settle()
      fail("body")
    end)
    assert.equal("EGROUP", err.code)
    assert.equal("body", err.cause)
    assert.same({"clean-up"}, err.others)
  end)

  it("S4 it is the only one when the scope was cancelled for another reason", function()
    assert.equal("clean-up", error_of(corun.scope, function(s)
      corun.spawn(function()
        local _ <close> = tasks.closing(function() fail("clean-up") end)
        corun.sleep(100)
      end)
      settle()
      s:cancel()
    end))
  end)

  it("S4 the body's own clean-up errors count too", function()
    assert.equal("closing", error_of(corun.scope, function(s)
      local _ <close> = tasks.closing(function() fail("closing") end)
      s:cancel()
      corun.sleep(1)
    end))
  end)

  it("S4 a body that swallows the cancellation and returns does not undo the failure", function()
    assert.equal("child", error_of(corun.scope, function()
      corun.spawn(fail, "child")
      pcall(corun.sleep, 100)
      return "all is well"
    end))
  end)

  it("S4 nor does a task that has children", function()
    local t = corun.async(function()
      corun.spawn(fail, "child")
      pcall(corun.sleep, 100)
      return "all is well"
    end)
    assert.equal("child", error_of(corun.await, t))
    assert.equal("failed", t:status())
  end)

  it("S4 a child that swallows it and returns is done, and its result kept", function()
    local t
    pcall(corun.scope, function()
      t = corun.async(function()
        pcall(corun.sleep, 100)
        return "kept"
      end)
      settle()
      fail("body")
    end)
    assert.equal("done", t:status())
    assert.equal("kept", t:await())
  end)

  it("S4 what a scope returns is what its body returned, once all children have ended", function()
    local before = corun.now()
    local r = table.pack(corun.scope(function()
      corun.spawn(corun.sleep, 5)
      return 1, nil, 3, nil
    end))
    assert.same({n = 4, 1, nil, 3, nil}, r)
    assert.is_true(corun.now() - before > 4.999)
    assert.equal(0, select("#", corun.scope(function() end)))
  end)

  it("S4 many results pass, also with failures and cancellation around", function()
    local many = {}
    for i = 1, 5000 do many[i] = i end
    assert.equal(5000, select("#", corun.scope(function() return table.unpack(many) end)))
    local ok, err = pcall(corun.scope, function()
      corun.spawn(fail, "child")
      pcall(corun.sleep, 1)
      return table.unpack(many)
    end)
    assert.is_false(ok)
    assert.equal("child", err)
    local none, cancelled = corun.scope(function(s)
      corun.spawn(corun.sleep, 9)
      s:cancel()
      return table.unpack(many)
    end)
    assert.is_nil(none)
    assert.equal("ECANCELED", cancelled.code)
  end)

  it("S4 children cut short are not passed over in silence", function()
    local value, err = corun.scope(function(s)
      corun.spawn(corun.sleep, 100)
      s:cancel("changed my mind")
      return "value"
    end)
    assert.is_nil(value)
    assert.equal("ECANCELED", err.code)
    assert.equal("changed my mind", err.reason)
  end)

  it("S4 a scope whose children had all ended keeps its value when it is cancelled", function()
    assert.equal("value", corun.scope(function(s)
      corun.spawn(corun.yield)
      settle()
      s:cancel()
      return "value"
    end))
  end)

  it("S4 a body cut short by an outer cancellation passes that on", function()
    local inner_returned = false
    local t = started(function()
      corun.scope(function()
        corun.spawn(corun.sleep, 100)
        return "the body has ended"
      end)
      inner_returned = true
    end)
    t:cancel()
    local _, err = t:await()
    assert.equal("ECANCELED", err.code)
    assert.is_false(inner_returned)
  end)

  it("S4 errors of each kind pass unchanged", function()
    for _, value in ipairs {{}, 42, true, "text", print, corun.err("EX", "x")} do
      assert.equal(value, error_of(corun.scope, function() error(value, 0) end))
      assert.equal(value, error_of(corun.scope, function() corun.spawn(error, value, 0) end))
    end
    local ok, err = pcall(corun.scope, function() error(nil) end)
    assert.is_false(ok)
    assert.is_nil(err)
    ok, err = pcall(corun.scope, function() corun.spawn(error) end)
    assert.is_false(ok)
    assert.is_nil(err)
  end)

  it("S4 a failure whose __tostring raises or suspends is handed on all the same", function()
    local function hostile(fn) return setmetatable({}, {__tostring = fn}) end
    for _, fn in ipairs {function() error("no text") end, function() corun.sleep(1) end} do
      local bad = hostile(fn)
      assert.equal(bad, error_of(corun.scope, function() error(bad) end))
      local err = error_of(corun.scope, function()
        for _, value in ipairs {bad, bad, "other"} do
          corun.spawn(function()
            corun.sleep(1)
            fail(value)
          end)
        end
      end)
      assert.equal("EGROUP", err.code)
      assert.same(err.cause == bad and {"other"} or {bad}, err.others)
    end
  end)

  it("S4 finalisers that start tasks while a scope ends do no harm", function()
    local started_by_gc = {}
    corun.scope(function()
      local function litter()
        setmetatable({}, {__gc = function()
          started_by_gc[#started_by_gc + 1] = corun.spawn(corun.yield)
        end})
      end
      for i = 1, 300 do
        litter()
        pcall(corun.scope, function()
          corun.spawn(fail, {i})
          corun.spawn(fail, {i})
          corun.async(fail, {i})
          litter()
          corun.sleep(1)
        end)
        local t = corun.async(function() litter() return i, {} end)
        t:await()
      end
      collectgarbage()
      collectgarbage()
    end)
    assert.equal(900, #started_by_gc)
    for _, t in ipairs(started_by_gc) do assert.is_true(t:done()) end
  end)
end)

describe("S10 limits", function()
  before_each(tasks.virtual)

  it("S10 with a limit s:spawn suspends until a slot is free", function()
    local running, most, ended = 0, 0, 0
    corun.scope(function(s)
      for i = 1, 20 do
        s:spawn(function()
          running = running + 1
          most = math.max(most, running)
          corun.sleep(i % 3 + 1)
          running = running - 1
          ended = ended + 1
        end)
        assert.is_true(s:count() <= 3)
      end
    end, {limit = 3})
    assert.equal(3, most)
    assert.equal(20, ended)
  end)

  it("S10 async and daemon take slots too", function()
    corun.scope(function(s)
      local before = corun.now()
      s:async(corun.sleep, 1)
      s:daemon(corun.sleep, 2)
      s:spawn(corun.sleep, 9)
      assert.is_true(math.abs(corun.now() - before - 1) < 1e-3)
      s:spawn(corun.sleep, 9)
      assert.is_true(math.abs(corun.now() - before - 2) < 1e-3)
    end, {limit = 2})
  end)

  it("S10 those who wait for a slot are served in order", function()
    local order, scope = {}, nil
    corun.spawn(corun.scope, function(s)
      scope = s
      s:spawn(corun.sleep, 1)
      corun.sleep(1)
    end, {limit = 1})
    settle()
    for i = 1, 10 do
      started(function()
        scope:spawn(function()
          order[#order + 1] = i
          corun.sleep(1)
        end)
      end)
    end
    corun.sleep(100)
    assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, order)
  end)

  it("S10 a child that spawns into its own full scope raises", function()
    local message
    corun.scope(function(s)
      s:spawn(function()
        corun.async(function() message = error_of(s.spawn, s, corun.yield) end):await()
      end)
    end, {limit = 1})
    assert.matches("cannot wait for a slot of the full scope it runs in", message)
  end)

  it("S10 corun.spawn in the body does not wait", function()
    corun.scope(function(s)
      for _ = 1, 5 do corun.spawn(corun.sleep, 1) end
      assert.equal(5, s:count())
    end, {limit = 1})
  end)

  it("S10 a waiter that is cancelled leaves the line, and no slot is lost", function()
    local order = {}
    corun.scope(function()
      local scope
      corun.spawn(function()
        corun.scope(function(s)
          scope = s
          s:spawn(corun.sleep, 5)
          corun.sleep(2)
        end, {limit = 1})
      end)
      settle()
      local function spawn_into(name)
        return started(function()
          scope:spawn(function()
            order[#order + 1] = name
            corun.sleep(1)
          end)
        end)
      end
      spawn_into("a")
      local b = spawn_into("b")
      spawn_into("c")
      b:cancel()
    end)
    assert.same({"a", "c"}, order)
  end)

  it("S10 a scope does not end while a slot is given to a task outside of it", function()
    for _ = 1, 10 do
      local scope, ran = nil, false
      corun.scope(function()
        corun.spawn(function()
          corun.scope(function(s)
            scope = s
            s:spawn(corun.sleep, 1)
          end, {limit = 1})
          assert.is_true(ran)
        end)
        settle()
        scope:spawn(function()
          corun.sleep(1)
          ran = true
        end)
      end)
      assert.is_true(ran)
    end
  end)

  it("S10 a task waits for a slot of a scope that is cancelled: its child never starts", function()
    local scope, child
    corun.scope(function()
      corun.spawn(function()
        corun.scope(function(s)
          scope = s
          s:spawn(tasks.slow_to_end({}, "x", 1))
          settle()
          corun.sleep(1)
          s:cancel()
        end, {limit = 1})
      end)
      settle()
      child = scope:spawn(function() error("must not run") end)
    end)
    assert.equal("cancelled", child:status())
  end)

  it("S10 190 scopes may be open in a task; more raise before any effect", function()
    for _, open in ipairs {corun.scope, function(fn) return corun.timeout(1e9, fn) end,
                           corun.shield} do
      local deepest, called = 0, false
      local function nest(n)
        deepest = n
        if n < 190 then return open(function() return nest(n + 1) end) end
        local ok, err = pcall(open, function()
          called = true
          return 1
        end)
        assert.is_true(ok)
        return err
      end
      assert.equal(1, corun.async(nest, 1):await())
      assert.equal(190, deepest)
      assert.is_true(called)
      called = false
      local function one_more(n)
        if n <= 190 then return open(function() return one_more(n + 1) end) end
        local ok, err = pcall(function() open(function() called = true end) end)
        return not ok and err
      end
      local err = corun.async(one_more, 1):await()
      assert.matches("scope_spec%.lua:%d+: more than 190 scopes are open in this task", err)
      assert.is_false(called)
    end
  end)

  it("S10 clean-up runs at that depth too", function()
    local cleaned = 0
    local function nest(n)
      local _ <close> = corun.defer(function() cleaned = cleaned + 1 end)
      if n < 189 then return corun.scope(function() return nest(n + 1) end) end
      corun.sleep(100)
    end
    local t = started(nest, 0)
    t:cancel()
    t:await()
    assert.equal(190, cleaned)
  end)

  it("S10 60 scopes deep, cancelled at once", function()
    local unwound = 0
    local function nest(n)
      local _ <close> = tasks.closing(function() unwound = unwound + 1 end)
      if n == 60 then corun.sleep(math.huge) end
      return corun.scope(function()
        corun.spawn(corun.sleep, math.huge)
        return nest(n + 1)
      end)
    end
    local t = started(nest, 1)
    t:cancel()
    local _, err = t:await()
    assert.equal("ECANCELED", err.code)
    assert.equal(60, unwound)
  end)

  it("S10 too deep a recursion through scopes and pcall is an error, no crash", function()
    local function nest(n)
      local ok, err = pcall(corun.scope, function()
        if n % 2 == 0 then return pcall(nest, n + 1) end
        return nest(n + 1)
      end)
      if not ok then error(err, 0) end
    end
    pcall(nest, 1)
    local function wrap(n)
      return coroutine.wrap(function() return corun.scope(function() return wrap(n + 1) end) end)()
    end
    assert.is_false(pcall(wrap, 1))
    assert.equal("fine", corun.scope(function() return "fine" end))
  end)
end)

describe("S11 leaving a scope", function()
  before_each(tasks.virtual)

  local function message_of(open)
    local co = coroutine.create(function() open(function() coroutine.yield(1) end) end)
    local ok, err = coroutine.resume(co)
    assert.is_false(ok)
    assert.equal("dead", coroutine.status(co))
    return err
  end

  it("S11 coroutine.yield out of a scope, timeout or shield raises", function()
    local line = "cannot yield out of scope opened at tests/spec/scope_spec%.lua:%d+"
    assert.matches(line, message_of(corun.scope))
    assert.matches(line, message_of(corun.shield))
    assert.matches(line, message_of(function(fn) return corun.timeout(5, fn) end))
  end)

  it("S11 it names the line that opened it", function()
    local line = debug.getinfo(1, "l").currentline + 1
    local err = message_of(function(fn) return corun.scope(fn) end)
    assert.matches(("scope opened at tests/spec/scope_spec%%.lua:%d$"):format(line), err)
  end)

  it("S11 a coroutine made inside may yield, and one that has left its scope", function()
    local got = {}
    corun.scope(function()
      for v in coroutine.wrap(function()
        corun.scope(function() corun.sleep(1) end)
        coroutine.yield("a")
        corun.timeout(1, function() return 1 end)
        coroutine.yield("b")
      end) do got[#got + 1] = v end
    end)
    assert.same({"a", "b"}, got)
  end)

  it("S11 the scope is intact after the refusal", function()
    local co = coroutine.wrap(function()
      return corun.scope(function()
        corun.spawn(corun.sleep, 1)
        local ok, err = pcall(coroutine.yield)
        corun.sleep(2)
        return ok, err
      end)
    end)
    local ok, err = co()
    assert.is_false(ok)
    assert.matches("cannot yield out of scope", err)
  end)
end)

describe("a scope handle", function()
  before_each(tasks.virtual)

  it("spawns from anywhere while the scope is open", function()
    local ended = false
    corun.scope(function(s)
      corun.async(function()
        s:spawn(function()
          corun.sleep(5)
          ended = true
        end)
      end):await()
      assert.equal(1, s:count())
    end)
    assert.is_true(ended)
  end)

  it("keeps the scope open for a child that is spawned last by another task", function()
    local order = {}
    corun.scope(function()
      local scope
      corun.spawn(function()
        corun.scope(function(s)
          scope = s
          s:spawn(corun.sleep, 2)
        end)
        order[#order + 1] = "scope"
      end)
      settle()
      corun.sleep(1)
      scope:spawn(function()
        corun.sleep(5)
        order[#order + 1] = "late child"
      end)
    end)
    assert.same({"late child", "scope"}, order)
  end)

  it("refuses to spawn once the scope has ended", function()
    local scope
    corun.scope(function(s) scope = s end)
    for _, start in ipairs {"spawn", "async", "daemon"} do
      local ok, err = pcall(function() scope[start](scope, corun.yield) end)
      assert.is_false(ok)
      assert.matches("scope_spec%.lua:%d+: the scope has ended", err)
    end
    assert.equal(0, scope:count())
    scope:cancel()
  end)

  it("says its name and state", function()
    local scope
    corun.scope(function(s)
      scope = s
      assert.equal("scope 'pages' (open)", tostring(s))
      s:cancel()
      assert.equal("scope 'pages' (cancelled)", tostring(s))
    end, {name = "pages"})
    assert.equal("scope 'pages' (ended)", tostring(scope))
    corun.scope(function(s) assert.matches("^scope 0x%x+ %(open%)$", tostring(s)) end)
  end)

  it("may outlive its scope and be collected", function()
    local weak = setmetatable({}, {__mode = "v"})
    corun.scope(function(s) weak[1] = s end)
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)

  it("cannot be misused", function()
    corun.scope(function(s)
      assert.error_matches(function() s.spawn(corun.yield) end, "scope expected")
      assert.error_matches(function() s:spawn() end, "function expected")
      assert.error_matches(function() s.count(1) end, "scope expected")
      assert.error_matches(function() s.cancel({}) end, "scope expected")
    end)
  end)

  it("cancelled with a reason gives it to caller and bodies", function()
    local reason, inside = {}, nil
    local value, err = corun.scope(function(s)
      corun.spawn(function() inside = error_of(corun.sleep, 1) error(inside, 0) end)
      settle()
      s:cancel(reason)
      s:cancel("a second call changes nothing")
      corun.sleep(1)
    end)
    assert.is_nil(value)
    assert.equal(reason, err.reason)
    assert.equal(reason, inside.reason)
    local _, text = corun.scope(function(s)
      s:cancel("enough")
      corun.sleep(1)
    end)
    assert.equal("cancelled: enough (ECANCELED)", tostring(text))
  end)

  it("a reason of which no text can be made does no harm", function()
    local bad = setmetatable({}, {__tostring = function() error("no text") end})
    local value, err = corun.scope(function(s)
      s:cancel(bad)
      corun.sleep(1)
    end)
    assert.is_nil(value)
    assert.equal("ECANCELED", err.code)
    assert.equal(bad, err.reason)
  end)
end)

describe("corun.scope", function()
  before_each(tasks.virtual)

  it("takes name, limit and timeout, and refuses the rest with a hint", function()
    local err = error_of(function() corun.scope(corun.yield, {limits = 1}) end)
    assert.matches('scope_spec%.lua:%d+: unknown option "limits" for scope', err)
    assert.matches('did you mean "limit"', err)
    assert.error_matches(function() corun.scope(corun.yield, {limit = 0}) end, "positive integer")
    assert.error_matches(function() corun.scope(corun.yield, {timeout = -1}) end, "seconds")
    assert.error_matches(function() corun.scope(corun.yield, {timeout = 0 / 0}) end, "seconds")
    assert.error_matches(function() corun.scope(corun.yield, {name = 1}) end, "string")
    assert.error_matches(function() corun.scope() end, "function expected")
    assert.error_matches(function() corun.scope(corun.yield, 5) end, "must be a table")
  end)

  it("with a timeout gives nil and ETIMEDOUT when that has passed", function()
    local value, err = corun.scope(function()
      corun.spawn(corun.sleep, 100)
      return "the body had ended"
    end, {timeout = 2})
    assert.is_nil(value)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal("scope", err.op)
    assert.equal("in time", corun.scope(function() return "in time" end, {timeout = 2}))
  end)
end)

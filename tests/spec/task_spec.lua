-- SPDX-License-Identifier: MIT
-- Tasks: starting, awaiting, ending; the end of the main chunk (S1, S3, S6 to S8, S12, S33, S36,
-- S38).
local corun = require "corun"
local debug_ = require "corun.debug"
local program = dofile("tests/fixtures/cli/program.lua")
local tasks = dofile("tests/spec/support/tasks.lua")

local settle, started, error_of = tasks.settle, tasks.started, tasks.error_of

local function fail(value) error(value, 0) end

describe("S1 ownership", function()
  before_each(tasks.virtual)

  it("S1 a child is started in the innermost scope of the calling task", function()
    local inner_ended, child
    corun.scope(function(outer)
      corun.scope(function(inner)
        child = corun.spawn(corun.sleep, 1)
        assert.equal(1, inner:count())
        assert.equal(0, outer:count())
      end)
      inner_ended = child:done()
    end)
    assert.is_true(inner_ended)
  end)

  it("S1 spawn, async and daemon all start a child of that scope", function()
    corun.scope(function(s)
      corun.spawn(corun.yield)
      corun.async(corun.yield)
      corun.daemon(corun.yield)
      assert.equal(3, s:count())
    end)
  end)

  it("S1 a child is not owned by a scope that another task has open", function()
    local grandchild
    corun.scope(function(s)
      local t = corun.async(function()
        grandchild = corun.spawn(corun.sleep, 5)
      end)
      settle()
      assert.equal(1, s:count())
      assert.is_false(t:done())
    end)
    assert.equal("done", grandchild:status())
  end)

  it("S1 a task is done once its function has returned and its children have ended", function()
    local order = {}
    local t = corun.async(function()
      corun.spawn(function()
        corun.sleep(3)
        order[#order + 1] = "child"
      end)
      order[#order + 1] = "function"
      return "result"
    end)
    settle()
    assert.same({"function"}, order)
    assert.equal("waiting", t:status())
    assert.equal("result", t:await())
    assert.same({"function", "child"}, order)
    assert.equal("done", t:status())
  end)

  it("S1 cancelling a task cancels its children, to any depth", function()
    local ended = {}
    local t = started(function()
      corun.spawn(function()
        corun.spawn(tasks.slow_to_end(ended, "grandchild"))
        tasks.slow_to_end(ended, "child")()
      end)
      return "returned long ago"
    end)
    t:cancel()
    local value, err = t:await()
    assert.is_nil(value)
    assert.equal("ECANCELED", err.code)
    table.sort(ended)
    assert.same({"child", "grandchild"}, ended)
  end)

  it("S1 a child outlives the function that started it but not the scope", function()
    local child
    local function helper() child = corun.spawn(corun.sleep, 2) end
    corun.scope(function()
      helper()
      settle()
      assert.is_false(child:done())
    end)
    assert.is_true(child:done())
  end)

  it("S1 a child starts when its parent next suspends", function()
    local ran = false
    corun.spawn(function() ran = true end)
    assert.is_false(ran)
    corun.sleep(0)
    settle()
    assert.is_true(ran)
  end)

  it("S1 arguments reach the function, nil and many of them included", function()
    assert.same({n = 3, nil, 2, nil}, table.pack(corun.async(function(...)
      return ...
    end, nil, 2, nil):await()))
    local many = {}
    for i = 1, 100000 do many[i] = i end
    local got = table.pack(corun.async(function(...) return ... end, table.unpack(many)):await())
    assert.equal(100000, got.n)
    assert.equal(100000, got[100000])
  end)

  it("S1 a callable object may stand for a function", function()
    local callable = setmetatable({}, {__call = function(_, x) return x + 1 end})
    assert.equal(3, corun.async(callable, 2):await())
  end)

  it("S1 what cannot be called is refused at the caller's line", function()
    for _, start in ipairs {"spawn", "async", "daemon"} do
      local ok, err = pcall(function() corun[start]("text") end)
      assert.is_false(ok)
      assert.matches("task_spec%.lua:%d+: bad argument #1 .*function expected, got string", err)
    end
  end)

  it("S7 S10 tasks of a deep nest await each other in any order #heavy", function()
    local function down(k)
      if k == 0 then return 1 end
      local t = corun.async(down, k - 1)
      corun.yield()
      return 1 + t:await()
    end
    assert.equal(20001, down(20000))
  end)

  it("S1 tasks nest without limit, each awaiting the next, and are cancelled at once", function()
    local depth, deepest, unwound = 1000, 0, 0
    local function nest(n)
      deepest = math.max(deepest, n)
      local _ <close> = tasks.closing(function() unwound = unwound + 1 end)
      if n == depth then corun.sleep(math.huge) end
      return corun.async(nest, n + 1):await()
    end
    local before = corun.now()
    local t = started(nest, 1)
    t:cancel("enough")
    local value, err = t:await()
    assert.is_nil(value)
    assert.equal("ECANCELED", err.code)
    assert.equal(depth, deepest)
    assert.equal(depth, unwound)
    assert.is_true(corun.now() - before < 1)
  end)

  it("S1 results travel up through 1,000 tasks", function()
    local function nest(n)
      if n == 0 then return "bottom" end
      return corun.async(nest, n - 1):await()
    end
    assert.equal("bottom", corun.async(nest, 1000):await())
  end)
end)

describe("S3 three fates", function()
  before_each(tasks.virtual)

  it("S3 spawn: a failure cancels the scope, which raises it", function()
    local sibling
    local start = corun.now()
    local err = error_of(corun.scope, function()
      sibling = corun.spawn(corun.sleep, 100)
      corun.spawn(fail, "spawned")
      corun.sleep(100)
    end)
    assert.equal("spawned", err)
    assert.equal("cancelled", sibling:status())
    assert.is_true(corun.now() - start < 100)
  end)

  it("S3 async: a failure is kept for await and cancels nothing", function()
    corun.scope(function()
      local sibling = corun.spawn(corun.sleep, 1)
      local future = started(fail, "kept")
      assert.equal("failed", future:status())
      assert.equal("kept", error_of(corun.await, future))
      assert.equal("kept", error_of(corun.await, future))
      assert.is_false(sibling:done())
    end)
  end)

  it("S3 async: a failure never awaited is raised when the scope ends", function()
    local body_ended
    assert.equal("unread", error_of(corun.scope, function()
      corun.async(fail, "unread")
      corun.sleep(1)
      body_ended = true
    end))
    assert.is_true(body_ended)
  end)

  it("S3 async: the failure is raised though the handle is garbage", function()
    assert.equal("garbage", error_of(corun.scope, function()
      corun.async(fail, "garbage")
      settle()
      collectgarbage()
      collectgarbage()
    end))
  end)

  it("S3 async: of 1,000 unread failures 100 are kept and the rest counted", function()
    local err = error_of(corun.scope, function()
      for i = 1, 1000 do corun.async(fail, corun.err("E" .. i, "no " .. i)) end
      settle()
      collectgarbage()
      collectgarbage()
    end)
    assert.matches("^E%d+$", err.code)
    assert.equal(99, #err.others)
    assert.equal(900, err.omitted)
  end)

  it("S3 async: of failures beyond the first 100 those awaited are not counted", function()
    local err = error_of(corun.scope, function()
      local all = {}
      for i = 1, 300 do all[i] = corun.async(fail, "no " .. i) end
      settle()
      for i = 1, 300 do
        if i ~= 150 then pcall(corun.await, all[i]) end
      end
    end)
    assert.matches("no 150", tostring(err))
  end)

  it("S3 async: an await that was itself cancelled has delivered nothing", function()
    local awaits
    assert.equal("late", error_of(corun.scope, function()
      local future = corun.async(function()
        corun.sleep(2)
        fail("late")
      end)
      awaits = started(function() return corun.await(future) end)
      awaits:cancel()
      corun.sleep(5)
    end))
    assert.equal("cancelled", awaits:status())
  end)

  it("S3 async: an await in another scope delivers, whoever runs first", function()
    for _ = 1, 20 do
      local future
      local other = corun.async(function()
        while not future do corun.sleep(0.1) end
        return error_of(corun.await, future)
      end)
      corun.scope(function()
        future = corun.async(function()
          corun.sleep(1)
          fail("shared")
        end)
      end)
      assert.equal("shared", other:await())
    end
  end)

  it("S3 daemon: is cancelled and awaited when all else has ended", function()
    local order = {}
    corun.scope(function()
      corun.daemon(tasks.slow_to_end(order, "daemon", 1))
      corun.spawn(function()
        corun.sleep(5)
        order[#order + 1] = "child"
      end)
      order[#order + 1] = "body"
    end)
    order[#order + 1] = "scope"
    assert.same({"body", "child", "daemon", "scope"}, order)
  end)

  it("S3 daemon: its cancellation is no failure and keeps the results of the body", function()
    assert.equal("value", corun.scope(function()
      corun.daemon(corun.sleep, math.huge)
      settle()
      return "value"
    end))
  end)

  it("S3 daemon: a failure counts like any child's", function()
    assert.equal("daemon failed", error_of(corun.scope, function()
      corun.daemon(fail, "daemon failed")
      corun.sleep(10)
    end))
  end)

  it("S3 daemon: a failure in its clean-up counts too", function()
    assert.equal("clean-up", error_of(corun.scope, function()
      corun.daemon(function()
        local _ <close> = tasks.closing(function() fail("clean-up") end)
        corun.sleep(math.huge)
      end)
      settle()
    end))
  end)

  it("S3 daemon: a scope of daemons alone ends at once", function()
    local before = corun.now()
    corun.scope(function() corun.daemon(corun.sleep, 1000) end)
    assert.is_true(corun.now() - before < 1)
  end)
end)

describe("S6 joiners", function()
  before_each(tasks.virtual)

  it("S6 who already waits gets the error before the scope is cancelled", function()
    local got
    assert.equal("first", error_of(corun.scope, function()
      local t = corun.spawn(function()
        corun.sleep(1)
        fail("first")
      end)
      local ok, err = pcall(corun.await, t)
      got = {ok, err}
      corun.sleep(10)
    end))
    assert.same({false, "first"}, got)
  end)

  it("S6 all who wait get it", function()
    local future = corun.async(function()
      corun.sleep(1)
      fail("for all")
    end)
    local waiters = {}
    for i = 1, 5 do waiters[i] = corun.async(error_of, corun.await, future) end
    for i = 1, 5 do assert.equal("for all", waiters[i]:await()) end
  end)

  it("S6 an await begun later inside the cancelled scope raises cancellation", function()
    local late, err
    pcall(corun.scope, function()
      local t = corun.spawn(fail, "first")
      pcall(corun.sleep, 10)
      late, err = pcall(corun.await, t)
      error(err, 0)
    end)
    assert.is_false(late)
    assert.is_true(corun.is_cancelled(err))
  end)

  it("S6 an await begun later outside of it raises the task's error", function()
    local t
    pcall(corun.scope, function() t = corun.spawn(fail, "first") end)
    assert.equal("first", error_of(corun.await, t))
  end)
end)

describe("S7 awaiting", function()
  before_each(tasks.virtual)

  it("S7 a cancelled task gives nil and ECANCELED, however often it is awaited", function()
    local t = started(corun.sleep, 100)
    t:cancel("no longer wanted")
    for _ = 1, 2 do
      local value, err = t:await()
      assert.is_nil(value)
      assert.equal("ECANCELED", err.code)
      assert.is_false(corun.is_cancelled(err))
    end
    assert.is_true(t:done())
  end)

  it("S7 a cancellation met outside the scope that it names is an ordinary failure", function()
    local cancellation
    local t = started(function()
      local ok
      ok, cancellation = pcall(corun.sleep, 100)
      assert(not ok)
    end)
    t:cancel()
    t:await()
    assert.is_true(corun.is_cancelled(cancellation))
    local foreign = started(error, cancellation)
    assert.equal("failed", foreign:status())
    assert.equal(cancellation, error_of(corun.await, foreign))
    assert.equal(cancellation, error_of(corun.scope, function()
      corun.spawn(error, cancellation)
    end))
    local value, err = corun.try(error, cancellation)
    assert.is_nil(value)
    assert.equal(cancellation, err)
  end)

  it("S7 a task cannot await itself", function()
    local ok, err = corun.async(function() return pcall(corun.await, corun.current()) end):await()
    assert.is_false(ok)
    assert.matches("a task cannot await itself", err)
  end)

  it("S7 nor a task that it runs inside of", function()
    local t
    t = corun.async(function()
      return corun.async(function()
        return error_of(corun.await, t)
      end):await()
    end)
    assert.matches("cannot be awaited from inside it", t:await())
  end)

  it("S7 two tasks cannot await each other", function()
    local a, b
    a = corun.async(function()
      settle()
      return pcall(corun.await, b)
    end)
    b = corun.async(function()
      settle()
      return pcall(corun.await, a)
    end)
    local ok_a, err_a = a:await()
    local ok_b, err_b = b:await()
    assert.is_true(ok_a ~= ok_b)
    assert.matches("would wait for each other", ok_a and err_b or err_a)
  end)

  it("S7 nor can they in a longer circle", function()
    local list, n = {}, 50
    for i = 1, n do
      list[i] = corun.async(function()
        settle()
        local ok, err = pcall(corun.await, list[i % n + 1])
        return ok, err
      end)
    end
    local refused = 0
    for i = 1, n do
      local ok = list[i]:await()
      if not ok then refused = refused + 1 end
    end
    assert.equal(1, refused)
  end)

  it("S7 a circle through a task that waits for its children is seen, from both sides", function()
    for _, first in ipairs {"child", "sibling"} do
      local parent, sibling, child
      parent = corun.async(function()
        child = corun.async(function()
          corun.sleep(first == "child" and 1 or 2)
          return pcall(corun.await, sibling)
        end)
      end)
      sibling = corun.async(function()
        corun.sleep(first == "child" and 2 or 1)
        return pcall(corun.await, parent)
      end)
      parent:await()
      local ok_child, err_child = child:await()
      local ok_sibling, err_sibling = sibling:await()
      assert.is_true(ok_child ~= ok_sibling)
      assert.matches("would wait for each other", ok_child and err_sibling or err_child)
    end
  end)

  it("S7 waiting for one task from many is no circle", function()
    local t = corun.async(function()
      corun.spawn(corun.sleep, 1)
      return 1
    end)
    local sum = 0
    corun.scope(function()
      for _ = 1, 100 do
        corun.spawn(function()
          local one = t:await()
          sum = sum + one
        end)
      end
    end)
    assert.equal(100, sum)
  end)

  it("S7 only tasks can be awaited", function()
    assert.error_matches(function() corun.await("text") end, "task expected, got string")
    assert.error_matches(function() corun.await() end, "task expected, got no value")
    assert.error_matches(function() corun.await(io.stdout) end, "task expected")
  end)
end)

describe("S8 cancelled before it started", function()
  before_each(tasks.virtual)

  it("S8 the function is never called", function()
    local called = false
    for _, start in ipairs {"spawn", "async", "daemon"} do
      local t = corun[start](function() called = true end)
      assert.equal("ready", t:status())
      t:cancel()
      settle()
      assert.equal("cancelled", t:status())
      local value, err = t:await()
      assert.is_nil(value)
      assert.equal("ECANCELED", err.code)
    end
    assert.is_false(called)
  end)

  it("S8 nor when its scope was cancelled first, or is cancelled already", function()
    local called, first, second = false, nil, nil
    local _, err = corun.scope(function(s)
      first = corun.spawn(function() called = true end)
      s:cancel()
      second = corun.spawn(function() called = true end)
      pcall(corun.sleep, 1)
    end)
    assert.equal("ECANCELED", err.code)
    assert.equal("cancelled", first:status())
    assert.equal("cancelled", second:status())
    assert.is_false(called)
  end)

  it("S8 its locals and arguments are let go", function()
    local weak = setmetatable({{}}, {__mode = "v"})
    local t = corun.spawn(function() end, weak[1])
    t:cancel()
    settle()
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)
end)

describe("S36 locals", function()
  before_each(tasks.virtual)

  it("S36 are a shallow copy at spawn", function()
    local shared = {}
    local mine = corun.locals()
    mine.request, mine.shared = "outer", shared
    local t = corun.async(function()
      local l = corun.locals()
      assert.equal("outer", l.request)
      assert.equal(shared, l.shared)
      l.request = "inner"
      settle()
      return corun.locals().request
    end)
    mine.request = "changed after the spawn"
    assert.equal("inner", t:await())
    assert.equal("changed after the spawn", corun.locals().request)
    mine.request, mine.shared = nil, nil
  end)

  it("S36 pass down through tasks that do not look at them", function()
    corun.locals().id = 7
    local t = corun.async(function()
      return corun.async(function() return corun.locals().id end):await()
    end)
    corun.locals().id = nil
    assert.equal(7, t:await())
  end)

  it("S36 are the same table all the time, also in a coroutine of the task", function()
    local mine = corun.locals()
    assert.equal(mine, corun.locals())
    assert.equal(mine, coroutine.wrap(corun.locals)())
    local other = corun.async(corun.locals):await()
    assert.is_true(other ~= mine)
  end)
end)

describe("a task handle", function()
  before_each(tasks.virtual)

  it("has an id, a name that may be set, and says its state", function()
    local t = corun.async(corun.sleep, 1)
    assert.equal("integer", math.type(t.id))
    assert.is_nil(t.name)
    t.name = "sleeper"
    assert.equal("sleeper", t.name)
    assert.equal(("task %d 'sleeper' (ready)"):format(t.id), tostring(t))
    settle()
    assert.equal("waiting", t:status())
    t:await()
    assert.equal("done", t:status())
    assert.error_matches(function() t.status = "x" end, "a task has no field \"status\" to set")
    assert.error_matches(function() t.name = {} end, "must be a string, got table")
    assert.is_nil(t.nothing)
  end)

  it("is the same object in the task itself", function()
    local seen
    local t = corun.async(function() seen = corun.current() end)
    t:await()
    assert.equal(t, seen)
    assert.equal("running", corun.current():status())
    assert.is_true(corun.current().id ~= t.id)
  end)

  it("current() costs no more steps than there are calls, however deep", function()
    local function deep(n, fn)
      if n > 0 then return 0 + deep(n - 1, fn) end
      fn()
      return 0
    end
    local own, began = corun.current(), corun.now()
    deep(20000, function() -- their square would take 20 s
      for _ = 1, 100 do assert(corun.current() == own) end
    end)
    assert.is_true(corun.now() - began < 5)
  end)

  it("gives one sentence when it is misused", function()
    local t = corun.async(corun.yield)
    assert.error_matches(function() t.cancel() end, "task expected")
    assert.error_matches(function() t.await({}) end, "task expected")
    t:await()
  end)

  it("keeps its results as long as it lives, and they can be collected with it", function()
    local weak = setmetatable({}, {__mode = "v"})
    local t = corun.async(function()
      weak[1] = {}
      return weak[1]
    end)
    t:await()
    collectgarbage()
    assert.is_table(t:await())
    t = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)

  it("of many finished tasks leaves nothing behind", function()
    local before = debug_.stats()
    for _ = 1, 3000 do corun.async(function() return 1 end):await() end
    local after = debug_.stats()
    assert.equal(before.tasks, after.tasks)
    assert.equal(before.timers, after.timers)
  end)
end)

describe("yield, now, deadline", function()
  before_each(tasks.virtual)

  it("yield lets the other ready tasks run", function()
    local n = 0
    corun.spawn(function() n = n + 1 end)
    repeat corun.yield() until n == 1
  end)

  it("now goes on with the clock", function()
    local t = corun.now()
    corun.sleep(2.5)
    assert.is_true(math.abs(corun.now() - t - 2.5) < 1e-3)
  end)

  it("deadline is that of the nearest limit around", function()
    assert.is_nil(corun.deadline())
    local now = corun.now()
    corun.timeout(10, function()
      assert.is_true(math.abs(corun.deadline() - now - 10) < 1e-3)
      corun.timeout(5, function()
        assert.is_true(math.abs(corun.deadline() - now - 5) < 1e-3)
      end)
      corun.timeout(50, function()
        assert.is_true(math.abs(corun.deadline() - now - 10) < 1e-3)
      end)
      corun.shield(function() assert.is_nil(corun.deadline()) end)
      assert.is_true(corun.async(corun.deadline):await() < now + 11)
    end)
    assert.is_nil(corun.deadline())
  end)

  it("sleep for 0 or less is a yield, NaN raises", function()
    local before = corun.now()
    corun.sleep(0)
    corun.sleep(-1)
    assert.equal(before, corun.now())
    assert.error_matches(function() corun.sleep(0 / 0) end, "NaN")
    assert.error_matches(function() corun.sleep("soon") end, "number expected")
  end)
end)

describe("S12 the end of main", function()
  local function ends(expected, code)
    local r = program.code(code)
    assert.equal("", r.err)
    assert.equal(expected, r.out)
    assert.equal(0, r.status)
  end

  it("S12 comes when the root scope is empty", function()
    ends("main\nchild\ngrandchild\n", [[
      local corun = require "corun"
      corun.spawn(function()
        corun.sleep(0.01)
        corun.spawn(function() corun.sleep(0.01) print "grandchild" end)
        print "child"
      end)
      print "main"]])
  end)

  it("S12 closes the variables of the main chunk before that", function()
    ends("closed\nchild\n", [[
      local corun = require "corun"
      local _ <close> = setmetatable({}, {__close = function() print "closed" end})
      corun.spawn(function() corun.sleep(0.01) print "child" end)]])
  end)

  it("S12 cancels and waits for the daemons", function()
    ends("main\ncleaned\n", [[
      local corun = require "corun"
      corun.daemon(function()
        local _ <close> = corun.defer(function() corun.sleep(0.01) print "cleaned" end)
        corun.sleep(1000)
      end)
      corun.debug.virtual(true)
      corun.sleep(1)
      print "main"]])
  end)

  it("S12 a failure after it is reported with the traceback and the place of the spawn", function()
    local r = program.code([[
      local corun = require "corun"
      local function work() corun.sleep(0.01) error("went wrong") end
      corun.spawn(work)]])
    assert.equal(1, r.status)
    assert.matches("^corun: %(command line%):2: went wrong\nstack traceback:\n", r.err)
    assert.matches("\nspawned at %(command line%):3", r.err)
  end)

  it("S12 an async failure that nobody awaited ends the program with 1", function()
    local r = program.code([[require "corun".async(error, "unread")]])
    assert.equal(1, r.status)
    assert.matches("^corun: unread\n", r.err)
  end)

  it("S12 the failure of main itself cancels its children", function()
    local r = program.code([[
      local corun = require "corun"
      corun.spawn(function()
        local _ <close> = corun.defer(print, "child cleaned")
        corun.sleep(1000)
      end)
      corun.debug.virtual(true)
      corun.sleep(1)
      error "main failed"]])
    assert.equal(1, r.status)
    assert.equal("child cleaned\n", r.out)
    assert.matches("main failed", r.err)
  end)
end)

describe("S33 leaving", function()
  it("S33 corun.exit cancels the root scope, cleans up, and exits with the status", function()
    local r = program.code([[
      local corun = require "corun"
      local _ <close> = corun.defer(function() corun.sleep(0.01) print "main cleaned" end)
      corun.spawn(function()
        local _ <close> = corun.defer(function() corun.sleep(0.01) print "child cleaned" end)
        corun.sleep(1000)
      end)
      corun.spawn(function() corun.sleep(0.01) corun.exit(7) print "not reached" end)
      corun.sleep(1000)]])
    assert.equal("", r.err)
    assert.equal(7, r.status)
    local lines = {r.out:match("^(%w+ cleaned)\n(%w+ cleaned)\n$")}
    table.sort(lines)
    assert.same({"child cleaned", "main cleaned"}, lines)
  end)

  it("S33 corun.exit in main, in a shield, with a boolean", function()
    assert.equal(0, program.code("require'corun'.exit()").status)
    assert.equal(0, program.code("require'corun'.exit(true)").status)
    assert.equal(1, program.code("require'corun'.exit(false)").status)
    local r = program.code("local c = require'corun' c.shield(c.exit, 3) print 'on' c.sleep(9)")
    assert.equal(3, r.status)
    assert.equal("on\n", r.out)
  end)

  it("S33 the first status counts; one that is none is refused", function()
    local r = program.code([[
      local corun = require "corun"
      print(pcall(corun.exit, 256))
      print(pcall(corun.exit, -1))
      local _ <close> = corun.defer(corun.exit, 4)
      corun.exit(3)]])
    assert.equal(3, r.status)
    assert.matches("exit status must be 0 to 255", r.out)
  end)

  it("S33 a failure in the clean-up ends with 1", function()
    local r = program.code([[
      local corun = require "corun"
      local _ <close> = corun.defer(error, "clean-up")
      corun.exit(0)]])
    assert.equal(1, r.status)
    assert.matches("clean%-up", r.err)
  end)

  it("S33 os.exit leaves at once", function()
    local r = program.code([[
      local corun = require "corun"
      corun.debug.virtual(true)
      corun.spawn(function()
        local _ <close> = corun.defer(print, "not printed")
        corun.sleep(1000)
      end)
      corun.sleep(1)
      io.write "left"
      os.exit(5)]])
    assert.equal("left", r.out)
    assert.equal("", r.err)
    assert.equal(5, r.status)
    assert.equal(0, program.code("os.exit(true, true)").status)
    assert.equal(6, program.code([[
      local corun = require "corun"
      corun.spawn(corun.sleep, 100)
      coroutine.wrap(function() corun.yield() os.exit(6, true) end)()]]).status)
  end)
end)

describe("S38 deadlock", function()
  local function deadlocks(code)
    local r = program.code(code)
    assert.equal(13, r.status)
    assert.matches("^corun: deadlock: no task can ever run again\n", r.err)
    return r
  end

  it("S38 is reported with what each task waits for and where it was spawned", function()
    local r = deadlocks([[
      local corun = require "corun"
      local c = corun.channel()
      corun.spawn(function() c:recv() end)
      corun.event():wait()]])
    assert.matches("main %(task 1%): waiting for wait event 0x%x+", r.err)
    assert.matches("task %d+: waiting for recv channel 0x%x+, spawned at %(command line%):3", r.err)
  end)

  it("S38 cancels the root scope, so that clean-up runs", function()
    local r = deadlocks([[
      local corun = require "corun"
      local _ <close> = corun.defer(function() corun.sleep(0.01) print "cleaned" end)
      corun.channel():recv()]])
    assert.equal("cleaned\n", r.out)
  end)

  it("S38 is seen in a shield too, after the grace", function()
    local r = program.run({"--grace=0.05", "-e", [[
      local corun = require "corun"
      corun.shield(function() corun.channel():recv() end)]]})
    assert.equal(13, r.status)
  end)

  it("S38 a task that sleeps for ever can never wake", function()
    deadlocks("require'corun'.sleep(math.huge)")
  end)

  it("S38 who waits for a signal or a timer waits for the world", function()
    local r = program.run({"--timeout=0.2", "-e", [[
      local corun = require "corun"
      corun.signal("SIGUSR1"):recv()]]})
    assert.equal(124, r.status)
    r = program.code([[
      local corun = require "corun"
      local e = corun.event()
      corun.spawn(function() corun.sleep(0.05) e:set() end)
      e:wait()]])
    assert.equal(0, r.status)
  end)
end)

describe("S37 the virtual clock", function()
  it("S37 jumps to the next timer when nothing else can run", function()
    debug_.virtual(true)
    local real, virtual, order = os.time(), corun.now(), {}
    corun.scope(function()
      for _, s in ipairs {3000, 1000, 2000} do
        corun.spawn(function()
          corun.sleep(s)
          order[#order + 1] = s
        end)
      end
    end)
    assert.same({1000, 2000, 3000}, order)
    assert.is_true(math.abs(corun.now() - virtual - 3000) < 1e-3)
    assert.is_true(os.time() - real < 60)
  end)

  it("S37 does not move while a task is ready", function()
    debug_.virtual(true)
    local slept = false
    corun.spawn(function()
      corun.sleep(0.001)
      slept = true
    end)
    for _ = 1, 1000 do
      corun.yield()
      assert.is_false(slept)
    end
    corun.sleep(1)
    assert.is_true(slept)
  end)

  it("S37 each test begins on the real clock", function()
    local real = os.clock()
    local before = corun.now()
    corun.sleep(0.01)
    assert.is_true(corun.now() - before >= 0.0099)
    assert.is_true(os.clock() - real < 5)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Extensions in C (include/corun.h): what tests/ext/operations.c does with it, in every order, and
-- what misuse gets.
local corun = require "corun"
local debug_ = require "corun.debug"
local ext = require "operations"
local eventually = require("tests.spec.support.eventually")
local program = dofile("tests/fixtures/cli/program.lua")
local tasks = dofile("tests/spec/support/tasks.lua")

local READABLE, WRITABLE = 1, 2

-- Collect until `n` operations have been dropped since the last ext.counts().
local function assert_dropped(n)
  local all = 0
  eventually(function()
    collectgarbage()
    local _, dropped = ext.counts()
    all = all + dropped
    return all >= n
  end)
  collectgarbage()
  local _, dropped = ext.counts()
  assert.equal(n, all + dropped)
end

-- Start fn in a task that waits, or has ended, on return.
local function started(fn, ...)
  local t = corun.async(fn, ...)
  repeat corun.yield() until t:status() ~= "ready"
  return t
end

local function no_jobs()
  return debug_.stats().jobs == 0
end

before_each(function()
  eventually(no_jobs)
  collectgarbage()
  collectgarbage()
  ext.counts()
end)

describe("an operation on a thread", function()
  it("gives what done pushes", function()
    assert.equal(294, ext.sum("abc"))
    assert.equal(97, ext.sum("a"))
  end)

  it("may await another one in done", function()
    assert.equal(("2"):byte() + ("9"):byte() + ("4"):byte(), ext.twice("abc"))
  end)

  it("gives true or an error without done", function()
    assert.is_true(ext.check("abc"))
    local ok, err = ext.check("")
    assert.is_nil(ok)
    assert.equal("EINVAL", err.code)
    assert.equal("check", err.op)
  end)

  it("fails with what run answers", function()
    local ok, err = ext.sum("")
    assert.is_nil(ok)
    assert.equal("EINVAL", err.code)
    assert.equal("sum", err.op)
    assert.matches("sum: invalid argument", tostring(err))
  end)

  it("raises what done raises, and is dropped once", function()
    local err = tasks.error_of(function() local _ = ext.raise("abc") end)
    assert.matches("ext_spec.lua:%d+: done raises 0", err)
    assert.matches("done raises %-22", tasks.error_of(ext.raise, ""))
    assert_dropped(2)
  end)

  it("runs beside others, a thousand at once", function()
    local want = {n = 1000}
    for i = 1, 1000 do want[i] = #tostring(i) end
    local got = corun.map(want, function(n) return ext.sum(("\1"):rep(n)) end, {limit = 1000})
    assert.same(want, got)
    assert_dropped(1000)
  end)

  it("has a thread of its own beside three others, however they come", function()
    for i = 1, 200 do
      -- Threads are asleep, look out for more, or are busy.
      for _ = 1, i % 5 do ext.sum("a") end
      if i % 7 == 0 then corun.sleep(0.0001) end
      local met = 0
      corun.scope(function(s)
        for k = 1, 4 do
          if (i + k) % 3 == 0 then s:spawn(ext.sum, "a") end
          s:spawn(function()
            for _ = 1, (i + k) % 4 do ext.sum("a") end
            if ext.meet(4) then met = met + 1 end
          end)
        end
      end)
      assert.equal(4, met)
    end
  end)

  it("keeps what it reads while the collector runs", function()
    local t = corun.async(function()
      local sum = 0
      for i = 1, 5 do sum = sum + ext.sum(("\1"):rep(1000000) .. i) end
      return sum
    end)
    repeat
      collectgarbage()
      corun.sleep(0.001)
    until t:done()
    assert.equal(5 * 1000000 + ("123"):byte(1) * 5 + 10, t:await())
  end)

  it("goes on inside a coroutine of the script", function()
    local each = coroutine.wrap(function()
      for _, s in ipairs{"a", "b"} do coroutine.yield(ext.sum(s)) end
    end)
    assert.equal(97, each())
    assert.equal(98, each())
  end)

  it("is shown in the task tree", function()
    local holder = {}
    local t = started(ext.spin, "told", holder)
    eventually(function() return ext.begun() == 1 end)
    local lines = table.concat(debug_.tasks(), "\n")
    assert.matches("a thread to do spin", lines)
    ext.cancel(holder.op)
    assert.equal("opened", t:await())
  end)
end)

describe("a cancelled operation", function()
  -- Occupy all threads until the closable is closed.
  local function busy()
    local all = {}
    local before = ext.begun()
    -- more than there are threads: the last ones wait
    for i = 1, 70 do all[i] = corun.async(ext.spin, "told") end
    eventually(function() return ext.begun() > before end)
    return corun.defer(function()
      for _, t in ipairs(all) do t:cancel() end
      for _, t in ipairs(all) do t:await() end
    end)
  end

  it("S13 does not begin in a cancelled task", function()
    local t = corun.spawn(function()
      corun.current():cancel()
      ext.sum("abc")
    end)
    eventually(function() return t:done() end)
    assert.equal("cancelled", t:status())
    assert.equal(0, (ext.counts()))
  end)

  it("S16 is taken back while it waits for a thread", function()
    local t
    do
      local _ <close> = busy()
      t = started(ext.sum, "abc")
      t:cancel()
      eventually(function() return t:done() end)
      assert.equal("cancelled", t:status())
    end
    t = nil -- luacheck: ignore 311
    local _, _, told = ext.counts()
    assert.is_true(told >= 1)
  end)

  it("S16 sleeps until it has ended, and sees that it is cancelled", function()
    local t = started(ext.spin, "polite")
    eventually(function() return ext.begun() == 1 end)
    t:cancel()
    local ok, err = t:await()
    assert.is_nil(ok)
    assert.equal("ECANCELED", err.code)
    t = nil -- luacheck: ignore 311
    assert_dropped(1)
  end)

  it("is told so, once", function()
    local t = started(ext.spin, "told")
    eventually(function() return ext.begun() == 1 end)
    t:cancel()
    t:cancel()
    t:await()
    local _, _, told = ext.counts()
    assert.equal(1, told)
  end)

  it("S16 lets its task go at once when it is abandoned", function()
    local t = started(ext.spin, "abandoned")
    eventually(function() return ext.begun() == 1 end)
    t:cancel()
    t:await()
    assert.equal("cancelled", t:status())
    eventually(no_jobs)
    t = nil -- luacheck: ignore 311
    assert_dropped(1)
  end)

  it("keeps its result when it had ended", function()
    local t = corun.async(ext.sum, "abc")
    eventually(function() return t:done() end)
    t:cancel()
    assert.equal(294, t:await())
  end)

  it("ends by a timeout", function()
    local ok, err = corun.timeout(0.02, ext.spin, "polite")
    assert.is_nil(ok)
    assert.equal("ETIMEDOUT", err.code)
  end)

  it("gives nil and an error when it is cancelled for its task", function()
    local holder = {}
    local t = started(ext.spin, "abandoned", holder)
    eventually(function() return ext.begun() == 1 end)
    ext.cancel(holder.op)
    local ok, err = t:await()
    assert.is_nil(ok)
    assert.equal("ECANCELED", err.code)
    assert.equal("spin", err.op)
    eventually(no_jobs)
  end)

  it("is withdrawn for its task while it waits for a thread", function()
    local holder = {}
    local _ <close> = busy()
    local t = started(ext.spin, "told", holder)
    ext.cancel(holder.op)
    local ok, err = t:await()
    assert.is_nil(ok)
    assert.equal("ECANCELED", err.code)
  end)
end)

describe("an operation that others wake", function()
  it("is woken by a thread, before and after the await", function()
    assert.equal(42, ext.thread(21, -1))
    assert.equal(42, ext.thread(21, 0))
    assert.equal(42, ext.thread(21, 5))
    assert_dropped(3)
  end)

  it("is woken by eight threads and more at once", function()
    local all = {}
    for i = 1, 8 do
      all[i] = corun.async(function()
        for n = 1, 50 do assert.equal(2 * n, ext.thread(n, n % 3 - 1)) end
      end)
    end
    for i = 1, 8 do all[i]:await() end
    all = nil -- luacheck: ignore 311
    assert_dropped(400)
  end)

  it("wakes itself when it could not begin", function()
    local ok, err = ext.fail(-11)
    assert.is_nil(ok)
    assert.equal("EAGAIN", err.code)
    assert.equal(0, ext.fail(0))
  end)

  it("is woken by another task", function()
    local holder = {}
    local t = started(ext.pending, holder)
    assert.is_false(t:done())
    ext.wake(holder.op)
    assert.equal(7, t:await())
  end)

  for kind, here in pairs{["a thread"] = false, ["the loop itself"] = true} do
    it("is woken together with others by " .. kind, function()
      local all, order = {}, {}
      for i = 1, 9 do
        local holder = {}
        all[i] = started(function()
          local value = ext.pending(holder)
          order[#order + 1] = i
          return value
        end)
        ext.shelve(holder.op)
      end
      all[5]:cancel() -- stopped: no more to be woken, but never looked at again either
      all[5]:await()
      ext.unshelve(5)
      ext.wake_shelf(0, here)
      for i = 1, 9 do if i ~= 5 then assert.equal(7, all[i]:await()) end end
      if not os.getenv("CORUN_SEED") then assert.same({1, 2, 3, 4, 6, 7, 8, 9}, order) end
      assert.equal(0, debug_.stats().jobs)
      ext.wake_shelf(0, here) -- none
    end)
  end

  it("is woken together with those of other runtimes", function()
    local function wait_on_shelf(turn)
      local c, e = require "corun", require "operations"
      local all = {}
      for i = 1, 3 do
        local holder = {}
        all[i] = c.async(e.pending, holder)
        while not holder.op or e.shelved() % 2 ~= turn do c.sleep(0.001) end
        e.shelve(holder.op)
      end
      local results = {}
      for i = 1, 3 do results[i] = tostring(select(2, all[i]:await()).code) end
      return table.concat(results, " ")
    end
    local here, there = corun.async(wait_on_shelf, 0), corun.async(corun.pool.run, wait_on_shelf, 1)
    eventually(function() return ext.shelved() == 6 end)
    ext.wake_shelf(-22)
    assert.equal("EINVAL EINVAL EINVAL", here:await())
    assert.equal("EINVAL EINVAL EINVAL", there:await())
    corun.pool.close()
  end)

  it("S15 keeps its result when it is cancelled after that", function()
    local holder = {}
    local t = started(ext.pending, holder)
    ext.wake(holder.op)
    t:cancel()
    assert.equal(7, t:await())
  end)

  it("S16 ends at once when nobody will wake it", function()
    local t = started(ext.pending, {})
    t:cancel()
    t:await()
    assert.equal("cancelled", t:status())
    assert.equal(0, debug_.stats().jobs)
    local _, _, told = ext.counts()
    assert.equal(1, told)
  end)

  it("may be woken while it is told of the cancellation", function()
    local t = started(ext.pending, {}, "woken")
    t:cancel()
    local ok, err = t:await()
    assert.is_nil(ok)
    assert.equal("ECANCELED", err.code)
    assert.equal(0, debug_.stats().jobs)
  end)

  it("S14 tells the cancellation of a task that was cancelled before it awaits", function()
    local t = corun.spawn(function()
      corun.current():cancel()
      ext.pending({})
    end)
    eventually(function() return t:done() end)
    local _, _, told = ext.counts()
    assert.equal(0, told) -- it did not even begin
  end)

  for _, kind in ipairs{"run", "stopped", "woken", "left", "abandoned"} do
    it("gives nil and an error when it is cancelled before the await: " .. kind, function()
      local holder = {}
      local ok, err = ext.early(kind, holder)
      assert.is_nil(ok)
      assert.equal("ECANCELED", err.code)
      local _, dropped, told = ext.counts()
      assert.equal(kind == "run" and 0 or 1, told)
      if kind == "abandoned" then
        assert.equal(0, dropped)
        assert.equal(1, debug_.stats().jobs)
        ext.wake(holder.op)
        assert_dropped(1)
      else
        assert.equal(1, dropped)
      end
      assert.equal(0, debug_.stats().jobs)
    end)
  end

  it("sleeps until it is woken when it cannot be cancelled before the await", function()
    local holder = {}
    local t = started(ext.early, "never", holder)
    assert.is_false(t:done())
    ext.wake(holder.op)
    assert.equal(0, t:await())
  end)

  it("has ended when its cancel wakes it, whatever that answers", function()
    local holder = {}
    local t = started(ext.early, "left", holder, true)
    ext.cancel(holder.op)
    assert.equal("ECANCELED", select(2, t:await()).code)
    t = started(ext.early, "left", holder, true)
    t:cancel()
    assert.equal("ECANCELED", select(2, t:await()).code)
    t, holder = nil, nil -- luacheck: ignore 311
    assert_dropped(2)
  end)

  for _, kind in ipairs{"stopped", "woken"} do
    it("ends for its task when it is cancelled: " .. kind, function()
      local holder = {}
      local t = started(ext.pending, holder, kind)
      ext.cancel(holder.op)
      local ok, err = t:await()
      assert.is_nil(ok)
      assert.equal("ECANCELED", err.code)
    end)
  end
end)

describe("a wait for a descriptor", function()
  local a, b, handles

  before_each(function()
    handles = debug_.stats().handles
    a, b = ext.pair()
  end)

  after_each(function()
    ext.close(a)
    ext.close(b)
    eventually(function() return debug_.stats().handles == handles end)
  end)

  it("ends when it is readable", function()
    local t = started(ext.await_fd, a, READABLE)
    assert.is_false(t:done())
    ext.send(b, "x")
    assert.equal(READABLE, t:await())
    assert.equal(READABLE, ext.await_fd(a, READABLE)) -- still
    assert.equal("x", ext.recv(a))
  end)

  it("ends when it is writable", function()
    assert.equal(WRITABLE, ext.await_fd(a, READABLE + WRITABLE))
    local block, sent = ("x"):rep(65536), 0
    repeat
      local n = ext.send(a, block)
      sent = sent + math.max(n, 0)
    until n < 0
    local t = started(ext.await_fd, a, WRITABLE, 20)
    assert.is_false(t:done())
    while sent > 0 do sent = sent - #ext.recv(b) end
    assert.equal(WRITABLE, t:await())
  end)

  it("ends when the other end has gone", function()
    local t = started(ext.await_fd, a, READABLE)
    ext.close(b)
    assert.equal(READABLE, t:await())
    assert.equal("", ext.recv(a))
    b = ext.pair()
  end)

  it("gives an error when its time is over", function()
    local ok, err = ext.await_fd(a, READABLE, 0.01)
    assert.is_nil(ok)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal("await_fd", err.op)
    assert.equal("descriptor " .. a, err.target)
    assert.equal("ETIMEDOUT", select(2, ext.await_fd(a, READABLE, 0)).code)
    ext.send(b, "x")
    assert.equal(READABLE, ext.await_fd(a, READABLE, 0))
    assert.equal(READABLE, ext.await_fd(a, READABLE, math.huge))
  end)

  it("S16 ends when its task is cancelled", function()
    local t = started(ext.await_fd, a, READABLE)
    t:cancel()
    t:await()
    assert.equal("cancelled", t:status())
    ext.send(b, "x")
    assert.equal(READABLE, ext.await_fd(a, READABLE))
  end)

  it("shares a descriptor with others", function()
    local reader, other = started(ext.await_fd, a, READABLE), started(ext.await_fd, a, READABLE)
    local both = started(ext.await_fd, a, READABLE + WRITABLE)
    assert.equal(WRITABLE, both:await())
    assert.is_false(reader:done())
    other:cancel()
    ext.send(b, "x")
    assert.equal(READABLE, reader:await())
  end)

  it("wakes all who can go on", function()
    local all = {}
    for i = 1, 10 do all[i] = started(ext.await_fd, a, READABLE) end
    ext.send(b, "x")
    for i = 1, 10 do assert.equal(READABLE, all[i]:await()) end
  end)

  it("S20 ends when the descriptor is released", function()
    local t, u = started(ext.await_fd, a, READABLE), started(ext.line, a)
    ext.release(a)
    for _, waiting in ipairs{t, u} do
      local ok, err = waiting:await()
      assert.is_nil(ok)
      assert.equal("ECLOSED", err.code)
    end
    ext.release(a) -- nobody waits
    ext.release(-1)
    ext.release(1 << 20)
  end)

  it("fails for what cannot be waited for", function()
    local closed, other = ext.pair()
    ext.close(closed)
    ext.close(other)
    for _, fd in ipairs{closed, -1, 1 << 20, (1 << 31) - 1, -(1 << 31)} do
      for _, limit in ipairs{-1, 0} do
        local ok, err = ext.await_fd(fd, READABLE, limit)
        assert.is_nil(ok)
        assert.equal("EBADF", err.code)
      end
    end
    local file = ext.open("README.md")
    local ok, err = ext.await_fd(file, READABLE)
    assert.is_nil(ok)
    assert.equal("EPERM", err.code)
    ext.close(file)
  end)

  it("fails when the descriptor is closed before the loop has seen it", function()
    local t, u = started(ext.await_fd, a, READABLE), started(ext.await_fd, a, WRITABLE)
    ext.close(a)
    for _, waiting in ipairs{t, u} do
      local ok, err = waiting:await()
      assert.is_nil(ok)
      assert.equal("EBADF", err.code)
    end
    ext.close(b)
    a, b = ext.pair()
    assert.equal(WRITABLE, ext.await_fd(a, WRITABLE))
  end)

  it("fails when the descriptor has become a file before the loop has seen it", function()
    local t = started(ext.await_fd, a, READABLE)
    ext.close(a)
    assert.equal(a, ext.open("README.md"))
    local ok, err = t:await()
    assert.is_nil(ok)
    assert.equal("EPERM", err.code)
  end)

  it("fails for a closed descriptor that others still wait for", function()
    local t = started(ext.await_fd, a, READABLE)
    corun.sleep(0.001)
    ext.close(a)
    local ok, err = ext.await_fd(a, READABLE + WRITABLE)
    assert.is_nil(ok)
    assert.equal("EBADF", err.code)
    assert.equal("EBADF", select(2, t:await()).code)
    ext.close(b)
    a, b = ext.pair()
  end)

  it("goes on in C", function()
    local t = started(ext.line, a)
    ext.send(b, "one ")
    corun.sleep(0)
    ext.send(b, "line\nmore")
    assert.equal("one line\n", t:await())
    assert.equal("more", ext.recv(a))
  end)

  it("is shown in the task tree", function()
    local t = started(ext.await_fd, a, READABLE)
    local lines = table.concat(debug_.tasks(), "\n")
    assert.matches("descriptor " .. a .. " to be readable", lines, 1, true)
    t:cancel()
    t:await()
  end)

  it("refuses events and times that are none", function()
    assert.matches("cannot wait for the events 0", tasks.error_of(ext.await_fd, a, 0))
    assert.matches("cannot wait for the events 4", tasks.error_of(ext.await_fd, a, 4))
    assert.matches("NaN", tasks.error_of(ext.await_fd, a, READABLE, 0 / 0))
  end)
end)

describe("an error of an extension", function()
  it("has its own code and message", function()
    local ok, err = ext.error("answer")
    assert.is_nil(ok)
    assert.equal("EHELLO", err.code)
    assert.equal("greet the world: answer is 42 (EHELLO)", tostring(err))
  end)

  it("has the system's name where libuv has none for its number", function()
    local _, err = ext.fail(-122)
    assert.equal("signal: disk quota exceeded (EDQUOT)", tostring(err))
    assert.equal("signal: error number -3500 (EUNKNOWN)", tostring(select(2, ext.fail(-3500))))
  end)
end)

describe("misuse of an operation", function()
  -- How a program ends that misuses one where nothing can be raised.
  local function assert_fault(code, message)
    local r = program.code('local ext = require "operations" ' .. code)
    assert.matches(message, r.err, 1, true)
    if ext.is_debug() then
      assert.is_nil(r.status, r.err)
    else
      assert.equal(0, r.status, r.err)
      assert.equal("went on\n", r.out)
    end
  end

  it("is told: awaited twice", function()
    assert.matches("operation 'again' was awaited before", tasks.error_of(ext.await_twice, "abc"))
  end)

  it("is told: not on the stack", function()
    assert.matches("must be on the stack", tasks.error_of(ext.lose))
  end)

  it("S30 is told: where no suspension is possible", function()
    local err = tasks.error_of(table.sort, {3, 2, 1}, function(x, y)
      ext.sum("abc")
      return x < y
    end)
    assert.matches("cannot suspend inside", err)
    assert.matches("cannot suspend inside", tasks.error_of(string.gsub, "abc", "b", ext.sum))
    assert.matches("cannot suspend inside",
      tasks.error_of(string.gsub, "abc", "b", function() ext.await_fd(0, READABLE) end))
    assert.equal(0, (ext.counts()))
  end)

  it("is told: in a closing runtime", function()
    local r = program.code([[
      local ext = require "operations"
      kept = {}
      for i, fn in ipairs{function() ext.sum("abc") end, function() ext.await_fd(0, 1) end,
        function() ext.forget(true) end} do
        kept[i] = ext.late(function()
          local ok, err = pcall(fn)
          print(ok, err)
        end)
      end]])
    assert.equal(0, r.status)
    assert.equal("", r.err)
    assert.equal(3, select(2, r.out:gsub("false\t[^\n]*the runtime is closing\n", "")))
  end)

  it("is told or aborts: woken twice", function()
    assert_fault('ext.wake_twice() print "went on"', "operation 'double' was woken twice")
  end)

  it("is told or aborts: woken after it was stopped", function()
    assert_fault([[local corun, holder = require "corun", {}
      local t = corun.async(ext.pending, holder)
      while not holder.op do corun.yield() end
      ext.cancel(holder.op)
      ext.wake(holder.op)
      t:await()
      print "went on"]], "operation 'pending' was woken twice, or after its cancel")
  end)

  it("is told or aborts: woken although a thread runs it", function()
    assert_fault('ext.wake_run() print "went on"', "operation 'threaded' is run by a thread")
  end)

  it("is told or aborts: stopped although a thread runs it", function()
    assert_fault([[local corun = require "corun"
      local t = corun.async(ext.spin, "liar")
      while ext.begun() == 0 do corun.sleep(0.001) end
      t:cancel()
      t:await()
      print "went on"]], "its cancel must not answer CORUN_STOPPED")
  end)

  it("is told or aborts: cancel answers what is no answer", function()
    assert_fault([[local corun, holder = require "corun", {}
      local t = corun.async(ext.early, "nonsense", holder, true)
      while not holder.op do corun.yield() end
      ext.cancel(holder.op)
      ext.wake(holder.op)
      assert(t:await() == 0)
      print "went on"]], "operation 'early' has a cancel whose answer is none")
  end)

  it("drops what was never awaited", function()
    ext.forget(false)
    assert_dropped(1)
  end)

  for _, kind in ipairs{"stopped", "woken"} do
    it("keeps what was never awaited until it is cancelled: " .. kind, function()
      local op = ext.orphan(kind)
      collectgarbage()
      collectgarbage()
      assert.equal(1, debug_.stats().jobs)
      ext.cancel(op)
      assert.equal(0, debug_.stats().jobs)
      assert_dropped(1)
    end)
  end

  it("S26 names a run that never returns, and keeps the status", function()
    local r = program.run({"--grace=0.1", "-e", [[
      local corun, ext = require "corun", require "operations"
      local closed <close> = corun.defer(function() print "closed" end)
      corun.spawn(ext.spin, "endless")
      while ext.begun() == 0 do corun.sleep(0.001) end
      corun.exit(3)]]})
    assert.equal("corun: did not end: endless\n", r.err)
    assert.equal("closed\n", r.out)
    assert.equal(3, r.status)
  end)

  it("S26 names an operation that nobody wakes", function()
    local r = program.run({"--grace=0.1", "-e", [[
      local corun, ext = require "corun", require "operations"
      local holder = {}
      corun.spawn(ext.pending, holder, "never")
      while not holder.op do corun.yield() end
      ext.forget(true)
      corun.exit(4)]]})
    assert.equal("corun: did not end: never\ncorun: did not end: forgotten\n", r.err)
    assert.equal(4, r.status)
  end)

  it("S26 reports the failure that ended the program beside it", function()
    local r = program.run({"--grace=0.1", "-e", [[
      local corun, ext = require "corun", require "operations"
      corun.spawn(ext.spin, "endless")
      while ext.begun() == 0 do corun.sleep(0.001) end
      error("the cause")]]})
    assert.matches("the cause", r.err)
    assert.matches("corun: did not end: endless\n", r.err)
    assert.equal(1, r.status)
  end)
end)

describe("an extension", function()
  it("is refused when it was built for another corun", function()
    for _, abi in ipairs{0, ext.ABI + 1} do
      assert.matches(("built for another corun: for version %d of corun.h, here it is %d")
        :format(abi, ext.ABI), tasks.error_of(ext.need_abi, abi))
    end
    ext.need_abi(ext.ABI)
  end)

  it("is refused when it is compiled with the headers of another Lua", function()
    local dir <close> = assert(corun.fs.temp{dir = true})
    for name, text in pairs{lua = "#define LUA_VERSION_NUM 503\n", lauxlib = ""} do
      assert(corun.fs.write(("%s/%s.h"):format(dir:path(), name), text))
    end
    local r = program.sh(("echo '#include <corun.h>' | cc -E -x c -I '%s' -I include -"):format(
      dir:path()))
    assert.matches("corun.h needs the headers of Lua 5.4, and others were found", r.err, 1, true)
    assert.is_not_equal(0, r.status)
  end)

  it("is refused in a Lua state that is not corun's", function()
    assert.matches("needs corun: it cannot be loaded into a Lua state of another make",
      ext.foreign_state())
  end)

  local f <close> = io.open((os.getenv("CORUN_BUILD") or "build") .. "/CMakeCache.txt")
  if not (f and f:read("a"):find("CORUN_SANITIZE:STRING=%a")) then
    it("is refused by a plain lua", function()
      local r = program.sh("lua5.4 -e 'require \"operations\"'")
      assert.matches("this module needs corun: it cannot be loaded by another program", r.err)
      assert.equal(1, r.status)
    end)
  end

  it("reaches the loop", function()
    assert.is_true(ext.loop())
  end)

  it("works in a worker", function()
    assert.equal(294 + 42, corun.pool.run(function()
      local e = require "operations"
      return e.sum("abc") + e.thread(21, 1)
    end))
  end)
end)

teardown(function()
  corun.pool.close()
end)

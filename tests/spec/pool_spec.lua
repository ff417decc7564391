-- SPDX-License-Identifier: MIT
-- Pools: functions in workers, their results, errors, cancellation, limits and ends.
local corun = require "corun"
local program = dofile("tests/fixtures/cli/program.lua")

local pool = corun.pool

-- Run a script in a program of its own; all that it printed, and its status.
local function script(text, ...)
  local words = {...}
  words[#words + 1], words[#words + 2] = "-e", text
  local r = program.run(words)
  return r.out .. r.err, r.status
end

teardown(function() pool.close() end) -- its threads would end while later specs count descriptors

describe("pool.run", function()
  it("returns what the function returns", function()
    assert.equal(3, pool.run(function(a, b) return a + b end, 1, 2))
    local r = table.pack(pool.run(function(...) return select("#", ...), nil, ... end, nil, 5, nil))
    assert.same({3, nil, nil, 5, nil, n = 5}, r)
    assert.equal(0, select("#", pool.run(function() end)))
    local ok, err = pool.run(function() return nil, "as it is" end)
    assert.is_nil(ok)
    assert.equal("as it is", err)
  end)

  it("runs in a state of its own, with the whole library", function()
    rawset(_G, "only_here", true)
    assert.is_nil(pool.run(function() return rawget(_G, "only_here") end))
    rawset(_G, "only_here", nil)
    assert.equal("done", pool.run(function()
      local c = require "corun"
      local list = c.map({1, 2, 3}, function(i)
        c.sleep(0.001)
        return i * i
      end)
      return list[3] == 9 and c.json.encode{1} == "[1]" and "done"
    end))
  end)

  it("runs several at once, on threads of their own", function()
    local p <close> = pool.new{size = 2}
    local one, other = corun.gather(
      function() return p:run(function() require("corun").sleep(0.1) return tostring(_G) end) end,
      function() return p:run(function() require("corun").sleep(0.1) return tostring(_G) end) end)
    assert.are_not.equal(one, other)
    assert.equal(2, p:stats().workers)
  end)

  it("leaves the loop free", function()
    local ticks = 0
    corun.scope(function(s)
      s:daemon(function()
        while true do
          corun.sleep(0.001)
          ticks = ticks + 1
        end
      end)
      pool.run(function()
        local ends = os.clock() + 0.05
        while os.clock() < ends do end
      end)
    end)
    assert.is_true(ticks > 5, ticks)
  end)

  it("S1 waits for the tasks that the function has started", function()
    local ok, err = pcall(pool.run, function()
      local c = require "corun"
      c.spawn(function()
        c.sleep(0.02)
        error("late", 0)
      end)
      return "early"
    end)
    assert.is_false(ok)
    assert.equal("late", err)
  end)

  it("a job may wait for jobs of its own, however many workers there are", function()
    local p <close> = pool.new{size = 1}
    assert.equal(21, p:run(function()
      local run = require("corun").pool.run
      local function sum(n)
        if n == 0 then return 0 end
        return n + run(function(k) return k end, 0) + sum(n - 1)
      end
      return run(function(s) return s end, sum(6))
    end))
    local depth = p:run(function()
      local function nest(n)
        if n == 0 then return 0 end
        return 1 + require("corun").pool.run(nest, n - 1)
      end
      return nest(20)
    end)
    assert.equal(20, depth)
  end)

  it("refuses what is no function, at the caller's line", function()
    local ok, err = pcall(function() pool.run(1) end)
    assert.is_false(ok)
    assert.matches("^tests/spec/pool_spec.lua:%d+: run needs a function, got number$", err)
  end)

  it("refuses what cannot be transferred before anything is queued", function()
    local p <close> = pool.new{size = 1}
    local ok, err = pcall(p.run, p, function() end, {conn = coroutine.create(print)})
    assert.is_false(ok)
    assert.matches("cannot transfer thread", err, 1, true)
    assert.equal(0, p:stats().workers)
  end)
end)

describe("errors of jobs", function()
  it("are raised by run as they are", function()
    local ok, err = pcall(pool.run, function() error("text") end)
    assert.is_false(ok)
    assert.matches("^tests/spec/pool_spec.lua:%d+: text$", err)
    ok, err = pcall(pool.run, function() error({code = 7, list = {1, 2}}) end)
    assert.is_false(ok)
    assert.same({code = 7, list = {1, 2}}, err)
    ok, err = pcall(pool.run, function() error(nil) end)
    assert.is_false(ok)
    assert.is_nil(err)
    ok, err = pcall(pool.run, function()
      error(require("corun").err("EMINE", "mine", {op = "x"}))
    end)
    assert.is_false(ok)
    assert.equal("EMINE", err.code)
    assert.equal("x", err.op)
  end)

  it("carry both tracebacks", function()
    local out, code = script([[
      local function inner() error("deep") end
      local function outer() require("corun").pool.run(inner) end
      outer()]])
    assert.equal(1, code)
    assert.matches("deep", out, 1, true)
    assert.matches("in upvalue 'inner'.*run in pool default by.*in local 'outer'", out:gsub(
      "in function <[^>]*>", "in upvalue 'inner'", 1), nil)
  end)

  it("whose results cannot be transferred say so", function()
    local ok, err = pcall(pool.run, function() return coroutine.create(print) end)
    assert.is_false(ok)
    assert.equal("ETRANSFER", err.code)
    assert.matches("cannot transfer thread", err.message, 1, true)
    ok, err = pcall(pool.run, function() return 1, io.stdout end)
    assert.is_false(ok)
    assert.equal("ETRANSFER", err.code)
  end)

  it("whose value cannot be transferred come as its text", function()
    local ok, err = pcall(pool.run, function()
      local mt = {__tostring = function() return "mine" end}
      error(setmetatable({co = coroutine.create(print)}, mt))
    end)
    assert.is_false(ok)
    assert.equal("mine", err)
    ok, err = pcall(pool.run, function()
      error(setmetatable({co = coroutine.create(print)}, {__tostring = function() error("no") end}))
    end)
    assert.is_false(ok)
    assert.equal("(an error without a text)", err)
  end)

  it("os.exit and corun.exit are errors", function()
    for _, exit in ipairs{function() os.exit(3) end, function() require("corun").exit(3) end} do
      local ok, err = pcall(pool.run, exit)
      assert.is_false(ok)
      assert.matches("a worker cannot end the program", err, 1, true)
    end
  end)

  it("a job that waits for what can never happen is told so, and the worker lives", function()
    local out, code = script([[
      local pool = require("corun").pool
      local p = pool.new{size = 1}
      print(pcall(p.run, p, function() return require("corun").channel():recv() end))
      print(p:run(function() return "lives" end))]])
    assert.equal(0, code)
    assert.matches("deadlock", out, 1, true)
    assert.matches("\nlives\n", out, 1, true)
  end)
end)

describe("a pool's memory limit", function()
  it("fails the job, and the worker lives", function()
    local p <close> = pool.new{size = 1, memory = 4 << 20, name = "small"}
    for _ = 1, 3 do
      local ok, err = pcall(p.run, p, function()
        local list = {}
        for i = 1, math.huge do list[i] = {i} end
        return list
      end)
      assert.is_false(ok)
      assert.equal("ENOMEM", err.code)
      assert.equal("small", err.target)
      assert.matches("4194304 bytes", err.message, 1, true)
      assert.equal("lives", p:run(function() return "lives" end))
    end
    assert.equal(1, p:stats().workers)
    local ok, err = pcall(p.run, p, function() return ("x"):rep(1 << 30) end)
    assert.is_false(ok)
    assert.equal("ENOMEM", err.code)
  end)

  it("is for what a job is given, too", function()
    local p <close> = pool.new{size = 1, memory = 4 << 20, name = "small"}
    local list = {}
    for i = 1, 100000 do list[i] = {i} end
    for _, what in ipairs{list, ("x"):rep(8 << 20)} do
      local ok, err = pcall(p.run, p, function() end, what)
      assert.is_false(ok)
      assert.equal("ENOMEM", err.code)
      assert.matches("4194304 bytes", err.message, 1, true)
      ok, err = pcall(p.run, p, function() error("not enough memory for tea", 0) end)
      assert.is_false(ok)
      assert.equal("not enough memory for tea", err)
    end
    assert.equal(1, p:stats().workers)
  end)
end)

describe("cancellation", function()
  it("S16 reaches a job that waits and one that spins; the caller goes on after it", function()
    local p <close> = pool.new{size = 1}
    for _, job in ipairs{
      function() require("corun").sleep(100) end,
      function() while true do end end,
      function() while true do pcall(require("corun").sleep, 1) end end,
      function() require("corun").pool.run(function() while true do end end) end,
    } do
      local ok, err = corun.timeout(0.05, p.run, p, job)
      assert.is_nil(ok)
      assert.equal("ETIMEDOUT", err.code)
      assert.equal(0, p:stats().running)
      assert.equal(0, p:stats().queued)
    end
    assert.equal("lives", p:run(function() return "lives" end))
    assert.equal(1, p:stats().workers)
  end)

  it("takes a job that waits out of the queue, and never runs it", function()
    local p <close> = pool.new{size = 1}
    local gate = pool.channel()
    corun.scope(function(s)
      local first = s:async(p.run, p, function(channel) return channel:recv() end, gate)
      while p:stats().running == 0 do corun.sleep(0.001) end
      local second = s:async(p.run, p, function() rawset(_G, "second", true) end)
      while p:stats().queued == 0 do corun.sleep(0.001) end
      second:cancel()
      while p:stats().queued > 0 do corun.sleep(0.001) end
      gate:close()
      corun.await(first)
    end)
    assert.is_nil(p:run(function() return rawget(_G, "second") end))
  end)

  it("runs the clean-up of the job first", function()
    local p <close> = pool.new{size = 1}
    local begun = pool.channel(1)
    local job = corun.async(p.run, p, function(channel)
      local c = require "corun"
      local _ <close> = c.defer(function()
        c.sleep(0.02)
        rawset(_G, "cleaned", true)
      end)
      channel:send(true)
      c.sleep(1000)
    end, begun)
    begun:recv()
    job:cancel()
    assert.is_nil((corun.await(job)))
    assert.is_true(p:run(function() return rawget(_G, "cleaned") end))
  end)

  it("10,000 cancelled jobs leave nothing behind", function()
    local p <close> = pool.new{size = 2}
    p:run(function() end)
    local jobs = corun.debug.stats().jobs
    for _ = 1, 100 do
      corun.scope(function(s)
        for i = 1, 100 do
          s:spawn(p.run, p, function(n)
            if n % 2 == 0 then require("corun").sleep(10) end
            return n
          end, i)
        end
        corun.sleep(0)
        s:cancel()
      end)
    end
    local counts = p:stats()
    assert.equal(0, counts.queued)
    assert.equal(0, counts.running)
    assert.equal(10001, counts.done + counts.cancelled)
    assert.equal(jobs, corun.debug.stats().jobs)
    assert.equal("lives", p:run(function() return "lives" end))
  end)
end)

describe("pool.map", function()
  local function range(n)
    local list = {}
    for i = 1, n do list[i] = i end
    return list
  end

  it("keeps the order, from lists, iterators and channels, whatever the parts", function()
    local p <close> = pool.new{size = 2}
    for _, n in ipairs{0, 1, 2, 3, 100, 5000} do
      for _, o in ipairs{{}, {chunk = 1}, {chunk = 7, limit = 3}} do
        local out = p:map(range(n), function(x) return x * 2 end, o)
        assert.equal(n, out.n)
        for i = 1, n do assert.equal(2 * i, out[i]) end
      end
    end
    local i = 0
    local out = p:map(function()
      i = i + 1
      return i <= 10 and i or nil
    end, function(x) return tostring(x) end)
    assert.same({"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", n = 10}, out)
    local c = corun.channel(5)
    for k = 1, 5 do c:send(k) end
    c:close()
    assert.same({1, 2, 3, 4, 5, n = 5}, p:map(c, function(x) return x end))
  end)

  it("100,000 jobs in 8 workers are answered once each", function()
    local p <close> = pool.new{size = 8}
    local out = p:map(range(100000), function(x) return x end, {chunk = 1, limit = 64})
    for i = 1, 100000 do assert(out[i] == i) end
    assert.equal(100000, out.n)
    assert.equal(100000, p:stats().done)
  end)

  it("lets no item of a channel wait for others, which may come of its result", function()
    local p <close> = pool.new{size = 2}
    local todo, open = pool.channel(1000), pool.counter(1)
    todo:send(6)
    local depths = p:map(todo, function(depth)
      for _ = 1, depth > 0 and 2 or 0 do
        open:add()
        todo:send(depth - 1)
      end
      if open:add(-1) == 0 then todo:close() end
      return depth
    end)
    assert.equal(127, depths.n)
    local c = corun.channel()
    local results
    corun.scope(function(s)
      s:spawn(function() results = p:map(c, tostring) end)
      for i = 1, 2000 do c:send(i) end
      c:close()
    end)
    assert.equal(2000, results.n)
    for i = 1, 2000 do assert.equal(tostring(i), results[i]) end
    assert.is_true(p:stats().done < 1500) -- parts of several items, all the same
  end)

  it("looks ahead no further than its jobs", function()
    local p <close> = pool.new{size = 2}
    local given, most = 0, 0
    p:map(function()
      if given >= 50 then return nil end
      given = given + 1
      most = math.max(most, given - p:stats().done)
      return given
    end, function(x) return x end, {chunk = 1, limit = 4})
    assert.equal(50, given)
    assert.is_true(most <= 6, most)
  end)

  it("S2 ends with the first failure, and cancels the rest", function()
    local p <close> = pool.new{size = 2}
    local ok, err = pcall(p.map, p, range(100), function(x)
      if x == 3 then return nil, "bad item" end
      if x > 3 then require("corun").sleep(10) end
      return x
    end, {chunk = 1})
    assert.is_false(ok)
    assert.equal("bad item", err)
    assert.equal(0, p:stats().running)
    ok, err = pcall(p.map, p, range(10), function(x) return x ~= 5 and x or error{at = x} end)
    assert.is_false(ok)
    assert.same({at = 5}, err)
  end)

  it("each gives the results as they come", function()
    local p <close> = pool.new{size = 2}
    local seen, go = {}, pool.channel(1)
    for item, result in p:each({"late", "early"}, function(s)
      if s == "late" then go:recv() end
      return s .. "!"
    end) do
      seen[#seen + 1] = {item, result}
      if item == "early" then go:send(1) end
    end
    assert.same({{"early", "early!"}, {"late", "late!"}}, seen)
    local seen_first -- of the four that are under way at first, whichever they are
    for item in p:each(range(100), function(x)
      if x > 3 then require("corun").sleep(10) end
    end) do
      seen_first = item
      if item then break end
    end
    assert.is_true(seen_first <= 3)
    local n = 0
    for _, r in p:each(range(10), function(x) return x end) do
      n = n + r
      if n > 3 then break end
    end
    assert.equal(0, p:stats().running)
  end)
end)

describe("workers", function()
  it("begin with init, each once", function()
    local p <close> = pool.new{size = 1, init = function() rawset(_G, "ready", "yes") end}
    assert.equal("yes", p:run(function() return rawget(_G, "ready") end))
    local q <close> = pool.new{size = 1, init = "corun.json"}
    assert.is_true(q:run(function() return package.loaded["corun.json"] ~= nil end))
  end)

  it("whose init fails fail all jobs, and say why", function()
    for _, init in ipairs{function() error("no database", 0) end, "no.such.module"} do
      local p <close> = pool.new{size = 2, init = init, name = "db"}
      for _ = 1, 2 do
        local ok, err = pcall(p.run, p, function() end)
        assert.is_false(ok)
        assert.equal("EWORKER", err.code)
        assert.matches(type(init) == "string" and "no.such.module" or "no database", err.message,
          1, true)
      end
    end
  end)

  it("end when they idle, and are started again", function()
    local p <close> = pool.new{size = 2, idle = 0.02}
    assert.equal(0, p:stats().workers)
    local gate = pool.channel()
    corun.scope(function(s)
      for _ = 1, 2 do s:spawn(p.run, p, function(channel) channel:recv() end, gate) end
      while p:stats().running < 2 do corun.sleep(0.001) end
      assert.equal(2, p:stats().workers)
      gate:close()
    end)
    while p:stats().workers > 0 do corun.sleep(0.005) end
    assert.equal(5, p:run(function() return 5 end))
  end)

  it("start programs that signals can end", function()
    local p <close> = pool.new{size = 1}
    assert.same({nil, "signal", 15}, {p:run(os.execute, "kill -TERM $$; echo alive")})
    assert.equal("", p:run(function()
      local f <close> = io.popen("kill -INT $$; echo alive")
      return f:read("a")
    end))
    assert.has_error(function() p:run(os.execute, {}) end)
  end)

  it("no job waits while a worker idles, and long jobs hold up no short ones", function()
    local p <close> = pool.new{size = 2}
    corun.scope(function(s)
      local long = s:async(p.run, p, function() require("corun").sleep(100) end)
      for i = 1, 50 do assert.equal(i, p:run(function(x) return x end, i)) end
      assert.is_false(long:done())
      long:cancel()
    end)
  end)

  it("no job waits behind one that had a job of its own, while another worker idles", function()
    local p <close> = pool.new{size = 2}
    local met = pool.channel(2)
    local function meet(channel) -- so that there are two workers
      channel:send(true)
      while #channel < 2 do require("corun").sleep(0.001) end
    end
    corun.gather(function() p:run(meet, met) end, function() p:run(meet, met) end)
    for _ = 1, 6 do
      local goes_on, other = pool.counter(), pool.counter()
      local t = corun.async(function()
        return p:run(function(here, there)
          local c = require "corun"
          c.pool.run(function() end)
          c.sleep(0.002)
          here:add()
          local last = c.now() + 5
          while there:get() == 0 and c.now() < last do end -- the loop of its worker stands still
          return there:get()
        end, goes_on, other)
      end)
      while goes_on:get() == 0 do corun.sleep(0.001) end
      p:run(function(there) there:add() end, other)
      assert.equal(1, t:await())
    end
  end)

  it("stats tell what happened", function()
    local p <close> = pool.new{size = 2, name = "counted"}
    p:run(function() end)
    pcall(p.run, p, function() error("x") end)
    corun.timeout(0.01, p.run, p, function() require("corun").sleep(1) end)
    local counts = p:stats()
    assert.is_true(counts.workers >= 1 and counts.idle <= counts.workers)
    assert.same({size = 2, workers = counts.workers, idle = counts.idle, queued = 0, running = 0,
      done = 1, failed = 1, cancelled = 1, name = "counted", keepers = 0, kept = 0}, counts)
    assert.matches("^pool counted %(%d of 2 workers, 0 jobs run, 0 wait%)$", tostring(p))
  end)

  it("are as many as --threads says where no number is given", function()
    for words, size in pairs{["--threads=3"] = "3", ["--grace=9"] = "%d+"} do
      local out = script('print(require("corun").pool.stats().size)', words)
      assert.matches("^" .. size .. "\n$", out)
    end
  end)

  it("refuse options they do not know", function()
    assert.has_error(function() pool.new{sise = 2} end)
    assert.has_error(function() pool.new{size = 0} end)
    assert.has_error(function() pool.new{size = 100000} end)
    assert.has_error(function() pool.new{idle = -1} end)
    assert.has_error(function() pool.new{init = 5} end)
    assert.has_error(function()
      local co = coroutine.create(print)
      pool.new{init = function() return co end}
    end)
  end)
end)

describe("closing a pool", function()
  it("ends the program soon, whatever runs", function()
    local out, code = script([[
      local corun = require "corun"
      corun.daemon(corun.pool.run, function() while true do end end)
      corun.daemon(corun.pool.run, function() require("corun").sleep(100) end)
      corun.sleep(0.05)
      print("end")]])
    assert.equal("end\n", out)
    assert.equal(0, code)
  end)

  it("S26 a job that cannot be interrupted is named after the grace", function()
    local started = corun.now()
    local out, code = script([[
      local corun = require "corun"
      corun.daemon(corun.pool.run, function()
        string.find(("a"):rep(50000), (".-"):rep(50) .. "b")
      end)
      corun.sleep(0.05)]], "--grace=0.2")
    assert.matches("corun: did not end: a job of pool default", out, 1, true)
    assert.equal(0, code)
    assert.is_true(corun.now() - started < 5)
  end)

  it("pool.close ends the default pool, and the next job makes a new one", function()
    local first = pool.run(function() return tostring(_G) end)
    pool.close()
    assert.equal(0, pool.stats().workers)
    local again = pool.run(function() return tostring(_G) end)
    assert.equal("string", type(again))
    assert.equal("string", type(first))
    assert.equal(1, pool.stats().done)
    local ok, err = pcall(pool.run, function() require("corun").pool.close() end)
    assert.is_false(ok)
    assert.matches("a worker cannot close the pool that it works for", err, 1, true)
    pool.close{cancel = true}
    pool.close()
  end)

  it("pool.close leaves alone what another task has made meanwhile", function()
    local out = script([[
      local corun = require "corun"
      local pool = corun.pool
      pool.run(function() end)
      corun.gather(function()
        pool.close()
        pool.run(function() end)
        pool.run(function() end)
      end, pool.close)
      print(pool.stats().done)]])
    assert.equal("2\n", out)
  end)

  it("a pool that is left to the collector ends its threads", function()
    local out, code = script([[
      local corun = require "corun"
      for _ = 1, 10 do
        corun.pool.new{size = 1}:run(function() end)
        collectgarbage()
        collectgarbage()
      end
      local function threads() return #corun.fs.list("/proc/self/task") end
      while threads() > 8 do corun.sleep(0.005) end
      print("ended")]], "--timeout=10")
    assert.equal("ended\n", out)
    assert.equal(0, code)
  end)
end)

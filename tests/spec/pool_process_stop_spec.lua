-- SPDX-License-Identifier: MIT
-- Pools of processes: cancelling jobs, closing pools.
local corun = require "corun"
local eventually = require("tests.spec.support.eventually")
local children = dofile("tests/spec/support/children.lua")
local pools = dofile("tests/spec/support/process_pools.lua")
local outcomes = dofile("tests/spec/support/outcomes.lua")
local program = dofile("tests/fixtures/cli/program.lua")

local scope, sleep = corun.scope, corun.sleep
local new = pools.new
local crash, pid, under_way = pools.crash, pools.pid, pools.under_way

-- An `it` that leaves no descriptor and no child behind.
local function test(name, fn)
  it(name, children.checked(fn))
end

describe("cancelling a job in a process", function()
  test("S16 reaches one that waits and one that spins; the worker lives", function()
    local p <close> = new()
    local first = p:run(pid)
    for _, job in ipairs{
      function() require("corun").sleep(100) end,
      function() while true do end end,
      function() while true do pcall(require("corun").sleep, 1) end end,
      function() require("corun").pool.run(function() while true do end end) end,
      function() require("corun").process.run{"sleep", "100"} end,
    } do
      local ok, err = corun.timeout(0.05, p.run, p, job)
      assert.is_nil(ok)
      assert.equal("ETIMEDOUT", err.code)
      assert.equal(0, p:stats().running)
    end
    assert.equal(first, p:run(pid))
    assert.equal(5, p:stats().cancelled)
  end)

  test("runs the clean-up of the job first", function()
    local p <close> = new()
    local job = under_way(p, function()
      local c = require "corun"
      local _ <close> = c.defer(function()
        c.sleep(0.05)
        rawset(_G, "cleaned", true)
      end)
      c.sleep(1000)
    end)
    sleep(0.02)
    job:cancel()
    assert.equal("ECANCELED", select(2, job:await()).code)
    assert.is_true(p:run(function() return rawget(_G, "cleaned") end))
  end)

  test("takes one that waits for a worker out, and never runs it", function()
    local p <close> = new()
    scope(function(s)
      local first = s:async(p.run, p, function() require("corun").sleep(100) end)
      eventually(function() return p:stats().running == 1 end)
      local second = s:async(p.run, p, function() rawset(_G, "second", true) end)
      eventually(function() return p:stats().queued == 1 end)
      second:cancel()
      eventually(function() return p:stats().queued == 0 end)
      first:cancel()
    end)
    assert.is_nil(p:run(function() return rawget(_G, "second") end))
  end)

  test("kills the process when the job does not end within the grace", function()
    local p <close> = new{grace = 0.1}
    local first = p:run(pid)
    local job = under_way(p, function(library)
      package.loadlib(library, "luaopen_crash")().hold(1000)
    end, crash)
    job:cancel()
    assert.equal("ECANCELED", select(2, job:await()).code)
    assert.is_false(children.runs(first))
    assert.are_not.equal(first, p:run(pid))
  end)

  test("S13 may come at each moment, and leaves nothing behind", function()
    local p <close> = new{size = 2}
    for i = 1, 60 do
      corun.timeout(i / 4000, p.run, p, function(n)
        if n % 2 == 0 then require("corun").sleep(10) end
        return n
      end, i)
    end
    for _ = 1, 20 do
      scope(function(s)
        for i = 1, 20 do
          s:spawn(p.run, p, function(n)
            if n % 2 == 0 then require("corun").sleep(10) end
            return n
          end, i)
        end
        sleep(0)
        s:cancel()
      end)
    end
    local counts = p:stats()
    assert.equal(0, counts.queued)
    assert.equal(0, counts.running)
    assert.equal(460, counts.done + counts.cancelled)
    assert.equal(2, p.core.turns and #p.core.turns)
    assert.equal("lives", p:run(function() return "lives" end))
  end)
end)

describe("cancelling the caller of a job in a process", function()
  -- Cancel the caller of a job once its step has made that many calls, and then what it takes to
  -- hand the job over.
  local function cancel_after(p, burnt, used)
    scope(function(s)
      local t = s:spawn(function()
        for _ = 1, used do burnt:send(true) end
        p:run(function() return "another's" end)
      end)
      corun.yield()
      t:cancel()
    end)
  end

  test("S15 that gives way to others once it has sent the job reaches the job", function()
    local p <close> = new()
    p:run(pid)
    local burnt = corun.channel(2000)
    for used = 1005, 1030 do -- a step of about so many calls gives way when it sends the job
      cancel_after(p, burnt, used)
      assert.equal(used, p:run(function(x) return x end, used))
      while burnt:try_recv() do end
    end
    assert.equal(1, p:stats().workers)
  end)

  test("S15 that gives way while a worker begins leaves one that works", function()
    local burnt = corun.channel(2000)
    for used = 1005, 1030 do
      local p <close> = new{init = function() rawset(_G, "is_ready", true) end}
      cancel_after(p, burnt, used)
      assert.is_true(p:run(function() return rawget(_G, "is_ready") end))
      assert.equal(used, p:run(function(x) return x end, used))
      while burnt:try_recv() do end
    end
  end)

  test("kills a process that does not even read, within the grace", function()
    local p <close> = new{grace = 0.2}
    local first = p:run(pid)
    program.sh("kill -STOP " .. first)
    local ok, err = corun.timeout(0.05, p.run, p, function() end, ("x"):rep(8 << 20))
    assert.is_nil(ok)
    assert.equal("ETIMEDOUT", err.code)
    assert.is_false(children.runs(first))
    assert.are_not.equal(first, p:run(pid))
  end)
end)

describe("closing a pool of processes", function()
  test("can be hastened by a second close", function()
    local p = new()
    scope(function(s)
      local job = s:async(p.run, p, function() require("corun").sleep(100) end)
      eventually(function() return p:stats().running == 1 end)
      local first = s:async(p.close, p)
      corun.yield()
      p:close{cancel = true}
      first:await()
      outcomes.assert_error("ECANCELED", "run", corun.try(job.await, job))
    end)
  end)

  test("kills what does not end within the grace", function()
    local p = new{grace = 0.1}
    scope(function(s)
      local job = s:async(p.run, p, function(library)
        package.loadlib(library, "luaopen_crash")().hold(1000)
      end, crash)
      eventually(function() return p:stats().running == 1 end)
      local began = corun.now()
      p:close{cancel = true}
      assert.is_true(corun.now() - began < 10)
      outcomes.assert_error("ECANCELED", "run", corun.try(job.await, job))
    end)
  end)

  test("stops workers that begin", function()
    local p = new{init = function() require("corun").sleep(100) end}
    scope(function(s)
      local job = s:async(p.run, p, function() end)
      eventually(function() return p:stats().workers == 1 end)
      sleep(0.1)
      p:close{cancel = true}
      outcomes.assert_error("ECLOSED", "run", corun.try(job.await, job))
    end)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Pools under load: each job of very many is answered once, whatever happens to some of them. Made
-- for TSan, which `.ci/run full` runs it under; #heavy.
local corun = require "corun"

local pool, scope = corun.pool, corun.scope

local WORKERS, JOBS = 8, 100000 -- jobs for each worker
local TASKS = 64

local function job(ran, i, odd)
  ran:add()
  if odd == "raise" then error({i}) end
  if odd == "wait" then require("corun").sleep(60) end
  return i
end

describe("a pool of 8 workers", function()
  it("answers 800,000 jobs once each; some raise, some are cancelled #heavy", function()
    local p <close> = pool.new{size = WORKERS}
    local ran = pool.counter()
    local returned, raised, cancelled = 0, 0, 0
    local function one(i)
      if i % 101 == 0 then
        local ok, err = pcall(p.run, p, job, ran, i, "raise")
        assert(not ok and err[1] == i)
        raised = raised + 1
      elseif i % 499 == 0 then
        scope(function(s)
          local t = s:spawn(p.run, p, job, ran, i, "wait")
          corun.yield()
          t:cancel()
        end)
        cancelled = cancelled + 1
      else
        assert(p:run(job, ran, i) == i)
        returned = returned + 1
      end
    end
    local count = WORKERS * JOBS // TASKS
    scope(function(s)
      for k = 0, TASKS - 1 do
        s:spawn(function()
          for i = k * count + 1, (k + 1) * count do one(i) end
        end)
      end
    end)
    assert.equal(WORKERS * JOBS, returned + raised + cancelled)
    local counts = p:stats()
    assert.equal(returned, counts.done)
    assert.equal(raised, counts.failed)
    assert.is_true(counts.cancelled <= cancelled) -- those before they were queued do not count
    assert.is_true(ran:get() >= returned + raised and ran:get() <= WORKERS * JOBS)
    assert.same({0, 0}, {counts.queued, counts.running})
  end)

  it("maps 800,000 items, and leads as many through a channel #heavy", function()
    local p <close> = pool.new{size = WORKERS}
    local n = WORKERS * JOBS
    local items = {}
    for i = 1, n do items[i] = i end
    local out = p:map(items, function(i) return -i end)
    assert.equal(n, out.n)
    for i = 1, n do assert(out[i] == -i) end
    local channel, sums = pool.channel(256), pool.channel(WORKERS)
    scope(function(s)
      for _ = 1, WORKERS // 2 do
        s:spawn(p.run, p, function(from, to)
          local sum, count = 0, 0
          for i in from do sum, count = sum + i, count + 1 end
          to:send{sum, count}
        end, channel, sums)
      end
      scope(function(senders)
        for k = 1, WORKERS // 2 do
          senders:spawn(p.run, p, function(to, first, last)
            for i = first, last do to:send(i) end
          end, channel, (k - 1) * 2 * JOBS + 1, k * 2 * JOBS)
        end
      end)
      channel:close()
    end)
    local sum, count = 0, 0
    for _ = 1, WORKERS // 2 do
      local part = sums:recv()
      sum, count = sum + part[1], count + part[2]
    end
    assert.same({n, n * (n + 1) // 2}, {count, sum})
  end)

  it("keeps and forgets 16,000 values of pool.call #heavy", function()
    local p <close> = pool.new()
    scope(function(s)
      for _ = 1, WORKERS do
        s:spawn(function()
          local file <close> = p:call("io", "tmpfile")
          for i = 1, 2000 do
            local digits = p:call("string", "gmatch", "a" .. i, "%d+")
            assert(digits() == tostring(i))
            if i % 100 == 0 then assert(file:seek("cur", 1) == i // 100) end
          end
        end)
      end
    end)
    assert.equal(0, p:stats().kept)
    assert.is_true(p:stats().keepers < 64)
  end)
end)

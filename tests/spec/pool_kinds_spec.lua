-- SPDX-License-Identifier: MIT
-- What pools do alike, whether their workers are threads or processes.
local corun = require "corun"
local eventually = require("tests.spec.support.eventually")
local children = dofile("tests/spec/support/children.lua")
local pools = dofile("tests/spec/support/process_pools.lua")

local scope, sleep = corun.scope, corun.sleep
local raised = pools.raised

-- A pool of one worker; its grace is longer than a loaded machine needs.
local function new(kind, o)
  if kind == "process" then return pools.new(o) end
  return corun.pool.new{size = 1, init = o and o.init}
end

-- An `it` that leaves no descriptor and no child behind.
local function test(name, fn)
  it(name, children.checked(fn))
end

for _, kind in ipairs{"thread", "process"} do
  describe("closing a pool, kind " .. kind .. ",", function()
    test("lets the jobs end first, and refuses others", function()
      local p = new(kind)
      local results = {}
      scope(function(s)
        for i = 1, 3 do
          s:spawn(function()
            results[i] = p:run(function(x)
              require("corun").sleep(0.02)
              return x
            end, i)
          end)
        end
        eventually(function()
          local c = p:stats()
          return c.running + c.queued + c.done == 3
        end)
        p:close()
        assert.equal(0, p:stats().workers)
        sleep(0)
      end)
      assert.same({1, 2, 3}, results)
      local err = raised("ECLOSED", function() p:run(function() end) end)
      assert.matches("^tests/spec/pool_kinds_spec.lua:%d+: run %d+: the pool was closed",
        tostring(err))
      raised("ECLOSED", p.map, p, {1}, function() end)
      p:close()
      p:close{cancel = true}
    end)

    test("cancels them when it is told to, or left by an error", function()
      local p = new(kind)
      local errors = {}
      scope(function(s)
        for i = 1, 3 do
          s:spawn(function()
            local _, err = pcall(p.run, p, function() while true do end end)
            errors[i] = err.code
          end)
        end
        eventually(function() return p:stats().running == 1 and p:stats().queued == 2 end)
        p:close{cancel = true}
      end)
      table.sort(errors)
      assert.same({"ECANCELED", "ECLOSED", "ECLOSED"}, errors)
      local q
      local ok = pcall(function()
        local r <close> = new(kind)
        q = r
        corun.daemon(function() pcall(r.run, r, function() while true do end end) end)
        eventually(function() return r:stats().running == 1 end)
        error("out")
      end)
      assert.is_false(ok)
      assert.equal(0, q:stats().workers)
    end)

    test("cancels an init that never ends, whether it waits or spins", function()
      for _, init in ipairs{
        function() require("corun").sleep(1000) end,
        function() while true do end end,
      } do
        local p = new(kind, {init = init})
        scope(function(s)
          s:spawn(function()
            raised("ECLOSED", p.run, p, function() end)
          end)
          eventually(function() return p:stats().workers == 1 end)
          p:close{cancel = true}
        end)
        assert.equal(0, p:stats().workers)
        raised("ECLOSED", p.run, p, function() end)
      end
    end)
  end)

  describe("a map over a pool, kind " .. kind .. ",", function()
    test("may have parts of any size", function()
      local p <close> = new(kind)
      local items = {}
      for i = 1, 1200000 do items[i] = i end
      local results = p:map(items, function(x) return x + 1 end, {chunk = #items})
      assert.equal(#items, results.n)
      for i = 1, #items do
        if results[i] ~= i + 1 then assert.equal(i + 1, results[i]) end
      end
    end)
  end)
end

describe("closing a pool of threads", function()
  local function wait_for_ever()
    local c = require "corun"
    c.spawn(c.sleep, 1000)
  end

  test("cancels what init has left behind", function()
    local p = corun.pool.new{size = 1, init = wait_for_ever}
    assert.equal(1, p:run(function() return 1 end))
    p:close{cancel = true}
    assert.equal(0, p:stats().workers)
  end)

  test("cancels what init has left behind in a worker that has taken its last job", function()
    local p = corun.pool.new{size = 1, init = wait_for_ever, idle = 0.01}
    assert.equal(1, p:run(function() return 1 end))
    eventually(function() return p:stats().workers == 0 end)
    p:close{cancel = true}
  end)

  test("cancels an init whenever it comes, from the start of the thread on", function()
    for i = 1, 10 do
      local p = corun.pool.new{size = 2, init = function() while true do end end}
      scope(function(s)
        for _ = 1, 2 do s:spawn(raised, "ECLOSED", p.run, p, function() end) end
        sleep(i / 2000)
        p:close{cancel = true}
      end)
      assert.equal(0, p:stats().workers)
    end
  end)

  test("lets jobs end as they do that are cancelled with it", function()
    local p = corun.pool.new{size = 1, init = wait_for_ever}
    local cleaned = corun.pool.counter()
    scope(function(s)
      s:spawn(function()
        raised("ECANCELED", p.run, p, function(counter)
          local c = require "corun"
          local _ <close> = c.defer(function()
            c.sleep(0.01)
            counter:add(1)
          end)
          c.sleep(1000)
        end, cleaned)
      end)
      eventually(function() return p:stats().running == 1 end)
      p:close{cancel = true}
    end)
    assert.equal(1, cleaned:get())
  end)
end)

-- SPDX-License-Identifier: MIT
-- Shields and deferred calls (S14), and the grace at the end of the program.
local corun = require "corun"
local program = dofile("tests/fixtures/cli/program.lua")
local tasks = dofile("tests/spec/support/tasks.lua")

local settle, started, error_of = tasks.settle, tasks.started, tasks.error_of

describe("S14 shield", function()
  before_each(tasks.virtual)

  it("S14 runs fn undisturbed inside a cancelled scope", function()
    local order = {}
    local value, err = corun.scope(function(s)
      s:cancel()
      order[1] = corun.shield(function(x)
        corun.sleep(1)
        corun.scope(function() corun.spawn(corun.sleep, 1) end)
        return x
      end, "shielded")
      order[2] = error_of(corun.sleep, 1)
      error(order[2], 0)
    end)
    assert.is_nil(value)
    assert.equal("ECANCELED", err.code)
    assert.equal("shielded", order[1])
    assert.is_true(corun.is_cancelled(order[2]))
  end)

  it("S14 a cancellation that comes while it runs waits for its end", function()
    local before, ended = corun.now(), nil
    local t = started(function()
      corun.shield(corun.sleep, 5)
      ended = corun.now()
      corun.sleep(0)
    end)
    corun.sleep(1)
    t:cancel()
    settle()
    assert.equal("waiting", t:status())
    t:await()
    assert.equal("cancelled", t:status())
    assert.is_true(math.abs(ended - before - 5) < 1e-3)
  end)

  it("S14 passes arguments, results and errors", function()
    local function same(...) return ... end
    assert.same({n = 3, 1, nil, 3}, table.pack(corun.shield(same, 1, nil, 3)))
    assert.same({n = 0}, table.pack(corun.shield(function() end)))
    assert.equal("raised", error_of(corun.shield, error, "raised", 0))
    assert.error_matches(function() corun.shield() end, "function expected")
    assert.error_matches(function() corun.shield(5) end, "function expected")
  end)

  it("S14 waits for the children started in it, which are shielded too", function()
    local ended = {}
    local t = started(function()
      corun.shield(function()
        corun.spawn(function()
          corun.sleep(3)
          ended[#ended + 1] = "child"
        end)
      end)
      ended[#ended + 1] = "shield"
    end)
    t:cancel()
    t:await()
    assert.same({"child", "shield"}, ended)
  end)

  it("S14 a child of the task started before it is not shielded", function()
    local child
    local t = started(function()
      child = corun.spawn(corun.sleep, 100)
      corun.shield(corun.sleep, 2)
    end)
    t:cancel()
    settle()
    assert.equal("cancelled", child:status())
    t:await()
  end)

  it("S14 a failure of its child cancels it", function()
    local in_shield
    assert.equal("child", error_of(corun.shield, function()
      corun.spawn(error, "child", 0)
      in_shield = error_of(corun.sleep, 100)
      error(in_shield, 0)
    end))
    assert.is_true(corun.is_cancelled(in_shield))
  end)

  it("S14 a scope opened inside can be cancelled", function()
    local t = started(function()
      return corun.shield(function()
        local _, err = corun.timeout(1, corun.sleep, 100)
        corun.sleep(1)
        return err.code
      end)
    end)
    t:cancel()
    assert.equal("ETIMEDOUT", t:await())
  end)

  it("S14 outer deadlines do not reach into it", function()
    local inner
    assert.equal("shielded", corun.timeout(1, function()
      return corun.shield(function()
        corun.sleep(3)
        inner = corun.deadline()
        return "shielded"
      end)
    end))
    assert.is_nil(inner)
  end)

  it("S14 a shield inside a scope inside a shield holds too", function()
    local reached
    local t = started(function()
      corun.shield(function()
        corun.scope(function(s)
          s:cancel()
          corun.shield(corun.sleep, 1)
          reached = true
        end)
      end)
    end)
    t:cancel()
    t:await()
    assert.is_true(reached)
  end)

  it("S14 the scope around it may fail meanwhile", function()
    local finished = false
    assert.equal("sibling", error_of(corun.scope, function()
      corun.spawn(error, "sibling", 0)
      corun.shield(corun.sleep, 3)
      finished = true
      corun.sleep(0)
      finished = "too far"
    end))
    assert.is_true(finished)
  end)
end)

describe("S14 defer", function()
  before_each(tasks.virtual)

  it("S14 runs once when the block is left, however that is", function()
    local ran = {}
    local function leave(how)
      local _ <close> = corun.defer(function(a, b) ran[#ran + 1] = a .. " " .. b end, how, 1)
      if how == "error" then error("x", 0) end
      if how == "cancel" then corun.sleep(100) end
      return how
    end
    assert.equal("return", leave("return"))
    assert.equal("x", error_of(leave, "error"))
    local t = started(leave, "cancel")
    t:cancel()
    t:await()
    assert.same({"return 1", "error 1", "cancel 1"}, ran)
  end)

  it("S14 may suspend in a cancelled scope", function()
    local before, cleaned = corun.now(), nil
    local t = started(function()
      local _ <close> = corun.defer(function()
        corun.sleep(2)
        cleaned = corun.now() - before
      end)
      corun.sleep(100)
    end)
    t:cancel()
    t:await()
    assert.is_true(math.abs(cleaned - 2) < 1e-3)
  end)

  it("S14 several run in reverse order, each to its end", function()
    local order = {}
    local t = started(function()
      local _ <close> = corun.defer(function() corun.sleep(1) order[#order + 1] = "first" end)
      local _ <close> = corun.defer(function() corun.sleep(3) order[#order + 1] = "second" end)
      local _ <close> = corun.defer(function() order[#order + 1] = "third" end)
      corun.sleep(100)
    end)
    t:cancel()
    t:await()
    assert.same({"third", "second", "first"}, order)
  end)

  it("S14 an error that it raises counts, that of the block is replaced as in Lua", function()
    assert.equal("deferred", error_of(function()
      local _ <close> = corun.defer(error, "deferred", 0)
      error("block", 0)
    end))
  end)

  it("S14 waits for tasks that it starts", function()
    local ended = false
    do
      local _ <close> = corun.defer(corun.spawn, function()
        corun.sleep(2)
        ended = true
      end)
    end
    assert.is_true(ended)
  end)

  it("S14 works where nothing may suspend, as long as it does not", function()
    local seen = {}
    local co = coroutine.create(function()
      local _ <close> = corun.defer(function()
        seen[#seen + 1] = "closed"
        corun.spawn(function() seen[#seen + 1] = "spawned" end)
        seen[#seen + 1] = pcall(corun.sleep, 1)
      end)
      coroutine.yield()
    end)
    coroutine.resume(co)
    assert.is_true(coroutine.close(co))
    settle()
    assert.same({"closed", false, "spawned"}, seen)
    table.sort({2, 1}, function(a, b)
      local _ <close> = corun.defer(function() seen[#seen + 1] = "sorted" end)
      return a < b
    end)
    assert.equal("sorted", seen[4])
  end)

  it("S14 needs a function", function()
    assert.error_matches(function() corun.defer() end, "function expected")
    assert.error_matches(function() corun.defer({}) end, "function expected")
  end)
end)

describe("S14 grace", function()
  local function run(...)
    return program.run({...})
  end

  it("S14 bounds shields once the root scope is cancelled", function()
    local r = run("--grace=0.1", "-e", [[
      local corun = require "corun"
      local before = corun.now()
      local _ <close> = setmetatable({}, {__close = function()
        print(corun.now() - before < 5)
      end})
      corun.spawn(corun.exit, 3)
      corun.shield(corun.sleep, 1000)]])
    assert.equal("true\n", r.out)
    assert.equal(3, r.status)
  end)

  it("S14 of all of them, the ones opened later included", function()
    local r = run("--grace=0.1", "-e", [[
      local corun = require "corun"
      local _ <close> = corun.defer(function()
        print("second", corun.is_cancelled(select(2, pcall(corun.sleep, 1000))))
      end)
      local _ <close> = corun.defer(function()
        print("first", corun.is_cancelled(select(2, pcall(corun.sleep, 1000))))
      end)
      corun.exit(4)]])
    assert.equal("first\ttrue\nsecond\ttrue\n", r.out)
    assert.equal(4, r.status)
  end)

  it("S14 lets clean-up that is quicker end", function()
    local r = run("--grace=20", "-e", [[
      local corun = require "corun"
      local _ <close> = corun.defer(function() corun.sleep(0.05) print "cleaned" end)
      corun.exit(5)]])
    assert.equal("cleaned\n", r.out)
    assert.equal(5, r.status)
  end)

  it("S14 of 0 shields nothing", function()
    local r = run("--grace=0", "-e", [[
      local corun = require "corun"
      local _ <close> = corun.defer(function() corun.sleep(0.05) print "cleaned" end)
      corun.exit(6)]])
    assert.equal("", r.out)
    assert.equal(6, r.status)
  end)
end)

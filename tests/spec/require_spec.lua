-- SPDX-License-Identifier: MIT
-- require: modules that wait, loads that are shared, fail, are cancelled or go in a circle (S31).
local corun = require "corun"
local tasks = dofile("tests/spec/support/tasks.lua")

local settle, started, error_of = tasks.settle, tasks.started, tasks.error_of

local names = {}

-- Make `name` a module that calls fn.
local function module(name, fn)
  names[#names + 1] = name
  package.preload[name] = fn
end

describe("S31 require", function()
  before_each(tasks.virtual)

  after_each(function()
    for _, name in ipairs(names) do
      package.preload[name], package.loaded[name] = nil, nil
    end
    names = {}
  end)

  it("S31 a module may wait at its top level", function()
    module("spec.slow", function(...)
      corun.sleep(1)
      return {...}
    end)
    local before = corun.now()
    local value, extra = require("spec.slow")
    assert.same({"spec.slow", ":preload:"}, value)
    assert.equal(":preload:", extra)
    assert.is_true(corun.now() - before > 0.999)
    assert.equal(value, require("spec.slow"))
  end)

  it("S31 in a coroutine and in a file too", function()
    module("spec.slow", function()
      corun.sleep(1)
      return "value"
    end)
    assert.equal("value", (coroutine.wrap(function() return (require("spec.slow")) end)()))
    local path = os.tmpname()
    local f = io.open(path, "w")
    f:write("require('corun').sleep(1) return {name = ..., file = select(2, ...)}")
    f:close()
    local old = package.path
    local _ <close> = tasks.closing(function()
      package.path = old
      os.remove(path)
    end)
    package.path = path
    names[#names + 1] = "spec.file"
    local value, where = require("spec.file")
    assert.same({name = "spec.file", file = path}, value)
    assert.equal(path, where)
  end)

  it("S31 a second task waits for the first load", function()
    local loads = 0
    module("spec.slow", function()
      loads = loads + 1
      corun.sleep(1)
      return {}
    end)
    local all = {}
    for i = 1, 10 do all[i] = corun.async(require, "spec.slow") end
    local first = all[1]:await()
    for i = 2, 10 do assert.equal(first, (all[i]:await())) end
    assert.equal(1, loads)
  end)

  it("S31 a failed load wakes all with the error and is not cached", function()
    local loads, err = 0, {}
    module("spec.failing", function()
      loads = loads + 1
      corun.sleep(1)
      if loads == 1 then error(err) end
      return "second time"
    end)
    local all = {}
    for i = 1, 5 do all[i] = corun.async(pcall, require, "spec.failing") end
    for i = 1, 5 do
      local ok, e = all[i]:await()
      assert.is_false(ok)
      assert.equal(err, e)
    end
    assert.equal(1, loads)
    assert.is_nil(package.loaded["spec.failing"])
    assert.equal("second time", (require("spec.failing")))
  end)

  it("S31 a module that is not found fails for all, and can appear later", function()
    assert.matches("module 'spec%.none' not found", error_of(require, "spec.none"))
    module("spec.none", function() return 1 end)
    assert.equal(1, (require("spec.none")))
  end)

  it("S31 if the loading task is cancelled one waiter loads anew", function()
    local loads = 0
    module("spec.slow", function()
      loads = loads + 1
      corun.sleep(10)
      return "load " .. loads
    end)
    local loader = started(require, "spec.slow")
    local waiters = {}
    for i = 1, 3 do waiters[i] = started(require, "spec.slow") end
    loader:cancel()
    for i = 1, 3 do assert.equal("load 2", (waiters[i]:await())) end
    assert.equal(2, loads)
    assert.equal("cancelled", loader:status())
  end)

  it("S31 a cancelled waiter does not disturb the load", function()
    module("spec.slow", function()
      corun.sleep(10)
      return "value"
    end)
    local loader = started(require, "spec.slow")
    local waiter = started(require, "spec.slow")
    waiter:cancel()
    local _, err = waiter:await()
    assert.equal("ECANCELED", err.code)
    assert.equal("value", (loader:await()))
  end)

  it("S31 a load under a timeout can be tried again", function()
    local loads = 0
    module("spec.slow", function()
      loads = loads + 1
      corun.sleep(10)
      return loads
    end)
    local value, err = corun.timeout(1, require, "spec.slow")
    assert.is_nil(value)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal(2, (require("spec.slow")))
  end)

  it("S31 waiting for itself raises and names the way", function()
    module("spec.a", function() return (require("spec.b")) end)
    module("spec.b", function() return (require("spec.c")) end)
    module("spec.c", function() return (require("spec.a")) end)
    assert.matches("require loop: spec%.a %-> spec%.b %-> spec%.c %-> spec%.a$",
      error_of(require, "spec.a"))
    module("spec.me", function() return (require("spec.me")) end)
    assert.matches("require loop: spec%.me %-> spec%.me$", error_of(require, "spec.me"))
  end)

  it("S31 a circle within a longer way is named alone", function()
    module("spec.start", function() return (require("spec.x")) end)
    module("spec.x", function() return (require("spec.y")) end)
    module("spec.y", function() return (require("spec.x")) end)
    local err = error_of(require, "spec.start")
    assert.matches("require loop: spec%.x %-> spec%.y %-> spec%.x$", err)
  end)

  it("S31 also through other tasks that load", function()
    module("spec.f", function()
      corun.sleep(1)
      return (require("spec.g"))
    end)
    module("spec.g", function()
      corun.sleep(1)
      return (require("spec.f"))
    end)
    local a, b = corun.async(pcall, require, "spec.f"), corun.async(pcall, require, "spec.g")
    local ok_a, err_a = a:await()
    local ok_b, err_b = b:await()
    assert.is_false(ok_a)
    assert.is_false(ok_b)
    assert.matches("require loop: spec%.[fg] %-> spec%.[fg] %-> spec%.[fg]$", err_a)
    assert.equal(err_a, err_b)
  end)

  it("S31 also through tasks that the module itself runs", function()
    module("spec.gathers", function()
      return (corun.gather(function() return (require("spec.back")) end, function() end))
    end)
    module("spec.back", function() return (require("spec.gathers")) end)
    assert.matches("require loop: spec%.gathers %-> spec%.back %-> spec%.gathers$",
      error_of(require, "spec.gathers"))
    module("spec.awaits", function()
      return (corun.async(function() return (require("spec.awaits")) end):await())
    end)
    assert.matches("require loop: spec%.awaits %-> spec%.awaits$", error_of(require, "spec.awaits"))
  end)

  it("S31 a task that the module leaves running may require it", function()
    local seen
    module("spec.helper", function()
      corun.spawn(function() seen = require("spec.helper") end)
      corun.sleep(1)
      return "loaded"
    end)
    corun.scope(function()
      assert.equal("loaded", (require("spec.helper")))
    end)
    assert.equal("loaded", seen)
  end)

  it("S31 a task beside the load, in a scope opened before it, may wait for it", function()
    module("spec.slow", function()
      corun.sleep(1)
      return "value"
    end)
    local seen
    corun.scope(function()
      corun.spawn(function() seen = require("spec.slow") end)
      assert.equal("value", (require("spec.slow")))
    end)
    assert.equal("value", seen)
  end)

  it("S31 corun's own modules are not loaded twice", function()
    for _, name in ipairs {"corun", "corun.debug", "corun.sync", "corun.combine", "corun.json"} do
      local value = require(name)
      package.loaded[name] = nil
      assert.equal(value, (require(name)))
    end
  end)

  it("S31 a value that a module puts into package.loaded counts, and no value is true", function()
    module("spec.own", function(name)
      corun.sleep(1)
      package.loaded[name] = "own"
    end)
    module("spec.nothing", function() corun.sleep(1) end)
    assert.equal("own", (require("spec.own")))
    assert.is_true((require("spec.nothing")))
    settle()
  end)
end)

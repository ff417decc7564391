-- SPDX-License-Identifier: MIT
-- Modules that jobs name, by upvalues or as arguments: workers load them.
local corun = require "corun"
local files = dofile("tests/spec/support/files.lua")

local pool = corun.pool

describe("a job that names modules", function()
  it("S31 has them loaded before it begins, also those that suspend", function()
    local dir <close>, path = files.folder()
    assert.is_not_nil(dir)
    for _, name in ipairs{"pool_slow_one", "pool_slow_two"} do
      files.put(("%s/%s.lua"):format(path, name), [[
        local corun = require "corun"
        corun.sleep(0.001)
        return {name = ..., double = function(x) corun.sleep(0) return 2 * x end,
          byte = string.byte}]])
    end
    local kept = package.path
    local _ <close> = corun.defer(function()
      package.path = kept
      package.loaded.pool_slow_one, package.loaded.pool_slow_two = nil, nil
    end)
    package.path = path .. "/?.lua;" .. kept
    local one, two = require "pool_slow_one", require "pool_slow_two"
    local list = {}
    for i = 1, 1000 do list[i] = {i, tostring(i), i / 3, -i << 20, ("l"):rep(i)} end
    local p <close> = pool.new{size = 1}
    assert.same({"pool_slow_one", 42, "pool_slow_two", 1000},
      {p:run(function(module, items) return one.name, one.double(21), module.name, #items end, two,
        list)})
    local q <close> = pool.new{size = 2}
    assert.same({2, 4, 6, n = 3}, q:map({1, 2, 3}, function(x) return one.double(x) end))
    local r <close> = pool.new{size = 1, init = function() rawset(_G, "one", one.double(1)) end}
    assert.equal(2, r:run(function() return rawget(_G, "one") end))
    local processes <close> = pool.new{kind = "process", size = 1}
    assert.equal(8, processes:run(function(x) return one.double(x) end, 4))
    package.loaded.pool_no_such = {}
    local ok, err = pcall(p.run, p, print, package.loaded.pool_no_such)
    package.loaded.pool_no_such = nil
    assert.is_false(ok)
    assert.matches("module 'pool_no_such' not found", tostring(err), 1, true)
    assert.equal("lives", p:run(function() return "lives" end))
  end)
end)

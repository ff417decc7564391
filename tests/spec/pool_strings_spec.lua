-- SPDX-License-Identifier: MIT
-- Long strings to workers and back: from 32 KiB on they cross as the very memory of the string.
local corun = require "corun"

local pool = corun.pool
local BLOCK = 32 << 10 -- CODEC_BLOCK

-- A string of `n` bytes, no piece of it like another.
local function text(n)
  local list, most = {}, 1 << 20
  for i = 1, n // most do list[i] = corun.codec.random(most) end
  list[#list + 1] = corun.codec.random(n % most)
  return table.concat(list)
end

describe("long strings", function()
  local p

  before_each(function() p = pool.new{size = 2} end)
  after_each(function() p:close() end)

  it("come back as they were, whatever their length", function()
    local function back(s) return s, #s end
    for _, n in ipairs{BLOCK - 1, BLOCK, BLOCK + 1, 65536, 100003, 5000000} do
      local s = text(n)
      local r, len = p:run(back, s)
      assert.is_true(r == s)
      assert.equal(n, len)
    end
  end)

  it("are one string where they were one: in tables, as keys and upvalues", function()
    local a, b = text(BLOCK), text(BLOCK + 5)
    local t = p:run(function(x, y, list)
      return {x, y, x, [y] = "key", list = list, up = a .. b}
    end, a, b, {a, a, b, "short", ("s"):rep(300)})
    assert.is_true(t[1] == a and t[2] == b and t[3] == a and t[b] == "key")
    assert.same({a, a, b, "short", ("s"):rep(300)}, t.list)
    assert.is_true(t.up == a .. b)
  end)

  it("cross by map, each, channels and errors", function()
    local s = text(3 * BLOCK)
    assert.same({s .. 1, s .. 2, n = 2}, p:map({1, 2}, function(i) return s .. i end))
    for i, r in p:each({1, 2}, function(i) return s .. i end) do assert.is_true(r == s .. i) end
    local c = pool.channel(3)
    for i = 1, 3 do c:send{s, i} end
    c:close()
    assert.equal(6, p:run(function(from)
      local sum = 0
      for v in from do sum = sum + (#v[1] == 98304 and v[2] or 0) end
      return sum
    end, c))
    local ok, err = pcall(p.run, p, function() error({s}) end)
    assert.is_false(ok)
    assert.is_true(err[1] == s)
  end)

  it("are gone with jobs and items that nobody takes", function()
    local s = text(BLOCK)
    local c = pool.channel(2)
    c:send(s)
    local one <close> = pool.new{size = 1}
    local begun, gate = pool.channel(1), pool.channel()
    local first = corun.async(function()
      one:run(function(b, g)
        b:send(true)
        g:recv()
      end, begun, gate)
    end)
    assert.is_true(begun:recv())
    local second = corun.async(function() return one:run(function(x) return x end, s) end)
    repeat corun.yield() until one:stats().queued == 1
    second:cancel()
    assert.is_nil(second:await())
    gate:send(true)
    first:await()
    assert.equal(1, one:stats().done)
  end)

  it("over the memory of a worker are errors, and the worker lives", function()
    local small <close> = pool.new{size = 1, memory = 4 << 20}
    local s = text(5000000)
    local ok, err = pcall(small.run, small, function(x) return #x end, s)
    assert.is_false(ok)
    assert.equal("ENOMEM", err.code)
    assert.equal(BLOCK, small:run(function(x) return #x end, text(BLOCK)))
    assert.equal(1, small:stats().workers)
  end)

  it("cross to processes and relayed jobs too", function()
    local q <close> = pool.new{size = 1, kind = "process"}
    local s = text(100003)
    assert.is_true(q:run(function(x) return x end, s) == s)
  end)
end)

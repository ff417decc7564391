-- SPDX-License-Identifier: MIT
-- Memory: what a parked task costs (S40), what happens when there is none left, and that ordinary C
-- modules of Lua load into the program.
local corun = require "corun"
local programs = require "tests.spec.support.programs"
local stats = require("corun.debug").stats

local PARKED = 1331 -- bytes: 1.3 KB

describe("memory", function()
  it("S40 a parked task costs at most 1.3 KB #heavy", function()
    local n = 20000
    local function park() corun.sleep(60) end
    corun.scope(function(s)
      for _ = 1, n do s:spawn(park) end -- warms up tables and the pool
      corun.yield()
      collectgarbage()
      local before = stats().memory
      for _ = 1, n do s:spawn(park) end
      corun.yield()
      collectgarbage()
      local each = (stats().memory - before) / n
      assert.is_true(each < PARKED, ("%.0f bytes a task"):format(each))
      s:cancel()
    end)
  end)

  it("S40 the pause of the collector follows the size of the heap", function()
    local r = dofile("tests/fixtures/cli/program.lua").code([[
      local corun = require "corun"
      for _, n in ipairs{300000, 100000} do
        local hold = {}
        for i = 1, n do hold[i] = {i, {}, {}} end
        collectgarbage()
        corun.sleep(0)
        local pause, memory = collectgarbage("setpause", 100), corun.debug.stats().memory
        assert(#hold == n)
        print(pause, memory > 64 << 20, memory > 4 << 20)
      end]])
    assert.equal("400\ttrue\ttrue\n200\tfalse\ttrue\n", r.out)
    assert.equal("", r.err)
  end)

  it("the collector stays in the mode that a script has chosen", function()
    collectgarbage("generational")
    corun.sleep(0)
    assert.equal("generational", collectgarbage("incremental"))
    corun.sleep(0)
    assert.equal("incremental", collectgarbage("incremental"))
  end)

  it("out of memory is an error, and cleanup runs #faults", function()
    local code = [[
      local corun = require "corun"
      io.write("begin ")
      do
        local _ <close> = corun.defer(function() io.write("cleanup ") end)
        pcall(corun.scope, function(s)
          for i = 1, 4 do
            s:spawn(function() corun.yield() return ("x"):rep(i), {i} end)
          end
          corun.await(corun.async(function() return 1, 2 end))
          corun.map({1, 2, 3}, function(x) corun.yield() return x end)
          corun.timeout(1, corun.yield)
        end)
      end]]
    local seen = {}
    for nth = 900, 1700, 20 do
      local output, status = programs.run(code, {fail = nth})
      assert.is_true(status == 0 or status == 1 or status == 70,
        ("allocation %d: status %d, %s"):format(nth, status, output))
      if status == 1 then assert.matches("not enough memory", output) end
      if status == 0 then assert.matches("begin cleanup", output) end
      seen[status] = true
    end
    assert.is_true(seen[0])
  end)
end)

describe("ordinary C modules", function()
  it("load, and see the program's Lua", function()
    local lpeg, lfs, cjson = require "lpeg", require "lfs", require "cjson"
    assert.equal(4, lpeg.match(lpeg.P"abc", "abcd"))
    assert.equal("directory", lfs.attributes("tests", "mode"))
    assert.equal(require("corun.json").null, cjson.null)
  end)

  it("run a loop of their own (luv)", function()
    local uv = require "luv"
    local rang = false
    local timer = uv.new_timer()
    timer:start(1, 0, function() rang = true timer:close() end)
    uv.run()
    assert.is_true(rang)
  end)
end)

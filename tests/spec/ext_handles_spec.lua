-- SPDX-License-Identifier: MIT
-- Extensions with handles of libuv on the loop of the runtime (corun_loop): timers, those of
-- tests/ext/handles.c.
local corun = require "corun"
local debug_ = require "corun.debug"
local handles = require "handles"
local program = dofile("tests/fixtures/cli/program.lua")

describe("a handle of an extension", function()
  it("wakes its task, also beside timers of tasks", function()
    assert.is_true(handles.alarm(0))
    local order = {}
    corun.scope(function(s)
      for i, ms in ipairs{30, 1, 15} do
        s:spawn(function()
          handles.alarm(ms)
          order[#order + 1] = i
        end)
      end
      s:spawn(corun.sleep, 0.001)
    end)
    table.sort(order) -- on a slow machine several are over in one turn, whose tasks may be shuffled
    assert.same({1, 2, 3}, order)
    assert.equal(0, debug_.stats().jobs)
  end)

  for _, kind in ipairs{"stopped", "left"} do
    it("S16 is closed when its task is cancelled: " .. kind, function()
      local t = corun.async(handles.alarm, 1000000, kind)
      repeat corun.yield() until t:status() ~= "ready"
      t:cancel()
      assert.equal("ECANCELED", select(2, t:await()).code)
      assert(corun.timeout(20, function()
        while debug_.stats().jobs > 0 do corun.sleep(0.001) end
      end))
    end)
  end

  for _, kind in ipairs{"left", "forgotten"} do
    it("ends its operation at the end of the program, also without a task: " .. kind, function()
      local r = program.run{"--grace=3", "-e", ([[
        local corun, handles = require "corun", require "handles"
        local t = corun.async(handles.alarm, 50, "%s")
        repeat corun.yield() until t:status() ~= "ready"
        t:cancel()
        t:await()]]):format(kind)}
      assert.same({"", "", 0}, {r.out, r.err, r.status})
    end)
  end
end)

-- SPDX-License-Identifier: MIT
-- The threads of a program of corun: when those for blocking work end, and what the watchdog has.
local program = dofile("tests/fixtures/cli/program.lua")
local programs = require("tests.spec.support.programs")

-- Lists the threads, and how many descriptors each of them has.
local LIST = [[
  local corun = require "corun"
  local function list()
    local all = {}
    local p <close> = io.popen(
      "cd /proc/$PPID/task; for t in *; do echo $t $(ls $t/fd 2>&- | wc -l); done")
    for id, n in p:read("a"):gmatch("(%d+) (%d+)") do all[#all + 1] = {id, tonumber(n)} end
    return all
  end
]]

describe("threads", function()
  if not io.open("/proc/self/status") then return end -- Linux lists them

  it("for blocking work end when there was none for a while, and come back", function()
    local out, status = programs.run(LIST .. [[
      local before = #list()
      for _ = 1, 2 do
        corun.timeout(10, function()
          repeat corun.codec.hash_file("LICENSE") until #list() > before
          repeat corun.sleep(0.05) until #list() == before
        end)
        print(#list() - before)
      end]])
    assert.equal("0\n0\n", out)
    assert.equal(0, status)
  end)

  if program.is_sanitized() then return end -- there they do

  it("share no descriptors with the watchdog", function()
    local out, status = programs.run(LIST .. [[
      local files = {}
      for i = 1, 20 do files[i] = io.open("LICENSE") end
      local watchdog
      corun.timeout(10, function()
        repeat
          for _, t in ipairs(list()) do if t[2] == 2 then watchdog = t end end
          corun.sleep(0)
        until watchdog
      end)
      print(watchdog ~= nil)]])
    assert.equal("true\n", out)
    assert.equal(0, status)
  end)
end)

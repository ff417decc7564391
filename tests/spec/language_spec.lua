-- SPDX-License-Identifier: MIT
-- Lua stays Lua: the language spec (tests/language) in a task and in a user's coroutine, and the
-- examples of docs/lua.md. tests/language/run.sh compares the same checks with stock Lua, also in
-- the main chunk.

local corun = require "corun"

local root = debug.getinfo(1, "S").source:match("^@(.*)tests/spec/") or ""
local dir = root .. "tests/language/"
local harness = dofile(dir .. "harness.lua")
local examples = assert(loadfile(dir .. "examples.lua"))

-- Runs a topic; gives the lines of the checks that do not hold, and how many checks there were.
local function run_topic(topic, mode)
  local broken, count = {}, 0
  warn("@off") -- some checks fail in finalisers
  harness.suite{
    dir = dir, mode = mode,
    report = function(name, fn, want)
      local ok, line = harness.verdict(name, fn, want)
      count = count + 1
      if not ok then broken[#broken + 1] = line end
    end,
  }.run(topic)
  warn("@on")
  return table.concat(broken, "\n"), count
end

local function in_coroutine(topic)
  return coroutine.wrap(run_topic)(topic, "coroutine")
end

describe("Lua stays Lua", function()
  for _, topic in ipairs(harness.topics) do
    if topic ~= "22_process" then -- only run.sh knows an interpreter to start
      local name = topic:gsub("^%d+_", "") .. (harness.heavy[topic] and " #heavy" or "")
      it("in a task: " .. name, function()
        local broken, count = corun.async(run_topic, topic, "task"):await()
        assert.equal("", broken)
        assert.is_true(count >= 20)
      end)
      it("in a coroutine: " .. name, function()
        local broken, count = corun.async(in_coroutine, topic):await()
        assert.equal("", broken)
        assert.is_true(count >= 20)
      end)
    end
  end
end)

describe("what differs on purpose (S24 S29 S30 S31 S32)", function()
  examples(root .. "docs/lua.md", "corun", function(name, fn, want)
    it(name, function()
      local _, line = harness.verdict(name, fn, want)
      assert.equal("ok", line:match("^ok") or line)
    end)
  end)
end)

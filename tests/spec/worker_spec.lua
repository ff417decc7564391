-- SPDX-License-Identifier: MIT
-- The semantics hold in a worker as they do in the main runtime: the specs of tasks and of what
-- tasks wait for, run inside one.
local corun = require "corun"
local program = dofile("tests/fixtures/cli/program.lua")

local SOON = {"task", "scope", "cancel", "timeout", "shield", "failure", "error", "channel",
  "select", "combine", "sync"}
local LATER = {"interrupt", "coroutine", "require", "fair", "limiter", "backoff", "args", "misuse",
  "random_model", "leak"}

local function lines(text, pattern)
  local n = 0
  for line in text:gmatch("[^\n]+") do
    if line:find(pattern) then n = n + 1 end
  end
  return n
end

-- All tests of a file succeed in a worker, and they are as many as there are.
local function check(name, ...)
  local file = ("tests/spec/%s_spec.lua"):format(name)
  local listed = assert(corun.process.run{program.path, "test", "--list", file, ...})
  local r = assert(corun.process.run({program.path, "tests/fixtures/pool/test.lua", "-o", "TAP",
    file, ...}, {timeout = 600}))
  assert.equal(0, r.code, r.stdout .. r.stderr)
  assert.equal(lines(listed.stdout, "_spec%.lua:%d+: "), lines(r.stdout, "^ok "), r.stdout)
  assert.equal(0, lines(r.stdout, "^not ok "), r.stdout)
end

describe("in a worker", function()
  for _, name in ipairs(SOON) do
    -- What is tagged #faults starts programs of its own, wherever it runs.
    it(name .. " does what it does elsewhere", function()
      check(name, "--exclude-tags=heavy,faults")
    end)
  end

  for _, name in ipairs(LATER) do
    it(name .. " does what it does elsewhere #heavy", function() check(name) end)
  end
end)

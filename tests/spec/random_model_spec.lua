-- SPDX-License-Identifier: MIT
-- Random programs of tasks, scopes, cancellation and timeouts, on corun and on a model of it: each
-- statement ends in the same way at the same time. CORUN_PROGRAMS says how many (200).
local corun = require "corun"
local model = dofile("tests/spec/support/model.lua")
local random_program = dofile("tests/spec/support/random_program.lua")
local tasks = dofile("tests/spec/support/tasks.lua")

local COUNT = tonumber(os.getenv("CORUN_PROGRAMS") or 200)
local FIRST = tonumber(os.getenv("CORUN_FIRST_PROGRAM") or 1)

local function with_outcome(log, state, err)
  if state == "failed" then state = "failed " .. random_program.describe(err) end
  log.main = {what = state, at = 0}
  return log
end

local function on_model(program)
  local log = {}
  local state, err = model.run(function(api)
    return random_program.run(program, api, function(label) return {code = label} end, log)
  end)
  return with_outcome(log, state, err)
end

local function on_corun(program)
  local log = {}
  local t = corun.async(random_program.run, program, corun,
    function(label) return corun.err(label, label) end, log)
  local ok, value, err = pcall(corun.await, t)
  local state = t:status()
  if ok and state == "failed" then value = err end
  return with_outcome(log, state, value)
end

local NOTHING = {what = "nothing", at = 0}

local function difference(a, b)
  local lines, ids = {}, {}
  for id in pairs(a) do ids[id] = true end
  for id in pairs(b) do ids[id] = true end
  for id in pairs(ids) do
    local x, y = a[id] or NOTHING, b[id] or NOTHING
    if x.what ~= y.what or math.abs(x.at - y.at) > 1e-5 then
      lines[#lines + 1] = ("%s: model: %s at %f; corun: %s at %f")
        :format(id, x.what, x.at, y.what, y.at)
    end
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

describe("the model", function()
  before_each(tasks.virtual)

  it("S1 S4 S5 S14 S17 random programs end alike on corun and on the model", function()
    local statements = 0
    for seed = FIRST, FIRST + COUNT - 1 do
      local program = random_program.make(seed, 10 + seed % 60)
      local expected, got = on_model(program), on_corun(program)
      for _ in pairs(expected) do statements = statements + 1 end
      local found = difference(expected, got)
      if found ~= "" then
        error(("program %d:\n%s\n%s"):format(seed, random_program.tostring(program), found), 0)
      end
    end
    assert.is_true(statements > 5 * COUNT)
  end)
end)

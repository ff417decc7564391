-- SPDX-License-Identifier: MIT
-- corun.backoff: how many attempts, and the pauses between them.

local loaded, corun = pcall(require, "corun")
if not loaded then -- under stock Lua only the sleep is missing
  corun = {}
  package.loaded.corun = corun
end
local backoff = require("corun.backoff")

describe("corun.backoff", function()
  local real, pauses

  before_each(function()
    real, pauses = rawget(corun, "sleep"), {}
    corun.sleep = function(s) pauses[#pauses + 1] = s end
  end)

  after_each(function()
    corun.sleep = real
  end)

  -- The pauses after the first attempt.
  local function between()
    return table.move(pauses, 2, #pauses, 1, {})
  end

  it("counts the attempts and ends after the last without a pause", function()
    local seen = {}
    for attempt in backoff{tries = 4} do seen[#seen + 1] = attempt end
    assert.same({1, 2, 3, 4}, seen)
    assert.equal(3, #between())
  end)

  it("makes the first attempt at once, yet at a checkpoint (S13)", function()
    local b = backoff{min = 5}
    assert.equal(1, b())
    assert.same({0}, pauses)
  end)

  it("multiplies the pause by the factor up to the maximum", function()
    for _ in backoff{min = 0.5, max = 5, factor = 3, jitter = 0, tries = 6} do end
    assert.same({0.5, 1.5, 4.5, 5, 5}, between())
  end)

  it("doubles by default and has no end", function()
    for attempt in backoff{min = 1, max = math.maxinteger, jitter = 0} do
      if attempt == 60 then break end
    end
    local got = between()
    assert.equal(59, #got)
    assert.equal(2.0 ^ 58, got[59])
  end)

  it("stays finite when the pause would overflow", function()
    local last
    for attempt in backoff{min = 1, max = 1e300, factor = 1e200, jitter = 0, tries = 9} do
      last = attempt
    end
    assert.equal(9, last)
    assert.equal(1e300, pauses[#pauses])
  end)

  it("takes off a random share of the pause, at most the jitter", function()
    for _, jitter in ipairs{0.25, 1} do
      pauses = {}
      for _ in backoff{min = 8, max = 8, jitter = jitter, tries = 2001} do end
      local least, most = math.huge, 0
      for _, s in ipairs(between()) do
        least, most = math.min(least, s), math.max(most, s)
      end
      assert.is_true(least >= 8 * (1 - jitter) and most <= 8)
      assert.is_true(most - least > 8 * jitter * 0.9, "the pauses are spread")
    end
  end)

  it("starts over after reset", function()
    local b = backoff{min = 1, max = 8, jitter = 0, tries = 3}
    for _ in b do end
    assert.is_nil(b())
    b:reset()
    pauses = {}
    local seen = {}
    for attempt in b do seen[#seen + 1] = attempt end
    assert.same({1, 2, 3}, seen)
    assert.same({0, 1, 2}, pauses)
  end)

  it("goes on where a loop was left", function()
    local b = backoff{min = 1, max = 8, jitter = 0, tries = 3}
    for attempt in b do
      if attempt == 2 then break end
    end
    assert.equal(3, b())
    assert.same({0, 1, 2}, pauses)
  end)

  it("heeds a reset that comes during the pause", function()
    local b = backoff{min = 1, max = 8, jitter = 0}
    for _ = 1, 3 do b() end
    corun.sleep = function() b:reset() end
    assert.equal(1, b())
    corun.sleep = function(s) pauses[#pauses + 1] = s end
    b()
    assert.equal(1, pauses[#pauses])
  end)

  it("counts no attempt when the pause is cancelled", function()
    local b = backoff{min = 1, max = 8, jitter = 0}
    b()
    local sleep = corun.sleep
    corun.sleep = function() error("cancelled", 0) end
    assert.has_error(b, "cancelled")
    corun.sleep = sleep
    assert.equal(2, b())
    assert.equal(1, pauses[#pauses])
  end)

  it("keeps a minimum above the default maximum", function()
    for _ in backoff{min = 60, jitter = 0, tries = 3} do end
    assert.same({60, 60}, between())
  end)

  it("says what it is", function()
    local b = backoff{min = 1, jitter = 0}
    assert.matches("^backoff 0x%x+ %(0 made, next pause up to 0 s%)$", tostring(b))
    b()
    b()
    assert.matches("^backoff 0x%x+ %(2 made, next pause up to 2 s%)$", tostring(b))
  end)

  it("refuses wrong options at the caller's line", function()
    local cases = {
      [{trys = 3}] = 'unknown option "trys" for backoff %(did you mean "tries"%?%)',
      [{tries = 0}] = 'option "tries" for backoff must be a positive integer, got 0',
      [{min = -1}] = 'option "min" for backoff must be a number of seconds %(0 or more%), got %-1',
      [{min = 2, max = 1}] = 'option "max" for backoff must be finite and at least min',
      [{max = math.huge}] = 'option "max" for backoff must be finite and at least min',
      [{factor = 0.5}] = 'option "factor" for backoff must be finite and at least 1',
      [{factor = 0 / 0}] = 'option "factor" for backoff must be finite and at least 1',
      [{jitter = 1.5}] = 'option "jitter" for backoff must be between 0 and 1',
    }
    for o, text in pairs(cases) do
      local line
      local ok, e = pcall(function()
        line = debug.getinfo(1, "l").currentline + 1
        local b = backoff(o)
        return b
      end)
      assert.is_false(ok)
      assert.matches("backoff_spec%.lua:" .. line .. ": " .. text .. "$", e)
    end
  end)
end)

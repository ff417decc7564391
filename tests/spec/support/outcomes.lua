-- SPDX-License-Identifier: MIT
-- For specs of streams and sockets: what calls gave or raised, what was written to stderr, tasks
-- that wait.
local corun = require "corun"
local assert = require "luassert"

local outcomes = {}

---Assert that a call gave nil and an error of this code and operation, which names its target.
function outcomes.assert_error(code, op, value, err)
  assert.is_nil(value)
  assert.equal(code, err and err.code)
  assert.equal(op, err.op)
  assert.is_string(err.target)
end

---Assert that a call raises an error object of this code, or this string; the error.
function outcomes.assert_raises(code, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.equal(code, type(err) == "table" and err.code or err)
  return err
end

---Assert that a call is refused as misuse, by a sentence that matches and names the line of the
---call: the one in a function of the spec, or the one here.
function outcomes.assert_misuse(pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.equal("string", type(err))
  local file, message = err:match("^(.-):%d+: (.*)")
  assert.matches(pattern, message)
  local source = debug.getinfo(fn, "S").short_src
  if not source:find("_spec.lua", 1, true) then source = debug.getinfo(1, "S").short_src end
  assert.equal(source, file)
end

---Call fn with io.stderr being a list, which it is given; what was written to it.
function outcomes.captured(fn)
  local real, lines = io.stderr, {}
  io.stderr = {write = function(_, ...) -- luacheck: ignore 122
    for _, text in ipairs{...} do lines[#lines + 1] = text end
  end}
  local _ <close> = corun.defer(function() io.stderr = real end) -- luacheck: ignore 122
  fn(lines)
  return table.concat(lines)
end

---A task that waits already: under a shuffled ready queue a yield is no barrier.
function outcomes.waiting(...)
  local task = corun.async(...)
  while task:status() ~= "waiting" do corun.yield() end
  return task
end

return outcomes

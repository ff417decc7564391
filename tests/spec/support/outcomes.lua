-- SPDX-License-Identifier: MIT
-- For specs of streams and sockets: what calls gave, and tasks that wait.
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

---A task that waits already: under a shuffled ready queue a yield is no barrier.
function outcomes.waiting(...)
  local task = corun.async(...)
  while task:status() ~= "waiting" do corun.yield() end
  return task
end

return outcomes

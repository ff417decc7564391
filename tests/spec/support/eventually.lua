-- SPDX-License-Identifier: MIT
-- Waiting in specs for what other tasks, threads or programs bring about.

local corun = require("corun")

local LIMIT = 60 -- seconds: under a sanitizer, beside other work, a program needs some to start

---Wait until a condition holds; fail after a minute. Called as eventually([what, ]condition).
---@param what string|function what never came true
---@param condition (fun(): any)?
return function(what, condition)
  if not condition then what, condition = nil, what end
  local give_up = corun.now() + LIMIT
  while not condition() do
    assert(corun.now() < give_up, "it never came true" .. (what and ": " .. what or ""))
    corun.sleep(0.001)
  end
end

-- SPDX-License-Identifier: MIT
-- What `ctest` runs, in the folder of the module. It has no standard input for line().
local corun, hello = require "corun", require "hello"

assert(hello.shout("Hello, World") == "HELLO, WORLD")

local began = corun.now()
corun.gather(
  function() assert(hello.alarm(1)) end,
  function() assert(hello.alarm(1)) end
)
assert(corun.now() - began < 1.9, "two alarms ring at once")

-- SPDX-License-Identifier: MIT
-- A script that uses tasks, scopes and coroutines in many ways. error_spec.lua runs it with
-- CORUN_FAIL_ALLOC, so that one allocation fails: it may end with an error, but properly.
local corun = require "corun"
corun.debug.virtual(true)
local function fail(v) error(v, 0) end
local log = {}
local function work(i)
  local _ <close> = corun.defer(function() log[#log + 1] = i corun.sleep(0.1) end)
  corun.sleep(i)
  return i, i
end
local c = corun.channel(1)
corun.scope(function(s)
  for i = 1, 3 do s:spawn(work, i) end
  s:daemon(function() while true do c:send(1) corun.sleep(0.5) end end)
  c:recv()
end, {limit = 2, timeout = 100, name = "x"})
pcall(corun.scope, function()
  corun.async(fail, corun.err("EX", "x"))
  corun.async(fail, "y")
  corun.spawn(function() local _ <close> = corun.defer(fail, {}) corun.sleep(9) end)
  corun.sleep(1)
  fail("body")
end)
print(corun.timeout(1, corun.sleep, 10))
print(corun.timeout(1, function() corun.spawn(corun.sleep, 100) return 1 end))
local g = coroutine.wrap(function() for i = 1, 2 do corun.sleep(1) coroutine.yield(i) end end)
print(g(), g())
local t = corun.async(function() corun.spawn(corun.sleep, 50) return nil, "soft" end)
t.name = "t"
corun.locals().x = 1
print(t:await())
print(corun.gather(function() return 1 end, function() corun.sleep(1) return 2 end))
print(pcall(corun.map, {1, 2}, function(i) if i == 2 then fail("m") end corun.sleep(5) end))
for i in corun.each({1, 2, 3}, work) do if i == 2 then break end end
print(corun.race {a = function() return "a" end, b = function() corun.sleep(5) end})
print(corun.any {function() return nil, "e" end, function() return "s" end})
print(corun.shield(function() return corun.try(fail, "t") end))
local e = corun.event()
corun.spawn(function() e:wait() end)
corun.sleep(1)
e:set(1, 2)
local m = corun.mutex()
do local _ <close> = m:acquire() end
print(corun.select({a = c}, {timeout = 1}))
local x = corun.spawn(corun.sleep, 100)
corun.sleep(1)
x:cancel("why")
print(x:await())
print(#log, tostring(x))

-- SPDX-License-Identifier: MIT
-- Language spec: deep recursion, overflow of the Lua and the C stack, and what is left after it.

local h = ...
local check = h.check

-- Whether fn fails with a message that has `part` in it.
local function fails(part, fn, ...)
  local ok, e = pcall(fn, ...)
  return not ok and tostring(e):find(part, 1, true) ~= nil
end

-- Recursion without end whose frames are large, so that the stack is full after some 5,000 of them.
local names = {}
for i = 1, 190 do names[i] = "v" .. i end
local endless = load("local function f() local " .. table.concat(names, ", ")
  .. "\n  return 1 + f()\nend\nreturn f", "=endless")()

check("recursion a hundred thousand deep", function()
  local function sum(n) if n == 0 then return 0 end return n + sum(n - 1) end
  return sum(100000)
end, 5000050000)

check("mutual recursion by tail calls a million deep", function()
  local even, odd
  function even(n) if n == 0 then return true end return odd(n - 1) end
  function odd(n) if n == 0 then return false end return even(n - 1) end
  return even(1000000)
end, true)

check("a stack overflow is an error", function()
  local function f() return 1 + f() end
  return fails("stack overflow", f)
end, true)

check("the message of a stack overflow has a position", function()
  local ok, e = pcall(endless)
  return ok, e:match("^endless:2: stack overflow")
end, false, "endless:2: stack overflow")

check("a stack overflow leaves a working stack", function()
  for _ = 1, 5 do pcall(endless) end
  local function sum(n) if n == 0 then return 0 end return n + sum(n - 1) end
  return sum(1000)
end, 500500)

check("a stack overflow runs close methods", function()
  local closed = 0
  local meta = {__close = function() closed = closed + 1 end}
  local ok = pcall(function()
    local x <close> = setmetatable({}, meta)
    local y <close> = setmetatable({}, meta)
    return endless(x, y)
  end)
  return ok, closed
end, false, 2)

check("a stack overflow with a traceback handler", function()
  local ok, text = xpcall(endless, debug.traceback)
  return ok, text:find("stack overflow", 1, true) ~= nil, text:find("skipping", 1, true) ~= nil
end, false, true, true)

check("a handler that overflows the stack itself", function()
  local ok, e = xpcall(error, endless, "e")
  return ok, e ~= nil
end, false, true)

check("a stack overflow in a metamethod", function()
  local t = setmetatable({}, {})
  getmetatable(t).__index = function(s, k) return s[k .. "x"] end
  return fails("overflow", function() return t.x end)
end, true)

check("a stack overflow in __add, __eq, __concat, __call, __close", function()
  local meta = {}
  local function new() return setmetatable({}, meta) end
  meta.__add = function(a) return a + 1 end
  meta.__eq = function(a, b) return a == b end
  meta.__concat = function(a, b) return a .. b end
  meta.__call = endless
  meta.__close = function() local x <close> = new(); return x end
  return fails("overflow", function() return new() + 1 end),
    fails("overflow", function() return new() == new() end),
    fails("overflow", function() return new() .. new() end),
    fails("overflow", function() return new()() end),
    fails("overflow", function() local x <close> = new(); return x end)
end, true, true, true, true, true)

check("a stack overflow in __tostring and __index of a string function", function()
  local t = setmetatable({}, {__tostring = function(s) return tostring(s) end})
  return fails("overflow", tostring, t)
end, true)

check("a stack overflow in a gsub callback", function()
  local function again() return (("x"):gsub("x", again)) end
  return fails("overflow", again)
end, true)

check("a stack overflow in a table.sort callback", function()
  local function again() table.sort({2, 1}, again) end
  return fails("overflow", again)
end, true)

check("180 nested pcalls", function()
  local function nest(n)
    if n == 0 then return "bottom" end
    return select(2, pcall(nest, n - 1))
  end
  return nest(180)
end, "bottom")

check("pcalls nested without end end in an error that the innermost catches", function()
  local depth = 0
  local function nest()
    depth = depth + 1
    local ok, e = pcall(nest)
    return ok, e
  end
  local ok = pcall(nest)
  return ok, depth > 150, depth < 260
end, true, true, true)

check("180 nested metamethods", function()
  local t = setmetatable({}, {})
  getmetatable(t).__index = function(s, k) return k == 0 and "bottom" or s[k - 1] end
  return t[180]
end, "bottom")

check("metamethods nested without end", function()
  local t = setmetatable({}, {})
  getmetatable(t).__index = function(s, k) return s[k + 1] end
  local ok, e = pcall(function() return t[1] end)
  return ok, e:find("C stack overflow", 1, true) ~= nil
end, false, true)

check("180 nested calls of string.gsub", function()
  local function nest(n)
    if n == 0 then return "bottom" end
    return (("x"):gsub("x", function() return nest(n - 1) end))
  end
  return nest(180)
end, "bottom")

check("90 nested coroutines", function()
  local function nest(n)
    if n == 0 then return "bottom" end
    return coroutine.wrap(function() return nest(n - 1) end)()
  end
  return nest(90)
end, "bottom")

check("a new coroutine does not escape the limit of C calls", function()
  local depth = 0
  local function nest()
    depth = depth + 1
    local ok, e = coroutine.resume(coroutine.create(nest))
    return ok, e
  end
  local ok = pcall(nest)
  return ok, depth > 60, depth < 260
end, true, true, true)

check("the text of the refused resume", function()
  local text
  local function nest()
    local ok, e = coroutine.resume(coroutine.create(nest))
    if not ok then text = text or e end
  end
  nest()
  return text:match("C stack overflow$")
end, "C stack overflow")

check("ten thousand coroutines suspended at once", function()
  local cos, sum = {}, 0
  for i = 1, 10000 do
    cos[i] = coroutine.wrap(function(a)
      local b = coroutine.yield(a)
      sum = sum + b
    end)
    cos[i](i)
  end
  for i = 1, 10000 do cos[i](i) end
  return sum
end, 50005000)

check("a hundred thousand switches", function()
  local f = coroutine.wrap(function() local n = 0; while true do n = n + coroutine.yield(n) end end)
  local last = f()
  for _ = 1, 100000 do last = f(1) end
  return last
end, 100000)

check("too many arguments to resume", function()
  local co = coroutine.create(function(...)
    local n = select("#", coroutine.yield())
    return n, select("#", ...)
  end)
  local t = {}
  coroutine.resume(co, table.unpack(t, 1, 450000))
  local a, b = coroutine.resume(co, table.unpack(t, 1, 600000))
  return a, b, coroutine.status(co), coroutine.resume(co, 1)
end, false, "too many arguments to resume", "suspended", true, 1, 450000)

check("too many results to resume", function()
  local co = coroutine.create(function()
    coroutine.yield(table.unpack({}, 1, 600000))
    return "end"
  end)
  local function crowded(...)
    local a, b = coroutine.resume(co)
    return a, b, select("#", ...)
  end
  local a, b, n = crowded(table.unpack({}, 1, 450000))
  return a, b, n, coroutine.status(co), coroutine.resume(co)
end, false, "too many results to resume", 450000, "suspended", true, "end")

check("too many results of a wrapped coroutine", function()
  local f = coroutine.wrap(function()
    coroutine.yield(table.unpack({}, 1, 600000))
    return "end"
  end)
  local function crowded(...)
    local a, b = pcall(f)
    return a, b, select("#", ...)
  end
  local a, b, n = crowded(table.unpack({}, 1, 450000))
  return a, b, n, f()
end, false, "too many results to resume", 450000, "end")

check("a stack overflow inside a coroutine kills it alone", function()
  local co = coroutine.create(function()
    local function f(...) return 1 + f(...) end
    return f(table.unpack({}, 1, 200))
  end)
  local ok, message = coroutine.resume(co)
  return ok, message:find("stack overflow", 1, true) ~= nil, coroutine.status(co)
end, false, true, "dead")

check("a stack overflow caught inside a coroutine", function()
  local f = coroutine.wrap(function()
    local function deep(...) return 1 + deep(...) end
    local ok = pcall(deep, table.unpack({}, 1, 200))
    coroutine.yield(ok)
    return "end"
  end)
  return f(), f()
end, false, "end")

check("expressions nested a hundred deep", function()
  local n = 100
  return load("return " .. ("("):rep(n) .. "1" .. (")"):rep(n))(),
    #load("return " .. ("{"):rep(n) .. ("}"):rep(n))()
end, 1, 1)

check("blocks and functions nested a hundred deep", function()
  local n = 100
  return load(("do "):rep(n) .. "x = 1 " .. ("end "):rep(n)) ~= nil,
    load(("function f() "):rep(n) .. ("end "):rep(n)) ~= nil
end, true, true)

check("expressions nested too deep are refused, not fatal", function()
  local n = 100000
  local f, e = load("return " .. ("("):rep(n) .. "1" .. (")"):rep(n))
  local g, d = load("return " .. ("not "):rep(n) .. "1")
  return f, e:find("overflow", 1, true) ~= nil, g, d:find("overflow", 1, true) ~= nil
end, nil, true, nil, true)

check("a long chain of ifs, concatenations and operators", function()
  local ifs = {"local x = ... if x == 0 then return 0"}
  for i = 1, 5000 do ifs[#ifs + 1] = ("elseif x == %d then return %d"):format(i, i) end
  ifs[#ifs + 1] = "end"
  local plus = "return " .. ("1 + "):rep(5000) .. "1"
  return load(table.concat(ifs, "\n"))(5000), load(plus)()
end, 5000, 5001)

check("two hundred locals and two hundred upvalues", function()
  local all = {}
  for i = 1, 200 do all[i] = "v" .. i end
  local list = table.concat(all, ", ")
  local source = "local " .. list .. " = ...\nreturn (function() return {" .. list .. "} end)()"
  return #load(source)(table.unpack(all))
end, 200)

check("a function with 255 arguments, and with too many", function()
  local function call(n) return load("return select('#', " .. ("1, "):rep(n - 1) .. "1)") end
  local f, e = call(300)
  return call(240)(), f, e:find("too many registers", 1, true) ~= nil
end, 240, nil, true)

check("a call with a very long list from a table", function()
  return select("#", table.unpack({}, 1, 900000))
end, 900000)

check("a call whose list does not fit", function()
  return fails("too many results to unpack", table.unpack, {}, 1, 2000000)
end, true)

check("string.rep, table.concat and .. up to sixteen megabytes", function()
  local s = ("x"):rep(1 << 24)
  local t = {}
  for i = 1, 16 do t[i] = s:sub(1, 1 << 20) end
  return #s, #table.concat(t), #(s .. "y")
end, 1 << 24, 1 << 24, (1 << 24) + 1)

check("a list of a hundred thousand tables is traversed by the collector", function()
  local t = {}
  local inner = t
  for _ = 1, 100000 do
    inner.next = {}
    inner = inner.next
  end
  collectgarbage()
  local n = 0
  while t do t, n = t.next, n + 1 end
  return n
end, 100001)

check("a linked chain of objects with finalisers is collected", function()
  local n = 0
  do
    local previous
    for _ = 1, 2000 do
      local link = previous
      previous = setmetatable({link}, {__gc = function() n = n + 1 end})
    end
  end
  collectgarbage()
  collectgarbage()
  return n
end, 2000)

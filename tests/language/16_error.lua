-- SPDX-License-Identifier: MIT
-- Language spec: error, assert, pcall, xpcall, error values, levels and tracebacks.

local h = ...
local check, chunk = h.check, h.chunk

check("pcall gives true and all results", function()
  return pcall(function(...) return ..., nil end, 1, 2), select("#", pcall(function() end))
end, true, 1)

check("pcall of a failing function", function()
  return pcall(error, "message", 0)
end, false, "message")

check("pcall of a non-function", function()
  return pcall(nil), select(2, pcall({})), select(2, pcall(42))
end, false, "attempt to call a table value", "attempt to call a number value")

check("pcall without an argument", function()
  return pcall(pcall)
end, false, "bad argument #1 to 'pcall' (value expected)")

check("error puts the position before a string", function()
  return pcall(chunk, "\n\nerror('boom')")
end, false, "chunk:3: boom")

check("error levels", function()
  return select(2, pcall(chunk, "error('boom', 0)")), select(2, pcall(chunk, "error('boom', 1)")),
    select(2, pcall(chunk, "local function f() error('boom', 2) end\nf()")),
    select(2, pcall(chunk, [[
      local function f() error("boom", 3) end
      local function g()
        f()
      end
      g()
    ]]))
end, "boom", "chunk:1: boom", "chunk:2: boom", "chunk:5: boom")

check("an error level that is a C function has no position", function()
  return pcall(chunk, "return select(2, pcall(error, 'boom', 2))"), pcall(error, "boom", 1)
end, true, false, "boom")

check("error of other values", function()
  local t = {}
  local _, e = pcall(error, t)
  return e == t, select(2, pcall(error, 42)), select(2, pcall(error, nil)), select(2, pcall(error)),
    select(2, pcall(error, true))
end, true, 42, nil, nil, true)

check("a number is not given a position", function()
  local _, e = pcall(chunk, "error(42)")
  return e, math.type(e)
end, 42, "integer")

check("assert passes its arguments on", function()
  return assert(1, "unused", 3), select("#", assert(true, nil, nil))
end, 1, 3)

check("assert fails with its message", function()
  return select(2, pcall(assert, false, "why")), select(2, pcall(chunk, "assert(nil, 'why')")),
    select(2, pcall(assert, nil)), select(2, pcall(assert, false, {1})),
    select(2, pcall(assert, nil, nil))
end, "why", "chunk:1: why", "assertion failed!", {1}, nil)

check("assert without arguments", function()
  return pcall(assert)
end, false, "bad argument #1 to 'assert' (value expected)")

check("nested pcalls catch the nearest", function()
  local log = {}
  local ok = pcall(function()
    local inner, e = pcall(error, "inner", 0)
    log[#log + 1] = tostring(inner) .. " " .. e
    local again, f = pcall(function()
      pcall(error, "dropped")
      error("outer", 0)
    end)
    log[#log + 1] = tostring(again) .. " " .. f
  end)
  return ok, log
end, true, {"false inner", "false outer"})

check("an error passes through levels of calls", function()
  local function deep(n)
    if n == 0 then error({depth = n}) end
    deep(n - 1)
    return n
  end
  return select(2, pcall(deep, 100))
end, {depth = 0})

check("re-raising keeps the value", function()
  local e = {}
  local _, got = pcall(function()
    local _, inner = pcall(error, e)
    error(inner)
  end)
  return got == e
end, true)

check("re-raising a string adds a position unless the level is 0", function()
  return pcall(chunk, [[
    local ok, e = pcall(error, "first", 0)
    error(e)
  ]]), select(2, pcall(chunk, [[
    local ok, e = pcall(error, "first", 0)
    error(e, 0)
  ]]))
end, false, "first")

check("error objects with methods", function()
  local Error = {}
  Error.__index = Error
  Error.__tostring = function(e) return "E" .. e.code end
  function Error:is(code) return self.code == code end
  local _, e = pcall(error, setmetatable({code = 7}, Error))
  return tostring(e), e:is(7), e:is(8)
end, "E7", true, false)

check("state changed before an error stays changed", function()
  local n = 0
  pcall(function()
    n = n + 1
    error()
  end)
  return n
end, 1)

check("xpcall passes arguments and results", function()
  return xpcall(function(...) return select("#", ...), ... end, print, 1, nil, 3)
end, true, 3, 1, nil, 3)

check("xpcall's handler gets the error and gives the result", function()
  return xpcall(error, function(e) return e .. " handled", "dropped" end, "e", 0)
end, false, "e handled")

check("xpcall's handler runs where the error was raised", function()
  return xpcall(chunk, function(e)
    return e .. " in " .. debug.getinfo(2, "n").name .. " and " .. debug.getinfo(3, "n").name
  end, [[
    local function inner() error("e", 0) end
    local function outer() inner() end
    outer()
  ]])
end, false, "e in error and inner")

check("xpcall with a traceback as its handler", function()
  local ok, text = xpcall(chunk, debug.traceback,
    "local function inner()\nerror('e')\nend\ninner()")
  local lines = {}
  for line in text:gmatch("[^\n]+") do lines[#lines + 1] = line:match("^%s*(.*)$") end
  return ok, lines[1], lines[2], lines[3], lines[4], (lines[5]:gsub(" in .*", ""))
end, false, "chunk:2: e", "stack traceback:", "[C]: in function 'error'",
  "chunk:2: in local 'inner'", "chunk:4:")

check("xpcall with a handler that returns nothing", function()
  return select("#", xpcall(error, function() end, "e")),
    (select(2, xpcall(error, function() end, "e")))
end, 2, nil)

check("a handler that fails", function()
  local ok, e = xpcall(error, function() error("handler") end, "e")
  return ok, e ~= nil
end, false, true)

check("a handler that fails once", function()
  local calls = 0
  local ok, e = xpcall(error, function(m)
    calls = calls + 1
    if calls == 1 then error("second", 0) end
    return m .. " handled"
  end, "first", 0)
  return ok, e, calls
end, false, "second handled", 2)

check("a handler that is no function", function()
  return pcall(chunk, "xpcall(error, nil, 'e')")
end, false, "chunk:1: bad argument #2 to 'xpcall' (function expected, got nil)")

check("xpcall without a handler", function()
  return pcall(xpcall, print)
end, false, "bad argument #2 to 'xpcall' (function expected, got no value)")

check("xpcall inside xpcall", function()
  return xpcall(function()
    local ok, e = xpcall(error, function(m) return m .. " inner" end, "a", 0)
    error(tostring(ok) .. " " .. e, 0)
  end, function(m) return m .. " outer" end)
end, false, "false a inner outer")

check("pcall inside a handler", function()
  return xpcall(error, function(m)
    local _, e = pcall(error, "nested", 0)
    return m .. " " .. e
  end, "e", 0)
end, false, "e nested")

check("error in a close method while an error unwinds", function()
  local ok, e = pcall(function()
    local x <close> = setmetatable({}, {__close = function(_, cause) error(cause .. ", then close",
      0) end})
    error("first", x and 0)
  end)
  return ok, e
end, false, "first, then close")

check("a handler sees errors of close methods too", function()
  local seen = {}
  xpcall(function()
    local x <close> = setmetatable({}, {__close = function() error("close", 0) end})
    error("body", x and 0)
  end, function(m)
    seen[#seen + 1] = m
    return m
  end)
  return seen
end, {"body", "close"})

check("an error in a for iterator", function()
  return pcall(chunk, "for _ in function() error('it') end do end")
end, false, "chunk:1: it")

check("argument errors of library functions", function()
  return select(2, pcall(chunk, "setmetatable(1)")), select(2, pcall(chunk, "rawlen(1)")),
    select(2, pcall(chunk, "rawset({}, nil, 1)")),
    select(2, pcall(chunk, "local t = setmetatable({}, {}) next(t, 1)"))
end, "chunk:1: bad argument #1 to 'setmetatable' (table expected, got number)",
  "chunk:1: bad argument #1 to 'rawlen' (table or string expected, got number)",
  "table index is nil", "invalid key to 'next'")

check("type, rawequal, rawget with bad arguments", function()
  local function m(f, ...) return (select(2, pcall(f, ...))) end
  return m(type), m(rawget, 5, 1), m(rawequal, 1)
end, "bad argument #1 to 'type' (value expected)",
  "bad argument #1 to 'rawget' (table expected, got number)",
  "bad argument #2 to 'rawequal' (value expected)")

check("names of functions in argument errors", function()
  return select(2, pcall(chunk, "local f = string.rep\nf()")),
    select(2, pcall(chunk, "local t = {f = string.rep}\nt.f()"))
end, "chunk:2: bad argument #1 to 'f' (string expected, got no value)",
  "chunk:2: bad argument #1 to 'f' (string expected, got no value)")

check("error messages name the variable", function()
  local function m(source) return (select(2, pcall(chunk, source)):gsub("^chunk:1: ", "")) end
  return m("local a = {} ; return a.b.c.d"), m("local a ; a.x = 1"), m("return (nil)()"),
    m("string.nope()"), m("local s = 'x' ; return s:nope()"), m("local t = {} ; return t.x.y")
end, "attempt to index a nil value (field 'b')", "attempt to index a nil value (local 'a')",
  "attempt to call a nil value", "attempt to call a nil value (field 'nope')",
  "attempt to call a nil value (method 'nope')", "attempt to index a nil value (field 'x')")

check("the line of an error in a multi-line expression", function()
  return select(2, pcall(chunk, "local t = {}\nlocal x = 1 +\n  t.a\n  + 2"))
end, "chunk:2: attempt to perform arithmetic on a nil value (field 'a')")

check("chunk names in messages", function()
  local function m(name) return (select(2, pcall(load("error('e')", name)))) end
  return m("=name"), m("@file.lua"), m("source text"), m("first\nsecond"), m("=" .. ("x"):rep(100))
end, "name:1: e", "file.lua:1: e", '[string "source text"]:1: e', '[string "first..."]:1: e',
  ("x"):rep(59) .. ":1: e")

check("a long file name keeps its end", function()
  local e = select(2, pcall(load("error('e')", "@" .. ("d/"):rep(60) .. "file.lua")))
  return e:match("^%.%.%.") ~= nil, e:match("file%.lua:1: e$")
end, true, "file.lua:1: e")

check("an error in a function called by a C function", function()
  return pcall(string.gsub, "x", "x", function() error({1}) end)
end, false, {1})

check("errors in each of many pcalls leave nothing behind", function()
  local n = 0
  for i = 1, 20000 do
    if not pcall(error, i) then n = n + 1 end
  end
  return n
end, 20000)

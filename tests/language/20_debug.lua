-- SPDX-License-Identifier: MIT
-- Language spec: the debug library.

local h = ...
local check, chunk = h.check, h.chunk

local function message(f, ...) return (select(2, pcall(f, ...))) end

-- Runs fn under a hook and takes the hook away again.
local function hooked(hook, mask, n, fn)
  debug.sethook(hook, mask, n)
  local ok, e = pcall(fn)
  debug.sethook()
  if not ok then error(e, 0) end
end

check("getinfo of a function", function()
  local f = load("\n\nreturn function(a, b, ...)\n  return a\nend", "=chunk")()
  local i = debug.getinfo(f)
  return i.what, i.short_src, i.source, i.linedefined, i.lastlinedefined, i.nparams, i.isvararg,
    i.nups, i.currentline, i.func == f, i.name
end, "Lua", "chunk", "=chunk", 3, 5, 2, true, 0, -1, true, nil)

check("getinfo of a main chunk", function()
  local i = debug.getinfo(load("return 1", "@file.lua"))
  return i.what, i.short_src, i.source, i.linedefined, i.nups, i.isvararg, i.nparams
end, "main", "file.lua", "@file.lua", 0, 1, true, 0)

check("getinfo of a C function", function()
  local i = debug.getinfo(string.rep)
  return i.what, i.short_src, i.source, i.linedefined, i.currentline, i.isvararg, i.nparams
end, "C", "[C]", "=[C]", -1, -1, true, 0)

check("getinfo by level", function()
  return chunk([[
    local function inner()
      local i = debug.getinfo(1, "nSl")
      local j = debug.getinfo(2, "l")
      return i.name, i.namewhat, i.currentline, i.what, j.currentline
    end
    return (function() local a, b, c, d, e = inner()
      return a, b, c, d, e end)()
  ]])
end, "inner", "upvalue", 2, "Lua", 6)

check("level 0 is getinfo itself", function()
  return debug.getinfo(0, "nS").name, debug.getinfo(0, "S").what
end, "getinfo", "C")

check("a level that does not exist", function()
  return debug.getinfo(100000)
end, nil)

check("getinfo with chosen fields", function()
  local i = debug.getinfo(1, "l")
  return i.currentline ~= nil, i.source, i.func, i.nups
end, true, nil, nil, nil)

check("getinfo with a bad option", function()
  return message(debug.getinfo, 1, "X"), message(debug.getinfo, 1, ">")
end, "bad argument #2 to 'debug.getinfo' (invalid option)",
  "bad argument #2 to 'debug.getinfo' (invalid option '>')")

check("names of called functions", function()
  return chunk([[
    local function what() local i = debug.getinfo(2, "n") return tostring(i.name) .. "/"
      .. i.namewhat end
    local out = {}
    local function lf() out[#out + 1] = what() end
    function gf() out[#out + 1] = what() end
    local t = {field = lf, method = function() out[#out + 1] = what() end}
    lf()
    gf()
    t.field()
    t:method()
    local m = setmetatable({}, {__add = lf, __index = lf, __close = lf})
    local _ = m + 1
    _ = m.x
    do local c <close> = m end
    for _ in lf do end
    gf = nil
    return table.unpack(out)
  ]])
end, "lf/local", "gf/global", "field/field", "method/method", "add/metamethod", "index/metamethod",
  "close/metamethod", "for iterator/for iterator")

check("tail calls are marked and have no name", function()
  return chunk([[
    local function callee() local i = debug.getinfo(1, "nt") return i.istailcall, i.name end
    local function caller() return callee() end
    local a, b = caller()
    local function plain() local t = debug.getinfo(1, "t").istailcall return t end
    local c = plain()
    return a, b, c
  ]])
end, true, nil, false)

check("active lines", function()
  local lines = {}
  for line in pairs(debug.getinfo(load("local a\n\nlocal b = a\nreturn b", "=c"),
    "L").activelines) do
    lines[#lines + 1] = line
  end
  table.sort(lines)
  return lines[#lines], #lines >= 3
end, 4, true)

check("getlocal by level", function()
  return chunk([[
    local a, b = 1, "two"
    do local hidden = 3 end
    local n1, v1 = debug.getlocal(1, 1)
    local n2, v2 = debug.getlocal(1, 2)
    return n1, v1, n2, v2
  ]])
end, "a", 1, "b", "two")

check("getlocal of varargs", function()
  local function f(a, ...) -- luacheck: ignore 212
    local n1, v1 = debug.getlocal(1, -1)
    local n2, v2 = debug.getlocal(1, -2)
    return a, n1, v1, n2, v2, debug.getlocal(1, -3)
  end
  return f(0, "x", "y")
end, 0, "(vararg)", "x", "(vararg)", "y", nil)

check("getlocal of a function gives its parameters", function()
  local function f(first, second, ...) return first, second, ... end
  return debug.getlocal(f, 1), debug.getlocal(f, 2), debug.getlocal(f, 3), debug.getlocal(print, 1)
end, "first", "second", nil, nil)

check("setlocal", function()
  local a = 1
  local n = debug.setlocal(1, 1, 99)
  return n, a, debug.setlocal(1, 100, 0)
end, "a", 99, nil)

check("getlocal at a level out of range", function()
  return message(debug.getlocal, 100000, 1)
end, "bad argument #1 to 'debug.getlocal' (level out of range)")

check("locals of a suspended coroutine", function()
  local co = coroutine.create(function(p)
    local q = p * 2
    coroutine.yield()
    return q
  end)
  coroutine.resume(co, 21)
  local n1, v1 = debug.getlocal(co, 1, 1)
  local n2, v2 = debug.getlocal(co, 1, 2)
  local set = debug.setlocal(co, 1, 2, "changed")
  return n1, v1, n2, v2, set, select(2, coroutine.resume(co))
end, "p", 21, "q", 42, "q", "changed")

check("getinfo of a suspended coroutine", function()
  local co = coroutine.create(load("local x\ncoroutine.yield()\n", "=chunk"))
  coroutine.resume(co)
  return debug.getinfo(co, 0, "S").what, debug.getinfo(co, 0, "n").name,
    debug.getinfo(co, 1, "l").currentline
end, "C", "yield", 2)

check("getinfo of a fresh coroutine has no level", function()
  return debug.getinfo(coroutine.create(print), 0)
end, nil)

check("upvalues", function()
  local a, b = 1, 2
  local function f() return a, b end
  local n1, v1 = debug.getupvalue(f, 1)
  local n2 = debug.setupvalue(f, 2, 20)
  return n1, v1, n2, b, debug.getupvalue(f, 3), (debug.setupvalue(f, 3, 0))
end, "a", 1, "b", 20, nil, nil)

check("upvalues of C functions have no names", function()
  return debug.getupvalue(string.gmatch("x", "x"), 1)
end, "", "x")

check("upvalueid tells shared variables", function()
  local a, b = 1, 2
  local function f() return a, b end
  local function g() return b, a end
  return debug.upvalueid(f, 1) == debug.upvalueid(g, 2),
    debug.upvalueid(f, 1) == debug.upvalueid(f, 2),
    type(debug.upvalueid(f, 1)), debug.upvalueid(f, 9)
end, true, false, "userdata", nil)

check("upvaluejoin", function()
  local a, b = 1, 2
  local function f() return a end
  local function g() return b end
  debug.upvaluejoin(f, 1, g, 1)
  b = 30
  return f(), a
end, 30, 1)

check("upvaluejoin with bad arguments", function()
  local a = 1
  local function f() return a end
  return message(debug.upvaluejoin, f, 5, f, 1), (pcall(debug.upvaluejoin, print, 1, f, 1))
end, "bad argument #2 to 'debug.upvaluejoin' (invalid upvalue index)", false)

check("getmetatable and setmetatable pass by __metatable", function()
  local t = setmetatable({}, {__metatable = "locked", x = 1})
  local m = debug.getmetatable(t)
  return m.x, debug.setmetatable(t, nil) == t, getmetatable(t)
end, 1, true, nil)

check("a metatable for numbers, nil and functions", function()
  debug.setmetatable(1, {__index = {double = function(n) return n * 2 end}})
  local a = (21):double()
  debug.setmetatable(1, nil)
  debug.setmetatable(nil, {__index = function() return "of nil" end})
  local none = nil
  local b = none.field
  debug.setmetatable(nil, nil)
  debug.setmetatable(print, {__concat = function() return "joined" end})
  local c = print .. "x"
  debug.setmetatable(print, nil)
  return a, b, c, (pcall(function() return none.field end))
end, 42, "of nil", "joined", false)

check("user values", function()
  local f <close> = io.tmpfile()
  return debug.getuservalue(f, 1), debug.getuservalue({}, 1), debug.setuservalue(f, 1, 1)
end, nil, nil, nil)

check("the registry", function()
  local r = debug.getregistry()
  return type(r), r[2] == _G, type(r[1]), r._LOADED == package.loaded, r._PRELOAD == package.preload
end, "table", true, "thread", true, true)

check("traceback with a message", function()
  return debug.traceback("hello"):match("^(hello\nstack traceback:)\n\t")
end, "hello\nstack traceback:")

check("traceback of a value that is no string", function()
  local t = {}
  return debug.traceback(t) == t, debug.traceback(nil):match("^stack traceback:"),
    debug.traceback(42):match("^42\n")
end, true, "stack traceback:", "42\n")

check("traceback from a level", function()
  local text = chunk([[
    local function a() local t = debug.traceback("m", 2) return t end
    local function b() local t = a() return t end
    local t = b()
    return t
  ]])
  return (text:match("\n(\t[^\n]*)"):gsub("^%s+", ""))
end, "chunk:2: in local 'b'")

check("traceback skips the middle of a deep stack", function()
  local text
  local function deep(n)
    if n == 0 then text = debug.traceback() else deep(n - 1) end
    return n
  end
  deep(200)
  local _, lines = text:gsub("\n", "")
  return text:find("...", 1, true) ~= nil, text:match("skipping %d+ levels") ~= nil, lines < 30
end, true, true, true)

check("traceback of a dead coroutine that returned", function()
  local co = coroutine.create(function() end)
  coroutine.resume(co)
  return debug.traceback(co)
end, "stack traceback:")

check("a line hook", function()
  local lines = {}
  local f = load("local a = 1\nlocal b = 2\nif a < b then\n  a = b\nend\nreturn a", "=chunk")
  hooked(function(event, line)
    if debug.getinfo(2, "S").source == "=chunk" then lines[#lines + 1] = event .. line end
  end, "l", nil, f)
  return lines
end, {"line1", "line2", "line3", "line4", "line6"})

check("a line hook in a loop", function()
  local n = 0
  local f = load("for i = 1, 10 do\n  local x = i\nend", "=chunk")
  hooked(function(_, line) if line == 2 and debug.getinfo(2,
    "S").source == "=chunk" then n = n + 1 end end,
    "l", nil, f)
  return n
end, 10)

check("call and return hooks", function()
  local log = {}
  local function watched() return 1 end
  hooked(function(event)
    if debug.getinfo(2, "f").func == watched then log[#log + 1] = event end
  end, "cr", nil, function()
    local x = watched()
    return watched(x)
  end)
  return log
end, {"call", "return", "tail call", "return"})

check("values transferred in call and return hooks", function()
  local log = {}
  local function watched(a, b) return a + b, "second" end
  hooked(function(event)
    local i = debug.getinfo(2, "fr")
    if i.func == watched then
      local out = {}
      for k = i.ftransfer, i.ftransfer + i.ntransfer - 1 do
        out[#out + 1] = tostring((select(2, debug.getlocal(2, k))))
      end
      log[#log + 1] = event .. ":" .. table.concat(out, ",")
    end
  end, "cr", nil, function() local x = watched(1, 2); return x end)
  return log
end, {"call:1,2", "return:3,second"})

check("a count hook", function()
  local n = 0
  hooked(function(event) if event == "count" then n = n + 1 end end, "", 100, function()
    local x = 0
    for i = 1, 10000 do x = x + i end
    return x
  end)
  return n > 100
end, true)

check("an error in a count hook ends a spinning function", function()
  local ok, e = pcall(function()
    debug.sethook(function() error("stop", 0) end, "", 1000)
    while true do end -- luacheck: ignore
  end)
  debug.sethook()
  return ok, e
end, false, "stop")

check("an error in a hook ends a coroutine that spins", function()
  local co = coroutine.create(function() while true do end end) -- luacheck: ignore
  debug.sethook(co, function() error("stop", 0) end, "", 1000)
  local ok, e = coroutine.resume(co)
  return ok, e, coroutine.status(co), debug.gethook()
end, false, "stop", "dead", nil)

check("an error in a hook may be caught inside, and the hook works again", function()
  local n = 0
  local co = coroutine.create(function()
    local out = {}
    for i = 1, 3 do
      out[i] = tostring((select(2, pcall(function() while true do end end)))) -- luacheck: ignore
    end
    return table.concat(out, " ")
  end)
  debug.sethook(co, function()
    n = n + 1
    error("stop" .. n, 0)
  end, "", 1000)
  return coroutine.resume(co)
end, true, "stop1 stop2 stop3")

check("an error in a hook after a yield", function()
  local co = coroutine.create(function()
    local ok, e = pcall(function()
      coroutine.yield("first")
      while true do end -- luacheck: ignore
    end)
    coroutine.yield(tostring(ok) .. e)
    local ok2, e2 = pcall(function() while true do end end) -- luacheck: ignore
    return ok2, e2
  end)
  local _, a = coroutine.resume(co)
  debug.sethook(co, function() error("stop", 0) end, "", 500)
  local _, b = coroutine.resume(co)
  return a, b, select(2, coroutine.resume(co))
end, "first", "falsestop", false, "stop")

check("gethook", function()
  local hook = function() end
  debug.sethook(hook, "crl", 7)
  local a, mask, n = debug.gethook()
  debug.sethook()
  return a == hook, mask, n, debug.gethook()
end, true, "crl", 7, nil)

check("a hook belongs to one coroutine", function()
  local n = 0
  local co = coroutine.create(function() local x = 1; x = x + 1; coroutine.yield(); return x end)
  debug.sethook(co, function() n = n + 1 end, "l")
  coroutine.resume(co)
  local after_co = n
  for i = 1, 10 do local _ = i end
  return after_co > 0, n == after_co, (debug.gethook())
end, true, true, nil)

check("a hook is not called in coroutines made while it is set", function()
  local inside, made = 0, nil
  hooked(function() if made and coroutine.running() == made then inside = inside + 1 end end, "l",
    nil, function()
    made = coroutine.create(function() local x = 1; return x end)
    coroutine.resume(made)
  end)
  return inside
end, 0)

check("a hook is not called inside a hook", function()
  local depth, deepest = 0, 0
  hooked(function()
    depth = depth + 1
    if depth > deepest then deepest = depth end
    local x = 0
    for i = 1, 10 do x = x + i end
    depth = depth - 1
  end, "l", nil, function() local x = 1; return x end)
  return deepest
end, 1)

check("a hook sees the hooked function's locals", function()
  local seen
  local f = load("local secret = 42\nlocal other = secret\nreturn other", "=chunk")
  hooked(function(_, line)
    if line == 2 and debug.getinfo(2, "S").source == "=chunk" then seen = select(2,
      debug.getlocal(2, 1)) end
  end, "l", nil, f)
  return seen
end, 42)

check("getinfo inside a hook calls it a hook", function()
  local what
  hooked(function() what = what or debug.getinfo(1, "n").namewhat end, "l", nil,
    function() local x = 1; return x end)
  return what
end, "hook")

check("sethook without arguments clears all", function()
  debug.sethook(function() end, "l")
  debug.sethook()
  return debug.gethook()
end, nil)

check("the library's functions", function()
  local missing = {}
  for _, name in ipairs{
    "debug", "gethook", "getinfo", "getlocal", "getmetatable", "getregistry", "getupvalue",
    "getuservalue", "sethook", "setlocal", "setmetatable", "setupvalue", "setuservalue",
    "traceback", "upvalueid", "upvaluejoin",
  } do
    if type(debug[name]) ~= "function" then missing[#missing + 1] = name end
  end
  return missing
end, {})

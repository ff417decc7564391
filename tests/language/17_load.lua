-- SPDX-License-Identifier: MIT
-- Language spec: load, loadfile, dofile, string.dump, _ENV and what the parser refuses.

local h = ...
local check, chunk = h.check, h.chunk

local function message(f, ...) return (select(2, pcall(f, ...))) end

local function with_file(text, fn)
  local name = os.tmpname()
  local f = assert(io.open(name, "wb"))
  f:write(text)
  f:close()
  local results = table.pack(pcall(fn, name))
  os.remove(name)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

check("load of text", function()
  return load("return 1 + 1")(), load("")()
end, 2)

check("load gives nil and a message", function()
  return load("x =", "=chunk")
end, nil, "chunk:1: unexpected symbol near <eof>")

check("a loaded chunk is a vararg function", function()
  return load("return select('#', ...), ...")(1, nil, 3)
end, 3, 1, nil, 3)

check("each load gives a new function", function()
  local f, g = load("n = (n or 0) + 1 return n", "=c", "t", {}), load("return 1")
  return f(), f(), f == g
end, 1, 2, false)

check("load by pieces", function()
  local pieces, i = {"return ", "1 ", "", "unused"}, 0
  return load(function() i = i + 1; return pieces[i] end)(), i
end, 1, 3)

check("load by pieces until nil", function()
  local pieces, i = {"ret", "urn", " 'x", "y'"}, 0
  return load(function() i = i + 1; return pieces[i] end, "=chunk")()
end, "xy")

check("load by single bytes", function()
  local source, i = "local t = {1, 2, 3} return #t, t[3]", 0
  return load(function()
    i = i + 1
    return i <= #source and source:sub(i, i) or nil
  end)()
end, 3, 3)

check("a reader that gives no string", function()
  local f, m = load(function() return {} end)
  return f, m:match("reader function must return a string$")
end, nil, "reader function must return a string")

check("a reader that raises", function()
  return load(function() error("reader", 0) end)
end, nil, "reader")

check("the default names of chunks", function()
  local pieces = {"error('e')"}
  return message(load("error('e')")), message(load(function() return table.remove(pieces) end))
end, "[string \"error('e')\"]:1: e", "(load):1: e")

check("load with an environment", function()
  local env = {y = 5}
  local f = load("x = y * 2 return x", "=chunk", "t", env)
  return f(), env.x, rawget(_G, "x")
end, 10, 10, nil)

check("load with nil as the environment", function()
  return pcall(load("return x", "=chunk", "t", nil))
end, false, "chunk:1: attempt to index a nil value (upvalue '_ENV')")

check("load without an environment uses the globals", function()
  return load("return _ENV")() == _G, load("return string")() == string
end, true, true)

check("a value that is no table as the environment", function()
  return load("return _ENV", "=chunk", "t", 42)()
end, 42)

check("modes", function()
  local binary = string.dump(load("return 'bin'"))
  return load(binary, "=c", "b")(), load(binary, "=c", "bt")(), load("return 't'", "=c", "t")()
end, "bin", "bin", "t")

check("modes that refuse", function()
  local binary = string.dump(load("return 1"))
  return select(2, load(binary, "=chunk", "t")), select(2, load("return 1", "=chunk", "b"))
end, "attempt to load a binary chunk (mode is 't')", "attempt to load a text chunk (mode is 'b')")

check("load of a non-chunk", function()
  return message(chunk, "load{}"), message(chunk, "load()")
end, "chunk:1: bad argument #1 to 'load' (function expected, got table)",
  "chunk:1: bad argument #1 to 'load' (function expected, got no value)")

check("dump and load", function()
  local f = load(string.dump(function(a, b) return a * b, "text", 1.5, nil, true end))
  return f(6, 7)
end, 42, "text", 1.5, nil, true)

check("dump of every kind of constant", function()
  local long = ("long "):rep(60)
  local source = "return 1, -1, 2.5, math.maxinteger, 1e300, 'a\\0b', '" .. long
    .. "', nil, true, false"
  local a, b = {load(source)()}, {load(string.dump(load(source)))()}
  return h.show(a) == h.show(b), #a
end, true, 10)

check("dump of nested functions", function()
  local f = load(string.dump(load([[
    local function make(n) return function(m) n = n + m; return n end end
    local c = make(10)
    c(1)
    return c(2)
  ]])))
  return f()
end, 13)

check("dumped upvalues are fresh", function()
  local n = 5
  local f = load(string.dump(function() return n end))
  return f() == n, f() == _G
end, false, true)

check("dump with several upvalues", function()
  local a, b = 1, 2
  local f = load(string.dump(function() return a, b end))
  local x, y = f()
  return x == _G, y
end, true, nil)

check("a stripped dump has no names and no lines", function()
  local source = "local x\nlocal y = x.z\nreturn y"
  local f = load(string.dump(load(source, "=chunk"), true))
  local g = load(string.dump(load(source, "=chunk")))
  return #string.dump(load(source, "=chunk"), true) < #string.dump(load(source, "=chunk")),
    message(f):match("attempt to index a nil value"), message(g)
end, true, "attempt to index a nil value", "chunk:2: attempt to index a nil value (local 'x')")

check("dump of a C function", function()
  return message(string.dump, print), message(string.dump, {})
end, "unable to dump given function",
  "bad argument #1 to 'string.dump' (function expected, got table)")

check("a dump starts with the escape character", function()
  return string.dump(function() end):sub(1, 4)
end, "\27Lua")

check("a truncated dump", function()
  local binary = string.dump(load("return 'something'", "=chunk"))
  local refused = 0
  for i = 1, #binary - 1 do
    if not load(binary:sub(1, i), "=cut", "b") then refused = refused + 1 end
  end
  return refused == #binary - 1, select(2, load(binary:sub(1, 10), "=cut", "b"))
end, true, "cut: bad binary format (truncated chunk)")

check("a dump of another version", function()
  local binary = string.dump(load("return 1"))
  local other = binary:sub(1, 4) .. "\x53" .. binary:sub(6)
  return load(other, "=other", "b")
end, nil, "other: bad binary format (version mismatch)")

check("a dump read by pieces", function()
  local binary, i = string.dump(load("return 'pieces'")), 0
  return load(function()
    i = i + 1
    return i <= #binary and binary:sub(i, i) or nil
  end, "=c", "b")()
end, "pieces")

check("loadfile and dofile", function()
  return with_file("local a = ... return a, 'file'", function(name)
    local a, b = loadfile(name)("x")
    local c, d = dofile(name)
    return a, b, c, d
  end)
end, "x", "file", nil, "file")

check("loadfile skips a first line with #", function()
  return with_file("#!/usr/bin/lua\nreturn debug.getinfo(1, 'l').currentline", function(name)
    return loadfile(name)()
  end)
end, 2)

check("loadfile skips a byte order mark", function()
  return with_file("\xEF\xBB\xBFreturn 'bom'", function(name) return dofile(name) end)
end, "bom")

check("loadfile of a binary chunk, also after a # line", function()
  local binary = string.dump(load("return 'bin'"))
  return with_file(binary, dofile), with_file("# comment\n" .. binary, dofile),
    with_file(binary, function(name) return select(2, loadfile(name, "t")) ~= nil end)
end, "bin", "bin", true)

check("loadfile with an environment", function()
  return with_file("return value", function(name) return loadfile(name, "t", {value = 7})() end)
end, 7)

check("loadfile of no such file", function()
  return loadfile("/no/such/file.lua")
end, nil, "cannot open /no/such/file.lua: No such file or directory")

check("dofile of no such file", function()
  return pcall(dofile, "/no/such/file.lua")
end, false, "cannot open /no/such/file.lua: No such file or directory")

check("dofile of a file with a syntax error", function()
  return with_file("return return", function(name)
    local ok, m = pcall(dofile, name)
    return ok, m:match(":1: .*")
  end)
end, false, ":1: unexpected symbol near 'return'")

check("a local _ENV", function()
  local function f()
    local _ENV = {x = "local env"} -- luacheck: ignore 211
    return x -- luacheck: ignore 113
  end
  return f()
end, "local env")

check("_ENV as a parameter", function()
  local function f(_ENV) return x, y end -- luacheck: ignore 113 212
  return f{x = 1, y = 2}
end, 1, 2)

check("_ENV may be changed by assignment", function()
  return load([[
    local print0 = x
    _ENV = {x = 2}
    return print0, x
  ]], "=chunk", "t", {x = 1})()
end, 1, 2)

check("globals are fields of _G", function()
  return load("language_global = 3 return _G.language_global, rawget(_G, 'language_global')")(),
    (function() _G.language_global = nil; return load("return language_global")() end)()
end, 3, nil)

local function rejected(name, source, part)
  check("refused: " .. name, function()
    local f, m = load(source, "=chunk")
    return f, m:find(part, 1, true) and part or m
  end, nil, part)
end

rejected("an expression as a statement", "1 + 1", "chunk:1: unexpected symbol near '1'")
rejected("a missing end", "if x then\n\n",
  "chunk:3: 'end' expected (to close 'if' at line 1) near <eof>")
rejected("a missing parenthesis", "print((1)\n",
  "chunk:2: ')' expected (to close '(' at line 1) near <eof>")
rejected("an unfinished string", "x = 'abc", "chunk:1: unfinished string near ")
rejected("a newline in a string", "x = 'abc\n'", "chunk:1: unfinished string near ''abc'")
rejected("an unfinished long string", "x = [[abc\n",
  "unfinished long string (starting at line 1) near")
rejected("an unfinished comment", "--[[ abc", "unfinished long comment (starting at line 1) near")
rejected("assignment to a call", "f() = 1", "chunk:1: syntax error near '='")
rejected("a reserved word as a name", "local end = 1", "chunk:1: <name> expected near 'end'")
rejected("a stray symbol", "x = @", "chunk:1: unexpected symbol near '@'")
rejected("a control character", "x = \1", "unexpected symbol near '<\\1>'")
rejected("a missing then", "if x print() end", "chunk:1: 'then' expected near 'print'")
rejected("a statement after return", "return 1 print()", "chunk:1: <eof> expected near 'print'")
rejected("a numeric for without a limit", "for i = 1 do end", "chunk:1: ',' expected near 'do'")
rejected("a function name with a keyword", "function a.end() end",
  "chunk:1: <name> expected near 'end'")
rejected("a table without a comma", "x = {1 2}", "chunk:1: '}' expected near '2'")
rejected("an invalid long bracket", "x = [=abc", "invalid long string delimiter near '[=")
rejected("parentheses nested too deep", ("("):rep(250) .. "1" .. (")"):rep(250), "overflow")

check("comments of all forms", function()
  return chunk("-- line\n--[[ long\n]] local a = 1 --[==[ level ]] ]==]\n--[ not long\nreturn a")
end, 1)

check("semicolons and empty statements", function()
  return chunk(";;; local a = 1; ; return a;")
end, 1)

check("ambiguous calls are calls", function()
  return chunk("local f = function() return tostring end\nlocal a = f()\n(5)\nreturn a")
end, "5")

check("a chunk with many functions and constants", function()
  local parts = {"local t = {}"}
  for i = 1, 3000 do parts[#parts + 1] = ("t[%d] = function() return %d + 0.5 end"):format(i, i) end
  parts[#parts + 1] = "return #t, t[3000]()"
  return load(table.concat(parts, "\n"))()
end, 3000, 3000.5)

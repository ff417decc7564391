-- SPDX-License-Identifier: MIT
-- Language spec: what needs a process of its own: exit, the end of a script, standard files, warn.

local h = ...
local check = h.check

local function quote(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

-- Runs the interpreter on `source` with `args`, `input` on its standard input; gives the output of
-- the whole and the exit status.
local function run(source, o)
  o = o or {}
  local name = os.tmpname()
  local f = assert(io.open(name, "w"))
  f:write(source)
  f:close()
  local parts = {h.interpreter, o.options or "", quote(name)}
  for _, a in ipairs(o.args or {}) do parts[#parts + 1] = quote(a) end
  local command = table.concat(parts, " ") .. " 2>&1"
  if o.input then command = "printf %s " .. quote(o.input) .. " | " .. command
  else command = command .. " </dev/null" end
  local p = assert(io.popen(command))
  local text = p:read("a")
  local _, how, code = p:close()
  os.remove(name)
  return text:gsub(name:gsub("%p", "%%%0"), "SCRIPT"), how .. " " .. code
end

-- The same, but what is printed must have `part` in it.
local function run_for(part, source, o)
  local text, status = run(source, o)
  return text:find(part, 1, true) and part or text, status
end

check("print and the exit status of a normal end", function()
  return run("print('a', 1, 2.0, nil, true) print()")
end, "a\t1\t2.0\tnil\ttrue\n\n", "exit 0")

check("an uncaught error", function()
  return run_for("boom", "error('boom')")
end, "boom", "exit 1")

check("an uncaught error has its position", function()
  return run_for("SCRIPT:3: boom", "\n\nerror('boom')")
end, "SCRIPT:3: boom", "exit 1")

check("an uncaught error object with __tostring", function()
  return run_for("as text", [[
    error(setmetatable({}, {__tostring = function() return "as text" end}))
  ]])
end, "as text", "exit 1")

check("an uncaught error object without __tostring", function()
  return run_for("(error object is a table value)", "error({})")
end, "(error object is a table value)", "exit 1")

check("an uncaught error has a traceback", function()
  return run_for("in function 'fail'", "function fail() error('boom') end\nfail()")
end, "in function 'fail'", "exit 1")

check("a syntax error", function()
  return run_for("SCRIPT:2: unexpected symbol near", "\nx = = 1")
end, "SCRIPT:2: unexpected symbol near", "exit 1")

check("os.exit with a number", function()
  return run("print('before') os.exit(7) print('after')")
end, "before\n", "exit 7")

check("os.exit with true, false and nothing", function()
  return select(2, run("os.exit(true)")), select(2, run("os.exit(false)")),
    select(2, run("os.exit()"))
end, "exit 0", "exit 1", "exit 0")

check("os.exit flushes what was written", function()
  return run("io.write('no newline') os.exit(0)")
end, "no newline", "exit 0")

check("os.exit does not run finalisers", function()
  return run("setmetatable({}, {__gc = function() print('gc') end}) os.exit(0)")
end, "", "exit 0")

check("os.exit that closes the state runs finalisers", function()
  return run("setmetatable({}, {__gc = function() print('gc') end}) os.exit(5, true)")
end, "gc\n", "exit 5")

check("os.exit inside a coroutine and inside pcall", function()
  return select(2, run("coroutine.wrap(function() os.exit(3) end)()")),
    select(2, run("pcall(os.exit, 4)"))
end, "exit 3", "exit 4")

check("finalisers run at the end, the last marked first", function()
  return run([[
    for i = 1, 3 do _G["keep" .. i] = setmetatable({}, {__gc = function() print("gc", i) end}) end
    print("end")
  ]])
end, "end\ngc\t3\ngc\t2\ngc\t1\n", "exit 0")

check("close variables of the main chunk close at its end", function()
  return run([[
    local x <close> = setmetatable({}, {__close = function() print("closed") end})
    print("end", type(x))
  ]])
end, "end\ttable\nclosed\n", "exit 0")

check("close variables of the main chunk close by an error", function()
  return run_for("closed boom\n", [[
    local x <close> = setmetatable({}, {__close = function(_, e) print("closed " .. e) end})
    error("boom", x and 0)
  ]])
end, "closed boom\n", "exit 1")

check("arguments of a script", function()
  return run("print(#arg, arg[1], arg[2], select('#', ...), ...)", {args = {"one", "two words"}})
end, "2\tone\ttwo words\t2\tone\ttwo words\n", "exit 0")

check("arg[0] is the script, the interpreter is before it", function()
  return run("print(arg[0], type(arg[-1]))")
end, "SCRIPT\tstring\n", "exit 0")

check("-e runs before the script", function()
  return run("print('script')", {options = "-e " .. quote("print('option')")})
end, "option\nscript\n", "exit 0")

check("io.read from standard input", function()
  return run("print(io.read('n', 'l', 'L', 'a'))", {input = "42 rest\nline\nthe\nend"})
end, "42\t rest\tline\n\tthe\nend\n", "exit 0")

check("io.lines of standard input", function()
  return run("local n = 0 for l in io.lines() do n = n + 1 io.write(n, l, ' ') end",
    {input = "a\nb\nc"})
end, "1a 2b 3c ", "exit 0")

check("reading at the end of standard input", function()
  return run("print(io.read(), io.read('n'), io.read(0), io.read('a'))")
end, "nil\tnil\tnil\t\n", "exit 0")

check("standard error and output", function()
  return run("io.stderr:write('to stderr\\n') io.stdout:write('to stdout\\n')")
end, "to stderr\nto stdout\n", "exit 0")

check("a first line with # is skipped", function()
  return run("#!/usr/bin/env lua\nprint(debug.getinfo(1, 'l').currentline)")
end, "2\n", "exit 0")

check("a script of bytecode", function()
  return run(string.dump(load("print('bytecode', ...)")), {args = {"x"}})
end, "bytecode\tx\n", "exit 0")

check("warn when it is on", function()
  return run("warn('@on') warn('careful')")
end, "Lua warning: careful\n", "exit 0")

check("warn joins its arguments", function()
  return run("warn('@on') warn('a', 'b', 'c') warn('d')")
end, "Lua warning: abc\nLua warning: d\n", "exit 0")

check("warn with numbers", function()
  return run("warn('@on') warn(1, 2.5)")
end, "Lua warning: 12.5\n", "exit 0")

check("warn after it was turned off and on", function()
  return run("warn('@on') warn('1') warn('@off') warn('2') warn('@on') warn('3')")
end, "Lua warning: 1\nLua warning: 3\n", "exit 0")

check("warn ignores unknown control messages", function()
  return run("warn('@on') warn('@unknown') warn('shown')")
end, "Lua warning: shown\n", "exit 0")

check("a message in pieces is no control message", function()
  return run("warn('@on') warn('@', 'off') warn('still on')")
end, "Lua warning: @off\nLua warning: still on\n", "exit 0")

check("warn gives nothing and wants strings", function()
  return run([[
    warn("@off")
    print(select("#", warn("x")), pcall(warn))
    print(select(2, pcall(warn, "x", {})))
    print(select(2, pcall(load("warn(nil)", "=chunk"))))
  ]])
end, "0\tfalse\tbad argument #1 to 'warn' (string expected, got no value)\n"
  .. "bad argument #2 to 'warn' (string expected, got table)\n"
  .. "chunk:1: bad argument #1 to 'warn' (string expected, got nil)\n", "exit 0")

check("an error in a finaliser is a warning", function()
  return run([[
    warn("@on")
    setmetatable({}, {__gc = function() error("lost", 0) end})
    collectgarbage()
    print("goes on")
  ]])
end, "Lua warning: error in __gc (lost)\ngoes on\n", "exit 0")

check("print uses __tostring and __name", function()
  return run([[
    print(setmetatable({}, {__tostring = function() return "mine" end}))
    print((tostring(setmetatable({}, {__name = "kind"})):gsub("0x%x+", "ADDRESS")))
  ]])
end, "mine\nkind: ADDRESS\n", "exit 0")

check("print of a value whose __tostring fails", function()
  return run("print(pcall(print, setmetatable({}, {__tostring = function() error('bad', 0) end})))")
end, "false\tbad\n", "exit 0")

check("the locale does not come from the environment", function()
  return run("print(os.setlocale(), 1.5, ('%.1f'):format(2.5))")
end, "C\t1.5\t2.5\n", "exit 0")

check("the globals", function()
  local text = run([[
    local names = {}
    for name in pairs(_G) do names[#names + 1] = name end
    table.sort(names)
    print(table.concat(names, " "))
  ]])
  return text
end, "_G _VERSION arg assert collectgarbage coroutine debug dofile error getmetatable io ipairs"
  .. " load loadfile math next os package pairs pcall print rawequal rawget rawlen rawset require"
  .. " select setmetatable string table tonumber tostring type utf8 warn xpcall\n")

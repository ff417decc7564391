-- SPDX-License-Identifier: MIT
-- Language spec: require, the searchers and the package library.

local h = ...
local check, chunk = h.check, h.chunk

local function message(f, ...) return (select(2, pcall(f, ...))) end

-- Calls fn in a fresh folder that alone is searched for Lua modules; undoes all changes.
local function in_folder(files, fn)
  local dir = os.tmpname()
  os.remove(dir)
  assert(os.execute("mkdir '" .. dir .. "'"))
  for name, text in pairs(files) do
    local f = assert(io.open(dir .. "/" .. name, "w"))
    f:write(text)
    f:close()
  end
  local path, cpath, preload = package.path, package.cpath, {}
  local loaded = {}
  for k in pairs(package.loaded) do loaded[k] = true end
  for k in pairs(package.preload) do preload[k] = true end
  package.path, package.cpath = dir .. "/?.lua", dir .. "/?.so"
  local results = table.pack(pcall(fn, dir))
  package.path, package.cpath = path, cpath
  for k in pairs(package.loaded) do if not loaded[k] then package.loaded[k] = nil end end
  for k in pairs(package.preload) do if not preload[k] then package.preload[k] = nil end end
  os.execute("rm -r '" .. dir .. "'")
  if not results[1] then error(results[2], 0) end
  for i = 2, results.n do
    if type(results[i]) == "string" then
      results[i] = results[i]:gsub(dir:gsub("%p", "%%%0"), "DIR")
    end
  end
  return table.unpack(results, 2, results.n)
end

check("require gives the module and where it was found", function()
  return in_folder({["m.lua"] = "return {name = ..., file = select(2, ...)}"}, function(dir)
    local m, where = require("m")
    return m.name, m.file == where, where, where == dir .. "/m.lua"
  end)
end, "m", true, "DIR/m.lua", true)

check("require runs a module once", function()
  return in_folder({["m.lua"] = "count = (count or 0) + 1 return {}"}, function()
    local a, b = require("m"), require("m")
    local n = _G.count
    _G.count = nil
    return a == b, n, package.loaded.m == a
  end)
end, true, 1, true)

check("the second require gives the value alone", function()
  return in_folder({["m.lua"] = "return 5"}, function()
    require("m")
    return select("#", require("m")), (require("m"))
  end)
end, 1, 5)

check("a module that returns nothing is true", function()
  return in_folder({["m.lua"] = "local x = 1"}, function()
    return (require("m")), package.loaded.m
  end)
end, true, true)

check("a module that returns false is loaded again", function()
  return in_folder({["m.lua"] = "count = (count or 0) + 1 return false"}, function()
    local a = require("m")
    local stored = package.loaded.m
    require("m")
    local n = _G.count
    _G.count = nil
    return a, stored, n
  end)
end, false, false, 2)

check("a module that sets package.loaded itself", function()
  return in_folder({["m.lua"] = "package.loaded[...] = 'own'"}, function()
    return (require("m"))
  end)
end, "own")

check("a module's result wins over what it set", function()
  return in_folder({["m.lua"] = "package.loaded[...] = 'own' return 'result'"}, function()
    return (require("m")), package.loaded.m
  end)
end, "result", "result")

check("clearing package.loaded loads again", function()
  return in_folder({["m.lua"] = "return {}"}, function()
    local a = require("m")
    package.loaded.m = nil
    return require("m") == a
  end)
end, false)

check("dots become folders", function()
  return in_folder({["a.lua"] = "return 'a'"}, function(dir)
    os.execute("mkdir '" .. dir .. "/sub'")
    local f = io.open(dir .. "/sub/b.lua", "w")
    f:write("return ...")
    f:close()
    local m, where = require("sub.b")
    return m, where
  end)
end, "sub.b", "DIR/sub/b.lua")

check("a module that requires another", function()
  return in_folder({["a.lua"] = "return 'a' .. require('b')", ["b.lua"] = "return 'b'"}, function()
    return (require("a"))
  end)
end, "ab")

check("a module that is not found", function()
  return in_folder({}, function() return pcall(require, "nope") end)
end, false, "module 'nope' not found:\n\tno field package.preload['nope']\n\tno file 'DIR/nope.lua'"
  .. "\n\tno file 'DIR/nope.so'")

check("a dotted module that is not found", function()
  return in_folder({}, function() return pcall(require, "no.pe") end)
end, false, "module 'no.pe' not found:\n\tno field package.preload['no.pe']"
  .. "\n\tno file 'DIR/no/pe.lua'\n\tno file 'DIR/no/pe.so'\n\tno file 'DIR/no.so'")

check("a missing module has the caller's position", function()
  return in_folder({}, function()
    return (message(chunk, "\nrequire('nope')"):match("^[^\n]*"))
  end)
end, "chunk:2: module 'nope' not found:")

check("a module with a syntax error", function()
  return in_folder({["bad.lua"] = "return return"}, function()
    return message(chunk, "require('bad')")
  end)
end, "error loading module 'bad' from file 'DIR/bad.lua':\n\t"
  .. "DIR/bad.lua:1: unexpected symbol near 'return'")

check("a module that fails", function()
  return in_folder({["bad.lua"] = "\nerror('top level')"}, function()
    local a, b = message(chunk, "require('bad')"), package.loaded.bad
    return a, b, message(require, "bad")
  end)
end, "DIR/bad.lua:2: top level", nil, "DIR/bad.lua:2: top level")

check("a module that fails with a table", function()
  return in_folder({["bad.lua"] = "error({code = 5})"}, function()
    return message(require, "bad")
  end)
end, {code = 5})

check("a failed module may be required again", function()
  return in_folder({["m.lua"] = "if not ready then error('not yet', 0) end return 'ready'"},
    function()
    local first = message(require, "m")
    _G.ready = true
    local second = require("m")
    _G.ready = nil
    return first, second
  end)
end, "not yet", "ready")

check("a C module that is no library", function()
  return in_folder({["bad.so"] = "not a library"}, function()
    local m = message(require, "bad")
    return (m:match("^(.-:)\n\t")), m:find("bad.so", 1, true) ~= nil
  end)
end, "error loading module 'bad' from file 'DIR/bad.so':", true)

check("preload comes first", function()
  return in_folder({["m.lua"] = "return 'file'"}, function()
    package.preload.m = function(...) return {n = select("#", ...), ...} end
    local m, where = require("m")
    return m, where
  end)
end, {"m", ":preload:", n = 2}, ":preload:")

check("a searcher of one's own", function()
  return in_folder({}, function()
    table.insert(package.searchers, 2, function(name)
      if name == "made.up" then
        return function(...) return {...} end, "extra"
      end
      return "\n\tnot made up"
    end)
    local m, where = require("made.up")
    local missing = message(require, "other")
    table.remove(package.searchers, 2)
    return m, where, missing:find("not made up", 1, true) ~= nil
  end)
end, {"made.up", "extra"}, "extra", true)

check("a searcher that gives nothing is passed over", function()
  return in_folder({["m.lua"] = "return 'file'"}, function()
    table.insert(package.searchers, 1, function() end)
    local m = require("m")
    table.remove(package.searchers, 1)
    return m
  end)
end, "file")

check("a searcher that gives a loader without data", function()
  return in_folder({}, function()
    table.insert(package.searchers, 1, function() return function(...) return select("#",
      ...) end end)
    local m, where = require("m")
    table.remove(package.searchers, 1)
    return m, where
  end)
end, 2, nil)

check("a searcher that raises", function()
  return in_folder({}, function()
    table.insert(package.searchers, 1, function() error("searcher", 0) end)
    local m = message(require, "m")
    table.remove(package.searchers, 1)
    return m
  end)
end, "searcher")

check("four searchers", function()
  return #package.searchers, type(package.searchers[1]), type(package.searchers[4])
end, 4, "function", "function")

check("searchers called by hand", function()
  return in_folder({["m.lua"] = "return 1"}, function()
    package.preload.p = print
    local f, where = package.searchers[1]("p")
    local g, file = package.searchers[2]("m")
    return f == print, where, type(g), file, package.searchers[2]("none")
  end)
end, true, ":preload:", "function", "DIR/m.lua", "no file 'DIR/none.lua'")

check("package.searchers must be a table", function()
  local searchers = package.searchers
  package.searchers = nil
  local m = message(require, "no.such.module.here")
  package.searchers = searchers
  return m
end, "'package.searchers' must be a table")

check("package.path must be a string", function()
  local path = package.path
  package.path = nil
  local m = message(require, "no.such.module.here")
  package.path = path
  return m
end, "'package.path' must be a string")

check("require of a non-string", function()
  return message(chunk, "require()"), message(chunk, "require{}"), message(require, nil)
end, "chunk:1: bad argument #1 to 'require' (string expected, got no value)",
  "chunk:1: bad argument #1 to 'require' (string expected, got table)",
  "bad argument #1 to 'require' (string expected, got nil)")

check("require of a number", function()
  return in_folder({["7.lua"] = "return type(...)"}, function() return (require(7)) end)
end, "string")

check("searchpath", function()
  return in_folder({["m.lua"] = ""}, function(dir)
    return package.searchpath("m", dir .. "/?.lua"), package.searchpath("a.b", "?;?.x"),
      package.searchpath("a-b", "./?.none", "-", "+")
  end)
end, "DIR/m.lua", nil, nil, "no file './a+b.none'")

check("searchpath's message lists every file", function()
  return select(2, package.searchpath("a.b", "?;x/?.lua"))
end, "no file 'a/b'\n\tno file 'x/a/b.lua'")

check("package.config", function()
  return package.config
end, "/\n;\n?\n!\n-\n")

check("the standard libraries are loaded", function()
  local missing = {}
  for _, name in ipairs{"coroutine", "debug", "io", "math", "os", "package", "string", "table",
    "utf8"} do
    if package.loaded[name] ~= _G[name] or require(name) ~= _G[name] then
      missing[#missing + 1] = name
    end
  end
  return missing, package.loaded._G == _G, require("_G") == _G
end, {}, true, true)

check("loadlib of no such file", function()
  local f, m, where = package.loadlib("/no/such/lib.so", "luaopen_x")
  return f, type(m), where
end, nil, "string", "open")

check("require works inside a coroutine", function()
  return in_folder({["m.lua"] = "return coroutine.running()"}, function()
    local co, inside
    co = coroutine.create(function() inside = require("m") end)
    assert(coroutine.resume(co))
    return inside == co
  end)
end, true)

check("a module that uses coroutines at its top level", function()
  return in_folder({["m.lua"] = [[
    local sum = 0
    for v in coroutine.wrap(function() for i = 1,
      4 do coroutine.yield(i) end end) do sum = sum + v end
    return sum
  ]]}, function() return (require("m")) end)
end, 10)

check("a module with close variables at its top level", function()
  return in_folder({["m.lua"] = [[
    local log = {}
    do
      local x <close> = setmetatable({}, {__close = function() log[1] = "closed" end})
    end
    return log
  ]]}, function() return require("m")[1] end)
end, "closed")

check("a module whose top level is caught by pcall", function()
  return in_folder({["m.lua"] = "local ok, e = pcall(require, 'missing') return {ok, type(e)}"},
    function()
    return (require("m"))
  end)
end, {false, "string"})

check("a module's top level is a main chunk", function()
  return in_folder({["m.lua"] = [[
    local info = debug.getinfo(1, "Sl")
    return {info.what, info.currentline}
  ]]}, function() return (require("m")) end)
end, {"main", 1})

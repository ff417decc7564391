-- SPDX-License-Identifier: MIT
-- `corun build`: one executable of a script and the Lua modules that it requires. It is a copy of a
-- program with the sources appended, and with the slot among its constants filled in that says
-- where they are (src/core/bundle.h). Embedded, loaded by the program alone; gives the function
-- that does it: exit status 0, 1 when something is wrong with a module or a file, 2 for a wrong
-- command line.
local bundle = require "corun.bundle"
local corun = require "corun"
local scan = require "corun.build_scan"

local fs = corun.fs

local SPEC = {
  "SCRIPT",
  output = {type = "string", short = "o", value = "APP",
    help = "the executable (default: the script's name without .lua)"},
  include = {many = true, type = "string", value = "MODULE",
    help = "take in a module whose name is computed"},
  exclude = {many = true, type = "string", value = "MODULE", help = "leave a module outside"},
  program = {type = "string", value = "FILE",
    help = "the corun to copy, also of another machine (default: the one that runs)"},
  help = "Make one executable of a script and the Lua modules that it requires.",
}

local function say(message, ...)
  io.stderr:write("corun build: ", message:format(...), "\n")
end

local FAILED = {} -- marks the end of a build whose reason was told

local function fail(message, ...)
  say(message, ...)
  error(FAILED, 0)
end

-- Modules ---------------------------------------------------------------------------------------

local STANDARD = {}
for name in ("_G package coroutine table io os string math utf8 debug"):gmatch("%S+") do
  STANDARD[name] = true
end

local function is_built_in(name)
  if STANDARD[name] then return true end
  local _, where = package.searchers[1](name)
  return where == ":corun:"
end

-- The source, without what only luaL_loadfile knows: a mark of UTF-8, a first line for the shell.
local function read_source(path)
  local text, err = fs.read(path)
  if not text then fail("%s", err) end
  if text:sub(1, 1) == "\27" then fail("%s is bytecode: its source is needed", path) end
  text = text:gsub("^\xEF\xBB\xBF", ""):gsub("^#[^\n]*", "")
  local ok, why = load(text, "@" .. path, "t")
  if not ok then fail("%s", why) end
  return text
end

-- The file of a C module: its own, or that of its outermost name, as Lua's searchers look for it.
local function find_c(name)
  local path = package.searchpath(name, package.cpath)
  if not path and name:find(".", 1, true) then
    path = package.searchpath(name:match("^[^.]*"), package.cpath)
  end
  return path
end

local function add(build, name, path)
  local source = read_source(path)
  build.entries[#build.entries + 1] = string.pack("<s4s4s4", name, "@" .. path, source)
  build.queue[#build.queue + 1] = {path = path, calls = scan(source)}
end

-- Take in the module that is required at `where`, if it can be.
local function take(build, name, where, is_optional)
  if build.seen[name] or is_built_in(name) then return end
  build.seen[name] = true
  local path, tried = package.searchpath(name, package.path)
  if path then return add(build, name, path) end
  local c = find_c(name)
  if c then
    say("%s: '%s' is a C module (%s): it is left outside, and looked for in package.cpath when the "
      .. "program runs", where, name, c)
  elseif not is_optional then
    fail("%s: module '%s' not found:\n\t%s\n(--exclude=%s leaves it outside)", where, name, tried,
      name)
  end
end

local function take_required(build, chunk)
  for _, call in ipairs(chunk.calls) do
    local where = ("%s:%d"):format(chunk.path, call.line)
    if call.name then
      take(build, call.name, where, call.optional)
    else
      say("%s: the name of a module is computed: --include=MODULE takes it in", where)
    end
  end
end

-- The script and all modules that go into the program, packed.
local function collect(o)
  local build = {entries = {}, queue = {}, seen = {}}
  for _, name in ipairs(o.exclude) do build.seen[name] = true end
  add(build, "", o.script)
  for _, name in ipairs(o.include) do
    local path, tried = package.searchpath(name, package.path)
    if not path and is_built_in(name) then fail("--include=%s: it is in every corun", name) end
    if not path and find_c(name) then
      fail("--include=%s: it is a C module (%s), which cannot be part of the program", name,
        find_c(name))
    elseif not path then
      fail("--include=%s: module not found:\n\t%s", name, tried)
    end
    if not build.seen[name] then
      build.seen[name] = true
      add(build, name, path)
    end
  end
  for _, chunk in ipairs(build.queue) do take_required(build, chunk) end
  return table.concat(build.entries), #build.entries - 1
end

-- The program -----------------------------------------------------------------------------------

-- A program without a script, and where its slot is.
local function read_program(path)
  local text, err = fs.read(path)
  if not text then fail("%s", err) end
  local at = text:find(bundle.mark(), 1, true)
  if not at or at + bundle.size - 1 > #text then fail("%s is no corun that can be copied", path) end
  local last = bundle.end_of(text:sub(at, at + bundle.size - 1)) or #text
  text = text:sub(1, last)
  if text:find(bundle.mark(), at + 1, true) then fail("%s has more than one slot", path) end
  return text, at
end

local function is_same(a, b)
  a, b = fs.realpath(a), fs.realpath(b)
  return a ~= nil and a == b
end

local function name_output(o)
  local out = o.output or o.script:match("([^/]+)%.lua$")
  if not out then fail("%s does not end in .lua: -o says how to call the program", o.script) end
  if is_same(out, o.script) then fail("%s is the script itself", out) end
  return out
end

local function build(o)
  local out = name_output(o)
  local entries, modules = collect(o)
  local text, at = read_program(o.program or (require("corun.poolcore").program()))
  local slot = bundle.seal(#text, entries)
  text = text:sub(1, at - 1) .. slot .. text:sub(at + #slot) .. entries
  local ok, err = fs.write(out, text, {atomic = true, mode = "755"})
  if not ok then fail("%s", err) end
  print(("%s: %s and %d module%s, %.1f MB"):format(out, o.script, modules,
    modules == 1 and "" or "s", #text / 1e6))
end

---Build the program that the command line describes.
---@param ... string the arguments after `corun build`
return function(...)
  local o = corun.args(SPEC, {argv = {...}, name = "corun build"})
  local ok, err = pcall(build, o)
  if ok then return end
  if err ~= FAILED then error(err, 0) end
  corun.exit(1)
end

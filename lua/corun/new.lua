-- SPDX-License-Identifier: MIT
-- `corun new ext NAME`: begins an extension in C with the files of examples/ext-hello, under
-- another name. Embedded, loaded by the program alone; gives the function that does it: exit status
-- 0, 1 when a file cannot be written, 2 for a wrong command line and for files that are there.
local corun = require "corun"
local options = require "corun.options"

local fs = corun.fs

local SPEC = {
  "KIND", "NAME", "[FOLDER]",
  help = {
    "Begin an extension: a folder with its source, a test and what CMake needs.",
    KIND = "what to begin: ext, an extension in C",
    NAME = "what scripts will require: letters, digits and _",
    FOLDER = "where the files go (default: NAME)",
  },
}
local EXAMPLE = "hello" -- the name that is replaced

-- Names that mean something else: to Lua, to CMake, to a require beside the scripts.
local TAKEN = {}
for name in ([[and break do else elseif end false for function goto if in local nil not or repeat
  return then true until while all clean edit_cache help install package package_source
  preinstall rebuild_cache test try ALL_BUILD INSTALL PACKAGE RUN_TESTS ZERO_CHECK]])
  :gmatch("%S+") do
  TAKEN[name] = true
end

local function refuse(status, message, ...)
  io.stderr:write("corun new: ", message:format(...), "\n")
  corun.exit(status)
end

-- Why an extension cannot be called so; nil if it can.
local function check_name(name)
  if not name:find("^%a[%w_]*$") then
    return "it must be letters, digits and _, and begin with a letter"
  elseif TAKEN[name] or _G[name] ~= nil or package.loaded[name] or package.preload[name] then
    return "the name is taken"
  elseif select(2, package.searchers[1](name)) == ":corun:" then
    return "the name is taken by a module of corun"
  end
end

-- The files of the skeleton, under their new names; nil when a script of it has a local of that
-- name, which would hide the module.
local function skeleton(name)
  local files, names = {}, {}
  for path, text in pairs(require("corun.skeleton")) do
    if text:find("%f[%w]local " .. name .. "%f[^%w_]") then return nil end
    path = path:gsub(EXAMPLE, name)
    files[path] = text:gsub(EXAMPLE, name)
    names[#names + 1] = path
  end
  table.sort(names)
  return files, names
end

-- The first of the files that is there already; nil when none is.
local function find_present(folder, names)
  for _, path in ipairs(names) do
    if fs.stat(folder .. "/" .. path, {follow = false}) then return folder .. "/" .. path end
  end
end

-- Write all of them, or none.
local function write(folder, files, names)
  local is_new = not fs.stat(folder)
  local ok, err = fs.mkdir(folder, {parents = true})
  local last = 0
  while ok and last < #names do
    last = last + 1
    ok, err = fs.write(folder .. "/" .. names[last], files[names[last]])
  end
  if ok then return true end
  for i = 1, last do fs.remove(folder .. "/" .. names[i]) end
  if is_new and last > 0 then fs.remove(folder) end
  return nil, err
end

---Write what the command line describes.
---@param ... string the arguments after `corun new`
return function(...)
  local o = corun.args(SPEC, {argv = {...}, name = "corun new"})
  if o.kind ~= "ext" then
    local near = options.nearest(o.kind, {ext = true})
    return refuse(2, 'there is nothing called "%s" to begin%s; there is "ext"', o.kind,
      near and (' (did you mean "%s"?)'):format(near) or "")
  end
  local why = check_name(o.name)
  if why then return refuse(2, 'an extension cannot be called "%s": %s', o.name, why) end
  local folder = o.folder or o.name
  local files, names = skeleton(o.name)
  if not files then
    return refuse(2, 'an extension cannot be called "%s": the name is taken', o.name)
  end
  local present = find_present(folder, names)
  if present then return refuse(2, "%s is there already: nothing was written", present) end
  local ok, err = write(folder, files, names)
  if not ok then return refuse(1, "%s", tostring(err)) end
  print(("%s: %s"):format(folder, table.concat(names, ", ")))
  print("cmake -B build && cmake --build build && ctest --test-dir build")
end

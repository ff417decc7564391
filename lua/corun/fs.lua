-- SPDX-License-Identifier: MIT
-- corun.fs: files. The system calls are bundled in C (corun.fscore), one bundle a call, on libuv's
-- threads; here are the options and what is made of several bundles. Walking and matching stand in
-- corun.fs_walk, watching in corun.fs_watch; both are loaded at first use. Embedded.
local corun = require "corun"
local core = require "corun.fscore"
local options = require "corun.options"

local check, misuse = options.check, options.misuse

local fs = {
  symlink = core.symlink, readlink = core.readlink, realpath = core.realpath,
  list = core.list,
}

local UNBOUND = 1 << 30 -- bytes read of a pipe when no limit is given

local READ = {max = "count"}
local WRITE = {append = "boolean", atomic = "boolean", mode = "number|string"}
local OPEN = {mode = "number|string"}
local STAT = {follow = "boolean"}
local MKDIR = {parents = "boolean", mode = "number|string"}
local REMOVE = {recursive = "boolean"}
local NEVER = {[""] = true, ["."] = true, [".."] = true} -- last names of what is never emptied
local LINK = {symbolic = "boolean"}
local RENAME = {fsync = "boolean"}
local COPY = {recursive = "boolean", overwrite = "boolean"}
local TEMP = {dir = "boolean", prefix = "string", parent = "string", mode = "number|string"}

-- Whole files -----------------------------------------------------------------------------------

---Read a whole file.
function fs.read(path, o)
  local max = check(o, "read", READ).max
  local data, err = core.read(path, max)
  if err then return nil, err end
  if type(data) == "string" then return data end
  local stream <close> = data -- a pipe or a terminal
  data, err = stream:read("a", {max = max or UNBOUND})
  if err then return nil, err end
  return data
end

---Write a whole file.
function fs.write(path, data, o)
  o = check(o, "write", WRITE)
  if o.append and o.atomic then misuse("write cannot append atomically: choose one of the two") end
  local result, err = core.write(path, data, o.append, o.atomic, options.mode(o.mode, "write"))
  if err then return nil, err end
  if result == true then return true end
  local stream <close> = result -- a pipe or a terminal
  result, err = stream:write(data)
  if not result then return nil, err end
  return stream:close()
end

-- Open files ------------------------------------------------------------------------------------

---Open a file.
function fs.open(path, mode, o)
  return core.open(path, mode, options.mode(check(o, "open", OPEN).mode, "open"))
end

local function is_format(format, op)
  if type(format) == "string" then
    return format:find(op == "lines" and "^%*?[lLn]$" or "^%*?[lLna]$") ~= nil
  end
  return math.type(format) and (math.tointeger(format) or -1) >= 0
end

-- Refuse a wrong format of several before anything is read. A loop over "a" would never end.
local function check_formats(formats, n, op)
  for i = 1, n do
    local format = formats[i]
    if not is_format(format, op) then
      misuse(("bad argument #%d to '%s' (unknown format %s)"):format(i, op,
        options.show(format)), 3)
    end
  end
end

-- Make the method `read` of streams take several formats, as that of Lua's io files does.
local function with_formats(read)
  return function(file, format, second, ...)
    if select("#", ...) == 0 and (second == nil or type(second) == "table") then
      return read(file, format, second)
    end
    local formats = table.pack(format, second, ...)
    local n = formats.n
    local o = type(formats[n]) == "table" and formats[n] or nil
    if o then n = n - 1 end
    check_formats(formats, n, "read")
    local values = {}
    for i = 1, n do
      local value, err = read(file, formats[i], o)
      values[i], values[i + 1] = value, err -- what was read before is not lost
      if value == nil then return table.unpack(values, 1, err ~= nil and i + 1 or i) end
    end
    return table.unpack(values, 1, n)
  end
end

local function with_lines(lines, read)
  return function(file, format, second, ...)
    if select("#", ...) == 0 and (second == nil or type(second) == "table") then
      return lines(file, format, second)
    end
    local args = table.pack(format, second, ...)
    check_formats(args, type(args[args.n]) == "table" and args.n - 1 or args.n, "lines")
    return function()
      local values = table.pack(read(file, table.unpack(args, 1, args.n)))
      local n = values.n
      if n < 2 or values[n - 1] ~= nil then return table.unpack(values, 1, n) end
      local err = values[n]
      if n == 2 or err.code ~= "EINVAL" then error(err, 0) end
      return table.unpack(values, 1, n - 1) -- no number came
    end
  end
end

for _, class in ipairs{core.file, core.fifo} do
  class.read = with_formats(class.read)
  class.lines = with_lines(class.lines, class.read)
end

-- What pipes and terminals lack of the methods of files.
local fifo = core.fifo
local write = fifo.write
function fifo:write(...)
  local ok, err = write(self, ...)
  if not ok then return nil, err end
  return self
end
function fifo:flush() return self ~= nil end
function fifo:setvbuf() return self ~= nil end
function fifo:seek()
  return nil, corun.err("ESPIPE", "a pipe or a terminal has no positions",
    {op = "seek", target = tostring(self)})
end

-- Names -----------------------------------------------------------------------------------------

---Say what a file is.
function fs.stat(path, o)
  return core.stat(path, check(o, "stat", STAT).follow ~= false)
end

---Say whether there is something.
function fs.exists(path)
  local st, err = core.stat(options.path(path, "exists"), true)
  if st then return true end
  if err.code == "ENOENT" or err.code == "ENOTDIR" then return false end
  return nil, err
end

---Make a directory.
function fs.mkdir(path, o)
  o = check(o, "mkdir", MKDIR)
  return core.mkdir(path, o.parents, options.mode(o.mode, "mkdir"))
end

---Remove a file or a directory.
function fs.remove(path, o)
  local recursive = check(o, "remove", REMOVE).recursive
  if recursive and type(path) == "string" and NEVER[path:match("([^/]*)/*$")] then
    return nil, corun.err("EINVAL", "it would take more away than it names", {op = "remove",
      target = path})
  end
  return core.remove(path, recursive)
end

---Give a file a second name.
function fs.link(target, path, o)
  if check(o, "link", LINK).symbolic then return core.symlink(target, path) end
  return core.link(target, path)
end

---Give a file or a directory another name.
function fs.rename(from, to, o)
  return core.rename(from, to, check(o, "rename", RENAME).fsync)
end

---Set the permission bits.
function fs.chmod(path, mode)
  if mode == nil then misuse("chmod needs a mode") end
  return core.chmod(path, options.mode(mode, "chmod"))
end

---Set the times.
function fs.utime(path, atime, mtime)
  atime = atime or os.time()
  return core.utime(path, atime, mtime or atime)
end

---Copy a file, or a tree.
function fs.copy(from, to, o)
  o = check(o, "copy", COPY)
  if o.recursive then return require("corun.fs_walk").copy(from, to, o.overwrite ~= false) end
  return core.copy(from, to, o.overwrite == false)
end

-- Temporary files -------------------------------------------------------------------------------

local folder = core.directory

---Remove the directory with all that is in it.
function folder:close()
  options.self(self, core.directory_mt, "close")
  local path = self:_take()
  if not path then return true end
  local ok, err = corun.shield(core.remove, path, true)
  if ok or err.code == "ENOENT" then return true end -- others have removed it
  return nil, err
end
core.directory_mt.__close = folder.close

---Make a temporary file or directory.
function fs.temp(o)
  o = check(o, "temp", TEMP)
  local parent = o.parent or os.getenv("TMPDIR")
  if not parent or parent == "" then parent = "/tmp" end
  local prefix = o.prefix or "corun-"
  if prefix:find("/", 1, true) then misuse("the prefix of a temporary file must have no /") end
  local template = parent:gsub("/+$", "") .. "/" .. prefix .. "XXXXXX"
  if not o.dir then return core.temp(template, options.mode(o.mode, "temp")) end
  if o.mode then misuse("a temporary directory is private: mode is for files") end
  return core.tempdir(template)
end

-- Loaded at first use ---------------------------------------------------------------------------

---Walk through a tree.
function fs.walk(path, o)
  return require("corun.fs_walk").walk(path, o)
end

---Find files by a pattern.
function fs.glob(pattern, o)
  return require("corun.fs_walk").glob(pattern, o)
end

---Watch a file or a directory.
function fs.watch(path, o)
  return require("corun.fs_watch")(path, o)
end

return fs

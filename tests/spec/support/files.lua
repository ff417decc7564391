-- SPDX-License-Identifier: MIT
-- For specs of files: a folder to work in, commands of the shell, how many descriptors are open.
local corun = require "corun"
local fs = require "corun.fs"

local program = dofile("tests/fixtures/cli/program.lua")

local files = {sh = program.sh, code = program.code, run = program.run, faults = program.faults}

---A folder that is removed when the block ends, and its path.
function files.folder()
  local dir = assert(fs.temp{dir = true, prefix = "corun-spec-"})
  return dir, dir:path()
end

---How many descriptors are open; the listing's own is always among them. What was left to the
---collector is closed before, which files do on a thread.
function files.descriptors()
  collectgarbage()
  collectgarbage()
  while corun.debug.stats().jobs > 0 do corun.sleep(0.001) end
  return #assert(fs.list("/proc/self/fd"))
end

---Run `fn(...)` in a scope that is cancelled after `delay` seconds; nil: before it has begun.
---@return boolean done whether it ended by itself
function files.cancelled(delay, fn, ...)
  local args, ended = table.pack(...), false
  corun.scope(function(s)
    s:spawn(function()
      fn(table.unpack(args, 1, args.n))
      ended = true
    end)
    if delay then corun.sleep(delay) end
    s:cancel()
  end)
  return ended
end

---Write with plain Lua.
function files.put(path, text)
  local f <close> = assert(io.open(path, "wb"))
  f:write(text)
end

---Read with plain Lua; nil when there is nothing.
function files.get(path)
  local f <close> = io.open(path, "rb")
  return f and f:read("a")
end

return files

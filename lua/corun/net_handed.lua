-- SPDX-License-Identifier: MIT
-- Sockets that somebody else has opened and listens at, and which the program was started with:
-- systemd's, by name, and any by its descriptor. Used by corun.net. Owns the record of which were
-- taken, and where.
local corun = require "corun"
local core = require "corun.listen"
local options = require "corun.options"

local handed = {}

local FIRST, LAST = 3, 0x7fffffff -- descriptors; before the first are the standard streams
local SETTINGS = {backlog = "any", reuse = "any", reuse_port = "any", mode = "any"}

local taken = {} -- descriptor -> FILE:LINE

---Whether an address is that of a socket which was handed over.
---@param addr any
function handed.is(addr)
  return type(addr) == "string"
    and (addr == "systemd" or addr:find("^systemd:") ~= nil or addr:find("^fd:") ~= nil)
end

local function failure(code, addr, message, ...)
  return nil, corun.err(code, message:format(...), {op = "listen", target = addr})
end

-- The names, each once.
local function list(names)
  local seen, quoted = {}, {}
  for _, name in ipairs(names) do
    if not seen[name] then quoted[#quoted + 1] = ("%q"):format(name) end
    seen[name] = true
  end
  return table.concat(quoted, ", ")
end

-- The first descriptor of systemd's, of a name if there is one, that is still to be had, else the
-- first of all; nil and why not.
local function find(addr, name, names)
  if not names then
    return failure("ENOENT", addr, "sockets are handed to the program's main thread alone")
  elseif names.other then
    return failure("ENOENT", addr, "the sockets were handed to process %d, and this is another:"
      .. " what starts it in between must use exec", names.other)
  elseif not names[1] then
    return failure("ENOENT", addr, "no socket was handed over (LISTEN_PID, LISTEN_FDS)")
  end
  local first
  for i, one in ipairs(names) do
    local fd = FIRST + i - 1
    if not name or name == one then
      if not taken[fd] then return fd end
      first = first or fd
    end
  end
  if first then return first end
  return failure("ENOENT", addr, "no socket of this name was handed over, only %s", list(names))
end

-- The descriptor in "fd:N"; misuse raises.
local function number(addr, op)
  local fd = math.tointeger(tonumber(addr:match("^fd:(%d+)$")))
  if fd and fd >= FIRST and fd <= LAST then return fd end
  options.misuse(('bad address for %s: "fd:N" names a descriptor from %d on, got %q')
    :format(op, FIRST, addr), 3)
end

local function check(op, addr, o)
  for key in pairs(options.check(o, op, SETTINGS)) do
    options.misuse(('option "%s" for %s has no place with "%s", which listens already')
      :format(key, op, addr), 3)
  end
end

---Listen at a socket that was handed over.
---@param op string what the script has called
---@param addr string
---@param o table?
---@return userdata? listener
---@return table? err
function handed.listen(op, addr, o)
  check(op, addr, o)
  local asked = addr:find("^fd:") and number(addr, op)
  local names = core.handed()
  local fd, why = asked, nil
  if not asked then fd, why = find(addr, addr:match("^systemd:(.*)$"), names) end
  if not fd then return nil, why end
  if taken[fd] then
    return failure("EADDRINUSE", addr, "the socket was taken already at %s", taken[fd])
  end
  local listener, err = core.adopt(fd, addr, names ~= nil and names[fd - FIRST + 1] ~= nil)
  if listener then taken[fd] = options.here() or "?" end
  return listener, err
end

return handed

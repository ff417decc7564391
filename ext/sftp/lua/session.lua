-- SPDX-License-Identifier: MIT
-- corun.sftp: sessions with a server, and what is asked in them. A session is one connection, on
-- which one thing is asked at a time: tasks that ask at once wait for their turn (the mutex). What
-- a cancelled task has begun stays begun, and is ended by the next call.
local corun = require "corun"

local core = ...
local check = core.part "check"
local login = core.part "login"

local sftp = {}
local session = {}
local inner = {} -- what the other parts need of this one
local session_mt = {__index = session, __name = "sftp session"}

local CONNECT = {
  user = "string", port = "count", key = "string|table", passphrase = "string",
  agent = "boolean|string", password = "string", answer = "function",
  known_hosts = "string|table", fingerprint = "string|table", insecure = "boolean",
  timeout = "seconds", stall = "seconds",
}
local TIMEOUT, STALL = 10, 30 -- seconds
local READ, WRITE, APPEND, CREATE, TRUNCATE, EXCLUSIVE = 1, 2, 4, 8, 16, 32
local MODES = {
  r = READ, ["r+"] = READ | WRITE, w = WRITE | CREATE | TRUNCATE,
  ["w+"] = READ | WRITE | CREATE | TRUNCATE, wx = WRITE | CREATE | EXCLUSIVE,
  a = WRITE | CREATE | APPEND,
}
local REFUSED, BAD_MESSAGE = 4, 5 -- statuses of SFTP: the first gives no reason
local LONGEST = 32000 -- bytes of a request: libssh2 would send the first part of a longer one

-- Connect ----------------------------------------------------------------------------------------

-- host, port, user of "user@host:port", "[v6]:port" or {host=, port=, user=}.
local function parse(addr)
  local host, port, user = addr, nil, nil
  if type(addr) == "table" then
    host, port, user = addr.host, addr.port, addr.user
    if type(host) ~= "string" then check.misuse("connect needs a host, got %s", type(host)) end
  elseif type(addr) == "string" then
    user, host = addr:match("^(.*)@([^@]*)$")
    host = host or addr
    local name, number = host:match("^%[(.-)%]:?(%d*)$")
    if not name then name, number = host:match("^([^:]*):?(%d*)$") end
    if name then
      host, port = name, math.tointeger(tonumber(number))
    elseif not host:find("^[%x:.]*$") then -- nor an address of IPv6 without brackets
      host = ""
    end
  else
    check.misuse("connect needs an address, got %s", type(addr))
  end
  if host == "" or user == "" or host:find("%z") then
    check.misuse("bad address for connect: %s", type(addr) == "string" and addr or host)
  end
  return host, port, user
end

-- Closed when connecting fails, however that is.
local attempt_mt = {__close = function(l)
  if not l.done then core.shut(l.raw) end
end}

local function connect(host, port, user, o, key_type)
  local l <close> = setmetatable({host = host, port = port, user = user, o = o,
    stall = o.stall or STALL, key_type = key_type}, attempt_mt)
  local limit = o.timeout or TIMEOUT
  l.raw, l.deadline = core.new(l.stall), corun.now() + limit
  local name = (host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, port)
  local ok, err = corun.timeout(limit, login.run, l)
  if not ok then
    if err.op == "timeout" then
      err = corun.err("ETIMEDOUT", ("not ready after %g s, while %s"):format(limit, l.stage))
    end
    err.op, err.target = "connect", name
    return nil, err
  end
  l.done = true
  return setmetatable({
    raw = l.raw, host = host, port = port, user = user, fingerprint = l.fingerprint,
    key_type = l.key_type, name = name, lock = corun.mutex(), o = o,
  }, session_mt)
end

---Connect to a server and log in.
function sftp.connect(addr, o)
  o = check.options(o, "connect", CONNECT)
  local host, port, user = parse(addr)
  user = o.user or user or os.getenv "LOGNAME" or os.getenv "USER" or "root"
  port = o.port or port or 22
  if math.type(port) ~= "integer" or port < 1 or port > 65535 then
    check.misuse("bad address for connect: there is no port %s", tostring(port))
  end
  return connect(host, port, user, o)
end

---One more connection, to the same server, which must have the same key.
function inner.again(self)
  local o = {}
  for k, v in pairs(self.o) do o[k] = v end
  if not o.insecure then o.fingerprint = self.fingerprint end
  return connect(self.host, self.port, self.user, o, self.key_type)
end

-- Calls ------------------------------------------------------------------------------------------

-- Whether a server may have refused this for its length: most say it is a bad message.
local function is_long(path)
  if #path > 4095 then return true end
  for name in path:gmatch("[^/]+") do
    if #name > 255 then return true end
  end
end

local function fail(self, op, path, err)
  if err.status == BAD_MESSAGE and path and is_long(path) then
    err.code, err.message = "ENAMETOOLONG", "file name too long"
  end
  err.op, err.target = op, self.name .. (path and ":" .. path or "")
  return nil, err
end

local function check_self(self, op)
  if getmetatable(self) ~= session_mt then
    check.misuse("calling '%s' on bad self (sftp session expected, got %s)", op, type(self))
  end
  if self.closed_at then
    check.raise("ECLOSED", op, self.name, "the session was closed at " .. self.closed_at)
  end
end

-- Call a function of the core, when it is this task's turn.
local function call(self, op, path, fn, ...)
  local _ <close> = self.lock:acquire()
  if self.closed_at then
    return fail(self, op, path, corun.err("ECLOSED", "closed while waiting at " .. self.closed_at))
  end
  if core.is_untidy(self.raw) then
    local ok, err = core.tidy(self.raw)
    if not ok then return fail(self, op, path, err) end
  end
  local value, err = fn(self.raw, ...)
  if err then return fail(self, op, path, err) end
  return value
end
inner.call, inner.check_self = call, check_self

-- nil and an error for paths that cannot be sent.
local function too_long(self, op, path)
  local err = corun.err("ENAMETOOLONG",
    ("a path of %d bytes is longer than can be sent (%d)"):format(#path, LONGEST))
  return fail(self, op, path:sub(1, 60) .. "...", err)
end

-- A method with one path.
local function define(name, fn)
  session[name] = function(self, path, ...)
    check_self(self, name)
    check.path(path, name)
    if #path > LONGEST then return too_long(self, name, path) end
    return fn(self, path, ...)
  end
end

-- Names and attributes ---------------------------------------------------------------------------

define("stat", function(self, path, o)
  o = check.options(o, "stat", {follow = "boolean"})
  return call(self, "stat", path, core.stat, path, o.follow ~= false)
end)

define("realpath", function(self, path)
  return call(self, "realpath", path, core.path, path, false)
end)

define("readlink", function(self, path)
  return call(self, "readlink", path, core.path, path, true)
end)

define("chmod", function(self, path, mode)
  local bits = check.mode(mode)
  if not bits then check.misuse("chmod needs permission bits, got %s", tostring(mode)) end
  return call(self, "chmod", path, core.chmod, path, bits)
end)

define("remove", function(self, path)
  return call(self, "remove", path, core.remove, path)
end)

-- Some servers give no reason where there is a usual one: look.
local function explain(self, path, err, code, message, is_it)
  if err.status ~= REFUSED then return nil, err end
  local found = call(self, "stat", path, core.stat, path, false)
  if not found or not is_it(found) then return nil, err end
  return nil, corun.err(code, message, {op = err.op, target = err.target, status = err.status})
end

define("rmdir", function(self, path)
  local ok, err = call(self, "rmdir", path, core.rmdir, path)
  if ok then return true end
  return explain(self, path, err, "ENOTEMPTY", "directory not empty", function(found)
    return found.kind == "directory"
  end)
end)

local function make_dir(self, path, mode)
  local ok, err = call(self, "mkdir", path, core.mkdir, path, mode)
  if ok then return true end
  return explain(self, path, err, "EEXIST", "file already exists", function() return true end)
end

define("mkdir", function(self, path, o)
  o = check.options(o, "mkdir", {mode = "mode", parents = "boolean"})
  local mode = check.mode(o.mode) or 511 -- 0777, less the umask of the server
  if not o.parents then return make_dir(self, path, mode) end
  for upper in path:gmatch("()/") do
    if upper > 1 then
      local part = path:sub(1, upper - 1)
      if not call(self, "stat", part, core.stat, part, true) then
        local ok, err = make_dir(self, part, mode)
        if not ok and err.code ~= "EEXIST" then return nil, err end
      end
    end
  end
  local ok, err = make_dir(self, path, mode)
  if not ok and err.code == "EEXIST" then
    local found = call(self, "stat", path, core.stat, path, true)
    if found and found.kind == "directory" then return true end
  end
  return ok, err
end)

local function rename(self, from, to, replace)
  if #from + #to > LONGEST then return too_long(self, "rename", from .. " to " .. to) end
  local path = from .. " to " .. to
  local ok, err = call(self, "rename", path, core.rename, from, to, replace)
  if ok then return true end
  if err.status ~= REFUSED and err.code ~= "EEXIST" then return nil, err end
  local found = call(self, "stat", to, core.stat, to, false)
  if not found then return nil, err end
  if not replace or found.kind == "directory" then
    return nil, corun.err("EEXIST", "the new name is there already",
      {op = err.op, target = err.target, status = err.status})
  end
  -- version 3 of SFTP cannot replace: there is an instant without the file
  ok, err = call(self, "rename", path, core.remove, to)
  if not ok then return nil, err end
  return call(self, "rename", path, core.rename, from, to, replace)
end
inner.rename = rename
inner.LONGEST, inner.too_long = LONGEST, too_long

define("rename", function(self, from, to, o)
  check.path(to, "rename")
  o = check.options(o, "rename", {replace = "boolean"})
  return rename(self, from, to, o.replace or false)
end)

-- Files ------------------------------------------------------------------------------------------

-- When its block ends a file of the core is left, unless it was closed: the next call closes it.
local leaving_mt = {__close = function(leaving) core.forget(leaving[1]) end}

---A closable that leaves a file, without waiting.
function inner.leaving(file)
  return setmetatable({file}, leaving_mt)
end

define("list", function(self, path)
  local dir, why = call(self, "list", path, core.open, path)
  if not dir then return nil, why end
  local _ <close> = inner.leaving(dir)
  local list = {}
  while true do
    local entry, err = call(self, "list", path, core.entry, dir)
    if err then return nil, err end
    if not entry then break end
    if entry.name:find("/", 1, true) then -- it would lead out of where a script saves it
      return fail(self, "list", path, corun.err("EPROTO", ("the server gives a path for the name "
        .. "of a file: %s"):format(entry.name:sub(1, 60))))
    end
    if entry.name ~= "." and entry.name ~= ".." then list[#list + 1] = entry end
  end
  local ok, err = call(self, "list", path, core.close, dir)
  if not ok then return nil, err end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end)

define("open", function(self, path, mode, o)
  local flags = MODES[mode or "r"]
  if not flags then check.misuse("bad mode for open: %s", tostring(mode)) end
  o = check.options(o, "open", {mode = "mode"})
  local file, err = call(self, "open", path, core.open, path, flags, check.mode(o.mode) or 438)
  if not file then return nil, err end
  return core.part("file").new(self, path, file, call)
end)

-- The end ----------------------------------------------------------------------------------------

---Leave the server. Waits for nothing; what other tasks wait for ends with ECLOSED.
function session:close()
  if getmetatable(self) ~= session_mt then
    check.misuse("calling 'close' on bad self (sftp session expected, got %s)", type(self))
  end
  if self.closed_at then return true end
  self.closed_at = check.here() or "?"
  core.shut(self.raw)
  return true
end

---Whether the session can be used no longer: it was closed, or the connection is lost.
function session:is_over()
  return core.is_over(self.raw) ~= nil
end

session_mt.__close = session.close

function session_mt:__tostring()
  local state = core.is_over(self.raw)
  return ("sftp session (%s@%s, %s)"):format(self.user, self.name,
    state == nil and "open" or state and "closed" or "lost")
end

core.part("transfer").extend(session, inner)
sftp.version = "libssh2 " .. core.version
return sftp

-- SPDX-License-Identifier: MIT
-- Whole files, to and from strings and files of this machine, and many of them over several
-- connections. A file that is fetched is written under another name and renamed when it is whole.
local codec = require "corun.codec"
local corun = require "corun"
local fs = require "corun.fs"

local core = ...
local check = core.part "check"

local SMALL, LARGE = 32 << 10, 256 << 10 -- asked for at once, for files below AHEAD and beyond
local AHEAD = 256 << 10 -- libssh2 asks for four times as much in advance
local GATHER = 1 << 20 -- bytes: what a file is written by
local CLEANUP = 2 -- seconds for the server to remove what a task left that was cancelled
local READ, WRITE = 1, 2 | 8 | 16 -- flags of SFTP: read; write, create, truncate

local transfer = {}
local inner -- of session.lua

-- Call sink(piece) for all the bytes of a file on the server; answers their number.
local function fetch(self, op, path, sink)
  if #path > inner.LONGEST then return inner.too_long(self, op, path) end
  local file, why = inner.call(self, op, path, core.open, path, READ)
  if not file then return nil, why end
  local _ <close> = inner.leaving(file)
  local size = 0
  while true do
    local piece, err = inner.call(self, op, path, core.read, file, size < AHEAD and SMALL or LARGE)
    if err then return nil, err end
    if not piece then return size end
    size = size + #piece
    local ok
    ok, err = sink(piece)
    if not ok then return nil, err end
  end
end

local function read(self, path, o)
  check.path(path, "read")
  o = check.options(o, "read", {max = "count"})
  local pieces, size = {}, 0
  local ok, err = fetch(self, "read", path, function(piece)
    pieces[#pieces + 1], size = piece, size + #piece
    if size > (o.max or math.huge) then
      return nil, corun.err("EMSGSIZE", ("it is longer than %d bytes"):format(o.max),
        {op = "read", target = self.name .. ":" .. path})
    end
    if size & (GATHER - 1) < #piece then corun.yield() end -- what comes without waiting is much
    return true
  end)
  if not ok then return nil, err end
  return table.concat(pieces)
end

-- To a file --------------------------------------------------------------------------------------

-- A file beside the one that it shall become; it is removed unless that has come to pass.
local partial_mt = {__close = function(part)
  if part.file then part.file:close() end
  if part.exists then corun.shield(fs.remove, part.path) end
end}

-- So much of a name that a few bytes may be added: file systems take 255.
local function shortened(name, more)
  if #name + more <= 255 then return name end
  return (name:sub(1, 255 - more):gsub("[\xC2-\xF4]?[\x80-\xBF]*$", "")) -- no half letter
end

local function partial(to)
  local dir, name = to:match("^(.*/)([^/]*)$")
  local path = ("%s.%s.%s.part"):format(dir or "", shortened(name or to, 15),
    codec.hex.encode(codec.random(4)))
  return setmetatable({path = path, to = to, pieces = {}, size = 0}, partial_mt)
end

-- Write what was gathered: all of a small file in one go.
local function flush(part, is_last)
  local data = table.concat(part.pieces)
  part.pieces, part.size = {}, 0
  if is_last and not part.file then
    part.exists = true
    return fs.write(part.path, data)
  end
  if not part.file then
    part.exists = true
    local file, err = fs.open(part.path, "wx")
    if not file then return nil, err end
    part.file = file
  end
  return part.file:write(data)
end

local function finish(part, mode)
  local ok, err = flush(part, true)
  if ok and part.file then
    ok, err = part.file:close()
    part.file = nil
  end
  if ok and mode then ok, err = fs.chmod(part.path, mode) end
  if ok then ok, err = fs.rename(part.path, part.to) end
  if ok then part.exists = nil end
  return ok, err
end

local function get(self, path, to, o)
  check.path(path, "get")
  check.path(to, "get")
  o = check.options(o, "get", {mode = "mode", on_progress = "function"})
  local part <close> = partial(to)
  local done = 0
  local size, err = fetch(self, "get", path, function(piece)
    part.pieces[#part.pieces + 1], part.size = piece, part.size + #piece
    done = done + #piece
    if o.on_progress then o.on_progress(done) end
    if part.size < GATHER then return true end
    return flush(part)
  end)
  if not size then return nil, err end
  local ok
  ok, err = finish(part, o.mode)
  if not ok then return nil, err end
  return size
end

-- To the server ----------------------------------------------------------------------------------

-- Write what next() gives, until that is nil, to the file `to` on the server.
local function write_all(self, op, to, o, next)
  local mode = check.mode(o.mode)
  local bits = mode or 438 -- 0666, less the umask
  local file, why = inner.call(self, op, to, core.open, to, WRITE, bits)
  if not file then return nil, why end
  local _ <close> = inner.leaving(file)
  local size = 0
  local piece, err = next()
  while piece do
    local ok
    ok, err = inner.call(self, op, to, core.write, file, piece)
    if not ok then return nil, err end
    size = size + #piece
    if o.on_progress then o.on_progress(size) end
    piece, err = next()
  end
  if err then return nil, err end
  local ok
  ok, err = inner.call(self, op, to, core.close, file)
  if ok and mode then ok, err = inner.call(self, op, to, core.chmod, to, mode) end
  return ok and size, err
end

-- The other name of a file that is being written on the server; removed unless it was renamed.
local unfinished_mt = {__close = function(part)
  local self = part.session
  if part.done or self.closed_at or self:is_over() then return end
  corun.shield(corun.timeout, CLEANUP, inner.call, self, "put", part.path, core.remove, part.path)
end}

local function send(self, op, path, o, next)
  if #path > inner.LONGEST then return inner.too_long(self, op, path) end
  if not o.atomic then return write_all(self, op, path, o, next) end
  local dir, name = path:match("^(.*/)([^/]*)$")
  local part <close> = setmetatable({session = self, path = ("%s%s.%s.part"):format(dir or "",
    shortened(name or path, 14), codec.hex.encode(codec.random(4)))}, unfinished_mt)
  local size, err = write_all(self, op, part.path, o, next)
  if not size then return nil, err end
  part.done, err = inner.rename(self, part.path, path, true)
  if not part.done then return nil, err end
  return size
end

local SEND = {mode = "mode", atomic = "boolean", on_progress = "function"}

local function write(self, path, data, o)
  check.path(path, "write")
  if type(data) ~= "string" then check.misuse("write needs a string, got %s", type(data)) end
  local at = 1
  return send(self, "write", path, check.options(o, "write", SEND), function()
    if at > #data then return nil end
    local piece = at == 1 and #data <= LARGE and data or data:sub(at, at + LARGE - 1)
    at = at + #piece
    return piece
  end)
end

local function put(self, from, path, o)
  check.path(from, "put")
  check.path(path, "put")
  o = check.options(o, "put", SEND)
  local file <close>, err = fs.open(from)
  if not file then return nil, err end
  return send(self, "put", path, o, function() return file:read(LARGE) end)
end

-- Many files -------------------------------------------------------------------------------------

-- Sessions for so many tasks at once: the one that there is, and others that are made when they are
-- needed. A server that allows fewer gets fewer.
local function new_pool(own, most)
  return {idle = corun.channel(most), made = {}, count = 1, most = most, own = own, alive = 1}
end

local function close_pool(pool)
  for s in pairs(pool.made) do s:close() end
end

-- A session, or nil and the error by which the last was lost.
local function take(pool)
  local s = pool.idle:try_recv()
  if s then return s end
  if pool.count < pool.most then
    pool.count, pool.alive = pool.count + 1, pool.alive + 1
    local err
    s, err = inner.again(pool.own)
    if s then
      pool.made[s] = true
      return s
    end
    pool.most, pool.alive = 0, pool.alive - 1
    pool.lost = pool.lost or err
    if pool.alive == 0 then pool.idle:close() end
  end
  s = pool.idle:recv()
  if s then return s end
  return nil, pool.lost
end

local function give(pool, s, err)
  if not s:is_over() then
    pool.idle:send(s)
    return
  end
  err = err or pool.lost or corun.err("ECLOSED", "the session has ended") -- after the last byte
  pool.alive, pool.lost = pool.alive - 1, err
  if pool.alive == 0 then pool.idle:close() end
end

-- What is to be fetched, and where to: "path" with `into`, or {path, to}.
local function job_of(item, into)
  local path, to = item, nil
  if type(item) == "table" then path, to = item[1], item[2] end
  if type(path) ~= "string" or to ~= nil and type(to) ~= "string" then
    check.misuse("get_many needs paths, or tables {path, to}, got %s", type(item))
  end
  if to then return path, to end
  if not into then
    check.misuse("get_many needs a place for %s: {path, to}, or the option \"into\"", path)
  end
  return path, into .. "/" .. path:match("[^/]*$")
end

local loop_mt = {
  __call = function(loop, ...) return loop.next(loop.state, ...) end,
  __close = function(loop)
    local _ <close> = corun.defer(close_pool, loop.pool)
    if loop.closable then getmetatable(loop.closable).__close(loop.closable) end
  end,
}

local function get_many(self, files, o)
  o = check.options(o, "get_many", {connections = "count", into = "string", mode = "mode"})
  local most = o.connections or 4
  local pool = new_pool(self, most)
  pool.idle:send(self)
  local next, state, _, closable = corun.each(files, function(item)
    local path, to = job_of(item, o.into)
    local s, lost = take(pool)
    if not s then
      return nil, corun.err(lost.code, lost.message,
        {op = "get", target = self.name .. ":" .. path, cause = lost})
    end
    local size, err = get(s, path, to, {mode = o.mode})
    give(pool, s, err)
    return size, err
  end, {limit = most})
  local loop = setmetatable({next = next, state = state, closable = closable, pool = pool}, loop_mt)
  return loop, nil, nil, loop
end

---Add the methods to those of sessions; `of_session` has call, check_self, leaving, rename, again.
function transfer.extend(session, of_session)
  inner = of_session
  for name, fn in pairs{read = read, get = get, write = write, put = put, get_many = get_many} do
    session[name] = function(self, ...)
      inner.check_self(self, name)
      return fn(self, ...)
    end
  end
end

return transfer

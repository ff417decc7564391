-- SPDX-License-Identifier: MIT
-- Files that are open on the server, with the methods that streams have.
local corun = require "corun"

local core = ...
local check = core.part "check"

local PIECE, LINE = 256 << 10, 1 << 20 -- bytes

local file = {}
local file_mt = {__index = file, __name = "sftp file"}

local function check_self(self, op)
  if getmetatable(self) ~= file_mt then
    check.misuse("calling '%s' on bad self (sftp file expected, got %s)", op, type(self))
  end
  if self.closed_at or self.session.closed_at then
    check.raise("ECLOSED", op, self.session.name .. ":" .. self.path,
      "the file was closed at " .. (self.closed_at or self.session.closed_at))
  end
end

local function call(self, op, fn, ...)
  return self.ask(self.session, op, self.path, fn, self.core, ...)
end

-- What has come and was not given yet is the text `rest` from `at` on: cutting off what is given
-- would copy all that is left, for each line of many.
local function left(self)
  return #self.rest - self.at + 1
end

-- The next `n` bytes of that.
local function take(self, n)
  local from = self.at
  self.at = from + n
  return self.rest:sub(from, from + n - 1)
end

-- To wait for this counts the calls that need not wait, and lets other tasks run after many.
local counted = corun.event()
counted:set()

---Some of the bytes that come next: at most `max`; nil at the end.
function file:recv(max)
  check_self(self, "recv")
  if max ~= nil and (math.type(max) ~= "integer" or max < 1) then
    check.misuse("recv needs a positive integer, got %s", tostring(max))
  end
  max = max or PIECE
  counted:wait()
  if left(self) > 0 then return take(self, math.min(max, left(self))) end
  return call(self, "read", core.read, math.min(max, PIECE))
end

-- What a read has gathered that was cancelled, or failed, is there for the next one.
local gathered_mt = {__close = function(pieces)
  local self = pieces.of
  if self then self.rest, self.at = table.concat(pieces) .. self.rest:sub(self.at), 1 end
end}

-- Bytes up to the end, or `n` of them; nil at the end when there are none.
local function read_many(self, n)
  local pieces <close>, size = setmetatable({of = self}, gathered_mt), 0
  while size < n do
    local piece, err = self:recv(n < math.huge and n - size or nil)
    if err then return nil, err end
    if not piece then break end
    pieces[#pieces + 1], size = piece, size + #piece
  end
  pieces.of = nil
  if size == 0 and n > 0 and n < math.huge then return nil end
  return table.concat(pieces)
end

local function read_line(self, keep)
  counted:wait()
  local from = self.at
  while true do
    local at = self.rest:find("\n", from, true)
    if at then
      local line = take(self, at - self.at + 1)
      return keep and line or line:sub(1, -2)
    end
    if left(self) > LINE then
      return nil, corun.err("EMSGSIZE", ("a line is longer than %d bytes"):format(LINE),
        {op = "read", target = self.session.name .. ":" .. self.path})
    end
    local piece, err = call(self, "read", core.read, PIECE)
    if err then return nil, err end
    if not piece then return left(self) > 0 and take(self, left(self)) or nil end
    from = left(self) + 1
    self.rest, self.at = self.rest:sub(self.at) .. piece, 1
  end
end

---Read a line ("l", the default; "L" with its end), all that is left ("a"), or `n` bytes.
function file:read(format)
  check_self(self, "read")
  if format == nil or format == "l" or format == "L" then return read_line(self, format == "L") end
  if format == "a" then return read_many(self, math.huge) end
  if math.type(format) == "integer" and format >= 0 then return read_many(self, format) end
  check.misuse("bad format for read: %s", tostring(format))
end

---Loop over the lines; raises what `read` returns as an error.
function file:lines(format)
  check_self(self, "lines")
  return function()
    local line, err = self:read(format)
    if err then error(err, 0) end
    return line
  end
end

---Write; returns when the server has confirmed all of it.
function file:write(data)
  check_self(self, "write")
  if type(data) == "number" then data = tostring(data) end
  if type(data) ~= "string" then check.misuse("write needs a string, got %s", type(data)) end
  if left(self) > 0 then self:seek(self:seek()) end
  for from = 1, #data, PIECE do
    local piece = #data <= PIECE and data or data:sub(from, from + PIECE - 1)
    local ok, err = call(self, "write", core.write, piece)
    if not ok then return nil, err end
  end
  return self
end

---Go to a place, counted from the begin, or only tell where it is. Asks nothing of the server.
function file:seek(offset)
  check_self(self, "seek")
  if offset == nil then return core.tell(self.session.raw, self.core) - left(self) end
  if math.type(offset) ~= "integer" or offset < 0 then
    check.misuse("seek needs an offset of 0 or more, got %s", tostring(offset))
  end
  local ok, err = call(self, "seek", function(raw, f)
    core.seek(raw, f, offset)
    return true
  end)
  if not ok then return nil, err end
  self.rest, self.at = "", 1
  return offset
end

---Close; tells what the server could not write.
function file:close()
  if getmetatable(self) ~= file_mt then
    check.misuse("calling 'close' on bad self (sftp file expected, got %s)", type(self))
  end
  if self.closed_at then return true end
  self.closed_at = check.here() or "?"
  if self.session.closed_at then return true end
  return call(self, "close", core.close)
end

-- Waits for nothing: the next call of the session closes it.
function file_mt:__close()
  if self.closed_at then return end
  self.closed_at = check.here() or "?"
  core.forget(self.core)
end

function file_mt:__tostring()
  return ("sftp file (%s:%s, %s)"):format(self.session.name, self.path,
    (self.closed_at or self.session.closed_at) and "closed" or "open")
end

local function new(session, path, raw, ask)
  return setmetatable({session = session, path = path, core = raw, ask = ask, rest = "",
    at = 1}, file_mt)
end

return {new = new}

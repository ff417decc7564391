-- SPDX-License-Identifier: MIT
-- The reading methods of streams over a function that gives pieces: for bodies that are decoded on
-- their way. What they promise is what src/io/stream_read.c does for streams of bytes. Owns the
-- pieces that were pulled and not read; what fails, times out or is cancelled loses none of them.
local task = require "corun.task"
local inside = require "corun.inside"
local options = require "corun.options"

local now = task.now

local MAX_LINE = 1 << 20
local MAX_NUMERAL = 200 -- as in Lua's io library

local LIMITED, TIMED = {timeout = "duration", max = "count"}, {timeout = "duration"}

local reader = {}
reader.__index = reader

---Make a reader. `pull(seconds)` answers a piece, nil at the end, or nil and an error, and is not
---called again after either, unless the error is ETIMEDOUT.
---@param pull fun(seconds: number?): string?, table?
---@param target string for messages
---@param noun string? what it reads from ("response")
function reader.new(pull, target, noun)
  return setmetatable({
    pull = pull, target = target, noun = noun or "response",
    first = "", at = 1, -- the oldest piece, and the place of the first byte that is not read
    rest = {}, size = 0, -- the other pieces; all bytes that are there
    ended = false, err = nil, busy = false, closed = nil,
  }, reader)
end

---Refuse what is begun from now on.
---@param where string the line that closes it
function reader:close(where)
  self.closed = self.closed or where
  self.first, self.at, self.rest, self.size = "", 1, {}, 0
end

-- Pieces ------------------------------------------------------------------------------------------

-- Closed when a pull has ended, however it ended.
local pulling = {__close = function(p) p.reader.busy = false end}

-- Get a further piece: the piece, or nil at the end, or nil and an error.
local function more(self, deadline)
  if self.ended then return nil, self.err end
  self.busy = true
  local _ <close> = setmetatable({reader = self}, pulling)
  repeat
    local piece, err = self.pull(deadline and math.max(0, deadline - now()))
    if not piece then
      if not (err and err.code == "ETIMEDOUT") then self.ended, self.err = true, err end
      return nil, err
    end
    if piece ~= "" then
      self.rest[#self.rest + 1] = piece
      self.size = self.size + #piece
      return piece
    end
  until false
end

-- Make one string of all that is there, beginning at self.at.
local function join(self)
  local rest = self.rest
  if #rest > 0 then
    if self.at > 1 then self.first = self.first:sub(self.at) end
    self.first, self.at, self.rest = self.first .. table.concat(rest), 1, {}
  end
  return self.first
end

-- Take `n` of the bytes that are there.
local function take(self, n)
  local first, at = join(self), self.at
  self.size = self.size - n
  if self.size == 0 then
    self.first, self.at = "", 1
    return at == 1 and n == #first and first or first:sub(at)
  end
  self.at = at + n
  return first:sub(at, at + n - 1)
end

-- Wait until so many bytes are there; false when the stream ends before, or an error.
local function fill(self, n, deadline)
  while self.size < n do
    local piece, err = more(self, deadline)
    if not piece then return false, err end
  end
  return true
end

-- Calls -------------------------------------------------------------------------------------------

local function failure(self, op, code, message)
  return nil, task.err(code, message, {op = op, target = self.target})
end

-- Begin a call: what is asked of a stream that is closed, or read by another task, is misuse.
local function begin(self, op, o, spec)
  if self.closed then
    inside.raise("ECLOSED", op, nil, ("the %s was closed at %s"):format(self.noun, self.closed))
  end
  options.check(o, op, spec)
  if self.busy then
    inside.raise("EBUSY", op, nil, "another task is reading from this " .. self.noun)
  end
  return o and o.timeout and now() + o.timeout
end

local function check_count(n, what, least)
  if math.type(n) == "float" then n = math.tointeger(n) or n end
  if math.type(n) ~= "integer" or n < least then
    options.misuse(("%s must be %s, got %s"):format(what,
      least > 0 and "a positive integer" or "an integer, 0 or more", tostring(n)))
  end
  return n
end

-- The bytes up to `mark` and with it, at most `max` before it; nil at the end.
local function find(self, op, mark, max, deadline)
  local first, n = join(self), #mark
  local at = first:find(mark, self.at, true)
  local seen = self.size -- bytes that were searched
  local found = at and at - self.at
  local tail = n > 1 and first:sub(math.max(self.at, #first - n + 2)) or ""
  while not found do
    if seen - n + 1 > max then break end
    local piece, err = more(self, deadline)
    if not piece then return nil, err end
    local text = tail .. piece
    at = text:find(mark, 1, true)
    if at then found = seen - #tail + at - 1 end
    seen = seen + #piece
    tail = n > 1 and text:sub(math.max(1, #text - n + 2)) or ""
  end
  if not found or found > max then
    return failure(self, op, "EMSGSIZE", "it is longer than the limit (max)")
  end
  return found + n
end

-- Formats: each answers a value, nil at the end, or nil and an error ------------------------------

local function read_line(self, op, keep_end, max, deadline)
  local n, err = find(self, op, "\n", max, deadline)
  if n then
    local line = take(self, n)
    return keep_end and line or line:sub(1, -2)
  end
  if err or self.size == 0 then return nil, err end
  return take(self, self.size)
end

local function read_all(self, op, max, deadline)
  repeat
    if max and self.size > max then
      return failure(self, op, "EMSGSIZE", "it is longer than the limit (max)")
    end
    local piece, err = more(self, deadline)
    if err then return nil, err end
  until not piece
  return take(self, self.size)
end

local function read_count(self, n, deadline)
  local ok, err = fill(self, math.max(n, 1), deadline)
  if not ok and (err or self.size == 0) then return nil, err end
  return take(self, math.min(n, self.size))
end

-- The longest prefix of a numeral, as io.read finds it.
local function numeral(s)
  local m = s:match("^[+-]?0[xX]%x*%.?%x*")
  local exponent = "^[pP][+-]?%d*"
  if not m then m, exponent = s:match("^[+-]?%d*%.?%d*"), "^[eE][+-]?%d*" end
  if m:find("%x") then m = m .. (s:match(exponent, #m + 1) or "") end
  return m
end

local function read_number(self, op, deadline)
  while true do
    local first = join(self)
    local blanks = #first:match("^%s*", self.at)
    if blanks > 0 then take(self, blanks) end
    local s = self.first:sub(self.at, self.at + MAX_NUMERAL - 1)
    local m = numeral(s)
    if #m < #s or #s == MAX_NUMERAL or self.ended and s ~= "" then
      local value = tonumber(m)
      if not value then
        return failure(self, op, "EINVAL", "what comes next is not a number")
      end
      take(self, #m)
      return value
    end
    local piece, err = more(self, deadline)
    if err or not piece and self.size == 0 then return nil, err end
  end
end

local function read(self, op, format, o)
  local deadline = begin(self, op, o, LIMITED)
  inside.checkpoint()
  local max = o and o.max
  if format == nil then format = "l" end
  if type(format) == "number" then
    return read_count(self, check_count(format, "a number of bytes to read", 0), deadline)
  end
  local kind = tostring(format):gsub("^%*", "")
  if kind == "l" or kind == "L" then
    return read_line(self, op, kind == "L", max or MAX_LINE, deadline)
  elseif kind == "a" then
    return read_all(self, op, max, deadline)
  elseif kind == "n" then
    return read_number(self, op, deadline)
  end
  options.misuse(('unknown format "%s" for %s: "l", "L", "a", "n" or a number of bytes'):format(
    tostring(format), op))
end

-- Where the first argument was left out the options stand in its place.
local function shift(first, o)
  if type(first) == "table" and o == nil then return nil, first end
  return first, o
end

-- Methods, as of every stream ---------------------------------------------------------------------

---Read by a format of Lua's `io`.
function reader:read(format, o)
  format, o = shift(format, o)
  return read(self, "read", format, o)
end

---Take what is there.
function reader:recv(max, o)
  max, o = shift(max, o)
  local deadline = begin(self, "recv", o, TIMED)
  inside.checkpoint()
  if max ~= nil then check_count(max, "the most bytes to receive", 1) end
  if self.size == 0 then
    local piece, err = more(self, deadline)
    if not piece then return nil, err end
  end
  return take(self, math.min(max or self.size, self.size))
end

---Read exactly so many bytes.
function reader:read_exactly(n, o)
  n = check_count(n, "a number of bytes to read", 0)
  local deadline = begin(self, "read_exactly", o, TIMED)
  inside.checkpoint()
  local ok, err = fill(self, n, deadline)
  if ok then return take(self, n) end
  if err or self.size == 0 then return nil, err end
  return failure(self, "read_exactly", "EOF", "the stream ended before all of it had come")
end

---Read up to a text, and with it.
function reader:read_until(mark, o)
  if type(mark) ~= "string" or mark == "" then
    options.misuse("the text to read until must be a string that is not empty")
  end
  local deadline = begin(self, "read_until", o, LIMITED)
  inside.checkpoint()
  local n, err = find(self, "read_until", mark, o and o.max or MAX_LINE, deadline)
  if n then return take(self, n) end
  if err or self.size == 0 then return nil, err end
  return failure(self, "read_until", "EOF", "the stream ended before all of it had come")
end

---Loop over lines; each step raises what `read` returns as an error.
function reader:lines(format, o)
  format, o = shift(format, o)
  begin(self, "lines", o, LIMITED)
  return function()
    local value, err = read(self, "lines", format, o)
    if err then
      local where = options.here()
      err.where = where and where .. ": "
      error(err, 0)
    end
    return value
  end
end

return reader

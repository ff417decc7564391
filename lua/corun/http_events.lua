-- SPDX-License-Identifier: MIT
-- text/event-stream (HTML Standard, 9.2.6), parsed as its bytes come. A parser owns the line and
-- the event under way, both bounded. Never suspends. Invariant: a stream gives the same events
-- however it is cut, and each as soon as its last byte is there.
local options = require "corun.options"

local events = {}

local MARK = "\239\187\191" -- of the byte order
local MAX = 1 << 20 -- as for the lines of streams
local LONGEST_RETRY = 86400 -- seconds: what a server asks for may be anything

local PARSER = {max = "count", id = "string"}

local parser = {__name = "event stream parser"}
parser.__index = parser

local fields = {}

function fields.event(self, value) self.event = value end

function fields.data(self, value)
  self.lines[#self.lines + 1] = value
  self.size = self.size + #value + 1
end

function fields.id(self, value)
  if not value:find("\0", 1, true) then self.pending_id = value end
end

function fields.retry(self, value)
  if value:find("^%d+$") then self.retry = math.min(tonumber(value) / 1000, LONGEST_RETRY) end
end

-- A blank line: the event is complete, if it has data.
local function dispatch(self, out)
  self.id = self.pending_id
  if #self.lines > 0 then
    local name = self.event
    out[#out + 1] = {
      event = (name == nil or name == "") and "message" or name,
      data = table.concat(self.lines, "\n"), id = self.id ~= "" and self.id or nil,
    }
    self.lines = {}
  end
  self.event, self.size = nil, 0
end

local function take_line(self, line, out)
  if line == "" then return dispatch(self, out) end
  local colon = line:find(":", 1, true)
  local field = fields[colon and line:sub(1, colon - 1) or line]
  if not field then return end -- a comment, or a field that means nothing
  local value = ""
  if colon then value = line:sub(line:byte(colon + 1) == 32 and colon + 2 or colon + 1) end
  field(self, value)
end

-- The first bytes without the mark; nil while that may still come.
local function without_mark(self, chunk)
  local head = self.head .. chunk
  if #head < #MARK and MARK:sub(1, #head) == head then
    self.head = head
    return nil
  end
  self.head = nil
  return head:sub(1, #MARK) == MARK and head:sub(#MARK + 1) or head
end

local function too_long(what, max)
  return require("corun.task").err("EMSGSIZE", ("%s of the event stream is longer than %d bytes")
    :format(what, max), {op = "read events"})
end

-- The line whose last bytes these are.
local function whole_line(self, bytes)
  self.length = 0
  if #self.rest == 0 then return bytes end
  self.rest[#self.rest + 1] = bytes
  local line = table.concat(self.rest)
  self.rest = {}
  return line
end

-- Take a piece that is not empty; answers an error.
local function take(self, chunk, out)
  local at = self.after_cr and chunk:byte(1) == 10 and 2 or 1
  self.after_cr = false
  while at <= #chunk do
    local stop = chunk:find("[\r\n]", at)
    self.length = self.length + (stop or #chunk + 1) - at
    if self.length > self.max then return too_long("a line", self.max) end
    if not stop then
      self.rest[#self.rest + 1] = chunk:sub(at)
      break
    end
    take_line(self, whole_line(self, chunk:sub(at, stop - 1)), out)
    if self.size > self.max then return too_long("an event", self.max) end
    at = stop + 1
    if chunk:byte(stop) == 13 then
      if chunk:byte(at) == 10 then at = at + 1 else self.after_cr = at > #chunk end
    end
  end
end

---Take a piece of the stream. At its end nothing has to be said: what is not complete is no event.
---@param chunk string
---@return table[] events {event=, data=, id=} each, those that are complete by now
---@return table? err EMSGSIZE, for good: what follows them is too long
function parser:feed(chunk)
  local out = {}
  if self.fault then return out, self.fault end
  if self.head then
    chunk = without_mark(self, chunk)
    if not chunk then return out end
  end
  if chunk ~= "" then self.fault = take(self, chunk, out) end
  return out, self.fault
end

---Make a parser. Its `id` is that of the last event, "" for none, which a client sends when it
---connects again; its `retry` the seconds after which the server wants it to, if it said so.
---@param o table? max: the longest line, and the most data of an event, in bytes (1 MiB); id: the
---  one that the connection before ended with, which goes on
---@return table parser
function events.parser(o)
  o = options.check(o, "parser", PARSER)
  return setmetatable({
    max = o.max or MAX, head = "", rest = {}, length = 0, after_cr = false,
    lines = {}, size = 0, id = o.id or "", pending_id = o.id or "",
  }, parser)
end

return events

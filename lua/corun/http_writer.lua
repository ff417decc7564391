-- SPDX-License-Identifier: MIT
-- What a handler writes an answer to whose body comes in pieces. Each piece is sent at once, and by
-- one task at a time, for it stands in a frame. That the client has gone ends the function that
-- writes, since nobody would read on. Invariant: `begun` is there while a piece is being sent, and
-- after one whose task was cancelled meanwhile: what the connection had sent before it.
local options = require "corun.options"
local sync = require "corun.sync"
local task = require "corun.task"

local writer = {}
writer.__index = writer
writer.__name = "http writer"

function writer:__tostring()
  return ("http writer (%s, %d bytes)"):format(self.target, self.bytes)
end

---What a function raises that has found otherwise that the client has gone.
writer.GONE = task.err("ECONNRESET", "the client has gone", {op = "write"})

---Make a writer.
---@param c userdata the connection, over which the head was sent
---@param target string the request's path, for messages
---@param length integer? of the body; nil: chunked, or until the end
---@param chunked boolean
function writer.new(c, target, length, chunked)
  return setmetatable({
    connection = c, target = target, length = length, chunked = chunked, bytes = 0, gone = nil,
    turn = sync.mutex(), begun = nil,
  }, writer)
end

local function raise(self, err)
  self.gone = err
  error(err, 0)
end

-- The text of the arguments, which are strings or numbers.
local function text_of(first, ...)
  if select("#", ...) == 0 and type(first) == "string" then return first end
  local pieces = table.pack(first, ...)
  for i = 1, pieces.n do
    local kind = type(pieces[i])
    if kind ~= "string" and kind ~= "number" then
      options.misuse(("write needs strings, got %s"):format(kind), 3)
    end
  end
  return table.concat(pieces)
end

-- Why nothing can be sent any more, if a piece was cancelled after some of it was sent.
local function broken(self)
  if not self.begun or self.begun == select(2, self.connection:traffic()) then return nil end
  return task.err("ECLOSED", "a piece of the body was cancelled while it was sent",
    {op = "write", target = self.target})
end

-- Send a piece, which is nobody else's turn.
local function send(self, text)
  local c = self.connection
  if not c then
    raise(self, task.err("ECLOSED", "the answer has ended", {op = "write", target = self.target}))
  end
  local err = broken(self)
  if err then error(err, 0) end
  local bytes = self.bytes + #text
  if self.length and bytes > self.length then
    options.misuse(("the body is longer than the %d bytes that were announced"):format(self.length))
  end
  self.begun = select(2, c:traffic())
  local ok
  if self.chunked then
    ok, err = c:write(("%x\r\n"):format(#text), text, "\r\n")
  else
    ok, err = c:write(text)
  end
  self.begun, self.bytes = nil, bytes
  if not ok then raise(self, err) end
end

---Send a piece of the body.
function writer:write(...)
  options.self(self, writer, "write")
  local text = text_of(...)
  if text == "" and self.connection then return true end
  local _ <close> = self.turn:acquire()
  send(self, text)
  return true
end

---End the body: true, or nil and why it is not whole. Nothing can be written afterwards.
function writer:finish()
  local c, err = self.connection, broken(self)
  self.connection = nil
  if self.gone then return nil, self.gone end
  if err then return nil, err end
  if self.length and self.bytes < self.length then
    return nil, task.err("EINVAL", ("the body is shorter than the %d bytes that were announced")
      :format(self.length), {op = "write", target = self.target})
  end
  if not self.chunked then return true end
  return c:write("0\r\n\r\n")
end

return writer

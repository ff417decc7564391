-- SPDX-License-Identifier: MIT
-- What a handler writes an answer to whose body comes in pieces. Each piece is sent at once. That
-- the client has gone ends the function that writes, since nobody would read on.
local options = require "corun.options"
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

---Send a piece of the body.
function writer:write(...)
  options.self(self, writer, "write")
  local text = text_of(...)
  if not self.connection then
    raise(self, task.err("ECLOSED", "the answer has ended", {op = "write", target = self.target}))
  end
  if text == "" then return true end
  self.bytes = self.bytes + #text
  if self.length and self.bytes > self.length then
    options.misuse(("the body is longer than the %d bytes that were announced"):format(self.length))
  end
  local ok, err
  if self.chunked then
    ok, err = self.connection:write(("%x\r\n"):format(#text), text, "\r\n")
  else
    ok, err = self.connection:write(text)
  end
  if not ok then raise(self, err) end
  return true
end

---End the body: true, or nil and why it is not whole. Nothing can be written afterwards.
function writer:finish()
  local c = self.connection
  self.connection = nil
  if self.gone then return nil, self.gone end
  if self.length and self.bytes < self.length then
    return nil, task.err("EINVAL", ("the body is shorter than the %d bytes that were announced")
      :format(self.length), {op = "write", target = self.target})
  end
  if not self.chunked then return true end
  return c:write("0\r\n\r\n")
end

return writer

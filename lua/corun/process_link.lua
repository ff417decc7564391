-- SPDX-License-Identifier: MIT
-- What a pool and one of its worker processes say to each other, over a socket: frames of a kind
-- and bytes. Either side reads each byte as the other's: what is no frame is an error. Owns the
-- stream. Invariant: a task that is cancelled while it waits for a frame loses nothing of it, and
-- one that raises a cancellation instead of sending a frame has sent nothing.
local inside = require "corun.inside"
local task = require "corun.task"

local checkpoint, shield = inside.checkpoint, task.shield

local HEAD, HEAD_SIZE = "<c3BI8", 12 -- mark, kind, number of bytes that follow
local MARK = "crn"
local MOST = 1 << 40 -- bytes of a frame

local link = {
  -- Kinds of what the pool says.
  CALL = 0, MAP = 1, -- a job, as corun.poolcore knows its kinds
  HELLO = 16, CANCEL = 17,
  -- Kinds of what a worker says.
  RETURNED = 0, RAISED = 1, REFUSED = 2, CANCELLED = 3, -- how a job has ended, in the same way
  READY = 16, LEAVING = 17, -- LEAVING: it has begun nothing that it was sent since
}
local methods = {}
local class = {__index = methods}

---Speak over a stream.
function link.new(stream)
  return setmetatable({stream = stream, kind = false, length = 0}, class)
end

-- A write that is done may still give way to other tasks, and must not be left by an error then.
local function write(self, kind, bytes, ...)
  return self.stream:write(HEAD:pack(MARK, kind, #bytes), bytes, ...)
end

---Send a frame, whole or not at all.
---@param ... table timeout
---@return true? sent
---@return table? err
function methods:send(kind, bytes, ...)
  checkpoint()
  return shield(write, self, kind, bytes, ...)
end

local function broken(message)
  return nil, task.err("EPROTO", message)
end

---Wait for a frame.
---@param o table? timeout
---@return integer? kind nil alone at the end
---@return string|table|nil bytes or what is wrong
function methods:receive(o)
  if not self.kind then
    local head, err = self.stream:read_exactly(HEAD_SIZE, o)
    if not head then return nil, err end
    local mark, kind, length = HEAD:unpack(head)
    if mark ~= MARK or length < 0 or length > MOST then return broken "what came is no frame" end
    self.kind, self.length = kind, length
  end
  local bytes, err = self.stream:read_exactly(self.length, o)
  if not bytes then
    if err then return nil, err end
    return broken "it ended within a frame"
  end
  local kind = self.kind
  self.kind = false
  return kind, bytes
end

return link

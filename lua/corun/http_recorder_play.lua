-- SPDX-License-Identifier: MIT
-- Responses that come from a recording, made by the same functions as those that come from a
-- server: instead of a connection they have an object with the few methods that a response needs of
-- one. Owns the file of a body that is being streamed.
local files = require "corun.http_recorder_files"
local response = require "corun.http_response"
local task = require "corun.task"

local now = task.now

local play = {}

local PIECE = 64 << 10

-- Why a body is no longer than it was recorded.
local function end_error(recording)
  local e = recording.error
  if e then
    return task.err(e.code, e.message, {op = e.op, target = e.target, retryable = e.retryable})
  end
  if recording.response.cut then
    return task.err("EUNRECORDED", ("the body was read no further than %d bytes when it was "
      .. "recorded"):format(recording.response.body_bytes or 0),
      {op = "replay", target = recording.path})
  end
end

-- Why nothing more can be given, whatever was recorded.
local function end_of_time(session, request)
  if session.closed then return session.pool:closed_error(request.u, "read") end
  if request.deadline and now() >= request.deadline then
    return nil, task.err("ETIMEDOUT", "the operation timed out",
      {op = "read", target = request.u.name})
  end
end

local function too_long(request, bytes)
  if not request.max_body or bytes <= request.max_body then return nil end
  return task.err("EMSGSIZE", ("the body is over the limit of %d bytes"):format(request.max_body),
    {op = "read", target = request.u.name})
end

-- What a response knows of its connection.
local function connection(began)
  return {began = began, got = began, answered = began, ended = began, uses = 1}
end

-- Both read the body from a file that is open, nil for none, with so many bytes.

local function whole(request, recording, file, c)
  local body, err = "", end_error(recording)
  if err then return nil, err end
  if file then
    body, err = file:read("a")
    if not body then return nil, err end
  end
  local answer = recording.response
  c.ended = now()
  local res = response.new(answer.status, answer.block, body, request.url, c)
  local coding = request.decode and res.headers["content-encoding"]
  if coding then return response.decoded(request, res, coding) end
  return res
end

-- The length that the head tells, as the parser has it; nil when the body ends with the connection,
-- or comes in chunks.
local function length_of(request, recording, headers)
  local status = recording.response.status
  if request.no_body or status == 204 or status == 304 then return 0 end
  if headers["transfer-encoding"] then return nil end
  return math.tointeger(tonumber(headers["content-length"]))
end

local function streamed(session, request, recording, file, size, c)
  local answer, left = recording.response, file and size or 0
  local failure = end_error(recording)
  c.core = {piece = function()
    local _, err = end_of_time(session, request)
    if err then return nil, err end
    local piece = ""
    if left > 0 then
      piece, err = file:recv(PIECE)
      if not piece then
        return nil, err or task.err("EOF", "the body became shorter while it was read",
          {op = "replay", target = recording.path})
      end
      left = left - #piece
    elseif failure then
      return nil, failure
    end
    return piece, left <= 0 and not failure, true
  end}
  c.pool = {give_back = function(_, _, _, collected)
    if file and not collected then file:close() end
  end}
  local headers = require("corun.http_message").headers(answer.block)
  local res, err = response.open(request, answer.status, answer.block,
    length_of(request, recording, headers), headers["content-encoding"], c)
  if file and (not res or not res.connection) then file:close() end
  return res, err
end

---The outcome of a request whose recording was found.
---@return table? res
---@return table? err
function play.outcome(session, request, recording)
  local c = connection(now())
  local _, err = end_of_time(session, request)
  if err then return nil, err end
  if not recording.response then return nil, end_error(recording) end
  local file, size
  file, err, size = files.open_body(recording)
  if err then return nil, err end
  err = too_long(request, size or 0)
  if request.stream and not err then
    return streamed(session, request, recording, file, size, c)
  end
  local _ <close> = file
  if err then return nil, err end
  return whole(request, recording, file, c)
end

return play

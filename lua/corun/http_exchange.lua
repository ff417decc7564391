-- SPDX-License-Identifier: MIT
-- One request over one connection of the session's pool, and what becomes of that connection. In
-- the steady state it allocates the response and nothing else. A body in pieces is sent by a task
-- of its own while this one waits for the answer, which may come before the body was sent.
local task = require "corun.task"
local of_string = require("corun.http_body").of_string
local response = require "corun.http_response"

local now, sleep, scope, new_response = task.now, task.sleep, task.scope, response.new

local LARGE = 64 << 10 -- bytes of a text that a stream takes at once, however full the socket is
local AHEAD = 64 << 20 -- bytes of a streamed answer that are kept until its request was sent
local OVERHEAD = 256 -- bytes that are counted for a piece of it, however short that is
local SURE = 0.001 -- seconds for which a connection that idles is taken for open
local GO_ON = 1 -- seconds for which 100 Continue is waited for

-- What a failure on the connection `c` is to the caller; see `try`.
local function failed(request, c, err, gone)
  local connections = c.pool
  if connections.closed and err.code == "ECLOSED" then
    return connections:closed_error(c.origin, err.op)
  end
  return nil, err, gone and c.uses > 0 and request.idempotent
end

local function succeeded(request, c, status, block, body, coding)
  c.ended = now()
  local res = new_response(status, block, body, request.url, c)
  if request.raw then res.head = c.core:raw_head() end
  return res, nil, nil, coding
end

-- Responses that come in pieces -------------------------------------------------------------------

-- The rest of a body; or nil, error.
local function gather(c)
  local pieces = {}
  repeat
    local piece, last, keep = c.core:piece()
    if not piece then return nil, last end
    pieces[#pieces + 1] = piece
    if last then c.over = keep end
  until last
  return table.concat(pieces)
end

-- The response whose head has come.
local function streamed(request, c, status, block, length, coding)
  if length == 0 then -- then it is complete, and the connection free
    local _, _, keep = c.core:piece()
    c.over = keep
  end
  local res, err = response.open(request, status, block, length, coding, c)
  if res and request.raw then res.head = c.core:raw_head() end
  return res, err
end

local function open(request, c, total)
  local status, block, length, coding, answered = c.core:open(request.head, request.body,
    request.no_body, request.read, total, request.max_body)
  if not status then return failed(request, c, block, coding) end -- there it says: gone
  c.answered = answered
  return streamed(request, c, status, block, length, coding)
end

-- Bodies that are sent in pieces ------------------------------------------------------------------

local function failure(state, c, err)
  state.err = err
  c.core:close()
end

local function wrong_length(source, sent)
  local why = ("the body is %s than the %d bytes that were announced"):format(
    sent < source.length and "shorter" or "longer", source.length)
  return task.err("EINVAL", why, {op = "send"})
end

-- Send a piece; false when the peer takes no more: then it may have answered.
local function send_piece(c, source, piece, state)
  local ok, err
  if source.length then
    ok, err = c.core:write(piece)
  elseif piece == "" then
    return true
  else
    ok, err = c.core:write(("%x\r\n"):format(#piece), piece, "\r\n")
  end
  if not ok and err.code == "ETIMEDOUT" then failure(state, c, err) end
  return ok
end

-- The body of the task that sends. A failure of the source ends the exchange. Of a known length
-- nothing is asked for beyond it: the answer may come before the source says that it has ended.
local function send_body(c, source, state)
  local length, sent = source.length, 0
  source.begun = true
  while sent ~= length do
    local piece, err = source.next()
    if piece == nil and err then return failure(state, c, err) end
    if piece == nil then break end
    sent = sent + #piece
    if length and sent > length then break end
    if not send_piece(c, source, piece, state) then return end
  end
  if length and sent ~= length then return failure(state, c, wrong_length(source, sent)) end
  if length or c.core:write("0\r\n\r\n") then c.core:sent() end
end

-- The response whose head has come, complete if that is wanted.
local function receive_rest(request, c, status, block, length, coding)
  if request.stream then return streamed(request, c, status, block, length, coding) end
  local body, err = gather(c)
  if not body then return failed(request, c, err) end
  return succeeded(request, c, status, block, body, coding)
end

-- Wait until the body was sent. Of a streamed answer is kept what comes meanwhile: a server that
-- sends back what it gets takes no more of it while nobody reads.
local function await_sent(sender, c, most)
  local early, size = {}, 0
  scope(function(s)
    local reader = s:spawn(function()
      local piece, last, keep
      repeat
        piece, last, keep = c.core:piece()
        early[#early + 1] = {piece, last, keep}
        size = size + #(piece or "") + OVERHEAD
      until not piece or last or size >= most
    end)
    sender:await()
    reader:cancel()
  end)
  early.first = 1
  c.early = early[1] and early
end

-- Send the body and receive the answer, both at once. Once the server has refused it nothing more
-- of it is sent.
local function send_and_receive(request, c, source)
  local state, res, err, again, codings = {}, nil, nil, nil, nil
  scope(function(s)
    local sender = s:spawn(send_body, c, source, state)
    local status, block, length, coding, answered = c.core:head()
    c.answered = answered
    if not status then
      res, err, again = failed(request, c, block, coding)
    else
      if status >= 400 then sender:cancel() end
      if request.stream and length ~= 0 then await_sent(sender, c, request.ahead or AHEAD) end
      if request.stream then sender:await() end
      if not state.err then
        res, err, again, codings = receive_rest(request, c, status, block, length, coding)
      end
    end
    sender:cancel()
  end)
  if state.err then return nil, state.err end
  return res, err, again, codings
end

local function upload(request, c, total, source)
  local core = c.core
  local ok, err, _, gone = core:begin(request.head, request.no_body, request.read, total,
    request.max_body)
  if not ok then return failed(request, c, err, gone) end
  if request.expect then
    local status, block, length, coding, answered = core:head(GO_ON)
    c.answered = answered
    if status == 417 then -- it knows no expectations
      request:insist()
      return nil, nil, true
    end
    if not status and block.code ~= "ETIMEDOUT" then return failed(request, c, block, coding) end
    if status and status ~= true then
      return receive_rest(request, c, status, block, length, coding)
    end
  end
  return send_and_receive(request, c, source)
end

-- One try. Answers a response; or nil, error, and whether it may be tried over a fresh connection:
-- the one it met had been closed by the server, or the server wants the request otherwise. With a
-- complete response the fourth result is its content codings, for the connection is held no longer
-- than it is needed.
local function try(session, request, deadline, began, fresh)
  local connections = session.pool
  -- Proxies close unannounced, tinyproxy after each answer: what is sent once takes no chances.
  fresh = fresh or not request.idempotent and request.route.prefix ~= nil
  local c <close>, err = connections:checkout(request.route, deadline, request.connect, fresh)
  if not c then return nil, err end
  c.began, c.got = began, c.got or began
  if request.raw then c.core:keep_head() end
  if c.uses > 0 and not request.idempotent and now() - c.since > SURE then
    sleep(0) -- let the loop look whether the server has closed it: this cannot be sent twice
    if not c.core:reusable() then return nil, nil, true end
  end
  local total = deadline and math.max(0, deadline - now()) or -1
  local source, text = request.source, request.body
  -- A server may take no more of a long text until its answer is read.
  if not source and text and #text > LARGE then source = of_string(text) end
  if source then return upload(request, c, total, source) end
  if request.stream then return open(request, c, total) end
  local status, block, answer, keep, coding, answered = c.core:exchange(request.head,
    request.body, request.no_body, request.read, total, request.max_body)
  if status then
    c.over = keep
    c.answered = answered
    return succeeded(request, c, status, block, answer, coding)
  end
  return failed(request, c, block, keep)
end

---Send a request and receive the response, until the instant `deadline` at most. Of a request that
---is `raw` it has its head as it came (`head`).
---@param session table
---@param request table
---@param deadline number?
---@return table? res
---@return table? err
return function(session, request, deadline)
  local began = now()
  local res, err, again, coding = try(session, request, deadline, began)
  while again and request:rewind() do
    res, err, again, coding = try(session, request, deadline, began, true)
  end
  if coding and request.decode then return response.decoded(request, res, coding) end
  return res, err
end

-- SPDX-License-Identifier: MIT
-- corun.http.serve: HTTP/1.1 with a handler function, on net.serve. One task for each connection,
-- one scope for each request (S42). Owns for each server the list of the connections that wait for
-- a request, and how many each peer has. What an idle connection holds is counted in bytes.
local task = require "corun.task"
local core = require "corun.httpcore"
local inside = require "corun.inside"
local options = require "corun.options"
local message = require "corun.http_message"
local net = require "corun.net"
local reply = require "corun.http_reply"
local requests = require "corun.http_server_request"

local text_of = inside.text
local send, try, now = reply.send, task.try, task.now
local serve = reply.server(requests.class)

local server = {}

local OPTIONS = {
  limit = "count", per_peer = "count", max_head = "count", max_headers = "count",
  max_url = "count", max_body = "count", idle = "duration", head_timeout = "duration",
  request_timeout = "duration", stall = "duration", stream = "boolean", log = "function",
  tls = "boolean|table|userdata", backlog = "count", reuse = "boolean", reuse_port = "boolean",
  mode = "any", threads = "count|boolean",
}
local LIMITS = { -- what is not asked for
  limit = 16384, per_peer = 1024, max_head = 16 << 10, max_headers = 100, max_url = 8 << 10,
  max_body = 64 << 20, idle = 5, head_timeout = 60, request_timeout = 300, stall = 30,
}
local DRAIN = 2 -- seconds for which a client that was refused may go on sending
local UNREAD = 256 << 10 -- bytes of a body that nobody wanted, read for the sake of the connection
local REFUSED = 256 -- connections at once that are told why they were refused
local LOST = 1006 -- the close code of a WebSocket whose peer has said none
local WARM = 256 -- connections that keep their memory while they wait for a request
local FAILURE = {status = 500, body = "Internal Server Error\n"}

-- Answers ---------------------------------------------------------------------------------------

-- With `where`, the handler's place, the failure is of what it returned: a traceback would show
-- only code of corun's own.
local function log_failure(req, err, where)
  if where then
    io.stderr:write(("corun: %s %s failed: %s (the handler of %s)\n"):format(req.method, req.target,
      text_of(err), where))
    return
  end
  local trace = require("corun.debug").traceback(err)
  io.stderr:write(("corun: %s %s failed: %s\n%s"):format(req.method, req.target, text_of(err),
    trace and trace .. "\n" or ""))
end

-- Whether the script wants the connection closed after this answer.
local function wants_close(headers)
  local wish = type(headers) == "table" and message.find(headers, "connection")
  return type(wish) == "string" and wish:lower() == "close"
end

-- Read what the handler left of a body; whether the connection is in step again.
local function skip_rest(c)
  local left = UNREAD
  repeat
    local piece, last, keep = c:piece()
    if not piece then return false end
    left = left - #piece
    if last then return keep end
  until left < 0
  return false
end

-- The answer to a request whose handler failed; false when nothing is to be answered. What failed
-- in reading the body is the client's doing.
local function answer_failure(req, err)
  local fault = req.fault
  if not fault then
    log_failure(req, err)
    return FAILURE
  end
  local text, headers = "the request could not be read", nil
  if type(err) == "table" then text, headers = err.message, err.headers end
  return fault > 0 and {status = fault, headers = headers, body = text .. "\n"}
end

-- Send an answer that is neither a string nor a plain table, or one that is not as it should be.
-- Answers whether the connection may be kept, and the status; false alone when nothing was sent.
local function reply_at_length(c, req, state, res, fate)
  local outcome, err = try(reply.special, c, req, res, state.site, fate)
  if outcome then
    if outcome.err then log_failure(req, outcome.err) end
    return outcome.keep and fate ~= "close", outcome.status
  end
  log_failure(req, err, state.where)
  local sent = send(c, FAILURE, fate, req.method == "HEAD")
  return sent and fate ~= "close", sent and FAILURE.status
end

-- Answer a request whose handler failed with `err`. Answers as above.
local function reply_failure(c, req, err, fate)
  local res = answer_failure(req, err)
  if not res then return false end
  local sent = send(c, res, fate, req.method == "HEAD")
  return sent and fate ~= "close", sent and res.status
end

-- Connections -----------------------------------------------------------------------------------

-- Begin what the script is told of an answer.
local function begin_entry(c, peer, req, err)
  return {req = req, peer = peer, seconds = now(), bytes = select(2, c:traffic()), error = err}
end

-- The handler that begins so.
local function logged(handler)
  return function(req)
    local link = req.link
    link[6] = begin_entry(link[5], link[3], req)
    return handler(req)
  end
end

-- Tell the script what was answered since the entry was begun. Its failure is logged and changes
-- nothing.
local function tell(state, c, entry, status)
  entry.status = status or nil
  entry.seconds, entry.bytes = now() - entry.seconds, select(2, c:traffic()) - entry.bytes
  local ok, err = try(state.log, entry)
  if ok == nil and err ~= nil then
    io.stderr:write(("corun: the log of the server at %s failed: %s\n"):format(state.name,
      text_of(err)))
  end
end

-- Answer what could not be read, or was too much, with the message of the error.
local function refuse(c, state, peer, status, err)
  local log = state.log and begin_entry(c, peer, nil, err)
  if not send(c, {status = status, body = err.message .. "\n"}, "close") then return end
  if log then tell(state, c, log, status) end
  c:drain(DRAIN)
end

-- The error of what is not served at all.
local function no_service(code, text, peer)
  return task.err(code, text, {op = "serve", target = peer})
end

-- Take the body that comes in pieces away from the request, which a script may keep; whether some
-- of it is unread.
local function detach(req)
  local is_unread = req.connection ~= nil
  req.connection, req.is_answered = nil, true
  return is_unread
end

-- Whether a handler failed just because the client of its WebSocket left without a goodbye, as
-- those do that lose their network.
local function is_loss(err, peer)
  return type(err) == "table" and err.status == LOST and err.target == peer
end

-- The connection became a WebSocket, and the handler is done with it.
local function end_upgrade(c, link, req, res, err)
  local state, log, failed = link[1], link[6], res == nil and err ~= nil
  if link[4] then requests.release(link) end
  if failed and not is_loss(err, link[3]) then log_failure(req, err) end
  local sent = state.websockets.conclude(c, failed)
  if log then
    log.bytes = log.bytes - sent -- the connection itself knows nothing of them
    tell(state, c, log, 101)
  end
  return false
end

-- Answer a request with what its handler returned; answer whether the connection serves another.
local function respond(c, link, state, req, res, err)
  if req.upgraded then return end_upgrade(c, link, req, res, err) end
  local in_pieces, log = rawget(req, "over") ~= nil, link[6]
  local keep = c:keeps() and not (in_pieces and (req.fault or c:waits()))
  if state.closed and keep then keep = c:has_more() end -- what was pipelined is under way too
  if keep and type(res) == "table" and res.headers then keep = not wants_close(res.headers) end
  local fate, sent, status = not keep and "close" or req.version == "1.0" and "keep-alive" or "",
    false, nil
  if res ~= nil then sent = send(c, res, fate, req.method == "HEAD") end
  if sent then
    status = type(res) == "table" and res.status or 200
  elseif res == nil and err ~= nil then
    keep, status = reply_failure(c, req, err, fate)
  elseif sent == false then
    keep, status = reply_at_length(c, req, state, res, fate)
  end
  if link[4] then requests.release(link) end
  if log then
    link[6] = nil
    tell(state, c, log, status)
  end
  local is_unread = in_pieces and detach(req)
  if not status then return false end
  if in_pieces and keep then keep = is_unread and skip_rest(c) or not is_unread and req.over end
  if not keep then c:drain(DRAIN) end
  return keep
end

-- Do the rest of what was begun with a request: see corun.httpreply's serve.
local function conclude(c, link, state, req, res, err, is_gone)
  if req then return respond(c, link, state, req, res, err) end
  local peer, failure, status = link[3], res, err
  if req == false then
    refuse(c, state, peer, 501, no_service("ENOTSUP", "this server is no proxy", peer))
  elseif failure and not is_gone and status > 0 then
    refuse(c, state, peer, status, failure)
  end
  return false
end

-- What a peer is counted by; nil when it is not counted: proxies of this machine are many clients.
local function host_of(state, peer)
  local host = peer:match("^(.*):%d+$")
  if not host then return nil end
  local is_local = host:match("^127%.") or host == "[::1]"
  if is_local and not state.counts_local then return nil end
  return host
end

-- Count a connection in `tally`, in all and by its peer. Answers the host that it is counted by,
-- false for none; or nil and why, when it is one too many.
local function enter(state, tally, peer)
  if tally.count >= state.o.limit then return nil, "the server has too many connections" end
  local host = host_of(state, peer) or false
  local n = host and (tally.hosts[host] or 0)
  if n and n >= state.o.per_peer then return nil, "too many connections from this address" end
  tally.count = tally.count + 1
  if host then tally.hosts[host] = n + 1 end
  return host
end

local function leave(tally, host)
  tally.count = tally.count - 1
  if host then
    local n = tally.hosts[host] - 1
    tally.hosts[host] = n > 0 and n or nil
  end
end

-- What a connection's requests share, closed when its task ends: [1] the state, [2] the host of the
-- peer, [3] the peer, [4] what is to be closed after the request (http_server_request.lua), [5] the
-- connection, [6] what the script will be told of the answer.
local link_mt = {__close = function(link)
  local state, host = link[1], link[2]
  if link[4] then requests.release(link) end
  if state.websockets then state.websockets.release(link[5]) end
  leave(state.connections, host)
end}

-- Closed when the handshake of TLS has ended: [1] the tally, [2] the host.
local shaking_mt = {__close = function(shaking) leave(shaking[1], shaking[2]) end}

-- Count a connection that is to shake hands: they are as many as the others at most, and one more
-- is closed, for nothing can be said to it. Nil when it is one too many.
local function room_for(state, peer)
  local host = enter(state, state.handshakes, peer)
  return host ~= nil and setmetatable({state.handshakes, host}, shaking_mt) or nil
end

-- Count the connection; nil and why when it is one too many.
local function admit(c, peer, state)
  local host, why = enter(state, state.connections, peer)
  if host == nil then return nil, why end
  return setmetatable({state, host, peer, false, c}, link_mt)
end

-- Refuse a connection that is one too many, politely as long as there are few of them.
local function turn_away(c, state, peer, why)
  if state.refused >= REFUSED then return end
  state.refused = state.refused + 1
  local _ <close> = task.defer(function() state.refused = state.refused - 1 end)
  refuse(c, state, peer, 503, no_service("EAGAIN", why, peer))
end

-- Serve one connection until it ends.
local function converse(stream, state)
  local c <close> = core.connection(stream, "request")
  local o, peer = state.o, c:peer()
  local link <close>, why = admit(c, peer, state)
  if not link then return turn_away(c, state, peer, why) end
  c:time(o.head_timeout, o.request_timeout, o.stall)
  c:bound(o.max_head, o.max_headers, o.max_url, o.max_body)
  local handler, site, idle, seconds = state.handler, state.site, state.idle, o.idle
  local in_pieces, plain = o.stream, not state.log
  while not state.closed or c:has_more() do
    local req, res, err, is_gone = serve(c, handler, link, site, idle, seconds, in_pieces, plain)
    if req ~= true and not conclude(c, link, state, req, res, err, is_gone) then break end
  end
  c:finish() -- what is queued is under way as long as a slow client takes it
end

-- Close the connections that wait for a request: they need not be drained. What has come already,
-- also of those that nobody has accepted yet, is answered if there is time to.
local function close(self, state, o)
  options.check(o, "close", {drain = "duration"})
  if o and o.drain and o.drain > 0 and not state.closed then
    task.shield(task.sleep, 0) -- the loop accepts what has come
  end
  state.closed = true
  state.idle:close_silent()
  if state.websockets then state.websockets.leave_all() end
  return state.close(self, o)
end

---Serve HTTP; see lua/meta/http_server.lua.
function server.serve(addr, handler, o)
  if not require("corun.source").is_callable(handler) then
    options.misuse("serve needs a handler function, got " .. type(handler))
  end
  o = options.check(o, "serve", OPTIONS)
  if o.threads then return require("corun.http_server_threads").serve(addr, handler, o) end
  local info = type(handler) == "function" and debug.getinfo(handler, "S")
  local state = {
    idle = core.idle(math.huge, WARM), closed = false, refused = 0,
    connections = {count = 0, hosts = {}}, handshakes = {count = 0, hosts = {}},
    counts_local = o.per_peer ~= nil, o = {stream = o.stream}, log = o.log,
    handler = o.log and logged(handler) or handler, site = inside.site(handler),
    tls = o.tls ~= nil and o.tls ~= false,
    where = info and ("%s:%d"):format(info.short_src, info.linedefined) or tostring(handler),
  }
  for name, value in pairs(LIMITS) do state.o[name] = o[name] or value end
  local made, err = net.serve(addr, function(stream) return converse(stream, state) end, {
    tls = o.tls, backlog = o.backlog, reuse = o.reuse, reuse_port = o.reuse_port, mode = o.mode,
  })
  if not made then return nil, err end
  state.close, state.name = made.close, made:address()
  made.room_for = function(peer) return room_for(state, peer) end
  made.close = function(self, closing) return close(self, state, closing) end
  return made
end

return server

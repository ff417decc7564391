-- SPDX-License-Identifier: MIT
-- http.websocket: opens a WebSocket by a session, over a connection of its own that no pool counts.
-- The request passes the session's policies but those that follow, keep or replay answers. Owns
-- nothing that it does not return.
local task = require "corun.task"
local core = require "corun.httpcore"
local dial = require "corun.http_dial"
local options = require "corun.options"
local policies = require "corun.http_policies"
local request = require "corun.http_request"
local response = require "corun.http_response"
local websocket = require "corun.http_websocket"

local now = task.now

local MAX_BODY = 1 << 20 -- of an answer that refuses

-- What a request can be told; the rest is of the WebSocket.
local OF_REQUESTS = {"headers", "query", "timeout", "tls", "unix", "auth", "proxy", "retries",
  "netrc"}

-- The options of the request. There is nothing in it to keep in a cache or a recording.
local function request_options(o)
  local own = {
    redirects = false, cache = false, recorder = false, stream = false, decode = false,
    check = false,
  }
  for _, name in ipairs(OF_REQUESTS) do own[name] = o[name] end
  return own
end

-- One try: a response. What it agreed on is kept in `made`.
local function attempt(r, made)
  local began, deadline = now(), r.deadline
  local timeout = deadline and math.max(0, math.min(r.connect, deadline - began)) or r.connect
  local stream, err = dial.connect(r.route, timeout)
  if not stream then return nil, err end
  local c <close> = core.connection(stream, "response")
  c:offer()
  local total = deadline and math.max(0, deadline - now()) or -1
  local status, block, body, _, _, answered = c:exchange(r.head, nil, false, r.read, total,
    MAX_BODY)
  if not status then return nil, block end
  local res = response.new(status, block, body, r.url,
    {began = began, got = began, answered = answered, ended = now(), uses = 1})
  if status == 101 then
    made.ws, err = websocket.adopt_client(c, res, made.key, made.o)
    if not made.ws then return nil, err end
  end
  return res
end

-- Closed when the call ends: a WebSocket that nobody was given is closed too.
local made_mt = {__close = function(made)
  if made.ws then task.shield(made.ws.close, made.ws) end
end}

---Open a WebSocket; see lua/meta/http_websocket.lua.
---@param session table
---@param target string
---@param o table?
---@param requests table the types of the options of requests
---@param locate fun(session: table, target: string): table?, table?
return function(session, target, o, requests, locate)
  local spec = websocket.options{origin = "string"}
  for _, name in ipairs(OF_REQUESTS) do spec[name] = requests[name] end
  o = options.check(o, "websocket", spec)
  local u, err = locate(session, (target:gsub("^[wW][sS]([sS]?)([:+])", "http%1%2")))
  if not u then return nil, err end
  u.tunnel = true
  local r
  r, err = request.new(session, "GET", u, request_options(o))
  if not r then return nil, err end
  local made <close> = setmetatable({o = o, key = websocket.prepare(r, o)}, made_mt)
  if r.total then r = r:by(now() + r.total) end
  local way = policies.around(r, function(_, another) return attempt(another, made) end)
  local res
  res, err = way(session, r)
  if not res then return nil, err end
  if res.status ~= 101 then
    return nil, task.err("EHTTP", ("the server answered %d, not with a WebSocket"):format(
      res.status), {op = "websocket", target = res.url, status = res.status, response = res})
  end
  local ws = made.ws
  made.ws = nil
  return ws
end

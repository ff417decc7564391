-- SPDX-License-Identifier: MIT
-- WebSocket (RFC 6455): the handshakes of both sides, what they agree on, and how a conversation
-- ends with its scope. What goes over the connection afterwards is written and read in C
-- (src/http/websocket*.c). Owns nothing.
local task = require "corun.task"
local codec = require "corun.codec"
local core = require "corun.websocketcore"
local deflate = require "corun.http_websocket_deflate"
local inside = require "corun.inside"
local message = require "corun.http_message"
local options = require "corun.options"
local trim = require "corun.http_trim"

local is_token = require("corun.httpcore").is_token

local websocket = {}

local VERSION = "13"
local MAX_MESSAGE = 16 << 20
local PING = 30
local NORMAL, GOING_AWAY, FAILED = 1000, 1001, 1011

-- What both sides can say.
local COMMON = {
  headers = "table", protocols = "table", max_message = "count", ping = "boolean|duration",
  deflate = "boolean|table",
}

---The options of one side: those of both, and `spec`.
function websocket.options(spec)
  for name, kind in pairs(COMMON) do spec[name] = kind end
  return spec
end

local UPGRADE = websocket.options{origin = "string|table|function"}

-- The object ------------------------------------------------------------------------------------

local class = core.metatable

-- Say goodbye when the scope ends: it waits a little for the peer's, also in a cancelled scope.
local function leave(ws, code)
  if core.is_open(ws) then task.shield(ws.close, ws, code) end
end

function class:__close(err)
  leave(self, task.is_cancelled(err) and GOING_AWAY or NORMAL)
end

-- What both handshakes agree on -----------------------------------------------------------------

-- Whether a list of a header ("a, b") has the word, whatever its case.
local function lists(value, word)
  for item in (value or ""):gmatch("[^,]+") do
    if trim(item):lower() == word then return true end
  end
  return false
end

local NONE = {}

-- The option `protocols`, checked.
local function protocols_of(o, op)
  for _, name in ipairs(o.protocols or NONE) do
    if type(name) ~= "string" or not is_token(name) then
      options.misuse(('option "protocols" for %s must be a list of names, got %s'):format(op,
        options.show(name)), 4)
    end
  end
  return o.protocols or NONE
end

-- Seconds of silence until the peer is asked for a sign of life; 0: never.
local function ping_of(o)
  if o.ping == false then return 0 end
  return type(o.ping) == "number" and o.ping or PING
end

local function adopt(c, is_server, o, agreed, protocol)
  return core.adopt(c, is_server, o.max_message or MAX_MESSAGE, ping_of(o), agreed, protocol)
end

local ID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

-- What a server answers the key with.
local function accept(key)
  return codec.base64.encode(codec.hash("sha1"):update(key .. ID):bytes())
end

-- Servers ---------------------------------------------------------------------------------------

-- Answer the request with a status instead: raised, and sent by the server.
local function refuse(req, status, text, headers)
  req.fault = status
  error(task.err("EPROTO", text, {op = "upgrade", target = req.path, headers = headers}), 0)
end

local SPOKEN = {upgrade = "websocket", ["sec-websocket-version"] = VERSION}

-- Refuse what is no request for a WebSocket.
local function check_request(req, asks, key, version)
  if req.method ~= "GET" or req.version ~= "1.1" or req.connection or req.body ~= "" then
    refuse(req, 400, "a WebSocket begins with a GET request of HTTP/1.1 that has no body")
  elseif not asks then
    refuse(req, 426, "this is for WebSocket: the request must ask for an upgrade to it", SPOKEN)
  elseif version ~= VERSION then
    refuse(req, 426, "the version of WebSocket must be " .. VERSION, SPOKEN)
  elseif not key or #key ~= 24 or not key:find("^[%w+/]+==$") then
    refuse(req, 400, "the key of the WebSocket must be 16 bytes in base64")
  end
end

-- What the answer says by itself.
local OURS = {
  upgrade = true, connection = true, ["content-length"] = true, ["transfer-encoding"] = true,
  ["sec-websocket-accept"] = true, ["sec-websocket-protocol"] = true,
  ["sec-websocket-extensions"] = true,
}

-- Check what the types of the options of an upgrade do not tell.
local function check_upgrade(o)
  for name in pairs(o.headers or NONE) do
    if type(name) == "string" and OURS[name:lower()] then
      options.misuse(("header %q is set by corun itself"):format(name), 3)
    end
  end
  if type(o.origin) ~= "table" then return end
  options.check_list(o.origin, 'option "origin" for upgrade')
  for _, one in ipairs(o.origin) do
    if type(one) ~= "string" then
      options.misuse('option "origin" for upgrade must be a list of strings, got '
        .. options.show(one), 3)
    end
  end
end

-- Whether a page of this origin may talk to the server: by default those it has served itself.
local function is_welcome(req, origin, host, allowed)
  if allowed == "*" or not origin then return true end
  if type(allowed) == "function" then return allowed(origin, req) end
  if allowed == nil then
    return origin:lower():match("^%a[%w+.-]*://(.+)$") == (host or ""):lower()
  end
  for _, one in ipairs(type(allowed) == "table" and allowed or {allowed}) do
    if one:lower() == origin:lower() then return true end
  end
  return false
end

-- The first of our protocols that the client offers.
local function choose(offered, ours)
  for _, name in ipairs(ours) do
    for item in (offered or ""):gmatch("[^,%s]+") do
      if item == name then return name end
    end
  end
end

local ANSWER = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n" ..
  "connection: upgrade\r\nsec-websocket-accept: %s\r\n%s\r\n"

-- The lines of an answer that not each one has.
local function lines_of(o, protocol, extension)
  if not protocol and not extension and not o.headers then return "" end
  local lines = {}
  if protocol then lines[#lines + 1] = "sec-websocket-protocol: " .. protocol .. "\r\n" end
  if extension then lines[#lines + 1] = "sec-websocket-extensions: " .. extension .. "\r\n" end
  if o.headers then message.add_headers(lines, o.headers) end
  return table.concat(lines)
end

-- The open WebSockets of a server, each by the connection that became one.
local function open_ones()
  local open, ones = {}, {}

  function ones.add(c, ws) open[c] = ws end

  -- The handler has returned, or failed. Answers the bytes that were sent.
  function ones.conclude(c, failed)
    leave(open[c], failed and FAILED or NORMAL)
    return core.sent(open[c])
  end

  -- The task of a connection ends, however it does.
  function ones.release(c)
    local ws = open[c]
    if not ws then return end
    open[c] = nil
    leave(ws, GOING_AWAY)
  end

  -- The server is closing: say goodbye to all.
  function ones.leave_all()
    for _, ws in pairs(open) do core.leave(ws, GOING_AWAY) end
  end

  return ones
end

-- Raise unless the request can still be answered: what a script keeps of an old one must not reach
-- into the conversation about another.
local function check_open(req, c)
  local fault = req.upgraded ~= nil and "the request was upgraded before"
    or not c:handles(req) and "the request was answered before"
  if fault then inside.raise("ECLOSED", "upgrade", req.path, fault) end
end

-- Switch to the other protocol. Nobody else may while this waits.
local function switch(req, c, text)
  req.upgraded = false
  local ok, err = c:send(text)
  if ok then return end
  req.fault = 0
  error(err, 0)
end

---Answer a request with an upgrade; see lua/meta/http_websocket.lua.
---@param req table
---@param c userdata the connection
---@param state table of the server
function websocket.upgrade(req, c, state, o)
  o = options.check(o, "upgrade", UPGRADE)
  local ours = protocols_of(o, "upgrade")
  check_upgrade(o)
  check_open(req, c)
  inside.checkpoint()
  local asks, host, origin, key, version, protocols, extensions = core.fields(req.block)
  check_request(req, asks, key, version)
  if not is_welcome(req, origin, host, o.origin) then
    refuse(req, 403, "pages of this origin may not open a WebSocket here")
  end
  if state.closed then refuse(req, 503, "the server is closing") end
  check_open(req, c) -- a function that says who is welcome may have waited
  local protocol = choose(protocols, ours)
  local agreed, extension = deflate.accept(o.deflate, extensions)
  switch(req, c, ANSWER:format(accept(key), lines_of(o, protocol, extension)))
  local ws = adopt(c, true, o, agreed, protocol)
  req.upgraded = true
  state.websockets = state.websockets or open_ones()
  state.websockets.add(c, ws)
  if state.closed then core.leave(ws, GOING_AWAY) end -- it said goodbye to the others meanwhile
  return ws
end

-- Clients -----------------------------------------------------------------------------------------

-- What is wrong with the answer 101; nil if nothing is.
local function fault_of(headers, key, offered)
  if not lists(headers.upgrade, "websocket") or not lists(headers.connection, "upgrade") then
    return "the server switched to a protocol that nobody asked for"
  elseif headers["sec-websocket-accept"] ~= accept(key) then
    return "the server's answer is not that to the key of the WebSocket"
  end
  local protocol = headers["sec-websocket-protocol"]
  if protocol and not offered[protocol] then
    return "the server chose a subprotocol that was not offered"
  end
end

---The WebSocket that an answer 101 stands for; or nil, error.
function websocket.adopt_client(c, res, key, o)
  local offered = {}
  for _, name in ipairs(o.protocols or {}) do offered[name] = true end
  local headers = res.headers
  local fault, agreed = fault_of(headers, key, offered), nil
  if not fault then
    agreed, fault = deflate.agree(o.deflate, headers["sec-websocket-extensions"])
  end
  if fault then
    return nil, task.err("EPROTO", fault, {op = "websocket", target = res.url, response = res})
  end
  return adopt(c, false, o, agreed, headers["sec-websocket-protocol"])
end

---Make ready a request that asks for a WebSocket.
---@return string key
function websocket.prepare(request, o)
  local key = codec.base64.encode(codec.random(16))
  request:set("connection", "Upgrade")
  request:set("upgrade", "websocket")
  request:set("sec-websocket-version", VERSION)
  request:set("sec-websocket-key", key)
  local ours = protocols_of(o, "websocket")
  if #ours > 0 then request:set("sec-websocket-protocol", table.concat(ours, ", ")) end
  if o.origin then request:set("origin", o.origin) end
  local extension = deflate.offer(o.deflate)
  if extension then request:set("sec-websocket-extensions", extension) end
  request:seal()
  return key
end

-- Broadcasts --------------------------------------------------------------------------------------

local QUEUE = 1 << 20

-- The WebSockets of a list, or of a table that has them as keys or as values.
local function gather(sockets)
  local list = {}
  for key, value in pairs(sockets) do
    local ws = core.is(key) and key or value
    if not core.is(ws) then
      options.misuse("broadcast needs a table of WebSockets, got one with " .. options.show(ws), 3)
    end
    list[#list + 1] = ws
  end
  return list
end

---Send a message to many; see lua/meta/http_websocket.lua.
function websocket.broadcast(sockets, data, kind, o)
  if type(sockets) ~= "table" then
    options.misuse("broadcast needs a table of WebSockets, got " .. type(sockets))
  end
  if type(data) ~= "string" then
    options.misuse("broadcast needs a string to send, got " .. type(data))
  end
  o = options.check(o, "broadcast", {queue = "count", slow = "string"})
  if o.slow and o.slow ~= "skip" and o.slow ~= "close" then
    options.misuse(('option "slow" for broadcast must be "skip" or "close", got %s'):format(
      options.show(o.slow)))
  end
  return core.cast(gather(sockets), data, kind or "text", o.queue or QUEUE, o.slow == "close")
end

return websocket

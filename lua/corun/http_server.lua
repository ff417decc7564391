-- SPDX-License-Identifier: MIT
-- corun.http.serve: HTTP/1.1 with a handler function, on net.serve. One task for each connection,
-- one scope for each request (S42). Owns for each server the list of the connections that
-- wait for a request. What an idle connection holds is counted in bytes.
local task = require "corun.task"
local core = require "corun.httpcore"
local inside = require "corun.inside"
local options = require "corun.options"
local message = require "corun.http_message"
local net = require "corun.net"
local reply = require "corun.http_reply"

local attend, send, try = inside.attend, reply.send, task.try

local server = {}

local OPTIONS = {limit = "count", max_body = "count", idle = "duration"}
local MAX_BODY, IDLE = 64 << 20, 75
local DRAIN = 2 -- seconds for which a client that was refused may go on sending

-- Requests --------------------------------------------------------------------------------------

local function unescape(hex) return string.char(tonumber(hex, 16)) end

local function decode(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", unescape))
end

local function parse_query(text)
  local t = {}
  for pair in text:gmatch("[^&]+") do
    local name, value = pair:match("^([^=]*)=(.*)$")
    t[decode(name or pair)] = decode(value or "")
  end
  return t
end

local request = {__name = "http request", __tostring = function(self)
  return ("http request (%s %s)"):format(self.method, self.target)
end}

function request.__index(self, key)
  if key == "json" then return message.json end
  local value
  if key == "headers" then
    value = message.headers(self.block)
  elseif key == "query" then
    value = parse_query(self.target:match("?(.*)$") or "")
  end
  if value ~= nil then rawset(self, key, value) end
  return value
end

-- Answers ---------------------------------------------------------------------------------------

-- With `where`, the handler's place, the failure is of what it returned: a traceback would show
-- only code of corun's own.
local function log_failure(req, err, where)
  if where then
    io.stderr:write(("corun: %s %s failed: %s (the handler of %s)\n"):format(req.method, req.target,
      tostring(err), where))
    return
  end
  local trace = require("corun.debug").traceback(err)
  io.stderr:write(("corun: %s %s failed: %s\n%s"):format(req.method, req.target, tostring(err),
    trace and trace .. "\n" or ""))
end

local FAILURE = {status = 500, body = "Internal Server Error\n"}

-- Whether the script wants the connection closed after this answer.
local function wants_close(res)
  local headers = type(res) == "table" and res.headers
  local wish = type(headers) == "table" and message.find(headers, "connection")
  return type(wish) == "string" and wish:lower() == "close"
end

-- Connections -----------------------------------------------------------------------------------

-- Answer a request that the parser refused.
local function refuse(c, status, err)
  if send(c, {status = status, body = err.message .. "\n"}, "close") then c:drain(DRAIN) end
end

-- Answer one request; answer whether the connection serves another one.
local function respond(c, peer, state, method, target, block, body, keep, minor, path)
  local req = setmetatable({
    method = method, target = target, path = path, block = block, body = body, peer = peer,
    version = minor == 1 and "1.1" or "1.0",
  }, request)
  local res, err = attend(state.site, state.handler, req)
  keep = keep and not state.closed and not wants_close(res)
  local fate = not keep and "close" or minor == 0 and "keep-alive" or ""
  local is_head, sent = method == "HEAD", nil
  if res == nil and err ~= nil then
    log_failure(req, err)
    sent = send(c, FAILURE, fate, is_head)
  else
    sent = send(c, res, fate, is_head)
    if sent == false then
      log_failure(req, select(2, try(reply.complain, res)), state.where)
      sent = send(c, FAILURE, fate, is_head)
    end
  end
  if not sent then return false end
  if not keep then c:drain(DRAIN) end
  return keep
end

-- Do with what was received: a request; nil alone; or nil, error, status, whether the peer is gone.
local function take(c, peer, state, method, target, block, body, keep, minor, path)
  if method == "CONNECT" then -- its target is no path, and what follows it no HTTP
    refuse(c, 501, {message = "this server is no proxy"})
    return false
  end
  if method then
    return respond(c, peer, state, method, target, block, body, keep, minor, path)
  end
  local err, status, is_gone = target, block, body
  if err and not is_gone and status > 0 then refuse(c, status, err) end
  return false
end

-- Close the connections that wait for a request: they need not be drained.
local function close(self, state, o)
  options.check(o, "close", {drain = "duration"})
  state.closed = true
  state.idle:close_all()
  return state.close(self, o)
end

---Serve HTTP; see lua/meta/http.lua.
function server.serve(addr, handler, o)
  if not require("corun.source").is_callable(handler) then
    options.misuse("serve needs a handler function, got " .. type(handler))
  end
  o = options.check(o, "serve", OPTIONS)
  local pause, max_body = o.idle or IDLE, o.max_body or MAX_BODY
  local state = {
    idle = core.idle(math.huge), closed = false, handler = handler, site = inside.site(handler),
  }
  local info = type(handler) == "function" and debug.getinfo(handler, "S")
  state.where = info and ("%s:%d"):format(info.short_src, info.linedefined) or tostring(handler)
  local made, err = net.serve(addr, function(stream)
    local c <close> = core.connection(stream, "request")
    local peer = c:peer()
    c:limit(pause, -1, max_body)
    while not state.closed and take(c, peer, state, c:receive(state.idle)) do end
  end, {limit = o.limit})
  if not made then return nil, err end
  state.close = made.close
  made.close = function(self, closing) return close(self, state, closing) end
  return made
end

return server

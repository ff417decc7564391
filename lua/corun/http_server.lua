-- SPDX-License-Identifier: MIT
-- corun.http.serve: HTTP/1.1 with a handler function, on net.serve. One task for each connection,
-- one scope for each request (S42). Owns the cached Date line, and for each server the list of the
-- connections that wait for a request. What an idle connection holds is counted in bytes.
local task = require "corun.task"
local core = require "corun.httpcore"
local json = require "corun.json"
local options = require "corun.options"
local message = require "corun.http_message"
local net = require "corun.net"

local try, scope = task.try, task.scope
local time = os.time

local server = {}

local OPTIONS = {limit = "count", max_body = "count", idle = "duration"}
local RESPONSE = {status = "number", headers = "table", body = "string", json = "any"}
local MAX_BODY, IDLE = 64 << 20, 75
local DRAIN = 2 -- seconds for which a client that was refused may go on sending
local OWN = {["content-length"] = true, ["transfer-encoding"] = true, connection = true}

local REASONS = {
  [200] = "OK", [201] = "Created", [202] = "Accepted", [204] = "No Content",
  [206] = "Partial Content", [301] = "Moved Permanently", [302] = "Found", [303] = "See Other",
  [304] = "Not Modified", [307] = "Temporary Redirect", [308] = "Permanent Redirect",
  [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found",
  [405] = "Method Not Allowed", [406] = "Not Acceptable", [408] = "Request Timeout",
  [409] = "Conflict", [410] = "Gone", [412] = "Precondition Failed", [413] = "Content Too Large",
  [414] = "URI Too Long", [415] = "Unsupported Media Type", [418] = "I'm a teapot",
  [422] = "Unprocessable Content", [429] = "Too Many Requests",
  [431] = "Request Header Fields Too Large", [500] = "Internal Server Error",
  [501] = "Not Implemented", [502] = "Bad Gateway", [503] = "Service Unavailable",
  [504] = "Gateway Timeout", [505] = "HTTP Version Not Supported",
}

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

-- The path and the query of a target, which may be an absolute URL (RFC 9112, section 3.2.2).
local function split(target)
  if target:sub(1, 1) ~= "/" then target = target:gsub("^%a[%w+.-]*://[^/?]*", "") end
  local path, query = target:match("^([^?]*)%??(.*)$")
  return path == "" and "/" or path, query
end

local request = {__name = "http request", __tostring = function(self)
  return ("http request (%s %s)"):format(self.method, self.target)
end}

function request.__index(self, key)
  if key == "json" then return message.json end
  local value
  if key == "headers" then
    value = message.headers(self.block)
  elseif key == "path" then
    value = split(self.target):gsub("%%(%x%x)", unescape)
  elseif key == "query" then
    local _, query = split(self.target)
    value = parse_query(query)
  end
  if value ~= nil then rawset(self, key, value) end
  return value
end

-- Responses -------------------------------------------------------------------------------------

local second, date, text_start = -1, nil, nil

-- The line with the date, which is made once a second.
local function date_line()
  local t = time()
  if t ~= second then
    second = t
    date = os.date("!date: %a, %d %b %Y %H:%M:%S GMT\r\n", t)
    text_start = "HTTP/1.1 200 OK\r\n" .. date ..
      "content-type: text/plain; charset=utf-8\r\ncontent-length: "
  end
  return date
end

-- The head and body of a response table; raises on misuse.
local function serialise(res, close)
  if type(res) ~= "table" then
    error(("the handler returned %s instead of a string or a table"):format(
      res == true and "nothing" or type(res)), 0)
  end
  options.check(res, "a response", RESPONSE)
  local status, headers, body = res.status or 200, res.headers, res.body
  if math.type(status) ~= "integer" or status < 200 or status > 999 then
    error(("the response has the status %s"):format(tostring(status)), 0)
  end
  if res.json ~= nil then
    if body then error('a response has either "body" or "json"', 0) end
    body = json.encode(res.json)
  end
  local head = "HTTP/1.1 " .. status .. " " .. (REASONS[status] or "Unknown") .. "\r\n"
  if not (headers and message.find(headers, "date")) then head = head .. date_line() end
  if res.json ~= nil and not (headers and message.find(headers, "content-type")) then
    head = head .. "content-type: application/json\r\n"
  end
  if headers then
    local out = {head}
    message.add_headers(out, headers, OWN)
    head = table.concat(out)
  end
  if status == 204 or status == 304 then return head .. close .. "\r\n", nil end
  return head .. "content-length: " .. #(body or "") .. "\r\n" .. close .. "\r\n", body
end

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

-- The head and body of what a handler returned, and whether the connection is kept. Its failure is
-- a 500.
local function answer(req, where, keep, close, res, err)
  if type(res) == "string" then
    date_line()
    return text_start .. #res .. "\r\n" .. close .. "\r\n", res, keep
  end
  if res ~= nil or err == nil then
    local wish = type(res) == "table" and type(res.headers) == "table" and
      message.find(res.headers, "connection")
    if type(wish) == "string" and wish:lower() == "close" then
      keep, close = false, "connection: close\r\n"
    end
    local head, body = try(serialise, res, close)
    if head then return head, body, keep end
    err = body
  else
    where = nil
  end
  log_failure(req, err, where)
  local head, body = serialise({status = 500, body = "Internal Server Error\n"}, close)
  return head, body, keep
end

-- Connections -----------------------------------------------------------------------------------

local CLOSE, KEEP = "connection: close\r\n", "connection: keep-alive\r\n"

-- Answer a request that the parser refused.
local function refuse(c, status, err)
  if c:send(serialise({status = status, body = err.message .. "\n"}, CLOSE)) then
    c:drain(DRAIN)
  end
end

-- Answer one request; answer whether the connection serves another one.
local function respond(c, peer, state, method, target, block, body, keep, minor)
  local req = setmetatable({
    method = method, target = target, block = block, body = body, peer = peer,
    version = minor == 1 and "1.1" or "1.0",
  }, request)
  state.req = req -- taken by state.call before anything else can run
  local res, err = try(scope, state.call)
  keep = keep and not state.closed
  local close = not keep and CLOSE or minor == 0 and KEEP or ""
  local head, payload
  head, payload, keep = answer(req, state.where, keep, close, res, err)
  if method == "HEAD" then payload = nil end
  if not c:send(head, payload) then return false end
  if not keep then c:drain(DRAIN) end
  return keep
end

-- Do with what was received: a request; nil alone; or nil, error, status, whether the peer is gone.
local function attend(c, peer, state, method, target, block, body, keep, minor)
  if method == "CONNECT" then -- its target is no path, and what follows it no HTTP
    refuse(c, 501, {message = "this server is no proxy"})
    return false
  end
  if method then return respond(c, peer, state, method, target, block, body, keep, minor) end
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
  local state = {idle = core.idle(math.huge), closed = false}
  local info = type(handler) == "function" and debug.getinfo(handler, "S")
  state.where = info and ("%s:%d"):format(info.short_src, info.linedefined) or tostring(handler)
  function state.call()
    local req = state.req
    state.req = nil
    return handler(req)
  end
  local made, err = net.serve(addr, function(stream)
    local c <close> = core.connection(stream, "request")
    local peer = c:peer()
    c:limit(pause, -1, max_body)
    while not state.closed and attend(c, peer, state, c:receive(state.idle)) do end
  end, {limit = o.limit})
  if not made then return nil, err end
  state.close = made.close
  made.close = function(self, closing) return close(self, state, closing) end
  return made
end

return server

-- SPDX-License-Identifier: MIT
-- corun.http.serve: HTTP/1.1 with a handler function, on net.serve. One task for each connection,
-- one scope for each request (S42). Owns nothing but the cached Date line.
local task = require "corun.task"
local core = require "corun.httpcore"
local options = require "corun.options"
local message = require "corun.http_message"

local try, scope, now = task.try, task.scope, task.now

local server = {}

local OPTIONS = {limit = "count", max_body = "count", idle = "duration"}
local RESPONSE = {status = "number", headers = "table", body = "string", json = "any"}
local MAX_BODY, IDLE = 64 << 20, 75
local OWN = {["content-length"] = true, ["transfer-encoding"] = true, connection = true}

local REASONS = {
  [200] = "OK", [201] = "Created", [202] = "Accepted", [204] = "No Content",
  [206] = "Partial Content", [301] = "Moved Permanently", [302] = "Found", [303] = "See Other",
  [304] = "Not Modified", [307] = "Temporary Redirect", [308] = "Permanent Redirect",
  [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found",
  [405] = "Method Not Allowed", [408] = "Request Timeout", [409] = "Conflict", [410] = "Gone",
  [413] = "Content Too Large", [414] = "URI Too Long", [422] = "Unprocessable Content",
  [429] = "Too Many Requests", [431] = "Request Header Fields Too Large",
  [500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway",
  [503] = "Service Unavailable", [504] = "Gateway Timeout",
  [505] = "HTTP Version Not Supported",
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

local request = {__name = "http request", __tostring = function(self)
  return ("http request (%s %s)"):format(self.method, self.target)
end}

function request.__index(self, key)
  if key == "json" then return message.json end
  local value
  if key == "headers" then
    value = message.headers(self.block)
  elseif key == "query" then
    value = parse_query(self.target:match("%?(.*)$") or "")
  elseif key == "path" then
    value = self.target:match("^[^?]*"):gsub("%%(%x%x)", unescape)
  end
  if value ~= nil then rawset(self, key, value) end
  return value
end

-- Responses -------------------------------------------------------------------------------------

local date_second, date_line = -1, nil

local function date()
  local second = now() // 1
  if second ~= date_second then
    date_second = second
    date_line = os.date("!date: %a, %d %b %Y %H:%M:%S GMT\r\n")
  end
  return date_line
end

local function head_line(status)
  return "HTTP/1.1 " .. status .. " " .. (REASONS[status] or "Unknown") .. "\r\n"
end

-- The head and body of what a handler returned. Raises on misuse.
local function serialise(res, keep)
  local close = keep and "" or "connection: close\r\n"
  if type(res) == "string" then
    return head_line(200) .. date() .. "content-type: text/plain; charset=utf-8\r\ncontent-length: "
      .. #res .. "\r\n" .. close .. "\r\n", res
  end
  if type(res) ~= "table" then
    error(("the handler returned %s instead of a string or a table"):format(
      res == true and "nothing" or type(res)), 0)
  end
  options.check(res, "a response", RESPONSE)
  local status = res.status or 200
  if math.type(status) ~= "integer" or status < 200 or status > 999 then
    error(("the response has the status %s"):format(tostring(status)), 0)
  end
  local out = {head_line(status), date()}
  local body = res.body
  if res.json ~= nil then
    body = require("corun.json").encode(res.json)
    if not message.has(res.headers, "content-type") then
      out[#out + 1] = "content-type: application/json\r\n"
    end
  end
  if res.headers then message.add_headers(out, res.headers, OWN) end
  if status ~= 204 and status ~= 304 then
    out[#out + 1] = "content-length: " .. #(body or "") .. "\r\n"
  else
    body = nil
  end
  out[#out + 1] = close
  out[#out + 1] = "\r\n"
  return table.concat(out), body
end

local function log_failure(req, err)
  local trace = require("corun.debug").traceback(err)
  io.stderr:write(("corun: %s %s failed: %s\n%s"):format(req.method, req.target, tostring(err),
    trace and trace .. "\n" or ""))
end

-- Call the handler in a scope of its own; its failure is a 500.
local function answer(handler, req, keep)
  local res, err = try(scope, function() return handler(req) end)
  if res ~= nil or err == nil then
    local head, body = try(serialise, res, keep)
    if head then return head, body end
    err = body
  end
  log_failure(req, err)
  return serialise({status = 500, body = "Internal Server Error\n"}, keep)
end

-- Connections -----------------------------------------------------------------------------------

local function refuse(c, status, err)
  local head, body = serialise({status = status, body = err.message .. "\n"}, false)
  c:send(head, body)
end

local function serve_connection(stream, handler, o)
  local c <close> = core.connection(stream, "request")
  local peer = c:peer()
  while true do
    c:limit(o.idle or IDLE, -1, o.max_body or MAX_BODY)
    local method, target, block, body, keep, minor = c:receive()
    if not method then
      local err, status, silent = target, block, body
      if err and not silent and status and status > 0 then refuse(c, status, err) end
      return
    end
    local req = setmetatable({method = method, target = target, block = block, body = body,
                              peer = peer, version = minor == 1 and "1.1" or "1.0"}, request)
    if minor == 0 then keep = false end -- HTTP/1.0 clients would have to be told
    local head, payload = answer(handler, req, keep)
    if method == "HEAD" then payload = nil end
    if not c:send(head, payload) or not keep then return end
  end
end

---Serve HTTP; see lua/meta/http.lua.
function server.serve(addr, handler, o)
  if not require("corun.source").is_callable(handler) then
    options.misuse("serve needs a handler function, got " .. type(handler))
  end
  o = options.check(o, "serve", OPTIONS)
  return require("corun.net").serve(addr, function(stream)
    serve_connection(stream, handler, o)
  end, {limit = o.limit})
end

return server

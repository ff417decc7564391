-- SPDX-License-Identifier: MIT
-- http.proxy: answers requests by asking another server, both bodies piece by piece. Owns a session
-- of its own with the connections to that server. What is said about a connection stays on it;
-- everything else goes through as it came, the path byte by byte. While the server is waited for
-- the client is watched: once it has gone nobody wants the answer.
local combine = require "corun.combine"
local corun = require "corun"
local message = require "corun.http_message"
local options = require "corun.options"
local request = require "corun.http_request"
local requests = require "corun.http_server_request"
local session = require "corun.http_session"
local url = require "corun.url"
local urls = require "corun.http_url"
local writer = require "corun.http_writer"

local proxy = {}

local OPTIONS = {
  headers = "table", keep_host = "boolean", trust = "boolean", forwarded = "boolean",
  on_error = "function", timeout = "duration|table", limit = "count", idle = "duration",
  tls = "boolean|table|userdata",
}
local TIMEOUT = {connect = 10, read = 60}
local AHEAD = 256 << 10 -- bytes of an answer that are kept while its request comes
local LIMIT, IDLE = 1024, 4 -- Node closes what has idled for 5 seconds
local HOP_BY_HOP = { -- RFC 9110, 7.6.1, and what older software says
  connection = true, ["keep-alive"] = true, ["proxy-connection"] = true, te = true, trailer = true,
  ["transfer-encoding"] = true, upgrade = true, ["content-length"] = true, expect = true,
  ["proxy-authenticate"] = true, ["proxy-authorization"] = true,
}
local UNASKED = {"user-agent", "accept", "accept-encoding"} -- which the client adds by itself

-- Headers ---------------------------------------------------------------------------------------

-- The names that the header Connection has, in lower case.
local function named(value)
  local names = {}
  for name in (value or ""):lower():gmatch("[^ \t,]+") do names[name] = true end
  return names
end

-- The headers of a message that go through, by names in lower case, those that stand several times
-- as a list.
local function passed(headers, block)
  local out, dropped = {}, named(headers.connection)
  for name, value in block:gmatch("([^:\r\n]+):[ \t]*([^\r\n]*)\r\n") do
    if not HOP_BY_HOP[name] and not dropped[name] then
      local other = out[name]
      if other == nil then
        out[name] = value
      elseif type(other) == "table" then
        other[#other + 1] = value
      else
        out[name] = {other, value}
      end
    end
  end
  return out
end

-- One value of several.
local function joined(value)
  return type(value) == "table" and table.concat(value, ", ") or value
end

-- The address of the client without its port; nil when it has none, as on a Unix socket.
local function address_of(req)
  return req.peer:match("^%[(.*)%]:%d+$") or req.peer:match("^([%d.]+):%d+$")
end

-- How RFC 7239 writes an address, or a host.
local function node(address)
  if address:find(":", 1, true) then return '"[' .. address .. ']"' end
  return address
end

local function append(headers, name, value)
  local before = joined(headers[name])
  headers[name] = before and before .. ", " .. value or value
end

-- Tell the server of the client. What the client says of itself is believed with `trust` alone.
local function add_forwarded(self, headers, req, host)
  if not self.trust then
    for name in pairs(headers) do
      if name:find("^x%-forwarded%-") or name == "forwarded" then headers[name] = nil end
    end
  end
  local address, proto = address_of(req), req.tls and "https" or "http"
  if address then append(headers, "x-forwarded-for", address) end
  headers["x-forwarded-proto"] = headers["x-forwarded-proto"] or proto
  headers["x-forwarded-host"] = headers["x-forwarded-host"] or host
  if not self.forwarded then return end
  local value = ("for=%s;proto=%s"):format(address and node(address) or "unknown", proto)
  append(headers, "forwarded", host and ('%s;host="%s"'):format(value, host) or value)
end

local function headers_of(self, req)
  local headers = passed(req.headers, req.block)
  local host = joined(headers.host)
  if host == "" then host = nil end
  add_forwarded(self, headers, req, host)
  headers.host = self.keep_host and host or nil
  for name, value in pairs(self.headers or {}) do headers[name:lower()] = value end
  for _, name in ipairs(UNASKED) do
    if headers[name] == nil then headers[name] = false end
  end
  return headers
end

-- Requests --------------------------------------------------------------------------------------

-- The target below that of the proxy; nil when the path leads out of it.
local function target_of(self, req)
  local path, query = req.target:gsub("^%a[^/?]*://[^/?]*", "", 1):match("^([^?]*)(.*)$")
  path = req.subpath or path
  for segment in path:gmatch("[^/\\]+") do
    local name = "/" .. url.decode(segment):gsub("\\", "/") .. "/"
    if name:find("/%.%.?/") then return nil end
  end
  if path:sub(1, 1) ~= "/" then path = "/" .. path end -- "*", of OPTIONS
  return self.base .. path .. query
end

-- The URL of a request: that of the server with another target, as it came.
local function location(self, target)
  local u = {}
  for key, value in pairs(self.u) do u[key] = value end
  u.target, u.url = target, self.origin .. target
  return u
end

-- The body, for the option `body`; and its length where that is to be told otherwise.
local function body_of(req, all_read)
  local text = rawget(req, "body")
  local length = req.headers["content-length"]
  if text then return (text ~= "" or length) and text or nil end
  return function()
    local piece, err = req:recv()
    if not req.connection then all_read:set() end
    return piece, err
  end, math.tointeger(tonumber(length))
end

-- Ask the server: a streamed response; or nil and an error.
local function ask(self, req, target, all_read)
  local body, length = body_of(req, all_read)
  local r, err = request.new(self.session, req.method, location(self, target), {
    headers = headers_of(self, req), body = body,
  })
  if not r then return nil, err end
  self.u.route, r.ahead = r.route, AHEAD
  if length then
    r.length, r.source.length = length, length
    r:seal()
  end
  return r.way(self.session, r)
end

-- What `fn` gives, unless the client goes meanwhile; then nil and GONE. That can be told only once
-- all of the request has come, which sets `all_read`.
local function attended(req, all_read, fn)
  local key, value, err = combine.race{
    done = fn,
    gone = function()
      if req.connection then all_read:wait() end
      if not requests.watch(req) then corun.event():wait() end -- for ever
    end,
  }
  if key == "gone" then return nil, writer.GONE end
  return value, err
end

-- Answers ---------------------------------------------------------------------------------------

-- The answer to a request to which the server gave none.
local function failed(self, req, err)
  if req.fault then return nil, err end -- the client is to blame
  if err == writer.GONE then return {status = 499} end -- which nobody sees but the log
  local answer = self.on_error and self.on_error(err, req)
  if answer ~= nil then return answer end
  io.stderr:write(("corun: %s %s failed: %s\n"):format(req.method, req.target, tostring(err)))
  if err.code == "ETIMEDOUT" then return {status = 504, body = "Gateway Timeout\n"} end
  return {status = 502, body = "Bad Gateway\n"}
end

local function copy(res, w)
  while true do
    local piece, err = res:recv()
    if err then error(err, 0) end
    if not piece then return true end
    w:write(piece)
  end
end

local function answer_of(req, res, all_read)
  local answer = {status = res.status, headers = passed(res.headers, res.block)}
  if res.status == 204 or res.status == 304 then
    res:close()
    return answer
  end
  requests.keep(req, res)
  answer.length = math.tointeger(tonumber(res.headers["content-length"]))
  function answer.stream(w)
    local ok, err = attended(req, all_read, function() return copy(res, w) end)
    if not ok then error(err, 0) end
  end
  return answer
end

local class = {__name = "http proxy", __index = {}}

function class:__tostring()
  return ("http proxy (%s%s)"):format(self.origin, self.base)
end

function class:__call(req)
  local target = target_of(self, req)
  if not target then return {status = 400, body = "Bad Request\n"} end
  local all_read = req.connection and corun.event()
  local res, err = attended(req, all_read, function() return ask(self, req, target, all_read) end)
  if not res then return failed(self, req, err) end
  return answer_of(req, res, all_read)
end

---Close the connections to the server; requests that are under way fail.
function class.__index:close()
  options.self(self, class, "close")
  return self.session:close()
end

class.__close = class.__index.close

-- Making one ------------------------------------------------------------------------------------

local function check_headers(headers)
  for name, value in pairs(headers or {}) do
    message.check_name(name)
    if value ~= false then message.header_lines(name, value) end
    if HOP_BY_HOP[name:lower()] then
      options.misuse(("header %q is set by corun itself"):format(name), 3)
    end
  end
  return headers
end

---Make a handler that asks another server; see lua/meta/http_kit.lua.
---@param target string
---@param o table?
function proxy.proxy(target, o)
  if type(target) ~= "string" then
    options.misuse("proxy needs the URL of a server, got " .. type(target))
  end
  o = options.check(o, "proxy", OPTIONS)
  local u, err = urls.parse(target)
  if not u then options.misuse("proxy: " .. err.message) end
  if target:find("[?#]") then options.misuse("the URL of a proxy must have no query") end
  return setmetatable({
    u = u, origin = target:match("^[^/]*//[^/?#]*"), base = u.target:gsub("/+$", ""),
    headers = check_headers(o.headers), keep_host = o.keep_host,
    trust = o.trust, forwarded = o.forwarded, on_error = o.on_error,
    session = session.new{
      limit = o.limit or LIMIT, idle = o.idle or IDLE, timeout = o.timeout or TIMEOUT, tls = o.tls,
      cookies = false, redirects = false, proxy = false, decode = false, stream = true,
    },
  }, class)
end

return proxy

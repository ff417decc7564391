-- SPDX-License-Identifier: MIT
-- The module corun.http: sessions, and the functions of the default one. Policy over connections
-- (http_pool.lua) that carry one exchange at a time (corun.httpcore).
local task = require "corun.task"
local core = require "corun.httpcore"
local options = require "corun.options"
local pool = require "corun.http_pool"
local message = require "corun.http_message"
local url = require "corun.http_url"

local now = task.now

local http = {}

local CONNECT_TIMEOUT, READ_TIMEOUT = 10, 30
local LIMIT, IDLE, MAX_BODY = 100, 15, 64 << 20
local URLS_KEPT = 1000 -- parsed URLs that a session remembers

local REQUEST = {
  headers = "table", query = "table|string", json = "any", body = "string",
  timeout = "duration|table", check = "boolean", max_body = "count", null = "any",
}
local SESSION = {
  headers = "table", timeout = "duration|table", check = "boolean", max_body = "count",
  null = "any", limit = "count", per_host = "count", idle = "duration", base = "string",
}
local TIMEOUT = {total = "duration", connect = "duration", read = "duration"}
local IDEMPOTENT = {GET = true, HEAD = true, PUT = true, DELETE = true, OPTIONS = true, TRACE = true}
local HAS_BODY = {POST = true, PUT = true, PATCH = true}
local OWN = {["content-length"] = true, ["transfer-encoding"] = true, connection = true}

local session = {__name = "http session"}
session.__index = session

-- Requests --------------------------------------------------------------------------------------

local function resolve(self, target)
  if self.base and not target:find("^%a[%w+.-]*://") then target = self.base .. target end
  local u = self.urls[target]
  if u then return u end
  local err
  u, err = url.parse(target)
  if not u then return nil, err end
  u.url = target
  self.kept_urls = self.kept_urls + 1
  if self.kept_urls > URLS_KEPT then self.urls, self.kept_urls = {}, 1 end
  self.urls[target] = u
  return u
end

local function encode_body(o, extra)
  if o.json == nil then return o.body end
  if o.body then options.misuse('"json" and "body" exclude each other') end
  if not message.has(o.headers, "content-type") then
    extra[#extra + 1] = "content-type: application/json\r\n"
  end
  return require("corun.json").encode(o.json)
end

local function check_headers(headers)
  for name in pairs(headers) do
    if type(name) == "string" and OWN[name:lower()] then
      options.misuse(("header %q is set by corun itself"):format(name))
    end
  end
end

-- The head of a request as one string, and its body.
local function serialise(self, method, u, o)
  local target = u.target
  if o.query then target = url.add_query(target, o.query) end
  local body = o.body
  if not (next(self.headers) or o.headers or o.json ~= nil or body or HAS_BODY[method]) then
    return method .. " " .. target .. " HTTP/1.1\r\nhost: " .. u.name .. self.prefix .. "\r\n"
  end
  local out = {method, " ", target, " HTTP/1.1\r\n"}
  local has_host = message.has(o.headers, "host") or message.has(self.headers, "host")
  if not has_host then out[#out + 1] = "host: " .. u.name .. "\r\n" end
  body = encode_body(o, out)
  local set = {}
  if o.headers then
    check_headers(o.headers)
    for name in pairs(o.headers) do set[tostring(name):lower()] = true end
    message.add_headers(out, o.headers)
  end
  check_headers(self.headers)
  message.add_headers(out, self.headers, set)
  for name, value in pairs(self.defaults) do
    if not set[name] and not message.has(self.headers, name) then
      out[#out + 1] = name .. ": " .. value .. "\r\n"
    end
  end
  if body or HAS_BODY[method] then
    out[#out + 1] = "content-length: " .. #(body or "") .. "\r\n"
  end
  out[#out + 1] = "\r\n"
  return table.concat(out), body
end

-- The limits of a request: instant of the end or nil, seconds to connect, seconds of silence.
local function limits(timeout)
  if type(timeout) == "number" then return now() + timeout, timeout, timeout end
  timeout = timeout and options.check(timeout, "timeout", TIMEOUT) or {}
  local total = timeout.total
  return total and now() + total, timeout.connect or CONNECT_TIMEOUT,
    timeout.read or READ_TIMEOUT
end

local function left(deadline, most)
  if not deadline then return most end
  return math.max(0, math.min(most, deadline - now()))
end

local function timed_out(op, u)
  return nil, task.err("ETIMEDOUT", "the time limit of the request has passed",
    {op = op, target = u.origin, retryable = true})
end

-- One exchange over one connection. Answers a response; or nil, error, and whether it may be tried
-- again over a fresh connection.
local function exchange(self, u, method, head, body, o, deadline, connect, read, fresh)
  local origin = self.pool:origin(u)
  if not self.pool:wait_slot(origin, deadline) then return timed_out("wait for a connection", u) end
  local c <close>, err = self.pool:checkout(origin, fresh, left(deadline, connect))
  if not c then return nil, err end
  c.core:limit(read, deadline and left(deadline, math.huge) or -1,
    o.max_body or self.max_body)
  local status, block, answer, keep = c.core:exchange(head, body, method == "HEAD")
  if status then
    if keep then self.pool:checkin(c) end
    return message.response(status, block, answer, u.url)
  end
  err = block
  local stale = c.uses > 0 and keep -- the fourth result: nothing was answered
  return nil, err, stale and err.code ~= "ETIMEDOUT"
end

local function checked(res)
  return nil, task.err("EHTTP", ("the server answered %d"):format(res.status),
    {op = "request", target = res.url, status = res.status, response = res})
end

---Send a request; see lua/meta/http.lua.
function session:request(method, target, o)
  if self.closed then
    error(task.err("ECLOSED", "the session is closed", {op = "request"}), 2)
  end
  if type(method) ~= "string" or not core.is_token(method) then
    options.misuse("the method must be a token such as GET")
  end
  if type(target) ~= "string" then
    options.misuse("the URL must be a string, got " .. type(target))
  end
  o = options.check(o, "request", REQUEST)
  local u, err = resolve(self, target)
  if not u then return nil, err end
  local head, body = serialise(self, method, u, o)
  local deadline, connect, read = limits(o.timeout or self.timeout)
  local res, again
  res, err, again = exchange(self, u, method, head, body, o, deadline, connect, read, false)
  if again and IDEMPOTENT[method] then
    res, err = exchange(self, u, method, head, body, o, deadline, connect, read, true)
  end
  if not res then return nil, err end
  local check = o.check
  if check == nil then check = self.check end
  if check and res.status >= 400 then return checked(res) end
  return res
end

for _, method in ipairs {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} do
  session[method:lower()] = function(self, target, o) return self:request(method, target, o) end
end

---Get and decode JSON; see lua/meta/http.lua.
function session:getjson(target, o)
  local res, err = self:request("GET", target, o)
  if not res then return nil, err end
  local null = o and o.null
  if null == nil then null = self.null end
  local value
  value, err = res:json(null ~= nil and {null = null} or nil)
  if value == nil then return nil, err end
  return value, res
end

function session:close()
  self.closed = true
  self.pool:close()
end
session.__close = session.close
session.__gc = session.close

function session:__tostring()
  return ("http session %p (%s, %d connections)"):format(self.pool,
    self.closed and "closed" or "open", self.pool.open)
end

---Make a session; see lua/meta/http.lua.
function http.session(o)
  o = options.check(o, "session", SESSION)
  if type(o.timeout) == "table" then options.check(o.timeout, "timeout", TIMEOUT) end
  return setmetatable({
    pool = pool.new(o.limit or LIMIT, o.per_host, o.idle or IDLE),
    base = o.base, headers = o.headers or {}, timeout = o.timeout, check = o.check,
    max_body = o.max_body or MAX_BODY, null = o.null, urls = {}, kept_urls = 0,
    prefix = "\r\nuser-agent: corun\r\naccept: */*\r\n",
    defaults = {["user-agent"] = "corun", accept = "*/*"},
  }, session)
end

-- The default session ---------------------------------------------------------------------------

local default

local function default_session()
  default = default or http.session()
  return default
end

for _, name in ipairs {"get", "head", "post", "put", "patch", "delete", "request", "getjson"} do
  http[name] = function(...) return session[name](default_session(), ...) end
end

function http.serve(...)
  http.serve = require("corun.http_server").serve
  return http.serve(...)
end

return http

-- SPDX-License-Identifier: MIT
-- The module corun.http: sessions, and the functions of the default one. Policy over connections
-- (http_pool.lua) that carry one exchange at a time (corun.httpcore). A request without options
-- allocates its response and nothing else in the steady state.
local task = require "corun.task"
local core = require "corun.httpcore"
local inside = require "corun.inside"
local options = require "corun.options"
local pool = require "corun.http_pool"
local message = require "corun.http_message"
local url = require "corun.http_url"

local json = require "corun.json"
local now, sleep, response = task.now, task.sleep, message.response

local http = {}

local CONNECT_TIMEOUT, READ_TIMEOUT = 10, 30
local LIMIT, IDLE, MAX_BODY = 100, 15, 64 << 20
local URLS_KEPT = 1000 -- parsed URLs that a session remembers
local SURE = 0.001 -- seconds for which a connection that idles is taken for open

local REQUEST = {
  headers = "table", query = "table|string", json = "any", body = "string",
  timeout = "duration|table", check = "boolean", max_body = "count", null = "any",
}
local SESSION = {
  headers = "table", query = "table|string", timeout = "duration|table", check = "boolean",
  max_body = "count", null = "any", limit = "count", per_host = "count", idle = "duration",
  base = "string",
}
local TIMEOUT = {total = "duration", connect = "duration", read = "duration"}
local METHODS = {GET = true, HEAD = true, POST = true, PUT = true, PATCH = true, DELETE = true}
local IDEMPOTENT = {
  GET = true, HEAD = true, PUT = true, DELETE = true, OPTIONS = true, TRACE = true,
}
local HAS_BODY = {POST = true, PUT = true, PATCH = true}
local OWN = {["content-length"] = true, ["transfer-encoding"] = true, connection = true,
             expect = true, upgrade = true, te = true, trailer = true}
local DEFAULTS = {["user-agent"] = "corun", accept = "*/*"}
local DEFAULT_LINES = "\r\nuser-agent: corun\r\naccept: */*\r\n\r\n"

local NONE = {} -- the options of a request that gives none

local session = {__name = "http session"}
session.__index = session

-- Requests --------------------------------------------------------------------------------------

-- The parsed URL of a request; remembered, for each base.
local function resolve(self, target)
  local base = self.base
  if base ~= self.urls_base or self.urls_kept >= URLS_KEPT then
    self.urls, self.urls_base, self.urls_kept = {}, base, 0
  end
  local full = target
  if base and not url.is_absolute(target) then full = url.join(base, target) end
  local parsed, err = url.parse(full)
  if not parsed then return nil, err end
  local home = base and url.parse(base)
  parsed.url = full
  parsed.foreign = base ~= nil and not (home and home.origin == parsed.origin)
  parsed.get = "GET " .. parsed.target .. " HTTP/1.1\r\nhost: " .. parsed.name .. DEFAULT_LINES
  self.urls_kept = self.urls_kept + 1
  self.urls[target] = parsed
  return parsed
end

local function note_names(headers, set)
  for name in pairs(headers) do
    if type(name) == "string" then
      local lower = name:lower()
      if OWN[lower] then options.misuse(("header %q is set by corun itself"):format(name)) end
      set[lower] = true
    end
  end
end

-- Append the header lines: the request's own, then the session's, then the defaults.
local function add_headers(out, own, common, u)
  local set = {}
  if own then
    note_names(own, set)
    message.add_headers(out, own)
  end
  if common then
    local before = {}
    for name in pairs(set) do before[name] = true end
    note_names(common, set)
    message.add_headers(out, common, before)
  end
  if not set.host then table.insert(out, 2, "host: " .. u.name .. "\r\n") end
  for name, value in pairs(DEFAULTS) do
    if not set[name] then out[#out + 1] = name .. ": " .. value .. "\r\n" end
  end
  return set
end

local function merge_query(target, common, own)
  if type(common) == "table" and type(own) == "table" then
    local all = {}
    for k, v in pairs(common) do all[k] = v end
    for k, v in pairs(own) do all[k] = v end
    return url.add_query(target, all)
  end
  if common then target = url.add_query(target, common) end
  if own then target = url.add_query(target, own) end
  return target
end

-- The head of a request as one string, its body, and the URL with the query.
local function serialise(self, method, u, o)
  local common, query = self.headers, self.query
  if u.foreign then common, query = nil, nil end
  local body, target = o.body, u.target
  if query or o.query then target = merge_query(target, query, o.query) end
  local out = {method .. " " .. target .. " HTTP/1.1\r\n"}
  local set = add_headers(out, o.headers, common, u)
  if o.json ~= nil then
    if body then options.misuse('"json" and "body" exclude each other') end
    body = json.encode(o.json)
    if not set["content-type"] then out[#out + 1] = "content-type: application/json\r\n" end
  end
  if body or HAS_BODY[method] then
    out[#out + 1] = "content-length: " .. #(body or "") .. "\r\n"
  end
  out[#out + 1] = "\r\n"
  local full = target == u.target and u.url or "http://" .. u.name .. target
  return table.concat(out), body, full
end

-- The limits of a request: the instant of its end or nil, seconds to connect, seconds of silence.
local function limits(timeout)
  if timeout == nil then return nil, CONNECT_TIMEOUT, READ_TIMEOUT end
  if type(timeout) == "number" then return now() + timeout, timeout, timeout end
  local total = timeout.total
  return total and now() + total, timeout.connect or CONNECT_TIMEOUT,
    timeout.read or READ_TIMEOUT
end

-- One exchange over one connection. Answers a response; or nil, error, and whether it may be tried
-- over a fresh connection, since the one it met had been closed by the server.
local function exchange(self, u, full, method, head, body, deadline, connect, read, most, fresh)
  local connections = self.pool
  local c <close>, err = connections:checkout(connections:origin(u), deadline, connect, fresh)
  if not c then return nil, err end
  if c.uses > 0 and not IDEMPOTENT[method] and now() - c.since > SURE then
    sleep(0) -- let the loop look whether the server has closed it: this cannot be sent twice
    if not c.core:reusable() then return nil, nil, true end
  end
  local total = deadline and math.max(0, deadline - now()) or -1
  local status, block, answer, keep = c.core:exchange(head, body, method == "HEAD", read, total,
    most)
  if status then
    if keep then connections:keep(c) end
    return response(status, block, answer, full)
  end
  if connections.closed and block.code == "ECLOSED" then
    return connections:closed_error(c.origin, block.op)
  end
  return nil, block, keep and c.uses > 0 and IDEMPOTENT[method]
end

local function checked(res)
  return nil, task.err("EHTTP", ("the server answered %d"):format(res.status),
    {op = "request", target = res.url, status = res.status, response = res})
end

local function check_request(self, method, target)
  if self.closed then
    inside.raise("ECLOSED", "request", nil, ("the session was closed at %s"):format(self.closed))
  end
  if type(method) ~= "string" or not core.is_token(method) then
    options.misuse("the method must be a token such as GET")
  end
  if method == "CONNECT" then options.misuse("the method CONNECT is for proxies only") end
  if type(target) ~= "string" then
    options.misuse("the URL must be a string, got " .. type(target))
  end
end

local function check_options(o)
  options.check(o, "request", REQUEST)
  if type(o.timeout) == "table" then options.check(o.timeout, "timeout", TIMEOUT) end
end

local function send(self, method, target, o)
  if self.closed or not METHODS[method] or type(target) ~= "string" then
    check_request(self, method, target)
  end
  local u = self.base == self.urls_base and self.urls[target]
  if not u then
    local bad
    u, bad = resolve(self, target)
    if not u then
      inside.checkpoint()
      return nil, bad
    end
  end
  local headers = self.headers
  local head, body, full = u.get, nil, u.url
  if o ~= nil then check_options(o) end
  if o ~= nil or method ~= "GET" or headers and next(headers) ~= nil or self.query then
    o = o or NONE
    head, body, full = serialise(self, method, u, o)
  else
    o = NONE
  end
  local timeout = o.timeout
  if timeout == nil then timeout = self.timeout end
  local deadline, connect, read = limits(timeout)
  local most = o.max_body or self.max_body
  local res, err, again = exchange(self, u, full, method, head, body, deadline, connect, read, most)
  if again then
    res, err = exchange(self, u, full, method, head, body, deadline, connect, read, most, true)
  end
  if not res then return nil, err end
  if res.status >= 400 then
    local check = o.check
    if check == nil then check = self.check end
    if check then return checked(res) end
  end
  return res
end

---Send a request; see lua/meta/http.lua.
function session:request(method, target, o)
  return send(self, method, target, o)
end

for _, method in ipairs {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} do
  session[method:lower()] = function(self, target, o)
    return send(self, method, target, o)
  end
end

---Get and decode JSON; see lua/meta/http.lua.
function session:getjson(target, o)
  local res, err = send(self, "GET", target, o)
  if not res then return nil, err end
  local null = o and o.null
  if null == nil then null = self.null end
  local value
  value, err = res:json(null ~= nil and {null = null} or nil)
  if value == nil then return nil, err end
  return value, res
end

---Close the session with its connections; see lua/meta/http.lua.
function session:close()
  self.closed = self.closed or options.here() or "?"
  self.pool:close(self.closed)
end
session.__gc = session.close

function session:__close()
  if not self.closed then
    self.closed = (options.here() or "?") .. ", where its <close> variable went out of scope; " ..
      "wait for the tasks that use it in a corun.scope first"
  end
  self:close()
end

function session:__tostring()
  local n = self.pool.open
  return ("http session %p (%s, %d connection%s)"):format(self, self.closed and "closed" or "open",
    n, n == 1 and "" or "s")
end

---Make a session; see lua/meta/http.lua.
function http.session(o)
  o = options.check(o, "session", SESSION)
  if type(o.timeout) == "table" then options.check(o.timeout, "timeout", TIMEOUT) end
  if o.base then
    local _, err = url.parse(o.base)
    if err then options.misuse(('option "base" for session: %s'):format(err.message)) end
    if o.base:find("[?#]") then
      options.misuse('option "base" for session must have no query and no fragment')
    end
  end
  return setmetatable({
    pool = pool.new(o.limit or LIMIT, o.per_host, o.idle or IDLE),
    base = o.base, headers = o.headers or {}, query = o.query, timeout = o.timeout,
    check = o.check, max_body = o.max_body or MAX_BODY, null = o.null,
    urls = {}, urls_base = o.base, urls_kept = 0,
  }, session)
end

-- The default session ---------------------------------------------------------------------------

local default

for _, name in ipairs {"get", "head", "post", "put", "patch", "delete", "request", "getjson"} do
  local method = session[name]
  http[name] = function(...)
    default = default or http.session()
    return method(default, ...)
  end
end

---Serve HTTP; see lua/meta/http.lua.
function http.serve(...)
  http.serve = require("corun.http_server").serve
  return http.serve(...)
end

return http

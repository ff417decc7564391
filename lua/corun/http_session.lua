-- SPDX-License-Identifier: MIT
-- Sessions: the options, the object, and the way of a request through the client. Owns its pool of
-- connections, and remembers the URLs it was asked for. A request without options is made once for
-- each URL.
local task = require "corun.task"
local inside = require "corun.inside"
local options = require "corun.options"
local auth = require "corun.http_auth"
local dial = require "corun.http_dial"
local policies = require "corun.http_policies"
local pool = require "corun.http_pool"
local request = require "corun.http_request"
local url = require "corun.http_url"

local now, new_request = task.now, request.new

local LIMIT, IDLE = 100, 15
local SHOWN = 64 << 10 -- bytes of a streamed answer that its error has
local URLS_KEPT = 1000

-- What can be said for one request, and for all of a session.
local COMMON = {
  headers = "table", query = "table|string", timeout = "duration|table", check = "boolean",
  max_body = "count", null = "any", tls = "boolean|table|userdata", unix = "string",
  stream = "boolean", expect = "boolean", decode = "boolean", auth = "string|table",
  proxy = "string|boolean",
}
for name, kind in pairs(policies.OPTIONS) do COMMON[name] = kind end

local function with_common(spec)
  for name, kind in pairs(COMMON) do spec[name] = kind end
  return spec
end

local REQUEST = with_common{json = "any", body = "any", form = "table", multipart = "table"}
local SESSION = with_common{
  limit = "count", per_host = "count", idle = "duration", base = "string",
  rate = "table", cookies = "boolean|table", cache = "boolean|string|table",
  recorder = "table", on_request = "function", on_response = "function",
}
local TIMEOUT = {total = "duration", connect = "duration", read = "duration"}
local VERBS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
local METHODS = {}
for _, method in ipairs(VERBS) do METHODS[method] = true end

local NONE = {} -- the options of a request that gives none

local session = {__name = "http session"}
session.__index = session

-- Requests --------------------------------------------------------------------------------------

-- The parsed base of a session, which may have been set since. Misuse raises.
local function home_of(base)
  if type(base) ~= "string" then
    options.misuse(('option "base" for session must be a string, got %s'):format(type(base)))
  end
  if select(2, url.split_login(base)) then
    options.misuse('option "base" for session must have no user and password: they go into "auth"')
  end
  local home, err = url.parse(base)
  if not home then options.misuse(('option "base" for session: %s'):format(err.message)) end
  if base:find("[?#]") then
    options.misuse('option "base" for session must have no query and no fragment')
  end
  return home
end

-- The URL of a request, parsed; what it has of user and password becomes `authorization`.
local function parse(target)
  local text, login = url.split_login(target)
  local parsed, err = url.parse(text)
  if not parsed then return nil, err end
  if login then
    local value, why = auth.basic(login[1], login[2])
    if not value then return url.refuse(text, why) end
    parsed.authorization = value
  end
  parsed.url = text
  return parsed
end

-- The parsed URL of a request of a session; or nil, error.
local function locate(self, target)
  local base, full = self.base, target
  local home = base ~= nil and home_of(base) or nil
  if base and not url.is_absolute(target) then full = url.join(base, target) end
  local parsed, err = parse(full)
  if not parsed then return nil, err end
  parsed.home = home
  parsed.foreign = home ~= nil and not (home.origin == parsed.origin
    and home.socket == parsed.socket)
  return parsed
end

-- The same, remembered for each base.
local function resolve(self, target)
  local base = self.base
  if base ~= self.urls_base or self.urls_kept >= URLS_KEPT then
    self.urls, self.urls_base, self.urls_kept = {}, base, 0
  end
  local parsed, err = locate(self, target)
  if not parsed then return nil, err end
  self.urls_kept = self.urls_kept + 1
  self.urls[target] = parsed
  return parsed
end

-- The error that a response is with `check`. Its body is often what explains it.
local function checked(res)
  if res.input then
    local _ <close> = res
    res.body = res:read(SHOWN) or ""
  end
  return nil, task.err("EHTTP", ("the server answered %d"):format(res.status),
    {op = "request", target = res.url, status = res.status, response = res})
end

-- Answers the method as it is sent. Misuse raises.
local function check_request(self, method, target)
  options.self(self, session, METHODS[method] and method:lower() or "request")
  if self.closed then
    inside.raise("ECLOSED", "request", nil, ("the session was closed at %s"):format(self.closed))
  end
  method = request.check_method(method)
  if type(target) ~= "string" then
    options.misuse("the URL must be a string, got " .. type(target))
  end
  return method
end

local function check_options(o)
  options.check(o, "request", REQUEST)
  if type(o.timeout) == "table" then options.check(o.timeout, "timeout", TIMEOUT) end
end

-- The request for a URL without options, which its session adds nothing to.
local function plain_request(self, u)
  if not u.plain then u.plain = new_request(self, "GET", u, NONE) end
  return u.plain
end

local function adds_nothing(self)
  local headers = self.headers
  return not self.query and (headers == nil or type(headers) == "table" and next(headers) == nil)
end

-- What closes the body of a request when the call is over.
local source_mt = {__close = function(c)
  if c.source.close then c.source.close() end
end}

local function closing(source)
  return setmetatable({source = source}, source_mt)
end

-- `home`, where it is given, is the URL whose server has led to this one.
local function send(self, method, target, o, home)
  if getmetatable(self) ~= session or self.closed or not METHODS[method]
    or type(target) ~= "string"
  then
    method = check_request(self, method, target)
  end
  local u = self.base == self.urls_base and self.urls[target]
  if not u then
    local err
    u, err = resolve(self, target)
    if not u then
      inside.checkpoint()
      return nil, err
    end
  end
  local r, bad
  if o ~= nil then
    check_options(o)
    r, bad = new_request(self, method, u, o)
    if not r then return nil, bad end
  elseif method == "GET" and adds_nothing(self) then
    r = plain_request(self, u)
  else
    r = new_request(self, method, u, NONE)
  end
  if home and not (home.origin == u.origin and home.socket == u.socket) then
    r:forget_private()
    r:seal()
  end
  local _ <close> = r.source and closing(r.source)
  if r.total then r = r:by(now() + r.total) end
  local res, err = r.way(self, r)
  if not res then return nil, err end
  if r.check and res.status >= 400 then return checked(res) end
  return res
end

---Send a request; see lua/meta/http.lua.
function session:request(method, target, o)
  return send(self, method, target, o)
end

for _, method in ipairs(VERBS) do
  session[method:lower()] = function(self, target, o)
    return send(self, method, target, o)
  end
end

-- What a body that is no JSON means: often that of an error, in HTML.
local function undecoded(err, res)
  err.status, err.response = res.status, res
  if res.status >= 400 then
    err.message = ("the server answered %d, and not in JSON: %s"):format(res.status, err.message)
  end
  return err
end

---Get and decode JSON; see lua/meta/http.lua.
function session:getjson(target, o)
  options.self(self, session, "getjson")
  local res, err = send(self, "GET", target, o)
  if not res then return nil, err end
  local null = o and o.null
  if null == nil then null = self.null end
  local value
  value, err = res:json(null ~= nil and {null = null} or nil)
  if err and value == nil then return nil, undecoded(err, res) end
  return value, res
end

-- Get what a server led to: what the script gave for the origin of its own URL, `first`, goes to no
-- other.
local function follow(self, first, target, o)
  local home, err = resolve(self, first)
  if not home then return nil, err end
  return send(self, "GET", target, o, home)
end

---Iterate over pages; see lua/meta/http.lua.
function session:paginate(target, following, o)
  options.self(self, session, "paginate")
  return require("corun.http_paginate")(self, follow, target, following, o)
end

---Download a file; see lua/meta/http.lua.
function session:download(target, path, o)
  options.self(self, session, "download")
  check_request(self, "GET", target)
  return require("corun.http_download")(self, target, path, o, REQUEST)
end

---Iterate over server-sent events; see lua/meta/http.lua.
function session:events(target, o)
  options.self(self, session, "events")
  return require("corun.http_event_source")(self, target, o, REQUEST)
end

---Open a WebSocket; see lua/meta/http_websocket.lua.
function session:websocket(target, o)
  check_request(self, "GET", target)
  return require("corun.http_websocket_client")(self, target, o, COMMON, locate)
end

-- The object ------------------------------------------------------------------------------------

---Tell what the session does and has done; see lua/meta/http.lua.
function session:stats()
  options.self(self, session, "stats")
  return require("corun.http_stats").of(self)
end

---Close the session with its connections; see lua/meta/http.lua.
function session:close()
  options.self(self, session, "close")
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
local function new(o)
  o = options.check(o, "session", SESSION)
  if type(o.timeout) == "table" then options.check(o.timeout, "timeout", TIMEOUT) end
  if o.base then home_of(o.base) end
  if o.query then url.add_query("", o.query) end -- which checks it
  local self = setmetatable({
    pool = pool.new(o.limit or LIMIT, o.per_host, o.idle or IDLE),
    base = o.base, headers = request.checked_headers(o.headers or NONE), query = o.query,
    timeout = o.timeout,
    check = o.check, max_body = o.max_body, stream = o.stream, expect = o.expect,
    decode = o.decode, null = o.null, auth = o.auth and auth.value(o.auth),
    client = o.tls ~= nil and dial.client(o.tls) or nil,
    unix = o.unix and dial.check_socket(o.unix),
    urls = {}, urls_base = o.base, urls_kept = 0, counts = {
      retries = 0, redirects = 0, cache = {hit = 0, miss = 0, revalidated = 0, stale = 0},
    },
  }, session)
  self.pool.session = self -- a connection in use keeps its session from the collector
  if o.proxy ~= nil then self.proxy = dial.proxy(o.proxy) end
  policies.read(self, o)
  if o.on_request or o.on_response then
    self.hooks = {on_request = o.on_request, on_response = o.on_response}
  end
  return self
end

return {new = new, methods = session}

-- SPDX-License-Identifier: MIT
-- Requests as they are sent: from a method, a URL and options to a head and a body. A request is
-- made once for each call and owned by it; those without options are made once for each URL of a
-- session and never changed.
local core = require "corun.httpcore"
local json = require "corun.json"
local options = require "corun.options"
local auth = require "corun.http_auth"
local body = require "corun.http_body"
local decode = require "corun.http_decode"
local dial = require "corun.http_dial"
local message = require "corun.http_message"
local policies = require "corun.http_policies"
local url = require "corun.http_url"
local form = require("corun.url").query

local CONNECT_TIMEOUT, READ_TIMEOUT = 10, 30
local MAX_BODY = 64 << 20

local IDEMPOTENT = {
  GET = true, HEAD = true, PUT = true, DELETE = true, OPTIONS = true, TRACE = true,
}
local HAS_BODY = {POST = true, PUT = true, PATCH = true}
local OWN = {["content-length"] = true, ["transfer-encoding"] = true, connection = true,
             expect = true, upgrade = true, te = true, trailer = true}
local PRIVATE = {"authorization", "cookie", "proxy-authorization", "host"} -- of one origin
local NONE = {}
local DEFAULTS = {{"user-agent", "corun"}, {"accept", "*/*"}}

local request = {}
request.__index = request

-- Headers: a line, or several, by the name in lower case, in the order in which they were set -----

-- Servers refuse two, and proxies may take the one that a server does not.
local function check_host(value)
  if type(value) == "string" and value:find("^[^%c%s,/?#@\\]+$") then return end
  options.misuse('header "Host" must be one host, with a port where it has one')
end

---Set a header; a list gives a line for each value, false none. Misuse raises.
function request:set(name, value)
  local lower = name:lower()
  if lower == "host" then check_host(value) end
  if not self.lines[lower] then self.order[#self.order + 1] = lower end
  self.lines[lower] = value and message.header_lines(name, value) or ""
end

---Forget a header, by its name in lower case.
function request:remove(lower)
  if not self.lines[lower] then return end
  self.lines[lower] = nil
  for i, name in ipairs(self.order) do
    if name == lower then return table.remove(self.order, i) end
  end
end

---Set the headers of a table that a script made, but those that are there already. Misuse raises.
---@return table set of the names that were set, in lower case
function request:add(headers)
  if type(headers) ~= "table" then
    options.misuse("the headers must be a table, got " .. type(headers))
  end
  local before, given, added = {}, {}, {}
  for lower in pairs(self.lines) do before[lower] = true end
  for name, value in next, headers do
    message.check_name(name)
    local lower = name:lower()
    if OWN[lower] then options.misuse(("header %q is set by corun itself"):format(name)) end
    if given[lower] then
      options.misuse(("header %q is given in two spellings; a list sends several"):format(lower))
    end
    given[lower] = true
    if not before[lower] then
      self:set(name, value)
      added[lower] = true
    end
  end
  return added
end

---The value of a header, by its name in lower case; several are joined by ", ".
function request:value(lower)
  local lines = self.lines[lower]
  if not lines or lines == "" then return nil end
  local values = {}
  for line in lines:gmatch("[^\n]+\n") do values[#values + 1] = line:sub(#lower + 3, -3) end
  return table.concat(values, ", ")
end

---The values of all headers, by their names in lower case.
function request:values()
  local values = {}
  for lower in pairs(self.lines) do values[lower] = self:value(lower) end
  return values
end

---A copy of a table of headers, checked as a request would. Misuse raises.
function request.checked_headers(headers)
  setmetatable({lines = {}, order = {}}, request):add(headers)
  local copy = {}
  for name, value in next, headers do copy[name] = value end
  return copy
end

local function serialise(self)
  local lines, route = self.lines, self.route
  local prefix = route.prefix -- then a proxy reads this
  local out = {self.method .. " " .. (prefix or "") .. self.target .. " HTTP/1.1\r\n"}
  if not lines.host then out[2] = "host: " .. self.u.name .. "\r\n" end
  local unsaid = route.proxy and not prefix and "proxy-authorization" -- no matter of the server's
  for _, lower in ipairs(self.order) do
    if lower ~= unsaid then out[#out + 1] = lines[lower] end
  end
  if prefix and not lines["proxy-authorization"] then out[#out + 1] = route.authorization end
  if self.length then
    out[#out + 1] = "content-length: " .. self.length .. "\r\n"
  elseif self.source then
    out[#out + 1] = "transfer-encoding: chunked\r\n"
  end
  if self.expect then out[#out + 1] = "expect: 100-continue\r\n" end
  out[#out + 1] = "\r\n"
  return table.concat(out)
end

-- Requests ----------------------------------------------------------------------------------------

-- The time limits: seconds in all or nil, seconds to connect, seconds of silence.
local function limits(timeout)
  if timeout == nil then return nil, CONNECT_TIMEOUT, READ_TIMEOUT end
  if type(timeout) == "number" then return timeout, timeout, timeout end
  return timeout.total, timeout.connect or CONNECT_TIMEOUT, timeout.read or READ_TIMEOUT
end

local function authorize(self, value)
  if not self.lines.authorization then self:set("authorization", value) end
end

-- A part of a body can not be decoded, so it is asked for as it is.
local function add_defaults(self)
  local lines = self.lines
  for _, header in ipairs(DEFAULTS) do
    if not lines[header[1]] then self:set(header[1], header[2]) end
  end
  if not lines["accept-encoding"] then
    local plain = not self.decode or lines.range
    self:set("accept-encoding", plain and "identity" or decode.ACCEPTED)
  end
end

-- The target with the session's query and the request's own; what is a text is added as it is.
local function with_queries(target, common, own)
  if type(common) == "table" and type(own) == "table" then
    return url.add_query(target, url.merge_query(common, own))
  end
  if common then target = url.add_query(target, common) end
  if own then target = url.add_query(target, own) end
  return target
end

local BODIES = {"body", "json", "form", "multipart"} -- of which a request has one

-- The body of the options: a text or a source, and its type; or nil, nil and an error.
local function body_of(o)
  local found
  for _, name in ipairs(BODIES) do
    if o[name] ~= nil then
      if found then options.misuse(('"%s" and "%s" exclude each other'):format(found, name)) end
      found = name
    end
  end
  if found == "json" then return json.encode(o.json), "application/json" end
  if found == "form" then return form(o.form), "application/x-www-form-urlencoded" end
  if not found or type(o.body) == "string" then return o.body end
  local source, err
  if found == "multipart" then
    source, err = require("corun.http_multipart").source(o.multipart)
  else
    source, err = body.source(o.body)
  end
  return source, source and source.type, err
end

-- The type of the body, where the script has not said it. That of a multipart form has its
-- boundary: a session's own does not fit, and goes.
local function set_type(self, kind, o)
  if o.multipart then
    if message.find(o.headers, "content-type") then
      options.misuse('with "multipart" corun sets the header "content-type", with its boundary')
    end
    self:remove("content-type")
    if self.of_base then self.of_base["content-type"] = nil end
  end
  if not self.lines["content-type"] then self:set("content-type", kind) end
end

-- Answers nil and an error where the body cannot be had.
local function add_body(self, o, expect)
  local value, kind, err = body_of(o)
  if err then return nil, err end
  if kind then set_type(self, kind, o) end
  if value == nil or type(value) == "string" then
    if value or HAS_BODY[self.method] then self.length = #(value or "") end
    if not expect or self.length == 0 or not value then
      self.body = value
      return true
    end
    value = body.of_string(value)
  end
  self.source, self.length, self.expect = value, value.length, expect
  return true
end

-- The way to the server. Those without options of their own share one.
local function add_route(self, session, u, o)
  self.client = o.tls ~= nil and dial.client(o.tls) or session.client
  self.unix = o.unix and dial.check_socket(o.unix)
  self.socket = self.unix or not u.foreign and session.unix or nil
  self.proxy = session.proxy
  if o.proxy ~= nil then self.proxy = dial.proxy(o.proxy) end
  if o.tls == nil and o.unix == nil and o.proxy == nil then
    u.route = u.route or dial.route(u, self.client, self.socket, self.proxy)
    self.route = u.route
  else
    self.route = dial.route(u, self.client, self.socket, self.proxy)
  end
end

-- The request's own option where it is given, else the session's.
local function option(o, session, name)
  local value = o[name]
  if value == nil then return session[name] end
  return value
end

---Make a request from a parsed URL and checked options. It suspends where the body is a file.
---Misuse raises.
---@param session table
---@param method string
---@param u table of http_url
---@param o table
---@return table? request
---@return table? err
function request.new(session, method, u, o)
  local common, query = session.headers, session.query
  if u.foreign then common, query = nil, nil end
  local self = setmetatable({
    method = method, u = u, home = u.home, url = u.url, target = u.target, lines = {}, order = {},
    check = option(o, session, "check"), stream = option(o, session, "stream"),
    max_body = option(o, session, "max_body"), decode = option(o, session, "decode") ~= false,
  }, request)
  if not self.stream then self.max_body = self.max_body or MAX_BODY end
  add_route(self, session, u, o)
  self.total, self.connect, self.read = limits(option(o, session, "timeout"))
  if query or o.query then
    self.target = with_queries(u.target, query, o.query)
    self.url = u.url:match("^[^/]*//[^/?#]*") .. self.target
  end
  if o.headers then self:add(o.headers) end
  if o.auth then authorize(self, auth.value(o.auth)) end
  if u.authorization then authorize(self, u.authorization) end
  local added = self:add(common or NONE)
  self.of_base = session.base and not u.foreign and added
  if session.auth and not u.foreign then
    authorize(self, session.auth)
    added.authorization = true
  end
  policies.read(self, o, session)
  self.way = policies.way(self)
  local ok, err = add_body(self, o, option(o, session, "expect"))
  if not ok then return nil, err end
  self:seal()
  return self
end

---Replace the body by a text, or by none. Misuse raises.
function request:set_body(text)
  if text ~= nil and type(text) ~= "string" then
    options.misuse("the body must be a string here, got " .. type(text))
  end
  self.body, self.source, self.length, self.expect = text, nil, nil, nil
end

---Make ready to be sent, after the last change.
function request:seal()
  add_defaults(self)
  self.no_body = self.method == "HEAD"
  self.idempotent = IDEMPOTENT[self.method]
  if not self.length and not self.source and (self.body or HAS_BODY[self.method]) then
    self.length = #(self.body or "")
  end
  self.head = serialise(self)
end

---Lead to another URL; to be sealed. To another origin nothing goes that is for the `base` of the
---session.
---@return boolean same whether the origin is the same
function request:lead_to(u)
  local same = u.origin == self.u.origin and u.socket == self.u.socket
  if not same and self.of_base then
    for lower in pairs(self.of_base) do self:remove(lower) end
    self.of_base, self.socket = nil, self.unix
  end
  if not same then self.led = true end
  self.u, self.url, self.target = u, u.url, u.target
  self.route = dial.route(u, self.client, self.socket, self.proxy)
  return same
end

---Forget what a script gave for one origin alone, for a server leads to another.
function request:forget_private()
  for _, lower in ipairs(PRIVATE) do self:remove(lower) end
  self.led = true
end

---A copy with headers of its own, to be changed and sealed.
function request:copy()
  local r = setmetatable({}, request)
  for k, v in next, self do r[k] = v end
  r.lines, r.order = {}, table.move(self.order, 1, #self.order, 1, {})
  for lower, line in next, self.lines do r.lines[lower] = line end
  return r
end

---The same request with a time limit, for one that is shared.
function request:by(deadline)
  local r = setmetatable({deadline = deadline}, request)
  for k, v in next, self do r[k] = v end
  return r
end

---Send the body unasked from now on.
function request:insist()
  self.expect = nil
  self.head = serialise(self)
end

---Say whether the body can be sent once more, and be ready for it.
function request:rewind()
  local source = self.source
  if not source or not source.begun then return true end
  if not source.rewind or not source.rewind() then return false end
  source.begun = false
  return true
end

---Check a method. Misuse raises.
---@return string method as it is sent
function request.check_method(method)
  if type(method) ~= "string" or not core.is_token(method) then
    options.misuse("the method must be a token such as GET")
  end
  if method == "CONNECT" then options.misuse("the method CONNECT is for proxies only") end
  return message.method(method)
end

return request

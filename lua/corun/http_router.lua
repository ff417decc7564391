-- SPDX-License-Identifier: MIT
-- http.router: handlers by path and method. The paths are a tree of segments: below each node those
-- that are named, one for a parameter, and what takes all the rest. A path is matched as it was
-- sent and then decoded segment by segment, so that an encoded slash divides nothing. Each node is
-- looked at once at most, so no request costs more than there are routes.
local core = require "corun.httpcore"
local options = require "corun.options"
local url = require "corun.url"

local callable = require("corun.source").is_callable
local misuse = options.misuse

local router = {}

local ANY = "*" -- stands for all methods

local class = {__name = "http router", __index = {}}
local methods = class.__index

function class:__tostring()
  return ("http router (%d routes)"):format(self.count)
end

-- Patterns --------------------------------------------------------------------------------------

-- Raise the sentence that says what is wrong with a pattern.
local function bad_pattern(pattern, why)
  misuse(("bad pattern %q for a route: %s"):format(pattern, why), 3)
end

-- The name of a parameter, which no other of the pattern has.
local function check_name(pattern, name, names)
  if not name:find("^[%a_][%w_]*$") then
    bad_pattern(pattern, ("%q is no name of a parameter"):format(name))
  end
  for _, other in ipairs(names) do
    if other == name then bad_pattern(pattern, ("%q stands there twice"):format(name)) end
  end
  names[#names + 1] = name
end

-- The segments of a pattern, in which ":" and "*" stand for parameters, and the names of these.
local function parse(pattern)
  if type(pattern) ~= "string" then
    misuse("the pattern of a route must be a string, got " .. type(pattern), 3)
  end
  if pattern:sub(1, 1) ~= "/" then bad_pattern(pattern, 'it must begin with "/"') end
  if pattern:find("[%%?#%c]") then
    bad_pattern(pattern, "it is written decoded, and without a query")
  end
  local segments, names = {}, {}
  for segment in pattern:gmatch("/([^/]*)") do
    local last = segments[#segments]
    if last == "" then bad_pattern(pattern, "a segment is empty") end
    if last == "*" then bad_pattern(pattern, '"*" must be the last segment') end
    local kind = segment:match("^[:*]")
    if kind then check_name(pattern, segment:sub(2), names) end
    segments[#segments + 1] = kind or segment
  end
  return segments, names
end

local function new_node()
  return {named = {}, param = nil, rest = nil, mount = nil, routes = {}}
end

-- The node below `node` for a segment, made where it is not there.
local function step(node, segment)
  local key = segment == ":" and "param" or segment == "*" and "rest"
  local t = key and node or node.named
  t[key or segment] = t[key or segment] or new_node()
  return t[key or segment]
end

-- The node that segments lead to.
local function reach(node, segments)
  for _, segment in ipairs(segments) do node = step(node, segment) end
  return node
end

-- Registration ----------------------------------------------------------------------------------

local function check_handler(handler)
  if callable(handler) then return end
  misuse("a route needs a handler function, got " .. type(handler), 3)
end

-- Put a route of all methods or one into the tree.
local function add(self, method, pattern, handler)
  check_handler(handler)
  local segments, names = parse(pattern)
  local node = reach(self.root, segments)
  local other = node.routes[method]
  if other then
    misuse(("the route %s %s is there already, as %s"):format(method, pattern, other.pattern), 3)
  end
  node.routes[method] = {
    handler = handler, names = names, segments = segments, pattern = pattern,
  }
  if #names == 0 then self.exact[pattern] = node end
  self.count = self.count + 1
  return self
end

---Add a handler for a method and a path; see lua/meta/http_kit.lua.
function methods:route(method, pattern, handler)
  options.self(self, class, "route")
  if type(method) ~= "string" or not core.is_token(method) then
    misuse("the method of a route must be a name such as GET, got " .. options.show(method))
  end
  return add(self, method, pattern, handler)
end

for _, name in ipairs{"get", "head", "post", "put", "patch", "delete", "options", "any"} do
  local method = name == "any" and ANY or name:upper()
  methods[name] = function(self, pattern, handler)
    options.self(self, class, name)
    return add(self, method, pattern, handler)
  end
end

---Hand all below a prefix on to a handler.
function methods:mount(prefix, handler)
  options.self(self, class, "mount")
  check_handler(handler)
  if type(prefix) == "string" and #prefix > 1 then prefix = prefix:gsub("/$", "") end
  local segments, names = parse(prefix)
  if segments[#segments] == "*" then bad_pattern(prefix, "a prefix has no rest") end
  if prefix == "/" then segments = {} end
  local node = reach(self.root, segments)
  if node.mount then
    misuse(("something is mounted at %s already, as %s"):format(prefix, node.mount.pattern))
  end
  node.mount = {handler = handler, names = names, segments = segments, pattern = prefix}
  self.count = self.count + 1
  return self
end

-- Matching --------------------------------------------------------------------------------------

-- The path of a request as it was sent, below what it was mounted at.
local function path_of(req)
  local below = req.subpath
  if below then return below end
  local target = req.target
  if target:sub(1, 1) ~= "/" then target = target:gsub("^%a[^/?]*://[^/?]*", "", 1) end
  local path = target:match("^[^?]*")
  return path == "" and "/" or path
end

-- The segments of a path, each as it was sent, and each decoded.
local function split(path)
  local raw, decoded = {}, {}
  for segment in path:gmatch("/([^/]*)") do
    raw[#raw + 1] = segment
    decoded[#decoded + 1] = segment:find("%", 1, true) and url.decode(segment) or segment
  end
  return raw, decoded
end

-- All from the segment `i` on, decoded, but encoded slashes stay encoded.
local function rest_from(raw, i)
  local rest = {}
  for k = i, #raw do rest[#rest + 1] = url.decode((raw[k]:gsub("%%(2[fF])", "%%25%1"))) end
  return table.concat(rest, "/")
end

-- Call found(node, i) for each node that the segments from `i` on lead to, the most specific first,
-- until it answers true. `i` is where the rest begins; it is passed for rests and mounts alone.
local function search(node, segments, i, found)
  local segment = segments[i]
  if segment == nil then
    if found(node) then return true end
  else
    local named, param = node.named[segment], segment ~= "" and node.param
    if named and search(named, segments, i + 1, found) then return true end
    if param and search(param, segments, i + 1, found) then return true end
    if node.rest and found(node.rest, i) then return true end
  end
  return node.mount and found(node, i, node.mount)
end

-- The route of a node for a method.
local function route_of(node, method)
  local routes = node.routes
  return routes[method] or method == "HEAD" and routes.GET or routes[ANY]
end

-- Add to a set the methods that a node has.
local function add_methods(set, node)
  for method in pairs(node.routes) do set[method] = true end
end

-- Find what answers a method: a route, where its rest begins, whether it is a mount. Else nil and
-- the set of the methods that would be answered, nil when there are none.
local function find(self, method, segments)
  local route, rest, is_mount, allowed
  search(self.root, segments, 1, function(node, i, mount)
    route, rest, is_mount = mount or route_of(node, method), i, mount ~= nil
    if route then return true end
    if next(node.routes) then
      allowed = allowed or {}
      add_methods(allowed, node)
    end
    return false
  end)
  if route then return route, rest, is_mount end
  return nil, allowed
end

-- Answering -------------------------------------------------------------------------------------

-- The value of the header Allow.
local function allow(set)
  if set.GET then set.HEAD = true end
  set.OPTIONS = true
  local list = {}
  for method in pairs(set) do list[#list + 1] = method end
  table.sort(list)
  return table.concat(list, ", ")
end

-- Lead a client to the path with or without the slash at its end, when there is something. An empty
-- segment is no parameter, so what stands there never begins with two slashes.
local function redirect(self, req, path, segments)
  local other = table.move(segments, 1, #segments, 1, {})
  if other[#other] == "" then other[#other] = nil else other[#other + 1] = "" end
  if #other == 0 or not find(self, req.method, other) then return nil end
  local target = req.target
  if target:sub(1, 1) ~= "/" then target = target:gsub("^[^?]*://[^/?]*", "", 1) end
  local before, query = target:match("^([^?]*)(.*)$")
  before = path:sub(-1) == "/" and before:sub(1, -2) or before .. "/"
  before = before:gsub("\\", "%%5C") -- which browsers take for a slash
  return {status = 308, headers = {Location = before .. query}}
end

local function answer_none(self, req, path, segments, allowed)
  if allowed and req.method == "OPTIONS" then
    return {status = 204, headers = {Allow = allow(allowed)}}
  end
  if allowed then
    return {status = 405, headers = {Allow = allow(allowed)}, body = "Method Not Allowed\n"}
  end
  local elsewhere = redirect(self, req, path, segments)
  if elsewhere then return elsewhere end
  if self.not_found then return self.not_found(req) end
  return {status = 404, body = "Not Found\n"}
end

-- Give a request the parameters of a route; those of what it was mounted at stay.
local function set_params(req, route, segments, raw, rest)
  local params = req.params or {}
  local names, at = route.names, 0
  for i, segment in ipairs(route.segments) do
    if segment == ":" or segment == "*" then
      at = at + 1
      params[names[at]] = segment == ":" and segments[i] or rest_from(raw, rest)
    end
  end
  req.params = params
end

-- Answer a request with what its method and path lead to.
local function dispatch(self, req)
  local path = path_of(req)
  local node = self.exact[path]
  local route = node and route_of(node, req.method)
  if route then
    req.params = req.params or {}
    return route.handler(req)
  end
  if path == "*" then return {status = 204} end -- OPTIONS * asks what the server can
  local raw, segments = split(path)
  local rest, is_mount
  route, rest, is_mount = find(self, req.method, segments)
  if not route then return answer_none(self, req, path, segments, rest) end
  set_params(req, route, segments, raw, rest)
  if is_mount then req.subpath = "/" .. table.concat(raw, "/", rest) end
  return route.handler(req)
end

---Put a function around all that the router answers; the first is the outermost.
function methods:use(middleware)
  options.self(self, class, "use")
  if not callable(middleware) then
    misuse("use needs a function of a handler, got " .. type(middleware))
  end
  local layers = self.layers
  local i = #layers + 1
  local handler = middleware(function(req)
    local inner = layers[i + 1]
    if inner then return inner(req) end
    return dispatch(self, req)
  end)
  if not callable(handler) then
    misuse("middleware must return a handler, got " .. type(handler))
  end
  layers[i] = handler
  return self
end

function class:__call(req)
  local outermost = self.layers[1]
  if outermost then return outermost(req) end
  return dispatch(self, req)
end

---Make a router; see lua/meta/http_kit.lua.
---@param o table?
function router.router(o)
  o = options.check(o, "router", {not_found = "function"})
  return setmetatable({
    root = new_node(), exact = {}, layers = {}, count = 0, not_found = o.not_found,
  }, class)
end

return router

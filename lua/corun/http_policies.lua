-- SPDX-License-Identifier: MIT
-- The policies around a try, from outside to inside, and the way of a request through those whose
-- option is set. A policy is a module with read(option) -> what a request carries, false for none;
-- and layer(session, request, next) -> res | nil, err, which may send the request or others by
-- next(session, request), never or several times. A request belongs to its caller: a layer changes
-- a copy of it. Owns nothing.
local exchange = require "corun.http_exchange"

local policies = {}

local SHORT = 64 << 10

local LAYERS = {
  {option = "hooks", module = "corun.http_hooks"}, -- which a session makes of its two options
  {option = "retries", module = "corun.http_retry"},
  {option = "redirects", module = "corun.http_redirect", default = true},
  {option = "netrc", module = "corun.http_netrc_login"},
  {option = "cache", module = "corun.http_session_cache"},
  {option = "cookies", module = "corun.http_session_cookies", default = "default"},
  {option = "rate", module = "corun.http_rate"},
  {option = "recorder", module = "corun.http_recorder"},
}

-- The options of requests and sessions that are policies, for corun.options.
policies.OPTIONS = {
  retries = "boolean|number|table", redirects = "boolean|number|table", netrc = "boolean|string",
}

---Read the policies among checked options into `to`. What is not given is as the session has it;
---for a session itself, which has none, it is the default. Misuse raises.
function policies.read(to, o, session)
  for _, layer in ipairs(LAYERS) do
    local name = layer.option
    local value = o[name]
    if value == nil and session then
      to[name] = session[name]
    else
      if value == nil then value = layer.default end
      to[name] = value and require(layer.module).read(value)
    end
  end
end

local function try(session, request)
  return exchange(session, request, request.deadline)
end

local function around(inner, layer)
  return function(session, request) return layer(session, request, inner) end
end

local ways = {} -- by the set of layers, a bit for each

local function compose(set, way)
  for i = #LAYERS, 1, -1 do
    if set & 1 << i ~= 0 then way = around(way, require(LAYERS[i].module).layer) end
  end
  return way
end

---Let go of an answer that nobody will read. One that is streamed and short is read, so that its
---connection can serve the next request.
function policies.discard(res)
  if not res.close then return end
  local _ <close> = res
  if res.length and res.length <= SHORT then res:read("a") end
end

local function layers_of(request)
  local set = 0
  for i, layer in ipairs(LAYERS) do
    if request[layer.option] then set = set | 1 << i end
  end
  return set
end

---The way of a request: a function(session, request) -> res | nil, err.
function policies.way(request)
  local set = layers_of(request)
  local way = ways[set]
  if not way then
    way = compose(set, try)
    ways[set] = way
  end
  return way
end

---The same with another try than over a connection of the pool: the likes of `way`.
function policies.around(request, another)
  return compose(layers_of(request), another)
end

return policies

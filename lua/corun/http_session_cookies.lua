-- SPDX-License-Identifier: MIT
-- The option `cookies` of sessions: each try gets the header Cookie of its URL, and what its answer
-- sets goes into the jar (http_cookies.lua), also of a redirect. With a base the jar is for its
-- origin alone. Owns nothing: a jar may be shared.
local cookies = require "corun.http_cookies"
local options = require "corun.options"

local now = os.time

local layer = {}

---Read the option: a jar, true for a new one; or "default", which does without libpsl until there
---is something to ask it.
function layer.read(value)
  if value == "default" then return cookies.new() end
  if value == true then return cookies.jar() end
  if not cookies.is_jar(value) then
    options.misuse('option "cookies" for session must be a jar (http.jar), true or false', 4)
  end
  return value
end

-- What a jar needs of the URL; nil for those that cookies are not for. All URLs with a Unix socket
-- have the host localhost, so that one server would get what another has set.
local function site(request)
  local u, home = request.u, request.home
  if u.socket or home and home.origin ~= u.origin then return nil end
  return {scheme = u.scheme, host = u.host, path = request.target:match("^[^?]*")}
end

-- What was refused is the server's mistake and no reason to fail; it is shown for whoever asks.
local function store(jar, where, res)
  local lines = res.headers["set-cookie"]
  if not lines then return end
  local _, refused = jar:store(where, lines, now())
  res.refused_cookies = refused
end

---What the jar adds to a request: the value of the header Cookie, nil when there is none.
function layer.value(request)
  local jar = request.cookies
  if not jar or jar.count == 0 or request.lines.cookie then return nil end
  local where = site(request)
  return where and jar:header(where, nil, now())
end

---Send a request with its cookies, and store those that come.
function layer.layer(session, request, next)
  local value = layer.value(request)
  if value then
    request = request:copy()
    request:set("cookie", value)
    request:seal()
  end
  local res, err = next(session, request)
  if res and res.block:find("set-cookie:", 1, true) then
    local where = site(request)
    if where then store(request.cookies, where, res) end
  end
  return res, err
end

return layer

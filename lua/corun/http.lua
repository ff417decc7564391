-- SPDX-License-Identifier: MIT
-- The module corun.http: sessions (http_session.lua), and the functions of the default one, which
-- is made when it is first used.
local session = require "corun.http_session"

local http = {session = session.new}

local default

for _, name in ipairs {"get", "head", "post", "put", "patch", "delete", "request", "getjson",
  "paginate", "events", "download", "websocket"} do
  local method = session.methods[name]
  http[name] = function(...)
    default = default or http.session{cookies = false} -- its callers know nothing of each other
    return method(default, ...)
  end
end

---Make an empty jar of cookies; see lua/meta/http.lua.
function http.jar()
  return require("corun.http_cookies").jar()
end

---Make a jar of a file of cookies; see lua/meta/http.lua.
function http.load_jar(path)
  return require("corun.http_cookies").load(path)
end

---Make a cache of responses; see lua/meta/http_cache.lua.
function http.cache(o)
  return require("corun.http_cache").new(o)
end

---Record exchanges, or replay them; see lua/meta/http_recorder.lua.
function http.recorder(...)
  return require("corun.http_recorder").new(...)
end

---Serve HTTP; see lua/meta/http.lua.
function http.serve(...)
  http.serve = require("corun.http_server").serve
  return http.serve(...)
end

-- What servers are made of: each function stands in a module of its own.
for name, module in pairs{
  router = "http_router", static = "http_static", set_cookie = "http_set_cookie",
  compress = "http_compress", sse = "http_sse", cors = "http_cors",
  basic_auth = "http_basic_auth", common_log = "http_common_log", broadcast = "http_websocket",
  proxy = "http_reverse_proxy",
} do
  http[name] = function(...)
    http[name] = require("corun." .. module)[name]
    return http[name](...)
  end
end

return http

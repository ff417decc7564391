-- SPDX-License-Identifier: MIT
-- Proxies for the http specs: ones that do as they are told and note what they hear.
local corun = require "corun"
local net = require "corun.net"

local support = {}

---Pass on what two streams say to each other until either has ended.
function support.pump(a, b)
  local function pass(from, to)
    while true do
      local data = from:recv()
      if not data or not to:write(data) then break end
    end
    pcall(to.close, to)
    pcall(from.close, from)
  end
  corun.gather(function() pcall(pass, a, b) end, function() pcall(pass, b, a) end)
end

---A proxy that opens tunnels by CONNECT; `o.heads`: a list that gets the heads it has read;
---`o.answer(head)`: what it says instead of opening a tunnel; `o.more`: what it says after its 200.
function support.tunnel(o, secure)
  local server = assert(net.serve("127.0.0.1:0", function(s)
    local head = s:read_until("\r\n\r\n")
    if not head then return end
    if o.heads then o.heads[#o.heads + 1] = head end
    local answer = o.answer and o.answer(head)
    if answer then
      s:write(answer)
      return o.hold and s:read("a")
    end
    local to <close> = assert(net.connect((assert(head:match("^CONNECT (%S+)")))))
    s:write("HTTP/1.1 200 Connection established\r\n\r\n", o.more or "")
    support.pump(s, to)
  end, {tls = secure}))
  return server, (secure and "https://" or "http://") .. server:address()
end

---A server that says bytes to each that connects, whatever it hears, then closes; with `hold` after
---the other has. `o.said` gets all that it heard.
function support.saying(bytes, o)
  o = o or {}
  local server = assert(net.serve("127.0.0.1:0", function(s)
    local first = s:recv()
    if not first then return end
    s:write(bytes)
    if not o.hold then s:shutdown() end
    local rest = s:read("a", {timeout = 10})
    if o.heard then o.heard[#o.heard + 1] = first .. (rest or "") end
  end))
  return server, server:address()
end

---The ways to a server that serves each connection with fn: each gives the server, a URL, and the
---options of a session that gets there. What is a proxy is the server itself.
support.paths = {
  direct = function(fn)
    local server = assert(net.serve("127.0.0.1:0", fn))
    return server, "http://" .. server:address(), {}
  end,
  ["an http proxy"] = function(fn)
    local server = assert(net.serve("127.0.0.1:0", fn))
    return server, "http://127.0.0.1:9", {proxy = "http://" .. server:address()}
  end,
  SOCKS5 = function(fn)
    local server = assert(net.serve("127.0.0.1:0", function(s)
      if not s:read_exactly(#"\5\1\0") or not s:write("\5\0") then return end
      if not s:read_exactly(10) or not s:write("\5\0\0\1\0\0\0\0\0\0") then return end
      fn(s)
    end))
    return server, "http://127.0.0.1:9", {proxy = "socks5://" .. server:address()}
  end,
}

---Run fn with such an environment, as far as Lua asks for it.
function support.with_environment(env, fn)
  local real = os.getenv
  os.getenv = function(name) -- luacheck: ignore 122
    if name:lower():find("_proxy$") then return env[name] end
    return real(name)
  end
  local _ <close> = corun.defer(function() os.getenv = real end) -- luacheck: ignore 122
  return fn()
end

return support

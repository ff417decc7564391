-- SPDX-License-Identifier: MIT
-- https through a proxy that itself speaks TLS: TLS within TLS.

local corun = require("corun")
local dial = require("corun.http_dial")
local http = require("corun.http")
local net = require("corun.net")
local proxies = require("tests.spec.support.proxies")
local support = require("tests.spec.support.http")
local certificates = require("tests.spec.support.tls")
local outcomes = require("tests.spec.support.outcomes")

local ok, kept = support.ok, support.kept

describe("https through a proxy that speaks TLS", function()
  if not certificates.has_openssl then return pending("the openssl command is not installed") end
  local folder, good, trust

  setup(function()
    folder = certificates.make_certificates()
    good = {cert = folder .. "good.pem", key = folder .. "key.pem"}
    trust = {ca = folder .. "ca.pem"}
  end)

  teardown(function() certificates.remove(folder) end)

  -- A session that trusts the proxy; scripts have the trust store of the system for that.
  local function session(proxy, o)
    o = o or {}
    o.proxy, o.tls = proxy, o.tls or trust
    local s = http.session(o)
    s.proxy.client = dial.client(trust)
    return s
  end

  -- A server of TLS that answers with what it got.
  local function echo(o)
    return kept(function(head, body, n) return ok(("%d %s%s"):format(n, head, body)) end, o or good)
  end

  local function has_let_go(s)
    assert.equal(0, s.pool.open + s.pool.active)
  end

  it("tells the proxy where to, and nothing else", function()
    local heads = {}
    local server <close>, url = echo()
    local through <close>, proxy = proxies.tunnel({heads = heads}, good)
    local s <close> = session((proxy:gsub("//", "//u:secret@")))
    for _ = 1, 3 do
      local body = assert(s:get(url .. "/x", {auth = "token"})).body
      assert.matches("^1 GET /x HTTP/1.1\r\nhost: ", body)
      assert.not_matches("proxy", body:lower(), 1, true)
    end
    assert.equal(1, #heads)
    assert.matches("^CONNECT " .. url:match("[^/]+$"):gsub("%p", "%%%0") .. " HTTP", heads[1])
    assert.matches("\r\nproxy-authorization: Basic dTpzZWNyZXQ=\r\n", heads[1], 1, true)
    assert.not_matches("token", heads[1])
    server:close()
    through:close()
  end)

  it("brings large bodies both ways, on many connections", function()
    local server <close>, url = echo()
    local through <close>, proxy = proxies.tunnel({}, good)
    local s <close> = session(proxy)
    local text = corun.codec.random(900000)
    for name, way in pairs(support.ways) do
      local body = assert(way(s, url, {body = text}))
      assert.is_truthy(body:find(text, 1, true), name)
    end
    local sizes = corun.map({1, 100, 16384, 16385, 70000, 400000}, function(n)
      return #assert(s:post(url, {body = ("x"):rep(n)})).body:match("x*$")
    end)
    assert.same({1, 100, 16384, 16385, 70000, 400000, n = 6}, sizes)
    server:close()
    through:close()
  end)

  it("takes what comes in pieces of any size", function()
    local server <close>, url = echo()
    local through <close> = proxies.tunnel({}, good)
    for _, n in ipairs({1, 7, 1000}) do
      local slow <close> = certificates.relay(through:address(), {chunk = n})
      local s <close> = session("https://" .. slow:address())
      local text = ("y"):rep(n == 1 and 2000 or 40000)
      assert.equal(text, assert(s:post(url, {body = text})).body:match("y*$"))
      slow:close()
    end
    server:close()
    through:close()
  end)

  it("waits for a reader who takes nothing, and loses none of it", function()
    local size = 4 << 20
    local server <close>, url = support.canned(ok(("z"):rep(size)), good)
    local through <close>, proxy = proxies.tunnel({}, good)
    local s <close> = session(proxy)
    local res <close> = assert(s:get(url, {stream = true}))
    local n = 0
    for i = 1, math.huge do
      local piece = assert(res:recv(10000))
      if piece == "" then break end
      n = n + #piece
      if i % 50 == 0 then corun.yield() end
      if n == size then break end
    end
    assert.equal(size, n)
    assert.is_nil((res:recv()))
    server:close()
    through:close()
  end)

  it("resumes both sessions", function()
    local server <close>, url = echo()
    local through <close>, proxy = proxies.tunnel({}, good)
    local s <close> = session(proxy)
    local route = {proxy = s.proxy, client = dial.client(trust), name = url:match("[^/]+$"),
      host = "127.0.0.1", address = {host = "127.0.0.1", port = url:match("%d+$")}}
    for i = 1, 2 do
      local stream <close> = assert(dial.connect(route, 10))
      stream:write("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
      assert.matches("^HTTP/1.1 200", assert(stream:read_until("\r\n\r\n")))
      assert.equal(i == 2, stream:tls().resumed)
      assert.has_error(function() stream:starttls({insecure = true}) end,
        "starttls: the stream has TLS already")
    end
    server:close()
    through:close()
  end)

  it("verifies the proxy and the server, each by its own trust", function()
    outcomes.captured(function()
      local server <close>, url = echo()
      local through <close>, proxy = proxies.tunnel({}, good)
      local stranger <close> = http.session({proxy = proxy, tls = trust})
      local res, err = stranger:get(url)
      assert.is_nil(res)
      assert.equal("ETLS", err.code)
      assert.equal("proxy", err.op)
      assert.equal(proxy, err.target)
      has_let_go(stranger)
      local s <close> = session(proxy, {tls = {}})
      res, err = s:get(url)
      assert.is_nil(res)
      assert.equal("ETLS", err.code)
      assert.equal("handshake", err.op)
      has_let_go(s)
      assert.equal(200, assert(s:get(url, {tls = trust})).status)
      server:close()
      through:close()
    end)
  end)

  it("says what a refusal of the proxy was", function()
    local through <close>, proxy = proxies.tunnel({answer = function()
      return "HTTP/1.1 403 no\r\n\r\n"
    end}, good)
    local s <close> = session(proxy)
    local res, err = s:get("https://127.0.0.1:1/")
    assert.is_nil(res)
    assert.equal("EPROXY", err.code)
    assert.equal(403, err.status)
    has_let_go(s)
    through:close()
  end)

  it("refuses a server that speaks no TLS, and bytes before the handshake", function()
    local plain <close>, url = support.raw(function(s) s:write("220 mail\r\n") s:read("a") end)
    for _, more in ipairs({"", "HTTP/1.1 200 OK\r\n\r\n"}) do
      local through <close>, proxy = proxies.tunnel({more = more}, good)
      local s <close> = session(proxy)
      local res, err = s:get((url:gsub("^http", "https")))
      assert.is_nil(res)
      assert.equal("ETLS", err.code)
      assert.equal("handshake", err.op)
      has_let_go(s)
      through:close()
    end
    plain:close()
  end)

  -- Both ends of a connection between the two sides of TLS, so that one can be cut alone.
  local function front(cut)
    return assert(net.serve("127.0.0.1:0", function(s)
      local head = s:read_until("\r\n\r\n")
      if not head then return end
      local to <close> = assert(net.connect((assert(head:match("^CONNECT (%S+)")))))
      s:write("HTTP/1.1 200 x\r\n\r\n")
      cut(s, to)
    end, {tls = good}))
  end

  it("takes no part of a body for the whole, whichever of the two is cut", function()
    outcomes.captured(function()
      local cut_after = 30000
      local body = "HTTP/1.1 200 OK\r\n\r\n" .. ("x"):rep(cut_after) -- ends with the connection
      local function with_farewell(s, to) -- the outer one ends in order, the inner one not
        local function pass_requests()
          while to:write((assert(s:recv()))) do end
        end
        local function pass_some()
          local n = 0
          while n < 20000 do
            local piece = assert(to:recv(1000))
            n = n + #piece
            s:write(piece)
          end
          s:close()
        end
        corun.gather(function() pcall(pass_requests) end, pass_some)
      end
      local server <close>, url = support.canned(body, good)
      local through <close> = front(with_farewell)
      local s <close> = session("https://" .. through:address())
      local res, err = s:get(url)
      assert.is_nil(res)
      assert.equal("ETLS", err.code)
      assert.equal("read", err.op)
      assert.matches("the connection around this one has ended", err.message, 1, true)
      has_let_go(s)
      through:close()

      local plain <close> = proxies.tunnel({}, good)
      local relay <close> = certificates.relay(plain:address(), {cut = 20000})
      local t <close> = session("https://" .. relay:address())
      res, err = t:get(url)
      assert.is_nil(res)
      assert.equal("ETLS", err.code)
      assert.matches("without close_notify", err.message, 1, true)
      has_let_go(t)
      plain:close()
      relay:close()
      server:close()
    end)
  end)

  it("notices a damaged record of either", function()
    outcomes.captured(function()
      local server <close>, url = support.canned(ok(("x"):rep(100000)), good)
      local outer <close> = proxies.tunnel({}, good)
      local passed = 0
      local damaging <close> = certificates.relay(outer:address(), {seen = function(data, name)
        if name ~= "server" then return data end
        passed = passed + #data
        return passed > 20000 and data:sub(1, -2) .. string.char(data:byte(-1) ~ 1) or data
      end})
      local s <close> = session("https://" .. damaging:address())
      local res, err = s:get(url)
      assert.is_nil(res)
      assert.equal("ETLS", err.code)
      assert.matches("damaged", err.message, 1, true)
      has_let_go(s)
      damaging:close()
      outer:close()

      local inner <close> = certificates.relay(server:address(), {seen = function(data, name)
        return name == "server" and #data > 5000 and
          data:sub(1, -2) .. string.char(data:byte(-1) ~ 1) or data
      end})
      local through <close>, proxy = proxies.tunnel({}, good)
      local t <close> = session(proxy)
      res, err = t:get("https://" .. inner:address())
      assert.is_nil(res)
      assert.equal("ETLS", err.code)
      assert.matches("damaged", err.message, 1, true)
      has_let_go(t)
      inner:close()
      through:close()
      server:close()
    end)
  end)

  it("can be cancelled and closed at any of its steps, and leaves nothing open", function()
    outcomes.captured(function()
      local before = corun.debug.stats().handles
      local server <close>, url = echo()
      local through <close>, proxy = proxies.tunnel({}, good)
      for seconds = 0, 12 do
        local s = session(proxy)
        local t = corun.async(function() return s:post(url, {body = ("x"):rep(100000)}) end)
        corun.sleep(seconds / 1000)
        t:cancel()
        pcall(t.await, t)
        s:close()
        has_let_go(s)
      end
      local s <close> = session(proxy)
      local reached = corun.event()
      local silent <close> = support.raw(function(stream)
        stream:recv()
        reached:set()
        stream:read("a")
      end)
      local t = corun.async(s.get, s, "https://" .. silent:address())
      reached:wait()
      t:cancel()
      pcall(t.await, t)
      has_let_go(s)
      silent:close()
      server:close()
      through:close()
      support.eventually("all is closed", function() -- a client lingers behind what it has written
        return corun.debug.stats().handles <= before
      end)
    end)
  end)

  it("is bounded by the time limit in the inner handshake too", function()
    outcomes.captured(function()
      local through <close>, proxy = proxies.tunnel({}, good)
      local silent <close> = support.raw(function(stream) stream:read("a") end)
      local s <close> = session(proxy, {timeout = {connect = 0.5}})
      local _, err = s:get("https://" .. silent:address())
      assert.equal("ETIMEDOUT", err.code)
      has_let_go(s)
      silent:close()
      through:close()
    end)
  end)

  it("tells both that it ends", function()
    local ends, all = {}, corun.event()
    local function note(who)
      return function(_, err)
        ends[who] = err and err.code or "in order"
        if ends.proxy and ends.server then all:set() end
      end
    end
    local server <close> = assert(net.serve("127.0.0.1:0", function(s)
      support.read_request(s)
      s:write(ok("x"))
      note("server")(s:read("a"))
    end, {tls = good}))
    local through <close> = front(function(s, to)
      corun.spawn(function()
        while true do
          local data = to:recv()
          if not data or not s:write(data) then return end
        end
      end)
      while true do
        local data, err = s:recv()
        if not data then
          note("proxy")(nil, err)
          return to:shutdown()
        end
        to:write(data)
      end
    end)
    local s = session("https://" .. through:address())
    assert.equal("x", assert(s:get("https://" .. server:address())).body)
    s:close()
    all:wait()
    assert.same({proxy = "in order", server = "in order"}, ends)
    through:close()
    server:close()
  end)
end)

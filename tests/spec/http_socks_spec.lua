-- SPDX-License-Identifier: MIT
-- SOCKS5 for http and https: against a server of it made here, byte for byte (RFC 1928, RFC 1929).

local corun = require("corun")
local http = require("corun.http")
local net = require("corun.net")
local proxies = require("tests.spec.support.proxies")
local support = require("tests.spec.support.http")
local certificates = require("tests.spec.support.tls")
local outcomes = require("tests.spec.support.outcomes")

local ok, kept = support.ok, support.kept

-- A server of SOCKS5 that notes what it hears: the greeting, the login, and the destination.
-- `o.login` it wants; `o.refuse(destination)`: the byte that it answers a destination with;
-- `o.kind`: the bytes of the address that it answers.
local function socks(o)
  local server = assert(net.serve("127.0.0.1:0", function(s)
    local n = s:read_exactly(2):byte(2)
    o.greeting = s:read_exactly(n)
    s:write(o.login and "\5\2" or "\5\0")
    if o.login then
      local user = s:read_exactly(s:read_exactly(2):byte(2))
      local password = s:read_exactly(s:read_exactly(1):byte())
      local fine = user .. ":" .. password == o.login
      s:write(fine and "\1\0" or "\1\1")
      if not fine then return end
    end
    local kind = s:read_exactly(4):byte(4)
    local name = s:read_exactly(kind == 1 and 4 or kind == 4 and 16 or s:read_exactly(1):byte())
    local port = (">I2"):unpack(s:read_exactly(2))
    local heard = {kind = kind, name = name, port = port}
    table.insert(o, heard)
    local refusal = o.refuse and o.refuse(heard)
    if refusal then return s:write("\5", string.char(refusal), "\0\1\0\0\0\0\0\0") end
    local to <close> = assert(net.connect("127.0.0.1:" .. port))
    s:write("\5\0\0", o.kind or "\1\127\0\0\1", "\0\80")
    proxies.pump(s, to)
  end))
  return server, server:address()
end

local function fails(code, s, url)
  local res, err = s:get(url or "http://127.0.0.1:9/")
  assert.is_nil(res)
  assert.equal(code, err.code)
  assert.equal("proxy", err.op)
  assert.matches("^SOCKS5 to ", err.message)
  assert.equal(0, s.pool.open + s.pool.active)
  assert.not_matches("secret", tostring(err) .. tostring(err.cause))
  return err
end

describe("SOCKS5", function()
  local server, port

  before_each(function()
    local url
    server, url = kept(function(head) return ok(head) end)
    port = tonumber(url:match("%d+$"))
  end)

  after_each(function() server:close() end)

  it("is told addresses as they are, and the request is as without", function()
    local o = {}
    local proxy <close>, address = socks(o)
    local s <close> = http.session({proxy = "socks5://" .. address})
    local body = assert(s:get(("http://127.0.0.1:%d/x"):format(port))).body
    assert.matches("^GET /x HTTP/1.1\r\nhost: 127.0.0.1:", body)
    assert.not_matches("proxy", body)
    assert.same({kind = 1, name = "\127\0\0\1", port = port}, o[1])
    assert.equal("\0", o.greeting)
    assert(s:get(("http://[2001:db8::ff]:%d/"):format(port)))
    assert.same({kind = 4, name = "\x20\1\x0d\xb8" .. ("\0"):rep(11) .. "\xff", port = port}, o[2])
    assert(s:get(("http://127.0.0.1:%d/y"):format(port)))
    assert.equal(2, #o)
    proxy:close()
  end)

  it("is told names with socks5h, addresses with socks5", function()
    local o = {}
    local proxy <close>, address = socks(o)
    local s <close> = http.session({proxy = "socks5h://" .. address})
    assert(s:get(("http://Nowhere.invalid:%d/"):format(port)))
    assert.same({kind = 3, name = "nowhere.invalid", port = port}, o[1])
    assert(s:get(("http://localhost:%d/"):format(port), {proxy = "socks5://" .. address}))
    assert.is_true(o[2].kind == 1 or o[2].kind == 4)
    local res, err = s:get("http://nowhere.invalid/", {proxy = "socks5://" .. address})
    assert.is_nil(res)
    assert.equal("resolve", err.op)
    assert.equal(2, #o)
    proxy:close()
  end)

  it("tries the next address of a name where one cannot be reached", function()
    local all = assert(net.resolve("localhost"))
    local o = {}
    o.refuse = function() return #o < #all and 4 or nil end
    local proxy <close>, address = socks(o)
    local s <close> = http.session({proxy = "socks5://" .. address})
    assert(s:get(("http://localhost:%d/"):format(port)))
    assert.equal(#all, #o)
    proxy:close()
  end)

  it("logs in with user and password", function()
    local o = {login = "us:er:secret"}
    local proxy <close>, address = socks(o)
    local url = ("http://127.0.0.1:%d/"):format(port)
    local s <close> = http.session({proxy = "socks5h://us%3Aer:secret@" .. address})
    assert.equal(200, assert(s:get(url)).status)
    assert.equal("\0\2", o.greeting)
    local other <close> = http.session({proxy = "socks5://us:secretly@" .. address})
    assert.matches("does not accept", fails("EPROXY", other, url).message)
    local none <close> = http.session({proxy = "socks5://" .. address})
    fails("EPROTO", none, url) -- this one insists on what it was not offered
    proxy:close()
  end)

  it("skips the address it is answered, of any kind", function()
    for _, kind in ipairs({"\3\0", "\3\255" .. ("x"):rep(255), "\4" .. ("x"):rep(16)}) do
      local proxy <close>, address = socks({kind = kind})
      local s <close> = http.session({proxy = "socks5h://" .. address})
      assert.equal(200, assert(s:get(("http://127.0.0.1:%d/"):format(port))).status)
      proxy:close()
    end
  end)

  it("says why the proxy refused", function()
    for reply, why in pairs({[1] = "failed", [2] = "rules", [3] = "network is unreachable",
        [4] = "host is unreachable", [5] = "connection was refused", [6] = "time to live",
        [7] = "CONNECT", [8] = "kind of address", [99] = "reason 99"}) do
      local proxy <close>, address = socks({refuse = function() return reply end})
      local s <close> = http.session({proxy = "socks5h://u:secret@" .. address})
      local err = fails("EPROXY", s)
      assert.matches(why, err.message, 1, true)
      assert.equal("socks5h://" .. address, err.target)
      assert.equal(reply ~= 2 and reply < 7 or nil, err.retryable)
      proxy:close()
    end
    for user, why in pairs({[""] = "wants a user", ["u:secret@"] = "takes no user"}) do
      local proxy <close>, address = proxies.saying("\5\xff", {hold = true})
      local s <close> = http.session({proxy = "socks5://" .. user .. address})
      assert.matches(why, fails("EPROXY", s).message)
      proxy:close()
    end
  end)

  it("refuses answers that are none", function()
    for _, answer in ipairs({"\4\0", "HTTP/1.1 400 Bad Request\r\n\r\n", "\0\90", "\5\1", "\5\3",
        "\5\0\4\0\0\1", "\5\0\5\0\1\1", "\5\0\5\0\0\0", "\5\0\5\0\0\2", "\5\2\5\0"}) do
      local proxy <close>, address = proxies.saying(answer, {hold = true})
      local s <close> = http.session({proxy = "socks5://u:secret@" .. address})
      fails("EPROTO", s)
      proxy:close()
    end
  end)

  it("notices an answer that ends at any byte", function()
    for _, address in ipairs({"\1\127\0\0\1", "\3\2ab", "\4" .. ("\0"):rep(16)}) do
      local answer = "\5\2\1\0\5\0\0" .. address .. "\0\80"
      for n = 0, #answer - 1 do
        local proxy <close>, where = proxies.saying(answer:sub(1, n))
        local s <close> = http.session({proxy = "socks5://u:secret@" .. where})
        fails("EOF", s)
        proxy:close()
      end
    end
  end)

  it("bounds the time, and can be cancelled at any byte", function()
    local answer = "\5\2\1\0\5\0\0\1\127\0\0\1\0\80"
    for n = 0, #answer - 1, 3 do
      local said, ended = corun.event(), corun.event()
      local proxy <close> = assert(net.serve("127.0.0.1:0", function(s)
        s:recv()
        s:write(answer:sub(1, n))
        said:set()
        s:read("a")
        ended:set()
      end))
      local s <close> = http.session({timeout = {connect = 0.05},
        proxy = "socks5://u:secret@" .. proxy:address()})
      assert.matches("in time", fails("ETIMEDOUT", s).message)
      ended:wait()
      said:clear()
      ended:clear()
      local t = corun.async(function() return s:get("http://127.0.0.1:9/", {timeout = 30}) end)
      said:wait()
      t:cancel()
      pcall(t.await, t)
      ended:wait()
      assert.equal(0, s.pool.open + s.pool.active)
      proxy:close()
    end
  end)

  it("leads to https, verified", function()
    if not certificates.has_openssl then return pending("the openssl command is not installed") end
    local folder = certificates.make_certificates()
    local _ <close> = corun.defer(function() certificates.remove(folder) end)
    outcomes.captured(function()
      local secure <close>, url = kept(function(head) return ok(head) end,
        {cert = folder .. "good.pem", key = folder .. "key.pem"})
      local o = {}
      local proxy <close>, address = socks(o)
      local s <close> = http.session({proxy = "socks5h://" .. address})
      assert.equal(200, assert(s:get(url, {tls = {ca = folder .. "ca.pem"}})).status)
      local res, err = s:get(url)
      assert.is_nil(res)
      assert.equal("ETLS", err.code)
      assert.equal("handshake", err.op)
      assert.equal(1, s.pool.open)
      secure:close()
      proxy:close()
    end)
  end)
end)

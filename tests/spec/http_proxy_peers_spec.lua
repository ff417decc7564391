-- SPDX-License-Identifier: MIT
-- Proxies that others wrote: tinyproxy, squid and microsocks, with and without passwords; squid
-- also over TLS, and tinyproxy behind a socat that speaks it.

local corun = require("corun")
local dial = require("corun.http_dial")
local http = require("corun.http")
local net = require("corun.net")
local support = require("tests.spec.support.http")
local certificates = require("tests.spec.support.tls")

local ok, kept = support.ok, support.kept

-- Start a program by a line of the shell, in which $1 is its port and $2 its configuration; its
-- address.
local function start(line, port, path)
  local peer = support.start("sh", "-c", "echo port $1; exec " .. line .. " >/dev/null", "sh",
    tostring(port), path)
  local address = "127.0.0.1:" .. port
  support.eventually("the proxy listens", function()
    local stream = net.connect(address)
    if stream then stream:close() end
    return stream
  end)
  return peer, address
end

local function write(path, text)
  local f <close> = assert(io.open(path, "w"))
  assert(f:write(text))
end

local function start_tinyproxy(more)
  local port, path = support.free_port(), os.tmpname()
  write(path, ("Port %d\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nLogLevel Critical\n%s\n")
    :format(port, more or ""))
  local peer, address = start("tinyproxy -d -c $2", port, path)
  return peer, address, path
end

-- A squid, which keeps nothing; with `port` it is where that says, else where it is found out.
local function start_squid(what, more)
  local port, path = support.free_port(), os.tmpname()
  write(path, ([[
    %s
    pid_filename none
    cache deny all
    cache_log /dev/null
    access_log none
    coredump_dir /tmp
    pinger_enable off
    server_persistent_connections off
    shutdown_lifetime 0 seconds
    visible_hostname squid.test
    %s
    acl here src 127.0.0.1
    http_access allow here
    http_access deny all]]):format(what:format(port), more or ""))
  local peer, address = start("squid -N -f $2", port, path)
  return peer, address, path
end

describe("http through", function()
  local folder, trust, plain, plain_url, secure, secure_url

  setup(function()
    if not certificates.has_openssl then return end
    folder = certificates.make_certificates()
    trust = {ca = folder .. "ca.pem"}
  end)

  teardown(function()
    if folder then certificates.remove(folder) end
  end)

  before_each(function()
    plain, plain_url = kept(function(head, body) return ok(head .. body) end)
    if not folder then return end
    secure, secure_url = kept(function(head, body) return ok(head .. body) end,
      {cert = folder .. "good.pem", key = folder .. "key.pem"})
  end)

  after_each(function()
    -- proxies close their side a moment after ours
    support.eventually("all closed", function() return plain.count == 0 end)
    plain:close()
    if not secure then return end
    support.eventually("all closed", function() return secure.count == 0 end)
    secure:close()
  end)

  -- Requests for http and, where there are certificates, https, one after the other and at once.
  local function works(proxy)
    local s <close> = http.session({proxy = proxy, tls = trust, timeout = 20})
    if s.proxy.scheme == "https" then s.proxy.client = dial.client(trust) end
    for _, url in ipairs({plain_url, folder and secure_url or plain_url}) do
      for i = 1, 5 do
        local body = assert(s:post(url .. "/" .. i, {body = "sent"})).body
        assert.matches("^POST /" .. i .. " HTTP/1.%d\r\n.*sent$", body)
        assert.not_matches("proxy-authorization", body:lower(), 1, true)
      end
      local results = corun.map({1, 2, 3, 4, 5, 6, 7, 8}, function(i)
        return assert(s:get(url .. "/" .. i)).body:match("^GET /(%d)")
      end)
      assert.equal("12345678", table.concat(results))
    end
    assert.equal(0, s.pool.active)
  end

  local function refused(proxy, url, why)
    local s <close> = http.session({proxy = proxy, tls = trust, timeout = 20})
    local res, err = s:get(url)
    assert.is_nil(res)
    assert.equal("EPROXY", err.code)
    assert.equal("proxy", err.op)
    assert.matches(why, err.message, 1, true)
    assert.not_matches("secret", tostring(err))
    assert.equal(0, s.pool.open + s.pool.active)
    return err
  end

  it("tinyproxy", function()
    if not support.has("tinyproxy") then return pending("tinyproxy is not installed") end
    local peer, address, path = start_tinyproxy()
    local _ <close> = corun.defer(function() os.remove(path) end)
    local _ <close> = corun.defer(peer.stop)
    works("http://" .. address)
    assert.equal("EPROXY", refused("http://" .. address,
      ("https://127.0.0.1:%d/"):format(support.free_port()), "the proxy answered 5").code)
  end)

  it("tinyproxy with a password, and with ports that it forbids", function()
    if not support.has("tinyproxy") then return pending("tinyproxy is not installed") end
    if not folder then return pending("the openssl command is not installed") end
    local peer, address, path = start_tinyproxy("BasicAuth user secret")
    local _ <close> = corun.defer(function() os.remove(path) end)
    local _ <close> = corun.defer(peer.stop)
    works("http://user:secret@" .. address)
    assert.equal(407, refused("http://" .. address, secure_url, "wants a user").status)
    assert.equal(401, refused("http://user:secret2@" .. address, secure_url, "401").status)
    assert.equal(407, assert(http.get(plain_url, {proxy = "http://" .. address})).status)
    local other, forbidding, other_path = start_tinyproxy("ConnectPort 1")
    local _ <close> = corun.defer(function() os.remove(other_path) end)
    local _ <close> = corun.defer(other.stop)
    assert.equal(403, refused("http://" .. forbidding, secure_url, "403").status)
  end)

  it("squid #heavy", function()
    if not support.has("squid") then return pending("squid is not installed") end
    local peer, address, path = start_squid("http_port 127.0.0.1:%d")
    local _ <close> = corun.defer(function() os.remove(path) end)
    local _ <close> = corun.defer(peer.stop)
    works("http://" .. address)
    assert.equal(503, refused("http://" .. address, "https://127.0.0.1:1/", "answered 503").status)
    local s <close> = http.session({proxy = "http://" .. address})
    assert.equal(503, assert(s:get("http://127.0.0.1:1/")).status)
  end)

  it("squid with a password #heavy", function()
    if not support.has("squid") then return pending("squid is not installed") end
    if not folder then return pending("the openssl command is not installed") end
    local helper = os.tmpname()
    write(helper, "#!/bin/sh\nwhile read -r pair; do\n" ..
      "[ \"$pair\" = 'user se%20cret' ] && echo OK || echo ERR\ndone\n")
    assert(os.execute("chmod 755 " .. helper))
    local _ <close> = corun.defer(function() os.remove(helper) end)
    local peer, address, path = start_squid("http_port 127.0.0.1:%d", ([[
      auth_param basic program %s
      auth_param basic children 1
      acl known proxy_auth REQUIRED
      http_access deny !known]]):format(helper))
    local _ <close> = corun.defer(function() os.remove(path) end)
    local _ <close> = corun.defer(peer.stop)
    works("http://user:se%20cret@" .. address)
    assert.equal(407, refused("http://" .. address, secure_url, "wants a user").status)
    assert.equal(407, refused("http://user:secret@" .. address, secure_url, "not accept").status)
    local s <close> = http.session({proxy = "http://" .. address})
    assert.equal(407, assert(s:get(plain_url)).status)
  end)

  it("squid that speaks TLS #heavy", function()
    if not support.has("squid") then return pending("squid is not installed") end
    if not folder then return pending("the openssl command is not installed") end
    assert(os.execute(("chmod -R a+rX %s"):format(folder))) -- it leaves root behind
    local peer, address, path = start_squid(
      ("https_port 127.0.0.1:%%d tls-cert=%sgood.pem tls-key=%skey.pem"):format(folder, folder))
    local _ <close> = corun.defer(function() os.remove(path) end)
    local _ <close> = corun.defer(peer.stop)
    works("https://" .. address)
    local s <close> = http.session({proxy = "https://" .. address, tls = trust, timeout = 20})
    local _, err = s:get(secure_url) -- whose certificate no system trusts
    assert.equal("ETLS", err.code)
    assert.equal("proxy", err.op)
  end)

  it("tinyproxy behind a program that speaks TLS", function()
    if not (support.has("tinyproxy") and support.has("socat")) then
      return pending("tinyproxy and socat are not installed")
    end
    if not folder then return pending("the openssl command is not installed") end
    local peer, behind, path = start_tinyproxy()
    local _ <close> = corun.defer(function() os.remove(path) end)
    local _ <close> = corun.defer(peer.stop)
    local front, address = start(("socat OPENSSL-LISTEN:$1,bind=127.0.0.1,reuseaddr,fork," ..
      "cert=%sgood.pem,key=%skey.pem,verify=0 TCP:%s"):format(folder, folder, behind),
      support.free_port(), "")
    local _ <close> = corun.defer(front.stop)
    works("https://" .. address)
  end)

  it("microsocks", function()
    if support.has_short_calls then return end
    if not support.has("microsocks") then return pending("microsocks is not installed") end
    local peer, address = start("microsocks -i 127.0.0.1 -p $1", support.free_port(), "")
    local _ <close> = corun.defer(peer.stop)
    works("socks5://" .. address)
    works("socks5h://" .. address)
    local s <close> = http.session()
    local local_url = plain_url:gsub("127%.0%.0%.1", "localhost")
    local other = net.serve("[::1]:" .. plain_url:match("%d+$"), function(stream)
      if support.read_request(stream) then stream:write(ok("6")) end
    end) -- which is where microsocks goes, on a machine that has IPv6
    local _ <close> = corun.defer(function() if other then other:close() end end)
    for _, scheme in ipairs({"socks5", "socks5h"}) do
      assert.equal(200, assert(s:get(local_url, {proxy = scheme .. "://" .. address})).status)
    end
    assert.matches("refused", refused("socks5://" .. address,
      ("http://127.0.0.1:%d/"):format(support.free_port()), "refused").message)
  end)

  it("microsocks with a password", function()
    if support.has_short_calls then return end
    if not support.has("microsocks") then return pending("microsocks is not installed") end
    local peer, address = start("microsocks -i 127.0.0.1 -p $1 -u user -P secret",
      support.free_port(), "")
    local _ <close> = corun.defer(peer.stop)
    works("socks5h://user:secret@" .. address)
    refused("socks5h://" .. address, plain_url, "wants a user")
    refused("socks5h://user:secret2@" .. address, plain_url, "does not accept")
  end)
end)

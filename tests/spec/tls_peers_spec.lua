-- SPDX-License-Identifier: MIT
-- TLS with other people's programs: the client against openssl s_server, python, node and nginx,
-- the server against openssl s_client, python and node.
local corun = require "corun"
local net = require "corun.net"
local process = require "corun.process"
local outcomes = dofile("tests/spec/support/outcomes.lua")
local support = dofile("tests/spec/support/tls.lua")
local peers = require("tests.spec.support.http")

local assert_error, with = outcomes.assert_error, support.with

local folder, good, trust

local function prepare()
  folder = support.make_certificates()
  good = {cert = folder .. "good.pem", key = folder .. "key.pem"}
  trust = {ca = folder .. "ca.pem", server_name = "localhost"}
end

-- Connect to a peer once it listens.
local function reach(port, o)
  local give_up = corun.now() + 60
  while true do
    local stream, err = net.connect("127.0.0.1:" .. port, {tls = with(trust, o), timeout = 10})
    if stream or err.code ~= "ECONNREFUSED" or corun.now() > give_up then return stream, err end
    corun.sleep(0.01)
  end
end

-- Start openssl s_server with these options; what it is sent it sends back, lines reversed.
local function s_server(options)
  local port = peers.free_port()
  local peer = peers.start("sh", "-c", ('echo port %d; exec openssl s_server -accept 127.0.0.1:%d \z
    -cert %sgood.pem -key %skey.pem -quiet %s'):format(port, port, folder, folder, options))
  return port, corun.defer(peer.stop)
end

-- Run a command line of the shell in the background; what it printed.
local function run(line)
  return (peers.run("sh", "-c", line))
end

describe("tls to others", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(prepare)
  teardown(function() support.remove(folder) end)

  it("openssl s_server, 1.2 and 1.3, resumed, and its close", function()
    for _, version in ipairs{"TLSv1.2", "TLSv1.3"} do
      local port, _ <close> = s_server("-rev -" .. version:lower():gsub("v", ""):gsub("%.", "_"))
      local outcome = {}
      for i = 1, 2 do
        local s <close> = assert(reach(port))
        assert.equal(version, s:tls().version)
        s:write("hello\n")
        assert.equal("olleh", s:read("l"))
        outcome[i] = s:tls().resumed
        s:write("CLOSE\n") -- s_server answers this by ending the connection
        assert.is_nil(s:read("l"))
      end
      assert.same({false, true}, outcome)
    end
  end)

  it("a peer with 1.1 only is refused", function()
    local port, _ <close> = s_server("-tls1_1 -cipher ALL:@SECLEVEL=0")
    local s, err = reach(port)
    assert_error("ETLS", "connect", s, err)
    assert.is_truthy(err.message:find("protocol version", 1, true)
      or err.message:find("no version of TLS that is allowed", 1, true), err.message)
  end)

  it("a client certificate and a protocol that a server asks for", function()
    local options = "-rev -Verify 1 -verify_return_error -CAfile %sca.pem -alpn a,b"
    local port, _ <close> = s_server(options:format(folder))
    local s <close> = assert(reach(port, {cert = folder .. "client.pem", key = folder .. "key.pem",
      alpn = {"b", "c"}}))
    assert.equal("b", s:tls().alpn)
    s:write("abc\n")
    assert.equal("cba", s:read("l"))
    s:close() -- it serves one after another
    local none <close> = assert(reach(port, {alpn = "a"}))
    none:write("abc\n")
    local data, err = none:read("l")
    assert_error("ETLS", "read", data, err)
    assert.equal('the peer refused it with the alert "certificate required"', err.message)
  end)

  it("python: truncation, close_notify, starttls", function()
    local code = [[
import socket, ssl, sys
folder = sys.argv[1]
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
c.load_cert_chain(folder + "good.pem", folder + "key.pem")
l = socket.socket()
l.bind(("127.0.0.1", 0))
l.listen(5)
print("port", l.getsockname()[1], flush=True)
s = c.wrap_socket(l.accept()[0], server_side=True)
s.sendall(b"cut")
s.recv(10)
socket.socket.shutdown(s, socket.SHUT_RDWR)
s = c.wrap_socket(l.accept()[0], server_side=True)
s.sendall(b"whole")
s.unwrap()
p = l.accept()[0]
f = p.makefile("rwb", buffering=0)
assert f.readline() == b"STARTTLS\n"
f.write(b"go\n")
s = c.wrap_socket(p, server_side=True)
data = b""
while not data.endswith(b"\n"): data += s.recv(65536)
s.sendall(b"%d\n" % len(data))
s.recv(10)]]
    local peer = peers.start("python3", "-c", code, folder)
    local _ <close> = corun.defer(peer.stop)
    local s = assert(reach(peer.port))
    assert.equal("cut", s:read_exactly(3))
    s:write("x")
    local data, err = s:recv()
    assert_error("ETLS", "recv", data, err)
    assert.equal("the connection was cut without close_notify", err.message)
    s:close()
    s = assert(reach(peer.port))
    assert.equal("whole", s:read("a"))
    s:close()
    s = assert(net.connect("127.0.0.1:" .. peer.port))
    s:write("STARTTLS\n")
    assert.equal("go", s:read("l"))
    assert(s:starttls(trust))
    assert(s:write(("x"):rep(1000000), "\n"))
    assert.equal("1000001", s:read("l"))
    s:close()
  end)

  it("node: a megabyte both ways", function()
    local node = peers.has("node")
    if not node then return pending("node is not installed") end
    local peer = peers.start("node", "-e", [[
const tls = require("tls"), fs = require("fs"), f = process.argv[1];
const s = tls.createServer({cert: fs.readFileSync(f + "good.pem"),
  key: fs.readFileSync(f + "key.pem"), ALPNProtocols: ["x"]}, c => c.pipe(c));
s.listen(0, "127.0.0.1", () => console.log("port " + s.address().port));]], folder)
    local _ <close> = corun.defer(peer.stop)
    local s <close> = assert(reach(peer.port, {alpn = "x"}))
    assert.equal("x", s:tls().alpn)
    local text = ("0123456789abcdef"):rep(1 << 16)
    local writer = corun.async(function()
      assert(s:write(text))
      assert(s:shutdown())
    end)
    assert.is_true(text == s:read("a"))
    writer:await()
  end)

  it("nginx: a file over many connections, most of them resumed", function()
    local nginx = "/usr/sbin/nginx" -- which is in the path of few users
    if not peers.has(nginx) then nginx = peers.has("nginx") and "nginx" end
    if not nginx then return pending("nginx is not installed") end
    local port = peers.free_port()
    local conf = ([[
daemon off; master_process off; pid DIRpid; error_log stderr crit;
events { worker_connections 256; }
http { access_log off; client_body_temp_path DIRb; proxy_temp_path DIRp; fastcgi_temp_path DIRf;
  uwsgi_temp_path DIRu; scgi_temp_path DIRs;
  server { listen 127.0.0.1:PORT ssl; ssl_certificate DIRgood.pem; ssl_certificate_key DIRkey.pem;
    location / { return 200 "hello"; } } }]]):gsub("DIR", folder):gsub("PORT", port)
    local f <close> = assert(io.open(folder .. "nginx.conf", "w"))
    f:write(conf)
    f:close()
    local peer = peers.start("sh", "-c", "echo port $1; exec $2 -c $3", "sh", tostring(port), nginx,
      folder .. "nginx.conf")
    local _ <close> = corun.defer(peer.stop)
    assert(reach(port)):close()
    local list, resumed = {}, 0
    for i = 1, 40 do list[i] = i end
    corun.map(list, function()
      local s <close> = assert(reach(port))
      assert(s:write("GET / HTTP/1.0\r\n\r\n"))
      assert.matches("\r\n\r\nhello$", assert(s:read("a", {timeout = 10})))
      if s:tls().resumed then resumed = resumed + 1 end
    end, {limit = 4})
    assert.is_true(resumed > 20, tostring(resumed))
  end)
end)

describe("tls from others", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(prepare)
  teardown(function() support.remove(folder) end)

  -- A server of lines, which upper-cases them, and its address.
  local function upper(o)
    local server = support.echo(with(good, o), function(s)
      while true do
        local line = s:read("L")
        if not line or not s:write(line:upper()) then return end
      end
    end)
    return server:address(), server
  end

  -- A talk with s_client: {what it is told, what it prints then, ...}; all that it printed.
  local function s_client(address, talk, options)
    local line = ("exec openssl s_client -connect %s -CAfile %sca.pem -verify_return_error \z
      -servername localhost -verify_hostname localhost %s"):format(address, folder, options)
    local p <close> = assert(process.spawn({"sh", "-c", line, stdin = "pipe", stderr = "stdout"}))
    local out = {}
    for i = 1, #talk, 2 do
      p.stdin:write(talk[i])
      out[#out + 1] = assert(p.stdout:read_until(talk[i + 1], {timeout = 60}))
    end
    p.stdin:close()
    return table.concat(out) .. assert(p.stdout:read("a", {timeout = 60}))
  end

  it("openssl s_client, 1.2 and 1.3", function()
    local address, _ <close> = upper()
    for _, version in ipairs{"tls1_2", "tls1_3"} do
      local out = s_client(address, {"hello\n", "HELLO"}, "-quiet -no_ign_eof -" .. version)
      assert.matches("HELLO", out)
    end
    assert.matches("the peer speaks no version of TLS that is allowed", outcomes.captured(function()
      local out = s_client(address, {}, "-tls1_1 -cipher ALL:@SECLEVEL=0")
      assert.matches("alert protocol version", out)
    end))
  end)

  it("sessions of s_client are resumed", function()
    local address, _ <close> = upper()
    local path = folder .. "session"
    local talk = {"hello\n", "HELLO"}
    assert.matches("New, TLSv1.3", s_client(address, talk, "-sess_out " .. path))
    assert.matches("Reused, TLSv1.3", s_client(address, talk, "-sess_in " .. path))
  end)

  it("renegotiation is refused", function()
    local address, _ <close> = upper()
    local out
    outcomes.captured(function()
      out = s_client(address, {"hello\n", "HELLO", "R\n", "no renegotiation", "again\n", "\n"},
        "-tls1_2")
    end)
    assert.matches("HELLO", out)
    assert.matches("RENEGOTIATING", out)
    assert.matches("no renegotiation", out)
    assert.is_nil(out:find("AGAIN", 1, true))
  end)

  it("a peer's wish for new keys is granted while we only read", function()
    local address, _ <close> = upper()
    local p <close> = assert(process.spawn({"sh", "-c",
      ("exec openssl s_client -connect %s -CAfile %sca.pem -tls1_3 2>&1"):format(address, folder)}))
    for _, answer in ipairs{"HELLO", "AGAIN", "LAST"} do
      p.stdin:write("K\n")
      assert(p.stdout:read_until("KEYUPDATE", {timeout = 60}))
      p.stdin:write(answer:lower(), "\n")
      assert(p.stdout:read_until(answer, {timeout = 60}))
    end
  end)

  it("python and node, which verify us", function()
    local address, _ <close> = upper()
    local host, port = address:match("^(.*):(%d+)$")
    assert.equal("HELLO TLSv1.3\n", run(([[python3 -c '
import socket, ssl, sys
c = ssl.create_default_context(cafile="%sca.pem")
s = c.wrap_socket(socket.create_connection(("%s", %s)), server_hostname="localhost")
s.sendall(b"hello\n")
print(s.recv(100).decode().strip(), s.version())
s.unwrap()']]):format(folder, host, port)))
    if not peers.has("node") then return pending("node is not installed") end
    assert.equal("HELLO\n", run(([[node -e '
const s = require("tls").connect({host: "%s", port: %s, servername: "localhost",
  ca: require("fs").readFileSync("%sca.pem")}, () => s.write("hello\n"));
s.on("data", d => { process.stdout.write(d); s.end(); });']]):format(host, port, folder)))
  end)

  it("a client that closes right after it has written loses nothing", function()
    local got = corun.channel(20)
    local server <close> = support.echo(good, function(s) got:send(s:read("a") or "nothing") end)
    for i = 1, 20 do
      local s = assert(net.connect(server:address(), {tls = trust}))
      assert(s:write("message ", i))
      s:close()
    end
    local seen = {}
    for _ = 1, 20 do seen[got:recv()] = true end
    for i = 1, 20 do assert.is_true(seen["message " .. i], "message " .. i) end
  end)
end)

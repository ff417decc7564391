-- SPDX-License-Identifier: MIT
-- Answers that end too early: cut or reset at any byte, in each framing and coding, over TLS
-- without its goodbye, and through proxies. A short body is never called whole.

local corun = require("corun")
local codec = require("corun.codec")
local http = require("corun.http")
local net = require("corun.net")
local certificates = require("tests.spec.support.tls")
local proxies = require("tests.spec.support.proxies")
local support = require("tests.spec.support.http")
local outcomes = require("tests.spec.support.outcomes")

local ok, raw = support.ok, support.raw

local OK = "HTTP/1.1 200 OK\r\n"
local CHUNKS = OK .. "server: x\r\ntransfer-encoding: chunked\r\n\r\n" ..
  "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nx-sum: 1\r\n\r\n"

-- What the error of an answer may be that was cut: it names the phase, the peer and the cause.
local function check_error(err, may_be_reset, what)
  local codes = {EOF = "read", EPROTO = "decode", ECONNRESET = may_be_reset and "read" or nil}
  assert.equal(codes[err.code] or "EOF", err.op, ("%s: %s"):format(what, err))
  assert.matches(err.op == "read" and "^127%.0%.0%.1:%d+$" or "^http", err.target)
  assert.equal(err.op == "read" or nil, err.retryable)
  assert.is_true(#err.message > 10)
end

local function check_unused(s)
  local stats = s:stats()
  assert.same({0, 0, 0}, {stats.open, stats.active, stats.idle})
end

-- Each prefix of the answer, then the end of the stream, or a reset, which leaving a part of the
-- request unread makes: always an error, however it is received. The whole answer is `body`.
local function cut_everywhere(bytes, body, path)
  local at
  for _, resets in ipairs({false, true}) do
    local server <close>, url, o = proxies.paths[path or "direct"](function(stream)
      local read = resets and stream.read_until or support.read_request
      if read(stream, "\r\n\r\n") then stream:write(bytes:sub(1, at)) end
    end)
    o.timeout = 5
    local s <close> = http.session(o)
    for way, fetch in pairs(support.ways) do
      for n = 0, #bytes - 1 do
        at = n
        local short, err = fetch(s, url, {body = "not always read"})
        assert.is_nil(short, ("%s, cut after byte %d"):format(way, n))
        check_error(err, resets, way)
        check_unused(s)
      end
    end
    server:close()
  end
  local server <close>, url = support.canned(bytes)
  local s <close> = http.session()
  assert.equal(body, assert(s:get(url)).body)
  server:close()
end

describe("http client, truncated answers", function()
  for path in pairs(proxies.paths) do
    describe(path, function()
      it("chunked, with headers and trailers: an error at every byte", function()
        cut_everywhere(CHUNKS, "hello world", path)
      end)

      it("fixed: an error at every byte", function()
        cut_everywhere(ok("hello", "server: x\r\n"), "hello", path)
      end)

      it("behind an interim answer: an error at every byte", function()
        cut_everywhere("HTTP/1.1 100 Continue\r\n\r\n" .. ok("hi"), "hi", path)
      end)
    end)
  end

  it("until the end of the connection: an error at every byte of the head", function()
    cut_everywhere(OK .. "server: x\r\n\r\n", "")
  end)

  for _, name in ipairs({"gzip", "deflate", "br", "zstd"}) do
    it(name .. ": an error at every byte, also where only the coding tells its end", function()
      local body = codec[name].encode("hello world")
      local header = ("content-encoding: %s\r\n"):format(name)
      cut_everywhere(OK .. header .. "\r\n" .. body, "hello world")
      cut_everywhere(ok(body, header), "hello world")
      cut_everywhere(("%s%stransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n")
        :format(OK, header, #body, body), "hello world")
    end)
  end

  it("a coding upon a coding: an error at every byte", function()
    local body = codec.br.encode(codec.gzip.encode("hello"))
    cut_everywhere(OK .. "content-encoding: gzip, br\r\n\r\n" .. body, "hello")
  end)

  it("a coding of nothing is empty where the head tells that there is nothing", function()
    local server <close>, url = support.kept(function(head)
      return ({GET = ok("", "content-encoding: gzip\r\n"),
        PUT = OK .. "content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD = OK .. "content-encoding: gzip\r\n\r\n",
        DELETE = "HTTP/1.1 204 X\r\ncontent-encoding: gzip\r\n\r\n"})[head:match("^%u+")]
    end)
    local s <close> = http.session()
    for _, method in ipairs({"GET", "PUT", "HEAD", "DELETE"}) do
      assert.equal("", assert(s:request(method, url)).body)
      assert.equal("", assert(s:request(method, url, {stream = true})):read("a"))
    end
    assert.equal(1, s:stats().open)
    server:close()
  end)

  it("a reset in the middle of a body is an error, not a short body", function()
    if not support.has("python3") then return pending("python3 is not installed") end
    local peer = support.start("python3", "-c", [[
import socket, struct, threading
l = socket.socket(); l.bind(("127.0.0.1", 0)); l.listen(16)
print("port", l.getsockname()[1], flush=True)
while True:
    c, _ = l.accept()
    head = b""
    while not head.endswith(b"\r\n\r\n"): head += c.recv(65536)
    kind = head.split(b" ")[1]
    extra = {b"/fixed": b"content-length: 100\r\n", b"/chunked": b"transfer-encoding: chunked\r\n"}
    c.sendall(b"HTTP/1.1 200 OK\r\n" + extra.get(kind, b"") + b"\r\n")
    c.sendall(b"a\r\n0123456789\r\n" if kind == b"/chunked" else b"0123456789")
    import time; time.sleep(0.05)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()]])
    local _ <close> = corun.defer(peer.stop)
    local s <close> = http.session({base = peer.url})
    for _, path in ipairs({"/fixed", "/chunked", "/close"}) do
      local res, err = s:get(path)
      assert.is_nil(res, path)
      assert.equal("ECONNRESET", err.code)
      assert.equal("read", err.op)
      check_unused(s)
    end
  end)
end)

describe("https client, truncated answers", function()
  if not certificates.has_openssl then return pending("the openssl command is not installed") end
  local folder, good, trust

  setup(function()
    folder = certificates.make_certificates()
    -- of TLS 1.2, where a record tells what it is: 23 is of the application
    good = {cert = folder .. "good.pem", key = folder .. "key.pem", max = "1.2"}
    trust = {ca = folder .. "ca.pem"}
  end)

  teardown(function() certificates.remove(folder) end)

  -- A relay that closes, with no goodbye of TLS, once the first record of an answer has passed.
  local function cutting(address)
    return assert(net.serve("127.0.0.1:0", function(client)
      local server <close> = assert(net.connect(address))
      corun.race({
        up = function()
          while true do
            local data = client:recv()
            if not data or not server:write(data) then return end
          end
        end,
        down = function()
          repeat
            local record = certificates.read_record(server)
            if record then client:write(record) end
          until not record or record:byte() == 23
        end,
      })
    end))
  end

  -- The answer in one record, cut at each byte and whole, each without close_notify.
  local function cut_everywhere_secure(bytes, is_whole, through)
    local at
    local server <close> = raw(function(stream)
      if support.read_request(stream) then stream:write(bytes:sub(1, at)) end
      stream:read("a")
    end, good)
    local relay <close> = cutting(server:address())
    local s <close> = http.session({tls = trust, timeout = 5, proxy = through})
    for way, fetch in pairs(support.ways) do
      for n = 1, #bytes do
        at = n
        local body, err = fetch(s, "https://" .. relay:address(), {body = "x"})
        if n == #bytes and is_whole then
          assert.equal("hello", body)
        else
          assert.is_nil(body, ("%s, cut after byte %d"):format(way, n))
          assert.is_true(err.code == "ETLS" or err.code == "EOF" or err.code == "ECONNRESET"
            or err.op == "decode", tostring(err))
          assert.is_true(err.op == "read" or err.op == "decode", err.op)
          check_unused(s)
        end
      end
    end
    server:close()
    relay:close()
  end

  it("an error at every byte, also at the last where that is what ends the body", function()
    outcomes.captured(function()
      cut_everywhere_secure(ok("hello"), true)
      cut_everywhere_secure(OK .. "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true)
      cut_everywhere_secure(OK .. "server: x\r\n\r\nhello", false)
      cut_everywhere_secure(OK .. "content-encoding: gzip\r\n\r\n" .. codec.gzip.encode("hello"),
        false)
    end)
  end)

  it("through a tunnel too", function()
    outcomes.captured(function()
      local tunnel <close>, proxy = proxies.tunnel({})
      cut_everywhere_secure(OK .. "a: b\r\n\r\nhello", false, proxy)
      tunnel:close()
    end)
  end)
end)

-- SPDX-License-Identifier: MIT
-- What bad input gets from the HTTP client: answers that are malformed, too large or out of step
-- are errors, nothing of them is delivered, and their connection is never used again. Those that
-- are cut stand in http_cut_spec.lua.

local corun = require("corun")
local core = require("corun.httpcore")
local http = require("corun.http")
local net = require("corun.net")
local proxies = require("tests.spec.support.proxies")
local support = require("tests.spec.support.http")

local ok, kept, raw = support.ok, support.kept, support.raw
local WAYS = support.ways

-- Get an answer made of these bytes on a connection that served a good request before; the result,
-- and how many connections that took.
local function get_bad(bytes, o, way)
  local connections = 0
  local server <close>, url = raw(function(stream, n)
    connections = n
    for _ = 1, 2 do
      local head = support.read_request(stream)
      if not head then return end
      stream:write(head:find("^%S+ /bad") and bytes or ok("good"))
      if head:find("^%S+ /bad") then return end
    end
  end)
  local s <close> = http.session({timeout = 5})
  assert.equal("good", assert(s:get(url .. "/good")).body)
  local res, err = WAYS[way or "whole"](s, url .. "/bad", o or {})
  local stats = s:stats()
  assert.same({0, 0, 0}, {stats.open, stats.active, stats.idle})
  assert.equal("good", assert(s:get(url .. "/good")).body)
  s:close()
  server:close()
  return res, err, connections
end

local OK = "HTTP/1.1 200 OK\r\n"
local CHUNKED = OK .. "transfer-encoding: chunked\r\n\r\n"

local REFUSED = {
  {"garbage", "\0\1\2\3garbage\r\n\r\n"},
  {"another protocol", "SSH-2.0-OpenSSH_9.2\r\n"},
  {"an empty line, then garbage", "\r\n\r\nx\r\n\r\n"},
  {"HTTP/2.0", "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n"},
  {"HTTP/0.9", "HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n"},
  {"a status of two digits", "HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n"},
  {"a status of letters", "HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n"},
  {"a request instead", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"},
  {"two different Content-Lengths", OK .. "content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"},
  {"two equal Content-Lengths", OK .. "content-length: 3\r\ncontent-length: 3\r\n\r\nabc"},
  {"a list of Content-Lengths", OK .. "content-length: 3, 3\r\n\r\nabc"},
  {"a negative Content-Length", OK .. "content-length: -3\r\n\r\nabc"},
  {"a signed Content-Length", OK .. "content-length: +3\r\n\r\nabc"},
  {"a hexadecimal Content-Length", OK .. "content-length: 0x3\r\n\r\nabc"},
  {"a Content-Length with a comment", OK .. "content-length: 3;a\r\n\r\nabc"},
  {"a Content-Length in pieces", OK .. "content-length: 1 2\r\n\r\nabc"},
  {"a folded Content-Length", OK .. "content-length: 1\r\n 2\r\n\r\nabc"},
  {"an empty Content-Length", OK .. "content-length: \r\n\r\nabc"},
  {"a Content-Length beyond 64 bits", OK .. "content-length: 99999999999999999999\r\n\r\n"},
  {"Transfer-Encoding with Content-Length",
    OK .. "transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
  {"an unknown Transfer-Encoding", OK .. "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
  {"Content-Length, then Transfer-Encoding",
    OK .. "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
  {"chunks that are not the last coding",
    OK .. "transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"},
  {"a Transfer-Encoding with a parameter", OK .. "transfer-encoding: chunked;a\r\n\r\n0\r\n\r\n"},
  {"a Transfer-Encoding in quotes", OK .. "transfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n"},
  {"a folded Transfer-Encoding", OK .. "transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n"},
  {"a Transfer-Encoding of identity", OK .. "transfer-encoding: identity\r\n\r\nabc"},
  {"an empty Transfer-Encoding", OK .. "transfer-encoding: \r\n\r\nabc"},
  {"Transfer-Encoding twice",
    OK .. "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"},
  {"a folded header", OK .. "a: b\r\n c\r\ncontent-length: 0\r\n\r\n"},
  {"a folded first header", OK .. " a: b\r\ncontent-length: 0\r\n\r\n"},
  {"an empty header name", OK .. ": b\r\ncontent-length: 0\r\n\r\n"},
  {"a space before the colon", OK .. "a : b\r\ncontent-length: 0\r\n\r\n"},
  {"a header without a colon", OK .. "abc\r\ncontent-length: 0\r\n\r\n"},
  {"NUL in a header's name", OK .. "a\0: b\r\ncontent-length: 0\r\n\r\n"},
  {"a header's name in quotes", OK .. "\"a\": b\r\ncontent-length: 0\r\n\r\n"},
  {"NUL in the status line", "HTTP/1.1 200 O\0K\r\ncontent-length: 0\r\n\r\n"},
  {"a bare LF after a header", OK .. "a: b\ncontent-length: 0\r\n\r\n"},
  {"NUL in a header", OK .. "a: b\0c\r\ncontent-length: 0\r\n\r\n"},
  {"a bare CR in a header", OK .. "a: b\rc\r\ncontent-length: 0\r\n\r\n"},
  {"bare LF line ends", "HTTP/1.1 200 OK\ncontent-length: 0\n\n"},
  {"a bare LF after the headers", OK .. "content-length: 0\r\n\n"},
  {"a chunk size that is no number", CHUNKED .. "xyz\r\nabc\r\n0\r\n\r\n"},
  {"a hexadecimal chunk size with its mark", CHUNKED .. "0x3\r\nabc\r\n0\r\n\r\n"},
  {"a signed chunk size", CHUNKED .. "+3\r\nabc\r\n0\r\n\r\n"},
  {"a blank before a chunk size", CHUNKED .. " 3\r\nabc\r\n0\r\n\r\n"},
  {"NUL in a chunk extension", CHUNKED .. "3;a=\0\r\nabc\r\n0\r\n\r\n"},
  {"a bare LF in a chunk extension", CHUNKED .. "3;a\n0\r\n\r\nabc\r\n0\r\n\r\n"},
  {"a bare CR in a chunk extension", CHUNKED .. "3;a\rb\r\nabc\r\n0\r\n\r\n"},
  {"no line end behind a chunk", CHUNKED .. "3\r\nabc0\r\n\r\n"},
  {"a bare LF behind a chunk", CHUNKED .. "3\r\nabc\n0\r\n\r\n"},
  {"an empty name in a trailer", CHUNKED .. "0\r\n: b\r\n\r\n"},
  {"a length in a trailer that is none", CHUNKED .. "0\r\na b\r\n\r\n"},
  {"a negative chunk size", CHUNKED .. "-3\r\nabc\r\n0\r\n\r\n"},
  {"an empty chunk size", CHUNKED .. "\r\nabc\r\n0\r\n\r\n"},
  {"a chunk size beyond 64 bits", CHUNKED .. "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"},
  {"a chunk longer than its size", CHUNKED .. "2\r\nabc\r\n0\r\n\r\n"},
  {"a bare LF after a chunk size", CHUNKED .. "3\nabc\r\n0\r\n\r\n"},
  {"a folded trailer", CHUNKED .. "0\r\na: b\r\n c\r\n\r\n"},
  {"another protocol nobody asked for",
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n\1\2"},
  {"interim answers without end", ("HTTP/1.1 100 Continue\r\n\r\n"):rep(20) .. ok("x")},
}

local TOO_LARGE = {
  {"a header block over 16 KiB", OK .. "a: " .. ("x"):rep(16384) .. "\r\n\r\n"},
  {"a header block over 16 KiB without end", OK .. "a: " .. ("x"):rep(60000)},
  {"a status line over 16 KiB", "HTTP/1.1 200 " .. ("x"):rep(17000)},
  {"a thousand headers", OK .. "" .. ("a: b\r\n"):rep(1000) .. "\r\n"},
  {"trailers over 16 KiB", CHUNKED .. "0\r\na: " .. ("x"):rep(17000) .. "\r\n\r\n"},
  {"a chunk size of too many zeros", CHUNKED .. ("0"):rep(40000) .. "1\r\na\r\n0\r\n\r\n"},
  {"tiny chunks with long extensions", CHUNKED .. ("1;" .. ("x"):rep(99) .. "\r\na\r\n"):rep(1000)},
  {"a chunk over the limit", CHUNKED .. "ffffffff\r\nabc"},
  {"chunk extensions without end", CHUNKED .. "1;" .. ("x"):rep(40000)},
  {"a body over the limit", OK .. "content-length: 99999999999\r\n\r\nabc"},
}

-- It names the phase, the peer and the cause.
local function check_error(code, err, what)
  assert.equal(code, err.code, what)
  assert.equal("read", err.op)
  assert.matches("^127%.0%.0%.1:%d+$", err.target)
  assert.matches("^%l[%w%s,:'/.()-]+$", err.message)
  assert.equal(("read %s: %s (%s)"):format(err.target, err.message, code), tostring(err))
end

describe("http client, bad input", function()
  for _, case in ipairs(REFUSED) do
    it("refuses " .. case[1], function()
      for way in pairs(WAYS) do
        local body, err, connections = get_bad(case[2], nil, way)
        assert.is_nil(body, way)
        check_error("EPROTO", err, way)
        assert.equal(2, connections)
      end
    end)
  end

  for _, case in ipairs(TOO_LARGE) do
    it("refuses " .. case[1], function()
      for way in pairs(WAYS) do
        local body, err, connections = get_bad(case[2], {max_body = 64 << 20}, way)
        assert.is_nil(body, way)
        check_error("EMSGSIZE", err, way)
        assert.equal(2, connections)
      end
    end)
  end

  for name, path in pairs(proxies.paths) do
    it("is refused on the way by " .. name, function()
      local bytes
      local server <close>, url, o = path(function(stream)
        if support.read_request(stream) then stream:write(bytes) end
      end)
      local s <close> = http.session(o)
      for _, case in ipairs(REFUSED) do
        bytes = case[2]
        for way, fetch in pairs(WAYS) do
          local body, err = fetch(s, url, {body = "x"})
          assert.is_nil(body)
          check_error("EPROTO", err, way .. ": " .. case[1])
          assert.equal(0, s:stats().open)
        end
      end
      server:close()
    end)
  end

  it("a body without end stops at max_body", function()
    for way in pairs(WAYS) do
      local body, err = get_bad(OK .. "\r\n" .. ("x"):rep(1 << 20), {max_body = 100000}, way)
      assert.is_nil(body)
      assert.equal("EMSGSIZE", err.code)
    end
  end)
end)

describe("http client, stale connections", function()
  -- A server that closes each connection when the second request has come, unanswered.
  local function fickle(said)
    local requests = {}
    local server, url = raw(function(stream)
      for i = 1, 2 do
        local head = support.read_request(stream)
        if not head then return end
        requests[#requests + 1] = head:match("^%S+")
        if i == 1 then
          stream:write(ok("x"))
        elseif said then
          stream:write(said)
        end
      end
    end)
    return server, url, requests
  end

  it("an idempotent request unanswered on a kept connection is sent again", function()
    for _, method in ipairs({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}) do
      local server <close>, url, requests = fickle()
      local s <close> = http.session()
      assert(s:get(url))
      assert(s:request(method, url))
      assert.same({"GET", method, method}, requests)
      s:close()
      server:close()
    end
  end)

  it("others are not: the server may have acted", function()
    for _, method in ipairs({"POST", "PATCH", "X"}) do
      local server <close>, url, requests = fickle()
      local s <close> = http.session()
      assert(s:get(url))
      local res, err = s:request(method, url, {body = "x"})
      assert.is_nil(res)
      assert.equal("EOF", err.code)
      assert.same({"GET", method}, requests)
      s:close()
      server:close()
    end
  end)

  it("nor when a byte was answered, nor on a new connection, nor twice", function()
    local server <close>, url, requests = fickle("H")
    local s <close> = http.session()
    assert(s:get(url))
    assert.is_nil((s:get(url)))
    assert.same({"GET", "GET"}, requests)
    server:close()

    local count = 0
    local silent <close>, silent_url = raw(function(stream)
      support.read_request(stream)
      count = count + 1
    end)
    local res, err = s:get(silent_url)
    assert.is_nil(res)
    assert.equal("EOF", err.code)
    assert.equal(1, count)
    silent:close()
  end)

  it("nor after a timeout", function()
    local count = 0
    local server <close>, url = raw(function(stream)
      support.read_request(stream)
      stream:write(ok("x"))
      support.read_request(stream)
      count = count + 1
      stream:read("a")
    end)
    local s <close> = http.session({timeout = 0.05})
    assert(s:get(url))
    assert.equal("ETIMEDOUT", select(2, s:get(url)).code)
    assert.equal(1, count)
    server:close()
  end)

  it("a connection that the server closed while it idled is not used", function()
    local server <close>, url = raw(function(stream)
      support.read_request(stream)
      stream:write(ok("x"))
    end)
    local s <close> = http.session()
    for _ = 1, 5 do
      assert.equal(200, assert(s:post(url, {body = "x"})).status)
      support.eventually("closed", function() return server.count == 0 end)
      corun.sleep(0.01)
    end
    server:close()
  end)

  it("nor one on which the server said more than it was asked", function()
    local connections = 0
    local server <close>, url = raw(function(stream, n)
      connections = n
      while support.read_request(stream) do
        stream:write(ok("x") .. OK .. "content-length: 6\r\n\r\nforged")
      end
    end)
    local s <close> = http.session()
    for i = 1, 5 do
      assert.equal("x", assert(s:get(url)).body)
      assert.equal(i, connections)
      assert.equal(0, s.pool.open)
    end
    server:close()
  end)

  it("nor one on which it spoke before it was asked", function()
    local spoken = corun.event()
    local server <close> = raw(function(stream)
      stream:write(ok("early"))
      spoken:set()
      if support.read_request(stream) then stream:write(ok("the answer")) end
      support.read_request(stream)
    end)
    local stream = assert(net.connect(server:address()))
    local c <close> = core.connection(stream, "response")
    spoken:wait()
    local status, _, body, keep = c:exchange("GET / HTTP/1.1\r\nhost: x\r\n\r\n", nil, false, 5, -1)
    assert.equal(200, status)
    assert.equal("early", body)
    assert.is_false(keep)
    server:close()
  end)

  it("nor one where it came later", function()
    local connections = 0
    local answered, forged = corun.event(), corun.event()
    local server <close>, url = raw(function(stream, n)
      connections = n
      while support.read_request(stream) do
        stream:write(ok("x"))
        answered:wait()
        stream:write(ok("forged"))
        forged:set()
      end
    end)
    local s <close> = http.session()
    for i = 1, 3 do
      answered:clear()
      forged:clear()
      assert.equal("x", assert(s:get(url)).body)
      assert.equal(i, connections)
      answered:set()
      forged:wait()
      corun.sleep(0.001) -- what has come is seen when the loop has looked
    end
    server:close()
  end)

  it("Connection: close and HTTP/1.0 are not kept", function()
    for _, bytes in ipairs({ok("x", "Connection: foo, Close\r\n"),
        "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx"}) do
      local server <close>, url = kept(function() return bytes end)
      local s <close> = http.session()
      assert.equal("x", assert(s:get(url)).body)
      assert.equal(0, s.pool.open)
      s:close()
      server:close()
    end
  end)
end)

describe("http client, shortage", function()
  it("out of descriptors is an error value, and service returns", function()
    local code = [[
      local corun = require "corun"
      local http = corun.http
      local server = http.serve("127.0.0.1:0", function() return "fine" end)
      local url = "http://" .. server:address()
      local s = http.session{timeout = 5}
      assert(s:get(url))
      s:close()
      corun.sleep(0.1)
      local files = {}
      while true do
        local f = io.open("/dev/null")
        if not f then break end
        files[#files + 1] = f
      end
      s = http.session{timeout = 0.1}
      for i = 1, 10 do
        if i == 5 then table.remove(files):close() end -- enough for the client alone
        local res, err = s:get(url)
        assert(not res and (err.code == "EMFILE" or err.code == "ETIMEDOUT" or err.code == "EOF"
          or err.code == "ECONNRESET"), tostring(err))
      end
      for _, f in ipairs(files) do f:close() end
      local t = corun.now()
      while not s:get(url) do assert(corun.now() - t < 2, "no service") end
      s:close()
      server:close()
      print "fine"
    ]]
    local out = support.run("sh", "-c", 'ulimit -n 40; exec "$0" -e "$1"', support.corun(), code)
    assert.matches("fine\n$", out) -- the server has said on stderr that it cannot accept
  end)
end)

-- SPDX-License-Identifier: MIT
-- http.serve: what handlers get and give, connections (S42), refused requests, closing, load. Real
-- clients are in http_peers_spec.lua.

local corun = require("corun")
local http = require("corun.http")
local net = require("corun.net")
local json = require("corun.json")
local support = require("tests.spec.support.http")
local outcomes = require("tests.spec.support.outcomes")

local serve, captured = support.serve, outcomes.captured

local function talk(server, bytes)
  return support.talk(server:address(), bytes)
end

describe("http.serve handler", function()
  it("gets method, path, query, headers, body, peer, json", function()
    local got
    local server <close>, url = serve(function(req)
      got = {
        method = req.method, path = req.path, query = req.query, header = req.headers["x-one"],
        any_case = req.headers["X-One"], body = req.body, peer = req.peer, json = req:json(),
        target = req.target, version = req.version, text = tostring(req),
      }
      return "x"
    end)
    local s <close> = http.session()
    assert(s:post(url .. "/a%20b/c?x=1&y=a+b%26&z&x=2", {json = {1}, headers = {["X-ONE"] = "v"}}))
    assert.equal("POST", got.method)
    assert.equal("/a b/c", got.path)
    assert.same({x = "2", y = "a b&", z = ""}, got.query)
    assert.equal("v", got.header)
    assert.equal("v", got.any_case)
    assert.equal("[1]", got.body)
    assert.same({1}, got.json)
    assert.matches("^127%.0%.0%.1:%d+$", got.peer)
    assert.equal("/a%20b/c?x=1&y=a+b%26&z&x=2", got.target)
    assert.equal("1.1", got.version)
    assert.equal("http request (POST /a%20b/c?x=1&y=a+b%26&z&x=2)", got.text)
    assert.matches("^HTTP/1.1 200 ", talk(server, "GET http://h/p?q=1 HTTP/1.1\r\nhost: h\r\n" ..
      "connection: close\r\n\r\n"))
    assert.equal("/p", got.path)
    assert.same({q = "1"}, got.query)
    assert.matches("^HTTP/1.1 200 ", talk(server, "GET HTTP://H:8?r HTTP/1.1\r\nhost: h:8\r\n" ..
      "connection: close\r\n\r\n"))
    assert.equal("/", got.path)
    assert.matches("^HTTP/1.1 200 ", talk(server, "GET http://any/ HTTP/1.0\r\n\r\n"))
    assert.matches("^HTTP/1.1 200 ", talk(server, "OPTIONS * HTTP/1.0\r\n\r\n"))
    assert.equal("*", got.path)
    assert.equal("1.0", got.version)
    local value, err = got.json, nil
    assert.is_nil(value)
    assert.is_nil(err)
    server:close()
  end)

  it("gives a string, a table with status, headers and body, or json", function()
    local answer
    local server <close>, url = serve(function() return answer end)
    local s <close> = http.session()
    local function get(value)
      answer = value
      return assert(s:get(url))
    end
    local res = get("text")
    assert.equal(200, res.status)
    assert.equal("text", res.body)
    assert.matches("^text/plain", res.headers["content-type"])
    assert.matches("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$", res.headers.date)
    local headers = {["X-A"] = "1", ["Set-Cookie"] = {"a=1", "b=2"}}
    res = get({status = 201, headers = headers, body = "made"})
    assert.equal(201, res.status)
    assert.equal("1", res.headers["x-a"])
    assert.same({"a=1", "b=2"}, res.headers["set-cookie"])
    assert.equal("made", res.body)
    res = get({json = {a = json.array({})}})
    assert.equal('{"a":[]}', res.body)
    assert.equal("application/json", res.headers["content-type"])
    res = get({status = 404, json = false, headers = {["Content-Type"] = "x/y"}})
    assert.equal("false", res.body)
    assert.equal("x/y", res.headers["content-type"])
    assert.equal("", get({}).body)
    assert.equal("", get("").body)
    assert.equal("", get({status = 204, body = "dropped"}).body)
    assert.is_nil(get({status = 204}).headers["content-length"])
    assert.equal("", get({status = 304}).body)
    assert.equal("now", get({headers = {Date = "now"}}).headers.date)
    assert.equal(("x"):rep(3 << 20), get(("x"):rep(3 << 20)).body)
    assert.equal(1, s.pool.open)
    headers = {["Content-Length"] = "999", ["transfer-encoding"] = "chunked"}
    res = get({headers = headers, body = "ab"})
    assert.equal("ab", res.body)
    assert.equal(1, s.pool.open)
    get({headers = {Connection = "close"}})
    assert.equal(0, s.pool.open)
    server:close()
  end)

  it("S42 a failure is a 500 and a line on stderr, and the server goes on", function()
    local fn
    local server <close>, url = serve(function(req) return fn(req) end)
    local s <close> = http.session()
    local failures = {
      {"raises", function() error("oops") end, "oops"},
      {"raises an object", function() error(corun.err("EMINE", "mine")) end, "EMINE"},
      {"raises what has no text", function() error(setmetatable({}, {__tostring = error})) end,
        "(error object is a table value)"},
      {"raises nil", function() error(nil) end, ""},
      {"returns nil, err", function() return nil, "soft" end, "soft"},
      {"returns nothing", function() end, "returned nothing"},
      {"returns a number", function() return 7 end, "returned number"},
      {"returns false", function() return false end, "returned boolean"},
      {"returns an unknown key", function() return {stauts = 200} end, 'did you mean "status"'},
      {"returns a bad status", function() return {status = 99} end, "got 99"},
      {"returns a fraction", function() return {status = 200.5} end, "200.5"},
      {"returns an interim status", function() return {status = 100} end, "got 100"},
      {"returns a bad body", function() return {body = {}} end, "body"},
      {"returns body and json", function() return {body = "", json = 1} end, "either"},
      {"returns json that cannot be", function() return {json = print} end, "function"},
      {"injects a header", function() return {headers = {x = "a\r\nb: c"}} end, "control char"},
      {"injects a name", function() return {headers = {["x\r\ny"] = "a"}} end, "header name"},
      {"fails in a child", function() corun.spawn(error, "child") corun.sleep(1) end, "child"},
    }
    for _, case in ipairs(failures) do
      fn = case[2]
      local log = captured(function()
        local res = assert(s:get(url .. "/path"))
        assert.equal(500, res.status, case[1])
        assert.is_nil(res.body:find("oops", 1, true))
      end)
      assert.matches("GET /path failed", log, 1, true)
      assert.is_truthy(log:find(case[3], 1, true), case[1] .. ": " .. log)
      if case[1]:find("^returns a") then -- what is wrong with it, and whose it is, in one line
        assert.matches("%(the handler of tests/spec/http_server_spec.lua:%d+%)\n$", log)
        assert.is_nil(log:find("corun http_server.lua", 1, true))
      end
      fn = function() return "fine" end
      assert.equal("fine", assert(s:get(url)).body)
    end
    assert.equal(1, s.pool.open)
    server:close()
  end)

  it("S42 each request has a scope of its own: its children end before the answer", function()
    local ended = 0
    local server <close>, url = serve(function()
      for _ = 1, 3 do
        corun.spawn(function()
          corun.sleep(0.01)
          ended = ended + 1
        end)
      end
      local daemon = corun.daemon(corun.sleep, 100)
      return daemon:status() == "ready" and "x" or "y"
    end)
    local s <close> = http.session()
    for i = 1, 3 do
      assert.equal("x", assert(s:get(url)).body)
      assert.equal(3 * i, ended)
    end
    server:close()
  end)

  it("may use the client", function()
    local inner <close>, inner_url = serve(function(req) return "inner " .. req.path end)
    local s <close> = http.session()
    local server <close>, url = serve(function(req) return s:get(inner_url .. req.path).body end)
    assert.equal("inner /x", assert(s:get(url .. "/x")).body)
    server:close()
    inner:close()
  end)

  it("serve refuses what is no handler, no address, unknown options", function()
    assert.error_matches(function() http.serve("127.0.0.1:0") end, "handler")
    assert.error_matches(function() http.serve("127.0.0.1:0", print, {limt = 1}) end, '"limit"')
    assert.error_matches(function() http.serve("nonsense", print) end, "address")
    local server <close> = serve(function() return "x" end)
    local other, err = http.serve(server:address(), function() return "x" end)
    assert.is_nil(other)
    assert.equal("EADDRINUSE", err.code)
    assert.error_matches(function() server:close({drian = 1}) end, 'mean "drain"')
    server:close()
    local again <close> = assert(http.serve(server:address(), function() return "again" end))
    assert.matches("again", talk(again, "GET / HTTP/1.0\r\n\r\n"))
    again:close()
  end)
end)

describe("http.serve connections", function()
  local function hello()
    return serve(function(req) return req.method .. req.path .. " " .. req.body end)
  end

  it("are kept in HTTP/1.1, closed when asked; HTTP/1.0 the other way round", function()
    local server <close> = hello()
    local stream <close> = assert(net.connect(server:address()))
    local function ask(head, no_body)
      stream:write(head .. "\r\n\r\n")
      return support.read_response(stream, no_body)
    end
    for _ = 1, 3 do assert.equal(200, (ask("GET /a HTTP/1.1\r\nhost: h"))) end
    local _, head = ask("GET /a HTTP/1.0\r\nconnection: keep-alive")
    assert.matches("\r\nconnection: keep%-alive\r\n", head)
    _, head = ask("GET /a HTTP/1.1\r\nhost: h\r\nconnection: close")
    assert.matches("\r\nconnection: close\r\n", head)
    assert.is_nil((stream:read(1, {timeout = 5})))
    local all = talk(server, "GET /a HTTP/1.0\r\n\r\n")
    assert.matches("\r\nconnection: close\r\n\r\nGET/a $", all)
    server:close()
  end)

  it("HEAD has the length and no body", function()
    local server <close> = hello()
    local stream <close> = assert(net.connect(server:address()))
    for _ = 1, 3 do
      stream:write("HEAD /a HTTP/1.1\r\nhost: h\r\n\r\n")
      local status, head = support.read_response(stream, true)
      assert.equal(200, status)
      assert.matches("\r\ncontent%-length: 7\r\n", head)
    end
    stream:write("GET /a HTTP/1.1\r\nhost: h\r\n\r\n")
    assert.equal("GET/a ", select(3, support.read_response(stream)))
    server:close()
  end)

  it("pipelined requests, 16 deep, are answered in order", function()
    local server <close> = serve(function(req)
      corun.sleep(tonumber(req.path:sub(2)) % 3 / 1000)
      return req.path
    end)
    local stream <close> = assert(net.connect(server:address()))
    local requests = {}
    for i = 1, 16 do requests[i] = ("GET /%d HTTP/1.1\r\nhost: h\r\n\r\n"):format(i) end
    stream:write(table.concat(requests))
    for i = 1, 16 do assert.equal("/" .. i, select(3, support.read_response(stream))) end
    server:close()
  end)

  it("a flood of pipelined requests lets other tasks run", function()
    local answered, turns, at_once = 0, 0, 0
    local server <close> = serve(function()
      answered = answered + 1
      return ""
    end)
    local stream <close> = assert(net.connect(server:address()))
    local ticker = corun.daemon(function()
      local last = 0
      while true do
        at_once = math.max(at_once, answered - last)
        last, turns = answered, turns + 1
        corun.sleep(0)
      end
    end)
    stream:write(("GET / HTTP/1.1\r\nhost: h\r\n\r\n"):rep(2000) ..
      "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
    stream:read("a")
    ticker:cancel()
    pcall(ticker.await, ticker)
    assert.equal(2001, answered)
    assert.is_true(at_once <= 600, at_once .. " answered at once")
    server:close()
  end)

  it("requests may come byte by byte, bodies chunked, and after empty lines", function()
    local server <close> = hello()
    local stream <close> = assert(net.connect(server:address()))
    local bytes = "\r\nPOST /x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n" ..
      "3\r\nabc\r\n2;e=1\r\nde\r\n0\r\nt: 1\r\n\r\n"
    for round = 1, 2 do
      for i = 1, #bytes do
        stream:write(bytes:sub(i, i))
        if i % 7 == round then corun.sleep(0) end
      end
      assert.equal("POST/x abcde", select(3, support.read_response(stream)))
    end
    server:close()
  end)

  it("those that idle serve again, with their memory or without", function()
    local served = 0
    local server <close> = serve(function(req)
      served = served + 1
      return req.headers["x-n"]
    end)
    local clients = {}
    for i = 1, 300 do clients[i] = assert(net.connect(server:address())) end -- 256 keep theirs
    local function ask(c, n)
      c:write(("GET / HTTP/1.1\r\nhost: h\r\nx-n: %d\r\n\r\n"):format(n))
      assert.matches("^HTTP/1.1 200 ", (c:read_until("\r\n\r\n")))
      assert.equal(tostring(n), c:read_exactly(#tostring(n)))
    end
    for round = 1, 3 do
      for i = 1, 300 do ask(clients[i], round * 1000 + i) end
      for i = 300, 1, -7 do ask(clients[i], i) end
    end
    assert.equal(3 * (300 + 43), served)
    for i = 1, 300, 2 do clients[i]:close() end
    ask(clients[2], 2)
    for i = 2, 300, 2 do clients[i]:close() end
    server:close()
  end)

  it("Expect: 100-continue gets one, unless the body is there or too large", function()
    local server <close> = serve(function(req) return req.body end, {max_body = 1000})
    local stream <close> = assert(net.connect(server:address()))
    local head = "POST /x HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
    stream:write(head:format(3))
    assert.equal("HTTP/1.1 100 Continue\r\n\r\n", stream:read_until("\r\n\r\n", {timeout = 5}))
    stream:write("abc")
    assert.equal("abc", select(3, support.read_response(stream)))
    stream:write(head:format(3) .. "def")
    local status, _, body = support.read_response(stream)
    assert.equal(200, status)
    assert.equal("def", body)
    stream:write(head:format(1001))
    assert.equal(413, (support.read_response(stream)))
    server:close()
  end)

  it("a client that goes away in the middle harms nobody", function()
    local server <close>, url = hello()
    local request = "POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nabcde"
    for n = 0, #request - 1 do
      local stream <close> = assert(net.connect(server:address()))
      stream:write(request:sub(1, n))
    end
    support.eventually("all gone", function() return server.count == 0 end)
    local s <close> = http.session()
    assert.equal(200, s:get(url).status)
    server:close()
  end)

  it("a client that does not read its answer harms nobody", function()
    local server <close>, url = serve(function() return ("x"):rep(8 << 20) end, {stall = 0.5})
    local stream <close> = assert(net.connect(server:address()))
    stream:write("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
    local s <close> = http.session()
    assert.equal(8 << 20, #assert(s:get(url)).body)
    s:close()
    support.eventually("given up", function() return server.count == 0 end)
    stream:close()
    server:close()
  end)

  it("idle ones are closed after idle seconds, half a request gets 408", function()
    local half, first = "GET / HTTP/1.1\r\nho", "GET / HTTP/1.1\r\nhost: h\r\n\r\n"
    local some = "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\na"
    for name, value in pairs{stall = 0.05, head_timeout = 0.05, request_timeout = 0.05} do
      local server <close> = serve(function() return "x" end, {idle = 0.1, [name] = value})
      assert.equal("", talk(server, ""))
      if name ~= "head_timeout" then
        assert.matches("^HTTP/1.1 408 ", talk(server, some), name)
        assert.matches("xHTTP/1.1 408 ", talk(server, first .. some), name)
      end
      assert.matches("^HTTP/1.1 408 ", talk(server, half), name)
      assert.matches("xHTTP/1.1 408 ", talk(server, first .. half), name)
      server:close()
    end
  end)

  it("limit and per_peer bound those at once, and the others get 503", function()
    for _, name in ipairs{"limit", "per_peer"} do
      local busy, most = 0, 0
      local server <close>, url = serve(function()
        busy = busy + 1
        most = math.max(most, busy)
        corun.sleep(0.02)
        busy = busy - 1
        return "x"
      end, {[name] = 3})
      local s <close> = http.session()
      local statuses = corun.map({1, 2, 3, 4, 5}, function() return assert(s:get(url)).status end)
      table.sort(statuses)
      assert.equal("200 200 200 503 503", table.concat(statuses, " "))
      assert.equal(3, most)
      s:close()
      support.eventually("all are gone", function() return server.count == 0 end)
      local again <close> = http.session()
      assert.equal(200, assert(again:get(url)).status)
      server:close()
    end
  end)
end)

describe("http.serve, bad requests", function()
  local GOOD = "GET / HTTP/1.1\r\nhost: h\r\n"
  local BAD = {
    {400, "garbage", "\1\2\3\r\n\r\n"},
    {400, "two Hosts", GOOD .. "host: h\r\n\r\n"},
    {400, "no Host", "GET / HTTP/1.1\r\n\r\n"},
    {400, "a Host with two ports", "GET / HTTP/1.1\r\nhost: h:80:81\r\n\r\n"},
    {400, "a Host with a name as its port", "GET / HTTP/1.1\r\nhost: h:http\r\n\r\n"},
    {400, "a Host with half a bracket", "GET / HTTP/1.1\r\nhost: [::1\r\n\r\n"},
    {400, "a Host with a space", "GET / HTTP/1.1\r\nhost: a b\r\n\r\n"},
    {400, "no target", "GET HTTP/1.1\r\nhost: h\r\n\r\n"},
    {400, "a target with a control character", "GET /\1 HTTP/1.1\r\nhost: h\r\n\r\n"},
    {400, "a target with a space", "GET /a b HTTP/1.1\r\nhost: h\r\n\r\n"},
    {400, "a URL of another host", "GET http://other/ HTTP/1.1\r\nhost: h\r\n\r\n"},
    {400, "a URL of another port", "GET http://h:81/ HTTP/1.1\r\nhost: h\r\n\r\n"},
    {400, "a URL with a user", "GET http://u@h/ HTTP/1.1\r\nhost: h\r\n\r\n"},
    {400, "a URL without a host", "GET http:///h HTTP/1.1\r\nhost:\r\n\r\n"},
    {400, "GET *", "GET * HTTP/1.1\r\nhost: h\r\n\r\n"},
    {400, "Transfer-Encoding with Content-Length",
      GOOD .. "transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n"},
    {400, "Content-Length with Transfer-Encoding",
      GOOD .. "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"},
    {400, "two Content-Lengths", GOOD .. "content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"},
    {400, "a Content-Length that is no number", GOOD .. "content-length: x\r\n\r\n"},
    {400, "Transfer-Encoding in HTTP/1.0",
      "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"},
    {501, "an unknown Transfer-Encoding", GOOD .. "transfer-encoding: gzip\r\n\r\n"},
    {501, "xchunked", GOOD .. "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"},
    {400, "a folded header", GOOD .. "a: b\r\n c\r\n\r\n"},
    {400, "an empty header name", GOOD .. ": b\r\n\r\n"},
    {400, "a space before the colon", GOOD .. "a : b\r\n\r\n"},
    {400, "NUL in a header", GOOD .. "a: \0\r\n\r\n"},
    {400, "bare LF", "GET / HTTP/1.1\nhost: h\n\n"},
    {400, "a bad chunk size", GOOD .. "transfer-encoding: chunked\r\n\r\nzz\r\n"},
    {400, "a chunk longer than its size", GOOD .. "transfer-encoding: chunked\r\n\r\n1\r\nab\r\n"},
    {417, "an expectation that is not known", GOOD .. "expect: 100-continue, x\r\n\r\n"},
    {413, "a body over the limit", GOOD .. "content-length: 1001\r\n\r\n"},
    {413, "a chunked body over the limit", GOOD .. "transfer-encoding: chunked\r\n\r\n3e9\r\n"},
    {414, "a target over 8 KiB", "GET /" .. ("x"):rep(8192) .. " HTTP/1.1\r\nhost: h\r\n\r\n"},
    {414, "a target without end", "GET /" .. ("x"):rep(30000)},
    {431, "a header block over 16 KiB", GOOD .. "a: " .. ("x"):rep(16384) .. "\r\n\r\n"},
    {431, "a header without end", GOOD .. "a: " .. ("x"):rep(30000)},
    {431, "101 headers", GOOD .. ("a: b\r\n"):rep(100) .. "\r\n"},
    {501, "an unknown method", "BREW / HTTP/1.1\r\nhost: h\r\n\r\n"},
    {501, "CONNECT", "CONNECT h:80 HTTP/1.1\r\nhost: h:80\r\n\r\n"},
    {505, "HTTP/2.0", "GET / HTTP/2.0\r\nhost: h\r\n\r\n"},
  }
  for _, case in ipairs(BAD) do
    it(case[2] .. " gets " .. case[1] .. " and a close, also as a second request", function()
      local seen = 0
      local server <close>, url = serve(function()
        seen = seen + 1
        return "x"
      end, {max_body = 1000})
      local function assert_refused(all)
        assert.matches("^HTTP/1%.1 " .. case[1] .. " ", all)
        assert.matches("\r\nconnection: close\r\n", all)
        assert.equal(1, select(2, all:gsub("HTTP/1%.1 %d%d%d ", "")))
      end
      assert_refused(talk(server, case[3]))
      assert.equal(0, seen)
      local pipelined = talk(server, GOOD .. "\r\n" .. case[3])
      assert_refused(assert(pipelined:match("^HTTP/1%.1 200 .-\r\n\r\nx(.*)$"), pipelined))
      local stream <close> = assert(net.connect(server:address()))
      stream:write(GOOD .. "\r\n")
      assert.equal(200, (support.read_response(stream)))
      stream:write(case[3])
      assert_refused(stream:read("a", {timeout = 10}))
      assert.equal(2, seen)
      local s <close> = http.session()
      assert.equal("x", assert(s:get(url)).body)
      s:close()
      server:close()
    end)
  end

  it("one that is cut short gets 400, also as a second request", function()
    local statuses = {}
    local server <close> = serve(function() return "x" end, {log = function(entry)
      statuses[#statuses + 1] = entry.status
    end})
    for _, cut in ipairs{"GET", GOOD, GOOD .. "content-length: 3\r\n\r\nab",
      GOOD .. "transfer-encoding: chunked\r\n\r\n3\r\nab"} do
      for _, before in ipairs{"", GOOD .. "\r\n"} do
        local stream <close> = assert(net.connect(server:address()))
        stream:write(before .. cut)
        stream:shutdown()
        if before ~= "" then assert.equal(200, (support.read_response(stream))) end
        local status, head, body = support.read_response(stream)
        assert.equal(400, status, before .. cut)
        assert.matches("\r\nconnection: close\r\n", head)
        assert.matches("the connection was closed inside", body)
        assert.equal("", stream:read("a"))
      end
    end
    local whole <close> = assert(net.connect(server:address()))
    whole:write(GOOD .. "\r\n")
    whole:shutdown()
    assert.equal(200, (support.read_response(whole)))
    assert.equal("", whole:read("a"))
    assert.equal("400 200 400 400 200 400 400 200 400 400 200 400 200",
      table.concat(statuses, " "))
    server:close()
  end)

  it("what follows a refused request is never taken for one", function()
    local seen = 0
    local server <close> = serve(function()
      seen = seen + 1
      return "x"
    end)
    local all = talk(server, GOOD .. "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n" ..
      "0\r\n\r\n" .. GOOD .. "\r\n")
    assert.equal(1, select(2, all:gsub("HTTP/1%.1 ", "")))
    assert.equal(0, seen)
    server:close()
  end)

  it("a client that goes on sending still gets the answer", function()
    local server <close>, url = serve(function() return "x" end, {max_body = 1000})
    local s <close> = http.session()
    for _ = 1, 5 do
      local res = assert(s:post(url, {body = ("x"):rep(4 << 20)}))
      assert.equal(413, res.status)
    end
    server:close()
  end)
end)

describe("http.serve closing", function()
  local GET = "GET / HTTP/1.1\r\nhost: h\r\n\r\n"

  it("S42 close cancels what runs; drain lets it end", function()
    local finished, cancelled = 0, 0
    local function slow()
      local _ <close> = corun.defer(function() cancelled = cancelled + 1 end)
      corun.sleep(0.1)
      finished = finished + 1
      return "done"
    end
    for _, drain in ipairs({0, 5}) do
      finished, cancelled = 0, 0
      local server, url = serve(slow)
      local s <close> = http.session()
      corun.scope(function(scope)
        local t = scope:async(s.get, s, url)
        local idle <close> = assert(net.connect(server:address()))
        support.eventually("both are there", function() return server.count == 2 end)
        corun.sleep(0.02)
        local before = corun.now()
        server:close({drain = drain})
        assert.is_true(corun.now() - before < 2) -- the idle one does not hold it up
        local res, err = t:await()
        if drain == 0 then
          assert.is_nil(res)
          assert.equal("EOF", err.code)
        else
          assert.equal("done", res.body)
          assert.equal("close", res.headers.connection)
        end
        assert.is_nil((idle:read(1)))
      end)
      assert.equal(drain == 0 and 0 or 1, finished)
      assert.equal(1, cancelled)
    end
  end)

  it("drain answers what has come, also on connections that nobody has accepted #prompt", function()
    local server = serve(function(req) return req.path end)
    local old <close> = assert(net.connect(server:address()))
    local silent <close> = assert(net.connect(server:address()))
    old:write(GET)
    assert.matches("\r\n\r\n/$", (old:read_until("\r\n\r\n/")))
    local fresh = {}
    for i = 1, 20 do fresh[i] = assert(net.connect(server:address())) end
    for i = 1, 20 do fresh[i]:write(GET) end
    old:write(GET)
    local closing = corun.async(server.close, server, {drain = 5})
    for i = 1, 20 do
      assert.matches("^HTTP/1.1 200 .*\r\n\r\n/$", (fresh[i]:read("a")))
      fresh[i]:close()
    end
    assert.matches("^HTTP/1.1 200 .*\r\n\r\n/$", (old:read("a")))
    assert.equal("", silent:read("a"))
    old:close()
    closing:await()
  end)

  it("drain answers what was pipelined, and says with the last answer that it was", function()
    local begun, go = corun.event(), corun.event()
    local server = serve(function(req)
      begun:set()
      go:wait()
      return req.path
    end)
    local stream <close> = assert(net.connect(server:address()))
    local requests = {}
    for i = 1, 16 do requests[i] = ("GET /%d HTTP/1.1\r\nhost: h\r\n\r\n"):format(i) end
    stream:write(table.concat(requests))
    begun:wait()
    local closing = corun.async(server.close, server, {drain = 5})
    support.eventually("it closes", function() return tostring(server):find("closed") ~= nil end)
    go:set()
    for i = 1, 16 do
      local _, head, body = support.read_response(stream)
      assert.equal("/" .. i, body)
      assert.equal(i == 16, head:find("\r\nconnection: close\r\n", 1, true) ~= nil)
    end
    assert.equal("", stream:read("a"))
    stream:close()
    closing:await()
  end)

  it("a cancelled scope takes its server along", function()
    local url
    corun.scope(function(scope)
      local server
      server, url = serve(function() return "x" end)
      local s <close> = http.session()
      assert(s:get(url))
      assert.is_truthy(server)
      scope:cancel()
    end)
    local s <close> = http.session()
    assert.equal("ECONNREFUSED", select(2, s:get(url)).code)
  end)

  it("closing twice is fine, <close> closes", function()
    local url
    do
      local server <close>, u = serve(function() return "x" end)
      url = u
      local stream <close> = assert(net.connect(server:address()))
      support.eventually("accepted", function() return server.count == 1 end)
      assert.matches("1 connection)", tostring(server), 1, true)
      stream:close()
    end
    local s <close> = http.session()
    assert.is_nil((s:get(url)))
    local server = serve(function() return "x" end)
    server:close()
    server:close({drain = 1})
    server:wait()
  end)
end)

describe("http.serve under load", function()
  it("10,000 sequential requests leave nothing behind", function()
    local server <close>, url = serve(function(req) return {json = {path = req.path}} end)
    local s <close> = http.session()
    local function rounds(n)
      for _ = 1, n do assert(s:getjson(url .. "/x")) end
      collectgarbage()
      collectgarbage()
      return require("corun.debug").stats().memory
    end
    local before = rounds(1000)
    local after = rounds(9000)
    assert.is_true(after - before < 9000, ("%d bytes for 9,000 requests"):format(after - before))
    assert.equal(1, s.pool.open)
    assert.equal(1, server.count)
    server:close()
  end)

  it("200 clients at once", function()
    local server <close>, url = serve(function(req)
      corun.sleep(0.001)
      return req.path
    end)
    corun.scope(function(scope)
      for i = 1, 200 do
        scope:spawn(function()
          local s <close> = http.session()
          for j = 1, 10 do
            local path = ("/%d-%d"):format(i, j)
            assert.equal(path, assert(s:get(url .. path)).body)
          end
        end)
      end
    end)
    support.eventually("all gone", function() return server.count == 0 end)
    server:close()
  end)

  it("an idle connection with its task costs at most 4 KB", function()
    local server <close> = serve(function() return "x" end)
    local stats = require("corun.debug").stats
    local streams = {}
    collectgarbage()
    collectgarbage()
    local before = stats().memory
    for i = 1, 200 do
      streams[i] = assert(net.connect(server:address()))
      streams[i]:write("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
      assert(streams[i]:recv())
    end
    collectgarbage()
    collectgarbage()
    local each = (stats().memory - before) / 200
    assert.is_true(each < 4096, each .. " bytes of Lua memory for both ends")
    for _, stream in ipairs(streams) do stream:close() end
    server:close()
  end)
end)

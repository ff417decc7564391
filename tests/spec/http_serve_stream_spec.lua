-- SPDX-License-Identifier: MIT
-- http.serve: bodies that come in pieces, of requests and of answers; the log of a server.

local corun = require("corun")
local fs = require("corun.fs")
local http = require("corun.http")
local net = require("corun.net")
local process = require("corun.process")
local support = require("tests.spec.support.http")
local outcomes = require("tests.spec.support.outcomes")

local serve, captured = support.serve, outcomes.captured

local function talk(server, bytes)
  return support.talk(server:address(), bytes)
end

local GET = "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"

-- A server whose clients idle for a moment only, and may pause for long within an answer.
local SLOW = [[
local corun = require "corun"
local server = assert(corun.http.serve("127.0.0.1:0", function(req)
  local length, n = tonumber(req.path:sub(2)), 0
  return {length = length or 1 << 40, stream = function(w)
    while not length and corun.timeout(0.2, w.write, w, ("x"):rep(1000)) do n = n + 1000 end
    if not length then return print(n) end
    for _ = 1, length // 1000 do w:write(("x"):rep(1000)) end
    w:write(("x"):rep(length % 1000))
    print("sent")
  end}
end, {idle = 0.2, stall = 30}))
io.stdout:setvbuf("line")
print(server:address())
server:wait()
]]

describe("http.serve, streamed answers:", function()
  it("a function writes chunks, each sent at once", function()
    local go = corun.event()
    local server <close>, url = serve(function()
      return function(w)
        w:write("one", 2, "")
        go:wait()
        w:write("three")
        assert.matches("^http writer %(/x, 9 bytes%)$", tostring(w))
      end
    end)
    local s <close> = http.session()
    local res <close> = assert(s:get(url .. "/x", {stream = true}))
    assert.equal("one2", res:read_exactly(4))
    go:set()
    assert.equal("three", res:read("a"))
    assert.is_nil(res.headers["content-length"])
    res:close()
    assert.equal(1, s.pool.open) -- the connection is kept
    server:close()
  end)

  it("a table has status and headers, and a stream or a body of any kind", function()
    local answer
    local server <close>, url = serve(function() return answer end)
    local s <close> = http.session()
    local path = os.tmpname()
    assert(fs.write(path, ("file"):rep(1000)))
    local texts, i = {"a", "", "b"}, 0
    local cases = {
      {{status = 201, headers = {x = "1"}, stream = function(w) w:write("s") end}, "s"},
      {{stream = function() end}, ""},
      {{body = {path = path}}, ("file"):rep(1000), 4000},
      {{body = function() i = i + 1 return texts[i] end}, "ab"},
    }
    for _, case in ipairs(cases) do
      answer = case[1]
      local res = assert(s:get(url))
      assert.equal(case[2], res.body)
      assert.equal(answer.status or 200, res.status)
      assert.equal(answer.headers and "1", res.headers.x)
      assert.equal(case[3] and tostring(case[3]), res.headers["content-length"])
      res = assert(s:head(url))
      assert.equal("", res.body)
    end
    answer = {body = {path = path .. ".nosuch"}}
    assert.matches("no such file", captured(function()
      assert.equal(500, assert(s:get(url)).status)
    end))
    assert.equal(1, s.pool.open)
    os.remove(path)
    server:close()
  end)

  it("HTTP/1.0 gets the body until the end", function()
    local server <close> = serve(function() return function(w) w:write("a") w:write("b") end end)
    local got = talk(server, "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
    assert.matches("\r\nconnection: close\r\n\r\nab$", got)
    assert.is_nil(got:find("chunked", 1, true))
    server:close()
  end)

  it("a failure cuts the body short, and is logged", function()
    local server <close>, url = serve(function()
      return function(w)
        w:write("begun")
        error("half way")
      end
    end)
    local s <close> = http.session()
    local log = captured(function()
      local res, err = s:get(url)
      assert.is_nil(res)
      assert.matches("inside a chunked body", err.message)
    end)
    assert.matches("GET / failed: .*half way", log)
    assert.equal(0, s.pool.open)
    server:close()
  end)

  it("a client that goes away ends the function, and nothing is logged", function()
    local ended
    local server <close> = serve(function()
      return function(w)
        local _ <close> = corun.defer(function() ended = true end)
        while true do
          w:write(("x"):rep(10000))
          corun.sleep(0)
        end
      end
    end)
    local log = captured(function()
      local stream <close> = assert(net.connect(server:address()))
      stream:write(GET)
      assert(stream:read(1000))
      stream:close()
      support.eventually("the function ended", function() return ended end)
    end)
    assert.equal("", log)
    server:close()
  end)

  it("nothing can be written once the answer has ended", function()
    local kept
    local server <close>, url = serve(function()
      return function(w)
        kept = w
        w:write("x")
      end
    end)
    local s <close> = http.session()
    assert.equal("x", assert(s:get(url)).body)
    local ok, err = corun.try(kept.write, kept, "late")
    assert.is_nil(ok)
    assert.equal("ECLOSED", err.code)
    assert.error_matches(function() kept.write({}, "x") end, "bad self")
    server:close()
  end)
end)

-- Wait until a number does not change any more.
local function settled(number)
  local last, same = nil, 0
  support.eventually("it rests", function()
    same = number() == last and same + 1 or 0
    last = number()
    return last > 0 and same == 20
  end)
  return last
end

describe("http.serve, a client that is slow to read:", function()
  local PIECE, COUNT = 200000, 40

  it("gets the pieces of two tasks one behind the other", function()
    local written = 0
    local server <close>, url = serve(function()
      return function(w)
        for _, letter in ipairs{"a", "b"} do
          corun.spawn(function()
            for _ = 1, COUNT do
              w:write(letter:rep(PIECE))
              written = written + 1
            end
          end)
        end
      end
    end)
    local s <close> = http.session()
    local res <close> = assert(s:get(url, {stream = true}))
    settled(function() return written end)
    local body = assert(res:read("a"))
    assert.equal(2 * COUNT * PIECE, #body)
    local all = 0
    for run in body:gmatch("a+") do
      assert.equal(0, #run % PIECE)
      all = all + #run
    end
    assert.equal(COUNT * PIECE, all)
    server:close()
  end)

  it("is sent on after a piece that was cancelled before it was begun", function()
    local pieces, go = 0, corun.event()
    local server <close>, url = serve(function()
      return function(w)
        while corun.timeout(0.1, w.write, w, ("x"):rep(50000)) do pieces = pieces + 1 end
        go:set()
        w:write("end")
      end
    end)
    local s <close> = http.session()
    local res <close> = assert(s:get(url, {stream = true}))
    go:wait()
    local body = assert(res:read("a"))
    assert.equal(50000 * pieces + 3, #body)
    assert.matches("xend$", body:sub(-4))
    server:close()
  end)

  it("is cut off when a piece was cancelled in the middle", function()
    for _, o in ipairs{{}, {length = (32 << 20) + 4}} do
      local go, why = corun.event(), nil
      local server <close>, url = serve(function()
        return {length = o.length, stream = function(w)
          corun.timeout(0.1, w.write, w, ("x"):rep(32 << 20))
          why = select(2, corun.try(w.write, w, "more"))
          go:set()
        end}
      end)
      local s <close> = http.session()
      local log = captured(function()
        local res <close> = assert(s:get(url, {stream = true}))
        go:wait()
        local body, err = res:read("a")
        assert.is_nil(body)
        assert.equal("EOF", err.code)
      end)
      assert.matches("cancelled while it was sent", tostring(why))
      assert.matches("cancelled while it was sent", log)
      assert.equal(0, s.pool.open)
      server:close()
    end
  end)

  it("does not idle as long as it may pause within an answer", function()
    local folder <close> = assert(fs.temp{dir = true})
    local script = folder:path() .. "/slow.lua"
    assert(fs.write(script, SLOW))
    local program <close> = assert(process.spawn{support.corun(), "--grace=0.1", script})
    local address = program.stdout:read()
    local first <close> = assert(net.connect(address)) -- finds out what the system takes
    first:write("GET /until-it-blocks HTTP/1.1\r\nhost: h\r\n\r\n")
    local taken = tonumber(program.stdout:read())
    first:close()
    local stream <close> = assert(net.connect(address))
    local length = taken - 30000
    stream:write(("GET /%d HTTP/1.1\r\nhost: h\r\n\r\n"):format(length))
    program.stdout:read("l", {timeout = 2}) -- it is, unless the system takes less this time
    corun.sleep(1)
    stream:read_until("\r\n\r\n")
    assert.equal(length, #assert(stream:read_exactly(length)))
    assert.is_nil((stream:read(1, {timeout = 10}))) -- now it idles
  end)
end)

describe("http.serve, requests in pieces (stream = true):", function()
  it("a handler reads while the client still sends", function()
    local server <close>, url = serve(function(req)
      local first = req:read(3) or "nothing"
      return table.concat({first, req:read("l") or "nothing", req.body, req.method}, " ")
    end, {stream = true})
    local s <close> = http.session()
    local pieces, i = {"abc", "def\n", "rest", "!"}, 0
    local res = assert(s:post(url, {body = function() i = i + 1 return pieces[i] end}))
    assert.equal("abc def rest! POST", res.body)
    assert.equal("nothing nothing  GET", assert(s:get(url)).body)
    assert.equal(1, s.pool.open)
    server:close()
  end)

  it("what a handler does not read is skipped, or the connection closed", function()
    local server <close> = serve(function() return "x" end, {stream = true})
    local head = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
    for size, is_kept in pairs{[10] = true, [20000] = true, [2 << 20] = false} do
      local stream <close> = assert(net.connect(server:address()))
      local sender = corun.async(function()
        local piece = ("%x\r\n%s\r\n"):format(size // 10, ("x"):rep(size // 10))
        return stream:write(head, piece:rep(10), "0\r\n\r\n")
      end)
      assert.equal("x", select(3, support.read_response(stream)))
      assert.is_true(sender:await() or not is_kept)
      stream:write(GET)
      local again = stream:read("a") or "" -- nil when it was reset
      assert.equal(is_kept, again:sub(-5) == "\r\n\r\nx", size)
      assert.equal(not is_kept, again == "", size)
    end
    server:close()
  end)

  it("100 Continue is sent once the body is wanted", function()
    local server <close> = serve(function(req)
      return req.path == "/want" and req.body or "unread"
    end, {stream = true})
    local head = "POST /%s HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    local stream <close> = assert(net.connect(server:address()))
    stream:write(head:format("want"))
    assert.equal("HTTP/1.1 100 Continue\r\n", stream:read("L"))
    assert.equal("\r\n", stream:read("L"))
    stream:write("hi" .. head:format("no"))
    local got = stream:read("a")
    assert.matches("\r\n\r\nhiHTTP/1.1 200 OK\r\n", got)
    assert.is_nil(got:find("100 Continue", 1, true))
    assert.matches("connection: close\r\n\r\nunread$", got)
    server:close()
  end)

  it("a body that is too large, late or cut short is the client's fault", function()
    local caught
    local server <close> = serve(function(req)
      if req.path == "/catch" then
        local body, err = req:read("a")
        caught = err.code
        return body or "caught"
      end
      return req.body
    end, {stream = true, max_body = 10, stall = 0.05})
    local head = "POST /%s HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
    local log = captured(function()
      assert.matches("^HTTP/1.1 413 ", talk(server, head:format("") .. "b\r\n01234567890\r\n"))
      assert.matches("^HTTP/1.1 408 ", talk(server, head:format("") .. "5\r\n012"))
      assert.matches("^HTTP/1.1 400 ", talk(server, head:format("") .. "zz\r\n"))
      assert.matches("^HTTP/1.1 200 .*close\r\n\r\ncaught$",
        talk(server, head:format("catch") .. "b\r\n01234567890\r\n"))
    end)
    assert.equal("EMSGSIZE", caught)
    assert.equal("", log)
    server:close()
  end)

  it("a whole body can be read like one in pieces", function()
    local server <close>, url = serve(function(req)
      return {json = {req:read("l"), req:read("a"), req.body}}
    end)
    local s <close> = http.session()
    assert.same({"a", "b", "a\nb"}, assert(s:post(url, {body = "a\nb"})):json())
    server:close()
  end)
end)

describe("http.serve, log:", function()
  it("is called with each answer, and its failure harms nobody", function()
    local entries = {}
    local server <close>, url = serve(function(req)
      if req.path == "/fail" then error("x") end
      return req.path == "/stream" and function(w) w:write("abc") end or {status = 404, body = "no"}
    end, {log = function(entry)
      entries[#entries + 1] = entry
      if entry.req and entry.req.path == "/fail" then error("the log is full") end
    end})
    local s <close> = http.session()
    local text = captured(function()
      for _, path in ipairs{"/", "/stream", "/fail", "/"} do assert(s:get(url .. path)) end
      talk(server, "GET / HTTP/1.1\r\n\r\n")
    end)
    assert.matches("the log of the server at 127.0.0.1:%d+ failed: .*the log is full", text)
    local statuses = {}
    for i, entry in ipairs(entries) do
      statuses[i] = entry.status
      assert.matches("^127.0.0.1:%d+$", entry.peer)
      if entry.req then
        assert.is_true(entry.bytes > 20)
        assert.is_true(entry.seconds >= 0 and entry.seconds < 5)
      end
    end
    assert.equal("404 200 500 404 400", table.concat(statuses, " "))
    assert.equal("EPROTO", entries[5].error.code)
    server:close()
  end)
end)

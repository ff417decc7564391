-- SPDX-License-Identifier: MIT
-- Streamed responses: the methods of streams over a body, backpressure, and what becomes of the
-- connection: kept exactly when the body was read to its end.

local corun = require("corun")
local http = require("corun.http")
local json = require("corun.json")
local support = require("tests.spec.support.http")

local ok, kept, canned, raw = support.ok, support.kept, support.canned, support.raw

local OK = "HTTP/1.1 200 OK\r\n"

local function chunked(...)
  local out = {OK, "transfer-encoding: chunked\r\n\r\n"}
  for _, chunk in ipairs({...}) do out[#out + 1] = ("%x\r\n%s\r\n"):format(#chunk, chunk) end
  return table.concat(out) .. "0\r\n\r\n"
end

-- The three framings of the same body.
local FRAMINGS = {
  length = function(body) return ok(body) end,
  chunked = function(body)
    local chunks = {}
    for i = 1, #body, 7 do chunks[#chunks + 1] = body:sub(i, i + 6) end
    return chunked(table.unpack(chunks))
  end,
  ["to the end"] = function(body) return OK .. "\r\n" .. body end,
}

local function is_idle(s, open)
  assert.equal(0, s.pool.active)
  assert.equal(open, s.pool.open)
end

describe("http streamed responses", function()
  for name, frame in pairs(FRAMINGS) do
    it("a body by " .. name .. ": all reading methods", function()
      local body = "first line\nsecond\r\n42 0x1p4 -7.5e1 end|of it|and more\n\nlast"
      local answer = name == "to the end" and canned or kept
      local server <close>, url = answer(answer == kept and function() return frame(body) end
        or frame(body))
      local s <close> = http.session({stream = true})
      local res <close> = assert(s:get(url))
      assert.equal(200, res.status)
      assert.is_true(res.ok)
      assert.is_nil(res.body)
      assert.equal("first line", res:read())
      assert.equal("second\r\n", res:read("L"))
      assert.equal(42, res:read("n"))
      assert.equal(16.0, res:read("n"))
      assert.equal(-75.0, res:read("n"))
      local none, err = res:read("n")
      assert.is_nil(none)
      assert.equal("EINVAL", err.code)
      assert.equal("end|", res:read_until("|"))
      assert.equal("of", res:read_exactly(2))
      assert.equal(" it|and", res:read(7))
      assert.equal(" more", res:read("l"))
      assert.equal("", res:read())
      assert.equal("last", res:read("a"))
      is_idle(s, name == "to the end" and 0 or 1)
      assert.is_nil(res:read())
      assert.is_nil(res:recv())
      assert.is_nil(res:read_exactly(1))
      assert.equal("", res:read("a"))
      server:close()
    end)

    it("a body by " .. name .. ": many lines, and the connection is kept", function()
      local lines = {}
      for i = 1, 20000 do lines[i] = ("%d %s"):format(i, ("x"):rep(i % 30)) end
      local bytes = frame(table.concat(lines, "\n") .. "\n")
      local server <close>, url = raw(function(stream)
        while support.read_request(stream) do
          stream:write(bytes)
          if name == "to the end" then return end
        end
      end)
      local s <close> = http.session()
      for _ = 1, 2 do
        local n = 0
        for line in assert(s:get(url, {stream = true})):lines() do
          n = n + 1
          assert(line == lines[n])
        end
        assert.equal(20000, n)
        is_idle(s, name == "to the end" and 0 or 1)
      end
      server:close()
    end)
  end

  it("JSON lines, and a whole JSON", function()
    local server <close>, url = kept(function(head)
      if head:find("/lines", 1, true) then return chunked('{"a":1}\n{"a"', ':2}\n\n', '{"a":3}') end
      return chunked("[1,", "2]")
    end)
    local s <close> = http.session({stream = true})
    local sum = 0
    for value in json.lines(assert(s:get(url .. "/lines"))) do sum = sum + value.a end
    assert.equal(6, sum)
    assert.same({1, 2}, assert(s:get(url)):json())
    assert.same({1, 2}, (s:getjson(url)))
    is_idle(s, 1)
    server:close()
  end)

  it("an empty body frees the connection at once", function()
    local server <close>, url = kept(function(head)
      return head:find("^HEAD") and OK .. "content-length: 100\r\n\r\n"
        or head:find("/204") and "HTTP/1.1 204 No Content\r\n\r\n" or ok("")
    end)
    local s <close> = http.session({stream = true, limit = 1})
    for _, res in ipairs({assert(s:get(url)), assert(s:get(url .. "/204")), assert(s:head(url))}) do
      is_idle(s, 1)
      assert.is_nil(res:read())
      assert.equal("", res:read("a"))
    end
    server:close()
  end)

  it("a response that is not read to its end closes its connection", function()
    local connections = 0
    local server <close>, url = kept(function(_, _, n)
      connections = n
      return ok(("x"):rep(8 << 20))
    end)
    local s <close> = http.session({stream = true})
    local function half()
      local res = assert(s:get(url))
      assert.equal("xxx", res:read(3))
      return res
    end
    local res = half()
    assert.equal(1, s.pool.active)
    res:close()
    res:close()
    is_idle(s, 0)
    do
      local closed <close> = half() -- luacheck: ignore 211
    end
    is_idle(s, 0)
    local begun = corun.event()
    local t = corun.async(function()
      local cancelled <close> = half() -- luacheck: ignore 211
      begun:set()
      corun.sleep(10)
    end)
    begun:wait()
    t:cancel()
    t:await()
    is_idle(s, 0)
    half()
    collectgarbage()
    collectgarbage()
    is_idle(s, 0)
    assert.equal(4, connections)
    server:close()
  end)

  it("keeps its session, which nobody else may hold any more", function()
    local go = corun.event()
    local server <close>, url = support.raw(function(stream)
      support.read_request(stream)
      stream:write("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\nabc")
      go:wait()
      stream:write("def")
    end)
    local res <close> = assert(http.session():get(url, {stream = true}))
    collectgarbage()
    collectgarbage()
    go:set()
    assert.equal("abcdef", res:read("a"))
    server:close()
  end)

  it("holds its slot until then", function()
    local server <close>, url = kept(function() return ok(("x"):rep(1000)) end)
    local s <close> = http.session({limit = 1})
    corun.scope(function(scope)
      local res = assert(s:get(url, {stream = true}))
      local waiting = support.blocked(scope, s.get, s, url)
      assert.equal("waiting", waiting:status())
      assert.equal(1000, #res:read("a"))
      assert.equal(1000, #assert(waiting:await()).body)
    end)
    is_idle(s, 1)
    server:close()
  end)

  it("the server is held back while nobody reads", function()
    local sent = 0
    local server <close>, url = raw(function(stream)
      support.read_request(stream)
      stream:write(OK .. "content-length: " .. (64 << 20) .. "\r\n\r\n")
      for _ = 1, 1024 do
        if not stream:write(("x"):rep(64 << 10)) then return end
        sent = sent + (64 << 10)
      end
    end)
    local s <close> = http.session()
    local res = assert(s:get(url, {stream = true}))
    local before
    repeat -- until the system's buffers are full
      before = sent
      corun.sleep(0.05)
    until sent == before and sent > 0
    assert.is_true(sent < 32 << 20)
    local n, largest = 0, 0
    for piece in function() return res:recv() end do
      n = n + #piece
      largest = math.max(largest, #piece)
    end
    assert.equal(64 << 20, n)
    assert.is_true(largest <= 128 << 10)
    is_idle(s, 1)
    server:close()
  end)

  it("a body that is cut gives what came before, then an error, and again", function()
    for bytes, code in pairs({
      [OK .. "content-length: 10\r\n\r\nabc"] = "EOF",
      [OK .. "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"] = "EOF",
      [OK .. "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"] = "EPROTO",
      [OK .. "transfer-encoding: chunked\r\n\r\n3\r\nabcd"] = "EPROTO",
      [OK .. "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n"] = "EOF",
    }) do
      local server <close>, url = canned(bytes)
      local s <close> = http.session({stream = true})
      local res = assert(s:get(url))
      assert.equal("abc", res:read_exactly(3))
      for _ = 1, 2 do
        local none, err = res:recv()
        assert.is_nil(none)
        assert.equal(code, err.code)
        assert.equal("read", err.op)
      end
      is_idle(s, 0)
      res = assert(s:get(url))
      local none, err = res:read("a") -- a short body is never whole
      assert.is_nil(none)
      assert.equal(code, err.code)
      res = assert(s:get(url))
      assert.error_matches(function()
        for _ in res:lines() do error("a line") end -- luacheck: ignore 512
      end, code)
      server:close()
    end
  end)

  it("timeout bounds a call and loses nothing; read bounds a silence, total everything", function()
    local go = corun.event()
    local server <close>, url = raw(function(stream)
      while support.read_request(stream) do
        stream:write(OK .. "content-length: 6\r\n\r\nabc")
        go:wait()
        stream:write("def")
      end
    end)
    local s <close> = http.session()
    local res = assert(s:get(url, {stream = true}))
    local none, err = res:read("a", {timeout = 0.02})
    assert.is_nil(none)
    assert.equal("ETIMEDOUT", err.code)
    none, err = res:read_exactly(4, {timeout = 0})
    assert.is_nil(none)
    assert.equal("ETIMEDOUT", err.code)
    go:set()
    assert.equal("abcdef", res:read("a"))
    go:clear()
    for _, timeout in ipairs({{read = 0.03}, {total = 0.03}}) do
      res = assert(s:get(url, {stream = true, timeout = timeout}))
      assert.equal("abc", res:recv())
      none, err = res:recv()
      assert.is_nil(none)
      assert.equal("ETIMEDOUT", err.code)
      res:close()
    end
    go:set()
    server:close()
  end)

  it("a second reader and a use after close are misuse; a close ends who reads", function()
    local server <close>, url = raw(function(stream)
      support.read_request(stream)
      stream:write(OK .. "content-length: 6\r\n\r\nabc")
      stream:read("a")
    end)
    local s <close> = http.session({stream = true})
    local res = assert(s:get(url))
    corun.scope(function(scope)
      local t = support.blocked(scope, res.read, res, "a")
      local good, err = pcall(res.recv, res)
      assert.is_false(good)
      assert.equal("EBUSY", err.code)
      res:close()
      local none, why = t:await()
      assert.is_nil(none)
      assert.equal("ECLOSED", why.code)
    end)
    for _, name in ipairs({"read", "recv", "lines"}) do
      local good, err = pcall(res[name], res)
      assert.is_false(good)
      assert.equal("ECLOSED", err.code)
      assert.matches("http_stream_spec.lua:%d+", err.message)
    end
    is_idle(s, 0)
    res = assert(s:get(url))
    for bad, text in pairs({[{"x"}] = "unknown format", [{-1}] = "number of bytes",
        [{"l", {timout = 1}}] = "timeout", [{1.5}] = "number of bytes"}) do
      assert.error_matches(function() res:read(table.unpack(bad)) end, text)
    end
    assert.error_matches(function() res:read_until("") end, "empty")
    assert.error_matches(function() res:recv(0) end, "positive")
    s:close() -- with the response under way
    local none, err = res:read("a")
    assert.is_nil(none)
    assert.equal("ECLOSED", err.code)
    assert.matches("session was closed", err.message)
    server:close()
  end)

  it("max_body counts when it is given; max bounds a line", function()
    local server <close>, url = kept(function() return chunked(("x"):rep(100000), "\nabc") end)
    local s <close> = http.session({stream = true})
    local none, err = assert(s:get(url, {max_body = 50000})):read("a")
    assert.is_nil(none)
    assert.equal("EMSGSIZE", err.code)
    local res = assert(s:get(url))
    none, err = res:read("l", {max = 1000})
    assert.is_nil(none)
    assert.equal("EMSGSIZE", err.code)
    none, err = res:read_until("\nab", {max = 99999})
    assert.is_nil(none)
    assert.equal("EMSGSIZE", err.code)
    assert.equal(100003, #res:read_until("\nab", {max = 100000}))
    assert.equal("c", res:read("a"))
    is_idle(s, 1)
    server:close()
  end)

  it("check gives an error whose response has the begin of the body", function()
    local server <close>, url = kept(function()
      return "HTTP/1.1 503 Busy\r\ncontent-length: 8\r\n\r\ntoo busy"
    end)
    local s <close> = http.session({stream = true, check = true})
    local res, err = s:get(url)
    assert.is_nil(res)
    assert.equal("EHTTP", err.code)
    assert.equal("too busy", err.response.body)
    assert.equal(0, s.pool.active)
    server:close()
  end)

  it("check that is cancelled while it waits for that body holds no connection", function()
    local server <close>, url = kept(function()
      return "HTTP/1.1 503 Busy\r\ncontent-length: 8\r\n\r\ntoo"
    end)
    local s <close> = http.session({stream = true, check = true})
    collectgarbage("stop") -- it would close what is lost
    local _ <close> = corun.defer(function() collectgarbage("restart") end)
    for moment = 1, 40 do
      local t = corun.async(s.get, s, url)
      for _ = 1, moment do corun.yield() end
      t:cancel()
      corun.try(t.await, t)
      assert.equal(0, s.pool.active)
    end
    server:close()
  end)

  it("tostring tells its state", function()
    local server <close>, url = kept(function() return ok("abc") end)
    local s <close> = http.session({stream = true})
    local res = assert(s:get(url))
    assert.equal(("http response (200, streaming, %s)"):format(url), tostring(res))
    res:read("a")
    assert.equal(("http response (200, read, %s)"):format(url), tostring(res))
    res:close()
    assert.equal(("http response (200, closed, %s)"):format(url), tostring(res))
    server:close()
  end)
end)

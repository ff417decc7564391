-- SPDX-License-Identifier: MIT
-- The time limits of HTTP requests (S43): each phase has its own, and the error says which it was.

local corun = require("corun")
local codec = require("corun.codec")
local http = require("corun.http")
local net = require("corun.net")
local proxies = require("tests.spec.support.proxies")
local support = require("tests.spec.support.http")

local ok, kept, raw = support.ok, support.kept, support.raw

describe("http S43 time limits", function()
  local function stuck(after)
    return raw(function(stream)
      support.read_request(stream)
      if after then stream:write(after) end
      stream:read("a")
    end)
  end

  local function timed_out(op, s, url, o)
    local before = corun.now()
    local res, err = s:get(url, o)
    assert.is_nil(res)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal(op, err.op)
    assert.is_true(err.retryable)
    assert.is_true(corun.now() - before < 2)
    return err
  end

  it("S43 a number is the total, and err.op says the phase: read", function()
    local server <close>, url = stuck()
    local s <close> = http.session()
    local err = timed_out("read", s, url, {timeout = 0.05})
    assert.equal(server:address(), err.target)
    timed_out("read", s, url, {timeout = {total = 0.05}})
    timed_out("read", s, url, {timeout = {read = 0.05}})
    local quick <close> = http.session({timeout = 0.05})
    timed_out("read", quick, url)
    local slow <close> = http.session({timeout = {read = 0.05}})
    timed_out("read", slow, url)
    assert.equal(0, s.pool.open + quick.pool.open + slow.pool.open)
    server:close()
  end)

  it("S43 read bounds each silence, total bounds all", function()
    local server <close>, url = raw(function(stream)
      support.read_request(stream)
      stream:write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
      for _ = 1, 10 do
        corun.sleep(0.02)
        stream:write("x")
      end
    end)
    local s <close> = http.session()
    assert.equal("xxxxxxxxxx", assert(s:get(url, {timeout = {read = 0.15}})).body)
    timed_out("read", s, url, {timeout = {read = 0.15, total = 0.1}})
    server:close()
  end)

  it("S43 in the middle of headers and of bodies", function()
    for _, part in ipairs({"", " OK\r\nx: ", " OK\r\ncontent-length: 5\r\n\r\nab",
        " OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", " OK\r\n\r\nuntil close"}) do
      local server <close>, url = stuck("HTTP/1.1 200" .. part)
      local s <close> = http.session()
      timed_out("read", s, url, {timeout = 0.03})
      server:close()
    end
  end)

  -- Bodies that never end: `drip` sends a byte now and then, else there is silence.
  local function slow(path, coding, drip)
    return path(function(stream)
      if not support.read_request(stream) then return end
      local bytes = codec[coding or "gzip"].encode(("x"):rep(100))
      stream:write("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n",
        coding and "content-encoding: " .. coding .. "\r\n\r\n" or "\r\n", bytes:sub(1, 15))
      while drip and stream:write(bytes:sub(16, 16)) do corun.sleep(0.01) end
      stream:read("a")
    end)
  end

  for name, path in pairs(proxies.paths) do
    it("S43 of a slow body, however it is received: " .. name, function()
      for _, coding in ipairs({false, "gzip"}) do
        for kind, limits in pairs({drip = {total = 0.06}, silence = {read = 0.03}}) do
          local server <close>, url, o = slow(path, coding, kind == "drip")
          o.timeout = limits
          local s <close> = http.session(o)
          for way, fetch in pairs(support.ways) do
            local before = corun.now()
            local body, err = fetch(s, url, {body = "x"})
            assert.is_nil(body, way)
            local is_late = err.code == "ETIMEDOUT" and err.op == "read"
            -- a byte that comes again and again fits into no coding for long
            assert.is_true(is_late or kind == "drip" and err.op == "decode", tostring(err))
            assert.is_true(corun.now() - before < 2)
            local stats = s:stats()
            assert.equal(0, stats.open + stats.active)
          end
          server:close()
        end
      end
    end)
  end

  it("S43 connect", function()
    local s <close> = http.session()
    -- a listener whose queue is full drops what else comes
    local listener <close> = assert(net.listen("127.0.0.1:0", {backlog = 1}))
    local streams = {}
    for _ = 1, 4 do streams[#streams + 1] = net.connect(listener:address(), {timeout = 0.1}) end
    local url = "http://" .. listener:address()
    timed_out("connect", s, url, {timeout = {connect = 0.05}})
    timed_out("connect", s, url, {timeout = 0.05})
    for _, stream in ipairs(streams) do stream:close() end
  end)

  it("S43 send", function()
    local server <close>, url = raw(function(stream)
      corun.sleep(1.5)
      stream:close()
    end)
    local s <close> = http.session()
    local res, err = s:post(url, {body = string.rep("x", 32 << 20), timeout = {read = 0.1}})
    assert.is_nil(res)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal("send", err.op)
    server:close()
  end)

  it("S43 waiting for a connection", function()
    local server <close>, url = stuck()
    local s <close> = http.session({limit = 1})
    corun.scope(function(scope)
      local t = support.blocked(scope, s.get, s, url, {timeout = 0.2})
      timed_out("wait", s, url, {timeout = 0.05})
      assert.equal(0, s.pool.waiting)
      t:await()
    end)
    server:close()
  end)

  it("S43 a timeout of 0 has passed at once", function()
    local server <close>, url = stuck()
    local s <close> = http.session()
    local res, err = s:get(url, {timeout = 0})
    assert.is_nil(res)
    assert.equal("ETIMEDOUT", err.code)
    server:close()
  end)

  it("S17 an enclosing timeout cancels and leaves nothing behind", function()
    local server <close>, url = stuck("HTTP/1.1 200 OK\r\n")
    local s <close> = http.session()
    local res, err = corun.timeout(0.03, s.get, s, url)
    assert.is_nil(res)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal(0, s.pool.active)
    assert.equal(0, s.pool.open)
    server:close()
  end)

  it("S13 a request in a cancelled scope sends nothing", function()
    local seen = 0
    local server <close>, url = kept(function() seen = seen + 1 return ok("x") end)
    local s <close> = http.session()
    s:get(url)
    corun.scope(function(scope)
      scope:spawn(function()
        scope:cancel()
        assert.is_true(corun.is_cancelled(select(2, pcall(s.get, s, url))))
      end)
    end)
    assert.equal(1, seen)
    assert.equal(0, s.pool.active)
    server:close()
  end)
end)

describe("http res.times", function()
  local function sum(t)
    return t.queue + t.connect + t.tls + t.wait
  end

  it("tells what the time went to", function()
    local server <close>, url = raw(function(stream)
      while support.read_request(stream) do
        corun.sleep(0.04)
        stream:write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na")
        corun.sleep(0.02)
        stream:write("b")
      end
    end)
    local s <close> = http.session({limit = 1})
    local first = assert(s:get(url)).times
    assert.is_true(first.connect > 0 and first.connect < 0.02)
    assert.equal(0, first.tls)
    assert.is_true(first.queue >= 0 and first.queue < 0.02)
    assert.is_true(first.wait >= 0.035)
    assert.is_true(first.total >= sum(first) + 0.015)
    local results = corun.map({1, 2}, function() return assert(s:get(url)).times end)
    table.sort(results, function(a, b) return a.queue < b.queue end)
    assert.equal(0, results[1].connect)
    assert.is_true(results[2].queue >= 0.05) -- it waited for the other one
    assert.is_true(results[2].wait < results[2].total)
    assert.equal(0, results[2].connect)
    server:close()
  end)

  it("of a streamed response is total known when the body has come", function()
    local server <close>, url = kept(function(head)
      return head:find("/empty") and ok("") or ok(("x"):rep(4 << 20))
    end)
    local s <close> = http.session({stream = true})
    local res = assert(s:get(url))
    assert.is_nil(res.times.total)
    assert.is_true(res.times.wait >= 0)
    res:read("a")
    assert.is_true(res.times.total >= sum(res.times))
    assert.is_true(assert(s:get(url .. "/empty")).times.total > 0)
    local n = 0
    res = assert(s:post(url, {body = function()
      n = n + 1
      return n < 3 and "x" or nil
    end}))
    res:read("a")
    assert.is_true(res.times.total >= res.times.wait)
    server:close()
  end)
end)

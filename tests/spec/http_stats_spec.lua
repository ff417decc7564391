-- SPDX-License-Identifier: MIT
-- What session:stats() tells, beside what servers have seen.

local corun = require("corun")
local http = require("corun.http")
local support = require("tests.spec.support.http")

local kept, ok = support.kept, support.ok

describe("http stats", function()
  -- A server that counts connections, requests and bytes.
  local function counting()
    local seen = {connections = 0, requests = 0, bytes_in = 0, bytes_out = 0}
    local server, url = kept(function(head, body, n)
      seen.connections = n
      seen.requests = seen.requests + 1
      seen.bytes_out = seen.bytes_out + #head + #body
      local bytes = ok(("x"):rep(1000))
      if head:find("GET /a") then
        bytes = "HTTP/1.1 302 X\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n"
      elseif head:find("GET /busy") and not seen.was_busy then
        seen.was_busy = true
        bytes = "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"
      elseif head:find("GET /close") then
        bytes = ok("bye", "connection: close\r\n")
      end
      seen.bytes_in = seen.bytes_in + #bytes
      return bytes
    end)
    return server, url, seen
  end

  it("a new session has done nothing", function()
    local s <close> = http.session()
    assert.same({
      open = 0, idle = 0, active = 0, waiting = 0, connects = 0, requests = 0, reuses = 0,
      retries = 0, redirects = 0, bytes_in = 0, bytes_out = 0, hosts = {},
      cache = {hit = 0, miss = 0, revalidated = 0, stale = 0},
    }, s:stats())
  end)

  it("counts what the servers have seen, also of connections that are closed", function()
    local a <close>, url_a, seen_a = counting()
    local b <close>, url_b, seen_b = counting()
    local s <close> = http.session({retries = {min = 0.001}})
    for _ = 1, 5 do assert(s:get(url_a)) end
    assert(s:post(url_a, {body = ("y"):rep(5000)}))
    assert(s:get(url_a .. "/a"))
    assert(s:get(url_b .. "/busy"))
    assert(s:get(url_b .. "/close"))
    assert(s:get(url_b))
    local function check(stats, idle)
      for address, seen in pairs({[a:address()] = seen_a, [b:address()] = seen_b}) do
        local host = stats.hosts[address]
        assert.equal(seen.connections, host.connects)
        assert.equal(seen.requests, host.requests)
        assert.equal(seen.requests - seen.connections, host.reuses)
        assert.equal(seen.bytes_in, host.bytes_in)
        assert.equal(seen.bytes_out, host.bytes_out)
        assert.equal(idle / 2, host.idle)
      end
      assert.equal(seen_a.requests + seen_b.requests, stats.requests)
      assert.equal(seen_a.bytes_in + seen_b.bytes_in, stats.bytes_in)
      assert.equal(3, stats.connects)
      assert.equal(1, stats.retries)
      assert.equal(1, stats.redirects)
      assert.equal(idle, stats.open)
      assert.equal(idle, stats.idle)
    end
    check(s:stats(), 2)
    s:close()
    check(s:stats(), 0)
    a:close()
    b:close()
  end)

  it("tells what is under way and what waits", function()
    local gate = corun.event()
    local server <close>, url = kept(function()
      gate:wait()
      return ok("x")
    end)
    local s <close> = http.session({limit = 2})
    corun.scope(function(scope)
      for _ = 1, 5 do scope:spawn(function() assert(s:get(url)) end) end
      support.eventually("under way", function() return s:stats().connects == 2 end)
      local stats = s:stats()
      assert.equal(2, stats.active)
      assert.equal(3, stats.waiting)
      assert.equal(2, stats.open)
      assert.equal(0, stats.idle)
      assert.equal(3, stats.hosts[server:address()].waiting)
      gate:set()
    end)
    assert.equal(5, s:stats().requests)
    assert.equal(2, s:stats().idle)
    server:close()
  end)

  it("a connection that idled for too long is no longer open", function()
    local server <close>, url = counting()
    local s <close> = http.session({idle = 0.01})
    assert(s:get(url))
    support.eventually("closed", function() return s:stats().open == 0 end)
    assert.equal(1, s:stats().connects)
    server:close()
  end)

  it("more than 1,000 hosts count together, and nothing is lost", function()
    local stats = require("corun.http_stats")
    local all = stats.new()
    local core = {traffic = function() return 2, 1 end}
    for i = 1, 1500 do
      stats.add(stats.of_host(all, "host" .. i), {core = core, uses = 1})
    end
    local session = {
      pool = {counters = all, origins = {}, connections = {}},
      counts = {retries = 0, redirects = 0, cache = {}},
    }
    local out, n = stats.of(session), 0
    for _ in pairs(out.hosts) do n = n + 1 end
    assert.equal(1000, n)
    assert.equal(3000, out.requests)
    assert.equal(3000, out.bytes_in)
    assert.equal(1500, out.reuses)
  end)
end)

-- SPDX-License-Identifier: MIT
-- The pool of an HTTP session: reuse, limits, fairness, idle connections (S38), and random
-- schedules of requests, cancellations and failures, after which nothing may be missing or left.

local corun = require("corun")
local http = require("corun.http")
local support = require("tests.spec.support.http")

local ok, kept, raw = support.ok, support.kept, support.raw

-- A server that counts its connections, and how many requests it has at once.
local function counting(delay)
  local seen = {connections = 0, open = 0, busy = 0, most_open = 0, most_busy = 0, order = {}}
  local server, url = raw(function(stream)
    seen.connections = seen.connections + 1
    seen.open = seen.open + 1
    seen.most_open = math.max(seen.most_open, seen.open)
    local _ <close> = corun.defer(function() seen.open = seen.open - 1 end)
    while true do
      local head = support.read_request(stream)
      if not head then return end
      seen.busy = seen.busy + 1
      seen.most_busy = math.max(seen.most_busy, seen.busy)
      seen.order[#seen.order + 1] = head:match("^GET /(%S*)")
      corun.sleep(delay or 0)
      seen.busy = seen.busy - 1
      if not stream:write(ok("x")) then return end
    end
  end)
  return server, url, seen
end

local function is_empty(pool)
  assert.equal(0, pool.active)
  assert.equal(0, pool.waiting)
  assert.equal(pool.queue, pool.queue.next)
  assert.is_nil(next(pool.scopes))
  local idle, known = 0, 0
  for _, origin in pairs(pool.origins) do
    assert.equal(0, origin.active)
    assert.equal(0, origin.waiting)
    assert.equal(#origin.idle, origin.open)
    idle = idle + #origin.idle
  end
  for _ in pairs(pool.connections) do known = known + 1 end
  assert.equal(pool.open, idle)
  assert.equal(pool.open, known)
end

describe("http pool", function()
  it("sequential requests use one connection", function()
    local server <close>, url, seen = counting()
    local s <close> = http.session()
    for _ = 1, 50 do assert(s:get(url)) end
    assert.equal(1, seen.connections)
    is_empty(s.pool)
    server:close()
  end)

  it("limit and per_host are never exceeded, and used", function()
    local a <close>, url_a, seen_a = counting(0.002)
    local b <close>, url_b, seen_b = counting(0.002)
    local s <close> = http.session({limit = 5, per_host = 3})
    corun.scope(function(scope)
      for i = 1, 60 do
        scope:spawn(function()
          assert(s:get(i % 2 == 0 and url_a or url_b))
          assert.is_true(s.pool.open <= 5)
          for _, origin in pairs(s.pool.origins) do assert.is_true(origin.open <= 3) end
        end)
      end
    end)
    for _, seen in ipairs({seen_a, seen_b}) do
      assert.is_true(seen.most_busy >= 2 and seen.most_busy <= 3)
    end
    is_empty(s.pool)
    a:close()
    b:close()
  end)

  it("idle connections count for limit: the oldest makes room", function()
    local servers, urls, seens = {}, {}, {}
    for i = 1, 4 do servers[i], urls[i], seens[i] = counting() end
    local s <close> = http.session({limit = 2})
    for round = 1, 3 do
      for i = 1, 4 do
        assert(s:get(urls[i]))
        assert.is_true(s.pool.open <= 2)
        assert.equal(round, seens[i].connections)
      end
    end
    s:close()
    for _, server in ipairs(servers) do server:close() end
  end)

  it("origins of which nothing is left are forgotten", function()
    local s <close> = http.session({limit = 3})
    for i = 1, 20 do
      local server <close>, url = kept(function() return ok("x") end)
      assert(s:get(url .. "/" .. i))
      server:close()
    end
    local n = 0
    for _ in pairs(s.pool.origins) do n = n + 1 end
    assert.is_true(n <= 3)
  end)

  it("waiters are served first come, first served", function()
    local server <close>, url, seen = counting(0.001)
    local s <close> = http.session({limit = 2})
    local expected = {}
    corun.scope(function(scope)
      for i = 1, 30 do
        expected[i] = tostring(i)
        support.blocked(scope, function() assert(s:get(url .. "/" .. i)) end)
      end
    end)
    table.sort(seen.order, function(x, y) return tonumber(x) < tonumber(y) end)
    assert.same(expected, seen.order)
    server:close()
  end)

  it("reports say what a waiter waits for", function()
    local server <close>, url = counting(0.1)
    local s <close> = http.session({limit = 1})
    corun.scope(function(scope)
      support.blocked(scope, s.get, s, url)
      support.blocked(scope, s.get, s, url)
      support.eventually("one waits", function() return s.pool.waiting == 1 end)
      assert.matches(": waiting for word of a free connection to " .. server:address(),
        table.concat(corun.debug.tasks(), "\n"), 1, true)
    end)
    server:close()
  end)

  it("waiters are served in order, one at a time", function()
    local server <close>, url, seen = counting()
    local s <close> = http.session({limit = 1})
    local expected = {}
    corun.scope(function(scope)
      for i = 1, 30 do
        expected[i] = tostring(i)
        support.blocked(scope, function() assert(s:get(url .. "/" .. i)) end)
      end
    end)
    assert.same(expected, seen.order)
    server:close()
  end)

  it("who waits for a full host does not hold up the others", function()
    local gate, order, together = corun.event(), {}, 0
    local slow <close>, slow_url = kept(function(head)
      together = together + 1
      assert.equal(1, together)
      order[#order + 1] = head:match("^GET /(%d)")
      gate:wait()
      together = together - 1
      return ok("x")
    end)
    local fast <close>, fast_url = counting()
    local s <close> = http.session({limit = 10, per_host = 1})
    corun.scope(function(scope)
      local tasks = {}
      for i = 1, 3 do tasks[i] = support.blocked(scope, s.get, s, slow_url .. "/" .. i) end
      for _ = 1, 5 do assert(s:get(fast_url, {timeout = 10})) end
      assert.equal(2, s.pool.waiting)
      gate:set()
      for i = 1, 3 do assert.equal(200, tasks[i]:await().status) end
    end)
    assert.same({"1", "2", "3"}, order)
    is_empty(s.pool)
    slow:close()
    fast:close()
  end)

  it("a cancelled waiter gives its turn to the next", function()
    local server <close>, url = counting(0.02)
    local s <close> = http.session({limit = 1})
    corun.scope(function(scope)
      local tasks = {}
      for i = 1, 6 do
        tasks[i] = support.blocked(scope, s.get, s, url)
      end
      assert.equal(5, s.pool.waiting)
      tasks[2]:cancel()
      tasks[4]:cancel()
      for i = 1, 6 do
        local res, err = tasks[i]:await()
        local cancelled = i == 2 or i == 4
        assert.equal(cancelled and "ECANCELED" or 200, cancelled and err.code or res.status)
      end
    end)
    is_empty(s.pool)
    server:close()
  end)

  it("a cancelled request closes its connection, others go on", function()
    local server <close>, url, seen = counting(0.05)
    local s <close> = http.session({limit = 2})
    corun.scope(function(scope)
      local t = scope:async(s.get, s, url)
      local u = scope:async(s.get, s, url)
      corun.sleep(0.02)
      t:cancel()
      assert.equal(200, u:await().status)
    end)
    assert.equal(1, s.pool.open)
    support.eventually("closed", function() return seen.open == 1 end)
    is_empty(s.pool)
    server:close()
  end)

  it("a connection that idles for longer than idle is closed", function()
    local server <close>, url, seen = counting()
    local s <close> = http.session({idle = 0.4})
    assert(s:get(url))
    assert.equal(1, seen.open)
    support.eventually("closed", function() return seen.open == 0 end)
    assert(s:get(url))
    assert.equal(2, seen.connections)
    corun.sleep(0.22)
    assert(s:get(url))
    corun.sleep(0.22)
    assert(s:get(url))
    assert.equal(2, seen.connections)
    server:close()
  end)

  it("idle = 0 keeps connections for no longer than the loop turns, math.huge for ever", function()
    local server <close>, url, seen = counting()
    local s <close> = http.session({idle = 0})
    assert(s:get(url))
    support.eventually("closed", function() return seen.open == 0 end)
    local lasting <close> = http.session({idle = math.huge})
    assert(lasting:get(url))
    corun.sleep(0.02)
    assert.equal(1, seen.open)
    lasting:close()
    server:close()
  end)

  it("S20 closing the session ends a request that is being sent", function()
    local server <close>, url = raw(function() corun.sleep(60) end) -- reads nothing
    local session <close> = http.session{timeout = {read = math.huge}}
    local line
    corun.scope(function(s)
      local t = s:async(session.post, session, url, {body = ("x"):rep(30 << 20)})
      support.eventually("sending", function() return t:status() == "waiting" end)
      corun.sleep(0.05)
      line = debug.getinfo(1, "l").currentline + 1
      session:close()
      local res, err = t:await()
      assert.is_nil(res)
      assert.equal("ECLOSED", err.code)
      assert.matches("the session was closed meanwhile at tests/spec/http_pool_spec.lua:" .. line,
        tostring(err), 1, true)
    end)
    local ok_, err = pcall(session.get, session, url)
    assert.is_false(ok_)
    assert.matches("the session was closed at tests/spec/http_pool_spec.lua:" .. line,
      tostring(err), 1, true)
    server:close{drain = 0}
  end)

  it("S12 the use of a session whose <close> variable is gone says what to do", function()
    local kept_session
    do
      local session <close> = http.session()
      kept_session = session
    end
    local ok_, err = pcall(kept_session.get, kept_session, "http://127.0.0.1:1/")
    assert.is_false(ok_)
    assert.matches("http_pool_spec.lua:%d+, where its <close> variable went out of scope; wait for "
      .. "the tasks that use it in a corun.scope first", tostring(err))
  end)

  it("S13 a request whose URL is none is a checkpoint too", function()
    local _, err = corun.timeout(0, http.get, "no url")
    assert.equal("ETIMEDOUT", err.code)
    _, err = http.get("no url")
    assert.equal("EURL", err.code)
  end)

  it("S38 idle connections do not keep the process, nor hide a deadlock", function()
    if not support.has("python3") then return pending("python3 is not installed") end
    local peer = support.start("python3", "-c", [[
import http.server
class H(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
print("port", s.server_address[1], flush=True)
s.serve_forever()]])
    local _ <close> = corun.defer(peer.stop)
    local get = 'local corun = require "corun"\nassert(corun.http.get("%s/LICENSE"))\n'
    get = get:format(peer.url)
    local before = corun.now()
    local out, good = support.run(support.corun(), "-e", get .. 'print "over"')
    assert.equal("over\n", out)
    assert.is_true(good)
    out, good = support.run(support.corun(), "-e", get .. "corun.event():wait()")
    assert.is_false(good)
    assert.matches("deadlock", out)
    assert.is_true(corun.now() - before < 5)
  end)

  it("out of 600 random schedules each leaves the pool whole", function()
    local server <close>, url = raw(function(stream)
      while true do
        local head = support.read_request(stream)
        if not head then return end
        local kind = head:match("^GET /(%a*)")
        if kind == "slow" then corun.sleep(0.002) end
        if kind == "cut" then
          stream:write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
          return
        elseif kind == "close" then
          stream:write(ok("x", "connection: close\r\n"))
          return
        elseif kind == "gone" then
          return
        end
        if not stream:write(ok(kind)) then return end
      end
    end)
    local other <close>, other_url = kept(function() return ok("other") end)
    local closed_port = "http://127.0.0.1:1" -- where nothing listens
    local kinds = {"fine", "fine", "fine", "slow", "cut", "close", "gone"}
    math.randomseed(42)
    for round = 1, 600 do
      local limit = math.random(1, 4)
      local s <close> = http.session({
        limit = limit, per_host = math.random() < 0.5 and math.random(1, 2) or nil,
        idle = math.random() < 0.2 and 0.001 or nil,
      })
      corun.scope(function(scope)
        for _ = 1, math.random(1, 12) do
          local kind = kinds[math.random(#kinds)]
          local target = math.random() < 0.1 and closed_port or math.random() < 0.3 and other_url
            or url
          local timeout = math.random() < 0.2 and math.random() * 0.004 or 5
          local t = scope:async(function()
            local res = s:get(target .. "/" .. kind, {timeout = timeout})
            assert(s.pool.active <= limit and s.pool.open <= limit)
            if res and target == url then assert(res.body == kind or kind == "close") end
            return true
          end)
          if math.random() < 0.3 then
            scope:spawn(function()
              if math.random() < 0.5 then corun.sleep(math.random() * 0.003) end
              t:cancel()
            end)
          end
          scope:spawn(function() t:await() end)
          if math.random() < 0.3 then corun.yield() end
        end
        if math.random() < 0.1 then
          scope:spawn(function()
            corun.sleep(math.random() * 0.002)
            s:close()
          end)
        end
      end)
      is_empty(s.pool)
      if not s.closed then
        assert.equal("fine", assert(s:get(url .. "/fine", {timeout = 5})).body, "round " .. round)
        is_empty(s.pool)
      end
      s:close()
      assert.equal(0, s.pool.open)
    end
    support.eventually("all closed", function() return server.count == 0 and other.count == 0 end)
    server:close()
    other:close()
  end)

  it("10,000 tasks share 16 connections", function()
    local server <close> = assert(http.serve("127.0.0.1:0", function() return "x" end))
    local url = "http://" .. server:address()
    local s <close> = http.session({limit = 16})
    local done = 0
    corun.scope(function(scope)
      for _ = 1, 10000 do
        scope:spawn(function()
          assert(s:get(url))
          done = done + 1
        end)
      end
    end)
    assert.equal(10000, done)
    is_empty(s.pool)
    server:close()
  end)
end)

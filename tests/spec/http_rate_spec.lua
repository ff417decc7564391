-- SPDX-License-Identifier: MIT
-- The rate of a session: so many tries in a time for each host, in order, none for who gave up.

local corun = require("corun")
local http = require("corun.http")
local pool = require("corun.http_pool")
local rate = require("corun.http_rate")
local retry = require("corun.http_retry")
local support = require("tests.spec.support.http")
local tasks = require("tests.spec.support.tasks")

describe("http rate", function()
  describe("the layer", function()
    local session

    before_each(function()
      tasks.virtual()
      session = {pool = pool.new(1, nil, 1), counts = {retries = 0}}
    end)

    local function request(policy, host, deadline)
      return {rate = policy, u = {host = host, name = host}, deadline = deadline, method = "GET",
        idempotent = true, rewind = function() return true end}
    end

    -- Send `n` requests at once to each host; the instants at which each host got them.
    local function send(policy, n, ...)
      local start, times = corun.now(), {}
      local hosts = {...}
      corun.scope(function(s)
        for i = 1, n do
          for _, host in ipairs(hosts) do
            times[host] = times[host] or {}
            support.blocked(s, rate.layer, session, request(policy, host), function()
              local at = math.floor((corun.now() - start) * 1000 + 0.5) / 1000
              table.insert(times[host], {i, at})
              return {status = 200}
            end)
          end
        end
      end)
      return times
    end

    local function instants(list)
      local out = {}
      for i, pair in ipairs(list) do
        assert.equal(i, pair[1], "in order")
        out[i] = pair[2]
      end
      return out
    end

    it("each host has its own, and is served in order", function()
      local policy = rate.read({2, 1})
      local times = send(policy, 6, "a", "b", "c")
      for _, host in ipairs({"a", "b", "c"}) do
        assert.same({0, 0, 0.5, 1, 1.5, 2}, instants(times[host]))
      end
    end)

    it("burst says how many go at once", function()
      assert.same({0, 0.5, 1, 1.5}, instants(send(rate.read({2, 1, burst = 1}), 4, "a").a))
    end)

    it("a limiter is for all hosts together", function()
      local times = send(rate.read(corun.limiter(1, 1)), 2, "a", "b")
      local all = {}
      for _, host in ipairs({"a", "b"}) do
        for _, pair in ipairs(times[host]) do all[#all + 1] = pair[2] end
      end
      table.sort(all)
      assert.same({0, 1, 2, 3}, all)
    end)

    it("who is cancelled, or out of time, has taken no turn", function()
      local policy = rate.read({1, 1})
      local function go(deadline)
        return rate.layer(session, request(policy, "a", deadline), corun.now)
      end
      local start = go()
      local t = tasks.started(go)
      t:cancel()
      t:await()
      local res, err = go(start + 0.25)
      assert.is_nil(res)
      assert.equal("ETIMEDOUT", err.code)
      assert.equal("wait", err.op)
      assert.equal("a", err.target)
      assert.is_true(err.retryable)
      assert.is_true(math.abs(corun.now() - start - 0.25) < 0.01)
      assert.is_true(math.abs(go(start + 5) - start - 1) < 0.01)
    end)

    it("each try counts, a pause between tries does not", function()
      local policy = rate.read({1, 10})
      local start, times = corun.now(), {}
      local r = request(policy, "a")
      r.retries = retry.read({tries = 3, min = 1, jitter = 0})
      local res = retry.layer(session, r, function(s, q)
        return rate.layer(s, q, function()
          times[#times + 1] = math.floor(corun.now() - start + 0.5)
          return {status = 503, headers = {}}
        end)
      end)
      assert.equal(503, res.status)
      assert.same({0, 10, 20}, times)
    end)

    it("the limiters of hosts that have rested are forgotten", function()
      local policy = rate.read({1, 1})
      for i = 1, 20000 do
        rate.layer(session, request(policy, "host" .. i), corun.now)
        corun.sleep(0.01)
      end
      local n = 0
      for _ in pairs(policy.hosts) do n = n + 1 end
      assert.equal(policy.count, n)
      assert.is_true(n <= 1000)
    end)

    it("but none that still limits", function()
      local policy = rate.read({1, 1000})
      for i = 1, 5000 do rate.layer(session, request(policy, "host" .. i), corun.now) end
      local start = corun.now()
      rate.layer(session, request(policy, "host1"), corun.now)
      assert.is_true(math.abs(corun.now() - start - 1000) < 1)
    end)
  end)

  it("holds for a session, for redirects and retries too", function()
    local n = 0
    local server <close>, url = support.kept(function(head)
      n = n + 1
      if head:find("GET /a") then
        return "HTTP/1.1 302 X\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n"
      end
      return n < 4 and "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n" or support.ok("x")
    end)
    local s <close> = http.session({rate = {20, 1, burst = 1}, retries = {min = 0.001}})
    local start = corun.now()
    assert.equal("x", assert(s:get(url .. "/a")).body)
    assert.equal(4, n)
    assert.is_true(corun.now() - start >= 0.149)
    server:close()
  end)

  it("the end of the session ends who waits for a turn", function()
    local server <close>, url = support.kept(function() return support.ok("x") end)
    for _, value in ipairs({{1, 1000}, corun.limiter(1, 1000)}) do
      local s = http.session({rate = value})
      assert(s:get(url))
      corun.scope(function(scope)
        local waiting = support.blocked(scope, s.get, s, url .. "/x")
        local behind = support.blocked(scope, s.get, s, url .. "/y", {timeout = 1000})
        s:close()
        for _, t in ipairs({waiting, behind}) do
          local res, err = t:await()
          assert.is_nil(res)
          assert.equal("ECLOSED", err.code)
          assert.equal("wait", err.op)
        end
      end)
    end
    server:close()
  end)

  it("what is no such option is misuse, in the caller's line", function()
    for value, message in pairs({
      [{}] = "the number of limiter", [{1}] = "the period of limiter", [{0, 1}] = "the number",
      [{1, 1, brust = 1}] = 'option "rate" for session must be {n, seconds',
      [{1, 1, 1}] = 'option "rate"', [{"1", 1}] = 'option "rate"',
      [{1, 1, burst = 0.5}] = "a burst below 1",
      [corun.limiter(1, 1, {burst = 0.5})] = "a burst below 1",
      [{1, 1, burst = 0}] = "the burst of limiter", [3] = 'option "rate" for session must be',
    }) do
      local good, err = pcall(http.session, {rate = value})
      assert.is_false(good)
      assert.matches(message, err, 1, true)
      assert.matches("http_rate_spec.lua:%d+: ", err)
    end
    local good, err = pcall(http.get, "http://127.0.0.1:1/", {rate = {1, 1}})
    assert.is_false(good)
    assert.matches('unknown option "rate" for request', err, 1, true)
  end)
end)

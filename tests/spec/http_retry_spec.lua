-- SPDX-License-Identifier: MIT
-- Retries (S43): what is sent again, after which pauses; the layer on the virtual clock, and whole
-- requests to servers that fail in all ways.

local corun = require("corun")
local http = require("corun.http")
local retry = require("corun.http_retry")
local retry_after = require("corun.http_retry_after")
local support = require("tests.spec.support.http")
local tasks = require("tests.spec.support.tasks")

local ok, kept, raw = support.ok, support.kept, support.raw

local function answer(status, extra)
  return ("HTTP/1.1 %d X\r\n%scontent-length: 0\r\n\r\n"):format(status, extra or "")
end

describe("http retries", function()
  describe("the layer", function()
    before_each(tasks.virtual)

    -- Run a request whose tries have these outcomes (the last one again and again): a status, or a
    -- table {status, Retry-After, Date}, or an error. Answers the instants of the tries, and the
    -- result.
    local function run(option, outcomes, fields)
      local request = {retries = retry.read(option), method = "GET", idempotent = true}
      function request.rewind() return true end
      for k, v in pairs(fields or {}) do request[k] = v end
      local start, times = corun.now(), {}
      local session = {
        pool = {pause = function(_, seconds) corun.sleep(seconds) end}, counts = {retries = 0},
      }
      local res, err = retry.layer(session, request, function()
        times[#times + 1] = math.floor((corun.now() - start) * 1000 + 0.5) / 1000
        local outcome = outcomes[math.min(#times, #outcomes)]
        if type(outcome) == "number" then outcome = {outcome} end
        if outcome.code then return nil, outcome end
        local headers = {["retry-after"] = outcome[2], date = outcome[3]}
        return {status = outcome[1], headers = headers}
      end)
      return times, res, err
    end

    it("pauses as corun.backoff does: twice as long each time, up to max", function()
      local times, res = run({tries = 6, min = 1, max = 5, jitter = 0}, {503})
      assert.same({0, 1, 3, 7, 12, 17}, times)
      assert.equal(503, res.status)
      times = run({jitter = 0}, {503})
      assert.same({0, 0.5, 1.5, 3.5}, times)
      times = run({jitter = 0, factor = 1, min = 2, tries = 3}, {503})
      assert.same({0, 2, 4}, times)
      times = run({jitter = 0, max = 0.1, tries = 3}, {503})
      assert.same({0, 0.1, 0.2}, times)
    end)

    it("pauses are spread by jitter, so that clients do not come back together", function()
      local seen = {}
      for _ = 1, 50 do
        local times = run({tries = 2, min = 1}, {503})
        assert.is_true(times[2] >= 0.5 and times[2] <= 1)
        seen[times[2]] = true
      end
      local n = 0
      for _ in pairs(seen) do n = n + 1 end
      assert.is_true(n > 10)
    end)

    it("a number is so many retries of 429, 502, 503 and 504, until another answer", function()
      for status = 200, 599 do
        local again = status == 429 or status == 502 or status == 503 or status == 504
        local times, res = run(2, {status})
        assert.equal(again and 3 or 1, #times, status)
        assert.equal(status, res.status)
      end
      local times, res = run(5, {503, 429, 404})
      assert.equal(3, #times)
      assert.equal(404, res.status)
    end)

    it("no answer is tried again, a failure that will stay is not", function()
      for _, code in ipairs({"ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EPIPE", "EAI_AGAIN",
        "EHOSTUNREACH"}) do
        local times, res, err = run(2, {corun.err(code, "x", {retryable = true})})
        assert.equal(3, #times)
        assert.is_nil(res)
        assert.equal(code, err.code)
      end
      for _, code in ipairs({"EOF", "EURL", "ETLS", "EPROTO", "EMSGSIZE", "ECLOSED", "EREDIRECT",
        "EAI_NONAME"}) do
        assert.equal(1, #run(2, {corun.err(code, "x")}))
      end
    end)

    it("only idempotent methods, or those that are said", function()
      assert.equal(1, #run(3, {503}, {method = "POST", idempotent = false}))
      local o = {tries = 2, methods = {"POST"}}
      assert.equal(2, #run(o, {503}, {method = "POST", idempotent = false}))
      o.methods = {"post"}
      assert.equal(2, #run(o, {503}, {method = "POST", idempotent = false}))
      assert.equal(1, #run(o, {503}))
    end)

    it("never a body that cannot be sent again", function()
      local function used_up() return false end
      assert.equal(1, #run(3, {503}, {method = "PUT", rewind = used_up}))
      assert.equal(1, #run({methods = {"POST"}}, {503}, {method = "POST",
        rewind = used_up}))
    end)

    it("on= says other statuses", function()
      assert.equal(3, #run({tries = 3, on = {500}}, {500}))
      assert.equal(1, #run({tries = 3, on = {500}}, {503}))
      assert.equal(1, #run({tries = 3, on = {}}, {503}))
    end)

    it("Retry-After is heeded, but never comes sooner than the pause", function()
      assert.same({0, 7, 8}, (run({tries = 3, min = 0.5, jitter = 0}, {{429, "7"}, {429}, {200}})))
      assert.same({0, 0.5}, (run({tries = 2, jitter = 0}, {{429, "0"}})))
      local date = os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + 30)
      local times = run({tries = 2, jitter = 0}, {{503, date}})
      assert.is_true(times[2] >= 28 and times[2] <= 30, times[2])
      assert.same({0, 0.5}, (run({tries = 2, jitter = 0}, {{503, "soon"}})))
    end)

    it("a date in Retry-After counts by the server's clock, which may be another", function()
      local function date(seconds) return os.date("!%a, %d %b %Y %H:%M:%S GMT", seconds) end
      for _, skew in ipairs({-86400, 0, 86400}) do
        local now = os.time() + skew
        assert.same({0, 30}, (run({tries = 2, jitter = 0}, {{503, date(now + 30), date(now)}})))
      end
      local times = run({tries = 2, jitter = 0}, {{503, date(os.time() + 30), "today"}})
      assert.is_true(times[2] >= 28 and times[2] <= 30, times[2])
    end)

    it("a Retry-After that is longer than retry_after= is not waited for", function()
      local times, res = run(3, {{429, "61"}})
      assert.same({0}, times)
      assert.equal(429, res.status)
      assert.same({0, 60}, (run({tries = 2}, {{429, "60"}})))
      assert.same({0, 3600}, (run({tries = 2, retry_after = 3600}, {{429, "3600"}})))
      assert.same({0}, (run({retry_after = 1}, {{429, "2"}})))
      assert.same({0, 0.5}, (run({tries = 2, retry_after = false, jitter = 0}, {{429, "9"}})))
    end)

    it("nothing is waited for that the total has no time for", function()
      local times, res = run({tries = 9, min = 1, jitter = 0}, {503}, {deadline = corun.now() + 5})
      assert.same({0, 1, 3}, times)
      assert.equal(503, res.status)
      times = run(3, {{429, "7"}}, {deadline = corun.now() + 5})
      assert.same({0}, times)
    end)

    it("a deadline around it, and cancellation, end the pause", function()
      local before = corun.now()
      local _, err = corun.timeout(2, run, {min = 10, jitter = 0}, {503})
      assert.equal("ETIMEDOUT", err.code)
      assert.equal(2, math.floor(corun.now() - before + 0.5))
      local t = tasks.started(run, {min = 10}, {503})
      t:cancel()
      assert.equal("ECANCELED", select(2, t:await()).code)
    end)
  end)

  it("Retry-After is read as RFC 9110 has it", function()
    local now = 784111777 -- Sun, 06 Nov 1994 08:49:37 GMT
    for value, seconds in pairs({
      ["0"] = 0, ["120"] = 120, ["99999999999999999999999"] = 1 << 31,
      ["Sun, 06 Nov 1994 08:49:37 GMT"] = 0, ["Sun, 06 Nov 1994 08:50:37 GMT"] = 60,
      ["Sat, 05 Nov 1994 08:49:37 GMT"] = 0, ["Tue, 29 Feb 2000 00:00:00 GMT"] = 167670623,
    }) do
      assert.equal(seconds, retry_after(value, now), value)
    end
    assert.is_nil(retry_after(nil))
    for _, value in ipairs({"", "-1", "soon", "Sun, 06 Foo 1994 08:49:37 GMT", "0x10"}) do
      assert.is_nil(retry_after(value, now))
    end
  end)

  describe("S43 of whole requests", function()
    local QUICK = {tries = 4, min = 0.001}

    local function failing(times, fail)
      local n, heads = 0, {}
      local server, url = raw(function(stream)
        while true do
          local head = support.read_request(stream)
          if not head then return end
          n = n + 1
          heads[n] = head
          if n <= times then
            local bytes = fail(head)
            stream:write(bytes)
            if not bytes:find("\r\n\r\n$") then return end -- not whole
          elseif not stream:write(ok("at last")) then
            return
          end
        end
      end)
      return server, url, heads
    end

    it("the default is none", function()
      local server <close>, url, heads = failing(1, function() return answer(503) end)
      local s <close> = http.session()
      assert.equal(503, assert(s:get(url)).status)
      assert.equal(1, #heads)
      server:close()
    end)

    it("a status, no answer, half an answer: over until it is well", function()
      for _, bytes in ipairs({answer(503), answer(429, "retry-after: 0\r\n"), "",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"}) do
        local server <close>, url, heads = failing(2, function() return bytes end)
        local s <close> = http.session({retries = QUICK})
        assert.equal("at last", assert(s:get(url)).body)
        assert.equal(3, #heads)
        server:close()
      end
    end)

    it("the option of a request wins over that of its session", function()
      local server <close>, url, heads = failing(9, function() return answer(503) end)
      local s <close> = http.session({retries = QUICK})
      assert.equal(503, assert(s:get(url, {retries = 0})).status)
      assert.equal(1, #heads)
      local plain <close> = http.session()
      assert.equal(503, assert(plain:get(url, {retries = QUICK})).status)
      assert.equal(5, #heads)
      assert.equal(503, assert(s:get(url, {retries = false})).status)
      assert.equal(6, #heads)
      server:close()
    end)

    it("each try follows redirects anew, and check sees the last answer", function()
      local n = 0
      local server <close>, url = kept(function(head)
        if head:find("GET /a") then return answer(302, "location: /b\r\n") end
        n = n + 1
        return n < 3 and answer(503) or answer(404)
      end)
      local s <close> = http.session({retries = QUICK, check = true})
      local res, err = s:get(url .. "/a")
      assert.is_nil(res)
      assert.equal("EHTTP", err.code)
      assert.equal(404, err.status)
      assert.equal(url .. "/b", err.response.url)
      assert.equal(1, #err.response.history)
      assert.equal(3, n)
      server:close()
    end)

    it("a pause holds no connection", function()
      local first = true
      local server <close>, url = kept(function(head)
        if head:find("GET /busy") and first then
          first = false
          return answer(503, "retry-after: 1\r\n")
        end
        return ok("x")
      end)
      local s <close> = http.session({limit = 1, retries = 1})
      corun.scope(function(scope)
        local t = support.blocked(scope, s.get, s, url .. "/busy")
        support.eventually("in its pause", function() return not first and s.pool.active == 0 end)
        assert.equal(200, assert(s:get(url .. "/other")).status)
        assert.equal("waiting", t:status())
        assert.equal(200, t:await().status)
      end)
      server:close()
    end)

    it("the end of the session ends a pause", function()
      local server <close>, url, heads = failing(9, function() return answer(503) end)
      local s <close> = http.session({retries = {min = 100, max = 100}})
      corun.scope(function(scope)
        local t = scope:async(s.get, s, url)
        support.eventually("in its pause", function() return #heads == 1 and s.pool.active == 0 end)
        s:close()
        local res, err = t:await()
        assert.is_nil(res)
        assert.equal("ECLOSED", err.code)
      end)
      assert.equal(1, #heads)
      server:close()
    end)

    it("a body of a function is sent once, unless nothing of it was sent", function()
      local n = 0
      local server <close>, url = raw(function(stream)
        while support.read_request(stream) do
          n = n + 1
          stream:write(answer(503))
        end
      end)
      local asked = 0
      local function body()
        asked = asked + 1
        return asked == 1 and "x" or nil
      end
      local s <close> = http.session({retries = QUICK})
      assert.equal(503, assert(s:put(url, {body = body})).status)
      assert.equal(1, n)
      asked = 0
      local before = corun.now()
      local _, err = s:put("http://127.0.0.1:" .. support.free_port(),
        {body = body, retries = {tries = 3, min = 0.02, jitter = 0}})
      assert.equal("ECONNREFUSED", err.code)
      assert.equal(0, asked)
      assert.is_true(corun.now() - before >= 0.059)
      server:close()
    end)

    it("with stream = true only the last answer is streamed", function()
      local server <close>, url, heads = failing(2, function() return answer(503) end)
      local s <close> = http.session({retries = QUICK, limit = 1})
      local res <close> = assert(s:get(url, {stream = true}))
      assert.equal("at last", res:read("a"))
      assert.equal(3, #heads)
      assert.equal(0, s.pool.active)
      server:close()
    end)

    it("a total bounds all tries", function()
      local server <close>, url = kept(function()
        corun.sleep(0.03)
        return answer(503)
      end)
      local s <close> = http.session({retries = {tries = 1000, min = 0.001}})
      local before = corun.now()
      local res, err = s:get(url, {timeout = {total = 0.2}})
      assert.is_true(res and res.status == 503 or err.code == "ETIMEDOUT")
      assert.is_true(corun.now() - before < 2)
      server:close()
    end)
  end)

  it("what is no such option is misuse, in the caller's line", function()
    for value, message in pairs({
      [math.huge] = "got inf",
      [-1] = 'option "retries" must be an integer, 0 or more, got -1', [0.5] = "got 0.5",
      [{tries = 0}] = 'option "tries" for retries', [{trys = 1}] = 'did you mean "tries"',
      [{on = {99}}] = "a list of statuses, got 99",
      [{on = {"503"}}] = 'a list of statuses, got "503"',
      [{methods = {"A B"}}] = 'a list of methods, got "A B"', [{factor = 0}] = 'option "factor"',
      [{jitter = 2}] = 'option "jitter"', [{min = 5, max = 1}] = 'option "max"',
      ["3"] = 'option "retries" for request must be',
    }) do
      local good, err = pcall(http.get, "http://127.0.0.1:1/", {retries = value})
      assert.is_false(good)
      assert.matches(message, err, 1, true)
      assert.matches("http_retry_spec.lua:%d+: ", err)
    end
    assert.has_error(function() http.session({retries = -1}) end)
  end)
end)

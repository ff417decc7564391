-- SPDX-License-Identifier: MIT
-- The hooks of a session: what they see, what they may change, and what becomes of their failures.

local corun = require("corun")
local http = require("corun.http")
local support = require("tests.spec.support.http")

local kept, ok = support.kept, support.ok

local function echo()
  local seen = {}
  local server, url = kept(function(head, body)
    seen[#seen + 1] = head .. body
    return ok(head .. body)
  end)
  return server, url, seen
end

describe("http hooks", function()
  it("on_request sees what will be sent", function()
    local server <close>, url = echo()
    local seen
    local s <close> = http.session({base = url .. "/v1", headers = {["X-Key"] = "k"},
      query = {page = 1}, on_request = function(req) seen = req end})
    assert(s:post("/x", {json = {1}, headers = {["X-Two"] = {"a", "b"}}}))
    assert.equal("POST", seen.method)
    assert.equal(url .. "/v1/x?page=1", seen.url)
    assert.equal("[1]", seen.body)
    assert.equal("k", seen.headers["X-Key"])
    assert.equal("k", seen.headers["x-key"])
    assert.equal("a, b", seen.headers["x-two"])
    assert.equal("application/json", seen.headers["Content-Type"])
    assert.equal("corun", seen.headers["User-Agent"])
    assert.equal(server:address(), seen.headers.host)
    assert.is_nil(seen.headers[1])
    server:close()
  end)

  it("without a change exactly the same is sent", function()
    local server <close>, url, seen = echo()
    local s <close> = http.session({headers = {["X-A"] = "1"}})
    local hooked <close> = http.session({headers = {["X-A"] = "1"}, on_request = function() end})
    for _, method in ipairs({"GET", "HEAD", "POST", "DELETE"}) do
      local o = {headers = {["X-List"] = {"a", "b"}}, body = method == "POST" and "b" or nil}
      s:request(method, url .. "/x", o)
      hooked:request(method, url .. "/x", o)
      assert.equal(seen[#seen - 1], seen[#seen])
    end
    server:close()
  end)

  it("on_request may change method, URL, headers and body", function()
    local server <close>, url = echo()
    local change
    local s <close> = http.session({on_request = function(req) change(req) end})
    local function sent(o)
      return assert(s:get(url .. "/x", o)).body
    end
    function change(req)
      req.headers["X-Sign"] = "signed " .. req.url:match("/%a+$")
      req.headers["user-agent"] = nil
      req.headers["ACCEPT"] = "text/plain"
      req.headers["X-List"] = {"1", "2"}
      req.headers["X-Old"] = nil
    end
    local body = sent({headers = {["x-old"] = "1"}})
    assert.matches("\r\nx-sign: signed /x\r\n", body, 1, true)
    assert.matches("\r\nuser-agent: corun\r\n", body, 1, true)
    assert.matches("\r\naccept: text/plain\r\n", body, 1, true)
    assert.not_matches("*/*", body, 1, true)
    assert.matches("\r\nx-list: 1\r\nx-list: 2\r\n", body, 1, true)
    assert.not_matches("x-old", body, 1, true)
    function change(req)
      req.method, req.body, req.url = "PUT", "new", req.url .. "y?z"
      req.headers = {["X-Only"] = "1"}
    end
    body = sent({headers = {["x-old"] = "1"}})
    assert.matches("^PUT /xy%?z HTTP/1.1\r\n", body)
    assert.matches("\r\ncontent-length: 3\r\n\r\nnew", body, 1, true)
    assert.matches("\r\nX-Only: 1\r\n", body, 1, true)
    assert.not_matches("x-old", body, 1, true)
    function change(req) req.method = "POST" end
    assert.matches("^POST /x HTTP/1.1\r\n.*\r\ncontent%-length: 0\r\n", sent())
    server:close()
  end)

  it("a request to the same URL is not changed for others", function()
    local server <close>, url = echo()
    local n = 0
    local s <close> = http.session({on_request = function(req)
      n = n + 1
      if n == 1 then req.headers["X-Once"] = "1" end
    end})
    assert.matches("x-once", assert(s:get(url)).body, 1, true)
    assert.not_matches("x-once", assert(s:get(url)).body, 1, true)
    server:close()
  end)

  it("S43 a URL of another origin gets nothing of the base's", function()
    local server <close>, url = echo()
    local other <close>, other_url = echo()
    local s <close> = http.session({base = url, headers = {["X-Key"] = "k"},
      on_request = function(req) req.url = other_url .. "/there" end})
    local res = assert(s:get("/here"))
    assert.equal(other_url .. "/there", res.url)
    assert.not_matches("X-Key", res.body, 1, true)
    server:close()
    other:close()
  end)

  it("another origin does not get the auth of a session with a base", function()
    local server <close>, url = echo()
    local other <close>, other_url, seen = echo()
    local s <close> = http.session({base = url, auth = "token",
      on_request = function(req) req.url = other_url .. "/there" end})
    assert(s:get("/x"))
    assert.equal(1, #seen)
    assert.is_nil(seen[1]:lower():find("authorization", 1, true))
    server:close()
    other:close()
  end)

  it("on_response sees the answer, once, after redirects and retries, before check", function()
    local n, calls = 0, {}
    local server <close>, url = kept(function(head)
      n = n + 1
      if head:find("GET /a") then
        return "HTTP/1.1 302 X\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n"
      end
      return n == 2 and "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"
        or "HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n"
    end)
    local s <close> = http.session({retries = {min = 0.001}, check = true,
      on_request = function(req) req.started = corun.now() end,
      on_response = function(res, req)
        calls[#calls + 1] = ("%d %s %s"):format(res.status, res.url, req.url)
        assert.is_true(req.started <= corun.now())
        return "ignored"
      end})
    local res, err = s:get(url .. "/a")
    assert.is_nil(res)
    assert.equal(404, err.status)
    assert.same({("404 %s/b %s/a"):format(url, url)}, calls)
    server:close()
  end)

  it("on_response is not called for a failure", function()
    local s <close> = http.session({on_response = error})
    local _, err = s:get("http://127.0.0.1:" .. support.free_port())
    assert.equal("ECONNREFUSED", err.code)
  end)

  it("nil, err of a hook is the outcome, and nothing is sent", function()
    local server <close>, url, seen = echo()
    local why = corun.err("EQUOTA", "no more today")
    local s <close> = http.session({on_request = function() return nil, why end})
    local res, err = s:get(url)
    assert.is_nil(res)
    assert.equal(why, err)
    assert.equal(0, #seen)
    local t <close> = http.session({on_response = function() return nil, why end})
    res, err = t:get(url, {stream = true})
    assert.is_nil(res)
    assert.equal(why, err)
    assert.equal(0, t.pool.active)
    server:close()
  end)

  it("what a hook raises is raised, and holds no connection", function()
    local server <close>, url = echo()
    local s <close> = http.session({on_request = function() error("no", 0) end})
    assert.has_error(function() s:get(url) end, "no")
    local t <close> = http.session({on_response = function() error("no", 0) end})
    assert.has_error(function() t:get(url, {stream = true}) end, "no")
    assert.equal(0, t.pool.active)
    server:close()
  end)

  it("hooks may wait; the total goes on, and cancellation ends them", function()
    local server <close>, url = echo()
    local seconds = 0.02
    local s <close> = http.session({
      on_request = function() corun.sleep(seconds) end,
      on_response = function() corun.sleep(0.01) end,
    })
    local before = corun.now()
    assert.equal(200, assert(s:get(url)).status)
    assert.is_true(corun.now() - before >= 0.03)
    seconds = 0.05
    local _, err = s:get(url, {timeout = 0.03})
    assert.equal("ETIMEDOUT", err.code)
    seconds = 60
    _, err = corun.timeout(0.02, s.get, s, url)
    assert.equal("ETIMEDOUT", err.code)
    server:close()
  end)

  it("what a hook leaves must be a request", function()
    local change
    local s <close> = http.session({on_request = function(req) change(req) end})
    for message, fn in pairs({
      ["the method must be a token"] = function(req) req.method = "G T" end,
      ["on_request must leave a URL"] = function(req) req.url = nil end,
      ["headers that are a table"] = function(req) req.headers = nil end,
      ["the body must be a string here, got table"] = function(req) req.body = {} end,
      ["is set by corun itself"] = function(req) req.headers["Content-Length"] = "1" end,
      ["bad header name"] = function(req) req.headers["a b"] = "1" end,
      ["has a control character"] = function(req) req.headers["X"] = "a\r\nb: c" end,
    }) do
      change = fn
      local good, err = pcall(s.get, s, "http://127.0.0.1:1/")
      assert.is_false(good)
      assert.matches(message, err, 1, true)
      assert.matches("http_hooks_spec.lua:%d+: ", err)
    end
    function change(req) req.url = "ftp://h/" end
    local _, err = s:get("http://127.0.0.1:1/")
    assert.equal("EURL", err.code)
  end)
end)

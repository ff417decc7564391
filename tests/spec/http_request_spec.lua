-- SPDX-License-Identifier: MIT
-- What of a request is written in a form of its own: methods, numbers, headers that are left out;
-- and what its failures tell.

local http = require("corun.http")
local support = require("tests.spec.support.http")

local ok, kept = support.ok, support.kept

-- A server that answers with its request's head.
local function echo()
  return kept(function(head)
    local refused = head:match("^HEAD") and "" or head
    return ok(refused)
  end)
end

describe("http requests", function()
  it("methods that everybody has are sent in capitals, others as they are", function()
    local server <close>, url = echo()
    local s <close> = http.session({on_request = function(req)
      if req.url:find("hook") then req.method = "put" end
    end})
    for method, sent in pairs({get = "GET", Post = "POST", options = "OPTIONS", trace = "TRACE",
        purge = "purge", PURGE = "PURGE"}) do
      assert.equal(sent, assert(s:request(method, url)).body:match("^%S+"))
    end
    assert.matches("\r\ncontent-length: 0\r\n", assert(s:request("post", url)).body, 1, true)
    assert.equal("", assert(s:request("head", url)).body)
    assert.equal("PUT", assert(s:get(url .. "/hook")).body:match("^%S+"))
    server:close()
  end)

  it("numbers are sent exactly", function()
    local server <close>, url = echo()
    local s <close> = http.session()
    local values = {[1] = "1", [2.5] = "2.5", [0.1] = "0.1", [1e100] = "1e+100",
      [2.0 ^ 53] = "9007199254740992", [1 / 3] = "0.33333333333333331",
      [math.maxinteger] = "9223372036854775807"}
    for value, text in pairs(values) do
      local head = assert(s:get(url, {query = {v = value}, headers = {["x-v"] = value}})).body
      assert.equal(text, (head:match("%?v=(%S+)"):gsub("%%2B", "+")))
      assert.equal(text, head:match("x%-v: ([^\r]+)"))
    end
    server:close()
  end)

  it("a header that is false is not sent, be it the session's or corun's own", function()
    local server <close>, url = echo()
    local s <close> = http.session({headers = {["X-A"] = "1", ["X-B"] = "2"}})
    local head = assert(s:get(url, {headers = {["x-a"] = false, ["User-Agent"] = false,
      ["x-b"] = {}}})).body
    assert.matches("^GET / HTTP/1.1\r\nhost: [^\r]+\r\naccept: [^\r]+\r\naccept%-encoding: [^\r]+"
      .. "\r\n\r\n$", head)
    head = assert(s:get(url)).body
    assert.matches("X-A: 1", head, 1, true)
    local hooked <close> = http.session({headers = {["X-A"] = false}, on_request = function(req)
      assert(req.headers["X-A"] == nil)
      req.headers.accept = false
    end})
    head = assert(hooked:get(url)).body
    assert.not_matches("accept:", head, 1, true)
    server:close()
  end)

  it("the query of a session and of a request join in all their forms", function()
    local server <close>, url = echo()
    for _, common in ipairs({{k = 1, x = 1}, {{"k", 1}, {"x", 1}}}) do
      for _, own in ipairs({{x = 2}, {{"x", 2}}}) do
        local s <close> = http.session({query = common})
        assert.matches("^GET /%?k=1&x=2 ", assert(s:get(url, {query = own})).body)
      end
    end
    local s <close> = http.session({query = "k=1&x=1"})
    assert.matches("^GET /%?k=1&x=1&x=2 ", assert(s:get(url, {query = {x = 2}})).body)
    server:close()
  end)

  it("getjson tells the answer whose body is no JSON", function()
    local server <close>, url = kept(function(head)
      return ("HTTP/1.1 %s X\r\ncontent-length: 6\r\n\r\n<html>"):format(head:match("/(%d+)"))
    end)
    local s <close> = http.session()
    for status, message in pairs({[200] = "expected a value at byte 1",
        [503] = "the server answered 503, and not in JSON: expected a value at byte 1"}) do
      local value, err = s:getjson(url .. "/" .. status)
      assert.is_nil(value)
      assert.equal("EJSON", err.code)
      assert.equal(status, err.status)
      assert.equal("<html>", err.response.body)
      assert.equal(message, err.message)
    end
    server:close()
  end)

  it("an error about a limit says which", function()
    local server <close>, url = kept(function() return ok("12345") end)
    local s <close> = http.session()
    local res, err = s:get(url, {max_body = 4})
    assert.is_nil(res)
    assert.equal("the body is over the limit of 4 bytes", err.message)
    server:close()
  end)
end)

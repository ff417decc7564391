-- SPDX-License-Identifier: MIT
-- What scripts get wrong when they call the client: each is answered in their own line.

local http = require("corun.http")
local support = require("tests.spec.support.http")

local ok, kept = support.ok, support.kept

local function raises(message, fn, ...)
  local good, err = pcall(fn, ...)
  assert.is_false(good)
  assert.matches(message, tostring(err), 1, true)
  assert.matches("http_misuse_spec%.lua:%d+: ", tostring(err))
end

describe("http misuse", function()
  it("methods that are called without their object", function()
    local server <close>, url = kept(function() return ok("{}") end)
    local s <close> = http.session()
    for _, name in ipairs({"get", "head", "post", "put", "patch", "delete", "getjson", "paginate",
        "events", "stats", "close"}) do
      local message = ("calling '%s' on bad self (http session expected, got "):format(name)
      raises(message .. "nil)", function() s[name]() end)
      raises(message .. "string)", function() s[name](url) end)
    end
    raises("calling 'request' on bad self", function() s.request("GET", url) end)
    local res = assert(s:get(url))
    raises("calling 'json' on bad self", function() res.json() end)
    raises("calling 'text' on bad self", function() res.text() end)
    local streamed <close> = assert(s:get(url, {stream = true}))
    for _, name in ipairs({"read", "recv", "read_exactly", "read_until", "lines", "json", "text",
        "close"}) do
      raises(("calling '%s' on bad self (http response expected, got nil)"):format(name),
        function() streamed[name]() end)
    end
    server:close()
  end)

  it("headers and queries of a session, where it is made", function()
    raises("bad header name", http.session, {headers = {["a b"] = "x"}})
    raises("is set by corun itself", http.session, {headers = {["content-length"] = 1}})
    raises('the value of header "a"', http.session, {headers = {a = true}})
    raises("in two spellings", http.session, {headers = {a = 1, A = 2}})
    raises('query value "a"', http.session, {query = {a = print}})
    raises("a control character in the query", http.session, {query = "a\n"})
  end)

  it("what a session is set to later, where it is used", function()
    local server <close>, url = kept(function() return ok("x") end)
    local s <close> = http.session({base = url})
    for _, headers in ipairs({"x", 5, true}) do
      s.headers = headers
      raises("the headers must be a table", function() s:get("/") end)
      raises("the headers must be a table", function() s:get("/", {timeout = 5}) end)
    end
    s.headers = nil
    assert.equal("x", assert(s:get("/")).body)
    for base, message in pairs({
      [5] = "must be a string, got number", [false] = "must be a string, got boolean",
      ["/v1"] = "not an absolute URL", ["http://h/?q"] = "no query and no fragment",
      ["http://u:p@h/"] = "no user and password",
    }) do
      s.base = base
      raises('option "base" for session', function() s:get("/") end)
      raises(message, function() s:get(url) end)
    end
    server:close()
  end)

  it("sessions made with one table of options have headers of their own", function()
    local headers = {["X-A"] = "1"}
    local one <close> = http.session({headers = headers})
    local two <close> = http.session({headers = headers})
    one.headers.Authorization = "secret"
    assert.is_nil(two.headers.Authorization)
    assert.same({["X-A"] = "1"}, headers)
  end)

  it("a body, credentials and retries in another form say which are known", function()
    local url = "http://127.0.0.1:1/"
    raises('option "auth" must be {user, password} or a token', http.get, url,
      {auth = {user = "u", password = "p"}})
    raises('option "auth" must be {user, password} or a token', http.get, url,
      {auth = {"a", "b", "c"}})
    raises('a "body" that is a table must be {path=}', http.post, url, {body = {name = "x"}})
    raises('a list of statuses, got "503"', http.get, url, {retries = {on = {"503"}}})
    raises('multipart field "a" must be a list', http.post, url,
      {multipart = {a = {"x", path = "y"}}})
    raises("a multipart form of pairs must be a list", http.post, url,
      {multipart = {{"a", "x"}, b = "y"}})
    raises('multipart field "a" must be finite, got inf', http.post, url, {multipart = {a = 1 / 0}})
    raises('query value "a" must be finite, got NaN', http.get, url, {query = {a = 0 / 0}})
  end)
end)

-- SPDX-License-Identifier: MIT
-- RFC 9111 for a private cache: what is kept, for how long it is fresh, when it may be used again.
local cache_control = require "corun.http_cache_control"
local date = require "corun.http_date"

local NOW = 1700000000

-- A response to a request that took no time.
local function response(headers, status)
  if headers.date == nil then headers.date = date.format(NOW) end
  return {status = status or 200, headers = headers, sent = NOW, received = NOW}
end

local function request(headers, method)
  return {method = method or "GET", headers = headers or {}}
end

-- As in `response`, of one Cache-Control.
local function with(directives, more)
  local headers = {["cache-control"] = directives}
  for name, value in pairs(more or {}) do headers[name] = value end
  return response(headers)
end

describe("http_cache_control.parse", function()
  it("finds directives, values, quotes; the first of each", function()
    local cases = {
      {nil, {}}, {"", {}}, {"no-store", {["no-store"] = true}},
      {"Max-Age=10 , PUBLIC,foo=Bar", {["max-age"] = "10", public = true, foo = "Bar"}},
      {'a="x, \\"y\\"", b', {a = 'x, "y"', b = true}}, {"a=1,a=2,b,b=1", {a = "1", b = true}},
      {",, a ,,", {a = true}}, {"a = 1", {a = "1"}}, {"a=", {a = ""}}, {'a=""', {a = ""}},
      {"=1, b", {b = true}}, {'"q", b', {b = true}}, {'a="x, b', {}}, {'b, a="x\\', {b = true}},
      {"a x, b", {a = true, b = true}}, {'a="1"x=2, b', {a = "1", b = true}}, {"a=1 2,b", {a = "1",
        b = true}},
    }
    for i = 1, #cases do
      assert.same(cases[i][2], cache_control.parse(cases[i][1]), cases[i][1])
    end
    assert.same({}, cache_control.parse((","):rep(100000)))
    assert.same({}, cache_control.parse(("="):rep(100000)))
  end)
end)

describe("http_cache_control.lifetime", function()
  it("is max-age, else Expires, else a tenth of the time since the last change", function()
    local cases = {
      {response{["cache-control"] = "max-age=60", expires = date.format(NOW + 5)}, 60},
      {response{["cache-control"] = 'max-age="60"'}, 60},
      {response{["cache-control"] = "s-maxage=10, max-age=60"}, 60},
      {response{["cache-control"] = "s-maxage=10"}, 0},
      {response{["cache-control"] = "max-age=60, max-age=5"}, 60},
      {response{["cache-control"] = "max-age=x", expires = date.format(NOW + 5)}, 0},
      {response{["cache-control"] = "max-age=-1"}, 0}, {response{["cache-control"] = "max-age"}, 0},
      {response{["cache-control"] = "max-age=" .. ("9"):rep(50)}, 1 << 31},
      {response{["cache-control"] = {"public", "max-age=7"}}, 7},
      {response{expires = date.format(NOW + 80)}, 80},
      {response{expires = date.format(NOW - 1)}, 0},
      {response{expires = "0", ["last-modified"] = date.format(NOW - 1000)}, 0},
      {response{expires = date.format(NOW + 80), date = date.format(NOW + 30)}, 50},
      {response{expires = date.format(NOW + 80), date = "?"}, 80},
      {response{["last-modified"] = date.format(NOW - 1000)}, 100.0},
      {response{["last-modified"] = date.format(NOW + 1000)}, 0},
      {response({["last-modified"] = date.format(NOW - 1000)}, 302), 0},
      {response({["last-modified"] = date.format(NOW - 1000), ["cache-control"] = "public"}, 302),
        100.0},
      {response{["last-modified"] = "?"}, 0}, {response{}, 0},
    }
    for i, c in ipairs(cases) do assert.equal(c[2], cache_control.lifetime(c[1]), i) end
  end)
end)

describe("http_cache_control.is_storable", function()
  it("keeps what may be kept and can be of use", function()
    local etag = {etag = '"x"'}
    local cases = {
      {true, request(), with("max-age=60")}, {true, request(), response(etag)},
      {true, request(), with("no-cache", etag)}, {true, request(), with("private, max-age=1")},
      {true, request(), response({etag = '"x"'}, 404)},
      {true, request(), response({expires = date.format(NOW + 9)}, 302)},
      {true, request(), with("no-store, must-understand, max-age=5")},
      {true, request({authorization = "x"}), with("max-age=60")},
      {false, request(), response{}}, {false, request(), with("max-age=0")},
      {false, request(), with("no-cache")}, {false, request(), with("no-store", etag)},
      {false, request{["cache-control"] = "no-store"}, with("max-age=60")},
      {false, request({}, "POST"), with("max-age=60")},
      {false, request({}, "HEAD"), with("max-age=60")},
      {false, request{range = "bytes=0-1"}, with("max-age=60")},
      {false, request(), response({["cache-control"] = "max-age=60"}, 206)},
      {false, request(), response({["cache-control"] = "max-age=60"}, 503)},
      {false, request(), response({["cache-control"] = "max-age=60"}, 429)},
      {false, request(), response({etag = '"x"'}, 302)},
      {false, request(), with("max-age=60", {vary = "*"})},
      {false, request(), with("max-age=60", {vary = "accept, *"})},
    }
    for i, c in ipairs(cases) do
      assert.equal(c[1], cache_control.is_storable(c[2], c[3]), i)
    end
    assert.is_true(cache_control.is_storable(request(), -- also before it is stored
      {status = 200, headers = {expires = date.format(os.time() + 100)}}))
  end)
end)

describe("http_cache_control.age", function()
  it("counts Age, the way, the clock of the server and the time since", function()
    local cases = {
      {{}, 0, 0, 0}, {{}, 0, 10, 10}, {{age = "5"}, 0, 10, 15}, {{age = "5"}, 3, 10, 18},
      {{date = date.format(NOW - 20)}, 0, 1, 21}, {{date = date.format(NOW + 20)}, 0, 1, 1},
      {{date = date.format(NOW - 20), age = "5"}, 3, 1, 21}, {{age = "x"}, 0, 1, 1},
      {{age = "7, 9"}, 0, 0, 7}, {{}, 0, -5, 0}, {{date = "?"}, 0, 2, 2},
    }
    for i, c in ipairs(cases) do
      local stored = response(c[1])
      stored.sent = NOW - c[2]
      assert.equal(c[4], cache_control.age(stored, NOW + c[3]), i)
    end
  end)
end)

describe("http_cache_control.may_reuse", function()
  it("uses what is fresh, and what is stale when the request allows it", function()
    local cases = {
      -- the response's directives, the request's, the age, whether
      {"max-age=60", nil, 59, true}, {"max-age=60", nil, 60, false}, {"max-age=60", nil, 61, false},
      {"max-age=60, no-cache", nil, 1, false}, {'max-age=60, no-cache="x"', nil, 1, false},
      {"max-age=60, must-revalidate", nil, 1, true},
      {"max-age=60", "no-cache", 1, false}, {"max-age=60", "max-age=30", 30, true},
      {"max-age=60", "max-age=30", 31, false}, {"max-age=60", "max-age=0", 0, true},
      {"max-age=60", "max-age=0", 1, false}, {"max-age=60", "min-fresh=20", 40, true},
      {"max-age=60", "min-fresh=20", 41, false}, {"max-age=60", "max-stale", 1000, true},
      {"max-age=60", "max-stale=10", 70, true}, {"max-age=60", "max-stale=10", 71, false},
      {"max-age=60", "max-stale=x", 61, false},
      {"max-age=60, must-revalidate", "max-stale", 61, false},
      {"max-age=60, proxy-revalidate", "max-stale", 61, true},
      {"no-cache", "max-stale", 0, false}, {"max-age=60", "max-age=30, max-stale", 31, false},
    }
    for i, c in ipairs(cases) do
      local asked = request{["cache-control"] = c[2]}
      assert.equal(c[4], cache_control.may_reuse(asked, with(c[1]), NOW + c[3]), i)
    end
    local stored = with("max-age=60")
    assert.is_false(cache_control.may_reuse(request{pragma = "No-Cache"}, stored, NOW))
    assert.is_true(cache_control.may_reuse(
      request{pragma = "no-cache", ["cache-control"] = "max-age=5"}, stored, NOW))
  end)
end)

describe("http_cache_control.may_excuse", function()
  it("lets what is stale stand in for a failure for as long as one side says", function()
    local cases = {
      -- the response's directives, the request's, the age, whether
      {"max-age=60", nil, 61, false}, {"max-age=60", "stale-if-error=5", 65, true},
      {"max-age=60, stale-if-error=10", nil, 70, true},
      {"max-age=60, stale-if-error=10", nil, 71, false},
      {"max-age=60, stale-if-error=10", "stale-if-error=0", 65, false},
      {"max-age=60, stale-if-error", nil, 60, true}, {"max-age=60, stale-if-error", nil, 61, false},
      {"max-age=60, stale-if-error=x", nil, 61, false},
      {"max-age=60, stale-if-error=10, must-revalidate", nil, 61, false},
      {"max-age=60, stale-if-error=10, no-cache", nil, 61, false},
      {"max-age=60, stale-if-error=10", "no-cache", 61, false},
    }
    for i, c in ipairs(cases) do
      local asked = request{["cache-control"] = c[2]}
      assert.equal(c[4], cache_control.may_excuse(asked, with(c[1]), NOW + c[3]), i)
    end
  end)
end)

describe("http_cache_control", function()
  it("asks with what the server gave to ask with", function()
    assert.same({}, cache_control.validators(response{}))
    assert.same({["if-none-match"] = 'W/"x"', ["if-modified-since"] = date.format(NOW)},
      cache_control.validators(response{etag = 'W/"x"', ["last-modified"] = date.format(NOW)}))
  end)

  it("makes a key of what Vary names", function()
    local function key(headers, vary) return cache_control.vary_key(request(headers), vary) end
    assert.equal("", key({accept = "x"}, nil))
    assert.equal("", key({accept = "x"}, ""))
    assert.is_nil(key({}, "Accept, *"))
    local both = key({accept = "x", ["accept-language"] = "de"}, "Accept, Accept-Language")
    assert.equal(both, key({accept = "x", ["accept-language"] = "de"},
      "accept-language,ACCEPT,accept"))
    local keys = {}
    for _, headers in ipairs{{}, {accept = ""}, {accept = "x"}, {["accept-language"] = "x"},
      {accept = 'x"\naccept-language: "y'}, {accept = "x", ["accept-language"] = "y"}} do
      local k = key(headers, "Accept, Accept-Language")
      assert.is_nil(keys[k])
      keys[k] = true
    end
    assert.equal(key({accept = "a, b"}, "accept"), key({accept = "a ,b"}, "accept"))
    assert.equal(key({accept = "a, b"}, "accept"), key({accept = {"a", "b"}}, "accept"))
  end)

  it("keeps no header of the connection", function()
    local cookies = {"a=1", "b=2"}
    assert.same({etag = "x", ["set-cookie"] = cookies}, cache_control.stored_headers{
      etag = "x", ["set-cookie"] = cookies, connection = "Keep-Alive, X-Own", ["x-own"] = "1",
      ["keep-alive"] = "5", ["transfer-encoding"] = "chunked", upgrade = "h2c", trailer = "x"})
  end)

  it("updates headers by a 304, but for those of the body", function()
    local old = {etag = '"1"', ["cache-control"] = "max-age=5", ["content-type"] = "text/plain",
      ["content-length"] = "10", ["content-encoding"] = "gzip", age = "9", date = "then", x = "1"}
    local new = cache_control.updated_headers(old, {etag = '"1"', date = "now",
      ["cache-control"] = "max-age=50", ["content-type"] = "text/html", ["content-length"] = "0",
      ["content-encoding"] = "br", connection = "close"})
    assert.same({etag = '"1"', ["cache-control"] = "max-age=50", ["content-type"] = "text/plain",
      ["content-length"] = "10", ["content-encoding"] = "gzip", date = "now", x = "1"}, new)
    assert.equal("max-age=5", old["cache-control"])
    assert.is_nil(cache_control.updated_headers(old, {}).date)
  end)

  it("forgets what an unsafe method has changed", function()
    local function invalidates(method, status)
      return cache_control.invalidates(request({}, method), response({}, status))
    end
    assert.is_true(invalidates("POST", 200))
    assert.is_true(invalidates("DELETE", 204))
    assert.is_true(invalidates("PUT", 303))
    assert.is_true(invalidates("FROB", 200))
    assert.is_false(invalidates("POST", 404))
    assert.is_false(invalidates("GET", 200))
    assert.is_false(invalidates("HEAD", 200))
  end)
end)

-- SPDX-License-Identifier: MIT
-- The option cache: what is answered without the server, what asks it again, what is forgotten. The
-- rules of freshness are those of http_cache_control_spec.lua, the stores have
-- http_cache_store_spec.
local corun = require("corun")
local date = require("corun.http_date")
local fs = require("corun.fs")
local http = require("corun.http")
local support = require("tests.spec.support.http")

local kept, ok = support.kept, support.ok

local NOW = 1700000000

-- A cache whose clock stands, until the test moves it.
local function stopped(o)
  local cache = http.cache(o)
  local clock = {at = NOW}
  cache.now = function() return clock.at end
  return cache, clock
end

local function lines(t)
  local out = {}
  for name, value in pairs(t) do out[#out + 1] = ("%s: %s\r\n"):format(name, value) end
  return table.concat(out)
end

-- The answer to a request: a body with these headers and the time.
local function answer(body, headers, clock)
  return ok(body, "date: " .. date.format(clock.at) .. "\r\n" .. lines(headers))
end

-- A server that counts, with what asks it: `respond(head, n, body)` gives the n-th answer.
local function serving(respond, o)
  local w = {asked = 0, heads = {}}
  w.cache, w.clock = stopped()
  local server, url = kept(function(head, body)
    w.asked = w.asked + 1
    w.heads[w.asked] = head
    return respond(head, w.asked, body, w)
  end)
  o = o or {}
  o.base, o.cache = url, w.cache
  w.session, w.url = http.session(o), url
  function w.get(target, options) return assert(w.session:get(target, options)) end
  return setmetatable(w, {__close = function()
    w.session:close()
    server:close()
  end})
end

-- The same answer to all, numbered.
local function always(headers, o)
  return serving(function(_, n, _, w) return answer("body " .. n, headers, w.clock) end, o)
end

local function ask_with(directives)
  return {headers = {["cache-control"] = directives}}
end

describe("http cache", function()
  it("answers what is fresh, and says how old it is", function()
    local w <close> = always{["cache-control"] = "max-age=60", ["x-y"] = "1", age = "5"}
    local first = w.get("/a")
    assert.equal("miss", first.cache)
    w.clock.at = NOW + 10
    local second = w.get("/a")
    assert.equal("hit", second.cache)
    assert.equal(first.body, second.body)
    assert.same({200, true, "1", "15"}, {second.status, second.ok, second.headers["X-Y"],
      second.headers.age})
    assert.equal(first.url, second.url)
    assert.equal(0, second.times.connect)
    assert.is_true(second.times.total >= 0)
    assert.equal("body 2", w.get("/b").body)
    assert.equal("body 3", w.get("/a?q").body)
    w.clock.at = NOW + 55
    assert.equal("miss", w.get("/a").cache)
    assert.equal(4, w.asked)
    assert.same({hit = 1, miss = 4, revalidated = 0, stale = 0}, w.session:stats().cache)
    assert.equal(4, w.session:stats().requests)
  end)

  it("is not there unless it is asked for", function()
    local w <close> = always{["cache-control"] = "max-age=60"}
    local s <close> = http.session()
    for i = 1, 2 do
      local res = assert(s:get(w.url))
      assert.equal("body " .. i, res.body)
      assert.is_nil(res.cache)
    end
    local off <close> = http.session({cache = false})
    assert.is_nil(assert(off:get(w.url)).cache)
    assert.same({hit = 0, miss = 0, revalidated = 0, stale = 0}, s:stats().cache)
  end)

  it("is given as true, as a cache, or as a directory; else it is misuse", function()
    local w <close> = always{["cache-control"] = "max-age=60"}
    local dir <close> = assert(fs.temp({dir = true}))
    for _, cache in ipairs{true, dir:path() .. "/new/cache"} do
      local s <close> = http.session({cache = cache})
      assert.equal("miss", assert(s:get(w.url)).cache)
      -- with the time of the machine all that the server dates is long over
      assert.equal("stale", assert(s:get(w.url, ask_with("max-stale"))).cache)
    end
    for _, bad in ipairs{3, {}, http.jar()} do
      local _, err = pcall(http.session, {cache = bad})
      assert.matches("http_cache_spec.lua:%d+: .*cache", tostring(err))
    end
    for _, o in ipairs{{max = 0}, {dir = 3}, {dir = ""}, {size = 3}} do
      local _, err = pcall(http.cache, o)
      assert.matches("http_cache_spec.lua:%d+: .*cache", tostring(err))
    end
    assert.matches("http cache 0x%x+ %(in memory%)", tostring(http.cache()))
  end)

  it("may be shared by sessions, and emptied", function()
    local w <close> = always{["cache-control"] = "max-age=60"}
    local other <close> = http.session({cache = w.cache})
    w.get("/")
    assert.equal("hit", assert(other:get(w.url .. "/")).cache)
    assert(w.cache:clear())
    assert.equal("miss", assert(other:get(w.url .. "/")).cache)
  end)

  it("keeps the headers of a message and none of its connection", function()
    local w <close> = always{["cache-control"] = "max-age=60", ["set-cookie"] = "a=1; Path=/",
      connection = "keep-alive, x-own", ["x-own"] = "1"}
    w.get("/")
    local res = w.get("/")
    assert.same({"a=1; Path=/"}, res.headers["set-cookie"])
    assert.is_nil(res.headers["x-own"])
    assert.is_nil(res.headers.connection)
    assert.equal(date.format(NOW), res.headers.date)
  end)

  it("gives every caller headers of its own", function()
    local w <close> = always{["cache-control"] = "max-age=60", ["x-y"] = "1"}
    w.get("/").headers["x-y"] = "2"
    w.get("/").headers["x-y"] = "3"
    assert.equal("1", w.get("/").headers["x-y"])
  end)

  it("keeps failures that last and redirects, not failures that pass", function()
    local w <close> = serving(function(head, n)
      local status = head:match("^%S+ /(%d+)")
      return ("HTTP/1.1 %s X\r\ncache-control: max-age=1000000000\r\nlocation: /200\r\n"
        .. "content-length: 1\r\n\r\n%d"):format(status, n)
    end, {redirects = 0})
    for status, outcome in pairs{[200] = "hit", [301] = "hit", [302] = "hit", [404] = "hit",
      [410] = "hit", [429] = "miss", [500] = "miss", [503] = "miss"} do
      w.get("/" .. status)
      assert.equal(outcome, w.get("/" .. status).cache, status)
    end
  end)

  it("answers redirects, each hop by itself", function()
    local w <close> = serving(function(head, n, _, world)
      if head:find("^GET /from") then
        return "HTTP/1.1 301 Moved\r\nlocation: /to\r\ncache-control: max-age=1000000000\r\n"
          .. "content-length: 0\r\n\r\n"
      end
      return answer("body " .. n, {["cache-control"] = "max-age=60"}, world.clock)
    end)
    assert.equal("body 2", w.get("/from").body)
    local res = w.get("/from")
    assert.equal("body 2", res.body)
    assert.equal("hit", res.cache)
    assert.equal("hit", res.history[1].cache)
    assert.equal(w.url .. "/to", res.url)
    assert.equal(2, w.asked)
  end)

  it("keeps no redirect with two locations", function()
    local w <close> = serving(function()
      return "HTTP/1.1 301 Moved\r\nlocation: /a\r\nlocation: /b\r\n"
        .. "cache-control: max-age=1000000000\r\ncontent-length: 0\r\n\r\n"
    end)
    for _ = 1, 2 do
      local _, err = w.session:get("/from")
      assert.equal("EREDIRECT", err.code)
      assert.matches("several lines Location", err.message)
    end
    assert.equal(2, w.asked)
  end)

  it("keeps nothing with no-store, of either side, nor parts, nor what is streamed", function()
    local w <close> = serving(function(head, n, _, world)
      return answer("body " .. n, {["cache-control"] =
        head:find("/secret") and "no-store" or "max-age=60"}, world.clock)
    end)
    for _ = 1, 2 do assert.equal("miss", w.get("/secret").cache) end
    for _, o in ipairs{ask_with("no-store"), {headers = {range = "bytes=0-3"}}, {stream = true},
      {headers = {["if-none-match"] = '"x"'}}, {body = "a body"}} do
      for _ = 1, 2 do
        local res = w.get("/", o)
        assert.is_nil(res.cache)
        if res.close then assert(res:read("a")) end
      end
    end
    assert.equal(12, w.asked)
    assert.equal("miss", w.get("/").cache)
    assert.equal("body 14", w.get("/", {stream = true}):read("a")) -- though it is kept
    assert.equal("body 15", w.get("/", ask_with("no-store")).body)
    assert.equal("hit", w.get("/").cache)
  end)

  it("never keeps a body that is cut, or may be", function()
    local cut = true
    local server <close>, url = support.raw(function(stream)
      local head = support.read_request(stream)
      local headers = "HTTP/1.1 200 OK\r\ncache-control: max-age=1000000000\r\n"
      if head:find("/long") then
        stream:write(headers .. "content-length: 10\r\n\r\n", cut and "short" or "0123456789")
      elseif head:find("/chunks") then
        stream:write(headers .. "transfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
          cut and "" or "5\r\n56789\r\n0\r\n\r\n")
      else
        stream:write(headers .. "\r\nuntil the end")
      end
    end)
    local s <close> = http.session({cache = true})
    for _, path in ipairs{"/long", "/chunks"} do
      cut = true
      local _, err = s:get(url .. path)
      assert.equal("EOF", err.code)
      cut = false
      assert.equal(10, #assert(s:get(url .. path)).body)
      local res = assert(s:get(url .. path))
      assert.same({"hit", 10}, {res.cache, #res.body})
    end
    for _ = 1, 2 do assert.equal("miss", assert(s:get(url .. "/close")).cache) end
    server:close()
  end)

  it("keeps a body decoded, and gives it to those alone who want that", function()
    local packed = require("corun.codec").gzip.encode(("text "):rep(100))
    local w <close> = serving(function(_, _, _, world)
      return answer(packed, {["cache-control"] = "max-age=60", ["content-encoding"] = "gzip"},
        world.clock)
    end)
    for _, outcome in ipairs{"miss", "hit"} do
      local res = w.get("/")
      assert.equal(outcome, res.cache)
      assert.equal(("text "):rep(100), res.body)
      assert.equal("gzip", res.headers["content-encoding"])
    end
    for _, outcome in ipairs{"miss", "hit"} do
      local res = w.get("/", {decode = false})
      assert.equal(outcome, res.cache)
      assert.equal(packed, res.body)
    end
  end)

  it("holds to the limit of the body", function()
    local w <close> = always{["cache-control"] = "max-age=60"}
    w.get("/")
    local _, err = w.session:get("/", {max_body = 3})
    assert.equal("EMSGSIZE", err.code)
    assert.equal("hit", w.get("/").cache)
  end)

  it("checks the status of what it answers", function()
    local w <close> = serving(function()
      return "HTTP/1.1 404 No\r\ncache-control: max-age=1000000000\r\ncontent-length: 0\r\n\r\n"
    end, {check = true})
    for _ = 1, 2 do
      local _, err = w.session:get("/")
      assert.equal("EHTTP", err.code)
    end
    assert.equal(1, w.asked)
  end)
end)

describe("http cache requests", function()
  it("say themselves what they take", function()
    local w <close> = always{["cache-control"] = "max-age=60"}
    w.get("/")
    w.clock.at = NOW + 30
    for _, case in ipairs{{"max-age=30", "hit"}, {"min-fresh=30", "hit"}, {"max-age=29", "miss"},
      {"min-fresh=61", "miss"}, {"no-cache", "miss"}} do
      assert.equal(case[2], w.get("/", ask_with(case[1])).cache, case[1])
    end
    w.clock.at = NOW + 130
    assert.equal("stale", w.get("/", ask_with("max-stale=100")).cache)
    assert.equal("miss", w.get("/", ask_with("max-stale=10")).cache)
  end)

  it("ask the cache alone with only-if-cached", function()
    local w <close> = always({["cache-control"] = "max-age=60"}, {retries = {min = 100}})
    local res = w.get("/", ask_with("only-if-cached"))
    assert.same({504, "miss", "", 0}, {res.status, res.cache, res.body, w.asked})
    assert.is_false(res.ok)
    assert.is_nil(next(res.headers))
    w.get("/")
    assert.equal("hit", w.get("/", ask_with("only-if-cached")).cache)
    w.clock.at = NOW + 100
    assert.equal(504, w.get("/", ask_with("only-if-cached")).status)
    assert.equal(1, w.asked)
  end)

  it("HEAD is answered by what a GET has brought, and brings nothing itself", function()
    local w <close> = always{["cache-control"] = "max-age=60", etag = '"1"'}
    assert.equal("miss", assert(w.session:head("/")).cache)
    assert.equal("miss", w.get("/").cache)
    local res = assert(w.session:head("/"))
    assert.same({"hit", "", '"1"', "6"}, {res.cache, res.body, res.headers.etag,
      res.headers["content-length"]})
    w.clock.at = NOW + 100
    assert.equal("miss", assert(w.session:head("/")).cache)
    assert.equal(3, w.asked)
    assert.equal("stale", w.get("/", ask_with("max-stale")).cache) -- it is still there
  end)

  it("HEAD that meets something else makes what is kept useless", function()
    local etag = '"1"'
    local w <close> = serving(function(_, _, _, world)
      return answer("12345", {["cache-control"] = "max-age=60", etag = etag}, world.clock)
    end)
    w.get("/")
    etag = '"2"'
    assert(w.session:head("/", ask_with("no-cache")))
    assert.equal("miss", w.get("/").cache)
  end)

  it("with other credentials get nothing of each other", function()
    local w <close> = serving(function(head, _, _, world)
      return answer(head:match("\r\n[Aa]uthorization: (%S+ ?%S*)") or "nobody",
        {["cache-control"] = "max-age=60"}, world.clock)
    end)
    for _, outcome in ipairs{"miss", "hit"} do
      for auth, body in pairs{one = "Bearer one", two = "Bearer two"} do
        local res = w.get("/", {auth = auth})
        assert.same({outcome, body}, {res.cache, res.body})
      end
      local res = w.get("/")
      assert.same({outcome, "nobody"}, {res.cache, res.body})
    end
    for _, host in ipairs{"a.example", "b.example"} do -- nor hosts that share an address
      assert.equal("miss", w.get("/", {headers = {host = host}}).cache)
    end
  end)
end)

describe("http cache Vary", function()
  it("keeps a response for each value, by the headers that are really sent", function()
    local w <close> = serving(function(head, _, _, world)
      return answer(head:match("\r\n[Aa]ccept: ([^\r]*)"), {["cache-control"] = "max-age=60",
        vary = "Accept, X-None"}, world.clock)
    end)
    for _, outcome in ipairs{"miss", "hit"} do
      for _, accept in ipairs{"text/html", "text/plain"} do
        local res = w.get("/", {headers = {accept = accept}})
        assert.same({outcome, accept}, {res.cache, res.body})
      end
    end
    assert.equal("*/*", w.get("/").body)
    assert(w.session:post("/"))
    for _, accept in ipairs{"text/html", "text/plain"} do -- all were forgotten at once
      assert.equal("miss", w.get("/", {headers = {accept = accept}}).cache)
    end
  end)

  it("counts the cookies of the jar", function()
    local w <close> = serving(function(head, _, _, world)
      if head:find("^GET /login") then return ok("", "set-cookie: id=1; Path=/\r\n") end
      return answer(head:match("\r\n[Cc]ookie: ([^\r]*)") or "nobody",
        {["cache-control"] = "max-age=60", vary = "cookie"}, world.clock)
    end)
    assert.equal("nobody", w.get("/").body)
    assert.equal("hit", w.get("/").cache)
    w.get("/login")
    assert.equal("id=1", w.get("/").body)
    assert.equal("hit", w.get("/").cache)
    assert.equal("miss", w.get("/", {headers = {cookie = ""}}).cache)
  end)

  it("follows a server that changes its mind", function()
    local vary = "accept"
    local w <close> = serving(function(_, n, _, world)
      return answer("body " .. n, {["cache-control"] = "max-age=60", vary = vary}, world.clock)
    end)
    w.get("/")
    assert.equal("hit", w.get("/").cache)
    vary = "accept-language"
    assert.equal("miss", w.get("/", {headers = {accept = "x"}}).cache)
    assert.equal("body 2", w.get("/").body)
    assert.equal("hit", w.get("/").cache)
    vary = "*"
    assert.equal("miss", w.get("/", ask_with("no-cache")).cache)
    assert.equal("miss", w.get("/").cache)
    assert.equal("miss", w.get("/").cache)
  end)

  it("sets no cookie again that an entry has", function()
    local w <close> = always{["cache-control"] = "max-age=60", ["set-cookie"] = "a=1; Path=/"}
    w.get("/")
    assert.equal("a=1", w.session.cookies:header(w.url))
    w.session.cookies:clear()
    assert.equal("hit", w.get("/").cache)
    assert.is_nil(w.session.cookies:header(w.url))
  end)
end)

describe("http cache revalidation", function()
  -- A server that has the validator `has.etag`, and answers 304 to who knows it.
  local function validating(has, o)
    return serving(function(head, n, _, w)
      local asked = head:match('\r\n[Ii]f%-[Nn]one%-[Mm]atch: ([^\r]*)')
      if has.fault then return has.fault end
      if asked and asked:gsub("^W/", "") == has.etag:gsub("^W/", "") then
        return ("HTTP/1.1 304 Not Modified\r\netag: %s\r\ndate: %s\r\nx-n: %d\r\n%s\r\n"):format(
          has.says or has.etag, date.format(w.clock.at), n, lines(has.more or {}))
      end
      return answer("body " .. n, {etag = has.etag, ["x-n"] = n, ["content-type"] = "text/x",
        ["cache-control"] = has.control or "max-age=60"}, w.clock)
    end, o)
  end

  it("asks whether what is stale is still right, and gives it with the news", function()
    local has = {etag = '"1"', more = {["cache-control"] = "max-age=500", ["content-type"] = "no"}}
    local w <close> = validating(has)
    w.get("/")
    w.clock.at = NOW + 100
    local res = w.get("/")
    assert.same({"revalidated", 200, "body 1", "2", "text/x", date.format(NOW + 100)},
      {res.cache, res.status, res.body, res.headers["x-n"], res.headers["content-type"],
        res.headers.date})
    w.clock.at = NOW + 599
    assert.equal("hit", w.get("/").cache)
    w.clock.at = NOW + 601
    has.etag = '"2"'
    res = w.get("/")
    assert.same({"miss", "body 3"}, {res.cache, res.body})
    assert.equal("body 3", w.get("/").body)
    assert.same({hit = 2, miss = 2, revalidated = 1, stale = 0}, w.session:stats().cache)
    assert.equal(3, w.asked)
  end)

  it("is always asked for with no-cache and with must-revalidate once it is stale", function()
    local has = {etag = 'W/"1"', control = "no-cache"}
    local w <close> = validating(has)
    w.get("/")
    for _ = 1, 2 do assert.equal("revalidated", w.get("/").cache) end
    has.control = "max-age=60, must-revalidate"
    w.get("/must")
    assert.equal("hit", w.get("/must").cache)
    w.clock.at = NOW + 61
    assert.equal("revalidated", w.get("/must", ask_with("max-stale")).cache)
    w.get("/asked")
    assert.equal("revalidated", w.get("/asked", ask_with("no-cache")).cache)
  end)

  it("asks by the date where there is no etag", function()
    local changed = date.format(NOW - 1000)
    local w <close> = serving(function(head, n, _, world)
      if head:find("\r\nif-modified-since: " .. changed .. "\r\n", 1, true) then
        return "HTTP/1.1 304 Not Modified\r\n\r\n"
      end
      return answer("body " .. n, {["last-modified"] = changed}, world.clock)
    end)
    w.get("/")
    w.clock.at = NOW + 99 -- a tenth of the time since it was changed
    assert.equal("hit", w.get("/").cache)
    w.clock.at = NOW + 100
    local res = w.get("/")
    assert.same({"revalidated", "body 1", changed}, {res.cache, res.body,
      res.headers["last-modified"]})
  end)

  it("asks again without conditions where the 304 is of something else", function()
    local has = {etag = '"1"', says = '"2"'}
    local w <close> = validating(has)
    w.get("/")
    w.clock.at = NOW + 100
    local res = w.get("/")
    assert.same({"miss", 200, "body 3"}, {res.cache, res.status, res.body})
    assert.is_nil(w.heads[3]:lower():find("if-none-match", 1, true))
  end)

  it("forgets what the answer makes useless, and keeps it where the answer says nothing", function()
    local has = {etag = '"1"'}
    local w <close> = validating(has)
    for _, case in ipairs{{"404 Gone", "miss"}, {"200 OK", "miss"}, {"429 Many", "revalidated"},
      {"500 Bad", "revalidated"}} do
      has.fault = nil
      w.get("/")
      w.clock.at = w.clock.at + 100
      has.fault = ("HTTP/1.1 %s\r\ncache-control: no-store\r\ncontent-length: 2\r\n\r\nno"):format(
        case[1])
      local res = w.get("/")
      assert.same({"miss", "no"}, {res.cache, res.body})
      has.fault = nil
      assert.equal(case[2], w.get("/").cache, case[1])
    end
    has.more = {["cache-control"] = "no-store"}
    w.clock.at = w.clock.at + 100
    assert.equal("revalidated", w.get("/").cache)
    has.more = nil
    assert.equal("miss", w.get("/").cache)
  end)

  it("leaves a 304 that nobody asked for as it is", function()
    local w <close> = serving(function() return "HTTP/1.1 304 Not Modified\r\n\r\n" end)
    for _ = 1, 2 do
      local res = w.get("/")
      assert.same({304, "miss", ""}, {res.status, res.cache, res.body})
    end
  end)

  it("a failure is excused by what is stale, where that is allowed", function()
    local has = {etag = '"1"', control = "max-age=60, stale-if-error=100"}
    local w <close> = validating(has, {retries = {min = 0, tries = 2}})
    w.get("/")
    w.clock.at = NOW + 150
    for _, status in ipairs{500, 502, 503, 504} do
      has.fault = ("HTTP/1.1 %d Bad\r\ncontent-length: 0\r\n\r\n"):format(status)
      local res = w.get("/")
      assert.same({"stale", 200, "body 1", "150"}, {res.cache, res.status, res.body,
        res.headers.age})
    end
    assert.equal(504, w.get("/", ask_with("no-cache")).status)
    has.fault = "HTTP/1.1 501 Bad\r\ncontent-length: 0\r\n\r\n"
    assert.equal(501, w.get("/").status)
    has.fault = "not HTTP\r\n\r\n"
    local _, err = w.session:get("/")
    assert.equal("EPROTO", err.code)
    w.clock.at = NOW + 161
    has.fault = "HTTP/1.1 503 Bad\r\ncontent-length: 0\r\n\r\n"
    assert.equal(503, w.get("/").status)
    assert.equal("stale", w.get("/", ask_with("stale-if-error=200")).cache)
  end)

  it("a server that is gone is excused as its failures are", function()
    local server, url = kept(function()
      return ok("body", "cache-control: max-age=1, stale-if-error=1000\r\nconnection: close\r\n")
    end)
    local cache, clock = stopped()
    local s <close> = http.session({cache = cache})
    assert(s:get(url))
    server:close()
    clock.at = NOW + 100
    assert.same({"stale", "body"}, {assert(s:get(url)).cache, assert(s:get(url)).body})
    clock.at = NOW + 2000
    local _, err = s:get(url)
    assert.equal("ECONNREFUSED", err.code)
  end)
end)

describe("http cache changes", function()
  -- Answers 200 to GET with max-age, and to the rest with `status` and more lines.
  local function changing(status, more)
    return serving(function(head, n, _, w)
      if head:find("^GET") then
        return answer("body " .. n, {["cache-control"] = "max-age=60"}, w.clock)
      end
      return ("HTTP/1.1 %s X\r\n%scontent-length: 0\r\n\r\n"):format(status, more or "")
    end)
  end

  it("make what is kept of a URL useless, by whatever method", function()
    for _, method in ipairs{"POST", "PUT", "PATCH", "DELETE", "FROB"} do
      local w <close> = changing(200)
      w.get("/a")
      w.get("/b")
      assert(w.session:request(method, "/a"))
      assert.equal("miss", w.get("/a").cache, method)
      assert.equal("hit", w.get("/b").cache, method)
    end
  end)

  it("that failed, and safe methods, change nothing", function()
    local w <close> = changing(404)
    w.get("/")
    assert(w.session:post("/"))
    assert(w.session:request("OPTIONS", "/"))
    assert.equal("hit", w.get("/").cache)
  end)

  it("reach what the answer names, of the same origin alone", function()
    local w <close> = changing(201, "location: /made\r\ncontent-location: list?page=1\r\n")
    for _, path in ipairs{"/made", "/list?page=1", "/other"} do w.get(path) end
    assert(w.session:post("/make"))
    assert.equal("miss", w.get("/made").cache)
    assert.equal("miss", w.get("/list?page=1").cache)
    assert.equal("hit", w.get("/other").cache)
    local there <close> = changing(200)
    there.get("/kept")
    local here <close> = changing(201, "location: " .. there.url .. "/kept\r\n")
    local s <close> = http.session({cache = there.cache})
    assert(s:post(here.url))
    assert.equal("hit", there.get("/kept").cache)
  end)

  it("concern the entry of their credentials, and that of nobody's", function()
    local w <close> = changing(200)
    w.get("/")
    w.get("/", {auth = "one"})
    w.get("/", {auth = "two"})
    assert(w.session:delete("/", {auth = "one"}))
    assert.equal("miss", w.get("/").cache)
    assert.equal("miss", w.get("/", {auth = "one"}).cache)
    assert.equal("hit", w.get("/", {auth = "two"}).cache)
  end)

  it("count also when their answer is streamed, lost, or not waited for", function()
    for _, how in ipairs{"streamed", "lost", "cancelled"} do
      local reached = corun.event()
      local w <close> = serving(function(head, n, _, world)
        if head:find("^GET") then
          return answer("body " .. n, {["cache-control"] = "max-age=60"}, world.clock)
        end
        reached:set()
        if how == "streamed" then return ok("done") end
        if how == "lost" then return nil end
        corun.sleep(math.huge)
      end)
      w.get("/")
      corun.scope(function(s)
        local t = s:async(function()
          local res <close> = w.session:post("/", {stream = how == "streamed"})
          assert.equal(how == "streamed", res ~= nil)
        end)
        reached:wait()
        if how == "cancelled" then t:cancel() end
        t:await()
      end)
      assert.equal("miss", w.get("/").cache, how)
    end
  end)

  it("outdate what was asked for before and comes after", function()
    local asked, go_on = corun.event(), corun.event()
    local w <close> = serving(function(head, n, _, world)
      if head:find("^POST") then return ok("") end
      if n == 1 then
        asked:set()
        go_on:wait()
      end
      return answer("body " .. n, {["cache-control"] = "max-age=60"}, world.clock)
    end)
    corun.scope(function(s)
      local t = s:async(w.get, "/")
      asked:wait()
      assert(w.session:post("/"))
      go_on:set()
      assert.equal("body 1", t:await().body)
    end)
    assert.equal("miss", w.get("/").cache)
    assert.equal("hit", w.get("/").cache)
    assert.is_nil(next(w.cache.flights))
  end)
end)

describe("http cache tasks", function()
  it("may ask for the same at once", function()
    local w <close> = always{["cache-control"] = "max-age=60"}
    local bodies = corun.map({"/", "/", "/", "/"}, function(path) return w.get(path).body end)
    assert.equal(4, #bodies)
    assert.equal("hit", w.get("/").cache)
  end)

  it("that are cancelled while they ask keep nothing, and nothing of them is left", function()
    local asked = corun.event()
    local w <close> = serving(function(_, n, _, world)
      if n == 1 then
        asked:set()
        corun.sleep(math.huge)
      end
      return answer("body " .. n, {["cache-control"] = "max-age=60"}, world.clock)
    end)
    corun.scope(function(s)
      local t = s:async(w.session.get, w.session, "/")
      asked:wait()
      t:cancel()
      t:await()
    end)
    assert.is_nil(next(w.cache.flights))
    assert.same({"miss", "body 2"}, {w.get("/").cache, w.get("/").body})
  end)

  it("see their cancellation also where all is kept", function()
    local w <close> = always{["cache-control"] = "max-age=60"}
    w.get("/")
    local err
    corun.scope(function(s)
      local t = s:async(function()
        s:cancel()
        err = select(2, pcall(w.session.get, w.session, "/"))
      end)
      t:await()
    end)
    assert.is_true(corun.is_cancelled(err))
  end)

  it("that find all they ask for let others run", function()
    local w <close> = always{["cache-control"] = "max-age=60"}
    w.get("/")
    local ticked = false
    corun.scope(function(s)
      s:spawn(function()
        corun.sleep(0)
        ticked = true
      end)
      local tries = 0
      repeat
        assert.equal("hit", w.get("/").cache)
        tries = tries + 1
      until ticked or tries == 100000
    end)
    assert.is_true(ticked)
  end)
end)

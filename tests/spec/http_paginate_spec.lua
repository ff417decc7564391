-- SPDX-License-Identifier: MIT
-- Pages: the styles that APIs have, where they end, and what must not go on for ever.

local certificates = require("tests.spec.support.tls")
local corun = require("corun")
local http = require("corun.http")
local net = require("corun.net")
local support = require("tests.spec.support.http")

local kept, ok = support.kept, support.ok

describe("http.paginate", function()
  -- A server of pages 1 to `last`: answer(path, query) gives what ok() takes.
  local function paged(answer)
    local seen = {}
    local server, url = kept(function(head)
      local target = head:match("^GET (%S+)")
      seen[#seen + 1] = target
      seen.head = head
      return answer(target, head)
    end)
    return server, url, seen
  end

  local function page_of(target)
    return tonumber(target:match("page=(%d+)")) or 1
  end

  local function by_link(last)
    return function(target)
      local page = page_of(target)
      return ok("page " .. page, page < last and
        ('link: </items?page=%d>; rel="next", </items?page=1>; rel="first"\r\n'):format(page + 1))
    end
  end

  local function bodies(...)
    local list = {}
    for res in ... do list[#list + 1] = res.body end
    return list
  end

  it("follows Link rel=next to the end", function()
    local server <close>, url, seen = paged(by_link(4))
    local s <close> = http.session()
    local list = {}
    for res in s:paginate(url .. "/items?page=1", {headers = {["X-A"] = "1"}}) do
      assert.equal(200, res.status)
      list[#list + 1] = res.body
    end
    assert.same({"page 1", "page 2", "page 3", "page 4"}, list)
    assert.same({"/items?page=1", "/items?page=2", "/items?page=3", "/items?page=4"},
      table.move(seen, 1, #seen, 1, {}))
    assert.matches("X-A: 1", seen.head, 1, true)
    server:close()
  end)

  it("the query of the options goes with the first request; the next URL has its own", function()
    local server <close>, url, seen = paged(by_link(2))
    local s <close> = http.session()
    for _ in s:paginate(url .. "/items", {query = {size = 9}}) do end
    assert.equal("/items?size=9", seen[1])
    assert.equal("/items?page=2", seen[2])
    server:close()
  end)

  it("next may give a query, which replaces parameters", function()
    local server <close>, url, seen = paged(function(target)
      return ok(tostring(page_of(target)))
    end)
    local s <close> = http.session()
    local function after(res)
      local page = tonumber(res.body)
      return page < 3 and {page = page + 1} or nil
    end
    for _ in s:paginate(url .. "/a?page=1&x=%26", after, {query = {size = 2}}) do end
    assert.equal("/a?page=1&x=%26&size=2 /a?x=%26&page=2&size=2 /a?x=%26&page=3&size=2",
      table.concat(seen, " "))
    server:close()
  end)

  it("next may give a URL, relative to the page", function()
    local server <close>, url, seen = paged(function(target)
      local n = tonumber(target:match("%d$"))
      return ok(n < 3 and tostring(n + 1) or "")
    end)
    local s <close> = http.session({base = url .. "/v1"})
    assert.same({"2", "3", ""}, bodies(s:paginate("/items/1", function(res)
      return res.body ~= "" and res.body or nil
    end)))
    assert.equal("/v1/items/3", seen[3])
    server:close()
  end)

  it("break asks for no further page", function()
    local server <close>, url, seen = paged(by_link(100))
    local s <close> = http.session()
    for res in s:paginate(url) do
      if res.body == "page 2" then break end
    end
    assert.equal(2, #seen)
    server:close()
  end)

  it("a circle is an error, after each page was there once", function()
    local server <close>, url, seen = paged(function(target)
      return ok(target, ("link: </items?page=%d>; rel=next\r\n"):format(page_of(target) % 3 + 1))
    end)
    local s <close> = http.session()
    local n = 0
    local good, err = pcall(function()
      for _ in s:paginate(url .. "/items?page=1") do n = n + 1 end
    end)
    assert.is_false(good)
    assert.equal("ELOOP", err.code)
    assert.equal("paginate", err.op)
    assert.equal(url .. "/items?page=1", err.target)
    assert.equal(3, n)
    assert.equal(3, #seen)
    good, err = pcall(function()
      for _ in s:paginate(url .. "/x", function() return {page = 7} end) do n = n + 1 end
    end)
    assert.is_false(good)
    assert.equal("ELOOP", err.code)
    assert.equal(5, n)
    server:close()
  end)

  it("a page that fails is an error, and not the end", function()
    local server <close>, url = paged(function(target)
      if page_of(target) == 2 then return "HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n" end
      return by_link(3)(target)
    end)
    local s <close> = http.session()
    local good, err = pcall(function()
      for _ in s:paginate(url .. "/items") do end
    end)
    assert.is_false(good)
    assert.equal("EHTTP", err.code)
    assert.equal(500, err.status)
    local statuses = {}
    for res in s:paginate(url .. "/items", {check = false}) do
      statuses[#statuses + 1] = res.status
    end
    assert.same({200, 500}, statuses)
    good, err = pcall(function()
      for _ in s:paginate(url .. "/items", function() return nil, corun.err("EBAD", "bad") end) do
        good = true
      end
    end)
    assert.is_false(good)
    assert.equal("EBAD", err.code)
    server:close()
  end)

  it("a next page whose URL cannot be followed is an error, and not the end", function()
    local next = ""
    local server <close>, url = paged(function()
      return ok("page", ('link: <%s>; rel="first next", <?page=9>; rel=last\r\n'):format(next))
    end)
    local sessions = {http.session(), http.session({base = url})}
    for _, target in ipairs({"http://[::bad", "http://h:99999/", "javascript:alert(1)",
        "mailto:x@y"}) do
      next = target
      for _, s in ipairs(sessions) do
        for _, by in ipairs({false, function() return target end}) do
          local n = 0
          local good, err = pcall(function()
            for _ in s:paginate(url .. "/items", by or nil) do n = n + 1 end
          end)
          assert.is_false(good)
          assert.equal("EURL", err.code)
          assert.equal("paginate", err.op)
          assert.equal(url .. "/items", err.target)
          assert.matches(target, err.message, 1, true)
          assert.equal(1, n)
        end
      end
    end
    for _, s in ipairs(sessions) do s:close() end
    server:close()
  end)

  it("no server leads onto a Unix socket; pages behind one stay there, or lead off it", function()
    local path = os.tmpname()
    os.remove(path)
    local encoded = "http+unix://" .. path:gsub("/", "%%2F")
    local links = {["/a"] = "/b", ["/x"] = encoded .. "/b"}
    local function answer(stream)
      while true do
        local target = (support.read_request(stream) or ""):match("^GET (%S+)")
        if not target then return end
        local link = links[target] and ("link: <%s>; rel=next\r\n"):format(links[target])
        if not stream:write(ok(target, link)) then return end
      end
    end
    local inner <close> = assert(net.serve("unix:" .. path, answer))
    local server <close>, url = support.raw(answer)
    links["/off"] = url .. "/b"
    local s <close> = http.session()
    assert.same({"/a", "/b"}, bodies(s:paginate(encoded .. "/a")))
    assert.same({"/x", "/b"}, bodies(s:paginate(encoded .. "/x")))
    assert.same({"/off", "/b"}, bodies(s:paginate(encoded .. "/off")))
    for _, scheme in ipairs({"http+unix", "HTTPS+Unix"}) do
      links["/x"] = encoded:gsub("^[^:]*", scheme) .. "/b"
      for _, by in ipairs({false, function() return links["/x"] end}) do
        local good, err = pcall(function() return bodies(s:paginate(url .. "/x", by or nil)) end)
        assert.is_false(good)
        assert.equal("EURL", err.code)
        assert.equal("paginate", err.op)
        assert.equal(url .. "/x", err.target)
        assert.matches("Unix socket", err.message)
      end
    end
    inner:close()
    server:close()
  end)

  it("from https to http only where redirects may lead so", function()
    if not certificates.has_openssl then return pending("the openssl command is not installed") end
    local folder = certificates.make_certificates()
    local _ <close> = corun.defer(function() certificates.remove(folder) end)
    local plain <close>, plain_url, seen = paged(function() return ok("in clear") end)
    local secure <close>, url = kept(function()
      return ok("secure", "link: <" .. plain_url:gsub("^http", "HTTP") .. "/2>; rel=next\r\n")
    end, {cert = folder .. "good.pem", key = folder .. "key.pem"})
    local s <close> = http.session{tls = {ca = folder .. "ca.pem"}}
    local o = {headers = {["X-Key"] = "secret"}}
    for _, by in ipairs{false, function() return plain_url .. "/2" end} do
      local good, err = pcall(function() return bodies(s:paginate(url, by or nil, o)) end)
      assert.is_false(good)
      assert.equal("EURL", err.code)
      assert.equal(url, err.target)
      assert.matches("leads from https to .*, where all could read along", err.message)
    end
    local inner <close> = assert(net.serve("unix:" .. folder .. "socket", function(stream)
      if not support.read_request(stream) then return end
      stream:write(ok("secure", "link: <" .. plain_url .. "/2>; rel=next\r\n"))
    end, {tls = {cert = folder .. "good.pem", key = folder .. "key.pem"}}))
    local encoded = "https+unix://" .. folder:gsub("/", "%%2F") .. "socket/"
    local reached, refusal = pcall(function() return bodies(s:paginate(encoded, o)) end)
    assert.is_false(reached)
    assert.matches("leads from https to ", refusal.message)
    inner:close()
    assert.same({}, seen)
    local lax <close> = http.session{
      tls = {ca = folder .. "ca.pem"}, redirects = {downgrade = true},
    }
    assert.same({"secure", "in clear"}, bodies(lax:paginate(url, o)))
    o.redirects = {downgrade = true}
    assert.same({"secure", "in clear"}, bodies(s:paginate(url, o)))
    o.redirects = 5
    assert.is_false((pcall(function() return bodies(lax:paginate(url, o)) end)))
    plain:close()
    secure:close()
  end)

  it("credentials do not go to a page of another origin", function()
    local other <close>, other_url, other_seen = paged(function() return ok("there") end)
    local server <close>, url = paged(function()
      return ok("here", "link: <" .. other_url .. "/2>; rel=next\r\n")
    end)
    local s <close> = http.session()
    local o = {headers = {Authorization = "secret", COOKIE = "secret", ["X-A"] = "1"}}
    assert.same({"here", "there"}, bodies(s:paginate(url, o)))
    assert.not_matches("secret", other_seen.head)
    assert.matches("X-A: 1", other_seen.head, 1, true)
    assert.same({"here", "there"}, bodies(s:paginate(url, {auth = {"user", "secret"}})))
    assert.not_matches("authorization", other_seen.head)
    server:close()
    other:close()
  end)

  it("nor do those of a session, which has no base, nor of a URL", function()
    local netrc = os.tmpname()
    finally(function() os.remove(netrc) end)
    local file <close> = assert(io.open(netrc, "w"))
    assert(file:write("default login me password secret\n"))
    file:flush()
    local other <close>, other_url, other_seen = paged(function() return ok("there") end)
    local server <close>, url, seen = paged(function(target)
      if target == "/moved" then
        return "HTTP/1.1 302 X\r\nlocation: " .. other_url .. "\r\ncontent-length: 0\r\n\r\n"
      end
      return ok("here", "link: <" .. other_url .. "/2>; rel=next\r\n")
    end)
    local login = url:gsub("//", "//me:secret@")
    for _, case in ipairs({
      {url, {auth = "secret"}}, {url, {auth = {"me", "secret"}}}, {url, {netrc = netrc}},
      {url, {headers = {authorization = "secret", cookie = "secret", host = "secret"}}},
      {login, {}},
    }) do
      local s <close> = http.session(case[2])
      assert.same({"here", "there"}, bodies(s:paginate(case[1])))
      assert.matches("secret", seen.head:gsub("bWU6c2VjcmV0", "secret"), 1, true)
      assert.not_matches("secret", other_seen.head:gsub("bWU6c2VjcmV0", "secret"))
    end
    -- where a redirect has led, no page is at home
    local s <close> = http.session({auth = "secret"})
    for _ in s:paginate(url .. "/moved", function(res)
      return not res.url:find("next") and "/next" or nil
    end) do end
    assert.matches("GET /next", other_seen.head, 1, true)
    assert.not_matches("secret", other_seen.head)
    server:close()
    other:close()
  end)

  it("user and password of the URL go to each page of its origin, and are shown nowhere", function()
    local server <close>, url, seen = paged(by_link(2))
    local s <close> = http.session()
    local iterator = s:paginate(url:gsub("//", "//me:secret@") .. "/items")
    assert.not_matches("secret", tostring(iterator))
    for res in iterator do
      assert.not_matches("secret", res.url)
      assert.matches("authorization: Basic bWU6c2VjcmV0", seen.head, 1, true)
    end
    assert.equal(2, #seen)
    server:close()
  end)

  it("false and null end it too, as JSON and `and` give them", function()
    local server <close>, url, seen = paged(function(target)
      return ok(target == "/1" and '{"next": "/2"}' or '{"next": null}')
    end)
    local s <close> = http.session()
    for _ in s:paginate(url .. "/1", function(res) return res:json().next end) do end
    assert.same({"/1", "/2"}, table.move(seen, 1, #seen, 1, {}))
    for _ in s:paginate(url .. "/1", function(res)
      local following = res:json({null = false}).next
      return following and {page = following}
    end) do end
    assert.same({"/1", "/1?page=%2F2"}, table.move(seen, 3, #seen, 1, {}))
    server:close()
  end)

  it("a query replaces parameters in whatever form they were given", function()
    for _, query in ipairs({{page = 1, tag = {"a", "b"}}, "tag=a&page=1&tag=b",
        {{"tag", "a"}, {"page", 1}, {"tag", "b"}}}) do
      for _, given in ipairs({{page = 2}, {{"page", 2}}}) do
        local server <close>, url, seen = paged(function() return ok("x") end)
        local s <close> = http.session()
        for _ in s:paginate(url .. "/x?page=0&k=v", function(res)
          if not res.url:find("page=2") then return given end
        end, {query = query}) do end
        local sorted = {}
        for part in seen[2]:match("%?(.*)"):gmatch("[^&]+") do sorted[#sorted + 1] = part end
        table.sort(sorted)
        assert.same({"k=v", "page=2", "tag=a", "tag=b"}, sorted)
        server:close()
      end
    end
  end)

  it("a second task at once is misuse; one that closes it ends who waits", function()
    local waiting, go = corun.event(), corun.event()
    local server <close>, url = support.raw(function(stream)
      support.read_request(stream)
      waiting:set()
      go:wait()
      stream:write(ok("x"))
    end)
    local s <close> = http.session()
    local iterator = s:paginate(url, function() return "/2" end)
    corun.scope(function(scope)
      local first = scope:async(function() return iterator() end)
      waiting:wait()
      local good, err = pcall(iterator)
      assert.is_false(good)
      assert.equal("EBUSY", err.code)
      iterator:close()
      go:set()
      assert.is_nil(first:await())
      assert.is_nil(iterator())
    end)
    server:close()
  end)

  it("pages may be streamed; the one at hand is closed with the loop", function()
    local server <close>, url = paged(by_link(3))
    local s <close> = http.session()
    local list = {}
    for res in s:paginate(url .. "/items", {stream = true}) do
      list[#list + 1] = res:read("a")
    end
    assert.same({"page 1", "page 2", "page 3"}, list)
    for res in s:paginate(url .. "/items", {stream = true}) do
      if res.status == 200 then break end
    end
    assert.equal(0, s.pool.active)
    server:close()
  end)

  it("what it cannot take is misuse", function()
    for message, call in pairs({
      ["the URL must be a string"] = function() http.paginate(5) end,
      ["next of paginate must be a function"] = function() http.paginate("http://h/", "x") end,
      ["options of paginate must be a table"] = function() http.paginate("http://h/", nil, 5) end,
      ['unknown option "pages"'] = function()
        http.paginate("http://h/", {pages = 5})()
      end,
    }) do
      local good, err = pcall(call)
      assert.is_false(good)
      assert.matches(message, err, 1, true)
      assert.matches("http_paginate_spec.lua:%d+: ", err)
    end
  end)
end)

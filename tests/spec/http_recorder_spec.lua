-- SPDX-License-Identifier: MIT
-- http.recorder: what is recorded and replayed in which mode, how a request finds its recording,
-- streams, time limits, several tasks. Failures stand in http_recorder_failures_spec.lua, the files
-- in http_recorder_files_spec.lua, other people's servers in http_recorder_peers_spec.lua.

local corun = require("corun")
local http = require("corun.http")
local json = require("corun.json")
local support = require("tests.spec.support.http")
local recorder = require("tests.spec.support.recorder")

local ok, folder, with, offline = support.ok, recorder.folder, recorder.with, recorder.offline
local told, count = recorder.told, recorder.count

-- A server that numbers its answers: "N METHOD TARGET BODY".
local function counting(extra)
  local n = 0
  local server, url = support.kept(function(head, body)
    n = n + 1
    return ok(("%d %s %s"):format(n, head:match("^(%u+ %S+)"), body), extra)
  end)
  return server, url, function() return n end
end

local function body(s, url, o)
  return assert(s:get(url, o)).body
end

describe("http.recorder modes", function()
  it("auto, which is the default, records what is missing and replays the rest", function()
    local _ <close>, path = folder()
    local server <close>, url, n = counting()
    for _ = 1, 3 do
      local s <close> = http.session{recorder = http.recorder(path)}
      assert.equal("1 GET / ", body(s, url))
      assert.equal("2 GET /b ", body(s, url .. "/b"))
    end
    assert.equal(2, n())
    with(path, "auto", function(s)
      assert.equal("3 GET /c ", body(s, url .. "/c"))
      assert.equal("1 GET / ", body(s, url))
      assert.equal("4 GET / ", body(s, url)) -- asked for more often than before
    end)
    assert.equal(4, count(path))
    server:close()
    offline(path, function(s)
      assert.equal("1 GET / ", body(s, url))
      assert.equal("4 GET / ", body(s, url))
      assert.equal("3 GET /c ", body(s, url .. "/c"))
    end)
  end)

  it("record asks for everything, and takes the place of what was there", function()
    local _ <close>, path = folder()
    local server <close>, url = counting()
    for round = 0, 1 do
      with(path, "record", function(s)
        for i = 1, 3 - round do assert.equal(round * 4 + i .. " GET /a ", body(s, url .. "/a")) end
        if round == 0 then body(s, url .. "/other") end
      end)
    end
    server:close()
    assert.equal(3, count(path))
    offline(path, function(s)
      assert.equal("5 GET /a ", body(s, url .. "/a"))
      assert.equal("6 GET /a ", body(s, url .. "/a"))
      assert.equal("EUNRECORDED", select(2, s:get(url .. "/a")).code)
      assert.equal("4 GET /other ", body(s, url .. "/other")) -- which was not asked again
    end)
  end)

  it("replay refuses what was not recorded, and says what comes nearest", function()
    local _ <close>, path = folder()
    local server <close>, url = counting()
    with(path, "record", function(s)
      body(s, url .. "/items?page=2")
      s:post(url .. "/items", {json = {a = 1}})
      body(s, url .. "/far", {headers = {range = "bytes=0-1"}})
    end)
    server:close()
    local function refused(...)
      local args = table.pack(...)
      local res, err = offline(path, function(s) return s:request(table.unpack(args)) end,
        {headers = {"Accept"}})
      assert.is_nil(res)
      assert.equal("EUNRECORDED", err.code)
      assert.is_nil(err.retryable)
      return (tostring(err):gsub(url, "URL"))
    end
    assert.equal("replay GET URL/items?page=3: it was not recorded; the nearest is "
      .. "GET URL/items?page=2 (EUNRECORDED)", refused("GET", url .. "/items?page=3"))
    assert.equal("replay GET URL/items: it was not recorded; the nearest is POST URL/items "
      .. "(EUNRECORDED)", refused("GET", url .. "/items"))
    assert.matches("the nearest is POST URL/items with another body",
      refused("POST", url .. "/items", {json = {a = 2}}))
    assert.matches("the nearest is GET URL/far with another header range", refused("GET",
      url .. "/far"))
    assert.matches("the nearest is GET URL/items%?page=2 with another header accept",
      refused("GET", url .. "/items?page=2", {headers = {accept = "text/html"}}))
    offline(path, function(s)
      body(s, url .. "/items?page=2")
      assert.matches("it was recorded 1 time, and is asked for once more",
        tostring(select(2, s:get(url .. "/items?page=2"))))
    end)
  end)

  it("replay needs the directory, the others make it", function()
    local _ <close>, path = folder()
    local _ <close>, url = counting()
    local res, err = with(path .. "/a/b", "replay", function(s) return s:get(url) end)
    assert.is_nil(res)
    assert.equal("ENOENT", err.code)
    assert.matches("recordings/a/b", tostring(err))
    with(path .. "/a/b", "record", function(s) body(s, url) end)
    assert.equal(1, count(path .. "/a/b"))
    res, err = with(recorder.only(path .. "/a/b", ".rec.json") .. "/x", "auto", function(s)
      return s:get(url)
    end)
    assert.is_nil(res)
    assert.equal("ENOTDIR", err.code)
    with(path, "auto", function(s) -- one with nothing but others' files
      recorder.files.put(path .. "/data.json", "no recording")
      body(s, url)
    end)
  end)

  it("repeats gives the last recording again", function()
    local _ <close>, path = folder()
    local server <close>, url, n = counting()
    with(path, "auto", function(s)
      for _ = 1, 3 do assert.equal("1 GET / ", body(s, url)) end
      assert.equal(1, n())
    end, {repeats = true})
    with(path, "auto", function(s)
      body(s, url)
      body(s, url)
    end)
    server:close()
    offline(path, function(s)
      assert.equal("1 GET / ", body(s, url))
      for _ = 1, 3 do assert.equal("2 GET / ", body(s, url)) end
    end, {repeats = true})
  end)

  it("is refused with options that make no sense, at the caller's line", function()
    local function refuse(message, fn, ...)
      local good, err = pcall(fn, ...)
      assert.is_false(good)
      assert.matches(message, err)
      assert.matches("^[^\n]*http_recorder_spec.lua:%d+: ", err)
    end
    refuse("recorder needs the path of a directory, got nil", function() http.recorder() end)
    refuse('"mode" for recorder must be "auto", "record" or "replay", got "none"', function()
      http.recorder("x", {mode = "none"})
    end)
    refuse('unknown option "modus".*did you mean "mode"', function()
      http.recorder("x", {modus = "auto"})
    end)
    refuse('"headers" for recorder must be a list of names', function()
      http.recorder("x", {headers = {"a b"}})
    end)
    refuse('"secrets" for recorder must be a list of names', function()
      http.recorder("x", {secrets = {1}})
    end)
    refuse('"secrets" for recorder must be a list of names, or false', function()
      http.recorder("x", {secrets = true})
    end)
    refuse('"recorder" for session must be an http.recorder', function()
      http.session{recorder = {}}
    end)
    refuse('"recorder" for session must be a table', function() http.session{recorder = "x"} end)
    assert.matches("^http recorder 0x%x+ %(replay, some/folder%)$",
      tostring(http.recorder("some/folder", {mode = "replay"})))
  end)
end)

describe("http.recorder finds", function()
  it("recordings of the same request in their order, by method, URL and body", function()
    local _ <close>, path = folder()
    local server <close>, url = counting()
    local function all(s)
      local list = {}
      for _ = 1, 2 do
        for _, o in ipairs{{}, {body = "x"}, {body = "y"}, {form = {a = 1}}} do
          list[#list + 1] = assert(s:post(url, o)).body
          list[#list + 1] = assert(s:put(url, o)).body
        end
        list[#list + 1] = assert(s:request("OPTIONS", url .. "/#fragment")).body
      end
      return list
    end
    local recorded = with(path, "record", all)
    assert.equal("1 POST / ", recorded[1])
    assert.equal("18 OPTIONS / ", recorded[18])
    server:close()
    assert.same(recorded, offline(path, all))
    offline(path, function(s) -- in another order of different requests
      assert.equal(recorded[2], assert(s:put(url)).body)
      assert.equal(recorded[1], assert(s:post(url)).body)
    end)
  end)

  it("bodies that say the same: JSON in any order, forms with parts, files", function()
    local _ <close>, path = folder()
    local server <close>, url = counting()
    local long = {}
    for i = 1, 3000 do long["key" .. i] = i end
    local function all(s, keys)
      local list, object = {}, {}
      for _, key in ipairs(keys) do object[key] = {key, {}} end
      local function note(o) list[#list + 1] = assert(s:post(url, o)).body end
      note{body = keys[1] == "a" and '{"a": 1, "b": [2.50, null]}' or '{"b":[2.5,null],"a":1}',
        headers = {["content-type"] = "application/vnd.x+json"}}
      note{json = object}
      note{json = long}
      note{json = object, expect = true}
      note{multipart = {name = "x", file = {path = "LICENSE"}}}
      note{body = {path = "LICENSE"}}
      note{body = ("\0\255"):rep(5000)}
      return #list
    end
    with(path, "record", function(s) all(s, {"a", "b", "c"}) end)
    server:close()
    assert.equal(7, offline(path, function(s) return all(s, {"c", "b", "a"}) end))
    local res, err = offline(path, function(s)
      return s:post(url, {body = {path = "README.md"}})
    end)
    assert.is_nil(res)
    assert.matches("with another body", err.message)
  end)

  it("streams as bodies, which are read as if they were sent, but not compared", function()
    local _ <close>, path = folder()
    local server <close>, url = counting()
    local pieces
    local function next_piece() return table.remove(pieces, 1) end
    local function send(s, o)
      pieces = {"a", "b", "c"}
      local res, err = s:post(url, {body = next_piece, retries = o})
      return res and "answered", #pieces, err
    end
    server:close()
    local again <close>, again_url = support.raw(function(stream)
      stream:read_until("0\r\n\r\n")
      stream:write(ok("got it"))
    end)
    url = again_url
    assert.equal("answered", (with(path, "record", send)))
    again:close()
    assert.same({"answered", 0}, {offline(path, send)})
    local err = corun.err("EMINE", "the source is dry")
    local _, got = offline(path, function(s)
      return s:post(url, {body = function() return nil, err end})
    end)
    assert.equal(err, got)
    _, got = with(path, "record", function(s)
      return s:post(url, {body = {path = path .. "/nowhere"}})
    end)
    assert.equal("ENOENT", got.code)
  end)

  it("parts of a file by Range, other headers when told, anything by match", function()
    local _ <close>, path = folder()
    local server <close>, url = support.kept(function(head)
      return ok((head:match("[Rr]ange: (%S+)") or "all") .. (head:match("[Aa]ccept: (%S+)")))
    end)
    local function all(s)
      local list = {}
      for _, range in ipairs{"bytes=0-1", "bytes=2-3"} do
        for _, accept in ipairs{"text/a", "text/b"} do
          list[#list + 1] = body(s, url .. "/?t=" .. #list,
            {headers = {range = range, accept = accept}})
        end
      end
      return list
    end
    local recorded = with(path, "record", all)
    assert.same({"bytes=0-1text/a", "bytes=0-1text/b", "bytes=2-3text/a", "bytes=2-3text/b"},
      recorded)
    server:close()
    offline(path, function(s)
      local res, err = s:get(url .. "/?t=0", {headers = {accept = "text/a"}})
      assert.is_nil(res)
      assert.matches("another header range", err.message)
      assert.equal("bytes=0-1text/a", body(s, url .. "/?t=0", {headers = {range = "bytes=0-1"}}))
    end)
    local seen
    assert.same({"bytes=0-1text/b", "bytes=2-3text/b"}, offline(path, function(s)
      local function get() return body(s, url .. "/new", {headers = {accept = "text/b"}}) end
      return {get(), get()} -- in the order in which they were recorded
    end, {match = function(request, recorded_one)
      seen = request
      return request.headers.accept == recorded_one.headers.accept
    end}))
    assert.equal(url .. "/new", seen.url)
    assert.equal("GET", seen.method)
  end)

  it("what filter_request makes of requests; false goes past the recorder", function()
    local _ <close>, path = folder()
    local server <close>, url, n = counting()
    local function filter(request)
      if request.url:find("/live", 1, true) then return false end
      request.url = request.url:gsub("time=%d+", "time=0")
      request.body = request.body and request.body:gsub("%d", "9")
    end
    local function all(s, time)
      return body(s, url .. "/?time=" .. time)
        .. assert(s:post(url, {body = "at " .. time})).body
    end
    local o = {filter_request = filter}
    local recorded = with(path, "record", function(s) return all(s, 17) end, o)
    assert.equal(2, count(path))
    assert.equal(recorded, with(path, "replay", function(s)
      assert.equal("3 GET /live ", body(s, url .. "/live"))
      return all(s, 18)
    end, o))
    assert.equal(3, n())
    assert.equal(2, count(path))
    server:close()
    local bad = {function(r) r.url = nil end, function(r) r.headers.x = 1 end,
      function(r) r.body = {} end}
    for _, wrong in ipairs(bad) do
      assert.has_error(function()
        with(path, "auto", function(s) return s:get(url) end, {filter_request = wrong})
      end)
    end
  end)
end)

describe("http.recorder replays", function()
  it("what other layers see: redirects, cookies, retries, hooks, check", function()
    local _ <close>, path = folder()
    local tries = 0
    local server <close>, url = support.kept(function(head)
      local target = head:match("^%u+ (%S+)")
      if target == "/login" then
        return "HTTP/1.1 302 Found\r\nlocation: /home?access_token=t0ken\r\n"
          .. "set-cookie: sid=s3cret; Path=/\r\ncontent-length: 0\r\n\r\n"
      elseif target:find("^/home") then
        return ok((head:match("[Cc]ookie: (%w+)") or "no cookie"))
      elseif target == "/busy" then
        tries = tries + 1
        if tries == 3 then return ok("at last") end
        return "HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 4\r\n\r\nwait"
      end
      return "HTTP/1.1 404 Nothing There\r\ncontent-length: 4\r\n\r\nnope"
    end)
    local function all(s)
      local list = {}
      for _, stream in ipairs{false, true} do
        list[#list + 1] = told(s:get(url .. "/login", {stream = stream}))
      end
      list[#list + 1] = told(s:get(url .. "/busy", {retries = {min = 0.001}}))
      list[#list + 1] = told(s:get(url .. "/nowhere", {check = true}))
      list.retries, list.redirects = s:stats().retries, s:stats().redirects
      return list
    end
    local hooked = 0
    local options = {on_response = function() hooked = hooked + 1 end}
    local recorded = with(path, "record", all, nil, options)
    assert.equal("sid", recorded[1].body)
    assert.equal("at last", recorded[3].body)
    assert.equal(2, recorded.retries)
    assert.equal(2, recorded.redirects)
    assert.equal("EHTTP", recorded[4].code)
    server:close()
    for _, hop in ipairs{1, 2} do -- the token of the hop is a secret
      recorded[hop].url = recorded[hop].url:gsub("t0ken", "REDACTED")
    end
    assert.same(recorded, offline(path, all, nil, options))
    assert.equal(8, hooked)
  end)

  it("what a cache asks for, which lies outside", function()
    local _ <close>, path = folder()
    local server <close>, url = support.kept(function(head)
      if head:find("\r\n[Ii]f%-[Nn]one%-[Mm]atch: ") then
        return "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n"
      end
      return ok("cached", "ETag: \"1\"\r\nCache-Control: no-cache\r\n")
    end)
    local function all(s) return {told(s:get(url)), told(s:get(url))} end
    local recorded = with(path, "record", all, nil, {cache = true})
    assert.equal("cached", recorded[2].body)
    assert.equal(2, count(path))
    server:close()
    assert.same(recorded, offline(path, all, nil, {cache = true}))
    assert.equal("HTTP/1.1 304 Not Modified", json.decode(recorder.files.get(
      recorder.only(path, "-2.rec.json"))).response.status_line)
  end)

  it("pages and events, also a stream of events that the script left", function()
    local _ <close>, path = folder()
    local asked = 0
    local server <close>, url = support.raw(function(stream)
      while true do
        local head = support.read_request(stream)
        if not head then return end
        local page = tonumber(head:match("/items%?page=(%d)"))
        if page then
          stream:write(ok(json.encode{page = page}, page < 3
            and ('link: </items?page=%d>; rel="next"\r\n'):format(page + 1) or ""))
        else
          asked = asked + 1
          stream:write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nretry: 0\n"
            .. ("id: %d\ndata: first\n\ndata: second\n\n"):format(asked))
          if asked == 1 then return end -- cut, and begun again
          if asked == 2 then corun.sleep(60) end -- until the client has gone
        end
      end
    end)
    local function all(s)
      local list = {}
      for res in s:paginate(url .. "/items?page=1") do list[#list + 1] = res:json().page end
      for e in s:events(url .. "/events") do
        list[#list + 1] = e.data .. e.id
        if #list == 7 then break end
      end
      return list
    end
    local recorded = with(path, "record", all)
    assert.same({1, 2, 3, "first1", "second1", "first2", "second2"}, recorded)
    server:close()
    assert.same(recorded, offline(path, all))
    local good, err = pcall(offline, path, function(s)
      for _ in s:events(url .. "/events") do end
    end)
    assert.is_false(good)
    assert.equal("EUNRECORDED", err.code)
    assert.matches("read no further than %d+ bytes", err.message)
  end)

  it("streams: the same bytes and length, whole, by lines, and of a part that was read", function()
    local _ <close>, path = folder()
    local lines = {}
    for i = 1, 20000 do lines[i] = "line " .. i end
    local text = table.concat(lines, "\n")
    local server <close>, url = support.kept(function(head)
      if head:find("/chunked", 1, true) then
        return "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
          .. ("%x\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n"):format(#text, text)
      elseif head:find("/empty", 1, true) then
        return ok("")
      end
      return ok(text)
    end)
    local function all(s)
      local list = {}
      for _, target in ipairs{"/", "/chunked", "/empty", "/whole"} do
        local res = assert(s:get(url .. target, {stream = target ~= "/whole"}))
        list[#list + 1] = told(res)
      end
      local res = assert(s:get(url .. "/lines", {stream = true}))
      for line in res:lines() do list[#list + 1] = line end
      local part <close> = assert(s:get(url .. "/part", {stream = true}))
      list[#list + 1] = part:read(1000)
      return list
    end
    local recorded = with(path, "record", all)
    assert.equal(#text, recorded[1].length)
    assert.equal(text, recorded[2].body)
    assert.equal(4 + 20000 + 1, #recorded)
    server:close()
    assert.same(recorded, offline(path, all))
    offline(path, function(s)
      assert.equal(text, body(s, url)) -- complete, though it was streamed
      local res <close> = assert(s:get(url .. "/whole", {stream = true})) -- and the other way round
      assert.equal(text, res:read("a"))
      local res2, err = s:get(url .. "/part") -- of which only the begin was read
      assert.is_nil(res2)
      assert.equal("EUNRECORDED", err.code)
      assert.is_true(res.times.total >= 0)
      assert.equal(0, res.times.connect)
    end)
  end)

  it("limits and time limits of its own", function()
    local _ <close>, path = folder()
    local server <close>, url = support.kept(function(head)
      if head:find("/busy", 1, true) then
        return "HTTP/1.1 503 Busy\r\nretry-after: 30\r\ncontent-length: 0\r\n\r\n"
      end
      return ok(("x"):rep(1000))
    end)
    with(path, "record", function(s)
      for _ = 1, 4 do body(s, url) end
      assert(s:get(url .. "/busy"))
    end)
    server:close()
    offline(path, function(s)
      for _, stream in ipairs{false, true} do
        local res, err = s:get(url, {max_body = 999, stream = stream})
        assert.is_nil(res)
        assert.matches("^read .*: the body is over the limit of 999 bytes %(EMSGSIZE%)$",
          tostring(err))
      end
      local res, err = s:get(url, {timeout = 0})
      assert.is_nil(res)
      assert.equal("ETIMEDOUT", err.code)
      local start = corun.now()
      res, err = corun.timeout(0.05, s.get, s, url .. "/busy", {retries = 2})
      assert.is_nil(res)
      assert.equal("ETIMEDOUT", err.code)
      assert.is_true(corun.now() - start < 10)
      assert.is_false(recorder.files.cancelled(nil, s.get, s, url))
      res = assert(s:get(url, {stream = true}))
      assert.is_false(recorder.files.cancelled(nil, res.read, res, "a"))
      assert.equal(1000, #res:read("a")) -- a cancelled read loses nothing
    end)
    local res = with(path, "replay", function(s) return assert(s:get(url, {stream = true})) end)
    local text, err = res:read("a") -- its session was closed
    assert.is_nil(text)
    assert.equal("ECLOSED", err.code)
    res:close()
  end)

  it("for many tasks at once", function()
    local _ <close>, path = folder()
    local server <close>, url = counting()
    local list = {}
    for i = 1, 60 do list[i] = i end
    local function all(s)
      return corun.map(list, function(i)
        local res = assert(s:get(url .. "/" .. i % 20, {stream = i % 2 == 0}))
        return (res.body or res:read("a")):match("GET .*")
      end, {limit = 30})
    end
    local recorded = with(path, "record", all)
    assert.equal(60, count(path))
    server:close()
    assert.same(recorded, offline(path, all))
    offline(path, function(s) -- each recording is given once
      local seen = {}
      corun.map({1, 2, 3, 4}, function()
        local res = s:get(url .. "/7")
        if res then seen[res.body] = true end
      end)
      local n = 0
      for _ in pairs(seen) do n = n + 1 end
      assert.equal(3, n)
    end)
  end)
end)

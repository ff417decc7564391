-- SPDX-License-Identifier: MIT
-- The files of http.recorder: bytes as they came, secrets that are not in them, what a script
-- changes of them or writes by hand, and those that are broken.

local corun = require("corun")
local http = require("corun.http")
local json = require("corun.json")
local net = require("corun.net")
local support = require("tests.spec.support.http")
local recorder = require("tests.spec.support.recorder")

local ok, folder, with, offline = support.ok, recorder.folder, recorder.with, recorder.offline
local files, told = recorder.files, recorder.told
local gzip = corun.codec.gzip

describe("http.recorder files", function()
  it("have the head byte for byte: case, order, duplicates, blanks, what is no UTF-8", function()
    local _ <close>, path = folder()
    local head = "HTTP/1.1 404 Nicht gef\xfcnden\tX\r\nX-Two:  a  \r\nDATE: now\r\nx-two:b\r\n"
      .. "X-Latin: caf\xe9\r\nX-UTF8: caf\u{e9}\r\nX-Empty:\r\nContent-Length: 3\r\n\r\n"
    local server, url = support.canned("HTTP/1.1 103 Early\r\nlink: </x>\r\n\r\n" .. head
      .. "\0\255\n")
    local recorded = with(path, "record", function(s) return told(s:get(url)) end)
    server:close()
    local _, text = recorder.only(path, ".rec.json")
    local doc = assert(json.decode(text))
    local lines = {}
    for _, line in ipairs({doc.response.status_line, table.unpack(doc.response.headers)}) do
      lines[#lines + 1] = line.base64 and corun.codec.base64.decode(line.base64) or line
    end
    assert.equal(head, table.concat(lines, "\r\n") .. "\r\n\r\n")
    assert.equal("\0\255\n", select(2, recorder.only(path, ".rec.body")))
    assert.equal(3, doc.response.body_bytes)
    assert.equal(1, doc.corun_recording)
    assert.same({method = "GET", url = url .. "/", headers = {accept = "*/*",
      ["accept-encoding"] = "gzip, deflate, br, zstd", ["user-agent"] = "corun"}}, doc.request)
    local replayed = offline(path, function(s) return told(s:get(url)) end)
    assert.same(recorded, replayed)
    assert.equal("a, b", replayed.headers["x-two"])
    assert.equal("caf\xe9", replayed.headers["x-latin"])
  end)

  it("are called as what they are, and are the same for the same exchange", function()
    local _ <close>, path = folder()
    local server <close>, url = support.kept(function() return ok("x") end)
    with(path, "record", function(s) s:get(url .. "/v1/items/?page=2&q=a%20b") end)
    local before = recorder.contents(path)
    local name = recorder.only(path, ".rec.json")
    assert.matches("/127%.0%.0%.1_%d+_v1_items_GET_%x+%-1%.rec%.json$", name)
    with(path, "record", function(s) s:get(url .. "/v1/items/?page=2&q=a%20b") end)
    assert.same(before, recorder.contents(path))
    with(path, "record", function(s)
      assert(s:get(url .. "/" .. ("%2F../long/"):rep(200)))
      assert(s:request("M-SEARCH", url))
      assert(s:get(url .. "/?only=query"))
    end)
    server:close()
    assert.equal(4, recorder.count(path))
    os.rename(name, path .. "/my name.rec.json")
    os.rename(name:gsub("json$", "body"), path .. "/my name.rec.body")
    offline(path, function(s)
      assert.equal("x", assert(s:get(url .. "/v1/items/?page=2&q=a%20b")).body)
    end)
  end)

  it("may be written by hand, and lose what is deleted", function()
    local _ <close>, path = folder()
    assert(corun.fs.mkdir(path))
    files.put(path .. "/hello.rec.json", [[{
      "corun_recording": 1, "order": 1,
      "request": {"method": "GET", "url": "http://api.example.com/hello"},
      "response": {"status_line": "HTTP/1.1 200 OK", "headers": ["Content-Type: text/plain"]}
    }]])
    files.put(path .. "/hello.rec.body", "hello")
    files.put(path .. "/gone.rec.json", [[{
      "corun_recording": 1, "order": 2,
      "request": {"method": "DELETE", "url": "http://api.example.com/hello"},
      "response": {"status_line": "HTTP/1.0 204", "headers": []}
    }]])
    files.put(path .. "/down.rec.json", [[{
      "corun_recording": 1, "order": 3, "request": {"method": "GET", "url": "https://down.test/"},
      "error": {"code": "ECONNREFUSED", "op": "connect", "message": "connection refused"}
    }]])
    offline(path, function(s)
      assert.equal("hello", assert(s:get("http://API.example.com:80/hello")).body)
      assert.equal(204, assert(s:delete("http://api.example.com/hello")).status)
      local res, err = s:get("https://down.test")
      assert.is_nil(res)
      assert.equal("connect: connection refused (ECONNREFUSED)", tostring(err))
      assert.is_true(err.retryable)
    end)
    os.remove(path .. "/hello.rec.json")
    os.remove(path .. "/hello.rec.body")
    offline(path, function(s)
      assert.equal("EUNRECORDED", select(2, s:get("http://api.example.com/hello")).code)
    end)
  end)

  it("that are broken fail each request, and say which file and why", function()
    local _ <close>, path = folder()
    local _ <close>, url = support.kept(function() return ok("body") end)
    with(path, "record", function(s) assert(s:get(url)) end)
    local name, text = recorder.only(path, ".rec.json")
    local doc = assert(json.decode(text))
    local function refused(why, change, mode)
      if type(change) == "string" then
        files.put(name, change)
      else
        local copy = json.decode(text)
        change(copy)
        files.put(name, json.encode(copy))
      end
      local res, err = with(path, mode or "replay", function(s) return s:get(url) end)
      files.put(name, text)
      assert.is_nil(res)
      assert.equal("ERECORDING", err.code)
      assert.is_truthy(tostring(err):find(name, 1, true))
      assert.matches(why, tostring(err))
    end
    for _, mode in ipairs{"replay", "auto", "record"} do
      refused("no proper recording: .* %(ERECORDING%)$", text:sub(1, 100), mode)
    end
    refused("no proper recording", "")
    refused("corun_recording%) is missing", "[]")
    refused("its format is 2, and this corun reads 1", function(d) d.corun_recording = 2 end)
    refused("it has no order", function(d) d.order = "1" end)
    refused("it has no request", function(d) d.request = nil end)
    refused("needs a method and a URL", function(d) d.request.url = 1 end)
    refused("body is no text", function(d) d.request.body = {} end)
    refused("headers are no object", function(d) d.request.headers = "x" end)
    refused("headers are no texts", function(d) d.request.headers = {1} end)
    refused("neither a response nor an error", function(d) d.response = nil end)
    refused("response is no object", function(d) d.response = true end)
    refused("error needs a code", function(d) d.error = {code = "E"} end)
    refused("body_bytes", function(d) d.response.body_bytes = -1 end)
    refused("no list of headers", function(d) d.response.headers = nil end)
    for _, line in ipairs{"HTTP/1.1 2000 OK", "HTTP/1.1 101 Switch", "HTTP/2 200", "HTTP/1.1 200\n",
      "HTTP/1.1 20", ""} do
      refused("status_line", function(d) d.response.status_line = line end)
    end
    for _, line in ipairs{"no colon", "a b: c", ": c", "a: b\r\nc: d", {base64 = "!"}, 1} do
      refused("header 1 of its answer", function(d) d.response.headers[1] = line end)
    end
    refused("its body has 4 bytes, not the 5 that were recorded", function(d)
      d.response.body_bytes = 5
    end)
    os.remove((name:gsub("json$", "body")))
    refused("no such file", function() end)
    assert.equal("GET", doc.request.method)
  end)

  it("that are broken hurt nobody when they are mended", function()
    local _ <close>, path = folder()
    local server <close>, url = support.kept(function() return ok("body") end)
    with(path, "record", function(s) assert(s:get(url)) end)
    server:close()
    local name, text = recorder.only(path, ".rec.json")
    files.put(name, "{")
    offline(path, function(s)
      for _ = 1, 2 do assert.equal("ERECORDING", select(2, s:get(url)).code) end
      files.put(name, text)
      assert.equal("body", assert(s:get(url)).body)
    end)
  end)

  it("of what came through a Unix socket say through which", function()
    local dir <close>, path = folder()
    local socket = dir:path() .. "/s"
    local server = assert(net.serve("unix:" .. socket, function(stream)
      if support.read_request(stream) then stream:write(ok("by socket")) end
    end))
    local url = "http+unix://" .. corun.url.encode(socket):gsub("/", "%%2F") .. "/x"
    with(path, "record", function(s) assert.equal("by socket", assert(s:get(url)).body) end)
    server:close()
    offline(path, function(s)
      assert.equal("EUNRECORDED", select(2, s:get("http://localhost/x")).code)
      assert.equal("by socket", assert(s:get(url)).body)
    end)
  end)
end)

describe("http.recorder secrets", function()
  local WORDS = {"hunter2", "b4sic", "t0ken", "s3cret", "k3y"}

  -- Everything that is in the files of a folder, their names too.
  local function all_of(path)
    local list = {}
    for name, text in pairs(recorder.contents(path)) do list[#list + 1] = name .. "\n" .. text end
    return table.concat(list, "\n")
  end

  local function login()
    return support.kept(function(head)
      if head:find("^POST /login") then
        return "HTTP/1.1 303 See Other\r\nLocation: /home?a=1&access_token=t0ken#top\r\n"
          .. "Set-Cookie: sid=s3cret; Path=/; HttpOnly\r\nset-cookie:s3cret\r\n"
          .. "Set-Cookie: old=; Max-Age=0\r\nX-Next: </x?Api%5fKey=k3y>, <//me:t0ken@h/>\r\n"
          .. "content-length: 0\r\n\r\n"
      end
      return ok(head:find("[Cc]ookie: ") and "welcome" or "who are you?")
    end)
  end

  -- A script that logs in, in each of the usual ways.
  local function run(s, url, word)
    local list = {}
    local function note(res, err)
      res = assert(res, err)
      list[#list + 1] = {res.status, res.body, res.headers["content-length"]}
    end
    note(s:post(url .. "/login?API_KEY=" .. word, {form = {user = "me", password = word}}))
    note(s:post(url .. "/login", {json = {user = "me", deep = {{Client_Secret = word}}}}))
    note(s:get(url .. "/home", {auth = {"me", word}}))
    note(s:get(url .. "/home", {auth = word}))
    note(s:get(url .. "/home", {headers = {cookie = "sid=" .. word, ["X-Api-Key"] = word}}))
    note(s:post(url .. "/login", {multipart = {password = word}, redirects = 0}))
    return list
  end

  it("are in no file, and need not be the same when it is replayed", function()
    local _ <close>, path = folder()
    local server <close>, url = login()
    local jar = http.jar()
    local recorded = with(path, "record", function(s)
      local list = run(s, url, "hunter2")
      run(s, url, "b4sic")
      return list
    end, nil, {cookies = jar})
    assert.equal("welcome", recorded[1][2])
    server:close()
    local text = all_of(path)
    for _, word in ipairs(WORDS) do
      assert.is_nil(text:find(word, 1, true))
      assert.is_nil(text:find(corun.codec.base64.encode("me:" .. word), 1, true))
    end
    assert.is_truthy(text:find("Set-Cookie: sid=REDACTED; Path=/; HttpOnly", 1, true))
    assert.is_truthy(text:find("set-cookie:REDACTED", 1, true))
    assert.is_truthy(text:find("Set-Cookie: old=; Max-Age=0", 1, true))
    assert.is_truthy(text:find("/home?a=1&access_token=REDACTED#top", 1, true))
    assert.is_truthy(text:find("user=me", 1, true))
    local again = http.jar()
    local replayed = offline(path, function(s) return run(s, url, "hunter2") end, nil,
      {cookies = again})
    assert.same(recorded, replayed)
    assert.equal(#jar, #again)
  end)

  it("are more than the usual when told, or none", function()
    local _ <close>, path = folder()
    local server <close>, url = support.kept(function(head)
      return ok(head:match("^%S+ (%S+)"), "X-Session: s3cret\r\nX-Other: fine\r\n")
    end)
    local function get(s, word)
      return assert(s:get(url .. "/?Ticket=" .. word, {headers = {["x-session"] = word}})).status
    end
    local o = {secrets = {"x-Session", "ticket"},
      filter_response = function(res) res.body = res.body:gsub("k3y", "***") end}
    with(path, "record", function(s) get(s, "k3y") end, o)
    local text = all_of(path)
    assert.is_nil(text:find("k3y", 1, true))
    assert.is_nil(text:find("s3cret", 1, true))
    assert.is_truthy(text:find("X-Other: fine", 1, true))
    offline(path, function(s) assert.equal(200, get(s, "another")) end, o)
    with(path, "record", function(s) s:get(url, {auth = {"me", "b4sic"}}) end, {secrets = false})
    assert.is_truthy(all_of(path):find(corun.codec.base64.encode("me:b4sic"), 1, true))
    server:close()
  end)
end)

describe("http.recorder filter_response", function()
  it("sees the decoded body, and what it changes is what is recorded", function()
    local _ <close>, path = folder()
    local packed = gzip.encode('{"token": "s3cret"}')
    local server <close>, url = support.kept(function()
      return ok(packed, "Content-Encoding: gzip\r\nX-Trace: 77\r\n")
    end)
    local seen = {}
    local o = {filter_response = function(res, req)
      seen[#seen + 1] = req.method .. " " .. req.url .. " " .. res.status_line
      for i, line in ipairs(res.headers) do res.headers[i] = line:gsub("77", "0") end
      if req.url:find("/token", 1, true) then res.body = res.body:gsub("s3cret", "none") end
    end}
    with(path, "record", function(s)
      for _, target in ipairs{"/token", "/other"} do
        assert.equal("s3cret", assert(s:get(url .. target)):json().token) -- the script gets all
      end
    end, o)
    assert.same({"GET " .. url .. "/token HTTP/1.1 200 OK",
      "GET " .. url .. "/other HTTP/1.1 200 OK"}, seen)
    server:close()
    offline(path, function(s)
      local res = assert(s:get(url .. "/token"))
      assert.equal('{"token": "none"}', res.body)
      assert.equal("0", res.headers["x-trace"])
      assert.equal("17", res.headers["content-length"])
      assert.is_nil(res.headers["content-encoding"])
      res = assert(s:get(url .. "/other", {decode = false}))
      assert.equal(packed, res.body)
      assert.equal("gzip", res.headers["content-encoding"])
    end)
  end)

  it("gets no streamed body, and is blamed for what is no answer", function()
    local _ <close>, path = folder()
    local _ <close>, url = support.kept(function() return ok("body") end)
    local function get(filter, stream)
      return with(path, "record", function(s)
        local res, err = s:get(url, {stream = stream})
        if not res then return nil, err end
        return res.body or res:read("a")
      end, {filter_response = filter})
    end
    local had
    assert.equal("body", get(function(res) had = res.body end, true))
    assert.is_nil(had)
    local good, err = pcall(get, function(res) res.body = "x" end, true)
    assert.is_false(good)
    assert.matches("filter_response must leave a body", err)
    assert.is_false((pcall(get, function(res) res.body = nil end)))
    local body
    body, err = get(function(res) res.status_line = "fine" end)
    assert.is_nil(body)
    assert.equal("ERECORDING", err.code)
    assert.is_false((pcall(get, function() error("mine") end)))
    assert.equal("body", get(nil)) -- and all is well again
  end)
end)

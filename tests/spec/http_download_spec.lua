-- SPDX-License-Identifier: MIT
-- Downloads: whole, resumed, of several ranges at once; what a server may do wrong or change
-- meanwhile; the target is as it was until the file is whole.

local corun = require("corun")
local codec = require("corun.codec")
local fs = require("corun.fs")
local http = require("corun.http")
local json = require("corun.json")
local file_server = require("tests.spec.support.file_server")
local support = require("tests.spec.support.http")

local TEXT = ("0123456789abcdef"):rep(300000) -- 4.8 MB

describe("http.download", function()
  local folder, path

  before_each(function()
    folder = assert(fs.temp{dir = true})
    path = folder:path() .. "/file"
  end)
  after_each(function() folder:close() end)

  -- Download in a session of its own.
  local function download(url, o)
    local s <close> = http.session()
    return s:download(url, path, o)
  end

  local function check_saved(text)
    assert.is_true(fs.read(path) == text, "the file is another one")
    assert.same({"file"}, fs.list(folder:path()))
  end

  -- Fail with this code: the target is as it was, and beside it is what is listed.
  local function check_failed(code, url, o, ...)
    assert(fs.write(path, "old"))
    local n, err = download(url, o)
    assert.is_nil(n)
    assert.equal(code, err.code, tostring(err))
    assert.equal("old", fs.read(path))
    assert.same({"file", ...}, fs.list(folder:path()))
    return err
  end

  it("saves a file, whatever its length and the number of ranges", function()
    for _, size in ipairs{0, 1, 1000, 1 << 20, (1 << 20) + 1, #TEXT} do
      for _, parts in ipairs{1, 2, 5} do
        local it = {text = TEXT:sub(1, size), etag = '"1"'}
        local server <close>, url = file_server(it)
        assert.equal(size, download(url, {parts = parts}))
        check_saved(it.text)
        for _, head in ipairs(it.heads) do
          assert.matches("\r\naccept%-encoding: identity\r\n", head)
        end
        if parts == 1 then assert.same({"all"}, it.seen) end
        server:close()
      end
    end
  end)

  it("fetches several ranges at once, each once", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    local calls, most = 0, 0
    assert.equal(#TEXT, download(url, {parts = 3, on_progress = function(bytes, length)
      calls, most = calls + 1, math.max(most, bytes)
      assert.equal(#TEXT, length)
    end}))
    check_saved(TEXT)
    table.sort(it.seen)
    assert.same({"0-1048575", "1048576-2097151", "2097152-3145727", "3145728-4194303",
      "4194304-4799999"}, it.seen)
    assert.equal(#TEXT, most)
    assert.is_true(calls >= 5)
    server:close()
  end)

  it("falls back to one answer where ranges are not safe", function()
    for _, it in ipairs{
      {text = TEXT, etag = '"1"', ranges = false}, {text = TEXT, etag = 'W/"1"'}, {text = TEXT},
    } do
      local server <close>, url = file_server(it)
      assert.equal(#TEXT, download(url, {parts = 3}))
      check_saved(TEXT)
      assert.is_true(#it.seen <= 2)
      server:close()
    end
  end)

  it("goes on where it was cut, with the same version alone", function()
    for _, o in ipairs{{}, {parts = 3}} do
      for _, it in ipairs{{etag = '"1"'}, {modified = "Tue, 15 Nov 1994 12:45:25 GMT"}} do
        it.text, it.cut = TEXT, 900000
        local server <close>, url = file_server(it)
        check_failed("EOF", url, o, "file.part", "file.part.json")
        it.cut, it.seen = nil, {}
        assert.equal(#TEXT, download(url, o))
        check_saved(TEXT)
        assert.not_equal("all", it.seen[1])
        assert.not_matches("^0%-", it.seen[1])
        assert.matches("if%-range: " .. (it.etag or "Tue"), it.heads[#it.heads])
        server:close()
      end
    end
  end)

  it("begins anew when the version is another, or the server ignores ranges now", function()
    local function again(change)
      local it = {text = TEXT, etag = '"1"', cut = 900000}
      local server <close>, url = file_server(it)
      check_failed("EOF", url, nil, "file.part", "file.part.json")
      it.cut = nil
      change(it)
      assert.equal(#it.text, download(url))
      check_saved(it.text)
      server:close()
    end
    again(function(it) it.etag, it.text = '"2"', TEXT:upper() end)
    again(function(it) it.ranges = false end)
    again(function(it) it.etag, it.text = '"2"', "short" end)
    again(function(it) -- If-Range ignored, and it is shorter
      it.etag, it.text = '"2"', "short"
      it.before = function(head)
        return head:find("range: bytes", 1, true)
          and "HTTP/1.1 416 X\r\ncontent-range: bytes */5\r\ncontent-length: 0\r\n\r\n"
      end
    end)
    again(function(it) -- If-Range ignored: a part of the new version comes
      it.etag, it.text = '"2"', TEXT:upper()
      it.before = function(head)
        if not head:find("range: bytes", 1, true) then return nil end
        return ('HTTP/1.1 206 P\r\netag: "2"\r\ncontent-range: bytes 900000-900000/%d\r\n'):format(
          #TEXT) .. "content-length: 1\r\n\r\nX"
      end
    end)
    again(function() assert(fs.write(path .. ".part.json", '{"version":1,"missing":[{"from"')) end)
    again(function() -- another file in the place of the partial one
      assert(fs.rename(path .. ".part", path .. ".x"))
      assert(fs.copy(path .. ".x", path .. ".part"))
      assert(fs.remove(path .. ".x"))
    end)
    again(function() assert(fs.remove(path .. ".part")) end)
    again(function()
      local note = json.decode(assert(fs.read(path .. ".part.json")))
      note.missing = {{from = 4000000, to = #TEXT - 1}} -- more than there is
      assert(fs.write(path .. ".part.json", json.encode(note)))
    end)
    for _, missing in ipairs{'{"a":1}', '{"from":3}', '{"1":{"from":3}}', "[3]", '"all"', "null",
      '[{"from":0}]', '[{"from":-1,"to":4799999}]', '[{"from":0.5,"to":4799999}]',
      '[{"from":5,"to":9},{"from":8,"to":4799999}]', '[{"from":5,"to":4800000}]'} do
      again(function() -- no list of ranges of it, and the file as long as all of it
        local file <close> = assert(fs.open(path .. ".part", "r+"))
        assert(file:seek("set", #TEXT - 1))
        assert(file:write("x"))
        local note = json.decode(assert(fs.read(path .. ".part.json")))
        note.missing = "MISSING"
        assert(fs.write(path .. ".part.json", (json.encode(note):gsub('"MISSING"', missing))))
      end)
    end
  end)

  it("keeps nothing without a validator, or with resume = false", function()
    for _, it in ipairs{
      {}, {etag = 'W/"1"'}, {modified = "Tue, 15 Nov 1994 12:45:26 GMT"},
      {etag = '"1"', off = true},
    } do
      it.text, it.cut = TEXT, 900000
      local server <close>, url = file_server(it)
      check_failed("EOF", url, {resume = not it.off})
      server:close()
    end
  end)

  it("retries what was cut, from where it was", function()
    local it = {text = TEXT, etag = '"1"', cut = 1000000}
    local server <close>, url = file_server(it)
    assert.equal(#TEXT, download(url, {retries = {tries = 2, min = 0.001}}))
    check_saved(TEXT)
    assert.equal(5, #it.seen)
    it.cut, it.seen = 100, {}
    it.etag = nil
    check_failed("EOF", url, {retries = {tries = 3, min = 0.001}})
    assert.is_true(#it.seen <= 6)
    server:close()
  end)

  it("a file that changes while it is fetched in ranges is fetched anew, once", function()
    local it = {text = TEXT, etag = '"1"'}
    it.before = function(_, n)
      if n == 2 then it.text, it.etag = TEXT:upper(), '"2"' end
    end
    local server <close>, url = file_server(it)
    collectgarbage("stop") -- it would close what the other parts lose
    local _ <close> = corun.defer(function() collectgarbage("restart") end)
    assert.equal(#TEXT, download(url, {parts = 3}))
    check_saved(TEXT:upper())
    it.before = function(_, n) -- as hosts behind one name that do not agree
      it.etag = ('"%d"'):format(n)
    end
    it.seen = {}
    assert.equal(#TEXT, download(url, {parts = 3}))
    check_saved(TEXT:upper())
    local whole = 0 -- what the server reads last may be a range that nobody waits for any more
    for _, range in ipairs(it.seen) do whole = whole + (range == "all" and 1 or 0) end
    assert.equal(1, whole)
    it.cut = 900000
    check_failed("ESTALE", url, {parts = 3, retries = {tries = 2, min = 0.001}})
    server:close()
  end)

  it("ranges of another content coding are another version", function()
    local it = {text = TEXT, modified = "Tue, 15 Nov 1994 12:45:25 GMT", cut = 900000}
    local server <close>, url = file_server(it)
    check_failed("EOF", url, nil, "file.part", "file.part.json")
    it.cut = nil
    it.before = function(head)
      local from = head:match("bytes=(%d+)%-")
      return from and ("HTTP/1.1 206 P\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n"
        .. "content-range: bytes %d-%d/%d\r\n\r\nX"):format(from, from, #TEXT)
    end
    assert.equal(#TEXT, download(url))
    check_saved(TEXT)
    assert.equal("all", it.seen[#it.seen])
    server:close()
  end)

  it("a file is saved in the coding that it comes in, and gone on with in that", function()
    local it = {text = codec.hash("sha256"):update(TEXT):hex():rep(300), etag = '"1"', cut = 5000}
    local server <close>, url = file_server(it)
    it.extra = "content-encoding: gzip\r\n"
    check_failed("EOF", url, nil, "file.part", "file.part.json")
    it.cut = nil
    assert.equal(#it.text, download(url))
    check_saved(it.text)
    assert.matches("^[1-9]", it.seen[#it.seen])
    server:close()
  end)

  it("is led to where the file is, each time anew", function()
    local it = {text = TEXT, etag = '"1"', cut = 900000}
    local target <close>, target_url = file_server(it)
    local heads = {}
    local server <close>, url = support.kept(function(head)
      heads[#heads + 1] = head
      return ("HTTP/1.1 302 X\r\nlocation: %s/%d\r\ncontent-length: 0\r\n\r\n"):format(target_url,
        #heads)
    end)
    local o = {auth = {"me", "secret"}}
    check_failed("EOF", url, o, "file.part", "file.part.json")
    it.cut = nil
    assert.equal(#TEXT, download(url, o))
    check_saved(TEXT)
    assert.equal(2, #heads)
    assert.matches("authorization: ", heads[2])
    assert.not_matches("authorization: ", it.heads[2])
    assert.matches('if%-range: "1"', it.heads[2])
    assert.matches("^[1-9]", it.seen[2])
    assert.equal(#TEXT, download(url, {parts = 3, retries = 1}))
    check_saved(TEXT)
    server:close()
    target:close()
  end)

  it("a part of a file of unknown length is not taken for the rest", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    it.before = function(head)
      if head:find("range: bytes", 1, true) then
        local from = head:match("bytes=(%d+)%-")
        return ('HTTP/1.1 206 P\r\netag: "1"\r\ncontent-range: bytes %d-%d/*\r\n'):format(from,
          from + 2) .. "content-length: 3\r\n\r\nabc"
      end
      return 'HTTP/1.1 200 OK\r\netag: "1"\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n'
        .. (it.is_whole and "0\r\n\r\n" or "")
    end
    it.cut = 12
    check_failed("EOF", url, nil, "file.part", "file.part.json")
    it.cut, it.is_whole = nil, true
    assert.equal(5, download(url))
    check_saved("hello")
    assert.equal(3, #it.seen)
    server:close()
  end)

  it("a part that is shorter than what was asked for is followed by the rest", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    it.before = function(head, n)
      if n == 1 then return nil end
      local from, to = head:match("bytes=(%d+)%-(%d+)")
      to = math.min(tonumber(to), tonumber(from) + 399999)
      return ('HTTP/1.1 206 P\r\netag: "1"\r\ncontent-range: bytes %d-%d/%d\r\n'):format(from, to,
        #TEXT) .. ("content-length: %d\r\n\r\n%s"):format(to - from + 1, TEXT:sub(from + 1, to + 1))
    end
    assert.equal(#TEXT, download(url, {parts = 2}))
    check_saved(TEXT)
    assert.equal(12, #it.seen)
    server:close()
  end)

  it("refuses wrong answers", function()
    local function part(range, body)
      return ('HTTP/1.1 206 P\r\netag: "1"\r\n%scontent-length: %d\r\n\r\n%s'):format(
        range and "content-range: " .. range .. "\r\n" or "", #body, body)
    end
    for _, c in ipairs{
      {"EPROTO", part(nil, "abc")}, {"EPROTO", part("bytes 0-2/4800000", "abc")},
      {"EPROTO", part("bytes 900001-900001/4800000", "abc")}, {"EPROTO", part("bytes x-y/z", "a")},
      {"EPROTO", part("bytes 5-3/4800000", "abc")},
      {"EPROTO", part("bytes 900001-4800000/4800000", "abc")},
      {"EPROTO", part("bytes 900001-99999999999999999999/4800000", "abc")},
      {"EHTTP", "HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n"},
      {"EHTTP", "HTTP/1.1 204 X\r\n\r\n"}, {"EPROTO", "HTTP/1.1 20x\r\n\r\n"},
    } do
      local it = {text = TEXT, etag = '"1"', cut = 900000}
      local server <close>, url = file_server(it)
      check_failed("EOF", url, nil, "file.part", "file.part.json")
      it.cut = nil
      local from
      it.before = function(head)
        from = head:match("bytes=(%d+)%-")
        return (c[2]:gsub("900001", from))
      end
      check_failed(c[1], url, nil, "file.part", "file.part.json")
      it.before = nil
      assert.equal(#TEXT, download(url))
      check_saved(TEXT)
      server:close()
    end
    local server <close>, url = support.canned(part("bytes 0-2/3", "abc"))
    check_failed("EHTTP", url)
    server:close()
  end)

  it("verifies the digest", function()
    local it = {text = TEXT, etag = '"1"'}
    local server <close>, url = file_server(it)
    local digest = codec.hash("sha256"):update(TEXT):hex()
    assert.equal(#TEXT, download(url, {sha256 = digest:upper(), parts = 2}))
    check_saved(TEXT)
    local err = check_failed("ECHECKSUM", url, {sha256 = ("0"):rep(64)})
    assert.matches(digest, err.message, 1, true)
    server:close()
  end)

  it("sets the mode, keeps that of the target, follows a link", function()
    local it = {text = "x", etag = '"1"'}
    local server <close>, url = file_server(it)
    assert.equal(1, download(url, {mode = "640"}))
    assert.equal(tonumber("640", 8), fs.stat(path).mode)
    it.text = "xyz"
    assert.equal(3, download(url))
    assert.equal(tonumber("640", 8), fs.stat(path).mode)
    local target = path
    path = folder:path() .. "/link"
    assert(fs.link("file", path, {symbolic = true}))
    it.text = "linked"
    assert.equal(6, download(url))
    assert.equal("link", fs.stat(path, {follow = false}).kind)
    assert.equal("linked", fs.read(target))
    assert(fs.mkdir(folder:path() .. "/sub"))
    assert(fs.symlink("sub/../link2", folder:path() .. "/link1"))
    assert(fs.symlink(folder:path() .. "/sub/new", folder:path() .. "/link2"))
    path = folder:path() .. "/link1"
    assert.equal(6, download(url)) -- which leads to nothing yet
    assert.equal("linked", fs.read(folder:path() .. "/sub/new"))
    assert.same({"new"}, fs.list(folder:path() .. "/sub"))
    for i = 3, 42 do assert(fs.symlink("link" .. i - 1, folder:path() .. "/link" .. i)) end
    it.text = "longer"
    for n = 40, 41 do -- as many links, less one: 40 are followed
      for _, is_there in ipairs{true, false} do
        if is_there then assert(fs.write(folder:path() .. "/sub/new", "old")) end
        path = folder:path() .. "/link" .. n
        assert.equal(6, download(url))
        assert.equal("link", fs.stat(path, {follow = false}).kind)
        assert.equal("longer", fs.read(folder:path() .. "/sub/new"))
        assert(fs.remove(folder:path() .. "/sub/new"))
      end
    end
    assert(fs.symlink("loop", folder:path() .. "/loop"))
    local n, err
    for _, name in ipairs{"link42", "loop"} do
      path = folder:path() .. "/" .. name
      n, err = download(url)
      assert.is_nil(n)
      assert.equal("ELOOP", err.code)
    end
    path = folder:path()
    n, err = download(url)
    assert.is_nil(n)
    assert.equal("EISDIR", err.code)
    path = folder:path() .. "/no/file"
    it.seen = {}
    n, err = download(url)
    assert.is_nil(n)
    assert.equal("ENOENT", err.code)
    assert.equal("there is no folder " .. folder:path() .. "/no/", err.message)
    assert.same({}, it.seen)
    server:close()
  end)

  it("what a slow server sends is written as it comes", function()
    local written = corun.event()
    local server <close>, url = support.raw(function(stream)
      support.read_request(stream)
      stream:write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
      written:wait()
      stream:write("6\r\n world\r\n0\r\n\r\n")
    end)
    local seen = {}
    assert.equal(11, download(url, {on_progress = function(bytes)
      seen[#seen + 1] = bytes
      if bytes > 0 then written:set() end
    end}))
    assert.same({0, 5, 11}, seen)
    check_saved("hello world")
    server:close()
  end)

  it("a total time limit is for all of it; a limit of the length too", function()
    local server <close>, url = support.raw(function(stream)
      support.read_request(stream)
      stream:write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
      stream:recv({timeout = 30})
    end)
    check_failed("ETIMEDOUT", url, {timeout = 0.1, retries = {tries = 100, min = 0.01}})
    server:close()
    local it = {text = TEXT, etag = '"1"'}
    local other <close>, other_url = file_server(it)
    check_failed("EMSGSIZE", other_url, {max_body = 1000})
    check_failed("EMSGSIZE", other_url, {max_body = 2000000, parts = 2})
    local s <close> = http.session({max_body = 2000000})
    for parts = 1, 3 do -- each has less
      local n, err = s:download(other_url, path, {parts = parts})
      assert.is_nil(n)
      assert.equal("EMSGSIZE", err.code)
    end
    other:close()
  end)

  it("takes a body without a length", function()
    local server <close>, url = support.canned(
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert.equal(5, download(url, {parts = 2}))
    check_saved("hello")
    server:close()
  end)

  it("what it cannot take is misuse", function()
    for text, call in pairs({
      ["the URL must be a string"] = function() http.download(5, "x") end,
      ["the path must be a string"] = function() http.download("http://h/") end,
      ["the path must not be empty"] = function() http.download("http://h/", "") end,
      ['unknown option "resum" for download (did you mean "resume"'] = function()
        http.download("http://h/", "x", {resum = true})
      end,
      ['unknown option "stream"'] = function() http.download("http://h/", "x", {stream = true}) end,
      ['mode for download must be octal digits such as "644"'] = function()
        http.download("http://h/", "x", {mode = "zzz"})
      end,
      ['option "sha256"'] = function() http.download("http://h/", "x", {sha256 = "12"}) end,
      ['header "RANGE"'] = function()
        http.download("http://h/", "x", {headers = {RANGE = "bytes=1-"}})
      end,
    }) do
      local good, err = pcall(call)
      assert.is_false(good)
      assert.matches(text, err, 1, true)
      assert.matches("http_download_spec.lua:%d+: ", err)
    end
  end)
end)

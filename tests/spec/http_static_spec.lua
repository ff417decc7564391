-- SPDX-License-Identifier: MIT
-- http.static: what of a folder is answered, how, and what never is.

local fs = require("corun.fs")
local http = require("corun.http")
local process = require("corun.process")
local support = require("tests.spec.support.http")

local LARGE = ("0123456789abcdef"):rep(40000) -- more than is read at once

describe("http.static", function()
  local folder, root, server, url, session

  local function start(o)
    server = assert(http.serve("127.0.0.1:0", http.static(root, o)))
    url = "http://" .. server:address()
    session = http.session()
  end

  local function get(path, headers, method)
    return assert(session:request(method or "GET", url .. path, {
      headers = headers, decode = false, redirects = false,
    }))
  end

  -- The answer to a path that no client would send.
  local function raw(target)
    local bytes = support.talk(server:address(), ("GET %s HTTP/1.1\r\nhost: h\r\n"):format(target)
      .. "connection: close\r\n\r\n")
    return tonumber(bytes:match("^HTTP/1.1 (%d+)")), bytes
  end

  local function prepare()
    folder = assert(fs.temp{dir = true})
    root = folder:path() .. "/root"
    assert(fs.mkdir(root .. "/sub/deep", {parents = true}))
    assert(fs.write(folder:path() .. "/secret", "secret"))
    assert(fs.write(root .. "/index.html", "<p>home"))
    assert(fs.write(root .. "/a b.txt", "0123456789"))
    assert(fs.write(root .. "/large.bin", LARGE))
    assert(fs.write(root .. "/empty.js", ""))
    assert(fs.write(root .. "/.hidden", "hidden"))
    assert(fs.write(root .. "/sub/page.html", "sub"))
  end

  -- A test with a folder and, once it is started, a server.
  local function example(name, fn)
    it(name, function()
      prepare()
      local _ <close> = folder
      fn()
      session:close()
      server:close()
    end)
  end

  example("answers files with type, length, tag and date, GET and HEAD alike", function()
    start()
    local cases = {
      {"/", "<p>home", "text/html; charset=utf-8"},
      {"/a%20b.txt?x=1", "0123456789", "text/plain; charset=utf-8"},
      {"/large.bin", LARGE, "application/octet-stream"},
      {"/empty.js", "", "text/javascript; charset=utf-8"},
      {"/sub/page.html", "sub", "text/html; charset=utf-8"},
    }
    for _, case in ipairs(cases) do
      for _ = 1, 2 do -- the second may come from what is kept
        local res = get(case[1])
        assert.equal(200, res.status)
        assert.is_true(res.body == case[2], case[1])
        assert.equal(case[3], res.headers["content-type"])
        assert.equal(tostring(#case[2]), res.headers["content-length"])
        assert.matches('^"%x+%-%x+%-%x+"$', res.headers.etag)
        assert.matches("^%a%a%a, .* GMT$", res.headers["last-modified"])
        local head = get(case[1], nil, "HEAD")
        assert.equal("", head.body)
        for _, name in ipairs{"content-length", "etag", "last-modified", "content-type"} do
          assert.equal(res.headers[name], head.headers[name])
        end
      end
    end
    assert.equal(1, session.pool.open)
    assert.equal("GET, HEAD, OPTIONS", get("/", nil, "POST").headers.allow)
    assert.equal(405, get("/", nil, "DELETE").status)
    assert.equal(204, get("/", nil, "OPTIONS").status)
  end)

  example("answers conditions with 304 and 412", function()
    start{cache_control = "no-cache"}
    for _, path in ipairs{"/a%20b.txt", "/large.bin"} do
      local res = get(path)
      local tag, date = res.headers.etag, res.headers["last-modified"]
      local cases = {
        {304, {["If-None-Match"] = tag}}, {304, {["If-None-Match"] = '"x", W/' .. tag}},
        {304, {["If-None-Match"] = "*"}}, {200, {["If-None-Match"] = '"x"'}},
        {304, {["If-Modified-Since"] = date}},
        {200, {["If-Modified-Since"] = "Sat, 01 Jan 2000 00:00:00 GMT"}},
        {200, {["If-Modified-Since"] = "nonsense"}},
        {200, {["If-Modified-Since"] = date, ["If-None-Match"] = '"x"'}},
        {200, {["If-Match"] = tag}}, {412, {["If-Match"] = '"x"'}},
        {412, {["If-Match"] = "W/" .. tag}},
        {412, {["If-Unmodified-Since"] = "Sat, 01 Jan 2000 00:00:00 GMT"}},
      }
      for i, case in ipairs(cases) do
        res = get(path, case[2])
        assert.equal(case[1], res.status, path .. i)
        if res.status == 304 then
          assert.equal("", res.body)
          assert.equal(tag, res.headers.etag)
          assert.equal("no-cache", res.headers["cache-control"])
        end
      end
    end
  end)

  example("answers one range with 206, several with the whole file", function()
    start()
    local all = {["/a%20b.txt"] = "0123456789", ["/large.bin"] = LARGE}
    for path, body in pairs(all) do
      local n = #body
      local res = get(path)
      local cases = {
        {"bytes=0-0", 0, 0}, {"bytes=2-5", 2, 5}, {"bytes=7-", 7, n - 1},
        {"bytes=-3", n - 3, n - 1}, {"bytes=5-99999999", 5, n - 1}, {"BYTES=0-3", 0, 3},
        {"bytes=-99999999999999999999", 0, n - 1}, {"bytes=2-99999999999999999999", 2, n - 1},
      }
      for _, case in ipairs(cases) do
        local part = get(path, {Range = case[1]})
        assert.equal(206, part.status, case[1])
        assert.equal(("bytes %d-%d/%d"):format(case[2], case[3], n), part.headers["content-range"])
        assert.is_true(part.body == body:sub(case[2] + 1, case[3] + 1), case[1])
      end
      for _, range in ipairs{"bytes=99999999-", "bytes=-0", "bytes=99999999999999999999-"} do
        local none = get(path, {Range = range})
        assert.equal(416, none.status, range)
        assert.equal("bytes */" .. n, none.headers["content-range"])
      end
      for _, range in ipairs{"bytes=0-1,3-4", "bytes=5-2", "lines=1-2", "bytes=-", "bytes=x-2",
        "bytes=0x1-2"} do
        local whole = get(path, {Range = range})
        assert.is_true(whole.status == 200 and whole.body == body, range)
      end
      local function since(value)
        return get(path, {Range = "bytes=0-1", ["If-Range"] = value}).status
      end
      assert.equal(206, since(res.headers.etag))
      assert.equal(206, since(res.headers["last-modified"]))
      assert.equal(200, since('"other"'))
      assert.equal(200, since("W/" .. res.headers.etag))
      assert.equal(200, get(path, {Range = "bytes=0-1"}, "HEAD").status)
    end
    get("/large.bin")
    assert.equal(1, session.pool.open)
  end)

  example("never answers what is outside, hidden, or no file", function()
    assert(fs.symlink("../secret", root .. "/out"))
    assert(fs.symlink("..", root .. "/up"))
    assert(fs.symlink("/etc", root .. "/etc"))
    assert(fs.symlink("a b.txt", root .. "/in"))
    assert(fs.symlink("loop", root .. "/loop"))
    assert(process.run{"mkfifo", root .. "/pipe"})
    start{list = true}
    for _, target in ipairs{"/../secret", "/sub/../../secret", "/%2e%2e/secret", "/%2E./secret",
      "/..%2fsecret", "/sub%2f..%2f..%2fsecret", "/..%5csecret", "/..\\secret", "/a%00b", "/.",
      "/sub/..", "/index.html%00.txt", "/%2fetc%2fpasswd", "http://h/../secret"} do
      local status, bytes = raw(target)
      assert.equal(400, status, target)
      assert.is_nil(bytes:find("secret", 1, true))
    end
    for _, target in ipairs{"/out", "/up/secret", "/up/", "/etc/passwd", "/etc/", "/loop", "/pipe",
      "/.hidden", "/%2ehidden",
      "/nothing", "//secret", "//index.html", "/sub//page.html",
      "/%252e%252e/secret", "/.../secret", "/a%20b.txt/", "/a%20b.txt/x", "/" .. ("x"):rep(300)} do
      local status, bytes = raw(target)
      assert.equal(404, status, target)
      assert.is_nil(bytes:find("secret\n", 1, true))
    end
    assert.equal("0123456789", get("/in").body)
  end)

  example("a folder has its index, a list if that is wanted, and a slash at its end", function()
    start()
    assert.equal(404, get("/sub/").status)
    local res = get("/sub?x=1")
    assert.equal(308, res.status)
    assert.equal("/sub/?x=1", res.headers.location)
    local _, bytes = raw("//sub")
    assert.is_nil(bytes:find("[Ll]ocation: //"))
    session:close()
    server:close()
    assert(fs.write(root .. "/sub/<&.txt", ""))
    start{list = true, index = "page.html", hidden = true, fresh = 0}
    assert.equal("sub", get("/sub/").body)
    local page = get("/").body
    assert.matches('<a href="./sub/">sub/</a>', page, 1, true)
    assert.matches('<a href="./.hidden">', page, 1, true)
    assert.equal("hidden", get("/.hidden").body)
    assert(fs.remove(root .. "/sub/page.html"))
    assert.matches('<a href="./%3C%26.txt">&lt;&amp;.txt</a>', get("/sub/").body, 1, true)
  end)

  example("compressed siblings are answered to who accepts them", function()
    assert(fs.write(root .. "/x.js", "plain"))
    assert(fs.write(root .. "/x.js.gz", "gzipped"))
    assert(fs.write(root .. "/x.js.br", "brotli"))
    start{precompressed = true}
    local cases = {
      {nil, "plain"}, {"gzip", "gzipped", "gzip"}, {"br, gzip", "brotli", "br"},
      {"br;q=0.5, gzip", "gzipped", "gzip"}, {"br;q=0", "plain"}, {"zstd", "plain"},
      {"*", "brotli", "br"}, {"identity", "plain"},
      {"gzip, deflate, br, zstd", "brotli", "br"}, {"zstd, gzip;q=0.5", "gzipped", "gzip"},
      {"zstd, gzip;q=0.5, identity", "plain"},
    }
    for _, case in ipairs(cases) do
      for _ = 1, 2 do
        local res = get("/x.js", {["Accept-Encoding"] = case[1] or "identity"})
        assert.equal(case[2], res.body, case[1])
        assert.equal(case[3], res.headers["content-encoding"])
        assert.equal("Accept-Encoding", res.headers.vary)
        assert.matches("^text/javascript", res.headers["content-type"])
      end
    end
    local res = get("/x.js.gz")
    assert.equal("application/gzip", res.headers["content-type"])
    assert.is_nil(res.headers["content-encoding"])
  end)

  example("fresh = 0 sees each change at once; else a change is seen soon", function()
    start{fresh = 0}
    assert.equal("<p>home", get("/").body)
    assert(fs.write(root .. "/index.html", "changed"))
    assert.equal("changed", get("/").body)
    session:close()
    server:close()
    start{fresh = 0.01}
    assert.equal("changed", get("/").body)
    assert(fs.write(root .. "/index.html", "again"))
    support.eventually("it is seen", function() return get("/").body == "again" end)
    assert(fs.remove(root .. "/index.html"))
    support.eventually("it is gone", function() return get("/").status == 404 end)
  end)

  example("curl and requests read files, parts and conditions; routers mount it", function()
    local app = http.router():mount("/files", http.static(root, {types = {bin = "x/y"}}))
    server = assert(http.serve("127.0.0.1:0", app))
    url, session = "http://" .. server:address() .. "/files", http.session()
    local path = folder:path() .. "/got"
    support.run("curl", "-so", path, "-r", "0-99", url .. "/large.bin")
    support.run("curl", "-so", path, "-C", "-", url .. "/large.bin")
    assert.is_true(fs.read(path) == LARGE)
    assert.matches("^304$", (support.run("curl", "-so", "/dev/null", "-z", path, "-w",
      "%{http_code}", url .. "/large.bin")))
    assert.equal("sub", (support.run("curl", "-sL", url .. "/sub/page.html")))
    assert.equal("/files/sub/", get("/sub").headers.location)
    assert.equal("/files/?x=1", get("?x=1").headers.location)
    assert.equal("<p>home", get("/?x=1").body)
    assert.matches("^400", (support.run("curl", "-s", "--path-as-is", "-w", "%{http_code}", "-o",
      "/dev/null", url .. "/../secret")))
    local out, ok = support.run("python3", "-c", [[
import requests, sys
u = sys.argv[1]
r = requests.get(u + '/large.bin')
assert r.content == b'0123456789abcdef' * 40000 and r.headers['content-type'] == 'x/y'
h = {'If-None-Match': r.headers['etag']}
assert requests.get(u + '/large.bin', headers=h).status_code == 304
r = requests.get(u + '/a b.txt', headers={'Range': 'bytes=-4'})
assert (r.status_code, r.text) == (206, '6789'), r.text
]], url)
    assert.is_true(ok, out)
  end)

  example("a folder that is not there is a failure of the server", function()
    assert.error_matches(function() http.static("") end, "path of a folder")
    assert.error_matches(function() http.static("x", {indx = 1}) end, '"index"')
    root = root .. "/nosuch"
    start()
    local original, lines = io.stderr, {}
    io.stderr = {write = function(_, text) lines[#lines + 1] = text end} -- luacheck: ignore 122
    local ok, res = pcall(get, "/x")
    io.stderr = original -- luacheck: ignore 122
    assert.is_true(ok)
    assert.equal(500, res.status)
    assert.matches("nosuch", table.concat(lines), 1, true)
  end)
end)

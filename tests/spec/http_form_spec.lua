-- SPDX-License-Identifier: MIT
-- The option multipart of requests: forms on their way, with files, redirects and refusals. How a
-- form is written is in http_multipart_spec.lua.

local corun = require("corun")
local codec = require("corun.codec")
local http = require("corun.http")
local lfs = require("lfs")
local support = require("tests.spec.support.http")
local files = dofile("tests/spec/support/files.lua")

local kept, ok = support.kept, support.ok

-- A server that keeps what came; "/STATUS" leads to "/end".
local function echo(seen)
  return kept(function(head, body)
    seen.head, seen.body = head, body
    seen.n = (seen.n or 0) + 1
    local status = head:match("^%u+ /(3%d%d)")
    if status then
      return ("HTTP/1.1 %s Moved\r\nlocation: /end\r\ncontent-length: 0\r\n\r\n"):format(status)
    end
    return ok("got")
  end)
end

local function boundary_of(head)
  return head:match("\r\ncontent%-type: multipart/form%-data; boundary=([^\r]*)\r\n")
end

-- Whether this program has a file open.
local function is_open(path)
  for _, entry in ipairs(assert(corun.fs.list("/proc/self/fd"))) do
    if lfs.symlinkattributes("/proc/self/fd/" .. entry, "target") == path then return true end
  end
  return false
end

-- A read that was under way when the call ended holds the file until it has ended too.
local function closed(path)
  support.eventually("the file is closed", function() return not is_open(path) end)
end

describe("http multipart", function()
  it("sends a form with its length, and the type with its boundary", function()
    local seen = {}
    local server <close>, url = echo(seen)
    local _ <close>, path = files.folder()
    files.put(path .. "/a.txt", "text of a")
    local s <close> = http.session({headers = {["Content-Type"] = "application/json"}})
    local form = {kind = "one", file = {path = path .. "/a.txt", type = "text/plain"}}
    assert.equal("got", assert(s:post(url, {multipart = form})).body)
    local boundary = boundary_of(seen.head)
    assert.equal(("--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n"
      .. "Content-Type: text/plain\r\n\r\ntext of a\r\n--%s\r\n"
      .. "Content-Disposition: form-data; name=\"kind\"\r\n\r\none\r\n--%s--\r\n")
      :format(boundary, boundary, boundary), seen.body)
    assert.equal(1, select(2, seen.head:lower():gsub("\r\ncontent%-type:", "")))
    server:close()
  end)

  it("is read by aiohttp as it was meant", function()
    local program = support.has("/usr/bin/python3") and "/usr/bin/python3" or "python3"
    if os.execute(program .. " -c 'import aiohttp' 2>/dev/null") ~= true then
      return pending("aiohttp is not installed")
    end
    local peer = support.start(program, "-c", [[
import aiohttp, asyncio, hashlib
from aiohttp import web
async def up(q):
    out = []
    # in one piece: it looks for a boundary in two at most, and those of the network may be short
    whole = aiohttp.StreamReader(q.protocol, 1 << 30)
    whole.feed_data(await q.read())
    whole.feed_eof()
    async for part in aiohttp.MultipartReader(q.headers, whole):
        data = await part.read()
        md5 = hashlib.md5(data).hexdigest()
        out.append("%s %s %s %s" % (part.name, part.filename, len(data), md5))
    return web.Response(text="\n".join(out))
async def main():
    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/up", up)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("port", site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())]])
    local stop <close> = corun.defer(peer.stop)
    assert.is_not_nil(stop)
    local _ <close>, path = files.folder()
    local large = codec.random(1 << 20):rep(3)
    files.put(path .. "/large.bin", large)
    local function line(name, filename, data)
      return ("%s %s %d %s"):format(name, filename, #data, codec.hash("md5"):update(data):hex())
    end
    local s <close> = http.session()
    for _, expect in ipairs({false, true}) do
      local res = assert(s:post(peer.url .. "/up", {expect = expect, multipart = {
        {"a", "1\r\n2"}, {"file", {path = path .. "/large.bin"}},
        {"bytes", {data = "\0\1", filename = "ü.bin"}},
      }}))
      assert.equal(table.concat({line("a", "None", "1\r\n2"), line("file", "large.bin", large),
        line("bytes", "ü.bin", "\0\1")}, "\n"), res.body)
    end
  end)

  it("is sent again by a redirect that keeps the method, and left out by the others", function()
    local seen = {}
    local server <close>, url = echo(seen)
    local _ <close>, path = files.folder()
    files.put(path .. "/a.txt", ("x"):rep(300000))
    local s <close> = http.session({base = url, headers = {["Content-Type"] = "x/y"}})
    local form = {file = {path = path .. "/a.txt"}, last = "one"}
    assert(s:post("/307", {multipart = form}))
    assert.equal(300000, #seen.body:match("\r\n\r\n(x+)\r\n"))
    assert.matches("--" .. boundary_of(seen.head) .. "--\r\n", seen.body, -70, true)
    assert(s:post("/303", {multipart = form}))
    assert.equal("", seen.body)
    assert.matches("^GET /end ", seen.head)
    assert.not_matches("content%-", seen.head:lower())
    local other <close>, there = kept(function()
      return ("HTTP/1.1 308 Moved\r\nlocation: %s/end\r\ncontent-length: 0\r\n\r\n"):format(url)
    end)
    s.base = there
    assert(s:post("/", {multipart = form}))
    assert.equal(300000, #seen.body:match("\r\n\r\n(x+)\r\n"))
    assert.matches("--" .. boundary_of(seen.head) .. "--\r\n", seen.body, -70, true)
    server:close()
    other:close()
  end)

  it("closes its file when the server refuses, or the caller gives up", function()
    local _ <close>, path = files.folder()
    files.put(path .. "/a", ("x"):rep(64 << 20))
    local waiting = corun.event()
    local server <close>, url = support.raw(function(stream)
      local head = stream:read_until("\r\n\r\n")
      if head:find("^POST /413") then
        stream:write("HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        return
      end
      waiting:set()
      corun.sleep(60)
    end)
    local s <close> = http.session()
    local o = {multipart = {file = {path = path .. "/a"}}}
    assert.equal(413, assert(s:post(url .. "/413", o)).status)
    closed(path .. "/a")
    local t = corun.async(s.post, s, url, o)
    waiting:wait()
    support.eventually("the file is being sent", function() return is_open(path .. "/a") end)
    t:cancel()
    t:await()
    closed(path .. "/a")
    server:close()
  end)

  it("a file that is not there is an error, and nothing is sent", function()
    local seen = {}
    local server <close>, url = echo(seen)
    local s <close> = http.session()
    local res, err = s:post(url, {multipart = {file = {path = "/none/such"}}})
    assert.is_nil(res)
    assert.equal("ENOENT", err.code)
    assert.equal("/none/such", err.target)
    assert.is_nil(seen.head)
    server:close()
  end)

  it("excludes other bodies and a type of the script's", function()
    local s <close> = http.session()
    for _, o in ipairs({{json = {}}, {form = {a = 1}}, {body = "x"},
        {headers = {["CONTENT-type"] = "x/y"}}}) do
      o.multipart = {a = "1"}
      local good, message = pcall(s.post, s, "http://127.0.0.1:1/", o)
      assert.is_false(good)
      assert.matches("^.*http_form_spec.lua:%d+: .*multipart", message)
    end
    assert.has_error(function() s:post("http://127.0.0.1:1/", {multipart = {a = {{}}}}) end)
    assert.has_error(function() http.session({multipart = {}}) end)
  end)
end)

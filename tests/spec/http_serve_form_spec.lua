-- SPDX-License-Identifier: MIT
-- req:form(): what real clients send is what is read, however it is cut into pieces; what is
-- malformed or too much is the client's fault; temporary files go with the request.
local codec = require("corun.codec")
local corun = require("corun")
local fs = require("corun.fs")
local http = require("corun.http")
local json = require("corun.json")
local net = require("corun.net")
local parts = require("corun.http_parts")
local support = require("tests.spec.support.http")

local serve = support.serve

local PYTHON = "/usr/bin/python3"
local BOUNDARY = "x-Y'z"
local TYPE = 'multipart/form-data; boundary="' .. BOUNDARY .. '"'

-- The function that gives a body in pieces that end at these places.
local function pieces_of(body, cuts)
  local at, i = 1, 0
  return function()
    i = i + 1
    local stop = cuts[i] or #body
    local piece = at <= #body and body:sub(at, stop) or nil
    at = stop + 1
    return piece
  end
end

-- The parts of a body as a list of texts, or nil and the error.
local function parse(body, cuts, max_head)
  return corun.try(function()
    local reader = parts.new(pieces_of(body, cuts or {}), BOUNDARY, max_head or 500, "/x")
    repeat until not reader:piece()
    local out = {}
    for part in reader.next, reader do
      local data = {}
      for piece in reader.piece, reader do
        assert.is_not_equal("", piece)
        data[#data + 1] = piece
      end
      out[#out + 1] = ("%q %q %q %q"):format(part.name, part.filename, part.type,
        table.concat(data))
    end
    return out
  end)
end

-- A body of these parts, each a head and its bytes.
local function body_of(list)
  local out = {}
  for _, part in ipairs(list) do
    out[#out + 1] = ("--%s\r\n%s\r\n\r\n%s\r\n"):format(BOUNDARY, part[1], part[2])
  end
  return table.concat(out) .. "--" .. BOUNDARY .. "--\r\n"
end

local DISPOSITION = "Content-Disposition: form-data; name="

-- All that is allowed, and what nearly is a delimiter.
local SAMPLE = ("before\r\n--%s \t\r\n%s"):format(BOUNDARY, body_of{
  {DISPOSITION .. '"a"', "one"},
  {DISPOSITION .. "b", ""},
  {'content-type: text/x\r\nX-Y: \t z\r\ncontent-disposition:form-data ; filename="C:\\f\\\\\\".x"'
    .. ' ; name="c%22%0D%0A%41"', "\r\n--x-Y'\r\n\r\n--x-Y\r\r\n--x-Y'x-Y'z--x-Y'z\r\n-"},
  {DISPOSITION .. "\"d\"; filename*=utf-8''%E2%82%AC;", "\0\r\n"},
}:gsub("^.-\r\n", "")) .. "--" .. BOUNDARY .. "\r\nafter"
local MEANT = {
  '"a" nil nil "one"', '"b" nil nil ""',
  ("%q %q %q %q"):format('c"\r\n%41', 'C:\\f\\".x', "text/x",
    "\r\n--x-Y'\r\n\r\n--x-Y\r\r\n--x-Y'x-Y'z--x-Y'z\r\n-"),
  ("%q %q nil %q"):format("d", "€", "\0\r\n"),
}

describe("the parts of a form:", function()
  it("are the same however the body is cut", function()
    assert.same(MEANT, parse(SAMPLE))
    local each = {}
    for i = 1, #SAMPLE do
      each[i] = i
      assert.same(MEANT, parse(SAMPLE, {i}), i)
      assert.same(MEANT, parse(SAMPLE, {i, i + 1 + i * 7 % 50}), i)
    end
    assert.same(MEANT, parse(SAMPLE, each))
  end)

  it("may be none", function()
    assert.same({}, parse("--" .. BOUNDARY .. "--"))
    assert.same({}, parse("--" .. BOUNDARY .. "-- \t"))
  end)

  it("a body that is cut short is malformed, wherever", function()
    local stop = select(2, SAMPLE:find("--" .. BOUNDARY .. "--", 1, true))
    for i = 0, #SAMPLE do
      local out, err = parse(SAMPLE:sub(1, i))
      if i >= stop then
        assert.same(MEANT, out)
      else
        assert.is_nil(out)
        assert.equal(400, err.status, i)
        assert.equal("EPROTO", err.code)
      end
    end
  end)

  it("what is malformed is refused, and what is over the limit", function()
    local good = DISPOSITION .. "a"
    for head, status in pairs{
      [""] = 400, ["Content-Type: text/plain"] = 400, [DISPOSITION .. '"a'] = 400,
      [DISPOSITION .. 'a"b"'] = 400, [DISPOSITION .. '"a"b'] = 400, [DISPOSITION] = 400,
      ["Content-Disposition: attachment; name=a"] = 400, ["Content-Disposition: form-data"] = 400,
      ["Content-Disposition: form-data; filename=a"] = 400, [good .. "; name=b"] = 400,
      [good .. "\r\n" .. good] = 400, [good .. "\r\n folded"] = 400, [good .. "\r\n: x"] = 400,
      [good .. "\r\nx"] = 400, [good .. "\r\nx : y"] = 400, [good .. "\r\nx: \0"] = 400,
      [good .. "\nx: y"] = 400, [good .. "\rx: y"] = 400, [good .. ", form-data"] = 400,
      [good .. "; filename*=utf-8''%ff"] = 400, [good .. "; filename*=utf-8''%00"] = 400,
      [good .. "; filename*=koi8-r''a"] = 400, [good .. "; filename*=x"] = 400,
      [good .. "\r\nContent-Transfer-Encoding: base64"] = 400,
      [good .. "\r\nx: " .. ("y"):rep(500)] = 413,
    } do
      local out, err = parse(body_of{{head, "data"}})
      assert.is_nil(out, head)
      assert.equal(status, err.status, head)
    end
    local b = "--" .. BOUNDARY
    for _, body in ipairs{
      "", "no form", b, b .. "-", b .. "--x", b .. "\r\n\r\n\r\n" .. b .. "--",
      b .. "\n" .. good .. "\n\nx\n" .. b .. "--",
      b .. "x\r\n" .. good .. "\r\n\r\n\r\n" .. b .. "--",
      b .. "\r\n" .. good .. "\r\n\r\n" .. b .. "--\r\n",
      b .. "\r\n" .. good .. "\r\n\r\nx" .. b .. "--",
    } do
      local out, err = parse(body)
      assert.is_nil(out, body)
      assert.equal(400, err.status, body)
    end
    assert.same({'"a" nil nil "x"'}, parse(body_of{{good .. "\r\nContent-Transfer-Encoding: 8Bit",
      "x"}}))
  end)

  it("a head as long as the limit is read, a longer one is not, however it is cut", function()
    local body = body_of{{DISPOSITION .. "a", "data"}}
    local function is_read(limit, cuts) return parse(body, cuts, limit) ~= nil end
    local least = 1
    while not is_read(least) do least = least + 1 end
    for cut = 1, #body do
      assert.is_true(is_read(least, {cut}), cut)
      assert.is_false(is_read(least - 1, {cut}), cut)
    end
  end)

  it("bodies with random changes are read or refused, however they are cut", function()
    local state = 42
    local function random(n)
      state = (state * 6364136223846793005 + 1442695040888963407)
      return (state >> 33) % n + 1
    end
    local bits = {"\r\n", "--", BOUNDARY, "\r", "\n", ":", ";", '"', "\0", "=", " ", "\\"}
    local refused = 0
    for _ = 1, 4000 do
      local body = SAMPLE
      for _ = 1, random(3) do
        local at = random(#body)
        local bit = random(2) == 1 and bits[random(#bits)] or ""
        body = body:sub(1, at - 1) .. bit .. body:sub(at + random(4) - 1)
      end
      local out, err = parse(body)
      local a = random(#body)
      local other, why = parse(body, {a, a + random(20)})
      assert.same(out, other)
      if not out then
        refused = refused + 1
        assert.equal(err.status, why.status)
        assert.is_true(err.status == 400 or err.status == 413, tostring(err))
      end
    end
    assert.is_true(refused > 1000 and refused < 3900, refused)
  end)
end)

-- What a handler finds in a form, to be compared.
local function echo(req)
  local form = assert(req:form{memory = 1000})
  local out = {}
  for i, part in ipairs(form) do
    out[i] = {part.name, part.filename or false, part.size,
      part.filename and codec.hash("sha256"):update(assert(part:read())):hex() or part.data,
      part.path and "disk" or "memory"}
  end
  return {json = out}
end

local BIG = ("0123456789abcdef"):rep(10000) .. "\r\n--"
local function sha(text) return codec.hash("sha256"):update(text):hex() end

-- A folder with files to send, removed with the closable.
local function folder()
  local dir = assert(fs.temp{dir = true})
  assert(fs.write(dir:path() .. "/big.bin", BIG))
  assert(fs.write(dir:path() .. "/sm\"ä;l.txt", "small\r\n"))
  return dir, dir:path() .. "/big.bin", dir:path() .. "/sm\"ä;l.txt"
end

local function meant()
  return {
    {"text", false, 9, "a\r\nb & ü", "memory"},
    {"text", false, 0, "", "memory"},
    {'n"ä', "big.bin", #BIG, sha(BIG), "disk"},
    {"small", 'sm"ä;l.txt', 7, sha("small\r\n"), "memory"},
  }
end

for _, o in ipairs{{stream = false}, {stream = true}} do
  describe(("req:form with stream = %s:"):format(o.stream), function()

    it("reads what curl sends", function()
      local _ <close>, big, small = folder()
      local server <close>, url = serve(echo, o)
      local out, ok = support.run("curl", "-s", "-F", "text=a\r\nb & ü", "-F", "text=", "-F",
        'n"ä=@' .. big, "-F", 'small=@"' .. small:gsub('"', '\\"') .. '"', url)
      assert.is_true(ok, out)
      assert.same(meant(), assert(json.decode(out)))
      out = support.run("curl", "-s", "-d", "a=1&b=x+%26%c3%bc", "--data-urlencode", "c= =", url)
      assert.same({{"a", false, 1, "1", "memory"}, {"b", false, 5, "x &ü", "memory"},
        {"c", false, 2, " =", "memory"}}, assert(json.decode(out)))
      server:close()
    end)

    it("reads what Python's requests and aiohttp send", function()
      local _ <close>, big, small = folder()
      local server <close>, url = serve(echo, o)
      local out, ok = support.run(PYTHON, "-c", [[
import requests, sys, json, aiohttp, asyncio
url, big, small = sys.argv[1:]
r = requests.post(url, data=[('text', 'a\r\nb & ü'), ('text', '')], files=[
  ('n"ä', open(big, 'rb')), ('small', ('sm"ä;l.txt', b'small\r\n', 'text/plain', {'X-A': 'b'}))])
async def main():
    f = aiohttp.FormData()
    f.add_field('text', 'a\r\nb & ü', content_type='text/plain')
    f.add_field('text', '')
    f.add_field('n"ä', open(big, 'rb'))
    f.add_field('small', b'small\r\n', filename='sm"ä;l.txt')
    async with aiohttp.ClientSession() as s, s.post(url, data=f) as r: return await r.json()
print(json.dumps([r.json(), asyncio.run(main())]))
]], url, big, small)
      assert.is_true(ok, out)
      local got = assert(json.decode(out))
      assert.same(meant(), got[1])
      got[2][4][2] = require("corun.url").decode(got[2][4][2]) -- as aiohttp writes file names
      assert.same(meant(), got[2])
      server:close()
    end)

    it("reads what Node's FormData and our own client send", function()
      local _ <close>, big, small = folder()
      local server <close>, url = serve(echo, o)
      local out, ok = support.run("node", "--no-warnings", "-e", [[
const fs = require("fs"), [url, big, small] = process.argv.slice(1);
(async () => {
  const f = new FormData();
  f.append("text", "a\r\nb & ü");
  f.append("text", "");
  f.append('n"ä', new Blob([fs.readFileSync(big)]), "big.bin");
  f.append("small", new Blob(["small\r\n"]), 'sm"ä;l.txt');
  const r = await fetch(url, {method: "POST", body: f});
  console.log(await r.text());
})()]], url, big, small)
      assert.is_true(ok, out)
      assert.same(meant(), assert(json.decode(out)))
      local s <close> = http.session()
      local res = assert(s:post(url, {multipart = {
        {"text", "a\r\nb & ü"}, {"text", ""}, {'n"ä', {path = big}}, {"small", {path = small}},
      }}))
      assert.same(meant(), res:json())
      assert.equal(1, s.pool.open)
      assert.same({{"a", false, 3, "ü&", "memory"}},
        assert(s:post(url, {form = {a = "ü&"}})):json())
      server:close()
    end)

    it("what is wrong with it is the client's fault, also on the second request", function()
      local server <close>, url = serve(function(req)
        local form = req:form{max_parts = 3, max_files = 1, memory = 2000, max_body = 10000}
        return #form .. " parts"
      end, o)
      local s <close> = http.session()
      local function status(content_type, body)
        assert.equal("0 parts", assert(s:post(url, {headers = {["content-type"] =
          "application/x-www-form-urlencoded"}, body = ""})).body)
        local headers = {["content-type"] = content_type}
        return assert(s:post(url, {headers = headers, body = body})).status
      end
      local field, file = {DISPOSITION .. "a", "x"}, {DISPOSITION .. "a; filename=b", "x"}
      local long = ("x"):rep(2000)
      assert.equal(200, status(TYPE, body_of{field, file, field}))
      assert.equal(413, status(TYPE, body_of{field, field, field, field}))
      assert.equal(413, status(TYPE, body_of{file, file}))
      assert.equal(413, status(TYPE, body_of{{field[1], long}}))
      assert.equal(200, status(TYPE, body_of{{file[1], long}}))
      assert.equal(413, status(TYPE, body_of{{file[1], long:rep(5)}}))
      assert.equal(413, status(TYPE, long:rep(6)))
      assert.equal(413, status(TYPE, body_of{{field[1] .. "\r\nx: " .. long:rep(4, "y"), "x"}}))
      assert.equal(400, status(TYPE, "nothing of that kind"))
      assert.equal(400, status("multipart/form-data", body_of{field}))
      for boundary, refusal in pairs{
        ['""'] = 400, ['"a "'] = 400, [("x"):rep(71)] = 400, ['"\t"'] = 400, ["ä"] = 400,
        ['"a'] = 415, ["x; boundary=x"] = 415, ["x, multipart/form-data"] = 415,
      } do
        assert.equal(refusal, status("multipart/form-data; boundary=" .. boundary, body_of{field}))
      end
      assert.equal(415, status("multipart/mixed; boundary=x", body_of{field}))
      assert.equal(415, status("application/json", "{}"))
      assert.equal(415, status("", ""))
      assert.equal(415, assert(s:get(url)).status)
      assert.equal(413, status("application/x-www-form-urlencoded", "a&b&c&d"))
      assert.equal(413, status("application/x-www-form-urlencoded", long .. "x"))
      server:close()
    end)

    it("temporary files go with the request, however it ends", function()
      local dir <close> = assert(fs.temp{dir = true})
      local saved <close> = assert(fs.temp{dir = true})
      local target = saved:path() .. "/saved"
      local server <close>, url = serve(function(req)
        local form = assert(req:form{memory = 200, parent = dir:path()})
        assert.equal(form, req:form())
        local file = form.files.f
        assert.equal(req.path == "/small" and "memory" or "disk", file.path and "disk" or "memory")
        assert.equal(file.path and 1 or 0, #fs.list(dir:path()))
        assert.equal("file", file.filename)
        if req.path == "/fail" then error("no") end
        if req.path == "/stream" then return function(w) w:write((assert(file:read()))) end end
        assert(file:save(target))
        return fs.read(target)
      end, o)
      local s <close> = http.session()
      for path, size in pairs{["/a"] = 600000, ["/stream"] = 600000, ["/small"] = 10} do
        local data = ("y"):rep(size)
        local res = assert(s:post(url .. path, {multipart = {
          f = {data = data, filename = "../../x\\file"}}}))
        assert.equal(data, res.body)
        support.eventually("it is removed", function() return #fs.list(dir:path()) == 0 end)
      end
      local body = body_of{{DISPOSITION .. "f; filename=file", ("z"):rep(300000)}}
      local head = ("POST /fail HTTP/1.1\r\nhost: h\r\ncontent-type: %s\r\n"
        .. "content-length: %d\r\n\r\n"):format(TYPE, #body)
      local stderr = io.stderr
      io.stderr = {write = function() end} -- luacheck: ignore 122
      local answer = support.talk(server:address(), head:gsub("\r\n$", "connection: close\r\n\r\n")
        .. body)
      io.stderr = stderr -- luacheck: ignore 122
      assert.matches("^HTTP/1.1 500 ", answer)
      assert.same({}, fs.list(dir:path()))
      do
        local stream <close> = assert(net.connect(server:address()))
        stream:write(head, body:sub(1, 200000))
        if o.stream then
          support.eventually("it comes", function() return #fs.list(dir:path()) == 1 end)
        end
      end
      support.eventually("it is removed", function() return #fs.list(dir:path()) == 0 end)
      server:close()
    end)
  end)
end

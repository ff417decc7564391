-- SPDX-License-Identifier: MIT
-- Forms as multipart/form-data: what Python and node read of them is what was meant; files are
-- streamed, and a file that changes meanwhile is an error.
local corun = require "corun"
local codec = require "corun.codec"
local json = require "corun.json"
local multipart = require "corun.http_multipart"
local process = require "corun.process"
local files = dofile("tests/spec/support/files.lua")

local function collect(source)
  local pieces, longest = {}, 0
  while true do
    local piece, err = source.next()
    if err then return nil, err end
    if not piece then return table.concat(pieces), longest end
    pieces[#pieces + 1] = piece
    longest = math.max(longest, #piece)
  end
end

-- The body of a form, and its Content-Type.
local function body_of(form)
  local source = assert(multipart.source(form))
  local body = assert(collect(source))
  assert.equal(source.length, #body)
  assert.is_nil(source.next())
  return body, source.type
end

local function raised(form)
  local ok, message = pcall(multipart.source, form)
  assert.is_false(ok)
  assert.matches("http_multipart_spec.lua:", message)
  return message
end

-- The fields that a program finds in a body: {name, filename or null, type or null, base64}.
local function parsed_by(command, body, content_type)
  local argv = {table.unpack(command)}
  argv[#argv + 1] = content_type
  local res = assert(process.run(argv, {input = body}))
  assert(res.ok, res.stderr)
  return assert(json.decode(res.stdout))
end

-- Python's email and what it knows of MIME; names as bytes, since RFC 7578 has them in UTF-8.
local PYTHON = {"python3", "-c", [[
import sys, json, base64, re, email
raw = sys.stdin.buffer.read()
kind = sys.argv[1]
m = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw)
out = []
def get(s, name):
    found = re.search(r'[; ]%s="([^"]*)"' % name, s)
    return found and found.group(1)
for part in m.get_payload() if m.is_multipart() else []:
    s = dict(part.raw_items())["Content-Disposition"].encode("ascii", "surrogateescape").decode()
    data = part.get_payload(decode=True)
    out.append([get(s, "name"), get(s, "filename"), part["Content-Type"],
                base64.b64encode(data).decode()])
print(json.dumps(out))
]]}

local NODE = {"node", "-e", [[
const chunks = []
process.stdin.on("data", c => chunks.push(c)).on("end", async () => {
  const r = new Response(Buffer.concat(chunks), {headers: {"content-type": process.argv[1]}})
  const out = []
  for (const [name, v] of await r.formData()) {
    const isFile = typeof v !== "string"
    const data = isFile ? Buffer.from(await v.arrayBuffer()) : Buffer.from(v)
    out.push([name, isFile ? v.name : null, isFile ? v.type : null, data.toString("base64")])
  }
  console.log(JSON.stringify(out))
})
]]}

describe("http_multipart", function()
  it("writes fields and files as browsers do", function()
    local body, content_type = body_of{{"a", "x"}, {"n", 5}, {"b", true},
      {"f", {data = "{}", filename = 'q"\r\n.json', type = "application/json"}},
      {'na"me\nü', {data = ""}}, {"j", {data = "1", type = "application/json"}}}
    local boundary = content_type:match("^multipart/form%-data; boundary=(%-%-%-%-corun%x+)$")
    local expected = [[
--B
Content-Disposition: form-data; name="a"

x
--B
Content-Disposition: form-data; name="n"

5
--B
Content-Disposition: form-data; name="b"

true
--B
Content-Disposition: form-data; name="f"; filename="q%22%0D%0A.json"
Content-Type: application/json

{}
--B
Content-Disposition: form-data; name="na%22me%0D%0Aü"


--B
Content-Disposition: form-data; name="j"
Content-Type: application/json

1
--B--
]]
    assert.equal((expected:gsub("\n", "\r\n"):gsub("B", boundary)), body)
    assert.equal(32, #boundary:match("%x+$"))
    assert.not_equal(content_type, (select(2, body_of{})))
  end)

  it("takes tables in the order of their names, and lists of values", function()
    local body = body_of{b = {"2", 3, {data = "4"}}, a = "1", c = {}}
    local names = {}
    for name, value in body:gmatch('name="(.-)"\r\n\r\n(.-)\r\n') do
      names[#names + 1] = name .. value
    end
    assert.same({"a1", "b2", "b3", "b4"}, names)
  end)

  it("is read by Python and node as it was meant", function()
    local _ <close>, path = files.folder()
    local bytes = codec.random(700000)
    files.put(path .. "/große.bin", bytes)
    files.put(path .. "/empty", "")
    local form = {
      {"field", "line\r\nother\nthird"}, {"größe", "5 €"}, {"number", 1.5},
      {"file", {path = path .. "/große.bin"}}, {"file", {path = path .. "/empty", type = "text/x"}},
      {"data", {data = ("--x\r\n"):rep(30000), filename = "日本 ; 'a' .txt", type = "text/plain"}},
    }
    local b64 = codec.base64.encode
    local expected = {
      {"field", json.null, json.null, b64("line\r\nother\nthird")},
      {"größe", json.null, json.null, b64("5 €")},
      {"number", json.null, json.null, b64("1.5")},
      {"file", "große.bin", "application/octet-stream", b64(bytes)},
      {"file", "empty", "text/x", ""},
      {"data", "日本 ; 'a' .txt", "text/plain", b64(("--x\r\n"):rep(30000))},
    }
    assert.same(expected, parsed_by(NODE, body_of(form)))
    -- Node 18 has its own reading of these.
    form[#form + 1] = {"", "no name"}
    form[#form + 1] = {"odd", {data = "x", filename = "a \\ b.txt", type = "text/plain"}}
    expected[#expected + 1] = {"", json.null, json.null, b64("no name")}
    expected[#expected + 1] = {"odd", "a \\ b.txt", "text/plain", b64("x")}
    assert.same(expected, parsed_by(PYTHON, body_of(form)))
  end)

  it("streams files in pieces, and again after a rewind", function()
    local _ <close>, path = files.folder()
    local bytes = ("0123456789abcdef"):rep(200000)
    files.put(path .. "/a", bytes)
    local source = assert(multipart.source{a = {path = path .. "/a"}, b = "x"})
    local before = files.descriptors()
    local first, longest = assert(collect(source))
    assert.is_true(longest <= 256 << 10)
    assert.equal(source.length, #first)
    source.rewind()
    assert.equal(first, assert(collect(source)))
    source.rewind()
    assert(source.next())
    assert(source.next())
    source.rewind()
    assert.equal(first, assert(collect(source)))
    source.rewind()
    assert(source.next())
    assert(source.next())
    assert.equal(before + 1, files.descriptors())
    source.close()
    source.close()
    assert.equal(before, files.descriptors())
  end)

  it("tells when a file has changed its size meanwhile", function()
    local _ <close>, path = files.folder()
    local name = path .. "/log"
    local before = files.descriptors()
    for _, late in ipairs{false, true} do
      for _, size in ipairs{0, 299999, 300001, 400000} do
        files.put(name, ("x"):rep(300000))
        local source = assert(multipart.source{a = {path = name}})
        if late then
          assert(source.next()) -- the head
          assert(source.next()) -- a piece of the file
        end
        files.put(name, ("x"):rep(size))
        local body, err = collect(source)
        assert.is_nil(body)
        assert.equal("ECHANGED", err.code)
        assert.equal(name, err.target)
        assert.matches("has changed its size, 300000 bytes were announced", err.message)
        assert.same({nil, err}, {source.next()})
      end
    end
    local source = assert(multipart.source{a = {path = name}})
    assert(os.remove(name))
    assert(os.execute("mkfifo " .. name))
    assert(source.next())
    local piece, err = source.next()
    assert.is_nil(piece)
    assert.equal("upload " .. name .. ": it is no file any more (ECHANGED)", tostring(err))
    assert.equal(before, files.descriptors())
  end)

  it("fails for what is no file", function()
    local _ <close>, path = files.folder()
    local source, err = multipart.source{a = {path = path .. "/none"}}
    assert.is_nil(source)
    assert.equal("ENOENT", err.code)
    source, err = multipart.source{a = {path = path}}
    assert.is_nil(source)
    assert.equal("EISDIR", err.code)
    assert.matches("^upload .*it is no file", tostring(err))
    source, err = multipart.source{a = {path = "/dev/null"}}
    assert.is_nil(source)
    assert.equal("EINVAL", err.code)
    files.put(path .. "/gone", "x")
    source = assert(multipart.source{a = {path = path .. "/gone"}})
    assert(os.remove(path .. "/gone"))
    assert(source.next())
    assert.equal("ENOENT", select(2, source.next()).code)
  end)

  it("leaves no file open when it is cancelled", function()
    local _ <close>, path = files.folder()
    files.put(path .. "/a", ("x"):rep(3000000))
    local before = files.descriptors()
    for turn = 1, 12 do
      corun.scope(function(s)
        s:spawn(function()
          local source = assert(multipart.source{a = {path = path .. "/a"}})
          local _ <close> = corun.defer(source.close)
          assert(collect(source))
        end)
        for _ = 1, turn do corun.yield() end
        s:cancel()
      end)
    end
    collectgarbage()
    assert.equal(before, files.descriptors())
  end)

  it("refuses misuse", function()
    assert.matches("must be a table, got string", raised("x"))
    assert.matches("names of multipart fields must be strings, got boolean", raised{[true] = 1})
    assert.matches("must be one of {name, value}, got number", raised{1})
    assert.matches('field "a" must be a string, a number.*got function', raised{a = print})
    assert.matches('field "a" must have one of "path" and "data"', raised{a = {type = "x"}})
    assert.matches('must have one of', raised{a = {path = "x", data = "y"}})
    assert.matches('did you mean "filename"', raised{a = {data = "x", file_name = "y"}})
    assert.matches("type with a control character", raised{a = {data = "x", type = "a\r\nb: c"}})
    assert.matches("a list in a list", raised{a = {{{"x"}}}})
  end)
end)

-- SPDX-License-Identifier: MIT
-- corun.codec against other people's programs: python3's zlib, gzip, hashlib and base64, node's
-- zlib, gzip(1), brotli(1), zstd(1), openssl(1). Each decodes what we encode, and we what it does.
local codec = require "corun.codec"

local function has(program)
  return os.execute("command -v " .. program .. " >/dev/null 2>&1") == true
end

local function write(path, s)
  local f <close> = assert(io.open(path, "wb"))
  assert(f:write(s))
end

local function read(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read("a")
end

-- Run a command with this input; its output.
local function filter(command, input)
  local from, to = os.tmpname(), os.tmpname()
  write(from, input)
  local ok = os.execute(("%s <%s >%s"):format(command, from, to))
  local out = read(to)
  os.remove(from)
  os.remove(to)
  assert(ok, command)
  return out
end

-- Functions that give the outputs for a list of inputs. Here: a command for each.
local function each(command)
  return function(inputs)
    local outputs = {}
    for i, input in ipairs(inputs) do outputs[i] = filter(command, input) end
    return outputs
  end
end

-- A program that takes and gives all of them, each behind its length in 8 bytes.
local function all(command)
  return function(inputs)
    local framed, outputs, at = {}, {}, 1
    for i, input in ipairs(inputs) do framed[i] = ("<s8"):pack(input) end
    local text = filter(command, table.concat(framed))
    for i = 1, #inputs do outputs[i], at = ("<s8"):unpack(text, at) end
    return outputs
  end
end

-- The value of an expression, in which `i` is the input.
local function python(expression)
  return all(([[python3 -c 'import sys, zlib, gzip, base64, hashlib, hmac
a, b = sys.stdin.buffer, sys.stdout.buffer
while n := a.read(8):
    i = a.read(int.from_bytes(n, "little"))
    o = %s
    b.write(len(o).to_bytes(8, "little") + o)']]):format(expression))
end

local function node(expression)
  return all(([[node -e 'const z = require("zlib"), a = require("fs").readFileSync(0);
for (let at = 0, n; at < a.length; at += 8 + n) {
  n = Number(a.readBigUInt64LE(at));
  const i = a.subarray(at + 8, at + 8 + n), o = %s, length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(o.length));
  process.stdout.write(Buffer.concat([length, o]));
}']]):format(expression))
end

-- Empty, text, what cannot be made smaller, zeros, a megabyte of mixed content.
local texts = {"", "x", ("The quick brown fox. "):rep(200), codec.random(70000), ("\0"):rep(300000)}
do
  local parts = {}
  for i = 1, 3000 do
    parts[i] = i % 3 == 0 and codec.random(100) or ("%d {\"name\": \"item\"},\n"):format(i):rep(15)
  end
  texts[#texts + 1] = table.concat(parts)
end

-- format, program, its encoder, its decoder
local peers = {
  {"gzip", "gzip", each "gzip -c", each "gzip -dc"},
  {"gzip", "python3", python "gzip.compress(i)", python "gzip.decompress(i)"},
  {"gzip", "node", node "z.gzipSync(i)", node "z.gunzipSync(i)"},
  {"deflate", "python3", python "zlib.compress(i, 9)", python "zlib.decompress(i)"},
  {"deflate", "node", node "z.deflateSync(i)", node "z.inflateSync(i)"},
  {"deflate", "python3",
    python "(lambda c: c.compress(i) + c.flush())(zlib.compressobj(6, 8, -15))"},
  {"deflate", "node", node "z.deflateRawSync(i)"},
  {"br", "brotli", each "brotli -c -q 6", each "brotli -dc"},
  {"br", "node", node "z.brotliCompressSync(i)", node "z.brotliDecompressSync(i)"},
  {"zstd", "zstd", each "zstd -qc", each "zstd -dqc"},
  {"zstd", "zstd", each "zstd -qc --long=27 --no-check"},
  {"zstd", "zstd", each "zstd -qc -19"},
}

local function assert_same(expected, got)
  for i, text in ipairs(expected) do assert.is_true(text == got[i], i) end
end

describe("codec with", function()
  for n, peer in ipairs(peers) do
    local format, program, encode, decode = table.unpack(peer)

    it(("%s decodes what it wrote: %s, peer %d"):format(program, format, n), function()
      if not has(program) then return pending(program .. " is not installed") end
      for i, packed in ipairs(encode(texts)) do
        assert.is_true(texts[i] == codec[format].decode(packed))
        local d, out = codec[format].decoder(), {}
        for at = 1, #packed, 1000 do out[#out + 1] = assert(d:update(packed:sub(at, at + 999))) end
        out[#out + 1] = assert(d:finish())
        assert.is_true(texts[i] == table.concat(out))
      end
    end)

    if decode then
      it(("%s decodes what we wrote: %s, peer %d"):format(program, format, n), function()
        if not has(program) then return pending(program .. " is not installed") end
        local packed = {}
        for i, text in ipairs(texts) do
          packed[i] = codec[format].encode(text, {level = ({1, 9, nil, 3, 5})[i]})
        end
        local e, out = codec[format].encoder(), {}
        for _, text in ipairs(texts) do
          out[#out + 1] = e:update(text)
          out[#out + 1] = e:flush()
        end
        out[#out + 1] = e:finish()
        packed[#packed + 1] = table.concat(out)
        local got = decode(packed)
        assert_same(texts, got)
        assert.is_true(table.concat(texts) == got[#packed])
      end)
    end
  end

  it("python3 in base64 and hex", function()
    if not has("python3") then return pending("python3 is not installed") end
    local base64, base64url, hex = {}, {}, {}
    for i, text in ipairs(texts) do
      base64[i] = codec.base64.encode(text)
      base64url[i] = codec.base64url.encode(text)
      hex[i] = codec.hex.encode(text)
    end
    assert_same(python "base64.b64encode(i)"(texts), base64)
    assert_same(python 'base64.urlsafe_b64encode(i).rstrip(b"=")'(texts), base64url)
    assert_same(python "i.hex().encode()"(texts), hex)
    assert_same(python "base64.b64decode(i)"(base64), texts)
  end)

  it("openssl in hashes, hmac", function()
    if not has("openssl") then return pending("openssl is not installed") end
    local path = os.tmpname()
    for _, text in ipairs(texts) do
      write(path, text)
      for _, name in ipairs{"md5", "sha1", "sha256", "sha384", "sha512"} do
        local hex = filter("openssl dgst -r -" .. name, text):match("^%x+")
        assert.equal(hex, codec.hash(name):update(text):hex())
        assert.equal(hex, codec.hash_file(path, name))
        hex = filter("openssl dgst -r -hmac some-key -" .. name, text):match("^%x+")
        assert.equal(hex, codec.hex.encode(codec.hmac(name, "some-key", text)))
      end
    end
    os.remove(path)
  end)

  it("python3 in crc32 and long keys of hmac", function()
    if not has("python3") then return pending("python3 is not installed") end
    local crcs, macs = {}, {}
    for i, text in ipairs(texts) do
      crcs[i] = tostring(codec.crc32(text))
      macs[i] = codec.hex.encode(codec.hmac("sha512", text, "data"))
    end
    assert_same(python 'b"%d" % zlib.crc32(i)'(texts), crcs)
    assert_same(python 'hmac.new(i, b"data", "sha512").hexdigest().encode()'(texts), macs)
  end)

  it("python3's gzip files of several members", function()
    if not has("python3") then return pending("python3 is not installed") end
    local two = python 'gzip.compress(i) + gzip.compress(b"") + gzip.compress(i)'
    assert.is_true(codec.gzip.decode(two{texts[6]}[1]) == texts[6]:rep(2))
    local named = filter("python3 -c 'import sys, gzip; f = gzip.GzipFile(\"name\", \"wb\", 9, "
      .. "sys.stdout.buffer, 1); f.write(b\"abc\"); f.close()'", "")
    assert.equal("abc", codec.gzip.decode(named))
  end)
end)

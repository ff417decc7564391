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

local function python(code)
  return ([[python3 -c 'import sys, zlib, gzip, base64, hashlib, hmac
i = sys.stdin.buffer.read()
def put(b): sys.stdout.buffer.write(b)
%s']]):format(code)
end

local function node(code)
  return ([[node -e 'const z = require("zlib"), i = require("fs").readFileSync(0);
process.stdout.write(%s)']]):format(code)
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
  {"gzip", "gzip", "gzip -c", "gzip -dc"},
  {"gzip", "python3", python "put(gzip.compress(i))", python "put(gzip.decompress(i))"},
  {"gzip", "node", node "z.gzipSync(i)", node "z.gunzipSync(i)"},
  {"deflate", "python3", python "put(zlib.compress(i, 9))", python "put(zlib.decompress(i))"},
  {"deflate", "node", node "z.deflateSync(i)", node "z.inflateSync(i)"},
  {"deflate", "python3", python "c = zlib.compressobj(6, 8, -15); put(c.compress(i) + c.flush())"},
  {"deflate", "node", node "z.deflateRawSync(i)"},
  {"br", "brotli", "brotli -c -q 6", "brotli -dc"},
  {"br", "node", node "z.brotliCompressSync(i)", node "z.brotliDecompressSync(i)"},
  {"zstd", "zstd", "zstd -qc", "zstd -dqc"},
  {"zstd", "zstd", "zstd -qc --ultra -22 --long=27 --no-check"},
}

describe("codec with", function()
  for n, peer in ipairs(peers) do
    local format, program, encoder, decoder = table.unpack(peer)

    it(("%s decodes what it wrote: %s, peer %d"):format(program, format, n), function()
      if not has(program) then return pending(program .. " is not installed") end
      for _, text in ipairs(texts) do
        local packed = filter(encoder, text)
        assert.is_true(text == codec[format].decode(packed))
        local d, out = codec[format].decoder(), {}
        for i = 1, #packed, 1000 do out[#out + 1] = assert(d:update(packed:sub(i, i + 999))) end
        out[#out + 1] = assert(d:finish())
        assert.is_true(text == table.concat(out))
      end
    end)

    if decoder then
      it(("%s decodes what we wrote: %s, peer %d"):format(program, format, n), function()
        if not has(program) then return pending(program .. " is not installed") end
        for i, text in ipairs(texts) do
          local level = ({1, 9, nil, 3, 5})[i]
          assert.is_true(text == filter(decoder, codec[format].encode(text, {level = level})))
        end
        local e, out = codec[format].encoder(), {}
        for _, text in ipairs(texts) do
          out[#out + 1] = e:update(text)
          out[#out + 1] = e:flush()
        end
        out[#out + 1] = e:finish()
        assert.is_true(table.concat(texts) == filter(decoder, table.concat(out)))
      end)
    end
  end

  it("python3 in base64 and hex", function()
    if not has("python3") then return pending("python3 is not installed") end
    for _, text in ipairs(texts) do
      assert.is_true(filter(python "put(base64.b64encode(i))", text) == codec.base64.encode(text))
      assert.is_true(filter(python 'put(base64.urlsafe_b64encode(i).rstrip(b"="))', text)
        == codec.base64url.encode(text))
      assert.is_true(filter(python "put(i.hex().encode())", text) == codec.hex.encode(text))
      assert.is_true(filter(python "put(base64.b64decode(i))", codec.base64.encode(text)) == text)
    end
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
    for _, text in ipairs(texts) do
      assert.equal(filter(python 'put(b"%d" % zlib.crc32(i))', text), tostring(codec.crc32(text)))
      assert.equal(filter(python 'put(hmac.new(i, b"data", "sha512").hexdigest().encode())', text),
        codec.hex.encode(codec.hmac("sha512", text, "data")))
    end
  end)

  it("python3's gzip files of several members", function()
    if not has("python3") then return pending("python3 is not installed") end
    local two = python 'put(gzip.compress(i) + gzip.compress(b"") + gzip.compress(i))'
    assert.is_true(codec.gzip.decode(filter(two, texts[6])) == texts[6]:rep(2))
    local named = filter("python3 -c 'import sys, gzip; f = gzip.GzipFile(\"name\", \"wb\", 9, "
      .. "sys.stdout.buffer, 1); f.write(b\"abc\"); f.close()'", "")
    assert.equal("abc", codec.gzip.decode(named))
  end)
end)

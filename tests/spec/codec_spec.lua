-- SPDX-License-Identifier: MIT
-- corun.codec: text, compression, hashes, each by itself. The peers stand in codec_peers_spec, the
-- threads in codec_thread_spec.
local corun = require "corun"
local codec = require "corun.codec"

local FORMATS = {"gzip", "deflate", "br", "zstd"}

-- Bytes that are the same in each run, compressible to about `share` of their size.
local function sample(size, seed, share)
  local x, out = seed or 1, {}
  for i = 1, size do
    x = (x * 1103515245 + 12345) & 0x7fffffff
    out[i] = string.char((x >> 16) % (share or 64) + 32)
  end
  return table.concat(out)
end

describe("codec.base64", function()
  it("encodes and decodes the vectors of RFC 4648", function()
    local vectors = {
      {"", "", ""}, {"f", "Zg==", "Zg"}, {"fo", "Zm8=", "Zm8"}, {"foo", "Zm9v", "Zm9v"},
      {"foob", "Zm9vYg==", "Zm9vYg"}, {"fooba", "Zm9vYmE=", "Zm9vYmE"},
      {"foobar", "Zm9vYmFy", "Zm9vYmFy"}, {"\251\255\191", "+/+/", "-_-_"},
    }
    for _, v in ipairs(vectors) do
      assert.equal(v[2], codec.base64.encode(v[1]))
      assert.equal(v[3], codec.base64url.encode(v[1]))
      assert.equal(v[1], codec.base64.decode(v[2]))
      assert.equal(v[1], codec.base64url.decode(v[3]))
    end
    assert.equal("f", codec.base64url.decode("Zg=="))
  end)

  it("gives every byte back, at every length", function()
    local all = {}
    for i = 0, 255 do all[#all + 1] = string.char(i) end
    local s = table.concat(all)
    for n = 0, 256 do
      local part = s:sub(1, n)
      for _, name in ipairs{"base64", "base64url", "hex"} do
        assert.equal(part, codec[name].decode(codec[name].encode(part)))
      end
    end
  end)

  it("refuses what no encoder writes, and says where", function()
    local bad = {
      {"Zg", 3, "padding is missing"}, {"Zg=", 4, "padding is missing"},
      {"Zg===", 3, "padding in the middle"}, {"Z", 2, "cut off"}, {"Zm9v=", 5, "too much padding"},
      {"Zm9vZ", 6, "cut off"}, {"Zh==", 2, "bits that stand for nothing"},
      {"Zm9=", 3, "bits that stand for nothing"}, {"Zg==Zg==", 3, "padding in the middle"},
      {"Zm 9", 3, "not a base64 character"}, {"Zm9v\n", 5, "not a base64 character"},
      {"Zm9vYg==\n", 7, "padding in the middle"}, {"Zm9vZm9\0", 8, "not a base64 character"},
      {"-_-_", 1, "not a base64 character"}, {"====", 1, "padding"}, {"\255Zm9", 1, "not a base64"},
    }
    for _, b in ipairs(bad) do
      local s, err = codec.base64.decode(b[1])
      assert.is_nil(s, b[1])
      assert.equal("EINVAL", err.code)
      assert.matches(b[3], err.message, nil, true)
      if not b[3]:find("cut off", 1, true) and b[1] ~= "====" then
        assert.equal(b[2], err.offset, b[1])
      end
    end
    local _, err = codec.base64url.decode("+/+/")
    assert.equal(1, err.offset)
    assert.equal("decode base64url: not a base64 character at byte 1 (EINVAL)", tostring(err))
    assert.is_nil((codec.base64url.decode("Zg=")))
  end)

  it("finds a wrong character at every place", function()
    local good = codec.base64.encode(sample(60))
    for i = 1, #good do
      local _, err = codec.base64.decode(good:sub(1, i - 1) .. "*" .. good:sub(i + 1))
      assert.equal(i, err.offset)
    end
  end)

  it("takes strings alone", function()
    for _, f in ipairs{codec.base64.encode, codec.base64.decode, codec.hex.encode, codec.hex.decode,
      codec.gzip.encode, codec.gzip.decode} do
      for _, v in ipairs{1, true, {}} do
        local ok, message = pcall(f, v)
        assert.is_false(ok)
        assert.matches("string expected", message)
      end
    end
  end)
end)

describe("codec.hex", function()
  it("writes small letters and reads both", function()
    assert.equal("00ff10ab", codec.hex.encode("\0\255\16\171"))
    assert.equal("\0\255\16\171", codec.hex.decode("00FF10aB"))
    assert.equal("", codec.hex.decode(""))
  end)

  it("refuses other characters and half a byte", function()
    for _, b in ipairs{{"0", 2}, {"0g", 2}, {"g0", 1}, {"00 0", 3}, {"000", 4}, {"00x", 3}} do
      local s, err = codec.hex.decode(b[1])
      assert.is_nil(s)
      assert.equal("EINVAL", err.code)
      assert.equal(b[2], err.offset)
    end
  end)
end)

for _, name in ipairs(FORMATS) do
  local f = codec[name]

  describe("codec." .. name, function()
    it("gives back what it was given, at every level", function()
      local texts = {"", "x", sample(1000), ("ab"):rep(5000), sample(3000, 7, 224)}
      for level = name == "zstd" and 1 or 0, name == "zstd" and 22 or name == "br" and 11 or 9 do
        for _, s in ipairs(texts) do assert.equal(s, f.decode(f.encode(s, {level = level}))) end
      end
    end)

    it("gives it back in pieces of any size", function()
      local s = sample(5000, 3, 16)
      for _, size in ipairs{1, 7, 4999, 5000} do
        local e, packed = f.encoder(), {}
        for i = 1, #s, size do packed[#packed + 1] = e:update(s:sub(i, i + size - 1)) end
        packed[#packed + 1] = e:finish()
        packed = table.concat(packed)
        assert.equal(s, f.decode(packed))
        local d, out = f.decoder(), {}
        for i = 1, #packed, size do out[#out + 1] = d:update(packed:sub(i, i + size - 1)) end
        out[#out + 1] = d:finish()
        assert.equal(s, table.concat(out))
      end
    end)

    it("lets the other side see what was flushed", function()
      local e <close> = f.encoder()
      local d <close> = f.decoder()
      for i = 1, 5 do
        local line = ("line %d\n"):format(i)
        assert.equal(line, d:update(e:update(line) .. e:flush()))
      end
    end)

    it("refuses data that ends at any byte", function()
      local s = f.encode(sample(300, 5, 8))
      for n = 0, #s - 1 do
        local out, err = f.decode(s:sub(1, n))
        assert.is_nil(out)
        assert.equal("EINVAL", err.code)
        assert.matches("truncated", err.message)
        assert.equal(n + 1, err.offset)
        local d <close> = f.decoder()
        assert.is_string(d:update(s:sub(1, n)))
        out, err = d:finish()
        assert.is_nil(out)
        assert.matches("truncated", err.message)
      end
    end)

    it("answers damage in any bit; not with other bytes where there is a CRC", function()
      local text = sample(300, 5, 8)
      local s = f.encode(text)
      for i = 1, #s do
        for bit = 0, 7 do
          local damaged = s:sub(1, i - 1) .. string.char(s:byte(i) ~ 1 << bit) .. s:sub(i + 1)
          local out, err = f.decode(damaged, {max = 1 << 20})
          if not out then
            assert.is_true(err.code == "EINVAL" or err.code == "EMSGSIZE")
          elseif name == "gzip" or name == "zstd" then -- Adler-32 is no match for short texts
            assert.equal(text, out) -- a bit that means nothing, such as gzip's time
          end
        end
      end
    end)

    it("refuses rubbish after the end", function()
      local s = f.encode("hello")
      for _, rest in ipairs{"x", "\0", "\31", ("\0"):rep(512)} do
        local out, err = f.decode(s .. rest)
        assert.is_nil(out)
        assert.equal("EINVAL", err.code)
      end
      local d <close> = f.decoder()
      assert.equal("hello", d:update(s))
      local out, err = d:update("xyzzy")
      assert.is_nil(out)
      assert.equal("EINVAL", err.code)
      assert.equal(#s + 1, name == "zstd" and #s + 1 or err.offset)
    end)

    it("gives no more than max, and all of max", function()
      local bomb = f.encode(("\0"):rep(3 << 20))
      assert.is_true(#bomb < 8192)
      assert.equal(3 << 20, #f.decode(bomb))
      assert.equal(3 << 20, #f.decode(bomb, {max = 3 << 20}))
      for _, max in ipairs{0, 1, 1000, (3 << 20) - 1} do
        local out, err = f.decode(bomb, {max = max})
        assert.is_nil(out)
        assert.equal("EMSGSIZE", err.code)
        assert.matches(("the %d bytes"):format(max), err.message)
        local d <close> = f.decoder({max = max})
        out, err = d:update(bomb)
        assert.is_nil(out)
        assert.equal("EMSGSIZE", err.code)
        out, err = d:update("")
        assert.is_nil(out)
        assert.equal("EMSGSIZE", err.code)
      end
      assert.equal("", f.decode(f.encode(""), {max = 0}))
    end)

    it("stops at 64 MiB unless it is told otherwise #heavy", function()
      local e, packed = f.encoder({level = 1}), {}
      local block = ("\0"):rep(1 << 20)
      for _ = 1, 64 do packed[#packed + 1] = e:update(block) end
      packed[#packed + 1] = e:update("x")
      packed[#packed + 1] = e:finish()
      packed = table.concat(packed)
      local out, err = f.decode(packed)
      assert.is_nil(out)
      assert.equal("EMSGSIZE", err.code)
      assert.equal((64 << 20) + 1, #f.decode(packed, {max = math.huge}))
      collectgarbage()
    end)

    it("names where it was closed", function()
      for _, make in ipairs{f.encoder, f.decoder} do
        local e = make()
        e:close()
        e:close()
        local ok, err = pcall(e.update, e, "x")
        assert.is_false(ok)
        assert.equal("ECLOSED", err.code)
        assert.matches("was closed at tests/spec/codec_spec.lua:%d+", err.message)
        assert.matches(name .. " %l+coder 0x%x+ %(closed%)", tostring(e))
      end
      local e = f.encoder()
      assert.matches("%(open%)$", tostring(e))
      e:finish()
      assert.is_false(pcall(e.finish, e))
      do
        local _ <close> = e
      end
      local kept
      do
        local d <close> = f.decoder()
        kept = d
      end
      local _, err = pcall(kept.finish, kept)
      assert.matches("where its <close> variable went out of scope", err.message)
    end)

    it("a decoder that failed stays so", function()
      local d <close> = f.decoder()
      local _, first = d:update(("\255\254"):rep(50))
      assert.equal("EINVAL", first.code)
      local _, second = d:update(f.encode("x"))
      assert.same({first.code, first.message}, {second.code, second.message})
      assert.matches("%(failed%)$", tostring(d))
    end)

    it("misuse raises in the caller's line", function()
      local function message(fn, ...)
        local ok, e = pcall(fn, ...)
        assert.is_false(ok)
        return tostring(e)
      end
      assert.matches('codec_spec.lua:%d+: unknown option "lvel" for ' .. name ..
        '.encode %(did you mean "level"%?%)', message(function() f.encode("x", {lvel = 1}) end))
      assert.matches('"level" for ' .. name .. ".encoder must be %d to %d+, got 99",
        message(function() f.encoder({level = 99}) end))
      assert.matches('"max" for ' .. name .. ".decode must be",
        message(function() f.decode("", {max = -1}) end))
      assert.matches('"max"', message(function() f.decode("", {max = 1.5}) end))
      assert.matches("table", message(function() f.decode("", 5) end))
      assert.matches("encoder or decoder expected", message(f.encoder().update, io.stdout, "x"))
    end)

    it("an encoder that was collected is closed in another's finaliser", function()
      local seen
      do
        local e = f.encoder()
        setmetatable({}, {__gc = function() seen = select(2, pcall(e.update, e, "x")) end})
      end
      collectgarbage()
      collectgarbage()
      assert.is_not_nil(seen)
    end)
  end)
end

describe("codec.gzip", function()
  it("takes members that follow each other, also in pieces", function()
    local g = codec.gzip
    local s = g.encode("one ") .. g.encode("") .. g.encode("three")
    assert.equal("one three", g.decode(s))
    local d, out = g.decoder(), {}
    for byte in s:gmatch(".") do out[#out + 1] = d:update(byte) end
    assert.equal("one three", table.concat(out) .. d:finish())
    for n = #g.encode("one ") + 1, #s - #g.encode("three") - 1 do
      assert.is_nil((g.decode(s:sub(1, n))))
    end
    assert.equal("EMSGSIZE", select(2, g.decode(s, {max = 8})).code)
  end)
end)

describe("codec.zstd", function()
  it("takes frames that follow each other, and those to be skipped", function()
    local z = codec.zstd
    local skipped = "\x50\x2a\x4d\x18\3\0\0\0abc"
    assert.equal("onetwo", z.decode(z.encode("one") .. skipped .. z.encode("two")))
    assert.is_nil((z.decode(z.encode("one") .. skipped:sub(1, -2))))
  end)

  it("refuses what zstd wrote before it had a stable format", function()
    for first = 0x1e, 0x27 do
      local out, err = codec.zstd.decode(string.char(first) .. "\xb5\x2f\xfd\0\0\0\0\0\0")
      assert.is_nil(out)
      assert.equal("the data is not in this format at byte 1", err.message)
    end
  end)
end)

describe("codec.deflate", function()
  it("takes zlib's format and raw data", function()
    local raw = "\xcb\x48\xcd\xc9\xc9\x07\x00"
    assert.equal("hello", codec.deflate.decode(raw))
    assert.equal("hello", codec.deflate.decode("\x78\x9c" .. raw .. "\x06\x2c\x02\x15"))
    assert.equal("\x78", codec.deflate.encode("x"):sub(1, 1))
    local d, out = codec.deflate.decoder(), {}
    for byte in raw:gmatch(".") do out[#out + 1] = d:update(byte) end
    assert.equal("hello", table.concat(out) .. d:finish())
  end)
end)

describe("codec hashes", function()
  local VECTORS = { -- of "abc": RFC 1321, FIPS 180
    md5 = "900150983cd24fb0d6963f7d28e17f72",
    sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d",
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    sha384 = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
      .. "8086072ba1e7cc2358baeca134c825a7",
    sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
      .. "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
  }

  it("give the published values", function()
    for name, hex in pairs(VECTORS) do
      assert.equal(hex, codec.hash(name):update("abc"):hex())
      assert.equal(hex, codec.hash(name):update("a"):update(""):update("bc"):hex())
      assert.equal(codec.hex.decode(hex), codec.hash(name):update("abc"):bytes())
    end
  end)

  it("can be asked in between", function()
    local h = codec.hash("sha256"):update("abc")
    assert.equal(VECTORS.sha256, h:hex())
    assert.equal(VECTORS.sha256, h:hex())
    assert.equal(codec.hash("sha256"):update("abcd"):hex(), h:update("d"):hex())
    assert.matches("^sha256 hash 0x%x+$", tostring(h))
  end)

  it("of a file are those of its bytes", function()
    local path = os.tmpname()
    local s = sample(700001)
    local f = assert(io.open(path, "wb"))
    f:write(s)
    f:close()
    for name in pairs(VECTORS) do
      assert.equal(codec.hash(name):update(s):hex(), codec.hash_file(path, name))
    end
    assert.equal(codec.hash_file(path, "sha256"), codec.hash_file(path))
    os.remove(path)
    local out, err = codec.hash_file(path)
    assert.is_nil(out)
    assert.equal("ENOENT", err.code)
    assert.equal("hash_file " .. path .. ": no such file or directory (ENOENT)", tostring(err))
    assert.equal("EISDIR", select(2, codec.hash_file("tests")).code)
  end)

  it("name the algorithms that there are", function()
    for _, f in ipairs{codec.hash, function(a) codec.hash_file("x", a) end,
      function(a) codec.hmac(a, "k", "s") end} do
      local ok, message = pcall(f, "sha3")
      assert.is_false(ok)
      assert.matches('unknown algorithm "sha3": md5, sha1, sha256', message)
    end
    assert.is_false(pcall(codec.hash))
    assert.is_false(pcall(codec.hash_file, "a\0b"))
  end)

  it("hmac gives the values of RFC 4231", function()
    local function mac(alg, key, s) return codec.hex.encode(codec.hmac(alg, key, s)) end
    assert.equal("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
      mac("sha256", ("\x0b"):rep(20), "Hi There"))
    assert.equal("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
      mac("sha256", "Jefe", "what do ya want for nothing?"))
    assert.equal("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
      mac("sha256", ("\xaa"):rep(131), "Test Using Larger Than Block-Size Key - Hash Key First"))
    assert.equal(32, #codec.hmac("sha256", "", ""))
  end)

  it("equal compares all of two strings", function()
    assert.is_true(codec.equal("", ""))
    assert.is_true(codec.equal("a\0b", "a\0b"))
    for _, p in ipairs{{"a", "b"}, {"a\0b", "a\0c"}, {"a", "aa"}, {"", "a"}} do
      assert.is_false(codec.equal(p[1], p[2]))
    end
  end)

  it("crc32 goes on from another", function()
    assert.equal(0xcbf43926, codec.crc32("123456789"))
    assert.equal(0xcbf43926, codec.crc32("6789", codec.crc32("12345")))
    assert.equal(0, codec.crc32(""))
    assert.is_false(pcall(codec.crc32, "", -1))
    assert.is_false(pcall(codec.crc32, "", 1 << 32))
  end)
end)

describe("codec random values", function()
  it("have the length that was asked for, and differ", function()
    for _, n in ipairs{0, 1, 16, 1000, 1 << 20} do assert.equal(n, #codec.random(n)) end
    assert.not_equal(codec.random(16), codec.random(16))
    local seen, count = {}, 0
    for byte in codec.random(20000):gmatch(".") do
      if not seen[byte] then seen[byte], count = true, count + 1 end
    end
    assert.equal(256, count)
    for _, n in ipairs{-1, (1 << 20) + 1, 1.5, "x"} do assert.is_false(pcall(codec.random, n)) end
  end)

  it("uuid gives version 4, or 7 in the order of time", function()
    local hex = "%x%x%x%x"
    local form = "^" .. hex .. hex .. "%-" .. hex .. "%-V%x%x%x%-[89ab]%x%x%x%-" .. hex .. hex
      .. hex .. "$"
    local seen = {}
    for _ = 1, 1000 do
      local u = codec.uuid()
      assert.matches(form:gsub("V", "4"), u)
      assert.is_nil(seen[u])
      seen[u] = true
    end
    local before = os.time() * 1000
    local u = codec.uuid(7)
    assert.matches(form:gsub("V", "7"), u)
    local ms = tonumber((u:sub(1, 8) .. u:sub(10, 13)), 16)
    assert.is_true(ms >= before and ms <= before + 60000)
    corun.sleep(0.002)
    assert.is_true(u < codec.uuid(7))
    assert.is_false(pcall(codec.uuid, 1))
  end)
end)

describe("decoders with a bound on the output of a call", function()
  for _, name in ipairs({"gzip", "deflate", "br", "zstd"}) do
    it(name .. " ends early, and goes on with what is left", function()
      local text = ("\0"):rep(5 << 20) .. "end"
      local packed = codec[name].encode(text)
      local decoder <close> = codec[name].decoder()
      local out, calls, rest = {}, 0, packed
      repeat
        local piece, left = decoder:update(rest, 100000)
        assert.is_true(#piece < 1 << 20)
        out[#out + 1], calls = piece, calls + 1
        rest = left and rest:sub(#rest - left + 1)
      until not rest
      out[#out + 1] = decoder:finish()
      assert.is_true(text == table.concat(out))
      assert.is_true(calls >= 5)
    end)
  end

  it("a bound must be a positive integer; damage is found as ever", function()
    local decoder <close> = codec.gzip.decoder()
    assert.error_matches(function() decoder:update("", 0) end, "positive")
    local none, err = decoder:update("no gzip", 10)
    assert.is_nil(none)
    assert.equal("EINVAL", err.code)
  end)
end)

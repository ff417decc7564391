-- SPDX-License-Identifier: MIT
-- Content codings of responses: decoded whole and streamed, damaged ones, bombs.

local corun = require("corun")
local codec = require("corun.codec")
local http = require("corun.http")
local support = require("tests.spec.support.http")

local ok, kept, canned = support.ok, support.kept, support.canned

local TEXT = {}
for i = 1, 30000 do TEXT[i] = ("line %d of the text\n"):format(i) end
TEXT = table.concat(TEXT)

local function coded(coding, body)
  return ok(body, "content-encoding: " .. coding .. "\r\n")
end

-- Serve these bytes with this Content-Encoding, whatever is asked.
local function serving(coding, body)
  return kept(function() return coded(coding, body) end)
end

describe("http content codings", function()
  it("are asked for, unless they would be in the way", function()
    local server <close>, url = kept(function(head)
      return ok(head:match("\r\naccept%-encoding: ([^\r]*)") or "none")
    end)
    local s <close> = http.session()
    assert.equal("gzip, deflate, br, zstd", assert(s:get(url)).body)
    assert.equal("identity", assert(s:get(url, {decode = false})).body)
    assert.equal("identity", assert(s:get(url, {headers = {Range = "bytes=0-"}})).body)
    assert.equal("br", assert(s:get(url, {headers = {["accept-encoding"] = "br"}})).body)
    server:close()
  end)

  for _, name in ipairs({"gzip", "deflate", "br", "zstd"}) do
    for _, stream in ipairs({false, true}) do
      it(("%s, stream = %s: decoded, empty, truncated, damaged"):format(name, stream), function()
        local packed = codec[name].encode(TEXT)
        local body = packed
        local server <close>, url = kept(function() return coded(name, body) end)
        local s <close> = http.session({stream = stream})
        local function fetch(o)
          local res, err = s:get(url, o)
          if not res or not stream then return res and res.body, err end
          return res:read("a")
        end
        for _ = 1, 2 do assert.is_true(TEXT == assert(fetch())) end
        assert.is_true(packed == fetch({decode = false}))
        assert.equal(1, s.pool.open)
        body = ""
        assert.equal("", fetch())
        body = codec[name].encode("")
        assert.equal("", fetch())
        for cut = 1, #packed - 1, #packed // 7 do
          body = packed:sub(1, cut)
          local none, err = fetch()
          assert.is_nil(none)
          assert.equal("EPROTO", err.code)
          assert.equal("decode", err.op)
          assert.equal(url, err.target)
        end
        body = "no proper coding at all"
        local none, err = fetch()
        assert.is_nil(none)
        assert.equal("EPROTO", err.code)
        assert.matches("no proper " .. name, err.message)
        none, err = (function(res, e)
          if res and stream then return res:read("a") end
          return res, e
        end)(s:get(url, {max_body = 5}))
        assert.is_nil(none)
        assert.equal("EMSGSIZE", err.code)
        assert.equal(0, s.pool.active)
        server:close()
      end)
    end
  end

  it("several, one upon the other, in one header or in several", function()
    local body = codec.br.encode(codec.gzip.encode(TEXT))
    local server <close>, url = serving("gzip, identity, BR", body)
    local lines <close>, other = serving("x-gzip\r\ncontent-encoding: br", body)
    local s <close> = http.session()
    assert.is_true(TEXT == assert(s:get(url)).body)
    assert.is_true(TEXT == assert(s:get(other)).body)
    assert.is_true(TEXT == assert(s:get(url, {stream = true})):read("a"))
    server:close()
    lines:close()
  end)

  it("unknown ones leave the body as it came; too many are refused", function()
    local server <close>, url = serving("gzip, aes128gcm", "abc")
    local s <close> = http.session()
    assert.equal("abc", assert(s:get(url)).body)
    assert.equal("abc", assert(s:get(url, {stream = true})):read("a"))
    server:close()
    local many <close>, other = serving("gzip, gzip, gzip, gzip, gzip", "abc")
    local res, err = s:get(other)
    assert.is_nil(res)
    assert.equal("EPROTO", err.code)
    res, err = s:get(other, {stream = true})
    assert.is_nil(res)
    assert.equal("EPROTO", err.code)
    assert.equal(0, s.pool.active)
    many:close()
  end)

  it("a part, and what has no body, is not decoded", function()
    local server <close>, url = kept(function(head)
      local status = head:find("^HEAD") and "200 OK" or "206 Partial Content"
      return ("HTTP/1.1 %s\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n%s"):format(status,
        head:find("^HEAD") and "" or "abc")
    end)
    local s <close> = http.session()
    assert.equal("abc", assert(s:get(url)).body)
    assert.equal("", assert(s:head(url)).body)
    assert.equal("abc", assert(s:get(url, {stream = true})):read("a"))
    assert.equal(1, s.pool.open)
    server:close()
  end)

  it("streamed, pieces come as soon as they can be decoded", function()
    local go = corun.event()
    local encoder = codec.gzip.encoder()
    local first = encoder:update("first\n") .. encoder:flush()
    local second = encoder:update("second\n") .. encoder:finish()
    local server <close>, url = support.raw(function(stream)
      support.read_request(stream)
      stream:write("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" .. first)
      go:wait()
      stream:write(second)
    end)
    local s <close> = http.session()
    local res = assert(s:get(url, {stream = true}))
    assert.is_nil(res.length)
    local lines = res:lines()
    assert.equal("first", lines())
    go:set()
    assert.equal("second", lines())
    assert.is_nil(lines())
    server:close()
  end)

  it("bytes behind the end of the coding are refused", function()
    local server <close>, url = serving("br", codec.br.encode("abc") .. "more")
    local s <close> = http.session()
    for _, stream in ipairs({false, true}) do
      local res, err = s:get(url, {stream = stream})
      if stream then res, err = res:read("a") end
      assert.is_nil(res)
      assert.equal("EPROTO", err.code)
    end
    server:close()
  end)
end)

describe("http bombs", function()
  -- 256 MiB of zeros.
  local function bomb(name)
    local encoder = codec[name].encoder({level = name == "br" and 5 or nil})
    local zeros, out = ("\0"):rep(1 << 20), {}
    for _ = 1, 256 do out[#out + 1] = encoder:update(zeros) end
    out[#out + 1] = encoder:finish()
    return table.concat(out)
  end

  local function resident()
    local f <close> = assert(io.open("/proc/self/statm"))
    local _, pages = f:read("n", "n")
    return pages * 4096
  end

  for _, name in ipairs({"gzip", "br", "zstd"}) do
    it(name .. " ends in EMSGSIZE #heavy", function()
      local body = bomb(name)
      local server <close>, url = serving(name, body)
      local s <close> = http.session({max_body = 4 << 20})
      collectgarbage()
      local before = resident()
      local res, err = s:get(url)
      assert.is_nil(res)
      assert.equal("EMSGSIZE", err.code)
      assert.equal("decode", err.op)
      assert.matches("4194304 bytes", err.message)
      res, err = assert(s:get(url, {stream = true})):read("a")
      assert.is_nil(res)
      assert.equal("EMSGSIZE", err.code)
      assert.is_true(resident() - before < 40 << 20)
      server:close()
    end)

    it(name .. " is streamed in pieces of a size that a reader can bear #heavy", function()
      local server <close>, url = serving(name, bomb(name))
      local s <close> = http.session()
      local total, largest = 0, 0
      local res = assert(s:get(url, {stream = true}))
      for piece in function() return res:recv() end do
        total = total + #piece
        largest = math.max(largest, #piece)
      end
      assert.equal(256 << 20, total)
      assert.is_true(largest <= 1 << 20, tostring(largest))
      server:close()
    end)
  end

  -- Few bytes that become 10 GiB of zeros, were they decoded to their end.
  local function huge(name)
    local encoder = codec[name].encoder()
    local zeros = ("\0"):rep(1 << 20)
    local function unit() return encoder:update(zeros) .. encoder:flush() end
    local first, second = unit() .. unit(), unit()
    assert.equal(second, unit()) -- so that it may be repeated
    return first .. second:rep(10 << 10)
  end

  for _, name in ipairs({"gzip", "deflate", "br", "zstd"}) do
    it(name .. " of 10 GiB ends soon, in bounded memory, while others run", function()
      local body = huge(name)
      assert.is_true(#body < 11 << 20)
      local server <close>, url = kept(function(head)
        if head:find("GET /twice") then
          return coded(name .. ", gzip", codec.gzip.encode(body))
        end
        return coded(name, body)
      end)
      local s <close> = http.session()
      collectgarbage()
      local before, began, ticks = resident(), corun.now(), 0
      corun.scope(function(scope)
        scope:daemon(function()
          for _ in corun.every(0.001) do ticks = ticks + 1 end
        end)
        for _, path in ipairs({"/once", "/twice"}) do
          local res, err = s:get(url .. path)
          assert.is_nil(res)
          assert.equal("EMSGSIZE", err.code)
          assert.equal("decode", err.op)
          assert.equal(url .. path, err.target)
          res = assert(s:get(url .. path, {stream = true}))
          local none, why = res:read("a", {max = 4 << 20})
          assert.is_nil(none)
          assert.equal("EMSGSIZE", why.code)
          assert.equal(1000, #res:recv(1000)) -- it is not lost
          res:close()
        end
      end)
      assert.is_true(corun.now() - began < 20)
      assert.is_true(resident() - before < 300 << 20)
      assert.is_true(ticks > 5)
      server:close()
    end)
  end

  it("a bomb in a bomb is one", function()
    local body = codec.gzip.encode(codec.gzip.encode(("\0"):rep(64 << 20)))
    assert.is_true(#body < 2000)
    local server <close>, url = canned(coded("gzip, gzip", body))
    local s <close> = http.session({max_body = 1 << 20})
    for _, stream in ipairs({false, true}) do
      local res, err = s:get(url, {stream = stream})
      if stream then res, err = res:read("a") end
      assert.is_nil(res)
      assert.equal("EMSGSIZE", err.code)
    end
    server:close()
  end)
end)

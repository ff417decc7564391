-- SPDX-License-Identifier: MIT
-- What corun.codec does on threads (core/work.h): the loop goes on, and cancellation, closing,
-- a second user and the end of the program find the work in the middle.
local corun = require "corun"
local codec = require "corun.codec"
local stats = require("corun.debug").stats
local support = require("tests.spec.support.http")
local programs = require("tests.spec.support.programs")

local LARGE = 4 << 20

-- Text that takes its time at high levels.
local function noise(size)
  local words = {}
  for i = 1, 4096 do words[i] = codec.hex.encode(codec.random(i % 7 + 2)) end
  local s = table.concat(words, " ")
  return s:rep(size // #s + 1):sub(1, size)
end

local text = noise(LARGE)

-- Run fn; how many times another task ran while a thread worked, and what fn gave.
local function ticks_during(fn)
  local ended, n = false, 0
  local ticker = corun.async(function()
    while not ended do
      if stats().jobs > 0 then n = n + 1 end
      corun.sleep(0.001)
    end
  end)
  local result = fn()
  ended = true
  ticker:await()
  return n, result
end

-- A pipe that nobody writes to: hash_file waits in it for ever.
local function make_pipe()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkfifo " .. path))
  return path
end

-- Let all threads that wait in pipes go on, and remove the pipes.
local function release(pipes)
  support.eventually("the threads have ended", function()
    for _, path in ipairs(pipes) do assert(io.open(path, "r+")):close() end
    return stats().jobs == 0
  end)
  for _, path in ipairs(pipes) do os.remove(path) end
end

describe("codec on threads", function()
  for _, name in ipairs{"gzip", "deflate", "br", "zstd"} do
    it("lets the loop go on, " .. name, function()
      local f = codec[name]
      local n, packed = ticks_during(function()
        return assert(f.encode(text, {level = name == "zstd" and 12 or nil}))
      end)
      assert.is_true(n > 0)
      assert.equal(text, f.decode(packed))
      local e, out = f.encoder(), {}
      n = ticks_during(function()
        out[1] = e:update(text)
        out[2] = e:finish()
      end)
      assert.is_true(n > 0)
      assert.equal(text, f.decode(table.concat(out)))
    end)

    it("goes on there when little input becomes much, " .. name, function()
      local bomb = codec[name].encode(("\0"):rep(32 << 20), {level = 1})
      assert.is_true(#bomb < 200000)
      local n, out = ticks_during(function() return codec[name].decode(bomb) end)
      assert.equal(32 << 20, #out)
      assert.is_true(n > 0)
      local d <close> = codec[name].decoder()
      assert.equal(32 << 20, #d:update(bomb) + #d:finish())
    end)

    it("refuses a bomb and damage there too, " .. name, function()
      local f = codec[name]
      local bomb = f.encode(("\0"):rep(8 << 20), {level = 1})
      assert.equal("EMSGSIZE", select(2, f.decode(bomb, {max = 4 << 20})).code)
      local packed = f.encode(codec.random(1 << 20))
      assert.equal("EINVAL", select(2, f.decode(packed:sub(1, -2))).code)
      assert.equal(#packed, select(2, f.decode(packed:sub(1, -2))).offset)
    end)
  end

  it("S16 a cancelled task waits for its thread, which stops soon", function()
    for _, work in ipairs{
      function() return codec.br.encode(text, {level = 9}) end,
      function() return codec.br.encoder({level = 9}):update(text) end,
      function() return codec.zstd.encode(text, {level = 19}) end,
      function() return codec.hash("md5"):update(text:rep(16)) end,
    } do
      local ended
      local result, err = corun.timeout(0.01, function()
        local _ <close> = corun.defer(function() ended = stats().jobs end)
        assert(work())
        corun.yield()
      end)
      assert.is_nil(result)
      assert.equal("ETIMEDOUT", err.code)
      assert.equal(0, ended)
    end
  end)

  it("S15 what is queued behind others is taken back", function()
    local results = {}
    corun.scope(function(s)
      for i = 1, 200 do
        s:spawn(function()
          results[i] = codec.gzip.encode(text, {level = 9}) or "nothing"
        end)
      end
      corun.sleep(0.02)
      assert.is_true(stats().jobs > 100)
      s:cancel()
    end)
    local n = 0
    for _ in pairs(results) do n = n + 1 end
    assert.is_true(n < 100, n .. " ended")
    assert.equal(0, stats().jobs)
  end)

  it("S13 a cancelled task begins nothing", function()
    local called = 0
    corun.timeout(0, function()
      for _, f in ipairs{
        function() codec.gzip.encode("x") end, function() codec.gzip.decode("x") end,
        function() codec.gzip.encoder():update("x") end,
        function() codec.gzip.encoder():finish() end, function() codec.gzip.encoder():flush() end,
        function() codec.hash("md5"):update("x") end, function() codec.hash_file("LICENSE") end,
        function() codec.hmac("md5", "k", "x") end,
      } do
        local ok, e = pcall(f)
        assert.is_false(ok)
        assert.is_true(corun.is_cancelled(e))
        called = called + 1
      end
    end)
    assert.equal(8, called)
  end)

  it("S20 another task's call raises EBUSY, and the first one's goes on", function()
    local e = codec.gzip.encoder()
    local h = codec.hash("sha256")
    corun.scope(function(s)
      local first = support.blocked(s, function() return e:update(text) .. e:finish() end)
      local second = support.blocked(s, function() return h:update(text):hex() end)
      for _, f in ipairs{function() e:update("x") end, function() e:finish() end,
        function() e:flush() end, function() h:update("x") end, function() h:hex() end} do
        local ok, err = pcall(f)
        assert.is_false(ok)
        assert.equal("EBUSY", err.code)
      end
      assert.equal(text, codec.gzip.decode(first:await()))
      assert.equal(codec.hash("sha256"):update(text):hex(), second:await())
    end)
  end)

  it("S20 closed by another task the call under way gives ECLOSED", function()
    for _, name in ipairs{"gzip", "br", "zstd"} do
      local e = codec[name].encoder({level = 9})
      local err
      corun.scope(function(scope)
        local call = support.blocked(scope, function() return {e:update(text)} end)
        e:close()
        err = call:await()[2]
      end)
      assert.equal("ECLOSED", err.code)
      assert.matches("closed meanwhile at tests/spec/codec_thread_spec.lua", err.message)
      assert.is_false(pcall(e.finish, e))
    end
  end)

  it("what was cancelled in the middle is of no use any more", function()
    -- Cancel an update of what `make` gives: later each time, until its thread had begun.
    local function cancelled(make, input, is_useless)
      for i = 1, 15 do
        local made = make()
        corun.timeout(0.003 * 1.5 ^ i, function() made:update(input) corun.yield() end)
        if is_useless(made) then return made end
      end
      error("it was never cancelled in the middle")
    end
    local err
    local e = cancelled(function() return codec.br.encoder({level = 9}) end, text, function(made)
      local out
      out, err = made:update("x")
      return out == nil
    end)
    assert.equal("ECANCELED", err.code)
    assert.is_nil((e:finish()))
    e:close()
    cancelled(function() return codec.hash("md5") end, text:rep(16), function(made)
      local ok
      ok, err = pcall(made.hex, made)
      return not ok
    end)
    assert.equal("ECANCELED", err.code)
  end)

  it("S30 large input raises inside table.sort, small works there", function()
    local function sort(s)
      table.sort({1, 2, 3}, function(a, b)
        codec.gzip.encode(s)
        return a < b
      end)
    end
    sort("small")
    local ok, message = pcall(sort, text)
    assert.is_false(ok)
    assert.matches("cannot suspend inside", message)
  end)

  it("S29 a generator may wait for it", function()
    local each = coroutine.wrap(function()
      for i = 1, 3 do
        coroutine.yield(#codec.gzip.decode(codec.gzip.encode(text:rep(i), {level = 1})))
      end
    end)
    for i = 1, 3 do assert.equal(i * LARGE, each()) end
  end)

  it("hashes large texts, and macs", function()
    local n, hex = ticks_during(function()
      return codec.hash("sha512"):update(text:rep(16)):update("x"):hex()
    end)
    assert.is_true(n > 0)
    local h = codec.hash("sha512")
    for _ = 1, 16 * 16 do h:update("") end
    for _ = 1, 16 do
      for i = 1, LARGE, 65536 do h:update(text:sub(i, i + 65535)) end
    end
    assert.equal(h:update("x"):hex(), hex)
    local a = codec.hmac("sha256", "key", text)
    assert.equal(32, #a)
    assert.not_equal(a, codec.hmac("sha256", "key", text .. "x"))
    -- a key longer than a block stands for its hash (RFC 2104)
    assert.equal(codec.hmac("sha256", codec.hash("sha256"):update(text):bytes(), "s"),
      codec.hmac("sha256", text, "s"))
  end)

  it("serves many tasks at once", function()
    local s = noise(300000)
    local packed = codec.zstd.encode(s)
    local list = {}
    for i = 1, 100 do list[i] = i end
    for i, out in ipairs(corun.map(list, function(i)
      if i % 3 == 0 then return codec.hash_file("LICENSE") end
      if i % 3 == 1 then return codec.zstd.decode(packed) == s end
      return codec.gzip.decode(codec.gzip.encode(s)) == s
    end, {limit = 50})) do
      assert.equal(i % 3 == 0 and codec.hash_file("LICENSE") or true, out)
    end
  end)

  it("survives cancellation at any moment", function()
    local s = noise(400000)
    for i = 1, 60 do
      corun.timeout(i / 4000, function()
        corun.gather(function() codec.gzip.decode(codec.gzip.encode(s)) end,
          function() codec.hash_file("LICENSE") end,
          function() codec.hash("sha1"):update(s .. s .. s) end)
        corun.sleep(1)
      end)
    end
    assert.equal(s, codec.gzip.decode(codec.gzip.encode(s)))
  end)
end)

describe("codec.hash_file", function()
  it("S16 a cancelled task does not wait for a pipe", function()
    local path = make_pipe()
    local out, err = corun.timeout(0.02, codec.hash_file, path)
    assert.is_nil(out)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal(1, stats().jobs)
    release({path})
  end)

  it("reads what is written to a pipe", function()
    local path = make_pipe()
    local writer = assert(io.popen("sleep 0.05; printf abc >" .. path))
    assert.equal(codec.hash("sha256"):update("abc"):hex(), codec.hash_file(path))
    writer:close()
    os.remove(path)
  end)

  it("stuck threads are replaced", function()
    local pipes = {}
    for i = 1, 12 do pipes[i] = make_pipe() end
    local _ <close> = corun.defer(release, pipes)
    corun.timeout(0.05, function()
      corun.map(pipes, codec.hash_file, {limit = 12})
    end)
    corun.timeout(0.05, function()
      corun.map(pipes, codec.hash_file, {limit = 12})
    end)
    assert.is_true(stats().jobs >= 8)
    assert.equal(64, #codec.hash_file("LICENSE"))
    assert.equal(text, codec.gzip.decode(codec.gzip.encode(text)))
  end)
end)

describe("the end of the program", function()
  local run = programs.run

  it("does not wait longer than the grace for a file, and names it", function()
    local path = make_pipe()
    local out, status = run(([[
      local corun = require "corun"
      print(corun.timeout(0.5, corun.codec.hash_file, %q)) -- for a thread to have begun
    ]]):format(path), {args = "--grace 0.1"})
    assert.matches("0.5 s passed", out)
    assert.matches("corun: did not end: hash_file " .. path, out, 1, true)
    assert.equal(0, status)
    os.remove(path)
  end)

  it("stops a long compression", function()
    local out, status = run([[
      local corun = require "corun"
      local s = ("some text, again and again "):rep(400000)
      for i = 1, 20 do
        corun.daemon(function() corun.codec.zstd.encode(s .. i, {level = 19}) end)
      end
      corun.sleep(0.05)
      print "end"
      corun.exit(3)
    ]])
    assert.equal("end\n", out)
    assert.equal(3, status)
  end)

  it("collects what was never closed", function()
    local out, status = run([[
      local c = require("corun").codec
      for i = 1, 300 do
        local e, d = c.gzip.encoder(), c.zstd.decoder()
        e:update("x")
        d:update("")
      end
      collectgarbage "stop"
      local all = {}
      for i = 1, 50 do all[i] = {c.br.encoder(), c.hash("md5"):update("x")} end
      print "end"
    ]])
    assert.equal("end\n", out)
    assert.equal(0, status)
  end)
end)

describe("without OpenSSL", function()
  it("is loaded later when there was no descriptor for it", function()
    local out, status = programs.run([[
      local codec, held = require("corun.codec"), {}
      repeat held[#held + 1] = io.open("/dev/null") or false until not held[#held]
      local ok, err = pcall(codec.hash, "sha256")
      print(ok, err.code)
      for _, file in ipairs(held) do if file then file:close() end end
      print(#codec.hash("sha256"):update("a"):hex())]], {before = "ulimit -n 40;"})
    assert.equal("false\tENOSYS\n64\n", out)
    assert.equal(0, status)
  end)

  it("hashes say what is missing, and all else works", function()
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder .. " && echo none >" .. folder .. "/libcrypto.so.3"))
    local out, status = programs.run([[
      local c = require("corun").codec
      for _, f in ipairs{c.hash, c.hmac, function(a) return c.hash_file("LICENSE", a) end} do
        local ok, err = pcall(f, "sha256", "key", "text")
        print(ok, err.code, err)
      end
      print(c.gzip.decode(c.gzip.encode("x")), c.crc32("x"), #c.random(8), #c.uuid())
    ]], {before = "LD_LIBRARY_PATH=" .. folder})
    os.execute("rm -r " .. folder)
    local line = "false\tENOSYS\t[^\n]+: hash sha256: OpenSSL 3 is needed: [^\n]*libcrypto[^\n]*\n"
    assert.matches("^" .. line:rep(3) .. "x\t2363233923\t8\t36\n$", out)
    assert.equal(0, status)
  end)
end)

describe("out of memory", function()
  it("is an error wherever Lua runs out of it #faults", function()
    local code = [[
      local corun = require "corun"
      local c = corun.codec
      io.write("begin ")
      local s = ("0123456789"):rep(60000)
      corun.scope(function(scope)
        scope:spawn(function() assert(c.gzip.decode(assert(c.gzip.encode(s))) == s) end)
        scope:spawn(function()
          local e <close> = c.zstd.encoder()
          assert(e:update(s) .. e:finish())
        end)
        scope:spawn(function() assert(c.hash("sha1"):update(s):hex()) end)
        scope:spawn(function() assert(c.hash_file("LICENSE")) end)
        assert(c.base64.decode(c.base64.encode(s)) == s and c.hex.decode(c.hex.encode(s)) == s)
        assert(c.uuid() and c.random(100000) and c.hmac("md5", "k", s .. s))
      end)
      io.write("end")]]
    local seen = {}
    for nth = 700, 1300, 20 do
      local out, status = programs.run(code, {fail = nth})
      assert.is_true(status == 0 or status == 1 or status == 70,
        ("allocation %d: status %d, %s"):format(nth, status, out))
      if status == 1 then assert.matches("not enough memory", out) end
      -- a finaliser that cannot be called is only warned of
      local said = out:gsub("Lua warning: error in __gc %(not enough memory%)\n", "")
      if status == 0 then assert.equal("begin end", said) end
      seen[status] = true
    end
    assert.is_true(seen[0])
  end)

  it("is an error when the C heap has no more", function()
    local limit = "ulimit -v 300000; "
    local _, status = programs.run("print(1)", {before = limit})
    if status ~= 0 then return end -- a sanitizer needs more to begin with
    local out
    out, status = programs.run([[
      local c = require("corun").codec
      local packed = c.zstd.encode(("\0"):rep(16 << 20))
      print(select(2, pcall(c.zstd.decode, packed:rep(40), {max = math.huge})))
      print(#c.gzip.encode("x"), c.hash("md5"):update("x"):hex())
    ]], {before = limit})
    assert.equal("not enough memory\n21\t9dd4e461268c8034f5c8564e155c67a6\n", out)
    assert.equal(0, status)
  end)
end)

describe("without a thread", function()
  it("work is a failure, as those of the world are", function()
    local limit = "ulimit -s 1000000; ulimit -v 300000; " -- no room for the stack of a thread
    local _, begun = programs.run("print(1)", {before = limit})
    if begun ~= 0 then return end -- a sanitizer needs more to begin with
    local out, status = programs.run([[
      local c, net = require("corun").codec, require("corun.net")
      local s = ("0123456789"):rep(200000)
      local function show(value, err) print(value, err) end
      show(c.gzip.encode(s))
      show(c.gzip.decoder():update(c.gzip.encode("0") .. s))
      show(c.hmac("md5", "key", s))
      show(c.hash_file("LICENSE"))
      show(net.tls_context{})
      show(net.connect("localhost:1", {tls = true}))
      local h = c.hash("md5"):update("x")
      show(h:update(s))
      local ok, err = pcall(h.hex, h)
      print(ok, err.code)
    ]], {before = limit})
    local expected = ""
    for _, what in ipairs{"encode gzip", "decode gzip", "hmac", "hash_file LICENSE", "tls_context",
      "connect localhost:1", "hash md5"} do
      expected = ("%snil\t%s: no thread can be started (EAGAIN)\n"):format(expected, what)
    end
    assert.equal(expected .. "false\tECANCELED\n", out)
    assert.equal(0, status)
  end)
end)

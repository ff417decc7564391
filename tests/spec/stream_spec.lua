-- SPDX-License-Identifier: MIT
-- The stream methods (S13 to S20, S41), over tcp from corun to corun; stream_peers_spec.lua has
-- peers that behave badly.
local corun = require "corun"
local net = require "corun.net"
local outcomes = dofile("tests/spec/support/outcomes.lua")

local assert_error, waiting = outcomes.assert_error, outcomes.waiting
local assert_raises = outcomes.assert_raises

local KIB, MIB = 1024, 1024 * 1024
local BIG = ("0123456789abcdef"):rep(64):rep(16 * KIB) -- 16 MiB: more than the system takes

-- Two ends of one connection.
local function pair()
  local listener <close> = assert(net.listen("127.0.0.1:0"))
  local accepting = corun.async(listener.accept, listener)
  local a = assert(net.connect(listener:address()))
  return a, assert(accepting:await())
end

-- Call `fn(a, b)` with both ends, which are closed after it.
local function with_pair(fn)
  local a, b = pair()
  local _ <close> = a
  local _ <close> = b
  return fn(a, b)
end

describe("reading formats (S41)", function()
  -- Send the pieces one by one, then end; call fn with the reader.
  local function reading(pieces, fn)
    with_pair(function(a, b)
      corun.scope(function(s)
        s:spawn(function()
          for _, piece in ipairs(pieces) do
            assert(a:write(piece))
            corun.sleep(0.002)
          end
          assert(a:shutdown())
        end)
        fn(b)
      end)
    end)
  end

  it("S41 read gives lines without their end, the last one also without a newline", function()
    reading({"one\ntwo\r\n", "\nth", "ree"}, function(s)
      assert.equal("one", s:read())
      assert.equal("two\r", s:read("l"))
      assert.equal("", s:read("*l"))
      assert.equal("three", s:read("l"))
      assert.is_nil(s:read("l"))
      assert.same({n = 1}, table.pack(s:read("l")))
    end)
  end)

  it("S41 L keeps the newline where there is one", function()
    reading({"one\n", "\nlast"}, function(s)
      assert.equal("one\n", s:read("L"))
      assert.equal("\n", s:read("L"))
      assert.equal("last", s:read("L"))
      assert.is_nil(s:read("L"))
    end)
  end)

  it("S41 a reads all, and an empty string at the end", function()
    reading({"one\n", "two"}, function(s)
      assert.equal("o", s:read(1))
      assert.equal("ne\ntwo", s:read("a"))
      assert.equal("", s:read("a"))
      assert.is_nil(s:read("l"))
    end)
  end)

  it("S41 a number reads so many bytes, fewer only at the end", function()
    reading({"ab", "cde", "fg"}, function(s)
      assert.equal("abcd", s:read(4))
      assert.equal("", s:read(0))
      assert.equal("efg", s:read(100))
      assert.is_nil(s:read(0))
      assert.is_nil(s:read(1))
    end)
  end)

  it("S41 n reads numerals as io does, however they are cut", function()
    local text = " 12 -0x1F 3.5e2 +7\n.5 1e 0x"
    local pieces = {}
    for c in text:gmatch(".") do pieces[#pieces + 1] = c end
    reading(pieces, function(s)
      for _, want in ipairs{12, -31, 350.0, 7, 0.5} do
        local got = s:read("n")
        assert.equal(want, got)
        assert.equal(math.type(want), math.type(got))
      end
      assert_error("EINVAL", "read", s:read("n"))
      assert.equal(" 1e 0x", s:read("a"))
      assert.is_nil(s:read("n"))
    end)
    reading({" \n", " 7 ", "  "}, function(s)
      assert_error("EMSGSIZE", "read", s:read("n", {max = 2}))
      assert.equal(7, s:read("n", {max = 3}))
      assert.is_nil(s:read("n"))
      assert.is_nil(s:read("a") ~= "" or nil)
    end)
    local longest = ("1"):rep(200)
    reading({longest .. " 0." .. longest:sub(1, 100), longest}, function(s)
      assert.equal(tonumber(longest), s:read("n"))
      assert_error("EINVAL", "read", s:read("n"))
      assert.equal(" 0." .. longest:sub(1, 100) .. longest, s:read("a"))
    end)
    reading({longest}, function(s) assert.equal(tonumber(longest), s:read("n")) end)
    reading({longest .. "1"}, function(s) assert_error("EINVAL", "read", s:read("n")) end)
  end)

  it("S41 recv takes what is there", function()
    reading({"hello"}, function(s)
      assert_error("EMSGSIZE", "read", s:read("l", {max = 4})) -- now all of it is there
      assert.equal("he", s:recv(2))
      assert.equal("llo", s:recv())
      assert.is_nil(s:recv())
    end)
  end)

  it("S41 read_exactly gives all or nothing", function()
    reading({"abc", "def"}, function(s)
      assert.equal("", s:read_exactly(0))
      assert.equal("abcde", s:read_exactly(5))
      assert_error("EOF", "read_exactly", s:read_exactly(2))
      assert.equal("f", s:recv())
      assert.same({n = 1}, table.pack(s:read_exactly(1)))
    end)
  end)

  it("S41 read_until finds a text that was cut", function()
    reading({"head\r\n\r", "\nbody\r", "\n\r\rno\r\n\r"}, function(s)
      assert.equal("head\r\n\r\n", s:read_until("\r\n\r\n"))
      assert.equal("body\r\n", s:read_until("\r\n"))
      assert.equal("\r\rno\r\n", s:read_until("\r\n"))
      assert_error("EOF", "read_until", s:read_until("\r\n"))
      assert.equal("\r", s:read_until("\r"))
      assert.same({n = 1}, table.pack(s:read_until("\r")))
    end)
  end)

  it("S41 lines loops over the lines", function()
    reading({"a\nb", "b\n\nc"}, function(s)
      local seen = {}
      for line in s:lines() do seen[#seen + 1] = line end
      assert.same({"a", "bb", "", "c"}, seen)
    end)
  end)

  it("S41 lines takes a format, and leaves the rest when the loop is left", function()
    reading({"abcdefg"}, function(s)
      for piece in s:lines(2) do
        if piece == "cd" then break end
      end
      assert.equal("efg", s:read("a"))
    end)
  end)

  it("S41 max bounds a line; nothing is lost", function()
    reading({"12345678\nabc\n", "123456789\n"}, function(s)
      assert.equal("12345678", s:read("l", {max = 8}))
      assert.equal("abc\n", s:read_until("\n", {max = 3}))
      assert_error("EMSGSIZE", "read", s:read("l", {max = 8}))
      assert_error("EMSGSIZE", "read_until", s:read_until("\n", {max = 8}))
      assert_error("EMSGSIZE", "read", s:read("a", {max = 9}))
      assert.equal("123456789\n", s:read("a", {max = 10}))
    end)
  end)

  it("S41 timeout is for one call, which loses no byte", function()
    with_pair(function(a, b)
      a:write("abc")
      assert_error("ETIMEDOUT", "read", b:read("l", {timeout = 0.01}))
      assert_error("ETIMEDOUT", "read", b:read({timeout = 0.01}))
      assert_error("ETIMEDOUT", "read_exactly", b:read_exactly(4, {timeout = 0.01}))
      assert_error("ETIMEDOUT", "read_until", b:read_until("x", {timeout = 0}))
      assert.equal("abc", b:recv(nil, {timeout = 1}))
      a:write(" \n")
      assert_error("EMSGSIZE", "read", b:read("n", {max = 1, timeout = 60})) -- they have come
      assert_error("ETIMEDOUT", "read", b:read("n", {timeout = 0.01}))
      assert.equal(" \n", b:recv(nil, {timeout = 1}))
      assert_error("ETIMEDOUT", "recv", b:recv({timeout = 0.01}))
      assert.equal(0, #table.pack(pcall(b.recv, b, {timeout = 0 / 0})) - 2)
    end)
  end)

  it("S41 a limit of 0 of the stream gives what is there; math.huge is none", function()
    with_pair(function(a, b)
      assert.equal(b, b:configure{timeout = 0})
      assert_error("ETIMEDOUT", "read", b:read("l"))
      a:write("abc")
      assert_error("EMSGSIZE", "read", b:read("l", {max = 2, timeout = 60})) -- they have come
      assert.equal("a", b:read(1))
      assert.equal("b", b:read(1))
      b:configure{queue = 1 << 20}
      assert_error("ETIMEDOUT", "read", b:read(5))
      assert.equal("c", b:recv())
      b:configure{timeout = 1e-60}
      assert_error("ETIMEDOUT", "recv", b:recv())
      b:configure{timeout = math.huge}
      local read_it = outcomes.waiting(b.read, b, 1)
      a:write("d")
      assert.equal("d", read_it:await())
    end)
  end)

  it("S41 a failure in a loop over lines raises at the loop's line", function()
    with_pair(function(_, b)
      local ok, err = pcall(function()
        for _ in b:lines("l", {timeout = 0.01}) do error("unreachable") end
      end)
      assert.is_false(ok)
      assert.equal("ETIMEDOUT", err.code)
      assert.matches("^[^\n]*stream_spec%.lua:%d+: lines 127", tostring(err))
    end)
  end)

  it("reads as io does, however the bytes are cut", function()
    local random, parts = math.random, {}
    for i = 1, 300 do
      local kind = random(4)
      parts[i] = kind == 1 and "\n" or kind == 2 and tostring(random(-1000, 1000))
        or kind == 3 and (" "):rep(random(3)) or ("x"):rep(random(400))
    end
    local text = table.concat(parts)
    local file <close> = assert(io.tmpfile())
    file:write(text)
    file:seek("set")
    local pieces, at = {}, 1
    while at <= #text do
      local n = random(3) == 1 and random(5) or random(5000)
      pieces[#pieces + 1] = text:sub(at, at + n - 1)
      at = at + n
    end
    reading(pieces, function(s)
      local got, want
      repeat
        local formats = {"l", "L", random(0, 700)}
        local format = formats[random(3)]
        got, want = s:read(format), file:read(format)
        assert.equal(want, got)
      until want == nil
      assert.equal("", s:read("a"))
    end)
  end)

  it("moves many bytes in one piece", function()
    local chunk = ("0123456789abcdef"):rep(4 * KIB)
    with_pair(function(a, b)
      corun.scope(function(s)
        s:spawn(function()
          for _ = 1, 320 do assert(a:write(chunk)) end
          a:shutdown()
        end)
        assert.is_true(b:read_exactly(80 * #chunk) == chunk:rep(80))
        assert.is_true(b:read(80 * #chunk) == chunk:rep(80))
        local n = 0
        repeat
          local d = b:recv(n % 7 == 0 and 100000 or nil)
          n = n + #(d or "")
        until n >= 80 * #chunk
        local rest = b:read("a")
        assert.equal(160 * #chunk, n + #rest)
      end)
    end)
  end)
end)

describe("misuse", function()
  it("is answered at the caller's line", function()
    with_pair(function(a)
      local function misuse(pattern, name, ...)
        local ok, err = pcall(a[name], a, ...)
        assert.is_false(ok)
        assert.matches(pattern, tostring(err))
      end
      misuse('unknown option "timout" for read %(did you mean "timeout"%?%)', "read", "l",
        {timout = 1})
      misuse('unknown option "max" for recv', "recv", 1, {max = 1})
      misuse('unknown option "max" for write', "write", "x", {max = 1})
      misuse('unknown format "x" for read', "read", "x")
      misuse('unknown format "lx" for lines', "lines", "lx")
      misuse('unknown format "a" for lines: "l", "L", "n" or a number of bytes', "lines", "a")
      misuse("must not be empty", "read_until", "")
      misuse('option "max" for read must be a positive integer', "read", "l", {max = 0})
      assert.is_false(pcall(a.read, io.stdout))
      assert.is_false(pcall(a.read, {}))
      assert.is_false(pcall(a.read))
      assert.is_false(pcall(a.peer, 1))
    end)
  end)
end)

describe("one reader (S20)", function()
  it("S20 a second reader raises EBUSY and disturbs nobody", function()
    with_pair(function(a, b)
      local first = waiting(b.read, b, "l")
      for _, name in ipairs{"read", "recv"} do assert_raises("EBUSY", b[name], b) end
      assert_raises("EBUSY", b:lines())
      assert_raises("EBUSY", b.read_exactly, b, 1)
      a:write("line\nmore")
      assert.equal("line", first:await())
      assert.equal("more", b:read_exactly(4))
    end)
  end)

  it("S20 a woken reader that has not run yet is still the reader", function()
    with_pair(function(a, b)
      local first = waiting(b.recv, b)
      a:write("x")
      while first:status() == "waiting" do corun.yield() end
      if not first:done() then assert_raises("EBUSY", b.recv, b) end
      assert.equal("x", first:await())
    end)
  end)

  it("one task reads while another writes", function()
    with_pair(function(a, b)
      local reading = waiting(a.read, a, "l")
      a:write("ping\n")
      assert.equal("ping", b:read("l"))
      b:write("pong\n")
      assert.equal("pong", reading:await())
    end)
  end)
end)

describe("closing (S20)", function()
  it("S20 a call on a closed stream raises ECLOSED and names the line", function()
    local a, b = pair()
    a:close()
    b:close()
    for name, arg in pairs{read = "l", recv = 1, read_exactly = 1, read_until = "x", write = "x",
      lines = "l", peer = 1, address = 1, shutdown = 1} do
      local err = assert_raises("ECLOSED", function() a[name](a, arg) end)
      assert.matches("stream_spec.lua:%d+: " .. name
        .. " 127%.0%.0%.1:%d+: the stream was closed at "
        .. "[^\n]*stream_spec.lua:%d+ %(ECLOSED%)$", tostring(err))
    end
    assert.is_true(a:close())
  end)

  it("S12 use after the end of a <close> variable says what to do", function()
    local kept
    do
      local a, b = pair()
      local _ <close> = a
      b:close()
      kept = a
    end
    local err = assert_raises("ECLOSED", kept.recv, kept)
    assert.matches("went out of scope; wait for the tasks that use it in a corun.scope first",
      tostring(err))
  end)

  it("S20 a call that waits when another task closes gives nil, ECLOSED", function()
    with_pair(function(a, b)
      local reader = waiting(b.recv, b)
      assert(b:write(BIG))
      local writer = waiting(b.write, b, BIG)
      corun.scope(function(s)
        s:spawn(function() b:close() end) -- it waits for the queued bytes, which nobody reads
        while not tostring(b):find("closed") do corun.yield() end
        assert_error("ECLOSED", "recv", reader:await())
        assert_error("ECLOSED", "write", writer:await())
        assert_raises("ECLOSED", b.recv, b)
        a:close()
      end)
    end)
  end)

  it("S20 shutdown ends the write side alone", function()
    with_pair(function(a, b)
      a:write("last")
      assert.is_true(a:shutdown())
      assert.is_true(a:shutdown())
      assert_raises("ECLOSED", a.write, a, "x")
      assert.equal("last", b:read("a"))
      b:write("answer\n")
      assert.equal("answer", a:read("l"))
    end)
  end)

  it("S20 shutdown refuses writers whose turn had not come", function()
    with_pair(function(a, b)
      assert(a:write(BIG))
      local late = waiting(a.write, a, "late")
      local ending = waiting(a.shutdown, a)
      assert_error("ECLOSED", "write", late:await())
      assert.matches("the write side was shut down meanwhile", select(2, late:await()).message)
      assert.is_true(BIG == b:read("a"))
      assert.is_true(ending:await())
    end)
  end)

  it("an empty write passes its turn on", function()
    with_pair(function(a, b)
      assert(a:write(BIG))
      local writers = {}
      for i, text in ipairs{"", "", "end\n"} do writers[i] = waiting(a.write, a, text) end
      assert.is_true(BIG == b:read_exactly(#BIG))
      for _, writer in ipairs(writers) do assert.is_true(writer:await()) end
      assert.equal("end", b:read())
    end)
  end)

  it("close sends what is queued first", function()
    local a, b = pair()
    corun.scope(function(s)
      s:spawn(function()
        assert(a:write(BIG))
        assert.is_true(a:close())
      end)
      corun.sleep(0.01)
      assert.is_true(b:read("a") == BIG)
      b:close()
    end)
  end)

  it("shutdown waits for what is queued", function()
    with_pair(function(a, b)
        corun.scope(function(s)
        s:spawn(function()
          assert(a:write(BIG))
          assert.is_true(a:shutdown())
        end)
        corun.sleep(0.01)
        assert.is_true(b:read("a") == BIG)
      end)
    end)
  end)

  it("shows address and state", function()
    local a, b = pair()
    assert.matches("^tcp stream %(127%.0%.0%.1:%d+, open%)$", tostring(a))
    a:close()
    b:close()
    assert.matches("^tcp stream %(127%.0%.0%.1:%d+, closed%)$", tostring(a))
  end)

  it("a stream left to the collector is closed", function()
    do
      local a, b = pair()
      assert(a and b)
    end
    collectgarbage()
    collectgarbage()
  end)
end)

describe("cancellation", function()
  it("S13 every suspending call checks for cancellation before any effect", function()
    with_pair(function(a, b)
      a:write("there\n")
      b:read_until("h")
      local raised = 0
      corun.scope(function(s)
        s:cancel()
        for _, call in ipairs{{b.read, b}, {b.recv, b}, {b.read_exactly, b, 1},
            {b.read_exactly, b, 0},
          {b.read_until, b, "e"}, {b:lines()}, {b.write, b, "no"}, {b.write, b}, {b.shutdown, b}} do
          local ok, err = pcall(table.unpack(call))
          if not ok and corun.is_cancelled(err) then raised = raised + 1 end
        end
      end)
      assert.equal(9, raised)
      assert.equal("ere", b:read("l"))
      b:write("yes")
      b:shutdown()
      assert.equal("yes", a:read("a"))
    end)
  end)

  it("S19 a cancelled read loses no byte", function()
    with_pair(function(a, b)
      a:write("half a l")
      local _, err = corun.timeout(0.01, b.read, b, "l")
      assert.equal("ETIMEDOUT", err.code)
      _, err = corun.timeout(0.01, b.read_exactly, b, 100)
      assert.equal("ETIMEDOUT", err.code)
      a:write("ine\nand more")
      assert.equal("half a line", b:read("l"))
      assert.equal("and more", b:read(8))
    end)
  end)

  it("S19 reads cancelled at any time lose no byte", function()
    with_pair(function(a, b)
      local sent, got = {}, {}
      corun.scope(function(s)
        s:spawn(function()
          for i = 1, 200 do
            sent[i] = ("%d,"):format(i)
            a:write(sent[i])
            if i % 3 == 0 then corun.sleep(0.0005) end
          end
          a:shutdown()
        end)
        local calls = {
          function() return b:recv(7) end,
          function() return b:read_until(",") end,
          function() return (b:read_exactly(3)) end,
        }
        local ended = false
        while not ended do
          local read = calls[math.random(3)]
          local value = corun.timeout(math.random() * 0.001, function()
            local data = read()
            if data then got[#got + 1] = data else ended = true end
            return true
          end)
          assert(value or value == nil)
        end
        got[#got + 1] = b:read("a")
      end)
      assert.equal(table.concat(sent), table.concat(got))
    end)
  end)

  it("S19 a write is queued whole or not at all", function()
    with_pair(function(a, b)
      assert(a:write(BIG)) -- more than the system takes: the queue is full now
      local _, err = corun.timeout(0.01, a.write, a, "cancelled before it was queued")
      assert.equal("ETIMEDOUT", err.code)
      assert_error("ETIMEDOUT", "write", a:write("timed out", {timeout = 0.01}))
      corun.scope(function(s)
        s:spawn(function()
          assert(a:write("second"))
          a:shutdown()
        end)
        corun.yield()
        local all = b:read("a")
        assert.equal(#BIG + 6, #all)
        assert.equal("second", all:sub(-6))
      end)
    end)
  end)

  it("S19 what a cancelled task has queued is sent", function()
    with_pair(function(a, b)
      corun.timeout(0.01, function()
        assert(a:write(BIG))
        a:write("never queued")
      end)
      corun.scope(function(s)
        s:spawn(a.close, a)
        assert.is_true(b:read("a") == BIG)
      end)
    end)
  end)

  it("S14 close in a cancelled scope still sends what is queued", function()
    local a, b = pair()
    corun.scope(function(s)
      s:spawn(function()
        corun.timeout(0.01, function()
          local _ <close> = a
          assert(a:write(BIG))
          corun.sleep(10)
        end)
      end)
      corun.sleep(0.03)
      assert.is_true(b:read("a") == BIG)
    end)
    b:close()
  end)

  it("S15 a reader woken with bytes gets them although it is cancelled", function()
    with_pair(function(a, b)
      local data
      corun.scope(function(s)
        local reader = s:async(function()
          data = b:recv()
          corun.yield()
        end)
        while reader:status() ~= "waiting" do corun.yield() end
        a:write("x")
        while reader:status() == "waiting" do corun.yield() end
        reader:cancel()
        corun.try(reader.await, reader)
        assert.equal("x", data)
      end)
    end)
  end)
end)

describe("backpressure", function()
  it("a writer waits while the peer does not read, and memory stays bounded", function()
    with_pair(function(a, b)
      local n, block = 0, ("x"):rep(16 * KIB)
      local _, err = corun.timeout(0.1, function()
        while true do
          assert(a:write(block))
          n = n + 1
        end
      end)
      assert.equal("ETIMEDOUT", err.code)
      assert.is_true(n * #block < 32 * MIB)
      corun.scope(function(s)
        s:spawn(function()
          assert(a:write("end"))
          a:shutdown()
        end)
        local got, last = 0, nil
        repeat
          local d = b:recv()
          got, last = got + #(d or ""), d or last
        until not d
        assert.equal(n * #block + 3, got)
        assert.equal("end", last:sub(-3))
      end)
    end)
  end)

  it("writers get their turn in order and are not mixed", function()
    with_pair(function(a, b)
      corun.scope(function(s)
        assert(a:write(BIG))
        for i = 1, 20 do
          s:spawn(function()
            for j = 1, 3 do
              assert(a:write(("<%d.%d"):format(i, j), ("."):rep(20 * KIB), ">"))
            end
          end)
        end
        s:spawn(function()
          local seen, n = {}, 0
          b:read_exactly(#BIG)
          while n < 60 do
            local id, j = assert(b:read_until(">")):match("^<(%d+)%.(%d+)%.+>$")
            assert(id, "two writes were mixed")
            n = n + 1
            seen[id] = (seen[id] or 0) + 1
            assert.equal(seen[id], tonumber(j))
            if n <= 20 and not os.getenv("CORUN_SEED") then assert.equal(n, tonumber(id)) end
          end
        end)
      end)
    end)
  end)

  it("a task whose writes never wait lets others run", function()
    with_pair(function(a, b)
      local turns = 0
      corun.scope(function(s)
        s:daemon(function()
          while true do
            turns = turns + 1
            corun.yield()
          end
        end)
        s:spawn(function() b:read_exactly(2000) end)
        for _ = 1, 2000 do a:write("x") end
      end)
      assert.is_true(turns > 5)
    end)
  end)

  it("many small arguments and writes arrive in order", function()
    with_pair(function(a, b)
      local list = {}
      for i = 1, 150 do list[i] = i % 2 == 0 and i or i .. "," end
      assert(a:write(table.unpack(list)))
      assert(a:write())
      assert(a:write("", ""))
      a:shutdown()
      assert.equal(table.concat(list), b:read("a"))
    end)
  end)
end)

describe("large pieces, which are read straight into the string", function()
  it("S19 lose no byte to a time limit, a cancellation or another way of reading", function()
    with_pair(function(a, b)
      local n = 300
      local function piece(i) return ("%08d"):format(i):rep(4 * KIB) end
      corun.scope(function(s)
        s:spawn(function()
          for i = 1, n do
            assert(a:write(piece(i)))
            if i % 7 == 0 then corun.sleep(0.002) end
          end
          a:shutdown()
        end)
        local got, missed = {}, 0
        local ways = {
          function() return b:recv(nil, {timeout = 0.0005}) end,
          function() return b:recv(10000, {timeout = 0}) end,
          function() return corun.timeout(0.0003, b.recv, b) end,
          function() return b:recv(100) end,
          function() return b:read(20000) end,
        }
        for i = 0, math.huge do
          local data, err = ways[i // 3 % #ways + 1]()
          if not data and not err then break end
          got[#got + 1] = data
          if not data then missed = missed + 1 end
        end
        local all = table.concat(got)
        assert.equal(n * 32 * KIB, #all)
        for i = 1, n do
          assert.is_true(piece(i) == all:sub((i - 1) * 32 * KIB + 1, i * 32 * KIB))
        end
        assert.is_true(missed > 0)
      end)
    end)
  end)

  it("end with the end of the stream, its error, or its close", function()
    with_pair(function(a, b)
      a:write(("x"):rep(60000))
      assert.is_true(#b:recv() > 0)
      a:write(("y"):rep(60000))
      a:close()
      local rest = 0
      for data in function() return b:recv() end do rest = rest + #data end
      assert.is_true(rest >= 60000)
      assert.is_nil(b:recv())
    end)
    with_pair(function(a, b)
      a:write(("x"):rep(60000))
      b:recv()
      while b:recv(nil, {timeout = 0.02}) do corun.yield() end
      local reading = waiting(b.recv, b)
      b:close()
      assert_error("ECLOSED", "recv", reading:await())
    end)
    with_pair(function(a, b)
      b:write("nobody reads this, so that a's close resets the connection")
      assert(b:shutdown()) -- it is not queued any more
      a:write(("x"):rep(60000))
      local got = 0
      repeat got = got + #b:recv() until got == 60000
      local reading = waiting(b.recv, b)
      a:close()
      assert_error("ECONNRESET", "recv", reading:await())
      assert_error("ECONNRESET", "recv", b:recv())
    end)
  end)
end)

describe("settings of a stream", function()
  it("timeout is the limit of each call that has none of its own (S41)", function()
    with_pair(function(a, b)
      assert.equal(b, b:configure({timeout = 0.02}))
      for name, argument in pairs{read = "l", recv = 10, read_exactly = 1, read_until = "x"} do
        local start = corun.now()
        assert_error("ETIMEDOUT", name, b[name](b, argument))
        assert.is_true(corun.now() - start < 1)
      end
      local ok, err = pcall(b:lines())
      assert.is_false(ok)
      assert.equal("ETIMEDOUT", err.code)
      a:write("late")
      assert.equal("late", b:read_exactly(4, {timeout = 5}))
      b:configure({timeout = math.huge})
      local reading = waiting(b.recv, b)
      corun.sleep(0.05)
      assert.is_false(reading:done())
      a:write("x")
      assert.equal("x", reading:await())
    end)
  end)

  it("timeout bounds a write that nobody reads", function()
    with_pair(function(a)
      a:configure({timeout = 0.05})
      local ok, err
      repeat ok, err = a:write(BIG) until not ok
      assert_error("ETIMEDOUT", "write", ok, err)
    end)
  end)

  it("queue is what writers may have waiting to be sent", function()
    with_pair(function(a, b)
      a:configure({queue = 64 * MIB})
      local start = corun.now()
      assert.is_true(a:write(BIG))
      assert.is_true(a:write(BIG))
      assert.is_true(a:write("end"))
      assert.is_true(corun.now() - start < 5)
      assert.equal(2 * #BIG + 3, #b:read_exactly(2 * #BIG + 3))
      a:configure({queue = 1})
      a:write(BIG)
      assert_error("ETIMEDOUT", "write", a:write("x", {timeout = 0.02}))
      assert.equal(#BIG, #b:read_exactly(#BIG))
    end)
  end)

  it("nodelay and keepalive are those of the socket", function()
    with_pair(function(a)
      assert.equal(a, a:configure({nodelay = false, keepalive = 30}))
      assert.equal(a, a:configure({nodelay = true, keepalive = false}))
    end)
    local l <close> = assert(net.listen("127.0.0.1:0"))
    local c <close> = assert(net.connect(l:address(), {keepalive = true, queue = 1000}))
    assert.is_true(c:write("x"))
  end)

  it("misuse is answered, on a closed stream too", function()
    with_pair(function(a)
      assert.error_matches(function() a:configure() end, "table expected")
      assert.error_matches(function() a:configure({timeot = 1}) end, 'did you mean "timeout"')
      assert.error_matches(function() a:configure({timeout = -1}) end, "number of seconds")
      assert.error_matches(function() a:configure({queue = 0}) end, "positive")
      assert.error_matches(function() a:configure({keepalive = {}}) end, "keepalive")
      a:close()
      assert_raises("ECLOSED", a.configure, a, {})
    end)
  end)
end)

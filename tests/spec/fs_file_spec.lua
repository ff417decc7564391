-- SPDX-License-Identifier: MIT
-- Open files of corun.fs: the methods of Lua's io files, those of streams, buffers and positions.
local corun = require "corun"
local fs = require "corun.fs"
local files = dofile("tests/spec/support/files.lua")

local folder, put, get, descriptors = files.folder, files.put, files.get, files.descriptors
local BIG = ("0123456789abcdef"):rep(1 << 18) -- 4 MiB

local function assert_error(code, op, value, err)
  assert.is_nil(value)
  assert.equal(code, err.code)
  assert.equal(op, err.op)
end

describe("an open file", function()
  it("does what Lua's own does: the same calls give the same results", function()
    local _ <close>, dir = folder()
    local text = "first line\n\n12 0x1F -3.5e2 nan\nlast, unended \0 line\255"
    -- Each is a list of calls: method and arguments.
    local runs = {
      {"r", {"read"}, {"read", "L"}, {"read", "n", "n"}, {"seek"}, {"read", "n"},
        {"seek", "set", 3}, {"read", 5}, {"read", "a"}, {"read", "a"}, {"read", "l"}, {"read", 0},
        {"read", 3},
        {"seek", "end"}, {"seek", "cur", -4}, {"read", "a"}},
      {"r", {"read", 0}, {"read", "l", "L", "n", "l"}, {"read", 7, "l"}, {"read", "a", "l"}},
      {"r", {"read", 7, "a", "l", "a"}, {"read", "l", "a"}, {"read", "a", "a"}},
      {"w", {"write", "a", 1, 2.5, "b"}, {"seek"}, {"seek", "set", 1}, {"write", "XY"},
        {"seek", "end"}, {"seek", "set", 9}, {"write", "far"}, {"flush"}, {"seek", "cur", -2}},
      {"a", {"write", "tail"}, {"seek", "set", 0}, {"write", "more"}, {"seek", "end"}},
      {"r+", {"read", "l"}, {"seek"}, {"seek", "cur"}, {"write", "over"}, {"seek", "cur"},
        {"read", 4}, {"seek", "set"}, {"read", "a"}},
      {"w+", {"write", "line 1\nline 2\n"}, {"seek", "set", 2}, {"read", "l"}, {"seek", "cur"},
        {"write", "x"}, {"seek", "set"}, {"read", "a"}},
      {"a+", {"read", "l"}, {"seek", "set", 0}, {"write", "end"}, {"seek", "set"}, {"read", "a"}},
      {"r+b", {"setvbuf", "no"}, {"write", "Z"}, {"seek", "cur", 0}, {"read", 3},
        {"setvbuf", "full", 10}, {"seek", "set", 0}, {"write", "0123456789abc"}, {"seek", "set"},
        {"read", 20}, {"setvbuf", "line"}},
    }
    for i, run in ipairs(runs) do
      local results = {}
      for _, open in ipairs{io.open, fs.open} do
        local path = dir .. "/f"
        put(path, text)
        local f <close> = assert(open(path, run[1]))
        local got = {}
        for j = 2, #run do
          local call = run[j]
          local values = table.pack(f[call[1]](f, table.unpack(call, 2)))
          for k = 1, values.n do
            local v = values[k]
            if v == f then v = "the file" end
            if math.type(v) == "float" and v ~= v then v = "nan" end
            got[#got + 1] = v == nil and "nil" or v
          end
          got[#got + 1] = "|"
        end
        f:close()
        got[#got + 1] = get(path)
        results[#results + 1] = got
      end
      assert.same(results[1], results[2], "run " .. i)
    end
  end)

  it("reads lines, or what the formats say", function()
    local _ <close>, dir = folder()
    local path = dir .. "/f"
    put(path, "1 one\n2 two\n3 three")
    local f <close> = assert(fs.open(path))
    local got = {}
    for n, rest in f:lines("n", "l") do got[#got + 1] = n .. rest end
    assert.same({"1 one", "2 two", "3 three"}, got)
    f:seek("set")
    got = {}
    for line in f:lines("L") do got[#got + 1] = line end
    assert.same({"1 one\n", "2 two\n", "3 three"}, got)
    f:seek("set")
    got = {}
    for part in f:lines(7) do got[#got + 1] = part end
    assert.same({"1 one\n2", " two\n3 ", "three"}, got)
  end)

  it("loses nothing that was read before a format that fails", function()
    local _ <close>, dir = folder()
    put(dir .. "/f", "header\nx\nlong line\n")
    local f <close> = assert(fs.open(dir .. "/f"))
    local line, none, err = f:read("l", "n", "l")
    assert.equal("header", line)
    assert_error("EINVAL", "read", none, err)
    line, none, err = f:read("l", "l", {max = 4})
    assert.equal("x", line)
    assert_error("EMSGSIZE", "read", none, err)
    assert.equal("long line", f:read())
    assert.equal(1, select("#", f:read("l", "a")))
    f:seek("set")
    local got = {}
    for name, number in f:lines("l", "n") do got[#got + 1] = {name, number} end
    assert.same({{"header"}, {"x"}, {"long line"}}, got)
    f:seek("set")
    local ok, raised = pcall(function()
      for first in f:lines("L", "l", "l", {max = 8}) do error(first) end
    end)
    assert.is_false(ok)
    assert.equal("EMSGSIZE", raised.code)
  end)

  it("S41 has the methods of streams", function()
    local _ <close>, dir = folder()
    put(dir .. "/f", "some bytes; and more; the end")
    local f <close> = assert(fs.open(dir .. "/f"))
    assert.equal("some ", f:read_exactly(5))
    assert.equal("bytes;", f:read_until(";"))
    assert_error("EMSGSIZE", "read", f:read("l", {max = 17})) -- now all the rest is read ahead
    assert.equal(" and", f:recv(4))
    assert.equal(" more; the end", f:recv())
    assert.is_nil(f:recv())
    f:seek("set", 20)
    assert_error("EOF", "read_exactly", f:read_exactly(100))
    f:seek("set")
    assert_error("EMSGSIZE", "read", f:read("l", {max = 3}))
    assert_error("EMSGSIZE", "read", f:read("a", {max = 3}))
    assert.equal("some", f:read(4))
    assert_error("EINVAL", "read", f:read("n"))
  end)

  it("goes on reading when the file grows", function()
    local _ <close>, dir = folder()
    local path = dir .. "/log"
    put(path, "one\n")
    local f <close> = assert(fs.open(path))
    assert.equal("one", f:read())
    assert.is_nil(f:read())
    assert(fs.write(path, "two\n", {append = true}))
    assert.equal("two", f:read())
    assert.equal("", f:read("a"))
    assert(fs.write(path, "three", {append = true}))
    assert.equal("three", f:read("a"))
  end)

  it("reads large files whole and in pieces of any size", function()
    local _ <close>, dir = folder()
    put(dir .. "/f", BIG)
    local f <close> = assert(fs.open(dir .. "/f"))
    assert.equal("0123", f:read(4))
    assert.is_true(f:read("a") == BIG:sub(5))
    for _, n in ipairs{1000, 65536, 65537, 262144, 300000, 5 << 20} do
      f:seek("set", 1)
      local parts = {f:read(3)}
      for part in f:lines(n) do parts[#parts + 1] = part end
      assert.is_true(table.concat(parts) == BIG:sub(2), n)
      local at = f:seek()
      assert.equal(#BIG, at)
    end
  end)

  it("writes what Lua's own would, through buffers of any size", function()
    local _ <close>, dir = folder()
    for _, mode in ipairs{"no", "line", "full"} do
      for _, size in ipairs{0, 1, 100, 1 << 20} do
        local f <close> = assert(fs.open(dir .. "/f", "w"))
        local g <close> = assert(io.open(dir .. "/g", "w"))
        assert.is_true(f:setvbuf(mode, size))
        for i = 1, 300 do
          for _, h in ipairs{f, g} do
            assert(h:write(i, " ", ("x"):rep(i), i % 3 == 0 and "\n" or ""))
            if i % 100 == 0 then assert(h:write(BIG:sub(1, 100000), "tail")) end
          end
        end
        assert.is_true(f:close())
        g:close()
        assert.is_true(get(dir .. "/f") == get(dir .. "/g"), mode .. size)
      end
    end
  end)

  it("keeps what is written in its buffer until it must go", function()
    local _ <close>, dir = folder()
    local path = dir .. "/f"
    local f <close> = assert(fs.open(path, "w"))
    f:write("buffered")
    assert.equal("", get(path))
    assert.is_true(f:flush())
    assert.equal("buffered", get(path))
    f:setvbuf("line")
    f:write(" half")
    assert.equal("buffered", get(path))
    f:write(" a line\nand")
    assert.equal("buffered half a line\nand", get(path))
    f:setvbuf("no")
    f:write(" now")
    assert.equal("buffered half a line\nand now", get(path))
    f:setvbuf("full")
    f:write("!")
    assert.is_true(f:sync())
    assert.equal("buffered half a line\nand now!", get(path))
    f:write(" end")
    assert.equal(33, f:stat().size)
    assert.is_true(f:truncate(8))
    assert.equal("buffered", get(path))
    assert.is_true(f:truncate(10))
    assert.equal("buffered\0\0", get(path))
    f:seek("set", 3)
    assert.is_true(f:truncate())
    f:write("!")
    f:close()
    assert.equal("buf!", get(path))
  end)

  it("appends each write to the end, whoever else writes", function()
    local _ <close>, dir = folder()
    local path = dir .. "/f"
    local a <close> = assert(fs.open(path, "a"))
    local b <close> = assert(fs.open(path, "a+"))
    a:setvbuf("line")
    b:setvbuf("line")
    for i = 1, 50 do
      a:write("a", i, "\n")
      b:write("b", i, "\n")
    end
    local count = 0
    b:seek("set")
    for line in b:lines() do
      count = count + 1
      assert.equal((count % 2 == 1 and "a" or "b") .. (count + 1) // 2, line)
    end
    assert.equal(100, count)
  end)

  it("can be made anew, exclusively, with a mode", function()
    local _ <close>, dir = folder()
    local path = dir .. "/f"
    local f <close> = assert(fs.open(path, "wx", {mode = "600"}))
    assert.equal(384, f:stat().mode)
    assert_error("EEXIST", "open", fs.open(path, "wx"))
    assert_error("ENOENT", "open", fs.open(dir .. "/none"))
    assert_error("EISDIR", "open", fs.open(dir))
    for _, mode in ipairs{"", "x", "rx", "rw", "r++", "+r", "rbb", "w+xx", "rt"} do
      assert.is_false(pcall(fs.open, path, mode), mode)
    end
    for _, mode in ipairs{"rb", "r+", "rb+", "r+b", "wb", "w+", "a", "ab+", "a+b"} do
      assert(fs.open(path, mode)):close()
    end
  end)

  it("says that it is not open for that", function()
    local _ <close>, dir = folder()
    put(dir .. "/f", "text")
    local r <close> = assert(fs.open(dir .. "/f"))
    local w <close> = assert(fs.open(dir .. "/f", "a"))
    assert_error("EBADF", "write", r:write("x"))
    assert_error("EBADF", "read", w:read())
    assert_error("EBADF", "read", w:read("a"))
    assert_error("EINVAL", "seek", r:seek("set", -1))
    assert_error("EINVAL", "seek", r:seek("cur", math.mininteger))
    assert.equal("text", r:read("a"))
    assert.equal(dir .. "/f", r:path())
    assert.matches("^file %(" .. dir:gsub("%p", "%%%0") .. "/f, open%)$", tostring(r))
  end)

  it("reports a full disk in the call that meets it, and again when it is closed", function()
    local f = assert(fs.open("/dev/full", "w"))
    assert.equal(f, f:write("buffered"))
    assert_error("ENOSPC", "flush", f:flush())
    assert_error("ENOSPC", "write", f:write(BIG))
    assert_error("ENOSPC", "close", f:close())
    assert.is_true(f:close())
    f = assert(fs.open("/dev/full", "w"))
    f:setvbuf("no")
    assert_error("ENOSPC", "write", f:write("x"))
    assert.is_true(f:close()) -- what was refused is not tried again
    f = assert(fs.open("/dev/full", "r+"))
    f:write("x")
    assert_error("ENOSPC", "read", f:read(1))
    assert_error("ENOSPC", "close", f:close())
  end)

  it("writes nothing twice after an error: what was refused is the caller's", function()
    local _ <close>, dir = folder()
    local r = files.sh(([[ulimit -f 100; exec "$CORUN" -e '
      local fs = require "corun.fs"
      local f = fs.open("%s/f", "w")
      local said = 0
      for i = 1, 40 do
        local ok, err = f:write(("x"):rep(3000))
        if ok then said = said + 3000 else print(err.code) break end
      end
      local _, err = f:close()
      print(err.code, said >= fs.stat("%s/f").size)']]):format(dir, dir))
    assert.equal("", r.err)
    assert.equal("EFBIG\nEFBIG\ttrue\n", r.out)
  end)

  it("S20 raises when it is used after it was closed, and says where that was", function()
    local _ <close>, dir = folder()
    local f = assert(fs.open(dir .. "/f", "w+"))
    f:close()
    for _, call in ipairs{"read", "write", "seek", "flush", "lines", "setvbuf", "stat", "sync",
      "recv", "truncate", "read_exactly"} do
      local ok, err = pcall(f[call], f, ({setvbuf = "no", read_exactly = 1})[call])
      assert.is_false(ok)
      assert.equal("ECLOSED", err.code)
      assert.matches("fs_file_spec.lua:%d+", tostring(err))
    end
    assert.is_true(f:close())
    assert.equal(dir .. "/f", f:path())
    assert.matches("closed%)$", tostring(f))
  end)

  it("S20 a second reader is refused", function()
    local _ <close>, dir = folder()
    put(dir .. "/f", BIG)
    local f <close> = assert(fs.open(dir .. "/f"))
    for _, format in ipairs{"a", "l"} do
      f:seek("set")
      local first = corun.async(f.read, f, format, {max = 1 << 30})
      while first:status() ~= "waiting" do corun.yield() end
      for _, other in ipairs{"a", "l", 3} do
        local ok, err = pcall(f.read, f, other)
        assert.is_false(ok)
        assert.equal("EBUSY", err.code)
      end
      first:await()
    end
  end)

  it("S20 what waits when it is closed ends, and the descriptor is given back once", function()
    local _ <close>, dir = folder()
    put(dir .. "/f", BIG)
    local before = descriptors()
    for i = 0, 20 do
      local f = assert(fs.open(dir .. "/f", "r+"))
      local outcomes = {}
      corun.scope(function(s)
        for j, call in ipairs{
          function() return f:read("l", {max = 1 << 30}) end,
          function() return f:write(BIG) end,
          function() return f:seek("end") end,
          function() return f:write(BIG) end,
        } do
          s:spawn(function()
            local ok, value, err = pcall(call)
            outcomes[j] = not ok and value.code or err and err.code or "done"
          end)
        end
        corun.sleep(i * 0.0001)
        f:close()
      end)
      for j = 1, 4 do assert(outcomes[j] == "done" or outcomes[j] == "ECLOSED", outcomes[j]) end
    end
    assert.equal(before, descriptors())
  end)

  it("serves tasks that write at once one after another, and mixes no writes", function()
    local _ <close>, dir = folder()
    local f <close> = assert(fs.open(dir .. "/f", "w"))
    corun.scope(function(s)
      for i = 1, 20 do
        s:spawn(function()
          for _ = 1, 20 do assert(f:write(("%02d"):format(i):rep(i * 500), "\n")) end
        end)
      end
    end)
    f:close()
    local count = 0
    for line in io.lines(dir .. "/f") do
      count = count + 1
      assert.equal(line:sub(1, 2):rep(#line // 2), line)
      assert.equal(tonumber(line:sub(1, 2)) * 1000, #line)
    end
    assert.equal(400, count)
  end)

  it("S19 a cancelled or late read loses no byte", function()
    local _ <close>, dir = folder()
    put(dir .. "/f", BIG)
    local f <close> = assert(fs.open(dir .. "/f"))
    local parts = {}
    for i = 1, 200 do
      files.cancelled(i % 2 == 0 and (i % 10) * 0.00003 or 0, function()
        local data = f:read(i * 37)
        parts[#parts + 1] = data
      end)
      if i % 5 == 0 then
        local data = f:read(i * 11, {timeout = 0})
        parts[#parts + 1] = data
      end
    end
    parts[#parts + 1] = f:read("a")
    assert.is_true(table.concat(parts) == BIG)
    f:seek("set", 7)
    for i = 0, 10 do files.cancelled(i * 0.0002, f.read, f, "a") end
    local at = f:seek()
    assert(at == 7 or at == #BIG, at)
    f:seek("set", 7)
    local data, err = f:read("a", {timeout = 0})
    assert(err == nil or err.code == "ETIMEDOUT")
    assert.is_true((data or f:read("a")) == BIG:sub(8))
  end)

  it("S19 a cancelled write is there whole, or not at all", function()
    local _ <close>, dir = folder()
    local f <close> = assert(fs.open(dir .. "/f", "w"))
    local record = ("r"):rep(99) .. "\n"
    for i = 0, 30 do
      files.cancelled((i % 10) * 0.0001, function()
        for _ = 1, 50 do f:write(record:rep(i % 3 == 0 and 1000 or 10)) end
      end)
    end
    f:close()
    for line in io.lines(dir .. "/f", "L") do assert.equal(record, line) end
  end)

  it("S14 is closed in a cancelled scope too, with all that was written", function()
    local _ <close>, dir = folder()
    local written = corun.event()
    local writer = corun.async(function()
      local f <close> = assert(fs.open(dir .. "/f", "w"))
      f:write("kept")
      written:set()
      corun.sleep(10)
    end)
    written:wait()
    writer:cancel()
    assert.equal("ECANCELED", select(2, writer:await()).code)
    assert.equal("kept", get(dir .. "/f"))
  end)

  it("is written to the end by the collector and by the end of the program", function()
    local _ <close>, dir = folder()
    local r = files.code(([[local fs = require "corun.fs"
      fs.open("%s/a", "w"):write("collected")
      collectgarbage() collectgarbage()
      require "corun".sleep(0.02)
      print(fs.read("%s/a"))
      kept = fs.open("%s/b", "w")
      kept:write(("b"):rep(1000))]]):format(dir, dir, dir))
    assert.equal("", r.err)
    assert.equal("collected\n", r.out)
    assert.equal(("b"):rep(1000), get(dir .. "/b"))
  end)

  it("of a pipe is a stream with the same methods", function()
    local _ <close>, dir = folder()
    local fifo = dir .. "/fifo"
    files.sh("mkfifo " .. fifo)
    assert_error("ENXIO", "open", fs.open(fifo, "w"))
    local r <close> = assert(fs.open(fifo))
    local w <close> = assert(fs.open(fifo, "w"))
    assert.equal(w, w:write("1 line\nrest"))
    assert.is_true(w:flush())
    assert.is_true(w:setvbuf("no"))
    assert_error("ESPIPE", "seek", w:seek("end"))
    w:close()
    local n, line = r:read("n", "l")
    assert.equal(1, n)
    assert.equal(" line", line)
    assert.equal("rest", r:read("a"))
    assert.is_nil(r:read())
  end)

  it("of a device without positions is read in order", function()
    local f <close> = assert(fs.open("/dev/urandom"))
    local a, b = f:read(1000), f:read(300000)
    assert.equal(1000, #a)
    assert.equal(300000, #b)
    assert_error("ESPIPE", "seek", f:seek("set"))
    local z <close> = assert(fs.open("/dev/zero"))
    assert.equal(("\0"):rep(10), z:read(10))
  end)

  it("takes a hole of terabytes for what it is", function()
    local _ <close>, dir = folder()
    local f <close> = assert(fs.open(dir .. "/f", "w+"))
    assert.equal(1 << 40, f:seek("set", 1 << 40))
    f:write("end")
    assert.equal((1 << 40) + 3, f:seek("end"))
    f:seek("set", (1 << 40) - 1)
    assert.equal("\0end", f:read("a"))
    f:seek("set")
    assert_error("EMSGSIZE", "read", f:read("a", {max = 1 << 20}))
    local _, err = fs.read(dir .. "/f", {max = 1 << 30})
    assert.equal("EMSGSIZE", err.code)
    _, err = fs.read(dir .. "/f")
    assert(err.code == "ENOMEM", err)
  end)

  it("can be had by the thousand", function()
    local _ <close>, dir = folder()
    local before = descriptors()
    do
      local open = {}
      local _ <close> = corun.defer(function() for _, f in ipairs(open) do f:close() end end)
      for i = 1, 500 do open[i] = assert(fs.open(dir .. "/" .. i, "w+")) end
      corun.map(open, function(f) assert(f:write("x")) end)
      corun.map(open, function(f) assert(f:seek("set") == 0) assert(f:read("a") == "x") end)
    end
    assert.equal(before, descriptors())
  end)
end)

describe("faults of files", function()
  for seed = 1, 4 do
    it(("lose, double or reorder no byte, seed %d"):format(seed), function()
      local r = files.run({"--timeout=60", "tests/fixtures/faults/files.lua"},
        {env = files.faults(seed)})
      assert.equal("", r.err)
      assert.equal("all is there\n", r.out)
    end)
  end
end)

describe("out of memory", function()
  it("files end with an error, or work: they do not fall #heavy", function()
    local _ <close>, dir = folder()
    put(dir .. "/script.lua", ([[
      local corun = require "corun"
      local fs = require "corun.fs"
      local dir = "%s/w"
      local f = fs.open("%s/f", "w+")
      f:write("line\n", ("x"):rep(200000))
      f:seek("set")
      f:read("l", "n")
      f:seek("set")
      f:read("a")
      for _ in f:lines(1000) do end
      f:close()
      fs.mkdir(dir .. "/a/b", {parents = true})
      fs.write(dir .. "/a/f", "x", {atomic = true})
      for _ in fs.walk(dir) do end
      fs.glob(dir .. "/**")
      fs.copy(dir, dir .. "2", {recursive = true})
      local t <close> = fs.temp{dir = true, parent = dir}
      local w <close> = fs.watch(dir, {recursive = true, delay = 0})
      fs.write(dir .. "/g", "x")
      w:recv()
      fs.remove(dir, {recursive = true})
      fs.remove(dir .. "2", {recursive = true})
      print "done"
    ]]):format(dir, dir))
    local done, nth = false, 1000 -- the program itself needs some to start
    while not done and nth < 40000 do
      fs.remove(dir .. "/w", {recursive = true})
      fs.remove(dir .. "/w2", {recursive = true})
      local r = files.run({"--grace=1", "--timeout=20", dir .. "/script.lua"},
        {env = "CORUN_FAIL_ALLOC=" .. nth})
      assert(r.status == 0 or r.status == 1, ("%d: %s %s"):format(nth, r.status or r.signal, r.err))
      assert(r.status == 0 or r.err:find("not enough memory"), ("%d: %s"):format(nth, r.err))
      done = r.status == 0
      nth = nth + 1 + nth // 30
    end
  end)
end)

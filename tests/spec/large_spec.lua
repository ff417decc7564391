-- SPDX-License-Identifier: MIT
-- Large pieces: they come out as they went in, however they are asked for, and hold up nobody: none
-- is copied, or given back to the system, in one go.
local corun = require "corun"
local codec = require "corun.codec"
local net = require "corun.net"
local program = dofile("tests/fixtures/cli/program.lua")
local programs = dofile("tests/spec/support/programs.lua")

local MIB = 1 << 20

-- `size` bytes that are different in every place.
local function pattern(size)
  local block, parts = codec.random(MIB), {}
  for i = 1, size // MIB + 1 do parts[i] = ("%08d"):format(i) .. block:sub(9) end
  return table.concat(parts):sub(1, size)
end

-- A stream that gives `data` and then its end.
local function sending(data)
  local server = assert(net.serve("127.0.0.1:0", function(s) s:write(data) end))
  local s = assert(net.connect(server:address()))
  return s, server
end

-- Whether two strings are equal; busted would print them.
local function assert_same(wanted, got)
  assert.equal(#wanted, #got)
  assert.is_true(wanted == got, "the bytes differ")
end

describe("large pieces", function()
  for _, size in ipairs{64 * 1024, 256 * 1024 - 1, 256 * 1024, 4 * MIB - 30, 4 * MIB, 9 * MIB} do
    it(("come whole, %d bytes #heavy"):format(size), function()
      local data = pattern(size)
      local s <close>, server = sending(data)
      local _ <close> = server
      assert_same(data, s:read("a"))
      assert.is_nil(s:read())
    end)
  end

  it("come whole with what is around them #heavy", function()
    local big, bigger = pattern(5 * MIB), pattern(7 * MIB):gsub("\n", " ")
    local s <close>, server = sending("first\n" .. big .. bigger .. "\nlast\n" .. big)
    local _ <close> = server
    assert.equal("first", s:read())
    assert_same(big, s:read_exactly(#big))
    assert_same(bigger, s:read("l", {max = 100 * MIB}))
    assert.equal("last\n", s:read("L"))
    assert_same(big:sub(1, 3 * MIB), s:read(3 * MIB))
    assert_same(big:sub(3 * MIB + 1), s:read("a"))
  end)

  it("S19 stay where they are when a read is cut short #heavy", function()
    local data = pattern(12 * MIB)
    local go_on = corun.event()
    local server <close> = assert(net.serve("127.0.0.1:0", function(s)
      s:write(data)
      go_on:wait()
      s:write("rest")
    end))
    local s <close> = assert(net.connect(server:address()))
    local _, err = s:read_exactly(#data + 1, {timeout = 0.3})
    assert.equal("ETIMEDOUT", err.code)
    _, err = s:read("a", {max = MIB})
    assert.equal("EMSGSIZE", err.code)
    assert_same(data:sub(1, 5), s:read(5))
    assert_same(data:sub(6, MIB), s:read(MIB - 5))
    go_on:set()
    assert_same(data:sub(MIB + 1) .. "rest", s:read("a"))
  end)

  it("come whole out of a codec #heavy", function()
    local data = pattern(9 * MIB)
    for _, name in ipairs{"gzip", "zstd"} do
      local packed = codec[name].encode(data, {level = 1})
      assert_same(data, codec[name].decode(packed))
      local d <close> = codec[name].decoder()
      local pieces = {}
      for at = 1, #packed, 3 * MIB do
        pieces[#pieces + 1] = d:update(packed:sub(at, at + 3 * MIB - 1))
      end
      pieces[#pieces + 1] = d:finish()
      assert_same(data, table.concat(pieces))
    end
  end)

  -- CPU time, since the machine may have others to serve, and in a program of its own, whose heap
  -- is small: a collector's cycle may come any time. A copy of them all is made for comparison.
  it("hold up no other task for as long as it takes to copy them #heavy", function()
    if program.is_sanitized() then return end -- they copy what grows
    local out, status = programs.run([[
      local corun, process = require("corun"), require("corun.process")
      local size, longest = 150 << 20, 0
      corun.daemon(function()
        while true do
          local before = os.clock()
          corun.sleep(0.001)
          longest = math.max(longest, os.clock() - before)
        end
      end)
      local function gather()
        local output = assert(process.run({"head", "-c", tostring(size), "/dev/zero"})).stdout
        local held, before = longest, os.clock()
        local copy = output .. "x"
        assert(#copy == size + 1)
        return held, os.clock() - before
      end
      local gathering, copying = gather()
      corun.sleep(0.002)
      longest = 0
      collectgarbage()
      repeat corun.sleep(0.002) until corun.debug.stats().memory < size
      corun.sleep(0.05)
      print(gathering / copying < 0.25 and longest / copying < 0.25,
        ("%.1f and %.1f of %.1f ms"):format(gathering * 1e3, longest * 1e3, copying * 1e3))]])
    assert.matches("^true\t", out)
    assert.equal(0, status)
  end)
end)

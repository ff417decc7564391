-- SPDX-License-Identifier: MIT
-- Bodies that are gathered in blocks, and blocks that are written to files.

local corun = require("corun")
local core = require("corun.httpcore")
local fs = require("corun.fs")
local net = require("corun.net")
local support = require("tests.spec.support.http")

local TEXT = ("0123456789abcdef"):rep(6250) -- 100,000 bytes
local OK = "HTTP/1.1 200 OK\r\n"

-- Ask a server that answers by `fn`; the connection, its response's body to come.
local function ask(fn)
  local server, url = support.raw(function(stream)
    support.read_request(stream)
    fn(stream)
  end)
  local c = core.connection(assert(net.connect(url:match("//(.*)"))), "response")
  assert.equal(200, c:open("GET / HTTP/1.1\r\nhost: x\r\n\r\n", nil, false, 10, -1))
  return c, server
end

-- A block as a string: by a file, for Lua has no way into it.
local function bytes_of(block)
  local file <close> = assert(fs.temp())
  assert(file:write(block))
  assert(file:seek("set", 0))
  return file:read("a")
end

describe("blocks", function()
  it("are filled to their end, whatever the pieces that come", function()
    for _, coding in ipairs{"length", "chunked", "close"} do
      local c, server = ask(function(stream)
        if coding == "chunked" then
          stream:write(OK, "transfer-encoding: chunked\r\n\r\n")
          for i = 1, #TEXT, 1234 do
            local piece = TEXT:sub(i, i + 1233)
            stream:write(("%x\r\n"):format(#piece), piece, "\r\n")
          end
          stream:write("0\r\n\r\n")
        else
          stream:write(OK, coding == "length" and "content-length: 100000\r\n\r\n" or "\r\n", TEXT)
        end
      end)
      local sizes, parts, block = {}, {}, core.block(30000)
      repeat
        local piece, last = c:piece(nil, block)
        assert.equal(block, piece)
        sizes[#sizes + 1] = #block
        parts[#parts + 1] = bytes_of(block)
      until last
      if sizes[#sizes] == 0 then sizes[#sizes] = nil end
      assert.same({30000, 30000, 30000, 10000}, sizes, coding)
      assert.is_true(table.concat(parts) == TEXT)
      c:close()
      server:close()
    end
  end)

  it("give what came of a peer that is slow, or is gone", function()
    local more = corun.event()
    local c, server = ask(function(stream)
      stream:write(OK, "content-length: 20\r\n\r\nslowly")
      more:wait()
      stream:write("gone")
    end)
    local block = core.block(1000)
    assert.equal(block, (c:piece(nil, block)))
    assert.equal("slowly", bytes_of(block))
    more:set()
    assert.equal(block, (c:piece(nil, block)))
    assert.equal("gone", bytes_of(block))
    local piece, err = c:piece(nil, block)
    assert.is_nil(piece)
    assert.equal("EOF", err.code)
    assert.equal(0, #block)
    c:close()
    server:close()
  end)

  it("without one a piece is a string, after one too", function()
    local c, server = ask(function(stream)
      stream:write(OK, "content-length: 8\r\n\r\nabcd")
      stream:recv()
      stream:write("efgh")
    end)
    local block = core.block(4)
    assert.equal(block, (c:piece(nil, block)))
    c:write("x")
    local rest, piece, last = ""
    repeat
      piece, last = c:piece()
      assert.equal("string", type(piece))
      rest = rest .. piece
    until last
    assert.equal("efgh", rest)
    c:close()
    server:close()
  end)

  it("are written among strings, large and small", function()
    local c, server = ask(function(stream)
      stream:write(OK, "content-length: 100000\r\n\r\n", TEXT)
    end)
    local block = core.block(100000)
    c:piece(nil, block)
    assert.matches("^block 0?x?%x+ %(100000 bytes%)$", tostring(block))
    local file <close> = assert(fs.temp())
    assert(file:write("<", block, ">", block))
    assert(file:write(core.block(1)))
    assert(file:seek("set", 0))
    assert.is_true(file:read("a") == "<" .. TEXT .. ">" .. TEXT)
    assert.has_error(function() file:write(io.stdout, block) end)
    assert.has_error(function() core.block(0) end)
    c:close()
    server:close()
  end)
end)

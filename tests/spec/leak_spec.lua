-- SPDX-License-Identifier: MIT
-- Memory slopes (design section 12): what a million operations leave behind, by the resident size
-- of the process and by what Lua holds. #heavy: seconds, and minutes under a slow Lua.
local corun = require "corun"
local net = require "corun.net"
local http = require "corun.http"
local stats = require("corun.debug").stats

local PAGE = 4096
local MOST = 1.0 -- bytes an operation

local function resident()
  local f <close> = assert(io.open("/proc/self/statm"))
  f:read("n")
  return f:read("n") * PAGE
end

local function settle()
  collectgarbage()
  collectgarbage()
  corun.sleep(0)
end

-- Run `work(n)` once to warm up and once to measure; answer the bytes that each operation left.
local function slope(n, work)
  work(n)
  settle()
  local rss, held = resident(), stats().memory
  work(n)
  settle()
  return (resident() - rss) / n, (stats().memory - held) / n
end

local function check(n, work)
  local rss, held = slope(n, work)
  assert.is_true(rss < MOST, ("resident size grows by %.2f bytes an operation"):format(rss))
  assert.is_true(held < MOST, ("Lua memory grows by %.2f bytes an operation"):format(held))
end

describe("memory slope #heavy", function()
  it("of tasks that are awaited", function()
    local function fn(...) return ... end
    check(1000000, function(n)
      for i = 1, n do corun.await(corun.async(fn, i, i)) end
    end)
  end)

  it("of tasks that fail and are awaited", function()
    local function fn() error("no", 0) end
    check(200000, function(n)
      for _ = 1, n do pcall(corun.await, corun.async(fn)) end
    end)
  end)

  it("of tasks that are cancelled", function()
    check(300000, function(n)
      for _ = 1, n do
        local t = corun.spawn(corun.sleep, 60)
        corun.yield()
        t:cancel()
        corun.await(t)
      end
    end)
  end)

  it("of timers and timeouts", function()
    check(300000, function(n)
      for _ = 1, n / 100 do
        corun.scope(function(s)
          for _ = 1, 100 do s:spawn(corun.timeout, 10, corun.sleep, 0.0001) end
        end)
      end
    end)
  end)

  it("of channels", function()
    check(500000, function(n)
      local c = corun.channel()
      corun.scope(function(s)
        s:spawn(function() for i = 1, n do c:send(i) end c:close() end)
        for _ in c do end -- luacheck: ignore
      end)
    end)
  end)

  it("of round trips on a stream", function()
    local server <close> = assert(net.serve("127.0.0.1:0", function(s)
      while true do
        local data = s:recv()
        if not data then return end
        s:write(data)
      end
    end))
    local s <close> = assert(net.connect(server:address()))
    check(100000, function(n)
      for _ = 1, n do
        s:write("0123456789")
        assert(s:read_exactly(10))
      end
    end)
  end)

  it("of HTTP requests", function()
    local server <close> = assert(http.serve("127.0.0.1:0", function() return {json = {1, 2}} end))
    local session <close> = http.session{base = "http://" .. server:address()}
    check(50000, function(n)
      for _ = 1, n do assert(session:getjson("/x")) end
    end)
  end)
end)

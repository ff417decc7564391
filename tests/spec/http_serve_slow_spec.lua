-- SPDX-License-Identifier: MIT
-- slowhttptest against http.serve: heads, bodies and readers that take for ever. The server is rid
-- of all of them by its own limits, serves everybody else meanwhile, and needs little memory.
local corun = require "corun"
local http = require "corun.http"
local process = require "corun.process"
local program = dofile("tests/fixtures/cli/program.lua")
local support = dofile("tests/spec/support/http.lua")

local fs = corun.fs

local CONNECTIONS = 400

-- What it is, the options of slowhttptest, and the KB of memory that each connection may take.
local ATTACKS = {
  {"heads that never end (slowloris)", {"-H", "-u", "/", "-x", "24"}, 16},
  {"bodies that never end", {"-B", "-u", "/", "-s", "8192", "-x", "10"}, 32},
  {"readers of a large string", {"-X", "-u", "/large", "-w", "10", "-y", "20", "-z", "32"}, 64},
  {"readers of a large file", {"-X", "-u", "/file", "-w", "10", "-y", "20", "-z", "32"}, 300},
}

-- The most memory that a process has had, in KB.
local function most_memory(p)
  local f <close> = assert(io.open(("/proc/%d/status"):format(p.pid)))
  return tonumber(f:read("a"):match("VmHWM:%s*(%d+) kB"))
end

local function attack(address, options)
  local argv = {"slowhttptest", "-c", tostring(CONNECTIONS), "-r", tostring(CONNECTIONS),
    "-i", "1", "-n", "1", "-l", "100", "-p", "30", stdout = "null", stderr = "null"}
  for i, word in ipairs(options) do
    argv[#argv + 1] = options[i - 1] == "-u" and "http://" .. address .. word or word
  end
  return assert(process.spawn(argv))
end

-- Ask the server how many connections it has, and how many slow requests it has had.
local function count(address)
  local session <close> = http.session{timeout = 20}
  local open, slow = assert(session:get("http://" .. address .. "/count")).body:match("(%d+) (%d+)")
  return tonumber(open), tonumber(slow)
end

describe("http.serve under slowhttptest #heavy", function()
  local dir

  setup(function()
    dir = assert(fs.temp{dir = true})
    assert(fs.write(dir:path() .. "/file", ("0123456789abcdef"):rep(1 << 16)))
  end)
  teardown(function() dir:close() end)

  for _, case in ipairs(ATTACKS) do
    it("serves others, and is rid of " .. case[1], function()
      if not support.has("slowhttptest") then return pending("slowhttptest is not installed") end
      local server <close> = assert(process.spawn{program.path, "tests/fixtures/http/slow.lua",
        dir:path(), stderr = "inherit"})
      local address = server.stdout:read()
      count(address)
      local before, answered = most_memory(server), 0
      local crowd <close> = attack(address, case[2])
      local give_up = corun.now() + 60
      local open, slow
      repeat
        assert(corun.now() < give_up, ("%s are open, %s were slow"):format(open, slow))
        open, slow = count(address)
        answered = answered + 1
        corun.sleep(0.01)
      until slow >= CONNECTIONS * 0.9 and open <= 2 -- our own, and one with which it looks
      assert.is_true(answered >= 10, answered)
      if not program.is_sanitized() then
        local each = (most_memory(server) - before) / CONNECTIONS
        assert.is_true(each <= case[3], each .. " KB each")
      end
      crowd:close()
    end)
  end
end)

-- SPDX-License-Identifier: MIT
-- TLS where the system fails it: short calls, no memory, no descriptors; and what an idle
-- connection costs.
local corun = require "corun"
local net = require "corun.net"
local program = dofile("tests/fixtures/cli/program.lua")
local support = dofile("tests/spec/support/tls.lua")

local SCRIPT = "tests/fixtures/faults/tls_traffic.lua"

-- For scripts that measure themselves.
local RESIDENT = [[
  local function resident()
    collectgarbage()
    collectgarbage()
    for line in io.lines("/proc/self/status") do
      local kb = line:match("^VmRSS:%s+(%d+)")
      if kb then return tonumber(kb) * 1024 end
    end
  end
]]

local folder

describe("tls faults", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(function() folder = support.make_certificates() end)
  teardown(function() support.remove(folder) end)

  for seed = 1, 4 do
    it(("S19 S41 lose, double or reorder no byte, seed %d"):format(seed), function()
      local r = program.run({"--timeout=60", SCRIPT, folder, "60000"},
        {env = program.faults(seed)})
      assert.equal("", r.err)
      assert.equal("tls\t65116 65116 65116 65116 65116 65116\n", r.out)
      assert.equal(0, r.status)
    end)
  end

  it("the alert that refuses a handshake arrives, also when it has to wait", function()
    for seed = 1, 4 do
      local r = program.code(([[
        local net = require "corun.net"
        local folder = %q
        local server <close> = assert(net.serve("127.0.0.1:0", print,
          {tls = {cert = folder .. "good.pem", key = folder .. "key.pem", min = "1.3"}}))
        for _ = 1, 8 do
          local c, err = net.connect(server:address(), {tls = {insecure = true, max = "1.2"}})
          print(c or err.message)
        end]]):format(folder), {env = program.faults(seed)})
      assert.equal(('the peer refused it with the alert "protocol version"\n'):rep(8), r.out)
    end
  end)

  it("without memory there are errors, and nothing worse", function()
    local function run(nth)
      return program.run({"--timeout=60", "--grace=1", SCRIPT, folder, "7"},
        {env = "CORUN_FAIL_ALLOC=" .. nth})
    end
    local failed = 0
    for nth = 1500, 6000, 97 do
      local r = run(nth)
      assert.is_true(r.status == 0 or r.status == 1, ("allocation %d: status %s, signal %s, %s")
        :format(nth, r.status, r.signal, r.err))
      if r.status == 1 then failed = failed + 1 end
    end
    if run(2).status == 0 then return pending("this build cannot fail an allocation") end
    assert.is_true(failed > 0)
  end)

  it("without descriptors connecting fails, and works again", function()
    local server <close> = support.echo({cert = folder .. "good.pem", key = folder .. "key.pem"})
    local o = {tls = {ca = folder .. "ca.pem", server_name = "localhost"}, timeout = 10}
    local path = os.tmpname()
    local f <close> = assert(io.open(path, "w"))
    f:write(([[
      local net = require "corun.net"
      local o = {tls = {ca = %q, server_name = "localhost"}, timeout = 10}
      local all = {}
      assert(net.connect(%q, o)):close()
      while true do
        local s, err = net.connect(%q, o)
        if not s then print(err.code) break end
        all[#all + 1] = s
      end
      for _, s in ipairs(all) do s:close() end
      require("corun").sleep(0)
      local s = assert(net.connect(%q, o))
      s:write("hello\n")
      print(s:read())]]):format(folder .. "ca.pem", server:address(), server:address(),
      server:address()))
    f:close()
    local out = os.tmpname()
    os.execute(("{ ulimit -n 60; %s %s; echo end; } >%s 2>&1 &"):format(program.path, path, out))
    local text
    repeat
      corun.sleep(0.01)
      local result <close> = assert(io.open(out))
      text = result:read("a")
    until text:find("end\n$")
    os.remove(path)
    os.remove(out)
    assert.equal("EMFILE\nhello\nend\n", text)
    assert(assert(net.connect(server:address(), o)):close())
  end)

  it("an idle connection costs at most 25 KB #heavy", function()
    local r = program.run({"bench/tls/idle.lua", folder .. "good.pem", folder .. "key.pem", "2000"})
    assert.equal("", r.err)
    local server, client = r.out:match("server (%d+) client (%d+)")
    assert(server, r.out)
    assert.is_true(tonumber(server) <= 25 * 1024, r.out)
    assert.is_true(tonumber(client) <= 25 * 1024, r.out)
  end)

  it("an idle client costs no more when tickets came together with data #heavy", function()
    local server <close> = support.echo({cert = folder .. "good.pem", key = folder .. "key.pem"},
      function(s)
        s:write("x")
        s:recv()
      end)
    local flights, held = {}, {}
    local relay <close> = support.relay(server:address(), {seen = function(data, from, client)
      if from == "client" then
        flights[client] = (flights[client] or 0) + 1 -- the second ends the handshake
      elseif flights[client] > 1 then
        held[client] = (held[client] or "") .. data
        if #support.record_lengths(held[client]) < 3 then return "" end -- two tickets and the data
        data, held[client] = held[client], nil
        return data
      end
    end})
    local script = RESIDENT .. ([[
      local net = require "corun.net"
      local all = {}
      local function connect()
        local s = assert(net.connect(%q,
          {tls = {ca = %q, server_name = "localhost", session = false}})) -- else it is one ticket
        assert(s:recv() == "x")
        all[#all + 1] = s
      end
      for _ = 1, 20 do connect() end
      local before = resident()
      for _ = 1, 400 do connect() end
      print((resident() - before) // 400)
      for _, s in ipairs(all) do s:close() end
    ]]):format(relay:address(), folder .. "ca.pem")
    local r = assert(corun.process.run{program.path, "-e", script, timeout = 60})
    assert.equal("", r.stderr)
    assert.is_true(tonumber(r.stdout) <= 25 * 1024, r.stdout)
  end)

  -- One that rests gives OpenSSL's buffers back; of those that are busy so many keep them.
  describe("a connection that was busy", function()
    local ECHOES = 24 -- without a pause: enough to keep buffers

    it("loses nothing when it must make room in the middle of a record #heavy", function()
      local server <close> = support.echo({cert = folder .. "good.pem", key = folder .. "key.pem"})
      local o = {tls = {ca = folder .. "ca.pem", server_name = "localhost"}, timeout = 30}
      local holds, held = false, {}
      local relay <close> = support.relay(server:address(), {seen = function(data, from)
        data = (held[from] or "") .. data
        held[from] = holds and data:sub(-99) or nil
        return holds and data:sub(1, -100) or data
      end})
      local function echo(s)
        for i = 1, ECHOES do
          assert(s:write(i .. "\n"))
          assert.equal(tostring(i), s:read())
        end
      end
      local first <close> = assert(net.connect(relay:address(), o))
      echo(first)
      holds = true
      local line = ("x"):rep(3000) .. "\n"
      assert(first:write(line))
      repeat corun.sleep(0) until held.client
      corun.sleep(0.15) -- after such a pause others come first
      local others = {}
      for i = 1, 300 do
        others[i] = assert(net.connect(server:address(), o))
        echo(others[i])
      end
      holds = false
      assert(first:write("next\n"))
      assert.equal(line, (assert(first:read("L"))))
      assert.equal("next", first:read())
      for _, s in ipairs(others) do s:close() end
    end)

    it("is one of a bounded number that keep their buffers #heavy", function()
      local server <close> = support.echo({cert = folder .. "good.pem", key = folder .. "key.pem"})
      local script = RESIDENT .. ([[
        local net = require "corun.net"
        local all, line = {}, ("x"):rep(15999) .. "\n"
        local function connect()
          local s = assert(net.connect(%q, {tls = {ca = %q, server_name = "localhost"}}))
          for _ = 1, %d do
            assert(s:write(line))
            assert(s:read("L") == line)
          end
          all[#all + 1] = s
        end
        for _ = 1, 20 do connect() end
        local before = resident()
        for _ = 1, 1000 do connect() end
        print((resident() - before) // 1000)
        for _, s in ipairs(all) do s:close() end
      ]]):format(server:address(), folder .. "ca.pem", ECHOES)
      local r = assert(corun.process.run{program.path, "-e", script, timeout = 120})
      assert.equal("", r.stderr)
      local each = tonumber(r.stdout)
      assert.is_true(each <= 36 * 1024, r.stdout) -- 50 KB if all kept theirs
      assert.is_true(each >= 20 * 1024, r.stdout) -- 16.6 KB if none did
    end)
  end)
end)

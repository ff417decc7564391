-- SPDX-License-Identifier: MIT
-- http.serve with threads: one port, served by several workers.
local corun = require "corun"
local http = require "corun.http"

local program = dofile("tests/fixtures/cli/program.lua")

local pool = corun.pool

describe("http.serve, threads", function()
  it("answers from several workers at one port", function()
    local server <close> = assert(http.serve("127.0.0.1:0", function(req)
      return {json = {state = tostring(_G), path = req.path}}
    end, {threads = 2}))
    assert.matches("^127.0.0.1:%d+$", server:address())
    assert.matches("^server %(127.0.0.1:%d+, 2 threads%)$", tostring(server))
    local url, states, n = "http://" .. server:address() .. "/x", {}, 0
    for _ = 1, 500 do -- the system spreads connections by a hash of both ports
      local s <close> = http.session()
      local value = assert(s:getjson(url))
      assert.equal("/x", value.path)
      if not states[value.state] then states[value.state], n = true, n + 1 end
      if n == 2 then break end
    end
    assert.equal(2, n)
    assert.is_nil(states[tostring(_G)])
  end)

  it("hands upvalues and shared things to the handlers", function()
    local count, word = pool.counter(), "hello"
    local server <close> = assert(http.serve("127.0.0.1:0", function()
      count:add()
      return word
    end, {threads = 3}))
    corun.map((function()
      local list = {}
      for i = 1, 30 do list[i] = i end
      return list
    end)(), function()
      local s <close> = http.session()
      assert.equal("hello", assert(s:get("http://" .. server:address())).body)
    end)
    assert.equal(30, count:get())
  end)

  it("S42 close{drain} answers what is under way; cancelled with its scope", function()
    local server = assert(http.serve("127.0.0.1:0", function()
      require("corun").sleep(0.1)
      return "late"
    end, {threads = 2}))
    local url = "http://" .. server:address()
    corun.scope(function(s)
      local get = s:async(function()
        local session <close> = http.session()
        return assert(session:get(url)).body
      end)
      corun.sleep(0.03)
      server:close{drain = 5}
      assert.equal("late", corun.await(get))
    end)
    server:close()
    server:wait()
    local refused, err = http.get(url)
    assert.is_nil(refused)
    assert.equal("ECONNREFUSED", err.code)
    local address
    corun.scope(function(s)
      local server2 = assert(http.serve("127.0.0.1:0", function() return "x" end, {threads = 2}))
      address = server2:address()
      s:cancel()
    end)
    assert.is_nil((http.get("http://" .. address)))
  end)

  it("a job that a handler gives to the pool holds up no other request", function()
    local gate, begun = pool.buffer("0"), pool.counter()
    local server <close> = assert(http.serve("127.0.0.1:0", function(req)
      if req.path ~= "/slow" then return "quick" end
      return require("corun").pool.run(function(flag, count)
        count:add()
        repeat local bytes = flag:read() until bytes == "1"
        return "slow"
      end, gate, begun)
    end, {threads = 1}))
    local url = "http://" .. server:address()
    corun.scope(function(s)
      local slow = s:async(function()
        local session <close> = http.session()
        return assert(session:get(url .. "/slow")).body
      end)
      while begun:get() == 0 do corun.sleep(0.001) end
      local _ <close> = corun.defer(function() gate:write(1, "1") end)
      local session <close> = http.session()
      for _ = 1, 3 do assert.equal("quick", assert(session:get(url, {timeout = 10})).body) end
      gate:write(1, "1")
      assert.equal("slow", slow:await())
    end)
  end)

  it("an error of a handler is a 500, and the server goes on", function()
    local r = program.code([[
      local http = require "corun.http"
      local server <close> = assert(http.serve("127.0.0.1:0", function(req)
        if req.path == "/bad" then error("bad", 0) end
        return "good"
      end, {threads = 1}))
      local url = "http://" .. server:address()
      print(assert(http.get(url .. "/bad")).status, assert(http.get(url)).body)]])
    assert.equal("500\tgood\n", r.out)
    assert.matches("^corun: GET /bad failed: bad\n", r.err)
    assert.equal(0, r.status)
  end)

  it("says why it cannot serve", function()
    local taken <close> = assert(corun.net.listen("127.0.0.1:0"))
    local server, err = http.serve(taken:address(), function() return "x" end, {threads = 2})
    assert.is_nil(server)
    assert.equal("EADDRINUSE", err.code)
    server, err = http.serve("unix:/nowhere/x", function() return "x" end, {threads = 2})
    assert.is_nil(server)
    assert.equal("ENOTSUP", err.code)
    local co = coroutine.create(print)
    local ok, why = pcall(http.serve, "127.0.0.1:0", function() return co end, {threads = 2})
    assert.is_false(ok)
    assert.matches("cannot transfer thread", tostring(why), 1, true)
    assert.has_error(function()
      http.serve("127.0.0.1:0", function() return "x" end, {threads = 0})
    end)
  end)
end)

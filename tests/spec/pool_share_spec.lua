-- SPDX-License-Identifier: MIT
-- What workers share: channels, buffers, counters.
local corun = require "corun"
local eventually = require("tests.spec.support.eventually")

local pool, scope, sleep = corun.pool, corun.scope, corun.sleep


describe("pool.channel", function()
  it("leads values to a worker and back", function()
    local p <close> = pool.new{size = 1}
    local to, from = pool.channel(), pool.channel(2)
    scope(function(s)
      s:spawn(p.run, p, function(input, output)
        for item in input do output:send({item, #item}) end
        output:close()
      end, to, from)
      s:spawn(function()
        for i = 1, 100 do assert.is_true(to:send(("x"):rep(i))) end
        to:close()
      end)
      for i = 1, 100 do assert.same({("x"):rep(i), i}, from:recv()) end
      assert.is_nil(from:recv())
    end)
  end)

  it("S34 a closed one gives what is in it, then nil, and takes nothing", function()
    local c = pool.channel(2)
    assert.is_true(c:send(1))
    assert.is_true(c:try_send(2))
    assert.is_false(c:try_send(3))
    assert.equal(2, #c)
    assert.matches("^pool channel .* %(2 of 2%)$", tostring(c))
    c:close()
    local ok, err = c:send(3)
    assert.is_nil(ok)
    assert.equal("ECLOSED", err.code)
    assert.equal(1, c:recv())
    assert.equal(2, c:try_recv())
    assert.is_nil(c:recv())
    assert.equal(1, select("#", c:try_recv()))
    c = pool.channel()
    local none, why = c:try_recv()
    assert.is_nil(none)
    assert.equal("EEMPTY", why.code)
    assert.has_error(function() c:send(nil) end)
    assert.has_error(function() c:send(1, 2) end)
    assert.has_error(function() pool.channel(-1) end)
    assert.is_true(rawequal(c, c) and c == c)
  end)

  it("wakes senders and receivers of all runtimes when it closes", function()
    local p <close> = pool.new{size = 2}
    local c, ready = pool.channel(), pool.counter()
    scope(function(s)
      local waits = s:async(p.run, p, function(channel, n)
        n:add()
        return channel:recv() == nil
      end, c, ready)
      local own = s:async(c.recv, c)
      eventually("ready", function() return ready:get() == 1 end)
      sleep(0.01)
      c:close()
      assert.is_true(corun.await(waits))
      assert.is_nil(corun.await(own))
    end)
    c, ready = pool.channel(), pool.counter()
    scope(function(s)
      local sends = s:async(p.run, p, function(channel, n)
        n:add()
        local ok, err = channel:send("x")
        return ok, err.code
      end, c, ready)
      eventually("ready", function() return ready:get() == 1 end)
      sleep(0.01)
      c:close()
      local ok, code = corun.await(sends)
      assert.is_nil(ok)
      assert.equal("ECLOSED", code)
    end)
  end)

  it("each of 20,000 items of several senders is received once, by several receivers", function()
    local p <close> = pool.new{size = 4}
    for _, room in ipairs{0, 1, 64} do
      local c, results = pool.channel(room), pool.channel(4)
      scope(function(s)
        for _ = 1, 2 do
          s:spawn(p.run, p, function(input, output)
            local n, sum = 0, 0
            for item in input do n, sum = n + 1, sum + item end
            output:send{n, sum}
          end, c, results)
        end
        scope(function(senders)
          for k = 0, 1 do
            senders:spawn(p.run, p, function(output, from)
              for i = from + 1, from + 5000 do output:send(i) end
            end, c, k * 5000)
          end
          senders:spawn(function()
            for i = 10001, 20000 do c:send(i) end
          end)
        end)
        c:close()
        local n, sum = 0, 0
        for _ = 1, 2 do
          local r = results:recv()
          n, sum = n + r[1], sum + r[2]
        end
        assert.equal(20000, n)
        assert.equal(20000 * 20001 // 2, sum)
      end)
    end
  end)

  it("S35 is a case of select; the losing cases lose nothing", function()
    local p <close> = pool.new{size = 1}
    local a, b, done = pool.channel(), pool.channel(), pool.channel(1)
    local seen = {a = 0, b = 0}
    scope(function(s)
      s:spawn(p.run, p, function(x, y, last)
        for i = 1, 200 do (i % 3 == 0 and y or x):send(i) end
        last:send(true)
      end, a, b, done)
      while true do
        local key = corun.select{a = a, b = b, done = done}
        if key == "done" then break end
        seen[key] = seen[key] + 1
      end
    end)
    assert.same({a = 134, b = 66}, seen)
    local key = corun.select({c = {a, send = 1}, d = b}, {timeout = 0.01})
    assert.is_nil(key)
    assert.equal(0, #a)
  end)

  it("S16 a cancelled receiver loses no item, a cancelled sender sends nothing", function()
    local p <close> = pool.new{size = 1}
    local c = pool.channel()
    scope(function(s)
      s:spawn(p.run, p, function(output)
        for i = 1, 300 do output:send(i) end
        output:close()
      end, c)
      local expected = 1
      while true do
        local ok, item = corun.try(corun.timeout, math.random() * 0.001, function()
          return {c:recv()}
        end)
        if ok and not item then
          if ok[1] == nil then break end
          assert.equal(expected, ok[1])
          expected = expected + 1
        end
      end
      assert.equal(301, expected)
    end)
    local d = pool.channel()
    assert.is_nil((corun.timeout(0.005, d.send, d, 1)))
    assert.is_false(d:try_send(2))
    assert.equal(0, #d)
  end)

  it("refuses what cannot be transferred, also while it waits", function()
    local c = pool.channel(1)
    local ok, err = pcall(c.send, c, {fn = coroutine.create(print)})
    assert.is_false(ok)
    assert.matches("cannot transfer thread at value 1 .fn", err, 1, true)
    assert.equal(0, #c)
  end)

  it("S38 a task that waits for a channel nobody else has is deadlocked", function()
    local program = dofile("tests/fixtures/cli/program.lua")
    local r = program.code('require("corun").pool.channel():recv()')
    assert.equal(13, r.status)
    assert.matches("waiting for recv pool channel", r.err, 1, true)
  end)

  it("S38 who waits for a channel is deadlocked once all others have let go of it", function()
    local program = dofile("tests/fixtures/cli/program.lua")
    local r = program.run({"-e", [[
      local pool = require("corun").pool
      local p = pool.new{size = 1, idle = 0.05}
      local c = pool.channel()
      p:run(function(channel) return #channel end, c)
      c:recv()]]})
    assert.equal(13, r.status, r.err)
    assert.matches("waiting for recv pool channel", r.err, 1, true)
  end)

  it("S38 who waits for a channel that others get later is not deadlocked", function()
    local program = dofile("tests/fixtures/cli/program.lua")
    local r = program.run({"-e", [[
      local corun = require "corun"
      local p = corun.pool.new{size = 1, init = function()
        local c = require "corun"
        c.daemon(function()
          repeat c.sleep(0.001) until rawget(_G, "outlet")
          c.sleep(0.1)
          outlet:send("here")
        end)
      end}
      local c = corun.pool.channel()
      corun.spawn(function() print(c:recv()) end)
      corun.yield()
      p:run(function(channel) outlet = channel end, c)]]})
    assert.equal("here\n", r.out, r.err)
    assert.equal(0, r.status)
  end)

  it("may be in use when os.exit closes the state #heavy", function()
    local program = dofile("tests/fixtures/cli/program.lua")
    for _ = 1, 5 do
      local r = program.run({"-e", [[
        local corun = require "corun"
        local channels, junk, begun = {}, {}, corun.pool.counter()
        for i = 1, 2000 do channels[i] = corun.pool.channel() end
        for i = 1, 200000 do junk[i] = {i} end
        corun.spawn(corun.pool.run, function(list, count)
          count:add()
          while true do
            for _, c in ipairs(list) do c:try_send(1) end
          end
        end, channels, begun)
        while begun:get() == 0 do corun.sleep(0.001) end
        for i = 1, 2000 do
          corun.spawn(function() while true do channels[i]:recv() end end)
        end
        corun.sleep(0.1)
        os.exit(3, true)]]}, {env = "ASAN_OPTIONS=detect_leaks=0"}) -- of what waits
      assert.equal(3, r.status, r.err)
    end
  end)

  it("can itself be sent over a channel", function()
    local p <close> = pool.new{size = 1}
    local calls = pool.channel()
    scope(function(s)
      s:spawn(p.run, p, function(input)
        for call in input do call.reply:send(call.n * 2) end
      end, calls)
      for i = 1, 20 do
        local reply = pool.channel(1)
        calls:send{n = i, reply = reply}
        assert.equal(2 * i, reply:recv())
      end
      calls:close()
    end)
  end)
end)

describe("pool.buffer", function()
  it("is seen by all without a copy", function()
    local p <close> = pool.new{size = 1}
    local b = pool.buffer(10)
    assert.equal(10, #b)
    assert.equal(("\0"):rep(10), b:read())
    p:run(function(buffer) buffer:write(3, "abc") end, b)
    assert.equal("\0\0abc\0\0\0\0\0", b:read())
    assert.equal("abc", b:read(3, 5))
    assert.equal("bc", b:slice(3, 5):read(-2))
    assert.equal("", b:read(8, 4))
    b:write(-1, "z")
    assert.equal("z", b:read(10))
    assert.equal("text", pool.buffer("text"):read())
    assert.equal(0, #pool.buffer(0))
    assert.matches("^pool buffer .* %(10 bytes%)$", tostring(b))
  end)

  it("a slice sees the same bytes, in a worker too", function()
    local p <close> = pool.new{size = 2}
    local b = pool.buffer(1000)
    corun.map({0, 1, 2, 3}, function(k)
      p:run(function(slice, text) slice:write(1, text:rep(#slice)) end,
        b:slice(k * 250 + 1, k * 250 + 250), tostring(k))
    end)
    assert.equal(("0"):rep(250) .. ("1"):rep(250) .. ("2"):rep(250) .. ("3"):rep(250), b:read())
    assert.equal("12", b:slice(1, 999):slice(500, 501):read())
  end)

  it("is memory that the collector knows of, here and in workers", function()
    local p <close> = pool.new{size = 1}
    local function keep(buffer)
      _G.buffers = _G.buffers or setmetatable({}, {__mode = "k"})
      _G.buffers[buffer] = true
      local n = 0
      for _ in pairs(_G.buffers) do n = n + 1 end
      return n
    end
    local here, there, most = setmetatable({}, {__mode = "k"}), 0, 0
    for _ = 1, 200 do
      local b = pool.buffer(4 << 20)
      here[b] = true
      there = math.max(there, p:run(keep, b))
      local n = 0
      for _ in pairs(here) do n = n + 1 end
      most = math.max(most, n)
    end
    -- How many depends on what else is alive here; all of them, if it knew of none.
    assert.is_true(most < 150, most)
    assert.is_true(there < 150, there)
  end)

  it("refuses what is outside", function()
    local b = pool.buffer(4)
    for _, bad in ipairs{{1, "12345"}, {5, "1"}, {0, ""}, {-6, "x"}, {4, "12"}} do
      local ok, err = pcall(b.write, b, bad[1], bad[2])
      assert.is_false(ok)
      assert.matches("of a buffer of 4", err, 1, true)
    end
    b:write(5, "")
    assert.has_error(function() pool.buffer(-1) end)
    assert.has_error(function() pool.buffer() end)
    assert.has_error(function() b.read("x") end)
  end)

  it("a move hands it over: the old one is closed everywhere", function()
    local p <close> = pool.new{size = 1}
    local b = pool.buffer("payload")
    local slice = b:slice(1, 3)
    local moved = b:move()
    assert.equal("payload", moved:read())
    for _, fn in ipairs{b.read, b.move} do
      local ok, err = pcall(fn, b)
      assert.is_false(ok)
      assert.equal("ECLOSED", err.code)
    end
    assert.is_false((pcall(b.write, b, 1, "x")))
    assert.is_false((pcall(slice.read, slice)))
    assert.has_error(function() slice:move() end)
    assert.equal(7, p:run(function(buffer) return #buffer:move():read() end, moved))
    assert.is_false((pcall(moved.read, moved)))
  end)
end)

describe("pool.counter", function()
  it("counts what all add", function()
    local p <close> = pool.new{size = 4}
    local n = pool.counter(5)
    corun.gather(table.unpack((function()
      local jobs = {}
      for i = 1, 4 do
        jobs[i] = function()
          p:run(function(counter) for _ = 1, 10000 do counter:add() end end, n)
        end
      end
      return jobs
    end)()))
    assert.equal(40005, n:get())
    assert.equal(40005, n:set(1))
    assert.equal(3, n:add(2))
    assert.is_false(n:compare_and_set(2, 9))
    assert.is_true(n:compare_and_set(3, 9))
    assert.equal(math.mininteger, pool.counter(math.maxinteger):add(1))
    assert.matches("^pool counter .* %(9%)$", tostring(n))
    assert.has_error(function() pool.counter("x") end)
    assert.has_error(function() n:add(1.5) end)
  end)
end)

describe("pool.once", function()
  it("runs the function once for all runtimes, and gives its results to all", function()
    local p <close> = pool.new{size = 4}
    local n = pool.counter()
    local function ask(counter)
      local c = require "corun"
      return c.pool.once("spec: shared", function()
        c.sleep(0.02)
        return counter:add(), nil, {"table"}
      end)
    end
    local jobs = {}
    for i = 1, 6 do
      jobs[i] = function()
        local a, b, c = p:run(ask, n)
        assert.same({1, nil, {"table"}}, {a, b, c})
      end
    end
    jobs[7] = function() assert.equal(1, (ask(n))) end
    corun.gather(table.unpack(jobs))
    assert.equal(1, n:get())
    assert.equal(1, (ask(n)))
  end)

  it("tries again after a failure", function()
    local tries = 0
    local function ask()
      return pool.once("spec: fails first", function()
        tries = tries + 1
        if tries == 1 then error("not yet", 0) end
        if tries == 2 then return coroutine.create(print) end
        return tries
      end)
    end
    assert.has_error(ask, "not yet")
    local ok, err = pcall(ask)
    assert.is_false(ok)
    assert.matches("cannot transfer thread", err, 1, true)
    assert.equal(3, ask())
    assert.equal(3, ask())
    local answers, asked = {{nil, "not yet"}, {nil, nil}}, 0
    local function answer()
      return pool.once("spec: nil, err first", function()
        asked = asked + 1
        return table.unpack(answers[asked], 1, 2)
      end)
    end
    assert.same({nil, "not yet", n = 2}, table.pack(answer()))
    assert.same({n = 2}, table.pack(answer()))
    assert.same({n = 2}, table.pack(answer()))
    assert.equal(2, asked)
  end)

  it("knows any number of names, of any bytes", function()
    for i = 1, 3000 do
      assert.equal(i, (pool.once("spec: name\0" .. i, function() return i end)))
    end
    assert.equal(7, (pool.once("spec: name\0" .. 7, error)))
    assert.equal("another", (pool.once("spec: name", function() return "another" end)))
  end)

  it("S16 lets another one try when it is cancelled", function()
    assert.is_nil((corun.timeout(0.01, pool.once, "spec: cancelled", function() sleep(10) end)))
    assert.equal("second", pool.once("spec: cancelled", function() return "second" end))
  end)

  it("cannot wait for itself", function()
    local ok, err = pcall(pool.once, "spec: loop", function()
      return pool.once("spec: loop", print)
    end)
    assert.is_false(ok)
    assert.matches('once "spec: loop" waits for itself', err, 1, true)
    assert.has_error(function() pool.once(1, print) end)
    assert.has_error(function() pool.once("x") end)
  end)
end)

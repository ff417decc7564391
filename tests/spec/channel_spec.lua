-- SPDX-License-Identifier: MIT
-- Channels: S34, and what S13, S14, S15 and S30 say of them. A task counts as blocked once its
-- status is "waiting", so that no test depends on the order in which ready tasks run.

local corun = require("corun")
local debug_ = require("corun.debug")

-- Start fn as a child and let it run until it waits.
local function blocked(fn, ...)
  local t = corun.async(fn, ...)
  repeat corun.yield() until t:status() ~= "ready"
  assert.equal("waiting", t:status())
  return t
end

local function drain(c)
  local got = {}
  for v in c do got[#got + 1] = v end
  return got
end

describe("S34 channel", function()
  it("S34 send of nil raises at the caller's line", function()
    local c = corun.channel(1)
    local ok, err = pcall(function() c:send(nil) end)
    assert.is_false(ok)
    assert.matches("^[^:]+channel_spec%.lua:%d+: cannot send nil", err)
    assert.error_matches(function() c:send() end, "cannot send nil")
    assert.error_matches(function() c:try_send(nil) end, "cannot try_send nil")
    assert.equal(0, #c)
  end)

  it("S34 send on a closed channel gives nil and ECLOSED", function()
    local c = corun.channel(1)
    c:close()
    local ok, err = c:send(1)
    assert.is_nil(ok)
    assert.equal("ECLOSED", err.code)
    assert.equal("send", err.op)
    assert.matches("^channel 0x%x+$", err.target)
    assert.matches("closed", tostring(err))
  end)

  it("S34 a blocked sender gets ECLOSED on close and its value is not delivered", function()
    local c = corun.channel(1)
    c:send("kept")
    local t = blocked(function()
      local ok, err = c:send("late")
      return tostring(ok), err.code
    end)
    c:close()
    assert.same({"nil", "ECLOSED"}, {t:await()})
    assert.same({"kept"}, drain(c))
  end)

  it("S34 buffered items are received after close, then nil for ever", function()
    local c = corun.channel(3)
    for i = 1, 3 do assert.is_true(c:send(i)) end
    c:close()
    assert.equal(3, #c)
    assert.same({1, 2, 3}, {c:recv(), c:recv(), c:recv()})
    assert.is_nil(c:recv())
    assert.equal(1, select("#", c:recv()))
  end)

  it("S34 close wakes every receiver with nil", function()
    local c = corun.channel()
    local tasks = {}
    for i = 1, 5 do tasks[i] = blocked(function() return c:recv() == nil end) end
    c:close()
    for i = 1, 5 do assert.is_true(tasks[i]:await()) end
  end)

  it("S34 try_recv gives EEMPTY on empty and nil alone on closed", function()
    for _, c in ipairs{corun.channel(), corun.channel(2)} do
      local v, err = c:try_recv()
      assert.is_nil(v)
      assert.equal("EEMPTY", err.code)
      c:close()
      assert.equal(1, select("#", c:try_recv()))
      assert.is_nil((c:try_recv()))
    end
  end)

  it("S34 try_send gives true, false when full, nil and ECLOSED when closed", function()
    local c = corun.channel(1)
    assert.is_true(c:try_send("a"))
    assert.is_false(c:try_send("b"))
    assert.equal("a", c:try_recv())
    c:close()
    local ok, err = c:try_send("c")
    assert.is_nil(ok)
    assert.equal("ECLOSED", err.code)
  end)

  it("S34 try_send and try_recv meet one that waits on a channel without a buffer", function()
    local c = corun.channel()
    assert.is_false(c:try_send(1))
    local receiver = blocked(function() return c:recv() end)
    assert.is_true(c:try_send("to"))
    assert.is_false(c:try_send("none"))
    assert.equal("to", receiver:await())
    local sender = blocked(function() return c:send("from") end)
    assert.equal("from", c:try_recv())
    assert.is_true(sender:await())
  end)

  it("close is idempotent and a <close> variable does it", function()
    local c
    do
      local scoped <close> = corun.channel(1)
      c = scoped
    end
    c:close()
    c:close()
    assert.is_nil(c:recv())
  end)
end)

describe("a channel", function()
  it("without a buffer makes the sender wait until its item was taken", function()
    local c = corun.channel()
    local order = {}
    local t = blocked(function()
      order[#order + 1] = "send"
      c:send(1)
      order[#order + 1] = "sent"
    end)
    order[#order + 1] = "recv"
    assert.equal(1, c:recv())
    order[#order + 1] = "received"
    t:await()
    assert.same({"send", "recv", "received", "sent"}, order)
  end)

  it("with a buffer of n makes the sender of item n + 1 wait", function()
    local c = corun.channel(3)
    for i = 1, 3 do c:send(i) end
    assert.equal(3, #c)
    local t = blocked(c.send, c, 4)
    assert.equal(3, #c)
    assert.equal(1, c:recv())
    assert.equal(3, #c) -- the blocked item moved up
    assert.is_true(t:await())
    c:close()
    assert.same({2, 3, 4}, drain(c))
  end)

  it("carries any value but nil", function()
    local c = corun.channel(10)
    local t, f, co = {}, print, coroutine.create(print)
    for _, v in ipairs{false, 0, "", t, f, co, c, 1 / 0} do c:send(v) end
    assert.is_false(c:recv())
    assert.same({0, ""}, {c:recv(), c:recv()})
    assert.equal(t, c:recv())
    assert.equal(f, c:recv())
    assert.equal(co, c:recv())
    assert.equal(c, c:recv())
    assert.equal(1 / 0, c:recv())
  end)

  it("is the iterator of a generic for, which false does not end", function()
    local c = corun.channel(3)
    for _, v in ipairs{1, false, 3} do c:send(v) end
    c:close()
    assert.same({1, false, 3}, drain(c))
  end)

  it("stays open when a loop over it is left", function()
    local c = corun.channel(3)
    for i = 1, 3 do c:send(i) end
    for v in c do
      if v == 2 then break end
    end
    assert.is_true(c:try_send(4))
    c:close()
    assert.same({3, 4}, drain(c))
  end)

  it("keeps the order of items through buffer and blocked senders", function()
    for _, capacity in ipairs{0, 1, 2, 7, 8, 9, 50} do
      local c = corun.channel(capacity)
      local n = 0
      local sender = corun.async(function()
        for i = 1, 100 do c:send(i) end
        c:close()
      end)
      for v in c do
        n = n + 1
        if v ~= n then assert.equal(n, v) end
      end
      assert.equal(100, n)
      sender:await()
    end
  end)

  it("behaves as a plain queue in 20,000 random steps #heavy", function()
    local c, model, seed = corun.channel(50), {}, 42
    local expected, got
    for i = 1, 20000 do
      seed = (seed * 1103515245 + 12345) % 2147483648
      if (seed >> 16) % 2 == 0 then
        expected, got = #model < 50, c:try_send(i)
        if expected then model[#model + 1] = i end
      elseif #model == 0 then
        expected, got = "EEMPTY", select(2, c:try_recv()).code
      else
        expected, got = table.remove(model, 1), c:try_recv()
      end
      if expected ~= got or #model ~= #c then -- assert.equal 40,000 times takes seconds
        assert.same({i, expected, #model}, {i, got, #c})
      end
    end
  end)

  it("takes a large buffer as it is needed", function()
    local c = corun.channel(math.maxinteger)
    for i = 1, 1000 do c:send(i) end
    assert.equal(1000, #c)
    c:close()
    assert.equal(1000, #drain(c))
  end)

  it("keeps no item that was received", function()
    local c, weak = corun.channel(4), setmetatable({}, {__mode = "v"})
    for i = 1, 20 do
      local item = {}
      weak[i] = item
      c:send(item)
      assert.equal(item, c:recv())
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)

  it("is collected with its items when nobody has it", function()
    local weak = setmetatable({}, {__mode = "k"})
    do
      local c = corun.channel(2)
      local item = {c}
      weak[c], weak[item] = true, true
      c:send(item)
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)

  it("is a source for map", function()
    local c = corun.channel()
    local sender = corun.async(function()
      for i = 1, 5 do c:send(i) end
      c:close()
    end)
    assert.same({1, 4, 9, 16, 25, n = 5}, corun.map(c, function(v) return v * v end))
    sender:await()
  end)

  it("can be used by a finaliser as far as nothing waits", function()
    local c = corun.channel(4)
    c:send("first")
    setmetatable({}, {__gc = function() c:try_send("collected") end})
    collectgarbage()
    assert.same({"first", "collected"}, {c:recv(), c:recv()})
  end)

  it("works in coroutines of the script, nested three deep", function()
    local c = corun.channel()
    local function generator(depth)
      return coroutine.wrap(function()
        local inner = depth > 1 and generator(depth - 1)
        for i = 1, 20 do
          coroutine.yield(inner and inner() or c:recv())
          if depth == 1 then assert.is_true(c:send(-i)) end
        end
      end)
    end
    local partner = corun.async(function()
      local got = {}
      local send = coroutine.wrap(function()
        for i = 1, 20 do coroutine.yield(c:send({i})) end
      end)
      for i = 1, 19 do
        assert.is_true(send())
        got[i] = c:recv()
      end
      send()
      return got
    end)
    local values, received = generator(3), {}
    for i = 1, 20 do received[i] = values()[1] end
    local sent = partner:await()
    for i = 1, 20 do assert.equal(i, received[i]) end
    for i = 1, 19 do assert.equal(-i, sent[i]) end
  end)

  it("shows its address and state", function()
    local c = corun.channel(2)
    c:send(1)
    assert.matches("^channel 0x%x+ %(1 of 2%)$", tostring(c))
    c:close()
    assert.matches("^channel 0x%x+ %(closed, 1 of 2%)$", tostring(c))
  end)

  it("is named in the task tree by those who wait for it", function()
    local c = corun.channel()
    local address = tostring(c):match("0x%x+")
    local sender = blocked(c.send, c, 1)
    assert.matches("waiting for send channel " .. address, table.concat(debug_.tasks(), "\n"))
    c:recv()
    sender:await()
    local receiver = blocked(c.recv, c)
    assert.matches("waiting for recv channel " .. address, table.concat(debug_.tasks(), "\n"))
    c:close()
    receiver:await()
  end)
end)

describe("waiters of a channel", function()
  it("are served first come, first served: receivers", function()
    local c, order, tasks = corun.channel(), {}, {}
    for i = 1, 20 do
      tasks[i] = blocked(function() order[c:recv()] = i end)
    end
    for i = 1, 20 do assert.is_true(c:try_send(i)) end
    corun.gather(table.unpack(tasks))
    for i = 1, 20 do assert.equal(i, order[i]) end
  end)

  it("are served first come, first served: senders", function()
    for _, capacity in ipairs{0, 3} do
      local c, tasks = corun.channel(capacity), {}
      for i = 1, capacity do c:send(i) end
      for i = capacity + 1, 20 do tasks[#tasks + 1] = blocked(c.send, c, i) end
      for i = 1, 20 do assert.equal(i, c:recv()) end
      corun.gather(table.unpack(tasks))
    end
  end)

  it("S16 leave the queue from its middle when they are cancelled", function()
    local c, got, tasks = corun.channel(), {}, {}
    for i = 1, 9 do
      tasks[i] = blocked(function() got[i] = c:recv() end)
    end
    for _, i in ipairs{1, 5, 9} do tasks[i]:cancel() end
    for _, i in ipairs{2, 3, 4, 6, 7, 8} do assert.is_true(c:try_send("item " .. i)) end
    assert.is_false(c:try_send("none waits"))
    for i = 1, 9 do tasks[i]:await() end
    assert.same({[2] = "item 2", [3] = "item 3", [4] = "item 4", [6] = "item 6",
      [7] = "item 7", [8] = "item 8"}, got)
  end)

  it("may be 10,000: half of them cancelled, the rest served in order #heavy", function()
    local c, got, tasks = corun.channel(), {}, {}
    local line = {} -- in the order in which they came
    for i = 1, 10000 do
      tasks[i] = corun.async(function()
        line[#line + 1] = i
        got[i] = c:recv()
      end)
    end
    for i = 1, 10000 do
      while tasks[i]:status() ~= "waiting" do corun.yield() end
    end
    for k = 1, 10000, 2 do tasks[line[k]]:cancel() end
    local sent = 0
    while c:try_send(sent + 1) do sent = sent + 1 end
    assert.equal(5000, sent)
    for i = 1, 10000 do tasks[i]:await() end
    local expected = {}
    for k = 2, 10000, 2 do expected[line[k]] = k // 2 end
    assert.same(expected, got)
  end)

  it("may be 10,000 senders, cancelled with their scope: nothing was sent #heavy", function()
    local c = corun.channel(1)
    c:send("before")
    local _, err = corun.scope(function(s)
      local tasks = {}
      for i = 1, 10000 do tasks[i] = s:spawn(c.send, c, i) end
      for i = 1, 10000 do
        while tasks[i]:status() ~= "waiting" do corun.yield() end
      end
      s:cancel()
    end)
    assert.equal("ECANCELED", err.code)
    assert.equal(1, #c)
    assert.equal("before", c:try_recv())
    assert.equal("EEMPTY", select(2, c:try_recv()).code)
  end)
end)

describe("channel and cancellation:", function()
  it("S13 send and recv check for it before any effect, try_* do not #heavy", function()
    local c = corun.channel(5)
    c:send("there")
    -- What pcall gives in a cancelled scope: a scope each, lest the watchdog finds it slow
    -- (under a slow Lua it does all the same: #heavy).
    local function cancelled(fn, a, b)
      local ok, value
      corun.scope(function(s)
        s:cancel()
        ok, value = pcall(fn, a, b)
      end)
      return ok, value
    end
    assert.is_false((cancelled(c.send, c, "new")))
    assert.is_false((cancelled(c.recv, c)))
    assert.is_false((cancelled(function() for _ in c do end end)))
    assert.equal(1, #c)
    assert.same({true, true}, {cancelled(c.try_send, c, "tried")})
    assert.same({true, "there"}, {cancelled(c.try_recv, c)})
    assert.equal("tried", c:recv())
  end)

  it("S15 a receiver that was given an item and then cancelled still gets it", function()
    for _, capacity in ipairs{0, 4} do
      local c, got, reached = corun.channel(capacity), nil, false
      local t = blocked(function()
        got = c:recv()
        corun.yield()
        reached = true
      end)
      assert.is_true(c:try_send("item"))
      t:cancel()
      t:await()
      assert.equal("item", got)
      assert.is_false(reached)
    end
  end)

  it("S15 a receiver cancelled first leaves the item to the next", function()
    local c = corun.channel()
    local first = blocked(function() return c:recv() end)
    local second = blocked(function() return c:recv() end)
    first:cancel()
    assert.is_true(c:try_send("item"))
    assert.equal("item", second:await())
    assert.equal("ECANCELED", select(2, first:await()).code)
  end)

  it("S15 a sender whose item was taken and that is then cancelled has sent it", function()
    local c, sent = corun.channel(), nil
    local t = blocked(function() sent = c:send("item") end)
    assert.equal("item", c:recv())
    t:cancel()
    t:await()
    assert.is_true(sent)
  end)

  it("S15 the item of a cancelled sender is not delivered", function()
    local c = corun.channel()
    local first, second = blocked(c.send, c, "first"), blocked(c.send, c, "second")
    first:cancel()
    assert.equal("second", c:recv())
    second:await()
    first:await()
  end)

  it("S15 a blocked sender whose item moved into the buffer is not undone by a cancel", function()
    local c = corun.channel(1)
    c:send(1)
    local t = blocked(c.send, c, 2)
    assert.equal(1, c:recv())
    t:cancel()
    t:await()
    assert.equal(2, c:try_recv())
  end)

  it("S15 no item is lost to time limits that pass in the tick in which it is sent", function()
    debug_.virtual(true)
    local c, received, timeouts = corun.channel(), {}, 0
    corun.scope(function(s)
      s:spawn(function()
        for i = 1, 60 do
          corun.sleep(0.01)
          c:send(i)
        end
        c:close()
      end)
      s:spawn(function()
        while true do
          local v, err = corun.timeout(0.01, function() return c:recv() or "end" end)
          if v == "end" then return end
          if v then received[#received + 1] = v else timeouts = timeouts + 1 end
          if err then assert.equal("ETIMEDOUT", err.code) end
        end
      end)
    end)
    assert.equal(60, #received)
    for i = 1, 60 do assert.equal(i, received[i]) end
  end)

  it("S15 no item is lost or doubled among 50 receivers cancelled at random #heavy", function()
    local c, seen, sent = corun.channel(2), {}, 0
    corun.scope(function(s)
      local tasks = {}
      local function receive()
        while true do
          local v = c:recv()
          if v == nil then return end
          seen[v] = (seen[v] or 0) + 1
          if v % 3 == 0 then corun.yield() end
        end
      end
      for i = 1, 50 do tasks[i] = s:async(receive) end
      local seed = 7
      for i = 1, 2000 do
        c:send(i)
        sent = i
        seed = (seed * 1103515245 + 12345) % 2147483648
        local k = (seed >> 16) % 50 + 1
        tasks[k]:cancel()
        tasks[k]:await()
        tasks[k] = s:async(receive)
      end
      c:close()
    end)
    assert.equal(2000, sent)
    for i = 1, 2000 do
      if seen[i] ~= 1 then assert.equal(1, seen[i]) end
    end
  end)

  it("S14 recv raises each time again in a cancelled scope #heavy", function()
    local c, raised = corun.channel(), 0
    local t = blocked(function()
      for _ = 1, 5 do
        if not pcall(c.recv, c) then raised = raised + 1 end
      end
    end)
    t:cancel()
    t:await()
    assert.equal(5, raised)
    assert.is_false(c:try_send(1)) -- and nobody waits
  end)
end)

describe("channel misuse:", function()
  it("several values in one send", function()
    local c = corun.channel(1)
    assert.error_matches(function() c:send(1, 2) end, "send takes one value, got 2")
    assert.error_matches(function() c:try_send(1, nil, 3) end, "try_send takes one value, got 3")
    assert.equal(0, #c)
  end)

  it("a time limit given to recv", function()
    local c = corun.channel(1)
    assert.error_matches(function() c:recv{timeout = 1} end, "corun%.timeout or corun%.select")
  end)

  it("capacities that are none", function()
    assert.error_matches(function() corun.channel(-1) end, "capacity must not be negative")
    assert.error_matches(function() corun.channel(1.5) end, "no integer representation")
    assert.error_matches(function() corun.channel("many") end, "number expected, got string")
  end)

  it("methods called on something else", function()
    local c = corun.channel(1)
    assert.error_matches(function() c.send(corun.mutex(), 1) end, "channel expected, got mutex")
    assert.error_matches(function() c.recv(io.stdout) end, "channel expected, got FILE%*")
    assert.error_matches(function() c.close({}) end, "channel expected, got table")
    assert.error_matches(function() c.try_recv() end, "channel expected, got no value")
  end)

  it("S30 a wait where none is possible names the function and queues nobody", function()
    local c = corun.channel()
    local function compare(a, b)
      c:recv()
      return a < b
    end
    assert.error_matches(function() table.sort({2, 1}, compare) end, "table%.sort")
    assert.is_false(c:try_send(1))
    local ready = corun.channel(9)
    for i = 1, 9 do ready:send(i) end
    local list = {3, 1, 2}
    table.sort(list, function(a, b)
      ready:recv() -- has not to wait
      return a < b
    end)
    assert.same({1, 2, 3}, list)
  end)
end)

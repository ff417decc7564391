-- SPDX-License-Identifier: MIT
-- select: S35, and what S13 and S15 say of it.

local corun = require("corun")
local debug_ = require("corun.debug")

local function blocked(fn, ...)
  local t = corun.async(fn, ...)
  repeat corun.yield() until t:status() ~= "ready"
  assert.equal("waiting", t:status())
  return t
end

-- A channel that holds the values.
local function filled(...)
  local c = corun.channel(math.max(1, select("#", ...)))
  for _, v in ipairs{...} do c:send(v) end
  return c
end

describe("S35 select", function()
  it("S35 gives the key and the value of what is ready", function()
    local empty = corun.channel()
    assert.same({"full", 7}, {corun.select{empty = empty, full = filled(7)}})
  end)

  it("S35 gives all ready cases the same chance", function()
    local counts, cases = {}, {}
    for i = 1, 5 do cases[i] = filled(i) end
    cases.never = corun.channel()
    for _ = 1, 2000 do
      local i = corun.select(cases)
      counts[i] = (counts[i] or 0) + 1
      cases[i]:send(i)
    end
    assert.is_nil(counts.never)
    for i = 1, 5 do -- the standard deviation is 18
      assert.is_true(counts[i] > 300 and counts[i] < 500, counts[i])
    end
  end)

  it("S35 gives receiving and sending the same chance", function()
    local full, room, counts = filled(1), corun.channel(1), {recv = 0, send = 0}
    for _ = 1, 1000 do
      local key = corun.select{recv = full, send = {room, send = 1}}
      counts[key] = counts[key] + 1
      full:try_send(1)
      room:try_recv()
    end
    assert.is_true(counts.recv > 400 and counts.recv < 600, counts.recv)
    assert.equal(1000, counts.recv + counts.send)
  end)

  it("S35 commits nothing in the losing cases", function()
    local a, b, out = filled("a"), filled("b"), corun.channel(1)
    local cases = {a = a, b = b, out = {out, send = "o"}}
    local left = {a = 1, b = 1, out = 0}
    for _ = 1, 3 do
      local key = corun.select(cases)
      cases[key] = nil
      left[key] = 1 - left[key]
      assert.same(left, {a = #a, b = #b, out = #out})
    end
  end)

  it("S35 takes a closed channel as ready with nil", function()
    local c = corun.channel()
    c:close()
    assert.equal(2, select("#", corun.select{closed = c}))
    local key, v = corun.select{closed = c, open = corun.channel()}
    assert.equal("closed", key)
    assert.is_nil(v)
  end)

  it("S35 drains a closed channel first", function()
    local c = filled(1, 2)
    c:close()
    assert.same({"c", 1}, {corun.select{c = c}})
    assert.same({"c", 2}, {corun.select{c = c}})
    assert.same({"c"}, {corun.select{c = c}})
  end)

  it("S35 takes sending on a closed channel as ready with nil and ECLOSED", function()
    local c = corun.channel(1)
    c:close()
    local key, ok, err = corun.select{out = {c, send = 1}}
    assert.equal("out", key)
    assert.is_nil(ok)
    assert.equal("ECLOSED", err.code)
  end)

  it("S35 gives nil and ETIMEDOUT when its time has passed", function()
    debug_.virtual(true)
    local a, b, start = corun.channel(), corun.channel(), corun.now()
    local key, err = corun.select({a = a, b = {b, send = 1}}, {timeout = 3})
    assert.is_nil(key)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal("select", err.op)
    assert.is_true(math.abs(corun.now() - start - 3) < 1e-6)
    assert.is_false(a:try_send(1)) -- and it waits no more
    assert.equal("EEMPTY", select(2, b:try_recv()).code)
  end)

  it("S35 takes events, and signals, as cases", function()
    local e, s <close> = corun.event(), corun.signal("SIGUSR2")
    local t = blocked(function() return corun.select{e = e, s = s, c = corun.channel()} end)
    e:set("x", nil, "z")
    assert.same({"e", "x", nil, "z"}, {t:await()})
    assert.same({"e", "x", nil, "z"}, {corun.select{e = e, s = s}})
  end)
end)

describe("select that waits", function()
  it("is woken by a send into any of its channels, and leaves the others", function()
    for want = 1, 3 do
      local cases = {corun.channel(), corun.channel(4), corun.channel()}
      local t = blocked(corun.select, cases)
      assert.is_true(cases[want]:try_send("item"))
      for i = 1, 3 do
        assert.equal(i == 2, cases[i]:try_send("none waits here"))
      end
      assert.same({want, "item"}, {t:await()})
    end
  end)

  it("sends to one that comes to receive", function()
    local a, b = corun.channel(), corun.channel()
    local t = blocked(corun.select, {a = {a, send = "A"}, b = {b, send = "B"}})
    assert.equal("B", b:recv())
    assert.equal("EEMPTY", select(2, a:try_recv()).code)
    assert.same({"b", true}, {t:await()})
  end)

  it("sends into a buffer that becomes free, false too", function()
    local c = filled(1)
    local t = blocked(corun.select, {out = {c, send = false}})
    assert.equal(1, c:recv())
    assert.equal(1, #c)
    assert.same({"out", true}, {t:await()})
    assert.is_false(c:recv())
  end)

  it("is woken by close", function()
    local a, b, c = corun.channel(), corun.channel(), corun.channel()
    local receiver = blocked(corun.select, {a = a, b = b})
    local sender = blocked(corun.select, {c = {c, send = 1}, b = b})
    a:close()
    c:close()
    assert.same({"a"}, {receiver:await()})
    local key, ok, err = sender:await()
    assert.equal("c", key)
    assert.is_nil(ok)
    assert.equal("ECLOSED", err.code)
    assert.is_false(b:try_send(1))
  end)

  it("stands in line with plain receivers", function()
    local c, other, order = corun.channel(), corun.channel(), {}
    local tasks = {}
    for i = 1, 9 do
      tasks[i] = blocked(function()
        local v
        if i % 3 == 0 then
          local _
          _, v = corun.select{c, other}
        else
          v = c:recv()
        end
        order[v] = i
      end)
    end
    for v = 1, 9 do assert.is_true(c:try_send(v)) end
    assert.is_false(c:try_send(10))
    corun.gather(table.unpack(tasks))
    for i = 1, 9 do assert.equal(i, order[i]) end
  end)

  it("meets another select", function()
    for _ = 1, 20 do
      local a, b = corun.channel(), corun.channel()
      local t = blocked(corun.select, {a = {a, send = "x"}, b = b})
      local key, v = corun.select{a = a, b = {b, send = "y"}}
      if key == "a" then
        assert.equal("x", v)
        assert.same({"a", true}, {t:await()})
      else
        assert.is_true(v)
        assert.same({"b", "y"}, {t:await()})
      end
    end
  end)

  it("never meets itself, but another of its kind", function()
    local c = corun.channel()
    local function both(v) return corun.select{get = c, put = {c, send = v}} end
    local first = blocked(both, 1)
    local second = {both(2)}
    local other = {first:await()}
    if other[1] == "get" then other, second = second, other end
    assert.equal("put", other[1])
    assert.is_true(other[2])
    assert.equal("get", second[1])
    assert.equal("EEMPTY", select(2, c:try_recv()).code)
    assert.is_false(c:try_send(0))
  end)

  it("may name one channel several times", function()
    local c = corun.channel()
    local t = blocked(corun.select, {c, c, c})
    assert.is_true(c:try_send("once"))
    assert.is_false(c:try_send("twice"))
    assert.equal("once", select(2, t:await()))
  end)

  it("takes 100 cases with keys of any type", function()
    local cases, list = {}, {}
    for i = 1, 100 do
      list[i] = corun.channel()
      cases[i % 4 == 0 and {} or i % 4 == 1 and i or i % 4 == 2 and i + 0.5 or "k" .. i] = list[i]
    end
    local t = blocked(corun.select, cases)
    assert.is_true(list[83]:try_send("found"))
    assert.same({"k83", "found"}, {t:await()})
    for i = 1, 100 do assert.is_false(list[i]:try_send(0)) end
  end)

  it("works in a coroutine of the script", function()
    local a, b = corun.channel(), corun.channel()
    local sender = corun.async(function()
      for i = 1, 10 do (i % 2 == 0 and a or b):send(i) end
    end)
    local next_item = coroutine.wrap(function()
      while true do coroutine.yield(corun.select{a = a, b = b}) end
    end)
    for i = 1, 10 do
      assert.same({i % 2 == 0 and "a" or "b", i}, {next_item()})
    end
    sender:await()
  end)

  it("leaves no timer behind when it was served in time", function()
    local c = corun.channel()
    local before = debug_.stats().timers
    local t = blocked(corun.select, {c}, {timeout = 3600})
    assert.equal(before + 1, debug_.stats().timers)
    c:send(1)
    assert.equal(before, debug_.stats().timers)
    t:await()
  end)

  it("lists what it waits for in the task tree", function()
    local c, e = corun.channel(), corun.event()
    local t = blocked(corun.select, {c, e})
    local tree = table.concat(debug_.tasks(), "\n")
    assert.matches("waiting for select %l+ 0x%x+, %l+ 0x%x+", tree)
    assert.matches("channel " .. tostring(c):match("0x%x+"), tree)
    e:set()
    t:await()
  end)

  it("lists as many as fit when there are many", function()
    local cases = {}
    for i = 1, 50 do cases[i] = corun.channel() end
    local t = blocked(corun.select, cases)
    assert.matches("waiting for select channel 0x%x+, channel", table.concat(debug_.tasks()))
    t:cancel()
    t:await()
  end)
end)

describe("select and cancellation:", function()
  it("S13 it checks for it before any effect", function()
    local c, room, ok = filled(1), corun.channel(1), nil
    corun.scope(function(s)
      s:cancel()
      ok = pcall(corun.select, {c, {room, send = 1}})
    end)
    assert.is_false(ok)
    assert.same({1, 0}, {#c, #room})
  end)

  it("S15 a cancelled select leaves all its queues", function()
    local a, b = corun.channel(), corun.channel()
    local t = blocked(corun.select, {a = a, b = {b, send = 1}})
    t:cancel()
    assert.is_false(a:try_send(1))
    assert.equal("EEMPTY", select(2, b:try_recv()).code)
    assert.equal("ECANCELED", select(2, t:await()).code)
  end)

  it("S15 a select that was given an item and then cancelled still gets it", function()
    local a, b, got, reached = corun.channel(), corun.channel(), nil, false
    local t = blocked(function()
      got = {corun.select({a = a, b = b}, {timeout = 60})}
      corun.yield()
      reached = true
    end)
    assert.is_true(a:try_send("item"))
    t:cancel()
    t:await()
    assert.same({"a", "item"}, got)
    assert.is_false(reached)
  end)

  it("S15 no item is lost to a time limit that passes in the same tick", function()
    debug_.virtual(true)
    local a, b, received = corun.channel(), corun.channel(), {}
    corun.scope(function(s)
      s:spawn(function()
        for i = 1, 60 do
          corun.sleep(0.01);
          (i % 2 == 0 and a or b):send(i)
        end
        a:close()
      end)
      while true do
        local key, v = corun.select({a = a, b = b}, {timeout = 0.01})
        if key and v == nil then return end
        if key then received[#received + 1] = v end
      end
    end)
    assert.equal(60, #received)
    for i = 1, 60 do assert.equal(i, received[i]) end
  end)
end)

describe("select misuse:", function()
  local c = corun.channel(1)

  local function refused(pattern, ...)
    local args = table.pack(...)
    local ok, err = pcall(function() corun.select(table.unpack(args, 1, args.n)) end)
    assert.is_false(ok)
    assert.matches(pattern, err)
    assert.equal(0, #c)
  end

  it("no cases", function()
    refused("select_spec.lua:%d+: select needs at least one case", {})
    refused("table expected, got channel", c)
    refused("table expected, got no value")
  end)

  it("a case that is none, by its key", function()
    refused("case job of select must be a channel or {channel, send = value}, got number",
      {job = 1})
    refused("case 2 of select must be a channel .* got userdata", {c, io.stdout})
    refused("case 1 of select must be a channel .* got nil", {{send = 1}})
    refused("case 1 of select must be a channel .* got table", {{{}, send = 1}})
  end)

  it("a send case without a value", function()
    refused("case out of select has no value to send", {out = {c}})
    refused("case out of select has an unknown key \"sned\"", {out = {c, sned = 1}})
    refused("case out of select has an unknown key \"3\"", {out = {c, send = 1, [3] = 1}})
  end)

  it("sending to what only gives values", function()
    refused("case 1 of select cannot send: event 0x%x+ %(not set%) only gives values",
      {{corun.event(), send = 1}})
  end)

  it("options", function()
    refused('unknown option "timout" for select %(did you mean "timeout"%?%)', {c}, {timout = 1})
    refused('option "timeout" for select must be a number of seconds', {c}, {timeout = "1"})
    refused('option "timeout" for select must be a number of seconds', {c}, {timeout = -1})
  end)

  it("S30 a wait where none is possible names the function and queues nobody", function()
    local a, b = corun.channel(), corun.channel()
    assert.error_matches(function()
      string.gsub("x", "x", function() corun.select{a, b} end)
    end, "string%.gsub")
    assert.is_false(a:try_send(1))
    assert.is_false(b:try_send(1))
  end)
end)

-- SPDX-License-Identifier: MIT
-- pool.call: functions of modules that block, called in workers that keep what they return.
-- tests/ext/gates.c is such a module; lfs and luasql are real ones.
local corun = require "corun"
local eventually = require("tests.spec.support.eventually")
local program = dofile("tests/fixtures/cli/program.lua")

local pool, scope, sleep = corun.pool, corun.scope, corun.sleep

local gates = require "gates"

-- The names of gates stay open for the whole program: each test takes new ones.
local used = 0
local function new_name()
  used = used + 1
  return "gate " .. used
end

local function alive() return (gates.count()) end
local function waiting() return (select(2, gates.count())) end

-- Let go of all proxies that nobody holds, and wait until no gate is left.
local function all_gone()
  eventually("collected", function()
    collectgarbage()
    return alive() == 0
  end)
end

teardown(function() pool.close() end) -- its threads would end while later specs count descriptors

after_each(all_gone)

describe("pool.call", function()
  it("calls a function of a module in a worker", function()
    assert.equal("abcabc", pool.call("string", "rep", "abc", 2))
    assert.same({nil, 2, nil, n = 3}, table.pack(pool.call("table", "unpack", {[2] = 2}, 1, 3)))
    assert.equal(0, select("#", pool.call("gates", "open", new_name())))
    local attributes = pool.call("lfs", "attributes", "tests")
    assert.equal("directory", attributes.mode)
  end)

  it("keeps what cannot cross, and calls it by a proxy", function()
    local name = new_name()
    local g = pool.call("gates", "new", name)
    assert.equal(name, g:name())
    assert.equal(name, g.name(g))
    assert.matches("^pool proxy of a gate %(0x%x+%)$", tostring(g))
    assert.equal(1, alive())
    gates.open(name)
    assert.same({1, nil, "x", nil, n = 4}, table.pack(g:wait(1, nil, "x", nil)))
  end)

  it("one value is one proxy, also within tables and as an argument", function()
    local g, other = pool.call("gates", "new", new_name()), pool.call("gates", "new", new_name())
    local t = g:table()
    assert.equal(g, t.gate)
    assert.equal(g, t.list[1])
    assert.not_equal(g, other)
    assert.is_true(g:is(g))
    assert.equal(g, g:table().gate)
  end)

  it("keeps functions and objects of Lua, too", function()
    local numbers = {}
    local g = pool.call("gates", "new", new_name())
    for n, state in g:each() do
      assert.equal(g, state)
      numbers[#numbers + 1] = n
    end
    assert.same({1, 2, 3}, numbers)
    local names = {}
    for name in pool.call("lfs", "dir", "tests/ext") do names[name] = true end
    assert.is_true(names["gates.c"])
    local list = pool.call("pl.List", "new", {1, 2})
    assert.equal(2, list:len())
    assert.equal(list, list:append(3))
    assert.equal(3, list:len())
    assert.equal("1,2,3", list:concat(","))
  end)

  it("copies functions of Lua, in which a value of C is a proxy", function()
    local p <close> = pool.new{init = function()
      package.loaded.namer = {new = function(name)
        local g, calls = require("gates").new(name), 0
        return function()
          calls = calls + 1
          return g:name(), calls
        end
      end}
    end}
    local name = new_name()
    local get = p:call("namer", "new", name)
    assert.same({name, 1}, {get()})
    assert.same({name, 2}, {get()})
    assert.equal("function", type(get))
  end)

  it("works with luasql", function()
    if not package.searchpath("luasql.sqlite3", package.cpath) then
      pending("luasql is not installed")
      return
    end
    local env <close> = pool.call("luasql.sqlite3", "sqlite3")
    local con <close> = env:connect(":memory:")
    assert.equal(0, con:execute("create table tea (name text, grams integer)"))
    for i, name in ipairs{"green", "black", "white"} do
      assert.equal(1, con:execute(("insert into tea values ('%s', %d)"):format(name, i * 10)))
    end
    local cursor <close> = con:execute("select name, grams from tea order by grams desc")
    local row = cursor:fetch({}, "a")
    assert.same({name = "white", grams = 30}, row)
    assert.same({"black", 20}, {cursor:fetch()})
    local ok, err = con:execute("selec")
    assert.is_nil(ok)
    assert.matches("syntax error", err, 1, true)
    assert.is_true(cursor:close())
    assert.is_true(con:close())
    assert.is_true(env:close())
    ok, err = pcall(con.execute, con, "select 1")
    assert.is_false(ok)
    assert.matches("^tests/spec/pool_call_spec.lua:%d+: .*connection is closed", err)
  end)
end)

describe("errors of pool.call", function()
  local function failure(...)
    local ok, err = pcall(...)
    assert.is_false(ok)
    return err
  end

  it("keep their message, with the line that called", function()
    local g = pool.call("gates", "new", new_name())
    assert.matches("^tests/spec/pool_call_spec.lua:%d+: gate: jammed$",
      failure(g.fail, g, "jammed"))
    assert.same({code = 5}, failure(g.fail, g, {code = 5}))
    assert.is_nil(failure(g.fail, g))
    assert.matches("^gate: 0x", failure(g.fail, g, g))
    assert.matches("^tests/spec/pool_call_spec.lua:%d+: bad argument #1 to 'new' %(string expected",
      failure(pool.call, "gates", "new"))
    assert.matches("bad argument #1 to 'is' (gate expected, got number)", failure(g.is, g, 1), 1,
      true)
    local other = failure(pool.call, "no.such.module", "new")
    assert.matches("module 'no.such.module' not found", other, 1, true)
  end)

  it("say what cannot be called", function()
    local g = pool.call("gates", "new", new_name())
    assert.matches("^tests/spec/pool_call_spec.lua:%d+: attempt to call a nil value "
      .. "%(field 'nope'%)$", failure(pool.call, "gates", "nope"))
    assert.matches("attempt to call a nil value %(method 'nope'%)$", failure(g.nope, g))
    assert.matches("attempt to call a nil value", failure(g["no name"], g), 1, true)
    assert.matches("attempt to call a gate value", failure(g), 1, true)
    assert.matches("a proxy of a gate has only methods, no 1$", failure(function() return g[1] end))
    assert.matches("^tests/spec/pool_call_spec.lua:%d+: calling 'name' on bad self %(pool proxy",
      failure(function() g.name() end))
    assert.matches("call needs the name of a module, got 1", failure(pool.call, 1, "x"), 1, true)
    assert.matches("call needs the name of a function, got nil", failure(pool.call, "x"), 1, true)
  end)

  it("say that processes keep nothing", function()
    local p <close> = pool.new{kind = "process", size = 1}
    assert.matches("^tests/spec/pool_call_spec.lua:%d+: call needs a pool of threads",
      failure(p.call, p, "gates", "new", "x"))
  end)

  it("refuse what cannot cross, and proxies of other workers, with their paths", function()
    local g, other = pool.call("gates", "new", new_name()), pool.call("gates", "new", new_name())
    for want, fn in pairs{
      ["cannot transfer thread at argument 1 .co"] = function()
        g:is{co = coroutine.create(print)}
      end,
      ["cannot transfer thread at argument 3"] = function()
        pool.call("gates", "new", coroutine.create(print))
      end,
      ["cannot transfer proxy of another worker (pool proxy) at argument 1"] = function()
        g:is(other)
      end,
      ["cannot transfer proxy of another worker (pool proxy) at argument 2 [1]"] = function()
        g:is(g, {other})
      end,
    } do
      local err = failure(fn)
      assert.matches("^tests/spec/pool_call_spec.lua:%d+: ", err)
      assert.equal(want, (err:gsub("^[^ ]+ ", "")))
    end
    assert.matches("proxy of another worker (pool proxy) at argument 2",
      failure(pool.run, print, g), 1, true)
    assert.has_error(function() pool.channel(1):send(g) end)
  end)
end)

describe("workers of pool.call", function()
  it("leave the loop free, and no blocked one holds up another", function()
    local name = new_name()
    local blocked, free = pool.call("gates", "new", name), pool.call("gates", "new", new_name())
    scope(function(s)
      local waits = s:async(blocked.wait, blocked, "passed")
      eventually("blocked", function() return waiting() == 1 end)
      for _ = 1, 10 do assert.equal("string", type(free:name())) end
      assert.equal("xx", pool.call("string", "rep", "x", 2))
      assert.is_false(waits:done())
      gates.open(name)
      assert.equal("passed", corun.await(waits))
    end)
  end)

  it("do calls at one value in order", function()
    local name, asked, got = new_name(), {}, {}
    local g = pool.call("gates", "new", name)
    scope(function(s)
      s:spawn(g.wait, g)
      eventually("blocked", function() return waiting() == 1 end)
      for i = 1, 20 do
        s:spawn(function()
          asked[#asked + 1] = i
          got[i] = g:tick()
        end)
      end
      eventually("asked", function() return #asked == 20 end)
      assert.same({}, got)
      gates.open(name)
    end)
    for k, i in ipairs(asked) do assert.equal(k, got[i]) end
  end)

  it("serve many calls without a value, few at once", function()
    local p <close> = pool.new{name = "many"}
    local sizes = corun.map({}, tostring)
    scope(function(s)
      for i = 1, 200 do
        s:spawn(function() sizes[i] = #p:call("string", "rep", "x", i) end)
      end
    end)
    for i = 1, 200 do assert.equal(i, sizes[i]) end
    assert.is_true(p:stats().keepers <= 16)
    assert.equal(0, p:stats().kept)
  end)

  it("are free again when their values are closed or forgotten", function()
    local p <close> = pool.new()
    for _ = 1, 50 do
      local g = p:call("gates", "new", new_name():gsub("%d+", "again"))
      assert.equal(1, p:stats().kept)
      assert.is_true(g:close())
      assert.equal(0, p:stats().kept)
    end
    assert.equal(1, p:stats().keepers)
    local g = p:call("gates", "new", "again")
    assert.equal(1, p:stats().kept)
    g = g and nil -- luacheck: ignore
    collectgarbage()
    assert.equal(0, p:stats().kept)
    p:call("gates", "open", "again")
    assert.equal(1, p:stats().keepers)
  end)

  it("end when they idle and keep nothing", function()
    local p <close> = pool.new{idle = 0.02}
    local g = p:call("gates", "new", new_name())
    sleep(0.1)
    assert.equal(1, p:stats().keepers)
    assert.equal("string", type(g:name()))
    g:close()
    g = g and nil -- luacheck: ignore
    eventually("ended", function()
      collectgarbage()
      return p:stats().keepers == 0
    end)
    assert.equal("xx", p:call("string", "rep", "x", 2))
  end)

  it("begin with the pool's init, and have its memory limit", function()
    local p <close> = pool.new{name = "small", memory = 4 << 20,
      init = function() package.loaded.made = {get = function() return "made by init" end} end}
    assert.equal("made by init", p:call("made", "get"))
    local ok, err = pcall(p.call, p, "string", "rep", "x", 1 << 30)
    assert.is_false(ok)
    assert.equal("ENOMEM", err.code)
    assert.equal("xx", p:call("string", "rep", "x", 2))
  end)

  it("are a job's own in a worker", function()
    local p <close> = pool.new{size = 1}
    local name = new_name()
    assert.equal(name, p:run(function(n)
      local g = require("corun").pool.call("gates", "new", n)
      return g:name()
    end, name))
    p:close()
  end)
end)

describe("the values that pool.call keeps", function()
  it("are collected there when no proxy is left", function()
    local g = pool.call("gates", "new", new_name())
    local held = g:table()
    assert.equal(1, alive())
    g = nil -- luacheck: ignore
    collectgarbage()
    held.list = nil
    collectgarbage()
    assert.equal(1, alive())
    held.gate = nil
    all_gone()
    pool.call("gates", "new", new_name()):name()
  end)

  it("are closed by close, and by <close>", function()
    do
      local g <close> = pool.call("gates", "new", new_name())
      assert.equal(1, alive())
      assert.is_true(g:close())
      assert.equal(0, alive())
      assert.is_false(g:close())
      local ok, err = pcall(g.name, g)
      assert.is_false(ok)
      assert.matches("closed gate", err, 1, true)
    end
    do
      local _ <close> = pool.call("gates", "new", new_name())
    end
    assert.equal(0, alive())
    local ok, err = pcall(function()
      local _ <close> = pool.call("gates", "new", new_name())
      error("out", 0)
    end)
    assert.is_false(ok)
    assert.equal("out", err)
    assert.equal(0, alive())
  end)

  it("S14 are closed in a cancelled scope, too", function()
    local result, err = corun.timeout(0.02, function()
      local _ <close> = pool.call("gates", "new", new_name())
      sleep(10)
    end)
    assert.is_nil(result)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal(0, alive())
  end)

  it("S16 a cancelled call goes on until it has ended, and so does its caller", function()
    local name = new_name()
    local g = pool.call("gates", "new", name)
    local ended = false
    scope(function(s)
      local t = s:spawn(function()
        local _ <close> = corun.defer(function() ended = true end)
        g:wait()
      end)
      eventually("blocked", function() return waiting() == 1 end)
      t:cancel()
      sleep(0.02)
      assert.is_false(ended)
      gates.open(name)
    end)
    assert.is_true(ended)
    assert.equal(name, g:name())
  end)

  it("are collected there when the call that made them was cancelled", function()
    local p <close> = pool.new()
    local name = new_name()
    scope(function(s)
      local t = s:spawn(p.call, p, "gates", "enter", name)
      eventually("blocked", function() return waiting() == 1 end)
      t:cancel()
      sleep(0.02)
      gates.open(name)
    end)
    all_gone()
    assert.equal("xx", p:call("string", "rep", "x", 2))
  end)

  it("end with their pool; a later use says so", function()
    local p = pool.new{name = "db"}
    local g = p:call("gates", "new", new_name())
    do
      local _ <close> = p:call("gates", "new", new_name())
      p:close()
    end
    assert.equal(0, alive())
    for _, fn in ipairs{g.name, g.close} do
      local ok, err = pcall(fn, g)
      assert.is_false(ok)
      assert.equal("ECLOSED", err.code)
      assert.matches("call db: the pool was closed (ECLOSED)", tostring(err), 1, true)
    end
    local ok, err = pcall(p.call, p, "gates", "new", "x")
    assert.is_false(ok)
    assert.equal("ECLOSED", err.code)
  end)

  it("a close of the pool waits for calls under way", function()
    local p = pool.new()
    local name = new_name()
    local g = p:call("gates", "new", name)
    scope(function(s)
      local waits = s:async(g.wait, g, "passed")
      eventually("blocked", function() return waiting() == 1 end)
      local closes = s:async(p.close, p)
      sleep(0.01)
      assert.is_false(closes:done())
      gates.open(name)
      assert.equal("passed", corun.await(waits))
      corun.await(closes)
    end)
    assert.equal(0, alive())
  end)

  it("outlive the handle of a pool that nobody holds", function()
    local name = new_name()
    local g = pool.new():call("gates", "new", name)
    collectgarbage()
    assert.equal(name, g:name())
  end)

  it("10,000 leave nothing behind", function()
    local p <close> = pool.new{size = 1}
    local first = p:call("gates", "new", "many")
    for _ = 1, 100 do
      corun.scope(function(s)
        for _ = 1, 100 do
          s:spawn(function()
            assert.equal(first, first:table().list[1])
          end)
        end
      end)
    end
    assert.equal(1, alive())
    assert.equal(1, p:stats().kept)
  end)

  it("are closed when the program ends, whatever it forgot", function()
    local r = program.code([[
      local corun = require "corun"
      local dir = select(2, corun.pool.call("lfs", "dir", "tests"))
      print(type(dir:next()))
      corun.daemon(function() corun.pool.call("os", "execute", "sleep 0.1") end)
      corun.sleep(0)]])
    assert.equal("string\n", r.out)
    assert.equal(0, r.status, r.err)
  end)
end)

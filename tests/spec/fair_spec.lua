-- SPDX-License-Identifier: MIT
-- A task whose calls never have to wait lets others run now and then: their timers go off, and the
-- loop polls. The specs of streams, datagrams and servers have the same for what they do.
local corun = require "corun"
local codec = require "corun.codec"
local net = require "corun.net"
local outcomes = dofile("tests/spec/support/outcomes.lua")
local programs = dofile("tests/spec/support/programs.lua")

-- Call fn until another task's timer has gone off; how often that was.
local function calls_until_tick(fn, most)
  local calls, ticked = 0, false
  local ticker = outcomes.waiting(function()
    corun.sleep(0)
    ticked = true
  end)
  repeat
    fn()
    calls = calls + 1
  until ticked or calls == most
  assert.is_true(ticked, calls .. " calls, and no timer went off")
  ticker:await()
  return calls
end

describe("calls that need not wait let others run", function()
  local c, m, e = corun.channel(10), corun.mutex(), corun.event()
  local hash, packed = codec.hash("sha256"), codec.gzip.encode("x")
  local encoder, decoder = codec.zstd.encoder(), codec.br.decoder()
  e:set()
  local done = corun.async(function() end)
  done:await()

  for name, fn in pairs{
    ["format.encode"] = function() codec.gzip.encode("x") end,
    ["format.decode"] = function() codec.gzip.decode(packed) end,
    ["encoder:update"] = function() encoder:update("x") end,
    ["decoder:update"] = function() decoder:update("") end,
    ["hash:update"] = function() hash:update("x") end,
    hmac = function() codec.hmac("sha256", "k", "x") end,
    ["channel:send"] = function()
      c:send(1)
      c:try_recv()
    end,
    ["channel:recv"] = function()
      c:try_send(1)
      c:recv()
    end,
    ["a channel in a loop"] = function()
      c:try_send(1)
      c()
    end,
    select = function()
      c:try_send(1)
      corun.select{c = c}
    end,
    ["mutex:acquire"] = function() m:acquire():release() end,
    ["event:wait"] = function() e:wait() end,
    await = function() done:await() end,
    ["net.resolve"] = function() net.resolve("127.0.0.1") end,
  } do
    it(name, function() calls_until_tick(fn, 20000) end)
  end

  it("the sooner, the longer they take", function()
    local text = codec.random(200 * 1024)
    assert.is_true(calls_until_tick(function() codec.hash("sha256"):update(text) end, 1000) < 50)
    assert.is_true(calls_until_tick(function() codec.gzip.decode(packed) end, 20000) > 100)
  end)

  -- Use up what a task may do without waiting: the next call lets others run first.
  local function use_up()
    for _ = 1, 1024 do
      c:try_send(1)
      c:recv()
    end
  end

  it("S13 a task that is cancelled meanwhile has done nothing", function()
    local encoder_ <close> = codec.gzip.encoder()
    local t = outcomes.waiting(function()
      use_up()
      encoder_:update("never")
    end)
    t:cancel()
    assert.equal("ECANCELED", select(2, t:await()).code)
    local all = encoder_:update("once") .. encoder_:finish()
    assert.equal("once", codec.gzip.decode(all))
  end)

  it("S20 a second user is refused meanwhile, and a close is told", function()
    local encoder_ <close> = codec.gzip.encoder()
    local t = outcomes.waiting(function()
      use_up()
      return encoder_:update("x")
    end)
    assert.equal("EBUSY", select(2, pcall(encoder_.update, encoder_, "y")).code)
    encoder_:close()
    assert.equal("ECLOSED", select(2, t:await()).code)
  end)

  it("where no suspension is possible they go on", function()
    local calls = 0
    local text = ("x"):rep(3000):gsub(".", function()
      calls = calls + 1
      c:try_send(1)
      c:recv()
      return codec.gzip.decode(packed)
    end)
    assert.equal(3000, calls)
    assert.equal(("x"):rep(3000), text)
  end)
end)

describe("tasks that one look at the system wakes", function()
  -- Unix sockets: what is written there has arrived at once.
  it("go on in the order in which they ran last, not in which their bytes came", function()
    local out = programs.run([[
      local corun = require "corun"
      local path = os.tmpname()
      os.remove(path)
      local listener <close> = assert(corun.net.listen("unix:" .. path))
      local ends, ran = {}, corun.channel(100)
      for _, name in ipairs{"a", "b", "c"} do
        local accepting = corun.async(listener.accept, listener)
        ends[name] = assert(corun.net.connect("unix:" .. path))
        local other = accepting:await()
        corun.daemon(function() for _ in other:lines() do ran:send(name) end end)
      end
      for _, order in ipairs{"abc", "ab", "abc", "bca"} do
        for name in order:gmatch(".") do ends[name]:write("x\n") end
        for _ = 1, #order do io.write(ran:recv()) end
        io.write(" ")
      end
    ]], {before = "LD_PRELOAD= CORUN_SEED=0"})
    assert.equal("abc ab cab cab ", out)
  end)
end)

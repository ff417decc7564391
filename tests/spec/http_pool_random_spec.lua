-- SPDX-License-Identifier: MIT
-- The pool of a session without a network, on the virtual clock: 10,000 random schedules of
-- checkouts that are held, kept, lent, refused and cancelled at any moment. Limits are never
-- exceeded, no connection is leaked, no waiter is forgotten.

local corun = require("corun")
local core = require("corun.httpcore")
local dial = require("corun.http_dial")
local pool = require("corun.http_pool")
local tasks = require("tests.spec.support.tasks")

local random = math.random

describe("http pool on the virtual clock", function()
  local connect, connection, opened -- the set of what is open

  setup(function()
    connect, connection = dial.connect, core.connection
    function dial.connect(_, timeout)
      local seconds = random() < 0.3 and 0 or random() * 0.4
      if not corun.timeout(timeout, corun.sleep, seconds) then
        return nil, corun.err("ETIMEDOUT", "fake", {op = "connect"})
      end
      if random() < 0.15 then return nil, corun.err("ECONNREFUSED", "fake", {op = "connect"}) end
      local stream = {}
      function stream:close() opened[self] = nil end
      opened[stream] = true
      return stream
    end
    function core.connection(stream)
      return {
        reusable = function() return opened[stream] ~= nil and not stream.stale end,
        close = function() stream:close() end,
        traffic = function() return 1, 2 end,
        stream = stream,
      }
    end
  end)

  teardown(function() dial.connect, core.connection = connect, connection end)

  before_each(tasks.virtual)

  local function size(set)
    local n = 0
    for _ in pairs(set) do n = n + 1 end
    return n
  end

  -- What must hold at every moment.
  local function check(p)
    assert(p.active <= p.limit and p.open <= p.limit and p.active >= 0)
    local active, open, waiting, may = 0, 0, 0, false
    for key, origin in pairs(p.origins) do
      assert(origin.active <= p.per_host and origin.open <= p.per_host, key)
      assert(p.closed or origin.open + origin.active + origin.waiting > 0, "forget " .. key)
      active, open = active + origin.active, open + origin.open
      waiting = waiting + origin.waiting
      may = may or origin.waiting > 0 and origin.active < p.per_host
    end
    assert(p.active == active and p.open == open and p.waiting == waiting)
    assert(p.closed or not (may and p.active < p.limit), "a slot is free, and somebody waits")
  end

  local function check_end(p)
    check(p)
    assert.equal(0, p.active)
    assert.equal(0, p.waiting)
    assert.equal(p.open, size(p.connections))
    assert.equal(p.open, size(opened))
    assert.equal(p.queue, p.queue.next)
    assert.is_nil(next(p.scopes))
    for _, origin in pairs(p.origins) do assert.equal(#origin.idle, origin.open) end
  end

  -- Hand a connection on to a task that outlives the one which has it, as streamed responses do.
  local function lend(p, c, keeper)
    c.lent = true
    keeper:spawn(function()
      local stream = c.core.stream
      local _ <close> = corun.defer(function()
        stream.user = nil
        p:give_back(c, random() < 0.5)
        check(p)
      end)
      stream.user = true
      corun.sleep(random() * 0.5)
    end)
    return "lent"
  end

  -- Hold a connection for a while, and give it back in one of the ways there are.
  local function use(p, route, keeper)
    local deadline = random() < 0.2 and corun.now() + random() or nil
    local c <close>, err = p:checkout(route, deadline, random() < 0.2 and 0.1 or 10,
      random() < 0.1)
    check(p)
    if not c then
      assert(err.code == "ETIMEDOUT" or err.code == "ECONNREFUSED" or err.code == "ECLOSED")
      return err.code
    end
    assert(opened[c.core.stream] or p.closed)
    assert(c.origin.key == route.key)
    assert(not c.core.stream.user, "two use it at once")
    c.core.stream.user = true
    local _ <close> = corun.defer(function() c.core.stream.user = nil end)
    if random() < 0.8 then corun.sleep(random() * 0.5) end
    check(p)
    if random() < 0.2 then c.core.stream.stale = true end -- the server will have closed it
    if random() < 0.7 then c.over = true end -- to be kept
    if random() < 0.2 then return lend(p, c, keeper) end
    return "used"
  end

  local function schedule(counts)
    opened = {}
    local p = pool.new(random(1, 4), random() < 0.5 and random(1, 2) or nil, 15)
    p.timer = {add = function() end, close = function() end}
    local routes, all = {}, {}
    for i = 1, random(1, 4) do routes[i] = {key = "origin" .. i, name = "origin" .. i} end
    corun.scope(function(s)
      for i = 1, random(1, 12) do
        all[i] = s:async(use, p, routes[random(#routes)], s)
        if random() < 0.5 then corun.sleep(random() * 0.2) end
        check(p)
      end
      for _, t in ipairs(all) do
        if random() < 0.25 then
          s:spawn(function()
            if random() < 0.8 then corun.sleep(random()) end
            t:cancel()
            check(p)
          end)
        end
      end
      if random() < 0.05 then
        s:spawn(function()
          corun.sleep(random())
          p:close("here")
        end)
      end
      for _, t in ipairs(all) do
        local what, err = t:await()
        what = what or err.code
        counts[what] = (counts[what] or 0) + 1
      end
    end)
    check_end(p)
    p:close("here")
    assert.equal(0, p.open)
    assert.equal(0, size(opened))
  end

  it("10,000 random schedules leave it whole #heavy", function()
    local seed = tonumber(os.getenv("CORUN_SEED")) or 1
    math.randomseed(seed)
    local counts = {}
    for _ = 1, 10000 do schedule(counts) end
    for _, what in ipairs({"used", "lent", "ETIMEDOUT", "ECONNREFUSED", "ECLOSED", "ECANCELED"}) do
      assert.is_true((counts[what] or 0) > 100, what)
    end
  end)
end)

-- SPDX-License-Identifier: MIT
-- Jobs that do what jobs should not: each is answered, the worker lives, and the program can end.
local corun = require "corun"
local program = dofile("tests/fixtures/cli/program.lua")

local pool = corun.pool

-- After each job of the list its worker runs another one.
local function each_job(jobs, check, o)
  local p <close> = pool.new(o or {size = 1})
  for name, job in pairs(jobs) do
    check(p, name, job)
    assert.equal("lives", p:run(function() return "lives" end), name)
    local counts = p:stats()
    assert.same({0, 0, 1}, {counts.queued, counts.running, counts.workers}, name)
  end
end

describe("jobs that raise", function()
  it("anything are answered with it, or with its text", function()
    local shared = {deep = {1, {2}}}
    shared.self = shared
    each_job({
      ["a table"] = {function() error({1, {2}}) end, {1, {2}}},
      ["a table with itself"] = {function() error(shared) end},
      ["nil"] = {function() error() end, nil},
      ["false"] = {function() error(false) end, false},
      ["a number"] = {function() error(42) end, 42},
      ["a function"] = {function() error(print) end, print},
      ["a thread"] = {function() error(coroutine.create(print)) end, "^thread: 0x"},
      ["a file"] = {function() error(io.stdout) end, "^file %("},
      ["a table with a thread"] = {function() error({coroutine.create(print)}) end, "^table: 0x"},
      ["in a coroutine"] = {function() coroutine.wrap(error)("inside", 0) end, ": inside$"},
      ["in a task"] = {function()
        require("corun").spawn(error, "of a task", 0)
      end, "^of a task$"},
      ["in a finaliser of their own"] = {function()
        local x <close> = setmetatable({}, {__close = function() error("closing", 0) end})
        error("body " .. tostring(x ~= nil), 0)
      end, "^closing$"},
    }, function(p, name, job)
      local ok, err = pcall(p.run, p, job[1])
      assert.is_false(ok, name)
      if name == "a table with itself" then
        assert.equal(err, err.self)
      elseif type(job[2]) == "string" then
        assert.matches(job[2], err, nil, nil, name)
      else
        assert.same(job[2], err, name)
      end
    end)
  end)

  it("of their depth are answered with that #heavy", function()
    local ok, err = pcall(pool.run, function()
      local function f() return 1 + f() end
      return f()
    end)
    assert.is_false(ok)
    assert.matches("stack overflow", err)
  end)
end)

describe("jobs that never end", function()
  local jobs = {
    ["loop"] = function() while true do end end,
    ["loop and catch errors"] = function() while true do pcall(error) end end,
    ["loop in a coroutine"] = function() coroutine.wrap(function() while true do end end)() end,
    ["loop in a comparison"] = function()
      table.sort({2, 1}, function() while true do end end)
    end,
    ["loop in clean-up"] = function()
      local _ <close> = setmetatable({}, {__close = function() while true do end end})
    end,
    ["yield for ever"] = function() while true do require("corun").yield() end end,
    ["catch what ends them"] = function()
      while true do pcall(require("corun").sleep, 1) end
    end,
    ["wait for a task that loops"] = function()
      require("corun").spawn(function() while true do end end)
    end,
    ["wait for jobs of their own"] = function()
      require("corun").pool.run(function() while true do end end)
    end,
  }

  it("are ended by a deadline of their caller", function()
    each_job(jobs, function(p, name, job)
      local ok, err = corun.timeout(0.03, p.run, p, job)
      assert.is_nil(ok, name)
      assert.equal("ETIMEDOUT", err.code, name)
    end)
  end)

  it("do not keep the program, however it ends", function()
    for how, status in pairs{
      ["corun.sleep(0.05)"] = 0,
      ["corun.sleep(0.05) error('end', 0)"] = 1,
      ["corun.sleep(0.05) corun.exit(3)"] = 3,
      ["corun.sleep(0.05) os.exit(4)"] = 4,
    } do
      local r = program.code(([[
        local corun = require "corun"
        for _, job in ipairs{
          function() while true do end end,
          function() while true do pcall(require("corun").sleep, 1) end end,
          function() require("corun").pool.run(function() while true do end end) end,
          function() require("corun").sleep(100) end,
        } do
          corun.daemon(function() corun.pool.run(job) end)
        end
        ]]) .. how)
      assert.equal(status, r.status, how .. r.err)
    end
  end)
end)

describe("jobs that want all memory", function()
  it("fail with ENOMEM", function()
    each_job({
      ["tables"] = function()
        local list = {}
        for i = 1, math.huge do list[i] = {} end
        return list
      end,
      ["a string"] = function()
        local s = "x"
        while true do s = s .. s end
      end,
      ["coroutines"] = function()
        local list = {}
        for i = 1, math.huge do list[i] = coroutine.create(function() end) end
        return list
      end,
      ["in a coroutine"] = function()
        coroutine.wrap(function()
          local list = {}
          for i = 1, math.huge do list[i] = ("x"):rep(i) end
          return list
        end)()
      end,
      ["in a task"] = function()
        require("corun").spawn(function()
          local list = {}
          for i = 1, math.huge do list[i] = {list} end
          return list
        end)
      end,
      ["a result"] = function() return ("x"):rep(16 << 20) end,
    }, function(p, name, job)
      local ok, err = pcall(p.run, p, job)
      assert.is_false(ok, name)
      assert.equal("ENOMEM", err.code, name)
    end, {size = 1, memory = 6 << 20})
  end)

  it("get on when they catch the error", function()
    local p <close> = pool.new{size = 1, memory = 6 << 20}
    assert.is_true(p:run(function()
      local failed = 0
      for _ = 1, 5 do
        if not pcall(string.rep, "x", 64 << 20) then failed = failed + 1 end
      end
      return failed == 5
    end))
  end)
end)

describe("jobs that return what cannot cross", function()
  it("say where it was", function()
    each_job({
      ["cannot transfer thread at result 1"] = function() return coroutine.create(print) end,
      ["cannot transfer userdata (FILE*) at result 2"] = function() return 1, io.stdout end,
      ["cannot transfer thread at result 1 .a[1]"] = function()
        return {a = {coroutine.create(print)}}
      end,
      ["cannot transfer table with an unregistered metatable at result 1"] = function()
        return setmetatable({}, {})
      end,
      ["cannot transfer thread at result 1 (upvalue co)"] = function()
        local co = coroutine.create(print)
        return function() return co end
      end,
    }, function(p, want, job)
      local ok, err = pcall(p.run, p, job)
      assert.is_false(ok)
      assert.same({"ETRANSFER", want}, {err.code, err.message})
    end)
  end)
end)

describe("jobs that break their state", function()
  it("harm no other job, and not the program", function()
    each_job({
      ["exit"] = {function() os.exit(3) end, "a worker cannot end the program"},
      ["exit in a coroutine"] = {function() coroutine.wrap(os.exit)(3) end,
        "a worker cannot end the program"},
      ["corun.exit"] = {function() require("corun").exit(3) end, "a worker cannot end the program"},
      ["close the pool"] = {function() require("corun").pool.close() end, "cannot close the pool"},
      ["close files twice"] = {function()
        io.stdin:close()
        io.stdin:close()
        local f = io.tmpfile()
        f:close()
        f:close()
      end, "attempt to use a closed file"},
      ["close the running coroutine"] = {function() coroutine.close(coroutine.running()) end,
        "coroutine"},
      ["leave a server open"] = {function()
        local net = require("corun").net
        local listener = net.listen("127.0.0.1:0")
        listener:close()
        listener:close()
        net.listen("127.0.0.1:0")
      end},
      ["leave a daemon"] = {function()
        require("corun").daemon(function() require("corun").sleep(100) end)
      end},
      ["leave a hook"] = {function() debug.sethook(function() end, "", 100) end},
      ["leave a finaliser that raises"] = {function()
        setmetatable({}, {__gc = function() error("finaliser") end})
        warn("@off")
        collectgarbage()
        warn("@on")
      end},
      ["lose modules"] = {function()
        for name in pairs(package.loaded) do package.loaded[name] = nil end
      end},
      ["stop the collector"] = {function() collectgarbage("stop") end},
      ["make globals strict"] = {function()
        setmetatable(_G, {__index = function(_, k) error("no global " .. k, 2) end})
      end},
    }, function(p, name, job)
      local ok, err = pcall(p.run, p, job[1])
      assert.equal(not job[2], ok, name .. ": " .. tostring(err))
      if job[2] then assert.matches(job[2], tostring(err), 1, true, name) end
    end)
  end)

  it("that close a shared channel wake who waits for it", function()
    local p <close> = pool.new{size = 2}
    local channel = pool.channel()
    corun.scope(function(s)
      local waits = s:async(p.run, p, function(c) return c:recv() end, channel)
      p:run(function(c)
        c:close()
        c:close()
      end, channel)
      assert.is_nil(corun.await(waits))
    end)
  end)
end)

describe("jobs that change the state of their worker", function()
  it("by hooks and globals break nothing but what is theirs", function()
    each_job({
      ["a hook that raises"] = function() debug.sethook(error, "", 1) end,
      ["a hook that raises in a spin"] = function()
        debug.sethook(function() error("hooked", 0) end, "", 1)
        while true do end
      end,
      ["globals"] = function()
        for _, k in ipairs{"pcall", "error", "type", "setmetatable", "string"} do _G[k] = nil end
      end,
    }, function(p, _, job) pcall(p.run, p, job) end)
  end)

  it("by the name and the locals of their task leave them to no other job", function()
    local p <close> = pool.new{size = 1}
    p:run(function()
      local c = require "corun"
      c.locals().user, c.current().name = "tea", "made"
      c.pool.run(function() c.locals().user, c.current().name = "cake", "baked" end)
    end)
    local function ask()
      local c = require "corun"
      return c.locals().user, c.current().name
    end
    assert.same({n = 2}, table.pack(p:run(ask)))
    assert.same({n = 2}, table.pack(p:run(function(fn) return require("corun").pool.run(fn) end,
      ask)))
  end)

  it("by cancelling their task end no worker for good", function()
    local p <close> = pool.new{size = 1}
    local function cancel()
      local c = require "corun"
      c.current():cancel()
      c.yield()
    end
    assert.equal("ECANCELED", select(2, pcall(p.run, p, cancel)).code)
    assert.equal("next", p:run(function() return "next" end))
    assert.equal("inner", p:run(function(fn)
      local run = require("corun").pool.run
      for _ = 1, 3 do pcall(run, fn) end
      return run(function() return "inner" end)
    end, cancel))
    assert.equal("next", p:run(function() return "next" end))
    assert.equal(0, p:stats().running)
  end)

  it("so that it cannot go on are answered by EWORKER, and the program ends", function()
    local p <close> = pool.new{size = 1}
    p:run(function()
      for level = 1, math.huge do
        local info = debug.getinfo(level, "Sf")
        if not info then return end
        for i = 1, info.source == "=[corun worker.lua]" and 250 or 0 do
          if debug.getupvalue(info.func, i) == "pcall" then debug.setupvalue(info.func, i, nil) end
        end
      end
    end)
    local ok, err = pcall(p.run, p, function() return 1 end)
    assert.is_false(ok)
    assert.equal("EWORKER", err.code)
    assert.matches("pcall", err.message)
    assert.equal(0, p:stats().running)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Pools of processes: what is the same as with threads, and what a process of its own brings. How
-- jobs and pools are stopped is in pool_process_stop_spec.lua, how workers die in
-- pool_process_death_spec.lua.
local corun = require "corun"
local eventually = require("tests.spec.support.eventually")
local children = dofile("tests/spec/support/children.lua")
local pools = dofile("tests/spec/support/process_pools.lua")

local pool, scope, sleep = corun.pool, corun.scope, corun.sleep
local new, raised = pools.new, pools.raised
local pid, script = pools.pid, pools.script

-- An `it` that leaves no descriptor and no child behind.
local function test(name, fn)
  it(name, children.checked(fn))
end

describe("a job in a process", function()
  test("gets its arguments and gives its results", function()
    local p <close> = new()
    assert.equal(3, p:run(function(a, b) return a + b end, 1, 2))
    local r = table.pack(p:run(function(...) return select("#", ...), nil, ... end, nil, -0.0, nil))
    assert.same({3, nil, nil, -0.0, nil, n = 5}, r)
    assert.equal(0, select("#", p:run(function() end)))
    local ok, err = p:run(function() return nil, "as it is" end)
    assert.is_nil(ok)
    assert.equal("as it is", err)
    local list = {1}
    list.self = list
    local copy = p:run(function(t) return t end, list)
    assert.equal(copy, copy.self)
  end)

  test("may be handed functions, and give some", function()
    local p <close> = new()
    local n = 5
    local function add(x) return x + n end
    assert.equal(7, p:run(function(f) return f(2) end, add))
    assert.equal("abc", p:run(string.lower, "ABC"))
    local made = p:run(function(x) return function(y) return x * y end end, 6)
    assert.equal(42, made(7))
    assert.equal(corun.json.null, p:run(function() return require("corun.json").null end))
  end)

  test("runs in a process of its own, with the whole library", function()
    local p <close> = new()
    assert.are_not.equal(pid(), p:run(pid))
    assert.equal(p:run(pid), p:run(pid))
    assert.equal("done", p:run(function()
      local c = require "corun"
      local list = c.map({1, 2, 3}, function(i)
        c.sleep(0.001)
        return i * i
      end)
      return list[3] == 9 and c.process.run{"echo", "done"}.stdout:match("%w+")
    end))
  end)

  test("finds what this program finds: folder, environment, package.path", function()
    local path, cpath = package.path, package.cpath
    package.path, package.cpath = "./tests/fixtures/?.lua;" .. path, "./nowhere/?.so;" .. cpath
    local p <close> = new()
    package.path, package.cpath = path, cpath
    local there, cthere, folder, home, found = p:run(function()
      return package.path, package.cpath, require("lfs").currentdir(), os.getenv("HOME"),
        package.searchpath("cli.program", package.path)
    end)
    assert.equal("./tests/fixtures/?.lua;" .. path, there)
    assert.equal("./nowhere/?.so;" .. cpath, cthere)
    assert.equal(require("lfs").currentdir(), folder)
    assert.equal(os.getenv("HOME"), home)
    assert.equal("./tests/fixtures/cli/program.lua", found)
  end)

  test("has the output of this program, in order, and no input", function()
    local out, status = script([[
      local p <close> = require("corun").pool.new{kind = "process", size = 1}
      for i = 1, 3 do
        print("here", i)
        p:run(function(n)
          print("there", n)
          io.stderr:write("")
        end, i)
      end
      print(p:run(function() return io.read("a"), io.read("l") end))]])
    assert.equal("here\t1\nthere\t1\nhere\t2\nthere\t2\nhere\t3\nthere\t3\n\tnil\n", out)
    assert.equal(0, status)
  end)

  test("has no descriptor of this program but output and errors", function()
    local kept <close> = assert(io.open("README.md")) -- is not closed on exec
    local _ <close> = assert(corun.net.listen("127.0.0.1:0"))
    assert.is_not_nil(kept)
    local p <close> = new()
    local other <close> = new()
    other:run(function() end)
    local sockets = 0
    for fd, target in pairs(p:run(function()
      local lfs = require "lfs"
      local targets = {}
      for name in lfs.dir("/proc/self/fd") do
        targets[name] = lfs.symlinkattributes("/proc/self/fd/" .. name, "target")
      end
      return targets
    end)) do
      assert.is_nil(target:find("README", 1, true))
      if tonumber(fd) > 2 and target:find("^socket:") then sockets = sockets + 1 end
      assert.is_true(fd ~= "0" or target == "/dev/null", target)
    end
    assert.equal(1, sockets)
  end)

  test("carries 5 MB there and back", function()
    local p <close> = new()
    local text = ("\0abc"):rep(5 << 18)
    assert.is_true(p:run(function(s) return s end, text) == text)
    local list = {}
    for i = 1, 200000 do list[i] = i end
    assert.same(list, p:run(function(t) return t end, list))
  end)

  test("runs beside others, and the loop is free", function()
    local p <close> = new{size = 2}
    local ticks = 0
    local one, other
    scope(function(s)
      s:daemon(function()
        while true do
          sleep(0.001)
          ticks = ticks + 1
        end
      end)
      one, other = corun.gather(
        function() return p:run(function(f) require("corun").sleep(0.1) return f() end, pid) end,
        function() return p:run(function(f) require("corun").sleep(0.1) return f() end, pid) end)
    end)
    assert.are_not.equal(one, other)
    assert.equal(2, p:stats().workers)
    assert.is_true(ticks > 5, ticks)
  end)

  test("may be asked for by a job, in a thread or in a process", function()
    local function ask(get)
      local p <close> = require("corun").pool.new{kind = "process", size = 1}
      return p:run(get), get()
    end
    local threads <close> = pool.new{size = 1}
    local there, here = threads:run(ask, pid)
    assert.equal(pid(), here)
    assert.are_not.equal(there, here)
    local p <close> = new()
    there, here = p:run(ask, pid)
    assert.are_not.equal(pid(), here)
    assert.are_not.equal(there, here)
  end)

  test("may wait for jobs of its own, which run in its process", function()
    local p <close> = new()
    assert.equal(p:run(pid), p:run(function(f) return require("corun").pool.run(f) end, pid))
    assert.equal(5, p:run(function()
      local channel = require("corun").pool.channel(1)
      require("corun").pool.run(function(c) c:send(5) end, channel)
      return channel:recv()
    end))
  end)
end)

describe("map and each over processes", function()
  test("keep the order, and give results as they come", function()
    local p <close> = new{size = 2}
    local list = {}
    for i = 1, 2000 do list[i] = i end
    for _, o in ipairs{{}, {chunk = 7, limit = 3}} do
      local out = p:map(list, function(x) return x * 2 end, o)
      assert.equal(2000, out.n)
      for i = 1, 2000 do assert.equal(2 * i, out[i]) end
    end
    local seen, go <close> = {}, assert(corun.fs.temp())
    local path = go:path()
    for item, result in p:each({"late", "early"}, function(s)
      if s == "late" then
        while require("corun.fs").stat(path).size == 0 do require("corun").sleep(0.002) end
      end
      return s .. "!"
    end) do
      seen[#seen + 1] = {item, result}
      if item == "early" then assert(corun.fs.write(path, "go")) end
    end
    assert.same({{"early", "early!"}, {"late", "late!"}}, seen)
  end)

  test("S2 end with the first failure, and cancel the rest", function()
    local p <close> = new{size = 2}
    local ok, err = pcall(p.map, p, {1, 2, 3, 4, 5, 6}, function(x)
      if x == 3 then return nil, "bad item" end
      if x > 3 then require("corun").sleep(10) end
      return x
    end, {chunk = 1})
    assert.is_false(ok)
    assert.equal("bad item", err)
    assert.equal(0, p:stats().running)
    local items = {}
    for item in p:each({1, 2, 3, 4, 5, 6}, function(x)
      if x > 2 then require("corun").sleep(10) end
    end, {limit = 1}) do
      items[#items + 1] = item
      if item == 2 then break end
    end
    assert.same({1, 2}, items)
    assert.equal(0, p:stats().running)
  end)
end)

describe("what cannot cross to a process", function()
  test("is refused before anything is queued, with its path", function()
    local p <close> = new()
    for _, thing in ipairs{pool.channel(), pool.buffer(5), pool.counter()} do
      for where, call in pairs{
        [" at argument 2 .box[1]"] = function() p:run(function() end, {box = {thing}}) end,
        [" at argument 1 (upvalue thing)"] = function() p:run(function() return thing end) end,
        [" at argument 2"] = function() p:map({thing}, function() end) end,
      } do
        local ok, err = pcall(call)
        assert.is_false(ok)
        assert.matches("cannot transfer userdata (", err, 1, true)
        assert.matches(") to another process" .. where, err, 1, true)
      end
      local ok, err = pcall(new, {init = function() return thing end})
      assert.is_false(ok)
      assert.matches("to another process at init 1 (upvalue thing)", err, 1, true)
    end
    local _, err = pcall(p.run, p, function() end, coroutine.create(print))
    assert.matches("cannot transfer thread to another process at argument 2", err, 1, true)
    assert.equal(0, p:stats().workers)
  end)

  test("is refused as a result, and the worker lives", function()
    local p <close> = new()
    local first = p:run(pid)
    local err = raised("ETRANSFER", p.run, p, function()
      return {at = require("corun").pool.channel()}
    end)
    assert.matches("cannot transfer userdata (pool channel) to another process at result 1 .at",
      err.message, 1, true)
    raised("ETRANSFER", p.run, p, function() return coroutine.create(print) end)
    assert.matches("pool counter", select(2, pcall(p.run, p, function()
      error(require("corun").pool.counter())
    end)))
    assert.equal(first, p:run(pid))
  end)

  test("is told of the function that is none, at the caller's line", function()
    local p <close> = new()
    local ok, err = pcall(function() p:run(1) end)
    assert.is_false(ok)
    assert.matches("^tests/spec/pool_process_spec.lua:%d+: run needs a function, got number$", err)
  end)
end)

describe("errors of jobs in processes", function()
  test("come back as they were raised, with both tracebacks", function()
    local p <close> = new{name = "images"}
    local ok, err = pcall(p.run, p, function() error("text") end)
    assert.is_false(ok)
    assert.matches("^tests/spec/pool_process_spec.lua:%d+: text$", err)
    ok, err = pcall(p.run, p, function() error({code = 7, list = {1, 2}}) end)
    assert.is_false(ok)
    assert.same({code = 7, list = {1, 2}}, err)
    err = raised("ENOENT", p.run, p, function()
      assert(require("corun").fs.read("/no/such/file"))
    end)
    assert.equal("/no/such/file", err.target)
    assert.equal(4, p:stats().failed + 1)
    local out = script([[
      local p = require("corun").pool.new{kind = "process", size = 1, name = "images"}
      local function deep() error("from the depth") end
      local function caller() p:run(function() deep() end) end
      caller()]])
    assert.matches("from the depth", out, 1, true)
    assert.matches("in upvalue 'deep'.*run in pool images by.*in %w+ 'caller'", out)
  end)

  test("S33 os.exit raises, and a deadlock is told", function()
    local p <close> = new()
    local first = p:run(pid)
    assert.matches("a worker cannot end the program",
      select(2, pcall(p.run, p, function() os.exit(3) end)), 1, true)
    local out = script([[
      local p <close> = require("corun").pool.new{kind = "process", size = 1}
      print(pcall(p.run, p, function() return require("corun").channel():recv() end))
      print(p:run(function() return "lives" end))]])
    assert.matches("deadlock", out, 1, true)
    assert.matches("\nlives\n", out, 1, true)
    assert.equal(first, p:run(pid))
  end)

  test("a job over the memory limit fails, and the worker lives", function()
    local p <close> = new{memory = 8 << 20, name = "small"}
    local first = p:run(pid)
    for _ = 1, 2 do
      local err = raised("ENOMEM", p.run, p, function()
        local list = {}
        for i = 1, math.huge do list[i] = {i} end
        return list
      end)
      assert.equal("small", err.target)
      assert.matches("8388608 bytes", err.message, 1, true)
    end
    assert.equal(first, p:run(pid))
  end)
end)

describe("init of processes", function()
  test("runs once in each, before its first job", function()
    local p <close> = new{size = 2, init = function()
      rawset(_G, "inits", (rawget(_G, "inits") or 0) + 1)
    end}
    for _ = 1, 5 do assert.equal(1, p:run(function() return rawget(_G, "inits") end)) end
    local q <close> = new{init = "corun.json"}
    assert.is_true(q:run(function() return package.loaded["corun.json"] ~= nil end))
  end)

  test("that fails fails all jobs, and says why", function()
    for _, init in ipairs{function() error("no database", 0) end, "no.such.module"} do
      local p <close> = new{size = 2, init = init, name = "db"}
      for _ = 1, 2 do
        local err = raised("EWORKER", p.run, p, function() end)
        assert.equal("db", err.target)
        assert.matches(type(init) == "string" and "no.such.module" or "no database", err.message,
          1, true)
      end
    end
  end)

  test("goes on when the first caller gives up, and is not run again", function()
    local p <close> = new{init = function()
      require("corun").sleep(1)
      rawset(_G, "ready", "yes")
    end}
    assert.is_nil((corun.timeout(0.1, p.run, p, pid)))
    assert.equal(1, p:stats().idle)
    assert.equal("yes", p:run(function() return rawget(_G, "ready") end))
    assert.equal(1, p:stats().workers)
  end)
end)

describe("worker processes", function()
  test("start with the first job, and as many as are needed", function()
    local p <close> = new{size = 4}
    assert.equal(0, p:stats().workers)
    for _ = 1, 3 do p:run(pid) end
    assert.equal(1, p:stats().workers)
  end)

  test("end when they idle, and are started again", function()
    local p <close> = new{size = 2, idle = 0.05}
    local first, after = p:run(function(get)
      local before = get()
      require("corun").sleep(0.2) -- which is no idling
      return before, get()
    end, pid)
    assert.equal(first, after)
    eventually(function() return p:stats().workers == 0 end)
    assert.are_not.equal(first, p:run(pid))
    for _ = 1, 30 do -- a job may meet one that leaves
      assert.equal(5, p:run(function() return 5 end))
      sleep(0.045 + math.random() / 100)
    end
  end)

  test("may leave at once, or never", function()
    for _, idle in ipairs{0, math.huge} do
      local p <close> = new{idle = idle, size = 2}
      for i = 1, 5 do assert.equal(i, p:run(function(x) return x end, i)) end
    end
  end)

  test("are replaced after max_jobs, between jobs", function()
    local p <close> = new{max_jobs = 3}
    local seen, count = {}, 0
    for i = 1, 9 do
      local id = p:run(pid)
      if not seen[id] then
        seen[id], count = true, count + 1
        assert.equal(1, i % 3)
      end
    end
    assert.equal(3, count)
    assert.equal(9, p:stats().done)
    local out = p:map({1, 2, 3, 4, 5, 6, 7}, function(x) return x + 1 end, {chunk = 1})
    assert.same({2, 3, 4, 5, 6, 7, 8, n = 7}, out)
  end)

  test("S38 that idle keep no program alive, nor hide its deadlock", function()
    local out, status = script([[
      local p = require("corun").pool.new{kind = "process", size = 2}
      print(p:run(function() return "ran" end))]])
    assert.equal("ran\n", out)
    assert.equal(0, status)
    out, status = script([[
      local p = require("corun").pool.new{kind = "process", size = 2}
      p:run(function() end)
      require("corun").channel():recv()]])
    assert.matches("deadlock", out, 1, true)
    assert.equal(13, status)
  end)

  test("of a pool that is left to the collector end", function()
    local id = new():run(pid)
    collectgarbage()
    collectgarbage()
    children.wait_gone(id)
    eventually(function() return #children.list() == 0 end)
  end)

  test("stats tell what happened", function()
    local p <close> = new{size = 2, name = "counted"}
    p:run(function() end)
    pcall(p.run, p, function() error("x") end)
    corun.timeout(0.05, p.run, p, function() require("corun").sleep(1) end)
    assert.same({size = 2, workers = 1, idle = 1, queued = 0, running = 0, done = 1, failed = 1,
      cancelled = 1, name = "counted"}, p:stats())
    assert.equal("pool counted (1 of 2 workers, 0 jobs run, 0 wait)", tostring(p))
  end)

  test("are named in the task tree", function()
    local out = script([[
      local corun = require "corun"
      local p <close> = corun.pool.new{kind = "process", size = 1, name = "images"}
      local job = corun.async(p.run, p, function() require("corun").sleep(1000) end)
      while p:stats().running == 0 do corun.sleep(0.001) end
      corun.debug.tree()
      job:cancel()
      corun.try(job.await, job)]])
    assert.matches("waiting for data from worker of images", out, 1, true)
  end)

  test("are as many as --threads says where no number is given", function()
    assert.equal("3\n", (script(
      'print(require("corun").pool.new{kind = "process"}:stats().size)', "--threads=3")))
  end)

  test("take the options they know, and say which need them", function()
    for message, o in pairs{
      ['option "kind" for pool.new must be "thread" or "process", got "fork"'] = {kind = "fork"},
      ['option "retries" for pool.new needs kind = "process"'] = {retries = 2},
      ['option "size" for pool.new must be an integer from 1 to 1024, got 5000'] =
        {kind = "process", size = 5000},
      ['option "retries" for pool.new must be an integer from 0 to 1000, got 1.5'] =
        {kind = "process", retries = 1.5},
      ['unknown option "max_job" for pool.new (did you mean "max_jobs"?)'] =
        {kind = "process", max_job = 2},
    } do
      local ok, err = pcall(function() pool.new(o) end)
      assert.is_false(ok)
      assert.matches("^tests/spec/pool_process_spec.lua:%d+: ", err)
      assert.matches(message, err, 1, true)
    end
    assert.has_error(function() pool.new{kind = "process", max_jobs = 0} end)
    assert.has_error(function() pool.new{kind = "process", init = 5} end)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Pools of processes: workers that die or say nonsense, what becomes of their jobs, and that none
-- outlives its program.
local corun = require "corun"
local eventually = require("tests.spec.support.eventually")
local children = dofile("tests/spec/support/children.lua")
local files = dofile("tests/spec/support/files.lua")
local pools = dofile("tests/spec/support/process_pools.lua")
local program = dofile("tests/fixtures/cli/program.lua")

local scope, sleep = corun.scope, corun.sleep
local new, raised = pools.new, pools.raised
local crash, pid, script = pools.crash, pools.pid, pools.script
local crash_here = assert(package.loadlib(crash, "luaopen_crash"))()

local KILL, SEGV = 9, 11

-- An `it` that leaves no descriptor and no child behind.
local function test(name, fn)
  it(name, children.checked(fn))
end

-- A job that ends its process by a function of tests/ext/crash.c.
local function die(how, ...)
  return package.loadlib(crash, "luaopen_crash")()[how](...)
end

describe("the death of a worker process", function()
  test("is raised where its job was called, with the signal", function()
    local p <close> = new{name = "images"}
    local first = p:run(pid)
    local err = raised("EWORKER", p.run, p, die, "signal", SEGV)
    assert.equal("SIGSEGV", err.signal)
    assert.equal(first, err.pid)
    assert.is_nil(err.status)
    assert.equal(("run images: worker process %d was ended by SIGSEGV (EWORKER)"):format(first),
      tostring(err))
    assert.are_not.equal(first, p:run(pid))
    assert.equal("SIGKILL", raised("EWORKER", p.run, p, die, "signal", KILL).signal)
    assert.equal(2, p:stats().failed)
    assert.equal(2, p:stats().done)
  end)

  test("is raised with the exit status where it was no signal", function()
    local p <close> = new()
    for _, status in ipairs{3, 0} do
      local err = raised("EWORKER", p.run, p, die, "exit", status)
      assert.equal(status, err.status)
      assert.is_nil(err.signal)
      assert.matches("ended with exit status " .. status, err.message, 1, true)
    end
  end)

  test("comes from outside to one that waits, spins or holds its thread", function()
    local p <close> = new()
    for _, job in ipairs{
      function() require("corun").sleep(1000) end,
      function() while true do end end,
      function() die("hold", 1000) end,
    } do
      local id = p:run(pid)
      scope(function(s)
        local task = s:async(p.run, p, job)
        eventually(function() return p:stats().running == 1 end)
        sleep(0.02)
        crash_here.kill(id, KILL)
        assert.equal("SIGKILL", raised("EWORKER", task.await, task).signal)
      end)
    end
  end)

  test("by SIGTERM runs the clean-up of its job, and is a death all the same", function()
    local p <close> = new()
    local id = p:run(pid)
    local dir <close>, path = files.folder()
    assert.is_not_nil(dir)
    local task = pools.under_way(p, function(name)
      local c = require "corun"
      local _ <close> = c.defer(function() assert(c.fs.write(name, "cleaned")) end)
      assert(c.fs.write(name, "begun"))
      c.sleep(1000)
    end, path .. "/mark")
    eventually(function() return files.get(path .. "/mark") == "begun" end)
    crash_here.kill(id, 15)
    assert.equal("SIGTERM", raised("EWORKER", task.await, task).signal)
    assert.equal("cleaned", files.get(path .. "/mark"))
  end)

  test("loses no other job", function()
    local p <close> = new{size = 2}
    local results = {}
    scope(function(s)
      for i = 1, 20 do
        s:spawn(function()
          if i % 4 == 0 then
            results[i] = raised("EWORKER", p.run, p, die, "signal", KILL).signal
          else
            results[i] = p:run(function(n)
              require("corun").sleep(0.005)
              return n
            end, i)
          end
        end)
      end
    end)
    for i = 1, 20 do assert.equal(i % 4 == 0 and "SIGKILL" or i, results[i]) end
  end)

  test("ends a map, and is raised by each", function()
    local p <close> = new{size = 2}
    local function job(x)
      if x == 3 then die("signal", KILL) end
      return x
    end
    raised("EWORKER", p.map, p, {1, 2, 3, 4, 5}, job, {chunk = 1})
    raised("EWORKER", function()
      for item, x in p:each({1, 2, 3, 4, 5}, job) do assert.equal(item, x) end
    end)
    assert.equal(0, p:stats().running)
  end)

  test("while it idles is nobody's", function()
    local p <close> = new()
    for _ = 1, 5 do
      local id = p:run(pid)
      crash_here.kill(id, KILL)
      children.wait_gone(id)
      eventually(function() return p:stats().workers == 0 end)
      assert.are_not.equal(id, p:run(pid))
    end
    assert.equal(0, p:stats().failed)
  end)

  test("of an init goes on to the limit, then fails all jobs", function()
    local p <close> = new{crash_limit = 3, init = function() die("signal", SEGV) end, name = "bad"}
    for _ = 1, 2 do
      local err = raised("EWORKER", p.run, p, function() end)
      assert.matches("3 worker processes in a row have ended without an answer; the last: "
        .. "worker process %d+ was ended by SIGSEGV$", err.message)
    end
  end)

  test("that only jobs bring counts in a row, until one is answered", function()
    local p <close> = new{crash_limit = 3}
    for _ = 1, 3 do
      for _ = 1, 2 do
        assert.equal("SIGKILL", raised("EWORKER", p.run, p, die, "signal", KILL).signal)
      end
      pcall(p.run, p, error, "an answer too")
    end
    for _ = 1, 3 do
      assert.equal("SIGKILL", raised("EWORKER", p.run, p, die, "signal", KILL).signal)
    end
    assert.matches("3 worker processes in a row", raised("EWORKER", p.run, p, pid).message)
    scope(function(s)
      local q <close> = new{crash_limit = 1}
      local one = s:async(q.run, q, function()
        require("corun").sleep(0.05)
        die("signal", KILL)
      end)
      eventually(function() return q:stats().running == 1 end)
      local other = s:async(q.run, q, pid) -- which waits
      assert.equal("SIGKILL", raised("EWORKER", one.await, one).signal)
      assert.matches("in a row", raised("EWORKER", other.await, other).message)
    end)
  end)
end)

describe("retries", function()
  -- A job that dies until it was called so often.
  local function dies_until(name, count)
    local f <close> = assert(io.open(name, "a+"))
    f:write("x")
    f:flush()
    f:seek("set")
    local calls = #f:read("a")
    if calls < count then die("signal", KILL) end
    return calls
  end

  test("run a job again whose worker has died, so many times", function()
    local dir <close>, path = files.folder()
    assert.is_not_nil(dir)
    local p <close> = new{retries = 2}
    assert.equal(3, p:run(dies_until, path .. "/a", 3))
    assert.equal("SIGKILL", raised("EWORKER", p.run, p, dies_until, path .. "/b", 9).signal)
    assert.equal("xxx", files.get(path .. "/b"))
    assert.same({3, 4, 5, n = 3}, p:map({1, 1, 1}, function()
      return dies_until(path .. "/c", 3)
    end, {chunk = 3}))
    assert.equal(1, p:stats().failed)
    assert.equal(2, p:stats().done)
  end)

  test("are not for jobs that raise, nor for those that were cancelled", function()
    local dir <close>, path = files.folder()
    assert.is_not_nil(dir)
    local p <close> = new{retries = 5, grace = 0.1}
    local function note(name)
      local f <close> = assert(io.open(name, "a"))
      f:write("x")
    end
    assert.is_false(pcall(p.run, p, function(write, name)
      write(name)
      error("ordinary")
    end, note, path .. "/a"))
    assert.equal("x", files.get(path .. "/a"))
    local task = pools.under_way(p, function(write, name)
      write(name)
      die("hold", 1000)
    end, note, path .. "/b")
    eventually(function() return files.get(path .. "/b") == "x" end)
    task:cancel()
    corun.try(task.await, task)
    assert.equal("x", files.get(path .. "/b"))
  end)
end)

describe("a worker that is no worker #heavy", function()
  local READY = [[printf 'crn\020\0\0\0\0\0\0\0\0' >&0; ]]

  -- A program of the shell whose standard input is the socket.
  local function with_program(text, fn)
    local dir <close>, path = files.folder()
    assert.is_not_nil(dir)
    files.put(path .. "/worker", "#!/bin/sh\n" .. text .. "\n")
    program.sh("chmod +x " .. path .. "/worker")
    local p <close> = new{program = path .. "/worker", crash_limit = 2, grace = 0.2}
    return fn(p)
  end

  for said, text in pairs{
    ["was killed: what came is no frame"] = "echo 'this is none' >&0; cat >/dev/null",
    ["was killed: it is no worker"] = [[printf 'crn\003\0\0\0\0\0\0\0\0' >&0; cat >/dev/null]],
    ["ended with exit status 7"] = "exit 7",
    ["ended with exit status 0"] = [[printf 'crn\020\0\0' >&0]],
    ["was ended by SIGKILL"] = "kill -9 $$",
  } do
    test("is told before it is given a job: " .. said, function()
      with_program(text, function(p)
        for _ = 1, 2 do
          local err = raised("EWORKER", p.run, p, function() end)
          assert.matches("2 worker processes in a row have ended without an answer", err.message)
          assert.matches(said, err.message, 1, true)
        end
      end)
    end)
  end

  for name, answer in pairs{
    ["of another kind"] = [[printf 'crn\011\0\0\0\0\0\0\0\0' >&0]],
    ["with another mark"] = [[printf 'CRN\001\0\0\0\0\0\0\0\0' >&0]],
    ["of more bytes than there are"] = [[printf 'crn\000\377\377\377\377\377\377\377\377' >&0]],
    ["of a terabyte, of which little comes"] = [[printf 'crn\000\0\0\0\0\377\0\0\0abc' >&0; exit]],
    ["cut in its head"] = [[printf 'crn\000\0' >&0; exit]],
    ["cut in its bytes"] = [[printf 'crn\000\05\0\0\0\0\0\0\0abc' >&0; exit]],
    ["that nobody asked to be a cancellation"] = [[printf 'crn\003\0\0\0\0\0\0\0\0' >&0; exit]],
  } do
    test("ends with its answer " .. name, function()
      with_program(READY .. answer .. "; sleep 1000", function(p)
        raised("EWORKER", p.run, p, function() end)
        assert.equal(0, p:stats().workers)
      end)
    end)
  end

  test("whose answers are no messages gives errors", function()
    for _, answer in ipairs{
      [[printf 'crn\000\05\0\0\0\0\0\0\0corun' >&0]],
      [[printf 'crn\001\05\0\0\0\0\0\0\0corun' >&0]],
      [[printf 'crn\002\0\0\0\0\0\0\0\0' >&0]],
    } do
      with_program(READY .. answer .. "; cat >/dev/null", function(p)
        local ok, err = pcall(p.run, p, function() end)
        assert.is_false(ok)
        assert.is_string(tostring(err))
      end)
    end
  end)

  test("may be one that a job has made one, by its socket", function()
    local p <close> = new()
    raised("EWORKER", p.run, p, function()
      local lfs = require "lfs"
      for name in lfs.dir("/proc/self/fd") do
        local target = lfs.symlinkattributes("/proc/self/fd/" .. name, "target")
        if tonumber(name) and target and target:find("^socket:") then
          die("write", tonumber(name), "not what a pool expects to read")
        end
      end
      require("corun").sleep(1000)
    end)
    assert.equal("lives", p:run(function() return "lives" end))
  end)

  test("is refused where there is none", function()
    local p <close> = new{program = "/no/such/program"}
    local err = raised("EWORKER", p.run, p, function() end)
    assert.equal("no worker process can be started: no such program", err.message)
    assert.equal("ENOENT", err.cause.code)
    assert.equal(0, p:stats().running + p:stats().queued)
    local out, status = script("print(1)", "--worker=x")
    assert.matches("a worker process is started by its pool alone", out, 1, true)
    assert.equal(1, status)
  end)
end)

describe("without descriptors", function()
  test("jobs fail, or wait for the workers there are, and go on after", function()
    local out = program.sh([[ulimit -n 64; exec "$CORUN" -e '
      local corun = require "corun"
      local p <close> = corun.pool.new{kind = "process", size = 2}
      local q <close> = corun.pool.new{kind = "process", size = 2}
      local function pid() return io.open("/proc/self/stat"):read("n") end
      local first = q:run(pid)
      local kept = {}
      repeat
        local f = io.open("/dev/null")
        kept[#kept + 1] = f
      until not f
      print(select(2, pcall(p.run, p, pid)).code)
      print(corun.gather(
        function() return q:run(pid) == first end,
        function() return q:run(pid) == first end,
        function() return q:run(pid) == first end))
      for _, f in ipairs(kept) do f:close() end
      print(math.type(p:run(pid)))
      local one, other = corun.gather(
        function() return q:run(function(f) require("corun").sleep(0.2) return f() end, pid) end,
        function() return q:run(function(f) require("corun").sleep(0.2) return f() end, pid) end)
      print(one ~= other)']])
    assert.equal("EAGAIN\ntrue\ttrue\ttrue\ninteger\ntrue\n", out.out, out.err)
  end)
end)

describe("no worker outlives its program", function()
  local JOBS = [[
    local corun = require "corun"
    local p = corun.pool.new{kind = "process", size = 3}
    local function pid() return io.open("/proc/self/stat"):read("n") end
    local told = corun.channel(3)
    for i = 1, 3 do
      corun.daemon(p.run, p, function(get, kind, library)
        local name = os.tmpname()
        print(get())
        io.stdout:flush()
        os.remove(name)
        if kind == 1 then require("corun").sleep(1000) end
        if kind == 2 then while true do end end
        package.loadlib(library, "luaopen_crash")().hold(1000)
      end, pid, i, CRASH)
    end
  ]]

  -- Start such a program; when its three jobs run `fn` is to end it.
  local function outlived(ending, fn)
    local text = ("CRASH = %q\n"):format(crash) .. JOBS .. ending
    local host = assert(corun.process.spawn({program.path, "--grace=0.2", "-e", text},
      {stdin = "pipe", stderr = {path = "/dev/null"}}))
    local ids = {}
    for i = 1, 3 do ids[i] = assert(host.stdout:read("n")) end
    if fn then
      fn(host)
    else
      host.stdin:write("end\n")
    end
    host:wait()
    for i = 1, 3 do children.wait_gone(ids[i]) end
    host:close()
  end

  local WAIT = "corun.stdin:read() "

  test("that is killed", function()
    outlived("corun.sleep(1000)", function(host) host:kill("SIGKILL") end)
  end)

  test("that is told to end", function()
    outlived("corun.sleep(1000)", function(host) host:kill("SIGTERM") end)
    outlived("corun.sleep(1000)", function(host) host:kill("SIGINT") end)
  end)

  test("that ends, by itself or by an error", function()
    outlived(WAIT)
    outlived(WAIT .. "corun.exit(3)")
    outlived(WAIT .. "os.exit(3)")
    outlived(WAIT .. "error('x')")
    outlived(WAIT .. "p:close{cancel = true}")
  end)
end)

describe("100 kills under load", function()
  test("answer each job once, with its result or EWORKER #heavy", function()
    local p <close> = new{size = 4, crash_limit = 1000}
    local done, died, asked, kills = 0, 0, 0, 0
    scope(function(s)
      for _ = 1, 12 do
        s:spawn(function()
          while kills < 100 do
            asked = asked + 1
            local n = asked
            local ok, r = pcall(p.run, p, function(x)
              if x % 3 == 0 then require("corun").sleep(0.002) end
              for _ = 1, x % 3 * 20000 do rawset(_G, "counted", x) end
              return 2 * x, ("x"):rep(x % 5 * 20000)
            end, n)
            if ok then
              assert.equal(2 * n, r)
              done = done + 1
            else
              assert.equal("EWORKER", r.code)
              assert.equal("SIGKILL", r.signal)
              died = died + 1
            end
          end
        end)
      end
      while kills < 100 do
        sleep(0.002 + math.random() / 100)
        local list = children.list()
        if #list > 0 and crash_here.kill(list[math.random(#list)], KILL) then kills = kills + 1 end
      end
    end)
    assert.equal(asked, done + died)
    assert.is_true(done > 0 and died > 0)
    local counts = p:stats()
    assert.equal(done, counts.done)
    assert.equal(died, counts.failed)
    assert.equal(0, counts.running + counts.queued)
  end)
end)

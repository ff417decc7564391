-- SPDX-License-Identifier: MIT
-- corun.process: how processes are stopped and reaped: timeouts, cancellation, groups, peers that
-- do not behave (S13 to S20), and what is left behind: nothing.
local corun = require "corun"
local process = require "corun.process"
local children = dofile("tests/spec/support/children.lua")
local outcomes = dofile("tests/spec/support/outcomes.lua")
local program = dofile("tests/fixtures/cli/program.lua")

local assert_error, waiting = outcomes.assert_error, outcomes.waiting

-- An `it` that leaves no descriptor and no child behind.
local function test(name, fn)
  it(name, children.checked(fn))
end

-- Prints its id once it ignores TERM.
local STUBBORN = "trap '' TERM; echo $$; while :; do sleep 1; done"

-- Prints the id of a grandchild, which holds the pipes open, and goes on as a sleep.
local WITH_GRANDCHILD = "sleep 1000 & echo $!; exec sleep 1000"

local function elapsed(fn, ...)
  local start = corun.now()
  fn(...)
  return corun.now() - start
end

-- Start a process whose first line of output is a number.
local function spawn_telling(code, o)
  o = o or {}
  o.shell = code
  local p = assert(process.spawn(o))
  return p, math.tointeger(p.stdout:read("n"))
end

describe("a time limit", function()
  test("stops the program, and gives what it said", function()
    local r, err = process.run{shell = "echo out; echo err >&2; exec sleep 1000", timeout = 0.1}
    assert_error("ETIMEDOUT", "run", r, err)
    assert.equal("out\n", err.result.stdout)
    assert.equal("err\n", err.result.stderr)
    assert.equal("SIGTERM", err.result.signal)
    assert.is_false(err.result.ok)
    assert.matches("it took longer than 0.1 s", err.message)
  end)

  test("that has passed already", function()
    assert_error("ETIMEDOUT", "run", process.run{"sleep", "1000", timeout = 0})
  end)

  test("lets the program clean up", function()
    local r, err = process.run{shell = "trap 'echo cleaned; exit 3' TERM; echo up; "
      .. "while :; do sleep 0.01; done", timeout = 0.3}
    assert_error("ETIMEDOUT", "run", r, err)
    assert.equal("up\ncleaned\n", err.result.stdout)
    assert.equal(3, err.result.code)
  end)

  test("kills one that ignores TERM when the grace has passed", function()
    local r, err
    local seconds = elapsed(function()
      r, err = process.run{shell = STUBBORN, timeout = 0.1, grace = 0.2}
    end)
    assert_error("ETIMEDOUT", "run", r, err)
    assert.equal("SIGKILL", err.result.signal)
    assert.is_true(seconds >= 0.29 and seconds < 2, seconds)
    assert.is_false(children.runs(math.tointeger(err.result.stdout:match("%d+"))))
  end)

  test("reaches a program that was stopped", function()
    local r, err = process.run{shell = "kill -STOP $$", timeout = 0.1}
    assert_error("ETIMEDOUT", "run", r, err)
    assert.equal("SIGTERM", err.result.signal)
  end)

  test("does not count what comes after it", function()
    assert.is_true(process.run{"true", timeout = 60}.ok)
    assert.is_true(process.run{"true", timeout = math.huge}.ok)
  end)
end)

describe("S17 deadlines of scopes", function()
  test("travel into processes, which are reaped before the scope ends", function()
    local pid
    local value, err = corun.timeout(0.1, function()
      local p
      p, pid = spawn_telling("echo $$; exec sleep 1000")
      p:wait()
    end)
    assert.is_nil(value)
    assert.equal("ETIMEDOUT", err.code)
    assert.equal("timeout", err.op)
    assert.same({}, children.list())
    assert.is_false(children.runs(pid))
    value, err = corun.timeout(0.05, process.run, {"sleep", "1000"})
    assert.is_nil(value)
    assert.equal("timeout", err.op)
    assert.same({}, children.list())
  end)

  test("that stop a program that nobody waits for are told of", function()
    local p
    local value, err = corun.timeout(0.1, function()
      p = assert(process.spawn{"sleep", "1000"})
      return "all done"
    end)
    assert.is_nil(value)
    assert.equal("timeout", err.op)
    assert.equal("SIGTERM", p:wait().signal)
    value, err = corun.scope(function()
      p = assert(process.spawn{"sleep", "1000"})
      return "all done"
    end, {timeout = 0.1})
    assert.is_nil(value)
    assert.equal("scope", err.op)
    assert.equal("SIGTERM", p:close().signal)
    assert.same({}, children.list())
  end)

  test("nest: the shorter one wins", function()
    local value, err = corun.timeout(0.05, process.run, {"sleep", "1000", timeout = 60})
    assert.is_nil(value)
    assert.equal("timeout", err.op)
    value, err = corun.timeout(60, process.run, {"sleep", "1000", timeout = 0.05})
    assert.is_nil(value)
    assert.equal("run", err.op)
    value, err = corun.timeout(0.1, function()
      local r, e = corun.timeout(60, process.run, {"sleep", "1000"})
      return r, e
    end)
    assert.is_nil(value)
    assert.equal("0.100000", err.message:match("%d+%.%d+") .. ("0"):rep(5))
  end)

  test("end one that ignores TERM only after its grace", function()
    local seconds = elapsed(corun.timeout, 0.1, process.run, {shell = STUBBORN, grace = 0.3})
    assert.is_true(seconds >= 0.39 and seconds < 3, seconds)
    assert.same({}, children.list())
  end)
end)

describe("cancellation", function()
  test("S8 S13 before anything was started starts nothing", function()
    corun.scope(function(s)
      s:spawn(function() assert(process.run{"false", check = true}) end)
      s:cancel()
    end)
    local ok, err
    corun.scope(function(s)
      s:cancel()
      ok, err = pcall(process.run, {"sleep", "1000"})
      assert.is_false(ok)
      assert.is_true(corun.is_cancelled(err))
      ok, err = pcall(process.spawn, {"sleep", "1000"})
    end)
    assert.is_false(ok)
    assert.is_true(corun.is_cancelled(err))
  end)

  test("at every point of a run", function()
    for turns = 0, 60 do
      local task = corun.async(process.run, {"cat", input = ("x"):rep(300000)})
      for _ = 1, turns do corun.yield() end
      task:cancel()
      local r, err = task:await()
      if r then
        assert.is_true(r.ok)
      else
        assert.equal("ECANCELED", err.code)
      end
      assert.same({}, children.list())
    end
  end)

  test("at every point of a spawn", function()
    for turns = 0, 12 do
      corun.scope(function(s)
        s:spawn(function()
          local p = process.spawn{"sleep", "1000"}
          p.stdout:read("a")
        end)
        for _ = 1, turns do corun.yield() end
        s:cancel()
      end)
      assert.same({}, children.list())
      collectgarbage()
    end
  end)

  test("is raised once the program has been reaped, whatever it answered", function()
    local ok, err, left
    local task = waiting(function()
      ok, err = pcall(process.run, {shell = "trap 'exit 0' TERM; "
        .. "while :; do sleep 0.01; done"})
      left = #children.list()
    end)
    corun.sleep(0.05)
    task:cancel()
    task:await()
    assert.is_false(ok)
    assert.is_true(corun.is_cancelled(err))
    assert.equal(0, left)
  end)

  test("while it writes input that nobody reads", function()
    local task = waiting(process.run, {"sleep", "1000", input = ("x"):rep(1 << 22)})
    corun.sleep(0.02)
    task:cancel()
    local r, err = task:await()
    assert.is_nil(r)
    assert.equal("ECANCELED", err.code)
  end)

  test("while output comes without end", function()
    local task = waiting(process.run, {"yes", stdout = {path = "/dev/null"}})
    task:cancel()
    task:await()
    task = waiting(process.run, {"yes", max_output = 1 << 40})
    corun.sleep(0.02)
    task:cancel()
    task:await()
  end)

  test("of one that waits for a process leaves the process alone", function()
    local p <close> = assert(process.spawn{"cat"})
    local task = waiting(p.wait, p)
    task:cancel()
    local r, err = task:await()
    assert.is_nil(r)
    assert.equal("ECANCELED", err.code)
    assert(p.stdin:write("still here\n"))
    assert.equal("still here", p.stdout:read())
  end)

  test("waits, in a shield, for what cleans up", function()
    local order = {}
    local task = waiting(function()
      local _ <close> = corun.defer(function()
        order[#order + 1] = process.run{"echo", "clean-up"}.stdout
      end)
      process.run{"sleep", "1000"}
    end)
    task:cancel()
    task:await()
    assert.same({"clean-up\n"}, order)
  end)

  test("of a failing scope stops the processes of all its tasks", function()
    local ok, err = pcall(corun.scope, function(s)
      for _ = 1, 20 do s:spawn(process.run, {"sleep", "1000"}) end
      s:spawn(function()
        corun.sleep(0.05)
        error("enough", 0)
      end)
    end)
    assert.is_false(ok)
    assert.equal("enough", err)
    assert.same({}, children.list())
  end)
end)

describe("the group of a process", function()
  test("is reached by kill", function()
    local p <close>, grandchild = spawn_telling(WITH_GRANDCHILD)
    assert.is_true(children.runs(grandchild))
    p:kill("SIGKILL")
    assert.equal("SIGKILL", p:wait().signal)
    children.wait_gone(grandchild)
  end)

  test("is ended with it when it is closed", function()
    local p, grandchild = spawn_telling(WITH_GRANDCHILD)
    assert.equal("SIGTERM", p:close().signal)
    assert.is_false(children.runs(grandchild))
  end)

  test("has its grace after the process has ended, then is killed", function()
    local p, grandchild = spawn_telling("(trap 'sleep 0.2; exit' TERM; echo 1; while :; do "
      .. "sleep 0.01; done) & read x; exec sleep 1000", {stdin = "pipe", grace = 10})
    p.stdin:write("\n")
    local seconds = elapsed(p.close, p)
    assert.equal(1, grandchild)
    assert.is_true(seconds >= 0.19 and seconds < 5, seconds)
    p, grandchild = spawn_telling("(trap '' TERM; echo 1; exec sleep 1000) & read x; "
      .. "exec sleep 1000", {grace = 0.3})
    p.stdin:write("\n")
    seconds = elapsed(p.close, p)
    assert.equal(1, grandchild)
    assert.is_true(seconds >= 0.29 and seconds < 5, seconds)
  end)

  test("is left alone when the process ends by itself", function()
    local p <close>, grandchild = spawn_telling("sleep 1000 & echo $!")
    assert.is_true(p:wait().ok)
    p:close()
    assert.is_true(children.runs(grandchild))
    process.run{shell = "kill $1", tostring(grandchild)}
    children.wait_gone(grandchild)
  end)
end)

describe("a grandchild that holds the pipe", function()
  test("does not keep run, which says so", function()
    local r
    local seconds = elapsed(function()
      r = assert(process.run{shell = "sleep 1000 & echo $!", drain = 0.1})
    end)
    assert.is_true(seconds < 5)
    assert.is_true(r.ok)
    assert.is_true(r.held)
    local grandchild = math.tointeger(r.stdout:match("^%d+"))
    assert.is_true(children.runs(grandchild))
    process.run{"kill", grandchild}
    children.wait_gone(grandchild)
  end)

  test("may say something for a while", function()
    local r = assert(process.run{shell = "(sleep 0.1; echo late) & echo early", drain = 30})
    assert.equal("early\nlate\n", r.stdout)
    assert.is_nil(r.held)
  end)

  test("and the input does not keep run either", function()
    local r
    local seconds = elapsed(function()
      r = assert(process.run{shell = "exec 3<&0; (exec sleep 1000 <&3) >/dev/null 2>&1 & echo $!",
        input = ("x"):rep(1 << 20), drain = 0.1})
    end)
    assert.is_true(seconds < 4)
    process.run{"kill", r.stdout:match("%d+")}
  end)

  test("is ended with the program when the time is over", function()
    local r, err = process.run{shell = WITH_GRANDCHILD, timeout = 0.2}
    assert_error("ETIMEDOUT", "run", r, err)
    assert.is_nil(err.result.held)
    assert.is_false(children.runs(math.tointeger(err.result.stdout:match("%d+"))))
  end)
end)

describe("closing", function()
  test("S14 waits also in a cancelled scope", function()
    local r
    corun.scope(function(s)
      local p = assert(process.spawn{shell = "trap 'exit 5' TERM; echo; "
        .. "while :; do sleep 0.01; done"})
      p.stdout:read()
      s:cancel()
      r = p:close()
    end)
    assert.equal(5, r.code)
  end)

  test("at the end of a block", function()
    local pid
    do
      local p <close>, n = spawn_telling("echo $$; exec sleep 1000")
      pid = n
      assert.is_true(p ~= nil and children.runs(pid))
    end
    assert.is_false(children.runs(pid))
  end)

  test("from two tasks", function()
    local p = assert(process.spawn{shell = STUBBORN, grace = 0.2})
    p.stdout:read()
    local first, second = waiting(p.close, p), waiting(p.close, p)
    assert.equal("SIGKILL", first:await().signal)
    assert.equal("SIGKILL", second:await().signal)
  end)

  test("wakes those who wait for it with its end", function()
    local p = assert(process.spawn{"sleep", "1000"})
    local waiter = waiting(p.wait, p)
    local reader = waiting(p.stdout.read, p.stdout)
    p:close()
    assert.equal("SIGTERM", waiter:await().signal)
    assert.is_nil((reader:await())) -- the pipe's end, or ECLOSED
  end)

  test("of the scope: a process that nobody waits for keeps it until its end", function()
    local seconds = elapsed(corun.scope, function()
      assert(process.spawn{"sleep", "0.1"})
      collectgarbage()
    end)
    assert.is_true(seconds >= 0.09)
    collectgarbage() -- its streams
    collectgarbage()
  end)

  test("one that was left to the collector is reaped", function()
    local core = require "corun.processcore"
    for _ = 1, 10 do
      core.spawn{argv = {"sleep", "1000"}, grace = 2, op = "spawn"}
    end
    collectgarbage()
    collectgarbage()
    for _ = 1, 1000 do
      if #children.list() == 0 then break end
      corun.sleep(0.005)
    end
    assert.same({}, children.list())
  end)
end)

describe("the end of the program", function()
  -- Run code in a corun of its own, which prints the ids of processes; they must be gone.
  local function leaves_nothing(code, status, ...)
    local r = program.run({..., "-e", 'corun = require "corun" process = require "corun.process" '
      .. "io.stdout:setvbuf('no') " .. code})
    assert.equal(status, r.status, r.err)
    local n = 0
    for pid in r.out:gmatch("%d+") do
      n = n + 1
      children.wait_gone(math.tointeger(pid))
    end
    assert.is_true(n > 0, r.err)
    return r
  end
  local START = "local p = assert(process.spawn{shell = 'echo $$; exec sleep 1000'}) "
    .. "print(p.stdout:read()) "

  it("by an error, corun.exit or a time limit ends its processes", function()
    leaves_nothing(START .. "error('no')", 1, "--dev")
    leaves_nothing(START .. "corun.exit(7)", 7, "--dev")
    leaves_nothing(START .. "p:wait()", 124, "--timeout=0.3")
  end)

  it("is bounded by --grace, however long a process may take", function()
    local start = os.time()
    local stubborn = "{shell = [[trap '' TERM; echo $$; while :; do sleep 1; done]], grace = 1000, "
      .. "stdout = 'inherit'} "
    leaves_nothing("process.spawn" .. stubborn .. "corun.sleep(0.3) corun.exit(3)", 3,
      "--grace=0.3")
    leaves_nothing("corun.spawn(process.run, " .. stubborn:gsub("} $", "}) ")
      .. "corun.sleep(0.3) error('x')", 1, "--grace=0.3")
    assert.is_true(os.time() - start < 20)
  end)

  it("by Ctrl-C ends its processes, too", function()
    local r = program.code("io.stdout:setvbuf('no') local process = require 'corun.process' "
      .. START .. "print('up') p:wait()", {signals = {{after = "up", signal = "INT"}}})
    assert.equal("INT", r.signal and "INT" or r.err)
    children.wait_gone(math.tointeger(r.out:match("%d+")))
  end)

  it("closes what even the collector left", function()
    leaves_nothing("local core = require 'corun.processcore' "
      .. "kept = core.spawn{argv = {'sleep', '1000'}, grace = 2, op = 'spawn'} "
      .. "print(core.pid(kept))", 0, "--dev")
  end)
end)

describe("many processes", function()
  test("at once and one after another: none is left #heavy", function()
    local most = 0
    local ok = 0
    corun.scope(function(s)
      local seen = s:daemon(function()
        while true do
          most = math.max(most, #children.list())
          corun.sleep(0.02)
        end
      end)
      local items = {}
      for i = 1, 5000 do items[i] = i end
      corun.map(items, function(i)
        local r = assert(process.run{shell = "exit " .. i % 7})
        if r.code == i % 7 then ok = ok + 1 end
        return true
      end, {limit = 32})
      seen:cancel()
    end)
    assert.equal(5000, ok)
    assert.is_true(most <= 40, most)
  end)

  test("300 that run at once", function()
    local list = {}
    for i = 1, 300 do list[i] = assert(process.spawn({"cat"}, {stderr = "null"})) end
    for i, p in ipairs(list) do p.stdin:write(i, "\n") end
    for i, p in ipairs(list) do assert.equal(tostring(i), p.stdout:read()) end
    for _, p in ipairs(list) do p.stdin:close() end
    for _, p in ipairs(list) do
      assert.is_true(p:wait().ok)
      p:close()
    end
  end)
end)

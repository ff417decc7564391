-- SPDX-License-Identifier: MIT
-- corun.process where the system does not do what it should: kernels without pidfd, descriptors and
-- memory that run out, other code that reaps our children, processes that cannot be signalled. In
-- children, some of them with tests/ext/odd_children.c preloaded.
local program = dofile("tests/fixtures/cli/program.lua")

local library = program.path:gsub("[^/]*$", "ext/odd_children.so")
local EXPECTED = "0\tnil\thi\n\n3\tnil\t\nnil\tSIGKILL\t\n0\tnil\txxxxxxxxxx\nerror\tETIMEDOUT\n"
  .. "error\tETIMEDOUT\n1 2 3 4 5 6 7 8\n0\n"

local function preloaded(odd)
  return ("ASAN_OPTIONS=verify_asan_link_order=0 LD_PRELOAD=%s ODD_CHILDREN=%s")
    :format(library, odd)
end

local PRELUDE = [[
  local corun = require "corun"
  local process = require "corun.process"
  local function children()
    local f <close> = io.open("/proc/thread-self/children")
    return select(2, f:read("a"):gsub("%d+", ""))
  end
  local function descriptors()
    local n = 0
    for _ in require("lfs").dir("/proc/self/fd") do n = n + 1 end
    return n
  end
]]

-- The lines that code prints in a corun of its own, which must say nothing else and end well.
local function lines_of(code, o)
  local path = os.tmpname()
  local f = assert(io.open(path, "w"))
  f:write(PRELUDE, code)
  f:close()
  o = o or {}
  local r = program.sh((o.limits and o.limits .. "; " or "") .. 'exec "$CORUN" --timeout=60 '
    .. path, {env = o.env})
  os.remove(path)
  assert.equal("", r.err)
  assert.equal(0, r.status)
  local lines = {}
  for line in r.out:gmatch("[^\n]+") do lines[#lines + 1] = line end
  return lines
end

describe("a kernel", function()
  for _, odd in ipairs{"none", "old", "full"} do
    it("gives the same with pidfd and without: " .. odd, function()
      local r = program.run({"--timeout=60", "tests/fixtures/process/all.lua"},
        {env = preloaded(odd)})
      assert.equal("", r.err)
      assert.equal(EXPECTED, r.out)
      assert.equal(0, r.status)
    end)
  end
end)

describe("calls that are short or interrupted", function()
  it("do not hide who is left of a group", function()
    for seed = 1, 4 do
      assert.same({"true", "0"}, lines_of([[
        local p = assert(process.spawn{grace = 10, shell = "(trap 'sleep 0.1; exit' TERM; echo 1; "
          .. "while :; do sleep 0.01; done) & read x; exec sleep 1000"})
        p.stdout:read("l")
        p.stdin:write("\n")
        local start = corun.now()
        p:close()
        print(corun.now() - start >= 0.09)
        print(children())]], {env = program.faults(seed)}))
    end
  end)
end)

describe("a status that other code took", function()
  it("is an error, not a wrong answer", function()
    assert.same({"ECHILD\trun", "a", "ECHILD\twait", "0"}, lines_of([[
      local r, err = process.run{"echo", "a"}
      print(err.code, err.op)
      io.write(err.result.stdout)
      local p = process.spawn{"cat"}
      p.stdin:close()
      r, err = p:wait()
      print(err.code, err.op)
      p:close()
      print(children())]], {env = preloaded("stolen")}))
  end)
end)

describe("a process that cannot be signalled", function()
  it("is given up after the grace, and reaped when it ends", function()
    assert.same({"ETIMEDOUT", "true", "ECANCELED", "0"}, lines_of([[
      local start = corun.now()
      local r, err = process.run{"sleep", "1.5", timeout = 0.1, grace = 0.1}
      print(err.code)
      print(corun.now() - start < 1.3)
      local task = corun.async(process.run, {"sleep", "0.5", grace = 0.05})
      corun.sleep(0.1)
      task:cancel()
      r, err = task:await()
      print(err.code)
      while children() > 0 do corun.sleep(0.02) end
      print(children())]], {env = preloaded("foreign")}))
  end)

  it("does not keep the program from its end", function()
    local start = os.time()
    assert.same({"x"}, lines_of([[
      print("x")
      kept = require("corun.processcore").spawn{argv = {"sleep", "20"}, grace = 0.1, op = "run"}
      ]], {env = preloaded("foreign")}))
    assert.is_true(os.time() - start < 10)
  end)
end)

describe("descriptors that run out", function()
  it("make an error of each call that needs more, and nothing is left", function()
    local lines = lines_of([[
      process.run{"true"}
      local before = descriptors()
      local files = {}
      while true do
        local f = io.open("/dev/null")
        if not f then break end
        files[#files + 1] = f
      end
      local codes = {}
      for free = 0, 12 do
        local r, err = process.run{"echo", "x", cwd = "/"}
        codes[#codes + 1] = r and r.code or err.code
        local p, e = process.spawn{"cat"}
        codes[#codes + 1] = p and "p" or e.code
        if p then p:close() end
        table.remove(files):close()
      end
      for _, f in ipairs(files) do f:close() end
      print(table.concat(codes, " "))
      corun.sleep(0.05)
      print(descriptors() - before, children())
      print(process.run{"true"}.ok)]], {limits = "ulimit -n 64"})
    assert.equal(3, #lines)
    local seen = {}
    for code in lines[1]:gmatch("%S+") do seen[code] = true end
    assert.same({EMFILE = true, ["0"] = true, p = true}, seen)
    assert.matches("0 p$", lines[1])
    assert.equal("0\t0", lines[2])
    assert.equal("true", lines[3])
  end)
end)

describe("memory that runs out", function()
  it("at any allocation of Lua ends in an error, and leaves no child #faults", function()
    local failed = 0
    for n = 1300, 2100, 7 do
      local r = program.run({"--timeout=20", "tests/fixtures/process/memory.lua"},
        {env = "CORUN_FAIL_ALLOC=" .. n})
      local text = ("allocation %d: status %s\n%s%s"):format(n, r.status or r.signal, r.out, r.err)
      if r.status == 1 then
        assert(r.err:find("not enough memory", 1, true), text)
      else
        assert.equal(0, r.status, text)
        assert.matches("^[a-z ]+ 0 children$", r.out, text)
        if r.out ~= "done 0 children" then failed = failed + 1 end
      end
    end
    assert.is_true(failed > 10)
  end)
end)

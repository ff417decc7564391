-- SPDX-License-Identifier: MIT
-- `corun test`: outcomes, leaks, clocks, seeds, exit status, interruption. All in children.

local program = dofile("tests/fixtures/cli/program.lua")

local FOLDER = "tests/fixtures/cli/runner/"

-- Run `corun [options] test [arguments]` on a spec file of the folder.
local function test(name, arguments, o, ...)
  local args = {...}
  args[#args + 1] = "test"
  for _, a in ipairs(arguments or {}) do args[#args + 1] = a end
  args[#args + 1] = FOLDER .. name .. "_spec.lua"
  return program.run(args, o)
end

local function has(text, part)
  assert(text:find(part, 1, true), ("%q is missing in:\n%s"):format(part, text))
end

describe("corun test: a test #heavy", function()
  local report, status

  setup(function()
    local r = test("outcomes", {"-o", "plainTerminal"})
    report, status = r.out, r.status
    assert.equal("", r.err)
  end)

  it("passes or fails as under busted, in a line that counts", function()
    assert.matches("^%+%+%-%*%*%*%*%+%+%.\n4 successes / 1 failure / 4 errors / 1 pending : ",
      report)
    assert.equal(1, status)
  end)

  it("fails when an assertion fails in a child, at the line of that", function()
    has(report, FOLDER .. "outcomes_spec.lua:15: Expected objects to be equal.")
  end)

  it("fails at the line that raised an error object", function()
    has(report, FOLDER .. "outcomes_spec.lua:19: no calls left (EQUOTA)")
  end)

  it("fails when it leaves a task, which is shown", function()
    assert.matches("outcomes leaves a task\n%S+:21: the test left behind 1 task:\n"
      .. "  task %d+: waiting for sleep, spawned at %S+outcomes_spec.lua:22\n", report)
  end)

  it("fails when it would end the program", function()
    has(report, FOLDER .. "outcomes_spec.lua:26: os.exit(0) was called in a test")
    has(report, FOLDER .. "outcomes_spec.lua:28: corun.exit(0) was called in a test")
  end)

  it("shows the traceback of its error with -v", function()
    local r = test("outcomes", {"-v", "--filter=child"})
    assert.matches("outcomes_spec.lua:15: in function <.->\nspawned at %S+outcomes_spec.lua:15 ",
      r.out)
  end)

  it("can use the virtual clock, which costs no time and is gone in the next (S37)", function()
    local start = os.time()
    local r = test("outcomes", {"--filter=day", "--filter=clock", "-o", "TAP"})
    assert.equal("ok 1 - outcomes sleeps for a day\n"
      .. "ok 2 - outcomes has the real clock again\n1..2\n", r.out)
    assert.equal(0, r.status)
    assert(os.time() - start < 20)
  end)
end)

describe("corun test #heavy", function()
  it("ends with 0 when all passed", function()
    local r = test("fine")
    has(r.out, "\n2 successes / 0 failures / 0 errors / 0 pending : ")
    assert.equal("", r.err)
    assert.equal(0, r.status)
  end)

  it("ends with 1 when a test failed", function()
    assert.equal(1, test("outcomes", {"--filter=child"}).status)
  end)

  it("ends with 2 when a file is not there", function()
    local r = program.run{"test", FOLDER .. "nowhere_spec.lua"}
    assert.equal("corun test: error: no such file or directory: " .. FOLDER .. "nowhere_spec.lua\n",
      r.err)
    assert.equal("", r.out)
    assert.equal(2, r.status)
  end)

  it("ends with 1 when a file does not load", function()
    local r = program.sh([[d=$(mktemp -d); cp tests/fixtures/cli/syntax.txt "$d/a_spec.lua"
      "$CORUN" test "$d"; status=$?; rm -r "$d"; exit $status]])
    has(r.out, "a_spec.lua:2: unexpected symbol near '='")
    assert.equal(1, r.status)
  end)

  it("ends with 2 for a wrong command line", function()
    local r = test("fine", {"--nope"})
    assert.equal("corun test: error: unknown/bad flag: --nope; re-run with --help for usage.\n",
      r.err)
    assert.equal("", r.out)
    assert.equal(2, r.status)
  end)

  it("prints busted's usage for --help", function()
    local r = test("fine", {"--help"})
    assert.matches("^Usage: corun test %[OPTIONS%]", r.out)
    assert.equal("", r.err)
    assert.equal(0, r.status)
  end)

  it("ends with 2 and says what is missing where there is no busted", function()
    local r = test("fine", nil, {env = "LUA_PATH_5_4=/nowhere/?.lua"})
    assert.equal("corun: 'corun test' needs busted (Debian: apt install lua-busted)\n", r.err)
    assert.equal("", r.out)
    assert.equal(2, r.status)
  end)

  it("speaks TAP", function()
    local r = test("fine", {"-o", "TAP"})
    assert.equal("ok 1 - fine one\nok 2 - fine two\n1..2\n", r.out)
  end)

  it("looks into tests/spec when it is given nothing", function()
    local line = [[cd "$d" && mkdir -p tests/spec && cp "$f" tests/spec && "$CORUN" test -o TAP]]
    local r = program.sh("d=$(mktemp -d); f=$PWD/" .. FOLDER .. "fine_spec.lua; " .. line
      .. [[; status=$?; rm -r "$d"; exit $status]])
    assert.equal("ok 1 - fine one\nok 2 - fine two\n1..2\n", r.out)
    assert.equal(0, r.status)
  end)

  it("fails when a task is left that no test owns", function()
    local r = test("outside")
    has(r.out, "\n1 success / 0 failures / 0 errors / 0 pending : ")
    assert.matches("^corun: the tests left behind 1 task:\n  task %d+: waiting for sleep, ", r.err)
    assert.equal(1, r.status)
  end)

  it("lets a test fail that can never go on, and runs the others (S38)", function()
    local r = test("deadlock", {"-o", "TAP"})
    has(r.out, "not ok 1 - deadlock waits for nobody")
    has(r.out, FOLDER .. "deadlock_spec.lua:7: cancelled: deadlock")
    has(r.out, "ok 2 - deadlock goes on\n")
    has(r.err, "corun: deadlock: no task can ever run again\n")
    assert.equal(1, r.status)
  end)

  it("shows what else failed in a test", function()
    local r = test("several", {"-o", "TAP"})
    has(r.out, FOLDER .. "several_spec.lua:10: no calls left (EQUOTA)\n")
    has(r.out, "also: nobody awaits it\n")
    assert.equal(1, r.status)
  end)

  it("does not pass a test that was cancelled", function()
    local r = test("cancelled", {"-o", "TAP"})
    has(r.out, "not ok 1 - cancelled by itself\n")
    assert.equal(1, r.status)
  end)

  it("says so when no test matches, with status 2; a list of tests needs none to run", function()
    for _, option in ipairs{"--filter=no such", "--tags=nosuch"} do
      local r = test("order", {option})
      assert.equal("corun test: no test was run, since none matches the command line\n", r.err)
      assert.equal(2, r.status)
    end
    local r = test("order", {"--list"})
    assert.same({"", 0}, {r.err, r.status})
    assert.matches("shows the order of tasks\n$", r.out)
  end)

  it("prints busted's version in any folder", function()
    local r = program.run({"test", "--version"}, {cwd = "/"})
    assert.matches("^%d+%.%d+%.%d+", r.out)
    assert.equal(0, r.status)
  end)

  it("ends daemons with their test, and gives each its own locals", function()
    local r = test("apart", {"-o", "TAP"})
    assert.equal("ok 1 - apart leaves a daemon\nok 2 - apart sets a local\n"
      .. "ok 3 - apart sees none\n1..3\n", r.out)
    assert.equal(0, r.status)
  end)

  it("runs ready tasks in an order that CORUN_SEED shuffles reproducibly", function()
    local function order(seed)
      return test("order", nil, {env = "CORUN_SEED=" .. seed}).out:match("order ([%d ]+)")
    end
    assert.equal("1 2 3 4 5 6 7 8 9 10 11 12", order("0"))
    assert.not_equal(order("0"), order("1"))
    assert.not_equal(order("1"), order("2"))
    assert.equal(order("1"), order("1"))
  end)

  it("is stopped by INT: the test at hand fails, no other runs, the report comes", function()
    local r = test("slow", nil, {signals = {{after = "go", signal = "INT"}}})
    assert.matches("\n1 success / 0 failures / 1 error / 0 pending : ", r.out)
    has(r.out, "slow second\n" .. FOLDER .. "slow_spec.lua:9: cancelled by a signal (ECANCELED)\n")
    assert.is_nil(r.out:find("not reached", 1, true))
    assert.equal(2, r.signal)
  end)

  it("is stopped by --timeout, with status 124", function()
    local r = test("slow", nil, nil, "--timeout=0.5")
    assert.matches("\n1 success / 0 failures / 1 error / 0 pending : ", r.out)
    assert.equal("corun: timeout: 0.5 s passed\n", r.err)
    assert.equal(124, r.status)
  end)
end)

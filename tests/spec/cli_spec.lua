-- SPDX-License-Identifier: MIT
-- The command line: what runs, `arg`, exit status, reports of errors, signals. All in children.

local program = dofile("tests/fixtures/cli/program.lua")
local run, code, sh = program.run, program.code, program.sh

local FIXTURES = "tests/fixtures/cli"

-- The child ended well and printed this.
local function prints(expected, r)
  assert.equal("", r.err)
  assert.equal(expected, r.out)
  assert.equal(0, r.status)
end

-- The child ended with this status, printed nothing, and complained in these words.
local function complains(status, expected, r)
  assert.equal("", r.out)
  assert.equal(expected, r.err)
  assert.equal(status, r.status)
end

local function has(text, part)
  assert(text:find(part, 1, true), ("%q is missing in:\n%s"):format(part, text))
end

describe("corun: what runs", function()
  local here = {cwd = FIXTURES}

  it("is a script with its arguments", function()
    local r = run({"arg.lua", "a", "-e", "--x"}, here)
    prints("0\targ.lua\n1\ta\n2\t-e\n3\t--x\n...\ta\t-e\t--x\n", r)
  end)

  it("finds what stands before the script below 0 in arg, as under lua(1)", function()
    local r = run({"-e", "x = 1", "--grace=1", "--", "arg.lua", "a"}, here)
    prints("-4\t-e\n-3\tx = 1\n-2\t--grace=1\n-1\t--\n0\targ.lua\n1\ta\n...\ta\n", r)
    prints("-1\trun\n0\targ.lua\n1\ta\n...\ta\n", run({"run", "arg.lua", "a"}, here))
  end)

  it("finds all of the command line in arg when there is no script", function()
    prints("-e\tprint(arg[1], arg[2], arg[-1])\tnil\n", code("print(arg[1], arg[2], arg[-1])"))
  end)

  it("is standard input for -, which may begin with a line for the shell", function()
    local r = run({"-", "a"}, {stdin = "#!/usr/bin/env corun\nprint(arg[0], ...)\nerror('x')"})
    assert.equal("-\ta\n", r.out)
    has(r.err, "corun: stdin:3: x\n")
    assert.equal(1, r.status)
  end)

  it("is the code of -e, joined or apart, in order, before the script", function()
    prints("1\n2\n", run({"-e", "x = 1 print(x)", "-eprint(x + 1)"}))
    prints("first\n...\n", run({"-e", "print('first') arg = {}", "arg.lua"}, here))
    prints("3\n", run({"-ey = 3", "-"}, {stdin = "print(y)"}))
  end)

  it("finds the extensions that came with the program, wherever that was moved", function()
    local line = [[mkdir -p "$d/a/bin" "$d/b" && cp "$CORUN" "$d/a/bin" && cp "$CORUN" "$d/b" &&
      for p in a/bin b; do LUA_CPATH_5_4=$2 "$d/$p/corun" -e "print(package.cpath)"; done]]
    for given, first in pairs{["x/?.so"] = "x/%?%.so;", [""] = ""} do
      local r = sh("d=$(mktemp -d) && set -- x '" .. given .. "' && " .. line .. '; rm -r "$d"')
      assert.equal("", r.err)
      local installed = "^" .. first .. "/[^;]+/a/lib[^;]*/corun/%?%.so\n"
      assert.matches(installed .. first .. "/[^;]+/b/ext/%?%.so\n$", r.out)
    end
  end)

  it("may be code that suspends", function()
    prints("a\nb\n", run({"-e", "corun = require 'corun' corun.sleep(0.01) print('a')",
      "-e", "corun.sleep(0.01) print('b')"}))
  end)

  it("is preceded by the modules of -l, in a global of their or another name", function()
    prints("hello from a module\n", run({"-l", "greeting", "-e", "print(greeting.text)"}, here))
    prints("hello from a module\n", run({"-lgreeting", "-eprint(greeting.text)"}, here))
    prints("hello from a module\tnil\n",
      run({"-lg=greeting", "-e", "print(g.text, greeting)"}, here))
    prints("true\n", run({"-lcorun", "-e", "print(corun == require 'corun')"}))
  end)

  it("is a script that is named like a subcommand or an option, if that is said", function()
    prints("the script called test\ta\n", run({"run", "test", "a"}, here))
    prints("the script called -dash.lua\t-v\n", run({"--", "-dash.lua", "-v"}, here))
  end)

  it("goes on until all tasks of the main chunk have ended (S12)", function()
    prints("main\ntask\n", code([[
      local corun = require "corun"
      corun.spawn(function() corun.sleep(0.02) print("task") end)
      print("main")]]))
  end)
end)

describe("corun: options", function()
  it("-h and --help print the usage", function()
    for _, option in ipairs{"-h", "--help"} do
      local r = run{option, "no such file"}
      has(r.out, "usage: corun [options] script.lua [args]\n")
      has(r.out, "\n  --timeout S ")
      assert.equal("", r.err)
      assert.equal(0, r.status)
    end
  end)

  it("-v and --version print the version", function()
    for _, option in ipairs{"-v", "--version"} do
      local r = run{option}
      assert.matches("^corun %d+%.%d+%.%d+ %(Lua 5%.4%.%d+, libuv 1%.%d+%.%d+%)\n$", r.out)
      assert.equal(0, r.status)
    end
  end)

  it("are handed on however many there are", function()
    for n = 1, 60 do
      local words = {"-"}
      for k = 1, n do words[k + 1] = tostring(k) end
      prints(n .. "\n", run(words, {stdin = "print(select('#', ...))"}))
    end
  end)

  it("that are missing or unknown end with status 2", function()
    local try = "\nTry 'corun --help'.\n"
    complains(2, "corun: unknown option '-x'" .. try, run{"-x", "a.lua"})
    complains(2, "corun: unknown option '--timout=3' (did you mean '--timeout'?)" .. try,
      run{"--timout=3", "a.lua"})
    complains(2, "corun: option '-e' needs an argument" .. try, run{"-e"})
    complains(2, "corun: option '-l' needs an argument" .. try, run{"-l"})
    complains(2, "corun: option '--grace' needs a number of seconds" .. try, run{"--grace"})
    for _, bad in ipairs{"0", "1.5", "x", "1025", "-1"} do
      complains(2, "corun: option '--threads' needs a number from 1 to 1024, got '" .. bad .. "'"
        .. try, run{"--threads", bad})
    end
    complains(2, "corun: option '--threads' needs a number from 1 to 1024" .. try, run{"--threads"})
    for _, text in ipairs{"", "x", "1s", "-1", "nan"} do
      complains(2, ("corun: option '--timeout' needs a number of seconds, got '%s'"):format(text)
        .. try, run{"--timeout", text, "-e", ""})
    end
  end)

  it("alone, or nothing at all, are answered with the usage", function()
    for _, args in ipairs{{}, {"--dev"}, {"run"}, {"-e", "", "run"}} do
      local r = run(args)
      assert.equal("", r.out)
      assert.matches("^usage: corun ", r.err)
      assert.equal(2, r.status)
    end
  end)

  it("--stats counts at the end", function()
    local r = run{"--stats", "-e", "require('corun').await(require('corun').async(print, 'x'))"}
    assert.equal("x\n", r.out)
    assert.matches("^corun: 2 tasks, %d+ steps, %d+ polls, %d+%.%d MB Lua memory, %d+%.%d+ s\n$",
      r.err)
  end)

  it("--dev shows the line that keeps the loop, while it does", function()
    local r = run({"--dev", "-"}, {stdin = [[
      local stop = os.clock() + 0.4
      while os.clock() < stop do end]]})
    assert.matches("^corun: warning: task %d+ has kept the loop for more than 100 ms\n", r.err)
    has(r.err, "\n\tstdin:2: in main chunk")
    assert.equal(0, r.status)
  end)

  it("--dev names the stock function that kept the loop (S32)", function()
    local r = run{"--dev", "-e", [[os.execute("sleep 0.3")]]}
    has(r.err, "has kept the loop for more than 100 ms\n")
    has(r.err, "in function 'os.execute'\n")
    assert.equal(0, r.status)
  end)
end)

describe("corun: exit status", function()
  it("is 2 when there is no such script", function()
    complains(2, "corun: cannot open nowhere.lua: No such file or directory\n", run{"nowhere.lua"})
    complains(2, "corun: cannot read tests/spec: Is a directory\n", run{"tests/spec"})
  end)

  it("is 1 for a syntax error, and nothing has run", function()
    complains(1, "corun: syntax.txt:2: unexpected symbol near '='\n",
      run({"-e", "print('not yet')", "syntax.txt"}, {cwd = FIXTURES}))
    complains(1, "corun: (command line):1: unexpected symbol near <eof>\n", code("x ="))
  end)

  it("is 1 for an error that nobody caught", function()
    assert.equal(1, code("error('x')").status)
    local r = run{"-lnowhere.mod", "-e", "print('not reached')"}
    assert.equal("", r.out)
    assert.matches("^corun: %(command line%):1: module 'nowhere.mod' not found:\n", r.err)
    assert.equal(1, r.status)
  end)

  it("is what corun.exit was given, after clean-up (S33)", function()
    local r = code([[
      local corun = require "corun"
      local _ <close> = corun.defer(print, "clean")
      corun.spawn(function() corun.exit(42) end)
      corun.sleep(10)]])
    assert.equal("clean\n", r.out)
    assert.equal("", r.err)
    assert.equal(42, r.status)
    assert.equal(0, code("require('corun').exit()").status)
    assert.equal(1, code("require('corun').exit(false)").status)
  end)

  it("is what os.exit was given, at once (S33)", function()
    local r = code([[
      local corun = require "corun"
      local _ <close> = corun.defer(print, "clean")
      corun.spawn(function() os.exit(7) end)
      corun.sleep(10)]])
    assert.same({out = "", err = "", status = 7}, r)
    assert.same({out = "", err = "", status = 8}, code("os.exit(8, true)"))
  end)

  it("is 1 when clean-up fails after corun.exit", function()
    local r = code([[
      local corun = require "corun"
      local _ <close> = corun.defer(function() error("no clean-up") end)
      corun.exit(0)]])
    has(r.err, "corun: (command line):2: no clean-up\n")
    assert.equal(1, r.status)
  end)

  it("is 13 for a deadlock, with the tasks and what each waits for (S38)", function()
    local r = run({"-"}, {stdin = [[
      local corun = require "corun"
      local c <const> = corun.channel()
      local _ <close> = corun.defer(print, "clean")
      corun.spawn(function() c:recv() end)
      c:recv()]]})
    assert.equal("clean\n", r.out)
    has(r.err, "corun: deadlock: no task can ever run again\n"
      .. "corun: 2 tasks\n  main (task 1): waiting for ")
    assert.matches("\n    task %d+: waiting for [^\n]+, spawned at stdin:4\n$", r.err)
    assert.equal(13, r.status)
  end)

  it("is 124 when the time is up, after clean-up", function()
    for _, body in ipairs{"corun.sleep(60)", "while true do end",
      "while true do pcall(corun.sleep, 60) end"} do
      local r = run{"--timeout", "0.1", "-e", [[
        local corun = require "corun"
        local _ <close> = corun.defer(function() corun.sleep(0.01) print("clean") end)
        ]] .. body}
      assert.equal("clean\n", r.out)
      assert.equal("corun: timeout: 0.1 s passed\n", r.err)
      assert.equal(124, r.status)
    end
  end)

  it("is 0 when all was done in time", function()
    assert.equal(0, run{"--timeout=20", "-e", "require('corun').sleep(0.01)"}.status)
  end)
end)

describe("corun: an error that nobody caught", function()
  it("is shown with its traceback and where its tasks were spawned", function()
    local r = run({"failing.lua"}, {cwd = FIXTURES})
    assert.equal("", r.out)
    assert.equal(1, r.status)
    assert.equal([[
corun: failing.lua:6: boom
stack traceback:
	[C]: in function 'error'
	failing.lua:6: in function <failing.lua:5>
spawned at failing.lua:10 (task T)
spawned at failing.lua:14 (task T)
]], (r.err:gsub("%(task %d+%)", "(task T)")))
  end)

  it("is shown without the frames of corun's own modules, unless they are to blame", function()
    local r = run{"-l", "no.such.module", "-e", "print('not reached')"}
    assert.same({"", 1}, {r.out, r.status})
    assert.matches("^corun: %(command line%):1: module 'no%.such%.module' not found:\n", r.err)
    assert.matches("\nstack traceback:\n\t%(command line%):1: in [^\n]*\n$", r.err)
    for _, case in ipairs{
      {"local corun = require 'corun'\ncorun.map({1}, function() error('x') end)",
        "stdin:2: x\nstack traceback:\n\t[C]: in function 'error'\n\tstdin:2: in upvalue 'fn'\n" ..
        "spawned at stdin:2 (task T)\n"},
      {"local fs = require 'corun.fs'\nlocal walk = fs.walk(5)",
        "stdin:2: walk takes a path, got number\nstack traceback:\n\tstdin:2: in main chunk\n"},
      {"return require('corun.process').run({})",
        "run needs a program to run\nstack traceback:\n\t(...tail calls...)\n"},
    } do
      r = run({"-"}, {stdin = case[1]})
      assert.equal("corun: " .. case[2], (r.err:gsub("%(task %d+%)", "(task T)")))
    end
    r = run({"-"}, {stdin = "require('corun').map({1}, string.rep)"})
    assert.matches("\n\t%[corun combine%.lua%]:%d+: in ", r.err) -- the message names its line
  end)

  it("is a text for every value", function()
    local cases = {
      {"error()", "(error object is a nil value)"},
      {"error({})", "(error object is a table value)"},
      {"error(print)", "(error object is a function value)"},
      {"error(12, 0)", "12"},
      {"error('a\\0b', 0)", "a\0b"},
      {"error(setmetatable({}, {__tostring = function() return 'mine' end}))", "mine"},
      {"error(setmetatable({}, {__tostring = error}))", "(error object is a table value)"},
      {"error(setmetatable({}, {__tostring = function() return 1 end}))", "1"},
      {"error(setmetatable({}, {__tostring = function() return {} end}))",
        "(error object is a table value)"},
      {"error(require('corun').err('EQUOTA', 'no calls left'))", "no calls left (EQUOTA)"},
    }
    for _, case in ipairs(cases) do
      local r = code(case[1])
      assert.equal("corun: " .. case[2] .. "\nstack traceback:", r.err:match("^.-\nstack[^\n]*"))
      assert.equal(1, r.status)
    end
  end)

  it("is shown with its causes, also when they go round in a circle", function()
    local r = code([[
      local corun = require "corun"
      local deep = corun.err("EDEEP", "deep", {cause = "the root"})
      error(corun.err("ETOP", "top", {cause = deep}))]])
    has(r.err, "corun: top (ETOP)\n")
    has(r.err, "\ncaused by: deep (EDEEP)\ncaused by: the root\n")
    r = code([[
      local e = require("corun").err("ECIRCLE", "round")
      e.cause = e
      error(e)]])
    has(r.err, "corun: round (ECIRCLE)\n")
    assert.equal(1, r.status)
  end)

  it("is shown with the others that failed with it (S5)", function()
    local r = run({"-"}, {stdin = [[
      local corun = require "corun"
      for i = 1, 15 do
        corun.async(function() error("failure " .. i, 0) end)
      end]]})
    assert.equal(1, r.status)
    assert.matches("^corun: 15 tasks failed; the first: failure %d+ %(EGROUP%)\n", r.err)
    assert.matches("\ncaused by: failure %d+\n", r.err)
    local _, also = r.err:gsub("\nalso: failure %d+", "%0")
    assert.equal(10, also)
    assert.matches("\nand 4 more\n$", r.err)
  end)

  it("comes after what was printed before it", function()
    local r = sh([["$CORUN" -e 'print("printed") error("x")' 2>&1]])
    assert.matches("^printed\ncorun: .*x\n", r.out)
  end)
end)

describe("corun: the process", function()
  it("refuses numbers in the environment that are none", function()
    for _, name in ipairs{"CORUN_SEED", "CORUN_FAIL_ALLOC"} do
      for _, value in ipairs{"abc", "-1", "1x", "99999999999999999999999"} do
        complains(2, ("corun: %s must be a number, got '%s'\nTry 'corun --help'.\n")
          :format(name, value), code("print(1)", {env = name .. "=" .. value}))
      end
    end
  end)

  it("says so when there are too few descriptors to start", function()
    -- With no more than the standard ones from us, and nothing loaded before it.
    local alone = "exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-; unset LD_PRELOAD; "
    for n = 4, 15 do
      local r = sh(alone .. ("ulimit -n %d; exec \"$CORUN\" -e 'print(1)'"):format(n))
      assert.equal("corun: cannot start: out of memory or descriptors\n", r.err)
      assert.equal(70, r.status)
    end
    assert.equal("1\n", sh(alone .. [[ulimit -n 16; exec "$CORUN" -e 'print(1)']]).out)
  end)

  it("holds two runtimes, which share nothing but the watchdog and the signals (S39)", function()
    local r = sh([["${CORUN%/*}/unit/test_core_runtimes"]])
    assert.matches("%[  PASSED  %] %d+ test", r.out .. r.err)
    assert.equal(0, r.status)
  end)
end)

describe("corun: signals (S27)", function()
  -- A script that says go, does `body`, and cleans up.
  local function script(body, cleanup)
    return ([[
      local corun = require "corun"
      local function say(text) io.write(text, "\n") io.flush() end
      local _ <close> = corun.defer(function() %s print("clean") end)
      say("go")
      %s]]):format(cleanup or "", body)
  end

  local function signalled(signals, body, cleanup, option)
    return run({"--timeout=20", option or "--grace=5", "-"},
      {stdin = script(body, cleanup), signals = signals})
  end

  it("INT and TERM cancel all, clean-up runs, and the process ends by the signal", function()
    local numbers = {INT = 2, TERM = 15}
    for signal, number in pairs(numbers) do
      local r = signalled({{after = "go", signal = signal}}, "corun.sleep(60)")
      assert.same({out = "go\nclean\n", err = "", signal = number}, r)
    end
  end)

  it("INT ends a script that spins, also one that catches errors", function()
    for _, body in ipairs{"while true do end",
      "while true do pcall(function() while true do end end) end",
      "coroutine.wrap(function() while true do end end)()"} do
      local r = signalled({{after = "go", signal = "INT"}}, body)
      assert.same({out = "go\nclean\n", err = "", signal = 2}, r)
    end
  end)

  it("a second INT exits at once", function()
    local r = signalled({{after = "go", signal = "INT"}, {after = "cleaning", signal = "INT"}},
      "corun.sleep(60)", "say('cleaning') corun.sleep(60)")
    assert.same({out = "go\ncleaning\n", err = "", status = 130}, r)
  end)

  it("clean-up after INT is bounded by --grace (S14)", function()
    local r = signalled({{after = "go", signal = "INT"}},
      "corun.sleep(60)", "say('cleaning') corun.sleep(60)", "--grace=0.1")
    assert.equal("go\ncleaning\n", r.out)
    assert.equal(2, r.signal)
  end)

  it("an error in clean-up after INT is shown", function()
    local r = signalled({{after = "go", signal = "INT"}}, "corun.sleep(60)", "error('no clean-up')")
    has(r.err, "no clean-up\n")
    assert.equal(2, r.signal)
  end)

  it("QUIT prints the task tree and goes on", function()
    local r = signalled({{after = "go", signal = "QUIT"}, {after = "more", signal = "QUIT"}}, [[
      corun.spawn(function() corun.sleep(0.5) say("more") corun.sleep(0.5) end)]])
    assert.equal("go\nclean\nmore\n", r.out)
    local trees = 0
    for tree in r.err:gmatch("corun: 2 tasks\n(.-spawned at stdin:5\n)") do
      assert.matches("^  main %(task 1%): waiting for [^\n]+\n", tree)
      assert.matches("\n    task %d+: waiting for sleep, ", tree)
      trees = trees + 1
    end
    assert.equal(2, trees)
    assert.equal(0, r.status)
  end)

  it("QUIT prints the task tree of a script that spins", function()
    local r = signalled({{after = "go", signal = "QUIT"}}, [[
      local stop = corun.now() + 0.8
      while corun.now() < stop do end]])
    assert.matches("^corun: 1 task\n  main %(task 1%): running\nstack traceback:\n", r.err)
    assert.matches("\n\tstdin:%d+: in ", r.err)
    assert.equal("go\nclean\n", r.out)
    assert.equal(0, r.status)
  end)

  it("PIPE ends the program when the reader of its output has gone, and is ignored else", function()
    local r = sh([[{ "$CORUN" -e 'local i = 0
      while true do
        i = i + 1
        print(i)
      end'; echo $? >&2; } | head -n 1]])
    assert.equal("1\n", r.out)
    assert.equal("141\n", r.err)
    r = code([[
      local pipe = io.popen("exec true", "w")
      while pipe:write(("x"):rep(10000)) do end
      print("went on")]])
    assert.equal("went on\n", r.out)
    assert.equal("", r.err)
  end)

  it("PIPE has its default action in the programs that the script starts", function()
    local r
    r = code([[os.execute("(yes; echo $? >&2) | head -n 1")]])
    assert.equal("y\n", r.out)
    assert.equal("141\n", r.err)
  end)
end)

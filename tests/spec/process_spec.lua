-- SPDX-License-Identifier: MIT
-- corun.process: what is started and how, its streams, its results. How it is stopped stands in
-- process_stop_spec.lua.
local corun = require "corun"
local process = require "corun.process"
local net = require "corun.net"
local children = dofile("tests/spec/support/children.lua")
local outcomes = dofile("tests/spec/support/outcomes.lua")

local assert_error, assert_misuse = outcomes.assert_error, outcomes.assert_misuse

-- An `it` that leaves no descriptor and no child behind.
local function test(name, fn)
  it(name, children.checked(fn))
end

-- Call fn with the path of a new folder, which is removed afterwards.
local function with_folder(fn)
  local path = os.tmpname()
  os.remove(path)
  assert(process.run({"mkdir", path}, {check = true}))
  local _ <close> = corun.defer(function() process.run{"rm", "-rf", path} end)
  fn(path)
end

local function write_file(path, text)
  local f <close> = assert(io.open(path, "wb"))
  f:write(text)
end

local function read_file(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read("a")
end

describe("process.run", function()
  test("gives the output, the exit code and what it cost", function()
    local r = assert(process.run{"echo", "one", "two words", 3})
    assert.equal("one two words 3\n", r.stdout)
    assert.equal("", r.stderr)
    assert.is_true(r.ok)
    assert.equal(0, r.code)
    assert.is_nil(r.signal)
    assert.is_nil(r.held)
    assert.is_true(r.duration > 0 and r.duration < 60)
    assert.equal("integer", math.type(r.usage.max_rss))
    assert.is_true(r.usage.max_rss > 100000)
    assert.equal("float", math.type(r.usage.user))
    assert.equal("float", math.type(r.usage.system))
  end)

  test("counts the processor time of the child alone", function()
    local r = assert(process.run{shell = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"})
    assert.is_true(r.usage.user + r.usage.system > 0.005)
    assert.is_true(r.usage.user + r.usage.system <= r.duration * 1.5 + 0.02)
    r = assert(process.run{"true"})
    assert.is_true(r.usage.user + r.usage.system < 0.02)
  end)

  test("a failing program is a result, not an error", function()
    for _, code in ipairs{1, 2, 127, 255} do
      local r = assert(process.run{shell = "echo out; echo err >&2; exit " .. code})
      assert.is_false(r.ok)
      assert.equal(code, r.code)
      assert.equal("out\n", r.stdout)
      assert.equal("err\n", r.stderr)
    end
  end)

  test("names the signal that ended it", function()
    for _, name in ipairs{"SIGKILL", "SIGTERM", "SIGSEGV", "SIGUSR1", "SIGPIPE", "SIGXFSZ",
        "SIGHUP"} do
      local r = assert(process.run{shell = "kill -" .. name:sub(4) .. " $$"})
      assert.is_false(r.ok)
      assert.is_nil(r.code)
      assert.equal(name, r.signal)
    end
    assert.matches("^SIG%d+$", process.run{shell = "kill -40 $$"}.signal)
  end)

  test("check makes an error of a failure, with its last words", function()
    local r, err = process.run({"sh", "-c", "echo some; echo 'no such thing' >&2; exit 4"},
      {check = true})
    assert.is_nil(r)
    assert.equal("EEXIT", err.code)
    assert.equal(4, err.status)
    assert.equal("some\n", err.result.stdout)
    assert.equal("run sh: exit status 4: no such thing (EEXIT)", tostring(err))
    err = select(2, process.run{shell = "kill -9 $$", check = true})
    assert.equal("SIGKILL", err.signal)
    assert.matches("ended by SIGKILL %(EEXIT%)$", tostring(err))
    err = select(2, process.run{shell = "echo said; exit 1", stderr = "stdout", check = true})
    assert.matches("exit status 1: said %(EEXIT%)$", tostring(err))
    err = select(2, process.run{shell = "yes 12345678 | head -n 10000 >&2; exit 1", check = true})
    assert.is_true(#tostring(err) < 600)
    assert(process.run{"true", check = true})
  end)

  test("options stand in the list, or in a second table, or in both", function()
    assert.equal("/\n", process.run{"pwd", cwd = "/"}.stdout)
    assert.equal("/\n", process.run({"pwd"}, {cwd = "/"}).stdout)
    assert.equal("/\n", process.run({shell = "pwd"}, {cwd = "/"}).stdout)
    assert_misuse('option "cwd" of run stands in both', process.run, {"pwd", cwd = "/"},
      {cwd = "/"})
  end)

  test("no shell reads the arguments", function()
    assert.equal("$HOME `ls` ; | > *\n", process.run{"echo", "$HOME", "`ls`", ";", "|", ">",
      "*"}.stdout)
    assert.equal("", process.run{"printf", "%s", ""}.stdout)
  end)

  test("a shell that is asked for gets the arguments as $1, $2 ...", function()
    local r = assert(process.run{shell = 'printf "%s|" "$@"; echo $0', "a b", "$(id)", ""})
    assert.equal("a b|$(id)||sh\n", r.stdout)
    assert.equal("2\n", process.run{shell = "echo a b | wc -w"}.stdout)
  end)

  test("misuse raises in the caller's line", function()
    assert_misuse("run takes a list such as", process.run, "ls -l")
    assert_misuse("run needs a program to run", process.run, {})
    assert_misuse("spawn needs a program to run", process.spawn, {})
    assert_misuse("argument 2 of run must be a string or a number, got table", process.run,
      {"ls", {}})
    assert_misuse("argument 2 of run must not hold a zero byte", process.run, {"ls", "a\0b"})
    assert_misuse('unknown option "timout" for run %(did you mean "timeout"%?%)', process.run,
      {"ls", timout = 1})
    assert_misuse('unknown option "input" for spawn', process.spawn, {"ls"}, {input = "x"})
    assert_misuse("options of run must be a table, got number", process.run, {"ls"}, 5)
    assert_misuse('option "timeout" for run must be', process.run, {"ls", timeout = -1})
    assert_misuse('option "cwd" of run must not hold a zero byte', process.run,
      {"ls", cwd = "/\0"})
    assert_misuse("bad name of a variable", process.run, {"ls", env = {["A=B"] = "1"}})
    assert_misuse("bad name of a variable", process.run, {"ls", env = {"A=B"}})
    assert_misuse("variable A of run must be a string", process.run, {"ls", env = {A = true}})
    assert_misuse('option "stdout" for run must be "inherit", "null", "pipe", {path', process.run,
      {"ls", stdout = "out.txt"})
    assert_misuse('unknown option "pth"', process.run, {"ls", stdout = {path = "x", pth = "y"}})
    assert_misuse('run takes "input" or "stdin"', process.run, {"ls", input = "", stdin = "null"})
    assert_misuse('must not be "pipe"', process.run, {"ls", stdin = "pipe"})
    assert_misuse('option "stderr" for run has no place beside "pty"', process.run,
      {"ls", pty = true, stderr = "null"})
    assert_misuse("takes a list, a function or a channel", process.run, {"cat", input = true})
    local closed = io.tmpfile()
    closed:close()
    assert_misuse('option "stdout" for run', process.run, {"ls", stdout = closed})
  end)
end)

describe("a program that cannot be run", function()
  test("says what is wrong with it", function()
    with_folder(function(dir)
      write_file(dir .. "/plain", "#!/bin/sh\n")
      write_file(dir .. "/lost", "#!/no/such/interpreter\n")
      write_file(dir .. "/odd", "no magic number\n")
      assert(process.run({"chmod", "+x", dir .. "/lost", dir .. "/odd"}, {check = true}))
      local function fails(code, pattern, argv, o)
        local r, err = process.run(argv, o)
        assert_error(code, "run", r, err)
        assert.equal(argv[1], err.target)
        assert.matches(pattern, err.message)
      end
      fails("ENOENT", "^no such program in PATH$", {"no-such-program"})
      fails("ENOENT", "^no such program in PATH$", {""})
      fails("ENOENT", "^no such program$", {dir .. "/none"})
      fails("EACCES", "^the program may not be run$", {dir .. "/plain"})
      fails("EACCES", "^the program may not be run$", {dir})
      fails("EACCES", "^the program may not be run$", {"plain"}, {env = {PATH = dir}})
      fails("ENOENT", "^the program is there, but not the interpreter", {dir .. "/lost"})
      fails("ENOEXEC", "^it is no program", {dir .. "/odd"})
      fails("ENOTDIR", "^not a directory$", {dir .. "/plain/x"})
      fails("ENAMETOOLONG", "too long", {"/" .. ("x"):rep(300)})
      fails("E2BIG", "too long", {"true", ("x"):rep(1 << 20)})
    end)
  end)

  test("says what is wrong with its folder and its files", function()
    with_folder(function(dir)
      local missing = dir .. "/none"
      local r, err = process.run{"true", cwd = missing}
      assert_error("ENOENT", "run", r, err)
      assert.equal(("run true: the folder %s: no such file or directory (ENOENT)"):format(missing),
        tostring(err))
      assert_error("ENOTDIR", "run", process.run{"true", cwd = "/etc/passwd"})
      r, err = process.run{"true", stdout = {path = missing .. "/out"}}
      assert_error("ENOENT", "run", r, err)
      assert.matches(missing .. "/out", err.message, 1, true)
      assert_error("ENOENT", "spawn", process.spawn{"true", stdin = {path = missing}})
      assert_error("EISDIR", "run", process.run{"true", stdout = {path = dir}})
    end)
  end)
end)

describe("the surroundings of a process", function()
  test("cwd, from which a path of the program is looked up", function()
    with_folder(function(dir)
      write_file(dir .. "/tool", "#!/bin/sh\npwd\n")
      assert(process.run({"chmod", "+x", "tool"}, {cwd = dir, check = true}))
      assert.equal(dir .. "\n", process.run{"./tool", cwd = dir}.stdout)
      assert.equal(dir .. "\n", process.run{"tool", cwd = dir, env = {PATH = "/none:."}}.stdout)
      assert_error("ENOENT", "run", process.run{"./tool", cwd = "/"})
    end)
  end)

  test("env adds to the environment, changes it, or takes from it", function()
    local code = 'echo "$HOME|$CORUN_A|$CORUN_N|${PATH:+path}"'
    local home = os.getenv("HOME") or ""
    local function run(o)
      o.shell = code
      return process.run(o).stdout
    end
    assert.equal(home .. "|x y=z|7|path\n", run{env = {CORUN_A = "x y=z", CORUN_N = 7}})
    assert.equal("|||path\n", run{env = {HOME = false}})
    assert.equal("|1||\n", process.run{"/bin/sh", "-c", code, env = {CORUN_A = 1, PATH = ""},
      env_clear = true}.stdout)
    assert.equal("A=1\n", process.run{"/usr/bin/env", env = {A = "1"}, env_clear = true}.stdout)
    assert.equal("", process.run{"/usr/bin/env", env_clear = true}.stdout)
  end)

  test("no descriptor is inherited but the three", function()
    local f <close> = assert(io.open("/dev/null")) -- stock Lua does not close it on exec
    local l <close> = assert(net.listen("127.0.0.1:0"))
    local other <close> = assert(process.spawn{"cat"})
    local r = assert(process.run{shell = "ls /proc/$$/fd"})
    assert.equal("0\n1\n2\n", r.stdout)
    assert.is_true(f ~= nil and l ~= nil)
    other.stdin:close()
    other:wait()
  end)

  test("signals are as a program expects them", function()
    local r = assert(process.run{"grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"})
    for name, mask in r.stdout:gmatch("(%a+):%s*(%x+)") do
      -- glibc's own two, the first for real time, are ignored from posix_spawn on
      assert.equal(0, tonumber(mask, 16) & 0x7fffffff, name)
    end
    assert.equal("SIGPIPE", process.run{"sh", "-c", "yes | head -n 1 >/dev/null; kill -PIPE $$"}
      .signal)
  end)

  test("a signal that was ignored from the start stays so", function()
    local corun_path = process.run{shell = "readlink /proc/$PPID/exe"}.stdout:match("[^\n]+")
    local code = [[local process = require "corun.process"
      print(process.run{"grep", "SigIgn", "/proc/self/status"}.stdout)]]
    local r = assert(process.run{shell = 'trap "" HUP CHLD PIPE; exec "$@"', corun_path, "-e",
      code})
    assert.matches("SigIgn:%s*%x+0000001\n", r.stdout)
  end)

  test("it has a process group of its own", function()
    local r = assert(process.run{shell = "cut -d ' ' -f 1,5 /proc/$$/stat"})
    local pid, group = r.stdout:match("(%d+) (%d+)")
    assert.equal(pid, group)
  end)
end)

describe("input", function()
  test("a string, of any size, while the output comes back", function()
    assert.equal("hello", process.run{"cat", input = "hello"}.stdout)
    assert.equal("", process.run{"cat", input = ""}.stdout)
    local big = ("0123456789abcdef"):rep(640 * 1024) -- 10 MiB
    local r = assert(process.run{"cat", input = big})
    assert.is_true(r.stdout == big)
    r = assert(process.run{shell = "cat >&2", input = big})
    assert.is_true(r.stderr == big)
  end)

  test("a function, an iterator, a channel, a list", function()
    local n = 0
    local function count()
      n = n + 1
      corun.yield()
      if n <= 3 then return n .. "\n" end
    end
    assert.equal("1\n2\n3\n", process.run{"cat", input = count}.stdout)
    local c = corun.channel()
    corun.spawn(function()
      for i = 1, 3 do c:send(tostring(i)) end
      c:close()
    end)
    assert.equal("123", process.run{"cat", input = c}.stdout)
    assert.equal("ab", process.run{"cat", input = {"a", "b"}}.stdout)
  end)

  test("another stream: processes in a row", function()
    local first <close> = assert(process.spawn({"sh", "-c", "echo b; echo a; echo c"},
      {stdin = "null", stderr = "inherit"}))
    assert.equal("a\nb\nc\n", process.run{"sort", input = first.stdout}.stdout)
    assert.is_true(first:wait().ok)
  end)

  test("that the program does not read is no failure", function()
    local big = ("x"):rep(10 * 1024 * 1024)
    for _ = 1, 20 do
      local r = assert(process.run{"true", input = big})
      assert.is_true(r.ok)
    end
    assert.equal("xxx", process.run{"head", "-c", "3", input = big}.stdout)
    local r = assert(process.run{shell = "exec <&-; sleep 0.05; echo done", input = big})
    assert.equal("done\n", r.stdout)
  end)

  test("without end does not keep a program that has ended", function()
    local r = assert(process.run{"head", "-n", "1", input = function() return "y\n" end})
    assert.equal("y\n", r.stdout)
    local never = corun.channel()
    assert.equal("x\n", process.run{"echo", "x", input = never}.stdout)
  end)

  test("that gives no text stops the program", function()
    local given = 0
    local r, err = process.run{"cat", input = function()
      given = given + 1
      return given < 3 and "x" or {}
    end}
    assert_error("EINVAL", "run", r, err)
    assert.matches("the input failed: it gave table where a string or a number must be",
      tostring(err))
    assert.equal(3, given)
    assert.equal("a5", process.run{"cat", input = {"a", 5}}.stdout)
  end)

  test("that fails stops the program: as a value where it is one", function()
    local function failing()
      return nil, corun.err("ESOURCE", "the well is dry")
    end
    local r, err = process.run{"cat", input = failing}
    assert_error("ESOURCE", "run", r, err)
    assert.matches("the well is dry", tostring(err))
    assert.equal("SIGTERM", err.result.signal)
    local ok, raised = pcall(process.run, {"cat", input = function() error("broken", 0) end})
    assert.is_false(ok)
    assert.equal("broken", raised)
  end)

  test("a file, null, nothing", function()
    with_folder(function(dir)
      write_file(dir .. "/in", "from a file")
      assert.equal("from a file", process.run{"cat", stdin = {path = dir .. "/in"}}.stdout)
      local f <close> = assert(io.open(dir .. "/in"))
      assert.equal("from a file", process.run{"cat", stdin = f}.stdout)
    end)
    assert.equal("", process.run{"cat"}.stdout)
    assert.equal("", process.run{"cat", stdin = "null"}.stdout)
    assert.equal("/dev/null\n", process.run{"readlink", "/proc/self/fd/0"}.stdout)
  end)
end)

describe("output", function()
  test("of both streams, however much, loses no byte", function()
    local r = assert(process.run{shell = "head -c 3000000 /dev/zero; "
      .. "head -c 3000000 /dev/zero >&2"})
    assert.equal(3000000, #r.stdout)
    assert.equal(3000000, #r.stderr)
  end)

  test("into files, which are made, cut off or added to", function()
    with_folder(function(dir)
      local out = dir .. "/out"
      local r = assert(process.run{"echo", "one", stdout = {path = out}})
      assert.is_nil(r.stdout)
      assert(process.run{"echo", "two", stdout = {path = out}})
      assert(process.run{shell = "echo three >&2", stderr = {path = out, append = true}})
      assert.equal("two\nthree\n", read_file(out))
      local f = assert(io.open(out, "w"))
      f:write("before ")
      assert(process.run{shell = "echo out; echo err >&2", stdout = f, stderr = f})
      f:close()
      assert.equal("before out\nerr\n", read_file(out))
      assert(process.run{"mkfifo", dir .. "/fifo"})
      assert_error("ENXIO", "run", process.run{"true", stdout = {path = dir .. "/fifo"}})
    end)
  end)

  test("to null, merged, or swapped", function()
    local code = "echo out; echo err >&2"
    local r = assert(process.run{shell = code, stdout = "null"})
    assert.is_nil(r.stdout)
    assert.equal("err\n", r.stderr)
    r = assert(process.run{shell = code, stderr = "stdout"})
    assert.equal("out\nerr\n", r.stdout)
    assert.is_nil(r.stderr)
    r = assert(process.run{shell = code, stdout = "null", stderr = "stdout"})
    assert.is_nil(r.stderr)
  end)

  test("inherited: what this program has, also the other way round", function()
    local corun_path = process.run{shell = "readlink /proc/$PPID/exe"}.stdout:match("[^\n]+")
    local r = assert(process.run{corun_path, "-e", [[
      local run = require("corun.process").run
      run{shell = "echo out; echo err >&2", stdout = "inherit", stderr = "inherit"}
      run{shell = "echo out; echo err >&2", stdout = io.stderr, stderr = io.stdout}
      print(run{shell = "cat; echo x", stdin = "inherit"}.stdout)]], input = "in "})
    assert.equal("out\nerr\nin x\n\n", r.stdout)
    assert.equal("err\nout\n", r.stderr)
  end)

  test("inherited: blocking for the program, whatever this one has made of it", function()
    local corun_path = process.run{shell = "readlink /proc/$PPID/exe"}.stdout:match("[^\n]+")
    local r = assert(process.run{"python3", "-c", [[
import os, sys
os.set_blocking(1, False)
os.execv(sys.argv[1], sys.argv[1:])]], corun_path, "-e", [[
      local run = require("corun.process").run
      run{shell = "cat /proc/self/fdinfo/1; readlink /proc/self/fd/1", stdout = "inherit"}]]})
    assert.equal(0, tonumber(r.stdout:match("flags:%s*(%d+)"), 8) & tonumber("4000", 8))
    assert.matches("\npipe:%[%d+%]\n$", r.stdout)
  end)

  test("onto another stream", function()
    local l <close> = assert(net.listen("127.0.0.1:0"))
    local s <close> = assert(net.connect(l:address()))
    local peer <close> = assert(l:accept())
    local r = assert(process.run{shell = "echo over the net", stdout = s})
    assert.is_nil(r.stdout)
    assert.equal("over the net", peer:read())
    peer:close()
    local value, err = process.run{"yes", stdout = s}
    assert.is_nil(value)
    assert.is_true(err.code == "EPIPE" or err.code == "ECONNRESET", tostring(err))
    assert.equal("run", err.op)
    s:close()
    local ok, raised = pcall(process.run, {"yes", stdout = s})
    assert.is_false(ok)
    assert.equal("ECLOSED", raised.code)
  end)

  test("max_output stops a program that says more, and keeps what fits", function()
    local r, err = process.run{"yes", max_output = 100000}
    assert_error("EMSGSIZE", "run", r, err)
    assert.equal(("y\n"):rep(50000), err.result.stdout)
    assert.matches("more than 100000 bytes of stdout", tostring(err))
    r, err = process.run{shell = "head -c 100000000 /dev/zero >&2", max_output = 1000}
    assert_error("EMSGSIZE", "run", r, err)
    assert.equal(("\0"):rep(1000), err.result.stderr)
    assert.equal("abc", process.run{"printf", "abc", max_output = 3}.stdout)
    assert_error("EMSGSIZE", "run", process.run{"printf", "abcd", max_output = 3})
  end)
end)

describe("process.spawn", function()
  test("talks to the program while it runs", function()
    local p <close> = assert(process.spawn{"cat"})
    assert.equal("integer", math.type(p.pid))
    assert.is_true(children.runs(p.pid))
    for i = 1, 3 do
      assert(p.stdin:write(i, "\n"))
      assert.equal(tostring(i), p.stdout:read())
    end
    p.stdin:close()
    assert.is_nil(p.stdout:read())
    assert.is_nil(p.stderr:read())
    local r = assert(p:wait())
    assert.is_true(r.ok)
    assert.equal(r, p:wait())
    assert.equal(r, p:close())
  end)

  test("streams are real pipes, which block for the program", function()
    local p <close> = assert(process.spawn{shell = "readlink /proc/$$/fd/0 /proc/$$/fd/1; "
      .. "grep flags /proc/$$/fdinfo/0 /proc/$$/fdinfo/1"})
    local text = p.stdout:read("a")
    assert.matches("^pipe:%[%d+%]\npipe:%[%d+%]\n", text)
    for flags in text:gmatch("flags:%s*(%d+)") do
      assert.equal(0, tonumber(flags, 8) & tonumber("4000", 8)) -- O_NONBLOCK
    end
    p:wait()
  end)

  test("its fields are the script's to change", function()
    local p <close> = assert(process.spawn{"cat"})
    local stdin, stdout = p.stdin, p.stdout
    p.stdin, p.stdout, p.stderr = 5, {}, io.stdout
    assert.equal("SIGTERM", p:close().signal)
    outcomes.assert_raises("ECLOSED", stdin.write, stdin, "x")
    outcomes.assert_raises("ECLOSED", stdout.recv, stdout)
  end)

  test("only the streams that are wanted are there", function()
    local p <close> = assert(process.spawn({"echo", "hi"}, {stdin = "null", stderr = "null"}))
    assert.is_nil(p.stdin)
    assert.is_nil(p.stderr)
    assert.equal("hi", p.stdout:read())
    p:wait()
  end)

  test("many tasks may wait, and a wait may have a limit", function()
    local p <close> = assert(process.spawn{"cat"})
    local waiters = {}
    for i = 1, 10 do waiters[i] = outcomes.waiting(p.wait, p) end
    assert_error("ETIMEDOUT", "wait", p:wait{timeout = 0.01})
    assert_error("ETIMEDOUT", "wait", p:wait{timeout = 0})
    waiters[1]:cancel()
    p.stdin:close()
    for i = 2, 10 do assert.equal(0, waiters[i]:await().code) end
    assert.equal(0, p:wait{timeout = 0}.code)
    assert_misuse('unknown option "timout"', p.wait, p, {timout = 1})
  end)

  test("kill sends a signal to the group", function()
    local p <close> = assert(process.spawn{shell = "trap 'echo usr' USR1; echo up; "
      .. "while :; do sleep 0.01; done"})
    assert.equal("up", p.stdout:read())
    assert.is_true(p:kill("SIGUSR1"))
    assert.equal("usr", p.stdout:read())
    assert.is_true(p:kill("USR1"))
    assert.equal("usr", p.stdout:read())
    assert.is_true(p:kill(10))
    for _, name in ipairs{"", "SIG", "SIGSIGUSR1", "usr1", "USR1\0"} do
      assert_misuse("kill takes the name of a signal such as", p.kill, p, name)
    end
    assert_misuse("kill takes the name of a signal such as", p.kill, p, 0)
    assert_misuse("kill takes the name of a signal such as", p.kill, p, -9)
    assert.is_true(p:kill())
    assert.equal("SIGTERM", p:wait().signal)
    assert_error("ESRCH", "kill", p:kill())
  end)

  test("S20 use after close raises, naming the line", function()
    local p = assert(process.spawn{"cat"})
    local r = p:close()
    assert.equal("SIGTERM", r.signal)
    assert.equal(r, p:close())
    for _, name in ipairs{"wait", "kill"} do
      local ok, err = pcall(p[name], p)
      assert.is_false(ok)
      assert.equal("ECLOSED", err.code)
      assert.matches("the process was closed at tests/spec/process_spec.lua:%d+", tostring(err))
    end
    local ok, err = pcall(p.stdin.write, p.stdin, "x")
    assert.is_false(ok)
    assert.equal("ECLOSED", err.code)
  end)

  test("shows what it is", function()
    local p <close> = assert(process.spawn{"cat"})
    assert.matches("^process 0x%x+ %(cat, pid %d+, running%)$", tostring(p))
    assert.equal("pipe stream (stdin of cat, open)", tostring(p.stdin))
    local names = table.concat(require("corun.debug").tasks(), "\n")
    assert.matches(("waiting for the end of process %d (cat)"):format(p.pid), names, 1, true)
    p.stdin:close()
    p:wait()
    assert.matches("ended%)$", tostring(p))
    p:close()
    assert.matches("closed%)$", tostring(p))
  end)

  test("the program sees the end of its input when stdin is closed", function()
    local p <close> = assert(process.spawn{"wc", "-c"})
    assert(p.stdin:write(("x"):rep(1000000)))
    assert(p.stdin:close())
    assert.equal("1000000", p.stdout:read():match("%d+"))
    p:wait()
  end)
end)

describe("the limit of descriptors", function()
  -- Run code with a soft limit of 64 and a hard one of 1000; what it wrote.
  local function limited(code)
    local r = assert(process.run({"sh", "-c", 'ulimit -n 1000; ulimit -Sn 64; exec "$0" -e "$1"',
      os.getenv("CORUN"), code}))
    assert.equal("", r.stderr)
    return r.stdout
  end

  test("is raised to the hard one at the start", function()
    assert.equal("300 more\n", limited[[
      local files = {}
      for i = 1, 300 do files[i] = assert(io.open("/dev/null")) end
      print(#files .. " more")]])
  end)

  test("is for programs what it was, however many descriptors are open", function()
    assert.equal("64 1000\n64 1000\ntrue\n", limited[[
      local process = require "corun.process"
      local files = {}
      for _ = 1, 2 do
        io.write((assert(process.run{shell = "echo $(ulimit -Sn) $(ulimit -Hn)"}).stdout))
        for i = 1, 300 do files[#files + 1] = assert(io.open("/dev/null")) end
      end
      local r = assert(process.run{shell = "test -t 0 && ulimit -Sn", pty = true})
      print(r.stdout:match("%d+") == "64")]])
  end)

  test("is for others never less, while programs are started", function()
    assert.equal("nothing failed\n", limited[[
      local corun = require "corun"
      local files, failure, is_over = {}, nil, false
      for i = 1, 200 do files[i] = assert(io.open("/dev/null")) end
      local function use(fn, ...)
        while not is_over do
          local _, err = fn(...)
          failure = failure or err
        end
      end
      local dir <close> = assert(corun.fs.temp{dir = true}) -- longer than what writes there
      corun.scope(function(s)
        s:spawn(use, corun.fs.read, "/dev/null")
        s:spawn(use, corun.fs.write, dir:path() .. "/x", "x", {atomic = true})
        s:spawn(use, function() return corun.fs.exists("/"), select(2, corun.fs.glob("/*")) end)
        for _ = 1, 100 do assert(corun.process.run{"true"}) end
        is_over = true
      end)
      print(failure or "nothing failed")]])
  end)

  test("a program that cannot be started leaves it raised", function()
    assert.equal("ENOENT\n300 more\n", limited[[
      local _, err = require("corun.process").run{"/nowhere"}
      print(err.code)
      local files = {}
      for i = 1, 300 do files[i] = assert(io.open("/dev/null")) end
      print(#files .. " more")]])
  end)
end)

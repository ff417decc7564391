-- SPDX-License-Identifier: MIT
-- corun.stdin, stdout and stderr as pipes, files, sockets, devices and closed descriptors (S19,
-- S20, S38, S41). All in children. Terminals: tty_spec.
local corun = require "corun"
local process = require "corun.process"
local program = dofile("tests/fixtures/cli/program.lua")

local has_python = os.execute("python3 -c '' 2>/dev/null")

-- Run a line of the shell in which $CORUN is the program and $SCRIPT a file with `code`.
local function sh(line, code, o)
  local path = os.tmpname()
  local file <close> = assert(io.open(path, "w"))
  file:write('local corun = require "corun"\nlocal stdin, stdout = corun.stdin, corun.stdout\n',
    code)
  file:close()
  local r = program.sh("SCRIPT=" .. path .. "\n" .. line, o)
  os.remove(path)
  return r
end

-- For children whose reader keeps up: no call of theirs is refused (tests/ext/short_calls.c).
local KEPT_UP = {env = "-u LD_PRELOAD"}

local function assert_out(out, r)
  assert.same({out = out, err = "", status = 0}, r)
end

local COPY = [[
  while true do
    local data, err = stdin:recv()
    assert(not err, err)
    if not data then break end
    assert(stdout:write(data))
  end]]

-- What the shell makes descriptor 0 of; each gives "one\ntwo\nthree".
local SOURCES = {
  ["a pipe"] = [[printf 'one\ntwo\nthree' | $CORUN $SCRIPT]],
  ["a slow pipe"] = [[(printf 'on'; sleep 0.05; printf 'e\ntwo'; sleep 0.05; printf '\nthree') |
    $CORUN $SCRIPT]],
  ["a file"] = [[printf 'one\ntwo\nthree' >$SCRIPT.in; $CORUN $SCRIPT <$SCRIPT.in; rm $SCRIPT.in]],
  ["a fifo"] = [[mkfifo $SCRIPT.in; printf 'one\ntwo\nthree' >$SCRIPT.in &
    $CORUN $SCRIPT <$SCRIPT.in; rm $SCRIPT.in]],
  ["a socket"] = [[printf 'one\ntwo\nthree' | python3 -c '
import socket, subprocess, sys
a, b = socket.socketpair()
p = subprocess.Popen(sys.argv[1:], stdin=b)
b.close()
a.sendall(sys.stdin.buffer.read())
a.close()
p.wait()' $CORUN $SCRIPT]],
}

describe("corun.stdin", function()
  for name, line in pairs(SOURCES) do
    it("reads lines, bytes and all of " .. name .. " (S41)", function()
      if name == "a socket" and not has_python then return pending("python3 is not installed") end
      assert_out("one|two|three|", sh(line, [[
        for l in stdin:lines() do io.write(l, "|") end]]))
      assert_out("on|e\n|two\nthree|nil", sh(line, [[
        io.write(stdin:read(2), "|", stdin:read("L"), "|", stdin:read("a"), "|",
          tostring(stdin:read()))]]))
    end)
  end

  it("is at its end for /dev/null, and fails where the descriptor is closed", function()
    assert_out("nil\n", sh("$CORUN $SCRIPT </dev/null", "print(stdin:read())"))
    assert_out("nil\tread stdin: bad file descriptor (EBADF)\n",
      sh("$CORUN $SCRIPT <&-", "print(stdin:read())"))
  end)

  it("fails for a folder by its name", function()
    assert_out("nil\tread stdin: illegal operation on a directory (EISDIR)\n",
      sh("$CORUN $SCRIPT </", "print(stdin:read())"))
  end)

  it("is not mistaken for a file that was opened later, where it is closed", function()
    assert_out("Bad file descriptor\n", sh("$CORUN $SCRIPT <&-", [[
      local file = io.open(arg[0])
      print((select(2, io.read())))
      file:close()]]))
  end)

  it("fails for reading what is open for writing alone, and the other way round", function()
    assert_out("nil\tread stdin: bad file descriptor (EBADF)\n",
      sh("$CORUN $SCRIPT 0>/dev/null", "print(stdin:read())"))
    local r = sh("$CORUN $SCRIPT 1</dev/null", [[
      io.stderr:write(tostring(stdout:write("x")), "\n")]])
    assert.equal("nil\n", r.err)
  end)

  it("is at the end for a script that came from there", function()
    assert_out("script\nnil\n", program.sh("$CORUN -", {stdin = [[
      print("script")
      print(require("corun").stdin:read())]]}))
  end)

  it("gives back what it read ahead of a file, as io does at the end", function()
    assert_out("one\ntwo\nthree\n", sh([[
      printf 'one\ntwo\nthree\n' >$SCRIPT.in
      { $CORUN $SCRIPT; cat; } <$SCRIPT.in
      rm $SCRIPT.in]], "print(stdin:read())"))
  end)

  it("reads a file from where it stands", function()
    assert_out("two\n", sh([[
      printf 'one\ntwo\n' >$SCRIPT.in
      { read line; $CORUN $SCRIPT; } <$SCRIPT.in
      rm $SCRIPT.in]], COPY))
  end)

  it("S20 a second reader raises EBUSY", function()
    assert_out("EBUSY\n", sh("sleep 0.2 | $CORUN $SCRIPT", [[
      local t = corun.spawn(stdin.read, stdin)
      repeat corun.yield() until t:status() == "waiting"
      print(select(2, pcall(stdin.read, stdin)).code)]]))
  end)

  it("S19 a cancelled read loses no byte", function()
    for _, line in ipairs{
      [[(sleep 0.1; printf 'lin'; sleep 0.1; printf 'e\n') | $CORUN $SCRIPT]],
      [[printf 'line\n' >$SCRIPT.in; $CORUN $SCRIPT <$SCRIPT.in; rm $SCRIPT.in]],
    } do
      assert_out("line\n", sh(line, [[
        for i = 1, 20 do
          local t = corun.async(stdin.read, stdin)
          for _ = 1, i % 3 do corun.yield() end
          t:cancel()
          local got = t:await()
          if got then return print(got) end
        end
        local line = corun.timeout(0.15, stdin.read, stdin)
        print(line or stdin:read())]]))
    end
  end)

  it("S38 a task that waits for it waits for the world, not for a deadlock", function()
    assert_out("nil\n", sh("sleep 0.2 | $CORUN $SCRIPT", "print(stdin:read())"))
    local p <close> = assert(process.spawn{program.path, "-e", [[local corun = require "corun"
      corun.stdin:read(0, {timeout = 0})
      corun.channel():recv()]], stdin = "pipe", stderr = "null"})
    assert.equal(13, p:wait().code)
  end)

  it("S20 raises after close, which the writer sees", function()
    local r = sh("(echo one; sleep 0.1; yes) | $CORUN $SCRIPT", [[
      print(stdin:read())
      stdin:close()
      stdin:close()
      print(io.read())
      print(pcall(stdin.read, stdin))]])
    assert.matches("^one\nnil\nfalse\t.*closed.*ECLOSED", r.out)
    assert.equal(0, r.status)
  end)

  it("keeps only a bounded part of a flood that nobody reads", function()
    local r = sh("yes | head -c 50000000 | $CORUN $SCRIPT", [[
      stdin:read()
      corun.sleep(0.2)
      collectgarbage()
      local f = io.open("/proc/self/statm")
      print(f:read("n", "n"))]])
    assert.equal(0, r.status)
    assert.is_true(tonumber(r.out:match("%d+%s+(%d+)")) * 4096 < 40e6 or r.out) -- ASan takes more
  end)

  it("reads 20 MB from a pipe and from a file, byte for byte #heavy", function()
    local lines = [[
      yes 0123456789 | head -c 20000000 >$SCRIPT.in
      %s
      rm $SCRIPT.in]]
    for _, line in ipairs{"$CORUN $SCRIPT <$SCRIPT.in | cmp - $SCRIPT.in && echo same",
      "cat $SCRIPT.in | $CORUN $SCRIPT >$SCRIPT.out; cmp $SCRIPT.in $SCRIPT.out && echo same; " ..
      "rm $SCRIPT.out"} do
      assert_out("same\n", sh(lines:format(line), COPY))
    end
  end)
end)

describe("corun.stdout", function()
  it("stands in one order with print and io.write", function()
    local code = [[
      for i = 1, 20 do
        print("print", i)
        assert(stdout:write("write ", i, "\n"))
        io.write("io ", i, "\n")
      end]]
    local expected = {}
    for i = 1, 20 do expected[i] = ("print\t%d\nwrite %d\nio %d\n"):format(i, i, i) end
    expected = table.concat(expected)
    assert_out(expected, sh("$CORUN $SCRIPT", code, KEPT_UP))
    assert_out(expected, sh("$CORUN $SCRIPT | cat", code, KEPT_UP))
    if has_python then
      assert_out(expected, sh([[python3 -c '
import socket, subprocess, sys
a, b = socket.socketpair()
p = subprocess.Popen(sys.argv[1:], stdout=b)
b.close()
while (data := a.recv(65536)): sys.stdout.buffer.write(data)
p.wait()' $CORUN $SCRIPT]], code, KEPT_UP))
    end
  end)

  it("waits for a slow reader while other tasks go on, and loses nothing", function()
    local r = sh("$CORUN $SCRIPT | (sleep 0.3; wc -c)", [[
      local done, ticks = false, 0
      corun.daemon(function()
        while true do
          corun.sleep(0.01)
          ticks = ticks + 1
        end
      end)
      for i = 1, 100 do assert(stdout:write(("x"):rep(10000))) end
      io.stderr:write(ticks > 5 and "went on" or "stood still")]])
    assert.equal("1000000", r.out:match("%d+"))
    assert.equal("went on", r.err)
  end)

  it("sends at the end what is still queued", function()
    local r = sh("$CORUN $SCRIPT | (sleep 0.2; wc -c)", [[stdout:write(("x"):rep(1000000))]])
    assert.equal("1000000", r.out:match("%d+"))
  end)

  it("cuts a large write to a file, and keeps its order", function()
    assert_out("30000002 ab\n", sh([[
      $CORUN $SCRIPT >$SCRIPT.out
      echo $(($(wc -c <$SCRIPT.out))) $(head -c 1 $SCRIPT.out)$(tail -c 1 $SCRIPT.out)
      rm $SCRIPT.out]], [[
      stdout:write("a", ("x"):rep(30000000))
      assert(stdout:write("b"))]]))
  end)

  it("S20 close lets the reader see the end while the script goes on", function()
    assert_out("ab\nreader ended\n", sh([[
      { $CORUN $SCRIPT; } | { cat; touch $SCRIPT.end; echo reader ended; }
      rm $SCRIPT.end]], [[
      io.write("a")
      stdout:write("b\n")
      stdout:close()
      print("nobody sees this")
      local file
      for _ = 1, 500 do
        file = io.open(arg[0] .. ".end")
        if file then break end
        corun.sleep(0.01)
      end
      assert(file)]]))
  end)

  it("gives an error of the device as a value", function()
    local r = sh("$CORUN $SCRIPT >/dev/full", [[
      local ok, err = stdout:write("x")
      io.stderr:write(tostring(ok), " ", tostring(err))]])
    assert.equal("nil write stdout: no space left on device (ENOSPC)", r.err)
  end)

  it("whose reader has gone ends the program like other tools: cleanly, by SIGPIPE", function()
    for _, loop in ipairs{"while true do print('y') end",
      "while true do stdout:write('y\\n') end",
      "while true do assert(stdout:write('y\\n')) end",
      "while true do io.write('y\\n') corun.yield() end"} do
      local r = sh("{ $CORUN $SCRIPT; echo $? >&2; } | head -1", [[
        local _ <close> = corun.defer(function()
          print("more")
          io.stderr:write("clean\n")
        end)
        ]] .. loop)
      assert.same({out = "y\n", err = "clean\n141\n", status = 0}, r)
    end
  end)

  it("whose reader has gone does not end a program that writes elsewhere", function()
    local r = sh("{ $CORUN $SCRIPT; echo $? >&2; } | head -1", [[
      stdout:write("listening\n")
      corun.sleep(0.1)
      local server = corun.net.serve("127.0.0.1:0", function(s) s:recv() end)
      local s <close> = corun.net.connect(server:address())
      s:write("x")
      corun.sleep(0.05)
      for _ = 1, 20 do
        s:write("y")
        corun.sleep(0.001)
      end
      io.stderr:write(select(2, s:write("z")).code, "\n")
      server:close()]])
    assert.same({out = "listening\n", err = "EPIPE\n0\n", status = 0}, r)
  end)

  it("may lose its reader when the script listens to SIGPIPE", function()
    local r = sh("{ $CORUN $SCRIPT; echo $? >&2; } | head -1", [[
      local s <close> = corun.signal("PIPE")
      local ok, err
      repeat ok, err = stdout:write("y\n") until not ok
      io.stderr:write(err.code, " ", s:recv(), "\n")]])
    assert.same({out = "y\n", err = "EPIPE PIPE\n0\n", status = 0}, r)
  end)

  it("does not care for a reader of another descriptor", function()
    assert_out("false\n", sh("$CORUN $SCRIPT", [[
      local pipe = io.popen("exec 0<&-; sleep 0.1", "w")
      corun.sleep(0.05)
      print(pipe:write("x"):flush() ~= nil)
      pipe:close()]]))
  end)
end)

describe("standard descriptors", function()
  it("keep their flags, during and after", function()
    if not has_python then return pending("python3 is not installed") end
    local r = sh([[python3 -c '
import fcntl, os, socket, subprocess, sys
def kinds():
    yield "pipe", os.pipe(), os.pipe()
    a, b = socket.socketpair(); c, d = socket.socketpair()
    yield "socket", (a.detach(), b.detach()), (c.detach(), d.detach())
for name, (r, w), (out, err) in kinds():
    flags = lambda: [fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK for fd in (r, w, out, err)]
    p = subprocess.Popen(sys.argv[1:], stdin=r, stdout=err, stderr=err)
    os.write(w, b"go\n")
    got = b""
    while not got.endswith(b"\n"): got += os.read(out, 100)
    during = flags()
    os.write(w, b"end\n")
    p.wait()
    print(name, got, during, flags())
' $CORUN $SCRIPT]], [[
      assert(stdin:read() == "go")
      corun.stderr:write("") -- libuv sets the flag for a moment while a stream is opened
      stdout:write("up\n")
      stdin:read()]])
    local zero = "[0, 0, 0, 0]"
    assert_out(("pipe b'up\\n' %s %s\nsocket b'up\\n' %s %s\n"):format(zero, zero, zero, zero), r)
  end)

  it("are the programs' that the script starts, too", function()
    assert_out("one\ntwo\n", sh([[printf 'one\n' | $CORUN $SCRIPT]], [[
      corun.stdout:write("")
      corun.stderr:write("")
      os.execute("cat; echo two")]]))
  end)

  it("can be opened no more when there are no descriptors", function()
    local r = sh("ulimit -n 64; $CORUN $SCRIPT 2>&1 | cat", [[
      local files = {}
      repeat
        local file = io.open("/dev/null")
        files[#files + 1] = file
      until not file
      print(pcall(function() return corun.stderr end))
      files = nil
      collectgarbage()
      print(pcall(corun.stderr.write, corun.stderr, ""))]])
    assert.matches("false\topen stderr: too many open files", r.out)
    assert.matches("\ntrue\ttrue\n$", r.out)
  end)

  it("end no prompt and no loop when there are no descriptors", function()
    local path = os.tmpname()
    local file <close> = assert(io.open(path, "w"))
    file:write([[
      local corun = require "corun"
      local held = {}
      repeat
        local f = io.open("/dev/null")
        held[#held + 1] = f
      until not f
      local function say(ok, err) io.write(tostring(ok), " ", err.op, " ", err.code, "\n") end
      say(corun.tty.prompt("x? "))
      say(corun.tty.hidden("x? "))
      say(corun.tty.raw())
      for i in corun.progress(2) do io.write(i, "\n") end
      for _, f in ipairs(held) do f:close() end
      corun.stdout:write("at last\n")]])
    file:close()
    local r = program.sh("ulimit -n 24; echo x | $CORUN " .. path .. " 2>&1 | cat")
    os.remove(path)
    assert.equal(("nil open EMFILE\n"):rep(3) .. "1\n2\nat last\n", r.out)
    assert.equal("", r.err)
  end)

  it("S26 a read of a device that never ends does not keep the program", function()
    local r = sh("timeout 10 $CORUN --grace=0.2 $SCRIPT </dev/zero", [[
      assert(#stdin:read(1000000) == 1000000)]])
    assert.equal(0, r.status)
  end)

  it("leave nothing behind on out of memory", function()
    for n = 1, 400, 13 do
      local r = sh("printf 'a\\nb\\n' | $CORUN $SCRIPT", [[
        for l in corun.stdin:lines() do corun.stdout:write(l, "\n") end]],
        {env = "CORUN_FAIL_ALLOC=" .. 2000 + n})
      assert.is_truthy(r.status == 0 or r.status == 1 or r.status == 70, corun.json.encode(r))
    end
  end)
end)

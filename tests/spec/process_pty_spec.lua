-- SPDX-License-Identifier: MIT
-- corun.process on a pseudo-terminal: what the program sees, sizes, the end, typed signals.
local corun = require "corun"
local process = require "corun.process"
local children = dofile("tests/spec/support/children.lua")
local outcomes = dofile("tests/spec/support/outcomes.lua")

local assert_error = outcomes.assert_error

local function test(name, fn)
  it(name, children.checked(fn))
end

describe("pty", function()
  test("the program has a terminal on all three", function()
    local r = assert(process.run{shell = "test -t 0 && test -t 1 && test -t 2 && tty; stty size",
      pty = true})
    assert.matches("^/dev/[%w/]+\r\n24 80\r\n$", r.stdout)
    assert.is_nil(r.stderr)
    assert.is_true(r.ok)
    assert.equal("not a tty\n", process.run{"tty"}.stdout)
  end)

  test("it is the controlling one, in a session of its own", function()
    local r = assert(process.run{shell = "echo told >/dev/tty; cut -d ' ' -f 1,5,6,8 /proc/$$/stat",
      pty = true})
    local pid, group, session, foreground = r.stdout:match("^told\r\n(%d+) (%d+) (%d+) (%d+)")
    assert.equal(pid, group)
    assert.equal(pid, session)
    assert.equal(pid, foreground)
  end)

  test("has the size that is asked for, and can be resized", function()
    assert.equal("30 100\r\n", process.run{"stty", "size", pty = {cols = 100, rows = 30}}.stdout)
    local p <close> = assert(process.spawn{shell = "trap 'stty size' WINCH; echo up; "
      .. "while :; do sleep 0.01; done", pty = {rows = 5}})
    assert.equal(p.stdin, p.stdout)
    assert.is_nil(p.stderr)
    assert.equal("up\r", p.stdout:read())
    assert.is_true(p:resize(132, 50))
    assert.equal("50 132\r", p.stdout:read())
    local ok, err = pcall(p.resize, p, 0, 1)
    assert.is_false(ok)
    assert.matches("resize takes", err)
  end)

  test("the end of the program is the end of the stream", function()
    local p <close> = assert(process.spawn{"echo", "last words", pty = true})
    assert.equal("last words\r\n", p.stdout:read("a"))
    assert.is_nil(p.stdout:read())
    assert.is_true(p:wait().ok)
    local big = assert(process.run{shell = "seq 1 20000", pty = true})
    assert.equal(20000, select(2, big.stdout:gsub("\r\n", "")))
  end)

  test("input comes as if typed, and ends", function()
    assert.equal("abc\r\nabc\r\n", process.run{"cat", pty = true, input = "abc\n"}.stdout)
    assert.equal("3\r\n", process.run{shell = "stty -echo; wc -c", pty = true,
      input = function()
        corun.sleep(0.1)
        return nil
      end}.stdout:gsub("^0", "3"))
    local r = assert(process.run{shell = "stty -echo; echo up; cat", pty = true, input = "no end"})
    assert.matches("no end$", r.stdout)
  end)

  test("a password prompt can be answered", function()
    local p <close> = assert(process.spawn{shell = "stty -echo; printf 'Password: ' >/dev/tty; "
      .. "read x </dev/tty; stty echo; echo; echo got $x", pty = true})
    assert.equal("Password: ", p.stdout:read_until(": "))
    p.stdin:write("secret\n")
    assert.equal("\r\ngot secret\r\n", p.stdout:read("a"))
    p:wait()
  end)

  test("Ctrl-C typed into it is a signal for the program", function()
    local p <close> = assert(process.spawn{shell = "echo up; exec sleep 1000", pty = true})
    assert.equal("up\r", p.stdout:read())
    p.stdin:write("\3")
    assert.equal("SIGINT", p:wait().signal)
  end)

  test("is stopped like any other", function()
    local r, err = process.run{shell = "echo up; exec sleep 1000", pty = true, timeout = 0.2}
    assert_error("ETIMEDOUT", "run", r, err)
    assert.equal("up\r\n", err.result.stdout)
    assert.equal("SIGTERM", err.result.signal)
    local p = assert(process.spawn{"cat", pty = true})
    assert.equal("SIGTERM", p:close().signal)
    local ok, closed = pcall(p.resize, p, 10, 10)
    assert.is_false(ok)
    assert.equal("ECLOSED", closed.code)
    assert.matches("^pty stream %(terminal of cat, closed%)$", tostring(p.stdin))
  end)

  test("its options are checked", function()
    for _, bad in ipairs{{cols = 0}, {colls = 10}, {rows = 1.5}, {cols = 70000}} do
      local ok, err = pcall(process.run, {"true", pty = bad})
      assert.is_false(ok)
      assert.matches("pty", err)
    end
    local p <close> = assert(process.spawn{"cat"})
    local ok, err = pcall(p.resize, p, 10, 10)
    assert.is_false(ok)
    assert.matches("has no terminal", err)
  end)

  test("a program that reads from the terminal of this one is not stopped", function()
    local corun_path = process.run{shell = "readlink /proc/$PPID/exe"}.stdout:match("[^\n]+")
    local code = [[print(require("corun.process").run({shell = "read x; echo got $x"},
      {stdin = "inherit"}).stdout)]]
    local r = assert(process.run({corun_path, "-e", code}, {pty = true, input = "hello\n",
      timeout = 20}))
    assert.matches("got hello", r.stdout)
  end)
end)

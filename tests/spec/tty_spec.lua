-- SPDX-License-Identifier: MIT
-- corun.tty and the standard streams on a pseudo-terminal, with a person in front of it; the mode
-- of the terminal after every way out (S27).
local tty = dofile("tests/spec/support/tty.lua")

local NORMAL, HIDDEN = "echo=1 icanon=1 isig=1", "echo=0 icanon=1 isig=1"
local RAW = "echo=0 icanon=0 isig=0"

local function script(code)
  return 'local corun = require "corun"\nlocal tty, stdin = corun.tty, corun.stdin\n' .. code
end

local function assert_result(expected, r)
  for key, value in pairs(expected) do
    assert.same(value, r[key], key .. " of " .. require("corun").json.encode(r))
  end
  assert.equal(NORMAL, r.mode)
end

describe("standard streams on a terminal", function()
  it("read lines as they are typed, up to Ctrl-D, after which more can be read", function()
    assert_result({status = 0,
      out = "go\r\none\r\ngot one\r\ntwo\r\ngot two\r\nend\r\nthree\r\ngot three\r\n"},
      tty.run({"expect go", "send one\\r", "expect got one", "send two\\r", "expect got two",
        "send \\x04", "expect end", "send three\\r"}, script[[
        print("go")
        for line in stdin:lines() do corun.stdout:write("got ", line, "\n") end
        print("end")
        print("got " .. stdin:read())]]))
  end)

  it("leave print, io.read, io.stderr and programs started by the script as they were", function()
    assert_result({status = 0,
      out = "go\r\none\r\none!\r\ntwo\r\ntwo!\r\nthree\r\nthree!\r\nerr\r\n"},
      tty.run({"expect go", "send one\\r", "expect one!", "send two\\r", "expect two!",
        "send three\\r"}, script[[
        corun.stderr:write("")
        print("go")
        corun.stdout:write(stdin:read(), "!\n")
        os.execute("read x; echo $x!")
        print(io.read() .. "!")
        io.stderr:write("err\n")]]))
  end)

  it("leave the flags of the descriptors alone", function()
    assert_result({status = 0}, tty.run({"expect go", "send x\\r"}, script[[
      corun.stdout:write("go")
      corun.stderr:write("")
      stdin:read()
      for fd = 0, 2 do
        local info <close> = io.open(("/proc/self/fdinfo/%d"):format(fd))
        local flags = info and tonumber(info:read("a"):match("flags:%s*(%d+)"), 8) or 0
        assert(flags & tonumber("4000", 8) == 0) -- O_NONBLOCK
        assert(flags & tonumber("2000000", 8) == 0) -- O_CLOEXEC
      end]]))
  end)

  it("can be asked for, and have a size that follows the window", function()
    assert_result({status = 0,
      out = "80\t24\r\nWINCH\t100\t30\r\ntrue\ttrue\ttrue\ttrue\tfalse\r\n"},
      tty.run({"expect 24", "size 100 30"}, script[[
        local s <close> = corun.signal("WINCH")
        print(tty.size())
        print(s:recv(), tty.size())
        print(tty.is("stdin"), tty.is("stderr"), tty.is(corun.stdout), tty.is(io.stderr),
          tty.is(io.open("/dev/null")))]]))
  end)
end)

describe("corun.tty.raw", function()
  it("gives each key at once and unseen, Ctrl-C too, until it is closed", function()
    assert_result({status = 0, notes = {RAW, NORMAL},
      out = "raw\r\n97\r\n3\r\n13\r\ndone\r\nx\r\n"},
      tty.run({"expect raw", "mode", "send a", "expect 97", "send \\x03", "expect 3", "send \\r",
        "expect done", "mode", "send x\\r"}, script[[
        do
          local mode <close> = tty.raw()
          print("raw")
          for _ = 1, 3 do print(stdin:recv():byte()) end
        end
        print("done")
        stdin:read()]]))
  end)

  local WAYS = {
    ["the end of the script"] = {"", status = 0},
    ["an error"] = {"error('x')", status = 1},
    ["corun.exit"] = {"corun.exit(3)", status = 3},
    ["os.exit"] = {"os.exit(4)", status = 4},
    ["--timeout"] = {"corun.sleep(60)", status = 124, options = "--timeout=0.1"},
    ["a deadlock"] = {"corun.channel():recv()", status = 13},
    ["SIGTERM"] = {"corun.sleep(60)", signal = 15, steps = {"signal TERM"}},
    ["a spin and SIGINT"] = {"print('on') while true do end", signal = 2,
      steps = {"expect on", "signal INT"}},
    ["the second SIGINT"] = {"pcall(stdin.recv, stdin) print('on') while true do end", status = 130,
      steps = {"signal INT", "expect on", "signal INT"}, options = "--grace=60"},
    ["the grace"] = {"corun.shield(corun.sleep, 60)", signal = 15, steps = {"signal TERM"},
      options = "--grace=0.1"},
    ["a reader of stdout that goes"] = {"while true do print('y') end", status = 0,
      command = "$CORUN $SCRIPT | head -2 >/dev/null"},
  }
  for name, way in pairs(WAYS) do
    it("is undone by " .. name, function()
      local steps = {"expect raw", "mode", "send k", "expect ready", table.unpack(way.steps or {})}
      local command = way.command or ("exec $CORUN %s $SCRIPT"):format(way.options or "")
      local r = tty.sh(steps, command, script([[
        local kept = assert(tty.raw())
        io.stderr:write("raw\n")
        assert(stdin:recv() == "k")
        io.stderr:write("ready\n")
        ]] .. way[1]))
      assert_result({status = way.status, signal = way.signal, notes = {RAW}}, r)
    end)
  end

  it("is refused twice, and where stdin is no terminal", function()
    assert_result({status = 0,
      out = "nil\traw: the terminal's mode is changed already (EBUSY)\r\n"},
      tty.run({}, script[[
        local mode <close> = tty.raw()
        print(tty.raw())]]))
    assert_result({status = 0, out = "ENOTTY\r\nENOTTY\r\n"},
      tty.sh({}, "$CORUN $SCRIPT </dev/null; echo | $CORUN $SCRIPT",
        script"print(select(2, tty.raw()).code)"))
  end)

  it("is closed once, and says so", function()
    assert_result({status = 0}, tty.run({}, script[[
      local mode = tty.raw()
      assert(tostring(mode):match("^terminal mode 0x%x+ %(changed%)$"))
      mode:close()
      mode:close()
      assert(tostring(mode):match("%(restored%)$"))
      tty.raw():close()]]))
  end)
end)

describe("corun.tty.prompt", function()
  it("asks, and gives nil for Ctrl-D, once", function()
    assert_result({status = 0, out = "name? Ann\r\nage? \r\nnil\r\nage? 7\r\nAnn 7\r\n"},
      tty.run({"expect name? ", "send Ann\\r", "expect age? ", "send \\x04", "expect age? ",
        "send 7\\r"}, script[[
        local name = tty.prompt("name? ")
        local age = tty.prompt("age? ")
        print()
        print(age)
        age = tty.prompt("age? ")
        print(name .. " " .. age)]]))
  end)

  it("asks at the terminal when stdin and stdout are others", function()
    assert_result({status = 0, out = "first\r\nname? Ann\r\nfile: data\tAnn\r\n"},
      tty.sh({"expect name? ", "send Ann\\r"},
        "echo data | $CORUN $SCRIPT >$SCRIPT.out; printf 'file: '; cat $SCRIPT.out; rm $SCRIPT.out",
        script[[
        io.stderr:write("first\n")
        local data = stdin:read()
        print(data, (tty.prompt("name? ")))]]))
  end)

  it("reads stdin when there is no terminal, and asks on stderr", function()
    local program = dofile("tests/fixtures/cli/program.lua")
    local r = program.sh([[printf 'Ann\nsecret' | setsid -w $CORUN -e '
      local tty = require("corun").tty
      print(tty.prompt("name? "))
      print(tty.hidden("word? "))
      print(tty.prompt())
      print(tty.size())']])
    assert.equal("Ann\nsecret\nnil\n", r.out:match("^Ann\nsecret\nnil\n"))
    assert.equal("name? word? ", r.err)
  end)

  it("takes turns, and what was typed ahead is not lost", function()
    assert_result({status = 0}, tty.run({"expect one? ", "send 1\\r2\\r3\\r"}, script[[
      local tasks = {}
      for i, text in ipairs{"one? ", "two? ", "three? "} do
        tasks[i] = corun.async(tty.prompt, text)
        repeat corun.yield() until tasks[i]:status() == "waiting"
      end
      for i = 1, 3 do assert(tasks[i]:await() == tostring(i)) end]]))
  end)
end)

describe("corun.tty.hidden", function()
  it("shows nothing of what is typed, and restores the mode", function()
    assert_result({status = 0, notes = {HIDDEN, NORMAL}, out = "word? \r\n6\r\nname? Ann\r\n"},
      tty.run({"expect word? ", "mode", "send secret\\r", "expect name? ", "mode", "send Ann\\r"},
        script[[
        print(#tty.hidden("word? "))
        tty.prompt("name? ")]]))
  end)

  it("is undone by Ctrl-C", function()
    assert_result({signal = 2, notes = {HIDDEN}},
      tty.run({"expect word? ", "mode", "send sec\\x03"}, script[[tty.hidden("word? ")]]))
  end)

  it("is undone when it is cancelled, or times out", function()
    assert_result({status = 0, notes = {NORMAL}}, tty.run({"expect name? ", "mode", "send Ann\\r"},
      script[[
      assert(select(2, corun.timeout(0.05, tty.hidden, "word? ")).code == "ETIMEDOUT")
      local t = corun.async(tty.hidden)
      repeat corun.yield() until t:status() == "waiting"
      t:cancel()
      assert(t:await() == nil)
      assert(tty.prompt("name? ") == "Ann")]]))
  end)

  it("is hidden again after Ctrl-Z and fg", function()
    assert_result({status = 0, notes = {HIDDEN, HIDDEN}},
      tty.sh({"expect word? ", "mode", "group TSTP", "expect shell", "send fg\\r", "expect resumed",
        "mode", "send secret\\r", "expect got 6"},
        [[bash -c 'set -m; $CORUN $SCRIPT; stty echo; echo shell; read x; fg || fg']],
        script[[
        local s <close> = corun.signal("CONT")
        corun.daemon(function()
          s:recv()
          print("resumed")
          io.stdout:flush()
        end)
        print("got " .. #tty.hidden("word? "))]]))
  end)

  it("is refused in raw mode", function()
    assert_result({status = 0, out = "EBUSY\r\n"}, tty.run({}, script[[
      local mode <close> = tty.raw()
      print(select(2, pcall(tty.hidden, "x")).code)]]))
  end)
end)

describe("a program in the background", function()
  it("is stopped when it takes what is typed, and goes on in the foreground", function()
    assert_result({status = 0},
      tty.sh({"expect up", "send hello\\r", "expect stopped", "expect got hello"}, [[
      bash -c 'set -m; $CORUN $SCRIPT &
        for i in $(seq 500); do
          case $(ps -o stat= -p $!) in T*) echo stopped; break;; esac
          sleep 0.01
        done
        fg || fg']], script[[
      corun.stdout:write("up\n")
      print("got " .. tostring(stdin:read()))]]))
  end)
end)

-- SPDX-License-Identifier: MIT
-- corun.log: levels, text and JSON lines, what it survives. Here and in children.
local corun = require "corun"
local json = require "corun.json"
local log = require "corun.log"
local program = dofile("tests/fixtures/cli/program.lua")

-- Call `fn` with the log going into a table of lines, `settings` set; put all back.
local function lines_of(settings, fn)
  local lines, before = {}, {level = log.level, format = log.format, output = log.output}
  local _ <close> = corun.defer(function()
    for key, value in pairs(before) do log[key] = value end
  end)
  log.output = function(line) lines[#lines + 1] = line end
  for key, value in pairs(settings) do log[key] = value end
  fn()
  return lines
end

local function text(...)
  local args = table.pack(...)
  return lines_of({level = "debug"}, function() log.info(table.unpack(args, 1, args.n)) end)[1]
end

local function record(...)
  local args = table.pack(...)
  local lines = lines_of({format = "json"}, function() log.info(table.unpack(args, 1, args.n)) end)
  assert.matches("^[^\n]*\n$", lines[1])
  return assert(json.decode(lines[1]))
end

describe("corun.log as text", function()
  it("has a time, a level, the task's name, the message, and fields in order", function()
    local line = text("hello", {z = 1, a = "two words", b = true, url = "http://x/y"})
    assert.matches("^%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d%.%d%d%d info  %[task %d+%] hello " ..
      'a="two words" b=true url=http://x/y z=1\n$', line)
  end)

  it("shows tables as JSON, errors as their sentence, texts without ambiguity", function()
    local err = corun.err("EX", "it broke", {op = "get", target = "x"})
    local line = text("m", {t = {1, {k = "v"}}, e = err, quote = 'say "x"', empty = "",
      nl = "a\nb\tc", eq = "a=b", f = 1.5})
    assert.matches('m e="get x: it broke %(EX%)" empty="" eq="a=b" f=1.5 nl="a\\nb\\tc" ' ..
      'quote="say \\"x\\"" t=%[1,{"k":"v"}%]\n$', line)
    assert.matches('failed err="get x: it broke %(EX%)"\n$', text("failed", err))
    assert.matches("%] get x: it broke %(EX%)\n$", text(err))
  end)

  it("lets no message begin a line, or command the terminal", function()
    assert.matches("%] one\n    2026%-01%-01 two \\x1b%[31m\\x0d\n$",
      text("one\n2026-01-01 two \27[31m\r"))
    assert.matches('m "k\\x1b"=1\n$', text("m", {["k\27"] = 1}))
    assert.matches('%] \\xc2\\x9b31m é v="\\xc2\\x9b2J"\n$',
      text("\u{9b}31m é", {v = "\u{9b}2J"}))
  end)

  it("quotes the name of a field as its text", function()
    assert.matches('m "a b"=1 "c=d"="e f" ok=1\n$',
      text("m", {["a b"] = 1, ["c=d"] = "e f", ok = 1}))
    assert.matches('m ""=1 "q\\""=2\n$', text("m", {[""] = 1, ['q"'] = 2}))
  end)

  it("leaves out what is below the level", function()
    local lines = lines_of({level = "warn"}, function()
      log.debug("no")
      log.info("no")
      log.warn("yes")
      log.error("yes")
      log.level = "off"
      log.error("no")
    end)
    assert.equal(2, #lines)
    assert.matches(" warn  %[.*yes\n$", lines[1])
    assert.matches(" error %[.*yes\n$", lines[2])
  end)

  it("names the task", function()
    local lines = lines_of({}, function()
      corun.scope(function()
        local t = corun.async(function() log.info("x") end)
        t.name = "fetcher"
        t:await()
      end)
    end)
    assert.matches("%[fetcher%] x\n$", lines[1])
  end)

  it("lets no name of a task begin a line, or command the terminal", function()
    local lines = lines_of({}, function()
      corun.scope(function()
        local t = corun.async(function() log.info("x") end)
        t.name = "one\n\27two"
        t:await()
      end)
    end)
    assert.same(1, #lines)
    assert.matches("%[one\\x0a\\x1btwo%] x\n$", lines[1])
  end)
end)

describe("corun.log as JSON", function()
  it("is one object in each line: time, level, task, msg and the fields", function()
    local r = record("hello\n", {n = 17, f = 0.5, t = {1, 2}, s = "\u{e9}", b = false})
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", r.time)
    assert.matches("^task %d+$", r.task)
    r.time, r.task = nil, nil
    assert.same({level = "info", msg = "hello\n", n = 17, f = 0.5, t = {1, 2}, s = "\u{e9}",
      b = false}, r)
  end)

  it("gives the parts of errors", function()
    local cause = corun.err("EY", "deep")
    local err = corun.err("EX", "it broke", {op = "get", target = "x", cause = cause})
    assert.same({message = "get x: it broke (EX)", code = "EX", op = "get", target = "x",
      cause = {message = "deep (EY)", code = "EY"}}, record("failed", err).err)
  end)

  it("never raises, whatever the fields are", function()
    local cycle, wide = {}, {}
    cycle.self = cycle
    for i = 1, 20 do wide[i] = wide end
    wide.k = print
    local evil = setmetatable({}, {__tostring = function() error("no") end,
      __index = function() error("no") end, __pairs = function() error("no") end})
    local fields = {f = print, nan = 0/0, inf = math.huge, bytes = "a\xffb", [1] = "one",
      [true] = evil, cycle = cycle, wide = wide, evil = evil, level = "mine",
      task = corun.current(), ["bad\xff"] = 1, deep = {deep = {f = print}}}
    local r = record("m\xff", fields)
    assert.equal("m\u{fffd}", r.msg)
    assert.equal("a\u{fffd}b", r.bytes)
    assert.equal("info", r.level)
    assert.equal("mine", r.level_)
    assert.equal("one", r["1"])
    assert.matches("^function", r.f)
    assert.matches("^function", r.deep.deep.f)
    assert.matches("info .*m\u{fffd}", text("m\xff", fields))
    for _, odd in ipairs{42, "text", print} do
      assert.equal(tostring(odd), tostring(record("m", odd).field))
    end
    record(nil)
    record(evil)
  end)
end)

describe("corun.log.with", function()
  it("adds fields to each line; those of the line win", function()
    local lines = lines_of({}, function()
      local child = log.with{req = 1}.with{user = "u"}
      child.info("a")
      child.warn("b", {req = 2})
    end)
    assert.matches("a req=1 user=u\n$", lines[1])
    assert.matches("b req=2 user=u\n$", lines[2])
    assert.error_matches(function() log.with(1) end, "with takes a table of fields, got number")
  end)
end)

describe("corun.log settings", function()
  it("are checked in the caller's line", function()
    assert.error_matches(function() log.level = "inf" end,
      '^log.level cannot be "inf" %(did you mean "info"%?%)')
    assert.error_matches(function() log.format = "jsno" end, 'did you mean "json"')
    assert.error_matches(function() log.levle = "info" end,
      'no setting levle %(did you mean "level"')
    assert.error_matches(function() log.output = 7 end, "^log.output must be")
  end)

  it("come from CORUN_LOG", function()
    local code = "local log = require('corun').log log.debug('x') print(log.level, log.format)"
    local r = program.code(code, {env = "CORUN_LOG=debug,json"})
    assert.equal("debug\tjson\n", r.out)
    assert.equal("x", json.decode(r.err).msg)
    r = program.code(code, {env = "CORUN_LOG=degub"})
    assert.equal("info\ttext\n", r.out)
    assert.equal('corun: CORUN_LOG: "degub" is no level and no format\n', r.err)
  end)

  it("send the lines to a file, or to a stream", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    lines_of({output = file}, function()
      log.info("one")
      local f <close> = assert(io.open(path))
      assert.matches("one\n$", f:read("a"))
    end)
    file:close()
    os.remove(path)
    local r = program.code("local c = require('corun') c.log.output = c.stdout c.log.info('x')")
    assert.matches("info  %[main%] x\n$", r.out)
  end)

  it("fall back to standard error where the output fails", function()
    local r = program.code([[
      local corun = require "corun"
      corun.log.output = function() error("full", 0) end
      corun.log.info("x")]])
    assert.matches("%] x\ncorun: the log cannot be written: full\n$", r.err)
    assert.equal(0, r.status)
  end)

  it("send what the function logs that takes the lines to standard error", function()
    local r = program.code([[
      local corun = require "corun"
      local log = corun.log
      log.output = function(line)
        corun.sleep(0)
        log.warn("away")
        io.write(line)
      end
      corun.gather(function() log.info("one") end, function() log.info("one") end)
      log.output = function() error("full", 0) end
      log.info("three")
      log.output = function(line) io.write(line) end
      log.info("four")]])
    assert.matches("%] one\n.*%] one\n.*%] four\n$", r.out)
    assert.matches("%] away\n.*%] away\n.*%] three\ncorun: [^\n]*full\n$", r.err)
    assert.equal(0, r.status)
  end)
end)

describe("corun.log", function()
  it("works in clean-up, cancelled tasks, finalisers and without standard error", function()
    local r = program.code([[
      local corun = require "corun"
      local log = corun.log
      kept = setmetatable({}, {__gc = function() log.info("collected") end})
      corun.scope(function(s)
        s:cancel()
        local _ <close> = corun.defer(function() log.info("cleaning") end)
        log.info("cancelled")
      end)
      table.sort({2, 1}, function(a, b) log.info("sorting") return a < b end)]])
    local words = {}
    for word in r.err:gmatch("%] (%w+)\n") do words[#words + 1] = word end
    assert.same({"cancelled", "cleaning", "sorting", "collected"}, words)
    assert.equal(0, r.status)
    r = program.sh("$CORUN -e 'require(\"corun\").log.error(\"x\") print(1)' 2>&-")
    assert.same({out = "1\n", err = "", status = 0}, r)
  end)

  it("writes whole lines when several programs share the file", function()
    local r = program.sh([[for i in 1 2 3 4; do
      $CORUN -e 'local log = require("corun").log
        for i = 1, 500 do log.info(("x"):rep(100)) end' & done 2>&1; wait]])
    local n = 0
    for line in r.out:gmatch("[^\n]*\n") do
      n = n + 1
      assert.matches("^%S+ %S+ info  %[main%] " .. ("x"):rep(100) .. "\n$", line)
    end
    assert.equal(2000, n)
  end)

  it("is stopped by no reader that takes nothing, and says what was lost", function()
    local r = program.sh([[T=$(mktemp)
      $CORUN -e 'local corun = require "corun"
        for i = 1, 30000 do corun.log.info(("x"):rep(100)) end
        io.stdout:write("went on\n"):flush()
        corun.stderr:write("caught up\n")
        corun.log.info("last")' 2>&1 >$T.went | {
          until [ -s $T.went ]; do sleep 0.02; done
          cat >$T
        }
      grep -c xxx $T; grep -v xxx $T; rm $T $T.went]])
    local kept, rest = r.out:match("^(%d+)\n(.*)$")
    local missing = 30000 - tonumber(kept)
    assert.is_true(missing > 5000 and missing < 25000)
    assert.matches("^caught up\n%S+ %S+ info  %[main%] last\ncorun: " .. missing ..
      " lines of the log were lost\n$", rest)
  end)
end)

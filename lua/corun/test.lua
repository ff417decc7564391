-- SPDX-License-Identifier: MIT
-- `corun test`: busted inside the runtime. Each `it` runs in a task of its own, on the real clock
-- unless it asks for the virtual one, and fails when it leaves a task, handle or job behind or can
-- never go on. Busted itself comes from the distribution (lua-busted). Embedded, loaded by the
-- program alone; gives the function that runs the tests: exit status 0, 1 when one failed, 2 for a
-- wrong command line, and for one that no test matches.
local corun = require "corun"
local task = require "corun.task"
local debug_ = require "corun.debug"
local inside = require "corun.inside"

local DEFAULT_FOLDER = "tests/spec"
local SETTLE_TRIES = 200 -- times that closed handles are given a millisecond to disappear
local COUNTS = {"tasks", "handles", "jobs"}

local exit = corun.exit
local EXIT = {} -- marks busted's wish to end the program

-- Leaks -----------------------------------------------------------------------------------------

-- Say what is there now and was not before; nil when nothing is.
local function leaks(before)
  local found = {}
  local now = debug_.stats()
  for _, name in ipairs(COUNTS) do
    local n = now[name] - before[name]
    if n > 0 then found[#found + 1] = ("%d %s"):format(n, n == 1 and name:sub(1, -2) or name) end
  end
  if #found > 0 then return table.concat(found, ", ") end
end

-- The same, once closing handles had the time to close.
local function settled_leaks(before)
  local found = leaks(before)
  for _ = 1, SETTLE_TRIES do
    if not found then return nil end
    corun.sleep(0.001)
    found = leaks(before)
  end
  return found
end

local function list_tasks(list)
  local noun = #list == 1 and "task" or "tasks"
  return ("%d %s:\n  %s"):format(#list, noun, table.concat(list, "\n  "))
end

-- Run the body of an `it` as the task that it has for itself. Answers what it left there.
local function run_body(run, ...)
  local args = table.pack(...)
  local left
  local _, err = corun.scope(function(s)
    inside.fence(s)
    run(table.unpack(args, 1, args.n))
    if inside.children(s) == 0 then return end
    left = list_tasks(debug_.tasks(corun.current()))
    s:cancel("its test has ended")
  end)
  if err and not left then error(err, 0) end
  return left
end

-- Run the body of an `it`; fail it when it leaves something behind.
local function run_checked(run, ...)
  local args = table.pack(...)
  local before = debug_.stats()
  local ok, left, err = pcall(corun.scope, function(s)
    return s:async(run_body, run, table.unpack(args, 1, args.n)):await()
  end)
  debug_.virtual(false)
  if not ok or err then error(err or left, 0) end -- err: the task of the test was cancelled
  left = left or settled_leaks(before)
  if left then error("the test left behind " .. left, 0) end
end

-- Busted ----------------------------------------------------------------------------------------

-- Let busted show where an error was raised, not where the scope raised it again.
local function show_origin(get_trace)
  return function(element, level, message)
    local info = get_trace(element, (level or 3) + 1, message)
    local kept = message ~= nil and debug_.traceback(message)
    if kept then info.traceback = "\n" .. kept end
    local file, line = info.traceback:match("\n\t([^\n%[:][^\n:]*):(%d+): in ")
    if kept and file then
      info.short_src, info.currentline = file, math.tointeger(line)
    elseif info.short_src:sub(1, 1) == "[" and element.trace then
      info.short_src, info.currentline = element.trace.short_src, element.trace.currentline
    end
    return info
  end
end

-- Let busted show what failed together with an error: that may be what the error came from.
local function show_others(rewrite)
  return function(element, message, trace)
    local text = rewrite(element, message, trace)
    local others = type(message) == "table" and rawget(message, "others")
    if type(others) ~= "table" then return text end
    local list = {text}
    for _, other in ipairs(others) do list[#list + 1] = "also: " .. inside.text(other) end
    return table.concat(list, "\n")
  end
end

-- Each turn of the loop raises in a program that is to end; nothing else does here.
local function is_ending()
  return not pcall(corun.yield)
end

local function patch_core(busted, state)
  local safe = busted.safe
  busted.getTrace = show_origin(busted.getTrace)
  busted.rewriteMessage = show_others(busted.rewriteMessage)
  busted.safe = function(descriptor, run, element)
    local checked = run
    if descriptor == "it" and run == element.run then -- not what surrounds the body
      checked = function(...) return run_checked(run, ...) end
    end
    local results = table.pack(safe(descriptor, checked, element))
    -- Else all remaining tests would fail, one by one.
    if not results[1]:success() and is_ending() then busted.skipAll = true end
    return table.unpack(results, 1, results.n)
  end
  busted.subscribe({"suite", "start"}, function()
    state.started = true
    return nil, true
  end)
  busted.subscribe({"test", "end"}, function()
    state.tests = state.tests + 1
    return nil, true
  end)
  return busted
end

local function is_folder(path)
  return require("lfs").attributes(path, "mode") == "directory"
end

-- Give the command line our name, and our folder where busted's own does not exist.
local function patch_cli(cli)
  local set_name, parse = cli.set_name, cli.parse
  cli.set_name = function(self) return set_name(self, "corun test") end
  cli.parse = function(self, argv)
    local options, err = parse(self, argv)
    local usage = err and err:match("error: (Usage: .*); re%-run with")
    if usage then
      print(usage)
      error({EXIT, code = 0}, 0)
    end
    local roots = options and options.ROOT
    if roots and #roots == 1 and roots[1] == "spec" and not is_folder("spec") then
      roots[1] = DEFAULT_FOLDER
    end
    for _, root in ipairs(options and not options.version and roots or {}) do
      if not require("lfs").attributes(root, "mode") then
        return nil, ("corun test: error: no such file or directory: %s"):format(root)
      end
    end
    return options, err
  end
  return cli
end

-- A test that ends the program would end all others with it, as if nothing had failed.
local function forbid_exit(module, name, label)
  local original = module[name]
  module[name] = function(code)
    error(("%s(%s) was called in a test"):format(label, code == nil and "" or tostring(code)), 2)
  end
  return corun.defer(function() module[name] = original end)
end

local function patch_busted(state)
  local ok, compatibility = pcall(require, "busted.compatibility")
  if not ok then
    io.stderr:write("corun: 'corun test' needs busted (Debian: apt install lua-busted)\n")
    exit(2)
  end
  compatibility.exit = function(code) error({EXIT, code = code}, 0) end
  local core, cli = require "busted.core", require "busted.modules.cli"
  package.loaded["busted.core"] = function() return patch_core(core(), state) end
  package.loaded["busted.modules.cli"] = function(...) return patch_cli(cli(...)) end
end

-- Answer the exit status that busted asks for.
local function run_busted(state)
  local run = require "busted.runner"
  local ok, err = pcall(function()
    run({standalone = false})
    return nil -- no tail call: busted looks at its caller
  end)
  if not ok and (type(err) ~= "table" or err[1] ~= EXIT) then error(err, 0) end
  if not ok and err.code ~= 0 and err.code ~= true then return state.started and 1 or 2 end
  if not state.started or state.tests > 0 then return 0 end -- not started: --list, --help
  io.stderr:write("corun test: no test was run, since none matches the command line\n")
  return 2
end

---Run the tests that busted's command line names.
---@param ... string the arguments after `corun test`
return function(...)
  local state = {tests = 0}
  patch_busted(state)
  for _, name in ipairs{"stdin", "stdout", "stderr"} do
    local _ = corun[name] -- kept to the end of the program, so a test that uses one leaks nothing
  end
  arg = {[0] = "corun test", ...} -- luacheck: ignore 121
  local code
  corun.scope(function(s)
    local _ <close> = forbid_exit(os, "exit", "os.exit")
    local _ <close> = forbid_exit(corun, "exit", "corun.exit")
    local _ <close> = forbid_exit(task, "exit", "corun.exit")
    code = run_busted(state)
    if s:count() == 0 then return end
    io.stderr:write("corun: the tests left behind ", list_tasks(debug_.tasks()), "\n")
    code = 1
    s:cancel("the tests have ended")
  end)
  if code ~= 0 then exit(code) end
end

-- SPDX-License-Identifier: MIT
-- `corun test`: busted inside the runtime. Each `it` runs in a scope of its own and fails when it
-- leaves a task, handle or job behind. Busted itself comes from the distribution (lua-busted).
local corun = require "corun"
local debug_ = require "corun.debug"

local SETTLE_TRIES = 200 -- turns of the loop in which closed handles may disappear
local COUNTS = {"tasks", "handles", "jobs"}

local EXIT = {} -- marks busted's wish to end the program

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
  debug_.virtual(false)
  local found = leaks(before)
  for _ = 1, SETTLE_TRIES do
    if not found then return nil end
    corun.sleep(0.001)
    found = leaks(before)
  end
  return found
end

-- Run the body of an `it` in a scope; fail it when it leaves something behind.
local function run_checked(busted, run, ...)
  local args = table.pack(...)
  local before = debug_.stats()
  local left
  local function body(s)
    run(table.unpack(args, 1, args.n))
    if s:count() == 0 then return end
    left = "tasks:\n  " .. table.concat(debug_.tasks(), "\n  ")
    s:cancel("its test has ended")
  end
  local ok, err = pcall(corun.scope, body)
  if not ok and corun.is_cancelled(err) then
    busted.skipAll = true -- the program is to end: no use in failing all other tests too
    error(err, 0)
  end
  left = left or settled_leaks(before)
  if not ok then error(err, 0) end
  if left then error("the test left behind " .. left, 0) end
end

local function patch(busted)
  local safe = busted.safe
  busted.safe = function(descriptor, run, element)
    if descriptor ~= "it" then return safe(descriptor, run, element) end
    return safe(descriptor, function(...) return run_checked(busted, run, ...) end, element)
  end
  return busted
end

-- The spec files are what is no option; without any, the project's own folder is meant.
local function arguments(...)
  local list, has_file = {[0] = "corun test", ...}, false
  for _, a in ipairs(list) do has_file = has_file or a:sub(1, 1) ~= "-" end
  if not has_file and require("lfs").attributes("tests/spec", "mode") == "directory" then
    list[#list + 1] = "tests/spec"
  end
  return list
end

local function prepare()
  local ok, compatibility = pcall(require, "busted.compatibility")
  if not ok then
    io.stderr:write("corun: 'corun test' needs busted (Debian: lua-busted)\n")
    corun.exit(2)
  end
  compatibility.exit = function(code) error({EXIT, code = code}, 0) end
  local core = require "busted.core"
  package.loaded["busted.core"] = function() return patch(core()) end
  local exit = os.exit
  os.exit = function(code) -- luacheck: ignore
    error(("os.exit(%s) was called in a test"):format(tostring(code)), 2)
  end
  return corun.defer(function() os.exit = exit end) -- luacheck: ignore
end

return function(...)
  local _ <close> = prepare()
  arg = arguments(...) -- luacheck: ignore
  local run = require "busted.runner"
  local ok, err = pcall(function()
    run({standalone = false, output = os.getenv("CORUN_TEST_OUTPUT")})
    return nil -- no tail call: busted looks at its caller
  end)
  if ok then return end
  if type(err) ~= "table" or err[1] ~= EXIT then error(err, 0) end
  local code = tonumber(err.code) or (err.code and 0 or 1)
  if code ~= 0 then corun.exit(1) end
end

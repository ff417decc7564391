-- SPDX-License-Identifier: MIT
--- Runs the language spec and prints a line for each check and a last one with the counts.
-- usage: lua5.4 main.lua [main|task|coroutine] [topic ...]
-- main: in the main chunk; task: in a task made by corun.spawn; coroutine: in a user's coroutine.

local dir = arg[0]:match("^(.*/)") or "./"
local mode = arg[1] or "main"
local harness = dofile(dir .. "harness.lua")
local held, broken = 0, 0

local suite = harness.suite{
  dir = dir, mode = mode, interpreter = os.getenv("LANGUAGE_INTERPRETER"),
  report = function(name, fn, want)
    local ok, line = harness.verdict(name, fn, want)
    if ok then held = held + 1 else broken = broken + 1 end
    io.stdout:write(line, "\n")
  end,
}

-- Some checks fail in finalisers; lua(1) begins with warnings off.
warn("@off")

local function run()
  local topics = #arg > 1 and table.move(arg, 2, #arg, 1, {}) or harness.topics
  for _, name in ipairs(topics) do suite.run(name) end
  io.stdout:write(string.format("# %d held, %d did not\n", held, broken))
end

if mode == "main" then
  run()
elseif mode == "task" then
  require("corun").spawn(run)
elseif mode == "coroutine" then
  coroutine.wrap(run)()
else
  error("unknown mode " .. mode .. ": main, task or coroutine")
end

-- SPDX-License-Identifier: MIT
-- Run a command again whenever a file below a directory has changed:
-- `corun scripts/watch_run.lua -- make test`. A change stops a command that still runs, with all
-- that it has started.
local corun = require "corun"
local fs = require "corun.fs"
local process = require "corun.process"

local opt = corun.args{
  dir = {".", value = "PATH"}, pattern = {"", value = "PATTERN"}, runs = {0, min = 0}, "COMMAND...",
  help = {"Run a command whenever files change.", dir = "directory whose files count",
    pattern = "count only paths that match this Lua pattern",
    runs = "end after so many runs (0: never)", COMMAND = "the program and its arguments"},
}

local is_pattern, why = pcall(string.find, "", opt.pattern)
if not is_pattern then
  io.stderr:write("watch_run.lua: --pattern=", opt.pattern, ": ", why, " (--help tells more)\n")
  corun.exit(2)
end

io.stdout:setvbuf("line") -- in step with what the command prints
local changed = corun.event()

-- Tell of each change below the directory, but those that git makes for itself.
local function watch(events)
  for event in events do
    if event.err then
      io.stderr:write("watch_run.lua: ", tostring(event.err), "\n")
    elseif event.path:find(opt.pattern) and not event.path:find("/%.git/") then
      changed:set(event.path)
    end
  end
end

local function run()
  local r, err = process.run(opt.command, {stdin = "inherit", stdout = "inherit",
    stderr = "inherit"})
  if not r then return print(("watch_run: %s"):format(err)) end
  print(("watch_run: %s after %.1f s"):format(r.signal or "exit status " .. r.code, r.duration))
end

local events, err = fs.watch(opt.dir, {recursive = true})
if not events then
  io.stderr:write("watch_run.lua: ", tostring(err), "\n")
  corun.exit(1)
end
corun.daemon(watch, events)
local count = 0
while true do
  changed:clear()
  count = count + 1
  local job = corun.spawn(run)
  if count == opt.runs then
    job:await()
    break
  end
  local path = changed:wait()
  job:cancel()
  job:await()
  print(("watch_run: %s"):format(path))
end

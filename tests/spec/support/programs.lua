-- SPDX-License-Identifier: MIT
-- Runs code in a corun of its own.
local programs = {}

-- The program that runs this test.
function programs.path()
  local path = os.getenv("CORUN")
  if path then return path end
  local p <close> = assert(io.popen("readlink /proc/$PPID/exe"))
  return p:read("l")
end

-- Run code to its end: both its outputs in one text, and its exit status. `o.args` are options of
-- corun, `o.fail` the allocation that fails, `o.before` shell commands.
function programs.run(code, o)
  o = o or {}
  local path = os.tmpname()
  local f = assert(io.open(path, "w"))
  f:write(code)
  f:close()
  local p = assert(io.popen(("%s %s timeout 30 %s --grace 1 %s %s 2>&1"):format(o.before or "",
    o.fail and "CORUN_FAIL_ALLOC=" .. o.fail or "", programs.path(), o.args or "", path)))
  local out = p:read("a")
  local _, how, status = p:close()
  os.remove(path)
  return out, how == "exit" and status or -1
end

return programs

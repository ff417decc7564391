-- SPDX-License-Identifier: MIT
-- Runs the program on a pseudo-terminal, a person before it (tests/fixtures/tty/driver.py).
local corun = require "corun"
local program = dofile("tests/fixtures/cli/program.lua")

local tty = {has_python = os.execute("python3 -c '' 2>/dev/null") == true}

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function keep(text)
  local path = os.tmpname()
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
  return path
end

---Run a shell command in which $CORUN is the program and $SCRIPT a file with `code`.
---@param steps string[] what the person does: see driver.py
---@param command string
---@param code string?
---@return table result out, notes, before, mode; status, or signal when one ended it
function tty.sh(steps, command, code)
  if not tty.has_python then return pending("python3 is not installed") end
  local script, todo = keep(code or ""), keep(table.concat(steps, "\n"))
  local line = ("export CORUN=%s SCRIPT=%s; %s"):format(quote(program.path), quote(script), command)
  local driver <close> = assert(io.popen(("python3 tests/fixtures/tty/driver.py %s %s 2>&1")
    :format(todo, quote(line))))
  local answer = driver:read("a")
  os.remove(script)
  os.remove(todo)
  local ok, result = pcall(corun.json.decode, answer)
  if not ok or not result then error(answer, 2) end
  return result
end

---Run a script.
function tty.run(steps, code, options)
  return tty.sh(steps, "exec $CORUN " .. (options or "") .. " $SCRIPT", code)
end

return tty

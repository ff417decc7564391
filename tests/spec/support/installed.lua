-- SPDX-License-Identifier: MIT
-- An installed copy of the build under test, in a folder of its own and moved since.
local corun = require "corun"
local fs, process = corun.fs, corun.process

local installed = {}

---Install the build.
---@return any temp the folder; closing it removes all
---@return string prefix
function installed.new()
  local temp = assert(fs.temp{dir = true})
  local first, prefix = temp:path() .. "/first", temp:path() .. "/moved"
  local r = assert(process.run{"cmake", "--install", os.getenv("CORUN_BUILD") or "build",
    "--prefix", first, stderr = "stdout"})
  assert(r.code == 0, r.stdout)
  assert(fs.rename(first, prefix))
  return temp, prefix
end

---The environment of somebody who uses it.
---@param prefix string
---@return table env
function installed.environment(prefix)
  return {PATH = prefix .. "/bin:" .. os.getenv("PATH"), CMAKE_PREFIX_PATH = prefix,
    LUA_PATH = false, LUA_PATH_5_4 = false, LUA_CPATH = false, LUA_CPATH_5_4 = false,
    CORUN_SEED = false, LC_ALL = "C"}
end

return installed

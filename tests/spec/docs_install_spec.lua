-- SPDX-License-Identifier: MIT
-- docs/install.md is followed word by word from a build folder: its files are written, its commands
-- typed. Versions and sizes may differ. The package is installed by tools/cleanroot.
local corun = require "corun"
local guide = dofile("tests/spec/support/guide.lua")
local fs = corun.fs

local function steady(text)
  return (text:gsub("%d+%.%d+%.%d+", "V"):gsub("%d+%.%d+ MB", "S"):gsub("%d%.%d+ s ", "T "))
end

describe("docs/install.md", function()
  it("can be followed word by word #heavy", function()
    local build = assert(fs.realpath(os.getenv("CORUN_BUILD") or "build"))
    local count = guide.follow("docs/install.md", {}, steady, function(dir)
      assert(fs.symlink(build, dir .. "/build"))
      return {HOME = dir, LUA_PATH = false, LUA_PATH_5_4 = false, LUA_CPATH = false,
        LUA_CPATH_5_4 = false, CORUN_SEED = false}
    end)
    assert(count >= 11, count)
  end)
end)

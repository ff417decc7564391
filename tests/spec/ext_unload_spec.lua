-- SPDX-License-Identifier: MIT
-- Extensions of corun.h whose Lua state has gone.
local program = dofile("tests/fixtures/cli/program.lua")

describe("the code of an extension", function()
  it("stays while a thread of its own is in it, although its Lua state has gone", function()
    local r = program.code([[
      local corun, fs = require "corun", require "corun.fs"
      local dir <close> = fs.temp{dir = true}
      local path = dir:path() .. "/go"
      local p = corun.pool.new{size = 1}
      p:run(function() return require("operations").linger(path) end)
      p:close()
      fs.write(path, "")
      for _ in corun.every(0.005) do
        if not fs.stat(path) then break end
      end
      print "the thread has ended"
    ]])
    assert.same({"the thread has ended\n", "", 0}, {r.out, r.err, r.status})
  end)
end)

-- SPDX-License-Identifier: MIT
-- scripts/fetch_db.lua, run in children against a server of ours.
local http = require "corun.http"
local process = require "corun.process"
local program = dofile("tests/fixtures/cli/program.lua")
local support = dofile("tests/spec/support/sqlite.lua")

describe("scripts/fetch_db.lua", function()
  it("fetches what is missing into a database", function()
    local path, dir <close> = support.path()
    local asked, broken = {}, true
    local server <close> = assert(http.serve("127.0.0.1:0", function(req)
      asked[#asked + 1] = req.path
      if req.path == "/bad" and broken then return {status = 500, body = "no"} end
      return {body = "\0page " .. req.path, headers = {["content-type"] = "text/x-test"}}
    end))
    local url = "http://" .. server:address()
    local function fetch(...)
      local input = {}
      for _, name in ipairs{...} do input[#input + 1] = url .. name .. "\n" end
      return assert(process.run({program.path, "scripts/fetch_db.lua", path, "--limit=3"},
        {input = table.concat(input), timeout = 60, env = {LUA_CPATH_5_4 = package.cpath}}))
    end
    local r = fetch("/a", "/b", "/a", "/bad", "/c")
    assert.equal("3 fetched, 1 failed; 3 pages, 24 bytes in " .. path .. "\n", r.stdout)
    assert.matches("500", r.stderr)
    assert.equal(1, r.code)
    assert.equal(4, #asked)
    broken = false
    r = fetch("/a", "/bad", "/d")
    assert.equal("2 fetched, 0 failed; 5 pages, 42 bytes in " .. path .. "\n", r.stdout)
    assert.equal(0, r.code)
    assert.equal(6, #asked)
    assert.equal("200 text/x-test b'\\x00page /bad' None\n", support.python(path, [[
print(*db.execute("select status, type, body, error from page where url like '%/bad'").fetchone())
]]))
    assert.is_not_nil(dir)
  end)
end)

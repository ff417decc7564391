-- SPDX-License-Identifier: MIT
-- Rocks that LuaRocks has installed are found as by lua5.4, through the variables that it sets.
local corun = require "corun"
local program = dofile("tests/fixtures/cli/program.lua")

local fs, process = corun.fs, corun.process

local FILES = {
  ["plain-1.0-1.rockspec"] = [[
    package, version, source = "plain", "1.0-1", {url = "."}
    build = {type = "builtin", modules = {["plain.words"] = "words.lua"}}]],
  ["words.lua"] = "return 'a rock in Lua'",
  ["compiled-1.0-1.rockspec"] = [[
    package, version, source = "compiled", "1.0-1", {url = "."}
    build = {type = "builtin", modules = {compiled = {sources = {"compiled.c"}}}}]],
  ["compiled.c"] = '#include <lua.h>\nint luaopen_compiled(lua_State *L) {\n'
    .. '  lua_pushliteral(L, "a rock in C");\n  return 1;\n}\n',
}

describe("LuaRocks", function()
  it("installs rocks that corun requires #heavy", function()
    if process.run{shell = "command -v luarocks"}.code ~= 0 then
      return pending("luarocks is not installed")
    elseif program.is_sanitized() then
      return -- a module without a sanitizer does not load
    end
    local temp <close> = assert(fs.temp{dir = true})
    for name, text in pairs(FILES) do assert(fs.write(temp:path() .. "/" .. name, text)) end
    local r = assert(process.run{"sh", "-ec", [[
      rocks() { luarocks --lua-version 5.4 "$@"; }
      rocks --local make plain-1.0-1.rockspec
      rocks --tree "$PWD/tree" make compiled-1.0-1.rockspec
      eval "$(rocks --tree "$PWD/tree" path)"
      cd /
      for lua in lua5.4 "$CORUN"; do
        "$lua" -e 'print((require("plain.words")), (require("compiled")))' >&2
      done]], cwd = temp:path(), env = {HOME = temp:path(), CORUN = fs.realpath(program.path),
      LUA_PATH = false, LUA_PATH_5_4 = false, LUA_CPATH = false, LUA_CPATH_5_4 = false}})
    local both = "a rock in Lua\ta rock in C\n"
    assert.equal(both .. both, (r.stderr:gsub("^.-(a rock)", "%1")), r.stdout .. r.stderr)
    assert.equal(0, r.code)
  end)
end)

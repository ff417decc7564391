-- SPDX-License-Identifier: MIT
-- Types of `require "corun.transfer"`; see corun.lua beside it.
---@meta corun.transfer
-- luacheck: no unused

--- Lua values as bytes, in the format by which they cross between runtimes: for files, caches and
--- sockets. Numbers keep their type and all their bits, strings any bytes, tables their cycles and
--- what they share; depth has no limit.
---
--- ```lua
--- local t = {name = "a"}
--- t.self = t
--- local copy = transfer.decode(transfer.encode(t, 1.5))
--- print(copy.self == copy, copy.name)
--- ```
---@class corun.transfer
local transfer = {}

--- Encode any number of values, nil among them, as one string of bytes.
---
--- Tables are read raw, without their metamethods. A table with a metatable crosses when that is
--- registered; errors of corun, with their tracebacks, and arrays of `corun.json` are from the
--- start.
---
--- - Raises: `ETRANSFER` for what cannot be bytes, with its path: a function, a userdata, a thread,
---   a table with an unregistered metatable.
---@param ... any
---@return string s
function transfer.encode(...) end

--- Decode the values of `transfer.encode`. The string may come from anywhere: functions are never
--- decoded, and a short string never becomes a large table.
---
--- - Fails: `ETRANSFER` for what is no encoding, is of another version, or needs a metatable that
---   is not registered here.
---@param s string
---@return any ...
function transfer.decode(s) end

--- Let tables with this metatable cross under a name. The other side gives them the metatable that
--- it has registered under the same name.
---
--- ```lua
--- local Point = transfer.register("point", {__index = {}})
--- ```
---
--- - Raises: when the name or the metatable is registered with another one.
---@param name string
---@param mt table
---@return table mt the same table
function transfer.register(name, mt) end

return transfer

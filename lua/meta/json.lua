-- SPDX-License-Identifier: MIT
-- Types of `require "corun.json"`; see corun.lua beside it.
---@meta corun.json
-- luacheck: no unused

--- JSON (RFC 8259) with exact integers.
---
--- A number without fraction and exponent that fits 64 bits becomes an integer, any other a float.
--- Empty arrays and empty objects stay what they are when they are encoded again. Arrays and
--- objects may be nested 1,000 deep.
---@class corun.json
local json = {}

--- Decode one JSON text.
---
--- - Fails: `EJSON` for what RFC 8259 does not allow, and for what is nested too deep or beyond
---   the range of a float; `err.offset` is the place of the first wrong byte, from 1.
--- - Source: RFC 8259.
---@param s string
---@param o? corun.json.decode_options
---@return any value
---@return corun.err? err
function json.decode(s, o) end

---@class corun.json.decode_options
---@field null? any what null becomes (default: `json.null`)

--- Encode a value as one JSON text.
---
--- A table with the keys 1 to n is an array, one with string keys an object; an empty table is an
--- object unless it was decoded from `[]` or made by `json.array`. Metamethods are not called.
--- Integers are written as integers, floats as the shortest text that reads back equal, with a
--- fraction or an exponent.
---
--- - Raises: `EJSON` for what JSON cannot hold, with its path: a function, NaN, infinity, a string
---   that is not UTF-8, an array with a hole, mixed keys, a table that contains itself.
--- - Source: RFC 8259.
---@param v any
---@param o? corun.json.encode_options
---@return string s
function json.encode(v, o) end

---@class corun.json.encode_options
---@field pretty? boolean over several lines, indented by two spaces
---@field sort? boolean object keys in the order of their bytes

--- Loop over JSON lines: one value in each line, blank lines skipped.
---
--- ```lua
--- for event in json.lines(stream) do print(event.id) end
--- ```
---
--- - Suspends: `lines` itself no; each step of the loop as its source does.
--- - Raises: each step: `EJSON`, with `err.line` and `err.offset`; what its source raises.
---@param src string|table|userdata|(fun(): string?) a text; an object with `lines`; an iterator
---@param o? corun.json.decode_options not with an iterator
---@return fun(): any iterator
function json.lines(src, o) end

--- Mark a table as an array, so that it is encoded as `[]` when it is empty.
---
--- - Raises: when the table has another metatable.
---@param t? table (default: a new one)
---@return table t the same table
function json.array(t) end

--- The value of JSON's null; the same as `cjson.null`.
---@type userdata
json.null = nil

return json

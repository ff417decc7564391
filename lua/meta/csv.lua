-- SPDX-License-Identifier: MIT
-- Types of `require "corun.csv"`; see corun.lua beside it.
---@meta corun.csv
-- luacheck: no unused

--- Comma-separated values (RFC 4180).
---
--- All fields are strings, as they stand in the text: spaces are kept, numbers are not converted.
--- What the RFC leaves open: lines end in CRLF, LF or CR; a blank line is no row; a byte order mark
--- at the beginning is ignored; rows may differ in length; a quote in a field that does not begin
--- with one is a mistake, unless `quote` is false.
---
--- ```lua
--- for row in csv.lines(assert(fs.open("big.csv")), {header = true}) do print(row.name) end
--- ```
---@class corun.csv
local csv = {}

--- Decode a text: a list of rows, each a list of its fields.
---
--- With `header` a row is a table by the names of the columns. A row that is too short lacks the
--- names of its last columns; the fields of one that is too long are there under their numbers.
---
--- - Fails: `ECSV` for a text that is no CSV, or has two columns of the same name; `err.line` and
---   `err.offset` are the place, from 1.
--- - Source: RFC 4180.
---@param s string
---@param o? corun.csv.decode_options
---@return table[]? rows
---@return string[]|corun.err|nil names of the columns, where there is a header; the error
function csv.decode(s, o) end

---@class corun.csv.decode_options
---@field header? boolean|string[] true: the first row has the names; or the names of a text without
---@field separator? string one character (default `","`)
---@field quote? string|false what stands around fields (default `"\""`); false: nothing does

--- Loop over the rows of a text that comes in pieces; each row is ready as soon as its line ended.
---
--- - Suspends: `lines` itself no; each step of the loop as its source does.
--- - Raises: each step: `ECSV`, with `err.line` and `err.offset`; `EMSGSIZE` for a row of more than
---   `max` bytes; what its source fails with.
--- - Source: RFC 4180.
---@param src string|table|userdata|(fun(): string?) a text; a stream or file; an iterator of lines
---@param o? corun.csv.lines_options
---@return fun(): table? iterator
function csv.lines(src, o) end

---@class corun.csv.lines_options
---@field header? boolean|string[] true: the first row has the names; or the names of a text without
---@field separator? string one character (default `","`)
---@field quote? string|false what stands around fields (default `"\""`); false: nothing does
---@field max? integer bytes of a row at most (default 1 MiB)

--- Encode rows, each a list of its fields, or with `header` a table by the names of the columns.
---
--- Fields are strings, numbers or booleans; nil and `json.null` are empty. A list with empty places
--- has its length as `n`. Lines end in CRLF. What was written reads back the same, as
--- strings.
---
--- ```lua
--- csv.encode({{id = 1, name = "a"}}, {header = {"id", "name"}})  --> "id,name\r\n1,a\r\n"
--- ```
---
--- - Raises: for a row without fields, and for a value that is no field, with its place.
--- - Source: RFC 4180.
---@param rows table[]
---@param o? corun.csv.encode_options
---@return string s
function csv.encode(rows, o) end

---@class corun.csv.encode_options
---@field header? string[] the names of the columns, which become the first line
---@field append? boolean leave that line out: the text is added to one that has it
---@field separator? string one character (default `","`)
---@field quote? string|false what stands around fields (default `"\""`); false: nothing does
---@field newline? "\r\n"|"\n" (default `"\r\n"`)

return csv

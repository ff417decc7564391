-- SPDX-License-Identifier: MIT
-- The module corun.csv: comma-separated values as RFC 4180 has them. Texts are read by
-- src/data/csv.c (corun.csvcore), piece by piece; writing is done here. Owns nothing; only the
-- iterator of `lines` suspends, in what it reads from.
local core = require "corun.csvcore"
local options = require "corun.options"

local misuse = options.misuse

local csv = {}

local PIECE = 64 << 10
local MARK = "^\239\187\191" -- of the byte order
local MAX_ROW = 1 << 20 -- as for the lines of streams

local DECODE = {header = "boolean|table", separator = "string", quote = "string|boolean"}
local LINES = {header = "boolean|table", separator = "string", quote = "string|boolean",
  max = "count"}
local ENCODE = {header = "table", append = "boolean", separator = "string",
  quote = "string|boolean", newline = "string"}

-- Options ---------------------------------------------------------------------------------------

-- One byte that may stand between fields, or around them.
local function mark(o, name, op, otherwise)
  local value = o[name]
  if value == nil or value == true then return otherwise end
  if value and (#value ~= 1 or value:find("[%z\r\n\128-\255]")) then
    misuse(('option "%s" for %s must be one character of ASCII and no line end'):format(name, op),
      4)
  end
  return value
end

local function marks(o, op)
  local separator, quote = mark(o, "separator", op, ","), mark(o, "quote", op, '"')
  if separator == quote then
    misuse(('options "separator" and "quote" for %s must differ'):format(op), 3)
  end
  return separator, quote
end

local function check_names(names, op)
  local seen = {}
  if #names == 0 then misuse(('option "header" for %s has no names'):format(op), 3) end
  for i, name in ipairs(names) do
    if type(name) ~= "string" then
      misuse(('option "header" for %s must be a list of strings, got %s'):format(op, type(name)), 3)
    end
    if seen[name] then misuse(('option "header" for %s has %q twice'):format(op, name), 3) end
    seen[name] = i
  end
end

local function reader(o, op, max)
  local separator, quote = marks(o, op)
  local header = o.header
  if type(header) == "table" then
    check_names(header, op)
    header = table.move(header, 1, #header, 1, {}) -- the caller may change his
  end
  return core.reader(separator, quote or nil, max, header)
end

-- Reading ---------------------------------------------------------------------------------------

---Decode a text; see lua/meta/csv.lua.
function csv.decode(s, o)
  if type(s) ~= "string" then misuse("csv.decode needs a string, got " .. type(s)) end
  local r = reader(options.check(o, "csv.decode", DECODE), "csv.decode")
  local rows, err = r:feed(s, true)
  if err then return nil, err end
  return rows, r:names()
end

local function pieces_of_text(text)
  local at = 1
  return function()
    if at > #text then return nil end
    local piece = text:sub(at, at + PIECE - 1)
    at = at + PIECE
    return piece
  end
end

-- An iterator gives lines, as `stream:lines()` does, with or without their ends.
local function pieces_of_iterator(step, state, control)
  return function()
    local line, err = step(state, control)
    control = line
    if line == nil then return nil, err end
    if type(line) ~= "string" then
      misuse("csv.lines needs lines that are strings, got " .. type(line))
    end
    return line:sub(-1) == "\n" and line or line .. "\n"
  end
end

-- A stream gives what is there; a file of io as much as is asked for.
local function pieces_of_object(src)
  local recv, read = src.recv, src.read
  if recv then return function() return recv(src, PIECE) end end
  if not read then misuse("csv.lines needs a source with a method recv or read", 3) end
  return function() return read(src, PIECE) end
end

local function pieces(src, state, control)
  local kind = type(src)
  if kind == "string" then return pieces_of_text(src) end
  if kind == "function" then return pieces_of_iterator(src, state, control) end
  if kind == "table" or kind == "userdata" then return pieces_of_object(src) end
  misuse("csv.lines needs a string, a stream or an iterator, got " .. kind, 3)
end

---Loop over rows; see lua/meta/csv.lua.
function csv.lines(src, o, ...)
  local next_piece
  local closing
  if type(src) == "function" and type(o) ~= "table" then -- `for` would hand these to it
    next_piece, closing, o = pieces(src, o, (...)), select(2, ...), nil
  else
    next_piece = pieces(src)
  end
  o = options.check(o, "csv.lines", LINES)
  local r = reader(o, "csv.lines", o.max or MAX_ROW)
  local rows, i, fault, ended = {}, 0, nil, false
  local function step()
    while i >= #rows do
      if fault then error(fault, 0) end
      if ended then return nil end
      local piece, err = next_piece()
      if err ~= nil then error(err, 0) end
      ended = piece == nil
      rows, fault = r:feed(piece or "", ended)
      i = 0
    end
    i = i + 1
    return rows[i]
  end
  return step, nil, nil, closing
end

-- Writing ---------------------------------------------------------------------------------------

-- What has to stand between quotes, as a pattern: the marks and line ends.
local function special(separator, quote)
  return "[\r\n" .. ("%" .. separator) .. (quote and "%" .. quote or "") .. "]"
end

local function text_of(v, row, column)
  local kind = math.type(v)
  if type(v) == "string" then return v end
  if kind == "integer" or type(v) == "boolean" then return tostring(v) end
  local json = require("corun.json")
  if v == nil or v == json.null then return "" end
  if kind == "float" and v - v == 0 then return json.encode(v) end -- the shortest that is equal
  misuse(("csv.encode cannot write %s in row %d, column %d"):format(
    kind and tostring(v) or "a " .. type(v), row, column), 4)
end

-- Writes rows with these options: a function of a row's number, its fields and how many there are.
local function writer(out, o)
  local separator, quote = marks(o, "csv.encode")
  local pattern, newline = special(separator, quote), o.newline or "\r\n"
  if newline ~= "\r\n" and newline ~= "\n" then
    misuse('option "newline" for csv.encode must be "\\r\\n" or "\\n"', 3)
  end
  local function quoted(text, row, column)
    if not quote then
      misuse(("csv.encode cannot write row %d, column %d without quotes"):format(row, column), 4)
    end
    return quote .. text:gsub("%" .. quote, quote .. quote) .. quote
  end
  return function(row, fields, n)
    for i = 1, n do
      local text = fields[i]
      if type(text) ~= "string" then text = text_of(text, row, i) end
      if text:find(pattern) or n == 1 and text == "" or #out == 0 and text:find(MARK) then
        text = quoted(text, row, i)
      end
      out[#out + 1] = text
      out[#out + 1] = i < n and separator or newline
    end
  end
end

-- The fields of a row under a header: by name, else by number; what is beyond it by number.
local function by_names(row, names, fields)
  local n = math.max(#names, #row)
  while row[n + 1] ~= nil do n = n + 1 end -- which "#" need not see in a table by names
  for i = 1, n do
    local v = names[i] and row[names[i]]
    if v == nil then v = row[i] end
    fields[i] = v
  end
  return n
end

---Encode rows; see lua/meta/csv.lua.
function csv.encode(rows, o)
  if type(rows) ~= "table" then misuse("csv.encode needs a list of rows, got " .. type(rows)) end
  o = options.check(o, "csv.encode", ENCODE)
  local names, out, fields = o.header, {}, {}
  local write = writer(out, o)
  if names then
    check_names(names, "csv.encode")
    if not o.append then write(0, names, #names) end
  end
  for i, row in ipairs(rows) do
    if type(row) ~= "table" then
      misuse(("csv.encode needs rows that are tables, row %d is a %s"):format(i, type(row)))
    end
    if names then
      write(i, fields, by_names(row, names, fields))
    else
      local n = math.type(row.n) == "integer" and row.n or #row
      if n <= 0 then misuse(("csv.encode: row %d has no fields"):format(i)) end
      write(i, row, n)
    end
  end
  return table.concat(out)
end

return csv

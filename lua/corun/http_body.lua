-- SPDX-License-Identifier: MIT
-- Bodies that are sent piece by piece: sources. A source has next(), which answers a piece, nil at
-- the end, or nil and an error; `length` in bytes where it is known; rewind(), which makes it begin
-- anew, where it can; and close(), where there is something to close. It belongs to one request.
local options = require "corun.options"
local callable = require("corun.source").is_callable

local body = {}

local PIECE = 256 << 10
local FILE = {path = "string"}

local function failure(code, message, target)
  return nil, require("corun.task").err(code, message, {op = "body", target = target})
end

-- A piece that a script gave; misuse raises.
local function check_piece(piece)
  if type(piece) == "string" then return piece end
  options.misuse("the body must give strings, got " .. type(piece))
end

-- A function, called until it answers nil.
local function of_function(fn)
  return {next = function()
    local piece, err = fn()
    if piece == nil then return nil, err end
    return check_piece(piece)
  end}
end

-- Any stream. One that ends stays with whoever opened it.
local function of_stream(stream)
  return {next = function()
    local piece, err = stream:recv(PIECE)
    if piece == nil then return nil, err end
    return check_piece(piece)
  end}
end

-- Of a file that is open what comes from where it is on; it stays open.
local function of_handle(file)
  local source = of_stream(file)
  local st = file:stat()
  local start = st and st.kind == "file" and file:seek()
  if not start then return source end
  source.length = math.max(0, st.size - start)
  function source.rewind() return file:seek("set", start) end
  return source
end

---Make the source of a text.
function body.of_string(text)
  local given = false
  return {
    length = #text,
    next = function()
      if given then return nil end
      given = true
      return text
    end,
    rewind = function()
      given = false
      return true
    end,
  }
end

-- A file that is empty, or says so, as those of /proc do.
local function of_unsized(path)
  local text, err = require("corun.fs").read(path)
  if not text then return nil, err end
  return body.of_string(text)
end

-- The file of a path, opened when the first piece is wanted. Its length is asked before, since it
-- is sent before; one that has become shorter by then ends the body with an error.
local function of_path(path)
  local fs = require "corun.fs"
  local st, err = fs.stat(path)
  if not st then return nil, err end
  if st.kind ~= "file" then return failure("EINVAL", "it is no file", path) end
  if st.size == 0 then return of_unsized(path) end
  local source, file, left = {length = st.size}, nil, st.size
  function source.close()
    if file then file:close() end
    file = nil
  end
  function source.rewind()
    source.close()
    left = st.size
    return true
  end
  function source.next()
    if not file then
      local why
      file, why = fs.open(path)
      if not file then return nil, why end
    end
    if left == 0 then return source.close() end
    local piece, why = file:recv(math.min(PIECE, left))
    if not piece then
      if why then return nil, why end
      return failure("EOF", ("the file ended %d bytes before its length"):format(left), path)
    end
    left = left - #piece
    return piece
  end
  return source
end

-- A method of a value that may have none at all.
local function method(value, name)
  local mt = getmetatable(value)
  if type(value) ~= "table" and not (type(mt) == "table" and mt.__index) then return nil end
  return value[name]
end

local function is_file(value)
  return getmetatable(value).__name == "file"
end

---Make the source of the option `body`, which is no string. It may suspend; misuse raises.
---@param value any
---@return table? source
---@return table? err
function body.source(value)
  if type(value) == "table" and getmetatable(value) == nil then
    if not value.path then
      options.misuse('a "body" that is a table must be {path=}; others go into "json" or "form"')
    end
    options.check(value, "body", FILE)
    return of_path(value.path)
  end
  if callable(value) then return of_function(value) end
  if callable(method(value, "recv")) then
    return is_file(value) and of_handle(value) or of_stream(value)
  end
  options.misuse('"body" must be a string, a function, a stream or {path=}, got ' .. type(value))
end

return body

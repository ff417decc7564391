-- SPDX-License-Identifier: MIT
-- The option `multipart` of requests: a form as multipart/form-data (RFC 7578), written as browsers
-- write it (HTML Standard, 4.10.21.8). Files are read while they are sent, piece by piece; how long
-- they are is asked before, and one that is not as long by then ends the body with an error. A
-- source owns at most one open file.
local corun = require "corun"
local codec = require "corun.codec"
local fs = require "corun.fs"
local numeral = require "corun.numeral"
local options = require "corun.options"

local multipart = {}

local misuse = options.misuse

local PIECE = 256 << 10
local OWN_PIECE = 64 << 10 -- a text longer than this is not copied together with others

local PART = {path = "string", data = "string", filename = "string", type = "string"}
local NEWLINES = {["\r"] = "%0D", ["\n"] = "%0A", ['"'] = "%22"}

-- The form as a list -----------------------------------------------------------------------------

local function check_part(name, value)
  options.check(value, ("multipart field %q"):format(name), PART)
  if (value.path == nil) == (value.data == nil) then
    misuse(('multipart field %q must have one of "path" and "data"'):format(name))
  end
  if value.type and value.type:find("[%z\1-\31\127]") then
    misuse(('multipart field %q has a type with a control character'):format(name))
  end
  return value
end

local function add_value(list, name, value)
  local kind = type(value)
  if kind == "string" then
    value = {data = value}
  elseif kind == "boolean" then
    value = {data = tostring(value)}
  elseif kind == "number" then
    value = {data = numeral(value) or
      misuse(("multipart field %q must be finite, got %s"):format(name, options.show(value)))}
  elseif kind ~= "table" then
    misuse(("multipart field %q must be a string, a number, a boolean, a file or a list of these, "
      .. "got %s"):format(name, kind))
  elseif value[1] ~= nil or next(value) == nil then
    options.check_list(value, ("multipart field %q"):format(name))
    for _, item in ipairs(value) do
      if type(item) == "table" and (item[1] ~= nil or next(item) == nil) then
        misuse(("multipart field %q has a list in a list"):format(name))
      end
      add_value(list, name, item)
    end
    return
  else
    check_part(name, value)
  end
  list[#list + 1] = {name = name, path = value.path, data = value.data, type = value.type,
    filename = value.filename}
end

local function check_name(name)
  if type(name) ~= "string" then
    misuse("the names of multipart fields must be strings, got " .. type(name))
  end
end

-- A list of {name, value} in its order, a table of names and values in the order of their bytes.
local function parts_of(form)
  if type(form) ~= "table" then misuse("multipart must be a table, got " .. type(form)) end
  local list = {}
  if form[1] ~= nil then
    options.check_list(form, "a multipart form of pairs")
    for _, pair in ipairs(form) do
      if type(pair) ~= "table" then
        misuse("a multipart list must be one of {name, value}, got " .. type(pair))
      end
      check_name(pair[1])
      add_value(list, pair[1], pair[2])
    end
    return list
  end
  local names = {}
  for name in next, form do
    check_name(name)
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do add_value(list, name, form[name]) end
  return list
end

-- The body in segments ----------------------------------------------------------------------------

local function quoted(text)
  return '"' .. text:gsub('[\r\n"]', NEWLINES) .. '"'
end

-- Browsers write every line end in a name as CRLF.
local function quoted_name(name)
  return quoted((name:gsub("\r\n", "\n"):gsub("[\r\n]", "\r\n")))
end

local function head_of(part, boundary)
  local filename = part.filename or part.path and part.path:match("([^/]*)/*$")
  local content_type = part.type or filename and "application/octet-stream"
  return "--" .. boundary .. "\r\nContent-Disposition: form-data; name=" .. quoted_name(part.name)
    .. (filename and "; filename=" .. quoted(filename) or "")
    .. (content_type and "\r\nContent-Type: " .. content_type or "") .. "\r\n\r\n"
end

-- 128 random bits, which no file has by chance; in texts it is looked for all the same.
local function choose_boundary(list)
  while true do
    local boundary = "----corun" .. codec.hex.encode(codec.random(16))
    local found = false
    for _, part in ipairs(list) do
      found = found or part.data and part.data:find(boundary, 1, true)
    end
    if not found then return boundary end
  end
end

-- The length of the file of a part; nil and an error when there is none to send.
local function size_of(part)
  local st, err = fs.stat(part.path)
  if not st then return nil, err end
  if st.kind ~= "file" then
    return nil, corun.err(st.kind == "directory" and "EISDIR" or "EINVAL",
      "it is no file, so its length is not known", {op = "upload", target = part.path})
  end
  return st.size
end

-- What is sent, in order: texts and {path=, size=}; and its length in all.
local function segments_of(list, boundary)
  local segments, small, length = {}, {}, 0
  local function flush()
    if #small > 0 then segments[#segments + 1] = table.concat(small) end
    small = {}
  end
  local function add(text)
    length = length + #text
    if #text > OWN_PIECE then
      flush()
      segments[#segments + 1] = text
    else
      small[#small + 1] = text
    end
  end
  for _, part in ipairs(list) do
    add(head_of(part, boundary))
    if part.path then
      local size, err = size_of(part)
      if not size then return nil, err end
      flush()
      segments[#segments + 1] = {path = part.path, size = size}
      length = length + size
    else
      add(part.data)
    end
    add("\r\n")
  end
  add("--" .. boundary .. "--\r\n")
  flush()
  return segments, length
end

-- Reading -----------------------------------------------------------------------------------------

local function failed(segment, why)
  return nil, corun.err("ECHANGED", why, {op = "upload", target = segment.path})
end

local function changed(segment, size)
  return failed(segment, ("the file has changed its size, %d bytes were announced and %s are there")
    :format(segment.size, size))
end

-- Open the file of a segment, still as long as it was. The body owns it at once: what follows may
-- be cancelled.
local function open(body, segment)
  local file, err = fs.open(segment.path)
  if not file then return nil, err end
  body.file, body.left = file, segment.size
  if not file.stat then return failed(segment, "it is no file any more") end -- a pipe or a terminal
  local st
  st, err = file:stat()
  if not st then return nil, err end
  if st.size ~= segment.size then return changed(segment, tostring(st.size)) end
  return true
end

-- The next piece of a file of which `left` bytes are to come; nil, nil when all came.
local function read(file, segment, left)
  local piece, err = file:recv(left > 0 and math.min(left, PIECE) or 1)
  if err then return nil, err end
  if left > 0 and not piece then return changed(segment, "fewer") end
  if left == 0 and piece then return changed(segment, "more") end
  return piece
end

local function close(body)
  local file = body.file
  body.file = nil
  if file then file:close() end
end

local function take(body)
  while true do
    local segment = body.segments[body.index]
    if type(segment) ~= "table" then
      body.index = body.index + 1
      return segment
    end
    local is_open, piece, err = body.file ~= nil, nil, nil
    if not is_open then is_open, err = open(body, segment) end
    if is_open then piece, err = read(body.file, segment, body.left) end
    if piece then
      body.left = body.left - #piece
      return piece
    end
    close(body)
    if err then return nil, err end
    body.index = body.index + 1
  end
end

---Make the body of a form. It suspends, to ask for the length of files; misuse raises.
---
---The form is a table of names and values, or a list of {name, value}. A value is a string, a
---number, a boolean, a file `{path=, filename=, type=}`, bytes `{data=, filename=, type=}`, or a
---list of these. A file has the last part of its path as its name, and is application/octet-stream
---where nothing else is said.
---
---The source has `type`, the Content-Type; `length` in bytes; `next()`, the next piece, nil at the
---end, or nil and an error, which is for good; `rewind()`, to begin anew; `close()`, which closes
---the file that is open if it is not read to its end.
---@param form table
---@return table? source
---@return table? err
function multipart.source(form)
  local list = parts_of(form)
  local boundary = choose_boundary(list)
  local segments, length = segments_of(list, boundary)
  if not segments then return nil, length end
  local body, fault = {segments = segments, index = 1}, nil
  return {
    type = "multipart/form-data; boundary=" .. boundary, length = length,
    next = function()
      if fault then return nil, fault end
      local piece, err = take(body)
      fault = err
      return piece, err
    end,
    rewind = function()
      close(body)
      body.index, fault = 1, nil
      return true
    end,
    close = function() close(body) end,
  }
end

return multipart

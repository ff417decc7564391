-- SPDX-License-Identifier: MIT
-- The method form of requests: the fields and files of a form, urlencoded or multipart/form-data.
-- What is in memory is bounded; a file for which there is no room goes to a temporary file, which
-- the request owns and which is removed with it. What a client did wrong is remembered in
-- `req.fault`, so that it gets that status whatever the handler makes of the error.
local fs = require "corun.fs"
local options = require "corun.options"
local parameters = require "corun.http_parameters"
local parts = require "corun.http_parts"
local requests = require "corun.http_server_request"
local task = require "corun.task"
local url = require "corun.url"

local form = {}

local OPTIONS = {
  memory = "count", max_parts = "count", max_files = "count", max_head = "count",
  max_body = "count", parent = "string",
}
local LIMITS = {
  memory = 1 << 20, max_parts = 1000, max_files = 100, max_head = 8 << 10, max_body = math.huge,
}
local PIECE = 256 << 10

-- Parts -----------------------------------------------------------------------------------------

local part = {__name = "form part"}
part.__index = part

function part:__tostring()
  return ("form part (%s, %d bytes)"):format(self.name, self.size)
end

---All bytes of the part.
function part:read()
  options.self(self, part, "read")
  if self.data then return self.data end
  return fs.read(self.path)
end

---Write the part to a file.
function part:save(path)
  options.self(self, part, "save")
  if self.data then return fs.write(path, self.data) end
  local from <close>, failure = fs.open(self.path)
  if not from then return nil, failure end
  local to <close>, err = fs.open(path, "w")
  if not to then return nil, err end
  while true do
    local piece, why = from:recv(PIECE)
    if why then return nil, why end
    if not piece then return to:close() end
    local ok, full = to:write(piece)
    if not ok then return nil, full end
  end
end

-- Reading ---------------------------------------------------------------------------------------

-- A form that is being read: the request, the limits, what is counted.
local function fault(state, status, text) error(parts.fault(status, text, state.req.path), 0) end

-- The function that gives the body piece by piece, and raises what goes wrong.
local function source(state)
  local req, left = state.req, state.o.max_body
  local body = rawget(req, "body")
  local at = 1
  return function()
    local piece, err
    if body then
      piece = at <= #body and body:sub(at, at + PIECE - 1) or nil
      at = at + PIECE
    else
      piece, err = req:recv(PIECE)
    end
    if err then error(err, 0) end
    left = left - #(piece or "")
    if left < 0 then fault(state, 413, "the form is over the limit") end
    return piece
  end
end

local function count(state, what, limit)
  state[what] = state[what] + 1
  if state[what] > state.o[limit] then
    fault(state, 413, "the form has more " .. what .. " than the limit")
  end
end

-- Whether there is room in memory for so many bytes more; then they are counted.
local function has_room(state, n)
  if state.used + n > state.o.memory then return false end
  state.used = state.used + n
  return true
end

local function add(state, item)
  item = setmetatable(item, part)
  local list = state.form
  list[#list + 1] = item
  if item.filename then list.files[item.name] = item else list.fields[item.name] = item.data end
end

local function write(file, ...)
  local ok, err = file:write(...)
  if not ok then error(err, 0) end
end

-- Go on with the part in a temporary file, whose first bytes are `pieces`. It belongs to the
-- request at once: what follows may fail or be cancelled.
local function spill(state, pieces)
  local file, err = fs.temp{parent = state.o.parent, prefix = "corun-form-"}
  if not file then error(err, 0) end
  requests.keep(state.req, file)
  write(file, table.concat(pieces))
  return file
end

-- Read the bytes of a part to its end.
local function read_part(state, reader, item)
  local pieces, used, size, file = {}, state.used, 0, nil
  for piece in reader.piece, reader do
    size = size + #piece
    if file then
      write(file, piece)
    elseif has_room(state, #piece) then
      pieces[#pieces + 1] = piece
    elseif item.filename then
      pieces[#pieces + 1] = piece
      file, state.used, pieces = spill(state, pieces), used, nil
    else
      fault(state, 413, "the fields of the form are over the limit")
    end
  end
  item.size = size
  if not file then
    item.data = table.concat(pieces)
    return
  end
  local ok, err = file:flush()
  if not ok then error(err, 0) end
  item.path = file:path()
end

-- The last part of a file's name, as clients may send it with folders; nothing that leads away.
local function base(filename)
  local name = filename:match("^.*[/\\](.*)$") or filename
  return (name == "." or name == "..") and "" or name
end

local function read_multipart(state, boundary)
  if not boundary or #boundary > 70 or not boundary:find("^[\32-\126]*[\33-\126]$") then
    fault(state, 400, "the form has no proper boundary")
  end
  local reader = parts.new(source(state), boundary, state.o.max_head, state.req.path)
  repeat until not reader:piece() -- what stands before the first part
  for item, size in reader.next, reader do
    count(state, "parts", "max_parts")
    if item.filename then
      count(state, "files", "max_files")
      item.filename = base(item.filename)
    end
    if not has_room(state, size) then fault(state, 413, "the form is over the limit") end
    read_part(state, reader, item)
    add(state, item)
  end
end

local function read_urlencoded(state)
  local pieces = {}
  for piece in source(state) do
    if not has_room(state, #piece) then fault(state, 413, "the form is over the limit") end
    pieces[#pieces + 1] = piece
  end
  for pair in table.concat(pieces):gmatch("[^&]+") do
    count(state, "parts", "max_parts")
    local name, value = pair:match("^([^=]*)=(.*)$")
    local data = url.decode(value or "", "form")
    add(state, {name = url.decode(name or pair, "form"), data = data, size = #data, headers = {}})
  end
end

local function read(state)
  local kind, params = parameters.parse(state.req.headers["content-type"] or "")
  if kind == "multipart/form-data" then
    read_multipart(state, params.boundary)
  elseif kind == "application/x-www-form-urlencoded" then
    read_urlencoded(state)
  else
    fault(state, 415, "the request is no form")
  end
  return state.form
end

---Read the form of a request; see lua/meta/http_server.lua.
---@param req table
---@param o table?
function form.read(req, o)
  o = options.check(o, "form", OPTIONS)
  local known = rawget(req, "form_read")
  if known then return table.unpack(known, 1, 2) end
  local limits = {parent = o.parent}
  for name, value in pairs(LIMITS) do limits[name] = o[name] or value end
  local state = {
    req = req, o = limits, form = {fields = {}, files = {}}, parts = 0, files = 0, used = 0,
  }
  local made, err = task.try(read, state)
  if not made then
    if type(err) ~= "table" then error(err, 0) end
    req.fault = err.status or req.fault
  end
  rawset(req, "form_read", {made or nil, err})
  return made, err
end

return form

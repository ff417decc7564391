-- SPDX-License-Identifier: MIT
-- http.compress: the bodies of a handler's answers in the coding that the client likes best. What
-- is written in pieces is compressed and flushed piece by piece, by an encoder for each answer.
local accept = require "corun.http_accept"
local answers = require "corun.http_answer"
local callable = require("corun.source").is_callable
local codec = require "corun.codec"
local json = require "corun.json"
local options = require "corun.options"
local types = require "corun.http_types"

local compress = {}

local OPTIONS = {least = "count", codings = "table", level = "number"}
local LEAST = 1024 -- bytes; what is shorter fits into a packet as it is
local CODINGS = {"zstd", "br", "gzip"} -- of those that a client likes equally, the cheapest first
local LEVELS = {zstd = {1, 22}, br = {0, 11}, gzip = {0, 9}}

-- What stands between a function and the writer of its answer.
local packer = {__name = "http writer"}
packer.__index = packer

function packer:__tostring()
  return tostring(self.writer)
end

---Send a piece of the body.
function packer:write(...)
  local text = table.concat({...})
  if text == "" then return true end
  self.bytes = self.bytes + #text
  local first = assert(self.encoder:update(text))
  return self.writer:write(first, assert(self.encoder:flush()))
end

-- A function that writes what `write` does, compressed.
local function packed(write, coding, o)
  return function(writer)
    local encoder <close> = codec[coding].encoder(o)
    local through = setmetatable({writer = writer, encoder = encoder, bytes = 0}, packer)
    local ok, err = write(through)
    if ok == nil and err ~= nil then return nil, err end
    writer:write(assert(encoder:finish()))
    return true
  end
end

-- A function that writes a body that is no string.
local function writer_of(source)
  return function(writer)
    local _ <close> = require("corun.task").defer(source.close or function() end)
    while true do
      local piece, err = source.next()
      if piece == nil and err then error(err, 0) end
      if piece == nil then return true end
      writer:write(piece)
    end
  end
end

-- Whether an answer can be compressed at all.
local function is_fit(answer)
  local headers, status = answer.headers, answer.status or 200
  local content_type = answers.get(headers, "Content-Type")
  if status == 204 or status == 205 or status == 206 or not content_type then return false end
  if answers.get(headers, "Content-Encoding") or answers.get(headers, "Content-Range") then
    return false
  end
  local control = answers.get(headers, "Cache-Control")
  if control and control:lower():find("no-transform", 1, true) then return false end
  return types.is_compressible(content_type)
end

-- Give an answer its compressed body; false when it stays as it is.
local function pack(answer, coding, least, o)
  local body = answer.body
  if type(body) == "string" then
    if #body < least then return false end
    local short = assert(codec[coding].encode(body, o))
    if #short >= #body then return false end
    answer.body = short
  elseif body ~= nil then
    local source, err = require("corun.http_body").source(body)
    if not source then error(err, 0) end
    if source.length and source.length < least then return false end
    answer.body, answer.stream = nil, packed(writer_of(source), coding, o)
  elseif answer.stream then
    if answer.length and answer.length < least then return false end
    answer.stream, answer.length = packed(answer.stream, coding, o), nil
  else
    return answer.status == 304 -- it says what the whole answer would
  end
  return true
end

-- The compressed body has other bytes than the tag was made for.
local function weaken(headers)
  local tag = answers.get(headers, "ETag")
  if tag and tag:sub(1, 1) == '"' then answers.set(headers, "ETag", "W/" .. tag) end
end

-- The option `codings`; the option `level` must be one of each of them.
local function check_codings(codings, level)
  options.check_list(codings, "codings of compress")
  if #codings == 0 then options.misuse("codings of compress must name one at least", 3) end
  for _, name in ipairs(codings) do
    local range = LEVELS[name]
    if not range then
      options.misuse(("codings of compress are zstd, br and gzip, got %s"):format(
        options.show(name)), 3)
    end
    if level and not (math.tointeger(level) and level >= range[1] and level <= range[2]) then
      options.misuse(('option "level" for compress must be %d to %d for %s, got %s'):format(
        range[1], range[2], name, options.show(level)), 3)
    end
  end
  return codings
end

---Compress what a handler answers; see lua/meta/http_kit.lua.
function compress.compress(handler, o)
  if not callable(handler) then
    options.misuse("compress needs a handler function, got " .. type(handler))
  end
  o = options.check(o, "compress", OPTIONS)
  local least, codings = o.least or LEAST, check_codings(o.codings or CODINGS, o.level)
  local how = o.level and {level = o.level} or nil
  return function(req)
    local given, err = handler(req)
    local answer = answers.copy(given)
    if not answer then return given, err end
    if answer.json ~= nil and answer.body == nil then
      answer.body, answer.json = json.encode(answer.json), nil
      if not answers.get(answer.headers, "Content-Type") then
        answer.headers["Content-Type"] = "application/json"
      end
    end
    if not is_fit(answer) then return given end
    answers.vary(answer.headers, "Accept-Encoding")
    local coding = accept.coding(req.headers["accept-encoding"], codings)
    if coding and pack(answer, coding, least, how) then
      if answer.status ~= 304 then answers.set(answer.headers, "Content-Encoding", coding) end
      weaken(answer.headers)
    end
    return answer
  end
end

return compress

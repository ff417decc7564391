-- SPDX-License-Identifier: MIT
-- Reads multipart/form-data (RFC 7578, 2046) piece by piece: heads of parts, and their bytes as
-- they come. Holds no more than a head, or what may be the begin of a delimiter. What is malformed
-- or over a limit raises an error whose `status` is what the client is to be answered. A delimiter
-- begins with the line end before it, so the reader begins as if one had come before the body.
local core = require "corun.httpcore"
local parameters = require "corun.http_parameters"
local trim = require "corun.http_trim"
local task = require "corun.task"

local parts = {}
parts.__index = parts

local BLANK = "^[ \t]*$"
local ESCAPES = {["%22"] = '"', ["%0D"] = "\r", ["%0A"] = "\n"} -- those of browsers
local CODINGS = {["7bit"] = true, ["8bit"] = true, binary = true} -- those that change nothing

---The error for what a client is to blame for.
---@param status integer
---@param text string
---@param target string
---@return table err
function parts.fault(status, text, target)
  local code = status == 413 and "EMSGSIZE" or "EPROTO"
  return task.err(code, text, {op = "form", target = target, status = status})
end

local function malformed(self, text) error(parts.fault(400, text, self.target), 0) end

---Make a reader.
---@param recv fun(): string? the next piece of the body; nil at its end; raises what goes wrong
---@param boundary string
---@param max_head integer bytes of the head of a part
---@param target string for messages
function parts.new(recv, boundary, max_head, target)
  return setmetatable({
    recv = recv, mark = "\r\n--" .. boundary, max_head = max_head, target = target,
    text = "\r\n", at = 1, -- what came, and the place of the first byte that is not read
    skip = 0, -- bytes from there that are not the part's: the line end that ends its head
  }, parts)
end

-- Have further bytes; false at the end.
local function more(self)
  local piece = self.recv()
  if not piece then return false end
  self.text, self.at = self.text:sub(self.at) .. piece, 1
  return true
end

local function need(self)
  if not more(self) then malformed(self, "the form ends in the middle") end
end

---The next bytes of the part, or of what stands before the first; nil at its end, where the
---delimiter is.
---@return string?
function parts:piece()
  while true do
    local text, at, mark = self.text, self.at, self.mark
    local stop = text:find(mark, at, true)
    if stop == at and self.skip > 0 then
      malformed(self, "the form has a part without an end of its head")
    end
    local last = (stop or #text - #mark + 2) - 1 -- of what is surely the part's
    if last >= at + self.skip then
      local piece = text:sub(at + self.skip, last)
      self.at, self.skip = last + 1, 0
      return piece
    end
    if stop then
      self.at, self.skip = stop + #mark, 0
      return nil
    end
    need(self)
  end
end

-- Read what follows the last delimiter: the end of its line, then whatever it likes.
local function finish(self)
  self.at = self.at + 2
  repeat
    self.at = self.text:match("^[ \t]*()", self.at)
  until self.at <= #self.text or not more(self)
  if self.at <= #self.text and self.text:byte(self.at) ~= 13 then
    malformed(self, "the last delimiter of the form is followed by something else")
  end
  repeat self.at = #self.text + 1 until not more(self)
end

-- The lines of a head as a table by names in lower case.
local function headers_of(self, lines)
  local headers = {}
  for line in (lines .. "\r\n"):gmatch("(.-)\r\n") do
    local name, value = line:match("^([^:]*):(.*)$")
    if not name or not core.is_token(name) or not core.is_value(value) then
      malformed(self, "a header in the form is malformed")
    end
    name, value = name:lower(), trim(value)
    if headers[name] then malformed(self, "a header stands twice in a part of the form") end
    headers[name] = value
  end
  return headers
end

-- A parameter of Content-Disposition as it was meant.
local function parameter(self, params, name)
  local extended = params[name .. "*"]
  if extended then
    local text = parameters.extended(extended)
    if text and not text:find("%c") then return text end
    malformed(self, "a name in the form is malformed")
  end
  local text = params[name]
  return text and (text:gsub("%%[02][2DA]", ESCAPES))
end

-- What the headers of a part say of it.
local function describe(self, headers)
  local kind, params = parameters.parse(headers["content-disposition"] or "")
  local name = params and parameter(self, params, "name")
  if kind ~= "form-data" or not name then
    malformed(self, "a part of the form has no name")
  end
  local coding = headers["content-transfer-encoding"]
  if coding and not CODINGS[coding:lower()] then
    malformed(self, "a part of the form has a transfer encoding")
  end
  return {
    name = name, filename = parameter(self, params, "filename"), type = headers["content-type"],
    headers = headers,
  }
end

---Go on to the next part, to be called when `piece` has given nil.
---@return table? part name, filename, type, headers; nil when there is none any more
---@return integer? size of its head
function parts:next()
  while #self.text - self.at < 1 do need(self) end
  if self.text:sub(self.at, self.at + 1) == "--" then
    finish(self)
    return nil
  end
  local stop
  while true do
    stop = self.text:find("\r\n\r\n", self.at, true)
    local size = (stop or #self.text - 2) - self.at -- what may belong to its end is left out
    if size > self.max_head then
      error(parts.fault(413, "the head of a part of the form is over the limit", self.target), 0)
    end
    if stop then break end
    need(self)
  end
  local head = self.text:sub(self.at, stop - 1)
  local line, start = head:match("^(.-)\r\n()")
  if not (line or head):find(BLANK) then
    malformed(self, "a delimiter of the form is followed by something else")
  end
  self.at, self.skip = stop + 2, 2
  return describe(self, line and headers_of(self, head:sub(start)) or {}), #head
end

return parts

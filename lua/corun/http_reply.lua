-- SPDX-License-Identifier: MIT
-- Answers that corun.httpreply does not send by itself: those whose body comes in pieces, and those
-- that are not as they should be. Owns nothing.
local core = require "corun.httpreply"
local inside = require "corun.inside"
local json = require "corun.json"
local message = require "corun.http_message"
local options = require "corun.options"
local task = require "corun.task"

local callable = require("corun.source").is_callable

local reply = {send = core.send, server = core.server}

local FIELDS = {
  status = "number", headers = "table", body = "any", json = "any", stream = "any",
  length = "number",
}

-- Raise the sentence that says why an answer cannot be sent.
local function complain(answer)
  if type(answer) ~= "table" then
    error(("the handler returned %s instead of a string, a table or a function"):format(
      answer == true and "nothing" or type(answer)), 0)
  end
  options.check(answer, "a response", FIELDS)
  local status = answer.status or 200
  if math.type(status) ~= "integer" or status < 200 or status > 999 then
    error(("the status of a response must be an integer from 200 to 999, got %s"):format(
      options.show(status)), 0)
  end
  local first
  for _, name in ipairs{"body", "json", "stream"} do
    if answer[name] ~= nil then
      if first then error(('a response has either "%s" or "%s"'):format(first, name), 0) end
      first = name
    end
  end
  if answer.stream ~= nil and not callable(answer.stream) then
    error(("the stream of a response must be a function, got %s"):format(type(answer.stream)), 0)
  end
  local length = answer.length
  if length ~= nil and (answer.stream == nil or (math.tointeger(length) or -1) < 0) then
    error("the length of a response must be that of its stream, an integer", 0)
  end
  if answer.headers then message.add_headers({}, answer.headers) end
  if answer.json ~= nil then json.encode(answer.json) end
end

-- The function that writes the body, the length of the body if that is known, and what is to be
-- closed afterwards.
local function body_of(answer)
  if answer.stream then return answer.stream, answer.length end
  local source, err = require("corun.http_body").source(answer.body)
  if not source then error(err, 0) end
  return function(writer)
    while true do
      local piece, why = source.next()
      if piece == nil and why then error(why, 0) end
      if piece == nil then return end
      writer:write(piece)
    end
  end, source.length, source
end

local function close(source)
  if source and source.close then source.close() end
end

---Send an answer that is no string and no table with a string or JSON. Raises when it is not as it
---should be, before anything was sent.
---@param c userdata
---@param req table
---@param answer any
---@param site integer of the handler
---@param fate string what the header Connection says
---@return table outcome status; keep: whether the connection may be kept; err: why the body was cut
---  short, if that was not the client's doing
function reply.special(c, req, answer, site, fate)
  local given = callable(answer) and {stream = answer} or answer
  complain(given)
  if given.stream == nil and given.body == nil then error("the response cannot be sent", 0) end
  local write, length, source = body_of(given)
  local chunked = not length and req.version == "1.1"
  local status = given.status or 200
  local has_body = core.has_body(status)
  local outcome = {status = status, keep = length ~= nil or chunked or not has_body}
  local _ <close> = task.defer(close, source)
  local sent = core.send(c, {status = given.status, headers = given.headers},
    outcome.keep and fate or "close", true, length or chunked and "chunked" or "until the end")
  if not sent then
    outcome.keep = false
  elseif has_body and req.method ~= "HEAD" then
    local writers = require "corun.http_writer"
    local writer = writers.new(c, req.path, length, chunked)
    local ok, err = inside.attend(site, write, writer)
    if ok ~= nil or err == nil then ok, err = writer:finish() end
    if not ok then
      local is_gone = err == writer.gone or err == writers.GONE
      outcome.keep, outcome.err = false, not is_gone and err or nil
    end
  end
  return outcome
end

return reply

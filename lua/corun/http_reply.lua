-- SPDX-License-Identifier: MIT
-- What is wrong with an answer that a handler returned and corun.httpreply would not send. Owns
-- nothing.
local core = require "corun.httpreply"
local json = require "corun.json"
local message = require "corun.http_message"
local options = require "corun.options"

local reply = {send = core.send, reason = core.reason}

local FIELDS = {status = "number", headers = "table", body = "string", json = "any"}

---Raise the sentence that says why an answer cannot be sent.
function reply.complain(answer)
  if type(answer) ~= "table" then
    error(("the handler returned %s instead of a string or a table"):format(
      answer == true and "nothing" or type(answer)), 0)
  end
  options.check(answer, "a response", FIELDS)
  local status = answer.status or 200
  if math.type(status) ~= "integer" or status < 200 or status > 999 then
    error(("the response has the status %s"):format(tostring(status)), 0)
  end
  if answer.json ~= nil and answer.body then
    error('a response has either "body" or "json"', 0)
  end
  if answer.headers then message.add_headers({}, answer.headers) end
  json.encode(answer.json)
  error("the response cannot be sent", 0)
end

return reply

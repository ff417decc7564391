-- SPDX-License-Identifier: MIT
-- Responses as scripts see them. Owns nothing: the body of a response is complete.
local message = require "corun.http_message"

local response = {__name = "http response"}

function response.__index(self, key)
  if key == "json" then return message.json end
  if key == "headers" then
    local headers = message.headers(self.block)
    rawset(self, "headers", headers)
    return headers
  end
end

function response:__tostring()
  return ("http response (%d, %d bytes, %s)"):format(self.status, #self.body, self.url)
end

---Make the response to a request.
function response.new(status, block, body, url)
  return setmetatable({status = status, ok = status >= 200 and status < 300, url = url,
                       body = body, block = block}, response)
end

return response

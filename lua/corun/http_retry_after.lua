-- SPDX-License-Identifier: MIT
-- The header Retry-After (RFC 9110, 10.2.3): how long a server asks to be left alone. Owns nothing,
-- never suspends.
local date = require "corun.http_date"
local trim = require "corun.http_trim"

local MOST = 1 << 31 -- seconds; a number may have any length

---The seconds to wait, 0 for a date that has passed.
---@param value string? of the header; nil: it is absent
---@param now number? seconds since 1970 by the clock of the server, such as its Date (default: now)
---@return number? seconds nil when it says nothing that can be understood
local function retry_after(value, now)
  if not value then return nil end
  value = trim(value)
  local digits = value:match("^%d+$") or value:match("^%d+%.%d*$") -- some servers send fractions
  if digits then return math.min(tonumber(digits), MOST) end
  now = now or os.time()
  local when = date.parse(value, now)
  return when and math.max(0, when - now)
end

return retry_after

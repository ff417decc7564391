-- SPDX-License-Identifier: MIT
-- The header Retry-After (RFC 9110, 10.2.3): how long a server asks to be left alone. Owns nothing,
-- never suspends.
local MOST = 1 << 31 -- seconds; a number may have any length
local MONTHS = {Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9,
  Oct = 10, Nov = 11, Dec = 12}
local DATE = "^%a%a%a, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$"

-- Days from 1970 to a day of the Gregorian calendar; years begin in March.
local function days(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  local leap_days = year // 4 - year // 100 + year // 400
  return 365 * year + leap_days + (153 * month - 457) // 5 + day - 719469
end

---The seconds to wait, 0 for a date that has passed.
---@param value string? of the header; nil: it is absent
---@param now number? seconds since 1970 (default: now)
---@return number? seconds nil when it says nothing that can be understood
local function retry_after(value, now)
  if not value then return nil end
  local digits = value:match("^%d+$")
  if digits then return math.min(tonumber(digits), MOST) end
  local day, month, year, h, m, s = value:match(DATE)
  if not MONTHS[month] then return nil end
  local when = days(tonumber(year), MONTHS[month], tonumber(day)) * 86400 + h * 3600 + m * 60 + s
  return math.max(0, when - (now or os.time()))
end

return retry_after

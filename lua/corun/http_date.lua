-- SPDX-License-Identifier: MIT
-- Dates as HTTP writes them (RFC 9110, 5.6.7), to and from seconds since 1970. Owns nothing, never
-- suspends.
local date = {}

local MONTHS = {Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9,
  Oct = 10, Nov = 11, Dec = 12}
local DAYS = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

-- They find day, month, year, hour, minute, second, in this order but for the last.
local IMF = "^%a%a%a, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$"
local RFC850 = "^%a+day, (%d%d)%-(%a%a%a)%-(%d%d) (%d%d):(%d%d):(%d%d) GMT$"
local ASCTIME = "^%a%a%a (%a%a%a) ([ %d]%d) (%d%d):(%d%d):(%d%d) (%d%d%d%d)$"

local function is_leap(year)
  return year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
end

-- Days since 1970; years begin in March, so that the odd day is the last.
local function days(year, month, day)
  if month <= 2 then year = year - 1 end
  local of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
  return year * 365 + year // 4 - year // 100 + year // 400 + of_year - 719468
end

-- Two digits mean the year that is at most 50 years from now (RFC 9110).
local function full_year(year, now)
  local this = tonumber(os.date("!%Y", now // 1 | 0))
  year = this - this % 100 + year
  if year > this + 50 then return year - 100 end
  return year <= this - 50 and year + 100 or year
end

---Parse a date, in any of the three forms.
---@param text string
---@param now number? seconds since 1970, for years of two digits (default: now)
---@return integer? seconds nil when it is no date
function date.parse(text, now)
  local day, month, year, hour, minute, second = text:match(IMF)
  if not day then day, month, year, hour, minute, second = text:match(RFC850) end
  if not day then month, day, hour, minute, second, year = text:match(ASCTIME) end
  month = MONTHS[month]
  if not month then return nil end
  day, hour, minute, second = tonumber(day), tonumber(hour), tonumber(minute), tonumber(second)
  year = #year == 2 and full_year(tonumber(year), now or os.time()) or tonumber(year)
  local last = month == 2 and is_leap(year) and 29 or DAYS[month]
  if day < 1 or day > last or hour > 23 or minute > 59 or second > 60 then return nil end
  return ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
end

---Write a date in the form that HTTP prefers.
---@param seconds number since 1970
---@return string
function date.format(seconds)
  return os.date("!%a, %d %b %Y %H:%M:%S GMT", seconds // 1 | 0) --[[@as string]]
end

return date

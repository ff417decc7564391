-- SPDX-License-Identifier: MIT
-- What RFC 9111 says about keeping responses, for a private cache: pure functions of a request, a
-- response and the time. Owns nothing, never suspends.
--
-- A request is {method=, headers=}, a response {status=, headers=}; a stored one has `sent` and
-- `received` too, the seconds since 1970 of its request and of itself. Headers are tables of names
-- in small letters, each with one string, several values joined by ", "; a list counts as that.
local date = require "corun.http_date"
local trim = require "corun.http_trim"

local cache_control = {}

local MOST = 1 << 31 -- seconds, which stands for any longer time (RFC 9111, 1.2.2)
local HEURISTIC = 0.1 -- of the time since a response was last changed

-- Statuses of which a cache may guess how long they are fresh (RFC 9110, 15.1).
local GUESSABLE = {[200] = true, [203] = true, [204] = true, [300] = true, [301] = true,
  [308] = true, [404] = true, [405] = true, [410] = true, [414] = true, [501] = true}
-- Those with explicit freshness alone. Failures that pass are not among them: a retry must reach
-- the server; nor are parts (206).
local UNDERSTOOD = {[302] = true, [303] = true, [307] = true}
local SAFE = {GET = true, HEAD = true, OPTIONS = true, TRACE = true}

-- What concerns one connection (RFC 9111, 3.1), and what tells of a body that a 304 has not.
local OF_CONNECTION = {connection = true, ["keep-alive"] = true, ["proxy-connection"] = true,
  ["proxy-authenticate"] = true, ["proxy-authentication-info"] = true,
  ["proxy-authorization"] = true, te = true, trailer = true, ["transfer-encoding"] = true,
  upgrade = true}
local OF_BODY = {["content-length"] = true, ["content-encoding"] = true,
  ["content-type"] = true, ["content-range"] = true}

local function header(message, name)
  local value = message.headers[name]
  return type(value) == "table" and table.concat(value, ", ") or value
end

-- Parsing -----------------------------------------------------------------------------------------

-- The text between quotes that begins at `at`, and the place behind it.
local function quoted(s, at)
  local out = {}
  while true do
    local stop = s:find('["\\]', at)
    if not stop then return nil, #s + 1 end
    out[#out + 1] = s:sub(at, stop - 1)
    if s:byte(stop) == 34 then return table.concat(out), stop + 1 end
    out[#out + 1] = s:sub(stop + 1, stop + 1)
    at = stop + 2
  end
end

---The directives of a Cache-Control: by name in small letters the value, true where there is none.
---Of a directive that is there twice the first counts; what is malformed is passed over.
---@param value string?
---@return table<string, string|true>
function cache_control.parse(value)
  local directives, at = {}, 1
  while value and at <= #value do
    local name, stop = value:match("^[ \t,]*([^ \t,=\"]*)()", at)
    local start, argument = value:match("^[ \t]*=[ \t]*()", stop), true
    if start and value:byte(start) == 34 then
      argument, stop = quoted(value, start + 1)
    elseif start then
      argument, stop = value:match("^([^ \t,]*)()", start)
    end
    name = name:lower()
    if name ~= "" and argument and directives[name] == nil then directives[name] = argument end
    at = value:find(",", stop, true) or #value + 1
  end
  return directives
end

-- Seconds; 0 for what is no number, so that such a response is stale (RFC 9111, 4.2.1).
local function seconds(argument)
  local digits = type(argument) == "string" and argument:match("^%d+$")
  return digits and math.min(tonumber(digits), MOST) or 0
end

local function directives_of(message)
  return cache_control.parse(header(message, "cache-control"))
end

local function date_of(message, name, now)
  local text = header(message, name)
  return text and date.parse(text, now)
end

-- Storing -----------------------------------------------------------------------------------------

---For how many seconds a response is fresh from when it was made (RFC 9111, 4.2.1).
---@param response table
---@return number seconds
function cache_control.lifetime(response)
  local directives = directives_of(response)
  if directives["max-age"] then return seconds(directives["max-age"]) end
  local made = date_of(response, "date", response.received) or response.received or os.time()
  if header(response, "expires") then
    local expires = date_of(response, "expires", response.received)
    return expires and math.max(0, expires - made) or 0
  end
  local changed = date_of(response, "last-modified", response.received)
  if changed and (GUESSABLE[response.status] or directives.public) then
    return math.max(0, made - changed) * HEURISTIC
  end
  return 0
end

---Whether a response may be kept (RFC 9111, 3), and can be of use: it is fresh for a while, or the
---server can be asked whether it still is.
---@param request table
---@param response table
---@return boolean
function cache_control.is_storable(request, response)
  local directives, status = directives_of(response), response.status
  if request.method ~= "GET" or not (GUESSABLE[status] or UNDERSTOOD[status]) then return false end
  if directives["no-store"] and not directives["must-understand"] then return false end
  if directives_of(request)["no-store"] or request.headers.range then return false end
  if (header(response, "vary") or ""):find("*", 1, true) then return false end
  if not (GUESSABLE[status] or directives.public or directives.private or directives["max-age"]
    or header(response, "expires")) then return false end
  return next(cache_control.validators(response)) ~= nil or cache_control.lifetime(response) > 0
end

---The headers of a response that are kept with it.
---@param headers table
---@return table
function cache_control.stored_headers(headers)
  local out, listed = {}, header({headers = headers}, "connection") or ""
  local dropped = {}
  for name in listed:lower():gmatch("[^,%s]+") do dropped[name] = true end
  for name, value in next, headers do
    if not (OF_CONNECTION[name] or dropped[name]) then out[name] = value end
  end
  return out
end

-- A list with its items one blank apart.
local function spaced(list)
  return (list:gsub("[^,]+", trim):gsub(",", ", "))
end

---What of a request chooses between the responses of one URL (RFC 9111, 4.1).
---@param request table
---@param vary string? of the response
---@return string? key "" when nothing does; nil when no request has the same ("*")
function cache_control.vary_key(request, vary)
  local names = {}
  for name in (vary or ""):lower():gmatch("[^,%s]+") do names[#names + 1] = name end
  table.sort(names)
  local parts, last = {}, nil
  for _, name in ipairs(names) do
    if name == "*" then return nil end
    if name ~= last then
      local value = header(request, name)
      parts[#parts + 1] = value and ("%s: %q"):format(name, spaced(value)) or name
    end
    last = name
  end
  return table.concat(parts, "\n")
end

---Whether an answer to a request makes what is stored of its URL useless (RFC 9111, 4.4).
---@param request table
---@param response table
---@return boolean
function cache_control.invalidates(request, response)
  return not SAFE[request.method] and response.status >= 200 and response.status < 400
end

-- Reusing -----------------------------------------------------------------------------------------

---How old a stored response is (RFC 9111, 4.2.3).
---@param stored table
---@param now number seconds since 1970
---@return number seconds
function cache_control.age(stored, now)
  local made = date_of(stored, "date", stored.received) or stored.received
  local age = (header(stored, "age") or ""):match("^%d+")
  local on_arrival = seconds(age) + math.max(0, stored.received - stored.sent)
  return math.max(0, stored.received - made, on_arrival) + math.max(0, now - stored.received)
end

---Whether a stored response may answer a request without a word to the server (RFC 9111, 4).
---@param request table
---@param stored table
---@param now number seconds since 1970
---@return boolean
function cache_control.may_reuse(request, stored, now)
  local theirs, wanted = directives_of(stored), directives_of(request)
  if theirs["no-cache"] or wanted["no-cache"] then return false end
  local pragma = not header(request, "cache-control") and header(request, "pragma")
  if pragma and pragma:lower():find("no-cache", 1, true) then return false end
  local age, lifetime = cache_control.age(stored, now), cache_control.lifetime(stored)
  if wanted["max-age"] and age > seconds(wanted["max-age"]) then return false end
  if wanted["min-fresh"] and lifetime - age < seconds(wanted["min-fresh"]) then return false end
  if age < lifetime then return true end
  local stale = wanted["max-stale"]
  if not stale or theirs["must-revalidate"] then return false end
  return stale == true or age - lifetime <= seconds(stale)
end

---Whether a stale response may stand in for a failure (RFC 5861, 4).
---@param request table
---@param stored table
---@param now number seconds since 1970
---@return boolean
function cache_control.may_excuse(request, stored, now)
  local theirs, wanted = directives_of(stored), directives_of(request)
  if theirs["no-cache"] or theirs["must-revalidate"] or wanted["no-cache"] then return false end
  local limit = wanted["stale-if-error"] or theirs["stale-if-error"]
  if not limit then return false end
  return cache_control.age(stored, now) - cache_control.lifetime(stored) <= seconds(limit)
end

---The headers that ask whether a stored response is still the one (RFC 9111, 4.3.1); none when
---nobody can tell.
---@param stored table
---@return table
function cache_control.validators(stored)
  return {["if-none-match"] = header(stored, "etag"),
    ["if-modified-since"] = header(stored, "last-modified")}
end

---The headers of a stored response after a 304 has confirmed it (RFC 9111, 3.2): what the 304 has
---replaces what was there, but for what tells of the body and of the connection.
---@param headers table of the stored response
---@param news table headers of the 304
---@return table
function cache_control.updated_headers(headers, news)
  local out = {}
  for name, value in next, headers do out[name] = value end
  for name, value in next, cache_control.stored_headers(news) do
    if not OF_BODY[name] then out[name] = value end
  end
  out.age, out.date = news.age, news.date -- which tell of the answer, not of the body
  return out
end

return cache_control

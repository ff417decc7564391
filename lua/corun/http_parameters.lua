-- SPDX-License-Identifier: MIT
-- The parameters of a header's value, such as those of Content-Type and Content-Disposition: read
-- strictly, for what two readers would read differently is refused. Owns nothing, never suspends.
local url = require "corun.url"

local parameters = {}

---What RFC 8187 makes of a value such as UTF-8'en'%E2%82%AC; nil when it is none, or no UTF-8.
---@param value string
---@return string? text
function parameters.extended(value)
  local charset, text = value:match("^([^']*)'[^']*'([%w!#$&+%-.^_`|~%%]*)$")
  if not charset or text:gsub("%%%x%x", ""):find("%%") then return nil end
  text = url.decode(text)
  charset = charset:lower()
  if charset == "iso-8859-1" then
    return (text:gsub("[\128-\255]", function(c) return utf8.char(c:byte()) end))
  end
  return charset == "utf-8" and utf8.len(text) and text or nil
end

-- The text between quotes, which begins at `at`, and the place behind it; nil without a last quote.
-- A backslash escapes a quote and another backslash, as Python's requests and curl write them; any
-- other is itself, as in the Windows paths that old browsers send.
local function quoted(s, at)
  local out = {}
  while true do
    local stop = s:find('["\\]', at)
    if not stop then return nil end
    out[#out + 1] = s:sub(at, stop - 1)
    if s:byte(stop) == 34 then return table.concat(out), stop + 1 end
    local escaped = s:match('^["\\]', stop + 1)
    out[#out + 1] = escaped or "\\"
    at = stop + 1 + #(escaped or "")
  end
end

---Split a value into what stands before its parameters, in lower case, and a table of these by
---their names in lower case; nil when it is malformed, or has a name twice.
---@param s string
---@return string? value
---@return table<string, string>? params those with a name that ends in "*" as they were sent
function parameters.parse(s)
  local value, at = s:match("^[ \t]*([^ \t;,]+)[ \t]*()")
  local params = {}
  while value do
    local name, stop = s:match('^;[ \t]*([^ \t;,="]+)=()', at)
    if not name then break end
    local text
    if s:byte(stop) == 34 then
      text, at = quoted(s, stop + 1)
    else
      text, at = s:match('^([^ \t;,"]+)()', stop)
    end
    name = name:lower()
    if not text or params[name] then return nil end
    params[name], at = text, s:match("^[ \t]*()", at)
  end
  if not value or not s:find("^;?[ \t]*$", at) then return nil end
  return value:lower(), params
end

return parameters

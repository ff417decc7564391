-- SPDX-License-Identifier: MIT
-- The header Link (RFC 8288), parsed as its appendix B has it: what is malformed ends the list, and
-- what came before it counts. Owns nothing, never suspends.
local extended = require("corun.http_parameters").extended
local url = require "corun.url"

local links = {}

local QUOTED_END = '["\\]'

-- The text between quotes, which begins at `at`, and the place behind it. Without a last quote it
-- goes to the end.
local function quoted(s, at)
  local out = {}
  while true do
    local stop = s:find(QUOTED_END, at)
    out[#out + 1] = s:sub(at, (stop or 0) - 1)
    if not stop then return table.concat(out), #s + 1 end
    if s:byte(stop) == 34 then return table.concat(out), stop + 1 end
    out[#out + 1] = s:sub(stop + 1, stop + 1)
    at = stop + 2
  end
end

-- The parameters that begin at `at`, the first of each name, and the place behind them.
local function parameters(s, at)
  local params = {}
  while true do
    local name, stop = s:match("^[ \t]*;[ \t]*([^ \t=;,]*)[ \t]*()", at)
    if not name then break end
    local value
    at = stop
    stop = s:match("^=[ \t]*()", at)
    if stop and s:byte(stop) == 34 then
      value, at = quoted(s, stop + 1)
    elseif stop then
      value, at = s:match("^([^;,]*)()", stop)
      value = value:match("^.*[^ \t]") or ""
    end
    name, value = name:lower(), value or ""
    if name:sub(-1) == "*" then value = extended(value) end
    if name ~= "" and params[name] == nil then params[name] = value end
  end
  return params, s:match("^[ \t]*()", at)
end

local function add(list, refused, target, params, base)
  local where = url.join(base, target)
  local anchor = params.anchor and url.join(base, params.anchor)
  for name in params.rel:lower():gmatch("%S+") do
    if not where then refused[name] = refused[name] or target end
  end
  if not where or params.anchor and not anchor then return end
  for name in params.rel:lower():gmatch("%S+") do
    local link = {url = where, rel = name, anchor = anchor, params = params,
      title = params["title*"] or params.title}
    list[#list + 1] = link
    list[name] = list[name] or link
  end
end

---Parse the value of Link, several lines of it joined by ", ".
---
---Each link is `{url, rel, title, anchor, params}`: URLs resolved, `rel` one relation in small
---letters (a link with several is there several times), `params` the first of each parameter by its
---name in small letters. The list has them in order, and the first of each relation by its name:
---`links.next.url`. Links without a relation, and those with a URL that cannot be, are left out.
---@param value string? nil: the header is absent
---@param base string the URL of the response
---@return table list
---@return table<string, string> refused by relation the target of the first link that cannot be
function links.parse(value, base)
  local list, refused, at = {}, {}, 1
  while value do
    local target, stop = value:match("^[ \t,]*<([^>]*)>()", at)
    if not target then break end
    local params
    params, at = parameters(value, stop)
    if params.rel then add(list, refused, target, params, base) end
    if value:byte(at) ~= 44 then break end
  end
  return list, refused
end

return links

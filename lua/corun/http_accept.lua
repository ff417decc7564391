-- SPDX-License-Identifier: MIT
-- What a client accepts: the content codings of Accept-Encoding with their weights (RFC 9110,
-- 12.5.3). Owns nothing.
local accept = {}

local ALIASES = {["x-gzip"] = "gzip"}

-- The weight in the parameters of an item; 1 when there is none, 0 when it is no weight.
local function weight(parameters)
  local q = parameters:match("^%s*;%s*[qQ]=([%d.]+)%s*$")
  if not q then return parameters:find("^%s*$") and 1 or 0 end
  local value = (q:find("^0%.?%d?%d?%d?$") or q:find("^1%.?0?0?0?$")) and tonumber(q)
  return value or 0
end

---The codings that a client likes at least as much as the body as it is, the best first.
---@param header string? the value of Accept-Encoding; without it no coding is wanted
---@param offers string[] the codings that there may be, the best first
---@return string[] codings
function accept.codings(header, offers)
  local list = {}
  if not header or header == "" then return list end
  local weights = {}
  for item in header:gmatch("[^,]+") do
    local name, parameters = item:match("^%s*([^%s;]+)(.*)$")
    name = name and name:lower()
    if name then weights[ALIASES[name] or name] = weight(parameters) end
  end
  local least = weights.identity or 0
  local function liked(name) return weights[name] or weights["*"] or 0 end
  for _, name in ipairs(offers) do
    local q, at = liked(name), #list + 1
    while at > 1 and liked(list[at - 1]) < q do at = at - 1 end
    if q > 0 and q >= least then table.insert(list, at, name) end
  end
  return list
end

---Choose the coding that a client likes best.
---@param header string?
---@param offers string[]
---@return string? coding nil: the body as it is
function accept.coding(header, offers)
  return accept.codings(header, offers)[1]
end

return accept

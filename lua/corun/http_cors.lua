-- SPDX-License-Identifier: MIT
-- http.cors: which pages of other origins may read the answers of a handler (Fetch Standard, 3.2).
-- Owns nothing.
local answers = require "corun.http_answer"
local callable = require("corun.source").is_callable
local options = require "corun.options"

local cors = {}

local OPTIONS = {
  origins = "any", methods = "table", headers = "table", expose = "table", credentials = "boolean",
  max_age = "number",
}
local METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"

-- A function that says whether an origin is allowed.
local function allows(origins)
  if origins == nil or origins == "*" then return function() return true end end
  if callable(origins) then return origins end
  if type(origins) ~= "table" then
    options.misuse('origins of cors must be "*", a list or a function, got ' .. type(origins), 3)
  end
  local set = {}
  for _, origin in ipairs(origins) do
    if type(origin) ~= "string" or not origin:find("^%w[%w+.-]*://[^/%s]+$") then
      options.misuse("an origin of cors is written as https://host, got " .. options.show(origin),
        3)
    end
    set[origin:lower()] = true
  end
  return function(origin) return set[origin:lower()] end
end

local function join(list)
  return list and table.concat(list, ", ")
end

---Let pages of other origins read what a handler answers; see lua/meta/http_kit.lua.
function cors.cors(handler, o)
  if not callable(handler) then
    options.misuse("cors needs a handler function, got " .. type(handler))
  end
  o = options.check(o, "cors", OPTIONS)
  local is_allowed, is_any = allows(o.origins), o.origins == nil or o.origins == "*"
  if is_any and o.credentials then
    options.misuse("cors with credentials needs a list of origins, or a function")
  end
  local methods, allowed = join(o.methods) or METHODS, join(o.headers)
  local expose, max_age = join(o.expose), o.max_age and ("%d"):format(o.max_age // 1)

  local function add_origin(headers, origin)
    if not is_any then answers.vary(headers, "Origin") end
    if not origin or not is_allowed(origin) then return false end
    answers.set(headers, "Access-Control-Allow-Origin", is_any and "*" or origin)
    if o.credentials then answers.set(headers, "Access-Control-Allow-Credentials", "true") end
    return true
  end

  local function preflight(req, origin)
    local headers = {Vary = "Access-Control-Request-Headers"}
    if add_origin(headers, origin) then
      headers["Access-Control-Allow-Methods"] = methods
      headers["Access-Control-Allow-Headers"] = allowed
        or req.headers["access-control-request-headers"]
      headers["Access-Control-Max-Age"] = max_age
    end
    return {status = 204, headers = headers}
  end

  return function(req)
    local origin = req.headers.origin
    if origin and req.method == "OPTIONS" and req.headers["access-control-request-method"] then
      return preflight(req, origin)
    end
    local given, err = handler(req)
    local answer = answers.copy(given)
    if not answer then return given, err end
    if add_origin(answer.headers, origin) then
      answer.headers["Access-Control-Expose-Headers"] = expose
    end
    return answer
  end
end

return cors

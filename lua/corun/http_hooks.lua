-- SPDX-License-Identifier: MIT
-- The hooks of a session: on_request sees and may change what is to be sent, on_response what came.
-- Both run in the task that asked, outside of retries and redirects, and hold no connection. Owns
-- nothing.
local options = require "corun.options"
local policies = require "corun.http_policies"
local request_of = require "corun.http_request"
local url = require "corun.http_url"

local hooks = {}

-- The headers that a hook sees, by names in any case.
local headers_mt = {
  __index = function(t, name)
    return type(name) == "string" and rawget(t, name:lower()) or nil
  end,
  __newindex = function(t, name, value)
    rawset(t, type(name) == "string" and name:lower() or name, value)
  end,
}

local function headers_of(request)
  local headers = request:values()
  headers.host = headers.host or request.u.name
  return headers
end

local function view_of(request)
  return {
    method = request.method, url = request.url, body = request.body,
    headers = setmetatable(headers_of(request), headers_mt),
  }
end

local function set_headers(r, headers, before)
  for lower in pairs(before) do
    if headers[lower] == nil then r:remove(lower) end
  end
  for name, value in next, headers do
    if before[name] ~= value then
      if type(name) == "string" then r:remove(name) end
      r:add({[name] = value})
    end
  end
end

-- The request as a hook has left it; or nil, error. What is no request is misuse.
local function changed(request, view)
  if type(view.url) ~= "string" or type(view.headers) ~= "table" then
    options.misuse("on_request must leave a URL that is a string, and headers that are a table")
  end
  local r = request:copy()
  if view.url ~= request.url then
    local u, err = url.parse(view.url)
    if not u then return nil, err end
    u.url = view.url
    r:lead_to(u)
  end
  if view.method ~= request.method then
    r.method = request_of.check_method(view.method)
  end
  if view.body ~= request.body then r:set_body(view.body) end
  set_headers(r, view.headers, headers_of(request))
  r:seal()
  return r
end

-- Lets go of an answer that its hook has not let through.
local unread = {__close = function(u)
  if u.res then policies.discard(u.res) end
end}

local function respond(hook, res, view)
  local u <close> = setmetatable({res = res}, unread)
  local value, err = hook(res, view)
  if value == nil and err ~= nil then return nil, err end
  u.res = nil
  return res
end

---Call the hooks around a request. What they fail with is its outcome.
function hooks.layer(session, request, next)
  local on_request, on_response = request.hooks.on_request, request.hooks.on_response
  local view = view_of(request)
  if on_request then
    local value, err = on_request(view)
    if value == nil and err ~= nil then return nil, err end
    request, err = changed(request, view)
    if not request then return nil, err end
  end
  local res, err = next(session, request)
  if not res or not on_response then return res, err end
  return respond(on_response, res, view)
end

return hooks

-- SPDX-License-Identifier: MIT
-- The option `netrc`: basic authorization by what a netrc file (http_netrc.lua) has for the host of
-- each try, where nothing else authorizes it. The file is read once for each option, when it is
-- first needed.
local auth = require "corun.http_auth"
local netrc = require "corun.http_netrc"
local options = require "corun.options"
local make_err = require("corun.task").err

local login = {}

---Read the option: the path of a file, true for $NETRC or ~/.netrc.
function login.read(value)
  if value == "" then options.misuse('option "netrc" must be a path or a boolean') end
  return {path = value ~= true and value or nil}
end

-- `default` is for the host that the script names, not for those that a server leads to, nor for
-- what is not of the session's base. All Unix sockets of URLs have the host localhost.
local function lookup(entries, request)
  local u = request.u
  if u.socket then return nil end
  return entries:lookup(u.host, request.led or u.foreign)
end

-- The value of the header Authorization; nil when there is none, or nil and an error.
local function value_of(policy, request)
  local err
  if not policy.entries then
    policy.entries, err = netrc.load(policy.path)
    if err then return nil, err end
  end
  local entry = lookup(policy.entries, request)
  if not entry or not (entry.login or entry.password) then return nil end
  local value, why = auth.basic(entry.login or "", entry.password or "")
  if value then return value end
  return nil, make_err("EINVAL", "what the netrc file has cannot be sent: " .. why,
    {op = "authorize", target = request.u.host})
end

---Send a request with the name and password of its host.
function login.layer(session, request, next)
  if request.lines.authorization then return next(session, request) end
  local value, err = value_of(request.netrc, request)
  if err then return nil, err end
  if value then
    request = request:copy()
    request:set("authorization", value)
    request:seal()
  end
  return next(session, request)
end

return login

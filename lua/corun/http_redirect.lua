-- SPDX-License-Identifier: MIT
-- Redirects: which are followed, with which method and body (RFC 9110, 15.4), and what of a request
-- must not go to another origin. Owns nothing.
local join = require("corun.url").join
local options = require "corun.options"
local task = require "corun.task"
local policies = require "corun.http_policies"
local url = require "corun.http_url"

local redirect = {}

local MOST = 10
local VISITS = 2 -- of one URL: a server may set a cookie and send back to where it was asked for
local FOLLOWED = {[301] = true, [302] = true, [303] = true, [307] = true, [308] = true}
local SPEC = {max = "count", downgrade = "boolean"}

---Read the option: so many at most, true for 10, or a table.
function redirect.read(value)
  if value == 0 then return false end
  if value == true then return {max = MOST} end
  if type(value) == "table" then
    options.check(value, "redirects", SPEC)
    return {max = value.max or MOST, downgrade = value.downgrade}
  end
  if value < 0 or not math.tointeger(value) then
    options.misuse(('option "redirects" must be an integer, 0 or more, got %s'):format(value))
  end
  return {max = value}
end

-- The method that follows, and whether the body goes with it: as browsers do, and with 302 for all
-- methods what they do for POST.
local function next_method(method, status)
  if method == "HEAD" then return "HEAD", status ~= 303 end
  if status == 303 or status == 302 and method ~= "GET" or status == 301 and method == "POST" then
    return "GET", false
  end
  return method, true
end

-- Whether an answer leads on. One that does not say where to is an answer like others.
local function leads_on(res)
  return FOLLOWED[res.status] and (res.headers.location or "") ~= ""
end

-- The text of Location; nil and what is wrong with it.
local function location(res)
  local text = res.headers.location
  if text:find("[%z\1-\31\127]") then return nil, "has a control character in its Location" end
  local _, lines = ("\n" .. res.block):gsub("\nlocation:", "")
  if lines > 1 then return nil, "has several lines Location" end
  return text
end

-- The parsed URL that a response sends to; nil, what is wrong, and the error that says so.
local function destination(request, res)
  local text, why = location(res)
  if not text then return nil, why end
  local full, err = join(request.url, text)
  if not full then return nil, ("leads to %q: %s"):format(text, err.message), err end
  if not full:find("#", 1, true) then full = full .. (request.url:match("#.*") or "") end
  local u
  u, err = url.parse(full)
  if not u then return nil, ("leads to %q: %s"):format(text, err.message), err end
  why = url.refusal(request.u, u, request.redirects.downgrade)
  if why then return nil, why end
  u.url = full
  return u
end

-- The request that follows.
local function hop(request, u, method, with_body)
  local r = request:copy()
  r.method = method
  if not with_body then
    r:set_body(nil)
    for lower in pairs(request.lines) do
      if lower:find("^content%-") then r:remove(lower) end
    end
  end
  if not r:lead_to(u) then r:forget_private() end
  r:seal()
  return r
end

-- The request that a response asks for; nil and what is wrong.
local function following(request, res, history, visits)
  local most = request.redirects.max
  if #history >= most then return nil, ("is one more than the %d allowed"):format(most) end
  local u, why, cause = destination(request, res)
  if not u then return nil, why, cause end
  local method, with_body = next_method(request.method, res.status)
  if with_body and not request:rewind() then
    return nil, "asks for the body again, which cannot be sent twice"
  end
  local key = method .. " " .. u.origin .. u.target
  visits[key] = (visits[key] or 0) + 1
  if visits[key] > VISITS then return nil, "leads in a circle through " .. u.url end
  return hop(request, u, method, with_body)
end

local function follow(session, request, next, res)
  local history, visits = {}, {[request.method .. " " .. request.u.origin .. request.target] = 1}
  repeat
    policies.discard(res)
    local r, why, cause = following(request, res, history, visits)
    if not r then
      res.history = history
      return nil, task.err("EREDIRECT", ("the answer %d %s"):format(res.status, why),
        {op = "redirect", target = request.url, status = res.status, response = res, cause = cause})
    end
    history[#history + 1] = res
    session.counts.redirects = session.counts.redirects + 1
    request = r
    local err
    res, err = next(session, request)
    if not res then return nil, err end
  until not leads_on(res)
  res.history = history
  return res
end

---Send a request, and those that its answers ask for.
function redirect.layer(session, request, next)
  local res, err = next(session, request)
  if not res or not leads_on(res) then return res, err end
  return follow(session, request, next, res)
end

return redirect

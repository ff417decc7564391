-- SPDX-License-Identifier: MIT
-- Pages: an iterator over the responses of requests of which each names the next, by its header
-- Link or by what a function of the script's finds in it. Owns the response whose page is at hand.
-- Invariant: no URL is asked for twice.
local callable = require("corun.source").is_callable
local options = require "corun.options"
local policies = require "corun.http_policies"
local task = require "corun.task"
local url = require "corun.url"

local pages = {__name = "http pages"}
pages.__index = pages

-- Of one origin: where the next page is, the server says.
local PRIVATE = {authorization = true, cookie = true, ["proxy-authorization"] = true, host = true}

local function by_link(res)
  local link = res.links.next
  return link and link.url
end

local function origin(text)
  local u = url.parse(text)
  return u and ("%s://%s:%s"):format(u.scheme, u.host, u.port)
end

-- The URL without those parameters that `query` gives anew.
local function without(target, query)
  local head, text, tail = target:match("^([^?#]*)%??([^#]*)(.*)$")
  local kept = {}
  for part in text:gmatch("[^&]+") do
    if query[url.decode(part:match("^[^=]*"), "form")] == nil then kept[#kept + 1] = part end
  end
  return head .. (#kept > 0 and "?" .. table.concat(kept, "&") or "") .. tail
end

-- What follows the page at hand: a URL and the options for it; nil at the end. It raises what the
-- function of the script's raises or fails with.
local function following(self)
  local res = self.res
  local found, err = self.next(res)
  if found == nil then
    if err ~= nil then error(err, 0) end
    return nil
  end
  local o = {}
  for k, v in pairs(self.o) do o[k] = v end
  if type(found) == "table" then
    local query = o.query or {}
    if type(query) == "string" then query = url.query(query) end
    o.query = {}
    for k, v in pairs(query) do o.query[k] = v end
    for k, v in pairs(found) do o.query[k] = v end
    return without(self.first, found), o
  end
  if type(found) ~= "string" then
    options.misuse("next must give a URL, a query or nil, got " .. type(found))
  end
  o.query = nil -- the URL has it
  found, err = url.join(res.url, found)
  if not found then error(err, 0) end
  if origin(found) ~= origin(self.home) then
    local headers = {}
    for name, value in pairs(o.headers or {}) do
      if not PRIVATE[tostring(name):lower()] then headers[name] = value end
    end
    o.headers, o.auth = headers, nil
  end
  return found, o
end

local function check_new(self, target, o)
  local key, query = target:match("^[^#]*"), o.query
  if query then key = key .. " " .. (type(query) == "table" and url.query(query) or query) end
  if self.seen[key] then
    error(task.err("ELOOP", "this page was there before", {op = "paginate", target = target}), 0)
  end
  self.seen[key] = true
end

---The next response; nil after the last. It raises what a request fails with.
function pages:__call()
  if self.closed then return nil end
  local target, o = self.first, self.o
  if self.res then
    target, o = following(self)
    policies.discard(self.res)
    self.res = nil
    if not target then
      self:close()
      return nil
    end
    check_new(self, target, o)
  end
  local res, err = self.session:get(target, o)
  if not res then
    self:close()
    error(err, 0)
  end
  self.home = self.home or res.url
  self.seen[res.url:match("^[^#]*")] = true
  self.res = res
  return res
end

---End it; a page that is streamed is closed. A second call does nothing.
function pages:close()
  self.closed = true
  local res = self.res
  self.res = nil
  if res and res.close then res:close() end
end
pages.__close = pages.close

function pages:__tostring()
  return ("http pages %p (%s, %s)"):format(self, self.first, self.closed and "ended" or "open")
end

---Iterate over pages; see lua/meta/http.lua.
return function(session, target, next, o)
  if type(next) == "table" and not callable(next) and o == nil then next, o = nil, next end
  if type(target) ~= "string" then
    options.misuse("the URL must be a string, got " .. type(target))
  end
  if next ~= nil and not callable(next) then
    options.misuse("next of paginate must be a function, got " .. type(next))
  end
  if o ~= nil and type(o) ~= "table" then
    options.misuse("options of paginate must be a table, got " .. type(o))
  end
  local own = {check = session.check == nil or session.check}
  for k, v in pairs(o or {}) do own[k] = v end
  local self = setmetatable({
    session = session, first = target, next = next or by_link, o = own, seen = {},
  }, pages)
  check_new(self, target, own)
  return self, nil, nil, self
end

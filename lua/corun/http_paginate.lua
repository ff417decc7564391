-- SPDX-License-Identifier: MIT
-- Pages: an iterator over the responses of requests of which each names the next, by its header
-- Link or by what a function of the script's finds in it. Owns the response whose page is at hand.
-- Invariant: no URL is asked for twice.
local callable = require("corun.source").is_callable
local http_url = require "corun.http_url"
local inside = require "corun.inside"
local links = require "corun.http_links"
local null = require("corun.json").null
local options = require "corun.options"
local policies = require "corun.http_policies"
local task = require "corun.task"
local url = require "corun.url"

local merge_query = http_url.merge_query

local pages = {__name = "http pages"}
pages.__index = pages

local function malformed(res, target, cause)
  local shown = http_url.split_login(target)
  return task.err("EURL", "the URL of the next page is none of http: " .. shown,
    {op = "paginate", target = res.url, cause = cause})
end

-- Whether redirects, and so pages, may lead from https to http.
local function may_downgrade(self)
  local redirects = self.o.redirects
  if redirects == nil then redirects = self.session.redirects end
  return type(redirects) == "table" and redirects.downgrade
end

-- The URL that `found` in a page gives; it raises where no page may lead to, as with redirects.
local function destination(self, res, found)
  local target, err = url.join(res.url, found)
  local to
  if target then to, err = http_url.parse((http_url.split_login(target))) end
  if not to then error(malformed(res, found, err), 0) end
  local why = http_url.refusal(http_url.parse(res.url), to, may_downgrade(self))
  if not why then return target end
  error(task.err("EURL", "the next page " .. why, {op = "paginate", target = res.url}), 0)
end

-- A link that cannot be followed is not the end of the list.
local function by_link(res)
  local link = res.links.next
  if link then return link.url end
  local _, refused = links.parse(res.headers.link, res.url)
  if refused.next then return nil, malformed(res, refused.next) end
end

-- The URL without those parameters that `query` gives anew.
local function without(target, query)
  local head, text, tail = target:match("^([^?#]*)%??([^#]*)(.*)$")
  local given, kept = url.query(url.query(query)), {}
  for part in text:gmatch("[^&]+") do
    if given[url.decode(part:match("^[^=]*"), "form")] == nil then kept[#kept + 1] = part end
  end
  return head .. (#kept > 0 and "?" .. table.concat(kept, "&") or "") .. tail
end

-- What follows the page at hand: a URL and the options for it; nil at the end. It raises what the
-- function of the script's raises or fails with.
local function following(self)
  local res = self.res
  local found, err = self.next(res)
  if found == nil and err ~= nil then error(err, 0) end
  if not found or found == null then return nil end
  local o = {}
  for k, v in pairs(self.o) do o[k] = v end
  if type(found) == "table" then
    o.query = merge_query(o.query or {}, found)
    return without(self.first, found), o
  end
  if type(found) ~= "string" then
    options.misuse("next must give a URL, a query or nil, got " .. type(found))
  end
  o.query = nil -- the URL has it
  return destination(self, res, found), o
end

local function check_new(self, target, o)
  local key, query = target:match("^[^#]*"), o.query
  if query then key = key .. " " .. (type(query) == "table" and url.query(query) or query) end
  if self.seen[key] then
    local shown = http_url.split_login(target)
    error(task.err("ELOOP", "this page was there before", {op = "paginate", target = shown}), 0)
  end
  self.seen[key] = true
end

---The next response; nil after the last. It raises what a request fails with.
function pages:__call()
  if self.closed then return nil end
  if self.busy then
    inside.raise("EBUSY", "paginate", nil, "another task waits for the next page")
  end
  self.busy = true
  local _ <close> = self.resting
  local target, o = self.first, self.o
  if self.res then
    target, o = following(self)
    if self.closed then return nil end -- meanwhile
    policies.discard(self.res)
    self.res = nil
    if not target then
      self:close()
      return nil
    end
    check_new(self, target, o)
  end
  local res, err = self.follow(self.session, self.first, target, o)
  if not res then
    self:close()
    error(err, 0)
  end
  if self.closed then
    policies.discard(res)
    return nil
  end
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

---Iterate over pages; see lua/meta/http.lua. `follow(session, first, target, o)` gets a page.
return function(session, follow, target, next, o)
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
  local first, login = http_url.split_login(target)
  if own.auth == nil then own.auth = login end -- which pages of the same origin get too
  local self = setmetatable({
    session = session, follow = follow, first = first, next = next or by_link, o = own, seen = {},
  }, pages)
  self.resting = setmetatable({}, {__close = function() self.busy = false end})
  check_new(self, first, own)
  return self, nil, nil, self
end

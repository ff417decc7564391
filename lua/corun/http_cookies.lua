-- SPDX-License-Identifier: MIT
-- Jars of cookies after RFC 6265bis; the numbers of sections below are those of its draft 20. A jar
-- owns its cookies, which are found by domain, by identity and, the secure ones, by name. Age and
-- use are counted, not timed, so that a clock that is set back changes no order. Bounded: a cookie,
-- a domain, the jar. Never suspends but to read and write files (http_cookies_file.lua).
local core = require "corun.cookiecore"
local options = require "corun.options"
local trim = require "corun.http_trim"
local without_login = require("corun.http_url").without_login
local parse_url = require "corun.urlcore".request
local make_err = require("corun.task").err

local cookies = {}

local LONGEST_COOKIE, LONGEST_ATTRIBUTE = 4096, 1024
local LIFE = 400 * 86400 -- seconds that a cookie of a server lives at most (section 5.5)
local FAR = 1 << 53 -- the last second that is told from the next
-- When there are more than the first, the least worthy go until the second is left, so that a full
-- jar is not sorted for each cookie. The RFC asks for at least 50 and 3,000.
local DOMAIN_MOST, DOMAIN_KEPT = 180, 150
local MOST, KEPT = 3300, 3000

local SECURE = {https = true, wss = true}
local SAFE = {GET = true, HEAD = true, OPTIONS = true, TRACE = true}
local SAME_SITE = {strict = "strict", lax = "lax", none = "none"}
local CONTEXT = {method = "string", site = "string", top_level = "boolean"}
local FIELDS = {
  name = "string", value = "string", domain = "string", host_only = "boolean", path = "string",
  secure = "boolean", http_only = "boolean", same_site = "string", expires = "number",
}
local FILTER = {name = "string", domain = "string", path = "string", session = "boolean"}

local jar = {__name = "cookie jar"}
jar.__index = jar

-- Hosts and paths -------------------------------------------------------------------------------

local function is_address(host)
  return host:find(":", 1, true) or host:find("^%d+%.%d+%.%d+%.%d+$")
end

-- Section 5.1.3.
local function domain_match(host, domain)
  if host == domain then return true end
  local dot = #host - #domain
  return dot > 0 and host:byte(dot) == 46 and host:sub(dot + 1) == domain and not is_address(host)
end

-- Section 5.1.4.
local function path_match(path, prefix)
  if path:sub(1, #prefix) ~= prefix then return false end
  return #path == #prefix or prefix:byte(-1) == 47 or path:byte(#prefix + 1) == 47
end

local function default_path(path)
  local parent = path:match("^(/.*)/")
  return parent or "/"
end

-- The list knows names without the dot of the root.
local function is_public_suffix(domain)
  return not is_address(domain) and core.is_public_suffix((domain:gsub("%.$", "")))
end

local function site_of(host)
  return not is_address(host) and core.registrable((host:gsub("%.$", ""))) or host
end

-- The host that a text names as URLs have it, nil when it names none. Unlike the attribute Domain,
-- what scripts and files say may be in any script and any case.
local function canonical_host(text)
  if text:find("[%c%s/?#@\\%[%]]") then return nil end
  local u = parse_url("http://" .. (text:find(":", 1, true) and "[" .. text .. "]" or text) .. "/")
  return u and u.host ~= "" and u.port == nil and u.host or nil
end

-- The parts of a URL that matter.
local function origin(url)
  local u, err = url, nil
  if type(url) == "string" then
    u, err = parse_url(url)
  elseif type(url) ~= "table" then
    options.misuse("the URL must be a string or its parts, got " .. type(url), 3)
  end
  if not u then
    err.target = without_login(err.target)
    return nil, err
  end
  if not u.host or u.host == "" then
    return nil, make_err("EURL", "it has no host",
      {op = "find cookies", target = without_login(tostring(u))})
  end
  return u
end

-- Whether a request to `u` is made by another site (section 5.2). A script has no page from which
-- its requests come: unless it names one, each is as if the user had typed the URL.
local function is_cross_site(u, o)
  if not o.site then return false end
  local from, err = origin(o.site)
  if not from then options.misuse(('option "site": %s'):format(err.message), 3) end
  return SECURE[from.scheme] ~= SECURE[u.scheme] or site_of(from.host) ~= site_of(u.host)
end

-- Parsing ---------------------------------------------------------------------------------------

local ATTRIBUTES = {
  expires = function(c, v) c.expires = core.date(v) or c.expires end,
  ["max-age"] = function(c, v)
    if v:find("^%-?%d+$") then c.max_age = tonumber(v) end
  end,
  domain = function(c, v) c.domain = v:gsub("^%.", ""):lower() end,
  path = function(c, v) c.path = v:sub(1, 1) == "/" and v or nil end,
  secure = function(c) c.secure = true end,
  httponly = function(c) c.http_only = true end,
  samesite = function(c, v) c.same_site = SAME_SITE[v:lower()] end,
}

-- What a line says (section 5.6); nil and why it is to be ignored.
local function parse(line)
  if line:find("[%z\1-\8\10-\31\127]") then return nil, "it has a control character" end
  local pair, rest = line:match("^([^;]*)(.*)$")
  local name, value = pair:match("^([^=]*)=(.*)$")
  local c = {name = trim(name or ""), value = trim(value or pair), secure = false,
    http_only = false}
  for attribute in rest:gmatch(";([^;]*)") do
    local key, v = attribute:match("^([^=]*)=(.*)$")
    v = trim(v or "")
    local take = ATTRIBUTES[trim(key or attribute):lower()]
    if take and #v <= LONGEST_ATTRIBUTE then take(c, v) end
  end
  return c
end

local function begins(text, prefix)
  return text:sub(1, #prefix):lower() == prefix
end

-- Why no cookie may be like this, wherever it comes from; nil when it may. `has_path`: whether its
-- path was said.
local function fault(c, has_path)
  local name, value = c.name, c.value
  if name == "" and value == "" then return "it is empty" end
  if #name + #value > LONGEST_COOKIE then
    return ("it is longer than %d bytes"):format(LONGEST_COOKIE)
  end
  -- The RFC lets tabs pass; in a file they would divide fields.
  if (name .. value .. c.path):find("%c") then return "it has a control character" end
  if c.same_site == "none" and not c.secure then return "SameSite=None needs Secure" end
  if name == "" and (begins(value, "__secure-") or begins(value, "__host-")) then
    return "its value poses as a name with a prefix"
  end
  if begins(name, "__secure-") and not c.secure then return "the prefix __Secure- needs Secure" end
  if begins(name, "__host-") and not (c.secure and c.host_only and has_path and c.path == "/") then
    return "the prefix __Host- needs Secure, Path=/ and no Domain"
  end
end

-- Keeping ---------------------------------------------------------------------------------------

local function key_of(c)
  return c.name .. "\0" .. c.path .. (c.host_only and "\0h" or "\0")
end

local function is_expired(c, now)
  return c.expires ~= nil and c.expires <= now
end

local function remove(self, c)
  local group = self.domains[c.domain]
  group.cookies[key_of(c)] = nil
  group.count = group.count - 1
  if group.count == 0 then self.domains[c.domain] = nil end
  self.count = self.count - 1
  local named = self.secure[c.name]
  if not named then return end
  named[c] = nil
  if next(named) == nil then self.secure[c.name] = nil end
end

local function by_use(a, b)
  if a.used ~= b.used then return a.used < b.used end
  return a.age < b.age
end

local function by_worth(a, b)
  if a.secure ~= b.secure then return b.secure end
  return by_use(a, b)
end

-- Remove what has expired, and then the first by `order` until `kept` are left (section 5.7).
local function evict(self, list, kept, order, now)
  local living = {}
  for _, c in ipairs(list) do
    if is_expired(c, now) then remove(self, c) else living[#living + 1] = c end
  end
  if #living <= kept then return end
  table.sort(living, order)
  for i = 1, #living - kept do remove(self, living[i]) end
end

local function list_of(group, list)
  for _, c in pairs(group.cookies) do list[#list + 1] = c end
  return list
end

local function list_all(self)
  local list = {}
  for _, group in pairs(self.domains) do list_of(group, list) end
  return list
end

local function tick(self)
  self.ticks = self.ticks + 1
  return self.ticks
end

-- Put a cookie in the place of the one that is like it, whose age it keeps.
local function put(self, c, now)
  local group = self.domains[c.domain]
  local old = group and group.cookies[key_of(c)]
  if old then remove(self, old) end
  if is_expired(c, now) then return end
  c.used = tick(self)
  c.age = old and old.age or c.used
  group = self.domains[c.domain]
  if not group then
    group = {count = 0, cookies = {}}
    self.domains[c.domain] = group
  end
  group.cookies[key_of(c)] = c
  group.count = group.count + 1
  self.count = self.count + 1
  if c.secure then
    local named = self.secure[c.name] or {}
    self.secure[c.name] = named
    named[c] = true
  end
  if group.count > DOMAIN_MOST then
    evict(self, list_of(group, {}), DOMAIN_KEPT, by_worth, now)
  end
  if self.count > MOST then evict(self, list_all(self), KEPT, by_use, now) end
end

-- Whether a cookie that came unencrypted would hide one that is secure (section 5.7, step 15).
local function hides_secure(self, c, now)
  for other in pairs(self.secure[c.name] or {}) do
    if not is_expired(other, now) and path_match(c.path, other.path) and
      (domain_match(c.domain, other.domain) or domain_match(other.domain, c.domain)) then
      return true
    end
  end
  return false
end

-- Whom the cookie is for: why it cannot be for them, or nil.
local function settle_domain(c, host)
  local domain = c.domain or ""
  if domain:find("[\128-\255]") then return "its domain has other characters than ASCII" end
  if domain ~= "" then
    local known, is_public = pcall(is_public_suffix, domain)
    if not known then return ("its domain cannot be checked: %s"):format(is_public) end
    if is_public and domain ~= host then
      return ("its domain %s is a public suffix"):format(domain)
    end
    if is_public then domain = "" end
  end
  if domain ~= "" and not domain_match(host, domain) then
    return ("its domain %s is not that of %s"):format(domain, host)
  end
  c.host_only = domain == ""
  c.domain = domain ~= "" and domain or host
end

-- Store what one line says; answer why not (section 5.7).
local function store_line(self, u, line, now, is_barred)
  local c, why = parse(line)
  if not c then return why end
  if c.max_age then c.expires = c.max_age > 0 and now + c.max_age or -math.huge end
  if c.expires then c.expires = math.min(c.expires, now + LIFE) end
  why = settle_domain(c, u.host)
  if why then return why end
  local has_path = c.path ~= nil
  c.path = c.path or default_path(u.path)
  why = fault(c, has_path)
  if why then return why end
  if not SECURE[u.scheme] then
    if c.secure then return "it is Secure, but came unencrypted" end
    if hides_secure(self, c, now) then return "it would hide a secure cookie" end
  end
  if is_barred and c.same_site ~= "none" then return "it came from another site" end
  c.max_age = nil
  put(self, c, now)
end

local function refusal(u, line, why)
  local name = line:match("^[^;=]*"):sub(1, 64):gsub("%c", "?")
  return make_err("ECOOKIE", ("the cookie %q is refused: %s"):format(trim(name), why),
    {op = "store cookie", target = ("%s://%s%s"):format(u.scheme, u.host, u.path)})
end

-- Public ----------------------------------------------------------------------------------------

---Make an empty jar that does without the list of public suffixes until a cookie has a domain,
---which it refuses when there is no list.
function cookies.new()
  return setmetatable({domains = {}, secure = {}, count = 0, ticks = 0}, jar)
end

---Make an empty jar.
function cookies.jar()
  core.load_suffixes()
  return cookies.new()
end

---Say whether a value is a jar.
function cookies.is_jar(v)
  return getmetatable(v) == jar
end

---Store what a response has set.
function jar:store(url, lines, now, o)
  if type(lines) ~= "string" and type(lines) ~= "table" then
    options.misuse("store needs a line or a list of lines, got " .. type(lines))
  end
  local u, err = origin(url)
  if not u then return nil, err end
  o = options.check(o, "store", CONTEXT)
  now = now or os.time()
  local is_barred = is_cross_site(u, o) and not o.top_level
  local stored, refused = 0, nil
  for _, line in ipairs(type(lines) == "string" and {lines} or lines) do
    if type(line) ~= "string" then
      options.misuse("the lines to store must be strings, got " .. type(line))
    end
    local why = store_line(self, u, line, now, is_barred)
    if why then
      refused = refused or {}
      refused[#refused + 1] = refusal(u, line, why)
    else
      stored = stored + 1
    end
  end
  return stored, refused
end

-- Append the cookies of one domain that go with a request, and remove what has expired.
local function collect(self, group, found, u, is_parent, allows, now)
  local is_secure, path = SECURE[u.scheme], u.path
  for _, c in pairs(group.cookies) do
    if is_expired(c, now) then
      remove(self, c)
    elseif not (is_parent and c.host_only) and path_match(path, c.path) and
      (is_secure or not c.secure) and (not allows or allows[c.same_site or "lax"]) then
      found[#found + 1] = c
    end
  end
end

local function by_path(a, b)
  if #a.path ~= #b.path then return #a.path > #b.path end
  return a.age < b.age
end

-- What SameSite may say so that a request made by another site gets the cookie.
local TOP_LEVEL, ELSEWHERE = {none = true, lax = true}, {none = true}

---The value of the header Cookie of a request.
function jar:header(url, o, now)
  if self.count == 0 then return nil end
  local u, err = origin(url)
  if not u then return nil, err end
  o = options.check(o, "header", CONTEXT)
  now = now or os.time()
  local allows
  if is_cross_site(u, o) then
    allows = o.top_level and SAFE[o.method or "GET"] and TOP_LEVEL or ELSEWHERE
  end
  local found, host = {}, u.host
  local domain, may_climb = host, not is_address(host)
  while domain do
    local group = self.domains[domain]
    if group then collect(self, group, found, u, domain ~= host, allows, now) end
    domain = may_climb and domain:match("^[^.]*%.(.+)$")
  end
  if #found == 0 then return nil end
  table.sort(found, by_path)
  local used = tick(self)
  for i, c in ipairs(found) do
    c.used = used
    found[i] = c.name == "" and c.value or c.name .. "=" .. c.value
  end
  return table.concat(found, "; ")
end

-- What a script or a file says of a cookie, made complete; nil and why it is none.
local function complete(c)
  local domain = canonical_host((c.domain:gsub("^%.", "")))
  if not domain or domain:find("^%.") then return nil, "its domain is no host" end
  c = {name = c.name, value = c.value, domain = domain, path = c.path or "/",
    host_only = c.host_only ~= false, secure = c.secure or false, http_only = c.http_only or false,
    same_site = c.same_site, expires = c.expires and math.min(c.expires, FAR)}
  if c.expires ~= c.expires then return nil, "its time is no number" end
  if c.path:sub(1, 1) ~= "/" then return nil, "its path does not begin with /" end
  if #c.path > LONGEST_ATTRIBUTE then
    return nil, ("its path is longer than %d bytes"):format(LONGEST_ATTRIBUTE)
  end
  if c.same_site and not SAME_SITE[c.same_site] then
    return nil, 'its same_site is none of "strict", "lax" and "none"'
  end
  local is_cut = c.name:find("[;=]") or (c.value .. c.path):find(";", 1, true)
  if is_cut or trim(c.name) ~= c.name or trim(c.value) ~= c.value then
    return nil, "it has a character that would end it"
  end
  local why = fault(c, true)
  if why then return nil, why end
  return c
end

-- Put a cookie into the jar as a file says it is; answer why not. What has become a public suffix
-- since it was written is for that host alone, as the RFC has it with hosts that set their own.
local function restore(self, said, now)
  local c, why = complete(said)
  if not c then return why end
  if not c.host_only and is_public_suffix(c.domain) then c.host_only = true end
  put(self, c, now)
end

---Make a jar of a file.
function cookies.load(path)
  return require("corun.http_cookies_file").load(cookies.jar(), path, restore)
end

---Set a cookie.
function jar:set(c, now)
  options.check(c or {}, "set", FIELDS)
  if not c or not c.name or not c.value or not c.domain then
    options.misuse("a cookie needs a name, a value and a domain")
  end
  local made, why = complete(c)
  if made and not made.host_only and is_public_suffix(made.domain) then
    why = ("its domain %s is a public suffix"):format(made.domain)
  end
  if why then options.misuse(("the cookie %q cannot be set: %s"):format(c.name, why)) end
  put(self, made, now or os.time())
end

local function fits(c, filter)
  return (filter.name == nil or c.name == filter.name) and
    (filter.domain == nil or c.domain == filter.domain) and
    (filter.path == nil or c.path == filter.path) and
    (filter.session == nil or (c.expires == nil) == filter.session)
end

-- The cookies that fit and have not expired.
local function matching(self, filter, op, now)
  filter = options.check(filter, op, FILTER, 3)
  if filter.domain then
    filter = setmetatable({domain = canonical_host(filter.domain) or ""}, {__index = filter})
  end
  local list = {}
  for _, c in ipairs(list_all(self)) do
    if not is_expired(c, now or os.time()) and fits(c, filter) then list[#list + 1] = c end
  end
  return list
end

local function by_age(a, b) return a.age < b.age end

---Go through the cookies.
function jar:all(filter, now)
  local list, i = matching(self, filter, "all", now), 0
  table.sort(list, by_age)
  return function()
    i = i + 1
    local c = list[i]
    if not c then return nil end
    local copy = {}
    for field in pairs(FIELDS) do copy[field] = c[field] end
    return copy
  end
end

---Remove the cookies that fit.
function jar:delete(filter)
  if filter == nil or next(filter) == nil then
    options.misuse("delete needs a name, a domain, a path or session; clear removes all")
  end
  local list = matching(self, filter, "delete")
  for _, c in ipairs(list) do remove(self, c) end
  return #list
end

---Remove all cookies.
function jar:clear()
  self.domains, self.secure, self.count = {}, {}, 0
end

---Write the cookies into a file.
function jar:save(path, now)
  return require("corun.http_cookies_file").save(self, path, now)
end

function jar:__tostring()
  return ("cookie jar %p (%d cookie%s)"):format(self, self.count, self.count == 1 and "" or "s")
end

return cookies

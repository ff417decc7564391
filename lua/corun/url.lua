-- SPDX-License-Identifier: MIT
-- The module corun.url: URLs as the URL Standard has them (url.spec.whatwg.org), parsed by
-- src/data/url.c; building and queries are policy over it. Owns nothing, never suspends.
local core = require "corun.urlcore"
local numeral = require "corun.numeral"
local options = require "corun.options"

local url = {parse = core.parse, encode = core.encode, decode = core.decode}

local encode, decode, escape = core.encode, core.decode, core.escape
local SPECIAL = {http = true, https = true, ws = true, wss = true, ftp = true, file = true}

---The URL that a reference means that stands in a document at `base`.
function url.join(base, reference)
  if type(reference) ~= "string" then
    options.misuse("url.join needs a reference that is a string, got " .. type(reference))
  end
  local mt = getmetatable(base)
  if type(base) ~= "string" and not (type(mt) == "table" and mt.__tostring) then
    options.misuse("url.join needs a base that is a string or a URL, got " .. type(base))
  end
  return core.whole(reference, base)
end

-- Queries ---------------------------------------------------------------------------------------

local function text_of(key, v)
  local kind = type(v)
  if kind == "string" then return v end
  if kind == "boolean" then return tostring(v) end
  if kind == "number" then
    return numeral(v) or options.misuse(("query value %q must be finite, got %s"):format(
      tostring(key), options.show(v)))
  end
  return options.misuse(("query value %q must be a string, a number, a boolean or a list of these, "
    .. "got %s"):format(tostring(key), kind))
end

local function check_name(k)
  if type(k) ~= "string" then
    options.misuse("the names in a query must be strings, got " .. type(k))
  end
end

local function add(out, k, v)
  out[#out + 1] = encode(k, "form") .. "=" .. encode(text_of(k, v), "form")
end

local function build_query(t)
  local out = {}
  if type(t[1]) == "table" then
    options.check_list(t, "a query of pairs")
    for _, pair in ipairs(t) do
      if type(pair) ~= "table" then
        options.misuse("a query of pairs must be a list of {name, value}, got " .. type(pair))
      end
      check_name(pair[1])
      options.check_list(pair, ("the pair of %q in a query"):format(pair[1]))
      if #pair > 2 then
        options.misuse(("the pair of %q in a query has %d values"):format(pair[1], #pair - 1))
      end
      add(out, pair[1], pair[2])
    end
    return table.concat(out, "&")
  end
  local keys = {}
  for k in next, t do
    check_name(k)
    keys[#keys + 1] = k
  end
  table.sort(keys)
  for _, k in ipairs(keys) do
    local v = t[k]
    if type(v) == "table" then
      options.check_list(v, ("query value %q"):format(k))
      for _, item in ipairs(v) do add(out, k, item) end
    else
      add(out, k, v)
    end
  end
  return table.concat(out, "&")
end

local function parse_query(s)
  local values, pairs_ = {}, {}
  for part in s:gsub("^%?", ""):gmatch("[^&]+") do
    local k, v = part:match("^([^=]*)=(.*)$")
    k, v = decode(k or part, "form"), decode(v or "", "form")
    if values[k] == nil then values[k] = v end
    pairs_[#pairs_ + 1] = {k, v}
  end
  return values, pairs_
end

---Build a query of a table, or take one apart.
function url.query(q)
  if type(q) == "table" then return build_query(q) end
  if type(q) == "string" then return parse_query(q) end
  options.misuse("url.query needs a table or a string, got " .. type(q))
end

-- Building --------------------------------------------------------------------------------------

local PARTS = {
  scheme = "string", user = "string", password = "string", host = "string", port = "number",
  path = "string", query = "string|table", fragment = "string",
}

local function in_brackets(host)
  return host:find(":", 1, true) and "[" .. host .. "]" or host
end

local function authority(u)
  local out = "//"
  if u.user or u.password then
    out = out .. escape(u.user or "", "userinfo")
    if u.password then out = out .. ":" .. escape(u.password, "userinfo") end
    out = out .. "@"
  end
  out = out .. in_brackets(u.host)
  if u.port then out = out .. ":" .. u.port end
  return out
end

local function path_of(u)
  local path = u.path or ""
  if not u.host and path:sub(1, 1) ~= "/" then
    return (escape(path, "control"):gsub("[?#]", {["?"] = "%3F", ["#"] = "%23"}))
  end
  path = escape(path, "path")
  if SPECIAL[u.scheme] then path = path:gsub("\\", "%%5C") end
  if u.host then return path ~= "" and path:sub(1, 1) ~= "/" and "/" .. path or path end
  return path:sub(1, 2) == "//" and "/." .. path or path
end

-- The text that these parts make; parts that were parsed stay what they are.
local function compose(u)
  local out = u.scheme .. ":"
  if u.host then out = out .. authority(u) end
  out = out .. path_of(u)
  local query = u.query
  if type(query) == "table" then query = build_query(query) end
  if query then
    out = out .. "?" .. escape(query, SPECIAL[u.scheme] and "special query" or "query")
  end
  if u.fragment then out = out .. "#" .. escape(u.fragment, "fragment") end
  return out
end

local function is_lost(u)
  return not u.host and (u.user or u.password or u.port)
end

-- What cannot stand where it is.
local function find_flaw(u)
  local host, port = u.host, u.port
  if not u.scheme:find("^%a[%w+.-]*$") then return "the scheme has another character" end
  if port and not (math.type(port) == "integer" and port >= 0 and port <= 65535) then
    return "the port is not in range"
  end
  if host and (host:find("[%c%s/?#@\\[]") or host:find(":", 1, true) and host:find("[^%x:.]")) then
    return "the host has a character that is not allowed"
  end
end

local function refuse(u, why)
  local fields = {op = "build URL", target = u.host or u.scheme}
  return nil, require("corun.task").err("EURL", why, fields)
end

---Make a URL of its parts.
function url.build(u)
  if type(u) ~= "table" then
    options.misuse("url.build needs a table of parts, got " .. type(u))
  end
  options.check(u, "url.build", PARTS)
  if not u.scheme then options.misuse("url.build needs a scheme") end
  if is_lost(u) then
    options.misuse("url.build needs a host where there is a user, a password or a port")
  end
  local why = find_flaw(u)
  if why then return refuse(u, why) end
  return core.whole(compose(setmetatable({scheme = u.scheme:lower()}, {__index = u})))
end

-- Parts may have been changed since they were parsed; none may become a part of another one.
function core.class.__tostring(u)
  for name, kinds in next, PARTS do
    if u[name] ~= nil and not kinds:find(type(u[name]), 1, true) then
      options.misuse(("the %s of a URL must be a %s, got %s"):format(name,
        kinds:gsub("|", " or a "), type(u[name])))
    end
  end
  local why = not u.scheme and "it has no scheme"
    or is_lost(u) and "it has a user, a password or a port, and no host" or find_flaw(u)
  if why then options.misuse("the URL cannot be written: " .. why) end
  if not u.host or not u.host:find("[^%w._-]") then return compose(u) end
  local parsed, err = core.parse(u.scheme .. "://" .. in_brackets(u.host))
  if not parsed then options.misuse("the URL cannot be written: " .. err.message) end
  return compose(setmetatable({host = parsed.host}, {__index = u}))
end

return url

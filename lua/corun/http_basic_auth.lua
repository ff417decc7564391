-- SPDX-License-Identifier: MIT
-- http.basic_auth: names and passwords in front of a handler (RFC 7617). Owns nothing.
local callable = require("corun.source").is_callable
local codec = require "corun.codec"
local options = require "corun.options"

local auth = {}

-- A function that looks into a table of passwords, for as long whether or not there is the name.
local function of_table(passwords)
  for user, password in pairs(passwords) do
    if type(user) ~= "string" or type(password) ~= "string" then
      options.misuse("the passwords of basic_auth must be strings by names", 3)
    end
  end
  local function digest(text) return codec.hash("sha256"):update(text):hex() end
  return function(user, password)
    local known = passwords[user]
    return codec.equal(digest(known or ""), digest(password)) and known ~= nil
  end
end

-- The name and the password that a request has.
local function credentials(req)
  local word = (req.headers.authorization or ""):match("^[bB][aA][sS][iI][cC] +([%w+/]+=*) *$")
  local text = word and codec.base64.decode(word)
  if not text then return nil end
  return text:match("^([^:]*):(.*)$")
end

---Ask for a name and a password; see lua/meta/http_kit.lua.
function auth.basic_auth(handler, check, o)
  if not callable(handler) then
    options.misuse("basic_auth needs a handler function, got " .. type(handler))
  end
  local is_right = type(check) == "table" and not callable(check) and of_table(check) or check
  if not callable(is_right) then
    options.misuse("basic_auth needs a function or a table of passwords, got " .. type(check))
  end
  local realm = options.check(o, "basic_auth", {realm = "string"}).realm or "restricted"
  if realm:find('[%c"\\]') then
    options.misuse("the realm of basic_auth has a quote, a backslash or a control character")
  end
  local refusal = {
    status = 401, body = "Unauthorized\n",
    headers = {["WWW-Authenticate"] = ('Basic realm="%s", charset="UTF-8"'):format(realm)},
  }
  return function(req)
    local user, password = credentials(req)
    if not user or not is_right(user, password, req) then return refusal end
    req.user = user
    return handler(req)
  end
end

return auth

-- SPDX-License-Identifier: MIT
-- Jars of cookies as files: cookies.txt, as Netscape made it and curl, Python and browsers' exports
-- have it. A line a cookie, of seven fields divided by tabs: domain (with a dot before it if
-- subdomains get it too), TRUE or FALSE for that, path, TRUE or FALSE for Secure, seconds since
-- 1970 (0: until the session ends), name, value; "#HttpOnly_" before those that are. The oldest
-- first. Owns nothing; suspends.
local fs = require "corun.fs"
local options = require "corun.options"
local make_err = require("corun.task").err

local file = {}

local HTTP_ONLY = "#HttpOnly_"
local HEAD = "# Netscape HTTP Cookie File\n# Written by corun; the fields are divided by tabs.\n\n"
local LONGEST = 64 << 20 -- bytes of a file: more than the largest jar has
local FLAG = {["TRUE"] = true, ["FALSE"] = false}

local function check_path(path, op)
  if type(path) ~= "string" then
    options.misuse(("%s needs a path, got %s"):format(op, type(path)), 3)
  end
end

local function flag(truth) return truth and "TRUE" or "FALSE" end

local function line_of(c)
  return table.concat({
    (c.http_only and HTTP_ONLY or "") .. (c.host_only and "" or ".") .. c.domain,
    flag(not c.host_only), c.path, flag(c.secure),
    c.expires and ("%d"):format(c.expires // 1) or "0", c.name, c.value,
  }, "\t")
end

---Write the cookies of a jar, in one step and for nobody else to read.
function file.save(jar, path, now)
  check_path(path, "save")
  local lines = {}
  for c in jar:all(nil, now) do lines[#lines + 1] = line_of(c) .. "\n" end
  return fs.write(path, HEAD .. table.concat(lines), {atomic = true, mode = "600"})
end

-- What a line says of a cookie; nil for one without a cookie; nil and why it is none.
local function read_line(line)
  local http_only = line:sub(1, #HTTP_ONLY) == HTTP_ONLY
  if http_only then line = line:sub(#HTTP_ONLY + 1) end
  if line == "" or line:find("^#") then return nil end
  local fields = {}
  for field in (line .. "\t"):gmatch("([^\t]*)\t") do fields[#fields + 1] = field end
  -- An editor that strips blanks at the end has taken an empty value with its tab.
  if #fields == 6 then fields[7] = "" end
  if #fields ~= 7 then
    return nil, ("it has %d field%s, not 7"):format(#fields, #fields == 1 and "" or "s")
  end
  local domain, subdomains, path, secure, expires, name, value = table.unpack(fields)
  subdomains, secure = FLAG[subdomains:upper()], FLAG[secure:upper()]
  if subdomains == nil or secure == nil then
    return nil, "its second and fourth field must be TRUE or FALSE"
  end
  -- Python leaves the time of session cookies empty.
  local seconds = expires == "" and 0 or expires:find("^%-?%d+%.?%d*$") and tonumber(expires)
  if not seconds then return nil, "its fifth field must be seconds since 1970" end
  return {domain = domain, host_only = not subdomains, path = path, secure = secure, name = name,
    value = value, expires = seconds ~= 0 and seconds or nil, http_only = http_only}
end

---Read a file into a jar that is empty; `restore(jar, cookie, now)` takes one, or says why not.
function file.load(jar, path, restore)
  check_path(path, "load")
  local text, err = fs.read(path, {max = LONGEST + 1})
  if not text then return nil, err end
  local function bad(why)
    return nil, make_err("EINVAL", why, {op = "load cookies", target = path})
  end
  if #text > LONGEST then return bad("the file is too large to be one of cookies") end
  local number, now = 0, os.time()
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    local c, why = read_line(line)
    if c then why = restore(jar, c, now) end
    if why then return bad(("line %d is no cookie: %s"):format(number, why)) end
  end
  return jar
end

return file

-- SPDX-License-Identifier: MIT
-- http.common_log: what a server tells of an answer, as the line that tools for logs know. Owns
-- nothing.
local options = require "corun.options"

local log = {}

local function escape(c)
  return ("\\x%02X"):format(c:byte())
end

-- A text between quotes, that no client can break out of.
local function quoted(text)
  return '"' .. (text or "-"):gsub('[%c"\\\127-\255]', escape) .. '"'
end

---Write an entry as a line; see lua/meta/http_kit.lua.
function log.common_log(entry, o)
  if type(entry) ~= "table" or type(entry.peer) ~= "string" then
    options.misuse("common_log needs what a server tells its log, got " .. options.show(entry))
  end
  o = options.check(o, "common_log", {combined = "boolean"})
  local req = entry.req
  local host = entry.peer:match("^%[(.*)%]:%d+$") or entry.peer:match("^(.*):%d+$") or entry.peer
  local request = req and ("%s %s HTTP/%s"):format(req.method, req.target, req.version)
  local user = req and rawget(req, "user")
  local line = ('%s - %s [%s] %s %s %d'):format(host == "" and "-" or host:gsub("%s", "_"),
    user and user:gsub('[%c%s"\\\127-\255]', escape) or "-", os.date("%d/%b/%Y:%H:%M:%S %z"),
    quoted(request), entry.status or 499, entry.bytes)
  if not o.combined then return line end
  local headers = req and req.headers or {}
  return ("%s %s %s"):format(line, quoted(headers.referer), quoted(headers["user-agent"]))
end

return log

-- SPDX-License-Identifier: MIT
-- Files of known host keys as OpenSSH keeps them (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): names
-- plain, by patterns or hashed, with the markers @revoked and @cert-authority. Only reads.
local codec = require "corun.codec"
local corun = require "corun"
local fs = require "corun.fs"

local known = {}

---How a host is called in these files.
function known.name(host, port)
  host = host:lower()
  return port == 22 and host or ("[%s]:%d"):format(host, port)
end

---The SHA-256 of a key, as ssh-keygen -l shows it.
function known.fingerprint(key)
  return "SHA256:" .. codec.base64.encode(codec.hash("sha256"):update(key):bytes()):gsub("=+$", "")
end

---The type of a key: its first string.
function known.type(key)
  local ok, name = pcall(string.unpack, ">s4", key)
  return ok and name or "?"
end

local function decode(text)
  local ok, bytes = pcall(codec.base64.decode, text)
  return ok and bytes or nil
end

-- Whether `name` fits a pattern with * and ?.
local function fits(name, pattern)
  pattern = pattern:lower():gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*")
    :gsub("%?", ".")
  return name:find("^" .. pattern .. "$") ~= nil
end

local function fits_hashed(name, hosts)
  local salt, digest = hosts:match("^|1|([^|]+)|([^|]+)$")
  salt, digest = salt and decode(salt), digest and decode(digest)
  return salt and digest and codec.hmac("sha1", salt, name) == digest
end

local function fits_any(name, hosts)
  if hosts:sub(1, 1) == "|" then return fits_hashed(name, hosts) end
  local found = false
  for pattern in hosts:gmatch("[^,]+") do
    local refused = pattern:match("^!(.*)")
    if refused and fits(name, refused) then return false end
    found = found or not refused and fits(name, pattern)
  end
  return found
end

local function add(entries, line, name, where)
  local marker, rest = line:match("^%s*(@%S+)%s+(.*)")
  local hosts, kind, text = (rest or line):match("^%s*(%S+)%s+(%S+)%s+(%S+)")
  if not hosts or hosts:sub(1, 1) == "#" or not fits_any(name, hosts) then return end
  local key = decode(text)
  if key and known.type(key) == kind then
    entries[#entries + 1] = {type = kind, key = key, marker = marker, where = where}
  end
end

---What is known of a host: a list of {type, key, marker, where}. A file that is not there is empty.
function known.read(paths, host, port)
  local entries, name = {}, known.name(host, port)
  for _, path in ipairs(paths) do
    local text, err = fs.read(path)
    if not text and err.code ~= "ENOENT" and err.code ~= "ENOTDIR" then return nil, err end
    local number = 0
    for line in (text or ""):gmatch("[^\n]*") do
      number = number + 1
      add(entries, line:gsub("\r$", ""), name, ("%s:%d"):format(path, number))
    end
  end
  return entries
end

---The types of keys to ask a server for, but those that are refused: known ones and `first` first.
function known.types(entries, first, refused)
  local all = {"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"}
  local is_known, list = {[first or ""] = true}, {}
  for _, e in ipairs(entries) do
    if not e.marker then is_known[e.type] = true end
  end
  for _, wanted in ipairs{true, false} do
    for _, name in ipairs(all) do
      local kind = name:find("^rsa%-sha2") and "ssh-rsa" or name
      if (is_known[kind] or false) == wanted and not refused[kind] then list[#list + 1] = name end
    end
  end
  return table.concat(list, ",")
end

local function refuse(reason, key, message)
  return nil, corun.err("EHOSTKEY", message,
    {reason = reason, key_type = known.type(key), fingerprint = known.fingerprint(key)})
end

---Whether the key is one that was expected by its fingerprint.
function known.expect(key, fingerprints)
  local own = known.fingerprint(key)
  for _, f in ipairs(fingerprints) do
    if own == f then return true end
  end
  return refuse("mismatch", key, ("the host key is not the expected one: it is %s %s, expected %s; "
    .. "somebody may stand between you and the host"):format(known.type(key), own,
    table.concat(fingerprints, " or ")))
end

---Whether the key of a host is known. What was refused has the reason "unknown", "changed" or
---"revoked".
function known.check(entries, key, host, port, path)
  local kind, own, name = known.type(key), known.fingerprint(key), known.name(host, port)
  local changed, others = nil, {}
  for _, e in ipairs(entries) do
    if e.marker == "@revoked" and e.key == key then
      return refuse("revoked", key, ("the host key was revoked: %s %s, in %s"):format(kind, own,
        e.where))
    end
  end
  for _, e in ipairs(entries) do
    if not e.marker and e.key == key then return true end
    if not e.marker and e.type == kind then changed = changed or e end
    if not e.marker and e.type ~= kind then others[#others + 1] = e.type end
  end
  if changed then
    return refuse("changed", key, ("the host key has changed: it is %s %s, but %s has %s; "
      .. "somebody may stand between you and the host. If it was changed on purpose, remove the "
      .. "old one with: ssh-keygen -R '%s' -f '%s'"):format(kind, own, changed.where,
      known.fingerprint(changed.key), name, (changed.where:gsub(":%d+$", ""))))
  end
  return refuse("unknown", key, ("the host key is not known: it is %s %s%s. If those who run the "
    .. "host say that this is its key, give fingerprint = \"%s\", or add to %s the line: %s %s %s")
    :format(kind, own, #others > 0 and ", known are keys of the type " ..
      table.concat(others, ", ") or "", own, path or "a file of known hosts", name, kind,
      codec.base64.encode(key)))
end

return known

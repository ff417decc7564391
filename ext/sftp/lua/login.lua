-- SPDX-License-Identifier: MIT
-- How a connection becomes a session: names to addresses by corun's own resolver, a socket that is
-- connected without blocking, the server's key compared with what is known, and the ways to prove
-- who one is, one after another.
local codec = require "corun.codec"
local corun = require "corun"
local fs = require "corun.fs"
local net = require "corun.net"

local core = ...
local agents = core.part "agent"
local known = core.part "known_hosts"

local CIPHERS = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr"
local MACS = "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,"
  .. "hmac-sha2-512,hmac-sha1"
local EVERYBODYS = "/etc/ssh/ssh_known_hosts"
local DEFAULT_KEYS = {"id_ed25519", "id_ecdsa", "id_rsa"}

local login = {}

-- The ways to prove who one is -------------------------------------------------------------------
-- Each is called with the login and answers true, or nil and an error: of the code EAUTH when the
-- server refused, so that the next way may be tried, or a final one.

local function is_refused(err)
  return err.code == "EAUTH"
end

local function sign_in(l, agent, key)
  local raw, user = l.raw, l.user
  local data, err = core.agent(raw, user, key)
  if type(data) ~= "string" then return data, err end
  local signature, why = agent:sign(key, data)
  local ok
  ok, err = core.agent(raw, user, key, signature or false)
  if ok then return true end
  return nil, signature and err or is_refused(err) and corun.err("EAUTH", why.message) or err
end

local function by_agent(l, path)
  local agent <close>, err = agents.open(path)
  local keys
  if agent then keys, err = agent:keys() end
  if not keys then
    l.tried[#l.tried + 1] = ("agent (%s)"):format(err.message)
    return nil, corun.err("EAUTH", err.message)
  end
  l.tried[#l.tried + 1] = ("agent (%d key%s)"):format(#keys, #keys == 1 and "" or "s")
  for _, one in ipairs(keys) do
    local ok
    ok, err = sign_in(l, agent, one.key)
    if ok then return true end
    if not is_refused(err) then return nil, err end
  end
  return nil, corun.err("EAUTH", "no key of the agent was accepted")
end

-- Whether a private key is encrypted: by its head, or as OpenSSH's own format says.
local function is_encrypted(text)
  if text:find("ENCRYPTED", 1, true) then return true end
  local body = text:match("%-%-BEGIN OPENSSH PRIVATE KEY%-%-%-%-%-%s*([%w+/=%s]+)")
  local ok, bytes = pcall(codec.base64.decode, ((body or ""):gsub("%s", "")))
  return ok and bytes ~= nil and bytes:sub(1, 15) == "openssh-key-v1\0"
    and not bytes:find("^....none", 16)
end

local function by_key(l, path, is_default)
  local text, err = fs.read(path, {max = 1 << 20})
  if not text then
    if is_default then return nil, corun.err("EAUTH", "there is no such key") end
    return nil, err
  end
  local encrypted = is_encrypted(text)
  if encrypted and not l.o.passphrase then
    l.tried[#l.tried + 1] = ("%s (encrypted: give its passphrase)"):format(path)
    return nil, corun.err("EAUTH", "the key is encrypted")
  end
  local ok
  ok, err = core.key(l.raw, l.user, text, l.o.passphrase or "")
  if ok then return true end
  local unreadable = is_refused(err) and not err.message:find("[Cc]ombination")
  l.tried[#l.tried + 1] = unreadable and ("%s (%s)"):format(path, encrypted and
    "wrong passphrase, or no key" or "libssh2 cannot use it: " .. err.message) or path
  return nil, err
end

local function by_password(l, password)
  l.tried[#l.tried + 1] = "password"
  return core.password(l.raw, l.user, password)
end

local function by_prompts(l, answer)
  l.tried[#l.tried + 1] = "keyboard-interactive"
  return core.prompts(l.raw, l.user, answer)
end

local function add(list, method, fn, ...)
  list[#list + 1] = table.pack(method, fn, ...)
end

-- What the options name, or else what ssh(1) would try.
local function ways(o)
  local list, home = {}, os.getenv "HOME"
  local is_default = o.agent == nil and not (o.key or o.password or o.answer)
  local path = type(o.agent) == "string" and o.agent
    or (is_default or o.agent) and os.getenv "SSH_AUTH_SOCK"
  if path and path ~= "" then add(list, "publickey", by_agent, path) end
  for _, key in ipairs(type(o.key) == "table" and o.key or {o.key}) do
    add(list, "publickey", by_key, key)
  end
  if is_default and home then
    for _, name in ipairs(DEFAULT_KEYS) do
      add(list, "publickey", by_key, ("%s/.ssh/%s"):format(home, name), true)
    end
  end
  local password = o.password
  if password then add(list, "password", by_password, password) end
  local answer = o.answer or password and function() return password end
  if answer then add(list, "keyboard-interactive", by_prompts, answer) end
  return list
end

local function refused(l, methods)
  local tried = #l.tried > 0 and "tried " .. table.concat(l.tried, ", ") or "nothing was tried"
  return nil, corun.err("EAUTH", ("the server refused the user %s: %s; it accepts %s"):format(
    l.user, tried, (methods:gsub(",", ", "))))
end

local function authenticate(l)
  l.stage = "logging in"
  local methods, why = core.methods(l.raw, l.user)
  if methods == true then return true end
  if not methods then return nil, why end
  local offered, used_key = "," .. methods .. ",", false
  for _, way in ipairs(ways(l.o)) do
    -- after a key the server may want a password too, which it did not offer before
    if used_key or offered:find("," .. way[1] .. ",", 1, true) then
      local ok, err = way[2](l, table.unpack(way, 3, way.n))
      if ok then return true end
      if not is_refused(err) then return nil, err end
      used_key = used_key or way[1] == "publickey"
    end
  end
  return refused(l, methods)
end

-- The server's key -------------------------------------------------------------------------------

local function known_paths(o)
  if o.known_hosts then
    return type(o.known_hosts) == "table" and o.known_hosts or {o.known_hosts}
  end
  local home = os.getenv "HOME"
  return home and {home .. "/.ssh/known_hosts", EVERYBODYS} or {EVERYBODYS}
end

local function verify(l)
  local o, entries = l.o, {}
  local paths = known_paths(o)
  local fingerprints = type(o.fingerprint) == "string" and {o.fingerprint} or o.fingerprint
  if not o.insecure and not fingerprints then
    local found, err = known.read(paths, l.host, l.port)
    if not found then return nil, err end
    entries = found
  end
  l.stage = "exchanging keys"
  local types = known.types(entries, l.key_type, l.refused)
  local key, err = core.handshake(l.raw, types, CIPHERS, MACS)
  if not key then return nil, err end
  l.fingerprint, l.key_type = known.fingerprint(key), known.type(key)
  if o.insecure then return true end
  if fingerprints then return known.expect(key, fingerprints) end
  return known.check(entries, key, l.host, l.port, paths[1])
end

-- The socket -------------------------------------------------------------------------------------

-- Each address of the host in turn, with its share of the time that is left.
local function connect(l)
  l.stage = "connecting"
  local addresses, err = net.resolve(l.host)
  if not addresses then return nil, err end
  for i, address in ipairs(addresses) do
    local share = (l.deadline - corun.now()) / (#addresses - i + 1)
    local ok
    ok, err = core.connect(l.raw, address, tostring(l.port), math.max(share, 0.001))
    if ok then return true end
  end
  return nil, err
end

local function reach(l)
  local ok, err = connect(l)
  if ok then ok, err = verify(l) end
  return ok, err
end

-- A server shows the key of one type. A fingerprint does not say of which type it is: where another
-- one is expected, the server is asked for the types that are left.
local function reach_expected(l)
  l.refused = {}
  local ok, first = reach(l)
  local err = first
  while not ok and err.reason == "mismatch" and not l.refused[err.key_type] do
    l.refused[err.key_type] = true
    core.shut(l.raw)
    l.raw = core.new(l.stall)
    ok, err = reach(l)
  end
  return ok, first
end

---Make `l.raw` a session of SFTP. `l` has raw, host, port, user, o, deadline and stall; key_type is
---the type of key to ask for first, and becomes that of the server's key.
function login.run(l)
  l.tried = {}
  local ok, err = reach_expected(l)
  if ok then ok, err = authenticate(l) end
  if ok then
    l.stage = "starting the sftp service"
    ok, err = core.start(l.raw)
  end
  return ok, err
end

return login

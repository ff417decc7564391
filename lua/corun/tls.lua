-- SPDX-License-Identifier: MIT
-- corun.tls: the policy of TLS over the mechanism in C (corun.tlscore): what the options mean,
-- which contexts are shared, how long a handshake may take. Used by corun.net; embedded, loaded
-- when TLS is first used. Owns a bounded list of contexts.
local corun = require "corun"
local tlscore = require "corun.tlscore"
local options = require "corun.options"

local now, misuse = corun.now, options.misuse

local tls = {}

local MOST_CONTEXTS = 64
local HANDSHAKE = 10 -- seconds that a client of a server may take
local VERSIONS = {["1.2"] = 0x303, ["1.3"] = 0x304}
local DEMANDED, WELCOME = 2, 1 -- what a server makes of a client's certificate

local SHARED = {
  ca = "string", cert = "string", key = "string", passphrase = "string", crl = "string",
  alpn = "string|table", ciphers = "string", min = "string", max = "string", session = "boolean",
  timeout = "duration", context = "userdata",
}

local function spec(more)
  for name, want in pairs(SHARED) do more[name] = want end
  return more
end

local CLIENT = spec{server_name = "string", insecure = "boolean", server = "boolean"}
local SERVER = spec{verify_client = "boolean|string", names = "table", server = "boolean"}

-- Options -----------------------------------------------------------------------------------------

-- The protocols as they are sent: each after its length.
local function alpn_text(list, op)
  if type(list) == "string" then list = {list} end
  local parts = {}
  for i, name in ipairs(list) do
    if type(name) ~= "string" or #name == 0 or #name > 255 then
      misuse(('option "alpn" for %s must be a list of names of 1 to 255 bytes'):format(op))
    end
    parts[i] = string.char(#name) .. name
  end
  if #parts == 0 then misuse(('option "alpn" for %s must name a protocol'):format(op)) end
  return table.concat(parts)
end

local function version(o, key, op)
  local text = o[key]
  if text == nil then return nil end
  return VERSIONS[text]
    or misuse(('option "%s" for %s must be "1.2" or "1.3", got "%s"'):format(key, op, text))
end

local function versions(o, op)
  local min, max = version(o, "min", op), version(o, "max", op)
  if min and max and min > max then
    misuse(('option "min" for %s is "%s", above "max", "%s"'):format(op, o.min, o.max))
  end
  return min, max
end

-- The names of ciphers of TLS 1.3 begin with "TLS_"; OpenSSL wants them apart from the others.
local function split_ciphers(o, op)
  if o.ciphers == nil then return nil, nil end
  local old, new = {}, {}
  for name in o.ciphers:gmatch("[^:%s]+") do
    local list = name:find("^TLS_") and new or old
    list[#list + 1] = name
  end
  if not (old[1] or new[1]) then misuse(('option "ciphers" for %s names none'):format(op)) end
  local only = o.min == "1.3" and o.min or o.max == "1.2" and o.max
  if only and not (only == "1.3" and new or old)[1] then
    misuse(('option "ciphers" for %s names none of TLS %s, the only version allowed')
      :format(op, only))
  end
  return old[1] and table.concat(old, ":"), new[1] and table.concat(new, ":")
end

local function require_both(o, one, other, op)
  if o[one] ~= nil and o[other] == nil then
    misuse(('option "%s" for %s needs the option "%s"'):format(one, op, other))
  end
end

-- The certificates of a server's further names.
local function check_names(names, op)
  for name, own in pairs(names) do
    if type(name) ~= "string" or type(own) ~= "table" then
      misuse(('option "names" for %s must map names to {cert=, key=}'):format(op))
    end
    if not tlscore.is_name(name, true) then
      misuse(('option "names" for %s: no client can ask for %q'):format(op, name))
    end
    options.check(own, op, {cert = "string", key = "string", passphrase = "string"})
    if not own.cert then misuse(('the name "%s" for %s needs a certificate'):format(name, op)) end
  end
end

local function check_server(o, op)
  local want = o.verify_client
  if not o.cert then misuse(("the server's side of %s needs a certificate (cert)"):format(op)) end
  if type(want) == "string" and want ~= "optional" then
    misuse(('option "verify_client" for %s must be true, false or "optional"'):format(op))
  end
  if want and not o.ca then
    misuse(('option "verify_client" for %s needs the option "ca"'):format(op))
  end
  if o.ca and not want then
    misuse(('option "ca" for %s needs the option "verify_client"'):format(op))
  end
  if o.names then check_names(o.names, op) end
  return want == "optional" and WELCOME or want and DEMANDED or nil
end

-- What tlscore.context takes, from options that have the right types.
local function settings(o, is_server, op)
  require_both(o, "key", "cert", op)
  require_both(o, "passphrase", "cert", op)
  require_both(o, "crl", "ca", op)
  local min, max = versions(o, op)
  local ciphers, suites = split_ciphers(o, op)
  local verify = not o.insecure and DEMANDED or nil
  if is_server then verify = check_server(o, op) end
  return {
    server = is_server, ca = o.ca, cert = o.cert, key = o.key, passphrase = o.passphrase,
    crl = o.crl, alpn = o.alpn and alpn_text(o.alpn, op), ciphers = ciphers or nil,
    suites = suites or nil, min = min, max = max, resume = o.session, verify = verify,
  }
end

-- The settings as one string: contexts with equal ones are the same.
local FIELDS = {"ca", "cert", "key", "passphrase", "crl", "alpn", "ciphers", "suites"}
local function signature(set)
  local parts = {("%s %s %s %s %s"):format(set.server, set.min, set.max, set.resume, set.verify)}
  for _, name in ipairs(FIELDS) do
    local value = set[name]
    parts[#parts + 1] = value and #value .. ":" .. value or "-"
  end
  return table.concat(parts, " ")
end

-- Contexts ----------------------------------------------------------------------------------------

-- A server's context, with those of its further names: each has the other options in common.
local function make(o, set, op, target)
  local context, err = tlscore.context(set, op, target)
  if not context or not o.names then return context, err end
  for name, own in pairs(o.names) do
    local copy = {}
    for k, v in pairs(set) do copy[k] = v end
    copy.cert, copy.key, copy.passphrase = own.cert, own.key, own.passphrase
    local other
    other, err = tlscore.context(copy, op, target)
    if not other then return nil, err end
    tlscore.add_name(context, name, other)
  end
  return context
end

local kept, order = {}, {} -- contexts by signature; signatures, the oldest first
-- By signature, while it is made: tasks that connect at once share one context, and its sessions.
local making = setmetatable({}, {__mode = "v"})

local function make_shared(o, set, sign, op, target)
  local mutex = making[sign] or corun.mutex()
  making[sign] = mutex
  local _ <close> = mutex:acquire()
  if kept[sign] then return kept[sign] end
  local context, err = make(o, set, op, target)
  if not context then return nil, err end
  kept[sign] = context
  order[#order + 1] = sign
  if #order > MOST_CONTEXTS then kept[table.remove(order, 1)] = nil end
  return context
end

-- The context for these settings. Files may be on a disk that does not answer.
local function shared(o, set, op, target, seconds)
  if o.names then return corun.timeout(seconds, make, o, set, op, target) end
  local sign = signature(set)
  if kept[sign] then return kept[sign] end
  return corun.timeout(seconds, make_shared, o, set, sign, op, target)
end

local function check_side(context, is_server, op)
  local side = tlscore.is_context(context)
  if not side then misuse(("the context for %s must be one of net.tls_context"):format(op)) end
  if (side == "server") ~= is_server then
    misuse(("%s needs a context of the %s side"):format(op, is_server and "server's" or "client's"))
  end
end

-- What is for the connection, and may stand beside a context; all else the context has.
local BESIDE = {context = true, server_name = true, timeout = true, server = true}

local function refuse_beside(o, op)
  local names = {}
  for name in pairs(o) do
    if not BESIDE[name] then names[#names + 1] = name end
  end
  if not names[1] then return end
  table.sort(names)
  misuse(('option "%s" for %s has no place beside "context", which was made with its own')
    :format(names[1], op))
end

-- The options of one side as a table, and its settings, nil where a context was given. `what` they
-- are, for the message when they are not even that.
local function read(o, is_server, op, what)
  if o == true then o = {} end
  if type(o) == "userdata" then o = {context = o} end
  if type(o) ~= "table" then
    misuse(("%s must be %sa table or a context, got %s"):format(
      (what or 'option "tls" for %s'):format(op), is_server and "" or "true, ", type(o)))
  end
  options.check(o, op, is_server and SERVER or CLIENT)
  if o.server ~= nil and o.server ~= is_server then
    misuse(('option "server" for %s must be %s'):format(op, is_server))
  end
  if not o.context then return o, settings(o, is_server, op) end
  check_side(o.context, is_server, op)
  refuse_beside(o, op)
  return o
end

local function context_of(o, set, op, target, seconds)
  if o.context then return o.context end
  local context, err = shared(o, set, op, target, seconds or math.huge)
  if context or err.op ~= "timeout" then return context, err end
  return nil, corun.err("ETIMEDOUT", "to read the files of its TLS options took too long",
    {op = op, target = target, cause = err})
end

-- What is left of a time limit that began at `start`.
local function rest_of(seconds, start)
  return math.max(0, seconds - (now() - start))
end

-- The name that the server's certificate must be for.
local function check_name(name, o, op)
  if not name and not o.insecure and not o.context then
    misuse(('%s needs the option "server_name": whom the certificate must be for'):format(op))
  end
  if o.server_name and not tlscore.is_name(o.server_name) then
    misuse(('option "server_name" for %s must be the name of a host or an address, got %q')
      :format(op, o.server_name))
  end
end

-- Connections -----------------------------------------------------------------------------------

-- The host in an address, and the address as a text.
function tls.target_of(addr)
  if type(addr) == "table" then
    if type(addr.host) ~= "string" then return nil, "unix:" .. tostring(addr.path) end
    return addr.host, ("%s:%s"):format(addr.host, addr.port)
  end
  local text = tostring(addr)
  if text:find("^unix:") then return nil, text end
  return text:match("^%[([^%]%%]*)[^%]]*%]:[^:]*$") or text:match("^(.*):[^:]*$"), text
end

local holder = {__close = function(held)
  if held.stream then held.stream:close() end
end}

-- Shake hands over a connection that was made for it. Who is cancelled between the two has no
-- connection, as if it were one step.
local function shake_hands(stream, ...)
  local held <close> = setmetatable({stream = stream}, holder)
  local secure, err = tlscore.start(stream, ...)
  held.stream = nil
  return secure, err
end

---Connect, then shake hands; the time limit is for both.
---@param connect function the plain one
---@param addr any
---@param o table with `tls`
function tls.connect(connect, addr, o)
  local plain = {}
  for k, v in next, o do if k ~= "tls" then plain[k] = v end end
  local own, set = read(o.tls, false, "connect")
  local host, target = tls.target_of(addr)
  if not host and (not target:find("^unix:") or type(addr) == "table" and not addr.path) then
    return connect(addr, plain) -- which says what is wrong with the address
  end
  local name = own.server_name or host
  check_name(name, own, "connect")
  local start = now()
  local limit = o.timeout or math.huge
  local context, err = context_of(own, set, "connect", target, limit)
  if not context then return nil, err end
  if o.timeout then plain.timeout = rest_of(limit, start) end
  local stream
  stream, err = connect(addr, plain)
  if not stream then return nil, err end
  local left = math.min(own.timeout or math.huge, rest_of(limit, start))
  return shake_hands(stream, left, "connect", context, name, target .. " " .. tostring(name))
end

-- What an origin's connections have in common, so that a pool can tell who may share them.
local function client_key(own, set)
  local context = set and signature(set) or ("%p"):format(own.context)
  return ("%s %s"):format(tostring(own.server_name), context)
end

---Read the options of a client once, for any number of connections. Misuse raises.
---@param o true|table|userdata as `tls` for connect
---@param op string for messages
---@param alpn string the protocol that its connections speak
---@return table client `key` is equal for those with equal options
function tls.client(o, op, alpn)
  local own, set = read(o, false, op)
  if own.alpn then misuse(('option "alpn" for %s is always "%s"'):format(op, alpn)) end
  if set then set.alpn = alpn_text(alpn, op) end
  return {own = own, set = set, key = client_key(own, set)}
end

---Make what the connections of a client share, before the first is opened.
---@return true? ok
---@return table? err
function tls.prepare(client, op)
  if client.context then return true end
  local context, err = context_of(client.own, client.set, op)
  client.context = context
  return context and true, err
end

---Shake hands over a connection of a client that was prepared.
---@param stream userdata
---@param client table
---@param host string whom the certificate must be for, if the options do not say
---@param target string whom sessions are kept for
---@param timeout number
---@param within boolean? the stream may have TLS already: this is spoken inside of it
function tls.handshake(stream, client, host, target, timeout, within)
  local name = client.own.server_name or host
  local seconds = math.min(client.own.timeout or math.huge, timeout)
  return shake_hands(stream, seconds, "handshake", client.context, name, target .. " " .. name,
    within)
end

---Switch TLS on. The body of the stream method of this name.
---@param stream userdata
---@param o table|userdata|nil
function tls.starttls(stream, o)
  local is_server = type(o) == "table" and o.server == true
    or type(o) == "userdata" and tlscore.is_context(o) == "server"
  local own, set = read(o == nil or o, is_server, "starttls", "the options of %s")
  local peer, name, key = tlscore.target(stream, "starttls"), nil, nil
  if not is_server then
    name = own.server_name
    check_name(name, own, "starttls")
    key = ("%s %s"):format(peer, tostring(name))
  end
  local start, limit = now(), own.timeout or math.huge
  local is_reserved, err = tlscore.reserve(stream, limit, "starttls")
  if not is_reserved then return nil, err end
  local held <close> = setmetatable({stream = stream}, holder) -- nothing goes out in clear now
  local context
  context, err = context_of(own, set, "starttls", peer, rest_of(limit, start))
  local is_open, closed = corun.try(tlscore.target, stream, "starttls")
  if not is_open then return nil, closed end -- while the context was made (S20)
  held.stream = nil
  if context then
    return shake_hands(stream, rest_of(limit, start), "starttls", context, name, key)
  end
  tlscore.release(stream)
  return nil, err
end

---What a server needs for the connections that it accepts.
---@param o table|userdata
---@param op string the function that it was given to
---@param target string the address
---@return table? secure
---@return table? err
function tls.server(o, op, target)
  local own, set = read(o, true, op, op ~= "serve" and "the options of %s" or nil)
  local context, err = own.context, nil
  if not context then context, err = make(own, set, op, target) end
  if not context then return nil, err end
  return {context = context, timeout = own.timeout or HANDSHAKE}
end

---Shake hands with a client of a server.
function tls.accept(stream, secure)
  return tlscore.start(stream, secure.timeout, "handshake", secure.context)
end

---A context, made anew.
---@param o table
function tls.context(o)
  if type(o) ~= "table" then
    misuse(("options of tls_context must be a table, got %s"):format(type(o)))
  end
  local own, set = read(o, o.server == true, "tls_context")
  for _, name in ipairs{"context", "server_name", "timeout"} do
    if own[name] ~= nil then
      misuse(('option "%s" is for connections, not for tls_context'):format(name))
    end
  end
  return make(own, set, "tls_context")
end

tls.info = tlscore.info

return tls

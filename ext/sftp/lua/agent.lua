-- SPDX-License-Identifier: MIT
-- Agents that hold keys and sign with them, over a Unix socket (draft-ietf-sshm-ssh-agent).
local corun = require "corun"
local net = require "corun.net"

local REQUEST_IDENTITIES, IDENTITIES, SIGN_REQUEST, SIGNATURE = 11, 12, 13, 14
local MOST = 256 << 10 -- bytes of an answer
local FLAGS = {["rsa-sha2-256"] = 2, ["rsa-sha2-512"] = 4}

local agent = {}
local agent_mt = {__index = agent, __close = function(self) self.stream:close() end}

---Connect to the agent at `path`.
function agent.open(path)
  local stream, err = net.connect{path = path}
  if not stream then return nil, err end
  return setmetatable({stream = stream, path = path}, agent_mt)
end

local function fail(self, message)
  return nil, corun.err("EAGENT", message, {op = "agent", target = self.path})
end

local function ask(self, request, expected)
  local ok, err = self.stream:write(string.pack(">s4", request))
  local head, body
  if ok then head, err = self.stream:read_exactly(4) end
  if not head then return fail(self, err and err.message or "the agent closed the connection") end
  local size = string.unpack(">I4", head)
  if size < 1 or size > MOST then return fail(self, "the agent answered nonsense") end
  body, err = self.stream:read_exactly(size)
  if not body then return fail(self, err and err.message or "the agent closed the connection") end
  if body:byte() ~= expected then return fail(self, "the agent refused") end
  return body
end

-- string.unpack, but nil for what is too short.
local function unpack(format, s, at)
  local ok, a, b, c = pcall(string.unpack, format, s, at)
  if ok then return a, b, c end
end

---The public keys that it has: a list of {key, comment}.
function agent:keys()
  local body, err = ask(self, string.char(REQUEST_IDENTITIES), IDENTITIES)
  if not body then return nil, err end
  local n, at = unpack(">I4", body, 2)
  local keys = {}
  for i = 1, n or 0 do
    local key, comment, next_at = unpack(">s4s4", body, at)
    if not key then break end
    keys[i], at = {key = key, comment = comment}, next_at
  end
  return keys
end

-- Which algorithm the request for authentication `data` names (RFC 4252, section 7).
local function algorithm(data)
  local ok, _, _, _, _, _, _, name = pcall(string.unpack, ">s4Bs4s4s4Bs4", data)
  return ok and name or nil
end

---The signature of `data` by a key, without its type.
function agent:sign(key, data)
  local flags = FLAGS[algorithm(data)] or 0
  local body, err = ask(self, string.pack(">Bs4s4I4", SIGN_REQUEST, key, data, flags), SIGNATURE)
  if not body then return nil, err end
  local whole = unpack(">s4", body, 2)
  local _, signature = unpack(">s4s4", whole or "")
  if not signature then return fail(self, "the agent answered nonsense") end
  return signature
end

return agent

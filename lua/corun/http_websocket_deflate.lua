-- SPDX-License-Identifier: MIT
-- What two sides of a WebSocket agree on about compression (permessage-deflate, RFC 7692). Without
-- the option `takeover` no window is kept between messages, by either side. Owns nothing.
local options = require "corun.options"
local trim = require "corun.http_trim"

local deflate = {}

local NAME = "permessage-deflate"
local THRESHOLD = 1024 -- bytes; what is shorter hardly gets smaller
local LEAST, MOST = 9, 15 -- bits of a window; zlib has none of 8
local NONE = {}
local SPEC = {threshold = "count", takeover = "boolean", window = "count"}

-- The option, checked; nil when there is to be no compression.
local function read(value, op)
  if value == false then return nil end
  if value == nil or value == true then return NONE end
  options.check(value, op, SPEC, 4)
  if value.window and (value.window < LEAST or value.window > MOST) then
    options.misuse(('option "window" for deflate must be 9 to 15 bits, got %s'):format(
      options.show(value.window)), 4)
  end
  return value
end

-- The extensions of a header: a list of {name, parameter = value or true}; nil when one has a
-- parameter twice.
local function parse(header)
  local list = {}
  for item in (header or ""):gmatch("[^,]+") do
    local extension, index = {}, 0
    for part in item:gmatch("[^;]+") do
      local name, value = part:match("^([^=]*)=(.*)$")
      if index == 0 then
        extension[1] = trim(part)
      else
        name = trim(name or part)
        if extension[name] then return nil end
        value = value and trim(value)
        extension[name] = value and (value:match('^"(.*)"$') or value) or true
      end
      index = index + 1
    end
    list[#list + 1] = extension
  end
  return list
end

-- The bits of a parameter; nil when they are none.
local function bits_of(value)
  local bits = type(value) == "string" and value:find("^%d+$") and math.tointeger(value)
  return bits and bits >= 8 and bits <= MOST and bits or nil
end

local KNOWN = {
  server_no_context_takeover = true, client_no_context_takeover = true,
  server_max_window_bits = true, client_max_window_bits = true,
}

-- Whether all parameters are known, and have values as they must.
local function is_valid(extension, is_offer)
  for name, value in pairs(extension) do
    if name ~= 1 then
      if not KNOWN[name] then return false end
      if name:find("_takeover$") then
        if value ~= true then return false end
      elseif not bits_of(value) and
        not (is_offer and name == "client_max_window_bits" and value == true) then
        return false
      end
    end
  end
  return true
end

local function choose(o, header)
  for _, offer in ipairs(parse(header) or {}) do
    local asked = bits_of(offer.server_max_window_bits)
    local bits = math.min(asked or MOST, o.window or MOST)
    if offer[1] == NAME and is_valid(offer, true) and bits >= LEAST then
      local send_takeover = o.takeover and not offer.server_no_context_takeover or false
      local recv_takeover = o.takeover and not offer.client_no_context_takeover or false
      local answer = NAME
      if not send_takeover then answer = answer .. "; server_no_context_takeover" end
      if not recv_takeover then answer = answer .. "; client_no_context_takeover" end
      if asked or bits < MOST then answer = answer .. "; server_max_window_bits=" .. bits end
      return {
        threshold = o.threshold or THRESHOLD, send_bits = bits, send_takeover = send_takeover,
        recv_takeover = recv_takeover,
      }, answer
    end
  end
end

-- The last choice: clients tend to be alike, and thousands of them share it.
local last = {}

---Choose from what a client offers.
---@param value any the option `deflate`
---@param header string?
---@return table? agreed for core.adopt; not to be changed
---@return string? answer
function deflate.accept(value, header)
  local o = read(value, "deflate")
  if not o or not header then return nil end
  if last.value ~= value or last.header ~= header or type(value) == "table" then
    local agreed, answer = choose(o, header)
    last = {value = value, header = header, agreed = agreed, answer = answer}
  end
  return last.agreed, last.answer
end

---What a client offers.
function deflate.offer(value)
  local o = read(value, "deflate")
  if not o then return nil end
  local offer = NAME .. "; client_max_window_bits"
  if not o.takeover then
    offer = offer .. "; server_no_context_takeover; client_no_context_takeover"
  end
  return offer
end

---What a client has got.
---@return table? agreed for core.adopt
---@return string? fault
function deflate.agree(value, header)
  if not header then return nil end
  local o = read(value, "deflate")
  local list = parse(header)
  local got = list and list[1]
  if not o or not got or #list > 1 or got[1] ~= NAME or not is_valid(got, false) then
    return nil, "the server chose extensions that were not offered"
  end
  local bits = math.min(bits_of(got.client_max_window_bits) or MOST, o.window or MOST)
  if bits < LEAST then return nil, "the server wants a window of 8 bits" end
  return {
    threshold = o.threshold or THRESHOLD, send_bits = bits,
    send_takeover = o.takeover and not got.client_no_context_takeover or false,
    recv_takeover = not got.server_no_context_takeover,
  }
end

return deflate

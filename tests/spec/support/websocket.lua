-- SPDX-License-Identifier: MIT
-- For specs of WebSocket: frames byte by byte, and peers that say exactly what they are told.
local codec = require "corun.codec"
local net = require "corun.net"
local http = require "corun.http"
local eventually = require("tests.spec.support.eventually")

local support = {eventually = eventually}

local MASK = "\x12\x34\xAB\xCD"

-- Mask bytes, or unmask them.
function support.masked(text, mask)
  mask = mask or MASK
  local out, word, n = {}, ("<I8"):unpack(mask .. mask), #text
  for i = 1, n, 8 do
    local part = text:sub(i, i + 7)
    out[#out + 1] = ("<I8"):pack(("<I8"):unpack(part .. ("\0"):rep(8 - #part)) ~ word):sub(1, #part)
  end
  return table.concat(out)
end

-- A frame: first byte, payload, {mask=, length=: as announced, form=: how it is written}.
function support.frame(first, payload, o)
  o = o or {}
  payload = payload or ""
  local n, form = o.length or #payload, o.form
  form = form or (n > 65535 and 127 or n > 125 and 126 or n)
  local head = string.char(first, form | (o.mask and 128 or 0))
  if form == 127 then head = head .. (">I8"):pack(n) end
  if form == 126 then head = head .. (">I2"):pack(n) end
  if not o.mask then return head .. payload end
  return head .. MASK .. support.masked(payload)
end

-- The same as a client sends it.
function support.client_frame(first, payload, o)
  o = o or {}
  o.mask = true
  return support.frame(first, payload, o)
end

function support.goodbye(code, why)
  return (">I2"):pack(code) .. (why or "")
end

-- Read a frame: first byte, payload, whether it was masked; nil at the end.
function support.read_frame(stream)
  local head = stream:read_exactly(2, {timeout = 10})
  if not head then return nil end
  local first, second = head:byte(1, 2)
  local form = second & 127
  local n = form
  if form == 126 then n = (">I2"):unpack(stream:read_exactly(2)) end
  if form == 127 then n = (">I8"):unpack(stream:read_exactly(8)) end
  local mask = second & 128 ~= 0 and stream:read_exactly(4)
  local payload = n > 0 and stream:read_exactly(n, {timeout = 10}) or ""
  return first, mask and support.masked(payload, mask) or payload, mask ~= false
end

support.KEY = "dGhlIHNhbXBsZSBub25jZQ=="
support.ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

-- The request that asks for a WebSocket; `headers` replaces some, false leaves one out.
function support.request(headers, line)
  local all = {
    host = "h", upgrade = "websocket", connection = "Upgrade", ["sec-websocket-version"] = "13",
    ["sec-websocket-key"] = support.KEY,
  }
  for name, value in pairs(headers or {}) do all[name] = value end
  local out = {line or "GET /chat HTTP/1.1"}
  for name, value in pairs(all) do
    if value then out[#out + 1] = name .. ": " .. value end
  end
  return table.concat(out, "\r\n") .. "\r\n\r\n"
end

-- Connect and shake hands: the stream, and the head of the answer.
function support.connect(address, headers, more)
  local stream = assert(net.connect(address))
  assert(stream:write(support.request(headers), more or ""))
  local head = assert(stream:read_until("\r\n\r\n", {timeout = 10}))
  return stream, head
end

-- Serve WebSockets with fn(ws, req), of http.serve.
function support.serve(fn, o, options)
  local server = assert(http.serve("127.0.0.1:0", function(req)
    fn(req:upgrade(o), req)
  end, options))
  return server, "ws://" .. server:address(), server:address()
end

-- A server that answers the handshake and then calls fn(stream, head) with the bare connection.
-- `headers`: lines of the answer; `answer`: all of it.
function support.raw_server(fn, headers, answer)
  local server = assert(net.serve("127.0.0.1:0", function(stream)
    local head = stream:read_until("\r\n\r\n")
    if not head then return end
    local key = head:match("[Ss]ec%-[Ww]eb[Ss]ocket%-[Kk]ey: (%S+)")
    local accept = codec.base64.encode(codec.hash("sha1"):update(
      key .. "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"):bytes())
    stream:write(answer or ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n" ..
      "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n"):format(accept,
      headers or ""))
    fn(stream, head)
  end))
  return server, "ws://" .. server:address()
end

-- Send back what comes, until either side has enough.
function support.echo(ws)
  for data, kind in ws do
    if not ws:send(data, kind) then return end
  end
end

-- Deflate a message as permessage-deflate does.
function support.packed(text)
  return codec.gzip.encode(text):sub(11, -9) .. "\0"
end

return support

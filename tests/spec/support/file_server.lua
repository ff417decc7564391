-- SPDX-License-Identifier: MIT
-- A server of one file and its ranges, for the specs of downloads, that does what it is told, right
-- or wrong.

local corun = require("corun")
local support = require("tests.spec.support.http")

local DATE = "date: Tue, 15 Nov 1994 12:45:26 GMT\r\n"

local function write_slowly(s, stream, bytes)
  for i = 1, #bytes, 64 << 10 do
    if not stream:write(bytes:sub(i, i + (64 << 10) - 1)) then return false end
    s.sent = s.sent + (64 << 10)
    corun.sleep(s.slow or 0)
  end
  return true
end

-- A server of one file. What is set in `s` is what it does: text, etag, modified, extra (a header
-- line); ranges = false; cut: so many bytes of an answer; slow: the pause between two pieces;
-- before(head, n) may give the whole answer; secure: its TLS. s.seen: the ranges that were asked
-- for; s.heads; s.sent: bytes, where it is slow.
return function(s)
  s.seen, s.heads, s.sent = {}, {}, 0
  local function answer(head)
    s.heads[#s.heads + 1] = head
    local range = head:match("\r\nrange: bytes=(%d+%-%d*)")
    local condition = head:match("if%-range: ([^\r]*)")
    s.seen[#s.seen + 1] = range or "all"
    local own = s.before and s.before(head, #s.heads)
    if own then return own end
    local validator = (s.etag and "etag: " .. s.etag .. "\r\n" or "")
      .. (s.modified and "last-modified: " .. s.modified .. "\r\n" or "") .. DATE .. (s.extra or "")
    if not range or s.ranges == false or condition and condition ~= (s.etag or s.modified) then
      return support.ok(s.text, validator)
    end
    local first, last = range:match("(%d+)%-(%d*)")
    first, last = tonumber(first), math.min(tonumber(last) or math.huge, #s.text - 1)
    if first >= #s.text then
      return ("HTTP/1.1 416 X\r\ncontent-range: bytes */%d\r\ncontent-length: 0\r\n\r\n"):format(
        #s.text)
    end
    local part = s.text:sub(first + 1, last + 1)
    return ("HTTP/1.1 206 P\r\n%scontent-range: bytes %d-%d/%d\r\ncontent-length: %d\r\n\r\n%s")
      :format(validator, first, last, #s.text, #part, part)
  end
  return support.raw(function(stream)
    while true do
      local head = support.read_request(stream)
      if not head then return end
      local bytes = answer(head)
      if s.cut then
        local body = bytes:find("\r\n\r\n", 1, true) + 3
        stream:write(bytes:sub(1, body + s.cut))
        return
      end
      if s.slow then
        if not write_slowly(s, stream, bytes) then return end
      elseif not stream:write(bytes) then
        return
      end
    end
  end, s.secure)
end

-- SPDX-License-Identifier: MIT
-- Content codings of responses: gzip, deflate, br, zstd, alone or one upon the other. Owns the
-- decoders of the bodies that it streams. Invariant: never more output at once than a slice, or
-- than the limit of the body, whatever little input makes of it.
local task = require "corun.task"

local decode = {}

---What requests ask for.
decode.ACCEPTED = "gzip, deflate, br, zstd"

local NAMES = {gzip = "gzip", ["x-gzip"] = "gzip", deflate = "deflate", br = "br", zstd = "zstd"}
local MOST_CODINGS = 4
local SLICE = 256 << 10 -- bytes of output at once
local PARTIAL = 206 -- of a part nothing can be decoded

local function failure(code, message, url, cause)
  return nil, task.err(code, message, {op = "decode", target = url, cause = cause})
end

-- What a decoder's error means for the body.
local function explain(err, name, url, max)
  if err.code == "EMSGSIZE" then
    return failure("EMSGSIZE", ("the decoded body is over the limit of %d bytes"):format(max), url,
      err)
  end
  if err.code ~= "EINVAL" then return nil, err end
  return failure("EPROTO", ("the body is no proper %s: %s"):format(name, err.message), url, err)
end

---The codings of a header's value, the one to be undone first in front; nil when there are none, or
---one that is not known: then the body is given as it came.
---@param value string? of Content-Encoding
---@param status integer
---@return string[]? codings
---@return string? fault
function decode.codings(value, status)
  if not value or status == PARTIAL then return nil end
  local list = {}
  for word in value:gmatch("[^,%s]+") do
    word = word:lower()
    if word ~= "identity" then
      if not NAMES[word] then return nil end
      table.insert(list, 1, NAMES[word])
    end
  end
  if #list > MOST_CODINGS then
    return nil, ("the body has more than %d content codings"):format(MOST_CODINGS)
  end
  return list[1] and list
end

---Refuse a response by what `codings` calls a fault.
function decode.refuse(fault, url)
  return failure("EPROTO", fault, url)
end

---Say whether only the end of the connection tells where a body ends. What came may then have been
---cut before its first byte, and is no empty body: the coding alone tells whether it is whole.
---@param headers table
function decode.is_open_ended(headers)
  return not headers["content-length"] and not headers["transfer-encoding"]
end

---Decode a whole body; suspends when it is long.
---@return string? body
---@return table? err
function decode.whole(body, codings, max, url)
  local codec = require "corun.codec"
  for _, name in ipairs(codings) do
    local err
    body, err = codec[name].decode(body, {max = max})
    if not body then return explain(err, name, url, max) end
  end
  return body
end

-- What one coding makes of the pieces of `pull`. Of nothing it makes nothing, unless `is_strict`.
local function undo(pull, name, max, url, is_strict)
  local decoder, rest -- `rest`: input that was not taken yet
  local function begin()
    decoder = require("corun.codec")[name].decoder({max = max or math.huge})
  end
  return function(seconds)
    while true do
      local piece, err = rest, nil
      if not piece then piece, err = pull(seconds) end
      if err then return nil, err end
      if not piece then break end
      if not decoder and piece ~= "" then begin() end
      local out, left = "", nil
      if decoder then out, left = decoder:update(piece, SLICE) end
      if not out then return explain(left, name, url, max) end
      rest = left and piece:sub(#piece - left + 1)
      if out ~= "" then return out end
    end
    if not decoder then
      if not is_strict then return nil end
      is_strict = false
      begin()
    end
    local out, err = decoder:finish()
    decoder = nil
    if not out then return explain(err, name, url, max) end
    return out ~= "" and out or nil
  end
end

---Decode the pieces of a body: a function as `pull`, which answers a piece, nil at the end, or nil
---and an error. With `is_strict` nothing at all is not an empty body.
function decode.pieces(pull, codings, max, url, is_strict)
  for _, name in ipairs(codings) do
    pull = undo(pull, name, max, url, is_strict)
    is_strict = false
  end
  return pull
end

return decode

-- SPDX-License-Identifier: MIT
-- What a recording keeps of a request, and what one that is asked is compared by: method, URL,
-- headers, and what its body says. Of two bodies that say the same (JSON in another order, a form
-- with another boundary) this is equal. Owns nothing; reads the source of a body, and rewinds it.
local codec = require "corun.codec"
local files = require "corun.http_recorder_files"
local json = require "corun.json"
local secrets = require "corun.http_secrets"

local readable = files.readable

local asked = {}

local SHOWN = 4 << 10 -- bytes of a body that are kept as they are
local GATHERED = 1 << 20 -- bytes of a source that are looked into
local STREAM = "(a stream that can be read once: not compared)"

local function digest(hash, size)
  return ("sha256 %s (%d bytes)"):format(hash:hex(), size)
end

-- What a body says: by its type, and as a digest where it is long or no text, or is a form with
-- parts, which nobody has searched for secrets.
local function told(text, kind, names)
  if kind == "application/json" or kind:find("+json", 1, true) then
    local value = json.decode(text)
    if value ~= nil then text = json.encode(secrets.json(names, value), {sort = true}) end
  elseif kind == "application/x-www-form-urlencoded" then
    text = secrets.form(names, text)
  end
  if #text <= SHOWN and utf8.len(text) and not kind:find("^multipart/") then return text end
  return digest(codec.hash("sha256"):update(text), #text)
end

-- The same of a source; nil and an error when it fails.
local function told_of_source(source, kind, names, plain)
  if not source.rewind then return STREAM end
  local hash, size, pieces = codec.hash("sha256"), 0, {}
  while true do
    local piece, err = source.next()
    if piece == nil and err ~= nil then return nil, err end
    if piece == nil then break end
    piece = plain(piece)
    hash:update(piece)
    size = size + #piece
    if size <= GATHERED then pieces[#pieces + 1] = piece end
  end
  local ok, err = source.rewind()
  if not ok then return nil, err end
  if size > GATHERED then return digest(hash, size) end
  return told(table.concat(pieces), kind, names)
end

-- A function that replaces the boundary of a multipart body, which is another one each time.
local function without_boundary(content_type)
  local boundary = content_type:match('^multipart/.*boundary="?([^";]+)')
  if not boundary then return function(text) return text end end
  local pattern = boundary:gsub("%p", "%%%0")
  return function(text) return (text:gsub(pattern, "BOUNDARY")) end
end

-- Over a Unix socket the URL says which.
local function url_of(request)
  local u = request.u
  return u.socket and request.url:match("^[^#]*") or u.origin .. request.target
end

---What is kept of a request. It suspends where the body is a file.
---@param names table<string, true> of http_secrets.lua
---@return table? asked {method=, url=, headers=, body=}, the names of headers in lower case
---@return table? err of the body's source
function asked.of(request, names)
  local headers = request:values()
  local content_type = headers["content-type"] or ""
  local kind = content_type:match("^%s*([^;%s]*)"):lower()
  local plain = without_boundary(content_type)
  local body, err
  if request.source then
    body, err = told_of_source(request.source, kind, names, plain)
    if not body then return nil, err end
  elseif request.body and request.body ~= "" then
    body = told(plain(request.body), kind, names)
  end
  local kept = {}
  for name, value in next, headers do
    kept[name] = readable(secrets.header(names, name, plain(value)))
  end
  return {
    method = request.method, url = readable(secrets.urls(names, url_of(request))),
    headers = kept, body = body,
  }
end

---Read a source to its end that nothing is compared by, as if it were sent.
---@return boolean ok
---@return table? err
function asked.drain(source)
  if not source or source.rewind then return true end
  source.begun = true
  repeat
    local piece, err = source.next()
    if piece == nil and err ~= nil then return false, err end
  until piece == nil
  return true
end

return asked

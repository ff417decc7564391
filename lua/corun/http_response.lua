-- SPDX-License-Identifier: MIT
-- Responses as scripts see them. One whose body is complete owns nothing. A streamed one owns its
-- connection, with the slot in the pool, until its body was read to the end, or it is closed.
local decode = require "corun.http_decode"
local message = require "corun.http_message"
local options = require "corun.options"
local reader = require "corun.http_reader"

local now = require("corun.task").now

local response = {}

local TEXT, STREAMED_TEXT = {charset = "string"}, {charset = "string", max = "count"}

local whole = {__name = "http response"}

-- What both kinds have, made when it is asked for.
local function lazy(self, key)
  if key == "headers" then
    local headers = message.headers(self.block)
    rawset(self, "headers", headers)
    return headers
  elseif key == "ok" then
    return self.status >= 200 and self.status < 300
  elseif key == "times" then
    local dialled = self.dialled
    local connect, tls = dialled and dialled.connect or 0, dialled and dialled.tls or 0
    local began, got, ended = self.began, self.got, self.ended
    return {
      queue = got - began - connect - tls, connect = connect, tls = tls,
      wait = self.answered - got, total = ended and ended - began,
    }
  end
  if key == "links" then
    local links = require("corun.http_links").parse(self.headers.link, self.url)
    rawset(self, "links", links)
    return links
  elseif key == "history" then
    local history = {}
    rawset(self, "history", history)
    return history
  end
end

-- A body in UTF-8.
local function text(self, body, charset)
  local value, err = require("corun.http_charset").text(body, self.headers["content-type"],
    charset)
  if not value then err.target = self.url end
  return value, err
end

-- The text of a complete body.
local function whole_text(self, o)
  options.self(self, whole, "text")
  return text(self, self.body, options.check(o, "text", TEXT).charset)
end

function whole.__index(self, key)
  if key == "json" then return message.json end
  if key == "text" then return whole_text end
  return lazy(self, key)
end

function whole:__tostring()
  return ("http response (%d, %d bytes, %s)"):format(self.status, #self.body, self.url)
end

---Make the response to a request, complete. The connection `c` knows the instants when the request
---was made (began), had a connection (got), was answered and was over (ended).
function response.new(status, block, body, url, c)
  local self = setmetatable({
    status = status, url = url, body = body, block = block, began = c.began, got = c.got,
    answered = c.answered, ended = c.ended,
  }, whole)
  if c.uses == 0 then self.dialled = c.dialled end
  return self
end

-- Say whether a response has an empty body, as far as its head can tell.
local function has_no_body(request, res)
  return res.body == "" and (request.no_body or res.status == 204 or res.status == 304
    or not decode.is_open_ended(res.headers))
end

---Undo the content codings of a complete response; nil and an error when that fails.
---@param coding string of Content-Encoding
function response.decoded(request, res, coding)
  local codings, fault = decode.codings(coding, res.status)
  if fault then return decode.refuse(fault, request.url) end
  if not codings or has_no_body(request, res) then return res end
  local body, err = decode.whole(res.body, codings, request.max_body, request.url)
  if not body then return nil, err end
  res.body = body
  return res
end

-- Streamed ----------------------------------------------------------------------------------------

local methods = {}
local streamed = {__name = "http response"}

function streamed.__index(self, key)
  return methods[key] or lazy(self, key)
end

function streamed:__tostring()
  return ("http response (%d, %s, %s)"):format(self.status,
    self.connection and "streaming" or self.input.closed and "closed" or "read", self.url)
end

-- Let go of the connection, to be used again or closed; a finaliser says that it is one.
local function finish(self, keep, collected)
  local c = self.connection
  if not c then return end
  self.connection, self.ended = nil, now()
  c.pool:give_back(c, keep, collected)
end

-- The next piece that the connection has: the first of those that came early, while the request was
-- being sent, else one that comes now.
local function take(c, seconds, block)
  local early = c.early
  if not early then return c.core:piece(seconds, block) end
  local at = early.first
  local first = early[at]
  early[at], early.first = nil, at + 1
  if not early[at + 1] then c.early = nil end
  return first[1], first[2], first[3]
end

-- The next piece of the body as it was sent, in `block` if there is one; nil at its end.
local function pull(self, seconds, block)
  local c = self.connection
  if not c then return nil end
  local piece, last, keep = take(c, seconds, block)
  if not piece then
    local err = last
    if err.code == "ETIMEDOUT" then return nil, err end
    local pool = c.pool
    finish(self)
    if pool.closed and err.code == "ECLOSED" then return pool:closed_error(c.origin, "read") end
    return nil, err
  end
  if last then finish(self, keep) end
  return piece
end

---Make the response to a request whose head has come over the connection `c`, which it takes over,
---unless the body is empty: then it is complete. nil and an error for a coding that is refused.
---@param coding string? of Content-Encoding
function response.open(request, status, block, length, coding, c)
  local url, is_empty = request.url, length == 0
  local codings, fault
  if coding and request.decode then codings, fault = decode.codings(coding, status) end
  if fault then return decode.refuse(fault, url) end
  local self = {
    status = status, url = url, block = block, length = not codings and length or nil,
    began = c.began, got = c.got, answered = c.answered, dialled = c.uses == 0 and c.dialled or nil,
  }
  if is_empty then self.ended = now() else self.connection, c.lent = c, true end
  local function from(seconds) return pull(self, seconds) end
  if codings then
    local is_strict = not length and decode.is_open_ended(message.headers(block))
    from = decode.pieces(from, codings, request.max_body, url, is_strict)
  end
  self.input = reader.new(from, url)
  return setmetatable(self, streamed)
end

---Take much of a body that is not decoded, to write it elsewhere: `block` of corun.httpcore filled,
---or a string; nil at the end, or nil and an error. Nothing may have been read of it otherwise.
function response.fill(self, block)
  if self.connection then return pull(self, nil, block) end
  return self.input:recv()
end

for _, name in ipairs{"read", "recv", "read_exactly", "read_until", "lines"} do
  methods[name] = function(self, ...)
    options.self(self, streamed, name)
    return self.input[name](self.input, ...)
  end
end

---Decode the rest of the body as JSON.
function methods:json(o)
  options.self(self, streamed, "json")
  local body, err = self:read("a")
  if not body then return nil, err end
  return message.json({body = body, url = self.url}, o)
end

---Read the rest of the body as text.
function methods:text(o)
  options.self(self, streamed, "text")
  o = options.check(o, "text", STREAMED_TEXT)
  local body, err = self:read("a", {max = o.max})
  if not body then return nil, err end
  return text(self, body, o.charset)
end

---Close the connection, unless the body was read to its end.
function methods:close()
  options.self(self, streamed, "close")
  if self.input.closed then return end
  self.input:close(options.here() or "?")
  finish(self, false)
end

function streamed:__close()
  if not self.input.closed then
    self.input:close((options.here() or "?") .. ", where its <close> variable went out of scope; "
      .. "wait for the tasks that use it in a corun.scope first")
    finish(self, false)
  end
end

function streamed:__gc()
  finish(self, false, true)
end

return response

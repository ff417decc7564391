-- SPDX-License-Identifier: MIT
-- Requests as handlers get them. The body of one is complete, or comes in pieces: then the request
-- reads from the connection until the handler has returned. What fails on the way is remembered
-- with the status that the client is answered.
local message = require "corun.http_message"
local options = require "corun.options"
local reader = require "corun.http_reader"
local task = require "corun.task"
local url = require "corun.url"

local request = {}

local methods = {json = message.json, version = "1.1"}

local class = {__name = "http request", __tostring = function(self)
  return ("http request (%s %s)"):format(self.method, self.target)
end}

-- The fields of a query; of several values of a name the last.
local function fields(text)
  local t = {}
  for pair in text:gmatch("[^&]+") do
    local name, value = pair:match("^([^=]*)=(.*)$")
    t[url.decode(name or pair, "form")] = url.decode(value or "", "form")
  end
  return t
end

-- What is unread of a body goes with the answer: the connection is about another request then.
local function gone(self)
  return task.err("ECLOSED", "the request was answered before", {op = "read", target = self.path})
end

-- The next piece of the body; nil at its end.
local function pull(self, seconds)
  local c = self.connection
  if not c then return nil, self.is_answered and not self.over and gone(self) or nil end
  local piece, last, keep = c:piece(seconds)
  if piece then
    if last then self.connection, self.over = nil, keep end
    return piece
  end
  if last.code ~= "ETIMEDOUT" or not seconds then
    self.connection, self.fault = nil, keep -- there it says: the status
  end
  return nil, last
end

-- The reader of the body, made when it is first wanted.
local function input(self)
  local made = rawget(self, "input")
  if not made then
    local body = rawget(self, "body")
    made = reader.new(function(seconds)
      if not body then return pull(self, seconds) end
      local piece = body
      body = ""
      return piece ~= "" and piece or nil
    end, self.path, "request")
    rawset(self, "input", made)
  end
  return made
end

local websocket -- the module, loaded when it is first used: to look for one costs 16 KB of garbage

-- Answer with a WebSocket; see lua/meta/http_websocket.lua.
function methods:upgrade(o)
  websocket = websocket or require "corun.http_websocket"
  return websocket.upgrade(self, self.link[5], self.link[1], o)
end

for _, name in ipairs{"read", "recv", "read_exactly", "read_until", "lines"} do
  methods[name] = function(self, ...)
    local stream = input(self)
    return stream[name](stream, ...)
  end
end

function methods.form(self, o)
  options.self(self, class, "form")
  return require("corun.http_form").read(self, o)
end

-- What is made when it is first asked for.
local LAZY = {}

function LAZY.target(self) return self.path end

function LAZY.headers(self) return message.headers(self.block) end

function LAZY.peer(self) return self.link[3] end

function LAZY.tls(self) return self.link[1].tls end

function LAZY.query(self) return fields(self.target:match("?(.*)$") or "") end

function LAZY.cookies(self)
  return require("corun.http_set_cookie").parse(self.headers.cookie)
end

-- The id that whoever stands in front gave, if it is a sane one.
function LAZY.id(self)
  local given = self.headers["x-request-id"]
  if given and #given <= 128 and given:find("^[%w._:+/=@-]+$") then return given end
  return require("corun.codec").uuid()
end

-- All that has not been read of a body that comes in pieces.
function LAZY.body(self)
  local body, err = input(self):read("a")
  if err then error(err, 0) end
  return body
end

function class.__index(self, key)
  local method = methods[key]
  if method then return method end
  local make = LAZY[key]
  if not make then return nil end
  local value = make(self)
  rawset(self, key, value)
  return value
end

---Have something closed when the request has been answered.
---@param self table the request
---@param closable table|userdata with a method close
function request.keep(self, closable)
  local link = self.link
  link[4] = link[4] or {}
  table.insert(link[4], closable)
end

---Wait until the client sends no more, and so has gone; all of the request must have come. False
---when that cannot be seen.
---@return boolean
function request.watch(self)
  return self.link[5]:watch()
end

---Close what a request had to be closed, the last first.
function request.release(link)
  local kept = link[4]
  link[4] = false
  for i = #kept, 1, -1 do kept[i]:close() end
end

---The metatable of requests. corun.httpreply makes them: method, path, block (the header lines),
---body, link (what the requests of the connection share: see http_server.lua); target unless it is
---the path; version if it is not that of the class. One whose body is still to come has no body but
---`connection`, where it comes from, and `over`, false until it was read.
request.class = class

return request

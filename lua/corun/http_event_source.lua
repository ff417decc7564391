-- SPDX-License-Identifier: MIT
-- Server-sent events: an iterator over the events of one stream after the other (HTML Standard,
-- 9.2). Owns the response that is being read. Invariants: after a connection that was lost the next
-- one begins behind the last event that was given, where the server gives ids; no two connections
-- are begun in less than a pause.
local core = require "corun.httpcore"
local events = require "corun.http_events"
local inside = require "corun.inside"
local message = require "corun.http_message"
local options = require "corun.options"
local task = require "corun.task"
local url = require "corun.http_url"

local RETRY, LEAST_RETRY = 3, 0.1 -- seconds from one connection to the next
local SILENCE = 300 -- seconds; many streams say something every 15
local TRIES = 10 -- to connect again
local TYPE = "text/event-stream"
local FINAL = { -- the next stream would be the same
  EMSGSIZE = true, EPROTO = true, ECLOSED = true, EUNRECORDED = true,
}

local source = {__name = "http events"}
source.__index = source

local OWN = {method = "string", reconnect = "boolean", last_id = "string", max = "count"}

-- The options of a request but those that events have an own mind of.
local function spec_of(request_options)
  local spec = {}
  for name, kind in pairs(request_options) do spec[name] = kind end
  spec.stream, spec.check, spec.null = nil, nil, nil
  for name, kind in pairs(OWN) do spec[name] = kind end
  return spec
end

-- The headers of the next request. An id that no header can carry is not sent.
local function headers(self)
  local all = {}
  for name, value in pairs(self.headers or {}) do
    if self.id == "" or type(name) ~= "string" or name:lower() ~= "last-event-id" then
      all[name] = value
    end
  end
  if not message.find(all, "accept") then all.accept = TYPE end
  if not message.find(all, "cache-control") then all["cache-control"] = "no-store" end
  if self.id ~= "" and core.is_value(self.id) then all["last-event-id"] = self.id end
  return all
end

-- Say what is wrong with an answer; nil when it is a stream of events.
local function fault(res)
  if res.status ~= 200 then
    return task.err("EHTTP", ("the server answered %d"):format(res.status),
      {op = "events", target = res.url, status = res.status, response = res})
  end
  local kind = res.headers["content-type"] or "nothing said"
  if kind:match("^%s*([^;%s]*)"):lower() ~= TYPE then
    return task.err("EPROTO", ("the answer is no %s: %s"):format(TYPE, kind),
      {op = "events", target = res.url, response = res})
  end
end

local function fail(self, err)
  self:close()
  error(err, 0)
end

-- Connect; answers false when the server has no more events.
local function connect(self)
  if self.begun then self.session.pool:pause(self.retry) end
  if self.closed then return false end
  self.o.headers = headers(self)
  if self.begun and self.o.retries == nil and self.session.retries == nil then
    self.o.retries = {tries = TRIES}
  end
  local res, err = self.session:request(self.method, self.target, self.o)
  if not res then fail(self, err) end
  if self.closed or res.status == 204 then
    res:close()
    return false
  end
  local wrong = fault(res)
  if wrong then
    res:close()
    fail(self, wrong)
  end
  self.begun, self.res = true, res
  self.parser = events.parser{max = self.max, id = self.id}
  return true
end

-- The stream has ended, or was cut by `err`: let go of it. What comes without an id is lost then.
local function lost(self, err)
  local parser = self.parser
  self.id = parser.id
  if parser.retry then self.retry = math.max(parser.retry, LEAST_RETRY) end
  self.res:close()
  self.res = nil
  if err and (FINAL[err.code] or not self.reconnect) then fail(self, err) end
  return self.reconnect
end

---The next event; nil at the end. It raises what a request fails with.
function source:__call()
  if self.busy then inside.raise("EBUSY", "events", nil, "another task waits for the next one") end
  self.busy = true
  local _ <close> = self.resting
  while not self.closed do
    local event = self.queue[self.at]
    if event then
      self.at = self.at + 1
      return event
    end
    if self.fault then fail(self, self.fault) end
    if not self.res and not connect(self) then break end
    local piece, err = self.res:recv()
    if piece then
      self.queue, self.fault = self.parser:feed(piece)
      self.at = 1
    elseif not self.closed and not lost(self, err) then
      break
    end
  end
  self:close()
  return nil
end

---End it, with its connection. A second call does nothing.
function source:close()
  self.closed = true
  local res = self.res
  self.res = nil
  if res then res:close() end
end
source.__close = source.close

function source:__tostring()
  local target = url.split_login(self.target)
  return ("http events %p (%s, %s)"):format(self, target, self.closed and "ended" or "open")
end

---Iterate over events; see lua/meta/http.lua. `request_options`: what corun.options takes for those
---of a request.
return function(session, target, o, request_options)
  if type(target) ~= "string" then
    options.misuse("the URL must be a string, got " .. type(target))
  end
  local own = {}
  for k, v in pairs(options.check(o, "events", spec_of(request_options))) do own[k] = v end
  local self = setmetatable({
    session = session, target = target, o = own, method = message.method(own.method or "GET"),
    headers = own.headers, max = own.max, id = own.last_id or "", retry = RETRY, queue = {}, at = 1,
  }, source)
  if self.id:find("%c") then
    options.misuse('option "last_id" for events has a control character')
  end
  self.reconnect = own.reconnect
  if self.reconnect == nil then self.reconnect = self.method == "GET" end
  for name in pairs(OWN) do own[name] = nil end
  self.resting = setmetatable({}, {__close = function() self.busy = false end})
  own.stream, own.check = true, true
  if own.timeout == nil and session.timeout == nil then own.timeout = {read = SILENCE} end
  return self, nil, nil, self
end

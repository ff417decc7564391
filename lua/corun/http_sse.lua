-- SPDX-License-Identifier: MIT
-- http.sse: answers that are server-sent events (HTML Standard, 9.2). Owns for each answer the task
-- that keeps the connection alive, and a mutex: its comments never stand inside an event.
local callable = require("corun.source").is_callable
local corun = require "corun"
local json = require "corun.json"
local options = require "corun.options"

local sse = {}

local OPTIONS = {keep_alive = "duration"}
local EVENT = {event = "string", data = "any", id = "string|number", retry = "duration"}
local KEEP_ALIVE = 15 -- seconds; proxies close what is silent for 30 to 60
local HEADERS = {
  ["Content-Type"] = "text/event-stream", ["Cache-Control"] = "no-store",
  ["X-Accel-Buffering"] = "no", -- nginx would wait for more
}

local events = {__name = "http event writer"}
events.__index = events

function events:__tostring()
  return ("http event writer (%d events)"):format(self.count)
end

-- Write lines, undisturbed by the task that keeps the connection alive.
local function write(self, text)
  local _ <close> = self.mutex:acquire()
  return self.writer:write(text)
end

-- Append the lines of a text, each behind the name of its field.
local function add_lines(out, name, text)
  for line in (text:gsub("\r\n?", "\n") .. "\n"):gmatch("(.-)\n") do
    out[#out + 1] = ("%s: %s\n"):format(name, line)
  end
end

local function add_line(out, name, value)
  if value == nil then return end
  value = tostring(value)
  if value:find("[\r\n%z]") then
    options.misuse(("the %s of an event must be one line"):format(name), 3)
  end
  out[#out + 1] = ("%s: %s\n"):format(name, value)
end

---Send an event: a text, or a table.
function events:event(o)
  options.self(self, events, "event")
  if type(o) == "string" then o = {data = o} end
  if type(o) ~= "table" then options.misuse("an event is a string or a table, got " .. type(o)) end
  options.check(o, "event", EVENT)
  local out, data = {}, o.data
  add_line(out, "event", o.event)
  add_line(out, "id", o.id)
  if o.retry then out[#out + 1] = ("retry: %d\n"):format(o.retry * 1000 // 1) end
  if data ~= nil and type(data) ~= "string" then data = json.encode(data) end
  if data then add_lines(out, "data", data) end
  out[#out + 1] = "\n"
  self.count = self.count + 1
  return write(self, table.concat(out))
end

---Send a comment, which clients ignore.
function events:comment(text)
  options.self(self, events, "comment")
  local out = {}
  add_lines(out, "", text or "")
  return write(self, table.concat(out) .. "\n")
end

---Make a handler that answers with events; see lua/meta/http_kit.lua.
function sse.sse(fn, o)
  if not callable(fn) then options.misuse("sse needs a function, got " .. type(fn)) end
  local pause = options.check(o, "sse", OPTIONS).keep_alive or KEEP_ALIVE
  return function(req)
    local last_id = req.headers["last-event-id"]
    return {headers = HEADERS, stream = function(writer)
      local out = setmetatable({
        writer = writer, mutex = corun.mutex(), count = 0, last_id = last_id,
      }, events)
      out:comment() -- the client learns that it is connected
      corun.daemon(function()
        while true do
          corun.sleep(pause)
          out:comment()
        end
      end)
      return fn(out, req)
    end}
  end
end

return sse

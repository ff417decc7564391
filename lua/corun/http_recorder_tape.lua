-- SPDX-License-Identifier: MIT
-- The recordings of a recorder, in memory but for their bodies: which one answers a request, what
-- the next one is called, and which comes nearest where there is none. Invariant: recordings of the
-- same request are given in their order, each once. Never suspends.
local codec = require "corun.codec"
local sync = require "corun.sync"

local tape = {}
tape.__index = tape

local SLUG = 80 -- bytes of a URL in the name of a file

-- What a request is found by.
local function key_of(self, request)
  local parts = {request.method, request.url, request.body or ""}
  for _, name in ipairs(self.headers) do
    parts[#parts + 1] = name .. ": " .. (request.headers[name] or "")
  end
  return table.concat(parts, "\n")
end

local function in_order(a, b)
  if a.order ~= b.order then return a.order < b.order end
  return a.path < b.path
end

---Make a tape of these recordings.
---@param list table[] of http_recorder_files.lua
---@param headers string[] names in lower case that a request is compared by
---@param match? fun(request: table, recorded: table): boolean instead of comparing
---@param repeats? boolean give the last one again
---@return table tape
function tape.new(list, headers, match, repeats)
  table.sort(list, in_order)
  local self = setmetatable({
    list = list, headers = headers, match = match, repeats = repeats,
    keys = {}, -- lists of recordings by what they are found by
    numbers = {}, -- the largest in the names of their files
    locks = {}, -- of those that are recorded anew
    renewed = {}, -- set of those of which the old ones were forgotten
    order = 0, -- of the last one
  }, tape)
  for _, recording in ipairs(list) do
    local key = key_of(self, recording.request)
    self.keys[key] = self.keys[key] or {}
    table.insert(self.keys[key], recording)
    local number = math.tointeger(recording.path:match("%-(%d+)%.rec%.json$")) or 0
    self.numbers[key] = math.max(self.numbers[key] or 0, number)
    self.order = math.max(self.order, recording.order)
  end
  return self
end

---Find the recording that answers a request; it is taken.
---@return table? recording
---@return integer count of those that answer it, taken ones too
function tape:take(request)
  local match, list = self.match, self.list
  if not match then list = self.keys[key_of(self, request)] or {} end
  local last, count = nil, 0
  for _, recording in ipairs(list) do
    if not match or match(request, recording.request) then
      if not recording.taken then
        recording.taken = true
        return recording, count + 1
      end
      last, count = recording, count + 1
    end
  end
  return self.repeats and last or nil, count
end

-- A name that tells a person what it is, and is the same each time.
local function name_of(key, request, number)
  local slug = request.url:gsub("^%a[%w+.-]*://", ""):match("^[^?#]*"):gsub("[^%w.-]+", "_")
  slug = slug:sub(1, SLUG):gsub("^[_.]+", ""):gsub("[_.]+$", "")
  local digest = codec.hash("sha256"):update(key):hex():sub(1, 12)
  return ("%s_%s_%s-%d"):format(slug, request.method:gsub("[^%w-]", "_"), digest, number)
end

---Begin a recording of a request.
---@return table recording
---@return string name of its file
function tape:begin(request)
  local key = key_of(self, request)
  local number = (self.numbers[key] or 0) + 1
  self.numbers[key] = number
  self.order = self.order + 1
  return {request = request, order = self.order, taken = true, key = key},
    name_of(key, request, number)
end

---Add a recording that was made.
function tape:add(recording)
  local list = self.keys[recording.key] or {}
  self.keys[recording.key] = list
  list[#list + 1] = recording
  self.list[#self.list + 1] = recording
end

---The mutex of a request, for whoever takes the place of its recordings.
function tape:lock(request)
  local key = key_of(self, request)
  self.locks[key] = self.locks[key] or sync.mutex()
  return self.locks[key]
end

---Forget the recordings of a request that were loaded, unless that was done already.
---@return table[] list of them
function tape:forget(request)
  local key = key_of(self, request)
  if self.renewed[key] then return {} end
  self.renewed[key] = true
  local old = self.keys[key] or {}
  self.keys[key], self.numbers[key] = nil, nil
  return old
end

-- How alike two requests are.
local function likeness(a, b)
  local n = 0
  for i = 1, math.min(#a.url, #b.url) do
    if a.url:byte(i) ~= b.url:byte(i) then break end
    n = i
  end
  if a.url == b.url then n = n + 1000 end
  return a.method == b.method and n + 0.5 or n
end

---Say what comes nearest to a request that nothing was recorded for; nil when nothing was recorded.
function tape:nearest(request)
  local best, most
  for _, recording in ipairs(self.list) do
    local n = likeness(request, recording.request)
    if not best or n > most then best, most = recording.request, n end
  end
  if not best then return nil end
  local text = best.method .. " " .. best.url
  if best.method ~= request.method or best.url ~= request.url then return text end
  if best.body ~= request.body then return text .. " with another body" end
  for _, name in ipairs(self.headers) do
    if best.headers[name] ~= request.headers[name] then
      return ("%s with another header %s"):format(text, name)
    end
  end
  return text
end

return tape

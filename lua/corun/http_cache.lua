-- SPDX-License-Identifier: MIT
-- Caches of responses: what is kept of a URL, for whom, and in which of two stores, memory
-- (http_cache_memory.lua) or a directory (http_cache_disk.lua). The rules of RFC 9111 are those of
-- http_cache_control.lua, when they apply is for http_session_cache.lua to say.
--
-- A store has entries by key and knows nothing of HTTP. The key of a request is what it names: URL
-- and credentials. Where a response has Vary, the entry of that key only says so, and has an epoch,
-- by which with the headers that Vary names the key of the response is found: when that entry is
-- forgotten, so are all that depend on it. Entries are never changed, only replaced:
--
--   {url=, status=, sent=, received=, decode=, block=, headers=, body=, vary=, epoch=}
--
-- `headers` is what `block` says; `decode` tells whether a content coding was undone; `epoch` is ""
-- but where the entry only says what Vary names. What a store fails with fails no request.
local corun = require "corun"
local codec = require "corun.codec"
local control = require "corun.http_cache_control"
local options = require "corun.options"

local caches = {}

local SPEC = {dir = "string", max = "count"}
local IN_MEMORY, ON_DISK = 64 << 20, 1 << 30 -- bytes, unless `max` says otherwise

local cache = {__name = "http cache"}
cache.__index = cache

local flight = {}

function flight.__close(f) f.cache.flights[f] = nil end

---Make a cache; see lua/meta/http_cache.lua.
function caches.new(o)
  o = options.check(o, "cache", SPEC)
  if o.dir == "" then options.misuse('option "dir" for cache must be a path, got ""') end
  local turn = corun.event()
  turn:set()
  local store
  if o.dir then
    store = require("corun.http_cache_disk").new(o.dir, o.max or ON_DISK)
  else
    store = require("corun.http_cache_memory").new(o.max or IN_MEMORY)
  end
  return setmetatable({
    store = store, dir = o.dir, now = os.time, -- which specs replace
    turn = turn, flights = {},
  }, cache)
end

---Say whether a value is a cache.
function caches.is_cache(v)
  return getmetatable(v) == cache
end

function cache:__tostring()
  return ("http cache %p (%s)"):format(self, self.dir or "in memory")
end

---Forget all that is kept; see lua/meta/http_cache.lua.
function cache:clear()
  options.self(self, cache, "clear")
  for f in pairs(self.flights) do f.is_current = false end
  return self.store:clear()
end

-- For http_session_cache.lua ----------------------------------------------------------------------

-- The first result; a failure of the store is kept for whoever asks.
local function noted(self, value, err)
  if err then self.err = err end
  return value
end

---Be ready for use: a checkpoint, which gives others a turn now and then. Nil and an error when the
---directory cannot be made.
function cache:open()
  self.turn:wait()
  return self.store:prepare()
end

local function variant_of(q, entry)
  return ("vary\n%s\n%s\n%s"):format(entry.epoch, q.key, control.vary_key(q, entry.vary))
end

---Find the entry for a request {method=, headers=, key=}.
function cache:find(q)
  local entry = noted(self, self.store:get(q.key))
  if entry and entry.epoch ~= "" then
    entry = noted(self, self.store:get(variant_of(q, entry)))
  end
  return entry
end

---Begin to ask the server for what a key names; to be closed. It is current until the key is
---forgotten: what was asked for before then may be what was there before.
function cache:begin(key)
  local f = setmetatable({cache = self, key = key, is_current = true}, flight)
  self.flights[f] = true
  return f
end

---Keep an entry for requests as this one.
function cache:keep(q, entry)
  local store = self.store
  if entry.vary == "" then return noted(self, store:put(q.key, entry)) end
  local known = noted(self, store:get(q.key))
  if not known or known.epoch == "" or known.vary ~= entry.vary then
    known = {url = entry.url, status = 0, sent = 0, received = 0, decode = false, block = "",
      headers = {}, body = "", vary = entry.vary, epoch = codec.uuid()}
    noted(self, store:put(q.key, known))
  end
  return noted(self, store:put(variant_of(q, known), entry))
end

---Forget what is kept by a key.
function cache:forget(key)
  for f in pairs(self.flights) do
    if f.key == key then f.is_current = false end
  end
  return noted(self, self.store:remove(key))
end

return caches

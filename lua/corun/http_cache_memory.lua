-- SPDX-License-Identifier: MIT
-- The store of http_cache.lua in memory. Owns its entries, in the order of their last use; when
-- they are more than `max` bytes those go that were not used for the longest. Never suspends.
local memory = {}
memory.__index = memory

local SHARE = 8 -- no entry is larger than this part of all
local OVERHEAD = 1024 -- bytes of the tables of an entry, about
local HEADERS = 3 -- how often header lines are there: as a block, and twice so large as a table

---Make a store.
---@param max integer bytes
function memory.new(max)
  local ring = {} -- ring.next was used last, ring.prev is the first to go
  ring.next, ring.prev = ring, ring
  return setmetatable({max = max, size = 0, nodes = {}, ring = ring}, memory)
end

local function unlink(node)
  node.prev.next, node.next.prev = node.next, node.prev
end

local function link(ring, node)
  node.prev, node.next = ring, ring.next
  ring.next.prev, ring.next = node, node
end

---Be ready for use.
function memory.prepare() return true end

---Find an entry.
function memory:get(key)
  local node = self.nodes[key]
  if not node then return nil end
  unlink(node)
  link(self.ring, node)
  return node.entry
end

---Forget an entry.
function memory:remove(key)
  local node = self.nodes[key]
  if not node then return true end
  unlink(node)
  self.nodes[key] = nil
  self.size = self.size - node.size
  return true
end

---Keep an entry, in place of the one that was there. What is too large is not kept.
function memory:put(key, entry)
  self:remove(key)
  local size = #key + #entry.url + #entry.body + HEADERS * #entry.block + OVERHEAD
  if size > self.max // SHARE then return true end
  local node = {key = key, entry = entry, size = size}
  self.nodes[key] = node
  self.size = self.size + size
  link(self.ring, node)
  while self.size > self.max do self:remove(self.ring.prev.key) end
  return true
end

---Forget all.
function memory:clear()
  self.nodes, self.size = {}, 0
  self.ring.next, self.ring.prev = self.ring, self.ring
  return true
end

return memory

-- SPDX-License-Identifier: MIT
-- The store of http_cache.lua in a directory: a file an entry, named by the hash of its key, which
-- several processes may use at once. A file is written under another name and renamed, so that it
-- is there whole or not at all. It is not brought to the disk (fsync): what a power cut has spoilt
-- does not match its own hash, and is removed when it is found. Owns no descriptor; suspends.
local corun = require "corun"
local codec = require "corun.codec"
local fs = require "corun.fs"
local message = require "corun.http_message"

local disk = {}
disk.__index = disk

local SHARE = 8 -- no entry is larger than this part of all
local MAGIC = "corun cache 1\n"
local DIGEST = 32 -- bytes of a SHA-256
local FORMAT = "<s4i2bdds4s4s4" -- url, status, decode, sent, received, vary, epoch, block
local NAME, TEMPORARY = "^%x+%.cache$", "^%x+%.cache%.%x+$"
local ABANDONED = 3600 -- seconds after which nobody writes a temporary file any more

---Make a store.
---@param dir string made when it is first used
---@param max integer bytes
function disk.new(dir, max)
  local quantum = max // SHARE
  return setmetatable({
    dir = dir, max = max, quantum = quantum, ready = false, sweeping = false,
    -- Bytes since the last sweep. Of many short processes each sweeps as likely as it has written.
    written = math.random(0, quantum),
  }, disk)
end

---Make the directory, if it is not there.
function disk:prepare()
  if self.ready then return true end
  local ok, err = fs.mkdir(self.dir, {parents = true, mode = "700"})
  if not ok then return nil, err end
  self.ready = true
  return true
end

-- Files -------------------------------------------------------------------------------------------

local function name_of(key)
  return codec.hash("sha256"):update(key):hex() .. ".cache"
end

local function path_of(self, name)
  return self.dir .. "/" .. name
end

-- The name is a part of it, so that no file stands in for another. Large bodies are hashed on a
-- thread; nil and an error where there is none.
local function digest(name, head, body)
  local hash, err = codec.hash("sha256"):update(name):update(head):update(body)
  if not hash then return nil, err end
  return hash:bytes()
end

local function encode(name, e)
  local head = FORMAT:pack(e.url, e.status, e.decode and 1 or 0, e.sent, e.received, e.vary,
    e.epoch, e.block)
  local sum, err = digest(name, head, e.body)
  if not sum then return nil, err end
  return MAGIC .. sum .. head .. e.body
end

-- The entry of a file; false when it is none, or nil and an error when that could not be found out.
local function decode(name, data)
  local from = #MAGIC + DIGEST + 1
  local ok, url, status, decoded, sent, received, vary, epoch, block, at =
    pcall(string.unpack, FORMAT, data, from)
  if not ok or data:sub(1, #MAGIC) ~= MAGIC then return false end
  local body = data:sub(at)
  local sum, err = digest(name, data:sub(from, at - 1), body)
  if not sum then return nil, err end
  if sum ~= data:sub(#MAGIC + 1, from - 1) then return false end
  return {
    url = url, status = status, decode = decoded == 1, sent = sent, received = received,
    vary = vary, epoch = epoch, block = block, headers = message.headers(block), body = body,
  }
end

local function remove(path)
  local ok, err = fs.remove(path)
  if not ok and err.code ~= "ENOENT" then return nil, err end
  return true
end

-- The limit ---------------------------------------------------------------------------------------

-- What is there of the store: a list of files and their size together. What other processes have
-- left half written is removed.
local function survey(self)
  local names, err = fs.list(self.dir)
  if not names then return nil, err end
  local files, total = {}, 0
  for _, name in ipairs(names) do
    local path = path_of(self, name)
    local st = (name:find(NAME) or name:find(TEMPORARY)) and fs.stat(path, {follow = false})
    if st and name:find(NAME) then
      -- Systems note a use about once a day, and none where files are mounted with noatime.
      files[#files + 1] = {path = path, size = st.size, used = math.max(st.atime, st.mtime)}
      total = total + st.size
    elseif st and os.time() - st.mtime > ABANDONED then
      remove(path)
    end
  end
  return files, total
end

local sweep_mt = {__close = function(guard) guard.store.sweeping = false end}

-- Make room for what is written until the next sweep: remove what was not used for the longest.
local function sweep(self)
  self.sweeping = true
  local _ <close> = setmetatable({store = self}, sweep_mt)
  local files, total = survey(self)
  if not files then return nil, total end
  table.sort(files, function(a, b) return a.used < b.used end)
  for _, file in ipairs(files) do
    if total <= self.max - self.quantum then break end
    local ok, err = remove(file.path)
    if not ok then return nil, err end
    total = total - file.size
  end
  self.written = 0
  return true
end

-- Write a file under another name and rename it; whatever ends this, nothing else is left.
local function replace(path, data)
  local temporary, renamed = ("%s.%s"):format(path, codec.hex.encode(codec.random(8))), nil
  local _ <close> = corun.defer(function()
    if not renamed then fs.remove(temporary) end
  end)
  local ok, err = fs.write(temporary, data, {mode = "600"})
  if not ok then return nil, err end
  renamed, err = fs.rename(temporary, path)
  return renamed, err
end

-- Entries -----------------------------------------------------------------------------------------

---Find an entry. A file that is damaged is removed.
function disk:get(key)
  local name = name_of(key)
  local path = path_of(self, name)
  local data, err = fs.read(path, {max = self.quantum})
  if err and err.code == "ENOENT" then return nil end
  if err and err.code ~= "EMSGSIZE" then return nil, err end
  local entry = false
  if data then entry, err = decode(name, data) end
  if entry == false then return nil, select(2, remove(path)) end
  return entry, err
end

---Keep an entry, in place of the one that was there. What is too large is not kept.
function disk:put(key, entry)
  local name = name_of(key)
  local path = path_of(self, name)
  local data, err = encode(name, entry)
  if not data then return nil, err end
  if #data > self.quantum then return remove(path) end
  local ok
  if self.written + #data > self.quantum and not self.sweeping then
    ok, err = sweep(self)
    if not ok then return nil, err end
  end
  self.written = self.written + #data
  ok, err = replace(path, data)
  if err and err.code == "ENOENT" then self.ready = false end -- somebody has removed the directory
  return ok, err
end

---Forget an entry.
function disk:remove(key)
  return remove(path_of(self, name_of(key)))
end

---Forget all; other files in the directory stay.
function disk:clear()
  local files, err = survey(self)
  if not files then
    if err.code == "ENOENT" then return true end
    return nil, err
  end
  for _, file in ipairs(files) do
    local ok
    ok, err = remove(file.path)
    if not ok then return nil, err end
  end
  return true
end

return disk

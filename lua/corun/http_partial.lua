-- SPDX-License-Identifier: MIT
-- The file that a download goes to until it is whole: beside its target, with a note of which
-- version of what it holds and of which ranges are missing. Owns both, and holds the file open.
-- Invariants: the target is touched by one rename; what the note does not call missing is in the
-- file, and of its version; a file that another program has put in this one's place is left alone.
-- It is told by its inode, which is nobody else's as long as the file is open. `noted`: there is a
-- note that is true. Not all that was written outlives a power cut, so a note has two lists: what
-- is missing as long as the system runs (`boot`), and what was missing when the file was last
-- brought to the disk (`unsynced`), which is what counts afterwards.
local core = require "corun.httpcore"
local fs = require "corun.fs"
local json = require "corun.json"
local task = require "corun.task"

local MOST_NOTE = 1 << 20
local MOST_LINKS = 40 -- one after the other, as Linux follows (path_resolution(7))
local VERSION = 2
local BOOT = "/proc/sys/kernel/random/boot_id"

local partial = {}
partial.__index = partial

local function failure(self, code, message)
  return nil, task.err(code, message, {op = "download", target = self.target})
end

-- The name that symbolic links lead to where there is nothing. nil and an error when they were
-- changed to a loop meanwhile.
local function last_name(path)
  local at = path
  for _ = 0, MOST_LINKS do
    local to = fs.readlink(at)
    if not to then return at end
    at = to:find("^/") and to or at:match("^(.-)[^/]*$") .. to
  end
  return failure({target = path}, "ELOOP", "too many symbolic links")
end

-- Where a path leads, and what is there (nil: nothing); nil and an error. The system is asked
-- first: there are links that it does not follow (proc(5), protected_symlinks).
local function follow(path)
  local st, err = fs.stat(path, {follow = false})
  local is_link = st and st.kind == "link"
  if is_link then st, err = fs.stat(path) end
  if not st and err.code ~= "ENOENT" then return nil, err end
  if not is_link then return path, st end
  if not st then return last_name(path) end
  path, err = fs.realpath(path)
  return path, path and st or err
end

---Find out where a download to `path` goes; nil and an error where there can be no file.
---@param path string
---@param mode string|integer? of the target (default: what it has)
function partial.of(path, mode)
  local self = setmetatable({mode = mode}, partial)
  local st
  self.target, st = follow(path)
  if not self.target then return nil, st end
  if not st then
    local folder = self.target:match("^.*/") or "."
    local is_there, why = fs.exists(folder)
    if is_there == nil then return nil, why end
    if not is_there then return failure(self, "ENOENT", "there is no folder " .. folder) end
  elseif st.kind ~= "file" then
    return failure(self, st.kind == "directory" and "EISDIR" or "EINVAL",
      "there is something else than a file: " .. st.kind)
  end
  self.mode = mode or st and st.mode
  self.path, self.note = self.target .. ".part", self.target .. ".part.json"
  self.draft = self.note .. ".new"
  return self
end

-- Remove what there is, whose ever it is.
local function drop(self)
  fs.remove(self.draft)
  fs.remove(self.note)
  fs.remove(self.path)
end

local function taken(self)
  return failure(self, "EBUSY",
    "another download to the same file took over, or its partial file was removed")
end

-- What an error means once the file was there.
local function lost(self, err)
  if err.code == "ENOENT" then return taken(self) end
  return nil, err
end

-- The note ----------------------------------------------------------------------------------------

local function is_count(n)
  return math.type(n) == "integer" and n >= 0
end

local function is_list(value)
  if type(value) ~= "table" then return false end
  local n = 0
  for _ in pairs(value) do n = n + 1 end
  return n == #value
end

-- Whether these are ranges in order of a file of `length` bytes. Only the last, and only where the
-- length is not known, may be without an end.
local function are_ranges(list, length)
  if not is_list(list) then return false end
  local at = 0
  for i, r in ipairs(list) do
    if type(r) ~= "table" or not is_count(r.from) or r.from < at then return false end
    if r.to == nil then return length == nil and i == #list end
    if not is_count(r.to) or r.to < r.from or not length or r.to >= length then return false end
    at = r.to + 1
  end
  return length ~= nil
end

-- How long the file must be for what the note says that it holds.
local function least_size(note)
  local last = note.missing[#note.missing]
  if last and (last.to == nil or last.to == note.length - 1) then return last.from end
  return note.length
end

-- What tells this run of the system from others; nil where the system does not say.
local function boot_id(self)
  self.boot = self.boot or fs.read(BOOT)
  return self.boot
end

local function is_note(note, name)
  if type(note) ~= "table" or note.version ~= VERSION or note.name ~= name then return false end
  if note.length ~= nil and not is_count(note.length) then return false end
  local validator = note.etag or note.modified
  return type(validator) == "string" and core.is_value(validator)
    and (note.coding == nil or type(note.coding) == "string")
    and are_ranges(note.missing, note.length)
end

-- What is missing of the file now, by a note, as ranges of their own; nil if nothing says so.
local function still_missing(self, note)
  if note.boot and note.boot == boot_id(self) then return note.missing end
  if not are_ranges(note.unsynced, note.length) then return nil end
  local list = {}
  for i, r in ipairs(note.unsynced) do list[i] = {from = r.from, to = r.to} end
  return list
end

---What an earlier download by this name has left: a table of etag or modified, coding, length (nil:
---not known), missing and unsynced, lists of ranges {from=, to=}; nil when there is nothing to go
---on with.
function partial:load(name)
  local text = fs.read(self.note, {max = MOST_NOTE})
  local note = text and json.decode(text, {null = false})
  if not is_note(note, name) then return nil end
  note.missing = still_missing(self, note)
  if not note.missing then return nil end
  self.ino, self.dev = note.ino, note.dev
  local st = self:find()
  if not st or st.size < least_size(note) then return nil end
  self.file = self:open()
  self.noted = self.file ~= nil
  return self.file and note
end

---Write the note. It need not be brought to the disk: one that a power cut leaves broken is none.
---Its draft has a name that is the same each time, so that who is killed leaves nothing that is
---never removed.
---@param version table name, etag, modified, coding, length, unsynced (nil: all)
---@param missing table[]
function partial:save(version, missing)
  local ok, err = self:find()
  if not ok then return nil, err end
  local unsynced = version.unsynced
  ok, err = fs.write(self.draft, json.encode({
    version = VERSION, name = version.name, etag = version.etag, modified = version.modified,
    coding = version.coding, length = version.length, ino = self.ino, dev = self.dev,
    boot = boot_id(self), missing = json.array(missing),
    unsynced = unsynced and json.array(unsynced),
  }), {mode = "600"})
  if ok then ok, err = fs.rename(self.draft, self.note) end
  if not ok then fs.remove(self.draft) end
  self.noted = self.noted or ok
  return ok, err
end

-- The file ----------------------------------------------------------------------------------------

---Begin with an empty file.
function partial:create()
  self:close()
  drop(self)
  self.noted = false
  local st, err
  self.file, err = fs.open(self.path, "wx", {mode = self.mode})
  if not self.file and err.code == "EEXIST" then return taken(self) end
  if not self.file then return nil, err end
  st, err = self.file:stat()
  if not st then return nil, err end
  self.ino, self.dev = st.ino, st.dev
  return true
end

---What is known of the file; nil and an error if it is gone, or another is in its place.
function partial:find()
  local st, err = fs.stat(self.path, {follow = false})
  if not st then return lost(self, err) end
  if st.kind == "file" and st.ino == self.ino and st.dev == self.dev then return st end
  return taken(self)
end

local function open(self)
  local file, err = fs.open(self.path, "r+")
  if not file then return lost(self, err) end
  local st
  st, err = file:stat()
  if st and st.ino == self.ino and st.dev == self.dev then
    file:setvbuf("no")
    return file
  end
  file:close()
  if not st then return nil, err end
  return taken(self)
end

---Open the file to write into it. A cancellation comes before or after: between the two, what was
---opened would be lost.
function partial:open()
  return task.shield(open, self)
end

---Bring what was written to the disk.
function partial:sync()
  return self.file:sync()
end

---Remove it, unless another download has put its own in this one's place.
function partial:discard()
  if self:find() then drop(self) end
end

-- Whether the file has the target's name, although an error came: this download gave it that,
-- unless another went on with the same file.
local function is_placed(self, err)
  local st = err.code ~= "ENOENT" and fs.stat(self.target)
  return st and st.ino == self.ino and st.dev == self.dev
end

-- Cancelled between the two it would leave a note of nothing.
local function place(self, is_synced)
  local ok, err = fs.rename(self.path, self.target, {fsync = is_synced})
  if not ok and not is_placed(self, err) then return lost(self, err) end
  fs.remove(self.note)
  fs.remove(self.draft)
  self.noted = false
  if ok then return true end
  return failure(self, err.code, "the file is saved, but its name may not outlive a power cut")
end

---Put the file, which is whole, in the target's place. It is there too after the error that its
---name could not be brought to the disk.
---@param length integer
---@param is_synced boolean? wait until both the file and its name are on the disk
function partial:commit(length, is_synced)
  local ok, err = true, nil
  if is_synced then ok, err = self:sync() end
  if not ok then return nil, err end
  local st
  st, err = self:find()
  if not st then return nil, err end
  if st.size ~= length then
    return failure(self, "EIO", ("the file has %d bytes, not %d"):format(st.size, length))
  end
  if self.mode then ok, err = fs.chmod(self.path, self.mode) end
  if not ok then return lost(self, err) end
  return task.shield(place, self, is_synced)
end

---Close the file; it and its note stay. A second call does nothing.
function partial:close()
  local file = self.file
  self.file = nil
  if file then file:close() end
end
partial.__close = partial.close

return partial

-- SPDX-License-Identifier: MIT
-- corun.fs.watch: what changes in a directory, or a file. The system's events are gathered in C
-- (corun.fscore.watch); here they get their paths, bursts are merged, and directories that appear
-- in a tree are watched too. A file is watched through its directory, so that one that is replaced
-- is still seen, and a link through those of all that it leads to. Embedded, loaded at first use.
local corun = require "corun"
local core = require "corun.fscore"
local options = require "corun.options"

local WATCH = {recursive = "boolean", delay = "duration"}
local DELAY = 0.05
local MOST_LINKS = 40

local methods = {}
local watch_mt = {__index = methods, __name = "watch"}

local function join(dir, name)
  return dir:sub(-1) == "/" and dir .. name or dir .. "/" .. name
end

-- Remember that something is to be told of `path`; once for each path.
local function tell(self, path, kind, err)
  local known = self.told[path]
  if known then
    if kind == "rename" then known.kind = kind end
    return
  end
  local event = {path = path, kind = kind, err = err}
  self.told[path] = event
  self.last = self.last + 1
  self.events[self.last] = event
end

local function forget(self, path)
  local id = self.ids[path]
  if not id then return end
  self.handle:remove(id)
  self.ids[path], self.paths[id] = nil, nil
end

local function add(self, path)
  local id, err = self.handle:add(path, self.recursive)
  if not id then return nil, err end
  self.ids[path], self.paths[id] = id, path
  return id
end

-- The directory of a path, and the name in there.
local function split(path)
  local dir, name = path:match("^(.*)/([^/]*)$")
  if not dir then return ".", path end
  return dir == "" and "/" or dir, name
end

-- Watch a file through its directory; where it is a link, what that leads to through its own.
-- `self.only` has the names that count, by directory.
local function add_file(self)
  local path, only = self.path, {}
  for _ = 1, MOST_LINKS do
    local dir, name = split(path)
    only[dir] = only[dir] or {}
    only[dir][name] = true
    if not self.ids[dir] then
      local id, err = add(self, dir)
      if not id then return nil, err end
    end
    local target = core.readlink(path)
    if not target then break end
    path = target:sub(1, 1) == "/" and target or join(dir, target)
  end
  for dir in pairs(self.ids) do
    if not only[dir] then forget(self, dir) end
  end
  self.only = only
  return true
end

-- Something happened to a name in a directory of the file. A link may lead elsewhere now.
local function translate_file(self, dir, name, renamed)
  local names = self.only[dir]
  if not (names and names[name]) then return end
  tell(self, self.path, renamed and "rename" or "change")
  if not renamed then return end
  local ok, err = add_file(self)
  if ok or err.code == "ENOENT" or err.code == "ENOTDIR" then return end
  local event = self.told[self.path]
  event.kind, event.err = "overflow", err
end

-- Watch what is below `path`, which is new: what was made before that is told of.
local function add_tree(self, path, is_new)
  forget(self, path)
  local id, err = add(self, path)
  if not id then
    if err.code ~= "ENOENT" and err.code ~= "ENOTDIR" then tell(self, path, "overflow", err) end
    return nil, err
  end
  local names, kinds = core.list(path)
  for i = 1, names and #names or 0 do
    local below = join(path, names[i])
    if is_new then tell(self, below, "rename") end
    if kinds[i] == "directory" then add_tree(self, below, is_new) end
  end
  return id
end

-- Forget the directories at and below `path`, which is gone.
local function forget_tree(self, path)
  forget(self, path)
  local prefix = join(path, "")
  for below in pairs(self.ids) do
    if below:sub(1, #prefix) == prefix then forget(self, below) end
  end
end

-- The events of a directory itself bear its own name, as would those of a file in it.
local function is_itself(dir, name)
  return name == dir:match("([^/]*)/*$") and not core.stat(join(dir, name), false)
    and not core.stat(dir, false)
end

local function translate(self, dir, name, renamed)
  local path = join(dir, name)
  if self.only then return translate_file(self, dir, name, renamed) end
  if renamed and is_itself(dir, name) then
    if dir == self.path then self.gone = true end
    forget_tree(self, dir)
    return tell(self, dir, "rename")
  end
  tell(self, path, renamed and "rename" or "change")
  if not self.recursive or not renamed or self.whole then return end
  local st = core.stat(path, false)
  if st and st.kind == "directory" then
    add_tree(self, path, true)
  elseif not st and self.ids[path] then
    forget_tree(self, path)
  end
end

-- Turn what the system told into events. Nothing is lost if it is cancelled in the middle.
local function digest(self)
  local raw = self.raw
  while self.at < #raw do
    local at = self.at
    local dir = self.paths[raw[at + 1]]
    if dir then translate(self, dir, raw[at + 2], raw[at + 3]) end
    self.at = at + 3
  end
  if self.lost then tell(self, self.path, "overflow") end
  self.raw, self.at, self.lost = {}, 0, false
end

local function next_event(self)
  if self.first > self.last then return nil end
  local event = self.events[self.first]
  self.events[self.first] = nil
  self.first = self.first + 1
  self.told[event.path] = nil
  return event
end

---Wait for the next event.
function methods:recv()
  options.self(self, watch_mt, "recv")
  while true do
    local event = not self.closed and next_event(self)
    if event then return event end
    if self.closed or self.gone then return nil end
    if #self.raw == 0 then
      if not self.handle:wait() then return nil end
      if self.delay > 0 then corun.sleep(self.delay) end
      self.raw, self.lost = self.handle:take()
    end
    digest(self)
  end
end

function watch_mt:__call()
  return self:recv()
end

---Stop watching.
function methods:close()
  options.self(self, watch_mt, "close")
  self.closed = true
  self.handle:close()
end

function watch_mt:__close()
  self:close()
end

function watch_mt:__tostring()
  return ("watch (%s, %s)"):format(self.path, self.closed and "closed" or "open")
end

local function start(self, kind)
  local path = self.path
  if kind ~= "directory" then
    self.recursive = false
    return add_file(self)
  end
  self.whole = self.recursive and core.watches_trees
  if self.recursive and not self.whole then
    local id, err = add_tree(self, path, false)
    for i = self.first, id and self.last or 0 do -- one below could not
      local why = self.events[i].err
      if why.code ~= "EACCES" then return nil, why end
    end
    return id, err
  end
  return add(self, path)
end

---Watch a file or a directory.
return function(path, o)
  path = options.path(path, "watch")
  o = options.check(o, "watch", WATCH, 3)
  local st, err = core.stat(path, true)
  if not st then
    err.op = "watch"
    return nil, err
  end
  local self = setmetatable({
    path = path, recursive = o.recursive or false, delay = o.delay or DELAY,
    handle = core.watch(), ids = {}, paths = {},
    raw = {}, at = 0, lost = false,
    events = {}, first = 1, last = 0, told = {},
  }, watch_mt)
  local done, id
  done, id, err = pcall(start, self, st.kind)
  if done and id then return self, nil, nil, self end
  self:close()
  if not done then error(id, 0) end -- it was cancelled
  return nil, err
end

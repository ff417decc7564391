-- SPDX-License-Identifier: MIT
-- Walking through trees of files, for corun.fs: walk, glob, copying a tree. Owns nothing: a walk
-- holds lists of names, no descriptors, so that it can be left at any time. Embedded.
local corun = require "corun"
local core = require "corun.fscore"
local options = require "corun.options"

local list, stat = core.list, core.stat

local walking = {}

local WALK = {depth = "count", filter = "function", follow = "boolean"}
local GLOB = {hidden = "boolean"}
local COPIES = 4 -- at once: libuv has four threads
local STEP = 250 -- names that are looked at before the loop has its turn; a yield is only for tasks

local function join(dir, name)
  if dir == "" or dir:sub(-1) == "/" then return dir .. name end
  return dir .. "/" .. name
end

-- Whether a directory is there, behind a link too.
local function is_folder(path)
  local st = stat(path, true)
  return st and st.kind == "directory"
end

-- Walk ------------------------------------------------------------------------------------------

local function identity(st)
  return st and ("%d:%d"):format(st.dev, st.ino)
end

-- A directory on the way down.
local function enter(stack, path, id)
  local names, kinds = list(path)
  if not names then return kinds end -- the error
  stack[#stack + 1] = {path = path, names = names, kinds = kinds, i = 0, id = id}
end

local function is_above(stack, id)
  for i = 1, #stack do
    if stack[i].id == id then return true end
  end
  return false
end

---Walk through what is below `root`, depth first.
function walking.walk(root, o)
  o = options.check(o, "walk", WALK, 3)
  if type(root) ~= "string" then
    options.misuse(("walk takes a path, got %s"):format(type(root)), 3)
  end
  local depth, filter, follow = o.depth or math.huge, o.filter, o.follow
  local stack, begun, count = {}, false, 0

  -- The kind to go by, and the identity of a directory where links are followed.
  local function look(path, kind)
    if not follow or kind ~= "link" and kind ~= "directory" then return kind end
    local st = stat(path, true)
    if not st or st.kind ~= "directory" then return kind end
    return "directory", identity(st)
  end

  return function()
    if not begun then
      begun = true
      local err = enter(stack, root, follow and identity(stat(root, true)))
      if err then error(err, 0) end
    end
    while #stack > 0 do
      local top = stack[#stack]
      local i = top.i + 1
      top.i = i
      count = count + 1
      if count % STEP == 0 then corun.sleep(0) end
      local name = top.names[i]
      if name == nil then
        stack[#stack] = nil
      else
        local path = join(top.path, name)
        local kind, id = look(path, top.kinds[i])
        if not filter or filter(path, kind) then
          local err
          if kind == "directory" and #stack < depth and not (id and is_above(stack, id)) then
            err = enter(stack, path, id)
          end
          return path, kind, err
        end
      end
    end
  end
end

-- Patterns --------------------------------------------------------------------------------------

-- The characters of a text: of UTF-8, or bytes where it is none.
local function characters(text)
  local units, i = {}, 1
  while i <= #text do
    local n = utf8.len(text, i, i) and utf8.offset(text, 2, i) - i or 1
    units[#units + 1] = text:sub(i, i + n - 1)
    i = i + n
  end
  return units
end

local function code(unit)
  return utf8.len(unit) and utf8.codepoint(unit) or 0x110000 + unit:byte()
end

-- "[a-z]" from its characters, of which the first is at `i`; nil when it is not closed.
local function read_set(units, i)
  local set, negated = {}, false
  if units[i] == "!" or units[i] == "^" then negated, i = true, i + 1 end
  local first = i
  while units[i] and (units[i] ~= "]" or i == first) do
    if units[i] == "\\" and units[i + 1] then i = i + 1 end
    local low = units[i]
    local high = low
    if units[i + 1] == "-" and units[i + 2] and units[i + 2] ~= "]" then
      high = units[i + 2]
      i = i + 2
    end
    set[#set + 1] = {code(low), code(high)}
    i = i + 1
  end
  if not units[i] then return nil end
  return function(unit)
    local c = code(unit)
    for j = 1, #set do
      if c >= set[j][1] and c <= set[j][2] then return not negated end
    end
    return negated
  end, i
end

-- A segment of a pattern as a list: "*", a character, or a function; the plain text if it is one.
local function compile(segment)
  local units, tokens, is_plain, i = characters(segment), {}, true, 1
  local plain = {}
  while units[i] do
    local unit, token = units[i], nil
    if unit == "*" then
      token = true
    elseif unit == "?" then
      token = function() return true end
    elseif unit == "[" then
      local set, last = read_set(units, i + 1)
      if set then token, i = set, last end
    elseif unit == "\\" and units[i + 1] then
      i = i + 1
      unit = units[i]
    end
    if token then is_plain = false end
    tokens[#tokens + 1] = token or unit
    plain[#plain + 1] = unit
    i = i + 1
  end
  return {tokens = tokens, plain = is_plain and table.concat(plain) or nil,
    dotted = tokens[1] == "."}
end

-- Match by going back to the last star alone: the time is bounded by the product of the lengths.
local function matches(tokens, name)
  local units = characters(name)
  local t, u, star, mark = 1, 1, nil, nil
  while u <= #units do
    local token = tokens[t]
    if token == true then
      star, mark, t = t, u, t + 1
    elseif token == units[u] or type(token) == "function" and token(units[u]) then
      t, u = t + 1, u + 1
    elseif star then
      t, mark = star + 1, mark + 1
      u = mark
    else
      return false
    end
  end
  while tokens[t] == true do t = t + 1 end
  return tokens[t] == nil
end

-- The alternatives between the brace at `open` and its partner; nil when it has none.
local function split_braces(pattern, open)
  local depth, parts, from, i = 0, {}, open + 1, open
  while i <= #pattern do
    local c = pattern:sub(i, i)
    if c == "\\" then
      i = i + 1
    elseif c == "{" then
      depth = depth + 1
    elseif c == "," and depth == 1 then
      parts[#parts + 1] = pattern:sub(from, i - 1)
      from = i + 1
    elseif c == "}" then
      depth = depth - 1
      if depth == 0 then
        parts[#parts + 1] = pattern:sub(from, i - 1)
        return parts, i
      end
    end
    i = i + 1
  end
end

local MOST_PATTERNS = 10000

-- All patterns without braces that `pattern` stands for.
local function expand(pattern, out)
  local i = 1
  while i <= #pattern do
    local c = pattern:sub(i, i)
    if c == "\\" then
      i = i + 1
    elseif c == "{" then
      local parts, close = split_braces(pattern, i)
      if parts and #parts > 1 then
        for _, part in ipairs(parts) do
          expand(pattern:sub(1, i - 1) .. part .. pattern:sub(close + 1), out)
        end
        return out
      end
    end
    i = i + 1
  end
  if #out >= MOST_PATTERNS then
    options.misuse("the braces of the pattern stand for too many", 5)
  end
  out[#out + 1] = pattern
  return out
end

-- Glob ------------------------------------------------------------------------------------------

-- What a shell passes over in silence.
local PASSED = {ENOENT = true, ENOTDIR = true, EACCES = true, EPERM = true, ELOOP = true}

local search = {}
search.__index = search

local function fail_unless_passed(err)
  if not PASSED[err.code] then error(err, 0) end
end

function search:names(dir)
  local known = self.lists[dir] -- "**" asks twice
  if known then return known[1], known[2] end
  local names, kinds = list(dir == "" and "." or dir)
  if not names then
    fail_unless_passed(kinds)
    names, kinds = {}, {}
  end
  self.lists[dir] = {names, kinds}
  return names, kinds
end

function search:rest()
  self.count = self.count + 1
  if self.count % STEP == 0 then corun.sleep(0) end
end

function search:add(path)
  if self.seen[path] then return end
  self.seen[path] = true
  self.found[#self.found + 1] = path
end

function search:is_shown(name, segment)
  return self.hidden or segment.dotted or name:byte() ~= 46
end

-- Any depth: here, and below each directory that is no link.
function search:deep(dir, segments, i)
  self:go(dir, segments, i + 1)
  local names, kinds = self:names(dir)
  for k = 1, #names do
    self:rest()
    if kinds[k] == "directory" and self:is_shown(names[k], segments[i]) then
      local path = join(dir, names[k])
      if i == #segments then self:add(path) end
      self:deep(path, segments, i)
    elseif i == #segments and self:is_shown(names[k], segments[i]) then
      self:add(join(dir, names[k]))
    end
  end
  self.lists[dir] = nil
end

function search:go(dir, segments, i)
  local segment = segments[i]
  if not segment then return end
  local is_last = i == #segments
  if segment.deep then return self:deep(dir, segments, i) end
  if segment.plain == "" then return self:add(join(dir, "")) end -- a slash at the end
  if segment.plain then
    local path = join(dir, segment.plain)
    if not is_last and segments[i + 1].plain ~= "" then return self:go(path, segments, i + 1) end
    local st, err = stat(path, not is_last)
    if not st then return fail_unless_passed(err) end
    if is_last then return self:add(path) end
    if st.kind == "directory" then self:go(path, segments, i + 1) end
    return
  end
  local names, kinds = self:names(dir)
  for k = 1, #names do
    self:rest()
    local name = names[k]
    if self:is_shown(name, segment) and matches(segment.tokens, name) then
      local path = join(dir, name)
      local kind = kinds[k]
      if is_last then
        self:add(path)
      elseif kind == "directory" or kind == "link" and is_folder(path) then
        self:go(path, segments, i + 1)
      end
    end
  end
  if dir ~= self.top then self.lists[dir] = nil end
end

local function segments_of(pattern)
  local segments = {}
  local root = pattern:match("^/*")
  for text in (pattern:sub(#root + 1)):gmatch("([^/]*)/*") do
    if text == "**" then
      if not (segments[#segments] or {}).deep then segments[#segments + 1] = {deep = true} end
    elseif text ~= "" then
      segments[#segments + 1] = compile(text)
    end
  end
  if pattern:sub(-1) == "/" and #segments > 0 then segments[#segments + 1] = {plain = ""} end
  return root ~= "" and "/" or "", segments
end

---The paths that a pattern stands for.
function walking.glob(pattern, o)
  o = options.check(o, "glob", GLOB, 3)
  if type(pattern) ~= "string" then
    options.misuse(("glob takes a pattern, got %s"):format(type(pattern)), 3)
  end
  if pattern:find("\0", 1, true) then
    options.misuse("a pattern must not contain a zero byte", 3)
  end
  local s = setmetatable({hidden = o.hidden, lists = {}, seen = {}, found = {}, count = 0}, search)
  local patterns = expand(pattern, {})
  return corun.try(function()
    for _, one in ipairs(patterns) do
      local root, segments = segments_of(one)
      if #segments == 0 and root ~= "" then s:add(root) end
      s:go(root, segments, 1)
    end
    return s.found
  end)
end

-- Copying a tree --------------------------------------------------------------------------------

-- Whether `to` is `from`, or lies in it: the copy would never end.
local function is_inside(from, to)
  local real = core.realpath(from)
  local parent = core.realpath(to) or core.realpath(to:match("^(.*)/[^/]+/*$") or ".")
  return real and parent and (parent == real or parent:sub(1, #real + 1) == join(real, ""))
end

local function copy_link(from, to, overwrite)
  local target, err = core.readlink(from)
  if not target then return nil, err end
  local ok
  ok, err = core.symlink(target, to)
  if ok or not overwrite or err.code ~= "EEXIST" then return ok, err end
  ok, err = core.remove(to)
  if not ok then return nil, err end
  return core.symlink(target, to)
end

local function fail_with(op, path, message)
  return nil, corun.err("EINVAL", message, {op = op, target = path})
end

-- One entry; directories are made writable, and get their modes at the end.
local function copy_entry(from, to, kind, overwrite)
  if kind == "file" then return core.copy(from, to, not overwrite) end
  if kind == "link" then return copy_link(from, to, overwrite) end
  return fail_with("copy", from, "neither file, directory nor link: a " .. kind)
end

local function copy_folder(from, to, modes)
  local st, err = stat(from, true)
  if not st then return nil, err end
  local ok
  ok, err = core.mkdir(to, false, st.mode | 448) -- 0700
  if not ok and not (err.code == "EEXIST" and is_folder(to)) then return nil, err end
  modes[#modes + 1] = {to, st.mode}
  return true
end

local function copy_all(from, to, overwrite, modes)
  corun.scope(function(s)
    for path, kind, err in walking.walk(from) do
      if err then error(err, 0) end
      local target = join(to, path:sub(#join(from, "") + 1))
      if kind == "directory" then
        assert(copy_folder(path, target, modes))
      else
        s:spawn(copy_entry, path, target, kind, overwrite)
      end
    end
  end, {limit = COPIES})
end

---Copy a file, a link, or a directory with all that is in it.
function walking.copy(from, to, overwrite)
  local st, err = stat(from, false)
  if not st then return nil, err end
  if st.kind ~= "directory" then return copy_entry(from, to, st.kind, overwrite) end
  if is_inside(from, to) then return fail_with("copy", from, "it cannot be copied into itself") end
  local modes = {}
  local ok
  ok, err = copy_folder(from, to, modes)
  if not ok then return nil, err end
  ok, err = corun.try(copy_all, from, to, overwrite, modes)
  if not ok then return nil, err end
  for i = #modes, 1, -1 do
    ok, err = core.chmod(modes[i][1], modes[i][2])
    if not ok then return nil, err end
  end
  return true
end

return walking

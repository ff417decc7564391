-- SPDX-License-Identifier: MIT
-- Names and passwords of hosts in ~/.netrc, as ftp, curl and Python read it:
--
--   machine api.example.com login me password "with \"quotes\""   # a comment
--   default login anonymous password me@example.com
--
-- A word is divided from the next by blanks and line ends, or stands in double quotes; a backslash
-- takes what follows as it is. Where a keyword is expected, # begins a comment. Of several entries
-- of a host the first counts, and `default`, wherever it stands, is for all others. Macros of ftp
-- are skipped. Who else may read the file is not looked at, as curl does not. A file with a mistake
-- is refused whole, by its line alone: words of it may be secret. Owns nothing; suspends to read.
local make_err = require("corun.task").err
local options = require "corun.options"

local netrc = {}

local LONGEST = 1 << 20 -- bytes of a file
local FIELD = {login = "login", user = "login", account = "account", password = "password"}

local entries = {__name = "netrc"}
entries.__index = entries

-- Words -----------------------------------------------------------------------------------------

local scanner = {}
scanner.__index = scanner

local function fail(self, why)
  local _, line = self.text:sub(1, self.at - 1):gsub("\n", "")
  error({why = ("line %d: %s"):format(line + 1, why)}, 0)
end

-- The word that stands next, nil at the end. `skips`: comments may stand before it.
local function next_word(self, skips)
  local text = self.text
  self.at = text:find("[^ \t\r\n]", self.at)
  while self.at and skips and text:byte(self.at) == 35 do
    local eol = text:find("\n", self.at, true)
    self.at = eol and text:find("[^ \t\r\n]", eol)
  end
  if not self.at then
    self.at = #text + 1
    return nil
  end
  local is_quoted = text:byte(self.at) == 34
  local stops = is_quoted and '["\\\n]' or "[ \t\r\n\\]"
  local from, parts = is_quoted and self.at + 1 or self.at, {}
  while true do
    local stop = text:find(stops, from) or #text + 1
    parts[#parts + 1] = text:sub(from, stop - 1)
    local c = text:sub(stop, stop)
    if c ~= "\\" then
      if is_quoted and c ~= '"' then fail(self, "a quote that does not end on its line") end
      self.at = is_quoted and stop + 1 or stop
      return table.concat(parts)
    end
    if stop == #text then fail(self, "nothing after the backslash") end
    parts[#parts + 1] = text:sub(stop + 1, stop + 1)
    from = stop + 2
  end
end

local function value_of(self, keyword)
  return next_word(self) or fail(self, ("nothing after %s"):format(keyword))
end

-- Step behind the lines of a macro, up to an empty one.
local function skip_macro(self)
  value_of(self, "macdef")
  local _, last = self.text:find("\r?\n\r?\n", self.at)
  if not last then fail(self, "no empty line after the macro") end
  self.at = last + 1
end

-- Files -----------------------------------------------------------------------------------------

local function read_entries(self)
  local hosts, fallback, entry = {}, nil, nil
  while true do
    local word = next_word(self, true)
    if not word then break end
    if word == "machine" then
      local host = value_of(self, word):lower()
      entry = {}
      hosts[host] = hosts[host] or entry
    elseif word == "default" then
      entry = {}
      fallback = fallback or entry
    elseif word == "macdef" then
      skip_macro(self)
      entry = nil
    elseif not FIELD[word] then
      fail(self, "a word that is no keyword")
    elseif not entry then
      fail(self, ("%s without a machine"):format(word))
    else
      entry[FIELD[word]] = value_of(self, word)
    end
  end
  return setmetatable({hosts = hosts, default = fallback}, entries)
end

---Read the text of a netrc file; `path` names it in errors.
---@param text string
---@param path string?
---@return table? entries with `lookup`; nil and an error with code EINVAL
function netrc.parse(text, path)
  if type(text) ~= "string" then
    options.misuse("parse needs the text of a netrc file, got " .. type(text))
  end
  local ok, result = pcall(read_entries, setmetatable({text = text, at = 1}, scanner))
  if ok then return result end
  if type(result) ~= "table" or not result.why then error(result, 0) end
  return nil, make_err("EINVAL", result.why, {op = "read netrc", target = path})
end

---Read a netrc file: `path`, else the one that $NETRC names, else ~/.netrc, which may be absent.
---@async
---@param path string?
---@return table? entries with `lookup`; nil and an error
function netrc.load(path)
  if path ~= nil and type(path) ~= "string" then
    options.misuse("load needs the path of a netrc file, got " .. type(path))
  end
  local named, home = path or os.getenv("NETRC"), os.getenv("HOME")
  if named == "" then named = nil end
  if not named and (not home or home == "") then return netrc.parse("") end
  path = named or home .. "/.netrc"
  local text, err = require("corun.fs").read(path, {max = LONGEST + 1})
  if not text then
    if not named and err.code == "ENOENT" then return netrc.parse("") end
    return nil, err
  end
  if #text > LONGEST then
    return nil, make_err("EINVAL", "the file is too large", {op = "read netrc", target = path})
  end
  return netrc.parse(text, path)
end

---What the file has for a host, in any case: a table that may have login, password and account; nil
---when there is neither an entry nor a default.
---@param host string
---@param by_name boolean? the default is not for it
---@return table? entry
function entries:lookup(host, by_name)
  local entry = self.hosts[host:lower()] or not by_name and self.default
  if not entry then return nil end
  return {login = entry.login, password = entry.password, account = entry.account}
end

return netrc

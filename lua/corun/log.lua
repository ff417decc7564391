-- SPDX-License-Identifier: MIT
-- corun.log: lines with a time, a level, the task's name and fields, as text or as JSON. Embedded,
-- loaded at first use. A call never suspends and never raises: it may stand in clean-up, in a
-- cancelled task, in a finaliser. Each line is one write.
local core = require "corun.ttycore"
local json = require "corun.json"
local options = require "corun.options"
local stdio = require "corun.stdio"
local task = require "corun.task"

local LEVELS = {debug = 1, info = 2, warn = 3, error = 4, off = 5}
local FORMATS = {text = true, json = true}
local COLORS = {debug = "\27[2m", info = "\27[32m", warn = "\27[33m", error = "\27[31m"}
local RESERVED = {time = true, level = true, task = true, msg = true}
local DEEPEST, MOST = 8, 1000 -- levels and values of a field that JSON cannot hold as it is

-- What can be set, and the number of the level. `output` false: standard error.
local setup = {level = "info", format = "text", output = false}
local least = LEVELS.info
local lost = 0 -- lines that a standard stream did not take

-- Values ------------------------------------------------------------------------------------------

-- The same bytes where they are UTF-8; the others replaced.
local function valid(text)
  if utf8.len(text) then return text end
  local parts, at = {}, 1
  while at <= #text do
    local _, bad = utf8.len(text, at)
    if not bad then
      parts[#parts + 1] = text:sub(at)
      break
    end
    parts[#parts + 1] = text:sub(at, bad - 1) .. "\u{FFFD}"
    at = bad + 1
  end
  return table.concat(parts)
end

local function text_of(value)
  local ok, text = pcall(tostring, value)
  return ok and valid(text) or ("(%s that cannot be shown)"):format(type(value))
end

local function is_error(value)
  return type(value) == "table" and getmetatable(value) ~= nil and rawget(value, "code") ~= nil
    and rawget(value, "message") ~= nil
end

local function escape_byte(c)
  return ("\\x%02x"):format(c:byte())
end

local function escape(text)
  return (text:gsub(".", escape_byte))
end

local C1 = "\xC2[\x80-\x9F]" -- controls too, which some terminals obey: U+009B is ESC [

-- A text in which no line of another kind can begin, and no terminal is commanded.
local function clean(text)
  return (text:gsub("\n", "\n    "):gsub("[%z\1-\8\11-\31\127]", escape):gsub(C1, escape))
end

-- In quotes where one could not say otherwise where it begins and ends.
local function quote(text)
  if text ~= "" and not text:find('[%s%c="]') and not text:find(C1) then return text end
  return '"' .. text:gsub('[\\"]', "\\%0"):gsub("\n", "\\n"):gsub("\t", "\\t")
    :gsub("%c", escape):gsub(C1, escape) .. '"'
end

local function show(value)
  if is_error(value) or type(value) ~= "table" or getmetatable(value) then
    return quote(text_of(value))
  end
  local ok, text = pcall(json.encode, value, {sort = true})
  return ok and text or clean(text_of(value))
end

local encode
local count -- values of the field that were encoded one by one

local function encode_text(value)
  return json.encode(text_of(value))
end

-- An error as what a program that reads the log may want to know of it.
local function encode_error(err, depth)
  local parts = {'"message":' .. encode_text(err)}
  for _, key in ipairs{"code", "op", "target", "cause"} do
    local value = rawget(err, key)
    if value ~= nil then parts[#parts + 1] = ('"%s":%s'):format(key, encode(value, depth + 1)) end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- Piece by piece, because something in it cannot be encoded.
local function encode_table(value, depth)
  local parts = {}
  for k, v in next, value do
    parts[#parts + 1] = encode_text(k) .. ":" .. encode(v, depth + 1)
  end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end

function encode(value, depth)
  count = depth == 1 and 1 or count + 1
  if depth > DEEPEST or count > MOST then return '"..."' end
  if is_error(value) then return encode_error(value, depth) end
  if type(value) ~= "userdata" then
    local ok, text = pcall(json.encode, value, {sort = true})
    if ok then return text end
  end
  if type(value) == "table" then return encode_table(value, depth) end
  return encode_text(value)
end

-- Lines -------------------------------------------------------------------------------------------

local function names_of(fields)
  local names = {}
  for name in next, fields do names[#names + 1] = name end
  table.sort(names, function(a, b) return text_of(a) < text_of(b) end)
  return names
end

local function task_name()
  local ok, t = pcall(task.current)
  if not ok then return "-" end
  return t.name and text_of(t.name) or (t.id == 1 and "main" or "task " .. t.id)
end

local function format_text(level, name, message, fields, color)
  local now = core.time()
  local parts = {("%s.%03d %s%-5s%s [%s] %s"):format(os.date("%Y-%m-%d %H:%M:%S", now // 1 | 0),
    now % 1 * 1000 // 1, color and COLORS[level] or "", level, color and "\27[0m" or "",
    (name:gsub("%c", escape):gsub(C1, escape)), clean(text_of(message)))}
  for _, key in ipairs(names_of(fields)) do
    parts[#parts + 1] = ("%s=%s"):format(quote(text_of(key)), show(fields[key]))
  end
  return table.concat(parts, " ") .. "\n"
end

local function format_json(level, name, message, fields)
  local now = core.time()
  local parts = {('{"time":"%s.%03dZ","level":"%s","task":%s,"msg":%s'):format(
    os.date("!%Y-%m-%dT%H:%M:%S", now // 1 | 0), now % 1 * 1000 // 1, level, encode_text(name),
    encode_text(message))}
  for _, key in ipairs(names_of(fields)) do
    local shown = text_of(key)
    if RESERVED[shown] then shown = shown .. "_" end
    parts[#parts + 1] = encode_text(shown) .. ":" .. encode(fields[key], 1)
  end
  return table.concat(parts, ",") .. "}\n"
end

-- Output ------------------------------------------------------------------------------------------

local colored

local function is_colored()
  if colored == nil then
    local term, no = os.getenv("TERM"), os.getenv("NO_COLOR")
    colored = core.is("stderr") and term ~= nil and term ~= "dumb" and (no == nil or no == "")
  end
  return colored
end

-- A reader that takes nothing must neither stop the program nor fill its memory.
local function to_standard(stream, line)
  local ok, err = stdio.put(stream, line)
  if ok then
    if lost > 0 and stdio.put(stream, ("corun: %d lines of the log were lost\n"):format(lost)) then
      lost = 0
    end
  elseif err.code == "EAGAIN" then
    lost = lost + 1
  elseif err.code == "ECLOSED" then
    io.stderr:write(line) -- the last finalisers run after the stream has gone
  end
end

local function to_stderr(line)
  to_standard(stdio.stderr, line)
end

local giving = setmetatable({}, {__mode = "k"}) -- the coroutines in which an output function runs

local function to_output(output, line)
  if type(output) == "function" then return output(line) end
  if getmetatable(output) == getmetatable(stdio.stderr) then return to_standard(output, line) end
  local ok, err = output:write(line)
  if not ok then error(err, 0) end
  if io.type(output) then output:flush() end
end

local function write(line)
  local co = coroutine.running()
  if not setup.output or giving[co] then
    pcall(to_stderr, line) -- there may be no descriptor for it
    return
  end
  giving[co] = true
  local ok, err = pcall(to_output, setup.output, line)
  giving[co] = nil
  if ok then return end
  pcall(to_stderr, line)
  if not task.is_cancelled(err) then
    pcall(to_stderr, ("corun: the log cannot be written: %s\n"):format(text_of(err)))
  end
end

local function record(level, base, message, fields)
  if is_error(fields) then
    fields = {err = fields}
  elseif fields ~= nil and type(fields) ~= "table" then
    fields = {field = fields}
  end
  local all = fields or {}
  if base then
    all = {}
    for k, v in next, base do all[k] = v end
    for k, v in next, fields or {} do all[k] = v end
  end
  if setup.format == "json" then
    write(format_json(level, task_name(), message, all))
  else
    write(format_text(level, task_name(), message, all, not setup.output and is_colored()))
  end
end

-- The module --------------------------------------------------------------------------------------

-- A logger that adds the fields `base` to each line.
local function make(base)
  local logger = {}
  for level, number in pairs(LEVELS) do
    if level ~= "off" then
      logger[level] = function(message, fields)
        if number >= least then record(level, base, message, fields) end
      end
    end
  end
  function logger.with(fields)
    if type(fields) ~= "table" then
      options.misuse(("with takes a table of fields, got %s"):format(type(fields)))
    end
    local all = {}
    for k, v in next, base or {} do all[k] = v end
    for k, v in next, fields do all[k] = v end
    return make(all)
  end
  return logger
end

local function check_word(key, value, words)
  if type(value) == "string" and words[value] then return end
  local near = type(value) == "string" and options.nearest(value, words)
  local shown = type(value) == "string" and ('"%s"'):format(value) or type(value)
  local hint = near and (' (did you mean "%s"?)'):format(near) or ""
  options.misuse(("log.%s cannot be %s%s"):format(key, shown, hint), 4)
end

local setters = {}

function setters.level(value)
  check_word("level", value, LEVELS)
  setup.level, least = value, LEVELS[value]
end

function setters.format(value)
  check_word("format", value, FORMATS)
  setup.format = value
end

function setters.output(value)
  local writes = type(value) == "userdata" and pcall(function() return value.write end)
  if value and type(value) ~= "function" and not writes then
    local message = "log.output must be a stream, a file or a function, got %s"
    options.misuse(message:format(type(value)), 3)
  end
  setup.output = value or false
end

-- CORUN_LOG="debug", "json", "debug,json".
for word in (os.getenv("CORUN_LOG") or ""):gmatch("[^,%s]+") do
  if LEVELS[word] then
    setters.level(word)
  elseif FORMATS[word] then
    setters.format(word)
  else
    stdio.put(stdio.stderr, ('corun: CORUN_LOG: "%s" is no level and no format\n'):format(word))
  end
end

return setmetatable(make(nil), {
  __index = function(_, key) return setup[key] end,
  __newindex = function(_, key, value)
    if not setters[key] then
      local near = type(key) == "string" and options.nearest(key, setters)
      options.misuse(("log has no setting %s%s"):format(tostring(key),
        near and (' (did you mean "%s"?)'):format(near) or ""))
    end
    setters[key](value)
  end,
})

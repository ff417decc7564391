-- SPDX-License-Identifier: MIT
-- corun.args: the command line of a script, described by its defaults. Embedded as corun.args and
-- loaded at first use; owns nothing, runs on any runtime. A mistake in the description raises at
-- the script's line; a mistake of the person who typed the command is one line on stderr, the usage
-- line, and exit status 2.

local options = require("corun.options")

local WIDTH = 79
local COLUMN = 28 -- the texts of --help begin here at the latest

local SETTINGS = {argv = "table", name = "string", exit = "function", out = "table|userdata",
  err = "table|userdata"}
local DETAILS = {"any", type = "string", help = "string", short = "string", value = "string",
  choices = "table", min = "number", max = "number", required = "boolean", many = "boolean"}
local WORDS = {["true"] = true, yes = true, on = true, ["false"] = false, no = false, off = false}

local function read_integer(s)
  local n = s:find("^[+-]?%d+$") and tonumber(s)
  if not n then return nil, "expected an integer" end
  if math.type(n) ~= "integer" then return nil, "the integer is too large" end
  return n
end

local function read_number(s)
  local n = s:find("^[+-]?%.?%d[%d.eE+-]*$") and tonumber(s) -- neither hexadecimal nor blanks
  if not n then return nil, "expected a number" end
  if n == math.huge or n == -math.huge then return nil, "the number is too large" end
  return n + 0.0
end

local function read_boolean(s)
  local value = WORDS[s]
  if value == nil then return nil, "expected yes or no" end
  return value
end

-- What an option can be: how its value is read, and how --help calls it.
local TYPES = {
  string = {read = function(s) return s end, value = "TEXT"},
  integer = {read = read_integer, value = "N"},
  number = {read = read_number, value = "X"},
  boolean = {read = read_boolean},
}

-- In the functions below `level` is meant as in error(): it is the script's line.
local function fail(level, message, ...)
  options.misuse("args: " .. message:format(...), level + 1)
end

local function hint(name)
  return name and (' (did you mean "%s"?)'):format(name) or ""
end

local function type_of(value)
  if math.type(value) == "integer" then return "integer" end
  return type(value)
end

-- The type of option `name`, from what its table says or from its default.
local function find_type(name, o, level)
  local default = o[1]
  if o.many and type(default) == "table" then default = default[1] end
  local t = o.type or (default ~= nil and type_of(default) or "string")
  if not TYPES[t] then
    fail(level, 'option "%s" cannot be a %s: string, integer, number or boolean', name, t)
  end
  local got = type_of(default)
  if default ~= nil and got ~= t and not (t == "number" and got == "integer") then
    fail(level, 'the default of option "%s" must be of type %s, got %s', name, t, got)
  end
  if t == "boolean" and (o.many or o.choices or o.value or o.required) then
    fail(level, 'option "%s" is a flag: it has no many, choices, value or required', name)
  end
  if (o.min or o.max) and t ~= "integer" and t ~= "number" then
    fail(level, 'option "%s" is no number: it has no min or max', name)
  end
  return t
end

-- Why `value` is not among the choices or in the range of `opt`, if so.
local function refuse(opt, value)
  if opt.choices then
    local set = {}
    for _, choice in ipairs(opt.choices) do
      if choice == value then return nil end
      set[tostring(choice)] = true
    end
    local near = options.nearest(tostring(value), set)
    return ("expected one of %s%s"):format(table.concat(opt.choices, ", "), hint(near))
  elseif opt.min and value < opt.min then
    return ("must be at least %s"):format(opt.min)
  elseif opt.max and value > opt.max then
    return ("must be at most %s"):format(opt.max)
  end
end

-- One option from `value`: a default, or a table {default, type=, help=, short=, ...}.
local function describe_option(name, value, level)
  local o = value
  if type(value) == "table" then
    options.check(value, ('args option "%s"'):format(name), DETAILS, level)
  else
    o = {value}
  end
  if not name:find("^%a[%w_]*$") or name == "help" then
    fail(level, 'an option cannot be called "%s"', name)
  end
  local opt = {
    name = name, flag = name:gsub("_", "-"), type = find_type(name, o, level + 1), default = o[1],
    help = o.help, short = o.short, choices = o.choices, min = o.min, max = o.max,
    required = o.required, many = o.many,
  }
  if opt.many then
    opt.default = type(o[1]) == "table" and o[1] or {o[1]}
  elseif opt.type == "boolean" and opt.default == nil then
    opt.default = false
  end
  local why = type(opt.default) ~= "table" and opt.default ~= nil and refuse(opt, opt.default)
  if why then fail(level, 'the default of option "%s": %s', name, why) end
  opt.value = o.value or opt.choices and table.concat(opt.choices, "|") or TYPES[opt.type].value
  return opt
end

-- One positional argument: "FILE", "[FILE]", "FILE..." or "[FILE...]".
local function describe_positional(text, level)
  local inner = type(text) == "string" and (text:match("^%[(.+)%]$") or text)
  local title = inner and inner:gsub("%.%.%.$", "")
  if not title or not title:find("^%a[%w_-]*$") then
    fail(level, 'a positional argument is "NAME", "[NAME]", "NAME..." or "[NAME...]", got %s',
      type(text) == "string" and ("%q"):format(text) or type(text))
  end
  return {
    text = text, title = title, name = title:lower():gsub("-", "_"),
    optional = inner ~= text, many = inner ~= title,
  }
end

local function add_flags(d, opt, level)
  local names = {opt.flag, opt.type == "boolean" and "no-" .. opt.flag or nil}
  for i, flag in ipairs(names) do
    if d.flags[flag] then fail(level, 'two options are both "--%s"', flag) end
    d.flags[flag] = {opt = opt, off = i == 2}
  end
  if not opt.short then return end
  if not opt.short:find("^[%a%d]$") then
    fail(level, 'short of option "%s" must be one letter or digit', opt.name)
  end
  if d.short[opt.short] then fail(level, 'two options are both "-%s"', opt.short) end
  d.short[opt.short] = {opt = opt}
end

local function add_positionals(d, spec, level)
  local last
  for _, text in ipairs(spec) do
    local p = describe_positional(text, level + 1)
    if last and (last.many or last.optional and not p.optional) then
      fail(level, '"%s" cannot follow "%s"', p.text, last.text)
    end
    if d.known[p.name] then fail(level, '"%s" is described twice', p.name) end
    d.known[p.name], last = p, p
    d.positionals[#d.positionals + 1] = p
  end
end

-- The texts of `help`: one line about the script, or a table of it and a line for each name.
local function add_help(d, help, level)
  if help == nil or type(help) == "string" then
    d.about = help
    return
  end
  if type(help) ~= "table" then fail(level, "help must be a string or a table") end
  local spec = {"string"}
  for name in pairs(d.known) do spec[name] = "string" end
  for _, p in ipairs(d.positionals) do spec[p.title] = "string" end
  options.check(help, "args help", spec, level)
  d.about = help[1]
  for name, known in pairs(d.known) do
    known.help = help[name] or help[known.title] or known.help
  end
end

-- Everything about the command line, checked.
local function describe(spec, level)
  if type(spec) ~= "table" then fail(level, "expected a table of defaults, got %s", type(spec)) end
  local d = {options = {}, positionals = {}, known = {}, short = {}, flags = {}}
  d.flags.help, d.short.h = {help = true}, {help = true}
  for name, value in pairs(spec) do
    if type(name) == "string" and name ~= "help" then
      local opt = describe_option(name, value, level + 1)
      d.options[#d.options + 1], d.known[name] = opt, opt
    end
  end
  table.sort(d.options, function(a, b) return a.name < b.name end)
  for _, opt in ipairs(d.options) do add_flags(d, opt, level + 1) end
  add_positionals(d, spec, level + 1)
  add_help(d, spec.help, level + 1)
  return d
end

-- The flag that was meant: the only one that begins so, or the nearest.
local function nearest_flag(d, name)
  local found
  for flag in pairs(d.flags) do
    if flag:sub(1, #name) == name then
      if found then return options.nearest(name, d.flags) end
      found = flag
    end
  end
  return found or options.nearest(name, d.flags)
end

local function unknown_flag(d, text)
  local name = text:match("^%-*([^=]*)"):gsub("_", "-")
  local near = #name > 1 and nearest_flag(d, name)
  return ('unknown option "%s"%s'):format(text, hint(near and "--" .. near))
end

local function unexpected(d, text)
  local name, rest = text:match("^([%a][%w_-]*)(.*)$")
  local flag = name and name:gsub("_", "-")
  local meant = flag and d.flags[flag] and (rest == "" or rest:find("^=")) and "--" .. flag .. rest
  return ('unexpected argument "%s"%s'):format(text, hint(meant or nil))
end

-- Store the value `text` of an option that was written as `flag`; a message on failure.
local function store(values, opt, flag, text)
  local value, why = TYPES[opt.type].read(text)
  if value ~= nil then why = refuse(opt, value) end
  if why then return ("%s=%s: %s"):format(flag, text, why) end
  if opt.many then
    values[opt.name] = values[opt.name] or {}
    table.insert(values[opt.name], value)
  else
    values[opt.name] = value
  end
end

-- The argument after an option is its value, unless it looks like an option.
local function next_value(flag, text)
  if text == nil then return nil, flag .. " needs a value" end
  if text:find("^%-.") and not text:find("^%-%.?%d") then
    return nil, ("%s needs a value (%s=%s if that is the value)"):format(flag, flag, text)
  end
  return text
end

-- Take one "--name", "--no-name", "--name=value" or "--name value" at `i`; the index after it.
local function take_long(d, values, argv, i)
  local name, text = argv[i]:match("^%-%-([^=]*)=?(.*)$")
  if not argv[i]:find("=", 1, true) then text = nil end
  local found = d.flags[(name:gsub("_", "-"))]
  if not found then return nil, unknown_flag(d, argv[i]) end
  local opt, flag = found.opt, "--" .. name:gsub("_", "-")
  if found.help or opt.type == "boolean" then
    if text and (found.help or found.off) then return nil, flag .. " takes no value" end
    if found.help then return nil, nil, true end
    if text then return i + 1, store(values, opt, flag, text) end
    values[opt.name] = not found.off
    return i + 1
  end
  local message
  if not text then
    i = i + 1
    text, message = next_value(flag, argv[i])
  end
  return i + 1, message or store(values, opt, flag, text)
end

-- Take one "-o value", "-ovalue", "-v" or several flags "-vq" at `i`; the index after it.
local function take_short(d, values, argv, i)
  local word, at = argv[i], 2
  while at <= #word do
    local found = d.short[word:sub(at, at)]
    if not found then return nil, unknown_flag(d, word) end
    if found.help then return nil, nil, true end
    local opt, flag = found.opt, "--" .. found.opt.flag
    if opt.type ~= "boolean" then
      local text, message = word:match("^=?(.+)$", at + 1), nil
      if not text then
        i = i + 1
        text, message = next_value(flag, argv[i])
      end
      return i + 1, message or store(values, opt, flag, text)
    end
    values[opt.name] = true
    at = at + 1
  end
  return i + 1
end

-- Give the words that are no options to the positional arguments.
local function place(d, values, words)
  local at = 1
  for _, p in ipairs(d.positionals) do
    if words[at] == nil and not p.optional then return "missing argument " .. p.title end
    if p.many then
      values[p.name] = table.move(words, at, #words, 1, {})
      at = #words + 1
    else
      values[p.name] = words[at]
      at = at + 1
    end
  end
  if words[at] then return unexpected(d, words[at]) end
end

-- Fill in the defaults; a message for a required option that is missing.
local function complete(d, values)
  for _, opt in ipairs(d.options) do
    if values[opt.name] == nil then
      if opt.required then return ("missing option --%s"):format(opt.flag) end
      values[opt.name] = opt.many and table.move(opt.default, 1, #opt.default, 1, {}) or opt.default
    end
  end
end

-- Read `argv`: the values; or nil and a message; or nil, nil, true when help is asked for.
local function read(d, argv)
  local values, words, i, ended = {}, {}, 1, false
  while argv[i] ~= nil do
    local word, message, help = argv[i], nil, nil
    local digit = word:match("^%-%.?(%d)")
    if ended or word == "-" or word:sub(1, 1) ~= "-" or digit and not d.short[digit] then
      words[#words + 1] = word
      i = i + 1
    elseif word == "--" then
      ended = true
      i = i + 1
    else
      local take = word:sub(2, 2) == "-" and take_long or take_short
      i, message, help = take(d, values, argv, i)
    end
    if message or help then return nil, message, help end
  end
  local message = place(d, values, words) or complete(d, values)
  if message then return nil, message end
  return values
end

local function usage(d, name)
  local parts = {"usage:", name, "[options]"}
  for _, opt in ipairs(d.options) do
    if opt.required then parts[#parts + 1] = ("--%s=%s"):format(opt.flag, opt.value) end
  end
  for _, p in ipairs(d.positionals) do parts[#parts + 1] = p.text end
  return table.concat(parts, " ")
end

-- The default as --help shows it, nil where there is nothing to say.
local function default_text(opt)
  local value = opt.default
  if opt.required then return "required" end
  if opt.many then
    value = value[1] ~= nil and table.concat(value, ", ") or nil
  elseif opt.type == "boolean" then
    value = value and "on" or nil
  elseif type(value) == "string" and (value == "" or value:find("%s")) then
    value = ("%q"):format(value)
  end
  return value ~= nil and "default: " .. tostring(value) or nil
end

local function option_row(opt)
  local left = ("  %s --%s"):format(opt.short and "-" .. opt.short .. "," or "   ",
    opt.type == "boolean" and opt.default and "[no-]" .. opt.flag or opt.flag)
  if opt.type ~= "boolean" then left = left .. "=" .. opt.value end
  local notes = {default_text(opt)}
  if opt.many then notes[#notes + 1] = "may be repeated" end
  local text = opt.help or ""
  if notes[1] then text = ("%s (%s)"):format(text, table.concat(notes, "; ")) end
  return {left, text}
end

local function width(s)
  return utf8.len(s) or #s
end

-- Write one row: the left part, then the text beside it, wrapped.
local function add_row(lines, row, column)
  local line = row[1] .. (" "):rep(column - width(row[1]))
  if row[1] ~= "" and row[2] ~= "" and width(row[1]) > column - 2 then
    lines[#lines + 1], line = row[1], (" "):rep(column)
  end
  local empty = true
  for word in row[2]:gmatch("%S+") do
    if not empty and width(line) + 1 + width(word) > WIDTH then
      lines[#lines + 1], line, empty = line, (" "):rep(column), true
    end
    line, empty = line .. (empty and "" or " ") .. word, false
  end
  lines[#lines + 1] = line:gsub("%s+$", "")
end

-- What the script is for; its own line ends stay.
local function add_about(lines, about)
  lines[#lines + 1] = ""
  for line in (about .. "\n"):gmatch("(.-)\n") do
    if width(line) <= WIDTH then lines[#lines + 1] = line else add_row(lines, {"", line}, 0) end
  end
end

local function help_text(d, name)
  local groups = {{}, {}}
  for _, p in ipairs(d.positionals) do
    if p.help then table.insert(groups[1], {"  " .. p.text, p.help}) end
  end
  for _, opt in ipairs(d.options) do table.insert(groups[2], option_row(opt)) end
  table.insert(groups[2], {"  -h, --help", "print this and exit"})
  local column = 0
  for _, rows in ipairs(groups) do
    for _, row in ipairs(rows) do
      if width(row[1]) + 2 <= COLUMN then column = math.max(column, width(row[1]) + 2) end
    end
  end
  local lines = {usage(d, name)}
  if d.about then add_about(lines, d.about) end
  for i, rows in ipairs(groups) do
    if rows[1] then lines[#lines + 1] = i == 1 and "\narguments:" or "\noptions:" end
    for _, row in ipairs(rows) do add_row(lines, row, column) end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- A misspelt name would read as nil, as an option without a value does.
local function strict(d, values)
  return setmetatable(values, {
    __name = "corun.args",
    __index = function(_, key)
      if type(key) ~= "string" or d.known[key] then return nil end
      options.misuse(('args has no option "%s"%s'):format(key,
        hint(options.nearest(key, d.known))), 2)
    end,
  })
end

---Read the command line of a script.
---@param spec table defaults by name, positional arguments in the array part, and help
---@param o table? argv, name, exit, out, err
---@return table? values nil only if the `exit` that was given returns
local function args(spec, o)
  local settings = options.check(o, "args", SETTINGS)
  local d = describe(spec, 3)
  local argv = settings.argv or arg or {}
  local name = settings.name or tostring(argv[0] or arg and arg[0] or "script"):match("[^/]+$")
    or "script"
  local values, message, help = read(d, argv)
  if values then return strict(d, values) end
  local exit = settings.exit or require("corun").exit
  if help then
    local out = settings.out or io.stdout
    out:write(help_text(d, name))
    exit(0)
  else
    local err = settings.err or io.stderr
    err:write(("%s: %s\n%s (--help tells more)\n"):format(name, message, usage(d, name)))
    exit(2)
  end
  return nil
end

return args

-- SPDX-License-Identifier: MIT
-- Language spec: the os library, but for os.exit.

local h = ...
local check, chunk = h.check, h.chunk

local function message(f, ...) return (select(2, pcall(f, ...))) end

check("date in UTC", function()
  return os.date("!%Y-%m-%d %H:%M:%S", 0), os.date("!%Y-%m-%d %H:%M:%S", 1e9 // 1 | 0),
    os.date("!%a %b %d %j", 86400)
end, "1970-01-01 00:00:00", "2001-09-09 01:46:40", "Fri Jan 02 002")

check("date as a table", function()
  return os.date("!*t", 1709210096)
end, {year = 2024, month = 2, day = 29, hour = 12, min = 34, sec = 56, yday = 60, wday = 5,
  isdst = false})

check("date with a literal percent sign and an empty format", function()
  return os.date("!100%%", 0), os.date("!", 0), os.date("", 0)
end, "100%", "", "")

check("date with a bad conversion", function()
  return message(os.date, "%Ez", 0), message(os.date, "%", 0), message(os.date, "%Q", 0)
end, "bad argument #1 to 'os.date' (invalid conversion specifier '%Ez')",
  "bad argument #1 to 'os.date' (invalid conversion specifier '%')",
  "bad argument #1 to 'os.date' (invalid conversion specifier '%Q')")

check("date beyond representation", function()
  return (pcall(os.date, "!%Y", math.maxinteger))
end, false)

check("time gives an integer", function()
  return math.type(os.time()), os.time() > 1700000000
end, "integer", true)

check("time and date are inverses", function()
  local t = os.time{year = 2024, month = 6, day = 15, hour = 10, min = 20, sec = 30}
  return os.date("%Y-%m-%d %H:%M:%S", t), os.time(os.date("*t", t)) == t
end, "2024-06-15 10:20:30", true)

check("time normalises its fields", function()
  local t = {year = 2023, month = 14, day = 31, hour = 12}
  os.time(t)
  return t.year, t.month, t.day, t.hour, t.min, t.sec, type(t.isdst), t.yday
end, 2024, 3, 2, 12, 0, 0, "boolean", 62)

check("time defaults to noon", function()
  local t = {year = 2024, month = 1, day = 1}
  os.time(t)
  return t.hour, t.min, t.sec
end, 12, 0, 0)

check("time with missing and bad fields", function()
  return message(os.time, {year = 2024, month = 1}),
    message(os.time, {year = "x", month = 1, day = 1}),
    message(os.time, {year = 2024, month = 1.5, day = 1}),
    message(os.time, {year = 1 << 40, month = 1, day = 1})
end, "field 'day' missing in date table", "field 'year' is not an integer",
  "field 'month' is not an integer", "field 'year' is out-of-bound")

check("time accepts strings as fields", function()
  return os.date("%Y-%m-%d", os.time{year = "2024", month = "2", day = "3"})
end, "2024-02-03")

check("difftime", function()
  return os.difftime(10, 4), math.type(os.difftime(1, 0))
end, 6.0, "float")

check("clock", function()
  local a = os.clock()
  local n = 0
  for i = 1, 100000 do n = n + i end
  return math.type(a), os.clock() >= a, n
end, "float", true, 5000050000)

check("getenv", function()
  return type(os.getenv("PATH")), os.getenv("NO_SUCH_VARIABLE_HERE")
end, "string", nil)

check("tmpname, rename and remove", function()
  local a = os.tmpname()
  local b = a .. ".moved"
  local renamed = os.rename(a, b)
  local gone = io.open(a)
  local removed = os.remove(b)
  return type(a), renamed, gone, removed
end, "string", true, nil, true)

check("remove of no such file", function()
  return os.remove("/no/such/file")
end, nil, "/no/such/file: No such file or directory", 2)

check("rename of no such file", function()
  local ok, m, code = os.rename("/no/such/file", "/no/such/other")
  return ok, m:match("No such file or directory$"), code
end, nil, "No such file or directory", 2)

check("execute without a command", function()
  return os.execute()
end, true)

check("execute of commands", function()
  return {os.execute("true")}, {os.execute("exit 3")}, {os.execute("kill -15 $$")}
end, {true, "exit", 0}, {nil, "exit", 3}, {nil, "signal", 15})

check("the locale is C until a script sets it", function()
  return os.setlocale(), os.setlocale(nil, "numeric")
end, "C", "C")

check("setlocale of an unknown locale", function()
  return os.setlocale("no_SUCH.locale"), os.setlocale()
end, nil, "C")

check("setlocale with a bad category", function()
  return message(os.setlocale, "C", "weather")
end, "bad argument #2 to 'os.setlocale' (invalid option 'weather')")

check("argument errors have the caller's position", function()
  return pcall(chunk, "\nos.rename('x')")
end, false, "chunk:2: bad argument #2 to 'rename' (string expected, got no value)")

-- SPDX-License-Identifier: MIT
-- Language spec: the string library but for patterns and pack, and string literals.

local h = ...
local check, chunk = h.check, h.chunk

check("escapes in literals", function()
  return #"\a\b\f\n\r\t\v\\\"\'\0", "\65\066\x43\u{44}", "a\z
      b", "x\
y"
end, 11, "ABCD", "ab", "x\ny")

check("long brackets", function()
  return [[
first newline dropped]], [==[a]]b]=]c]==], #[[

]]
end, "first newline dropped", "a]]b]=]c", 1)

check("utf-8 escapes up to 2^31", function()
  return #"\u{7F}\u{80}\u{7FF}\u{800}\u{FFFF}\u{10000}\u{7FFFFFFF}"
end, 1 + 2 + 2 + 3 + 3 + 4 + 6)

check("bad escapes are refused", function()
  local function message(s)
    local _, m = load("return '" .. s .. "'", "=c")
    return m:match("^c:1: (.-) near")
  end
  return message("\\q"), message("\\300"), message("\\xZZ"), message("\\u{110000000}"),
    message("\\u41")
end, "invalid escape sequence", "decimal escape too large", "hexadecimal digit expected",
  "UTF-8 value too large", "missing '{'")

check("strings hold any bytes", function()
  local s = "a\0b\255"
  return #s, s:byte(1, -1)
end, 4, 97, 0, 98, 255)

check("comparison is by bytes", function()
  return "a" < "b", "a" < "ab", "Z" < "a", "" < "a", "a\0b" > "a\0a", "10" < "9"
end, true, true, true, true, true, true)

check("len, upper, lower, reverse", function()
  return ("abc"):len(), ("aBc1"):upper(), ("AbC1"):lower(), ("abc"):reverse(), (""):reverse()
end, 3, "ABC1", "abc1", "cba", "")

check("sub with positive and negative positions", function()
  local s = "hello"
  return s:sub(2, 4), s:sub(-3), s:sub(-3, -2), s:sub(2), s:sub(0), s:sub(10), s:sub(4, 2)
end, "ell", "llo", "ll", "ello", "hello", "", "")

check("sub at the ends of the integers", function()
  local s = "hello"
  return s:sub(math.mininteger, math.maxinteger), s:sub(math.maxinteger), s:sub(1, math.mininteger)
end, "hello", "", "")

check("byte and char", function()
  return ("ABC"):byte(), ("ABC"):byte(2), ("ABC"):byte(-1), select("#", ("ABC"):byte(10)),
    string.char(72, 105), string.char()
end, 65, 66, 67, 0, "Hi", "")

check("byte of a range", function()
  return ("hello"):byte(2, 4)
end, 101, 108, 108)

check("char out of range", function()
  return select(2, pcall(string.char, 256)), select(2, pcall(string.char, 1, -1))
end, "bad argument #1 to 'string.char' (value out of range)",
  "bad argument #2 to 'string.char' (value out of range)")

check("rep with and without a separator", function()
  return ("ab"):rep(3), ("ab"):rep(3, "-"), ("ab"):rep(1, "-"), ("ab"):rep(0), ("ab"):rep(-1),
    (""):rep(1e6)
end, "ababab", "ab-ab-ab", "ab", "", "", "")

check("rep too large", function()
  return select(2, pcall(string.rep, "ab", math.maxinteger)),
    select(2, pcall(string.rep, "", math.maxinteger, "x"))
end, "resulting string too large", "resulting string too large")

check("format of integers", function()
  return ("%d %5d|%-5d|%05d %+d % d %i"):format(42, 42, 42, 42, 42, 42, -7)
end, "42    42|42   |00042 +42  42 -7")

check("format of hexadecimal and octal", function()
  return ("%x %X %#x %o %#o %08X"):format(255, 255, 255, 8, 8, 48879)
end, "ff FF 0xff 10 010 0000BEEF")

check("format of negative integers in hexadecimal", function()
  return ("%x"):format(-1)
end, "ffffffffffffffff")

check("format of floats", function()
  return ("%.2f %8.3f|%-8.1f|%e %.3E %g %G"):format(3.14159, 2.5, 2.5, 12345.678, 0.00012, 1e20,
    1e-10)
end, "3.14    2.500|2.5     |1.234568e+04 1.200E-04 1e+20 1E-10")

check("format of special floats", function()
  return ("%f %g %.1f"):format(math.huge, -math.huge, 0.0)
end, "inf -inf 0.0")

check("format of hexadecimal floats", function()
  return ("%a %.1a"):format(1.0, 0.5), tonumber(("%a"):format(0.1)) == 0.1
end, "0x1p+0 0x1.0p-1", true)

check("format of characters and percent signs", function()
  return ("%c%c%c %% %5c|%-3c|"):format(72, 105, 33, 65, 66)
end, "Hi! %     A|B  |")

check("format of strings", function()
  return ("%s %10s|%-10s|%.3s|%5.2s"):format("str", "right", "left", "truncate", "xyz")
end, "str      right|left      |tru|   xy")

check("format of any value by %s", function()
  return ("%s %s %s %s"):format(nil, true, 1, 2.0),
    ("%s"):format(setmetatable({}, {__tostring = function() return "mine" end}))
end, "nil true 1 2.0", "mine")

check("format of strings with zeros", function()
  return ("%s"):format("a\0b"), select(2, pcall(string.format, "%5s", "a\0b"))
end, "a\0b", "bad argument #2 to 'string.format' (string contains zeros)")

check("format by %q reads back", function()
  local values = {
    "quote \" back \\ newline \n zero \0 zero1 \0001 tab \t", 42, math.mininteger, 0.1, 1e300,
    1 / 0, -1 / 0, true, false,
  }
  for i, v in ipairs(values) do
    if load("return " .. ("%q"):format(v))() ~= v then return i end
  end
  return load("return " .. ("%q"):format(nil))(), #values
end, nil, 9)

check("format by %q: the text", function()
  return ("%q"):format("a\n\"b\"\\\0001\r"), ("%q"):format(math.mininteger), ("%q"):format(1.0)
end, '"a\\\n\\"b\\"\\\\\\0001\\13"', "0x8000000000000000", "0x1p+0")

check("format by %q of a table, and with modifiers", function()
  return select(2, pcall(string.format, "%q", {})), select(2, pcall(string.format, "%5q", "x"))
end, "bad argument #2 to 'string.format' (value has no literal form)",
  "specifier '%q' cannot have modifiers")

check("format of %d with a float", function()
  return ("%d"):format(3.0), select(2, pcall(string.format, "%d", 3.5))
end, "3", "bad argument #2 to 'string.format' (number has no integer representation)")

check("format of numbers given as strings", function()
  return ("%d %g %x"):format("10", "0x10", "255")
end, "10 16 ff")

check("format: missing and bad arguments", function()
  return select(2, pcall(string.format, "%d")), select(2, pcall(string.format, "%s")),
    select(2, pcall(string.format, "%d", "x"))
end, "bad argument #2 to 'string.format' (no value)",
  "bad argument #2 to 'string.format' (no value)",
  "bad argument #2 to 'string.format' (number expected, got string)")

check("format: bad specifications", function()
  local function message(...) return (select(2, pcall(string.format, ...))) end
  return message("%y", 1), message("%", 1), message("%10.123f", 1), message("%0100d", 1)
end, "invalid conversion '%y' to 'format'", "invalid conversion '%' to 'format'",
  "invalid conversion specification: '%10.123f'", "invalid conversion specification: '%0100d'")

check("format of pointers", function()
  local t = {}
  return ("%p"):format(t) == ("%p"):format(t), ("%p"):format(1),
    ("%p"):format(t):match("^0x%x+$") ~= nil
end, true, "(null)", true)

check("format of a large string", function()
  return #("%s%s"):format(("x"):rep(100000), ("y"):rep(5)), #("%99.99f"):format(1e300) > 300
end, 100005, true)

check("concatenation of many pieces", function()
  local t = {}
  for i = 1, 150 do t[i] = "'" .. i .. "'" end
  return #load("return " .. table.concat(t, " .. "))()
end, 342)

check("concatenation of numbers", function()
  return 1 .. 2, 1.5 .. "", -0.0 .. "", 2^53 .. "", 10 // 3 .. "x"
end, "12", "1.5", "-0.0", "9.007199254741e+15", "3x")

check("arguments are converted to strings", function()
  return string.rep(10, 2), string.len(1234), string.upper(0x10), ("x"):rep("2")
end, "1010", 4, "16", "xx")

check("argument errors name the function", function()
  return select(2, pcall(chunk, "('x'):rep()")), select(2, pcall(chunk, "string.rep()")),
    select(2, pcall(chunk, "('x').rep({}, 1)"))
end, "chunk:1: bad argument #1 to 'rep' (number expected, got no value)",
  "chunk:1: bad argument #1 to 'rep' (string expected, got no value)",
  "chunk:1: bad argument #1 to 'rep' (string expected, got table)")

check("a method called on a bad self", function()
  return select(2, pcall(chunk, "local s = {rep = string.rep}\ns:rep(1)"))
end, "chunk:2: calling 'rep' on bad self (string expected, got table)")

check("equal strings are one value, short and long", function()
  local long = ("x"):rep(100)
  local t = {[long] = 1, short = 2}
  return t[("x"):rep(50) .. ("x"):rep(50)], t["sh" .. "ort"], long == ("x"):rep(100)
end, 1, 2, true)

check("string.len of a megabyte built by doubling", function()
  local s = "x"
  for _ = 1, 20 do s = s .. s end
  return #s
end, 1048576)

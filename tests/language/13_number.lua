-- SPDX-License-Identifier: MIT
-- Language spec: numerals, tonumber, tostring, coercions and numeric for loops.

local h = ...
local check, chunk = h.check, h.chunk

local max, min = math.maxinteger, math.mininteger
local function message(f, ...) return (select(2, pcall(f, ...))) end

check("decimal numerals", function()
  return 42, 3.0, .5, 5., 1e2, 1E-2, 0e12
end, 42, 3.0, 0.5, 5.0, 100.0, 0.01, 0.0)

check("hexadecimal numerals", function()
  return 0xFF, 0XA, 0x.8, 0x8.8, 0xA.8p1, 0x1p-4, 0x1P4
end, 255, 10, 0.5, 8.5, 21.0, 0.0625, 16.0)

check("hexadecimal integers wrap, decimal ones become floats", function()
  return 0xFFFFFFFFFFFFFFFF, 0x1FFFFFFFFFFFFFFFF, 9223372036854775807, 9223372036854775808
end, -1, -1, max, 2 ^ 63)

check("the smallest integer has no numeral", function()
  return math.type(-9223372036854775808), math.type(-9223372036854775807 - 1)
end, "float", "integer")

check("bad numerals", function()
  local function bad(s) return (select(2, load("return " .. s,
    "=c")):match("malformed number.*")) end
  return bad("3x"), bad("0x"), bad("1e"), bad("1..2"), bad("0xep"), bad("08z")
end, "malformed number near '3x'", "malformed number near '0x'", "malformed number near '1e'",
  "malformed number near '1..2'", "malformed number near '0xep'", "malformed number near '08z'")

check("tonumber of decimal text", function()
  return tonumber("42"), tonumber("  -7  "), tonumber("3.5"), tonumber("1e1"), tonumber("+5"),
    tonumber(".5"), tonumber("5.")
end, 42, -7, 3.5, 10.0, 5, 0.5, 5.0)

check("tonumber of hexadecimal text", function()
  return tonumber("0xff"), tonumber("-0x10"), tonumber("0x.8"), tonumber("0x1p4"),
    tonumber("0xFFFFFFFFFFFFFFFF")
end, 255, -16, 0.5, 16.0, -1)

check("tonumber of large decimal text", function()
  return tonumber("9223372036854775807"), tonumber("9223372036854775808"),
    tonumber("-9223372036854775808") == min, tonumber("1e400"), tonumber(("1"):rep(60)) > 1e59
end, max, 2 ^ 63, true, math.huge, true)

check("tonumber of what is no number", function()
  return tonumber(""), tonumber(" "), tonumber("abc"), tonumber("1 2"),
    tonumber("0x"), tonumber("1e"), tonumber("--1"),
    tonumber("inf"), tonumber("nan"), tonumber("1\0"), tonumber("1_000"), tonumber("0b1")
end, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil)

check("tonumber of other values", function()
  return tonumber(5), tonumber(5.5), tonumber({}), tonumber(nil), tonumber(true), message(tonumber)
end, 5, 5.5, nil, nil, nil, "bad argument #1 to 'tonumber' (value expected)")

check("tonumber with a base", function()
  return tonumber("ff", 16), tonumber("777", 8), tonumber("1010", 2), tonumber("zz", 36),
    tonumber("-ff", 16),
    tonumber("  11  ", 2), tonumber("8", 8), tonumber("1.0", 10), tonumber("7fffffffffffffff", 16)
end, 255, 511, 10, 1295, -255, 3, nil, nil, max)

check("tonumber with a bad base", function()
  return message(tonumber, "1", 1), message(tonumber, "1", 37), message(tonumber, 10, 16)
end, "bad argument #2 to 'tonumber' (base out of range)",
  "bad argument #2 to 'tonumber' (base out of range)",
  "bad argument #1 to 'tonumber' (string expected, got number)")

check("tostring of integers", function()
  return tostring(0), tostring(-1), tostring(max), tostring(min)
end, "0", "-1", "9223372036854775807", "-9223372036854775808")

check("tostring of floats", function()
  return tostring(1.0), tostring(0.1), tostring(1e15), tostring(1e100), tostring(-1e-7),
    tostring(123456.789), tostring(2 ^ 63), tostring(3.14159265358979)
end, "1.0", "0.1", "1e+15", "1e+100", "-1e-07", "123456.789", "9.2233720368548e+18",
  "3.1415926535898")

check("tostring of special floats", function()
  return tostring(1 / 0), tostring(-1 / 0), tostring(0 / 0):gsub("^-", ""), (tostring(-0.0))
end, "inf", "-inf", "nan", "-0.0")

check("tostring of other values", function()
  return tostring(nil), tostring(true), tostring(false), tostring("s"),
    tostring(print):match("^builtin") or
    tostring(print):match("^function")
end, "nil", "true", "false", "s", "function")

check("strings are converted by arithmetic", function()
  return "10" + 5, "3" * "4", "0x10" + 0, "1.5" + 1, "10" // "3", "2" ^ 2, -"2", " 7 " + 0
end, 15, 12, 16, 2.5, 3, 4.0, -2, 7)

check("the kind follows the string's numeral", function()
  return math.type("10" + 0), math.type("10.0" + 0), math.type("1e1" + 0)
end, "integer", "float", "float")

check("strings are not converted by comparison", function()
  return "10" == 10, message(chunk, "return '1' < 2"), message(chunk, "return 1 <= '2'")
end, false, "chunk:1: attempt to compare string with number",
  "chunk:1: attempt to compare number with string")

check("strings that are no numbers", function()
  return message(chunk, "return 'a' * 1"), message(chunk, "return -'x'"),
    (pcall(chunk, "return {} + '1'"))
end, "chunk:1: attempt to mul a 'string' with a 'number'",
  "chunk:1: attempt to unm a 'string' with a 'string'", false)

check("strings as numeric arguments", function()
  return ("x"):rep("3"), math.floor("3.7"), select("2", "a", "b"), string.char("65")
end, "xxx", 3, "b", "A")

check("numbers as string arguments", function()
  return (string.upper(12)), string.len(-1.5), table.concat({1, 2}, 0)
end, "12", 4, "102")

check("floats that are whole as integer arguments", function()
  return ("abc"):sub(2.0, 3.0), message(string.sub, "abc", 1.5), message(string.rep, "x", "1.5")
end, "bc", "bad argument #2 to 'string.sub' (number has no integer representation)",
  "bad argument #2 to 'string.rep' (number has no integer representation)")

check("for loops up, down and not at all", function()
  local function run(a, b, c)
    local out = {}
    for i = a, b, c do out[#out + 1] = i end
    return out
  end
  return run(1, 3, 1), run(3, 1, -1), run(1, 0, 1), run(1, 10, 4), run(0, 1, -1), run(5, 5, 1)
end, {1, 2, 3}, {3, 2, 1}, {}, {1, 5, 9}, {}, {5})

check("for loops with floats", function()
  local out = {}
  for x = 0, 1, 0.25 do out[#out + 1] = x end
  for x = 1.0, 3 do out[#out + 1] = x end
  return out
end, {0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 2.0, 3.0})

check("a for loop to the largest integer ends", function()
  local n, last = 0, nil
  for i = max - 2, max do n, last = n + 1, i end
  return n, last
end, 3, max)

check("a for loop to the smallest integer ends", function()
  local n, last = 0, nil
  for i = min + 2, min, -1 do n, last = n + 1, i end
  return n, last == min
end, 3, true)

check("a for loop whose step would overflow", function()
  local out = {}
  for i = max - 1, max, 2 do out[#out + 1] = max - i end
  for i = 1, max, max // 2 + 1 do out[#out + 1] = i end
  for i = min, max, max do out[#out + 1] = i == min and "min" or i end
  return out
end, {1, 1, 4611686018427387905, "min", -1, 9223372036854775806})

check("a for loop with a float limit over integers", function()
  local out = {}
  for i = 1, 3.9 do out[#out + 1] = i end
  for i = 3, 1.1, -1 do out[#out + 1] = i end
  for i = 1, -math.huge do out[#out + 1] = i end
  for i = max - 1, math.huge do out[#out + 1] = max - i end
  return out, math.type(out[1])
end, {1, 2, 3, 3, 2, 1, 0}, "integer")

check("a for loop over integers with a NaN limit does not run", function()
  local n = 0
  for _ = 1, 0 / 0 do n = n + 1 end
  return n
end, 0)

check("a for loop with step 0", function()
  return message(chunk, "for i = 1, 2, 0 do end"), message(chunk, "for i = 1.0, 2, 0 do end")
end, "chunk:1: 'for' step is zero", "chunk:1: 'for' step is zero")

check("a for loop over non-numbers", function()
  local function names(what, source) return message(chunk, source):find(what, 1, true) ~= nil end
  return names("initial value", "for i = 'x', 2 do end"), names("limit", "for i = 1, {} do end"),
    names("step", "for i = 1, 2, nil do end")
end, true, true, true)

check("the control variable may be assigned in the body", function()
  local out = {}
  for i = 1, 3 do
    out[#out + 1] = i
    i = i * 10
    out[#out + 1] = i
  end
  return out
end, {1, 10, 2, 20, 3, 30})

check("limits are evaluated once", function()
  local n, limit = 0, 3
  local function f() n = n + 1; return limit end
  for _ = 1, f() do limit = 10 end
  return n
end, 1)

check("float accumulation is counted exactly", function()
  local n = 0
  for _ = 0, 1, 0.1 do n = n + 1 end
  return n
end, 10 + 1)

check("truth of values", function()
  local function truth(v) return v and true or false end
  return truth(0), truth(""), truth(0 / 0), truth(false), truth(nil), truth({})
end, true, true, true, false, false, true)

check("and, or and not", function()
  return 1 and 2, nil and 1, false or nil, nil or "x", 1 or error(), not 0, not nil,
    false and error()
end, 2, nil, nil, "x", 1, false, true, false)

check("large float to integer conversions", function()
  return math.tointeger(2 ^ 53), ("%d"):format(2 ^ 31), message(string.format, "%d", 2 ^ 63),
    1e15 // 1 | 0
end, 9007199254740992, "2147483648",
  "bad argument #2 to 'string.format' (number has no integer representation)", 1000000000000000)

-- SPDX-License-Identifier: MIT
-- Language spec: the math library and arithmetic on integers and floats.

local h = ...
local check, chunk = h.check, h.chunk

local max, min = math.maxinteger, math.mininteger
local function message(f, ...) return (select(2, pcall(f, ...))) end

check("the limits", function()
  return max, min, math.huge, math.pi == 3.141592653589793
end, 9223372036854775807, -9223372036854775807 - 1, math.huge, true)

check("integers wrap around", function()
  return max + 1 == min, min - 1 == max, max * 2, min * -1 == min, -min == min, max + max
end, true, true, -2, true, true, -2)

check("kinds of results", function()
  local function k(v) return math.type(v) end
  return k(1 + 1), k(1 + 1.0), k(4 / 2), k(7 // 2), k(7 // 2.0), k(2 ^ 2), k(7 % 2), k(7.5 % 2),
    k(-1)
end, "integer", "float", "float", "integer", "float", "float", "integer", "float", "integer")

check("math.type of other values", function()
  return math.type("1"), math.type(nil), math.type({}), message(math.type)
end, nil, nil, nil, "bad argument #1 to 'math.type' (value expected)")

check("integer floor division and modulo", function()
  return 7 // 2, -7 // 2, 7 // -2, -7 // -2, 7 % 3, -7 % 3, 7 % -3, -7 % -3
end, 3, -4, -4, 3, 1, 2, -2, -1)

check("integer division at the limits", function()
  return min // -1 == min, min % -1, max // 1, min // 1 == min
end, true, 0, max, true)

check("integer division by zero", function()
  local a = 0
  return (pcall(chunk, "return 1 // 0")), (pcall(chunk, "return 1 % 0")),
    (pcall(function() return 5 % a end)), message(chunk,
    "return 1 % 0"):match("^chunk:1: attempt to ")
end, false, false, false, "chunk:1: attempt to ")

check("float division and modulo by zero", function()
  return 1 / 0, -1 / 0, 0 / 0, 1 // 0.0, -1 // 0.0, 1 % 0.0, 1 % math.huge, -1 % math.huge
end, math.huge, -math.huge, 0 / 0, math.huge, -math.huge, 0 / 0, 1.0, math.huge)

check("float floor division and modulo", function()
  return 7.5 // 2, -7.5 // 2, 5.3 % 2 > 1.29, -5.5 % 2, 5.5 % -2, -0.0 // 1
end, 3.0, -4.0, true, 0.5, -0.5, -0.0)

check("powers", function()
  return 2 ^ 10, 2 ^ -1, (-2) ^ 2, -2 ^ 2, 2 ^ 3 ^ 2, 4 ^ 0.5
end, 1024.0, 0.5, 4.0, -4.0, 512.0, 2.0)

check("precedence of operators", function()
  local one = 1
  return 1 + 2 * 3, (1 + 2) * 3, 1 .. 2 + 3, 2 * 3 % 4, not one == nil, -3 ^ 2, 1 << 2 + 1,
    (5 & 3 == 1) and 1 or 0
end, 7, 9, "15", 2, false, -9.0, 8, 1)

check("bitwise operations", function()
  return 0xF0 & 0x3C, 0xF0 | 0x0F, 0xFF ~ 0x0F, ~0, ~5, 1 << 4, 256 >> 4
end, 48, 255, 240, -1, -6, 16, 16)

check("shifts are logical, and shift out", function()
  return -1 >> 63, -1 >> 1 == max, 1 << 63 == min, 1 << 64, 1 >> 64, 1 << -1, 2 >> -1, 1 << min
end, 1, true, true, 0, 0, 0, 4, 0)

check("bitwise operations on whole floats", function()
  return 3.0 & 1, 2 ^ 53 | 0, ~2.0
end, 1, 9007199254740992, -3)

check("bitwise operations on fractions", function()
  return message(chunk, "return 1 & 1.5"), message(chunk, "return 2 ^ 63 | 0"),
    message(chunk, "return '1.5' | 0")
end, "chunk:1: number has no integer representation",
  "chunk:1: number has no integer representation",
  "chunk:1: attempt to perform bitwise operation on a string value (constant '1.5')")

check("comparison of integers and floats is exact", function()
  return 1 == 1.0, max == max + 0.0, max < max + 0.0, min == -2 ^ 63, 2 ^ 53 == 2 ^ 53 + 1,
    (2 ^ 53 | 0) + 1 > 2 ^ 53
end, true, false, true, true, true, true)

check("NaN is not equal to itself", function()
  local nan = 0 / 0
  local same = nan
  return nan == same, nan ~= same, nan < same, nan <= same, 1 < nan, nan < 1, max < nan
end, false, true, false, false, false, false, false)

check("signed zeros", function()
  return 0.0 == -0.0, 1 / 0.0, 1 / -0.0, 0 == -0.0, tostring(-0.0)
end, true, math.huge, -math.huge, true, "-0.0")

check("floor and ceil", function()
  return math.floor(3.7), math.floor(-3.7), math.ceil(3.2), math.ceil(-3.2), math.floor(5),
    math.type(math.floor(3.7))
end, 3, -4, 4, -3, 5, "integer")

check("floor of what is no integer", function()
  return math.floor(1e300), math.floor(math.huge), math.ceil(-math.huge), math.floor(2 ^ 62)
end, 1e300, math.huge, -math.huge, 4611686018427387904)

check("tointeger", function()
  return math.tointeger(3.0), math.tointeger(3.5), math.tointeger("8"), math.tointeger(2 ^ 63),
    math.tointeger(-2 ^ 63) == min, math.tointeger({}), math.tointeger(5)
end, 3, nil, 8, nil, true, nil, 5)

check("tointeger without an argument", function()
  return message(math.tointeger)
end, "bad argument #1 to 'math.tointeger' (value expected)")

check("abs", function()
  return math.abs(-5), math.abs(5.5), math.abs(-0.0), math.abs(min) == min, math.type(math.abs(-5))
end, 5, 5.5, 0.0, true, "integer")

check("max and min", function()
  return math.max(1, 2.5, -3), math.min(1, 2.5, -3), math.max(1), math.max(2, 2.0),
    message(math.max):match("^[^(]*")
end, 2.5, -3, 1, 2, "bad argument #1 to 'math.max' ")

check("fmod", function()
  return math.fmod(7, 3), math.fmod(-7, 3), math.fmod(7, -3), math.fmod(-6.5, 4), math.fmod(min, -1)
end, 1, -1, 1, -2.5, 0)

check("fmod by zero", function()
  return message(math.fmod, 1, 0), math.fmod(1, 0.0), math.fmod(1, math.huge)
end, "bad argument #2 to 'math.fmod' (zero)", 0 / 0, 1.0)

check("modf", function()
  local out = {}
  for _, v in ipairs{3.7, -3.7, 5, math.huge, 1e300} do
    local whole, part = math.modf(v)
    out[#out + 1] = ("%.14g"):format(whole) .. "+" .. ("%.1f"):format(part)
  end
  return table.concat(out, " ")
end, "3+0.7 -3+-0.7 5+0.0 inf+0.0 1e+300+0.0")

check("the second result of modf is a float", function()
  return math.type((select(2, math.modf(3.7)))), math.type((select(2, math.modf(5)))),
    select(2, math.modf(5))
end, "float", "float", 0.0)

check("ult", function()
  return math.ult(1, 2), math.ult(-1, 1), math.ult(1, -1), math.ult(min, max), math.ult(5, 5)
end, true, false, true, false, false)

check("sqrt, exp, log", function()
  return math.sqrt(16), math.exp(0), math.log(1), math.log(8, 2), math.log(1000, 10),
    math.log(81, 3) - 4 < 1e-9
end, 4.0, 1.0, 0.0, 3.0, 3.0, true)

check("log and sqrt of what has none", function()
  return math.log(0), math.log(-1), math.sqrt(-1)
end, -math.huge, 0 / 0, 0 / 0)

check("trigonometry", function()
  local function r(x) return ("%.6f"):format(x) end
  return r(math.sin(1)), r(math.cos(1)), r(math.tan(1)), r(math.asin(1)), r(math.acos(0)),
    r(math.atan(1)), r(math.atan(-1, -1)), r(math.deg(math.pi)), r(math.rad(180))
end, "0.841471", "0.540302", "1.557408", "1.570796", "1.570796", "0.785398", "-2.356194",
  "180.000000", "3.141593")

check("atan with two arguments knows the quadrant", function()
  return math.atan(0, -1) == math.pi, math.atan(-0.0, -1) == -math.pi,
    math.atan(1, 0) == math.pi / 2
end, true, true, true)

check("random numbers of one seed are repeatable", function()
  math.randomseed(42)
  local a = {math.random(1000), math.random(1000), math.random()}
  math.randomseed(42)
  local b = {math.random(1000), math.random(1000), math.random()}
  return a[1] == b[1], a[2] == b[2], a[3] == b[3]
end, true, true, true)

check("random numbers of a seed of two parts", function()
  math.randomseed(1, 2)
  local a = math.random(0)
  math.randomseed(1, 2)
  return a == math.random(0), math.type(a)
end, true, "integer")

check("random stays in its range", function()
  math.randomseed(7)
  for _ = 1, 1000 do
    local a, b, c = math.random(), math.random(6), math.random(-3, 3)
    if a < 0 or a >= 1 or b < 1 or b > 6 or c < -3 or c > 3 then return a, b, c end
    if math.type(b) ~= "integer" then return b end
  end
  return math.random(5, 5), math.random(min, max) ~= nil
end, 5, true)

check("random of an empty range", function()
  return message(math.random, 0, -1):match("%((.*)%)"), message(math.random, 1, 2, 3),
    message(math.random, -5)
end, "interval is empty", "wrong number of arguments",
  "bad argument #1 to 'math.random' (interval is empty)")

check("functions want numbers", function()
  return message(math.floor, "x"), message(math.sqrt, nil), message(math.abs, {}), math.floor("3.7")
end, "bad argument #1 to 'math.floor' (number expected, got string)",
  "bad argument #1 to 'math.sqrt' (number expected, got nil)",
  "bad argument #1 to 'math.abs' (number expected, got table)", 3)

check("integer arguments given as floats", function()
  return message(math.random, 1.5), message(math.ult, 1, 2.5), math.ult(1.0, 2)
end, "bad argument #1 to 'math.random' (number has no integer representation)",
  "bad argument #2 to 'math.ult' (number has no integer representation)", true)

-- SPDX-License-Identifier: MIT
-- Language spec: every metamethod, the order in which operands are asked, and the error texts.

local h = ...
local check, chunk = h.check, h.chunk

-- The results of a pcall that must fail with a message that has `part` in it.
local function failure(part, ok, message)
  return ok, message:find(part, 1, true) and part or message
end

local function object(meta, t) return setmetatable(t or {}, meta) end

-- A metatable whose binary operations tell what they were called with.
local function name_of(v) return type(v) == "table" and rawget(v, "name") or h.show(v) end
local telling = {}
for _, op in ipairs{
  "add", "sub", "mul", "div", "mod", "pow", "idiv", "band", "bor", "bxor", "shl", "shr", "concat",
} do
  telling["__" .. op] = function(a, b) return op .. " " .. name_of(a) .. " " .. name_of(b) end
end
telling.__unm = function(a) return "unm " .. name_of(a) end
telling.__bnot = function(a) return "bnot " .. name_of(a) end
telling.__len = function(a) return "len " .. name_of(a) end

local a, b = object(telling, {name = "a"}), object(telling, {name = "b"})

check("arithmetic asks the left operand", function()
  return a + b, a - b, a * b, a / b, a % b, a ^ b, a // b
end, "add a b", "sub a b", "mul a b", "div a b", "mod a b", "pow a b", "idiv a b")

check("bitwise operations ask the left operand", function()
  return a & b, a | b, a ~ b, a << b, a >> b
end, "band a b", "bor a b", "bxor a b", "shl a b", "shr a b")

check("operations with constants on the right", function()
  return a + 1, a - 2, a * 2.5, a / 4, a % 5, a ^ 6, a // 7, a & 8, a | 9, a ~ 10, a << 1, a >> 2
end, "add a 1", "sub a 2", "mul a 2.5", "div a 4", "mod a 5", "pow a 6", "idiv a 7", "band a 8",
  "bor a 9", "bxor a 10", "shl a 1", "shr a 2")

check("operations with constants on the left", function()
  return 1 + a, 2 - a, 2.5 * a, 4 / a, 5 % a, 6 ^ a, 7 // a, 8 & a, 9 | a, 10 ~ a, 1 << a, 2 >> a
end, "add 1 a", "sub 2 a", "mul 2.5 a", "div 4 a", "mod 5 a", "pow 6 a", "idiv 7 a", "band 8 a",
  "bor 9 a", "bxor 10 a", "shl 1 a", "shr 2 a")

check("a string operand reaches the other's metamethod", function()
  return "x" + a, a - "7", "7" & a, "x" .. a, a .. 1.5
end, 'add "x" a', 'sub a "7"', 'band "7" a', 'concat "x" a', "concat a 1.5")

check("unary operations", function()
  return -a, ~a, #a
end, "unm a", "bnot a", "len a")

check("unary operations pass their operand twice", function()
  local n, same
  local x = object{__unm = function(...)
    n = select("#", ...)
    same = rawequal(..., (select(2, ...)))
  end}
  local _ = -x
  return n, same
end, 2, true)

check("the left operand's metamethod wins", function()
  local x = object{__add = function() return "left" end}
  local y = object{__add = function() return "right" end}
  return x + y, y + x
end, "left", "right")

check("an operation has one result", function()
  local x = object{__add = function() return 1, 2, 3 end, __index = function() return 4, 5 end}
  return select("#", x + 1), select("#", x.k)
end, 1, 1)

check("concat is right associative", function()
  return "1" .. "2" .. a .. "3" .. "4"
end, "12concat a \"34\"")

check("index by a function", function()
  local x = object{__index = function(t, k) return type(t) .. "." .. k end}
  return x.field, x[1], rawget(x, "field")
end, "table.field", "table.1", nil)

check("index by a chain of tables", function()
  local base = {x = 1, y = 1, z = 1}
  local mid = object({__index = base}, {y = 2})
  local top = object({__index = mid}, {z = 3})
  return top.x, top.y, top.z, top.none
end, 1, 2, 3, nil)

check("index is asked only for absent keys", function()
  local n = 0
  local x = object({__index = function() n = n + 1 end}, {here = false})
  return x.here, x.absent, n
end, false, nil, 1)

check("newindex by a function", function()
  local log = {}
  local x = object{__newindex = function(t, k, v) log[#log + 1] = k; rawset(t, k, v * 2) end}
  x.k = 4
  x.k = 5
  return x.k, #log
end, 5, 1)

check("newindex by a table", function()
  local store = {}
  local x = object{__newindex = store}
  x.k = 1
  return rawget(x, "k"), store.k
end, nil, 1)

check("index and newindex of method definitions and multiple assignment", function()
  local log = {}
  local x = object{__newindex = function(_, k) log[#log + 1] = k end}
  x.a, x.b = 1, 2
  function x.c() end
  function x:d() return self end
  table.sort(log)
  return table.concat(log)
end, "abcd")

check("a loop of __index tables", function()
  return failure("chunk:3: '__index' chain too long", pcall(chunk, [[
    local t = {}
    for i = 1, 2001 do t = setmetatable({}, {__index = t}) end
    return t.x
  ]]))
end, false, "chunk:3: '__index' chain too long")

check("a table that is its own __newindex", function()
  return failure("chunk:3: '__newindex' chain too long",
    pcall(chunk, "local t = {}\nsetmetatable(t, {__newindex = t})\nt.x = 1"))
end, false, "chunk:3: '__newindex' chain too long")

check("call passes the object first", function()
  local x = object{__call = function(self, ...) return type(self), select("#", ...), ... end}
  return x(1, nil)
end, "table", 2, 1, nil)

check("call through a chain of callables", function()
  local inner = object({__call = function(p, q, v) return p.name .. q.name .. v end},
    {name = "inner "})
  local outer = object({__call = inner}, {name = "outer "})
  return outer("v")
end, "inner outer v")

check("call in a tail position, by pcall and as an iterator", function()
  local x = object{__call = function(_, _, i) i = (i or 0) + 1; if i < 3 then return i end end}
  local n = 0
  for _ in x do n = n + 1 end
  local function tail() return x(nil, 1) end
  return n, tail(), select(2, pcall(x, nil, 0))
end, 2, 2, 1)

check("len by a metamethod, rawlen without", function()
  local x = object({__len = function() return 42 end}, {1, 2})
  return #x, rawlen(x), rawlen("four")
end, 42, 2, 4)

check("eq is asked for two different tables", function()
  local n = 0
  local meta = {__eq = function() n = n + 1; return "truthy" end}
  local x, y = object(meta), object(meta)
  return x == y, x ~= y, x == x, rawequal(x, y), n
end, true, false, true, false, 2)

check("eq is not asked for values of different types", function()
  local n = 0
  local x = object{__eq = function() n = n + 1; return true end}
  return x == 1, x == "x", x == nil, 1 == x, n -- luacheck: ignore 314
end, false, false, false, false, 0)

check("eq of the second operand is asked if the first has none", function()
  local y = object{__eq = function() return true end}
  return {} == y, y == {}
end, true, true)

check("lt and le give booleans", function()
  local meta = {__lt = function() return 1 end, __le = function() return nil end}
  local x, y = object(meta), object(meta)
  return x < y, x > y, x <= y, x >= y
end, true, true, false, false)

check("gt and ge swap the operands", function()
  local meta = {
    __lt = function(p, q) return name_of(p) .. name_of(q) == "xy" end,
    __le = function(p, q) return name_of(p) .. name_of(q) == "yx" end,
  }
  local x, y = object(meta, {name = "x"}), object(meta, {name = "y"})
  return x < y, x > y, x <= y, x >= y
end, true, false, false, true)

check("comparison of a table with a number uses the table's metamethod", function()
  local x = object{__lt = function(p, q) return type(p) .. type(q) == "tablenumber" end}
  return x < 1, 1 < x, x < 1.5
end, true, false, true)

check("tostring uses __tostring, then __name", function()
  local x = object{__tostring = function() return "text" end}
  local y = tostring(object{__name = "kind"})
  return tostring(x), y:match("^kind: ") ~= nil
end, "text", true)

check("__tostring must give a string", function()
  return pcall(tostring, object{__tostring = function() return {} end})
end, false, "'__tostring' must return a string")

check("__name in messages of argument errors", function()
  return pcall(chunk, "string.rep(..., 1)", object{__name = "kind"})
end, false, "chunk:1: bad argument #1 to 'rep' (string expected, got kind)")

check("__name in messages of the language", function()
  local x = object{__name = "kind"}
  return select(2, pcall(chunk, "return ... + 1", x)), select(2, pcall(chunk, "return ... < 1", x)),
    select(2, pcall(chunk, "local x = ...\nreturn x .. 'y'", x))
end, "chunk:1: attempt to perform arithmetic on a kind value",
  "chunk:1: attempt to compare kind with number",
  "chunk:2: attempt to concatenate a kind value (local 'x')")

check("getmetatable and setmetatable respect __metatable", function()
  local x = object{__metatable = "locked"}
  return getmetatable(x), pcall(setmetatable, x, {})
end, "locked", false, "cannot change a protected metatable")

check("setmetatable with nil, and its arguments", function()
  local x = object{}
  return getmetatable(setmetatable(x, nil)), pcall(setmetatable, 1, {})
end, nil, false, "bad argument #1 to 'setmetatable' (table expected, got number)")

check("setmetatable needs nil or a table", function()
  return pcall(setmetatable, {}), select(2, pcall(setmetatable, {}, 1))
end, false, "bad argument #2 to 'setmetatable' (nil or table expected, got number)")

check("pairs by __pairs gives three values", function()
  local x = object{__pairs = function(t) return "f", t, "c", "dropped" end}
  local f, t, c, d = pairs(x)
  return f, t == x, c, d
end, "f", true, "c", nil)

check("ipairs respects __index", function()
  local x = object{__index = function(_, i) if i <= 3 then return i * i end end}
  local out = {}
  for i, v in ipairs(x) do out[i] = v end
  return out
end, {1, 4, 9})

check("next ignores metamethods", function()
  return next(object{__index = {k = 1}, __pairs = error})
end, nil)

check("rawget, rawset, rawequal, rawlen ignore metamethods", function()
  local x = object({__index = error, __newindex = error, __len = error, __eq = error}, {1})
  rawset(x, "k", 2)
  return rawget(x, "none"), rawget(x, "k"), rawlen(x), rawequal(x, {})
end, nil, 2, 1, false)

check("strings have a metatable whose __index is string", function()
  local m = getmetatable("")
  return m.__index == string, ("x"):rep(3), #"abc", ("abc").len
end, true, "xxx", 3, string.len)

check("all strings share one metatable, numbers have none", function()
  return getmetatable("a") == getmetatable("b"), getmetatable(1), getmetatable(print)
end, true, nil, nil)

check("indexing a string by a number gives nil", function()
  return ("abc")[1], ("abc").nothing
end, nil, nil)

check("global access through _ENV's metatable", function()
  local env = object{__index = function(_, k) return "global " .. k end}
  return load("return alpha, beta", "=chunk", "t", env)()
end, "global alpha", "global beta")

check("strict globals by __newindex", function()
  local env = object{__newindex = function(_, k) error("new global " .. k, 2) end}
  return pcall(load("local x = 1\ny = x", "=chunk", "t", env))
end, false, "chunk:2: new global y")

check("inheritance with super calls", function()
  local Base = {}
  Base.__index = Base
  function Base.new(class, n) return setmetatable({n = n}, class) end
  function Base:describe() return "base " .. self.n end
  local Derived = setmetatable({}, {__index = Base})
  Derived.__index = Derived
  function Derived:describe() return "derived of " .. Base.describe(self) end
  return Derived:new(3):describe()
end, "derived of base 3")

check("a proxy that counts accesses", function()
  local reads, writes = 0, 0
  local target = {}
  local p = object{
    __index = function(_, k) reads = reads + 1; return target[k] end,
    __newindex = function(_, k, v) writes = writes + 1; target[k] = v end,
    __len = function() return #target end,
    __pairs = function() return next, target, nil end,
  }
  p[1], p[2] = "a", "b"
  local seen = 0
  for _ in pairs(p) do seen = seen + 1 end
  return p[1] .. p[2], #p, reads, writes, seen
end, "ab", 2, 2, 2, 2)

check("table functions respect metamethods", function()
  local target = {}
  local p = object{
    __index = target, __newindex = target, __len = function() return rawlen(target) end,
  }
  table.insert(p, "x")
  table.insert(p, 1, "w")
  return table.concat(p, ","), table.remove(p), rawlen(p), rawlen(target)
end, "w,x", "x", 0, 1)

check("an error in a metamethod passes through", function()
  local x = object{__add = function() error("no sum", 0) end}
  return pcall(function() return x + 1 end)
end, false, "no sum")

-- Messages of operations without a metamethod.
local function fails(name, source, message)
  check(name, function() return pcall(chunk, source) end, false, "chunk:1: " .. message)
end

fails("arithmetic on nil", "local x return x + 1",
  "attempt to perform arithmetic on a nil value (local 'x')")
fails("arithmetic on a field", "local t = {} return 1 - t.field",
  "attempt to perform arithmetic on a nil value (field 'field')")
fails("arithmetic on a global", "return undefined_name * 2",
  "attempt to perform arithmetic on a nil value (global 'undefined_name')")
fails("arithmetic on an upvalue", "local u = {} return (function() return u + 1 end)()",
  "attempt to perform arithmetic on a table value (upvalue 'u')")
fails("arithmetic on a string that is no number", "return 'abc' + 1",
  "attempt to add a 'string' with a 'number'")
fails("bitwise operation on a float", "return 1.5 | 1", "number has no integer representation")
fails("bitwise operation on a table", "return {} & 1",
  "attempt to perform bitwise operation on a table value")
fails("concatenation of nil", "local x return 'a' .. x",
  "attempt to concatenate a nil value (local 'x')")
fails("concatenation of a boolean", "return 1 .. true",
  "attempt to concatenate a boolean value")
fails("length of nil", "local x return #x", "attempt to get length of a nil value (local 'x')")
fails("length of a number", "return #(5)", "attempt to get length of a number value")
fails("unary minus of a table", "return -{}", "attempt to perform arithmetic on a table value")
fails("comparison of two tables", "return {} < {}", "attempt to compare two table values")
fails("comparison of a number with a string", "return 1 < '2'",
  "attempt to compare number with string")
fails("comparison of nil with a number", "return nil >= 1", "attempt to compare number with nil")
fails("call of nil", "local x x()", "attempt to call a nil value (local 'x')")
fails("call of a field", "local t = {} t.method()", "attempt to call a nil value (field 'method')")
fails("call of a method", "local t = {} t:method()",
  "attempt to call a nil value (method 'method')")
fails("call of a global", "undefined_name()",
  "attempt to call a nil value (global 'undefined_name')")
fails("call of a number in a tail position", "return (42)()", "attempt to call a number value")
fails("index of nil", "local x return x.y", "attempt to index a nil value (local 'x')")
fails("index of a field", "local t = {} return t.a.b", "attempt to index a nil value (field 'a')")
fails("index of a boolean, assignment", "local x = true x.y = 1",
  "attempt to index a boolean value (local 'x')")
fails("a nil key", "local t = {} t[nil] = 1", "table index is nil")
fails("a NaN key", "local t = {} t[0/0] = 1", "table index is NaN")

check("a for loop over a non-function", function()
  return failure("chunk:1: attempt to call a number value", pcall(chunk, "for x in 5 do end"))
end, false, "chunk:1: attempt to call a number value")

check("nil and NaN keys may be read", function()
  local t = {}
  return t[nil], t[0 / 0]
end, nil, nil)

-- SPDX-License-Identifier: MIT
-- Language spec: varargs, multiple results and their adjustment, select, table.pack and unpack.

local h = ...
local check, chunk = h.check, h.chunk

local function count(...) return select("#", ...) end
local function three() return 1, 2, 3 end
local function none() end

check("counts of nothing, nil and trailing nils", function()
  return count(), count(nil), count(nil, nil), count(1, nil, 3, nil)
end, 0, 1, 2, 4)

check("missing arguments are nil, extra ones are dropped", function()
  local function f(x, y) return x, y end
  local function g(x, y, ...) return x, y, count(...) end
  return {f(1)}, {f(1, 2, 3)}, {g(1, 2, 3, 4)}
end, {1}, {1, 2}, {1, 2, 2})

check("a call in the last place gives all its results", function()
  return count(three()), count(three(), 1), count(1, three()), count((three()))
end, 3, 2, 4, 1)

check("a call without results", function()
  return count(none()), count(none(), 1), count((none())), {none(), none()}
end, 0, 2, 1, {})

check("varargs in the middle give one value", function()
  local function f(...) return ..., "end" end
  local function g(...) return (...) end
  return count(f(1, 2, 3)), count(f()), (f()), count(g()), g(7, 8)
end, 2, 2, nil, 1, 7)

check("varargs in a table constructor", function()
  local function f(...) return {...}, {..., "x"}, {n = ...} end
  return f(1, 2, 3)
end, {1, 2, 3}, {1, "x"}, {n = 1})

check("varargs in assignments and local declarations", function()
  local function f(...)
    local x, y = ...
    local t = {}
    t.a, t.b, t.c = ...
    return x, y, t.a, t.b, t.c
  end
  return f(1, 2)
end, 1, 2, 1, 2, nil)

check("varargs of the chunk", function()
  return chunk("local a = ... return a, select('#', ...)", "x", nil)
end, "x", 2)

check("varargs cannot be used in a function without them", function()
  return load("function f() return ... end", "=chunk")
end, nil, "chunk:1: cannot use '...' outside a vararg function near '...'")

check("select from the front and from the back", function()
  return select(2, "a", "b", "c"), (select(-1, "a", "b", "c")), select(-2, "a", "b", "c")
end, "b", "c", "b", "c")

check("select past the end gives nothing", function()
  return count(select(4, 1, 2, 3)), count(select(3, 1, 2, 3))
end, 0, 1)

check("select of index 0 and too far back", function()
  return select(2, pcall(select, 0)), select(2, pcall(select, -4, 1, 2, 3))
end, "bad argument #1 to 'select' (index out of range)",
  "bad argument #1 to 'select' (index out of range)")

check("select accepts strings and whole floats as an index", function()
  return (select("2", "a", "b")), (select(2.0, "a", "b")), (pcall(select, 1.5))
end, "b", "b", false)

check("pack keeps the count", function()
  return table.pack(), table.pack(nil), table.pack(1, nil, nil).n
end, {n = 0}, {n = 1}, 3)

check("unpack of ranges", function()
  local t = {1, 2, 3, 4}
  return {table.unpack(t)}, {table.unpack(t, 3)}, {table.unpack(t, 2, 3)}, {table.unpack(t, 3, 2)}
end, {1, 2, 3, 4}, {3, 4}, {2, 3}, {})

check("unpack of absent entries", function()
  return count(table.unpack({}, 1, 3)), count(table.unpack({}, -1, 1)),
    (table.unpack({[0] = "z"}, 0))
end, 3, 3, "z")

check("unpack at the ends of the integers", function()
  local max, min = math.maxinteger, math.mininteger
  local t = {[max] = "max", [min] = "min"}
  return (table.unpack(t, max, max)), (table.unpack(t, min, min)), count(table.unpack(t, max, max))
end, "max", "min", 1)

check("unpack of too many", function()
  return select(2, pcall(table.unpack, {}, 1, 1e7)),
    select(2, pcall(table.unpack, {}, math.mininteger, math.maxinteger))
end, "too many results to unpack", "too many results to unpack")

check("pack and unpack keep a hundred thousand values", function()
  local t = table.pack(table.unpack({}, 1, 100000))
  return t.n, count(table.unpack(t, 1, t.n))
end, 100000, 100000)

check("a recursive function over varargs", function()
  local function sum(x, ...)
    if not x then return 0 end
    return x + sum(...)
  end
  return sum(1, 2, 3, 4, 5)
end, 15)

check("varargs survive closures made in the function", function()
  local function f(...)
    local args = table.pack(...)
    return function() return table.unpack(args, 1, args.n) end, count(...)
  end
  local g, n = f(1, nil, 3, nil)
  return n, count(g())
end, 4, 4)

check("tail calls pass all values and use no stack", function()
  local function loop(n, ...)
    if n == 0 then return count(...) end
    return loop(n - 1, ...)
  end
  return loop(300000, 1, nil, nil)
end, 3)

check("a tail call to a function with more parameters", function()
  local function wide(x, y, z, w) return x, y, z, w end
  local function tail(...) return wide(...) end
  return tail(1, 2)
end, 1, 2, nil, nil)

check("method calls with varargs", function()
  local t = {name = "t"}
  function t:f(...) return self.name, count(...), ... end
  return t:f(nil, 2)
end, "t", 2, nil, 2)

check("calls with a table or string literal", function()
  local function f(x, ...) return type(x), count(...) end
  local t1, n1 = f{1, 2}
  local t2, n2 = f"s"
  return t1, n1, t2, n2
end, "table", 0, "string", 0)

check("a constructor with more than fifty values and a call", function()
  local t = {
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50,
    51, 52, 53, 54, three(),
  }
  return #t, t[55], t[57]
end, 57, 1, 3)

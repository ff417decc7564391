-- SPDX-License-Identifier: MIT
-- Language spec: tables, length, traversal and the table library.

local h = ...
local check, chunk = h.check, h.chunk

local function message(f, ...) return (select(2, pcall(f, ...))) end

check("constructors of every form", function()
  local t = {1, [2 + 1] = "three", key = "k", ["with space"] = true; 2, nil, 4}
  return t[1], t[2], t[3], t[4], t.key, t["with space"]
end, 1, 2, nil, 4, "k", true)

check("integer and float keys are one, strings are others", function()
  local t = {}
  t[1] = "int"
  t[1.0] = "float"
  t["1"] = "string"
  t[2^53] = "big"
  return t[1], t["1"], t[2^53 | 0], next({[3.0] = 1}), math.type((next({[3.0] = 1})))
end, "float", "string", "big", 3, "integer")

check("any value but nil and NaN as a key", function()
  local f, t = print, {}
  t[f], t[t], t[true], t[-0.0], t[math.huge] = 1, 2, 3, 4, 5
  return t[print], t[t], t[true], t[0], t[1 / 0]
end, 1, 2, 3, 4, 5)

check("length of a sequence that grows and shrinks", function()
  local t, out = {}, {}
  for i = 1, 20 do t[#t + 1] = i end
  out[1] = #t
  for _ = 1, 15 do t[#t] = nil end
  out[2] = #t
  return out
end, {20, 5})

check("length with nils at the end", function()
  return #{1, 2, nil}, #{nil}, #{n = 1}, #{[0] = 1}
end, 2, 0, 0, 0)

check("next over all pairs once", function()
  local t, seen, n = {1, 2, 3, a = 1, b = 2}, {}, 0
  for k in next, t do
    if seen[k] then return "twice" end
    seen[k] = true
    n = n + 1
  end
  return n
end, 5)

check("entries may be cleared during a traversal", function()
  local t, n = {}, 0
  for i = 1, 100 do t[i], t["k" .. i] = i, i end
  for k in pairs(t) do
    t[k] = nil
    n = n + 1
  end
  return n, next(t)
end, 200, nil)

check("next of an absent key", function()
  return pcall(next, {}, "no")
end, false, "invalid key to 'next'")

check("next after the last key", function()
  return next({10}, 1), next({}), next({10})
end, nil, nil, 1, 10)

check("ipairs stops at the first nil", function()
  local n = 0
  for i in ipairs{1, 2, nil, 4} do n = i end
  return n
end, 2)

check("a value may be replaced during ipairs", function()
  local t, out = {1, 2, 3}, {}
  for i, v in ipairs(t) do
    if i == 1 then t[2] = 20 end
    out[i] = v
  end
  return out
end, {1, 20, 3})

check("insert at the end, the front and the middle", function()
  local t = {}
  table.insert(t, "b")
  table.insert(t, 1, "a")
  table.insert(t, 3, "d")
  table.insert(t, 3, "c")
  return t
end, {"a", "b", "c", "d"})

check("insert out of bounds", function()
  return message(chunk, "table.insert({1, 2}, 4, 'x')"),
    message(chunk, "table.insert({1, 2}, 0, 'x')"), message(chunk, "table.insert({}, 2, 'x')")
end, "chunk:1: bad argument #2 to 'insert' (position out of bounds)",
  "chunk:1: bad argument #2 to 'insert' (position out of bounds)",
  "chunk:1: bad argument #2 to 'insert' (position out of bounds)")

check("insert with a wrong number of arguments", function()
  return message(table.insert, {}), message(table.insert, {}, 1, 2, 3)
end, "wrong number of arguments to 'insert'", "wrong number of arguments to 'insert'")

check("insert into a non-table", function()
  return pcall(chunk, "table.insert(nil, 1)")
end, false, "chunk:1: bad argument #1 to 'insert' (table expected, got nil)")

check("insert gives nothing", function()
  return select("#", table.insert({}, 1))
end, 0)

check("remove from the end, the front and the middle", function()
  local t = {"a", "b", "c", "d"}
  return table.remove(t), table.remove(t, 1), table.remove(t, 1), t
end, "d", "a", "b", {"c"})

check("remove from an empty table", function()
  local t = {}
  return table.remove(t), table.remove(t, 0), table.remove(t, #t), select("#", table.remove(t))
end, nil, nil, nil, 1)

check("remove just past the end, and further", function()
  local t = {1, 2}
  return table.remove(t, 3), message(table.remove, t, 4):match("%((.*)%)"),
    message(table.remove, t, -1):match("%((.*)%)")
end, nil, "position out of bounds", "position out of bounds")

check("remove of position 0 of a table with entry 0", function()
  local t = {[0] = "zero"}
  return table.remove(t, 0), t[0]
end, "zero", nil)

check("concat", function()
  return table.concat{}, table.concat{1, 2.5, "x"}, table.concat({1, 2, 3}, ", "),
    table.concat({1, 2, 3}, "-", 2), table.concat({1, 2, 3}, "-", 2, 2),
    table.concat({1, 2}, "-", 3)
end, "", "12.5x", "1, 2, 3", "2-3", "2", "")

check("concat of a bad value", function()
  return message(table.concat, {1, {}, 3}):match("index 2%)? in table for 'concat'") ~= nil,
    message(table.concat, {1}, "", 1, 2):match("index 2%)? in table for 'concat'") ~= nil
end, true, true)

check("concat at the ends of the integers", function()
  local t = {[math.maxinteger] = "end"}
  return table.concat(t, "x", math.maxinteger, math.maxinteger),
    table.concat({}, "x", 1, math.mininteger)
end, "end", "")

check("move within a table, both ways", function()
  return table.move({1, 2, 3}, 1, 3, 2), table.move({1, 2, 3}, 2, 3, 1),
    table.move({1, 2, 3}, 1, 0, 9)
end, {1, 1, 2, 3}, {2, 3, 3}, {1, 2, 3})

check("move to another table gives that table", function()
  local to = {"x"}
  return table.move({1, 2}, 1, 2, 2, to) == to, to
end, true, {"x", 1, 2})

check("move too far", function()
  return message(table.move, {}, 1, math.maxinteger, 2),
    message(table.move, {}, -1, math.maxinteger, 2)
end, "bad argument #4 to 'table.move' (destination wrap around)",
  "bad argument #3 to 'table.move' (too many elements to move)")

check("move respects metamethods", function()
  local log = {}
  local to = setmetatable({}, {__newindex = function(_, k, v) log[#log + 1] = k .. "=" .. v end})
  local from = setmetatable({}, {__index = function(_, k) return "v" .. k end})
  table.move(from, 1, 3, 5, to)
  return table.concat(log, " ")
end, "5=v1 6=v2 7=v3")

check("sort of numbers and strings", function()
  local a, b = {3, 1.5, -2, 10, 2}, {"banana", "apple", "Cherry"}
  table.sort(a)
  table.sort(b)
  return a, b
end, {-2, 1.5, 2, 3, 10}, {"Cherry", "apple", "banana"})

check("sort by a function", function()
  local t = {{"b", 2}, {"a", 2}, {"c", 1}}
  table.sort(t, function(x, y)
    if x[2] ~= y[2] then return x[2] < y[2] end
    return x[1] < y[1]
  end)
  return t[1][1], t[2][1], t[3][1]
end, "c", "a", "b")

check("sort descending, and of a sorted and a constant table", function()
  local a, b, c = {}, {}, {}
  for i = 1, 200 do a[i], b[i], c[i] = i, i, 7 end
  table.sort(a, function(x, y) return x > y end)
  table.sort(b)
  table.sort(c)
  return a[1], a[200], b[1], b[200], c[1], c[200]
end, 200, 1, 1, 200, 7, 7)

check("sort of five thousand pseudo-random numbers", function()
  local t, x = {}, 42
  for i = 1, 5000 do
    x = (x * 1103515245 + 12345) % 2147483648
    t[i] = x
  end
  table.sort(t)
  for i = 2, #t do if t[i - 1] > t[i] then return i end end
  return #t
end, 5000)

check("sort by metamethods", function()
  local meta = {__lt = function(a, b) return a.v < b.v end}
  local t = {}
  for i, v in ipairs{3, 1, 2} do t[i] = setmetatable({v = v}, meta) end
  table.sort(t)
  return t[1].v, t[2].v, t[3].v
end, 1, 2, 3)

check("sort of values that cannot be compared", function()
  return message(table.sort, {1, "x"}), message(table.sort, {{}, {}})
end, "attempt to compare string with number", "attempt to compare two table values")

check("sort by an inconsistent function", function()
  local t = {}
  for i = 1, 100 do t[i] = i end
  return message(table.sort, t, function() return true end)
end, "invalid order function for sorting")

check("an error in the order function passes through", function()
  return pcall(table.sort, {2, 1}, function() error("no order", 0) end)
end, false, "no order")

check("sort with a bad order function", function()
  return message(table.sort, {2, 1}, 42)
end, "bad argument #2 to 'table.sort' (function expected, got number)")

check("sort inside a sort", function()
  local t = {{3, 1}, {2, 0}, {9, 1}}
  table.sort(t, function(a, b)
    table.sort(a)
    table.sort(b)
    return a[1] + a[2] < b[1] + b[2]
  end)
  return t
end, {{0, 2}, {1, 3}, {1, 9}})

check("sort of a proxy through metamethods", function()
  local data = {3, 1, 2}
  local p = setmetatable({}, {
    __index = data, __len = function() return #data end,
    __newindex = function(_, k, v) data[k] = v end,
  })
  table.sort(p)
  return data, rawlen(p)
end, {1, 2, 3}, 0)

check("a length that is no integer", function()
  return message(table.concat, setmetatable({}, {__len = function() return "x" end})),
    message(table.insert, setmetatable({}, {__len = function() return 1.5 end}), 1)
end, "object length is not an integer", "object length is not an integer")

check("a table of a hundred thousand entries", function()
  local t = {}
  for i = 1, 100000 do t[i] = i end
  for i = 1, 100000, 2 do t["k" .. i] = i end
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  return #t, n
end, 100000, 150000)

check("nested tables by reference", function()
  local inner = {1}
  local a, b = {inner}, {inner}
  b[1][1] = 2
  return a[1][1], a[1] == b[1], a == b
end, 2, true, false)

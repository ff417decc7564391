-- SPDX-License-Identifier: MIT
-- Language spec: where a yield may happen: pcall, xpcall, metamethods, iterators, close methods.

local h = ...
local check, chunk = h.check, h.chunk
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local wrap = coroutine.wrap

-- Runs fn in a coroutine; each yielded value is noted and answered with ten times itself.
local function drive(fn)
  local co = create(fn)
  local out, answer = {}, nil
  while true do
    local r = table.pack(resume(co, answer))
    if not r[1] then error(r[2], 0) end
    if coroutine.status(co) == "dead" then
      return table.concat(out, " "), table.unpack(r, 2, r.n)
    end
    out[#out + 1] = tostring(r[2])
    answer = math.type(r[2]) == "integer" and r[2] * 10 or r[2]
  end
end

check("across pcall", function()
  return drive(function()
    local ok, v = pcall(function() return yield(1) + yield(2) end)
    return ok, v
  end)
end, "1 2", true, 30)

check("across pcall, then an error", function()
  return drive(function()
    return pcall(function() error(yield(1), 0) end)
  end)
end, "1", false, 10)

check("across nested pcalls, an error in the middle", function()
  return drive(function()
    local a, b, c = pcall(function()
      local x, y = pcall(function() yield(1); error("inner", 0) end)
      yield(2)
      return x, y
    end)
    return a, b, c
  end)
end, "1 2", true, false, "inner")

check("pcall keeps all results across a yield", function()
  return drive(function()
    return pcall(function(...) return yield(1), nil, ..., nil end, "a", "b")
  end)
end, "1", true, 10, nil, "a", nil)

check("an error after a yield is caught by the right pcall", function()
  return drive(function()
    local r = {pcall(function()
      local inner = {pcall(yield, 1)}
      error({inner[1], inner[2]}, 0)
    end)}
    return r[1], r[2]
  end)
end, "1", false, {true, 10})

check("pcall of yield itself", function()
  return drive(function() return pcall(yield, 5) end)
end, "5", true, 50)

check("across xpcall", function()
  return drive(function()
    return xpcall(function(a) return a, yield(1) end, print, "arg")
  end)
end, "1", true, "arg", 10)

check("across xpcall, then an error: the handler runs", function()
  return drive(function()
    return xpcall(function() yield(1); error("e", 0) end, function(m) return "handled " .. m end)
  end)
end, "1", false, "handled e")

check("a message handler cannot yield", function()
  return drive(function()
    local ok, message = xpcall(error, function() return yield(1) end, "e")
    return ok, type(message)
  end)
end, "", false, "string")

check("across an error object and a re-raise", function()
  return drive(function()
    local ok, e = pcall(function()
      local _, inner = pcall(function() yield(1); error({code = 1}) end)
      yield(2)
      inner.code = inner.code + 1
      error(inner)
    end)
    return ok, e
  end)
end, "1 2", false, {code = 2})

check("across a hundred pcalls", function()
  return drive(function()
    local function nest(n)
      if n == 0 then return yield(1) end
      return select(2, pcall(nest, n - 1))
    end
    return nest(100)
  end)
end, "1", 10)

check("across a hundred pcalls, the error from the bottom", function()
  return drive(function()
    local caught = 0
    local function nest(n)
      if n == 0 then yield(1); error("bottom", 0) end
      local ok, message = pcall(nest, n - 1)
      if not ok then caught = caught + 1; error(message, 0) end
    end
    local ok, message = pcall(nest, 100)
    return ok, message, caught
  end)
end, "1", false, "bottom", 100)

check("across select, assert and ipairs", function()
  return drive(function()
    local sum = 0
    for i, v in ipairs{yield(1), yield(2)} do sum = sum + i * v end
    return sum, assert(yield(3)), (select(2, yield(4), yield(5)))
  end)
end, "1 2 3 4 5", 50, 30, 50)

check("across dofile", function()
  local name = os.tmpname()
  local f = assert(io.open(name, "w"))
  f:write("local a = coroutine.yield(1)\nreturn a, coroutine.yield(2)")
  f:close()
  local r = table.pack(drive(function() return dofile(name) end))
  os.remove(name)
  return table.unpack(r, 1, r.n)
end, "1 2", 10, 20)

check("across a loaded chunk", function()
  return drive(load("return coroutine.yield(1), coroutine.yield(2)"))
end, "1 2", 10, 20)

-- Each operation with a metamethod that yields: the operation's result is the answer.
local meta = {
  __close = function() yield("close") end,
  __call = function(_, ...) return yield("call"), ... end,
  __pairs = function(t) yield("pairs"); return next, t, nil end,
  __len = function() return yield("len") end,
  __unm = function() return yield("unm") end,
  __bnot = function() return yield("bnot") end,
  __index = function(_, k) return yield("index " .. k) end,
  __newindex = function(_, k, v) yield("newindex " .. k .. " " .. v) end,
  __eq = function() return yield("eq") end,
  __lt = function() return yield("lt") end,
  __le = function() return yield("le") end,
  __concat = function() return yield("concat") end,
}
for _, name in ipairs{
  "add", "sub", "mul", "div", "mod", "pow", "idiv", "band", "bor", "bxor", "shl", "shr",
} do
  meta["__" .. name] = function() return yield(name) end
end

local function operation(name, source, ...)
  local f = assert(load("local a, b = ...\n" .. source))
  check("inside " .. name, function()
    local a, b = setmetatable({}, meta), setmetatable({}, meta)
    return drive(function() return f(a, b) end)
  end, ...)
end

operation("__add", "return a + b", "add", "add")
operation("__add with a constant", "return a + 1", "add", "add")
operation("__add with a constant on the left", "return 2 + a", "add", "add")
operation("__sub", "return a - b", "sub", "sub")
operation("__mul", "return a * 2.5", "mul", "mul")
operation("__div", "return a / b", "div", "div")
operation("__mod", "return a % 7", "mod", "mod")
operation("__pow", "return a ^ b", "pow", "pow")
operation("__idiv", "return a // b", "idiv", "idiv")
operation("__band", "return a & 1", "band", "band")
operation("__bor", "return a | b", "bor", "bor")
operation("__bxor", "return a ~ b", "bxor", "bxor")
operation("__shl", "return a << 1", "shl", "shl")
operation("__shl with a constant on the left", "return 1 << a", "shl", "shl")
operation("__shr", "return a >> b", "shr", "shr")
operation("__unm", "return -a", "unm", "unm")
operation("__bnot", "return ~a", "bnot", "bnot")
operation("__len", "return #a", "len", "len")
operation("__concat", "return a .. b", "concat", "concat")
operation("__concat in the middle of a chain", "return 'x' .. a .. 'y'", "concat", "xconcat")
operation("__index", "return a.field", "index field", "index field")
operation("__index of a method call", "local ok = pcall(a.method)\nreturn ok", "index method",
  false)
operation("__newindex", "a.field = 7", "newindex field 7")
operation("__call", "return a(1, 2)", "call", "call", 1, 2)
operation("__call in a tail call, through pcall", "return pcall(a, 3)", "call", true, "call", 3)
operation("__eq", "return a == b", "eq", true)
operation("__eq, negated", "return a ~= b", "eq", false)
operation("__lt", "return a < b", "lt", true)
operation("__lt with a constant", "return a < 3", "lt", true)
operation("__lt, swapped", "return a > b", "lt", true)
operation("__le", "return a <= b", "le", true)
operation("__le, swapped", "return 3 >= a", "le", true)
operation("a condition", "if a < b then return 'yes' end\nreturn 'no'", "lt", "yes")
operation("a negated condition", "return not (a == b) and 'no' or 'yes'", "eq", "yes")
operation("__pairs", "local n = 0\nfor _ in pairs(a) do n = n + 1 end\nreturn n", "pairs", 0)
operation("__close at the end of a block",
  "do local x <close> = a end\nreturn 'after'", "close", "after")
operation("__close at a return", "local x <close> = a\nreturn 1, 2, 3", "close", 1, 2, 3)
operation("__close at a break", [[
  for i = 1, 2 do
    local x <close> = a
    if i then break end
  end
  return 'after']], "close", "after")
operation("__close at a goto", "do\nlocal x <close> = a\ngoto out\nend\n::out::\nreturn 'out'",
  "close", "out")
operation("__close after an error", [[
  return pcall(function()
    local x <close> = a
    local y <close> = b
    error('boom', 0)
  end)]], "close close", false, "boom")
operation("two __close at a return", "local x <close> = a\nlocal y <close> = b\nreturn 'both'",
  "close close", "both")

check("inside an iterator function of a for loop", function()
  return drive(function()
    local out = {}
    for v in function(_, i) i = (i or 0) + 1; if i <= 3 then yield(i); return i end end do
      out[#out + 1] = v
    end
    return table.concat(out, ",")
  end)
end, "1 2 3", "1,2,3")

check("inside the body of a numeric for loop", function()
  return drive(function()
    local sum = 0
    for i = 1, 3 do sum = sum + yield(i) end
    return sum
  end)
end, "1 2 3", 60)

check("inside the arguments of a call", function()
  return drive(function() return math.max(yield(1), yield(3), yield(2)) end)
end, "1 3 2", 30)

check("inside a table constructor", function()
  return drive(function() return {yield(1), k = yield(2), yield(3)} end)
end, "1 2 3", {10, 30, k = 20})

check("inside a long concatenation", function()
  return drive(function() return yield(1) .. "-" .. yield(2) .. "-" .. yield(3) end)
end, "1 2 3", "10-20-30")

check("inside and, or, not", function()
  return drive(function()
    return (yield(1) and yield(2)) or yield(3), not yield(4)
  end)
end, "1 2 4", 20, false)

check("inside a repeat condition", function()
  return drive(function()
    local n = 0
    repeat n = n + 1 until yield(n) >= 30
    return n
  end)
end, "1 2 3", 3)

check("inside a method found through three tables", function()
  return drive(function()
    local class = {get = function(self, k) return yield(k) + self.base end}
    local sub = setmetatable({}, {__index = class})
    local object = setmetatable({base = 1}, {__index = sub})
    return object:get(4)
  end)
end, "4", 41)

check("a wrapped coroutine as a metamethod", function()
  local f = wrap(function(_, k)
    while true do _, k = yield(k .. "!") end
  end)
  local t = setmetatable({}, {__index = f})
  return t.a, t.b, t.c
end, "a!", "b!", "c!")

check("the inner coroutine's yield stays with the inner resumer", function()
  return drive(function()
    local inner = wrap(function() for i = 1, 3 do yield(i) end end)
    local a, b = inner(), inner()
    return yield("outer"), a, b, inner()
  end)
end, "outer", "outer", 1, 2, 3)

local boundary = "attempt to yield across a C-call boundary"

local function refused(name, fn)
  check("not inside " .. name, function()
    return resume(create(fn))
  end, false, boundary)
end

refused("table.sort", function() table.sort({3, 2, 1}, function() yield() end) end)
refused("string.gsub", function() return (("abc"):gsub("%a", function() yield() end)) end)
refused("tostring", function()
  return tostring(setmetatable({}, {__tostring = function() yield() end}))
end)
refused("a chunk reader", function()
  local f, message = load(function() yield() end)
  error(message, f and 1 or 0)
end)
refused("table.concat's __index", function()
  return table.concat(setmetatable({}, {__index = function() yield() end,
    __len = function() return 1 end}))
end)
refused("table.unpack's __index", function()
  return table.unpack(setmetatable({}, {__index = function() yield() end}), 1, 1)
end)
refused("table.insert's __newindex", function()
  table.insert(setmetatable({}, {__newindex = function() yield() end}), 1)
end)
refused("string.format's __tostring", function()
  return ("%s"):format(setmetatable({}, {__tostring = function() yield() end}))
end)

check("not inside a hook", function()
  local co = create(function() local n = 0; for i = 1, 10 do n = n + i end; return n end)
  debug.sethook(co, function() yield() end, "", 1)
  return resume(co)
end, false, boundary)

check("not inside a gsub callback, but the coroutine may catch it", function()
  return wrap(function()
    local ok, message = pcall(string.gsub, "a", "a", function() yield() end)
    local v = yield(message)
    return ok, v
  end)()
end, boundary)

check("a coroutine of its own may yield inside a gsub callback", function()
  return (("abc"):gsub("%a", function(c)
    local f = wrap(function() yield(c); return "x" end)
    return f() .. f()
  end))
end, "axbxcx")

check("a coroutine of its own may yield inside a table.sort callback", function()
  local t = {3, 1, 2}
  table.sort(t, function(a, b)
    local f = wrap(function() yield(); return a < b end)
    f()
    return f()
  end)
  return t
end, {1, 2, 3})

check("a coroutine made outside may be resumed inside a gsub callback", function()
  local f = wrap(function() for i = 1, 3 do yield(tostring(i)) end end)
  return (("abc"):gsub("%a", function() return f() end))
end, "123")

check("a wrapped coroutine as a gsub callback", function()
  return ("abc"):gsub("%a", wrap(function() for i = 1, 3 do yield(i) end end))
end, "123", 3)

check("a wrapped coroutine as a message handler", function()
  return xpcall(error, wrap(function(m) return m .. "!" end), "e", 0)
end, false, "e!")

check("a wrapped coroutine as a chunk reader", function()
  return load(wrap(function() yield("return "); yield("'read'") end))()
end, "read")

check("a wrapped coroutine as a finaliser", function()
  local seen
  setmetatable({}, {__gc = wrap(function(o) seen = type(o) end)})
  collectgarbage()
  collectgarbage()
  return seen
end, "table")

check("a wrapped coroutine as a hook", function()
  local n = 0
  debug.sethook(wrap(function() while true do n = n + 1; yield() end end), "l")
  local x = 1
  x = x + 1
  debug.sethook()
  return n > 0, x
end, true, 2)

check("not from a finaliser", function()
  local message
  local co = create(function()
    setmetatable({}, {__gc = function() message = select(2, pcall(yield)) end})
    collectgarbage()
    collectgarbage()
  end)
  resume(co)
  return message
end, boundary)

check("an error position after a yield is right", function()
  local co = create(load("coroutine.yield()\nlocal t = nil\nlocal x = t.x", "=chunk"))
  resume(co)
  return resume(co)
end, false, "chunk:3: attempt to index a nil value (local 't')")

check("error with level 2 after a yield is right", function()
  return pcall(chunk, [[
    local function fail() coroutine.yield(); error("late", 2) end
    local f = coroutine.wrap(function()
      fail()
    end)
    f()
    f()
  ]])
end, false, "chunk:6: chunk:3: late")

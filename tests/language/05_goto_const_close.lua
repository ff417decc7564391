-- SPDX-License-Identifier: MIT
-- Language spec: goto, local attributes <const> and <close>, scoping of locals and closures.

local h = ...
local check, chunk = h.check, h.chunk

-- A compilation that must fail with a message that has `part` in it.
local function rejected(name, source, part)
  check(name, function()
    local f, message = load(source, "=chunk")
    return f, message:find(part, 1, true) and part or message
  end, nil, part)
end

local function closer(log, name, act)
  return setmetatable({}, {__close = function(_, e)
    log[#log + 1] = name .. (e == nil and "" or "(" .. tostring(e) .. ")")
    if act then act(e) end
  end})
end

check("goto forward", function()
  return chunk("goto done\nerror('not skipped')\n::done:: return 'done'")
end, "done")

check("goto backward makes a loop", function()
  local i, out = 1, {}
  ::top::
  out[#out + 1] = i
  i = i + 1
  if i <= 3 then goto top end
  return out
end, {1, 2, 3})

check("goto continue", function()
  local out = {}
  for i = 1, 6 do
    if i % 2 == 0 then goto continue end
    out[#out + 1] = i
    ::continue::
  end
  return out
end, {1, 3, 5})

check("goto out of nested loops", function()
  local n = 0
  for i = 1, 10 do
    for j = 1, 10 do
      n = n + 1
      if i * j == 6 then goto out end
    end
  end
  ::out::
  return n
end, 6)

check("goto in a repeat, past its locals", function()
  return chunk([[
    local n = 0
    repeat
      n = n + 1
      if n < 3 then goto continue end
      do return n end
      ::continue::
    until false
  ]])
end, 3)

check("a label name may be used again in another block", function()
  local out = {}
  do goto a; ::a:: out[1] = "first" end
  do goto a; ::a:: out[2] = "second" end
  return out
end, {"first", "second"})

check("each backward goto makes fresh locals for closures", function()
  local fs, i = {}, 1
  ::top::
  do
    local k = i
    fs[#fs + 1] = function() k = k + 10; return k end
  end
  i = i + 1
  if i <= 3 then goto top end
  return fs[1](), fs[2](), fs[3](), fs[1]()
end, 11, 12, 13, 21)

rejected("goto without a label", "goto nowhere",
  "chunk:1: no visible label 'nowhere' for ")
rejected("goto into a block", "goto inside\ndo ::inside:: end",
  "chunk:2: no visible label 'inside' for ")
rejected("goto into the scope of a local", "goto l\nlocal a\n::l:: print(a)",
  "chunk:3: <goto l> at line 1 jumps into the scope of local 'a'")
rejected("a label defined twice", "::l:: local x\n::l::",
  "chunk:2: label 'l' already defined on line 1")
rejected("a label defined twice in nested blocks", "::l:: local x\ndo ::l:: end",
  "chunk:2: label 'l' already defined on line 1")
rejected("break outside a loop", "break", "chunk:1: break outside")

check("goto to a label at the end of a block, past a local", function()
  return chunk("do goto e\nlocal a = 1\n::e:: end return 'ok'")
end, "ok")

check("const gives its value", function()
  local n <const>, s <const>, f <const> = 10, "text", 2.5
  return n + 1, s .. "!", f
end, 11, "text!", 2.5)

check("a const table may be changed inside", function()
  local t <const> = {}
  t.x = 1
  return t.x
end, 1)

check("const in a closure", function()
  local n <const> = {7}
  return (function() return (function() return n[1] end)() end)()
end, 7)

rejected("assignment to a const", "local x <const> = 1\nx = 2",
  "chunk:2: attempt to assign to const variable 'x'")
rejected("assignment to a const upvalue", "local x <const> = 1\nfunction f() x = 2 end",
  "chunk:2: attempt to assign to const variable 'x'")
rejected("assignment to a close variable", "local x <close> = nil\nx = 2",
  "chunk:2: attempt to assign to const variable 'x'")
rejected("function statement on a const", "local f <const> = 1\nfunction f() end",
  "chunk:2: attempt to assign to const variable 'f'")
rejected("an unknown attribute", "local x <var> = 1", "chunk:1: unknown attribute 'var'")
rejected("two close variables in one declaration", "local a <close>, b <close> = nil, nil",
  "chunk:1: multiple to-be-closed variables in local list")

check("close at the end of a block", function()
  local log = {}
  do
    local x <close> = closer(log, "x")
    log[#log + 1] = type(x)
  end
  log[#log + 1] = "after"
  return table.concat(log, " ")
end, "table x after")

check("close in reverse order of declaration", function()
  local log = {}
  do
    local a <close> = closer(log, "a")
    local b <close> = closer(log, "b")
    local c <close> = closer(log, "c")
    log[1] = type(a) .. type(b) .. type(c)
  end
  return table.concat(log, " ")
end, "tabletabletable c b a")

check("nil and false need no close method", function()
  local a <close> = nil
  local b <close> = false
  return a, b
end, nil, false)

check("a value without a close method", function()
  return pcall(chunk, "local x <close> = {}")
end, false, "chunk:1: variable 'x' got a non-closable value")

check("a number as a close variable", function()
  return pcall(chunk, "local handle <close> = 42")
end, false, "chunk:1: variable 'handle' got a non-closable value")

check("close at return, after the results are evaluated", function()
  local log = {}
  local function f()
    local x <close> = closer(log, "x")
    return #log, x and "value"
  end
  local n, v = f()
  return n, v, #log
end, 0, "value", 1)

check("close with many results", function()
  local function f(...)
    local x <close> = closer({}, "x")
    return x ~= nil, ...
  end
  return f(1, nil, 3, nil)
end, true, 1, nil, 3, nil)

check("close at break and at goto", function()
  local log = {}
  for _ = 1, 2 do
    local x <close> = closer(log, "w")
    if x then break end
  end
  for _ = 1, 2 do
    local x <close> = closer(log, "f")
    if x then goto continue end
    ::continue::
  end
  return table.concat(log, " ")
end, "w f f")

check("close each time round a loop", function()
  local log = {}
  for i = 1, 3 do
    local x <close> = closer(log, "x" .. i)
    log[#log + 1] = x and "-"
  end
  return table.concat(log)
end, "-x1-x2-x3")

check("close by an error gives the error to each method", function()
  local log = {}
  local ok, message = pcall(function()
    local a <close> = closer(log, "a")
    local b <close> = closer(log, "b")
    error("boom", a and b and 0)
  end)
  return ok, message, table.concat(log, " ")
end, false, "boom", "b(boom) a(boom)")

check("an error in a close method replaces the error", function()
  local log = {}
  local ok, message = pcall(function()
    local a <close> = closer(log, "a")
    local b <close> = closer(log, "b", function(e) error(e .. "+b", 0) end)
    local c <close> = closer(log, "c", function(e) error(e .. "+c", 0) end)
    error("boom", a and b and c and 0)
  end)
  return ok, message, table.concat(log, " ")
end, false, "boom+c+b", "c(boom) b(boom+c) a(boom+c+b)")

check("an error in a close method at a normal end", function()
  local log = {}
  local ok, message = pcall(function()
    local a <close> = closer(log, "a")
    local b <close> = closer(log, "b", function() error("late", 0) end)
    return a, b
  end)
  return ok, message, table.concat(log, " ")
end, false, "late", "b a(late)")

check("a close method receives the value and the error", function()
  local seen
  local x0 = setmetatable({}, {__close = function(...) seen = table.pack(...) end})
  pcall(function()
    local x <close> = x0
    error({code = 5}, x and 1)
  end)
  return seen.n, seen[1] == x0, seen[2].code
end, 2, true, 5)

check("a close method's results are dropped", function()
  local function f()
    local x <close> = setmetatable({}, {__close = function() return "ignored" end})
    return x and "kept"
  end
  return f()
end, "kept")

check("a metatable that lost its close method", function()
  local ok, message = pcall(chunk, [[
    local meta = {__close = print}
    local x <close> = setmetatable({}, meta)
    meta.__close = nil
  ]])
  return ok, message:match("metamethod 'close'") or message
end, false, "metamethod 'close'")

check("close variable of a tail-position call is closed after the call", function()
  local log = {}
  local function callee() log[#log + 1] = "callee"; return "r" end
  local function f()
    local x <close> = closer(log, "x")
    return callee(x)
  end
  return f(), table.concat(log, " ")
end, "r", "callee x")

check("the fourth value of a for loop is closed at its end", function()
  local log = {}
  for i in function(_, i) i = (i or 0) + 1; if i < 3 then return i end end, nil, nil,
    closer(log, "it") do
    log[#log + 1] = i
  end
  return table.concat(log, " ")
end, "1 2 it")

check("the fourth value of a for loop is closed at break", function()
  local log = {}
  for i in function() return 1 end, nil, nil, closer(log, "it") do
    log[#log + 1] = i
    if #log == 2 then break end
  end
  return table.concat(log, " ")
end, "1 1 it")

check("the fourth value of a for loop is closed by an error", function()
  local log = {}
  pcall(function()
    for _ in function() return 1 end, nil, nil, closer(log, "it") do error("e", 0) end
  end)
  return table.concat(log, " ")
end, "it(e)")

check("a closure over a close variable sees it after the close", function()
  local get
  do
    local x <close> = closer({}, "x")
    get = function() return x end
  end
  return type(get())
end, "table")

check("a close method may use close variables", function()
  local log = {}
  do
    local x <close> = closer(log, "outer", function()
      local y <close> = closer(log, "inner")
      log[#log + 1] = y and "in"
    end)
    log[#log + 1] = x and "body"
  end
  return table.concat(log, " ")
end, "body outer in inner")

check("a local is not visible in its own initialiser", function()
  local x = 1
  do
    local x = x + 1 -- luacheck: ignore 421 431
    if x ~= 2 then return "wrong" end
  end
  return x
end, 1)

check("a local function is visible in its own body", function()
  local function f(n) return n == 0 and "end" or f(n - 1) end
  return f(3)
end, "end")

check("each turn of a loop has its own control variable", function()
  local fs = {}
  for i = 1, 3 do fs[i] = function() i = i + 10; return i end end
  return fs[1](), fs[1](), fs[2](), fs[3]()
end, 11, 21, 12, 13)

check("a repeat condition sees the body's locals", function()
  local n = 0
  repeat
    n = n + 1
    local done = n == 4
  until done
  return n
end, 4)

check("closures share one variable", function()
  local function pair()
    local n = 0
    return function() n = n + 1; return n end, function() n = n * 10; return n end
  end
  local inc, mul = pair()
  inc()
  inc()
  return mul(), inc(), (pair())()
end, 20, 21, 1)

check("assignment evaluates its right side first", function()
  local i, t = 1, {}
  i, t[i] = i + 1, 20
  local a, b, c = (function() return 1, 2, 3 end)()
  a, b, c = c, a, b
  return i, t[1], t[2], a, b, c
end, 2, 20, nil, 3, 1, 2)

rejected("200 locals are allowed, 201 are not",
  ("local a\n"):rep(201), "too many local variables (limit is 200) in main function")

-- SPDX-License-Identifier: MIT
-- Language spec: create, resume, yield, wrap, status, running, isyieldable where nothing fails.

local h = ...
local check, outside = h.check, h.outside
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local wrap, status, running = coroutine.wrap, coroutine.status, coroutine.running

check("the library has eight functions", function()
  local names = {}
  for name, f in pairs(coroutine) do
    assert(type(f) == "function", name)
    names[#names + 1] = name
  end
  table.sort(names)
  return table.unpack(names)
end, "close", "create", "isyieldable", "resume", "running", "status", "wrap", "yield")

check("create gives a thread", function()
  local co = create(print)
  return type(co), tostring(co):match("^thread: ") ~= nil
end, "thread", true)

check("create gives a new thread each time", function()
  return create(print) == create(print)
end, false)

check("resume passes the first arguments to the body", function()
  return resume(create(function(...) return select("#", ...), ... end), 1, nil, "x", nil)
end, true, 4, 1, nil, "x", nil)

check("resume without arguments", function()
  return resume(create(function(...) return select("#", ...) end))
end, true, 0)

check("resume of a body without results", function()
  return select("#", resume(create(function() end))), (resume(create(function() end)))
end, 1, true)

check("yield without values", function()
  return select("#", resume(create(function() yield() end)))
end, 1)

check("values travel both ways", function()
  local co = create(function(a, b)
    local c = yield(a + b)
    local d, e = yield(c * 2)
    return d, e, "end"
  end)
  local out = {}
  for _, args in ipairs{{1, 2}, {10}, {"p", "q"}} do
    out[#out + 1] = {resume(co, table.unpack(args))}
  end
  return table.unpack(out)
end, {true, 3}, {true, 20}, {true, "p", "q", "end"})

check("nils travel both ways", function()
  local co = create(function(...)
    local got = table.pack(yield(nil, ..., nil))
    return got.n
  end)
  return select("#", resume(co, nil)), select(2, resume(co, nil, nil, nil))
end, 4, 3)

check("many values travel both ways", function()
  local co = wrap(function(...)
    local n = select("#", ...)
    local m = select("#", yield(...))
    return n, m
  end)
  local t = {}
  for i = 1, 5000 do t[i] = i end
  local first = select("#", co(table.unpack(t)))
  return first, co(table.unpack(t, 1, 4000))
end, 5000, 5000, 4000)

check("values survive growth of the stack", function()
  local co = wrap(function(a)
    local function deep(n, ...)
      if n == 0 then return yield(...) end
      return (deep(n - 1, n, ...))
    end
    return a, deep(100)
  end)
  local last = select("#", co("a"))
  return last, co("back")
end, 100, "a", "back")

check("status of a fresh coroutine", function()
  return status(create(print))
end, "suspended")

check("status after a yield", function()
  local co = create(function() yield() end)
  resume(co)
  return status(co)
end, "suspended")

check("status of the running coroutine", function()
  local co
  co = create(function() return status(co) end)
  return resume(co)
end, true, "running")

check("status after a return", function()
  local co = create(function() end)
  resume(co)
  return status(co)
end, "dead")

check("status after an error", function()
  local co = create(error)
  resume(co)
  return status(co)
end, "dead")

check("status of a coroutine that resumed another", function()
  local outer
  outer = create(function()
    return resume(create(function() return status(outer) end))
  end)
  return resume(outer)
end, true, true, "normal")

check("statuses along a chain of four", function()
  local cos = {}
  local function level(i)
    cos[i] = create(function()
      if i < 4 then
        level(i + 1)
        return select(2, resume(cos[i + 1]))
      end
      local out = {}
      for j = 1, 4 do out[j] = status(cos[j]) end
      return table.concat(out, " ")
    end)
  end
  level(1)
  return resume(cos[1])
end, true, "normal normal normal running")

check("status of the thread that runs the check", function()
  local here = running()
  return status(here), wrap(function() return status(here) end)()
end, "running", "normal")

outside("running outside coroutines gives a thread and true", function()
  local co, main = running()
  return type(co), main
end, "thread", true)

outside("running gives the same thread each time", function()
  return (running()) == (running())
end, true)

check("running inside a coroutine", function()
  local co
  co = create(function()
    local r, main = running()
    return r == co, main
  end)
  return resume(co)
end, true, true, false)

check("running inside nested coroutines", function()
  return wrap(function()
    local a = running()
    return wrap(function()
      local b, main = running()
      return a ~= b, main
    end)()
  end)()
end, true, false)

check("running inside pcall inside a coroutine", function()
  return wrap(function()
    local a = running()
    local _, b, main = pcall(running)
    return a == b, main
  end)()
end, true, false)

check("running inside a table.sort callback", function()
  local here, seen = running(), nil
  table.sort({2, 1}, function(a, b)
    seen = running()
    return a < b
  end)
  return seen == here
end, true)

outside("isyieldable outside coroutines", function()
  return coroutine.isyieldable()
end, false)

check("isyieldable inside a coroutine", function()
  return wrap(function() return coroutine.isyieldable() end)()
end, true)

check("isyieldable inside pcall inside a coroutine", function()
  return wrap(function() return pcall(coroutine.isyieldable) end)()
end, true, true)

check("isyieldable inside a table.sort callback inside a coroutine", function()
  return wrap(function()
    local seen
    table.sort({2, 1}, function(a, b)
      seen = coroutine.isyieldable()
      return a < b
    end)
    return seen
  end)()
end, false)

check("isyieldable of a fresh coroutine", function()
  return coroutine.isyieldable(create(print))
end, true)

check("isyieldable of a suspended coroutine", function()
  local co = create(function() yield() end)
  resume(co)
  return coroutine.isyieldable(co)
end, true)

check("isyieldable of a dead coroutine", function()
  local co = create(function() end)
  resume(co)
  return coroutine.isyieldable(co)
end, true)

check("isyieldable of a normal coroutine, asked from inside another", function()
  local outer
  outer = create(function()
    return wrap(function() return coroutine.isyieldable(outer) end)()
  end)
  return resume(outer)
end, true, true)

outside("isyieldable of the outermost thread, asked from a coroutine", function()
  local here = running()
  return wrap(function() return coroutine.isyieldable(here) end)()
end, false)

outside("isyieldable of the running thread by name", function()
  return coroutine.isyieldable((running()))
end, false)

check("wrap gives a function", function()
  return type(wrap(print))
end, "function")

check("wrap passes values both ways", function()
  local f = wrap(function(a)
    local b = yield(a + 1)
    return b * 2, "end"
  end)
  return f(1), f(10)
end, 2, 20, "end")

check("wrap of a body without results", function()
  return select("#", wrap(function() end)())
end, 0)

check("a wrapped coroutine as an iterator", function()
  local out = {}
  for i, v in wrap(function() for i = 1, 3 do yield(i, i * i) end end) do
    out[#out + 1] = i .. ":" .. v
  end
  return table.concat(out, " ")
end, "1:1 2:4 3:9")

check("iterators in lockstep", function()
  local function count(from, by)
    return wrap(function() while true do yield(from); from = from + by end end)
  end
  local a, b, out = count(0, 1), count(100, -10), {}
  for _ = 1, 3 do out[#out + 1] = a() .. "/" .. b() end
  return table.concat(out, " ")
end, "0/100 1/90 2/80")

check("a recursive generator", function()
  local function permute(a, n)
    if n == 0 then yield(table.concat(a)) end
    for i = 1, n do
      a[n], a[i] = a[i], a[n]
      permute(a, n - 1)
      a[n], a[i] = a[i], a[n]
    end
  end
  local out = {}
  for p in wrap(function() permute({"a", "b", "c"}, 3) end) do out[#out + 1] = p end
  return table.concat(out, " ")
end, "bca cba cab acb bac abc")

check("a filter of generators: primes", function()
  local function from(n) return wrap(function() while true do yield(n); n = n + 1 end end) end
  local function sieve(p, g)
    return wrap(function()
      for n in g do if n % p ~= 0 then yield(n) end end
    end)
  end
  local out, g = {}, from(2)
  for _ = 1, 12 do
    local p = g()
    out[#out + 1] = p
    g = sieve(p, g)
  end
  return table.concat(out, " ")
end, "2 3 5 7 11 13 17 19 23 29 31 37")

check("producer, filter and consumer", function()
  local produce = wrap(function() for w in ("one two three"):gmatch("%a+") do yield(w) end end)
  local number = wrap(function()
    local n = 0
    for w in produce do n = n + 1; yield(n .. "=" .. w) end
  end)
  local out = {}
  for line in number do out[#out + 1] = line end
  return table.concat(out, ",")
end, "1=one,2=two,3=three")

check("a coroutine resumed from two others in turn", function()
  local shared = create(function() for i = 1, 4 do yield(i) end end)
  local function puller() return wrap(function()
    while true do yield((select(2, resume(shared)))) end
  end) end
  local a, b = puller(), puller()
  return a(), b(), b(), a()
end, 1, 2, 3, 4)

check("a body that is a C function", function()
  return resume(create(math.max), 3, 9, 4)
end, true, 9)

check("a body that is coroutine.yield", function()
  local co = create(yield)
  local a, b = resume(co, 1)
  local c, d = resume(co, 2)
  return a, b, c, d, status(co)
end, true, 1, true, 2, "dead")

check("a body that is pcall", function()
  local co = create(pcall)
  local a, b = resume(co, function() return yield("inside") end)
  return a, b, resume(co, "back")
end, true, "inside", true, true, "back")

check("a body that is a wrapped coroutine", function()
  local inner = wrap(function(a) return yield(a) end)
  local outer = wrap(inner)
  return outer("x")
end, "x")

check("wrap of wrap", function()
  local made = wrap(wrap)(function(a) return a, "made" end)
  return made(7)
end, 7, "made")

check("resume as the body of a coroutine", function()
  local inner = create(function(a, b) return a + b end)
  return resume(create(resume), inner, 2, 3)
end, true, true, 5)

check("upvalues are shared with the creator", function()
  local n = 0
  local f = wrap(function() while true do n = n + 1; yield() end end)
  f()
  n = n + 10
  f()
  return n
end, 12)

check("a coroutine has its own stack of varargs", function()
  local f = wrap(function(...)
    local a = select("#", yield(...))
    return a, ...
  end)
  f("x", "y")
  return f(1, 2, 3)
end, 3, "x", "y")

check("yield in a tail call", function()
  local f = wrap(function(a) return yield(a) end)
  return f(1), f(2)
end, 1, 2)

check("a wrapped coroutine in a tail call", function()
  local f = wrap(function(a) while true do a = yield(a) end end)
  local function tail(x) return f(x) end
  return tail(1), tail(2)
end, 1, 2)

check("results as the last argument of a call", function()
  local f = wrap(function() yield(1, 2, 3); return 4, 5 end)
  return select("#", f()), (f())
end, 3, 4)

check("results in a table constructor", function()
  local f = wrap(function() yield(1, 2, 3) end)
  return {f()}
end, {1, 2, 3})

check("fifty nested coroutines pass a value up", function()
  local function nest(n)
    if n == 0 then return "bottom" end
    return wrap(function() return nest(n - 1) end)()
  end
  return nest(50)
end, "bottom")

check("fifty nested coroutines each pass a yield up", function()
  local function nest(n)
    return wrap(function()
      if n == 0 then
        for i = 1, 3 do yield(i) end
      else
        for v in nest(n - 1) do yield(v) end
      end
    end)
  end
  local out = {}
  for v in nest(50) do out[#out + 1] = v end
  return table.unpack(out)
end, 1, 2, 3)

check("an unreferenced suspended coroutine is collected", function()
  local weak = setmetatable({}, {__mode = "v"})
  weak[1] = create(function() yield() end)
  resume(weak[1])
  collectgarbage()
  collectgarbage()
  return weak[1]
end, nil)

check("a collected suspended coroutine does not run its close methods", function()
  local closed = false
  do
    local co = create(function()
      local x <close> = setmetatable({}, {__close = function() closed = true end})
      yield(x)
    end)
    resume(co)
  end
  collectgarbage()
  collectgarbage()
  return closed
end, false)

check("a suspended coroutine keeps what it refers to", function()
  local weak = setmetatable({}, {__mode = "v"})
  local co = create(function()
    local kept = {}
    weak[1] = kept
    yield()
    return kept
  end)
  resume(co)
  collectgarbage()
  return type(weak[1])
end, "table")

check("a thread is a usable table key", function()
  local co = create(print)
  local t = {[co] = "mine"}
  return t[co], t[create(print)]
end, "mine", nil)

check("arguments beyond the needed ones are ignored by status", function()
  return status(create(print), 1, 2), coroutine.isyieldable(create(print), 1)
end, "suspended", true)

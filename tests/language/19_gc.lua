-- SPDX-License-Identifier: MIT
-- Language spec: collectgarbage, weak tables, ephemerons, finalisers and resurrection.

local h = ...
local check = h.check

-- lua(1) starts in generational mode, another host in incremental mode.
local mode = collectgarbage("incremental")

local function full() collectgarbage() collectgarbage() end
local function count(t)
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  return n
end

check("collect gives 0", function()
  return collectgarbage(), collectgarbage("collect")
end, 0, 0)

check("count gives a positive float", function()
  return math.type(collectgarbage("count")), collectgarbage("count") > 10
end, "float", true)

check("count grows and shrinks", function()
  full()
  local before = collectgarbage("count")
  local big = ("x"):rep(1000000)
  local during = collectgarbage("count")
  big = #big
  full()
  local after = collectgarbage("count")
  return during - before > 900, after - before < 100, big
end, true, true, 1000000)

check("stop, restart and isrunning", function()
  local a = collectgarbage("isrunning")
  collectgarbage("stop")
  local b = collectgarbage("isrunning")
  collectgarbage("restart")
  return a, b, collectgarbage("isrunning")
end, true, false, true)

check("a stopped collector still collects on demand", function()
  collectgarbage("stop")
  local weak = setmetatable({{}}, {__mode = "v"})
  collectgarbage("collect")
  collectgarbage("restart")
  return weak[1]
end, nil)

check("step ends a cycle at last", function()
  local n = 0
  repeat n = n + 1 until collectgarbage("step", 1000) or n > 100000
  return n <= 100000, type(collectgarbage("step"))
end, true, "boolean")

check("modes can be changed and are told", function()
  collectgarbage("incremental")
  local a = collectgarbage("generational")
  local b = collectgarbage("generational")
  local c = collectgarbage("incremental")
  return a, b, c
end, "incremental", "generational", "generational")

check("parameters are told when they are set", function()
  local pause = collectgarbage("setpause", 150)
  local own = collectgarbage("setpause", pause)
  local mul = collectgarbage("setstepmul", 300)
  local own2 = collectgarbage("setstepmul", mul)
  return own, own2, math.type(pause), math.type(mul)
end, 148, 300, "integer", "integer")

check("generational mode collects", function()
  collectgarbage("generational")
  local weak = setmetatable({}, {__mode = "k"})
  for _ = 1, 20000 do weak[{}] = true end
  full()
  local n = count(weak)
  collectgarbage("incremental")
  return n
end, 0)

check("an unknown option", function()
  return pcall(collectgarbage, "sweep")
end, false, "bad argument #1 to 'collectgarbage' (invalid option 'sweep')")

check("a table of weak values", function()
  local kept = {}
  local t = setmetatable({kept, {}, "string", 42, print}, {__mode = "v"})
  full()
  return t[1] == kept, t[2], t[3], t[4], t[5] == print
end, true, nil, "string", 42, true)

check("a table of weak keys", function()
  local kept = {}
  local t = setmetatable({[kept] = 1, [{}] = 2, k = {}}, {__mode = "k"})
  full()
  return t[kept], count(t), type(t.k)
end, 1, 2, "table")

check("a table weak in both", function()
  local key, value = {}, {}
  local t = setmetatable({[key] = value, [{}] = value}, {__mode = "kv"})
  t[value] = {}
  full()
  return t[key] == value, count(t)
end, true, 1)

check("strings and numbers are never dropped from weak tables", function()
  local t = setmetatable({}, {__mode = "kv"})
  t["key" .. 1], t[2.5], t[true] = "value" .. 2, 7, false
  full()
  return t.key1, t[2.5], t[true]
end, "value2", 7, false)

check("an ephemeron: a value that refers to its own key", function()
  local t = setmetatable({}, {__mode = "k"})
  do
    local key = {}
    t[key] = {back = key}
  end
  full()
  return count(t)
end, 0)

check("a chain of ephemerons", function()
  local t = setmetatable({}, {__mode = "k"})
  local first = {}
  local k = first
  for _ = 1, 50 do
    local nextk = {}
    t[k] = nextk
    k = nextk
  end
  k = nil
  full()
  local alive = count(t)
  first = k
  full()
  return alive, count(t), first
end, 50, 0, nil)

check("a weak mode set after the table was filled", function()
  local meta = {}
  local t = setmetatable({{}}, meta)
  meta.__mode = "v"
  full()
  return t[1]
end, nil)

check("closures and their upvalues are collected", function()
  local weak = setmetatable({}, {__mode = "v"})
  do
    local big = {}
    weak[1] = big
    weak[2] = function() return big end
  end
  full()
  return weak[1], weak[2]
end, nil, nil)

check("cycles are collected", function()
  local weak = setmetatable({}, {__mode = "v"})
  do
    local a, b = {}, {}
    a.b, b.a = b, a
    weak[1], weak[2] = a, b
    getmetatable(setmetatable(a, {__index = b}))
  end
  full()
  return weak[1], weak[2]
end, nil, nil)

check("a finaliser gets its object", function()
  local got
  setmetatable({name = "object"}, {__gc = function(o) got = o.name end})
  full()
  return got
end, "object")

check("finalisers run in reverse order of marking", function()
  local log = {}
  for i = 1, 5 do setmetatable({}, {__gc = function() log[#log + 1] = i end}) end
  full()
  return log
end, {5, 4, 3, 2, 1})

check("a finaliser runs once", function()
  local n = 0
  setmetatable({}, {__gc = function() n = n + 1 end})
  full()
  full()
  return n
end, 1)

check("a metatable without __gc when it is set marks nothing", function()
  local n = 0
  local meta = {}
  setmetatable({}, meta)
  meta.__gc = function() n = n + 1 end
  full()
  return n
end, 0)

check("__gc may be replaced after marking", function()
  local log = {}
  local meta = {__gc = function() log[#log + 1] = "old" end}
  setmetatable({}, meta)
  meta.__gc = function() log[#log + 1] = "new" end
  full()
  return log
end, {"new"})

check("a __gc that is no function is ignored", function()
  setmetatable({}, {__gc = true})
  full()
  return "survived"
end, "survived")

check("resurrection", function()
  local saved
  do
    local o = setmetatable({value = 5}, {__gc = function(o) saved = o end})
    o.value = 6
  end
  full()
  return saved.value
end, 6)

check("a resurrected object is not finalised again unless marked again", function()
  local n, kept = 0, {}
  local meta
  meta = {__gc = function(o)
    n = n + 1
    if n == 2 then setmetatable(o, meta) end
    kept[1] = o
  end}
  local function drop()
    kept[1] = nil
    full()
    return n
  end
  setmetatable({}, meta)
  local first, unmarked = drop(), drop()
  setmetatable({}, meta)
  return first, unmarked, drop(), drop(), type(kept[1])
end, 1, 1, 2, 3, "table")

check("weak values are cleared before a finaliser, weak keys after", function()
  local seen_value, seen_key
  local values, keys = setmetatable({}, {__mode = "v"}), setmetatable({}, {__mode = "k"})
  do
    local o = setmetatable({}, {__gc = function(o)
      seen_value, seen_key = values.o, keys[o]
    end})
    values.o, keys[o] = o, "still here"
  end
  full()
  return seen_value, seen_key, count(keys)
end, nil, "still here", 0)

check("objects that a finalised object refers to are alive in its finaliser", function()
  local seen
  do
    local inner = {x = "inner"}
    setmetatable({inner = inner}, {__gc = function(o) seen = o.inner.x end})
  end
  full()
  return seen
end, "inner")

check("a collection inside a finaliser is refused", function()
  local result = "none"
  setmetatable({}, {__gc = function() result = collectgarbage() end})
  full()
  return result
end, nil)

check("an error in a finaliser does not reach the script", function()
  setmetatable({}, {__gc = function() error("lost") end})
  local ok = pcall(full)
  return ok
end, true)

check("a finaliser may make objects with finalisers", function()
  local n = 0
  setmetatable({}, {__gc = function()
    n = n + 1
    setmetatable({}, {__gc = function() n = n + 10 end})
  end})
  full()
  full()
  return n
end, 11)

check("a finaliser may use coroutines", function()
  local out = {}
  setmetatable({}, {__gc = function()
    local f = coroutine.wrap(function() coroutine.yield(1); coroutine.yield(2) end)
    for v in f do out[#out + 1] = v end
  end})
  full()
  return out
end, {1, 2})

check("a finaliser may use pcall and raise inside it", function()
  local message
  setmetatable({}, {__gc = function() message = select(2, pcall(error, "inside", 0)) end})
  full()
  return message
end, "inside")

check("finalisers run in the midst of allocation", function()
  local n = 0
  local meta = {__gc = function() n = n + 1 end}
  for _ = 1, 20000 do setmetatable({}, meta) end
  full()
  return n
end, 20000)

check("a suspended coroutine keeps its locals until it is dropped", function()
  local n = 0
  local co = coroutine.create(function()
    local o = setmetatable({}, {__gc = function() n = n + 1 end})
    coroutine.yield()
    return o
  end)
  coroutine.resume(co)
  full()
  local during = n
  co = nil
  full()
  return during, n, co
end, 0, 1, nil)

check("a dead coroutine lets go of its locals", function()
  local weak = setmetatable({}, {__mode = "v"})
  local co = coroutine.create(function()
    local o = {}
    weak[1] = o
    return #o
  end)
  coroutine.resume(co)
  full()
  return weak[1], coroutine.status(co)
end, nil, "dead")

check("a coroutine closed half-way lets go of its locals", function()
  local weak = setmetatable({}, {__mode = "v"})
  local co = coroutine.create(function()
    local o = {}
    weak[1] = o
    coroutine.yield()
    return o
  end)
  coroutine.resume(co)
  coroutine.close(co)
  full()
  return weak[1], coroutine.status(co)
end, nil, "dead")

check("an upvalue of a dead coroutine lives on", function()
  local get
  local co = coroutine.wrap(function()
    local t = {5}
    get = function() return t[1] end
    coroutine.yield()
  end)
  co()
  co = nil
  full()
  return get(), co
end, 5, nil)

check("garbage of a million small objects is bounded", function()
  full()
  local before = collectgarbage("count")
  for i = 1, 1000000 do local _ = {i} end
  return collectgarbage("count") - before < 200000
end, true)

check("a coroutine as the last reference to itself is collected", function()
  local weak = setmetatable({}, {__mode = "k"})
  do
    local co
    co = coroutine.create(function() coroutine.yield(co) end)
    coroutine.resume(co)
    weak[co] = true
  end
  full()
  return count(weak)
end, 0)

check("table entries set to nil during a collection", function()
  local t = {}
  for i = 1, 2000 do t[i] = {} end
  for i = 1, 2000 do
    t[i] = nil
    if i % 100 == 0 then collectgarbage("step") end
  end
  return next(t)
end, nil)

collectgarbage(mode)

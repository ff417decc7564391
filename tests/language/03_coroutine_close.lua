-- SPDX-License-Identifier: MIT
-- Language spec: coroutine.close, and `<close>` variables of coroutines that end in any way.

local h = ...
local check, chunk = h.check, h.chunk
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local wrap, status, running, close =
  coroutine.wrap, coroutine.status, coroutine.running, coroutine.close

-- A closable that notes its name and the error it is closed with; `act` may raise or yield.
local function closer(log, name, act)
  return setmetatable({}, {__close = function(_, e)
    log[#log + 1] = name .. (e == nil and "" or "(" .. tostring(e) .. ")")
    if act then act(e) end
  end})
end

-- A coroutine suspended with the closables `first` and `second`, closed in the order second, first.
local function holding(log, act1, act2)
  local co = create(function()
    local first <close> = closer(log, "first", act1)
    local second <close> = closer(log, "second", act2)
    yield(first, second)
    log[#log + 1] = "went on"
  end)
  resume(co)
  return co
end

check("close of a fresh coroutine", function()
  local co = create(print)
  return close(co), status(co)
end, true, "dead")

check("close of a fresh coroutine gives one value", function()
  return select("#", close(create(print)))
end, 1)

check("close of a coroutine that has returned", function()
  local co = create(function() return 1 end)
  resume(co)
  return close(co), close(co)
end, true, true)

check("close of a suspended coroutine", function()
  local co = create(function() yield() end)
  resume(co)
  return close(co), status(co)
end, true, "dead")

check("a closed coroutine cannot be resumed", function()
  local co = create(print)
  close(co)
  return resume(co)
end, false, "cannot resume dead coroutine")

check("close of a failed coroutine gives its error", function()
  local co = create(error)
  resume(co, "why")
  return close(co)
end, false, "why")

check("close of a failed coroutine gives the error value itself", function()
  local e, co = {}, create(error)
  resume(co, e)
  local ok, got = close(co)
  return ok, got == e
end, false, true)

check("close of a failed coroutine a second time", function()
  local co = create(error)
  resume(co, "why")
  close(co)
  local results = table.pack(close(co))
  return status(co), results.n, results[1]
end, "dead", 1, true)

check("close of a coroutine that failed with nil", function()
  local co = create(error)
  resume(co, nil)
  return close(co)
end, false, nil)

check("close of the running coroutine", function()
  local co
  co = create(function() return pcall(close, co) end)
  return resume(co)
end, true, false, "cannot close a running coroutine")

check("close of the running coroutine has a position", function()
  return pcall(chunk, "coroutine.close((coroutine.running()))")
end, false, "chunk:1: cannot close a running coroutine")

check("close of a normal coroutine", function()
  return pcall(chunk, [[
    local outer
    outer = coroutine.wrap(function(co)
      return coroutine.wrap(function()
        coroutine.close(co)
      end)()
    end)
    local co
    co = coroutine.create(function() return outer(co) end)
    error((select(2, coroutine.resume(co))), 0)
  ]])
end, false, "chunk:8: chunk:3: chunk:4: cannot close a normal coroutine")

check("close of the thread that runs the check, from a coroutine", function()
  local here = running()
  return wrap(function() return pcall(close, here) end)()
end, false, "cannot close a normal coroutine")

check("a coroutine goes on after it was refused a close", function()
  local co
  co = create(function()
    pcall(close, co)
    yield("still here")
    return "end"
  end)
  local _, a = resume(co)
  local _, b = resume(co)
  return a, b
end, "still here", "end")

check("close runs the close methods in reverse order", function()
  local log = {}
  local co = holding(log)
  return close(co), table.concat(log, " "), status(co)
end, true, "second first", "dead")

check("close passes nil to the close methods", function()
  local seen = "none"
  local co = create(function()
    local x <close> = setmetatable({}, {__close = function(...) seen = table.pack(...) end})
    yield(x)
  end)
  resume(co)
  close(co)
  return seen.n, type(seen[1]), seen[2]
end, 2, "table", nil)

check("close runs them once", function()
  local log = {}
  local co = holding(log)
  close(co)
  close(co)
  return #log
end, 2)

check("close gives the error of a close method", function()
  local log = {}
  local co = holding(log, nil, function() error("bad second", 0) end)
  local ok, message = close(co)
  return ok, message, table.concat(log, " "), status(co)
end, false, "bad second", "second first(bad second)", "dead")

check("close gives the last of several errors", function()
  local log = {}
  local co = holding(log, function() error("bad first", 0) end,
    function() error("bad second", 0) end)
  local ok, message = close(co)
  return ok, message, table.concat(log, " ")
end, false, "bad first", "second first(bad second)")

check("close after an error of a close method", function()
  local co = holding({}, function() error("once", 0) end)
  close(co)
  local results = table.pack(close(co))
  return status(co), results.n, results[1]
end, "dead", 1, true)

check("close from inside another coroutine", function()
  local log = {}
  local co = holding(log)
  return wrap(function() return close(co), table.concat(log, " ") end)()
end, true, "second first")

check("running inside a close method called by close", function()
  local co, seen, main
  co = create(function()
    local x <close> = setmetatable({}, {__close = function() seen, main = running() end})
    yield(x)
  end)
  resume(co)
  close(co)
  return seen == co, main
end, true, false)

check("status inside a close method called by close", function()
  local co, own, others
  local here = running()
  co = create(function()
    local x <close> = setmetatable({}, {__close = function()
      own, others = status(co), status(here)
    end})
    yield(x)
  end)
  resume(co)
  close(co)
  return own, others
end, "running", "normal")

check("a close method called by close cannot yield", function()
  local co = holding({}, function() yield() end)
  return close(co)
end, false, "attempt to yield across a C-call boundary")

check("isyieldable inside a close method called by close", function()
  local seen
  local co = holding({}, function() seen = coroutine.isyieldable() end)
  close(co)
  return seen
end, false)

check("a close method called by close may use coroutines", function()
  local got = {}
  local co = holding({}, function()
    for v in wrap(function() yield(1); yield(2) end) do got[#got + 1] = v end
  end)
  return close(co), got
end, true, {1, 2})

check("a close method called by close may close another coroutine", function()
  local log = {}
  local other = holding(log)
  local co = holding({}, function() close(other) end)
  return close(co), status(other), table.concat(log, " ")
end, true, "dead", "second first")

check("a close method called by close cannot close its own coroutine", function()
  local co, ok, message
  co = create(function()
    local x <close> = setmetatable({}, {__close = function() ok, message = pcall(close, co) end})
    yield(x)
  end)
  resume(co)
  return close(co), ok, message
end, true, false, "cannot close a running coroutine")

check("close methods of called functions run too", function()
  local log = {}
  local co = create(function()
    local a <close> = closer(log, "outer")
    local function f()
      local b <close> = closer(log, "inner")
      yield(a, b)
    end
    f()
  end)
  resume(co)
  close(co)
  return table.concat(log, " ")
end, "inner outer")

check("close reaches through a suspended pcall", function()
  local log = {}
  local co = create(function()
    local a <close> = closer(log, "outside")
    pcall(function()
      local b <close> = closer(log, "inside")
      yield(a, b)
    end)
    log[#log + 1] = "went on"
  end)
  resume(co)
  return close(co), table.concat(log, " ")
end, true, "inside outside")

check("close keeps upvalues of the coroutine alive", function()
  local get
  local co = create(function()
    local n = 5
    get = function() n = n + 1; return n end
    yield()
  end)
  resume(co)
  get()
  close(co)
  return get(), get()
end, 7, 8)

check("close does not close coroutines that the closed one started", function()
  local inner = create(function() yield("alive") end)
  local outer = create(function() resume(inner); yield() end)
  resume(outer)
  close(outer)
  return status(inner), resume(inner)
end, "suspended", true)

check("close of a coroutine suspended in a for loop closes the loop's fourth value", function()
  local log = {}
  local co = create(function()
    for _ in function() return 1 end, nil, nil, closer(log, "loop") do yield() end
  end)
  resume(co)
  close(co)
  return table.concat(log, " ")
end, "loop")

check("a hundred close methods of one coroutine", function()
  local n = 0
  local meta = {__close = function() n = n + 1 end}
  local function nest(k)
    local x <close> = setmetatable({}, meta)
    if k > 1 then nest(k - 1) else yield(x) end
  end
  local co = create(nest)
  resume(co, 100)
  return close(co), n
end, true, 100)

check("a normal end closes before resume returns", function()
  local log = {}
  local co = create(function()
    local x <close> = closer(log, "x")
    return x ~= nil
  end)
  local ok, value = resume(co)
  return ok, value, table.concat(log, " ")
end, true, true, "x")

check("an error in a close method at a normal end is the coroutine's error", function()
  local co = create(function()
    local x <close> = closer({}, "x", function() error("late", 0) end)
    return x
  end)
  local ok, message = resume(co)
  return ok, message, status(co)
end, false, "late", "dead")

check("an error of a wrapped coroutine closes before it is raised", function()
  local log = {}
  local f = wrap(function()
    local x <close> = closer(log, "x")
    yield(x)
    error("boom", 0)
  end)
  f()
  local ok, message = pcall(f)
  return ok, message, table.concat(log, " ")
end, false, "boom", "x(boom)")

check("an error in a close method replaces the error of a wrapped coroutine", function()
  local log = {}
  local f = wrap(function()
    local x <close> = closer(log, "x")
    local y <close> = closer(log, "y", function() error("from y", 0) end)
    error("boom " .. type(x) .. " " .. type(y), 0)
  end)
  local ok, message = pcall(f)
  return ok, message, table.concat(log, " ")
end, false, "from y", "y(boom table table) x(from y)")

check("a failed and closed coroutine has run its close methods", function()
  local log = {}
  local co = create(function()
    local x <close> = closer(log, "x")
    error("boom", x and 0)
  end)
  resume(co)
  local ok, message = close(co)
  return ok, message, table.concat(log, " ")
end, false, "boom", "x(boom)")

check("an error in a close method of a failed coroutine is what close gives", function()
  local co = create(function()
    local x <close> = closer({}, "x", function() error("from x", 0) end)
    error("boom", x and 0)
  end)
  resume(co)
  return close(co)
end, false, "from x")

check("close methods run as a loop over a wrapped coroutine is left", function()
  local log = {}
  local function each()
    local co = create(function()
      local x <close> = closer(log, "x")
      for i = 1, 10 do yield(i, x) end
    end)
    local step = function() return select(2, resume(co)) end
    return step, nil, nil, setmetatable({}, {__close = function() close(co) end})
  end
  for i in each() do
    log[#log + 1] = tostring(i)
    if i == 2 then break end
  end
  return table.concat(log, " ")
end, "1 2 x")

check("a coroutine closed while it waits inside a metamethod", function()
  local log = {}
  local t = setmetatable({}, {__index = function()
    local x <close> = closer(log, "x")
    yield(x)
  end})
  local co = create(function() return t.field end)
  resume(co)
  return close(co), table.concat(log, " ")
end, true, "x")

check("a coroutine closed while a close method of it waits", function()
  local log = {}
  local co = create(function()
    local a <close> = closer(log, "a")
    do
      local b <close> = closer(log, "b", function() yield("in b") end)
      log[#log + 1] = type(a) .. type(b)
    end
    log[#log + 1] = "went on"
  end)
  local _, where = resume(co)
  return where, close(co), table.concat(log, " ")
end, "in b", true, "tabletable b a")

check("closing many suspended coroutines", function()
  local n = 0
  local meta = {__close = function() n = n + 1 end}
  local cos = {}
  for i = 1, 1000 do
    cos[i] = create(function()
      local x <close> = setmetatable({}, meta)
      yield(x)
    end)
    resume(cos[i])
  end
  for i = 1, 1000 do assert(close(cos[i])) end
  return n
end, 1000)

-- SPDX-License-Identifier: MIT
-- Language spec: errors of and through coroutines, with the very text of the messages.

local h = ...
local check, outside, chunk = h.check, h.outside, h.chunk
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local wrap, status, running = coroutine.wrap, coroutine.status, coroutine.running

check("create of a non-function", function()
  return pcall(chunk, "coroutine.create(1)")
end, false, "chunk:1: bad argument #1 to 'create' (function expected, got number)")

check("create without an argument", function()
  return pcall(chunk, "coroutine.create()")
end, false, "chunk:1: bad argument #1 to 'create' (function expected, got no value)")

check("create of a callable table", function()
  return pcall(chunk, "coroutine.create(setmetatable({}, {__call = print}))")
end, false, "chunk:1: bad argument #1 to 'create' (function expected, got table)")

check("create, called by pcall", function()
  return pcall(create, {})
end, false, "bad argument #1 to 'coroutine.create' (function expected, got table)")

check("wrap of a non-function", function()
  return pcall(chunk, "coroutine.wrap(1)")
end, false, "chunk:1: bad argument #1 to 'wrap' (function expected, got number)")

check("wrap without an argument", function()
  return pcall(chunk, "local f = coroutine.wrap()")
end, false, "chunk:1: bad argument #1 to 'wrap' (function expected, got no value)")

check("wrap, called by pcall", function()
  return pcall(wrap, "x")
end, false, "bad argument #1 to 'coroutine.wrap' (function expected, got string)")

check("resume of a non-thread", function()
  return pcall(chunk, "coroutine.resume(print)")
end, false, "chunk:1: bad argument #1 to 'resume' (thread expected, got function)")

check("resume of nothing", function()
  return pcall(chunk, "coroutine.resume()")
end, false, "chunk:1: bad argument #1 to 'resume' (thread expected, got no value)")

check("resume, called by pcall", function()
  return pcall(resume, 1)
end, false, "bad argument #1 to 'coroutine.resume' (thread expected, got number)")

check("status of a non-thread", function()
  return pcall(chunk, "coroutine.status{}")
end, false, "chunk:1: bad argument #1 to 'status' (thread expected, got table)")

check("close of a non-thread", function()
  return pcall(chunk, "coroutine.close('x')")
end, false, "chunk:1: bad argument #1 to 'close' (thread expected, got string)")

check("isyieldable of a non-thread", function()
  return pcall(chunk, "coroutine.isyieldable(1)")
end, false, "chunk:1: bad argument #1 to 'isyieldable' (thread expected, got number)")

check("isyieldable of nil", function()
  return pcall(chunk, "coroutine.isyieldable(nil)")
end, false, "chunk:1: bad argument #1 to 'isyieldable' (thread expected, got nil)")

check("the name of a local function in the message", function()
  return pcall(chunk, "local go = coroutine.resume\ngo(1)")
end, false, "chunk:2: bad argument #1 to 'go' (thread expected, got number)")

check("resume of a coroutine that has returned", function()
  local co = create(function() end)
  resume(co)
  return resume(co)
end, false, "cannot resume dead coroutine")

check("resume of a coroutine that has failed", function()
  local co = create(error)
  resume(co, "first")
  return resume(co)
end, false, "cannot resume dead coroutine")

check("resume of a dead coroutine with many arguments", function()
  local co = create(function() end)
  resume(co)
  local a, b = resume(co, 1, 2, 3)
  local c, d = resume(co, 4)
  return a, b, c, d, status(co)
end, false, "cannot resume dead coroutine", false, "cannot resume dead coroutine", "dead")

check("a dead coroutine stays dead after refused resumes", function()
  local co = create(function() end)
  resume(co)
  resume(co)
  resume(co, 1, 2)
  return status(co), coroutine.close(co), status(co)
end, "dead", true, "dead")

check("a refused resume does not change what close gives", function()
  local co = create(error)
  resume(co, "why")
  resume(co, 1, 2)
  return status(co), coroutine.close(co)
end, "dead", false, "why")

check("resume of the running coroutine", function()
  local co
  co = create(function() return resume(co) end)
  return resume(co)
end, true, false, "cannot resume non-suspended coroutine")

check("resume of a normal coroutine", function()
  local outer
  outer = create(function()
    return resume(create(function() return resume(outer, 1, 2) end))
  end)
  return resume(outer)
end, true, true, false, "cannot resume non-suspended coroutine")

check("resume of the thread that runs the check", function()
  return resume((running()))
end, false, "cannot resume non-suspended coroutine")

check("resume of that thread from a coroutine", function()
  local here = running()
  return wrap(function() return resume(here) end)()
end, false, "cannot resume non-suspended coroutine")

check("a coroutine goes on after it was refused a resume", function()
  local co
  co = create(function()
    local a, b = resume(co)
    return yield(a, b)
  end)
  local r = {resume(co)}
  return r, {resume(co, "on")}, status(co)
end, {true, false, "cannot resume non-suspended coroutine"}, {true, "on"}, "dead")

outside("yield outside coroutines", function()
  return pcall(yield)
end, false, "attempt to yield from outside a coroutine")

outside("yield outside coroutines has no position", function()
  return pcall(chunk, "coroutine.yield(1)")
end, false, "attempt to yield from outside a coroutine")

outside("yield outside coroutines, inside table.sort", function()
  return pcall(table.sort, {2, 1}, function() yield() end)
end, false, "attempt to yield from outside a coroutine")

check("a dead coroutine, wrapped", function()
  return pcall(chunk, "local f = coroutine.wrap(function() end)\nf()\nf()")
end, false, "chunk:3: cannot resume dead coroutine")

check("a failed coroutine, wrapped and called again", function()
  return pcall(chunk, [[
    local f = coroutine.wrap(function() error("once") end)
    pcall(f)
    f()
  ]])
end, false, "chunk:3: cannot resume dead coroutine")

check("a dead coroutine, wrapped, called by pcall", function()
  local f = wrap(function() end)
  f()
  return pcall(f)
end, false, "cannot resume dead coroutine")

check("a wrapped coroutine that calls itself", function()
  return pcall(chunk, [[
    local f
    f = coroutine.wrap(function()
      f()
    end)
    f()
  ]])
end, false, "chunk:5: chunk:3: cannot resume non-suspended coroutine")

check("a wrapped coroutine that catches its own call and goes on", function()
  local f
  f = wrap(function()
    local ok, message = pcall(f)
    yield(ok, message)
    return "end"
  end)
  local a, b = f()
  return a, b, f()
end, false, "cannot resume non-suspended coroutine", "end")

check("resume gives the message with its position", function()
  return resume(create(load("error('boom')", "=chunk")))
end, false, "chunk:1: boom")

check("resume gives the error value itself", function()
  local e = {}
  local ok, got = resume(create(function() error(e) end))
  return ok, got == e
end, false, true)

check("resume gives nil errors", function()
  return resume(create(error))
end, false, nil)

check("resume gives false, numbers and functions", function()
  return select(2, resume(create(error), false)), select(2, resume(create(error), 42, 0)),
    type(select(2, resume(create(error), print)))
end, false, 42, "function")

check("resume after an error inside several calls", function()
  local co = create(function()
    local function a() error("deep", 0) end
    local function b() a() end
    b()
  end)
  local ok, message = resume(co)
  return ok, message, status(co)
end, false, "deep", "dead")

check("resume after an error that follows a yield", function()
  local co = create(function() yield("first"); error("second", 0) end)
  local a, b = resume(co)
  local c, d = resume(co)
  return a, b, c, d
end, true, "first", false, "second")

check("an error of the language keeps its position", function()
  return resume(create(load("local t\nreturn t.x", "=chunk")))
end, false, "chunk:2: attempt to index a nil value (local 't')")

check("wrap puts its caller's position before the message", function()
  return pcall(chunk, [[
    local f = coroutine.wrap(function()
      error("boom")
    end)
    f()
  ]])
end, false, "chunk:4: chunk:2: boom")

check("wrap puts its caller's position before a message of level 0", function()
  return pcall(chunk, [[
    local f = coroutine.wrap(function() error("boom", 0) end)
    local x = 1 + f()
  ]])
end, false, "chunk:2: boom")

check("wrap called by pcall adds no position", function()
  return pcall(wrap(function() error("boom", 0) end))
end, false, "boom")

check("wrap in a tail call has the position of the tail call", function()
  return pcall(chunk, "local f = coroutine.wrap(function() error('boom', 0) end)\nreturn f()")
end, false, "chunk:2: boom")

check("wrap as an iterator has the position of the loop", function()
  return pcall(chunk, [[
    local f = coroutine.wrap(function() coroutine.yield(1); error("boom", 0) end)
    for i in f do
      local _ = i
    end
  ]])
end, false, "chunk:2: boom")

check("wrap called by a metamethod has the position of the operation", function()
  return pcall(chunk, [[
    local f = coroutine.wrap(function() error("boom", 0) end)
    local t = setmetatable({}, {__index = f})
    return t.x
  ]])
end, false, "chunk:3: boom")

check("wrap called by a C function has no position", function()
  return pcall(table.sort, {2, 1}, wrap(function() error("boom", 0) end))
end, false, "boom")

check("each level of wrap adds a position", function()
  return pcall(chunk, [[
    local inner = coroutine.wrap(function() error("boom", 0) end)
    local middle = coroutine.wrap(function()
      inner()
    end)
    local outer = coroutine.wrap(function()
      middle()
    end)
    outer()
  ]])
end, false, "chunk:8: chunk:6: chunk:3: boom")

check("wrap leaves a table error alone", function()
  local e = {}
  local ok, got = pcall(wrap(function() error(e) end))
  return ok, got == e
end, false, true)

check("wrap leaves an error with __tostring alone", function()
  local e = setmetatable({}, {__tostring = function() return "text" end})
  local ok, got = pcall(function() local x = wrap(function() error(e) end)(); return x end)
  return ok, got == e
end, false, true)

check("wrap leaves nil and false alone", function()
  local a, b = pcall(function() local x = wrap(error)(nil); return x end)
  local c, d = pcall(function() local x = wrap(error)(false); return x end)
  return a, b, c, d
end, false, nil, false, false)

check("wrap leaves a number alone: it is not a string", function()
  local ok, got = pcall(chunk, "local f = coroutine.wrap(error)\nf(42, 0)")
  return ok, got
end, false, 42)

check("an error through wrap, wrap and resume", function()
  return resume(create(load([[
    local f = coroutine.wrap(function() error("boom", 0) end)
    f()
  ]], "=chunk")))
end, false, "chunk:2: boom")

check("pcall inside a coroutine catches and goes on", function()
  local f = wrap(function()
    local ok, message = pcall(error, "inner", 0)
    yield(ok, message)
    return "end"
  end)
  local a, b = f()
  return a, b, f()
end, false, "inner", "end")

check("an error in one coroutine leaves the others alone", function()
  local good = wrap(function() for i = 1, 3 do yield(i) end end)
  local bad = wrap(function() yield("b"); error("bad", 0) end)
  local a, b = good(), bad()
  local ok, message = pcall(bad)
  return a, b, good(), ok, message, good()
end, 1, "b", 2, false, "bad", 3)

check("an error caught three coroutines up", function()
  return pcall(function()
    return resume(create(function()
      local ok, message = pcall(wrap(function()
        wrap(function() error("deep", 0) end)()
      end))
      return ok, (message:gsub("^.-:%d+: ", ""))
    end))
  end)
end, true, true, false, "deep")

check("error levels point across calls inside a coroutine", function()
  return resume(create(load([[
    local function blame() error("boom", 2) end
    blame()
  ]], "=chunk")))
end, false, "chunk:2: boom")

check("an error level beyond the coroutine's stack has no position", function()
  return resume(create(function() error("boom", 50) end))
end, false, "boom")

check("xpcall's handler sees the coroutine's own stack", function()
  local co
  co = create(function()
    return xpcall(function() error("x") end, function()
      return running() == co, debug.traceback() ~= nil
    end)
  end)
  return resume(co)
end, true, false, true)

check("coroutines nested without end are refused", function()
  local function nest() return wrap(nest)() end
  local ok, message = pcall(nest)
  return ok, message:find("C stack overflow", 1, true) ~= nil
end, false, true)

check("a refused nesting leaves coroutines usable", function()
  local function nest() return wrap(nest)() end
  pcall(nest)
  return wrap(function() yield(1) end)()
end, 1)

check("debug.traceback of a suspended coroutine", function()
  local co = create(load("local function f()\ncoroutine.yield()\nend\nf()", "=chunk"))
  resume(co)
  local lines = {}
  for line in debug.traceback(co):gmatch("[^\n]+") do
    lines[#lines + 1] = line:match("^%s*(.*)$")
  end
  return lines[1], lines[2], lines[3], (lines[4]:gsub(" in .*", ""))
end, "stack traceback:", "[C]: in function 'coroutine.yield'", "chunk:2: in local 'f'", "chunk:4:")

check("debug.traceback of a fresh coroutine", function()
  return debug.traceback(create(print), "message")
end, "message\nstack traceback:")

-- SPDX-License-Identifier: MIT
-- A model of tasks, scopes, cancellation and timeouts (S1 to S8, S14 to S17): the same functions as
-- corun's, on plain coroutines and a clock of its own, written to be seen to be right, not to be
-- fast. `model.run(fn)` calls fn(api) as the root task and returns its outcome.
local model = {}

local Cancellation = {}

-- The outermost cancelled scope that concerns what runs in `s`; a shield hides those around it.
local function cancelled_by(s)
  local found
  while s do
    if s.cause then found = s end
    if s.kind == "shield" then break end
    s = s.parent
  end
  return found
end

local function encloses(scope, s)
  while s and s ~= scope do s = s.parent end
  return s ~= nil
end

local function is_cancelled(e) return getmetatable(e) == Cancellation end

function model.run(main)
  local now, ready, timers, tasks, current = 0, {}, {}, {}, nil
  local api = {is_cancelled = is_cancelled}

  -- Waiting -------------------------------------------------------------------------------------

  local function wake(t, why)
    if not t.waiting then return end
    t.waiting, t.why = nil, why
    ready[#ready + 1] = t
  end

  local function cancellation(s)
    return setmetatable({scope = s}, Cancellation)
  end

  local function checkpoint()
    local s = cancelled_by(current.scope)
    if s then error(cancellation(s), 0) end
  end

  local function suspend(kind)
    local t = current
    t.waiting = kind
    coroutine.yield()
    if t.why == "cancel" then error(cancellation(cancelled_by(t.scope)), 0) end
  end

  local function at(when, fn) timers[#timers + 1] = {when = when, fn = fn} end

  local function cancel(s, cause)
    if s.cause or s.ended then return end
    s.cause = cause
    for _, t in ipairs(tasks) do
      if t.waiting == "stoppable" and cancelled_by(t.scope) then wake(t, "cancel") end
    end
  end

  -- Scopes --------------------------------------------------------------------------------------

  local function open(kind, parent, owner)
    return {kind = kind, parent = parent, owner = owner, kids = 0, daemons = 0, failures = {},
      pending = {}}
  end

  -- The body of `s` has ended with the results of its pcall: wait for the children, and answer how
  -- the scope ends ("ok", "absorbed", "cancelled", "failed") with its error.
  local function close(s, r)
    local t = current
    local outcome, err = "ok", nil
    if not r[1] then
      local c = is_cancelled(r[2]) and r[2].scope
      if c == s then
        outcome = "absorbed"
      elseif c and encloses(c, s) then
        outcome, err = "cancelled", r[2]
      else
        outcome = "failed"
        s.failures[#s.failures + 1] = r[2]
        cancel(s, "failure")
      end
    end
    while s.kids + s.daemons > 0 do
      if s.kids == 0 and not s.cause then cancel(s, "daemons") end
      suspend("joining")
    end
    local by = cancelled_by(s)
    s.ended, t.scope = true, s.parent
    for _, child in ipairs(tasks) do
      if s.pending[child] then s.failures[#s.failures + 1] = child.err end
    end
    if #s.failures > 0 then
      return "failed", #s.failures == 1 and s.failures[1] or {several = s.failures}
    elseif outcome == "ok" and s.cut and by ~= s then
      return "cancelled", cancellation(by)
    elseif outcome == "ok" and s.cut and s.cause ~= "daemons" then
      return "absorbed"
    end
    return outcome, err
  end

  local function run_scope(kind, seconds, fn)
    local s = open(kind, current.scope, current)
    current.scope = s
    if seconds then
      s.timed_out = {}
      at(now + seconds, function() cancel(s, "timeout") end)
    end
    local r = table.pack(pcall(fn, {cancel = function() cancel(s, "asked") end}))
    local outcome, err = close(s, r)
    if outcome == "failed" or outcome == "cancelled" then error(err, 0) end
    if outcome == "absorbed" then
      return nil, {code = s.cause == "timeout" and "ETIMEDOUT" or "ECANCELED"}
    end
    return table.unpack(r, 2, r.n)
  end

  function api.scope(fn, o)
    checkpoint()
    return run_scope("scope", o and o.timeout, fn)
  end

  function api.timeout(seconds, fn)
    checkpoint()
    local r = table.pack(run_scope("timeout", seconds, fn))
    if r.n == 0 then return true end
    return table.unpack(r, 1, r.n)
  end

  function api.shield(fn) return run_scope("shield", nil, fn) end

  function api.defer(fn)
    return setmetatable({}, {__close = function() api.shield(fn) end})
  end

  -- Tasks ---------------------------------------------------------------------------------------

  local function finish(t, state)
    local home = t.home
    t.state = state
    local delivered = false
    for _, j in ipairs(t.joiners) do
      delivered = delivered or j.waiting ~= nil -- else it was cancelled just now
      wake(j, "result")
    end
    if not home then return end
    if t.kind == "daemon" then home.daemons = home.daemons - 1 else home.kids = home.kids - 1 end
    if state == "failed" and t.kind == "async" then
      home.pending[t] = not delivered or nil
    elseif state == "failed" then
      home.failures[#home.failures + 1] = t.err
      cancel(home, "failure")
    elseif state == "cancelled" and t.kind ~= "daemon" and cancelled_by(home) then
      home.cut = true
    end
    if home.owner.waiting == "joining" then wake(home.owner, "join") end
  end

  local function body(t)
    if cancelled_by(t.own) then return finish(t, "cancelled") end
    local r = table.pack(pcall(t.fn))
    local soft = r[1] and r.n >= 2 and r[2] == nil and r[3] ~= nil
    local outcome, err = close(t.own, soft and {false, r[3]} or r)
    t.soft = soft and err == r[3]
    t.err = err
    if outcome == "ok" then t.results = table.pack(table.unpack(r, 2, r.n)) end
    finish(t, ({ok = "done", failed = "failed"})[outcome] or "cancelled")
  end

  local function start(kind, fn)
    local t = {kind = kind, fn = fn, joiners = {}, home = current and current.scope}
    t.own = open("task", t.home, t)
    t.scope = t.own
    t.co = coroutine.create(function() body(t) end)
    if t.home and kind == "daemon" then
      t.home.daemons = t.home.daemons + 1
    elseif t.home then
      t.home.kids = t.home.kids + 1
    end
    tasks[#tasks + 1], ready[#ready + 1] = t, t
    function t.cancel() if not t.state then cancel(t.own, "asked") end end
    function t.status() return t.state end
    return t
  end

  for _, kind in ipairs {"spawn", "async", "daemon"} do
    api[kind] = function(fn) return start(kind, fn) end
  end

  function api.await(t)
    checkpoint()
    local me = current
    if not t.state then
      t.joiners[#t.joiners + 1] = me
      local ok, err = pcall(suspend, "stoppable")
      if not ok then
        for i, j in ipairs(t.joiners) do if j == me then table.remove(t.joiners, i) break end end
        error(err, 0)
      end
    end
    if t.state == "cancelled" then return nil, {code = "ECANCELED"} end
    if t.home then t.home.pending[t] = nil end
    if t.state == "done" then return table.unpack(t.results, 1, t.results.n) end
    if t.soft then return nil, t.err end
    error(t.err, 0)
  end

  function api.sleep(seconds)
    checkpoint()
    local t, token = current, {}
    t.token = token
    at(now + seconds, function() if t.token == token then wake(t, "slept") end end)
    suspend("stoppable")
    t.token = nil
  end

  function api.now() return now end

  -- The loop ------------------------------------------------------------------------------------

  local root = start("spawn", function() return main(api) end)
  while not root.state do
    local t = table.remove(ready, 1)
    if t then
      current = t
      local ok, err = coroutine.resume(t.co)
      current = nil
      if not ok then error(err, 0) end
    else
      table.sort(timers, function(a, b) return a.when < b.when end)
      local timer = table.remove(timers, 1)
      if not timer then error("the model is stuck") end
      now = math.max(now, timer.when)
      timer.fn()
    end
  end
  return root.state, root.err
end

return model

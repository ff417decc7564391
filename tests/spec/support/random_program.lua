-- SPDX-License-Identifier: MIT
-- Random programs of tasks, scopes, cancellation and timeouts, and what runs one on corun or on its
-- model (support/model.lua). All durations differ, and after each step that ends together with
-- something else the program sleeps in a shield: so no two things that matter happen in one instant
-- and the order of ready tasks changes nothing.
local random_program = {}

local MOST_DEPTH = 5

---A program: a list of statements, which are tables with an `op`, an `id` and what belongs to it.
---@param seed integer
---@param size integer about so many statements
function random_program.make(seed, size)
  local state, left, ids = seed * 7919 + 17, size, 0

  local function random(n)
    state = (state * 6364136223846793005 + 1442695040888963407)
    return (state >> 33) % n + 1
  end

  local function duration() return (random(1000000) + 1) / 100000 end

  local function statement(op, fields)
    ids, left = ids + 1, left - 1
    fields = fields or {}
    fields.op, fields.id = op, ids
    return fields
  end

  local body

  -- `c`: handles (tasks started in this body and before it around it), scopes (open around it),
  -- is_task (body of a task), depth.
  local makers = {
    sleep = function(list) list[#list + 1] = statement("sleep", {d = duration()}) end,
    scope = function(list, c)
      local s = statement("scope", {d = random(3) == 1 and duration() or nil})
      s.body = body(c, {s.id, table.unpack(c.scopes)})
      list[#list + 1] = s
    end,
    timeout = function(list, c)
      list[#list + 1] = statement("timeout", {d = duration(), body = body(c, c.scopes)})
    end,
    shield = function(list, c)
      list[#list + 1] = statement("shield", {body = body(c, c.scopes)})
    end,
    pcall = function(list, c)
      list[#list + 1] = statement("pcall", {body = body(c, c.scopes)})
    end,
    start = function(list, c)
      local op = ({"spawn", "spawn", "async", "async", "daemon"})[random(5)]
      local s = statement(op, {body = body(c, c.scopes, true)})
      c.handles[#c.handles + 1] = s.id
      list[#list + 1] = s
    end,
    await = function(list, c)
      if #c.handles == 0 then return end
      list[#list + 1] = statement("await", {target = c.handles[random(#c.handles)]})
    end,
    cancel_task = function(list, c)
      if #c.handles == 0 then return end
      list[#list + 1] = statement("cancel_task", {target = c.handles[random(#c.handles)]})
    end,
    cancel_scope = function(list, c)
      if #c.scopes == 0 then return end
      list[#list + 1] = statement("cancel_scope", {target = c.scopes[random(#c.scopes)]})
    end,
    defer = function(list)
      list[#list + 1] = statement("defer", {d = duration(), fails = random(5) == 1})
    end,
    fail = function(list) list[#list + 1] = statement("fail") end,
    soft = function(list, c) if c.is_task then list[#list + 1] = statement("soft") end end,
    value = function(list) list[#list + 1] = statement("value") end,
  }
  local choices = {}
  for op, weight in pairs {
    sleep = 3, scope = 2, timeout = 2, shield = 1, pcall = 2, start = 5, await = 4,
    cancel_task = 2, cancel_scope = 2, defer = 2, fail = 1, soft = 1, value = 1,
  } do
    for _ = 1, weight do choices[#choices + 1] = op end
  end
  table.sort(choices)
  local ends = {fail = true, soft = true, value = true}
  local shared = {scope = true, timeout = true, shield = true, pcall = true, await = true}

  function body(around, scopes, is_task)
    local list = {statement("sleep", {d = duration()})}
    local context = {handles = {table.unpack(around.handles)}, scopes = scopes,
      depth = around.depth + 1, is_task = is_task}
    for _ = 1, random(6) do
      local choice = choices[random(#choices)]
      if left > 0 and (context.depth < MOST_DEPTH or choice == "sleep" or choice == "fail") then
        local before = #list
        makers[choice](list, context)
        if ends[choice] and #list > before then break end
        if shared[choice] and #list > before then
          list[#list + 1] = statement("pause", {d = duration()})
        end
      end
    end
    return list
  end

  return body({handles = {}, depth = 0}, {}, true)
end

-- The labels of the failures that an error is made of.
local function labels(e, set)
  set = set or {}
  if type(e) ~= "table" then
    set[tostring(e)] = true
    return set
  end
  for _, other in ipairs(e.several or {}) do labels(other, set) end
  for _, other in ipairs(e.others or {}) do labels(other, set) end
  if e.code == "EGROUP" then labels(e.cause, set) elseif e.code then set[e.code] = true end
  return set
end

local function describe(e)
  local list = {}
  for label in pairs(labels(e)) do list[#list + 1] = label end
  table.sort(list)
  return table.concat(list, "+")
end

---Call it in a task of the api: run the program, and write into `log` how each statement ended.
---@param program table
---@param api table corun or the model's
---@param make_error fun(label: string): any
---@param log table statement id -> {what = outcome, at = time}
function random_program.run(program, api, make_error, log)
  local handles, scopes = {}, {}
  local began = api.now()

  local function note(s, text)
    log[s.id] = {what = s.op .. " " .. text, at = api.now() - began}
  end

  local execute

  -- Run fn and write down how it ended; give its results and errors on. A cancelled sleep is not
  -- written down, as a task may also be cancelled before it begins with one.
  local function noted(s, fn, ...)
    local r = table.pack(pcall(fn, ...))
    if not r[1] then
      if api.is_cancelled(r[2]) then
        if s.op ~= "sleep" then note(s, "is cancelled") end
      else
        note(s, "raises " .. describe(r[2]))
      end
      error(r[2], 0)
    end
    if r.n >= 3 and r[2] == nil and r[3] ~= nil then
      note(s, "gives nil, " .. describe(r[3]))
    else
      note(s, "gives " .. tostring(r[2]))
    end
    return table.unpack(r, 2, r.n)
  end

  local operations = {
    sleep = function(s) noted(s, api.sleep, s.d) end,
    pause = function(s) api.shield(function() api.sleep(s.d) end) end,
    scope = function(s)
      noted(s, api.scope, function(handle)
        scopes[s.id] = handle
        return execute(s.body, 1)
      end, s.d and {timeout = s.d} or nil)
    end,
    timeout = function(s)
      noted(s, api.timeout, s.d, function() return execute(s.body, 1) end)
    end,
    shield = function(s) noted(s, api.shield, function() return execute(s.body, 1) end) end,
    pcall = function(s) pcall(noted, s, execute, s.body, 1) end,
    await = function(s) noted(s, api.await, handles[s.target]) end,
    cancel_task = function(s) handles[s.target]:cancel() end,
    cancel_scope = function(s) scopes[s.target]:cancel() end,
    fail = function(s) error(make_error("E" .. s.id), 0) end,
  }
  for _, op in ipairs {"spawn", "async", "daemon"} do
    operations[op] = function(s)
      handles[s.id] = api[op](function() return execute(s.body, 1) end)
    end
  end

  function execute(list, i)
    local s = list[i]
    if not s then return end
    if s.op == "soft" then return nil, make_error("E" .. s.id) end
    if s.op == "value" then return "V" .. s.id end
    if s.op ~= "defer" then
      operations[s.op](s)
      return execute(list, i + 1)
    end
    local _ <close> = api.defer(function()
      api.sleep(s.d)
      note(s, "ran")
      if s.fails then error(make_error("E" .. s.id), 0) end
    end)
    local r = table.pack(execute(list, i + 1))
    return table.unpack(r, 1, r.n)
  end

  return execute(program, 1)
end

---The program as text, for the report of a difference.
function random_program.tostring(list, indent)
  local lines = {}
  for _, s in ipairs(list) do
    local text = (indent or "") .. s.id .. " " .. s.op
    for _, key in ipairs {"d", "target"} do
      if s[key] then text = text .. " " .. key .. "=" .. s[key] end
    end
    if s.fails then text = text .. " fails" end
    lines[#lines + 1] = text
    if s.body then lines[#lines + 1] = random_program.tostring(s.body, (indent or "") .. "  ") end
  end
  return table.concat(lines, "\n")
end

random_program.describe = describe

return random_program

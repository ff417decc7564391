-- SPDX-License-Identifier: MIT
-- Pools of processes: what corun.poolcore is to pools of threads, in Lua over worker processes
-- (process_child.lua). A caller waits for its turn, takes a worker that idles or starts one, has it
-- do the job, and puts it back: no task of the pool's own stands behind it. There are as many turns
-- as there may be workers. Invariants: whoever has a turn and no worker finds one that idles or may
-- start one; a job is answered once.
local child = require "corun.process_child"
local core = require "corun.poolcore"
local inside = require "corun.inside"
local link = require "corun.process_link"
local options = require "corun.options"
local source = require "corun.source"
local sync = require "corun.sync"
local task = require "corun.task"
local transfer = require "corun.transfer"

local checkpoint, conclude, pack = inside.checkpoint, core.conclude, core.pack
local stdout = io.stdout

local MOST_WORKERS = 1024
local CRASHES = 10 -- in a row, and one for each worker, until a pool gives up

local processes = {}

-- Making ----------------------------------------------------------------------------------------

local function range(o, name, least, most)
  local n = o[name]
  if n == nil or math.type(n) == "integer" and n >= least and n <= most then return n end
  options.misuse(('option "%s" for pool.new must be an integer from %d to %d, got %s')
    :format(name, least, most, options.show(n)), 4)
end

---Make a pool; `o` was checked but for the ranges of numbers.
function processes.new(o)
  local file, size = core.program()
  if not (o.program or file) then
    options.misuse("a pool of processes needs the program corun, which this is not: " ..
      "name its file by the option program", 3)
  end
  size = range(o, "size", 1, MOST_WORKERS) or size
  local idle = o.idle or 10
  local self = {
    name = o.name, size = size, grace = o.grace or 5, program = o.program,
    retries = range(o, "retries", 0, 1000) or 0, max_jobs = o.max_jobs or math.huge,
    crash_limit = o.crash_limit or CRASHES + size, crashes = 0,
    turns = sync.channel(size), withheld = 0,
    idle = {}, busy = {}, leaving = {},
    workers = 0, active = 0, drained = sync.event(),
    queued = 0, running = 0, done = 0, failed = 0, cancelled = 0,
    hello = transfer.encode{name = o.name, memory = o.memory, idle = idle, path = package.path,
      cpath = package.cpath},
  }
  if type(o.init) == "string" then
    self.init = pack("init", require, o.init)
  elseif o.init then
    self.init = pack("init", o.init)
  end
  for _ = 1, size do self.turns:try_send(true) end
  return self
end

-- Failing ---------------------------------------------------------------------------------------

local function fail(p, code, message, fields)
  fields.op, fields.target = "run", p.name
  error(task.err(code, message, fields), 0)
end

local function refuse(p)
  if p.broken then inside.raise("EWORKER", "run", p.name, p.broken) end
  inside.raise("ECLOSED", "run", p.name, "the pool was closed")
end

-- No job can be done, now and from now on.
local function give_up(p, why)
  if p.broken then return end
  p.broken = why
  p.turns:close()
end

-- A worker has died.
local function count_crash(p, how)
  p.crashes = p.crashes + 1
  if p.crashes < p.crash_limit then return end
  give_up(p, ("%d worker processes in a row have ended without an answer; the last: %s")
    :format(p.crashes, how.message))
end

-- Workers ---------------------------------------------------------------------------------------

-- Forget the workers that have ended by themselves.
local function prune(p)
  for _, list in ipairs{p.idle, p.leaving} do
    for i = #list, 1, -1 do
      if not list[i]:is_running() then
        list[i]:dismiss()
        table.remove(list, i)
        if list == p.idle then p.workers = p.workers - 1 end
      end
    end
  end
end

-- The latest of those that idle.
local function idle_worker(p)
  while #p.idle > 0 do
    local worker = table.remove(p.idle)
    if worker:is_running() then return worker end
    worker:dismiss()
    p.workers = p.workers - 1
  end
end

local function dismiss(p, worker)
  worker:dismiss()
  p.workers = p.workers - 1
  prune(p)
  p.leaving[#p.leaving + 1] = worker
end

-- Put the worker of a job back, and give its turn to the next.
local function release(job)
  local p, worker = job.pool, job.worker
  if worker then
    p.busy[worker], job.worker = nil, nil
    if worker.is_dead then
      p.workers = p.workers - 1
    elseif worker.is_leaving or worker.jobs >= p.max_jobs then
      dismiss(p, worker)
    elseif worker.stage == "ready" then
      p.idle[#p.idle + 1] = worker
    else
      table.insert(p.idle, 1, worker) -- those that are ready go first
    end
  end
  if not job.has_turn then return end
  job.has_turn = false
  for _ = 0, p.withheld do p.turns:try_send(true) end
  p.withheld = 0
end

local function take_turn(job)
  local p = job.pool
  p.queued = p.queued + 1
  local ok, turn = pcall(p.turns.recv, p.turns)
  p.queued = p.queued - 1
  if not ok then error(turn, 0) end
  if not turn then refuse(p) end
  job.has_turn = true
end

local TRANSIENT = {EMFILE = true, ENFILE = true, EAGAIN = true, ENOMEM = true}

-- Start a worker; answers nil when there are others, and no more at this moment.
local function start(job)
  local p = job.pool
  local worker, err = child.start(p)
  if worker then
    p.workers = p.workers + 1
    return worker
  elseif p.workers > 0 and TRANSIENT[err.code] then
    job.has_turn = false -- until one of them is put back
    p.withheld = p.withheld + 1
    return nil
  end
  fail(p, TRANSIENT[err.code] and "EAGAIN" or "EWORKER",
    "no worker process can be started: " .. err.message, {cause = err})
end

-- Get a worker that is ready.
local function take_worker(job)
  local p = job.pool
  while true do
    take_turn(job)
    checkpoint()
    if p.broken or p.given_up then refuse(p) end
    local worker = idle_worker(p) or start(job)
    if worker then
      job.worker, p.busy[worker] = worker, true
      local is_ready, how, why = worker:prepare(p)
      if p.given_up then refuse(p) end
      if is_ready then return worker end
      if how then count_crash(p, how) else give_up(p, why) end
      release(job)
      if p.broken then refuse(p) end
    end
  end
end

-- Jobs ------------------------------------------------------------------------------------------

-- A job under way.
local job_mt = {}

function job_mt.__close(job, err)
  local p = job.pool
  release(job)
  p.active = p.active - 1
  if p.active == 0 and p.closed then p.drained:set() end
  local outcome = job.outcome
  if outcome == link.RETURNED then
    p.done = p.done + 1
  elseif outcome == link.CANCELLED or task.is_cancelled(err) then
    p.cancelled = p.cancelled + 1
  elseif outcome then
    p.failed = p.failed + 1
  end
end

-- Have a worker do the job: the outcome and the reply, or nil and how the worker has ended.
local function attempt(job, kind, call)
  local p = job.pool
  local ok, outcome, reply
  repeat
    local worker = take_worker(job)
    p.running = p.running + 1
    ok, outcome, reply = pcall(worker.ask, worker, kind, call)
    p.running = p.running - 1
    if not ok then error(outcome, 0) end
    release(job)
  until outcome ~= link.LEAVING
  if outcome then
    p.crashes = 0
  elseif p.given_up then
    return link.CANCELLED, ""
  else
    count_crash(p, reply)
  end
  return outcome, reply
end

local function perform(p, kind, ...)
  checkpoint()
  local call = pack("argument", ...)
  if p.broken or p.closed then refuse(p) end
  pcall(stdout.flush, stdout) -- what was printed before comes before what the job prints
  local job <close> = setmetatable({pool = p, has_turn = false}, job_mt)
  p.active = p.active + 1
  local tries = 0
  local outcome, reply
  repeat
    outcome, reply = attempt(job, kind, call)
    tries = tries + 1
  until outcome or tries > p.retries or p.broken
  job.outcome = outcome or link.RAISED
  if not outcome then
    local how = reply
    local message = how.message
    how.message = nil
    fail(p, "EWORKER", message, how)
  end
  return outcome, reply
end

---Call fn(...) in a worker.
function processes.run(p, fn, ...)
  if not source.is_callable(fn) then
    options.misuse("run needs a function, got " .. type(fn))
  end
  return conclude(p.name, perform(p, link.CALL, fn, ...))
end

---Call fn with each of the arguments: seconds that it took, then the results.
function processes.map(p, fn, ...)
  return conclude(p.name, perform(p, link.MAP, fn, ...))
end

-- The rest --------------------------------------------------------------------------------------

---Take no more jobs; with `cancel` give up those there are.
function processes.close(p, cancel)
  p.closed = true
  if not cancel or p.given_up then return end
  p.given_up = true
  p.turns:close()
  for worker in pairs(p.busy) do worker:stop() end
end

---Wait until the jobs and the workers of a closed pool have ended.
function processes.join(p)
  if p.active > 0 then p.drained:wait() end
  while #p.idle > 0 do dismiss(p, table.remove(p.idle)) end
  for _, worker in ipairs(p.leaving) do worker:join() end
  p.leaving = {}
end

function processes.stats(p)
  prune(p)
  return {size = p.size, workers = p.workers, idle = #p.idle, queued = p.queued,
    running = p.running, done = p.done, failed = p.failed, cancelled = p.cancelled}
end

return processes

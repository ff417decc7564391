-- SPDX-License-Identifier: MIT
-- One worker process as its pool sees it: started, asked to do jobs one after the other, stopped.
-- Owns the process and the socket. The task that waits for an answer is the one whose job it is, so
-- a worker that idles has no task. Invariant: a job has ended when `ask` returns or raises, by its
-- answer or with its process.
local core = require "corun.poolcore"
local link = require "corun.process_link"
local processcore = require "corun.processcore"
local task = require "corun.task"

local shield = task.shield

local END_SECONDS = 5 -- within which a process that has closed its socket ends by itself

local methods = {}
local class = {__index = methods}
local child = {}

---Start a worker process for a pool.
---@return table? worker
---@return table? err
function child.start(p)
  local file, _, argv = core.program()
  table.insert(argv, 1, "corun worker") -- a program with a script of its own knows it by this
  argv[#argv + 1] = "--worker=" .. p.name:gsub("%z.*", "")
  local process, socket = processcore.spawn{op = "start", file = p.program or file, argv = argv,
    label = p.name, stdin = "socket", stdout = "inherit", stderr = "inherit", grace = p.grace,
    background = true}
  if not process then return nil, socket end
  return setmetatable({process = process, socket = socket, link = link.new(socket),
    pid = processcore.pid(process), grace = p.grace, jobs = 0, stage = "begun"}, class)
end

local function seen_end(self)
  return processcore.wait(self.process, END_SECONDS)
end

-- The process has ended, or is of no more use because of `err`: see to it that it has ended, and
-- say how.
local function bury(self, err)
  local is_useless = err ~= nil and err.code == "EPROTO"
  local ok, result = pcall(seen_end, self)
  if is_useless or not (ok and result) then
    pcall(processcore.kill, self.process, "SIGKILL")
    result = {}
  end
  processcore.close(self.process)
  processcore.abandon(self.socket)
  self.is_dead = true
  local how = result.signal and "was ended by " .. result.signal
    or result.code and "ended with exit status " .. result.code
    or "was killed: " .. (is_useless and err.message or "it does not listen any more")
  return {message = ("worker process %d %s"):format(self.pid, how), pid = self.pid,
    signal = result.signal, status = result.code}
end

-- The job is to end: say so, and end the process if that is of no avail.
local function stop_job(self)
  local ok, answer = pcall(function()
    local wait = {timeout = self.grace}
    return self.link:send(link.CANCEL, "", wait) and self.link:receive(wait)
  end)
  self.is_leaving = answer == link.LEAVING
  if ok and answer and (answer <= link.CANCELLED or self.is_leaving) then return end
  pcall(processcore.kill, self.process, "SIGKILL")
  shield(bury, self)
end

-- Wait for what becomes of a job: as `ask`.
local function await_outcome(self)
  local outcome, reply = self.link:receive()
  if outcome == nil then return nil, shield(bury, self, reply) end
  self.is_leaving = outcome == link.LEAVING
  if outcome > link.CANCELLED and not self.is_leaving then
    return nil, shield(bury, self, task.err("EPROTO", "it gave no answer"))
  elseif outcome == link.CANCELLED and not self.is_stopped then
    return nil, shield(bury, self) -- somebody else has ended it
  end
  return outcome, reply
end

---Send a job and wait for what becomes of it. A cancellation of the caller reaches the job.
---@return integer? outcome nil when the process has ended
---@return string|table reply or how it has ended
function methods:ask(kind, call)
  self.link:send(kind, call) -- if that fails, what it has said before tells why
  self.jobs = self.jobs + 1
  local ok, outcome, reply = pcall(await_outcome, self)
  if ok then return outcome, reply end
  if not self.is_dead then shield(stop_job, self) end
  error(outcome, 0)
end

---Make the process ready for jobs. What a caller who is cancelled leaves undone the next one does.
---@return boolean? ready
---@return table? how the process has ended
---@return string? why its init failed
function methods:prepare(p)
  if self.stage == "begun" then
    self.link:send(link.HELLO, p.hello) -- if that fails there is no answer either
    self.stage = "greeted"
  end
  if self.stage == "greeted" then
    local kind, err = self.link:receive()
    if kind and kind ~= link.READY then err = task.err("EPROTO", "it is no worker") end
    if kind ~= link.READY then return nil, shield(bury, self, err) end
    if p.init then self.link:send(link.CALL, p.init) end
    self.stage = p.init and "init" or "ready"
  end
  if self.stage == "init" then
    local outcome, reply = await_outcome(self)
    if not outcome then return nil, reply end
    self.stage = "ready"
    local ok, err = pcall(core.conclude, p.name, outcome, reply)
    if not ok then return nil, nil, tostring(err) end
  end
  return true
end

---Stop it, whatever it does: its job is cancelled, and the process ends within its grace.
function methods:stop()
  self.is_stopped = true
  processcore.stop(self.process)
end

---Let it go: nothing runs in it. It ends by itself.
function methods:dismiss()
  processcore.abandon(self.socket)
end

---Wait until it has ended.
function methods:join()
  if not self.is_dead and not processcore.wait(self.process, self.grace) then
    processcore.kill(self.process, "SIGKILL")
  end
  processcore.close(self.process)
end

---Whether the process runs.
function methods:is_running()
  return not self.is_dead and processcore.state(self.process) == "running"
end

return child

-- SPDX-License-Identifier: MIT
-- What runs in a worker process of a pool (process_pool.lua): its main thread passes on what the
-- pool says to a pool of one thread, in which jobs run as in any other. So it always listens, also
-- while a job spins. It ends with the socket: it does not outlive the program that it works for.
local core = require "corun.poolcore"
local link = require "corun.process_link"
local options = require "corun.options"
local processcore = require "corun.processcore"
local task = require "corun.task"
local transfer = require "corun.transfer"

local now, shield, scope = task.now, task.shield, task.scope
local stdout = io.stdout

local LOOK_SECONDS = 0.1 -- at least, from one look whether the job has ended to the next
local FIRST_SECONDS = 10 -- at least, for the first job: who started this process is about to ask

-- The task of a job.
local function serve(self, job, kind, call)
  job.task = task.current() -- it can be cancelled from here on
  local outcome, reply = link.CANCELLED, ""
  if not job.is_cancelled then
    local ok, how, bytes = pcall(core.relay, self.pool, kind, call)
    if ok then
      outcome, reply = how, bytes
    elseif not task.is_cancelled(how) then
      outcome, reply = link.RAISED, transfer.encode(how)
    end
  end
  self.job, self.idle_since = nil, now()
  pcall(stdout.flush, stdout) -- what it printed comes before its caller goes on
  shield(self.link.send, self.link, outcome, reply)
end

local function cancel(job)
  if not job then return end -- it has ended meanwhile
  job.is_cancelled = true
  if job.task then job.task:cancel() end
end

-- Do what the pool says, until it ends or there was nothing to do for long.
local function attend(self, s)
  local wait = {timeout = 0}
  while true do
    wait.timeout = self.job and math.max(self.idle, LOOK_SECONDS)
      or math.max(0, self.idle_since + self.idle - now())
    local kind, bytes = self.link:receive(wait)
    if kind == link.CANCEL then
      cancel(self.job)
    elseif kind then
      self.job = {}
      s:spawn(serve, self, self.job, kind, bytes)
    elseif not bytes or bytes.code ~= "ETIMEDOUT" then
      return
    elseif not self.job and now() >= self.idle_since + self.idle then
      self.link:send(link.LEAVING, "")
      return
    end
  end
end

return function()
  local stream, err = processcore.claim()
  if not stream then options.misuse("a worker process is started by its pool alone: " .. err) end
  local to_pool = link.new(stream)
  local kind, bytes = to_pool:receive()
  if kind ~= link.HELLO then return end
  local hello = assert(transfer.decode(bytes))
  package.path, package.cpath = hello.path, hello.cpath
  local self = {
    link = to_pool, idle = hello.idle,
    idle_since = now() + math.max(0, FIRST_SECONDS - hello.idle),
    pool = core.new{size = 1, idle = math.huge, name = hello.name, memory = hello.memory},
  }
  to_pool:send(link.READY, "")
  scope(function(s)
    attend(self, s)
    task.exit() -- also when a job does not end
  end)
end

-- SPDX-License-Identifier: MIT
-- For specs of pools of processes.
local corun = require "corun"
local assert = require "luassert"
local eventually = require("tests.spec.support.eventually")
local files = dofile("tests/spec/support/files.lua")
local outcomes = dofile("tests/spec/support/outcomes.lua")
local program = dofile("tests/fixtures/cli/program.lua")

local pools = {}

pools.raised = outcomes.assert_raises

---The path of tests/ext/crash.c as a library, for package.loadlib in a job.
pools.crash = program.path:gsub("[^/]*$", "ext/crash.so")

---A pool of one worker, if `o` says no more. Its grace is longer than a loaded machine needs.
function pools.new(o)
  o = o or {}
  o.kind, o.size, o.grace = "process", o.size or 1, o.grace or 60
  return corun.pool.new(o)
end

---A task that runs `fn(...)` in a worker of the pool, where it has begun.
function pools.under_way(p, fn, ...)
  local dir <close>, path = files.folder()
  local task = corun.async(p.run, p, function(name, job, ...)
    assert(io.open(name, "w")):close()
    return job(...)
  end, dir and path .. "/begun", fn, ...)
  eventually(function() return files.get(path .. "/begun") end)
  return task
end

---The number of the process in which it is called.
function pools.pid()
  local f <close> = io.open("/proc/self/stat")
  return f:read("n")
end

---Run a script in a program of its own; all that it printed, and its status.
function pools.script(text, ...)
  local words = {...}
  words[#words + 1], words[#words + 2] = "-e", text
  local r = program.run(words)
  return r.out .. r.err, r.status
end

return pools

-- SPDX-License-Identifier: MIT
-- Types of `require "corun.pool"`; see corun.lua beside it.
---@meta corun.pool
-- luacheck: no unused

--- Parallel Lua: functions on other cores, awaited like anything else.
---
--- A worker is an OS thread with a Lua state and an event loop of its own, in which the whole
--- library works. A job is a function that runs in one: `pool.run(function(n) ... end, 40)` hands
--- it over with its arguments and waits for its results, while this program's loop goes on. Nothing
--- is shared: arguments, upvalues and results are copied, and globals are the worker's own. What
--- cannot be transferred raises in the caller, before anything is queued, with its path:
--- `cannot transfer userdata (tcp stream) at argument 2 .conn.sock`.
---
--- The functions of this module use the default pool, which has as many workers as there are cores.
--- Workers start when jobs come, and end when they have idled for a while; an idle one costs no
--- time. Inside a job the default pool is the pool that it runs in: a job may wait for jobs of its
--- own, however few workers there are.
---
--- With `kind = "process"` a pool's workers are processes: a crash in a C module ends one of them
--- and not the program. All else is the same, but that `pool.channel`, `buffer` and `counter`
--- cannot cross.
---
--- A job that is cancelled, also by a deadline of its caller or by `close`, is cancelled as a task
--- is, also when it spins; its caller goes on when it has ended (S16, S23). In a job `corun.exit`
--- and `os.exit` raise.
---@class corun.pool
local pool = {}

-- ## Running functions

--- Call `fn(...)` in a worker and return what it returns, when the tasks that it has started have
--- ended, too (S1).
---
--- - Raises: what the function raises, with the tracebacks of both sides; when a value cannot be
---   transferred (a result: `ETRANSFER`); `ENOMEM` when the job needs more than the `memory` of the
---   pool; `EWORKER` when its `init` failed or its worker died; `EAGAIN` when no worker can be
---   started; `ECLOSED` and `ECANCELED` when the pool is closed.
---@async
---@param fn fun(...: any): ...
---@param ... any
---@return any ...
function pool.run(fn, ...) end

--- Call `fn` with each item in the workers and return the first results in order.
---
--- Items travel in parts, whose size follows from how long the calls take. The first call that
--- fails, by an error or with `nil, err` (S2), ends the map and cancels the rest.
---
--- - Raises: the error of a call; what `run` raises.
---@async
---@param src corun.source
---@param fn fun(item: any): any, any
---@param o? corun.pool.map_options
---@return any[] results with their number as `n`
function pool.map(src, fn, o) end

--- Call `fn` with each item in the workers; iterate over item and results as the calls end.
---
--- Leaving the loop cancels what is left and waits for it. `nil, err` of a call comes to the loop.
---
--- - Raises: the error of a call, in the loop; what `run` raises.
---@async
---@param src corun.source
---@param fn fun(item: any): ...
---@param o? corun.pool.each_options
---@return fun(): any, ... iterator the item, then what `fn(item)` returned; closable
function pool.each(src, fn, o) end

--- Call `require(module_name)[function_name](...)`, a function that blocks, in a worker, and return
--- what it returns. This is for ordinary Lua C modules, which know nothing of corun: databases,
--- file systems, devices. Meanwhile this program's loop goes on.
---
--- What cannot cross, above all userdata such as a connection, stays in that worker, and a proxy of
--- it is returned, also inside of tables. A proxy has the methods of what it stands for; each call
--- runs there, and suspends the calling task only. As an argument of such a call the proxy is the
--- value itself.
---
--- ```lua
--- local env <close> = pool.call("luasql.sqlite3", "sqlite3")
--- local con <close> = env:connect("tea.db")
--- local cursor <close> = con:execute("select name from tea")
--- for name in function() return cursor:fetch() end do print(name) end
--- ```
---
--- What one call has made, and what its methods make of that, is in one worker, and nothing else
--- is: calls there wait for each other, first come, first served, and for nothing else. The worker
--- is free for another call when `close` was called for all that it keeps but functions, or nobody
--- has a proxy any more, and ends when it has idled. So have as many connections as shall work at
--- once: each is a thread. At most 16 calls of `call` run at once, for each pool, and others wait;
--- methods are not counted.
---
--- A C function cannot be interrupted: a task that is cancelled goes on when the call has ended
--- (S16).
---
--- - Raises: what the function raises, at the line that called; when a value cannot be transferred,
---   or a proxy belongs to another worker; `ECLOSED` when the pool was closed; `EAGAIN` when 256
---   workers keep values that are open; and what `run` raises.
---@async
---@param module_name string
---@param function_name string
---@param ... any
---@return any ...
function pool.call(module_name, function_name, ...) end

--- What stands for a value that stays in a worker. Its fields are methods of that value, called as
--- `proxy:name(...)`; what can be called there can be called here, and in a generic `for`.
---
--- `proxy:close(...)` is the value's own `close`, done also in a cancelled scope (S14), and so is
--- leaving the block of a `<close>` variable, which calls `__close` where there is one. When the
--- last proxy of a value is collected, its worker lets go of it. A proxy belongs to the runtime
--- that made the call, and is not transferred to others.
---@class corun.pool.proxy
---@overload fun(...: any): ...
---@field [string] fun(self: corun.pool.proxy, ...: any): ...

--- Close the default pool, as `close` of a pool does; the next job makes a new one.
---
--- - Raises: in a job, whose pool it is.
---@async
---@param o? corun.pool.close_options
function pool.close(o) end

--- Counts of the default pool; see `stats` of a pool.
---@return corun.pool.stats
function pool.stats() end

--- Options of `map`.
---@class corun.pool.map_options
---@field limit? integer parts under way at most, so how far it looks ahead (default twice `size`)
---@field chunk? integer items of a part , at most 100,000 (default: as many as take 2 ms)

--- Options of `each`.
---@class corun.pool.each_options
---@field limit? integer jobs under way at most (default twice `size`)

-- ## Pools of one's own

--- Make a pool. It starts no worker before its first job. Close it, best with `local p <close>`;
--- one that is left to the collector ends its workers too.
---
--- With `kind = "process"` each worker is a process, started by running this program anew. It has
--- this program's folder, environment, `package.path`, standard output and errors, nothing to read
--- from standard input, and no other descriptor. It ends when this program does, however that ends.
--- When it dies, by a signal, by `exit` in C or because it was killed, the job that it held raises
--- `EWORKER` with the `pid` and the `signal` or the exit `status`, in its caller alone; the next
--- job gets another worker. What the job had done by then is done: only `retries` runs it again. A
--- cancelled job that has not ended after `grace` is ended with its process. Inside such a job the
--- default pool is one of threads in its process.
---
--- - Raises: when an option is wrong.
---@param o? corun.pool.options
---@return corun.pool.handle
function pool.new(o) end

--- Options of a pool.
---@class corun.pool.options
---@field size? integer workers at most (default: as many as there are cores)
---@field init? string|fun() each worker requires this module, or calls this function, before its
---  first job; if that fails, all jobs fail with `EWORKER`. Tasks that it starts go on while the
---  worker lives, which ends with them: start with `daemon` what has no end. In a process they
---  belong to `init` as to a job, which ends with them
---@field name? string for messages and the task tree
---@field memory? integer bytes that the Lua state of a worker may hold: a job that needs more fails
---  with `ENOMEM`, and the worker goes on (default: no limit)
---@field idle? corun.seconds after which a worker without a job ends (default 10)
---@field kind? "thread"|"process" what the workers are (default "thread"); the rest needs "process"
---@field max_jobs? integer after which a worker is replaced, between jobs: for C modules that leak
---  (default: never)
---@field retries? integer how often a job is run again whose worker has died; never one that has
---  raised (default 0)
---@field crash_limit? integer workers that may die in a row, no job answered: then all jobs
---  fail with `EWORKER` (default 10 and `size`)
---@field grace? corun.seconds from cancelling a job until its process is killed (default 5)
---@field program? string a corun program to run as worker (default: the one that runs now)

--- A pool.
---@class corun.pool.handle
---@field name string
local handle = {}

--- As `pool.run`.
---@async
---@param fn fun(...: any): ...
---@param ... any
---@return any ...
function handle:run(fn, ...) end

--- As `pool.map`.
---@async
---@param src corun.source
---@param fn fun(item: any): any, any
---@param o? corun.pool.map_options
---@return any[] results with their number as `n`
function handle:map(src, fn, o) end

--- As `pool.each`.
---@async
---@param src corun.source
---@param fn fun(item: any): ...
---@param o? corun.pool.each_options
---@return fun(): any, ... iterator the item, then what `fn(item)` returned; closable
function handle:each(src, fn, o) end

--- As `pool.call`; its workers begin with the pool's `init` and have its `memory` and `idle`.
---@async
---@param module_name string
---@param function_name string
---@param ... any
---@return any ...
function handle:call(module_name, function_name, ...) end

--- Take no more jobs, and wait until those under way have ended, and the workers. What `call` has
--- kept is closed. Later calls of `run`, and of proxies, raise `ECLOSED`. Leaving the block of a
--- `<close>` variable closes too; an error that leaves it cancels the jobs.
---@async
---@param o? corun.pool.close_options
function handle:close(o) end

--- Options of `close`.
---@class corun.pool.close_options
---@field cancel? boolean give up jobs that wait, cancel those that run and `init` (default false)

--- What happens in the pool at this moment, and what happened so far.
---@return corun.pool.stats
function handle:stats() end

--- Counts of a pool.
---@class corun.pool.stats
---@field name string
---@field size integer workers at most
---@field workers integer that there are
---@field idle integer those that wait for a job
---@field queued integer jobs that wait for a worker
---@field running integer jobs that run
---@field done integer jobs that have returned
---@field failed integer jobs that have raised
---@field cancelled integer jobs that were cancelled
---@field keepers? integer workers of `call` that there are; not of processes
---@field kept? integer values that they keep and that were not closed; functions do not count

-- ## Sharing

--- Make a channel between runtimes: what `corun.channel` is between tasks. It can be handed to
--- jobs, also inside of tables and over channels, and waited for by tasks of any of them, in
--- `select` too. Items are copied. One without room takes an item when a receiver waits.
---
--- - Raises: when `n` is negative.
---@param n? integer items that it keeps (default 0)
---@return corun.pool.shared_channel
function pool.channel(n) end

--- A channel that runtimes share. In a generic `for` it gives items until it is closed.
---@class corun.pool.shared_channel
---@overload fun(): any
local shared_channel = {}

--- Send a value; wait until there is room. Cancelled before, it has sent nothing.
---
--- - Raises: when the value is nil or cannot be transferred.
--- - Fails: `ECLOSED`.
---@async
---@param value any
---@return true? sent
---@return corun.err? err
function shared_channel:send(value) end

--- Receive the oldest item; wait for one. A cancelled receiver loses none.
---
--- - Raises: when the item needs a module or a metatable that is not known here.
---@async
---@return any item nil once the channel is closed and empty
function shared_channel:recv() end

--- Send a value if there is room.
---
--- - Raises: when the value is nil or cannot be transferred.
--- - Fails: `ECLOSED`.
---@param value any
---@return boolean? sent
---@return corun.err? err
function shared_channel:try_send(value) end

--- Receive an item if there is one.
---
--- - Fails: `EEMPTY`.
---@return any item nil alone once the channel is closed and empty
---@return corun.err? err
function shared_channel:try_recv() end

--- Close it for all: what is in it can still be received.
function shared_channel:close() end

--- Make a buffer: bytes that several runtimes see without a copy. Each call is one change for all
--- others. Positions are those of `string.sub`.
---
--- - Raises: when the size is negative; on out of memory.
---@param bytes integer|string its size, filled with zeros, or what is in it
---@return corun.pool.buffer
function pool.buffer(bytes) end

--- Bytes that runtimes share. `#buffer` is its size, which never changes.
---@class corun.pool.buffer
local shared_buffer = {}

--- Read bytes.
---
--- - Raises: `ECLOSED` when the buffer was moved.
---@param from? integer (default 1)
---@param to? integer (default -1)
---@return string bytes
function shared_buffer:read(from, to) end

--- Write bytes.
---
--- - Raises: when they do not fit; `ECLOSED` when the buffer was moved.
---@param at integer
---@param bytes string
---@return corun.pool.buffer self
function shared_buffer:write(at, bytes) end

--- Make a buffer that is a part of this one and sees the same bytes.
---@param from? integer (default 1)
---@param to? integer (default -1)
---@return corun.pool.buffer slice
function shared_buffer:slice(from, to) end

--- Hand the bytes over to a new buffer: this one and its slices are closed, in all runtimes.
---
--- - Raises: when it is a slice; `ECLOSED` when it was moved before.
---@return corun.pool.buffer moved
function shared_buffer:move() end

--- Make a counter: an integer that runtimes change without losing a change.
---@param n? integer (default 0)
---@return corun.pool.counter
function pool.counter(n) end

--- An atomic integer.
---@class corun.pool.counter
local shared_counter = {}

--- Add to it.
---@param n? integer (default 1)
---@return integer sum
function shared_counter:add(n) end

--- Its value.
---@return integer value
function shared_counter:get() end

--- Set it.
---@param value integer
---@return integer before
function shared_counter:set(value) end

--- Set it if it has the expected value.
---@param expected integer
---@param value integer
---@return boolean was_set
function shared_counter:compare_and_set(expected, value) end

--- Run a function once in the whole program, whatever worker asks first, and give its results to
--- all who ask under that name; others wait meanwhile. It runs where it was asked first. When it
--- fails, by an error or with `nil, err` (S2), or is cancelled, the next one who asks runs its own.
---
--- - Raises: what the function raises, in the one that ran it; when its results cannot be
---   transferred.
---@async
---@param name string
---@param fn fun(): ...
---@return any ...
function pool.once(name, fn) end

return pool

-- SPDX-License-Identifier: MIT
-- Types of the synchronisation part of `require "corun"`; see corun.lua beside it.
---@meta _
-- luacheck: no unused

---@class corun
local corun = {}

-- ## Channels

--- Make a channel that holds up to `n` items.
---
--- With 0 a `send` waits until a receiver has taken its item. Receivers and senders are served
--- first come, first served. An item is never lost to a receiver that was cancelled (S15).
---@param n? integer capacity (default 0)
---@return corun.channel c
function corun.channel(n) end

--- A queue between tasks. `#c` is the number of items it holds; `for v in c do ... end` receives
--- until it is closed and drained.
---@class corun.channel
---@operator len: integer
---@overload fun(): any
local channel = {}

--- Hand over `v`; wait while the channel is full.
---
--- - Raises: when `v` is nil.
--- - Fails: `ECLOSED` when the channel is closed, also while waiting: `v` was not delivered (S34).
---@async
---@param v any not nil
---@return true? ok
---@return corun.err? err
function channel:send(v) end

--- Take the next item; wait while there is none.
---@async
---@return any v nil once the channel is closed and drained
function channel:recv() end

--- `send` if that is possible at once.
---
--- - Raises: when `v` is nil.
--- - Fails: `ECLOSED`.
---@param v any not nil
---@return boolean? ok false when the channel is full
---@return corun.err? err
function channel:try_send(v) end

--- `recv` if that is possible at once.
---
--- - Fails: `EEMPTY` when there is no item now; closed and drained is nil alone.
---@return any v
---@return corun.err? err
function channel:try_recv() end

--- End the channel: senders get `ECLOSED`, receivers what is left and then nil.
---
--- A second call does nothing.
function channel:close() end

--- Wait until one of several channel operations is possible, and do that one.
---
--- Of those that are ready each has the same chance; nothing happens to the others. A closed
--- channel is ready, with nil (S35).
---
--- ```lua
--- local which, v = corun.select({job = jobs, out = {results, send = r}}, {timeout = 1})
--- ```
---
--- - Raises: when there is no case, or one is neither of these.
--- - Fails: `ETIMEDOUT` when `timeout` has passed.
---@async
---@param cases table<any, corun.channel|corun.signals|corun.event|corun.select.send>
---@param o? corun.select.options
---@return any key the key of the operation that was done
---@return any ... what `recv`, `wait` or `send` gives
function corun.select(cases, o) end

--- A case that sends: `{c, send = v}`.
---@class corun.select.send
---@field [1] corun.channel
---@field send any the item

---@class corun.select.options
---@field timeout? corun.seconds give up after so long

-- ## Locks, events, limits

--- Make a semaphore with `n` permits.
---@param n integer
---@return corun.semaphore sem
function corun.semaphore(n) end

--- Permits that are held by guards.
---@class corun.semaphore
local semaphore = {}

--- Take a permit; wait, first come, first served, while there is none.
---
--- ```lua
--- local permit <close> = sem:acquire()
--- ```
---@async
---@return corun.guard guard
function semaphore:acquire() end

--- `acquire` if that is possible at once.
---@return corun.guard? guard nil when there is no permit left
function semaphore:try_acquire() end

--- Make a mutex: a semaphore with one permit.
---
--- It is not re-entrant.
---@return corun.mutex m
function corun.mutex() end

--- A lock that is held by a guard.
---@class corun.mutex
local mutex = {}

--- Lock; wait, first come, first served, while it is locked.
---
--- - Raises: when the calling task holds the lock.
---@async
---@return corun.guard guard
function mutex:acquire() end

--- `acquire` if that is possible at once.
---@return corun.guard? guard nil while it is locked
function mutex:try_acquire() end

--- What is held. `local g <close> = ...` gives it back when the block ends, also when the task is
--- cancelled.
---@class corun.guard
local guard = {}

--- Give it back now. A second call does nothing.
function guard:close() end

--- Another name for `close`.
function guard:release() end

--- Make an event. Reports of who waits for it say `what`: "waiting for word of a free seat".
---@param what? string what it tells of
---@return corun.event e
function corun.event(what) end

--- Something that happens, with values, until it is cleared.
---@class corun.event
local event = {}

--- Wake all that wait, with these values, and let `wait` return them from now on (S36).
---@param ... any
function event:set(...) end

--- Wait until the event is set.
---@async
---@return any ... the values of `set`
function event:wait() end

--- Let `wait` wait again.
function event:clear() end

--- Whether the event is set.
---@return boolean yes
function event:is_set() end

--- Make a rate limit of `n` in `per` seconds: a token bucket, full at first.
---
--- - Raises: when a number is not above 0, or infinite.
---@param n number
---@param per corun.seconds
---@param o? corun.limiter.options
---@return corun.limiter l
function corun.limiter(n, per, o) end

---@class corun.limiter.options
---@field burst? number so many at once after a pause (default `n`, but at least 1)

--- A rate limit. Waiters are served first come, first served.
---@class corun.limiter
local limiter = {}

--- Wait until `k` more are allowed. A waiter that is cancelled has used nothing.
---
--- - Raises: when `k` is negative or more than the burst.
---@async
---@param k? number (default 1)
function limiter:wait(k) end

-- ## Signals

--- Receive signals, by name, as from a channel.
---
--- While it is open these signals do nothing else. A name may be given with `SIG` before it, and
--- then comes back so.
---
--- ```lua
--- for name in corun.signal("HUP") do reload() end
--- ```
---
--- - Raises: for a name that is no signal, or one that cannot be received (`"KILL"`).
--- - Fails: the system's reason.
---@param name string `"HUP"`, `"USR1"`, `"SIGUSR1"` ...
---@param ... string further names
---@return corun.signals? names
---@return corun.err? err
function corun.signal(name, ...) end

--- Signals as they come; for `select` too. One that comes again before it was received counts
--- once. A task that waits here waits for the world, so it is not part of a deadlock (S38).
---@class corun.signals
---@operator len: integer
---@overload fun(): string?
local signals = {}

--- Wait for the next signal.
---@async
---@return string? name nil once it is closed
function signals:recv() end

--- `recv` if that is possible at once.
---
--- - Fails: `EEMPTY` when there is none now; closed is nil alone.
---@return string? name
---@return corun.err? err
function signals:try_recv() end

--- Let the signals do again what they did before. A second call does nothing.
function signals:close() end

-- SPDX-License-Identifier: MIT
-- Types of `require "corun"`: tasks, scopes, errors. Read by editors (LuaLS) and by tools/gendocs,
-- which makes docs/api.md from it; the program never loads it.
---@meta corun
-- luacheck: no unused

--- Tasks that wait without blocking, in scopes that lose none of them. Every function marked
--- "Suspends: yes" raises the cancellation when the scope of its caller has been cancelled, before
--- it does anything else (S13), and lets other tasks run: while it waits, or, where it would never
--- have to wait, after about a millisecond of such calls. Durations are seconds, fractions
--- included; sizes are bytes. Options come last, in one table; an unknown option raises.
---
--- What touches the outside world returns its value, or `nil` and a `corun.err`. Misuse raises at
--- the caller's line. A cancellation of the calling task is always raised and never returned.
---@class corun
---@field csv corun.csv `require "corun.csv"`, loaded when first used
---@field fs corun.fs `require "corun.fs"`, loaded when first used
---@field http corun.http `require "corun.http"`, loaded when first used
---@field json corun.json `require "corun.json"`, loaded when first used
---@field log corun.log `require "corun.log"`, loaded when first used
---@field net corun.net `require "corun.net"`, loaded when first used
---@field pool corun.pool `require "corun.pool"`, loaded when first used
---@field process corun.process `require "corun.process"`, loaded when first used
---@field progress corun.progress `require "corun.progress"`, loaded when first used
---@field stdin corun.stdio standard input
---@field stdout corun.stdio standard output
---@field stderr corun.stdio standard error
---@field transfer corun.transfer `require "corun.transfer"`, loaded when first used
---@field tty corun.tty `require "corun.tty"`, loaded when first used
local corun = {}

--- A number of seconds, fractions included.
---@alias corun.seconds number

--- What `map`, `each` and `any` take their items from: a list; a function or another callable
--- value that is called for the next item until it returns nil, and is closed at the end if it has
--- `__close`; or a channel, until it is closed and drained.
---@alias corun.source any[]|(fun(): any)|corun.channel

-- ## Starting tasks

--- Start `fn(...)` as a child of the current scope, which waits for it.
---
--- The current scope is the innermost that is open in the calling task, else the task itself (S1).
--- The child first runs when the caller next suspends. If it fails - it raises, or returns `nil`
--- and an error - the scope is cancelled and raises its error (S2, S3). In a scope that is already
--- cancelled `fn` is never called (S8).
---
--- - Raises: when `fn` cannot be called.
---@param fn fun(...): ... the function to run
---@param ... any its arguments
---@return corun.task task the child
function corun.spawn(fn, ...) end

--- Start `fn(...)` as a child whose outcome waits for `await`.
---
--- A failure is kept for the task that awaits it. One that nobody has awaited is raised by the
--- scope when it ends, even if the handle is garbage by then (S3).
---
--- - Raises: when `fn` cannot be called.
---@param fn fun(...): ... the function to run
---@param ... any its arguments
---@return corun.task task a future: `task:await()` gives what `fn` returned
function corun.async(fn, ...) end

--- Start `fn(...)` as a child that is cancelled, and awaited, when all else in the scope has
--- ended.
---
--- Its failure counts like that of any child (S3).
---
--- - Raises: when `fn` cannot be called.
---@param fn fun(...): ... the function to run
---@param ... any its arguments
---@return corun.task task the child
function corun.daemon(fn, ...) end

--- Wait until `task` and its children have ended.
---
--- - Raises: the error that the task raised (S6); when a task awaits itself, also through others,
---   or a task that it runs inside (S7).
--- - Fails: `ECANCELED` when the task was cancelled; else the `nil, err` that its function
---   returned.
---@async
---@param task corun.task
---@return any ... what the task's function returned
function corun.await(task) end

-- ## Scopes

--- Run `fn(s)` in a new scope and return what it returns, once all tasks started in it have ended.
---
--- If the body or a child fails, the rest is cancelled and awaited, and the failure raised;
--- several failures become one error (S5). When `s:cancel()` cut the body or a child short, the
--- scope gives `nil, err`; when all had ended by then, what the body returned.
---
--- ```lua
--- corun.scope(function(s)
---   for _, url in ipairs(urls) do s:spawn(fetch, url) end
--- end, {limit = 8, timeout = 30})
--- ```
---
--- - Raises: the failure; when more than 190 scopes are open in one task (S10).
--- - Fails: `ETIMEDOUT` when its `timeout` has passed; `ECANCELED` when it was cancelled.
---@async
---@param fn fun(s: corun.scope): ... the body
---@param o? corun.scope.options
---@return any ... what `fn` returned
function corun.scope(fn, o) end

---@class corun.scope.options
---@field name? string shown in the task tree
---@field limit? integer so many children at once, for `s:spawn`, `s:async` and `s:daemon`
---@field timeout? corun.seconds cancels the scope after so long

--- A scope, as its body gets it.
---@class corun.scope
local scope = {}

--- `corun.spawn` into this scope, from wherever it is called.
---
--- - Suspends: only while the scope has as many children as its `limit` allows (S10).
--- - Raises: when the scope has ended; when it is full and the caller runs inside it.
---@param fn fun(...): ...
---@param ... any
---@return corun.task task
function scope:spawn(fn, ...) end

--- `corun.async` into this scope.
---
--- - Suspends: as `scope:spawn`.
--- - Raises: as `scope:spawn`.
---@param fn fun(...): ...
---@param ... any
---@return corun.task task
function scope:async(fn, ...) end

--- `corun.daemon` into this scope.
---
--- - Suspends: as `scope:spawn`.
--- - Raises: as `scope:spawn`.
---@param fn fun(...): ...
---@param ... any
---@return corun.task task
function scope:daemon(fn, ...) end

--- Cancel the scope and everything in it, at once and for good (S14).
---
--- Each suspension inside raises from now on, until the scope has ended. A second call changes
--- nothing.
---@param reason? any kept in the cancellation, for messages
function scope:cancel(reason) end

--- The number of children that have not ended.
---@return integer n
function scope:count() end

--- Run `fn(...)` and cancel it when it takes longer than `s` seconds.
---
--- With `s <= 0` the first suspension of `fn` raises; `math.huge` is no limit. Values or another
--- error that `fn` ends with are the outcome, also after the deadline (S17). A function that spins
--- without suspending is interrupted (S21).
---
--- - Raises: what `fn` raised; when `s` is NaN.
--- - Fails: `ETIMEDOUT` when the time was up; else the `nil, err` that `fn` returned.
---@async
---@param s corun.seconds
---@param fn fun(...): ... the function to run
---@param ... any its arguments
---@return any ... what `fn` returned; `true` if it returned nothing
function corun.timeout(s, fn, ...) end

--- Run `fn(...)` undisturbed by cancellations and interrupts from outside.
---
--- For clean-up that has to wait. Once the program is ending, shields hold for `--grace` seconds
--- (5) in all, then they are lifted (S14).
---
--- - Raises: what `fn` raised.
--- - Fails: the `nil, err` that `fn` returned.
---@async
---@param fn fun(...): ... the function to run
---@param ... any its arguments
---@return any ... what `fn` returned
function corun.shield(fn, ...) end

--- Turn what `fn(...)` raises into `nil, err`; the inverse of `assert` (S18).
---
--- A cancellation passes through, which makes this the better `pcall`.
---
--- - Suspends: only as `fn` does.
--- - Raises: cancellations.
--- - Fails: what `fn` raised, or the `nil, err` that it returned.
---@param fn fun(...): ... the function to run
---@param ... any its arguments
---@return any ... what `fn` returned; `true` if it returned nothing
function corun.try(fn, ...) end

--- Make a value that calls `fn(...)` when the block ends: `local _ <close> = corun.defer(fn)`.
---
--- `fn` runs once, however the block is left; it may suspend, and is shielded from cancellation
--- (S14).
---
--- - Raises: when `fn` cannot be called; when the block ends: what `fn` raises.
---@param fn fun(...) the function to run
---@param ... any its arguments
---@return table closable
function corun.defer(fn, ...) end

-- ## Many tasks at once

--- Run functions at the same time and return the first result of each.
---
--- With one table: `gather{user = f, orders = g}` returns a table with the same keys. A task may
--- stand for a function. The first failure cancels the rest, also the tasks handed over, and is
--- raised once all have ended (S9).
---
--- - Raises: the first failure; several become one error (S5).
---@async
---@param ... (fun(): any)|corun.task|table functions and tasks; or one table of them
---@return any ... a result for each; or a table of them, with `n`, their number
function corun.gather(...) end

--- Call `fn(item)` for each item, `limit` at a time, and return the results in order.
---
--- ```lua
--- local pages = corun.map(urls, http.get, {limit = 8})
--- ```
---
--- - Raises: the first failure, of `fn` (a raise, or `nil, err` returned) or of the source; the
---   calls still running are cancelled and awaited first.
---@async
---@param src corun.source
---@param fn fun(item: any): any
---@param o? corun.map.options
---@return table results a list with `n`, its length: a result may be nil
function corun.map(src, fn, o) end

---@class corun.map.options
---@field limit? integer so many calls at once (default 16)

--- Call `fn(item)` for each item, `limit` at a time, and loop over the results as they come.
---
--- `nil, err` of `fn` is handed to the loop; what `fn` raises is raised by the loop. `break`
--- cancels the calls still running and waits for them (S11).
---
--- ```lua
--- for url, res, err in corun.each(urls, http.get, {limit = 100}) do
---   if not res then print(url, err) end
--- end
--- ```
---
--- - Suspends: `each` itself no; each step of the loop yes.
--- - Raises: each step: what `fn` or the source raised, once the results before it are out.
---@param src corun.source
---@param fn fun(item: any): ...
---@param o? corun.map.options
---@return fun(): any, ... iterator the item, then what `fn(item)` returned; closable
function corun.each(src, fn, o) end

--- Run functions at the same time and return the outcome of the first to end, failure included.
---
--- The others are cancelled and awaited. A task may stand for a function (S9).
---
--- ```lua
--- local who, res, err = corun.race{mirror = fetch_mirror, origin = fetch_origin}
--- ```
---
--- - Raises: what the first to end raised; an error that another one raises while it is cancelled,
---   as any failure of a clean-up (S4); when the table is empty.
---@async
---@param fns table<any, (fun(): ...)|corun.task>
---@return any key the key of the first
---@return any ... what it returned
function corun.race(fns) end

--- Return the first success, of `fn(item)` for each item or of a list of functions.
---
--- The calls still running then are cancelled and awaited. With `stagger` a call starts only when
--- the one before it has failed or has taken that long.
---
--- - Fails: all have failed: the first error, with the rest in `err.others`; `EINVAL` when there
---   was nothing to try.
--- - Source: RFC 8305 ("happy eyeballs"), for `stagger`.
---@async
---@param src corun.source items, or a list of functions when `fn` is absent
---@param fn? fun(item: any): ...
---@param o? corun.any.options
---@return any ... what the first to succeed returned
function corun.any(src, fn, o) end

---@class corun.any.options
---@field stagger? corun.seconds pause before the next call is started (default 0: all at once)

-- ## Time

--- Wait for `s` seconds.
---
--- Zero and less let the other ready tasks run once, as `yield` does.
---
--- - Raises: when `s` is NaN.
---@async
---@param s corun.seconds
function corun.sleep(s) end

--- Let the other ready tasks run.
---@async
function corun.yield() end

--- Seconds since the program started, on a clock that never goes back.
---@return corun.seconds t
function corun.now() end

--- When the nearest deadline around the caller passes, on the clock of `now`.
---@return corun.seconds? t nil when there is no deadline
function corun.deadline() end

--- Make a loop that runs every `s` seconds, the first time at once.
---
--- A step that comes late is not made up for: the ticks that were missed are counted, so the
--- numbers may skip (S36).
---
--- ```lua
--- for tick in corun.every(5) do poll() end
--- ```
---
--- - Suspends: `every` itself no; each step of the loop yes.
--- - Raises: when `s` is not above 0, or infinite.
---@param s corun.seconds
---@return corun.every ticks gives the number of the tick: 1, 2, 3 ...
function corun.every(s) end

--- The ticks of a loop.
---@class corun.every
---@overload fun(): integer?
local every = {}

--- End the loop: a task that waits for the next tick gets nil. A second call does nothing.
function every:close() end

--- Make a loop over attempts, with a pause between two that grows.
---
--- The first attempt is number 1 and comes at once. Each pause is `factor` times the one before
--- it, from `min` up to `max`, less a random share of at most `jitter`. The loop ends after
--- `tries` attempts.
---
--- ```lua
--- for attempt in corun.backoff{min = 0.1, max = 10, tries = 5} do
---   if connect() then break end
--- end
--- ```
---
--- - Suspends: `backoff` itself no; each step of the loop yes.
---@param o? corun.backoff.options
---@return corun.backoff iterator
function corun.backoff(o) end

---@class corun.backoff.options
---@field min? corun.seconds the first pause (default 0.1)
---@field max? corun.seconds the longest pause (default 30, or `min` if that is more)
---@field factor? number what each pause is multiplied by, at least 1 (default 2)
---@field jitter? number the share of a pause that is random, 0 to 1 (default 0.5)
---@field tries? integer so many attempts (default: no end)

--- The attempts of one operation: `for attempt in b do ... end`. A loop that was left goes on
--- where it stopped.
---@class corun.backoff
---@overload fun(): integer?
local backoff = {}

--- Start over: the next attempt is number 1 and comes at once, the pause after it is `min` again.
---
--- For a connection that has worked and is lost later.
function backoff:reset() end

-- ## The running task and the program

--- The task that calls.
---@return corun.task task
function corun.current() end

--- The table of the task's own values.
---
--- A child starts with a shallow copy of its parent's, taken when it is spawned (S36).
---@return table values
function corun.locals() end

--- End the program: cancel the root scope, let clean-up run, exit (S33).
---
--- `os.exit` leaves at once, without clean-up.
---
--- - Raises: the cancellation that ends the caller, unless it is in a shield.
---@param code? integer|boolean the exit status, 0 to 255; true is 0 and false 1 (default 0)
function corun.exit(code) end

--- A task, as `spawn`, `async`, `daemon` and `current` return it.
---@class corun.task
---@field id integer its number, never used twice
---@field name? string shown in the task tree and in errors; may be set
local task = {}

--- `corun.await(task)`.
---
--- - Raises: as `corun.await`.
--- - Fails: as `corun.await`.
---@async
---@return any ... what the task's function returned
function task:await() end

--- Cancel the task and its children.
---
--- One that has not started never will (S8). A second call changes nothing.
---@param reason? any kept in the cancellation, for messages
function task:cancel(reason) end

--- Whether the task has ended, whatever its outcome.
---@return boolean done
function task:done() end

--- What the task is doing.
---@return corun.task.status status
function task:status() end

---@alias corun.task.status "ready"|"running"|"waiting"|"done"|"failed"|"cancelled"

-- ## Errors

--- Make an error of the kind that corun's own functions return.
---
--- ```lua
--- return nil, corun.err("EQUOTA", "no calls left today", {retryable = true})
--- ```
---@param code string for programs: `"EQUOTA"`
---@param message string for people
---@param fields? table copied into the error
---@return corun.err err
function corun.err(code, message, fields) end

--- Whether `e` is a cancellation.
---
--- Code that catches everything has to raise one again.
---@param e any
---@return boolean yes
function corun.is_cancelled(e) end

--- An error. `tostring(err)` is one full sentence; `error(err)` and `assert(nil, err)` raise the
--- very same object, so that the code survives.
---@class corun.err
---@field code string `"ECONNREFUSED"`, `"ETIMEDOUT"`, `"ECLOSED"`, `"EHTTP"` ...
---@field message string for people
---@field op? string what was done: `"connect"`
---@field target? string to whom: `"10.0.0.1:443"`
---@field where? string the line to blame, for misuse: `"scrape.lua:12: "`
---@field cause? any the error behind this one
---@field others? any[] further failures of the same scope (S5)
---@field omitted? integer so many failures were too many to keep
---@field retryable? boolean whether the same call may succeed later
---@field status? integer `EHTTP`: the status of the response
---@field response? corun.http.response `EHTTP`: the response

-- ## The command line

--- Read the command line of a script, described by its defaults.
---
--- ```lua
--- local opt = corun.args{
---   limit = 20, verbose = false, per_host = 4,        -- --limit=N --verbose --per-host=N
---   format = {"table", choices = {"table", "json"}},  -- --format=table|json
---   out = {type = "string", short = "o"},             -- -o TEXT; nil without
---   "URL", "[FILE...]",                               -- opt.url, opt.file (a list)
---   help = {"Fetch the pages of an API.", limit = "pages at once", out = "print to this file"},
--- }
--- ```
---
--- A default gives the type: string, integer, float (any number), boolean. Written as
--- `--name=value`, `--name value`, `--flag`, `--no-flag`; an underscore in a name is a dash there.
--- The last of several counts. `--` ends the options. Instead of a default an option can be a
--- table (`corun.args.option`). `help` is one line about the script, or a table of that line and a
--- text for each name.
---
--- Positional arguments stand in the array part: `"FILE"` is required, `"[FILE]"` optional,
--- `"FILE..."` one or more, `"[FILE...]"` any number, the last two as a list. The key in the
--- result is the name in lower case, with `_` for `-`.
---
--- `-h` and `--help` print everything with its default, and exit 0. A wrong command line is
--- answered on stderr with one line, a "did you mean" and the usage, and exits 2. A name that was
--- not described raises when it is read from the result.
---
--- - Suspends: only to exit.
--- - Raises: when the description is wrong.
---@param spec table<string|integer, any> defaults, or `corun.args.option` tables; names; `help`
---@param o? corun.args.settings
---@return table<string, any> options
function corun.args(spec, o) end

--- An option described by more than its default.
---@class corun.args.option
---@field [1] any the default; without one the option is nil (a flag: false) when it is not given
---@field type? "string"|"integer"|"number"|"boolean" when there is no default (default `"string"`)
---@field help? string the text in `--help`
---@field short? string one letter or digit: `"o"` allows `-o FILE`, `-oFILE`; flags join: `-vq`
---@field value? string what `--help` calls the value: `"FILE"`
---@field choices? any[] the only values that are allowed
---@field min? number the least number that is allowed
---@field max? number the greatest number that is allowed
---@field required? boolean it must be given
---@field many? boolean it may be given several times; the result is a list

---@class corun.args.settings
---@field argv? string[] read this (default: the global `arg`)
---@field name? string the program's name in messages (default: from `argv[0]`)
---@field exit? fun(code: integer) called instead of `corun.exit`; `args` returns nil if it returns
---@field out? table|userdata whose `write` method gets the help (default: stdout)
---@field err? table|userdata whose `write` method gets a complaint (default: stderr)

return corun

-- SPDX-License-Identifier: MIT
-- Types of `require "corun.process"`; see corun.lua beside it.
---@meta corun.process
-- luacheck: no unused

--- Programs as children of tasks: started without a shell, stopped with all that they started,
--- always reaped.
---
--- A program is a list: its name, looked up in its `PATH` unless it has a slash, and arguments,
--- strings or numbers. No shell reads them. `{shell = "ls | wc -l"}` asks for one; the list then
--- holds what the command line finds in `$1`, `$2` ...: `run{shell = 'grep -c -- "$1" *.lua',
--- word}`. Options stand in the same table or in a second one.
---
--- A program gets its three streams and no other descriptor, no blocked signal, and a process group
--- of its own (not if it reads from this program's terminal: it would be stopped then). What is
--- stopped - by a time limit, a cancellation, `close` - gets `SIGTERM`, with its whole group; what
--- of it still runs after `grace` seconds gets `SIGKILL`. The task goes on when all that has
--- happened; at the end of the program `--grace` is the longest that it can take, but nobody stops
--- anything when a second Ctrl-C or a SIGKILL ends corun itself. A program that ends by itself may
--- leave others behind in its group; they are left alone.
---@class corun.process
local process = {}

-- ## Running a program

--- Run a program, wait until it has ended, and give what it said.
---
--- That it failed is no error unless `check` is set: see `ok` of the result. When the calling task
--- is cancelled, also by a deadline (S17), the program is stopped first. Output that somebody else
--- still holds open, such as a process which the program left in the background, is read for
--- `drain` seconds more; `held` of the result says that there was no end. A program need not read
--- its input.
---
--- - Raises: when the list or an option is wrong, such as a zero byte in an argument; what a
---   function given as `input` raises.
--- - Fails: `ENOENT`, `EACCES`, `ENOEXEC`, `ENOTDIR` ... when it cannot be started: the message
---   says whether the program, its interpreter, the folder or a file is to blame; `EMFILE`,
---   `EAGAIN` ...; `ETIMEDOUT`, `EMSGSIZE`, `EEXIT` (see the options), the code of an input or of a
---   stream for output that failed: all these have the result so far in `err.result`; `ECHILD` when
---   other code of this process took its status; `EPERM` when it runs as another user by now and
---   cannot be stopped.
---@async
---@param argv (string|number)[] with options as fields, if they are not in `o`
---@param o? corun.process.run_options
---@return corun.process.result? result
---@return corun.err? err
function process.run(argv, o) end

--- Options of every program. `"inherit"` is what this program has, `"null"` nothing, `{path =
--- "log", append = true}` a file that is made or cut off unless it is added to; an open file is one
--- of `io.open`.
---@class corun.process.options
---@field shell? string a command line for `/bin/sh`
---@field cwd? string the folder to run in; a path of the program is looked up from there
---@field env? table<string, string|number|false> variables to add or change; false removes one
---@field env_clear? boolean begin with no variables but those of `env` (default false)
---@field grace? corun.seconds from `SIGTERM` to `SIGKILL` (default 2)
---@field pty? boolean|corun.process.size run it on a terminal of its own, in place of the streams
---@field stdin? string|table|userdata `"null"`, `"inherit"`, `{path =}`, an open file
---@field stdout? string|table|userdata the same, or `"pipe"`
---@field stderr? string|table|userdata the same, or `"stdout"`: where standard output goes

--- Size of a terminal.
---@class corun.process.size
---@field cols? integer columns (default 80)
---@field rows? integer lines (default 24)

--- Options of `run`. Without `stdin` and `input` there is nothing to read; pieces of `input` come
--- from a list, a function, a channel or a stream. Output is collected unless it is led elsewhere.
--- Those that are said to fail stop the program first.
---@class corun.process.run_options: corun.process.options
---@field input? string|corun.source|corun.stream what it reads: a string, or pieces
---@field timeout? corun.seconds stop it after so long: `ETIMEDOUT`
---@field max_output? integer `EMSGSIZE` if one stream brings more bytes (default: no bound)
---@field check? boolean `EEXIT`, with `err.status` or `err.signal`, unless it ends with status 0
---@field drain? corun.seconds for output that others hold open (default 1)
---@field stdout? string|table|userdata|corun.stream also a stream, on which all is written
---@field stderr? string|table|userdata|corun.stream the same

--- How a program ended.
---@class corun.process.result
---@field ok boolean it ended with status 0
---@field code? integer its exit status, unless a signal ended it
---@field signal? string the name of the signal that ended it, `"SIGTERM"`
---@field stdout? string all of it, where it was collected (with `pty`: what the terminal showed)
---@field stderr? string the same
---@field held? true others hold its output open, which may go on
---@field duration corun.seconds from start to end
---@field usage corun.process.usage of it and of those that it has waited for

--- What a program used.
---@class corun.process.usage
---@field user corun.seconds processor time in its own code
---@field system corun.seconds processor time in the system
---@field max_rss integer the most memory, in bytes; on Linux at least what this program had

-- ## Talking to a program

--- Start a program, as a child of the calling scope.
---
--- The scope waits for it as it does for a task, and stops it when it is cancelled (S1). With
--- `local p <close>` it is stopped at the end of the block. All three streams are pipes unless
--- other things are asked for; what nobody reads fills its pipe and holds the program up, so lead
--- `stderr` elsewhere or read it.
---
--- - Raises: when the list or an option is wrong.
--- - Fails: when it cannot be started, as `run`.
---@async
---@param argv (string|number)[] with options as fields, if they are not in `o`
---@param o? corun.process.options `stdin` may be `"pipe"`
---@return corun.child? process
---@return corun.err? err
function process.spawn(argv, o) end

--- A program that was started.
---@class corun.child
---@field pid integer its process id, and that of its group
---@field stdin? corun.stream what it reads; closing it is the end of its input
---@field stdout? corun.stream what it says; with `pty` the same stream as `stdin`
---@field stderr? corun.stream
local child = {}

--- Wait until it has ended. Several tasks may wait; one that is cancelled leaves it running.
---
--- - Raises: `ECLOSED`.
--- - Fails: `ETIMEDOUT`; `ECHILD` and `EPERM` as `run`.
---@async
---@param o? corun.child.wait_options
---@return corun.process.result? result without output; each time the same table
---@return corun.err? err
function child:wait(o) end

---@class corun.child.wait_options
---@field timeout? corun.seconds give up after so long; it goes on

--- Send a signal to it and its group.
---
--- - Raises: `ECLOSED`; when there is no such signal.
--- - Fails: `ESRCH` when it has ended; `EPERM`.
---@param signal? string|integer `"SIGHUP"` or `"HUP"` (default `"SIGTERM"`)
---@return true? ok
---@return corun.err? err
function child:kill(signal) end

--- Tell its terminal another size; the programs on it get `SIGWINCH`.
---
--- - Raises: `ECLOSED`; when it has no terminal.
---@param cols integer
---@param rows integer
---@return true? ok
---@return corun.err? err
function child:resize(cols, rows) end

--- Stop it if it runs, with its group, wait until it has ended, and close its streams. A second
--- call does nothing but give the same.
---
--- It is shielded (S14), and takes no longer than its grace, or `--grace`.
---
--- - Fails: `ECHILD` and `EPERM` as `run`.
---@async
---@return corun.process.result? result
---@return corun.err? err
function child:close() end

return process

-- SPDX-License-Identifier: MIT
-- Types of `require "corun.tty"` and of the standard streams; see corun.lua beside it.
---@meta corun.tty
-- luacheck: no unused

--- The standard streams, and the terminal that the program was started from.
---
--- `corun.stdin`, `corun.stdout` and `corun.stderr` are streams, opened when first used, whatever
--- the descriptors are: terminals, pipes, sockets, files, devices. They never block the loop, and
--- never set `O_NONBLOCK` on what other programs share.
---@class corun.tty
local tty = {}

--- A standard stream, with the methods of all streams.
---
--- - A task that waits for `stdin` waits for the world, so it is not part of a deadlock (S38).
--- - On a terminal, Ctrl-D is an end once: the next read waits for more. What was read ahead of a
---   file is given back when the program ends, so that `{ corun a.lua; cat; } <file` goes on there;
---   what was read ahead of a pipe is gone. Do not read with `io.read` as well.
--- - A write puts first what `print` and `io.write` have buffered, so they stand in order, as long
---   as the reader keeps up. What is still queued at the end of the program is sent then, for
---   `--grace` seconds; `os.exit` loses it.
--- - `close` of `stdin` and `stdout` closes the descriptor too: the other side sees the end.
--- - A closed descriptor (`<&-`) fails with `EBADF`.
--- - When the reader of standard output has gone (`corun x.lua | head -1`), the program is
---   cancelled, cleans up and ends by SIGPIPE, quietly, as other tools do; `print` or
---   `corun.stdout` alike. A script that wants to go on listens to `corun.signal("PIPE")` and gets
---   `nil, err` (`EPIPE`).
---@class corun.stdio: corun.stream
local stdio = {}

-- ## Asking

--- Ask for a line: show `text`, read what is typed.
---
--- It is read from standard input if that is a terminal; else from the terminal itself, `/dev/tty`,
--- so that a script can ask although its input is a file; else, without a terminal, from standard
--- input, and `text` goes to standard error. Several tasks take turns.
---
--- - Raises: `EBUSY` when another task reads standard input.
--- - Fails: as `stream:read`; the end (Ctrl-D) is nil alone.
--- - Source: getpass(3) for where it asks.
---@async
---@param text? string
---@return string? line
---@return corun.err? err
function tty.prompt(text) end

--- Ask for a line that is not shown while it is typed: a password.
---
--- The terminal shows again what is typed when it returns, is cancelled, times out, or the program
--- ends (as `raw` says); after Ctrl-Z and `fg` it is hidden again. Without a terminal it is
--- `prompt`.
---
--- - Raises: `EBUSY` in raw mode, or when another task reads standard input.
--- - Fails: as `stream:read`; the end (Ctrl-D) is nil alone.
---@async
---@param text? string
---@return string? line
---@return corun.err? err
function tty.hidden(text) end

-- ## The terminal

--- Give each key to `corun.stdin` at once, unseen, Ctrl-C too, until the guard is closed.
---
--- Output is as before. However the program ends, the terminal is restored: by an error,
--- `corun.exit`, `os.exit`, `--timeout`, a signal, the second Ctrl-C (S27); not by SIGKILL, or a
--- signal that the program leaves to its default.
---
--- ```lua
--- local mode <close> = assert(corun.tty.raw())
--- local key = corun.stdin:recv()
--- ```
---
--- - Suspends: no.
--- - Fails: `ENOTTY` when standard input is no terminal; `EBUSY` when its mode is changed already.
---@return corun.tty.mode? guard
---@return corun.err? err
function tty.raw() end

--- A changed mode of the terminal.
---@class corun.tty.mode
local mode = {}

--- Restore the mode. A second call does nothing.
function mode:close() end

--- The size of the terminal in characters, of the first of stdout, stderr and stdin that is one.
--- `corun.signal("WINCH")` tells when it changes.
---
--- - Suspends: no.
--- - Fails: `ENOTTY`; `ENOTSUP` when the terminal does not know.
---@param which? "stdin"|"stdout"|"stderr"|corun.stdio|userdata
---@return integer? columns
---@return integer|corun.err rows or the error
function tty.size(which) end

--- Say whether this is a terminal.
---
--- - Suspends: no.
---@param which "stdin"|"stdout"|"stderr"|corun.stdio|userdata
---@return boolean
function tty.is(which) end

return tty

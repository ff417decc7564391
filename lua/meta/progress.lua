-- SPDX-License-Identifier: MIT
-- Types of `require "corun.progress"`; see corun.lua beside it.
---@meta corun.progress
-- luacheck: no unused

--- How far loops have come, on standard error. `corun.progress(iterator[, o])` is for the generic
--- `for` and gives what the iterator gives:
---
--- ```lua
--- for page, data in corun.progress(corun.each(pages, fetch)) do ... end
--- for line in corun.progress(file:lines()) do ... end
--- for i in corun.progress(1000, {label = "rounds"}) do ... end
--- corun.map(corun.progress(urls), http.get)
--- corun.pool.map(corun.progress(texts), parse)
--- for k, v in corun.progress(pairs(t)) do ... end -- all values of a generic for, no options
--- for k, v in corun.progress(next, t, nil, nil, {label = "keys"}) do ... end
--- ```
---
--- A list and a number bring their total along, and so does `each` of one, of `corun` and of
--- `corun.pool`. With a total there is a bar, a rate and the time
--- left, without one a spinner. An item counts as done when the next one is asked for. Leaving the
--- loop closes what it loops over.
---
--- On a terminal each open bar has a line, and ended ones stay above; they are drawn ten times a
--- second at most, by the steps of the loops: between two steps nothing moves. What `corun.log`,
--- `corun.stdout`, `corun.stderr` and `corun.tty.prompt` write there makes room; `print` does not
--- know of the bars. Elsewhere, and for `TERM=dumb`, there is a plain line every five seconds and
--- at the end. Unicode is used where the locale is UTF-8, colours never. No task and no timer is
--- behind it.
---@class corun.progress
---@overload fun(iterator: any, o?: corun.progress.options): corun.progress.loop
---@overload fun(f: function, state: any, control: any, closing?: any, o?: table): any
local progress = {}

---@class corun.progress.options
---@field total? number so much is to be done
---@field done? number so much was done before, and does not count for the rate (default 0)
---@field label? string what is being done
---@field unit? string what is counted; `"bytes"` are shown as kB, MB ...
---@field quiet? boolean show nothing

--- Gives what the iterator gives; closed by the generic `for`.
---@class corun.progress.loop
---@overload fun(): any

--- Make a bar that is moved by hand.
---
--- - Suspends: no.
---@param o? corun.progress.options
---@return corun.progress.bar bar
function progress.bar(o) end

--- A bar, shown until it is closed.
---@class corun.progress.bar
local bar = {}

--- So much more is done.
---
--- - Suspends: no.
---@param n? number (default 1)
function bar:add(n) end

--- So much is done altogether.
---
--- - Suspends: no.
---@param done number
---@param total? number the total, if it has changed
function bar:set(done, total) end

--- Leave the last state on the screen. A second call does nothing.
---
--- - Suspends: no.
function bar:close() end

return progress

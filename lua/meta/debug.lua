-- SPDX-License-Identifier: MIT
-- Types of `require "corun.debug"`; see corun.lua beside it.
---@meta corun.debug
-- luacheck: no unused

--- What the runtime knows about itself.
---@class corun.debug
local debug = {}

--- Counts of this moment.
---@return corun.debug.stats stats
function debug.stats() end

---@class corun.debug.stats
---@field tasks integer that have not ended
---@field handles integer open sockets, listeners, signals
---@field jobs integer operations that run on other threads
---@field timers integer armed
---@field steps integer times that a task was resumed
---@field spawned integer tasks started so far
---@field polls integer times that the loop looked for events
---@field memory integer bytes that Lua holds

--- Print the tree of tasks on stderr: what each waits for and where it was spawned. SIGQUIT does
--- the same.
function debug.tree() end

--- The lines of that tree.
---@param top? corun.task only the tasks started inside this one (default: the main chunk)
---@return string[] lines
function debug.tasks(top) end

--- Let the clock of the runtime jump to the next timer whenever nothing else is to be waited for
--- (S37), or go back to the real one. For tests; `corun test` goes back after each.
---@param on boolean
function debug.virtual(on) end

--- The traceback kept for an error object or a failed task, down to where each task was spawned.
---@param e any
---@return string? text nil when there is none
function debug.traceback(e) end

return debug

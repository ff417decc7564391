-- SPDX-License-Identifier: MIT
-- Types of `require "corun.log"`; see corun.lua beside it.
---@meta corun.log
-- luacheck: no unused

--- A log on standard error, one write for each line:
---
--- ```text
--- 2026-11-21 07:01:43.292 info  [main] fetched bytes=512 url=http://localhost/
--- ```
---
--- The calls never suspend and never raise, whatever they are given: they may stand in clean-up, in
--- a cancelled task, in a finaliser. When nobody takes the lines, those beyond 1 MiB are left out
--- and counted. `CORUN_LOG=debug`, `json` or `debug,json` sets level and format from outside.
---@class corun.log
local log = {}

-- ## Lines

--- Log what helps to find a mistake. Shown from the level `"debug"` on.
---
--- `fields` are added in the order of their names: `key=value`, in JSON members of the line's
--- object. Tables are shown as JSON; an error as its sentence, in JSON as an object with `message`,
--- `code`, `op`, `target`, `cause`. An error in the place of `fields` becomes the field `err`.
--- Control characters are escaped, so that no message begins a line or commands the terminal.
---
--- - Suspends: no.
---@param message any
---@param fields? table<string, any>|corun.err
function log.debug(message, fields) end

--- Log what goes on. Shown from the level `"info"` on, the default.
---
--- - Suspends: no.
---@param message any
---@param fields? table<string, any>|corun.err
function log.info(message, fields) end

--- Log what may have to be looked at.
---
--- - Suspends: no.
---@param message any
---@param fields? table<string, any>|corun.err
function log.warn(message, fields) end

--- Log what has failed.
---
--- - Suspends: no.
---@param message any
---@param fields? table<string, any>|corun.err
function log.error(message, fields) end

--- Make a logger of the same functions that adds `fields` to each line; those of the line win.
---
--- - Suspends: no.
---@param fields table<string, any>
---@return corun.log logger without the settings
function log.with(fields) end

-- ## Settings

--- The least level that is shown: `"debug"`, `"info"` (the default), `"warn"`, `"error"`, `"off"`.
log.level = nil

--- `"text"` (the default; coloured on a terminal unless `NO_COLOR` is set), or `"json"`: one object
--- in each line, with `time` (RFC 3339, UTC, milliseconds), `level`, `task`, `msg` and the fields.
--- A field with one of these names gets a `_` behind it.
log.format = nil

--- Where lines go: a stream, a file of `io`, a function that gets each line; false (the default):
--- standard error. Where that fails or raises the line goes to standard error, with the reason. A
--- function, and a stream that is not a standard one, may suspend.
log.output = nil

return log

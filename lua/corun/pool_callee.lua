-- SPDX-License-Identifier: MIT
-- What pool.call and its proxies run in the worker that keeps the values; here a proxy is the value
-- itself. Each function gives true and the results: after a tail call messages would not name what
-- was called.
local source = require "corun.source"

local callee = {}

-- Functions that contain the name, so that a library's messages are the same as where it is called
-- directly: `calling 'execute' on bad self`, `attempt to call a nil value (method 'x')`.
local function named(code, general)
  local made = {}
  return function(name)
    local fn = made[name]
    if fn then return fn end
    local chunk = name:find("^[%a_][%w_]*$") and load(code:format(name), "=[corun pool_callee.lua]")
    fn = chunk and chunk() or function(...) return general(name, ...) end
    made[name] = fn
    return fn
  end
end

local function_of = named("return function(module, ...) return true, module.%s(...) end",
  function(name, module, ...) return true, module[name](...) end)

local method_of = named("return function(value, ...) return true, value:%s(...) end",
  function(name, value, ...) return true, value[name](value, ...) end)

---Call a function of a module.
function callee.call(module_name, name, ...)
  return function_of(name)(require(module_name), ...)
end

---Call a method of a value.
function callee.method(value, name, ...)
  return method_of(name)(value, ...)
end

---Call a value.
function callee.value(value, ...)
  return true, value(...)
end

local function get_close(value)
  return value.close
end

---Do what leaving the block of a `<close>` variable does with it, or what it should do.
function callee.leave(value, is_open)
  local mt = debug.getmetatable(value)
  local close = type(mt) == "table" and rawget(mt, "__close")
  if close then
    close(value)
  elseif is_open then
    local ok, method = pcall(get_close, value)
    if ok and source.is_callable(method) then method(value) end
  end
end

return callee

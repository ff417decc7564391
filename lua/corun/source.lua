-- SPDX-License-Identifier: MIT
-- Sources of items for map, each and any: a list, a function or callable object that yields values,
-- or a channel. Owns nothing.

local getmetatable, type = getmetatable, type

local source = {}

---Say whether `value` can be called.
function source.is_callable(value)
  if type(value) == "function" then return true end
  local mt = getmetatable(value)
  return type(mt) == "table" and mt.__call ~= nil
end

local function method(value, name)
  local mt = getmetatable(value)
  local index = type(mt) == "table" and mt.__index
  return type(index) == "table" and index[name]
end

---How many items `src` will give; nil where that is not known. A callable object may tell by
---`__items` of its metatable.
---@param src any
---@return integer?
function source.length(src)
  if type(src) ~= "table" then return nil end
  local mt = getmetatable(src)
  local items = type(mt) == "table" and rawget(mt, "__items")
  if items then return items(src) end
  if source.is_callable(src) or method(src, "recv") then return nil end
  return src.n or #src
end

---Turn `src` into a function that gives the next item, nil at the end.
---
---The second result has to be closed (`local c <close>`) when no more items are wanted, nil where
---there is nothing to close. A channel is not closed: it belongs to the caller. The third is there
---for channels: it gives the next item if there is one now, else nil.
---@param src table|function|userdata
---@param operation string for messages
function source.open(src, operation)
  if type(src) == "function" then return src, nil end
  local recv = method(src, "recv")
  if recv then
    local try_recv = method(src, "try_recv")
    return function() return recv(src) end, nil, try_recv and function() return try_recv(src) end
  end
  if source.is_callable(src) then
    local mt = getmetatable(src)
    return src, mt.__close and src or nil
  end
  if type(src) ~= "table" then
    require("corun.options").misuse(("%s takes a list, a function or a channel as source, got %s")
      :format(operation, type(src)), 3)
  end
  local i, n = 0, src.n or #src
  return function()
    i = i + 1
    if i > n then return nil end
    local item = src[i]
    if item == nil then
      require("corun.options").misuse(("item %d of the list for %s is nil, of %d")
        :format(i, operation, n))
    end
    return item
  end, nil
end

return source

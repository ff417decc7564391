-- SPDX-License-Identifier: MIT
-- Finds in the text of a Lua chunk which modules it requires by a literal name. Knows Lua's tokens
-- and no more: what stands in comments and strings is not taken for code. The text is a chunk that
-- compiles. Embedded, for `corun build`.

local load = load

-- Where a comment or string in long brackets ends that begins at `at`, if one does.
local function long_end(text, at)
  local level = text:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, last = text:find("]" .. level .. "]", at + #level + 2, true)
  return last
end

-- Where the short string ends that begins at `at`.
local function short_end(text, at)
  local quote = text:sub(at, at)
  local i = at + 1
  while text:sub(i, i) ~= quote do
    i = text:find("[\\" .. quote .. "]", i)
    if text:sub(i, i) == "\\" then i = i + 2 end
  end
  return i
end

-- The kind of the token at `at` ("name", "string", "comment" or "other"), and where it ends.
local function token_at(text, at)
  local first = text:sub(at, at)
  if first:find("[%a_]") then
    return "name", select(2, text:find("^[%w_]+", at))
  elseif first == '"' or first == "'" then
    return "string", short_end(text, at)
  elseif first == "[" and long_end(text, at) then
    return "string", long_end(text, at)
  elseif text:find("^%-%-", at) then
    return "comment", long_end(text, at + 2) or (text:find("\n", at, true) or #text + 1) - 1
  elseif first:find("%d") then
    return "other", select(2, text:find("^[%w.]+", at)) -- an exponent's sign is a token of its own
  end
  return "other", at + (text:match("^%.%.+", at) or " "):len() - 1
end

local function tokens_of(text)
  local tokens, at, line, seen = {}, text:find("%S"), 1, 1
  while at do
    local kind, last = token_at(text, at)
    if kind ~= "comment" then
      line = line + select(2, text:sub(seen, at - 1):gsub("\n", ""))
      seen = at
      tokens[#tokens + 1] = {kind = kind, text = text:sub(at, last), line = line}
    end
    at = text:find("%S", last + 1)
  end
  return tokens
end

local NONE = {kind = "end", text = ""}

-- The call of require whose name is the token `i`, if it is one: the name, or nil for a computed
-- one, and whether the chunk goes on without the module.
local function call_at(tokens, i)
  local function at(n) return tokens[n] or NONE end
  local before, after, value = at(i - 1).text, at(i + 1), at(i + 2)
  if before == "." or before == ":" or before == "function" then return nil end
  if after.kind == "string" then return {literal = after.text} end
  if after.text == "(" and value.kind == "string" and at(i + 3).text == ")" then
    return {literal = value.text}
  elseif after.text == "(" and value.text ~= ")" then
    return {}
  end
  local is_tried = before == "(" and at(i - 2).text:find("^x?pcall$") and after.text == ","
  if is_tried and value.kind == "string" and at(i + 3).text:find("^[,)]$") then
    return {literal = value.text, optional = true}
  end
end

---Find the calls of require in a chunk.
---@param text string
---@return table[] calls name (nil when it is computed), line, optional
return function(text)
  local tokens, calls = tokens_of(text), {}
  for i, token in ipairs(tokens) do
    local call = token.text == "require" and token.kind == "name" and call_at(tokens, i)
    if call then
      call.name = call.literal and load("return " .. call.literal)()
      call.line = token.line
      calls[#calls + 1] = call
    end
  end
  return calls
end

-- SPDX-License-Identifier: MIT
-- A text without the blanks around it, in linear time: a pattern that ends in "%s*$" tries anew at
-- each blank of a long run, which a peer would have the loop pay for. Owns nothing, never suspends.

---@param text string
---@return string
return function(text)
  local from = text:find("[^ \t]")
  return from and text:match("^.*[^ \t]", from) or ""
end

-- SPDX-License-Identifier: MIT
-- docs/guide-scraping.md can be followed word by word (support/guide.lua).

local guide = require("tests.spec.support.guide")

-- The text without the lines of progress before the last one, which a slow machine has.
local function last_progress(text)
  local lines = {}
  for line in text:gmatch("[^\n]*\n") do
    local label, before = line:match("^(%a+: )%d.*/s, "), lines[#lines]
    local again = label and before and before:sub(1, #label) == label
    lines[again and #lines or #lines + 1] = line
  end
  return table.concat(lines)
end

-- What is another in each run: times, rates, sizes, and where a run was killed.
local function steady(text)
  text = last_progress(text)
  for _, unit in ipairs{"/s", " m?s%f[%W]", " [kM]?B%f[%W]"} do
    text = text:gsub("[%d.]+(" .. unit .. ")", "N%1")
  end
  return (text:gsub("begins with %S+", "begins"):gsub("%d:%d%d", "N:NN"):gsub("Killed *\n", ""))
end

describe("docs/guide-scraping.md", function()
  it("can be followed word by word #heavy", function()
    local count = guide.follow("docs/guide-scraping.md", {["corun api.lua"] = true}, steady)
    assert(count > 15, count)
  end)
end)

-- SPDX-License-Identifier: MIT
-- docs/guide-serving.md can be followed word by word (support/guide.lua).
local guide = require("tests.spec.support.guide")

describe("docs/guide-serving.md", function()
  it("can be followed word by word #heavy", function()
    local servers = {}
    for _, name in ipairs{"hello", "api", "upload", "events", "hooks", "front"} do
      servers["corun " .. name .. ".lua"] = true
    end
    local count = guide.follow("docs/guide-serving.md", servers, function(text) return text end)
    assert(count > 15, count)
  end)
end)

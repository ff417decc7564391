-- SPDX-License-Identifier: MIT
-- docs/sqlite.md can be followed word by word (support/guide.lua).
local guide = require("tests.spec.support.guide")

describe("docs/sqlite.md", function()
  it("can be followed word by word", function()
    local count = guide.follow("docs/sqlite.md", {}, function(text) return text end)
    assert.equal(5, count)
  end)
end)

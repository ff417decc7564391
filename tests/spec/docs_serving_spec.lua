-- SPDX-License-Identifier: MIT
-- docs/guide-serving.md can be followed word by word (support/guide.lua).
local guide = require("tests.spec.support.guide")

describe("docs/guide-serving.md", function()
  it("can be followed word by word #heavy", function()
    local servers = {}
    for _, name in ipairs{"hello", "api", "upload", "events", "hooks", "front", "behind"} do
      servers["corun " .. name .. ".lua"] = true
    end
    servers["nginx -p . -e stderr -c nginx.conf"] = "beside"
    servers["sh -c 'echo $$ >pid; exec corun https.lua'"] = true
    servers["systemd-socket-activate -l 127.0.0.1:8321 --fdname=web corun service.lua"] = true
    local count = guide.follow("docs/guide-serving.md", servers, function(text) return text end)
    assert(count > 30, count)
  end)
end)

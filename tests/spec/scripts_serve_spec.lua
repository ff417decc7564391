-- SPDX-License-Identifier: MIT
-- scripts/static.lua and scripts/reverse_proxy.lua, run in children: what they serve, what they say
-- of wrong command lines, and that TERM lets what is under way end.
local corun = require "corun"
local http = require "corun.http"
local scripts = require "tests.spec.support.scripts"

local fs = corun.fs

describe("scripts/static.lua", function()
  it("serves a folder, compressed and listed, and logs", function()
    local dir <close> = assert(fs.temp{dir = true})
    local text = ("line of text\n"):rep(1000)
    assert(fs.write(dir:path() .. "/a.txt", text))
    local p <close>, url = scripts.start{"static", "--browse", "--log",
      "--max-age=60", dir:path()}
    local s <close> = http.session()
    local res = assert(s:get(url .. "/a.txt"))
    assert.equal(text, res.body)
    assert.equal("zstd", res.headers["content-encoding"])
    assert.equal("max-age=60", res.headers["cache-control"])
    assert.matches('<a href="./a.txt">', assert(s:get(url .. "/")).body, 1, true)
    assert.equal(400, assert(s:get(url .. "/%2e%2e/a.txt")).status)
    s:close()
    assert.matches('"GET /a.txt HTTP/1.1" 200 %d+\n', scripts.stop(p))
  end)
end)

describe("scripts/reverse_proxy.lua", function()
  it("hands paths on to their servers, and lets requests end", function()
    local go, asked = corun.event(), corun.event()
    local one <close> = assert(http.serve("127.0.0.1:0", function(req)
      if req.path == "/slow" then
        asked:set()
        go:wait()
      end
      return "one " .. req.target
    end))
    local two <close> = assert(http.serve("127.0.0.1:0", function(req)
      return "two " .. req.target .. " " .. req.body
    end))
    local p <close>, url = scripts.start{"reverse_proxy", "http://" .. one:address(),
      "/api=http://" .. two:address() .. "/v1"}
    local s <close> = http.session()
    assert.equal("one /x?y", assert(s:get(url .. "/x?y")).body)
    assert.equal("two /v1/x/ hi", assert(s:post(url .. "/api/x/", {body = "hi"})).body)
    local slow = corun.async(s.get, s, url .. "/slow")
    asked:wait()
    p:kill("TERM")
    go:set()
    assert.equal("one /slow", assert(slow:await()).body)
    assert.equal(0, assert(p:wait()).code)
    one:close()
    two:close()
  end)
end)

describe("both scripts", function()
  it("say what is wrong with a command line, and exit 2", function()
    scripts.refuses{
      ["no-such-folder"] = {"static", "no-such-folder"}, ["is no folder"] = {"static", "README.md"},
      ["belong together"] = {"static", "--cert=x"}, ["--key belong"] = {"reverse_proxy",
        "--key=x", "http://h"},
      ["TARGET"] = {"reverse_proxy"}, ["reverse_proxy.lua: proxy: "] = {"reverse_proxy", "x"},
      ["mounted at /a already"] = {"reverse_proxy", "/a=http://h", "/a=http://h"},
    }
    for _, name in ipairs{"static", "reverse_proxy"} do scripts.has_help(name) end
  end)
end)

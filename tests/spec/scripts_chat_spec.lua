-- SPDX-License-Identifier: MIT
-- scripts/chat.lua, run in a child: with clients of ours that behave and that do not, and its page
-- in two browsers.

local corun = require "corun"
local http = require "corun.http"
local process = require "corun.process"
local browser = require "tests.spec.support.browser"
local program = dofile("tests/fixtures/cli/program.lua")

local fs, json = corun.fs, corun.json

-- The chat, and the address that it says.
local function open_chat()
  local chat = assert(process.spawn({program.path, "scripts/chat.lua", "--listen=127.0.0.1:0"},
    {stdout = "pipe"}))
  return chat, chat.stdout:read("l"):match("^the chat is at http://(.+)/$")
end

-- Receive until a message has the field.
local function receive(ws, field)
  while true do
    local message = json.decode((assert(ws:recv{timeout = 10})))
    if message[field] then return message end
  end
end

describe("scripts/chat.lua", function()
  it("tells all what one says, and how many are here", function()
    local chat <close>, address = open_chat()
    local session <close> = http.session{base = "http://" .. address}
    local page = assert(session:get("/"))
    assert.equal("text/html; charset=utf-8", page.headers["content-type"])
    assert.matches("new WebSocket", page.body)
    assert.equal(404, session:get("/x").status)
    assert.equal(426, session:get("/chat").status)

    local ann <close> = assert(http.websocket("ws://" .. address .. "/chat"))
    assert.same({people = 1}, receive(ann, "people"))
    local bob <close> = assert(http.websocket("ws://" .. address .. "/chat"))
    assert.same({people = 2}, receive(ann, "people"))
    bob:send(json.encode{name = "bob", text = "gr\u{FC}\u{DF} <b>dich</b>", more = 1})
    for _, ws in ipairs{ann, bob} do
      assert.same({name = "bob", text = "gr\u{FC}\u{DF} <b>dich</b>"}, receive(ws, "text"))
    end
    bob:close()
    assert.same({people = 1}, receive(ann, "people"))
    for _, bad in ipairs{"x", "[]", "1", '{"name":"a"}', '{"name":1,"text":"b"}'} do
      local ws <close> = assert(http.websocket("ws://" .. address .. "/chat"))
      ws:send(bad)
      local data, err
      repeat data, err = ws:recv{timeout = 10} until not data
      assert.same({1008, "a message has a name and a text"}, {err.status, err.reason})
    end
    local ok, err = http.websocket("ws://" .. address .. "/chat", {origin = "http://elsewhere"})
    assert.is_nil(ok)
    assert.equal(403, err.status)

    chat:kill("TERM")
    while ann:recv{timeout = 10} do end
    assert.equal(1001, ann.code)
    assert.equal(0, chat:wait().code)
  end)

  it("lets the people of two browsers talk #heavy", function()
    if not browser.find() then return pending("no Chromium here") end
    local folder <close> = assert(fs.temp{dir = true})
    local chat <close>, address = open_chat()
    local url = "http://" .. address .. "/"
    local function enter(name)
      local profile = folder:path() .. "/" .. name
      assert(fs.mkdir(profile))
      local page = browser.open(profile, url)
      page:wait("people.textContent.endsWith('here')")
      page:evaluate(("document.getElementById('name').value = '%s'; text.focus()"):format(name))
      return page
    end
    local ann <close> = enter("ann")
    local bob <close> = enter("bob")
    for _, page in ipairs{ann, bob} do page:wait("people.textContent == '2 here'") end
    ann:type("hello <b>bob</b> \u{1F375}")
    for _, page in ipairs{bob, ann} do page:wait("said.children.length == 1") end
    assert.equal("ann: hello <b>bob</b> \u{1F375}", bob:evaluate("said.textContent"))
    assert.equal(0, bob:evaluate("said.querySelectorAll('b').length"))
    assert.equal("", ann:evaluate("text.value"))
    bob:type("hello ann")
    for _, page in ipairs{ann, bob} do
      page:wait("said.children.length == 2")
      assert.equal("bob: hello ann", page:evaluate("said.lastChild.textContent"))
    end
    bob:close()
    ann:wait("people.textContent == '1 here'")
    chat:kill("TERM")
    ann:wait("people.textContent.startsWith('not connected')")
    assert.equal(0, assert(chat:wait{timeout = 30}).code)
  end)
end)

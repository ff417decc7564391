-- SPDX-License-Identifier: MIT
-- scripts/chat.lua, run in a child: with clients of ours that behave and that do not, and with its
-- page opened twice in a real browser, which is led over its own WebSocket.

local corun = require "corun"
local http = require "corun.http"
local process = require "corun.process"
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
end)

-- A browser -------------------------------------------------------------------------------------

local BROWSER
for _, name in ipairs{"chromium-headless-shell", "chromium"} do
  for folder in os.getenv("PATH"):gmatch("[^:]+") do
    if fs.stat(folder .. "/" .. name) then BROWSER = BROWSER or folder .. "/" .. name end
  end
end

-- A page of the browser whose WebSocket for tools is `tools`: calls a method of its protocol.
local function caller(tools, session)
  local n = 0
  return function(method, params)
    n = n + 1
    assert(tools:send(json.encode{id = n, method = method, params = params, sessionId = session}))
    while true do
      local message = json.decode((assert(tools:recv{timeout = 30})))
      if message.id == n and message.sessionId == session then
        assert(message.result, "the browser refuses " .. method)
        return message.result
      end
    end
  end
end

-- Open a page; a function that gives what an expression is in it.
local function open_page(tools, browse, url)
  local target = browse("Target.createTarget", {url = url}).targetId
  local session = browse("Target.attachToTarget", {targetId = target, flatten = true}).sessionId
  local call = caller(tools, session)
  return function(expression)
    return call("Runtime.evaluate", {expression = expression}).result.value
  end
end

local function eventually(eval, expression)
  local give_up = corun.now() + 20
  while not eval(expression) do
    assert(corun.now() < give_up, "never came true: " .. expression)
    corun.sleep(0.02)
  end
end

describe("the page of scripts/chat.lua", function()
  it("shows two browsers what each other say", function()
    if not BROWSER then return pending("there is no Chromium") end
    local chat <close>, address = open_chat()
    local profile <close> = assert(fs.temp{dir = true})
    local browser <close> = assert(process.spawn({BROWSER, "--no-sandbox", "--disable-gpu",
      "--headless", "--remote-debugging-port=0", "--user-data-dir=" .. profile:path(),
      "about:blank"}, {stdout = "null", stderr = "pipe"}))
    local url
    repeat url = browser.stderr:read("l"):match("^DevTools listening on (ws://%S+)") until url
    local tools <close> = assert(http.websocket(url))
    local browse = caller(tools)
    local ann = open_page(tools, browse, "http://" .. address .. "/")
    local bob = open_page(tools, browse, "http://" .. address .. "/")
    for _, page in ipairs{ann, bob} do
      eventually(page, "document.getElementById('people').textContent == '2 here'")
    end
    local function say(page, name, text)
      page(("at('name').value = %q; at('text').value = %q"):format(name, text))
      page("document.querySelector('button').click()")
    end
    say(ann, "ann", "hello <b>bob</b>")
    eventually(bob, "at('said').innerText == 'ann: hello <b>bob</b>'")
    say(bob, "bob", "hello ann")
    for _, page in ipairs{ann, bob} do
      eventually(page, "at('said').lastChild.textContent == 'bob: hello ann'")
    end
    chat:kill("TERM")
    eventually(ann, "at('people').textContent.startsWith('not connected')")
    browse("Browser.close")
    browser:wait()
    chat:wait()
  end)
end)

-- SPDX-License-Identifier: MIT
-- For specs of pages: Chromium without a screen, with a profile of its own, told what to do by its
-- DevTools protocol.
local assert = require "luassert"
local corun = require "corun"
local http = require "corun.http"
local process = require "corun.process"

local json = corun.json

local NAMES = {"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"}
local FLAGS = {
  "--headless", "--remote-debugging-port=0", "--disable-gpu", "--disable-dev-shm-usage",
  "--no-first-run", "--disable-background-networking",
  "--no-sandbox", -- the page is ours, and the user may be root
}
local PATIENCE = 120 -- seconds, for a machine with much else to do

local browser = {}
local page = {}
page.__index = page

-- The program, nil where there is none.
function browser.find()
  for _, name in ipairs(NAMES) do
    if process.run({shell = 'command -v "$1"', name}).ok then return name end
  end
end

-- The next message of the browser, in which events are noted.
local function receive(self)
  local message = json.decode((assert(self.ws:recv{timeout = PATIENCE})))
  if message.method then self.seen[message.method] = true end
  return message
end

-- Tell the browser, or the page, to do something; what it answers.
local function command(self, method, params)
  self.last = self.last + 1
  assert(self.ws:send(json.encode{
    id = self.last, method = method, params = params, sessionId = self.session,
  }))
  while true do
    local message = receive(self)
    if message.id == self.last then
      return message.result or error(method .. ": " .. message.error.message, 0)
    end
  end
end

-- Start a browser, with its profile in a folder, and load a page. It ends when it is closed.
function browser.open(folder, url)
  local argv = {browser.find(), table.unpack(FLAGS)}
  table.move({"--user-data-dir=" .. folder, "about:blank"}, 1, 2, #argv + 1, argv)
  local p = assert(process.spawn(argv, {stdout = "null", env = {HOME = folder}}))
  local self = setmetatable({process = p, last = 0, seen = {}}, page)
  local line, target
  repeat
    line = assert(p.stderr:read("l", {timeout = PATIENCE}), "the browser has not started")
    target = line:match("^DevTools listening on (ws://%S+)")
  until target
  corun.daemon(function() -- it has much to say
    while p.stderr:recv() do end
  end)
  self.ws = assert(http.websocket(target))
  local id = command(self, "Target.createTarget", {url = "about:blank"}).targetId
  self.session = command(self, "Target.attachToTarget", {targetId = id, flatten = true}).sessionId
  command(self, "Page.enable")
  command(self, "Page.navigate", {url = url})
  while not self.seen["Page.loadEventFired"] do receive(self) end
  return self
end

-- The value of an expression, in the page; that of a promise when it is there.
function page:evaluate(expression)
  local r = command(self, "Runtime.evaluate", {
    expression = expression, awaitPromise = true, returnByValue = true,
  })
  if r.exceptionDetails then error(json.encode(r.exceptionDetails), 2) end
  return r.result.value
end

-- Wait until an expression is true.
function page:wait(expression)
  local give_up = corun.now() + PATIENCE
  while not self:evaluate(("!!(%s)"):format(expression)) do
    assert(corun.now() < give_up, "never came true: " .. expression)
    corun.sleep(0.02)
  end
end

-- Type a text where the focus is, and then Enter.
function page:type(text)
  command(self, "Input.insertText", {text = text})
  for _, kind in ipairs{"keyDown", "keyUp"} do
    command(self, "Input.dispatchKeyEvent", {
      type = kind, key = "Enter", code = "Enter", windowsVirtualKeyCode = 13,
      text = kind == "keyDown" and "\r" or nil,
    })
  end
end

function page:close()
  self.ws:close()
  self.process:close()
end

page.__close = page.close

return browser

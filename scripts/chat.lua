-- SPDX-License-Identifier: MIT
-- A chat in the browser: open the address that it prints in two windows. Each page holds a
-- WebSocket, over which it gets what is said since it came, and how many people are here. A message
-- is {"name": "ann", "text": "hello"}; programs can join by http.websocket("ws://HOST:PORT/chat").
-- Ctrl-C says goodbye to all.
local corun = require "corun"
local http, json = corun.http, corun.json

local opt = corun.args{listen = "127.0.0.1:8080",
  help = {"Chat in the browser.", listen = "serve at this address"}}

local PAGE = [[<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Chat</title>
<style>
  body { font: 16px/1.5 sans-serif; max-width: 40em; margin: 2em auto; padding: 0 1em }
  form { display: flex; gap: .5em } #text { flex: 1 } #people { color: gray }
</style>
<h1>Chat</h1>
<div id="said"></div>
<form>
  <input id="name" size="10" maxlength="30" required aria-label="your name">
  <input id="text" maxlength="1000" required autofocus aria-label="what you say">
  <button>Say</button>
</form>
<p id="people">connecting ...</p>
<script>
  const at = id => document.getElementById(id)
  at("name").value = "guest " + Math.floor(Math.random() * 1000)
  const ws = new WebSocket(location.origin.replace(/^http/, "ws") + "/chat")
  ws.onmessage = event => {
    const {name, text, people} = JSON.parse(event.data)
    if (people) at("people").textContent = people + " here"
    if (text) {
      const line = at("said").appendChild(document.createElement("div"))
      line.textContent = name + ": " + text // never as HTML
    }
  }
  ws.onclose = event => at("people").textContent = "not connected " + event.reason
  document.querySelector("form").onsubmit = event => {
    event.preventDefault()
    ws.send(JSON.stringify({name: at("name").value, text: at("text").value}))
    at("text").value = ""
  }
</script>
]]

local members, people = {}, 0 -- the set of the WebSockets that are open, and their number

local function tell_all(message) -- encodes it once; who does not read what was said is put out
  http.broadcast(members, json.encode(message), "text", {slow = "close", queue = 64 << 10})
end

local function come(ws)
  members[ws], people = true, people + 1
  tell_all{people = people}
end

local function go(ws)
  members[ws], people = nil, people - 1
  tell_all{people = people}
end

local function is_text(value, most) return type(value) == "string" and #value <= most end

local function attend(req)
  local ws = req:upgrade{max_message = 8192}
  come(ws)
  local _ <close> = corun.defer(go, ws)
  while true do
    local data = ws:recv()
    if not data then return end -- they have left, one way or another
    local said = json.decode(data)
    if type(said) ~= "table" or not is_text(said.name, 120) or not is_text(said.text, 4000) then
      return ws:close(1008, "a message has a name and a text")
    end
    tell_all{name = said.name, text = said.text}
  end
end

local server <close> = assert(http.serve(opt.listen, function(req)
  if req.path == "/chat" then return attend(req) end
  if req.path ~= "/" then return {status = 404, body = "the chat is at /\n"} end
  return {headers = {["content-type"] = "text/html; charset=utf-8"}, body = PAGE}
end))
local signals <close> = assert(corun.signal("INT", "TERM"))
print(("the chat is at http://%s/"):format(server:address()))
io.stdout:flush()
signals:recv()
server:close{drain = 2}

-- SPDX-License-Identifier: MIT
-- What http.serve offers to pages, used by a page in a browser: events, CORS, cookies, forms,
-- WebSocket.
local corun = require "corun"
local http = require "corun.http"
local browser = require "tests.spec.support.browser"

local fs = corun.fs

-- Run fn(page) with a page of the server, at "/".
local function with_page(app, fn)
  if not browser.find() then return pending("no Chromium here") end
  app:get("/", function()
    return {headers = {["Content-Type"] = "text/html"}, body = "<!doctype html><title>x</title>"}
  end)
  local profile <close> = assert(fs.temp{dir = true})
  local server <close> = assert(http.serve("127.0.0.1:0", app))
  local page <close> = browser.open(profile:path(), "http://" .. server:address() .. "/")
  fn(page)
end

describe("a page in a browser", function()
  it("follows events, and connects again behind the last #heavy", function()
    local app, asked = http.router(), {}
    app:get("/events", http.sse(function(events)
      local last = math.tointeger(events.last_id) or 0
      asked[#asked + 1] = last
      for i = last + 1, last + 2 do
        events:event{event = "n", id = i, data = {text = "l\u{FC}ne 1\nline " .. i}, retry = 0.01}
      end
    end))
    with_page(app, function(page)
      local got = page:evaluate([[new Promise(done => {
        const all = [], source = new EventSource("/events")
        source.addEventListener("n", e => {
          all.push(e.lastEventId + " " + JSON.parse(e.data).text)
          if (all.length == 5) { source.close(); done(all) }
        })
      })]])
      local expected = {}
      for i = 1, 5 do expected[i] = i .. " l\u{FC}ne 1\nline " .. i end
      assert.same(expected, got)
    end)
    assert.same({0, 2, 4}, {asked[1], asked[2], asked[3]})
  end)

  it("reads what another origin lets it read, and no more #heavy", function()
    local preflights = 0
    local function api(req) return {json = {token = req.headers["x-token"]}} end
    local open = http.cors(api, {headers = {"X-Token"}})
    local server <close> = assert(http.serve("127.0.0.1:0", function(req)
      if req.method == "OPTIONS" then preflights = preflights + 1 end
      return (req.path == "/open" and open or api)(req)
    end))
    with_page(http.router(), function(page)
      local function fetch(path, header)
        return page:evaluate(([[fetch("http://%s%s", {headers: {%s}}).then(
          r => r.text(), e => e.name)]]):format(server:address(), path, header))
      end
      assert.equal('{}', fetch("/open", ""))
      assert.equal('{"token":"7"}', fetch("/open", '"X-Token": "7"'))
      assert.equal(1, preflights)
      assert.equal("TypeError", fetch("/open", '"X-Other": "7"'))
      assert.equal("TypeError", fetch("/closed", ""))
    end)
  end)

  it("keeps its cookies, and shows its scripts those that it may #heavy", function()
    local app = http.router()
    app:get("/in", function()
      return {headers = {["Set-Cookie"] = {
        http.set_cookie("id", "secret", {http_only = true, same_site = "strict"}),
        http.set_cookie("theme", "dark", {max_age = 60}),
      }}, body = "in"}
    end)
    app:get("/me", function(req)
      return {json = {id = req.cookies.id, theme = req.cookies.theme}}
    end)
    with_page(app, function(page)
      assert.equal("in", page:evaluate('fetch("/in").then(r => r.text())'))
      assert.same({id = "secret", theme = "dark"},
        page:evaluate('fetch("/me").then(r => r.json())'))
      assert.equal("theme=dark", page:evaluate("document.cookie"))
    end)
  end)

  it("sends forms with files of any name #heavy", function()
    local app = http.router()
    app:post("/form", function(req)
      local form = assert(req:form())
      local file = form.files.file
      return {json = {who = form.fields["wer?"], name = file and file.filename,
        size = file and #assert(file:read())}}
    end)
    with_page(app, function(page)
      local send = [[(() => {
        const form = %s
        form.append("wer?", "\u{1F375} & \"tea\"\r\n2")
        %s
        return fetch("/form", {method: "POST", body: form}).then(r => r.json())
      })()]]
      assert.same({who = '\u{1F375} & "tea"\r\n2', name = 'a "b" \u{FC}.bin', size = 3000000},
        page:evaluate(send:format("new FormData()",
          [[form.append("file", new Blob([new Uint8Array(3e6)]), 'a "b" \u{fc}.bin')]])))
      assert.same({who = '\u{1F375} & "tea"\r\n2'},
        page:evaluate(send:format("new URLSearchParams()", "")))
    end)
  end)

  it("talks over a WebSocket, compressed, in texts and bytes #heavy", function()
    local app, seen = http.router(), nil
    app:get("/ws", function(req)
      seen = req.headers["sec-websocket-extensions"]
      local ws = req:upgrade{protocols = {"echo"}}
      for data, kind in ws do
        if data == "bye" then return ws:close(4001, "as you wish") end
        ws:send(data, kind)
      end
    end)
    with_page(app, function(page)
      local got = page:evaluate([[new Promise(done => {
        const ws = new WebSocket(location.origin.replace("http", "ws") + "/ws", ["x", "echo"])
        const texts = ["", "\u{1F375}", "tea ".repeat(1e5)], all = []
        const bytes = new Uint8Array(70000).map((_, i) => i)
        ws.binaryType = "arraybuffer"
        ws.onopen = () => {
          for (const text of texts) ws.send(text)
          ws.send(bytes)
          ws.send("bye")
        }
        ws.onmessage = e => all.push(e.data)
        ws.onclose = e => done([
          JSON.stringify(all.slice(0, 3)) == JSON.stringify(texts),
          new Uint8Array(all[3]).every((b, i) => b == bytes[i]) && all[3].byteLength,
          ws.protocol, ws.extensions.split(";")[0], e.code, e.reason, e.wasClean,
        ])
      })]])
      assert.same({true, 70000, "echo", "permessage-deflate", 4001, "as you wish", true}, got)
      assert.matches("permessage%-deflate", seen)
    end)
  end)
end)

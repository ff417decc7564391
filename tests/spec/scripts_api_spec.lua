-- SPDX-License-Identifier: MIT
-- scripts/api_server.lua, run in a child: with curl, with clients in Python, and with our own.
local corun = require "corun"
local http = require "corun.http"
local process = require "corun.process"
local scripts = require "tests.spec.support.scripts"

local json = corun.json

local PYTHON = "/usr/bin/python3"

-- Follow the changes until COUNT have come; print the name and the id of each, and its title.
-- Arguments: HOST PORT TARGET LAST-ID COUNT
local FOLLOWER = [[
import http.client, json, sys
host, port, target, last, count = sys.argv[1:]
c = http.client.HTTPConnection(host, int(port), timeout=30)
c.request("GET", target, headers={"Last-Event-ID": last} if last else {})
r = c.getresponse()
assert (r.status, r.getheader("Content-Type")) == (200, "text/event-stream"), r.status
event = {}
while int(count) > 0:
    line = r.readline().decode().rstrip("\n")
    if line:
        name, _, value = line.partition(": ")
        event[name] = value
    elif "event" in event:
        print(event["event"], event["id"], json.loads(event["data"]).get("title", "-"))
        event, count = {}, int(count) - 1
    else:
        event = {}]]

-- Create todos from four threads until nobody answers; print the id of each that was created.
-- Arguments: HOST PORT
local CREATORS = [[
import http.client, json, sys, threading
ids = []
def create(n):
    while True:
        c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=30)
        try:
            c.request("POST", "/todos", json.dumps({"title": f"by {n}"}),
                      {"Content-Type": "application/json"})
            r = c.getresponse()
            assert r.status == 201, r.status
            ids.append(json.load(r)["id"])
            c.close()
        except (OSError, http.client.BadStatusLine):
            return
threads = [threading.Thread(target=create, args=(n,)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(*sorted(ids))]]

-- Ask with curl: the status, and what came back.
local function curl(...)
  local r = assert(process.run{"curl", "-s", "-g", "--max-time", "30", "-w", "\n%{http_code}", ...})
  assert(r.ok, r.stderr)
  local body, status = r.stdout:match("^(.*)\n(%d+)$")
  return tonumber(status), body
end

local function send(method, url, body, ...)
  return curl("-X", method, "-H", "Content-Type: application/json", "--data-binary", body, url, ...)
end

-- Run a client in Python beside the server: its output, a line for each entry.
local function python(program, url, ...)
  local host, port = url:match("//(.+):(%d+)$")
  local r = assert(process.run({PYTHON, "-c", program, host, port, ...}, {timeout = 60}))
  assert(r.ok, r.stderr)
  local lines = {}
  for line in r.stdout:gmatch("[^\n]+") do lines[#lines + 1] = line end
  return lines
end

-- Follow the changes in Python: names and titles, and the id of the last.
local function follow(url, target, last, count)
  local out, id = {}, nil
  for i, line in ipairs(python(FOLLOWER, url, target, last or "", count)) do
    local event, title
    event, id, title = line:match("^(%S+) (%S+) (.*)$")
    out[i] = event .. " " .. title
  end
  return out, id
end

describe("scripts/api_server.lua", function()
  it("creates, reads, changes and removes, for curl", function()
    local p <close>, url = scripts.start{"api_server", "--log"}
    local status, body = send("POST", url .. "/todos", '{"title": "milk"}')
    local milk = {id = 1, title = "milk", done = false, priority = 3}
    assert.same({201, milk}, {status, json.decode(body)})
    assert.matches("\r\nlocation: /todos/2\r\n", select(2, send("POST", url .. "/todos",
      '{"title": "t\u{E9}", "priority": 1, "done": true}', "-i")):lower(), 1, true)
    assert.equal(201, (send("POST", url .. "/todos", '{"title": "third"}')))
    assert.same(milk, json.decode(select(2, curl(url .. "/todos/1"))))
    status, body = send("PATCH", url .. "/todos/1", '{"done": true}')
    milk.done = true
    assert.same({200, milk}, {status, json.decode(body)})
    assert.equal(204, (curl("-X", "DELETE", url .. "/todos/2")))
    assert.equal(404, (curl(url .. "/todos/2")))
    local page = json.decode(select(2, curl(url .. "/todos?limit=1")))
    assert.same({milk}, page.todos)
    page = json.decode(select(2, curl(url .. "/todos?after=1&limit=1")))
    assert.same("third", page.todos[1].title)
    assert.matches('"todos":[]', select(2, curl(url .. "/todos?after=3")), 1, true)
    assert.matches('"GET /todos/2 HTTP/1.1" 404 %d+\n', (scripts.stop(p)))
  end)

  it("says what is wrong with a request, and goes on", function()
    local p <close>, url = scripts.start{"api_server", "--max-todos=1"}
    local todos = url .. "/todos"
    local function fields(name, message)
      return ('"fields":{"%s":"%s"}'):format(name, message)
    end
    local title = "must be a text of 1 to 200 characters"
    for _, case in ipairs{
      {400, '{"title": ', "byte"}, {400, "", "byte"}, {400, '{"title": "\xFF"}', "byte"},
      {422, "[]", "must be an object"}, {422, "7", "must be an object"},
      {422, "null", "must be an object"}, {422, '[{"title": "x"}]', "must be an object"},
      {422, "{}", "must be an object"}, {422, '{"title": ""}', fields("title", title)},
      {422, '{"title": 5}', fields("title", title)},
      {422, '{"title": null}', fields("title", title)},
      {422, json.encode{title = ("\u{E9}"):rep(201)}, fields("title", title)},
      {422, '{"done": false}', fields("title", "is missing; it " .. title)},
      {422, '{"title": "x", "done": 1}', fields("done", "must be true or false")},
      {422, '{"title": "x", "priority": 1.5}', "an integer from 1 to 5"},
      {422, '{"title": "x", "id": 7}', fields("id", "is not known")},
    } do
      local status, body = send("POST", todos, case[2])
      assert.equal(case[1], status, case[2] .. body)
      assert.matches(case[3], body, 1, true)
    end
    for target, status in pairs{
      ["/todos?limit=x"] = 400, ["/todos?limit=1001"] = 400, ["/todos?after=-1"] = 400,
      ["/todos?after=99999999999999999999"] = 400, ["/todos/x"] = 404, ["/todos/1.0"] = 404,
      ["/todos/99999999999999999999"] = 404, ["/%FF%00"] = 404, ["/"] = 404,
    } do
      local got, body = curl(url .. target)
      assert.equal(status, got, target)
      assert.is_string(json.decode(body).error)
    end
    assert.equal(415, (curl("-d", '{"title": "x"}', todos)))
    assert.equal(405, (curl("-X", "PUT", "-d", "{}", todos)))
    assert.equal(413, (send("POST", todos, ("x"):rep(70000))))
    assert.equal(413, (send("POST", todos, ("x"):rep(70000), "-H", "Transfer-Encoding: chunked")))
    assert.equal(201, (send("POST", todos, json.encode{title = ("\u{E9}"):rep(200)})))
    assert.equal(507, (send("POST", todos, '{"title": "x"}')))
    assert.equal(422, (send("PATCH", todos .. "/1", "{}")))
    local _, said = scripts.stop(p)
    assert.equal("", said) -- no failure of the server is behind any of them
  end)

  it("tells of changes, also those who connect again", function()
    local p <close>, url = scripts.start{"api_server", "--history=3"}
    local function create(title)
      assert.equal(201, (send("POST", url .. "/todos", json.encode{title = title})))
    end
    create("a")
    local from = json.decode(select(2, curl(url .. "/todos"))).changes
    create("b")
    assert.equal(200, (send("PATCH", url .. "/todos/2", '{"title": "B"}')))
    local changes, last = follow(url, "/changes?after=" .. from, nil, 2)
    assert.same({"created b", "changed B"}, changes) -- as it was then
    create("c")
    assert.equal(204, (curl("-X", "DELETE", url .. "/todos/1")))
    changes, last = follow(url, "/changes?after=" .. from, last, 2)
    assert.same({"created c", "deleted a"}, changes)
    for _, lost in ipairs{from, "x", "x.1", "00.00", last .. "0", "01234567.1"} do
      assert.same({"reset -"}, (follow(url, "/changes", lost, 1)))
    end
    -- one that follows all the time, beside one that comes when everything has happened
    local session <close> = http.session()
    local got, done = {}, corun.event()
    local task = corun.spawn(function()
      for e in session:events(url .. "/changes", {last_id = last, reconnect = false}) do
        got[#got + 1] = e.event
        if #got == 3 then done:set() end
      end
    end)
    for i = 1, 3 do create("more " .. i) end
    assert(corun.timeout(30, done.wait, done))
    assert.same({"created more 1", "created more 2", "created more 3"},
      (follow(url, "/changes", last, 3)))
    scripts.stop(p) -- which ends the stream, too
    task:await()
    assert.same({"created", "created", "created"}, got)
  end)

  it("answers all that it does when it is stopped under load", function()
    local p <close>, url = scripts.start{"api_server", "--log", "--drain=100"}
    local log = corun.async(p.stdout.read, p.stdout, "a")
    local session <close> = http.session()
    local told, enough = {}, corun.event()
    local follower = corun.async(function()
      for e in session:events(url .. "/changes", {reconnect = false}) do
        told[#told + 1] = e.data:match('"id":(%d+)')
        if #told == 200 then enough:set() end
      end
    end)
    local load = corun.async(python, CREATORS, url)
    assert(corun.timeout(60, enough.wait, enough))
    p:kill("TERM")
    assert.equal(0, assert(p:wait{timeout = 60}).code) -- those who follow do not use up the drain
    assert.equal("", p.stderr:read("a"))
    follower:await()
    local ids, n = load:await()[1], 0
    for id in ids:gmatch("%d+") do
      n = n + 1
      assert.equal(n, tonumber(id)) -- none was made whose maker does not know of it
    end
    assert.equal(n, select(2, log:await():gsub(' 201 ', "")))
    assert((" " .. ids .. " "):find((" %s "):format(table.concat(told, " ")), 1, true))
  end)

  it("says what is wrong with a command line", function()
    scripts.refuses{["--max-todos"] = {"api_server", "--max-todos=0"}, ["x"] = {"api_server", "x"}}
    scripts.has_help("api_server")
    local taken <close>, url = scripts.start{"api_server"}
    local r = scripts.run{"api_server", "--listen=" .. url:match("//(.*)")}
    assert.equal(1, r.code)
    assert.matches("EADDRINUSE", r.stderr, 1, true)
    scripts.stop(taken)
  end)
end)

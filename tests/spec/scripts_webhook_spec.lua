-- SPDX-License-Identifier: MIT
-- scripts/webhook.lua, run in a child: with a sender in Python that signs as GitHub does, and with
-- curl. Its commands say what they were given, and wait for a file where they are to take long.
local corun = require "corun"
local process = require "corun.process"
local scripts = require "tests.spec.support.scripts"

local fs, json = corun.fs, corun.json

local PYTHON = "/usr/bin/python3"
local SECRET = "It's a Secret to Everybody"

-- Send a webhook; print the status, Retry-After and the answer.
-- Arguments: URL SECRET DELIVERY EVENT BODY
local SENDER = [[
import hashlib, hmac, sys, urllib.error, urllib.request
url, secret, delivery, event, body = (s.encode("utf-8", "surrogateescape") for s in sys.argv[1:])
digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
request = urllib.request.Request(url.decode(), body, {
    "Content-Type": "application/json", "User-Agent": "GitHub-Hookshot/044aadd",
    "X-GitHub-Delivery": delivery.decode(), "X-GitHub-Event": event.decode(),
    "X-Hub-Signature-256": "sha256=" + digest})
try: r = urllib.request.urlopen(request, timeout=30)
except urllib.error.HTTPError as e: r = e
print(r.status, r.headers.get("Retry-After", "-"), r.read().decode())]]

-- Start the script for a command of the shell; the process and the URL for webhooks.
local function start(command, ...)
  local argv = {"webhook", "--pause=0.01", ...}
  table.move({"--", "sh", "-c", command}, 1, 4, #argv + 1, argv)
  local p, url = scripts.start(argv, {WEBHOOK_SECRET = SECRET})
  return p, url .. "/webhook"
end

-- Send one: the status, the answer, Retry-After. `o`: secret, event, body.
local function send(url, delivery, o)
  o = o or {}
  local r = assert(process.run({PYTHON, "-c", SENDER, url, o.secret or SECRET, delivery,
    o.event or "push", o.body or '{"n":1}'}, {timeout = 60}))
  assert(r.ok, r.stderr)
  local status, retry, answer = r.stdout:match("^(%d+) (%S+) (.*)\n$")
  return tonumber(status), answer, retry
end

local function line_of(p) return p.stdout:read("l", {timeout = 30}) end

-- The lines of a log up to one with this text, which is what is waited for.
local function log_until(p, text)
  local lines = {}
  repeat
    lines[#lines + 1] = assert(p.stderr:read("l", {timeout = 30}))
  until lines[#lines]:find(text, 1, true)
  return lines
end

local TELL = 'read x; echo "$WEBHOOK_EVENT $WEBHOOK_DELIVERY $x ${WEBHOOK_SECRET-none}"'

describe("scripts/webhook.lua", function()
  it("runs the command for what is signed, once for each id", function()
    local p <close>, url = start(TELL)
    local status, answer = send(url, "72d3162e-cc78-11e3-81ab-4c9367dc0958")
    assert.same({202, '{"message":"it will be done"}'}, {status, answer})
    assert.equal('push 72d3162e-cc78-11e3-81ab-4c9367dc0958 {"n":1} none', line_of(p))
    assert.equal(200, (send(url, "72d3162e-cc78-11e3-81ab-4c9367dc0958")))
    assert.equal(200, (send(url, "p", {event = "ping"}))) -- is no work
    assert.equal(202, (send(url, "b", {event = "issues", body = '{"t":"\u{FC}"}'})))
    assert.equal('issues b {"t":"\u{FC}"} none', line_of(p))
    local out, said = scripts.stop(p)
    assert.equal("", out)
    assert.equal(2, select(2, said:gsub("info  [^\n]* done delivery=", "")), said)
  end)

  it("checks the signature as GitHub documents it", function()
    local p <close>, url = start(TELL)
    -- the example of GitHub's documentation, which is signed without a shell's help
    local r = assert(process.run{"curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d",
      "Hello, World!", "-H", "X-Hub-Signature-256: "
      .. "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", "-H",
      "X-GitHub-Delivery: a", "-H", "X-GitHub-Event: push", url})
    assert.equal("400", r.stdout) -- it is signed, and no JSON
    scripts.stop(p)
  end)

  it("says what is wrong with a request, and runs nothing", function()
    local p <close>, url = start(TELL, "--max-body=1000")
    local signed = "sha256=" .. ("0"):rep(64)
    for _, case in ipairs{
      {401}, {401, "-H", "X-Hub-Signature-256: " .. signed},
      {401, "-H", "X-Hub-Signature: sha1=" .. ("0"):rep(40)},
      {401, "-H", "X-Hub-Signature-256: sha256="}, {413, "-d", ("x"):rep(1001)},
      {413, "-H", "Transfer-Encoding: chunked", "-d", ("x"):rep(1001)}, {405, "-X", "GET"},
    } do
      local r = assert(process.run{"curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
        "-d", "{}", "-H", "X-GitHub-Delivery: a", "-H", "X-GitHub-Event: push", url,
        table.unpack(case, 2)})
      assert.equal(tostring(case[1]), r.stdout, table.concat(case, " "))
    end
    assert.equal(404, (send(url .. "s", "a")))
    assert.equal(401, (send(url, "a", {secret = SECRET .. "!"})))
    for _, o in ipairs{{body = "{"}, {body = "\xFF"}, {event = "a b"}, {event = ("e"):rep(101)}} do
      assert.equal(400, (send(url, "a", o)))
    end
    for _, id in ipairs{"", "a_b/c", ("a"):rep(101)} do assert.equal(400, (send(url, id))) end
    assert.equal(202, (send(url, "a"))) -- nothing of that has used the id
    assert.equal('push a {"n":1} none', line_of(p))
    assert.equal("", (scripts.stop(p)))
  end)

  it("runs the command again when it fails, and takes what was given up again", function()
    local dir <close> = assert(fs.temp{dir = true})
    local file = dir:path() .. "/runs"
    local p <close>, url = start(('echo x >>%s; test $(wc -l <%s) -ge 5'):format(file, file),
      "--tries=3")
    assert.equal(202, (send(url, "a")))
    local lines = log_until(p, "given up")
    assert.equal(4, #lines)
    for i = 1, 3 do
      assert.matches(("failed attempt=%d delivery=a err="):format(i), lines[i], 1, true)
    end
    assert.equal(202, (send(url, "a")))
    lines = log_until(p, "done")
    assert.equal(2, #lines)
    assert.equal(("x\n"):rep(5), assert(fs.read(file)))
    assert.equal(200, (send(url, "a")))
    scripts.stop(p)
  end)

  it("answers 503 when there is no room, and lets the work end when it is stopped", function()
    local dir <close> = assert(fs.temp{dir = true})
    local go = dir:path() .. "/go"
    local p <close>, url = start(('echo "$WEBHOOK_DELIVERY"; until test -e %s; do sleep 0.01; '
      .. 'done; echo done'):format(go), "--room=3", "--jobs=2")
    for i = 1, 3 do assert.equal(202, (send(url, "id-" .. i))) end
    local status, _, retry = send(url, "id-4")
    assert.same({503, "30"}, {status, retry})
    local begun = {line_of(p), line_of(p)}
    table.sort(begun)
    assert.same({"id-1", "id-2"}, begun) -- two at once
    p:kill("TERM")
    assert(fs.write(go, ""))
    assert.equal(0, assert(p:wait{timeout = 60}).code)
    assert.same({"done", "done", "done", "id-3"}, (function()
      local rest = {}
      for line in p.stdout:read("a"):gmatch("[^\n]+") do rest[#rest + 1] = line end
      table.sort(rest)
      return rest
    end)())
  end)

  it("stops what takes longer than its drain, and names it", function()
    local p <close>, url = start("echo begun; exec sleep 1000", "--drain=0.05", "--jobs=1")
    assert.equal(202, (send(url, "a")))
    assert.equal(202, (send(url, "b")))
    assert.equal("begun", line_of(p))
    local out, said = scripts.stop(p, 1)
    assert.equal("", out)
    for _, id in ipairs{"a", "b"} do
      assert.matches("not done delivery=" .. id .. "\n", said, 1, true)
    end
  end)

  it("loses nothing that it has answered with 202 when it is stopped under load", function()
    local p <close>, url = start('echo "$WEBHOOK_DELIVERY"', "--room=10000", "--drain=100")
    local log = corun.async(p.stderr.read, p.stderr, "a")
    local accepted, is_over = {}, false
    local senders = corun.async(function()
      corun.map({1, 2, 3}, function(n)
        for i = 1, math.huge do
          local id = ("%d-%d"):format(n, i)
          local ok, status = pcall(send, url, id)
          if not ok then return end -- nobody listens any more
          assert.equal(202, status)
          accepted[#accepted + 1] = id
        end
      end)
      is_over = true
    end)
    local done = {}
    for _ = 1, 10 do done[#done + 1] = line_of(p) end
    assert.is_false(is_over)
    p:kill("TERM")
    for line in p.stdout:lines() do done[#done + 1] = line end
    assert.equal(0, assert(p:wait{timeout = 120}).code)
    senders:await()
    log:await()
    table.sort(accepted)
    table.sort(done)
    assert.same(accepted, done)
  end)

  it("says what is wrong with a command line", function()
    scripts.refuses{
      ["there is no secret"] = {"webhook", "true"}, ["COMMAND"] = {"webhook"},
      ["no-such-file"] = {"webhook", "--secret=no-such-file", "true"},
      ["--path"] = {"webhook", "--secret=README.md", "--path=webhook", "true"},
    }
    scripts.has_help("webhook")
  end)

  it("reads the secret from a file, without the end of its line", function()
    local file <close> = assert(fs.temp())
    assert(fs.write(file:path(), SECRET .. "\n"))
    local p <close>, url = scripts.start{"webhook", "--secret=" .. file:path(), "--path=/a/b", "--",
      "sh", "-c", TELL}
    assert.equal(202, (send(url .. "/a/b", "a", {body = json.encode{1}})))
    assert.equal("push a [1] none", line_of(p))
    scripts.stop(p)
  end)
end)

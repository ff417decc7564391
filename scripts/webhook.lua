-- SPDX-License-Identifier: MIT
-- Receive webhooks, as GitHub sends them, and run a command for each: with the JSON that came as
-- its input, and WEBHOOK_EVENT and WEBHOOK_DELIVERY in its environment. Who sends them gets the
-- answer at once; the work is done in the background, and again after a pause when it fails.
--
--   WEBHOOK_SECRET=... corun webhook.lua -- sh -c 'jq -r .ref'
--
-- Each must be signed with the secret (X-Hub-Signature-256) and have an id (X-GitHub-Delivery), of
-- which each is taken once. There is room for so many that are not done; one more gets 503, and
-- should be sent again. Those that were taken are in memory alone: what is not done when the
-- program has to end is named in the log, and can be sent again too.
local corun = require "corun"
local codec = require "corun.codec"
local http = require "corun.http"
local log, process = corun.log, corun.process

local opt = corun.args{
  listen = {"127.0.0.1:8080", short = "l", value = "ADDRESS"}, path = "/webhook",
  secret = {type = "string", value = "FILE"}, jobs = {4, min = 1, short = "j"},
  room = {100, min = 1, max = 10000}, tries = {5, min = 1}, pause = {1.0, min = 0.001, value = "S"},
  timeout = {60.0, min = 0.001, value = "S"}, max_body = {1 << 20, min = 1, value = "BYTES"},
  drain = {30.0, min = 0, value = "S"}, "COMMAND...",
  help = {"Run a command for each webhook.", listen = "where: host:port, or unix:/path",
    path = "the path that they are sent to", secret = "where the secret is (or in WEBHOOK_SECRET)",
    jobs = "commands at once", room = "webhooks that are not done", tries = "runs until one is 0",
    pause = "before the second run; each later one is twice as long",
    timeout = "for each run", max_body = "the longest that is taken",
    drain = "what is not done may take so long at the end",
    COMMAND = "what to run, and its arguments"},
}

local REMEMBERED = 20000 -- ids, more than there can be webhooks that are not done

local function refuse(message)
  io.stderr:write("webhook.lua: ", message, "\n")
  corun.exit(2)
end

local function read_secret()
  if not opt.secret then return os.getenv("WEBHOOK_SECRET") end
  local text, err = corun.fs.read(opt.secret)
  if not text then refuse(tostring(err)) end
  return (text:gsub("%s+$", ""))
end

local secret = read_secret() or ""
if secret == "" then refuse("there is no secret: --secret=FILE, or WEBHOOK_SECRET") end
if not opt.path:find("^/[%w/_.-]*$") then refuse("--path must be like /webhook") end

-- What has come -----------------------------------------------------------------------------------

local known = {} -- by id, where in `order` it is
local order, place = {}, 0 -- the last ids, and where the last of them is

local function remember(id)
  place = place % REMEMBERED + 1
  local oldest = order[place]
  if oldest and known[oldest] == place then known[oldest] = nil end
  order[place], known[id] = id, place
end

local function is_signed(body, signature)
  local expected = "sha256=" .. codec.hex.encode(assert(codec.hmac("sha256", secret, body)))
  return codec.equal(expected, signature)
end

local function is_word(text) return #text <= 100 and text:find("^[%w_-]+$") ~= nil end

-- The work ----------------------------------------------------------------------------------------

local open = {} -- the ids of those that are not done
local room, turns = corun.semaphore(opt.room), corun.semaphore(opt.jobs)

-- Run the command once; nil and why when it has failed. What you want to do goes here.
local function run(delivery)
  local _ <close> = turns:acquire()
  return process.run(opt.command, {
    input = delivery.body, check = true, timeout = opt.timeout,
    env = {WEBHOOK_EVENT = delivery.event, WEBHOOK_DELIVERY = delivery.id, WEBHOOK_SECRET = false},
    stdout = "inherit", stderr = "inherit",
  })
end

-- Run the command until it succeeds. A pause is nobody's turn.
local function work(delivery, permit)
  local _ <close> = permit
  local said = log.with{delivery = delivery.id, event = delivery.event}
  for attempt in corun.backoff{min = opt.pause, max = 300, tries = opt.tries} do
    local result, err = corun.try(run, delivery)
    if result then
      open[delivery.id] = nil
      return said.info("done", {seconds = result.duration})
    end
    said.warn("failed", {attempt = attempt, err = err})
  end
  open[delivery.id], known[delivery.id] = nil, nil -- it may be sent again by hand
  said.error("given up")
end

-- The server --------------------------------------------------------------------------------------

local function answer(status, message)
  return {status = status, headers = status == 503 and {["Retry-After"] = "30"} or nil,
    json = {message = message}}
end

-- Make the handler, whose work goes on in a scope of its own.
local function receiver(scope)
  return function(req)
    local h = req.headers
    if not is_signed(req.body, h["x-hub-signature-256"] or "") then
      log.warn("refused: not signed with the secret", {peer = req.peer})
      return answer(401, "X-Hub-Signature-256 is not that of this body")
    end
    local id, event = h["x-github-delivery"] or "", h["x-github-event"] or ""
    if not is_word(id) then return answer(400, "X-GitHub-Delivery is no id") end
    if not is_word(event) then return answer(400, "X-GitHub-Event is no name") end
    if select(2, req:json()) then return answer(400, "the body is no JSON") end
    if event == "ping" then return answer(200, "here") end -- it was set up
    if known[id] then return answer(200, "it has come before") end
    local permit = room:try_acquire()
    if not permit then return answer(503, "there is too much to do") end
    remember(id)
    open[id] = true
    scope:spawn(work, {id = id, event = event, body = req.body}, permit)
    return answer(202, "it will be done")
  end
end

local function serve(scope)
  local app = http.router():post(opt.path, receiver(scope))
  local server, err = http.serve(opt.listen, app, {max_body = opt.max_body})
  if not server then
    io.stderr:write("webhook.lua: ", tostring(err), "\n")
    corun.exit(1)
  end
  local signals <close> = assert(corun.signal("INT", "TERM"))
  io.stderr:write(("webhooks are received at http://%s%s\n"):format(server:address(), opt.path))
  signals:recv()
  scope:daemon(function() -- the scope waits for the work, but not for ever
    corun.sleep(opt.drain)
    scope:cancel()
  end)
  server:close{drain = opt.drain}
end

corun.scope(serve)
for id in pairs(open) do log.error("not done", {delivery = id}) end
if next(open) then corun.exit(1) end

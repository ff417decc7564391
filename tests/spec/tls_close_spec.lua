-- SPDX-License-Identifier: MIT
-- The close of a TLS client: what it has written arrives, although the server has more to say (its
-- session tickets) when nobody listens any more; what is left behind the close, and for how long.
local corun = require "corun"
local debug = require "corun.debug"
local net = require "corun.net"
local process = require "corun.process"
local outcomes = dofile("tests/spec/support/outcomes.lua")
local support = dofile("tests/spec/support/tls.lua")
local descriptors = dofile("tests/spec/support/files.lua").descriptors
local peers = require("tests.spec.support.http")

local assert_error, waiting = outcomes.assert_error, outcomes.waiting

local SIZE = 300000 -- more than the peer's system takes unread, less than ours takes unsent
local TEXT = ("x"):rep(SIZE)
local SHORT = ("x"):rep(65536)
local GRACE = 5 -- which the tests run with

local folder, good

local function prepare()
  folder = support.make_certificates()
  good = {cert = folder .. "good.pem", key = folder .. "key.pem", timeout = 60}
end

-- Options of a client, for a version of TLS if one is named.
local function client(version)
  return {timeout = 60, tls = {ca = folder .. "ca.pem", server_name = "localhost", min = version,
    max = version}}
end

-- Real servers: each takes N connections, and says in a line how many bytes came in all, and what
-- went wrong.
local SERVERS = {
  openssl = {shell = [[
    openssl s_server -accept 127.0.0.1:$PORT -naccept $N -cert "$DIR"good.pem -key "$DIR"key.pem \
      -quiet -num_tickets 5 | wc -c]]},
  python = {"python3", "-c", [[
import os, socket, ssl, threading
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
c.load_cert_chain(os.environ["DIR"] + "good.pem", os.environ["DIR"] + "key.pem")
l = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
total, wrong, lock = 0, set(), threading.Lock()
def serve(raw):
    global total
    n, s = 0, None
    try:
        s = c.wrap_socket(raw, server_side=True, suppress_ragged_eofs=False)
        while data := s.recv(65536): n += len(data)
    except Exception as e: wrong.add(str(e))
    with lock: total += n
    if s: s.close()
threads = []
for _ in range(int(os.environ["N"])):
    threads.append(threading.Thread(target=serve, args=(l.accept()[0],)))
    threads[-1].start()
for t in threads: t.join()
print(total, *wrong, flush=True)]]},
  node = {"node", "-e", [[
const fs = require("fs"), f = process.env.DIR;
let n = 0, why = "", left = +process.env.N;
const s = require("tls").createServer(
  {cert: fs.readFileSync(f + "good.pem"), key: fs.readFileSync(f + "key.pem")}, c => {
    c.on("data", d => { n += d.length; c.pause(); setTimeout(() => c.resume(), 2); });
    c.on("error", e => { why = " " + e; });
    c.on("close", () => { if (--left == 0) { s.close(); console.log(n + why); } });
  }).on("tlsClientError", e => console.log(e));
s.listen(+process.env.PORT, "127.0.0.1");]]},
}

-- Start a server for some connections; its port, and a function that waits for what it says.
local function start(name, n)
  local port = peers.free_port()
  local words = {env = {PORT = port, DIR = folder, N = n or 1}, stdin = "pipe",
    shell = SERVERS[name].shell, table.unpack(SERVERS[name])}
  local peer = assert(process.spawn(words))
  return port, function()
    local text = assert(peer.stdout:read("a", {timeout = 60}))
    return text:match("^%s*(.-)%s*$")
  end, peer
end

-- Connect to a port once somebody listens there.
local function reach(port, o)
  local give_up = corun.now() + 60
  while true do
    local stream, err = net.connect("127.0.0.1:" .. port, o)
    if stream or err.code ~= "ECONNREFUSED" or corun.now() > give_up then return stream, err end
    corun.sleep(0.01)
  end
end

-- Pass on what one stream says to another, and its end; tell `heard`.
local function pump(from, to, heard)
  while true do
    local data = from:recv()
    if not data or not to:write(data) then break end
    if heard then heard:set() end
  end
  pcall(to.shutdown, to)
end

-- A relay to a port. It keeps back what a client says after the handshake is over for it, until
-- `go_on` is set; and with `o.answered` again until the server has answered the first record of
-- that, as it does with tickets, and the client's system has the answer.
local function keep_back(port, o)
  local go_on = corun.event()
  return assert(net.serve("127.0.0.1:0", function(from)
    local to <close> = assert(reach(port))
    local answer = corun.event()
    corun.gather(function()
      local record
      repeat
        record = support.read_record(from)
        if not record then return to:shutdown() end
        local is_data = record:byte() == 23
        if is_data then go_on:wait() end
        answer:clear()
        to:write(record)
      until is_data
      if o.answered then answer:wait() end
      pump(from, to)
    end, function() pump(to, from, answer) end)
  end)), go_on
end

describe("the close of a tls client", function()
  if not support.has_openssl then return pending("openssl is not installed") end
  setup(prepare)
  teardown(function() support.remove(folder) end)

  -- Ways to close; each is given a table with the only reference to the stream.
  local WAYS = {
    close = function(box) assert(box[1]:close()) end,
    scope = function(box)
      local s <close> = box[1] -- luacheck: ignore 211
    end,
    cancel = function(box)
      local task = waiting(function()
        local s <close> = box[1] -- luacheck: ignore 211
        corun.sleep(60)
      end)
      task:cancel()
      task:await()
    end,
    collector = function(box)
      box[1] = nil
      collectgarbage()
      collectgarbage()
    end,
    shutdown = function(box)
      local shutting = waiting(box[1].shutdown, box[1])
      assert(box[1]:close())
      assert_error("ECLOSED", "shutdown", shutting:await())
    end,
  }

  -- Write to a server behind a relay and close; the server must get all.
  local function try(name, version, close)
    if not peers.has(name == "python" and "python3" or name) then
      return pending(name .. " is not installed")
    end
    local port, outcome, peer <close> = start(name)
    assert(peer)
    local relay <close>, go_on = keep_back(port, {answered = version == "1.3"})
    local box = {assert(net.connect(relay:address(), client(version)))}
    assert(box[1]:write(TEXT))
    local closing = corun.async(close, box)
    repeat corun.yield() until closing:status() ~= "ready"
    go_on:set()
    closing:await()
    assert.equal(tostring(SIZE), outcome())
  end

  for name in pairs(SERVERS) do
    for _, version in ipairs{"1.2", "1.3"} do
      it(("loses nothing: %s, %s"):format(name, version), function()
        try(name, version, WAYS.close)
      end)
    end
  end

  for way, close in pairs(WAYS) do
    it("loses nothing, whoever closes: " .. way, function() try("python", "1.3", close) end)
  end

  it("loses nothing at the end of a program", function()
    for _, last in ipairs{"", "s:close()", "corun.exit(0)"} do
      local port, outcome, peer <close> = start("python")
      assert(peer)
      local relay <close>, go_on = keep_back(port, {answered = true})
      local program <close> = assert(process.spawn{peers.corun(), "-e", ([[
        local corun, net = require "corun", require "corun.net"
        local s = assert(net.connect(%q, {tls = {ca = %q, server_name = "localhost"}}))
        s:write(("x"):rep(%d))
        print "written"
        %s]]):format(relay:address(), folder .. "ca.pem", SIZE, last)})
      assert.equal("written", program.stdout:read("l"))
      go_on:set()
      assert.equal(tostring(SIZE), outcome(), last)
      assert.is_true(program:wait().ok)
    end
  end)

  -- A function that waits until there are no more handles and descriptors than now.
  local function count()
    local handles, files = debug.stats().handles, descriptors()
    return function()
      local give_up = corun.now() + GRACE / 2 -- sooner than a close is given up
      repeat
        local all_back = debug.stats().handles <= handles and descriptors() <= files
        corun.sleep(0.005)
      until all_back or corun.now() > give_up
      assert.is_true(debug.stats().handles <= handles)
      assert.is_true(descriptors() <= files)
    end
  end

  -- Write a text on each of n connections and close it at once.
  local function write_all(n, address)
    local list, few = {}, corun.semaphore(4)
    for i = 1, n do list[i] = i end
    corun.map(list, function()
      local turn <close> = few:acquire() -- luacheck: ignore 211
      local s = assert(net.connect(address, client()))
      assert(s:write(SHORT))
      assert(s:close())
    end, {limit = n})
  end

  for name in pairs(SERVERS) do
    it("loses nothing of 300 connections: " .. name .. " #heavy", function()
      if not peers.has(name == "python" and "python3" or name) then
        return pending(name .. " is not installed")
      end
      local port, outcome, peer <close> = start(name, 300)
      assert(peer)
      local all_back = count()
      local s = assert(reach(port, client()))
      assert(s:write(SHORT))
      assert(s:close())
      write_all(299, "127.0.0.1:" .. port)
      all_back()
      assert.equal(tostring(300 * #SHORT), outcome())
    end)
  end

  it("loses nothing of a thousand connections #heavy", function()
    local total = 0
    local server <close> = support.echo(good, function(s)
      for piece in function() return s:recv() end do total = total + #piece end
    end)
    local all_back = count()
    write_all(1000, server:address())
    all_back()
    server:close{drain = 30}
    assert.equal(1000 * #SHORT, total)
  end)

  it("waits for a slow reader", function()
    if not peers.has("node") then return pending("node is not installed") end
    for _, version in ipairs{"1.2", "1.3"} do
      local port, outcome, peer <close> = start("node")
      assert(peer)
      local s = assert(reach(port, client(version)))
      local n = 10 * SIZE
      assert(s:write(("x"):rep(n)))
      assert(s:close())
      assert.equal(tostring(n), outcome())
    end
  end)

  -- Whether fn, called with the arguments, goes without a wait.
  local function is_immediate(fn, ...)
    local has_waited = false
    local witness = corun.async(function() has_waited = true end)
    assert(fn(...))
    local result = not has_waited or peers.has_short_calls -- then what it says goes out later
    witness:await()
    return result
  end

  it("makes nobody wait, neither for an answer nor for the end of the server", function()
    local go_on, heard = corun.event(), corun.channel()
    local server <close> = support.echo(good, function(s)
      if s:read("l") == "hello" then s:write("hello\n") else heard:send(true) end
      go_on:wait()
    end)
    for _, version in ipairs{"1.2", "1.3"} do
      local s = assert(net.connect(server:address(), client(version)))
      assert(s:write("hello\n"))
      assert.equal("hello", s:read("l"))
      local handles = debug.stats().handles
      assert.is_true(is_immediate(s.close, s))
      peers.eventually("nothing lingers", function() return debug.stats().handles < handles end)
      s = assert(net.connect(server:address(), client(version)))
      assert(s:write("bye\n"))
      heard:recv() -- nothing is left to be written
      assert.is_true(is_immediate(s.close, s))
    end
    go_on:set()
  end)

  -- A program that writes to a server, which after the handshake does `fn`, and never closes: what
  -- the program printed, and its seconds.
  local function stall(fn, code, grace)
    local over = corun.event()
    local server <close> = support.echo(good, function(s)
      corun.race{function() fn(s) end, function() over:wait() end}
    end)
    local result = assert(process.run{peers.corun(), "--grace=" .. (grace or 0.4), "-e", ([[
      local corun, net, http = require "corun", require "corun.net", require "corun.http"
      local debug = require "corun.debug"
      local o = {ca = %q, server_name = "localhost"}
      local address, text = %q, ("x"):rep(65536)
      local function written()
        local s = assert(net.connect(address, {tls = o}))
        assert(s:write(text))
        return s
      end
      %s]]):format(folder .. "ca.pem", server:address(), code), timeout = 60})
    over:set()
    assert.equal("", result.stderr)
    return result.stdout, result.duration
  end

  -- Servers that never close.
  local NEVER = {
    silent = function() corun.sleep(60) end,
    reading = function(s)
      s:read("a")
      corun.sleep(60)
    end,
    writing = function(s) while s:write(SHORT) do corun.yield() end end,
  }

  for name, fn in pairs(NEVER) do
    it("is over after --grace, whatever the server does: " .. name, function()
      local out = stall(fn, [[
        local before, list = debug.stats().handles, {}
        for i = 1, 100 do list[i] = written() end
        local started = corun.now()
        for _, s in ipairs(list) do assert(s:close()) end
        local lingering = debug.stats().handles - before
        while debug.stats().handles > before do corun.sleep(0.01) end
        local seconds = corun.now() - started
        print(lingering, seconds)]])
      local lingering, seconds = out:match("^(%d+)\t([%d.e-]+)\n$")
      lingering, seconds = tonumber(lingering), tonumber(seconds)
      assert.is_true(seconds < 20, out)
      -- A client that has heard what the server writes need not linger.
      if name ~= "writing" then assert.is_true(lingering == 100 and seconds >= 0.39, out) end
    end)

    it("is over so at the end of a program, all streams together: " .. name .. " #heavy", function()
      local open = "for _ = 1, 40 do corun.locals().s = {corun.locals().s, written()} end"
      local _, seconds = stall(fn, open, 1)
      assert.is_true(seconds >= 1 and seconds < 25, seconds)
      _, seconds = stall(fn, "for _ = 1, 40 do assert(written():close()) end", 1)
      assert.is_true(seconds >= 1 and seconds < 25, seconds)
    end)
  end

  it("leaves nothing behind of a request that was given up", function()
    local out, seconds = stall(NEVER.silent, [[
      local url = "https://localhost" .. address:match(":%d+$")
      local res, err = http.post(url, {body = text, timeout = 0.2, tls = o})
      print(res, err.code)]], 20)
    assert.equal("nil\tETIMEDOUT\n", out)
    assert.is_true(seconds < 10, seconds)
  end)

  it("waits for nothing during the handshake", function()
    local silent <close> = assert(net.listen("127.0.0.1:0"))
    local s = assert(net.connect(silent:address()))
    local shaking = waiting(s.starttls, s, client().tls)
    assert.is_true(is_immediate(s.close, s))
    assert_error("ECLOSED", "starttls", shaking:await())
  end)
end)

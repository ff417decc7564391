-- SPDX-License-Identifier: MIT
-- WebSocket with other people's programs, both ways: Python's websockets and ws of Node. Each talks
-- to our server or client about messages of all sizes, with and without compression.

local corun = require("corun")
local http = require("corun.http")
local support = require("tests.spec.support.http")

-- The one that the distribution's modules are for.
local PYTHON = support.has("/usr/bin/python3") and "/usr/bin/python3" or "python3"

local PYTHON_SERVER = [[
import asyncio, sys, websockets
async def echo(ws):
    async for m in ws:
        if m == "bye": await ws.close(4321, "as you wish")
        elif m == "ping": await (await ws.ping(b"?")); await ws.send("ponged")
        elif m == "pieces": await ws.send(["a" * 70000, "", "\u20ac", "end"])
        else: await ws.send(m)
async def main():
    packed = "deflate" if sys.argv[1] == "1" else None
    async with websockets.serve(echo, "127.0.0.1", 0, compression=packed, max_size=1 << 25,
                                subprotocols=["chat"]) as s:
        print("port", s.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()
asyncio.run(main())]]

local NODE_SERVER = [[
const {WebSocketServer} = require("ws");
const packed = process.argv[1] === "1" ? {threshold: 1} : false;
const s = new WebSocketServer({host: "127.0.0.1", port: 0, perMessageDeflate: packed,
  handleProtocols: p => p.has("chat") ? "chat" : false});
s.on("listening", () => console.log("port " + s.address().port));
s.on("connection", ws => ws.on("message", (data, binary) => {
  const m = data.toString();
  if (!binary && m === "bye") ws.close(4321, "as you wish");
  else if (!binary && m === "ping") { ws.once("pong", () => ws.send("ponged")); ws.ping("?"); }
  else if (!binary && m === "pieces") {
    ws.send("a".repeat(70000), {fin: false}); ws.send("", {fin: false});
    ws.send("\u20ac", {fin: false}); ws.send("end", {fin: true});
  } else ws.send(data, {binary});
}));]]

local PYTHON_CLIENT = [[
import asyncio, sys, websockets
async def main():
    packed = "deflate" if sys.argv[2] == "1" else None
    async with websockets.connect(sys.argv[1], compression=packed, max_size=1 << 25,
                                  subprotocols=["x", "chat"]) as ws:
        assert ws.subprotocol == "chat"
        for n in (0, 1, 125, 126, 65535, 65536, 3000000):
            for m in ("ab\u20ac" * (n // 5) + "x" * (n % 5), bytes(i & 255 for i in range(n))):
                await ws.send(m)
                assert await ws.recv() == m, n
        await ws.send(["in ", "pieces ", "\u20ac"])
        assert await ws.recv() == "in pieces \u20ac"
        await (await ws.ping())
        await ws.send("bye")
        try: await ws.recv(); assert False
        except websockets.ConnectionClosed as e:
            assert (e.rcvd.code, e.rcvd.reason) == (4321, "so be it")
    print("done")
asyncio.run(main())]]

local NODE_CLIENT = [[
const WebSocket = require("ws"), assert = require("assert");
const ws = new WebSocket(process.argv[1], ["x", "chat"],
  {perMessageDeflate: process.argv[2] === "1" ? {threshold: 1} : false});
const queue = [];
for (const n of [0, 1, 125, 126, 65535, 65536, 3000000]) {
  queue.push("ab\u20ac".repeat(n / 5) + "x".repeat(n % 5));
  queue.push(Buffer.from(Uint8Array.from({length: n}, (_, i) => i & 255)));
}
const sent = [...queue];
ws.on("open", () => { assert.equal(ws.protocol, "chat"); for (const m of queue) ws.send(m); });
ws.on("message", (data, binary) => {
  const m = sent.shift();
  assert.deepStrictEqual(binary ? data : data.toString(), m);
  if (!sent.length) { ws.ping(); ws.once("pong", () => ws.send("bye")); }
});
ws.on("close", (code, why) => {
  assert.deepStrictEqual([code, why.toString(), sent.length], [4321, "so be it", 0]);
  console.log("done");
});]]

local function has_python()
  return os.execute(PYTHON .. " -c 'import websockets' 2>/dev/null") == true
end

local NODE_PATH = os.getenv("NODE_PATH") or "/usr/share/nodejs" -- where the distribution has it

local function has_node()
  local line = ("NODE_PATH=%s node -e 'require(\"ws\")' 2>/dev/null"):format(NODE_PATH)
  return os.execute(line) == true
end

local PEERS = {
  {name = "python's websockets", has = has_python, server = {PYTHON, "-c", PYTHON_SERVER},
   client = {PYTHON, "-c", PYTHON_CLIENT}},
  {name = "ws of Node", has = has_node,
   server = {"env", "NODE_PATH=" .. NODE_PATH, "node", "-e", NODE_SERVER},
   client = {"env", "NODE_PATH=" .. NODE_PATH, "node", "-e", NODE_CLIENT}},
}

-- What our client says to an echoing server.
local function converse(url, o)
  o.protocols, o.max_message = {"chat"}, 1 << 25
  local ws <close> = assert(http.websocket(url, o))
  assert.equal("chat", ws.protocol)
  for _, n in ipairs{0, 1, 125, 126, 65535, 65536, 3000000} do
    local text = ("ab\u{20AC}"):rep(n // 5) .. ("x"):rep(n % 5)
    assert.is_true(ws:send(text))
    local data, kind = ws:recv{timeout = 30}
    assert.equal("text", kind)
    assert.is_true(data == text)
    local bytes = ("\xFF\x00z"):rep(n // 3)
    assert.is_true(ws:send(bytes, "binary"))
    data, kind = ws:recv{timeout = 30}
    assert.equal("binary", kind)
    assert.is_true(data == bytes)
  end
  assert.is_true(ws:send("ping"))
  assert.equal("ponged", (ws:recv{timeout = 30}))
  assert.is_true(ws:send("pieces"))
  assert.equal(("a"):rep(70000) .. "\u{20AC}end", (ws:recv{timeout = 30}))
  assert.is_true(ws:send("bye"))
  local data, err = ws:recv{timeout = 30}
  assert.is_nil(data)
  assert.same({"ECLOSED", 4321, "as you wish"}, {err.code, err.status, err.reason})
end

for _, peer in ipairs(PEERS) do
  describe("WebSocket with " .. peer.name .. " #heavy", function()
    for _, packed in ipairs{"0", "1"} do
      local how = packed == "1" and "compressed" or "plain"

      it("as the server, " .. how, function()
        if not peer.has() then return pending("it is not installed") end
        local argv = {table.unpack(peer.server)}
        argv[#argv + 1] = packed
        local program = support.start(table.unpack(argv))
        local _ <close> = corun.defer(program.stop)
        local url = "ws://127.0.0.1:" .. program.port
        converse(url, {})
        converse(url, {deflate = {takeover = true, threshold = 1}})
        converse(url, {deflate = {window = 9}})
      end)

      it("as the client, " .. how, function()
        if not peer.has() then return pending("it is not installed") end
        for _, deflate in ipairs{true, {takeover = true, threshold = 1}} do
          local failure
          local server <close> = assert(http.serve("127.0.0.1:0", function(req)
            local ws = req:upgrade{protocols = {"chat"}, deflate = deflate, max_message = 1 << 25}
            for data, kind in ws do
              if data == "bye" then return ws:close(4321, "so be it") end
              ws:send(data, kind)
            end
            failure = "the client went early"
          end))
          local argv = {table.unpack(peer.client)}
          argv[#argv + 1] = "ws://" .. server:address() .. "/"
          argv[#argv + 1] = packed
          local out, ok = support.run(table.unpack(argv))
          assert.is_true(ok, out)
          assert.equal("done\n", out)
          assert.is_nil(failure)
          server:close()
        end
      end)
    end
  end)
end

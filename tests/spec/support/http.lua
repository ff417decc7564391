-- SPDX-License-Identifier: MIT
-- Peers for the http specs: raw servers and clients that say exactly the bytes they are told, and
-- real programs, started on free ports and ended by their process id.

local corun = require("corun")
local http = require("corun.http")
local net = require("corun.net")

local support = {eventually = require("tests.spec.support.eventually")}

---A server of ours, and its URL.
function support.serve(fn, o)
  local server = assert(http.serve("127.0.0.1:0", fn, o))
  return server, "http://" .. server:address()
end

-- Raw peers -------------------------------------------------------------------------------------

-- Serve each connection with fn(stream, n), n counting from 1; a failure of fn to write is its own.
-- `secure`: the options of TLS, if it is to be spoken.
function support.raw(fn, secure)
  local n = 0
  local server = assert(net.serve("127.0.0.1:0", function(stream)
    n = n + 1
    fn(stream, n)
  end, {tls = secure}))
  return server, (secure and "https://" or "http://") .. server:address()
end

-- Read one request: head, body; nil when the client has closed. One in chunks stays in chunks.
function support.read_request(stream)
  local head = stream:read_until("\r\n\r\n")
  if not head then return nil end
  local lower = head:lower()
  if lower:find("\r\ntransfer-encoding: chunked", 1, true) then
    return head, stream:read_until("0\r\n\r\n")
  end
  local length = tonumber(lower:match("\r\ncontent%-length: (%d+)"))
  if length and length > 0 then return head, stream:read_exactly(length) end
  return head, ""
end

-- Serve each connection's first request with these bytes, and close.
function support.canned(bytes, secure)
  return support.raw(function(stream)
    if support.read_request(stream) then stream:write(bytes) end
  end, secure)
end

-- Answer requests on kept connections with answer(head, body, n) until it gives nothing.
function support.kept(answer, secure)
  return support.raw(function(stream, n)
    while true do
      local head, body = support.read_request(stream)
      local bytes = head and answer(head, body, n)
      if not bytes then return end
      if not stream:write(bytes) then return end
    end
  end, secure)
end

function support.ok(body, extra)
  return ("HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s"):format(extra or "", #body, body)
end

-- Send bytes to a server and read until it closes (or for `seconds`); what it answered.
function support.talk(address, bytes, seconds)
  local stream <close> = assert(net.connect(address))
  stream:write(bytes)
  return stream:read("a", {timeout = seconds or 10}) or ""
end

-- Read one response from a stream: status, head, body (by its content-length).
function support.read_response(stream, no_body)
  local head = stream:read_until("\r\n\r\n", {timeout = 10})
  if not head then return nil end
  local length = tonumber(head:match("\r\ncontent%-length: (%d+)")) or 0
  local body = length > 0 and not no_body and stream:read_exactly(length, {timeout = 10}) or ""
  return tonumber(head:match("^HTTP/1%.[01] (%d+)")), head, body
end

-- Start fn in the scope and let it run until it waits, whatever the order of ready tasks.
function support.blocked(scope, fn, ...)
  local t = scope:async(fn, ...)
  repeat corun.yield() until t:status() ~= "ready"
  return t
end

-- The ways in which a POST is sent and its answer received; each gives the body, or nil, error.
support.ways = {
  whole = function(s, url, o)
    local res, err = s:post(url, o)
    return res and res.body, err
  end,
  streamed = function(s, url, o)
    o.stream = true
    local res <close>, err = s:post(url, o)
    if not res then return nil, err end
    return res:read("a")
  end,
  ["body in pieces"] = function(s, url, o)
    local text = o.body or "the body"
    function o.body()
      local piece = text
      text = nil
      return piece
    end
    local res, err = s:post(url, o)
    return res and res.body, err
  end,
}

-- Programs --------------------------------------------------------------------------------------

function support.has(program)
  return os.execute("command -v " .. program .. " >/dev/null 2>&1") == true
end

-- Whether this test runs with short calls (.ci/run): peers that take what they read first for a
-- whole message cannot bear that.
support.has_short_calls = os.getenv("FAULT_SEED") ~= nil

support.free_port = dofile("tests/spec/support/free_port.lua")

-- The program that runs this test.
function support.corun()
  local path = os.getenv("CORUN")
  if path then return path end
  local f <close> = assert(io.open("/proc/self/stat"))
  local pipe <close> = assert(io.popen("readlink /proc/" .. f:read("n") .. "/exe"))
  return pipe:read("l")
end

local function quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- Run a program to its end; what it wrote to both outputs, and whether it succeeded.
function support.run(...)
  local words = {}
  for i, word in ipairs({...}) do words[i] = quote(word) end
  local path = os.tmpname()
  local t = corun.async(function()
    -- in the background, so that the loop goes on and can serve the program
    os.execute(("{ %s; echo \"status $?\"; } >%s 2>&1 </dev/null &"):format(
      table.concat(words, " "), path))
    while true do
      local f = assert(io.open(path))
      local text = f:read("a")
      f:close()
      local out, status = text:match("^(.*)status (%d+)\n$")
      if status then return out, status == "0" end
      corun.sleep(0.01)
    end
  end)
  local out, ok = t:await()
  os.remove(path)
  return out, ok
end

-- Ask a program to end, and end it after 5 seconds: tinyproxy looks for the signal before it polls,
-- and misses one that comes in between.
local STOP = [=[kill PID; i=0
  while grep -q "^State:[[:space:]]*[^Z[:space:]]" /proc/PID/status 2>/dev/null; do
    sleep 0.01; i=$((i + 1)); [ $i -lt 500 ] || kill -9 PID
  done]=]

-- Start a server program that writes the line "port N" first; {port=, url=, stop=}.
function support.start(...)
  local words = {}
  for i, word in ipairs({...}) do words[i] = quote(word) end
  local pipe = assert(io.popen("echo $$; exec " .. table.concat(words, " ") .. " 2>/dev/null"))
  local pid = pipe:read("n", "l")
  local line = pipe:read("l")
  local port = line and line:match("^port (%d+)$")
  local peer = {pid = pid, port = port, url = port and "http://127.0.0.1:" .. port}
  function peer.stop()
    if not peer.pid then return end
    os.execute(STOP:gsub("PID", peer.pid))
    peer.pid = nil
    pipe:close() -- which waits for it
  end
  -- A test that fails may not reach its stop; the pipe would then wait for the peer for ever. The
  -- peer is kept by who has its stop alone.
  if port then return setmetatable(peer, {__gc = peer.stop}) end
  peer.stop()
  error("the peer did not start: " .. table.concat(words, " "))
end

return support

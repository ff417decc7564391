-- SPDX-License-Identifier: MIT
-- For the specs of TLS: certificates made by the openssl command, servers that keep what their
-- connections failed with, and a relay that can see, cut and slow down what passes.
local corun = require "corun"
local net = require "corun.net"

local support = {}

---Whether the openssl command is installed.
support.has_openssl = os.execute("command -v openssl >/dev/null 2>&1") == true

---Make the certificates of tests/fixtures/tls; the folder, which ends with "/".
function support.make_certificates()
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
  assert(os.execute("tests/fixtures/tls/make.sh " .. folder), "see " .. folder .. "/log")
  return folder .. "/"
end

function support.remove(folder)
  os.execute("rm -r " .. folder)
end

---The port of an address, with a colon before it.
function support.port(address)
  return address:match(":%d+$")
end

---The settings of one table and of another, which comes first; that may be nil.
function support.with(base, more)
  local o = {}
  for k, v in pairs(base) do o[k] = v end
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

---A server of TLS that echoes lines, in which failures are no news.
function support.echo(o, fn)
  return assert(net.serve("127.0.0.1:0", fn or function(s)
    while true do
      local line = s:read("L", {max = 1 << 24})
      if not line or not s:write(line) then return end
    end
  end, {tls = o}))
end

---Read one record as it came, in clear or not: its header and its contents.
function support.read_record(s)
  local head = s:read_exactly(5)
  return head and head .. s:read_exactly(((">I2"):unpack(head, 4)))
end

---The lengths, in a list, of the whole records that a text begins with.
function support.record_lengths(text)
  local lengths, at = {}, 1
  while at + 4 <= #text do
    local n = (">I2"):unpack(text, at + 3)
    at = at + 5 + n
    if at <= #text + 1 then lengths[#lengths + 1] = n end
  end
  return lengths
end

---Pass on what two streams say to each other until both have ended. `o.cut`: close both once so
---many bytes have come from the server; `o.chunk`: so many bytes at a time; `o.seen`: called with
---what passes, its direction, and something that is the same for all of this connection.
local function relay(client, server, o)
  local passed = 0
  local function pump(from, to, name)
    while true do
      local data = from:recv(o.chunk)
      if not data then break end
      if o.seen then data = o.seen(data, name, client) or data end
      if name == "server" and o.cut then
        data = data:sub(1, o.cut - passed)
        passed = passed + #data
      end
      if #data > 0 and not to:write(data) then break end
      if o.cut and passed >= o.cut then
        client:close()
        return server:close()
      end
    end
    pcall(to.shutdown, to)
  end
  corun.gather(function() pcall(pump, client, server, "client") end,
    function() pcall(pump, server, client, "server") end)
end

---A relay to the address: its own address is that of the server that it gives.
function support.relay(address, o)
  return assert(net.serve("127.0.0.1:0", function(client)
    local server <close> = assert(net.connect(address))
    relay(client, server, o)
  end))
end

return support

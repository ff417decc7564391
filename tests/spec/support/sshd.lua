-- SPDX-License-Identifier: MIT
-- For specs of corun.sftp: OpenSSH's server. The test itself accepts connections, on a free port,
-- and hands the bytes of each to an `sshd -i` of its own, so that it can also cut or hold them.
local corun = require "corun"
local fs = require "corun.fs"
local net = require "corun.net"
local process = require "corun.process"

local files = dofile("tests/spec/support/files.lua")

local sshd = {program = "/usr/sbin/sshd"}

---Whether OpenSSH is installed.
function sshd.is_there()
  return fs.exists(sshd.program) and fs.exists("/usr/bin/ssh-keygen")
end

---Make a pair of keys in a file and FILE.pub.
function sshd.keygen(path, o)
  o = o or {}
  assert(process.run({"ssh-keygen", "-q", "-a", "1", "-t", o.type or "ed25519", "-N",
    o.passphrase or "", "-C", "spec", "-f", path, table.unpack(o.more or {})}, {check = true}))
  return path
end

---A folder with keys of a server and of a user, and where things are: keys `host`, `key`; files
---`known_hosts`, `authorized_keys`; the folder `home` with what is served.
function sshd.folder()
  local dir, path = files.folder()
  local d = {dir = dir, path = path, host = path .. "/host", key = path .. "/id",
    known_hosts = path .. "/known_hosts", home = path .. "/home"}
  sshd.keygen(d.host)
  sshd.keygen(d.key)
  assert(fs.mkdir(d.home))
  assert(fs.copy(d.key .. ".pub", path .. "/authorized_keys"))
  return d
end

-- A server that starts as root wants a folder for its unprivileged half, which a package's service
-- makes when it is started.
local function prepare()
  if assert(process.run{"id", "-u"}).stdout == "0\n" and not fs.exists("/run/sshd") then
    assert(fs.mkdir("/run/sshd", {mode = "755"}))
  end
end

local function configure(d, o)
  local path = ("%s/sshd_config.%s"):format(d.path, tostring(math.random(1 << 30)))
  local keys = {}
  for i, key in ipairs(o.host_keys or {d.host}) do keys[i] = "HostKey " .. key end
  files.put(path, table.concat({
    o.config or "",
    table.concat(keys, "\n"),
    "AuthorizedKeysFile " .. d.path .. "/authorized_keys",
    "PidFile none",
    "UsePAM no",
    "StrictModes no",
    "PermitRootLogin yes",
    "PasswordAuthentication " .. (o.password and "yes" or "no"),
    "KbdInteractiveAuthentication no",
    "Subsystem sftp " .. (o.sftp or "internal-sftp"),
    "",
  }, "\n"))
  return path
end

-- Pass on what one side says, through `tap(bytes)`, which gives what goes on, nil for nothing any
-- more, and whether that was the last.
local function pass(from, to, tap)
  local data, is_last
  repeat
    data, is_last = from:recv(), false
    if data and tap then data, is_last = tap(data) end
  until not data or not to:write(data) or is_last
end

---Serve what is in the folder. `o`: config (lines before the others), host_keys, password, sftp;
---`argv`: another program than sshd -i; `down()` and `up()` make taps for what the server and the
---client say in a connection. Gives {address, server, children}; `known` is written to known_hosts.
function sshd.serve(d, o)
  o = o or {}
  local s = {children = {}, errors = {}}
  local argv = o.argv
  if not argv then
    prepare()
    argv = {sshd.program, "-i", "-e", "-f", configure(d, o)}
  end
  s.server = assert(net.serve("127.0.0.1:0", function(stream)
    local child <close> = assert(process.spawn(argv, {stderr = "pipe", grace = 0.2}))
    s.children[child] = true
    local down, up = o.down and o.down(), o.up and o.up()
    corun.scope(function(scope)
      scope:daemon(function()
        for line in child.stderr:lines() do s.errors[#s.errors + 1] = line end
      end)
      scope:daemon(function()
        pass(stream, child.stdin, up)
        child.stdin:close()
      end)
      pass(child.stdout, stream, down)
    end)
    s.children[child] = nil
  end))
  s.address = s.server:address()
  s.port = math.tointeger(tonumber(s.address:match(":(%d+)$")))
  s.user = assert(process.run{"id", "-un"}).stdout:match("%S+")
  if o.known ~= false then
    local list = {}
    for i, key in ipairs(o.host_keys or {d.host}) do
      list[i] = ("[127.0.0.1]:%d %s"):format(s.port, files.get(key .. ".pub"))
    end
    files.put(d.known_hosts, table.concat(list))
  end
  return setmetatable(s, {__close = function() s.server:close() end})
end

---Wait until so many descriptors are open as were before: this process has the other ends too.
function sshd.settle(before)
  local now
  for _ = 1, 1000 do
    now = files.descriptors()
    if now == before then return end
    corun.sleep(0.01)
  end
  error(("%d descriptors were open before, %d are now"):format(before, now), 2)
end

---Options of connect that work for a server of the folder.
function sshd.options(d, s, more)
  local o = {user = s.user, key = d.key, known_hosts = d.known_hosts, timeout = 60}
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

return sshd

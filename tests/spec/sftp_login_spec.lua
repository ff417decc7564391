-- SPDX-License-Identifier: MIT
-- corun.sftp: how a connection becomes a session: keys of hosts, of users, passwords, prompts,
-- agents; against OpenSSH, and paramiko for what OpenSSH does only with PAM.
local corun = require "corun"
local fs = require "corun.fs"
local net = require "corun.net"
local process = require "corun.process"
local files = dofile("tests/spec/support/files.lua")
local sshd = dofile("tests/spec/support/sshd.lua")
local tasks = dofile("tests/spec/support/tasks.lua")

local has_module, sftp = pcall(require, "corun.sftp")
if not has_module or not sshd.is_there() then
  describe("corun.sftp", function()
    it("logs in", function()
      return pending("corun.sftp is not built, or sshd is not installed")
    end)
  end)
  return
end

local d

setup(function() d = sshd.folder() end)
teardown(function() d.dir:close() end)

-- Connect to a server that lasts as long as this call; the session is closed.
local function try(server_options, options, addr)
  local s <close> = sshd.serve(d, server_options)
  local session, err = sftp.connect(addr or s.address, sshd.options(d, s, options))
  if session then
    assert.truthy(session:realpath("."))
    session:close()
  end
  return session, err, s
end

local function fingerprint(key)
  local out = assert(process.run({"ssh-keygen", "-l", "-f", key .. ".pub"}, {check = true})).stdout
  return out:match("SHA256:%S+")
end

local function peer(mode)
  return {argv = {"/usr/bin/python3", "tests/fixtures/sftp/peer.py", d.host, mode}}
end

describe("the key of a host #heavy", function()
  it("is accepted when it is known, and told", function()
    local session = assert(try())
    assert.equal(fingerprint(d.host), session.fingerprint)
  end)

  it("is found under hashed names, patterns, and in one of several files", function()
    local s <close> = sshd.serve(d)
    local line = files.get(d.known_hosts)
    local function with(text, more)
      files.put(d.known_hosts, text)
      local session <close>, err = sftp.connect(s.address, sshd.options(d, s, more))
      return session ~= nil, err
    end
    assert(process.run({"ssh-keygen", "-H", "-f", d.known_hosts}, {check = true}))
    local hashed = files.get(d.known_hosts)
    assert.matches("^|1|", hashed)
    assert(with(hashed))
    assert(with("# a comment\n\n" .. line:gsub("^%S+", "other,[127.0.0.*]:*")))
    assert(with((line:gsub("^%S+", "!other.example,[127.0.0.?]:" .. s.port)) .. "\n"))
    local ok, err = with((line:gsub("^%S+", "[127.*]:*,!%0")))
    assert.is_false(ok)
    assert.equal("unknown", err.reason)
    files.put(d.path .. "/second", line)
    assert(with("", {known_hosts = {d.path .. "/none", d.known_hosts, d.path .. "/second"}}))
  end)

  it("is refused when it is not known", function()
    local s <close> = sshd.serve(d)
    files.put(d.known_hosts, "")
    local session, err = sftp.connect(s.address, sshd.options(d, s))
    assert.is_nil(session)
    assert.equal("EHOSTKEY", err.code)
    assert.equal("unknown", err.reason)
    assert.equal(fingerprint(d.host), err.fingerprint)
    assert.equal("ssh-ed25519", err.key_type)
    local text = tostring(err)
    assert.matches("connect 127.0.0.1:" .. s.port .. ": the host key is not known", text, 1, true)
    assert.matches("ssh-ed25519 " .. fingerprint(d.host), text, 1, true)
    -- the line that it names makes it known
    local line = err.message:match("the line: (.*)$")
    files.put(d.known_hosts, line .. "\n")
    assert(sftp.connect(s.address, sshd.options(d, s))):close()
  end)

  it("is refused when it has changed", function()
    local other = sshd.keygen(d.path .. "/other" .. math.random(1 << 30))
    local now <close> = sshd.serve(d, {host_keys = {other}, known = false})
    files.put(d.known_hosts, ("[127.0.0.1]:%d %s"):format(now.port, files.get(d.host .. ".pub")))
    local session, err = sftp.connect(now.address, sshd.options(d, now))
    assert.is_nil(session)
    assert.equal("EHOSTKEY", err.code)
    assert.equal("changed", err.reason)
    local text = tostring(err)
    for _, part in ipairs{"the host key has changed", fingerprint(other), fingerprint(d.host),
      d.known_hosts .. ":1", "ssh-keygen -R '[127.0.0.1]:" .. now.port .. "'", "ssh-ed25519"} do
      assert.matches(part, text, 1, true)
    end
  end)

  it("is refused when it was revoked", function()
    local s <close> = sshd.serve(d)
    local public = files.get(d.host .. ".pub")
    files.put(d.known_hosts, ("[127.0.0.1]:%d %s@revoked * %s"):format(s.port, public, public))
    local session, err = sftp.connect(s.address, sshd.options(d, s))
    assert.is_nil(session)
    assert.equal("revoked", err.reason)
  end)

  it("is asked for by the type that is known", function()
    local ecdsa = sshd.keygen(d.path .. "/ecdsa" .. math.random(1 << 30), {type = "ecdsa"})
    for _, known in ipairs{ecdsa, d.host} do
      local s <close> = sshd.serve(d, {host_keys = {ecdsa, d.host}})
      files.put(d.known_hosts, ("[127.0.0.1]:%d %s"):format(s.port, files.get(known .. ".pub")))
      local session <close> = assert(sftp.connect(s.address, sshd.options(d, s)))
      assert.equal(fingerprint(known), session.fingerprint)
    end
    local s <close> = sshd.serve(d, {host_keys = {ecdsa}})
    files.put(d.known_hosts, ("[127.0.0.1]:%d %s"):format(s.port, files.get(d.host .. ".pub")))
    local session, err = sftp.connect(s.address, sshd.options(d, s))
    assert.is_nil(session)
    assert.equal("unknown", err.reason)
    assert.matches("known are keys of the type ssh-ed25519", err.message, 1, true)
  end)

  it("is compared with a fingerprint instead", function()
    assert(try({known = false}, {fingerprint = fingerprint(d.host), known_hosts = d.path .. "/no"}))
    assert(try({known = false}, {fingerprint = {"SHA256:x", fingerprint(d.host)}}))
    local session, err = try({}, {fingerprint = "SHA256:abc"})
    assert.is_nil(session)
    assert.equal("mismatch", err.reason)
    assert.matches("expected SHA256:abc", err.message)
  end)

  it("is asked for by all types, of any of which a fingerprint may be", function()
    local ecdsa = sshd.keygen(d.path .. "/ecdsa" .. math.random(1 << 30), {type = "ecdsa"})
    local s <close> = sshd.serve(d, {host_keys = {ecdsa, d.host}, known = false})
    for _, expected in ipairs{ecdsa, d.host} do
      local session <close> = assert(sftp.connect(s.address, sshd.options(d, s,
        {fingerprint = fingerprint(expected)})))
      assert.equal(fingerprint(expected), session.fingerprint)
      assert.truthy(session:stat("."))
    end
    local session, err = sftp.connect(s.address, sshd.options(d, s, {fingerprint = "SHA256:abc"}))
    assert.is_nil(session)
    assert.equal("mismatch", err.reason)
    assert.equal(fingerprint(d.host), err.fingerprint)
  end)

  it("is not looked at where that is said", function()
    assert(try({known = false}, {insecure = true, known_hosts = d.path .. "/no"}))
  end)

  it("fails with what keeps the file from being read", function()
    local session, err = try({}, {known_hosts = d.path})
    assert.is_nil(session)
    assert.equal("EISDIR", err.code)
    assert.equal("connect", err.op)
  end)
end)

describe("a user #heavy", function()
  it("is known by a key", function()
    assert(try())
  end)

  it("is known by keys of other types and formats", function()
    for _, o in ipairs{{type = "ecdsa"}, {type = "ecdsa", more = {"-m", "PEM"}},
      {type = "ed25519", passphrase = "words"}, {type = "ecdsa", more = {"-m", "PEM"},
      passphrase = "words"}} do
      local key = sshd.keygen(d.path .. "/key" .. math.random(1 << 30), o)
      files.put(d.path .. "/authorized_keys", files.get(key .. ".pub"))
      local session, err = try({}, {key = key, passphrase = o.passphrase})
      files.put(d.path .. "/authorized_keys", files.get(d.key .. ".pub"))
      assert.truthy(session, o.type .. ": " .. tostring(err))
    end
  end)

  it("is known by the second of two keys", function()
    local other = sshd.keygen(d.path .. "/key" .. math.random(1 << 30))
    assert(try({}, {key = {other, d.key}}))
  end)

  it("is refused with a key that the server does not know", function()
    local other = sshd.keygen(d.path .. "/key" .. math.random(1 << 30))
    local session, err = try({}, {key = other})
    assert.is_nil(session)
    assert.equal("EAUTH", err.code)
    assert.matches("the server refused the user ", err.message, 1, true)
    assert.matches(("tried %s; it accepts publickey"):format(other), err.message, 1, true)
  end)

  it("is told that a key is encrypted, or that its passphrase is wrong", function()
    local key = sshd.keygen(d.path .. "/key" .. math.random(1 << 30), {passphrase = "words"})
    local _, err = try({}, {key = key})
    assert.equal("EAUTH", err.code)
    assert.matches("encrypted: give its passphrase", err.message)
    _, err = try({}, {key = key, passphrase = "wrong"})
    assert.equal("EAUTH", err.code)
    assert.matches("wrong passphrase", err.message)
    local pem = sshd.keygen(d.path .. "/key" .. math.random(1 << 30),
      {passphrase = "words", type = "ecdsa", more = {"-m", "PEM"}})
    _, err = try({}, {key = pem, passphrase = "wrong"})
    assert.equal("EAUTH", err.code)
    assert.matches("wrong passphrase", err.message)
  end)

  it("is told when a key is none, or not there", function()
    local _, err = try({}, {key = d.known_hosts})
    assert.equal("EAUTH", err.code)
    assert.matches("cannot use it", err.message)
    _, err = try({}, {key = d.path .. "/missing"})
    assert.equal("ENOENT", err.code)
    assert.equal("connect", err.op)
  end)

  it("is known by a password", function()
    local session, err = try(peer "password", {user = "joe", password = "secret"})
    assert.truthy(session, tostring(err))
  end)

  it("is refused with a wrong password", function()
    local session, err = try(peer "password", {user = "joe", password = "wrong"})
    assert.is_nil(session)
    assert.equal("EAUTH", err.code)
    assert.matches("the server refused the user joe: tried ", err.message)
    assert.matches("password; it accepts password", err.message)
    assert.is_nil(err.message:find("wrong", 1, true))
  end)

  it("is refused by OpenSSH, which has no PAM here, with a wrong password", function()
    local session, err = try({password = true}, {key = d.path .. "/none", password = "wrong"})
    assert.is_nil(session)
    assert.equal("ENOENT", err.code)
    local s <close> = sshd.serve(d, {password = true})
    session, err = sftp.connect(s.address, {user = s.user, password = "wrong",
      known_hosts = d.known_hosts})
    assert.is_nil(session)
    assert.equal("EAUTH", err.code)
  end)

  it("answers prompts", function()
    local heard = {}
    local session, err = try(peer "prompts", {user = "joe",
      answer = function(prompt, echo)
        heard[#heard + 1] = prompt .. tostring(echo)
        return prompt == "Password: " and "secret" or "123456"
      end})
    assert.truthy(session, tostring(err))
    assert.same({"Password: false", "Code: true"}, heard)
  end)

  it("is refused with wrong answers, and raises what answering raises", function()
    local session, err = try(peer "prompts", {user = "joe", password = "secret"})
    assert.is_nil(session)
    assert.equal("EAUTH", err.code)
    assert.matches("keyboard%-interactive", err.message)
    local raised = tasks.error_of(try, peer "prompts", {user = "joe",
      answer = function() error("no idea", 0) end})
    assert.equal("no idea", raised)
    raised = tasks.error_of(try, peer "prompts", {user = "joe",
      answer = function() corun.sleep(1) end})
    assert.matches("suspend", tostring(raised))
  end)

  it("gives a password after a key where the server wants both", function()
    local session, err = try(peer "both", {user = "joe", password = "secret"})
    assert.truthy(session, tostring(err))
  end)

  it("is tried with what ssh(1) would try", function()
    local home, real = d.path .. "/user", os.getenv
    fs.mkdir(home .. "/.ssh", {parents = true})
    os.getenv = function(name) -- luacheck: ignore 122
      if name == "HOME" then return home end
      if name == "SSH_AUTH_SOCK" then return nil end
      return real(name)
    end
    local _ <close> = corun.defer(function() os.getenv = real end) -- luacheck: ignore 122
    local s <close> = sshd.serve(d)
    assert(fs.copy(d.known_hosts, home .. "/.ssh/known_hosts"))
    local session, err = sftp.connect(s.user .. "@" .. s.address)
    assert.is_nil(session)
    assert.equal("EAUTH", err.code)
    assert.matches("nothing was tried", err.message)
    assert(fs.copy(d.key, home .. "/.ssh/id_ed25519"))
    session = assert(sftp.connect(s.user .. "@" .. s.address))
    session:close()
  end)
end)

describe("an agent #heavy", function()
  local agent, path

  setup(function()
    path = d.path .. "/agent"
    agent = assert(process.spawn({"ssh-agent", "-D", "-a", path}, {stdout = "null",
      stderr = "null"}))
    while not fs.exists(path) do corun.sleep(0.005) end
  end)
  teardown(function() agent:close() end)

  local function add(key)
    assert(process.run({"ssh-add", "-q", key}, {check = true, env = {SSH_AUTH_SOCK = path},
      stderr = "null"}))
  end

  it("signs", function()
    local session, err = try({}, {key = d.path .. "/none", agent = path})
    assert.is_nil(session) -- it has no key yet
    assert.equal("ENOENT", err.code)
    add(sshd.keygen(d.path .. "/key" .. math.random(1 << 30)))
    add(sshd.keygen(d.path .. "/key" .. math.random(1 << 30), {type = "ecdsa"}))
    add(d.key)
    local s <close> = sshd.serve(d)
    session = assert(sftp.connect(s.address, {user = s.user, agent = path,
      known_hosts = d.known_hosts}))
    session:close()
  end)

  it("that is not there, or talks nonsense, is passed over", function()
    assert(try({}, {agent = d.path .. "/nobody"}))
    for _, answer in ipairs{"", "\0\0\0\0", "\0\0\0\1\5", "\255\255\255\255",
      "\0\0\0\5\12\0\0\0\9"} do
      local liar = d.path .. "/liar" .. math.random(1 << 30)
      local _ <close> = assert(net.serve("unix:" .. liar, function(s)
        s:recv()
        s:write(answer)
      end))
      assert(try({}, {agent = liar}))
    end
  end)

  it("that does not sign is passed over", function()
    local liar = d.path .. "/liar" .. math.random(1 << 30)
    local key = files.get(d.key .. ".pub"):match("^%S+ (%S+)")
    local list = string.pack(">BI4s4s4", 12, 1, require("corun.codec").base64.decode(key), "mine")
    local _ <close> = assert(net.serve("unix:" .. liar, function(s)
      s:recv()
      s:write(string.pack(">s4", list))
      s:recv()
      s:write("\0\0\0\1\5")
    end))
    local s <close> = sshd.serve(d)
    local session, err = sftp.connect(s.address, {user = s.user, agent = liar,
      known_hosts = d.known_hosts})
    assert.is_nil(session)
    assert.equal("EAUTH", err.code)
    assert.matches("agent %(1 key%)", err.message)
    assert(try({}, {agent = liar})) -- the key from its file comes after that
  end)
end)

describe("connect #heavy", function()
  it("fails where nobody listens", function()
    local session, err = sftp.connect("127.0.0.1:1", {insecure = true})
    assert.is_nil(session)
    assert.equal("ECONNREFUSED", err.code)
    assert.equal("connect", err.op)
    assert.equal("127.0.0.1:1", err.target)
  end)

  it("fails for a name that is none", function()
    local session, err = sftp.connect("nosuch.invalid", {insecure = true})
    assert.is_nil(session)
    assert.equal("connect", err.op)
    assert.equal("nosuch.invalid:22", err.target)
  end)

  it("fails when it takes too long, and says where", function()
    local server <close> = assert(net.serve("127.0.0.1:0", function(s) s:read("a") end))
    local session, err = sftp.connect(server:address(), {insecure = true, timeout = 0.05})
    assert.is_nil(session)
    assert.equal("ETIMEDOUT", err.code)
    assert.matches("not ready after 0.05 s, while exchanging keys", err.message)
    session, err = sftp.connect(server:address(), {insecure = true, stall = 0.05})
    assert.is_nil(session)
    assert.matches("the server was silent for 0.05 s", err.message)
  end)

  it("fails for what speaks no SSH", function()
    local server <close> = assert(net.serve("127.0.0.1:0", function(s)
      s:write(("HTTP/1.1 400 Bad Request\r\n\r\n"):rep(1000))
      s:read("a", {timeout = 5})
    end))
    local session, err = sftp.connect(server:address(), {insecure = true, timeout = 5})
    assert.is_nil(session)
    assert.equal("connect", err.op)
    assert.truthy(err.code)
  end)

  it("fails where there is no sftp service", function()
    local session, err = try({sftp = "/bin/false"}, {timeout = 2})
    assert.is_nil(session)
    assert.equal("connect", err.op)
  end)

  it("raises for misuse", function()
    local cases = {
      {nil, nil, "connect needs an address, got nil"},
      {"", nil, "bad address"}, {"a:b:g", nil, "bad address"}, {"a:70000", nil, "bad address"},
      {"@a", nil, "bad address"}, {{}, nil, "connect needs a host, got nil"},
      {"a", {pasword = "x"}, 'unknown option "pasword" for connect'},
      {"a", {port = 65536}, "no port 65536"}, {{host = "a", port = "x"}, nil, "no port x"},
      {"a", {port = "22"}, 'option "port" for connect must be a count'},
      {"a", {timeout = -1}, 'option "timeout"'}, {"a", {key = 1}, 'option "key"'},
      {"a", 1, "must be a table"},
    }
    for _, c in ipairs(cases) do
      local raised = tostring(tasks.error_of(sftp.connect, c[1], c[2]))
      assert.matches(c[3], raised, 1, true)
      assert.matches("support/tasks.lua:%d+:", raised)
    end
  end)
end)

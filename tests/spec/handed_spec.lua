-- SPDX-License-Identifier: MIT
-- Sockets that are handed over as systemd does (sd_listen_fds(3)): by a parent in Python, and by
-- systemd-socket-activate itself. In children: the descriptors are theirs from their start.
local corun = require "corun"
local process = require "corun.process"
local program = dofile("tests/fixtures/cli/program.lua")
local support = dofile("tests/spec/support/http.lua")

local fs = corun.fs

local PRELUDE = [[
  local corun, net, http = require "corun", require "corun.net", require "corun.http"
  local function failure(listen, ...)
    local listener, err = listen(...)
    print(listener, err and err.code, err and err.message)
  end
]]

-- What code prints in a corun that was handed these sockets (tests/fixtures/net/handed.py).
local function handed(sockets, code)
  local argv = {"/usr/bin/python3", "tests/fixtures/net/handed.py"}
  table.move(sockets, 1, #sockets, #argv + 1, argv)
  table.move({"--", program.path, "--timeout=20", "-e", PRELUDE .. code}, 1, 5, #argv + 1, argv)
  local r = assert(process.run(argv))
  assert.equal("", r.stderr)
  assert.equal(0, r.code)
  return r.stdout
end

local function assert_lines(expected, text)
  assert.equal(table.concat(expected, "\n") .. "\n", text)
end

describe("a socket that was handed over", function()
  it("is served by its name, of IPv4 and IPv6", function()
    assert_lines({"four", "six", "echo"}, handed({"tcp=web", "tcp6=six", "tcp=echo"}, [[
      local six <close> = assert(http.serve("systemd:six", function() return "six" end))
      local four <close> = assert(http.serve("systemd:web", function() return "four" end))
      local echo <close> = assert(net.serve("systemd:echo", function(s) s:write(s:read("L")) end))
      assert(four:address():find("^127%.0%.0%.1:%d+$"), four:address())
      assert(six:address():find("^%[::1%]:%d+$"), six:address())
      print(assert(http.get("http://" .. four:address())).body)
      print(assert(http.get("http://" .. six:address())).body)
      local s <close> = assert(net.connect(echo:address()))
      s:write("echo\n")
      print(s:read())]]))
  end)

  it("may be a Unix socket, whose file stays", function()
    local dir <close> = assert(fs.temp{dir = true})
    local path = dir:path() .. "/s"
    assert_lines({"unix:" .. path, "by path", "unix:@" .. path, "by name"},
      handed({"unix:" .. path, "unix:@" .. path}, ([[
        local path = %q
        local own <close> = assert(http.serve("systemd", function() return "by path" end))
        print(own:address())
        print(assert(http.get("http://x", {unix = path})).body)
        own:close()
        assert(corun.fs.stat(path))
        local other <close> = assert(http.serve("systemd", function() return "by name" end))
        print(other:address())
        local client = "import socket, sys; s = socket.socket(socket.AF_UNIX);"
          .. "s.connect('\\0' + sys.argv[1]); s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n');"
          .. "print(s.makefile().read()[-7:])"
        io.write(corun.process.run{"/usr/bin/python3", "-c", client, path}.stdout)
      ]]):format(path)))
  end)

  it("comes in the order of the unit, one after the other, if no name says which", function()
    assert_lines({"2", "1", "3",
      "nil\tEADDRINUSE\tthe socket was taken already at (command line):N"},
      handed({"tcp=a", "tcp=b", "tcp=b"}, [[
        local function inode(fd)
          return corun.process.run{shell = "readlink /proc/$PPID/fd/" .. fd}.stdout
        end
        local at, address = {}, {}
        for i = 1, 3 do at[i] = inode(i + 2) end
        local b, any, last = net.listen("systemd:b"), net.listen("systemd"), net.listen("systemd:b")
        for i, l in ipairs{b, any, last} do address[i] = l:address() end
        assert(at[1] ~= at[2] and at[2] ~= at[3])
        -- which one is seen by what is closed
        for _, l in ipairs{b, any, last} do
          l:close()
          for i = 1, 3 do
            if at[i] and inode(i + 2) ~= at[i] then
              print(i)
              at[i] = nil
            end
          end
        end
        local _, err = net.listen("systemd")
        print(nil, err.code, (err.message:gsub(":%d+$", ":N")))]]))
  end)

  it("can be taken by its descriptor, whoever has opened it", function()
    assert_lines({"x", "y"}, handed({"tcp=a", "tcp"}, [[
      local a <close> = assert(http.serve("fd:3", function() return "x" end))
      print(assert(http.get("http://" .. a:address())).body)
      local b <close> = assert(net.listen("fd:4"))
      corun.spawn(function()
        local s <close> = b:accept()
        s:write("y\n")
      end)
      print(net.connect(b:address()):read())]]))
    assert_lines({"z"}, handed({"tcp", "LISTEN_PID=", "LISTEN_FDS="}, [[
      local a <close> = assert(http.serve("fd:3", function() return "z" end))
      print(assert(http.get("http://" .. a:address())).body)]]))
  end)

  it("is spoken TLS at like any other", function()
    local tls = dofile("tests/spec/support/tls.lua")
    local folder = tls.make_certificates()
    local _ <close> = corun.defer(tls.remove, folder)
    assert_lines({"secret"}, handed({"tcp=web"}, ([[
      local folder = %q
      local server <close> = assert(http.serve("systemd:web", function() return "secret" end,
        {tls = {cert = folder .. "good.pem", key = folder .. "key.pem"}}))
      print(assert(http.get("https://" .. server:address(), {
        tls = {ca = folder .. "ca.pem", server_name = "localhost"}})).body)]]):format(folder)))
  end)

  it("is not inherited, nor are the variables", function()
    assert_lines({"nil", "none", "none", "0 1 2", "0"}, handed({"tcp=a", "tcp=b"}, [[
      local see = 'env | grep LISTEN_ || echo none; '
      print(os.getenv("LISTEN_FDS"))
      io.write(io.popen(see):read("a"), corun.process.run{shell = see}.stdout)
      local fds = corun.process.run{shell = "exec python3 -c 'import os, sys;"
        .. 'fds = "/proc/self/fd/"; print(*[f for f in os.listdir(fds) if os.path.exists(fds + f)])'
        .. "'"}.stdout
      io.write(fds)
      io.write(io.popen("ls -l /proc/self/fd | grep -c socket; true"):read("a"))]]))
  end)
end)

describe("where no socket was handed over", function()
  it("listening says so", function()
    assert_lines({
      "nil\tENOENT\tno socket was handed over (LISTEN_PID, LISTEN_FDS)",
      "nil\tENOENT\tno socket was handed over (LISTEN_PID, LISTEN_FDS)",
      "nil\tENOENT\tdescriptor 3 was not handed over",
      "nil\tENOENT\tdescriptor 2147483647 was not handed over",
      "listen systemd:web: no socket was handed over (LISTEN_PID, LISTEN_FDS) (ENOENT)",
    }, handed({"LISTEN_PID=", "LISTEN_FDS="}, [[
      failure(net.listen, "systemd")
      failure(net.serve, "systemd:web", print)
      failure(http.serve, "fd:3", print)
      failure(net.listen, "fd:2147483647")
      print(select(2, net.listen("systemd:web")))]]))
  end)

  it("or were meant for another process, named otherwise, or fewer than was said", function()
    assert_lines({"nil\tENOENT\tthe sockets were handed to process 1, and this is another:"
      .. " what starts it in between must use exec"},
      handed({"tcp=web", "LISTEN_PID=1"}, [[failure(net.listen, "systemd:web")]]))
    assert_lines({'nil\tENOENT\tno socket of this name was handed over, only "a", "b"'},
      handed({"tcp=a", "tcp=b", "tcp=a"}, [[failure(net.listen, "systemd:web")]]))
    assert_lines({'nil\tENOENT\tno socket of this name was handed over, only "unknown"'},
      handed({"tcp"}, [[failure(net.listen, "systemd:web")]]))
    for _, count in ipairs{"5", "99999999999999999999", "0", "-1", "x", "1x"} do
      local text = handed({"tcp=a", "LISTEN_FDS=" .. count},
        [[assert(net.listen("systemd:a") or net.listen("fd:3")) failure(net.listen, "systemd")]])
      assert.matches("^nil\tE%u+\t", text)
    end
  end)

  it("a worker is told where they are", function()
    assert_lines({"nil\tENOENT\tsockets are handed to the program's main thread alone",
      "nil\tENOTSUP\ta Unix socket, or one that was handed over, is served by one thread"},
      handed({"tcp=web"}, [[
        print(corun.pool.run(function()
          local _, err = require("corun.net").listen("systemd:web")
          return nil, err.code, err.message
        end))
        failure(http.serve, "systemd:web", print, {threads = 2})]]))
  end)
end)

describe("what was handed over", function()
  it("may be of no use for listening", function()
    assert_lines({
      "nil\tEPROTOTYPE\tdescriptor 3 is no stream socket",
      "nil\tEINVAL\tdescriptor 4 is a socket that does not listen",
      "nil\tEINVAL\tdescriptor 5 is a socket that does not listen",
      "nil\tENOTSOCK\tdescriptor 6 is no socket",
      "nil\tENOTSOCK\tdescriptor 6 is no socket",
    }, handed({"udp=udp", "mute=mute", "pair=pair", "file=file"}, [[
      failure(net.listen, "systemd:udp")
      failure(net.listen, "fd:4")
      failure(http.serve, "systemd:pair", print)
      failure(net.serve, "systemd:file", print)
      failure(net.listen, "fd:6")]]))
  end)

  it("is taken once, and never what is corun's own", function()
    assert_lines({"true", "true", "true", "0 left"}, handed({"tcp=web"}, [[
      local l = assert(net.listen("systemd:web"))
      local function is_taken(address)
        local _, err = net.listen(address)
        return err.code == "EADDRINUSE"
          and err.message:find("^the socket was taken already at %(command line%):%d+$") ~= nil
      end
      print(is_taken("systemd:web"))
      print(is_taken("fd:3"))
      l:close()
      print(is_taken("systemd:web"))
      local own <close> = assert(net.listen("127.0.0.1:0"))
      local left = 0
      for fd = 4, 40 do if net.listen("fd:" .. fd) then left = left + 1 end end
      print(left .. " left")]]))
  end)

  it("listens already: options for that are misuse, and so is what is no descriptor", function()
    local net = corun.net
    local function refused(pattern, ...)
      local ok, err = pcall(...)
      assert.is_false(ok)
      assert.matches("handed_spec.lua:%d+: " .. pattern, tostring(err))
    end
    refused('option "mode" for listen has no place with "systemd:a", which listens already',
      net.listen, "systemd:a", {mode = "660"})
    refused('option "backlog" for serve has no place with "systemd"', net.serve, "systemd", print,
      {backlog = 5})
    refused('option "reuse_port" for serve has no place with "fd:3"', corun.http.serve, "fd:3",
      print, {reuse_port = true})
    refused('unknown option "modes" for listen', net.listen, "systemd", {modes = 1})
    for _, bad in ipairs{"fd:", "fd:2", "fd:-1", "fd:x", "fd:3.5", "fd:3 ", "fd:2147483648",
      "fd:99999999999999999999"} do
      refused('bad address for listen: "fd:N" names a descriptor from 3 on, got "fd:', net.listen,
        bad)
    end
    refused("bad address for connect", net.connect, "systemd")
  end)
end)

describe("systemd-socket-activate", function()
  it("starts a server at the first connection, which it answers", function()
    if not support.has("systemd-socket-activate") then
      pending("systemd-socket-activate is not installed")
      return
    end
    local dir <close> = assert(fs.temp{dir = true})
    local path = dir:path() .. "/s"
    local p <close> = assert(process.spawn{"systemd-socket-activate", "-l", path, "--fdname=web",
      program.path, "-e", [[
        local corun, http = require "corun", require "corun.http"
        local server = assert(http.serve("systemd:web", function(req) return req.path end))
        local signals <close> = corun.signal("TERM")
        signals:recv()
        server:close{drain = 5}
        print("over")]], stderr = "null"})
    local session <close> = corun.http.session{unix = path, base = "http://x"}
    local function ask(n) return session:get("/" .. n) end
    support.eventually("it listens", function() return ask(1) ~= nil end)
    assert.equal("/2", assert(ask(2)).body)
    assert.equal("/3", assert(ask(3)).body)
    p:kill("TERM")
    assert.equal("over\n", p.stdout:read("a"))
    assert.equal(0, p:wait().code)
  end)
end)

-- SPDX-License-Identifier: MIT
-- SIGTERM under load (tests/fixtures/http/crowd.py), at moments that a seed decides: a server that
-- drains drops nothing that was under way when the signal came; one that knows nothing of the
-- signal is cancelled (S27), and cleans up.
local corun = require "corun"
local process = require "corun.process"
local program = dofile("tests/fixtures/cli/program.lua")
local tls_support = dofile("tests/spec/support/tls.lua")

local fs = corun.fs

-- A server under a crowd which ends it: what the crowd has counted; the server's last line and how
-- it ended.
local function meet(mode, seed, argv, ca)
  argv = {program.path, "--grace=60", table.unpack(argv)}
  argv.env, argv.stderr = {CORUN_SEED = seed}, "stdout"
  local server <close> = assert(process.spawn(argv))
  local address = server.stdout:read()
  local crowd = assert(process.run{"/usr/bin/python3", "tests/fixtures/http/crowd.py", mode,
    address, server.pid, seed, ca})
  assert.equal("", crowd.stderr)
  assert.equal(0, crowd.code)
  local answered, under_way = crowd.stdout:match("^(%d+) (%d+)\n$")
  local last = server.stdout:read("a")
  return tonumber(answered), tonumber(under_way), last, server:wait()
end

-- Nothing is lost: each request that the handler was given was answered in full.
local function assert_drained(seed, argv, ca)
  local answered, under_way, given, result = meet("drained", seed, argv, ca)
  assert.equal(answered .. "\n", given)
  assert.equal(0, result.code)
  return under_way
end

local function assert_cancelled(seed)
  local folder <close> = assert(fs.temp{dir = true})
  local answered, under_way, last, result = meet("cancelled", seed,
    {"tests/fixtures/http/cancelled.lua", folder:path()})
  local begun, cleaned = last:match("^(%d+)\t(%d+)\n$")
  assert(begun, last)
  assert.equal(begun, cleaned)
  assert.is_true(answered <= tonumber(begun))
  assert.same({}, fs.list(folder:path()))
  assert.equal("SIGTERM", result.signal)
  return under_way
end

local DRAINED = "tests/fixtures/http/drained.lua"

describe("SIGTERM under load #heavy", function()
  local folder

  setup(function() folder = tls_support.make_certificates() end)
  teardown(function() tls_support.remove(folder) end)

  local function each(seeds, fn, ...)
    local under_way = 0
    for seed = 1, seeds do under_way = under_way + fn(seed, ...) end
    assert.is_true(under_way > 0, "never was anything under way")
  end

  it("drops nothing of a server that drains", function()
    each(20, assert_drained, {DRAINED, "127.0.0.1:0"})
  end)

  it("drops nothing over TLS", function()
    each(10, assert_drained, {DRAINED, "127.0.0.1:0", folder}, folder .. "ca.pem")
  end)

  it("drops nothing of several threads", function()
    each(10, assert_drained, {DRAINED, "127.0.0.1:0", "", 2})
  end)

  it("drops nothing at a Unix socket", function()
    each(10, assert_drained, {DRAINED, "unix:" .. folder .. "socket"})
  end)

  it("S27 cancels the requests, which clean up, where nobody takes it", function()
    each(20, assert_cancelled)
  end)
end)

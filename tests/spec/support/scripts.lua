-- SPDX-License-Identifier: MIT
-- For specs of the scripts that serve: start one in a child, on a port that is free, and stop it.
local assert = require "luassert"
local process = require "corun.process"
local program = dofile("tests/fixtures/cli/program.lua")

local scripts = {}

-- Start a script with these arguments; the process, and the URL of its server. It is stopped when
-- it is closed. `env`: variables for it.
function scripts.start(argv, env)
  local p = assert(process.spawn({program.path, "scripts/" .. argv[1] .. ".lua",
    "--listen=127.0.0.1:0", table.unpack(argv, 2)}, {env = env}))
  local line = assert(p.stderr:read("l"))
  return p, "http://" .. assert(line:match(".*(127%.0%.0%.1:%d+)"), line)
end

-- Ask it to end, which it must do with that status (0); what it has printed since, and said.
function scripts.stop(p, status)
  p:kill("TERM")
  local r = assert(p:wait{timeout = 30})
  assert.equal(status or 0, r.code)
  return p.stdout:read("a"), p.stderr:read("a")
end

-- Run a script to its end.
function scripts.run(argv, env)
  return assert(process.run({program.path, "scripts/" .. argv[1] .. ".lua",
    table.unpack(argv, 2)}, {env = env, timeout = 60}))
end

-- Its command lines that are wrong: message = argv. Each is answered with the message and status 2.
function scripts.refuses(list)
  for message, argv in pairs(list) do
    local r = scripts.run(argv)
    assert.equal(2, r.code, message)
    assert.matches(message, r.stderr, 1, true)
  end
end

-- That --help says how it is used.
function scripts.has_help(name)
  local r = scripts.run{name, "--help"}
  assert.equal(0, r.code)
  assert.matches("usage: " .. name .. ".lua", r.stdout, 1, true)
end

return scripts

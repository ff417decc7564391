-- SPDX-License-Identifier: MIT
-- Follows a chapter of the guide word by word: in an empty folder its files are written, and its
-- commands typed, one after the other; they print what it says. Only the port is another.

local assert = require "luassert"
local corun = require "corun"
local process = require "corun.process"
local program = dofile("tests/fixtures/cli/program.lua")
local free_port = dofile("tests/spec/support/free_port.lua")

local fs, net = corun.fs, corun.net

local PORT = "8321"

local guide = {}

-- The blocks in order: {name =, text =} for a file, {commands = {{line, output}, ...}}.
local function blocks_of(text)
  local blocks = {}
  for kind, body in text:gmatch("\n```(%w[^\n]*)\n(.-\n)```\n") do
    local name = kind:match("^%l+ (%S+)$")
    if name then
      blocks[#blocks + 1] = {name = name, text = body}
    elseif kind == "console" then
      local commands = {}
      for line, output in ("\n" .. body):gsub("\n%$ ", "\n\0"):gmatch("%z([^\n]*)\n([^%z]*)") do
        commands[#commands + 1] = {line, output}
      end
      blocks[#blocks + 1] = {commands = commands}
    end
  end
  return blocks
end

-- A folder where `corun` and its scripts are installed.
local function install(dir)
  assert(fs.mkdir(dir .. "/bin"))
  assert(fs.symlink(program.path, dir .. "/bin/corun"))
  assert(fs.mkdir(dir .. "/share/corun", {parents = true}))
  assert(fs.symlink(assert(fs.realpath("scripts")), dir .. "/share/corun/scripts"))
end

-- Wait until somebody listens.
local function wait_for(port)
  local give_up = corun.now() + 20
  repeat
    local stream <close> = net.connect("127.0.0.1:" .. port)
    assert(stream or corun.now() < give_up, "nobody listens")
    if not stream then corun.sleep(0.01) end
  until stream
end

-- Follow the chapter in the file; how many commands it has. A command of the set `servers` runs
-- until the next of them, unless that is marked as "beside"; it says one line, or none when it
-- listens. `steady` takes from a text what differs each time. `prepare` is given the folder before,
-- and gives what the environment has beside.
function guide.follow(path, servers, steady, prepare)
  local installed <close> = assert(fs.temp{dir = true})
  local empty <close> = assert(fs.temp{dir = true})
  local dir, port = empty:path(), free_port()
  install(installed:path())
  local path_of_all = ("%s/bin:%s:/usr/sbin"):format(installed:path(), os.getenv("PATH"))
  local env = prepare and prepare(dir) or {}
  env.PATH, env.LC_ALL = path_of_all, "C"
  local function type_in(line)
    line = line:gsub("/usr/local/share", installed:path() .. "/share"):gsub(PORT, port)
    return {"sh", "-c", line, cwd = dir, env = env, stderr = "stdout"}
  end
  local running = {}
  local function stop()
    while running[1] do table.remove(running):close() end
  end
  local _ <close> = corun.defer(stop)
  local count = 0
  for _, block in ipairs(blocks_of(assert(fs.read(path)))) do
    if block.name then
      assert(fs.write(dir .. "/" .. block.name, (block.text:gsub(PORT, port))))
    end
    for _, command in ipairs(block.commands or {}) do
      local line, output = command[1], command[2]
      count = count + 1
      if servers[line] then
        if servers[line] ~= "beside" then stop() end
        local server = assert(process.spawn(type_in("exec " .. line)))
        running[#running + 1] = server
        if output == "" then
          wait_for(port)
        else
          assert.equal(output, (server.stdout:read("L"):gsub(port, PORT)))
        end
      else
        local r = assert(process.run(type_in(line)))
        assert.equal(steady(output), steady((r.stdout:gsub(port, PORT))), line)
      end
    end
  end
  return count
end

return guide

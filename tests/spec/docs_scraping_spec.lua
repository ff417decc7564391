-- SPDX-License-Identifier: MIT
-- docs/guide-scraping.md is followed word by word: in an empty folder its programs are written, and
-- its commands typed, one after the other; they print what it says. Only the port is another.

local corun = require "corun"
local process = require "corun.process"
local program = dofile("tests/fixtures/cli/program.lua")

local fs, net = corun.fs, corun.net

local PORT = "8321"

local function free_port()
  local l <close> = assert(net.listen("127.0.0.1:0"))
  return l:address():match("%d+$")
end

-- The text without the lines of progress before the last one, which a slow machine has.
local function last_progress(text)
  local lines = {}
  for line in text:gmatch("[^\n]*\n") do
    local label, before = line:match("^(%a+: )%d.*/s, "), lines[#lines]
    local again = label and before and before:sub(1, #label) == label
    lines[again and #lines or #lines + 1] = line
  end
  return table.concat(lines)
end

-- What is another in each run: times, rates, sizes, and where a run was killed.
local function steady(text)
  text = last_progress(text)
  for _, unit in ipairs{"/s", " m?s%f[%W]", " [kM]?B%f[%W]"} do
    text = text:gsub("[%d.]+(" .. unit .. ")", "N%1")
  end
  return (text:gsub("begins with %S+", "begins"):gsub("%d:%d%d", "N:NN"):gsub("Killed *\n", ""))
end

-- The blocks in order: {name =, text =} for a program, {commands = {{line, output}, ...}}.
local function blocks_of(text)
  local blocks = {}
  for kind, body in text:gmatch("\n```(%w[^\n]*)\n(.-\n)```\n") do
    local name = kind:match("^lua (%S+)$")
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

describe("docs/guide-scraping.md", function()
  it("can be followed word by word #heavy", function()
    local installed <close> = assert(fs.temp{dir = true})
    local empty <close> = assert(fs.temp{dir = true})
    local dir, port = empty:path(), free_port()
    install(installed:path())
    local env = {PATH = installed:path() .. "/bin:" .. os.getenv("PATH"), LC_ALL = "C"}
    local function type_in(line)
      line = line:gsub("/usr/local/share", installed:path() .. "/share"):gsub(PORT, port)
      return {"sh", "-c", line, cwd = dir, env = env, stderr = "stdout"}
    end
    local api
    local _ <close> = corun.defer(function() if api then api:close() end end)
    local count = 0
    for _, block in ipairs(blocks_of(assert(fs.read("docs/guide-scraping.md")))) do
      if block.name then
        assert(fs.write(dir .. "/" .. block.name, (block.text:gsub(PORT, port))))
      end
      for _, command in ipairs(block.commands or {}) do
        local line, output = command[1], command[2]
        count = count + 1
        if line == "corun api.lua" then
          api = assert(process.spawn(type_in("exec " .. line)))
          assert.equal(output, (api.stdout:read("L"):gsub(port, PORT)))
        else
          local r = assert(process.run(type_in(line)))
          assert.equal(steady(output), steady((r.stdout:gsub(port, PORT))), line)
        end
      end
    end
    assert(count > 15, count)
  end)
end)

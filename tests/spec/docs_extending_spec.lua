-- SPDX-License-Identifier: MIT
-- The tutorials for extensions and for embedding are true word by word: in an empty folder their
-- files are written and their commands typed, with an installed corun. The files are those of
-- examples/ext-hello and examples/embed-hello.
local corun = require "corun"
local process = require "corun.process"
local fs = corun.fs

local installed = dofile("tests/spec/support/installed.lua")
local program = dofile("tests/fixtures/cli/program.lua")

-- The files and commands of the tutorial. A file that comes in parts is put together.
local function blocks_of(text)
  local files, commands = {}, {}
  for kind, body in text:gmatch("\n```(%w[^\n]*)\n(.-\n)```\n") do
    local name = kind:match("^%w+ (%S+)$")
    if name then
      files[name] = files[name] and files[name] .. "\n" .. body or body
    elseif kind == "console" then
      for line, output in ("\n" .. body):gsub("\n%$ ", "\n\0"):gmatch("%z([^\n]*)\n([^%z]*)") do
        commands[#commands + 1] = {line, output}
      end
    end
  end
  return files, commands
end

local function run(argv)
  argv.stderr = "stdout"
  local r = assert(process.run(argv))
  assert.equal(0, r.code, r.stdout)
  return r.stdout
end

-- A module without a sanitizer does not load into a program with one.
if program.is_sanitized() then return end

local function follow(path, example, counts)
  local text = assert(fs.read(path))
  local files, commands = blocks_of(text)

  it("has the files of the example", function()
    local seen = 0
    for name, body in pairs(files) do
      assert.equal(assert(fs.read(example .. "/" .. name)), body)
      seen = seen + 1
    end
    assert.equal(counts.files, seen)
  end)

  it("is true word by word, with an installed corun #heavy", function()
    local _ <close>, prefix = installed.new()
    local empty <close> = assert(fs.temp{dir = true})
    local dir = empty:path()
    for name, body in pairs(files) do assert(fs.write(dir .. "/" .. name, body)) end
    local env = installed.environment(prefix)
    for _, command in ipairs(commands) do
      assert.equal(command[2], run{"sh", "-c", command[1], cwd = dir, env = env})
    end
    assert.equal(counts.commands, #commands)
  end)
end

describe("docs/extending.md", function()
  follow("docs/extending.md", "examples/ext-hello", {files = 4, commands = 4})
end)

describe("docs/embedding.md", function()
  follow("docs/embedding.md", "examples/embed-hello", {files = 4, commands = 4})
end)

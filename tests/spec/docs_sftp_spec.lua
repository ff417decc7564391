-- SPDX-License-Identifier: MIT
-- docs/sftp.md shows what really happens: its code is run against a server of OpenSSH, in a folder
-- with the files that it speaks of, and prints what it says.
local fs = require "corun.fs"
local process = require "corun.process"
local files = dofile("tests/spec/support/files.lua")
local program = dofile("tests/fixtures/cli/program.lua")
local sshd = dofile("tests/spec/support/sshd.lua")

local has_module, sftp = pcall(require, "corun.sftp")
if not has_module or not sshd.is_there() then
  describe("docs/sftp.md", function()
    it("is true", function()
      return pending("corun.sftp is not built, or sshd is not installed")
    end)
  end)
  return
end

describe("docs/sftp.md", function()
  local text = assert(fs.read("docs/sftp.md"))
  local d, s

  setup(function()
    d = sshd.folder()
    assert(fs.mkdir(d.home .. "/reports"))
    files.put(d.home .. "/reports/april.csv", "1,2,3\n\n")
    files.put(d.home .. "/reports/may.csv", "1,2,3,4,5\n\n")
    files.put(d.home .. "/log.txt", "fine\nan error\n")
    assert(fs.mkdir(d.path .. "/user/.ssh", {parents = true}))
    assert(fs.mkdir(d.path .. "/user/reports"))
    assert(fs.mkdir(d.path .. "/user/keys"))
    assert(fs.copy(d.key, d.path .. "/user/.ssh/id_ed25519"))
    s = sshd.serve(d, {sftp = "internal-sftp -d " .. d.home})
    assert(fs.copy(d.known_hosts, d.path .. "/user/.ssh/known_hosts"))
  end)
  teardown(function()
    s.server:close()
    d.dir:close()
  end)

  -- What the page says, for the server of the test.
  local function here(said)
    local name = ("[127.0.0.1]:%d "):format(s.port)
    return (said:gsub("joe@files%.example%.org", s.user .. "@" .. s.address)
      :gsub("files%.example%.org:22", s.address):gsub("files%.example%.org ", name)
      :gsub("user joe", "user " .. s.user))
  end

  it("has code that prints what follows it", function()
    local code, want = {}, {}
    for block, follows in text:gmatch("\n```lua\n(.-)```()") do
      code[#code + 1] = here(block)
      want[#want + 1] = here(text:match("^\n\n```text\n(.-)```\n", follows) or "an error\n")
    end
    assert.equal(3, #code)
    files.put(d.path .. "/page.lua", table.concat(code))
    local o = {cwd = d.path .. "/user", stderr = "stdout",
      env = {HOME = d.path .. "/user", SSH_AUTH_SOCK = false}}
    local r = assert(process.run({program.path, d.path .. "/page.lua"}, o))
    local lines, expected = {}, {}
    for line in r.stdout:gmatch("[^\n]+") do lines[#lines + 1] = line end
    for line in table.concat(want):gmatch("[^\n]+") do expected[#expected + 1] = line end
    table.sort(lines) -- many files come in any order
    table.sort(expected)
    assert.same(expected, lines)
    assert.equal("1,2,3,4,5\n\n", files.get(d.path .. "/user/may.csv"))
    assert.equal("1,2,3\n\n", files.get(d.path .. "/user/reports/april.csv"))
  end)

  -- The message that begins so, in the page, with the keys of the page in the place of the test's.
  local function assert_said(begin, err, keys)
    local said = here(text:match("\n```text\n(connect [^\n]*" .. begin .. "[^\n]*)\n```\n"))
    local got = tostring(err)
    for from, to in pairs(keys) do got = got:gsub(from, to) end
    said = said:gsub("SHA256:[%w+/]+", "SHA256:X"):gsub("AAAA[%w+/]+", "KEY")
    got = got:gsub("SHA256:[%w+/]+", "SHA256:X"):gsub("AAAA[%w+/]+", "KEY")
    assert.equal(said, got)
  end

  it("shows errors as they are", function()
    local old = sshd.keygen(d.path .. "/user/keys/old")
    local _, err = sftp.connect(s.address, sshd.options(d, s, {key = old}))
    assert_said("refused", err, {[(old:gsub("%p", "%%%0"))] = "keys/old"})
    files.put(d.known_hosts, "")
    _, err = sftp.connect(s.address, sshd.options(d, s))
    assert_said("not known", err, {[(d.known_hosts:gsub("%p", "%%%0"))] = "known_hosts"})
  end)
end)

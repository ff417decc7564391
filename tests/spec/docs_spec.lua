-- SPDX-License-Identifier: MIT
-- The documentation tells the truth: each program in README.md and the guides that is followed by
-- its output is run, and prints just that; what docs/guide.md types at a shell is typed.
local guide = dofile("tests/spec/support/guide.lua")

local corun = os.getenv("CORUN") or "/proc/self/exe"
if corun == "/proc/self/exe" then
  local p = io.popen("readlink /proc/" .. io.open("/proc/self/stat"):read("n") .. "/exe")
  corun = p:read("l")
  p:close()
end

local function read_file(path)
  local f = assert(io.open(path))
  local text = f:read("a")
  f:close()
  return text
end

-- Run a program in an empty folder; if it needs certificates they are made there, and what its
-- server tells of clients that refuse them is left out.
local function run(name, code, certify)
  local dir = os.tmpname()
  os.remove(dir)
  assert(os.execute("mkdir " .. dir))
  if certify then assert(os.execute(("cd %s && %s 2>/dev/null"):format(dir, certify))) end
  local f = assert(io.open(dir .. "/" .. name, "w"))
  f:write(code)
  f:close()
  local p = assert(io.popen(("cd %s && env -u CORUN_SEED %s %s 2>%s"):format(dir, corun, name,
    certify and "/dev/null" or "&1")))
  local output = p:read("a")
  p:close()
  os.execute("rm -r " .. dir)
  return output
end

-- The programs of a text that are followed by their output: {name, code, output}.
local function programs_of(text)
  local list, last = {}, nil
  for kind, body in text:gmatch("\n```([^\n]*)\n(.-)```") do
    local name = kind:match("^lua (%S+)$")
    if kind == "output" and last then list[#list + 1] = {last[1], last[2], body} end
    last = name and {name, body}
  end
  return list
end

for _, path in ipairs {"README.md", "docs/guide.md", "docs/guide-parallel.md"} do
  describe(path, function()
    local text = read_file(path)
    local programs = programs_of(text)
    local certify = (text:match("The certificate: `(.-)`") or ""):gsub("\n", " ")
    for _, one in ipairs(programs) do
      local name, code, output = table.unpack(one)
      it("prints what it says: " .. name, function()
        local needs_certificate = code:find("cert.pem", 1, true)
        assert.equal(output, run(name, code, needs_certificate and assert(certify)))
      end)
    end
    it("has programs with their output", function()
      assert.is_true(#programs > 0)
    end)
  end)
end

describe("docs/guide.md", function()
  it("shows what the shell says", function()
    local function steady(text)
      return (text:gsub("%d+%-%d+%-%d+[T ]%d+:%d+:%d+%.%d+", "TIME"):gsub("%d+%.?%d*/s", "RATE"))
    end
    assert.equal(3, guide.follow("docs/guide.md", {}, steady))
  end)
end)

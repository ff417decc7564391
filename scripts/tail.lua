-- SPDX-License-Identifier: MIT
-- The end of a file, and with -f what is added to it, as tail(1) does. A log that is rotated or cut
-- is read on from the new beginning.
local corun = require "corun"
local fs = corun.fs

local opt = corun.args{
  lines = {10, min = 0, short = "n"}, follow = {false, short = "f"}, "FILE",
  help = {"Print the last lines of a file.", lines = "how many", follow = "go on when it grows",
    FILE = "the file"},
}

local BLOCK = 65536

-- The result of a call; its error ends the program.
local function must(value, err)
  if value ~= nil then return value end
  io.stderr:write("tail.lua: ", tostring(err), "\n")
  corun.exit(1)
end

local function show(text)
  if text and text ~= "" then
    io.write(text)
    io.flush()
  end
end

-- Go back to where the last `n` lines begin. A newline at the very end ends the last one.
local function seek_lines(file, n)
  local size = must(file:seek("end"))
  local at = size
  while at > 0 do
    local from = math.max(0, at - BLOCK)
    must(file:seek("set", from))
    local block = must(file:read(at - from))
    for i = #block, 1, -1 do
      if block:byte(i) == 10 and from + i < size then
        n = n - 1
        if n <= 0 then return must(file:seek("set", from + i)) end
      end
    end
    at = from
  end
  must(file:seek("set"))
end

local file = must(fs.open(opt.file))
local watch <close> = opt.follow and must(fs.watch(opt.file)) or nil
if opt.lines > 0 then seek_lines(file, opt.lines) else must(file:seek("end")) end
show(must(file:read("a")))

while watch and watch:recv() do
  show(must(file:read("a"))) -- what was added before it was rotated
  local now = fs.stat(opt.file)
  local fresh = now and now.ino ~= must(file:stat()).ino and fs.open(opt.file)
  if fresh then
    file:close()
    file = fresh
    show(must(file:read("a")))
  elseif now and now.size < must(file:seek()) then
    must(file:seek("set"))
    show(must(file:read("a")))
  end
end

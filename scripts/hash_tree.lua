-- SPDX-License-Identifier: MIT
-- The digests of all files of a tree, on all cores, in the lines of sha256sum(1), which can check
-- them. With --how=threads the same without workers: tasks wait for threads that hash.
local corun = require "corun"
local codec, fs = corun.codec, corun.fs

local opt = corun.args{
  algorithm = {"sha256", short = "a", choices = {"md5", "sha1", "sha256", "sha384", "sha512"}},
  how = {"workers", choices = {"workers", "threads"}}, quiet = {false, short = "q"},
  workers = {type = "integer", min = 1, short = "j"}, "[DIR]",
  help = {"Print the digest of each file of a tree.", DIR = "where it begins (default: .)",
    algorithm = "the kind of digest", how = "who hashes", workers = "cores to use (default: all)",
    quiet = "no progress, no summary"},
}

local failed = false
local function complain(why)
  io.stderr:write(("hash_tree.lua: %s\n"):format(why))
  failed = true
end

local function list(dir)
  local paths = {}
  for path, kind, err in fs.walk(dir) do
    if err then complain(err) end
    if kind == "file" then paths[#paths + 1] = path end
  end
  return paths
end

-- The digest of a file and its size, or what is wrong with it. It waits for the disk without
-- letting anybody else run, as is good in a worker: there is nobody else.
local algorithm = opt.algorithm
local function hash(path)
  local file <close>, err = io.open(path, "rb")
  if not file then return {fault = err} end
  local h, size = require("corun.codec").hash(algorithm), 0
  repeat
    local block
    block, err = file:read(1 << 18)
    if err then return {fault = ("%s: %s"):format(path, err)} end
    size = size + #(block or "")
    h:update(block or "")
  until not block
  return {hex = h:hex(), size = size}
end

-- The same in this program, by threads.
local function hash_on_thread(path)
  local hex, err = codec.hash_file(path, algorithm)
  if not hex then return {fault = tostring(err)} end
  return {hex = hex, size = assert(fs.stat(path)).size}
end

-- Names with a newline or a backslash are written as sha256sum does.
local function line_of(hex, path)
  local escaped, n = path:gsub("[\\\n\r]", {["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r"})
  return ("%s%s  %s\n"):format(n > 0 and "\\" or "", hex, escaped)
end

local start = corun.now()
local ok, paths = pcall(list, opt.dir or ".")
if not ok then
  complain(paths)
  corun.exit(1)
end
local pool <close> = corun.pool.new{name = "hash_tree", size = opt.workers}
local todo = corun.progress(paths, {label = "files", quiet = opt.quiet})
local results
if opt.how == "workers" then
  results = pool:map(todo, hash)
else
  results = corun.map(todo, hash_on_thread, {limit = opt.workers})
end

local bytes = 0
for i, path in ipairs(paths) do
  local r = results[i]
  if r.fault then
    complain(r.fault)
  else
    io.stdout:write(line_of(r.hex, path))
    bytes = bytes + r.size
  end
end
if not opt.quiet then
  local seconds = corun.now() - start
  io.stderr:write(("%d files, %.1f MB, %.2f s, %.0f MB/s\n"):format(#paths, bytes / 1e6, seconds,
    bytes / 1e6 / seconds))
end
if failed then corun.exit(1) end

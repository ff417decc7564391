-- SPDX-License-Identifier: MIT
-- Count words on all cores, by map and reduce: files are cut into parts, workers count the words of
-- a part each, and their counts are added up here as they come.
local corun = require "corun"
local fs = corun.fs

local opt = corun.args{
  top = {10, min = 0, short = "n"}, part = {4 << 20, min = 1, value = "BYTES"},
  workers = {type = "integer", min = 1, short = "j"}, quiet = {false, short = "q"}, "FILE...",
  help = {"Count the words of files.", FILE = "a file, or a pattern such as 'docs/**/*.md'",
    top = "words to print, the most frequent first", part = "what one job reads",
    workers = "cores to use (default: all)", quiet = "no progress, no summary"},
}

local failed = false
local function complain(why)
  io.stderr:write(("wordcount.lua: %s\n"):format(why))
  failed = true
end

-- The files that an argument stands for.
local function expand(name)
  if fs.exists(name) or not name:find("[*?%[{]") then return {name} end
  local found, err = fs.glob(name)
  if not found then
    complain(err)
  elseif #found == 0 then
    complain(("no file fits %s"):format(name))
  end
  return found or {}
end

-- The parts of all files: {path, where it begins, where it ends}.
local function cut(names)
  local parts, files, bytes = {}, 0, 0
  for _, name in ipairs(names) do
    for _, path in ipairs(expand(name)) do
      local s, err = fs.stat(path)
      if not s then
        complain(err)
      elseif s.kind == "file" or path == name then -- a pattern may fit directories, too
        files, bytes = files + 1, bytes + s.size
        for from = 0, math.max(0, s.size - 1), opt.part do
          parts[#parts + 1] = {path, from, math.min(from + opt.part, s.size)}
        end
      end
    end
  end
  return parts, files, bytes
end

local LETTERS = "[%a\128-\255]+" -- bytes above 127 are letters of some alphabet, in UTF-8

local function rest_of_word(file)
  local pieces = {}
  repeat
    local block = file:read(256) or ""
    pieces[#pieces + 1] = block:match("^" .. LETTERS)
  until block == "" or pieces[#pieces] ~= block
  return table.concat(pieces)
end

-- Count the words that begin in a part. Runs in a worker, which may wait for the disk: other
-- workers go on.
local function count_words(part)
  local path, from, to = table.unpack(part)
  local file <close>, err = io.open(path, "rb")
  if not file then return nil, err end
  file:seek("set", math.max(0, from - 1)) -- one byte more tells whether a word has begun before
  local text
  text, err = file:read(to - math.max(0, from - 1))
  if err then return nil, ("%s: %s"):format(path, err) end
  text = text or ""
  if from > 0 then text = text:gsub("^" .. LETTERS, "") end
  if text:find("[%a\128-\255]$") then text = text .. rest_of_word(file) end
  local counts = {}
  for word in text:gmatch(LETTERS) do
    word = word:lower()
    counts[word] = (counts[word] or 0) + 1
  end
  return counts
end

local start = corun.now()
local parts, files, bytes = cut(opt.file)
local pool <close> = corun.pool.new{name = "wordcount", size = opt.workers}
local totals, words, all = {}, {}, 0
local results = pool:each(parts, count_words)
for _, counts, err in corun.progress(results, {total = #parts, label = "parts",
    quiet = opt.quiet}) do
  if not counts then complain(err) end
  for word, n in pairs(counts or {}) do
    if not totals[word] then words[#words + 1] = word end
    totals[word] = (totals[word] or 0) + n
    all = all + n
  end
end

table.sort(words, function(a, b)
  if totals[a] ~= totals[b] then return totals[a] > totals[b] end
  return a < b
end)
for i = 1, math.min(opt.top, #words) do print(("%7d  %s"):format(totals[words[i]], words[i])) end
if not opt.quiet then
  local seconds = corun.now() - start
  print(("%d words, %d different; %d files, %.1f MB, %.2f s")
    :format(all, #words, files, bytes / 1e6, seconds))
end
if failed then corun.exit(1) end

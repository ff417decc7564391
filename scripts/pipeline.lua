-- SPDX-License-Identifier: MIT
-- A pipeline of channels: one task reads lines, some split them into words, one counts the words.
-- A channel holds few items, so that a fast stage waits for a slow one.
local corun = require "corun"

local opt = corun.args{
  workers = {3, min = 1}, top = {5, min = 1}, "[FILE]",
  help = {"Count the words of a file.", workers = "tasks that split lines",
    top = "words to print", FILE = "what to read (default: this script)"},
}

-- Run `n` tasks that receive from `source` and send; the channel they send to ends when they have.
local function stage(s, n, source, fn)
  local out = corun.channel(8)
  s:spawn(function()
    corun.scope(function(workers)
      for _ = 1, n do
        workers:spawn(function()
          for item in source do fn(item, out) end
        end)
      end
    end)
    out:close()
  end)
  return out
end

local function split(line, out)
  for word in line:gmatch("%a+") do out:send(word:lower()) end
end

corun.scope(function(s)
  local lines = corun.channel(8)
  s:spawn(function()
    for line in io.lines(opt.file or arg[0]) do lines:send(line) end
    lines:close()
  end)

  local counts, words = {}, {}
  for word in stage(s, opt.workers, lines, split) do
    if not counts[word] then words[#words + 1] = word end
    counts[word] = (counts[word] or 0) + 1
  end

  table.sort(words, function(a, b)
    if counts[a] ~= counts[b] then return counts[a] > counts[b] end
    return a < b
  end)
  for i = 1, math.min(opt.top, #words) do print(("%5d  %s"):format(counts[words[i]], words[i])) end
end)

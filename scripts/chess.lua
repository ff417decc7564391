-- SPDX-License-Identifier: MIT
-- A simultaneous exhibition: one master, 24 boards. She needs 5 seconds for a move, an opponent 55.
-- While one opponent thinks she plays on the other boards. A second passes in a millisecond here.
local corun = require "corun"

local opt = corun.args{
  boards = {24, min = 1}, moves = {30, min = 1}, speed = {1000.0, min = 1},
  help = {"Play a simultaneous exhibition.", boards = "opponents", moves = "moves in each game",
    speed = "times faster than real chess"},
}
local MASTER, OPPONENT = 5 / opt.speed, 55 / opt.speed

local master = corun.mutex() -- there is only one of her

local function play()
  for _ = 1, opt.moves do
    do
      local _ <close> = master:acquire()
      corun.sleep(MASTER)
    end
    corun.sleep(OPPONENT)
  end
end

local function time(fn)
  local start = corun.now()
  fn()
  return corun.now() - start
end

local function report(how, seconds)
  print(("%-22s %6.1f s here, %4.1f h of chess")
    :format(how, seconds, seconds * opt.speed / 3600))
end

local one = time(play)
report("one board", one)
report(("%d, one by one"):format(opt.boards), one * opt.boards)
report(("%d, at once"):format(opt.boards), time(function()
  corun.scope(function(s)
    for _ = 1, opt.boards do s:spawn(play) end
  end)
end))

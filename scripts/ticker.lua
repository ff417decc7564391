-- SPDX-License-Identifier: MIT
-- A ticker that keeps time: a tick that takes too long does not move the later ones, it makes the
-- ticker skip those that were missed. Another task works meanwhile.
local corun = require "corun"

local opt = corun.args{
  period = {0.2, min = 0.01}, ticks = {8, min = 1},
  help = {"Tick.", period = "seconds between two ticks", ticks = "stop after this one"},
}

local start = corun.now()
local function say(text) print(("%.1f s  %s"):format(corun.now() - start, text)) end

corun.spawn(function()
  corun.sleep(2.5 * opt.period)
  say("the other task is done")
end)

for tick in corun.every(opt.period) do
  say(("tick %d"):format(tick))
  if tick >= opt.ticks then break end
  if tick == 4 then
    corun.sleep(2.5 * opt.period)
    say("that took long")
  end
end

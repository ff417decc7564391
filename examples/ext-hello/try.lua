-- SPDX-License-Identifier: MIT
local corun, hello = require "corun", require "hello"

corun.spawn(function()
  hello.alarm(1)
  print(hello.shout("a second later"))
end)
io.write(hello.shout("meanwhile: "), assert(hello.line()))

-- SPDX-License-Identifier: MIT
-- corun.tty: the terminal that the program was started from. Embedded, loaded at first use. Prompts
-- take turns; what is typed is read from standard input when that is a terminal, else from the
-- terminal itself as getpass(3) does, and from standard input when there is no terminal at all.
local core = require "corun.ttycore"
local options = require "corun.options"
local stdio = require "corun.stdio"
local sync = require "corun.sync"

local tty = {is = core.is, size = core.size}

local turn = sync.mutex()
local own -- the stream of /dev/tty, once it was needed

-- The stream of the terminal; nil, err when there is none.
local function terminal()
  if core.is("stdin") then return stdio.open("stdin") end
  if own then return own end
  local stream, err = core.terminal()
  own = stream
  return stream, err
end

-- Show `text` where the one who types sees it.
local function show(stream, text)
  if stream and core.put(stream, text) then return true end
  local instead, err = stdio.open("stderr")
  if not instead then return nil, err end
  core.put(instead, text)
  return true
end

-- The bars of corun.progress are out of the way while somebody types.
local function call_bars(name)
  local call = rawget(stdio, name)
  if call then call() end
end

local resting = setmetatable({}, {__close = function() call_bars("resume") end})

local function ask(op, text, is_hidden)
  if text ~= nil and type(text) ~= "string" then
    options.misuse(("%s takes a text, got %s"):format(op, type(text)), 3)
  end
  local _ <close> = turn:acquire()
  local stream = terminal()
  local from, err = stream, nil
  if not from then from, err = stdio.open("stdin") end
  if not from then return nil, err end
  local mode <close> = stream and is_hidden and assert(core.change("hidden", stream)) or nil
  local _ <close> = resting
  call_bars("pause")
  if text then
    local shown, why = show(stream, text)
    if not shown then return nil, why end
  end
  local line
  line, err = from:read("l")
  if mode then show(stream, "\n") end -- the user's own was not shown
  if line == nil and err then return nil, err end
  return line -- nil alone at the end
end

---Ask for a line.
function tty.prompt(text)
  return ask("prompt", text, false)
end

---Ask for a line that is not shown.
function tty.hidden(text)
  return ask("hidden", text, true)
end

---Give each key at once, unseen, until the guard is closed.
function tty.raw()
  local stream, err = stdio.open("stdin")
  if not stream then return nil, err end
  return core.change("raw", stream)
end

return tty

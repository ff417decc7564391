-- SPDX-License-Identifier: MIT
-- Decodes one JSON document again and again. Runs in corun (MODULE corun.json or cjson) and in
-- plain lua5.4 (cjson). Usage: decode.lua MODULE FILE N WARM
local json = require(arg[1])

local file = assert(io.open(arg[2], "rb"))
local text = file:read("a")
file:close()

local function run(n)
  local decode = json.decode
  for _ = 1, n do
    assert(decode(text))
  end
end

local function mark(word)
  io.stdout:write(word, "\n")
  io.stdout:flush()
end

run(tonumber(arg[4]))
mark("begin")
run(tonumber(arg[3]))
mark("end")

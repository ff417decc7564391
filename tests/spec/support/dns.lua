-- SPDX-License-Identifier: MIT
-- For specs: a script in a corun of its own that asks a name server of ours
-- (tests/fixtures/net/dns_server.py, which says what names it knows).
local program = dofile("tests/fixtures/cli/program.lua")

local dns = {}

local LINE = [[
dir=$(mktemp -d) && cd "$dir" && mkfifo in && { python3 "$SERVER" <in >queries & exec 9>in
until [ -s queries ]; do sleep 0.02; done
CORUN_DNS=127.0.0.1:$(head -n 1 queries) "$CORUN" --timeout=60 - <&3
status=$?; exec 9>&-; wait
echo ==; tail -n +2 queries; cd / && rm -r "$dir"; exit $status; } 3<&0]]

---Run the code; `corun` and `net` are there.
---@param code string
---@param env string? variables for the program, "A=1"
---@return string out what it printed
---@return string[] queries "NAME TYPE", as they came
---@return table result err, status
function dns.run(code, env)
  local pwd <close> = assert(io.popen("pwd"))
  local r = program.sh(LINE, {
    stdin = "local corun, net = require 'corun', require 'corun.net'\n" .. code,
    env = ("SERVER=%s/tests/fixtures/net/dns_server.py %s"):format(pwd:read("l"), env or ""),
  })
  local out, log = r.out:match("^(.-)==\n(.*)$")
  local queries = {}
  for line in (log or ""):gmatch("[^\n]+") do queries[#queries + 1] = line end
  return out or r.out, queries, r
end

return dns

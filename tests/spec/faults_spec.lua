-- SPDX-License-Identifier: MIT
-- Faults of the system's calls: short reads and writes, EINTR, EAGAIN at any time. The traffic runs
-- in children with tests/ext/short_calls.c preloaded.
local program = dofile("tests/fixtures/cli/program.lua")

local library = program.path:gsub("[^/]*$", "ext/short_calls.so")
local EXPECTED = "echo\t65116 65116 65116 65116 65116 65116\n"
  .. "http\t0 1 10 1000 70000 3 300 30000\n"

describe("faults of sockets", function()
  for seed = 1, 8 do
    it(("S19 S41 lose, double or reorder no byte, seed %d"):format(seed), function()
      local env = ("ASAN_OPTIONS=verify_asan_link_order=0 LD_PRELOAD=%s FAULT_SEED=%d")
        :format(library, seed)
      local r = program.run({"--timeout=60", "tests/fixtures/faults/traffic.lua"}, {env = env})
      assert.equal("", r.err)
      assert.equal(EXPECTED, r.out)
      assert.equal(0, r.status)
    end)
  end
end)

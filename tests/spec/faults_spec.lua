-- SPDX-License-Identifier: MIT
-- Faults of the system's calls: short reads and writes, EINTR, EAGAIN at any time. The traffic runs
-- in children with tests/ext/short_calls.c preloaded.
local program = dofile("tests/fixtures/cli/program.lua")

local EXPECTED = "echo\t65116 65116 65116 65116 65116 65116\n"
  .. "http\t0 1 10 1000 70000 3 300 30000\n"

describe("faults of sockets", function()
  for seed = 1, 8 do
    it(("S19 S41 lose, double or reorder no byte, seed %d"):format(seed), function()
      local r = program.run({"--timeout=60", "tests/fixtures/faults/traffic.lua"},
        {env = program.faults(seed)})
      assert.equal("", r.err)
      assert.equal(EXPECTED, r.out)
      assert.equal(0, r.status)
    end)
  end
end)

describe("faults of standard streams", function()
  local text = {}
  for i = 1, 30000 do text[i] = i end
  text = table.concat(text, "\n") -- 168 KB

  local KINDS = {
    pipes = "cat $IN | $RUN | cat",
    files = "$RUN <$IN",
    sockets = [=[python3 -c '
import os, socket, subprocess, sys, threading
(a, b), (c, d) = socket.socketpair(), socket.socketpair()
p = subprocess.Popen(["sh", "-c", "exec " + os.environ["RUN"]], stdin=b, stdout=c)
b.close(), c.close()
def feed():
    a.sendall(open(os.environ["IN"], "rb").read())
    a.close()
threading.Thread(target=feed).start()
while (data := d.recv(65536)): sys.stdout.buffer.write(data)
p.wait()']=],
  }
  for name, line in pairs(KINDS) do
    it("S19 lose, double or reorder no byte of " .. name, function()
      if name == "sockets" and not os.execute("python3 -c '' 2>/dev/null") then
        return pending("python3 is not installed")
      end
      local path = os.tmpname()
      local file <close> = assert(io.open(path, "w"))
      file:write(text)
      file:close()
      for seed = 1, 4 do
        local r = program.sh(([[export IN=%s RUN="env %s $CORUN tests/fixtures/faults/copy.lua"
          %s]]):format(path, program.faults(seed), line))
        assert.equal("", r.err)
        assert.is_true(r.out == text, #r.out)
      end
      os.remove(path)
    end)
  end
end)

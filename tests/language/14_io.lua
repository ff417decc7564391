-- SPDX-License-Identifier: MIT
-- Language spec: files of the io library.

local h = ...
local check, chunk = h.check, h.chunk

-- Calls fn with the name of a temporary file that holds `text`, and removes the file.
local function with_file(text, fn)
  local name = os.tmpname()
  local f = assert(io.open(name, "wb"))
  f:write(text)
  f:close()
  local results = table.pack(pcall(fn, name))
  os.remove(name)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

local function content(name)
  local f <close> = assert(io.open(name, "rb"))
  return f:read("a")
end

check("write and read back", function()
  return with_file("", function(name)
    local f = io.open(name, "w")
    local same = f:write("a", 1, 2.5, "\n") == f
    f:close()
    return same, content(name)
  end)
end, true, "a12.5\n")

check("append and update modes", function()
  return with_file("start", function(name)
    local a = io.open(name, "a")
    a:write("+")
    a:close()
    local u = io.open(name, "r+")
    u:write("S")
    u:close()
    local first = content(name)
    io.open(name, "w+"):close()
    return first, content(name)
  end)
end, "Start+", "")

check("read formats", function()
  return with_file("line one\nline two\n\n12 0x1F 3.5 x", function(name)
    local f <close> = io.open(name)
    local one, two, empty = f:read("l", "L", "l")
    local a, b, c, d = f:read("n", "n", "n", "n")
    return one, two, empty, a, b, c, d
  end)
end, "line one", "line two\n", "", 12, 31, 3.5, nil)

check("read of counts", function()
  return with_file("abcdef", function(name)
    local f <close> = io.open(name)
    return f:read(2), f:read(0), f:read(100), f:read(0), f:read(1), f:read("a"), f:read("l")
  end)
end, "ab", "", "cdef", nil, nil, "", nil)

check("read without a format is a line", function()
  return with_file("one\ntwo", function(name)
    local f <close> = io.open(name)
    return f:read(), f:read(), f:read()
  end)
end, "one", "two", nil)

check("read stops at the first failure", function()
  return with_file("x\n", function(name)
    local f <close> = io.open(name)
    local r = table.pack(f:read("n", "l", "l"))
    return r.n, r[1]
  end)
end, 1, nil)

check("read accepts formats with a star", function()
  return with_file("1\nrest", function(name)
    local f <close> = io.open(name)
    return f:read("*n", "*l", "*a")
  end)
end, 1, "", "rest")

check("read with a bad format", function()
  return with_file("x", function(name)
    local f <close> = io.open(name)
    return pcall(chunk, "local f = ... return f:read('z')", f)
  end)
end, false, "chunk:1: bad argument #1 to 'read' (invalid format)")

check("numbers as text", function()
  return with_file("0x10 -5 1e2 +.5 0x.8p1 99999999999999999999 abc", function(name)
    local f <close> = io.open(name)
    local r = table.pack(f:read("n", "n", "n", "n", "n", "n", "n"))
    return table.unpack(r, 1, 7)
  end)
end, 16, -5, 100.0, 0.5, 1.0, 1e20, nil)

check("lines of a file handle", function()
  return with_file("a\nb\n\nc", function(name)
    local out = {}
    local f <close> = io.open(name)
    for line in f:lines() do out[#out + 1] = line end
    return out, io.type(f)
  end)
end, {"a", "b", "", "c"}, "file")

check("lines with formats", function()
  return with_file("1 x\n2 y\n", function(name)
    local out = {}
    for n, rest in io.lines(name, "n", "L") do out[#out + 1] = n .. rest end
    return out
  end)
end, {"1 x\n", "2 y\n"})

check("lines by count", function()
  return with_file("abcde", function(name)
    local out = {}
    for piece in io.lines(name, 2) do out[#out + 1] = piece end
    return out
  end)
end, {"ab", "cd", "e"})

check("io.lines gives four values and closes its file", function()
  return with_file("a\nb", function(name)
    local f, s, c, file = io.lines(name)
    local first = f()
    local kind = io.type(file)
    f()
    local last = f()
    return type(f), s, c, first, kind, last, io.type(file), (select(2, pcall(f)))
  end)
end, "function", nil, nil, "a", "file", nil, "closed file", "file is already closed")

check("break out of io.lines closes the file", function()
  return with_file("a\nb", function(name)
    local iterator, _, _, file = io.lines(name)
    for line in iterator, nil, nil, file do
      if line == "a" then break end
    end
    return io.type(file)
  end)
end, "closed file")

check("io.lines of no such file", function()
  local ok, m = pcall(chunk, "for l in io.lines('/no/such/file') do end")
  return ok, m:match("^chunk:1: "), m:match("/no/such/file"), m:match("No such file or directory")
end, false, "chunk:1: ", "/no/such/file", "No such file or directory")

check("open of no such file", function()
  return io.open("/no/such/file")
end, nil, "/no/such/file: No such file or directory", 2)

check("open of a folder for writing", function()
  return io.open("/", "w")
end, nil, "/: Is a directory", 21)

check("open with a bad mode", function()
  return pcall(io.open, "x", "rz")
end, false, "bad argument #2 to 'io.open' (invalid mode)")

check("reading from a folder", function()
  local f <close> = assert(io.open("/"))
  return f:read("a")
end, nil, "Is a directory", 21)

check("writing to a file opened for reading", function()
  return with_file("x", function(name)
    local f <close> = io.open(name)
    return f:write("y")
  end)
end, nil, "Bad file descriptor", 9)

check("seek", function()
  return with_file("0123456789", function(name)
    local f <close> = io.open(name)
    local size = f:seek("end")
    f:seek("set", 3)
    local three = f:read(1)
    f:seek("cur", 2)
    local six = f:read(1)
    return size, three, six, f:seek(), f:seek("end", -1), f:read("a")
  end)
end, 10, "3", "6", 7, 9, "9")

check("seek to nowhere", function()
  return with_file("x", function(name)
    local f <close> = io.open(name)
    return f:seek("set", -1)
  end)
end, nil, "Invalid argument", 22)

check("seek with bad arguments", function()
  return with_file("x", function(name)
    local f <close> = io.open(name)
    return pcall(chunk, "local f = ... return f:seek('middle')", f)
  end)
end, false, "chunk:1: bad argument #1 to 'seek' (invalid option 'middle')")

check("setvbuf and flush", function()
  return with_file("", function(name)
    local f <close> = io.open(name, "w")
    local a = f:setvbuf("full", 1024)
    f:write("kept")
    local before = content(name)
    local b = f:flush() ~= nil
    return a, before, b, content(name), f:setvbuf("no"), f:setvbuf("line")
  end)
end, true, "", true, "kept", true, true)

check("io.type", function()
  return with_file("", function(name)
    local f = io.open(name)
    local open = io.type(f)
    f:close()
    return open, io.type(f), io.type("x"), io.type(io.stdout)
  end)
end, "file", "closed file", nil, "file")

check("tostring of files", function()
  return with_file("", function(name)
    local f = io.open(name)
    local open = tostring(f):match("^file %(0x%x+%)$") ~= nil
    f:close()
    return open, tostring(f)
  end)
end, true, "file (closed)")

check("a closed file cannot be used", function()
  return with_file("", function(name)
    local f = io.open(name)
    f:close()
    return pcall(f.read, f)
  end)
end, false, "attempt to use a closed file")

check("a closed file cannot be closed again", function()
  return with_file("", function(name)
    local f = io.open(name)
    return f:close(), pcall(f.close, f)
  end)
end, true, false, "attempt to use a closed file")

check("a file in a close variable", function()
  return with_file("text", function(name)
    local kept
    do
      local f <close> = io.open(name)
      kept = f
    end
    return io.type(kept)
  end)
end, "closed file")

check("an unreferenced file is closed by the collector", function()
  return with_file("", function(name)
    do
      local f = io.open(name, "w")
      f:write("flushed")
    end
    collectgarbage()
    collectgarbage()
    return content(name)
  end)
end, "flushed")

check("io.input and io.read", function()
  return with_file("from input\n2", function(name)
    local before = io.input()
    io.input(name)
    local line, number = io.read("l", "n")
    local own = io.input()
    io.close(own)
    io.input(before)
    return line, number, io.type(own), io.input() == before
  end)
end, "from input", 2, "closed file", true)

check("io.output and io.write", function()
  return with_file("", function(name)
    local before = io.output()
    io.output(name)
    local own = io.output()
    local same = io.write("to ", "output") == own
    io.close()
    io.output(before)
    return same, content(name)
  end)
end, true, "to output")

check("reading from a closed default input", function()
  return with_file("", function(name)
    local before = io.input()
    io.input(name)
    io.close(io.input())
    local ok, m = pcall(io.read)
    io.input(before)
    return ok, m
  end)
end, false, "default input file is closed")

check("io.input of no such file", function()
  return pcall(chunk, "io.input('/no/such/file')")
end, false, "chunk:1: cannot open file '/no/such/file' (No such file or directory)")

check("io.tmpfile", function()
  local f <close> = io.tmpfile()
  f:write("temporary")
  f:seek("set")
  return f:read("a"), io.type(f)
end, "temporary", "file")

check("the standard files", function()
  return io.type(io.stdin), io.type(io.stdout), io.type(io.stderr), io.output() == io.stdout,
    io.input() == io.stdin
end, "file", "file", "file", true, true)

check("popen to read", function()
  local f = assert(io.popen("printf 'a\\nb\\n'"))
  local text = f:read("a")
  return text, f:close()
end, "a\nb\n", true, "exit", 0)

check("popen to write", function()
  return with_file("", function(name)
    local f = assert(io.popen("cat > '" .. name .. "'", "w"))
    f:write("piped")
    local a, b, c = f:close()
    return a, b, c, content(name)
  end)
end, true, "exit", 0, "piped")

check("popen and a failing command", function()
  return io.popen("exit 3"):close()
end, nil, "exit", 3)

check("popen and a killed command", function()
  return io.popen("kill -9 $$"):close()
end, nil, "signal", 9)

check("popen with a bad mode", function()
  return pcall(io.popen, "true", "x")
end, false, "bad argument #2 to 'io.popen' (invalid mode)")

check("bytes pass unchanged", function()
  local t = {}
  for i = 0, 255 do t[#t + 1] = string.char(i) end
  local all = table.concat(t)
  return with_file(all, function(name) return content(name) == all, #content(name) end)
end, true, 256)

check("a large file line by line", function()
  return with_file(("line of text\n"):rep(20000), function(name)
    local n, size = 0, 0
    for line in io.lines(name) do n, size = n + 1, size + #line end
    return n, size
  end)
end, 20000, 240000)

check("a very long line", function()
  return with_file(("x"):rep(300000) .. "\ny", function(name)
    local f <close> = io.open(name)
    return #f:read("l"), f:read("l")
  end)
end, 300000, "y")

check("too many arguments to io.lines", function()
  return with_file("x", function(name)
    local formats = {}
    for i = 1, 251 do formats[i] = "l" end
    return (select(2, pcall(io.lines, name, table.unpack(formats))))
  end)
end, "bad argument #252 to 'io.lines' (too many arguments)")

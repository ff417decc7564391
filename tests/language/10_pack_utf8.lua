-- SPDX-License-Identifier: MIT
-- Language spec: string.pack, string.unpack, string.packsize and the utf8 library.

local h = ...
local check = h.check

local function hex(s) return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end
local function message(f, ...) return (select(2, pcall(f, ...))) end

check("pack of integers in both orders", function()
  return hex(string.pack("<i2", 1)), hex(string.pack(">i2", 1)),
    hex(string.pack("<I4", 0xDEADBEEF)), hex(string.pack(">I3", 0x010203))
end, "0100", "0001", "efbeadde", "010203")

check("pack of negative integers", function()
  return hex(string.pack(">b", -1)), hex(string.pack(">i3", -2)), hex(string.pack(">i16", -1)),
    hex(string.pack("<j", -1))
end, "ff", "fffffe", ("f"):rep(32), ("f"):rep(16))

check("unpack of integers", function()
  return string.unpack("<i2", "\xFE\xFF"), (string.unpack(">I2", "\x01\x02")),
    (string.unpack("b", "\x80"))
end, -2, 258, -128)

check("unpack gives the next position", function()
  return string.unpack("<i1i1", "\1\2\3")
end, 1, 2, 3)

check("integers that do not fit", function()
  return message(string.pack, "i1", 128), message(string.pack, "I1", 256),
    message(string.pack, "i1", -129),
    message(string.unpack, "<i16", ("\255"):rep(8) .. "\1" .. ("\0"):rep(7))
end, "bad argument #2 to 'string.pack' (integer overflow)",
  "bad argument #2 to 'string.pack' (unsigned overflow)",
  "bad argument #2 to 'string.pack' (integer overflow)",
  "16-byte integer does not fit into Lua Integer")

check("sixteen-byte integers that fit", function()
  return (string.unpack("<i16", string.pack("<i16", -12345))),
    (string.unpack(">I16", string.pack(">I16", 7)))
end, -12345, 7)

check("floats and doubles", function()
  return hex(string.pack(">f", 1.5)), hex(string.pack(">d", -2.0)),
    (string.unpack("<d", string.pack("<d", 0.1))), (string.unpack("n", string.pack("n", math.huge)))
end, "3fc00000", "c000000000000000", 0.1, math.huge)

check("strings: fixed, zero-terminated, counted", function()
  return string.pack("c5", "abc"), string.pack("z", "abc"), hex(string.pack("<s2", "abc")),
    (string.unpack("z", "abc\0def")), (string.unpack("<s1", "\3abcd")), (string.unpack("c2", "xyz"))
end, "abc\0\0", "abc\0", "0300616263", "abc", "abc", "xy")

check("strings that do not fit", function()
  return message(string.pack, "c2", "abc"), message(string.pack, "z", "a\0b"),
    message(string.pack, "s1", ("x"):rep(256)), message(string.unpack, "z", "abc"),
    message(string.unpack, "s1", "\9abc")
end, "bad argument #2 to 'string.pack' (string longer than given size)",
  "bad argument #2 to 'string.pack' (string contains zeros)",
  "bad argument #2 to 'string.pack' (string length does not fit in given size)",
  "bad argument #2 to 'string.unpack' (unfinished string for format 'z')",
  "bad argument #2 to 'string.unpack' (data string too short)")

check("alignment and padding", function()
  return hex(string.pack("<!4 i1 i4", 1, 2)), hex(string.pack("<i1 x i2", 1, 2)),
    hex(string.pack("<!4 i1 Xi4", 1)), string.packsize("<!8 i1 d")
end, "0100000002000000", "01000200", "01000000", 16)

check("packsize", function()
  return string.packsize("<i4i4"), string.packsize("!4 i1 i4"), string.packsize(""),
    string.packsize("c10 b")
end, 8, 8, 0, 11)

check("packsize of variable formats", function()
  return message(string.packsize, "s"), message(string.packsize, "z")
end, "bad argument #1 to 'string.packsize' (variable-length format)",
  "bad argument #1 to 'string.packsize' (variable-length format)")

check("bad formats", function()
  return message(string.pack, "y", 1), message(string.pack, "i17", 1),
    message(string.pack, "c", "x"), message(string.pack, "!3 i4", 1), message(string.pack, "X", 1)
end, "invalid format option 'y'", "integral size (17) out of limits [1,16]",
  "missing size for format option 'c'",
  "bad argument #1 to 'string.pack' (format asks for alignment not power of 2)",
  "bad argument #1 to 'string.pack' (invalid next option for option 'X')")

check("unpack from a position", function()
  return string.unpack("<i2", "\0\0\1\0", 3), (string.unpack("b", "\1\2\3", -1)),
    message(string.unpack, "b", "a", 3)
end, 1, 3, "bad argument #3 to 'string.unpack' (initial position out of string)")

check("unpack of too little data", function()
  return message(string.unpack, "<i4", "abc")
end, "bad argument #2 to 'string.unpack' (data string too short)")

check("a record packed and unpacked", function()
  local format = "<!4 i2 z s1 d b"
  local s = string.pack(format, -3, "zero", "counted", 2.5, 7)
  return #s, string.unpack(format, s)
end, 25, -3, "zero", "counted", 2.5, 7, 26)

check("utf8.char", function()
  return utf8.char(72, 228, 8364, 0x1F600), utf8.char(), #utf8.char(0x7FFFFFFF)
end, "Hä€😀", "", 6)

check("utf8.charpattern", function()
  return utf8.charpattern, select(2, ("aä€😀"):gsub(utf8.charpattern, ""))
end, "[\0-\x7F\xC2-\xFD][\x80-\xBF]*", 4)

check("utf8.len", function()
  return utf8.len("aä€😀"), utf8.len(""), utf8.len("äöü", 3), utf8.len("äöü", 1, 2),
    utf8.len("abc", 4)
end, 4, 0, 2, 1, 0)

check("utf8.len of invalid text gives the position", function()
  return {utf8.len("ab\x80c")}, {utf8.len("\xC0\x80")}, {utf8.len("a\xE2\x82")},
    {utf8.len("\xED\xA0\x80")}, {utf8.len("\xF4\x90\x80\x80")}
end, {nil, 3}, {nil, 1}, {nil, 2}, {nil, 1}, {nil, 1})

check("utf8.len of invalid text, lax", function()
  return utf8.len("\xED\xA0\x80", 1, -1, true), utf8.len("\xF4\x90\x80\x80", 1, -1, true)
end, 1, 1)

check("utf8.codepoint", function()
  return utf8.codepoint("aä€😀", 1, -1)
end, 97, 228, 8364, 128512)

check("utf8.codepoint by position", function()
  return utf8.codepoint("aä", 2), select("#", utf8.codepoint("abc", 3, 2)),
    utf8.codepoint("abc", -1)
end, 228, 0, 99)

check("utf8.codepoint of invalid text", function()
  return message(utf8.codepoint, "\xFF"), message(utf8.codepoint, "abc", 4)
end, "invalid UTF-8 code", "bad argument #3 to 'utf8.codepoint' (out of bounds)")

check("utf8.offset", function()
  local s = "aä€😀z"
  return utf8.offset(s, 3), utf8.offset(s, -1), utf8.offset(s, -2), utf8.offset(s, 0, 3),
    utf8.offset(s, 9), utf8.offset(s, 6), utf8.offset(s, 1, 2)
end, 4, 11, 7, 2, nil, 12, 2)

check("utf8.offset from a continuation byte", function()
  return message(utf8.offset, "ä", 1, 2), message(utf8.offset, "abc", 1, 6)
end, "initial position is a continuation byte",
  "bad argument #3 to 'utf8.offset' (position out of bounds)")

check("utf8.codes", function()
  local out = {}
  for p, c in utf8.codes("aä€") do out[#out + 1] = p .. ":" .. c end
  return table.concat(out, " ")
end, "1:97 2:228 4:8364")

check("utf8.codes over invalid text raises", function()
  local n = 0
  local ok, m = pcall(h.chunk, [[
    local count = ...
    for _ in utf8.codes("ab\xFF") do count() end
  ]], function() n = n + 1 end)
  return ok, m, n
end, false, "chunk:2: invalid UTF-8 code", 2)

check("utf8.codes, lax", function()
  local out = {}
  for _, c in utf8.codes("\u{7FFFFFFF}\u{D800}", true) do out[#out + 1] = c end
  return out
end, {0x7FFFFFFF, 0xD800})

check("utf8.char out of range", function()
  return message(utf8.char, -1), message(utf8.char, 0x80000000)
end, "bad argument #1 to 'utf8.char' (value out of range)",
  "bad argument #1 to 'utf8.char' (value out of range)")

-- SPDX-License-Identifier: MIT
-- Language spec: find, match, gmatch, gsub and their patterns.

local h = ...
local check, chunk = h.check, h.chunk

check("find a plain substring", function()
  return ("hello world"):find("wor")
end, 7, 9)

check("find nothing", function()
  return ("hello"):find("xyz"), (""):find("x")
end, nil, nil)

check("find the empty pattern", function()
  return {("abc"):find("")}, {("abc"):find("", 2)}, {("abc"):find("", 4)}, {("abc"):find("", 5)},
    {(""):find("")}
end, {1, 0}, {2, 1}, {4, 3}, {}, {1, 0})

check("find from a position", function()
  return {("abab"):find("ab", 2)}, {("abab"):find("ab", -2)}, {("abab"):find("ab", -9)},
    {("abab"):find("ab", 9)}
end, {3, 4}, {3, 4}, {1, 2}, {})

check("find without magic", function()
  return {("a.b%c"):find(".", 1, true)}, {("a.b%c"):find("%c", 1, true)},
    {("a+b"):find("+", 1, true)}
end, {2, 2}, {4, 5}, {2, 2})

check("find gives captures", function()
  return ("key = value"):find("(%w+)%s*=%s*(%w+)")
end, 1, 11, "key", "value")

check("anchors", function()
  return ("hello"):match("^h"), ("hello"):match("^e"), ("hello"):match("o$"), ("hello"):match("l$"),
    ("a^b$c"):match("a^b"), ("a$b"):match("a$b")
end, "h", nil, "o", nil, "a^b", "a$b")

check("character classes", function()
  local s = "aZ5 .\t_"
  local function all(class) return (s:gsub("[^" .. class .. "]", ""):gsub("\t", "T")) end
  return all("%a"), all("%d"), all("%l"), all("%u"), all("%w"), all("%s"), all("%p"), all("%c")
end, "aZ", "5", "a", "Z", "aZ5", " T", "._", "T")

check("complemented classes", function()
  return ("a1 b2"):gsub("%A", "."), ("a1 b2"):gsub("%D", "."), ("a1 b2"):gsub("%S", ".")
end, "a..b.", ".1..2", ".. ..", 4)

check("sets with ranges and classes", function()
  return ("x-9]^"):match("[%]x]"), ("x-9]^"):match("[]-]"), ("0xfF"):match("[%x]+", 3),
    ("a-b"):match("[a%-]+"), ("a^"):match("[\\^]"), ("b"):match("[^a]"), ("a-z"):match("[-z]+", 2)
end, "x", "-", "fF", "a-", "^", "b", "-z")

check("repetitions", function()
  return ("aaab"):match("a*"), ("aaab"):match("a+"), ("aaab"):match("a-b"), ("aaab"):match("a?b"),
    ("b"):match("a*b"), ("b"):match("a+b"), ("aaab"):match("^a-$")
end, "aaa", "aaa", "aaab", "ab", "b", nil, nil)

check("lazy and greedy", function()
  return ("<a><b>"):match("<.->"), ("<a><b>"):match("<.*>"), ("/* x */ y */"):match("/%*.-%*/")
end, "<a>", "<a><b>", "/* x */")

check("position captures", function()
  return ("hello"):match("()ll()")
end, 3, 5)

check("nested and empty captures", function()
  return ("abc"):match("((a)(b)(c))"), ("abc"):match("a()"), ("x"):match("()")
end, "abc", 2, 1)

check("all captures of a nested match", function()
  return ("abc"):match("((a)(b)(c))")
end, "abc", "a", "b", "c")

check("back references", function()
  return ([["it's" 'x']]):match([[(["'])(.-)%1]])
end, '"', "it's")

check("balanced matches", function()
  return ("f(a(b)c)d"):match("%b()"), ("((x)"):match("%b()"), ("[[x]]"):match("%b[]"),
    ("'a'"):match("%b''")
end, "(a(b)c)", "(x)", "[[x]]", "'a'")

check("frontiers", function()
  return ("THE (quick) fox"):find("%f[%a]%a+%f[%A]"), ("foo bar"):gsub("%f[%w]%w", string.upper),
    ("x"):match("x%f[%z]"), ("abc"):match("%f[%a]()", 2)
end, 1, "Foo Bar", "x", nil)

check("zeros in subjects and patterns", function()
  return ("a\0b"):find("\0"), ("a\0b"):match("[\0]b"), ("a\0b"):match("%zb"),
    ("a\0\0b"):gsub("\0", "-")
end, 2, "\0b", "\0b", "a--b", 2)

check("match from a position", function()
  return ("one two"):match("%a+", 4), ("one two"):match("^%a+", 5), ("one"):match("o", -1)
end, "two", "two", nil)

check("gmatch over words", function()
  local out = {}
  for w in ("one two  three"):gmatch("%a+") do out[#out + 1] = w end
  return out
end, {"one", "two", "three"})

check("gmatch with captures", function()
  local t = {}
  for k, v in ("a=1, b=2"):gmatch("(%w+)=(%w+)") do t[k] = v end
  return t
end, {a = "1", b = "2"})

check("gmatch of empty matches", function()
  local out = {}
  for p in ("abc"):gmatch("()") do out[#out + 1] = p end
  for w in ("a,,b"):gmatch("[^,]*") do out[#out + 1] = w end
  return out
end, {1, 2, 3, 4, "a", "", "b"})

check("gmatch from a position", function()
  local out = {}
  for w in ("one two three"):gmatch("%a+", 4) do out[#out + 1] = w end
  return out
end, {"two", "three"})

check("gmatch does not treat ^ as a loop", function()
  local n = 0
  for _ in ("aaa"):gmatch("^a") do n = n + 1 end
  return n
end, 0)

check("gmatch nested over the same string", function()
  local s, out = "ab", {}
  for x in s:gmatch(".") do for y in s:gmatch(".") do out[#out + 1] = x .. y end end
  return table.concat(out, " ")
end, "aa ab ba bb")

check("gsub with a string", function()
  return ("hello"):gsub("l", "L")
end, "heLLo", 2)

check("gsub with captures in the replacement", function()
  return ("key=value"):gsub("(%w+)=(%w+)", "%2=%1"), ("abc"):gsub("%w", "%0%0"),
    ("abc"):gsub("%w", "%%%1"), ("hello"):gsub("", "-")
end, "value=key", "aabbcc", "%a%b%c", "-h-e-l-l-o-", 6)

check("gsub with a limit", function()
  return {("aaaa"):gsub("a", "b", 2)}, {("aaaa"):gsub("a", "b", 0)}, {("aaaa"):gsub("a", "b", -1)}
end, {"bbaa", 2}, {"aaaa", 0}, {"aaaa", 0})

check("gsub with a table", function()
  return ("$name is $age, $none"):gsub("%$(%w+)", {name = "Ann", age = 30, none = false})
end, "Ann is 30, $none", 3)

check("gsub with a table that has __index", function()
  return (("a b"):gsub("%a", setmetatable({}, {__index = function(_, k) return k:upper() end})))
end, "A B")

check("gsub with a function", function()
  return ("1 2 3"):gsub("%d", function(d) if d ~= "2" then return d * 10 end end)
end, "10 2 30", 3)

check("gsub with a function of several captures", function()
  return (("a1 b2"):gsub("(%a)(%d)", function(a, d) return d .. a, "dropped" end))
end, "1a 2b")

check("gsub with a function and position captures", function()
  return (("abc"):gsub("()%a", function(p) return p end))
end, "123")

check("gsub with an anchor", function()
  return ("aaa"):gsub("^a", "b")
end, "baa", 1)

check("gsub of empty matches beside others", function()
  return ("hello world"):gsub("o*", "x")
end, "xhxexlxlx xwxrxlxdx", 10)

check("gsub callbacks may raise", function()
  return pcall(string.gsub, "abc", "b", function() error("in callback", 0) end)
end, false, "in callback")

check("gsub callbacks may use gsub", function()
  return (("a,b;c,d"):gsub("[^;]+", function(s) return "<" .. s:gsub(",", "+") .. ">" end))
end, "<a+b>;<c+d>")

check("gsub: bad replacement values", function()
  return select(2, pcall(string.gsub, "x", "x", function() return {} end)),
    select(2, pcall(string.gsub, "x", "x", {x = true})),
    select(2, pcall(string.gsub, "x", "x", nil))
end, "invalid replacement value (a table)", "invalid replacement value (a boolean)",
  "bad argument #3 to 'string.gsub' (string/function/table expected, got nil)")

check("gsub: bad replacement strings", function()
  return select(2, pcall(string.gsub, "x", "x", "%2")):match("^invalid capture index %%2"),
    select(2, pcall(string.gsub, "x", "x", "%")), select(2, pcall(string.gsub, "x", "x", "%a"))
end, "invalid capture index %2",
  "invalid use of '%' in replacement string", "invalid use of '%' in replacement string")

check("gsub gives numbers and keeps the string on false", function()
  return ("abc"):gsub("%a", {a = 1, b = 2.5, c = false})
end, "12.5c", 3)

local function malformed(name, pattern, message)
  check("malformed: " .. name, function()
    local ok, m = pcall(string.find, "a", pattern)
    return ok, m:find(message, 1, true) and message or m
  end, false, message)
end

malformed("a missing bracket", "[a", "malformed pattern (missing ']')")
malformed("an empty set", "[]", "malformed pattern (missing ']')")
malformed("a percent at the end", "%", "malformed pattern (ends with '%')")
malformed("an unfinished capture", "(a", "unfinished capture")
malformed("a closing parenthesis alone", ".)", "invalid pattern capture")
malformed("a back reference to nothing", "%1", "invalid capture index %1")
malformed("a back reference to an open capture", "(a%1)", "invalid capture index %1")
malformed("balance without arguments", "%b", "malformed pattern (missing arguments to '%b')")
malformed("a frontier without a set", "%f", "missing '[' after '%f' in pattern")
malformed("too many captures", ("()"):rep(33), "too many captures")

check("thirty-two captures", function()
  return select("#", (("x"):rep(40)):match(("(.)"):rep(32)))
end, 32)

check("a pattern too complex", function()
  local ok, message = pcall(string.match, ("a"):rep(300000), (".-"):rep(300000) .. "b")
  return ok, message
end, false, "pattern too complex")

check("a long subject", function()
  local s = ("a"):rep(300000)
  return #s:match(".-$"), #s:match(".*"), s:find("b"), select(2, s:gsub("a", ""))
end, 300000, 300000, nil, 300000)

check("pattern errors have the caller's position", function()
  return pcall(chunk, "\nreturn ('x'):match('[')")
end, false, "chunk:2: malformed pattern (missing ']')")

check("splitting and trimming", function()
  local function split(s, sep)
    local out = {}
    for piece in (s .. sep):gmatch("(.-)" .. sep:gsub("%p", "%%%0")) do out[#out + 1] = piece end
    return out
  end
  return split("a.b..c", "."), ("  x y  "):match("^%s*(.-)%s*$")
end, {"a", "b", "", "c"}, "x y")

check("decoding a query string", function()
  local function decode(s)
    return (s:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex,
      16)) end))
  end
  return decode("a%20b+c%2Bd")
end, "a b c+d")

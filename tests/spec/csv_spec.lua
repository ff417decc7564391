-- SPDX-License-Identifier: MIT
-- corun.csv: RFC 4180 both ways, in one piece and in many; Python's csv is the oracle.
local corun = require "corun"
local csv = require "corun.csv"
local json = require "corun.json"
local process = require "corun.process"
local files = dofile("tests/spec/support/files.lua")

-- A source of pieces of `n` bytes.
local function cut(text, n)
  local at = 1
  return {recv = function()
    if at > #text then return nil end
    local piece = text:sub(at, at + n - 1)
    at = at + n
    return piece
  end}
end

local function collect(...)
  local rows = {}
  for row in csv.lines(...) do rows[#rows + 1] = row end
  return rows
end

local function raised(fn, ...)
  local ok, e = pcall(fn, ...)
  assert.is_false(ok)
  return e
end

-- Run a Python function f(x) over each item of a list.
local function python(code, list)
  local main = code .. "\nimport json, sys\nsys.stdout.reconfigure(encoding='utf-8')\n" ..
    "print(json.dumps([f(x) for x in json.load(sys.stdin)]))\n"
  local res = assert(process.run({"python3", "-c", main}, {input = json.encode(list)}))
  assert(res.ok, res.stderr)
  return assert(json.decode(res.stdout))
end

-- Texts of the bytes that matter; the same series in each run.
local function random_texts(n, alphabet, most)
  local state, texts = 11, {}
  local function next_int(m)
    state = state * 6364136223846793005 + 1442695040888963407
    return (state >> 33) % m + 1
  end
  for i = 1, n do
    local parts = {}
    for k = 1, next_int(most) do parts[k] = alphabet[next_int(#alphabet)] end
    texts[i] = table.concat(parts)
  end
  return texts
end

describe("csv.decode", function()
  it("takes texts as RFC 4180 has them, and what it leaves open", function()
    local cases = {
      {"", {}}, {"\r\n\n\r", {}}, {"a", {{"a"}}}, {"a\n", {{"a"}}}, {",", {{"", ""}}},
      {'""', {{""}}}, {"a,b\r\nc,d\r\n", {{"a", "b"}, {"c", "d"}}},
      {"a\rb\nc\r\nd", {{"a"}, {"b"}, {"c"}, {"d"}}}, {"a\n\n\r\nb", {{"a"}, {"b"}}},
      {'"a,b","c""d","e\r\nf"\n', {{"a,b", 'c"d', "e\r\nf"}}}, {'""""', {{'"'}}},
      {" a , b", {{" a ", " b"}}}, {"a,\n", {{"a", ""}}}, {"a\n,b,c", {{"a"}, {"", "b", "c"}}},
      {"\239\187\191a", {{"a"}}}, {'\239\187\191"a"', {{"a"}}}, {"\239\187", {{"\239\187"}}},
      {"\239\187a", {{"\239\187a"}}}, {"a\239\187\191", {{"a\239\187\191"}}},
      {"a\0b,\255", {{"a\0b", "\255"}}}, {"\239\187\191", {}},
    }
    for _, c in ipairs(cases) do
      assert.same(c[2], csv.decode(c[1]), ("%q"):format(c[1]))
      for n = 1, 4 do assert.same(c[2], collect(cut(c[1], n)), ("%q by %d"):format(c[1], n)) end
    end
  end)

  it("answers what is no CSV with the line and the byte", function()
    local cases = {
      {'a\nb"c', "a quote in a field that does not begin with one", 2, 4},
      {'a\n"b"c', "a quoted field goes on behind its last quote", 2, 6},
      {'a\r\n"b\nc\n', "a quoted field has no end", 2, 9},
      {'"\n\n\n",x"', "a quote in a field that does not begin with one", 4, 8},
    }
    for _, c in ipairs(cases) do
      local rows, err = csv.decode(c[1])
      assert.is_nil(rows)
      assert.equal("ECSV", err.code)
      assert.same({c[3], c[4]}, {err.line, err.offset})
      assert.equal(("decode: line %d: %s at byte %d (ECSV)"):format(c[3], c[2], c[4]),
        tostring(err))
      for n = 1, 3 do
        local e = raised(collect, cut(c[1], n))
        assert.same({"ECSV", c[3], c[4]}, {e.code, e.line, e.offset})
      end
    end
  end)

  it("names the columns by a header, and loses no field of ragged rows", function()
    local rows, names = csv.decode("id,name\n1,a\n2\n3,c,x,y\n", {header = true})
    assert.same({{id = "1", name = "a"}, {id = "2"}, {id = "3", name = "c", [3] = "x", [4] = "y"}},
      rows)
    assert.same({"id", "name"}, names)
    local given = {"x", "y"}
    rows, names = csv.decode("1,2", {header = given})
    assert.same({{x = "1", y = "2"}}, rows)
    assert.same(given, names)
    assert.same({}, csv.decode("a,b\n", {header = true}))
    assert.same({{[""] = "1", b = "2"}}, csv.decode(",b\n1,2", {header = true}))
    local none, err = csv.decode("a,b,a\n1,2,3", {header = true})
    assert.is_nil(none)
    assert.matches("line 1: columns 1 and 3 have the same name", err.message)
  end)

  it("takes other separators and quotes, or none", function()
    assert.same({{"a", "b,c", '"'}}, csv.decode("a;b,c;'\"'", {separator = ";", quote = "'"}))
    assert.same({{'5"', '"x'}}, csv.decode('5"\t"x\n', {separator = "\t", quote = false}))
    assert.same({{"a^b"}}, csv.decode("%a^b%", {quote = "%"}))
  end)

  it("refuses misuse", function()
    local cases = {
      {"needs a string, got nil"}, {"must be one character", "", {separator = ""}},
      {"must be one character", "", {separator = "\n"}}, {"must be one character", "",
        {quote = "é"}}, {"must differ", "", {separator = '"'}}, {'did you mean "header"', "",
        {headers = true}}, {"has no names", "", {header = {}}},
      {'has "a" twice', "", {header = {"a", "a"}}}, {"list of strings", "", {header = {1}}},
    }
    for _, c in ipairs(cases) do
      local message = raised(csv.decode, c[2], c[3])
      assert.matches(c[1], message)
      assert.matches("csv_spec.lua:", message)
    end
  end)

  it("agrees with Python on any text of fields, quotes and line ends", function()
    local texts = random_texts(3000, {"a", "b", '"', '"', ",", ",", "\r", "\n", "\r\n", '""', " ",
      ',"', '",', '"\n'}, 12)
    local theirs = python([[
import csv, io
def f(s):
    try:
        return [r for r in csv.reader(io.StringIO(s, newline=''), strict=True) if r]
    except csv.Error:
        return False
]], texts)
    local compared = 0
    for i, text in ipairs(texts) do
      local rows, err = csv.decode(text)
      -- Python takes a quote in the middle of a field as it is, the RFC does not allow it
      if not (err and err.message:find("does not begin with one")) then
        assert.same(theirs[i], rows or false, ("%q"):format(text))
        compared = compared + 1
      end
      for n = 1, 3 do
        local ok, result = pcall(collect, cut(text, n))
        assert.same(rows or err.offset, ok and result or result.offset, ("%q"):format(text))
      end
    end
    assert.is_true(compared > 1000)
  end)
end)

describe("csv.lines", function()
  it("reads texts, streams, files and iterators of lines", function()
    local text = 'a,b\r\n1,"x\r\ny"\r\n2,z'
    local expected = {{a = "1", b = "x\r\ny"}, {a = "2", b = "z"}}
    local _ <close>, path = files.folder()
    local name = path .. "/x.csv"
    files.put(name, text)
    assert.same(expected, collect(text, {header = true}))
    local f <close> = assert(corun.fs.open(name))
    assert.same(expected, collect(f, {header = true}))
    local plain <close> = assert(io.open(name, "rb"))
    assert.same(expected, collect(plain, {header = true}))
    assert.same(expected, collect(io.lines(name, "L"), {header = true}))
    assert.same({{"a", "b"}, {"1", "x\r\ny"}, {"2", "z"}}, collect(io.lines(name)))
  end)

  it("gives a row as soon as its line has ended, and rows before a mistake", function()
    local channel = corun.channel(8)
    local stream = {recv = function() return channel:recv() end}
    local step = csv.lines(stream)
    channel:send("a,b\nc,")
    assert.same({"a", "b"}, step())
    channel:send("d\n1,2\n3,")
    assert.same({"c", "d"}, step())
    assert.same({"1", "2"}, step())
    channel:send('x"\n')
    local e = raised(step)
    assert.same({"ECSV", 4}, {e.code, e.line})
    assert.equal(e, raised(step))
  end)

  it("raises what its source fails with, behind the rows before", function()
    local broken = corun.err("ECONNRESET", "cut")
    local pieces = {"a\nb\nc"}
    local step = csv.lines({recv = function()
      local piece = table.remove(pieces)
      if piece then return piece end
      return nil, broken
    end})
    assert.same({"a"}, step())
    assert.same({"b"}, step())
    assert.equal(broken, raised(step))
  end)

  it("bounds a row", function()
    local text = "abcd\nabcde\n"
    for n = 1, 12 do
      local step = csv.lines(cut(text, n), {max = 4})
      assert.same({"abcd"}, step())
      local e = raised(step)
      assert.same({"EMSGSIZE", 2}, {e.code, e.line})
    end
    local endless = {recv = function() return ('"' .. ("x"):rep(9999)):sub(2) .. "," end}
    assert.equal("EMSGSIZE", raised(csv.lines(endless)).code)
  end)

  it("refuses what it cannot read", function()
    assert.matches("a string, a stream or an iterator, got nil", raised(csv.lines))
    assert.matches("method recv or read", raised(csv.lines, {}))
    assert.matches("lines that are strings, got number",
      raised(csv.lines(function() return 1 end)))
  end)
end)

describe("csv.encode", function()
  it("quotes what needs it and nothing else", function()
    local rows = {{"a", 'b"c', "d,e", "f\ng", "h\ri", " j "}, {1, 2.5, true, "", false, 1 / 3},
      {"", n = 1}, {json.null, n = 3}, {"\239\187\191x"}}
    local expected = 'a,"b""c","d,e","f\ng","h\ri", j \r\n1,2.5,true,,false,' ..
      "0.3333333333333333\r\n\"\"\r\n,,\r\n\239\187\191x\r\n"
    assert.equal(expected, csv.encode(rows))
    assert.equal('"\239\187\191x"\n', csv.encode({{"\239\187\191x"}}, {newline = "\n"}))
    assert.equal("a;b,c;%d;%\n", csv.encode({{"a", "b,c", "%d", "%"}},
      {separator = ";", quote = "'", newline = "\n"}))
    assert.equal("a\tb\"\n", csv.encode({{"a", 'b"'}},
      {separator = "\t", quote = false, newline = "\n"}))
    assert.equal("", csv.encode({}))
  end)

  it("writes tables by the names of a header", function()
    local rows = {{id = 1, name = "x", other = 5}, {name = "y"}, {3, "z", "more"}}
    assert.equal("id,name\r\n1,x\r\n,y\r\n3,z,more\r\n",
      csv.encode(rows, {header = {"id", "name"}}))
    assert.equal("1,x\r\n", csv.encode({rows[1]}, {header = {"id", "name"}, append = true}))
    local text = 'a,"b ""c"""\r\n1,2\r\n3,4,5\r\n'
    local decoded, names = csv.decode(text, {header = true})
    assert.equal(text, csv.encode(decoded, {header = names}))
  end)

  it("refuses what no field can hold, naming the place", function()
    local cases = {
      {"needs a list of rows, got string", "x"}, {"row 2 is a number", {{1}, 2}},
      {"cannot write a table in row 2, column 1", {{1}, {{}}}}, {"row 1 has no fields", {{}}},
      {"cannot write %-?nan in row 1, column 2", {{1, 0 / 0}}},
      {"cannot write inf in row 1, column 1", {{math.huge}}},
      {"row 1, column 1 without quotes", {{"a,b"}}, {quote = false}},
      {"row 1, column 1 without quotes", {{""}}, {quote = false}},
      {"newline", {}, {newline = "\r"}},
    }
    for _, c in ipairs(cases) do
      local message = raised(csv.encode, c[2], c[3])
      assert.matches(c[1], message)
      assert.matches("csv_spec.lua:", message)
    end
  end)

  it("is read by Python as it was meant, and reads what Python writes", function()
    local cells = random_texts(2000, {"a", '"', ",", "\r", "\n", " ", "é", "\t", "'", ""}, 5)
    local lists = {}
    for i = 1, #cells - 4, 4 do
      lists[#lists + 1] = {{cells[i], cells[i + 1]}, {cells[i + 2]}, {cells[i + 3], "", "x"}}
    end
    local texts = {}
    for i, rows in ipairs(lists) do
      texts[i] = csv.encode(rows)
      assert.same(rows, csv.decode(texts[i]))
    end
    local read = python("import csv, io\n" ..
      "def f(s): return list(csv.reader(io.StringIO(s, newline=''), strict=True))", texts)
    local written = python("import csv, io\ndef f(rows):\n  out = io.StringIO(newline='')\n" ..
      "  csv.writer(out).writerows(rows)\n  return out.getvalue()", lists)
    for i, rows in ipairs(lists) do
      assert.same(rows, read[i])
      assert.same(rows, csv.decode(written[i]))
    end
  end)
end)

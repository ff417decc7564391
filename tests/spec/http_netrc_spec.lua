-- SPDX-License-Identifier: MIT
-- Files of names and passwords: the forms of words and entries, what is wrong with a file, where it
-- is looked for, and the same answers as Python's netrc module to random files.
local files = dofile("tests/spec/support/files.lua")
local json = require "corun.json"
local netrc = require "corun.http_netrc"
local process = require "corun.process"
local programs = dofile("tests/spec/support/programs.lua")

local function parse(text) return assert(netrc.parse(text)) end

local function why(text)
  local entries, err = netrc.parse(text, "file")
  assert.is_nil(entries)
  assert.equal("EINVAL", err.code)
  assert.equal("file", err.target)
  return err.message
end

describe("netrc", function()
  it("finds what is said of a host", function()
    local n = parse("machine a.example login me password secret account acc\nmachine b login you")
    assert.same({login = "me", password = "secret", account = "acc"}, n:lookup("a.example"))
    assert.same({login = "you"}, n:lookup("b"))
    assert.is_nil(n:lookup("c"))
    assert.is_nil(n:lookup("example"))
    assert.is_nil(n:lookup("x.a.example"))
  end)

  it("takes hosts in any case, and user for login", function()
    local n = parse("machine A.Example\n\tuser me\n")
    assert.same({login = "me"}, n:lookup("a.EXAMPLE"))
  end)

  it("gives each caller a table of its own", function()
    local n = parse("machine a login me")
    n:lookup("a").login = "changed"
    assert.equal("me", n:lookup("a").login)
  end)

  it("takes the default for all other hosts, wherever it stands", function()
    local n = parse("default login any\nmachine a login me\ndefault login second\n")
    assert.same({login = "me"}, n:lookup("a"))
    assert.same({login = "any"}, n:lookup("b"))
    assert.same({login = "d"}, parse("machine default login d"):lookup("default"))
    assert.is_nil(parse("machine default login d"):lookup("x"))
  end)

  it("takes the first of several entries, as curl does", function()
    assert.same({login = "1"}, parse("machine a login 1\nmachine A login 2"):lookup("a"))
    assert.same({login = "2"}, parse("machine a login 1 login 2"):lookup("a"))
  end)

  it("reads words in quotes and behind backslashes", function()
    local function password(word)
      return parse("machine a password " .. word):lookup("a").password
    end
    assert.equal("a b", password('"a b"'))
    assert.equal("", password('""'))
    assert.equal('a"b\\c', password([["a\"b\\c"]]))
    assert.equal("a b", password("a\\ b"))
    assert.equal('"', password('\\"'))
    assert.equal('a"b', password('a"b'))
    assert.equal("#a", password("#a"))
    assert.equal("a#b", password("a#b # login x"))
    assert.equal("login", password("login"))
    assert.equal("machine", password("\n\n\tmachine\n"))
    assert.equal("\195\188\255\1", password("\195\188\255\1"))
  end)

  it("skips comments", function()
    local n = parse("# one\n#two machine\nmachine a # three\n  login me #four\n# password no\n#")
    assert.same({login = "me"}, n:lookup("a"))
  end)

  it("skips macros", function()
    local n = parse("macdef init\ncd /pub\nmachine x\n\nmachine a login me\nmacdef m\nbin\n\n" ..
      "machine b login you\nmacdef w\r\nx\r\n\r\n")
    assert.is_nil(n:lookup("x"))
    assert.same({login = "me"}, n:lookup("a"))
    assert.same({login = "you"}, n:lookup("b"))
  end)

  it("reads files of other systems, and empty ones", function()
    assert.same({login = "me"}, parse("machine a\r\nlogin me\r\n"):lookup("a"))
    for _, text in ipairs{"", "\n", " \t\r\n", "#"} do assert.is_nil(parse(text):lookup("a")) end
  end)

  it("refuses what it does not understand, with the line but no word of it", function()
    assert.equal("line 2: a word that is no keyword", why("machine a login me\npasword secret"))
    assert.equal("line 1: a word that is no keyword", why("secret"))
    assert.equal("line 1: a word that is no keyword", why("MACHINE a"))
    assert.equal("line 2: login without a machine", why("\nlogin me"))
    assert.equal("line 4: password without a machine", why("macdef m\nx\n\npassword secret"))
    assert.equal("line 1: nothing after machine", why("machine"))
    assert.equal("line 2: nothing after password", why("machine a password\n"))
    assert.equal("line 1: nothing after macdef", why("macdef "))
    assert.equal("line 1: no empty line after the macro", why("macdef m\nx\nmachine a login b\n"))
    assert.equal("line 2: a quote that does not end on its line",
      why('machine a\npassword "secret\nlogin me'))
    assert.equal("line 1: a quote that does not end on its line", why('machine a password "secret'))
    assert.equal("line 1: nothing after the backslash", why("machine a password secret\\"))
    local _, err = netrc.parse("secret")
    assert.equal("read netrc: line 1: a word that is no keyword (EINVAL)", tostring(err))
  end)

  it("takes hostile files in linear time #heavy", function()
    local begun = os.clock()
    parse(("machine a login b "):rep(50000))
    parse("machine a password " .. ("\\x"):rep(400000))
    parse(("# \n"):rep(300000))
    parse("machine a password " .. (" "):rep(900000) .. "x")
    assert.is_true(os.clock() - begun < 5)
  end)

  it("raises for misuse", function()
    for _, call in ipairs{function() netrc.parse() end, function() netrc.load{} end} do
      local ok, err = pcall(call)
      assert.is_false(ok)
      assert.matches("^tests/spec/http_netrc_spec.lua:%d+: %a+ needs the ", err)
    end
  end)
end)

describe("the netrc file", function()
  local SCRIPT = [[
    local n, err = require("corun.http_netrc").load(...)
    print(n and (n:lookup("a") or {login = "none"}).login or err.code .. " " .. err.target)
  ]]

  local function run(before)
    return (programs.run(SCRIPT, {before = before}):gsub("\n$", ""))
  end

  it("is the one given, that of $NETRC, or ~/.netrc", function()
    local dir <close>, path = files.folder()
    files.put(path .. "/.netrc", "machine a login home")
    files.put(path .. "/other", "machine a login other")
    assert.equal("home", run("env -u NETRC HOME=" .. path))
    assert.equal("home", run("env NETRC= HOME=" .. path))
    assert.equal("other", run(("env NETRC=%s/other HOME=%s"):format(path, path)))
    assert.equal("other", assert(netrc.load(path .. "/other")):lookup("a").login)
    assert.is_not_nil(dir)
  end)

  it("may be absent at home, but not where it was named", function()
    local _ <close>, path = files.folder()
    assert.equal("none", run("env -u NETRC HOME=" .. path))
    assert.equal("none", run("env -u NETRC -u HOME"))
    assert.equal(("ENOENT %s/x"):format(path), run(("env NETRC=%s/x HOME=%s"):format(path, path)))
    local n, err = netrc.load(path .. "/none")
    assert.is_nil(n)
    assert.equal("ENOENT", err.code)
    n, err = netrc.load(path)
    assert.is_nil(n)
    assert.equal("EISDIR", err.code)
  end)

  it("is refused when it is too large or wrong", function()
    local _ <close>, path = files.folder()
    files.put(path .. "/big", (" "):rep((1 << 20) + 1))
    local n, err = netrc.load(path .. "/big")
    assert.is_nil(n)
    assert.equal(("read netrc %s/big: the file is too large (EINVAL)"):format(path), tostring(err))
    files.put(path .. "/bad", "machine a\nx")
    n, err = netrc.load(path .. "/bad")
    assert.is_nil(n)
    assert.equal(("read netrc %s/bad: line 2: a word that is no keyword (EINVAL)"):format(path),
      tostring(err))
  end)
end)

-- Left out is what Python does otherwise: of several entries of a host it takes the last (curl and
-- ftp take the first); a word that is missing at the end of the file is empty to it; it takes
-- machines and "default" for one kind of name, keeps the case of hosts, lets words in quotes go
-- over lines, drops the backslash at the end of the file, and takes "" for the end where a keyword
-- stands. It reads on in comments of one word at the start of entries, and in those on the line
-- after a word in quotes.
describe("netrc and Python", function()
  local PYTHON = [==[
import sys, json, netrc, tempfile
out = []
for text in json.load(sys.stdin):
    with tempfile.NamedTemporaryFile("w", newline="") as f:
        f.write(text)
        f.flush()
        try:
            n = netrc.netrc(f.name)
            out.append([n.authenticators(h) for h in ["h1", "h2", "h3", "x"]])
        except netrc.NetrcParseError:
            out.append(False)
json.dump(out, sys.stdout)
]==]

  local WORDS = {"me", "secret", '"a b"', '"a\\"b"', "a\\ b", "login", "password", "machine", "#no",
    "a#b", '"#"', "\195\188", "\\\\", 'a"b', '"default"', "a\\b"}
  local GAPS = {" ", " ", "\n", "\t", "\n\n  ", " # note machine z\n", "\n# login no\n", "\r\n"}
  local BLANKS = {" ", "\t", "\n", "\n\n  "}
  local KEYS = {"login", "user", "password", "account"}
  local state = 5
  local function pick(list)
    state = state * 6364136223846793005 + 1442695040888963407
    return list[(state >> 33) % #list + 1]
  end

  local function gap_after(text)
    local gap = pick(GAPS)
    return text:sub(-1) == '"' and gap:find("^\n#") and " " or gap
  end

  local function random_file()
    local heads = {"machine h1", "machine\th2", "machine\nh3", "default"}
    local out = {}
    while #heads > 0 and pick{true, true, true, false} do
      if pick{1, 2, 3, 4, 5} == 1 then out[#out + 1] = "macdef m\nmachine h1\nget x\n\n" end
      out[#out + 1] = table.remove(heads, pick{1, 2, 3, 4} % #heads + 1)
      for _ = 1, pick{0, 1, 2, 3} do
        out[#out + 1] = gap_after(out[#out]) .. pick(KEYS) .. pick(BLANKS) .. pick(WORDS)
      end
      out[#out + 1] = gap_after(out[#out])
    end
    if pick{1, 2, 3, 4, 5, 6} == 1 then
      out[#out + 1] = pick{"\nnonsense", "\nmacdef m\nx\n", "\n(words"}
    end
    return table.concat(out) .. "\n"
  end

  it("read random files alike #heavy", function()
    local texts, read = {}, 0
    for i = 1, 1500 do texts[i] = random_file() end
    local r = assert(process.run{"python3", "-c", PYTHON, input = json.encode(texts), timeout = 60})
    assert(r.ok, r.stderr)
    for i, expected in ipairs(assert(json.decode(r.stdout))) do
      local n = netrc.parse(texts[i])
      if not expected or not n then
        assert.equal(expected, n or false, texts[i])
      else
        read = read + 1
        for k, host in ipairs{"h1", "h2", "h3", "x"} do
          local e, mine = expected[k], n:lookup(host)
          local theirs = e ~= json.null and {e[1], e[2], e[3]} or nil
          assert.same(theirs, mine and {mine.login or "", mine.account or "", mine.password or ""},
            texts[i])
        end
      end
    end
    assert.is_true(read > 800, read)
  end)
end)

-- SPDX-License-Identifier: MIT
-- corun.url against node's URL: the same answer to some thousand texts, made of the pieces that
-- matter, and relative to bases. Where the two differ on purpose the pieces are left out: "^" in a
-- path, symbols in domains, spaces at the end of an opaque path (url_spec shows those).
local url = require "corun.url"
local json = require "corun.json"

local SCHEMES = {"http:", "https:", "HTTP:", "ws:", "wss:", "ftp:", "file:", "foo:", "web+x:", "",
  "", "1x:", "a b:", "mailto:", "data:", "h\tttp:", " http:", "java-script.1:"}
local SLASHES = {"//", "//", "//", "/", "", "///", "\\\\", "/\\", "\\", "/\n/", "////"}
local USERS = {"", "", "", "", "u@", "u:p@", ":p@", "u:@", "@", ":@", "a@b@", "a:b:c@", "ü:\"<@",
  "%41:%@", "a b:c'd@", "[x]:|@"}
local HOSTS = {"h", "example.com", "EXAMPLE.Com", "a.b.c.", "", "localhost", "LOCALHOST",
  "1.2.3.4", "1.2.3", "1.2", "1", "0x7f.1", "0X7F.0.0.1", "017700000001", "256", "4294967295",
  "4294967296", "1.256.1.1", "1.2.3.4.5", "1..2", "1.2.3.4.", "1.2.3.4..", "0x", "0x.0x", "08",
  "0xg", "1.2.3.08", "foo.0x4", "foo.09", "foo.1a", "a%41b", "%zz", "a%00b", "a%2fb", "a%",
  "%41%2E%31", "münchen.de", "faß.de", "FAß.de", "bücher.例え", "xn--mnchen-3ya.de",
  "XN--MNCHEN-3YA.de", "xn--a", "日本語.jp", "ａｂｃ.com", "a。b", "１.２.３.４", "%e4%b8%ad.cn",
  "a\194\173b.com", "\194\173", "[::1]", "[::]", "[1:2:3:4:5:6:7:8]", "[1:0:0:2:0:0:0:3]",
  "[0:0:0:0:0:0:0:0]", "[1::8]", "[::1.2.3.4]", "[::ffff:1.2.3.4]", "[::1.2.3]", "[::1.2.3.4.5]",
  "[::01.2.3.4]", "[::256.1.1.1]", "[1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:7:8:9]",
  "[::1::]", "[:1]", "[1:]", "[12345::]", "[g::]", "[::1", "::1]", "[::1%25eth0]", "[FE80::ABCD]",
  "[1:2:3:4:5:6:1.2.3.4]", "[1:2:3:4:5:6:7:1.2.3.4]", "[::1]x", "x[::1]", "a_b.c", "-a-", "a--b",
  "ab--c.de", "a b", "a<b", "a|b", "a{b}", "a`b", "a~b", "a!$&'()*+,;=b", "a\127b", "a\1b",
  "a%7fb", "C:", "c|", "C|", "xn--", "a.xn--", "ά", "Ω.gr", "é", "e\204\129", "مثال.إختبار",
  "עברית"}
local PORTS = {"", "", "", "", ":", ":80", ":443", ":21", ":8080", ":0", ":00080", ":65535",
  ":65536", ":99999999999", ":x", ":8x", ":-1", ": 80", ":8\t0", ":80:80"}
local PATHS = {"", "", "/", "/a", "/a/b", "/a/./b", "/a/../b", "/../..", "/a/..", "/a/.",
  "/%2e/b", "/a/%2E%2e/b", "/.%2E", "/...", "/..a", "//", "//a", "/a//b/../c", "\\a\\b",
  "/a\\..\\b", "/C:/x", "/C|/x", "/C|", "/C:", "/C:/..", "/x/C|/y", "/c:x", "a/b", "./a", "../a",
  "..", ".", "/a b", "/\"<>`{}|", "/é", "/\255\254", "/%41%zz%", "/%e9", "/a;b=c,d",
  "/:@!$&'()*+,;=", "/a\tb", "/a\n", "/~", "/\1\127", "/[]", "..//x", "/..//x", "/.//x", "x:y",
  "C|/x", "C|x", "/..\\..", "/a/%2e%2e%2f"}
local QUERIES = {"", "", "", "?", "?a=b", "?a b", "?'\"<>`{}|\\", "?é", "??", "?#", "?%41%",
  "?/../", "?\255", "?a\nb"}
local FRAGMENTS = {"", "", "", "#", "#f", "#a b", "#\"<>`{}|\\'", "#é", "##", "#?", "#%41%",
  "#a\tb"}
local BASES = {"http://h/a/b/c?q#f", "https://u:p@h:8443/d/", "file:///C:/a/b", "file:///a/b",
  "file://host/a", "foo://h/a/b?q", "foo://h", "foo:/a/b", "foo:/.//p", "mailto:x@y",
  "data:,x?q#f", "http://h", "about:blank", "ws://h//x//y", "foo://h?q"}

-- The same series in each run.
local state = 7
local function pick(list)
  state = (state * 6364136223846793005 + 1442695040888963407)
  return list[(state >> 33) % #list + 1]
end

local function cases()
  local out = {}
  local function add(text, base) out[#out + 1] = {text, base} end
  for _, scheme in ipairs{"http:", "foo:", "file:"} do
    for _, host in ipairs(HOSTS) do add(scheme .. "//" .. host .. "/") end
    for _, path in ipairs(PATHS) do
      add(scheme .. "//h" .. path)
      add(scheme .. path)
    end
    for _, user in ipairs(USERS) do
      add(scheme .. "//" .. user .. "h")
      add(scheme .. "//" .. user)
    end
    for _, port in ipairs(PORTS) do add(scheme .. "//h" .. port) end
    for _, q in ipairs(QUERIES) do
      for _, f in ipairs(FRAGMENTS) do add(scheme .. "//h/" .. q .. f) end
    end
  end
  for _, base in ipairs(BASES) do
    for _, path in ipairs(PATHS) do
      add(path, base)
      add("http:" .. path, base)
      add("file:" .. path, base)
    end
    for _, q in ipairs(QUERIES) do add(q, base) end
    for _, f in ipairs(FRAGMENTS) do add(f, base) end
    for _, slashes in ipairs(SLASHES) do add(slashes .. "x/y", base) end
  end
  for i = 1, 4000 do
    local text = pick(SCHEMES) .. pick(SLASHES) .. pick(USERS) .. pick(HOSTS) .. pick(PORTS) ..
      pick(PATHS) .. pick(QUERIES) .. pick(FRAGMENTS)
    add(text, i % 3 == 0 and pick(BASES) or nil)
  end
  return out
end

local SCRIPT = [[
const {readFileSync} = require("fs");
const hex = s => Buffer.from(s, "hex");
const out = readFileSync(0, "latin1").trim().split("\n").map(line => {
  const [text, base] = line.split(" ").map(s => s === "-" ? undefined : hex(s.slice(1)).toString());
  try {
    const u = new URL(text, base);
    return [u.href, u.protocol, u.username, u.password, u.hostname, u.port, u.pathname, u.search,
      u.hash];
  } catch { return null }
});
process.stdout.write(JSON.stringify(out));
]]

local function ask_node(list)
  local input, script = os.tmpname(), os.tmpname()
  local f = assert(io.open(input, "w"))
  for _, c in ipairs(list) do
    local function hex(s) return (s:gsub(".", function(b) return ("%02x"):format(b:byte()) end)) end
    f:write("x", hex(c[1]), " ", c[2] and "x" .. hex(c[2]) or "-", "\n")
  end
  f:close()
  f = assert(io.open(script, "w"))
  f:write(SCRIPT)
  f:close()
  local p = assert(io.popen(("node %s <%s"):format(script, input)))
  local answer = p:read("a")
  p:close()
  os.remove(input)
  os.remove(script)
  return assert(json.decode(answer))
end

local function shown(s) return s and ("%q"):format(s):gsub("[^ -~]", function(c)
  return ("\\x%02x"):format(c:byte())
end) end

-- What node calls the parts.
local function parts(u)
  local function before(sign, s) return s and s ~= "" and sign .. s or "" end
  local host = u.host or ""
  if host:find(":", 1, true) then host = "[" .. host .. "]" end
  return {tostring(u), u.scheme .. ":", u.user or "", u.password or "", host,
    u.port and tostring(u.port) or "", u.path, before("?", u.query), before("#", u.fragment)}
end

-- Bytes that are no UTF-8 reach node as U+FFFD.
local function is_comparable(c)
  return utf8.len(c[1]) ~= nil
end

-- Where node 20 does not do what the standard says, and corun does.
local function is_fault_of_node(c, u, answer)
  local base = c[2] or ""
  -- it takes a "#" anywhere for one at the beginning
  if not u and (base:find("^mailto:") or base:find("^data:") or base:find("^about:")) then
    return c[1]:find("#", 1, true) ~= nil
  end
  -- ".." at the end leaves the last slash
  if u and answer and u.path == "/" and answer[7] == "" then return c[1]:find("%.") ~= nil end
  -- the drive of a file is a segment of two characters, not the beginning of a longer one
  return u and u.scheme == "file" and c[1]:find("%a[:|][^/\\?#]") ~= nil
end

describe("url with node", function()
  it("parses alike", function()
    if not os.execute("command -v node >/dev/null") then return pending("node is not installed") end
    local list = {}
    for _, c in ipairs(cases()) do
      if is_comparable(c) then list[#list + 1] = c end
    end
    assert.is_true(#list > 5000)
    local answers, bad, good = ask_node(list), {}, 0
    for i, c in ipairs(list) do
      local u, err = url.parse(c[1], c[2])
      local answer = answers[i]
      if answer == json.null then answer = nil end
      local ours = u and table.concat(parts(u), "  ") or nil
      local theirs = answer and table.concat(answer, "  ") or nil
      if ours ~= theirs and not is_fault_of_node(c, u, answer) then
        bad[#bad + 1] = ("%s on %s\n  node:  %s\n  corun: %s"):format(shown(c[1]),
          c[2] or "nothing", theirs, ours or err)
      end
      if u then
        good = good + 1
        local again = assert(url.parse(tostring(u)))
        assert.same(parts(u), parts(again), c[1])
        assert.equal(tostring(u), url.build(u), c[1])
      end
    end
    assert.is_true(good > 2000)
    assert.equal("", table.concat(bad, "\n", 1, math.min(#bad, 40)), #bad .. " differ")
  end)
end)

-- SPDX-License-Identifier: MIT
-- Which character set a body is in, and its text in UTF-8; Python's codecs are the oracle.
local corun = require "corun"
local charset = require "corun.http_charset"
local core = require "corun.charsetcore"
local codec = require "corun.codec"
local json = require "corun.json"
local process = require "corun.process"

-- Run a Python function f(x) over each item of a list.
local function python(code, list)
  local main = code .. "\nimport json, sys\nsys.stdout.reconfigure(encoding='utf-8')\n" ..
    "print(json.dumps([f(x) for x in json.load(sys.stdin)]))\n"
  local res = assert(process.run({"python3", "-c", main}, {input = json.encode(list)}))
  assert(res.ok, res.stderr)
  return assert(json.decode(res.stdout))
end

describe("http_charset.of", function()
  it("finds the charset of a Content-Type", function()
    local cases = {
      {"text/html; charset=utf-8", "utf-8"}, {"text/html;CHARSET=\"Shift_JIS\"", "shift_jis"},
      {"text/html ; a=b;charset = latin1 ; c=d", "latin1"}, {"text/html; charset='UTF-8'", "utf-8"},
      {'text/html; a="x; charset=no"; charset=yes', "yes"}, {"text/html; charset=a;charset=b", "a"},
      {'text/html; charset="";charset=b', "b"}, {"text/html", nil}, {"charset=x", nil}, {nil, nil},
      {"text/html; charset", nil}, {"text/html; charset=", nil}, {"text/html; xcharset=a", nil},
      {"text/html;;; charset=a", "a"}, {'text/html; charset="a', "a"}, {"", nil}, {";", nil},
    }
    for i = 1, #cases do
      assert.equal(cases[i][2], charset.of(cases[i][1]), cases[i][1])
    end
    assert.is_nil(charset.of("a" .. (";"):rep(50000)))
    assert.equal("a", charset.of("a;charset=a" .. (" "):rep(50000)))
  end)
end)

describe("http_charset.text", function()
  it("takes the caller's word, a mark, the header, UTF-8, in this order", function()
    local function text(...) return (assert(charset.text(...))) end
    assert.equal("é", text("é"))
    assert.equal("é", text("\233", "text/html; charset=ISO-8859-1"))
    assert.equal("\226\130\172", text("\128", "text/html; charset=latin1")) -- as browsers do
    assert.equal("é", text("\239\187\191é", "text/html; charset=latin1"))
    assert.equal("é", text("\255\254\233\0", "text/html; charset=utf-8"))
    assert.equal("é", text("\254\255\0\233"))
    assert.equal("ż", text("\191", "text/html; charset=latin1", "ISO-8859-2"))
    assert.equal("é", text("\255\254\233\0", nil, "UTF-16"))
    assert.equal("ÿþ", text("\255\254", nil, "latin1"))
    assert.equal("", text("", "text/html; charset=gbk"))
    assert.equal("", text("\239\187\191"))
  end)

  it("says which charset it does not know", function()
    for _, name in ipairs{"x-none", "utf-7", "utf-8//translit", "hz-gb-2312", "internal"} do
      local text, err = charset.text("abc", "text/html; charset=" .. name)
      assert.is_nil(text)
      assert.equal("ECHARSET", err.code)
      assert.equal(('decode: the charset "%s" is not known (ECHARSET)'):format(name), tostring(err))
    end
    local _, err = charset.text("abc", nil, "\1" .. ("x"):rep(1000))
    assert.is_true(#err.message < 120)
  end)

  it("reads every charset as Python does", function()
    local names = {}
    for name in ([[ibm866 iso-8859-2 iso-8859-3 iso-8859-4 iso-8859-5 iso-8859-6 iso-8859-7
      iso-8859-8 iso-8859-10 iso-8859-13 iso-8859-14 iso-8859-15 iso-8859-16 koi8-r koi8-u
      windows-1250 windows-1251 windows-1252 windows-1253 windows-1254 windows-1255 windows-1256
      windows-1257 windows-1258 macintosh x-mac-cyrillic windows-874 gbk gb18030 big5 euc-jp
      iso-2022-jp shift_jis euc-kr utf-16le utf-16be utf-8]]):gmatch("%S+") do
      names[#names + 1] = name
    end
    -- Of each charset the characters of these that it has, a letter behind each. (U+02CD is not
    -- in glibc's Big5, the euro sign not in its x-mac-cyrillic.)
    local expected = python([[
import base64
python = {"x-mac-cyrillic": "mac-cyrillic", "windows-874": "cp874", "shift_jis": "cp932",
          "gbk": "gb18030", "euc-kr": "cp949", "big5": "big5hkscs"}
text = [chr(i) for i in range(0xA0, 0x653) if i != 0x2CD] + \
  [chr(i) for i in range(0xE01, 0xE3B)] + \
  list("日本語中文漢字テスト한국어かなカナ“”–…") + [chr(i) for i in range(0x4E00, 0x4E80)]
def f(name):
    codec, kept = python.get(name, name), []
    for c in text:
        try:
            if c.encode(codec).decode(codec) == c: kept.append(c + "x")
        except UnicodeError: pass
    whole = "".join(kept)
    return [whole, base64.b64encode(whole.encode(codec)).decode()]
]], names)
    for i, name in ipairs(names) do
      local text = assert(charset.text(codec.base64.decode(expected[i][2]), nil, name))
      assert.is_true(#text > 20, name)
      assert.equal(expected[i][1], text, name)
    end
  end)

  it("replaces what stands for no character, as Python does", function()
    local state, inputs = 5, {}
    local bytes = {0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0, 0xE2,
      0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF}
    for i = 1, 3000 do
      local parts = {}
      for k = 1, i % 9 + 1 do
        state = state * 6364136223846793005 + 1442695040888963407
        parts[k] = string.char(bytes[(state >> 33) % #bytes + 1])
      end
      inputs[i] = table.concat(parts)
    end
    local coded = {}
    for i, s in ipairs(inputs) do coded[i] = codec.hex.encode(s) end
    for _, name in ipairs{"utf-8", "utf-16le"} do
      local theirs = python(("def f(s): return bytes.fromhex(s).decode('%s', 'replace')")
        :format(name), coded)
      for i, s in ipairs(inputs) do
        assert.equal(theirs[i], (charset.text("\65\0" .. s, nil, name):gsub("^A%z?", "")), coded[i])
      end
    end
    assert.equal("a\u{FFFD}b", charset.text("a\129b", nil, "latin1"))
    assert.equal("\u{FFFD} \u{FFFD}", charset.text("\129 \129", nil, "shift_jis"))
  end)

  it("gives the same however a body is cut", function()
    local body = "aé日本€\u{1F600}"
    for _, name in ipairs{"UTF-8", "UTF-16LE", "CP932", "ISO-2022-JP", "GB18030", "BIG5-HKSCS"} do
      for _, s in ipairs{body, "\27$B$3\27(B", "\136f\136\98a", "\129\48\137\56x\216\61\222",
        "\255\240\159\152", "\0\216a\0"} do
        local whole = core.decoder(name):feed(s, true)
        for n = 1, #s do
          local d, out = core.decoder(name), {}
          for at = 1, #s, n do out[#out + 1] = d:feed(s:sub(at, at + n - 1), at + n > #s) end
          assert.equal(whole, table.concat(out), ("%s %q %d"):format(name, s, n))
        end
      end
    end
  end)

  it("lets other tasks run while it decodes a large body", function()
    local body, turns = ("日本é\n"):rep(200000), 0
    corun.scope(function(s)
      for _ = 1, 8 do -- one of which is likely to come on, whatever the order
        s:daemon(function()
          while true do
            corun.yield()
            turns = turns + 1
          end
        end)
      end
      assert.equal(body, charset.text(body, "text/plain; charset=utf-8"))
    end)
    assert.is_true(turns > 0)
  end)
end)

-- SPDX-License-Identifier: MIT
-- corun.json: what RFC 8259 says must be accepted is, what it says must be refused is; what it
-- leaves open is as docs/json.md says. One test a text.

local json = require("corun.json")

local null = json.null

-- A name for a test that shows every byte of its text.
local function shown(text)
  if #text > 60 then
    text = text:sub(1, 28) .. "..." .. text:sub(-28) .. " (" .. #text .. " bytes)"
  end
  return (text:gsub("[^\32-\126]", function(c) return ("<%02X>"):format(c:byte()) end))
end

-- Equal in type, in subtype and to the bit; tables by their contents.
local function same(a, b)
  if math.type(a) ~= math.type(b) or type(a) ~= type(b) then return false end
  if math.type(a) == "float" then return string.pack("d", a) == string.pack("d", b) end
  if type(a) ~= "table" then return rawequal(a, b) end
  for k, v in pairs(a) do
    if not same(v, b[k]) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end

local function accepts(list)
  for i = 1, #list do
    local text, expected = list[i][1], list[i][2]
    it("accepts " .. shown(text), function()
      local value, err = json.decode(text)
      assert.is_nil(err)
      assert.is_true(same(value, expected))
      local again = json.encode(value)
      assert.is_true(same(json.decode(again), expected))
    end)
  end
end

-- Each: text, reason, 1-based offset of the byte that cannot be right.
local function refuses(list)
  for i = 1, #list do
    local text, reason, offset = list[i][1], list[i][2], list[i][3]
    it("refuses " .. shown(text), function()
      local value, err = json.decode(text)
      assert.is_nil(value)
      assert.equal(("%s at byte %d"):format(reason, offset), err.message)
      assert.equal(offset, err.offset)
      assert.equal("EJSON", err.code)
      assert.equal("decode", err.op)
    end)
  end
end

local END = "unexpected end of text"
local VALUE = "expected a value"
local KEY = "expected a string as the key"
local COLON = "expected ':' after a key"
local ITEM = "expected ',' or ']'"
local MEMBER = "expected ',' or '}'"
local AFTER = "text after the end of the value"
local ZERO = "leading zero in a number"
local DIGIT = "expected a digit"
local RANGE = "number out of range"
local CONTROL = "unescaped control character in a string"
local ESCAPE = "invalid escape in a string"
local UNICODE = "invalid \\u escape in a string"
local LONE = "lone surrogate in a string"
local UTF8 = "invalid UTF-8"
local DEEP = "nested too deep"

-- All but the last digit of 2^1024 - 2^970: what rounds to infinity begins there.
local HALFWAY = "179769313486231580"
  .. "7937289714053034150799341327100378269361737789804449682927647509466490"
  .. "1797758720709633028641669288791094655554785194040263065748867150582068190890200070838367"
  .. "6273854845817711531764475730270069855571366959622842914819860834936475292719074168444365"
  .. "51070434271155969950809304288017790417449779"

local MAX = 0x1.fffffffffffffp1023 -- the largest float

describe("json.decode, literals and structure", function()
  accepts{
    {"null", null}, {"true", true}, {"false", false}, {"0", 0}, {'""', ""}, {"[]", {}},
    {"{}", {}}, {"[null]", {null}}, {"[true,false]", {true, false}}, {"[[]]", {{}}},
    {"[{}]", {{}}}, {"[[],[]]", {{}, {}}}, {"[1]", {1}}, {"[1,2,3]", {1, 2, 3}},
    {"[1,[2,[3]]]", {1, {2, {3}}}}, {'{"a":1}', {a = 1}}, {'{"a":{}}', {a = {}}},
    {'{"a":[]}', {a = {}}}, {'{"a":null}', {a = null}}, {'{"a":1,"b":2}', {a = 1, b = 2}},
    {'{"a":{"b":{"c":true}}}', {a = {b = {c = true}}}}, {'{"":0}', {[""] = 0}},
    {'{"1":2}', {["1"] = 2}}, {'{"a b":1}', {["a b"] = 1}}, {'{"\\u0061":1}', {a = 1}},
    {'{"\\"":1}', {['"'] = 1}}, {'{"a":[1,{"b":[2]}]}', {a = {1, {b = {2}}}}},
    {'[{"a":1},{"a":2}]', {{a = 1}, {a = 2}}}, {'[[[[[[1]]]]]]', {{{{{{1}}}}}}},
    {'{"a":1,"a":2}', {a = 2}}, {'{"a":1,"a":null}', {a = null}},
    {'{"a":1,"b":2,"\\u0061":3}', {a = 3, b = 2}}, {'{"a":[1],"a":{"b":2}}', {a = {b = 2}}},
    {'{"a":"b","a":"b"}', {a = "b"}}, {'[null,null]', {null, null}},
    {'[1,"1",1.0,true,null,[],{}]', {1, "1", 1.0, true, null, {}, {}}},
  }
  accepts{ -- white space is space, tab, line feed and carriage return, between tokens
    {" 1", 1}, {"1 ", 1}, {"\t1\t", 1}, {"\n1\n", 1}, {"\r1\r", 1}, {"\r\n 1 \r\n", 1},
    {" [ ] ", {}}, {" { } ", {}}, {"[\n]", {}}, {"{\t}", {}}, {"[ 1 , 2 ]", {1, 2}},
    {'{ "a" : 1 }', {a = 1}}, {'{\n  "a": [\n    1\n  ]\n}\n', {a = {1}}},
    {"\n\n\n\n\n\n\n\n[\n1\n]\n\n\n", {1}}, {(" "):rep(1000) .. "7", 7},
    {"7" .. (" "):rep(1000), 7}, {' "a b" ', "a b"}, {"[1\n,2\n]", {1, 2}},
    {'{"a"\n:\n1}', {a = 1}}, {" null ", null},
  }
  refuses{
    {"", END, 1}, {" ", END, 2}, {"\n\t \r", END, 5}, {"[", END, 2}, {"{", END, 2}, {"]", VALUE, 1},
    {"}", VALUE, 1}, {",", VALUE, 1}, {":", VALUE, 1}, {"[1", END, 3}, {"[1,", END, 4},
    {"[1,]", VALUE, 4}, {"[,1]", VALUE, 2}, {"[,]", VALUE, 2}, {"[1,,2]", VALUE, 4},
    {"[1 2]", ITEM, 4}, {"[1 true]", ITEM, 4}, {'["a" "b"]', ITEM, 6}, {'["a""b"]', ITEM, 5},
    {"[1}", ITEM, 3}, {"[1:2]", ITEM, 3}, {"[1;2]", ITEM, 3}, {"[}", VALUE, 2}, {"[:]", VALUE, 2},
    {"{]", KEY, 2}, {"{,}", KEY, 2}, {'{"a"', END, 5}, {'{"a":', END, 6}, {'{"a":1', END, 7},
    {'{"a":1,', END, 8}, {'{"a":1,}', KEY, 8}, {'{"a":1,,"b":2}', KEY, 8}, {'{,"a":1}', KEY, 2},
    {'{"a"}', COLON, 5}, {'{"a",1}', COLON, 5}, {'{"a" 1}', COLON, 6}, {'{"a"::1}', VALUE, 6},
    {'{"a":}', VALUE, 6}, {'{"a":,}', VALUE, 6}, {'{"a":1]', MEMBER, 7},
    {'{"a":1 "b":2}', MEMBER, 8},
    {'{"a":1;"b":2}', MEMBER, 7}, {'{"a":1:2}', MEMBER, 7}, {"{1:2}", KEY, 2}, {"{a:1}", KEY, 2},
    {"{'a':1}", KEY, 2}, {"{null:1}", KEY, 2}, {"{true:1}", KEY, 2}, {"{[]:1}", KEY, 2},
    {"{{}:1}", KEY, 2}, {"[[]", END, 4}, {"[[1]", END, 5}, {'{"a":{}', END, 8}, {"[[1],", END, 6},
    {"[]]", AFTER, 3}, {"[1]]", AFTER, 4}, {"{}}", AFTER, 3}, {"[][]", AFTER, 3},
    {"{}{}", AFTER, 3},
    {"[1],", AFTER, 4}, {"[1]1", AFTER, 4}, {"1 2", AFTER, 3}, {"1,2", AFTER, 2}, {"1]", AFTER, 2},
    {"null null", AFTER, 6}, {"nullnull", AFTER, 5}, {"truefalse", AFTER, 5}, {"true1", AFTER, 5},
    {'""""', AFTER, 3}, {'"a"b', AFTER, 4}, {'"a" "b"', AFTER, 5}, {'"a":1', AFTER, 4},
    {"[1]x", AFTER, 4}, {"[1]\0", AFTER, 4}, {"1\0", AFTER, 2}, {"true\0", AFTER, 5},
    {'""\0', AFTER, 3}, {"{}\0{}", AFTER, 3}, {"[1] // one", AFTER, 5}, {"[1]#", AFTER, 4},
    {"\0", VALUE, 1}, {"\0[1]", VALUE, 1}, {"[\0]", VALUE, 2}, {"[1\0]", ITEM, 3},
    {"[1,\0]", VALUE, 4}, {'{"a"\0:1}', COLON, 5},
  }
  refuses{ -- words, and white space that is none
    {"n", VALUE, 1}, {"nul", VALUE, 1}, {"nulL", VALUE, 1}, {"Null", VALUE, 1}, {"NULL", VALUE, 1},
    {"nil", VALUE, 1}, {"undefined", VALUE, 1}, {"t", VALUE, 1}, {"tru", VALUE, 1},
    {"True", VALUE, 1}, {"TRUE", VALUE, 1}, {"fals", VALUE, 1}, {"False", VALUE, 1},
    {"[nul]", VALUE, 2}, {"[tru", VALUE, 2}, {"[fals,1]", VALUE, 2}, {"[truex]", ITEM, 6},
    {"[nullx]", ITEM, 6}, {"[falsey]", ITEM, 7}, {"truex", AFTER, 5}, {"NaN", VALUE, 1},
    {"nan", VALUE, 1}, {"[NaN]", VALUE, 2}, {"Infinity", VALUE, 1}, {"inf", VALUE, 1},
    {"[Infinity]", VALUE, 2}, {"abc", VALUE, 1}, {"'a'", VALUE, 1}, {"`a`", VALUE, 1},
    {"[\f1]", VALUE, 2}, {"[\v1]", VALUE, 2}, {"[1\f]", ITEM, 3}, {"[1,\b2]", VALUE, 4},
    {"\f[]", VALUE, 1}, {"[]\f", AFTER, 3}, {"[1\26 2]", ITEM, 3}, {'["a"\f"b"]', ITEM, 5},
    {'{"a"\26 1}', COLON, 5}, {"[\xC2\xA01]", VALUE, 2}, {"\xC2\xA01", VALUE, 1},
    {"[1]\xC2\xA0", AFTER, 4}, {"[\xE2\x80\xA8]", VALUE, 2}, {"\xE3\x80\x80[]", VALUE, 1},
    {"/**/[1]", VALUE, 1}, {"[/**/1]", VALUE, 2}, {"[1/**/]", ITEM, 3}, {"// x\n1", VALUE, 1},
    {"(1)", VALUE, 1}, {"<1>", VALUE, 1}, {"[1,...]", VALUE, 4}, {"*", VALUE, 1}, {"@", VALUE, 1},
    {"\\u005B1]", VALUE, 1}, {"[é]", VALUE, 2}, {"{é:1}", KEY, 2},
  }
end)

describe("json.decode, numbers", function()
  accepts{ -- without fraction and exponent: an integer where 64 bits hold it
    {"0", 0}, {"-0", 0}, {"1", 1}, {"-1", -1}, {"9", 9}, {"10", 10}, {"-10", -10}, {"123", 123},
    {"1234567890", 1234567890}, {"2147483647", 2147483647}, {"2147483648", 2147483648},
    {"-2147483648", -2147483648}, {"4294967296", 4294967296},
    {"9007199254740991", 9007199254740991}, {"9007199254740992", 9007199254740992},
    {"9007199254740993", 9007199254740993}, {"-9007199254740993", -9007199254740993},
    {"12345678901234567", 12345678901234567}, {"999999999999999999", 999999999999999999},
    {"1000000000000000000", 1000000000000000000}, {"9223372036854775806", math.maxinteger - 1},
    {"9223372036854775807", math.maxinteger}, {"-9223372036854775807", -math.maxinteger},
    {"-9223372036854775808", math.mininteger}, {"[-9223372036854775808]", {math.mininteger}},
  }
  accepts{ -- beyond: the nearest float
    {"9223372036854775808", 2^63}, {"9223372036854775809", 2^63}, {"-9223372036854775809", -2^63},
    {"-9223372036854775810", -2^63}, {"-10000000000000000000", -1e19},
    {"9999999999999999999", 1e19}, {"10000000000000000000", 1e19},
    {"18446744073709551615", 2^64}, {"18446744073709551616", 2^64},
    {"18446744073709551617", 2^64}, {"-18446744073709551616", -2^64},
    {"20000000000000000000", 2e19}, {"99999999999999999999", 1e20},
    {"100000000000000000000", 1e20},
    {"123456789012345678901234567890", 123456789012345678901234567890.0},
    {"-123456789012345678901234567890", -123456789012345678901234567890.0},
    {"36893488147419107329", 36893488147419107329.0}, {"[18446744073709551616,1]", {2^64, 1}},
    {'{"a":18446744073709551616,"b":"18446744073709551616"}',
      {a = 2^64, b = "18446744073709551616"}},
    {"[1" .. ("0"):rep(300) .. ",2,-1" .. ("0"):rep(300) .. "]", {1e300, 2, -1e300}},
    {"1" .. ("0"):rep(308), 1e308}, {HALFWAY .. "1", MAX}, {"-" .. HALFWAY .. "1", -MAX},
  }
  accepts{ -- with fraction or exponent: a float, always
    {"0.0", 0.0}, {"-0.0", -0.0}, {"1.0", 1.0}, {"-1.0", -1.0}, {"1.5", 1.5}, {"-1.5", -1.5},
    {"0.1", 0.1}, {"0.5", 0.5}, {"3.14159", 3.14159}, {"1e0", 1.0}, {"1E0", 1.0}, {"1e5", 1e5},
    {"1E5", 1e5}, {"1e+5", 1e5}, {"1E+5", 1e5}, {"1e-5", 1e-5}, {"1E-5", 1e-5}, {"1e05", 1e5},
    {"1e-05", 1e-5}, {"1e+00", 1.0}, {"0e0", 0.0}, {"0E0", 0.0}, {"-0e0", -0.0}, {"0e+1", 0.0},
    {"0.0e5", 0.0}, {"-0.0e-5", -0.0}, {"1.5e3", 1500.0}, {"-1.5E-3", -0.0015},
    {"123.456e2", 12345.6},
    {"10.0", 10.0}, {"100e-2", 1.0}, {"0.00001", 0.00001}, {"0.000000000000000000001", 1e-21},
    {"1.0000000000000002", 1.0000000000000002}, {"0.30000000000000004", 0.1 + 0.2},
    {"9007199254740993.0", 9007199254740992.0}, {"9007199254740995.0", 9007199254740996.0},
    {"9223372036854775807.0", 2^63}, {"1.7976931348623157e308", MAX},
    {"-1.7976931348623157e308", -MAX},
    {"1.7976931348623158e308", MAX},
    {"1.79769313486231580e308", MAX}, {"17976931348623157e292", MAX},
    {"2.2250738585072014e-308", 0x1p-1022}, {"2.2250738585072011e-308", 0x0.fffffffffffffp-1022},
    {"2.2250738585072012e-308", 0x1p-1022}, {"5e-324", 0x1p-1074},
    {"4.9406564584124654e-324", 0x1p-1074},
    {"2.4703282292062328e-324", 0x1p-1074}, {"2.4703282292062327e-324", 0.0},
    {"1e-324", 0.0}, {"-1e-324", -0.0}, {"1e-400", 0.0}, {"-1e-400", -0.0},
    {"1e-99999999999999999999", 0.0},
    {"0e400", 0.0}, {"0e99999999999999999999", 0.0}, {"0.0e400", 0.0}, {"-0e400", -0.0},
    {"0." .. ("0"):rep(400) .. "1e401", 1.0}, {"1" .. ("0"):rep(400) .. "e-400", 1.0},
    {"1." .. ("0"):rep(500), 1.0}, {"0." .. ("3"):rep(500), 1 / 3}, {"1e308", 1e308},
    {"123456789012345678901234567890.5", 123456789012345678901234567890.5},
    {"7.2057594037927933e16", 2^56}, {"1.00000000000000011102230246251565404", 1.0},
    {"1.00000000000000011102230246251565405", 1.0000000000000002}, {"8.5e1", 85.0},
    {"1e00000000000000000000001", 10.0}, {"[1.0,1,1e0]", {1.0, 1, 1.0}}, {"[-0,-0.0]", {0, -0.0}},
  }
  refuses{
    {"01", ZERO, 1}, {"00", ZERO, 1}, {"-01", ZERO, 2}, {"-00", ZERO, 2}, {"012", ZERO, 1},
    {"00.5", ZERO, 1}, {"[01]", ZERO, 2}, {"[1,02]", ZERO, 4}, {"01e5", ZERO, 1},
    {"-", END, 2}, {"[-]", DIGIT, 3}, {"--1", DIGIT, 2}, {"-a", DIGIT, 2}, {"- 1", DIGIT, 2},
    {"-.5", DIGIT, 2}, {"-Infinity", DIGIT, 2}, {"-NaN", DIGIT, 2}, {"[-", END, 3},
    {"+1", VALUE, 1},
    {"[+1]", VALUE, 2}, {".5", VALUE, 1}, {"[.5]", VALUE, 2}, {"1.", END, 3}, {"[1.]", DIGIT, 4},
    {"1.e5", DIGIT, 3}, {"1.a", DIGIT, 3}, {"0.", END, 3}, {"-0.", END, 4}, {"1.5.5", AFTER, 4},
    {"[1.5.5]", ITEM, 5}, {"1e", END, 3}, {"1E", END, 3}, {"[1e]", DIGIT, 4}, {"1e+", END, 4},
    {"[1e+]", DIGIT, 5}, {"[1e-]", DIGIT, 5}, {"1e1.5", AFTER, 4}, {"1ee1", DIGIT, 3},
    {"1e+-1", DIGIT, 4}, {"1e 5", DIGIT, 3}, {"e5", VALUE, 1}, {"1 e5", AFTER, 3},
    {"0x10", AFTER, 2},
    {"[0x10]", ITEM, 3}, {"0X1F", AFTER, 2}, {"0b1", AFTER, 2}, {"0o7", AFTER, 2},
    {"1_000", AFTER, 2},
    {"1,000", AFTER, 2}, {"1f", AFTER, 2}, {"1n", AFTER, 2}, {"[1a]", ITEM, 3}, {"1/2", AFTER, 2},
    {"\xEF\xBC\x91", VALUE, 1}, {"1\xD9\xA1", AFTER, 2}, {"[1.5x]", ITEM, 5}, {"-1-", AFTER, 3},
    {"1-1", AFTER, 2}, {"1+1", AFTER, 2}, {'[1"a"]', ITEM, 3}, {"123abc", AFTER, 4},
    {"18446744073709551616x", AFTER, 21}, {"[18446744073709551616", END, 22},
    {"[018446744073709551616]", ZERO, 2},
  }
  refuses{ -- a number no double can hold
    {"1e309", RANGE, 1}, {"-1e309", RANGE, 1}, {"1e400", RANGE, 1}, {"-1e400", RANGE, 1},
    {"[1e400]", RANGE, 2}, {"1.7976931348623159e308", RANGE, 1}, {"2e308", RANGE, 1},
    {"1e99999999999999999999", RANGE, 1}, {"0.1e310", RANGE, 1}, {"1" .. ("0"):rep(309), RANGE, 1},
    {"-1" .. ("0"):rep(309), RANGE, 1}, {"9" .. ("0"):rep(308), RANGE, 1},
    {"[1,2,1" .. ("0"):rep(400) .. "]", RANGE, 6}, {'{"a":1e999}', RANGE, 6},
    {HALFWAY .. "2", RANGE, 1},
  }
end)

describe("json.decode, strings", function()
  accepts{
    {'"a"', "a"}, {'"abc"', "abc"}, {'" "', " "}, {'"a b"', "a b"}, {'"\\""', '"'},
    {'"\\\\"', "\\"},
    {'"\\/"', "/"}, {'"/"', "/"}, {'"\\b"', "\b"}, {'"\\f"', "\f"}, {'"\\n"', "\n"},
    {'"\\r"', "\r"},
    {'"\\t"', "\t"}, {'"\\\\\\"\\/\\b\\f\\n\\r\\t"', '\\"/\b\f\n\r\t'}, {'"\\\\n"', "\\n"},
    {'"\\\\\\\\"', "\\\\"}, {'"\\u0000"', "\0"}, {'"a\\u0000b"', "a\0b"}, {'"\\u0001"', "\1"},
    {'"\\u001f"', "\31"}, {'"\\u001F"', "\31"}, {'"\\u0020"', " "}, {'"\\u0022"', '"'},
    {'"\\u005c"', "\\"}, {'"\\u007f"', "\127"}, {'"\127"', "\127"}, {'"\\u0041"', "A"},
    {'"\\u00e9"', "é"}, {'"\\u00E9"', "é"}, {'"\\u0080"', "\u{80}"}, {'"\\u07ff"', "\u{7FF}"},
    {'"\\u0800"', "\u{800}"}, {'"\\u20AC"', "€"}, {'"\\u20ac"', "€"}, {'"\\uABCD"', "\u{ABCD}"},
    {'"\\uabcd"', "\u{ABCD}"}, {'"\\ud7ff"', "\u{D7FF}"}, {'"\\ue000"', "\u{E000}"},
    {'"\\ufeff"', "\u{FEFF}"}, {'"\\ufffd"', "\u{FFFD}"}, {'"\\ufffe"', "\u{FFFE}"},
    {'"\\uffff"', "\u{FFFF}"}, {'"\\ud800\\udc00"', "\u{10000}"}, {'"\\uD834\\uDD1E"', "\u{1D11E}"},
    {'"\\ud83d\\ude00"', "\u{1F600}"}, {'"\\udbff\\udfff"', "\u{10FFFF}"},
    {'"a\\ud83d\\ude00b"', "a\u{1F600}b"}, {'"\\u0041\\u0042"', "AB"}, {'"\\u00411"', "A1"},
    {'"\\\\u0041"', "\\u0041"}, {'"é"', "é"}, {'"€"', "€"}, {'"\u{1F600}"', "\u{1F600}"},
    {'"\u{80}"', "\u{80}"}, {'"\u{7FF}"', "\u{7FF}"}, {'"\u{800}"', "\u{800}"},
    {'"\u{D7FF}"', "\u{D7FF}"}, {'"\u{E000}"', "\u{E000}"}, {'"\u{FFFF}"', "\u{FFFF}"},
    {'"\u{10000}"', "\u{10000}"}, {'"\u{10FFFF}"', "\u{10FFFF}"},
    {'"\u{2028}\u{2029}"', "\u{2028}\u{2029}"},
    {'"\u{FEFF}a"', "\u{FEFF}a"}, {'"[1,2]"', "[1,2]"}, {'"{\\"a\\":1}"', '{"a":1}'},
    {'"// no comment"', "// no comment"}, {'["a,b","c]d","e}f",":"]', {"a,b", "c]d", "e}f", ":"}},
    {'"' .. ("x"):rep(40) .. '"', ("x"):rep(40)}, {'"' .. ("x"):rep(41) .. '"', ("x"):rep(41)},
    {'"' .. ("x"):rep(100000) .. '"', ("x"):rep(100000)},
    {'"' .. ("é"):rep(5000) .. '"', ("é"):rep(5000)},
    {'"' .. ("\\n"):rep(5000) .. '"', ("\n"):rep(5000)},
    {'"' .. ("\\u00e9"):rep(999) .. '"', ("é"):rep(999)},
    {'{"' .. ("k"):rep(300) .. '":1}', {[("k"):rep(300)] = 1}},
    {'{"\\u0000":1,"\\u0000\\u0000":2}', {["\0"] = 1, ["\0\0"] = 2}},
    {'{"clé":"é"}', {["clé"] = "é"}}, {"\xEF\xBB\xBF[1]", {1}}, {"\xEF\xBB\xBF \"a\"", "a"},
  }
  refuses{
    {'"', END, 2}, {'["', END, 3}, {'"a', END, 3}, {'["a', END, 4}, {'["a,1]', END, 7},
    {'"a\\"', END, 5},
    {'"\\', END, 3}, {'["a\\', END, 5}, {'{"', END, 3}, {'{"a', END, 4}, {'{"a":"', END, 7},
    {'"\\"', END, 4}, {'"\\\\\\"', END, 6}, {'"\n"', CONTROL, 2}, {'"a\nb"', CONTROL, 3},
    {'"\t"', CONTROL, 2}, {'"\r"', CONTROL, 2}, {'"\0"', CONTROL, 2}, {'"\1"', CONTROL, 2},
    {'"\31"', CONTROL, 2}, {'"\b"', CONTROL, 2}, {'"\f"', CONTROL, 2}, {'["a\0b"]', CONTROL, 4},
    {'{"a\n":1}', CONTROL, 4}, {'"' .. ("x"):rep(100) .. '\n"', CONTROL, 102}, {'"\\a"', ESCAPE, 2},
    {'"\\x41"', ESCAPE, 2}, {'"\\0"', ESCAPE, 2}, {'"\\v"', ESCAPE, 2}, {'"\\e"', ESCAPE, 2},
    {'"\\\'"', ESCAPE, 2}, {'"\\ "', ESCAPE, 2}, {'"\\\n"', ESCAPE, 2}, {'"\\\0"', ESCAPE, 2},
    {'"\\N"', ESCAPE, 2}, {'"\\U0041"', ESCAPE, 2}, {'"\\é"', ESCAPE, 2}, {'"ab\\q"', ESCAPE, 4},
    {'{"\\q":1}', ESCAPE, 3}, {'"\\u"', UNICODE, 2}, {'"\\u0"', UNICODE, 2},
    {'"\\u00"', UNICODE, 2},
    {'"\\u004"', UNICODE, 2}, {'"\\u00g0"', UNICODE, 2}, {'"\\uXYZW"', UNICODE, 2},
    {'"\\u 041"', UNICODE, 2}, {'"\\u-041"', UNICODE, 2}, {'"\\u+041"', UNICODE, 2},
    {'"\\u{41}"', UNICODE, 2}, {'"\\u00é"', UNICODE, 2}, {'"\\u004', UNICODE, 2},
    {'"\\u0041', END, 8}, {'"\\ud800"', LONE, 2}, {'"\\udbff"', LONE, 2}, {'"\\udc00"', LONE, 2},
    {'"\\udfff"', LONE, 2}, {'"\\uD83D"', LONE, 2}, {'"\\ud800a"', LONE, 2},
    {'"\\ud800\\n"', LONE, 2},
    {'"\\ud800\\u0041"', LONE, 2}, {'"\\ud800\\ud800"', LONE, 2}, {'"\\ud800\\ue000"', LONE, 2},
    {'"\\udc00\\ud800"', LONE, 2}, {'"\\ud800\\u"', LONE, 2}, {'"\\ud800\\udc0"', LONE, 2},
    {'"\\ud800\\uDCgg"', LONE, 2}, {'"\\ud800\\ud800\\udc00"', LONE, 2},
    {'"x\\ud83d\\ude00\\ud83d"', LONE, 15},
    {'{"\\ud800":1}', LONE, 3}, {'"\\ud800', LONE, 2},
  }
  refuses{ -- bytes that are not UTF-8: RFC 3629, table 3-7 of the Unicode standard
    {'"\x80"', UTF8, 2}, {'"\xBF"', UTF8, 2}, {'"a\x80b"', UTF8, 3}, {'"\xC0\x80"', UTF8, 2},
    {'"\xC0\xAF"', UTF8, 2}, {'"\xC1\xBF"', UTF8, 2}, {'"\xC2"', UTF8, 2}, {'"\xC2a"', UTF8, 2},
    {'"\xC2\xC2"', UTF8, 2}, {'"\xE0\x80\x80"', UTF8, 2}, {'"\xE0\x80\xAF"', UTF8, 2},
    {'"\xE0\x9F\xBF"', UTF8, 2}, {'"\xE2\x82"', UTF8, 2}, {'"\xE2\x82a"', UTF8, 2},
    {'"\xE2(\xA1"', UTF8, 2},
    {'"\xED\xA0\x80"', UTF8, 2}, {'"\xED\xAF\xBF"', UTF8, 2}, {'"\xED\xB0\x80"', UTF8, 2},
    {'"\xED\xBF\xBF"', UTF8, 2}, {'"\xED\xA0\xBD\xED\xB8\x80"', UTF8, 2},
    {'"\xF0\x80\x80\x80"', UTF8, 2},
    {'"\xF0\x8F\xBF\xBF"', UTF8, 2}, {'"\xF0\x9F\x98"', UTF8, 2}, {'"\xF0\x9F\x98a"', UTF8, 2},
    {'"\xF4\x90\x80\x80"', UTF8, 2}, {'"\xF5\x80\x80\x80"', UTF8, 2},
    {'"\xF8\x88\x80\x80\x80"', UTF8, 2},
    {'"\xFC\x84\x80\x80\x80\x80"', UTF8, 2}, {'"\xFE"', UTF8, 2}, {'"\xFF"', UTF8, 2},
    {'["\xFF"]', UTF8, 3}, {'{"\xFF":1}', UTF8, 3}, {'"é\xFF"', UTF8, 4}, {'"\xC3', UTF8, 2},
    {'["' .. ("x"):rep(200) .. '\xE9"]', UTF8, 203}, {"\xFF", VALUE, 1}, {"[\xFF]", VALUE, 2},
    {"\xEF\xBB[1]", VALUE, 1}, {"\xFE\xFF\0[\0]", VALUE, 1}, {"\xFF\xFE[\0]\0", VALUE, 1},
    {"[\0001\0]\0", VALUE, 2}, {"\xEF\xBB\xBF", END, 4}, {"\xEF\xBB\xBF\xEF\xBB\xBF1", VALUE, 4},
    {"\xEF\xBB\xBF[1,]", VALUE, 7}, {"[1,\xEF\xBB\xBF2]", VALUE, 4},
  }
end)

describe("json.decode, depth and size", function()
  local function nested(open, close, depth, inner)
    return open:rep(depth) .. inner .. close:rep(depth)
  end

  local function depth_of(value)
    local depth = 0
    while type(value) == "table" do
      depth = depth + 1
      value = value[1] or value.a
    end
    return depth
  end

  for i, case in ipairs{{"[", "]", "", 1000}, {"[", "]", "1", 1000}, {'{"a":', "}", "1", 1000},
    {'[{"a":', "}]", "[]", 499}} do
    local open, close, inner, depth = table.unpack(case)
    it("accepts 1,000 levels, kind " .. i, function()
      local text = nested(open, close, depth, inner)
      local value = assert(json.decode(text))
      assert.is_true(depth_of(value) >= 999)
      assert.equal(text, json.encode(value))
    end)
  end

  refuses{
    {nested("[", "]", 1001, ""), DEEP, 1001}, {nested("[", "]", 1001, "1"), DEEP, 1001},
    {nested("[", "]", 1000, "{}"), DEEP, 1001}, {nested('{"a":', "}", 1001, "1"), DEEP, 5001},
    {nested('{"a":', "}", 1000, "[]"), DEEP, 5001}, {nested("[", "]", 10000, ""), DEEP, 1001},
    {("["):rep(100000), DEEP, 1001}, {('{"a":'):rep(100000), DEEP, 5001},
    {("["):rep(1000), END, 1001}, {nested("[", "]", 1000, "18446744073709551616,[]"), DEEP, 1022},
  }

  it("accepts 1,001 empty arrays beside one another", function()
    local value = json.decode("[" .. ("[],"):rep(1000) .. "[]]")
    assert.equal(1001, #value)
  end)

  it("counts more members than simdjson's tape can say #heavy", function()
    local n = 0x1000003
    local value = json.decode("[" .. ("1,"):rep(n - 1) .. "1]")
    assert.equal(n, #value)
  end)

  it("accepts objects and arrays of every size up to 300", function()
    for n = 0, 300 do
      local array, object = {}, {}
      for i = 1, n do
        array[i] = i
        object[i] = ('"k%d":%d'):format(i, i)
      end
      local value = json.decode(('{"a":[%s],"o":{%s}}'):format(table.concat(array, ","),
        table.concat(object, ",")))
      assert.equal(n, #value.a)
      local wrong
      for i = 1, n do
        if value.a[i] ~= i or value.o["k" .. i] ~= i then wrong = i end
      end
      assert.is_nil(wrong)
    end
  end)

  it("takes texts of every length up to 400 bytes", function()
    for n = 0, 400 do
      local s = ("x"):rep(n)
      assert.equal(s, json.decode('"' .. s .. '"'))
      assert.is_nil((json.decode('"' .. s)))
      assert.same({s, 1}, json.decode(('["%s",1]'):format(s)))
    end
  end)
end)

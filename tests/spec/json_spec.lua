-- SPDX-License-Identifier: MIT
-- corun.json but for which texts are accepted (json_decode_spec.lua): arguments, null, arrays,
-- encoding, lines, and that what goes out comes back.

local json = require("corun.json")

local null = json.null

describe("json.decode", function()
  it("raises for what is no string", function()
    for _, value in ipairs{1, true, {}, print} do
      local ok, err = pcall(json.decode, value)
      assert.is_false(ok)
      assert.matches("bad argument #1 to '[%w_.?]+' %(string expected, got %a+%)", tostring(err))
    end
    assert.is_false(pcall(json.decode))
  end)

  it("raises for an unknown option", function()
    local ok, err = pcall(json.decode, "1", {nul = 1})
    assert.is_false(ok)
    assert.matches('unknown option "nul" for json.decode %(did you mean "null"%?%)', tostring(err))
  end)

  it("gives null as json.null, or as what the option says", function()
    assert.equal(null, json.decode("null"))
    assert.equal("userdata", type(null))
    assert.equal(null, json.decode("[null]", {})[1])
    assert.is_false((json.decode("null", {null = false})))
    assert.same({1, false}, json.decode("[1,null]", {null = false}))
    assert.same({a = "none"}, json.decode('{"a":null}', {null = "none"}))
    local mark = {}
    assert.equal(mark, json.decode("[null]", {null = mark})[1])
  end)

  it("shares null with cjson", function()
    local ok, cjson = pcall(require, "cjson")
    if not ok then return pending("lua-cjson is not there") end
    assert.equal(cjson.null, null)
    assert.equal("[null]", cjson.encode(json.decode("[null]")))
  end)

  it("gives every container a table of its own", function()
    local value = json.decode("[[],[],{},{}]")
    assert.not_equal(value[1], value[2])
    assert.not_equal(value[3], value[4])
  end)

  it("goes on after an error as before", function()
    for _ = 1, 100 do
      assert.is_nil((json.decode('{"a":[1,2')))
      assert.same({a = {1, 2}}, json.decode('{"a":[1,2]}'))
      assert.is_nil((json.decode("[18446744073709551616,01]")))
      assert.same({2^64, 1}, json.decode("[18446744073709551616,1]"))
    end
  end)

  it("keeps keys of one slot of its cache apart", function()
    local keys, parts = {}, {}
    for i = 1, 5000 do
      keys[i] = ("k"):rep(i % 31) .. (i % 7 == 0 and "ab" or "") .. i .. ("z"):rep(i % 5)
      parts[i] = ('"%s":%d'):format(keys[i], i)
    end
    for _ = 1, 3 do
      local value = json.decode("{" .. table.concat(parts, ",") .. "}")
      local wrong
      for i, key in ipairs(keys) do
        if value[key] ~= i then wrong = key end
      end
      assert.is_nil(wrong)
    end
    assert.same({{a = 1, b = 2, ab = 3, ba = 4, aab = 5, aba = 6}, {a = 7, ba = 8, aba = 9}},
      json.decode('[{"a":1,"b":2,"ab":3,"ba":4,"aab":5,"aba":6},{"a":7,"ba":8,"aba":9}]'))
  end)

  it("may be called by a finaliser in the middle of a call", function()
    local text = '[{"a":[1,2,"' .. ("x"):rep(50) .. '"],"b":{"c":null}}]'
    text = "[" .. (text .. ","):rep(300) .. text .. "]"
    local expected = json.encode(json.decode(text), {sort = true})
    local ran, wrong = 0, 0
    local function drop()
      setmetatable({}, {__gc = function()
        ran = ran + 1
        local again = json.encode(json.decode('{"z":[{"y":1.5}]}'))
        if again ~= '{"z":[{"y":1.5}]}' or json.decode("[}") ~= nil then wrong = wrong + 1 end
      end})
    end
    for _ = 1, 20 do
      for _ = 1, 20 do drop() end
      assert.equal(expected, json.encode(json.decode(text), {sort = true}))
    end
    collectgarbage()
    assert.is_true(ran > 100)
    assert.equal(0, wrong)
  end)

  it("holds no memory of what it decoded", function()
    local text = "[" .. ('{"id":1,"name":"some name","tags":["a","b"]},'):rep(2000) .. "1]"
    local function level()
      json.encode(json.decode(text))
      json.decode(text .. "x")
      collectgarbage()
      return collectgarbage("count")
    end
    local before = level()
    for _ = 1, 20 do level() end
    assert.is_true(level() < before + 8)
  end)
end)

describe("json.encode", function()
  for i, case in ipairs{
    {true, "true"}, {false, "false"}, {null, "null"}, {0, "0"}, {1, "1"}, {-1, "-1"}, {10, "10"},
    {123456789, "123456789"}, {math.maxinteger, "9223372036854775807"},
    {math.mininteger, "-9223372036854775808"}, {0.0, "0.0"}, {-0.0, "-0.0"}, {1.0, "1.0"},
    {-1.0, "-1.0"}, {1.5, "1.5"}, {0.1, "0.1"}, {0.1 + 0.2, "0.30000000000000004"},
    {1 / 3, "0.3333333333333333"},
    {100.0, "100.0"}, {1e15, "1000000000000000.0"}, {123456789012345.6, "123456789012345.6"},
    {1e16, "1e+16"},
    {1e21, "1e+21"}, {1e100, "1e+100"}, {1.5e300, "1.5e+300"}, {0.0001, "0.0001"},
    {0.00001, "1e-05"},
    {1.25e-7, "1.25e-07"}, {5e-324, "5e-324"}, {2^53, "9007199254740992.0"},
    {2^63, "9.223372036854776e+18"},
    {-2^63, "-9.223372036854776e+18"}, {2^64, "1.8446744073709552e+19"},
    {0x1.fffffffffffffp1023, "1.7976931348623157e+308"},
    {9007199254740993, "9007199254740993"}, {5e-5, "5e-05"}, {299792458.0, "299792458.0"},
    {6.02214076e23, "6.02214076e+23"},
    {"", '""'}, {"a", '"a"'}, {'"', '"\\""'}, {"\\", '"\\\\"'}, {"/", '"/"'},
    {"\b\f\n\r\t", '"\\b\\f\\n\\r\\t"'},
    {"\0", '"\\u0000"'}, {"\1\v\14\31", '"\\u0001\\u000b\\u000e\\u001f"'}, {"\127", '"\127"'},
    {"é€\u{1F600}", '"é€\u{1F600}"'},
    {"\u{2028}", '"\u{2028}"'}, {"</script>", '"</script>"'}, {"a\"b\\c\nd", '"a\\"b\\\\c\\nd"'},
    {("x"):rep(100) .. "\n" .. ("y"):rep(100),
      '"' .. ("x"):rep(100) .. "\\n" .. ("y"):rep(100) .. '"'},
    {("\0"):rep(1000), '"' .. ("\\u0000"):rep(1000) .. '"'},
    {("é"):rep(1000), '"' .. ("é"):rep(1000) .. '"'},
    {{}, "{}"}, {json.array{}, "[]"}, {json.array(), "[]"}, {{1}, "[1]"}, {{1, 2, 3}, "[1,2,3]"},
    {{{}}, "[{}]"},
    {{json.array{}}, "[[]]"}, {json.array{1, 2}, "[1,2]"}, {{a = 1}, '{"a":1}'},
    {{[""] = 1}, '{"":1}'},
    {{["1"] = 1}, '{"1":1}'}, {{a = {b = {1, {c = true}}}}, '{"a":{"b":[1,{"c":true}]}}'},
    {{["a\n"] = null}, '{"a\\n":null}'},
    {{1, "a", true, null, 1.5, {}}, '[1,"a",true,null,1.5,{}]'}, {setmetatable({1, 2},
    {__len = error}), "[1,2]"},
    {setmetatable({a = 1}, {__pairs = error, __index = error, __tostring = error}), '{"a":1}'},
  } do
    it(("writes, case %d: %s"):format(i, case[2]:sub(1, 60)), function()
      local text = json.encode(case[1])
      assert.equal(case[2], text)
      local value = json.decode(text)
      assert.equal(text, json.encode(value))
      assert.equal(math.type(case[1]), math.type(value))
    end)
  end

  it("writes the shortest decimal that reads back, for many floats", function()
    local wrong = {}
    local function check(x)
      local text = json.encode(x)
      local again = json.decode(text)
      if math.type(again) ~= "float" or string.pack("d", x) ~= string.pack("d", again) then
        wrong[#wrong + 1] = text
      end
      local digits = #text:gsub("e.*", ""):gsub("[-.]", ""):gsub("^0+", ""):gsub("0+$", "")
      for precision = 1, 17 do
        if tonumber(("%%.%de"):format(precision - 1):format(x)) == x then
          if digits > precision then wrong[#wrong + 1] = text end
          break
        end
      end
    end
    local state = 88172645463325252 -- xorshift, so that every run sees the same floats
    for i = 1, 3000 do
      state = state ~ (state << 13)
      state = state ~ (state >> 7)
      state = state ~ (state << 17)
      local x = string.unpack("d", string.pack("i8", state))
      if x - x == 0 then check(x) end
      check((state >> 40) / 100)
      check((state % 1000000) * 10.0 ^ (i % 40 - 20))
    end
    for e = -1074, 1023 do check(2.0 ^ e) end
    for e = -323, 308 do check(tonumber("1e" .. e)) end
    assert.same({}, wrong)
  end)

  it("finds an array in whatever order its table keeps it", function()
    local t = {}
    for i = 20, 1, -1 do t[i] = i end
    assert.equal("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]", json.encode(t))
    t = {1, 2, 3, 4}
    t[6] = 6
    t[5] = 5
    assert.equal("[1,2,3,4,5,6]", json.encode(t))
    t = {x = 1, [1] = "a", [2] = "b"}
    t.x = nil
    assert.equal('["a","b"]', json.encode(t))
    t = {n = 2}
    t.n = nil
    assert.equal("{}", json.encode(t))
    t = {[3] = 3, [2] = 2, [1] = {[2] = 2, [1] = 1}}
    assert.equal("[[1,2],2,3]", json.encode(t))
  end)

  -- Each: value, what the message says after "cannot encode ".
  local cycle = {x = {y = {}}}
  cycle.x.y.z = cycle.x
  local items = {1, {}}
  items[2].me = items
  local deep = {}
  for _ = 1, 1000 do deep = {deep} end
  local long = print
  for i = 1, 20 do long = {["k" .. i] = long} end
  for i, case in ipairs{
    {print, "function"}, {io.stdout, "userdata"}, {coroutine.create(print), "thread"},
    {{a = {1, 2, print}}, "function at .a[3]"}, {{a = {b = {c = print}}}, "function at .a.b.c"},
    {{{{print}}}, "function at [1][1][1]"}, {{["a b"] = {print}}, 'function at ["a b"][1]'},
    {{["1"] = print}, 'function at ["1"]'}, {{[""] = print}, 'function at [""]'},
    {{_x9 = print}, "function at ._x9"},
    {{["a\nb"] = print}, 'function at ["a?b"]'}, {{["clé"] = print}, 'function at ["clé"]'},
    {{[("k"):rep(100)] = print}, "function at ." .. ("k"):rep(64) .. "..."},
    {long, "function at .k20.k19.k18.k17.k16.k15.k14.k13.k12.k11.k10.k9..."},
    {0 / 0, "nan"}, {math.huge, "inf"}, {-math.huge, "-inf"}, {{a = 0 / 0}, "nan at .a"},
    {{1, math.huge}, "inf at [2]"},
    {"\xFF", "string that is not UTF-8 (byte 1)"}, {"ab\xC3", "string that is not UTF-8 (byte 3)"},
    {"\xED\xA0\x80", "string that is not UTF-8 (byte 1)"},
    {"\xC0\x80", "string that is not UTF-8 (byte 1)"},
    {"\xF4\x90\x80\x80", "string that is not UTF-8 (byte 1)"},
    {("x"):rep(99) .. "\x80", "string that is not UTF-8 (byte 100)"},
    {{a = {"\xE9"}}, "string that is not UTF-8 (byte 1) at .a[1]"},
    {{["\xFF"] = 1}, "key that is not UTF-8"},
    {{a = {["\xFF"] = 1}}, "key that is not UTF-8 at .a"},
    {{[true] = 1}, "boolean key"}, {{x = 1, [true] = 1}, "boolean key"},
    {{[{}] = 1}, "table key"}, {{[null] = 1}, "userdata key"}, {{[1.5] = 1}, "float key"},
    {{1, 2, [2.5] = 3}, "float key"}, {{a = {1, [true] = 2}}, "boolean key at .a"},
    {{1, x = 2}, "table with string and integer keys"},
    {{a = {x = 1, [7] = 2}}, "table with string and integer keys at .a"},
    {json.array{x = 1}, "string keys in an array"},
    {{a = json.array{x = 1}}, "string keys in an array at .a"},
    {json.array{x = 1, 2}, "table with string and integer keys"},
    {{1, 2, nil, 4}, "array that has no item 3 of 4"},
    {{nil, 2}, "array that has no item 1 of 2"}, {{[10] = 1}, "array that has no item 1 of 10"},
    {{a = {[2] = 1}}, "array that has no item 1 of 2 at .a"},
    {{1, [math.maxinteger] = 2}, "array that has no item 2 of 9223372036854775807"},
    {{[0] = 1}, "integer key below 1 at [0]"}, {{[-1] = 1, [0] = 1}, "integer key below 1 at [-1]"},
    {{1, [0] = 0}, "integer key below 1 at [0]"},
    {cycle, "table that contains itself at .x.y.z"},
    {items, "table that contains itself at [2].me"},
    {{deep}, "tables nested deeper than 1000 at " .. ("[1]"):rep(12) .. "..."},
  } do
    it(("refuses, case %d: %s"):format(i, case[2]), function()
      local ok, err = pcall(json.encode, case[1])
      assert.is_false(ok)
      assert.equal("cannot encode " .. case[2], err.message)
      assert.equal("EJSON", err.code)
      assert.equal('{"a":[1]}', json.encode{a = {1}})
    end)
  end

  it("refuses mixed keys in the same words in whatever order the table has them", function()
    for i = 1, 40 do
      local t = {}
      for k = 1, i % 9 do t["k" .. i .. k] = i end
      t[i] = 1
      t["last" .. i] = 1
      for _, sort in ipairs{true, false} do
        local ok, err = pcall(json.encode, t, {sort = sort})
        assert.is_false(ok)
        assert.equal("cannot encode table with string and integer keys", err.message)
      end
    end
  end)

  it("raises for nothing, and for nil", function()
    assert.is_false(pcall(json.encode))
    local ok, err = pcall(json.encode, nil)
    assert.is_false(ok)
    assert.equal("cannot encode nil", err.message)
  end)

  it("raises for options that are none", function()
    local function message(o)
      local ok, err = pcall(json.encode, 1, o)
      assert.is_false(ok)
      return tostring(err)
    end
    assert.matches('unknown option "prety" for json.encode %(did you mean "pretty"%?%)',
      message{prety = true})
    assert.matches('option "sort" for json.encode must be a boolean', message{sort = 1})
    assert.matches("options of json.encode must be a table, got number", message(2))
  end)

  it("takes one table at several places", function()
    local shared = {1}
    assert.equal("[[1],[1],{\"a\":[1]}]", json.encode{shared, shared, {a = shared}})
  end)

  it("encodes what it decodes at 1,000 levels", function()
    local value = 1
    for _ = 1, 1000 do value = {value} end
    assert.equal(("["):rep(1000) .. "1" .. ("]"):rep(1000), json.encode(value))
  end)

  it("indents with pretty", function()
    assert.equal('{\n  "a": [\n    1,\n    {\n      "b": null\n    }\n  ]\n}',
      json.encode({a = {1, {b = null}}}, {pretty = true}))
    assert.equal("[\n  [],\n  {}\n]", json.encode({json.array(), {}}, {pretty = true}))
    assert.equal("1", json.encode(1, {pretty = true}))
    assert.equal("[]", json.encode(json.array(), {pretty = true}))
    assert.equal("{}", json.encode({}, {pretty = true, sort = true}))
  end)

  it("sorts keys by their bytes", function()
    local t = {b = 1, a = 2, ab = 3, [""] = 4, B = 5, ["é"] = 6, a0 = 7, ["a\0"] = 8,
      c = {z = 1, y = {2}}}
    local text = '{"":4,"B":5,"a":2,"a\\u0000":8,"a0":7,"ab":3,"b":1,"c":{"y":[2],"z":1},"é":6}'
    assert.equal(text, json.encode(t, {sort = true}))
    assert.equal('{\n  "a": 1,\n  "b": 2\n}', json.encode({b = 2, a = 1},
    {sort = true, pretty = true}))
    local many, keys = {}, {}
    for i = 1, 2000 do
      keys[i] = "key" .. i
      many[keys[i]] = i
    end
    table.sort(keys)
    for i, key in ipairs(keys) do keys[i] = ('"%s":%d'):format(key, many[key]) end
    assert.equal("{" .. table.concat(keys, ",") .. "}", json.encode(many, {sort = true}))
  end)
end)

describe("json.array", function()
  it("marks and answers the table", function()
    local t = {}
    assert.equal(t, json.array(t))
    assert.equal(t, json.array(t))
    assert.equal("[]", json.encode(t))
    assert.matches("^json.array: ", tostring(t))
  end)

  it("is what an empty array decodes to", function()
    local t = json.decode("[]")
    assert.equal(getmetatable(json.array()), getmetatable(t))
    t[1] = 5
    assert.equal("[5]", json.encode(t))
    assert.is_nil(getmetatable(json.decode("[1]")))
    assert.is_nil(getmetatable(json.decode("{}")))
    local text = '[[],{},{"a":[],"b":{}},[[]]]'
    assert.equal(text, json.encode(json.decode(text), {sort = true}))
  end)

  it("refuses what it cannot mark", function()
    assert.has_error(function() json.array(setmetatable({}, {})) end)
    assert.has_error(function() json.array(1) end)
    assert.has_error(function() json.array("") end)
  end)
end)

describe("json.lines", function()
  local function collect(...)
    local list = {}
    for value in json.lines(...) do list[#list + 1] = value end
    return list
  end

  it("decodes each line of a string", function()
    assert.same({1, {2}, "x", {a = {}}}, collect('1\n[2]\n"x"\n{"a":{}}\n'))
    assert.same({1, 2}, collect("1\n2"))
    assert.same({1, 2}, collect("1\r\n2\r\n"))
    assert.same({}, collect(""))
    assert.same({}, collect("\n"))
  end)

  it("skips blank lines", function()
    assert.same({1, 2}, collect("\n\n1\n \t\r\n\n2\n\n"))
    assert.same({}, collect(("\n"):rep(100000)))
  end)

  it("decodes the lines of an iterator, with its state and its closing value", function()
    assert.same({{1}, {2}}, collect(("[1]\n[2]"):gmatch("[^\n]+")))
    assert.same({10, 20}, collect(function(state, control)
      local i = control and tonumber(control) // 10 + 1 or 1
      return state[i]
    end, {"10", "20"}))
    local closed = 0
    local closing = setmetatable({}, {__close = function() closed = closed + 1 end})
    for value in json.lines(("7\n8"):gmatch("%d"), nil, nil, closing) do
      if value == 7 then break end
    end
    assert.equal(1, closed)
  end)

  it("decodes the lines of a stream", function()
    local stream = {lines = function(self)
      assert.equal("stream", self.name)
      return ("1\n2\n3"):gmatch("[^\n]+")
    end, name = "stream"}
    assert.same({1, 2, 3}, collect(stream))
    local file = assert(io.tmpfile())
    file:write('{"a":1}\n\n{"a":2}\n')
    file:seek("set")
    assert.same({{a = 1}, {a = 2}}, collect(file))
    file:close()
  end)

  it("lets the source of its lines suspend", function()
    local function source()
      coroutine.yield("waiting")
      return coroutine.yield("for a line")
    end
    local seen
    local task = coroutine.wrap(function()
      for value in json.lines(source) do seen = value end
      return "done"
    end)
    assert.equal("waiting", task())
    assert.equal("for a line", task())
    assert.equal("waiting", task("[1,2]"))
    assert.same({1, 2}, seen)
    assert.equal("for a line", task())
    assert.equal("done", task(nil))
    local late = coroutine.wrap(function()
      local stream = {lines = function() return coroutine.yield("opening") end}
      for value in json.lines(stream) do seen = value end
      return "done"
    end)
    assert.equal("opening", late())
    assert.equal("done", late(("5\n6"):gmatch("%d")))
    assert.equal(6, seen)
  end)

  it("gives null as the option says", function()
    assert.same({null, 1}, collect("null\n1"))
    assert.same({false, {false}}, collect("null\n[null]", {null = false}))
    assert.same({"-"}, collect({lines = function() return ("null"):gmatch(".+") end}, {null = "-"}))
  end)

  it("raises for a bad line, with its number", function()
    for _, source in ipairs{"1\n\n[2,]\n3", ("1\n\n[2,]\n3"):gmatch("[^\n]*")} do
      local seen = {}
      local ok, err = pcall(function()
        for value in json.lines(source) do seen[#seen + 1] = value end
      end)
      assert.is_false(ok)
      assert.same({1}, seen)
      assert.equal("line 3: expected a value at byte 4", err.message)
      assert.equal(3, err.line)
      assert.equal(4, err.offset)
      assert.equal("EJSON", err.code)
    end
  end)

  it("raises what its source fails with", function()
    local failure = {code = "ECONNRESET"}
    local ok, err = pcall(collect, function() return nil, failure end)
    assert.is_false(ok)
    assert.equal(failure, err)
    ok, err = pcall(collect, function() error(failure, 0) end)
    assert.is_false(ok)
    assert.equal(failure, err)
  end)

  it("raises for what gives no lines", function()
    for _, source in ipairs{1, true, {}, {lines = 1}} do
      assert.has_error(function() json.lines(source) end)
    end
    assert.has_error(function() json.lines() end)
    assert.has_error(function() json.lines("", {nul = 1}) end)
    assert.has_error(function() collect(function() return 1 end) end)
  end)
end)

describe("json, there and back", function()
  it("keeps random values", function()
    math.randomseed(20240318)
    local random = math.random
    local make
    local function text(n)
      local parts = {}
      for i = 1, random(0, n) do
        local kind = random(6)
        parts[i] = kind == 1 and utf8.char(random(0, 0xD7FF))
          or kind == 2 and string.char(random(0, 127))
          or kind == 3 and utf8.char(random(0xE000, 0x10FFFF)) or ("word"):rep(random(0, 4))
      end
      return table.concat(parts)
    end
    local kinds = {
      function() return random(0) end, function() return random(-1000, 1000) end,
      function() return random() * 10.0 ^ random(-300, 300) end,
      function() return random(0, 10000) / 100 end,
      function() return random(2) == 1 end, function() return null end,
      function() return text(12) end,
      function() return text(200) end,
      function(depth)
        local t = {}
        for i = 1, random(0, 8) do t[i] = make(depth + 1) end
        return t[1] == nil and json.array(t) or t
      end,
      function(depth)
        local t = {}
        for _ = 1, random(0, 8) do t[text(5)] = make(depth + 1) end
        return t
      end,
    }
    function make(depth) return kinds[random(depth < 6 and #kinds or #kinds - 2)](depth) end
    for _ = 1, 300 do
      local value = {make(0), make(0), make(0)}
      for _, style in ipairs{{}, {pretty = true}, {sort = true}, {pretty = true, sort = true}} do
        local encoded = json.encode(value, style)
        local again = json.decode(encoded)
        assert.same(value, again)
        assert.equal(json.encode(value, {sort = true}), json.encode(again, {sort = true}))
      end
    end
  end)

  it("refuses each text that is cut short", function()
    local text = '{"a":[1,2.5e-3,true,null,"x\\u00e9\\n\\ud83d\\ude00é"],'
      .. '"b":{"c":[],"d":{}},"e":-12}'
    assert.is_table((json.decode(text)))
    for n = 0, #text - 1 do
      local value, err = json.decode(text:sub(1, n))
      assert.is_nil(value)
      assert.is_true(err.offset <= n + 1)
    end
  end)
end)

-- SPDX-License-Identifier: MIT
-- corun.options: what a caller is told about a wrong options table.

local options = require("corun.options")

local SPEC = {limit = "number", name = "string", stream = "boolean", headers = "table",
  check = "function", timeout = "duration", per_host = "count", body = "string|function",
  pause = "duration|table", null = "any"}

local function map(o)
  local checked = options.check(o, "map", SPEC)
  return checked
end

local function message(o)
  local ok, e = pcall(function() local r = map(o); return r end)
  assert.is_false(ok)
  return (e:gsub("^[^:]*:%d+: ", ""))
end

describe("options.check", function()
  it("returns the table it was given", function()
    local o = {limit = 3, name = "x", stream = false, headers = {}, check = print}
    assert.equal(o, map(o))
  end)

  it("answers nil with an empty table that nobody can fill", function()
    local o = map(nil)
    assert.is_nil(next(o))
    assert.has_error(function() o.limit = 1 end,
      "the options table made by options.check is read-only")
    assert.error_matches(function() setmetatable(o, {}) end, "protected metatable")
    assert.is_nil(next(map(nil)))
  end)

  it("reports an unknown key with the one that was meant", function()
    assert.equal('unknown option "limt" for map (did you mean "limit"?)', message{limt = 1})
    assert.equal('unknown option "Timeout" for map (did you mean "timeout"?)', message{Timeout = 1})
    assert.equal('unknown option "perHost" for map (did you mean "per_host"?)',
      message{perHost = 1})
    assert.equal('unknown option "haeders" for map (did you mean "headers"?)', message{haeders = 1})
  end)

  it("suggests nothing that is further than two edits away", function()
    assert.equal('unknown option "colour" for map', message{colour = 1})
    assert.equal('unknown option "x" for map', message{x = 1})
    assert.equal(('unknown option "%s" for map'):format(("limit"):rep(100)),
      message{[("limit"):rep(100)] = 1})
  end)

  it("reports the same one of several unknown keys every time", function()
    for _ = 1, 20 do
      assert.equal('unknown option "aa" for map', message{zz = 1, aa = 1, mm = 1, [7] = 1})
    end
  end)

  it("reports a key that is no string", function()
    assert.equal("option names of map must be strings, got number", message{"limit"})
    assert.equal("option names of map must be strings, got boolean", message{[true] = 1})
  end)

  it("reports a value of the wrong type", function()
    assert.equal('option "limit" for map must be a number, got string', message{limit = "3"})
    assert.equal('option "stream" for map must be a boolean, got number', message{stream = 1})
    assert.equal('option "headers" for map must be a table, got string', message{headers = ""})
    assert.equal('option "check" for map must be a function, got boolean', message{check = true})
    assert.equal('option "body" for map must be a string or a function, got table',
      message{body = {}})
  end)

  it("reports a table of options that is none", function()
    assert.equal("options of map must be a table, got number", message(16))
    assert.equal("options of map must be a table, got boolean", message(false))
  end)

  it("takes each of the types that are joined by a bar", function()
    assert.equal("s", map{body = "s"}.body)
    assert.equal(print, map{body = print}.body)
    assert.equal(0, map{pause = 0}.pause)
    assert.same({}, map{pause = {}}.pause)
  end)

  it("takes any value for any", function()
    for _, v in ipairs{false, 1, "s", {}, print} do assert.equal(v, map{null = v}.null) end
  end)

  it("takes a duration of zero and more, infinity included", function()
    for _, v in ipairs{0, 0.5, 30, math.huge} do assert.equal(v, map{timeout = v}.timeout) end
    local text = 'option "timeout" for map must be a number of seconds (0 or more), got '
    assert.equal(text .. "-1", message{timeout = -1})
    assert.equal(text .. "NaN", message{timeout = 0 / 0})
    assert.equal(text .. '"1"', message{timeout = "1"})
  end)

  it("takes a count of one and more", function()
    assert.equal(1, map{per_host = 1}.per_host)
    assert.equal(2, map{per_host = 2.0}.per_host)
    local text = 'option "per_host" for map must be a positive integer, got '
    for _, v in ipairs{0, -1, 1.5, math.huge} do
      assert.equal(text .. tostring(v), message{per_host = v})
    end
    assert.equal(text .. '"1"', message{per_host = "1"})
  end)

  it("raises at the line of the caller of the function that checks", function()
    local function wrapper(o) local r = options.check(o, "wrapper", SPEC, 3); return r end
    local function public(o) local r = wrapper(o); return r end
    for _, call in ipairs{map, public} do
      for _, o in ipairs{{limt = 1}, {limit = "x"}, 1} do
        local line
        local _, e = pcall(function()
          line = debug.getinfo(1, "l").currentline + 1
          local r = call(o)
          return r
        end)
        assert.equal(tostring(line), e:match("options_spec%.lua:(%d+): "))
      end
    end
  end)

  it("blames the first function that is not corun's own, however deep the level", function()
    local load_own = load("local check, spec = ...; return function(o, level) "
      .. "local r = check(o, 'map', spec, level); return r end", "=[corun x.lua]")
    local own = load_own(options.check, SPEC)
    for level = 1, 2 do
      local line = debug.getinfo(1, "l").currentline + 1
      local _, e = pcall(function() own({limt = 1}, level) end)
      assert.matches("options_spec%.lua:" .. line .. ": unknown option", e)
    end
  end)

  it("refuses a specification with a type that does not exist", function()
    assert.has_error(function() options.check({a = 1}, "map", {a = "integr"}) end)
  end)
end)

describe("options.nearest", function()
  local names = {limit = 1, timeout = 1, tls = 1, per_host = 1}

  it("finds a name with a letter missing, added, replaced or swapped", function()
    for _, word in ipairs{"limi", "limmit", "limat", "limti", "lmiti"} do
      assert.equal("limit", options.nearest(word, names))
    end
  end)

  it("allows a short word one edit only", function()
    assert.equal("tls", options.nearest("tsl", names))
    assert.equal("tls", options.nearest("TLS", names))
    assert.is_nil(options.nearest("tax", names))
    assert.is_nil(options.nearest("", names))
  end)

  it("prefers the nearer name, then the first in the alphabet", function()
    assert.equal("read", options.nearest("reed", {read = 1, seeds = 1}))
    for _ = 1, 20 do
      assert.equal("bat", options.nearest("xat", {rat = 1, cat = 1, bat = 1, hat = 1}))
    end
  end)

  it("looks at the string keys only", function()
    assert.is_nil(options.nearest("limit", {"limit", [true] = 1}))
  end)
end)

-- SPDX-License-Identifier: MIT
-- How values cross between runtimes: what decode(encode(v)) gives, what is refused and where, and
-- that bytes from anywhere end as values or as an error.
local corun = require "corun"
local transfer = require "corun.transfer"
local json = require "corun.json"
local message = require "corun.message"

local function cross(...) return message.decode(message.encode(...)) end
local function cross_plain(...) return transfer.decode(transfer.encode(...)) end

-- Whether two values are alike: of tables and functions the same graph, floats by their bits.
local function alike(a, b, seen)
  if math.type(a) ~= math.type(b) or type(a) ~= type(b) then return false end
  if type(a) == "number" then
    return math.type(a) == "integer" and a == b or string.pack("d", a) == string.pack("d", b)
  end
  if type(a) ~= "table" then return a == b end
  seen = seen or {to = {}, from = {}}
  if seen.to[a] or seen.from[b] then return seen.to[a] == b and seen.from[b] == a end
  seen.to[a], seen.from[b] = b, a
  local used = 0
  for k, v in pairs(a) do
    local other = k
    if type(k) == "table" then
      other = seen.to[k]
      for k2 in pairs(b) do
        if not other and type(k2) == "table" and not seen.from[k2] and k2.id == k.id then
          if not alike(k, k2, seen) then return false end
          other = k2
        end
      end
      if other == nil then return false end
    end
    if b[other] == nil or not alike(v, b[other], seen) then return false end
    used = used + 1
  end
  for _ in pairs(b) do used = used - 1 end
  return used == 0 and getmetatable(a) == getmetatable(b)
end

describe("transfer", function()
  it("keeps nil, booleans, numbers and strings exactly", function()
    for _, v in ipairs{true, false, 0, 1, -1, -16, -17, 175, 176, 32767, 32768, -32768, -32769,
      2 ^ 31 | 0, -2 ^ 31 | 0, 2147483647, -2147483649, math.maxinteger, math.mininteger, 0.0, -0.0,
      1.5, 1e308, 5e-324, 1 / 0, -1 / 0, 0 / 0, -(0 / 0), "", "a", ("x"):rep(40), ("x"):rep(41),
      ("x"):rep(255), ("x"):rep(256), ("\0\255"):rep(70000), "\0", json.null} do
      assert.is_true(alike(v, (cross(v))))
      assert.is_true(alike(v, (cross_plain(v))))
    end
    local odd = string.unpack("d", string.pack("I8", 0x7FF8000000ABCDEF))
    assert.equal(string.pack("d", odd), string.pack("d", (cross(odd))))
  end)

  it("keeps the number of values, nils among them", function()
    assert.equal(0, select("#", cross()))
    assert.equal(1, select("#", cross(nil)))
    local t = table.pack(cross(nil, 1, nil, "a", nil))
    assert.same({n = 5, nil, 1, nil, "a", nil}, t)
    local many = {}
    for i = 1, 5000 do many[i] = i end
    assert.same(many, {cross(table.unpack(many))})
  end)

  it("keeps tables with cycles and sharing", function()
    local t = {1, 2, {3}, a = {b = "c"}, [1.5] = true, [false] = 0}
    t.self, t[t.a], t.again = t, t, t.a
    local u, a = cross(t, t.a)
    assert.equal(u, u.self)
    assert.equal(u.a, u.again)
    assert.equal(a, u.a)
    assert.equal(u, u[u.a])
    assert.same({3}, u[3])
    assert.is_true(alike(t, u))
  end)

  it("keeps the length of arrays with nils in them", function()
    for _, t in ipairs{{nil, 2}, {nil, nil, 3}, {1, nil, 3, nil, nil, 6}, {n = 3, nil, nil, nil}} do
      assert.equal(#t, #cross(t))
      assert.is_true(alike(t, (cross(t))))
    end
    local sparse = {}
    for i = 0, 60 do sparse[1 << i] = i end
    assert.is_true(#transfer.encode(sparse) < 2000)
    assert.is_true(alike(sparse, (cross_plain(sparse))))
  end)

  it("goes a million levels deep without a stack", function()
    local t = {}
    for _ = 1, 1000000 do t = {t} end
    local u, depth = cross_plain(t), 0
    while u[1] do u, depth = u[1], depth + 1 end
    assert.equal(1000000, depth)
    local f
    for _ = 1, 20000 do
      local inner = f
      f = function() return inner end
    end
    local g
    depth, g = 0, cross(f)
    while g do g, depth = g(), depth + 1 end
    assert.equal(20000, depth)
  end)

  it("writes a long string once", function()
    local s = ("x"):rep(10000)
    assert.is_true(#transfer.encode(s, {s, s}) < 11000)
    assert.same({s, {s, s}}, {cross_plain(s, {s, s})})
  end)
end)

describe("transfer of functions", function()
  it("copies upvalues, and keeps shared ones shared", function()
    local n, unused = 1, {}
    local function add(x) n = n + x return n, unused end
    local function get() return n end
    local add2, get2 = cross(add, get)
    assert.equal(6, (add2(5)))
    assert.equal(6, get2())
    assert.equal(1, get())
    local fns = cross{add = add, get = get}
    fns.add(41)
    assert.equal(42, fns.get())
  end)

  it("keeps recursive functions, and those that call each other", function()
    local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
    local copy = cross(fib)
    assert.equal(55, copy(10))
    local odd
    local function even(n) return n == 0 or odd(n - 1) end
    function odd(n) return n ~= 0 and even(n - 1) end
    local e, o = cross(even, odd)
    assert.is_true(e(10))
    assert.is_false(o(10))
    local _, inner = debug.getupvalue(e, 1)
    assert.equal(o, inner)
  end)

  it("binds the globals to the receiver's", function()
    local f = cross(function() return _G, print, _ENV end)
    assert.same({_G, print, _G}, {f()})
    assert.equal(_G, (cross(_G)))
    local env = {x = 1}
    local g = cross(load("x = x + 1 return x", "=x", "t", env))
    assert.equal(2, g())
    assert.equal(2, g() - 1)
    assert.equal(1, env.x)
  end)

  it("keeps functions apart that are apart, and one that is one", function()
    local function make() return function() return 7 end end
    local a, b = make(), make()
    local t = cross{[a] = 1, [b] = 2, a = a, a2 = a, b = b}
    assert.equal(t.a, t.a2)
    assert.equal(1, t[t.a])
    if a ~= b then
      assert.not_equal(t.a, t.b)
      assert.equal(2, t[t.b])
    end
  end)

  it("loads a job that comes again once", function()
    local f = load("return 1 + ...", "=job")
    local one, two = cross(f), cross(f)
    assert.equal(one, two)
    assert.equal(3, one(2))
    debug.setupvalue(one, 1, {})
    assert.equal(3, (cross(f))(2))
  end)

  it("keeps the lines of tracebacks", function()
    local f = cross(function() error("here") end)
    local ok, err = pcall(f)
    assert.is_false(ok)
    assert.matches("transfer_spec%.lua:%d+: here", err)
  end)

  it("takes functions of C and of corun, and modules, by name", function()
    local codec, lpeg = require "corun.codec", require "lpeg"
    for _, f in ipairs{print, string.format, codec.base64.encode, lpeg.match, corun.sleep, corun.map,
      require, coroutine.wrap, corun.spawn, require("corun.http").get} do
      assert.equal(f, (cross(f)))
    end
    for _, m in ipairs{string, corun, lpeg, codec, package.loaded["corun.json"]} do
      assert.equal(m, (cross(m)))
    end
    local f = cross(function() return string.rep("x", 3), corun.now, codec end)
    assert.same({"xxx", corun.now, codec}, {f()})
    assert.same({print, string, print, string}, {cross(print, string, print, string)})
  end)
end)

describe("transfer of metatables", function()
  it("keeps those that are registered", function()
    local mt = {__index = {get = function(self) return self.x end}}
    assert.equal(mt, transfer.register("spec.point", mt))
    transfer.register("spec.point", mt)
    local p = cross_plain(setmetatable({x = 5}, mt))
    assert.equal(mt, getmetatable(p))
    assert.equal(5, p:get())
    assert.has_error(function() transfer.register("spec.point", {}) end)
    assert.has_error(function() transfer.register("spec.other", mt) end)
    assert.equal("[]", json.encode((cross_plain(json.decode("[]")))))
  end)

  it("keeps errors of corun whole, with their tracebacks", function()
    local cause = corun.err("ECAUSE", "below")
    local err = corun.err("EABOVE", "above", {op = "open", target = "x", cause = cause, retryable = 1})
    err.others = {cause, "text"}
    local _, traced = pcall(corun.scope, function() error(err) end)
    local trace = require("corun.debug").traceback(traced)
    local copy = cross_plain(traced)
    assert.equal("open x: above (EABOVE)", tostring(copy))
    assert.equal(copy.cause, copy.others[1])
    assert.equal("below (ECAUSE)", tostring(copy.cause))
    assert.equal(trace, (require("corun.debug").traceback(copy)))
  end)
end)

-- SPDX-License-Identifier: MIT
-- How values cross between runtimes: what decode(encode(v)) gives, what is refused and where, and
-- that bytes from anywhere end as values or as an error.
local corun = require "corun"
local programs = require "tests.spec.support.programs"
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

  it("goes a million levels deep without a stack #heavy", function()
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
    for _, f in ipairs{print, string.format, codec.base64.encode, lpeg.match, corun.sleep,
      corun.map, require, coroutine.wrap, corun.spawn, require("corun.http").get} do
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

  it("marks arrays of JSON where nobody has loaded corun.json yet", function()
    local hex = require("corun.codec").hex
    local s = hex.encode(transfer.encode(json.array()))
    local code = [[local s = require("corun.codec").hex.decode(arg[1])
      local v = require("corun.transfer").decode(s)
      io.write(require("corun.json").encode(v))]]
    local p = assert(io.popen(("%s -e '%s' - %s </dev/null 2>&1"):format(programs.path(), code, s)))
    assert.equal("[]", p:read("a"))
    assert.is_true(p:close())
  end)

  it("keeps errors of corun whole, with their tracebacks", function()
    local cause = corun.err("ECAUSE", "below")
    local err = corun.err("EABOVE", "above", {op = "open", target = "x", cause = cause})
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

describe("transfer of anything", function()
  -- A random graph: tables with all kinds of keys and values, cycles and shared ones among them.
  local function graph(random)
    local tables, texts = {}, {"a", "b", ("k"):rep(40), ("l"):rep(41), ("m"):rep(300), "\0", ""}
    local value
    local function number()
      local bits = random(0)
      local kind = random(5)
      if kind == 1 then return bits end
      if kind == 2 then return bits >> random(0, 63) end
      if kind == 3 then return random(-300, 300) end
      if kind == 4 then return random(-300, 300) / 4 end
      return (string.unpack("d", string.pack("i8", bits)))
    end
    local function text()
      if random(3) > 1 then return texts[random(#texts)] end
      return ("x"):rep(random(0, 60)) .. random(1000)
    end
    local function key(t, i)
      local kind = random(6)
      if kind < 3 then return i end
      if kind == 3 then return text() end
      if kind == 4 then return random(2) == 1 end
      if kind == 5 and t.id then return {id = random(0)} end
      local k = number()
      return k == k and k or i
    end
    local function table_of(n)
      local t = {}
      if random(3) == 1 then t.id = random(0) end
      tables[#tables + 1] = t
      for i = 1, n do t[key(t, i)] = value(n - 1) end
      return t
    end
    function value(n)
      local kind = random(10)
      if kind < 3 then return number() end
      if kind < 5 then return text() end
      if kind == 5 then return random(2) == 1 end
      if kind == 6 then return json.null end
      if kind == 7 and #tables > 0 then return tables[random(#tables)] end
      return n > 0 and table_of(random(0, n)) or n
    end
    return value(random(9))
  end

  it("gives back what was encoded", function()
    for seed = 1, 3000 do
      math.randomseed(seed)
      local v = graph(math.random)
      assert.is_true(alike(v, (cross_plain(v))), "seed " .. seed)
      assert.is_true(alike(v, (cross(v))), "seed " .. seed)
    end
  end)

  it("answers bytes that were cut or changed", function()
    local point = transfer.register("spec.cut", {})
    local t = {1, 2.5, "text", "text", ("l"):rep(300), {true, false, json.null}, 1 << 20, 1 << 40}
    t.self, t[t[6]], t.point = t, t, setmetatable({x = t[5]}, point)
    t.err = select(2, pcall(corun.scope, function() error(corun.err("ECUT", "cut")) end))
    local s = transfer.encode(t, nil, "text")
    for i = 0, #s - 1 do
      local v, err = transfer.decode(s:sub(1, i))
      assert.is_nil(v)
      assert.equal("ETRANSFER", err.code)
    end
    assert.equal("ETRANSFER", select(2, transfer.decode(s .. "\0")).code)
    math.randomseed(1)
    local failed = 0
    for i = 1, 20000 do
      local at = i <= #s and i or math.random(#s)
      local changed = s:sub(1, at - 1) .. string.char(math.random(0, 255)) .. s:sub(at + 1)
      local v, err = transfer.decode(changed)
      if v == nil and type(err) == "table" and err.code == "ETRANSFER" then failed = failed + 1 end
    end
    assert.is_true(failed > 1000)
  end)

  it("never decodes functions from bytes", function()
    -- messages as docs/encoding.md has them: a function, a closure, an export, a module, a shared
    -- thing, the globals
    local dump = string.dump(function() end)
    local function head(values, objects, kept)
      return "cor\1" .. string.pack("<I4I8I4I4I8", 1, 32 + #values, objects, kept, 0) .. values
    end
    local record = "\12" .. string.pack("<I8s4", 0, dump)
    for _, s in ipairs{head(record, 0, 1), head("\17", 1, 0) .. "\2\0\0" .. record,
      head("\13\6string\1\3rep", 0, 1), head("\14\6string", 0, 1), head("\15\0", 0, 1),
      head("\19", 0, 0)} do
      local v, err = transfer.decode(s)
      assert.is_nil(v)
      assert.equal("ETRANSFER", err.code)
    end
  end)

  it("gives a short message no large table", function()
    local s = transfer.encode({})
    local before = collectgarbage("count")
    local claimed = s:sub(1, -3) .. "\xFF\xFF\xFF\x7F\xFF\xFF\xFF\x7F"
    assert.matches("larger than the message", select(2, transfer.decode(claimed)).message)
    assert.is_true(collectgarbage("count") - before < 100)
  end)
end)

describe("transfer refuses", function()
  local function refused(f, ...)
    local ok, err = pcall(f, ...)
    assert.is_false(ok)
    assert.equal("ETRANSFER", err.code)
    return err.message
  end

  it("what cannot cross, with its path", function()
    local co = coroutine.create(print)
    local mt = {__name = "my class"}
    for want, v in pairs{
      ["cannot transfer userdata (FILE*) at argument 1"] = io.stdout,
      ["cannot transfer userdata (FILE*) at argument 1 .conn.sock"] = {conn = {sock = io.stdout}},
      ["cannot transfer thread at argument 1 [3][2]"] = {1, 2, {1, co}},
      ["cannot transfer thread at argument 1 (key)"] = {[co] = 1},
      ["cannot transfer thread at argument 1 .a(key).b"] = {a = {[{b = co}] = 1}},
      ['cannot transfer thread at argument 1 ["a b"][1.5][true]'] =
        {["a b"] = {[1.5] = {[true] = co}}},
      ["cannot transfer thread at argument 1 [-1][table]"] = {[-1] = {[{}] = co}},
      ["cannot transfer table with an unregistered metatable (my class) at argument 1 .x"] =
        {x = setmetatable({}, mt)},
      ["cannot transfer table with an unregistered metatable at argument 1"] = setmetatable({}, {}),
      ["cannot transfer thread at argument 1 (upvalue co)"] = function() return co end,
      ["cannot transfer thread at argument 1 .f(upvalue co)"] = {f = function() return co end},
      ["cannot transfer thread at argument 1 (upvalue t).x"] = (function()
        local t = {x = co}
        return function() return t end
      end)(),
      ["cannot transfer function of C or corun that no module exports at argument 1"] =
        string.gmatch("a", "a"),
    } do
      assert.equal(want, refused(message.encode, v))
      assert.equal((want:gsub("argument 1", "argument 3")), refused(message.encode, nil, 2, v))
    end
    local deep = co
    for _ = 1, 20 do deep = {x = deep} end
    assert.equal("cannot transfer thread at argument 1 " .. (".x"):rep(11) .. "....x",
      refused(message.encode, deep))
  end)

  it("in bytes, functions too", function()
    assert.equal("cannot transfer function at argument 1 .f", refused(transfer.encode, {f = print}))
    assert.equal("cannot transfer function at argument 2",
      refused(transfer.encode, 1, function() end))
    assert.equal("cannot transfer function at argument 1 .format",
      refused(transfer.encode, {format = string.format}))
  end)

  it("and leaves nothing behind", function()
    local weak = setmetatable({}, {__mode = "k"})
    do
      local t = {{}, {}}
      weak[t], weak[t[1]] = true, true
      t.co = coroutine.create(print)
      refused(message.encode, t)
      t.co = nil
      cross(t)
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)

  it("a metatable and a module that the other side has not", function()
    local mt = transfer.register("spec.gone", {})
    local s = transfer.encode(setmetatable({}, mt)):gsub("spec%.gone", "spec.none")
    local _, err = transfer.decode(s)
    assert.equal("no metatable is registered here as 'spec.none'", err.message)
    package.loaded["spec.module"] = {}
    local m = message.encode(package.loaded["spec.module"])
    package.loaded["spec.module"] = nil
    assert.error_matches(function() message.decode(m) end, "spec.module")
  end)
end)

describe("transfer without memory", function()
  it("is an error, and the next message is whole #faults", function()
    local code = [[
      local message = require "corun.message"
      local n = 0
      local function count() n = n + 1 return n end
      local t = {count, {1, 2, "three", [0.5] = ("l"):rep(300)}, print, string}
      for i = 1, 70 do t[#t + 1] = {i, t} end
      io.write("begin ")
      for _ = 1, 2 do
        pcall(function()
          local u = message.decode(message.encode(t, "a", nil))
          u[1]()
        end)
      end
      n = 0
      local u, a = message.decode(message.encode(t, "a", nil))
      assert(u[1]() == 1 and u[2][3] == "three" and u[3] == print and u[4] == string and a == "a")
      assert(u[#t][2] == u and #u == #t and u[#t][1] == 70)
      io.write("done")]]
    local seen = {}
    for nth = 860, 1340, 8 do
      local output, status = programs.run(code, {fail = nth})
      assert.is_true(status == 0 or status == 1 or status == 70,
        ("allocation %d: status %d, %s"):format(nth, status, output))
      if status == 1 then assert.matches("not enough memory", output) end
      if status == 0 then assert.matches("begin done", output) end
      seen[status] = (seen[status] or 0) + 1
    end
    assert.is_true(seen[0] > 0)
  end)
end)

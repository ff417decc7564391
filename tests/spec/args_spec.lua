-- SPDX-License-Identifier: MIT
-- corun.args: what a command line gives, what --help prints, what misuse is answered with.

local args = require("corun.args")

-- Something to print into.
local function sink()
  return {text = "", write = function(self, s) self.text = self.text .. s end}
end

-- The options; or nil, the exit status, what went to stdout, what went to stderr.
local function run(spec, ...)
  local status, out, err = nil, sink(), sink()
  local o = args(spec, {argv = {...}, name = "t.lua", out = out, err = err,
    exit = function(code) status = code end})
  return o, status, out.text, err.text
end

-- The options of a command line that must be right.
local function values(spec, ...)
  local o, status, _, err = run(spec, ...)
  assert(o, err)
  assert.is_nil(status)
  local plain = {}
  for k, v in pairs(o) do plain[k] = v end
  return plain
end

-- The first line on stderr for a command line that must be wrong.
local function misuse(spec, ...)
  local o, status, out, err = run(spec, ...)
  assert.is_nil(o)
  assert.equal(2, status)
  assert.equal("", out)
  local line, usage = err:match("^t%.lua: ([^\n]*)\nusage: t%.lua %[options%]([^\n]*)\n$")
  assert(line, err)
  return line, usage
end

local function help(spec)
  local o, status, out, err = run(spec, "--help")
  assert.is_nil(o)
  assert.equal(0, status)
  assert.equal("", err)
  return out
end

describe("corun.args: options", function()
  local spec = {limit = 20, rate = 1.5, name = "x", verbose = false, color = true, per_host = 4}

  it("are the defaults when nothing was given", function()
    assert.same(spec, values(spec))
    assert.equal("integer", math.type(values(spec).limit))
    assert.equal("float", math.type(values(spec).rate))
  end)

  it("take a value after = or in the next argument", function()
    assert.equal(7, values(spec, "--limit=7").limit)
    assert.equal(7, values(spec, "--limit", "7").limit)
    assert.equal("a=b", values(spec, "--name=a=b").name)
    assert.equal("", values(spec, "--name=").name)
    assert.equal("", values(spec, "--name", "").name)
    assert.equal("-", values(spec, "--name", "-").name)
  end)

  it("have the type of their default", function()
    assert.equal("integer", math.type(values(spec, "--limit=7").limit))
    assert.equal("float", math.type(values(spec, "--rate=3").rate))
    assert.equal("12", values(spec, "--name=12").name)
    assert.equal(math.mininteger, values(spec, "--limit=-9223372036854775808").limit)
    assert.equal(5, values(spec, "--limit=+5").limit)
    assert.equal(-2500.0, values(spec, "--rate=-2.5e3").rate)
    assert.equal(0.5, values(spec, "--rate", ".5").rate)
  end)

  it("accept a negative number as the next argument", function()
    assert.equal(-3, values(spec, "--limit", "-3").limit)
    assert.equal(-0.5, values(spec, "--rate", "-.5").rate)
  end)

  it("refuse a number that is none", function()
    for _, s in ipairs{"ten", "", " 1", "1 ", "0x10", "1.0", "1e2", "--", "٣"} do
      assert.equal(("--limit=%s: expected an integer"):format(s), misuse(spec, "--limit=" .. s))
    end
    assert.equal("--limit=9223372036854775808: the integer is too large",
      misuse(spec, "--limit=9223372036854775808"))
    for _, s in ipairs{"fast", "", "nan", "inf", "0x1p4", "1e", "1.2.3", "1 "} do
      assert.equal(("--rate=%s: expected a number"):format(s), misuse(spec, "--rate=" .. s))
    end
    assert.equal("--rate=1e999: the number is too large", misuse(spec, "--rate=1e999"))
  end)

  it("switch a flag on and off", function()
    assert.is_true(values(spec, "--verbose").verbose)
    assert.is_false(values(spec, "--verbose", "--no-verbose").verbose)
    assert.is_false(values(spec, "--no-color").color)
    assert.is_true(values(spec, "--verbose=yes").verbose)
    assert.is_false(values(spec, "--color=false").color)
    assert.equal("--color=maybe: expected yes or no", misuse(spec, "--color=maybe"))
    assert.equal("--no-color takes no value", misuse(spec, "--no-color=yes"))
    assert.equal('unexpected argument "yes"', misuse(spec, "--verbose", "yes"))
  end)

  it("are written with dashes where the name has underscores", function()
    assert.equal(9, values(spec, "--per-host=9").per_host)
    assert.equal(9, values(spec, "--per_host=9").per_host)
  end)

  it("count the last time when given twice", function()
    assert.equal(2, values(spec, "--limit=1", "--limit=2").limit)
  end)

  it("need their value", function()
    assert.equal("--name needs a value", misuse(spec, "--name"))
    assert.equal("--name needs a value (--name=--verbose if that is the value)",
      misuse(spec, "--name", "--verbose"))
    assert.equal("--verbose", values(spec, "--name=--verbose").name)
  end)

  it("that are unknown are refused with the one that was meant", function()
    assert.equal('unknown option "--limt=3" (did you mean "--limit"?)', misuse(spec, "--limt=3"))
    assert.equal('unknown option "--verb" (did you mean "--verbose"?)', misuse(spec, "--verb"))
    assert.equal('unknown option "--no-colour" (did you mean "--no-color"?)',
      misuse(spec, "--no-colour"))
    assert.equal('unknown option "-limit=3" (did you mean "--limit"?)', misuse(spec, "-limit=3"))
    assert.equal('unknown option "--zzz"', misuse(spec, "--zzz"))
    assert.equal('unknown option "-z"', misuse(spec, "-z"))
    assert.equal('unknown option "--=3"', misuse(spec, "--=3"))
  end)
end)

describe("corun.args: options described by a table", function()
  it("may have no default", function()
    local spec = {out = {type = "string"}, n = {type = "integer"}, quiet = {type = "boolean"}}
    local o = run(spec)
    assert.is_nil(o.out)
    assert.is_nil(o.n)
    assert.is_false(o.quiet)
    assert.equal(3, values(spec, "--n=3").n)
  end)

  it("may have a short form", function()
    local spec = {out = {"", short = "o"}, limit = {1, short = "n"}, verbose = {false, short = "v"},
      quiet = {false, short = "q"}}
    assert.equal("f", values(spec, "-o", "f").out)
    assert.equal("f", values(spec, "-of").out)
    assert.equal("f", values(spec, "-o=f").out)
    assert.equal(-4, values(spec, "-n", "-4").limit)
    local o = values(spec, "-vqofile")
    assert.same({true, true, "file"}, {o.verbose, o.quiet, o.out})
    assert.equal("--out needs a value", misuse(spec, "-vo"))
    assert.equal("--limit=x: expected an integer", misuse(spec, "-nx"))
    assert.equal('unknown option "-vx"', misuse(spec, "-vx"))
  end)

  it("may be limited to a range or to choices", function()
    local spec = {limit = {16, min = 1, max = 100}, format = {"table", choices = {"table", "json"}},
      rate = {1.0, min = 0.5}}
    assert.equal(100, values(spec, "--limit=100").limit)
    assert.equal("--limit=0: must be at least 1", misuse(spec, "--limit=0"))
    assert.equal("--limit=101: must be at most 100", misuse(spec, "--limit=101"))
    assert.equal("--rate=0.1: must be at least 0.5", misuse(spec, "--rate=0.1"))
    assert.equal("json", values(spec, "--format=json").format)
    assert.equal('--format=jsn: expected one of table, json (did you mean "json"?)',
      misuse(spec, "--format=jsn"))
  end)

  it("may be given many times, as a list", function()
    local spec = {header = {type = "string", many = true}, port = {{80, 443}, many = true}}
    assert.same({header = {}, port = {80, 443}}, values(spec))
    assert.same({header = {"a", "b"}, port = {1}},
      values(spec, "--header=a", "--port=1", "--header", "b"))
    values(spec).port[1] = 0
    assert.equal(80, values(spec).port[1], "the defaults are copied")
  end)

  it("may be required", function()
    local spec = {token = {type = "string", required = true}, "FILE"}
    local line, usage = misuse(spec, "x")
    assert.equal("missing option --token", line)
    assert.equal(" --token=TEXT FILE (--help tells more)", usage)
    assert.equal("t", values(spec, "x", "--token=t").token)
  end)
end)

describe("corun.args: positional arguments", function()
  it("are stored under their names in lower case", function()
    assert.same({file = "a", out_file = "b"}, values({"FILE", "OUT-FILE"}, "a", "b"))
  end)

  it("are required, optional or many", function()
    assert.equal("missing argument FILE", misuse{"FILE"})
    assert.same({a = "x"}, values({"A", "[B]"}, "x"))
    assert.same({a = "x", b = {"y", "z"}}, values({"A", "B..."}, "x", "y", "z"))
    assert.equal("missing argument B", misuse({"A", "B..."}, "x"))
    assert.same({b = {}}, values{"[B...]"})
  end)

  it("stand anywhere between the options", function()
    local o = values({n = 1, v = {false, short = "v"}, "A", "B"}, "x", "--n", "2", "y", "-v")
    assert.same({n = 2, v = true, a = "x", b = "y"}, o)
  end)

  it("may look like options after --", function()
    assert.same({a = {"--n=3", "--", "-"}, n = 1},
      values({n = 1, "A..."}, "--", "--n=3", "--", "-"))
  end)

  it("may be a dash or a negative number", function()
    assert.same({a = "-", b = "-1.5"}, values({"A", "B"}, "-", "-1.5"))
  end)

  it("that nobody asked for are refused", function()
    local spec = {limit = 1, verbose = false, "[FILE]"}
    assert.equal('unexpected argument "b"', misuse(spec, "a", "b"))
    assert.equal('unexpected argument "limit=3" (did you mean "--limit=3"?)',
      misuse(spec, "a", "limit=3"))
    assert.equal('unexpected argument "verbose" (did you mean "--verbose"?)',
      misuse(spec, "a", "verbose"))
  end)
end)

describe("corun.args: help", function()
  it("lists everything, aligned, with the defaults", function()
    assert.equal([[
usage: t.lua [options] URL [FILE...]

Fetch the pages of an API.

arguments:
  URL                      the first page

options:
      --[no-]color         (default: on)
      --format=table|json  how to print (default: table)
      --header=LINE        (may be repeated)
      --limit=N            pages at once (default: 20)
  -o, --out=TEXT           write the table here, which is a sentence so long
                           that it needs two lines
      --rate=X             (default: 1.5)
      --sep=TEXT           (default: ", ")
      --token=TEXT         (required)
      --verbose
  -h, --help               print this and exit
]], (help{
      limit = 20, verbose = false, color = true, rate = 1.5, sep = ", ",
      format = {"table", choices = {"table", "json"}, help = "how to print"},
      header = {type = "string", many = true, value = "LINE"},
      out = {type = "string", short = "o"},
      token = {type = "string", required = true},
      "URL", "[FILE...]",
      help = {
        "Fetch the pages of an API.", limit = "pages at once", URL = "the first page",
        out = "write the table here, which is a sentence so long that it needs two lines",
      },
    }:gsub(" %-%-token=TEXT URL", " URL")))
  end)

  it("gives a long option a line of its own", function()
    assert.equal([[
usage: t.lua [options]

options:
      --a-name-that-is-rather-long=N
              text (default: 1)
      --n=N   (default: 1)
  -h, --help  print this and exit
]], help{a_name_that_is_rather_long = {1, help = "text"}, n = 1})
  end)

  it("wraps what it says about the script, and keeps its line ends", function()
    local long = ("word "):rep(20)
    assert.matches("^usage: t%.lua %[options%]\n\n" .. ("word "):rep(15)
      .. "word\nword word word word\nThe end%.\n\noptions:\n", help{help = long .. "\nThe end."})
  end)

  it("is one line about the script when help is a string", function()
    assert.matches("^usage: t%.lua %[options%]\n\nCounts%.\n\noptions:\n", help{help = "Counts."})
  end)

  it("comes for -h too, and before what follows it is looked at", function()
    local _, status, out = run({n = 1}, "-h", "--n=x", "extra")
    assert.equal(0, status)
    assert.matches("^usage: t%.lua", out)
    assert.equal("--help takes no value", misuse({}, "--help=x"))
  end)
end)

describe("corun.args: the result", function()
  it("refuses a misspelt name", function()
    local o = run{limit = 1, "[FILE]"}
    assert.is_nil(o.file)
    assert.is_nil(o[1])
    local ok, e = pcall(function() return o.limt + 1 end)
    assert.is_false(ok)
    assert.matches('args_spec%.lua:%d+: args has no option "limt" %(did you mean "limit"%?%)$', e)
  end)

  it("reads the script's own arguments and name by default", function()
    local old = rawget(_G, "arg")
    rawset(_G, "arg", {[0] = "/some/where/tool.lua", "--n=5"})
    local err = sink()
    local o = args{n = 1}
    local none = args({}, {err = err, exit = function() end})
    rawset(_G, "arg", old)
    assert.equal(5, o.n)
    assert.is_nil(none)
    assert.matches('^tool%.lua: unknown option "%-%-n=5"\nusage: tool%.lua ', err.text)
  end)
end)

describe("corun.args: a wrong description", function()
  local function refused(spec, text, o)
    local line
    local ok, e = pcall(function()
      line = debug.getinfo(1, "l").currentline + 1
      local result = args(spec, o or {argv = {}})
      return result
    end)
    assert.is_false(ok)
    assert.equal(text, e:match("args_spec%.lua:" .. line .. ": (.*)$") or e)
  end

  it("raises at the script's line", function()
    refused(3, "args: expected a table of defaults, got number")
    refused({f = print},
      'args: option "f" cannot be a function: string, integer, number or boolean')
    refused({f = {type = "int"}},
      'args: option "f" cannot be a int: string, integer, number or boolean')
    refused({f = {1, type = "string"}},
      'args: the default of option "f" must be of type string, got integer')
    refused({f = {1.5, type = "integer"}},
      'args: the default of option "f" must be of type integer, got number')
    refused({["a-b"] = 1}, 'args: an option cannot be called "a-b"')
    refused({f = {1, hlep = "x"}},
      'unknown option "hlep" for args option "f" (did you mean "help"?)')
    refused({f = {0, min = 1}}, 'args: the default of option "f": must be at least 1')
    refused({f = {"x", choices = {"ab", "cd"}}},
      'args: the default of option "f": expected one of ab, cd')
    refused({f = {"x", min = 1}}, 'args: option "f" is no number: it has no min or max')
    refused({f = {true, many = true}},
      'args: option "f" is a flag: it has no many, choices, value or required')
    refused({f = {1, short = "ff"}}, 'args: short of option "f" must be one letter or digit')
    refused({f = {1, short = "h"}}, 'args: two options are both "-h"')
    refused({x = false, no_x = 1}, 'args: two options are both "--no-x"')
    refused({"FILE", "file"}, 'args: "file" is described twice')
    refused({file = 1, "FILE"}, 'args: "file" is described twice')
    refused({"A...", "B"}, 'args: "B" cannot follow "A..."')
    refused({"[A]", "B"}, 'args: "B" cannot follow "[A]"')
    refused({"A B"}, 'args: a positional argument is "NAME", "[NAME]", "NAME..." or "[NAME...]", '
      .. 'got "A B"')
    refused({print}, 'args: a positional argument is "NAME", "[NAME]", "NAME..." or "[NAME...]", '
      .. "got function")
    refused({help = 1}, "args: help must be a string or a table")
    refused({limit = 1, help = {limt = "x"}},
      'unknown option "limt" for args help (did you mean "limit"?)')
    refused({}, 'unknown option "arg" for args (did you mean "argv"?)', {arg = {}})
  end)
end)

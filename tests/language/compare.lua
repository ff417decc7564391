-- SPDX-License-Identifier: MIT
--- Compares runs of the language spec and counts what passed.
-- usage: lua5.4 compare.lua FOLDER RUN=REFERENCE ...
-- Each run has FOLDER/RUN.out (the lines of main.lua), RUN.err (its standard error) and RUN.status.
-- A check of a run passes when its line says ok and is the line of the reference run; a run that
-- is itself a reference is written RUN=RUN. Faults go to standard output, the counts last.

local folder = arg[1]

local function content(name)
  local f = io.open(folder .. "/" .. name, "rb")
  if not f then return "" end
  local text = f:read("a")
  f:close()
  return text
end

-- The lines of a run by the name of their check, and the names in order.
local function parse(run)
  local by_name, names = {}, {}
  for line in content(run .. ".out"):gmatch("[^\n]+") do
    local name = line:match("^ok ([^=]-) = ") or line:match("^ok (.*)$")
      or line:match("^not ok (.-): want ") or line:match("^not ok (.-): raised ")
    if name then
      by_name[name] = line
      names[#names + 1] = name
    end
  end
  return by_name, names
end

local passed, failed = 0, 0

local function fault(run, text)
  failed = failed + 1
  print(run .. ": " .. text)
end

local function compare(run, reference)
  local lines = parse(run)
  local expected, names = parse(reference)
  local before = failed
  for _, name in ipairs(names) do
    local line, want = lines[name], expected[name]
    if not line then
      fault(run, "missing: " .. name)
    elseif line:sub(1, 3) ~= "ok " then
      fault(run, line)
    elseif line ~= want then
      fault(run, line .. "\n  but " .. reference .. ": " .. want)
    else
      passed = passed + 1
    end
  end
  local status, errors = content(run .. ".status"):match("%d+"), content(run .. ".err")
  if status ~= "0" then fault(run, "ended with status " .. tostring(status)) end
  if #names == 0 then fault(run, "no check ran") end
  if errors ~= "" then fault(run, "on standard error: " .. errors) end
  print(("# %s: %d checks, %d failed"):format(run, #names, failed - before))
end

for i = 2, #arg do
  compare(arg[i]:match("^([^=]+)=([^=]+)$"))
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0)

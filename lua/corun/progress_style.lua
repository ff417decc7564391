-- SPDX-License-Identifier: MIT
-- How corun.progress looks: the line of a bar on a terminal, and as plain text. Owns nothing.
local style = {}

local WIDEST = 40 -- columns of the bar itself
local BLOCKS = {"▏", "▎", "▍", "▌", "▋", "▊", "▉"}
local DOTS = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}
local SLASHES = {"|", "/", "-", "\\"}
local SIZES = {"B", "kB", "MB", "GB", "TB", "PB"}

local function read_locale()
  for _, name in ipairs{"LC_ALL", "LC_CTYPE", "LANG"} do
    local value = os.getenv(name)
    if value and value ~= "" then return value:lower():find("utf%-?8") ~= nil end
  end
  return false
end

local is_unicode = read_locale()

-- Columns that a character takes: East Asian and emoji two, combining ones none.
local function columns_of(c)
  if c >= 0x300 and c <= 0x36F or c >= 0x200B and c <= 0x200F then return 0 end
  if c >= 0x1100 and (c <= 0x115F or c >= 0x2E80 and c <= 0xA4CF or c >= 0xAC00 and c <= 0xD7A3
    or c >= 0xF900 and c <= 0xFAFF or c >= 0xFE30 and c <= 0xFE6F or c >= 0xFF00 and c <= 0xFF60
    or c >= 0x1F300 and c <= 0x1FAFF or c >= 0x20000 and c <= 0x3FFFD) then
    return 2
  end
  return 1
end

-- As much of the text as fits, and the columns that it takes.
local function fit(text, most)
  local used = 0
  for at, c in utf8.codes(text) do
    local w = columns_of(c)
    if used + w > most then return text:sub(1, at - 1), used end
    used = used + w
  end
  return text, used
end

---A label without what would move the cursor.
function style.clean(text)
  text = text:gsub("%c", " ")
  return utf8.len(text) and text or (text:gsub("[\128-\255]", "?"))
end

local function number(n)
  if math.type(n) == "integer" or n == n // 1 and math.abs(n) < 2^53 then
    return ("%d"):format(n // 1 | 0)
  end
  return ("%.1f"):format(n)
end

local function size(n)
  local i = 1
  while math.abs(n) >= 999.5 and i < #SIZES do n, i = n / 1000, i + 1 end
  return (i == 1 and "%.0f %s" or n < 9.95 and "%.2f %s" or n < 99.5 and "%.1f %s" or "%.0f %s")
    :format(n, SIZES[i])
end

local function clock(s)
  if s ~= s or s >= 360000 then return "--:--" end
  s = (s + 0.5) // 1 | 0
  if s < 3600 then return ("%d:%02d"):format(s // 60, s % 60) end
  return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60)
end

---What is done: "3/10", "3 pages", "1.2 MB/4 MB".
function style.amount(bar)
  local show = bar.unit == "bytes" and size or number
  local unit = bar.unit and bar.unit ~= "bytes" and " " .. bar.unit or ""
  return show(bar.done) .. (bar.total and bar.total > 0 and "/" .. show(bar.total) or "") .. unit
end

local function rate(bar)
  local r = bar.rate
  if not r or r ~= r then return "" end
  if bar.unit == "bytes" then return size(r) .. "/s" end
  return (r < 99.95 and "%.1f/s" or "%.0f/s"):format(r)
end

-- The share that is done, from 0 to 1; nil when that is not known.
local function share_of(bar)
  local total = bar.total
  if total and total > 0 and total < math.huge then
    return math.max(0, math.min(1, bar.done / total))
  end
end

-- The time it took, or will still take, or has taken so far.
local function time_of(bar, t)
  if bar.closed then return clock(bar.closed - bar.started) end
  local left = bar.total and bar.rate and bar.rate > 0 and (bar.total - bar.done) / bar.rate
  if left and left >= 0 then return "ETA " .. clock(left) end
  return clock(t - bar.started)
end

local function join(...)
  local parts = {}
  for i = 1, select("#", ...) do
    local part = select(i, ...)
    if part and part ~= "" then parts[#parts + 1] = part end
  end
  return table.concat(parts, "  ")
end

local function draw_bar(share, width)
  if not is_unicode then
    local full = (share * width) // 1 | 0
    return "[" .. ("#"):rep(full) .. ("-"):rep(width - full) .. "]"
  end
  local eighths = (share * width * 8) // 1 | 0
  local full = eighths // 8
  local part = BLOCKS[eighths % 8] or ""
  return "│" .. ("█"):rep(full) .. part .. (" "):rep(width - full - (part ~= "" and 1 or 0)) .. "│"
end

---The line of a bar on a terminal, `columns` wide at most; and how wide it is.
function style.line(bar, t, columns)
  local share = share_of(bar)
  local tail = join(style.amount(bar), rate(bar), time_of(bar, t))
  local head = bar.label or ""
  if share then
    head = join(head, ("%3d%%"):format((share * 100) // 1 | 0))
  elseif not bar.closed then
    local frames = is_unicode and DOTS or SLASHES
    head = join(head, frames[((t - bar.started) * 10 // 1 | 0) % #frames + 1])
  end
  local _, used = fit(head, math.maxinteger)
  local room = columns - used - #tail - 6 -- two blanks on each side, two ends
  if share and room >= 5 then
    return fit(join(head, draw_bar(share, math.min(room, WIDEST)), tail), columns)
  end
  return fit(join(head, tail), columns)
end

---The same as plain text.
function style.plain(bar, t)
  local share = share_of(bar)
  local text = style.amount(bar)
  if share then text = text .. (" (%d%%)"):format((share * 100) // 1 | 0) end
  for _, part in ipairs{rate(bar), time_of(bar, t)} do
    if part ~= "" then text = text .. ", " .. part end
  end
  return (bar.label and bar.label .. ": " or "") .. text
end

return style

-- SPDX-License-Identifier: MIT
-- Draw the Mandelbrot set on all cores. Each row of the picture is a job of a pool; rows come back
-- as they are done, however long each of them takes.
local corun = require "corun"
local codec, fs = corun.codec, corun.fs

local opt = corun.args{
  width = {1024, min = 1, max = 32768}, x = -0.75, y = 0.0,
  height = {768, min = 1, max = 32768}, zoom = {1.0, min = 1e-9},
  iterations = {500, min = 1, short = "i"}, workers = {type = "integer", min = 1, short = "j"},
  quiet = {false, short = "q"}, "[FILE]",
  help = {"Draw the Mandelbrot set in shades of grey.", FILE = "NAME.png or NAME.pgm (default: "
    .. "mandelbrot.png)", width = "in pixels", height = "in pixels", x = "the centre, real part",
    y = "its imaginary part", zoom = "1 shows all of the set, 100 a hundredth",
    iterations = "of a point before it counts as one of the set",
    workers = "cores to use (default: all)", quiet = "no progress, no summary"},
}

-- The brightness of a point: 0 in the set, else the more the longer it stays.
local function shade(cx, cy, most)
  local x, y, n = 0.0, 0.0, 0
  local xx, yy = 0.0, 0.0
  while xx + yy <= 16 do
    if n == most then return 0 end
    y = 2 * x * y + cy
    x = xx - yy + cx
    xx, yy, n = x * x, y * y, n + 1
  end
  local smooth = n + 1 - math.log(math.log(xx + yy) / 2, 2)
  return math.floor(1 + 254 * math.min(1, math.max(0, smooth) / most) ^ 0.3)
end

-- What a job does. Its upvalues, which are a function and five numbers, travel along.
local width, height, most = opt.width, opt.height, opt.iterations
local step = 3 / opt.zoom / math.max(width, height * 4 / 3)
local left, top = opt.x - step * (width - 1) / 2, opt.y + step * (height - 1) / 2

local function draw_row(row)
  local bytes = {}
  for i = 1, width do
    bytes[i] = string.char(shade(left + step * (i - 1), top - step * (row - 1), most))
  end
  return table.concat(bytes)
end

-- Files ------------------------------------------------------------------------------------------

local function pgm(rows)
  return ("P5\n%d %d\n255\n"):format(width, height) .. table.concat(rows)
end

local function chunk(kind, data)
  return string.pack(">I4", #data) .. kind .. data .. string.pack(">I4", codec.crc32(kind .. data))
end

local function png(rows)
  local lines = {}
  for i, row in ipairs(rows) do lines[i] = "\0" .. row end -- 0: the row is not filtered
  local head = string.pack(">I4I4BBBBB", width, height, 8, 0, 0, 0, 0) -- 8 bits of grey
  return "\x89PNG\r\n\x1a\n" .. chunk("IHDR", head)
    .. chunk("IDAT", assert(codec.deflate.encode(table.concat(lines)))) .. chunk("IEND", "")
end

local path = opt.file or "mandelbrot.png"
local encode = ({png = png, pgm = pgm})[path:match("%.(%a+)$")]
if not encode then
  io.stderr:write("mandelbrot.lua: FILE is a NAME.png or a NAME.pgm (--help tells more)\n")
  corun.exit(2)
end

local start = corun.now()
local pool <close> = corun.pool.new{name = "mandelbrot", size = opt.workers}
local numbers, rows = {}, {}
for row = 1, height do numbers[row] = row end
local done = pool:each(numbers, draw_row)
for row, bytes in corun.progress(done, {total = height, label = "rows", quiet = opt.quiet}) do
  rows[row] = bytes
end
local seconds = corun.now() - start
local ok, err = fs.write(path, encode(rows), {atomic = true})
if not ok then
  io.stderr:write(("mandelbrot.lua: %s\n"):format(err))
  corun.exit(1)
end
if not opt.quiet then
  print(("%s: %d x %d, %d workers, %.2f s"):format(path, width, height, pool:stats().size, seconds))
end

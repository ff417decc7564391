-- SPDX-License-Identifier: MIT
-- The content types of files by the endings of their names, and which of them are worth
-- compressing. Owns nothing.
local types = {}

local DEFAULT = "application/octet-stream"

local BY_ENDING = {
  html = "text/html", htm = "text/html", css = "text/css", js = "text/javascript",
  mjs = "text/javascript", txt = "text/plain", md = "text/markdown", csv = "text/csv",
  xml = "text/xml", log = "text/plain", lua = "text/plain", ics = "text/calendar",
  vtt = "text/vtt",
  json = "application/json", map = "application/json", webmanifest = "application/manifest+json",
  jsonl = "application/x-ndjson", ndjson = "application/x-ndjson", wasm = "application/wasm",
  pdf = "application/pdf", zip = "application/zip", gz = "application/gzip",
  zst = "application/zstd", tar = "application/x-tar", bz2 = "application/x-bzip2",
  xz = "application/x-xz", ["7z"] = "application/x-7z-compressed", rss = "application/rss+xml",
  atom = "application/atom+xml", rtf = "application/rtf", epub = "application/epub+zip",
  svg = "image/svg+xml", png = "image/png", jpg = "image/jpeg", jpeg = "image/jpeg",
  gif = "image/gif", webp = "image/webp", avif = "image/avif", ico = "image/x-icon",
  bmp = "image/bmp", tif = "image/tiff", tiff = "image/tiff",
  woff = "font/woff", woff2 = "font/woff2", ttf = "font/ttf", otf = "font/otf",
  mp3 = "audio/mpeg", ogg = "audio/ogg", wav = "audio/wav", flac = "audio/flac",
  m4a = "audio/mp4", opus = "audio/ogg", weba = "audio/webm",
  mp4 = "video/mp4", webm = "video/webm", mov = "video/quicktime", ogv = "video/ogg",
}

local COMPRESSIBLE = {
  ["application/json"] = true, ["application/javascript"] = true, ["application/xml"] = true,
  ["application/wasm"] = true, ["application/x-ndjson"] = true, ["application/rtf"] = true,
  ["application/x-tar"] = true, ["image/x-icon"] = true, ["image/bmp"] = true,
  ["font/ttf"] = true, ["font/otf"] = true,
}

---The content type of a file, with the charset of texts.
---@param name string
---@param more table<string, string>? types of further endings
function types.of(name, more)
  local ending = name:match("%.([^./]+)$")
  ending = ending and ending:lower()
  local given = more and more[ending]
  if given then return given end
  local found = BY_ENDING[ending] or DEFAULT
  return found:find("^text/") and found .. "; charset=utf-8" or found
end

---Say whether a body of this type becomes smaller: texts do.
function types.is_compressible(content_type)
  local bare = content_type:match("^%s*([^%s;]+)")
  bare = bare and bare:lower() or ""
  return bare:find("^text/") ~= nil or COMPRESSIBLE[bare] or bare:find("%+json$") ~= nil
    or bare:find("%+xml$") ~= nil
end

return types

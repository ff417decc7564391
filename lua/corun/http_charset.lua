-- SPDX-License-Identifier: MIT
-- The text of a body: which character set it is in, and that text in UTF-8. Names are those of the
-- Encoding Standard (encoding.spec.whatwg.org), so that a page is read as a browser reads it.
-- Decoding is done in src/data/charset.c (corun.charsetcore), in slices. Owns nothing.
local task = require "corun.task"

local charset = {}

local SLICE = 256 << 10 -- about a millisecond of decoding

-- What iconv calls an encoding, and the labels it goes by.
local LABELS = {
  ["UTF-8"] = "utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
  ["IBM866"] = "866 cp866 csibm866 ibm866",
  ["ISO-8859-2"] = "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 "
    .. "iso_8859-2:1987 l2 latin2",
  ["ISO-8859-3"] = "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 "
    .. "iso_8859-3:1988 l3 latin3",
  ["ISO-8859-4"] = "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 "
    .. "iso_8859-4:1988 l4 latin4",
  ["ISO-8859-5"] = "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 "
    .. "iso_8859-5 iso_8859-5:1988",
  ["ISO-8859-6"] = "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 "
    .. "iso-8859-6-e iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987",
  ["ISO-8859-7"] = "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 "
    .. "iso8859-7 iso88597 iso_8859-7 iso_8859-7:1987 sun_eu_greek",
  ["ISO-8859-8"] = "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 "
    .. "iso8859-8 iso88598 iso_8859-8 iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical",
  ["ISO-8859-10"] = "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
  ["ISO-8859-13"] = "iso-8859-13 iso8859-13 iso885913",
  ["ISO-8859-14"] = "iso-8859-14 iso8859-14 iso885914",
  ["ISO-8859-15"] = "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
  ["ISO-8859-16"] = "iso-8859-16",
  ["KOI8-R"] = "cskoi8r koi koi8 koi8-r koi8_r",
  ["KOI8-U"] = "koi8-ru koi8-u",
  ["MACINTOSH"] = "csmacintosh mac macintosh x-mac-roman",
  ["CP874"] = "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874",
  ["CP1250"] = "cp1250 windows-1250 x-cp1250",
  ["CP1251"] = "cp1251 windows-1251 x-cp1251",
  ["CP1252"] = "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 "
    .. "iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
  ["CP1253"] = "cp1253 windows-1253 x-cp1253",
  ["CP1254"] = "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 "
    .. "iso_8859-9:1989 l5 latin5 windows-1254 x-cp1254",
  ["CP1255"] = "cp1255 windows-1255 x-cp1255",
  ["CP1256"] = "cp1256 windows-1256 x-cp1256",
  ["CP1257"] = "cp1257 windows-1257 x-cp1257",
  ["CP1258"] = "cp1258 windows-1258 x-cp1258",
  ["MACCYRILLIC"] = "x-mac-cyrillic x-mac-ukrainian",
  ["GB18030"] = "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk "
    .. "gb18030",
  ["BIG5-HKSCS"] = "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
  ["EUC-JP"] = "cseucpkdfmtjapanese euc-jp x-euc-jp",
  ["ISO-2022-JP"] = "csiso2022jp iso-2022-jp",
  ["CP932"] = "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
  ["CP949"] = "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 "
    .. "ksc5601 ksc_5601 windows-949",
  ["UTF-16BE"] = "unicodefffe utf-16be",
  ["UTF-16LE"] = "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
}

local encodings = {}
for name, labels in pairs(LABELS) do
  for label in labels:gmatch("%S+") do encodings[label] = name end
end

local MARKS = {["UTF-8"] = "\239\187\191", ["UTF-16LE"] = "\255\254", ["UTF-16BE"] = "\254\255"}

---The charset that a Content-Type names, in small letters; nil when it names none.
---@param content_type string?
---@return string? label
function charset.of(content_type)
  local at = content_type and content_type:find(";", 1, true)
  while at do
    local name, stop = content_type:match("^;[ \t]*([^ \t;=]*)[ \t]*()", at)
    local start, value = content_type:match("^=[ \t]*()", stop), nil
    if start and content_type:byte(start) == 34 then
      value, stop = content_type:match('^"([^"]*)"?()', start)
    elseif start then
      value, stop = content_type:match("^([^;]*)()", start)
    end
    if value and name:lower() == "charset" then
      value = value:gsub("^[ \t']+", ""):match("^.*[^ \t']") -- some write charset='utf-8'
      if value then return value:lower() end
    end
    at = content_type:find(";", stop, true)
  end
end

-- The encoding of a body, and how many bytes of it are the mark of that.
local function encoding_of(body, label)
  for name, mark in pairs(MARKS) do
    if body:sub(1, #mark) == mark and (not label or encodings[label] == name) then
      return name, #mark
    end
  end
  return label and encodings[label], 0
end

local function decode(body, at, decoder)
  local out = {}
  repeat
    local stop = at + SLICE
    out[#out + 1] = decoder:feed(body:sub(at, stop - 1), stop > #body)
    at = stop
    if at <= #body then task.yield() end
  until at > #body
  return table.concat(out)
end

local function unknown(label, why)
  return nil, task.err("ECHARSET", ("the charset %q %s"):format(label:sub(1, 64), why),
    {op = "decode"})
end

---The text of a body in UTF-8.
---
---What decides is `label`, which the caller gave; else a byte order mark, else the Content-Type,
---else it is UTF-8. The mark is left out. Bytes that stand for no character become U+FFFD. A body
---of more than 256 KiB is decoded in slices, and other tasks run between them.
---@param body string
---@param content_type string?
---@param label string? a charset that is known better
---@return string? text
---@return table? err ECHARSET
function charset.text(body, content_type, label)
  label = label and label:lower()
  local name, skip = encoding_of(body, label)
  if not name then
    label = label or charset.of(content_type) or "utf-8"
    name = encodings[label]
    if not name then return unknown(label, "is not known") end
  end
  if name == "UTF-8" and #body <= SLICE and utf8.len(body) then return body:sub(skip + 1) end
  local decoder = require("corun.charsetcore").decoder(name)
  if not decoder then return unknown(label or name, "is not known to this system") end
  return decode(body, skip + 1, decoder)
end

return charset

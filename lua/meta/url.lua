-- SPDX-License-Identifier: MIT
-- Types of `require "corun.url"`; see corun.lua beside it.
---@meta corun.url
-- luacheck: no unused

--- URLs as browsers have them: the URL Standard (url.spec.whatwg.org).
---
--- What `http`, `https`, `ws`, `wss`, `ftp` and `file` mean by a text is taken as browsers do:
--- case, backslashes, tabs and line ends, dot segments, numbers for addresses, domains in any
--- script (`münchen.de` is `xn--mnchen-3ya.de`: UTS 46, without the transitional mapping). Parts
--- are given percent-encoded, as they stand in the URL.
---
--- It differs on purpose in this: the host of an IPv6 address is given without brackets, as
--- `net.connect` wants it; a part that is absent is nil, not an empty string; bytes that are no
--- UTF-8 are percent-encoded as they are; domains that IDNA 2008 forbids, such as those with
--- symbols, or that are longer than a name may be when they are encoded, are refused.
---@class corun.url
local url = {}

--- The parts of a URL. `tostring(u)` is the URL; parts may be changed, and what cannot stand in
--- their place is then percent-encoded. A scheme, host or port that cannot be written makes
--- `tostring` raise.
---@class corun.url.parts
---@field scheme string in small letters
---@field user? string nil when there is neither user nor password
---@field password? string
---@field host? string a domain, an address (IPv6 without brackets), "" for files of this machine
---@field port? integer nil when it is absent, or the scheme's own
---@field path string for `mailto:` and its like the text that stands there
---@field query? string without the "?"
---@field fragment? string without the "#"

-- ## Whole URLs

--- Parse a URL, or a reference relative to a base.
---
--- - Fails: `EURL`: what is wrong is in `err.message`.
--- - Source: URL Standard, section 4.4.
---@param s string
---@param base? string|corun.url.parts
---@return corun.url.parts? u
---@return corun.err? err
function url.parse(s, base) end

--- The URL that a reference means in a document at `base`.
---
--- ```lua
--- url.join("http://h/a/b", "../c?d")  --> "http://h/c?d"
--- ```
---
--- - Fails: `EURL`.
--- - Source: URL Standard, section 4.4.
---@param base string|corun.url.parts
---@param reference string
---@return string? url
---@return corun.err? err
function url.join(base, reference) end

--- Make a URL of its parts; those of `url.parse` give the same URL again.
---
--- What cannot stand in a part is percent-encoded, so that no part reaches into another; a "%"
--- stays, so text that is not encoded yet goes through `url.encode` first. The host may be in any
--- script.
---
--- - Raises: for an unknown part or a wrong type, and when the scheme is absent.
--- - Fails: `EURL` for a scheme, host or port that cannot be.
---@param parts corun.url.build_parts
---@return string? url
---@return corun.err? err
function url.build(parts) end

---@class corun.url.build_parts
---@field scheme string
---@field user? string
---@field password? string
---@field host? string
---@field port? integer
---@field path? string
---@field query? string|table a table as for `url.query`
---@field fragment? string

-- ## Parts

--- Build a query of a table, or take one apart, by the rules of HTML forms: a space is "+".
---
--- A table of names and values gives the names in the order of their bytes; a list as a value gives
--- its name several times. A list of pairs, `{{"a", 1}, {"b", 2}}`, is taken in its order. Values
--- are strings, finite numbers, which are written exactly, or booleans.
---
--- A text, with or without "?", gives two tables: the first value of each name, and all pairs in
--- order.
---
--- - Raises: for names and values of other types.
--- - Source: URL Standard, section 5.
---@param q table|string
---@return string|table<string, string> result the query; of a text its values
---@return string[][]? pairs of a text
function url.query(q) end

--- Percent-encode a text, so that `url.decode` gives it back.
---
--- What stays as it is: `component`: letters, digits and `-._~`; the others: what may stand in
--- that part of a URL, "/" in a `path` included; `form` writes a space as "+".
---
--- - Source: RFC 3986, section 2.1; URL Standard, section 1.3.
---@param s string
---@param set? "component"|"path"|"query"|"fragment"|"userinfo"|"form" (default component)
---@return string encoded
function url.encode(s, set) end

--- Decode what is percent-encoded; a "%" without two digits after it stays.
---
--- - Source: URL Standard, section 1.3.
---@param s string
---@param set? "component"|"form" form: "+" becomes a space (default component)
---@return string bytes
function url.decode(s, set) end

return url

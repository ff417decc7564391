-- SPDX-License-Identifier: MIT
-- Types of `require "corun.codec"`; see corun.lua beside it.
---@meta corun.codec
-- luacheck: no unused

--- Bytes in other forms: text (base64, base64url, hex), smaller (gzip, deflate, br, zstd), digests,
--- random values. All are strings of bytes.
---
--- Compression and hashes of long inputs run on threads, so that other tasks go on; what takes no
--- longer than about a millisecond is done at once, and after about a millisecond of such calls one
--- lets other tasks run.
---@class corun.codec
local codec = {}

-- ## Text

--- Base64 (RFC 4648, section 4), padded with `=`.
---@type corun.codec.text
codec.base64 = nil

--- Base64 for URLs and file names (RFC 4648, section 5): `-` and `_`, written without padding, read
--- with or without it.
---@type corun.codec.text
codec.base64url = nil

--- Hexadecimal, written in small letters, read in both.
---@type corun.codec.text
codec.hex = nil

--- A way to write bytes as text.
---@class corun.codec.text
local text = {}

--- Write bytes as text.
---
--- - Source: RFC 4648.
---@param s string
---@return string text
function text.encode(s) end

--- Read bytes that were written as text.
---
--- - Fails: `EINVAL` for any text that `encode` does not write: another character, also white
---   space, wrong padding, bits that stand for nothing; `err.offset` is the place, from 1.
--- - Source: RFC 4648.
---@param s string
---@return string? bytes
---@return corun.err? err
function text.decode(s) end

-- ## Compression

--- gzip (RFC 1952). Several members are decoded as one text, as gzip(1) does. Levels 0 to 9 (6).
---@type corun.codec.format
codec.gzip = nil

--- What HTTP calls deflate: written in zlib's format (RFC 1950), read in that or raw (RFC 1951).
--- Levels 0 to 9 (6).
---@type corun.codec.format
codec.deflate = nil

--- Brotli (RFC 7932). It has no checksum. Levels 0 to 11 (5; from 10 on it is very slow).
---@type corun.codec.format
codec.br = nil

--- Zstandard (RFC 8878), written with a checksum; windows of up to 128 MiB are read. Several frames
--- are decoded as one text. Levels 1 to 22 (3).
---@type corun.codec.format
codec.zstd = nil

--- A format that makes texts smaller.
---@class corun.codec.format
local format = {}

--- Compress a text.
---
--- - Suspends: when it takes more than about a millisecond: from 32 KiB to 128 KiB at the default
---   levels, from 1 KiB at the slowest. A cancelled task waits until its thread has stopped, which
---   takes some milliseconds (at the slowest levels half a second).
--- - Raises: when it would have to suspend where that is impossible (S30).
--- - Fails: `EAGAIN` when it would suspend and no thread can be started; so do all that compress or
---   decompress.
---@param s string
---@param o? corun.codec.encode_options
---@return string? packed
---@return corun.err? err
function format.encode(s, o) end

---@class corun.codec.encode_options
---@field level? integer how hard it tries: the range and the default are those of the format

--- Decompress a text, which must be complete and end where its data ends.
---
--- - Suspends: when there is more than 256 KiB (zstd: 512 KiB) of input or output.
--- - Raises: when it would have to suspend where that is impossible (S30).
--- - Fails: `EINVAL` for data that is damaged, truncated or followed by other bytes, with
---   `err.offset`; `EMSGSIZE` when there is more output than `max`.
---@param s string
---@param o? corun.codec.decode_options
---@return string? bytes
---@return corun.err? err
function format.decode(s, o) end

---@class corun.codec.decode_options
---@field max? number most bytes of output in all (default 64 MiB; `math.huge`: no limit)

--- Make an encoder, for a text that comes in pieces.
---
--- ```lua
--- local e <close> = codec.gzip.encoder()
--- for piece in pieces do out:write(e:update(piece)) end
--- out:write(e:finish())
--- ```
---@param o? corun.codec.encode_options
---@return corun.encoder encoder
function format.encoder(o) end

--- Make a decoder, for data that comes in pieces.
---@param o? corun.codec.decode_options
---@return corun.decoder decoder
function format.decoder(o) end

--- Compresses one text, piece by piece. Closable; holds up to some megabytes until it is finished,
--- closed or collected. A call that was cancelled in the middle leaves it useless: later ones give
--- `nil, err` (`ECANCELED`).
---@class corun.encoder
local encoder = {}

--- Take a piece of the text; give what is ready of the output, often nothing.
---
--- - Suspends: as `format.encode`.
--- - Raises: `ECLOSED`; `EBUSY` while another task's call is under way.
--- - Fails: `ECLOSED` when another task closed it meanwhile (S20).
---@param s string
---@return string? packed
---@return corun.err? err
function encoder:update(s) end

--- Give all that was taken so far, so that the other side can decode it.
---
--- - Suspends: as `format.encode`.
--- - Raises: `ECLOSED`; `EBUSY` while another task's call is under way.
--- - Fails: `ECLOSED` when another task closed it meanwhile (S20).
---@return string? packed
---@return corun.err? err
function encoder:flush() end

--- End the text: give the rest of the output, and close the encoder.
---
--- - Suspends: as `format.encode`.
--- - Raises: `ECLOSED`; `EBUSY` while another task's call is under way.
--- - Fails: `ECLOSED` when another task closed it meanwhile (S20).
---@return string? packed
---@return corun.err? err
function encoder:finish() end

--- Release what the encoder holds. Any number of times.
function encoder:close() end

--- Decompresses data, piece by piece. Closable. Once a call has failed, later ones fail alike.
---@class corun.decoder
local decoder = {}

--- Take a piece of the data; give what it decodes to.
---
--- - Suspends: as `format.decode`.
--- - Raises: `ECLOSED`; `EBUSY` while another task's call is under way.
--- - Fails: `EINVAL` for data that is damaged or goes on after its end; `EMSGSIZE` when all output
---   is more than `max`; `ECLOSED` when another task closed it meanwhile (S20).
---@param s string
---@param most? integer end early once there are about so many bytes, which a few of `s` may give
---@return string? bytes
---@return corun.err|integer|nil err or, when it ended early, how many bytes of `s` were not taken:
---  call again with them, also with none
function decoder:update(s, most) end

--- Say that no more data comes: give the rest, usually nothing, and close the decoder.
---
--- - Suspends: as `format.decode`.
--- - Raises: `ECLOSED`; `EBUSY` while another task's call is under way.
--- - Fails: `EINVAL` when the data is truncated; else as `update`.
---@return string? bytes
---@return corun.err? err
function decoder:finish() end

--- Release what the decoder holds. Any number of times.
function decoder:close() end

-- ## Hashes

--- Start a digest. OpenSSL is loaded when the first one is made.
---
--- ```lua
--- local hex = codec.hash("sha256"):update(s):hex()
--- ```
---
--- - Raises: for an unknown algorithm; `ENOSYS` when OpenSSL 3 cannot be loaded or refuses it.
--- - Source: FIPS 180-4, RFC 1321.
---@param algorithm "md5"|"sha1"|"sha256"|"sha384"|"sha512"
---@return corun.hash hash
function codec.hash(algorithm) end

--- A digest under way.
---@class corun.hash
local hash = {}

--- Add bytes.
---
--- - Suspends: when there are more than 512 KiB. An update that was cancelled in the middle, or has
---   failed, leaves the hash useless: later calls raise `ECANCELED`.
--- - Raises: `EBUSY` while another task's update is under way.
--- - Fails: `EAGAIN` when it would suspend and no thread can be started.
---@param s string
---@return corun.hash? hash the same
---@return corun.err? err
function hash:update(s) end

--- The digest of what was added so far, in small hexadecimal letters. More can be added after it.
---
--- - Raises: `EBUSY` while another task's update is under way.
---@return string hex
function hash:hex() end

--- The same as bytes.
---
--- - Raises: `EBUSY` while another task's update is under way.
---@return string bytes
function hash:bytes() end

--- The digest of a file in hexadecimal letters, read on a thread.
---
--- A cancelled task does not wait for it: the thread stops after the read under way.
---
--- - Raises: for an unknown algorithm; `ENOSYS` as `codec.hash`.
--- - Fails: the system's reason: `ENOENT`, `EACCES`, `EISDIR`, `EIO` ...; `EAGAIN` when no thread
---   can be started.
---@async
---@param path string
---@param algorithm? string as for `codec.hash` (default "sha256")
---@return string? hex
---@return corun.err? err
function codec.hash_file(path, algorithm) end

--- The keyed digest of a text, as bytes (`codec.hex.encode` makes letters of them).
---
--- - Suspends: when the text or the key has more than 512 KiB.
--- - Raises: for an unknown algorithm; `ENOSYS` as `codec.hash`.
--- - Fails: `EAGAIN` when it would suspend and no thread can be started.
--- - Source: RFC 2104.
---@param algorithm string as for `codec.hash`
---@param key string
---@param s string
---@return string? bytes
---@return corun.err? err
function codec.hmac(algorithm, key, s) end

--- Say whether two strings are equal, in a time that does not depend on where they differ: for
--- digests and passwords that somebody else has sent.
---@param a string
---@param b string
---@return boolean
function codec.equal(a, b) end

--- The checksum of gzip and zip.
---
--- - Source: RFC 1952, section 8.
---@param s string
---@param crc? integer the checksum of what came before (default 0)
---@return integer crc 0 to 2^32 - 1
function codec.crc32(s, crc) end

-- ## Random values

--- Bytes from the system's generator, fit for keys.
---
--- - Raises: the system's reason, if it has none.
---@param n integer 0 to 1048576
---@return string bytes
function codec.random(n) end

--- A universally unique identifier, in small letters.
---
--- - Raises: the system's reason, if it has no random numbers.
--- - Source: RFC 9562.
---@param version? integer 4, random (default), or 7, in the order of the time they are made
---@return string uuid
function codec.uuid(version) end

return codec

-- SPDX-License-Identifier: MIT
-- Types of `require "corun.fs"`; see corun.lua beside it.
---@meta corun.fs
-- luacheck: no unused

--- Files, without blocking the loop: every system call is made on a thread of libuv's pool, and a
--- whole bundle of them (open, look, read, close) in one go. Much data is moved in slices, on no
--- more threads than leave the loop a core, so that a hundred large files at once neither stop
--- other tasks nor keep small operations waiting.
---
--- Paths are bytes, as the system has them; they need not be UTF-8. A path with a zero byte raises.
--- Errors name the operation and the path: `ENOENT`, `EACCES`, `ENOSPC`, `EMFILE` ... What a
--- thread has begun with cannot be stopped (S16): a cancelled task sleeps until it has ended, which
--- reading, listing, removing, copying and atomic writing cut short; what waits for a thread is
--- dropped at once.
---@class corun.fs
local fs = {}

--- Permission bits: octal digits as chmod(1) takes them (`"644"`), or an integer.
---@alias corun.fs.mode string|integer

--- What a file is.
---@alias corun.fs.kind "file"|"directory"|"link"|"fifo"|"socket"|"block"|"char"|"unknown"

-- ## Whole files

--- Read a whole file. What is large is not copied once it was read.
---
--- A pipe or a terminal is read to its end, and holds no thread meanwhile.
---
--- - Fails: `EMSGSIZE` when it is longer than `max`; `ENOENT`, `EISDIR`, `EACCES`, `EMFILE`,
---   `ENOMEM` ...
---@async
---@param path string
---@param o? corun.fs.read_options
---@return string? data
---@return corun.err? err
function fs.read(path, o) end

---@class corun.fs.read_options
---@field max? integer at most so many bytes (default: no bound; 1 GiB of a device)

--- Write a whole file, which is made if it is not there.
---
--- With `atomic` others see the old bytes or the new ones, also after a power cut: a new file in
--- the same directory is written and brought to the disk (fsync), renamed, and the directory
--- brought to the disk. It has the mode and, where the system allows it, the owner of the file that
--- was there; hard links to that one keep the old bytes. A symbolic link stays, what it leads to is
--- replaced. When it fails or is cancelled nothing is left behind. Without `atomic` the file is
--- written in place: what fails in the middle leaves a part (S19: a cancellation does not).
---
--- - Raises: when `append` and `atomic` are both given.
--- - Fails: `ENOSPC`, `EFBIG`, `EACCES`, `EISDIR`, `EMFILE` ...; `ENXIO` for a pipe that nobody
---   reads; `EINVAL` for an atomic write to what is no file.
---@async
---@param path string
---@param data string|number
---@param o? corun.fs.write_options
---@return true? ok
---@return corun.err? err
function fs.write(path, data, o) end

---@class corun.fs.write_options
---@field append? boolean add to the end of the file
---@field atomic? boolean replace the file in one step
---@field mode? corun.fs.mode exactly (default: what it had; a new file 666 less the umask)

-- ## Open files

--- Open a file.
---
--- `mode` is as for C's fopen and Lua's `io.open`: `"r"` (default), `"w"`, `"a"`, then `"+"` to do
--- both, `"b"` for nothing, and after `"w"` an `"x"` to fail if it is there already. A pipe or a
--- terminal becomes a stream with the same methods, but for `sync`, `stat`, `truncate` and `path`;
--- its `seek` fails with `ESPIPE`.
---
--- - Raises: when `mode` is none of these.
--- - Fails: `ENOENT`, `EEXIST`, `EISDIR`, `EACCES`, `EMFILE` ...; `ENXIO` for writing to a pipe
---   that nobody reads.
---@async
---@param path string
---@param mode? string
---@param o? corun.fs.open_options
---@return corun.fs.file? file
---@return corun.err? err
function fs.open(path, mode, o) end

---@class corun.fs.open_options
---@field mode? corun.fs.mode of a file that is made, less the umask (default 666)

--- An open file: a stream (see `corun.net`) with the methods of Lua's `io` files. Its calls are
--- done one after another; tasks that call at once wait for their turn.
---
--- The end is not final: a file that has grown is read on. A read that is cut short loses no byte
--- (S19). `read_exactly`, `read_until` and `recv` are those of all streams.
---@class corun.fs.file: corun.stream
local file = {}

--- Read by one or several formats, as Lua's `io` does: `"l"`, `"L"`, `"a"`, `"n"`, a number of
--- bytes. Options may come last. Where one of several finds nothing, or fails, the results end with
--- its nil, or nil and the error; those of the formats before it come first. Each is a read of its
--- own: a task that is cancelled at a later one has taken what the earlier ones gave.
---
--- - Raises: `EBUSY` when another task is reading, `ECLOSED`.
--- - Fails: `EBADF` when it is not open for reading; `EMSGSIZE` for a line, or a rest, longer than
---   `max`; `EINVAL` when no number comes; what an earlier `write` could not write. The end is nil
---   alone, and "" for `"a"`.
---@async
---@param ... string|integer|corun.stream.read_options
---@return string|number|nil ...
function file:read(...) end

--- Loop over what the formats read, lines if there are none; over `"a"` it would never end, and
--- raises.
---
--- - Suspends: `lines` itself no; each step of the loop yes.
--- - Raises: each step: what `read` returns as an error; but where a later one of several formats
---   finds no number, nil ends the values of that step, as in Lua's `io`.
---@param ... string|integer|corun.stream.read_options
---@return fun(): string|number|nil, ... iterator
function file:lines(...) end

--- Write strings and numbers, in order and without a gap; in append mode at the end of the file.
---
--- What is written is gathered (`setvbuf`) and goes out when 64 KiB are full, by `flush`, `seek`,
--- `sync`, `read` and `close`. What a failed call was given is not written later; what earlier
--- calls had gathered is tried again, and reported again, by the next call and by `close`.
---
--- - Raises: `ECLOSED`; when an argument is no string or number.
--- - Fails: `ENOSPC`, `EFBIG`, `EIO` ...; `EBADF` when it is not open for writing; `ETIMEDOUT` when
---   its turn did not come in time.
---@async
---@param ... string|number|corun.stream.timeout_options
---@return corun.fs.file? file
---@return corun.err? err
function file:write(...) end

--- Move to a place, counted from the begin (`"set"`), from where it is (`"cur"`), or from the end
--- (`"end"`); without arguments only tell where it is.
---
--- - Raises: `ECLOSED`.
--- - Fails: `EINVAL` for a place before the begin; `ESPIPE` for a device without places; what could
---   not be written.
---@async
---@param whence? "set"|"cur"|"end" (default `"cur"`)
---@param offset? integer (default 0)
---@return integer? position
---@return corun.err? err
function file:seek(whence, offset) end

--- Write what is gathered.
---
--- - Raises: `ECLOSED`.
--- - Fails: what could not be written.
---@async
---@return true? ok
---@return corun.err? err
function file:flush() end

--- Write what is gathered, and wait until all of the file is on the disk (fsync).
---
--- - Raises: `ECLOSED`.
--- - Fails: what could not be written; `EIO`, `EINVAL` for what is on no disk.
---@async
---@return true? ok
---@return corun.err? err
function file:sync() end

--- Cut the file, or extend it by zeros; without a size to where it is. The place stays.
---
--- - Raises: `ECLOSED`; when the size is negative.
--- - Fails: `EINVAL` when it is not open for writing.
---@async
---@param size? integer
---@return true? ok
---@return corun.err? err
function file:truncate(size) end

--- Set how writes are gathered: not at all (`"no"`), until `size` bytes are there (`"full"`), or
--- until a line ends (`"line"`).
---
--- - Raises: `ECLOSED`.
---@param mode "no"|"full"|"line"
---@param size? integer (default 65536)
---@return true ok
function file:setvbuf(mode, size) end

--- What is known of the file, once what was gathered is written.
---
--- - Raises: `ECLOSED`.
--- - Fails: what could not be written.
---@async
---@return corun.fs.stat? st
---@return corun.err? err
function file:stat() end

--- The path it was opened by; of a closed file too.
---@return string path
function file:path() end

--- Write what is gathered and close the file. A second call does nothing. It is shielded from
--- cancellation.
---
--- - Fails: what could not be written; it is closed all the same.
---@async
---@return true? ok
---@return corun.err? err
function file:close() end

-- ## Names

--- Say what a file is.
---
--- - Fails: `ENOENT`, `EACCES`, `ELOOP` ...
---@async
---@param path string
---@param o? corun.fs.stat_options
---@return corun.fs.stat? st
---@return corun.err? err
function fs.stat(path, o) end

---@class corun.fs.stat_options
---@field follow? boolean what a symbolic link leads to, not the link (default true)

--- What is known of a file.
---@class corun.fs.stat
---@field kind corun.fs.kind
---@field size integer bytes
---@field mode integer permission bits
---@field mtime number when its bytes changed: seconds since 1970, fractions included
---@field atime number when it was read
---@field ctime number when it was changed in any way
---@field btime number when it was made, where the system knows
---@field uid integer
---@field gid integer
---@field ino integer with `dev` the identity of the file
---@field dev integer
---@field links integer names that it has
---@field blocks integer of 512 bytes on the disk

--- Say whether there is something; a link that leads nowhere is nothing.
---
--- - Fails: `EACCES` ... when that cannot be told.
---@async
---@param path string
---@return boolean? yes
---@return corun.err? err
function fs.exists(path) end

--- The names in a directory, sorted bytewise, without `.` and `..`.
---
--- - Fails: `ENOENT`, `ENOTDIR`, `EACCES`, `EMFILE` ...
---@async
---@param path string
---@return string[]? names
---@return corun.fs.kind[]|corun.err kinds what each of them is; the error
function fs.list(path) end

--- Loop over what is below a directory, depth first, a directory before what is in it.
---
--- ```lua
--- for path, kind, err in fs.walk("src", {depth = 2}) do print(path, kind, err) end
--- ```
---
--- No descriptor is held between the steps. A directory that cannot be read comes with its error.
---
--- - Suspends: `walk` itself no; each step of the loop yes.
--- - Raises: the first step, when `path` cannot be read.
---@param path string
---@param o? corun.fs.walk_options
---@return fun(): string?, corun.fs.kind?, corun.err? iterator
function fs.walk(path, o) end

---@class corun.fs.walk_options
---@field depth? integer at most so many levels; 1 is the directory alone
---@field filter? fun(path: string, kind: corun.fs.kind): boolean what it refuses is left out
---@field follow? boolean go into directories that links lead to; circles are left (default false)

--- The paths that a pattern stands for, in the order of a walk, each once.
---
--- `*` any characters but `/`, `?` one, `[a-z]` one of a set, `[!a-z]` none of it, `{a,b}` either,
--- `**` as a whole segment any number of directories, at the end all that is below; links are not
--- followed by it. `\` takes the next character as it is. Directories that cannot be read are
--- passed over. Names that begin with a dot are matched only by patterns that do.
---
--- - Raises: when the braces stand for more than 10,000 patterns.
--- - Fails: `EMFILE`, `EIO` ...
---@async
---@param pattern string
---@param o? corun.fs.glob_options
---@return string[]? paths
---@return corun.err? err
function fs.glob(pattern, o) end

---@class corun.fs.glob_options
---@field hidden? boolean `*`, `?` and `**` match names that begin with a dot

--- Make a directory.
---
--- - Fails: `EEXIST`, `ENOENT`, `EACCES`, `ENOSPC` ...
---@async
---@param path string
---@param o? corun.fs.mkdir_options
---@return true? ok
---@return corun.err? err
function fs.mkdir(path, o) end

---@class corun.fs.mkdir_options
---@field parents? boolean make those above it too, and be content if it is there already
---@field mode? corun.fs.mode less the umask (default 777)

--- Remove a file, a link, or an empty directory; with `recursive` a directory with all that is in
--- it.
---
--- Links are not followed, whatever happens to the tree meanwhile. A failure ends it, and names the
--- path that could not be removed. `"/"` and what ends in `.` or `..` is not removed with
--- `recursive`, as rm(1) has it.
---
--- - Fails: `ENOENT`, `ENOTEMPTY`, `EACCES` ...; `EBUSY` when a directory was moved meanwhile;
---   `EINVAL` for a path that is never removed with `recursive`.
---@async
---@param path string
---@param o? corun.fs.remove_options
---@return true? ok
---@return corun.err? err
function fs.remove(path, o) end

---@class corun.fs.remove_options
---@field recursive? boolean

--- Rename a file or a directory; a file of the new name is replaced in one step.
---
--- - Fails: `ENOENT`, `EXDEV` (another file system), `ENOTEMPTY` ...; with `fsync` also what the
---   disk says, when the file has its new name already.
---@async
---@param from string
---@param to string
---@param o? corun.fs.rename_options
---@return true? ok
---@return corun.err? err
function fs.rename(from, to, o) end

---@class corun.fs.rename_options
---@field fsync? boolean wait until the new name is on the disk. What is in the file should be there
---  before (`file:sync`), else a power cut may leave that name and less than all of the bytes

--- Copy a file with its mode, by sharing its blocks where the file system can; with `recursive` a
--- directory with all that is in it, links as links. A file whose copy fails or is cancelled is not
--- there, nor is one that it was to replace.
---
--- - Fails: `EEXIST`, `EISDIR`, `ENOSPC` ...; `EINVAL` for what is no file, link or directory, and
---   for a directory into itself.
---@async
---@param from string
---@param to string the copy itself, not the directory to put it in
---@param o? corun.fs.copy_options
---@return true? ok
---@return corun.err? err
function fs.copy(from, to, o) end

---@class corun.fs.copy_options
---@field recursive? boolean
---@field overwrite? boolean replace files that are there (default true)

--- Give a file a second name.
---
--- - Fails: `EEXIST`, `ENOENT`, `EXDEV`, `EPERM` ...
---@async
---@param target string
---@param path string the new name
---@param o? corun.fs.link_options
---@return true? ok
---@return corun.err? err
function fs.link(target, path, o) end

---@class corun.fs.link_options
---@field symbolic? boolean a symbolic link, as `symlink`

--- Make a symbolic link that holds the text `target`.
---
--- - Fails: `EEXIST`, `ENOENT` ...
---@async
---@param target string
---@param path string the link
---@return true? ok
---@return corun.err? err
function fs.symlink(target, path) end

--- The text of a symbolic link.
---
--- - Fails: `EINVAL` when it is none; `ENOENT` ...
---@async
---@param path string
---@return string? target
---@return corun.err? err
function fs.readlink(path) end

--- The path from the root, without links, `.` and `..`.
---
--- - Fails: `ENOENT`, `ELOOP` ...
---@async
---@param path string
---@return string? path
---@return corun.err? err
function fs.realpath(path) end

--- Set the permission bits.
---
--- - Raises: when `mode` is none.
--- - Fails: `ENOENT`, `EPERM` ...
---@async
---@param path string
---@param mode corun.fs.mode
---@return true? ok
---@return corun.err? err
function fs.chmod(path, mode) end

--- Set when a file was read and changed; without times to now.
---
--- - Fails: `ENOENT`, `EPERM` ...
---@async
---@param path string
---@param atime? number seconds since 1970
---@param mtime? number (default `atime`)
---@return true? ok
---@return corun.err? err
function fs.utime(path, atime, mtime) end

--- Make a temporary file, open for reading and writing; or a directory. It is removed when it is
--- closed, by the collector too, and at the end of the program, but not by `os.exit` or a signal
--- that ends the program at once.
---
--- - Raises: when `prefix` has a slash.
--- - Fails: `ENOENT`, `EACCES`, `EMFILE` ...
---@async
---@param o? corun.fs.temp_options
---@return corun.fs.file|corun.fs.directory|nil temp has a method `path`
---@return corun.err? err
function fs.temp(o) end

---@class corun.fs.temp_options
---@field dir? boolean a directory
---@field parent? string where it is made (default: `TMPDIR`, else `/tmp`)
---@field prefix? string what its name begins with (default `corun-`)
---@field mode? corun.fs.mode of a file (default 600); a directory has 700

--- A temporary directory.
---@class corun.fs.directory
local directory = {}

--- Its path.
---@return string path
function directory:path() end

--- Remove it with all that is in it. A second call does nothing. It is shielded from cancellation.
---
--- - Fails: what could not be removed.
---@async
---@return true? ok
---@return corun.err? err
function directory:close() end

-- ## Watching

--- Watch a file, or a directory, for changes.
---
--- ```lua
--- for event in assert(fs.watch("src", {recursive = true})) do print(event.kind, event.path) end
--- ```
---
--- A file is watched through its directory, so that one that is replaced is still seen; of a link,
--- what it leads to is watched as well, wherever it leads. Events come in the order in which they
--- began, each path once: after the first the watch waits for `delay` seconds, and what happens to
--- the same path meanwhile is merged. A directory below `path` that may not be read is told of by
--- an event of the kind `"overflow"`.
---
--- - Fails: `ENOENT`, `EACCES`, `EMFILE`, `ENOSPC` when the system allows no more watches.
---@async
---@param path string
---@param o? corun.fs.watch_options
---@return corun.fs.watch? watch also for a `for` loop, which closes it
---@return corun.err? err
function fs.watch(path, o) end

---@class corun.fs.watch_options
---@field recursive? boolean what is below too, also in directories that appear later
---@field delay? corun.seconds how long to wait for more of the same (default 0.05)

--- Something happened.
---
--- `"change"`: bytes or attributes changed; `"rename"`: the name appeared or went; `"overflow"`:
--- more happened below `path` than is kept, or a directory there cannot be watched.
---@class corun.fs.event
---@field path string below the path that is watched
---@field kind "change"|"rename"|"overflow"
---@field err? corun.err why a directory cannot be watched

--- A watch; calling it is `recv`.
---@class corun.fs.watch
local watch = {}

--- Wait for the next event.
---
--- - Raises: `EBUSY` when another task is waiting.
---@async
---@return corun.fs.event? event nil once it is closed, or what was watched is gone
function watch:recv() end

--- Stop watching. A task that waits gets nil. A second call does nothing.
function watch:close() end

return fs

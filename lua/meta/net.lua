-- SPDX-License-Identifier: MIT
-- Types of `require "corun.net"` and of streams; see corun.lua beside it.
---@meta corun.net
-- luacheck: no unused

--- TCP, Unix sockets and TLS: connections, servers, and the one set of stream methods; UDP; host
--- names.
---@class corun.net
local net = {}

--- `"host:port"`, `"[v6]:port"`, `"[fe80::1%eth0]:port"`, `"unix:/path"`,
--- `{host = "...", port = 80}` or `{path = "/path"}`. To listen on every address of the
--- machine: `":port"` or `"*:port"`.
---@alias corun.address string|{host: string, port: integer}|{path: string}

--- What to listen at: an address, or a socket that was handed over: `"systemd"`, `"systemd:NAME"`,
--- `"fd:3"`. (A host that is called so can be given as `{host = "fd", port = 3}`.)
---@alias corun.listen_address corun.address

-- ## Connecting

--- Connect to `addr`.
---
--- The addresses that a name has are tried as Happy Eyeballs does (RFC 8305): families alternating,
--- the next one 250 ms after the one before or as soon as that has failed; the first connection
--- that stands wins. A Unix socket whose server has a full queue of connections to accept is tried
--- again and again (on Linux; other systems say `ECONNREFUSED`), without `timeout` for ever.
---
--- With `tls` the connection is ready when the peer has proved who it is: its certificate must be
--- for the host in `addr` (RFC 9525) and lead to an authority that the system trusts.
---
--- - Raises: when `addr` is no address, or the options of TLS make no sense.
--- - Fails: `ECONNREFUSED`, `EHOSTUNREACH`, `ETIMEDOUT`, `ENOENT` for a path; the resolver's
---   `EAI_NONAME` (no such name) and `EAI_AGAIN` (no answer); `ETLS` with the reason in words, such
---   as "the certificate has expired (on 2021-02-03)" ...
---@async
---@param addr corun.address
---@param o? corun.net.connect_options
---@return corun.tcp|corun.unix|nil stream
---@return corun.err? err
function net.connect(addr, o) end

---@class corun.net.connect_options
---@field timeout? corun.seconds give up after so long, the resolver's time included
---@field bind? corun.address the local address, numeric
---@field nodelay? boolean send small writes at once (default true)
---@field keepalive? boolean|corun.seconds ask a peer that is silent so long for a sign (true: 60)
---@field queue? integer bytes that may wait to be sent before a writer waits (default 65,536)
---@field tls? true|corun.tls.client_options|corun.tls.context see `corun.tls.client_options`

-- ## Servers

--- Listen on `addr`; port 0 takes a free one.
---
--- The file of a Unix socket is removed when the listener is closed. One that is there already, and
--- which nobody listens to any more, is replaced; any other file is not.
---
--- Sockets that listen already can be handed to the program when it is started (systemd's
--- `LISTEN_FDS`, sd_listen_fds(3)): `"systemd:NAME"` is the first of that name which was not taken
--- yet (`FileDescriptorName=` of the unit, else the unit's own name), `"systemd"` the first of any,
--- `"fd:3"` any that was inherited. They may be TCP or Unix sockets, whose file stays; the options
--- are not for them. Programs that a script starts inherit neither them nor the variables, which
--- corun removes from its environment.
---
--- - Raises: when `addr` is no address.
--- - Fails: `EADDRINUSE`, also for a socket that was handed over and is taken; `EACCES`,
---   `EAI_NONAME` ...; `ENOENT` when none was handed over; `ENOTSOCK`, `EPROTOTYPE` (no stream),
---   `EINVAL` (it does not listen) for one of no use.
---@async
---@param addr corun.listen_address
---@param o? corun.net.listen_options
---@return corun.listener? listener
---@return corun.err? err
function net.listen(addr, o) end

---@class corun.net.listen_options
---@field backlog? integer so many connections may wait in the system's queue (default 1024)
---@field reuse? boolean listen although old connections of the address linger (default true)
---@field reuse_port? boolean share the port with other listeners that say so (default false)
---@field mode? string|integer permissions of a Unix socket: `"660"` (default: as the umask has it)

--- A listening socket.
---@class corun.listener
local listener = {}

--- Wait for the next connection. Several tasks may wait.
---
--- - Raises: `ECLOSED`.
--- - Fails: `ECLOSED` when the listener was closed meanwhile (S20); `ETIMEDOUT`; the system's
---   reason.
---@async
---@param o? corun.net.accept_options
---@return corun.tcp|corun.unix|nil stream
---@return corun.err? err
function listener:accept(o) end

---@class corun.net.accept_options
---@field timeout? corun.seconds give up after so long; 0: take one that is there

--- The local address.
---@return string address `"127.0.0.1:8080"`
function listener:address() end

--- Stop listening. A second call does nothing.
function listener:close() end

--- Listen on `addr` and call `fn(stream)` in a task of its own for each connection.
---
--- The stream is closed when `fn` returns. A failure of `fn` is logged and ends its connection
--- alone. The server is a child of the calling scope (S42).
---
--- - Raises: when `addr` is no address.
--- - Fails: as `listen`.
---@async
---@param addr corun.listen_address
---@param fn fun(stream: corun.tcp|corun.unix)
---@param o? corun.net.serve_options
---@return corun.server? server
---@return corun.err? err
function net.serve(addr, fn, o) end

---@class corun.net.serve_options
---@field limit? integer so many connections at once; further ones wait in the system's queue
---@field backlog? integer as for `listen`
---@field reuse? boolean as for `listen`
---@field reuse_port? boolean as for `listen`
---@field mode? string|integer as for `listen`
---@field tls? corun.tls.server_options|corun.tls.context speak TLS

--- A running server.
---@class corun.server
local server = {}

--- The local address.
---@return string address `"127.0.0.1:8080"`
function server:address() end

--- Stop listening, let the connections end by themselves for `drain` seconds, cancel the rest.
---
--- It returns when all have ended; in a handler of this very server at once.
---@async
---@param o? corun.server.close_options
function server:close(o) end

---@class corun.server.close_options
---@field drain? corun.seconds (default 0)

--- Wait until the server is closed and its connections have ended.
---@async
function server:wait() end

--- Use other certificates, or other options of TLS, for new connections.
---
--- Files are read now: after a renewal the same paths are given again. Connections that are open go
--- on with what they have begun with. A server with threads takes no context.
---
--- - Raises: `ECLOSED`; when the server has no TLS; when the options make no sense.
--- - Fails: `ETLS` when they cannot be used; then the old ones stay. `ECLOSED` when the server was
---   closed meanwhile (S20).
---@async
---@param o corun.tls.server_options|corun.tls.context
---@return true? ok
---@return corun.err? err
function server:set_tls(o) end

-- ## TLS

--- What the options of both sides have in common.
---
--- TLS 1.2 and 1.3 by OpenSSL 3, loaded when it is first used. Certificates, keys and lists of
--- revoked certificates are given as the path of a PEM file or as PEM text. RSA keys below 2,048
--- bits and SHA-1 signatures are refused, and so is renegotiation. The end of a stream is told from
--- a cut one: without close_notify reading fails with `ETLS`, which is `retryable` then.
---@class corun.tls.options
---@field cert? string our certificate, followed by the intermediate ones
---@field key? string its key (default: in `cert`)
---@field passphrase? string of the key
---@field crl? string revoked certificates; then each certificate's issuer must have a list there
---@field alpn? string|string[] protocols, the best first ("h2", "http/1.1"; RFC 7301)
---@field ciphers? string names with colons between them; those of TLS 1.3 begin with TLS_
---@field min? "1.2"|"1.3" (default "1.2")
---@field max? "1.2"|"1.3" (default "1.3")
---@field session? boolean resume sessions (default true)
---@field timeout? corun.seconds for the handshake (default for servers of `serve` 10)
---@field context? corun.tls.context instead of all others but `timeout`, `server_name`, `server`

--- Options of a client.
---@class corun.tls.client_options: corun.tls.options
---@field ca? string whom to trust instead of the system: a PEM file or text, or a hashed directory
---@field server_name? string whom the certificate must be for (default: the host in the address)
---@field insecure? boolean accept any certificate (default false)

--- Options of a server.
---@class corun.tls.server_options: corun.tls.options
---@field verify_client? boolean|"optional" demand a certificate of clients; needs `ca`
---@field ca? string who may have signed those
---@field names? table<string, corun.tls.pair> by the name asked for: "a.example", "*.b.example"
---@field server? boolean for `starttls` and `tls_context`: these are options of a server

--- A further certificate of a server.
---@class corun.tls.pair
---@field cert string
---@field key? string
---@field passphrase? string

--- Certificates and settings that connections share, read once.
---@class corun.tls.context

--- Make a context: the files are read now, off the loop.
---
--- Contexts of `connect` and `starttls` with equal options are made once and kept, with the
--- sessions that can be resumed: after a file has changed, make a new one.
---
--- - Raises: when the options make no sense.
--- - Fails: `ETLS`, naming the file and what is wrong with it; `EAGAIN` when no thread can be
---   started.
---@async
---@param o corun.tls.client_options|corun.tls.server_options with `server = true` for servers
---@return corun.tls.context? context
---@return corun.err? err
function net.tls_context(o) end

-- ## Streams

--- Bytes in both directions. One task may read while another writes; a second reader raises
--- `EBUSY`, a call on a closed stream `ECLOSED`; closing a stream ends a call that waits with
--- `nil, err` (S20). A `timeout` is for that call alone, and a read that was cut short by it or by
--- a cancellation loses no byte (S19).
---@class corun.stream
local stream = {}

--- Read as Lua's `io` does (S41).
---
--- `"l"` is a line without its end, `"L"` with it, `"a"` everything up to the end, `"n"` a number,
--- an integer so many bytes, fewer only at the end. `format` may be left out before the options.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: `ETIMEDOUT`; `EMSGSIZE` for what is longer than `max`; `EINVAL` when no number comes;
---   `ECONNRESET` ...; the end of the stream is nil alone.
---@async
---@param format? "l"|"L"|"a"|"n"|integer (default `"l"`)
---@param o? corun.stream.read_options
---@return string|number|nil data
---@return corun.err? err
function stream:read(format, o) end

--- Read what is there, waiting only while there is nothing.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: `ETIMEDOUT`, `ECONNRESET` ...; the end of the stream is nil alone.
---@async
---@param max? integer at most so many bytes
---@param o? corun.stream.timeout_options
---@return string? data
---@return corun.err? err
function stream:recv(max, o) end

--- Read exactly `n` bytes.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: `ETIMEDOUT`; `EOF` when the stream ends in the middle; its end is nil alone.
---@async
---@param n integer
---@param o? corun.stream.timeout_options
---@return string? data
---@return corun.err? err
function stream:read_exactly(n, o) end

--- Read up to and including `str`.
---
--- - Raises: `EBUSY`, `ECLOSED`.
--- - Fails: `ETIMEDOUT`; `EMSGSIZE` when more than `max` bytes come before it; `EOF` when the
---   stream ends in the middle; its end is nil alone.
---@async
---@param str string not empty
---@param o? corun.stream.read_options
---@return string? data with `str` at its end
---@return corun.err? err
function stream:read_until(str, o) end

--- Loop over the lines, or whatever `format` reads; over `"a"` it would never end, and raises.
---
--- - Suspends: `lines` itself no; each step of the loop yes.
--- - Raises: each step: what `read` returns as an error.
---@param format? "l"|"L"|"n"|integer (default `"l"`)
---@param o? corun.stream.read_options
---@return fun(): string|number|nil iterator
function stream:lines(format, o) end

--- Write all arguments, in order and without a gap.
---
--- It waits only while more is queued than the peer takes. A write is queued whole or not at all
--- (S19).
---
--- - Raises: `ECLOSED`, also after `shutdown`; when an argument is no string or number.
--- - Fails: `ETIMEDOUT` before anything was queued; `EPIPE`, `ECONNRESET` ...
---@async
---@param ... string|number|corun.stream.timeout_options strings; options may come last
---@return true? ok
---@return corun.err? err
function stream:write(...) end

--- Set limits that hold from now on.
---
--- - Raises: `ECLOSED`; for a wrong option.
---@param o corun.stream.settings
---@return corun.stream stream itself
function stream:configure(o) end

--- Settings of a stream. Of a TCP stream also `nodelay` and `keepalive`, as for `connect`.
---@class corun.stream.settings
---@field timeout? corun.seconds of each read or write without its own; `math.huge` for none
---@field queue? integer bytes that may wait to be sent before a writer waits

--- Close the stream once all that was written has been sent. A second call does nothing.
---
--- It is shielded, but gives up on a peer that takes nothing for `--grace` seconds (5). The
--- connection of a TLS client that the server has sent nothing yet stays open in the background
--- until the server ends it, for `--grace` at most: late session tickets would reset it.
---
--- - Fails: what kept the bytes from being sent.
---@async
---@return true? ok
---@return corun.err? err
function stream:close() end

--- Options of a call that reads up to a limit.
---@class corun.stream.read_options
---@field timeout? corun.seconds give up after so long
---@field max? integer at most so many bytes (default 1 MiB; for `"a"` no bound)

--- Options of a call that waits.
---@class corun.stream.timeout_options
---@field timeout? corun.seconds give up after so long

--- A TCP connection.
---@class corun.tcp: corun.stream
local tcp = {}

--- Send the end of the stream after all that was written; reading goes on. During a handshake of
--- TLS it waits for its end, as what is written does.
---
--- - Raises: `ECLOSED`.
--- - Fails: `EPIPE`, `ECONNRESET` ...
---@async
---@return true? ok
---@return corun.err? err
function tcp:shutdown() end

--- Switch TLS on, in place: the stream stays what it is. A handshake that fails, or is cancelled,
--- closes it.
---
--- What was written before goes out in clear first; what others write from the call on waits, and
--- goes out encrypted. Bytes that have arrived before are refused,
--- since anybody could have put them in (CVE-2011-0411); of a client they may be the begin of its
--- handshake.
---
--- - Raises: `EBUSY`, also while another task's handshake is under way; `ECLOSED`; when TLS is on
---   already; when the options make no sense: a client needs `server_name` or `insecure`, a
---   server `server = true` and `cert`.
--- - Fails: `ETLS` with the reason in words; `ETIMEDOUT`; `ECONNRESET` ...
---@async
---@param o? corun.tls.client_options|corun.tls.server_options|corun.tls.context
---@return corun.tcp? stream itself
---@return corun.err? err
function tcp:starttls(o) end

--- What TLS has agreed on with the peer; nil without it.
---
--- - Raises: `ECLOSED`.
---@return corun.tls.info? info
function tcp:tls() end

--- What is known of a connection with TLS.
---@class corun.tls.info
---@field version string `"TLSv1.3"`
---@field cipher string `"TLS_AES_256_GCM_SHA384"`
---@field alpn? string the protocol agreed on
---@field server_name? string the name that the client asked for
---@field resumed boolean whether a session was resumed
---@field peer_certificate? corun.tls.certificate

--- A certificate.
---@class corun.tls.certificate
---@field subject string `"CN = example.org"`
---@field issuer string
---@field not_before integer seconds since 1970
---@field not_after integer seconds since 1970
---@field names string[] the hosts and addresses that it is for
---@field fingerprint string SHA-256, in hex

--- The address of the other side.
---
--- - Raises: `ECLOSED`.
---@return string address `"10.0.0.1:443"`
function tcp:peer() end

--- The local address.
---
--- - Raises: `ECLOSED`.
---@return string address
function tcp:address() end

--- A connection through a Unix socket. `shutdown` as of a TCP connection.
---@class corun.unix: corun.stream
local unix = {}

--- The address of the listener, on both sides.
---@return string address `"unix:/path"`
function unix:peer() end

--- The same.
---@return string address
function unix:address() end

-- ## Host names

--- The addresses of a name.
---
--- `/etc/hosts` counts, and what `/etc/resolv.conf` says; sources of other kinds in
--- `/etc/nsswitch.conf` do not. Names that are not ASCII are asked for in their ASCII form (RFC
--- 5891). However many tasks want a name, it is asked for once; the answer is kept for as long as
--- it says, at most 5 minutes, a failure not at all. The environment variable `CORUN_DNS` names
--- other servers: `"10.0.0.1,[::1]:5353"`. Of a name with more than 256 addresses so many are
--- given; `connect` and the like try 16 of them, of both families.
---
--- - Raises: when `name` is empty or longer than 255 bytes.
--- - Fails: `EAI_NONAME` when there is no such name, or no address of this family; `EAI_AGAIN` when
---   no server answers (after 14 s); `EINVAL` when `CORUN_DNS` is no list of servers; `ENODEV` for
---   the address of a network interface that there is not; `ETIMEDOUT`.
---@async
---@param name string a host name or a numeric address
---@param o? corun.net.resolve_options
---@return string[]? addresses numeric, without a port
---@return corun.err? err
function net.resolve(name, o) end

---@class corun.net.resolve_options
---@field family? 4|6 of this family alone
---@field timeout? corun.seconds give up after so long

-- ## UDP

--- Open a UDP socket.
---
--- - Raises: when `addr` is no numeric address.
--- - Fails: `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES` ...
---@param addr? corun.address the local address (default: any port, all addresses of IPv4)
---@param o? corun.net.udp_options
---@return corun.udp? socket
---@return corun.err? err
function net.udp(addr, o) end

---@class corun.net.udp_options
---@field reuse? boolean share the address with others that say so (default false)
---@field broadcast? boolean allow sending to broadcast addresses (default false)
---@field ttl? integer routers that a datagram may pass (1 to 255)
---@field multicast_ttl? integer the same for groups (0 to 255, default 1)
---@field multicast_loop? boolean what is sent to a group arrives at this machine too (default true)

--- A UDP socket. One task may receive while others send.
---@class corun.udp
local udp = {}

--- Send a datagram. It waits only while the system has no room for it.
---
--- - Raises: `ECLOSED`; when there is no address for an unconnected socket, or one for a connected.
--- - Fails: `EMSGSIZE`, `ECONNREFUSED` (the answer to an earlier one), `EACCES` for a broadcast
---   that was not allowed, the resolver's errors ...
---@async
---@param data string
---@param addr? corun.address
---@return true? ok
---@return corun.err? err
function udp:send(data, addr) end

--- Receive a datagram. `max` may be left out before the options.
---
--- - Raises: `EBUSY` for a second receiver, `ECLOSED`.
--- - Fails: `ETIMEDOUT`; `ECONNREFUSED` when a connected peer is not there; `ECLOSED`.
---@async
---@param max? integer bytes of it that are wanted (default: all)
---@param o? corun.stream.timeout_options
---@return string? data
---@return string|corun.err address of the sender, or the error
---@return true? truncated when the datagram was longer than `max`
function udp:recv(max, o) end

--- Send to this peer from now on, and receive from it alone.
---
--- - Raises: `ECLOSED`; when `addr` is no address.
--- - Fails: the resolver's errors, `ENETUNREACH` ...
---@async
---@param addr corun.address
---@return true? ok
---@return corun.err? err
function udp:connect(addr) end

--- Join a multicast group.
---
--- - Raises: `ECLOSED`; when `group` is no numeric address of the socket's family.
--- - Fails: `ENODEV`, `EADDRINUSE` ...
---@param group string `"239.1.2.3"`
---@param interface? string by name, or with IPv4 by address (default: the system chooses)
---@return true? ok
---@return corun.err? err
function udp:join(group, interface) end

--- Leave it again.
---
--- - Raises, fails: as `join`.
---@param group string
---@param interface? string
---@return true? ok
---@return corun.err? err
function udp:leave(group, interface) end

--- The local address.
---
--- - Raises: `ECLOSED`.
---@return string address `"0.0.0.0:5353"`
function udp:address() end

--- The peer of a connected socket.
---
--- - Raises: `ECLOSED`.
---@return string? address
function udp:peer() end

--- Close the socket. A second call does nothing.
function udp:close() end

return net

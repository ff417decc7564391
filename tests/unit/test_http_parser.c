// SPDX-License-Identifier: MIT
// The HTTP/1.x parser: what it accepts, what it refuses and how it says so. Each case is fed whole,
// byte by byte and cut at each position, and must be told in the same words each time.
#include "http_case.h"

// --- what is accepted ----------------------------------------------------------------------------

static void requests_are_told_with_their_parts(void **state) {
  (void)state;
  static const parse_case cases[] = {
    {REQ, 0, IN("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "{GET / 1.1 keep host=a}.$"},
    {REQ, 0, IN("GET /p?q=1&r HTTP/1.0\r\n\r\n"), "{GET /p?q=1&r 1.0}.$"},
    {REQ, 0, IN("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
     "{GET / 1.0 keep connection=Keep-Alive}.$"},
    {REQ, 0, IN("GET / HTTP/1.1\r\nConnection: foo , CLOSE\t\r\n" HOST "\r\n"),
     "{GET / 1.1 connection=foo , CLOSE host=a}.$"},
    {REQ, 0, IN("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"),
     "{GET / 1.0 connection=keep-alive, close}.$"},
    {REQ, 0, IN("GET / HTTP/1.1\r\nConnection: closed\r\nProxy-Connection: close\r\n" HOST "\r\n"),
     "{GET / 1.1 keep connection=closed proxy-connection=close host=a}.$"},
    {REQ, 0, IN("\r\n\r\nOPTIONS * HTTP/1.1\r\nHost:\r\n\r\n"), "{OPTIONS * 1.1 keep host=}.$"},
    {REQ, 0, IN("GET http://h:80/x HTTP/1.1\r\nHost: h:80\r\n\r\n"),
     "{GET http://h:80/x 1.1 keep host=h:80}.$"},
    {REQ, 0, IN("CONNECT h:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"),
     "{CONNECT h:443 1.1 host=[::1]:443}.$"},
    {REQ, 0, IN("M-SEARCH / HTTP/1.1\r\nHOST: a\r\n\r\n"), "{M-SEARCH / 1.1 keep host=a}.$"},
    {REQ, 0, IN("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"),
     "{POST / 1.1 keep length:5 host=a content-length=5}<hello>.$"},
    {REQ, 0, IN("POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n"),
     "{POST / 1.1 keep host=a content-length=0}.$"},
    {REQ, 0, IN("PUT / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx"),
     "{PUT / 1.1 keep expect length:1 host=a expect=100-Continue content-length=1}<x>.$"},
    {REQ, 0, IN("PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"),
     "{PUT / 1.0 length:1 expect=100-continue content-length=1}<x>.$"},
    {REQ, 0, IN("GET / HTTP/1.1\r\n" HOST "X-A:  1 \t\r\nx-a:2\r\nX-E:\r\nX-F: \t\r\n\r\n"),
     "{GET / 1.1 keep host=a x-a=1 x-a=2 x-e= x-f=}.$"},
    {REQ, 0, IN("GET / HTTP/1.1\r\n" HOST "X: \x80\xff\t\"a: b\"\r\n\r\n"),
     "{GET / 1.1 keep host=a x=\x80\xff\t\"a: b\"}.$"},
  };
  expect_all(cases, COUNT(cases));
}

static void responses_are_told_with_their_parts(void **state) {
  (void)state;
  static const parse_case cases[] = {
    {RES, 0, IN("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
     "{200 OK 1.1 keep length:2 content-length=2}<hi>.$"},
    {RES, 0, IN("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), "{200  1.1 keep content-length=0}.$"},
    {RES, 0, IN("HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n"),
     "{404  1.1 keep content-length=0}.$"},
    {RES, 0, IN("HTTP/1.1 500 No\tway \xe9\r\nContent-Length: 0\r\n\r\n"),
     "{500 No\tway \xe9 1.1 keep content-length=0}.$"},
    {RES, 0, IN("HTTP/1.1 200 OK\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\nto the end"),
     "{200 OK 1.1 close host=a host=b connection=close}<to the end>."},
    {RES, 0, IN("HTTP/1.0 200 OK\r\n\r\n"), "{200 OK 1.0 close}."},
    {RES, 0, IN("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx"),
     "{200 OK 1.0 keep length:1 connection=keep-alive content-length=1}<x>.$"},
    {RES, 0, IN("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx"),
     "{200 OK 1.0 close connection=keep-alive}<x>."},
    {RES, 0, IN("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
     "{204 No Content 1.1 keep content-length=5}.$"},
    {RES, 0, IN("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
     "{304 Not Modified 1.1 keep transfer-encoding=chunked}.$"},
    {RES, TRACE_NO_BODY, IN("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
     "{200 OK 1.1 keep content-length=5}.{200 OK 1.1 keep}.$"},
  };
  expect_all(cases, COUNT(cases));
}

static void chunked_bodies_are_decoded(void **state) {
  (void)state;
  static const parse_case cases[] = {
    {RES, 0, IN(CHUNKED "0\r\n\r\n"), TOLD ".$"},
    {RES, 0, IN(CHUNKED "5\r\nhello\r\n00\r\n\r\n"), TOLD "<hello>.$"},
    {RES, 0, IN(CHUNKED "1\r\na\r\n0b\r\nbcdefghijkl\r\n1\r\n\n\r\n0\r\n\r\n"),
     TOLD "<abcdefghijkl\n>.$"},
    {RES, 0, IN(CHUNKED "1;n\r\na\r\n1;n=v\r\nb\r\n1;n=\"q; q\"\r\nc\r\n0;z\r\n\r\n"),
     TOLD "<abc>.$"},
    {RES, 0, IN(CHUNKED "1\r\na\r\n0\r\nX-T: 1\r\nY:\r\n\r\n" CHUNKED "0\r\n\r\n"),
     TOLD "<a>." TOLD ".$"},
    {RES, 0, IN("HTTP/1.1 200 OK\r\ntransfer-ENCODING:\t CHUNKED \r\n\r\n0\r\n\r\n"),
     "{200 OK 1.1 keep chunked transfer-encoding=CHUNKED}.$"},
    {REQ, 0,
     IN("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
     "{POST / 1.1 keep chunked host=a transfer-encoding=chunked}<abc>.$"},
    {REQ, 0,
     IN("CONNECT a:1 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"),
     "{CONNECT a:1 1.1 chunked host=a transfer-encoding=chunked}<x>.$"},
  };
  expect_all(cases, COUNT(cases));
}

static void messages_follow_one_another(void **state) {
  (void)state;
  static const parse_case cases[] = {
    {REQ, 0,
     IN("GET /1 HTTP/1.1\r\n" HOST "\r\nPOST /2 HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab\r\n"
        "PUT /3 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n"
        "GET /4 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"),
     "{GET /1 1.1 keep host=a}.{POST /2 1.1 keep length:2 host=a content-length=2}<ab>."
     "{PUT /3 1.1 keep chunked host=a transfer-encoding=chunked}<c>."
     "{GET /4 1.1 host=a connection=close}.$"},
    {REQ, 0, IN("GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\nG"),
     "{GET / 1.1 host=a connection=close}.!after-close"},
    {REQ, 0, IN("GET / HTTP/1.0\r\n\r\nG"), "{GET / 1.0}.!after-close"},
    {REQ, 0, IN("CONNECT a:1 HTTP/1.1\r\n" HOST "\r\nG"), "{CONNECT a:1 1.1 host=a}.!after-close"},
    {RES, 0, IN("HTTP/1.1 204 A\r\n\r\n\r\nHTTP/1.1 200 B\r\nContent-Length: 1\r\n\r\nx"),
     "{204 A 1.1 keep}.{200 B 1.1 keep length:1 content-length=1}<x>.$"},
  };
  expect_all(cases, COUNT(cases));
}

static void upgrades_are_offered_and_taken(void **state) {
  (void)state;
#define OFFER "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
  static const parse_case cases[] = {
    {REQ, 0, IN("GET / HTTP/1.1\r\n" HOST OFFER "\r\nGET / HTTP/1.1\r\n" HOST "\r\n"),
     "{GET / 1.1 keep upgrade host=a connection=keep-alive, Upgrade upgrade=websocket}."
     "{GET / 1.1 keep host=a}.$"},
    {REQ, 0, IN("POST / HTTP/1.1\r\n" HOST OFFER "Content-Length: 1\r\n\r\nx"),
     "{POST / 1.1 keep upgrade length:1 host=a connection=keep-alive, Upgrade upgrade=websocket"
     " content-length=1}<x>.$"},
    {REQ, 0, IN("GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n"),
     "{GET / 1.1 keep host=a upgrade=websocket}.$"},
    {REQ, 0, IN("GET / HTTP/1.0\r\n" OFFER "\r\n"),
     "{GET / 1.0 keep connection=keep-alive, Upgrade upgrade=websocket}.$"},
    {RES, 0, IN("HTTP/1.1 101 Switching Protocols\r\n" OFFER "\r\n\x81\x02hi"),
     "{101 Switching Protocols 1.1 upgrade connection=keep-alive, Upgrade upgrade=websocket}"
     "^\x81\x02hi"},
    {RES, 0, IN("HTTP/1.1 101 Odd\r\nContent-Length: 3\r\n\r\nabc"),
     "{101 Odd 1.1 content-length=3}^abc"},
    {RES, 0, IN("HTTP/1.1 200 OK\r\n" OFFER "Content-Length: 1\r\n\r\nx"),
     "{200 OK 1.1 keep upgrade length:1 connection=keep-alive, Upgrade upgrade=websocket"
     " content-length=1}<x>.$"},
  };
  expect_all(cases, COUNT(cases));
}

static void interim_responses_are_skipped(void **state) {
  (void)state;
#define FINAL "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
  static const parse_case cases[] = {
    {RES, 0, IN("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" FINAL),
     "{200 OK 1.1 keep length:1 content-length=1}<x>.$"},
    {RES, TRACE_NO_BODY,
     IN("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
     "{200 OK 1.1 keep content-length=9}.$"},
    {RES, 0, IN("HTTP/1.1 100 A\r\nConnection: close\r\nContent-Length: 4\r\n\r\n" FINAL),
     "{200 OK 1.1 keep length:1 content-length=1}<x>.$"},
    {RES, 0, IN("HTTP/1.1 100 A\r\n\r\n"), "!cut-interim"},
    {RES, 0, IN("HTTP/1.1 100 A\r\n\r\nHTTP/1.1 200 OK\r\n"), "!cut-headers"},
  };
  static const parse_case twice = {RES, 0,
                                   IN("HTTP/1.1 100 A\r\n\r\nHTTP/1.1 102 B\r\n\r\n" FINAL FINAL),
                                   "{200 OK 1.1 keep length:1 content-length=1}<x>."
                                   "{200 OK 1.1 keep length:1 content-length=1}<x>.$"};
  static const parse_case thrice = {
    RES, 0, IN("HTTP/1.1 100 A\r\n\r\nHTTP/1.1 102 B\r\n\r\nHTTP/1.1 103 C\r\n\r\n" FINAL),
    "!interim"};
  http_limits limits = http_limits_default(RES);
  limits.interim = 2;
  expect_all(cases, COUNT(cases));
  expect_limited(&twice, &limits);
  expect_limited(&thrice, &limits);
}

// --- what is refused -----------------------------------------------------------------------------

static void bad_start_lines_are_refused(void **state) {
  (void)state;
  static const parse_case cases[] = {
    {REQ, 0, IN("FOO / HTTP/1.1\r\n" HOST "\r\n"), "!method"},
    {REQ, 0, IN("get / HTTP/1.1\r\n" HOST "\r\n"), "!method"},
    {REQ, 0, IN("GETS / HTTP/1.1\r\n" HOST "\r\n"), "!method"},
    {REQ, 0, IN("\x16\x03\x01\x02"), "!request-line"},
    {REQ, 0, IN("{\"a\":1}"), "!request-line"},
    {REQ, 0, IN("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), "!method"},
    {REQ, 0, IN("GET  / HTTP/1.1\r\n" HOST "\r\n"), "!request-line"},
    {REQ, 0, IN("GET /  HTTP/1.1\r\n" HOST "\r\n"), "!request-line"},
    {REQ, 0, IN("GET / HTTP/1.1 \r\n" HOST "\r\n"), "!request-line"},
    {REQ, 0, IN("GET / a HTTP/1.1\r\n" HOST "\r\n"), "!request-line"},
    {REQ, 0, IN("GET / FTP/1.1\r\n" HOST "\r\n"), "!request-line"},
    {REQ, 0, IN("DESCRIBE / HTTP/1.1\r\n" HOST "\r\n"), "!request-line"},
    {REQ, 0, IN("GET HTTP/1.1\r\n" HOST "\r\n"), "!target"},
    {REQ, 0, IN("GET a HTTP/1.1\r\n" HOST "\r\n"), "!target"},
    {REQ, 0, IN("GET /\x80 HTTP/1.1\r\n" HOST "\r\n"), "!target"},
    {REQ, 0, IN("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), "!target"},
    {REQ, 0, IN("GET /a#b HTTP/1.1\r\n" HOST "\r\n"), "!target"},
    {REQ, 0, IN("GET /\r\n\r\n"), "!version"},
    {REQ, 0, IN("GET / HTTP/0.9\r\n\r\n"), "!version"},
    {REQ, 0, IN("GET / HTTP/1.2\r\n" HOST "\r\n"), "!version"},
    {REQ, 0, IN("GET / HTTP/2.0\r\n" HOST "\r\n"), "!version"},
    {REQ, 0, IN("GET / HTTP/x.1\r\n" HOST "\r\n"), "!version"},
    {REQ, 0, IN("OPTIONS * RTSP/1.0\r\n\r\n"), "!version"},
    {REQ, 0, IN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "!version"},
    {REQ, 0, IN("\nGET / HTTP/1.1\r\n" HOST "\r\n"), "!line-end"},
    {REQ, 0, IN("\r\rGET / HTTP/1.1\r\n" HOST "\r\n"), "!line-end"},
    {REQ, 0, IN("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), "!line-end"},
    {REQ, 0, IN("GET / HTTP/1.1\n" HOST "\r\n"), "!line-end"},
    {REQ, 0, IN("GET / HTTP/1.1\rHost: a\r\n\r\n"), "!request-line"},
    {RES, 0, IN("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"), "!line-end"},
    {RES, 0, IN("HTTP/1.1 200 OK\r\rA: b\r\n\r\n"), "!line-end"},
    {RES, 0, IN("<html>"), "!status-line"},
    {RES, 0, IN("HTTP/1.1 20 OK\r\n\r\n"), "!status-line"},
    {RES, 0, IN("HTTP/1.1 2000 OK\r\n\r\n"), "!status-line"},
    {RES, 0, IN("HTTP/1.1 0200 OK\r\n\r\n"), "!status-line"},
    {RES, 0, IN("HTTP/1.1 099 OK\r\n\r\n"), "!status-line"},
    {RES, 0, IN("HTTP/1.1 2x0 OK\r\n\r\n"), "!status-line"},
    {RES, 0, IN("HTTP/1.1  200 OK\r\n\r\n"), "!status-line"},
    {RES, 0, IN("HTTP/1.1\r\n\r\n"), "!status-line"},
    {RES, 0, IN("HTTP/1.1 200 O\0K\r\n\r\n"), "!status-line"},
    {RES, 0, IN("HTTP/2.0 200 OK\r\n\r\n"), "!version"},
    {RES, 0, IN("HTTP/3.0 200 OK\r\n\r\n"), "!version"},
    {RES, 0, IN("ICY 200 OK\r\n\r\n"), "!status-line"},
  };
  expect_all(cases, COUNT(cases));
}

static void bad_header_lines_are_refused(void **state) {
  (void)state;
  static const parse_case cases[] = {
    {REQ, 0, IN(GET "A: b\r\n c\r\n\r\n"), "!fold"},
    {REQ, 0, IN(GET "A: b\r\n\tc\r\nB: c\r\n\r\n"), "!fold"},
    {REQ, 0, IN(GET "A: b\r\n \r\n\r\n"), "!fold"},
    {REQ, 0, IN(GET "A:\r\n b\r\n\r\n"), "!fold"},
    {REQ, 0, IN(GET "A: \r\n \r\nB: c\r\n\r\n"), "!fold"},
    {REQ, 0, IN(GET "A: \r\n\t\r\n\r\n"), "!fold"},
    {REQ, 0, IN("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), "!fold"},
    {REQ, 0, IN(GET "Content-Length:\r\n 1\r\n\r\nx"), "!fold"},
    {REQ, 0, IN(GET "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"), "!fold"},
    {REQ, 0, IN(GET ": b\r\n\r\n"), "!empty-name"},
    {REQ, 0, IN(GET ":\r\n\r\n"), "!empty-name"},
    {REQ, 0, IN(GET "A : b\r\n\r\n"), "!header-name"},
    {REQ, 0, IN(GET "Content-Length : 1\r\n\r\nx"), "!header-name"},
    {REQ, 0, IN(GET "A\t: b\r\n\r\n"), "!header-name"},
    {REQ, 0, IN(GET "A\0: b\r\n\r\n"), "!header-name"},
    {REQ, 0, IN(GET "A\x80: b\r\n\r\n"), "!header-name"},
    {REQ, 0, IN(GET "A(b): c\r\n\r\n"), "!header-name"},
    {REQ, 0, IN(GET "no colon\r\n\r\n"), "!header-name"},
    {REQ, 0, IN(GET "A\r\n\r\n"), "!header-name"},
    {REQ, 0, IN(GET "A: b\0c\r\n\r\n"), "!header-value"},
    {REQ, 0, IN(GET "A: b\x01\r\n\r\n"), "!header-value"},
    {REQ, 0, IN(GET "A: b\x7f\r\n\r\n"), "!header-value"},
    {REQ, 0, IN(GET "A: b\nB: c\r\n\r\n"), "!header-value"},
    {REQ, 0, IN(GET "A:\nB: c\r\n\r\n"), "!header-value"},
    {REQ, 0, IN(GET "A: b\rc\r\n\r\n"), "!line-end"},
    {REQ, 0, IN(GET "A:\rc\r\n\r\n"), "!line-end"},
    {REQ, 0, IN(GET "\rX"), "!line-end"},
    {REQ, 0, IN(GET "\n"), "!line-end"},
  };
  expect_all(cases, COUNT(cases));
}

static void ambiguous_messages_are_refused(void **state) {
  (void)state;
  static const parse_case cases[] = {
    {REQ, 0, IN("GET / HTTP/1.1\r\nA: b\r\n\r\n"), "!no-host"},
    {REQ, 0, IN("GET / HTTP/1.1\r\n\r\n"), "!no-host"},
    {REQ, 0, IN(GET HOST "\r\n"), "!two-hosts"},
    {REQ, 0, IN("GET / HTTP/1.0\r\nHost: a\r\nHOST: b\r\n\r\n"), "!two-hosts"},
    {REQ, 0, IN("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), "!host"},
    {REQ, 0, IN("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), "!host"},
    {REQ, 0, IN("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), "!host"},
    {REQ, 0, IN(GET CL "1\r\n" CL "2\r\n\r\nxx"), "!two-lengths"},
    {REQ, 0, IN(GET CL "1\r\n" CL "1\r\n\r\nx"), "!two-lengths"},
    {RES, 0, IN(OK200 CL "1\r\nA: b\r\ncontent-length: 2\r\n\r\nxx"), "!two-lengths"},
    {REQ, 0, IN(GET CL "1, 1\r\n\r\nx"), "!length"},
    {REQ, 0, IN(GET CL "+1\r\n\r\nx"), "!length"},
    {REQ, 0, IN(GET CL "-1\r\n\r\nx"), "!length"},
    {REQ, 0, IN(GET "Expect: 200-ok\r\n\r\n"), "!expect"},
    {REQ, 0, IN(GET "Expect: 100-continue, x\r\n\r\n"), "!expect"},
    {REQ, 0, IN(GET "Expect: 100-continue\r\nExpect: x\r\n\r\n"), "!expect"},
    {REQ, 0, IN(GET CL "0x1\r\n\r\nx"), "!length"},
    {REQ, 0, IN(GET CL "1 1\r\n\r\nx"), "!length"},
    {REQ, 0, IN(GET CL "\r\n\r\n"), "!length"},
    {REQ, 0, IN(GET CL "18446744073709551616\r\n\r\n"), "!length"},
    {REQ, 0, IN(GET CL "1\r\n" TE "chunked\r\n\r\n0\r\n\r\n"), "!length-and-coding"},
    {REQ, 0, IN(GET TE "chunked\r\n" CL "1\r\n\r\n0\r\n\r\n"), "!length-and-coding"},
    {RES, 0, IN(OK200 TE "chunked\r\n" CL "1\r\n\r\n0\r\n\r\n"), "!length-and-coding"},
    {RES, TRACE_NO_BODY, IN(OK200 TE "chunked\r\n" CL "1\r\n\r\n"), "!length-and-coding"},
    {REQ, 0, IN(GET TE "gzip, chunked\r\n\r\n0\r\n\r\n"), "!coding"},
    {REQ, 0, IN(GET TE "chunked, identity\r\n\r\n0\r\n\r\n"), "!coding"},
    {REQ, 0, IN(GET TE "chunked\r\n" TE "chunked\r\n\r\n0\r\n\r\n"), "!coding"},
    {REQ, 0, IN(GET TE "identity\r\n\r\n"), "!coding"},
    {REQ, 0, IN(GET TE "xchunked\r\n\r\n0\r\n\r\n"), "!coding"},
    {REQ, 0, IN(GET TE "chunked;a\r\n\r\n0\r\n\r\n"), "!coding"},
    {REQ, 0, IN(GET TE "chunked\t\r\n\r\n0\r\n\r\n"), "!coding"},
    {REQ, 0, IN(GET TE "\"chunked\"\r\n\r\n0\r\n\r\n"), "!coding"},
    {REQ, 0, IN(GET TE "\r\n\r\n"), "!coding"},
    {RES, 0, IN(OK200 TE "gzip\r\n\r\nx"), "!coding"},
    {RES, 0, IN(OK200 TE "chunked, chunked\r\n\r\n0\r\n\r\n"), "!coding"},
    {RES, 0, IN(OK200 TE "\r\n\r\n"), "!coding"},
    {RES, 0, IN(OK200 TE "chunked\r\n" TE "chunked\r\n\r\n0\r\n\r\n"), "!coding"},
    {RES, 0, IN(OK200 TE "chunked\r\n" TE "identity\r\n\r\n0\r\n\r\n"), "!coding"},
    {REQ, 0, IN("POST / HTTP/1.0\r\n" TE "chunked\r\n\r\n0\r\n\r\n"), "!coding-in-1.0"},
    {RES, 0, IN("HTTP/1.0 200 OK\r\n" TE "chunked\r\n\r\n0\r\n\r\n"), "!coding-in-1.0"},
  };
  expect_all(cases, COUNT(cases));
}

static void bad_chunks_are_refused(void **state) {
  (void)state;
  static const parse_case cases[] = {
    {RES, 0, IN(CHUNKED "3\r\nabcXX"), TOLD "<abc>!chunk-end"},
    {RES, 0, IN(CHUNKED "3\r\nabcd\r\n"), TOLD "<abc>!chunk-end"},
    {RES, 0, IN(CHUNKED "3\r\nabc\n0\r\n\r\n"), TOLD "<abc>!chunk-end"},
    {RES, 0, IN(CHUNKED "3\r\nabc\rX"), TOLD "<abc>!chunk-end"},
    {RES, 0, IN(CHUNKED "3\nabc\r\n0\r\n\r\n"), TOLD "!chunk-size"},
    {RES, 0, IN(CHUNKED "3\rabc\r\n0\r\n\r\n"), TOLD "!chunk-size"},
    {RES, 0, IN(CHUNKED "\r\nabc"), TOLD "!chunk-size"},
    {RES, 0, IN(CHUNKED "x\r\n"), TOLD "!chunk-size"},
    {RES, 0, IN(CHUNKED "0x3\r\nabc"), TOLD "!chunk-size"},
    {RES, 0, IN(CHUNKED "-3\r\nabc"), TOLD "!chunk-size"},
    {RES, 0, IN(CHUNKED " 3\r\nabc"), TOLD "!chunk-size"},
    {RES, 0, IN(CHUNKED "3 \r\nabc"), TOLD "!chunk-size"},
    {RES, 0, IN(CHUNKED "1\r\na\r\n10000000000000000\r\nabc"), TOLD "<a>!chunk-size"},
    {RES, 0, IN(CHUNKED "3; a\r\nabc"), TOLD "!chunk-size"},
    {RES, 0, IN(CHUNKED "3;a\nabc"), TOLD "!chunk-size"},
    {RES, 0, IN(CHUNKED "3;a=\"b\0\"\r\nabc"), TOLD "!chunk-size"},
    {RES, 0, IN(CHUNKED "0\r\nXX"), TOLD "!cut-trailers"},
    {RES, 0, IN(CHUNKED "0\r\nA: b\r\n c\r\n\r\n"), TOLD "!fold"},
    {RES, 0, IN(CHUNKED "0\r\nA:\r\n b\r\n\r\n"), TOLD "!fold"},
    {RES, 0, IN(CHUNKED "0\r\n: b\r\n\r\n"), TOLD "!empty-name"},
    {RES, 0, IN(CHUNKED "0\r\nA: \0\r\n\r\n"), TOLD "!header-value"},
    {RES, 0, IN(CHUNKED "0\r\nA: b\r\n\n"), TOLD "!line-end"},
    {RES, 0, IN(CHUNKED "0\r\n\n"), TOLD "!line-end"},
    {RES, 0, IN(CHUNKED "0\r\n\rX"), TOLD "!line-end"},
  };
  expect_all(cases, COUNT(cases));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(requests_are_told_with_their_parts),
    cmocka_unit_test(responses_are_told_with_their_parts),
    cmocka_unit_test(chunked_bodies_are_decoded),
    cmocka_unit_test(messages_follow_one_another),
    cmocka_unit_test(upgrades_are_offered_and_taken),
    cmocka_unit_test(interim_responses_are_skipped),
    cmocka_unit_test(bad_start_lines_are_refused),
    cmocka_unit_test(bad_header_lines_are_refused),
    cmocka_unit_test(ambiguous_messages_are_refused),
    cmocka_unit_test(bad_chunks_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* limits: every bound on what a peer (or a caller's mistake) can make us hold, with its reason.
 * Those that a user may change are defaults here and fields of the request or session options. */
#ifndef TR_CORE_LIMITS_H
#define TR_CORE_LIMITS_H

/* --- TLS --- */
/* RFC 8446 5.1 and 5.2: plaintext fragment, and ciphertext with its expansion. TLS 1.2 allows 2048. */
#define TR_TLS_MAX_PLAINTEXT 16384
#define TR_TLS_MAX_CIPHERTEXT_13 (16384 + 256)
#define TR_TLS_MAX_CIPHERTEXT_12 (16384 + 2048)
/* A handshake message other than Certificate: the largest honest ones (a CertificateRequest with many
 * authorities) are far below; the 24-bit length would allow 16 MiB before a single check. */
#define TR_TLS_MAX_HANDSHAKE 65536
/* Certificate chains, compressed or not: browsers refuse chains above 100 KiB or so (BoringSSL's
 * default max_cert_list is 100 KiB). */
#define TR_TLS_MAX_CERTIFICATE (100 * 1024)
/* Certificates of a chain that are looked at: each costs over 100 us to parse, and 100 KiB hold hundreds of
 * small ones. Honest chains have two to four. */
#define TR_TLS_MAX_CHAIN_CERTS 16
/* A file of trusted certificates or a client's own: the systems' bundles have 250 KB. */
#define TR_TLS_MAX_PEM_FILE (32 * 1024 * 1024)
/* Empty records, warning alerts, KeyUpdates and handshake messages after the handshake, each in a row
 * without application data: the numbers BoringSSL uses (32, 4, 32). */
#define TR_TLS_MAX_EMPTY_RECORDS 32
#define TR_TLS_MAX_WARNING_ALERTS 4
#define TR_TLS_MAX_KEY_UPDATES 32
/* Tickets kept per origin: servers send two; browsers open at most six connections to one. */
#define TR_TLS_MAX_TICKETS 8
#define TR_TLS_MAX_TICKET_LEN 16384

/* --- header sections --- */
/* All field lines of one section; nginx and Chromium stop at 256 KiB. */
#define TR_HTTP_MAX_HEADER_BYTES (256 * 1024)
/* Number of fields: a list of one-byte fields would cost many times its bytes in bookkeeping. */
#define TR_HTTP_MAX_HEADER_FIELDS 1000
/* Interim (1xx) responses before the final one: a server could send them without end. */
#define TR_HTTP_MAX_INFORMATIONAL 16
/* A chunk-size line with extensions (RFC 9112 7.1.1 asks for a limit). */
#define TR_H1_MAX_CHUNK_LINE 4096
#define TR_H1_MAX_STATUS_LINE 8192

/* --- client hints --- */
/* Origins of a session whose Accept-CH is remembered; past it all are forgotten, and the servers ask again. An entry has some 50 bytes, and a
 * crawler may visit any number of origins. */
#define TR_HINTS_MAX_ORIGINS 1000

/* --- bodies --- */
/* Decoded body: refuse past this size... */
#define TR_BODY_MAX_DECODED ((uint64_t)4 << 30)
/* ... and past this ratio of decoded to received bytes, once more than the allowance came out. Text
 * compresses 3 to 20 times, repetitive logs 100 to 200; gzip's own maximum is 1032. */
#define TR_BODY_MAX_RATIO 200
#define TR_BODY_RATIO_ALLOWANCE ((uint64_t)64 << 20)
/* Content-Encoding layers: nobody honest stacks more than two. */
#define TR_BODY_MAX_CODINGS 5

/* --- bodies in pieces --- */
/* Received bytes that wait for the reader before the exchange is paused. A megabyte covers what a gigabit brings in 8 ms; HTTP/2's window
 * (6 MiB in Chromium's profile) may be filled behind it. */
#define TR_FLOW_DOWN_HIGH ((size_t)1024 * 1024)

/* --- bodies into files --- */
/* Bytes that are worth a worker's while: a write of that size costs little more than its copy. */
#define TR_FILE_PIECE ((size_t)256 * 1024)
/* Bytes that may wait behind what a worker writes before the exchange is paused: on a busy machine a worker is not woken at once, and with half as
 * many a download over HTTP/1.1 took up to 40 % longer there. */
#define TR_FILE_QUEUE_HIGH ((size_t)512 * 1024)
/* Threads that write. One that hangs on a pipe or a dead server holds up no other file until so many hang. */
#define TR_FILE_MAX_THREADS 16

/* --- HTTP/2 floods: frames of a kind within one connection that call for work or an answer and bring
 * no data; nghttp2 limits its own outgoing queue, these limit what it answers or we count. --- */
#define TR_H2_MAX_CONTROL_FRAMES 10000
#define TR_H2_MAX_EMPTY_DATA 1000
/* Bytes in a row of which no exchange gets anything: DATA of a stream that was cancelled is on its way for a while, but no more of it
 * than the connection's window (browsers offer 15 MiB). */
#define TR_H2_MAX_IDLE_BYTES ((size_t)32 << 20)
#define TR_H2_MAX_SETTINGS_ENTRIES 32
/* Bytes of ACCEPT_CH frames that are kept: the names of some dozen hosts and all hints for each. */
#define TR_H2_MAX_ACCEPT_CH ((size_t)16384)

/* --- proxies --- */
/* Hops of a chain: two are usual where there is a chain at all; each costs round trips. */
#define TR_PROXY_MAX_HOPS 8
/* A proxy's address. Longer ones are mistakes: credentials have some dozen bytes. */
#define TR_PROXY_MAX_URL 4096
/* A caller's fields for CONNECT, and the bytes of their names and values: proxies refuse requests of more than 8 to 64 KiB. */
#define TR_PROXY_MAX_FIELDS 32
#define TR_PROXY_MAX_FIELD_BYTES 16384
/* The answer to CONNECT: honest ones have a few hundred bytes, refusals with cookies and policies some thousand. */
#define TR_PROXY_MAX_ANSWER_BYTES 32768
#define TR_PROXY_MAX_ANSWER_FIELDS 100
/* Addresses of one host that a SOCKS proxy is asked for in turn, each on a connection of its own. */
#define TR_PROXY_MAX_DIALS 8
/* Entries of no_proxy: lists in the wild have a few dozen. */
#define TR_PROXY_MAX_EXCEPTIONS 1024

/* --- client --- */
#define TR_MAX_REDIRECTS_DEFAULT 9
/* A URL longer than this is refused before anything is sent (Chromium's limit is 2 MiB). */
#define TR_URL_MAX (2 * 1024 * 1024)
/* RFC 6265bis 5.6: name plus value, and each attribute. */
#define TR_COOKIE_MAX_PAIR 4096
#define TR_COOKIE_MAX_ATTRIBUTE 1024
/* RFC 6265 6.1 asks for at least 50 a domain and 3000 in all; browsers keep 180 of a site (what somebody registered below a public suffix,
 * with all that is below it: who has one domain has any number of subdomains) and 3300. */
#define TR_COOKIE_MAX_PER_SITE 180
#define TR_COOKIE_MAX_TOTAL 3300

#endif

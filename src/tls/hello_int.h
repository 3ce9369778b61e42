/* hello_int: what hello.c, hello_build.c and ech.c share. Nobody else includes it. */
#ifndef TR_TLS_HELLO_INT_H
#define TR_TLS_HELLO_INT_H

#include "tls/hello.h"

/* RFC 8446 4: the handshake message's type and length before its body. */
#define TR_HELLO_HEADER_LEN 4

/* tr_hello__sends says whether an entry of profile->exts is written in this situation (SNI for addresses, the cookie,
 * early data, the ticket beside a PSK, ALPS without HTTP/2). pre_shared_key, and padding by a rule, are no entries. */
bool tr_hello__sends(const tr_hello_t *hello, const tr_profile_ext_t *ext);
/* tr_hello__psk says whether a TLS 1.3 session is offered. */
bool tr_hello__psk(const tr_hello_t *hello);
/* tr_hello__psk_hash is the hash of the offered session (RFC 8446 4.2.11: of the suite it came with). */
tr_hash_id_t tr_hello__psk_hash(const tr_hello_t *hello);
/* tr_hello__psk_ext_len is the length of the whole pre_shared_key extension; 0: none. */
size_t tr_hello__psk_ext_len(const tr_hello_t *hello);
/* tr_hello__server_name is the host as SNI writes it, without a trailing dot (RFC 6066 3). */
tr_slice_t tr_hello__server_name(const tr_hello_t *hello);
/* tr_hello__raw_share_len is the length of the random bytes that stand for a value of key_share; 0: a real share, or GREASE. */
size_t tr_hello__raw_share_len(const tr_profile_ext_t *ext, size_t index);
/* tr_hello__drawn_len is the length of an extension's body of random bytes; 0: it has another body. */
size_t tr_hello__drawn_len(const tr_profile_ext_t *ext);
/* tr_hello__grease_ech draws the GREASE ECH extension's body into hello->ech. */
tr_code_t tr_hello__grease_ech(tr_hello_t *hello, tr_err_t *err);

#endif

/* cert: the peer's Certificate message in all its forms, checked and kept; the chain's verification; the choice of
 * the client's own signature. Part of the handshake (client.h). */
#ifndef TR_TLS_CERT_H
#define TR_TLS_CERT_H

#include "tls/client.h"

/* tr_cert_take_list copies a certificate list (without its length prefix) into tls->certs and reads the leaf's key. tls13:
 * each entry has extensions (RFC 8446 4.4.2). */
tr_code_t tr_cert_take_list(tr_tls_t *tls, tr_slice_t list, bool tls13);
/* tr_cert_decompress replaces *out by the Certificate message's body (RFC 8879 4). */
tr_code_t tr_cert_decompress(tr_tls_t *tls, tr_buf_t *out, tr_slice_t body);
/* tr_cert_verify checks chain, name and pins as the configuration says. */
tr_code_t tr_cert_verify(tr_tls_t *tls);
/* tr_cert_pick_scheme sets tls->client_scheme from the peer's list (0 and no failure when there is no identity).
 * Fails with TLS_IDENTITY when the identity can use none. */
tr_code_t tr_cert_pick_scheme(tr_tls_t *tls, tr_slice_t schemes);
/* tr_cert_scheme_list_ok says whether a list of 16-bit schemes has a good form: not empty, even. */
bool tr_cert_scheme_list_ok(tr_slice_t schemes);

/* tr_cert_scts_ok says whether a list of SCTs has a good form (RFC 6962 3.3). */
bool tr_cert_scts_ok(tr_rd_t rd);

/* delegated.c: tr_delegated_accept checks a delegated credential (RFC 9345) against the leaf in tls->certs[0] and makes its
 * key tls->peer_key. */
tr_code_t tr_delegated_accept(tr_tls_t *tls, tr_slice_t credential);

#endif

/* x509: certificates, over libcrypto: chain building, name check, trusted roots, client identities. The only
 * user of openssl/ outside crypto/. Trust stores and identities are shared between threads (atomic count). */
#ifndef TR_TLS_X509_H
#define TR_TLS_X509_H

#include "crypto/sig.h"
#include "tls/tls.h"

/* tr_trust_new_default loads the system's roots: SSL_CERT_FILE and SSL_CERT_DIR, else libcrypto's default file
 * and directory, else the usual places of Linux distributions and macOS. Fails with TLS_TRUST_STORE when there is not
 * a single certificate. Reads files: call it on a worker or the caller's thread. */
tr_code_t tr_trust_new_default(tr_trust_t **out, tr_err_t *err);
/* tr_trust_new_from loads a PEM file or a directory of hashed or plain PEM files. */
tr_code_t tr_trust_new_from(tr_trust_t **out, const char *path, tr_err_t *err);
/* tr_trust_new_from_pem takes the certificates of a PEM text. */
tr_code_t tr_trust_new_from_pem(tr_trust_t **out, tr_slice_t pem, tr_err_t *err);
tr_trust_t *tr_trust_ref(tr_trust_t *trust);
void tr_trust_unref(tr_trust_t *trust);

/* tr_identity_new_from_pem reads certificate chain and private key (PEM texts; key_pem may be the same text). */
tr_code_t tr_identity_new_from_pem(tr_identity_t **out, tr_slice_t cert_pem, tr_slice_t key_pem,
                                   const char *password, tr_err_t *err);
tr_identity_t *tr_identity_ref(tr_identity_t *identity);
void tr_identity_unref(tr_identity_t *identity);
size_t tr_identity_num_certs(const tr_identity_t *identity);
tr_slice_t tr_identity_cert(const tr_identity_t *identity, size_t index);
const tr_pkey_t *tr_identity_key(const tr_identity_t *identity);

/* tr_x509_leaf_key reads the public key of a DER certificate. TLS_PROTOCOL with detail 42 (bad_certificate) when it
 * cannot be parsed, 43 (unsupported_certificate) when its key type is unknown. */
tr_code_t tr_x509_leaf_key(tr_pkey_t **out, tr_slice_t der, tr_err_t *err);
/* tr_x509_allows_signing says whether the key usage of the leaf permits digital signatures; _encipherment likewise
 * for RSA key exchange. No key usage extension permits both (RFC 5280 4.2.1.3). */
bool tr_x509_allows_signing(tr_slice_t der);
bool tr_x509_allows_encipherment(tr_slice_t der);

/* tr_x509_verify builds and checks the chain at time now_s: trusted root, times, purpose serverAuth, key sizes (RSA from
 * 2048 bits, no SHA-1 signature below the root), then the name (RFC 9525: DNS or IP subjectAltName only, wildcard as the
 * whole left-most label, no fall-back to the common name). On failure *out_alert is the alert to send (42, 43, 44, 45, 46,
 * 48), err is TLS_CERTIFICATE with detail X509_V_ERR_* or TLS_HOSTNAME, and the text says what a person can do. */
tr_code_t tr_x509_verify(const tr_trust_t *trust, const tr_slice_t *certs, size_t num_certs, const char *host,
                         int64_t now_s, uint8_t *out_alert, tr_err_t *err);
/* tr_x509_has_name says whether a DER certificate is for the host as well: the name check of tr_x509_verify alone. */
bool tr_x509_has_name(tr_slice_t der, const char *host);
/* tr_x509_spki_sha256 hashes the SubjectPublicKeyInfo of a DER certificate (pinning). */
tr_code_t tr_x509_spki_sha256(tr_slice_t der, uint8_t out[32], tr_err_t *err);
/* tr_x509_pinned says whether one of the pinned keys (SHA-256 of a SubjectPublicKeyInfo) stands behind the leaf: it is the leaf's
 * own, or that of a certificate in the list which has signed the leaf, directly or through others of the list. One that merely
 * lies in the list does not count: anybody could put it there. A root that was not sent cannot be found. */
bool tr_x509_pinned(const tr_slice_t *certs, size_t num_certs, const uint8_t (*pins)[32], size_t num_pins);
/* tr_x509_pinned_root is the same for those above the list, which the store has: for a chain that tr_x509_verify has accepted. */
bool tr_x509_pinned_root(const tr_trust_t *trust, const tr_slice_t *certs, size_t num_certs, const uint8_t (*pins)[32], size_t num_pins);

#endif

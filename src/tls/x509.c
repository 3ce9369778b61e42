#include "tls/x509.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/limits.h"
#include "core/mem.h"
#include "core/trace.h"
#include "crypto/der.h"
#include "crypto/evp.h"
#include "crypto/hash.h"

/* DESIGN. libcrypto 3.0 takes 130 us and more to parse a certificate, 25 ms for a system's bundle, and a handshake
 * touches two or three certificates. So:
 * - A trust store keeps the roots as DER with their parsed subject names (2 ms a bundle), and gives a root to
 * libcrypto when a chain first names it as issuer.
 * - What a handshake needs of the leaf (key, key usage, SubjectPublicKeyInfo) is read straight from the DER.
 * - Intermediates are kept parsed, a few of them.
 * - A chain that verified for a name is remembered with the time during which all of its certificates are valid.
 * The answer depends on nothing else: the store does not change and there is no revocation list. */

/* ------------------------------------------------------------------------------------- reading a certificate */

typedef struct cert_view {
    tr_slice_t issuer;  /* whole Name */
    tr_slice_t subject; /* whole Name */
    tr_slice_t spki;    /* whole SubjectPublicKeyInfo */
    bool has_key_usage;
    uint8_t key_usage; /* first byte of the bits (RFC 5280 4.2.1.3) */
} cert_view_t;

#define KEY_USAGE_DIGITAL_SIGNATURE 0x80
#define KEY_USAGE_KEY_ENCIPHERMENT 0x20

static const uint8_t oid_key_usage[] = {0x55, 0x1d, 0x0f};

/* Extensions (RFC 5280 4.1); body is what the [3] holds. */
static bool
view_extensions(cert_view_t *out, tr_slice_t body)
{
    tr_rd_t outer = tr_rd(body);
    tr_rd_t list;
    if (!tr_der__sub(&outer, TR_DER_SEQUENCE, &list) || !tr_rd_end(&outer)) {
        return false;
    }
    while (!tr_rd_empty(&list)) {
        tr_rd_t extension;
        tr_slice_t oid, critical, value;
        if (!tr_der__sub(&list, TR_DER_SEQUENCE, &extension) || !tr_der__take(&extension, TR_DER_OID, &oid, NULL) ||
            (tr_der__peek(&extension, TR_DER_BOOLEAN) &&
             !tr_der__take(&extension, TR_DER_BOOLEAN, &critical, NULL)) ||
            !tr_der__take(&extension, TR_DER_OCTET_STRING, &value, NULL) || !tr_rd_end(&extension)) {
            return false;
        }
        if (tr_slice_eq(oid, tr_slice(oid_key_usage, sizeof(oid_key_usage)))) {
            tr_rd_t rd = tr_rd(value);
            tr_slice_t bits;
            /* A second one would be read by somebody else as the only one (RFC 5280 4.2). */
            if (out->has_key_usage || !tr_der__take(&rd, TR_DER_BIT_STRING, &bits, NULL) || !tr_rd_end(&rd) ||
                bits.len < 1) {
                return false;
            }
            out->has_key_usage = true;
            out->key_usage = bits.len >= 2 ? bits.data[1] : 0;
        }
    }
    return tr_rd_end(&list);
}

/* Certificate (RFC 5280 4.1). False: not a certificate in DER, or something follows it. */
static bool
view_cert(cert_view_t *out, tr_slice_t der)
{
    tr_rd_t rd = tr_rd(der);
    tr_rd_t cert, tbs;
    tr_slice_t skip;
    memset(out, 0, sizeof(*out));
    if (!tr_der__sub(&rd, TR_DER_SEQUENCE, &cert) || !tr_rd_end(&rd) ||
        !tr_der__sub(&cert, TR_DER_SEQUENCE, &tbs) || !tr_der__take(&cert, TR_DER_SEQUENCE, &skip, NULL) ||
        !tr_der__take(&cert, TR_DER_BIT_STRING, &skip, NULL) || !tr_rd_end(&cert)) {
        return false;
    }
    if (tr_der__peek(&tbs, TR_DER_CONTEXT(0)) && !tr_der__take(&tbs, TR_DER_CONTEXT(0), &skip, NULL)) {
        return false; /* version */
    }
    if (!tr_der__take(&tbs, TR_DER_INTEGER, &skip, NULL) ||          /* serialNumber */
        !tr_der__take(&tbs, TR_DER_SEQUENCE, &skip, NULL) ||         /* signature */
        !tr_der__take(&tbs, TR_DER_SEQUENCE, &skip, &out->issuer) || /* issuer */
        !tr_der__take(&tbs, TR_DER_SEQUENCE, &skip, NULL) ||         /* validity */
        !tr_der__take(&tbs, TR_DER_SEQUENCE, &skip, &out->subject) ||
        !tr_der__take(&tbs, TR_DER_SEQUENCE, &skip, &out->spki)) {
        return false;
    }
    /* issuerUniqueID [1] and subjectUniqueID [2], IMPLICIT BIT STRING */
    for (uint8_t n = 1; n <= 2; n++) {
        if (tr_der__peek(&tbs, (uint8_t)(0x80 | n)) && !tr_der__take(&tbs, (uint8_t)(0x80 | n), &skip, NULL)) {
            return false;
        }
    }
    if (tr_der__peek(&tbs, TR_DER_CONTEXT(3))) {
        if (!tr_der__take(&tbs, TR_DER_CONTEXT(3), &skip, NULL) || !view_extensions(out, skip)) {
            return false;
        }
    }
    return tr_rd_end(&tbs);
}

tr_code_t
tr_x509_leaf_key(tr_pkey_t **out, tr_slice_t der, tr_err_t *err)
{
    cert_view_t view;
    *out = NULL;
    if (!view_cert(&view, der)) {
        return tr_err_set(err, TR_ERR_TLS_PROTOCOL, 42, "x509.leaf_key",
                          "the server's certificate cannot be parsed");
    }
    tr_code_t code = tr_pkey__from_spki(out, view.spki);
    if (code == TR_ERR_NOMEM) {
        return tr_err_nomem(err, "x509.leaf_key");
    }
    if (code == TR_OK && !tr_pkey__for_tls(*out)) {
        tr_pkey_free(*out);
        *out = NULL;
        code = TR_ERR_TLS_PROTOCOL;
    }
    if (code != TR_OK) {
        return tr_err_set(err, TR_ERR_TLS_PROTOCOL, 43, "x509.leaf_key",
                          "the server's certificate has a key of a type that is not supported");
    }
    return TR_OK;
}

static bool
allows(tr_slice_t der, uint8_t usage)
{
    cert_view_t view;
    return view_cert(&view, der) && (!view.has_key_usage || (view.key_usage & usage) != 0);
}

bool
tr_x509_allows_signing(tr_slice_t der)
{
    return allows(der, KEY_USAGE_DIGITAL_SIGNATURE);
}

bool
tr_x509_allows_encipherment(tr_slice_t der)
{
    return allows(der, KEY_USAGE_KEY_ENCIPHERMENT);
}

tr_code_t
tr_x509_spki_sha256(tr_slice_t der, uint8_t out[32], tr_err_t *err)
{
    cert_view_t view;
    memset(out, 0, 32);
    if (!view_cert(&view, der)) {
        return tr_err_set(err, TR_ERR_TLS_PROTOCOL, 42, "x509.spki_sha256", "a certificate cannot be parsed");
    }
    tr_code_t code = tr_hash_once(TR_HASH_SHA256, out, view.spki);
    return code == TR_OK ? TR_OK : tr_err_set(err, code, 0, "x509.spki_sha256", NULL);
}

/* NULL: cannot be parsed, or something follows it. */
static X509 *
parse_cert(tr_slice_t der)
{
    const uint8_t *p = der.data;
    X509 *cert = der.len > LONG_MAX ? NULL : d2i_X509(NULL, &p, (long)der.len);
    if (cert != NULL && p != der.data + der.len) {
        X509_free(cert);
        cert = NULL;
    }
    if (cert == NULL) {
        ERR_clear_error();
    }
    return cert;
}

static bool
has_pinned_key(tr_slice_t der, const uint8_t (*pins)[32], size_t num_pins)
{
    uint8_t digest[32];
    bool found = false;
    if (tr_x509_spki_sha256(der, digest, NULL) == TR_OK) {
        for (size_t i = 0; i < num_pins; i++) {
            found = found || memcmp(digest, pins[i], sizeof(digest)) == 0;
        }
    }
    return found;
}

/* The first certificate of the list, not used so far, that has signed this one; num_certs: none. */
static size_t
find_signer(const tr_slice_t *certs, size_t num_certs, bool *used, X509 *cert, X509 **out)
{
    *out = NULL;
    for (size_t i = 1; i < num_certs; i++) {
        X509 *candidate = used[i] ? NULL : parse_cert(certs[i]);
        if (candidate != NULL && X509_check_issued(candidate, cert) == X509_V_OK &&
            X509_verify(cert, X509_get0_pubkey(candidate)) == 1) {
            used[i] = true;
            *out = candidate;
            return i;
        }
        X509_free(candidate);
    }
    return num_certs;
}

bool
tr_x509_pinned(const tr_slice_t *certs, size_t num_certs, const uint8_t (*pins)[32], size_t num_pins)
{
    bool used[TR_TLS_MAX_CHAIN_CERTS] = {false};
    bool found = false;
    num_certs = TR_MIN(num_certs, (size_t)TR_TLS_MAX_CHAIN_CERTS);
    if (num_certs == 0) {
        return false;
    }
    if (has_pinned_key(certs[0], pins, num_pins)) {
        return true;
    }
    X509 *cert = parse_cert(certs[0]);
    while (cert != NULL && !found) {
        X509 *signer;
        size_t i = find_signer(certs, num_certs, used, cert, &signer);
        found = i < num_certs && has_pinned_key(certs[i], pins, num_pins);
        X509_free(cert);
        cert = signer;
    }
    X509_free(cert);
    ERR_clear_error();
    return found;
}

/* ------------------------------------------------------------------------------------- trust stores */

typedef struct root {
    struct root *next;
    X509_NAME *subject; /* owned */
    bool given;         /* libcrypto's store has it */
    bool trusted_form;  /* OpenSSL's TRUSTED CERTIFICATE: settings follow the certificate */
    size_t der_len;
    uint8_t der[];
} root_t;

/* Verified chains: direct-mapped by hash, so a slot is simply taken over. One host or so a slot is enough; 256
 * slots are 12 KB. */
#define NUM_VERIFIED 256
/* Parsed intermediates: a handful serves most of the web; one takes some 5 KB. */
#define NUM_PARSED 32

typedef struct verified {
    uint8_t key[32]; /* SHA-256 over host and chain */
    int64_t from_s;  /* the chain is valid from here... */
    int64_t until_s; /* ...to here; 0: free slot */
} verified_t;

typedef struct parsed {
    uint8_t key[32]; /* SHA-256 of the DER */
    X509 *cert;      /* owned reference; NULL: free slot */
} parsed_t;

/* What verification adds to a store. Everything is under `lock`. */
typedef struct trust_state {
    pthread_mutex_t lock;
    root_t *roots; /* owned list */
    verified_t verified[NUM_VERIFIED];
    parsed_t parsed[NUM_PARSED];
} trust_state_t;

struct tr_trust {
    atomic_int refs;
    X509_STORE *store;    /* owned; libcrypto locks it */
    trust_state_t *state; /* owned */
    size_t num_roots;     /* fixed once loaded */
};

tr_trust_t *
tr_trust_ref(tr_trust_t *trust)
{
    if (trust != NULL) {
        atomic_fetch_add_explicit(&trust->refs, 1, memory_order_relaxed);
    }
    return trust;
}

static void
root_free(root_t *root)
{
    if (root != NULL) {
        X509_NAME_free(root->subject);
        tr_free(root);
    }
}

void
tr_trust_unref(tr_trust_t *trust)
{
    if (trust == NULL || atomic_fetch_sub_explicit(&trust->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    X509_STORE_free(trust->store);
    if (trust->state != NULL) {
        while (trust->state->roots != NULL) {
            root_t *root = trust->state->roots;
            trust->state->roots = root->next;
            root_free(root);
        }
        for (size_t i = 0; i < NUM_PARSED; i++) {
            X509_free(trust->state->parsed[i].cert);
        }
        (void)pthread_mutex_destroy(&trust->state->lock);
        tr_free(trust->state);
    }
    tr_free(trust);
}

static tr_trust_t *
trust_alloc(void)
{
    tr_trust_t *trust = tr_calloc(1, sizeof(*trust));
    if (trust == NULL) {
        return NULL;
    }
    atomic_init(&trust->refs, 1);
    trust->state = tr_calloc(1, sizeof(*trust->state));
    if (trust->state == NULL || pthread_mutex_init(&trust->state->lock, NULL) != 0) {
        tr_free(trust->state);
        trust->state = NULL;
        goto fail;
    }
    trust->store = X509_STORE_new();
    if (trust->store == NULL) {
        goto fail;
    }
    return trust;
fail:
    ERR_clear_error();
    tr_trust_unref(trust);
    return NULL;
}

/* The certificate at the start of a TRUSTED CERTIFICATE; other forms have nothing behind it. */
static tr_slice_t
first_element(tr_slice_t der)
{
    tr_rd_t rd = tr_rd(der);
    tr_slice_t body, whole;
    return tr_der__take(&rd, TR_DER_SEQUENCE, &body, &whole) ? whole : TR_SLICE_NULL;
}

/* TR_OK also when the bytes are no certificate: a bundle is not useless for one odd entry. */
static tr_code_t
trust_add(tr_trust_t *trust, tr_slice_t der, bool trusted_form)
{
    cert_view_t view;
    if (!view_cert(&view, trusted_form ? first_element(der) : der)) {
        return TR_OK;
    }
    for (const root_t *other = trust->state->roots; other != NULL; other = other->next) {
        if (tr_slice_eq(tr_slice(other->der, other->der_len), der)) {
            return TR_OK; /* bundles lie in directories beside their parts */
        }
    }
    const uint8_t *p = view.subject.data;
    X509_NAME *subject = d2i_X509_NAME(NULL, &p, (long)view.subject.len);
    if (subject == NULL) {
        ERR_clear_error();
        return TR_OK;
    }
    root_t *root = tr_malloc(sizeof(*root) + der.len);
    if (root == NULL) {
        X509_NAME_free(subject);
        return TR_ERR_NOMEM;
    }
    *root = (root_t){trust->state->roots, subject, false, trusted_form, der.len};
    memcpy(root->der, der.data, der.len);
    trust->state->roots = root;
    trust->num_roots++;
    return TR_OK;
}

typedef tr_code_t (*pem_cert_fn)(void *arg, tr_slice_t der, bool trusted_form);

/* Calls fn for each certificate of a PEM text until it fails. Other kinds of blocks are passed over. */
static tr_code_t
each_pem_cert(tr_slice_t pem, pem_cert_fn fn, void *arg)
{
    tr_code_t code = TR_OK;
    if (pem.len == 0 || pem.len > INT_MAX) {
        return TR_OK;
    }
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    if (bio == NULL) {
        ERR_clear_error();
        return TR_ERR_NOMEM;
    }
    while (code == TR_OK && !BIO_eof(bio)) {
        char *name = NULL;
        char *header = NULL;
        unsigned char *data = NULL;
        long len = 0;
        size_t pending = BIO_ctrl_pending(bio);
        if (PEM_read_bio(bio, &name, &header, &data, &len) != 1) {
            bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
            ERR_clear_error();
            if (at_end) {
                break;
            }
            if (BIO_ctrl_pending(bio) == pending) {
                code = TR_ERR_NOMEM; /* it failed before it read anything */
            }
            continue; /* a damaged block: it was read past */
        }
        bool trusted_form = strcmp(name, PEM_STRING_X509_TRUSTED) == 0;
        if (trusted_form || strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0) {
            code = fn(arg, tr_slice(data, (size_t)len), trusted_form);
        }
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(data);
    }
    BIO_free(bio);
    return code;
}

static tr_code_t
add_pem_cert(void *arg, tr_slice_t der, bool trusted_form)
{
    return trust_add(arg, der, trusted_form);
}

/* Reads a whole file. TR_ERR_SYSTEM: errno says why; nothing is put into an error record. */
static tr_code_t
read_file(tr_buf_t *out, const char *path)
{
    struct stat info;
    tr_code_t code = TR_ERR_SYSTEM;
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        return code;
    }
    if (fstat(fileno(file), &info) != 0) {
        goto done;
    }
    if (!S_ISREG(info.st_mode) || info.st_size < 0 || info.st_size > TR_TLS_MAX_PEM_FILE) {
        errno = S_ISDIR(info.st_mode) ? EISDIR : EFBIG;
        goto done;
    }
    code = tr_buf_reserve(out, (size_t)info.st_size + 1);
    if (code != TR_OK) {
        goto done;
    }
    size_t len = fread(tr_buf_tail(out), 1, (size_t)info.st_size, file);
    if (ferror(file)) {
        code = TR_ERR_SYSTEM;
        goto done;
    }
    tr_buf_commit(out, len);
done : {
    int saved = errno;
    (void)fclose(file);
    errno = saved;
}
    return code;
}

static tr_code_t
trust_add_file(tr_trust_t *trust, const char *path)
{
    tr_buf_t text = TR_BUF_INIT;
    size_t before = trust->num_roots;
    tr_code_t code = read_file(&text, path);
    if (code == TR_OK) {
        code = each_pem_cert(tr_buf_slice(&text), add_pem_cert, trust);
    }
    if (code == TR_OK && trust->num_roots == before && text.len > 0 && text.data[0] == TR_DER_SEQUENCE) {
        code = trust_add(trust, tr_buf_slice(&text), false); /* a single certificate as DER */
    }
    tr_buf_cleanup(&text);
    return code;
}

/* All files of a directory. Hashed directories name each certificate twice or more: a link to a neighbour is passed
 * over, since the neighbour comes too. */
static tr_code_t
trust_add_dir(tr_trust_t *trust, const char *path)
{
    char name[PATH_MAX];
    char target[PATH_MAX];
    tr_code_t code = TR_OK;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return TR_ERR_SYSTEM;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL && code == TR_OK; entry = readdir(dir)) {
        int len = snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || len < 0 || (size_t)len >= sizeof(name)) {
            continue;
        }
        ssize_t target_len = readlink(name, target, sizeof(target));
        if (target_len > 0 && memchr(target, '/', (size_t)target_len) == NULL) {
            continue;
        }
        code = trust_add_file(trust, name);
        if (code == TR_ERR_SYSTEM) {
            code = TR_OK; /* a sub-directory, or not for our eyes */
        }
    }
    (void)closedir(dir);
    return code;
}

static tr_code_t
trust_add_path(tr_trust_t *trust, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return TR_ERR_SYSTEM;
    }
    return S_ISDIR(info.st_mode) ? trust_add_dir(trust, path) : trust_add_file(trust, path);
}

/* A list as in SSL_CERT_DIR: directories with colons between. */
static tr_code_t
trust_add_dirs(tr_trust_t *trust, const char *list)
{
    char path[PATH_MAX];
    tr_code_t code = TR_OK;
    while (*list != 0 && code != TR_ERR_NOMEM) {
        size_t len = strcspn(list, ":");
        if (len > 0 && len < sizeof(path)) {
            memcpy(path, list, len);
            path[len] = 0;
            code = trust_add_dir(trust, path);
        }
        list += len + (list[len] == ':' ? 1 : 0);
    }
    return code == TR_ERR_NOMEM ? code : TR_OK;
}

/* Debian, Red Hat, SUSE, Alpine and macOS, FreeBSD; then directories of the same. */
static const char *const usual_places[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/openssl@3/cert.pem",
    "/opt/homebrew/etc/openssl@3/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/system/etc/security/cacerts",
};

tr_code_t
tr_trust_new_default(tr_trust_t **out, tr_err_t *err)
{
    const char *file = getenv(X509_get_default_cert_file_env());
    const char *dirs = getenv(X509_get_default_cert_dir_env());
    tr_code_t code = TR_OK;
    *out = NULL;
    tr_trust_t *trust = trust_alloc();
    if (trust == NULL) {
        return tr_err_nomem(err, "x509.trust");
    }
    bool named = (file != NULL && *file != 0) || (dirs != NULL && *dirs != 0);
    if (named) {
        /* Whoever sets them wants these and no others. */
        if (file != NULL && *file != 0) {
            code = trust_add_file(trust, file);
        }
        if (code != TR_ERR_NOMEM && dirs != NULL && *dirs != 0) {
            code = trust_add_dirs(trust, dirs);
        }
    } else {
        code = trust_add_file(trust, X509_get_default_cert_file());
        for (size_t i = 0; code != TR_ERR_NOMEM && trust->num_roots == 0 && i < TR_ARRAY_LEN(usual_places); i++) {
            code = trust_add_path(trust, usual_places[i]);
        }
        if (code != TR_ERR_NOMEM && trust->num_roots == 0) {
            code = trust_add_dirs(trust, X509_get_default_cert_dir());
        }
    }
    if (code == TR_ERR_NOMEM) {
        code = tr_err_nomem(err, "x509.trust");
    } else if (trust->num_roots == 0) {
        code = tr_err_set(err, TR_ERR_TLS_TRUST_STORE, 0, "x509.trust",
                          named ? "there is no trusted certificate where SSL_CERT_FILE and SSL_CERT_DIR point"
                                : "the system has no trusted certificates: install ca-certificates, or pass "
                                  "verify=\"ca.pem\"");
    } else {
        code = TR_OK;
        TR_TRACE(TR_TOPIC_TLS, "trust store: %zu certificates", trust->num_roots);
        *out = trust;
        trust = NULL;
    }
    tr_trust_unref(trust);
    return code;
}

tr_code_t
tr_trust_new_from(tr_trust_t **out, const char *path, tr_err_t *err)
{
    *out = NULL;
    tr_trust_t *trust = trust_alloc();
    if (trust == NULL) {
        return tr_err_nomem(err, "x509.trust");
    }
    tr_code_t code = trust_add_path(trust, path);
    if (code == TR_ERR_NOMEM) {
        code = tr_err_nomem(err, "x509.trust");
    } else if (code != TR_OK) {
        int reason = errno;
        code =
            tr_err_set(err, TR_ERR_TLS_TRUST_STORE, reason, "x509.trust",
                       "the trusted certificates of verify=\"%.80s\" cannot be read: %s", path, strerror(reason));
    } else if (trust->num_roots == 0) {
        code = tr_err_set(err, TR_ERR_TLS_TRUST_STORE, 0, "x509.trust",
                          "there is no certificate in verify=\"%.80s\": it should be PEM", path);
    } else {
        *out = trust;
        trust = NULL;
    }
    tr_trust_unref(trust);
    return code;
}

tr_code_t
tr_trust_new_from_pem(tr_trust_t **out, tr_slice_t pem, tr_err_t *err)
{
    *out = NULL;
    tr_trust_t *trust = trust_alloc();
    if (trust == NULL) {
        return tr_err_nomem(err, "x509.trust");
    }
    tr_code_t code = each_pem_cert(pem, add_pem_cert, trust);
    if (code == TR_OK && trust->num_roots == 0) {
        code = tr_err_set(err, TR_ERR_TLS_TRUST_STORE, 0, "x509.trust", "there is no trusted certificate in verify");
    } else if (code != TR_OK) {
        (void)tr_err_set(err, code, 0, "x509.trust", NULL);
    } else {
        *out = trust;
        trust = NULL;
    }
    tr_trust_unref(trust);
    return code;
}

/* ------------------------------------------------------------------------------------- client identities */

typedef struct identity_cert {
    tr_slice_t der; /* within the identity's block of bytes, set once that no longer grows */
    size_t offset;
} identity_cert_t;

/* Browsers and servers send chains of two to four; a client has no reason to send more than this. */
#define MAX_IDENTITY_CERTS 16

struct tr_identity {
    atomic_int refs;
    tr_pkey_t *key; /* owned; private */
    tr_buf_t der;   /* all certificates, one behind the other */
    identity_cert_t certs[MAX_IDENTITY_CERTS];
    size_t num_certs;
};

tr_identity_t *
tr_identity_ref(tr_identity_t *identity)
{
    if (identity != NULL) {
        atomic_fetch_add_explicit(&identity->refs, 1, memory_order_relaxed);
    }
    return identity;
}

void
tr_identity_unref(tr_identity_t *identity)
{
    if (identity == NULL || atomic_fetch_sub_explicit(&identity->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    tr_pkey_free(identity->key);
    tr_buf_cleanup(&identity->der);
    tr_free(identity);
}

size_t
tr_identity_num_certs(const tr_identity_t *identity)
{
    return identity->num_certs;
}

tr_slice_t
tr_identity_cert(const tr_identity_t *identity, size_t index)
{
    return index < identity->num_certs ? identity->certs[index].der : TR_SLICE_NULL;
}

const tr_pkey_t *
tr_identity_key(const tr_identity_t *identity)
{
    return identity->key;
}

static tr_code_t
identity_add(void *arg, tr_slice_t der, bool trusted_form)
{
    tr_identity_t *identity = arg;
    cert_view_t view;
    if (trusted_form) {
        der = first_element(der);
    }
    if (!view_cert(&view, der)) {
        return TR_ERR_TLS_IDENTITY;
    }
    if (identity->num_certs == MAX_IDENTITY_CERTS) {
        return TR_ERR_LIMIT;
    }
    identity_cert_t *cert = &identity->certs[identity->num_certs];
    cert->offset = identity->der.len;
    cert->der.len = der.len;
    tr_code_t code = tr_buf_append(&identity->der, der.data, der.len);
    if (code == TR_OK) {
        identity->num_certs++;
    }
    return code;
}

tr_code_t
tr_identity_new_from_pem(tr_identity_t **out, tr_slice_t cert_pem, tr_slice_t key_pem, const char *password,
                         tr_err_t *err)
{
    tr_pkey_t *leaf = NULL;
    tr_code_t code;
    *out = NULL;
    tr_identity_t *identity = tr_calloc(1, sizeof(*identity));
    if (identity == NULL) {
        return tr_err_nomem(err, "x509.identity");
    }
    atomic_init(&identity->refs, 1);
    tr_buf_init(&identity->der);
    code = each_pem_cert(cert_pem, identity_add, identity);
    if (code == TR_OK && identity->num_certs == 0) {
        code = tr_err_set(err, TR_ERR_TLS_IDENTITY, 0, "x509.identity",
                          "there is no certificate in the client certificate's PEM text");
        goto done;
    }
    if (code == TR_ERR_NOMEM) {
        (void)tr_err_nomem(err, "x509.identity");
        goto done;
    }
    if (code != TR_OK) {
        code = tr_err_set(err, TR_ERR_TLS_IDENTITY, 0, "x509.identity",
                          code == TR_ERR_LIMIT ? "the client certificate's chain is too long"
                                               : "a certificate of the client's chain cannot be parsed");
        goto done;
    }
    for (size_t i = 0; i < identity->num_certs; i++) {
        identity->certs[i].der.data = identity->der.data + identity->certs[i].offset;
    }
    code = tr_pkey_from_pem(&identity->key, key_pem.len > 0 ? key_pem : cert_pem, password, err);
    if (code != TR_OK) {
        goto done;
    }
    cert_view_t view;
    if (!view_cert(&view, identity->certs[0].der)) {
        code = tr_err_set(err, TR_ERR_INTERNAL, 0, "x509.identity", NULL);
        goto done;
    }
    code = tr_pkey__from_spki(&leaf, view.spki);
    if (code == TR_ERR_NOMEM) {
        (void)tr_err_nomem(err, "x509.identity");
        goto done;
    }
    if (code != TR_OK || !tr_pkey_same(leaf, identity->key)) {
        code = tr_err_set(err, TR_ERR_TLS_IDENTITY, 0, "x509.identity",
                          "the private key does not belong to the first client certificate");
        goto done;
    }
done:
    tr_pkey_free(leaf);
    if (code == TR_OK) {
        *out = identity;
    } else {
        tr_identity_unref(identity);
    }
    return code;
}

/* ------------------------------------------------------------------------------------- verification */

#define TEXT_LEN 64

/* A name for a message: the common name, or the organisation. Other than printable ASCII becomes '?'. */
static void
name_text(char out[TEXT_LEN], const X509_NAME *name)
{
    int len = X509_NAME_get_text_by_NID((X509_NAME *)name, NID_commonName, out, TEXT_LEN);
    if (len <= 0) {
        len = X509_NAME_get_text_by_NID((X509_NAME *)name, NID_organizationName, out, TEXT_LEN);
    }
    if (len <= 0) {
        (void)snprintf(out, TEXT_LEN, "no name");
    }
    for (char *p = out; *p != 0; p++) {
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e) {
            *p = '?';
        }
    }
    ERR_clear_error();
}

static void
date_text(char out[16], const ASN1_TIME *time)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(time, &tm) != 1) {
        ERR_clear_error();
        (void)snprintf(out, 16, "?");
        return;
    }
    (void)snprintf(out, 16, "%04u-%02u-%02u", (unsigned)(tm.tm_year + 1900) % 10000u,
                   (unsigned)(tm.tm_mon + 1) % 100u, (unsigned)tm.tm_mday % 100u);
}

/* The names that a certificate is for, as "a, b, c". */
static void
subject_alt_text(char *out, size_t out_len, X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS) {
            continue;
        }
        const uint8_t *data = ASN1_STRING_get0_data(name->d.dNSName);
        size_t len = (size_t)ASN1_STRING_length(name->d.dNSName);
        size_t comma = used > 0 ? 2 : 0;
        if (len + comma + 1 > out_len - used) {
            break;
        }
        memcpy(out + used, ", ", comma);
        for (size_t j = 0; j < len; j++) {
            out[used + comma + j] = data[j] >= 0x20 && data[j] <= 0x7e ? (char)data[j] : '?';
        }
        used += comma + len;
        out[used] = 0;
    }
    if (used == 0) {
        (void)snprintf(out, out_len, "no DNS name");
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
}

/* RFC 8446 6.2: the alert for a reason. */
static uint8_t
alert_for(int reason)
{
    switch (reason) {
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return 45; /* certificate_expired: expired or not currently valid */
    case X509_V_ERR_CERT_REVOKED:
        return 44; /* certificate_revoked */
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
    case X509_V_ERR_INVALID_CA:
    case X509_V_ERR_CERT_UNTRUSTED:
        return 48; /* unknown_ca */
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
    case X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY:
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
    case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
    case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
        return 42; /* bad_certificate */
    case X509_V_ERR_INVALID_PURPOSE:
        return 43; /* unsupported_certificate */
    default:
        return 46; /* certificate_unknown */
    }
}

/* Fills err for a chain that was not accepted. */
static tr_code_t
report_chain(tr_err_t *err, uint8_t *out_alert, const X509_STORE_CTX *ctx, const char *host)
{
    static const char where[] = "x509.verify";
    char name[TEXT_LEN];
    char issuer[TEXT_LEN];
    char date[16];
    int reason = X509_STORE_CTX_get_error(ctx);
    X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
    bool is_leaf = X509_STORE_CTX_get_error_depth(ctx) == 0;
    *out_alert = alert_for(reason);
    if (reason == X509_V_ERR_OUT_OF_MEM || reason == X509_V_ERR_UNSPECIFIED || reason == X509_V_OK ||
        cert == NULL) {
        *out_alert = 80; /* internal_error: nothing is known about the certificate */
        return reason == X509_V_ERR_OUT_OF_MEM ? tr_err_nomem(err, where)
                                               : tr_err_set(err, TR_ERR_TLS_CERTIFICATE, reason, where,
                                                            "the certificate of %.60s could not be checked", host);
    }
    if (is_leaf) {
        (void)snprintf(name, sizeof(name), "%.60s", host);
    } else {
        name_text(name, X509_get_subject_name(cert));
    }
    name_text(issuer, X509_get_issuer_name(cert));
    switch (reason) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        date_text(date, X509_get0_notAfter(cert));
        return tr_err_set(err, TR_ERR_TLS_CERTIFICATE, reason, where,
                          "the certificate of %s has expired on %s; renew it, or check this machine's clock", name,
                          date);
    case X509_V_ERR_CERT_NOT_YET_VALID:
        date_text(date, X509_get0_notBefore(cert));
        return tr_err_set(err, TR_ERR_TLS_CERTIFICATE, reason, where,
                          "the certificate of %s is not valid before %s; check this machine's clock", name, date);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return tr_err_set(err, TR_ERR_TLS_CERTIFICATE, reason, where,
                          "the certificate of %s is self-signed; pass it as verify=\"cert.pem\" to trust it", name);
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return tr_err_set(err, TR_ERR_TLS_CERTIFICATE, reason, where,
                          "the chain ends in the self-signed certificate \"%s\"; pass it as verify=\"ca.pem\" to "
                          "trust it",
                          name);
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return tr_err_set(err, TR_ERR_TLS_CERTIFICATE, reason, where,
                          "unknown issuer \"%.40s\" of the certificate of %.40s; pass verify=\"ca.pem\", or the "
                          "server sends no intermediate",
                          issuer, name);
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
        return tr_err_set(err, TR_ERR_TLS_CERTIFICATE, reason, where,
                          "the key of the certificate of %s is too short (RSA needs 2048 bits)", name);
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return tr_err_set(err, TR_ERR_TLS_CERTIFICATE, reason, where,
                          "the certificate of %s is signed with a hash that is too weak", name);
    case X509_V_ERR_INVALID_PURPOSE:
        return tr_err_set(err, TR_ERR_TLS_CERTIFICATE, reason, where,
                          "the certificate of %s is not for TLS servers (extended key usage)", name);
    default:
        return tr_err_set(err, TR_ERR_TLS_CERTIFICATE, reason, where, "the certificate of %s was not accepted: %s",
                          name, X509_verify_cert_error_string(reason));
    }
}

/* RFC 9525 6: subjectAltName only. One wildcard, as the whole left-most label. */
static tr_code_t
check_name(X509 *leaf, const char *host, uint8_t *out_alert, tr_err_t *err)
{
    static const unsigned flags = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
    char names[96];
    int reason = X509_V_ERR_HOSTNAME_MISMATCH;
    size_t len = strlen(host);
    int matches;
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(host);
    ERR_clear_error();
    if (ip != NULL) {
        reason = X509_V_ERR_IP_ADDRESS_MISMATCH;
        matches = X509_check_ip(leaf, ASN1_STRING_get0_data(ip), (size_t)ASN1_STRING_length(ip), flags);
        ASN1_OCTET_STRING_free(ip);
    } else {
        if (len > 0 && host[len - 1] == '.') {
            len--; /* the root's empty label is in no certificate */
        }
        /* To libcrypto a leading dot means "any subdomain of", and a star in both names is a letter like any other.
         */
        matches = len > 0 && host[0] != '.' && strchr(host, '*') == NULL
                      ? X509_check_host(leaf, host, len, flags, NULL)
                      : 0;
    }
    ERR_clear_error();
    if (matches == 1) {
        return TR_OK;
    }
    *out_alert = alert_for(reason);
    subject_alt_text(names, sizeof(names), leaf);
    return tr_err_set(err, TR_ERR_TLS_HOSTNAME, reason, "x509.verify",
                      "the server's certificate is not for %.60s but for %.70s", host, names);
}

bool
tr_x509_has_name(tr_slice_t der, const char *host)
{
    tr_err_t err = TR_ERR_INIT;
    uint8_t alert;
    X509 *cert = parse_cert(der);
    bool has = cert != NULL && check_name(cert, host, &alert, &err) == TR_OK;
    X509_free(cert);
    ERR_clear_error();
    return has;
}

/* Gives libcrypto all roots with this subject, and says whether there were new ones. Under the lock. */
static bool
give_roots(const tr_trust_t *trust, const X509_NAME *name)
{
    bool added = false;
    for (root_t *root = trust->state->roots; root != NULL; root = root->next) {
        if (root->given || X509_NAME_cmp(root->subject, name) != 0) {
            continue;
        }
        const uint8_t *p = root->der;
        root->given = true;
        X509 *cert = root->trusted_form ? d2i_X509_AUX(NULL, &p, (long)root->der_len)
                                        : parse_cert(tr_slice(root->der, root->der_len));
        if (cert != NULL && X509_STORE_add_cert(trust->store, cert) == 1) {
            added = true;
        }
        X509_free(cert);
        ERR_clear_error();
    }
    return added;
}

/* Gives libcrypto the roots that a chain can end in: those whose subject is an issuer or a subject in the chain,
 * then the issuers of these, for roots that are not self-signed. */
static void
give_trusted(const tr_trust_t *trust, X509 *leaf, const STACK_OF(X509) * others)
{
    (void)pthread_mutex_lock(&trust->state->lock);
    bool added = give_roots(trust, X509_get_subject_name(leaf));
    added = give_roots(trust, X509_get_issuer_name(leaf)) || added;
    for (int i = 0; i < sk_X509_num(others); i++) {
        added = give_roots(trust, X509_get_subject_name(sk_X509_value(others, i))) || added;
        added = give_roots(trust, X509_get_issuer_name(sk_X509_value(others, i))) || added;
    }
    while (added) {
        /* Each turn gives at least one root that was not given before. The names stay: nothing leaves a store. */
        STACK_OF(X509_NAME) *issuers = sk_X509_NAME_new_null();
        added = false;
        (void)X509_STORE_lock(trust->store); /* a look-up by another thread sorts the objects */
        STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(trust->store);
        for (int i = 0; issuers != NULL && i < sk_X509_OBJECT_num(objects); i++) {
            X509 *cert = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
            if (cert != NULL && X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) != 0) {
                (void)sk_X509_NAME_push(issuers, X509_get_issuer_name(cert));
            }
        }
        (void)X509_STORE_unlock(trust->store);
        for (int i = 0; i < sk_X509_NAME_num(issuers); i++) {
            added = give_roots(trust, sk_X509_NAME_value(issuers, i)) || added;
        }
        sk_X509_NAME_free(issuers);
    }
    (void)pthread_mutex_unlock(&trust->state->lock);
}

/* The last of the certificates in the list that have signed the leaf, one by one. The caller's; NULL: none can be parsed. */
static X509 *
top_of_list(const tr_slice_t *certs, size_t num_certs)
{
    bool used[TR_TLS_MAX_CHAIN_CERTS] = {false};
    X509 *top = num_certs == 0 ? NULL : parse_cert(certs[0]);
    X509 *signer = top;
    while (signer != NULL) {
        (void)find_signer(certs, num_certs, used, top, &signer);
        if (signer != NULL) {
            X509_free(top);
            top = signer;
        }
    }
    return top;
}

bool
tr_x509_pinned_root(const tr_trust_t *trust, const tr_slice_t *certs, size_t num_certs, const uint8_t (*pins)[32], size_t num_pins)
{
    bool found = false;
    X509 *cert = top_of_list(certs, TR_MIN(num_certs, (size_t)TR_TLS_MAX_CHAIN_CERTS));
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool more = cert != NULL && ctx != NULL && X509_STORE_CTX_init(ctx, trust->store, NULL, NULL) == 1;
    for (size_t step = 0; more && !found && step < TR_TLS_MAX_CHAIN_CERTS; step++) {
        X509 *issuer = NULL;
        unsigned char *der = NULL;
        more = X509_STORE_CTX_get1_issuer(&issuer, ctx, cert) == 1 && X509_verify(cert, X509_get0_pubkey(issuer)) == 1;
        int len = more ? i2d_X509(issuer, &der) : 0;
        found = len > 0 && has_pinned_key(tr_slice(der, (size_t)len), pins, num_pins);
        more = more && X509_cmp(issuer, cert) != 0;
        OPENSSL_free(der);
        X509_free(cert);
        cert = issuer;
    }
    X509_free(cert);
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return found;
}

/* An intermediate, parsed now or before. The caller's reference. NULL: cannot be parsed. */
static X509 *
get_intermediate(trust_state_t *state, tr_slice_t der)
{
    uint8_t key[32];
    X509 *cert = NULL;
    if (tr_hash_once(TR_HASH_SHA256, key, der) != TR_OK) {
        return NULL;
    }
    parsed_t *slot = &state->parsed[key[0] % NUM_PARSED];
    (void)pthread_mutex_lock(&state->lock);
    if (slot->cert != NULL && memcmp(slot->key, key, sizeof(key)) == 0 && X509_up_ref(slot->cert) == 1) {
        cert = slot->cert;
    }
    (void)pthread_mutex_unlock(&state->lock);
    if (cert != NULL) {
        return cert;
    }
    cert = parse_cert(der);
    if (cert != NULL && X509_up_ref(cert) == 1) {
        (void)pthread_mutex_lock(&state->lock);
        X509 *old = slot->cert;
        slot->cert = cert;
        memcpy(slot->key, key, sizeof(key));
        (void)pthread_mutex_unlock(&state->lock);
        X509_free(old);
    }
    return cert;
}

/* Whether libcrypto sees the same key in the leaf as view_cert, which the handshake's signature is checked with. */
static bool
same_spki(const cert_view_t *view, const X509 *leaf)
{
    uint8_t *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der);
    bool same = len > 0 && tr_slice_eq(view->spki, tr_slice(der, (size_t)len));
    OPENSSL_free(der);
    return same;
}

/* SHA-256 over everything that the answer depends on besides the store and the time. */
static tr_code_t
verified_key(uint8_t out[32], const tr_slice_t *certs, size_t num_certs, const char *host)
{
    tr_hash_ctx_t *hash = tr_hash_new(TR_HASH_SHA256);
    if (hash == NULL) {
        return TR_ERR_NOMEM;
    }
    tr_code_t code = tr_hash_update(hash, host, strlen(host) + 1);
    for (size_t i = 0; i < num_certs && code == TR_OK; i++) {
        uint64_t len = certs[i].len; /* so that no other cut of the same bytes has the same hash */
        code = tr_hash_update(hash, &len, sizeof(len));
        if (code == TR_OK) {
            code = tr_hash_update(hash, certs[i].data, certs[i].len);
        }
    }
    if (code == TR_OK) {
        code = tr_hash_peek(hash, out);
    }
    tr_hash_free(hash);
    return code;
}

static bool
verified_before(trust_state_t *state, const uint8_t key[32], int64_t now_s)
{
    const verified_t *slot = &state->verified[key[0] % NUM_VERIFIED];
    (void)pthread_mutex_lock(&state->lock);
    bool found =
        slot->until_s != 0 && memcmp(slot->key, key, 32) == 0 && now_s >= slot->from_s && now_s <= slot->until_s;
    (void)pthread_mutex_unlock(&state->lock);
    return found;
}

/* Seconds since 1970. False: not a time. */
static bool
seconds_of(int64_t *out, const ASN1_TIME *epoch, const ASN1_TIME *time)
{
    int days, seconds;
    if (ASN1_TIME_diff(&days, &seconds, epoch, time) != 1) {
        ERR_clear_error();
        return false;
    }
    *out = (int64_t)days * 86400 + seconds;
    return true;
}

static void
remember_verified(trust_state_t *state, const uint8_t key[32], const STACK_OF(X509) * chain)
{
    verified_t entry = {{0}, INT64_MIN, INT64_MAX};
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    bool ok = epoch != NULL && sk_X509_num(chain) > 0;
    for (int i = 0; ok && i < sk_X509_num(chain); i++) {
        const X509 *cert = sk_X509_value(chain, i);
        int64_t from_s, until_s;
        ok = seconds_of(&from_s, epoch, X509_get0_notBefore(cert)) &&
             seconds_of(&until_s, epoch, X509_get0_notAfter(cert));
        if (ok) {
            entry.from_s = TR_MAX(entry.from_s, from_s);
            entry.until_s = TR_MIN(entry.until_s, until_s);
        }
    }
    ASN1_TIME_free(epoch);
    if (ok && entry.until_s > entry.from_s && entry.until_s != 0) {
        memcpy(entry.key, key, sizeof(entry.key));
        (void)pthread_mutex_lock(&state->lock);
        state->verified[key[0] % NUM_VERIFIED] = entry;
        (void)pthread_mutex_unlock(&state->lock);
    }
}

/* The rules of a chain. */
static bool
set_rules(X509_STORE_CTX *ctx, int64_t now_s)
{
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    /* Level 2 is 112 bits: RSA from 2048 bits, no SHA-1 or MD5 in signatures below the trusted certificate. */
    X509_VERIFY_PARAM_set_auth_level(param, 2);
    X509_VERIFY_PARAM_set_depth(param, TR_TLS_MAX_CHAIN_CERTS);
    X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
    /* A trusted certificate need not be self-signed: verify="cert.pem" may name a server's own. */
    return X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST) == 1 &&
           X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER) == 1 &&
           X509_STORE_CTX_set_trust(ctx, X509_TRUST_SSL_SERVER) == 1;
}

/* Builds and checks the chain; ctx holds it afterwards. libcrypto follows one issuer per certificate and does not
 * come back from a dead end (a cross certificate of a root that is not trusted here, or an expired one, beside one
 * that would do). So where it ends at a certificate that the server sent, that one is taken out and the rest is
 * tried: each turn has one certificate less. The first failure is the one to report. */
static tr_code_t
verify_chain(const tr_trust_t *trust, X509_STORE_CTX *ctx, X509 *leaf, STACK_OF(X509) * others, const char *host,
             int64_t now_s, uint8_t *out_alert, tr_err_t *err)
{
    tr_code_t first = TR_OK;
    for (;;) {
        if (X509_STORE_CTX_init(ctx, trust->store, leaf, others) != 1 || !set_rules(ctx, now_s)) {
            return TR_ERR_NOMEM;
        }
        if (X509_verify_cert(ctx) == 1) {
            tr_err_clear(err);
            return TR_OK;
        }
        if (first == TR_OK) {
            first = report_chain(err, out_alert, ctx, host);
        }
        X509 *culprit = X509_STORE_CTX_get_current_cert(ctx);
        int at = -1;
        for (int i = 0; culprit != NULL && X509_STORE_CTX_get_error_depth(ctx) > 0 && i < sk_X509_num(others);
             i++) {
            at = sk_X509_value(others, i) == culprit ? i : at;
        }
        if (at < 0) {
            return first;
        }
        X509_STORE_CTX_cleanup(ctx);
        X509_free(sk_X509_delete(others, at));
        ERR_clear_error();
    }
}

tr_code_t
tr_x509_verify(const tr_trust_t *trust, const tr_slice_t *certs, size_t num_certs, const char *host, int64_t now_s,
               uint8_t *out_alert, tr_err_t *err)
{
    static const char where[] = "x509.verify";
    uint8_t key[32];
    cert_view_t view;
    X509 *leaf = NULL;
    X509_STORE_CTX *ctx = NULL;
    STACK_OF(X509) *others = NULL;
    tr_code_t code = TR_OK;
    *out_alert = 42;
    if (num_certs == 0) {
        return tr_err_set(err, TR_ERR_TLS_CERTIFICATE, X509_V_ERR_UNSPECIFIED, where,
                          "the server sent no certificate");
    }
    num_certs = TR_MIN(num_certs, (size_t)TR_TLS_MAX_CHAIN_CERTS);
    code = verified_key(key, certs, num_certs, host);
    if (code != TR_OK) {
        *out_alert = 80;
        return tr_err_set(err, code, 0, where, NULL);
    }
    if (verified_before(trust->state, key, now_s)) {
        return TR_OK;
    }
    leaf = view_cert(&view, certs[0]) ? parse_cert(certs[0]) : NULL;
    if (leaf == NULL || !same_spki(&view, leaf)) {
        code = tr_err_set(err, TR_ERR_TLS_CERTIFICATE, X509_V_ERR_UNSPECIFIED, where,
                          "the certificate of %.60s cannot be parsed", host);
        goto done;
    }
    others = sk_X509_new_null();
    ctx = X509_STORE_CTX_new();
    if (others == NULL || ctx == NULL) {
        code = TR_ERR_NOMEM;
        goto done;
    }
    for (size_t i = 1; i < num_certs; i++) {
        X509 *cert = get_intermediate(trust->state, certs[i]);
        if (cert == NULL) {
            code = tr_err_set(err, TR_ERR_TLS_CERTIFICATE, X509_V_ERR_UNSPECIFIED, where,
                              "a certificate in the chain of %.60s cannot be parsed", host);
            goto done;
        }
        if (sk_X509_push(others, cert) <= 0) {
            X509_free(cert);
            code = TR_ERR_NOMEM;
            goto done;
        }
    }
    give_trusted(trust, leaf, others);
    code = verify_chain(trust, ctx, leaf, others, host, now_s, out_alert, err);
    if (code == TR_OK) {
        code = check_name(leaf, host, out_alert, err);
    }
    if (code == TR_OK) {
        remember_verified(trust->state, key, X509_STORE_CTX_get0_chain(ctx));
    }
done:
    if (code == TR_ERR_NOMEM) {
        *out_alert = 80;
        (void)tr_err_nomem(err, where);
    }
    X509_STORE_CTX_free(ctx);
    sk_X509_pop_free(others, X509_free);
    X509_free(leaf);
    ERR_clear_error();
    return code;
}

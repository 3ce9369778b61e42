#include "tls/hello.h"

#include "core/limits.h"
#include "core/mem.h"
#include "core/rd.h"
#include "tls/hello_int.h"

/* RFC 1035 3.1 allows 253 characters in a host name; with a trailing dot and some slack for sloppy resolvers the name
 * still fits a server_name (RFC 6066 3) and leaves the hello small. */
#define HOST_MAX 255

/* --- what is sent in which situation --- */

bool
tr_hello__psk(const tr_hello_t *hello)
{
    return hello->session != NULL && hello->session->version == 0x0304;
}

/* RFC 8446 B.4: the only suite of TLS 1.3 whose hash is not SHA-256. */
tr_hash_id_t
tr_hello__psk_hash(const tr_hello_t *hello)
{
    return hello->session->suite == 0x1302 ? TR_HASH_SHA384 : TR_HASH_SHA256;
}

size_t
tr_hello__psk_ext_len(const tr_hello_t *hello)
{
    if (!tr_hello__psk(hello)) {
        return 0;
    }
    return 4 + 2 + 2 + hello->session->ticket_len + 4 + 2 + 1 + tr_hash_len(tr_hello__psk_hash(hello));
}

tr_slice_t
tr_hello__server_name(const tr_hello_t *hello)
{
    tr_slice_t name = tr_slice_cstr(hello->host);
    if (name.len > 0 && name.data[name.len - 1] == '.') {
        name.len--;
    }
    return name;
}

bool
tr_hello__sends(const tr_hello_t *hello, const tr_profile_ext_t *ext)
{
    switch (ext->type) {
    case TR_EXT_SERVER_NAME:
        return !hello->host_is_address;
    case TR_EXT_SESSION_TICKET:
        return !hello->drops_ticket;
    case TR_EXT_ALPS:
    case TR_EXT_ALPS_OLD:
        /* chromium_156_linux.json, variant websocket: with HTTP/1.1 alone there is no ALPS. */
        return (hello->tls_flags & TR_TLS_HTTP1_ONLY) == 0;
    case TR_EXT_COMPRESS_CERTIFICATE:
        return (hello->tls_flags & TR_TLS_WEBSOCKET) == 0 || (hello->profile->flags & TR_PROFILE_WS_PLAIN_CERT) == 0;
    case TR_EXT_EARLY_DATA:
        return hello->offers_early_data && !hello->is_retry; /* RFC 8446 4.1.2: gone from the second hello */
    case TR_EXT_COOKIE:
        return hello->is_retry && hello->cookie.len > 0;
    case TR_EXT_PRE_SHARED_KEY:
        return false; /* written behind all others, see hello_build.c */
    default:
        return true;
    }
}

/* An IPv6 address has a colon; a name whose last label is a number is an IPv4 address (WHATWG URL 3.5), and no
 * top-level domain is one. */
static bool
is_address(tr_slice_t host)
{
    size_t i = host.len;
    if (memchr(host.data, ':', host.len) != NULL) {
        return true;
    }
    while (i > 0 && host.data[i - 1] >= '0' && host.data[i - 1] <= '9') {
        i--;
    }
    return i < host.len && (i == 0 || host.data[i - 1] == '.');
}

/* Whether the session can be offered with this profile. One that cannot is left out, which is always correct. */
static bool
can_offer_session(const tr_hello_t *hello, const tr_session_ticket_t *session)
{
    const tr_profile_t *profile = hello->profile;
    if ((hello->tls_flags & TR_TLS_NO_RESUME) != 0 || session->ticket_len > TR_TLS_MAX_TICKET_LEN ||
        session->secret_len > sizeof(session->secret) || !tr_hello_offers_version(hello, session->version) ||
        !tr_hello_offers_suite(hello, session->suite)) {
        return false;
    }
    if (session->version == 0x0304) {
        return (profile->flags & TR_PROFILE_RESUMES_13) != 0 && session->ticket_len > 0 &&
               tr_profile_ext(profile, TR_EXT_PSK_KEY_EXCHANGE_MODES) != NULL; /* RFC 8446 4.2.9 */
    }
    if ((profile->flags & TR_PROFILE_RESUMES_12) == 0) {
        return false;
    }
    return session->ticket_len > 0 ? tr_profile_ext(profile, TR_EXT_SESSION_TICKET) != NULL
                                   : session->session_id_len > 0 && session->session_id_len <= 32;
}

/* --- drawing --- */

/* RFC 8446 4.2: no extension twice. GREASE values there are two of (draw_values). */
static bool
repeats_ext(const tr_profile_t *profile)
{
    unsigned num_grease = 0;
    for (size_t i = 0; i < profile->num_exts; i++) {
        uint16_t type = profile->exts[i].type;
        if (type == TR_GREASE) {
            num_grease++;
        } else if (tr_profile_ext(profile, type) != &profile->exts[i]) {
            return true;
        }
    }
    return num_grease > 2;
}

static tr_code_t
check_profile(const tr_hello_t *hello, tr_err_t *err)
{
    const tr_profile_t *profile = hello->profile;
    const char *why = NULL;
    if (profile->num_exts > sizeof(hello->order)) {
        why = "too many extensions";
    } else if ((size_t)profile->num_pinned_first + profile->num_pinned_last > profile->num_exts) {
        why = "more pinned extensions than extensions";
    } else if (repeats_ext(profile)) {
        why = "an extension twice";
    } else if (profile->session_id_len > sizeof(hello->session_id)) {
        why = "a session id longer than 32 bytes";
    } else if (profile->num_suites == 0 || profile->num_suites > 256) {
        why = "no cipher suites, or too many";
    }
    return why == NULL ? TR_OK
                       : tr_err_set(err, TR_ERR_PROFILE_INVALID, 0, "tls.hello", "The browser profile has %s.", why);
}

static uint16_t
grease_value(uint8_t drawn)
{
    return (uint16_t)(((drawn & 0xf0) | 0x0a) * 0x0101); /* RFC 8701 2 */
}

static tr_code_t
draw_values(tr_hello_t *hello, tr_err_t *err)
{
    uint8_t drawn[32 + 32 + 6];
    const uint8_t *grease = drawn + 64;
    tr_code_t code = hello->rnd.fill(hello->rnd.arg, drawn, sizeof(drawn));
    if (code != TR_OK) {
        return tr_err_set(err, code, 0, "tls.hello.draw", NULL);
    }
    memcpy(hello->random, drawn, 32);
    hello->session_id_len = hello->profile->session_id_len;
    memcpy(hello->session_id, drawn + 32, 32);
    hello->grease_suite = grease_value(grease[0]);
    hello->grease_group = grease_value(grease[1]);
    hello->grease_ext1 = grease_value(grease[2]);
    hello->grease_ext2 = grease_value(grease[3]);
    hello->grease_version = grease_value(grease[4]);
    hello->grease_sigalg = grease_value(grease[5]);
    if (hello->grease_ext1 == hello->grease_ext2) {
        hello->grease_ext2 ^= 0x1010; /* no extension twice (RFC 8446 4.2) */
    }
    return TR_OK;
}

/* Random bytes fetched in one piece for many small draws: a call of the system's generator costs more than the bytes. */
typedef struct draw_pool {
    const tr_rand_t *rnd; /* lent */
    size_t used;
    uint8_t bytes[128];
} draw_pool_t;

static tr_code_t
pool_fill(void *arg, uint8_t *out, size_t len)
{
    draw_pool_t *pool = arg;
    if (len > sizeof(pool->bytes)) {
        return pool->rnd->fill(pool->rnd->arg, out, len);
    }
    if (len > sizeof(pool->bytes) - pool->used) {
        tr_code_t code = pool->rnd->fill(pool->rnd->arg, pool->bytes, sizeof(pool->bytes));
        if (code != TR_OK) {
            return code;
        }
        pool->used = 0;
    }
    memcpy(out, pool->bytes + pool->used, len);
    pool->used += len;
    return TR_OK;
}

/* Fisher-Yates over the extensions that are not pinned. Places that stay empty (the cookie of a first hello) are
 * shuffled too, so that the cookie's place after a retry is random, and the others keep theirs. */
static tr_code_t
draw_order(tr_hello_t *hello, tr_err_t *err)
{
    const tr_profile_t *profile = hello->profile;
    hello->num_exts = profile->num_exts;
    for (size_t i = 0; i < hello->num_exts; i++) {
        hello->order[i] = (uint8_t)i;
    }
    if ((profile->flags & TR_PROFILE_PERMUTES) == 0) {
        return TR_OK;
    }
    draw_pool_t pool = {.rnd = &hello->rnd, .used = sizeof(pool.bytes)};
    tr_rand_t rnd = {pool_fill, &pool};
    uint8_t *first = hello->order + profile->num_pinned_first;
    size_t num = hello->num_exts - profile->num_pinned_first - profile->num_pinned_last;
    for (size_t left = num; left > 1; left--) {
        uint32_t pick;
        tr_code_t code = tr_rand_below(&rnd, &pick, (uint32_t)left);
        if (code != TR_OK) {
            return tr_err_set(err, code, 0, "tls.hello.draw", NULL);
        }
        uint8_t other = first[pick];
        first[pick] = first[left - 1];
        first[left - 1] = other;
    }
    return TR_OK;
}

size_t
tr_hello__raw_share_len(const tr_profile_ext_t *ext, size_t index)
{
    if (ext->values[index] == TR_GREASE || ext->data.len != 2 * (size_t)ext->num_values || tr_kex_supported(ext->values[index])) {
        return 0;
    }
    const uint8_t *at = ext->data.data + 2 * index;
    return (size_t)(at[0] << 8 | at[1]);
}

/* Shares of groups that the engine cannot do, which a profile made at run time may insist on sending: random bytes. */
static tr_code_t
draw_raw_shares(tr_hello_t *hello, const tr_profile_ext_t *ext, tr_err_t *err)
{
    size_t len = 0;
    for (size_t i = 0; i < ext->num_values; i++) {
        len += tr_hello__raw_share_len(ext, i);
    }
    if (len == 0) {
        return TR_OK;
    }
    hello->raw_shares = tr_malloc(len);
    hello->raw_shares_len = len;
    if (hello->raw_shares == NULL) {
        return tr_err_nomem(err, "tls.hello.key_share");
    }
    tr_code_t code = hello->rnd.fill(hello->rnd.arg, hello->raw_shares, len);
    return code == TR_OK ? TR_OK : tr_err_set(err, code, 0, "tls.hello.draw", NULL);
}

size_t
tr_hello__drawn_len(const tr_profile_ext_t *ext)
{
    switch (ext->type) {
    case TR_EXT_SERVER_NAME:
    case TR_EXT_SUPPORTED_GROUPS:
    case TR_EXT_SIGNATURE_ALGORITHMS:
    case TR_EXT_SIGNATURE_ALGORITHMS_CERT:
    case TR_EXT_DELEGATED_CREDENTIALS:
    case TR_EXT_SUPPORTED_VERSIONS:
    case TR_EXT_COMPRESS_CERTIFICATE:
    case TR_EXT_ALPN:
    case TR_EXT_SESSION_TICKET:
    case TR_EXT_COOKIE:
    case TR_EXT_KEY_SHARE:
    case TR_EXT_ECH:
    case TR_EXT_EARLY_DATA:
        return 0;
    default:
        return ext->num_values == 1 && ext->data.len == 0 ? ext->values[0] : 0;
    }
}

/* The bodies that a capture shows as drawn anew. */
static tr_code_t
draw_bodies(tr_hello_t *hello, tr_err_t *err)
{
    const tr_profile_t *profile = hello->profile;
    size_t len = 0;
    for (size_t i = 0; i < profile->num_exts; i++) {
        len += tr_hello__drawn_len(&profile->exts[i]);
    }
    if (len == 0) {
        return TR_OK;
    }
    hello->drawn = tr_malloc(len);
    if (hello->drawn == NULL) {
        return tr_err_nomem(err, "tls.hello.draw");
    }
    tr_code_t code = hello->rnd.fill(hello->rnd.arg, hello->drawn, len);
    return code == TR_OK ? TR_OK : tr_err_set(err, code, 0, "tls.hello.draw", NULL);
}

static tr_code_t
make_shares(tr_hello_t *hello, tr_err_t *err)
{
    const tr_profile_ext_t *ext = tr_profile_ext(hello->profile, TR_EXT_KEY_SHARE);
    bool same_x25519 = (hello->profile->flags & TR_PROFILE_SHARES_X25519) != 0;
    for (size_t i = 0; ext != NULL && i < ext->num_values; i++) {
        uint16_t group = ext->values[i];
        tr_kex_t *kex = NULL;
        const tr_kex_t *hybrid;
        tr_code_t code;
        if (group == TR_GREASE || tr_hello__raw_share_len(ext, i) > 0) {
            continue;
        }
        if (hello->num_shares == TR_HELLO_MAX_SHARES) {
            return tr_err_set(err, TR_ERR_PROFILE_INVALID, 0, "tls.hello.key_share",
                              "The browser profile has more than %d key shares.", TR_HELLO_MAX_SHARES);
        }
        if (!tr_kex_supported(group)) {
            /* Leaving the share out would be another fingerprint, and nobody would notice. */
            return tr_err_set(err, TR_ERR_PROFILE_INVALID, 0, "tls.hello.key_share",
                              "The browser profile sends a key share of group %u, which this engine cannot make.",
                              (unsigned)group);
        }
        hybrid = tr_hello_share(hello, TR_GROUP_X25519_MLKEM768);
        code = group == TR_GROUP_X25519 && same_x25519 && hybrid != NULL
                   ? tr_kex_new_from_x25519(&kex, hybrid, err)
                   : tr_kex_new(&kex, group, &hello->rnd, err);
        if (code != TR_OK) {
            return code;
        }
        hello->shares[hello->num_shares++] = kex;
    }
    return ext == NULL ? TR_OK : draw_raw_shares(hello, ext, err);
}

tr_code_t
tr_hello_init(tr_hello_t *hello, const tr_profile_t *profile, uint32_t tls_flags, const char *host,
              const tr_rand_t *rnd, const tr_session_ticket_t *session, bool early_data, tr_err_t *err)
{
    tr_code_t code;
    memset(hello, 0, sizeof(*hello));
    hello->profile = profile;
    hello->tls_flags = tls_flags;
    hello->host = host;
    hello->rnd = *rnd;
    tr_slice_t name = tr_hello__server_name(hello);
    if (name.len == 0 || name.len > HOST_MAX) {
        code = tr_err_set(err, TR_ERR_INVALID_ARGUMENT, 0, "tls.hello.host", "The host name is empty or too long.");
        goto done;
    }
    hello->host_is_address = is_address(name);
    if ((code = check_profile(hello, err)) != TR_OK) {
        goto done;
    }
    if (session != NULL && can_offer_session(hello, session)) {
        hello->session = session;
        hello->drops_ticket = tr_hello__psk(hello) && (profile->flags & TR_PROFILE_PSK_DROPS_TICKET) != 0;
        hello->offers_early_data =
            early_data && (profile->flags & TR_PROFILE_EARLY_DATA) != 0 && tr_hello__psk(hello) &&
            session->max_early_data > 0 && tr_profile_ext(profile, TR_EXT_EARLY_DATA) != NULL &&
            /* RFC 8446 4.2.10: early data speaks the protocol of then, also when none was named */
            (session->alpn_len == 0 || tr_hello_offers_alpn(hello, tr_slice(session->alpn, session->alpn_len)));
    }
    if ((code = draw_values(hello, err)) != TR_OK || (code = draw_order(hello, err)) != TR_OK ||
        (code = draw_bodies(hello, err)) != TR_OK) {
        goto done;
    }
    if (hello->session != NULL && !tr_hello__psk(hello) && session->ticket_len == 0) {
        /* RFC 5246 7.4.1.2. With a ticket the random id stands: its echo tells that the ticket was taken
         * (RFC 5077 3.4). */
        memcpy(hello->session_id, session->session_id, session->session_id_len);
        hello->session_id_len = (uint8_t)session->session_id_len;
    } else if (hello->session != NULL && !tr_hello__psk(hello)) {
        hello->session_id_len = sizeof(hello->session_id);
    }
    if (profile->ech.payload != TR_ECH_NONE && tr_profile_ext(profile, TR_EXT_ECH) != NULL &&
        (code = tr_hello__grease_ech(hello, err)) != TR_OK) {
        goto done;
    }
    code = make_shares(hello, err);
done:
    if (code != TR_OK) {
        tr_hello_cleanup(hello);
    }
    return code;
}

void
tr_hello_cleanup(tr_hello_t *hello)
{
    for (size_t i = 0; i < hello->num_shares; i++) {
        tr_kex_free(hello->shares[i]);
        hello->shares[i] = NULL;
    }
    hello->num_shares = 0;
    tr_free(hello->raw_shares);
    hello->raw_shares = NULL;
    hello->raw_shares_len = 0;
    tr_free(hello->drawn);
    hello->drawn = NULL;
    tr_free(hello->ech);
    hello->ech = NULL;
    hello->ech_len = 0;
    hello->session = NULL;
    hello->cookie = TR_SLICE_NULL;
}

tr_code_t
tr_hello_retry(tr_hello_t *hello, uint16_t group, tr_slice_t cookie, tr_err_t *err)
{
    tr_kex_t *kex = NULL;
    if (group != 0) {
        tr_code_t code = tr_kex_new(&kex, group, &hello->rnd, err);
        if (code != TR_OK) {
            return code;
        }
        for (size_t i = 0; i < hello->num_shares; i++) {
            tr_kex_free(hello->shares[i]);
            hello->shares[i] = NULL;
        }
        hello->shares[0] = kex;
        hello->num_shares = 1;
    }
    hello->retry_group = group;
    hello->cookie = cookie;
    hello->is_retry = true;
    return TR_OK;
}

/* --- what was offered --- */

static bool
has_value(const uint16_t *values, size_t num, uint16_t value)
{
    for (size_t i = 0; i < num; i++) {
        if (values[i] == value && value != TR_GREASE) {
            return true;
        }
    }
    return false;
}

static bool
ext_has_value(const tr_hello_t *hello, uint16_t type, uint16_t value)
{
    const tr_profile_ext_t *ext = tr_profile_ext(hello->profile, type);
    return ext != NULL && has_value(ext->values, ext->num_values, value);
}

bool
tr_hello_offers_suite(const tr_hello_t *hello, uint16_t suite)
{
    return has_value(hello->profile->suites, hello->profile->num_suites, suite);
}

bool
tr_hello_offers_group(const tr_hello_t *hello, uint16_t group)
{
    return ext_has_value(hello, TR_EXT_SUPPORTED_GROUPS, group);
}

bool
tr_hello_offers_signature(const tr_hello_t *hello, uint16_t scheme)
{
    return ext_has_value(hello, TR_EXT_SIGNATURE_ALGORITHMS, scheme);
}

bool
tr_hello_offers_version(const tr_hello_t *hello, uint16_t version)
{
    if (tr_profile_ext(hello->profile, TR_EXT_SUPPORTED_VERSIONS) == NULL) {
        return version == hello->profile->legacy_version;
    }
    return ext_has_value(hello, TR_EXT_SUPPORTED_VERSIONS, version);
}

bool
tr_hello_offers_compression(const tr_hello_t *hello, uint16_t algorithm)
{
    return ext_has_value(hello, TR_EXT_COMPRESS_CERTIFICATE, algorithm);
}

bool
tr_hello_offers_ext(const tr_hello_t *hello, uint16_t type)
{
    if (type == TR_EXT_PRE_SHARED_KEY) {
        return tr_hello__psk(hello);
    }
    if (type == TR_GREASE || type == TR_EXT_PADDING) {
        return false;
    }
    const tr_profile_ext_t *ext = tr_profile_ext(hello->profile, type);
    return ext != NULL && tr_hello__sends(hello, ext);
}

bool
tr_hello_offers_alpn(const tr_hello_t *hello, tr_slice_t protocol)
{
    const tr_profile_ext_t *ext = tr_profile_ext(hello->profile, TR_EXT_ALPN);
    if (ext == NULL) {
        return false;
    }
    if ((hello->tls_flags & TR_TLS_HTTP1_ONLY) != 0) {
        return tr_slice_eq(protocol, TR_SLICE_LIT("http/1.1"));
    }
    tr_rd_t rd = tr_rd(ext->data), names;
    tr_slice_t name;
    tr_rd_sub(&rd, &names, 2);
    while (!tr_rd_empty(&names) && tr_rd_vec(&names, &name, 1)) {
        if (tr_slice_eq(name, protocol)) {
            return true;
        }
    }
    return false;
}

bool
tr_hello_sent_raw_share(const tr_hello_t *hello, uint16_t group)
{
    const tr_profile_ext_t *ext = hello->raw_shares == NULL ? NULL : tr_profile_ext(hello->profile, TR_EXT_KEY_SHARE);
    for (size_t i = 0; ext != NULL && i < ext->num_values; i++) {
        if (ext->values[i] == group && tr_hello__raw_share_len(ext, i) > 0) {
            return true;
        }
    }
    return false;
}

const tr_kex_t *
tr_hello_share(const tr_hello_t *hello, uint16_t group)
{
    for (size_t i = 0; i < hello->num_shares; i++) {
        if (tr_kex_group(hello->shares[i]) == group) {
            return hello->shares[i];
        }
    }
    return NULL;
}

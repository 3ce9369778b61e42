/* bogo_shim: what the conformance runner of BoringSSL (ssl/test/runner) drives: one process a test, configured by flags, which
 * connects back to the runner. The ClientHello is built from the flags as BoringSSL's would be. Flags that name something this
 * engine does not have end in exit code 89, which the runner counts as unimplemented. Only clients of TLS 1.2 and 1.3 over TCP.
 *
 *     runner -shim-path build/plain/bogo_shim -shim-config tests/bogo/config.json -allow-unimplemented
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/trace.h"
#include "tls/client.h"

#define UNIMPLEMENTED 89
#define READ_SIZE 32768
#define MAX_FILE (1024 * 1024)
#define MAX_LIST 32
#define MAX_EXTS 32

typedef struct number_list {
    uint16_t values[MAX_LIST];
    size_t num;
} number_list_t;

typedef struct config {
    /* the ClientHello */
    unsigned long min_version, max_version;
    number_list_t curves, key_shares, verify_prefs;
    const char *host_name, *alpn, *alps, *cipher;
    bool no_tls13, no_tls12, no_tls11, no_tls1, no_key_shares, grease, permute, ech_grease, ocsp, scts, no_ticket;
    bool alps_new, early_data;
    /* behaviour */
    const char *cert_file, *key_file, *initial_write;
    bool writes_first, shuts_down, check_close_notify, key_update, send_alert, different_sizes;
    unsigned long resumption_delay, repeat_write;
    /* expectations */
    unsigned long expect_version, expect_curve, expect_peer_scheme, expect_cipher;
    const char *expect_alpn, *expect_alps;
    bool expect_ems, expect_hrr, expect_no_hrr, expect_no_session, expect_miss, expect_renewal, expect_early_ticket;
    bool expect_early, expect_no_early;
} config_t;

typedef struct shim {
    unsigned long port, shim_id, resume_count;
    bool ipv6;
    config_t configs[3]; /* first connection, resumptions, what is expected of those whose early data was refused */
    int fd;
    tr_tls_t *tls;
    tr_buf_t wire;
    tr_bufq_t plain;
    tr_err_t err;
    uint64_t now_ms;
} shim_t;

static void
complain(const char *what)
{
    fprintf(stderr, "%s\n", what);
}

/* --- flags --- */

typedef enum flag_kind { FLAG_BOOL, FLAG_TEXT, FLAG_NUMBER, FLAG_LIST, FLAG_IGNORED, FLAG_IGNORED_VALUE } flag_kind_t;

#define FIELD(name) offsetof(config_t, name)

static const struct {
    const char *name;
    flag_kind_t kind;
    size_t offset;
} flags[] = {
    {"min-version", FLAG_NUMBER, FIELD(min_version)},
    {"max-version", FLAG_NUMBER, FIELD(max_version)},
    {"no-tls13", FLAG_BOOL, FIELD(no_tls13)},
    {"no-tls12", FLAG_BOOL, FIELD(no_tls12)},
    {"no-tls11", FLAG_BOOL, FIELD(no_tls11)},
    {"no-tls1", FLAG_BOOL, FIELD(no_tls1)},
    {"curves", FLAG_LIST, FIELD(curves)},
    {"key-shares", FLAG_LIST, FIELD(key_shares)},
    {"no-key-shares", FLAG_BOOL, FIELD(no_key_shares)},
    {"verify-prefs", FLAG_LIST, FIELD(verify_prefs)},
    {"cipher", FLAG_TEXT, FIELD(cipher)},
    {"host-name", FLAG_TEXT, FIELD(host_name)},
    {"advertise-alpn", FLAG_TEXT, FIELD(alpn)},
    {"application-settings", FLAG_TEXT, FIELD(alps)},
    {"alps-use-new-codepoint", FLAG_BOOL, FIELD(alps_new)},
    {"enable-grease", FLAG_BOOL, FIELD(grease)},
    {"enable-ech-grease", FLAG_BOOL, FIELD(ech_grease)},
    {"permute-extensions", FLAG_BOOL, FIELD(permute)},
    {"enable-ocsp-stapling", FLAG_BOOL, FIELD(ocsp)},
    {"enable-signed-cert-timestamps", FLAG_BOOL, FIELD(scts)},
    {"no-ticket", FLAG_BOOL, FIELD(no_ticket)},
    {"cert-file", FLAG_TEXT, FIELD(cert_file)},
    {"key-file", FLAG_TEXT, FIELD(key_file)},
    {"shim-writes-first", FLAG_BOOL, FIELD(writes_first)},
    {"shim-initial-write", FLAG_TEXT, FIELD(initial_write)},
    {"repeat-shim-initial-write", FLAG_NUMBER, FIELD(repeat_write)},
    {"shim-shuts-down", FLAG_BOOL, FIELD(shuts_down)},
    {"check-close-notify", FLAG_BOOL, FIELD(check_close_notify)},
    {"key-update", FLAG_BOOL, FIELD(key_update)},
    {"send-alert", FLAG_BOOL, FIELD(send_alert)},
    {"write-different-record-sizes", FLAG_BOOL, FIELD(different_sizes)},
    {"resumption-delay", FLAG_NUMBER, FIELD(resumption_delay)},
    {"expect-version", FLAG_NUMBER, FIELD(expect_version)},
    {"expect-curve-id", FLAG_NUMBER, FIELD(expect_curve)},
    {"expect-peer-signature-algorithm", FLAG_NUMBER, FIELD(expect_peer_scheme)},
    {"expect-cipher", FLAG_NUMBER, FIELD(expect_cipher)},
    {"expect-alpn", FLAG_TEXT, FIELD(expect_alpn)},
    {"expect-peer-application-settings", FLAG_TEXT, FIELD(expect_alps)},
    {"expect-extended-master-secret", FLAG_BOOL, FIELD(expect_ems)},
    {"expect-hrr", FLAG_BOOL, FIELD(expect_hrr)},
    {"expect-no-hrr", FLAG_BOOL, FIELD(expect_no_hrr)},
    {"expect-no-session", FLAG_BOOL, FIELD(expect_no_session)},
    {"expect-session-miss", FLAG_BOOL, FIELD(expect_miss)},
    {"expect-ticket-renewal", FLAG_BOOL, FIELD(expect_renewal)},
    {"expect-ticket-supports-early-data", FLAG_BOOL, FIELD(expect_early_ticket)},
    {"enable-early-data", FLAG_BOOL, FIELD(early_data)},
    {"expect-accept-early-data", FLAG_BOOL, FIELD(expect_early)},
    {"expect-reject-early-data", FLAG_BOOL, FIELD(expect_no_early)},
    {"expect-early-data-reason", FLAG_IGNORED_VALUE, 0},
    /* How the test program calls its library, not what the library does: this engine has no callbacks to be asynchronous in, no
     * implicit handshake, and every I/O is in whole buffers. Chains are verified in tests/tls and tests/c, not here. */
    {"async", FLAG_IGNORED, 0},
    {"implicit-handshake", FLAG_IGNORED, 0},
    {"trust-cert", FLAG_IGNORED_VALUE, 0},
    {"verify-peer", FLAG_IGNORED, 0},
    {"use-custom-verify-callback", FLAG_IGNORED, 0},
    {"expect-verify-result", FLAG_IGNORED, 0},
    {"reverify-on-resume", FLAG_IGNORED, 0},
    {"use-old-client-cert-callback", FLAG_IGNORED, 0},
    {"handshake-never-done", FLAG_IGNORED, 0},
    {"handshake-twice", FLAG_IGNORED, 0},
    {"no-op-extra-handshake", FLAG_IGNORED, 0},
    {"forbid-renegotiation-after-handshake", FLAG_IGNORED, 0},
    {"expect-no-offer-early-data", FLAG_IGNORED, 0},
    {"partial-write", FLAG_IGNORED, 0},
};

static bool
parse_number(unsigned long *out, const char *text)
{
    char *end;
    errno = 0;
    *out = strtoul(text, &end, 0);
    return errno == 0 && end != text && *end == '\0';
}

static bool
set_flag(config_t *config, size_t row, const char *value)
{
    void *field = (char *)config + flags[row].offset;
    unsigned long number;
    number_list_t *list = field;
    switch (flags[row].kind) {
    case FLAG_BOOL:
        *(bool *)field = true;
        return true;
    case FLAG_TEXT:
        *(const char **)field = value;
        return true;
    case FLAG_NUMBER:
        return parse_number(field, value);
    case FLAG_LIST:
        if (!parse_number(&number, value) || list->num == MAX_LIST) {
            return false;
        }
        list->values[list->num++] = (uint16_t)number;
        return true;
    case FLAG_IGNORED:
    case FLAG_IGNORED_VALUE:
        return true;
    }
    return false;
}

/* 0: good; else the exit code. */
static int
parse_flags(shim_t *shim, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i] + 1;
        bool initial = true, resume = true, retry = true;
        const struct {
            const char *name;
            unsigned long *out;
        } globals[] = {{"port", &shim->port}, {"shim-id", &shim->shim_id}, {"resume-count", &shim->resume_count}};
        if (strcmp(name, "ipv6") == 0) {
            shim->ipv6 = true;
            continue;
        }
        if (strcmp(name, "is-handshaker-supported") == 0) {
            puts("No");
            exit(0);
        }
        bool global = false;
        for (size_t j = 0; j < TR_ARRAY_LEN(globals); j++) {
            if (strcmp(name, globals[j].name) == 0) {
                global = true;
                if (++i == argc || !parse_number(globals[j].out, argv[i])) {
                    return UNIMPLEMENTED;
                }
            }
        }
        if (global) {
            continue;
        }
        if (strncmp(name, "on-initial-", 11) == 0) {
            name += 11;
            resume = retry = false;
        } else if (strncmp(name, "on-resume-", 10) == 0) {
            name += 10;
            initial = retry = false;
        } else if (strncmp(name, "on-retry-", 9) == 0) {
            name += 9;
            initial = resume = false;
        }
        size_t row = 0;
        while (row < TR_ARRAY_LEN(flags) && strcmp(name, flags[row].name) != 0) {
            row++;
        }
        if (row == TR_ARRAY_LEN(flags)) {
            return UNIMPLEMENTED;
        }
        const char *value = NULL;
        if (flags[row].kind != FLAG_BOOL && flags[row].kind != FLAG_IGNORED && (value = argv[++i], i == argc)) {
            return UNIMPLEMENTED;
        }
        if ((initial && !set_flag(&shim->configs[0], row, value)) ||
            (resume && !set_flag(&shim->configs[1], row, value)) || (retry && !set_flag(&shim->configs[2], row, value))) {
            return UNIMPLEMENTED;
        }
    }
    return 0;
}

/* --- the ClientHello --- */

typedef struct hello_data {
    tr_profile_t profile;
    tr_profile_ext_t exts[MAX_EXTS];
    uint16_t suites[MAX_LIST], groups[MAX_LIST], shares[MAX_LIST], schemes[MAX_LIST], versions[4];
    uint16_t num_groups, num_shares, num_schemes, num_versions;
    uint8_t alpn[512], alps[512];
    size_t alpn_len, alps_len;
} hello_data_t;

static void
add_ext(hello_data_t *hello, uint16_t type, const void *data, size_t len)
{
    hello->exts[hello->profile.num_exts++] = (tr_profile_ext_t){.type = type, .data = tr_slice(data, len)};
}

static void
add_values(hello_data_t *hello, uint16_t type, const uint16_t *values, uint16_t num)
{
    hello->exts[hello->profile.num_exts++] = (tr_profile_ext_t){.type = type, .values = values, .num_values = num};
}

static bool
offers(const config_t *config, uint16_t version)
{
    if ((config->min_version != 0 && version < config->min_version) ||
        (config->max_version != 0 && version > config->max_version)) {
        return false;
    }
    return version == TR_VERSION_13 ? !config->no_tls13 : !config->no_tls12;
}

static uint16_t
fill_suites(uint16_t *out, const config_t *config, bool has12, bool has13)
{
    static const uint16_t suites13[] = {0x1301, 0x1302, 0x1303};
    static const uint16_t suites12[] = {0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc009, 0xc013, 0xc00a,
                                        0xc014, 0xc023, 0xc027, 0x009c, 0x009d, 0x002f, 0x0035};
    uint16_t num = 0;
    bool only_3des = config->cipher != NULL && strcmp(config->cipher, "3DES") == 0;
    if (config->grease) {
        out[num++] = TR_GREASE;
    }
    for (size_t i = 0; has13 && i < TR_ARRAY_LEN(suites13); i++) {
        out[num++] = suites13[i];
    }
    for (size_t i = 0; has12 && !only_3des && i < TR_ARRAY_LEN(suites12); i++) {
        out[num++] = suites12[i];
    }
    if (has12 && config->cipher != NULL) {
        out[num++] = 0x000a;
    }
    return num;
}

static void
fill_groups(hello_data_t *hello, const config_t *config, bool has13)
{
    static const uint16_t defaults[] = {TR_GROUP_X25519_MLKEM768, TR_GROUP_X25519, TR_GROUP_P256, TR_GROUP_P384};
    const uint16_t *values = config->curves.num > 0 ? config->curves.values : defaults;
    size_t num = config->curves.num > 0 ? config->curves.num : TR_ARRAY_LEN(defaults);
    if (config->grease) {
        hello->groups[hello->num_groups++] = TR_GREASE;
        hello->shares[hello->num_shares++] = TR_GREASE;
    }
    for (size_t i = 0; i < num; i++) {
        if (has13 || (values[i] != TR_GROUP_X25519_MLKEM768 && values[i] != TR_GROUP_P256_MLKEM768)) {
            hello->groups[hello->num_groups++] = values[i];
        }
    }
    if (config->no_key_shares) {
        return;
    }
    if (config->key_shares.num > 0) {
        for (size_t i = 0; i < config->key_shares.num; i++) {
            hello->shares[hello->num_shares++] = config->key_shares.values[i];
        }
        return;
    }
    /* The first group, and with a hybrid one the first classical group too, or the other way round. */
    bool first_hybrid = values[0] == TR_GROUP_X25519_MLKEM768;
    hello->shares[hello->num_shares++] = values[0];
    for (size_t i = 1; i < num; i++) {
        if ((values[i] == TR_GROUP_X25519_MLKEM768) != first_hybrid) {
            hello->shares[hello->num_shares++] = values[i];
            break;
        }
    }
}

/* "name,settings": the engine's own settings are always empty, as browsers' are. */
static bool
fill_alps(hello_data_t *hello, const config_t *config)
{
    const char *comma = strchr(config->alps, ',');
    if (comma == NULL || comma[1] != '\0' || comma - config->alps > 255) {
        return false;
    }
    size_t len = (size_t)(comma - config->alps);
    hello->alps[0] = 0;
    hello->alps[1] = (uint8_t)(len + 1);
    hello->alps[2] = (uint8_t)len;
    memcpy(hello->alps + 3, config->alps, len);
    hello->alps_len = len + 3;
    return true;
}

static bool
is_known_cipher(const char *cipher)
{
    return cipher == NULL || strcmp(cipher, "3DES") == 0 || strcmp(cipher, "ALL:3DES") == 0;
}

static bool
build_hello(hello_data_t *hello, const config_t *config)
{
    static const uint16_t schemes[] = {0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0201};
    static const uint8_t zero[1] = {0}, point_formats[2] = {1, 0}, ocsp[5] = {1, 0, 0, 0, 0}, psk_modes[2] = {1, 1};
    static const uint16_t ech_aeads[] = {1}, ech_lens[] = {144, 176, 208, 240};
    bool has12 = offers(config, TR_VERSION_12), has13 = offers(config, TR_VERSION_13);
    tr_profile_t *profile = &hello->profile;
    if ((!has12 && !has13) || !is_known_cipher(config->cipher)) {
        return false;
    }
    profile->id = "bogo";
    profile->flags = TR_PROFILE_RESUMES_12 | TR_PROFILE_RESUMES_13 | TR_PROFILE_TICKET12_ONCE | TR_PROFILE_ALPS |
                     (config->permute ? TR_PROFILE_PERMUTES : 0u) | (config->early_data ? TR_PROFILE_EARLY_DATA : 0u);
    profile->record_version = 0x0301;
    profile->legacy_version = TR_VERSION_12;
    profile->session_id_len = has13 ? 32 : 0;
    profile->suites = hello->suites;
    profile->num_suites = fill_suites(hello->suites, config, has12, has13);
    profile->exts = hello->exts;
    fill_groups(hello, config, has13);
    if (config->grease) {
        add_ext(hello, TR_GREASE, NULL, 0);
        profile->num_pinned_first = 1;
    }
    if (config->host_name != NULL) {
        add_ext(hello, TR_EXT_SERVER_NAME, NULL, 0);
    }
    if (has12) {
        add_ext(hello, TR_EXT_EXTENDED_MASTER_SECRET, NULL, 0);
        add_ext(hello, TR_EXT_RENEGOTIATION_INFO, zero, 1);
    }
    add_values(hello, TR_EXT_SUPPORTED_GROUPS, hello->groups, hello->num_groups);
    if (has12) {
        add_ext(hello, TR_EXT_EC_POINT_FORMATS, point_formats, sizeof(point_formats));
        if (!config->no_ticket) {
            add_ext(hello, TR_EXT_SESSION_TICKET, NULL, 0);
        }
    }
    if (config->alpn != NULL) { /* each name has its length byte */
        hello->alpn_len = 2 + strlen(config->alpn);
        if (hello->alpn_len > sizeof(hello->alpn)) {
            return false;
        }
        hello->alpn[0] = (uint8_t)(strlen(config->alpn) >> 8);
        hello->alpn[1] = (uint8_t)strlen(config->alpn);
        memcpy(hello->alpn + 2, config->alpn, strlen(config->alpn));
        add_ext(hello, TR_EXT_ALPN, hello->alpn, hello->alpn_len);
    }
    if (config->ocsp) {
        add_ext(hello, TR_EXT_STATUS_REQUEST, ocsp, sizeof(ocsp));
    }
    if (config->scts) {
        add_ext(hello, TR_EXT_SCT, NULL, 0);
    }
    const uint16_t *wanted = config->verify_prefs.num > 0 ? config->verify_prefs.values : schemes;
    size_t num_wanted = config->verify_prefs.num > 0 ? config->verify_prefs.num : TR_ARRAY_LEN(schemes);
    if (config->grease) {
        hello->schemes[hello->num_schemes++] = TR_GREASE;
    }
    for (size_t i = 0; i < num_wanted && hello->num_schemes < MAX_LIST; i++) {
        if (!tr_sig_known(wanted[i])) {
            return false;
        }
        hello->schemes[hello->num_schemes++] = wanted[i];
    }
    add_values(hello, TR_EXT_SIGNATURE_ALGORITHMS, hello->schemes, hello->num_schemes);
    if (has13) {
        add_values(hello, TR_EXT_KEY_SHARE, hello->shares, hello->num_shares);
        add_ext(hello, TR_EXT_PSK_KEY_EXCHANGE_MODES, psk_modes, sizeof(psk_modes));
        if (config->grease) {
            hello->versions[hello->num_versions++] = TR_GREASE;
        }
        hello->versions[hello->num_versions++] = TR_VERSION_13;
        if (has12) {
            hello->versions[hello->num_versions++] = TR_VERSION_12;
        }
        add_values(hello, TR_EXT_SUPPORTED_VERSIONS, hello->versions, hello->num_versions);
    }
    if (config->alps != NULL && has13) {
        if (!fill_alps(hello, config)) {
            return false;
        }
        add_ext(hello, config->alps_new ? TR_EXT_ALPS : TR_EXT_ALPS_OLD, hello->alps, hello->alps_len);
    }
    if (config->ech_grease && has13) {
        profile->ech = (tr_profile_ech_t){TR_ECH_PAYLOAD_DRAWN, 1, ech_aeads, 1, ech_lens, 4, 32};
        add_ext(hello, TR_EXT_ECH, NULL, 0);
    }
    if (has13) {
        add_ext(hello, TR_EXT_COOKIE, NULL, 0); /* a place for it */
        add_ext(hello, TR_EXT_EARLY_DATA, NULL, 0);
    }
    if (config->grease) {
        add_ext(hello, TR_GREASE, zero, 1);
        profile->num_pinned_last = 1;
    }
    for (size_t i = 0; i < hello->num_groups; i++) {
        if (hello->groups[i] != TR_GREASE && !tr_kex_supported(hello->groups[i])) {
            return false;
        }
    }
    return true;
}

/* --- I/O --- */

static bool
open_socket(shim_t *shim)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)shim->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)shim->port)};
    struct timeval timeout = {30, 0};
    const int one = 1;
    uint8_t id[8];
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6.sin6_addr = in6addr_loopback;
    shim->fd = socket(shim->ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    if (shim->fd < 0 || (shim->ipv6 ? connect(shim->fd, (struct sockaddr *)&v6, sizeof(v6))
                                    : connect(shim->fd, (struct sockaddr *)&v4, sizeof(v4))) != 0) {
        return false;
    }
    setsockopt(shim->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(shim->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    for (size_t i = 0; i < sizeof(id); i++) {
        id[i] = (uint8_t)(shim->shim_id >> (8 * i));
    }
    return send(shim->fd, id, sizeof(id), MSG_NOSIGNAL) == (ssize_t)sizeof(id);
}

static tr_code_t
send_wire(shim_t *shim)
{
    while (shim->wire.len > 0) {
        ssize_t sent = send(shim->fd, shim->wire.data, shim->wire.len, MSG_NOSIGNAL);
        if (sent < 0) {
            return tr_err_set(&shim->err, TR_ERR_CONNECT_RESET, errno, "bogo_shim.send", NULL);
        }
        tr_buf_consume(&shim->wire, (size_t)sent);
    }
    return TR_OK;
}

/* Sends what the engine has made of a call, also after a failure. */
static tr_code_t
after(shim_t *shim, tr_code_t code)
{
    tr_err_t kept = shim->err;
    tr_code_t sent = send_wire(shim);
    if (tr_failed(code)) {
        shim->err = kept;
        return code;
    }
    return tr_failed(sent) ? sent : code;
}

/* One read from the socket. TR_EOF: the peer's close_notify; *out_end: the socket ended. */
static tr_code_t
read_once(shim_t *shim, bool *out_end)
{
    static uint8_t bytes[READ_SIZE];
    ssize_t got = recv(shim->fd, bytes, sizeof(bytes), 0);
    *out_end = got == 0;
    if (got < 0) {
        return tr_err_set(&shim->err, TR_ERR_CONNECT_RESET, errno, "bogo_shim.recv", NULL);
    }
    if (got == 0) {
        return tr_tls_handshake_done(shim->tls) ? TR_OK : tr_tls_eof(shim->tls, &shim->err);
    }
    size_t used;
    return after(shim, tr_tls_feed(shim->tls, &shim->plain, &shim->wire, tr_slice(bytes, (size_t)got), &used, &shim->err));
}

static tr_code_t
write_plain(shim_t *shim, tr_slice_t data)
{
    return after(shim, tr_tls_write(shim->tls, &shim->wire, data, &shim->err));
}

/* Answers what came: each byte inverted. */
static tr_code_t
answer(shim_t *shim, const config_t *config)
{
    tr_code_t code = TR_OK;
    while (code == TR_OK && shim->plain.len > 0) {
        uint8_t bytes[512];
        tr_slice_t first = tr_bufq_peek(&shim->plain);
        size_t len = TR_MIN(first.len, sizeof(bytes));
        for (size_t i = 0; i < len; i++) {
            bytes[i] = first.data[i] ^ 0xff;
        }
        tr_bufq_consume(&shim->plain, len);
        if (config->key_update) {
            code = tr_tls__renew_keys(shim->tls, &shim->wire, false, &shim->err);
        }
        if (code == TR_OK) {
            code = write_plain(shim, tr_slice(bytes, len));
        }
    }
    return code;
}

static tr_code_t
write_sizes(shim_t *shim)
{
    static const size_t sizes[] = {0, 1, 255, 256, 257, 16383, 16384, 16385, 32767, 32768, 32769};
    static uint8_t bytes[32769];
    tr_code_t code = TR_OK;
    memset(bytes, 0x42, sizeof(bytes));
    for (size_t i = 0; code == TR_OK && i < TR_ARRAY_LEN(sizes); i++) {
        code = write_plain(shim, tr_slice(bytes, sizes[i]));
    }
    return code;
}

/* Writes the text again and again up to `total` bytes, *written of which are gone; before the handshake is over, as far as there is room. */
static tr_code_t
write_first(shim_t *shim, tr_slice_t text, size_t total, size_t *written)
{
    tr_code_t code = TR_OK;
    while (code == TR_OK && *written < total) {
        size_t at = *written % text.len, part = TR_MIN(text.len - at, total - *written);
        if (!tr_tls_handshake_done(shim->tls) && (part = TR_MIN(part, tr_tls_early_room(shim->tls))) == 0) {
            break;
        }
        code = write_plain(shim, tr_slice(text.data + at, part));
        *written += part;
    }
    return code;
}

/* --- checks --- */

/* A connection whose early data was refused is another one to the runner. */
static const config_t *
expectations(const shim_t *shim, const config_t *config)
{
    return config == &shim->configs[1] && config->expect_no_early ? &shim->configs[2] : config;
}

static bool
check(const shim_t *shim, const config_t *config, bool is_resume)
{
    tr_tls_info_t info;
    tr_tls_info(shim->tls, &info);
    const char *why = NULL;
    if ((config->expect_early && !info.early_data_accepted) || (config->expect_no_early && info.early_data_accepted)) {
        why = "early data";
    }
    config = expectations(shim, config);
    if (config->expect_version != 0 && info.version != config->expect_version) {
        why = "version";
    } else if (info.resumed != (is_resume && !config->expect_miss)) {
        why = "resumption";
    } else if (config->expect_curve != 0 && !info.resumed && info.group != config->expect_curve) {
        why = "curve";
    } else if (config->expect_peer_scheme != 0 && !info.resumed && info.signature != config->expect_peer_scheme) {
        why = "signature algorithm";
    } else if (config->expect_cipher != 0 && info.suite != config->expect_cipher) {
        why = "cipher";
    } else if (!tr_slice_eq(info.alpn, tr_slice_cstr(config->expect_alpn))) {
        why = "alpn";
    } else if (info.alps != (config->expect_alps != NULL) ||
               !tr_slice_eq(info.peer_alps, tr_slice_cstr(config->expect_alps))) {
        why = "application settings";
    } else if (config->expect_ems && !shim->tls->ems && info.version == TR_VERSION_12) {
        why = "extended master secret";
    } else if ((config->expect_hrr && !info.retried) || (config->expect_no_hrr && info.retried)) {
        why = "HelloRetryRequest";
    } else if (!info.resumed && info.num_certs == 0) {
        why = "peer certificate";
    }
    if (why != NULL) {
        fprintf(stderr, "not as expected: %s\n", why);
    }
    return why == NULL;
}

static bool
check_session(const shim_t *shim, const config_t *config, const tr_session_ticket_t *session)
{
    bool wanted;
    config = expectations(shim, config);
    if (shim->tls->version == TR_VERSION_13) {
        wanted = !config->expect_no_session;
        if (config->shuts_down) {
            return true; /* tickets may come before or after our close_notify */
        }
        if (wanted && session != NULL && config->expect_early_ticket != (session->max_early_data > 0)) {
            complain("not as expected: early data of the session");
            return false;
        }
    } else {
        wanted = !config->expect_no_session && (!shim->tls->resumed || config->expect_renewal);
    }
    if (wanted != (session != NULL)) {
        complain("not as expected: new session");
        return false;
    }
    return true;
}

/* --- one connection --- */

static tr_code_t
exchange(shim_t *shim, const config_t *config, bool is_resume, bool *out_good)
{
    tr_code_t code = after(shim, tr_tls_start(shim->tls, &shim->wire, &shim->err));
    bool end = false;
    tr_slice_t text = tr_slice_cstr(config->initial_write == NULL ? "hello" : config->initial_write);
    size_t to_write = config->writes_first ? text.len * TR_MAX(config->repeat_write, 1ul) : 0, written = 0;
    *out_good = true;
    if (code == TR_OK && tr_tls_early_room(shim->tls) > 0) {
        code = write_first(shim, text, to_write, &written);
        tr_buf_cleanup(&shim->tls->early_sent); /* the runner's protocol has it once, accepted or not */
    }
    while (code == TR_OK && !tr_tls_handshake_done(shim->tls)) {
        code = read_once(shim, &end);
    }
    if (tr_failed(code) || (*out_good = check(shim, config, is_resume)) == false) {
        return code;
    }
    if (config->send_alert) {
        /* decompression_failure, which nothing in the engine would send */
        static const uint8_t alert[2] = {TR_ALERT_FATAL, 30};
        code = tr_record_seal(&shim->tls->out, &shim->wire, TR_RECORD_ALERT, TR_VERSION_12, tr_slice(alert, 2),
                              &tr_rand_system);
        return after(shim, code);
    }
    if (code == TR_OK && config->different_sizes) {
        code = write_sizes(shim);
    }
    if (code == TR_OK) {
        code = write_first(shim, text, to_write, &written);
    }
    if (config->shuts_down && !tr_failed(code)) {
        code = after(shim, tr_tls_close(shim->tls, &shim->wire, &shim->err));
        while (code == TR_OK && config->check_close_notify && !end && !shim->tls->closed) {
            code = read_once(shim, &end);
        }
        if (config->check_close_notify && !tr_failed(code) && !shim->tls->closed) {
            complain("no close_notify came");
            *out_good = false;
        }
        return code;
    }
    while (code == TR_OK && !end) {
        code = answer(shim, config);
        if (code == TR_OK) {
            code = read_once(shim, &end);
        }
    }
    if (!tr_failed(code)) {
        tr_code_t answered = answer(shim, config);
        code = tr_failed(answered) ? answered : code;
    }
    if (!tr_failed(code)) {
        (void)after(shim, tr_tls_close(shim->tls, &shim->wire, &shim->err));
    }
    return code;
}

/* Says that no more comes, and reads what still does: else the alert could be lost in a reset. */
static void
close_socket(shim_t *shim)
{
    uint8_t bytes[4096];
    if (shim->fd >= 0) {
        shutdown(shim->fd, SHUT_WR);
        for (int i = 0; i < 4096 && recv(shim->fd, bytes, sizeof(bytes), 0) > 0; i++) {
        }
        close(shim->fd);
        shim->fd = -1;
    }
}

static bool
read_file(tr_buf_t *out, const char *path)
{
    FILE *file = fopen(path, "rb");
    bool ok = file != NULL && tr_buf_reserve(out, MAX_FILE) == TR_OK;
    if (ok) {
        tr_buf_commit(out, fread(tr_buf_tail(out), 1, MAX_FILE, file));
        ok = ferror(file) == 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return ok;
}

static tr_identity_t *
load_identity(const config_t *config)
{
    tr_buf_t cert = TR_BUF_INIT, key = TR_BUF_INIT;
    tr_identity_t *identity = NULL;
    tr_err_t err = TR_ERR_INIT;
    if (!read_file(&cert, config->cert_file) || !read_file(&key, config->key_file) ||
        tr_identity_new_from_pem(&identity, tr_buf_slice(&cert), tr_buf_slice(&key), NULL, &err) != TR_OK) {
        fprintf(stderr, "identity: %s\n", err.msg);
    }
    tr_buf_cleanup(&cert);
    tr_buf_cleanup(&key);
    return identity;
}

/* *session is what the last connection left, and becomes what this one leaves. Returns the exit code. */
static int
connect_once(shim_t *shim, const config_t *config, bool is_resume, tr_session_ticket_t **session)
{
    static hello_data_t hello;
    static const char key[] = "bogo";
    tr_tls_config_t tls_config = {.profile = &hello.profile,
                                  .flags = TR_TLS_NO_VERIFY | (config->early_data ? TR_TLS_EARLY_DATA : 0u),
                                  .ticket_key = key};
    bool good = false;
    memset(&hello, 0, sizeof(hello));
    if (!build_hello(&hello, config)) {
        return UNIMPLEMENTED;
    }
    tls_config.rnd = tr_rand_system;
    tls_config.now_ms = shim->now_ms;
    tls_config.tickets = tr_tickets_new();
    if (config->cert_file != NULL && config->key_file != NULL &&
        (tls_config.identity = load_identity(config)) == NULL) {
        return UNIMPLEMENTED;
    }
    if (is_resume && *session == NULL) {
        complain("no session to offer");
        return 1;
    }
    if (*session != NULL) {
        tr_tickets_put(tls_config.tickets, tr_slice_cstr(key), *session);
        *session = NULL;
    }
    tr_err_clear(&shim->err);
    /* An address is never sent as server_name. */
    const char *host = config->host_name == NULL ? "127.0.0.1" : config->host_name;
    tr_code_t code = tr_tls_new(&shim->tls, &tls_config, host, &shim->err);
    if (code == TR_OK) {
        code = open_socket(shim) ? exchange(shim, config, is_resume, &good)
                                 : tr_err_set(&shim->err, TR_ERR_CONNECT_FAILED, errno, "bogo_shim.connect", NULL);
    }
    if (tr_failed(code)) {
        good = false;
        fprintf(stderr, "%s at %s, detail %d: %s\n", tr_err_name(code), shim->err.where, (int)shim->err.detail,
                shim->err.msg);
    }
    *session = tr_tickets_take(tls_config.tickets, tr_slice_cstr(key), shim->now_ms, true);
    if (good && !config->send_alert) {
        good = check_session(shim, config, *session);
    }
    close_socket(shim);
    tr_bufq_consume(&shim->plain, shim->plain.len);
    tr_buf_clear(&shim->wire);
    tr_tls_free(shim->tls);
    shim->tls = NULL;
    tr_identity_unref(tls_config.identity);
    tr_tickets_free(tls_config.tickets);
    return good ? 0 : 1;
}

int
main(int argc, char **argv)
{
    static shim_t shim = {.fd = -1};
    tr_session_ticket_t *session = NULL;
    struct timespec now;
    tr_trace_init();
    tr_buf_init(&shim.wire);
    tr_bufq_init(&shim.plain, 0);
    clock_gettime(CLOCK_REALTIME, &now);
    shim.now_ms = (uint64_t)now.tv_sec * 1000;
    int status = parse_flags(&shim, argc, argv);
    for (unsigned long i = 0; status == 0 && i <= shim.resume_count; i++) {
        const config_t *config = &shim.configs[i > 0];
        status = connect_once(&shim, config, i > 0, &session);
        shim.now_ms += config->resumption_delay * 1000;
    }
    tr_session_ticket_free(session);
    tr_bufq_cleanup(&shim.plain);
    tr_buf_cleanup(&shim.wire);
    fputs("--- DONE ---\n", stderr);
    return status;
}

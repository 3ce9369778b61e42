#include "net/proxy.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>

#include "core/mem.h"
#include "crypto/hash.h"

struct tr_proxy {
    atomic_uint refs;
    tr_proxy_forward_t forward;
    size_t num_hops;
    size_t num_fields;
    tr_proxy_hop_t hops[TR_PROXY_MAX_HOPS];
    tr_proxy_field_t fields[TR_PROXY_MAX_FIELDS]; /* names and values are owned */
    char digest[TR_PROXY_DIGEST_LEN + 1];
    char way_digest[TR_PROXY_DIGEST_LEN + 1];
};

typedef struct kind_row {
    const char *scheme;
    tr_proxy_kind_t kind;
    uint16_t port;
} kind_row_t;

static const kind_row_t kinds[] = {
    {"http", TR_PROXY_HTTP, 80},        {"https", TR_PROXY_HTTPS, 443},     {"socks4", TR_PROXY_SOCKS4, 1080},
    {"socks4a", TR_PROXY_SOCKS4A, 1080}, {"socks5", TR_PROXY_SOCKS5, 1080}, {"socks5h", TR_PROXY_SOCKS5H, 1080},
};

static tr_code_t
invalid(tr_err_t *err, const char *why)
{
    return tr_err_set(err, TR_ERR_PROXY_INVALID, 0, "proxy.parse", "The proxy cannot be used: %s.", why);
}

/* ------------------------------------------------------------------------------------------------------------ parsing */

static int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = tr_ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes into a new text. NULL with *bad: there is a NUL in it; NULL alone: out of memory. */
static char *
decode(tr_slice_t in, bool *bad)
{
    char *out = tr_malloc(in.len + 1);
    size_t len = 0;
    for (size_t i = 0; out != NULL && i < in.len; i++) {
        int high = in.data[i] == '%' && in.len - i > 2 ? hex_digit(in.data[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(in.data[i + 2]) : -1;
        out[len++] = (char)(low >= 0 ? high << 4 | low : in.data[i]);
        i += low >= 0 ? 2 : 0;
        if (out[len - 1] == 0) {
            tr_wipe(out, in.len + 1);
            tr_free(out);
            *bad = true;
            return NULL;
        }
    }
    if (out != NULL) {
        out[len] = 0;
    }
    return out;
}

static size_t
find_byte(tr_slice_t text, uint8_t byte)
{
    size_t at = 0;
    while (at < text.len && text.data[at] != byte) {
        at++;
    }
    return at;
}

static tr_slice_t
drop(tr_slice_t text, size_t num)
{
    return tr_slice(text.data + num, text.len - num);
}

/* RFC 1929 2: one length byte each; the password must not be empty. SOCKS4 has a user's name alone, with a NUL behind it. */
static tr_code_t
check_auth(const tr_proxy_hop_t *hop, tr_err_t *err)
{
    size_t user = strlen(hop->user), password = strlen(hop->password);
    if ((hop->kind == TR_PROXY_SOCKS4 || hop->kind == TR_PROXY_SOCKS4A) && password > 0) {
        return invalid(err, "SOCKS4 knows no passwords");
    }
    if ((hop->kind == TR_PROXY_SOCKS5 || hop->kind == TR_PROXY_SOCKS5H) &&
        (user == 0 || password == 0 || user > 255 || password > 255)) {
        return invalid(err, "SOCKS5 takes a user and a password of 1 to 255 bytes");
    }
    return TR_OK;
}

static tr_code_t
read_userinfo(tr_proxy_hop_t *hop, tr_slice_t info, tr_err_t *err)
{
    bool bad = false;
    size_t colon = find_byte(info, ':');
    hop->user = decode(tr_slice(info.data, colon), &bad);
    hop->password = bad ? NULL : decode(colon < info.len ? drop(info, colon + 1) : tr_slice("", 0), &bad);
    if (bad) {
        return invalid(err, "its credentials have a NUL");
    }
    if (hop->user == NULL || hop->password == NULL) {
        return tr_err_nomem(err, "proxy.parse");
    }
    hop->has_auth = true;
    return check_auth(hop, err);
}

static tr_code_t
read_port(tr_proxy_hop_t *hop, tr_slice_t text, tr_err_t *err)
{
    uint32_t port = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || (port = port * 10 + (text.data[i] - '0')) > 65535) {
            return invalid(err, "its port is no number from 1 to 65535");
        }
    }
    if (port != 0) {
        hop->port = (uint16_t)port;
    }
    return TR_OK;
}

static tr_code_t
read_host(tr_proxy_hop_t *hop, tr_slice_t text, tr_err_t *err)
{
    tr_slice_t host = text, port = TR_SLICE_NULL;
    int family;
    bool brackets = text.len > 0 && text.data[0] == '[';
    if (brackets) {
        size_t close = find_byte(text, ']');
        if (close == text.len || (close + 1 < text.len && text.data[close + 1] != ':')) {
            return invalid(err, "its IPv6 address has no end");
        }
        host = tr_slice(text.data + 1, close - 1);
        port = close + 1 < text.len ? drop(text, close + 2) : TR_SLICE_NULL;
    } else {
        size_t colon = find_byte(text, ':');
        host = tr_slice(text.data, colon);
        port = colon < text.len ? drop(text, colon + 1) : TR_SLICE_NULL;
    }
    if (host.len == 0 || host.len > 255) {
        return invalid(err, "its host is empty or longer than 255 bytes");
    }
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = tr_ascii_lower(host.data[i]);
        bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' ||
                  (brackets && (c == ':' || c == '%'));
        if (!ok) {
            return invalid(err, "its host has characters that no host name has");
        }
    }
    hop->host = tr_strndup(host.data, host.len);
    if (hop->host == NULL) {
        return tr_err_nomem(err, "proxy.parse");
    }
    if (brackets && (!tr_proxy_is_ip(hop->host, &family) || family != AF_INET6) && find_byte(host, '%') == host.len) {
        return invalid(err, "there is no IPv6 address in its brackets");
    }
    return read_port(hop, port, err);
}

static tr_code_t
read_hop(tr_proxy_hop_t *hop, tr_slice_t url, tr_err_t *err)
{
    const kind_row_t *row = NULL;
    if (url.len > TR_PROXY_MAX_URL) {
        return invalid(err, "its address is longer than 4096 bytes");
    }
    size_t colon = find_byte(url, ':');
    if (url.len - colon < 3 || url.data[colon + 1] != '/' || url.data[colon + 2] != '/') {
        return invalid(err, "its address has no scheme");
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(kinds); i++) {
        if (tr_slice_ieq(tr_slice(url.data, colon), tr_slice_cstr(kinds[i].scheme))) {
            row = &kinds[i];
        }
    }
    if (row == NULL) {
        return invalid(err, "its scheme is none of http, https, socks4, socks4a, socks5, socks5h");
    }
    hop->kind = row->kind;
    hop->port = row->port;
    tr_slice_t authority = drop(url, colon + 3);
    size_t end = TR_MIN(TR_MIN(find_byte(authority, '/'), find_byte(authority, '?')), find_byte(authority, '#'));
    authority.len = end;
    size_t at = authority.len;
    while (at > 0 && authority.data[at - 1] != '@') {
        at--;
    }
    if (at > 1) { /* "@host" has no credentials */
        tr_code_t code = read_userinfo(hop, tr_slice(authority.data, at - 1), err);
        if (code != TR_OK) {
            return code;
        }
    }
    return read_host(hop, drop(authority, at), err);
}

/* RFC 9110 5.6.2 and 5.5. net/ stands beside http/, not on it. */
static bool
is_field(const tr_proxy_field_t *field)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < field->name.len; i++) {
        uint8_t c = tr_ascii_lower(field->name.data[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c != 0 && strchr(others, c) != NULL))) {
            return false;
        }
    }
    for (size_t i = 0; i < field->value.len; i++) {
        uint8_t c = field->value.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return field->name.len > 0;
}

static tr_code_t
copy_fields(tr_proxy_t *proxy, const tr_proxy_field_t *fields, size_t num, tr_err_t *err)
{
    size_t total = 0;
    if (num > TR_PROXY_MAX_FIELDS) {
        return invalid(err, "it has more than 32 headers for CONNECT");
    }
    for (size_t i = 0; i < num; i++) {
        tr_proxy_field_t *to = &proxy->fields[i];
        if (!is_field(&fields[i])) {
            return tr_err_set(err, TR_ERR_HEADER_INVALID, 0, "proxy.field",
                              "A header for CONNECT has a name or value that cannot be sent.");
        }
        total = fields[i].name.len > TR_PROXY_MAX_FIELD_BYTES || fields[i].value.len > TR_PROXY_MAX_FIELD_BYTES
                    ? TR_PROXY_MAX_FIELD_BYTES + 1
                    : total + fields[i].name.len + fields[i].value.len;
        if (total > TR_PROXY_MAX_FIELD_BYTES) {
            return invalid(err, "its headers for CONNECT are longer than 16384 bytes");
        }
        void *name = tr_memdup(fields[i].name.data, fields[i].name.len);
        to->name = tr_slice(name, fields[i].name.len);
        proxy->num_fields++;
        if (name == NULL) {
            return tr_err_nomem(err, "proxy.field");
        }
        if (fields[i].value.data != NULL) {
            void *value = tr_memdup(fields[i].value.data, fields[i].value.len);
            to->value = tr_slice(value, fields[i].value.len);
            if (value == NULL) {
                return tr_err_nomem(err, "proxy.field");
            }
        }
    }
    return TR_OK;
}

/* ------------------------------------------------------------------------------------------------------------- digest */

/* Each part with its length before it, so that no two ways have the same bytes. */
static tr_code_t
add_part(tr_hash_ctx_t *hash, const void *data, size_t len)
{
    uint64_t prefix = data == NULL ? UINT64_MAX : len;
    tr_code_t code = tr_hash_update(hash, &prefix, sizeof(prefix));
    return code == TR_OK && len > 0 ? tr_hash_update(hash, data, len) : code;
}

static tr_code_t
write_digest(const tr_hash_ctx_t *hash, char out[TR_PROXY_DIGEST_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t raw[TR_HASH_MAX];
    tr_code_t code = tr_hash_peek(hash, raw);
    for (size_t i = 0; code == TR_OK && i < TR_PROXY_DIGEST_LEN / 2; i++) {
        out[2 * i] = digits[raw[i] >> 4];
        out[2 * i + 1] = digits[raw[i] & 15];
    }
    return code;
}

static tr_code_t
make_digests(tr_proxy_t *proxy, tr_err_t *err)
{
    tr_hash_ctx_t *hash = tr_hash_new(TR_HASH_SHA256);
    tr_code_t code = hash == NULL ? TR_ERR_NOMEM : TR_OK;
    for (size_t i = 0; code == TR_OK && i < proxy->num_hops; i++) {
        const tr_proxy_hop_t *hop = &proxy->hops[i];
        uint32_t numbers[2] = {(uint32_t)hop->kind, hop->port};
        if ((code = add_part(hash, numbers, sizeof(numbers))) == TR_OK && (code = add_part(hash, hop->host, strlen(hop->host))) == TR_OK &&
            (code = add_part(hash, hop->user, hop->has_auth ? strlen(hop->user) : 0)) == TR_OK) {
            code = add_part(hash, hop->password, hop->has_auth ? strlen(hop->password) : 0);
        }
    }
    for (size_t i = 0; code == TR_OK && i < proxy->num_fields; i++) {
        code = add_part(hash, proxy->fields[i].name.data, proxy->fields[i].name.len);
        if (code == TR_OK) {
            code = add_part(hash, proxy->fields[i].value.data, proxy->fields[i].value.len);
        }
    }
    if (code == TR_OK && (code = write_digest(hash, proxy->way_digest)) == TR_OK &&
        (code = tr_hash_update(hash, &proxy->forward, sizeof(proxy->forward))) == TR_OK) {
        code = write_digest(hash, proxy->digest);
    }
    tr_hash_free(hash);
    return code == TR_OK ? TR_OK : tr_err_nomem(err, "proxy.digest");
}

/* --------------------------------------------------------------------------------------------------------------- life */

static void
free_secret(char *text)
{
    if (text != NULL) {
        tr_wipe(text, strlen(text));
        tr_free(text);
    }
}

tr_code_t
tr_proxy_new(tr_proxy_t **out, const tr_slice_t *urls, size_t num_urls, tr_proxy_forward_t forward,
             const tr_proxy_field_t *fields, size_t num_fields, tr_err_t *err)
{
    tr_code_t code = TR_OK;
    *out = NULL;
    if (num_urls == 0 || num_urls > TR_PROXY_MAX_HOPS) {
        return invalid(err, "a chain has 1 to 8 proxies");
    }
    tr_proxy_t *proxy = tr_calloc(1, sizeof(*proxy));
    if (proxy == NULL) {
        return tr_err_nomem(err, "proxy.new");
    }
    atomic_init(&proxy->refs, 1);
    proxy->forward = forward;
    for (size_t i = 0; code == TR_OK && i < num_urls; i++) {
        proxy->num_hops++;
        code = read_hop(&proxy->hops[i], urls[i], err);
    }
    if (code == TR_OK && (code = copy_fields(proxy, fields, num_fields, err)) == TR_OK) {
        code = make_digests(proxy, err);
    }
    if (code != TR_OK) {
        tr_proxy_unref(proxy);
        return code;
    }
    *out = proxy;
    return TR_OK;
}

tr_code_t
tr_proxy_prefix(tr_proxy_t **out, tr_proxy_t *proxy, size_t num_hops, tr_err_t *err)
{
    tr_code_t code = TR_OK;
    *out = NULL;
    if (num_hops == proxy->num_hops) {
        *out = tr_proxy_ref(proxy);
        return TR_OK;
    }
    tr_proxy_t *prefix = tr_calloc(1, sizeof(*prefix));
    if (prefix == NULL) {
        return tr_err_nomem(err, "proxy.prefix");
    }
    atomic_init(&prefix->refs, 1);
    prefix->forward = proxy->forward;
    for (size_t i = 0; code == TR_OK && i < num_hops; i++) {
        const tr_proxy_hop_t *from = &proxy->hops[i];
        tr_proxy_hop_t *to = &prefix->hops[prefix->num_hops++];
        *to = (tr_proxy_hop_t){.kind = from->kind, .port = from->port, .has_auth = from->has_auth};
        to->host = tr_strndup(from->host, strlen(from->host));
        to->user = from->has_auth ? tr_strndup(from->user, strlen(from->user)) : NULL;
        to->password = from->has_auth ? tr_strndup(from->password, strlen(from->password)) : NULL;
        if (to->host == NULL || (from->has_auth && (to->user == NULL || to->password == NULL))) {
            code = tr_err_nomem(err, "proxy.prefix");
        }
    }
    if (code == TR_OK && (code = copy_fields(prefix, proxy->fields, proxy->num_fields, err)) == TR_OK) {
        code = make_digests(prefix, err);
    }
    if (code != TR_OK) {
        tr_proxy_unref(prefix);
        return code;
    }
    *out = prefix;
    return TR_OK;
}

tr_proxy_t *
tr_proxy_ref(tr_proxy_t *proxy)
{
    atomic_fetch_add_explicit(&proxy->refs, 1, memory_order_relaxed);
    return proxy;
}

void
tr_proxy_unref(tr_proxy_t *proxy)
{
    if (proxy == NULL || atomic_fetch_sub_explicit(&proxy->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < proxy->num_hops; i++) {
        tr_free(proxy->hops[i].host);
        free_secret(proxy->hops[i].user);
        free_secret(proxy->hops[i].password);
    }
    for (size_t i = 0; i < proxy->num_fields; i++) {
        tr_free((void *)(uintptr_t)proxy->fields[i].name.data);
        if (proxy->fields[i].value.data != NULL) {
            tr_wipe((void *)(uintptr_t)proxy->fields[i].value.data, proxy->fields[i].value.len);
            tr_free((void *)(uintptr_t)proxy->fields[i].value.data);
        }
    }
    tr_free(proxy);
}

size_t
tr_proxy_num_hops(const tr_proxy_t *proxy)
{
    return proxy->num_hops;
}

const tr_proxy_hop_t *
tr_proxy_hop(const tr_proxy_t *proxy, size_t index)
{
    return &proxy->hops[index];
}

tr_proxy_forward_t
tr_proxy_forward(const tr_proxy_t *proxy)
{
    return proxy->forward;
}

size_t
tr_proxy_num_fields(const tr_proxy_t *proxy)
{
    return proxy->num_fields;
}

const tr_proxy_field_t *
tr_proxy_field(const tr_proxy_t *proxy, size_t index)
{
    return &proxy->fields[index];
}

bool
tr_proxy_last_is_http(const tr_proxy_t *proxy)
{
    tr_proxy_kind_t kind = proxy->hops[proxy->num_hops - 1].kind;
    return kind == TR_PROXY_HTTP || kind == TR_PROXY_HTTPS;
}

bool
tr_proxy_has_tls(const tr_proxy_t *proxy)
{
    for (size_t i = 0; i < proxy->num_hops; i++) {
        if (proxy->hops[i].kind == TR_PROXY_HTTPS) {
            return true;
        }
    }
    return false;
}

const char *
tr_proxy_digest(const tr_proxy_t *proxy)
{
    return proxy->digest;
}

const char *
tr_proxy_way_digest(const tr_proxy_t *proxy)
{
    return proxy->way_digest;
}

/* ------------------------------------------------------------------------------------------------------- for the hops */

tr_code_t
tr_proxy_basic(char **out, size_t *out_len, const tr_proxy_hop_t *hop)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t user = strlen(hop->user), password = strlen(hop->password), plain_len = user + 1 + password;
    char *plain = tr_malloc(plain_len);
    char *text = tr_malloc(6 + (plain_len + 2) / 3 * 4);
    *out = NULL;
    if (plain == NULL || text == NULL) {
        tr_free(plain);
        tr_free(text);
        return TR_ERR_NOMEM;
    }
    memcpy(plain, hop->user, user);
    plain[user] = ':';
    memcpy(plain + user + 1, hop->password, password);
    memcpy(text, "Basic ", 6);
    size_t len = 6;
    for (size_t i = 0; i < plain_len; i += 3) {
        size_t num = TR_MIN((size_t)3, plain_len - i);
        uint32_t bits = (uint32_t)(uint8_t)plain[i] << 16;
        bits |= num > 1 ? (uint32_t)(uint8_t)plain[i + 1] << 8 : 0;
        bits |= num > 2 ? (uint8_t)plain[i + 2] : 0;
        text[len++] = digits[bits >> 18];
        text[len++] = digits[bits >> 12 & 63];
        text[len++] = num > 1 ? digits[bits >> 6 & 63] : '=';
        text[len++] = num > 2 ? digits[bits & 63] : '=';
    }
    tr_wipe(plain, plain_len);
    tr_free(plain);
    *out = text;
    *out_len = len;
    return TR_OK;
}

bool
tr_proxy_is_ip(const char *host, int *out_family)
{
    uint8_t address[16];
    *out_family = inet_pton(AF_INET, host, address) == 1 ? AF_INET : inet_pton(AF_INET6, host, address) == 1 ? AF_INET6 : AF_UNSPEC;
    return *out_family != AF_UNSPEC;
}

static tr_code_t
blamed(tr_code_t code)
{
    switch ((int)code) {
    case TR_ERR_DNS_NOT_FOUND:
    case TR_ERR_DNS_FAILED:
    case TR_ERR_CONNECT_REFUSED:
    case TR_ERR_CONNECT_UNREACHABLE:
    case TR_ERR_CONNECT_FAILED:
        return TR_ERR_PROXY_CONNECT;
    case TR_ERR_TIMEOUT_CONNECT:
    case TR_ERR_TIMEOUT_TLS:
        return TR_ERR_PROXY_TIMEOUT;
    case TR_EOF:
    case TR_ERR_CONNECT_RESET:
    case TR_ERR_CLOSED_EARLY:
    case TR_ERR_H2_RESET:
    case TR_ERR_H2_REFUSED:
    case TR_ERR_H2_GOAWAY:
    case TR_ERR_H2_CALM:
        return TR_ERR_PROXY_CLOSED;
    case TR_ERR_TLS_CERTIFICATE:
    case TR_ERR_TLS_HOSTNAME:
        return TR_ERR_PROXY_CERTIFICATE;
    case TR_ERR_TLS_ALERT:
    case TR_ERR_TLS_PROTOCOL:
    case TR_ERR_TLS_NOT_TLS:
    case TR_ERR_TLS_VERSION:
    case TR_ERR_TLS_CLOSED:
    case TR_ERR_TLS_UNSUPPORTED:
    case TR_ERR_TLS_BAD_RECORD:
        return TR_ERR_PROXY_TLS;
    case TR_ERR_LIMIT:
    case TR_ERR_HEADER_LIMIT:
    case TR_ERR_H1_PROTOCOL:
    case TR_ERR_H2_PROTOCOL:
    case TR_ERR_H2_STREAM_PROTOCOL:
        return TR_ERR_PROXY_PROTOCOL;
    default:
        return code;
    }
}

void
tr_proxy_blame(tr_err_t *err, const tr_proxy_hop_t *hop)
{
    char msg[TR_ERR_MSG_LEN];
    tr_code_t code = blamed(err->code);
    if (code == err->code) {
        return;
    }
    memcpy(msg, err->msg, sizeof(msg));
    (void)tr_err_set(err, code, err->detail, err->where, "proxy %.60s:%u: %.80s", hop->host, (unsigned)hop->port, msg);
}

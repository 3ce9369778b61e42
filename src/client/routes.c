#include "client/routes.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "core/mem.h"

/* One exception. */
typedef struct rule {
    tr_slice_t name;  /* in the text of the routes, without a leading dot; empty: an address, or every host */
    uint16_t port;    /* 0: any */
    uint8_t family;   /* AF_INET, AF_INET6; 0: a name */
    uint8_t bits;     /* of the address that must agree */
    bool all;
    uint8_t address[16];
} rule_t;

struct tr_routes {
    atomic_uint refs;
    tr_proxy_t *http, *https; /* referenced; NULL: straight */
    char *text;               /* owned */
    rule_t *rules;            /* owned */
    size_t num_rules;
};

/* text as an address; 0: it is none. */
static uint8_t
read_address(tr_slice_t text, uint8_t out[16])
{
    char copy[INET6_ADDRSTRLEN + 1];
    if (text.len == 0 || text.len >= sizeof(copy)) {
        return 0;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = 0;
    return inet_pton(AF_INET, copy, out) == 1 ? AF_INET : inet_pton(AF_INET6, copy, out) == 1 ? AF_INET6 : 0;
}

static bool
read_number(tr_slice_t text, uint32_t max, uint32_t *out)
{
    uint32_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || (value = value * 10 + (text.data[i] - '0')) > max) {
            return false;
        }
    }
    *out = value;
    return text.len > 0;
}

static size_t
last_byte(tr_slice_t text, uint8_t byte)
{
    size_t at = text.len;
    while (at > 0 && text.data[at - 1] != byte) {
        at--;
    }
    return at == 0 ? text.len : at - 1;
}

/* One word of the list. What cannot be meant is a name that no host has. */
static rule_t
read_rule(tr_slice_t word)
{
    rule_t rule = {.bits = 0};
    uint32_t number;
    if (tr_slice_eq(word, TR_SLICE_LIT("*"))) {
        rule.all = true;
        return rule;
    }
    size_t slash = last_byte(word, '/');
    uint8_t family = read_address(tr_slice(word.data, slash), rule.address);
    if (family != 0) {
        uint32_t max = family == AF_INET ? 32 : 128;
        bool ok = slash == word.len || read_number(tr_slice(word.data + slash + 1, word.len - slash - 1), max, &number);
        rule.family = ok ? family : 0;
        rule.bits = (uint8_t)(ok && slash < word.len ? number : max);
        rule.name = ok ? TR_SLICE_NULL : word;
        return rule;
    }
    size_t colon = last_byte(word, ':');
    if (colon < word.len && read_number(tr_slice(word.data + colon + 1, word.len - colon - 1), 65535, &number)) {
        rule.port = (uint16_t)number;
        word.len = colon;
    }
    if (word.len > 2 && word.data[0] == '[' && word.data[word.len - 1] == ']') {
        word = tr_slice(word.data + 1, word.len - 2);
    }
    family = read_address(word, rule.address);
    if (family != 0) {
        rule.family = family;
        rule.bits = family == AF_INET ? 32 : 128;
        return rule;
    }
    if (word.len > 1 && word.data[0] == '*' && word.data[1] == '.') {
        word = tr_slice(word.data + 1, word.len - 1);
    }
    rule.name = word.len > 0 && word.data[0] == '.' ? tr_slice(word.data + 1, word.len - 1) : word;
    return rule;
}

static bool
is_separator(char c)
{
    return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == ';';
}

static tr_code_t
read_rules(tr_routes_t *routes, size_t len, tr_err_t *err)
{
    const char *text = routes->text;
    size_t num = 0;
    for (size_t i = 0; i < len; i++) {
        num += !is_separator(text[i]) && (i == 0 || is_separator(text[i - 1])) ? 1 : 0;
    }
    if (num > TR_PROXY_MAX_EXCEPTIONS) {
        return tr_err_set(err, TR_ERR_INVALID_ARGUMENT, 0, "routes.exceptions", "no_proxy has more than %d entries.",
                          TR_PROXY_MAX_EXCEPTIONS);
    }
    routes->rules = num == 0 ? NULL : tr_calloc(num, sizeof(*routes->rules));
    if (num > 0 && routes->rules == NULL) {
        return tr_err_nomem(err, "routes.new");
    }
    for (size_t i = 0; i < len;) {
        size_t start = i;
        while (i < len && !is_separator(text[i])) {
            i++;
        }
        if (i > start) {
            routes->rules[routes->num_rules++] = read_rule(tr_slice(text + start, i - start));
        } else {
            i++;
        }
    }
    return TR_OK;
}

tr_code_t
tr_routes_new(tr_routes_t **out, tr_proxy_t *http, tr_proxy_t *https, tr_slice_t exceptions, tr_err_t *err)
{
    *out = NULL;
    tr_routes_t *routes = tr_calloc(1, sizeof(*routes));
    if (routes == NULL) {
        return tr_err_nomem(err, "routes.new");
    }
    atomic_init(&routes->refs, 1);
    routes->http = http == NULL ? NULL : tr_proxy_ref(http);
    routes->https = https == NULL ? NULL : tr_proxy_ref(https);
    tr_code_t code = TR_OK;
    if (exceptions.len > 0) {
        routes->text = tr_strndup(exceptions.data, exceptions.len);
        code = routes->text == NULL ? tr_err_nomem(err, "routes.new") : read_rules(routes, exceptions.len, err);
    }
    if (code != TR_OK) {
        tr_routes_unref(routes);
        return code;
    }
    *out = routes;
    return TR_OK;
}

tr_routes_t *
tr_routes_ref(tr_routes_t *routes)
{
    atomic_fetch_add_explicit(&routes->refs, 1, memory_order_relaxed);
    return routes;
}

void
tr_routes_unref(tr_routes_t *routes)
{
    if (routes == NULL || atomic_fetch_sub_explicit(&routes->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    tr_proxy_unref(routes->http);
    tr_proxy_unref(routes->https);
    tr_free(routes->text);
    tr_free(routes->rules);
    tr_free(routes);
}

static bool
same_bits(const uint8_t *a, const uint8_t *b, size_t bits)
{
    size_t whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole) != 0) {
        return false;
    }
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool
rule_matches(const rule_t *rule, const tr_url_t *url, uint8_t family, const uint8_t address[16])
{
    if (rule->all) {
        return true;
    }
    if (rule->port != 0 && rule->port != url->port) {
        return false;
    }
    if (rule->family != 0) {
        return rule->family == family && same_bits(rule->address, address, rule->bits);
    }
    tr_slice_t host = url->host, name = rule->name;
    if (host.len > 0 && host.data[host.len - 1] == '.') {
        host.len--;
    }
    if (family != 0 || name.len == 0 || host.len < name.len) {
        return false;
    }
    size_t before = host.len - name.len;
    return tr_slice_ieq(tr_slice(host.data + before, name.len), name) && (before == 0 || host.data[before - 1] == '.');
}

tr_proxy_t *
tr_routes_pick(const tr_routes_t *routes, const tr_url_t *url)
{
    if (routes == NULL) {
        return NULL;
    }
    if (routes->num_rules > 0) {
        uint8_t address[16];
        uint8_t family = read_address(url->host, address);
        for (size_t i = 0; i < routes->num_rules; i++) {
            if (rule_matches(&routes->rules[i], url, family, address)) {
                return NULL;
            }
        }
    }
    return tr_url_is_https(url) ? routes->https : routes->http;
}

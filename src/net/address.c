/* Addresses: text, parsing, and which of them are not public. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "net/filter.h"

static void
unix_text(const tr_address_t *address, char *out, size_t cap)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
    size_t start = offsetof(struct sockaddr_un, sun_path);
    size_t len = address->len > start ? address->len - start : 0;
    bool abstract = len > 0 && un->sun_path[0] == 0;
    len = abstract ? len - 1 : strnlen(un->sun_path, len);
    (void)snprintf(out, cap, "unix:%s%.*s", abstract ? "@" : "", (int)len, un->sun_path + (abstract ? 1 : 0));
}

void
tr_address_text(const tr_address_t *address, char *out, size_t cap)
{
    char text[INET6_ADDRSTRLEN];
    out[0] = 0;
    if (address->storage.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address->storage;
        if (inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)) != NULL) {
            (void)snprintf(out, cap, "%s:%u", text, (unsigned)ntohs(in->sin_port));
        }
    } else if (address->storage.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address->storage;
        if (inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)) != NULL) {
            (void)snprintf(out, cap, "[%s]:%u", text, (unsigned)ntohs(in6->sin6_port));
        }
    } else if (address->storage.ss_family == AF_UNIX) {
        unix_text(address, out, cap);
    }
}

bool
tr_address_parse(tr_address_t *out, const char *text, uint16_t port)
{
    struct addrinfo hints, *list = NULL;
    memset(out, 0, sizeof(*out));
    struct sockaddr_in *in = (struct sockaddr_in *)&out->storage;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) { /* the short forms of inet_aton are no addresses here */
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        out->len = sizeof(*in);
        return true;
    }
    memset(&hints, 0, sizeof(hints));
    hints.ai_family = AF_INET6;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST;
    if (strchr(text, ':') == NULL || getaddrinfo(text, NULL, &hints, &list) != 0) {
        return false;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->storage;
    memcpy(in6, list->ai_addr, sizeof(*in6));
    in6->sin6_port = htons(port);
    out->len = sizeof(*in6);
    freeaddrinfo(list);
    return true;
}

bool
tr_address_unix(tr_address_t *out, const char *path, size_t path_len)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->storage;
    bool abstract = path_len > 0 && path[0] == 0;
    memset(out, 0, sizeof(*out));
    if (path_len == 0 || path_len >= sizeof(un->sun_path) || (!abstract && memchr(path, 0, path_len) != NULL)) {
        return false;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, path_len);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_len + (abstract ? 0 : 1));
    return true;
}

/* ---------------------------------------------------------------------------------------------- not of the public Internet */

typedef struct block {
    uint8_t prefix[16];
    uint8_t bits;
} block_t;

/* IANA's special-purpose registry of IPv4 (RFC 6890), multicast (RFC 5771) and what is reserved above it (RFC 1112 4). */
static const block_t blocks4[] = {
    {{0}, 8},              /* this network */
    {{10}, 8},             /* private, RFC 1918 */
    {{100, 64}, 10},       /* shared, RFC 6598 */
    {{127}, 8},            /* loopback */
    {{169, 254}, 16},      /* link-local; cloud metadata */
    {{172, 16}, 12},       /* private */
    {{192, 0, 0}, 24},     /* protocol assignments */
    {{192, 0, 2}, 24},     /* documentation */
    {{192, 88, 99}, 24},   /* 6to4 relays, deprecated */
    {{192, 168}, 16},      /* private */
    {{198, 18}, 15},       /* benchmarks */
    {{198, 51, 100}, 24},  /* documentation */
    {{203, 0, 113}, 24},   /* documentation */
    {{224}, 3},            /* multicast, reserved, broadcast */
};

/* Only 2000::/3 is given out; of that, the registry of IPv6. */
static const block_t blocks6[] = {
    {{0x20, 0x01, 0x00}, 23},             /* protocol assignments, Teredo */
    {{0x20, 0x01, 0x0d, 0xb8}, 32},       /* documentation */
    {{0x3f, 0xff, 0x00}, 20},             /* documentation, RFC 9637 */
};

static bool
in_block(const uint8_t *bytes, const block_t *block)
{
    size_t whole = block->bits / 8;
    uint8_t mask = (uint8_t)(0xff00u >> (block->bits % 8));
    return memcmp(bytes, block->prefix, whole) == 0 && (mask == 0 || ((bytes[whole] ^ block->prefix[whole]) & mask) == 0);
}

static bool
is_private4(const uint8_t *bytes)
{
    for (size_t i = 0; i < TR_ARRAY_LEN(blocks4); i++) {
        if (in_block(bytes, &blocks4[i])) {
            return true;
        }
    }
    return false;
}

static bool
is_private6(const uint8_t *bytes)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0 || memcmp(bytes, nat64, sizeof(nat64)) == 0) {
        return is_private4(bytes + 12); /* RFC 4291 2.5.5.2, RFC 6052: an IPv4 host is meant */
    }
    if (bytes[0] == 0x20 && bytes[1] == 0x02) {
        return is_private4(bytes + 2); /* 6to4, RFC 3056 */
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(blocks6); i++) {
        if (in_block(bytes, &blocks6[i])) {
            return true;
        }
    }
    return (bytes[0] & 0xe0) != 0x20;
}

bool
tr_address_is_private(const tr_address_t *address)
{
    if (address->storage.ss_family == AF_INET) {
        return is_private4((const uint8_t *)&((const struct sockaddr_in *)&address->storage)->sin_addr);
    }
    if (address->storage.ss_family == AF_INET6) {
        return is_private6((const uint8_t *)&((const struct sockaddr_in6 *)&address->storage)->sin6_addr);
    }
    return false;
}

bool
tr_address_equal(const tr_address_t *a, const tr_address_t *b)
{
    if (a->storage.ss_family != b->storage.ss_family) {
        return false;
    }
    if (a->storage.ss_family == AF_INET) {
        const struct sockaddr_in *x = (const struct sockaddr_in *)&a->storage, *y = (const struct sockaddr_in *)&b->storage;
        return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
    }
    if (a->storage.ss_family == AF_INET6) {
        const struct sockaddr_in6 *x = (const struct sockaddr_in6 *)&a->storage, *y = (const struct sockaddr_in6 *)&b->storage;
        return x->sin6_port == y->sin6_port && x->sin6_scope_id == y->sin6_scope_id && memcmp(&x->sin6_addr, &y->sin6_addr, sizeof(x->sin6_addr)) == 0;
    }
    return false;
}

/* SOCKS: version 5 (RFC 1928) with user and password (RFC 1929), version 4 and its extension 4A. Replies are read byte for byte as far as they
 * go and no further: what comes behind them is the tunnel's. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "core/mem.h"
#include "core/trace.h"
#include "core/wr.h"
#include "net/filter.h"

/* The longest reply: head, a name of 255 bytes, its length, port. */
#define MAX_REPLY 262

static const char where[] = "net.socks";

typedef enum socks_state {
    EXPECT_METHOD,
    EXPECT_LOGIN,
    EXPECT_REPLY,      /* four bytes, and the first of the address */
    EXPECT_REPLY_REST, /* address and port */
    EXPECT_REPLY_4,
    SOCKS_DONE
} socks_state_t;

typedef struct socks {
    tr_filter_t base;
    const tr_proxy_hop_t *hop; /* lent by the proxy */
    socks_state_t state;
    bool asked;
    tr_address_t address; /* len 0: by name */
    uint16_t port;
    uint8_t in[MAX_REPLY];
    size_t have, need; /* of the reply awaited */
    tr_code_t code;    /* how it ended; TR_AGAIN: it has not */
    tr_err_t err;
    char host[];
} socks_t;

static tr_code_t
fail(socks_t *self, tr_code_t code, int detail, const char *what)
{
    return tr_err_set(&self->err, code, detail, where, "proxy %.60s:%u: %s", self->hop->host, (unsigned)self->hop->port, what);
}

static tr_code_t
malformed(socks_t *self)
{
    return fail(self, TR_ERR_PROXY_PROTOCOL, 0, "its answer is not of the SOCKS protocol");
}

/* Hands a message down; it may hold a password. */
static tr_code_t
hand_down(socks_t *self, const tr_wr_t *wr)
{
    tr_buf_t *wire = self->base.next->type->wire(self->base.next);
    if (tr_wr_end(wr) != TR_OK || tr_buf_append(wire, wr->buf->data, wr->buf->len) != TR_OK) {
        return tr_err_nomem(&self->err, where);
    }
    return TR_AGAIN;
}

static void
await(socks_t *self, socks_state_t state, size_t need)
{
    self->state = state;
    self->have = 0;
    self->need = need;
}

/* ----------------------------------------------------------------------------------------------------------- version 5 */

static const uint8_t *
raw_address(const tr_address_t *address, size_t *out_len)
{
    if (address->storage.ss_family == AF_INET6) {
        *out_len = 16;
        return ((const struct sockaddr_in6 *)&address->storage)->sin6_addr.s6_addr;
    }
    *out_len = 4;
    return (const uint8_t *)&((const struct sockaddr_in *)&address->storage)->sin_addr;
}

static tr_code_t
send_greeting(socks_t *self)
{
    uint8_t small[8];
    tr_buf_t buf;
    tr_buf_init_small(&buf, small, sizeof(small));
    tr_wr_t wr = tr_wr(&buf);
    tr_wr_u8(&wr, 5);
    tr_wr_u8(&wr, self->hop->has_auth ? 2 : 1);
    tr_wr_u8(&wr, 0);
    if (self->hop->has_auth) {
        tr_wr_u8(&wr, 2);
    }
    await(self, EXPECT_METHOD, 2);
    tr_code_t code = hand_down(self, &wr);
    tr_buf_cleanup(&buf);
    return code;
}

static tr_code_t
send_login(socks_t *self)
{
    uint8_t small[520];
    tr_buf_t buf;
    tr_buf_init_small(&buf, small, sizeof(small));
    buf.secret = true;
    tr_wr_t wr = tr_wr(&buf);
    tr_wr_u8(&wr, 1);
    tr_wr_vec(&wr, tr_slice_cstr(self->hop->user), 1); /* lengths were checked when the proxy was made */
    tr_wr_vec(&wr, tr_slice_cstr(self->hop->password), 1);
    await(self, EXPECT_LOGIN, 2);
    tr_code_t code = hand_down(self, &wr);
    tr_buf_cleanup(&buf);
    return code;
}

static tr_code_t
send_request_5(socks_t *self)
{
    uint8_t small[MAX_REPLY];
    tr_buf_t buf;
    tr_buf_init_small(&buf, small, sizeof(small));
    tr_wr_t wr = tr_wr(&buf);
    tr_wr_u24(&wr, 0x050100); /* version, CONNECT, reserved */
    if (self->address.len > 0) {
        size_t len;
        const uint8_t *raw = raw_address(&self->address, &len);
        tr_wr_u8(&wr, len == 16 ? 4 : 1);
        tr_wr_bytes(&wr, raw, len);
    } else {
        tr_wr_u8(&wr, 3);
        tr_wr_vec(&wr, tr_slice_cstr(self->host), 1);
    }
    tr_wr_u16(&wr, self->port);
    await(self, EXPECT_REPLY, 5);
    tr_code_t code = hand_down(self, &wr);
    tr_buf_cleanup(&buf);
    return code;
}

static tr_code_t
on_method(socks_t *self)
{
    if (self->in[0] != 5) {
        return malformed(self);
    }
    switch (self->in[1]) {
    case 0:
        return send_request_5(self);
    case 2:
        return self->hop->has_auth ? send_login(self) : malformed(self);
    case 0xff:
        return fail(self, TR_ERR_PROXY_AUTH, 0xff, self->hop->has_auth ? "it accepts no log-in by user and password" : "it asks for a log-in");
    default:
        return malformed(self);
    }
}

static tr_code_t
on_login(socks_t *self)
{
    if (self->in[0] != 1) {
        return malformed(self);
    }
    return self->in[1] == 0 ? send_request_5(self) : fail(self, TR_ERR_PROXY_AUTH, self->in[1], "it does not accept the credentials");
}

/* RFC 1928 6. */
static const char *
reply_text(uint8_t code)
{
    static const char *const texts[] = {
        "", "general failure", "the rule set does not allow it", "network unreachable", "host unreachable (or no such host)",
        "connection refused by the target", "TTL expired", "it cannot CONNECT", "it does not know that kind of address",
    };
    return code < TR_ARRAY_LEN(texts) ? texts[code] : "a refusal of an unknown kind";
}

static tr_code_t
on_reply(socks_t *self)
{
    const uint8_t *in = self->in;
    if (in[0] != 5) {
        return malformed(self);
    }
    if (in[1] != 0) {
        return fail(self, TR_ERR_PROXY_REFUSED, in[1], reply_text(in[1]));
    }
    size_t len = in[3] == 1 ? 4u : in[3] == 4 ? 16u : in[3] == 3 ? 1u + in[4] : 0;
    if (len == 0) {
        return malformed(self);
    }
    self->state = EXPECT_REPLY_REST;
    self->need = 4 + len + 2;
    return TR_AGAIN;
}

/* ----------------------------------------------------------------------------------------------------------- version 4 */

static tr_code_t
send_request_4(socks_t *self)
{
    static const uint8_t by_name[4] = {0, 0, 0, 1}; /* 4A: an address that cannot be, and the name behind the user */
    tr_buf_t buf = TR_BUF_INIT;
    buf.secret = true;
    tr_wr_t wr = tr_wr(&buf);
    size_t len = 4;
    tr_wr_u16(&wr, 0x0401);
    tr_wr_u16(&wr, self->port);
    tr_wr_bytes(&wr, self->address.len > 0 ? raw_address(&self->address, &len) : by_name, 4);
    if (self->hop->has_auth) {
        tr_wr_slice(&wr, tr_slice_cstr(self->hop->user));
    }
    tr_wr_u8(&wr, 0);
    if (self->address.len == 0) {
        tr_wr_bytes(&wr, self->host, strlen(self->host) + 1);
    }
    await(self, EXPECT_REPLY_4, 8);
    tr_code_t code = hand_down(self, &wr);
    tr_buf_cleanup(&buf);
    return code;
}

static tr_code_t
on_reply_4(socks_t *self)
{
    if (self->in[0] != 0) {
        return malformed(self);
    }
    switch (self->in[1]) {
    case 0x5a:
        self->state = SOCKS_DONE;
        return TR_OK;
    case 0x5b:
        return fail(self, TR_ERR_PROXY_REFUSED, 0x5b, "it refused the request, or could not connect");
    case 0x5c:
    case 0x5d:
        return fail(self, TR_ERR_PROXY_AUTH, self->in[1], "it does not accept the user");
    default:
        return malformed(self);
    }
}

/* ------------------------------------------------------------------------------------------------------------ the rest */

static tr_code_t
on_message(socks_t *self)
{
    switch (self->state) {
    case EXPECT_METHOD:
        return on_method(self);
    case EXPECT_LOGIN:
        return on_login(self);
    case EXPECT_REPLY:
        return on_reply(self);
    case EXPECT_REPLY_4:
        return on_reply_4(self);
    case EXPECT_REPLY_REST: /* the proxy's own address: nobody needs it */
        self->state = SOCKS_DONE;
        return TR_OK;
    case SOCKS_DONE:
    default:
        return tr_err_set(&self->err, TR_ERR_INTERNAL, 0, where, NULL);
    }
}

static tr_code_t
socks_recv(tr_filter_t *f, tr_bufq_t *out, tr_err_t *err)
{
    socks_t *self = (socks_t *)f;
    size_t len;
    TR_UNUSED(out);
    if (self->code != TR_AGAIN) {
        return TR_AGAIN; /* connect tells */
    }
    tr_code_t code = f->next->type->read(f->next, self->in + self->have, self->need - self->have, &len, err);
    if (code == TR_EOF) {
        self->code = fail(self, TR_ERR_PROXY_CLOSED, 0, "it closed the connection within the SOCKS handshake");
        return TR_AGAIN;
    }
    if (code != TR_OK) {
        return code;
    }
    self->have += len;
    if (self->have == self->need) {
        self->code = on_message(self);
    }
    return self->code == TR_AGAIN ? TR_OK : TR_AGAIN;
}

static tr_code_t
socks_connect(tr_filter_t *f, tr_err_t *err)
{
    socks_t *self = (socks_t *)f;
    if (!self->asked) {
        bool four = self->hop->kind == TR_PROXY_SOCKS4 || self->hop->kind == TR_PROXY_SOCKS4A;
        self->asked = true;
        self->code = four ? send_request_4(self) : send_greeting(self);
    }
    if (tr_failed(self->code) && err != NULL) {
        *err = self->err;
    }
    return self->code;
}

static tr_code_t
socks_write(tr_filter_t *f, tr_slice_t in, tr_err_t *err)
{
    TR_UNUSED(f);
    TR_UNUSED(in);
    TR_UNUSED(err);
    return TR_AGAIN;
}

static tr_code_t
socks_flush(tr_filter_t *f, tr_err_t *err)
{
    return f->next->type->flush(f->next, err);
}

static size_t
socks_pending(const tr_filter_t *f)
{
    return f->next->type->pending(f->next);
}

static void
socks_cleanup(tr_filter_t *f)
{
    tr_free(f);
}

static const tr_filter_type_t socks_type = {
    .name = "socks",
    .bottom = NULL,
    .connect = socks_connect,
    .write = socks_write,
    .flush = socks_flush,
    .pending = socks_pending,
    .recv = socks_recv,
    .wire = NULL, /* gone before anything stands above */
    .read = NULL,
    .cleanup = socks_cleanup,
};

/* host as an address, when it is one: no name for a proxy to look up. */
static void
take_address(socks_t *self, const char *host)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
        memcpy(&self->address.storage, &in, sizeof(in));
        self->address.len = sizeof(in);
    } else if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
        memcpy(&self->address.storage, &in6, sizeof(in6));
        self->address.len = sizeof(in6);
    }
}

tr_code_t
tr_socks_filter_new(tr_filter_t **out, tr_filter_t *next, const tr_proxy_t *proxy, size_t hop, const char *host, uint16_t port,
                    const tr_address_t *address, tr_err_t *err)
{
    size_t host_len = strlen(host);
    *out = NULL;
    if (host_len == 0 || host_len > 255) {
        return tr_err_set(err, TR_ERR_PROXY_REFUSED, 0, where, "A SOCKS proxy cannot be told a host name of more than 255 bytes.");
    }
    socks_t *self = tr_calloc(1, sizeof(*self) + host_len + 1);
    if (self == NULL) {
        return tr_err_nomem(err, where);
    }
    memcpy(self->host, host, host_len);
    self->base = (tr_filter_t){&socks_type, next};
    self->hop = tr_proxy_hop(proxy, hop);
    self->port = port;
    self->code = TR_AGAIN;
    self->err = TR_ERR_INIT;
    if (address != NULL) {
        self->address = *address;
    } else {
        take_address(self, host);
    }
    bool four = self->hop->kind == TR_PROXY_SOCKS4 || self->hop->kind == TR_PROXY_SOCKS4A;
    if (four && self->address.len > 0 && self->address.storage.ss_family != AF_INET) {
        tr_free(self);
        return tr_err_set(err, TR_ERR_PROXY_REFUSED, 0, where, "A SOCKS4 proxy cannot be told an IPv6 address.");
    }
    *out = &self->base;
    return TR_OK;
}

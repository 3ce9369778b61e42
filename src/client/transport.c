#include "client/transport.h"

#include <stdatomic.h>
#include <sys/socket.h>

#include "core/mem.h"
#include "core/wr.h"
#include "crypto/hash.h"

/* Entries of a table of pins or addresses: more would be searched through for each connection. */
#define MAX_ENTRIES 4096

/* Consecutive pins or addresses of one host. */
typedef struct host_entry {
    const char *host; /* in the arena, lower case */
    uint16_t port;    /* addresses only; 0: any */
    size_t first, num;
} host_entry_t;

struct tr_transport {
    atomic_uint refs;
    tr_arena_t arena;
    int family;
    tr_address_t local; /* len 0: any */
    tr_address_t unix_address; /* len 0: none */
    tr_sockopts_t socket;
    bool has_socket;
    const char *server_name;
    host_entry_t *pinned;
    size_t num_pinned;
    uint8_t (*pins)[32];
    host_entry_t *resolved;
    size_t num_resolved;
    tr_address_t *addresses;
    uint64_t dns_max_age_ns;
    bool deny_private;
    const char *keylog_path;
    tr_identity_t *identity; /* referenced */
    tr_limits_t limits;
    char id[TR_TRANSPORT_ID_LEN + 1];
};

static tr_code_t
bad(tr_err_t *err, const char *what, const char *value)
{
    return tr_err_set(err, TR_ERR_INVALID_ARGUMENT, 0, "transport.new", "%s: %.80s", what, value);
}

/* A copy in the arena; lower: of a host name, which is compared without case. */
static const char *
copy_text(tr_transport_t *t, const char *text, bool lower)
{
    char *copy = (char *)tr_arena_dup(&t->arena, tr_slice_cstr(text));
    for (char *p = copy; lower && p != NULL && *p != 0; p++) {
        *p = (char)tr_ascii_lower((uint8_t)*p);
    }
    return copy;
}

static tr_code_t
take_socket(tr_transport_t *t, const tr_transport_options_t *o, tr_err_t *err)
{
    if (o->family != AF_UNSPEC && o->family != AF_INET && o->family != AF_INET6) {
        return bad(err, "unknown address family", "");
    }
    t->family = o->family;
    if (o->local_ip != NULL && !tr_address_parse(&t->local, o->local_ip, o->local_port)) {
        return bad(err, "the local address is no IP address", o->local_ip);
    }
    if (o->local_ip != NULL && o->family != AF_UNSPEC && t->local.storage.ss_family != o->family) {
        return bad(err, "the local address is not of the family that is asked for", o->local_ip);
    }
    if (o->unix_path.len > 0 && !tr_address_unix(&t->unix_address, (const char *)o->unix_path.data, o->unix_path.len)) {
        return bad(err, "the path of the Unix socket is too long, or has a NUL", "");
    }
    size_t len = o->interface == NULL ? 0 : strlen(o->interface);
    if (len >= sizeof(t->socket.interface)) {
        return bad(err, "the name of the network interface is too long", o->interface);
    }
    if (len > 0) {
        memcpy(t->socket.interface, o->interface, len);
    }
    t->socket.keepalive_s = o->keepalive_s;
    t->socket.keepalive_interval_s = o->keepalive_interval_s;
    t->socket.keepalive_count = o->keepalive_count;
    t->has_socket = len > 0 || o->keepalive_s != 0;
    return TR_OK;
}

/* Entries of the same host (and port) must follow each other: they become one. */
static tr_code_t
add_entry(tr_transport_t *t, host_entry_t *entries, size_t *num, const char *host, uint16_t port, size_t index)
{
    host_entry_t *last = *num == 0 ? NULL : &entries[*num - 1];
    if (last != NULL && last->port == port && tr_slice_ieq(tr_slice_cstr(last->host), tr_slice_cstr(host))) {
        last->num++;
        return TR_OK;
    }
    const char *copy = copy_text(t, host, true);
    entries[(*num)++] = (host_entry_t){copy, port, index, 1};
    return copy == NULL ? TR_ERR_NOMEM : TR_OK;
}

static tr_code_t
take_tables(tr_transport_t *t, const tr_transport_options_t *o, tr_err_t *err)
{
    tr_code_t code = TR_OK;
    if (o->num_pins > MAX_ENTRIES || o->num_addresses > MAX_ENTRIES) {
        return bad(err, "too many pins or addresses", "");
    }
    t->pinned = tr_arena_alloc(&t->arena, (o->num_pins + 1) * sizeof(*t->pinned));
    t->pins = tr_arena_alloc(&t->arena, (o->num_pins + 1) * sizeof(*t->pins));
    t->resolved = tr_arena_alloc(&t->arena, (o->num_addresses + 1) * sizeof(*t->resolved));
    t->addresses = tr_arena_alloc(&t->arena, (o->num_addresses + 1) * sizeof(*t->addresses));
    if (t->pinned == NULL || t->pins == NULL || t->resolved == NULL || t->addresses == NULL) {
        return tr_err_nomem(err, "transport.new");
    }
    for (size_t i = 0; code == TR_OK && i < o->num_pins; i++) {
        memcpy(t->pins[i], o->pins[i].sha256, sizeof(t->pins[i]));
        code = add_entry(t, t->pinned, &t->num_pinned, o->pins[i].host, 0, i);
    }
    for (size_t i = 0; code == TR_OK && i < o->num_addresses; i++) {
        const tr_host_address_t *a = &o->addresses[i];
        if (!tr_address_parse(&t->addresses[i], a->ip, a->port)) {
            return bad(err, "resolve needs IP addresses", a->ip);
        }
        code = add_entry(t, t->resolved, &t->num_resolved, a->host, a->port, i);
        if (code == TR_OK && t->resolved[t->num_resolved - 1].num > TR_DNS_MAX_ADDRESSES) {
            return bad(err, "too many addresses for one host", a->host);
        }
    }
    return code == TR_OK ? TR_OK : tr_err_nomem(err, "transport.new");
}

static void
put_text(tr_wr_t *wr, const char *text)
{
    tr_slice_t slice = tr_slice_cstr(text);
    tr_wr_u32(wr, text == NULL ? UINT32_MAX : (uint32_t)slice.len);
    tr_wr_slice(wr, slice);
}

static void
put_address(tr_wr_t *wr, const tr_address_t *address)
{
    tr_wr_u32(wr, (uint32_t)address->len);
    tr_wr_bytes(wr, &address->storage, address->len);
}

static void
put_entries(tr_wr_t *wr, const host_entry_t *entries, size_t num)
{
    tr_wr_u32(wr, (uint32_t)num);
    for (size_t i = 0; i < num; i++) {
        put_text(wr, entries[i].host);
        tr_wr_u16(wr, entries[i].port);
        tr_wr_u32(wr, (uint32_t)entries[i].num);
    }
}

/* Everything that it says, hashed. A client certificate stands for its key. */
static tr_code_t
make_id(tr_transport_t *t, const tr_transport_options_t *o)
{
    static const char digits[] = "0123456789abcdef";
    const tr_limits_t *l = &t->limits;
    uint8_t digest[TR_HASH_MAX];
    tr_buf_t buf = TR_BUF_INIT;
    tr_wr_t wr = tr_wr(&buf);
    tr_wr_u32(&wr, (uint32_t)t->family);
    put_address(&wr, &t->local);
    put_address(&wr, &t->unix_address);
    put_text(&wr, t->socket.interface);
    const uint32_t numbers[] = {
        t->socket.keepalive_s, t->socket.keepalive_interval_s, t->socket.keepalive_count, t->deny_private, l->max_total,
        l->max_h1_per_host,    l->max_h2_per_host,             l->max_streams,            l->max_idle,     l->max_idle_per_host,
        l->idle_timeout_ms,    l->max_header_bytes,            l->max_ratio,              l->no_keep_alive,
        l->ping_interval_ms,   l->no_coalescing,
    };
    for (size_t i = 0; i < TR_ARRAY_LEN(numbers); i++) {
        tr_wr_u32(&wr, numbers[i]);
    }
    tr_wr_u64(&wr, l->max_decoded);
    tr_wr_u64(&wr, t->dns_max_age_ns);
    put_text(&wr, t->server_name);
    put_text(&wr, t->keylog_path);
    put_entries(&wr, t->pinned, t->num_pinned);
    tr_wr_bytes(&wr, t->pins, o->num_pins * sizeof(*t->pins));
    put_entries(&wr, t->resolved, t->num_resolved);
    for (size_t i = 0; i < o->num_addresses; i++) {
        put_address(&wr, &t->addresses[i]);
    }
    if (t->identity != NULL) {
        tr_wr_slice(&wr, tr_identity_cert(t->identity, 0));
    }
    tr_code_t code = wr.status;
    if (code == TR_OK) {
        code = tr_hash_once(TR_HASH_SHA256, digest, tr_buf_slice(&buf));
    }
    for (size_t i = 0; code == TR_OK && i < TR_TRANSPORT_ID_LEN / 2; i++) {
        t->id[2 * i] = digits[digest[i] >> 4];
        t->id[2 * i + 1] = digits[digest[i] & 15];
    }
    tr_buf_cleanup(&buf);
    return code;
}

tr_code_t
tr_transport_new(tr_transport_t **out, const tr_transport_options_t *o, tr_err_t *err)
{
    *out = NULL;
    tr_transport_t *t = tr_calloc(1, sizeof(*t));
    if (t == NULL) {
        return tr_err_nomem(err, "transport.new");
    }
    atomic_init(&t->refs, 1);
    tr_arena_init(&t->arena);
    t->limits = o->limits;
    t->dns_max_age_ns = o->dns_max_age_ns;
    t->deny_private = o->deny_private;
    t->identity = o->identity == NULL ? NULL : tr_identity_ref(o->identity);
    tr_code_t code = take_socket(t, o, err);
    if (code == TR_OK) {
        code = take_tables(t, o, err);
    }
    if (code == TR_OK) {
        t->server_name = o->server_name == NULL ? NULL : copy_text(t, o->server_name, true);
        t->keylog_path = o->keylog_path == NULL ? NULL : copy_text(t, o->keylog_path, false);
        bool lost = (o->server_name != NULL && t->server_name == NULL) || (o->keylog_path != NULL && t->keylog_path == NULL);
        if (lost || (code = make_id(t, o)) != TR_OK) {
            code = tr_err_set(err, lost ? TR_ERR_NOMEM : code, 0, "transport.new", NULL);
        }
    }
    if (code != TR_OK) {
        tr_transport_unref(t);
        return code;
    }
    *out = t;
    return TR_OK;
}

tr_transport_t *
tr_transport_ref(tr_transport_t *t)
{
    if (t != NULL) {
        atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    }
    return t;
}

void
tr_transport_unref(tr_transport_t *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    tr_identity_unref(t->identity);
    tr_arena_cleanup(&t->arena);
    tr_free(t);
}

const char *
tr_transport_id(const tr_transport_t *t)
{
    return t->id;
}

const tr_limits_t *
tr_transport_limits(const tr_transport_t *t)
{
    static const tr_limits_t defaults;
    return t == NULL ? &defaults : &t->limits;
}

tr_identity_t *
tr_transport_identity(const tr_transport_t *t)
{
    return t == NULL ? NULL : t->identity;
}

const char *
tr_transport_keylog(const tr_transport_t *t)
{
    return t == NULL ? NULL : t->keylog_path;
}

void
tr_transport_fill(const tr_transport_t *t, const char *host, uint16_t port, tr_conn_options_t *out)
{
    if (t == NULL) {
        return;
    }
    out->family = t->family;
    out->local = t->local.len == 0 ? NULL : &t->local;
    out->socket = t->has_socket ? &t->socket : NULL;
    out->tls_host = t->server_name;
    out->dns_max_age_ns = t->dns_max_age_ns;
    out->deny_private = t->deny_private;
    if (t->unix_address.len != 0) {
        out->addresses = &t->unix_address;
        out->num_addresses = 1;
        return;
    }
    for (size_t i = 0; i < t->num_resolved; i++) {
        const host_entry_t *entry = &t->resolved[i];
        bool fits = entry->port == port || (entry->port == 0 && out->addresses == NULL); /* with the port goes before without */
        if (fits && tr_slice_ieq(tr_slice_cstr(entry->host), tr_slice_cstr(host))) {
            out->addresses = &t->addresses[entry->first];
            out->num_addresses = entry->num;
            if (entry->port == port) {
                return;
            }
        }
    }
}

size_t
tr_transport_pins(const tr_transport_t *t, const char *host, const uint8_t (**out)[32])
{
    const host_entry_t *found = NULL;
    size_t host_len = strlen(host);
    for (size_t i = 0; t != NULL && i < t->num_pinned; i++) {
        const host_entry_t *entry = &t->pinned[i];
        size_t len = strlen(entry->host);
        if (tr_slice_ieq(tr_slice_cstr(entry->host), tr_slice(host, host_len))) {
            found = entry; /* the name itself goes before any wildcard */
            break;
        }
        if (len > 2 && entry->host[0] == '*' && entry->host[1] == '.' && host_len >= len &&
            tr_slice_ieq(tr_slice(entry->host + 1, len - 1), tr_slice(host + host_len - (len - 1), len - 1)) &&
            (found == NULL || len > strlen(found->host))) {
            found = entry; /* the longest */
        }
    }
    if (found == NULL) {
        return 0;
    }
    *out = (const uint8_t(*)[32])&t->pins[found->first];
    return found->num;
}

bool
tr_transport_may_coalesce(const tr_transport_t *t, const char *host)
{
    const uint8_t(*pins)[32];
    return t == NULL || (!t->limits.no_coalescing && !t->limits.no_keep_alive && t->identity == NULL && t->server_name == NULL &&
                         t->unix_address.len == 0 && tr_transport_pins(t, host, &pins) == 0);
}

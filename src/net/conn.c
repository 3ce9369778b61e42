/* One connection: its phases, and the pump between the filter stack and the layer above. DESIGN
 *
 * - Phases: name look-up, race of connects, tunnel (with proxies), handshake, up, ended (closed was reported), closing (tr_conn_close was
 *   called: no callback any more, the memory goes at the end of the turn).
 * - A way through proxies (way_t) is climbed layer by layer: for each hop TLS where it is an https proxy, then the tunnel to the next hop or
 *   to the host; the host's own TLS comes last. Names that a SOCKS4 or SOCKS5 hop must be told as addresses are looked up before anything is
 *   dialled; when such a hop cannot reach one address, the next is tried on a new connection. All failures up to there are the proxy's.
 * - An https proxy may speak HTTP/2, and one connection to it then serves many: who opened this one (events.tunnel) is asked for a tunnel through
 *   the last such hop, or for a connection to it, and gives the bottom of the stack (tr_conn_take); climbing goes on from there.
 * - Every callback may call tr_conn_close, so the phase is looked at again after each.
 * - Writes seal into the wire buffer and defer one flush: whatever a turn produces (the end of a handshake, preface and first request) leaves
 *   in one system call. Writability is watched only while the kernel is full.
 * - Reads go on until the kernel is empty, the input queue is full or the turn's share is used up. Reading is switched off lazily: only when
 *   the socket turns out to be readable while nobody wants its bytes, so that short pauses cost no system call.
 * - When a write fails the peer is gone, but its last words (an early answer, an alert, GOAWAY) may be in the kernel's queue: they are
 *   read first. The failed write has taken the socket's error with it, so an end of file that is seen then is not believed: it would pass
 *   off a cut body as a complete one. */
#include "net/conn.h"

#include <stdio.h>
#include <time.h>

#include "core/mem.h"
#include "core/trace.h"
#include "net/eyeballs.h"

/* Plaintext that may wait in the input queue before reading stops: several reads, so that a consumer that takes
 * everything in `readable` never stops a bulk transfer, and one that does not holds half a megabyte a connection. */
#define INPUT_MAX ((size_t)512 * 1024)
/* Plaintext received before the layer above is called, so that it works on bytes that are still in the cache: about one read. */
#define BATCH_MAX ((size_t)48 * 1024)
/* Bytes one connection may take in a turn before the others get theirs: 1 MiB is under a millisecond of decryption. */
#define TURN_MAX ((size_t)1024 * 1024)

typedef enum phase {
    RESOLVING,
    CONNECTING,
    TUNNELLING, /* a proxy is being talked to */
    HANDSHAKING,
    UP,
    ENDED,
    CLOSING,
} phase_t;

/* What a proxy's hop is asked for. */
typedef struct target {
    tr_address_t *addresses; /* owned; NULL: it is told the name */
    size_t num, at;
} target_t;

/* The way through proxies. */
typedef struct way {
    tr_proxy_t *proxy; /* referenced */
    tr_tls_config_t tls;
    char *family, *user_agent; /* owned; NULL: none */
    size_t user_agent_len;
    size_t resolving;  /* the hop whose target is being looked up; their number: the first proxy itself */
    size_t layer;      /* being set up: two to a hop, TLS and tunnel */
    size_t num_layers;
    size_t own;        /* hops before this one are others' affair (events.tunnel) */
    bool started;      /* its filter is on the stack */
    bool to_proxy;
    unsigned dials;
    target_t targets[TR_PROXY_MAX_HOPS];
} way_t;

struct tr_conn {
    phase_t phase;
    tr_loop_t *loop;         /* lent */
    tr_dns_t *dns;           /* lent */
    tr_conn_events_t events;
    void *arg;
    tr_dns_query_t *query;   /* owned while RESOLVING */
    tr_eyeballs_t *race;     /* owned while CONNECTING */
    tr_filter_t *top;        /* owned from HANDSHAKING on: what is written to and received from */
    tr_filter_t *bottom;     /* of it: a socket, or a stream of another connection */
    tr_bufq_t input;         /* received plaintext */
    tr_timer_t timer;        /* of the phase */
    tr_defer_t flush;        /* at the end of the turn */
    tr_defer_t deliver;      /* callbacks for what tr_conn_is_alive found */
    tr_defer_t more;         /* reads on what a filter holds already */
    tr_defer_t dial;         /* begins again with the next address */
    tr_defer_t release;      /* frees the connection */
    bool paused;             /* by tr_conn_pause */
    bool wrote;              /* the layer above wrote since the last `writable` */
    bool blocked;            /* the kernel's send queue is full: writability is watched */
    tr_code_t found;         /* what tr_conn_is_alive saw; TR_OK: nothing */
    tr_err_t err;            /* why it ended */
    const tr_err_t *broken;  /* inside conn_flush: how the write failed */
    uint64_t tls_timeout_ns;
    int family;
    uint16_t port;
    way_t *way;              /* owned; NULL: no proxy */
    tr_address_t local;      /* len 0: any */
    const tr_sockopts_t *socket; /* these three lent until UP */
    const char *tls_host;
    const tr_address_t *addresses; /* of host, in place of a look-up; NULL: none */
    size_t num_addresses;
    uint64_t dns_max_age_ns;
    bool deny_private;
    tr_tls_config_t tls;     /* valid with has_tls; pointers lent for the connection's life */
    bool has_tls;
    tr_conn_info_t info;
    char host[];
};

static void conn_read(tr_conn_t *conn);
static tr_code_t climb(tr_conn_t *conn, tr_err_t *err);
static bool dial_again(tr_conn_t *conn, const tr_err_t *err);

static const char *
phase_name(phase_t phase)
{
    static const char *const names[] = {"resolving", "connecting", "tunnelling", "handshaking", "up", "ended", "closing"};
    return names[phase];
}

static bool
is_shaking(const tr_conn_t *conn)
{
    return conn->phase == TUNNELLING || conn->phase == HANDSHAKING;
}

/* Whether what happens now is between us and a proxy. */
static bool
is_at_proxy(const tr_conn_t *conn)
{
    return conn->info.reached_proxy && (conn->phase == RESOLVING || conn->phase == CONNECTING || conn->phase == TUNNELLING);
}

static const tr_proxy_hop_t *
current_hop(const tr_conn_t *conn)
{
    size_t last = tr_proxy_num_hops(conn->way->proxy) - 1;
    return tr_proxy_hop(conn->way->proxy, TR_MIN(conn->way->layer / 2, last));
}

static const tr_bottom_type_t *
bottom_of(const tr_conn_t *conn)
{
    return conn->bottom->type->bottom;
}

/* Readiness of the socket is wanted as the phase and the queues say. */
static tr_code_t
watch(tr_conn_t *conn, bool want_read, tr_err_t *err)
{
    return bottom_of(conn)->watch(conn->bottom, (want_read ? TR_WATCH_READ : 0) | (conn->blocked ? TR_WATCH_WRITE : 0), err);
}

static int
watched(const tr_conn_t *conn)
{
    return bottom_of(conn)->watched(conn->bottom);
}

static bool
wants_input(const tr_conn_t *conn)
{
    return is_shaking(conn) || (conn->phase == UP && !conn->paused && conn->input.len < INPUT_MAX);
}

/* ------------------------------------------------------------------------------------------------------------ the end */

/* Reports the end, once. The socket stays open, silent, until tr_conn_close. err may be conn->err. */
static void
end(tr_conn_t *conn, tr_code_t code, const tr_err_t *err)
{
    if (conn->phase == ENDED || conn->phase == CLOSING) {
        return;
    }
    tr_err_t own = *err;
    if (is_at_proxy(conn)) {
        own.code = code;
        tr_proxy_blame(&own, current_hop(conn));
        code = own.code;
        err = &own;
        if (dial_again(conn, err)) {
            return;
        }
    }
    TR_TRACE(TR_TOPIC_NET, "%s: ended while %s: %s %s", conn->host, phase_name(conn->phase), tr_err_name(code), err->msg);
    conn->phase = ENDED;
    if (err != &conn->err) {
        conn->err = *err;
    }
    conn->err.code = code;
    tr_timer_clear(conn->loop, &conn->timer);
    tr_list_remove(&conn->flush.link);
    if (conn->top != NULL) {
        /* The alert that tells the peer what was wrong with it; one try. */
        (void)conn->top->type->flush(conn->top, NULL);
        conn->blocked = false;
        (void)watch(conn, false, NULL);
    }
    conn->events.closed(conn->arg, code, &conn->err);
}

static void
end_now(tr_conn_t *conn, tr_code_t code, const char *where, const char *text)
{
    tr_err_t err = TR_ERR_INIT;
    (void)tr_err_set(&err, code, 0, where, "%s: %s", conn->host, text);
    end(conn, code, &err);
}

static void
on_timer(void *arg)
{
    tr_conn_t *conn = arg;
    if (is_at_proxy(conn)) {
        end_now(conn, TR_ERR_PROXY_TIMEOUT, "net.conn", "timeout while waiting for the proxy");
    } else if (conn->phase == HANDSHAKING) {
        end_now(conn, TR_ERR_TIMEOUT_TLS, "net.conn", "timeout during the TLS handshake");
    } else if (conn->phase == RESOLVING) {
        end_now(conn, TR_ERR_TIMEOUT_CONNECT, "net.conn", "timeout while looking up the name");
    } else {
        end_now(conn, TR_ERR_TIMEOUT_CONNECT, "net.conn", "timeout while connecting");
    }
}

/* --------------------------------------------------------------------------------------------------------- bytes out */

static void
conn_flush(void *arg)
{
    tr_conn_t *conn = arg;
    tr_err_t err = TR_ERR_INIT;
    if (!is_shaking(conn) && conn->phase != UP) {
        return;
    }
    tr_code_t code = conn->top->type->flush(conn->top, &err);
    bool was_blocked = conn->blocked;
    conn->blocked = code == TR_AGAIN;
    if (!tr_failed(code) && conn->blocked != was_blocked) {
        tr_code_t set = watch(conn, (watched(conn) & TR_WATCH_READ) != 0, &err);
        code = set == TR_OK ? code : set;
    }
    if (tr_failed(code)) {
        /* What the peer said before it went. */
        conn->broken = &err;
        conn_read(conn);
        conn->broken = NULL;
        end(conn, code, &err);
        return;
    }
    if (code == TR_OK && conn->wrote && conn->phase == UP) {
        conn->wrote = false;
        conn->events.writable(conn->arg);
    }
}

static void
flush_later(tr_conn_t *conn)
{
    if (!conn->blocked) {
        tr_loop_defer(conn->loop, &conn->flush);
    }
}

/* Whether the handshake under way takes early data. */
static bool
takes_early(const tr_conn_t *conn)
{
    return conn->phase == HANDSHAKING && conn->has_tls && (conn->tls.flags & TR_TLS_EARLY_DATA) != 0 &&
           tr_tls_early_room(tr_tls_filter_engine(conn->top)) > 0;
}

tr_code_t
tr_conn_write(tr_conn_t *conn, tr_slice_t data, tr_err_t *err)
{
    if (conn->phase == ENDED) {
        if (err != NULL) {
            *err = conn->err;
        }
        return conn->err.code == TR_EOF ? tr_err_set(err, TR_ERR_CONNECT_RESET, 0, "net.write", "the connection has ended")
                                        : conn->err.code;
    }
    if (conn->phase != UP && !takes_early(conn)) {
        return TR_AGAIN;
    }
    if (data.len == 0) {
        return TR_OK;
    }
    tr_code_t code = conn->top->type->write(conn->top, data, err);
    if (code == TR_OK) {
        conn->wrote = true;
        flush_later(conn);
    }
    return code;
}

size_t
tr_conn_pending(const tr_conn_t *conn)
{
    return conn->top == NULL ? 0 : conn->top->type->pending(conn->top);
}

uint64_t
tr_conn_written(const tr_conn_t *conn)
{
    return conn->bottom == NULL ? 0 : bottom_of(conn)->written(conn->bottom);
}

/* ---------------------------------------------------------------------------------------------------------- bytes in */

/* Moves a handshake on after its filter was fed. False: the connection is not up (yet, or any more). */
static bool
advance(tr_conn_t *conn, tr_err_t *err, tr_code_t *code)
{
    if (!is_shaking(conn)) {
        return conn->phase == UP;
    }
    tr_code_t connected = climb(conn, err);
    if (connected == TR_AGAIN) {
        return false;
    }
    if (connected != TR_OK) {
        *code = connected;
        return false;
    }
    conn->events.connected(conn->arg);
    return conn->phase == UP;
}

/* Hands on what was received and how the read ended. False: nothing more may be read. */
static bool
hand_on(tr_conn_t *conn, size_t before, tr_code_t code, const tr_err_t *read_err)
{
    if (conn->top->type->pending(conn->top) > 0) {
        flush_later(conn); /* handshake messages, alerts, KeyUpdate answers */
    }
    tr_code_t failed = TR_OK;
    tr_err_t shake_err = TR_ERR_INIT;
    const tr_err_t *err = read_err;
    /* A read that failed may have finished the handshake in the same breath; then its data comes first too. */
    bool up = advance(conn, &shake_err, &failed);
    if (tr_failed(failed) && !tr_failed(code)) {
        code = failed;
        err = &shake_err;
    }
    if (up && conn->input.len > before) {
        conn->events.readable(conn->arg);
    }
    if (!is_shaking(conn) && conn->phase != UP) {
        return false;
    }
    if (code == TR_EOF || tr_failed(code)) {
        bool cut = (code == TR_EOF && err->detail == 0) || code == TR_ERR_CLOSED_EARLY || code == TR_ERR_TLS_CLOSED;
        if (conn->broken != NULL && cut) {
            code = conn->broken->code;
            err = conn->broken;
        }
        end(conn, code, err);
        return false;
    }
    return code == TR_OK;
}

/* Plaintext that lies in TLS filters below the top. */
static size_t
num_buffered(const tr_conn_t *conn)
{
    size_t num = 0;
    for (const tr_filter_t *f = conn->way == NULL ? NULL : conn->top; f != NULL; f = f->next) {
        num += tr_tls_filter_buffered(f);
    }
    return num;
}

static void
conn_read(tr_conn_t *conn)
{
    size_t total = 0;
    bool more = true;
    while (more && wants_input(conn) && total < TURN_MAX) {
        tr_err_t err = TR_ERR_INIT;
        tr_code_t code;
        size_t before = conn->input.len;
        do {
            code = conn->top->type->recv(conn->top, &conn->input, &err);
        } while (code == TR_OK && conn->phase == UP && conn->input.len - before < BATCH_MAX && wants_input(conn));
        total += conn->input.len - before;
        more = hand_on(conn, before, code, &err);
    }
    if (wants_input(conn) && num_buffered(conn) > 0) {
        tr_loop_defer(conn->loop, &conn->more); /* the others' turn first; no readiness will tell */
    }
}

static void
on_more(void *arg)
{
    tr_conn_t *conn = arg;
    if (wants_input(conn)) {
        conn_read(conn);
    }
}

static void
on_ready(void *arg, int events)
{
    tr_conn_t *conn = arg;
    if ((events & TR_WATCH_WRITE) != 0) {
        conn_flush(conn);
    }
    if ((events & TR_WATCH_READ) == 0 || (!is_shaking(conn) && conn->phase != UP)) {
        return;
    }
    if (wants_input(conn)) {
        conn_read(conn);
    } else {
        tr_err_t err = TR_ERR_INIT;
        tr_code_t code = watch(conn, false, &err);
        if (code != TR_OK) {
            end(conn, code, &err);
        }
    }
}

static void
read_again(tr_conn_t *conn)
{
    if (wants_input(conn) && num_buffered(conn) > 0) {
        tr_loop_defer(conn->loop, &conn->more);
    }
    if (wants_input(conn) && (watched(conn) & TR_WATCH_READ) == 0) {
        tr_err_t err = TR_ERR_INIT;
        tr_code_t code = watch(conn, true, &err);
        if (code != TR_OK) {
            /* Cannot be reported from inside the caller's call. */
            conn->found = code;
            conn->err = err;
            tr_loop_defer(conn->loop, &conn->deliver);
        }
    }
}

tr_bufq_t *
tr_conn_input(tr_conn_t *conn)
{
    return &conn->input;
}

void
tr_conn_read_more(tr_conn_t *conn)
{
    read_again(conn);
}

void
tr_conn_pause(tr_conn_t *conn, bool paused)
{
    conn->paused = paused;
    read_again(conn);
}

/* ----------------------------------------------------------------------------------------------------- an idle one */

static void
on_deliver(void *arg)
{
    tr_conn_t *conn = arg;
    tr_code_t code = conn->found;
    conn->found = TR_OK;
    if (conn->phase == UP && conn->input.len > 0) {
        conn->events.readable(conn->arg);
    }
    if (conn->phase == UP && (code == TR_EOF || tr_failed(code))) {
        end(conn, code, &conn->err);
    }
}

bool
tr_conn_is_alive(tr_conn_t *conn)
{
    if (conn->phase != UP || conn->found != TR_OK) {
        return false;
    }
    tr_err_t err = TR_ERR_INIT;
    tr_code_t code = bottom_of(conn)->probe(conn->bottom, &err);
    if (code == TR_AGAIN) {
        return conn->input.len == 0;
    }
    if (code == TR_OK && conn->top != conn->bottom && conn->input.len == 0) {
        /* Records that carry no data (session tickets, a KeyUpdate) are no reason to drop a good connection. */
        code = conn->top->type->recv(conn->top, &conn->input, &err);
        if (conn->top->type->pending(conn->top) > 0) {
            flush_later(conn);
        }
        if ((code == TR_AGAIN || code == TR_OK) && conn->input.len == 0) {
            return true;
        }
    }
    if (code == TR_EOF || tr_failed(code)) {
        conn->found = code;
        conn->err = err;
    }
    tr_loop_defer(conn->loop, &conn->deliver);
    return false;
}

/* ------------------------------------------------------------------------------------------------------------ opening */

static uint64_t
wall_clock_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Puts the filter of the next layer on the stack. */
static tr_code_t
start_layer(tr_conn_t *conn, tr_err_t *err)
{
    way_t *way = conn->way;
    size_t hop = way->layer / 2;
    const tr_proxy_hop_t *here = tr_proxy_hop(way->proxy, hop);
    bool last = hop + 1 == tr_proxy_num_hops(way->proxy);
    tr_filter_t *filter;
    tr_code_t code;
    if (way->layer % 2 == 0) {
        tr_tls_config_t config = way->tls;
        config.flags |= last ? 0u : TR_TLS_NO_RESUME;
        config.now_ms = wall_clock_ms();
        code = tr_tls_filter_new(&filter, conn->top, conn->loop, &config, here->host, err);
    } else {
        const char *host = last ? conn->host : tr_proxy_hop(way->proxy, hop + 1)->host;
        uint16_t port = last ? conn->port : tr_proxy_hop(way->proxy, hop + 1)->port;
        const target_t *target = &way->targets[hop];
        if (here->kind == TR_PROXY_HTTP || here->kind == TR_PROXY_HTTPS) {
            tr_connect_style_t style = {way->family, tr_slice(way->user_agent, way->user_agent_len)};
            code = tr_hproxy_filter_new(&filter, conn->top, way->proxy, hop, host, port, &style, err);
        } else {
            code = tr_socks_filter_new(&filter, conn->top, way->proxy, hop, host, port,
                                       target->num == 0 ? NULL : &target->addresses[target->at], err);
        }
    }
    if (code == TR_OK) {
        conn->top = filter;
        way->started = true;
    }
    return code;
}

static bool
has_layer(const tr_conn_t *conn)
{
    const way_t *way = conn->way;
    return way->layer % 2 != 0 || tr_proxy_hop(way->proxy, way->layer / 2)->kind == TR_PROXY_HTTPS;
}

/* Climbs the proxies' layers as far as it goes without waiting. TR_OK: the way is open. */
static tr_code_t
climb_way(tr_conn_t *conn, tr_err_t *err)
{
    way_t *way = conn->way;
    while (way->layer < way->num_layers) {
        if (!way->started && has_layer(conn)) {
            tr_code_t code = start_layer(conn, err);
            if (code != TR_OK) {
                return code;
            }
        }
        if (way->started) {
            tr_code_t code = conn->top->type->connect(conn->top, err);
            if (code != TR_OK) {
                return code;
            }
            if (way->layer % 2 != 0) {
                conn->top = tr_filter_pop(conn->top);
            }
        }
        way->layer++;
        way->started = false;
    }
    return TR_OK;
}

/* The way to the host is open: TLS with it, where asked. */
static tr_code_t
start_tls(tr_conn_t *conn, tr_err_t *err)
{
    tr_filter_t *tls;
    conn->info.tcp_done_ns = tr_loop_update(conn->loop);
    tr_timer_clear(conn->loop, &conn->timer);
    conn->phase = HANDSHAKING;
    if (!conn->has_tls) {
        return TR_OK;
    }
    conn->tls.now_ms = wall_clock_ms();
    tr_code_t code = tr_tls_filter_new(&tls, conn->top, conn->loop, &conn->tls, conn->tls_host, err);
    if (code != TR_OK) {
        return code;
    }
    conn->top = tls;
    code = tls->type->connect(tls, err);
    if (code == TR_AGAIN && conn->tls_timeout_ns != 0 &&
        tr_timer_set(conn->loop, &conn->timer, tr_loop_now(conn->loop) + conn->tls_timeout_ns) != TR_OK) {
        return tr_err_nomem(err, "net.conn");
    }
    if (code == TR_AGAIN && conn->events.early != NULL && takes_early(conn)) {
        conn->events.early(conn->arg); /* what it writes leaves with the ClientHello */
    }
    return code;
}

/* Climbs from where the stack is to the top. TR_OK: the connection is up (connected was not called); TR_AGAIN: something is awaited, and
 * what is to be sent for it will be. */
static tr_code_t
climb(tr_conn_t *conn, tr_err_t *err)
{
    tr_code_t code = TR_OK;
    if (conn->phase == TUNNELLING) {
        code = climb_way(conn, err);
        if (code == TR_OK) {
            TR_TRACE(TR_TOPIC_NET, "%s: the tunnel stands", conn->host);
            code = start_tls(conn, err);
        }
    } else if (conn->has_tls) {
        code = conn->top->type->connect(conn->top, err);
    }
    if (code == TR_AGAIN && conn->top->type->pending(conn->top) > 0) {
        flush_later(conn);
    }
    if (code != TR_OK) {
        return code;
    }
    conn->phase = UP;
    if (conn->has_tls) {
        tr_timer_clear(conn->loop, &conn->timer);
        conn->info.tls_done_ns = tr_loop_update(conn->loop);
        conn->info.has_tls = true;
        tr_tls_info(tr_tls_filter_engine(conn->top), &conn->info.tls);
        TR_TRACE(TR_TOPIC_NET, "%s: TLS is up", conn->host);
    }
    return TR_OK;
}

/* The bottom is connected (and conn->top). */
static void
bottom_up(tr_conn_t *conn)
{
    tr_err_t err = TR_ERR_INIT;
    bottom_of(conn)->on_ready(conn->bottom, on_ready, conn);
    bottom_of(conn)->texts(conn->bottom, conn->info.peer_text, conn->info.local_text);
    TR_TRACE(TR_TOPIC_NET, "%s: connected to %s", conn->host, conn->info.peer_text);
    conn->phase = conn->way != NULL ? TUNNELLING : HANDSHAKING;
    tr_code_t code = watch(conn, true, &err);
    if (code == TR_OK && conn->way == NULL) {
        code = start_tls(conn, &err);
    }
    if (code == TR_OK) {
        code = climb(conn, &err);
    }
    if (code == TR_AGAIN) {
        conn_flush(conn); /* now: the answer is a round trip away */
    } else if (code != TR_OK) {
        end(conn, code, &err);
    } else {
        conn->events.connected(conn->arg);
    }
}

static void
on_race(void *arg, tr_filter_t *tcp, const tr_err_t *err)
{
    tr_conn_t *conn = arg;
    tr_eyeballs_free(conn->race);
    conn->race = NULL;
    if (tcp == NULL) {
        end(conn, err->code, err);
        return;
    }
    conn->top = conn->bottom = tcp;
    bottom_up(conn);
}

#define PRIVATE_ONLY "the host has only addresses that are not public, which are not allowed"

/* The check is made on the very addresses that are connected to: a name that answers otherwise the second time gains nothing. */
static size_t
only_public(tr_address_t *out, const tr_address_t *addresses, size_t num)
{
    size_t len = 0;
    for (size_t i = 0; i < num && len < TR_DNS_MAX_ADDRESSES; i++) {
        if (!tr_address_is_private(&addresses[i])) {
            out[len++] = addresses[i];
        }
    }
    return len;
}

static void
on_resolved(void *arg, const tr_address_t *addresses, size_t num, const tr_err_t *failure)
{
    tr_conn_t *conn = arg;
    tr_err_t err = TR_ERR_INIT;
    tr_filter_t *tcp = NULL;
    conn->query = NULL;
    if (num == 0) {
        end(conn, failure->code, failure);
        return;
    }
    conn->info.dns_done_ns = tr_loop_update(conn->loop);
    conn->phase = CONNECTING;
    tr_address_t allowed[TR_DNS_MAX_ADDRESSES];
    if (conn->deny_private && conn->way == NULL) { /* a proxy is the user's own choice */
        num = only_public(allowed, addresses, num);
        addresses = allowed;
        if (num == 0) {
            end_now(conn, TR_ERR_CONNECT_PRIVATE, "net.conn", PRIVATE_ONLY);
            return;
        }
    }
    if (conn->way == NULL && conn->events.resolved != NULL && conn->events.resolved(conn->arg, addresses, num)) {
        return;
    }
    tr_code_t code = tr_eyeballs_new(&conn->race, conn->loop, addresses, num, conn->local.len == 0 ? NULL : &conn->local,
                                     on_race, conn, &err);
    if (code == TR_OK) {
        tr_eyeballs_set_options(conn->race, conn->socket);
        code = tr_eyeballs_start(conn->race, &tcp, &err);
        if (code != TR_AGAIN) {
            tr_eyeballs_free(conn->race);
            conn->race = NULL;
        }
    }
    if (code == TR_OK) {
        conn->top = conn->bottom = tcp;
        bottom_up(conn);
    } else if (code != TR_AGAIN) {
        end(conn, code, &err);
    }
}

/* ------------------------------------------------------------------------------------------------------------- proxies */

static tr_code_t resolve(tr_conn_t *conn, tr_err_t *err);

static void
on_target_resolved(void *arg, const tr_address_t *addresses, size_t num, const tr_err_t *failure)
{
    tr_conn_t *conn = arg;
    target_t *target = &conn->way->targets[conn->way->resolving];
    tr_err_t err = TR_ERR_INIT;
    conn->query = NULL;
    if (num == 0) {
        end(conn, failure->code, failure); /* the host's failure: no proxy was spoken to */
        return;
    }
    num = TR_MIN(num, (size_t)TR_DNS_MAX_ADDRESSES);
    tr_address_t allowed[TR_DNS_MAX_ADDRESSES];
    if (conn->deny_private && conn->way->resolving + 1 == tr_proxy_num_hops(conn->way->proxy)) {
        num = only_public(allowed, addresses, num);
        addresses = allowed;
        if (num == 0) {
            end_now(conn, TR_ERR_CONNECT_PRIVATE, "net.conn", PRIVATE_ONLY);
            return;
        }
    }
    target->addresses = tr_memdup(addresses, num * sizeof(*addresses));
    target->num = target->addresses == NULL ? 0 : num;
    conn->way->resolving++;
    tr_code_t code = target->addresses == NULL ? tr_err_nomem(&err, "net.conn") : resolve(conn, &err);
    if (code != TR_OK) {
        end(conn, code, &err);
    }
}

/* The addresses of the host itself: given ones, or looked up. */
static tr_code_t
look_up_host(tr_conn_t *conn, int family, void (*done)(void *, const tr_address_t *, size_t, const tr_err_t *), tr_err_t *err)
{
    if (conn->addresses != NULL) {
        return tr_dns_answer(conn->dns, &conn->query, conn->host, conn->port, conn->addresses, conn->num_addresses, family, done, conn,
                             err);
    }
    return tr_dns_resolve_within(conn->dns, &conn->query, conn->host, conn->port, family, conn->dns_max_age_ns, done, conn, err);
}

/* Has others bring the stack up to and with the hop before way->own: a tunnel through it, or a connection to it. */
static tr_code_t
ask_for_tunnel(tr_conn_t *conn, tr_err_t *err)
{
    way_t *way = conn->way;
    tr_connect_style_t style = {way->family, tr_slice(way->user_agent, way->user_agent_len)};
    bool last = way->own == tr_proxy_num_hops(way->proxy);
    conn->phase = CONNECTING;
    way->layer = 2 * way->own - 1;
    if (way->layer == way->num_layers) {
        return conn->events.tunnel(conn->arg, way->own - 1, NULL, 0, &style, err);
    }
    return conn->events.tunnel(conn->arg, way->own - 1, last ? conn->host : tr_proxy_hop(way->proxy, way->own)->host,
                               last ? conn->port : tr_proxy_hop(way->proxy, way->own)->port, &style, err);
}

void
tr_conn_take(tr_conn_t *conn, tr_filter_t *top, tr_filter_t *bottom, bool is_tunnel)
{
    conn->top = top;
    conn->bottom = bottom;
    conn->way->layer += is_tunnel ? 1 : 0;
    bottom_up(conn);
}

void
tr_conn_not_taken(tr_conn_t *conn, const tr_conn_info_t *info, const tr_err_t *err)
{
    memcpy(conn->info.peer_text, info->peer_text, sizeof(conn->info.peer_text));
    conn->info.dns_done_ns = info->dns_done_ns;
    end(conn, err->code, err);
}

tr_code_t
tr_conn_give(tr_conn_t *conn, tr_filter_t **out_top, tr_filter_t **out_bottom, tr_err_t *err)
{
    if (conn->input.len > 0 || conn->found != TR_OK) {
        const tr_proxy_hop_t *hop = current_hop(conn);
        return tr_err_set(err, TR_ERR_PROXY_PROTOCOL, 0, "net.conn", "proxy %.60s:%u: it speaks before it is asked", hop->host,
                          (unsigned)hop->port);
    }
    bottom_of(conn)->on_ready(conn->bottom, NULL, NULL);
    *out_top = conn->top;
    *out_bottom = conn->bottom;
    conn->top = conn->bottom = NULL;
    conn->phase = ENDED;
    return TR_OK;
}

/* Looks up what is to be known before the dial: targets of hops that take addresses, then who is dialled. */
static tr_code_t
resolve(tr_conn_t *conn, tr_err_t *err)
{
    way_t *way = conn->way;
    conn->phase = RESOLVING;
    if (way == NULL) {
        return look_up_host(conn, conn->family, on_resolved, err);
    }
    size_t num = tr_proxy_num_hops(way->proxy);
    for (; way->resolving < num; way->resolving++) {
        const tr_proxy_hop_t *hop = tr_proxy_hop(way->proxy, way->resolving);
        bool last = way->resolving + 1 == num;
        const char *name = last ? conn->host : tr_proxy_hop(way->proxy, way->resolving + 1)->host;
        uint16_t port = last ? conn->port : tr_proxy_hop(way->proxy, way->resolving + 1)->port;
        int family;
        if ((hop->kind == TR_PROXY_SOCKS4 || hop->kind == TR_PROXY_SOCKS5) && !tr_proxy_is_ip(name, &family)) {
            family = hop->kind == TR_PROXY_SOCKS4 ? AF_INET : conn->family;
            return last ? look_up_host(conn, family, on_target_resolved, err)
                        : tr_dns_resolve(conn->dns, &conn->query, name, port, family, on_target_resolved, conn, err);
        }
    }
    tr_address_t literal;
    if (conn->deny_private && tr_address_parse(&literal, conn->host, conn->port) && tr_address_is_private(&literal)) {
        return tr_err_set(err, TR_ERR_CONNECT_PRIVATE, 0, "net.conn", "%s: %s", conn->host, PRIVATE_ONLY);
    }
    conn->info.reached_proxy = true;
    if (way->own > 0) {
        return ask_for_tunnel(conn, err);
    }
    const tr_proxy_hop_t *first = tr_proxy_hop(way->proxy, 0);
    return tr_dns_resolve(conn->dns, &conn->query, first->host, first->port, conn->family, on_resolved, conn, err);
}

static void
on_dial(void *arg)
{
    tr_conn_t *conn = arg;
    tr_err_t err = TR_ERR_INIT;
    tr_filter_free(conn->top);
    conn->top = conn->bottom = NULL;
    conn->blocked = false;
    tr_code_t code = resolve(conn, &err);
    if (code != TR_OK) {
        end(conn, code, &err);
    }
}

/* RFC 1928 6: network or host unreachable, refused, TTL expired, kind of address; SOCKS4 has one code for all. */
static bool
is_about_the_address(const tr_err_t *err)
{
    return err->code == TR_ERR_PROXY_REFUSED && ((err->detail >= 3 && err->detail <= 6) || err->detail == 8 || err->detail == 0x5b);
}

/* Begins again with the next address for a SOCKS proxy that could not reach the last one. */
static bool
dial_again(tr_conn_t *conn, const tr_err_t *err)
{
    way_t *way = conn->way;
    target_t *target = &way->targets[TR_MIN(way->layer / 2, (size_t)TR_PROXY_MAX_HOPS - 1)];
    if (conn->phase != TUNNELLING || !is_about_the_address(err) || target->at + 1 >= target->num || ++way->dials >= TR_PROXY_MAX_DIALS) {
        return false;
    }
    TR_TRACE(TR_TOPIC_NET, "%s: %s: the next address", conn->host, err->msg);
    target->at++;
    way->layer = 0;
    way->started = false;
    conn->phase = CONNECTING;
    tr_list_remove(&conn->flush.link);
    bottom_of(conn)->shut(conn->bottom);
    tr_loop_defer(conn->loop, &conn->dial); /* its filters are at work still */
    return true;
}

static void
free_way(way_t *way)
{
    if (way == NULL) {
        return;
    }
    for (size_t i = 0; i < TR_PROXY_MAX_HOPS; i++) {
        tr_free(way->targets[i].addresses);
    }
    tr_proxy_unref(way->proxy);
    tr_free(way->family);
    tr_free(way->user_agent);
    tr_free(way);
}

static tr_code_t
new_way(way_t **out, const tr_conn_options_t *options, bool has_tunnels)
{
    const tr_connect_style_t *style = &options->connect_style;
    way_t *way = tr_calloc(1, sizeof(*way));
    if (way == NULL) {
        return TR_ERR_NOMEM;
    }
    way->proxy = tr_proxy_ref((tr_proxy_t *)(uintptr_t)options->proxy);
    way->num_layers = 2 * tr_proxy_num_hops(options->proxy) - (options->forward ? 1 : 0);
    way->to_proxy = options->to_proxy;
    for (size_t i = 0; has_tunnels && i + (options->to_proxy ? 1 : 0) < tr_proxy_num_hops(options->proxy); i++) {
        way->own = tr_proxy_hop(options->proxy, i)->kind == TR_PROXY_HTTPS ? i + 1 : way->own;
    }
    way->resolving = way->own;
    if (options->proxy_tls != NULL) {
        way->tls = *options->proxy_tls;
    }
    way->user_agent_len = style->user_agent.len;
    way->user_agent = style->user_agent.len == 0 ? NULL : tr_memdup(style->user_agent.data, style->user_agent.len);
    way->family = style->family == NULL ? NULL : tr_strndup(style->family, strlen(style->family));
    if ((style->user_agent.len > 0 && way->user_agent == NULL) || (style->family != NULL && way->family == NULL)) {
        free_way(way);
        return TR_ERR_NOMEM;
    }
    *out = way;
    return TR_OK;
}

/* --------------------------------------------------------------------------------------------------------------- life */

static void
conn_free(void *arg)
{
    tr_conn_t *conn = arg;
    tr_filter_free(conn->top);
    tr_bufq_cleanup(&conn->input);
    free_way(conn->way);
    tr_free(conn);
}

tr_code_t
tr_conn_open(tr_conn_t **out, tr_loop_t *loop, tr_dns_t *dns, const tr_conn_options_t *options,
             const tr_conn_events_t *events, void *arg, tr_err_t *err)
{
    static const char where[] = "net.conn_open";
    *out = NULL;
    size_t host_len = strlen(options->host);
    tr_conn_t *conn = tr_calloc(1, sizeof(*conn) + host_len + 1);
    if (conn == NULL) {
        return tr_err_nomem(err, where);
    }
    memcpy(conn->host, options->host, host_len);
    conn->phase = RESOLVING;
    conn->loop = loop;
    conn->dns = dns;
    conn->port = options->port;
    conn->events = *events;
    conn->arg = arg;
    conn->family = options->family;
    conn->tls_timeout_ns = options->tls_timeout_ns;
    conn->socket = options->socket;
    conn->tls_host = options->tls_host != NULL ? options->tls_host : conn->host;
    conn->deny_private = options->deny_private;
    conn->err = TR_ERR_INIT;
    tr_bufq_init(&conn->input, 0); /* bounded by INPUT_MAX and one read */
    tr_timer_init(&conn->timer, on_timer, conn);
    conn->flush = (tr_defer_t){{NULL, NULL}, conn_flush, conn};
    conn->deliver = (tr_defer_t){{NULL, NULL}, on_deliver, conn};
    conn->more = (tr_defer_t){{NULL, NULL}, on_more, conn};
    conn->dial = (tr_defer_t){{NULL, NULL}, on_dial, conn};
    conn->release = (tr_defer_t){{NULL, NULL}, conn_free, conn};
    if (options->tls != NULL) {
        conn->tls = *options->tls;
        conn->has_tls = true;
    }
    if (options->local != NULL) {
        conn->local = *options->local;
    }
    conn->info.start_ns = tr_loop_update(loop);
    tr_code_t code = options->proxy == NULL ? TR_OK : new_way(&conn->way, options, events->tunnel != NULL);
    if (code != TR_OK) {
        code = tr_err_nomem(err, where);
        goto done;
    }
    conn->info.has_proxy = conn->way != NULL;
    if (options->connect_timeout_ns != 0 &&
        tr_timer_set(loop, &conn->timer, conn->info.start_ns + options->connect_timeout_ns) != TR_OK) {
        code = tr_err_nomem(err, where);
        goto done;
    }
    conn->addresses = options->addresses;
    conn->num_addresses = options->num_addresses;
    conn->dns_max_age_ns = options->dns_max_age_ns != 0 ? options->dns_max_age_ns : TR_DNS_MAX_AGE_NS;
    code = resolve(conn, err);
    if (code != TR_OK) {
        goto done;
    }
    *out = conn;
    conn = NULL;
done:
    if (conn != NULL) {
        tr_timer_clear(loop, &conn->timer);
        conn_free(conn);
    }
    return code;
}

void
tr_conn_close(tr_conn_t *conn)
{
    if (conn == NULL || conn->phase == CLOSING) {
        return;
    }
    conn->phase = CLOSING;
    tr_timer_clear(conn->loop, &conn->timer);
    tr_list_remove(&conn->flush.link);
    tr_list_remove(&conn->deliver.link);
    tr_list_remove(&conn->more.link);
    tr_list_remove(&conn->dial.link);
    if (conn->query != NULL) {
        tr_dns_cancel(conn->query);
        conn->query = NULL;
    }
    tr_eyeballs_free(conn->race);
    conn->race = NULL;
    if (conn->bottom != NULL) {
        bottom_of(conn)->shut(conn->bottom);
    }
    tr_loop_defer(conn->loop, &conn->release);
}

bool
tr_conn_is_connected(const tr_conn_t *conn)
{
    return conn->phase == UP;
}

const tr_conn_info_t *
tr_conn_info(const tr_conn_t *conn)
{
    return &conn->info;
}

const tr_address_t *
tr_conn_peer(const tr_conn_t *conn)
{
    return conn->bottom == NULL || conn->info.has_proxy ? NULL : tr_tcp_address(conn->bottom);
}

const tr_tls_t *
tr_conn_tls(const tr_conn_t *conn)
{
    return conn->has_tls || (conn->way != NULL && conn->way->to_proxy) ? tr_tls_filter_engine(conn->top) : NULL;
}

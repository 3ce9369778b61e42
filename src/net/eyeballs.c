#include "net/eyeballs.h"

#include "core/mem.h"
#include "core/trace.h"

/* RFC 8305 5: Connection Attempt Delay, recommended value. */
#define ATTEMPT_DELAY_NS ((uint64_t)250 * 1000000)

typedef struct attempt {
    tr_eyeballs_t *race; /* holds it */
    tr_filter_t *tcp;    /* owned; NULL: not started, or over */
} attempt_t;

struct tr_eyeballs {
    tr_loop_t *loop; /* lent */
    void (*done)(void *arg, tr_filter_t *tcp, const tr_err_t *err);
    void *arg;
    tr_timer_t timer; /* the next attempt */
    tr_address_t local;
    const tr_sockopts_t *options; /* lent; NULL: none */
    tr_err_t err;     /* the most telling failure so far */
    size_t num;       /* addresses */
    size_t next;      /* first one not tried */
    size_t running;
    attempt_t attempts[TR_DNS_MAX_ADDRESSES];
    tr_address_t addresses[TR_DNS_MAX_ADDRESSES]; /* in the order of trying */
};

/* Which of several failures tells a person most: a host that answered "refused" more than one without a route. */
static int
weight(tr_code_t code)
{
    switch (code) {
    case TR_OK:
        return 0;
    case TR_ERR_CONNECT_UNREACHABLE:
        return 1;
    case TR_ERR_CONNECT_FAILED:
        return 2;
    case TR_ERR_TIMEOUT_CONNECT:
        return 3;
    case TR_ERR_CONNECT_REFUSED:
        return 4;
    case TR_ERR_CONNECT_RESET: /* somebody was there */
        return 5;
    default: /* out of memory or descriptors: our own side */
        return 6;
    }
}

static void
note_failure(tr_eyeballs_t *race, const tr_err_t *err)
{
    TR_TRACE(TR_TOPIC_NET, "connect failed: %s", err->msg);
    if (weight(err->code) > weight(race->err.code)) {
        race->err = *err;
    }
}

/* RFC 8305 4: the family of the resolver's first choice first, then in turns. */
static void
interleave(tr_eyeballs_t *race, const tr_address_t *addresses, size_t num)
{
    bool used[TR_DNS_MAX_ADDRESSES] = {false};
    int wanted = num > 0 ? addresses[0].storage.ss_family : 0;
    for (size_t left = num; left > 0; left--) {
        size_t pick = num;
        for (size_t i = 0; i < num; i++) {
            if (!used[i] && (pick == num || addresses[i].storage.ss_family == wanted)) {
                pick = i;
                if (addresses[i].storage.ss_family == wanted) {
                    break;
                }
            }
        }
        used[pick] = true;
        wanted = addresses[pick].storage.ss_family == AF_INET6 ? AF_INET : AF_INET6;
        if (race->local.len == 0 || race->local.storage.ss_family == addresses[pick].storage.ss_family ||
            addresses[pick].storage.ss_family == AF_UNIX) {
            race->addresses[race->num++] = addresses[pick];
        }
    }
}

static void
drop_attempt(tr_eyeballs_t *race, attempt_t *attempt)
{
    tr_filter_free(attempt->tcp);
    attempt->tcp = NULL;
    race->running--;
}

static void on_ready(void *arg, int events);

/* Starts attempts until one is under way or connected, or none is left. TR_OK: *out_tcp won. */
static tr_code_t
start_next(tr_eyeballs_t *race, tr_filter_t **out_tcp)
{
    while (race->next < race->num) {
        attempt_t *attempt = &race->attempts[race->next];
        const tr_address_t *address = &race->addresses[race->next++];
        tr_err_t err = TR_ERR_INIT;
        attempt->race = race;
        tr_code_t code =
            tr_tcp_new(&attempt->tcp, race->loop, address,
                       race->local.len == 0 || address->storage.ss_family == AF_UNIX ? NULL : &race->local, &err);
        if (code != TR_OK) {
            note_failure(race, &err);
            continue;
        }
        race->running++;
        tr_tcp_set_options(attempt->tcp, race->options);
        attempt->tcp->type->bottom->on_ready(attempt->tcp, on_ready, attempt);
        code = attempt->tcp->type->connect(attempt->tcp, &err);
        if (code == TR_AGAIN) {
            code = attempt->tcp->type->bottom->watch(attempt->tcp, TR_WATCH_WRITE, &err);
            if (code == TR_OK && race->next < race->num) {
                code = tr_timer_set(race->loop, &race->timer, tr_loop_now(race->loop) + ATTEMPT_DELAY_NS);
                if (code != TR_OK) {
                    (void)tr_err_nomem(&err, "net.eyeballs");
                }
            }
            if (code == TR_OK) {
                return TR_AGAIN;
            }
        } else if (code == TR_OK) {
            *out_tcp = attempt->tcp;
            attempt->tcp = NULL;
            race->running--;
            return TR_OK;
        }
        note_failure(race, &err);
        drop_attempt(race, attempt);
    }
    return race->running > 0 ? TR_AGAIN : race->err.code;
}

/* Ends the race: nothing else of it may happen. */
static void
stop(tr_eyeballs_t *race)
{
    tr_timer_clear(race->loop, &race->timer);
    for (size_t i = 0; i < race->next; i++) {
        if (race->attempts[i].tcp != NULL) {
            drop_attempt(race, &race->attempts[i]);
        }
    }
    race->next = race->num;
}

static void
finish(tr_eyeballs_t *race, tr_code_t code, tr_filter_t *tcp)
{
    if (code == TR_AGAIN) {
        return;
    }
    stop(race);
    tr_err_t err = race->err; /* done may free the race */
    race->done(race->arg, tcp, code == TR_OK ? NULL : &err);
}

static void
on_ready(void *arg, int events)
{
    attempt_t *attempt = arg;
    tr_eyeballs_t *race = attempt->race;
    tr_filter_t *tcp = attempt->tcp;
    tr_err_t err = TR_ERR_INIT;
    TR_UNUSED(events);
    tr_code_t code = tcp->type->connect(tcp, &err);
    if (code == TR_AGAIN) {
        return;
    }
    if (code == TR_OK) {
        attempt->tcp = NULL;
        race->running--;
        finish(race, TR_OK, tcp);
        return;
    }
    note_failure(race, &err);
    drop_attempt(race, attempt);
    /* RFC 8305 5: a failure starts the next attempt at once. */
    tcp = NULL;
    code = start_next(race, &tcp);
    finish(race, code, tcp);
}

static void
on_delay(void *arg)
{
    tr_eyeballs_t *race = arg;
    tr_filter_t *tcp = NULL;
    tr_code_t code = start_next(race, &tcp);
    finish(race, code, tcp);
}

tr_code_t
tr_eyeballs_new(tr_eyeballs_t **out, tr_loop_t *loop, const tr_address_t *addresses, size_t num, const tr_address_t *local,
                void (*done)(void *arg, tr_filter_t *tcp, const tr_err_t *err), void *arg, tr_err_t *err)
{
    static const char where[] = "net.eyeballs";
    *out = NULL;
    num = TR_MIN(num, (size_t)TR_DNS_MAX_ADDRESSES);
    tr_eyeballs_t *race = tr_calloc(1, sizeof(*race));
    if (race == NULL) {
        return tr_err_nomem(err, where);
    }
    race->loop = loop;
    race->done = done;
    race->arg = arg;
    race->err = TR_ERR_INIT;
    tr_timer_init(&race->timer, on_delay, race);
    if (local != NULL) {
        race->local = *local;
    }
    interleave(race, addresses, num);
    if (race->num == 0) {
        tr_free(race);
        return tr_err_set(err, TR_ERR_CONNECT_UNREACHABLE, 0, where,
                          "The host has no address of the family of the local address.");
    }
    *out = race;
    return TR_OK;
}

void
tr_eyeballs_set_options(tr_eyeballs_t *race, const tr_sockopts_t *options)
{
    race->options = options;
}

tr_code_t
tr_eyeballs_start(tr_eyeballs_t *race, tr_filter_t **out_tcp, tr_err_t *err)
{
    *out_tcp = NULL;
    tr_code_t code = start_next(race, out_tcp);
    if (code != TR_AGAIN) {
        stop(race);
    }
    if (tr_failed(code) && err != NULL) {
        *err = race->err;
    }
    return code;
}

void
tr_eyeballs_free(tr_eyeballs_t *race)
{
    if (race != NULL) {
        stop(race);
        tr_free(race);
    }
}

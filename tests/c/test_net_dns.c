/* The resolver: addresses without a worker, one lookup for equal queries, cache, cancelling, freeing while a worker is stuck. The lookups
 * themselves are a table of ours (no name server in a test), except where the machine's own files answer. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "net/dns.h"
#include "tr_test.h"

#define MS ((uint64_t)1000000)

typedef struct got {
    int calls;
    size_t num;
    tr_address_t addresses[TR_DNS_MAX_ADDRESSES];
    tr_err_t err;
    void (*then)(struct got *got); /* what the callback does besides */
    tr_dns_t **dns;
    tr_dns_query_t **victim;
} got_t;

static atomic_int lookups;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held: lookups of "slow*" wait */

static void
add4(tr_address_t *out, size_t *num, uint32_t address)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&out[*num].storage;
    memset(&out[*num], 0, sizeof(out[0]));
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(address);
    out[(*num)++].len = sizeof(*in);
}

static int
table(const char *host, int family, tr_address_t *out, size_t *out_num)
{
    *out_num = 0;
    atomic_fetch_add(&lookups, 1);
    if (strncmp(host, "slow", 4) == 0) {
        (void)pthread_mutex_lock(&gate);
        (void)pthread_mutex_unlock(&gate);
    }
    if (strncmp(host, "gone", 4) == 0) {
        return EAI_NONAME;
    }
    if (strcmp(host, "again") == 0) {
        return EAI_AGAIN;
    }
    if (strcmp(host, "sys") == 0) {
        errno = ECONNREFUSED;
        return EAI_SYSTEM;
    }
    for (uint32_t i = 0; i < (strcmp(host, "many") == 0 ? TR_DNS_MAX_ADDRESSES : 2); i++) {
        add4(out, out_num, family == AF_INET6 ? 0x0a000001 + i : 0x7f000001 + i);
    }
    return 0;
}

static void
on_done(void *arg, const tr_address_t *addresses, size_t num, const tr_err_t *err)
{
    got_t *got = arg;
    got->calls++;
    got->num = num;
    for (size_t i = 0; i < num; i++) {
        got->addresses[i] = addresses[i];
    }
    got->err = err == NULL ? TR_ERR_INIT : *err;
    if (got->then != NULL) {
        got->then(got);
    }
}

static void
address_text(const tr_address_t *address, char *out, size_t cap)
{
    char text[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (address->storage.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address->storage;
        (void)inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
        port = ntohs(in->sin_port);
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address->storage;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
        port = ntohs(in6->sin6_port);
    }
    (void)snprintf(out, cap, "%s %u", text, port);
}

static void
check_address(const got_t *got, size_t index, const char *expected)
{
    char text[80];
    TR_CHECK(index < got->num);
    address_text(&got->addresses[index], text, sizeof(text));
    if (strcmp(text, expected) != 0) {
        tr_test_fail(__FILE__, __LINE__, "address %zu is %s, not %s", index, text, expected);
    }
}

typedef struct rig {
    int64_t blocks;
    tr_loop_t *loop;
    tr_dns_t *dns;
    tr_err_t err;
} rig_t;

static tr_code_t
rig_open(rig_t *rig)
{
    rig->blocks = tr_mem_live();
    rig->loop = NULL;
    rig->dns = NULL;
    atomic_store(&lookups, 0);
    tr_code_t code = tr_loop_new(&rig->loop, &rig->err);
    if (code == TR_OK) {
        code = tr_dns_new(&rig->dns, rig->loop, &rig->err);
    }
    if (code == TR_OK) {
        tr_dns_set_lookup(rig->dns, table);
    }
    return code;
}

/* Also waits for the detached threads to give their memory back. */
static void
rig_close(rig_t *rig)
{
    tr_dns_free(rig->dns);
    tr_loop_free(rig->loop);
    for (int i = 0; i < 5000 && tr_mem_live() != rig->blocks; i++) {
        struct timespec ts = {0, 1000000};
        (void)nanosleep(&ts, NULL);
    }
    TR_CHECK_INT(tr_mem_live(), rig->blocks);
}

static void
wait_for(rig_t *rig, const int *calls, int wanted)
{
    uint64_t end = tr_loop_update(rig->loop) + 5000 * MS;
    while (*calls < wanted && tr_loop_now(rig->loop) < end) {
        tr_loop_run_once(rig->loop, 100 * MS);
    }
    TR_CHECK_INT(*calls, wanted);
}

static tr_dns_query_t *
ask(rig_t *rig, got_t *got, const char *host, uint16_t port, int family)
{
    tr_dns_query_t *query;
    TR_CHECK_OK(tr_dns_resolve(rig->dns, &query, host, port, family, on_done, got, &rig->err), &rig->err);
    return query;
}

TR_TEST(net_dns_age, "/net/dns/age")
{
    rig_t rig;
    got_t got = {.calls = 0};
    tr_dns_query_t *query;
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    for (int i = 1; i <= 2; i++) {
        (void)ask(&rig, &got, "two", 1, AF_UNSPEC);
        wait_for(&rig, &got.calls, i);
        TR_CHECK_INT(atomic_load(&lookups), 1); /* kept */
    }
    const struct {
        uint64_t max_age_ns;
        int lookups;
    } asked[] = {{UINT64_MAX, 1}, {1, 2}, {0, 3}, {UINT64_MAX, 3}, {TR_DNS_MAX_AGE_NS, 3}};
    for (size_t i = 0; i < TR_ARRAY_LEN(asked); i++) {
        tr_loop_run_once(rig.loop, 2 * MS);
        TR_CHECK_OK(tr_dns_resolve_within(rig.dns, &query, "two", 1, AF_UNSPEC, asked[i].max_age_ns, on_done, &got, &rig.err), &rig.err);
        wait_for(&rig, &got.calls, 3 + (int)i);
        TR_CHECK_INT(got.num, 2);
        TR_CHECK_INT(atomic_load(&lookups), asked[i].lookups);
    }
    rig_close(&rig);
}

TR_TEST_OOM(net_dns_answer, "/net/dns/answer")
{
    rig_t rig;
    got_t got = {.calls = 0};
    tr_dns_query_t *query;
    tr_address_t given[3];
    size_t num = 0;
    add4(given, &num, 0x01020304);
    ((struct sockaddr_in *)&given[0].storage)->sin_port = htons(7);
    add4(given, &num, 0x01020305);
    memset(&given[2], 0, sizeof(given[2]));
    ((struct sockaddr_in6 *)&given[2].storage)->sin6_family = AF_INET6;
    given[2].len = sizeof(struct sockaddr_in6);
    if (rig_open(&rig) == TR_OK && tr_dns_answer(rig.dns, &query, "x", 443, given, 3, AF_UNSPEC, on_done, &got, &rig.err) == TR_OK) {
        TR_CHECK_INT(got.calls, 0);
        tr_loop_run_once(rig.loop, 0);
        TR_CHECK(got.calls == 1 && got.num == 3 && atomic_load(&lookups) == 0);
        check_address(&got, 0, "1.2.3.4 7");
        check_address(&got, 1, "1.2.3.5 443");
        check_address(&got, 2, ":: 443");
        if (tr_dns_answer(rig.dns, &query, "x", 443, given, 3, AF_INET6, on_done, &got, &rig.err) == TR_OK) {
            tr_loop_run_once(rig.loop, 0);
            TR_CHECK_INT(got.num, 1);
        }
        if (tr_dns_answer(rig.dns, &query, "x", 443, given, 2, AF_INET6, on_done, &got, &rig.err) == TR_OK) {
            tr_loop_run_once(rig.loop, 0);
            TR_CHECK(got.num == 0 && got.err.code == TR_ERR_DNS_NOT_FOUND);
        }
        if (tr_dns_answer(rig.dns, &query, "x", 443, given, 2, AF_INET, on_done, &got, &rig.err) == TR_OK) {
            int calls = got.calls;
            tr_dns_cancel(query);
            tr_loop_run_once(rig.loop, 0);
            TR_CHECK_INT(got.calls, calls);
        }
    } else {
        TR_CHECK(tr_test_oom_running());
    }
    rig_close(&rig);
}

TR_TEST(net_dns_numeric, "/net/dns/without_worker")
{
    static const struct {
        const char *host;
        int family;
        size_t num;
        const char *first, *second;
    } cases[] = {
        {"127.0.0.1", AF_UNSPEC, 1, "127.0.0.1 443", NULL},
        {"::1", AF_UNSPEC, 1, "::1 443", NULL},
        {"2001:db8::7", AF_INET6, 1, "2001:db8::7 443", NULL},
        {"127.0.0.1", AF_INET6, 0, NULL, NULL},
        {"::1", AF_INET, 0, NULL, NULL},
        {"localhost", AF_UNSPEC, 2, "::1 443", "127.0.0.1 443"},
        {"LocalHost.", AF_INET, 1, "127.0.0.1 443", NULL},
        {"a.b.localhost", AF_INET6, 1, "::1 443", NULL},
        {"", AF_UNSPEC, 0, NULL, NULL},
    };
    rig_t rig;
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    for (size_t i = 0; i < TR_ARRAY_LEN(cases); i++) {
        got_t got = {.calls = 0};
        (void)ask(&rig, &got, cases[i].host, 443, cases[i].family);
        TR_CHECK_INT(got.calls, 0); /* never inside the call */
        tr_loop_run_once(rig.loop, 0);
        TR_CHECK_INT(got.calls, 1);
        TR_CHECK_INT(got.num, cases[i].num);
        if (cases[i].first != NULL) {
            check_address(&got, 0, cases[i].first);
        } else {
            TR_CHECK_INT(got.err.code, TR_ERR_DNS_NOT_FOUND);
        }
        if (cases[i].second != NULL) {
            check_address(&got, 1, cases[i].second);
        }
    }
    char host[400];
    got_t got = {.calls = 0};
    memset(host, 'a', sizeof(host) - 1);
    host[sizeof(host) - 1] = 0;
    (void)ask(&rig, &got, host, 443, AF_UNSPEC);
    tr_loop_run_once(rig.loop, 0);
    TR_CHECK_INT(got.err.code, TR_ERR_DNS_NOT_FOUND);
    /* Names that only look like these go to a worker. */
    got_t name = {.calls = 0};
    (void)ask(&rig, &name, "notlocalhost", 443, AF_UNSPEC);
    wait_for(&rig, &name.calls, 1);
    TR_CHECK_INT(atomic_load(&lookups), 1);
    TR_CHECK_INT(tr_dns_resolve(rig.dns, &(tr_dns_query_t *){NULL}, "x", 1, 77, on_done, &got, &rig.err),
                 TR_ERR_INVALID_ARGUMENT);
    rig_close(&rig);
}

TR_TEST(net_dns_coalesce, "/net/dns/coalesce")
{
    rig_t rig;
    got_t got[6];
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    memset(got, 0, sizeof(got));
    (void)pthread_mutex_lock(&gate);
    (void)ask(&rig, &got[0], "slow.example", 80, AF_UNSPEC);
    (void)ask(&rig, &got[1], "SLOW.example", 443, AF_UNSPEC);
    tr_dns_query_t *third = ask(&rig, &got[2], "slow.example", 8443, AF_UNSPEC);
    (void)ask(&rig, &got[3], "slow.example", 80, AF_INET6); /* another question */
    tr_loop_run_once(rig.loop, 5 * MS);
    TR_CHECK_INT(got[0].calls, 0);
    tr_dns_cancel(third);
    (void)pthread_mutex_unlock(&gate);
    wait_for(&rig, &got[0].calls, 1);
    wait_for(&rig, &got[1].calls, 1);
    wait_for(&rig, &got[3].calls, 1);
    TR_CHECK_INT(atomic_load(&lookups), 2);
    TR_CHECK_INT(got[2].calls, 0);
    check_address(&got[0], 0, "127.0.0.1 80");
    check_address(&got[1], 1, "127.0.0.2 443");
    check_address(&got[3], 0, "10.0.0.1 80");
    /* From now on the cache answers, at the end of the turn. */
    (void)ask(&rig, &got[4], "Slow.Example", 99, AF_UNSPEC);
    tr_loop_run_once(rig.loop, 0);
    TR_CHECK_INT(got[4].calls, 1);
    check_address(&got[4], 0, "127.0.0.1 99");
    TR_CHECK_INT(atomic_load(&lookups), 2);
    (void)ask(&rig, &got[5], "many", 1, AF_UNSPEC);
    wait_for(&rig, &got[5].calls, 1);
    TR_CHECK_INT(got[5].num, TR_DNS_MAX_ADDRESSES);
    rig_close(&rig);
}

TR_TEST(net_dns_errors, "/net/dns/errors")
{
    rig_t rig;
    got_t got = {.calls = 0};
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    (void)ask(&rig, &got, "gone.example", 80, AF_UNSPEC);
    wait_for(&rig, &got.calls, 1);
    TR_CHECK_INT(got.num, 0);
    TR_CHECK_INT(got.err.code, TR_ERR_DNS_NOT_FOUND);
    TR_CHECK_INT(got.err.detail, EAI_NONAME);
    TR_CHECK(strcmp(got.err.msg, "no such host: gone.example") == 0);
    (void)ask(&rig, &got, "gone.example", 80, AF_UNSPEC); /* remembered for a moment */
    wait_for(&rig, &got.calls, 2);
    TR_CHECK_INT(atomic_load(&lookups), 1);
    (void)ask(&rig, &got, "again", 80, AF_UNSPEC);
    wait_for(&rig, &got.calls, 3);
    TR_CHECK_INT(got.err.code, TR_ERR_DNS_FAILED);
    TR_CHECK_INT(got.err.detail, EAI_AGAIN);
    (void)ask(&rig, &got, "again", 80, AF_UNSPEC); /* not remembered */
    wait_for(&rig, &got.calls, 4);
    TR_CHECK_INT(atomic_load(&lookups), 3);
    (void)ask(&rig, &got, "sys", 80, AF_UNSPEC);
    wait_for(&rig, &got.calls, 5);
    TR_CHECK_INT(got.err.code, TR_ERR_DNS_FAILED);
    TR_CHECK_INT(got.err.detail, EAI_SYSTEM);
    rig_close(&rig);
}

TR_TEST(net_dns_negative_expires, "/net/dns/negative_expires")
{
    rig_t rig;
    got_t got = {.calls = 0};
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    (void)ask(&rig, &got, "gone.example", 80, AF_UNSPEC);
    wait_for(&rig, &got.calls, 1);
    uint64_t end = tr_loop_update(rig.loop) + 1100 * MS;
    while (tr_loop_update(rig.loop) < end) {
        tr_loop_run_once(rig.loop, end - tr_loop_now(rig.loop));
    }
    (void)ask(&rig, &got, "gone.example", 80, AF_UNSPEC);
    wait_for(&rig, &got.calls, 2);
    TR_CHECK_INT(atomic_load(&lookups), 2);
    rig_close(&rig);
}

/* The cache stays bounded; the names used last stay. */
TR_TEST(net_dns_cache_bound, "/net/dns/cache_bound")
{
    rig_t rig;
    got_t got = {.calls = 0};
    char host[32];
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    int wanted = 0;
    int64_t at_limit = 0;
    for (int i = 0; i < 1400; i++) {
        (void)snprintf(host, sizeof(host), "host%d", i);
        (void)ask(&rig, &got, host, 80, AF_UNSPEC);
        wait_for(&rig, &got.calls, ++wanted);
        if (i == 1100) {
            at_limit = tr_mem_live();
        }
    }
    TR_CHECK(tr_mem_live() <= at_limit + 16);
    int before = atomic_load(&lookups);
    (void)ask(&rig, &got, "host1399", 80, AF_UNSPEC);
    wait_for(&rig, &got.calls, ++wanted);
    (void)ask(&rig, &got, "host600", 80, AF_UNSPEC);
    wait_for(&rig, &got.calls, ++wanted);
    TR_CHECK_INT(atomic_load(&lookups), before);
    (void)ask(&rig, &got, "host0", 80, AF_UNSPEC); /* long out */
    wait_for(&rig, &got.calls, ++wanted);
    TR_CHECK_INT(atomic_load(&lookups), before + 1);
    rig_close(&rig);
}

static void
cancel_victim(got_t *got)
{
    tr_dns_cancel(*got->victim);
}

static void
free_resolver(got_t *got)
{
    tr_dns_free(*got->dns);
    *got->dns = NULL;
}

TR_TEST(net_dns_cancel, "/net/dns/cancel")
{
    rig_t rig;
    got_t first = {.calls = 0}, second = {.calls = 0}, third = {.calls = 0};
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    /* A callback cancels its neighbour, of the same lookup and then of answers at hand. */
    tr_dns_query_t *victim;
    first.then = cancel_victim;
    first.victim = &victim;
    (void)pthread_mutex_lock(&gate);
    (void)ask(&rig, &first, "slow1", 80, AF_UNSPEC);
    victim = ask(&rig, &second, "slow1", 80, AF_UNSPEC);
    (void)ask(&rig, &third, "slow1", 80, AF_UNSPEC);
    (void)pthread_mutex_unlock(&gate);
    wait_for(&rig, &third.calls, 1);
    TR_CHECK_INT(first.calls, 1);
    TR_CHECK_INT(second.calls, 0);
    (void)ask(&rig, &first, "127.0.0.1", 80, AF_UNSPEC);
    victim = ask(&rig, &second, "127.0.0.1", 80, AF_UNSPEC);
    (void)ask(&rig, &third, "127.0.0.1", 80, AF_UNSPEC);
    wait_for(&rig, &third.calls, 2);
    TR_CHECK_INT(second.calls, 0);
    /* Lookups that nobody waits for any more leave the queue behind the busy threads. */
    (void)pthread_mutex_lock(&gate);
    tr_dns_query_t *queries[20];
    got_t got[20];
    char host[16];
    memset(got, 0, sizeof(got));
    atomic_store(&lookups, 0);
    for (size_t i = 0; i < TR_ARRAY_LEN(queries); i++) {
        (void)snprintf(host, sizeof(host), "slow-%zu", i);
        queries[i] = ask(&rig, &got[i], host, 80, AF_UNSPEC);
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(queries); i++) {
        tr_dns_cancel(queries[i]);
    }
    (void)pthread_mutex_unlock(&gate);
    (void)ask(&rig, &first, "127.0.0.1", 80, AF_UNSPEC);
    first.then = NULL;
    wait_for(&rig, &first.calls, 3);
    TR_CHECK(atomic_load(&lookups) <= 8); /* threads */
    rig_close(&rig);
    for (size_t i = 0; i < TR_ARRAY_LEN(queries); i++) {
        TR_CHECK_INT(got[i].calls, 0);
    }
}

TR_TEST(net_dns_free, "/net/dns/free_while_stuck")
{
    rig_t rig;
    got_t got[20];
    char host[16];
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    memset(got, 0, sizeof(got));
    (void)pthread_mutex_lock(&gate);
    for (size_t i = 0; i < TR_ARRAY_LEN(got); i++) {
        (void)snprintf(host, sizeof(host), "slow%zu", i);
        (void)ask(&rig, &got[i], host, 80, AF_UNSPEC);
    }
    (void)ask(&rig, &got[0], "127.0.0.1", 80, AF_UNSPEC);
    uint64_t before = tr_loop_update(rig.loop);
    tr_dns_free(rig.dns);
    TR_CHECK(tr_loop_update(rig.loop) - before < 1000 * MS);
    rig.dns = NULL;
    tr_loop_run_once(rig.loop, 5 * MS);
    (void)pthread_mutex_unlock(&gate);
    rig_close(&rig);
    for (size_t i = 0; i < TR_ARRAY_LEN(got); i++) {
        TR_CHECK_INT(got[i].calls, 0);
    }
}

TR_TEST(net_dns_free_inside, "/net/dns/free_in_callback")
{
    for (int from_worker = 0; from_worker < 2; from_worker++) {
        rig_t rig;
        got_t first = {.calls = 0}, second = {.calls = 0};
        TR_CHECK_OK(rig_open(&rig), &rig.err);
        first.then = free_resolver;
        first.dns = &rig.dns;
        (void)ask(&rig, &first, from_worker ? "name" : "127.0.0.1", 80, AF_UNSPEC);
        (void)ask(&rig, &second, from_worker ? "name" : "127.0.0.1", 80, AF_UNSPEC);
        wait_for(&rig, &first.calls, 1);
        tr_loop_run_once(rig.loop, 0);
        TR_CHECK_INT(second.calls, 0);
        rig_close(&rig);
    }
}

/* The machine's own resolver, without a name server: /etc/hosts, or no answer at all. */
TR_TEST(net_dns_getaddrinfo, "/net/dns/getaddrinfo")
{
    rig_t rig;
    got_t got = {.calls = 0};
    TR_CHECK_OK(rig_open(&rig), &rig.err);
    tr_dns_set_lookup(rig.dns, NULL);
    (void)ask(&rig, &got, "ip6-localhost", 80, AF_UNSPEC);
    wait_for(&rig, &got.calls, 1);
    TR_CHECK(got.num > 0 || got.err.code == TR_ERR_DNS_NOT_FOUND || got.err.code == TR_ERR_DNS_FAILED);
    TR_CHECK_INT(atomic_load(&lookups), 0);
    rig_close(&rig);
}

TR_TEST_OOM(net_dns_oom, "/net/dns/oom")
{
    static const char *const hosts[] = {"127.0.0.1", "localhost", "name", "gone", "name"};
    rig_t rig;
    tr_dns_query_t *query;
    got_t got[5];
    int wanted = 0;
    memset(got, 0, sizeof(got));
    if (rig_open(&rig) != TR_OK) {
        TR_CHECK_INT(rig.err.code, TR_ERR_NOMEM);
        rig_close(&rig);
        return;
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(hosts); i++) {
        tr_code_t code = tr_dns_resolve(rig.dns, &query, hosts[i], 80, AF_UNSPEC, on_done, &got[i], &rig.err);
        if (code != TR_OK) {
            TR_CHECK_INT(code, TR_ERR_NOMEM);
            TR_CHECK(tr_test_oom_running());
            TR_CHECK(query == NULL);
            continue;
        }
        wanted = 1;
        wait_for(&rig, &got[i].calls, wanted);
        TR_CHECK(i == 3 ? got[i].err.code == TR_ERR_DNS_NOT_FOUND : got[i].num > 0);
    }
    rig_close(&rig);
}

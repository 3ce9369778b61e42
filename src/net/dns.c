/* Names to addresses. DESIGN
 *
 * A query ends up with an answer_t, shared and counted on the loop: made at once (addresses, localhost), found in the cache, or filled in by
 * a worker for all equal queries of one lookup. Queries with an answer wait in `ready` and are told at the end of the turn, or at once when
 * a worker has come back; so done never comes inside tr_dns_resolve. A callback may resolve, cancel and even free. */
#include "net/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

#include "core/map.h"
#include "core/mem.h"
#include "core/trace.h"
#include "crypto/rand.h"
#include "net/worker.h"

/* Threads at most: a resolver that does not answer holds a thread for its whole timeout (10 s and more), and other names must pass by. */
#define THREADS_MAX 8
#define THREAD_IDLE_NS ((uint64_t)10 * 1000000000u)
/* getaddrinfo tells no time to live. Half a minute (TR_DNS_MAX_AGE_NS) is what browsers give a record without; a wrong "no such host" is
 * forgotten soon. */
#define NEGATIVE_NS ((uint64_t)1000000000u)
/* Names kept, at some 300 bytes each; a crawler beyond that looks names up again. */
#define CACHE_MAX 1024
/* RFC 1035 2.3.4: 255 octets on the wire are 253 characters; one more for a final dot. */
#define HOST_MAX 254

typedef struct answer {
    size_t refs;       /* queries, the cache, or the lookup that fills it in */
    int eai;           /* 0, or EAI_*: why there are no addresses */
    int sys_errno;     /* with EAI_SYSTEM */
    size_t num;
    tr_address_t addresses[];
} answer_t;

typedef struct cached {
    tr_link_t link;     /* dns->recent */
    answer_t *answer;   /* counted */
    uint64_t made_ns;
    size_t key_len;
    char key[];
} cached_t;

/* One name on its way through the pool. */
typedef struct lookup {
    tr_job_t job;       /* first member */
    tr_dns_t *dns;      /* on the loop only; gone when the job is dropped */
    tr_list_t queries;  /* tr_dns_query_t that wait for it */
    answer_t *answer;   /* counted; written by the worker between submit and done */
    tr_dns_lookup_t fn;
    int family;
    size_t key_len;
    char key[];         /* family letter, host in lower case, NUL */
} lookup_t;

struct tr_dns_query {
    tr_link_t link;     /* in its lookup's queries, or in dns->ready */
    tr_dns_t *dns;
    lookup_t *lookup;   /* NULL: the answer is there */
    answer_t *answer;   /* counted */
    uint16_t port;      /* 0: the addresses have theirs */
    void (*done)(void *arg, const tr_address_t *addresses, size_t num, const tr_err_t *err);
    void *arg;
    char host[];        /* as asked, for messages */
};

struct tr_dns {
    tr_loop_t *loop;        /* lent */
    tr_workers_t *workers;  /* owned */
    tr_dns_lookup_t lookup;
    tr_map_t lookups;       /* key -> lookup_t under way; the pool owns them */
    tr_map_t cache;         /* key -> cached_t, owned */
    tr_list_t recent;       /* cached_t, least recently used first */
    tr_list_t ready;        /* tr_dns_query_t to be told at the end of the turn */
    tr_list_t told;         /* those being told now */
    tr_defer_t tell;
    bool telling;           /* inside tell_ready */
    bool freed;             /* tr_dns_free was called while telling */
};

/* ------------------------------------------------------------------------------------------------------------ answers */

static answer_t *
answer_new(size_t num)
{
    answer_t *answer = tr_malloc(sizeof(*answer) + num * sizeof(answer->addresses[0]));
    if (answer != NULL) {
        *answer = (answer_t){1, 0, 0, 0};
    }
    return answer;
}

static void
answer_unref(answer_t *answer)
{
    if (answer != NULL && --answer->refs == 0) {
        tr_free(answer);
    }
}

static void
set_port(tr_address_t *address, uint16_t port)
{
    if (address->storage.ss_family == AF_INET) {
        ((struct sockaddr_in *)&address->storage)->sin_port = htons(port);
    } else {
        ((struct sockaddr_in6 *)&address->storage)->sin6_port = htons(port);
    }
}

static void
give_port(tr_address_t *address, uint16_t port)
{
    bool is_ip = address->storage.ss_family == AF_INET || address->storage.ss_family == AF_INET6;
    /* sin_port and sin6_port lie in the same place. */
    if (is_ip && ((const struct sockaddr_in *)&address->storage)->sin_port == 0) {
        set_port(address, port);
    }
}

/* The resolver is sure that there is no such name, or none with an address of that family. */
static bool
is_not_found(int eai)
{
#ifdef EAI_NODATA
    if (eai == EAI_NODATA) {
        return true;
    }
#endif
#ifdef EAI_ADDRFAMILY
    if (eai == EAI_ADDRFAMILY) {
        return true;
    }
#endif
    return eai == EAI_NONAME;
}

static void
answer_error(const answer_t *answer, const char *host, tr_err_t *err)
{
    static const char where[] = "net.dns";
    if (is_not_found(answer->eai)) {
        (void)tr_err_set(err, TR_ERR_DNS_NOT_FOUND, answer->eai, where, "no such host: %s", host);
        return;
    }
    switch (answer->eai) {
    case EAI_MEMORY:
        (void)tr_err_set(err, TR_ERR_NOMEM, answer->eai, where, NULL);
        break;
    case EAI_SYSTEM:
        (void)tr_err_set(err, TR_ERR_DNS_FAILED, answer->eai, where, "lookup of %s failed: errno %d", host,
                         answer->sys_errno);
        break;
    default:
        (void)tr_err_set(err, TR_ERR_DNS_FAILED, answer->eai, where, "lookup of %s failed: %s", host,
                         gai_strerror(answer->eai));
        break;
    }
}

static void
query_free(tr_dns_query_t *query)
{
    tr_list_remove(&query->link);
    answer_unref(query->answer);
    tr_free(query);
}

/* Takes the query out of the resolver and tells it. */
static void
tell(tr_dns_query_t *query)
{
    void (*done)(void *arg, const tr_address_t *addresses, size_t num, const tr_err_t *err) = query->done;
    void *arg = query->arg;
    tr_address_t addresses[TR_DNS_MAX_ADDRESSES];
    tr_err_t err = TR_ERR_INIT;
    size_t num = query->answer->num;
    for (size_t i = 0; i < num; i++) {
        addresses[i] = query->answer->addresses[i];
        if (query->port != 0) {
            set_port(&addresses[i], query->port);
        }
    }
    if (num == 0) {
        answer_error(query->answer, query->host, &err);
    }
    query_free(query);
    done(arg, addresses, num, num == 0 ? &err : NULL);
}

static void dns_release(tr_dns_t *dns);

static void
tell_ready(void *arg)
{
    tr_dns_t *dns = arg;
    tr_link_t *link;
    if (dns->telling) {
        return;
    }
    dns->telling = true;
    tr_list_splice(&dns->told, &dns->ready); /* what a callback asks for has its own turn: no endless loop here */
    while ((link = tr_list_first(&dns->told)) != NULL) {
        tell(TR_CONTAINER_OF(link, tr_dns_query_t, link));
    }
    dns->telling = false;
    if (dns->freed) {
        dns_release(dns);
    }
}

/* -------------------------------------------------------------------------------------------------------------- cache */

static void
cache_drop(tr_dns_t *dns, cached_t *cached)
{
    (void)tr_map_remove(&dns->cache, tr_slice(cached->key, cached->key_len));
    tr_list_remove(&cached->link);
    answer_unref(cached->answer);
    tr_free(cached);
}

static answer_t *
cache_get(tr_dns_t *dns, tr_slice_t key, uint64_t max_age_ns)
{
    cached_t *cached = tr_map_get(&dns->cache, key);
    if (cached == NULL) {
        return NULL;
    }
    max_age_ns = cached->answer->num > 0 ? max_age_ns : TR_MIN(max_age_ns, NEGATIVE_NS);
    if (tr_loop_now(dns->loop) - cached->made_ns >= max_age_ns) {
        return NULL; /* the lookup that follows replaces it */
    }
    tr_list_remove(&cached->link);
    tr_list_push(&dns->recent, &cached->link);
    return cached->answer;
}

/* Best effort: without memory the name is looked up again. */
static void
cache_put(tr_dns_t *dns, const lookup_t *lookup, answer_t *answer)
{
    tr_slice_t key = tr_slice(lookup->key, lookup->key_len);
    if (answer->eai != 0 && !is_not_found(answer->eai)) {
        return; /* the next try may well succeed */
    }
    cached_t *old = tr_map_get(&dns->cache, key);
    if (old != NULL) {
        cache_drop(dns, old);
    } else if (dns->cache.len >= CACHE_MAX) {
        cache_drop(dns, TR_CONTAINER_OF(tr_list_first(&dns->recent), cached_t, link));
    }
    cached_t *cached = tr_malloc(sizeof(*cached) + key.len);
    if (cached == NULL) {
        return;
    }
    cached->link = (tr_link_t){NULL, NULL};
    cached->answer = answer;
    cached->made_ns = tr_loop_now(dns->loop);
    cached->key_len = key.len;
    memcpy(cached->key, key.data, key.len);
    if (tr_map_put(&dns->cache, NULL, key, cached) != TR_OK) {
        tr_free(cached);
        return;
    }
    answer->refs++;
    tr_list_push(&dns->recent, &cached->link);
}

/* ------------------------------------------------------------------------------------------------------------ lookups */

/* On a worker. */
static int
lookup_getaddrinfo(const char *host, int family, tr_address_t *out, size_t *out_num)
{
    struct addrinfo hints, *list = NULL;
    memset(&hints, 0, sizeof(hints));
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    /* With one family asked for, ADDRCONFIG would refuse names of this machine where only loopback is up. */
    hints.ai_flags = family == AF_UNSPEC ? AI_ADDRCONFIG : 0;
    *out_num = 0;
    int eai = getaddrinfo(host, NULL, &hints, &list);
    if (eai != 0) {
        return eai;
    }
    for (const struct addrinfo *info = list; info != NULL && *out_num < TR_DNS_MAX_ADDRESSES; info = info->ai_next) {
        if ((info->ai_family == AF_INET || info->ai_family == AF_INET6) &&
            info->ai_addrlen <= sizeof(out->storage)) {
            tr_address_t *address = &out[(*out_num)++];
            memset(address, 0, sizeof(*address));
            memcpy(&address->storage, info->ai_addr, info->ai_addrlen);
            address->len = info->ai_addrlen;
        }
    }
    freeaddrinfo(list);
    return *out_num > 0 ? 0 : EAI_NONAME;
}

static void
lookup_run(tr_job_t *job)
{
    lookup_t *lookup = (lookup_t *)job;
    answer_t *answer = lookup->answer;
    errno = 0;
    answer->eai = lookup->fn(lookup->key + 1, lookup->family, answer->addresses, &answer->num);
    answer->sys_errno = errno;
    if (answer->eai != 0) {
        answer->num = 0;
    }
}

static void
lookup_free(lookup_t *lookup)
{
    answer_unref(lookup->answer);
    tr_free(lookup);
}

static void
lookup_done(tr_job_t *job)
{
    lookup_t *lookup = (lookup_t *)job;
    tr_dns_t *dns = lookup->dns;
    tr_link_t *link;
    (void)tr_map_remove(&dns->lookups, tr_slice(lookup->key, lookup->key_len));
    TR_TRACE(TR_TOPIC_DNS, "%s: %zu addresses, result %d", lookup->key + 1, lookup->answer->num, lookup->answer->eai);
    /* Most names have one or two addresses; the worker had room for all. */
    answer_t *answer =
        tr_realloc(lookup->answer, sizeof(*answer) + lookup->answer->num * sizeof(answer->addresses[0]));
    if (answer != NULL) {
        lookup->answer = answer;
    }
    cache_put(dns, lookup, lookup->answer);
    while ((link = tr_list_shift(&lookup->queries)) != NULL) {
        tr_dns_query_t *query = TR_CONTAINER_OF(link, tr_dns_query_t, link);
        query->lookup = NULL;
        query->answer = lookup->answer;
        query->answer->refs++;
        tr_list_push(&dns->ready, &query->link);
    }
    lookup_free(lookup);
    tell_ready(dns);
}

static void
lookup_drop(tr_job_t *job)
{
    lookup_free((lookup_t *)job);
}

/* Joins the lookup of the same name, or starts one. */
static tr_code_t
lookup_join(tr_dns_t *dns, tr_dns_query_t *query, tr_slice_t key, int family, tr_err_t *err)
{
    static const char where[] = "net.dns";
    tr_code_t code = TR_OK;
    lookup_t *lookup = tr_map_get(&dns->lookups, key);
    if (lookup == NULL) {
        lookup = tr_malloc(sizeof(*lookup) + key.len + 1);
        if (lookup == NULL) {
            return tr_err_nomem(err, where);
        }
        lookup->job = (tr_job_t){{NULL, NULL}, lookup_run, lookup_done, lookup_drop};
        lookup->dns = dns;
        tr_list_init(&lookup->queries);
        lookup->fn = dns->lookup;
        lookup->family = family;
        lookup->key_len = key.len;
        memcpy(lookup->key, key.data, key.len);
        lookup->key[key.len] = 0;
        lookup->answer = answer_new(TR_DNS_MAX_ADDRESSES);
        if (lookup->answer == NULL || tr_map_put(&dns->lookups, NULL, key, lookup) != TR_OK) {
            lookup_free(lookup);
            return tr_err_nomem(err, where);
        }
        code = tr_workers_submit(dns->workers, &lookup->job, err);
        if (code != TR_OK) {
            (void)tr_map_remove(&dns->lookups, key);
            lookup_free(lookup);
            return code;
        }
    }
    query->lookup = lookup;
    tr_list_push(&lookup->queries, &query->link);
    return code;
}

/* ------------------------------------------------------------------------------------------------- without a lookup */

static bool
ends_with_digit_label(const char *host, size_t len)
{
    /* WHATWG URL "ends in a number": such a host is an address or nothing, and the resolver reads the short forms too. */
    const char *last = host + len;
    while (last > host && last[-1] != '.') {
        last--;
    }
    return *last >= '0' && *last <= '9';
}

/* Addresses written out. TR_OK with *out NULL: it is a name. */
static tr_code_t
numeric_answer(answer_t **out, const char *host, size_t len, int family)
{
    struct addrinfo hints, *list = NULL;
    *out = NULL;
    if (strchr(host, ':') == NULL && !ends_with_digit_label(host, len)) {
        return TR_OK;
    }
    memset(&hints, 0, sizeof(hints));
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST;
    if (getaddrinfo(host, NULL, &hints, &list) != 0) {
        return TR_OK;
    }
    tr_code_t code = TR_OK;
    answer_t *answer = answer_new(1);
    if (answer == NULL) {
        code = TR_ERR_NOMEM;
    } else if ((family != AF_UNSPEC && list->ai_family != family) ||
               list->ai_addrlen > sizeof(answer->addresses[0].storage)) {
        answer->eai = EAI_NONAME;
    } else {
        memset(&answer->addresses[0], 0, sizeof(answer->addresses[0]));
        memcpy(&answer->addresses[0].storage, list->ai_addr, list->ai_addrlen);
        answer->addresses[0].len = list->ai_addrlen;
        answer->num = 1;
    }
    *out = answer;
    freeaddrinfo(list);
    return code;
}

/* RFC 6761 6.3: localhost, and names below it, are this machine whatever the resolver says. */
static bool
is_localhost(tr_slice_t host)
{
    static const char name[] = "localhost";
    size_t len = sizeof(name) - 1;
    if (host.len > 0 && host.data[host.len - 1] == '.') {
        host.len--;
    }
    if (host.len < len || !tr_slice_ieq(tr_slice(host.data + host.len - len, len), TR_SLICE_LIT("localhost"))) {
        return false;
    }
    return host.len == len || host.data[host.len - len - 1] == '.';
}

static answer_t *
localhost_answer(int family)
{
    answer_t *answer = answer_new(2);
    if (answer == NULL) {
        return NULL;
    }
    memset(answer->addresses, 0, 2 * sizeof(answer->addresses[0]));
    if (family != AF_INET) {
        tr_address_t *address = &answer->addresses[answer->num++];
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address->storage;
        in6->sin6_family = AF_INET6;
        in6->sin6_addr = in6addr_loopback;
        address->len = sizeof(*in6);
    }
    if (family != AF_INET6) {
        tr_address_t *address = &answer->addresses[answer->num++];
        struct sockaddr_in *in = (struct sockaddr_in *)&address->storage;
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address->len = sizeof(*in);
    }
    return answer;
}

/* ---------------------------------------------------------------------------------------------------------------- API */

tr_code_t
tr_dns_resolve(tr_dns_t *dns, tr_dns_query_t **out, const char *host, uint16_t port, int family,
               void (*done)(void *arg, const tr_address_t *addresses, size_t num, const tr_err_t *err), void *arg,
               tr_err_t *err)
{
    return tr_dns_resolve_within(dns, out, host, port, family, TR_DNS_MAX_AGE_NS, done, arg, err);
}

tr_code_t
tr_dns_resolve_within(tr_dns_t *dns, tr_dns_query_t **out, const char *host, uint16_t port, int family, uint64_t max_age_ns,
                      void (*done)(void *arg, const tr_address_t *addresses, size_t num, const tr_err_t *err), void *arg,
                      tr_err_t *err)
{
    static const char where[] = "net.dns_resolve";
    tr_code_t code = TR_OK;
    size_t len = strlen(host);
    char key[1 + HOST_MAX + 1];
    *out = NULL;
    if (family != AF_UNSPEC && family != AF_INET && family != AF_INET6) {
        return tr_err_set(err, TR_ERR_INVALID_ARGUMENT, family, where, "unknown address family");
    }
    tr_dns_query_t *query = len > SIZE_MAX / 2 ? NULL : tr_malloc(sizeof(*query) + len + 1);
    if (query == NULL) {
        return tr_err_nomem(err, where);
    }
    *query = (tr_dns_query_t){{NULL, NULL}, dns, NULL, NULL, port, done, arg};
    memcpy(query->host, host, len + 1);
    if (len == 0 || len > HOST_MAX) {
        query->answer = answer_new(0);
        code = query->answer == NULL ? TR_ERR_NOMEM : TR_OK;
        if (query->answer != NULL) {
            query->answer->eai = EAI_NONAME;
        }
    } else if (is_localhost(tr_slice(host, len))) {
        query->answer = localhost_answer(family);
        code = query->answer == NULL ? TR_ERR_NOMEM : TR_OK;
    } else {
        code = numeric_answer(&query->answer, host, len, family);
    }
    if (code != TR_OK) {
        code = tr_err_nomem(err, where);
        goto done;
    }
    if (query->answer == NULL) {
        key[0] = family == AF_INET ? '4' : family == AF_INET6 ? '6' : '*';
        for (size_t i = 0; i < len; i++) {
            key[1 + i] = (char)tr_ascii_lower((uint8_t)host[i]);
        }
        query->answer = cache_get(dns, tr_slice(key, len + 1), max_age_ns);
        if (query->answer != NULL) {
            query->answer->refs++;
        }
    }
    if (query->answer != NULL) {
        tr_list_push(&dns->ready, &query->link);
        tr_loop_defer(dns->loop, &dns->tell);
    } else {
        code = lookup_join(dns, query, tr_slice(key, len + 1), family, err);
        if (code != TR_OK) {
            goto done;
        }
    }
    *out = query;
    query = NULL;
done:
    if (query != NULL) {
        query_free(query);
    }
    return code;
}

tr_code_t
tr_dns_answer(tr_dns_t *dns, tr_dns_query_t **out, const char *host, uint16_t port, const tr_address_t *addresses, size_t num,
              int family, void (*done)(void *arg, const tr_address_t *addresses, size_t num, const tr_err_t *err), void *arg, tr_err_t *err)
{
    size_t len = strlen(host);
    num = TR_MIN(num, (size_t)TR_DNS_MAX_ADDRESSES);
    *out = NULL;
    tr_dns_query_t *query = tr_malloc(sizeof(*query) + len + 1);
    answer_t *answer = answer_new(num);
    if (query == NULL || answer == NULL) {
        tr_free(query);
        answer_unref(answer);
        return tr_err_nomem(err, "net.dns_answer");
    }
    *query = (tr_dns_query_t){{NULL, NULL}, dns, NULL, answer, 0, done, arg};
    memcpy(query->host, host, len + 1);
    for (size_t i = 0; i < num; i++) {
        int own = addresses[i].storage.ss_family;
        if (family == AF_UNSPEC || own == family || (own != AF_INET && own != AF_INET6)) {
            answer->addresses[answer->num] = addresses[i];
            give_port(&answer->addresses[answer->num++], port);
        }
    }
    if (answer->num == 0) {
        answer->eai = EAI_NONAME;
    }
    tr_list_push(&dns->ready, &query->link);
    tr_loop_defer(dns->loop, &dns->tell);
    *out = query;
    return TR_OK;
}

void
tr_dns_cancel(tr_dns_query_t *query)
{
    if (query == NULL) {
        return;
    }
    lookup_t *lookup = query->lookup;
    tr_dns_t *dns = query->dns;
    query_free(query);
    /* A name that nobody waits for leaves the pool's queue; one that a worker is busy with fills the cache. */
    if (lookup != NULL && tr_list_empty(&lookup->queries) && tr_workers_cancel(dns->workers, &lookup->job)) {
        (void)tr_map_remove(&dns->lookups, tr_slice(lookup->key, lookup->key_len));
        lookup_free(lookup);
    }
}

void
tr_dns_set_lookup(tr_dns_t *dns, tr_dns_lookup_t lookup)
{
    dns->lookup = lookup == NULL ? lookup_getaddrinfo : lookup;
}

tr_code_t
tr_dns_new(tr_dns_t **out, tr_loop_t *loop, tr_err_t *err)
{
    uint64_t seeds[2];
    *out = NULL;
    tr_dns_t *dns = tr_calloc(1, sizeof(*dns));
    if (dns == NULL) {
        return tr_err_nomem(err, "net.dns_new");
    }
    dns->loop = loop;
    dns->lookup = lookup_getaddrinfo;
    dns->tell = (tr_defer_t){{NULL, NULL}, tell_ready, dns};
    tr_list_init(&dns->recent);
    tr_list_init(&dns->ready);
    tr_list_init(&dns->told);
    tr_code_t code = tr_rand_system.fill(tr_rand_system.arg, (uint8_t *)seeds, sizeof(seeds));
    if (code != TR_OK) {
        (void)tr_err_set(err, code, 0, "net.dns_new", NULL);
        goto done;
    }
    tr_map_init(&dns->lookups, seeds[0], seeds[1]);
    tr_map_init(&dns->cache, seeds[1], seeds[0]);
    code = tr_workers_new(&dns->workers, loop, THREADS_MAX, THREAD_IDLE_NS, err);
    if (code != TR_OK) {
        goto done;
    }
    *out = dns;
    dns = NULL;
done:
    tr_free(dns);
    return code;
}

static void
drop_queries(tr_list_t *queries)
{
    tr_link_t *link;
    while ((link = tr_list_first(queries)) != NULL) {
        query_free(TR_CONTAINER_OF(link, tr_dns_query_t, link));
    }
}

static bool
drop_lookup_queries(void *arg, tr_slice_t key, void *value)
{
    TR_UNUSED(arg);
    TR_UNUSED(key);
    drop_queries(&((lookup_t *)value)->queries);
    return true;
}

static void
dns_release(tr_dns_t *dns)
{
    tr_list_remove(&dns->tell.link);
    tr_free(dns);
}

void
tr_dns_free(tr_dns_t *dns)
{
    if (dns == NULL || tr_loop_is_inherited(dns->loop)) {
        return;
    }
    drop_queries(&dns->ready);
    drop_queries(&dns->told);
    tr_map_each(&dns->lookups, drop_lookup_queries, NULL);
    tr_map_cleanup(&dns->lookups);
    tr_workers_free(dns->workers);
    dns->workers = NULL;
    tr_link_t *link;
    while ((link = tr_list_first(&dns->recent)) != NULL) {
        cache_drop(dns, TR_CONTAINER_OF(link, cached_t, link));
    }
    tr_map_cleanup(&dns->cache);
    if (dns->telling) {
        dns->freed = true; /* tell_ready, which called us, does the rest */
    } else {
        dns_release(dns);
    }
}

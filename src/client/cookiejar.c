#include "client/cookiejar.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "client/cookie_parse.h"
#include "client/psl.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/mem.h"

/* Cookies that match one request and need no allocation for sorting. */
#define MATCHES_SMALL 64
/* Longer than any host name (RFC 1035 2.3.4). */
#define MAX_DOMAIN 256

typedef struct bucket bucket_t;

typedef struct cookie {
    tr_link_t by_age;    /* in jar->all */
    tr_link_t in_bucket; /* in bucket->cookies; both in order of creation */
    bucket_t *bucket;
    tr_cookie_t is;      /* slices lie in bytes */
    uint64_t created;    /* a count, not a time: two cookies of one second keep their order */
    uint64_t used;       /* likewise: when it was last set or sent */
    uint8_t bytes[];
} cookie_t;

/* All cookies of one domain. */
struct bucket {
    tr_list_t cookies;
    size_t num;
    tr_slice_t domain; /* lies in bytes */
    uint8_t bytes[];
};

/* Buckets stand in an array sorted by domain: a look-up is a binary search for the host and each of its parents, and no server can choose
 * domains that make it slow. */
struct tr_cookiejar {
    atomic_uint refs;
    atomic_size_t num; /* cookies; written under the lock, read without it by those who only want to know whether there are any */
    pthread_mutex_t lock; /* guards all below */
    tr_list_t all;
    bucket_t **buckets;
    size_t num_buckets;
    size_t cap_buckets;
    uint64_t clock; /* of created and used */
};

/* -------------------------------------------------------------------------------------------------------------- life */

tr_cookiejar_t *
tr_cookiejar_new(void)
{
    tr_cookiejar_t *jar = tr_calloc(1, sizeof(*jar));
    if (jar == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&jar->lock, NULL) != 0) {
        tr_free(jar);
        return NULL;
    }
    atomic_init(&jar->refs, 1);
    atomic_init(&jar->num, 0);
    tr_list_init(&jar->all);
    return jar;
}

tr_cookiejar_t *
tr_cookiejar_ref(tr_cookiejar_t *jar)
{
    atomic_fetch_add_explicit(&jar->refs, 1, memory_order_relaxed);
    return jar;
}

/* ------------------------------------------------------------------------------------------------- under the lock: store */

static int
compare(tr_slice_t a, tr_slice_t b)
{
    size_t len = TR_MIN(a.len, b.len);
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* The bucket of a domain, or NULL and where it would stand. */
static bucket_t *
find_bucket(const tr_cookiejar_t *jar, tr_slice_t domain, size_t *out_index)
{
    size_t low = 0, high = jar->num_buckets;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(domain, jar->buckets[middle]->domain);
        if (order == 0) {
            *out_index = middle;
            return jar->buckets[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    *out_index = low;
    return NULL;
}

static bucket_t *
make_bucket(tr_cookiejar_t *jar, tr_slice_t domain)
{
    size_t index;
    bucket_t *bucket = find_bucket(jar, domain, &index);
    if (bucket != NULL) {
        return bucket;
    }
    if (jar->num_buckets == jar->cap_buckets) {
        size_t cap = TR_MAX(jar->cap_buckets * 2, (size_t)4); /* bounded: each bucket holds a cookie */
        bucket_t **grown = tr_realloc(jar->buckets, cap * sizeof(bucket_t *));
        if (grown == NULL) {
            return NULL;
        }
        jar->buckets = grown;
        jar->cap_buckets = cap;
    }
    bucket = tr_malloc(sizeof(*bucket) + domain.len);
    if (bucket == NULL) {
        return NULL;
    }
    tr_list_init(&bucket->cookies);
    bucket->num = 0;
    if (domain.len > 0) {
        memcpy(bucket->bytes, domain.data, domain.len);
    }
    bucket->domain = tr_slice(bucket->bytes, domain.len);
    memmove(jar->buckets + index + 1, jar->buckets + index, (jar->num_buckets - index) * sizeof(bucket_t *));
    jar->buckets[index] = bucket;
    jar->num_buckets++;
    return bucket;
}

static void
drop_bucket_if_empty(tr_cookiejar_t *jar, bucket_t *bucket)
{
    size_t index;
    if (bucket->num == 0 && find_bucket(jar, bucket->domain, &index) == bucket) {
        jar->num_buckets--;
        memmove(jar->buckets + index, jar->buckets + index + 1, (jar->num_buckets - index) * sizeof(bucket_t *));
        tr_free(bucket);
    }
}

/* Takes a cookie out; the bucket stays, even when it is empty. */
static void
unlink_cookie(tr_cookiejar_t *jar, cookie_t *cookie)
{
    tr_list_remove(&cookie->by_age);
    tr_list_remove(&cookie->in_bucket);
    cookie->bucket->num--;
    atomic_fetch_sub_explicit(&jar->num, 1, memory_order_release);
    tr_free(cookie);
}

static void
remove_cookie(tr_cookiejar_t *jar, cookie_t *cookie)
{
    bucket_t *bucket = cookie->bucket;
    unlink_cookie(jar, cookie);
    drop_bucket_if_empty(jar, bucket);
}

static bool
is_expired(const cookie_t *cookie, int64_t now_s)
{
    return cookie->is.expires_s != 0 && cookie->is.expires_s <= now_s;
}

static cookie_t *
first_of(const bucket_t *bucket)
{
    tr_link_t *link = tr_list_first(&bucket->cookies);
    return link == NULL ? NULL : TR_CONTAINER_OF(link, cookie_t, in_bucket);
}

static cookie_t *
next_of(const bucket_t *bucket, const cookie_t *cookie)
{
    tr_link_t *link = tr_list_next(&bucket->cookies, &cookie->in_bucket);
    return link == NULL ? NULL : TR_CONTAINER_OF(link, cookie_t, in_bucket);
}

static cookie_t *
first_of_all(const tr_cookiejar_t *jar)
{
    tr_link_t *link = tr_list_first(&jar->all);
    return link == NULL ? NULL : TR_CONTAINER_OF(link, cookie_t, by_age);
}

static cookie_t *
next_of_all(const tr_cookiejar_t *jar, const cookie_t *cookie)
{
    tr_link_t *link = tr_list_next(&jar->all, &cookie->by_age);
    return link == NULL ? NULL : TR_CONTAINER_OF(link, cookie_t, by_age);
}

/* RFC 6265bis 5.7 step 22 (and the same domain and path with it): the identity of a cookie. */
static cookie_t *
find_cookie(const bucket_t *bucket, const tr_cookie_t *like)
{
    for (cookie_t *cookie = first_of(bucket); cookie != NULL; cookie = next_of(bucket, cookie)) {
        if (tr_slice_eq(cookie->is.name, like->name) && tr_slice_eq(cookie->is.path, like->path) &&
            ((cookie->is.flags ^ like->flags) & TR_COOKIE_HOST_ONLY) == 0) {
            return cookie;
        }
    }
    return NULL;
}

/* What must leave first (RFC 6265bis 5.7): the expired, then those without Secure, each time the one that was used longest ago. */
static bool
leaves_before(const cookie_t *a, const cookie_t *b, int64_t now_s)
{
    bool a_expired = is_expired(a, now_s), b_expired = is_expired(b, now_s);
    if (a_expired != b_expired) {
        return a_expired;
    }
    bool a_secure = (a->is.flags & TR_COOKIE_SECURE) != 0, b_secure = (b->is.flags & TR_COOKIE_SECURE) != 0;
    if (a_secure != b_secure) {
        return b_secure;
    }
    return a->used < b->used;
}

/* What a cookie is counted with: the domain its owner registered and all below; alone: no domain but a public suffix, an address or a short
 * name, and what is below is another's. */
typedef struct site {
    tr_slice_t domain;
    bool alone;
} site_t;

static bool
is_of_site(const bucket_t *bucket, const site_t *site)
{
    return site->alone ? tr_slice_eq(bucket->domain, site->domain) : tr_cookie_domain_match(bucket->domain, site->domain);
}

static cookie_t *
victim_of_site(const tr_cookiejar_t *jar, const cookie_t *keep, int64_t now_s)
{
    site_t site = {tr_psl_site(keep->bucket->domain), false};
    site.alone = tr_psl_is_suffix(site.domain);
    size_t num = 0;
    cookie_t *victim = NULL;
    for (size_t i = 0; i < jar->num_buckets; i++) {
        num += is_of_site(jar->buckets[i], &site) ? jar->buckets[i]->num : 0;
    }
    for (size_t i = 0; i < jar->num_buckets && num > TR_COOKIE_MAX_PER_SITE; i++) {
        bucket_t *bucket = jar->buckets[i];
        cookie_t *cookie = is_of_site(bucket, &site) ? first_of(bucket) : NULL;
        for (; cookie != NULL; cookie = next_of(bucket, cookie)) {
            if (cookie != keep && (victim == NULL || leaves_before(cookie, victim, now_s))) {
                victim = cookie;
            }
        }
    }
    return victim;
}

/* Browsers count by site: else one with many subdomains could push out everybody else's cookies. */
static void
make_room(tr_cookiejar_t *jar, const cookie_t *keep, int64_t now_s)
{
    size_t num = atomic_load_explicit(&jar->num, memory_order_relaxed);
    cookie_t *victim = num > TR_COOKIE_MAX_PER_SITE ? victim_of_site(jar, keep, now_s) : NULL;
    if (victim == NULL && num > TR_COOKIE_MAX_TOTAL) {
        for (cookie_t *cookie = first_of_all(jar); cookie != NULL; cookie = next_of_all(jar, cookie)) {
            if (cookie != keep && (victim == NULL || leaves_before(cookie, victim, now_s))) {
                victim = cookie;
            }
        }
    }
    if (victim != NULL) {
        remove_cookie(jar, victim);
    }
}

static tr_slice_t
copy_into(uint8_t **at, tr_slice_t text, bool lower)
{
    uint8_t *start = *at;
    for (size_t i = 0; i < text.len; i++) {
        start[i] = lower ? tr_ascii_lower(text.data[i]) : text.data[i];
    }
    *at += text.len;
    return tr_slice(start, text.len);
}

static void
insert_before(tr_link_t *place, tr_link_t *link)
{
    link->prev = place->prev;
    link->next = place;
    place->prev->next = link;
    place->prev = link;
}

/* Stores a copy; one of the same identity gives up its place (RFC 6265bis 5.7: the creation time stays). */
static tr_code_t
store(tr_cookiejar_t *jar, const tr_cookie_t *like, int64_t now_s)
{
    size_t len = like->name.len + like->value.len + like->domain.len + like->path.len; /* each bounded by the callers */
    cookie_t *cookie = tr_calloc(1, sizeof(*cookie) + len);
    if (cookie == NULL) {
        return TR_ERR_NOMEM;
    }
    uint8_t *at = cookie->bytes;
    cookie->is = *like;
    cookie->is.name = copy_into(&at, like->name, false);
    cookie->is.value = copy_into(&at, like->value, false);
    cookie->is.domain = copy_into(&at, like->domain, true);
    cookie->is.path = copy_into(&at, like->path, false);
    bucket_t *bucket = make_bucket(jar, cookie->is.domain);
    if (bucket == NULL) {
        tr_free(cookie);
        return TR_ERR_NOMEM;
    }
    cookie_t *old = find_cookie(bucket, &cookie->is);
    cookie->bucket = bucket;
    cookie->used = ++jar->clock;
    bucket->num++;
    atomic_fetch_add_explicit(&jar->num, 1, memory_order_release);
    if (old != NULL) {
        cookie->created = old->created;
        insert_before(&old->by_age, &cookie->by_age);
        insert_before(&old->in_bucket, &cookie->in_bucket);
        unlink_cookie(jar, old);
    } else {
        cookie->created = jar->clock;
        tr_list_push(&jar->all, &cookie->by_age);
        tr_list_push(&bucket->cookies, &cookie->in_bucket);
        make_room(jar, cookie, now_s);
    }
    return TR_OK;
}

void
tr_cookiejar_unref(tr_cookiejar_t *jar)
{
    if (jar == NULL || atomic_fetch_sub_explicit(&jar->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    cookie_t *cookie;
    while ((cookie = first_of_all(jar)) != NULL) {
        unlink_cookie(jar, cookie);
    }
    for (size_t i = 0; i < jar->num_buckets; i++) {
        tr_free(jar->buckets[i]);
    }
    tr_free(jar->buckets);
    pthread_mutex_destroy(&jar->lock);
    tr_free(jar);
}

/* ------------------------------------------------------------------------------------------------------------ receive */

/* The host's bucket, then its parents' one after the other: domain starts as the host. False at the end. An address has no parents. */
static bool
next_parent(tr_slice_t *domain)
{
    const uint8_t *dot = domain->len == 0 ? NULL : memchr(domain->data, '.', domain->len);
    if (dot == NULL) {
        return false;
    }
    *domain = tr_slice(dot + 1, domain->len - (size_t)(dot + 1 - domain->data));
    return domain->len > 0;
}

static bool
shadows_in(const bucket_t *bucket, const tr_cookie_t *cookie)
{
    for (const cookie_t *other = first_of(bucket); other != NULL; other = next_of(bucket, other)) {
        if ((other->is.flags & TR_COOKIE_SECURE) != 0 && tr_slice_eq(other->is.name, cookie->name) &&
            tr_cookie_path_match(cookie->path, other->is.path)) {
            return true;
        }
    }
    return false;
}

/* RFC 6265bis 5.7 step 16 ("leave secure cookies alone"): without TLS nothing may take the place of, or stand before, a Secure cookie of
 * that name on this domain, its parents or its children. */
static bool
shadows_secure(const tr_cookiejar_t *jar, const tr_cookie_t *cookie)
{
    tr_slice_t domain = cookie->domain;
    do {
        size_t index;
        const bucket_t *bucket = find_bucket(jar, domain, &index);
        if (bucket != NULL && shadows_in(bucket, cookie)) {
            return true;
        }
    } while (next_parent(&domain));
    for (size_t i = 0; i < jar->num_buckets; i++) {
        if (jar->buckets[i]->domain.len > cookie->domain.len && tr_cookie_domain_match(jar->buckets[i]->domain, cookie->domain) &&
            shadows_in(jar->buckets[i], cookie)) {
            return true;
        }
    }
    return false;
}

/* RFC 6265bis 5.7, the steps about Domain: fills domain and the host-only flag; lower has 256 bytes, to which cookie->domain may point
 * afterwards. False: the cookie is ignored. */
static bool
take_domain(tr_cookie_t *cookie, uint8_t lower[MAX_DOMAIN], tr_slice_t host, tr_slice_t attribute)
{
    cookie->domain = host;
    cookie->flags |= TR_COOKIE_HOST_ONLY;
    if (attribute.len == 0) {
        return true;
    }
    if (attribute.len > MAX_DOMAIN) {
        return false;
    }
    for (size_t i = 0; i < attribute.len; i++) {
        if (attribute.data[i] >= 0x80) {
            return false; /* internationalised names come as xn-- */
        }
    }
    uint8_t *at = lower;
    tr_slice_t domain = copy_into(&at, attribute, true);
    bool is_host = tr_slice_eq(domain, host);
    if (!is_host && !tr_cookie_domain_match(host, domain)) {
        return false;
    }
    if (tr_host_is_ip(host)) {
        return true; /* nothing is below an address */
    }
    if (tr_psl_is_suffix(domain)) {
        return is_host; /* a host that is a public suffix may set cookies for itself alone */
    }
    cookie->domain = domain;
    cookie->flags &= ~(uint32_t)TR_COOKIE_HOST_ONLY;
    return true;
}

tr_code_t
tr_cookiejar_receive(tr_cookiejar_t *jar, const tr_url_t *url, tr_slice_t set_cookie, int64_t now_s)
{
    tr_set_cookie_t read;
    uint8_t lower[MAX_DOMAIN];
    if (!tr_set_cookie_parse(&read, set_cookie, now_s)) {
        return TR_OK;
    }
    tr_cookie_t cookie = {.name = read.name, .value = read.value, .flags = read.flags};
    if (!take_domain(&cookie, lower, url->host, read.domain)) {
        return TR_OK;
    }
    cookie.path = read.path.data != NULL ? read.path : tr_cookie_default_path(url->path);
    if (cookie.path.len > TR_COOKIE_MAX_ATTRIBUTE) {
        return TR_OK; /* a default path may be as long as a URL: such a cookie is not worth its memory */
    }
    bool secure_url = tr_url_is_trustworthy(url);
    bool is_secure = (read.flags & TR_COOKIE_SECURE) != 0;
    if ((is_secure && !secure_url) || (!is_secure && (read.flags & TR_COOKIE_SAMESITE_NONE) != 0) ||
        !tr_cookie_prefix_holds(&read, (cookie.flags & TR_COOKIE_HOST_ONLY) != 0, cookie.path)) {
        return TR_OK;
    }
    bool deletes = read.has_expiry && read.expires_s <= now_s;
    cookie.expires_s = read.has_expiry ? read.expires_s : 0;

    tr_code_t code = TR_OK;
    pthread_mutex_lock(&jar->lock);
    if (!secure_url && shadows_secure(jar, &cookie)) {
        goto done;
    }
    if (deletes) {
        size_t index;
        bucket_t *bucket = find_bucket(jar, cookie.domain, &index);
        cookie_t *old = bucket == NULL ? NULL : find_cookie(bucket, &cookie);
        if (old != NULL) {
            remove_cookie(jar, old);
        }
    } else {
        code = store(jar, &cookie, now_s);
    }
done:
    pthread_mutex_unlock(&jar->lock);
    return code;
}

/* ------------------------------------------------------------------------------------------------------ for the caller */

/* What must not stand in a Cookie field: controls, and the separators where they would be read as such. */
static bool
is_clean(tr_slice_t text, bool is_name)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f || c == ';' || (is_name && c == '=')) {
            return false;
        }
    }
    return true;
}

tr_code_t
tr_cookiejar_set(tr_cookiejar_t *jar, const tr_cookie_t *given, tr_err_t *err)
{
    tr_cookie_t cookie = *given;
    cookie.flags &= ~(uint32_t)TR_COOKIE_ABSENT;
    if (!is_clean(cookie.name, true) || !is_clean(cookie.value, false) || !is_clean(cookie.path, false) ||
        !is_clean(cookie.domain, false)) {
        return tr_err_set(err, TR_ERR_HEADER_INVALID, 0, "cookiejar.set", "The cookie \"%.*s\" has characters that must not be sent.",
                          (int)TR_MIN(cookie.name.len, (size_t)64), (const char *)cookie.name.data);
    }
    if (cookie.name.len + cookie.value.len == 0 || cookie.name.len > TR_HTTP_MAX_HEADER_BYTES ||
        cookie.value.len > TR_HTTP_MAX_HEADER_BYTES || cookie.path.len > TR_HTTP_MAX_HEADER_BYTES || cookie.domain.len > MAX_DOMAIN) {
        return tr_err_set(err, TR_ERR_INVALID_ARGUMENT, 0, "cookiejar.set", "A cookie is empty or too large.");
    }
    if (cookie.domain.len > 0 && cookie.domain.data[0] == '.') {
        cookie.domain = tr_slice(cookie.domain.data + 1, cookie.domain.len - 1);
    }
    if (cookie.path.len == 0) {
        cookie.path = TR_SLICE_LIT("/");
    }
    pthread_mutex_lock(&jar->lock);
    tr_code_t code = store(jar, &cookie, 0);
    pthread_mutex_unlock(&jar->lock);
    return code == TR_OK ? TR_OK : tr_err_nomem(err, "cookiejar.set");
}

/* A cookie that goes out. */
typedef struct match {
    const tr_cookie_t *is;
    cookie_t *stored; /* NULL: the request's own */
    uint64_t created; /* the place among those of the same path length */
} match_t;

typedef struct matches {
    match_t small[MATCHES_SMALL];
    match_t *list; /* small, or owned */
    size_t num;
    size_t cap;
} matches_t;

static tr_code_t
add_match(matches_t *matches, match_t match)
{
    if (matches->num == matches->cap) {
        size_t cap = matches->cap * 2;
        match_t *grown = tr_malloc(cap * sizeof(match_t));
        if (grown == NULL) {
            return TR_ERR_NOMEM;
        }
        memcpy(grown, matches->list, matches->num * sizeof(match_t));
        if (matches->list != matches->small) {
            tr_free(matches->list);
        }
        matches->list = grown;
        matches->cap = cap;
    }
    matches->list[matches->num++] = match;
    return TR_OK;
}

static tr_code_t
match_bucket(tr_cookiejar_t *jar, tr_slice_t domain, matches_t *matches, const tr_url_t *url, int64_t now_s)
{
    size_t index;
    tr_code_t code = TR_OK;
    bucket_t *bucket = find_bucket(jar, domain, &index);
    cookie_t *cookie = bucket == NULL ? NULL : first_of(bucket);
    while (cookie != NULL && code == TR_OK) {
        cookie_t *next = next_of(bucket, cookie);
        if (is_expired(cookie, now_s)) {
            unlink_cookie(jar, cookie);
        } else if (tr_cookie_matches(&cookie->is, url)) {
            code = add_match(matches, (match_t){&cookie->is, cookie, cookie->created});
        }
        cookie = next;
    }
    if (bucket != NULL) {
        drop_bucket_if_empty(jar, bucket);
    }
    return code;
}

static tr_code_t
match_jar(tr_cookiejar_t *jar, matches_t *matches, const tr_url_t *url, int64_t now_s)
{
    tr_slice_t domain = url->host;
    bool is_ip = tr_host_is_ip(url->host);
    tr_code_t code = match_bucket(jar, TR_SLICE_NULL, matches, url, now_s);
    while (code == TR_OK && domain.len > 0) {
        code = match_bucket(jar, domain, matches, url, now_s);
        if (is_ip || !next_parent(&domain)) {
            break;
        }
    }
    return code;
}

static bool
takes_place_of(const tr_cookie_t *own, const tr_cookie_t *other)
{
    return tr_slice_eq(own->name, other->name) && tr_slice_eq(own->path, other->path) &&
           (other->domain.len == 0 || tr_slice_eq(own->domain, other->domain));
}

static void
drop_match(matches_t *matches, const tr_cookie_t *mark)
{
    for (size_t k = 0; k < matches->num;) {
        if (takes_place_of(mark, matches->list[k].is) && tr_slice_eq(mark->value, matches->list[k].is->value)) {
            matches->list[k] = matches->list[--matches->num];
        } else {
            k++;
        }
    }
}

/* The request's own cookies. One that takes several places (of every host, of this one) stands in the first and empties the rest. */
static tr_code_t
match_own(matches_t *matches, const tr_url_t *url, const tr_cookie_t *own, size_t num_own)
{
    tr_code_t code = TR_OK;
    for (size_t i = 0; i < num_own && code == TR_OK; i++) {
        bool placed = false;
        if ((own[i].flags & TR_COOKIE_ABSENT) != 0) {
            drop_match(matches, &own[i]);
            continue;
        }
        if (!tr_cookie_matches(&own[i], url)) {
            continue;
        }
        for (size_t k = 0; k < matches->num;) {
            match_t *match = &matches->list[k];
            if (!takes_place_of(&own[i], match->is)) {
                k++;
            } else if (placed) {
                *match = matches->list[--matches->num];
            } else {
                match->is = &own[i];
                match->stored = NULL;
                placed = true;
                k++;
            }
        }
        if (!placed) {
            code = add_match(matches, (match_t){&own[i], NULL, UINT64_MAX - num_own + i});
        }
    }
    return code;
}

/* RFC 6265bis 5.8.3: longer paths first, then the older. */
static int
compare_matches(const void *a, const void *b)
{
    const match_t *x = a, *y = b;
    if (x->is->path.len != y->is->path.len) {
        return x->is->path.len > y->is->path.len ? -1 : 1;
    }
    return x->created < y->created ? -1 : x->created > y->created;
}

static tr_code_t
write_matches(tr_cookiejar_t *jar, const matches_t *matches, tr_buf_t *out)
{
    size_t total = 0;
    for (size_t i = 0; i < matches->num; i++) { /* each is bounded, and so is their number */
        total += matches->list[i].is->name.len + matches->list[i].is->value.len + 3;
    }
    tr_code_t code = tr_buf_reserve(out, total);
    if (code != TR_OK) {
        return code;
    }
    uint8_t *at = tr_buf_tail(out);
    uint8_t *start = at;
    for (size_t i = 0; i < matches->num; i++) {
        const match_t *match = &matches->list[i];
        if (i > 0) {
            *at++ = ';';
            *at++ = ' ';
        }
        if (match->is->name.len > 0) {
            (void)copy_into(&at, match->is->name, false);
            *at++ = '=';
        }
        (void)copy_into(&at, match->is->value, false);
        if (match->stored != NULL) {
            match->stored->used = ++jar->clock;
        }
    }
    tr_buf_commit(out, (size_t)(at - start));
    return TR_OK;
}

tr_code_t
tr_cookiejar_header(tr_cookiejar_t *jar, tr_buf_t *out, const tr_url_t *url, int64_t now_s, const tr_cookie_t *own, size_t num_own)
{
    matches_t matches;
    tr_code_t code = TR_OK;
    if (jar != NULL && tr_cookiejar_len(jar) == 0) {
        jar = NULL;
    }
    if (jar == NULL && num_own == 0) {
        return TR_OK;
    }
    matches.list = matches.small;
    matches.num = 0;
    matches.cap = MATCHES_SMALL;
    if (jar != NULL) {
        pthread_mutex_lock(&jar->lock);
        code = match_jar(jar, &matches, url, now_s);
    }
    if (code == TR_OK) {
        code = match_own(&matches, url, own, num_own);
    }
    if (code == TR_OK && matches.num > 0) {
        qsort(matches.list, matches.num, sizeof(match_t), compare_matches);
        code = write_matches(jar, &matches, out);
    }
    if (jar != NULL) {
        pthread_mutex_unlock(&jar->lock);
    }
    if (matches.list != matches.small) {
        tr_free(matches.list);
    }
    return code;
}

void
tr_cookiejar_each(tr_cookiejar_t *jar, int64_t now_s, bool (*fn)(void *arg, const tr_cookie_t *cookie), void *arg)
{
    pthread_mutex_lock(&jar->lock);
    for (cookie_t *cookie = first_of_all(jar); cookie != NULL;) {
        cookie_t *next = next_of_all(jar, cookie);
        if (is_expired(cookie, now_s)) {
            remove_cookie(jar, cookie);
        } else if (!fn(arg, &cookie->is)) {
            break;
        }
        cookie = next;
    }
    pthread_mutex_unlock(&jar->lock);
}

size_t
tr_cookiejar_remove(tr_cookiejar_t *jar, tr_slice_t name, tr_slice_t domain, tr_slice_t path, tr_cookie_scope_t scope)
{
    size_t num = 0;
    if (domain.len > 0 && domain.data[0] == '.') {
        domain = tr_slice(domain.data + 1, domain.len - 1);
    }
    pthread_mutex_lock(&jar->lock);
    for (cookie_t *cookie = first_of_all(jar); cookie != NULL;) {
        cookie_t *next = next_of_all(jar, cookie);
        tr_cookie_scope_t is_of = (cookie->is.flags & TR_COOKIE_HOST_ONLY) != 0 ? TR_COOKIE_OF_HOST : TR_COOKIE_OF_DOMAIN;
        if ((scope == TR_COOKIE_ANY_SCOPE || scope == is_of) && (name.data == NULL || tr_slice_eq(name, cookie->is.name)) && (domain.data == NULL || tr_slice_ieq(domain, cookie->is.domain)) &&
            (path.data == NULL || tr_slice_eq(path, cookie->is.path))) {
            remove_cookie(jar, cookie);
            num++;
        }
        cookie = next;
    }
    pthread_mutex_unlock(&jar->lock);
    return num;
}

size_t
tr_cookiejar_len(tr_cookiejar_t *jar)
{
    return atomic_load_explicit(&jar->num, memory_order_acquire);
}

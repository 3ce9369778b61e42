#include "client/hints.h"

#include "client/initiator.h"
#include "client/op.h"
#include "client/session.h"
#include "core/limits.h"
#include "core/mem.h"
#include "crypto/rand.h"

/* ---------------------------------------------------------------------------------------------------------------- reading */

/* RFC 8941 4.2. Each reader moves *at; false: no such thing is there. */
typedef struct text {
    const uint8_t *at, *end;
} text_t;

static bool
is_alpha(uint8_t c)
{
    c = tr_ascii_lower(c);
    return c >= 'a' && c <= 'z';
}

static bool
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static void
skip(text_t *t, bool tabs)
{
    while (t->at < t->end && (*t->at == ' ' || (tabs && *t->at == '\t'))) {
        t->at++;
    }
}

static bool
take(text_t *t, uint8_t c)
{
    if (t->at == t->end || *t->at != c) {
        return false;
    }
    t->at++;
    return true;
}

static bool
read_token(text_t *t, tr_slice_t *out)
{
    const uint8_t *start = t->at;
    if (t->at == t->end || !(is_alpha(*t->at) || *t->at == '*')) {
        return false;
    }
    while (t->at < t->end && (*t->at == ':' || *t->at == '/' || tr_http_is_token(tr_slice(t->at, 1)))) {
        t->at++;
    }
    *out = tr_slice(start, (size_t)(t->at - start));
    return true;
}

static bool
read_string(text_t *t)
{
    while (t->at < t->end) {
        uint8_t c = *t->at++;
        if (c == '"') {
            return true;
        }
        if (c == '\\') {
            if (t->at == t->end || (*t->at != '"' && *t->at != '\\')) {
                return false;
            }
            t->at++;
        } else if (c < 0x20 || c > 0x7e) {
            return false;
        }
    }
    return false;
}

/* A parameter's value: nothing is made of it. */
static bool
read_value(text_t *t)
{
    tr_slice_t token;
    if (take(t, '"')) {
        return read_string(t);
    }
    if (take(t, '?')) {
        return take(t, '0') || take(t, '1');
    }
    if (take(t, ':')) { /* bytes in base64 */
        while (t->at < t->end && (is_alpha(*t->at) || is_digit(*t->at) || *t->at == '+' || *t->at == '/' || *t->at == '=')) {
            t->at++;
        }
        return take(t, ':');
    }
    bool minus = take(t, '-');
    if (t->at < t->end && is_digit(*t->at)) {
        while (t->at < t->end && (is_digit(*t->at) || *t->at == '.')) {
            t->at++;
        }
        return t->at[-1] != '.';
    }
    return !minus && read_token(t, &token);
}

static bool
read_parameters(text_t *t)
{
    while (take(t, ';')) {
        skip(t, false);
        if (t->at == t->end || !((*t->at >= 'a' && *t->at <= 'z') || *t->at == '*')) {
            return false;
        }
        while (t->at < t->end && ((*t->at >= 'a' && *t->at <= 'z') || is_digit(*t->at) || *t->at == '_' || *t->at == '-' || *t->at == '.' || *t->at == '*')) {
            t->at++;
        }
        if (take(t, '=') && !read_value(t)) {
            return false;
        }
    }
    return true;
}

static tr_hint_set_t
set_of(tr_slice_t name)
{
    for (int i = 0; i < TR_HINT_COUNT; i++) {
        if (tr_slice_ieq(name, tr_slice_cstr(tr_hint_name((tr_hint_t)i)))) {
            return (tr_hint_set_t)1 << i;
        }
    }
    return 0;
}

static bool
read_list(tr_hint_set_t *set, tr_slice_t value)
{
    text_t t = {value.data, value.data + value.len};
    skip(&t, false);
    while (t.at < t.end) {
        tr_slice_t token;
        if (!read_token(&t, &token) || !read_parameters(&t)) {
            return false;
        }
        *set |= set_of(token);
        skip(&t, true);
        if (t.at == t.end) {
            break;
        }
        if (!take(&t, ',')) {
            return false;
        }
        skip(&t, true);
        if (t.at == t.end) {
            return false; /* a comma with nothing behind it */
        }
    }
    return true;
}

bool
tr_hints_parse(tr_hint_set_t *out, const tr_headers_t *headers, tr_slice_t name)
{
    size_t index = 0, num = 0;
    tr_slice_t value;
    *out = 0;
    for (; tr_headers_next(headers, &index, name, &value); num++) {
        if (!read_list(out, tr_http_trim(value))) {
            return false;
        }
    }
    return num > 0;
}

/* -------------------------------------------------------------------------------------------------------------- the store */

/* The browser and the origin: what one profile was asked for another does not know. */
static tr_slice_t
key_of(const tr_op_t *op, const tr_url_t *url, uint8_t *room, size_t size)
{
    size_t len = sizeof(op->profile->key);
    if (url->authority.len > size - len) {
        return TR_SLICE_NULL;
    }
    memcpy(room, &op->profile->key, len);
    memcpy(room + len, url->authority.data, url->authority.len);
    return tr_slice(room, len + url->authority.len);
}

/* A host name has 253 characters at most, an address with zone and port fewer. */
#define KEY_MAX 320

/* A set is kept as the pointer itself, with a bit that makes it no NULL. */
#define STORED ((uintptr_t)1 << 31)
_Static_assert(TR_HINT_COUNT < 31, "a set of hints and the bit that says that there is one");

static tr_hint_set_t
stored(const tr_op_t *op, const tr_url_t *url)
{
    uint8_t room[KEY_MAX];
    const tr_map_t *store = op->session->hints;
    tr_slice_t key = store == NULL ? TR_SLICE_NULL : key_of(op, url, room, sizeof(room));
    return key.data == NULL ? 0 : (tr_hint_set_t)((uintptr_t)tr_map_get(store, key) & ~STORED);
}

static tr_map_t *
new_store(void)
{
    uint64_t seed[2] = {0, 0};
    tr_map_t *store = tr_calloc(1, sizeof(*store));
    if (store != NULL) {
        /* Without randomness the table is slower at worst: it is bounded. */
        (void)tr_rand_system.fill(tr_rand_system.arg, (uint8_t *)seed, sizeof(seed));
        tr_map_init(store, seed[0], seed[1]);
    }
    return store;
}

void
tr_hints__free(tr_map_t *store)
{
    if (store != NULL) {
        tr_map_cleanup(store);
        tr_free(store);
    }
}

static tr_code_t
keep(tr_op_t *op, tr_hint_set_t set)
{
    uint8_t room[KEY_MAX];
    tr_session_t *session = op->session;
    tr_slice_t key = key_of(op, &op->ask.url, room, sizeof(room));
    if (set == 0 || key.data == NULL) {
        if (session->hints != NULL && key.data != NULL) {
            (void)tr_map_remove(session->hints, key);
        }
        return TR_OK;
    }
    if (session->hints != NULL && session->hints->len >= TR_HINTS_MAX_ORIGINS && tr_map_get(session->hints, key) == NULL) {
        tr_hints__free(session->hints);
        session->hints = NULL;
    }
    if (session->hints == NULL && (session->hints = new_store()) == NULL) {
        return TR_ERR_NOMEM;
    }
    return tr_map_put(session->hints, NULL, key, (void *)((uintptr_t)set | STORED));
}

/* --------------------------------------------------------------------------------------------------------------- exchanges */

/* A page itself is visited. */
static bool
is_visit(const tr_op_t *op)
{
    return (op->kind == TR_KIND_NAVIGATE || op->kind == TR_KIND_FORM) && tr_url_is_https(&op->ask.url);
}

#define BIT(name) ((tr_hint_set_t)1 << TR_HINT_##name)

/* Those of images, which a visit may be asked for, too. */
#define OF_IMAGES (BIT(WIDTH) | BIT(CH_WIDTH))

/* What a profile's browser answers. Those of every request are asked for in vain, and so is save-data, which is off. */
static tr_hint_set_t
answered(const tr_profile_t *profile)
{
    tr_hint_set_t set = 0;
    for (int i = 0; i < TR_HINT_COUNT; i++) {
        set |= profile->hints[i] != NULL ? (tr_hint_set_t)1 << i : 0;
    }
    return set;
}

bool
tr_hints__received(tr_op_t *op, const tr_headers_t *headers)
{
    tr_hint_set_t asked, critical;
    if (!is_visit(op) || !tr_hints_parse(&asked, headers, TR_SLICE_LIT("accept-ch"))) {
        return false;
    }
    asked &= answered(op->profile) | OF_IMAGES;
    if (keep(op, asked) != TR_OK) {
        return false;
    }
    /* Client Hints Reliability 3: a safe request is made again. In Chromium 156 a hint of images counts as missing, too, but something
     * must be new in the request. */
    tr_hint_set_t added = asked & ~op->hints;
    bool safe = tr_slice_eq(op->ask.method, TR_SLICE_LIT("GET")) || tr_slice_eq(op->ask.method, TR_SLICE_LIT("HEAD"));
    return safe && !op->ask.has_body && !op->restarted && (op->flags & TR_OP_EXACT_HEADERS) == 0 &&
           tr_hints_parse(&critical, headers, TR_SLICE_LIT("critical-ch")) && (critical & added) != 0 &&
           (added & ~OF_IMAGES) != 0;
}

void
tr_hints__compose(tr_op_t *op, tr_slice_t of_connection, tr_compose_t *out)
{
    const tr_initiator_t *initiator = op->initiator;
    tr_hint_set_t asked = 0;
    out->restarted = op->restarted;
    op->hints = 0;
    if (op->profile->hints == NULL || op->kind == TR_KIND_WEBSOCKET || !tr_url_is_https(&op->ask.url)) {
        return;
    }
    /* What a page loads from other origins has none: nobody delegated them (Permissions Policy). */
    if (initiator != NULL && op->kind != TR_KIND_NAVIGATE && op->kind != TR_KIND_FORM && !tr_url_same_origin(&initiator->page, &op->ask.url)) {
        return;
    }
    out->hints = op->hints = stored(op, &op->ask.url);
    if (is_visit(op) && read_list(&asked, tr_http_trim(of_connection))) {
        out->late_hints = asked & answered(op->profile) & ~out->hints;
        op->hints |= out->late_hints;
    }
}

/* Fuzz target: the ClientHello builder, with profiles as they are made at run time. The input is the rows of a profile (and a session, a host,
 * a retry); what comes out is refused with PROFILE_INVALID or a place in the hello that is too long, or is a ClientHello that reads back: lengths
 * that fit, the suites and extensions of the rows in a permutation that leaves pinned ones, no extension twice. The
 * first byte may also choose a built-in profile. */
#include "core/fuzz_replay.h"
#include "core/rd.h"
#include "tls/hello.h"

#define NOW_MS UINT64_C(1700000000000)

typedef struct source {
    const uint8_t *data;
    size_t len;
    tr_profile_t *profile;
} source_t;

static uint8_t
u8(source_t *in)
{
    uint8_t value = 0;
    if (in->len > 0) {
        value = *in->data++;
        in->len--;
    }
    return value;
}

static uint16_t
u16(source_t *in)
{
    uint16_t high = u8(in);
    return (uint16_t)(high << 8 | u8(in));
}

static void *
memory(source_t *in, size_t size)
{
    void *block = tr_profile_alloc(in->profile, size == 0 ? 1 : size);
    TR_FUZZ_CHECK(block != NULL);
    return block;
}

static uint16_t *
u16s(source_t *in, size_t num)
{
    uint16_t *values = memory(in, num * sizeof(*values));
    for (size_t i = 0; i < num; i++) {
        values[i] = u16(in);
    }
    return values;
}

static tr_slice_t
bytes(source_t *in, size_t len)
{
    len = TR_MIN(len, in->len);
    uint8_t *copy = memory(in, len);
    memcpy(copy, in->data, len);
    in->data += len;
    in->len -= len;
    return tr_slice(copy, len);
}

/* As python/profile.c fills it: what that refuses cannot come here, either. */
static void
read_profile(source_t *in)
{
    tr_profile_t *p = in->profile;
    p->flags |= (uint32_t)u16(in) & (TR_PROFILE_H2_EMPTY_DATA - 1);
    p->record_version = 0x0301;
    p->legacy_version = (uint16_t)(u16(in) % 0x0304);
    p->session_id_len = u8(in) % 33;
    p->num_suites = u8(in);
    p->suites = u16s(in, p->num_suites);
    p->ech.payload = (tr_ech_payload_t)(u8(in) % (TR_ECH_PAYLOAD_NSS + 1));
    p->ech.kdf = 1;
    p->ech.num_aeads = u8(in) % 4;
    p->ech.aeads = u16s(in, p->ech.num_aeads);
    p->ech.num_payload_lens = u8(in) % 4;
    p->ech.payload_lens = u16s(in, p->ech.num_payload_lens);
    p->ech.enc_len = (uint16_t)(u16(in) % 8193);
    p->num_exts = u8(in) % 80;
    tr_profile_ext_t *exts = memory(in, p->num_exts * sizeof(*exts));
    for (size_t i = 0; i < p->num_exts; i++) {
        exts[i].type = u16(in);
        exts[i].num_values = u8(in);
        exts[i].values = u16s(in, exts[i].num_values);
        exts[i].data = bytes(in, u8(in));
    }
    p->exts = exts;
    p->num_pinned_first = u8(in) % (p->num_exts + 1);
    p->num_pinned_last = u8(in) % (p->num_exts + 1);
}

/* Drawn bytes differ from call to call: a generator that always says the same never ends a draw without bias. */
static tr_code_t
draw(void *arg, uint8_t *out, size_t len)
{
    uint32_t *state = arg;
    for (size_t i = 0; i < len; i++) {
        *state = *state * 1664525u + 1013904223u;
        out[i] = (uint8_t)(*state >> 24);
    }
    return TR_OK;
}

static void
check_hello(const tr_hello_t *hello, tr_slice_t message)
{
    const tr_profile_t *p = hello->profile;
    tr_rd_t rd = tr_rd(message), body, id, suites, compression, exts, ext;
    uint8_t type;
    uint16_t version, suite, seen[96];
    tr_slice_t random;
    size_t num_suites = 0, num_exts = 0, expected = 0;
    TR_FUZZ_CHECK(tr_rd_u8(&rd, &type) && type == 1 && tr_rd_sub(&rd, &body, 3) && tr_rd_end(&rd));
    TR_FUZZ_CHECK(tr_rd_u16(&body, &version) && version == p->legacy_version && tr_rd_bytes(&body, &random, 32));
    TR_FUZZ_CHECK(tr_rd_sub(&body, &id, 1) && tr_rd_sub(&body, &suites, 2) && tr_rd_sub(&body, &compression, 1));
    TR_FUZZ_CHECK(tr_rd_sub(&body, &exts, 2) && tr_rd_end(&body));
    while (!tr_rd_end(&suites)) {
        TR_FUZZ_CHECK(tr_rd_u16(&suites, &suite) && num_suites < p->num_suites);
        TR_FUZZ_CHECK(suite == (p->suites[num_suites] == TR_GREASE ? hello->grease_suite : p->suites[num_suites]));
        num_suites++;
    }
    TR_FUZZ_CHECK(num_suites == p->num_suites);
    while (!tr_rd_end(&exts)) {
        TR_FUZZ_CHECK(num_exts < TR_ARRAY_LEN(seen) && tr_rd_u16(&exts, &seen[num_exts]) && tr_rd_sub(&exts, &ext, 2));
        TR_FUZZ_CHECK(seen[num_exts] != TR_EXT_SERVER_NAME || !hello->host_is_address);
        for (size_t i = 0; i < num_exts; i++) {
            /* A row may name a GREASE value that is then drawn, too. */
            TR_FUZZ_CHECK(seen[i] != seen[num_exts] || (seen[i] & 0x0f0f) == 0x0a0a);
        }
        num_exts++;
    }
    for (size_t i = 0; i < p->num_exts; i++) {
        TR_FUZZ_CHECK(hello->order[i] < p->num_exts);
        TR_FUZZ_CHECK(i >= p->num_pinned_first || hello->order[i] == i);
        TR_FUZZ_CHECK(i < (size_t)p->num_exts - p->num_pinned_last || hello->order[i] == i);
        expected += p->exts[i].type != TR_EXT_PRE_SHARED_KEY;
    }
    TR_FUZZ_CHECK(num_exts <= expected + 2);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const hosts[] = {"www.example.org", "127.0.0.1", "::1", "a", "xn--bcher-kva.example.", "1.2.3", "host.123"};
    if (size < 4) {
        return 0;
    }
    source_t in = {data, size, NULL};
    uint8_t mode = u8(&in), which = u8(&in);
    uint32_t seed = u16(&in);
    const tr_profile_t *profile;
    tr_session_ticket_t session = {.version = (mode & 4) != 0 ? 0x0303 : 0x0304, .lifetime_s = 1000, .received_ms = NOW_MS - 5};
    uint8_t ticket[300] = {1};
    tr_err_t err = TR_ERR_INIT;
    tr_buf_t first = TR_BUF_INIT, second = TR_BUF_INIT;
    tr_hello_t hello;
    in.profile = tr_profile_new();
    TR_FUZZ_CHECK(in.profile != NULL);
    in.profile->id = "fuzz";
    if ((mode & 1) != 0) {
        profile = tr_profile_at(which);
        profile = profile == NULL ? tr_profile_default() : profile;
    } else {
        read_profile(&in);
        profile = in.profile;
    }
    session.suite = u16(&in);
    session.secret_len = session.version == 0x0304 ? ((u8(&in) & 1) != 0 ? 32 : 48) : 48;
    session.ticket = ticket;
    session.ticket_len = u16(&in) % (sizeof(ticket) + 1);
    session.session_id_len = u8(&in) % 33;
    session.max_early_data = u8(&in);
    tr_rand_t rnd = {draw, &seed};
    const char *host = hosts[which % TR_ARRAY_LEN(hosts)];
    uint32_t flags = (mode & 8) != 0 ? TR_TLS_HTTP1_ONLY : 0;
    tr_code_t code = tr_hello_init(&hello, profile, flags, host, &rnd, (mode & 2) != 0 ? &session : NULL, (mode & 16) != 0, &err);
    TR_FUZZ_CHECK(code == TR_OK || (code == TR_ERR_PROFILE_INVALID && err.code == code));
    if (code == TR_OK) {
        code = tr_hello_build(&hello, &first, NOW_MS, NULL, &err);
        TR_FUZZ_CHECK(code == TR_OK ? first.len > 40 : (first.len == 0 && err.code == code));
        if (code == TR_OK) {
            check_hello(&hello, tr_buf_slice(&first));
            uint16_t group = (mode & 32) != 0 ? TR_GROUP_P256 : u16(&in);
            tr_slice_t cookie = bytes(&in, u8(&in));
            hello.session = (mode & 64) != 0 ? NULL : hello.session;
            code = tr_hello_retry(&hello, group, cookie, &err);
            if (code == TR_OK && tr_hello_build(&hello, &second, NOW_MS, NULL, &err) == TR_OK) {
                check_hello(&hello, tr_buf_slice(&second));
            }
        }
        tr_hello_cleanup(&hello);
    }
    tr_buf_cleanup(&first);
    tr_buf_cleanup(&second);
    tr_profile_unref(in.profile);
    return 0;
}

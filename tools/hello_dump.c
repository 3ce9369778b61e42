/* hello_dump: prints the ClientHello of a browser profile as hex, one line each, without record layer, from a fixed
 * seed. For golden files, tests/tls/test_hello.py and people:
 *
 *     hello_dump --profile firefox_153 --host example.org --seed 7 | tools/check_fingerprint.py decode -
 *
 * Sessions are made up: ticket and PSK bytes are constants, so that a test can compute the binder on its own. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "crypto/crypto.h"
#include "tls/hello.h"

#define NOW_MS UINT64_C(1700000000000)
#define AGE_MS 4321
#define AGE_ADD 0x11223344u
#define TICKET_BYTE 0x74
#define PSK_BYTE 0x50
#define COOKIE_BYTE 0xc0
#define MAX_FAKE_LEN 4096

typedef struct dump_options {
    const tr_profile_t *profile;
    const char *host;
    uint64_t seed;
    unsigned long count;
    unsigned long resume13, resume12; /* length of the ticket; 0: no session */
    unsigned long retry;              /* group */
    unsigned long cookie;             /* length */
    unsigned long suite;              /* of the session */
    bool http1, early_data;
} dump_options_t;

/* What stands for the HelloRetryRequest in the transcript of a second hello with a PSK. */
static const uint8_t fake_retry_request[4] = {2, 0, 0, 0};

static const char usage[] =
    "hello_dump [--profile NAME] [--host NAME] [--seed N] [--count N] [--resume13 LEN] [--resume12 LEN] [--suite N]\n"
    "           [--retry GROUP] [--cookie LEN] [--http1] [--early-data] [--list]\n"
    "  --count N      one line for each of the seeds SEED, SEED+1, ...\n"
    "  --resume13 LEN offers a TLS 1.3 session with a ticket of LEN bytes, --resume12 LEN a TLS 1.2 one\n"
    "  --suite N      the session's suite (0x1301, 0xc02f)\n"
    "  --retry GROUP  the second ClientHello, after a HelloRetryRequest for the group (0: only with a cookie)\n"
    "  --list         the ids of the built-in profiles\n";

static bool
number(const char *text, unsigned long max, unsigned long *out)
{
    char *end;
    *out = strtoul(text, &end, 0);
    return end != text && *end == '\0' && *out <= max;
}

static int
fail(const char *what, const char *arg)
{
    fprintf(stderr, "hello_dump: %s%s\n%s", what, arg, usage);
    return 2;
}

static void
list_profiles(void)
{
    const tr_profile_t *profile;
    for (size_t i = 0; (profile = tr_profile_at(i)) != NULL; i++) {
        printf("%s\n", profile->id);
    }
}

/* *out_done: the program ends here (--list, --help). */
static int
parse(dump_options_t *options, int argc, char **argv, bool *out_done, bool *out_retry)
{
    unsigned long value;
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--http1") == 0) {
            options->http1 = true;
            continue;
        }
        if (strcmp(name, "--early-data") == 0) {
            options->early_data = true;
            continue;
        }
        if (strcmp(name, "--list") == 0 || strcmp(name, "--help") == 0) {
            *out_done = true;
            if (name[2] == 'l') {
                list_profiles();
            } else {
                fputs(usage, stdout);
            }
            return 0;
        }
        const char *arg = ++i < argc ? argv[i] : NULL;
        if (arg == NULL) {
            return fail("unknown, or needs a value: ", name);
        }
        if (strcmp(name, "--profile") == 0) {
            options->profile = tr_profile_find(tr_slice_cstr(arg));
            if (options->profile == NULL) {
                return fail("no such profile: ", arg);
            }
            continue;
        }
        if (strcmp(name, "--host") == 0) {
            options->host = arg;
            continue;
        }
        unsigned long max = strcmp(name, "--seed") == 0 ? ULONG_MAX : strcmp(name, "--count") == 0 ? 100000 : 0xffff;
        if (!number(arg, max, &value)) {
            return fail("no number, or too large: ", arg);
        }
        if (strcmp(name, "--seed") == 0) {
            options->seed = value;
        } else if (strcmp(name, "--count") == 0) {
            options->count = value;
        } else if (strcmp(name, "--resume13") == 0) {
            options->resume13 = TR_MIN(value, MAX_FAKE_LEN);
        } else if (strcmp(name, "--resume12") == 0) {
            options->resume12 = TR_MIN(value, MAX_FAKE_LEN);
        } else if (strcmp(name, "--suite") == 0) {
            options->suite = value;
        } else if (strcmp(name, "--retry") == 0) {
            options->retry = value;
            *out_retry = true;
        } else if (strcmp(name, "--cookie") == 0) {
            options->cookie = TR_MIN(value, MAX_FAKE_LEN);
        } else {
            return fail("unknown option: ", name);
        }
    }
    return 0;
}

static void
fake_session(tr_session_ticket_t *session, const dump_options_t *options, uint8_t *ticket)
{
    bool is13 = options->resume13 > 0;
    memset(session, 0, sizeof(*session));
    session->version = is13 ? 0x0304 : 0x0303;
    session->suite = (uint16_t)(options->suite != 0 ? options->suite : is13 ? 0x1302 : 0xc02f);
    session->ems = true;
    session->lifetime_s = 7200;
    session->age_add = AGE_ADD;
    session->max_early_data = options->early_data ? 16384 : 0;
    session->received_ms = NOW_MS - AGE_MS;
    session->secret_len = is13 ? (session->suite == 0x1302 ? 48 : 32) : 48;
    memset(session->secret, PSK_BYTE, session->secret_len);
    session->ticket = ticket;
    session->ticket_len = is13 ? options->resume13 : options->resume12;
    memcpy(session->alpn, "h2", 2);
    session->alpn_len = 2;
    memset(ticket, TICKET_BYTE, session->ticket_len);
}

/* RFC 8446 4.4.1: message_hash stands for the first hello. */
static tr_code_t
retry_transcript(tr_hash_ctx_t **out, tr_hash_id_t id, tr_slice_t first)
{
    uint8_t head[4 + TR_HASH_MAX] = {254, 0, 0, 0};
    tr_code_t code;
    head[3] = (uint8_t)tr_hash_len(id);
    if ((code = tr_hash_once(id, head + 4, first)) != TR_OK) {
        return code;
    }
    *out = tr_hash_new(id);
    if (*out == NULL) {
        return TR_ERR_NOMEM;
    }
    code = tr_hash_update(*out, head, 4 + tr_hash_len(id));
    return code == TR_OK ? tr_hash_update(*out, fake_retry_request, sizeof(fake_retry_request)) : code;
}

static tr_code_t
dump_one(const dump_options_t *options, uint64_t seed, bool retry, tr_err_t *err)
{
    tr_rand_seeded_t seeded;
    tr_session_ticket_t session;
    uint8_t ticket[MAX_FAKE_LEN], cookie[MAX_FAKE_LEN];
    tr_hash_ctx_t *transcript = NULL;
    tr_buf_t out = TR_BUF_INIT;
    tr_hello_t hello;
    tr_code_t code;
    bool resumes = options->resume13 > 0 || options->resume12 > 0;
    tr_rand_seeded_init(&seeded, seed);
    tr_rand_t rnd = tr_rand_seeded(&seeded);
    memset(cookie, COOKIE_BYTE, sizeof(cookie));
    if (resumes) {
        fake_session(&session, options, ticket);
    }
    code = tr_hello_init(&hello, options->profile, options->http1 ? TR_TLS_HTTP1_ONLY : 0, options->host, &rnd,
                         resumes ? &session : NULL, options->early_data, err);
    if (code != TR_OK) {
        goto done;
    }
    code = tr_hello_build(&hello, &out, NOW_MS, NULL, err);
    if (code == TR_OK && retry) {
        if (options->resume13 > 0) {
            code = retry_transcript(&transcript, session.suite == 0x1302 ? TR_HASH_SHA384 : TR_HASH_SHA256,
                                    tr_buf_slice(&out));
        }
        code = code == TR_OK ? tr_hello_retry(&hello, (uint16_t)options->retry, tr_slice(cookie, options->cookie), err)
                             : code;
        tr_buf_clear(&out);
        code = code == TR_OK ? tr_hello_build(&hello, &out, NOW_MS, transcript, err) : code;
    }
    for (size_t i = 0; code == TR_OK && i < out.len; i++) {
        printf("%02x", out.data[i]);
    }
    if (code == TR_OK) {
        putchar('\n');
    }
done:
    tr_hash_free(transcript);
    tr_buf_cleanup(&out);
    tr_hello_cleanup(&hello);
    return code;
}

int
main(int argc, char **argv)
{
    dump_options_t options = {.profile = tr_profile_default(), .host = "example.org", .count = 1};
    tr_err_t err = TR_ERR_INIT;
    bool done = false, retry = false;
    int status = parse(&options, argc, argv, &done, &retry);
    if (status != 0 || done) {
        return status;
    }
    tr_code_t code = tr_crypto_init(&err);
    for (unsigned long i = 0; code == TR_OK && i < options.count; i++) {
        code = dump_one(&options, options.seed + i, retry, &err);
    }
    if (code != TR_OK) {
        fprintf(stderr, "hello_dump: %s: %s (%s)\n", tr_err_name(code), err.msg, err.where);
        return 1;
    }
    return 0;
}

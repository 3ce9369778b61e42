/* tls_client: the TLS engine over a blocking socket, for people and for tests/tls/test_real_peers.py. Connects, says GET (or
 * what --send gives), reads until the peer ends or falls silent, and prints one line of JSON for each connection: what was agreed
 * and the number of bytes that came, or the error's name, alert and place. Exit code 0: every connection was good.
 *
 *     tls_client --profile chrome_133 --ca ca.pem localhost:8443
 *     tls_client --no-verify --resume --path /bytes/1000000 127.0.0.1:8443
 *
 * --early sends the request as early data where a session allows it. --split N feeds the engine N bytes at a time; --flip N inverts a bit of the N-th byte received; --fixed-random B uses one byte
 * value as all random bytes (never outside tests); --record FILE writes what the server sent, for tests/c/test_tls.c. --suites,
 * --groups, --shares and --schemes replace the profile's lists (numbers with commas between), --extension adds one without a body. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/trace.h"
#include "crypto/kex.h"
#include "tls/ticket.h"
#include "tls/tls.h"
#include "tls/x509.h"

#define READ_SIZE 65536
#define MAX_FILE (1024 * 1024)
#define MAX_VALUES 64

static const char usage[] =
    "tls_client [--profile NAME] [--name HOST] [--no-verify] [--ca FILE] [--cert FILE --key FILE] [--tls-keylog FILE]\n"
    "           [--resume [--early]] [--connections N] [--http1] [--path PATH | --send TEXT] [--read N] [--timeout MS] [--close]\n"
    "           [--split N] [--flip N] [--fixed-random BYTE] [--now MS] [--record FILE]\n"
    "           [--suites N,...] [--groups N,...] [--shares N,...] [--schemes N,...] [--extension N] HOST:PORT\n";

typedef struct options {
    const char *profile, *name, *ca, *cert, *key, *keylog, *path, *send, *record;
    const char *suites, *groups, *shares, *schemes;
    char host[256];
    const char *port;
    unsigned long connections, read, timeout_ms, split, flip, fixed_random, now_ms, extension;
    bool no_verify, resume, early, http1, has_flip, has_fixed, has_extension, close;
} options_t;

typedef struct run {
    const options_t *options;
    tr_tls_config_t config;
    tr_profile_t profile; /* changed by options */
    FILE *keylog;
    FILE *record;
    int fd;
    tr_tls_t *tls;
    tr_bufq_t plain;
    tr_buf_t wire;
    uint64_t received; /* bytes from the socket */
    uint64_t plain_len;
    uint8_t *input;
    tr_err_t err;
} run_t;

static uint8_t fixed_byte;

static tr_code_t
fill_fixed(void *arg, uint8_t *out, size_t len)
{
    memset(out, *(const uint8_t *)arg, len);
    return TR_OK;
}

static void
write_keylog(void *arg, const char *line)
{
    fprintf(arg, "%s\n", line);
    fflush(arg);
}

static uint64_t
wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- socket --- */

static tr_code_t
open_socket(run_t *run)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    struct timeval timeout = {(time_t)(run->options->timeout_ms / 1000),
                              (suseconds_t)(run->options->timeout_ms % 1000) * 1000};
    run->fd = -1;
    if (getaddrinfo(run->options->host, run->options->port, &hints, &found) != 0) {
        return tr_err_set(&run->err, TR_ERR_DNS_NOT_FOUND, 0, "tls_client.connect", NULL);
    }
    for (struct addrinfo *a = found; a != NULL && run->fd < 0; a = a->ai_next) {
        int fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
            run->fd = fd;
        } else if (fd >= 0) {
            close(fd);
        }
    }
    freeaddrinfo(found);
    if (run->fd < 0) {
        return tr_err_set(&run->err, TR_ERR_CONNECT_FAILED, errno, "tls_client.connect", NULL);
    }
    setsockopt(run->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(run->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    return TR_OK;
}

static tr_code_t
send_wire(run_t *run)
{
    while (run->wire.len > 0) {
        ssize_t sent = send(run->fd, run->wire.data, run->wire.len, MSG_NOSIGNAL);
        if (sent < 0) {
            return tr_err_set(&run->err, TR_ERR_CONNECT_RESET, errno, "tls_client.send", NULL);
        }
        tr_buf_consume(&run->wire, (size_t)sent);
    }
    return TR_OK;
}

/* Feeds bytes in pieces of --split; sends what the engine answers. */
static tr_code_t
feed(run_t *run, tr_slice_t in)
{
    tr_code_t code = TR_OK;
    while (code == TR_OK && in.len > 0) {
        size_t used;
        size_t part = run->options->split > 0 ? TR_MIN(in.len, (size_t)run->options->split) : in.len;
        code = tr_tls_feed(run->tls, &run->plain, &run->wire, tr_slice(in.data, part), &used, &run->err);
        run->plain_len += run->plain.len;
        tr_bufq_consume(&run->plain, run->plain.len);
        in = tr_slice(in.data + used, in.len - used);
        tr_err_t kept = run->err;
        tr_code_t sent = send_wire(run);
        if (!tr_failed(code)) {
            code = code == TR_OK ? sent : code;
        } else {
            run->err = kept;
        }
    }
    return code;
}

/* One read. TR_EOF: the peer closed in order; TR_AGAIN: it fell silent. */
static tr_code_t
read_once(run_t *run)
{
    ssize_t got = recv(run->fd, run->input, READ_SIZE, 0);
    if (got == 0) {
        return tr_tls_eof(run->tls, &run->err);
    }
    if (got < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK
                   ? TR_AGAIN
                   : tr_err_set(&run->err, TR_ERR_CONNECT_RESET, errno, "tls_client.recv", NULL);
    }
    if (run->record != NULL) {
        fwrite(run->input, 1, (size_t)got, run->record);
    }
    if (run->options->has_flip && run->options->flip >= run->received &&
        run->options->flip < run->received + (uint64_t)got) {
        run->input[run->options->flip - run->received] ^= 0x40;
    }
    run->received += (uint64_t)got;
    return feed(run, tr_slice(run->input, (size_t)got));
}

static tr_code_t
send_request(run_t *run)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    char text[1024];
    tr_tls_info_t info;
    tr_slice_t data, alpn = tr_tls_early_alpn(run->tls);
    tr_tls_info(run->tls, &info);
    alpn = tr_tls_handshake_done(run->tls) ? info.alpn : alpn;
    if (run->options->send != NULL) {
        data = tr_slice_cstr(run->options->send);
    } else if (tr_slice_eq(alpn, TR_SLICE_LIT("h2"))) {
        data = tr_slice(preface, sizeof(preface)); /* the last zero is the SETTINGS frame's */
    } else {
        snprintf(text, sizeof(text), "GET %.500s HTTP/1.1\r\nHost: %.250s\r\nConnection: close\r\n\r\n",
                 run->options->path == NULL ? "/" : run->options->path, run->options->host);
        data = tr_slice_cstr(text);
    }
    tr_code_t code = tr_tls_write(run->tls, &run->wire, data, &run->err);
    return code == TR_OK ? send_wire(run) : code;
}

static tr_code_t
talk(run_t *run)
{
    tr_code_t code = open_socket(run);
    if (code == TR_OK) {
        code = tr_tls_start(run->tls, &run->wire, &run->err);
    }
    if (code == TR_OK) {
        code = send_wire(run);
    }
    bool early = code == TR_OK && tr_tls_early_room(run->tls) > 0;
    if (early) {
        code = send_request(run);
        early = code == TR_OK;
        code = code == TR_AGAIN ? TR_OK : code; /* no room */
    }
    while (code == TR_OK && !tr_tls_handshake_done(run->tls)) {
        code = read_once(run);
        if (code == TR_AGAIN) {
            code = tr_err_set(&run->err, TR_ERR_TIMEOUT_TLS, 0, "tls_client", NULL);
        }
    }
    if (code == TR_OK && !early) {
        code = send_request(run);
    }
    while (code == TR_OK && (run->options->read == 0 || run->plain_len < run->options->read)) {
        code = read_once(run);
    }
    /* Silence ends a good connection, and so does a peer that closes without close_notify once it has answered. */
    if (code == TR_ERR_CLOSED_EARLY && run->plain_len > 0) {
        code = TR_OK;
    }
    if (!tr_failed(code) && run->options->close) {
        code = tr_tls_close(run->tls, &run->wire, &run->err);
        code = tr_failed(code) ? code : send_wire(run);
    }
    return tr_failed(code) ? code : TR_OK;
}

/* --- report --- */

static void
put_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar((unsigned char)*text < 0x20 ? ' ' : *text);
    }
}

static void
report(const run_t *run, tr_code_t code)
{
    tr_tls_info_t info;
    if (run->tls == NULL) {
        printf("{\"ok\": false, \"error\": \"%s\", \"detail\": %d, \"where\": \"%s\"}\n", tr_err_name(code),
               (int)run->err.detail, run->err.where);
        return;
    }
    tr_tls_info(run->tls, &info);
    printf("{\"ok\": %s, ", code == TR_OK ? "true" : "false");
    if (code != TR_OK) {
        printf("\"error\": \"%s\", \"detail\": %d, \"where\": \"%s\", \"message\": \"", tr_err_name(code),
               (int)run->err.detail, run->err.where);
        put_text(run->err.msg);
        printf("\", ");
    }
    printf("\"version\": \"%s\", \"suite\": \"%s\", \"group\": \"%s\", \"signature\": \"%s\", ", info.version_name,
           info.suite_name, info.group == 0 ? "" : tr_kex_name(info.group),
           info.signature == 0 ? "" : tr_sig_name(info.signature));
    printf("\"early_data\": %s, ", info.early_data_accepted ? "true" : "false");
    printf("\"resumed\": %s, \"retried\": %s, \"alpn\": \"%.*s\", \"alps\": %s, \"certs\": %zu, ",
           info.resumed ? "true" : "false", info.retried ? "true" : "false", (int)info.alpn.len,
           (const char *)info.alpn.data, info.alps ? "true" : "false", info.num_certs);
    printf("\"bytes\": %llu, \"received\": %llu, \"alert_sent\": %d, \"alert_received\": %d}\n",
           (unsigned long long)run->plain_len, (unsigned long long)run->received, tr_tls_alert_sent(run->tls),
           tr_tls_alert_received(run->tls));
}

static tr_code_t
connect_once(run_t *run)
{
    const char *host = run->options->name != NULL ? run->options->name : run->options->host;
    run->received = 0;
    run->plain_len = 0;
    run->fd = -1;
    tr_err_clear(&run->err);
    if (!run->options->has_fixed) {
        run->config.now_ms = run->options->now_ms != 0 ? run->options->now_ms : wall_ms();
    }
    tr_code_t code = tr_tls_new(&run->tls, &run->config, host, &run->err);
    if (code == TR_OK) {
        code = talk(run);
    }
    report(run, code);
    fflush(stdout);
    if (run->fd >= 0) {
        close(run->fd);
    }
    tr_tls_free(run->tls);
    run->tls = NULL;
    tr_buf_clear(&run->wire);
    return code;
}

/* --- options --- */

static bool
parse_number(unsigned long *out, const char *text)
{
    char *end;
    errno = 0;
    *out = strtoul(text, &end, 0);
    return errno == 0 && end != text && *end == '\0';
}

static bool
parse_options(options_t *options, int argc, char **argv)
{
    const struct {
        const char *name;
        const char **text;
        unsigned long *number;
        bool *flag; /* set as well */
    } table[] = {
        {"--profile", &options->profile, NULL, NULL},
        {"--name", &options->name, NULL, NULL},
        {"--ca", &options->ca, NULL, NULL},
        {"--cert", &options->cert, NULL, NULL},
        {"--key", &options->key, NULL, NULL},
        {"--tls-keylog", &options->keylog, NULL, NULL},
        {"--path", &options->path, NULL, NULL},
        {"--send", &options->send, NULL, NULL},
        {"--record", &options->record, NULL, NULL},
        {"--suites", &options->suites, NULL, NULL},
        {"--groups", &options->groups, NULL, NULL},
        {"--shares", &options->shares, NULL, NULL},
        {"--schemes", &options->schemes, NULL, NULL},
        {"--extension", NULL, &options->extension, &options->has_extension},
        {"--connections", NULL, &options->connections, NULL},
        {"--read", NULL, &options->read, NULL},
        {"--timeout", NULL, &options->timeout_ms, NULL},
        {"--split", NULL, &options->split, NULL},
        {"--now", NULL, &options->now_ms, NULL},
        {"--flip", NULL, &options->flip, &options->has_flip},
        {"--fixed-random", NULL, &options->fixed_random, &options->has_fixed},
        {"--no-verify", NULL, NULL, &options->no_verify},
        {"--resume", NULL, NULL, &options->resume},
        {"--early", NULL, NULL, &options->early},
        {"--http1", NULL, NULL, &options->http1},
        {"--close", NULL, NULL, &options->close},
    };
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        size_t row = 0;
        while (row < TR_ARRAY_LEN(table) && strcmp(argv[i], table[row].name) != 0) {
            row++;
        }
        if (row == TR_ARRAY_LEN(table)) {
            return false;
        }
        bool has_value = table[row].text != NULL || table[row].number != NULL;
        if (has_value && ++i == argc) {
            return false;
        }
        if (table[row].text != NULL) {
            *table[row].text = argv[i];
        }
        if (table[row].number != NULL && !parse_number(table[row].number, argv[i])) {
            return false;
        }
        if (table[row].flag != NULL) {
            *table[row].flag = true;
        }
    }
    if (i + 1 != argc) {
        return false;
    }
    const char *colon = strrchr(argv[i], ':');
    if (colon == NULL || (size_t)(colon - argv[i]) >= sizeof(options->host)) {
        return false;
    }
    memcpy(options->host, argv[i], (size_t)(colon - argv[i]));
    options->port = colon + 1;
    return true;
}

static bool
read_file(tr_buf_t *out, const char *path)
{
    FILE *file = fopen(path, "rb");
    bool ok = file != NULL && tr_buf_reserve(out, MAX_FILE) == TR_OK;
    if (ok) {
        tr_buf_commit(out, fread(tr_buf_tail(out), 1, MAX_FILE, file));
        ok = ferror(file) == 0 && out->len < MAX_FILE;
    }
    if (file != NULL) {
        fclose(file);
    }
    return ok;
}

static tr_code_t
load_identity(tr_identity_t **out, const options_t *options, tr_err_t *err)
{
    tr_buf_t cert = TR_BUF_INIT;
    tr_buf_t key = TR_BUF_INIT;
    const char *key_path = options->key != NULL ? options->key : options->cert;
    tr_code_t code;
    if (!read_file(&cert, options->cert) || !read_file(&key, key_path)) {
        code = tr_err_set(err, TR_ERR_TLS_IDENTITY, errno, "tls_client.identity", NULL);
    } else {
        code = tr_identity_new_from_pem(out, tr_buf_slice(&cert), tr_buf_slice(&key), NULL, err);
    }
    tr_buf_cleanup(&cert);
    tr_buf_cleanup(&key);
    return code;
}

/* A list of the command line in place of the profile's. */
static bool
replace_values(const uint16_t **out, uint16_t *out_num, uint16_t room[MAX_VALUES], const char *text)
{
    size_t num = 0;
    char *end;
    for (const char *p = text; *p != '\0'; p = *end == ',' ? end + 1 : end) {
        unsigned long value = strtoul(p, &end, 0);
        if (end == p || value > UINT16_MAX || num == MAX_VALUES || (*end != ',' && *end != '\0')) {
            return false;
        }
        room[num++] = (uint16_t)value;
    }
    *out = room;
    *out_num = (uint16_t)num;
    return true;
}

static bool
change_profile(run_t *run, const options_t *options)
{
    static uint16_t suites[MAX_VALUES], lists[3][MAX_VALUES];
    static tr_profile_ext_t exts[MAX_VALUES];
    const struct {
        const char *text;
        uint16_t type;
    } changes[3] = {
        {options->groups, TR_EXT_SUPPORTED_GROUPS},
        {options->shares, TR_EXT_KEY_SHARE},
        {options->schemes, TR_EXT_SIGNATURE_ALGORITHMS},
    };
    tr_profile_t *copy = &run->profile;
    bool ok = true;
    *copy = *run->config.profile;
    if (copy->num_exts + 1u > MAX_VALUES) {
        return false;
    }
    memcpy(exts, copy->exts, copy->num_exts * sizeof(exts[0]));
    for (size_t i = 0; i < copy->num_exts; i++) {
        for (size_t j = 0; j < TR_ARRAY_LEN(changes); j++) {
            if (changes[j].text != NULL && exts[i].type == changes[j].type) {
                ok = ok && replace_values(&exts[i].values, &exts[i].num_values, lists[j], changes[j].text);
            }
        }
    }
    if (options->has_extension) {
        memmove(exts + 1, exts, copy->num_exts * sizeof(exts[0]));
        exts[0] = (tr_profile_ext_t){.type = (uint16_t)options->extension};
        copy->num_exts++;
        copy->num_pinned_first++;
    }
    if (options->suites != NULL) {
        ok = ok && replace_values(&copy->suites, &copy->num_suites, suites, options->suites);
    }
    copy->exts = exts;
    run->config.profile = copy;
    return ok;
}

static tr_code_t
set_up(run_t *run, const options_t *options)
{
    tr_tls_config_t *config = &run->config;
    tr_code_t code = TR_OK;
    config->rnd = tr_rand_system;
    config->profile = options->profile == NULL ? tr_profile_default() : tr_profile_find(tr_slice_cstr(options->profile));
    config->flags = (options->no_verify ? TR_TLS_NO_VERIFY : 0u) | (options->http1 ? TR_TLS_HTTP1_ONLY : 0u) |
                    (options->early ? TR_TLS_EARLY_DATA : 0u);
    if (config->profile == NULL || !change_profile(run, options)) {
        return tr_err_set(&run->err, TR_ERR_PROFILE_INVALID, 0, "tls_client.profile", NULL);
    }
    if (options->has_fixed) {
        fixed_byte = (uint8_t)options->fixed_random;
        config->rnd = (tr_rand_t){fill_fixed, &fixed_byte};
        config->now_ms = options->now_ms;
    }
    if (options->keylog != NULL) {
        run->keylog = fopen(options->keylog, "a");
        config->keylog = run->keylog == NULL ? NULL : write_keylog;
        config->keylog_arg = run->keylog;
    }
    if (options->record != NULL) {
        run->record = fopen(options->record, "wb");
    }
    config->tickets = options->resume ? tr_tickets_new() : NULL;
    run->input = tr_malloc(READ_SIZE);
    if (run->input == NULL) {
        return tr_err_nomem(&run->err, "tls_client");
    }
    if (!options->no_verify) {
        code = options->ca != NULL ? tr_trust_new_from(&config->trust, options->ca, &run->err)
                                   : tr_trust_new_default(&config->trust, &run->err);
    }
    if (code == TR_OK && options->cert != NULL) {
        code = load_identity(&config->identity, options, &run->err);
    }
    return code;
}

int
main(int argc, char **argv)
{
    options_t options = {.timeout_ms = 5000, .connections = 1};
    run_t run = {.options = &options, .fd = -1};
    bool good = true;
    if (!parse_options(&options, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    if (options.resume && options.connections == 1) {
        options.connections = 2;
    }
    tr_trace_init();
    tr_buf_init(&run.wire);
    tr_bufq_init(&run.plain, 0);
    tr_code_t code = set_up(&run, &options);
    if (code != TR_OK) {
        report(&run, code);
        good = false;
    }
    for (unsigned long i = 0; good && i < options.connections; i++) {
        good = connect_once(&run) == TR_OK;
    }
    tr_trust_unref(run.config.trust);
    tr_identity_unref(run.config.identity);
    tr_tickets_free(run.config.tickets);
    tr_bufq_cleanup(&run.plain);
    tr_buf_cleanup(&run.wire);
    tr_free(run.input);
    if (run.keylog != NULL) {
        fclose(run.keylog);
    }
    if (run.record != NULL) {
        fclose(run.record);
    }
    return good ? 0 : 1;
}

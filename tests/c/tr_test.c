#include "tr_test.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

/* An OOM test stops after this many failing allocations: a test that needs more is too large for it. */
#define OOM_MAX 2000

typedef struct scrap {
    struct scrap *next;
    void *block;
} scrap_t;

static tr_test_t *tests;
static jmp_buf escape;
static bool oom_running;
static bool oom_hit; /* the failing allocation of the last run was reached */
static scrap_t *scraps;

void
tr_test_register(tr_test_t *test)
{
    test->next = tests;
    tests = test;
}

void
tr_test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    (void)printf("%s:%d: ", file, line);
    va_start(args, fmt);
    (void)vprintf(fmt, args);
    va_end(args);
    (void)printf("\n");
    longjmp(escape, 1);
}

bool
tr_test_oom_running(void)
{
    return oom_running;
}

const char *
tr_test_vectors(void)
{
    static const char *const places[] = {"../shared/vectors", "../../shared/vectors"};
    const char *named = getenv("TR_TEST_VECTORS");
    if (named != NULL) {
        return access(named, R_OK) == 0 ? named : NULL;
    }
    for (size_t i = 0; i < TR_ARRAY_LEN(places); i++) {
        if (access(places[i], R_OK) == 0) {
            return places[i];
        }
    }
    return NULL;
}

static void *
keep(void *block)
{
    scrap_t *scrap = malloc(sizeof(*scrap));
    if (block == NULL || scrap == NULL) {
        tr_test_fail(__FILE__, __LINE__, "the test itself is out of memory");
    }
    *scrap = (scrap_t){scraps, block};
    scraps = scrap;
    return block;
}

static void
drop_scraps(void)
{
    while (scraps != NULL) {
        scrap_t *scrap = scraps;
        scraps = scrap->next;
        free(scrap->block);
        free(scrap);
    }
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

uint8_t *
tr_test_hex(const char *hex, size_t *out_len)
{
    uint8_t *out = keep(malloc(strlen(hex) / 2 + 1));
    size_t len = 0;
    int high = -1;
    for (; *hex != 0; hex++) {
        int digit = hex_digit(*hex);
        if (digit < 0) {
            continue;
        }
        if (high < 0) {
            high = digit;
        } else {
            out[len++] = (uint8_t)(high << 4 | digit);
            high = -1;
        }
    }
    *out_len = len;
    return out;
}

uint8_t *
tr_test_read_file(const char *path, size_t *out_len)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    (void)fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    uint8_t *out = keep(malloc((size_t)size + 1));
    *out_len = fread(out, 1, (size_t)size, file);
    out[*out_len] = 0;
    (void)fclose(file);
    return out;
}

/* Runs one test once. False: it failed. */
static bool
run_once(const tr_test_t *test)
{
    volatile bool ok = true; /* survives the longjmp of a failing check */
    if (setjmp(escape) == 0) {
        test->run();
    } else {
        ok = false;
    }
    oom_hit = tr_mem_fail_hit(); /* turning it off forgets it */
    tr_mem_fail_at(0);
    drop_scraps();
    return ok;
}

/* How many blocks a test left. A worker thread may be about to give its last one back. */
static int64_t
blocks_left(int64_t before)
{
    for (int i = 0; i < 400 && tr_mem_live() != before; i++) {
        struct timespec ts = {0, 5000000};
        (void)nanosleep(&ts, NULL);
    }
    return tr_mem_live() - before;
}

static bool
run_oom(const tr_test_t *test)
{
    for (uint64_t n = 1; n <= OOM_MAX; n++) {
        int64_t before = tr_mem_live();
        oom_running = true;
        tr_mem_fail_at(n);
        bool ok = run_once(test);
        oom_running = false;
        if (!ok) {
            (void)printf("FAIL %s with allocation %llu failing\n", test->name, (unsigned long long)n);
            return false;
        }
        int64_t left = blocks_left(before);
        if (left != 0) {
            (void)printf("FAIL %s leaks %lld blocks with allocation %llu failing\n", test->name, (long long)left, (unsigned long long)n);
            return false;
        }
        if (!oom_hit) {
            return true;
        }
    }
    (void)printf("FAIL %s makes more than %d allocations\n", test->name, OOM_MAX);
    return false;
}

static int
by_name(const void *a, const void *b)
{
    const tr_test_t *const *x = a;
    const tr_test_t *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

int
main(int argc, char **argv)
{
    bool oom = false;
    const char *prefix = "";
    unsigned passed = 0, failed = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--oom") == 0) {
            oom = true;
        } else {
            prefix = argv[i];
        }
    }
    size_t num = 0;
    for (tr_test_t *test = tests; test != NULL; test = test->next) {
        num++;
    }
    tr_test_t **sorted = calloc(num + 1, sizeof(*sorted));
    if (sorted == NULL) {
        return 2;
    }
    num = 0;
    for (tr_test_t *test = tests; test != NULL; test = test->next) {
        sorted[num++] = test;
    }
    qsort(sorted, num, sizeof(*sorted), by_name);
    for (size_t i = 0; i < num; i++) {
        if (strncmp(sorted[i]->name, prefix, strlen(prefix)) != 0 || (oom && !sorted[i]->oom)) {
            continue;
        }
        int64_t before = tr_mem_live();
        bool ok = oom ? run_oom(sorted[i]) : run_once(sorted[i]);
        int64_t left = ok ? blocks_left(before) : 0;
        if (left != 0) {
            (void)printf("leak of %lld blocks\n", (long long)left);
            ok = false;
        }
        (void)printf("%s %s\n", ok ? "ok  " : "FAIL", sorted[i]->name);
        if (ok) {
            passed++;
        } else {
            failed++;
        }
        (void)fflush(stdout);
    }
    free(sorted);
    (void)printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}

/* What the tests of bodies in pieces and of bodies in files share. */
#ifndef TEST_CLIENT_FILES_H
#define TEST_CLIENT_FILES_H

#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "client/file.h"
#include "tr_test.h"

/* The pattern of bodies: loss, doubling and disorder show. */
static inline uint8_t
byte_at(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

static inline size_t
gzip_of(uint8_t *out, size_t max, const uint8_t *in, size_t len)
{
    z_stream z = {0};
    TR_CHECK(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (uint8_t *)(uintptr_t)in;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)max;
    int rc = deflate(&z, Z_FINISH);
    size_t made = max - z.avail_out;
    (void)deflateEnd(&z);
    TR_CHECK(rc == Z_STREAM_END);
    return made;
}

/* An empty file without a name. */
static inline int
temporary(void)
{
    char path[] = "/tmp/tr-test-XXXXXX";
    int fd = mkstemp(path);
    TR_CHECK(fd >= 0);
    (void)unlink(path);
    return fd;
}

/* Waits until the engine has closed all its duplicates. */
static inline bool
nothing_open(void)
{
    for (int i = 0; i < 2000 && tr_file__num_open() > 0; i++) {
        struct timespec ts = {0, 5000000};
        (void)nanosleep(&ts, NULL);
    }
    return tr_file__num_open() == 0;
}

#endif

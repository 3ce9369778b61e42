#include <unistd.h>

#include "client/client.h"
#include "tr_test.h"

/* The authority "tls_requests test" of a test certificate made with `openssl req -x509 -newkey ec -pkeyopt
 * ec_paramgen_curve:P-256 -days 36500`; only its being a certificate counts here. */
static void
write_certificate(const char *path)
{
    char command[512];
    int len = snprintf(command, sizeof(command),
                       "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -days 3 "
                       "-subj /CN=shared -out %s 2>/dev/null",
                       path);
    TR_CHECK(len > 0 && (size_t)len < sizeof(command));
    TR_CHECK_INT(system(command), 0);
}

TR_TEST(client_trust_shared, "/client/trust_shared_until_the_file_changes")
{
    char path[] = "/tmp/tr_trust_XXXXXX";
    int fd = mkstemp(path);
    tr_err_t err = TR_ERR_INIT;
    tr_trust_t *first = NULL, *again = NULL, *other = NULL;
    TR_CHECK(fd >= 0);
    (void)close(fd);
    write_certificate(path);
    TR_CHECK_OK(tr_trust_shared(&first, path, &err), &err);
    TR_CHECK_OK(tr_trust_shared(&again, path, &err), &err);
    TR_CHECK(first == again);
    TR_CHECK_INT(unlink(path), 0);
    TR_CHECK_INT(tr_trust_shared(&other, path, &err), TR_ERR_TLS_TRUST_STORE);
    TR_CHECK(other == NULL);
    write_certificate(path); /* another inode or time */
    TR_CHECK_INT(truncate(path, 0), 0);
    TR_CHECK_INT(tr_trust_shared(&other, path, &err), TR_ERR_TLS_TRUST_STORE);
    (void)unlink(path);
    tr_trust_unref(first);
    tr_trust_unref(again);
    tr_trust_forget();
}

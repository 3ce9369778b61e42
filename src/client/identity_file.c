#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "client/client.h"
#include "core/buf.h"
#include "core/limits.h"

/* A whole file into a secret buffer, which is wiped when it goes. */
static tr_code_t
read_file(tr_buf_t *out, const char *path, tr_err_t *err)
{
    static const char where[] = "client.identity";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    tr_code_t code = TR_OK;
    ssize_t got = 1;
    if (fd < 0) {
        return tr_err_set(err, TR_ERR_TLS_IDENTITY, errno, where, "%.100s cannot be read (errno %d)", path, errno);
    }
    while (code == TR_OK && got > 0) {
        if (out->len >= TR_TLS_MAX_PEM_FILE) {
            code = tr_err_set(err, TR_ERR_TLS_IDENTITY, 0, where, "%.100s is too large for a certificate", path);
        } else if (tr_buf_reserve(out, 16384) != TR_OK) {
            code = tr_err_nomem(err, where);
        } else {
            do {
                got = read(fd, tr_buf_tail(out), 16384);
            } while (got < 0 && errno == EINTR);
            if (got < 0) {
                code = tr_err_set(err, TR_ERR_TLS_IDENTITY, errno, where, "%.100s cannot be read (errno %d)", path, errno);
            } else {
                tr_buf_commit(out, (size_t)got);
            }
        }
    }
    (void)close(fd);
    return code;
}

tr_code_t
tr_identity_from_files(tr_identity_t **out, const char *cert_path, const char *key_path, const char *password, tr_err_t *err)
{
    tr_buf_t cert = TR_BUF_INIT, key = TR_BUF_INIT;
    cert.secret = key.secret = true; /* the certificate's file may hold the key, too */
    *out = NULL;
    tr_code_t code = read_file(&cert, cert_path, err);
    if (code == TR_OK && key_path != NULL) {
        code = read_file(&key, key_path, err);
    }
    if (code == TR_OK) {
        code = tr_identity_new_from_pem(out, tr_buf_slice(&cert), tr_buf_slice(key_path == NULL ? &cert : &key), password, err);
    }
    tr_buf_cleanup(&cert);
    tr_buf_cleanup(&key);
    return code;
}

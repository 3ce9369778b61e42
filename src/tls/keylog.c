#include "tls/keylog.h"

#include "core/mem.h"

#define LABEL_MAX 40
#define SECRET_MAX 64

static size_t
put_hex(char *out, tr_slice_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.len; i++) {
        out[2 * i] = digits[bytes.data[i] >> 4];
        out[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    return 2 * bytes.len;
}

void
tr_keylog_write(const tr_tls_config_t *config, const char *label, const uint8_t client_random[32],
                tr_slice_t secret)
{
    size_t label_len = strlen(label);
    if (config->keylog == NULL || label_len > LABEL_MAX || secret.len > SECRET_MAX) {
        return;
    }
    char line[LABEL_MAX + 1 + 64 + 1 + 2 * SECRET_MAX + 1];
    memcpy(line, label, label_len);
    size_t len = label_len;
    line[len++] = ' ';
    len += put_hex(line + len, tr_slice(client_random, 32));
    line[len++] = ' ';
    len += put_hex(line + len, secret);
    line[len] = '\0';
    config->keylog(config->keylog_arg, line);
    tr_wipe(line, sizeof(line));
}

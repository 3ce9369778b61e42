/* ext: the server's extensions: which may stand in which message, none twice, none that was not asked for. Const
 * tables; a parsed set lends from the message. */
#ifndef TR_TLS_EXT_H
#define TR_TLS_EXT_H

#include "core/rd.h"
#include "tls/hello.h"

typedef enum tr_ext_where {
    TR_EXT_IN_SERVER_HELLO_12,
    TR_EXT_IN_SERVER_HELLO_13,
    TR_EXT_IN_RETRY,
    TR_EXT_IN_ENCRYPTED,
    TR_EXT_IN_CERTIFICATE,         /* an entry of the list, TLS 1.3 */
    TR_EXT_IN_CERTIFICATE_REQUEST, /* a request: what is unknown is ignored */
    TR_EXT_IN_TICKET               /* likewise */
} tr_ext_where_t;

/* Rows of the table in ext.c. */
#define TR_EXT_NUM_KNOWN 30

typedef struct tr_ext_set {
    uint32_t present; /* bit by row */
    tr_slice_t bodies[TR_EXT_NUM_KNOWN];
} tr_ext_set_t;

/* tr_ext_parse reads a block of extensions (without its length prefix). Returns 0 or the alert to send. */
uint8_t tr_ext_parse(tr_ext_set_t *out, tr_ext_where_t where, tr_slice_t block, const tr_hello_t *hello);
/* tr_ext_get says whether the extension came, and lends its body as a reader. */
bool tr_ext_get(const tr_ext_set_t *set, uint16_t type, tr_rd_t *out);
bool tr_ext_has(const tr_ext_set_t *set, uint16_t type);

#endif

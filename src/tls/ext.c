#include "tls/ext.h"

#include "tls/alert.h"
#include "tls/suites.h"

#define TR_EXT_OID_FILTERS 48
#define TR_EXT_POST_HANDSHAKE_AUTH 49

/* An honest message has fewer than twenty; the duplicate check is quadratic. */
#define MAX_EXTS 64

#define SH12 (1u << TR_EXT_IN_SERVER_HELLO_12)
#define SH13 (1u << TR_EXT_IN_SERVER_HELLO_13)
#define HRR (1u << TR_EXT_IN_RETRY)
#define EE (1u << TR_EXT_IN_ENCRYPTED)
#define CT (1u << TR_EXT_IN_CERTIFICATE)
#define CR (1u << TR_EXT_IN_CERTIFICATE_REQUEST)
#define NST (1u << TR_EXT_IN_TICKET)

/* RFC 8446 4.2: the table of messages in which each extension may appear; TLS 1.2 from each one's own RFC. */
static const struct {
    uint16_t type;
    uint16_t where;
} table[] = {
    {TR_EXT_SERVER_NAME, SH12 | EE},
    {TR_EXT_MAX_FRAGMENT_LENGTH, SH12 | EE},
    {TR_EXT_STATUS_REQUEST, SH12 | CT | CR},
    {TR_EXT_SUPPORTED_GROUPS, SH12 | EE}, /* SH12: some old load balancers echo it; it says nothing there */
    {TR_EXT_EC_POINT_FORMATS, SH12},
    {TR_EXT_SIGNATURE_ALGORITHMS, CR},
    {TR_EXT_ALPN, SH12 | EE},
    {TR_EXT_SCT, SH12 | CT | CR},
    {TR_EXT_ENCRYPT_THEN_MAC, SH12},
    {TR_EXT_EXTENDED_MASTER_SECRET, SH12},
    {TR_EXT_COMPRESS_CERTIFICATE, CR},
    {TR_EXT_RECORD_SIZE_LIMIT, SH12 | EE},
    {TR_EXT_DELEGATED_CREDENTIALS, CT | CR},
    {TR_EXT_SESSION_TICKET, SH12},
    {TR_EXT_PRE_SHARED_KEY, SH13},
    {TR_EXT_EARLY_DATA, EE | NST},
    {TR_EXT_SUPPORTED_VERSIONS, SH13 | HRR},
    {TR_EXT_COOKIE, HRR},
    {TR_EXT_PSK_KEY_EXCHANGE_MODES, 0},
    {TR_EXT_CERTIFICATE_AUTHORITIES, CR},
    {TR_EXT_OID_FILTERS, CR},
    {TR_EXT_POST_HANDSHAKE_AUTH, 0},
    {TR_EXT_SIGNATURE_ALGORITHMS_CERT, CR},
    {TR_EXT_KEY_SHARE, SH13 | HRR},
    {TR_EXT_NEXT_PROTOCOL, 0}, /* an answer would ask for a message that is not spoken; who has ALPN does not give it */
    {TR_EXT_ALPS_OLD, EE},
    {TR_EXT_ALPS, EE},
    {TR_EXT_TRUST_ANCHORS, EE | CT | CR},
    {TR_EXT_ECH, HRR | EE},
    {TR_EXT_RENEGOTIATION_INFO, SH12},
};

_Static_assert(TR_ARRAY_LEN(table) <= TR_EXT_NUM_KNOWN, "TR_EXT_NUM_KNOWN is too small");

static size_t
row_of(uint16_t type)
{
    size_t i = 0;
    while (i < TR_ARRAY_LEN(table) && table[i].type != type) {
        i++;
    }
    return i;
}

/* Whether the server may answer with this extension: it was in the ClientHello, or it needs no question. */
static bool
was_asked_for(const tr_hello_t *hello, tr_ext_where_t where, uint16_t type)
{
    if (where == TR_EXT_IN_RETRY && type == TR_EXT_COOKIE) {
        return true; /* RFC 8446 4.2.2 */
    }
    if (type == TR_EXT_RENEGOTIATION_INFO && tr_hello_offers_suite(hello, TR_SUITE_RENEGOTIATION_SCSV)) {
        return true; /* RFC 5746 3.4 */
    }
    return tr_hello_offers_ext(hello, type);
}

uint8_t
tr_ext_parse(tr_ext_set_t *out, tr_ext_where_t where, tr_slice_t block, const tr_hello_t *hello)
{
    bool is_request = where == TR_EXT_IN_CERTIFICATE_REQUEST || where == TR_EXT_IN_TICKET;
    /* Where a server may answer a raw extension of the profile's, of which nothing is known but that it was sent: the answer is
     * ignored. */
    bool takes_unknown =
        where == TR_EXT_IN_SERVER_HELLO_12 || where == TR_EXT_IN_ENCRYPTED || where == TR_EXT_IN_CERTIFICATE;
    uint16_t seen[MAX_EXTS];
    size_t num_seen = 0;
    uint8_t alert = 0;
    tr_rd_t rd = tr_rd(block);
    memset(out, 0, sizeof(*out));
    while (!tr_rd_empty(&rd)) {
        uint16_t type;
        tr_slice_t body;
        if (!tr_rd_u16(&rd, &type) || !tr_rd_vec(&rd, &body, 2) || num_seen == MAX_EXTS) {
            return TR_ALERT_DECODE_ERROR;
        }
        size_t row = row_of(type);
        bool fits = row < TR_ARRAY_LEN(table) && (table[row].where & 1u << where) != 0;
        bool ignored = row == TR_ARRAY_LEN(table) && takes_unknown;
        for (size_t i = 0; i < num_seen; i++) {
            if (seen[i] == type) { /* RFC 8446 4.2: not more than one of a type */
                return fits ? TR_ALERT_ILLEGAL_PARAMETER : TR_ALERT_DECODE_ERROR;
            }
        }
        seen[num_seen++] = type;
        if (is_request) {
            if (!fits) {
                continue; /* RFC 8446 4.3.2, 4.6.1: unrecognized extensions are ignored */
            }
        } else if (!was_asked_for(hello, where, type) || (!fits && !ignored && where == TR_EXT_IN_SERVER_HELLO_12)) {
            alert = alert == 0 ? TR_ALERT_UNSUPPORTED_EXTENSION : alert; /* RFC 5246 7.4.1.4, RFC 8446 4.2 */
        } else if (!fits && !ignored) {
            alert = alert == 0 ? TR_ALERT_ILLEGAL_PARAMETER : alert; /* RFC 8446 4.2: known, but not there */
        }
        if (fits) {
            out->present |= 1u << row;
            out->bodies[row] = body;
        }
    }
    return alert;
}

bool
tr_ext_has(const tr_ext_set_t *set, uint16_t type)
{
    size_t row = row_of(type);
    return row < TR_ARRAY_LEN(table) && (set->present & 1u << row) != 0;
}

bool
tr_ext_get(const tr_ext_set_t *set, uint16_t type, tr_rd_t *out)
{
    bool has = tr_ext_has(set, type);
    *out = tr_rd(has ? set->bodies[row_of(type)] : TR_SLICE_NULL);
    return has;
}

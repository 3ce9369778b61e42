/* profile: what a browser sends, as data. A profile is built from a capture (profiles/<id>.json) by
 * tools/gen_profiles.py into profiles.inc, or at run time into the same struct (tr_profile_new); nothing else knows a
 * browser. Read-only and shared between threads; one made at run time lives as long as it is referenced. */
#ifndef TR_PROFILE_PROFILE_H
#define TR_PROFILE_PROFILE_H

#include "core/err.h"
#include "core/mem.h"

/* Stands for "a GREASE value" in every list of 16-bit numbers (RFC 8701). */
#define TR_GREASE 0x0a0a

/* TLS extension numbers (IANA) that the engine treats itself. */
enum {
    TR_EXT_SERVER_NAME = 0,
    TR_EXT_MAX_FRAGMENT_LENGTH = 1,
    TR_EXT_STATUS_REQUEST = 5,
    TR_EXT_SUPPORTED_GROUPS = 10,
    TR_EXT_EC_POINT_FORMATS = 11,
    TR_EXT_SIGNATURE_ALGORITHMS = 13,
    TR_EXT_ALPN = 16,
    TR_EXT_SCT = 18,
    TR_EXT_PADDING = 21,
    TR_EXT_ENCRYPT_THEN_MAC = 22,
    TR_EXT_EXTENDED_MASTER_SECRET = 23,
    TR_EXT_COMPRESS_CERTIFICATE = 27,
    TR_EXT_RECORD_SIZE_LIMIT = 28,
    TR_EXT_DELEGATED_CREDENTIALS = 34,
    TR_EXT_SESSION_TICKET = 35,
    TR_EXT_PRE_SHARED_KEY = 41,
    TR_EXT_EARLY_DATA = 42,
    TR_EXT_SUPPORTED_VERSIONS = 43,
    TR_EXT_COOKIE = 44,
    TR_EXT_PSK_KEY_EXCHANGE_MODES = 45,
    TR_EXT_CERTIFICATE_AUTHORITIES = 47,
    TR_EXT_SIGNATURE_ALGORITHMS_CERT = 50,
    TR_EXT_KEY_SHARE = 51,
    TR_EXT_NEXT_PROTOCOL = 13172,
    TR_EXT_ALPS_OLD = 17513,
    TR_EXT_ALPS = 17613,
    TR_EXT_TRUST_ANCHORS = 51764,
    TR_EXT_ECH = 65037,
    TR_EXT_RENEGOTIATION_INFO = 65281
};

/* One extension of the ClientHello. Which field counts depends on `type`:
 *   supported_groups, signature_algorithms(_cert), supported_versions, compress_certificate,
 *   delegated_credentials, key_share (groups in order): `values`, each possibly TR_GREASE;
 *   alpn, alps: `data` is the body's protocol list as sent (u16 length, then u8-prefixed names);
 *   server_name, session_ticket, pre_shared_key, cookie: made by the engine, no data;
 *   cookie, early_data: the rows are places; they are written only in a second hello, or with early data;
 *   encrypted_client_hello: tr_profile_t.ech;
 *   key_share: `data` is empty, or has a 16-bit length for each value: groups that the engine cannot do get random bytes
 *   of that length as their share;
 *   everything else (also GREASE, type TR_GREASE): `data` is the body, sent as it is; without data and with one value, so many
 *   random bytes, drawn for each connection. So is padding that follows no rule (TR_PROFILE_PADDING_BORINGSSL). */
typedef struct tr_profile_ext {
    uint16_t type;
    uint16_t num_values;
    const uint16_t *values;
    tr_slice_t data;
} tr_profile_ext_t;

/* How the length of the ECH GREASE payload comes about. */
typedef enum tr_ech_payload {
    TR_ECH_NONE,          /* no ECH extension */
    TR_ECH_PAYLOAD_DRAWN, /* one of payload_lens at random (BoringSSL) */
    TR_ECH_PAYLOAD_NSS    /* from the inner ClientHello's length, see firefox_153_linux.json */
} tr_ech_payload_t;

typedef struct tr_profile_ech {
    tr_ech_payload_t payload;
    uint16_t kdf;
    const uint16_t *aeads; /* one is drawn */
    size_t num_aeads;
    const uint16_t *payload_lens; /* with TR_ECH_PAYLOAD_DRAWN; 16-byte tag included */
    size_t num_payload_lens;
    uint16_t enc_len;
} tr_profile_ech_t;

typedef struct tr_profile_header {
    const char *name; /* with the case in which the browser sends it over HTTP/1.1, or lower case for HTTP/2 */
    const char *value; /* NULL: a place only (host, cookie, content-length), filled per request */
} tr_profile_header_t;

/* As a value in the tables of a kind: what the profile's navigation has under that name; left out where it has none. So the tables
 * of a kind hold for all profiles of a family, whatever their user agents. Compared by address. */
extern const char tr_profile_same[];

/* What a page (or the user) asks for: its header fields differ, in values and in order. The names that callers use are in
 * tr_kind_name. */
typedef enum tr_kind {
    TR_KIND_NAVIGATE, /* a page, in the address bar or by a link */
    TR_KIND_FETCH,    /* fetch() */
    TR_KIND_XHR,      /* XMLHttpRequest */
    TR_KIND_FORM,     /* a form is submitted: a navigation with a body */
    TR_KIND_IMAGE,
    TR_KIND_SCRIPT,
    TR_KIND_STYLE,
    TR_KIND_IFRAME,
    TR_KIND_WEBSOCKET, /* the handshake */
    TR_KIND_EVENTS,    /* EventSource */
    TR_KIND_COUNT
} tr_kind_t;

/* The fields of one kind, over HTTP/2 and HTTP/1.1: values, places, or tr_profile_same. Fields named priority or sec-fetch-* are left
 * out where the profile's navigation has none of that name (an older version of the browser). A second content-length row, with the
 * value "0", is the place of an empty body's. No rows: as a navigation. */
typedef struct tr_profile_kind {
    const tr_profile_header_t *h2_headers;
    size_t num_h2_headers;
    const tr_profile_header_t *h1_headers;
    size_t num_h1_headers;
    uint16_t weight; /* of the HEADERS frame, 1 to 256; 0: the navigation's */
} tr_profile_kind_t;

/* Client hints: what Accept-CH may ask for (User-Agent Client Hints, Client Hints Infrastructure, Device Memory, Network Information, User
 * Preference Media Features), in the order in which Chromium writes them in a navigation. The three of every request are rows of the
 * navigation and stand here for their places; the last ones are asked for, but no request that is made here has them. */
#define TR_HINTS(X)                                                                                                    \
    X(DEVICE_MEMORY, "device-memory")                                                                                  \
    X(CH_DEVICE_MEMORY, "sec-ch-device-memory")                                                                        \
    X(DPR, "dpr")                                                                                                      \
    X(CH_DPR, "sec-ch-dpr")                                                                                            \
    X(VIEWPORT_WIDTH, "viewport-width")                                                                                \
    X(CH_VIEWPORT_WIDTH, "sec-ch-viewport-width")                                                                      \
    X(CH_VIEWPORT_HEIGHT, "sec-ch-viewport-height")                                                                    \
    X(RTT, "rtt")                                                                                                      \
    X(DOWNLINK, "downlink")                                                                                            \
    X(ECT, "ect")                                                                                                      \
    X(UA, "sec-ch-ua")                                                                                                 \
    X(UA_MOBILE, "sec-ch-ua-mobile")                                                                                   \
    X(UA_FULL_VERSION, "sec-ch-ua-full-version")                                                                       \
    X(UA_ARCH, "sec-ch-ua-arch")                                                                                       \
    X(UA_PLATFORM, "sec-ch-ua-platform")                                                                               \
    X(UA_PLATFORM_VERSION, "sec-ch-ua-platform-version")                                                               \
    X(UA_MODEL, "sec-ch-ua-model")                                                                                     \
    X(UA_BITNESS, "sec-ch-ua-bitness")                                                                                 \
    X(UA_WOW64, "sec-ch-ua-wow64")                                                                                     \
    X(UA_FULL_VERSION_LIST, "sec-ch-ua-full-version-list")                                                             \
    X(UA_FORM_FACTORS, "sec-ch-ua-form-factors")                                                                       \
    X(PREFERS_COLOR_SCHEME, "sec-ch-prefers-color-scheme")                                                             \
    X(PREFERS_REDUCED_MOTION, "sec-ch-prefers-reduced-motion")                                                         \
    X(PREFERS_REDUCED_TRANSPARENCY, "sec-ch-prefers-reduced-transparency")                                             \
    X(WIDTH, "width")                                                                                                  \
    X(CH_WIDTH, "sec-ch-width")                                                                                        \
    X(SAVE_DATA, "save-data")

typedef enum tr_hint {
#define X(name, text) TR_HINT_##name,
    TR_HINTS(X)
#undef X
    TR_HINT_COUNT
} tr_hint_t;

typedef struct tr_profile_setting {
    uint16_t id;
    uint32_t value;
} tr_profile_setting_t;

/* A PRIORITY frame sent before the first request (old Firefox). */
typedef struct tr_profile_priority {
    uint32_t stream_id;
    uint32_t depends_on;
    uint16_t weight; /* 1 to 256 */
    bool exclusive;
} tr_profile_priority_t;

typedef enum tr_profile_priority_mode {
    TR_PRIORITY_NONE,    /* HEADERS without priority fields */
    TR_PRIORITY_FIXED,   /* the same fields on each request */
    TR_PRIORITY_CHROMIUM /* exclusive dependency on the last open stream of the same or higher weight */
} tr_profile_priority_mode_t;

/* Whose choices the encoder of HTTP/2 header blocks makes (http2/hpack.c). */
typedef enum tr_profile_hpack {
    TR_HPACK_GENERIC, /* nghttp2's: the browser's own are not known */
    TR_HPACK_CHROMIUM,
    TR_HPACK_FIREFOX
} tr_profile_hpack_t;

enum {
    /* A TLS 1.3 session replaces the session_ticket extension (Firefox). */
    TR_PROFILE_PSK_DROPS_TICKET = 1u << 0,
    /* pre_shared_key is offered for kept TLS 1.3 sessions. */
    TR_PROFILE_RESUMES_13 = 1u << 1,
    /* The session_ticket extension carries kept TLS 1.2 tickets... */
    TR_PROFILE_RESUMES_12 = 1u << 2,
    /* ... each of them once only. */
    TR_PROFILE_TICKET12_ONCE = 1u << 3,
    /* Padding rule of BoringSSL: a ClientHello of 256 to 511 bytes is brought to 512 (RFC 7685). */
    TR_PROFILE_PADDING_BORINGSSL = 1u << 4,
    /* Extensions are shuffled for each connection, but the pinned ones. */
    TR_PROFILE_PERMUTES = 1u << 5,
    /* The X25519 share repeats the X25519 part of the hybrid share. */
    TR_PROFILE_SHARES_X25519 = 1u << 6,
    /* The ClientHello after a HelloRetryRequest keeps the GREASE key share. */
    TR_PROFILE_RETRY_KEEPS_GREASE = 1u << 7,
    /* A client's EncryptedExtensions answers an agreed ALPS (always when the extension is offered). */
    TR_PROFILE_ALPS = 1u << 8,
    /* The engine can send early data with this profile's tickets. */
    TR_PROFILE_EARLY_DATA = 1u << 9,
    /* HTTP/2: an empty request body is an empty DATA frame with END_STREAM (Firefox). */
    TR_PROFILE_H2_EMPTY_DATA = 1u << 10,
    /* HTTP/2: the first HEADERS lies in the preface's TLS record (curl, some applications). */
    TR_PROFILE_H2_ONE_RECORD = 1u << 11,
    /* HTTP/2: a close_notify / GOAWAY is sent at the end. Browsers send neither. */
    TR_PROFILE_SENDS_GOAWAY = 1u << 12,
    /* A WebSocket to a host without a connection goes over an ordinary one, and over one of its own when that turns out to be HTTP/2
     * without extended CONNECT (Firefox). Else it opens one of its own at once (Chromium). */
    TR_PROFILE_WS_ORDINARY = 1u << 13,
    /* A WebSocket's own connection does not offer compress_certificate (Firefox). */
    TR_PROFILE_WS_PLAIN_CERT = 1u << 14,
    /* A redirected navigation has its sec-ch-ua fields behind sec-fetch-dest (Chromium). */
    TR_PROFILE_REDIRECT_MOVES_HINTS = 1u << 15,
    /* A host whose address an HTTP/2 connection has, and whose name its certificate has, is served by that connection. */
    TR_PROFILE_COALESCES = 1u << 16,
    /* What a page embeds from other sites gets no more than the default referrer policy tells, whatever the page's policy (Firefox). */
    TR_PROFILE_STRICT_REFERRERS = 1u << 17,
    /* Made by tr_profile_new, counted. */
    TR_PROFILE_COUNTED = 1u << 31
};

typedef struct tr_profile {
    const char *id;     /* file name without .json: "chrome_133_macos" */
    const char *family; /* "chrome", "firefox", "safari", ... */
    const char *version;
    const char *os;
    /* Names the contents: two profiles with the same key may share connections and tickets. Built-in ones: 1, 2, ...; others have the
     * topmost bit set. */
    uint64_t key;

    /* --- TLS --- */
    uint32_t flags; /* TR_PROFILE_* */
    uint16_t record_version;
    uint16_t legacy_version;
    uint8_t session_id_len; /* 0 or 32 */
    uint16_t num_suites;
    const uint16_t *suites; /* TR_GREASE allowed */
    /* In the order of the capture. pre_shared_key is not among them; cookie and early_data are, where the
     * browser puts them, though a first full handshake has neither (tr_hello_offers_ext says what was sent). */
    const tr_profile_ext_t *exts;
    uint16_t num_exts;
    uint16_t num_pinned_first; /* leading extensions that TR_PROFILE_PERMUTES leaves in place */
    uint16_t num_pinned_last;  /* trailing ones; pre_shared_key always comes behind all */
    tr_profile_ech_t ech;

    /* --- HTTP/2 --- */
    const tr_profile_setting_t *settings;
    size_t num_settings;
    uint32_t window_increment; /* connection WINDOW_UPDATE behind SETTINGS; 0: none */
    const tr_profile_priority_t *priority_frames; /* sent behind it */
    size_t num_priority_frames;
    char pseudo_order[5];           /* "masp": m(ethod) a(uthority) s(cheme) p(ath), NUL */
    uint32_t first_stream_id;       /* 1, 3, ... */
    uint32_t stream_window_increment; /* WINDOW_UPDATE right behind each HEADERS (Firefox); 0: none */
    tr_profile_priority_mode_t priority_mode;
    tr_profile_priority_t priority; /* of a navigation's HEADERS */
    tr_profile_hpack_t hpack;
    uint16_t data_frame_max; /* largest DATA payload the browser writes; 0: the peer's SETTINGS decide */

    /* --- headers of a navigation, in order; cookie, content-length and others as places (value NULL) --- */
    const tr_profile_header_t *h2_headers;
    size_t num_h2_headers;
    const tr_profile_header_t *h1_headers; /* with Host and Connection */
    size_t num_h1_headers;
    const char *user_agent; /* NULL where none is known */
    /* TR_KIND_COUNT rows by tr_kind_t (that of navigations is empty: the fields above); NULL: every request is like a navigation
     * (what is no browser). Shared by the profiles of a family: a profile made at run time may borrow the table of a built-in one. */
    const tr_profile_kind_t *kinds;
    /* TR_HINT_COUNT values by tr_hint_t, NULL where this browser has none; NULL: it answers no Accept-CH. */
    const char *const *hints;
} tr_profile_t;

/* What the data of a name is based on. */
typedef enum tr_basis { TR_BASIS_CAPTURE, TR_BASIS_DERIVED, TR_BASIS_NEAREST } tr_basis_t;

typedef struct tr_profile_name {
    const char *name;  /* id, alias or family; the table is sorted by it */
    const char *entry; /* the name under which lists show it */
    uint16_t index;    /* for tr_profile_at */
    uint8_t basis;     /* tr_basis_t */
} tr_profile_name_t;

/* tr_profile_find looks a built-in profile up by its id or one of its aliases (exact, case included);
 * NULL: unknown. */
const tr_profile_t *tr_profile_find(tr_slice_t name);
/* tr_profile_default is what an unknown identifier means: chrome_133. */
const tr_profile_t *tr_profile_default(void);
/* tr_profile_at walks the built-in profiles: index from 0; NULL behind the last. */
const tr_profile_t *tr_profile_at(size_t index);
/* tr_profile_name_at walks all names in their order; NULL behind the last. */
const tr_profile_name_t *tr_profile_name_at(size_t index);

/* tr_profile_new makes an empty profile that is filled by its maker, with memory of tr_profile_alloc, before anybody else sees it. Count
 * 1. NULL: out of memory. */
tr_profile_t *tr_profile_new(void) TR_WARN_UNUSED;
/* tr_profile_alloc gives memory that lives as long as a profile of tr_profile_new; NULL: out of memory. */
void *tr_profile_alloc(tr_profile_t *profile, size_t size) TR_WARN_UNUSED;
/* tr_profile_ref and tr_profile_unref count the references to a profile of tr_profile_new; built-in ones and NULL are left alone. Any
 * thread. */
const tr_profile_t *tr_profile_ref(const tr_profile_t *profile);
void tr_profile_unref(const tr_profile_t *profile);

/* tr_profile_ext finds an extension's row by type; NULL: never offered. */
const tr_profile_ext_t *tr_profile_ext(const tr_profile_t *profile, uint16_t type);
/* tr_profile_kind gives the row of a kind; NULL: as a navigation. */
const tr_profile_kind_t *tr_profile_kind(const tr_profile_t *profile, tr_kind_t kind);
/* tr_hint_name is a hint's header name; "" for TR_HINT_COUNT and beyond. */
const char *tr_hint_name(tr_hint_t hint);
/* tr_kind_name is the kind's name for callers: "navigate", "fetch", ... "" for TR_KIND_COUNT and beyond. */
const char *tr_kind_name(tr_kind_t kind);

#endif

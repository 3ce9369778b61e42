#include "net/connect.h"

#include <stdio.h>

#include "core/mem.h"
#include "core/trace.h"

static bool
is_firefox(const char *family)
{
    return family != NULL && strcmp(family, "firefox") == 0;
}

/* Chromium's HttpUtil and network transaction: over a proxy "Proxy-Connection" stands for "Connection". Firefox and Safari do not rename. */
bool
tr_connect_style_renames(const char *family)
{
    return family == NULL || (!is_firefox(family) && strcmp(family, "safari") != 0);
}

/* Seen by tests/fingerprint/test_browser_proxies.py; Safari's is not known. */
uint16_t
tr_connect_style_weight(const char *family)
{
    return is_firefox(family) ? 22 : tr_connect_style_renames(family) ? 147 : 0;
}

static bool
is_own(const char *const *order, tr_slice_t name)
{
    for (; *order != NULL; order++) {
        if (tr_slice_ieq(name, tr_slice_cstr(*order))) {
            return true;
        }
    }
    return false;
}

/* A field of the browser's, or what the caller wants in its place. */
static void
put(tr_connect_t *self, const tr_proxy_t *proxy, const char *name, tr_slice_t value)
{
    bool replaced = false;
    for (size_t i = 0; i < tr_proxy_num_fields(proxy); i++) {
        const tr_proxy_field_t *own = tr_proxy_field(proxy, i);
        if (tr_slice_ieq(own->name, tr_slice_cstr(name))) {
            replaced = true;
            if (own->value.data != NULL) {
                self->fields[self->num_fields++] = (tr_field_t){own->name, own->value};
            }
        }
    }
    if (!replaced && value.len > 0) {
        self->fields[self->num_fields++] = (tr_field_t){tr_slice_cstr(name), value};
    }
}

/* Order and fields as browsers send them: Chromium's HttpProxyClientSocket, Firefox's nsHttpConnection. Others get Chromium's. */
static const char *const chromium_order[] = {"Host", "Proxy-Connection", "User-Agent", "Proxy-Authorization", NULL};
static const char *const firefox_order[] = {"User-Agent", "Proxy-Connection", "Connection", "Host", "Proxy-Authorization", NULL};

static void
fill(tr_connect_t *self, const tr_proxy_t *proxy, const tr_connect_style_t *style)
{
    const char *const *order = is_firefox(style->family) ? firefox_order : chromium_order;
    for (const char *const *name = order; *name != NULL; name++) {
        tr_slice_t value = TR_SLICE_LIT("keep-alive");
        if (strcmp(*name, "Host") == 0) {
            value = tr_slice_cstr(self->target);
        } else if (strcmp(*name, "User-Agent") == 0) {
            value = style->user_agent;
        } else if (strcmp(*name, "Proxy-Authorization") == 0) {
            value = tr_slice(self->basic, self->basic_len);
        }
        put(self, proxy, *name, value);
    }
    for (size_t i = 0; i < tr_proxy_num_fields(proxy); i++) {
        const tr_proxy_field_t *own = tr_proxy_field(proxy, i);
        if (own->value.data != NULL && !is_own(order, own->name)) {
            self->fields[self->num_fields++] = (tr_field_t){own->name, own->value};
        }
    }
}

tr_code_t
tr_connect_init(tr_connect_t *out, const tr_proxy_t *proxy, size_t hop, const char *host, uint16_t port, const tr_connect_style_t *style)
{
    int family;
    size_t room = strlen(host) + 10; /* brackets, colon, port, NUL */
    *out = (tr_connect_t){.hop = tr_proxy_hop(proxy, hop)};
    out->target = tr_malloc(room);
    if (out->target == NULL) {
        return TR_ERR_NOMEM;
    }
    bool brackets = strchr(host, ':') != NULL && tr_proxy_is_ip(host, &family);
    (void)snprintf(out->target, room, brackets ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
    if (out->hop->has_auth && tr_proxy_basic(&out->basic, &out->basic_len, out->hop) != TR_OK) {
        tr_connect_cleanup(out);
        return TR_ERR_NOMEM;
    }
    fill(out, proxy, style);
    return TR_OK;
}

void
tr_connect_cleanup(tr_connect_t *connect)
{
    if (connect->basic != NULL) {
        tr_wipe(connect->basic, connect->basic_len);
        tr_free(connect->basic);
    }
    tr_free(connect->target);
    *connect = (tr_connect_t){0};
}

void
tr_connect_head(const tr_connect_t *connect, tr_request_head_t *out)
{
    tr_slice_t target = tr_slice_cstr(connect->target);
    *out = (tr_request_head_t){
        .method = TR_SLICE_LIT("CONNECT"),
        .scheme = TR_SLICE_LIT("http"),
        .authority = target,
        .target = target,
        .fields = connect->fields,
        .num_fields = connect->num_fields,
    };
}

tr_code_t
tr_connect_judge(const tr_connect_t *connect, int status, tr_err_t *err)
{
    static const char where[] = "net.connect";
    const tr_proxy_hop_t *hop = connect->hop;
    TR_TRACE(TR_TOPIC_NET, "proxy %s: CONNECT %s: %d", hop->host, connect->target, status);
    if (status / 100 == 2) {
        return TR_OK;
    }
    /* tinyproxy says 401 where the credentials are wrong; whoever answers CONNECT is the proxy. */
    if (status == 407 || status == 401) {
        return tr_err_set(err, TR_ERR_PROXY_AUTH, status, where, "proxy %.60s:%u: it %s (status %d)", hop->host, (unsigned)hop->port,
                          hop->has_auth ? "does not accept the credentials" : "asks for credentials", status);
    }
    return tr_err_set(err, TR_ERR_PROXY_REFUSED, status, where, "proxy %.40s:%u: it refused CONNECT %.50s with status %d", hop->host,
                      (unsigned)hop->port, connect->target, status);
}

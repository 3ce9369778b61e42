/* Fuzz target: what a proxy answers. The first byte chooses the kind of proxy and whether it closes at the end, the second how the bytes are
 * split. A tunnel that stands, and the failure when none does, do not depend on the split, but for HTTP's "bytes behind" (whether they came
 * with the head). Whatever comes, no more is sent than the protocol has. */
#include "core/fuzz_replay.h"
#include "core/mem.h"
#include "net/filter.h"

typedef struct bottom {
    tr_filter_t base;
    tr_buf_t wire;
    tr_slice_t in;
    size_t split;
    bool eof;
} bottom_t;

static tr_buf_t *
bottom_wire(tr_filter_t *f)
{
    return &((bottom_t *)f)->wire;
}

static tr_code_t
bottom_flush(tr_filter_t *f, tr_err_t *err)
{
    (void)f;
    (void)err;
    return TR_OK;
}

static tr_code_t
bottom_read(tr_filter_t *f, uint8_t *dst, size_t cap, size_t *out_len, tr_err_t *err)
{
    bottom_t *self = (bottom_t *)f;
    size_t len = TR_MIN(TR_MIN(cap, self->split), self->in.len);
    *out_len = len;
    if (len == 0) {
        return self->eof ? tr_err_set(err, TR_EOF, 0, "fuzz", "end") : TR_AGAIN;
    }
    memcpy(dst, self->in.data, len);
    self->in = tr_slice(self->in.data + len, self->in.len - len);
    return TR_OK;
}

static const tr_filter_type_t bottom_type = {.name = "bottom", .flush = bottom_flush, .wire = bottom_wire, .read = bottom_read};

static tr_code_t
run(const char *url, tr_slice_t in, size_t split, bool eof, tr_buf_t *sent)
{
    tr_err_t err = TR_ERR_INIT;
    tr_proxy_t *proxy;
    tr_filter_t *filter;
    tr_bufq_t out;
    tr_slice_t text = tr_slice_cstr(url);
    tr_connect_style_t style = {NULL, TR_SLICE_LIT("agent")};
    bottom_t bottom = {.base = {&bottom_type, NULL}, .wire = TR_BUF_INIT, .in = in, .split = split, .eof = eof};
    tr_bufq_init(&out, 0);
    TR_FUZZ_CHECK(tr_proxy_new(&proxy, &text, 1, TR_FORWARD_REFUSED, NULL, 0, &err) == TR_OK);
    tr_proxy_kind_t kind = tr_proxy_hop(proxy, 0)->kind;
    tr_code_t code = kind == TR_PROXY_HTTP ? tr_hproxy_filter_new(&filter, &bottom.base, proxy, 0, "host.test", 443, &style, &err)
                                           : tr_socks_filter_new(&filter, &bottom.base, proxy, 0, "host.test", 443, NULL, &err);
    TR_FUZZ_CHECK(code == TR_OK);
    code = filter->type->connect(filter, &err);
    while (code == TR_AGAIN) {
        size_t before = bottom.in.len;
        tr_code_t got = filter->type->recv(filter, &out, &err);
        TR_FUZZ_CHECK(!tr_failed(got)); /* connect tells */
        code = filter->type->connect(filter, &err);
        if (code == TR_AGAIN && got == TR_AGAIN) {
            break;
        }
        TR_FUZZ_CHECK(code != TR_AGAIN || bottom.in.len < before);
    }
    TR_FUZZ_CHECK(out.len == 0);
    TR_FUZZ_CHECK(!tr_failed(code) || (err.code == code && err.msg[0] != 0));
    TR_FUZZ_CHECK(filter->type->connect(filter, &err) == code); /* it stays what it is */
    *sent = bottom.wire;
    (void)tr_filter_pop(filter);
    tr_proxy_unref(proxy);
    return code;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const urls[] = {"http://u:p@proxy", "socks5h://proxy", "socks5h://u:p@proxy", "socks4a://proxy"};
    if (size < 2) {
        return 0;
    }
    const char *url = urls[data[0] % TR_ARRAY_LEN(urls)];
    bool eof = (data[0] & 0x80) != 0;
    tr_slice_t in = tr_slice(data + 2, size - 2);
    tr_buf_t one, other;
    tr_code_t whole = run(url, in, SIZE_MAX, eof, &one);
    tr_code_t split = run(url, in, 1 + data[1] % 16, eof, &other);
    TR_FUZZ_CHECK(whole == split || (whole == TR_ERR_PROXY_PROTOCOL && split == TR_OK));
    TR_FUZZ_CHECK(one.len <= 1024);
    TR_FUZZ_CHECK(tr_slice_eq(tr_buf_slice(&one), tr_buf_slice(&other)));
    tr_buf_cleanup(&one);
    tr_buf_cleanup(&other);
    return 0;
}

/* Fuzz target: URLs and references. The first line is a URL, the rest a reference resolved against it. What was
 * accepted holds nothing that a request line or a Host field must not have, and its text parses to itself. */
#include "http/fuzz_replay.h"
#include "http/url.h"

static void
check_printable(tr_slice_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        TR_FUZZ_CHECK(text.data[i] > 0x20 && text.data[i] < 0x7f);
    }
}

static void
check_url(tr_arena_t *arena, const tr_url_t *url)
{
    tr_slice_t text, again_text;
    tr_url_t again;
    check_printable(url->host);
    check_printable(url->authority);
    check_printable(url->userinfo);
    check_printable(url->target);
    check_printable(url->fragment);
    TR_FUZZ_CHECK(url->host.len > 0 && url->port != 0);
    TR_FUZZ_CHECK(url->target.len > 0 && url->target.data[0] == '/');
    TR_FUZZ_CHECK(url->path.data == url->target.data && url->path.len <= url->target.len);
    TR_FUZZ_CHECK(url->path.len == url->target.len || url->target.data[url->path.len] == '?');
    for (size_t i = 0; i < url->authority.len; i++) {
        uint8_t c = url->authority.data[i];
        TR_FUZZ_CHECK(c != '/' && c != '?' && c != '#' && c != '@' && c != '\\' && c != '%');
    }
    if (tr_url_text(&text, arena, url, true) == TR_OK) {
        TR_FUZZ_CHECK(tr_url_parse(&again, arena, text, NULL) == TR_OK);
        TR_FUZZ_CHECK(tr_url_same_origin(url, &again));
        TR_FUZZ_CHECK(tr_slice_eq(url->target, again.target) && tr_slice_eq(url->userinfo, again.userinfo));
        TR_FUZZ_CHECK(tr_url_text(&again_text, arena, &again, true) == TR_OK && tr_slice_eq(text, again_text));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size == 0 ? NULL : memchr(data, '\n', size);
    size_t len = end == NULL ? size : (size_t)(end - data);
    tr_arena_t arena;
    tr_url_t url, resolved;
    tr_err_t err = TR_ERR_INIT;
    tr_arena_init(&arena);
    if (tr_url_parse(&url, &arena, tr_slice(data, len), &err) == TR_OK) {
        check_url(&arena, &url);
        if (len < size &&
            tr_url_resolve(&resolved, &arena, &url, tr_slice(data + len + 1, size - len - 1), &err) == TR_OK) {
            check_url(&arena, &resolved);
            /* No dot segment is left: resolving the path alone changes nothing. */
            tr_url_t again;
            TR_FUZZ_CHECK(resolved.path.len < 2 || resolved.path.data[1] == '/' ||
                          (tr_url_resolve(&again, &arena, &resolved, resolved.path, &err) == TR_OK &&
                           tr_slice_eq(again.path, resolved.path)));
        }
    }
    (void)tr_host_is_ip(tr_slice(data, len));
    tr_arena_cleanup(&arena);
    return 0;
}

#include "profile/profile.h"
#include "tr_test.h"

static const tr_profile_t *
find(const char *name)
{
    return tr_profile_find(tr_slice_cstr(name));
}

TR_TEST(profile_find, "/profile/find")
{
    const tr_profile_t *chrome = find("chrome_133_macos");
    TR_CHECK(chrome != NULL);
    TR_CHECK_SLICE(tr_slice_cstr(chrome->id), "chrome_133_macos");
    TR_CHECK(find("chrome_133") == chrome);
    TR_CHECK(tr_profile_default() == chrome);
    TR_CHECK(find("firefox_153") == find("firefox_153_linux") && find("firefox_esr") == find("firefox_153"));
    TR_CHECK(find("chromium_156") == find("chromium_156_linux") && find("chromium") == find("chromium_156"));
    TR_CHECK(find("firefox") == find("firefox_155") && find("chrome") == find("chrome_156_linux"));
    TR_CHECK(find("chrome_116_PSK_PQ") != NULL && find("chrome_116_psk_pq") == NULL);
    TR_CHECK(find("firefox") != chrome);
    /* exact: no other case, no prefix, no suffix */
    TR_CHECK(find("Chrome_133") == NULL);
    TR_CHECK(find("chrome_13") == NULL && find("chrome_133_") == NULL && find("chrome_133_macosx") == NULL);
    TR_CHECK(find("") == NULL && find("zzz") == NULL && find("0") == NULL);
    TR_CHECK(tr_profile_find(TR_SLICE_NULL) == NULL);
    TR_CHECK(tr_profile_find(tr_slice("chrome_133\0", 11)) == NULL);
}

static size_t
count_header(const tr_profile_header_t *headers, size_t num, const char *name)
{
    size_t found = 0;
    for (size_t i = 0; i < num; i++) {
        found += tr_slice_ieq(tr_slice_cstr(headers[i].name), tr_slice_cstr(name));
    }
    return found;
}

/* Invariants that other modules rely on, for every profile. */
TR_TEST(profile_tables, "/profile/tables")
{
    const tr_profile_t *profile;
    size_t num = 0;
    for (; (profile = tr_profile_at(num)) != NULL; num++) {
        TR_CHECK(find(profile->id) == profile);
        TR_CHECK_INT(profile->key, num + 1);
        TR_CHECK(tr_profile_ref(profile) == profile);
        tr_profile_unref(profile);
        TR_CHECK(profile->num_suites > 0 && profile->num_exts > 0 && profile->num_exts <= 64);
        TR_CHECK(profile->num_pinned_first + profile->num_pinned_last <= profile->num_exts);
        TR_CHECK(tr_profile_ext(profile, TR_EXT_PRE_SHARED_KEY) == NULL);
        TR_CHECK(tr_profile_ext(profile, TR_EXT_PADDING) == NULL);
        TR_CHECK((profile->flags & TR_PROFILE_EARLY_DATA) == 0 || tr_profile_ext(profile, TR_EXT_EARLY_DATA) != NULL);
        TR_CHECK((profile->ech.payload == TR_ECH_NONE) == (tr_profile_ext(profile, TR_EXT_ECH) == NULL));
        for (size_t i = 0; i < profile->num_exts; i++) {
            const tr_profile_ext_t *ext = &profile->exts[i];
            TR_CHECK((ext->num_values == 0) == (ext->values == NULL));
            TR_CHECK((ext->data.len == 0) == (ext->data.data == NULL));
            for (size_t j = 0; j < i; j++) {
                TR_CHECK(profile->exts[j].type != ext->type || ext->type == TR_GREASE);
            }
        }
        for (const char *letter = "masp"; *letter != '\0'; letter++) {
            TR_CHECK(strchr(profile->pseudo_order, *letter) != NULL);
        }
        TR_CHECK_INT(strlen(profile->pseudo_order), 4);
        TR_CHECK(profile->first_stream_id % 2 == 1);
        TR_CHECK(profile->priority.weight >= 1 && profile->priority.weight <= 256);
        TR_CHECK_INT(count_header(profile->h1_headers, profile->num_h1_headers, "host"), 1);
        TR_CHECK_INT(count_header(profile->h1_headers, profile->num_h1_headers, "connection"), 1);
        TR_CHECK_INT(count_header(profile->h2_headers, profile->num_h2_headers, "host"), 0);
        TR_CHECK_INT(count_header(profile->h2_headers, profile->num_h2_headers, "connection"), 0);
        TR_CHECK_INT(count_header(profile->h2_headers, profile->num_h2_headers, "cookie"), 1);
        TR_CHECK_INT(count_header(profile->h1_headers, profile->num_h1_headers, "content-length"), 1);
        for (size_t i = 0; i < profile->num_h2_headers; i++) {
            for (const char *c = profile->h2_headers[i].name; *c != '\0'; c++) {
                TR_CHECK(*c < 'A' || *c > 'Z'); /* RFC 9113 8.2 */
            }
        }
    }
    TR_CHECK(num >= 3);
    TR_CHECK(tr_profile_at(SIZE_MAX) == NULL);
}

/* Every name leads to its profile, and to the entry under which it is listed. */
TR_TEST(profile_names_test, "/profile/names")
{
    const tr_profile_name_t *row, *before = NULL;
    size_t num = 0;
    for (; (row = tr_profile_name_at(num)) != NULL; num++) {
        TR_CHECK(before == NULL || strcmp(before->name, row->name) < 0);
        TR_CHECK(find(row->name) == tr_profile_at(row->index));
        TR_CHECK(find(row->entry) == find(row->name));
        TR_CHECK(row->basis <= TR_BASIS_NEAREST);
        before = row;
    }
    TR_CHECK(num > 400);
    TR_CHECK(tr_profile_name_at(SIZE_MAX) == NULL);
}

TR_TEST_OOM(profile_counted, "/profile/made_at_run_time")
{
    tr_profile_t *profile = tr_profile_new();
    if (profile == NULL) {
        TR_CHECK(tr_test_oom_running());
        return;
    }
    char *text = tr_profile_alloc(profile, 300);
    TR_CHECK(text != NULL || tr_test_oom_running());
    if (text != NULL) {
        memset(text, 'x', 299);
        text[299] = '\0';
        profile->id = text;
    }
    const tr_profile_t *other = tr_profile_ref(profile);
    TR_CHECK(other == profile);
    tr_profile_unref(profile);
    TR_CHECK(text == NULL || other->id[298] == 'x');
    tr_profile_unref(other);
    TR_CHECK(tr_profile_alloc((tr_profile_t *)(uintptr_t)tr_profile_default(), 1) == NULL);
    TR_CHECK(tr_profile_ref(NULL) == NULL);
    tr_profile_unref(NULL);
}

TR_TEST(profile_live, "/profile/what_the_live_captures_show")
{
    const tr_profile_t *chromium = find("chromium_156"), *firefox = find("firefox_153");
    TR_CHECK_INT(chromium->flags, TR_PROFILE_RESUMES_13 | TR_PROFILE_RESUMES_12 | TR_PROFILE_PERMUTES |
                                      TR_PROFILE_ALPS | TR_PROFILE_REDIRECT_MOVES_HINTS | TR_PROFILE_COALESCES);
    TR_CHECK_INT(firefox->flags, TR_PROFILE_PSK_DROPS_TICKET | TR_PROFILE_RESUMES_13 | TR_PROFILE_RESUMES_12 |
                                     TR_PROFILE_TICKET12_ONCE | TR_PROFILE_SHARES_X25519 | TR_PROFILE_EARLY_DATA |
                                     TR_PROFILE_H2_EMPTY_DATA | TR_PROFILE_WS_ORDINARY | TR_PROFILE_WS_PLAIN_CERT |
                                     TR_PROFILE_COALESCES | TR_PROFILE_STRICT_REFERRERS);
    TR_CHECK_INT(chromium->window_increment, 15663105);
    TR_CHECK_INT(chromium->priority_mode, TR_PRIORITY_CHROMIUM);
    TR_CHECK_INT(chromium->data_frame_max, 16375);
    TR_CHECK_INT(chromium->first_stream_id, 1);
    TR_CHECK_INT(firefox->stream_window_increment, 12451840);
    TR_CHECK_INT(firefox->priority_mode, TR_PRIORITY_FIXED);
    TR_CHECK_INT(firefox->priority.weight, 42);
    TR_CHECK_INT(firefox->data_frame_max, 16000);
    TR_CHECK_INT(firefox->first_stream_id, 3);
    TR_CHECK_SLICE(tr_slice_cstr(firefox->pseudo_order), "mpas");
}

#include "client/psl.h"

#include <libpsl.h>
#include <pthread.h>

#include "http/url.h"

/* A host name has 253 bytes at most (RFC 1035 2.3.4); what is longer is in no list. */
#define NAME_MAX_LEN 255

static pthread_once_t opened = PTHREAD_ONCE_INIT;
static const psl_ctx_t *the_list; /* never freed; written once */

static void
open_list(void)
{
    the_list = psl_latest(NULL);
    if (the_list == NULL) {
        the_list = psl_builtin();
    }
}

static const psl_ctx_t *
list_of_process(void)
{
    (void)pthread_once(&opened, open_list);
    return the_list;
}

/* A name as libpsl wants it, without the dot of the root. False: no host name. */
static bool
to_text(char text[NAME_MAX_LEN + 1], tr_slice_t name)
{
    if (name.len > 0 && name.data[name.len - 1] == '.') {
        name.len--;
    }
    if (name.len == 0 || name.len > NAME_MAX_LEN) {
        return false;
    }
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    return true;
}

bool
tr_psl__is_suffix_in(const struct psl_ctx_st *list, tr_slice_t domain)
{
    char text[NAME_MAX_LEN + 1];
    if (list == NULL || !to_text(text, domain)) {
        return true;
    }
    return psl_is_public_suffix2(list, text, PSL_TYPE_ANY) != 0;
}

bool
tr_psl_is_suffix(tr_slice_t domain)
{
    return tr_psl__is_suffix_in(list_of_process(), domain);
}

tr_slice_t
tr_psl_site(tr_slice_t host)
{
    char text[NAME_MAX_LEN + 1];
    const psl_ctx_t *list = list_of_process();
    if (list == NULL || tr_host_is_ip(host) || !to_text(text, host)) {
        return host;
    }
    const char *site = psl_registrable_domain(list, text);
    if (site == NULL) {
        return host;
    }
    size_t start = (size_t)(site - text);
    return tr_slice(host.data + start, host.len - start);
}

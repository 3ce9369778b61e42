#include <pthread.h>
#include <sys/stat.h>

#include "client/client.h"
#include "core/map.h"
#include "core/mem.h"

/* Files kept at once: a program trusts a few. When there are more, all are dropped and read again as they are asked for. */
#define MAX_FILES 64

/* A loaded file or directory, and what it looked like when it was read. */
typedef struct trust_file {
    tr_trust_t *trust; /* reference */
    dev_t device;
    ino_t inode;
    off_t size;
    time_t changed_s;
} trust_file_t;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static tr_map_t files; /* lock: path to trust_file_t; lives as long as the process */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A fork must not find the lock held by a thread that the child does not have. */
static void
before_fork(void)
{
    (void)pthread_mutex_lock(&lock);
}

static void
after_fork(void)
{
    (void)pthread_mutex_unlock(&lock);
}

static void
init_once(void)
{
    (void)pthread_atfork(before_fork, after_fork, after_fork);
}

static bool
drop_file(void *arg, tr_slice_t key, void *value)
{
    TR_UNUSED(arg);
    TR_UNUSED(key);
    trust_file_t *file = value;
    tr_trust_unref(file->trust);
    tr_free(file);
    return true;
}

static bool
is_same(const trust_file_t *file, const struct stat *now)
{
    return file->device == now->st_dev && file->inode == now->st_ino && file->size == now->st_size &&
           file->changed_s == now->st_mtime;
}

static void
remember_locked(tr_slice_t key, const struct stat *now, tr_trust_t *trust)
{
    void *old = NULL;
    if (files.len >= MAX_FILES) {
        tr_map_each(&files, drop_file, NULL);
        tr_map_cleanup(&files);
    }
    trust_file_t *file = tr_malloc(sizeof(*file));
    if (file == NULL) {
        return; /* only slower the next time */
    }
    *file = (trust_file_t){trust, now->st_dev, now->st_ino, now->st_size, now->st_mtime};
    if (tr_map_put(&files, &old, key, file) != TR_OK) {
        tr_free(file);
        return;
    }
    (void)tr_trust_ref(trust);
    if (old != NULL) {
        (void)drop_file(NULL, key, old);
    }
}

tr_code_t
tr_trust_shared(tr_trust_t **out, const char *path, tr_err_t *err)
{
    tr_slice_t key = tr_slice_cstr(path);
    struct stat now;
    *out = NULL;
    bool known = stat(path, &now) == 0;
    (void)pthread_once(&once, init_once);
    (void)pthread_mutex_lock(&lock);
    trust_file_t *file = known ? tr_map_get(&files, key) : NULL;
    if (file != NULL && is_same(file, &now)) {
        *out = tr_trust_ref(file->trust);
    }
    (void)pthread_mutex_unlock(&lock);
    if (*out != NULL) {
        return TR_OK;
    }
    /* Read without the lock: a slow disk holds up nobody else. */
    tr_code_t code = tr_trust_new_from(out, path, err);
    if (code == TR_OK && known) {
        (void)pthread_mutex_lock(&lock);
        remember_locked(key, &now, *out);
        (void)pthread_mutex_unlock(&lock);
    }
    return code;
}

void
tr_trust_forget(void)
{
    (void)pthread_mutex_lock(&lock);
    tr_map_each(&files, drop_file, NULL);
    tr_map_cleanup(&files);
    (void)pthread_mutex_unlock(&lock);
}

/* fuzz_replay: included once by each fuzz target. With TR_FUZZ_REPLAY it gives a main() that runs the target over
 * the files, and the files of the directories, given as arguments. A target says that a property does not hold with
 * TR_FUZZ_CHECK. */
#ifndef TR_CORE_FUZZ_REPLAY_H
#define TR_CORE_FUZZ_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#define TR_FUZZ_CHECK(cond)   \
    do {                      \
        if (!(cond)) {        \
            __builtin_trap(); \
        }                     \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef TR_FUZZ_REPLAY
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

/* Inputs are small; a larger file is cut. */
#define TR_FUZZ_INPUT_MAX (1 << 20)

static int
replay_file(const char *path)
{
    static uint8_t input[TR_FUZZ_INPUT_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        (void)fprintf(stderr, "%s: cannot be read\n", path);
        return 0;
    }
    size_t len = fread(input, 1, sizeof(input), file);
    (void)fclose(file);
    (void)LLVMFuzzerTestOneInput(input, len);
    return 1;
}

static int
replay_path(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
        return replay_file(path);
    }
    int num = 0;
    DIR *dir = opendir(path);
    for (struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL; entry = readdir(dir)) {
        char name[4096];
        if (entry->d_name[0] != '.' &&
            snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) < (int)sizeof(name)) {
            num += replay_file(name);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return num;
}

int
main(int argc, char **argv)
{
    int num = 0;
    for (int i = 1; i < argc; i++) {
        num += replay_path(argv[i]);
    }
    (void)printf("%d inputs\n", num);
    return num > 0 ? 0 : 1;
}
#endif

#endif

// Preloaded into a program: limits the instruction sets that it detects to those of SAME_BITS_KERNELS.
//
// gcc's __builtin_cpu_supports reads __cpu_model and __cpu_features2, hidden in the program. This
// writes them before the program's own initialiser, which does not overwrite them.
//
//   SAME_BITS_KERNELS   baseline, avx2, avx512 or avx512bf16
//   SAME_BITS_PLACES    where to write, as DEVICE:INODE:m|f:OFFSET:BYTES: the program's file, offset from its load address
//   SAME_BITS_REPORT    a file to append the result to: set, then kept or lost; or other program

#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODEL_BYTES = 16, MOST_FEATURES = 64, MOST_PLACES = 32 };

static unsigned char allowed_model[MODEL_BYTES], allowed_features[MOST_FEATURES];
static struct { unsigned char *at; const unsigned char *value; size_t bytes; } places[MOST_PLACES];
static int place_count;

static void report(const char *what) {
    const char *path = getenv("SAME_BITS_REPORT");
    const int file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;
    if (file < 0 || write(file, what, strlen(what)) < 0) _exit(99);
    close(file);
}

static int load_base(struct dl_phdr_info *info, size_t size, void *base) {
    (void)size;
    *(uintptr_t *)base = info->dlpi_addr;
    return 1; // The first object is the program.
}

// Clears the bit that the compiler checks for `name`: the only one that makes it supported.
#define WITHOUT(name)                                                                        \
    for (size_t bit = 0; bit < 32 + 8 * feature_bytes; ++bit) {                              \
        unsigned char *word = bit < 32 ? model + 12 : features, *allowed_word =              \
            bit < 32 ? allowed_model + 12 : allowed_features;                                \
        const size_t byte = (bit < 32 ? bit : bit - 32) / 8;                                 \
        memset(model + 12, 0, 4);                                                            \
        memset(features, 0, feature_bytes);                                                  \
        word[byte] = 1 << bit % 8;                                                           \
        __asm__ volatile("" ::: "memory");                                                   \
        if (__builtin_cpu_supports(name)) allowed_word[byte] &= ~(1 << bit % 8);             \
    }

static void allow(const char *kernels, size_t feature_bytes) {
    unsigned char *model, *features;
    __asm__ volatile("lea __cpu_model(%%rip), %0" : "=r"(model) : : "memory");
    __asm__ volatile("lea __cpu_features2(%%rip), %0" : "=r"(features) : : "memory");
    __builtin_cpu_init();
    memcpy(allowed_model, model, MODEL_BYTES);
    memcpy(allowed_features, features, feature_bytes);
    if (strcmp(kernels, "avx512bf16") == 0) return;
    WITHOUT("avx512bf16");
    if (strcmp(kernels, "avx512") == 0) return;
    WITHOUT("avx512f");
    WITHOUT("avx512bw");
    WITHOUT("avx512vl");
    WITHOUT("avx512dq");
    if (strcmp(kernels, "avx2") == 0) return;
    WITHOUT("avx2");
    WITHOUT("fma");
    WITHOUT("avx");
}

__attribute__((constructor)) static void before(void) {
    const char *kernels = getenv("SAME_BITS_KERNELS"), *text = getenv("SAME_BITS_PLACES");
    struct stat program;
    if (!kernels || !text) return;
    uintptr_t base = 0;
    dl_iterate_phdr(load_base, &base);
    if (stat("/proc/self/exe", &program) != 0) return report("no /proc\n");
    unsigned long device, inode, offset, bytes;
    char kind;
    size_t feature_bytes = 0;
    for (int read; sscanf(text, " %lu:%lu:%c:%lx:%lu%n", &device, &inode, &kind, &offset, &bytes, &read) == 5; text += read) {
        if (device != program.st_dev || inode != program.st_ino) continue;
        if (place_count == MOST_PLACES || bytes > (kind == 'm' ? MODEL_BYTES : MOST_FEATURES)) return report("places\n");
        if (kind == 'f') feature_bytes = bytes;
        places[place_count].at = (unsigned char *)(base + offset);
        places[place_count].value = kind == 'm' ? allowed_model : allowed_features;
        places[place_count++].bytes = bytes;
    }
    if (place_count == 0) return report("other program\n");
    allow(kernels, feature_bytes);
    for (int i = 0; i < place_count; ++i) memcpy(places[i].at, places[i].value, places[i].bytes);
    report("set\n");
}

__attribute__((destructor)) static void after(void) {
    int lost = 0;
    for (int i = 0; i < place_count; ++i) lost |= memcmp(places[i].at, places[i].value, places[i].bytes) != 0;
    if (place_count) report(lost ? "lost\n" : "kept\n");
}

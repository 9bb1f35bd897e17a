/*
 * SipHash-1-3 over 64-byte chunks, the last one zero-padded, closed by the length: how an approved
 * argv is compared with the executed one without keeping 128 KiB a caller in the kernel. The key is
 * random and known to root alone, so a sandbox cannot search for two argv of the same hash. Used by
 * BPF and by the sentry; no library calls.
 */
#ifndef SENTRY_ARGV_HASH_H
#define SENTRY_ARGV_HASH_H

#define ARGV_CHUNK_BYTES 64
#define ARGV_CHUNK_WORDS (ARGV_CHUNK_BYTES / 8)

struct argv_hash {
    __u64 v0, v1, v2, v3;
};

#define ARGV_ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static inline __attribute__((always_inline)) void argv_hash_round(struct argv_hash *h) {
    h->v0 += h->v1;
    h->v1 = ARGV_ROTL(h->v1, 13) ^ h->v0;
    h->v0 = ARGV_ROTL(h->v0, 32);
    h->v2 += h->v3;
    h->v3 = ARGV_ROTL(h->v3, 16) ^ h->v2;
    h->v0 += h->v3;
    h->v3 = ARGV_ROTL(h->v3, 21) ^ h->v0;
    h->v2 += h->v1;
    h->v1 = ARGV_ROTL(h->v1, 17) ^ h->v2;
    h->v2 = ARGV_ROTL(h->v2, 32);
}

static inline __attribute__((always_inline)) void argv_hash_start(struct argv_hash *h, __u64 k0,
                                                                  __u64 k1) {
    h->v0 = k0 ^ 0x736f6d6570736575ULL;
    h->v1 = k1 ^ 0x646f72616e646f6dULL;
    h->v2 = k0 ^ 0x6c7967656e657261ULL;
    h->v3 = k1 ^ 0x7465646279746573ULL;
}

static inline __attribute__((always_inline)) void argv_hash_word(struct argv_hash *h, __u64 word) {
    h->v3 ^= word;
    argv_hash_round(h);
    h->v0 ^= word;
}

static inline __attribute__((always_inline)) __u64 argv_hash_end(struct argv_hash *h,
                                                                 __u64 length) {
    argv_hash_word(h, length);
    h->v2 ^= 0xff;
    argv_hash_round(h);
    argv_hash_round(h);
    argv_hash_round(h);
    return h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
}

#endif

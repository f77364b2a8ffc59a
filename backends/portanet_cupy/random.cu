// Uniform numbers, the very ones of portanet.Key: NumPy's Philox4x64-10 (Salmon et al., "Parallel
// random numbers: as easy as 1, 2, 3", 2011).
//
// A block of four 64-bit words is a pure function of a key and the block's number, so each thread
// makes one block of its own and there is no state. Blocks are numbered from 1, as NumPy does.

typedef unsigned long long word;

__device__ void philox(word* v, word key0, word key1)
{
    for (int round = 0; round < 10; ++round) {
        const word a = 0xD2E7470EE14C6C93, b = 0xCA5A826395121157;
        const word low_a = a * v[0], high_a = __umul64hi(a, v[0]);
        const word low_b = b * v[2], high_b = __umul64hi(b, v[2]);
        v[0] = high_b ^ v[1] ^ key0, v[1] = low_b;
        v[2] = high_a ^ v[3] ^ key1, v[3] = low_a;
        key0 += 0x9E3779B97F4A7C15, key1 += 0xBB67AE8584CAA73B;
    }
}

// out is (F, N) in memory. Column n belongs to sample first + n, which has `blocks` blocks of its
// own: 4 numbers each, 8 of 32 bits. A thread makes a block, neighbors for neighboring samples.
extern "C" __global__ void uniform(
    real* out, long long key0, long long key1, long long first, long long blocks, long long F,
    long long N)
{
    const long long thread = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (thread >= blocks * N) return;
    const long long sample = thread % N, block = thread / N;

    word v[4] = {(word)((first + sample) * blocks + block + 1), 0, 0, 0};
    philox(v, key0, key1);

    const bool single = sizeof(real) == 4;
    const int count = single ? 8 : 4;
    for (int j = 0; j < count; ++j) {
        const long long row = block * count + j;
        if (row >= F) return;
        const word bits = v[j * 4 / count];
        out[row * N + sample] = single ? (real)((unsigned)(bits >> j % 2 * 32) >> 8) / (1 << 24)
                                       : (real)(bits >> 11) / (1ll << 53);
    }
}

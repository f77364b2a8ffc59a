// The largest element and the sum of each window, with their pullbacks, in which each pixel gathers
// what the windows give it that it lies under.

#include "images.cuh"

// `place` notes which element of its window is the largest, in row-major order; of equal ones the
// first. Padding is -infinity, so it is passed over.
extern "C" __global__ void max_pool(
    const real* x, real* y, unsigned char* place, wide C, wide H, wide W, wide OH, wide OW, wide N)
{
    const unsigned q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q >= OW * N) return;
    const unsigned j = q / (unsigned)N, sample = q % (unsigned)N;

    for (wide c = blockIdx.z; c < C; c += gridDim.z)
        for (wide i = blockIdx.y; i < OH; i += gridDim.y) {
            real highest = -1 / (real)0;
            int found = -1;  // the first pixel, if it is -infinity, too
            for (int u = 0; u < KH; ++u)
                for (int v = 0; v < KW; ++v) {
                    const wide row = row_under(i, u), col = col_under(j, v);
                    if (row < 0 || row >= H || col < 0 || col >= W) continue;
                    const real value = x[((c * H + row) * W + col) * N + sample];
                    if (found < 0 || value > highest || value != value)  // NaN, which stays
                        highest = value, found = u * KW + v;
                }
            y[(c * OH + i) * OW * N + q] = highest;
            place[(c * OH + i) * OW * N + q] = found;
        }
}

extern "C" __global__ void max_pool_back(
    const real* dy, const unsigned char* place, real* dx,
    wide C, wide H, wide W, wide OH, wide OW, wide N)
{
    const unsigned q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q >= W * N) return;
    const int col = q / (unsigned)N, sample = q % (unsigned)N;

    for (wide c = blockIdx.z; c < C; c += gridDim.z)
        for (int row = blockIdx.y; row < H; row += gridDim.y) {
            real sum = 0;
            for (int u = 0; u < KH; ++u)
                for (int v = 0; v < KW; ++v) {
                    const wide i = row_over(row, u, OH), j = col_over(col, v, OW);
                    if (i < 0 || j < 0) continue;
                    const wide at = ((c * OH + i) * OW + j) * N + sample;
                    if (place[at] == u * KW + v) sum += dy[at];
                }
            dx[(c * H + row) * W * N + q] = sum;
        }
}

// Sums run along rows first, as in the generic version.
extern "C" __global__ void sum_pool(
    const real* x, real* y, wide C, wide H, wide W, wide OH, wide OW, wide N)
{
    const unsigned q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q >= OW * N) return;
    const unsigned j = q / (unsigned)N, sample = q % (unsigned)N;

    for (wide c = blockIdx.z; c < C; c += gridDim.z)
        for (wide i = blockIdx.y; i < OH; i += gridDim.y) {
            real sum = 0;
            for (int u = 0; u < KH; ++u) {
                const wide row = row_under(i, u);
                real across = 0;
                for (int v = 0; v < KW; ++v) {
                    const wide col = col_under(j, v);
                    if (0 <= row && row < H && 0 <= col && col < W)
                        across += x[((c * H + row) * W + col) * N + sample];
                }
                sum += across;
            }
            y[(c * OH + i) * OW * N + q] = sum;
        }
}

extern "C" __global__ void sum_pool_back(
    const real* dy, real* dx, wide C, wide H, wide W, wide OH, wide OW, wide N)
{
    const unsigned q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q >= W * N) return;
    const int col = q / (unsigned)N, sample = q % (unsigned)N;

    for (wide c = blockIdx.z; c < C; c += gridDim.z)
        for (int row = blockIdx.y; row < H; row += gridDim.y) {
            real sum = 0;
            for (int v = 0; v < KW; ++v) {
                const int j = col_over(col, v, OW);
                if (j < 0) continue;
                real along = 0;
                for (int u = 0; u < KH; ++u) {
                    const int i = row_over(row, u, OH);
                    if (i >= 0) along += dy[((c * OH + i) * OW + j) * N + sample];
                }
                sum += along;
            }
            dx[(c * H + row) * W * N + q] = sum;
        }
}

// im2col and its transpose, col2im.

#include "images.cuh"

extern "C" __global__ void im2col(
    const real* x, real* columns, wide C, wide H, wide W, wide OH, wide OW, wide N)
{
    const unsigned q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q >= OW * N) return;
    const unsigned j = q / (unsigned)N, sample = q % (unsigned)N;

    for (wide c = blockIdx.z; c < C; c += gridDim.z)
        for (wide i = blockIdx.y; i < OH; i += gridDim.y)
            for (int u = 0; u < KH; ++u)
                for (int v = 0; v < KW; ++v) {
                    const wide row = row_under(i, u), col = col_under(j, v);
                    const bool inside = 0 <= row && row < H && 0 <= col && col < W;
                    columns[(((c * KH + u) * KW + v) * OH + i) * OW * N + q] =
                        inside ? x[((c * H + row) * W + col) * N + sample] : 0;
                }
}

extern "C" __global__ void col2im(
    const real* columns, real* image, wide C, wide H, wide W, wide OH, wide OW, wide N)
{
    const unsigned q = blockIdx.x * blockDim.x + threadIdx.x;
    if (q >= W * N) return;
    const int col = q / (unsigned)N, sample = q % (unsigned)N;

    for (wide c = blockIdx.z; c < C; c += gridDim.z)
        for (int row = blockIdx.y; row < H; row += gridDim.y) {
            real sum = 0;
            for (int u = 0; u < KH; ++u)
                for (int v = 0; v < KW; ++v) {
                    const int i = row_over(row, u, OH), j = col_over(col, v, OW);
                    if (i >= 0 && j >= 0)
                        sum += columns[((((c * KH + u) * KW + v) * OH + i) * OW + j) * N + sample];
                }
            image[(c * H + row) * W * N + q] = sum;
        }
}

// im2col and its transpose, col2im, of images with the batch innermost in memory: (C, H, W, N).
//
// Compiled for one dtype and one window: `real`, the kernel KH x KW, the strides SH and SW, the
// padding TOP and LEFT and the dilations DH and DW are constants. So loops unroll and a division by
// the stride costs nothing.
//
// Neighbouring threads take neighbouring samples, then pixels of a row: what a warp reads and
// writes is contiguous. blockIdx.y counts rows and blockIdx.z channels. Every element of the result
// is written by one thread, which gathers what it needs: nothing is added by atomics, and sums come
// in the order of the generic version.

typedef long long wide;  // counts elements of all columns, which may be more than 2^31

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
                    const wide row = i * SH + u * DH - TOP, col = (wide)j * SW + v * DW - LEFT;
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
                    // The position that has this pixel under its element (u, v), if there is one.
                    const int down = row + TOP - u * DH, right = col + LEFT - v * DW;
                    if (down < 0 || down % SH || right < 0 || right % SW) continue;
                    const int i = down / SH, j = right / SW;
                    if (i < OH && j < OW)
                        sum += columns[((((c * KH + u) * KW + v) * OH + i) * OW + j) * N + sample];
                }
            image[(c * H + row) * W * N + q] = sum;
        }
}

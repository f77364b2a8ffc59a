// What kernels on images share. Their memory is (C, H, W, N), the batch innermost, and they are
// compiled for one dtype and one window: `real`, the kernel KH x KW, the strides SH and SW, the
// padding TOP and LEFT and the dilations DH and DW are constants. So loops unroll and a division by
// the stride costs nothing.
//
// Neighboring threads take neighboring samples, then pixels of a row: what a warp reads and
// writes is contiguous. blockIdx.y counts rows and blockIdx.z channels. Every element of a result
// is written by one thread, which gathers what it needs: nothing is added by atomics, and sums come
// in the order of the generic version.

typedef long long wide;  // counts elements of all columns, which may be more than 2^31

// The row of pixels that a window at row i of positions has under row u of its elements.
__device__ wide row_under(wide i, int u) { return i * SH + u * DH - TOP; }
__device__ wide col_under(wide j, int v) { return j * SW + v * DW - LEFT; }

// The row of positions, out of OH, whose window has a row of pixels under its row u, or -1.
__device__ int over(int distance, int stride, wide count)
{
    return distance < 0 || distance % stride || distance / stride >= count ? -1 : distance / stride;
}
__device__ int row_over(int row, int u, wide OH) { return over(row + TOP - u * DH, SH, OH); }
__device__ int col_over(int col, int v, wide OW) { return over(col + LEFT - v * DW, SW, OW); }

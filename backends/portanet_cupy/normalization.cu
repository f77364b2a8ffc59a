// Batch normalization of arrays that hold each channel's M numbers together: (C, M).
//
// A channel is cut into slices of a block's THREADS x EACH numbers; blockIdx.x counts slices and
// blockIdx.y channels. Sums are trees: the same in every run, with no atomics. They are taken of
// slices first, so that few channels keep many blocks busy, and then of what the slices gave.

typedef long long wide;

// The sum of all threads' values, for each of them.
__device__ real block_sum(real value)
{
    __shared__ real sums[THREADS];
    sums[threadIdx.x] = value;
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    __syncthreads();
    const real total = sums[0];
    __syncthreads();  // all have read it before the next sum begins
    return total;
}

__device__ wide length(wide slice, wide M)
{
    const wide most = THREADS * EACH, rest = M - slice * most;
    return rest < most ? rest : most;
}

// The mean and the biased variance of each slice. Its numbers stay in registers, so that the
// squares are those of deviations from the mean, and memory is read once.
extern "C" __global__ void slice_moments(const real* x, real* means, real* vars, wide C, wide M)
{
    const wide slices = gridDim.x, slice = blockIdx.x, count = length(slice, M);
    for (wide c = blockIdx.y; c < C; c += gridDim.y) {
        const real* numbers = x + c * M + slice * THREADS * EACH;
        real own[EACH], sum = 0, squares = 0;
        for (int k = 0; k < EACH; ++k) {
            const int at = k * THREADS + threadIdx.x;
            own[k] = at < count ? numbers[at] : 0;
            sum += own[k];
        }
        const real mean = block_sum(sum) / count;
        for (int k = 0; k < EACH; ++k)
            if (k * THREADS + threadIdx.x < count) squares += (own[k] - mean) * (own[k] - mean);
        const real var = block_sum(squares) / count;
        if (threadIdx.x == 0) means[c * slices + slice] = mean, vars[c * slices + slice] = var;
    }
}

// The moments of each channel from those of its slices: the variance is that within them and that
// of their means. A block has a channel.
extern "C" __global__ void moments(
    const real* means, const real* vars, real* mean, real* var, wide slices, wide M)
{
    const wide c = blockIdx.x;
    real sum = 0, squares = 0;
    for (wide k = threadIdx.x; k < slices; k += THREADS)
        sum += means[c * slices + k] * length(k, M);
    const real middle = block_sum(sum) / M;
    for (wide k = threadIdx.x; k < slices; k += THREADS) {
        const real apart = means[c * slices + k] - middle;
        squares += (vars[c * slices + k] + apart * apart) * length(k, M);
    }
    const real total = block_sum(squares);
    if (threadIdx.x == 0) mean[c] = middle, var[c] = total / M;
}

extern "C" __global__ void normalize(
    const real* x, const real* mean, const real* var, const real* weight, const real* bias, real* y,
    wide affine, double eps, wide C, wide M)
{
    const wide slice = blockIdx.x, count = length(slice, M);
    for (wide c = blockIdx.y; c < C; c += gridDim.y) {
        const wide first = c * M + slice * THREADS * EACH;
        const real inverse = 1 / sqrt(var[c] + (real)eps);
        const real scale = affine ? inverse * weight[c] : inverse;
        for (int at = threadIdx.x; at < count; at += THREADS) {
            const real scaled = (x[first + at] - mean[c]) * scale;
            y[first + at] = affine ? scaled + bias[c] : scaled;
        }
    }
}

// The sums of dy n and of dy over each slice, with n the normalized x.
extern "C" __global__ void slice_sums(
    const real* dy, const real* x, const real* mean, const real* var, real* products, real* sums,
    double eps, wide C, wide M)
{
    const wide slices = gridDim.x, slice = blockIdx.x, count = length(slice, M);
    for (wide c = blockIdx.y; c < C; c += gridDim.y) {
        const wide first = c * M + slice * THREADS * EACH;
        const real inverse = 1 / sqrt(var[c] + (real)eps);
        real product = 0, sum = 0;
        for (int at = threadIdx.x; at < count; at += THREADS) {
            product += dy[first + at] * ((x[first + at] - mean[c]) * inverse);
            sum += dy[first + at];
        }
        product = block_sum(product), sum = block_sum(sum);
        if (threadIdx.x == 0)
            products[c * slices + slice] = product, sums[c * slices + slice] = sum;
    }
}

// The sums of rows of numbers, of which there are `slices`. A block has a row.
extern "C" __global__ void row_sums(const real* rows, real* totals, wide slices)
{
    const real* row = rows + blockIdx.x * slices;
    real sum = 0;
    for (wide k = threadIdx.x; k < slices; k += THREADS) sum += row[k];
    sum = block_sum(sum);
    if (threadIdx.x == 0) totals[blockIdx.x] = sum;
}

extern "C" __global__ void normalize_back(
    const real* dy, const real* x, const real* mean, const real* var, const real* weight,
    const real* products, const real* sums, real* dx, wide affine, wide of_batch, double eps, wide C,
    wide M)
{
    const wide slice = blockIdx.x, count = length(slice, M);
    for (wide c = blockIdx.y; c < C; c += gridDim.y) {
        const wide first = c * M + slice * THREADS * EACH;
        const real inverse = 1 / sqrt(var[c] + (real)eps);
        const real scale = affine ? inverse * weight[c] : inverse;
        const real shift = sums[c] / M, along = products[c] / M;
        for (int at = threadIdx.x; at < count; at += THREADS) {
            real d = dy[first + at];
            if (of_batch) d = d - shift - (x[first + at] - mean[c]) * inverse * along;
            dx[first + at] = d * scale;
        }
    }
}

// Softmax and cross-entropy in one pass over scores whose classes come first in memory: (K, M).
//
// Each thread has a sample (or a pixel) of its own and walks through its classes; neighboring
// threads read neighboring samples. t holds the targets' probabilities, weighted.

extern "C" __global__ void cross_entropy(
    const real* scores, const real* t, real* losses, real* d, long long K, long long M)
{
    const long long m = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (m >= M) return;

    real highest = scores[m], sum = 0, weight = 0, loss = 0;
    for (long long k = 1; k < K; ++k) {
        const real score = scores[k * M + m];
        if (score > highest || score != score) highest = score;  // NaN stays
    }
    for (long long k = 0; k < K; ++k) {
        sum += exp(scores[k * M + m] - highest);
        weight += t[k * M + m];
    }
    const real log_sum = log(sum);
    for (long long k = 0; k < K; ++k) {
        const real z = scores[k * M + m] - highest, part = t[k * M + m];
        // A score of -infinity has probability 0; where t is 0, too, it must not make 0 * infinity.
        if (part != 0) loss += (log_sum - z) * part;
        d[k * M + m] = exp(z) * (weight / sum) - part;
    }
    losses[m] = loss;
}

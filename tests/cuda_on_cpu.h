// What CUDA's compiler has built in, as far as the kernels use it, for a C++ compiler and one CPU.

#include <stdlib.h>
#include <ucontext.h>

#define __global__
#define __device__ static
#define __shared__ static  // one block runs at a time

struct dim3 { unsigned x, y, z; };
static dim3 gridDim, blockDim, blockIdx, threadIdx;

#define FUNCTION(name)                                                   \
    static inline float name(float x) { return __builtin_##name##f(x); } \
    static inline double name(double x) { return __builtin_##name(x); }
FUNCTION(sqrt) FUNCTION(fabs) FUNCTION(exp) FUNCTION(log)
FUNCTION(log1p) FUNCTION(tanh) FUNCTION(erf)

static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{ return (unsigned __int128)a * b >> 64; }

// The threads of a block take turns: each runs, on a stack of its own, to the next barrier. From
// barrier to barrier their order is another, random one, so that a result which depends on it, as
// where a barrier is missing, is not always the right one.
namespace cpu {

enum { MOST = 1024, STACK = 64 * 1024 };
static ucontext_t scheduler, threads[MOST];
static bool ended[MOST];
static unsigned order[MOST], seed;
static char* stacks;
static void (*call)(void*);
static void* kernel;

static void thread()
{
    call(kernel);
    ended[threadIdx.x] = true;
}

static unsigned run_to_barrier()
{
    unsigned count = 0;
    for (unsigned k = blockDim.x; k > 1; --k) {
        seed = seed * 1664525 + 1013904223;
        const unsigned other = (seed >> 8) % k, last = order[k - 1];
        order[k - 1] = order[other], order[other] = last;
    }
    for (unsigned k = 0; k < blockDim.x; ++k) {
        threadIdx.x = order[k];
        swapcontext(&scheduler, &threads[order[k]]);
        count += ended[order[k]];
    }
    return count;
}

// Return whether all threads met the same barriers: on a GPU, nobody knows what happens otherwise.
static bool run_block()
{
    if (!stacks) stacks = (char*)malloc((size_t)MOST * STACK);
    for (unsigned k = 0; k < blockDim.x; ++k) {
        getcontext(&threads[k]);
        threads[k].uc_stack.ss_sp = stacks + (size_t)k * STACK, threads[k].uc_stack.ss_size = STACK;
        threads[k].uc_link = &scheduler;
        makecontext(&threads[k], thread, 0);
        order[k] = k, ended[k] = false;
    }
    for (;;)
        if (const unsigned count = run_to_barrier()) return count == blockDim.x;
}

template <class Kernel> static void called(void* kernel) { (*(Kernel*)kernel)(); }

template <class Kernel>
static bool launch(const dim3 grid, const dim3 block, bool has_barriers, Kernel function)
{
    bool together = true;
    gridDim = grid, blockDim = block, call = called<Kernel>, kernel = &function;
    for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x)
                if (has_barriers)
                    together &= run_block();
                else
                    for (threadIdx.x = 0; threadIdx.x < block.x; ++threadIdx.x) function();
    kernel = 0;
    return together;
}

}  // namespace cpu

static void __syncthreads()
{
    const unsigned own = threadIdx.x;
    swapcontext(&cpu::threads[own], &cpu::scheduler);
    threadIdx.x = own;
}

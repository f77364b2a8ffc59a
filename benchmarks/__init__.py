"""The published workloads, portanet beside its peers. Peers that are not installed are skipped.

``python -m benchmarks``
    throughput, memory and latency of every contender on every workload, each in its own process,
    timed in turn; and what each library costs before it trains: its import and its size on the
    disk, beyond NumPy's. ``--only cnn-5x5-b128 --against torch`` after a change to one thing.
``python -m benchmarks --backend cupy``
    a step's time on a CUDA GPU beside PyTorch's, by CUDA's events: a table in Markdown.
``python -m benchmarks.profile``
    where portanet's step spends its time, layer by layer.
``python -m benchmarks.limits``
    what the machine can do, and how much of a step its matrix products alone would take.
``python -m benchmarks.growth --plot growth.png``
    how the cost of a step grows with the batch, the width, the image and the threads.

All take ``--only``, ``--json FILE`` and ``--quick``, which shows only that they run; ``--seconds``
all but the table of a GPU, which counts steps.

A workload is defined once, in `workloads`; `contenders` builds it in each library's words, `plain`
by hand in NumPy, `training` as portanet's Trainer runs it. `timing` holds the processes in which
`worker` runs them, `gpu` the processes and the table of a GPU.
"""

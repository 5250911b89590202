"""Extrapolates measured step times to larger groups: the tables of docs/src/scaling.md.

    data_parallel_model.py MODEL=MILLISECONDS ...      the step of one rank, without a group

Assumptions: a ring all-reduce, as in Gloo (2 (N - 1) / N of the bytes through each link, 2 (N - 1) hops); links at
LINK_USE of their nominal rate; HOP seconds per hop; gradients in buckets of BUCKET bytes, of which all but the last
can overlap with the backward pass, which is BACKWARD of a step; SMALL exchanges of a few numbers and one all-reduce
of the running statistics, which overlap with nothing; all ranks equally fast.
"""

import sys

LINK_USE = 0.8
HOP = 25e-6
BUCKET = 4 << 20
BACKWARD = 2 / 3
SMALL = 3
# Bytes of the gradients, and of the running statistics, in 32 bits.
BYTES = {"b0": (4 * 5_288_548, 4 * 42_016), "b7": (4 * 66_347_960, 4 * 310_720)}


def ring(size, ranks, gbit):
    return 2 * (ranks - 1) / ranks * size / (gbit * 1e9 / 8 * LINK_USE) + 2 * (ranks - 1) * HOP


def step(model, alone, ranks, gbit):
    gradients, statistics = BYTES[model]
    pieces = -(-gradients // BUCKET)
    total = pieces * ring(gradients / pieces, ranks, gbit)
    last = ring(gradients / pieces, ranks, gbit)
    exposed = max(last, total - BACKWARD * alone)
    unhidden = SMALL * (ranks - 1) * HOP + ring(statistics, ranks, gbit)
    return alone + exposed + unhidden


for argument in sys.argv[1:]:
    model, milliseconds = argument.split("=")
    alone = float(milliseconds) / 1e3
    print(f"| {model}, {alone * 1e3:.0f} ms | 10 Gbit/s | 100 Gbit/s | 400 Gbit/s |\n|---|---|---|---|")
    for ranks in (8, 64, 512):
        shares = [alone / step(model, alone, ranks, gbit) for gbit in (10, 100, 400)]
        print(f"| {ranks} ranks | " + " | ".join(f"{100 * share:.1f} %" for share in shares) + " |")
    print()

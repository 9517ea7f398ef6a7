"""How much the local engine does at once: what decides its memory beside the sizes of the model. No torch here."""

from __future__ import annotations

LOGITS = 1 << 25  # elements of a logits matrix that the trainer has alive at once, 128 MB in fp32
CACHED = 1 << 19  # of them that pass a softmax together on a CPU: they stay in the cache
PORTION = 1024  # tokens that pass a layer's norms and matrices together on a CPU
SLACK = 0.85  # rows share a padded block when the shortest has at least this share of the longest's length
PREFILL_TOKENS = 16384  # padded tokens of one prefill pass of the sampler over a static cache
PACKED_TOKENS = 4096  # tokens of one pass of the sampler over a growing cache
SCORES = 1 << 22  # attention scores that a pass over several tokens of a row has alive at once, 16 MB in fp32
GROWTH = 32  # positions; the capacity of a growing cache is a multiple of it
ONEDNN = 1 << 18  # numbers of a matrix in float32 from which on the sampler on a CPU has a copy in oneDNN's layout
PREFIX_BLOCK = 128  # tokens of a shared prefix that are computed at once
PREFIX_LEAST = 32  # tokens from which on a shared beginning is a prefix of its own
MASKED = -1e9  # additive; finite, so that a fully masked row of padding gives no NaN
BLOCK = 256  # positions; lengths of windows are multiples of it, so that few different steps exist


def row_bucket(rows: int) -> int:
    """The number of rows that a step for ``rows`` of them computes: powers of two, from 32 on also three quarters."""
    power = 1 << max(rows - 1, 0).bit_length()
    return power * 3 // 4 if power >= 32 and rows <= power * 3 // 4 else power


def length_bucket(length: int) -> int:
    """The positions that a step over ``length`` of them reads."""
    return -(-length // BLOCK) * BLOCK

"""Greedy maximal marginal relevance, lazily; the door is recengine/kernels/mmr.py.

The closest picked item only gets closer, so an old gain is an upper bound of the new one (lazy greedy, Minoux 1978): a block of 16
candidates whose bound is below the best gain so far is left as it is, and catches up on all the picks it missed when it may matter.
Blocks stand in the order of relevance, so most are never looked at, nor their vectors gathered. The picks are those of the plain loop.
"""
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint64_t

from heap cimport key_index, key_score, rank_key, sort_by_score
from lanes cimport LANES, lay_panel
from ragged cimport broken_row

cdef extern from *:
    """
    /* Cosines of VL candidates with P picked vectors. Four sums a pair, over k modulo 4, hide the latency of the multiply-add; the
       order of a pair's sum is the same for any P. A vector of NaN has no cosine: the comparison leaves `closest` as it was. */
    ALWAYS void absorb_some(const int P, const float *panel, int64_t d, const float *picked, float *closest) {
        vf sum[16];
        _Pragma("GCC unroll 16")
        for (int i = 0; i < 4 * P; i++) sum[i] = (vf){0};
        int64_t k = 0;
        for (; k + 4 <= d; k += 4) {
            _Pragma("GCC unroll 4")
            for (int j = 0; j < 4; j++) {
                const vf item = *cvec(panel + (k + j) * LANES);
                _Pragma("GCC unroll 4")
                for (int p = 0; p < P; p++) sum[4 * p + j] = fused_lanes(item, all_lanes(picked[p * d + k + j]), sum[4 * p + j]);
            }
        }
        for (; k < d; k++) {
            const vf item = *cvec(panel + k * LANES);
            _Pragma("GCC unroll 4")
            for (int p = 0; p < P; p++) sum[4 * p] = fused_lanes(item, all_lanes(picked[p * d + k]), sum[4 * p]);
        }
        _Pragma("GCC unroll 4")
        for (int p = 0; p < P; p++) {
            const vf dots = (sum[4 * p] + sum[4 * p + 1]) + (sum[4 * p + 2] + sum[4 * p + 3]);
            *vec(closest) = larger_lanes(dots, *cvec(closest));
        }
    }

    #define MOST_PICKS (VL / 4)  /* at once: 16 of 32 zmm hold their sums, or 8 of 16 ymm */

    static void absorb(const float *panel, int64_t d, const float *picked, int64_t count, float *closest) {
        for (int part = 0; part < LANES; part += VL, panel += VL, closest += VL) {
            const float *p = picked;
            int64_t left = count;
            for (; left >= MOST_PICKS; left -= MOST_PICKS, p += MOST_PICKS * d) absorb_some(MOST_PICKS, panel, d, p, closest);
            if (left >= 2) { absorb_some(2, panel, d, p, closest); p += 2 * d; left -= 2; }
            if (left) absorb_some(1, panel, d, p, closest);
        }
    }
    static inline float regain(const float *base, const float *closest, float away, float *gain) {
        float best = -INFINITY;
        for (int i = 0; i < LANES; i++) gain[i] = base[i] - away * closest[i];
        for (int i = 0; i < LANES; i++) best = gain[i] > best ? gain[i] : best;
        return best;
    }
    """
    void absorb(const float *panel, int64_t d, const float *picked, int64_t count, float *closest) noexcept nogil
    float regain(const float *base, const float *closest, float away, float *gain) noexcept nogil


cdef struct Row:
    int64_t d, blocks
    float away
    uint64_t *keys
    uint64_t *spare
    float *base      # weight x relevance; -inf = taken, or no candidate
    float *closest   # cosine to the closest picked item the block knows of
    float *gain
    float *bound     # a block's best gain
    float *top       # a block's best gain before anything was picked
    float *panels    # the vectors, 16 candidates a panel, factor-major
    float *picked    # the vectors that were picked, a row each
    int32_t *seen    # how many picks a block knows of; -1 = its vectors are not gathered yet


cdef void _catch_up(Row *row, int64_t block, int32_t picks, const int32_t *items, const float *vectors, int64_t n_vectors) noexcept nogil:
    """Bring `block` from the picks it knows of up to `picks`."""
    cdef const float *rows[LANES]
    cdef int64_t lane, item, at = block * LANES, d = row.d
    cdef float *panel = row.panels + at * d
    if row.seen[block] < 0:
        for lane in range(LANES):
            item = -1 if row.base[at + lane] == -INFINITY else items[key_index(row.keys[at + lane])]
            rows[lane] = vectors + item * d if 0 <= item < n_vectors else NULL
        lay_panel(rows, d, panel)
        row.seen[block] = 0
    absorb(panel, d, row.picked + row.seen[block] * d, picks - row.seen[block], row.closest + at)
    row.bound[block] = regain(row.base + at, row.closest + at, row.away, row.gain + at)
    row.seen[block] = picks


cdef int64_t _best(Row *row, int32_t picks, const int32_t *items, const float *vectors, int64_t n_vectors) noexcept nogil:
    """Return the rank of the candidate with the highest gain, ties to the earlier position."""
    cdef int64_t b, i, at = -1
    cdef float best = -INFINITY
    for b in range(row.blocks):
        if row.top[b] < best:
            break
        if row.bound[b] < best or row.bound[b] == -INFINITY:
            continue
        if row.seen[b] < picks:
            _catch_up(row, b, picks, items, vectors, n_vectors)
            if row.bound[b] < best:
                continue
        for i in range(b * LANES, (b + 1) * LANES):
            if row.gain[i] > best or (row.gain[i] == best and at >= 0 and key_index(row.keys[i]) < key_index(row.keys[at])):
                best = row.gain[i]
                at = i
    return at


cdef void _scale(Row *row, int64_t size, float weight) noexcept nogil:
    """Fill `base`: relevance from its lowest finite value to its highest, as 0..1, times the weight; then the first bounds."""
    cdef int64_t i, b, high = 0, low = size - 1
    cdef double r, floor, span
    while high < size and key_score(row.keys[high]) == INFINITY:
        high += 1
    while low > high and key_score(row.keys[low]) == -INFINITY:
        low -= 1
    floor = key_score(row.keys[low])
    span = key_score(row.keys[high]) - floor if high < low else 0
    for i in range(row.blocks * LANES):
        row.closest[i] = 0
        if i >= size:
            row.base[i] = -INFINITY
        elif span > 0:
            r = (key_score(row.keys[i]) - floor) / span
            row.base[i] = weight * <float> min(max(r, 0), 1)
        else:
            row.base[i] = weight if i < high else 0
        row.gain[i] = row.base[i]
    for b in range(row.blocks):
        row.bound[b] = row.top[b] = row.base[b * LANES]
        row.seen[b] = -1


cdef void _arrange(Row *row, const int32_t *items, const float *relevance, int64_t start, int64_t length, const float *vectors, int64_t n_vectors,
                   int64_t n, float weight, int64_t *picks) noexcept nogil:
    cdef int64_t i, k, item, at, size = 0, d = row.d
    for i in range(length):
        if relevance[i] == relevance[i]:
            row.keys[size] = rank_key(relevance[i], <unsigned int> i)
            size += 1
    sort_by_score(row.keys, row.spare, size)
    for i in range(n):
        picks[i] = start + key_index(row.keys[i]) if i < size else -1
    if weight == 1 or size < 2 or n < 2:
        return
    row.blocks = (size + LANES - 1) // LANES
    row.away = 1 - weight
    _scale(row, size, weight)
    at = 0
    for i in range(1, min(n, size)):
        row.base[at] = -INFINITY  # taken
        row.gain[at] = -INFINITY
        row.bound[at // LANES] = regain(row.base + at // LANES * LANES, row.closest + at // LANES * LANES, row.away, row.gain + at // LANES * LANES)
        item = items[key_index(row.keys[at])]
        for k in range(d):
            row.picked[(i - 1) * d + k] = vectors[item * d + k] if 0 <= item < n_vectors else 0
        at = _best(row, <int32_t> i, items, vectors, n_vectors)
        picks[i] = start + key_index(row.keys[at])


def mmr(const int32_t[::1] items, const float[::1] relevance, const int64_t[::1] indptr, const float[:, ::1] vectors, const float[::1] weight,
        int64_t[:, ::1] picks, uint64_t[:, ::1] keys, float[:, ::1] panels, float[:, ::1] small, int32_t[:, ::1] seen, int64_t longest, int threads):
    """Fill `picks` (B, n). Scratch, a slot a thread, for rows of at most `longest` = 16 x blocks candidates: `keys` (threads, 2 longest),
    `panels` (threads, longest d), `small` (threads, 5 longest + n d), `seen` (threads, blocks)."""
    cdef Py_ssize_t row, rows = picks.shape[0]
    cdef int64_t d = vectors.shape[1], n_vectors = vectors.shape[0] if d else 0
    cdef const float *vectors_at = &vectors[0, 0] if n_vectors else NULL
    cdef const int32_t *items_at = &items[0] if items.shape[0] else NULL
    cdef const float *relevance_at = &relevance[0] if items.shape[0] else NULL
    if threads == 1:
        with nogil:
            for row in range(rows):
                _arrange_row(row, 0, items_at, relevance_at, indptr, vectors_at, n_vectors, d, weight, picks, keys, panels, small, seen, longest)
    else:
        for row in prange(rows, nogil=True, num_threads=threads, schedule="dynamic"):
            _arrange_row(row, threadid(), items_at, relevance_at, indptr, vectors_at, n_vectors, d, weight, picks, keys, panels, small, seen, longest)


cdef void _arrange_row(Py_ssize_t row, int slot, const int32_t *items, const float *relevance, const int64_t[::1] indptr, const float *vectors, int64_t n_vectors, int64_t d,
                       const float[::1] weight, int64_t[:, ::1] picks, uint64_t[:, ::1] keys, float[:, ::1] panels, float[:, ::1] small, int32_t[:, ::1] seen,
                       int64_t longest) noexcept nogil:
    cdef Row own
    cdef int64_t start = indptr[row]
    cdef float *at = &small[slot, 0]
    own.d = d
    own.keys = &keys[slot, 0]
    own.spare = own.keys + longest
    own.panels = &panels[slot, 0]
    own.seen = &seen[slot, 0]
    own.base, own.closest, own.gain, own.bound, own.top = at, at + longest, at + 2 * longest, at + 3 * longest, at + 4 * longest
    own.picked = at + 5 * longest
    _arrange(&own, items + start, relevance + start, start, indptr[row + 1] - start, vectors, n_vectors, picks.shape[1], weight[row], &picks[row, 0])


def check(const int64_t[::1] indptr, int64_t total):
    """Return the first broken row of `indptr` or -1, and the length of the longest row."""
    cdef Py_ssize_t row
    cdef int64_t longest = 0
    row = broken_row(indptr, total)
    if row < 0:
        for row in range(indptr.shape[0] - 1):
            longest = max(longest, indptr[row + 1] - indptr[row])
        row = -1
    return row, longest


def in_unit_interval(const float[::1] weight):
    """Say whether all weights lie in 0..1 (NaN does not)."""
    cdef Py_ssize_t i
    for i in range(weight.shape[0]):
        if not 0 <= weight[i] <= 1:
            return False
    return True

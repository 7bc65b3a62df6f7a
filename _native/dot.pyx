"""Score items by dot products and keep the n best without ever holding a row of scores; the door is recengine/kernels/dot.py."""
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, NAN
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint64_t

from heap cimport heap_offer, heap_sort, key_index, key_score
from lanes cimport LANES, ROWS, TILE_QUERIES, best_of, dot_rows, fetch_row, lay_panel, scan
from ragged cimport broken_row

cdef extern from "sketch.h":
    enum: SKETCH_STEP
    ctypedef struct sketched:
        pass
    void sketch_rows(const float *rows, int64_t factors, const int32_t *ids, const double *norms, int64_t panels, uint8_t *codes, float *scales,
                     float *norm, float *loss) noexcept nogil
    bint sketch_query(const float *query, int64_t factors, double largest, int8_t *codes, sketched *out) noexcept nogil
    void sketch_scan(const sketched *q, const float *rows, int64_t factors, const uint8_t *codes, const float *scales, const int32_t *ids,
                     const float *norm, const float *loss, int64_t panels, const uint8_t *mask, int64_t n, best_of *best) noexcept nogil

cdef enum:
    BLOCK = 8 * TILE_QUERIES  # queries that share a chunk of panels while it is in the second-level cache
    CHUNK_BYTES = 262144

BLOCK_QUERIES = BLOCK
FEW = TILE_QUERIES // 2  # up to so many queries the sketch is faster than a tile, which is filled up with zeros
STEP = SKETCH_STEP


def pack(const float[:, ::1] vectors, float[:, :, ::1] panels):
    """Write `vectors` (n, f) into `panels` (ceil(n / 16), f, 16); lanes beyond n hold NaN."""
    cdef Py_ssize_t p, k, lane, item, n = vectors.shape[0], f = vectors.shape[1]
    cdef const float *rows[LANES]
    if f == 0:
        return
    for p in range(panels.shape[0]):
        for lane in range(LANES):
            item = p * LANES + lane
            rows[lane] = &vectors[item, 0] if item < n else NULL
        lay_panel(rows, f, &panels[p, 0, 0])
    for item in range(n, panels.shape[0] * LANES):
        for k in range(f):
            panels[item // LANES, k, item % LANES] = NAN


cdef void _scan_block(const float *queries, int64_t stride, int64_t users, const float *panels, int64_t begin, int64_t end, int64_t items, int64_t factors,
                      const uint8_t *mask, int64_t width, int64_t n, uint64_t *heaps, float *packed, int64_t *sizes) noexcept nogil:
    """Fill the heaps of at most BLOCK queries from panels [begin, end)."""
    cdef best_of best[BLOCK]
    cdef int64_t u, k, tile_of, chunk, stop, step = CHUNK_BYTES // (64 * max(factors, 1)) + 1
    cdef int64_t tiles, lanes = 1 if users == 1 else TILE_QUERIES
    tiles = (users + lanes - 1) // lanes
    for u in range(tiles * lanes):
        for k in range(factors):
            packed[(u // lanes * factors + k) * lanes + u % lanes] = queries[u * stride + k] if u < users else 0
    for u in range(users):
        best[u].heap = heaps + u * n
        best[u].size = 0
        best[u].bar = -INFINITY
    chunk = begin
    step = step * 4
    while chunk < end:
        stop = min(chunk + step, end)
        for tile_of in range(tiles):
            u = tile_of * lanes
            scan(<int> lanes, panels, chunk, stop, items, factors, packed + u * factors, <int> min(lanes, users - u),
                 mask + u * width if mask != NULL else NULL, width, n, &best[u])
        chunk = stop
    for u in range(users):
        sizes[u] = best[u].size


cdef void _write(uint64_t *heap, int64_t size, int64_t n, int32_t *items, float *scores) noexcept nogil:
    cdef int64_t j
    heap_sort(heap, size)
    for j in range(n):
        items[j] = <int32_t> key_index(heap[j]) if j < size else -1
        scores[j] = key_score(heap[j]) if j < size else <float> NAN


cdef void _whole_block(int64_t first, int64_t users, const float *queries, const float *panels, int64_t all_panels, int64_t n_items, int64_t factors,
                       const uint8_t *mask, int64_t width, int64_t n, uint64_t *heaps, float *packed, int64_t *sizes,
                       int32_t *items, float *scores) noexcept nogil:
    """Answer queries first .. first + users over all items."""
    cdef int64_t u
    _scan_block(queries + first * factors, factors, users, panels, 0, all_panels, n_items, factors,
                mask + first * width if mask != NULL else NULL, width, n, heaps, packed, sizes)
    for u in range(users):
        _write(heaps + u * n, sizes[u], n, items + (first + u) * n, scores + (first + u) * n)


def dot_topk(const float[:, ::1] queries, const float[:, :, ::1] panels, int64_t n_items, const uint8_t[:, ::1] mask,
             int32_t[:, ::1] items, float[:, ::1] scores, uint64_t[:, :, ::1] heaps, float[:, ::1] packed, int64_t[:, ::1] sizes, int threads):
    """Fill `items` and `scores` (B, n). Scratch, a slot a thread: `heaps` (threads, BLOCK, n), `packed` (threads, BLOCK * f), `sizes` (threads, BLOCK).

    Many queries: a thread takes a block of them over all items. Few: a thread takes a range of the items for all queries, then the heaps are merged.
    """
    cdef int64_t users = queries.shape[0], factors = queries.shape[1], n = items.shape[1], all_panels = panels.shape[0]
    cdef int64_t u, j, first, count, part, slot, width = mask.shape[1] if mask is not None else 0
    cdef const uint8_t *mask_at = &mask[0, 0] if mask is not None and mask.shape[0] and width else NULL
    cdef const float *panels_at = &panels[0, 0, 0] if all_panels and factors else NULL
    cdef const float *queries_at = &queries[0, 0] if users and factors else NULL
    cdef Py_ssize_t block, blocks
    if users == 0:
        return
    if users >= threads * TILE_QUERIES or threads == 1:
        count = min(<int64_t> BLOCK, (users + threads - 1) // threads)
        blocks = (users + count - 1) // count
        if threads == 1:  # entering a parallel region costs about a microsecond
            with nogil:
                for block in range(blocks):
                    _whole_block(block * count, min(count, users - block * count), queries_at, panels_at, all_panels, n_items, factors, mask_at, width,
                                 n, &heaps[0, 0, 0], &packed[0, 0], &sizes[0, 0], &items[0, 0], &scores[0, 0])
            return
        for block in prange(blocks, nogil=True, num_threads=threads, schedule="dynamic"):
            slot = threadid()
            _whole_block(block * count, min(count, users - block * count), queries_at, panels_at, all_panels, n_items, factors, mask_at, width,
                         n, &heaps[slot, 0, 0], &packed[slot, 0], &sizes[slot, 0], &items[0, 0], &scores[0, 0])
        return
    first = 0
    while first < users:
        part = min(<int64_t> BLOCK, users - first)
        for block in prange(threads, nogil=True, num_threads=threads, schedule="static"):
            _scan_block(queries_at + first * factors, factors, part, panels_at, all_panels * block // threads, all_panels * (block + 1) // threads, n_items, factors,
                        mask_at + first * width if mask_at != NULL else NULL, width, n, &heaps[block, 0, 0], &packed[block, 0], &sizes[block, 0])
        for u in range(part):
            for slot in range(1, threads):
                for j in range(sizes[slot, u]):
                    sizes[0, u] = heap_offer(&heaps[0, u, 0], sizes[0, u], n, heaps[slot, u, j])
            _write(&heaps[0, u, 0], sizes[0, u], n, &items[first + u, 0], &scores[first + u, 0])
        first += part


def sketch(const float[:, ::1] rows, const int32_t[::1] ids, const double[::1] norms, uint8_t[:, :, :, ::1] codes, float[::1] scales, float[:, ::1] bounds):
    """Fill `codes` (panels, f / 4, 16, 4), `scales` (16 panels) and `bounds` (2, panels: norm, loss) of the items `ids` (16 panels), -1 = none."""
    if codes.shape[0] and rows.shape[0] and rows.shape[1]:
        sketch_rows(&rows[0, 0], rows.shape[1], &ids[0], &norms[0], codes.shape[0], &codes[0, 0, 0, 0], &scales[0], &bounds[0, 0], &bounds[1, 0])


cdef bint _one(const float *query, const float *rows, int64_t factors, const uint8_t *codes, const float *scales, const int32_t *ids, const float *bounds,
               int64_t panels, const uint8_t *mask, int64_t n, uint64_t *heap, int8_t *space, int32_t *items, float *scores) noexcept nogil:
    cdef sketched q
    cdef best_of best
    if not sketch_query(query, factors, bounds[0], space, &q):
        return False
    best.heap = heap
    sketch_scan(&q, rows, factors, codes, scales, ids, bounds, bounds + panels, panels, mask, n, &best)
    _write(heap, best.size, n, items, scores)
    return True


def dot_topk_few(const float[:, ::1] queries, const float[:, ::1] rows, const uint8_t[:, :, :, ::1] codes, const float[::1] scales, const int32_t[::1] ids,
                 const float[:, ::1] bounds, const uint8_t[:, ::1] mask, int32_t[:, ::1] items, float[:, ::1] scores, uint64_t[:, ::1] heaps,
                 int8_t[:, ::1] space, int threads):
    """Fill `items` and `scores` (B, n) as `dot_topk` does, from the sketch. Scratch, a slot a thread: `heaps` (threads, n), `space` (threads, f + 4).

    Returns False, and answers nothing, where a query is beyond the bounds (see `sketch_query`).
    """
    cdef int64_t users = queries.shape[0], factors = queries.shape[1], n = items.shape[1], panels = codes.shape[0]
    cdef int64_t width = mask.shape[1] if mask is not None else 0
    cdef const uint8_t *mask_at = &mask[0, 0] if mask is not None else NULL
    cdef int sound = 1, slot
    cdef Py_ssize_t u
    if threads == 1 or users == 1:
        with nogil:
            for u in range(users):
                sound &= _one(&queries[u, 0], &rows[0, 0], factors, &codes[0, 0, 0, 0], &scales[0], &ids[0], &bounds[0, 0], panels,
                              mask_at + u * width if mask_at != NULL else NULL, n, &heaps[0, 0], &space[0, 0], &items[u, 0], &scores[u, 0])
        return sound != 0
    for u in prange(users, nogil=True, num_threads=threads, schedule="dynamic"):
        slot = threadid()
        sound &= _one(&queries[u, 0], &rows[0, 0], factors, &codes[0, 0, 0, 0], &scales[0], &ids[0], &bounds[0, 0], panels,
                      mask_at + u * width if mask_at != NULL else NULL, n, &heaps[slot, 0], &space[slot, 0], &items[u, 0], &scores[u, 0])
    return sound != 0


cdef void _score_row(const float *query, const float *vectors, int64_t n, int64_t factors, const int32_t *items, int64_t length, float *scores) noexcept nogil:
    cdef const float *rows[ROWS]
    cdef float out[ROWS]
    cdef int64_t block, i, r, left
    for block in range((length + ROWS - 1) // ROWS):
        i = block * ROWS
        left = min(<int64_t> ROWS, length - i)
        for r in range(ROWS):  # a row that is not there is read as row 0 and then discarded
            rows[r] = vectors + items[i + r] * factors if r < left and 0 <= items[i + r] < n else vectors
        for r in range(i + ROWS, min(i + 2 * ROWS, length)):  # they lie all over the memory: ask for the next ones
            if 0 <= items[r] < n:
                fetch_row(vectors + items[r] * factors, factors)
        dot_rows(query, rows, factors, out)
        for r in range(left):
            scores[i + r] = out[r] if 0 <= items[i + r] < n else <float> NAN


def dot_ragged(const float[:, ::1] queries, const float[:, ::1] rows, const int64_t[::1] indptr, const int32_t[::1] items, float[::1] scores, int threads):
    """Fill `scores` (N,). Returns the first broken row of `indptr`, or -1."""
    cdef Py_ssize_t row, users = queries.shape[0]
    cdef int64_t n = rows.shape[0], factors = rows.shape[1]
    cdef const float *vectors = &rows[0, 0] if n and factors else NULL
    row = broken_row(indptr, items.shape[0])
    if row >= 0:
        return row
    if n == 0:
        scores[:] = NAN
        return -1
    if threads == 1 or users == 1:
        with nogil:
            for row in range(users):
                if indptr[row + 1] > indptr[row]:
                    _score_row(&queries[row, 0] if factors else NULL, vectors, n, factors, &items[indptr[row]], indptr[row + 1] - indptr[row], &scores[indptr[row]])
        return -1
    for row in prange(users, nogil=True, num_threads=threads, schedule="dynamic"):
        if indptr[row + 1] > indptr[row]:
            _score_row(&queries[row, 0] if factors else NULL, vectors, n, factors, &items[indptr[row]], indptr[row + 1] - indptr[row], &scores[indptr[row]])
    return -1

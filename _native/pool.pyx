"""Unite the lists of several candidate sources; the door is recengine/kernels/pool.py."""
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef extern from *:
    int __builtin_popcountll(unsigned long long) noexcept nogil
    int __builtin_ctzll(unsigned long long) noexcept nogil

cdef enum:
    MOST_LISTS = 32


cdef int64_t _merge(const int32_t **lists, const int64_t *widths, int count, int64_t limit, int64_t words, uint64_t *members, int32_t *before,
                    int32_t *items, uint32_t *sources) noexcept nogil:
    """Unite one row; `members` is a bitmap of the items, all zero on entry and again on return."""
    cdef int64_t rank, word, size = 0, deepest = 0
    cdef int32_t item
    cdef uint64_t bits, bit
    cdef int s
    for s in range(count):
        deepest = max(deepest, widths[s])
    for rank in range(deepest):
        for s in range(count):
            if rank < widths[s] and lists[s][rank] >= 0 and size < limit:
                item = lists[s][rank]
                bit = <uint64_t> 1 << (item & 63)
                size += (members[item >> 6] & bit) == 0
                members[item >> 6] |= bit
        if size >= limit:
            break
    size = 0
    for word in range(words):  # ascending by item without a sort
        before[word] = <int32_t> size
        bits = members[word]
        while bits:
            items[size] = <int32_t> (word * 64 + __builtin_ctzll(bits))
            sources[size] = 0
            bits &= bits - 1
            size += 1
    for s in range(count):
        for rank in range(widths[s]):
            item = lists[s][rank]
            if item >= 0:
                bit = <uint64_t> 1 << (item & 63)
                bits = members[item >> 6]
                if bits & bit:
                    sources[before[item >> 6] + __builtin_popcountll(bits & (bit - 1))] |= <uint32_t> 1 << s
    for rank in range(size):
        members[items[rank] >> 6] = 0
    return size


def merge(tuple lists, int64_t rows, int64_t limit, int64_t n_items, int64_t[::1] indptr, int32_t[::1] items, uint32_t[::1] sources,
          uint64_t[:, ::1] members, int32_t[:, ::1] before, int threads):
    """Unite `lists` (each (B, n_s)); row b is written at b * limit, then all rows are moved together.

    Scratch, a slot a thread: `members` (threads, n_items / 64 + 1) all zero, `before` the same. Returns the list that holds an item >= n_items, or -1.
    """
    cdef const int32_t *at[MOST_LISTS]
    cdef int64_t widths[MOST_LISTS]
    cdef const int32_t *row_at[MOST_LISTS]
    cdef const int32_t[:, ::1] one
    cdef int64_t i, j, done, size
    cdef int s, slot, count = <int> len(lists)
    cdef Py_ssize_t row
    for s in range(count):
        one = lists[s]
        widths[s] = one.shape[1]
        at[s] = &one[0, 0] if rows and widths[s] else NULL
        for i in range(rows * widths[s]):
            if at[s][i] >= n_items:
                return s
    indptr[0] = 0
    if limit == 0:
        indptr[:] = 0
        return -1
    if threads == 1 or rows == 1:
        with nogil:
            for row in range(rows):
                indptr[row + 1] = _row(at, widths, count, row, limit, members.shape[1], &members[0, 0], &before[0, 0],
                                       &items[row * limit], &sources[row * limit])
    else:
        for row in prange(rows, nogil=True, num_threads=threads, schedule="dynamic"):
            slot = threadid()
            indptr[row + 1] = _row(at, widths, count, row, limit, members.shape[1], &members[slot, 0], &before[slot, 0],
                                   &items[row * limit], &sources[row * limit])
    done = 0
    for row in range(rows):
        size = indptr[row + 1]
        if done != row * limit:
            for j in range(size):
                items[done + j] = items[row * limit + j]
                sources[done + j] = sources[row * limit + j]
        done += size
        indptr[row + 1] = done
    return -1


cdef int64_t _row(const int32_t **lists, const int64_t *widths, int count, int64_t row, int64_t limit, int64_t words, uint64_t *members, int32_t *before,
                  int32_t *items, uint32_t *sources) noexcept nogil:
    cdef const int32_t *here[MOST_LISTS]
    cdef int s
    for s in range(count):
        here[s] = lists[s] + row * widths[s]
    return _merge(here, widths, count, limit, words, members, before, items, sources)

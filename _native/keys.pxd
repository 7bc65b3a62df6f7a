# Packed (score, index) keys: header-only, shared by bare-name cimport.
#
# A positive float32 score and an index become one int64: the float's bits above, the complement of the index below. So
# "higher score, then lower index" is plain integer order, all keys differ, and selection and sorting need no comparison
# function and no stability.
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy


cdef inline int64_t pack(float score, int32_t index) noexcept nogil:
    """Pack score > 0 (or +inf) and index >= 0; a larger key is a better pair."""
    cdef int32_t bits
    memcpy(&bits, &score, 4)
    return (<int64_t>bits << 32) | <int64_t>(0x7FFFFFFF - index)


cdef inline float score_of(int64_t key) noexcept nogil:
    cdef int32_t bits = <int32_t>(key >> 32)
    cdef float score
    memcpy(&score, &bits, 4)
    return score


cdef inline int32_t index_of(int64_t key) noexcept nogil:
    return 0x7FFFFFFF - <int32_t>key


cdef inline Py_ssize_t split(int64_t* keys, Py_ssize_t n) noexcept nogil:
    """Partition n >= 3 distinct keys around a median of three: larger ones first. Returns the pivot's final place.

    Branchless (every key is swapped, the counter moves or not): random keys would mispredict every second branch.
    """
    cdef Py_ssize_t t, middle = n // 2, place = 0
    cdef int64_t a = keys[0], b = keys[middle], c = keys[n - 1], pivot, key
    cdef Py_ssize_t at = middle
    if (a > b) != (a > c):
        at = 0
    elif (c > a) != (c > b):
        at = n - 1
    pivot = keys[at]
    keys[at] = keys[n - 1]
    for t in range(n - 1):
        key = keys[t]
        keys[t] = keys[place]
        keys[place] = key
        place += key > pivot
    keys[n - 1] = keys[place]
    keys[place] = pivot
    return place


cdef inline void keep_largest(int64_t* keys, Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    """Move the k largest of n distinct keys to the front, in any order (quickselect, Hoare 1961)."""
    cdef Py_ssize_t low = 0, high = n, place
    if k >= n:
        return
    while high - low >= 3:
        place = low + split(keys + low, high - low)
        if place == k or place == k - 1:
            return
        if place > k:
            high = place
        else:
            low = place + 1
    if high - low == 2 and keys[low] < keys[low + 1]:
        keys[low], keys[low + 1] = keys[low + 1], keys[low]


cdef inline void rank_sort(int64_t* keys, int64_t* spare, Py_ssize_t n) noexcept nogil:
    """Sort n distinct keys, largest first, by counting for each how many are larger: n^2 vector compares, no branch."""
    cdef Py_ssize_t a, b
    cdef int64_t key, rank
    memcpy(spare, keys, n * sizeof(int64_t))
    for a in range(n):
        key = spare[a]
        rank = 0
        for b in range(n):
            rank += spare[b] > key
        keys[rank] = key


cdef inline void sort_largest_first(int64_t* keys, int64_t* spare, Py_ssize_t n) noexcept nogil:
    """Sort n distinct keys, largest first: quicksort down to 128 keys, then `rank_sort`. `spare` holds 128 keys.

    The pending half is the larger one, so the explicit stack never grows past log2(n).
    """
    cdef Py_ssize_t low[64]
    cdef Py_ssize_t high[64]
    cdef Py_ssize_t depth = 0, start = 0, stop = n, place
    while True:
        while stop - start > 128:
            place = start + split(keys + start, stop - start)
            if place - start < stop - place:
                low[depth], high[depth] = place + 1, stop
                stop = place
            else:
                low[depth], high[depth] = start, place
                start = place + 1
            depth += 1
        rank_sort(keys + start, spare, stop - start)
        if depth == 0:
            return
        depth -= 1
        start, stop = low[depth], high[depth]

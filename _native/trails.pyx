"""Keep what users did in one arena, and read values from it; the door is recengine/kernels/trails.py.

The values themselves are in trails.h: reading for a request and filling a training table run the same functions.
"""
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef extern from "trails.h" nogil:
    ctypedef struct Lane:
        int32_t category
    ctypedef struct Lanes:
        const int64_t *indptr
        const int64_t *times
        const Lane *lanes
        int64_t items
        int64_t categories
        int64_t brands
        int plain
    ctypedef struct Events:
        const int32_t *item
        const int64_t *time
        const uint8_t *flags
        const double *amount
    ctypedef struct Lookback:
        int64_t windows[3]
        int64_t history
        int64_t session
        const int64_t *terms
    ctypedef struct Cell:
        int32_t key
    ctypedef struct Look:
        int64_t first
    int64_t most_cells(int64_t events, int items)
    void look_at(Look *k, Events events, int64_t length, int timed, const Lanes *lanes, int64_t t, const Lookback *b, Cell *cells, int items)
    void user_of(const Look *k, const Lookback *b, float *out)
    void pairs_of(const Look *k, const Lanes *lanes, const int32_t *items, int64_t n, unsigned wanted, float *out)
    void row_of(Events events, int64_t length, int timed, const Lanes *lanes, int64_t t, const Lookback *b, int32_t item, Cell *cells,
                float *out, int64_t stride)


cdef class Spans:
    """How far to look back; made once, since a request would pay more for handing arrays over than for reading them."""

    cdef Lookback c
    cdef const int64_t[::1] terms

    def __init__(self, int64_t w1, int64_t w2, int64_t w3, int64_t history, int64_t session, const int64_t[::1] terms):
        self.terms = terms
        self.c.windows[0], self.c.windows[1], self.c.windows[2] = w1, w2, w3
        self.c.history, self.c.session = history, session
        self.c.terms = &terms[0]


cdef class Versions:
    """What items are, by version; made and checked once."""

    cdef Lanes c
    cdef tuple held

    def __init__(self, const int64_t[::1] indptr, const int64_t[::1] times, const int32_t[:, ::1] lanes, bint plain, int64_t categories, int64_t brands):
        self.held = (indptr, times, lanes)
        self.c.indptr = &indptr[0]
        self.c.times = &times[0] if times.shape[0] else NULL
        self.c.lanes = <const Lane *> &lanes[0, 0] if lanes.shape[0] else NULL
        self.c.items, self.c.plain, self.c.categories, self.c.brands = indptr.shape[0] - 1, plain, categories, brands


cdef Events _events(const int32_t[::1] item, const int64_t[::1] time, const uint8_t[::1] flags, const double[::1] amount):
    cdef Events out
    cdef bint some = item.shape[0] > 0
    out.item = &item[0] if some else NULL
    out.time = &time[0] if some else NULL
    out.flags = &flags[0] if some else NULL
    out.amount = &amount[0] if some else NULL
    return out


def cells(int64_t events, Spans spans not None, int tallies):
    """How many bytes of scratch the tallies of so many events take."""
    return tallies * most_cells(min(events, spans.c.history), tallies == 3) * <int64_t> sizeof(Cell)


def read(const int32_t[::1] item, const int64_t[::1] time, const uint8_t[::1] flags, const double[::1] amount, bint timed, Versions versions not None,
         Spans spans not None, int64_t t, const int32_t[::1] items, float[::1] own, unsigned wanted, float[:, ::1] pairs):
    """Fill `own` (22,) with the values of the user and the current visit, and the rows `wanted` (bits) of `pairs` (7, n)
    with those of the user and each item; `own` and `items` may be None."""
    cdef Look k
    cdef bint some = items is not None and items.shape[0] > 0
    cdef Cell *scratch = <Cell *> malloc(cells(item.shape[0], spans, 3 if some else 2))
    if scratch == NULL:
        raise MemoryError
    look_at(&k, _events(item, time, flags, amount), item.shape[0], timed, &versions.c, t, &spans.c, scratch, some)
    if own is not None:
        user_of(&k, &spans.c, &own[0])
    if some:
        pairs_of(&k, &versions.c, &items[0], items.shape[0], wanted, &pairs[0, 0])
    free(scratch)


def read_rows(const int64_t[::1] start, const int32_t[::1] length, const int32_t[::1] item, const int64_t[::1] time, const uint8_t[::1] flags,
              const double[::1] amount, bint timed, Versions versions not None, Spans spans not None, const int32_t[::1] users,
              const int32_t[::1] items, const int64_t[::1] moments, const int64_t[::1] order, uint8_t[:, ::1] scratch, float[:, ::1] out, int threads):
    """Fill column j of `out` (29, m) with the values of probe j. They are read in `order`; `scratch`: a row a thread."""
    cdef Lookback b = spans.c
    cdef Lanes l = versions.c
    cdef Events whole = _events(item, time, flags, amount)
    cdef int64_t n_users = start.shape[0], m = users.shape[0]
    cdef Py_ssize_t at, j
    if m == 0:
        return
    for at in prange(m, nogil=True, num_threads=threads, schedule="dynamic", chunksize=256):
        j = order[at]
        _row(&start[0] if n_users else NULL, &length[0] if n_users else NULL, n_users, whole, timed, &l, &b, users[j], items[j], moments[j],
             <Cell *> &scratch[threadid(), 0], &out[0, j], m)


cdef void _row(const int64_t *start, const int32_t *length, int64_t n_users, Events whole, int timed, const Lanes *l, const Lookback *b,
               int32_t user, int32_t item, int64_t t, Cell *cells, float *out, int64_t stride) noexcept nogil:
    cdef int64_t own = 0, at = 0
    if 0 <= user < n_users:
        at, own = start[user], length[user]
    if own:
        whole.item += at
        whole.time += at
        whole.flags += at
        whole.amount += at
    row_of(whole, own, timed, l, t, b, item, cells, out, stride)


def insert(int64_t[::1] start, int32_t[::1] length, int32_t[::1] capacity, int32_t[::1] item, int64_t[::1] time, uint8_t[::1] flags, double[::1] amount,
           int64_t end, const int32_t[::1] users, const int32_t[::1] items, const int64_t[::1] times, const uint8_t[::1] marks, const double[::1] amounts,
           Py_ssize_t first):
    """Put events [first, n) where they belong in their users' trails, after those of the same moment.

    What a trail showed stays as it is: later events go behind it, late ones into a copy. Events of one user that stand together in order of
    time are put in at once, so that many late ones cost one copy. Returns the event before which the arena was full or had no such user
    (n = all are in; -1: a user is below 0, nothing was done), and the arena's end.
    """
    cdef Py_ssize_t j = first, k, n = users.shape[0]
    cdef int64_t own, run, place, old, new, taken, at, room = item.shape[0]
    cdef int32_t user, wanted
    for k in range(first, n):
        if users[k] < 0:
            return -1, end
    while j < n:
        user = users[j]
        if user >= start.shape[0]:
            return j, end
        k = j + 1
        while k < n and users[k] == user and times[k] >= times[k - 1]:
            k += 1
        run, own, old = k - j, length[user], start[user]
        place = own
        if own and times[j] < time[old + own - 1]:
            place = _after(&time[old], own, times[j])
        new = old
        if place < own or own + run > capacity[user]:
            wanted = <int32_t> max(4, own + run + own // 2)
            if end + wanted > room:
                return j, end
            new, end = end, end + wanted
            _move(item, time, flags, amount, old, new, place)
            capacity[user] = wanted
        taken, at = place, new + place
        while j < k:
            if taken < own and time[old + taken] <= times[j]:
                place = _after(&time[old + taken], own - taken, times[j])
                _move(item, time, flags, amount, old + taken, at, place)
                taken += place
                at += place
            item[at], time[at], flags[at], amount[at] = items[j], times[j], marks[j], amounts[j]
            at += 1
            j += 1
        _move(item, time, flags, amount, old + taken, at, own - taken)
        start[user] = new
        length[user] = <int32_t> (own + run)
    return n, end


cdef int64_t _after(const int64_t *time, int64_t length, int64_t t) noexcept nogil:
    """How many of an ordered trail are at t or before."""
    cdef int64_t lo = 0, half
    while length > 0:
        half = length >> 1
        if time[lo + half] <= t:
            lo, length = lo + half + 1, length - half - 1
        else:
            length = half
    return lo


cdef void _move(int32_t[::1] item, int64_t[::1] time, uint8_t[::1] flags, double[::1] amount, int64_t old, int64_t new, int64_t n):
    if n:
        memcpy(&item[new], &item[old], n * sizeof(int32_t))
        memcpy(&time[new], &time[old], n * sizeof(int64_t))
        memcpy(&flags[new], &flags[old], n)
        memcpy(&amount[new], &amount[old], n * sizeof(double))


def gather(const int64_t[::1] start, const int32_t[::1] length, const int32_t[::1] item, const int64_t[::1] time, const uint8_t[::1] flags,
           const double[::1] amount, const int64_t[::1] to, int32_t[::1] items, int64_t[::1] times, uint8_t[::1] marks, double[::1] amounts):
    """Copy every trail to `to[user]` of another arena."""
    cdef Py_ssize_t user
    cdef int64_t n
    for user in range(start.shape[0]):
        n = length[user]
        if n:
            memcpy(&items[to[user]], &item[start[user]], n * sizeof(int32_t))
            memcpy(&times[to[user]], &time[start[user]], n * sizeof(int64_t))
            memcpy(&marks[to[user]], &flags[start[user]], n)
            memcpy(&amounts[to[user]], &amount[start[user]], n * sizeof(double))

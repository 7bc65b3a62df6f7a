"""Count what happens to every item, in buckets of an hour; the door is recengine/kernels/tallies.py."""
from libc.math cimport INFINITY, NAN
from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc

from tally cimport DAY, MOMENTS, Hour, State, Tally, Waiting, advance, bucket_of, fold, grow, rolled, start, stop

cdef extern from *:
    """
    #define UNIT 1024.0
    #define CONVERSIONS 20.0
    #define RATINGS 5.0
    static const unsigned NEEDED_BY[11] = {1u << 0, 1u << 1 | 1u << 7, 1u << 2 | 1u << 6 | 1u << 7, 1u << 4, 1u << 5 | 1u << 6, 1u << 3, 1u << 8,
                                           1u << 9, 1u << 10, 1u << 11 | 1u << 12, 1u << 11};
    """
    const unsigned *NEEDED_BY  # values (bits) that each field of a record is for
    const double UNIT  # amounts to a rating
    const double CONVERSIONS  # engaged events that every item is thought to have had, at the rate of all
    const double RATINGS  # and ratings, at the mean of all
    void __builtin_prefetch(const void *) noexcept nogil
    int __builtin_popcount(unsigned) noexcept nogil

cdef enum:
    VALUES = 13
    FIELDS = 11  # float64 that a record begins with
    TILE = 64  # items that are read together
    BLOCK = 4096  # probes whose values are written together
    WIDE = BLOCK + 16  # so that the rows of a block do not fall on the same lines of the cache
    AHEAD = 8  # candidates between the one that is read and the one whose record is fetched

cdef struct Shared:
    double conversion, rating  # of all items
    bint timed


cdef inline Shared shared(const State *s) noexcept nogil:
    cdef Shared all
    all.conversion = s.converted / s.engaged if s.engaged > 0 else NAN
    all.rating = s.rated / UNIT / s.ratings if s.ratings > 0 else NAN
    all.timed = s.now >= MOMENTS and (s.moments > 0 or s.events == 0)
    return all


cdef inline double known_from(double first, int64_t t, int64_t since) noexcept nogil:
    return min(first, <double> bucket_of(since)) if since != INT64_MIN and since <= t else first


cdef inline float conversion_of(double engaged, double converted, double rate) noexcept nogil:
    return <float> ((converted + CONVERSIONS * rate) / (engaged + CONVERSIONS))


cdef inline float trend_of(const State *s, double second, double third) noexcept nogil:
    return <float> (second / s.days[1] - (third - second) / (s.days[2] - s.days[1]))


cdef inline float days_from(double hour, double then) noexcept nogil:
    return <float> ((hour - then) / DAY if -INFINITY < then < INFINITY else NAN)


cdef inline float rating_of(double rated, double ratings, double mean) noexcept nogil:
    return <float> ((rated / UNIT + RATINGS * mean) / (ratings + RATINGS))


cdef inline void read_one(State *s, int64_t item, int64_t t, int64_t since, Shared all, float *out, int64_t stride) noexcept nogil:
    """Write the values of one item, `stride` apart; ITEM_VALUES in features/item.py names them in this order."""
    cdef Tally *row = s.items + item if item < s.n else &s.blank
    cdef double hour = <double> s.reached
    if row.rolled != s.reached:
        rolled(s, row)
    if all.timed:
        out[0] = <float> row.engaged[0]
        out[stride] = <float> row.engaged[1]
        out[2 * stride] = <float> row.engaged[2]
        out[4 * stride] = <float> row.converted[0]
        out[5 * stride] = <float> row.converted[1]
        out[6 * stride] = conversion_of(row.engaged[2], row.converted[1], all.conversion)
        out[7 * stride] = trend_of(s, row.engaged[1], row.engaged[2])
        out[8 * stride] = <float> row.decayed
        out[9 * stride] = days_from(hour, known_from(row.first, t, since))
        out[10 * stride] = days_from(hour, row.last)
    else:
        out[0] = out[stride] = out[2 * stride] = out[4 * stride] = out[5 * stride] = out[6 * stride] = <float> NAN
        out[7 * stride] = out[8 * stride] = out[9 * stride] = out[10 * stride] = <float> NAN
    out[3 * stride] = <float> row.ever
    out[11 * stride] = rating_of(row.rated, row.ratings, all.rating)
    out[12 * stride] = <float> row.ratings


cdef inline void narrow(const double *from_, int64_t n, float *out) noexcept nogil:
    cdef int64_t j
    for j in range(n):
        out[j] = <float> from_[j]


cdef void read_tile(const State *s, const Shared *all, const Tally **rows, int64_t n, int64_t t, const int32_t *items, const int64_t *began, int64_t n_since,
                    uint32_t wanted, float *out, int64_t stride) noexcept nogil:
    """Write the wanted values of up to `TILE` rolled records, as `read_one` does, but a value at a time: divisions then are vectors."""
    cdef double tile[FIELDS][TILE]
    cdef double hour = <double> s.reached
    cdef int64_t j, v
    cdef const double *record
    if __builtin_popcount(wanted) > 6:
        for j in range(n):
            record = <const double *> rows[j]
            for v in range(FIELDS):
                tile[v][j] = record[v]
    for v in range(FIELDS):
        if wanted & NEEDED_BY[v] and __builtin_popcount(wanted) <= 6:  # few fields are read sooner one after the other
            for j in range(n):
                tile[v][j] = (<const double *> rows[j])[v]
    if all.timed:
        if wanted & 1:
            narrow(tile[0], n, out)
        if wanted >> 1 & 1:
            narrow(tile[1], n, out + stride)
        if wanted >> 2 & 1:
            narrow(tile[2], n, out + 2 * stride)
        if wanted >> 4 & 1:
            narrow(tile[3], n, out + 4 * stride)
        if wanted >> 5 & 1:
            narrow(tile[4], n, out + 5 * stride)
        if wanted >> 6 & 1:
            for j in range(n):
                out[6 * stride + j] = conversion_of(tile[2][j], tile[4][j], all.conversion)
        if wanted >> 7 & 1:
            for j in range(n):
                out[7 * stride + j] = trend_of(s, tile[1][j], tile[2][j])
        if wanted >> 8 & 1:
            narrow(tile[6], n, out + 8 * stride)
        if wanted >> 9 & 1:
            for j in range(n):
                if items[j] < n_since:
                    tile[7][j] = known_from(tile[7][j], t, began[items[j]])
            for j in range(n):
                out[9 * stride + j] = days_from(hour, tile[7][j])
        if wanted >> 10 & 1:
            for j in range(n):
                out[10 * stride + j] = days_from(hour, tile[8][j])
    else:
        for v in range(VALUES):
            if wanted >> v & 1 and v != 3 and v < 11:
                for j in range(n):
                    out[v * stride + j] = <float> NAN
    if wanted >> 3 & 1:
        narrow(tile[5], n, out + 3 * stride)
    if wanted >> 11 & 1:
        for j in range(n):
            out[11 * stride + j] = rating_of(tile[10][j], tile[9][j], all.rating)
    if wanted >> 12 & 1:
        narrow(tile[9], n, out + 12 * stride)


cdef inline void fetch(State *s, int64_t item) noexcept nogil:
    """Ask for a record that is needed soon: it spans three lines of the cache."""
    if item < s.n:
        __builtin_prefetch(s.items + item)
        __builtin_prefetch(<char *> (s.items + item) + 64)
        __builtin_prefetch(<char *> (s.items + item) + 128)


cdef inline void fetch_hours(State *s, int64_t item) noexcept nogil:
    if item < s.n and s.items[item].size:
        __builtin_prefetch(s.items[item].hours + s.items[item].size - 1)


cdef class Tallies:
    """The counts of all items; not to be used by two threads without the GIL."""

    cdef State s

    def __cinit__(self, int64_t w1, int64_t w2, int64_t w3, int64_t half_life, int64_t n_items):
        start(&self.s, w1, w2, w3, half_life)
        if grow(&self.s, n_items):
            raise MemoryError

    def __dealloc__(self):
        stop(&self.s)

    @property
    def n(self):
        """Items that have a record."""
        return self.s.n

    @property
    def memory(self):
        """Bytes."""
        cdef int64_t i, hours = 0
        for i in range(self.s.n):
            hours += self.s.items[i].capacity
        return sizeof(State) + self.s.capacity * sizeof(Tally) + hours * sizeof(Hour) + self.s.waiting_capacity * sizeof(Waiting)

    def advance(self, int64_t t):
        """Reach the hour of t."""
        if advance(&self.s, t):
            raise MemoryError

    def fold(self, const int32_t[::1] items, const int64_t[::1] times, const uint8_t[::1] flags, const double[::1] amounts, bint again):
        """Count n events, or take them out `again`; returns how many of those were not there, -1 for a negative item."""
        cdef int64_t i, missing = 0, n = items.shape[0]
        cdef int met
        for i in range(n):
            if items[i] < 0:
                return -1
        for i in range(n):
            if i + AHEAD < n:
                fetch(&self.s, items[i + AHEAD])
                fetch_hours(&self.s, items[i + AHEAD // 2])
            met = fold(&self.s, items[i], times[i], flags[i], amounts[i], again)
            if met < 0:
                raise MemoryError
            missing += met
        return missing

    def read(self, const int32_t[::1] items, int64_t t, const int64_t[::1] since, uint32_t wanted, float[:, ::1] out):
        """Fill the rows `wanted` (bits) of `out` (13, n) as of t; returns the position of a negative item, or -1."""
        cdef int64_t i, first = 0, n = items.shape[0], n_since = since.shape[0]
        cdef const int64_t *began = &since[0] if n_since else NULL
        cdef const Tally *rows[TILE]
        cdef Tally *row
        cdef State *s = &self.s
        cdef Shared all
        if advance(s, t):
            raise MemoryError
        all = shared(s)
        while first < n:
            for i in range(first, min(first + TILE, n)):
                if items[i] < 0:
                    return i
                if i + AHEAD < n and items[i + AHEAD] >= 0:
                    fetch(s, items[i + AHEAD])
                row = s.items + items[i] if items[i] < s.n else &s.blank
                if row.rolled != s.reached:
                    rolled(s, row)
                rows[i - first] = row
            read_tile(s, &all, rows, min(n - first, TILE), t, &items[first], began, n_since, wanted, &out[0, first], n)
            first += TILE
        return -1


def sweep(const int64_t[::1] windows, int64_t half_life, const int32_t[::1] items, const int64_t[::1] times, const uint8_t[::1] flags, const double[::1] amounts,
          const int32_t[::1] asked, const int64_t[::1] moments, const int64_t[::1] places, const int64_t[::1] since, float[:, ::1] out):
    """Fill column places[p] of `out` (13, m): item asked[p] at moments[p] after the events before that moment.

    Events and probes are in order of time. Returns False where an item is negative.
    """
    cdef State s
    cdef int64_t i, block = 0, e = 0, n = items.shape[0], m = asked.shape[0], n_since = since.shape[0]
    cdef const int64_t *began = &since[0] if n_since else NULL
    cdef float *values = NULL
    cdef int met = 0, v
    for i in range(n):
        if items[i] < 0:
            return False
    for i in range(m):
        if asked[i] < 0:
            return False
    start(&s, windows[0], windows[1], windows[2], half_life)
    try:
        values = <float *> malloc(VALUES * WIDE * sizeof(float))
        if values == NULL:
            raise MemoryError
        with nogil:
            while block < m and met == 0:
                for i in range(block, min(block + BLOCK, m)):
                    while e < n and times[e] < moments[i] and met == 0:
                        if e + AHEAD < n:
                            fetch(&s, items[e + AHEAD])
                            fetch_hours(&s, items[e + AHEAD // 2])
                        met = advance(&s, times[e]) or fold(&s, items[e], times[e], flags[e], amounts[e], False)
                        e += 1
                    met = met or advance(&s, moments[i])
                    if met:
                        break
                    if i + AHEAD < m:
                        fetch(&s, asked[i + AHEAD])
                    read_one(&s, asked[i], moments[i], began[asked[i]] if asked[i] < n_since else INT64_MIN, shared(&s), values + i - block, WIDE)
                for v in range(VALUES):  # a row at a time: probes in order of time lie anywhere in `out`
                    for i in range(block, min(block + BLOCK, m)):
                        out[v, places[i]] = values[v * WIDE + i - block]
                block += BLOCK
    finally:
        free(values)
        stop(&s)
    if met:
        raise MemoryError
    return True

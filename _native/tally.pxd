"""The record of an item, and what moves it: header-only, shared by what reads records and what sweeps them.

An item is one record: eleven float64 that a reader wants, and the hours in which something happened, ascending. The record stands at the hour `rolled`;
whoever touches it rolls it to the hour that all have reached, which takes what left the windows out of the sums again. All sums are of whole numbers, so
they are exact, and the same in any order. Events of hours that are not reached wait beside the records.
"""
from libc.math cimport INFINITY
from libc.stdint cimport INT32_MAX, INT64_MIN, int32_t, int64_t, uint8_t
from libc.stdlib cimport free, realloc
from libc.string cimport memmove, memset

cdef extern from *:
    """
    #define BUCKET 3600000000LL
    #define MOMENTS 100000000000000LL
    #define NEVER (-(1LL << 40))
    #define DAY 24.0
    """
    const int64_t BUCKET  # microseconds
    const int64_t MOMENTS  # times below only sort
    const int64_t NEVER  # an hour before all others
    const double DAY  # hours

cdef enum:
    ENGAGED = 1
    CONVERTED = 4
    RATED = 16
    EPOCHS = 8


cdef struct Hour:
    int32_t bucket, events, engaged, converted

cdef struct Tally:
    double engaged[3]
    double converted[2]  # of the second and third window
    double ever, decayed, first, last, ratings, rated
    int64_t rolled
    Hour *hours
    int32_t size, capacity
    int32_t start[3]  # the first hour inside each window
    int32_t epochs[EPOCHS]  # engaged in the epoch of `rolled`, and in those before

cdef struct Waiting:
    int32_t item, bucket
    uint8_t flags
    double amount

cdef struct State:
    int64_t windows[3]
    double days[3]
    int64_t half_life
    Tally *items
    int64_t n, capacity
    Tally blank
    Waiting *waiting  # events of hours that are not reached
    int64_t n_waiting, waiting_capacity
    int64_t due  # the first hour among them
    int64_t now, reached  # the latest moment told, and its hour
    double events, moments, engaged, converted, ratings, rated


cdef inline int64_t floored(int64_t a, int64_t b) noexcept nogil:
    cdef int64_t q = a // b  # C's division in this file (cdivision), so it rounds to zero
    return q - (q * b > a)


cdef inline int64_t bucket_of(int64_t t) noexcept nogil:
    cdef int64_t bucket = floored(t, BUCKET)
    return min(bucket, <int64_t> INT32_MAX)


cdef inline void blank(Tally *row) noexcept nogil:
    memset(row, 0, sizeof(Tally))
    row.first, row.last, row.rolled = INFINITY, -INFINITY, NEVER


cdef inline void start(State *s, int64_t w1, int64_t w2, int64_t w3, int64_t half_life) noexcept nogil:
    memset(s, 0, sizeof(State))
    s.windows[0], s.windows[1], s.windows[2], s.half_life = w1, w2, w3, half_life
    for w in range(3):
        s.days[w] = s.windows[w] / DAY
    s.now, s.reached, s.due = INT64_MIN, NEVER, INT32_MAX
    blank(&s.blank)


cdef inline void stop(State *s) noexcept nogil:
    cdef int64_t i
    for i in range(s.n):
        free(s.items[i].hours)
    free(s.items)
    free(s.waiting)


cdef inline int grow(State *s, int64_t n) noexcept nogil:
    """Have at least n items; 0, or -1 where memory ran out."""
    cdef int64_t capacity
    cdef void *more
    if n > s.capacity:
        capacity = max(n, s.capacity + s.capacity // 2 + 16)
        more = realloc(s.items, capacity * sizeof(Tally))
        if more == NULL:
            return -1
        s.items, s.capacity = <Tally *> more, capacity
    while s.n < n:
        blank(&s.items[s.n])
        s.n += 1
    return 0


cdef inline void rolled(State *s, Tally *row) noexcept nogil:
    """Bring a record to the hour reached."""
    cdef int64_t steps, k
    cdef int w
    cdef Hour *hour
    if row.size:
        for w in range(3):
            while row.start[w] < row.size and row.hours[row.start[w]].bucket <= s.reached - s.windows[w]:
                hour = row.hours + row.start[w]
                row.engaged[w] -= hour.engaged
                if w:
                    row.converted[w - 1] -= hour.converted
                row.start[w] += 1
        steps = floored(s.reached, s.half_life) - floored(row.rolled, s.half_life)
        if steps:
            row.decayed = 0
            for k in range(EPOCHS - 1, -1, -1):
                row.epochs[k] = row.epochs[k - steps] if k >= steps else 0
                row.decayed += row.epochs[k] * (1.0 / (1 << k))
    row.rolled = s.reached


cdef inline int64_t found(const Tally *row, int32_t bucket) noexcept nogil:
    """The first hour that is not before `bucket`; most events belong to the last one or to a new one."""
    cdef int64_t low = 0, high = row.size, middle
    if high == 0 or row.hours[high - 1].bucket < bucket:
        return high
    if high == 1 or row.hours[high - 2].bucket < bucket:
        return high - 1
    while low < high:
        middle = (low + high) >> 1
        if row.hours[middle].bucket < bucket:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline void count(State *s, Tally *row, int32_t bucket, int32_t engaged, int32_t converted) noexcept nogil:
    """Add to the windows and the epochs that hold `bucket`."""
    cdef int64_t k = floored(s.reached, s.half_life) - floored(bucket, s.half_life)
    cdef int w
    for w in range(3):
        if bucket > s.reached - s.windows[w]:
            row.engaged[w] += engaged
            if w:
                row.converted[w - 1] += converted
    if k < EPOCHS:
        row.epochs[k] += engaged
        row.decayed += engaged * (1.0 / (1 << k))


cdef inline void total(State *s, Tally *row, uint8_t flags, double amount, int sign) noexcept nogil:
    """Add to what has no windows."""
    cdef double engaged = sign * ((flags & ENGAGED) != 0)
    row.ever += engaged
    s.engaged += engaged
    s.converted += sign * ((flags & CONVERTED) != 0)
    s.events += sign
    if flags & RATED:
        row.ratings += sign
        row.rated += sign * amount
        s.ratings += sign
        s.rated += sign * amount


cdef inline int add(State *s, int64_t item, int32_t bucket, uint8_t flags, double amount) noexcept nogil:
    """Count an event of an hour that is reached; -1 where memory ran out, and then nothing has changed."""
    cdef Tally *row = s.items + item
    cdef int64_t at, capacity
    cdef int w
    cdef void *more
    cdef int32_t engaged = (flags & ENGAGED) != 0, converted = (flags & CONVERTED) != 0
    if row.rolled != s.reached:
        rolled(s, row)
    at = found(row, bucket)
    if at == row.size or row.hours[at].bucket != bucket:
        if row.size == row.capacity:
            capacity = row.capacity + row.capacity // 2 + 2
            more = realloc(row.hours, capacity * sizeof(Hour))
            if more == NULL:
                return -1
            row.hours, row.capacity = <Hour *> more, <int32_t> capacity
        memmove(row.hours + at + 1, row.hours + at, (row.size - at) * sizeof(Hour))
        row.hours[at].bucket, row.hours[at].events, row.hours[at].engaged, row.hours[at].converted = bucket, 0, 0, 0
        row.size += 1
        for w in range(3):
            row.start[w] += bucket <= s.reached - s.windows[w]
    row.hours[at].events += 1
    row.hours[at].engaged += engaged
    row.hours[at].converted += converted
    row.first = min(row.first, <double> bucket)
    if engaged:
        row.last = max(row.last, <double> bucket)
    count(s, row, bucket, engaged, converted)
    total(s, row, flags, amount, 1)
    s.moments += 1
    return 0


cdef inline int take(State *s, int64_t item, int32_t bucket, uint8_t flags, double amount) noexcept nogil:
    """Take an event out again; 1 where there is no such event, and then nothing has changed."""
    cdef Tally *row = s.items + item
    cdef int64_t at = found(row, bucket), last
    cdef int w
    cdef int32_t engaged = (flags & ENGAGED) != 0, converted = (flags & CONVERTED) != 0
    if at == row.size or row.hours[at].bucket != bucket or row.hours[at].engaged < engaged or row.hours[at].converted < converted:
        return 1
    if (flags & RATED) and row.ratings < 1:
        return 1
    if row.rolled != s.reached:
        rolled(s, row)
    row.hours[at].events -= 1
    row.hours[at].engaged -= engaged
    row.hours[at].converted -= converted
    count(s, row, bucket, -engaged, -converted)
    total(s, row, flags, amount, -1)
    s.moments -= 1
    if row.hours[at].events == 0:
        row.size -= 1
        memmove(row.hours + at, row.hours + at + 1, (row.size - at) * sizeof(Hour))
        for w in range(3):
            row.start[w] -= at < row.start[w]
    row.first = row.hours[0].bucket if row.size else INFINITY
    if engaged and row.last == bucket:
        last = min(at, row.size - 1)
        while last >= 0 and row.hours[last].engaged == 0:
            last -= 1
        row.last = row.hours[last].bucket if last >= 0 else -INFINITY
    return 0


cdef inline int await_hour(State *s, int32_t item, int32_t bucket, uint8_t flags, double amount) noexcept nogil:
    cdef int64_t capacity
    cdef void *more
    if s.n_waiting == s.waiting_capacity:
        capacity = s.waiting_capacity + s.waiting_capacity // 2 + 16
        more = realloc(s.waiting, capacity * sizeof(Waiting))
        if more == NULL:
            return -1
        s.waiting, s.waiting_capacity = <Waiting *> more, capacity
    s.waiting[s.n_waiting].item, s.waiting[s.n_waiting].bucket = item, bucket
    s.waiting[s.n_waiting].flags, s.waiting[s.n_waiting].amount = flags, amount
    s.n_waiting += 1
    s.due = min(s.due, <int64_t> bucket)
    return 0


cdef inline int forgo(State *s, int32_t item, int32_t bucket, uint8_t flags, double amount) noexcept nogil:
    cdef int64_t i
    for i in range(s.n_waiting - 1, -1, -1):
        if (s.waiting[i].item == item and s.waiting[i].bucket == bucket and s.waiting[i].flags == flags and s.waiting[i].amount == amount):
            s.n_waiting -= 1
            memmove(s.waiting + i, s.waiting + i + 1, (s.n_waiting - i) * sizeof(Waiting))
            return 0
    return 1


cdef inline int fold(State *s, int64_t item, int64_t time, uint8_t flags, double amount, bint again) noexcept nogil:
    """Count an event, or take it out `again`; -1 where memory ran out, 1 where there was none to take out."""
    cdef int64_t bucket
    cdef Tally *row
    if item >= s.n:
        if again:
            return 1
        if grow(s, item + 1):
            return -1
    if time < MOMENTS:
        row = s.items + item
        if again and (s.events - s.moments < 1 or row.ever < ((flags & ENGAGED) != 0) or row.ratings < ((flags & RATED) != 0)):
            return 1
        total(s, row, flags, amount, -1 if again else 1)
        return 0
    bucket = bucket_of(time)
    if bucket > s.reached:
        if again:
            return forgo(s, <int32_t> item, <int32_t> bucket, flags, amount)
        return await_hour(s, <int32_t> item, <int32_t> bucket, flags, amount)
    if again:
        return take(s, item, <int32_t> bucket, flags, amount)
    return add(s, item, <int32_t> bucket, flags, amount)


cdef inline int advance(State *s, int64_t t) noexcept nogil:
    """Reach the hour of t, and count the events that waited for it; -1 where memory ran out."""
    cdef int64_t i, kept = 0
    cdef Waiting *event
    if t <= s.now:
        return 0
    s.now = t
    s.reached = max(s.reached, bucket_of(t))
    if s.due > s.reached or s.n_waiting == 0:
        return 0
    s.due = INT32_MAX
    for i in range(s.n_waiting):
        event = s.waiting + i
        if event.bucket > s.reached or add(s, event.item, event.bucket, event.flags, event.amount):
            s.due = min(s.due, <int64_t> event.bucket)
            s.waiting[kept] = event[0]
            kept += 1
    i = kept
    s.n_waiting = kept
    return -1 if i and s.due <= s.reached else 0

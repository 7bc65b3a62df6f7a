"""Count which items are engaged with near one another; the door is recengine/kernels/covisits.py.

Live counts stand in one arena: every item's list, ascending by neighbour, an entry being neighbour << 32 | count. A list that is full moves to the end
of the arena with twice the room; where the arena is full the kernel says so, and the door lays all lists out anew.
History is swept over a hash of pairs instead: its lists would be moved about with every event, while a probe asks for a handful of pairs only.
Both come to a value by the same steps, to the bit: for each anchor in order, sum += c(x, i) * rarity(x); then sum * rarity(i).
"""
from libc.math cimport sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

cdef extern from *:
    void __builtin_prefetch(const void *) noexcept nogil

cdef enum:
    USED = 0      # entries of the arena that blocks take
    LIVE = 1      # entries that count something
    FIRST_ROOM = 4
    WALK_LIMIT = 24  # a list up to so many times as long as the candidates is walked, a longer one searched
    MOST_ANCHORS = 100
    LANES = 8
    CHUNK = 128  # entries of a list, or candidates, that go through a loop together
    FILLED = 0
    NO_ROOM = 1
    NOT_THERE = 2

cdef struct Arena:
    uint64_t *entries
    int64_t capacity
    int64_t *start
    int32_t *length
    int32_t *room
    int64_t *total
    int64_t *state


cdef inline double _rarity(int64_t degree) noexcept nogil:
    """1 / sqrt(d). An affinity is c(x, i) / sqrt(d(x) d(i)), the symmetric normalisation of a graph (Ng, Jordan and Weiss 2002, step 2).

    Why sums of c * rarity(x) are scaled by rarity(i) at their end: a hit then costs a multiply-add, not a root and a division, which took a third of the time.
    """
    return 1 / sqrt(<double> degree)


cdef inline int64_t _lower(const uint64_t *entries, int64_t n, uint64_t neighbour) noexcept nogil:
    """Return the first position whose neighbour is >= `neighbour`, without a branch to mispredict."""
    cdef uint64_t wanted = neighbour << 32
    cdef int64_t base = 0, half
    while n > 1:
        half = n >> 1
        base += half * (entries[base + half - 1] < wanted)
        n -= half
    return base + (n == 1 and entries[base] < wanted)


cdef inline int64_t _position(const Arena *arena, int32_t item, int32_t neighbour, bint *there) noexcept nogil:
    cdef const uint64_t *entries = arena.entries + arena.start[item]
    cdef int64_t at = _lower(entries, arena.length[item], neighbour)
    there[0] = at < arena.length[item] and <int32_t> (entries[at] >> 32) == neighbour
    return at


cdef inline bint _widened(Arena *arena, int32_t item) noexcept nogil:
    """Make room for one more neighbour; False where the arena is full."""
    cdef int64_t wanted
    if arena.length[item] < arena.room[item]:
        return True
    wanted = max(FIRST_ROOM, 2 * <int64_t> arena.length[item])
    if arena.state[USED] + wanted > arena.capacity:
        return False
    memcpy(arena.entries + arena.state[USED], arena.entries + arena.start[item], arena.length[item] * sizeof(uint64_t))
    arena.start[item] = arena.state[USED]
    arena.room[item] = <int32_t> wanted
    arena.state[USED] += wanted
    return True


cdef inline void _change(Arena *arena, int32_t item, int32_t neighbour, int64_t at, bint there, int32_t sign) noexcept nogil:
    cdef uint64_t *entry = arena.entries + arena.start[item] + at
    cdef int64_t behind = arena.length[item] - at
    arena.total[item] += sign
    if not there:
        memmove(entry + 1, entry, behind * sizeof(uint64_t))
        entry[0] = <uint64_t> neighbour << 32 | 1
        arena.length[item] += 1
        arena.state[LIVE] += 1
        return
    entry[0] += <uint64_t> <int64_t> sign
    if <uint32_t> entry[0] == 0:
        memmove(entry, entry + 1, (behind - 1) * sizeof(uint64_t))
        arena.length[item] -= 1
        arena.state[LIVE] -= 1


cdef int _count(Arena *arena, int32_t a, int32_t b, int32_t sign) noexcept nogil:
    """Count one pair both ways, or change nothing."""
    cdef bint b_of_a, a_of_b
    cdef int64_t at_a = _position(arena, a, b, &b_of_a), at_b = _position(arena, b, a, &a_of_b)
    if sign < 0 and not b_of_a:
        return NOT_THERE
    if not b_of_a and not (_widened(arena, a) and _widened(arena, b)):
        return NO_ROOM
    _change(arena, a, b, at_a, b_of_a, sign)
    _change(arena, b, a, at_b, a_of_b, sign)
    return FILLED


def reach(const int32_t[::1] a, const int32_t[::1] b):
    """Return 1 + the highest item, or -1 where one is negative."""
    cdef int64_t j
    cdef int32_t least = 0, most = -1
    for j in range(a.shape[0]):
        least, most = min(least, a[j], b[j]), max(most, a[j], b[j])
    return -1 if least < 0 else <int64_t> most + 1


def add(const int32_t[::1] a, const int32_t[::1] b, int32_t sign, int64_t done, uint64_t[::1] entries, int64_t[::1] start, int32_t[::1] length,
        int32_t[::1] room, int64_t[::1] total, int64_t[::1] state):
    """Count the pairs from `done` on, `sign` each; a pair of an item with itself is passed over. All items are below the length of `start`.

    Returns how many are done (short of all: the arena is full), or -1 - p: pair p is not there to be taken away.
    """
    cdef Arena arena
    cdef int outcome = FILLED
    if a.shape[0] == done:
        return done
    arena.entries, arena.capacity = &entries[0], entries.shape[0]
    arena.start, arena.length, arena.room, arena.total = &start[0], &length[0], &room[0], &total[0]
    arena.state = &state[0]
    while done < a.shape[0]:
        if a[done] != b[done]:
            outcome = _count(&arena, a[done], b[done], sign)
            if outcome != FILLED:
                break
        done += 1
    return -1 - done if outcome == NOT_THERE else done


def relay(const uint64_t[::1] entries, const int64_t[::1] start, const int32_t[::1] length, uint64_t[::1] laid, const int64_t[::1] begin):
    """Copy every list to its new place."""
    cdef int64_t item
    with nogil:
        for item in range(start.shape[0]):
            if length[item]:
                memcpy(&laid[begin[item]], &entries[start[item]], length[item] * sizeof(uint64_t))


def strength(const int32_t[::1] anchors, const int32_t[::1] items, const uint64_t[::1] entries, const int64_t[::1] start, const int32_t[::1] length,
             const int64_t[::1] total, uint64_t[::1] marks, int32_t[::1] slot, double[::1] sums, float[::1] out):
    """Fill `out` (n,) with the sums of affinities to the anchors, in their order; holds the GIL, so that no event comes between.

    Scratch: `marks`, a bit an item, all zero on entry and on return; `slot` (items,); `sums` (n,).
    """
    cdef int64_t j, n = items.shape[0], known = start.shape[0]
    cdef int32_t item, x
    cdef uint64_t bit
    cdef double rarity
    for j in range(n):
        sums[j] = 0
        item = items[j]
        if 0 <= item < known:
            bit = <uint64_t> 1 << (item & 63)
            if not marks[item >> 6] & bit:  # of an item that stands there twice, the first place gathers
                marks[item >> 6] |= bit
                slot[item] = <int32_t> j
    for j in range(anchors.shape[0]):
        x = anchors[j]
        if not 0 <= x < known or length[x] == 0:
            continue
        rarity = _rarity(total[x])
        if length[x] <= WALK_LIMIT * n:
            _walk(&entries[start[x]], length[x], rarity, &marks[0], &slot[0], &sums[0])
        else:
            _look_up(items, known, &entries[start[x]], length[x], rarity, slot, sums)
    j = 0
    while j < n:
        _scale(&items[j], min(n - j, CHUNK), known, total, &marks[0], slot, sums, &out[j])
        j += CHUNK


cdef void _walk(const uint64_t *mine, int64_t size, double rarity, const uint64_t *marks, const int32_t *slot, double *sums) noexcept nogil:
    """Add what a list says of the candidates in it. Which entries these are no branch predictor guesses, so they are gathered first, without one."""
    cdef uint64_t hits[CHUNK]
    cdef int64_t at = 0, j, met
    while at < size:
        met = 0
        for j in range(at, min(at + CHUNK, size)):
            hits[met] = mine[j]
            met += marks[mine[j] >> 38] >> (mine[j] >> 32 & 63) & 1
        for j in range(met):
            sums[slot[hits[j] >> 32]] += <double> <uint32_t> hits[j] * rarity
        at += CHUNK


cdef void _scale(const int32_t *items, int64_t n, int64_t known, const int64_t[::1] total, uint64_t *marks, const int32_t[::1] slot,
                 const double[::1] sums, float *out) noexcept nogil:
    """Turn sums of up to `CHUNK` candidates into strengths, and unmark them."""
    cdef double gathered[CHUNK]
    cdef double degree[CHUNK]
    cdef int64_t j
    cdef int32_t item
    for j in range(n):
        item = items[j]
        gathered[j], degree[j] = 0, 1
        if 0 <= item < known:
            marks[item >> 6] = 0
            gathered[j], degree[j] = sums[slot[item]], <double> max(total[item], <int64_t> 1)
    for j in range(n):
        out[j] = <float> (gathered[j] * (1 / sqrt(degree[j]))) if gathered[j] > 0 else 0


cdef void _look_up(const int32_t[::1] items, int64_t known, const uint64_t *mine, int32_t size, double rarity, const int32_t[::1] slot,
                   double[::1] sums) noexcept nogil:
    """Search a long list for the candidates, `LANES` at a time and in step, so that their cache misses overlap."""
    cdef int64_t j, n, half, lanes, lane
    cdef int64_t base[LANES]
    cdef int64_t place[LANES]
    cdef uint64_t wanted[LANES]
    cdef uint64_t entry
    cdef int32_t item
    j = 0
    while j < items.shape[0]:
        lanes = 0
        while lanes < LANES and j < items.shape[0]:
            item = items[j]
            if 0 <= item < known and slot[item] == j:
                wanted[lanes], place[lanes] = <uint64_t> item << 32, j
                lanes += 1
            j += 1
        for lane in range(lanes, LANES):
            wanted[lane] = 0
        for lane in range(LANES):
            base[lane] = 0
        n = size
        while n > 1:
            half = n >> 1
            for lane in range(LANES):
                base[lane] += half * (mine[base[lane] + half - 1] < wanted[lane])
            n -= half
        for lane in range(lanes):
            entry = mine[base[lane] + (base[lane] + 1 < size and mine[base[lane]] < wanted[lane])]
            if entry >> 32 == wanted[lane] >> 32:
                sums[place[lane]] += <double> <uint32_t> entry * rarity


cdef inline uint64_t _key(int32_t a, int32_t b) noexcept nogil:
    """Name a pair of two different items; never 0, which stands for a free slot."""
    return <uint64_t> max(a, b) << 32 | <uint64_t> min(a, b)


cdef inline uint64_t *_slot(uint64_t *pairs, int shift, uint64_t mask, uint64_t key) noexcept nogil:
    """Return the slot (key, count) of a pair, or the free one where it would stand."""
    cdef uint64_t at = key * <uint64_t> 0x9E3779B97F4A7C15 >> shift
    while pairs[2 * at] != key and pairs[2 * at] != 0:
        at = (at + 1) & mask
    return pairs + 2 * at


def rehash(const uint64_t[::1] pairs, uint64_t[::1] wider, int shift):
    """Put every pair into a table of 2 ** (64 - shift) slots, all zero before."""
    cdef int64_t at
    cdef uint64_t *slot
    with nogil:
        for at in range(0, pairs.shape[0], 2):
            if pairs[at]:
                slot = _slot(&wider[0], shift, wider.shape[0] // 2 - 1, pairs[at])
                slot[0], slot[1] = pairs[at], pairs[at + 1]


def sweep(const int32_t[::1] event_user, const int32_t[::1] event_item, const int64_t[::1] event_time, const int64_t[::1] order, const int32_t[::1] users,
          const int32_t[::1] items, const int64_t[::1] times, int64_t n_anchors, int64_t span, const int64_t[::1] start, int64_t[::1] end,
          int32_t[::1] seen, int64_t[::1] total, uint64_t[::1] pairs, int shift, int64_t[::1] progress, float[::1] out):
    """Answer the probes in `order` of time, each from the events before it; goes on from `progress` (events, probes, pairs in the table).

    `seen` gathers each user's items from start[user] to end[user]; `pairs` is the table, (key, count) by turns. Returns True when all is done, False when
    the table is more than half full.
    """
    cdef int64_t e = progress[0], p = progress[1], held = progress[2], k, x, back, row
    cdef int64_t most = pairs.shape[0] // 4, n_users = start.shape[0], known = total.shape[0]
    cdef uint64_t mask = pairs.shape[0] // 2 - 1
    cdef uint64_t *table = &pairs[0]
    cdef uint64_t *slot
    cdef int32_t user, item
    cdef bint done = True
    with nogil:
        while p < order.shape[0]:
            row = order[p]
            while e < event_time.shape[0] and event_time[e] < times[row]:
                if held + span > most:
                    done = False
                    break
                user, item = event_user[e], event_item[e]
                for back in range(1, span + 1):
                    k = end[user] - back
                    if k >= start[user] and seen[k] != item:
                        slot = _slot(table, shift, mask, _key(seen[k], item))
                        held += slot[0] == 0
                        slot[0] = _key(seen[k], item)
                        slot[1] += 1
                        total[seen[k]] += 1
                        total[item] += 1
                seen[end[user]] = item
                end[user] += 1
                e += 1
            if not done:
                break
            user, item = users[row], items[row]
            out[row] = 0
            if 0 <= user < n_users and 0 <= item < known and total[item]:
                out[row] = _probe(table, shift, mask, &seen[0] + start[user], end[user] - start[user], n_anchors, item, &total[0])
            p += 1
    progress[0], progress[1], progress[2] = e, p, held
    return done


cdef float _probe(uint64_t *table, int shift, uint64_t mask, const int32_t *seen, int64_t n, int64_t n_anchors, int32_t item,
                  const int64_t *total) noexcept nogil:
    """Sum one item's affinities to a user's latest items, an item that repeats counting at its latest place."""
    cdef int32_t anchors[MOST_ANCHORS]
    cdef uint64_t keys[MOST_ANCHORS]
    cdef int64_t back, other, size = 0
    cdef int32_t x
    cdef double gathered = 0
    cdef const uint64_t *slot
    for back in range(1, min(n, n_anchors) + 1):
        x = seen[n - back]
        for other in range(size):
            if anchors[other] == x:
                break
        else:
            anchors[size] = x
            keys[size] = _key(x, item)
            __builtin_prefetch(table + 2 * (keys[size] * <uint64_t> 0x9E3779B97F4A7C15 >> shift))
            size += 1
    for back in range(size):
        if anchors[back] != item:
            slot = _slot(table, shift, mask, keys[back])
            if slot[0]:
                gathered += <double> <int64_t> slot[1] * _rarity(total[anchors[back]])
    return <float> (gathered * _rarity(total[item])) if gathered > 0 else 0

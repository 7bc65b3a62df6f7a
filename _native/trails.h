/* What one trail (a user's events, oldest first) says at a moment: values of the user, of the current visit, and of the user with an item.
 *
 * One pass over the latest events, newest first, makes a Look; `user_of` and `pair_of` turn it into values. Serving and training tables call
 * the same functions, so they agree bit for bit. Definitions: recengine/features/{user,session,pairs}.py.
 */
#ifndef RECENGINE_TRAILS_H
#define RECENGINE_TRAILS_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#define BUCKET INT64_C(3600000000) /* microseconds in an hour: windows are aligned to it */
#define DAY 86400e6
#define QUARTER UINT64_C(21600000000)   /* of a day */
#define QUARTERS UINT64_C(213503984)    /* whole days' worth that lift every moment since 140,000 BC above 0 */
#define UNIT 1024.0                /* amounts are whole 1,024ths */
#define ENTROPY_UNIT 4294967296.0  /* terms of the entropy are whole 2^-32 bits, so that their order does not matter */
#define MOMENT_FROM INT64_C(100000000000000) /* an order below is no time */
enum { ENGAGED = 1, VIEWED = 2, CONVERTED = 4, REJECTED = 8, RATED = 16 };
#define MET_BITS 8192
enum { USER_VALUES = 17, SESSION_VALUES = 5, PAIR_VALUES = 7 };
#define TOGETHER 64 /* items that are looked up before their values are written, row by row */

typedef struct { int32_t category, brand; float price; int32_t unused; } Lane; /* 16 bytes: never on two cache lines */
typedef struct { const int64_t *indptr, *times; const Lane *lanes; int64_t items, categories, brands; int plain; } Lanes;
typedef struct { const int32_t *item; const int64_t *time; const uint8_t *flags; const double *amount; } Events;
typedef struct { int64_t windows[3], history, session; const int64_t *terms; } Lookback;
/* `idle`: since its latest event; `told` is the count and `share` the part of all, once `finished` */
typedef struct { int32_t key; union { int32_t count; float told; }; float idle, share; } Cell;
typedef struct { Cell *cells; uint32_t factor; int shift, own; } Tally; /* own: every key has its own cell */

typedef struct {
    Tally item, category, brand;
    uint64_t met[MET_BITS / 64]; /* by the hash of an item: whether it may be in the trail; most candidates are not */
    Events events;              /* of the whole trail */
    int64_t moment, first, end; /* looked at: events [first, end) */
    int timed;
    int64_t engaged, categorised, branded, priced, alike;
    int64_t entropy;            /* sum over categories of n log2 n, in 2^-32 bits */
    int32_t top_category, top_category_count, top_brand, top_brand_count;
    double price;
} Look;

static inline int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); } /* b > 0 */
static inline double since(int64_t t, int64_t time) { return (double)((uint64_t)t - (uint64_t)time); } /* t >= time; never overflows */
static inline int apart(int64_t later, int64_t time, int64_t session) { return (uint64_t)later - (uint64_t)time > (uint64_t)session; }

/* How many events of an ordered trail are before t. */
static inline int64_t before(const int64_t *time, int64_t length, int64_t t) {
    int64_t lo = 0;
    while (length > 0) {
        int64_t half = length >> 1;
        if (time[lo + half] < t) lo += half + 1, length -= half + 1;
        else length = half;
    }
    return lo;
}

/* The version of an item that counts at t. */
static inline Lane lane_at(const Lanes *l, int32_t item, int64_t t) {
    const Lane none = {-1, -1, NAN, 0};
    if (item < 0 || item >= l->items) return none;
    if (l->plain) return l->lanes[item];
    int64_t lo = l->indptr[item], n = l->indptr[item + 1] - lo;
    while (n > 0) { /* the first version after t */
        int64_t half = n >> 1;
        if (l->times[lo + half] <= t) lo += half + 1, n -= half + 1;
        else n = half;
    }
    return lo > l->indptr[item] ? l->lanes[lo - 1] : none;
}

#define FEW 1024 /* keys that get a cell each where many items are asked about: no branch predictor guesses which of them collide */

/* How many cells a tally of so many events takes at most: an open hash has twice as many cells as keys or more. */
static inline int64_t most_cells(int64_t events, int items) {
    int64_t size = items ? FEW : 32;
    while (size < 4 * events) size *= 2;
    return size;
}

static const Cell NEVER = {.key = -1, .idle = NAN}; /* what was not met */

#define GOLDEN UINT32_C(2654435769) /* 2^32 / golden ratio: Knuth, The Art of Computer Programming 3, section 6.4 */

/* Begin a tally of events by keys 0 .. `keys` - 1: every key has its own cell where they are few. Returns where the room ends. */
static inline Cell *tally_over(Tally *tally, Cell *cells, int64_t events, int64_t keys, int items) {
    const int few = items && keys <= FEW;
    int bits = 4;
    while (((INT64_C(1) << bits) < 2 * events || few) && (INT64_C(1) << bits) < keys) bits++;
    int own = keys <= INT64_C(2) << bits;
    bits += own && keys > INT64_C(1) << bits;
    tally->cells = cells;
    tally->shift = 32 - bits;
    tally->factor = own ? UINT32_C(1) << tally->shift : GOLDEN;
    tally->own = own;
    for (Cell *end = cells + (INT64_C(1) << bits); cells < end; cells++) *cells = NEVER;
    return cells;
}

/* The cell of a key, or the empty one that it would have. */
static inline Cell *cell_of(const Tally *tally, int32_t key) {
    if (tally->own) return tally->cells + key; /* whether it was met no branch predictor guesses */
    uint32_t mask = (UINT32_C(1) << (32 - tally->shift)) - 1, at = (uint32_t)key * tally->factor >> tally->shift;
    while ((tally->cells[at].key != key) & (tally->cells[at].key >= 0)) at = (at + 1) & mask;
    return tally->cells + at;
}

static inline float idle_at(int64_t t, int64_t time, int timed) { return timed ? (float)(since(t, time) / DAY) : NAN; }

/* Count one event; the latest comes first. Returns how often the key came. */
static inline int32_t tally_add(Tally *tally, int32_t key, int64_t t, int64_t time, int timed) {
    Cell *cell = cell_of(tally, key);
    if (cell->key < 0) {
        cell->key = key;
        cell->idle = idle_at(t, time, timed);
    }
    return ++cell->count;
}

/* The commonest key so far: its count only grows, so the first to reach the most is compared with all others that do. */
static inline void raise_top(int32_t key, int32_t count, int32_t *top, int32_t *most) {
    if (count > *most || (count == *most && key < *top)) {
        *most = count;
        *top = key;
    }
}

/* Visits among the events looked at, and those with one event. */
static inline void count_visits(const Look *k, int64_t session, int64_t *visits, int64_t *single) {
    const int64_t *time = k->events.time;
    int starts = 1;
    *visits = *single = 0;
    for (int64_t i = k->first; i < k->end; i++) {
        int ends = i + 1 == k->end || apart(time[i + 1], time[i], session);
        *visits += ends;
        *single += starts & ends;
        starts = ends;
    }
}

static inline int64_t count_marked(const uint8_t *flags, int64_t first, int64_t end, int mark) {
    int64_t n = 0;
    for (int64_t i = first; i < end; i++) n += (flags[i] & mark) == mark;
    return n;
}

/* The sum of what is marked: eight sums side by side, then those in order. */
static inline double sum_marked(Events e, int64_t first, int64_t end, int mark) {
    double sums[8] = {0}, sum = 0;
    int64_t i = first;
    for (; i + 8 <= end; i += 8)
        for (int s = 0; s < 8; s++) {
            const double amount = e.amount[i + s];
            sums[s] += e.flags[i + s] & mark ? amount : 0;
        }
    for (int s = 0; i < end; i++, s++) sums[s] += e.flags[i] & mark ? e.amount[i] : 0;
    for (int s = 0; s < 8; s++) sum += sums[s];
    return sum;
}

static inline uint32_t met_bit(int32_t item) { return ((uint32_t)item * GOLDEN) / (uint32_t)(0x100000000 / MET_BITS); }
static inline int quarter_of(int64_t time) { return (int)(((uint64_t)time + QUARTERS * QUARTER) / QUARTER & 3); }

/* Read the latest events of a trail before t. `cells`: room for three tallies, or two where no `items` are wanted. */
static inline void look_at(Look *k, Events e, int64_t length, int timed, const Lanes *lanes, int64_t t, const Lookback *b, Cell *cells, int items) {
    const int64_t end = before(e.time, length, t), first = end > b->history ? end - b->history : 0;
    const int quarter = quarter_of(t);
    timed = timed && t >= MOMENT_FROM;
    int64_t engaged = 0, categorised = 0, branded = 0, priced = 0, alike = 0, entropy = 0;
    int32_t category = 0, category_count = 0, brand = 0, brand_count = 0;
    double price = 0;
    Tally items_of = {0}, categories, brands;
    cells = tally_over(&categories, cells, end - first, lanes->categories, items);
    cells = tally_over(&brands, cells, end - first, lanes->brands, items);
    if (items) {
        tally_over(&items_of, cells, end - first, INT64_C(1) << 31, items);
        memset(k->met, 0, sizeof k->met);
    }
    for (int64_t i = end - 1; i >= first; i--) {
        if (!(e.flags[i] & ENGAGED)) continue;
        const Lane lane = lane_at(lanes, e.item[i], t);
        const int64_t time = e.time[i];
        engaged++;
        alike += quarter_of(time) == quarter;
        if (items) {
            const uint32_t bit = met_bit(e.item[i]);
            k->met[bit / 64] |= UINT64_C(1) << bit % 64;
            tally_add(&items_of, e.item[i], t, time, timed);
        }
        if (lane.category >= 0) {
            int32_t count = tally_add(&categories, lane.category, t, time, timed);
            categorised++;
            entropy += b->terms[count] - b->terms[count - 1];
            raise_top(lane.category, count, &category, &category_count);
        }
        if (lane.brand >= 0) {
            branded++;
            raise_top(lane.brand, tally_add(&brands, lane.brand, t, time, timed), &brand, &brand_count);
        }
        if (lane.price == lane.price) {
            priced++;
            price += (double)lane.price;
        }
    }
    k->item = items_of, k->category = categories, k->brand = brands;
    k->events = e, k->moment = t, k->first = first, k->end = end, k->timed = timed;
    k->engaged = engaged, k->categorised = categorised, k->branded = branded, k->priced = priced, k->alike = alike;
    k->entropy = entropy, k->price = price;
    k->top_category = category, k->top_category_count = category_count, k->top_brand = brand, k->top_brand_count = brand_count;
}

static inline float ratio(double part, int64_t whole) { return whole ? (float)(part / (double)whole) : NAN; }
static inline float when(int known, double value) { return known ? (float)value : NAN; }

/* The values of the user and of the current visit. */
static void user_of(const Look *k, const Lookback *b, float *out) {
    const Events e = k->events;
    const int64_t bucket = floor_div(k->moment, BUCKET);
    const int some = k->end > 0;
    int64_t visits = 0, single = 0, opens = 0;
    if (k->timed) count_visits(k, b->session, &visits, &single);
    for (int w = 0; w < 3; w++) {
        if (k->timed) opens = before(e.time, k->end, (bucket - b->windows[w] + 1) * BUCKET);
        if (opens < k->first) opens = k->first;
        *out++ = when(k->timed, (double)count_marked(e.flags, opens, k->end, ENGAGED));
    }
    *out++ = (float)count_marked(e.flags, 0, k->end, ENGAGED);
    *out++ = when(k->timed && some, some ? (double)(bucket - floor_div(e.time[k->end - 1], BUCKET)) / 24 : 0);
    *out++ = when(k->timed && some, some ? (double)(bucket - floor_div(e.time[0], BUCKET)) / 24 : 0);
    *out++ = when(k->timed, sum_marked(e, opens, k->end, CONVERTED) / UNIT);
    *out++ = (float)(sum_marked(e, 0, k->end, CONVERTED) / UNIT);
    *out++ = ratio((double)count_marked(e.flags, k->first, k->end, ENGAGED | CONVERTED), k->engaged);
    *out++ = k->categorised ? (float)((double)(b->terms[k->categorised] - k->entropy) / ((double)k->categorised * ENTROPY_UNIT)) : NAN;
    *out++ = when(k->categorised > 0, k->top_category);
    *out++ = ratio(k->top_category_count, k->categorised);
    *out++ = when(k->branded > 0, k->top_brand);
    *out++ = ratio(k->price, k->priced);
    *out++ = ratio(sum_marked(e, k->first, k->end, RATED) / UNIT, count_marked(e.flags, k->first, k->end, RATED));
    *out++ = k->timed ? ratio((double)k->alike, k->engaged) : NAN;
    *out++ = k->timed ? ratio((double)single, visits) : NAN;
    int64_t i = k->end, views = 0, others = 0, conversions = 0;
    if (k->timed && k->end > k->first && !apart(k->moment, e.time[k->end - 1], b->session)) {
        do {
            const int flags = e.flags[--i];
            views += (flags & (ENGAGED | VIEWED)) == (ENGAGED | VIEWED);
            conversions += (flags & (ENGAGED | CONVERTED)) == (ENGAGED | CONVERTED);
            others += (flags & (ENGAGED | VIEWED | CONVERTED)) == ENGAGED;
        } while (i > k->first && !apart(e.time[i], e.time[i - 1], b->session));
    }
    *out++ = when(k->timed, i < k->end ? since(k->moment, e.time[i]) / (double)BUCKET : 0);
    *out++ = when(k->timed, (double)views);
    *out++ = when(k->timed, (double)others);
    *out++ = when(k->timed, (double)conversions);
    *out++ = when(k->timed, (double)(k->end - i));
}

static inline float share_of(const Look *k, int32_t count) { return ratio(count, k->categorised); }

static const Cell MISSING = {.key = -1, .told = NAN, .idle = NAN, .share = NAN}; /* of what has no category or no brand */

/* Counts of all cells of a tally become numbers, and shares are filled in. Returns what was never met, the same way. */
static inline Cell finished(const Look *k, const Tally *tally) {
    Cell never = NEVER;
    if (tally->cells)
        for (Cell *cell = tally->cells, *end = cell + (INT64_C(1) << (32 - tally->shift)); cell < end; cell++) {
            cell->share = share_of(k, cell->count);
            cell->told = (float)cell->count;
        }
    never.share = share_of(k, 0);
    never.told = 0;
    return never;
}

/* One user with many items: those rows of out (PAIR_VALUES, n) that are `wanted`, a bit each. */
static void pairs_of(const Look *k, const Lanes *lanes, const int32_t *items, int64_t n, unsigned wanted, float *out) {
    const Cell never = finished(k, &k->item);
    finished(k, &k->category);
    finished(k, &k->brand);
    const Cell *item[TOGETHER], *category[TOGETHER], *brand[TOGETHER];
    for (int64_t begin = 0; begin < n; begin += TOGETHER) {
        const int rows = n - begin < TOGETHER ? (int)(n - begin) : TOGETHER;
        for (int j = 0; j < rows; j++) {
            const int32_t asked = items[begin + j];
            const Lane lane = lane_at(lanes, asked, k->moment);
            category[j] = lane.category >= 0 ? cell_of(&k->category, lane.category) : &MISSING;
            brand[j] = lane.brand >= 0 ? cell_of(&k->brand, lane.brand) : &MISSING;
            const uint32_t bit = met_bit(asked);
            item[j] = &never;
            if (k->met[bit / 64] >> bit % 64 & (asked >= 0)) item[j] = cell_of(&k->item, asked);
        }
        for (int v = 0; v < PAIR_VALUES; v++) {
            const Cell **cells = v < 2 ? item : v < 5 ? category : brand;
            float *row = out + v * n + begin;
            if (!(wanted >> v & 1)) continue;
            if (v == 0 || v == 2 || v == 5)
                for (int j = 0; j < rows; j++) row[j] = cells[j]->told;
            else if (v == 3)
                for (int j = 0; j < rows; j++) row[j] = cells[j]->share;
            else
                for (int j = 0; j < rows; j++) row[j] = cells[j]->idle;
        }
    }
}

/* One probe of a table: all values of a user with one item, `out[j * stride]`. */
static void row_of(Events events, int64_t length, int timed, const Lanes *lanes, int64_t t, const Lookback *b, int32_t item, Cell *cells,
                   float *out, int64_t stride) {
    Look k;
    float own[USER_VALUES + SESSION_VALUES];
    Cell met = NEVER;
    look_at(&k, events, length, timed, lanes, t, b, cells, 0);
    user_of(&k, b, own);
    for (int j = 0; j < USER_VALUES + SESSION_VALUES; j++) out[j * stride] = own[j];
    for (int64_t i = k.first; i < k.end; i++)
        if (events.item[i] == item && (events.flags[i] & ENGAGED)) {
            met.count++;
            met.idle = idle_at(t, events.time[i], k.timed);
        }
    const Lane lane = lane_at(lanes, item, t);
    const Cell category = lane.category >= 0 ? *cell_of(&k.category, lane.category) : NEVER;
    const Cell brand = lane.brand >= 0 ? *cell_of(&k.brand, lane.brand) : NEVER;
    out += (USER_VALUES + SESSION_VALUES) * stride;
    out[0] = (float)met.count;
    out[stride] = met.idle;
    out[2 * stride] = when(lane.category >= 0, category.count);
    out[3 * stride] = lane.category >= 0 ? share_of(&k, category.count) : NAN;
    out[4 * stride] = category.idle;
    out[5 * stride] = when(lane.brand >= 0, brand.count);
    out[6 * stride] = brand.idle;
}
#endif

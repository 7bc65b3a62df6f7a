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
#define UNIT 1024.0                /* amounts are whole 1,024ths */
#define ENTROPY_UNIT 4294967296.0  /* terms of the entropy are whole 2^-32 bits, so that their order does not matter */
#define MOMENT_FROM INT64_C(100000000000000) /* an order below is no time */
enum { ENGAGED = 1, VIEWED = 2, CONVERTED = 4, REJECTED = 8, RATED = 16 };
enum { USER_VALUES = 17, SESSION_VALUES = 5, PAIR_VALUES = 7 };

typedef struct { int32_t category, brand; float price; int32_t unused; } Lane; /* 16 bytes: never on two cache lines */
typedef struct { const int64_t *indptr, *times; const Lane *lanes; int64_t items; int plain; } Lanes;
typedef struct { const int32_t *item; const int64_t *time; const uint8_t *flags; const double *amount; } Events;
typedef struct { int64_t windows[3], history, session; const int64_t *terms; } Lookback;
typedef struct { int32_t key, count, last; } Cell; /* `last`: place of its latest event */
typedef struct { Cell *cells; int shift; } Tally;

typedef struct {
    Tally item, category, brand;
    Events events;           /* of the whole trail */
    int64_t moment, first, end; /* looked at: events [first, end) */
    int timed;
    int64_t engaged, converted, window[3], categorised, branded, priced, rated, alike, visits, single;
    int64_t entropy;         /* sum over categories of n log2 n, in 2^-32 bits */
    int32_t top_category, top_category_count, top_brand, top_brand_count;
    double spend, price, rating;
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

/* An open hash of at least twice as many cells as keys; `cells` has room for that. Returns where the room ends. */
static inline Cell *tally_over(Tally *tally, Cell *cells, int64_t keys) {
    int bits = 4;
    while ((INT64_C(1) << bits) < 2 * keys) bits++;
    tally->cells = cells;
    tally->shift = 32 - bits;
    memset(cells, 0xff, sizeof(Cell) << bits);
    return cells + (INT64_C(1) << bits);
}

static inline Cell *cell_of(const Tally *tally, int32_t key) {
    uint32_t mask = (UINT32_C(1) << (32 - tally->shift)) - 1, at = (uint32_t)key * UINT32_C(2654435769) >> tally->shift;
    while (tally->cells[at].key != key && tally->cells[at].key >= 0) at = (at + 1) & mask;
    return tally->cells + at;
}

/* Count one event at place `at`; places come in falling order. Returns how often the key came. */
static inline int32_t tally_add(Tally *tally, int32_t key, int32_t at) {
    Cell *cell = cell_of(tally, key);
    if (cell->key < 0) {
        cell->key = key;
        cell->count = 0;
        cell->last = at;
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

static void count_visits(Look *k, int64_t session) {
    const int64_t *time = k->events.time;
    int starts = 1;
    k->visits = k->single = 0;
    for (int64_t i = k->first; i < k->end; i++) {
        int ends = i + 1 == k->end || apart(time[i + 1], time[i], session);
        k->visits += ends;
        k->single += starts & ends;
        starts = ends;
    }
}

/* Read the latest events of a trail before t. `cells`: room for three tallies, or two where no `items` are wanted. */
static void look_at(Look *k, Events events, int64_t length, int timed, const Lanes *lanes, int64_t t, const Lookback *b, Cell *cells, int items) {
    memset(k, 0, sizeof *k);
    k->events = events;
    k->moment = t;
    k->end = before(events.time, length, t);
    k->first = k->end > b->history ? k->end - b->history : 0;
    k->timed = timed && t >= MOMENT_FROM;
    cells = tally_over(&k->category, cells, k->end - k->first);
    cells = tally_over(&k->brand, cells, k->end - k->first);
    if (items) tally_over(&k->item, cells, k->end - k->first);
    const int64_t bucket = floor_div(t, BUCKET), quarter = floor_div(t, 6 * BUCKET) & 3;
    int64_t opens[3] = {0, 0, 0}; /* the first moment inside each window */
    if (k->timed) {
        for (int w = 0; w < 3; w++) opens[w] = (bucket - b->windows[w] + 1) * BUCKET;
        count_visits(k, b->session);
    }
    for (int64_t i = k->end - 1; i >= k->first; i--) {
        const int flags = events.flags[i];
        if (flags & RATED) {
            k->rated++;
            k->rating += events.amount[i];
        }
        if (!(flags & ENGAGED)) continue;
        const int64_t time = events.time[i];
        k->engaged++;
        k->converted += (flags & CONVERTED) != 0;
        if (k->timed) {
            for (int w = 0; w < 3; w++) k->window[w] += time >= opens[w];
            if ((flags & CONVERTED) && time >= opens[2]) k->spend += events.amount[i];
            k->alike += (floor_div(time, 6 * BUCKET) & 3) == quarter;
        }
        const Lane lane = lane_at(lanes, events.item[i], t);
        const int32_t at = (int32_t)(i - k->first);
        if (items) tally_add(&k->item, events.item[i], at);
        if (lane.category >= 0) {
            int32_t count = tally_add(&k->category, lane.category, at);
            k->categorised++;
            k->entropy += b->terms[count] - b->terms[count - 1];
            raise_top(lane.category, count, &k->top_category, &k->top_category_count);
        }
        if (lane.brand >= 0) {
            k->branded++;
            raise_top(lane.brand, tally_add(&k->brand, lane.brand, at), &k->top_brand, &k->top_brand_count);
        }
        if (lane.price == lane.price) {
            k->priced++;
            k->price += (double)lane.price;
        }
    }
}

static inline float ratio(double part, int64_t whole) { return whole ? (float)(part / (double)whole) : NAN; }
static inline float when(int known, double value) { return known ? (float)value : NAN; }

/* The values of the user and of the current visit. */
static void user_of(const Look *k, const Lookback *b, float *out) {
    const Events e = k->events;
    const int64_t bucket = floor_div(k->moment, BUCKET);
    const int some = k->end > 0;
    int64_t engaged = 0;
    double spend = 0;
    for (int64_t i = 0; i < k->end; i++) engaged += e.flags[i] & ENGAGED;
    for (int64_t i = k->end - 1; i >= 0; i--) if (e.flags[i] & CONVERTED) spend += e.amount[i];
    for (int w = 0; w < 3; w++) *out++ = when(k->timed, (double)k->window[w]);
    *out++ = (float)engaged;
    *out++ = when(k->timed && some, some ? (double)(bucket - floor_div(e.time[k->end - 1], BUCKET)) / 24 : 0);
    *out++ = when(k->timed && some, some ? (double)(bucket - floor_div(e.time[0], BUCKET)) / 24 : 0);
    *out++ = when(k->timed, k->spend / UNIT);
    *out++ = (float)(spend / UNIT);
    *out++ = ratio((double)k->converted, k->engaged);
    *out++ = k->categorised ? (float)((double)(b->terms[k->categorised] - k->entropy) / ((double)k->categorised * ENTROPY_UNIT)) : NAN;
    *out++ = when(k->categorised > 0, k->top_category);
    *out++ = ratio(k->top_category_count, k->categorised);
    *out++ = when(k->branded > 0, k->top_brand);
    *out++ = ratio(k->price, k->priced);
    *out++ = ratio(k->rating / UNIT, k->rated);
    *out++ = k->timed ? ratio((double)k->alike, k->engaged) : NAN;
    *out++ = k->timed ? ratio((double)k->single, k->visits) : NAN;
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

static inline float idle(const Look *k, int32_t count, int32_t last) {
    return k->timed && count > 0 ? (float)(since(k->moment, k->events.time[k->first + last]) / DAY) : NAN;
}

/* The values of the user with one item; its events were counted by whoever calls. */
static inline void pair_of(const Look *k, const Lanes *lanes, int32_t item, int32_t count, int32_t last, float *out, int64_t stride) {
    const Lane lane = lane_at(lanes, item, k->moment);
    const Cell none = {-1, 0, -1};
    const Cell *category = lane.category >= 0 ? cell_of(&k->category, lane.category) : &none;
    const Cell *brand = lane.brand >= 0 ? cell_of(&k->brand, lane.brand) : &none;
    const int32_t same_category = category->key >= 0 ? category->count : 0, same_brand = brand->key >= 0 ? brand->count : 0;
    out[0] = (float)count;
    out[stride] = idle(k, count, last);
    out[2 * stride] = when(lane.category >= 0, same_category);
    out[3 * stride] = lane.category >= 0 ? ratio(same_category, k->categorised) : NAN;
    out[4 * stride] = idle(k, same_category, category->last);
    out[5 * stride] = when(lane.brand >= 0, same_brand);
    out[6 * stride] = idle(k, same_brand, brand->last);
}

/* One user with many items: out (PAIR_VALUES, n). */
static void pairs_of(const Look *k, const Lanes *lanes, const int32_t *items, int64_t n, float *out) {
    for (int64_t j = 0; j < n; j++) {
        const Cell *cell = items[j] >= 0 ? cell_of(&k->item, items[j]) : NULL;
        const int met = cell && cell->key >= 0;
        pair_of(k, lanes, items[j], met ? cell->count : 0, met ? cell->last : -1, out + j, n);
    }
}

/* One probe of a table: all values of a user with one item, `out[j * stride]`. */
static void row_of(Events events, int64_t length, int timed, const Lanes *lanes, int64_t t, const Lookback *b, int32_t item, Cell *cells,
                   float *out, int64_t stride) {
    Look k;
    float own[USER_VALUES + SESSION_VALUES];
    int32_t count = 0, last = -1;
    look_at(&k, events, length, timed, lanes, t, b, cells, 0);
    user_of(&k, b, own);
    for (int j = 0; j < USER_VALUES + SESSION_VALUES; j++) out[j * stride] = own[j];
    for (int64_t i = k.first; i < k.end; i++)
        if (events.item[i] == item && (events.flags[i] & ENGAGED)) {
            count++;
            last = (int32_t)(i - k.first);
        }
    pair_of(&k, lanes, item, count, last, out + (USER_VALUES + SESSION_VALUES) * stride, stride);
}
#endif

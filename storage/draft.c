/*
 * draft.c - see draft.h.
 *
 * Octets are copied to the blocks in runs of whole lines, up to the next that begins with a dot; what
 * was copied is then looked at once more while it is in the cache, for NULs and for the checksum.
 *
 * Invariants
 *   1. The octets are: those of the file, then those of the blocks from `first` to `last`.
 *   2. Blocks behind `last` are empty: left over from before the last spill, to be filled again.
 *   3. Every octet but a held dot is counted, and the checksum is over all of them.
 */
#include "storage/draft.h"

#include "io/base/crc32c.h"
#include "io/base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define PIECE_OCTETS    131072u /* read of the file at once */
#define TEXT_OCTETS_MIN 32u     /* of text encoded at once, unless there is less */
#define FILE_MODE       0600

/* What NUL is stored as: a span holds none (docs/FORMAT.md). */
#define NUL_STAND_IN ((char)0x80)

struct draft_block {
	struct draft_block *next;
	uint32_t used;
	char octets[];
};

#define BLOCK_ROOM ((uint32_t)(DRAFT_BLOCK_OCTETS - sizeof(struct draft_block)))

static_assert(BLOCK_ROOM > WIRE_ENCODED_MAX(TEXT_OCTETS_MIN), "a block has room for some text");

enum draft_kind {
	DRAFT_EMPTY,
	DRAFT_WIRE,
	DRAFT_TEXT,
};

struct draft {
	struct draft_pool *pool;
	struct draft_block *first;
	struct draft_block *last; /* that has octets, or may take the next */
	uint32_t block_count;
	enum draft_kind kind;
	bool holds_dot; /* a line has begun with a dot whose fate the next octet decides */
	bool has_ended;
	int failed;
	uint32_t checked; /* octets of `last` that are in the checksum */
	uint32_t crc;
	struct wire_counter counter; /* the counts of either kind */
	struct wire_encoder encoder;
	int file_fd; /* -1: nothing was spilled */
	uint64_t file_octets;
};

void
draft_pool_init(struct draft_pool *p, const struct disk *disk, const struct draft_options *o)
{
	*p = (struct draft_pool){
		.disk = disk,
		.memory_octets_max = o->memory_octets_max,
		.octets_max = o->octets_max,
	};
	if (p->octets_max == 0 || p->octets_max > WIRE_MESSAGE_OCTETS_MAX)
		p->octets_max = WIRE_MESSAGE_OCTETS_MAX;
	slab_init(&p->drafts, sizeof(struct draft), o->drafts_max);
	slab_init(&p->blocks, DRAFT_BLOCK_OCTETS, o->blocks_max);
}

void
draft_pool_destroy(struct draft_pool *p)
{
	slab_destroy(&p->blocks);
	slab_destroy(&p->drafts);
}

struct draft *
draft_begin(struct draft_pool *p)
{
	struct draft *d = slab_take(&p->drafts);

	if (d == NULL)
		return NULL;
	*d = (struct draft){ .pool = p, .file_fd = -1 };
	wire_encoder_init(&d->encoder);
	return d;
}

static void
give_blocks(struct draft *d)
{
	while (d->first != NULL) {
		struct draft_block *block = d->first;

		d->first = block->next;
		slab_give(&d->pool->blocks, block);
	}
	d->last = NULL;
	d->block_count = 0;
	d->checked = 0;
}

void
draft_close_file(struct draft *d)
{
	if (d->file_fd >= 0)
		disk_close(d->pool->disk, d->file_fd);
	d->file_fd = -1;
}

void
draft_free(struct draft *d)
{
	if (d == NULL)
		return;
	give_blocks(d);
	draft_close_file(d);
	slab_give(&d->pool->drafts, d);
}

/* ---- room ---------------------------------------------------------------------------------- */

/* Octets new to the last block: NULs out, checksum over them. */
static void
check_new(struct draft *d)
{
	char *at;
	char *nul;
	size_t length;

	if (d->last == NULL)
		return;
	at = d->last->octets + d->checked;
	length = d->last->used - d->checked;
	while ((nul = memchr(at, '\0', length)) != NULL)
		*nul = NUL_STAND_IN;
	d->crc = crc32c(d->crc, at, length);
	d->checked = d->last->used;
}

static uint32_t
room_of(const struct draft_block *block)
{
	return block == NULL ? 0 : BLOCK_ROOM - block->used;
}

/* One block more in use: -EAGAIN or -ENOMEM, as the header says. */
static int
add_block(struct draft *d)
{
	struct draft_block *block = d->last == NULL ? d->first : d->last->next;

	if (block == NULL) {
		bool has_octets = d->last != NULL;

		if (has_octets && (d->block_count + 1) * BLOCK_ROOM > d->pool->memory_octets_max)
			return -EAGAIN;
		block = slab_take(&d->pool->blocks);
		if (block == NULL)
			return has_octets ? -EAGAIN : -ENOMEM;
		*block = (struct draft_block){ .next = NULL };
		if (d->last == NULL)
			d->first = block;
		else
			d->last->next = block;
		d->block_count++;
	}
	check_new(d);
	d->last = block;
	d->checked = 0;
	return 0;
}

/* At least `octets` side by side; 0: they are to be had at last->octets + last->used. */
static int
have_room(struct draft *d, uint32_t octets)
{
	return room_of(d->last) >= octets ? 0 : add_block(d);
}

static int
fail(struct draft *d, int error)
{
	d->failed = error;
	give_blocks(d);
	return error;
}

static int
begin_put(struct draft *d, enum draft_kind kind)
{
	must(!d->has_ended && (d->kind == kind || d->kind == DRAFT_EMPTY));
	d->kind = kind;
	return d->failed;
}

static int
end_put(struct draft *d, int error)
{
	check_new(d);
	if (d->counter.counts.octets > d->pool->octets_max)
		error = fail(d, -EFBIG);
	return error;
}

/* ---- wire form ----------------------------------------------------------------------------- */

/* Copy a run, there being room for it. */
static void
copy(struct draft *d, struct span run)
{
	memcpy(d->last->octets + d->last->used, run.at, run.length);
	d->last->used += (uint32_t)run.length;
	wire_count(&d->counter, run);
}

/* What begins a line is looked at; -EAGAIN, -ENOMEM. */
static int
put_line_start(struct draft *d, struct span *octets)
{
	int error;

	if (!d->holds_dot && *octets->at == '.') {
		d->holds_dot = true;
		*octets = span_after(*octets, 1);
		return 0;
	}
	error = have_room(d, 2);
	if (error != 0)
		return error;
	if (d->holds_dot && *octets->at == '.')
		copy(d, SPAN("."));
	d->holds_dot = false;
	copy(d, span_of(octets->at, 1));
	*octets = span_after(*octets, 1);
	return 0;
}

/* From within a line up to a dot that begins one, or to the end. */
static size_t
lines_octets(const char *at, size_t length)
{
	size_t octets = 0;

	do {
		const char *lf = memchr(at + octets, '\n', length - octets);

		if (lf == NULL)
			return length;
		octets = (size_t)(lf + 1 - at);
	} while (octets < length && at[octets] != '.');
	return octets;
}

static int
put_lines(struct draft *d, struct span *octets)
{
	int error = have_room(d, 1);
	uint32_t room = room_of(d->last);
	size_t length = octets->length < room ? octets->length : room;

	if (error != 0)
		return error;
	length = lines_octets(octets->at, length);
	copy(d, span_of(octets->at, length));
	*octets = span_after(*octets, length);
	return 0;
}

int
draft_put_wire(struct draft *d, struct span *octets)
{
	int error = begin_put(d, DRAFT_WIRE);

	if (error != 0)
		return error;
	while (error == 0 && octets->length > 0)
		error = d->counter.line_octets == 0 ? put_line_start(d, octets)
						    : put_lines(d, octets);
	return end_put(d, error);
}

/* ---- text ---------------------------------------------------------------------------------- */

static int
put_text_piece(struct draft *d, struct span *octets)
{
	size_t length = octets->length < TEXT_OCTETS_MIN ? octets->length : TEXT_OCTETS_MIN;
	int error = have_room(d, (uint32_t)WIRE_ENCODED_MAX(length));
	size_t most;

	if (error != 0)
		return error;
	most = (room_of(d->last) - 2) / 2;
	length = octets->length < most ? octets->length : most;
	d->last->used += (uint32_t)wire_encode(
		&d->encoder, span_of(octets->at, length), d->last->octets + d->last->used);
	*octets = span_after(*octets, length);
	return 0;
}

int
draft_put_text(struct draft *d, struct span *octets)
{
	int error = begin_put(d, DRAFT_TEXT);

	if (error != 0)
		return error;
	while (error == 0 && octets->length > 0)
		error = put_text_piece(d, octets);
	d->counter.counts = d->encoder.counts;
	return end_put(d, error);
}

/* ---- the file ------------------------------------------------------------------------------ */

/* A file that no path names.  Where the file system has no such thing, one whose name is taken away
 * at once; only a crash in between leaves it behind. */
static int
open_unnamed(const struct disk *disk)
{
	char name[sizeof("draft.0123456789abcdef")];
	uint64_t number;
	int fd = disk_open(disk, ".", O_TMPFILE | O_RDWR, FILE_MODE);

	if (fd != -EOPNOTSUPP)
		return fd;
	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -EIO;
	snprintf(name, sizeof(name), "draft.%016llx", (unsigned long long)number);
	fd = disk_open(disk, name, O_CREAT | O_EXCL | O_RDWR, FILE_MODE);
	if (fd >= 0)
		disk_unlink(disk, name);
	return fd;
}

int
draft_spill(struct draft *d)
{
	const struct disk *disk = d->pool->disk;
	int error = d->failed;

	must(!d->has_ended);
	if (error == 0 && d->file_fd < 0) {
		d->file_fd = open_unnamed(disk);
		error = d->file_fd < 0 ? d->file_fd : 0;
	}
	for (struct draft_block *b = d->first; error == 0 && b != NULL; b = b->next) {
		error = disk_write_at(
			disk, d->file_fd, span_of(b->octets, b->used), d->file_octets);
		d->file_octets += b->used;
		b->used = 0;
	}
	d->last = NULL;
	d->checked = 0;
	d->failed = error;
	return error;
}

/* ---- the whole message --------------------------------------------------------------------- */

int
draft_end(struct draft *d)
{
	int error = d->failed;

	must(!d->has_ended);
	if (error == 0 && d->kind == DRAFT_TEXT) {
		error = have_room(d, 2);
		if (error != 0)
			return error;
		d->last->used +=
			(uint32_t)wire_encode_end(&d->encoder, d->last->octets + d->last->used);
		d->counter.counts = d->encoder.counts;
	} else if (error == 0 && (!wire_count_end(&d->counter) || d->holds_dot)) {
		error = fail(d, -EINVAL);
	}
	if (error == 0)
		error = end_put(d, 0);
	d->has_ended = error == 0;
	return error;
}

const struct wire_counts *
draft_counts(const struct draft *d)
{
	must(d->has_ended);
	return &d->counter.counts;
}

uint32_t
draft_crc(const struct draft *d)
{
	must(d->has_ended);
	return d->crc;
}

bool
draft_is_spilled(const struct draft *d)
{
	return d->file_octets > 0;
}

static int
each_of_file(const struct draft *d, int (*take)(void *ctx, struct span piece), void *ctx)
{
	uint64_t done = 0;
	char *piece = malloc(PIECE_OCTETS);
	int error = piece == NULL ? -ENOMEM : 0;

	while (error == 0 && done < d->file_octets) {
		uint64_t left = d->file_octets - done;
		size_t want = left < PIECE_OCTETS ? (size_t)left : PIECE_OCTETS;
		ssize_t n = disk_read_at(d->pool->disk, d->file_fd, piece, want, done);

		if (n == (ssize_t)want)
			error = take(ctx, span_of(piece, want));
		else
			error = n < 0 ? (int)n : -EIO;
		done += want;
	}
	free(piece);
	return error;
}

int
draft_each(const struct draft *d, int (*take)(void *ctx, struct span piece), void *ctx)
{
	int error = 0;

	must(d->has_ended);
	if (draft_is_spilled(d))
		error = each_of_file(d, take, ctx);
	if (d->last == NULL)
		return error;
	for (const struct draft_block *b = d->first; error == 0; b = b->next) {
		if (b->used > 0)
			error = take(ctx, span_of(b->octets, b->used));
		if (b == d->last)
			break;
	}
	return error;
}

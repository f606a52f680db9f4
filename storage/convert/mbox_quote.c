/*
 * mbox_quote.c - mboxrd quoting: one ">" more or less before >*From_ lines.
 *
 * Invariant: while at_line_start, `quotes` octets ">" and then `matched` octets of "From " have
 * come in and are not out yet.  So nothing is held back but two numbers, however long the line.
 */
#include "storage/convert/mbox.h"

static const struct span from_word = { "From ", 5 };

void
mbox_quoter_init(struct mbox_quoter *q, enum mbox_quoting quoting)
{
	*q = (struct mbox_quoter){ .quoting = quoting, .at_line_start = true };
}

static int
put_quotes(uint64_t count, int (*put)(void *ctx, struct span out), void *ctx)
{
	static const char run[] = ">>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>";

	while (count > 0) {
		size_t length = count < sizeof(run) - 1 ? (size_t)count : sizeof(run) - 1;
		int error = put(ctx, span_of(run, length));

		if (error != 0)
			return error;
		count -= length;
	}
	return 0;
}

/* What was held back is decided on: it goes out. */
static int
release(struct mbox_quoter *q, int (*put)(void *ctx, struct span out), void *ctx)
{
	uint64_t quotes = q->quotes;
	int error;

	if (q->matched == from_word.length && q->quoting == MBOX_QUOTE)
		quotes++;
	if (q->matched == from_word.length && q->quoting == MBOX_UNQUOTE && quotes > 0)
		quotes--;
	error = put_quotes(quotes, put, ctx);
	if (error == 0 && q->matched > 0)
		error = put(ctx, span_of(from_word.at, q->matched));
	q->quotes = 0;
	q->matched = 0;
	q->at_line_start = false;
	return error;
}

/* One octet at the start of a line; false: it does not belong to >*From_ any more. */
static bool
take(struct mbox_quoter *q, char c)
{
	if (q->matched == 0 && c == '>') {
		q->quotes++;
		return true;
	}
	if (q->matched < from_word.length && c == from_word.at[q->matched]) {
		q->matched++;
		return true;
	}
	return false;
}

int
mbox_quote(struct mbox_quoter *q, struct span in, int (*put)(void *ctx, struct span out), void *ctx)
{
	while (in.length > 0) {
		const char *line_end;
		size_t length = in.length;
		int error;

		if (q->at_line_start) {
			bool taken = take(q, *in.at);

			if (taken)
				in = span_after(in, 1);
			if (taken && q->matched < from_word.length)
				continue;
			error = release(q, put, ctx);
			if (error != 0)
				return error;
			continue;
		}
		line_end = memchr(in.at, '\n', in.length);
		if (line_end != NULL) {
			length = (size_t)(line_end - in.at) + 1;
			/* Most lines begin otherwise: go on in one run for as long as they do. */
			while (length < in.length && in.at[length] != '>' && in.at[length] != 'F') {
				line_end = memchr(in.at + length, '\n', in.length - length);
				if (line_end == NULL) {
					length = in.length;
					break;
				}
				length = (size_t)(line_end - in.at) + 1;
			}
			q->at_line_start = line_end != NULL;
		}
		error = put(ctx, span_of(in.at, length));
		if (error != 0)
			return error;
		in = span_after(in, length);
	}
	return 0;
}

int
mbox_quote_end(struct mbox_quoter *q, int (*put)(void *ctx, struct span out), void *ctx)
{
	return q->at_line_start ? release(q, put, ctx) : 0;
}

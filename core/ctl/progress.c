/*
 * progress.c - rate, share and time left, shown as often as a reader can use it.
 */
#include "core/ctl/progress.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#define CLEAR_TO_END "\033[K"
#define BAR_COLUMNS  24

static const unsigned interval_ms[] = {
	[PROGRESS_BAR] = 200,
	[PROGRESS_LINES] = 10000,
	[PROGRESS_JSON] = 1000,
};

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void
progress_start(struct progress *p, const char *things, uint64_t octets_total, bool json)
{
	*p = (struct progress){
		.to = stderr,
		.style = json                   ? PROGRESS_JSON
			: isatty(STDERR_FILENO) ? PROGRESS_BAR
						: PROGRESS_LINES,
		.things = things,
		.octets_total = octets_total,
		.started_ms = now_ms(),
	};
	p->shown_ms = p->started_ms;
}

struct state {
	double seconds;
	double things_per_second, octets_per_second;
	double share; /* 0 to 1; negative: not known */
	double seconds_left;
};

static struct state
state_of(const struct progress *p, uint64_t things_done, uint64_t octets_done, int64_t now)
{
	struct state s = { .seconds = (double)(now - p->started_ms) / 1000, .share = -1 };

	if (s.seconds < 0.001)
		s.seconds = 0.001;
	s.things_per_second = (double)things_done / s.seconds;
	s.octets_per_second = (double)octets_done / s.seconds;
	if (p->octets_total == 0)
		return s;
	s.share = (double)octets_done / (double)p->octets_total;
	if (s.share > 1)
		s.share = 1;
	if (s.share > 0)
		s.seconds_left = s.seconds * (1 - s.share) / s.share;
	return s;
}

static void
show_json(const struct progress *p, const struct state *s, uint64_t things, uint64_t octets)
{
	fprintf(p->to,
		"{\"progress\":\"%s\",\"done\":%" PRIu64 ",\"octets\":%" PRIu64
		",\"octets_total\":%" PRIu64
		",\"per_second\":%.1f,\"octets_per_second\":%.0f,\"seconds\":%.1f",
		p->things, things, octets, p->octets_total, s->things_per_second,
		s->octets_per_second, s->seconds);
	if (s->share >= 0)
		fprintf(p->to, ",\"seconds_left\":%.1f", s->seconds_left);
	fputs("}\n", p->to);
}

static void
show_text(const struct progress *p, const struct state *s, uint64_t things)
{
	unsigned left = (unsigned)(s->seconds_left + 0.5);

	fprintf(p->to, "%" PRIu64 " %s, %.0f/s, %.1f MB/s", things, p->things, s->things_per_second,
		s->octets_per_second / 1e6);
	if (s->share >= 0)
		fprintf(p->to, ", %.0f%%, %u:%02u:%02u left", s->share * 100, left / 3600,
			left / 60 % 60, left % 60);
}

static void
show_bar(const struct progress *p, const struct state *s, uint64_t things)
{
	fputs("\r", p->to);
	if (s->share >= 0) {
		putc('[', p->to);
		for (int i = 0; i < BAR_COLUMNS; i++)
			putc(i < (int)(s->share * BAR_COLUMNS) ? '#' : '.', p->to);
		fputs("] ", p->to);
	}
	show_text(p, s, things);
	fputs(CLEAR_TO_END, p->to); /* what a longer line left behind */
}

static void
show(struct progress *p, uint64_t things_done, uint64_t octets_done, int64_t now)
{
	struct state s = state_of(p, things_done, octets_done, now);

	p->shown_ms = now;
	switch (p->style) {
	case PROGRESS_BAR:
		show_bar(p, &s, things_done);
		break;
	case PROGRESS_LINES:
		show_text(p, &s, things_done);
		putc('\n', p->to);
		break;
	case PROGRESS_JSON:
		show_json(p, &s, things_done, octets_done);
		break;
	}
	fflush(p->to);
}

void
progress_update(struct progress *p, uint64_t things_done, uint64_t octets_done)
{
	int64_t now = now_ms();

	if (now - p->shown_ms >= interval_ms[p->style])
		show(p, things_done, octets_done, now);
}

void
progress_clear(const struct progress *p)
{
	if (p->style == PROGRESS_BAR)
		fputs("\r" CLEAR_TO_END, p->to);
}

void
progress_end(struct progress *p, uint64_t things_done, uint64_t octets_done)
{
	show(p, things_done, octets_done, now_ms());
	if (p->style == PROGRESS_BAR)
		putc('\n', p->to);
}

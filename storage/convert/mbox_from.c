/*
 * mbox_from.c - the From_ line: its date, read leniently and written strictly.
 *
 * Seen in the wild: with and without seconds, zone before or behind the year, numeric or by name,
 * "remote from host" at the end, blanks within the sender.  So the date is looked for, not counted
 * to.
 */
#include "storage/convert/mbox.h"

#include <stdio.h>
#include <time.h>

#define YEAR_MIN 1970u
#define YEAR_MAX 9999u

static const char weekdays[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
	"Oct", "Nov", "Dec" };

/* RFC 822, section 5, and the names of central Europe; others count as UTC. */
static const struct {
	struct span name;
	int hours;
} zones[] = {
	{ { "EST", 3 }, -5 },
	{ { "EDT", 3 }, -4 },
	{ { "CST", 3 }, -6 },
	{ { "CDT", 3 }, -5 },
	{ { "MST", 3 }, -7 },
	{ { "MDT", 3 }, -6 },
	{ { "PST", 3 }, -8 },
	{ { "PDT", 3 }, -7 },
	{ { "BST", 3 }, 1 },
	{ { "CET", 3 }, 1 },
	{ { "MET", 3 }, 1 },
	{ { "CEST", 4 }, 2 },
	{ { "MEST", 4 }, 2 },
};

static struct span
next_word(struct span *s)
{
	struct span word;

	while (s->length > 0 && (*s->at == ' ' || *s->at == '\t'))
		*s = span_after(*s, 1);
	word = span_of(s->at, 0);
	while (s->length > 0 && *s->at != ' ' && *s->at != '\t') {
		*s = span_after(*s, 1);
		word.length++;
	}
	return word;
}

static bool
parse_number(struct span word, unsigned digits_max, unsigned min, unsigned max, unsigned *value_out)
{
	uint64_t value;

	if (word.length > digits_max || !span_to_u64(word, max, &value) || value < min)
		return false;
	*value_out = (unsigned)value;
	return true;
}

static bool
parse_name(struct span word, const char (*names)[4], unsigned count, unsigned *index_out)
{
	for (unsigned i = 0; i < count; i++) {
		if (span_equals_nocase(word, span_of(names[i], 3))) {
			*index_out = i;
			return true;
		}
	}
	return false;
}

/* hh:mm or hh:mm:ss */
static bool
parse_time(struct span word, unsigned *seconds_out)
{
	unsigned hour, minute, second = 0;

	if (word.length != 5 && word.length != 8)
		return false;
	if (word.at[2] != ':' || (word.length == 8 && word.at[5] != ':'))
		return false;
	if (!parse_number(span_of(word.at, 2), 2, 0, 23, &hour) ||
		!parse_number(span_of(word.at + 3, 2), 2, 0, 59, &minute))
		return false;
	if (word.length == 8 && !parse_number(span_of(word.at + 6, 2), 2, 0, 60, &second))
		return false;
	*seconds_out = (hour * 60 + minute) * 60 + second;
	return true;
}

/* Seconds east of UTC; false if `word` cannot be a zone. */
static bool
parse_zone(struct span word, int *seconds_out)
{
	unsigned hours, minutes;

	*seconds_out = 0;
	if (word.length == 5 && (word.at[0] == '+' || word.at[0] == '-')) {
		if (!parse_number(span_of(word.at + 1, 2), 2, 0, 23, &hours) ||
			!parse_number(span_of(word.at + 3, 2), 2, 0, 59, &minutes))
			return false;
		*seconds_out = (int)(hours * 60 + minutes) * 60;
		if (word.at[0] == '-')
			*seconds_out = -*seconds_out;
		return true;
	}
	for (size_t i = 0; i < word.length; i++) {
		if ((word.at[i] | 0x20) < 'a' || (word.at[i] | 0x20) > 'z')
			return false;
	}
	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
		if (span_equals_nocase(word, zones[i].name))
			*seconds_out = zones[i].hours * 3600;
	}
	return word.length > 0;
}

/* Www Mmm dd hh:mm[:ss] [zone] yyyy [zone] */
static bool
parse_date(struct span s, int64_t *arrived_at_out)
{
	unsigned weekday, month, day, year, seconds;
	int zone = 0, zone_behind;
	struct span word;
	struct tm tm = { 0 };

	if (!parse_name(next_word(&s), weekdays, 7, &weekday) ||
		!parse_name(next_word(&s), months, 12, &month) ||
		!parse_number(next_word(&s), 2, 1, 31, &day) ||
		!parse_time(next_word(&s), &seconds))
		return false;
	word = next_word(&s);
	if (!parse_number(word, 4, YEAR_MIN, YEAR_MAX, &year)) {
		if (!parse_zone(word, &zone) ||
			!parse_number(next_word(&s), 4, YEAR_MIN, YEAR_MAX, &year))
			return false;
	} else {
		word = next_word(&s);
		if (!span_equals(word, SPAN("remote")) && parse_zone(word, &zone_behind))
			zone = zone_behind;
	}
	tm.tm_year = (int)year - 1900;
	tm.tm_mon = (int)month;
	tm.tm_mday = (int)day;
	*arrived_at_out = (int64_t)timegm(&tm) + seconds - zone;
	return true;
}

bool
mbox_parse_from_line(struct span line, int64_t *arrived_at_out)
{
	if (line.length < 5 || memcmp(line.at, "From ", 5) != 0)
		return false;
	line = span_after(line, 5);
	while (line.length > 0) {
		if (parse_date(line, arrived_at_out))
			return true;
		next_word(&line);
	}
	return false;
}

size_t
mbox_put_from_line(int64_t arrived_at, char to[MBOX_FROM_LINE_PUT])
{
	time_t when = (time_t)arrived_at;
	struct tm tm = { 0 };

	if (gmtime_r(&when, &tm) == NULL || tm.tm_year < (int)YEAR_MIN - 1900 ||
		tm.tm_year > (int)YEAR_MAX - 1900)
		tm = (struct tm){ .tm_year = 70, .tm_mday = 1, .tm_wday = 4 };
	return (size_t)snprintf(to, MBOX_FROM_LINE_PUT,
		"From MAILER-DAEMON %s %s %2u %02u:%02u:%02u %u\n", weekdays[tm.tm_wday % 7],
		months[tm.tm_mon % 12], (unsigned)tm.tm_mday % 32, (unsigned)tm.tm_hour % 24,
		(unsigned)tm.tm_min % 60, (unsigned)tm.tm_sec % 61,
		((unsigned)tm.tm_year + 1900) % (YEAR_MAX + 1));
}

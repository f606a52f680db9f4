/*
 * lmtp_head.c - see lmtp_head.h.
 *
 * What the client says of itself and of the sender holds no controls (core/lmtp), so it cannot end
 * a line.
 */
#include "core/lmtp_head.h"

#include "io/base/must.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

struct writer {
	char *to;
	size_t used;
};

__attribute__((format(printf, 2, 3))) static void
put(struct writer *w, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(w->to + w->used, LMTP_HEAD_OCTETS_MAX - w->used, format, args);
	va_end(args);
	must(length >= 0 && (size_t)length < LMTP_HEAD_OCTETS_MAX - w->used);
	w->used += (size_t)length;
}

/* RFC 5322, section 3.3, in UTC and in English whatever the locale. */
static void
put_date(struct writer *w, int64_t at)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
		"Sep", "Oct", "Nov", "Dec" };
	time_t seconds = (time_t)at;
	struct tm tm;

	must(gmtime_r(&seconds, &tm) != NULL);
	put(w, "%s, %d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday,
		months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* An address literal (RFC 5321, section 4.1.3). */
static void
put_peer(struct writer *w, const char *peer)
{
	if (peer == NULL)
		put(w, "(local)\r\n");
	else
		put(w, "([%s%s])\r\n", strchr(peer, ':') != NULL ? "IPv6:" : "", peer);
}

/* The words for "with" are RFC 3848's and RFC 6531's. */
static void
put_received(struct writer *w, const struct lmtp_head *h)
{
	put(w, "Received: from %.*s ", (int)h->client.length, h->client.at);
	put_peer(w, h->peer);
	put(w, "\tby %s (ringpost) with %sLMTP%s id %s\r\n", h->hostname,
		h->takes_utf8 ? "UTF8" : "", h->is_secure ? "S" : "", h->id);
	put(w, "\tfor <%s>; ", h->recipient);
	put_date(w, h->arrived_at);
}

size_t
lmtp_head_put(const struct lmtp_head *head, const struct settings *settings,
	char to[LMTP_HEAD_OCTETS_MAX])
{
	struct writer w = { .to = to };

	if (settings->add_return_path)
		put(&w, "Return-Path: <%.*s>\r\n", (int)head->sender.length, head->sender.at);
	if (settings->add_delivered_to)
		put(&w, "Delivered-To: %s\r\n", head->recipient);
	if (settings->add_received)
		put_received(&w, head);
	return w.used;
}

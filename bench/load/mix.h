/*
 * mix.h - what a simulated client does in one session, read from a small file.
 *
 * The whole grammar: one step in a line, `#` begins a comment, empty lines are nothing.
 *
 *     ramp               (first of all) sessions begin ever faster up to the end of the round
 *     connect            open the connection and read the greeting
 *     user  pass         log in
 *     stat               and remember how many messages there are
 *     list  uidl         the whole listing; its lines are counted against STAT
 *     capa  noop  rset
 *     retr-all           RETR 1, RETR 2, ...
 *     retr-one           RETR of one message by chance
 *     retr-largest       RETR of the largest that LIST showed
 *     retr-new K         RETR of what came since the user's last session, by UIDL, and of the
 *                        last K messages as if they had come since (real mail does come; K may
 *                        be 0)
 *     top-all K          TOP 1 K, TOP 2 K, ...
 *     dele-all           DELE 1, DELE 2, ...
 *     30% retr-all       the step in 30 of 100 sessions, of those that go through the messages
 *     hold               stay connected until the measured time is over
 *     quit               and wait until the server has closed
 *
 * and for delivery by LMTP, which is another dialogue from the greeting on:
 *
 *     lhlo  mail
 *     rcpt N             N recipients: the session's user and the ones behind him
 *     data               DATA, then a message by chance out of the source; one reply per recipient
 *
 * Rules: `connect` comes first and only there, `quit` last and only there, `hold` at most once,
 * what goes through the messages (retr, top, dele) behind `stat` and behind the listing it looks
 * at, `rcpt` behind `mail` and `data` behind `rcpt`.  POP3 and LMTP do not mix.
 * Ownership: plain data, copied freely.
 */
#ifndef BENCH_LOAD_MIX_H
#define BENCH_LOAD_MIX_H

#include <stdbool.h>
#include <stdio.h>

enum mix_verb {
	MIX_CONNECT,
	MIX_STLS, /* stands in no file: mix_secure() puts it in */
	MIX_TLS,  /* the handshake, no step: only its time is noted */
	MIX_CAPA,
	MIX_USER,
	MIX_PASS,
	MIX_STAT,
	MIX_LIST,
	MIX_UIDL,
	MIX_RETR,
	MIX_TOP,
	MIX_DELE,
	MIX_RSET,
	MIX_NOOP,
	MIX_HOLD,
	MIX_LHLO,
	MIX_MAIL,
	MIX_RCPT,
	MIX_DATA,
	MIX_MESSAGE, /* what follows the 354; `data` puts it in */
	MIX_QUIT,
};

enum {
	MIX_VERB_COUNT = MIX_QUIT + 1,
	MIX_STEPS_MAX = 64,
	MIX_NAME_OCTETS = 64,
};

enum mix_reach {
	MIX_ONCE,
	MIX_ONE_MESSAGE,
	MIX_LARGEST_MESSAGE,
	MIX_NEW_MESSAGES,
	MIX_ALL_MESSAGES,
	MIX_RECIPIENTS,
};

struct mix_step {
	enum mix_verb verb;
	enum mix_reach reach;
	unsigned argument; /* the K or N behind the word */
	unsigned percent;  /* of the sessions */
};

struct mix {
	char name[MIX_NAME_OCTETS]; /* the file's name without folder and ending */
	struct mix_step steps[MIX_STEPS_MAX];
	unsigned step_count;
	bool holds;
	bool deletes;
	bool ramps;
	bool lmtp;
	bool looks_at_sizes, looks_at_unique_ids;
};

/* Read and check a mix.  0, or -EINVAL after one line, "path:line: what is wrong", to `errors`. */
int mix_read(FILE *from, const char *path, FILE *errors, struct mix *mix_out);

/* The same from a file; also -ENOENT and what else fopen(3) knows (said on `errors` too). */
int mix_load(const char *path, FILE *errors, struct mix *mix_out);

/* Let each session ask for TLS behind the greeting: STLS, or LHLO and STARTTLS.  False: the mix has
 * no room for more steps. */
bool mix_secure(struct mix *mix);

/* As it stands in a report: "connect", "USER", "RETR", ... */
const char *mix_verb_name(enum mix_verb verb);

#endif

/*
 * mix.h - what a simulated client does in one session, read from a small file.
 *
 * The whole grammar: one step in a line, `#` begins a comment, empty lines are nothing.
 *
 *     connect            open the connection and read the greeting
 *     user  pass         log in
 *     stat               and remember how many messages there are
 *     list  uidl         the whole listing; its lines are counted against STAT
 *     capa  noop  rset
 *     retr-all           RETR 1, RETR 2, ...
 *     retr-one           RETR of one message by chance
 *     top-all K          TOP 1 K, TOP 2 K, ...
 *     dele-all           DELE 1, DELE 2, ...
 *     hold               stay connected until the measured time is over
 *     quit               and wait until the server has closed
 *
 * Rules: `connect` comes first and only there, `quit` last and only there, `hold` at most once,
 * and what goes through the messages (retr, top, dele) comes behind `stat`.
 * Ownership: plain data, copied freely.
 */
#ifndef BENCH_LOAD_MIX_H
#define BENCH_LOAD_MIX_H

#include <stdbool.h>
#include <stdio.h>

enum mix_verb {
	MIX_CONNECT,
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
	MIX_ALL_MESSAGES,
};

struct mix_step {
	enum mix_verb verb;
	enum mix_reach reach;
	unsigned lines; /* of TOP */
};

struct mix {
	char name[MIX_NAME_OCTETS]; /* the file's name without folder and ending */
	struct mix_step steps[MIX_STEPS_MAX];
	unsigned step_count;
	bool holds;
	bool deletes;
};

/* Read and check a mix.  0, or -EINVAL after one line, "path:line: what is wrong", to `errors`. */
int mix_read(FILE *from, const char *path, FILE *errors, struct mix *mix_out);

/* The same from a file; also -ENOENT and what else fopen(3) knows (said on `errors` too). */
int mix_load(const char *path, FILE *errors, struct mix *mix_out);

/* As it stands in a report: "connect", "USER", "RETR", ... */
const char *mix_verb_name(enum mix_verb verb);

#endif

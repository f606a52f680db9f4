/*
 * next.h - what every session can ask of whoever drives it, whatever its protocol.
 *
 * A protocol's own enum begins with these and goes on from NEXT_WISH with what only it can want.
 */
#ifndef CORE_NEXT_H
#define CORE_NEXT_H

enum session_next {
	NEXT_LINE,   /* give it the next line */
	NEXT_OCTETS, /* give it octets as they come */
	NEXT_DRAIN,  /* send what is queued, then say so */
	NEXT_TLS,    /* send what is queued, then speak TLS */
	NEXT_CLOSE,  /* send what is queued and close */
	NEXT_REFUSE, /* the same for a guest who may still be sending */
	NEXT_WISH,   /* from here on: the protocol's own */
};

#endif

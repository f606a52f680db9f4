/*
 * tls_kernel.h - handing the records over to the kernel (Documentation/networking/tls.rst).
 *
 * After the hand-over the socket speaks TLS by itself: send, sendfile and receive are those of a
 * plain one, with these differences: MSG_WAITALL is refused (EOPNOTSUPP), and a record that is not
 * data makes a plain receive say EIO; tls_kernel_hear() reads it.
 */
#ifndef IO_TLS_KERNEL_H
#define IO_TLS_KERNEL_H

#include "io/tls.h"

/* The kernel knows TCP_ULP "tls".  0, or a negative errno that says why not. */
int tls_kernel_check(void);
/* It takes new keys for a session that has some (Linux 6.14), as it has just shown over loopback.
 * 0, or a negative errno: -EBUSY is an older kernel's. */
int tls_kernel_check_rekey(void);

/* Keys, nonces and sequence numbers of `t` go to the kernel, for both directions.  Nothing of it
 * may be under way: no output, no input, no receive or send in flight.  0; -EPROTO: half done, the
 * connection must end; any other negative errno: nothing has changed. */
int tls_kernel_take_over(struct tls *t, int fd);

/* What a record says that is not data. */
enum tls_kernel_word {
	TLS_KERNEL_GOODBYE,      /* close_notify */
	TLS_KERNEL_ALERT,        /* the peer gives up */
	TLS_KERNEL_KEYS,         /* KeyUpdate: the peer's next record comes under its next keys */
	TLS_KERNEL_KEYS_OF_BOTH, /* and it asks for the same of us */
	TLS_KERNEL_NONSENSE,     /* broken, or not allowed here: renegotiation, for one */
	TLS_KERNEL_NOTHING,      /* a message that asks for nothing */
};
enum tls_kernel_word tls_kernel_hear(int fd);

/* The next secret of the client is the one in force: what is received from here on is under its
 * keys.  0 or a negative errno. */
int tls_kernel_rekey_input(int fd, uint16_t suite, unsigned char *secrets);
/* The same for our side.  -EAGAIN: the socket is full and nothing has changed; any other error: the
 * connection must end. */
int tls_kernel_rekey_output(int fd, uint16_t suite, unsigned char *secrets);

/* An alert record, RFC 8446, section 6.  0, -EAGAIN: the socket is full,
 * or another negative errno. */
#define TLS_ALERT_CLOSE_NOTIFY       0u
#define TLS_ALERT_UNEXPECTED_MESSAGE 10u
int tls_kernel_alert(int fd, unsigned description);

#endif

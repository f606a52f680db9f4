/*
 * tls_kernel.h - handing the records over to the kernel (Documentation/networking/tls.rst).
 *
 * After the hand-over the socket speaks TLS by itself: send, sendfile and receive are those of a
 * plain one, with these differences: MSG_WAITALL is refused (EOPNOTSUPP), and a record that is not
 * data makes a plain receive say EIO; tls_kernel_hear() reads it.
 */
#ifndef IO_TLS_KERNEL_H
#define IO_TLS_KERNEL_H

#include "io/tls_keys.h"
#include "io/tls_words.h"

/* The kernel knows TCP_ULP "tls".  0, or a negative errno that says why not. */
int tls_kernel_check(void);
/* It takes new keys for a session that has some (Linux 6.14), as it has just shown over loopback.
 * 0, or a negative errno: -EBUSY is an older kernel's. */
int tls_kernel_check_rekey(void);

/* What a session of ours speaks with goes to the kernel, for both directions.  Nothing of it may be
 * under way: no output, no input, no receive or send in flight.  0; -EPROTO: half done, the
 * connection must end; any other negative errno: nothing has changed. */
int tls_kernel_take_over(const struct tls_keys *k, int fd);

/* The record that is not data, which the kernel has for us.  0 or a negative errno; -EAGAIN: there is
 * none. */
int tls_kernel_hear(int fd, unsigned version, enum tls_word *word_out);

/* The next secret of the client is the one in force: what is received from here on is under its
 * keys.  0 or a negative errno. */
int tls_kernel_rekey_input(int fd, uint16_t suite, unsigned char *secrets);
/* The same for our side.  -EAGAIN: the socket is full and nothing has changed; any other error: the
 * connection must end. */
int tls_kernel_rekey_output(int fd, uint16_t suite, unsigned char *secrets);

/* An alert (tls_words.h).  0, -EAGAIN: the socket is full, or another negative errno. */
int tls_kernel_alert(int fd, unsigned description);

#endif

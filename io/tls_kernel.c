/*
 * tls_kernel.c - see tls_kernel.h.
 *
 * What goes where (measured, and linux/tls.h): AES-GCM has a salt, the first 4 octets of the write
 * IV. In TLS 1.3 the rest of it is the nonce's; in TLS 1.2 the nonce is explicit and the kernel
 * counts it on from what it is given: the sequence number.  ChaCha20-Poly1305 has all 12 octets as
 * nonce and no salt.  wolfSSL's GetSequenceNumber calls return no error code but whether the number
 * is 0.
 */
#include "io/tls_kernel.h"

#include "io/base/must.h"
#include "io/tls_secrets.h"

#include <wolfssl/options.h>

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wolfssl/ssl.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define RECORD_ALERT       21
#define RECORD_HANDSHAKE   22
#define MESSAGE_KEY_UPDATE 24
#define ALERT_WARNING      1
#define ALERT_FATAL        2
#define KEY_UPDATE_OCTETS  5
#define SALT_OCTETS        4u
#define COUNTER_OCTETS     8u

enum {
	UPDATE_NOT_REQUESTED, /* RFC 8446, section 4.6.3 */
	UPDATE_REQUESTED,
};

/* One direction, as wolfSSL has it. */
struct direction {
	const unsigned char *key;
	const unsigned char *iv;
	unsigned char sequence[COUNTER_OCTETS];
	uint16_t version;
};

union crypto_info {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 aes128;
	struct tls12_crypto_info_aes_gcm_256 aes256;
	struct tls12_crypto_info_chacha20_poly1305 chacha;
};

/* "Not connected" is what a kernel says that has it: the socket here is not. */
int
tls_kernel_check(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -errno;
	error = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0 ? 0 : -errno;
	close(fd);
	return error == -ENOTCONN ? 0 : error;
}

static void
put_sequence(uint64_t sequence, unsigned char to[COUNTER_OCTETS])
{
	for (unsigned i = 0; i < COUNTER_OCTETS; i++)
		to[i] = (unsigned char)(sequence >> (8 * (COUNTER_OCTETS - 1 - i)));
}

/* The nonce of AES-GCM behind its salt. */
static const unsigned char *
nonce_of(const struct direction *d)
{
	return d->version == TLS_1_3_VERSION ? d->iv + SALT_OCTETS : d->sequence;
}

static socklen_t
fill_aes128(const struct direction *d, struct tls12_crypto_info_aes_gcm_128 *to)
{
	to->info.cipher_type = TLS_CIPHER_AES_GCM_128;
	memcpy(to->key, d->key, sizeof(to->key));
	memcpy(to->salt, d->iv, sizeof(to->salt));
	memcpy(to->iv, nonce_of(d), sizeof(to->iv));
	memcpy(to->rec_seq, d->sequence, sizeof(to->rec_seq));
	return sizeof(*to);
}

static socklen_t
fill_aes256(const struct direction *d, struct tls12_crypto_info_aes_gcm_256 *to)
{
	to->info.cipher_type = TLS_CIPHER_AES_GCM_256;
	memcpy(to->key, d->key, sizeof(to->key));
	memcpy(to->salt, d->iv, sizeof(to->salt));
	memcpy(to->iv, nonce_of(d), sizeof(to->iv));
	memcpy(to->rec_seq, d->sequence, sizeof(to->rec_seq));
	return sizeof(*to);
}

static socklen_t
fill_chacha(const struct direction *d, struct tls12_crypto_info_chacha20_poly1305 *to)
{
	to->info.cipher_type = TLS_CIPHER_CHACHA20_POLY1305;
	memcpy(to->key, d->key, sizeof(to->key));
	memcpy(to->iv, d->iv, sizeof(to->iv));
	memcpy(to->rec_seq, d->sequence, sizeof(to->rec_seq));
	return sizeof(*to);
}

/* How many octets setsockopt() takes; 0: a cipher that is not for the kernel. */
static socklen_t
fill(uint16_t suite, const struct direction *d, union crypto_info *to)
{
	*to = (union crypto_info){ .info.version = d->version };
	switch (suite) {
	case 0x1301:
	case 0xc02b:
	case 0xc02f:
		return fill_aes128(d, &to->aes128);
	case 0x1302:
	case 0xc02c:
	case 0xc030:
		return fill_aes256(d, &to->aes256);
	case 0x1303:
	case 0xcca8:
	case 0xcca9:
		return fill_chacha(d, &to->chacha);
	default:
		return 0;
	}
}

static int
set_direction(int fd, int which, uint16_t suite, const struct direction *d)
{
	union crypto_info info;
	socklen_t octets = fill(suite, d, &info);
	int error = 0;

	if (octets == 0)
		return -EOPNOTSUPP;
	if (setsockopt(fd, SOL_TLS, which, &info, octets) != 0)
		error = -errno;
	explicit_bzero(&info, sizeof(info));
	return error;
}

/* ---- records that are not data, out -------------------------------------------------------- */

/* One record.  0 or a negative errno; -EAGAIN: the socket is full. */
static int
send_record(int fd, unsigned char type, const unsigned char *octets, size_t length)
{
	union {
		char octets[CMSG_SPACE(sizeof(unsigned char))];
		struct cmsghdr align;
	} control = { .octets = { 0 } };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)octets, .iov_len = length };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.octets,
		.msg_controllen = sizeof(control.octets),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_TLS;
	header->cmsg_type = TLS_SET_RECORD_TYPE;
	header->cmsg_len = CMSG_LEN(sizeof(unsigned char));
	*CMSG_DATA(header) = type;
	if (sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	return -errno;
}

/* ---- new keys (RFC 8446, section 4.6.3) ---------------------------------------------------- */

/* Under new keys sequence numbers begin at 0 again. */
static int
set_new_keys(int fd, int which, uint16_t suite, unsigned char *secret)
{
	struct tls_traffic_keys keys;
	struct direction d = { keys.key, keys.iv, { 0 }, TLS_1_3_VERSION };
	int error = tls_secret_move_on(suite, secret);

	if (error == 0)
		error = tls_secret_derive_keys(suite, secret, &keys);
	if (error == 0)
		error = set_direction(fd, which, suite, &d);
	explicit_bzero(&keys, sizeof(keys));
	return error;
}

int
tls_kernel_rekey_input(int fd, uint16_t suite, unsigned char *secrets)
{
	return set_new_keys(fd, TLS_RX, suite, tls_secrets_of(secrets, suite, TLS_SIDE_CLIENT));
}

int
tls_kernel_rekey_output(int fd, uint16_t suite, unsigned char *secrets)
{
	static const unsigned char message[] = { MESSAGE_KEY_UPDATE, 0, 0, 1,
		UPDATE_NOT_REQUESTED };
	int error = send_record(fd, RECORD_HANDSHAKE, message, sizeof(message));

	if (error != 0)
		return error;
	error = set_new_keys(fd, TLS_TX, suite, tls_secrets_of(secrets, suite, TLS_SIDE_SERVER));
	return error == -EAGAIN ? -EPROTO : error;
}

/* A connection with ourselves; -1: none could be made. */
static int
connect_pair(int *other_out)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t octets = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*other_out = -1;
	if (listener >= 0 && fd >= 0 && bind(listener, (struct sockaddr *)&at, octets) == 0 &&
		listen(listener, 1) == 0 &&
		getsockname(listener, (struct sockaddr *)&at, &octets) == 0 &&
		connect(fd, (struct sockaddr *)&at, octets) == 0)
		*other_out = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (listener >= 0)
		close(listener);
	if (fd >= 0 && *other_out < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int
tls_kernel_check_rekey(void)
{
	static const unsigned char none[TLS_KEY_OCTETS_MAX];
	const struct direction d = { none, none, { 0 }, TLS_1_3_VERSION };
	int other;
	int fd = connect_pair(&other);
	int error;

	if (fd < 0)
		return -ENOTCONN;
	error = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0 ? 0 : -errno;
	for (int times = 0; times < 2 && error == 0; times++)
		error = set_direction(fd, TLS_TX, 0x1301, &d);
	close(fd);
	close(other);
	return error;
}

/* ---- the hand-over ------------------------------------------------------------------------- */

int
tls_kernel_take_over(struct tls *t, int fd)
{
	uint16_t version = t->facts.version == 13 ? TLS_1_3_VERSION : TLS_1_2_VERSION;
	struct direction out = { wolfSSL_GetServerWriteKey(t->ssl),
		wolfSSL_GetServerWriteIV(t->ssl), { 0 }, version };
	struct direction in = { wolfSSL_GetClientWriteKey(t->ssl), wolfSSL_GetClientWriteIV(t->ssl),
		{ 0 }, version };
	word64 sequence_out = 0, sequence_in = 0;
	int error;

	must(!tls_has_output(t) && tls_is_between_records(t));
	if (out.key == NULL || out.iv == NULL || in.key == NULL || in.iv == NULL)
		return -EOPNOTSUPP;
	(void)wolfSSL_GetSequenceNumber(t->ssl, &sequence_out);
	(void)wolfSSL_GetPeerSequenceNumber(t->ssl, &sequence_in);
	put_sequence(sequence_out, out.sequence);
	put_sequence(sequence_in, in.sequence);
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) != 0 && errno != EEXIST)
		return -errno;
	error = set_direction(fd, TLS_TX, t->facts.suite, &out);
	if (error != 0)
		return error == -EPROTO ? -EOPNOTSUPP : error;
	return set_direction(fd, TLS_RX, t->facts.suite, &in) == 0 ? 0 : -EPROTO;
}

/* ---- records that are not data, in --------------------------------------------------------- */

/* KeyUpdate is a message of one octet, and ends its record (RFC 8446, sections 4.6.3 and 5.1). */
static enum tls_kernel_word
meaning_of_key_update(const unsigned char *record, ssize_t length)
{
	if (length != KEY_UPDATE_OCTETS || record[1] != 0 || record[2] != 0 || record[3] != 1)
		return TLS_KERNEL_NONSENSE;
	switch (record[4]) {
	case UPDATE_NOT_REQUESTED:
		return TLS_KERNEL_KEYS;
	case UPDATE_REQUESTED:
		return TLS_KERNEL_KEYS_OF_BOTH;
	default:
		return TLS_KERNEL_NONSENSE;
	}
}

static enum tls_kernel_word
meaning_of(unsigned char type, const unsigned char *record, ssize_t length)
{
	if (type == RECORD_ALERT && length >= 2)
		return record[1] == TLS_ALERT_CLOSE_NOTIFY ? TLS_KERNEL_GOODBYE : TLS_KERNEL_ALERT;
	if (type == RECORD_HANDSHAKE && length > 0 && record[0] == MESSAGE_KEY_UPDATE)
		return meaning_of_key_update(record, length);
	return TLS_KERNEL_NONSENSE;
}

enum tls_kernel_word
tls_kernel_hear(int fd)
{
	unsigned char record[256];
	union {
		char octets[CMSG_SPACE(sizeof(unsigned char))];
		struct cmsghdr align;
	} control = { .octets = { 0 } };
	struct iovec iov = { .iov_base = record, .iov_len = sizeof(record) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.octets,
		.msg_controllen = sizeof(control.octets),
	};
	ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return TLS_KERNEL_NOTHING;
	if (length < 0 || header == NULL || header->cmsg_level != SOL_TLS ||
		header->cmsg_type != TLS_GET_RECORD_TYPE)
		return TLS_KERNEL_NONSENSE;
	return meaning_of(*CMSG_DATA(header), record, length);
}

int
tls_kernel_alert(int fd, unsigned description)
{
	bool is_goodbye = description == TLS_ALERT_CLOSE_NOTIFY;
	const unsigned char alert[2] = { is_goodbye ? ALERT_WARNING : ALERT_FATAL,
		(unsigned char)description };

	return send_record(fd, RECORD_ALERT, alert, sizeof(alert));
}

/*
 * tls_kernel.c - see tls_kernel.h.
 *
 * What goes where (measured, and linux/tls.h): AES-GCM has a salt, the first 4 octets of the write
 * IV. In TLS 1.3 the rest of it is the nonce's; in TLS 1.2 the nonce is explicit and the kernel
 * counts it on from what it is given: the sequence number.  ChaCha20-Poly1305 has all 12 octets as
 * nonce and no salt.
 */
#include "io/tls_kernel.h"

#include "io/base/must.h"
#include "io/tls_secrets.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define COUNTER_OCTETS 8u

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
static void
put_nonce(unsigned version, const struct tls_traffic_keys *k, unsigned char to[COUNTER_OCTETS])
{
	if (version == 13)
		memcpy(to, k->iv + TLS_SALT_OCTETS, COUNTER_OCTETS);
	else
		put_sequence(k->sequence, to);
}

static socklen_t
fill_aes128(unsigned version, const struct tls_traffic_keys *k,
	struct tls12_crypto_info_aes_gcm_128 *to)
{
	to->info.cipher_type = TLS_CIPHER_AES_GCM_128;
	memcpy(to->key, k->key, sizeof(to->key));
	memcpy(to->salt, k->iv, sizeof(to->salt));
	put_nonce(version, k, to->iv);
	put_sequence(k->sequence, to->rec_seq);
	return sizeof(*to);
}

static socklen_t
fill_aes256(unsigned version, const struct tls_traffic_keys *k,
	struct tls12_crypto_info_aes_gcm_256 *to)
{
	to->info.cipher_type = TLS_CIPHER_AES_GCM_256;
	memcpy(to->key, k->key, sizeof(to->key));
	memcpy(to->salt, k->iv, sizeof(to->salt));
	put_nonce(version, k, to->iv);
	put_sequence(k->sequence, to->rec_seq);
	return sizeof(*to);
}

static socklen_t
fill_chacha(const struct tls_traffic_keys *k, struct tls12_crypto_info_chacha20_poly1305 *to)
{
	to->info.cipher_type = TLS_CIPHER_CHACHA20_POLY1305;
	memcpy(to->key, k->key, sizeof(to->key));
	memcpy(to->iv, k->iv, sizeof(to->iv));
	put_sequence(k->sequence, to->rec_seq);
	return sizeof(*to);
}

/* How many octets setsockopt() takes; 0: a cipher that is not for the kernel. */
static socklen_t
fill(enum tls_aead aead, unsigned version, const struct tls_traffic_keys *k, union crypto_info *to)
{
	*to = (union crypto_info){
		.info.version = version == 13 ? TLS_1_3_VERSION : TLS_1_2_VERSION,
	};
	switch (aead) {
	case TLS_AEAD_NONE:
		break;
	case TLS_AEAD_AES_128_GCM:
		return fill_aes128(version, k, &to->aes128);
	case TLS_AEAD_AES_256_GCM:
		return fill_aes256(version, k, &to->aes256);
	case TLS_AEAD_CHACHA20_POLY1305:
		return fill_chacha(k, &to->chacha);
	}
	return 0;
}

static int
set_direction(
	int fd, int which, enum tls_aead aead, unsigned version, const struct tls_traffic_keys *k)
{
	union crypto_info info;
	socklen_t octets = fill(aead, version, k, &info);
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

static int
set_new_keys(int fd, int which, uint16_t suite, unsigned char *secret)
{
	struct tls_traffic_keys keys;
	int error = tls_secret_next_keys(suite, secret, &keys);

	if (error == 0)
		error = set_direction(fd, which, tls_aead_of(suite), 13, &keys);
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
	unsigned char message[TLS_KEY_UPDATE_OCTETS];
	int error;

	tls_put_key_update(message);
	error = send_record(fd, TLS_RECORD_HANDSHAKE, message, sizeof(message));
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
	const struct tls_traffic_keys none = { 0 };
	int other;
	int fd = connect_pair(&other);
	int error;

	if (fd < 0)
		return -ENOTCONN;
	error = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0 ? 0 : -errno;
	for (int times = 0; times < 2 && error == 0; times++)
		error = set_direction(fd, TLS_TX, TLS_AEAD_AES_128_GCM, 13, &none);
	close(fd);
	close(other);
	return error;
}

/* ---- the hand-over ------------------------------------------------------------------------- */

int
tls_kernel_take_over(const struct tls_keys *k, int fd)
{
	enum tls_aead aead = (enum tls_aead)k->aead;
	int error;

	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) != 0 && errno != EEXIST)
		return -errno;
	error = set_direction(fd, TLS_TX, aead, k->version, &k->out);
	if (error != 0)
		return error == -EPROTO ? -EOPNOTSUPP : error;
	return set_direction(fd, TLS_RX, aead, k->version, &k->in) == 0 ? 0 : -EPROTO;
}

/* ---- records that are not data, in --------------------------------------------------------- */

int
tls_kernel_hear(int fd, unsigned version, enum tls_word *word_out)
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

	if (length < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (header == NULL || header->cmsg_level != SOL_TLS ||
		header->cmsg_type != TLS_GET_RECORD_TYPE)
		return -EPROTO;
	*word_out = tls_word_of(version, *CMSG_DATA(header), span_of(record, (size_t)length));
	return 0;
}

/* A record that it could not open leaves its error with the socket, for the next call to fail by. */
static void
take_error_off(int fd)
{
	int error;
	socklen_t octets = sizeof(error);

	(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &octets);
}

int
tls_kernel_alert(int fd, unsigned description)
{
	unsigned char alert[TLS_ALERT_OCTETS];

	if (description != TLS_ALERT_CLOSE_NOTIFY)
		take_error_off(fd);
	tls_put_alert(description, alert);
	return send_record(fd, TLS_RECORD_ALERT, alert, sizeof(alert));
}

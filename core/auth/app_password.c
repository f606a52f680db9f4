/*
 * app_password.c - see app_password.h.
 */
#include "core/auth/app_password.h"

/* wolfSSL's options must come before all of its headers. */
#include <wolfssl/options.h>

#include <errno.h>
#include <sys/random.h>
#include <wolfssl/wolfcrypt/sha256.h>

#define DIGITS 32u
#define GROUP  4u

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648, section 6 */

static int
digest(const uint8_t salt[16], const char digits[DIGITS], uint8_t digest_out[32])
{
	wc_Sha256 sha;
	int error = wc_InitSha256(&sha);

	if (error == 0)
		error = wc_Sha256Update(&sha, salt, 16);
	if (error == 0)
		error = wc_Sha256Update(&sha, (const byte *)digits, DIGITS);
	if (error == 0)
		error = wc_Sha256Final(&sha, digest_out);
	wc_Sha256Free(&sha);
	return error == 0 ? 0 : -EIO;
}

/* The digits of a secret as it was typed; false: these are not DIGITS of them.  digits_out may be
 * NULL. */
static bool
read_digits(struct span text, char *digits_out)
{
	unsigned count = 0;

	for (size_t i = 0; i < text.length; i++) {
		char c = text.at[i];

		if (c == '-' || c == ' ')
			continue;
		if (c >= 'A' && c <= 'Z')
			c = (char)(c | 0x20);
		if (count == DIGITS || c == '\0' || strchr(alphabet, c) == NULL)
			return false;
		if (digits_out != NULL)
			digits_out[count] = c;
		count++;
	}
	return count == DIGITS;
}

int
app_password_make(char text_out[APP_PASSWORD_TEXT_OCTETS + 1], struct app_password *p)
{
	uint8_t secret[DIGITS];
	char digits[DIGITS];
	int error = -EIO;
	char *to = text_out;

	/* Five bits of each octet. */
	if (getrandom(secret, sizeof(secret), 0) == (ssize_t)sizeof(secret) &&
		getrandom(p->salt, sizeof(p->salt), 0) == (ssize_t)sizeof(p->salt)) {
		for (unsigned i = 0; i < DIGITS; i++) {
			digits[i] = alphabet[secret[i] & 31];
			if (i > 0 && i % GROUP == 0)
				*to++ = '-';
			*to++ = digits[i];
		}
		*to = '\0';
		error = digest(p->salt, digits, p->digest);
	}
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(digits, sizeof(digits));
	return error;
}

bool
app_password_may_be(struct span secret)
{
	return secret.length >= DIGITS && read_digits(secret, NULL);
}

bool
app_password_fits(const struct app_password *p, struct span secret)
{
	char digits[DIGITS];
	uint8_t sum[32];
	unsigned char difference = 0;

	if (!read_digits(secret, digits) || digest(p->salt, digits, sum) != 0)
		return false;
	for (unsigned i = 0; i < sizeof(sum); i++)
		difference |= (unsigned char)(sum[i] ^ p->digest[i]);
	explicit_bzero(digits, sizeof(digits));
	return difference == 0;
}

bool
app_password_name_is_good(struct span name)
{
	for (size_t i = 0; i < name.length; i++) {
		if ((unsigned char)name.at[i] < 0x20 || name.at[i] == 0x7f)
			return false;
	}
	return name.length > 0 && name.length <= APP_PASSWORD_NAME_OCTETS_MAX;
}

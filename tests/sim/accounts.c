/*
 * accounts.c - storage/accounts.h: a few accounts that are always there.
 *
 * u0@example.org to u<n>@example.org, with the secret "secret".
 */
#include "tests/sim/accounts.h"

#include "storage/accounts.h"
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct accounts_reader {
	char unused;
};

int
accounts_reader_open(struct accounts *a, struct accounts_reader **reader_out)
{
	(void)a;
	*reader_out = sim_process_allocate(sizeof(**reader_out));
	return 0;
}

void
accounts_reader_close(struct accounts_reader *r)
{
	sim_process_free(r);
}

int
accounts_find(struct accounts_reader *r, struct span address, struct account *account_out)
{
	char name[SIM_ADDRESS_OCTETS];

	(void)r;
	for (unsigned n = 0; n < SIM_ACCOUNTS; n++) {
		sim_address(n, name);
		if (!span_equals(address, span_of_string(name)))
			continue;
		*account_out = (struct account){ .enabled = true };
		strcpy(account_out->address, name);
		strcpy(account_out->password_hash, "{PLAIN}secret");
		return 0;
	}
	return -ENOENT;
}

/* None of them has one. */
int
accounts_each_app_password(struct accounts_reader *r, struct span address,
	int (*each)(void *ctx, const struct app_password *p), void *ctx)
{
	(void)r;
	(void)address;
	(void)each;
	(void)ctx;
	return 0;
}

int
accounts_replace_hash(
	struct accounts *a, struct span address, const char *old_hash, const char *hash)
{
	(void)a;
	(void)address;
	(void)old_hash;
	(void)hash;
	return 0;
}

/* Nobody reads them. */
int
accounts_note_logins(struct accounts *a, const struct login_note *notes, unsigned count)
{
	(void)a;
	(void)notes;
	(void)count;
	return 0;
}

int
accounts_secret(struct accounts *a, uint8_t secret_out[32])
{
	(void)a;
	memset(secret_out, 's', 32);
	return 0;
}

void
sim_address(unsigned n, char address_out[SIM_ADDRESS_OCTETS])
{
	snprintf(address_out, SIM_ADDRESS_OCTETS, "u%u@example.org", n);
}

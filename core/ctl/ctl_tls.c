/*
 * ctl_tls.c - `ringpost tls check`: would the server take these certificates, and would clients?
 */
#include "core/ctl/ctl.h"
#include "core/server_tls.h"

#include <inttypes.h>
#include <string.h>

#define DAY_S 86400

static void
print_identity(const struct tls_identity *i, unsigned chain_length, time_t now)
{
	char until[32];
	struct tm tm;

	gmtime_r(&i->not_after, &tm);
	strftime(until, sizeof(until), "%Y-%m-%d %H:%M:%S UTC", &tm);
	printf("%s: %s, %u in its chain, until %s (%" PRId64 " days), for", i->certificate_path,
		i->kind == TLS_KEY_ECDSA ? "ECDSA" : "RSA", chain_length, until,
		(int64_t)(i->not_after - now) / DAY_S);
	for (unsigned n = 0; n < i->name_count; n++)
		printf(" %s", i->names[n]);
	putchar('\n');
}

static int
check_identity(const struct tls_identity *i)
{
	char why[TLS_WHY_OCTETS];
	time_t now = time(NULL);
	unsigned length;

	if (tls_chain_check(i, &length, why) != 0)
		return ctl_error(EX_DATAERR, "%s", why);
	print_identity(i, length, now);
	if (i->name_count == 0)
		return ctl_error(EX_DATAERR, "%s: it is for no host name: no client will trust it",
			i->certificate_path);
	if (now > i->not_after)
		return ctl_error(EX_DATAERR, "%s: it has expired: renew it", i->certificate_path);
	if (now < i->not_before)
		return ctl_error(EX_DATAERR, "%s: it is not valid yet: is the clock right?",
			i->certificate_path);
	return EX_OK;
}

static int
run(struct ctl *ctl, int argc, char **argv)
{
	struct tls_credentials *credentials;
	char why[TLS_WHY_OCTETS];
	int worst = EX_OK;

	if (argc != 2 || strcmp(argv[1], "check") != 0)
		return ctl_usage(&ctl_tls_command);
	if (ctl->settings->tls_certificates.count == 0)
		return ctl_error(EX_CONFIG, "no certificates are set: tls_certificates");
	if (server_tls_load(ctl->settings, why, &credentials) != 0)
		return ctl_error(EX_DATAERR, "%s", why);
	for (unsigned i = 0; i < credentials->count; i++) {
		int code = check_identity(&credentials->identities[i]);

		worst = code != EX_OK ? code : worst;
	}
	tls_credentials_release(credentials);
	return worst;
}

const struct ctl_command ctl_tls_command = {
	.name = "tls",
	.run = run,
	.usage = "check",
	.summary = "check certificates: key, chain, names, expiry",
	.spool = CTL_NEEDS_SETTINGS,
};

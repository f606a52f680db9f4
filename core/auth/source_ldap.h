/*
 * source_ldap.h - accounts in an LDAP directory.
 *
 * A search as the service's user finds the entry; its attributes are mapped to the fields of an
 * account (account_field.h).  The password is either one of them, a hash that is verified here, or
 * it is proven by a bind as the entry that was found, on a connection kept for that.  An empty
 * secret is never bound with: servers take that for an anonymous bind, and say yes (RFC 4513,
 * section 5.1.2).  Referrals are not followed.  One or two connections for each worker.
 *
 * The time limit holds for each operation of a question (connecting, TLS, bind, search) on its own.
 */
#ifndef CORE_AUTH_SOURCE_LDAP_H
#define CORE_AUTH_SOURCE_LDAP_H

#include "core/auth/address.h"
#include "core/auth/source.h"

enum source_ldap_scope {
	SOURCE_LDAP_SUBTREE,
	SOURCE_LDAP_ONE,
	SOURCE_LDAP_BASE,
};

enum source_ldap_prove {
	SOURCE_LDAP_BY_BIND,
	SOURCE_LDAP_BY_HASH,
};

struct source_ldap_options {
	struct source_options common;
	const char *uri; /* one or more, with blanks between */
	bool starttls;
	const char *ca_file;       /* "": those of the system */
	const char *bind_dn;       /* "": anonymous */
	const char *password_file; /* its first line, read for each new connection */
	const char *base;
	enum source_ldap_scope scope;
	const char *filter;      /* a template (template.h) */
	char *const *attributes; /* "field=attribute" */
	unsigned attribute_count;
	enum source_ldap_prove prove;
	const struct address_rules *rules;
};

/* Texts are borrowed for the life of the source.  0, -ENOMEM; nothing is asked yet. */
int source_ldap_open(const struct source_ldap_options *options, struct source **source_out);

/* What is wrong with it, or NULL. */
const char *source_ldap_fault_of_uri(const char *uri);
const char *source_ldap_fault_of_attribute(const char *attribute);

#endif

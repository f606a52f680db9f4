/*
 * backend.h - where a maildrop is served: an address and a port, as nginx has to be told.
 *
 * "192.0.2.7", "192.0.2.7:110", "2001:db8::7", "[2001:db8::7]:110".  No names: nginx resolves none
 * here (ngx_mail_auth_http_module, Auth-Server).  Pure.
 */
#ifndef CORE_AUTH_HTTP_BACKEND_H
#define CORE_AUTH_HTTP_BACKEND_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>

struct backend {
	char address[INET6_ADDRSTRLEN]; /* without brackets */
	uint16_t port;
};

/* Without a port it is `port`.  False: that is no address. */
bool backend_read(const char *text, uint16_t port, struct backend *backend_out);

#endif

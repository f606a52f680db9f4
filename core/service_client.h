/*
 * service_client.h - for whom a guest speaks that is a proxy: the header of the PROXY protocol before
 * anything else, XCLIENT later.
 *
 * From then on the client's address stands where the proxy's stood (struct service, peer_*): limits,
 * networks, log, Received lines and last logins are about the client.
 */
#ifndef CORE_SERVICE_CLIENT_H
#define CORE_SERVICE_CLIENT_H

#include "core/service.h"
#include "core/xclient.h"
#include "io/proxyhdr.h"

/* From connecting to the last octet of the header: a lost packet or two. */
#define PROXY_HEADER_MS 5000u

/* The header is whole: the guest is who it says, or, if it says nobody, who it looks like.  False:
 * it is not let in; its words are queued. */
bool service_hear_header(struct service *v, const struct proxyhdr *h);
/* There was no header, or a broken one. */
void service_refuse_header(struct service *v, const char *why);

/* May the guest say XCLIENT? */
bool service_takes_xclient(const struct service *v);

/*
 * XCLIENT with these arguments: what is to be said to it (XCLIENT_GOOD: the guest is somebody else
 * now).  *client_out is valid if it is good.
 */
enum xclient_outcome service_hear_xclient(struct service *v, bool is_allowed,
	enum xclient_form form, struct span arguments, struct xclient *client_out);

#endif

/*
 * must.c - the last words of a program that has found itself broken.
 */
#include "io/base/must.h"

#include <stdio.h>
#include <stdlib.h>

void
must_fail(const char *condition, const char *file, int line)
{
	fprintf(stderr, "event=broken_invariant condition=\"%s\" at=%s:%d\n", condition, file,
		line);
	abort();
}

/*
 * log.c - io/base/log.h: events are part of the trace, and printed if the world talks.
 */
#include "io/base/log.h"

#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

static void
print_field(const struct kv *field)
{
	if (field->type == KV_U64)
		printf(" %s=%" PRIu64, field->key, field->number);
	else
		printf(" %s=%.*s", field->key, (int)field->text.length, field->text.at);
}

void
log_fields(const struct log_kind *kind, const struct kv *fields, size_t count)
{
	sim_note(kind->name, count, 0);
	if (!sim.talks)
		return;
	printf("%30s", "");
	for (size_t i = 0; i < count; i++)
		print_field(&fields[i]);
	printf("\n");
}

int
log_start(void)
{
	return 0;
}

void
log_stop(void)
{
}

int
log_attach(void)
{
	return 0;
}

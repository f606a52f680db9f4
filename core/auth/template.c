/*
 * template.c - see template.h.
 */
#include "core/auth/template.h"

#include <string.h>

struct writer {
	char *to;
	size_t room; /* left, the NUL included */
	bool is_full;
};

static void
put(struct writer *w, char c)
{
	if (w->room < 2) {
		w->is_full = true;
		return;
	}
	*w->to++ = c;
	w->room--;
}

/* Every octet may be written as \XX (RFC 4515, section 3); these need not. */
static bool
is_harmless(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '@' || c == '.' || c == '-' || c == '_';
}

static void
put_escaped(struct writer *w, struct span value, enum template_escape escape)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < value.length; i++) {
		unsigned char c = (unsigned char)value.at[i];

		if (escape == TEMPLATE_AS_IT_IS || is_harmless((char)c)) {
			put(w, (char)c);
			continue;
		}
		put(w, '\\');
		put(w, digits[c >> 4]);
		put(w, digits[c & 15]);
	}
}

const char *
template_fault(const char *template)
{
	for (const char *at = strchr(template, '%'); at != NULL; at = strchr(at + 2, '%')) {
		if (at[1] == '\0' || strchr("und%", at[1]) == NULL)
			return "behind % stands u (address), n (local part), d (domain) or %";
	}
	return NULL;
}

bool
template_fill(const char *template, struct span address, enum template_escape escape, char *to,
	size_t room)
{
	const char *at = memrchr(address.at, '@', address.length);
	size_t local = at == NULL ? address.length : (size_t)(at - address.at);
	struct writer w = { .to = to, .room = room };

	if (template_fault(template) != NULL || room == 0)
		return false;
	for (; *template != '\0'; template ++) {
		if (*template != '%') {
			put(&w, *template);
			continue;
		}
		template ++;
		if (*template == 'u')
			put_escaped(&w, address, escape);
		else if (*template == 'n')
			put_escaped(&w, span_of(address.at, local), escape);
		else if (*template == 'd' && at != NULL)
			put_escaped(&w, span_after(address, local + 1), escape);
		else if (*template == '%')
			put(&w, '%');
	}
	*w.to = '\0';
	return !w.is_full;
}

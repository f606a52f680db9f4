/*
 * settings_text.h - the text of a settings file as libconfuse is to see it.
 */
#ifndef CORE_SETTINGS_TEXT_H
#define CORE_SETTINGS_TEXT_H

#include <stddef.h>

/*
 * Put blanks in place of comments (from "#" or "//" to the end of the line, and between slash-star
 * and star-slash); line ends stay, and what stands in quotes.  libconfuse 3.3 counts two lines more
 * for each comment, so a mistake behind one would be told with a wrong line number.
 */
void settings_blank_comments(char *text, size_t length);

#endif

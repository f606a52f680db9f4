/*
 * version.h - what the programs call themselves.
 */
#ifndef CORE_VERSION_H
#define CORE_VERSION_H

#define RINGPOST_VERSION "0.1.0"

#endif

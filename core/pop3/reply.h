/*
 * reply.h - the words of the POP3 service: everything a guest can read.
 *
 * Every reply has text behind +OK or -ERR (a bare one broke real clients).  Failures of a login
 * never hold the words lock, busy, wait or unavailable, which fetchmail looks for. Response codes:
 * RFC 2449 section 8 ([IN-USE]) and RFC 3206 ([SYS/TEMP], [AUTH]).
 */
#ifndef CORE_POP3_REPLY_H
#define CORE_POP3_REPLY_H

#define POP3_UNKNOWN_COMMAND     "-ERR unknown command\r\n"
#define POP3_EMPTY_LINE          "-ERR empty line, a command was expected\r\n"
#define POP3_LINE_TOO_LONG       "-ERR line too long\r\n"
#define POP3_WRONG_STATE_BEFORE  "-ERR log in first\r\n"
#define POP3_WRONG_STATE_AFTER   "-ERR already logged in\r\n"
#define POP3_TAKES_NO_ARGUMENT   "-ERR this command takes no argument\r\n"
#define POP3_NEEDS_NAME          "-ERR USER needs a name\r\n"
#define POP3_NEEDS_SECRET        "-ERR PASS needs a password\r\n"
#define POP3_NEEDS_DIGEST        "-ERR APOP needs a name and a digest of 32 hexadecimal digits\r\n"
#define POP3_NO_STAMP            "-ERR there was no stamp in the greeting\r\n"
#define POP3_UNKNOWN_MECHANISM   "-ERR unknown authentication mechanism\r\n"
#define POP3_MECHANISM_NOT_HERE  "-ERR that mechanism is not offered here\r\n"
#define POP3_AUTH_CANCELLED      "-ERR authentication cancelled\r\n"
#define POP3_AUTH_MALFORMED      "-ERR that is not what the mechanism says\r\n"
#define POP3_XCLIENT_REFUSED     "-ERR [SYS/PERM] XCLIENT is not taken from your network\r\n"
#define POP3_XCLIENT_MALFORMED   "-ERR XCLIENT needs arguments like ADDR=192.0.2.1 PORT=12345\r\n"
#define POP3_NEEDS_MESSAGE       "-ERR a message number was expected\r\n"
#define POP3_NEEDS_TOP_ARGUMENTS "-ERR TOP needs a message number and a number of lines\r\n"
#define POP3_NO_SUCH_MESSAGE     "-ERR no such message\r\n"
#define POP3_NO_SUCH_LANGUAGE    "-ERR no such language\r\n"
#define POP3_USER_FIRST          "-ERR USER first\r\n"
#define POP3_PLAINTEXT_REFUSED   "-ERR passwords are not taken on a connection in clear\r\n"
#define POP3_TLS_ALREADY         "-ERR TLS is spoken already\r\n"
#define POP3_TLS_NOT_HERE        "-ERR there is no TLS on this port\r\n"
#define POP3_FOREIGN             "-ERR this is a POP3 server\r\n"
#define POP3_TOO_MANY_UNKNOWN    "-ERR too many unknown commands, goodbye\r\n"
#define POP3_TOO_MANY_FAILURES   "-ERR [AUTH] too many failed logins, goodbye\r\n"
#define POP3_LOGIN_FAILED        "-ERR [AUTH] wrong name or password\r\n"
#define POP3_LOGIN_UNKNOWABLE    "-ERR [SYS/TEMP] login is not possible at the moment\r\n"
#define POP3_TOO_SOON            "-ERR [LOGIN-DELAY] minimum time between logins has not passed\r\n"
#define POP3_TOO_MANY_SESSIONS   "-ERR [IN-USE] too many sessions of this account\r\n"
#define POP3_IN_USE              "-ERR [IN-USE] another session holds this maildrop\r\n"
#define POP3_MAILDROP_FAILED     "-ERR [SYS/TEMP] the maildrop cannot be read at the moment\r\n"
#define POP3_MESSAGE_FAILED      "-ERR [SYS/TEMP] the message cannot be read at the moment\r\n"
#define POP3_MESSAGE_DAMAGED     "-ERR [SYS/PERM] the message is damaged\r\n"
#define POP3_UPDATE_FAILED       "-ERR [SYS/TEMP] some deleted messages not removed\r\n"
#define POP3_READ_ONLY           "-ERR [SYS/PERM] this maildrop is read-only\r\n"
#define POP3_NO_MEMORY           "-ERR [SYS/TEMP] no memory\r\n"

#define POP3_USER_OK             "+OK send PASS\r\n"
#define POP3_UTF8_OK             "+OK UTF-8\r\n"
#define POP3_XCLIENT_OK          "+OK updated\r\n"
#define POP3_STLS_OK             "+OK begin TLS\r\n"
#define POP3_NOOP_OK             "+OK nothing done\r\n"
#define POP3_DELE_OK             "+OK marked for deletion\r\n"
#define POP3_AUTH_LIST_OK        "+OK mechanisms follow\r\n"
#define POP3_CAPA_OK             "+OK capabilities follow\r\n"
#define POP3_LANG_LIST_OK        "+OK languages follow\r\n"
#define POP3_LANG_OK             "+OK en English\r\n"
#define POP3_TOP_OK              "+OK top of message follows\r\n"
#define POP3_QUIT_OK             "+OK goodbye\r\n"

/* Before there is a session (core/server.c). */
#define POP3_TOO_MANY_CONNECTIONS "-ERR [SYS/TEMP] too many connections, try later\r\n"
#define POP3_WRONG_NETWORK        "-ERR [SYS/PERM] not from your network\r\n"

#endif

/*
 * reply.h - the words of the LMTP service: everything a client can read.
 *
 * Codes are RFC 5321's, enhanced codes RFC 3463's and 5248's.  4yz: try again; 5yz: do not.
 */
#ifndef CORE_LMTP_REPLY_H
#define CORE_LMTP_REPLY_H

#define LMTP_OK            "250 2.0.0 ok\r\n"
#define LMTP_SENDER_OK     "250 2.1.0 ok\r\n"
#define LMTP_RECIPIENT_OK  "250 2.1.5 ok\r\n"
#define LMTP_CHUNK_OK      "250 2.0.0 chunk taken\r\n"
#define LMTP_GO_AHEAD      "354 go ahead\r\n"
#define LMTP_STARTTLS_OK   "220 2.0.0 begin TLS\r\n"
#define LMTP_QUIT_OK       "221 2.0.0 goodbye\r\n"
#define LMTP_CANNOT_VERIFY "252 2.5.0 RCPT tells\r\n"
#define LMTP_HELP                                                                                  \
	"214 2.0.0 LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS HELP QUIT (RFC 2033)\r\n"

#define LMTP_XCLIENT_ATTRIBUTES "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"

/* the dialogue */
#define LMTP_UNKNOWN_COMMAND   "500 5.5.2 unknown command\r\n"
#define LMTP_EMPTY_LINE        "500 5.5.2 empty line, a command was expected\r\n"
#define LMTP_LINE_TOO_LONG     "500 5.5.2 line too long\r\n"
#define LMTP_NOT_SMTP          "500 5.5.1 this is LMTP: say LHLO\r\n"
#define LMTP_FOREIGN           "500 5.5.2 this is an LMTP server\r\n"
#define LMTP_TAKES_NO_ARGUMENT "501 5.5.4 this command takes no argument\r\n"
#define LMTP_NEEDS_NAME        "501 5.5.4 LHLO needs the name of the client\r\n"
#define LMTP_NEEDS_ARGUMENT    "501 5.5.4 this command needs an argument\r\n"
#define LMTP_NOT_IMPLEMENTED   "502 5.5.1 not implemented\r\n"
#define LMTP_TLS_NOT_HERE      "502 5.5.1 there is no TLS here\r\n"
#define LMTP_LHLO_FIRST        "503 5.5.1 LHLO first\r\n"
#define LMTP_MAIL_FIRST        "503 5.5.1 MAIL first\r\n"
#define LMTP_RCPT_FIRST        "503 5.5.1 no valid recipients\r\n"
#define LMTP_MAIL_ALREADY      "503 5.5.1 there is a sender already\r\n"
#define LMTP_CHUNKS_ALREADY    "503 5.5.1 the message has begun: BDAT or RSET\r\n"
#define LMTP_CHUNKS_FAILED     "503 5.5.0 an earlier chunk has failed: RSET\r\n"
#define LMTP_TLS_ALREADY       "503 5.5.1 TLS is spoken already\r\n"
#define LMTP_XCLIENT_MALFORMED "501 5.5.4 XCLIENT needs arguments like ADDR=192.0.2.1\r\n"
#define LMTP_XCLIENT_REFUSED   "550 5.7.0 XCLIENT is not taken from your network\r\n"
#define LMTP_TOO_MANY_ERRORS   "421 4.7.0 too many errors, goodbye\r\n"
#define LMTP_TIMED_OUT         "421 4.4.2 too slow, goodbye\r\n"
#define LMTP_CLOSING           "421 4.3.2 the server is being stopped, try later\r\n"
#define LMTP_NO_MEMORY         "452 4.3.1 no memory, try later\r\n"

/* the envelope */
#define LMTP_WRONG_SENDER         "501 5.1.7 MAIL FROM:<address> was expected\r\n"
#define LMTP_WRONG_RECIPIENT      "501 5.1.3 RCPT TO:<address> was expected\r\n"
#define LMTP_WRONG_PARAMETER      "501 5.5.4 a parameter is wrong\r\n"
#define LMTP_UNKNOWN_PARAMETER    "555 5.5.4 no such parameter\r\n"
#define LMTP_NEEDS_UTF8           "553 5.6.7 such an address needs SMTPUTF8\r\n"
#define LMTP_NO_SUCH_USER         "550 5.1.1 no such user\r\n"
#define LMTP_DISABLED             "550 5.2.1 this mailbox is disabled\r\n"
#define LMTP_OVER_QUOTA           "452 4.2.2 this mailbox is full\r\n"
#define LMTP_TOO_MANY_RECIPIENTS  "452 4.5.3 too many recipients\r\n"
#define LMTP_ACCOUNTS_UNAVAILABLE "451 4.3.0 it cannot be found out at the moment\r\n"

/* the message */
#define LMTP_TOO_LARGE       "552 5.3.4 the message is too large\r\n"
#define LMTP_BARE_NEWLINE    "550 5.6.0 the message has a CR or LF that is not part of CRLF\r\n"
#define LMTP_WRONG_CHUNK     "501 5.5.4 BDAT needs a number of octets, and LAST or nothing\r\n"
#define LMTP_DISK_FULL       "452 4.3.1 no space left, try later\r\n"
#define LMTP_DELIVERY_FAILED "451 4.3.0 the message cannot be stored at the moment\r\n"

/* Before there is a session. */
#define LMTP_TOO_MANY_CONNECTIONS "421 4.3.2 too many connections, try later\r\n"
#define LMTP_WRONG_NETWORK        "421 4.7.1 not from your network\r\n"

#endif

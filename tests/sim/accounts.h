/*
 * accounts.h - who has an account in the simulated world.
 */
#ifndef TESTS_SIM_ACCOUNTS_H
#define TESTS_SIM_ACCOUNTS_H

#define SIM_ACCOUNTS       8u
#define SIM_ADDRESS_OCTETS 32u

void sim_address(unsigned n, char address_out[SIM_ADDRESS_OCTETS]);

#endif

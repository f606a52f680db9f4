"""A maildrop of 100,000 messages: right, and not quadratic."""
import unittest

import harness

COUNT = 100000


def message(n):
    return b"Subject: %d\n\n%s\n" % (n, b"x" * (n % 50))


class Large(harness.Case):
    def filled(self, count):
        site = self.site(start=False)
        site.deliver([message(n) for n in range(1, count + 1)])
        site.start()
        return site

    def check_listings(self, site, count):
        pop = site.session()
        sizes = [len(harness.normalised(message(n))) for n in range(1, count + 1)]
        self.assertEqual(pop.stat(), (count, sum(sizes)))
        self.assertEqual(pop.listing("LIST"), [(n, str(s)) for n, s in enumerate(sizes, 1)])
        ids = pop.listing("UIDL")
        self.assertEqual([n for n, _ in ids], list(range(1, count + 1)))
        self.assertEqual(len({u for _, u in ids}), count)
        for n in (1, 2, count // 2, count):
            self.assert_octets(pop.command_multi("RETR %d" % n), harness.on_the_wire(message(n)))
        return pop

    def cost(self, site):
        """CPU seconds of the server for ten sessions with STAT, UIDL and LIST."""
        before = site.cpu_seconds()
        for _ in range(10):
            with site.session() as pop:
                pop.send("STAT\r\nUIDL\r\nLIST\r\nQUIT\r\n")
                pop.rest()
        return site.cpu_seconds() - before

    def test_listings_are_right_and_their_cost_is_linear(self):
        half, whole = self.filled(COUNT // 2), self.filled(COUNT)
        self.check_listings(half, COUNT // 2)
        self.check_listings(whole, COUNT)
        of_half, of_whole = self.cost(half), self.cost(whole)
        print("# ten sessions with STAT, UIDL, LIST: %.2f s CPU of 50,000 messages, %.2f s of 100,000"
              % (of_half, of_whole))
        self.assertLess(of_whole, 3 * of_half + 0.2)

    def test_first_login_of_a_cold_server_reads_the_index_once(self):
        site = self.filled(COUNT)
        before = site.cpu_seconds()
        site.session().stat()
        self.assertLess(site.cpu_seconds() - before, 2.0 if harness.IS_SANITIZED else 0.5)

    def test_many_deletions(self):
        site = self.filled(COUNT)
        pop = self.check_listings(site, COUNT)
        ids = dict(pop.listing("UIDL"))
        gone = [n for n in range(1, COUNT + 1) if n % 2 == 0]
        for at in range(0, len(gone), 5000):
            batch = gone[at:at + 5000]
            pop.send("".join("DELE %d\r\n" % n for n in batch))
            for _ in batch:
                self.assertTrue(pop.line().startswith(b"+OK"))
        self.assertEqual(pop.stat()[0], COUNT // 2)
        pop.ok("QUIT")
        pop = site.session()
        self.assertEqual([u for _, u in pop.listing("UIDL")],
                         [ids[n] for n in range(1, COUNT + 1, 2)])
        self.assert_octets(pop.command_multi("RETR 50000"), harness.on_the_wire(message(99999)))


if __name__ == "__main__":
    unittest.main()

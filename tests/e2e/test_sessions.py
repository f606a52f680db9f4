"""Several sessions on one maildrop, deliveries beside them (PROTOCOL 13, 14, 23, 24)."""
import threading
import time
import unittest

import harness

MESSAGES = harness.varied_messages(20, seed=5)


class Sessions(harness.Case):
    def test_each_sees_the_snapshot_of_its_login(self):
        site = self.site(messages=MESSAGES)
        first, second = site.session(), site.session()
        self.assertEqual(first.stat(), second.stat())
        uidl = first.listing("UIDL")
        for n in (3, 7, 20):
            first.ok("DELE %d" % n)
        first.ok("QUIT")
        # what another session deleted is still there for this one, in numbers and in octets
        self.assertEqual(second.listing("UIDL"), uidl)
        for n, raw in enumerate(MESSAGES, 1):
            self.assert_octets(second.command_multi("RETR %d" % n), harness.on_the_wire(raw))
        third = site.session()
        self.assertEqual([u for _, u in third.listing("UIDL")],
                         [u for n, u in uidl if n not in (3, 7, 20)])
        second.ok("QUIT")
        third.ok("QUIT")

    def test_both_delete_overlapping_messages(self):
        site = self.site(messages=MESSAGES)
        first, second = site.session(), site.session()
        uidl = dict(first.listing("UIDL"))
        for n in range(1, 11):
            first.ok("DELE %d" % n)
        for n in range(6, 16):
            second.ok("DELE %d" % n)
        first.ok("QUIT")
        second.ok("QUIT")
        left = site.session()
        self.assertEqual([u for _, u in left.listing("UIDL")], [uidl[n] for n in range(16, 21)])
        for n, raw in enumerate(MESSAGES[15:], 1):
            self.assert_octets(left.command_multi("RETR %d" % n), harness.on_the_wire(raw))

    def test_a_deletion_of_all_while_another_reads(self):
        """The log may be begun anew or compacted: the descriptor of the reader keeps the old one."""
        big = [b"Subject: b\n\n" + b"x" * 70 + b"\n" + (b"y" * 70 + b"\n") * 3000
               for _ in range(10)]
        site = self.site(messages=big)
        reader, deleter = site.session(), site.session()
        self.assert_octets(reader.command_multi("RETR 1"), harness.on_the_wire(big[0]))
        for n in range(1, 11):
            deleter.ok("DELE %d" % n)
        deleter.ok("QUIT")
        time.sleep(0.3)  # the space is given back behind the answer
        for n in range(1, 11):
            self.assert_octets(reader.command_multi("RETR %d" % n), harness.on_the_wire(big[n - 1]))
        self.assertEqual(site.session().stat(), (0, 0))
        site.deliver(MESSAGES[:2])
        self.assertEqual(site.session().stat()[0], 2)
        self.assertEqual(reader.stat()[0], 10)

    def test_a_delivery_shows_in_the_next_session_only(self):
        site = self.site(messages=MESSAGES[:5])
        pop = site.session()
        before = pop.listing("UIDL")
        site.deliver(MESSAGES[5:8])
        self.assertEqual(pop.listing("UIDL"), before)
        self.assertEqual(pop.stat()[0], 5)
        self.assertTrue(pop.command("RETR 6").startswith(b"-ERR"))
        pop.ok("DELE 2")
        pop.ok("QUIT")
        pop = site.session()
        after = pop.listing("UIDL")
        self.assertEqual([u for _, u in after[:4]], [u for n, u in before if n != 2])
        self.assertEqual(len(after), 7)
        self.assertEqual(len({u for _, u in after + before}), 8)
        for n, raw in zip((5, 6, 7), MESSAGES[5:8]):
            self.assert_octets(pop.command_multi("RETR %d" % n), harness.on_the_wire(raw))

    def test_the_first_delivery_to_a_maildrop_that_was_empty(self):
        site = self.site()
        pop = site.session()
        self.assertEqual(pop.stat(), (0, 0))
        site.deliver(MESSAGES[:1])
        self.assertEqual(pop.stat(), (0, 0))
        self.assertEqual(site.session().stat()[0], 1)

    def test_unique_ids_are_never_used_again(self):
        site = self.site()
        seen = set()
        for turn in range(6):
            site.deliver(MESSAGES[:3])
            pop = site.session()
            ids = [u for _, u in pop.listing("UIDL")]
            self.assertEqual(len(ids), 3)
            self.assertFalse(seen & set(ids), "turn %d" % turn)
            seen |= set(ids)
            for n in (1, 2, 3):
                pop.ok("DELE %d" % n)
            pop.ok("QUIT")
            if turn == 2:
                site.stop()
                site.start()

    def test_unique_ids_stay_over_a_restart(self):
        site = self.site(messages=MESSAGES)
        before = site.session().listing("UIDL")
        self.assertEqual(site.stop(), 0)
        site.start()
        self.assertEqual(site.session().listing("UIDL"), before)

    def test_exclusive_policy(self):
        site = self.site(messages=MESSAGES, session_policy='"exclusive"')
        first = site.session()
        with site.pop() as second:
            second.line()
            second.ok("USER alice")
            self.assertTrue(second.command("PASS secret").startswith(b"-ERR [IN-USE] "))
        first.ok("QUIT")
        first.rest()
        deadline = time.monotonic() + 5
        while True:
            with site.pop() as again:
                again.line()
                again.ok("USER alice")
                reply = again.command("PASS secret")
            if reply.startswith(b"+OK") or time.monotonic() > deadline:
                break
        self.assertTrue(reply.startswith(b"+OK"), reply)

    def test_many_sessions_and_deliveries_at_once(self):
        """Each listing must be a run of whole deliveries, less what this test deleted itself."""
        site = self.site(messages=MESSAGES[:1])
        faults = []

        def poll():
            try:
                before = set()
                for _ in range(15):
                    with site.session() as pop:
                        ids = [u for _, u in pop.listing("UIDL")]
                        if len(set(ids)) != len(ids) or not before <= set(ids):
                            faults.append((before, ids))
                        before = set(ids)
                        pop.ok("QUIT")
            except Exception as error:  # noqa: B902, it belongs to the main thread
                faults.append(error)

        pollers = [threading.Thread(target=poll) for _ in range(4)]
        for t in pollers:
            t.start()
        for _ in range(10):
            site.deliver(MESSAGES[:3])
        for t in pollers:
            t.join()
        self.assertEqual(faults, [])
        self.assertEqual(site.session().stat()[0], 31)

    def test_quit_of_a_client_that_does_not_wait(self):
        """PROTOCOL 23: it goes through even if the client is already gone."""
        site = self.site(messages=MESSAGES)
        pop = site.session()
        pop.send("DELE 1\r\nDELE 2\r\nQUIT\r\n")
        pop.close()
        deadline = time.monotonic() + 10
        while site.session().stat()[0] != 18 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(site.session().stat()[0], 18)

    def test_a_reset_without_quit_deletes_nothing(self):
        site = self.site(messages=MESSAGES)
        for _ in range(10):
            pop = site.session()
            pop.ok("DELE 1")
            pop.send("DELE 2\r\n")
            pop.reset()
        self.assertEqual(site.session().stat()[0], 20)


class Log(harness.Case):
    def test_a_line_for_each_session_with_its_counts(self):
        site = self.site(messages=MESSAGES)
        pop = site.session()
        sizes = dict(pop.listing("LIST"))
        pop.command_multi("RETR 1")
        pop.command_multi("RETR 2")
        pop.command_multi("TOP 3 0")
        pop.ok("DELE 1")
        pop.ok("QUIT")
        pop.rest()
        event, = site.wait_for_events("session_end")
        self.assertEqual(event["address"], "alice@example.org")
        self.assertEqual(event["retrieved"], "2")
        self.assertEqual(event["topped"], "1")
        self.assertEqual(event["deleted"], "1")
        self.assertEqual(event["octets"], str(int(sizes[1]) + int(sizes[2])))
        self.assertEqual(event["why"], "quit")
        self.assertEqual(event["peer"], "127.0.0.1")
        self.assertEqual(event["listener"], "test")

    def test_how_sessions_end(self):
        site = self.site(failed_logins="1")
        ends = []
        pop = site.session()
        pop.close()
        ends.append("closed_by_peer")
        with site.pop() as pop:
            pop.line()
            pop.ok("USER alice")
            pop.command("PASS wrong")
            pop.rest()
        ends.append("failed_logins")
        with site.pop() as pop:
            pop.send("X\r\n" * 10)
            pop.rest()
        ends.append("unknown_commands")
        with site.pop() as pop:
            pop.send("GET / HTTP/1.0\r\n")
            pop.rest()
        ends.append("foreign_protocol")
        events = site.wait_for_events("session_end", 4)
        self.assertEqual(sorted(e["why"] for e in events), sorted(ends))

    def test_names_from_outside_are_escaped(self):
        site = self.site()
        with site.pop() as pop:
            pop.line()
            pop.ok(b'USER evil" event=session_end why="\x1b[31m\\\xc3\xa4')
            self.assertTrue(pop.command("PASS x").startswith(b"-ERR"))
        site.wait_for_events("login_failed")
        line, = [l for l in site.log().splitlines() if "event=login_failed" in l]
        self.assertIn(r'name="evil\x22 event=session_end why=\x22\x1b[31m\x5c\xc3\xa4"', line)
        self.assertNotIn("secret", site.log())

    def test_no_secret_is_ever_logged(self):
        site = self.site()
        with site.pop() as pop:
            pop.line()
            pop.ok("USER alice")
            pop.command("PASS open-sesame-4711")
            pop.command("PASS open-sesame-4711")
            pop.command("open-sesame-4711")
        site.wait_for_events("session_end")
        self.assertNotIn("sesame", site.log())


if __name__ == "__main__":
    unittest.main()

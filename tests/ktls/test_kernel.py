"""Run inside the VM (tests/ktls/vm): is this the kernel we promise to run on, and does it make TLS records?

What follows it in the same VM may then be believed: ringpostd in clear, and over TLS with the records made by
the kernel.
"""
import os
import re
import socket
import struct
import tempfile
import unittest

TCP_ULP, SOL_TLS, TLS_TX, TLS_RX = 31, 282, 1, 2
TLS_1_2, TLS_1_3 = 0x0303, 0x0304
# linux/tls.h: the number of a cipher, octets of its iv, key and salt
AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305 = (51, 8, 16, 4), (52, 8, 32, 4), (54, 12, 32, 0)


def tls_stat():
    with open("/proc/net/tls_stat") as f:
        return {name: int(count) for name, count in (line.split() for line in f)}


def crypto_info(version, cipher, seed):
    """struct tls12_crypto_info_...: version, cipher, iv, key, salt, rec_seq."""
    number, iv, key, salt = cipher
    return struct.pack("HH", version, number) + bytes([seed]) * (iv + key + salt) + bytes(8)


def connected_pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    return client, server


class Kernel(unittest.TestCase):
    def test_it_is_the_oldest_kernel_that_we_promise_to_run_on(self):
        self.assertRegex(os.uname().release, r"^6\.1\.")

    def test_the_modules_of_tls_are_loaded(self):
        with open("/proc/modules") as f:
            loaded = re.findall(r"(?m)^(\w+)", f.read())
        for name in ("tls", "gcm", "ccm", "chacha20poly1305"):
            self.assertIn(name, loaded)

    def test_spools_lie_on_a_real_file_system(self):
        done = os.popen("stat -f -c %%T %s" % tempfile.gettempdir())
        self.assertEqual(done.read().strip(), "ext2/ext3")
        done.close()

    def test_records_by_the_kernel(self):
        """What one end gives to sendfile comes out of the other, and is not to be read in between."""
        for version in (TLS_1_2, TLS_1_3):
            for cipher in (AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305):
                with self.subTest(version=hex(version), cipher=cipher[0]):
                    self.check_records(version, cipher)

    def check_records(self, version, cipher):
        text = b"".join(b"line %d\r\n" % n for n in range(20000))
        before = tls_stat()
        client, server = connected_pair()
        with client, server, tempfile.TemporaryFile() as file:
            file.write(text)
            file.flush()
            for end, direction in ((server, TLS_TX), (client, TLS_RX)):
                end.setsockopt(socket.SOL_TCP, TCP_ULP, b"tls")
                end.setsockopt(SOL_TLS, direction, crypto_info(version, cipher, 7))
            os.sendfile(server.fileno(), file.fileno(), 0, 5000)
            self.assertEqual(client.recv(5000, socket.MSG_WAITALL), text[:5000])
            got = bytearray()
            at = 5000
            while at < len(text):
                at += os.sendfile(server.fileno(), file.fileno(), at, min(65536, len(text) - at))
                while len(got) < at - 5000:
                    got += client.recv(65536)
            self.assertEqual(bytes(got), text[5000:])
        after = tls_stat()
        for counter in ("TlsTxSw", "TlsRxSw"):
            self.assertEqual(after[counter] - before[counter], 1, counter)

    def test_the_octets_between_are_sealed(self):
        client, server = connected_pair()
        with client, server:
            server.setsockopt(socket.SOL_TCP, TCP_ULP, b"tls")
            server.setsockopt(SOL_TLS, TLS_TX, crypto_info(TLS_1_3, AES_128_GCM, 7))
            server.sendall(b"+OK ready\r\n")
            record = client.recv(4096)
        # application data, legacy version, length: text, its type, tag
        self.assertEqual(record[:5], b"\x17\x03\x03" + struct.pack(">H", 11 + 1 + 16))
        self.assertEqual(len(record), 5 + 11 + 1 + 16)
        self.assertNotIn(b"OK", record)


if __name__ == "__main__":
    unittest.main()

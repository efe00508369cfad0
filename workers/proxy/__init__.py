"""A relay of byte streams between two clients (XEP-0065): `proxy.DOMAIN`, and a port of each process.

`socks` is the protocol on a connection, `meeting` who waits for whom, `port` the sockets, `service` answers clients' requests.
"""

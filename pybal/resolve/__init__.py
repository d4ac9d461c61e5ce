"""From a host name to one address of the VIP's family, renewed for as long as it is wanted.

:mod:`~pybal.resolve.follow` decides when a name is asked for and what an answer changes; it needs nothing but a
:data:`Lookup` and a clock. :mod:`~pybal.resolve.lookup` is the lookup of this host, by its hosts file and its DNS servers;
:mod:`~pybal.resolve.servers` asks these in turn, and :mod:`~pybal.resolve.dns` one of them.
"""

from pybal.resolve.follow import Follower, Lookup, LookupFailed, LookupResult, Resolver
from pybal.resolve.lookup import dns_lookup

__all__ = ["Follower", "Lookup", "LookupFailed", "LookupResult", "Resolver", "dns_lookup"]

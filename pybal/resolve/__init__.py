"""Resolution of host names to one address of the VIP's family, renewed when the answer expires.

:mod:`~pybal.resolve.follow` schedules the lookups of each name and reports changes; it needs only a :data:`Lookup` and a
clock. :mod:`~pybal.resolve.lookup` is the lookup of this host: its hosts file, then its DNS servers.
:mod:`~pybal.resolve.servers` asks the DNS servers in turn, :mod:`~pybal.resolve.dns` asks one of them.
"""

from pybal.resolve.follow import Follower, Lookup, LookupFailed, LookupResult, Resolver
from pybal.resolve.lookup import dns_lookup

__all__ = ["Follower", "Lookup", "LookupFailed", "LookupResult", "Resolver", "dns_lookup"]

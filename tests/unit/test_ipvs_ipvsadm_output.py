"""Output of ipvsadm 1.31 on Linux 6.1 (a guest, 2026-11-21), parsed."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from pybal.ipvs.ipvsadm_output import table
from pybal.ipvs.model import (
    SCTP,
    TCP,
    UDP,
    Destination,
    Encapsulation,
    Flags,
    Forward,
    Key,
    Mark,
    Persistence,
    ServiceKey,
    TableEntry,
    Tunnel,
    VirtualService,
)

SAVED = """\
-A -t 10.2.1.1:80 -s sh -b sh-fallback,sh-port
-a -t 10.2.1.1:80 -r [fd00::11]:80 -i -w 65536 --tun-type ipip
-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 10
-a -t 10.2.1.1:80 -r 10.0.0.12:80 -i -w 10 --tun-type gue --tun-port 6080 --tun-csum
-a -t 10.2.1.1:80 -r 10.0.0.13:80 -i -w 10 --tun-type gre --tun-nocsum
-a -t 10.2.1.1:80 -r 10.0.0.15:8080 -m -w 1
-a -t 10.2.1.1:80 -r 10.0.0.20:80 (null) -w 1
-A --xxx-service 10.2.1.1:80 -s sh
-a --xxx-service 10.2.1.1:80 -r 10.0.0.11:80 -g -w 1
-A -t 10.2.1.1:82 -s wrr -p 300 -M 255.255.255.0 -b flag-1,flag-2
-A -u 10.2.1.1:53 -s rr -o
-A --sctp-service 10.2.1.1:82 -s wrr
-A -t [fd00:2::1]:80 -s mh -p 60 -M 64 -b mh-port
-A -f 7 -s rr
-a -f 7 -r 10.0.0.11:0 -g -w 1
-A -f 7 -6 -s rr
"""

LISTED = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn 
  -> RemoteAddress:Port
TCP  10.2.1.1:80 sh (sh-fallback,sh-port)
  -> [fd00::11]:80                0          0          0          0         
  -> 10.0.0.11:80                 10         3          0          0         
  -> 10.0.0.12:80                 0          0          0          0         
TCP  10.2.1.1:82 wrr (flag-1,flag-2) persistent 300 mask 255.255.255.0
UDP  10.2.1.1:53 rr ops
?    10.2.1.1:80 sh
  -> 10.0.0.12:80                 9          9          0          0         
FWM  7 IPv6 rr
  -> 10.0.0.11:0                  0          0          0          0         
FWM  7 rr
  -> 10.0.0.11:0                  7          0          0          0         
"""  # noqa: W291  # as it is printed


def key(protocol: int, address: str, port: int) -> Key:
    return Key(protocol, ip_address(address), port)


def entry(service: VirtualService, *destinations: Destination) -> tuple[ServiceKey, TableEntry]:
    return service.key, TableEntry(service, {each.endpoint: each for each in destinations})


def test_all_output_of_ipvsadm_is_parsed() -> None:
    tunnel = Forward.TUNNEL
    assert table(SAVED, LISTED) == dict(
        [
            entry(
                VirtualService(key(TCP, "10.2.1.1", 80), "sh", Flags.SCHED1 | Flags.SCHED2),
                Destination(ip_address("fd00::11"), 80, 65536, tunnel),
                Destination(ip_address("10.0.0.11"), 80, 10, upper=10, lower=3),
                Destination(ip_address("10.0.0.12"), 80, 10, tunnel, tunnel=Tunnel(Encapsulation.GUE, 6080, 1)),
                Destination(ip_address("10.0.0.13"), 80, 10, tunnel, tunnel=Tunnel(Encapsulation.GRE)),
                Destination(ip_address("10.0.0.15"), 8080, 1, Forward.MASQUERADE),
                Destination(ip_address("10.0.0.20"), 80, 1, Forward.BYPASS),
            ),
            entry(
                VirtualService(key(TCP, "10.2.1.1", 82), "wrr", Flags.SCHED1 | Flags.SCHED2, Persistence(300, 24)),
            ),
            entry(VirtualService(key(UDP, "10.2.1.1", 53), "rr", Flags.ONE_PACKET)),
            entry(VirtualService(key(SCTP, "10.2.1.1", 82), "wrr")),
            entry(VirtualService(key(TCP, "fd00:2::1", 80), "mh", Flags.SCHED2, Persistence(60, 64))),
            entry(VirtualService(Mark(7), "rr"), Destination(ip_address("10.0.0.11"), 0, upper=7)),
            entry(VirtualService(Mark(7, ipv6=True), "rr")),
        ]
    )


def test_empty_output_is_an_empty_table() -> None:
    assert table("", "IP Virtual Server version 1.2.1 (size=4096)\nProt …\n  -> …\n") == {}


@pytest.mark.parametrize(
    "line",
    [
        "-A -t 10.2.1.1:80",
        "-A -t 10.2.1.1 -s rr",
        "-A -z 10.2.1.1:80 -s rr",
        "-A -t 10.2.1.1:80 -s rr -b flag-9",
        "-a -t 10.2.1.9:80 -r 10.0.0.11:80 -g -w 1",
        "-a -t 10.2.1.1:81 -r 10.0.0.11:80 -w 1",
        "-a -t 10.2.1.1:81 -r 10.0.0.11:80 -g -w",
        "-A -t 10.2.1.1:80 -s rr -p 300 -M 64",
        "-A -t [fd00::1]:80 -s rr -p 300 -M 129",
        "usage",
    ],
)
def test_invalid_line_raises_an_error_that_shows_it(line: str) -> None:
    with pytest.raises(ValueError, match=r"^unexpected output of ipvsadm -Sn: ") as raised:
        table(f"-A -t 10.2.1.1:81 -s rr\n{line}\n", LISTED)
    assert repr(line) in str(raised.value)


def test_invalid_list_of_thresholds_raises_an_error_that_shows_it() -> None:
    with pytest.raises(
        ValueError, match=r"^unexpected output of ipvsadm -Ln --thresholds: '  -> 10\.0\.0\.11:80 x y'$"
    ):
        table(SAVED, "\n\n\nTCP  10.2.1.1:80 sh\n  -> 10.0.0.11:80 x y\n")


def test_tunnel_options_of_another_method_are_ignored() -> None:
    saved = (
        "-A -t 10.2.1.1:80 -s rr\n-a -t 10.2.1.1:80 -r 10.0.0.11:80 -g -w 1 --tun-type gue --tun-port 5 --tun-nocsum\n"
    )
    (entry,) = table(saved, "").values()
    assert [each.tunnel for each in entry.destinations.values()] == [Tunnel()]

"""Rendered tables are parsed back; arbitrary text is a table or an error."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

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
    Table,
    TableEntry,
    Tunnel,
    VirtualService,
)
from pybal.ipvs.render import lines

PORTS = st.integers(0, 2**16 - 1)
KEYS: st.SearchStrategy[ServiceKey] = st.builds(
    Key, st.sampled_from([TCP, UDP, SCTP]), st.ip_addresses(), PORTS
) | st.builds(Mark, st.integers(1, 2**32 - 1), st.booleans())
TUNNELS = st.one_of(
    st.just(Tunnel()),
    st.builds(Tunnel, st.just(Encapsulation.GUE), PORTS, st.integers(0, 2)),
    st.builds(Tunnel, st.just(Encapsulation.GRE), st.just(0), st.integers(0, 2)),
)


@st.composite
def entries(draw: st.DrawFn) -> TableEntry:
    key = draw(KEYS)
    persistence = st.builds(
        Persistence, st.integers(0, 2**32 - 1), st.integers(1, 128 if key.ipv6 else 32), st.sampled_from(["", "sip"])
    )
    scheduler, most = draw(st.sampled_from([("wrr", Flags(60)), ("sh", Flags(28)), ("mh", Flags(28))]))
    flags = draw(st.integers(0, 63).map(lambda bits: Flags(bits) & most))
    service = VirtualService(key, scheduler, flags, draw(st.none() | persistence))
    destinations = draw(st.lists(_destinations(), max_size=3))
    return TableEntry(service, {each.endpoint: each for each in destinations})


@st.composite
def _destinations(draw: st.DrawFn) -> Destination:
    forward = draw(st.sampled_from([Forward.MASQUERADE, Forward.ROUTE, Forward.TUNNEL]))
    tunnel = draw(TUNNELS) if forward is Forward.TUNNEL else Tunnel()
    weight = draw(st.integers(0, 2**31 - 1))
    return Destination(draw(st.ip_addresses()), draw(PORTS), weight, forward, tunnel=tunnel)


TABLES = st.lists(entries(), max_size=4).map(lambda made: {each.service.key: each for each in made})


@given(TABLES)
def test_table_reads_back(wanted: Table) -> None:
    assert table("\n".join(lines(wanted)), "") == wanted


WORDS = st.sampled_from(
    [
        "-A",
        "-a",
        "-t",
        "-f",
        "-6",
        "-s",
        "-r",
        "-g",
        "-w",
        "-b",
        "-p",
        "-M",
        "->",
        "TCP",
        "FWM",
        "rr",
        "7",
        "[::]:80",
        ":",
    ]
)
TEXTS = st.text() | st.lists(st.lists(WORDS).map(" ".join)).map("\n".join)


@given(TEXTS, TEXTS)
def test_any_text_is_a_table_or_an_error(saved: str, listed: str) -> None:
    with suppress(ValueError):
        table(saved, "\n\n\n" + listed)

"""The options of the section [global]."""

from __future__ import annotations

from collections.abc import Sequence

from pybal.config.convert import boolean
from pybal.config.option import names_of, read_options
from pybal.config.options import Options
from pybal.config.peers import read_peers
from pybal.config.settings import BGPSettings, Settings


def read_global(options: Options, peers: Sequence[Options] = ()) -> Settings:
    """Return the settings without any service; ``peers`` are the sections about one peer each.

    The options of a part that is switched off are not read.
    """
    bgp = None
    if options.get("bgp", boolean, False):
        bgp = read_options(BGPSettings, options, "bgp-", peers=read_peers(options, peers))
    return read_options(Settings, options, services=(), bgp=bgp)


GLOBAL_OPTIONS = names_of(Settings)
"""The names of all options of [global]."""

"""Directives of keepalived without an equivalent, with the reason and a remedy for each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_SCRIPT = "PyBal runs no scripts on transitions (use the alerts of /v1/alerts in Icinga or Prometheus)"
_MAIL = "PyBal sends no mail (use check_pybal in Icinga, or the alert rules of Prometheus)"
_SORRY = (
    "PyBal has no sorry server (let the servers send the error page; bgp-withdraw-below leaves the VIP to another site)"
)
_PERSISTENCE = "IPVS persistence is not used (scheduler = sh or mh sends a client address to the same server)"
_BGP = "PyBal announces VIPs by BGP instead of VRRP (set bgp = yes; see docs/bgp-routers.md)"
_LIMIT = "limits of connections are not set in IPVS (limit them on the server)"
_IPVS = "not set by PyBal (run ipvsadm at boot)"
_SOURCE = "checks have no such option; the kernel chooses the source"
_PRIORITY = "set it in the systemd unit of pybal (Nice, CPUSchedulingPolicy)"

SERVICE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("persistence_timeout", "persistence_granularity", "persistence_engine"), _PERSISTENCE),
        **dict.fromkeys(("sorry_server", "sorry_server_inhibit", "sorry_server_lvs_method"), _SORRY),
        **dict.fromkeys(("quorum_up", "quorum_down", "failover_up", "failover_down", "omega"), _SCRIPT),
        **dict.fromkeys(("notify_up", "notify_down"), _SCRIPT),
        "smtp_alert": _MAIL,
        "hysteresis": "PyBal announces a VIP again when enough servers have served for 30 s",
        "ha_suspend": "checks always run; VIPs are announced by BGP, not owned by one balancer",
        "inhibit_on_failure": "a failed server is removed from IPVS instead of getting weight 0",
        "nat_mask": "not used by IPVS",
        "backup_real_server": "a pool has no reserve (list it with weight 0 and raise the weight, or use scheduler = fo)",
        "failover_threshold": "a pool has no reserve; depool-threshold limits the number of removed servers",
        **dict.fromkeys(("uthreshold", "lthreshold"), _LIMIT),
    }
)
"""Directives of a virtual server and of a real server."""

CHECK: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("bind_if", "bind_port", "bindto", "fwmark"), _SOURCE),
        "digest": "PyBal compares no digest (set proxyfetch.body-regex to a text of the page)",
        "regex_no_match": "a regular expression must match (choose one for a text that only a good page has)",
        **dict.fromkeys(
            ("regex_stack", "regex_min_offset", "regex_max_offset"), "the whole body is searched, in bounded time"
        ),
        **dict.fromkeys(
            ("username", "password"),
            "set proxyfetch.headers = [ 'Authorization: Basic …' ] with the encoded credentials",
        ),
        "misc_dynamic": "a check does not change the weight (write the weight into the pool source)",
        "user": "commands run as the user of the daemon",
        "host": "a check connects to the server itself only",
        "payload": "PyBal sends an empty datagram",
        **dict.fromkeys(
            ("require_reply", "min_reply_length", "max_reply_length"),
            "responses are ignored; only an ICMP error is a failure (use RunCommand for a request and its response)",
        ),
    }
)
"""Directives of a check."""

GLOBAL: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "notification_email",
                "notification_email_from",
                "smtp_server",
                "smtp_helo_name",
                "smtp_connect_timeout",
                "smtp_alert",
                "smtp_alert_vrrp",
                "smtp_alert_checker",
                "no_email_faults",
            ),
            _MAIL,
        ),
        "lvs_sync_daemon": f"the connection table is {_IPVS.replace('set', 'synchronised', 1)}",
        "lvs_timeouts": _IPVS,
        "lvs_flush": "set ipvs-exclusive = yes to delete every IPVS service that is not in pybal.conf",
        "lvs_flush_onstop": "PyBal leaves IPVS as it is when it stops; connections continue",
        **dict.fromkeys(("startup_script", "shutdown_script"), "use ExecStartPre and ExecStopPost of the systemd unit"),
        **dict.fromkeys(("checker_priority", "checker_rt_priority", "checker_no_swap"), _PRIORITY),
        **dict.fromkeys(("net_namespace", "net_namespace_ipvs"), "use NetworkNamespacePath of the systemd unit"),
        "net_namespace": "use NetworkNamespacePath of the systemd unit",
    }
)
"""Directives of global_defs."""

TOP: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "vrrp_instance",
                "vrrp_sync_group",
                "vrrp_script",
                "vrrp_track_process",
                "vrrp_track_file",
                "vrrp_track_bfd",
                "vrrp_garp_delay",
                "garp_group",
                "linkbeat_interfaces",
                "interface_up_down_delays",
            ),
            _BGP,
        ),
        **dict.fromkeys(
            ("static_ipaddress", "static_routes", "static_rules", "track_group"),
            "configure the network with its own tool",
        ),
        "bfd_instance": "PyBal has no BFD to servers (IdleConnection detects a crash immediately)",
        "track_file": "no check reads a file (use RunCommand)",
        "SSL": "checks present no client certificate (set proxyfetch.verify and proxyfetch.ca to verify the server)",
    }
)
"""Blocks of the file itself."""

QUIET = frozenset(
    (
        "router_id",
        "lvs_id",
        "snmp_name",
        "warmup",
        "alpha",
        "hashed",
        "log_all_failures",
        "checker_log_all_failures",
        "fast_recovery",
        "tls_compliant",
        "enable_sni",
        "enable_script_security",
        "script_user",
        "process_names",
        "max_auto_priority",
        "use_pid_dir",
    )
)
"""Directives that need no equivalent: PyBal always does the same, or has nothing to set."""

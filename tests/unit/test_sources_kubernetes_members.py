"""The members that nodes become: Unknown conditions, silent nodes and cordoned ones."""

from __future__ import annotations

import pytest

from pybal.config.settings import Cordon, SourceSettings
from pybal.core.model import Member
from pybal.core.steps import finish
from pybal.sources.base import SourceError, Trouble
from pybal.sources.kubernetes.members import SILENCE, NodeMembers
from pybal.sources.kubernetes.wire import Node, Nodes

URL = "k8s://token@api.example"


def ready(name: str, *, cordoned: bool = False) -> Node:
    return Node("1", Member(name, 1), cordoned=cordoned)


def unknown(name: str) -> Node:
    return Node("1", Member(name, 1), ready=None)


def nodes(*found: Node) -> Nodes:
    return {node.member.host: node for node in found if node.member}


def ten(cordoned: str = "", unknown_ones: str = "") -> Nodes:
    """Return the nodes a to j."""
    return nodes(*(unknown(n) if n in unknown_ones else ready(n, cordoned=n in cordoned) for n in "abcdefghij"))


class Followed:
    """The members of nodes over time; ``settings`` are those of the source."""

    def __init__(self, cordon: Cordon = Cordon.DRAIN, *, threshold: float = 0.5, monitored: bool = True) -> None:
        self.now = 0.0
        settings = SourceSettings(URL, cordon=cordon, threshold=threshold, monitored=monitored)
        self._members = NodeMembers(settings)

    def read(self, found: Nodes, after: float = 1.0) -> None:
        self.now += after
        finish(self._members.replacing(found, "1", self.now))
        self.listing = self._members.listing(self.now)

    @property
    def enabled(self) -> str:
        return "".join(member.host for member in self.listing.members if member.enabled)

    @property
    def weighted(self) -> str:
        return "".join(member.host for member in self.listing.members if member.enabled and member.weight)


def test_members_are_sorted_by_name_and_enabled_when_ready() -> None:
    followed = Followed()
    followed.read(nodes(ready("b"), Node("1", Member("a", 1), ready=False)))
    assert followed.listing.members == (Member("a", 1, enabled=False), Member("b", 1))


class TestUnknown:
    """Ready = Unknown: the control plane has lost the node."""

    def test_unknown_nodes_keep_their_last_state(self) -> None:
        followed = Followed()
        followed.read(ten())
        for end in range(1, 11):  # sweeps, one node after the other
            followed.read(ten(unknown_ones="abcdefghij"[:end]), SILENCE)
            assert followed.enabled == "abcdefghij"
        assert followed.listing.problems == (
            "10 of 10 nodes are Unknown (a, b, c, d, e and 5 more); keeping their last state",
        )

    def test_node_that_was_not_ready_stays_disabled_while_unknown(self) -> None:
        followed = Followed()
        followed.read(nodes(ready("a"), Node("1", Member("b", 1), ready=False)))
        followed.read(nodes(ready("a"), unknown("b")))
        assert followed.enabled == "a"

    def test_node_without_a_last_state_stays_as_in_the_pool(self) -> None:
        followed = Followed()
        followed.read(nodes(ready("a"), unknown("b")))
        assert followed.listing.unsure == {"b"}

    @pytest.mark.parametrize(("monitored", "enabled"), [(True, "ab"), (False, "a")])
    def test_new_node_without_a_last_state_is_left_to_its_monitors(self, monitored: bool, enabled: str) -> None:
        """Nine of ten working nodes took no traffic after a first start during a partition."""
        followed = Followed(monitored=monitored)
        followed.read(nodes(ready("a"), unknown("b")))
        assert followed.enabled == enabled

    def test_listing_is_refused_when_no_node_is_known_to_be_ready(self) -> None:
        """A partitioned control plane marks every node Unknown after 40 s; the nodes still work."""
        with pytest.raises(SourceError) as caught:
            Followed().read(nodes(unknown("a"), unknown("b"), Node("1", Member("c", 1), ready=False)))
        assert str(caught.value) == "no node is Ready and 2 of 3 are Unknown; assuming a partitioned control plane"
        assert caught.value.trouble is Trouble.FLOOR

    def test_listing_is_accepted_when_all_nodes_are_not_ready(self) -> None:
        followed = Followed()
        followed.read(nodes(Node("1", Member("a", 1), ready=False)))
        assert followed.listing.members == (Member("a", 1, enabled=False),)

    def test_silent_nodes_without_monitors_are_disabled_up_to_the_share(self) -> None:
        followed = Followed(monitored=False)
        followed.read(ten())
        followed.read(ten(unknown_ones="j"))
        followed.read(ten(unknown_ones="abcdefghij"), SILENCE - 1)
        assert followed.enabled == "abcdefghij"
        followed.read(ten(unknown_ones="abcdefghij"))
        assert followed.enabled == "abcdefghi"
        followed.read(ten(unknown_ones="abcdefghij"), SILENCE)
        assert followed.enabled == "efghi"
        assert followed.listing.problems[0].endswith("; disabling 5 of them after 300 s")
        followed.read(ten(unknown_ones="a"))
        assert followed.enabled == "bcdefghij"

    def test_last_enabled_node_is_never_disabled_for_silence(self) -> None:
        followed = Followed(monitored=False)
        followed.read(nodes(ready("a")))
        followed.read(nodes(unknown("a")))
        followed.read(nodes(unknown("a")), 2 * SILENCE)
        assert followed.enabled == "a"


class TestCordon:
    """Unschedulable concerns new pods, not traffic."""

    def test_cordoned_nodes_are_drained_while_the_floor_is_met(self) -> None:
        followed = Followed()
        for end in range(1, 11):
            followed.read(ten(cordoned="jihgfedcba"[:end]))
            assert followed.weighted == "abcdefghij"[: max(5, 10 - end)]
        assert followed.enabled == "abcdefghij"
        (problem,) = followed.listing.problems
        assert problem.startswith("5 cordoned nodes keep their weight (a, b, c, d, e): at least 5 nodes need one (set ")

    def test_floor_counts_ready_nodes_only(self) -> None:
        followed = Followed(threshold=0.5)
        others = [Node("1", Member(name, 1), ready=False) for name in "cd"]
        followed.read(nodes(ready("a", cordoned=True), ready("b"), *others))
        assert followed.weighted == "ab"

    @pytest.mark.parametrize("threshold", [0.0, 0.5])
    def test_last_node_keeps_its_weight(self, threshold: float) -> None:
        followed = Followed(threshold=threshold)
        followed.read(nodes(ready("a", cordoned=True)))
        assert followed.weighted == "a"
        assert followed.listing.problems

    def test_drained_node_stays_drained_when_others_are_cordoned(self) -> None:
        followed = Followed()
        followed.read(nodes(ready("a"), ready("b", cordoned=True)))
        followed.read(nodes(ready("a", cordoned=True), ready("b", cordoned=True)))
        assert followed.weighted == "a"

    def test_uncordoned_node_has_its_weight_again(self) -> None:
        followed = Followed()
        followed.read(ten(cordoned="abc"))
        followed.read(ten())
        assert (followed.weighted, followed.listing.problems) == ("abcdefghij", ())

    def test_cordon_removes_the_node_with_remove(self) -> None:
        followed = Followed(Cordon.REMOVE)
        followed.read(ten(cordoned="ab"))
        assert followed.enabled == "cdefghij"
        assert followed.listing.removed == {"a", "b"}

    def test_cordon_has_no_effect_with_ignore(self) -> None:
        followed = Followed(Cordon.IGNORE)
        followed.read(ten(cordoned="abcdefghij"))
        assert (followed.weighted, followed.listing.problems) == ("abcdefghij", ())


def test_invalid_node_stays_as_in_the_pool() -> None:
    followed = Followed()
    followed.read({"a": Node("1", None, None, problem="host a: spec 5, wanted an object"), **nodes(ready("b"))})
    assert followed.listing.members == (Member("b", 1),)
    assert followed.listing.problems == ("host a: spec 5, wanted an object",)
    assert followed.listing.unsure == {"a"}

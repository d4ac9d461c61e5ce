"""The phrases that the check rejects, each with its reason and a sentence that shows it.

The check reads every file but this one: this is the only place for rejected phrases.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrase:
    """A rejected phrase: its pattern, why and what to use instead, and an example that contains it.

    A blank in the pattern stands for any white space. Case is ignored, except in ``(?-i:…)``.
    """

    pattern: str
    advice: str
    example: str


_NEGATIVE = "say it positively"
_PERSON = "software is not a person"

WORDS = (
    # Rule 3: software does not speak, hear, believe, know or blame.
    Phrase(r"believ(e|es|ed|ing)", f"{_PERSON}: use 'trust', 'accept' or 'act on'", "checks are believed"),
    Phrase(r"heard|hears|hear (of|from)", f"{_PERSON}: use 'received', 'reported' or 'responds'", "a peer was heard"),
    Phrase(r"told", f"{_PERSON}: use 'notified', 'sent', 'reported' or 'configured'", "the peer is told again"),
    Phrase(r"tells", f"{_PERSON}: use 'returns', 'reports' or 'shows'", "it tells whether the peer is up"),
    Phrase(r"knows", f"{_PERSON}: use 'has', 'holds', 'supports' or 'recognises'", "the kernel knows the key"),
    Phrase(r"blam(e|es|ed)", f"{_PERSON}: use 'attributed to' or 'caused by'", "the server is blamed"),
    Phrase(r"obey(s|ed)?", f"{_PERSON}: use 'applied' or 'accepted'", "an operator is obeyed"),
    Phrase(
        r"(says?|said) (what|whether|which|who|why|how|so|that|no|to be)",
        f"{_PERSON}: use 'returns', 'reports' or 'is'",
        "a check, said to be slow",
    ),
    Phrase(r"(is|are|was|were) said", f"{_PERSON}: use 'is reported' or 'is logged'", "a list is said once"),
    Phrase(
        r"not known (what|which|whether|who|how)", "name what is unknown: 'cannot read …'", "not known which are ours"
    ),
    # Rule 4: if, when, because, until, again, immediately, at most N.
    Phrase(r"anew", "archaic: use 'again'", "the cluster begins anew"),
    Phrase(r"lest", "archaic: use 'so that … not'", "a copy, lest it changes"),
    Phrase(
        r"thereafter|thereof|therein|thereby|henceforth",
        "archaic: use 'then', 'its' or 'after that'",
        "thereafter it ends",
    ),
    Phrase(r"meanwhile", "use 'while …' or 'until …'", "meanwhile the table stays"),
    Phrase(r"whom|whoever|whomever|that which", "name the noun", "whom the kernel trusts"),
    Phrase(r"so many", "use the number or 'at most N'", "at most so many run"),
    Phrase(r"whatever", "use 'even if …', 'any' or 'regardless of …'", "the floor counts, whatever the list contains"),
    Phrase(
        r"of (its|their|our) own(?! (?!and|as|at|for|in|on|that|to|with)\w)",
        "use 'its own' before the noun",
        "a network of its own",
    ),
    Phrase(r"to be had", "use 'available'", "no address is to be had"),
    Phrase(r"once more", "use 'again'", "the list is read once more"),
    Phrase(r"as yet", "use 'not … yet'", "no list as yet"),
    Phrase(r"the former", "name the noun, or use 'previous'", "the former is closed"),
    Phrase(r"slowly more", "use 'still arriving'", "33 bytes in 4 s, and slowly more"),
    Phrase(r"seldom", "use 'rarely' or the interval in seconds", "asked more and more seldom"),
    Phrase(
        r"at once",
        "ambiguous: use 'immediately' or 'concurrently' ('all at once', 'too many at once' are accepted)",
        "a new goal is tried at once",
    ),
    Phrase(r", as (its|their|there|no|nothing)", "use 'because'", "it waits, as its list has not come"),
    # Rule 5: say it positively.
    Phrase(r"nobody", f"{_NEGATIVE}: 'no server responds'", "nobody answers"),
    Phrase(r"(says?|said|saying) nothing", f"{_NEGATIVE}: 'inconclusive'", "its failure says nothing"),
    Phrase(r"(?-i:(is|are|was|were) none)", f"{_NEGATIVE}: 'is missing', 'is invalid', 'is unset'", "its name is none"),
    Phrase(r"(?-i:none of)", f"{_NEGATIVE}: 'no server', 'neither'", "none of 12 hosts answered"),
    Phrase(r"(makes?|made|making) no sense", f"{_NEGATIVE}: 'invalid', 'unrecognised'", "a line that makes no sense"),
    Phrase(r"not as it was|as we left it", f"{_NEGATIVE}: 'changed', 'drift'", "IPVS was not as we left it"),
    # Rule 1: the field's word.
    Phrase(r"local trouble|trouble (of|with)|'s trouble|is no trouble", "name the error", "checks meet local trouble"),
    Phrase(r"are void", "use 'ignored'", "their results are void"),
    Phrase(r"(be|is|are|was|were|been) cut off", "use 'isolated' or 'partitioned'", "we may be cut off"),
    Phrase(r"our own fault", "use 'local error'", "held for our own fault"),
    Phrase(r"is left so", "use 'not repairing'", "it is left so"),
    Phrase(r"services of others", "use 'of other programs' or 'foreign'", "services of others: mark 7"),
    Phrase(r"by others", "use 'by another program'", "changed by others"),
    Phrase(r"serves? on|served on", "use 'keeping the last list'", "the last list serves on"),
    Phrase(r"go(es)? on to|went on to", "use 'then' and the verb", "it goes on to send"),
    Phrase(r"would let it", "name the option to set", "allow-empty = yes would let it"),
    Phrase(r"(is|are) of another", "use 'does not match'", "the certificate is of another name"),
    Phrase(r"(is|are) up to no", "use 'not signed by a trusted CA'", "it is up to no authority"),
    Phrase(r"come late", "use 'behind schedule'", "commands come late"),
    Phrase(r"(is|are|was|were) wanted (of|from)", "name the goal or the update", "nothing is wanted of it yet"),
    Phrase(r"made as wanted", "use 'applied' or 'created'", "the entry is made as wanted"),
    Phrase(r"taken no connection", "use 'never established'", "it has taken no connection yet"),
    Phrase(r"brok(e|en) off|breaks? off", "use 'failed half-way' or 'interrupted'", "a reload broke off"),
    Phrase(r"(is|are) sure to", "state the command to run", "a restart is sure to apply it"),
    Phrase(r", perhaps", "use 'did you mean …?'", "wanted proxyfetch.url, perhaps"),
    Phrase(r"a vip less", "use 'raise the MED' or 'withdraw'", "announce a VIP less"),
    Phrase(r"let more go", "use 'allow more removals'", "let more go than the option"),
    Phrase(r"who we are", "use 'credentials' or 'identity'", "a section shows who we are"),
    Phrase(r"given by that word", "use 'argument'", "the drain that was given by that word"),
    Phrase(r"finds? no place|found no place", "use 'no slot is free'", "a check finds no place"),
    Phrase(r"half as long again", "use 'exponential back-off: factor N'", "each half as long again"),
)

#: Accepted though they contain a rejected phrase.
ACCEPTED = r"all at once|(?:many|more than|at most) (?:\w+ ){0,3}at once"

#: Rule 2: a sentence begins with its subject or verb. Lower case counts at the beginning of a text only.
OPENINGS = (
    Phrase(r"what|who|whose|whoever|whom", "open the sentence with a noun or a verb", "What peers send is stored."),
    Phrase(r"there (is|are|was|were)", "open with the subject: 'no server responds'", "There is a second peer."),
    Phrase(r"(?-i:Of)", "open with the subject", "Of two lists the last counts."),
    Phrase(r"(?-i:Where)", "use 'If' or 'When'", "Where a peer differs, ExaBGP restarts."),
    Phrase(r"(?-i:So)", "state the rule itself, or join it with 'because'", "So: three servers."),
    Phrase(
        r"(?-i:As) (the|its?|they|their|there|this|that|no|nothing|we|all|both|each)",
        "use 'Because', 'When' or 'While'",
        "As the list is empty, it waits.",
    ),
)

#: Words that begin neither a docstring nor the subject of a test name nor an imperative.
_NO_SUBJECT = (
    r"what|who|whom|whose|which|that|this|these|those|how|why|whether|where|when|while|if|unless|until|because|as|so|than"
    r"|it|its|they|their|he|she|we|our|you|your|is|are|was|were|has|had|does|did|can|may|must|will"
    r"|of|for|from|to|in|into|on|at|by|with|without|about|like|here|there|nobody|nothing|something|not|but|and|or"
)

#: Rule 9: a docstring begins with a verb or with the thing it names.
FIRST_WORDS = (
    Phrase(
        r"tells?|says?|hears?|believes?|knows?|obeys?",
        "use a verb that fits software: 'Return', 'Report', 'Check'",
        "Tell whether the peer is up.",
    ),
    Phrase(
        _NO_SUBJECT,
        "begin with a verb ('Return') or a noun phrase ('A FIFO semaphore.')",
        "Whether the peer is up.",
    ),
)

#: Rule 11: a test name begins with its subject, a noun.
SUBJECT = Phrase(
    rf"{_NO_SUBJECT}|the|a|an|do|after|before|anything|nor|only|even|neither",
    "begin with the subject: test_<subject>_<verb>_<object>",
    "test_a_peer_closes",
)

#: Rule 10: a commit subject continues with an imperative after its area.
IMPERATIVE = Phrase(
    rf"{_NO_SUBJECT}|the|an?|after|before|all|any|both|each|every|no|none|only|one|two|three|some|many|another"
    r"|(?!(?:embed|exceed|feed|need|proceed|seed|shed|speed)\b)\w+ed"
    r"|(?!(?:bring|ping|ring|string)\b)\w+ing"
    r"|(?!(?:focus|bias)\b)\w+[^s\W]s",
    "continue with an imperative: 'sources: refuse an empty list'",
    "sources: refuses an empty list",
)

#: Texts of before the rewriting: the check rejects every one of them.
BEFORE = (
    "Checks meet local trouble, their results are void: EMFILE",
    "none of 12 hosts of 4 services that had just answered did so for the last 3 s: we may be cut off, what fails so says nothing",
    "that is too long to be held for our own fault, checks are believed",
    "IPVS was not as we left it, and is again: {reason}",
    "IPVS was changed by others: …; it is left so",
    "It is not known which services of IPVS are ours beside those of the configuration",
    "the last good list of 5 servers serves on",
    "lists no servers; allow-empty = yes would let it",
    "the server's certificate is of another name",
    "the server's certificate has expired, or is up to no authority that we trust",
    "is an etcd that has begun anew",
    "commands come late: more than 32 want to run at once",
    "peer X was not sent what is wanted of 192.0.2.1/32; told again",
    "session with peer X is IDLE, for 12 s: it has taken no connection yet",
    "exabgp said what makes no sense: …",
    "a reload broke off: only a restart is sure to apply all of it",
    "found an unknown option, wanted proxyfetch.url, perhaps",
    "announce a VIP less, and after bgp-drain-wait no more",
    "let more go than max-blast-radius",
    "? service web: nothing is wanted of it yet, as its list of servers has not come",
    "without an answer it is asked more and more seldom, every 10 s in the end",
    "A section [http HOST] says who we are and whom we believe",
    "That no node is ready while some are not heard of is the control plane's trouble: the last list stays",
    "Where a peer itself or bgp-local-ips differs, ExaBGP begins all anew",
    "undoes the drain that was given by that word; all undoes only that of all",
    "A bound on what may go on at once: who finds no place waits for one",
    "What a pool source has told so far: each list that is new, and each new problem once",
    "What is believed of a list: operators are obeyed at any size, but half a list that is gone at once is nobody's word",
    "Pauses from first to most seconds, each half as long again as the one before, less up to a quarter",
)
#: The texts that replace them: the check accepts every one of them.
AFTER = (
    "Local resource error (EMFILE); ignoring check results until it clears",
    "No response from any of 12 hosts in 4 services for 3 s; this balancer may be isolated, ignoring timeouts",
    "IPVS drift repaired: {reason}",
    "IPVS changed by another program: …; not repairing (ipvs-drift = report)",
    "Cannot read the ownership ledger {file}: …; leftover services will not be removed",
    "keeping the last good list (5 servers)",
    "refused an empty server list (set allow-empty = yes to accept it)",
    "certificate does not match host name X (it names A, B)",
    "etcd cluster was re-created (different cluster ID, or lower revision); reading everything again",
    "RunCommand behind schedule: limit of 32 concurrent commands reached",
    "peer X: update for 192.0.2.1/32 was not sent in time; re-announcing",
    "BGP session with X down for 12 s (IDLE): never established",
    "unrecognised line from exabgp: …",
    "reload failed half-way; restart pybal to apply the whole configuration",
    "unknown option (did you mean proxyfetch.url?)",
    "raise the MED of a VIP, then withdraw it after bgp-drain-wait",
    "retried with exponential back-off, at most every 10 s",
    "Section [http HOST] sets credentials and the trusted CA",
    "Changing a peer's own options or bgp-local-ips restarts ExaBGP and resets every session",
    "Cancels the drain started with the same argument; `undrain all` cancels `drain all` only",
    "A FIFO semaphore.",
    "Deduplicates the lists and problems a source reports to its listener.",
    "Sanity checks on a new list: refuse it if it is empty or has lost too many servers at once.",
    "Exponential back-off: factor 1.5, from `first` to `most` seconds, with up to 25 % jitter.",
)

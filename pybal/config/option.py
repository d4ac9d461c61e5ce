"""Declaration of options: a field of a dataclass holds name, default, converter and help of one.

Parser, defaults, nearest-name suggestions, the difference of a reload, the reference documentation and the check of
etc/pybal.conf derive from it. A kind of monitor declares its options in its own file::

    # pybal/monitors/mysql.py
    @dataclass(frozen=True, slots=True, kw_only=True)  # kw_only: a required option may follow inherited ones
    class MySQL(Interval):  # Interval declares timeout, interval, rise, fall, ... once for all kinds
        # Its docstring, one sentence, becomes the description of the kind in the reference.
        user: str = option("", optional_text, help="log in as this user, without a password")
        timeout: float = option(3.0, seconds, help="time limit of one check, in seconds")  # another default

        def validate(self, options: Options, prefix: str) -> None:  # if options can contradict each other
            if self.user == "root":
                options.refuse(f"{prefix}user", shown(self.user), "a user without privileges")

    KIND = Kind("MySQL", MySQL)  # declares mysql.user, mysql.timeout, mysql.interval, ...

:func:`pybal.config.parse.parse` takes the table of kinds (name → :class:`Kind`) as an argument. A subclass of `Kind` may
hold more facts about a kind, such as its factory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pybal.config.convert import Converter, boolean
from pybal.config.options import Options

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
S = TypeVar("S", bound="DataclassInstance")

NO_DEFAULTS: Mapping[str, Any] = MappingProxyType({})
_KEY = "option"


@dataclass(frozen=True, slots=True)
class Option:
    """The declaration of one option; see :func:`option` and :func:`required`."""

    name: str
    convert: Converter[Any]
    help: str
    default: Any
    required: bool = False
    aliases: tuple[str, ...] = ()
    same_as: str = ""
    variants: tuple[str, ...] = ()
    show: Callable[[Any], str] | None = None
    restart: bool = False
    default_text: str = ""
    example: str = ""
    secret_file: bool = False
    is_secret: Callable[[Any], bool] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The declaration of nested settings; see :func:`group`."""

    declared: type[Any]
    prefix: str = ""
    switch: Option | None = None


def option(
    default: T,
    convert: Converter[T],
    *,
    help: str,  # noqa: A002  as in argparse
    name: str = "",
    aliases: tuple[str, ...] = (),
    same_as: str = "",
    variants: tuple[str, ...] = (),
    show: Callable[[T], str] | None = None,
    restart: bool = False,
    default_text: str = "",
    example: str = "",
    secret_file: bool = False,
    is_secret: Callable[[T], bool] | None = None,
) -> T:
    """Declare an option at a field of a settings class.

    ``help`` is a phrase for the reference, with the unit of a number. Without a ``name`` the option has the name of the
    field, with hyphens for underscores; both follow the prefix of the class.

    * ``aliases``: more names of the same list; their values are appended.
    * ``same_as``: a field of the class whose value the default ``None`` stands for; an equal value is read as ``None``.
    * ``variants``: the variants of its section in which the option exists, all of them by default.
    * ``show``: the inverse of ``convert``, where :func:`written` is not.
    * ``restart``: a change takes a restart of the daemon.
    * ``default_text``: a phrase for a default that depends on other options.
    * ``example``: a value for etc/pybal.conf that differs from the default.
    * ``secret_file``: the value is the name of a file with a secret.
    * ``is_secret``: whether a value holds a secret; the values are left out of the representation of the class.
    """
    declared = Option(
        name,
        convert,
        help,
        default,
        aliases=aliases,
        same_as=same_as,
        variants=variants,
        show=show,
        restart=restart,
        default_text=default_text,
        example=example,
        secret_file=secret_file,
        is_secret=is_secret,
    )
    return field(default=default, repr=is_secret is None, metadata={_KEY: declared})


def required(
    stand_in: T,
    convert: Converter[T],
    *,
    help: str,  # noqa: A002
    name: str = "",
    is_secret: Callable[[T], bool] | None = None,
    example: str = "",
) -> T:
    """Declare an option without a default.

    ``stand_in`` replaces a missing or invalid value while the rest of the file is read. ``is_secret`` as for :func:`option`.
    """
    declared = Option(name, convert, help, stand_in, required=True, example=example, is_secret=is_secret)
    return cast("T", field(repr=is_secret is None, metadata={_KEY: declared}))


def group(
    declared: type[Any],
    *,
    prefix: str = "",
    switch: str = "",
    help: str = "",  # noqa: A002
    restart: bool = False,
    given: bool = False,
) -> Any:  # noqa: ANN401
    """Declare a field that holds the settings of another class.

    The class ``declared`` declares their options; ``prefix`` is appended to the prefix of the outer class. ``switch`` is the full
    name of a boolean option: while it is off, the field is ``None``. A field that is ``given`` has no default.
    """
    on = Option(switch, boolean, help, default=False, restart=restart) if switch else None
    default: Any = {} if given else {"default": None} if switch else {"default_factory": declared}
    return field(metadata={_KEY: Group(declared, prefix, on)}, **default)


def declared(member: Field[Any]) -> Option | Group | None:
    """Return the declaration at a field, ``None`` if it has none; names are without the prefix."""
    found: Option | Group | None = member.metadata.get(_KEY)
    if isinstance(found, Option) and not found.name:
        return replace(found, name=member.name.replace("_", "-"))
    return found


def options_of(settings: type[DataclassInstance], prefix: str = "", variant: str = "") -> Iterator[Option]:
    """Yield the options that a settings class declares, with full names, in order; nested ones included."""
    for member in fields(settings):
        match declared(member):
            case Option() as found if not found.variants or variant in found.variants:
                yield replace(found, name=prefix + found.name, aliases=tuple(prefix + each for each in found.aliases))
            case Group(nested, more, switch):
                if switch:
                    yield switch
                yield from options_of(nested, prefix + more, variant)


def names_of(settings: type[DataclassInstance], prefix: str = "", variant: str = "") -> frozenset[str]:
    """Return the full names of all options that a settings class declares."""
    return frozenset(name for found in options_of(settings, prefix, variant) for name in (found.name, *found.aliases))


def read_options(
    settings: type[S],
    options: Options,
    prefix: str = "",
    variant: str = "",
    defaults: Mapping[str, Any] = NO_DEFAULTS,
    **given: Any,  # noqa: ANN401
) -> S:
    """Return the settings that a section configures; every problem is added to ``options``.

    Fields that are ``given`` are not read. ``defaults``, by field, replace declared ones; a required option that has one
    may be missing.
    """
    values = dict(given)
    same_as: dict[str, str] = {}
    for member in fields(settings):
        found = None if member.name in given else declared(member)
        if isinstance(found, Group):
            values[member.name] = _read_group(found, options, prefix, variant)
        elif found and (not found.variants or variant in found.variants):
            if member.name in defaults:
                found = replace(found, default=defaults[member.name], required=False)
            values[member.name] = _read_option(found, options, prefix)
            same_as[member.name] = found.same_as
    values |= {name: None for name, other in same_as.items() if other and values[name] == values[other]}
    result = settings(**values)
    if validate := getattr(result, "validate", None):
        validate(options, prefix)
    return result


def _read_option(found: Option, options: Options, prefix: str) -> Any:  # noqa: ANN401
    read = options.need if found.required else options.get
    value = read(prefix + found.name, found.convert, found.default)
    for alias in found.aliases:
        value += options.get(prefix + alias, found.convert, found.default)
    if found.secret_file and value:
        options.add_secret(prefix + found.name, value)
    elif found.is_secret and found.is_secret(value):
        options.add_secret(prefix + found.name)
    return value


def _read_group(found: Group, options: Options, prefix: str, variant: str) -> Any:  # noqa: ANN401
    if found.switch and not options.get(found.switch.name, boolean, False):
        return None
    return read_options(found.declared, options, prefix + found.prefix, variant)


def written(value: object) -> str:
    """Return a value as an operator writes it in pybal.conf."""
    match value:
        case None | "":
            return '""'
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case tuple():
            texts = ", ".join(f"'{each}'" for each in value)
            return f"[ {texts} ]" if texts else "[]"
        case bytes():
            return '"' + repr(value)[2:-1] + '"'
    return str(value)


@dataclass(frozen=True, slots=True)
class Kind(Generic[S]):
    """A kind of monitor: its name in the option ``monitors`` and the class that declares its options."""

    name: str
    settings: type[S]

    @property
    def prefix(self) -> str:
        """The prefix of its options: ``proxyfetch.``."""
        return f"{self.name.lower()}."

    @property
    def options(self) -> frozenset[str]:
        """The full names of its options."""
        return names_of(self.settings, self.prefix)

    def read(self, options: Options) -> S:
        """Return the settings that the section of a service configures; every problem is added to ``options``."""
        return read_options(self.settings, options, self.prefix)


Kinds = Mapping[str, Kind[Any]]
"""The kinds of monitor, by name."""

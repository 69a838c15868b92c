"""The canonical forms of what identifies an account: its e-mail address, password and name."""

from __future__ import annotations

import re
import unicodedata

import idna

EMAIL_LENGTH_MAX = 254
_LOCAL_PART_OCTETS_MAX = 64
NAME_LENGTH_MAX = 200
PASSWORD_LENGTH_MIN = 8
PASSWORD_LENGTH_MAX = 128


# A dot-atom of RFC 5322, section 3.2.3, with the letters of every script (RFC 6531). Quoted local parts,
# which nobody has, are not accepted.
_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*")


def canonical_email(email: str) -> str:
    """Return the one form under which an address is stored and found.

    The local part in NFC and case-folded, the domain in its IDNA (ASCII) form. Nothing is looked up in the
    DNS. Raises ValueError, with a sentence, for anything that is not an address of at most 254 characters.
    """
    local_part, at, domain = unicodedata.normalize("NFC", email.strip(" ")).rpartition("@")
    if not at or not domain:
        raise ValueError("An e-mail address has the form name@domain.")
    local_part = unicodedata.normalize("NFC", local_part.casefold())
    if not _LOCAL_PART.fullmatch(local_part) or len(local_part.encode()) > _LOCAL_PART_OCTETS_MAX:
        raise ValueError("The part of the e-mail address before the @ is not valid.")
    try:
        ascii_domain = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError:
        raise ValueError("The domain of the e-mail address is not valid.") from None
    if ascii_domain.endswith("."):
        raise ValueError("The domain of the e-mail address ends in a dot.")
    canonical = f"{local_part}@{ascii_domain}"
    if len(canonical) > EMAIL_LENGTH_MAX:
        raise ValueError(f"The e-mail address is longer than {EMAIL_LENGTH_MAX} characters.")
    return canonical


def normalise_password(password: str) -> str:
    """Return the form of a password that is hashed (RFC 8265, OpaqueString): NFC, every space a plain one.

    Raises ValueError, with a sentence, unless it then has 8 to 128 characters.
    """
    normalised = unicodedata.normalize(
        "NFC", "".join(" " if unicodedata.category(character) == "Zs" else character for character in password)
    )
    if not PASSWORD_LENGTH_MIN <= len(normalised) <= PASSWORD_LENGTH_MAX:
        raise ValueError(f"A password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters.")
    return normalised


def normalise_name(name: str) -> str:
    """Return a name in NFC, without white space around it.

    Raises ValueError, with a sentence, unless 1 to 200 characters are left.
    """
    normalised = unicodedata.normalize("NFC", name.strip())
    if not 1 <= len(normalised) <= NAME_LENGTH_MAX:
        raise ValueError(f"A name has 1 to {NAME_LENGTH_MAX} characters.")
    return normalised

"""HTTP as a proxy needs it: what was asked, what may be kept, what to answer.

    messages.py     heads: addresses, fields, and what a proxy adds and leaves out
    channel.py      a connection: events of h11, with limits on what may come and how slowly
    conditions.py   RFC 9110, 13 and 14: validators, conditional requests, ranges
    caching.py      RFC 9111: what may be kept, for how long, and what ends it

The rule kept here: h11 speaks the protocol. It finds where heads and bodies begin and end, and
refuses what is malformed; these modules only decide what a well-formed message means. Whatever
two programs on the way could read in two ways (a length and chunks) is refused.

What this folder does not know: files, and which clients share a download.
"""

from .messages import Failure, Headers, Url, can_be_told, field, seconds_of, with_marks

__all__ = ["Failure", "Headers", "Url", "can_be_told", "field", "seconds_of", "with_marks"]

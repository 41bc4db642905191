"""A caching HTTP proxy made of fibers; ``python -m fiberlab.replicator`` runs it.

    http/             what was asked, what may be kept, what to answer (h11 speaks the protocol)
    cache/            files under host:port/path, and downloads on their way there
    proxy.py          the fibers: one download for each address, shared by all that ask for it
    origins.py        how an origin is asked
    revalidation.py   what an origin says of a file that is here
    tunnel.py         CONNECT

In the manner of HTTP Replicator, the proxy for which the FIBER module was made. What it leaves
out: FTP, which browsers and tools have given up; rules that expire or delete what is cached,
since the origin is asked each time whether a file has changed (``--static`` trusts the cache),
and what is in the folder is yours to remove; looking inside https, which CONNECT carries unread.
What is personal (Authorization, cookies, private, no-store, Vary), or comes without its length,
is passed on and not kept; on Windows, where open files keep their names, nothing is.
`docs/replicator.md` tells which rules of HTTP's caching are followed and which are not.
"""

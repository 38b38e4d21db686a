"""What goes wrong with a request to the outside.

No field holds a URL's query or a header: `url` is always what `shown_url` gives.
"""

from apps.kernel.errors import DomainError, Forbidden, Invalid


class UrlInvalid(Invalid):
    """A text that is no URL to ask. Fields: reason (spelling, length, host, port, credentials)."""

    code = "url_invalid"
    title = "The URL cannot be used"


class UrlSchemeRefused(Invalid):
    """Another scheme than those asked for. Fields: allowed."""

    code = "url_scheme_refused"
    title = "The URL's scheme is not allowed here"


class AddressRefused(Forbidden):
    """The host is, or resolves to, an address that is not of the public internet. Fields: url, reason."""

    code = "address_refused"
    title = "The address is not open to requests"


class AllowInvalid(Invalid):
    """An entry of the allow-list that is no host, `host:port`, address or network. Fields: entry."""

    code = "egress_allow_invalid"
    title = "The entry of the allow-list cannot be read"


class HeaderRefused(Invalid):
    """A header that the connection owns, or one with forbidden characters. Fields: name."""

    code = "header_refused"
    title = "The header may not be set"


class MethodRefused(Invalid):
    """A method that is not sent. Fields: allowed."""

    code = "method_refused"
    title = "The method is not allowed here"


class SourceUnreachable(DomainError):
    """No answer, or a broken one. Fields: url, reason (name_unknown, connect_failed, closed_early, malformed,
    closed).
    """

    code = "source_unreachable"
    title = "The source gave no whole answer"


class SourceTimeout(DomainError):
    """The answer was not there in time. Fields: url, seconds."""

    code = "source_timeout"
    title = "The source did not answer in time"


class SourceStatus(DomainError):
    """The source answered with an error. Fields: url, status, retry_after_seconds."""

    code = "source_status"
    title = "The source answered with an error"


class ResponseTooLarge(DomainError):
    """More than may be read. Fields: url, maximum_bytes."""

    code = "response_too_large"
    title = "The answer is too large"


class RedirectRefused(DomainError):
    """The source sent us elsewhere; nobody goes. Fields: url, status, to_host."""

    code = "redirect_refused"
    title = "Redirects are not followed"


class TlsFailed(DomainError):
    """No trusted connection. Fields: url, reason."""

    code = "tls_failed"
    title = "The source's certificate or encryption is not accepted"

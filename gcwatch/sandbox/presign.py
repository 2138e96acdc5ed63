"""Presigned storage URLs: made, and checked (contract 4, 8)."""

import hmac
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlencode

_FORM = "%Y%m%dT%H%M%SZ"


class Denied(Exception):
    """A URL that the storage refuses."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Signer:
    """Signs URLs of one storage origin with a secret.

    Args:
        origin: The storage's origin, without a slash at the end.
        secret: Key of the signatures.
    """

    def __init__(self, origin: str, secret: str) -> None:
        self.origin = origin
        self._secret = secret.encode()

    def sign(self, method: str, path: str, query: dict[str, str], now: float, life: float) -> str:
        """A URL that is good for one method, for some seconds."""
        full = {
            **query,
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": "sandbox/20260101/eu-central-1/s3/aws4_request",
            "X-Amz-Date": datetime.fromtimestamp(now, UTC).strftime(_FORM),
            "X-Amz-Expires": str(int(life)),
            "X-Amz-SignedHeaders": "host",
        }
        full["X-Amz-Signature"] = self._signature(method, path, full)
        return f"{self.origin}{quote(path)}?{urlencode(full)}"

    def _signature(self, method: str, path: str, query: dict[str, str]) -> str:
        text = "\n".join([method, path, urlencode(sorted(query.items()))])
        return hmac.new(self._secret, text.encode(), "sha256").hexdigest()

    def check(self, method: str, path: str, query: str, now: float) -> dict[str, str]:
        """The query of a URL that is in order.

        Raises:
            Denied: The signature is missing, damaged or expired.
        """
        fields = dict(parse_qsl(query, keep_blank_values=True))
        given = fields.pop("X-Amz-Signature", None)
        if given is None:
            raise Denied("AccessDenied", "Access Denied.")
        if not hmac.compare_digest(given, self._signature(method, path, fields)):
            raise Denied(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
            )
        made = datetime.strptime(fields["X-Amz-Date"], _FORM).replace(tzinfo=UTC).timestamp()
        # The date is in whole seconds: a URL never dies before its time.
        if now > made + int(fields["X-Amz-Expires"]) + 1:
            raise Denied("AccessDenied", "Request has expired")
        return fields

"""Presigned storage URLs and signed requests: making and checking them (platform 4.3, 8.3)."""

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlencode

_ALGORITHM = "AWS4-HMAC-SHA256"
_DATE_FORMAT = "%Y%m%dT%H%M%SZ"


class Denied(Exception):
    """The storage refuses a request."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Signer:
    """Signs URLs and requests of one storage origin with a secret.

    Args:
        origin: The storage's origin, without a slash at the end.
        secret: Key of the signatures.
    """

    def __init__(self, origin: str, secret: str) -> None:
        self.origin = origin
        self._secret = secret.encode()

    def sign_url(
        self, method: str, path: str, query: dict[str, str], now: float, lifetime: float
    ) -> str:
        """Return a URL that is valid for one method and *lifetime* seconds."""
        full = {
            **query,
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": "sandbox/20260101/eu-central-1/s3/aws4_request",
            "X-Amz-Date": datetime.fromtimestamp(now, UTC).strftime(_DATE_FORMAT),
            "X-Amz-Expires": str(int(lifetime)),
            "X-Amz-SignedHeaders": "host",
        }
        full["X-Amz-Signature"] = self._compute_signature(method, path, full)
        return f"{self.origin}{quote(path)}?{urlencode(full)}"

    def _compute_signature(self, method: str, path: str, query: dict[str, str]) -> str:
        text = "\n".join([method, path, urlencode(sorted(query.items()))])
        return hmac.new(self._secret, text.encode(), "sha256").hexdigest()

    def sign_request(self, path: str, query: dict[str, str], now: float) -> dict[str, str]:
        """Return the headers of a signed GET to the DICOM store (platform 8.6)."""
        date = datetime.fromtimestamp(now, UTC).strftime(_DATE_FORMAT)
        signature = self._compute_signature("GET", path, {**query, "X-Amz-Date": date})
        credential = "sandbox/20260101/eu-central-1/medical-imaging/aws4_request"
        signed = "SignedHeaders=host;x-amz-date"
        return {
            "X-Amz-Date": date,
            "Authorization": (
                f"{_ALGORITHM} Credential={credential}, {signed}, Signature={signature}"
            ),
        }

    def check_request(
        self,
        path: str,
        query: dict[str, str],
        headers: Mapping[str, str],
        now: float,
        lifetime: float,
    ) -> None:
        """Check the signature of a GET.

        Raises:
            Denied: The signature is missing, wrong or expired.
        """
        given = headers.get("Authorization", "")
        date = headers.get("X-Amz-Date", "")
        found = re.fullmatch(rf"{_ALGORITHM} .*Signature=([0-9a-f]+)", given)
        if not found or not re.fullmatch(r"\d{8}T\d{6}Z", date):
            raise Denied("MissingAuthenticationToken", "Missing Authentication Token")
        wanted = self._compute_signature("GET", path, {**query, "X-Amz-Date": date})
        if not hmac.compare_digest(found[1], wanted):
            message = "The request signature we calculated does not match"
            raise Denied("InvalidSignatureException", message)
        if now > _parse_date(date) + lifetime + 1:
            raise Denied("InvalidSignatureException", f"Signature expired: {date}")

    def check_url(self, method: str, path: str, query: str, now: float) -> dict[str, str]:
        """Check the signature of a URL; return its query without the signature.

        Raises:
            Denied: The signature is missing, wrong or expired.
        """
        fields = dict(parse_qsl(query, keep_blank_values=True))
        given = fields.pop("X-Amz-Signature", None)
        if given is None:
            raise Denied("AccessDenied", "Access Denied.")
        if not hmac.compare_digest(given, self._compute_signature(method, path, fields)):
            raise Denied(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
            )
        # The date is in whole seconds: without the 1, a URL could expire too early.
        if now > _parse_date(fields["X-Amz-Date"]) + int(fields["X-Amz-Expires"]) + 1:
            raise Denied("AccessDenied", "Request has expired")
        return fields


def _parse_date(date: str) -> float:
    return datetime.strptime(date, _DATE_FORMAT).replace(tzinfo=UTC).timestamp()
